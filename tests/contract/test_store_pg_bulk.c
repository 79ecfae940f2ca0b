/* A million deadlines on a real PostgreSQL: promotion and the moving of leftovers go on in chunks, the
 * fences are held for moments, and turns and leases take no notice. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/contract/store_pg_world.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/os.h"

enum {
    ROWS = 1000000,
    ROWS_LEFT = 200000,
    ROWS_OLD = 200000, /* with an old snapshot about */
    OPEN_ROWS = 2000,  /* as scheduler/owner.c has it */
    EXECS = 16,
    TENANT = 1,
};

static struct pg_world *w;
static struct arena arenas[3];
static struct rng rng;
static struct uuid me;
static struct lane_ref held[SUITE_LANES];
static int64_t window; /* the present one */

/* ---- calls: one of each kind may be under way ---- */

enum { MOVE, COMMIT, LEASE };
static struct pending {
    struct store_req *req;
    bool done;
} pending[3];
static int64_t longest_us[3];

static void on_answer(struct store_req *r)
{
    for (size_t i = 0; i < ARRAY_LEN(pending); i++) {
        if (pending[i].req == r) {
            longest_us[i] = MAX(longest_us[i], r->answered.us - r->sent.us);
            pending[i].done = true;
        }
    }
    w->base.answered(&w->base);
}

static bool is_done(void *arg)
{
    return ((struct pending *)arg)->done;
}

static void submit(int kind, struct store_req *r, enum store_op op)
{
    arena_reset(&arenas[kind], 1U << 16);
    r->op = op;
    r->loop = w->base.loop;
    r->done = on_answer;
    r->arena = &arenas[kind];
    pending[kind] = (struct pending){.req = r};
    store_submit(w->base.store, r);
}

static void await(int kind)
{
    ck_assert_msg(w->base.until(&w->base, is_done, &pending[kind]), "no answer");
    struct store_req *r = pending[kind].req;
    ck_assert_msg(r->err == ERR_OK, "operation %d: %s: %s", r->op, err_name(r->err),
                  r->detail.text);
}

static void call(struct store_req *r, enum store_op op)
{
    submit(MOVE, r, op);
    await(MOVE);
}

/* ---- what goes on meanwhile ---- */

static struct exec {
    struct turn_row t;
    struct start_row start;
    struct timer_row timer;
    char name[16];
} execs[EXECS];
static uint64_t timers_made;

/* A turn of each execution with a deadline in the long term, due in the window that is being opened. */
static void commit_all(int64_t due)
{
    struct turn_row *turns[EXECS];
    for (int i = 0; i < EXECS; i++) {
        struct exec *e = &execs[i];
        struct wall now = clock_wall(os_clock());
        if (e->t.seq == 0) {
            (void)snprintf(e->name, sizeof(e->name), "busy-%d", i);
            e->t.exec = exec_id_make(SUITE_SHARD, (uint16_t)(i * 255), TENANT, now, &rng);
            e->start = (struct start_row){.tenant = TENANT,
                                          .workflow = STR("w"),
                                          .name = str_of(e->name),
                                          .revision = 1,
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
                                 .start = e->t.seq == 0 ? &e->start : NULL,
                                 .timers_new = &e->timer,
                                 .timers_new_len = 1};
        e->timer = (struct timer_row){
            e->t.exec, e->t.seq, 0, {due + rng_between(&rng, 0, US_PER_HOUR - 1)}, TIMER_LONG_TERM};
        turns[i] = &e->t;
    }
    struct store_commit q = {.shard = SUITE_SHARD,
                             .incarnation = me,
                             .lanes = held,
                             .lanes_len = SUITE_LANES,
                             .turns = turns,
                             .turns_len = EXECS};
    submit(COMMIT, &q.req, STORE_COMMIT);
    await(COMMIT);
    for (int i = 0; i < EXECS; i++) {
        ck_assert_int_eq(execs[i].t.result, TURN_OK);
    }
    timers_made += EXECS;
}

static struct store_lease lease_of(bool renew)
{
    return (struct store_lease){.incarnation = me,
                                .node = STR("n"),
                                .address = STR("a"),
                                .lease_us = 60 * (int64_t)US_PER_S,
                                .renew_only = renew};
}

/* Turns and leases until the move that is under way has been answered. */
static void meanwhile(int64_t due)
{
    while (!pending[MOVE].done) {
        struct store_lease l = lease_of(true);
        submit(LEASE, &l.req, STORE_LEASE);
        commit_all(due);
        await(LEASE);
    }
    await(MOVE);
}

/* ---- the database ---- */

static PGconn *dial(void)
{
    PGconn *c = PQconnectdb(w->conninfo);
    ck_assert_msg(PQstatus(c) == CONNECTION_OK, "%s", PQerrorMessage(c));
    return c;
}

static void sql_on(PGconn *c, const char *text)
{
    PGresult *r = PQexec(c, text);
    ExecStatusType s = PQresultStatus(r);
    ck_assert_msg(s == PGRES_COMMAND_OK || s == PGRES_TUPLES_OK, "%s: %s", text, PQerrorMessage(c));
    PQclear(r);
}

static void sql(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void sql(const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    PGconn *c = dial();
    sql_on(c, text);
    PQfinish(c);
}

static int64_t count(const char *table)
{
    char text[128];
    (void)snprintf(text, sizeof(text), "SELECT count(*) FROM carillon.%s", table);
    PGconn *c = dial();
    PGresult *r = PQexec(c, text);
    ck_assert_int_eq(PQntuples(r), 1);
    int64_t n = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    PQfinish(c);
    return n;
}

static const char *ring_table(int64_t of)
{
    static char name[16];
    (void)snprintf(name, sizeof(name), "timer_w%02d", (int)(of % SUITE_RING));
    return name;
}

/* Deadlines over all slots and one hour, in no order; the index is built behind. */
static void fill(const char *table, int n, int64_t due)
{
    sql("ALTER TABLE carillon.%s DROP CONSTRAINT %s_pkey;"
        "INSERT INTO carillon.%s SELECT to_timestamp(0) + (%" PRId64
        " + (random() * 3599999999)::int8)"
        " * interval '1 microsecond', (lpad(to_hex(%d * 4096 + (random() * 4095)::int), 6, '0') ||"
        " substr(md5(g::text), 1, 26))::uuid, 1, 0 FROM generate_series(1, %d) g;"
        "ALTER TABLE carillon.%s ADD CONSTRAINT %s_pkey PRIMARY KEY (due, id, seq, idx)",
        table, table, table, due, SUITE_SHARD, n, table, table);
}

/* ---- the cases ---- */

static int64_t now_us(void)
{
    return clock_mono(os_clock()).us;
}

static void setup(void)
{
    static const uint16_t all[SUITE_LANES] = {0, 1, 2, 3};
    rng_seed(&rng, 7);
    me = uuid_make(&rng);
    for (size_t i = 0; i < ARRAY_LEN(arenas); i++) {
        arena_init(&arenas[i], 0);
    }
    memset(execs, 0, sizeof(execs));
    memset(longest_us, 0, sizeof(longest_us));
    timers_made = 0;
    w = CONTAINER_OF(store_pg_world_make(), struct pg_world, base);
    w->base.session(&w->base, &me, true);
    struct store_lease l = lease_of(false);
    call(&l.req, STORE_LEASE);
    struct store_claim q = {.shard = SUITE_SHARD,
                            .incarnation = me,
                            .node = STR("n"),
                            .lanes = all,
                            .lanes_len = SUITE_LANES,
                            .window_us = US_PER_HOUR,
                            .ring_windows = SUITE_RING,
                            .claim_seed = 3};
    call(&q.req, STORE_CLAIM);
    ck_assert_uint_eq(q.got_len, SUITE_LANES);
    for (int i = 0; i < SUITE_LANES; i++) {
        const struct lane_row *r = &q.got[i];
        held[i] = (struct lane_ref){r->shard, r->lane, r->slot_lo, r->slot_hi, r->fence};
    }
    window = q.got[0].accept_from;
}

static void teardown(void)
{
    for (size_t i = 0; i < ARRAY_LEN(arenas); i++) {
        arena_fini(&arenas[i]);
    }
    w->base.fini(&w->base);
}

static struct store_window_close close_of(bool finish)
{
    return (struct store_window_close){.lanes = held,
                                       .lanes_len = SUITE_LANES,
                                       .accept_from = window + 1,
                                       .finish = finish};
}

/* The present window is closed and its table serves the one that is to be opened. */
static void make_room(void)
{
    struct store_window_close c = close_of(true);
    call(&c.req, STORE_WINDOW_CLOSE);
    struct store_window_empty e = {.shard = SUITE_SHARD, .window = window};
    call(&e.req, STORE_WINDOW_EMPTY);
    ck_assert(e.emptied);
}

struct figures {
    int64_t took_us, chunk_us, fence_us;
    uint64_t moved;
};

/* As scheduler/owner.c does it. */
static struct figures open_next(int64_t next)
{
    struct figures f = {0};
    int64_t begun = now_us();
    struct store_window_open o;
    do {
        struct store_promote p;
        struct wall from = {0}, reached = {0};
        bool again;
        do {
            p = (struct store_promote){.lanes = held,
                                       .lanes_len = SUITE_LANES,
                                       .to = next,
                                       .from = from};
            longest_us[MOVE] = 0;
            submit(MOVE, &p.req, STORE_PROMOTE);
            meanwhile(next * US_PER_HOUR);
            f.chunk_us = MAX(f.chunk_us, longest_us[MOVE]);
            f.moved += p.promoted;
            again = p.more || from.us != 0;
            from = p.more ? reached : (struct wall){0};
            reached = p.more ? p.reached : (struct wall){0};
        } while (again);
        o = (struct store_window_open){.lanes = held,
                                       .lanes_len = SUITE_LANES,
                                       .open_to = next,
                                       .limit = OPEN_ROWS};
        longest_us[MOVE] = 0;
        call(&o.req, STORE_WINDOW_OPEN);
        f.fence_us = MAX(f.fence_us, longest_us[MOVE]);
        f.moved += o.promoted;
    } while (o.more);
    ck_assert_int_eq(o.opened_to, next);
    f.took_us = now_us() - begun;
    return f;
}

static void show(const char *what, const struct figures *f)
{
    (void)fprintf(stderr,
                  "%s: %" PRIu64 " rows in %.1f s, longest chunk %.0f ms, fences held for at most "
                  "%.0f ms; meanwhile %" PRIu64 " turns, a batch took at most %.0f ms, a lease "
                  "%.0f ms\n",
                  what, f->moved, (double)f->took_us / 1e6, (double)f->chunk_us / 1e3,
                  (double)f->fence_us / 1e3, timers_made, (double)longest_us[COMMIT] / 1e3,
                  (double)longest_us[LEASE] / 1e3);
}

static void promote_many(int rows, const char *what)
{
    int64_t next = window + SUITE_RING;
    fill("timer_long", rows, next * US_PER_HOUR);
    make_room();
    struct figures f = open_next(next);
    show(what, &f);
    ck_assert_uint_eq(f.moved, (uint64_t)rows + timers_made);
    ck_assert_int_eq(count("timer_long"), 0);
    ck_assert_int_eq(count(ring_table(next)), (int64_t)f.moved);
    ck_assert_int_lt(f.fence_us, US_PER_S);
    ck_assert_int_lt(longest_us[LEASE], 2 * US_PER_S);
}

START_TEST(promotion)
{
    promote_many(ROWS, "promotion");
}
END_TEST

/* A dump, or whatever else keeps what was deleted from being forgotten. */
START_TEST(promotion_beside_an_old_snapshot)
{
    PGconn *c = dial();
    sql_on(c, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM carillon.lane");
    promote_many(ROWS_OLD, "promotion beside an old snapshot");
    PQfinish(c);
}
END_TEST

START_TEST(leftovers)
{
    fill(ring_table(window), ROWS_LEFT, window * US_PER_HOUR);
    struct store_window_close c = close_of(false);
    call(&c.req, STORE_WINDOW_CLOSE);
    struct figures f = {0};
    int64_t begun = now_us();
    do {
        c = close_of(true);
        longest_us[MOVE] = 0;
        submit(MOVE, &c.req, STORE_WINDOW_CLOSE);
        meanwhile((window + SUITE_RING + 5) * US_PER_HOUR);
        f.moved += c.moved;
        if (c.more) {
            f.chunk_us = MAX(f.chunk_us, longest_us[MOVE]);
        } else {
            f.fence_us = longest_us[MOVE];
        }
    } while (c.more);
    f.took_us = now_us() - begun;
    show("leftovers", &f);
    ck_assert_uint_eq(f.moved, ROWS_LEFT);
    ck_assert_int_eq(count(ring_table(window)), 0);
    ck_assert_int_eq(count(ring_table(window + 1)), ROWS_LEFT);
    ck_assert_int_lt(f.fence_us, 2 * US_PER_S);
    ck_assert_int_lt(longest_us[LEASE], 2 * US_PER_S);
}
END_TEST

int main(void)
{
    struct err_detail d = {0};
    store_pg_server = pg_private_start(
        "-c fsync=off -c shared_buffers=512MB -c max_wal_size=4GB -c max_connections=30", &d);
    if (store_pg_server == NULL) {
        (void)fprintf(stderr, "no PostgreSQL: %s\n", d.text);
        return 1;
    }
    Suite *s = suite_create("store_pg_bulk");
    TCase *c = tcase_create("bulk");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 300);
    tcase_add_test(c, promotion);
    tcase_add_test(c, promotion_beside_an_old_snapshot);
    tcase_add_test(c, leftovers);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    pg_private_stop(store_pg_server);
    return failed == 0 ? 0 : 1;
}
