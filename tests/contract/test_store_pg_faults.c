/* What only a real PostgreSQL can do to the store: die, freeze, be set up badly, hold a lock. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/contract/store_pg_world.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/os.h"
#include "storage/migrate.h"

#include <signal.h>
#include <sys/wait.h>

enum { TENANT = 1 };

static struct pg_world *w;
static struct arena arena;
static struct rng rng;
static struct uuid me, other;
static struct lane_ref held[SUITE_LANES];
struct pending {
    struct store_req *req;
    bool done;
};
static struct pending pending[64];

static void on_answer(struct store_req *r)
{
    for (size_t i = 0; i < ARRAY_LEN(pending); i++) {
        if (pending[i].req == r) {
            ck_assert(!pending[i].done); /* exactly once */
            pending[i].done = true;
        }
    }
    w->base.answered(&w->base);
}

static bool is_done(void *arg)
{
    return ((struct pending *)arg)->done;
}

static void submit(int slot, struct store_req *r, enum store_op op)
{
    r->op = op;
    r->loop = w->base.loop;
    r->done = on_answer;
    r->arena = &arena;
    pending[slot] = (struct pending){.req = r};
    store_submit(w->base.store, r);
}

static enum err await(int slot)
{
    ck_assert_msg(w->base.until(&w->base, is_done, &pending[slot]), "no answer");
    return pending[slot].req->err;
}

static enum err call(struct store_req *r, enum store_op op)
{
    submit(0, r, op);
    return await(0);
}

#define MUST(q, op) \
    do { \
        enum err e_ = call(&(q)->req, op); \
        ck_assert_msg(e_ == ERR_OK, #op ": %s: %s", err_name(e_), (q)->req.detail.text); \
    } while (0)

/* ---- a second way into the database ---- */

static PGconn *dial(const char *name)
{
    const char *const keys[] = {"dbname", "application_name", NULL};
    const char *const values[] = {w->conninfo, name, NULL};
    PGconn *c = PQconnectdbParams(keys, values, 1);
    ck_assert_msg(PQstatus(c) == CONNECTION_OK, "%s", PQerrorMessage(c));
    return c;
}

static bool sql(PGconn *c, const char *text)
{
    PGresult *r = PQexec(c, text);
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK;
    PQclear(r);
    return ok;
}

static void run_sql(const char *text)
{
    PGconn *c = dial("test");
    ck_assert_msg(sql(c, text), "%s: %s", text, PQerrorMessage(c));
    PQfinish(c);
}

/* One value as text; static memory. */
static const char *ask(const char *text)
{
    static char out[256];
    PGconn *c = dial("test");
    PGresult *r = PQexec(c, text);
    ck_assert_msg(PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1, "%s: %s", text,
                  PQerrorMessage(c));
    (void)snprintf(out, sizeof(out), "%s", PQgetvalue(r, 0, 0));
    PQclear(r);
    PQfinish(c);
    return out;
}

/* ---- the usual steps ---- */

static enum err lease(const struct uuid *incarnation, int64_t us, bool renew)
{
    struct store_lease q = {.incarnation = *incarnation,
                            .node = STR("n"),
                            .address = STR("a"),
                            .lease_us = us,
                            .renew_only = renew};
    return call(&q.req, STORE_LEASE);
}

static struct store_claim claim_of(const struct uuid *incarnation)
{
    static const uint16_t all[SUITE_LANES] = {0, 1, 2, 3};
    return (struct store_claim){.shard = SUITE_SHARD,
                                .incarnation = *incarnation,
                                .node = STR("n"),
                                .lanes = all,
                                .lanes_len = SUITE_LANES,
                                .window_us = US_PER_HOUR,
                                .ring_windows = SUITE_RING,
                                .claim_seed = rng_u64(&rng)};
}

static void own_all(const struct uuid *incarnation)
{
    ck_assert_int_eq(lease(incarnation, 60 * (int64_t)US_PER_S, false), ERR_OK);
    struct store_claim q = claim_of(incarnation);
    MUST(&q, STORE_CLAIM);
    ck_assert_uint_eq(q.got_len, SUITE_LANES);
    for (int i = 0; i < SUITE_LANES; i++) {
        const struct lane_row *l = &q.got[i];
        held[i] = (struct lane_ref){l->shard, l->lane, l->slot_lo, l->slot_hi, l->fence};
    }
}

struct exec {
    struct turn_row t;
    struct turn_row *turns[1];
    struct task_row task;
    struct start_row start;
    struct store_commit q;
    char name[16];
};

/* A start, or the next turn, with a task: ready to be submitted. */
static void next_turn(struct exec *e, const char *name, uint16_t slot)
{
    bool first = e->t.seq == 0;
    struct wall now = clock_wall(os_clock());
    if (first) {
        (void)snprintf(e->name, sizeof(e->name), "%s", name);
        e->t.exec = exec_id_make(SUITE_SHARD, slot, TENANT, now, &rng);
        e->start = (struct start_row){.tenant = TENANT,
                                      .workflow = STR("w"),
                                      .name = str_of(e->name),
                                      .revision = 1,
                                      .digest = 5,
                                      .started_at = now};
    }
    e->t = (struct turn_row){.exec = e->t.exec,
                             .seq_prev = e->t.seq,
                             .turn_prev = e->t.turn,
                             .seq = e->t.seq + 1,
                             .turn = rng_u64(&rng) | 1,
                             .status = STATUS_OPEN,
                             .first_event = 1,
                             .event_count = 1,
                             .body = STR("x"),
                             .outcomes = first ? STR_NONE : STR("1:2:worker:7\n0:1:w2\n"),
                             .start = first ? &e->start : NULL,
                             .tasks_new = &e->task,
                             .tasks_new_len = 1};
    e->task = (struct task_row){.token = {{e->t.exec, e->t.seq, 0, 1}, 9}, .queue = STR("q")};
    e->turns[0] = &e->t;
    e->q = (struct store_commit){.shard = SUITE_SHARD,
                                 .incarnation = me,
                                 .lanes = held,
                                 .lanes_len = SUITE_LANES,
                                 .turns = e->turns,
                                 .turns_len = 1};
}

static void commit_ok(struct exec *e, const char *name, uint16_t slot)
{
    next_turn(e, name, slot);
    MUST(&e->q, STORE_COMMIT);
    ck_assert_int_eq(e->t.result, TURN_OK);
}

static uint64_t seq_now(const struct exec *e)
{
    struct store_load q = {.ids = &e->t.exec, .ids_len = 1};
    enum err err;
    int64_t give_up = clock_mono(os_clock()).us + 20 * (int64_t)US_PER_S;
    do { /* the server may be recovering */
        err = call(&q.req, STORE_LOAD);
    } while (err == ERR_UNAVAILABLE && clock_mono(os_clock()).us < give_up);
    ck_assert_msg(err == ERR_OK, "%s", q.req.detail.text);
    return q.rows[0].seq;
}

static void setup(void)
{
    arena_init(&arena, 0);
    rng_seed(&rng, 99);
    me = uuid_make(&rng);
    other = uuid_make(&rng);
    w = CONTAINER_OF(store_pg_world_make(), struct pg_world, base);
    w->base.session(&w->base, &me, true);
    own_all(&me);
}

static void teardown(void)
{
    arena_fini(&arena);
    w->base.fini(&w->base);
}

static void on_closed(void *arg)
{
    latch_set(arg, 1);
}

/* A store of the test's own beside the world's, and its end. */
static struct store *usual;

static void use_own(const struct store_pg_config *config)
{
    usual = w->base.store;
    w->base.store = store_pg_new(w->base.loop, config);
}

static void close_own(void)
{
    struct latch closed;
    latch_init(&closed);
    store_pg_close(w->base.store, w->base.loop, on_closed, &closed);
    ck_assert_int_eq(latch_wait(&closed, 20 * (int64_t)US_PER_S), 1);
    latch_fini(&closed);
    w->base.store = usual;
}

/* ---- tests ---- */

START_TEST(killed_server)
{
    enum { N = 16 };
    static struct exec e[N];
    struct err_detail d = {0};
    uint64_t before[N];
    for (int i = 0; i < N; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "k%d", i);
        commit_ok(&e[i], name, (uint16_t)(i * 200));
        before[i] = e[i].t.seq;
    }
    for (int i = 0; i < N; i++) {
        next_turn(&e[i], "", 0);
        submit(i, &e[i].q.req, STORE_COMMIT);
    }
    pg_private_kill9(store_pg_server);
    for (int i = 0; i < N; i++) {
        enum err err = await(i);
        ck_assert_msg(err == ERR_OK || err == ERR_UNKNOWN || err == ERR_UNAVAILABLE, "%s",
                      err_name(err));
        ck_assert(err == ERR_OK || e[i].t.result == TURN_DROPPED);
    }
    struct store_tenant t = {.name = STR("away"), .create = true};
    /* A backend may serve, and then drop, a call or two before it notices that its server is dead. */
    enum err away;
    do {
        away = call(&t.req, STORE_TENANT);
    } while (away == ERR_OK || away == ERR_UNKNOWN);
    ck_assert_int_eq(away, ERR_UNAVAILABLE);
    ck_assert_int_eq(pg_private_restart(store_pg_server, &d), ERR_OK);
    for (int i = 0; i < N; i++) {
        uint64_t seq = seq_now(&e[i]);
        enum err err = e[i].q.req.err;
        ck_assert(seq == before[i] || seq == before[i] + 1);
        ck_assert(err != ERR_OK || seq == before[i] + 1);
        ck_assert(err != ERR_UNAVAILABLE || seq == before[i]);
    }
}
END_TEST

START_TEST(blocked_commit)
{
    struct exec e = {0};
    commit_ok(&e, "a", 7);
    PGconn *c = dial("test");
    ck_assert(sql(c, "BEGIN") && sql(c, "LOCK TABLE carillon.execution IN EXCLUSIVE MODE"));
    /* lock_timeout: rolled back, so nothing happened */
    next_turn(&e, "", 0);
    ck_assert_int_eq(call(&e.q.req, STORE_COMMIT), ERR_LOCKED);
    ck_assert_int_eq(e.t.result, TURN_DROPPED);
    /* Our own deadline comes first: then nobody knows. */
    e.q.req.deadline_us = 100 * US_PER_MS;
    ck_assert_int_eq(call(&e.q.req, STORE_COMMIT), ERR_UNKNOWN);
    ck_assert_int_eq(e.t.result, TURN_DROPPED);
    /* Reads and leases go on meanwhile. */
    ck_assert_int_eq(lease(&me, 60 * (int64_t)US_PER_S, true), ERR_OK);
    struct start_key key = {TENANT, STR("w"), STR("a")};
    struct store_start_lookup look = {.keys = &key, .keys_len = 1};
    MUST(&look, STORE_START_LOOKUP);
    ck_assert(look.found[0].found);
    ck_assert(sql(c, "COMMIT"));
    PQfinish(c);
    uint64_t seq = seq_now(&e);
    ck_assert(seq == 1 || seq == 2);
}
END_TEST

START_TEST(full_queue)
{
    struct exec e = {0};
    commit_ok(&e, "a", 7);
    use_own(&(struct store_pg_config){.conninfo = w->conninfo,
                                      .incarnation = other,
                                      .node = "small",
                                      .shard = SUITE_SHARD,
                                      .commit_conns = 1,
                                      .commit_depth = 1,
                                      .queue_max = 2,
                                      .allow_unsafe = true});
    struct store_lanes l = {.shard = SUITE_SHARD};
    MUST(&l, STORE_LANES);
    struct exec first = {0};
    commit_ok(&first, "first", 9); /* connected, lanes known */
    PGconn *c = dial("test");
    ck_assert(sql(c, "BEGIN") && sql(c, "LOCK TABLE carillon.execution IN EXCLUSIVE MODE"));
    static struct exec more[5];
    for (int i = 0; i < 5; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "m%d", i % 10);
        next_turn(&more[i], name, (uint16_t)i);
        submit(i, &more[i].q.req, STORE_COMMIT);
    }
    /* One in flight, two wait, two are refused. */
    ck_assert_int_eq(await(3), ERR_LIMIT);
    ck_assert_int_eq(await(4), ERR_LIMIT);
    ck_assert_int_eq(more[4].t.result, TURN_DROPPED);
    ck_assert(sql(c, "COMMIT"));
    PQfinish(c);
    for (int i = 0; i < 3; i++) {
        enum err err = await(i);
        ck_assert_msg(err == ERR_OK || err == ERR_LOCKED, "%s", err_name(err));
    }
    close_own();
    ck_assert_uint_eq(seq_now(&e), 1);
}
END_TEST

/* Whatever an owner does meanwhile, and also when that fails and takes its connection along. */
START_TEST(lease_waits_for_nobody)
{
    PGconn *c = dial("test");
    ck_assert(sql(c, "BEGIN") && sql(c, "LOCK TABLE carillon.timer_long IN ACCESS EXCLUSIVE MODE"));
    struct store_promote p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = (struct store_promote){.lanes = held, .lanes_len = SUITE_LANES};
        p[i].req.deadline_us = i == 3 ? 400 * US_PER_MS : 0;
        submit(1 + i, &p[i].req, STORE_PROMOTE);
    }
    for (int round = 0; !pending[2].done; round++) {
        int64_t from = clock_mono(os_clock()).us;
        ck_assert_int_eq(lease(&me, 60 * (int64_t)US_PER_S, true), ERR_OK);
        ck_assert_int_lt(clock_mono(os_clock()).us - from, 700 * US_PER_MS);
        ck_assert(round > 0 || !pending[1].done); /* it did not wait for them */
    }
    ck_assert(sql(c, "COMMIT"));
    PQfinish(c);
    for (int i = 0; i < 4; i++) {
        (void)await(1 + i);
    }
}
END_TEST

/* A call that is in less of a hurry in front of it is no reason to wait longer: neither on the
 * connection, nor in the queue before it. */
START_TEST(earliest_deadline_counts)
{
    static struct exec e[4];
    memset(e, 0, sizeof(e));
    use_own(&(struct store_pg_config){.conninfo = w->conninfo,
                                      .incarnation = other,
                                      .node = "small",
                                      .shard = SUITE_SHARD,
                                      .commit_conns = 1,
                                      .commit_depth = 2,
                                      .allow_unsafe = true});
    commit_ok(&e[0], "first", 9); /* connected, lanes known */
    PGconn *c = dial("test");
    ck_assert(sql(c, "BEGIN") && sql(c, "LOCK TABLE carillon.execution IN EXCLUSIVE MODE"));
    int64_t from = clock_mono(os_clock()).us;
    for (int i = 0; i < 4; i++) { /* two on the connection, two in the queue */
        next_turn(&e[i], "", (uint16_t)i);
        (void)snprintf(e[i].name, sizeof(e[i].name), "e%d", i);
        e[i].q.req.deadline_us = i == 3 ? 100 * US_PER_MS : i == 1 ? 300 * US_PER_MS : 0;
        submit(i, &e[i].q.req, STORE_COMMIT);
    }
    ck_assert_int_eq(await(3), ERR_UNAVAILABLE); /* it was not sent */
    ck_assert_int_lt(clock_mono(os_clock()).us - from, 800 * US_PER_MS);
    ck_assert_int_eq(await(1), ERR_UNKNOWN);
    ck_assert_int_lt(clock_mono(os_clock()).us - from, 950 * US_PER_MS); /* before the lock's end */
    ck_assert(sql(c, "COMMIT"));
    PQfinish(c);
    (void)await(0);
    (void)await(2);
    close_own();
}
END_TEST

START_TEST(closing_answers_everything)
{
    static struct exec e[20];
    PGconn *c = dial("test");
    ck_assert(sql(c, "BEGIN") && sql(c, "LOCK TABLE carillon.execution IN EXCLUSIVE MODE"));
    for (int i = 0; i < 20; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "c%d", i);
        next_turn(&e[i], name, (uint16_t)i);
        submit(i, &e[i].q.req, STORE_COMMIT);
    }
    arena_fini(&arena);
    w->base.fini(&w->base); /* closes, waits, and finds no block of memory left */
    for (int i = 0; i < 20; i++) {
        ck_assert(pending[i].done);
        enum err err = e[i].q.req.err;
        ck_assert_msg(err == ERR_UNAVAILABLE || err == ERR_LOCKED || err == ERR_UNKNOWN, "%s",
                      err_name(err));
    }
    ck_assert(sql(c, "COMMIT"));
    PQfinish(c);
    setup();
}
END_TEST

/* The owner froze in the middle of a batch: its session holds the fence and says nothing. */
static void frozen(const char *app_name, const char *begin)
{
    ck_assert_int_eq(lease(&me, -1, true), ERR_OK); /* over */
    PGconn *c = dial(app_name);
    ck_assert(sql(c, begin));
    char lock[128];
    (void)snprintf(lock, sizeof(lock), "SELECT pg_advisory_xact_lock_shared(1128354377, %d)",
                   SUITE_SHARD << 16 | 2);
    ck_assert(sql(c, lock));
    int64_t from = clock_mono(os_clock()).us;
    ck_assert_int_eq(lease(&other, 60 * (int64_t)US_PER_S, false), ERR_OK);
    struct store_claim q = claim_of(&other);
    MUST(&q, STORE_CLAIM);
    ck_assert_uint_eq(q.got_len, SUITE_LANES);
    int64_t took = clock_mono(os_clock()).us - from;
    ck_assert_msg(took < 3 * (int64_t)US_PER_S, "%" PRId64 " us", took);
    ck_assert(!sql(c, "SELECT 1")); /* it was ended */
    PQfinish(c);
}

START_TEST(frozen_owner_is_evicted)
{
    char text[EXEC_ID_TEXT + 1], name[64];
    uuid_format(&me, text);
    (void)snprintf(name, sizeof(name), "carillon/frozen/%s", text);
    frozen(name, "BEGIN");
    ck_assert_int_eq(lease(&me, US_PER_S, true), ERR_FENCED);
}
END_TEST

START_TEST(frozen_stranger_is_ended)
{
    frozen("carillon/stranger/unknown", "BEGIN");
}
END_TEST

START_TEST(data_error_drops_the_batch)
{
    struct exec good = {0}, bad = {0};
    next_turn(&good, "good", 1);
    next_turn(&bad, "bad", 2);
    bad.start.name = STR("a\0b");
    struct turn_row *turns[] = {&good.t, &bad.t};
    good.q.turns = turns;
    good.q.turns_len = 2;
    ck_assert_int_eq(call(&good.q.req, STORE_COMMIT), ERR_INVALID);
    ck_assert(good.t.result == TURN_DROPPED && bad.t.result == TURN_DROPPED);
    good.q.turns_len = 1; /* as a caller bisects */
    MUST(&good.q, STORE_COMMIT);
    ck_assert_int_eq(good.t.result, TURN_OK);
}
END_TEST

START_TEST(impossible_turns_are_refused)
{
    struct exec e = {0};
    next_turn(&e, "e", 1);
    e.t.seq = 3;
    ck_assert_int_eq(call(&e.q.req, STORE_COMMIT), ERR_INVALID);
    ck_assert_int_eq(e.t.result, TURN_DROPPED);
    e.t.seq = 1;
    e.q.shard = SUITE_SHARD + 1;
    ck_assert_int_eq(call(&e.q.req, STORE_COMMIT), ERR_INVALID);
    e.q.shard = SUITE_SHARD;
    MUST(&e.q, STORE_COMMIT);
}
END_TEST

START_TEST(names_are_free_after_retention)
{
    struct exec a = {0}, b = {0}, c = {0};
    commit_ok(&a, "name", 5);
    run_sql("UPDATE carillon.start_key SET closed_at = now() - interval '89 days'");
    next_turn(&b, "name", 5);
    MUST(&b.q, STORE_COMMIT);
    ck_assert_int_eq(b.t.result, TURN_EXISTS);
    run_sql("UPDATE carillon.start_key SET closed_at = now() - interval '91 days'");
    commit_ok(&c, "name", 5);
    struct start_key key = {TENANT, STR("w"), STR("name")};
    struct store_start_lookup look = {.keys = &key, .keys_len = 1};
    MUST(&look, STORE_START_LOOKUP);
    ck_assert(exec_id_eq(&look.found[0].exec, &c.t.exec));
    ck_assert_str_eq(ask("SELECT closed_at IS NULL FROM carillon.start_key WHERE shard = 3"), "t");
}
END_TEST

START_TEST(older_timeline_is_fenced)
{
    struct exec e = {0};
    commit_ok(&e, "e", 5);
    run_sql("UPDATE carillon.node SET timeline = timeline - 1");
    ck_assert_int_eq(lease(&me, US_PER_S, true), ERR_FENCED);
    struct store_claim q = claim_of(&me);
    ck_assert_int_eq(call(&q.req, STORE_CLAIM), ERR_FENCED);
    struct store_promote p = {.lanes = held, .lanes_len = 1};
    ck_assert_int_eq(call(&p.req, STORE_PROMOTE), ERR_FENCED);
    struct store_release r = {.incarnation = me};
    ck_assert_int_eq(call(&r.req, STORE_RELEASE), ERR_FENCED);
    next_turn(&e, "", 0);
    ck_assert_int_eq(call(&e.q.req, STORE_COMMIT), ERR_FENCED);
    ck_assert_uint_eq(seq_now(&e), 1);
    own_all(&other);
}
END_TEST

START_TEST(lanes_that_changed_are_read_again)
{
    struct exec e = {0}, f = {0};
    commit_ok(&e, "e", 5);
    /* Lane 0 takes over the slots of lane 1, as a merge at a window boundary does. */
    run_sql("DELETE FROM carillon.lane WHERE lane = 1;"
            "UPDATE carillon.lane SET slot_hi = 2048 WHERE lane = 0");
    next_turn(&f, "f", 1500);
    MUST(&f.q, STORE_COMMIT);
    ck_assert_int_eq(f.t.result, TURN_WINDOW);
    MUST(&f.q, STORE_COMMIT);
    ck_assert_int_eq(f.t.result, TURN_OK);
    ck_assert(!f.t.via_inbox); /* held under lane 0's claim, whatever its slots are now */
}
END_TEST

START_TEST(outcomes_have_their_states)
{
    static const struct str paths[] = {{"First", 5}, {"Map/Inner", 9}};
    struct store_def_put d = {.tenant = TENANT,
                              .workflow = STR("w"),
                              .text = STR("{}"),
                              .digest = STR("d"),
                              .state_paths = paths,
                              .state_paths_len = 2};
    MUST(&d, STORE_DEF_PUT);
    ck_assert_uint_eq(d.revision, 1);
    struct exec e = {0};
    commit_ok(&e, "e", 5);
    commit_ok(&e, "", 0);
    ck_assert_str_eq(ask("SELECT string_agg(state_path || '|' || attempt || '|' || worker, ' '"
                         " ORDER BY state_index) FROM carillon.outcomes"),
                     "First|1|w2 Map/Inner|2|worker:7");
    ck_assert_str_eq(ask("SELECT count(*) FROM carillon.history"), "2");
    ck_assert_str_eq(ask("SELECT count(*) FROM carillon.executions WHERE open"), "1");
    ck_assert_str_eq(ask("SELECT count(DISTINCT claim) FROM carillon.claims"), "4");
    ck_assert_str_eq(ask("SELECT count(*) FROM carillon.open_tasks"), "2");
    ck_assert_str_eq(ask("SELECT count(DISTINCT partition) FROM carillon.partitions"), "16");
}
END_TEST

/* What the partitions of lane 2 are, as "w00:ACTIVE ...", the present window first. */
static const char *states_of_lane_2(void)
{
    return ask("SELECT string_agg(state, ' ' ORDER BY \"window\") FROM carillon.partitions"
               " WHERE lane = 2");
}

START_TEST(partitions_tell_their_state)
{
    char want[32];
    struct store_lanes l = {.shard = SUITE_SHARD};
    MUST(&l, STORE_LANES);
    int64_t window = l.lanes[2].accept_from;
    ck_assert_str_eq(states_of_lane_2(), "ACTIVE OPEN OPEN OPEN");
    (void)snprintf(want, sizeof(want), "3/w%02d/l2", (int)(window % SUITE_RING));
    ck_assert_str_eq(
        ask("SELECT partition FROM carillon.partitions WHERE lane = 2 AND state = 'ACTIVE'"
            " AND now() >= window_from AND now() < window_to"),
        want);
    /* Each partition has one claim that is its own now. */
    ck_assert_str_eq(
        ask("SELECT count(*) || ' ' || count(DISTINCT partition) FROM carillon.claims c"
            " JOIN carillon.partitions p USING (partition, epoch, claim, node)"),
        "16 16");
    struct store_window_close c = {.lanes = &held[2],
                                   .lanes_len = 1,
                                   .accept_from = window + 2,
                                   .finish = false};
    MUST(&c, STORE_WINDOW_CLOSE);
    ck_assert_str_eq(states_of_lane_2(), "CLOSING CLOSING ACTIVE OPEN");
    c.finish = true;
    MUST(&c, STORE_WINDOW_CLOSE);
    ck_assert_str_eq(states_of_lane_2(), "CLOSED CLOSED ACTIVE OPEN");
    struct store_window_close rest = {.lanes = held,
                                      .lanes_len = SUITE_LANES,
                                      .accept_from = window + 1,
                                      .finish = true};
    MUST(&rest, STORE_WINDOW_CLOSE);
    struct store_window_empty e = {.shard = SUITE_SHARD, .window = window};
    MUST(&e, STORE_WINDOW_EMPTY);
    ck_assert(e.emptied);
    ck_assert_str_eq(states_of_lane_2(),
                     "CLOSED ACTIVE OPEN OFFLINE"); /* the newest: not yet open */
    ck_assert_int_eq(lease(&me, -1, true), ERR_OK);
    ck_assert_str_eq(states_of_lane_2(), "OFFLINE OFFLINE OFFLINE OFFLINE"); /* nobody serves it */
}
END_TEST

/* One value of the catalog for the n-th view. */
static void of_view(int n, const char *what, char *out, size_t size)
{
    char q[320];
    (void)snprintf(q, sizeof(q),
                   "SELECT %s FROM (SELECT c.table_name, c.column_name FROM"
                   " information_schema.columns c JOIN pg_views v ON v.schemaname = 'carillon' AND"
                   " v.viewname = c.table_name WHERE c.ordinal_position = 1 ORDER BY 1 OFFSET %d"
                   " LIMIT 1) x",
                   what, n);
    (void)snprintf(out, size, "%s", ask(q));
}

/* Whatever is done to a view fails, and says why; also what finds no row. */
START_TEST(views_are_for_reading)
{
    struct exec e = {0};
    commit_ok(&e, "e", 5);
    commit_ok(&e, "", 0);
    int n =
        (int)strtol(ask("SELECT count(*) FROM pg_views WHERE schemaname = 'carillon'"), NULL, 10);
    ck_assert_int_ge(n, 6);
    PGconn *c = dial("test");
    for (int i = 0; i < n; i++) {
        char view[64], column[64], change[4][160];
        of_view(i, "table_name", view, sizeof(view));
        of_view(i, "column_name", column, sizeof(column));
        (void)snprintf(change[0], sizeof(change[0]), "DELETE FROM carillon.%s", view);
        (void)snprintf(change[1], sizeof(change[1]), "DELETE FROM carillon.%s WHERE false", view);
        (void)snprintf(change[2], sizeof(change[2]), "INSERT INTO carillon.%s DEFAULT VALUES",
                       view);
        (void)snprintf(change[3], sizeof(change[3]), "UPDATE carillon.%s SET %s = NULL", view,
                       column);
        for (size_t k = 0; k < ARRAY_LEN(change); k++) {
            ck_assert_msg(!sql(c, change[k]), "%s", change[k]);
            ck_assert_msg(strstr(PQerrorMessage(c), "is for reading only") != NULL, "%s: %s",
                          change[k], PQerrorMessage(c));
        }
    }
    PQfinish(c);
    ck_assert_str_eq(ask("SELECT count(*) FROM carillon.history"), "2");
}
END_TEST

START_TEST(other_schemas_are_refused)
{
    struct migrate_result m;
    struct err_detail d = {0};
    ck_assert_int_eq(migrate_run(w->conninfo, SUITE_SHARD, SUITE_LANES, &m, &d), ERR_OK);
    ck_assert_uint_eq(m.from, MIGRATE_VERSION);
    ck_assert_int_ge(m.server_version, 140000);
    run_sql("UPDATE carillon.meta SET value = '99' WHERE key = 'schema_version'");
    ck_assert_int_eq(migrate_run(w->conninfo, SUITE_SHARD, SUITE_LANES, &m, &d), ERR_SCHEMA);
    ck_assert_ptr_nonnull(strstr(d.text, "99"));
    use_own(&(struct store_pg_config){.conninfo = w->conninfo,
                                      .incarnation = other,
                                      .node = "x",
                                      .shard = SUITE_SHARD,
                                      .allow_unsafe = true});
    struct store_lanes l = {.shard = SUITE_SHARD};
    ck_assert_int_eq(call(&l.req, STORE_LANES), ERR_SCHEMA);
    close_own();
}
END_TEST

/* Somebody else is migrating, or has died with the lock: one waits, but not for ever. */
START_TEST(migration_waits_for_a_time)
{
    struct migrate_result m;
    struct err_detail d = {0};
    PGconn *c = dial("carillon/migrate");
    ck_assert(sql(c, "BEGIN") && sql(c, "SELECT pg_advisory_xact_lock(1128354377, -4)"));
    int64_t from = clock_mono(os_clock()).us;
    ck_assert_int_eq(migrate_run_within(w->conninfo, SUITE_SHARD, SUITE_LANES, 300 * US_PER_MS, &m,
                                        &d),
                     ERR_LOCKED);
    ck_assert_int_lt(clock_mono(os_clock()).us - from, 5 * (int64_t)US_PER_S);
    ck_assert_msg(strstr(d.text, "another process has been migrating this database for longer than "
                                 "0.3 s") != NULL,
                  "%s", d.text);
    ck_assert(sql(c, "COMMIT"));
    PQfinish(c);
    d = (struct err_detail){0};
    ck_assert_int_eq(migrate_run_within(w->conninfo, SUITE_SHARD, SUITE_LANES, 300 * US_PER_MS, &m,
                                        &d),
                     ERR_OK);
}
END_TEST

/* The server accepts the statement and says nothing more. */
START_TEST(migration_of_a_frozen_server)
{
    PGconn *c = dial("test");
    ck_assert(sql(c, "BEGIN") && sql(c, "SELECT pg_advisory_xact_lock(1128354377, -4)"));
    pid_t child = fork();
    if (child == 0) {
        struct migrate_result m;
        struct err_detail d = {0};
        enum err e =
            migrate_run_within(w->conninfo, SUITE_SHARD, SUITE_LANES, 2 * US_PER_S, &m, &d);
        _exit(e == ERR_UNAVAILABLE && strstr(d.text, "has not answered for 4.0 s") != NULL ? 0 : 1);
    }
    const char *backend = "";
    int64_t give_up = clock_mono(os_clock()).us + 10 * (int64_t)US_PER_S;
    while (backend[0] == '\0') {
        ck_assert_int_lt(clock_mono(os_clock()).us, give_up);
        backend =
            ask("SELECT coalesce(max(a.pid)::text, '') FROM pg_stat_activity a JOIN pg_locks l"
                " USING (pid) WHERE a.application_name = 'carillon/migrate' AND NOT l.granted");
    }
    pid_t frozen = (pid_t)strtol(backend, NULL, 10);
    ck_assert_int_eq(kill(frozen, SIGSTOP), 0);
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(kill(frozen, SIGCONT), 0);
    PQfinish(c);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(unsafe_server_is_refused)
{
    use_own(&(struct store_pg_config){
        .conninfo = w->conninfo, .incarnation = other, .node = "x", .shard = SUITE_SHARD});
    struct store_lanes l = {.shard = SUITE_SHARD};
    ck_assert_int_eq(call(&l.req, STORE_LANES), ERR_UNAVAILABLE);
    ck_assert_msg(strstr(l.req.detail.text, "fsync") != NULL, "%s", l.req.detail.text);
    close_own();
}
END_TEST

/* A call that holds the only thread of a pool, as the look-up of a host's name may for a long time. */
struct blocker {
    struct pool_job job;
    struct latch begun, may_end, over;
};

static void blocker_work(struct pool_job *j)
{
    struct blocker *b = CONTAINER_OF(j, struct blocker, job);
    latch_set(&b->begun, 1);
    (void)latch_wait(&b->may_end, 60 * (int64_t)US_PER_S);
}

static void blocker_done(struct pool_job *j)
{
    latch_set(&CONTAINER_OF(j, struct blocker, job)->over, 1);
}

static void blocker_begin(struct blocker *b, struct pool *pool)
{
    b->job = (struct pool_job){.work = blocker_work, .loop = w->base.loop, .done = blocker_done};
    latch_init(&b->begun);
    latch_init(&b->may_end);
    latch_init(&b->over);
    ck_assert_int_eq(pool_submit(pool, &b->job), ERR_OK);
    ck_assert_int_eq(latch_wait(&b->begun, 20 * (int64_t)US_PER_S), 1);
}

static void blocker_end(struct blocker *b)
{
    latch_set(&b->may_end, 1);
    ck_assert_int_eq(latch_wait(&b->over, 20 * (int64_t)US_PER_S), 1);
    latch_fini(&b->begun);
    latch_fini(&b->may_end);
    latch_fini(&b->over);
}

/* While connections wait for their first step the loop turns: deadlines hold, the store closes. */
START_TEST(connecting_blocks_no_loop)
{
    struct pool *pool = pool_new(1, 60 * (int64_t)US_PER_S);
    struct blocker b;
    struct store_pg_config config = {.conninfo = w->conninfo,
                                     .incarnation = other,
                                     .node = "x",
                                     .shard = SUITE_SHARD,
                                     .allow_unsafe = true,
                                     .pool = pool};
    struct store_lanes l = {.req = {.deadline_us = 100 * US_PER_MS}, .shard = SUITE_SHARD};
    blocker_begin(&b, pool);
    use_own(&config);
    ck_assert_int_eq(call(&l.req, STORE_LANES), ERR_UNAVAILABLE);
    blocker_end(&b);
    l = (struct store_lanes){.shard = SUITE_SHARD};
    MUST(&l, STORE_LANES);
    close_own();
    blocker_begin(&b, pool);
    use_own(&config);
    close_own(); /* with the first steps still waiting */
    blocker_end(&b);
    ck_assert(pool_free(pool, 20 * (int64_t)US_PER_S));
}
END_TEST

START_TEST(sessions_are_renamed)
{
    struct exec e = {0};
    commit_ok(&e, "e", 5);
    char text[EXEC_ID_TEXT + 1], q[256];
    uuid_format(&other, text);
    (void)snprintf(q, sizeof(q),
                   "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE"
                   " 'carillon/a-node-with-quite%%/%s'",
                   text);
    ck_assert_str_eq(ask(q), "0");
    store_pg_rename(w->base.store, other);
    (void)seq_now(&e);
    int64_t give_up = clock_mono(os_clock()).us + 20 * (int64_t)US_PER_S;
    while (strcmp(ask(q), "6") != 0) {
        ck_assert_int_lt(clock_mono(os_clock()).us, give_up);
    }
}
END_TEST

static int run_case(TCase *c, const char *name, bool fork)
{
    Suite *s = suite_create(name);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    if (!fork) {
        srunner_set_fork_status(r, CK_NOFORK);
    }
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}

int main(void)
{
    struct err_detail d = {0};
    store_pg_server =
        pg_private_start("-c fsync=off -c shared_buffers=64MB -c max_connections=40", &d);
    if (store_pg_server == NULL) {
        (void)fprintf(stderr, "no PostgreSQL: %s\n", d.text);
        return 1;
    }
    TCase *c = tcase_create("faults");
    tcase_add_test(c, blocked_commit);
    tcase_add_test(c, full_queue);
    tcase_add_test(c, lease_waits_for_nobody);
    tcase_add_test(c, earliest_deadline_counts);
    tcase_add_test(c, closing_answers_everything);
    tcase_add_test(c, frozen_owner_is_evicted);
    tcase_add_test(c, frozen_stranger_is_ended);
    tcase_add_test(c, data_error_drops_the_batch);
    tcase_add_test(c, impossible_turns_are_refused);
    tcase_add_test(c, names_are_free_after_retention);
    tcase_add_test(c, older_timeline_is_fenced);
    tcase_add_test(c, lanes_that_changed_are_read_again);
    tcase_add_test(c, outcomes_have_their_states);
    tcase_add_test(c, partitions_tell_their_state);
    tcase_add_test(c, views_are_for_reading);
    tcase_add_test(c, other_schemas_are_refused);
    tcase_add_test(c, migration_waits_for_a_time);
    tcase_add_test(c, migration_of_a_frozen_server);
    tcase_add_test(c, unsafe_server_is_refused);
    tcase_add_test(c, connecting_blocks_no_loop);
    tcase_add_test(c, sessions_are_renamed);
    int failed = run_case(c, "store_pg_faults", true);
    /* The server that this one starts again must be a child of this process. */
    c = tcase_create("killed");
    tcase_add_test(c, killed_server);
    failed += run_case(c, "store_pg_killed", false);
    pg_private_stop(store_pg_server);
    return failed == 0 ? 0 : 1;
}
