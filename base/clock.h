/* Time types and the clock port. Two instants that must not be mixed: monotonic (for
 * time-outs inside a process) and wall (microseconds since 1970, UTC; deadlines in the store). */
#ifndef CARILLON_BASE_CLOCK_H
#define CARILLON_BASE_CLOCK_H

#include "base/prelude.h"
#include "base/str.h"

struct mono {
    int64_t us;
};
struct wall {
    int64_t us;
};

enum {
    US_PER_MS = 1000,
    US_PER_S = 1000000,
};
#define US_PER_HOUR (INT64_C(3600) * US_PER_S)
#define US_PER_DAY  (INT64_C(86400) * US_PER_S)

/* Port: where a node reads time. os_clock() is the real one; the simulator has its own, with
 * steps and drift per node. Callable from any thread. */
struct clock {
    struct mono (*mono)(struct clock *c);
    struct wall (*wall)(struct clock *c);
};
static inline struct mono clock_mono(struct clock *c)
{
    return c->mono(c);
}
static inline struct wall clock_wall(struct clock *c)
{
    return c->wall(c);
}

/* RFC 3339 with microseconds or milliseconds, always Z: "2026-11-23T09:12:10.123Z".
 * "digits" of the fraction 0, 3 or 6. "out" must hold WALL_TEXT_SIZE bytes. Outside the years
 * 0001 to 9999 the nearest instant within is written. */
enum { WALL_TEXT_SIZE = 40 };
void wall_format(struct wall t, int digits, char *out);
/* RFC 3339 date-time with any offset and 0 to 9 fraction digits (rounded down to µs),
 * years 0001 to 9999, no leap seconds; ERR_INVALID otherwise. */
enum err wall_parse(struct str s, struct wall *out) MUST_CHECK;

#endif
