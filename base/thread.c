/* Threads, mutexes and condition variables over pthread. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/thread.h"

#include <signal.h>
#include <stdatomic.h>

static_assert(sizeof(pthread_mutex_t) <= sizeof(((struct mutex *)0)->impl), "mutex fits");
static_assert(sizeof(pthread_cond_t) <= sizeof(((struct cond *)0)->impl), "cond fits");
static_assert(sizeof(pthread_t) <= sizeof(((struct thread *)0)->impl), "thread fits");

enum { THREAD_NAME_SIZE = 16 }; /* the kernel's limit, NUL included */

static pthread_mutex_t *mutex_impl(struct mutex *m)
{
    return (pthread_mutex_t *)(void *)m->impl;
}

static pthread_cond_t *cond_impl(struct cond *c)
{
    return (pthread_cond_t *)(void *)c->impl;
}

/* Every failure of these calls is a bug of the caller or the end of memory. */
static void must(int rc)
{
    ASSERT(rc == 0);
}

void mutex_init(struct mutex *m)
{
    must(pthread_mutex_init(mutex_impl(m), NULL));
}

void mutex_fini(struct mutex *m)
{
    must(pthread_mutex_destroy(mutex_impl(m)));
}

void mutex_lock(struct mutex *m) NO_TSA
{
    must(pthread_mutex_lock(mutex_impl(m)));
}

void mutex_unlock(struct mutex *m) NO_TSA
{
    must(pthread_mutex_unlock(mutex_impl(m)));
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;
    must(pthread_condattr_init(&attr));
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    must(pthread_cond_init(cond_impl(c), &attr));
    must(pthread_condattr_destroy(&attr));
}

void cond_fini(struct cond *c)
{
    must(pthread_cond_destroy(cond_impl(c)));
}

void cond_wait(struct cond *c, struct mutex *m)
{
    must(pthread_cond_wait(cond_impl(c), mutex_impl(m)));
}

bool cond_wait_us(struct cond *c, struct mutex *m, int64_t us)
{
    struct timespec until;
    must(clock_gettime(CLOCK_MONOTONIC, &until));
    us = MIN(MAX(us, INT64_C(0)), INT64_C(1) << 52); /* no overflow below; 142 years */
    int64_t ns = until.tv_nsec + us % 1000000 * 1000;
    until.tv_sec += us / 1000000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    int rc = pthread_cond_timedwait(cond_impl(c), mutex_impl(m), &until);
    ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void cond_signal(struct cond *c)
{
    must(pthread_cond_signal(cond_impl(c)));
}

void cond_broadcast(struct cond *c)
{
    must(pthread_cond_broadcast(cond_impl(c)));
}

struct thread_start {
    void (*run)(void *arg);
    void *arg;
    char name[THREAD_NAME_SIZE];
};

static void *thread_main(void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;
    mem_free(arg);
    (void)pthread_setname_np(pthread_self(), start.name); /* for people who look with ps */
    start.run(start.arg);
    return NULL;
}

void thread_start(struct thread *t, const char *name, void (*run)(void *arg), void *arg)
{
    struct thread_start *start = MEM_NEW(struct thread_start);
    start->run = run;
    start->arg = arg;
    (void)snprintf(start->name, sizeof(start->name), "%s", name);
    /* Signals are the main thread's: new threads inherit a full mask. */
    sigset_t all, old;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &old));
    must(pthread_create((pthread_t *)(void *)t->impl, NULL, thread_main, start));
    must(pthread_sigmask(SIG_SETMASK, &old, NULL));
}

void thread_join(struct thread *t)
{
    must(pthread_join(*(pthread_t *)(void *)t->impl, NULL));
}

uint64_t thread_self(void)
{
    static _Atomic uint64_t last;
    static _Thread_local uint64_t self; /* never reused, unlike pthread_self() */
    if (self == 0) {
        self = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    }
    return self;
}

/* ---- latch ---- */

void latch_init(struct latch *l)
{
    mutex_init(&l->m);
    cond_init(&l->c);
    l->value = 0;
}

void latch_fini(struct latch *l)
{
    cond_fini(&l->c);
    mutex_fini(&l->m);
}

void latch_set(struct latch *l, int value)
{
    mutex_lock(&l->m);
    l->value = value;
    cond_broadcast(&l->c);
    mutex_unlock(&l->m);
}

int latch_wait(struct latch *l, int64_t us)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    us = MIN(us, INT64_C(1) << 52); /* no overflow below; 142 years */
    int64_t end = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + us;
    mutex_lock(&l->m);
    while (l->value == 0) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        int64_t left = end - ((int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000);
        if (left <= 0 || !cond_wait_us(&l->c, &l->m, left)) {
            break;
        }
    }
    int value = l->value;
    mutex_unlock(&l->m);
    return value;
}
