#include "base/prelude.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "tests/unit/base/suite.h"

START_TEST(views)
{
    struct str s = STR("carillon");
    ck_assert(str_eq(s, str_of("carillon")) && str_eqc(s, "carillon"));
    ck_assert(!str_eqc(s, "carillo") && !str_eqc(s, "carillox"));
    ck_assert(str_eq(STR_NONE, STR("")) && str_eq(str_of(NULL), STR_NONE));
    ck_assert(str_starts(s, STR("cari")) && str_starts(s, STR("")) && str_starts(s, s));
    ck_assert(!str_starts(STR("car"), s) && !str_starts(s, STR("ari")));
    ck_assert(str_ends(s, STR("lon")) && str_ends(s, STR("")) && str_ends(s, s));
    ck_assert(!str_ends(STR("lon"), s) && !str_ends(s, STR("lo")));
    ck_assert(str_eqc(str_sub(s, 2, 3), "ril"));
    ck_assert(str_eqc(str_sub(s, 5, 99), "lon"));
    ck_assert_uint_eq(str_sub(s, 99, 1).size, 0);
    ck_assert_uint_eq(str_sub(STR_NONE, 0, 5).size, 0);
    ck_assert(str_eqc(str_trim(STR(" \t\r\n a b \v\f")), "a b"));
    ck_assert_uint_eq(str_trim(STR(" \n ")).size, 0);
    ck_assert_uint_eq(str_trim(STR_NONE).size, 0);
}
END_TEST

START_TEST(order_is_bytewise)
{
    static const char *const sorted[] = {"", "\x01", "A", "AB", "B", "a", "\x7f", "\xff"};
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
        for (size_t j = 0; j < ARRAY_LEN(sorted); j++) {
            int want = (i > j) - (i < j);
            ck_assert_int_eq(str_cmp(str_of(sorted[i]), str_of(sorted[j])), want);
        }
    }
    ck_assert_int_eq(str_cmp(STR("a\0b"), STR("a\0c")), -1);
    ck_assert_int_eq(str_cmp(STR_NONE, STR_NONE), 0);
}
END_TEST

START_TEST(utf8)
{
    static const struct {
        struct str s;
        bool ok;
    } cases[] = {
        {{"", 0}, true},
        {{"plain ascii text", 16}, true},
        {{"a\0b", 3}, true},
        {{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x94", 9}, true},
        {{"12345678\xc3\xa4", 10}, true},
        {{"\xc2\x80", 2}, true},      /* U+0080, the lowest of two bytes */
        {{"\xc1\xbf", 2}, false},     /* overlong */
        {{"\xc0\x80", 2}, false},     /* overlong NUL */
        {{"\xe0\x9f\xbf", 3}, false}, /* overlong */
        {{"\xe0\xa0\x80", 3}, true},
        {{"\xed\x9f\xbf", 3}, true},      /* U+D7FF */
        {{"\xed\xa0\x80", 3}, false},     /* a surrogate */
        {{"\xee\x80\x80", 3}, true},      /* U+E000 */
        {{"\xf0\x8f\xbf\xbf", 4}, false}, /* overlong */
        {{"\xf0\x90\x80\x80", 4}, true},
        {{"\xf4\x8f\xbf\xbf", 4}, true}, /* U+10FFFF */
        {{"\xf4\x90\x80\x80", 4}, false},
        {{"\xf5\x80\x80\x80", 4}, false},
        {{"\x80", 1}, false},
        {{"\xff", 1}, false},
        {{"\xc3", 1}, false},
        {{"\xe2\x82", 2}, false},
        {{"\xf0\x9f\x94", 3}, false},
        {{"\xe2\x82x", 3}, false},
        {{"abcdefg\xc3", 8}, false},
        {{"abcdefgh\x80", 9}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_msg(str_is_utf8(cases[i].s) == cases[i].ok, "case %zu", i);
    }
}
END_TEST

/* Long runs of ASCII are read many bytes at a time: what is not ASCII is found at each place. */
START_TEST(utf8_at_each_place)
{
    enum { ROOM = 200 };
    char text[ROOM + 1];
    for (size_t size = 2; size <= ROOM; size++) {
        for (size_t at = 0; at + 1 < size; at++) {
            memset(text, 'x', size);
            memcpy(text + at, "\xc3\xa4", 2);
            ck_assert_msg(str_is_utf8((struct str){text, size}), "%zu of %zu", at, size);
            text[at + 1] = 'x';
            ck_assert_msg(!str_is_utf8((struct str){text, size}), "%zu of %zu", at, size);
        }
    }
}
END_TEST

START_TEST(names)
{
    char longest[256];
    memset(longest, 'x', sizeof(longest));
    ck_assert(str_is_name((struct str){longest, 255}));
    ck_assert(!str_is_name((struct str){longest, 256}));
    ck_assert(!str_is_name(STR_NONE));
    ck_assert(str_is_name(STR("aZ09._:-")));
    for (int c = 0; c < 256; c++) {
        char text = (char)c;
        bool want = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    c == '.' || c == '_' || c == ':' || c == '-';
        ck_assert(str_is_name((struct str){&text, 1}) == want);
    }
}
END_TEST

START_TEST(dup_is_closed_and_bounded)
{
    struct arena a;
    arena_init(&a, 16);
    struct str s = str_dup(&a, STR("bell"));
    ck_assert_str_eq(s.p, "bell");
    ck_assert_uint_eq(s.size, 4);
    ck_assert_ptr_null(str_dup(&a, STR("longer than what is left")).p);
    ck_assert(a.failed);
    arena_fini(&a);
}
END_TEST

START_TEST(buffer_grows)
{
    struct buf b;
    buf_init(&b, 0);
    ck_assert_uint_eq(buf_str(&b).size, 0);
    for (int i = 0; i < 1000; i++) {
        buf_putc(&b, (char)('a' + i % 26));
    }
    buf_puts(&b, "|tail|");
    buf_put_str(&b, STR_NONE);
    buf_put(&b, NULL, 0);
    buf_printf(&b, "%d:%s", 7, "x");
    ck_assert(str_ends(buf_str(&b), STR("|tail|7:x")));
    ck_assert_uint_eq(b.size, 1009);
    ck_assert_int_eq(b.p[27], 'b');
    buf_clear(&b);
    ck_assert_uint_eq(b.size, 0);
    buf_printf(&b, "%500d|", 1); /* longer than the formatter's first try */
    ck_assert_uint_eq(b.size, 501);
    ck_assert(str_ends(buf_str(&b), STR(" 1|")));
    char *room = buf_reserve(&b, 3);
    memcpy(room, "xyz", 3);
    buf_added(&b, 3);
    ck_assert(str_ends(buf_str(&b), STR("1|xyz")));
    ck_assert(!b.failed);
    buf_fini(&b);
    ck_assert_ptr_null(b.p);
}
END_TEST

START_TEST(buffer_stops_at_its_cap)
{
    for (size_t cap = 1; cap < 200; cap++) {
        struct buf b;
        buf_init(&b, cap);
        for (size_t i = 0; i < cap; i++) {
            buf_putc(&b, 'x');
        }
        ck_assert(!b.failed);
        buf_put(&b, "", 0);
        ck_assert(!b.failed);
        buf_putc(&b, 'y');
        ck_assert(b.failed);
        buf_clear(&b);
        buf_printf(&b, "%*s", (int)cap + 1, "z");
        ck_assert(b.failed);
        ck_assert_uint_eq(b.size, 0);
        buf_puts(&b, "a"); /* ignored after a failure */
        ck_assert_uint_eq(b.size, 0);
        ck_assert_ptr_null(buf_reserve(&b, 1));
        buf_fini(&b);
    }
}
END_TEST

START_TEST(integers)
{
    static const struct {
        const char *text;
        bool u_ok, i_ok;
        uint64_t u;
        int64_t i;
    } cases[] = {
        {"0", true, true, 0, 0},
        {"007", true, true, 7, 7},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {"9223372036854775808", true, false, UINT64_C(1) << 63, 0},
        {"18446744073709551615", true, false, UINT64_MAX, 0},
        {"18446744073709551616", false, false, 0, 0},
        {"99999999999999999999999", false, false, 0, 0},
        {"-1", false, true, 0, -1},
        {"-0", false, true, 0, 0},
        {"-9223372036854775808", false, true, 0, INT64_MIN},
        {"-9223372036854775809", false, false, 0, 0},
        {"", false, false, 0, 0},
        {"-", false, false, 0, 0},
        {"--1", false, false, 0, 0},
        {"+1", false, false, 0, 0},
        {" 1", false, false, 0, 0},
        {"1 ", false, false, 0, 0},
        {"0x10", false, false, 0, 0},
        {"1e3", false, false, 0, 0},
        {"1.0", false, false, 0, 0},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        uint64_t u = 42;
        int64_t i = 42;
        ck_assert_msg((str_to_u64(str_of(cases[k].text), &u) == ERR_OK) == cases[k].u_ok, "u %s",
                      cases[k].text);
        ck_assert_msg((str_to_i64(str_of(cases[k].text), &i) == ERR_OK) == cases[k].i_ok, "i %s",
                      cases[k].text);
        ck_assert_uint_eq(u, cases[k].u_ok ? cases[k].u : 42);
        ck_assert_int_eq(i, cases[k].i_ok ? cases[k].i : 42);
    }
}
END_TEST

START_TEST(doubles)
{
    static const struct {
        const char *text;
        double v;
    } good[] = {{"0", 0},      {"-1.5", -1.5},
                {"1e3", 1000}, {"2.5E-1", 0.25},
                {"1e-400", 0}, {"1.7976931348623157e308", 1.7976931348623157e308},
                {"0.1", 0.1},  {"123456789", 123456789}};
    static const char *const bad[] = {"",   "-",   ".5",  "5.",   "1e",    "1e+", "+1",  " 1",
                                      "1 ", "nan", "inf", "0x10", "1e400", "1,5", "--1", "1e1.5"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        double v = -7;
        ck_assert_int_eq(str_to_double(str_of(good[i].text), &v), ERR_OK);
        ck_assert_double_eq(v, good[i].v);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        double v = -7;
        ck_assert_msg(str_to_double(str_of(bad[i]), &v) == ERR_INVALID, "%s", bad[i]);
        ck_assert_double_eq(v, -7);
    }
    char longer[400]; /* past the buffer on the stack */
    memset(longer, '0', sizeof(longer));
    longer[399] = '3';
    double v;
    ck_assert_int_eq(str_to_double((struct str){longer, sizeof(longer)}, &v), ERR_OK);
    ck_assert_double_eq(v, 3);
    ck_assert_int_eq(str_to_double((struct str){"12345", 2}, &v), ERR_OK); /* not NUL-closed */
    ck_assert_double_eq(v, 12);
}
END_TEST

START_TEST(durations)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"500ms", 500000},
                {"30s", 30000000},
                {"5m", 300000000},
                {"1h", INT64_C(3600000000)},
                {"2d", INT64_C(172800000000)},
                {"250us", 250},
                {"0", 0},
                {"5000", 5000000},
                {"106751991d", INT64_C(106751991) * 86400000000},
                {"9223372036854775807us", INT64_MAX}};
    static const char *const bad[] = {"",
                                      "s",
                                      "-5s",
                                      "5 s",
                                      "1.5s",
                                      "5S",
                                      "5sec",
                                      "1h30m",
                                      "5w",
                                      "5s ",
                                      "106751992d",
                                      "9223372036854775808us",
                                      "18446744073709551616",
                                      "ms"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t us = -7;
        ck_assert_int_eq(str_to_duration_us(str_of(good[i].text), &us), ERR_OK);
        ck_assert_int_eq(us, good[i].us);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t us = -7;
        ck_assert_msg(str_to_duration_us(str_of(bad[i]), &us) == ERR_INVALID, "%s", bad[i]);
        ck_assert_int_eq(us, -7);
    }
}
END_TEST

START_TEST(sizes)
{
    static const struct {
        const char *text;
        uint64_t size;
    } good[] = {{"1024", 1024},
                {"64KiB", 65536},
                {"1MB", 1000000},
                {"3GiB", UINT64_C(3) << 30},
                {"2TB", UINT64_C(2000000000000)},
                {"7B", 7},
                {"16777215TiB", UINT64_C(16777215) << 40}};
    static const char *const bad[] = {"", "KiB", "-1", "1.5MB", "1kb", "1 MB", "16777216TiB"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t v = 7;
        ck_assert_int_eq(str_to_size(str_of(good[i].text), &v), ERR_OK);
        ck_assert_uint_eq(v, good[i].size);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t v = 7;
        ck_assert_int_eq(str_to_size(str_of(bad[i]), &v), ERR_INVALID);
        ck_assert_uint_eq(v, 7);
    }
}
END_TEST

/* RFC 4648 section 10, and the two characters in which the forms differ. */
START_TEST(base64_vectors)
{
    static const struct {
        const char *plain, *std, *url;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "+//+", "-__-"},
    };
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int url = 0; url < 2; url++) {
            const char *want = url != 0 ? cases[i].url : cases[i].std;
            struct str plain = str_of(cases[i].plain), back;
            char text[32] = "";
            size_t n = base64_encode(plain.p, plain.size, text, url != 0);
            ck_assert_str_eq(text, want);
            ck_assert_uint_eq(n, strlen(want));
            ck_assert_uint_le(n, base64_encode_size(plain.size));
            ck_assert_int_eq(base64_decode(str_of(want), url != 0, &a, &back), ERR_OK);
            ck_assert(str_eq(back, plain));
        }
    }
    arena_fini(&a);
}
END_TEST

START_TEST(base64_refusals)
{
    static const struct {
        const char *text;
        bool url;
    } cases[] = {
        {"Z", false},        {"Zg", false},   {"Zg=", false},  {"Zg===", false}, {"=", false},
        {"====", false},     {"Z===", false}, {"Zh==", false}, {"Zm9=", false},  {"Zm9v=", false},
        {"Zg==Zg==", false}, {"Zm 9", false}, {"-__-", false}, {"Z", true},      {"Zg==", true},
        {"Zh", true},        {"+//+", true},  {"Zm9vZ", true}, {"Zm9v\n", true},
    };
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str out;
        ck_assert_msg(base64_decode(str_of(cases[i].text), cases[i].url, &a, &out) == ERR_INVALID,
                      "%s", cases[i].text);
    }
    arena_fini(&a);
    arena_init(&a, 8);
    struct str out;
    ck_assert_int_eq(base64_decode(STR("Zm9vYmFyZm9vYmFy"), false, &a, &out), ERR_LIMIT);
    arena_fini(&a);
}
END_TEST

START_TEST(codecs_round_trip)
{
    struct rng r;
    rng_seed(&r, 3);
    for (size_t size = 0; size < 200; size++) {
        struct arena a;
        uint8_t bytes[200], back[200];
        char text[512];
        struct str out;
        arena_init(&a, 0);
        rng_bytes(&r, bytes, size);
        bool url = (size & 1) != 0;
        size_t n = base64_encode(bytes, size, text, url);
        ck_assert_int_eq(base64_decode((struct str){text, n}, url, &a, &out), ERR_OK);
        ck_assert_uint_eq(out.size, size);
        ck_assert(size == 0 || memcmp(out.p, bytes, size) == 0);
        hex_encode(bytes, size, text);
        ck_assert_int_eq(hex_decode((struct str){text, 2 * size}, back, size), ERR_OK);
        ck_assert(size == 0 || memcmp(back, bytes, size) == 0);
        arena_fini(&a);
    }
}
END_TEST

START_TEST(hex_forms)
{
    uint8_t b[2] = {1, 1};
    ck_assert_int_eq(hex_decode(STR("aBF0"), b, 2), ERR_OK);
    ck_assert(b[0] == 0xAB && b[1] == 0xF0);
    static const char *const bad[] = {"", "ab", "abf", "abf00", "abf00a", "abg0", "ab 0", "ab-0"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_eq(hex_decode(str_of(bad[i]), b, 2), ERR_INVALID);
        ck_assert(b[0] == 0xAB && b[1] == 0xF0);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {views,
                                  order_is_bytewise,
                                  utf8,
                                  utf8_at_each_place,
                                  names,
                                  dup_is_closed_and_bounded,
                                  buffer_grows,
                                  buffer_stops_at_its_cap,
                                  integers,
                                  doubles,
                                  durations,
                                  sizes,
                                  base64_vectors,
                                  base64_refusals,
                                  codecs_round_trip,
                                  hex_forms,
                                  NULL};
    return suite_run("str", tests);
}
