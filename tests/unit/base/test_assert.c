#include "base/prelude.h"

#include "base/assert.h"
#include "base/trace.h"
#include "tests/unit/base/suite.h"

static void plain(void)
{
    int one = 1;
    ASSERT(one == 2);
}

static void hook(void *arg)
{
    fprintf(stderr, "seed %d\n", *(int *)arg);
}

static void numbered_with_hook_and_trace(void)
{
    static int seed = 42;
    assert_on_fail(hook, &seed);
    for (uint64_t i = 0; i < 100; i++) {
        trace("step", i, i * i);
    }
    INV(19, seed == 0);
}

static void asserting_hook(void *arg)
{
    bool in_the_hook = arg != NULL;
    ASSERT(in_the_hook);
}

static void hook_that_asserts(void)
{
    assert_on_fail(asserting_hook, NULL);
    bool first = false;
    ASSERT(first);
}

struct thing {
    uint32_t magic;
};

static void wrong_magic(void)
{
    struct thing t = {.magic = 1};
    MAGIC_CHECK(&t, 2);
}

static void implication(void)
{
    IMPLIES(true, false);
}

START_TEST(says_what_and_where)
{
    char out[4096];
    ck_assert(suite_aborts(plain, out, sizeof(out)));
    ck_assert_ptr_nonnull(strstr(out, "test_assert.c:"));
    ck_assert_ptr_nonnull(strstr(out, "plain: assertion failed: one == 2"));
    ck_assert(suite_aborts(wrong_magic, out, sizeof(out)));
    ck_assert(suite_aborts(implication, out, sizeof(out)));
}
END_TEST

START_TEST(hook_runs_and_ring_is_dumped)
{
    char out[8192];
    ck_assert(suite_aborts(numbered_with_hook_and_trace, out, sizeof(out)));
    const char *message = strstr(out, "invariant I19 broken: seed == 0");
    const char *seed = strstr(out, "seed 42\n");
    const char *first = strstr(out, "trace 36: step 36 1296\n");
    const char *last = strstr(out, "trace 99: step 99 9801\n");
    ck_assert(message != NULL && seed != NULL && first != NULL && last != NULL);
    ck_assert(message < seed && seed < first && first < last);
    ck_assert_ptr_null(strstr(out, "trace 35:"));
}
END_TEST

START_TEST(an_asserting_hook_ends)
{
    char out[4096];
    ck_assert(suite_aborts(hook_that_asserts, out, sizeof(out)));
    ck_assert_ptr_nonnull(strstr(out, "assertion failed: first"));
    ck_assert_ptr_nonnull(strstr(out, "assertion failed: in_the_hook"));
}
END_TEST

static int evaluated;
static bool count_evaluation(void)
{
    evaluated++;
    return true;
}

START_TEST(true_conditions_pass_and_are_evaluated_once)
{
    ASSERT(count_evaluation());
    PRE(count_evaluation());
    POST(count_evaluation());
    INV(1, count_evaluation());
    IMPLIES(false, false);
    IMPLIES(true, true);
    ck_assert_int_eq(evaluated, 4);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {says_what_and_where, hook_runs_and_ring_is_dumped,
                                  an_asserting_hook_ends,
                                  true_conditions_pass_and_are_evaluated_once, NULL};
    return suite_run("assert", tests);
}
