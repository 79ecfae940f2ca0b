/* Threads and the only mutexes of the code base, with clang's annotations. Used by base (loop,
 * log) and by the client library; anywhere else a lock needs a decision record. */
#ifndef CARILLON_BASE_THREAD_H
#define CARILLON_BASE_THREAD_H

#include "base/prelude.h"

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif
#define CAPABILITY(name) TSA(capability(name))
/* For readers only: in C, clang 14 cannot look up a sibling member in an attribute. */
#define GUARDED_BY(m)
#define REQUIRES(m) TSA(requires_capability(m))
#define ACQUIRES(m) TSA(acquire_capability(m))
#define RELEASES(m) TSA(release_capability(m))
#define NO_TSA      TSA(no_thread_safety_analysis)

struct CAPABILITY("mutex") mutex {
    void *impl[8];
};
struct cond {
    void *impl[8];
};
struct thread {
    void *impl[2];
};

void mutex_init(struct mutex *m);
void mutex_fini(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRES(m);
void mutex_unlock(struct mutex *m) RELEASES(m);
void cond_init(struct cond *c); /* on the monotonic clock */
void cond_fini(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m) REQUIRES(m);
/* False when "us" microseconds passed without a signal. */
bool cond_wait_us(struct cond *c, struct mutex *m, int64_t us) REQUIRES(m);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
/* The thread blocks all signals: they are for the main thread. "name" is cut to 15 bytes. */
void thread_start(struct thread *t, const char *name, void (*run)(void *arg), void *arg);
void thread_join(struct thread *t);
uint64_t thread_self(void); /* an id, for comparison */

/* A value one thread waits for and another sets: how the main thread follows what its loops do,
 * without a lock of its own. */
struct latch {
    struct mutex m;
    struct cond c;
    int value; /* guarded by m; clang 14 cannot say so of a sibling in C */
};
void latch_init(struct latch *l);
void latch_fini(struct latch *l);
void latch_set(struct latch *l, int value); /* not 0 */
/* The value once it is not 0, or 0 when "us" microseconds passed first. */
int latch_wait(struct latch *l, int64_t us);

#endif
