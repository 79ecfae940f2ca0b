/* One libpq connection as a machine on a loop, in pipeline mode throughout.
 *
 *     CLOSED --start--> CONNECTING --> BOOT --> READY
 *        ^                  |            |        |
 *        +---- back-off ----+------------+--------+   (every failure; delay doubles, with jitter)
 *
 * A "call" is one transaction: some prepared statements, then a Sync. Several calls may be in
 * flight; answers come in order. A call whose deadline passes costs the connection: a COMMIT is
 * never cancelled, its outcome is unknown. */
#ifndef CARILLON_STORAGE_PG_CONN_H
#define CARILLON_STORAGE_PG_CONN_H

#include "base/list.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/rng.h"
#include "storage/pg_param.h"

#include <libpq-fe.h>

enum pg_stmt {
#define STMT(ident, params, cols, sql) STMT_##ident,
#include "storage/stmt.def"
#undef STMT
    STMT_COUNT,
};

/* What the answer of a statement must look like: columns (0: none), from the table. */
struct pg_stmt_row {
    const char *name, *sql;
    int params, cols;
};
const struct pg_stmt_row *pg_stmt_row(enum pg_stmt s);

/* Facts of the server, read at each connect. */
struct pg_server {
    int version; /* 150020 */
    uint64_t system_id;
    uint32_t timeline;
    bool fsync, full_page_writes, synchronous_commit;
    bool replicated;   /* synchronous_standby_names is set: durability profile */
    uint32_t schema;   /* version of the tables; 0: none */
    int64_t window_us; /* 0: no lane was ever claimed */
    uint32_t ring_windows;
};

/* Refuses a server whose version lacks what the statements need. */
enum err pg_version_check(int version, struct err_detail *d) MUST_CHECK;

struct pg_conn;
struct pg_call;
struct pg_dial;
struct pg_call_ops {
    /* Queue the statements with pg_conn_exec(). */
    void (*send)(struct pg_call *c, struct pg_conn *conn);
    /* The answer of the step-th statement (from 0), already of the right shape. False: the
     * answer makes no sense; "detail" says why. May be NULL. */
    bool (*result)(struct pg_call *c, unsigned step, const PGresult *r);
    /* Exactly once, last. The call may be freed or run again. */
    void (*end)(struct pg_call *c);
};
/* Embedded by the caller, lent until "end". */
struct pg_call {
    struct list link;
    const struct pg_call_ops *ops;
    struct mono deadline;
    bool writes;             /* a lost connection leaves the outcome unknown */
    unsigned sent, answered; /* statements */
    enum err err;
    struct err_detail detail;
    uint8_t stmt[16]; /* which statement each step was; 255, or beyond: a template */
};

struct pg_conn_config {
    const char *conninfo; /* lives as long as the connection */
    const char *app_name; /* at most 63 bytes; may change between connects */
    bool batch;           /* plans for turn batches: nested loops over indexes only */
    bool allow_unsafe;
    uint64_t system_id; /* refuse another cluster; 0: any */
    uint32_t schema;    /* required version; 0: any */
    /* Looking up a host's name blocks, so it is done there; NULL: here. Outlives the connection. */
    struct pool *pool;
};

/* Refuses a server that is too old, loses data, or is not the one that was configured. */
enum err pg_server_check(const struct pg_server *s, const struct pg_conn_config *c,
                         struct err_detail *d) MUST_CHECK;

enum pg_conn_state { PG_CLOSED, PG_CONNECTING, PG_BOOT, PG_READY };

enum { PG_TEMPLATES = 2, PG_TABLES_MAX = 169 };

struct pg_conn {
    struct loop *loop;
    struct pg_conn_config config;
    struct rng rng; /* jitter */
    /* Ready, lost, or a call ended: the owner may give more calls. Never from within pg_conn_run. */
    void (*changed)(struct pg_conn *c, void *arg);
    void *arg;
    /* the rest is private */
    enum pg_conn_state state;
    PGconn *pg;
    struct pg_dial *dial; /* being made by the pool */
    struct loop_fd watch;
    int watching;
    struct loop_timer timer; /* connect, back-off or the earliest deadline of a call */
    struct mono timer_due, connect_until;
    struct list calls; /* in flight, oldest first */
    unsigned calls_len;
    unsigned failures; /* in a row, for the back-off */
    bool stopping;
    bool failing;
    struct pg_params params;
    bool prepared[STMT_COUNT];
    bool prepared_for[PG_TEMPLATES][PG_TABLES_MAX];
    struct pg_server server;
    enum err last_err; /* why the last attempt failed */
    struct err_detail last_detail;
    struct pg_call boot;
    struct pg_call *sending;
};

/* "conn" is zeroed memory that does not move. Starts to connect at once. */
void pg_conn_start(struct pg_conn *c, struct loop *loop, const struct pg_conn_config *config,
                   uint64_t seed);
/* Drops the connection: calls in flight end (UNKNOWN or UNAVAILABLE). No reconnect after. */
void pg_conn_stop(struct pg_conn *c);
/* Drops and connects again after the back-off. */
void pg_conn_reset(struct pg_conn *c, enum err e, const char *why);
void pg_conn_fini(struct pg_conn *c);
bool pg_conn_ready(const struct pg_conn *c);
unsigned pg_conn_in_flight(const struct pg_conn *c);
/* Sends a call; only when ready. Ends asynchronously. */
void pg_conn_run(struct pg_conn *c, struct pg_call *call);

/* From "send": the parameters are built with pg_conn_params(), which resets them. */
struct pg_params *pg_conn_params(struct pg_conn *c);
void pg_conn_exec(struct pg_conn *c, enum pg_stmt s);
/* Before the first statement of a call that uses the timer statement. Prepared on first use, in a
 * transaction of its own, which the failure of another call cannot take along. */
void pg_conn_need_timer(struct pg_conn *c, unsigned which, unsigned table);
/* The timer statements exist once for each table: "which" 0 adds, 1 deletes; "table" is the ring
 * slot or PG_TABLES_MAX - 1 for the long term. */
void pg_conn_exec_timer(struct pg_conn *c, unsigned which, unsigned table);

/* Fields of an answer; the size is checked against the type, a mismatch gives zero. */
int64_t pg_row_i8(const PGresult *r, int row, int col);
int32_t pg_row_i4(const PGresult *r, int row, int col);
bool pg_row_bool(const PGresult *r, int row, int col);
struct wall pg_row_time(const PGresult *r, int row, int col);                 /* null: 0 */
struct str pg_row_text(const PGresult *r, int row, int col, struct arena *a); /* null: STR_NONE */
struct str pg_row_bytes(const PGresult *r, int row, int col);                 /* borrowed from r */
void pg_row_uuid(const PGresult *r, int row, int col, uint8_t out[16]);       /* null: zeros */

#endif
