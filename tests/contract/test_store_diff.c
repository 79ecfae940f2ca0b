/* Random sequences of calls give equal answers on the simulator's store and on PostgreSQL. The calls
 * come from several connections (incarnations), mostly one at a time (random_calls.h). Both stores start
 * empty and live through a quarter of the sequences, so states grow that nobody would think of; then both
 * start anew, for windows only go forward, and the clock does not follow.
 *
 * Now and then two or three calls of different connections are under way together. What PostgreSQL makes of
 * them, locks and all, must be what the fake answers to them in one order or another; in that order the
 * fake goes on. Only where CARILLON_DIFF_TOGETHER is set (`make nightly`): about one run in ten differs, and
 * it is not known yet whether the fake, PostgreSQL or the search for the order is to blame. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/mem.h"
#include "base/os.h"
#include "base/thread.h"
#include "cmd/private_pg.h"
#include "storage/migrate.h"
#include "storage/store_pg.h"
#include "tests/contract/random_calls.h"
#include "tests/contract/store_text.h"
#include "tests/sim/sim_store.h"

enum {
    SEQUENCES = 2000,
    CALLS_MAX = 24, /* of a sequence */
    TOGETHER_MAX = NODES,
    QUARTERS = 4,
    PATIENCE_US = 30 * US_PER_S,
};

static bool together; /* calls under way together, too */

/* ---- what was answered: equal refusals alone would prove little ---- */

/* ANSWER(name, how often at least in each quarter of the sequences) */
#define ANSWERS(ANSWER) \
    ANSWER(TURN_COMMITTED, 2000) \
    ANSWER(TURN_IN_CONFLICT, 500) \
    ANSWER(TURN_TOO_EARLY, 100) \
    ANSWER(TURN_OF_ANOTHER_WINDOW, 200) \
    ANSWER(TURN_WITH_A_NAME_TAKEN, 5) \
    ANSWER(TURN_DROPPED_WITH_ITS_BATCH, 100) \
    ANSWER(TURN_ANNOUNCED, 500) \
    ANSWER(FENCED, 500) \
    ANSWER(LANE_CLAIMED, 100) \
    ANSWER(WINDOW_EMPTIED, 30) \
    ANSWER(TIMER_MOVED, 0) \
    ANSWER(TIMER_FOUND, 10) \
    ANSWER(TASK_FOUND, 100) \
    ANSWER(ANNOUNCEMENT_FOUND, 500) \
    ANSWER(INBOX_FOUND, 50) \
    ANSWER(LOADED, 200) \
    ANSWER(LOADED_WITH_TURNS, 150) \
    ANSWER(LOADED_WITH_MESSAGES, 30) \
    ANSWER(LOADED_NOTHING, 40) \
    ANSWER(NAME_FOUND, 200) \
    ANSWER(NAME_NOT_FOUND, 60) \
    ANSWER(EXECUTION_LISTED, 300) \
    ANSWER(HISTORY_FOUND, 50) \
    ANSWER(DEFINITION_PUT, 20) \
    ANSWER(DEFINITION_FOUND, 30) \
    ANSWER(DEFINITION_NOT_FOUND, 20) \
    ANSWER(TOGETHER, 500) \
    ANSWER(TOGETHER_IN_AN_ORDER, 50) \
    ANSWER(GAVE_WAY, 0)

#define ANSWER_NAME(name, least) name,
#define ANSWER_ROW(name, least)  {#name, least},
enum answer { ANSWERS(ANSWER_NAME) ANSWER_KINDS };
static const struct {
    const char *name;
    uint32_t least;
} kinds[ANSWER_KINDS] = {ANSWERS(ANSWER_ROW)};

struct counts {
    uint32_t calls, quarter;
    uint32_t of[QUARTERS][ANSWER_KINDS];
};

static void count(struct counts *n, enum answer kind, uint64_t times)
{
    n->of[n->quarter][kind] += (uint32_t)times;
}

static void count_turns(struct counts *n, const struct store_commit *q)
{
    static const enum answer of_result[] = {
        [TURN_OK] = TURN_COMMITTED,
        [TURN_CONFLICT] = TURN_IN_CONFLICT,
        [TURN_EARLY] = TURN_TOO_EARLY,
        [TURN_WINDOW] = TURN_OF_ANOTHER_WINDOW,
        [TURN_EXISTS] = TURN_WITH_A_NAME_TAKEN,
        [TURN_DROPPED] = TURN_DROPPED_WITH_ITS_BATCH,
    };
    for (uint32_t i = 0; i < q->turns_len; i++) {
        count(n, of_result[q->turns[i]->result], 1);
        count(n, TURN_ANNOUNCED, q->turns[i]->via_inbox);
    }
}

static void count_reads(struct counts *n, const struct call *c)
{
    if (c->u.req.op == STORE_LOAD) {
        for (uint32_t i = 0; i < c->u.load.ids_len; i++) {
            const struct exec_row *e = &c->u.load.rows[i];
            count(n, e->found ? LOADED : LOADED_NOTHING, 1);
            count(n, LOADED_WITH_TURNS, e->rows_len > 0);
            count(n, LOADED_WITH_MESSAGES, e->inbox_len > 0);
        }
    } else if (c->u.req.op == STORE_START_LOOKUP) {
        for (uint32_t i = 0; i < c->u.start_lookup.keys_len; i++) {
            count(n, c->u.start_lookup.found[i].found ? NAME_FOUND : NAME_NOT_FOUND, 1);
        }
    } else if (c->u.req.op == STORE_LIST) {
        count(n, EXECUTION_LISTED, c->u.list.rows_len);
    } else if (c->u.req.op == STORE_HISTORY) {
        count(n, HISTORY_FOUND, c->u.history.rows_len > 0);
    } else if (c->u.req.op == STORE_DEF_PUT) {
        count(n, DEFINITION_PUT, c->u.def_put.created);
    } else if (c->u.req.op == STORE_DEF_GET) {
        count(n, DEFINITION_FOUND, 1);
    }
}

static void count_owned(struct counts *n, const struct call *c)
{
    if (c->u.req.op == STORE_CLAIM) {
        count(n, LANE_CLAIMED, c->u.claim.got_len);
    } else if (c->u.req.op == STORE_WINDOW_EMPTY) {
        count(n, WINDOW_EMPTIED, c->u.window_empty.emptied);
    } else if (c->u.req.op == STORE_WINDOW_CLOSE) {
        count(n, TIMER_MOVED, c->u.window_close.moved);
    } else if (c->u.req.op == STORE_WINDOW_OPEN) {
        count(n, TIMER_MOVED, c->u.window_open.promoted);
    } else if (c->u.req.op == STORE_PROMOTE) {
        count(n, TIMER_MOVED, c->u.promote.promoted);
    } else if (c->u.req.op == STORE_TIMERS) {
        count(n, TIMER_FOUND, c->u.timers.rows_len);
    } else if (c->u.req.op == STORE_TASKS) {
        count(n, TASK_FOUND, c->u.tasks.rows_len);
    } else if (c->u.req.op == STORE_LANE_INBOX) {
        count(n, ANNOUNCEMENT_FOUND, c->u.lane_inbox.rows_len);
    } else if (c->u.req.op == STORE_INBOX) {
        count(n, INBOX_FOUND, c->u.inbox.ids_len);
    }
}

static void count_answer(struct counts *n, const struct call *c)
{
    n->calls++;
    if (c->u.req.op == STORE_COMMIT) {
        count_turns(n, &c->u.commit);
    }
    enum err e = c->u.req.err;
    count(n, FENCED, e == ERR_FENCED);
    count(n, DEFINITION_NOT_FOUND, e == ERR_NO_WORKFLOW);
    count(n, GAVE_WAY, e == ERR_SERIALIZATION || e == ERR_LOCKED);
    if (e == ERR_OK) {
        count_reads(n, c);
        count_owned(n, c);
    }
}

/* In each quarter, also at its end, when much has ended; and few gave way, for that proves nothing. */
static bool enough(const struct counts *n)
{
    bool all = true;
    uint32_t moved = 0;
    for (int i = 0; i < QUARTERS; i++) {
        all = all && n->of[i][GAVE_WAY] <= n->of[i][TOGETHER] / 10;
        moved += n->of[i][TIMER_MOVED];
    }
    all = all && moved >= 8; /* rare: over all quarters */
    for (int k = 0; k < ANSWER_KINDS; k++) {
        printf("  %-28s", kinds[k].name);
        for (int i = 0; i < QUARTERS; i++) {
            bool few = n->of[i][k] < kinds[k].least &&
                       (together || (k != TOGETHER && k != TOGETHER_IN_AN_ORDER));
            printf(" %6" PRIu32 "%s", n->of[i][k], few ? " too few" : "");
            all = all && !few;
        }
        printf("\n");
    }
    return all;
}

/* ---- the two stores ---- */

struct both {
    struct store *pg[NODES];
    struct loop *pg_loop;
    struct latch answered;
    uint32_t unanswered; /* on pg_loop */
    struct world *world;
    struct sim_store *sim;
};

static struct both both;

static void pg_done(struct store_req *r)
{
    (void)r;
    if (--both.unanswered == 0) {
        latch_set(&both.answered, 1);
    }
}

/* All of them at once. */
static bool ask_pg(struct call *c, uint32_t len)
{
    latch_init(&both.answered);
    both.unanswered = len;
    for (uint32_t i = 0; i < len; i++) {
        c[i].u.req.loop = both.pg_loop;
        c[i].u.req.done = pg_done;
    }
    for (uint32_t i = 0; i < len; i++) {
        store_submit(both.pg[c[i].node], &c[i].u.req);
    }
    bool in_time = latch_wait(&both.answered, PATIENCE_US) == 1;
    latch_fini(&both.answered);
    return in_time;
}

static void ask_sim(struct call *c)
{
    struct world *w = both.world;
    /* The truth of both is this machine's clock; the fake's must not go back either. */
    w->wall_base_us = MAX(w->wall_base_us, os_clock()->wall(os_clock()).us - w->now_us);
    sim_store_now(both.sim, &c->u.req);
}

/* Calls under way together, and what was answered. */
struct group {
    uint32_t len;
    struct model before[TOGETHER_MAX]; /* when each was built */
    struct call pg[TOGETHER_MAX];
    struct buf answer[TOGETHER_MAX]; /* of PostgreSQL */
    uint32_t order[TOGETHER_MAX];    /* in which the fake answers likewise */
};

static void answer_write(struct buf *out, const struct group *g, const struct store_req *r)
{
    buf_clear(out);
    store_answer_write(out, r);
    if (g->len == 1) {
        return;
    }
    /* A turn that lost and is early, too, may be refused for either reason: all of them are one here. */
    static const char what[] = " result ";
    enum { WHAT = sizeof(what) - 1 };
    for (size_t i = 0; i + WHAT < out->size; i++) {
        char *p = out->p + i;
        if (memcmp(p, what, WHAT) == 0 && (p[WHAT] == '2' || p[WHAT] == '3')) {
            p[WHAT] = '1';
        }
    }
}

/* Together with others: one stood in its way for too long. Nothing happened, and the caller tries again. */
static bool gave_way(const struct group *g, const struct call *c)
{
    return g->len > 1 && (c->u.req.err == ERR_SERIALIZATION || c->u.req.err == ERR_LOCKED);
}

/* The fake's answers to the calls in one order. True when all are those of PostgreSQL. */
static bool try_order(const struct group *g, const uint32_t *order, struct buf *answers)
{
    static struct model m;
    bool equal = true;
    struct buf b;
    buf_init(&b, 0);
    for (uint32_t i = 0; i < g->len; i++) {
        struct call c;
        uint32_t which = order[i];
        if (gave_way(g, &g->pg[which])) {
            continue;
        }
        m = g->before[which]; /* the same draws: the same call */
        random_call_init(&c);
        random_call_build(&m, &c, g->pg[which].node);
        ask_sim(&c);
        answer_write(&b, g, &c.u.req);
        equal = equal && str_eq(buf_str(&b), buf_str(&g->answer[which]));
        buf_printf(answers, "fake, call %" PRIu32 ": %.*s\n", which, STR_ARG(buf_str(&b)));
        random_call_fini(&c);
    }
    buf_fini(&b);
    return equal;
}

/* What can be read of all executions, names, lanes and definitions. */
static void look_around(const struct model *m, bool pg, struct buf *out)
{
    for (uint32_t i = 0; i < 5; i++) {
        struct call c;
        random_call_init(&c);
        struct exec_id *ids = ARENA_ARRAY(&c.in, struct exec_id, EXECS);
        struct start_key *keys = ARENA_ARRAY(&c.in, struct start_key, EXECS);
        for (uint32_t k = 0; k < EXECS; k++) {
            ids[k] = m->exec[k].id;
            keys[k] = random_call_key(&c, &m->exec[k]);
        }
        if (i == 0) {
            c.u.load = (struct store_load){.req.op = STORE_LOAD,
                                           .ids = ids,
                                           .ids_len = EXECS,
                                           .inbox = true};
        } else if (i == 1) {
            c.u.start_lookup = (struct store_start_lookup){.req.op = STORE_START_LOOKUP,
                                                           .keys = keys,
                                                           .keys_len = EXECS};
        } else if (i == 2) {
            c.u.lanes = (struct store_lanes){.req.op = STORE_LANES, .shard = SHARD};
        } else {
            c.u.def_list =
                (struct store_def_list){.req.op = STORE_DEF_LIST, .tenant = i - 2, .limit = 100};
        }
        c.u.req.arena = &c.out;
        if (pg) {
            (void)ask_pg(&c, 1);
        } else {
            ask_sim(&c);
        }
        store_answer_write(out, &c.u.req);
        random_call_fini(&c);
    }
}

/* Orders with the same answers may leave different rows behind (a message, and who sweeps it away): what
 * PostgreSQL has can be read. True when the fake has it after that order. */
static bool same_rows(const struct group *g, const uint32_t *order, struct str seen,
                      struct buf *answers)
{
    struct buf b;
    buf_init(&b, 0);
    bool equal = try_order(g, order, &b);
    buf_clear(&b);
    if (equal) {
        look_around(&g->before[0], false, &b);
        equal = str_eq(buf_str(&b), seen);
        buf_printf(answers, "rows of the fake: %.*s\n", STR_ARG(buf_str(&b)));
    }
    buf_fini(&b);
    return equal;
}

/* Finds the order, and leaves the fake as it is after it. */
static bool find_order(struct group *g, struct buf *answers, bool *matters)
{
    static const uint32_t orders[][TOGETHER_MAX] = {{0, 1, 2}, {1, 0, 2}, {0, 2, 1},
                                                    {2, 0, 1}, {1, 2, 0}, {2, 1, 0}};
    if (g->len == 1) {
        g->order[0] = 0;
        return try_order(g, orders[0], answers);
    }
    uint32_t len = g->len == 2 ? 2 : ARRAY_LEN(orders);
    uint64_t mark = kv_mark(both.sim->kv);
    struct buf seen, again;
    buf_init(&seen, 0);
    buf_init(&again, 0);
    look_around(&g->before[0], true, &seen);
    bool found = false;
    *matters = false;
    for (uint32_t i = 0; i < len && !(found && *matters); i++) {
        bool equal = try_order(g, orders[i], answers);
        *matters = *matters || !equal;
        sim_store_rewind(both.sim, mark);
        if (equal && !found) {
            found = same_rows(g, orders[i], buf_str(&seen), answers);
            memcpy(g->order, orders[i], sizeof(g->order));
            sim_store_rewind(both.sim, mark);
        }
    }
    if (!found) {
        buf_printf(answers, "rows of PostgreSQL: %.*s\n", STR_ARG(buf_str(&seen)));
    }
    buf_fini(&seen);
    found = found && try_order(g, g->order, &again);
    buf_fini(&again);
    return found;
}

static void group_build(struct model *m, struct group *g)
{
    uint32_t nodes[NODES] = {0, 1, 2};
    for (uint32_t i = NODES - 1; i > 0; i--) {
        uint32_t k = (uint32_t)rng_below(&m->rng, i + 1), t = nodes[i];
        nodes[i] = nodes[k];
        nodes[k] = t;
    }
    bool alone = rng_chance(&m->rng, 0.8) || !together;
    g->len = alone ? 1 : 2 + (uint32_t)rng_below(&m->rng, 2);
    m->near = (uint32_t)rng_below(&m->rng, EXECS);
    m->near_len = g->len == 1 ? EXECS : 3;
    for (uint32_t i = 0; i < EXECS; i++) {
        m->exec[i].starting = false;
    }
    for (uint32_t i = 0; i < g->len; i++) {
        g->before[i] = *m;
        random_call_init(&g->pg[i]);
        buf_init(&g->answer[i], 0);
        random_call_build(m, &g->pg[i], nodes[i]);
    }
}

/* One call, or some together, on both; false when the answers differ. */
static bool step(struct model *m, uint32_t sequence, uint32_t number, struct counts *n)
{
    static struct group g;
    struct buf answers;
    bool matters = false;
    buf_init(&answers, 0);
    group_build(m, &g);
    bool in_time = ask_pg(g.pg, g.len);
    for (uint32_t i = 0; i < g.len; i++) {
        answer_write(&g.answer[i], &g, &g.pg[i].u.req);
        count_answer(n, &g.pg[i]);
    }
    bool equal = in_time && find_order(&g, &answers, &matters);
    if (!equal) {
        printf("sequence %" PRIu32 " step %" PRIu32 "\n", sequence, number);
        for (uint32_t i = 0; i < g.len; i++) {
            printf("PostgreSQL, call %" PRIu32 " node %" PRIu32 ": %.*s (%s)\n", i, g.pg[i].node,
                   STR_ARG(buf_str(&g.answer[i])), g.pg[i].u.req.detail.text);
        }
        printf("%.*s", STR_ARG(buf_str(&answers)));
    }
    count(n, TOGETHER, g.len > 1);
    count(n, TOGETHER_IN_AN_ORDER, g.len > 1 && matters);
    for (uint32_t i = 0; i < g.len; i++) {
        random_call_learn(m, &g.pg[equal ? g.order[i] : i]);
    }
    for (uint32_t i = 0; i < g.len; i++) {
        buf_fini(&g.answer[i]);
        random_call_fini(&g.pg[i]);
    }
    buf_fini(&answers);
    return equal;
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
    both.world->wall_base_us = 0;
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
        random_call_init(&c);
        c.u.lanes =
            (struct store_lanes){.req = {.op = STORE_LANES, .arena = &c.out}, .shard = SHARD};
        c.node = i;
        if (!ask_pg(&c, 1) || c.u.req.err != ERR_OK) {
            fprintf(stderr, "no connection: %s\n", c.u.req.detail.text);
            exit(1);
        }
        random_call_fini(&c);
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

/* Both stores begin empty; false when answers differ. */
static bool quarter_run(struct counts *n)
{
    struct err_detail d = {0};
    static struct model m;
    bool equal = true;
    struct pg_private *pg =
        pg_private_start("-c fsync=off -c shared_buffers=64MB -c max_connections=40", &d);
    if (pg == NULL) {
        fprintf(stderr, "no PostgreSQL: %s\n", d.text);
        return false;
    }
    random_calls_init(&m, os_clock()->wall(os_clock()), n->quarter);
    both_open(pg, &m);
    /* Each sequence is known by its number alone, given the ones before it. */
    for (uint32_t i = 0; equal && i < SEQUENCES / QUARTERS; i++) {
        uint32_t len = 1 + (uint32_t)rng_below(&m.rng, CALLS_MAX);
        for (uint32_t k = 0; equal && k < len; k++) {
            equal = step(&m, i, k, n);
        }
    }
    if (os_clock()->wall(os_clock()).us / m.window_us != m.window) {
        printf("this has taken more than half an hour, and a window is over\n");
        equal = false;
    }
    both_close();
    pg_private_stop(pg);
    return equal;
}

int main(void)
{
    static struct counts n;
    bool equal = true;
    together = os_getenv("CARILLON_DIFF_TOGETHER") != NULL;
    for (; equal && n.quarter < QUARTERS; n.quarter++) {
        equal = quarter_run(&n);
    }
    printf("%d sequences, %" PRIu32 " calls%s; by quarters:\n", SEQUENCES, n.calls,
           equal ? "" : ", of which one differs");
    bool much = enough(&n);
    return equal && much ? 0 : 1;
}
