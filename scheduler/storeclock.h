/* The one clock: the primary's clock_timestamp(), estimated from round trips (design.md 2.7). Pure.
 *
 * Each answer of the store carries its time; half the round trip bounds the error. The best recent
 * sample counts; its error grows with age by the drift allowed for quartz clocks. */
#ifndef CARILLON_SCHEDULER_STORECLOCK_H
#define CARILLON_SCHEDULER_STORECLOCK_H

#include "base/clock.h"

enum {
    STORECLOCK_DRIFT_PPM = 200,             /* of two ordinary clocks against each other */
    STORECLOCK_ERROR_MAX_US = 1 * US_PER_S, /* above: ownership is refused */
    STORECLOCK_ALARM_US = 250 * US_PER_MS,  /* host offset that is worth an alarm */
};

struct storeclock {
    bool set;
    int64_t offset_us; /* store wall time minus monotonic time, at the best sample */
    int64_t error_us;  /* bound at the time of the sample */
    struct mono at;    /* when the sample was taken */
};

void storeclock_init(struct storeclock *c);
/* One round trip: sent and answered on our monotonic clock, "store" read in between. */
void storeclock_sample(struct storeclock *c, struct mono sent, struct mono answered,
                       struct wall store);
/* The store's time now, by estimate. Only when set. */
struct wall storeclock_now(const struct storeclock *c, struct mono now);
/* What the store's clock reads now at the least, and at the most: an instant that must not be later
 * (a start, compared with what follows it), or not earlier (from which a wait is counted). */
struct wall storeclock_earliest(const struct storeclock *c, struct mono now);
struct wall storeclock_latest(const struct storeclock *c, struct mono now);
/* The monotonic instant at which the store's clock reads "due", by estimate. */
struct mono storeclock_mono(const struct storeclock *c, struct wall due);
/* Bound of the error now; INT64_MAX when no sample was taken. */
int64_t storeclock_error_us(const struct storeclock *c, struct mono now);

#endif
