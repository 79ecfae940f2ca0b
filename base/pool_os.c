/* See pool.h. One mutex guards it all: jobs are few and long. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/thread.h"

struct pool_thread {
    struct list link; /* among the ended ones */
    struct thread thread;
    struct pool *pool;
};

struct pool {
    struct mutex m;
    struct cond wake;  /* a job waits, or the pool ends */
    struct cond ended; /* a thread has */
    struct list queue;
    struct list dead; /* threads that ended and are not joined yet */
    uint32_t waiting, threads, idle, threads_max;
    int64_t keep_us;
    bool ending;
};

/* The next job; NULL: the thread should end. */
static struct pool_job *next_job(struct pool *p) REQUIRES(p->m)
{
    while (list_empty(&p->queue)) {
        if (p->ending) {
            return NULL;
        }
        p->idle++;
        bool woken = cond_wait_us(&p->wake, &p->m, p->keep_us);
        p->idle--;
        if (!woken && list_empty(&p->queue)) {
            return NULL;
        }
    }
    struct pool_job *job = LIST_ENTRY(list_pop_front(&p->queue), struct pool_job, link);
    p->waiting--;
    job->state = POOL_RUNNING;
    return job;
}

static void job_done(struct loop_task *task)
{
    struct pool_job *job = CONTAINER_OF(task, struct pool_job, task);
    job->done(job);
}

/* Posting under the mutex is what makes the answer of pool_drop() true. */
static bool hand_back(struct pool_job *job)
{
    if (job->state == POOL_DROPPED) {
        return false;
    }
    job->state = POOL_FREE;
    job->task = (struct loop_task){.run = job_done, .name = "pool job"};
    loop_post(job->loop, &job->task);
    return true;
}

static void thread_main(void *arg)
{
    struct pool_thread *t = arg;
    struct pool *p = t->pool;
    struct pool_job *job;
    mutex_lock(&p->m);
    while ((job = next_job(p)) != NULL) {
        mutex_unlock(&p->m);
        job->work(job);
        mutex_lock(&p->m);
        if (!hand_back(job)) {
            mutex_unlock(&p->m);
            job->dropped(job);
            mutex_lock(&p->m);
        }
    }
    p->threads--;
    list_push_back(&p->dead, &t->link);
    cond_signal(&p->ended);
    mutex_unlock(&p->m);
}

/* They have left the mutex for good, or are about to: this does not wait for work. */
static void join_all(struct list *dead)
{
    while (!list_empty(dead)) {
        struct pool_thread *t = LIST_ENTRY(list_pop_front(dead), struct pool_thread, link);
        thread_join(&t->thread);
        mem_free(t);
    }
}

static void take_dead(struct pool *p, struct list *out) REQUIRES(p->m)
{
    list_init(out);
    while (!list_empty(&p->dead)) {
        list_push_back(out, list_pop_front(&p->dead));
    }
}

struct pool *pool_new(uint32_t threads_max, int64_t keep_us)
{
    PRE(threads_max > 0 && keep_us > 0);
    struct pool *p = MEM_NEW(struct pool);
    mutex_init(&p->m);
    cond_init(&p->wake);
    cond_init(&p->ended);
    list_init(&p->queue);
    list_init(&p->dead);
    p->threads_max = threads_max;
    p->keep_us = keep_us;
    return p;
}

enum err pool_submit(struct pool *p, struct pool_job *job)
{
    struct list dead;
    mutex_lock(&p->m);
    PRE(!p->ending && job->state == POOL_FREE);
    enum err e = p->waiting == POOL_QUEUE_MAX ? ERR_LIMIT : ERR_OK;
    if (e == ERR_OK) {
        job->state = POOL_WAITING;
        list_push_back(&p->queue, &job->link);
        p->waiting++;
        if (p->idle < p->waiting && p->threads < p->threads_max) {
            struct pool_thread *t = MEM_NEW(struct pool_thread);
            t->pool = p;
            p->threads++;
            thread_start(&t->thread, "pool", thread_main, t);
        } else {
            cond_signal(&p->wake);
        }
    }
    take_dead(p, &dead);
    mutex_unlock(&p->m);
    join_all(&dead);
    return e;
}

bool pool_drop(struct pool *p, struct pool_job *job)
{
    mutex_lock(&p->m);
    enum pool_job_state was = job->state;
    if (was == POOL_WAITING) {
        list_remove(&job->link);
        p->waiting--;
        job->state = POOL_FREE;
    } else if (was == POOL_RUNNING) {
        job->state = POOL_DROPPED;
    }
    mutex_unlock(&p->m);
    if (was == POOL_WAITING) {
        job->dropped(job);
    }
    return was != POOL_FREE;
}

uint32_t pool_threads(struct pool *p)
{
    mutex_lock(&p->m);
    uint32_t n = p->threads;
    mutex_unlock(&p->m);
    return n;
}

bool pool_free(struct pool *p, int64_t us)
{
    struct list dead;
    if (p == NULL) {
        return true;
    }
    mutex_lock(&p->m);
    PRE(p->waiting == 0);
    p->ending = true;
    cond_broadcast(&p->wake);
    bool waited = true;
    while (p->threads > 0 && waited) {
        waited = cond_wait_us(&p->ended, &p->m, us);
    }
    bool gone = p->threads == 0;
    take_dead(p, &dead);
    mutex_unlock(&p->m);
    join_all(&dead);
    if (gone) {
        cond_fini(&p->ended);
        cond_fini(&p->wake);
        mutex_fini(&p->m);
        mem_free(p);
    }
    return gone;
}
