/* The trace ring: what this thread did last, kept in memory. */
#include "base/prelude.h"

#include "base/trace.h"

enum { TRACE_RECORDS = 1024 }; /* a power of two: the position wraps by masking */

struct trace_record {
    const char *what;
    uint64_t a, b;
};

/* Thread-local, so that tracing costs a few stores and no synchronisation. The tap is too: it
 * serves the simulator, which runs in one thread. */
static _Thread_local struct trace_record trace_ring[TRACE_RECORDS];
static _Thread_local uint64_t trace_count;
static _Thread_local void (*trace_tapped)(void *arg, const char *what, uint64_t a, uint64_t b);
static _Thread_local void *trace_tap_arg;

void trace(const char *what, uint64_t a, uint64_t b)
{
    trace_ring[trace_count++ & (TRACE_RECORDS - 1)] = (struct trace_record){what, a, b};
    if (trace_tapped != NULL) {
        trace_tapped(trace_tap_arg, what, a, b);
    }
}

void trace_dump(unsigned n)
{
    uint64_t held = MIN(trace_count, (uint64_t)TRACE_RECORDS);
    uint64_t first = trace_count - MIN(held, (uint64_t)n);
    for (uint64_t i = first; i < trace_count; i++) {
        const struct trace_record *r = &trace_ring[i & (TRACE_RECORDS - 1)];
        fprintf(stderr, "trace %" PRIu64 ": %s %" PRIu64 " %" PRIu64 "\n", i, r->what, r->a, r->b);
    }
}

void trace_tap(void (*tap)(void *arg, const char *what, uint64_t a, uint64_t b), void *arg)
{
    trace_tapped = tap;
    trace_tap_arg = arg;
}
