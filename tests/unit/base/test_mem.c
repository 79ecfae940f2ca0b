#include "base/prelude.h"

#include "base/mem.h"
#include "tests/unit/base/suite.h"

START_TEST(zeroed_and_counted)
{
    size_t before = mem_live_blocks();
    char *p = mem_alloc(100);
    char *q = mem_alloc(0);
    ck_assert_ptr_nonnull(q);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(p[i], 0);
    }
    ck_assert_uint_eq(mem_live_blocks(), before + 2);
    p[99] = 'x';
    p = mem_realloc(p, 200);
    ck_assert_int_eq(p[99], 'x');
    ck_assert_uint_eq(mem_live_blocks(), before + 2);
    mem_free(p);
    mem_free(q);
    mem_free(NULL);
    ck_assert_uint_eq(mem_live_blocks(), before);
}
END_TEST

START_TEST(realloc_of_nothing_allocates)
{
    size_t before = mem_live_blocks();
    void *p = mem_realloc(NULL, 10);
    ck_assert_uint_eq(mem_live_blocks(), before + 1);
    mem_free(p);
    char *s = mem_strdup("carillon");
    ck_assert_str_eq(s, "carillon");
    mem_free(s);
    int *numbers = MEM_ARRAY(int, 4);
    ck_assert_int_eq(numbers[3], 0);
    mem_free(numbers);
}
END_TEST

START_TEST(bounded_calls_refuse)
{
    size_t before = mem_live_blocks();
    ck_assert_ptr_null(mem_try(11, 10));
    ck_assert_ptr_null(mem_try_raw(11, 10));
    ck_assert_uint_eq(mem_live_blocks(), before);
    char *p = mem_try(10, 10);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(p[9], 0);
    memcpy(p, "0123456789", 10);
    ck_assert_ptr_null(mem_try_realloc(p, 21, 20));
    ck_assert_mem_eq(p, "0123456789", 10); /* a refusal leaves the block alone */
    p = mem_try_realloc(p, 20, 20);
    ck_assert_mem_eq(p, "0123456789", 10);
    mem_free(p);
    ck_assert_uint_eq(mem_live_blocks(), before);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {zeroed_and_counted, realloc_of_nothing_allocates,
                                  bounded_calls_refuse, NULL};
    return suite_run("mem", tests);
}
