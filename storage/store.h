/* Port: the durable store. One call = one transaction, asynchronous; the answer comes exactly once,
 * as a task on the caller's loop, also when the store is closed meanwhile (ERR_UNAVAILABLE).
 *
 * Implementations: store_pg.c (PostgreSQL, libpq pipeline mode) and tests/sim/sim_store.c. Both
 * pass tests/contract/store_contract.c and agree on random call sequences.
 *
 * Errors of every call: ERR_UNAVAILABLE (no connection: nothing happened), ERR_SERIALIZATION (40001,
 * 40P01, statement time-out: nothing happened), ERR_LOCKED (a lock, as a fence is one, was not granted
 * within a second: nothing happened, and nothing is wrong with the call), ERR_UNKNOWN (sent, no answer: may have happened),
 * ERR_FENCED (a fence given does not hold, or the store has failed over to another timeline since
 * the incarnation named, or the one under which the lanes named were claimed, was registered: make
 * a new incarnation and forget what was cached; nothing happened), ERR_INVALID (data error: nothing
 * happened), ERR_SCHEMA, ERR_LIMIT (the store's queue is full: nothing happened).
 *
 * Requests are embedded by the caller and lent until "done". Inputs are borrowed until then;
 * outputs live in the request's arena, which the caller owns and must not touch meanwhile. */
#ifndef CARILLON_STORAGE_STORE_H
#define CARILLON_STORAGE_STORE_H

#include "base/loop.h"
#include "storage/records.h"

enum store_op {
    STORE_LEASE,
    STORE_RELEASE,
    STORE_LANES,
    STORE_CLAIM,
    STORE_WINDOW_OPEN,
    STORE_WINDOW_CLOSE,
    STORE_WINDOW_EMPTY,
    STORE_PROMOTE,
    STORE_TIMERS,
    STORE_TIMERS_DROP,
    STORE_TASKS,
    STORE_LANE_INBOX,
    STORE_INBOX,
    STORE_INBOX_DROP,
    STORE_COMMIT,
    STORE_LOAD,
    STORE_START_LOOKUP,
    STORE_LIST,
    STORE_HISTORY,
    STORE_DEF_PUT,
    STORE_DEF_GET,
    STORE_DEF_LIST,
    STORE_TENANT,
    STORE_OP_COUNT,
};

struct store_req {
    enum store_op op;
    struct loop *loop; /* where "done" runs */
    void (*done)(struct store_req *r);
    struct arena *arena; /* outputs; may be NULL where a call has none */
    int64_t deadline_us; /* time allowed, from submission; 0 = the store's default (5 s) */
    enum err err;        /* out */
    struct err_detail detail;
    struct wall store_now; /* out: the primary's clock_timestamp() during the call, 0 on error */
    struct mono sent, answered; /* out: on the node's clock, around the call (clock offset) */
    struct loop_task task;      /* private */
    void *impl;                 /* private */
};

struct store;
struct store_ops {
    void (*submit)(struct store *s, struct store_req *r);
};
struct store {
    const struct store_ops *ops;
};
/* From any loop. */
static inline void store_submit(struct store *s, struct store_req *r)
{
    s->ops->submit(s, r);
}

/* ---- members and ownership ---- */

/* Registers (first call) or renews the lease of this incarnation. ERR_FENCED: the incarnation was
 * evicted; make a new one. Every other request that names the incarnation fails likewise then. */
struct store_lease {
    struct store_req req;
    struct uuid incarnation;
    struct str node;    /* node id, stable over restarts */
    struct str address; /* where clients and peers reach it */
    int64_t lease_us;
    bool renew_only; /* false: insert when absent */
    /* out */
    struct wall lease_until;
    uint64_t system_id;
    uint32_t timeline;
};

/* Gives up lanes (all of the incarnation when "lanes" is NULL) and, if "leave", the lease. */
struct store_release {
    struct store_req req;
    struct uuid incarnation;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    bool leave;
};

/* All lanes of the shard, by number. */
struct store_lanes {
    struct store_req req;
    uint16_t shard;
    /* out */
    struct lane_row *lanes;
    uint32_t lanes_len;
};

/* Claims lanes: each that is free, whose owner's lease is over or whose owner has no session left, or
 * all when "takeover" (an operator's or plan's word; then sessions of the old incarnation are
 * ended). epoch + 1, a fresh claim id, a row in the claims log; waits out all share locks (500 ms,
 * then the sessions of the frozen incarnation are ended). Lanes that cannot be had are left alone.
 * First claim of a lane ever: its windows are set to [now's window, + ring_windows - 1], as far as
 * the ring's tables serve those already; where they serve older ones only, to the last of them. */
struct store_claim {
    struct store_req req;
    uint16_t shard;
    struct uuid incarnation; /* must hold a lease */
    struct str node;
    const uint16_t *lanes; /* numbers */
    uint32_t lanes_len;
    bool takeover;
    int64_t window_us; /* scheduler.distributed.windowLength; nodes must agree: ERR_CONFLICT else */
    uint32_t ring_windows; /* scheduler.distributed.partitionCount */
    uint64_t claim_seed;   /* from which claim ids are drawn (rng), so that the simulator is one */
    /* out: the lanes got */
    struct lane_row *got;
    uint32_t got_len;
};

/* ---- windows: calls made as an owner (all lanes must hold, else ERR_FENCED) ---- */

/* Rows that one call moves at most: 0.3 s of work, and of waiting for whoever wants such a row. */
enum { STORE_MOVE_MAX = 20000 };

/* Opens windows up to "open_to" for the lanes, in one transaction and with their fences held exclusively:
 * promotes the long-term rows with due before the end of the new ring, and sets open_to when that leaves
 * none. With "more" it did not get through with "limit" rows, and nothing was opened: store_promote
 * first, which keeps nobody waiting. Windows whose table still serves an older window stay shut: see
 * "opened_to". */
struct store_window_open {
    struct store_req req;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    int64_t open_to;
    uint32_t limit; /* 0: STORE_MOVE_MAX */
    /* out */
    int64_t opened_to; /* lowest open_to over the lanes after the call */
    uint64_t promoted;
    bool more;
};

/* accept_from := at least "accept_from" (CLOSING begins for older windows). With "finish": rows left in
 * windows < accept_from are moved into accept_from, oldest window first, in key order, at most "limit";
 * with "more" some were and some may be left; the call that finds none sets closed_to := accept_from - 1.
 * ERR_INVALID when "accept_from" is not open in one of the lanes. */
struct store_window_close {
    struct store_req req;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    int64_t accept_from;
    bool finish;
    uint32_t limit; /* 0: STORE_MOVE_MAX */
    /* out */
    uint64_t moved;
    bool more;
};

/* Empties the table of "window" when all lanes of the shard have closed it: TRUNCATE with lock_timeout
 * 100 ms, then the table serves window + ring_windows. "emptied" false: not yet possible (no error);
 * true also when it was emptied before. Lanes never claimed do not count. */
struct store_window_empty {
    struct store_req req;
    uint16_t shard;
    int64_t window;
    /* out */
    bool emptied;
};

/* Moves long-term rows of the lanes into the ring, in order of (due, exec, seq, idx), at most "limit":
 * those due before the end of the lane's open_to window, and those due in the windows after it, up to
 * "to", whose tables serve them already. The latter are seen when their window is opened, which is
 * short then. Passes over rows due before "from": where a call before got to ("reached"), so that
 * what was deleted need not be looked at again and again; a pass that ends without "more" has left
 * none, but for what came in behind. */
struct store_promote {
    struct store_req req;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    int64_t to;       /* 0: what is open */
    struct wall from; /* 0: from the start */
    uint32_t limit;   /* 0: STORE_MOVE_MAX */
    /* out */
    uint64_t promoted;
    struct wall reached; /* due of the last row; 0: none */
    bool more;           /* "limit" was reached */
};

/* Rows of the lanes, of each in its windows (closed_to, open_to], in order of (due, exec, seq, idx),
 * after "after" (exclusive; NULL: from the start), due <= due_to, at most "limit". */
struct store_timers {
    struct store_req req;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    const struct timer_row *after;
    struct wall due_to;
    uint32_t limit;
    /* out */
    struct timer_row *rows;
    uint32_t rows_len;
};

/* Deletes rows found to belong to no open timer (orphans after a move raced with a turn). */
struct store_timers_drop {
    struct store_req req;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    const struct timer_row *rows;
    uint32_t rows_len;
};

/* Open tasks of the lanes in order of (exec, seq, idx), after "after" (exclusive). */
struct store_tasks {
    struct store_req req;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    const struct task_token *after;
    uint32_t limit;
    /* out */
    struct task_row *rows;
    uint32_t rows_len;
};

/* Takes (deletes and returns) announcements for the lanes. */
struct store_lane_inbox {
    struct store_req req;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    uint32_t limit;
    /* out */
    struct lane_inbox_row *rows;
    uint32_t rows_len;
};

/* Executions of the lanes that have inbox rows, by id, after "after" (exclusive; NULL: all). */
struct store_inbox {
    struct store_req req;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    const struct exec_id *after;
    uint32_t limit;
    /* out */
    struct exec_id *ids;
    uint32_t ids_len;
};

/* Deletes inbox rows that no turn will fold (the execution has ended, or waits for them no more). */
struct store_inbox_drop {
    struct store_req req;
    const struct lane_ref *lanes;
    uint32_t lanes_len;
    const struct inbox_row *rows; /* exec and source */
    uint32_t rows_len;
};

/* ---- turns ---- */

/* Commits turns of distinct executions (distinct start keys too) in one transaction: design.md 3. Locks in key
 * order: lanes, start keys, executions. Each turn answers for itself in turn_row.result; a conflict
 * in one never fails another. Fences: "lanes" are the claims the writer holds; a turn that inserts tasks or
 * timers into a lane held under another claim is committed too, and announced in lane_inbox
 * (via_inbox). Inbox rows likewise, by the lane of whom they are for; they are deleted and inserted after all
 * turns. Closed executions: start keys are stamped so that nameRetention can run.
 * req.err: an error of the batch as a whole (all results TURN_DROPPED). */
struct store_commit {
    struct store_req req;
    uint16_t shard;
    struct uuid incarnation;
    const struct lane_ref *lanes; /* claims held, for the lanes touched */
    uint32_t lanes_len;
    struct turn_row **turns;
    uint32_t turns_len;
    /* out */
    uint64_t lsn; /* of the log while the turns were written: the commit record comes after it */
};

/* ---- reads ---- */

struct store_load {
    struct store_req req;
    const struct exec_id *ids;
    uint32_t ids_len;
    bool inbox; /* with what waits in their inboxes */
    /* out: same order and length as ids */
    struct exec_row *rows;
};

struct start_key {
    uint32_t tenant;
    struct str workflow, name;
};
struct start_found {
    bool found;
    struct exec_id exec;
    uint64_t digest;
};
struct store_start_lookup {
    struct store_req req;
    const struct start_key *keys;
    uint32_t keys_len;
    /* out */
    struct start_found *found; /* same order and length */
};

/* Executions, newest start first. */
struct store_list {
    struct store_req req;
    uint32_t tenant;
    struct str workflow; /* none or empty: all */
    uint8_t status;      /* 0: all */
    struct wall before;  /* cursor: (started_at, exec) strictly before; 0 = from the newest */
    struct exec_id before_exec;
    uint32_t limit;
    /* out: without snapshot and rows */
    struct exec_row *rows;
    uint32_t rows_len;
};

/* Rows of an execution's history from "from_seq" on. */
struct store_history {
    struct store_req req;
    struct exec_id exec;
    uint64_t from_seq;
    uint32_t limit;
    /* out */
    struct history_row *rows;
    uint32_t rows_len;
};

/* ---- definitions and tenants ---- */

/* Stores a definition. The same digest as the workflow's newest revision: returns that one, whatever
 * the conditions say: what was wanted is so (an answer may have been lost). ERR_PRECONDITION. */
struct store_def_put {
    struct store_req req;
    uint32_t tenant;
    struct str workflow, text, digest;
    const struct str *state_paths; /* by state index; for the outcomes view */
    uint32_t state_paths_len;
    bool delete_workflow; /* instead: mark the workflow deleted (running executions go on) */
    uint32_t if_version;  /* only when this version is the newest; 0: no condition */
    bool if_absent;       /* only when there is no such workflow, or it was deleted */
    /* out */
    uint64_t revision;
    uint32_t version;
    bool created;
};
/* By revision; or, when revision is 0, "version" of (tenant, workflow), its newest when that is 0
 * too. ERR_NO_WORKFLOW. */
struct store_def_get {
    struct store_req req;
    uint64_t revision;
    uint32_t tenant;
    struct str workflow;
    uint32_t version;
    /* out */
    struct definition_row row;
};
struct store_def_list {
    struct store_req req;
    uint32_t tenant;
    struct str after; /* workflow name, exclusive */
    uint32_t limit;
    /* out: newest revision of each, without text */
    struct definition_row *rows;
    uint32_t rows_len;
};
/* The number of a tenant, made when absent and "create": tenant_number() of the name, or the next that is
 * free. ERR_NOT_FOUND. */
struct store_tenant {
    struct store_req req;
    struct str name;
    bool create;
    uint32_t max; /* as many as this there are at most: ERR_LIMIT; 0 = no bound */
    /* out */
    uint32_t number;
};

#endif
