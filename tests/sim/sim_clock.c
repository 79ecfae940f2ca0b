/* Clocks of a host: an offset and a drift over the world's time, and steps of the wall clock. */
#include "base/prelude.h"

#include "tests/sim/world.h"

enum { PPM = 1000000 };

static int64_t drifted(const struct host_clock *c, int64_t true_us)
{
    return true_us + true_us / PPM * c->drift_ppm + true_us % PPM * c->drift_ppm / PPM;
}

struct mono host_mono(const struct host_clock *c, int64_t true_us)
{
    return (struct mono){c->mono_offset_us + drifted(c, true_us)};
}

int64_t host_mono_due(const struct host_clock *c, struct mono m)
{
    int64_t shown = m.us - c->mono_offset_us;
    int64_t t = (int64_t)((double)shown * PPM / (double)(PPM + c->drift_ppm)) - 4;
    while (host_mono(c, t).us < m.us) {
        t++;
    }
    return t;
}

static struct mono clock_now_mono(struct clock *base)
{
    struct host_clock *c = CONTAINER_OF(base, struct host_clock, base);
    return host_mono(c, c->host->world->now_us);
}

static struct wall clock_now_wall(struct clock *base)
{
    struct host_clock *c = CONTAINER_OF(base, struct host_clock, base);
    struct world *w = c->host->world;
    return (struct wall){w->wall_base_us + drifted(c, w->now_us) + c->wall_offset_us};
}

void host_clock_init(struct host_clock *c, struct host *h)
{
    c->base = (struct clock){.mono = clock_now_mono, .wall = clock_now_wall};
    c->host = h;
    c->mono_offset_us = rng_between(&h->world->rng, 1, 1000 * (int64_t)US_PER_S);
    c->wall_offset_us = 0;
    c->drift_ppm = 0;
}
