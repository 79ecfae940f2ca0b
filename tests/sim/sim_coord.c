/* See sim_coord.h. */
#include "base/prelude.h"

#include "tests/sim/sim_coord.h"

static void advise(struct coord *base, const struct coord_view *v, struct coord_advice *out)
{
    struct sim_coord *c = CONTAINER_OF(base, struct sim_coord, base);
    coord_advise(c->real, v, out);
    if (*c->healing) {
        return;
    }
    if (rng_chance(&c->rng, c->silent)) {
        out->claim_len = 0;
        out->look_us = rng_between(&c->rng, 1, 2 * v->heartbeat_us);
    } else if (rng_chance(&c->rng, c->wrong)) {
        out->claim_len = 0;
        for (uint32_t i = 0; i < v->lanes_len; i++) {
            out->claim[out->claim_len++] = v->lanes[i].lane;
        }
    }
}

void sim_coord_init(struct sim_coord *c, uint64_t seed, double silent, double wrong,
                    const bool *healing)
{
    static const struct coord_ops ops = {advise};
    *c = (struct sim_coord){.base = {.ops = &ops},
                            .real = coord_db_new(),
                            .silent = silent,
                            .wrong = wrong,
                            .healing = healing};
    rng_seed(&c->rng, seed);
}

void sim_coord_fini(struct sim_coord *c)
{
    coord_db_free(c->real);
    c->real = NULL;
}
