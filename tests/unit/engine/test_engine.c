/* The engine end to end on virtual time: production node, fake store, fake network. */
#include "base/prelude.h"

#include "tests/unit/engine/engine_fixture.h"

#include "base/mem.h"

static const char chain[] =
    "{\"StartAt\":\"A\",\"States\":{"
    "\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"Next\":\"B\"},"
    "\"B\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"ResultPath\":\"$.b\",\"Next\":\"C\"},"
    "\"C\":{\"Type\":\"Pass\",\"Next\":\"D\"},"
    "\"D\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";
static const char waiting[] =
    "{\"StartAt\":\"W\",\"States\":{"
    "\"W\":{\"Type\":\"Wait\",\"SecondsPath\":\"$.s\",\"Next\":\"T\"},"
    "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";

START_TEST(chain_of_tasks_ends_with_its_data)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "chain", chain);
    peer_poll(&f, "work", 10, 1000);
    peer_start(&f, "chain", "one", "{\"n\":1}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    peer_watch(&f, f.execution[0]);
    RUN_UNTIL(&f, f.ended == 1, 30 * US_PER_S);
    ck_assert_uint_eq(f.succeeded, 1);
    RUN_UNTIL(&f, f.acked == 3, 10 * US_PER_S);
    ck_assert_uint_eq(f.tasks, 3);
    ck_assert_str_eq(f.output, "{\"n\":1,\"b\":{\"n\":1}}");
    fixture_teardown(&f);
}
END_TEST

START_TEST(same_name_same_execution)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "chain", chain);
    for (int i = 0; i < 4; i++) {
        peer_start(&f, "chain", "one", "{\"n\":1}");
    }
    RUN_UNTIL(&f, f.started == 4, 10 * US_PER_S);
    for (int i = 1; i < 4; i++) {
        ck_assert_str_eq(f.execution[0], f.execution[i]);
    }
    peer_start(&f, "chain", "one", "{\"n\":2}");
    RUN_UNTIL(&f, f.exists == 1, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* threadPools.workflow.queueCapacity: so many requests may be inside; one more is answered LIMIT, at
 * once and without effect, and there is room again when those are answered. */
START_TEST(the_door_has_a_bound)
{
    enum { ROOM = 4, ALL = 10 };
    struct fixture f;
    char name[16];
    fixture_setup_with(&f, (uint64_t)_i, ROOM);
    peer_define(&f, "chain", chain);
    f.store->latency_us = 2 * US_PER_S;
    for (int i = 0; i < ALL; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        peer_start(&f, "chain", name, "{}");
    }
    RUN_UNTIL(&f, f.errors == ALL - ROOM, US_PER_S);
    ck_assert_uint_eq(f.last_error, ERR_LIMIT);
    ck_assert_uint_eq(f.started, 0);
    RUN_UNTIL(&f, f.started == ROOM, 60 * US_PER_S);
    peer_start(&f, "chain", "n9", "{}");
    RUN_UNTIL(&f, f.started == ROOM + 1, 60 * US_PER_S);
    ck_assert_uint_eq(f.errors, ALL - ROOM);
    fixture_teardown(&f);
}
END_TEST

/* Deadlines near, in later windows and beyond the ring fire once and never early. */
START_TEST(waits_fire_once_and_never_early)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    static const int seconds[] = {0, 1, 7, 25, 61, 119, 239, 250, 300, 601};
    peer_define(&f, "waiting", waiting);
    peer_poll(&f, "work", 10, 1000);
    struct wall begin = world_wall(f.world);
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        char name[16], input[32];
        (void)snprintf(name, sizeof(name), "w%zu", i);
        (void)snprintf(input, sizeof(input), "{\"s\":%d}", seconds[i]);
        peer_start(&f, "waiting", name, input);
    }
    RUN_UNTIL(&f, f.started == ARRAY_LEN(seconds), 10 * US_PER_S);
    RUN_UNTIL(&f, f.acked == ARRAY_LEN(seconds), 900 * US_PER_S);
    ck_assert_uint_eq(f.tasks, ARRAY_LEN(seconds));
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        int64_t late = f.task_at[i].us - begin.us - seconds[i] * (int64_t)US_PER_S;
        ck_assert_int_ge(late, 0);
        ck_assert_msg(late < US_PER_S, "wait of %d s was %lld us late", seconds[i],
                      (long long)late);
    }
    fixture_teardown(&f);
}
END_TEST

START_TEST(double_and_stale_outcomes)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "chain", chain);
    peer_start(&f, "chain", "one", "{}");
    peer_poll(&f, "work", 5, 5000);
    RUN_UNTIL(&f, f.held_len == 1, 10 * US_PER_S);
    struct task_token t = f.held[0].token;
    struct task_token wrong = t;
    wrong.nonce ^= 1;
    peer_complete(&f, &wrong, "{}", NULL);
    RUN_UNTIL(&f, f.stale == 1, 10 * US_PER_S);
    peer_complete(&f, &t, "{}", NULL);
    peer_complete(&f, &t, "{\"again\":1}", NULL);
    RUN_UNTIL(&f, f.acked == 1 && f.stale == 2, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* The node dies with a task at the worker: the worker says at hello that it holds it, so it does
 * not go out again, and its outcome counts. */
START_TEST(crash_with_a_held_task)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "chain", chain);
    peer_start(&f, "chain", "one", "{}");
    peer_poll(&f, "work", 5, 5000);
    RUN_UNTIL(&f, f.held_len == 1, 10 * US_PER_S);
    host_crash_and_restart(f.node_host, 1 * US_PER_S);
    RUN_UNTIL(&f, !f.active, 10 * US_PER_S);
    RUN_UNTIL(&f, f.active, 60 * US_PER_S);
    RUN_UNTIL(&f, f.peer->greeted, 60 * US_PER_S);
    peer_poll(&f, "work", 5, 20000);
    world_run(f.world, f.world->now_us + 30 * US_PER_S);
    ck_assert_uint_eq(f.tasks, 1);
    f.hold = false;
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    RUN_UNTIL(&f, f.acked == 3, 30 * US_PER_S);
    ck_assert_uint_eq(f.tasks, 3);
    fixture_teardown(&f);
}
END_TEST

/* The second node stands by while the first lives, and takes over when its lease has ended. */
START_TEST(standby_takes_over_after_the_lease)
{
    struct fixture f;
    struct second n;
    fixture_setup(&f, (uint64_t)_i);
    (void)fixture_second(&f, &n);
    world_run(f.world, f.world->now_us + 60 * US_PER_S);
    ck_assert(f.active && n.standby);
    int64_t died = f.world->now_us;
    host_crash(f.node_host);
    RUN_UNTIL(&f, n.active, 30 * US_PER_S);
    ck_assert_int_le(f.world->now_us - died, 15 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* Frozen beyond its lease, the first is evicted; on waking it commits nothing under its old claim and
 * stands by under a new incarnation. */
START_TEST(frozen_owner_is_evicted_and_stands_by)
{
    struct fixture f;
    struct second n;
    fixture_setup(&f, (uint64_t)_i);
    (void)fixture_second(&f, &n);
    peer_define(&f, "waiting", waiting);
    peer_start(&f, "waiting", "w", "{\"s\":15}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    host_pause(f.node_host, 40 * US_PER_S);
    RUN_UNTIL(&f, n.active, 30 * US_PER_S);
    world_run(f.world, f.world->now_us + 40 * US_PER_S);
    ck_assert(!f.active);
    ck_assert(n.active);
    fixture_teardown(&f);
}
END_TEST

/* A drained node hands over at once: nobody waits for a lease. */
START_TEST(drained_owner_hands_over_at_once)
{
    struct fixture f;
    struct second n;
    fixture_setup(&f, (uint64_t)_i);
    (void)fixture_second(&f, &n);
    int64_t asked = f.world->now_us;
    host_run(f.node_host, fixture_stop_node);
    RUN_UNTIL(&f, n.active, 30 * US_PER_S);
    ck_assert(f.stopped);
    ck_assert_int_le(f.world->now_us - asked, 4 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* The store goes away for longer than the lease and comes back: the node goes on. */
START_TEST(store_away_and_back)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "chain", chain);
    peer_poll(&f, "work", 5, 1000);
    sim_store_away(f.store, 20 * US_PER_S);
    world_run(f.world, f.world->now_us + 25 * US_PER_S);
    ck_assert(f.active);
    peer_start(&f, "chain", "one", "{}");
    RUN_UNTIL(&f, f.acked == 3, 120 * US_PER_S);
    ck_assert_uint_eq(f.started, 1);
    fixture_teardown(&f);
}
END_TEST

/* Answers of commits are lost, transactions fail: each start is there once, each outcome counts once. */
START_TEST(lost_answers_and_failed_transactions)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "chain", chain);
    peer_poll(&f, "work", 10, 1000);
    f.store->faults.lose_answer = 0.2;
    f.store->faults.serialization = 0.2;
    for (int i = 0; i < 20; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "x%d", i);
        peer_start(&f, "chain", name, "{\"n\":1}");
    }
    world_run(f.world, f.world->now_us + 120 * US_PER_S);
    f.store->faults = (struct sim_store_faults){0};
    ck_assert_msg(f.started + f.errors >= 20, "started %u errors %u", f.started, f.errors);
    /* The client repeats what is in doubt under the same name: twenty executions, no more. */
    uint32_t first = f.started;
    for (int i = 0; i < 20; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "x%d", i);
        peer_start(&f, "chain", name, "{\"n\":1}");
    }
    peer_poll(&f, "work", 10, 1000);
    RUN_UNTIL(&f, f.started == first + 20, 60 * US_PER_S);
    RUN_UNTIL(&f, f.acked + f.stale >= 60, 120 * US_PER_S);
    for (uint32_t i = first; i < first + 20; i++) {
        peer_watch(&f, f.execution[i]);
    }
    RUN_UNTIL(&f, f.succeeded == 20, 120 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

static uint64_t commits_seen;
static void on_committed(struct sim_store_watch *w, const struct store_req *r)
{
    (void)w;
    commits_seen += r->op == STORE_COMMIT;
}

/* The fences are held for longer than a commit waits for them: nothing is wrong with its turns, and it
 * stays as large as it is. */
START_TEST(locked_batch_stays_whole)
{
    enum { MANY = 60 };
    struct sim_store_watch watch = {.committed = on_committed};
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "chain", chain);
    f.hold = true;
    peer_poll(&f, "work", MANY, 60000);
    peer_start(&f, "chain", "first", "{}");
    RUN_UNTIL(&f, f.held_len == 1, 10 * US_PER_S);
    sim_store_lock(f.store, 12 * (int64_t)US_PER_S);
    f.store->watch = &watch;
    commits_seen = 0;
    for (int i = 0; i < MANY; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "x%d", i);
        peer_start(&f, "chain", name, "{\"n\":1}");
    }
    RUN_UNTIL(&f, f.started == 1 + MANY, 30 * US_PER_S);
    f.store->watch = NULL;
    ck_assert_uint_le(commits_seen, 6);
    fixture_teardown(&f);
}
END_TEST

/* Deadlines whose turns are refused again and again fire all the same. */
START_TEST(deadlines_outlive_refusals)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "waiting", waiting);
    for (int i = 0; i < 10; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "x%d", i);
        peer_start(&f, "waiting", name, "{\"s\":5}");
    }
    RUN_UNTIL(&f, f.started == 10, 4 * US_PER_S);
    f.store->faults.serialization = 0.95;
    world_run(f.world, f.world->now_us + 20 * US_PER_S);
    f.store->faults = (struct sim_store_faults){0};
    peer_poll(&f, "work", 10, 60000);
    RUN_UNTIL(&f, f.held_len == 10, 60 * US_PER_S);
    ck_assert_uint_eq(f.tasks, 10);
    fixture_teardown(&f);
}
END_TEST

/* More outcomes of one execution than a turn takes, none of which is of use. */
START_TEST(many_stale_outcomes)
{
    enum { MANY = 2 * TURN_FACTS_MAX + 88 };
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "chain", chain);
    peer_start(&f, "chain", "one", "{}");
    peer_poll(&f, "work", 5, 5000);
    RUN_UNTIL(&f, f.held_len == 1, 10 * US_PER_S);
    struct msg_completion *v = MEM_ARRAY(struct msg_completion, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        v[i] = (struct msg_completion){.token = f.held[0].token, .output = STR("{}")};
        v[i].token.nonce += 1 + i;
    }
    struct msg m = {.type = MSG_POLL};
    m.u.poll.completions = v;
    m.u.poll.completions_len = MANY;
    peer_send(&f, &m);
    mem_free(v);
    RUN_UNTIL(&f, f.stale == MANY, 10 * US_PER_S);
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    RUN_UNTIL(&f, f.acked == 1, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

static void list_workflow(struct fixture *f, struct str workflow, uint32_t rows)
{
    struct msg m = {.type = MSG_LIST};
    m.u.list.workflow = workflow;
    uint32_t before = f->lists;
    peer_send(f, &m);
    RUN_UNTIL(f, f->lists == before + 1, 10 * US_PER_S);
    ck_assert_uint_eq(f->listed, rows);
}

static void describe_one(struct fixture *f)
{
    struct msg m = {.type = MSG_DESCRIBE};
    m.u.describe.execution = str_of(f->execution[0]);
    uint32_t before = f->described;
    peer_send(f, &m);
    RUN_UNTIL(f, f->described == before + 1, 10 * US_PER_S);
}

/* What there is none of is absent, never an empty text; an empty filter is none. */
START_TEST(none_is_not_empty)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "chain", chain);
    peer_start(&f, "chain", "one", "{}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    describe_one(&f);
    ck_assert(!f.has_output && !f.has_error && !f.has_cause);
    list_workflow(&f, STR_NONE, 1);
    list_workflow(&f, STR(""), 1);
    list_workflow(&f, STR("other"), 0);
    peer_poll(&f, "work", 1, 5000);
    RUN_UNTIL(&f, f.held_len == 1, 10 * US_PER_S);
    peer_complete(&f, &f.held[0].token, NULL, "Broken");
    RUN_UNTIL(&f, f.acked == 1, 10 * US_PER_S);
    describe_one(&f);
    ck_assert(!f.has_output && f.has_error && !f.has_cause);
    fixture_teardown(&f);
}
END_TEST

START_TEST(deleted_workflow_starts_nothing)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "chain", chain);
    peer_start(&f, "chain", "one", "{}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    struct msg m = {.type = MSG_DEF_DELETE};
    m.u.def_delete.workflow = STR("chain");
    peer_send(&f, &m);
    RUN_UNTIL(&f, f.deleted == 1, 10 * US_PER_S);
    peer_start(&f, "chain", "two", "{}");
    RUN_UNTIL(&f, f.errors == 1, 10 * US_PER_S);
    ck_assert_uint_eq(f.last_error, ERR_NO_WORKFLOW);
    /* What runs goes on. */
    peer_poll(&f, "work", 5, 5000);
    RUN_UNTIL(&f, f.held_len == 1, 10 * US_PER_S);
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    RUN_UNTIL(&f, f.acked == 1, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* Tasks that do not fit one answer come in the next. */
START_TEST(tasks_larger_than_an_answer)
{
    enum { TASKS = 40, SIZE = 250000 };
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "chain", chain);
    char *input = mem_alloc(SIZE + 1);
    memset(input, 'x', SIZE);
    input[0] = input[SIZE - 1] = '"';
    input[SIZE] = '\0';
    for (uint32_t i = 0; i < TASKS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "x%u", i);
        peer_start(&f, "chain", name, input);
        RUN_UNTIL(&f, f.started == i + 1, 10 * US_PER_S);
    }
    mem_free(input);
    peer_poll(&f, "work", 50, 1000);
    RUN_UNTIL(&f, f.held_len > 0, 10 * US_PER_S);
    ck_assert_uint_lt(f.held_len, TASKS);
    ck_assert_uint_gt(f.held_len, TASKS / 2);
    for (int polls = 0; f.held_len < TASKS; polls++) { /* some inputs have to be fetched */
        ck_assert_int_lt(polls, 4);
        peer_poll(&f, "work", 50, 1000);
        world_run(f.world, f.world->now_us + US_PER_S);
    }
    ck_assert_uint_eq(f.errors, 0);
    fixture_teardown(&f);
}
END_TEST

static void peer_history(struct fixture *f, uint32_t after, uint32_t limit, bool reverse)
{
    struct msg m = {.type = MSG_HISTORY};
    m.u.history.execution = str_of(f->execution[0]);
    m.u.history.after_event = after;
    m.u.history.limit = limit;
    m.u.history.reverse = reverse;
    uint32_t before = f->pages;
    peer_send(f, &m);
    RUN_UNTIL(f, f->pages > before, 10 * US_PER_S);
}

/* Pages of any size, forwards and backwards, hold every event once; also where a snapshot is all that
 * a load of the execution brings. */
static void history_check(struct fixture *f)
{
    peer_history(f, 0, 1000, false);
    uint32_t total = f->page_len;
    ck_assert_uint_gt(total, 0);
    for (uint32_t limit = 1; limit <= total + 1; limit += 1 + total / 7) {
        for (int reverse = 0; reverse < 2; reverse++) {
            uint32_t after = 0, seen = 0;
            do {
                peer_history(f, after, limit, reverse != 0);
                for (uint32_t i = 0; i < f->page_len; i++, seen++) {
                    ck_assert_uint_eq(f->page_ids[i], reverse != 0 ? total - seen : seen + 1);
                }
                after = f->page_last;
            } while (after != 0);
            ck_assert_uint_eq(seen, total);
        }
    }
}

START_TEST(history_in_pages)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "chain", chain);
    char text[6000];
    memset(text, 'a', sizeof(text));
    text[0] = text[sizeof(text) - 2] = '"';
    text[sizeof(text) - 1] = '\0';
    peer_start(&f, "chain", "one", "{}");
    for (uint32_t i = 0; i < 3; i++) {
        peer_poll(&f, "work", 1, 5000);
        RUN_UNTIL(&f, f.held_len == i + 1, 10 * US_PER_S);
        history_check(&f);
        memset(text + 1, 'b' + (int)i, sizeof(text) - 3);
        char output[sizeof(text) + 16];
        (void)snprintf(output, sizeof(output), i == 0 ? "{\"a\":%s}" : "%s", text);
        peer_complete(&f, &f.held[i].token, output, NULL);
        RUN_UNTIL(&f, f.acked == i + 1, 10 * US_PER_S);
    }
    history_check(&f);
    fixture_teardown(&f);
}
END_TEST

/* An execution that yields between its turns (out of fuel) goes on after a crash at any moment. */
START_TEST(long_run_goes_on_after_a_crash)
{
    static const char counting[] =
        "{\"StartAt\":\"I\",\"States\":{"
        "\"I\":{\"Type\":\"Pass\",\"Parameters\":{\"i.$\":\"States.MathAdd($.i,1)\"},\"Next\":"
        "\"C\"},"
        "\"C\":{\"Type\":\"Choice\",\"Choices\":[{\"Variable\":\"$.i\",\"NumericLessThan\":20000,"
        "\"Next\":\"I\"}],\"Default\":\"T\"},"
        "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "counting", counting);
    peer_start(&f, "counting", "one", "{\"i\":0}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    world_run(f.world, f.world->now_us + _i * 2 * (int64_t)US_PER_MS);
    host_crash_and_restart(f.node_host, 1 * US_PER_S);
    RUN_UNTIL(&f, !f.active, 10 * US_PER_S);
    RUN_UNTIL(&f, f.active && f.peer->greeted, 60 * US_PER_S);
    peer_poll(&f, "work", 5, 60000);
    RUN_UNTIL(&f, f.acked == 1, 60 * US_PER_S); /* a claim's scan wakes it: nobody else asks */
    ck_assert_uint_eq(f.tasks, 1);
    fixture_teardown(&f);
}
END_TEST

/* Away for longer than the whole ring: what was due meanwhile, and what is due later, fires. */
START_TEST(long_time_away)
{
    static const int seconds[] = {5, 100, 300, 1400, 1700, 3000};
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "waiting", waiting);
    struct wall begin = world_wall(f.world);
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        char name[16], input[32];
        (void)snprintf(name, sizeof(name), "w%zu", i);
        (void)snprintf(input, sizeof(input), "{\"s\":%d}", seconds[i]);
        peer_start(&f, "waiting", name, input);
    }
    RUN_UNTIL(&f, f.started == ARRAY_LEN(seconds), 4 * US_PER_S);
    host_crash_and_restart(f.node_host, 1500 * US_PER_S);
    RUN_UNTIL(&f, !f.active, 10 * US_PER_S);
    RUN_UNTIL(&f, f.active && f.peer->greeted, 1600 * US_PER_S);
    for (uint32_t i = 1; i <= ARRAY_LEN(seconds); i++) {
        while (f.held_len < i && world_wall(f.world).us < begin.us + 3100 * (int64_t)US_PER_S) {
            peer_poll(&f, "work", 1, 30000);
            world_run(f.world, f.world->now_us + 31 * US_PER_S);
        }
        ck_assert_uint_eq(f.held_len, i);
    }
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        ck_assert_int_ge(f.task_at[i].us, begin.us + seconds[i] * (int64_t)US_PER_S);
    }
    fixture_teardown(&f);
}
END_TEST

START_TEST(one_hello_per_connection)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    struct msg m = {.type = MSG_HELLO};
    m.u.hello.protocol = MSG_PROTOCOL;
    m.u.hello.name = STR("somebody-else");
    m.u.hello.instance = 78;
    peer_send(&f, &m);
    RUN_UNTIL(&f, f.errors == 1, 10 * US_PER_S);
    ck_assert_uint_eq(f.last_error, ERR_PROTOCOL);
    peer_define(&f, "chain", chain);
    peer_start(&f, "chain", "one", "{}");
    peer_poll(&f, "work", 1, 5000);
    RUN_UNTIL(&f, f.acked == 3, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* ---- an address that is taken ---- */

struct refused {
    struct node_events events;
    struct node_config config;
    struct fixture *f;
    struct coord *coord;
    struct node *node;
    bool told;
    enum err err;
    char text[256];
};

static void refused_started(struct node_events *ev, enum err e, struct str address,
                            struct str detail)
{
    struct refused *r = CONTAINER_OF(ev, struct refused, events);
    ck_assert_uint_eq(address.size, 0);
    r->told = true;
    r->err = e;
    (void)snprintf(r->text, sizeof(r->text), "%.*s", STR_ARG(detail));
}

static void refused_boot(struct host *h)
{
    struct refused *r = h->user;
    r->coord = coord_db_new();
    struct node_ports ports = {.loops = &h->factory,
                               .clock = &h->clock.base,
                               .transport = &r->f->net->base,
                               .store = &r->f->store->base,
                               .coord = r->coord,
                               .seed = 1};
    r->node = node_start(&r->config, &ports, &r->events);
}

static void refused_free(struct host *h)
{
    struct refused *r = h->user;
    node_free(r->node);
    coord_db_free(r->coord);
}

/* A node that cannot listen says why, and can be freed: nothing of it is left. */
START_TEST(a_taken_address_is_told)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    struct refused r = {.f = &f, .config = f.config};
    r.events = (struct node_events){.started = refused_started};
    struct host *h = host_new(f.world, "late");
    h->boot = refused_boot;
    h->user = &r;
    host_boot(h);
    RUN_UNTIL(&f, r.told, 10 * US_PER_S);
    ck_assert_int_eq(r.err, ERR_UNAVAILABLE);
    ck_assert_str_eq(r.text, "tcp://node:7070: address in use");
    host_run(h, refused_free);
    ck_assert_uint_eq(h->region.blocks, 0);
    ck_assert(list_empty(&h->loops));
    fixture_teardown(&f);
}
END_TEST

START_TEST(stops_clean)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "chain", chain);
    peer_poll(&f, "work", 5, 5000);
    peer_start(&f, "chain", "one", "{}");
    RUN_UNTIL(&f, f.acked == 3, 30 * US_PER_S);
    host_run(f.node_host, fixture_stop_node);
    RUN_UNTIL(&f, f.stopped, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("engine");
    TCase *c = tcase_create("engine");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, chain_of_tasks_ends_with_its_data, 0, 6);
    tcase_add_loop_test(c, same_name_same_execution, 0, 6);
    tcase_add_loop_test(c, the_door_has_a_bound, 0, 6);
    tcase_add_loop_test(c, waits_fire_once_and_never_early, 0, 6);
    tcase_add_loop_test(c, double_and_stale_outcomes, 0, 6);
    tcase_add_loop_test(c, crash_with_a_held_task, 0, 6);
    tcase_add_loop_test(c, standby_takes_over_after_the_lease, 0, 6);
    tcase_add_loop_test(c, frozen_owner_is_evicted_and_stands_by, 0, 6);
    tcase_add_loop_test(c, drained_owner_hands_over_at_once, 0, 6);
    tcase_add_loop_test(c, store_away_and_back, 0, 6);
    tcase_add_loop_test(c, lost_answers_and_failed_transactions, 0, 12);
    tcase_add_loop_test(c, locked_batch_stays_whole, 0, 6);
    tcase_add_loop_test(c, deadlines_outlive_refusals, 0, 6);
    tcase_add_loop_test(c, many_stale_outcomes, 0, 3);
    tcase_add_loop_test(c, none_is_not_empty, 0, 3);
    tcase_add_loop_test(c, deleted_workflow_starts_nothing, 0, 3);
    tcase_add_loop_test(c, tasks_larger_than_an_answer, 0, 2);
    tcase_add_loop_test(c, history_in_pages, 0, 3);
    tcase_add_loop_test(c, long_run_goes_on_after_a_crash, 0, 20);
    tcase_add_loop_test(c, long_time_away, 0, 3);
    tcase_add_loop_test(c, one_hello_per_connection, 0, 3);
    tcase_add_loop_test(c, a_taken_address_is_told, 0, 3);
    tcase_add_loop_test(c, stops_clean, 0, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
