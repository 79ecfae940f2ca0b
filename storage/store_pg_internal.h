/* Shared by the store_pg*.c files: pools, requests on their way, one table of operations. */
#ifndef CARILLON_STORAGE_STORE_PG_INTERNAL_H
#define CARILLON_STORAGE_STORE_PG_INTERNAL_H

#include "base/limits.h"
#include "storage/pg_conn.h"
#include "storage/store_pg.h"

enum { POOL_COMMIT, POOL_CONTROL, POOL_LEASE, POOL_READ, POOL_COUNT };
enum { POOL_CONNS_MAX = 8, SCHEMA_VERSION = 1 };

struct pg_pool {
    struct pg_conn conns[POOL_CONNS_MAX];
    unsigned len, depth;
    struct list queue; /* op_call.link, first come first served */
    unsigned queue_len;
    struct loop_timer timer; /* earliest deadline in the queue */
    struct mono timer_due;
    struct store_pg *store;
};

/* The first character of the queue of a submitted task, as the tables have it. */
#define SUBMITTED_MARK '!'

struct lane_range {
    uint16_t lane, slot_lo, slot_hi;
};

struct store_pg {
    struct store base;
    struct loop *loop;
    struct store_pg_config config;
    char *conninfo, *node;
    char app_name[64];
    struct pg_pool pools[POOL_COUNT];
    bool started;
    unsigned open_ops; /* accepted and not answered */
    /* What the database was set up with; ring_windows 0: not known yet. */
    int64_t window_us;
    uint32_t ring_windows;
    struct lane_range ranges[LANES_PER_SHARD_MAX]; /* by slot_lo */
    uint32_t ranges_len;
    bool meta_fresh; /* ranges can be trusted (the batch checks them) */
    bool meta_loading;
    struct list need_meta; /* commits waiting for it */
    struct pg_call meta;
    struct loop_task start_task, close_task;
    bool closing, stopped;
    struct loop *close_loop;
    void (*closed)(void *arg);
    void *close_arg;
};

/* A request between submit and done. */
struct op_call {
    struct pg_call call; /* first statements, then Sync */
    struct list link;    /* in a pool's queue */
    struct store_pg *store;
    struct store_req *req;
    const struct op_row *row;
    struct wall now;     /* the primary's clock */
    unsigned now_step;   /* the statement that tells it; UINT_MAX: the result function does */
    struct batch *batch; /* commits only */
    struct uuid *claims; /* claims only */
};

struct op_row {
    const char *name;
    int pool;
    bool writes;
    /* Refuses arguments that cannot work; may be NULL. */
    enum err (*check)(struct op_call *op, struct err_detail *d);
    void (*send)(struct op_call *op, struct pg_conn *conn);
    bool (*result)(struct op_call *op, unsigned step, const PGresult *r);
    void (*end)(struct op_call *op); /* before the answer leaves, also after errors; may be NULL */
};
const struct op_row *store_pg_op(enum store_op op);

/* store_pg_commit.c */
enum err commit_check(struct op_call *op, struct err_detail *d);
void commit_send(struct op_call *op, struct pg_conn *conn);
bool commit_result(struct op_call *op, unsigned step, const PGresult *r);
void commit_end(struct op_call *op);

#endif
