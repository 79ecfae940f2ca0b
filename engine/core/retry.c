/* Retry and Catch: matching and back-off. */
#include "base/prelude.h"

#include "base/clock.h"
#include "engine/core/retry.h"

/* Nothing but its own name may treat it. (States.DataLimitExceeded is caught by States.ALL, as recorded on the
 * real service, although its documents say otherwise.) */
static bool is_terminal(struct str error)
{
    return str_eqc(error, "States.Runtime");
}

static bool is_timeout(struct str error)
{
    return str_eqc(error, "States.Timeout") || str_eqc(error, "States.HeartbeatTimeout");
}

bool errors_match(const struct str *errors, uint32_t len, struct str error)
{
    for (uint32_t i = 0; i < len; i++) {
        if (error.p != NULL && str_eq(errors[i], error)) {
            return true;
        }
        if (str_eqc(errors[i], "States.ALL") && !is_terminal(error)) {
            return true;
        }
        if (str_eqc(errors[i], "States.TaskFailed") && !is_terminal(error) && !is_timeout(error)) {
            return true;
        }
        if (str_eqc(errors[i], "States.Timeout") && is_timeout(error)) {
            return true;
        }
    }
    return false;
}

int retrier_find(const struct state *s, const uint32_t *counts, struct str error)
{
    for (uint32_t i = 0; i < s->retriers_len; i++) {
        const struct retrier *r = &s->retriers[i];
        if (errors_match(r->errors, r->errors_len, error)) {
            return (counts == NULL ? 0 : (int64_t)counts[i]) < r->max_attempts ? (int)i : -1;
        }
    }
    return -1;
}

int catcher_find(const struct state *s, struct str error)
{
    for (uint32_t i = 0; i < s->catchers_len; i++) {
        if (errors_match(s->catchers[i].errors, s->catchers[i].errors_len, error)) {
            return (int)i;
        }
    }
    return -1;
}

/* No wait is longer than a year and a day, whatever the rate. */
#define DELAY_S_MAX 31622400.0

int64_t retry_delay_us(const struct retrier *r, uint32_t done, struct rng *rng)
{
    double s = (double)r->interval_s;
    int64_t us;

    for (uint32_t i = 0; i < done && s < DELAY_S_MAX && r->backoff > 1.0; i++) {
        s *= r->backoff;
    }
    if (r->max_delay_s > 0 && s > (double)r->max_delay_s) {
        s = (double)r->max_delay_s;
    }
    if (s > DELAY_S_MAX) {
        s = DELAY_S_MAX;
    }
    us = (int64_t)(s * US_PER_S);
    return r->jitter ? rng_between(rng, 0, us) : us;
}
