/* Random sequences of calls give equal answers on the simulator's store and on PostgreSQL. The calls
 * come from several connections (incarnations), one at a time; both stores start empty and live through
 * all sequences, so states grow that nobody would think of. Parameters are drawn from what earlier
 * calls answered, and now and then from what is stale or wrong. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/mem.h"
#include "base/os.h"
#include "base/thread.h"
#include "cmd/private_pg.h"
#include "storage/migrate.h"
#include "storage/store_pg.h"
#include "tests/contract/store_text.h"
#include "tests/sim/sim_store.h"

enum {
    SEQUENCES = 2000,
    CALLS_MAX = 24, /* of a sequence */
    SHARD = 3,
    LANES = 4,
    RING = 4,
    NODES = 3,
    EXECS = 48,
    BATCH = 4,
    OPEN_MAX = 16,
    PATIENCE_US = 30 * US_PER_S,
};
#define WINDOW_US US_PER_HOUR

/* ---- what the generator remembers; the same for both stores ---- */

struct known_exec {
    struct exec_id id;
    bool started;
    uint64_t seq, turn;
    uint32_t name;
    struct task_token tasks[OPEN_MAX]; /* open */
    struct timer_row timers[OPEN_MAX];
    uint32_t tasks_len, timers_len;
    uint64_t messages; /* sent to it; the numbers are the sources */
};

struct model {
    struct rng rng;
    int64_t window; /* of the test's beginning */
    struct uuid incarnation[NODES];
    struct lane_ref lane[NODES][LANES]; /* as last claimed */
    struct known_exec exec[EXECS];
    uint32_t names;
};

/* One call, in memory of its own for each store. */
struct call {
    union {
        struct store_req req;
        struct store_lease lease;
        struct store_release release;
        struct store_lanes lanes;
        struct store_claim claim;
        struct store_window_open window_open;
        struct store_window_close window_close;
        struct store_window_empty window_empty;
        struct store_promote promote;
        struct store_timers timers;
        struct store_timers_drop timers_drop;
        struct store_tasks tasks;
        struct store_lane_inbox lane_inbox;
        struct store_inbox inbox;
        struct store_inbox_drop inbox_drop;
        struct store_commit commit;
        struct store_load load;
        struct store_start_lookup start_lookup;
        struct store_list list;
        struct store_history history;
        struct store_def_put def_put;
        struct store_def_get def_get;
        struct store_def_list def_list;
        struct store_tenant tenant;
    } u;
    struct arena in, out;
    uint32_t node; /* which connection */
    struct known_exec *execs[BATCH];
    struct turn_row *turns[BATCH];
    bool done;
};

static struct str text(struct arena *a, const char *what, uint64_t n)
{
    return str_of(arena_printf(a, "%s-%" PRIu64, what, n));
}

static struct wall hours(const struct model *m, double h)
{
    return (struct wall){m->window * WINDOW_US + (int64_t)(h * (double)US_PER_HOUR)};
}

static struct lane_ref *some_lanes(struct model *m, struct call *c, uint32_t *len)
{
    struct lane_ref *v = ARENA_ARRAY(&c->in, struct lane_ref, LANES);
    *len = 0;
    for (uint32_t i = 0; i < LANES; i++) {
        if (rng_chance(&m->rng, 0.6)) {
            v[*len] = m->lane[c->node][i];
            if (rng_chance(&m->rng, 0.03)) {
                v[*len].fence.epoch++;
            }
            (*len)++;
        }
    }
    if (*len == 0) {
        v[(*len)++] = m->lane[c->node][rng_below(&m->rng, LANES)];
    }
    return v;
}

/* ---- building calls ---- */

static void build_lease(struct model *m, struct call *c)
{
    c->u.lease = (struct store_lease){
        .req.op = STORE_LEASE,
        .incarnation = m->incarnation[c->node],
        .node = text(&c->in, "node", c->node),
        .address = STR("tcp://here:1"),
        .lease_us = rng_chance(&m->rng, 0.85) ? US_PER_HOUR : 0,
        .renew_only = rng_chance(&m->rng, 0.3),
    };
}

static void build_claim(struct model *m, struct call *c)
{
    uint16_t *lanes = ARENA_ARRAY(&c->in, uint16_t, LANES);
    uint32_t len = 0;
    for (uint16_t i = 0; i < (uint16_t)LANES; i++) {
        if (rng_chance(&m->rng, 0.7)) {
            lanes[len++] = i;
        }
    }
    if (rng_chance(&m->rng, 0.05)) {
        lanes[len > 0 ? len - 1 : 0] = 99;
        len = MAX(len, 1U);
    }
    c->u.claim = (struct store_claim){
        .req.op = STORE_CLAIM,
        .shard = SHARD,
        .incarnation = m->incarnation[c->node],
        .node = text(&c->in, "node", c->node),
        .lanes = lanes,
        .lanes_len = MAX(len, 1U),
        .window_us = rng_chance(&m->rng, 0.03) ? WINDOW_US / 2 : WINDOW_US,
        .ring_windows = RING,
        .claim_seed = rng_u64(&m->rng),
    };
}

/* A window that a row of that due time belongs in, mostly. */
static int64_t window_of(struct model *m, struct wall due)
{
    int64_t w = due.us / WINDOW_US;
    if (rng_chance(&m->rng, 0.1)) {
        return m->window + rng_between(&m->rng, 0, RING + 2);
    }
    return w > m->window + RING - 1 ? TIMER_LONG_TERM : MAX(w, m->window);
}

/* One of the last messages sent to it, or one that was not: which of two turns of a batch sends it first is
 * nobody's business, so its number says what is in it. */
static struct inbox_row some_message(struct model *m, struct call *c, const struct known_exec *e)
{
    uint64_t back = rng_below(&m->rng, 4);
    uint64_t n = e->messages > back ? e->messages - back : 0;
    return (struct inbox_row){.exec = e->id,
                              .source = text(&c->in, "message", n),
                              .kind = (uint16_t)(n % 9),
                              .payload = text(&c->in, "payload", n * 7)};
}

/* What the turn submits, tells others, and has read. */
static void build_messages(struct model *m, struct call *c, struct known_exec *e,
                           struct turn_row *t)
{
    struct task_token *submitted = ARENA_ARRAY(&c->in, struct task_token, OPEN_MAX);
    for (uint32_t i = 0; t->start == NULL && i < e->tasks_len; i++) {
        if (rng_chance(&m->rng, 0.2)) {
            submitted[t->tasks_submitted_len++] = e->tasks[i];
        }
    }
    t->tasks_submitted = submitted;
    struct inbox_row *rows = ARENA_ARRAY(&c->in, struct inbox_row, 3);
    while (t->inbox_new_len < 3 && rng_chance(&m->rng, 0.3)) {
        struct known_exec *to = &m->exec[rng_below(&m->rng, EXECS)];
        to->messages++;
        rows[t->inbox_new_len++] = some_message(m, c, to);
    }
    t->inbox_new = rows;
    struct str *read = ARENA_ARRAY(&c->in, struct str, 3);
    while (t->start == NULL && t->inbox_done_len < 3 && rng_chance(&m->rng, 0.4)) {
        read[t->inbox_done_len++] = some_message(m, c, e).source;
    }
    t->inbox_done = read;
}

static void build_turn(struct model *m, struct call *c, struct known_exec *e, struct turn_row *t)
{
    bool start = !e->started;
    bool stale = rng_chance(&m->rng, 0.07);
    *t = (struct turn_row){
        .exec = e->id,
        .seq_prev = start ? 0 : e->seq - (stale ? 1 : 0),
        .turn_prev = start ? 0 : e->turn,
        .turn = rng_u64(&m->rng) >> 1 | 1,
        .status = rng_chance(&m->rng, 0.8) ? 1 : (uint8_t)rng_between(&m->rng, 2, 5),
        .first_event = 1 + (uint32_t)rng_below(&m->rng, 50),
        .event_count = 1 + (uint32_t)rng_below(&m->rng, 5),
        .body = text(&c->in, "body", rng_below(&m->rng, 1000000)),
        .outcomes = rng_chance(&m->rng, 0.3) ? STR("1:1:w\n") : STR_NONE,
        .snapshot =
            rng_chance(&m->rng, 0.2) ? text(&c->in, "snap", rng_below(&m->rng, 99)) : STR_NONE,
    };
    t->seq = t->seq_prev + 1;
    if (rng_chance(&m->rng, 0.2)) {
        t->due_max = hours(m, rng_chance(&m->rng, 0.6) ? -3 : 30);
    }
    if (start) {
        struct start_row *s = ARENA_NEW(&c->in, struct start_row);
        *s = (struct start_row){
            .tenant = 1 + e->name % 2,
            .workflow = text(&c->in, "flow", e->name % 3),
            .name = text(&c->in, "run", rng_chance(&m->rng, 0.1) ? e->name / 2 : e->name),
            .revision = 1,
            .digest = rng_u64(&m->rng) >> 1,
            .started_at = hours(m, (double)(e->name % 7)),
        };
        t->start = s;
    }
    if (start && rng_chance(&m->rng, 0.95)) {
        t->due_max.us =
            0; /* a start that ends something is refused as a whole: only now and then */
    }
    /* An end closes everything that is open. */
    double share = t->status != 1 ? 1 : 0.6;
    struct task_token *tasks_done = ARENA_ARRAY(&c->in, struct task_token, OPEN_MAX);
    struct timer_row *timers_done = ARENA_ARRAY(&c->in, struct timer_row, OPEN_MAX);
    for (uint32_t i = 0; i < e->tasks_len; i++) {
        if (rng_chance(&m->rng, share)) {
            tasks_done[t->tasks_done_len++] = e->tasks[i];
        }
    }
    for (uint32_t i = 0; i < e->timers_len; i++) {
        if (rng_chance(&m->rng, share)) {
            timers_done[t->timers_done_len++] = e->timers[i];
        }
    }
    t->tasks_done = tasks_done;
    t->timers_done = timers_done;
    if (t->status == 1 && e->tasks_len < OPEN_MAX - 3 && e->timers_len < OPEN_MAX - 1) {
        uint32_t tasks = (uint32_t)rng_below(&m->rng, 3);
        struct task_row *v = ARENA_ARRAY(&c->in, struct task_row, 3);
        for (uint32_t i = 0; i < tasks; i++) {
            v[i] = (struct task_row){
                .token = {{e->id, t->seq, i, 1 + (uint32_t)rng_below(&m->rng, 3)},
                          rng_u64(&m->rng) >> 1},
                .queue = text(&c->in, "queue", rng_below(&m->rng, 4)),
                .timeout_at = {rng_chance(&m->rng, 0.5) ? 0 : hours(m, 5).us},
                .heartbeat_us = rng_chance(&m->rng, 0.5) ? 0 : 5 * US_PER_S,
            };
        }
        t->tasks_new = v;
        t->tasks_new_len = tasks;
        if (rng_chance(&m->rng, 0.5)) {
            struct timer_row *n = ARENA_NEW(&c->in, struct timer_row);
            *n = (struct timer_row){.exec = e->id,
                                    .seq = t->seq,
                                    .idx = 5,
                                    .due = hours(m, (double)rng_between(&m->rng, -2, 9) + 0.5)};
            n->window = window_of(m, n->due);
            t->timers_new = n;
            t->timers_new_len = 1;
        }
    }
    build_messages(m, c, e, t);
}

static void build_commit(struct model *m, struct call *c)
{
    uint32_t want = 1 + (uint32_t)rng_below(&m->rng, BATCH), len = 0;
    uint32_t lanes_len;
    const struct lane_ref *lanes = some_lanes(m, c, &lanes_len);
    while (len < want) {
        struct known_exec *e = &m->exec[rng_below(&m->rng, EXECS)];
        bool twice = false;
        for (uint32_t i = 0; i < len; i++) {
            twice = twice || c->execs[i] == e || c->execs[i]->name / 2 == e->name / 2 ||
                    c->execs[i]->name / 2 == e->name || e->name / 2 == c->execs[i]->name;
        }
        if (twice) { /* a batch is of distinct executions and start keys */
            want--;
            continue;
        }
        c->execs[len] = e;
        c->turns[len] = ARENA_NEW(&c->in, struct turn_row);
        build_turn(m, c, e, c->turns[len]);
        len++;
    }
    c->u.commit = (struct store_commit){
        .req.op = STORE_COMMIT,
        .shard = SHARD,
        .incarnation = m->incarnation[c->node],
        .lanes = lanes,
        .lanes_len = lanes_len,
        .turns = c->turns,
        .turns_len = len,
    };
}

/* What owners do with inboxes. */
static void build_inboxes(struct model *m, struct call *c, uint64_t kind,
                          const struct known_exec *e, struct lane_ref *lanes, uint32_t len)
{
    switch (kind) {
    case 7: {
        struct exec_id *after = ARENA_NEW(&c->in, struct exec_id);
        *after = e->id;
        c->u.inbox = (struct store_inbox){.req.op = STORE_INBOX,
                                          .lanes = lanes,
                                          .lanes_len = len,
                                          .limit = 1 + (uint32_t)rng_below(&m->rng, 20),
                                          .after = rng_chance(&m->rng, 0.3) ? after : NULL};
        break;
    }
    case 8: {
        struct inbox_row *drop = ARENA_ARRAY(&c->in, struct inbox_row, 2);
        for (uint32_t i = 0; i < 2; i++) {
            drop[i] = some_message(m, c, e);
        }
        c->u.inbox_drop = (struct store_inbox_drop){.req.op = STORE_INBOX_DROP,
                                                    .lanes = lanes,
                                                    .lanes_len = len,
                                                    .rows = drop,
                                                    .rows_len = 2};
        break;
    }
    default:
        c->u.lane_inbox = (struct store_lane_inbox){.req.op = STORE_LANE_INBOX,
                                                    .lanes = lanes,
                                                    .lanes_len = len,
                                                    .limit = 100000};
        break;
    }
}

static void build_owner(struct model *m, struct call *c, uint64_t kind)
{
    uint32_t len;
    struct lane_ref *lanes = some_lanes(m, c, &len);
    struct timer_row *row = ARENA_NEW(&c->in, struct timer_row);
    const struct known_exec *e = &m->exec[rng_below(&m->rng, EXECS)];
    if (e->timers_len > 0) {
        *row = e->timers[0];
    }
    /* Chunks, mostly; sometimes all at once. */
    uint32_t limit = (uint32_t)rng_below(&m->rng, 4);
    switch (kind) {
    case 0:
        c->u.window_open =
            (struct store_window_open){.req.op = STORE_WINDOW_OPEN,
                                       .lanes = lanes,
                                       .lanes_len = len,
                                       .open_to = m->window + rng_between(&m->rng, 0, 7),
                                       .limit = limit};
        break;
    case 1:
        c->u.window_close = (struct store_window_close){
            .req.op = STORE_WINDOW_CLOSE,
            .lanes = lanes,
            .lanes_len = len,
            .finish = rng_chance(&m->rng, 0.5),
            .limit = limit,
            .accept_from = m->window + rng_between(&m->rng, -1, rng_chance(&m->rng, 0.1) ? 6 : 2)};
        break;
    case 2:
        c->u.window_empty =
            (struct store_window_empty){.req.op = STORE_WINDOW_EMPTY,
                                        .shard = SHARD,
                                        .window = m->window + rng_between(&m->rng, -4, 3)};
        break;
    case 3:
        c->u.promote = (struct store_promote){
            .req.op = STORE_PROMOTE,
            .lanes = lanes,
            .lanes_len = len,
            .to = rng_chance(&m->rng, 0.5) ? 0 : m->window + rng_between(&m->rng, 0, 7),
            .from = {rng_chance(&m->rng, 0.7) ? 0 : hours(m, (double)rng_below(&m->rng, 9)).us},
            .limit = limit};
        break;
    case 4:
        c->u.timers =
            (struct store_timers){.req.op = STORE_TIMERS,
                                  .lanes = lanes,
                                  .lanes_len = len,
                                  .limit = 1 + (uint32_t)rng_below(&m->rng, 20),
                                  .after = row->seq != 0 && rng_chance(&m->rng, 0.4) ? row : NULL,
                                  .due_to = hours(m, (double)rng_between(&m->rng, -2, 9))};
        break;
    case 5:
        c->u.timers_drop = (struct store_timers_drop){.req.op = STORE_TIMERS_DROP,
                                                      .lanes = lanes,
                                                      .lanes_len = len,
                                                      .rows = row,
                                                      .rows_len = row->seq != 0 ? 1 : 0};
        break;
    case 6: {
        struct task_token *after = ARENA_NEW(&c->in, struct task_token);
        if (e->tasks_len > 0) {
            *after = e->tasks[0];
        }
        c->u.tasks =
            (struct store_tasks){.req.op = STORE_TASKS,
                                 .lanes = lanes,
                                 .lanes_len = len,
                                 .limit = 1 + (uint32_t)rng_below(&m->rng, 60),
                                 .after = after->ref.seq != 0 && rng_chance(&m->rng, 0.3) ? after
                                                                                          : NULL};
        break;
    }
    default:
        build_inboxes(m, c, kind, e, lanes, len);
        break;
    }
}

static void build_read(struct model *m, struct call *c, uint64_t kind)
{
    struct known_exec *e = &m->exec[rng_below(&m->rng, EXECS)];
    struct exec_id *ids = ARENA_ARRAY(&c->in, struct exec_id, 3);
    struct start_key *keys = ARENA_ARRAY(&c->in, struct start_key, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct known_exec *k = &m->exec[rng_below(&m->rng, EXECS)];
        ids[i] = k->id;
        keys[i] = (struct start_key){1 + k->name % 2, text(&c->in, "flow", k->name % 3),
                                     text(&c->in, "run", k->name)};
    }
    switch (kind) {
    case 0:
        c->u.load = (struct store_load){.req.op = STORE_LOAD,
                                        .ids = ids,
                                        .ids_len = 3,
                                        .inbox = rng_chance(&m->rng, 0.6)};
        break;
    case 1:
        c->u.start_lookup =
            (struct store_start_lookup){.req.op = STORE_START_LOOKUP, .keys = keys, .keys_len = 3};
        break;
    case 2:
        c->u.list = (struct store_list){.req.op = STORE_LIST,
                                        .tenant = 1 + e->name % 2,
                                        .workflow = rng_chance(&m->rng, 0.5)
                                                        ? text(&c->in, "flow", e->name % 3)
                                                        : STR_NONE,
                                        .status = (uint8_t)rng_below(&m->rng, 3),
                                        .limit = 1 + (uint32_t)rng_below(&m->rng, 9)};
        if (rng_chance(&m->rng, 0.4)) {
            c->u.list.before = hours(m, (double)(e->name % 7));
            c->u.list.before_exec = e->id;
        }
        break;
    case 3:
        c->u.history = (struct store_history){.req.op = STORE_HISTORY,
                                              .exec = e->id,
                                              .from_seq = rng_below(&m->rng, 4),
                                              .limit = 1 + (uint32_t)rng_below(&m->rng, 9)};
        break;
    default:
        c->u.lanes = (struct store_lanes){.req.op = STORE_LANES,
                                          .shard = rng_chance(&m->rng, 0.9) ? SHARD : SHARD + 1};
        break;
    }
}

static void build_def(struct model *m, struct call *c, uint64_t kind)
{
    uint32_t tenant = 1 + (uint32_t)rng_below(&m->rng, 2);
    struct str workflow = text(&c->in, "w", rng_below(&m->rng, 5));
    static const struct str paths[] = {{"A", 1}, {"B", 1}};
    switch (kind) {
    case 0: {
        uint64_t version = rng_below(&m->rng, 3);
        c->u.def_put =
            (struct store_def_put){.req.op = STORE_DEF_PUT,
                                   .tenant = tenant,
                                   .workflow = workflow,
                                   .text = text(&c->in, "text", version),
                                   .digest = text(&c->in, "digest", version),
                                   .state_paths = paths,
                                   .state_paths_len = 2,
                                   .delete_workflow = rng_chance(&m->rng, 0.15),
                                   .if_version = rng_chance(&m->rng, 0.3)
                                                     ? 1 + (uint32_t)rng_below(&m->rng, 4)
                                                     : 0,
                                   .if_absent = rng_chance(&m->rng, 0.1)};
        break;
    }
    case 1:
        c->u.def_get =
            (struct store_def_get){.req.op = STORE_DEF_GET,
                                   .tenant = tenant,
                                   .workflow = workflow,
                                   .version = (uint32_t)rng_below(&m->rng, 4),
                                   .revision =
                                       rng_chance(&m->rng, 0.4) ? 1 + rng_below(&m->rng, 40) : 0};
        break;
    case 2:
        c->u.def_list =
            (struct store_def_list){.req.op = STORE_DEF_LIST,
                                    .tenant = tenant,
                                    .after = rng_chance(&m->rng, 0.5) ? workflow : STR_NONE,
                                    .limit = 1 + (uint32_t)rng_below(&m->rng, 6)};
        break;
    default:
        c->u.tenant = (struct store_tenant){.req.op = STORE_TENANT,
                                            .name = text(&c->in, "tenant", rng_below(&m->rng, 6)),
                                            .create = rng_chance(&m->rng, 0.6)};
        break;
    }
}

static void build(struct model *m, struct call *c)
{
    uint64_t dice = rng_below(&m->rng, 100);
    c->node = (uint32_t)rng_below(&m->rng, NODES);
    if (dice < 6) {
        build_lease(m, c);
    } else if (dice < 13) {
        build_claim(m, c);
    } else if (dice < 15) {
        uint32_t len;
        struct lane_ref *lanes = some_lanes(m, c, &len);
        bool all = rng_chance(&m->rng, 0.3);
        c->u.release = (struct store_release){.req.op = STORE_RELEASE,
                                              .incarnation = m->incarnation[c->node],
                                              .lanes = all ? NULL : lanes,
                                              .lanes_len = all ? 0 : len,
                                              .leave = rng_chance(&m->rng, 0.2)};
    } else if (dice < 50) {
        build_commit(m, c);
    } else if (dice < 72) {
        build_owner(m, c, rng_below(&m->rng, 10));
    } else if (dice < 90) {
        build_read(m, c, rng_below(&m->rng, 5));
    } else {
        build_def(m, c, rng_below(&m->rng, 4));
    }
    c->u.req.arena = &c->out;
}

/* ---- what the generator learns ---- */

static void learn_turn(struct model *m, struct known_exec *e, const struct turn_row *t)
{
    if (t->result != TURN_OK) {
        return;
    }
    e->started = true;
    e->seq = t->seq;
    e->turn = t->turn;
    for (uint32_t i = 0; i < t->tasks_done_len; i++) {
        for (uint32_t k = 0; k < e->tasks_len; k++) {
            if (task_token_eq(&e->tasks[k], &t->tasks_done[i])) {
                e->tasks[k] = e->tasks[--e->tasks_len];
                break;
            }
        }
    }
    for (uint32_t i = 0; i < t->timers_done_len; i++) {
        for (uint32_t k = 0; k < e->timers_len; k++) {
            if (e->timers[k].seq == t->timers_done[i].seq) {
                e->timers[k] = e->timers[--e->timers_len];
                break;
            }
        }
    }
    for (uint32_t i = 0; i < t->tasks_new_len; i++) {
        e->tasks[e->tasks_len++] = t->tasks_new[i].token;
    }
    for (uint32_t i = 0; i < t->timers_new_len; i++) {
        e->timers[e->timers_len++] = t->timers_new[i];
    }
    if (t->status != 1 && rng_chance(&m->rng, 0.7)) { /* its place is taken by a new execution */
        *e = (struct known_exec){.name = m->names++};
        e->id = exec_id_make(SHARD, (uint16_t)rng_below(&m->rng, SLOT_COUNT), 1 + e->name % 2,
                             hours(m, 0), &m->rng);
    }
}

static void learn(struct model *m, struct call *c)
{
    if (c->u.req.op == STORE_CLAIM && c->u.req.err == ERR_OK) {
        for (uint32_t i = 0; i < c->u.claim.got_len; i++) {
            const struct lane_row *l = &c->u.claim.got[i];
            m->lane[c->node][l->lane] =
                (struct lane_ref){l->shard, l->lane, l->slot_lo, l->slot_hi, l->fence};
        }
    } else if (c->u.req.op == STORE_COMMIT && c->u.req.err == ERR_OK) {
        for (uint32_t i = 0; i < c->u.commit.turns_len; i++) {
            learn_turn(m, c->execs[i], c->turns[i]);
        }
    } else if (c->u.req.err == ERR_FENCED && rng_chance(&m->rng, 0.2)) {
        m->incarnation[c->node] = uuid_make(&m->rng);
    }
}

/* ---- the two stores ---- */

struct both {
    struct store *pg[NODES];
    struct loop *pg_loop;
    struct latch answered;
    struct world *world;
    struct host *host;
    struct sim_store *sim;
    struct loop *sim_loop;
    struct call *now;
};

static struct both both;

static void pg_done(struct store_req *r)
{
    (void)r;
    latch_set(&both.answered, 1);
}

static void sim_done(struct store_req *r)
{
    (void)r;
    both.now->done = true;
}

static void sim_boot(struct host *h)
{
    both.sim_loop = sim_loop_new(h, "store");
}

static void sim_submit(struct host *h)
{
    (void)h;
    store_submit(&both.sim->base, &both.now->u.req);
}

static bool ask_pg(struct call *c)
{
    latch_init(&both.answered);
    c->u.req.loop = both.pg_loop;
    c->u.req.done = pg_done;
    store_submit(both.pg[c->node], &c->u.req);
    bool in_time = latch_wait(&both.answered, PATIENCE_US) == 1;
    latch_fini(&both.answered);
    return in_time;
}

static bool ask_sim(struct call *c)
{
    struct world *w = both.world;
    /* The truth of both is this machine's clock; the fake's must not go back either. */
    w->wall_base_us = MAX(w->wall_base_us, os_clock()->wall(os_clock()).us - w->now_us);
    c->u.req.loop = both.sim_loop;
    c->u.req.done = sim_done;
    both.now = c;
    host_run(both.host, sim_submit);
    int64_t until = w->now_us + PATIENCE_US;
    while (!c->done && world_step(w, until)) {
    }
    return c->done;
}

static void call_init(struct call *c)
{
    memset(c, 0, sizeof(*c));
    arena_init(&c->in, 0);
    arena_init(&c->out, 0);
}

static void call_fini(struct call *c)
{
    arena_fini(&c->in);
    arena_fini(&c->out);
}

/* One call on both; false when the answers differ. */
static bool step(struct model *m, uint32_t sequence, uint32_t number, uint32_t *good)
{
    static struct call pg, sim;
    struct model before = *m;
    struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    call_init(&pg);
    call_init(&sim);
    build(m, &pg);
    *m = before;
    build(m, &sim); /* the same draws: the same call */
    bool equal = ask_pg(&pg) && ask_sim(&sim);
    store_answer_write(&a, &pg.u.req);
    store_answer_write(&b, &sim.u.req);
    equal = equal && str_eq(buf_str(&a), buf_str(&b));
    if (!equal) {
        printf("sequence %" PRIu32 " call %" PRIu32 " node %" PRIu32
               "\nPostgreSQL: %.*s (%s)\nfake: %.*s\n",
               sequence, number, pg.node, STR_ARG(buf_str(&a)), pg.u.req.detail.text,
               STR_ARG(buf_str(&b)));
    }
    *good += pg.u.req.err == ERR_OK;
    learn(m, &pg);
    buf_fini(&a);
    buf_fini(&b);
    call_fini(&pg);
    call_fini(&sim);
    return equal;
}

static void model_init(struct model *m)
{
    memset(m, 0, sizeof(*m));
    rng_seed(&m->rng, 20261123);
    m->window = os_clock()->wall(os_clock()).us / WINDOW_US;
    for (int i = 0; i < NODES; i++) {
        m->incarnation[i] = uuid_make(&m->rng);
        for (uint16_t l = 0; l < (uint16_t)LANES; l++) {
            m->lane[i][l] = (struct lane_ref){SHARD,
                                              l,
                                              (uint16_t)(l * SLOT_COUNT / LANES),
                                              (uint16_t)((l + 1) * SLOT_COUNT / LANES),
                                              {0}};
        }
    }
    for (int i = 0; i < EXECS; i++) {
        m->exec[i].name = m->names++;
        m->exec[i].id = exec_id_make(SHARD, (uint16_t)rng_below(&m->rng, SLOT_COUNT),
                                     1 + m->exec[i].name % 2, hours(m, 0), &m->rng);
    }
}

static void both_open(struct pg_private *pg, const struct model *m)
{
    struct err_detail d = {0};
    struct migrate_result migrated;
    if (migrate_run(pg_private_conninfo(pg), SHARD, LANES, &migrated, &d) != ERR_OK) {
        fprintf(stderr, "%s\n", d.text);
        exit(1);
    }
    both.pg_loop = loop_uv_new(os_clock(), "store");
    both.world = world_new(1, false, false);
    both.sim = sim_store_new(both.world, SHARD, LANES);
    both.sim->sessions_by_hand = true;
    both.sim->latency_us = 2;
    both.world->wall_base_us = 0;
    both.host = host_new(both.world, "node");
    both.host->boot = sim_boot;
    host_boot(both.host);
    world_run(both.world, 1);
    for (uint32_t i = 0; i < NODES; i++) {
        both.pg[i] = store_pg_new(both.pg_loop,
                                  &(struct store_pg_config){.conninfo = pg_private_conninfo(pg),
                                                            .node = "diff",
                                                            .incarnation = m->incarnation[i],
                                                            .shard = SHARD,
                                                            .allow_unsafe = true,
                                                            .seed = i});
        sim_store_session(both.sim, &m->incarnation[i], true);
        /* All of its connections stand before the first call that asks for sessions. */
        struct call c;
        call_init(&c);
        c.u.lanes =
            (struct store_lanes){.req = {.op = STORE_LANES, .arena = &c.out}, .shard = SHARD};
        c.node = i;
        if (!ask_pg(&c) || c.u.req.err != ERR_OK) {
            fprintf(stderr, "no connection: %s\n", c.u.req.detail.text);
            exit(1);
        }
        call_fini(&c);
    }
}

static void closed(void *arg)
{
    latch_set(arg, 1);
}

static void both_close(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct latch l;
        latch_init(&l);
        store_pg_close(both.pg[i], both.pg_loop, closed, &l);
        (void)latch_wait(&l, PATIENCE_US);
        latch_fini(&l);
    }
    loop_free(both.pg_loop);
    world_free(both.world);
    sim_store_free(both.sim);
}

int main(void)
{
    struct err_detail d = {0};
    struct model m;
    uint32_t differ = 0, calls = 0, sequences = 0, good = 0;
    struct pg_private *pg =
        pg_private_start("-c fsync=off -c shared_buffers=64MB -c max_connections=40", &d);
    if (pg == NULL) {
        fprintf(stderr, "no PostgreSQL: %s\n", d.text);
        return 1;
    }
    model_init(&m);
    both_open(pg, &m);
    for (; sequences < SEQUENCES && differ == 0; sequences++) {
        uint32_t len = 1 + (uint32_t)rng_below(&m.rng, CALLS_MAX);
        /* Each sequence is known by its number alone, given the ones before it. */
        for (uint32_t i = 0; i < len && differ == 0; i++, calls++) {
            differ += !step(&m, sequences, i, &good);
        }
        if (os_clock()->wall(os_clock()).us / WINDOW_US != m.window) {
            printf("the hour has changed; stopping early\n");
            break;
        }
    }
    printf("%" PRIu32 " sequences, %" PRIu32 " calls, %" PRIu32 " answered OK, %" PRIu32
           " differ\n",
           sequences, calls, good, differ);
    both_close();
    pg_private_stop(pg);
    /* Equal refusals alone would prove little. */
    return differ == 0 && good > calls / 2 ? 0 : 1;
}
