/* Regions: what the simulator's crash relies on. A program of its own, because tagging must be
 * switched on before the first allocation. */
#include "base/prelude.h"

#include "base/mem.h"

#include <check.h>

START_TEST(test_drop_frees_only_its_own)
{
    struct mem_region a = {0}, b = {0};
    size_t before = mem_live_blocks();
    ck_assert_ptr_null(mem_set_region(&a));
    char *in_a = mem_strdup("a");
    char *freed = mem_alloc(100);
    ck_assert_ptr_eq(mem_set_region(&b), &a);
    char *in_b = mem_alloc(10);
    memcpy(in_b, "b stays", 8);
    mem_free(freed);
    in_a = mem_realloc(in_a, 5000); /* stays in a, though b is current */
    ck_assert_str_eq(in_a, "a");
    ck_assert_uint_eq(a.blocks, 1);
    ck_assert_uint_eq(b.blocks, 1);
    mem_set_region(NULL);
    char *outside = mem_alloc(1);
    mem_region_drop(&a);
    ck_assert_uint_eq(a.blocks, 0);
    ck_assert_str_eq(in_b, "b stays");
    ck_assert_uint_eq(mem_live_blocks(), before + 2);
    mem_free(in_b);
    mem_free(outside);
    ck_assert_uint_eq(b.blocks, 0);
    mem_region_drop(&b);
    ck_assert_uint_eq(mem_live_blocks(), before);
}
END_TEST

START_TEST(test_links_hold_in_any_order_of_freeing)
{
    for (int order = 0; order < 6; order++) {
        static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        struct mem_region r = {0};
        mem_set_region(&r);
        void *p[3] = {mem_alloc(1), mem_try(2, 10), mem_try_raw(3, 10)};
        ck_assert_ptr_null(mem_try(11, 10));
        for (int i = 0; i < 3; i++) {
            mem_free(p[orders[order][i]]);
            ck_assert_uint_eq(r.blocks, (size_t)(2 - i));
        }
        ck_assert_ptr_null(r.first);
        mem_set_region(NULL);
    }
}
END_TEST

/* Bytes are those asked for and what each block carries besides. */
START_TEST(test_bytes_are_counted)
{
    struct mem_region r = {0};
    mem_set_region(&r);
    char *p = mem_alloc(1000);
    char *q = mem_alloc(1);
    size_t carried = (r.bytes - 1001) / 2;
    ck_assert_uint_eq(r.bytes, 1001 + 2 * carried);
    p = mem_realloc(p, 5000);
    ck_assert_uint_eq(r.bytes, 5001 + 2 * carried);
    p = mem_realloc(p, 10);
    mem_free(q);
    ck_assert_uint_eq(r.bytes, 10 + carried);
    ck_assert_uint_eq(r.bytes_max, 5001 + 2 * carried);
    mem_set_region(NULL);
    mem_free(p);
    ck_assert_uint_eq(r.bytes, 0);
}
END_TEST

int main(void)
{
    mem_regions_enable();
    Suite *s = suite_create("mem_region");
    TCase *tc = tcase_create("region");
    tcase_add_test(tc, test_drop_frees_only_its_own);
    tcase_add_test(tc, test_bytes_are_counted);
    tcase_add_test(tc, test_links_hold_in_any_order_of_freeing);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
