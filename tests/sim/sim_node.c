/* The production node on a simulated host, and the faults around it. */
#include "base/prelude.h"

#include "tests/sim/run.h"

#include "base/assert.h"
#include "tests/sim/writer.h"

enum { RESTART_MIN_US = 200 * US_PER_MS, RESTART_MAX_US = 8 * US_PER_S };

static struct run *run_of(struct host *h)
{
    return h->user;
}

static void node_faulted(struct fault_set *set, enum fault_point p)
{
    struct run *r = set->arg;
    world_note(r->world, "fault point", p, set->point[p].passes);
    if (host_acts(r->node_host)) {
        r->hits[SWARM_POINT]++;
        r->faults_done++;
        int64_t back = rng_between(&r->rng, RESTART_MIN_US, RESTART_MAX_US);
        host_crash_and_restart(r->node_host, back);
    }
}

static void node_started(struct node_events *ev, enum err e, struct str address, struct str detail)
{
    struct run *r = CONTAINER_OF(ev, struct run, events);
    (void)address;
    world_note(r->world, "node started", (uint64_t)e, 0);
    if (e != ERR_OK) {
        run_violation(r, 0, "the node does not start: %.*s", STR_ARG(detail));
    }
    r->node_started = true;
}

static void node_state(struct node_events *ev, enum owner_state s)
{
    struct run *r = CONTAINER_OF(ev, struct run, events);
    world_note(r->world, owner_state_name(s), (uint64_t)s, 0);
    r->node_state = s;
}

static void node_stopped(struct node_events *ev)
{
    struct run *r = CONTAINER_OF(ev, struct run, events);
    world_note(r->world, "node stopped", 0, 0);
    world_after(r->world, &r->freed, 1000);
}

static void node_boot(struct host *h)
{
    struct run *r = run_of(h);
    struct node_ports ports = {
        .loops = &h->factory,
        .clock = &h->clock.base,
        .transport = &r->net->base,
        .store = &r->store->base,
        .coord = &r->coord.base,
        .faults = &r->faults,
        .seed = rng_u64(&r->rng),
    };
    sim_coord_init(&r->coord, rng_u64(&r->rng), r->swarm.coord_silent, r->swarm.coord_wrong,
                   &r->healing);
    r->node_started = false;
    r->node_state = OWNER_STARTING;
    r->draining = false;
    r->node = node_start(&r->swarm.node, &ports, &r->events);
}

static void node_gone(struct host *h)
{
    struct run *r = run_of(h);
    r->node = NULL;
    world_cancel(r->world, &r->freed);
}

static void node_frees(struct host *h)
{
    node_free(run_of(h)->node);
    sim_coord_fini(&run_of(h)->coord);
}

/* After an orderly stop nothing may be left: memory, loops, calls. */
static void node_ends(struct event *e)
{
    struct run *r = CONTAINER_OF(e, struct run, freed);
    struct host *h = r->node_host;
    host_run(h, node_frees);
    if (h->region.blocks != 0) {
        run_violation(r, 40, "the node left %zu blocks of memory behind", h->region.blocks);
    }
    if (!list_empty(&h->loops)) {
        run_violation(r, 40, "the node left a loop behind");
    }
    int64_t back = rng_between(&r->rng, RESTART_MIN_US, 2 * US_PER_S);
    if (r->stopping) {
        host_crash(h); /* for good: this is the end of the seed */
    } else {
        host_crash_and_restart(h, back);
    }
}

static void node_stops(struct host *h)
{
    struct run *r = run_of(h);
    r->draining = true;
    node_stop(r->node);
}

void node_drain(struct run *r)
{
    if (host_acts(r->node_host) && r->node != NULL && r->node_started && !r->draining) {
        host_run(r->node_host, node_stops);
    }
}

void node_host_make(struct run *r)
{
    r->node_host = host_new(r->world, "node-1");
    r->node_host->user = r;
    r->node_host->boot = node_boot;
    r->node_host->gone = node_gone;
    r->node_host->clock.drift_ppm = r->swarm.drift_ppm;
    r->events =
        (struct node_events){.started = node_started, .state = node_state, .stopped = node_stopped};
    r->freed = (struct event){.run = node_ends, .name = "freed"};
    fault_init(&r->faults, node_faulted, r);
    host_boot(r->node_host);
}

/* ---- faults ---- */

static struct host *some_actor(struct run *r)
{
    uint64_t n = r->swarm.clients + r->swarm.workers;
    uint64_t pick = rng_below(&r->rng, n);
    return pick < r->swarm.clients ? r->clients[pick].host
                                   : r->workers[pick - r->swarm.clients].host;
}

/* "CRASH_AT:after=3:times=1" */
static void point_arm(struct run *r)
{
    char spec[96];
    (void)snprintf(spec, sizeof(spec), "%s:after=%" PRIu64 ":times=1",
                   fault_name((enum fault_point)rng_below(&r->rng, FAULT_COUNT)),
                   rng_below(&r->rng, 40));
    enum err e = fault_arm(&r->faults, str_of(spec));
    ASSERT(e == ERR_OK);
}

static void fault_net_cut(struct run *r)
{
    struct host *peer = some_actor(r);
    int64_t us = rng_between(&r->rng, 100 * US_PER_MS, 6 * US_PER_S);
    if (rng_chance(&r->rng, 0.7)) {
        sim_net_cut(r->net, r->node_host, peer, us);
    }
    if (rng_chance(&r->rng, 0.7)) {
        sim_net_cut(r->net, peer, r->node_host, us);
    }
    if (rng_chance(&r->rng, 0.3)) {
        (void)sim_net_reset(r->net, peer, r->node_host);
    }
}

static void fault_worker(struct run *r)
{
    struct actor *w = &r->workers[rng_below(&r->rng, r->swarm.workers)];
    if (rng_chance(&r->rng, 0.3)) {
        host_pause(w->host, rng_between(&r->rng, US_PER_S, 12 * (int64_t)US_PER_S));
    } else if (w->host->up) {
        host_crash_and_restart(w->host, rng_between(&r->rng, 100 * US_PER_MS, 5 * US_PER_S));
    }
}

/* Not the first one: somebody must do the work. */
static bool fault_hang(struct run *r)
{
    uint32_t first = r->swarm.tenants; /* one of each tenant never does */
    if (r->swarm.workers <= first) {
        return false;
    }
    struct actor *w = &r->workers[first + rng_below(&r->rng, r->swarm.workers - first)];
    if (!w->host->up || w->hangs) {
        return false;
    }
    w->hangs = true;
    return true;
}

/* One that runs, so that something asks for it; what was damaged before is restored first. */
static void fault_damage(struct run *r)
{
    struct order *o = order_known(r, RUN_TENANTS);
    enum sim_damage kind = (enum sim_damage)rng_between(&r->rng, SIM_SOUND, SIM_TURNS_REFUSED);
    if (o != NULL) {
        sim_store_damage(r->store, &o->id, r->store->damage == SIM_SOUND ? kind : SIM_SOUND);
    }
}

static void fault_do(struct run *r, enum swarm_kind k)
{
    struct host *node = r->node_host;
    struct rng *rng = &r->rng;
    world_note(r->world, swarm_kind_name(k), (uint64_t)k, r->faults_done);
    switch (k) {
    case SWARM_CRASH:
        if (!node->up) {
            return;
        }
        host_crash_and_restart(node, rng_between(rng, RESTART_MIN_US, RESTART_MAX_US));
        break;
    case SWARM_POINT:
        point_arm(r);
        return; /* counted when it fires */
    case SWARM_DRAIN:
        node_drain(r);
        break;
    case SWARM_PAUSE:
        host_pause(node, rng_between(rng, 50 * US_PER_MS, 4 * r->swarm.node.heartbeat_us));
        break;
    case SWARM_AWAY:
        sim_store_away(r->store, rng_between(rng, 20 * US_PER_MS, 6 * US_PER_S));
        break;
    case SWARM_FAILOVER:
        sim_store_failover(r->store, rng_between(rng, 0, 1500 * US_PER_MS));
        break;
    case SWARM_STORE_CUT:
        sim_store_cut(r->store, node);
        break;
    case SWARM_RESET:
        (void)sim_net_reset(r->net, node, rng_chance(rng, 0.5) ? some_actor(r) : NULL);
        break;
    case SWARM_NET_CUT:
        fault_net_cut(r);
        break;
    case SWARM_WORKER:
        fault_worker(r);
        break;
    case SWARM_HANG:
        if (!fault_hang(r)) {
            return;
        }
        break;
    case SWARM_CLOCK:
        host_step_clock(node,
                        rng_between(rng, -3600 * (int64_t)US_PER_S, 3600 * (int64_t)US_PER_S));
        break;
    case SWARM_DAMAGE:
        fault_damage(r);
        break;
    case SWARM_KINDS:
        return;
    }
    r->hits[k]++;
    r->faults_done++;
}

/* A failover takes what a tenant has just brought, its number with it; another one comes about now. */
static void tail_due(struct event *e)
{
    struct run *r = CONTAINER_OF(e, struct run, tail);
    fault_do(r, SWARM_FAILOVER);
}

static void fault_due(struct event *e)
{
    struct run *r = CONTAINER_OF(e, struct run, fault);
    uint64_t all = 0;
    for (int k = 0; k < SWARM_KINDS; k++) {
        all += r->swarm.weight[k];
    }
    uint64_t pick = rng_below(&r->rng, all);
    for (int k = 0; k < SWARM_KINDS; k++) {
        if (pick < r->swarm.weight[k]) {
            fault_do(r, (enum swarm_kind)k);
            break;
        }
        pick -= r->swarm.weight[k];
    }
    /* In a load that is prolonged it gets calmer, or the node would never own anything for long. */
    int64_t gap_us = r->swarm.gap_us * (1 + r->world->now_us / (LOAD_S * (int64_t)US_PER_S));
    world_after(r->world, &r->fault, rng_between(&r->rng, gap_us / 2, 2 * gap_us));
}

/* ---- the second writer ---- */

static bool writer_answers(void *arg, struct arena *a, const struct exec_row *row, struct str state,
                           struct fact *fact)
{
    struct order *o = order_find(arg, row->workflow, row->name, STR_NONE);
    char output[160];
    if (o == NULL || (o->workflow == 6 && o->variant == 1) || order_unheard(o) || state.size < 2) {
        return false; /* what hangs is to hang */
    }
    if (order_fails(o, fact->token.ref.attempt)) {
        fact->type = FACT_TASK_FAILED;
        fact->error = STR("Broken");
        fact->cause = STR("as asked");
        return true;
    }
    order_payload(o, (uint32_t)(state.p[1] - '1') + 1, output, sizeof(output));
    fact->payload = str_dup(a, str_of(output));
    return true;
}

static void writer_due(struct event *e)
{
    struct run *r = CONTAINER_OF(e, struct run, writer);
    struct order *o = order_known(r, RUN_TENANTS);
    if (o != NULL && !order_calls(o) && order_children(o) == 0 &&
        writer_acts(r->store, &r->rng, &o->id, writer_answers, r)) {
        world_note(r->world, "second writer", o->n, 0);
        check_foreign(r->checkers, &o->id);
    }
    world_after(r->world, &r->writer, rng_between(&r->rng, 1, 2 * r->swarm.writer_gap_us));
}

void swarm_start(struct run *r)
{
    r->store->faults = r->swarm.store;
    r->net->loss = r->swarm.net_loss;
    r->fault = (struct event){.run = fault_due, .name = "fault"};
    world_after(r->world, &r->fault, rng_between(&r->rng, 100 * US_PER_MS, 5 * (int64_t)US_PER_S));
    r->tail = (struct event){.run = tail_due, .name = "tail"};
    if (r->swarm.lossy && r->swarm.tenants > 1) {
        world_after(r->world, &r->tail,
                    r->swarm.tenant_at_us[1] + rng_between(&r->rng, 0, 2 * (int64_t)US_PER_S));
    }
    r->writer = (struct event){.run = writer_due, .name = "writer"};
    if (r->swarm.writer_gap_us > 0) {
        world_after(r->world, &r->writer, r->swarm.writer_gap_us);
    }
}

void swarm_stop(struct run *r)
{
    world_cancel(r->world, &r->fault);
    world_cancel(r->world, &r->writer);
    world_cancel(r->world, &r->tail);
    sim_store_damage(r->store, &r->store->damaged, SIM_SOUND);
    r->store->faults = (struct sim_store_faults){0};
    r->store->away_until = 0;
    sim_net_heal(r->net);
    fault_init(&r->faults, node_faulted, r);
    for (uint32_t i = 0; i < r->swarm.workers; i++) {
        r->workers[i].host->paused_until = 0;
    }
}
