/* The real event loop: a libuv loop on a thread of its own.
 *
 * One turn: run the tasks that were queued when the turn began, fire the timers that are due,
 * then let libuv look at descriptors; libuv may sleep only when nothing is queued.
 *
 * Posting is on the hot path. A post from the loop's own thread appends to a plain list. A post
 * from elsewhere pushes on a lock-free stack (reversed when it is drained, which gives back each
 * thread's order) and costs a system call only when the loop sleeps: the poster pushes, then
 * looks at "asleep"; the loop sets "asleep", then looks at the stack. Both pairs are sequentially
 * consistent, so one of the two sees the other.
 *
 * libuv's timers count milliseconds. Ours are a heap of microseconds with one timerfd, armed only
 * before a sleep and only when the earliest deadline moved forward. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/thread.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/timerfd.h>
#include <uv.h>

LOG_MODULE("loop");

enum {
    LOOP_UV_MAGIC = 0x4c6f6f70,
    LOOP_SLOW_US = 50000,  /* a callback above this is reported */
    LOOP_DRAIN_MAX = 4096, /* tasks in one turn: timers and descriptors get theirs, too */
};

struct loop_uv {
    struct loop base;
    uint32_t magic;
    uv_loop_t uv;
    uv_async_t wake;
    uv_poll_t timer_poll;
    int timer_fd;
    int64_t timer_armed; /* due time that the timerfd was set for; INT64_MAX: none */
    struct thread thread;
    _Atomic uint64_t thread_id;
    atomic_bool asleep, stopping;
    _Atomic uint32_t posters;           /* threads inside lu_post */
    _Atomic(struct loop_task *) posted; /* by other threads; newest first */
    struct loop_task *head, *tail;      /* in order; touched by the loop's thread only */
    struct heap timers;
    struct list due; /* timers that fire in this turn */
    size_t watches;  /* descriptors watched */
    int64_t last_us; /* when the last callback ended; saves a clock reading per task */
    int64_t turn_busy_us, turn_calls, turn_slow; /* not yet added to the metrics */
    _Atomic int64_t busy_us, calls, slow;
    struct metric *busy; /* of all loops of this name */
};

/* What lives in loop_timer.impl. "due" links a timer that has left the heap to be fired. */
struct timer_impl {
    struct heap_node node;
    struct list due;
};
static_assert(sizeof(struct timer_impl) <= sizeof(((struct loop_timer *)0)->impl), "timer fits");

struct fd_watch {
    uv_poll_t poll;
    struct loop_fd *watch; /* NULL once stopped */
    int events;
};

static struct loop_uv *loop_of(struct loop *l)
{
    struct loop_uv *lu = CONTAINER_OF(l, struct loop_uv, base);
    ASSERT(lu->magic == LOOP_UV_MAGIC);
    return lu;
}

static void must_uv(int rc)
{
    if (rc != 0) {
        log_error("libuv call failed", "error=%s", uv_err_name(rc));
    }
    ASSERT(rc == 0);
}

static struct timer_impl *impl_of(struct loop_timer *t)
{
    return (struct timer_impl *)(void *)t->impl;
}

static struct loop_timer *timer_of(struct timer_impl *impl)
{
    return CONTAINER_OF((void **)(void *)impl, struct loop_timer, impl);
}

static bool lu_owned(struct loop *l)
{
    return atomic_load_explicit(&loop_of(l)->thread_id, memory_order_relaxed) == thread_self();
}

/* ---- time spent in callbacks ---- */

static int64_t real_us(void)
{
    return (int64_t)(uv_hrtime() / 1000);
}

static void calls_begin(struct loop_uv *l)
{
    l->last_us = real_us();
}

/* After each callback; "name" was read before it, because the callback may free its object. */
static void call_ended(struct loop_uv *l, const char *name)
{
    int64_t now = real_us();
    int64_t us = now - l->last_us;
    l->last_us = now;
    l->turn_busy_us += us;
    l->turn_calls++;
    if (us > LOOP_SLOW_US) {
        l->turn_slow++;
        log_warn("slow callback", "loop=%s callback=%s ms=%" PRId64, l->base.name,
                 name != NULL ? name : "?", us / 1000);
    }
}

static void calls_publish(struct loop_uv *l)
{
    if (l->turn_calls == 0) {
        return;
    }
    atomic_fetch_add_explicit(&l->busy_us, l->turn_busy_us, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->calls, l->turn_calls, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->slow, l->turn_slow, memory_order_relaxed);
    metric_add(l->busy, l->turn_busy_us);
    metric_add(&metric_loop_callbacks, l->turn_calls);
    metric_add(&metric_loop_slow, l->turn_slow);
    l->turn_busy_us = l->turn_calls = l->turn_slow = 0;
}

int64_t loop_uv_busy_us(struct loop *l)
{
    return atomic_load_explicit(&loop_of(l)->busy_us, memory_order_relaxed);
}

int64_t loop_uv_calls(struct loop *l)
{
    return atomic_load_explicit(&loop_of(l)->calls, memory_order_relaxed);
}

int64_t loop_uv_slow_calls(struct loop *l)
{
    return atomic_load_explicit(&loop_of(l)->slow, memory_order_relaxed);
}

/* ---- tasks ---- */

static void wake_up(struct loop_uv *l)
{
    if (atomic_exchange(&l->asleep, false)) {
        must_uv(uv_async_send(&l->wake));
    }
}

static void append(struct loop_uv *l, struct loop_task *first, struct loop_task *last)
{
    if (l->head == NULL) {
        l->head = first;
    } else {
        l->tail->next = first;
    }
    l->tail = last;
}

static void lu_post(struct loop *base, struct loop_task *t)
{
    struct loop_uv *l = loop_of(base);
    PRE(t->run != NULL);
    PRE(!t->posted);
    t->posted = 1;
    t->next = NULL;
    if (lu_owned(base)) {
        append(l, t, t);
        return;
    }
    /* The task may run, and lead to loop_free(), before this function has ended. */
    atomic_fetch_add_explicit(&l->posters, 1, memory_order_relaxed);
    struct loop_task *top = atomic_load_explicit(&l->posted, memory_order_relaxed);
    do {
        t->next = top;
    } while (!atomic_compare_exchange_weak(&l->posted, &top, t));
    if (atomic_load(&l->asleep)) {
        wake_up(l);
    }
    atomic_fetch_sub_explicit(&l->posters, 1, memory_order_release);
}

/* Moves what others posted to the end of the list, oldest first. */
static void collect_posted(struct loop_uv *l)
{
    if (atomic_load_explicit(&l->posted, memory_order_relaxed) == NULL) {
        return;
    }
    struct loop_task *t = atomic_exchange_explicit(&l->posted, NULL, memory_order_acquire);
    struct loop_task *last = t, *first = NULL;
    while (t != NULL) {
        struct loop_task *older = t->next;
        t->next = first;
        first = t;
        t = older;
    }
    append(l, first, last);
}

/* Runs what is queued now; what these tasks post waits for the next turn. */
static void run_tasks(struct loop_uv *l)
{
    collect_posted(l);
    if (l->head == NULL) {
        return;
    }
    calls_begin(l);
    struct loop_task *last = l->tail;
    for (int i = 0; i < LOOP_DRAIN_MAX; i++) {
        struct loop_task *t = l->head;
        const char *name = t->name;
        bool end = t == last;
        l->head = t->next;
        t->next = NULL;
        t->posted = 0;
        t->run(t);
        call_ended(l, name);
        if (end) {
            break;
        }
    }
}

/* ---- timers ---- */

static void lu_timer_stop(struct loop *base, struct loop_timer *t)
{
    struct loop_uv *l = loop_of(base);
    LOOP_OWNED(base);
    heap_remove(&l->timers, &impl_of(t)->node);
    list_remove(&impl_of(t)->due);
    t->armed = false;
}

static void lu_timer_start(struct loop *base, struct loop_timer *t, struct mono due)
{
    struct loop_uv *l = loop_of(base);
    LOOP_OWNED(base);
    PRE(t->fired != NULL);
    if (t->armed) {
        lu_timer_stop(base, t);
    }
    *impl_of(t) = (struct timer_impl){.node = {.key = 0}};
    heap_insert(&l->timers, &impl_of(t)->node, due.us);
    t->armed = true;
}

static struct timer_impl *timer_first(struct loop_uv *l)
{
    struct heap_node *n = heap_min(&l->timers);
    return n != NULL ? CONTAINER_OF(n, struct timer_impl, node) : NULL;
}

/* The due ones are set aside first: a timer that is started meanwhile with a past deadline fires
 * on the next turn and cannot hold up the others. They may still be stopped or moved. */
static void fire_timers(struct loop_uv *l)
{
    struct timer_impl *impl = timer_first(l);
    if (impl == NULL) {
        return;
    }
    int64_t now = loop_now(&l->base).us;
    for (; impl != NULL && impl->node.key <= now; impl = timer_first(l)) {
        heap_remove(&l->timers, &impl->node);
        list_push_back(&l->due, &impl->due);
    }
    if (list_empty(&l->due)) {
        return;
    }
    calls_begin(l);
    for (struct list *it = list_pop_front(&l->due); it != NULL; it = list_pop_front(&l->due)) {
        struct loop_timer *t = timer_of(LIST_ENTRY(it, struct timer_impl, due));
        const char *name = t->name;
        t->armed = false;
        t->fired(t);
        call_ended(l, name);
    }
}

/* Makes the timerfd end the coming sleep in time. One that is set too early is left alone: a
 * needless wake-up now and then is cheaper than a system call for each timer that was stopped. */
static void arm_timer_fd(struct loop_uv *l)
{
    struct timer_impl *impl = timer_first(l);
    if (impl == NULL || l->timer_armed <= impl->node.key) {
        return;
    }
    int64_t us = MAX(impl->node.key - loop_now(&l->base).us, INT64_C(1)); /* 0 would disarm */
    struct itimerspec in = {.it_value = {.tv_sec = us / US_PER_S, .tv_nsec = us % US_PER_S * 1000}};
    int rc = timerfd_settime(l->timer_fd, 0, &in, NULL);
    ASSERT(rc == 0);
    l->timer_armed = impl->node.key;
}

static void timer_fd_ready(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
    struct loop_uv *l = poll->data;
    uint64_t expirations;
    ssize_t n = read(l->timer_fd, &expirations, sizeof(expirations));
    ASSERT(n == (ssize_t)sizeof(expirations) || errno == EAGAIN || errno == EINTR);
    l->timer_armed = INT64_MAX; /* the next turn fires what is due and arms anew */
}

/* ---- descriptors ---- */

static void fd_ready(uv_poll_t *poll, int status, int events);

static void fd_watch_begin(struct fd_watch *fw)
{
    int uv_events = ((fw->events & LOOP_READ) != 0 ? UV_READABLE : 0) |
                    ((fw->events & LOOP_WRITE) != 0 ? UV_WRITABLE : 0);
    must_uv(uv_poll_start(&fw->poll, uv_events, fd_ready));
}

static void fd_ready(uv_poll_t *poll, int status, int events)
{
    struct fd_watch *fw = CONTAINER_OF(poll, struct fd_watch, poll);
    struct loop_fd *w = fw->watch;
    if (w == NULL) {
        return; /* stopped by a callback of the same round */
    }
    int seen = ((events & UV_READABLE) != 0 ? LOOP_READ : 0) |
               ((events & UV_WRITABLE) != 0 ? LOOP_WRITE : 0);
    if (status < 0) {
        seen = fw->events; /* whoever reads or writes now learns the error */
    }
    struct loop_uv *l = loop_of(w->loop);
    const char *name = w->name;
    calls_begin(l);
    w->ready(w, seen);
    call_ended(l, name);
    if (status < 0 && fw->watch != NULL) {
        fd_watch_begin(fw); /* libuv ends a watch when it reports an error; poll() would not */
    }
}

static void lu_fd_start(struct loop *base, struct loop_fd *w, int events)
{
    struct loop_uv *l = loop_of(base);
    LOOP_OWNED(base);
    PRE(w->ready != NULL);
    PRE(events != 0 && (events & ~(LOOP_READ | LOOP_WRITE)) == 0);
    struct fd_watch *fw = w->impl;
    if (fw == NULL) {
        fw = MEM_NEW(struct fd_watch);
        must_uv(uv_poll_init(&l->uv, &fw->poll, w->fd));
        fw->watch = w;
        w->impl = fw;
        l->watches++;
    }
    fw->events = events;
    fd_watch_begin(fw);
}

static void fd_closed(uv_handle_t *handle)
{
    mem_free(CONTAINER_OF((uv_poll_t *)(void *)handle, struct fd_watch, poll));
}

static void lu_fd_stop(struct loop *base, struct loop_fd *w)
{
    struct loop_uv *l = loop_of(base);
    LOOP_OWNED(base);
    struct fd_watch *fw = w->impl;
    PRE(fw != NULL && fw->watch == w);
    fw->watch = NULL;
    w->impl = NULL;
    l->watches--;
    must_uv(uv_poll_stop(&fw->poll));
    uv_close((uv_handle_t *)&fw->poll, fd_closed);
}

/* ---- the thread ---- */

static void woken(uv_async_t *wake UNUSED)
{
    /* The turn that follows does the work. */
}

/* Is there work that must not wait for a descriptor? */
static bool has_work(struct loop_uv *l)
{
    if (l->head != NULL || atomic_load(&l->posted) != NULL || atomic_load(&l->stopping)) {
        return true;
    }
    struct timer_impl *impl = timer_first(l);
    return impl != NULL && impl->node.key <= loop_now(&l->base).us;
}

static void poll_descriptors(struct loop_uv *l)
{
    if (!has_work(l)) {
        arm_timer_fd(l);
        atomic_store(&l->asleep, true);
        if (!has_work(l)) {
            (void)uv_run(&l->uv, UV_RUN_ONCE);
            atomic_store(&l->asleep, false);
            return;
        }
        atomic_store(&l->asleep, false);
    }
    (void)uv_run(&l->uv, UV_RUN_NOWAIT);
}

static void loop_main(void *arg)
{
    struct loop_uv *l = arg;
    atomic_store(&l->thread_id, thread_self());
    for (;;) {
        bool stopping = atomic_load(&l->stopping); /* before the queue: its last posts count */
        run_tasks(l);
        fire_timers(l);
        calls_publish(l);
        if (stopping && l->head == NULL && atomic_load(&l->posted) == NULL) {
            break;
        }
        poll_descriptors(l);
    }
    ASSERT(heap_len(&l->timers) == 0); /* see loop_free */
    ASSERT(l->watches == 0);
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->timer_poll, NULL);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    calls_publish(l);
}

static void lu_free(struct loop *base)
{
    struct loop_uv *l = loop_of(base);
    PRE(!loop_owned(base));
    atomic_store(&l->stopping, true);
    wake_up(l);
    thread_join(&l->thread);
    while (atomic_load_explicit(&l->posters, memory_order_acquire) != 0) {
        (void)sched_yield(); /* a few instructions away from leaving lu_post */
    }
    must_uv(uv_loop_close(&l->uv));
    (void)close(l->timer_fd);
    heap_fini(&l->timers);
    l->magic = 0;
    mem_free((char *)(uintptr_t)base->name);
    mem_free(l);
}

static const struct loop_ops loop_uv_ops = {
    .post = lu_post,
    .timer_start = lu_timer_start,
    .timer_stop = lu_timer_stop,
    .fd_start = lu_fd_start,
    .fd_stop = lu_fd_stop,
    .owned = lu_owned,
    .free = lu_free,
};

struct loop *loop_uv_new(struct clock *clock, const char *name)
{
    struct loop_uv *l = MEM_NEW(struct loop_uv);
    l->base = (struct loop){.ops = &loop_uv_ops, .clock = clock, .name = mem_strdup(name)};
    l->magic = LOOP_UV_MAGIC;
    l->busy = metric_series(&metric_loop_busy, "loop", name);
    l->timer_armed = INT64_MAX;
    heap_init(&l->timers);
    list_init(&l->due);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    ASSERT(l->timer_fd >= 0);
    must_uv(uv_loop_init(&l->uv));
    must_uv(uv_async_init(&l->uv, &l->wake, woken));
    must_uv(uv_poll_init(&l->uv, &l->timer_poll, l->timer_fd));
    l->timer_poll.data = l;
    must_uv(uv_poll_start(&l->timer_poll, UV_READABLE, timer_fd_ready));
    thread_start(&l->thread, name, loop_main, l);
    return &l->base;
}

struct loop_uv_source {
    struct loop_factory base;
    struct clock *clock;
};

static struct loop *loop_uv_make(struct loop_factory *f, const char *name)
{
    return loop_uv_new(CONTAINER_OF(f, struct loop_uv_source, base)->clock, name);
}

struct loop_factory *loop_uv_factory(struct clock *clock)
{
    static struct loop_uv_source source;
    source = (struct loop_uv_source){{loop_uv_make}, clock};
    return &source.base;
}
