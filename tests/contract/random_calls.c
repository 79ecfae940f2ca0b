/* The generator of random calls; see the header. */
#include "base/prelude.h"

#include "tests/contract/random_calls.h"

#include "base/mem.h"

static struct str text(struct arena *a, const char *what, uint64_t n)
{
    return str_of(arena_printf(a, "%s-%" PRIu64, what, n));
}

static struct known_exec *some_exec(struct model *m)
{
    return &m->exec[(m->near + rng_below(&m->rng, m->near_len)) % EXECS];
}

static struct wall hours(const struct model *m, double h)
{
    return (struct wall){m->window * m->window_us + (int64_t)(h * (double)US_PER_HOUR)};
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
    /* A past incarnation gives up: else it would own lanes for ever, with its lease of an hour. */
    bool past = rng_chance(&m->rng, 0.3);
    c->u.lease = (struct store_lease){
        .req.op = STORE_LEASE,
        .incarnation = past ? m->past[c->node] : m->incarnation[c->node],
        .node = text(&c->in, "node", c->node),
        .address = STR("tcp://here:1"),
        .lease_us = !past && rng_chance(&m->rng, 0.85) ? US_PER_HOUR : 0,
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
        /* The first claim says how long windows are: a wrong one would have all others refused. */
        .window_us = m->window_set && rng_chance(&m->rng, 0.03) ? m->window_us / 2 : m->window_us,
        .ring_windows = RING,
        .claim_seed = rng_u64(&m->rng),
    };
}

/* A window that a row of that due time belongs in, mostly. */
static int64_t window_of(struct model *m, struct wall due)
{
    int64_t w = due.us / m->window_us;
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
    /* Not together: one sent to an execution that ends at that moment may be left behind, or not; the owner
     * sweeps it away (ADR 0014). */
    while (m->near_len == EXECS && t->inbox_new_len < 3 && rng_chance(&m->rng, 0.3)) {
        struct known_exec *to = some_exec(m);
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
        struct known_exec *e = some_exec(m);
        bool twice = e->starting;
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
        e->starting = !e->started;
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
    const struct known_exec *e = some_exec(m);
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

struct start_key random_call_key(struct call *c, const struct known_exec *k)
{
    return (struct start_key){1 + k->name % 2, text(&c->in, "flow", k->name % 3),
                              text(&c->in, "run", k->name)};
}

static void build_read(struct model *m, struct call *c, uint64_t kind)
{
    struct known_exec *e = some_exec(m);
    struct exec_id *ids = ARENA_ARRAY(&c->in, struct exec_id, 3);
    struct start_key *keys = ARENA_ARRAY(&c->in, struct start_key, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct known_exec *k = some_exec(m);
        ids[i] = k->id;
        keys[i] = random_call_key(c, k);
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

void random_call_build(struct model *m, struct call *c, uint32_t node)
{
    /* Together: mostly turns, claims and loads, which have something to fight about. */
    bool meets = m->near_len < EXECS && rng_chance(&m->rng, 0.6);
    uint64_t dice = meets ? 6 + rng_below(&m->rng, 44) : rng_below(&m->rng, 100);
    c->node = node;
    if (dice < 6) {
        build_lease(m, c);
    } else if (dice < 13) {
        build_claim(m, c);
    } else if (dice < 15 && m->near_len == EXECS) {
        /* Not together: who evicts somebody that gives up its lanes meanwhile has evicted it. */
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
        /* What moves rows twice as often as the rest: it seldom finds any. */
        uint64_t kind = rng_below(&m->rng, 14);
        build_owner(m, c, kind < 10 ? kind : kind - 10);
    } else if (dice < 90) {
        build_read(m, c, rng_below(&m->rng, 5));
    } else {
        build_def(m, c, rng_below(&m->rng, 4));
    }
    c->u.req.arena = &c->out;
}

/* ---- what the generator learns ---- */

/* Its place is taken by a new execution. */
static void exec_replace(struct model *m, struct known_exec *e)
{
    *e = (struct known_exec){.name = m->names++};
    e->id = exec_id_make(SHARD, (uint16_t)rng_below(&m->rng, SLOT_COUNT), 1 + e->name % 2,
                         hours(m, 0), &m->rng);
}

/* What is over is asked for some more times, then a new one comes: else all would be over in the end. */
static void learn_turn(struct model *m, struct known_exec *e, const struct turn_row *t)
{
    if (t->result != TURN_OK) {
        e->over = e->over || t->result == TURN_EXISTS;
        if (e->over && exec_id_eq(&e->id, &t->exec) && rng_chance(&m->rng, 0.3)) {
            exec_replace(m, e);
        }
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
    e->over = t->status != 1;
    if (e->over && rng_chance(&m->rng, 0.7)) {
        exec_replace(m, e);
    }
}

void random_call_learn(struct model *m, struct call *c)
{
    if (c->u.req.op == STORE_CLAIM && c->u.req.err == ERR_OK) {
        m->window_set = true;
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
        m->past[c->node] = m->incarnation[c->node];
        m->incarnation[c->node] = uuid_make(&m->rng);
    }
}

/* ---- life ---- */

void random_call_init(struct call *c)
{
    memset(c, 0, sizeof(*c));
    arena_init(&c->in, 0);
    arena_init(&c->out, 0);
}

void random_call_fini(struct call *c)
{
    arena_fini(&c->in);
    arena_fini(&c->out);
}

void random_calls_init(struct model *m, struct wall now, uint64_t seed)
{
    memset(m, 0, sizeof(*m));
    rng_seed(&m->rng, 20261130 + seed);
    /* window + 1/2 windows have gone by: half an hour to the next boundary, whatever the time. */
    m->window = now.us / (int64_t)US_PER_HOUR;
    m->window_us = 2 * now.us / (2 * m->window + 1);
    for (int i = 0; i < NODES; i++) {
        m->incarnation[i] = uuid_make(&m->rng);
        m->past[i] = m->incarnation[i];
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
