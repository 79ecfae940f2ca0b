/* The pool for calls that block: work elsewhere, results on the loop, bounds, giving up. */
#include "base/prelude.h"

#include "base/os.h"
#include "base/pool.h"
#include "base/thread.h"
#include "tests/unit/base/suite.h"

enum { JOBS = 100, WAIT_US = 20 * US_PER_S, LONG_US = 3600 * (int64_t)US_PER_S };

struct job {
    struct pool_job job;
    struct latch begun, may_end, over;
    uint64_t worked_on, done_on;
    bool dropped;
};

static struct loop *loop;
static struct pool *pool;
static struct job jobs[JOBS];

static void work(struct pool_job *j)
{
    struct job *job = CONTAINER_OF(j, struct job, job);
    job->worked_on = thread_self();
    latch_set(&job->begun, 1);
    (void)latch_wait(&job->may_end, WAIT_US);
}

static void done(struct pool_job *j)
{
    struct job *job = CONTAINER_OF(j, struct job, job);
    ASSERT(loop_owned(loop));
    job->done_on = thread_self();
    latch_set(&job->over, 1);
}

static void dropped(struct pool_job *j)
{
    struct job *job = CONTAINER_OF(j, struct job, job);
    job->dropped = true;
    latch_set(&job->over, 1);
}

static void begin(uint32_t threads, int64_t keep_us)
{
    loop = loop_uv_new(os_clock(), "test");
    pool = pool_new(threads, keep_us);
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] =
            (struct job){.job = {.work = work, .loop = loop, .done = done, .dropped = dropped}};
        latch_init(&jobs[i].begun);
        latch_init(&jobs[i].may_end);
        latch_init(&jobs[i].over);
    }
}

static void end(void)
{
    ck_assert(pool_free(pool, WAIT_US));
    loop_free(loop);
    for (size_t i = 0; i < JOBS; i++) {
        latch_fini(&jobs[i].begun);
        latch_fini(&jobs[i].may_end);
        latch_fini(&jobs[i].over);
    }
}

static void submit(size_t i)
{
    ck_assert_int_eq(pool_submit(pool, &jobs[i].job), ERR_OK);
}

static void await(struct latch *l)
{
    ck_assert_int_eq(latch_wait(l, WAIT_US), 1);
}

START_TEST(work_elsewhere)
{
    begin(3, LONG_US);
    for (size_t i = 0; i < JOBS; i++) {
        latch_set(&jobs[i].may_end, 1);
        submit(i);
    }
    for (size_t i = 0; i < JOBS; i++) {
        await(&jobs[i].over);
        ck_assert(!jobs[i].dropped && jobs[i].worked_on != thread_self());
        ck_assert_uint_ne(jobs[i].done_on, jobs[i].worked_on);
        ck_assert_uint_eq(jobs[i].done_on, jobs[0].done_on);
    }
    ck_assert_uint_le(pool_threads(pool), 3);
    end();
}
END_TEST

/* Two block, the third waits; a free thread takes it. */
START_TEST(threads_are_bounded)
{
    begin(2, LONG_US);
    for (size_t i = 0; i < 3; i++) {
        submit(i);
    }
    await(&jobs[0].begun);
    await(&jobs[1].begun);
    ck_assert_uint_eq(pool_threads(pool), 2);
    ck_assert_int_eq(latch_wait(&jobs[2].begun, 20 * US_PER_MS), 0);
    latch_set(&jobs[0].may_end, 1);
    await(&jobs[2].begun);
    latch_set(&jobs[1].may_end, 1);
    latch_set(&jobs[2].may_end, 1);
    for (size_t i = 0; i < 3; i++) {
        await(&jobs[i].over);
    }
    end();
}
END_TEST

/* keepAliveSeconds: an idle thread ends, and the next job makes a new one. */
START_TEST(idle_threads_end)
{
    begin(4, US_PER_MS);
    for (size_t i = 0; i < 4; i++) {
        latch_set(&jobs[i].may_end, 1);
        submit(i);
        await(&jobs[i].over);
        struct latch never;
        latch_init(&never);
        for (int k = 0; k < 2000 && pool_threads(pool) > 0; k++) {
            (void)latch_wait(&never, US_PER_MS);
        }
        latch_fini(&never);
        ck_assert_uint_eq(pool_threads(pool), 0);
    }
    end();
}
END_TEST

static unsigned extras_dropped;

static void extra_dropped(struct pool_job *j)
{
    (void)j;
    extras_dropped++;
}

START_TEST(queue_is_bounded)
{
    static struct pool_job extra[POOL_QUEUE_MAX];
    begin(1, LONG_US);
    submit(0);
    await(&jobs[0].begun);
    for (size_t i = 0; i < POOL_QUEUE_MAX; i++) {
        extra[i] =
            (struct pool_job){.work = work, .loop = loop, .done = done, .dropped = extra_dropped};
        ck_assert_int_eq(pool_submit(pool, &extra[i]), ERR_OK);
    }
    ck_assert_int_eq(pool_submit(pool, &jobs[1].job), ERR_LIMIT);
    for (size_t i = 0; i < POOL_QUEUE_MAX; i++) {
        ck_assert(pool_drop(pool, &extra[i]));
    }
    ck_assert_uint_eq(extras_dropped, POOL_QUEUE_MAX);
    latch_set(&jobs[0].may_end, 1);
    await(&jobs[0].over);
    end();
}
END_TEST

/* Given up before it began, while it ran, after it was done. */
START_TEST(giving_up)
{
    begin(1, LONG_US);
    submit(0);
    await(&jobs[0].begun);
    submit(1);
    ck_assert(pool_drop(pool, &jobs[1].job));
    ck_assert(jobs[1].dropped);
    ck_assert(pool_drop(pool, &jobs[0].job));
    ck_assert(!jobs[0].dropped); /* it still runs */
    latch_set(&jobs[0].may_end, 1);
    await(&jobs[0].over);
    ck_assert(jobs[0].dropped && jobs[0].done_on == 0);
    latch_set(&jobs[2].may_end, 1);
    submit(2);
    await(&jobs[2].over);
    ck_assert(!pool_drop(pool, &jobs[2].job));
    ck_assert(!jobs[2].dropped);
    end();
}
END_TEST

/* A call that never comes back does not hold up the end. */
START_TEST(ending_is_bounded)
{
    begin(1, LONG_US);
    submit(0);
    await(&jobs[0].begun);
    ck_assert(pool_drop(pool, &jobs[0].job));
    ck_assert(!pool_free(pool, 5 * US_PER_MS));
    latch_set(&jobs[0].may_end, 1);
    await(&jobs[0].over);
    end();
    ck_assert(pool_free(NULL, 0));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {work_elsewhere,
                                  threads_are_bounded,
                                  idle_threads_end,
                                  queue_is_bounded,
                                  giving_up,
                                  ending_is_bounded,
                                  NULL};
    return suite_run("pool", tests);
}
