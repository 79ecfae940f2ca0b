/* What a seed draws. */
#include "base/prelude.h"

#include "tests/sim/run.h"

const char *swarm_kind_name(enum swarm_kind k)
{
    static const char *const names[SWARM_KINDS] = {"crash",    "point", "drain", "pause", "away",
                                                   "failover", "store", "reset", "cut",   "workers",
                                                   "hang",     "clock", "damage"};
    return names[k];
}

/* Zero, low or high: the swarm is of rates that differ by whole factors. */
static double rate(struct rng *rng, double high)
{
    switch (rng_below(rng, 3)) {
    case 0:
        return 0;
    case 1:
        return high / 8;
    default:
        return high;
    }
}

void swarm_draw(struct swarm *s, struct rng *rng)
{
    *s = (struct swarm){0};
    uint32_t all = 0;
    for (int k = 0; k < SWARM_KINDS; k++) {
        s->weight[k] = (uint32_t)rng_below(rng, 4);
        all += s->weight[k];
    }
    if (all == 0) {
        s->weight[SWARM_CRASH] = 1;
    }
    s->lossy = rng_chance(rng, 0.3);
    if (!s->lossy) {
        s->weight[SWARM_FAILOVER] = 0;
        s->weight[SWARM_AWAY]++;
    }
    s->gap_us = rng_between(rng, 1 * US_PER_S, 6 * US_PER_S);
    s->store = (struct sim_store_faults){
        .lose_answer = rate(rng, 0.02),
        .serialization = rate(rng, 0.05),
        .slow = rate(rng, 0.02),
        .slow_us = rng_between(rng, 50 * US_PER_MS, 7 * US_PER_S),
    };
    s->store_latency_us = rng_between(rng, 200, 5000);
    s->net_loss = rate(rng, 0.05);
    s->clients = (uint32_t)rng_between(rng, 1, CLIENTS_MAX);
    s->workers = (uint32_t)rng_between(rng, 1, WORKERS_MAX);
    s->tenants = (uint32_t)rng_between(rng, 1, MIN(MIN(s->clients, s->workers), RUN_TENANTS));
    s->tenant_at_us[1] = rng_between(rng, US_PER_S, 20 * (int64_t)US_PER_S);
    s->tenant_at_us[2] = s->tenant_at_us[1] + rng_between(rng, 0, 4 * (int64_t)US_PER_S);
    s->capacity = (uint32_t)rng_between(rng, 3, 16);
    s->op_gap_us = 110 * US_PER_MS * s->clients;
    s->lanes = (uint16_t)(1U << rng_below(rng, 5));
    s->drift_ppm = (int32_t)rng_between(rng, -300, 300);
    s->dup = rate(rng, 0.2);
    s->slow = rate(rng, 0.1);
    s->late = rate(rng, 0.05);
    s->give_back = rate(rng, 0.1);
    s->forsake = rate(rng, 0.1);
    s->writer_gap_us = rng_chance(rng, 0.3) ? rng_between(rng, 50 * US_PER_MS, US_PER_S) : 0;
    node_config_defaults(&s->node);
    s->node.node_id = STR("node-1");
    s->node.listen = STR("tcp://node-1:7070");
    s->node.window_us = rng_between(rng, 12, 17) * US_PER_S;
    s->node.ring_windows = (uint32_t)rng_between(rng, 3, 5);
    s->node.heartbeat_us = rng_between(rng, 1, 4) * US_PER_S;
    s->node.promote_us = rng_between(rng, 2, 6) * US_PER_S;
    s->node.timers_chunk = rng_chance(rng, 0.5) ? 1000 : (uint32_t)rng_between(rng, 4, 30);
    s->node.turn_loops = (uint32_t)rng_below(rng, 4);
    s->node.cache_bytes = rng_chance(rng, 0.5) ? 1U << 20 : (size_t)rng_between(rng, 1, 8) << 12;
    s->node.definitions = rng_chance(rng, 0.5) ? 1000 : 2;
    s->node.definition_us = s->node.definitions == 2 ? 3 * US_PER_S : US_PER_HOUR;
    s->node.batches = (uint32_t)rng_between(rng, 1, 3);
    s->node.batch_min = (uint32_t)rng_between(rng, 1, 64);
    s->store.locked = rate(rng, 0.02);
    s->coord_silent = rate(rng, 0.5);
    s->coord_wrong = rate(rng, 0.3);
    s->store_move_max = rng_chance(rng, 0.3) ? STORE_MOVE_MAX : (uint32_t)rng_between(rng, 1, 8);
    s->node.tasks_max = rng_chance(rng, 0.5) ? 0 : (uint32_t)rng_between(rng, 2, 20);
}
