#include "base/prelude.h"

#include "base/os.h"
#include "base/thread.h"
#include "tests/unit/base/suite.h"

struct shared {
    struct mutex m;
    struct cond c;
    int64_t count;
    int turn, waiting;
    uint64_t self[4];
};
static struct shared s;

static void begin(void)
{
    memset(&s, 0, sizeof(s));
    mutex_init(&s.m);
    cond_init(&s.c);
}

static void end(void)
{
    cond_fini(&s.c);
    mutex_fini(&s.m);
}

static void count_up(void *arg)
{
    s.self[*(int *)arg] = thread_self();
    for (int i = 0; i < 50000; i++) {
        mutex_lock(&s.m);
        s.count++;
        mutex_unlock(&s.m);
    }
}

START_TEST(mutex_excludes)
{
    static int number[] = {0, 1, 2, 3};
    struct thread t[4];
    begin();
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_start(&t[i], "a name longer than the kernel's limit", count_up, &number[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_join(&t[i]);
    }
    ck_assert_int_eq(s.count, 200000);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        ck_assert_uint_ne(s.self[i], thread_self());
        for (size_t k = 0; k < i; k++) {
            ck_assert_uint_ne(s.self[i], s.self[k]);
        }
    }
    ck_assert_uint_eq(thread_self(), thread_self());
    end();
}
END_TEST

static void take_turns(void *arg)
{
    int mine = *(int *)arg;
    mutex_lock(&s.m);
    for (int i = 0; i < 2000; i++) {
        while (s.turn != mine) {
            cond_wait(&s.c, &s.m);
        }
        s.turn = 1 - mine;
        s.count++;
        cond_signal(&s.c);
    }
    mutex_unlock(&s.m);
}

START_TEST(signals_arrive)
{
    static int number[] = {0, 1};
    struct thread t[2];
    begin();
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_start(&t[i], "turns", take_turns, &number[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_join(&t[i]);
    }
    ck_assert_int_eq(s.count, 4000);
    end();
}
END_TEST

static void wait_for_turn(void *arg UNUSED)
{
    mutex_lock(&s.m);
    s.waiting++;
    cond_broadcast(&s.c);
    while (s.turn == 0) {
        ck_assert(cond_wait_us(&s.c, &s.m, INT64_C(60) * US_PER_S));
    }
    s.count++;
    mutex_unlock(&s.m);
}

START_TEST(broadcast_wakes_all)
{
    struct thread t[4];
    begin();
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_start(&t[i], "waiter", wait_for_turn, NULL);
    }
    mutex_lock(&s.m);
    while (s.waiting < 4) {
        cond_wait(&s.c, &s.m);
    }
    s.turn = 1;
    cond_broadcast(&s.c);
    mutex_unlock(&s.m);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_join(&t[i]);
    }
    ck_assert_int_eq(s.count, 4);
    end();
}
END_TEST

START_TEST(waiting_ends_in_time_and_not_before)
{
    static const int64_t waits[] = {-5, 0, 1, 900, 20000};
    begin();
    mutex_lock(&s.m);
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        int64_t from = clock_mono(os_clock()).us, until = from + waits[i];
        bool signalled = true;
        while (signalled) { /* a wake-up without cause is allowed */
            signalled = cond_wait_us(&s.c, &s.m, until - clock_mono(os_clock()).us);
        }
        ck_assert_int_ge(clock_mono(os_clock()).us, until);
    }
    mutex_unlock(&s.m);
    end();
}
END_TEST

static void set_latch(void *arg)
{
    latch_set(arg, 7);
}

START_TEST(latches)
{
    struct latch l;
    struct thread t;
    latch_init(&l);
    int64_t from = clock_mono(os_clock()).us;
    ck_assert_int_eq(latch_wait(&l, -1), 0);
    ck_assert_int_eq(latch_wait(&l, 5000), 0);
    ck_assert_int_ge(clock_mono(os_clock()).us, from + 5000);
    thread_start(&t, "latch", set_latch, &l);
    ck_assert_int_eq(latch_wait(&l, INT64_MAX), 7);
    thread_join(&t);
    ck_assert_int_eq(latch_wait(&l, 0), 7); /* it stays */
    latch_fini(&l);
}
END_TEST

static void look_at_mask(void *arg)
{
    sigset_t now;
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
    *(bool *)arg = sigismember(&now, SIGTERM) == 1 && sigismember(&now, SIGINT) == 1;
}

START_TEST(signals_are_the_main_threads)
{
    bool blocked = false;
    struct thread t;
    thread_start(&t, "mask", look_at_mask, &blocked);
    thread_join(&t);
    ck_assert(blocked);
    look_at_mask(&blocked);
    ck_assert(!blocked);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {mutex_excludes,
                                  signals_arrive,
                                  broadcast_wakes_all,
                                  waiting_ends_in_time_and_not_before,
                                  latches,
                                  signals_are_the_main_threads,
                                  NULL};
    return suite_run("thread", tests);
}
