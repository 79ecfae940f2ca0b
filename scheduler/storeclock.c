/* Estimating the store's clock: see storeclock.h. */
#include "base/prelude.h"

#include "scheduler/storeclock.h"

#include "base/assert.h"

void storeclock_init(struct storeclock *c)
{
    *c = (struct storeclock){0};
}

static int64_t aged_error(const struct storeclock *c, struct mono now)
{
    int64_t age = MAX(now.us - c->at.us, 0);
    return c->error_us + age / 1000000 * STORECLOCK_DRIFT_PPM +
           age % 1000000 * STORECLOCK_DRIFT_PPM / 1000000;
}

void storeclock_sample(struct storeclock *c, struct mono sent, struct mono answered,
                       struct wall store)
{
    if (store.us == 0 || answered.us < sent.us) {
        return;
    }
    int64_t rtt = answered.us - sent.us;
    int64_t offset = store.us - (sent.us + rtt / 2);
    int64_t error = rtt / 2 + 1;
    if (c->set) {
        int64_t have = aged_error(c, answered);
        int64_t differ = offset > c->offset_us ? offset - c->offset_us : c->offset_us - offset;
        /* Two honest bounds overlap. When they do not, the store's clock was set (or another
         * server answers): believe the new one. */
        if (error > have && differ <= error + have) {
            return;
        }
    }
    c->set = true;
    c->offset_us = offset;
    c->error_us = error;
    c->at = answered;
}

struct wall storeclock_now(const struct storeclock *c, struct mono now)
{
    PRE(c->set);
    return (struct wall){now.us + c->offset_us};
}

struct wall storeclock_earliest(const struct storeclock *c, struct mono now)
{
    return (struct wall){storeclock_now(c, now).us - aged_error(c, now)};
}

struct wall storeclock_latest(const struct storeclock *c, struct mono now)
{
    return (struct wall){storeclock_now(c, now).us + aged_error(c, now)};
}

struct mono storeclock_mono(const struct storeclock *c, struct wall due)
{
    PRE(c->set);
    return (struct mono){due.us - c->offset_us};
}

int64_t storeclock_error_us(const struct storeclock *c, struct mono now)
{
    return c->set ? aged_error(c, now) : INT64_MAX;
}
