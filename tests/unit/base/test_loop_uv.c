#include "base/prelude.h"

#include "base/loop.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/rng.h"
#include "base/thread.h"
#include "tests/unit/base/suite.h"

#include <stdatomic.h>

/* A gate: the test waits here until the loop has done its part. */
struct gate {
    struct mutex m;
    struct cond c;
    int opened;
};

static void gate_init(struct gate *g)
{
    mutex_init(&g->m);
    cond_init(&g->c);
    g->opened = 0;
}

static void gate_fini(struct gate *g)
{
    cond_fini(&g->c);
    mutex_fini(&g->m);
}

static void gate_open(struct gate *g)
{
    mutex_lock(&g->m);
    g->opened++;
    cond_broadcast(&g->c);
    mutex_unlock(&g->m);
}

static void gate_wait(struct gate *g, int times)
{
    mutex_lock(&g->m);
    while (g->opened < times) {
        ck_assert(cond_wait_us(&g->c, &g->m, INT64_C(60) * US_PER_S));
    }
    mutex_unlock(&g->m);
}

/* Runs a function on the loop and waits for its end. */
struct call {
    struct loop_task task;
    void (*f)(void *arg);
    void *arg;
    struct gate gate;
};

static void call_run(struct loop_task *t)
{
    struct call *c = CONTAINER_OF(t, struct call, task);
    c->f(c->arg);
    gate_open(&c->gate);
}

static void on_loop(struct loop *l, void (*f)(void *arg), void *arg)
{
    struct call c = {.task = {.run = call_run, .name = "call"}, .f = f, .arg = arg};
    gate_init(&c.gate);
    loop_post(l, &c.task);
    gate_wait(&c.gate, 1);
    gate_fini(&c.gate);
}

static void check_owned(void *arg)
{
    ck_assert(loop_owned(arg));
}

START_TEST(free_while_idle)
{
    size_t before = mem_live_blocks();
    for (int i = 0; i < 50; i++) {
        struct loop *l = loop_uv_factory(os_clock())->make(loop_uv_factory(os_clock()), "idle");
        ck_assert_str_eq(l->name, "idle");
        ck_assert(!loop_owned(l));
        if (i % 2 == 0) {
            on_loop(l, check_owned, l);
        }
        loop_free(l);
    }
    loop_free(NULL);
    ck_assert_uint_eq(mem_live_blocks(), before);
}
END_TEST

/* ---- posting ---- */

enum { POSTERS = 4, POSTS = 100000 };

struct post {
    struct loop_task task;
    int thread, number;
};

struct poster {
    struct thread thread;
    struct loop *loop;
    struct post *posts;
};

static int post_next[POSTERS]; /* touched on the loop only */

static void post_run(struct loop_task *t)
{
    struct post *p = CONTAINER_OF(t, struct post, task);
    ck_assert_int_eq(p->number, post_next[p->thread]);
    post_next[p->thread]++;
}

static void poster_main(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++) {
        loop_post(p->loop, &p->posts[i].task);
    }
}

START_TEST(posts_of_many_threads_run_once_and_in_order)
{
    struct loop *l = loop_uv_new(os_clock(), "stress");
    struct poster posters[POSTERS];
    memset(post_next, 0, sizeof(post_next));
    for (int t = 0; t < POSTERS; t++) {
        posters[t].loop = l;
        posters[t].posts = MEM_ARRAY(struct post, POSTS);
        for (int i = 0; i < POSTS; i++) {
            posters[t].posts[i] = (struct post){{.run = post_run}, t, i};
        }
    }
    for (int t = 0; t < POSTERS; t++) {
        thread_start(&posters[t].thread, "poster", poster_main, &posters[t]);
    }
    for (int t = 0; t < POSTERS; t++) {
        thread_join(&posters[t].thread);
    }
    loop_free(l); /* runs what is posted */
    for (int t = 0; t < POSTERS; t++) {
        ck_assert_int_eq(post_next[t], POSTS);
        mem_free(posters[t].posts);
    }
}
END_TEST

/* Each side goes to sleep between two posts: a lost wake-up would hang here. */
struct pingpong {
    struct loop_task task;
    struct loop *loops[2];
    int left;
    struct gate done;
};

static void pingpong_run(struct loop_task *t)
{
    struct pingpong *p = CONTAINER_OF(t, struct pingpong, task);
    ck_assert(loop_owned(p->loops[p->left & 1]));
    if (p->left-- == 0) {
        gate_open(&p->done);
        return;
    }
    loop_post(p->loops[p->left & 1], t);
}

START_TEST(no_wake_up_is_lost)
{
    struct pingpong p = {.task = {.run = pingpong_run}, .left = 20000};
    gate_init(&p.done);
    p.loops[0] = loop_uv_new(os_clock(), "ping");
    p.loops[1] = loop_uv_new(os_clock(), "pong");
    loop_post(p.loops[0], &p.task);
    gate_wait(&p.done, 1);
    ck_assert_int_eq(loop_uv_slow_calls(p.loops[0]), 0);
    loop_free(p.loops[0]);
    loop_free(p.loops[1]);
    gate_fini(&p.done);
}
END_TEST

struct again {
    struct loop_task task;
    struct loop_timer timer;
    struct loop *loop;
    int runs;
    bool inside, fired;
    struct gate done;
};

static void again_run(struct loop_task *t)
{
    struct again *a = CONTAINER_OF(t, struct again, task);
    ck_assert(!a->inside); /* a post never runs before the callback has returned */
    if (a->fired) {
        gate_open(&a->done);
        return;
    }
    a->inside = true;
    a->runs++;
    loop_post(a->loop, t);
    a->inside = false;
}

static void again_fired(struct loop_timer *t)
{
    CONTAINER_OF(t, struct again, timer)->fired = true;
}

static void again_start(void *arg)
{
    struct again *a = arg;
    loop_timer_after(a->loop, &a->timer, 5000);
    loop_post(a->loop, &a->task);
}

START_TEST(a_task_that_posts_itself_starves_no_timer)
{
    struct again a = {.task = {.run = again_run}, .timer = {.fired = again_fired}};
    gate_init(&a.done);
    a.loop = loop_uv_new(os_clock(), "again");
    on_loop(a.loop, again_start, &a);
    gate_wait(&a.done, 1);
    ck_assert_int_gt(a.runs, 1);
    loop_free(a.loop);
    gate_fini(&a.done);
}
END_TEST

static void post_twice(void)
{
    struct loop *l = loop_uv_new(os_clock(), "twice");
    static struct loop_task t = {.run = post_run, .posted = 1};
    loop_post(l, &t);
}

START_TEST(posting_twice_is_an_assertion)
{
    char out[4096];
    ck_assert(suite_aborts(post_twice, out, sizeof(out)));
    ck_assert_ptr_nonnull(strstr(out, "!t->posted"));
}
END_TEST

/* ---- timers ---- */

enum { TIMERS = 300 };

struct alarms {
    struct loop *loop;
    struct {
        struct loop_timer timer;
        int64_t due;
        bool fired;
    } a[TIMERS];
    int64_t last_due, late_max;
    int left;
    struct gate done;
};
static struct alarms alarms;

static void alarm_fired(struct loop_timer *t)
{
    size_t i = (size_t)(((char *)t - (char *)&alarms.a[0].timer) / (ptrdiff_t)sizeof(alarms.a[0]));
    int64_t late = loop_now(alarms.loop).us - alarms.a[i].due;
    ck_assert_int_ge(late, 0); /* never early */
    ck_assert(!t->armed && !alarms.a[i].fired);
    ck_assert_int_ge(alarms.a[i].due, alarms.last_due); /* in due order */
    alarms.a[i].fired = true;
    alarms.last_due = alarms.a[i].due;
    alarms.late_max = MAX(alarms.late_max, late);
    if (--alarms.left == 0) {
        gate_open(&alarms.done);
    }
}

static void alarms_start(void *arg)
{
    struct rng *r = arg;
    int64_t now = loop_now(alarms.loop).us + 2000;
    alarms.left = TIMERS;
    for (size_t i = 0; i < TIMERS; i++) {
        alarms.a[i].due = now + rng_between(r, 0, 150000);
        alarms.a[i].timer = (struct loop_timer){.fired = alarm_fired, .name = "alarm"};
        loop_timer_start(alarms.loop, &alarms.a[i].timer, (struct mono){alarms.a[i].due});
        ck_assert(alarms.a[i].timer.armed);
    }
}

START_TEST(timers_are_never_early_and_in_order)
{
    struct rng r;
    rng_seed(&r, 1);
    memset(&alarms, 0, sizeof(alarms));
    gate_init(&alarms.done);
    alarms.loop = loop_uv_new(os_clock(), "alarms");
    on_loop(alarms.loop, alarms_start, &r);
    gate_wait(&alarms.done, 1);
    if (os_getenv("CARILLON_VERBOSE") != NULL) {
        printf("latest timer: %" PRId64 " us\n", alarms.late_max);
    }
    loop_free(alarms.loop);
    gate_fini(&alarms.done);
}
END_TEST

/* Three timers due together: the first stops the second and restarts the third, twice. */
struct trio {
    struct loop *loop;
    struct loop_timer first, second, third, past;
    int third_fired, past_fired;
    struct gate done;
};

static void trio_first(struct loop_timer *t)
{
    struct trio *x = CONTAINER_OF(t, struct trio, first);
    ck_assert(x->second.armed && x->third.armed);
    loop_timer_stop(&x->second);
    ck_assert(!x->second.armed);
    loop_timer_stop(&x->second); /* no effect */
    loop_timer_after(x->loop, &x->third, 1000);
    loop_timer_after(x->loop, &x->third, 2000); /* moves it */
}

static void trio_second(struct loop_timer *t UNUSED)
{
    ck_abort_msg("a stopped timer fired");
}

static void trio_third(struct loop_timer *t)
{
    struct trio *x = CONTAINER_OF(t, struct trio, third);
    x->third_fired++;
    loop_timer_start(x->loop, &x->past, (struct mono){0});
    ck_assert_int_eq(x->past_fired, 0); /* not inside this call */
}

static void trio_past(struct loop_timer *t)
{
    struct trio *x = CONTAINER_OF(t, struct trio, past);
    if (++x->past_fired < 5) {
        loop_timer_start(x->loop, t, (struct mono){-x->past_fired}); /* from its own callback */
    } else {
        gate_open(&x->done);
    }
}

static void trio_start(void *arg)
{
    struct trio *x = arg;
    struct mono due = {loop_now(x->loop).us + 1000};
    loop_timer_start(x->loop, &x->first, due);
    loop_timer_start(x->loop, &x->second, due);
    loop_timer_start(x->loop, &x->third, due);
}

START_TEST(timers_stop_and_move_inside_callbacks)
{
    struct trio x = {.first = {.fired = trio_first},
                     .second = {.fired = trio_second},
                     .third = {.fired = trio_third},
                     .past = {.fired = trio_past}};
    gate_init(&x.done);
    x.loop = loop_uv_new(os_clock(), "trio");
    on_loop(x.loop, trio_start, &x);
    gate_wait(&x.done, 1);
    loop_free(x.loop);
    ck_assert_int_eq(x.third_fired, 1);
    ck_assert_int_eq(x.past_fired, 5);
    gate_fini(&x.done);
}
END_TEST

/* A far timer is armed first; a nearer one must still wake the loop in time. */
struct two {
    struct loop *loop;
    struct loop_timer far, near;
    int left; /* times that the nearer one is still to fire */
    struct gate done;
};

static void two_near(struct loop_timer *t)
{
    struct two *x = CONTAINER_OF(t, struct two, near);
    loop_timer_stop(&x->far);
    gate_open(&x->done);
}

static void two_far(void *arg)
{
    struct two *x = arg;
    loop_timer_after(x->loop, &x->far, US_PER_HOUR * 24 * 365);
}

static void two_start_near(void *arg)
{
    struct two *x = arg;
    loop_timer_after(x->loop, &x->near, 700);
}

START_TEST(a_nearer_timer_moves_the_wake_up)
{
    struct two x = {.far = {.fired = trio_second}, .near = {.fired = two_near}};
    gate_init(&x.done);
    x.loop = loop_uv_new(os_clock(), "two");
    on_loop(x.loop, two_far, &x);
    for (int i = 1; i <= 100; i++) {
        on_loop(x.loop, two_start_near, &x);
        gate_wait(&x.done, i);
        on_loop(x.loop, two_far, &x);
    }
    on_loop(x.loop, two_start_near, &x);
    gate_wait(&x.done, 101);
    loop_free(x.loop);
    gate_fini(&x.done);
}
END_TEST

/* ---- descriptors ---- */

struct piped {
    struct loop *loop;
    struct loop_fd reader, writer;
    char got[64];
    size_t got_size;
    int writable;
    struct gate done;
};

static void piped_read(struct loop_fd *w, int events)
{
    struct piped *x = CONTAINER_OF(w, struct piped, reader);
    ck_assert_int_eq(events & LOOP_READ, LOOP_READ);
    ck_assert(loop_owned(w->loop));
    ssize_t n = read(w->fd, x->got + x->got_size, sizeof(x->got) - x->got_size);
    ck_assert_int_ge(n, 0);
    x->got_size += (size_t)n;
    if (n == 0) { /* the other end is closed */
        loop_fd_stop(w);
        ck_assert_ptr_null(w->impl);
        loop_fd_stop(w); /* no effect */
        gate_open(&x->done);
    }
}

static void piped_write(struct loop_fd *w, int events)
{
    struct piped *x = CONTAINER_OF(w, struct piped, writer);
    ck_assert_int_eq(events, LOOP_WRITE);
    static const char *const words[] = {"ding", "dong", "dang"};
    if (x->writable < 3) {
        ck_assert_int_eq(write(w->fd, words[x->writable], 4), 4);
        x->writable++;
        return;
    }
    loop_fd_stop(w);
    ck_assert_int_eq(close(w->fd), 0); /* at once after the stop */
}

static void piped_start(void *arg)
{
    struct piped *x = arg;
    loop_fd_start(x->loop, &x->reader, LOOP_READ);
    loop_fd_start(x->loop, &x->writer, LOOP_READ);
    loop_fd_start(x->loop, &x->writer, LOOP_WRITE); /* changes the events */
}

START_TEST(descriptors_of_a_pipe)
{
    size_t before = mem_live_blocks();
    for (int round = 0; round < 3; round++) {
        struct piped x = {.reader = {.ready = piped_read}, .writer = {.ready = piped_write}};
        int ends[2];
        ck_assert_int_eq(pipe(ends), 0);
        x.reader.fd = ends[0];
        x.writer.fd = ends[1];
        gate_init(&x.done);
        x.loop = loop_uv_new(os_clock(), "pipe");
        on_loop(x.loop, piped_start, &x);
        gate_wait(&x.done, 1);
        loop_free(x.loop);
        ck_assert_mem_eq(x.got, "dingdongdang", 12);
        ck_assert_uint_eq(x.got_size, 12);
        (void)close(ends[0]);
        gate_fini(&x.done);
    }
    ck_assert_uint_eq(mem_live_blocks(), before);
}
END_TEST

/* The write end of a pipe whose reader is gone reports an error each time, until it is stopped. */
static void broken_ready(struct loop_fd *w, int events)
{
    struct piped *x = CONTAINER_OF(w, struct piped, writer);
    ck_assert_int_eq(events & LOOP_WRITE, LOOP_WRITE);
    if (++x->writable == 3) {
        loop_fd_stop(w);
        gate_open(&x->done);
    }
}

static void broken_start(void *arg)
{
    struct piped *x = arg;
    loop_fd_start(x->loop, &x->writer, LOOP_WRITE);
}

START_TEST(errors_are_reported_as_readiness)
{
    struct piped x = {.writer = {.ready = broken_ready}};
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(close(ends[0]), 0);
    x.writer.fd = ends[1];
    gate_init(&x.done);
    x.loop = loop_uv_new(os_clock(), "broken");
    on_loop(x.loop, broken_start, &x);
    gate_wait(&x.done, 1);
    loop_free(x.loop);
    (void)close(ends[1]);
    gate_fini(&x.done);
}
END_TEST

/* A clock whose every reading is three microseconds after the one before: what the loop computes
 * from two readings may lie on two sides of a deadline. */
struct ticking {
    struct clock clock;
    int64_t us;
};

static struct mono ticking_mono(struct clock *c)
{
    return (struct mono){CONTAINER_OF(c, struct ticking, clock)->us += 3};
}

enum { NEAR_US = 200 };

static void fired_near(struct loop_timer *t)
{
    struct two *x = CONTAINER_OF(t, struct two, near);
    if (--x->left > 0) {
        loop_timer_after(x->loop, t, x->left);
    } else {
        gate_open(&x->done);
    }
}

static void near_start(void *arg)
{
    struct two *x = arg;
    loop_timer_after(x->loop, &x->near, x->left);
}

START_TEST(a_deadline_that_passes_while_the_wake_up_is_set_is_kept)
{
    struct ticking clock = {.clock = {.mono = ticking_mono}};
    struct two x = {.near = {.fired = fired_near}, .left = NEAR_US};
    gate_init(&x.done);
    x.loop = loop_uv_new(&clock.clock, "ticking");
    on_loop(x.loop, near_start, &x);
    gate_wait(&x.done, 1);
    loop_free(x.loop);
    gate_fini(&x.done);
}
END_TEST

/* ---- slow callbacks ---- */

struct collected {
    struct log_sink sink;
    char line[512];
    int lines;
};

static void collect_line(struct log_sink *s, enum log_level lvl, const char *line, size_t size)
{
    struct collected *c = CONTAINER_OF(s, struct collected, sink);
    ck_assert_int_eq(lvl, LOG_WARN);
    size = MIN(size, sizeof(c->line) - 1);
    memcpy(c->line, line, size);
    c->line[size] = '\0';
    c->lines++;
}

static void be_slow(void *arg)
{
    struct loop *l = arg;
    int64_t until = loop_now(l).us + 60000;
    while (loop_now(l).us < until) {
    }
}

START_TEST(slow_callbacks_are_reported)
{
    struct collected c = {.sink = {.write = collect_line}};
    struct loop *l = loop_uv_new(os_clock(), "slow");
    log_set_sink(&c.sink);
    on_loop(l, be_slow, l);
    while (loop_uv_calls(l) == 0) { /* counted at the end of the turn */
        on_loop(l, check_owned, l);
    }
    ck_assert_int_ge(loop_uv_slow_calls(l), 1);
    ck_assert_int_ge(loop_uv_busy_us(l), 60000);
    loop_free(l);
    log_set_sink(NULL);
    ck_assert_int_ge(c.lines, 1);
    ck_assert_ptr_nonnull(strstr(c.line, "loop=slow callback=call ms="));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {free_while_idle,
                                  posts_of_many_threads_run_once_and_in_order,
                                  no_wake_up_is_lost,
                                  a_task_that_posts_itself_starves_no_timer,
                                  posting_twice_is_an_assertion,
                                  timers_are_never_early_and_in_order,
                                  timers_stop_and_move_inside_callbacks,
                                  a_nearer_timer_moves_the_wake_up,
                                  a_deadline_that_passes_while_the_wake_up_is_set_is_kept,
                                  descriptors_of_a_pipe,
                                  errors_are_reported_as_readiness,
                                  slow_callbacks_are_reported,
                                  NULL};
    return suite_run("loop_uv", tests);
}
