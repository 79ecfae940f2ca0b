/* Tasks meet workers, on a loop of the simulator. */
#include "base/prelude.h"

#include "tests/unit/base/suite.h"

#include "base/limits.h"
#include "base/mem.h"
#include "scheduler/dispatch.h"
#include "tests/sim/world.h"

enum { ANSWERS_MAX = 64, LEASE_US = 100 * US_PER_S };

static struct world *world;
static struct host *host;
static struct loop *loop;
static struct dispatch *d;
static struct storeclock store_time;
static struct dispatch_handler handler;
static struct rng rng;
static size_t room; /* of every poll's answer */
/* what happened */
static uint32_t answers, granted, timeouts, heartbeats, hydrations, refills;
static uint64_t granted_seq[ANSWERS_MAX];
static uint64_t last_timeout;
static bool busy; /* no more facts can be taken */
static struct task_token asked[ANSWERS_MAX];

static bool on_timed_out(struct dispatch_handler *h, const struct task_token *t, bool heartbeat)
{
    (void)h;
    if (busy) {
        return false;
    }
    last_timeout = t->ref.seq;
    timeouts += !heartbeat;
    heartbeats += heartbeat;
    return true;
}
static void on_hydrate(struct dispatch_handler *h, const struct task_token *tokens, uint32_t len)
{
    (void)h;
    for (uint32_t i = 0; i < len; i++) {
        asked[hydrations++ % ANSWERS_MAX] = tokens[i];
    }
}
static void on_refill(struct dispatch_handler *h)
{
    (void)h;
    refills++;
}
static void on_answer(struct dispatch_poll *p, struct dtask **v, uint32_t len)
{
    (void)p;
    answers++;
    for (uint32_t i = 0; i < len; i++) {
        granted_seq[granted++ % ANSWERS_MAX] = v[i]->t.token.ref.seq;
        ck_assert(v[i]->t.has_input);
    }
}

/* Test bodies run as code of the loop. */
static void (*body)(void);
static bool body_done;
static struct loop_task body_task;
static void body_run(struct loop_task *t)
{
    (void)t;
    body();
    body_done = true;
}
static void body_post(struct host *h)
{
    (void)h;
    body_task = (struct loop_task){.run = body_run, .name = "test"};
    loop_post(loop, &body_task);
}
static void run(void (*f)(void))
{
    body = f;
    body_done = false;
    host_run(host, body_post);
    while (!body_done && world_step(world, INT64_MAX)) {
    }
    ck_assert(body_done);
}
static void pass(int64_t us)
{
    world_run(world, world->now_us + us);
}

static uint32_t tasks_max;
static void make(void)
{
    struct mono now = loop_now(loop);
    storeclock_init(&store_time);
    storeclock_sample(&store_time, now, now, world_wall(world));
    d = dispatch_new(&(struct dispatch_config){.loop = loop,
                                               .clock = &store_time,
                                               .handler = &handler,
                                               .lease_us = LEASE_US,
                                               .tasks_max = tasks_max});
}
static void boot(struct host *h)
{
    loop = h->factory.make(&h->factory, "front");
}
static void setup(void)
{
    busy = false;
    room = MESSAGE_SIZE_MAX;
    answers = granted = timeouts = heartbeats = hydrations = refills = 0;
    handler = (struct dispatch_handler){.timed_out = on_timed_out,
                                        .hydrate = on_hydrate,
                                        .refill = on_refill};
    rng_seed(&rng, 7);
    world = world_new(7, false, false);
    host = host_new(world, "node");
    host->boot = boot;
    loop = NULL;
    host_boot(host);
    while (loop == NULL && world_step(world, INT64_MAX)) {
    }
    run(make);
}
static void teardown(void)
{
    world_free(world);
}

static struct dispatch_task task(uint64_t seq, const char *queue)
{
    struct dispatch_task t = {.tenant = 1,
                              .queue = str_of(queue),
                              .workflow = STR("w"),
                              .execution_name = STR("n"),
                              .state = STR("S"),
                              .has_input = true,
                              .input = STR("{}")};
    struct rng fixed;
    rng_seed(&fixed, 99);
    t.token.ref.exec = exec_id_make(0, 5, 1, (struct wall){1}, &fixed);
    t.token.ref.seq = seq;
    t.token.ref.attempt = 1;
    t.token.nonce = seq * 1000 + 1;
    return t;
}
static void add(uint64_t seq, const char *queue)
{
    struct dispatch_task t = task(seq, queue);
    dispatch_add(d, &t);
}
static struct dispatch_session *hello(uint64_t instance, const struct task_token *held, uint32_t n)
{
    return dispatch_hello(d, instance, 1, STR("worker"), 100 + instance, held, n);
}
static struct dispatch_poll polls[8];
static struct dispatch_poll_at places[8];
static void ask(int i, struct dispatch_session *s, const char *queue, uint32_t capacity,
                int64_t wait_us)
{
    struct str q = str_of(queue);
    polls[i] = (struct dispatch_poll){.session = s,
                                      .capacity = capacity,
                                      .closing = wait_us == 0,
                                      .room = &room,
                                      .at = &places[i],
                                      .answer = on_answer};
    dispatch_poll(d, &polls[i], &q, 1, (struct mono){loop_now(loop).us + wait_us});
}
static struct dispatch_stats stats(void)
{
    struct dispatch_stats s;
    dispatch_stats(d, &s);
    return s;
}

/* A worker that was told its attempt is over holds it no more, known here or not; another attempt in the
 * same place is not touched. */
static void forget_body(void)
{
    struct dispatch_task t = task(1, "q");
    (void)hello(1, &t.token, 1); /* before the table was read */
    dispatch_forget(d, &t.token);
    dispatch_found(d, &t, (struct mono){loop_now(loop).us + US_PER_S});
    ck_assert_uint_eq(stats().granted, 0);
    ck_assert_uint_eq(stats().confirming, 1);
    struct task_token other = t.token;
    other.nonce++;
    dispatch_forget(d, &other);
    ck_assert_uint_eq(stats().tasks, 1);
    dispatch_forget(d, &t.token);
    ck_assert_uint_eq(stats().tasks, 0);
}

/* Submitted: out of the worker's hands, out of every queue, and only as long as a deadline runs. */
static void submit_body(void)
{
    struct dispatch_session *s = hello(1, NULL, 0);
    struct dispatch_task t = task(1, "q"), plain = task(2, "q");
    t.heartbeat_us = 5 * US_PER_S;
    dispatch_add(d, &t);
    dispatch_add(d, &plain);
    ask(0, s, "q", 2, 0);
    dispatch_flush(d);
    ck_assert_uint_eq(stats().granted, 2);
    dispatch_submitted(d, &t.token);
    dispatch_submitted(d, &t.token);
    dispatch_submitted(d, &plain.token); /* no deadline: nothing to look after */
    ck_assert_uint_eq(stats().waiting, 1);
    ck_assert_uint_eq(stats().tasks, 1);
    dispatch_let_go(d, &t.token); /* its worker's answer was acknowledged */
    dispatch_give_back(d, s, &t.token);
    ck_assert_uint_eq(stats().waiting, 1);
    (void)hello(1, &t.token, 1); /* and it says that it holds it still */
    ck_assert_uint_eq(stats().waiting, 1);
    ck_assert_uint_eq(stats().granted, 0);
    dispatch_lost(d, s, 101);
}
static void still_waiting_body(void)
{
    ck_assert_uint_eq(stats().sessions, 0);
    ck_assert_uint_eq(stats().ready, 0); /* the session was lost: it does not go out again */
    ck_assert_uint_eq(stats().waiting, 1);
    ck_assert_uint_gt(heartbeats, 0);
    struct dispatch_task t = task(1, "q");
    dispatch_remove(d, &t.token);
    ck_assert_uint_eq(stats().tasks, 0);
}
/* Known as ready, then told by the table or by the turn loop that it waits; found so by a new owner. */
static void told_waiting_body(void)
{
    struct dispatch_session *s = hello(1, NULL, 0);
    struct dispatch_task t[4];
    for (uint64_t i = 0; i < 4; i++) {
        t[i] = task(i + 1, "q");
        t[i].timeout_at.us = world_wall(world).us + 60 * US_PER_S;
    }
    granted = 0;
    dispatch_add(d, &t[0]);
    dispatch_add(d, &t[1]);
    (void)hello(2, &t[3].token, 1); /* claims what turns out to be submitted */
    for (uint64_t i = 0; i < 4; i++) {
        t[i].waits = true;
        if (i % 2 == 0) {
            dispatch_add(d, &t[i]);
        } else {
            dispatch_found(d, &t[i], loop_now(loop));
        }
    }
    ask(0, s, "q", 9, 0);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, 0);
    ck_assert_uint_eq(stats().waiting, 4);
    ck_assert_uint_eq(stats().confirming, 0);
    dispatch_hydrated(d, &t[1].token, &t[1], true); /* asked for before */
    ck_assert_uint_eq(stats().ready, 0);
    ck_assert_int_eq(dispatch_heartbeat(d, NULL, &t[2].token), ERR_OK);
    dispatch_forget(d, &t[2].token); /* over, by token */
    ck_assert_uint_eq(stats().waiting, 3);
    ck_assert_uint_eq(stats().bytes, 0);
}
/* A worker is connected and says nothing of what it was given, whatever else it does. */
static struct dispatch_session *silent, *other;
static void lease_body(void)
{
    silent = hello(1, NULL, 0);
    other = hello(2, NULL, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        add(i, "q");
    }
    struct dispatch_task t = task(4, "q");
    t.heartbeat_us = 3 * LEASE_US; /* has a clock of its own */
    dispatch_add(d, &t);
    ask(0, silent, "q", 4, 0);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, 4);
}
static void named_body(void)
{
    struct dispatch_task t = task(2, "q");
    ck_assert_int_eq(dispatch_heartbeat(d, silent, &t.token), ERR_OK);
    ask(1, other, "q", 1, 500 * US_PER_S);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, 4);
}
static void filled_again(uint64_t seq)
{
    struct dispatch_task t = task(seq, "q");
    dispatch_hydrated(d, &t.token, &t, false);
    dispatch_flush(d);
}
static void out_again_body(void)
{
    ck_assert_uint_eq(stats().ready, 2); /* 1 and 3; 2 was named, 4 needs no lease */
    ck_assert_uint_eq(hydrations, 1);
    filled_again(asked[0].ref.seq);
    ck_assert_uint_eq(granted, 5); /* the other has one of them */
    /* It was there after all: what nobody has yet is its own again. */
    struct dispatch_task t = task(4 - asked[0].ref.seq, "q");
    ck_assert_int_eq(dispatch_heartbeat(d, silent, &t.token), ERR_OK);
    ck_assert_uint_eq(stats().ready, 0);
    t = task(asked[0].ref.seq, "q");
    ck_assert_int_eq(dispatch_heartbeat(d, silent, &t.token), ERR_OK); /* open; the other has it */
    dispatch_give_back(d, other, &t.token);
    ck_assert_uint_eq(stats().ready, 1);
    dispatch_remove(d, &t.token);
}
START_TEST(what_a_worker_does_not_name_goes_out_again)
{
    run(lease_body);
    pass(LEASE_US / 2);
    run(named_body);
    pass(LEASE_US * 3 / 4);
    run(out_again_body);
    pass(LEASE_US / 2); /* since then it has named 2 no more */
    ck_assert_uint_eq(stats().ready, 1);
    ck_assert_uint_eq(heartbeats, 0);
    pass(LEASE_US * 3);
    ck_assert_uint_eq(heartbeats, 1); /* the fourth */
}
END_TEST

/* The node itself was stopped: nobody was silent, it was deaf. */
START_TEST(silence_counts_only_while_somebody_listens)
{
    run(lease_body);
    host_pause(host, 2 * LEASE_US);
    pass(2 * LEASE_US + US_PER_S);
    ck_assert_uint_eq(stats().ready, 0);
    pass(LEASE_US);
    ck_assert_uint_eq(stats().ready, 3);
}
END_TEST

/* An instance is a number of the worker's choice: another tenant's is another worker. */
static void tenants_body(void)
{
    struct dispatch_task t = task(1, "q"), late = task(2, "q");
    struct dispatch_session *mine = hello(7, NULL, 0);
    dispatch_add(d, &t);
    ask(0, mine, "q", 1, 0);
    dispatch_flush(d);
    struct dispatch_session *theirs = dispatch_hello(d, 7, 2, STR("worker"), 200, &t.token, 1);
    ck_assert_ptr_ne(mine, theirs);
    ck_assert_uint_eq(dispatch_session_conn(d, 7, 1), 107);
    ck_assert_uint_eq(dispatch_session_conn(d, 7, 2), 200);
    ck_assert_uint_eq(dispatch_session_conn(d, 7, 3), 0);
    ck_assert_uint_eq(stats().granted, 1);
    dispatch_give_back(d, theirs, &t.token);
    ck_assert_uint_eq(stats().granted, 1);
    dispatch_hold(d, theirs, &late); /* of tenant 1 */
    ck_assert_uint_eq(stats().granted, 1);
    dispatch_hold(d, mine, &late);
    ck_assert_uint_eq(stats().granted, 2);
    dispatch_add(d, &late); /* found meanwhile */
    ck_assert_uint_eq(stats().tasks, 2);
    ck_assert_uint_eq(stats().bytes, 0);
}
START_TEST(a_session_is_of_one_tenant)
{
    run(tenants_body);
}
END_TEST

static void free_body(void)
{
    dispatch_free(d);
}
START_TEST(what_is_submitted_waits_and_goes_out_no_more)
{
    run(submit_body);
    pass(DISPATCH_SESSION_GRACE_US + 6 * US_PER_S);
    run(still_waiting_body);
    run(told_waiting_body);
    pass(61 * US_PER_S);
    ck_assert_uint_eq(timeouts, 3);
    run(free_body);
}
END_TEST

static void fifo_body(void)
{
    struct dispatch_session *s = hello(1, NULL, 0);
    for (uint64_t i = 1; i <= 5; i++) {
        add(i, "q");
    }
    add(6, "other");
    dispatch_flush(d);
    ask(0, s, "q", 3, 0);
    ask(1, s, "q", 10, 0);
    dispatch_flush(d);
    ck_assert_uint_eq(answers, 2);
    ck_assert_uint_eq(granted, 5);
    for (uint64_t i = 0; i < 5; i++) {
        ck_assert_uint_eq(granted_seq[i], i + 1);
    }
    ck_assert_uint_eq(stats().ready, 1);
    ck_assert_uint_eq(stats().granted, 5);
}
START_TEST(first_come_first_served_by_queue)
{
    run(fifo_body);
}
END_TEST

static void wait_body(void)
{
    struct dispatch_session *s = hello(1, NULL, 0);
    ask(0, s, "q", 1, 5 * US_PER_S);
    ask(1, s, "q", 1, 9 * US_PER_S);
    dispatch_flush(d);
    ck_assert_uint_eq(answers, 0);
    add(1, "q");
    dispatch_flush(d);
    ck_assert_uint_eq(answers, 1);
    ck_assert(!polls[0].active && polls[1].active);
}
START_TEST(a_long_poll_gets_the_task_or_its_time)
{
    run(wait_body);
    pass(10 * US_PER_S);
    ck_assert_uint_eq(answers, 2);
    ck_assert_uint_eq(granted, 1);
    ck_assert_uint_eq(stats().polls, 0);
}
END_TEST

static void twice_body(void)
{
    add(1, "q");
    add(1, "q");
    dispatch_flush(d);
    ck_assert_uint_eq(stats().tasks, 1);
    struct dispatch_task t = task(1, "q");
    dispatch_remove(d, &t.token);
    dispatch_remove(d, &t.token);
    ck_assert_uint_eq(stats().tasks, 0);
    ck_assert_uint_eq(stats().bytes, 0);
}
START_TEST(known_tasks_are_not_added_twice)
{
    run(twice_body);
}
END_TEST

static struct dispatch_session *lost_session;
static void lost_body(void)
{
    lost_session = hello(1, NULL, 0);
    add(1, "q");
    add(2, "q");
    ask(0, lost_session, "q", 2, 0);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, 2);
    dispatch_lost(d, lost_session, 101);
}
static void back_body(void)
{
    struct dispatch_task t = task(2, "q");
    struct dispatch_session *s = hello(1, &t.token, 1);
    ck_assert_ptr_eq(s, lost_session);
    ck_assert_uint_eq(stats().granted, 1);
    ck_assert_uint_eq(stats().ready, 1);
}
START_TEST(a_worker_that_comes_back_keeps_what_it_lists)
{
    run(lost_body);
    pass(DISPATCH_SESSION_GRACE_US / 2);
    run(back_body);
    pass(DISPATCH_SESSION_GRACE_US * 2);
    ck_assert_uint_eq(stats().granted, 1);
}
END_TEST
START_TEST(a_worker_that_stays_away_loses_its_tasks)
{
    run(lost_body);
    pass(DISPATCH_SESSION_GRACE_US + US_PER_S);
    ck_assert_uint_eq(stats().granted, 0);
    ck_assert_uint_eq(stats().ready, 2);
    ck_assert_uint_eq(stats().sessions, 0);
}
END_TEST

static void found(uint64_t seq)
{
    struct dispatch_task t = task(seq, "q");
    t.has_input = false;
    t.input = t.workflow = t.execution_name = t.state = STR_NONE;
    dispatch_found(d, &t, (struct mono){loop_now(loop).us + 5 * US_PER_S});
}
static void confirm_body(void)
{
    struct dispatch_task early = task(1, "q"), late = task(2, "q");
    struct dispatch_session *s = hello(1, &early.token, 1); /* before the table was read */
    found(1);
    found(2);
    found(3);
    hello(2, &late.token, 1); /* after */
    ask(0, s, "q", 5, 20 * US_PER_S);
    dispatch_flush(d);
    ck_assert_uint_eq(stats().granted, 2);
    ck_assert_uint_eq(stats().confirming, 1);
    ck_assert_uint_eq(granted, 0);
}
/* What the table says may be over by the time it is heard: a heartbeat has to ask the execution. */
static void hearsay_body(void)
{
    struct dispatch_task early = task(1, "q"), late = task(2, "q"), third = task(3, "q");
    struct dispatch_session *s = hello(1, &early.token, 1);
    found(1);
    found(2);
    found(3);
    ck_assert_uint_eq(stats().granted, 1);
    ck_assert_int_eq(dispatch_heartbeat(d, s, &early.token), ERR_STALE);
    ck_assert_int_eq(dispatch_heartbeat(d, s, &late.token), ERR_STALE);
    dispatch_hold(d, s, &early); /* it was asked */
    ck_assert_int_eq(dispatch_heartbeat(d, s, &early.token), ERR_OK);
    dispatch_hold(d, s, &late);
    ck_assert_uint_eq(stats().granted, 2);
    dispatch_add(d, &third); /* a turn says so */
    ck_assert_int_eq(dispatch_heartbeat(d, s, &third.token), ERR_OK);
    ck_assert_uint_eq(stats().granted, 3);
    ck_assert_uint_eq(stats().confirming, 0);
}
START_TEST(what_the_table_says_is_hearsay)
{
    run(hearsay_body);
}
END_TEST

/* An execution that cannot be read now keeps nobody waiting but itself. */
static void late_body(void)
{
    struct dispatch_session *s = hello(1, NULL, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        struct dispatch_task t = task(i, "q");
        t.has_input = false;
        dispatch_found(d, &t, (struct mono){0});
    }
    ask(0, s, "q", 3, 60 * US_PER_S);
    dispatch_flush(d);
    ck_assert_uint_eq(hydrations, 3);
    struct dispatch_task t = task(2, "q");
    dispatch_hydrated(d, &t.token, &t, false);
    t = task(1, "q");
    dispatch_hydrate_late(d, &t.token);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, 0); /* the third is about to come */
    t = task(3, "q");
    dispatch_hydrated(d, &t.token, &t, false);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, 2);
    ck_assert_uint_eq(stats().ready, 1);
    ask(1, s, "q", 3, 60 * US_PER_S);
    dispatch_flush(d);
    ck_assert_uint_eq(hydrations, 3); /* it is not asked for again */
    t = task(1, "q");
    dispatch_hydrated(d, &t.token, &t, true);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, 3);
    ck_assert_uint_eq(stats().ready, 0);
}
START_TEST(an_input_that_comes_late)
{
    run(late_body);
}
END_TEST

static void filled_body(void)
{
    struct dispatch_task t = task(3, "q");
    dispatch_hydrated(d, &t.token, &t, false);
    dispatch_flush(d);
}
START_TEST(found_tasks_wait_for_confirmation)
{
    run(confirm_body);
    pass(6 * US_PER_S);
    ck_assert_uint_eq(hydrations, 1);
    ck_assert_uint_eq(asked[0].ref.seq, 3);
    run(filled_body);
    ck_assert_uint_eq(granted, 1);
    ck_assert_uint_eq(granted_seq[0], 3);
}
END_TEST

static void deadline_body(void)
{
    struct dispatch_session *s = hello(1, NULL, 0);
    struct dispatch_task t = task(1, "q");
    t.timeout_at.us = world_wall(world).us + 3 * US_PER_S;
    dispatch_add(d, &t);
    t = task(2, "q");
    t.heartbeat_us = 2 * US_PER_S;
    dispatch_add(d, &t);
    ask(0, s, "q", 2, 0);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, 2);
}
static void beat_body(void)
{
    struct dispatch_task t = task(2, "q");
    ck_assert_int_eq(dispatch_heartbeat(d, NULL, &t.token), ERR_OK);
    t.token.nonce++;
    ck_assert_int_eq(dispatch_heartbeat(d, NULL, &t.token), ERR_STALE);
}
START_TEST(deadlines_of_attempts)
{
    run(deadline_body);
    pass(1500 * US_PER_MS);
    run(beat_body);
    pass(1000 * US_PER_MS);
    ck_assert_uint_eq(heartbeats, 0);
    pass(1200 * US_PER_MS);
    ck_assert_uint_eq(heartbeats, 1);
    ck_assert_uint_eq(timeouts, 1);
}
END_TEST

/* ---- more than there is memory for ---- */

static void small(void)
{
    dispatch_free(d);
    tasks_max = 16;
    make();
    tasks_max = 0;
}

/* The table, as the scans of "refill" see it. */
static void scan(const char *queue, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++) {
        struct dispatch_task t = task(i, queue);
        t.has_input = false;
        dispatch_found(d, &t, (struct mono){0});
    }
}

static struct dispatch_session *any;
static void backlog_body(void)
{
    any = hello(1, NULL, 0);
    for (uint64_t i = 1; i <= 100; i++) {
        add(i, "long");
    }
    dispatch_flush(d);
    ck_assert_uint_eq(stats().tasks, 8); /* half of all: there is room for others */
    ck_assert(stats().overflow);
    ck_assert_uint_eq(refills, 0); /* nobody asks */
    for (uint64_t i = 0; i < 20; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "q%d", (int)i % 4);
        add(200 + i, name);
    }
    dispatch_flush(d);
    ck_assert_uint_le(stats().tasks, 16);
    for (int i = 0; i < 4; i++) { /* each has some, whoever came first */
        char name[8];
        (void)snprintf(name, sizeof(name), "q%d", i);
        ask(0, any, name, 1, 0);
        dispatch_flush(d);
        ck_assert_uint_eq(granted, (uint32_t)i + 1);
    }
}
/* A worker asks at the long queue: in order, and those in the store are looked for before it is empty. */
static void refill_body(void)
{
    granted = refills = 0;
    ask(0, any, "long", 1, 0);
    dispatch_flush(d);
    ck_assert_uint_eq(granted_seq[0], 1);
    while (refills == 0) {
        ask(0, any, "long", 1, 0);
        dispatch_flush(d);
        ck_assert_uint_le(granted, 8);
    }
    ck_assert(dispatch_wants_more(d));
    uint32_t had = granted;
    dispatch_round_begins(d);
    scan("long", 1, 50);
    ck_assert(!dispatch_wants_more(d)); /* fed */
    dispatch_refilled(d);
    add(300, "long"); /* stands behind the others */
    ask(0, any, "long", 1, 0);
    dispatch_flush(d);
    ck_assert_uint_gt(hydrations, 0);
    filled_again(asked[0].ref.seq);
    ck_assert_uint_eq(asked[0].ref.seq, had + 1);
    ck_assert_uint_eq(refills, 1);
}
/* All are here: then the queue is as any other. */
static void emptied_body(void)
{
    struct dispatch_task t;
    for (uint64_t i = 1; i <= 300; i++) {
        t = task(i, "");
        dispatch_remove(d, &t.token);
    }
    ck_assert_uint_eq(stats().tasks, 0);
    ck_assert(stats().overflow); /* as far as it knows */
    dispatch_round_begins(d);
    scan("long", 301, 302);
    dispatch_round_ends(d);
    ck_assert(!stats().overflow);
    t = task(301, "");
    dispatch_remove(d, &t.token);
    t = task(302, "");
    dispatch_remove(d, &t.token);
    ck_assert_uint_eq(stats().bytes, 0);
}
START_TEST(a_backlog_stays_in_the_store)
{
    run(small);
    run(backlog_body);
    run(refill_body);
    run(emptied_body);
}
END_TEST

/* Tasks with a deadline are left like others, and their deadlines are kept. */
static int64_t due_at;
static void add_due(uint64_t seq, int64_t in_us)
{
    struct dispatch_task t = task(seq, "long");
    t.timeout_at.us = due_at + in_us;
    dispatch_add(d, &t);
}
static void due_body(void)
{
    due_at = world_wall(world).us;
    for (uint64_t i = 1; i <= 40; i++) {
        add_due(i, (int64_t)i * US_PER_S);
    }
    ck_assert_uint_eq(stats().tasks, 8);
    for (uint64_t i = 1; i <= 8; i++) {
        struct dispatch_task t = task(i, "");
        dispatch_remove(d, &t.token);
    }
    dispatch_flush(d);
}
static void found_due(uint64_t from)
{
    for (uint64_t i = from; i <= 40; i++) {
        struct dispatch_task t = task(i, "long");
        t.has_input = false;
        t.timeout_at.us = due_at + (int64_t)i * US_PER_S;
        dispatch_found(d, &t, (struct mono){0});
    }
}
static void due_round_body(void)
{
    ck_assert(dispatch_wants_more(d));
    dispatch_round_ends(d); /* of a round that had begun before: not enough */
    ck_assert(dispatch_wants_more(d));
    dispatch_round_begins(d);
    scan("long", 100, 110); /* there is no place for the others */
    found_due(9);
    dispatch_round_ends(d);
    ck_assert(!dispatch_wants_more(d));
    dispatch_refilled(d);
}
START_TEST(deadlines_of_what_is_left_are_kept)
{
    run(small);
    run(due_body);
    pass(8 * US_PER_S);
    ck_assert_uint_eq(refills, 0);
    pass(1500 * US_PER_MS);
    ck_assert_uint_eq(refills, 1);
    run(due_round_body);
    ck_assert_uint_eq(timeouts, 1);
    ck_assert_uint_eq(last_timeout, 9);
    pass(1500 * US_PER_MS); /* looked at again: it is not closed yet */
    ck_assert_uint_eq(refills, 2);
}
END_TEST

/* So many attempts are out of time that no more facts can be taken: they come again. */
static void many_due_body(void)
{
    due_at = world_wall(world).us;
    for (uint64_t i = 1; i <= 4; i++) {
        add_due(i, US_PER_S);
    }
    dispatch_flush(d);
}
START_TEST(deadlines_wait_for_room)
{
    run(many_due_body);
    busy = true;
    pass(5 * US_PER_S);
    ck_assert_uint_eq(timeouts, 0);
    busy = false;
    pass(US_PER_S);
    ck_assert_uint_eq(timeouts, 4);
}
END_TEST

/* Inputs are kept for the first tasks of a queue only, and for no task that a worker has. */
enum { TEXT = 200000 };
static char text[TEXT];
static void inputs_body(void)
{
    any = hello(1, NULL, 0);
    for (uint64_t i = 1; i <= 100; i++) {
        struct dispatch_task t = task(i, "long");
        t.input = (struct str){text, TEXT};
        dispatch_add(d, &t);
    }
    dispatch_flush(d);
    ck_assert_uint_eq(stats().tasks, 100);
    ck_assert_uint_le(stats().bytes, DISPATCH_QUEUE_BYTES_MAX);
    ck_assert_uint_gt(stats().bytes, DISPATCH_QUEUE_BYTES_MAX / 2);
    struct dispatch_task beside = task(200, "other");
    beside.input = (struct str){text, TEXT};
    dispatch_add(d, &beside);
    ask(0, any, "other", 1, 0);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, 1);
    ask(1, any, "long", 100, 60 * US_PER_S);
    dispatch_flush(d);
    ck_assert_uint_eq(granted, MESSAGE_SIZE_MAX / TEXT); /* then the answer was full */
    ck_assert_uint_le(stats().bytes, 2 * (TEXT + 16));
    ck_assert_uint_eq(hydrations, 0);
    room = MESSAGE_SIZE_MAX;
    ask(2, any, "long", 100, 60 * US_PER_S);
    dispatch_flush(d);
    ck_assert_uint_eq(stats().bytes, 0);
    ck_assert_uint_eq(granted + hydrations, 101);
}
START_TEST(inputs_are_kept_for_the_first)
{
    run(inputs_body);
}
END_TEST

static void cancel_body(void)
{
    struct dispatch_session *s = hello(1, NULL, 0);
    ask(0, s, "q", 2, 60 * US_PER_S);
    dispatch_flush(d);
    dispatch_poll_cancel(d, &polls[0]);
    dispatch_poll_cancel(d, &polls[0]);
    add(1, "q");
    dispatch_flush(d);
    ck_assert_uint_eq(answers, 0);
    ck_assert_uint_eq(stats().ready, 1);
    dispatch_free(d);
}
START_TEST(an_attempt_told_to_be_over_is_held_by_nobody)
{
    run(forget_body);
}
END_TEST

START_TEST(a_cancelled_poll_is_never_answered)
{
    run(cancel_body);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {first_come_first_served_by_queue,
                                  a_long_poll_gets_the_task_or_its_time,
                                  known_tasks_are_not_added_twice,
                                  a_worker_that_comes_back_keeps_what_it_lists,
                                  a_worker_that_stays_away_loses_its_tasks,
                                  found_tasks_wait_for_confirmation,
                                  what_the_table_says_is_hearsay,
                                  an_input_that_comes_late,
                                  deadlines_of_attempts,
                                  a_backlog_stays_in_the_store,
                                  deadlines_of_what_is_left_are_kept,
                                  deadlines_wait_for_room,
                                  inputs_are_kept_for_the_first,
                                  an_attempt_told_to_be_over_is_held_by_nobody,
                                  what_a_worker_does_not_name_goes_out_again,
                                  silence_counts_only_while_somebody_listens,
                                  a_session_is_of_one_tenant,
                                  what_is_submitted_waits_and_goes_out_no_more,
                                  a_cancelled_poll_is_never_answered};
    Suite *s = suite_create("dispatch");
    TCase *c = tcase_create("dispatch");
    tcase_add_checked_fixture(c, setup, teardown);
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        tcase_add_test(c, tests[i]);
    }
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
