/* The store port over PostgreSQL: asynchronous libpq in pipeline mode on a loop of its own.
 *
 * Pools of connections, so that a long read never delays a commit, nor either of them a claim; and one
 * connection for the lease alone, which nothing can delay or take along when it fails. A call waits
 * for a connection until its deadline; then it answers ERR_UNAVAILABLE. */
#ifndef CARILLON_STORAGE_STORE_PG_H
#define CARILLON_STORAGE_STORE_PG_H

#include "base/fault.h"
#include "storage/store.h"

struct store_pg_config {
    const char *conninfo;    /* libpq connection string or URL; copied */
    const char *node;        /* into the sessions' names, cut to what fits; copied */
    struct uuid incarnation; /* null: nothing is connected before store_pg_rename() */
    uint16_t shard;
    unsigned commit_conns, commit_depth; /* 0: 2 connections, 2 batches in flight on each */
    unsigned control_conns, read_conns;  /* 0: 1, 2 */
    unsigned queue_max;       /* calls waiting in a pool; one more is ERR_LIMIT; 0: 1024 */
    bool allow_unsafe;        /* fsync=off and the like: tests only */
    uint64_t seed;            /* jitter */
    struct fault_set *faults; /* borrowed for life; may be NULL */
    struct pool *pool;        /* for calls that block; outlives the store. NULL: the loop blocks */
};

/* Connects in the background on "loop"; the schema must be there (migrate.h). From any thread. */
struct store *store_pg_new(struct loop *loop, const struct store_pg_config *config);
/* Sessions carry this incarnation from now on: connections are made anew. From any thread. */
void store_pg_rename(struct store *base, struct uuid incarnation);
/* Refuses further calls, waits for those under way, ends all connections, frees the store; then
 * "closed" (may be NULL) runs on "loop". From any thread, once. */
void store_pg_close(struct store *base, struct loop *loop, void (*closed)(void *arg), void *arg);

#endif
