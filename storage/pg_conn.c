#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/pg_conn.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "storage/pg_err.h"

LOG_MODULE("pg_conn");

enum {
    CONNECT_US = 5 * US_PER_S,
    BACKOFF_MIN_US = 50 * US_PER_MS,
    BACKOFF_MAX_US = 5 * US_PER_S,
    STEP_TEMPLATE = 255,
    VERSION_MIN = 140000, /* string_to_table, and exact extract(epoch) */
};

static const struct pg_stmt_row stmts[STMT_COUNT] = {
#define STMT(ident, n_params, n_cols, text) \
    [STMT_##ident] = {.name = #ident, .sql = (text), .params = (n_params), .cols = (n_cols)},
#include "storage/stmt.def"
#undef STMT
};

static const struct {
    const char *before, *after; /* of the table's name */
} templates[PG_TEMPLATES] = {
    {"INSERT INTO carillon.",
     " (due, id, seq, idx)"
     " SELECT u.due, u.id, u.seq, u.idx FROM unnest($1::timestamptz[], $2::uuid[], $3::int8[],"
     " $4::int4[], $5::int8[]) u(due, id, seq, idx, turn)"
     " JOIN carillon.execution e ON e.id = u.id AND e.turn = u.turn ON CONFLICT DO NOTHING"},
    {"DELETE FROM carillon.",
     " t USING unnest($1::timestamptz[], $2::uuid[], $3::int8[],"
     " $4::int4[], $5::int8[]) u(due, id, seq, idx, turn)"
     " JOIN carillon.execution e ON e.id = u.id AND e.turn = u.turn"
     " WHERE t.due = u.due AND t.id = u.id AND t.seq = u.seq AND t.idx = u.idx"},
};

static void fail(struct pg_conn *c, enum err e, const char *why);
static void pump(struct pg_conn *c);

const struct pg_stmt_row *pg_stmt_row(enum pg_stmt s)
{
    PRE(s < STMT_COUNT);
    return &stmts[s];
}

/* ---- readiness and time ---- */

static void watch(struct pg_conn *c, int events)
{
    if (c->watching == events && c->watch.impl != NULL) {
        return;
    }
    c->watching = events;
    c->watch.fd = PQsocket(c->pg);
    loop_fd_start(c->loop, &c->watch, events);
}

/* The newest call may be the one with the earliest deadline. */
static void arm(struct pg_conn *c)
{
    struct mono next = {INT64_MAX};
    LIST_FOREACH(it, &c->calls)
    {
        next.us = MIN(next.us, LIST_ENTRY(it, struct pg_call, link)->deadline.us);
    }
    if (next.us != INT64_MAX && (!c->timer.armed || next.us < c->timer_due.us)) {
        c->timer_due = next;
        loop_timer_start(c->loop, &c->timer, next);
    }
}

static void changed(struct pg_conn *c)
{
    if (c->changed != NULL && c->state != PG_CONNECTING && c->state != PG_BOOT) {
        c->changed(c, c->arg);
    }
}

/* ---- sending ---- */

struct pg_params *pg_conn_params(struct pg_conn *c)
{
    pg_params_reset(&c->params);
    return &c->params;
}

/* A statement is prepared in a transaction of its own, ahead of the call that needs it: the
 * failure of another call cannot take it along. */
static bool prepare(struct pg_conn *c, const char *name, const char *sql)
{
    return PQsendPrepare(c->pg, name, sql, 0, NULL) == 1;
}

static void send_prepared(struct pg_conn *c, const char *name, uint8_t step)
{
    const struct pg_params *p = &c->params;
    const char *values[PG_PARAMS_MAX];
    int formats[PG_PARAMS_MAX];
    for (uint32_t i = 0; i < p->len; i++) {
        values[i] = p->size[i] < 0 ? NULL : p->bytes.p + p->at[i];
        formats[i] = 1;
    }
    struct pg_call *call = c->sending;
    if (call->sent < ARRAY_LEN(call->stmt)) {
        call->stmt[call->sent] = step;
    }
    call->sent++;
    if (PQsendQueryPrepared(c->pg, name, (int)p->len, values, p->size, formats, 1) != 1) {
        c->failing = true;
    }
}

void pg_conn_exec(struct pg_conn *c, enum pg_stmt s)
{
    const struct pg_stmt_row *row = pg_stmt_row(s);
    PRE(c->sending != NULL && (int)c->params.len == row->params);
    send_prepared(c, row->name, (uint8_t)s);
}

static void table_name(unsigned table, char *out, size_t size)
{
    if (table == PG_TABLES_MAX - 1) {
        snprintf(out, size, "timer_long");
    } else {
        snprintf(out, size, "timer_w%02u", table);
    }
}

static void free_call(struct pg_call *call)
{
    mem_free(call);
}

static const struct pg_call_ops free_ops = {NULL, NULL, free_call};

void pg_conn_need_timer(struct pg_conn *c, unsigned which, unsigned table)
{
    PRE(which < PG_TEMPLATES && table < PG_TABLES_MAX);
    PRE(c->sending != NULL && c->sending->sent == 0);
    if (c->prepared_for[which][table]) {
        return;
    }
    c->prepared_for[which][table] = true;
    char name[32], of[16], sql[1024];
    table_name(table, of, sizeof(of));
    snprintf(name, sizeof(name), "%s_%u", of, which);
    snprintf(sql, sizeof(sql), "%s%s%s", templates[which].before, of, templates[which].after);
    struct pg_call *own = MEM_NEW(struct pg_call);
    own->ops = &free_ops;
    own->deadline = c->sending->deadline;
    own->sent = 1;
    own->stmt[0] = STEP_TEMPLATE;
    list_insert_before(&c->sending->link, &own->link);
    c->calls_len++;
    if (!prepare(c, name, sql) || PQpipelineSync(c->pg) != 1) {
        c->failing = true;
    }
}

void pg_conn_exec_timer(struct pg_conn *c, unsigned which, unsigned table)
{
    PRE(which < PG_TEMPLATES && table < PG_TABLES_MAX && c->params.len == 5);
    PRE(c->prepared_for[which][table]);
    char name[32], of[16];
    table_name(table, of, sizeof(of));
    snprintf(name, sizeof(name), "%s_%u", of, which);
    send_prepared(c, name, STEP_TEMPLATE);
}

static void run(struct pg_conn *c, struct pg_call *call)
{
    list_init(&call->link);
    list_push_back(&c->calls, &call->link);
    c->calls_len++;
    call->sent = call->answered = 0;
    call->err = ERR_OK;
    call->detail = (struct err_detail){0};
    c->sending = call;
    call->ops->send(call, c);
    c->sending = NULL;
    if (PQpipelineSync(c->pg) != 1 || PQflush(c->pg) < 0) {
        c->failing = true;
    }
    if (c->failing) {
        /* "end" must not be called from within: let the timer find it. */
        loop_timer_stop(&c->timer);
        loop_timer_start(c->loop, &c->timer, (struct mono){0});
        return;
    }
    watch(c, LOOP_READ | (PQflush(c->pg) > 0 ? LOOP_WRITE : 0));
    arm(c);
}

void pg_conn_run(struct pg_conn *c, struct pg_call *call)
{
    PRE(c->state == PG_READY);
    run(c, call);
}

/* ---- answers ---- */

static void end_call(struct pg_conn *c, struct pg_call *call)
{
    list_remove(&call->link);
    c->calls_len--;
    if (list_empty(&c->calls)) {
        loop_timer_stop(&c->timer);
    }
    call->ops->end(call);
}

/* The first error of a call counts; later statements only say that they were skipped. */
static void take_error(struct pg_conn *c, struct pg_call *call, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    if (call->err == ERR_OK) {
        enum err e = pg_err(state);
        call->err = err_set(&call->detail, e, "PostgreSQL: %s (%s)",
                            text != NULL ? text : PQresultErrorMessage(r),
                            state != NULL ? state : "no SQLSTATE");
    }
    if (pg_err_drops(state)) {
        c->failing = true;
    }
}

static bool shape_ok(struct pg_call *call, const PGresult *r)
{
    uint8_t step = call->answered < ARRAY_LEN(call->stmt) ? call->stmt[call->answered]
                                                          : (uint8_t)STEP_TEMPLATE;
    if (step >= STMT_COUNT) {
        return true;
    }
    if (PQnfields(r) == stmts[step].cols) {
        return true;
    }
    call->err = err_set(&call->detail, ERR_SCHEMA, "%s: %d columns instead of %d", stmts[step].name,
                        PQnfields(r), stmts[step].cols);
    return false;
}

static void take_result(struct pg_conn *c, struct pg_call *call, const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        if (call->err == ERR_OK && shape_ok(call, r) && call->ops->result != NULL &&
            !call->ops->result(call, call->answered, r) && call->err == ERR_OK) {
            call->err = err_set(&call->detail, ERR_IO, "PostgreSQL: an answer made no sense");
        }
    } else if (status != PGRES_PIPELINE_ABORTED) {
        take_error(c, call, r);
    }
}

/* Reads what is there. False: nothing more can be had now. */
static bool drain_one(struct pg_conn *c)
{
    if (list_empty(&c->calls) || PQisBusy(c->pg)) {
        return false;
    }
    PGresult *r = PQgetResult(c->pg);
    struct pg_call *call = LIST_ENTRY(c->calls.next, struct pg_call, link);
    if (r == NULL) {
        call->answered++; /* the end of one statement */
        if (PQisBusy(c->pg)) {
            return false;
        }
        r = PQgetResult(c->pg);
        if (r == NULL) {
            return false;
        }
    }
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(r);
        end_call(c, call);
        return true;
    }
    take_result(c, call, r);
    PQclear(r);
    return true;
}

static void pump(struct pg_conn *c)
{
    if (PQconsumeInput(c->pg) != 1) {
        fail(c, ERR_UNAVAILABLE, PQerrorMessage(c->pg));
        return;
    }
    bool ended = false;
    while (!c->failing && c->pg != NULL) {
        unsigned before = c->calls_len;
        if (!drain_one(c)) {
            break;
        }
        ended = ended || c->calls_len < before;
    }
    if (c->pg == NULL) {
        return;
    }
    int left = c->failing ? -1 : PQflush(c->pg);
    if (left < 0 || PQstatus(c->pg) != CONNECTION_OK) {
        fail(c, ERR_UNAVAILABLE, PQerrorMessage(c->pg));
        return;
    }
    watch(c, LOOP_READ | (left > 0 ? LOOP_WRITE : 0));
    arm(c);
    if (ended) {
        changed(c);
    }
}

/* ---- connecting ---- */

static void connect_failed(struct pg_conn *c, enum err e)
{
    c->last_err = e;
    if (c->failures == 0 || c->failures % 20 == 0) {
        log_warn("no connection to PostgreSQL", "err=%s why=\"%s\" attempts=%u", err_name(e),
                 c->last_detail.text, c->failures + 1);
    }
}

static void dial_give_up(struct pg_conn *c);

static void drop(struct pg_conn *c)
{
    dial_give_up(c);
    loop_fd_stop(&c->watch);
    c->watching = 0;
    loop_timer_stop(&c->timer);
    if (c->pg != NULL) {
        PQfinish(c->pg);
        c->pg = NULL;
    }
    c->failing = false;
    memset(c->prepared_for, 0, sizeof(c->prepared_for));
}

static void fail(struct pg_conn *c, enum err e, const char *why)
{
    enum pg_conn_state was = c->state;
    c->last_detail = (struct err_detail){0};
    if (was == PG_BOOT && c->boot.err != ERR_OK) {
        e = c->boot.err; /* the server was refused */
        c->last_detail = c->boot.detail;
    } else {
        struct str text = str_trim(str_of(why));
        err_set(&c->last_detail, e, "PostgreSQL: %.*s", STR_ARG(text));
    }
    drop(c);
    c->state = PG_CLOSED;
    if (was != PG_READY && !c->stopping) {
        connect_failed(c, e);
    } else if (!c->stopping) {
        log_info("connection to PostgreSQL lost", "why=\"%s\" in_flight=%u", c->last_detail.text,
                 c->calls_len);
    }
    if (!c->stopping) {
        unsigned shift = MIN(c->failures, 7U);
        int64_t delay = MIN((int64_t)BACKOFF_MIN_US << shift, (int64_t)BACKOFF_MAX_US);
        delay = delay / 2 + rng_between(&c->rng, 0, delay);
        c->failures++;
        loop_timer_after(c->loop, &c->timer, delay);
    }
    struct list ended;
    list_init(&ended);
    while (!list_empty(&c->calls)) {
        struct list *it = list_pop_front(&c->calls);
        list_push_back(&ended, it);
    }
    c->calls_len = 0;
    while (!list_empty(&ended)) {
        struct pg_call *call = LIST_ENTRY(list_pop_front(&ended), struct pg_call, link);
        if (call->err == ERR_OK || call->err == ERR_UNAVAILABLE) {
            call->detail = c->last_detail;
            call->err = call->detail.code = call->writes ? ERR_UNKNOWN : ERR_UNAVAILABLE;
        }
        call->ops->end(call);
    }
    changed(c);
}

static void boot_send(struct pg_call *call, struct pg_conn *c)
{
    (void)call;
    struct pg_params *p = pg_conn_params(c);
    pg_bool(p, c->config.batch);
    for (int s = 0; s < STMT_COUNT; s++) {
        if (s == STMT_BOOT) {
            if (!prepare(c, stmts[s].name, stmts[s].sql)) {
                c->failing = true;
            }
            call->stmt[call->sent++] = STEP_TEMPLATE;
        }
    }
    pg_conn_exec(c, STMT_BOOT);
}

static bool boot_result(struct pg_call *call, unsigned step, const PGresult *r)
{
    struct pg_conn *c = CONTAINER_OF(call, struct pg_conn, boot);
    if (step == 0) {
        return true; /* prepared */
    }
    if (PQntuples(r) != 1) {
        return false;
    }
    struct pg_server *s = &c->server;
    s->version = PQserverVersion(c->pg);
    s->system_id = (uint64_t)pg_row_i8(r, 0, 0);
    s->timeline = (uint32_t)pg_row_i8(r, 0, 1);
    s->fsync = pg_row_bool(r, 0, 2);
    s->full_page_writes = pg_row_bool(r, 0, 3);
    s->synchronous_commit = pg_row_bool(r, 0, 4);
    s->replicated = pg_row_bool(r, 0, 5);
    s->schema = (uint32_t)pg_row_i4(r, 0, 6);
    s->window_us = pg_row_i8(r, 0, 7);
    s->ring_windows = (uint32_t)pg_row_i4(r, 0, 8);
    return true;
}

enum err pg_version_check(int version, struct err_detail *d)
{
    if (version >= VERSION_MIN) {
        return ERR_OK;
    }
    return err_set(d, ERR_UNSUPPORTED, "PostgreSQL %d.%d is too old: version %d or newer is needed",
                   version / 10000, version % 10000, VERSION_MIN / 10000);
}

enum err pg_server_check(const struct pg_server *s, const struct pg_conn_config *c,
                         struct err_detail *d)
{
    enum err e = pg_version_check(s->version, d);
    if (e != ERR_OK) {
        return e;
    }
    if (!c->allow_unsafe && !s->fsync) {
        return err_set(d, ERR_FATAL, "fsync is off: a power failure would lose acknowledged work");
    }
    if (!c->allow_unsafe && !s->full_page_writes) {
        return err_set(d, ERR_FATAL,
                       "full_page_writes is off: a power failure can corrupt the database");
    }
    if (!c->allow_unsafe && !s->synchronous_commit) {
        return err_set(d, ERR_FATAL, "synchronous_commit is off: acknowledged work can be lost");
    }
    if (c->system_id != 0 && c->system_id != s->system_id) {
        return err_set(d, ERR_FATAL, "this is another database cluster than before");
    }
    if (c->schema != 0 && c->schema != s->schema) {
        return err_set(d, ERR_SCHEMA,
                       s->schema > c->schema
                           ? "the schema is newer than this program"
                           : "the schema is older than this program: migrate first");
    }
    return ERR_OK;
}

static void prepare_all(struct pg_conn *c);

static void boot_end(struct pg_call *call)
{
    struct pg_conn *c = CONTAINER_OF(call, struct pg_conn, boot);
    if (c->state != PG_BOOT) {
        return; /* failed already */
    }
    if (call->err == ERR_OK) {
        call->err = pg_server_check(&c->server, &c->config, &call->detail);
    }
    if (call->err != ERR_OK) {
        c->failing = true;
        return; /* pump() closes */
    }
    prepare_all(c);
}

/* All statements in one round trip; a schema that does not fit shows here, not in a turn. */
static void prepare_send(struct pg_call *call, struct pg_conn *c)
{
    for (int s = 0; s < STMT_COUNT; s++) {
        if (s != STMT_BOOT) {
            if (!prepare(c, stmts[s].name, stmts[s].sql)) {
                c->failing = true;
            }
            call->sent++;
        }
    }
}

static void prepare_end(struct pg_call *call)
{
    struct pg_conn *c = CONTAINER_OF(call, struct pg_conn, boot);
    if (c->state != PG_BOOT) {
        return;
    }
    if (call->err != ERR_OK) {
        c->failing = true;
        return;
    }
    c->state = PG_READY;
    c->failures = 0;
    c->last_err = ERR_OK;
}

static const struct pg_call_ops boot_ops = {boot_send, boot_result, boot_end};
static const struct pg_call_ops prepare_ops = {prepare_send, NULL, prepare_end};

static void prepare_all(struct pg_conn *c)
{
    c->boot.ops = &prepare_ops;
    memset(c->boot.stmt, STEP_TEMPLATE, sizeof(c->boot.stmt));
    c->boot.deadline = c->connect_until;
    run(c, &c->boot);
}

static void booted(struct pg_conn *c)
{
    c->state = PG_BOOT;
    PQsetnonblocking(c->pg, 1);
    if (PQenterPipelineMode(c->pg) != 1) {
        fail(c, ERR_UNAVAILABLE, PQerrorMessage(c->pg));
        return;
    }
    loop_timer_stop(&c->timer);
    c->boot.ops = &boot_ops;
    c->boot.writes = false;
    c->boot.deadline = c->connect_until;
    run(c, &c->boot);
}

static void poll_connect(struct pg_conn *c)
{
    /* The descriptor may change from step to step: never keep a watch over a step. */
    loop_fd_stop(&c->watch);
    c->watching = 0;
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        watch(c, LOOP_READ);
        break;
    case PGRES_POLLING_WRITING:
        watch(c, LOOP_WRITE);
        break;
    case PGRES_POLLING_OK:
        booted(c);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
    default:
        fail(c, ERR_UNAVAILABLE, PQerrorMessage(c->pg));
        break;
    }
}

static void quiet(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

/* The first step of connecting looks up the host's name, and that may block for many seconds. */
static PGconn *dial(const char *conninfo, const char *app_name)
{
    const char *const keys[] = {"dbname",           "application_name",    "target_session_attrs",
                                "keepalives_idle",  "keepalives_interval", "keepalives_count",
                                "tcp_user_timeout", "client_encoding",     NULL};
    const char *const values[] = {conninfo, app_name, "read-write", "5", "2",
                                  "2",      "5000",   "UTF8",       NULL};
    return PQconnectStartParams(keys, values, 1);
}

static void dialled(struct pg_conn *c, PGconn *pg)
{
    c->pg = pg;
    if (c->pg == NULL || PQstatus(c->pg) == CONNECTION_BAD) {
        fail(c, ERR_UNAVAILABLE, c->pg != NULL ? PQerrorMessage(c->pg) : "out of memory");
        return;
    }
    PQsetNoticeReceiver(c->pg, quiet, NULL);
    watch(c, LOOP_WRITE);
}

/* A first step on its way through the pool; it may outlive the connection that asked for it, so its
 * texts are its own. */
struct pg_dial {
    struct pool_job job;
    struct pg_conn *conn; /* NULL: nobody waits any more */
    char *conninfo, *app_name;
    PGconn *pg;
};

static void dial_free(struct pg_dial *d)
{
    mem_free(d->conninfo);
    mem_free(d->app_name);
    mem_free(d);
}

static void dial_work(struct pool_job *job)
{
    struct pg_dial *d = CONTAINER_OF(job, struct pg_dial, job);
    d->pg = dial(d->conninfo, d->app_name);
}

static void dial_done(struct pool_job *job)
{
    struct pg_dial *d = CONTAINER_OF(job, struct pg_dial, job);
    struct pg_conn *c = d->conn;
    PGconn *pg = d->pg;
    dial_free(d);
    if (c == NULL) {
        PQfinish(pg);
        return;
    }
    c->dial = NULL;
    dialled(c, pg);
}

static void dial_dropped(struct pool_job *job)
{
    struct pg_dial *d = CONTAINER_OF(job, struct pg_dial, job);
    PQfinish(d->pg);
    dial_free(d);
}

static void dial_give_up(struct pg_conn *c)
{
    struct pg_dial *d = c->dial;
    if (d != NULL) {
        c->dial = NULL;
        d->conn = NULL;
        (void)pool_drop(c->config.pool, &d->job);
    }
}

static enum err dial_elsewhere(struct pg_conn *c)
{
    struct pg_dial *d = MEM_NEW(struct pg_dial);
    d->job = (struct pool_job){.work = dial_work,
                               .loop = c->loop,
                               .done = dial_done,
                               .dropped = dial_dropped};
    d->conn = c;
    d->conninfo = mem_strdup(c->config.conninfo);
    d->app_name = mem_strdup(c->config.app_name);
    enum err e = pool_submit(c->config.pool, &d->job);
    if (e == ERR_OK) {
        c->dial = d;
    } else {
        dial_free(d);
    }
    return e;
}

static void connect_start(struct pg_conn *c)
{
    c->state = PG_CONNECTING;
    c->connect_until.us = loop_now(c->loop).us + CONNECT_US;
    loop_timer_start(c->loop, &c->timer, c->connect_until);
    if (c->config.pool == NULL) {
        dialled(c, dial(c->config.conninfo, c->config.app_name));
    } else if (dial_elsewhere(c) != ERR_OK) {
        fail(c, ERR_UNAVAILABLE, "too many calls that block");
    }
}

/* ---- events ---- */

static void on_ready(struct loop_fd *w, int events)
{
    (void)events;
    struct pg_conn *c = CONTAINER_OF(w, struct pg_conn, watch);
    if (c->state == PG_CONNECTING) {
        poll_connect(c);
    } else {
        enum pg_conn_state was = c->state;
        pump(c);
        if (was == PG_BOOT && c->state == PG_READY) {
            changed(c);
        }
    }
}

static void on_deadline(struct pg_conn *c)
{
    struct mono now = loop_now(c->loop);
    struct mono next = {INT64_MAX};
    LIST_FOREACH(it, &c->calls)
    {
        struct pg_call *call = LIST_ENTRY(it, struct pg_call, link);
        next.us = MIN(next.us, call->deadline.us);
    }
    if (c->failing || next.us <= now.us) {
        fail(c, ERR_UNAVAILABLE, c->failing ? PQerrorMessage(c->pg) : "no answer in time");
    } else {
        arm(c);
    }
}

static void on_timer(struct loop_timer *t)
{
    struct pg_conn *c = CONTAINER_OF(t, struct pg_conn, timer);
    switch (c->state) {
    case PG_CLOSED:
        connect_start(c);
        break;
    case PG_CONNECTING:
        fail(c, ERR_UNAVAILABLE, "no connection in time");
        break;
    case PG_BOOT:
    case PG_READY:
        on_deadline(c);
        break;
    }
}

/* ---- public ---- */

void pg_conn_start(struct pg_conn *c, struct loop *loop, const struct pg_conn_config *config,
                   uint64_t seed)
{
    c->loop = loop;
    c->config = *config;
    rng_seed(&c->rng, seed);
    list_init(&c->calls);
    pg_params_init(&c->params);
    c->watch.ready = on_ready;
    c->watch.name = "pg_conn";
    c->timer.fired = on_timer;
    c->timer.name = "pg_conn";
    c->state = PG_CLOSED;
    loop_timer_start(loop, &c->timer, loop_now(loop));
}

void pg_conn_stop(struct pg_conn *c)
{
    c->stopping = true;
    if (c->state != PG_CLOSED) {
        fail(c, ERR_UNAVAILABLE, "the store is closed");
    }
    loop_timer_stop(&c->timer);
}

void pg_conn_reset(struct pg_conn *c, enum err e, const char *why)
{
    if (c->state != PG_CLOSED) {
        fail(c, e, why);
    }
}

void pg_conn_fini(struct pg_conn *c)
{
    pg_params_fini(&c->params);
}

bool pg_conn_ready(const struct pg_conn *c)
{
    return c->state == PG_READY && !c->failing;
}

unsigned pg_conn_in_flight(const struct pg_conn *c)
{
    return c->calls_len;
}

/* ---- fields ---- */

static const char *field(const PGresult *r, int row, int col, int size)
{
    if (PQgetisnull(r, row, col) || PQgetlength(r, row, col) != size) {
        return NULL;
    }
    return PQgetvalue(r, row, col);
}

int64_t pg_row_i8(const PGresult *r, int row, int col)
{
    const char *v = field(r, row, col, 8);
    return v != NULL ? pg_get_i8(v) : 0;
}

/* int4 or int2 */
int32_t pg_row_i4(const PGresult *r, int row, int col)
{
    const char *v = field(r, row, col, 4);
    if (v != NULL) {
        return pg_get_i4(v);
    }
    v = field(r, row, col, 2);
    return v != NULL ? pg_get_i2(v) : 0;
}

bool pg_row_bool(const PGresult *r, int row, int col)
{
    const char *v = field(r, row, col, 1);
    return v != NULL && *v != 0;
}

struct wall pg_row_time(const PGresult *r, int row, int col)
{
    const char *v = field(r, row, col, 8);
    return v != NULL ? pg_get_time(v) : (struct wall){0};
}

struct str pg_row_bytes(const PGresult *r, int row, int col)
{
    if (PQgetisnull(r, row, col)) {
        return STR_NONE;
    }
    return (struct str){PQgetvalue(r, row, col), (size_t)PQgetlength(r, row, col)};
}

struct str pg_row_text(const PGresult *r, int row, int col, struct arena *a)
{
    struct str s = pg_row_bytes(r, row, col);
    return s.p == NULL ? STR_NONE : str_dup(a, s);
}

void pg_row_uuid(const PGresult *r, int row, int col, uint8_t out[16])
{
    const char *v = field(r, row, col, 16);
    if (v != NULL) {
        memcpy(out, v, 16);
    } else {
        memset(out, 0, 16);
    }
}
