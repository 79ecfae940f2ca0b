#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/migrate.h"

#include "base/log.h"
#include "storage/pg_err.h"
#include "storage/store_pg_internal.h"

LOG_MODULE("migrate");

#define LOCK_SQL "SELECT pg_advisory_xact_lock(1128354377, -4)"

static const struct migration migrations[] = {
#include "storage/migrate_sql.inc"
};

_Static_assert((int)SCHEMA_VERSION == (int)MIGRATE_VERSION, "one version of the schema");

const struct migration *migration_at(unsigned i)
{
    return i < ARRAY_LEN(migrations) ? &migrations[i] : NULL;
}

static enum err run_sql(PGconn *c, const char *sql, struct err_detail *d)
{
    PGresult *r = PQexec(c, sql);
    ExecStatusType s = PQresultStatus(r);
    enum err e = ERR_OK;
    if (s != PGRES_COMMAND_OK && s != PGRES_TUPLES_OK) {
        struct str why = str_trim(str_of(PQresultErrorMessage(r)));
        e = err_set(d, pg_err(PQresultErrorField(r, PG_DIAG_SQLSTATE)), "%.*s", STR_ARG(why));
    }
    PQclear(r);
    return e;
}

/* One number as text; 0 when the row or the value is missing. */
static enum err ask(PGconn *c, const char *sql, uint32_t *out, struct err_detail *d)
{
    PGresult *r = PQexec(c, sql);
    enum err e = ERR_OK;
    uint64_t v = 0;
    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        struct str why = str_trim(str_of(PQresultErrorMessage(r)));
        e = err_set(d, pg_err(PQresultErrorField(r, PG_DIAG_SQLSTATE)), "%.*s", STR_ARG(why));
    } else if (PQntuples(r) == 1 && !PQgetisnull(r, 0, 0)) {
        e = str_to_u64(str_of(PQgetvalue(r, 0, 0)), &v);
    }
    *out = (uint32_t)v;
    PQclear(r);
    return e;
}

static enum err version(PGconn *c, uint32_t *out, struct err_detail *d)
{
    uint32_t there = 0;
    enum err e =
        ask(c, "SELECT count(*) FROM pg_class WHERE oid = to_regclass('carillon.meta')", &there, d);
    *out = 0;
    if (e == ERR_OK && there > 0) {
        e = ask(c, "SELECT value FROM carillon.meta WHERE key = 'schema_version'", out, d);
    }
    return e;
}

static enum err read_server(PGconn *c, struct migrate_result *m, struct err_detail *d)
{
    PGresult *r = PQexecParams(
        c,
        "SELECT system_identifier,"
        " ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int8,"
        " current_setting('fsync')::bool, current_setting('full_page_writes')::bool,"
        " current_setting('synchronous_commit') <> 'off',"
        " current_setting('synchronous_standby_names') <> '' FROM pg_control_system()",
        0, NULL, NULL, NULL, NULL, 1);
    enum err e = ERR_OK;
    if (PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) != 1) {
        struct str why = str_trim(str_of(PQresultErrorMessage(r)));
        e = err_set(d, pg_err(PQresultErrorField(r, PG_DIAG_SQLSTATE)), "%.*s", STR_ARG(why));
    } else {
        m->server_version = PQserverVersion(c);
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

static enum err apply(PGconn *c, const struct migration *m, struct err_detail *d)
{
    enum err e = run_sql(c, m->sql, d);
    if (e == ERR_OK) {
        char set[128];
        snprintf(set, sizeof(set),
                 "UPDATE carillon.meta SET value = '%u' WHERE key = 'schema_version'", m->number);
        e = run_sql(c, set, d);
    }
    if (e != ERR_OK) {
        err_wrap(d, "migration %s", m->name);
    }
    return e;
}

static enum err migrate_in(PGconn *c, uint16_t shard, uint32_t lanes, uint32_t *from,
                           struct err_detail *d)
{
    enum err e = run_sql(c, LOCK_SQL, d);
    if (e == ERR_OK) {
        e = version(c, from, d);
    }
    if (e == ERR_OK && *from > MIGRATE_VERSION) {
        e = err_set(d, ERR_SCHEMA,
                    "the database has schema version %u, this program knows %d: use a newer "
                    "program",
                    *from, MIGRATE_VERSION);
    }
    for (unsigned i = 0; e == ERR_OK && i < ARRAY_LEN(migrations); i++) {
        if (migrations[i].number > *from) {
            e = apply(c, &migrations[i], d);
        }
    }
    if (e == ERR_OK) {
        char sql[96];
        snprintf(sql, sizeof(sql), "SELECT carillon.shard_init(%u, %u)", shard, lanes);
        e = run_sql(c, sql, d);
    }
    return e;
}

/* Everything in one transaction: a migration that fails leaves the schema as it was. */
static enum err migrate_all(PGconn *c, uint16_t shard, uint32_t lanes, struct migrate_result *m,
                            struct err_detail *d)
{
    enum err e = read_server(c, m, d);
    if (e == ERR_OK) {
        e = run_sql(c, "BEGIN; SET LOCAL client_min_messages = warning", d);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = migrate_in(c, shard, lanes, &m->from, d);
    enum err end = run_sql(c, e == ERR_OK ? "COMMIT" : "ROLLBACK", d);
    e = e == ERR_OK ? end : e;
    if (e == ERR_OK && m->from != MIGRATE_VERSION) {
        log_info("schema migrated", "from=%u to=%d", m->from, MIGRATE_VERSION);
    }
    return e;
}

enum err migrate_run(const char *conninfo, uint16_t shard, uint32_t lanes,
                     struct migrate_result *result, struct err_detail *detail)
{
    const char *const keys[] = {"dbname", "application_name", "target_session_attrs",
                                "connect_timeout", NULL};
    const char *const values[] = {conninfo, "carillon/migrate", "read-write", "10", NULL};
    *result = (struct migrate_result){0};
    if (shard > SHARD_MAX || lanes == 0 || lanes > LANES_PER_SHARD_MAX) {
        return err_set(detail, ERR_INVALID, "%u lanes, shard %u", lanes, shard);
    }
    PGconn *c = PQconnectdbParams(keys, values, 1);
    enum err e;
    if (PQstatus(c) != CONNECTION_OK) {
        struct str why = str_trim(str_of(PQerrorMessage(c)));
        e = err_set(detail, ERR_UNAVAILABLE, "PostgreSQL: %.*s", STR_ARG(why));
    } else {
        e = migrate_all(c, shard, lanes, result, detail);
    }
    PQfinish(c);
    return e;
}
