/* A world for store_suite.h over a private PostgreSQL: a database of its own for each test. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/contract/store_pg_world.h"

#include "base/mem.h"
#include "base/os.h"
#include "storage/migrate.h"

enum { PATIENCE_US = 20 * US_PER_S };

static int made;
static size_t blocks_before; /* allocated by the program itself */

struct pg_private *store_pg_server;

static bool until(struct store_world *base, bool (*cond)(void *), void *arg)
{
    struct pg_world *w = CONTAINER_OF(base, struct pg_world, base);
    bool in_time = true;
    mutex_lock(&w->mutex);
    while (!cond(arg) && in_time) {
        in_time = cond_wait_us(&w->cond, &w->mutex, PATIENCE_US);
    }
    bool holds = cond(arg);
    mutex_unlock(&w->mutex);
    return holds;
}

static void answered(struct store_world *base)
{
    struct pg_world *w = CONTAINER_OF(base, struct pg_world, base);
    mutex_lock(&w->mutex);
    cond_broadcast(&w->cond);
    mutex_unlock(&w->mutex);
}

static void run(struct store_world *base, void (*fn)(void *), void *arg)
{
    (void)base;
    fn(arg);
}

/* Until the server has no backend of that name any more. */
static void wait_gone(const char *name)
{
    PGconn *c = PQconnectdb(pg_private_conninfo(store_pg_server));
    const char *params[] = {name};
    bool gone = false;
    for (int i = 0; i < 2000 && !gone; i++) {
        PGresult *r = PQexecParams(c, "SELECT 1 FROM pg_stat_activity WHERE application_name = $1",
                                   1, NULL, params, NULL, NULL, 0);
        gone = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 0;
        PQclear(r);
    }
    PQfinish(c);
    ck_assert(gone);
}

static void pg_session(struct store_world *base, const struct uuid *incarnation, bool alive)
{
    struct pg_world *w = CONTAINER_OF(base, struct pg_world, base);
    char text[EXEC_ID_TEXT + 1], name[64];
    uuid_format(incarnation, text);
    (void)snprintf(name, sizeof(name), "carillon/test/%s", text);
    for (int i = 0; i < SESSIONS_MAX; i++) {
        if (!alive && uuid_eq(&w->session[i].incarnation, incarnation)) {
            PQfinish(w->session[i].conn);
            w->session[i].conn = NULL;
            w->session[i].incarnation = (struct uuid){{0}};
            wait_gone(name);
            return;
        }
        if (alive && w->session[i].conn == NULL) {
            const char *const keys[] = {"dbname", "application_name", NULL};
            const char *const values[] = {pg_private_conninfo(store_pg_server), name, NULL};
            w->session[i].conn = PQconnectdbParams(keys, values, 1);
            ck_assert_int_eq(PQstatus(w->session[i].conn), CONNECTION_OK);
            w->session[i].incarnation = *incarnation;
            return;
        }
    }
    ck_abort_msg("no such session");
}

static void on_closed(void *arg)
{
    latch_set(&((struct pg_world *)arg)->closed, 1);
}

static void fini(struct store_world *base)
{
    struct pg_world *w = CONTAINER_OF(base, struct pg_world, base);
    store_pg_close(w->base.store, w->base.loop, on_closed, w);
    ck_assert_int_eq(latch_wait(&w->closed, PATIENCE_US), 1);
    loop_free(w->base.loop);
    ck_assert(pool_free(w->pool, PATIENCE_US));
    for (int i = 0; i < SESSIONS_MAX; i++) {
        PQfinish(w->session[i].conn);
    }
    latch_fini(&w->closed);
    cond_fini(&w->cond);
    mutex_fini(&w->mutex);
    mem_free(w);
    ck_assert_uint_eq(mem_live_blocks(), blocks_before);
}

struct store_world *store_pg_world_make(void)
{
    struct err_detail d = {0};
    struct migrate_result m;
    char sql[64], dbname[32];
    (void)snprintf(dbname, sizeof(dbname), "t%d_%d", getpid(), ++made); /* a process, or a round */
    (void)snprintf(sql, sizeof(sql), "CREATE DATABASE %s", dbname);
    ck_assert_msg(pg_private_exec(store_pg_server, sql, &d) == ERR_OK, "%s", d.text);
    blocks_before = mem_live_blocks();
    struct pg_world *w = MEM_NEW(struct pg_world);
    (void)snprintf(w->conninfo, sizeof(w->conninfo), "%s dbname=%s",
                   pg_private_conninfo(store_pg_server), dbname);
    ck_assert_msg(migrate_run(w->conninfo, SUITE_SHARD, SUITE_LANES, &m, &d) == ERR_OK, "%s",
                  d.text);
    w->base = (struct store_world){
        .until = until, .answered = answered, .run = run, .session = pg_session, .fini = fini};
    mutex_init(&w->mutex);
    cond_init(&w->cond);
    latch_init(&w->closed);
    w->base.loop = loop_uv_new(os_clock(), "store");
    w->pool = pool_new(4, 60 * (int64_t)US_PER_S);
    struct rng rng;
    rng_seed(&rng, 1);
    w->base.store = store_pg_new(w->base.loop,
                                 &(struct store_pg_config){.conninfo = w->conninfo,
                                                           .node = "a-node-with-quite-a-long-name",
                                                           .incarnation = uuid_make(&rng),
                                                           .shard = SUITE_SHARD,
                                                           .allow_unsafe = true,
                                                           .seed = 1,
                                                           .pool = w->pool});
    return &w->base;
}
