/* Numbers of JSON: whole values, doubles, shortest text, long literals. */
#include "base/prelude.h"

#include "base/json_internal.h"
#include "base/rng.h"

#include <check.h>
#include <float.h>
#include <math.h>

static struct arena arena;
static struct buf out;

static void setup(void)
{
    arena_init(&arena, 0);
    buf_init(&out, 0);
}

static void teardown(void)
{
    arena_fini(&arena);
    buf_fini(&out);
}

static const struct jv *parse(struct str text)
{
    const struct jv *v = NULL;
    ck_assert_int_eq(json_parse(&arena, text, JSON_LIMITS_PAYLOAD, false, &v, NULL), ERR_OK);
    return v;
}

static const struct jv *parsec(const char *text)
{
    return parse(str_of(text));
}

static struct str canonical(const struct jv *v)
{
    buf_clear(&out);
    json_write_canonical(&out, v);
    return buf_str(&out);
}

static const struct {
    const char *text;
    bool whole;
    int64_t value;
} INTEGERS[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"0.000", true, 0},
    {"0e999999999999999999999999", true, 0},
    {"5", true, 5},
    {"5.0", true, 5},
    {"5e0", true, 5},
    {"50e-1", true, 5},
    {"0.5e1", true, 5},
    {"0.00005e5", true, 5},
    {"-1.2e1", true, -12},
    {"1200.000", true, 1200},
    {"9223372036854775807", true, INT64_MAX},
    {"9223372036854775807.0", true, INT64_MAX},
    {"9.223372036854775807e18", true, INT64_MAX},
    {"92233720368547758070e-1", true, INT64_MAX},
    {"9223372036854775808", false, 0},
    {"-9223372036854775808", true, INT64_MIN},
    {"-9223372036854775809", false, 0},
    {"10000000000000000000", false, 0},
    {"1e18", true, 1000000000000000000},
    {"1e19", false, 0},
    {"9e18", true, 9000000000000000000},
    {"1e999999999999999999999", false, 0},
    {"1e-999999999999999999999", false, 0},
    {"18446744073709551617", false, 0},
    {"0.5", false, 0},
    {"5e-1", false, 0},
    {"9007199254740993.5", false, 0},
};

START_TEST(integers)
{
    int64_t n = 77;
    bool whole = jv_to_i64(parsec(INTEGERS[_i].text), &n);
    ck_assert_msg(whole == INTEGERS[_i].whole, "%s", INTEGERS[_i].text);
    ck_assert_msg(n == (whole ? INTEGERS[_i].value : 77), "%s gives %" PRId64, INTEGERS[_i].text,
                  n);
}
END_TEST

START_TEST(doubles)
{
    static const struct {
        double d;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-17, "-17"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {129.95, "129.95"},
        {1e15, "1000000000000000"},
        {1e16, "10000000000000000"},
        {123456789012345680.0, "123456789012345680"},
        {1e21, "1e+21"},
        {1.5e300, "1.5e+300"},
        {1e-6, "0.000001"},
        {1e-7, "1e-7"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {9007199254740991.0, "9007199254740991"},
        {0.30000000000000004, "0.30000000000000004"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct jv *v = jv_double(&arena, cases[i].d);
        ck_assert_msg(str_eqc(v->u.s, cases[i].text), "got %.*s, wanted %s", STR_ARG(v->u.s),
                      cases[i].text);
        ck_assert(jv_num(v) == cases[i].d);
        ck_assert_int_eq(signbit(jv_num(v)), signbit(cases[i].d));
        parse(v->u.s);
    }
    ck_assert_ptr_null(jv_double(&arena, INFINITY));
    ck_assert_ptr_null(jv_double(&arena, NAN));
    ck_assert(isinf(jv_num(parsec("1e999"))));
    ck_assert(jv_num(parsec("1e-999")) == 0);
    ck_assert(jv_num(parsec("\"1\"")) == 0);
    ck_assert(jv_num(NULL) == 0);
}
END_TEST

/* Random bits and random decimals: text and back is the same double, and our fast way to read
 * agrees with strtod. */
START_TEST(doubles_random)
{
    struct rng r;
    rng_seed(&r, 42);
    for (int i = 0; i < 50000; i++) {
        uint64_t bits = rng_u64(&r);
        double d;
        memcpy(&d, &bits, sizeof(d));
        char text[64];
        if (i % 2 == 0) {
            snprintf(text, sizeof(text), "%" PRId64 ".%0*" PRIu64 "e%d",
                     rng_between(&r, -1000000, 1000000), (int)rng_between(&r, 1, 12),
                     rng_below(&r, 1000000), (int)rng_between(&r, -30, 30));
            d = strtod(text, NULL);
            if (json_number_double(str_of(text)) != d) {
                ck_abort_msg("%s", text);
            }
        }
        if (!isfinite(d)) {
            continue;
        }
        char shortest[JSON_DOUBLE_SIZE];
        json_format_double(d, shortest);
        if (strtod(shortest, NULL) != d || !json_is_number(str_of(shortest))) {
            ck_abort_msg("%.17g became %s", d, shortest);
        }
        if (i % 2 == 0) { /* equal literals have one canonical text, through either path */
            buf_clear(&out);
            json_number_canonical(&out, str_of(text));
            if (json_number_double(buf_str(&out)) != d ||
                !json_number_eq(str_of(text), buf_str(&out))) {
                ck_abort_msg("%s became %.*s", text, STR_ARG(buf_str(&out)));
            }
        }
    }
}
END_TEST

START_TEST(long_literals)
{
    for (size_t digits = 1; digits < 2000; digits = digits * 3 + 1) {
        struct buf b;
        buf_init(&b, 0);
        buf_puts(&b, "0.");
        for (size_t i = 0; i < digits; i++) {
            buf_putc(&b, '3');
        }
        double d = jv_num(parse(buf_str(&b)));
        ck_assert(fabs(d - 1.0 / 3) < 0.04);
        buf_clear(&b);
        for (size_t i = 0; i < digits; i++) {
            buf_putc(&b, '7');
        }
        const struct jv *v = parse(buf_str(&b));
        struct str text = str_dup(&arena, canonical(v));
        ck_assert(jv_equal(parse(text), v));
        buf_putc(&b, '7');
        ck_assert(!jv_equal(parse(buf_str(&b)), v));
        buf_fini(&b);
    }
}
END_TEST

/* The grammar alone: json_scan_number stops behind the number. */
START_TEST(grammar)
{
    static const struct {
        const char *text;
        int end; /* -1: bad */
        int bad;
    } cases[] = {
        {"0", 1, 0},    {"-0", 2, 0},       {"12", 2, 0},   {"1.5", 3, 0},   {"1e5", 3, 0},
        {"1E-5", 4, 0}, {"1.25e+10", 8, 0}, {"1x", 1, 0},   {"1.5.5", 3, 0}, {"1e5e5", 3, 0},
        {"", -1, 0},    {"-", -1, 1},       {"01", -1, 1},  {"-01", -1, 2},  {"1.", -1, 2},
        {"1.e", -1, 2}, {"1e", -1, 2},      {"1e-", -1, 3}, {"a", -1, 0},    {".5", -1, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *t = cases[i].text, *bad = NULL;
        const char *end = json_scan_number(t, t + strlen(t), &bad);
        if (cases[i].end < 0) {
            ck_assert_msg(end == NULL && bad == t + cases[i].bad, "%s", t);
        } else {
            ck_assert_msg(end == t + cases[i].end, "%s", t);
        }
        ck_assert(json_is_number(str_of(t)) == (end != NULL && *end == '\0'));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json_num");
    TCase *t = tcase_create("json_num");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, grammar);
    tcase_add_loop_test(t, integers, 0, ARRAY_LEN(INTEGERS));
    tcase_add_test(t, doubles);
    tcase_add_test(t, doubles_random);
    tcase_add_test(t, long_literals);
    suite_add_tcase(s, t);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
