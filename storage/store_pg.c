/* The store's frame: pools of connections, queues, deadlines, life and death. What each
 * operation says is in store_pg_ops.c, the turn batch in store_pg_commit.c. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/store_pg_internal.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

LOG_MODULE("store_pg");

enum { DEADLINE_DEFAULT_US = 5 * US_PER_S, QUEUE_MAX_DEFAULT = 1024, NODE_NAME_SHOWN = 17 };

static void pool_kick(struct pg_pool *pool);
static void maybe_closed(struct store_pg *s);
static void load_meta(struct store_pg *s);

/* ---- answers ---- */

static void deliver(struct loop_task *task)
{
    struct store_req *r = CONTAINER_OF(task, struct store_req, task);
    r->done(r);
}

static void answer(struct store_pg *s, struct store_req *r, enum err e)
{
    r->err = e;
    if (e != ERR_OK) {
        r->store_now = (struct wall){0};
    }
    r->answered = loop_now(s->loop);
    r->impl = NULL;
    r->task.run = deliver;
    loop_post(r->loop, &r->task);
}

static void finish(struct op_call *op, enum err e, const struct err_detail *d)
{
    struct store_pg *s = op->store;
    struct store_req *r = op->req;
    if (d != NULL) {
        r->detail = *d;
    }
    r->store_now = op->now;
    op->call.err = e;
    if (e == ERR_OK && r->arena != NULL && r->arena->failed) {
        e = op->call.err = err_set(&r->detail, ERR_TOO_LARGE, "the answer is over its limit");
    }
    if (op->row->end != NULL) {
        op->row->end(op);
        e = op->call.err;
    }
    s->open_ops--;
    mem_free(op->claims);
    mem_free(op);
    answer(s, r, e);
}

static void op_send(struct pg_call *call, struct pg_conn *conn)
{
    struct op_call *op = CONTAINER_OF(call, struct op_call, call);
    op->row->send(op, conn);
}

static bool op_result(struct pg_call *call, unsigned step, const PGresult *r)
{
    struct op_call *op = CONTAINER_OF(call, struct op_call, call);
    if (step == op->now_step) {
        op->now = pg_row_time(r, 0, 0);
        return PQntuples(r) == 1;
    }
    return op->row->result == NULL || op->row->result(op, step, r);
}

static void op_end(struct pg_call *call)
{
    struct op_call *op = CONTAINER_OF(call, struct op_call, call);
    struct store_pg *s = op->store;
    finish(op, call->err, &call->detail);
    maybe_closed(s);
}

static const struct pg_call_ops op_call_ops = {op_send, op_result, op_end};

/* ---- pools ---- */

static struct pg_conn *pool_free_conn(struct pg_pool *pool)
{
    struct pg_conn *best = NULL;
    for (unsigned i = 0; i < pool->len; i++) {
        struct pg_conn *c = &pool->conns[i];
        if (pg_conn_ready(c) && pg_conn_in_flight(c) < pool->depth &&
            (best == NULL || pg_conn_in_flight(c) < pg_conn_in_flight(best))) {
            best = c;
        }
    }
    return best;
}

/* For the earliest deadline; a queue is looked through when it begins, then only what is new. */
static void pool_arm(struct pg_pool *pool)
{
    if (list_empty(&pool->queue)) {
        return;
    }
    int64_t due = LIST_ENTRY(pool->queue.prev, struct op_call, link)->call.deadline.us;
    if (pool->timer.armed && pool->timer_due.us <= due) {
        return;
    }
    LIST_FOREACH(it, &pool->queue)
    {
        due = MIN(due, LIST_ENTRY(it, struct op_call, link)->call.deadline.us);
    }
    pool->timer_due.us = due;
    loop_timer_start(pool->store->loop, &pool->timer, pool->timer_due);
}

static void pool_kick(struct pg_pool *pool)
{
    while (!list_empty(&pool->queue)) {
        struct pg_conn *c = pool_free_conn(pool);
        if (c == NULL) {
            pool_arm(pool);
            return;
        }
        struct op_call *op = LIST_ENTRY(list_pop_front(&pool->queue), struct op_call, link);
        pool->queue_len--;
        bool commit = op->req->op == STORE_COMMIT;
        pg_conn_run(c, &op->call);
        if (commit) {
            fault_hit(pool->store->config.faults, FAULT_COMMIT_AFTER_SEND);
        }
    }
    loop_timer_stop(&pool->timer);
}

/* Nothing was sent for these: nothing happened. */
static void pool_fail(struct pg_pool *pool, struct mono before, enum err e, const char *why)
{
    LIST_FOREACH_SAFE(it, &pool->queue)
    {
        struct op_call *op = LIST_ENTRY(it, struct op_call, link);
        if (op->call.deadline.us <= before.us) {
            list_remove(it);
            pool->queue_len--;
            struct err_detail d = {0};
            err_set(&d, e, "%s", why);
            finish(op, e, &d);
        }
    }
}

static void pool_timer(struct loop_timer *t)
{
    struct pg_pool *pool = CONTAINER_OF(t, struct pg_pool, timer);
    const char *why = "no free connection in time";
    for (unsigned i = 0; i < pool->len; i++) {
        if (!pg_conn_ready(&pool->conns[i]) && pool->conns[i].last_err != ERR_OK) {
            why = pool->conns[i].last_detail.text;
        }
    }
    pool_fail(pool, loop_now(pool->store->loop), ERR_UNAVAILABLE, why);
    pool_arm(pool);
    maybe_closed(pool->store);
}

/* With no connection and the last attempt failed there is nothing to wait for. */
static void pool_check_away(struct pg_pool *pool)
{
    enum err e = ERR_UNAVAILABLE;
    const char *why = NULL;
    for (unsigned i = 0; i < pool->len; i++) {
        const struct pg_conn *c = &pool->conns[i];
        if (c->state == PG_READY || c->last_err == ERR_OK) {
            return;
        }
        why = c->last_detail.text;
        if (c->last_err == ERR_SCHEMA) {
            e = ERR_SCHEMA;
        }
    }
    if (why != NULL) {
        pool_fail(pool, (struct mono){INT64_MAX}, e, why);
    }
}

static void conn_changed(struct pg_conn *c, void *arg)
{
    struct pg_pool *pool = arg;
    struct store_pg *s = pool->store;
    if (pg_conn_ready(c)) {
        if (c->server.ring_windows != 0) {
            s->window_us = c->server.window_us;
            s->ring_windows = c->server.ring_windows;
        }
        if (pool == &s->pools[POOL_CONTROL] && !list_empty(&s->need_meta)) {
            load_meta(s);
        }
    } else {
        pool_check_away(pool);
    }
    pool_kick(pool);
    maybe_closed(s);
}

static void pool_start(struct store_pg *s, int kind, unsigned len, unsigned depth)
{
    struct pg_pool *pool = &s->pools[kind];
    ASSERT(len <= POOL_CONNS_MAX);
    pool->len = len;
    pool->depth = depth;
    for (unsigned i = 0; i < len; i++) {
        struct pg_conn_config config = {
            .conninfo = s->conninfo,
            .app_name = s->app_name,
            .batch = kind == POOL_COMMIT,
            .allow_unsafe = s->config.allow_unsafe,
            .schema = SCHEMA_VERSION,
            .pool = s->config.pool,
        };
        pool->conns[i].changed = conn_changed;
        pool->conns[i].arg = pool;
        pg_conn_start(&pool->conns[i], s->loop, &config,
                      s->config.seed + (uint64_t)kind * POOL_CONNS_MAX + i);
    }
}

/* ---- the ring and the lanes' ranges ---- */

static void meta_send(struct pg_call *call, struct pg_conn *conn)
{
    struct store_pg *s = CONTAINER_OF(call, struct store_pg, meta);
    pg_i4(pg_conn_params(conn), s->config.shard);
    pg_conn_exec(conn, STMT_META);
}

static bool meta_result(struct pg_call *call, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_pg *s = CONTAINER_OF(call, struct store_pg, meta);
    int n = PQntuples(r);
    if (n > LANES_PER_SHARD_MAX) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        s->window_us = pg_row_i8(r, i, 0);
        s->ring_windows = (uint32_t)pg_row_i4(r, i, 1);
        s->ranges[i] = (struct lane_range){
            .lane = (uint16_t)pg_row_i4(r, i, 2),
            .slot_lo = (uint16_t)pg_row_i4(r, i, 3),
            .slot_hi = (uint16_t)pg_row_i4(r, i, 4),
        };
    }
    s->ranges_len = (uint32_t)n;
    return true;
}

/* The batch relies on it: every slot has a lane. */
static bool ranges_whole(const struct store_pg *s)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < s->ranges_len; i++) {
        if (s->ranges[i].slot_lo != next || s->ranges[i].slot_hi <= next) {
            return false;
        }
        next = s->ranges[i].slot_hi;
    }
    return next == SLOT_COUNT;
}

static void meta_end(struct pg_call *call)
{
    struct store_pg *s = CONTAINER_OF(call, struct store_pg, meta);
    s->meta_loading = false;
    if (call->err == ERR_OK && !ranges_whole(s)) {
        call->err = err_set(&call->detail, ERR_SCHEMA, "shard %u has no lanes for all slots",
                            s->config.shard);
    }
    s->meta_fresh = call->err == ERR_OK;
    struct pg_pool *pool = &s->pools[POOL_COMMIT];
    while (!list_empty(&s->need_meta)) {
        struct op_call *op = LIST_ENTRY(list_pop_front(&s->need_meta), struct op_call, link);
        if (call->err == ERR_OK) {
            list_push_back(&pool->queue, &op->link);
            pool->queue_len++;
        } else {
            finish(op, call->err == ERR_SCHEMA ? ERR_SCHEMA : ERR_UNAVAILABLE, &call->detail);
        }
    }
    loop_timer_stop(&pool->timer); /* all of these are new */
    pool_kick(pool);
    maybe_closed(s);
}

static const struct pg_call_ops meta_ops = {meta_send, meta_result, meta_end};

static void load_meta(struct store_pg *s)
{
    struct pg_conn *c = pool_free_conn(&s->pools[POOL_CONTROL]);
    if (s->meta_loading || c == NULL) {
        return;
    }
    s->meta_loading = true;
    s->meta.ops = &meta_ops;
    s->meta.writes = false;
    s->meta.deadline.us = loop_now(s->loop).us + DEADLINE_DEFAULT_US;
    pg_conn_run(c, &s->meta);
}

/* ---- intake ---- */

static void enqueue(struct store_pg *s, struct op_call *op)
{
    struct pg_pool *pool = &s->pools[op->row->pool];
    if (pool->queue_len >= s->config.queue_max) {
        struct err_detail d = {0};
        err_set(&d, ERR_LIMIT, "%u requests wait for the database", pool->queue_len);
        finish(op, ERR_LIMIT, &d);
        return;
    }
    if (op->req->op == STORE_COMMIT && (!s->meta_fresh || s->ring_windows == 0)) {
        list_push_back(&s->need_meta, &op->link);
        load_meta(s);
        return;
    }
    list_push_back(&pool->queue, &op->link);
    pool->queue_len++;
    pool_kick(pool);
    if (!list_empty(&pool->queue)) {
        pool_check_away(pool);
    }
}

static void accept_req(struct loop_task *task)
{
    struct store_req *r = CONTAINER_OF(task, struct store_req, task);
    struct store_pg *s = r->impl;
    struct op_call *op = MEM_NEW(struct op_call);
    ASSERT(r->op < STORE_OP_COUNT);
    op->store = s;
    op->req = r;
    op->row = store_pg_op(r->op);
    op->now_step = UINT_MAX;
    op->call.ops = &op_call_ops;
    op->call.writes = op->row->writes;
    op->call.deadline.us =
        r->sent.us + (r->deadline_us > 0 ? r->deadline_us : (int64_t)DEADLINE_DEFAULT_US);
    s->open_ops++;
    struct err_detail d = {0};
    if (s->closing) {
        err_set(&d, ERR_UNAVAILABLE, "the store is closed");
        finish(op, ERR_UNAVAILABLE, &d);
        maybe_closed(s);
        return;
    }
    enum err e = op->row->check != NULL ? op->row->check(op, &d) : ERR_OK;
    if (e != ERR_OK) {
        finish(op, e, &d);
        return;
    }
    enqueue(s, op);
}

static void submit(struct store *base, struct store_req *r)
{
    struct store_pg *s = CONTAINER_OF(base, struct store_pg, base);
    PRE(r->loop != NULL && r->done != NULL);
    r->detail = (struct err_detail){0};
    r->store_now = (struct wall){0};
    r->sent = loop_now(s->loop);
    r->impl = s;
    r->task.run = accept_req;
    r->task.name = "store";
    loop_post(s->loop, &r->task);
}

static const struct store_ops store_pg_ops = {submit};

/* ---- life ---- */

static void set_app_name(struct store_pg *s, struct uuid incarnation)
{
    char text[EXEC_ID_TEXT + 1];
    s->config.incarnation = incarnation;
    uuid_format(&incarnation, text);
    /* PostgreSQL cuts the name at 63 bytes: the incarnation must be whole, the node need not. */
    snprintf(s->app_name, sizeof(s->app_name), "carillon/%.*s/%s", NODE_NAME_SHOWN, s->node, text);
}

static void pools_start(struct store_pg *s)
{
    const struct store_pg_config *c = &s->config;
    s->started = true;
    pool_start(s, POOL_COMMIT, c->commit_conns, c->commit_depth);
    pool_start(s, POOL_CONTROL, c->control_conns, 2);
    pool_start(s, POOL_LEASE, 1, 1);
    pool_start(s, POOL_READ, c->read_conns, 2);
}

/* Sessions must carry an incarnation: without one, the first rename begins. */
static void start(struct loop_task *task)
{
    struct store_pg *s = CONTAINER_OF(task, struct store_pg, start_task);
    if (!s->started && !uuid_is_null(&s->config.incarnation)) {
        pools_start(s);
    }
}

struct store *store_pg_new(struct loop *loop, const struct store_pg_config *config)
{
    struct store_pg *s = MEM_NEW(struct store_pg);
    s->base.ops = &store_pg_ops;
    s->loop = loop;
    s->config = *config;
    s->conninfo = mem_strdup(config->conninfo);
    s->node = mem_strdup(config->node);
    s->config.conninfo = s->conninfo;
    s->config.node = s->node;
    s->config.commit_conns = MIN(config->commit_conns ? config->commit_conns : 2, POOL_CONNS_MAX);
    s->config.commit_depth = config->commit_depth ? config->commit_depth : 2;
    s->config.control_conns =
        MIN(config->control_conns ? config->control_conns : 1, POOL_CONNS_MAX);
    s->config.read_conns = MIN(config->read_conns ? config->read_conns : 2, POOL_CONNS_MAX);
    s->config.queue_max = config->queue_max ? config->queue_max : QUEUE_MAX_DEFAULT;
    set_app_name(s, config->incarnation);
    list_init(&s->need_meta);
    for (int i = 0; i < POOL_COUNT; i++) {
        struct pg_pool *pool = &s->pools[i];
        pool->store = s;
        list_init(&pool->queue);
        pool->timer.fired = pool_timer;
        pool->timer.name = "store_pg queue";
    }
    s->start_task.run = start;
    s->start_task.name = "store_pg start";
    loop_post(loop, &s->start_task);
    return &s->base;
}

struct rename {
    struct loop_task task;
    struct store_pg *store;
    struct uuid to;
};

static void rename_sessions(struct loop_task *task)
{
    struct rename *r = CONTAINER_OF(task, struct rename, task);
    struct store_pg *s = r->store;
    set_app_name(s, r->to);
    mem_free(r);
    if (!s->started) {
        pools_start(s);
        return;
    }
    for (int k = 0; k < POOL_COUNT; k++) {
        for (unsigned i = 0; i < s->pools[k].len; i++) {
            pg_conn_reset(&s->pools[k].conns[i], ERR_UNAVAILABLE, "a new incarnation begins");
        }
    }
}

void store_pg_rename(struct store *base, struct uuid incarnation)
{
    struct store_pg *s = CONTAINER_OF(base, struct store_pg, base);
    struct rename *r = MEM_NEW(struct rename);
    *r = (struct rename){.task = {.run = rename_sessions, .name = "store_pg rename"},
                         .store = s,
                         .to = incarnation};
    loop_post(s->loop, &r->task);
}

static void closed_on_callers_loop(struct loop_task *task)
{
    struct store_pg *s = CONTAINER_OF(task, struct store_pg, close_task);
    void (*closed)(void *) = s->closed;
    void *arg = s->close_arg;
    mem_free(s->conninfo);
    mem_free(s->node);
    mem_free(s);
    if (closed != NULL) {
        closed(arg);
    }
}

/* Frees itself from a task of its own: the caller may be deep in a connection's callback. */
static void stop_all(struct loop_task *task)
{
    struct store_pg *s = CONTAINER_OF(task, struct store_pg, close_task);
    for (int k = 0; k < POOL_COUNT; k++) {
        struct pg_pool *pool = &s->pools[k];
        loop_timer_stop(&pool->timer);
        for (unsigned i = 0; i < pool->len; i++) {
            pool->conns[i].changed = NULL;
            pg_conn_stop(&pool->conns[i]);
            pg_conn_fini(&pool->conns[i]);
        }
    }
    s->close_task.run = closed_on_callers_loop;
    loop_post(s->close_loop, &s->close_task);
}

static void maybe_closed(struct store_pg *s)
{
    if (!s->closing || s->stopped || s->open_ops > 0 || s->meta_loading) {
        return;
    }
    s->stopped = true;
    s->close_task.run = stop_all;
    loop_post(s->loop, &s->close_task);
}

static void close_begin(struct loop_task *task)
{
    struct store_pg *s = CONTAINER_OF(task, struct store_pg, close_task);
    s->closing = true;
    for (int k = 0; k < POOL_COUNT; k++) {
        pool_fail(&s->pools[k], (struct mono){INT64_MAX}, ERR_UNAVAILABLE, "the store is closed");
    }
    while (!list_empty(&s->need_meta)) {
        struct op_call *op = LIST_ENTRY(list_pop_front(&s->need_meta), struct op_call, link);
        struct err_detail d = {0};
        err_set(&d, ERR_UNAVAILABLE, "the store is closed");
        finish(op, ERR_UNAVAILABLE, &d);
    }
    maybe_closed(s);
}

void store_pg_close(struct store *base, struct loop *loop, void (*closed)(void *arg), void *arg)
{
    struct store_pg *s = CONTAINER_OF(base, struct store_pg, base);
    s->close_loop = loop;
    s->closed = closed;
    s->close_arg = arg;
    s->close_task.run = close_begin;
    s->close_task.name = "store_pg close";
    loop_post(s->loop, &s->close_task);
}
