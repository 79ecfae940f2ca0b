/* Threads for calls that block, so that no loop does: looking up a name, waiting for a disk. A job runs on
 * a thread of the pool and comes back to a loop. Threads are made when they are needed, up to a bound,
 * and end after a time without work. */
#ifndef CARILLON_BASE_POOL_H
#define CARILLON_BASE_POOL_H

#include "base/list.h"
#include "base/loop.h"

enum { POOL_QUEUE_MAX = 1024 }; /* jobs that wait for a thread; one more is ERR_LIMIT */

struct pool;

enum pool_job_state { POOL_FREE, POOL_WAITING, POOL_RUNNING, POOL_DROPPED };

/* Embedded by the caller, lent until "done" or "dropped". */
struct pool_job {
    void (*work)(struct pool_job *job); /* on a thread of the pool; may block */
    struct loop *loop;
    void (*done)(struct pool_job *job); /* on the loop, afterwards */
    /* Instead of "done", after pool_drop(): frees what the work made, touches no loop. */
    void (*dropped)(struct pool_job *job);
    /* the rest is private */
    struct list link;
    struct loop_task task;
    enum pool_job_state state;
};

/* At most "threads_max" threads; one ends after "keep_us" without work. */
struct pool *pool_new(uint32_t threads_max, int64_t keep_us);
/* From any thread. ERR_LIMIT: the queue is full, the job was not taken. */
enum err pool_submit(struct pool *p, struct pool_job *job) MUST_CHECK;
/* From any thread: the result is not wanted any more. True: "dropped" has run or will run, here or on
 * a thread of the pool, and the loop may go away. False: it is too late, "done" is posted. */
bool pool_drop(struct pool *p, struct pool_job *job);
uint32_t pool_threads(struct pool *p); /* now */
/* With no job waiting: ends the threads and frees the pool. False: a call still blocks after "us"; then
 * nothing is freed, and the process should end. */
bool pool_free(struct pool *p, int64_t us);

#endif
