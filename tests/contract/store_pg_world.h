/* A world for store_suite.h over a private PostgreSQL: a database of its own for each test. */
#ifndef CARILLON_TESTS_STORE_PG_WORLD_H
#define CARILLON_TESTS_STORE_PG_WORLD_H

#include "base/pool.h"
#include "base/thread.h"
#include "cmd/private_pg.h"
#include "storage/store_pg.h"
#include "tests/contract/store_suite.h"

#include <libpq-fe.h>

enum { SESSIONS_MAX = 4 };

/* The server, started by main() and inherited by the tests' processes. */
extern struct pg_private *store_pg_server;

struct pg_world {
    struct store_world base;
    struct mutex mutex;
    struct cond cond;
    struct latch closed;
    struct pool *pool; /* of the store */
    struct {
        struct uuid incarnation;
        PGconn *conn;
    } session[SESSIONS_MAX];
    char conninfo[512]; /* of the test's own database */
};

struct store_world *store_pg_world_make(void);

#endif
