/* The last words of a process whose invariant broke. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/trace.h"

enum { ASSERT_TRACE_RECORDS = 64 };

static void (*assert_hook)(void *arg);
static void *assert_hook_arg;
/* A hook or a dump that asserts itself must not go round for ever. */
static _Thread_local bool assert_failing;

void assert_on_fail(void (*hook)(void *arg), void *arg)
{
    assert_hook = hook;
    assert_hook_arg = arg;
}

void assert_fail(const char *cond, int invariant, const char *file, int line, const char *func)
{
    if (invariant != 0) {
        fprintf(stderr, "%s:%d: %s: invariant I%d broken: %s\n", file, line, func, invariant, cond);
    } else {
        fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, func, cond);
    }
    if (!assert_failing) {
        assert_failing = true;
        if (assert_hook != NULL) {
            assert_hook(assert_hook_arg);
        }
        trace_dump(ASSERT_TRACE_RECORDS);
    }
    abort();
}
