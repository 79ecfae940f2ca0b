#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/pg_err.h"

/* A row matches when its text is a prefix of the SQLSTATE; the first match counts. */
static const struct {
    const char *prefix;
    enum err err;
    bool drops;
} table[] = {
    {"CA001", ERR_FENCED, false}, /* ours: see 0001_init.sql */
    {"CA002", ERR_CONFLICT, false},      {"CA003", ERR_INVALID, false},
    {"CA004", ERR_NO_WORKFLOW, false},   {"CA005", ERR_NOT_FOUND, false},
    {"CA006", ERR_PRECONDITION, false},  {"CA007", ERR_LIMIT, false},
    {"40003", ERR_UNKNOWN, true},        /* statement completion unknown */
    {"40", ERR_SERIALIZATION, false},    /* serialization failure, deadlock */
    {"55P03", ERR_LOCKED, false},        /* lock time-out */
    {"57014", ERR_SERIALIZATION, false}, /* statement time-out: rolled back */
    {"25006", ERR_UNAVAILABLE, true},    /* read-only: no longer the primary */
    {"25P03", ERR_UNAVAILABLE, true},    /* idle in transaction */
    {"57P", ERR_UNAVAILABLE, true},      /* shut down, starting up, terminated */
    {"53", ERR_UNAVAILABLE, false},      /* out of disk, memory, connections */
    {"08", ERR_UNAVAILABLE, true},       /* connection */
    {"28", ERR_UNAVAILABLE, true},       /* authorization */
    {"58", ERR_UNAVAILABLE, true},       /* the server's disk */
    {"26000", ERR_SCHEMA, true},         /* a prepared statement is gone */
    {"42P01", ERR_SCHEMA, true},         /* no such table */
    {"42", ERR_SCHEMA, false},           {"3F", ERR_SCHEMA, true}, /* no such schema */
    {"0A000", ERR_SERIALIZATION, true}, /* cached plan must not change result type */
    {"22", ERR_INVALID, false},         /* data exceptions */
    {"23", ERR_INVALID, false},         /* constraints */
};

enum err pg_err(const char *sqlstate)
{
    if (sqlstate == NULL) {
        return ERR_UNAVAILABLE;
    }
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strncmp(sqlstate, table[i].prefix, strlen(table[i].prefix)) == 0) {
            return table[i].err;
        }
    }
    return ERR_IO;
}

bool pg_err_drops(const char *sqlstate)
{
    if (sqlstate == NULL) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strncmp(sqlstate, table[i].prefix, strlen(table[i].prefix)) == 0) {
            return table[i].drops;
        }
    }
    return false;
}
