#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/migrate.h"

#include "base/log.h"
#include "base/os.h"
#include "storage/pg_err.h"
#include "storage/store_pg_internal.h"

#include <poll.h>

LOG_MODULE("migrate");

enum {
    CONNECT_S = 10,
    STATEMENT_US = 600 * US_PER_S, /* of a migration: one may build an index */
    GRACE_US = 5 * US_PER_S,       /* for the server to tell of its own time-outs */
};

static const struct migration migrations[] = {
#include "storage/migrate_sql.inc"
};

_Static_assert((int)SCHEMA_VERSION == (int)MIGRATE_VERSION, "one version of the schema");

const struct migration *migration_at(unsigned i)
{
    return i < ARRAY_LEN(migrations) ? &migrations[i] : NULL;
}

/* ---- statements, each with a deadline ---- */

struct session {
    PGconn *pg;
    int64_t wait_us; /* for locks that others hold */
    struct err_detail *detail;
};

/* Until a whole result is there, or "until" has passed: false. */
static bool wait_result(PGconn *pg, struct mono until)
{
    for (;;) {
        int unsent = PQflush(pg);
        if (unsent < 0 || (unsent == 0 && PQisBusy(pg) == 0)) {
            return true; /* PQgetResult does not block now */
        }
        int64_t left = until.us - clock_mono(os_clock()).us;
        struct pollfd p = {.fd = PQsocket(pg),
                           .events = (short)(POLLIN | (unsent > 0 ? POLLOUT : 0))};
        if (left <= 0) {
            return false;
        }
        if (poll(&p, 1, (int)(left / US_PER_MS) + 1) > 0 && PQconsumeInput(pg) != 1) {
            return true;
        }
    }
}

/* As PQexec, within a time: the first error, else the last result. NULL when no answer came: the
 * connection is of no use any more. */
static PGresult *query(struct session *s, const char *sql, bool binary, int64_t within_us)
{
    struct mono until = {clock_mono(os_clock()).us + within_us};
    PGresult *kept = NULL;
    int sent = binary ? PQsendQueryParams(s->pg, sql, 0, NULL, NULL, NULL, NULL, 1)
                      : PQsendQuery(s->pg, sql);
    while (sent == 1) {
        if (!wait_result(s->pg, until)) {
            PQclear(kept);
            return NULL;
        }
        PGresult *r = PQgetResult(s->pg);
        if (r == NULL) {
            break;
        }
        bool failed = kept != NULL && PQresultStatus(kept) == PGRES_FATAL_ERROR;
        PQclear(failed ? r : kept);
        kept = failed ? kept : r;
    }
    return kept != NULL ? kept : PQmakeEmptyPGresult(s->pg, PGRES_FATAL_ERROR);
}

static enum err failure(struct session *s, const PGresult *r, int64_t within_us)
{
    if (r == NULL) {
        return err_set(s->detail, ERR_UNAVAILABLE, "PostgreSQL has not answered for %.1f s",
                       (double)within_us / (double)US_PER_S);
    }
    struct str why = str_trim(str_of(PQresultErrorMessage(r)));
    return err_set(s->detail, pg_err(PQresultErrorField(r, PG_DIAG_SQLSTATE)), "%.*s",
                   STR_ARG(why));
}

static enum err run_sql(struct session *s, const char *sql, int64_t within_us)
{
    PGresult *r = query(s, sql, false, within_us);
    ExecStatusType status = r != NULL ? PQresultStatus(r) : PGRES_FATAL_ERROR;
    bool done = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    enum err e = done ? ERR_OK : failure(s, r, within_us);
    PQclear(r);
    return e;
}

/* What a question that is answered at once may take. */
static int64_t brief_us(const struct session *s)
{
    return MIN(s->wait_us, (int64_t)GRACE_US);
}

/* One number as text; 0 when the row or the value is missing. */
static enum err ask(struct session *s, const char *sql, uint32_t *out)
{
    PGresult *r = query(s, sql, false, brief_us(s));
    enum err e = ERR_OK;
    uint64_t v = 0;
    if (r == NULL || PQresultStatus(r) != PGRES_TUPLES_OK) {
        e = failure(s, r, brief_us(s));
    } else if (PQntuples(r) == 1 && !PQgetisnull(r, 0, 0)) {
        e = str_to_u64(str_of(PQgetvalue(r, 0, 0)), &v);
    }
    *out = (uint32_t)v;
    PQclear(r);
    return e;
}

/* ---- migrating ---- */

static enum err version(struct session *s, uint32_t *out)
{
    uint32_t there = 0;
    enum err e =
        ask(s, "SELECT count(*) FROM pg_class WHERE oid = to_regclass('carillon.meta')", &there);
    *out = 0;
    if (e == ERR_OK && there > 0) {
        e = ask(s, "SELECT value FROM carillon.meta WHERE key = 'schema_version'", out);
    }
    return e;
}

static enum err read_server(struct session *s, struct migrate_result *m)
{
    m->server_version = PQserverVersion(s->pg);
    enum err e = pg_version_check(m->server_version, s->detail);
    if (e != ERR_OK) {
        return e;
    }
    PGresult *r =
        query(s,
              "SELECT system_identifier,"
              " ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int8,"
              " current_setting('fsync')::bool, current_setting('full_page_writes')::bool,"
              " current_setting('synchronous_commit') <> 'off',"
              " current_setting('synchronous_standby_names') <> '' FROM pg_control_system()",
              true, brief_us(s));
    if (r == NULL || PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) != 1) {
        e = failure(s, r, brief_us(s));
    } else {
        m->system_id = (uint64_t)pg_row_i8(r, 0, 0);
        m->timeline = (uint32_t)pg_row_i8(r, 0, 1);
        m->fsync = pg_row_bool(r, 0, 2);
        m->full_page_writes = pg_row_bool(r, 0, 3);
        m->synchronous_commit = pg_row_bool(r, 0, 4);
        m->replicated = pg_row_bool(r, 0, 5);
    }
    PQclear(r);
    return e;
}

static enum err apply(struct session *s, const struct migration *m)
{
    enum err e = run_sql(s, m->sql, STATEMENT_US + GRACE_US);
    if (e == ERR_OK) {
        char set[128];
        snprintf(set, sizeof(set),
                 "UPDATE carillon.meta SET value = '%u' WHERE key = 'schema_version'", m->number);
        e = run_sql(s, set, brief_us(s));
    }
    if (e != ERR_OK) {
        err_wrap(s->detail, "migration %s", m->name);
    }
    return e;
}

/* Nodes may start together: one migrates, the others wait, but not for ever. */
static enum err begin(struct session *s)
{
    char sql[320];
    snprintf(sql, sizeof(sql),
             "BEGIN; SET LOCAL client_min_messages = warning; SET LOCAL lock_timeout = %" PRId64 ";"
             " SET LOCAL statement_timeout = %" PRId64 "; SELECT pg_advisory_xact_lock(1128354377, "
             "-4)",
             s->wait_us / US_PER_MS, (int64_t)STATEMENT_US / US_PER_MS);
    enum err e = run_sql(s, sql, s->wait_us + brief_us(s));
    if (e == ERR_LOCKED) {
        err_wrap(s->detail,
                 "another process has been migrating this database for longer than %.1f s (its "
                 "session is named carillon/migrate in pg_stat_activity)",
                 (double)s->wait_us / (double)US_PER_S);
    }
    return e;
}

static enum err migrate_in(struct session *s, uint16_t shard, uint32_t lanes, uint32_t *from)
{
    enum err e = version(s, from);
    if (e == ERR_OK && *from > MIGRATE_VERSION) {
        e = err_set(s->detail, ERR_SCHEMA,
                    "the database has schema version %u, this program knows %d: use a newer "
                    "program",
                    *from, MIGRATE_VERSION);
    }
    for (unsigned i = 0; e == ERR_OK && i < ARRAY_LEN(migrations); i++) {
        if (migrations[i].number > *from) {
            e = apply(s, &migrations[i]);
        }
    }
    if (e == ERR_OK) {
        char sql[96];
        snprintf(sql, sizeof(sql), "SELECT carillon.shard_init(%u, %u)", shard, lanes);
        e = run_sql(s, sql, brief_us(s));
    }
    return e;
}

/* Everything in one transaction: a migration that fails leaves the schema as it was. */
static enum err migrate_all(struct session *s, uint16_t shard, uint32_t lanes,
                            struct migrate_result *m)
{
    enum err e = read_server(s, m);
    if (e == ERR_OK) {
        e = begin(s);
    }
    if (e == ERR_OK) {
        e = migrate_in(s, shard, lanes, &m->from);
    }
    if (e != ERR_OK) {
        return e; /* the connection is closed, which rolls back */
    }
    e = run_sql(s, "COMMIT", s->wait_us + brief_us(s));
    if (e == ERR_OK && m->from != MIGRATE_VERSION) {
        log_info("schema migrated", "from=%u to=%d", m->from, MIGRATE_VERSION);
    }
    return e;
}

enum err migrate_run(const char *conninfo, uint16_t shard, uint32_t lanes,
                     struct migrate_result *result, struct err_detail *detail)
{
    return migrate_run_within(conninfo, shard, lanes, MIGRATE_WAIT_US, result, detail);
}

enum err migrate_run_within(const char *conninfo, uint16_t shard, uint32_t lanes, int64_t wait_us,
                            struct migrate_result *result, struct err_detail *detail)
{
    char connect_s[16];
    snprintf(connect_s, sizeof(connect_s), "%d", CONNECT_S);
    const char *const keys[] = {
        "dbname",           "application_name", "target_session_attrs", "connect_timeout",
        "tcp_user_timeout", "keepalives_idle",  "keepalives_interval",  NULL};
    const char *const values[] = {conninfo,     "carillon/migrate",
                                  "read-write", connect_s,
                                  "5000",       "5",
                                  "2",          NULL};
    *result = (struct migrate_result){0};
    if (shard > SHARD_MAX || lanes == 0 || lanes > LANES_PER_SHARD_MAX) {
        return err_set(detail, ERR_INVALID, "%u lanes, shard %u", lanes, shard);
    }
    struct session s = {.pg = PQconnectdbParams(keys, values, 1),
                        .wait_us = wait_us,
                        .detail = detail};
    enum err e;
    if (PQstatus(s.pg) != CONNECTION_OK) {
        struct str why = str_trim(str_of(PQerrorMessage(s.pg)));
        e = err_set(detail, ERR_UNAVAILABLE, "PostgreSQL: %.*s", STR_ARG(why));
    } else {
        PQsetnonblocking(s.pg, 1);
        e = migrate_all(&s, shard, lanes, result);
    }
    PQfinish(s.pg);
    return e;
}
