#include "base/prelude.h"

#include "base/thread.h"
#include "base/trace.h"
#include "tests/unit/base/suite.h"

struct seen {
    int n;
    const char *what;
    uint64_t a, b;
};

static void tap(void *arg, const char *what, uint64_t a, uint64_t b)
{
    struct seen *s = arg;
    *s = (struct seen){s->n + 1, what, a, b};
}

START_TEST(tap_sees_each_record)
{
    struct seen s = {0};
    trace("before", 1, 2);
    trace_tap(tap, &s);
    trace("one", 3, 4);
    trace("two", 5, UINT64_MAX);
    trace_tap(NULL, NULL);
    trace("after", 7, 8);
    ck_assert_int_eq(s.n, 2);
    ck_assert_str_eq(s.what, "two");
    ck_assert(s.a == 5 && s.b == UINT64_MAX);
}
END_TEST

static void dump_then_abort(void)
{
    for (uint64_t i = 0; i < 3000; i++) {
        trace("r", i, 0);
    }
    trace_dump(5000); /* more than the ring holds */
    abort();
}

START_TEST(ring_keeps_the_newest_1024)
{
    static char out[65536];
    ck_assert(suite_aborts(dump_then_abort, out, sizeof(out)));
    int lines = 0;
    for (const char *p = out; (p = strchr(p, '\n')) != NULL; p++) {
        lines++;
    }
    ck_assert_int_eq(lines, 1024);
    /* The numbers in front count all records of the thread: without fork others wrote some too. */
    const char *first = strstr(out, ": r 1976 0\n");
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(memchr(out, '\n', (size_t)(first - out)));
    ck_assert_ptr_null(strstr(out, ": r 1975 0\n"));
    ck_assert_ptr_nonnull(strstr(out, ": r 2999 0\n"));
}
END_TEST

static void other_thread(void *arg)
{
    (void)arg;
    trace("other", 1, 1);
}

START_TEST(tap_is_of_its_thread)
{
    struct seen s = {0};
    trace_tap(tap, &s);
    struct thread t;
    thread_start(&t, "other", other_thread, NULL);
    thread_join(&t);
    trace("own", 9, 9);
    trace_tap(NULL, NULL);
    ck_assert_int_eq(s.n, 1);
    ck_assert_str_eq(s.what, "own");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {tap_sees_each_record, ring_keeps_the_newest_1024,
                                  tap_is_of_its_thread, NULL};
    return suite_run("trace", tests);
}
