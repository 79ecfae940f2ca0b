/* The ceiling: see bench_ceiling.h. A client with nothing in it but libpq. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/mem.h"
#include "cmd/carillon/bench_ceiling.h"
#include "cmd/carillon/bench_sys.h"
#include "storage/pg_param.h"

#include <libpq-fe.h>
#include <poll.h>

enum { CONNS = 4, DEPTH = 2, BATCH = 100, WORKFLOWS = 100000, PAYLOAD = 100 };

struct link {
    PGconn *pg;
    int64_t from, to, next; /* its workflows */
    int in_flight;
    double sent[DEPTH];
    int sent_at, done_at;
    uint64_t steps;
};

struct ceiling {
    struct link link[CONNS];
    int64_t *step; /* of each workflow */
    struct pg_params params;
    double *ms;
    size_t ms_len, ms_room;
    struct err_detail *detail;
};

static const char *const setup[] = {
    "SET client_min_messages = warning",
    "DROP SCHEMA IF EXISTS ceiling CASCADE",
    "CREATE SCHEMA ceiling",
    "CREATE TABLE ceiling.execution (id int8 PRIMARY KEY, status int2 NOT NULL, step int8 NOT NULL,"
    " updated timestamptz NOT NULL, state bytea) WITH (fillfactor = 70)",
    "CREATE TABLE ceiling.task (id int8 PRIMARY KEY, execution int8 NOT NULL, step int8 NOT NULL,"
    " due timestamptz NOT NULL, payload bytea)",
    "CREATE TABLE ceiling.history (execution int8, seq int8, at timestamptz NOT NULL,"
    " kind int2 NOT NULL, payload bytea, PRIMARY KEY (execution, seq))",
    "INSERT INTO ceiling.execution SELECT g, 1, 0, now(), decode(repeat('ab', 100), 'hex')"
    " FROM generate_series(0, 99999) g",
    "INSERT INTO ceiling.task SELECT g, g, 0, now(), decode(repeat('cd', 100), 'hex')"
    " FROM generate_series(0, 99999) g",
    "VACUUM ANALYZE ceiling.execution, ceiling.task, ceiling.history",
    "CHECKPOINT",
};

/* In the order in which a step sends them. */
enum { S_UPDATE, S_INSERT, S_DELETE, S_HISTORY, STATEMENTS };
static const char *const statements[STATEMENTS] = {
    "UPDATE ceiling.execution e SET step = u.s, updated = now()"
    " FROM unnest($1::int8[], $2::int8[]) u(w, s) WHERE e.id = u.w",
    "INSERT INTO ceiling.task (id, execution, step, due, payload) SELECT u.t, u.w, u.s, now(), u.p"
    " FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::bytea[]) u(t, w, s, p)",
    "DELETE FROM ceiling.task WHERE id = ANY ($1::int8[])",
    "INSERT INTO ceiling.history (execution, seq, at, kind, payload) SELECT u.w, u.s, now(), 1, u.p"
    " FROM unnest($1::int8[], $2::int8[], $3::bytea[]) u(w, s, p)",
};

static enum err fail(struct ceiling *c, PGconn *pg, const char *what)
{
    return err_set(c->detail, ERR_UNAVAILABLE, "%s: %s", what, PQerrorMessage(pg));
}

static enum err exec(struct ceiling *c, PGconn *pg, const char *sql)
{
    PGresult *r = PQexec(pg, sql);
    ExecStatusType s = PQresultStatus(r);
    PQclear(r);
    return s == PGRES_COMMAND_OK || s == PGRES_TUPLES_OK ? ERR_OK : fail(c, pg, sql);
}

static enum err link_open(struct ceiling *c, struct link *l, const char *conninfo)
{
    l->pg = PQconnectdb(conninfo);
    if (PQstatus(l->pg) != CONNECTION_OK) {
        return fail(c, l->pg, "connecting");
    }
    for (int i = 0; i < STATEMENTS; i++) {
        char name[4];
        (void)snprintf(name, sizeof(name), "s%d", i);
        PGresult *r = PQprepare(l->pg, name, statements[i], 0, NULL);
        ExecStatusType s = PQresultStatus(r);
        PQclear(r);
        if (s != PGRES_COMMAND_OK) {
            return fail(c, l->pg, "preparing");
        }
    }
    if (PQenterPipelineMode(l->pg) != 1 || PQsetnonblocking(l->pg, 1) != 0) {
        return fail(c, l->pg, "pipeline mode");
    }
    return ERR_OK;
}

/* The columns of a batch; each statement takes some of them. */
enum column { C_WORKFLOW, C_STEP, C_OLD_TASK, C_NEW_TASK, C_PAYLOAD };

static void column_put(struct ceiling *c, const int64_t *w, const int64_t *s, enum column col)
{
    static char payload[PAYLOAD];
    pg_array_begin(&c->params, col == C_PAYLOAD ? PG_BYTEA : PG_INT8);
    for (int i = 0; i < BATCH; i++) {
        switch (col) {
        case C_WORKFLOW:
            pg_i8(&c->params, w[i]);
            break;
        case C_STEP:
            pg_i8(&c->params, s[i] + 1);
            break;
        case C_OLD_TASK:
            pg_i8(&c->params, (s[i] << 32) + w[i]);
            break;
        case C_NEW_TASK:
            pg_i8(&c->params, ((s[i] + 1) << 32) + w[i]);
            break;
        case C_PAYLOAD:
            pg_text(&c->params, (struct str){payload, PAYLOAD});
            break;
        }
    }
    pg_array_end(&c->params);
}

static bool statement_send(struct ceiling *c, PGconn *pg, int statement)
{
    const char *values[8];
    int formats[8];
    char name[4];
    (void)snprintf(name, sizeof(name), "s%d", statement);
    for (uint32_t i = 0; i < c->params.len; i++) {
        values[i] = c->params.bytes.p + c->params.at[i];
        formats[i] = 1;
    }
    return PQsendQueryPrepared(pg, name, (int)c->params.len, values, c->params.size, formats, 1) ==
           1;
}

static enum err batch_send(struct ceiling *c, struct link *l)
{
    static const enum column columns[STATEMENTS][5] = {{C_WORKFLOW, C_STEP},
                                                       {C_NEW_TASK, C_WORKFLOW, C_STEP, C_PAYLOAD},
                                                       {C_OLD_TASK},
                                                       {C_WORKFLOW, C_STEP, C_PAYLOAD}};
    static const int counts[STATEMENTS] = {2, 4, 1, 3};
    int64_t w[BATCH], s[BATCH];
    for (int i = 0; i < BATCH; i++) {
        w[i] = l->next;
        l->next = l->next + 1 == l->to ? l->from : l->next + 1;
        s[i] = c->step[w[i]]++;
    }
    for (int i = 0; i < STATEMENTS; i++) {
        pg_params_reset(&c->params);
        for (int k = 0; k < counts[i]; k++) {
            column_put(c, w, s, columns[i][k]);
        }
        if (!statement_send(c, l->pg, i)) {
            return fail(c, l->pg, "sending");
        }
    }
    if (PQpipelineSync(l->pg) != 1) {
        return fail(c, l->pg, "sync");
    }
    l->sent[l->sent_at] = sys_now();
    l->sent_at = (l->sent_at + 1) % DEPTH;
    l->in_flight++;
    return ERR_OK;
}

static void batch_done(struct ceiling *c, struct link *l)
{
    if (c->ms_len == c->ms_room) {
        c->ms_room = MAX(c->ms_room * 2, (size_t)65536);
        c->ms = mem_realloc(c->ms, c->ms_room * sizeof(double));
    }
    c->ms[c->ms_len++] = (sys_now() - l->sent[l->done_at]) * 1e3;
    l->done_at = (l->done_at + 1) % DEPTH;
    l->in_flight--;
    l->steps += BATCH;
}

static enum err link_read(struct ceiling *c, struct link *l)
{
    if (PQconsumeInput(l->pg) != 1) {
        return fail(c, l->pg, "reading");
    }
    int nothing = 0;
    while (l->in_flight > 0 && nothing < 2 && !PQisBusy(l->pg)) {
        PGresult *r = PQgetResult(l->pg);
        if (r == NULL) {
            nothing++; /* the end of one statement's results */
            continue;
        }
        nothing = 0;
        ExecStatusType s = PQresultStatus(r);
        PQclear(r);
        if (s == PGRES_PIPELINE_SYNC) {
            batch_done(c, l);
        } else if (s != PGRES_COMMAND_OK) {
            return fail(c, l->pg, "a statement");
        }
    }
    return ERR_OK;
}

/* One round: fill every pipeline, wait, read. */
static enum err round_trip(struct ceiling *c, bool more, bool *busy)
{
    struct pollfd fds[CONNS];
    enum err e = ERR_OK;
    *busy = false;
    for (int i = 0; e == ERR_OK && i < CONNS; i++) {
        struct link *l = &c->link[i];
        while (e == ERR_OK && more && l->in_flight < DEPTH) {
            e = batch_send(c, l);
        }
        int unsent = PQflush(l->pg);
        if (unsent < 0) {
            e = fail(c, l->pg, "writing");
        }
        fds[i] = (struct pollfd){.fd = l->in_flight > 0 ? PQsocket(l->pg) : -1,
                                 .events = (short)(POLLIN | (unsent > 0 ? POLLOUT : 0))};
        *busy = *busy || l->in_flight > 0;
    }
    if (e == ERR_OK && *busy && poll(fds, CONNS, 1000) < 0) {
        e = err_set(c->detail, ERR_IO, "poll: %s", strerror(errno));
    }
    for (int i = 0; e == ERR_OK && i < CONNS; i++) {
        if ((fds[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0) {
            e = link_read(c, &c->link[i]);
        }
    }
    return e;
}

static enum err measure(struct ceiling *c, int server_pid, double seconds,
                        struct ceiling_result *out)
{
    double db = sys_tree_cpu(server_pid), me = sys_self_cpu(), begin = sys_now();
    bool busy = true;
    enum err e = ERR_OK;
    while (e == ERR_OK && busy) {
        e = round_trip(c, sys_now() - begin < seconds, &busy);
    }
    if (e != ERR_OK) {
        return e;
    }
    out->seconds = sys_now() - begin;
    uint64_t steps = 0;
    for (int i = 0; i < CONNS; i++) {
        steps += c->link[i].steps;
    }
    out->steps_s = (double)steps / out->seconds;
    out->cpu_db = (sys_tree_cpu(server_pid) - db) / (double)steps * 1000;
    out->cpu_client = (sys_self_cpu() - me) / (double)steps * 1000;
    qsort(c->ms, c->ms_len, sizeof(double), sys_compare_doubles);
    out->ms_p50 = sys_quantile(c->ms, c->ms_len, 0.5);
    out->ms_p99 = sys_quantile(c->ms, c->ms_len, 0.99);
    return ERR_OK;
}

static enum err prepare(struct ceiling *c, const char *conninfo)
{
    PGconn *pg = PQconnectdb(conninfo);
    enum err e = PQstatus(pg) == CONNECTION_OK ? ERR_OK : fail(c, pg, "connecting");
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(setup); i++) {
        e = exec(c, pg, setup[i]);
    }
    PQfinish(pg);
    for (int i = 0; e == ERR_OK && i < CONNS; i++) {
        struct link *l = &c->link[i];
        l->from = l->next = (int64_t)WORKFLOWS * i / CONNS;
        l->to = (int64_t)WORKFLOWS * (i + 1) / CONNS;
        e = link_open(c, l, conninfo);
    }
    return e;
}

enum err ceiling_run(const char *conninfo, int server_pid, double seconds,
                     struct ceiling_result *out, struct err_detail *detail)
{
    struct ceiling c = {.detail = detail};
    c.step = MEM_ARRAY(int64_t, WORKFLOWS);
    pg_params_init(&c.params);
    enum err e = prepare(&c, conninfo);
    if (e == ERR_OK) {
        e = measure(&c, server_pid, seconds, out);
    }
    for (int i = 0; i < CONNS; i++) {
        PQfinish(c.link[i].pg);
    }
    PGconn *pg = PQconnectdb(conninfo);
    (void)!exec(&c, pg, "DROP SCHEMA IF EXISTS ceiling CASCADE");
    PQfinish(pg);
    pg_params_fini(&c.params);
    mem_free(c.step);
    mem_free(c.ms);
    return e;
}
