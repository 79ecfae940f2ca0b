/* One seed from its beginning to its verdict. */
#include "base/prelude.h"

#include "tests/sim/run.h"

#include "base/assert.h"

void run_violation(struct run *r, int invariant, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (r->violations++ == 0) {
        (void)snprintf(r->first_violation, sizeof(r->first_violation),
                       "at %" PRId64 ".%06" PRId64 " s: INV(%d) %s", r->world->now_us / US_PER_S,
                       r->world->now_us % US_PER_S, invariant, text);
    }
    world_say(r->world, "VIOLATION INV(%d) %s", invariant, text);
    r->world->failed = true;
}

static void run_violated(void *arg, int invariant, const char *text)
{
    run_violation(arg, invariant, "%s", text);
}

/* ---- what the store does goes to the checkers ---- */

/* Whose it is by its name; of a child by the number that its parent has brought along. */
static uint32_t tenant_of(struct run *r, const struct start_row *start)
{
    const struct order *o = order_find(r, start->workflow, start->name, STR_NONE);
    if (o != NULL) {
        check_tenant_number(r->checkers, start->tenant, o->tenant);
        r->tenant_number[o->tenant] = start->tenant;
        return o->tenant;
    }
    for (uint32_t i = 0; i < RUN_TENANTS; i++) {
        if (r->tenant_number[i] == start->tenant) {
            return i;
        }
    }
    run_violation(r, 38, "a start of a tenant that nobody is: %" PRIu32, start->tenant);
    return 0;
}

/* The checkers compare inputs by a number of the caller, here whether the input is the order's own; and they
 * know tenants by their place here. */
static void starts_map(struct run *r, const struct store_commit *q, struct start_row *starts,
                       struct turn_row *rows, struct turn_row **list)
{
    for (uint32_t i = 0; i < q->turns_len; i++) {
        rows[i] = *q->turns[i];
        if (rows[i].start != NULL) {
            starts[i] = *rows[i].start;
            starts[i].digest = 1;
            if (rows[i].result == TURN_OK) {
                starts[i].tenant = tenant_of(r, &starts[i]);
            }
            rows[i].start = &starts[i];
        }
        list[i] = &rows[i];
    }
}

static void store_committed(struct sim_store_watch *w, const struct store_req *req)
{
    struct run *r = CONTAINER_OF(w, struct run, watch);
    struct wall now = world_wall(r->world);
    if (req->op == STORE_CLAIM) {
        check_claim(r->checkers, CONTAINER_OF(req, struct store_claim, req), now);
    }
    if (req->op == STORE_TIMERS_DROP) {
        check_timers_drop(r->checkers, CONTAINER_OF(req, struct store_timers_drop, req));
    }
    if (req->op == STORE_COMMIT) {
        struct store_commit copy = *CONTAINER_OF(req, struct store_commit, req);
        struct start_row *starts = MEM_ARRAY(struct start_row, MAX(copy.turns_len, 1U));
        struct turn_row *rows = MEM_ARRAY(struct turn_row, MAX(copy.turns_len, 1U));
        struct turn_row **list = MEM_ARRAY(struct turn_row *, MAX(copy.turns_len, 1U));
        starts_map(r, &copy, starts, rows, list);
        copy.turns = list;
        check_commit(r->checkers, &copy, now);
        mem_free(starts);
        mem_free(rows);
        mem_free(list);
    }
}

/* Whatever is wrong, a node does not ask its store without end: the busiest seed makes half as many calls,
 * a loop that never rests ten times as many. */
enum { WORK_US = 5 * US_PER_S, WORK_CALLS_MAX = 2500 };

static void work_due(struct event *e)
{
    struct run *r = CONTAINER_OF(e, struct run, work);
    uint64_t calls = r->store->calls - r->calls_seen;
    r->calls_seen = r->store->calls;
    if (calls > WORK_CALLS_MAX) {
        run_violation(r, 40, "%" PRIu64 " calls of the store in %d s", calls,
                      (int)(WORK_US / US_PER_S));
    }
    world_after(r->world, &r->work, WORK_US);
}

/* The store's clock passes from one window to the next. It counts when the node runs and owns lanes at that instant. */
static void boundary_due(struct event *e)
{
    struct run *r = CONTAINER_OF(e, struct run, boundary);
    int64_t window_us = r->swarm.node.window_us;
    const struct host *node = r->node_host;
    bool owns = node->up && node->paused_until <= r->world->now_us && r->node_state == OWNER_ACTIVE;
    r->windows_crossed += owns && !r->healing;
    world_after(r->world, &r->boundary, window_us - world_wall(r->world).us % window_us);
}

static void store_lost_tail(struct sim_store_watch *w, struct wall since)
{
    struct run *r = CONTAINER_OF(w, struct run, watch);
    check_lost_tail(r->checkers, since);
}

struct run *run_new(uint64_t seed, bool tracing, bool print)
{
    struct run *r = MEM_NEW(struct run);
    r->world = world_new(seed, tracing, print);
    r->world->user = r;
    rng_fork(&r->world->rng, &r->rng);
    swarm_draw(&r->swarm, &r->rng);
    r->net = sim_net_new(r->world);
    r->store = sim_store_new(r->world, 0, r->swarm.lanes);
    r->store->latency_us = r->swarm.store_latency_us;
    r->store->move_max = r->swarm.store_move_max;
    r->checkers = checkers_new(run_violated, r);
    workflow_rules(r->checkers);
    r->watch = (struct sim_store_watch){store_committed, store_lost_tail};
    r->store->watch = &r->watch;
    r->work = (struct event){.run = work_due, .name = "work"};
    world_after(r->world, &r->work, WORK_US);
    node_host_make(r);
    r->boundary = (struct event){.run = boundary_due, .name = "boundary"};
    boundary_due(&r->boundary);
    clients_make(r);
    workers_make(r);
    return r;
}

static bool everything_ended(const struct run *r)
{
    uint64_t started, ended;
    check_counts(r->checkers, &started, &ended);
    return started == ended && clients_idle(r) && !tables_messages(r);
}

/* Nothing is left under way but long polls: then an orderly stop must leave nothing at all. */
static void run_close(struct run *r)
{
    uint32_t clients = 0;
    for (uint32_t i = 0; i < r->swarm.clients; i++) {
        host_crash(r->clients[i].host);
        clients += actor_requests(&r->clients[i]);
    }
    ASSERT(clients == 0);
    for (uint32_t i = 0; i < r->swarm.workers; i++) {
        host_crash(r->workers[i].host);
    }
    world_run(r->world, r->world->now_us + 5 * US_PER_S);
    for (int i = 0; i < 30 && !(r->node_host->up && r->node_started && !r->draining); i++) {
        world_run(r->world, r->world->now_us + US_PER_S); /* it was being restarted */
    }
    unsigned left = sim_net_unanswered(r->net, r->node_host);
    if (left > 0) {
        run_violation(r, 40, "%u requests were never answered", left);
    }
    r->stopping = true;
    node_drain(r);
    world_run(r->world, r->world->now_us + 60 * (int64_t)US_PER_S);
    if (!r->world->failed && r->node_host->up) {
        run_violation(r, 41, "the node does not stop");
    }
}

bool run_all(struct run *r)
{
    struct world *w = r->world;
    swarm_start(r);
    do { /* longer, when nobody owned the lanes at enough of the boundaries */
        world_run(w, w->now_us + LOAD_S * (int64_t)US_PER_S);
    } while (r->windows_crossed < WINDOWS_MIN && w->now_us < LOAD_MAX_S * (int64_t)US_PER_S);
    r->healing = true;
    swarm_stop(r);
    int64_t bound = w->now_us + HEAL_S * (int64_t)US_PER_S;
    world_note(w, "heal", r->faults_done, r->operations);
    while (w->now_us < bound && !w->failed && !(everything_ended(r) && !r->draining)) {
        world_run(w, w->now_us + US_PER_S);
    }
    if (!w->failed && !clients_idle(r)) {
        run_violation(r, 17, "a start is still in doubt %d s after the heal", HEAL_S);
    }
    if (!w->failed) {
        tables_check(r);
        check_end(r->checkers, true);
    }
    if (!w->failed) {
        run_close(r);
    }
    return r->violations == 0;
}

void run_free(struct run *r)
{
    if (r == NULL) {
        return;
    }
    r->store->watch = NULL;
    struct sim_store *store = r->store;
    struct sim_net *net = r->net;
    world_cancel(r->world, &r->fault);
    world_cancel(r->world, &r->freed);
    world_cancel(r->world, &r->writer);
    world_cancel(r->world, &r->work);
    world_cancel(r->world, &r->tail);
    world_cancel(r->world, &r->boundary);
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        world_cancel(r->world, &r->clients[i].first);
    }
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        world_cancel(r->world, &r->workers[i].first);
    }
    world_free(r->world);
    sim_store_free(store);
    sim_net_free(net);
    checkers_free(r->checkers);
    for (uint32_t i = 0; i < r->swarm.workers; i++) {
        mem_free(r->workers[i].worker);
    }
    mem_free(r);
}
