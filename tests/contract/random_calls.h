/* Random calls of a store, as several nodes would make them. Parameters are drawn from what earlier calls
 * answered, and now and then from what is stale or wrong. The same draws give the same call, so that it can
 * be sent to two stores. */
#ifndef CARILLON_TESTS_RANDOM_CALLS_H
#define CARILLON_TESTS_RANDOM_CALLS_H

#include "base/rng.h"
#include "storage/store.h"

enum {
    SHARD = 3,
    LANES = 4,
    RING = 4,
    NODES = 3,
    EXECS = 48,
    BATCH = 4,
    OPEN_MAX = 16,
};

struct known_exec {
    struct exec_id id;
    bool started;
    bool over;     /* ended, or its name is taken: nothing more will come of it */
    bool starting; /* by one of the calls under way: nobody else has the id, which is random */
    uint64_t seq, turn;
    uint32_t name;
    struct task_token tasks[OPEN_MAX]; /* open */
    struct timer_row timers[OPEN_MAX];
    uint32_t tasks_len, timers_len;
    uint64_t messages; /* sent to it; the numbers are the sources */
};

struct model {
    struct rng rng;
    int64_t window_us; /* about an hour, so that the test begins in the middle of a window */
    bool window_set;   /* there was a claim */
    int64_t window;    /* of the test's beginning; also that of its end */
    struct uuid incarnation[NODES], past[NODES];
    struct lane_ref lane[NODES][LANES]; /* as last claimed */
    struct known_exec exec[EXECS];
    uint32_t names;
    uint32_t near, near_len; /* which executions are drawn: calls together are to meet */
};

/* One call, in memory of its own for each store. */
struct call {
    union {
        struct store_req req;
        struct store_lease lease;
        struct store_release release;
        struct store_lanes lanes;
        struct store_claim claim;
        struct store_window_open window_open;
        struct store_window_close window_close;
        struct store_window_empty window_empty;
        struct store_promote promote;
        struct store_timers timers;
        struct store_timers_drop timers_drop;
        struct store_tasks tasks;
        struct store_lane_inbox lane_inbox;
        struct store_inbox inbox;
        struct store_inbox_drop inbox_drop;
        struct store_commit commit;
        struct store_load load;
        struct store_start_lookup start_lookup;
        struct store_list list;
        struct store_history history;
        struct store_def_put def_put;
        struct store_def_get def_get;
        struct store_def_list def_list;
        struct store_tenant tenant;
    } u;
    struct arena in, out;
    uint32_t node; /* which connection */
    struct known_exec *execs[BATCH];
    struct turn_row *turns[BATCH];
};

/* Half an hour before the next window begins, whatever the time. */
void random_calls_init(struct model *m, struct wall now, uint64_t seed);
void random_call_init(struct call *c);
void random_call_fini(struct call *c);
/* Draws the next call of that node. Together with others: m->near_len is less than EXECS. */
void random_call_build(struct model *m, struct call *c, uint32_t node);
/* What the generator learns from an answer. */
void random_call_learn(struct model *m, struct call *c);
/* Of the execution's start; in the call's memory. */
struct start_key random_call_key(struct call *c, const struct known_exec *k);

#endif
