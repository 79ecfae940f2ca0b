#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/pg_param.h"

#include <check.h>

static struct pg_params p;

static void setup(void)
{
    pg_params_init(&p);
}

static void teardown(void)
{
    pg_params_fini(&p);
}

static struct str param(uint32_t i)
{
    ck_assert_uint_lt(i, p.len);
    return p.size[i] < 0 ? STR_NONE : (struct str){p.bytes.p + p.at[i], (size_t)p.size[i]};
}

#define BYTES(i, literal) ck_assert(str_eq(param(i), STR(literal)))

START_TEST(scalars)
{
    pg_bool(&p, true);
    pg_i2(&p, -2);
    pg_i4(&p, 0x01020304);
    pg_i8(&p, -1);
    pg_u8(&p, UINT64_C(0xfedcba9876543210));
    pg_text(&p, STR("a\0b"));
    pg_text(&p, STR(""));
    pg_text_or_null(&p, STR_NONE);
    pg_null(&p);
    ck_assert_uint_eq(p.len, 9);
    BYTES(0, "\x01");
    BYTES(1, "\xff\xfe");
    BYTES(2, "\x01\x02\x03\x04");
    BYTES(3, "\xff\xff\xff\xff\xff\xff\xff\xff");
    BYTES(4, "\xfe\xdc\xba\x98\x76\x54\x32\x10");
    BYTES(5, "a\0b");
    ck_assert_uint_eq(param(6).size, 0);
    ck_assert_ptr_nonnull(param(6).p);
    ck_assert_ptr_null(param(7).p);
    ck_assert_ptr_null(param(8).p);
    pg_params_reset(&p);
    ck_assert_uint_eq(p.len, 0);
}
END_TEST

/* Every instant survives the way there and back, to the microsecond. */
START_TEST(times)
{
    static const int64_t us[] = {0,
                                 1,
                                 -1,
                                 946684800000000,
                                 946684799999999,
                                 1893456000123456,
                                 -62135596800000000,
                                 253402300799999999};
    for (size_t i = 0; i < ARRAY_LEN(us); i++) {
        pg_params_reset(&p);
        pg_time(&p, (struct wall){us[i]});
        ck_assert_uint_eq(param(0).size, 8);
        ck_assert_int_eq(pg_get_time(param(0).p).us, us[i]);
    }
    pg_params_reset(&p);
    pg_time(&p, (struct wall){946684800000000}); /* PostgreSQL's own zero */
    BYTES(0, "\0\0\0\0\0\0\0\0");
}
END_TEST

START_TEST(arrays)
{
    pg_i4(&p, 7);
    pg_array_begin(&p, PG_INT8);
    pg_i8(&p, 1);
    pg_i8(&p, -1);
    pg_array_end(&p);
    pg_array_begin(&p, PG_TEXT);
    pg_text(&p, STR("x"));
    pg_null(&p);
    pg_text(&p, STR(""));
    pg_array_end(&p);
    pg_array_begin(&p, PG_UUID);
    pg_array_end(&p);
    pg_i4(&p, 8);
    ck_assert_uint_eq(p.len, 5);
    BYTES(0, "\0\0\0\x07");
    BYTES(1, "\0\0\0\x01\0\0\0\0\0\0\0\x14\0\0\0\x02\0\0\0\x01"
             "\0\0\0\x08\0\0\0\0\0\0\0\x01\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xff");
    BYTES(2, "\0\0\0\x01\0\0\0\x01\0\0\0\x19\0\0\0\x03\0\0\0\x01"
             "\0\0\0\x01x\xff\xff\xff\xff\0\0\0\0");
    BYTES(3, "\0\0\0\x01\0\0\0\0\0\0\x0b\x86\0\0\0\0\0\0\0\x01");
    BYTES(4, "\0\0\0\x08");
    struct pg_array a;
    ck_assert(pg_array_open(param(1), 8, &a));
    ck_assert_uint_eq(a.len, 2);
    ck_assert_int_eq(pg_get_i8(pg_array_at(&a, 0)), 1);
    ck_assert_int_eq(pg_get_i8(pg_array_at(&a, 1)), -1);
    ck_assert(pg_array_open(param(3), 16, &a));
    ck_assert_uint_eq(a.len, 0);
}
END_TEST

/* What comes from outside is never believed. */
START_TEST(bad_arrays)
{
    pg_array_begin(&p, PG_INT4);
    for (int i = 0; i < 5; i++) {
        pg_i4(&p, i);
    }
    pg_array_end(&p);
    struct pg_array a;
    struct str good = param(0);
    ck_assert(pg_array_open(good, 4, &a));
    ck_assert(!pg_array_open(good, 8, &a));
    for (size_t cut = 0; cut < good.size; cut++) {
        ck_assert(!pg_array_open(str_sub(good, 0, cut), 4, &a));
    }
    ck_assert(
        !pg_array_open(param(0).size > 0 ? STR("\0\0\0\x02\0\0\0\0\0\0\0\x17") : good, 4, &a));
    ck_assert(
        pg_array_open(STR("\0\0\0\0\0\0\0\0\0\0\0\x17"), 4, &a)); /* '{}' as the server says */
    ck_assert_uint_eq(a.len, 0);
    char huge[20];
    memcpy(huge, good.p, sizeof(huge));
    memset(huge + 12, 0x7f, 4); /* two thousand million elements */
    ck_assert(!pg_array_open((struct str){huge, sizeof(huge)}, 4, &a));
    memset(huge + 12, 0xff, 4);
    ck_assert(!pg_array_open((struct str){huge, sizeof(huge)}, 4, &a));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pg_param");
    TCase *c = tcase_create("params");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, scalars);
    tcase_add_test(c, times);
    tcase_add_test(c, arrays);
    tcase_add_test(c, bad_arrays);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
