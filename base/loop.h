/* Port: an event loop. One loop owns each piece of state; others hand over work with
 * loop_post(). loop_uv.c is the real one (libuv, a thread each); tests/sim/sim_loop.c runs all
 * loops of all nodes as queues in one thread on virtual time.
 *
 * Rules (both implementations): callbacks run to completion on the loop; a function of this
 * port never calls back before it returns; tasks posted from one thread to one loop run in
 * posting order (the simulator keeps that, and orders everything else by a seeded draw). */
#ifndef CARILLON_BASE_LOOP_H
#define CARILLON_BASE_LOOP_H

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"

struct loop;

/* Work to run on a loop; embedded by the caller, lent until its function is called. */
struct loop_task {
    void (*run)(struct loop_task *task);
    struct loop_task *next; /* owned by the loop while posted */
    const char *name;       /* for traces and the slow-callback report; may be NULL */
    uint8_t posted;         /* debug: posting twice is an assertion failure */
};

/* One-shot timer, embedded by the caller; zero-initialise, set "fired" and "name". */
struct loop_timer {
    void (*fired)(struct loop_timer *timer);
    const char *name;
    struct loop *loop; /* set by loop_timer_start */
    void *impl[24];    /* owned by the loop */
    bool armed;
};

/* Descriptor watch; adapters only (the simulator's loop aborts on it). */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_fd {
    void (*ready)(struct loop_fd *watch, int events);
    const char *name;
    struct loop *loop;
    int fd;
    void *impl; /* allocated by start, freed after stop */
};

struct loop_ops {
    void (*post)(struct loop *l, struct loop_task *t);
    void (*timer_start)(struct loop *l, struct loop_timer *t, struct mono due);
    void (*timer_stop)(struct loop *l, struct loop_timer *t);
    void (*fd_start)(struct loop *l, struct loop_fd *w, int events);
    void (*fd_stop)(struct loop *l, struct loop_fd *w);
    bool (*owned)(struct loop *l);
    void (*free)(struct loop *l);
};

struct loop {
    const struct loop_ops *ops;
    struct clock *clock;
    const char *name;
};

/* From any thread: runs task->run on the loop later. */
static inline void loop_post(struct loop *l, struct loop_task *t)
{
    l->ops->post(l, t);
}
/* On the loop only. Starting an armed timer moves it. Due in the past fires on the next turn. */
static inline void loop_timer_start(struct loop *l, struct loop_timer *t, struct mono due)
{
    t->loop = l;
    l->ops->timer_start(l, t, due);
}
static inline void loop_timer_stop(struct loop_timer *t)
{
    if (t->armed) {
        t->loop->ops->timer_stop(t->loop, t);
    }
}
static inline void loop_timer_after(struct loop *l, struct loop_timer *t, int64_t us)
{
    struct mono now = l->clock->mono(l->clock);
    loop_timer_start(l, t, (struct mono){now.us + us});
}
static inline void loop_fd_start(struct loop *l, struct loop_fd *w, int events)
{
    w->loop = l;
    l->ops->fd_start(l, w, events);
}
static inline void loop_fd_stop(struct loop_fd *w)
{
    if (w->impl != NULL) {
        w->loop->ops->fd_stop(w->loop, w);
    }
}
static inline struct mono loop_now(struct loop *l)
{
    return l->clock->mono(l->clock);
}
/* Is the caller running on this loop? */
static inline bool loop_owned(struct loop *l)
{
    return l->ops->owned(l);
}
#define LOOP_OWNED(l) ASSERT(loop_owned(l))
/* Ends the loop: tasks already posted run, the thread is joined, memory freed. Called by the
 * main thread, with no timer armed and no descriptor watched. */
static inline void loop_free(struct loop *l)
{
    if (l != NULL) {
        l->ops->free(l);
    }
}

/* Where loops come from: node composition asks for one per role. */
struct loop_factory {
    struct loop *(*make)(struct loop_factory *f, const char *name);
};

/* The real thing (loop_uv.c): a libuv loop on a thread of its own. "name" is copied. Timers are
 * exact to the microsecond on the early side and late by what the kernel needs to wake a thread.
 * Callbacks above 50 ms are logged and counted. A watched descriptor is made non-blocking, and an
 * error on it is reported as readiness for all events asked for. */
struct loop *loop_uv_new(struct clock *clock, const char *name);
/* Microseconds spent in callbacks, callbacks run, and slow ones among them; from any thread, for
 * loops of loop_uv_new only. Brought up to date once a turn. */
int64_t loop_uv_busy_us(struct loop *l);
int64_t loop_uv_calls(struct loop *l);
int64_t loop_uv_slow_calls(struct loop *l);
struct loop_factory *loop_uv_factory(struct clock *clock); /* static; one clock per process */

#endif
