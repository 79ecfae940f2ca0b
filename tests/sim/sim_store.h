/* The store port in memory: serialisable transactions, each at one instant of the world's time, whose
 * answers are those of PostgreSQL behind the same port (the contract suite and random call sequences
 * hold it to that). Its clock is the world's truth: the primary's clock_timestamp().
 *
 * Faults are drawn per call from "faults": the answer of a call that did or did not happen is lost,
 * serialization fails, the store is away or slow, a failover loses the newest commits. */
#ifndef CARILLON_TESTS_SIM_STORE_H
#define CARILLON_TESTS_SIM_STORE_H

#include "storage/store.h"
#include "tests/sim/sim_kv.h"
#include "tests/sim/world.h"

struct sim_store_faults {
    double lose_answer;   /* ERR_UNKNOWN; half of these have happened */
    double serialization; /* of calls that write */
    double locked;        /* of commits: a lock is not granted in time */
    double slow;          /* takes slow_us more */
    int64_t slow_us;
};

/* What is wrong with the rows of one execution. */
enum sim_damage {
    SIM_SOUND,
    SIM_HISTORY_DAMAGED, /* a byte of what it is folded from is another */
    SIM_LOAD_FAILS,      /* a load that names it fails as a whole */
    SIM_DEFINITION_GONE, /* of its revision, and so for all executions of that */
    SIM_TURNS_REFUSED,   /* for their data; with them the whole batch */
};

/* What a watcher sees: each transaction at the instant it commits, and each rollback. The request's
 * inputs and outputs may be read; nothing may be changed. */
struct sim_store_watch {
    void (*committed)(struct sim_store_watch *w, const struct store_req *r);
    /* Everything committed after that instant (store's clock) never happened. */
    void (*lost_tail)(struct sim_store_watch *w, struct wall since);
};

struct sim_store {
    struct store base;
    struct world_module module;
    struct world *world;
    struct rng rng;
    struct kv *kv;
    struct sim_store_faults faults;
    struct sim_store_watch *watch;
    int64_t latency_us; /* typical, both ways together */
    int64_t away_until, locked_until;
    enum sim_damage damage;
    struct exec_id damaged;
    uint64_t damaged_revision;
    uint64_t system_id;
    uint32_t timeline;
    uint64_t lsn;
    uint16_t shard;
    uint32_t
        move_max; /* rows that one call moves at most; STORE_MOVE_MAX, or a few to see chunks */
    struct list ops, sessions;
    bool sessions_by_hand; /* a lease opens none: sim_store_session does (contract tests) */
    struct {
        int64_t at; /* world time */
        uint64_t mark;
    } * commits; /* those that a failover may still undo */
    size_t commits_len, commits_room, commits_head;
    struct buf scratch;
    /* Counts */
    uint64_t calls, answers_lost, serialization_failures, failovers, commits_late;
};

struct sim_store *sim_store_new(struct world *w, uint16_t shard, uint16_t lanes);
void sim_store_free(struct sim_store *s); /* after world_free */
/* A call of the world itself, outside of all hosts: executed and answered now; "done" does not run. */
void sim_store_now(struct sim_store *s, struct store_req *r);
/* Everything after the mark (kv_mark of the rows) has not happened; nobody may wait for an answer. */
void sim_store_rewind(struct sim_store *s, uint64_t mark);
/* Calls made meanwhile answer ERR_UNAVAILABLE; those under way ERR_UNKNOWN, done or not. */
void sim_store_away(struct sim_store *s, int64_t us);
/* Somebody holds the fences so long: commits wait, and give up after a second. */
void sim_store_lock(struct sim_store *s, int64_t us);
/* A failover: commits younger than "tail_us" never happened; timeline + 1; all sessions end. */
void sim_store_failover(struct sim_store *s, int64_t tail_us);
/* Of one execution at a time; reads show it, the tables are as ever. SIM_SOUND: it is restored. */
void sim_store_damage(struct sim_store *s, const struct exec_id *exec, enum sim_damage damage);
/* Ends the sessions of a host as a broken connection does; the lease stays. */
void sim_store_cut(struct sim_store *s, struct host *h);
/* Opens or ends the session of an incarnation. */
void sim_store_session(struct sim_store *s, const struct uuid *incarnation, bool alive);
unsigned sim_store_waiting(const struct sim_store *s); /* calls not answered */

#endif
