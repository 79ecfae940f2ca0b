/* The deadlines of a definition end to end on virtual time: TimeoutSeconds and HeartbeatSeconds of tasks,
 * their Path forms, TimeoutSeconds of the whole machine; with workers that hang, with nobody there, and
 * through a crash of the node. */
#include "base/prelude.h"

#include "tests/unit/engine/engine_fixture.h"

#include "base/mem.h"

#define TASK(fields) \
    "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:work\"," fields \
    "\"End\":true}}}"

static struct fixture f;

static const char *begin(int seed, const char *definition, const char *input)
{
    fixture_setup(&f, (uint64_t)seed);
    peer_define(&f, "timed", definition);
    return fixture_start(&f, "timed", "one", input);
}

/* It ends so, "s" seconds after "from" and no sooner; up to "late" seconds more. */
static void ends_after(const char *execution, int64_t from, int64_t s, int64_t late,
                       unsigned status, const char *error)
{
    peer_watch(&f, execution);
    world_run(f.world, from + s * US_PER_S - 1);
    ck_assert_msg(f.ended == 0, "ended early with %s", f.end_error);
    RUN_UNTIL(&f, f.ended > 0, late * US_PER_S);
    ck_assert_uint_eq(f.end_status, status);
    ck_assert_str_eq(f.end_error, error);
}

START_TEST(a_task_that_nobody_does)
{
    const char *x = begin(_i, TASK("\"TimeoutSeconds\":30,"), "{}");
    ends_after(x, f.world->now_us - US_PER_S, 30, 3, EXEC_FAILED, "States.Timeout");
    fixture_teardown(&f);
}
END_TEST

START_TEST(a_task_whose_worker_hangs)
{
    const char *x = begin(_i, TASK("\"TimeoutSecondsPath\":\"$.t\","), "{\"t\":40}");
    int64_t from = f.world->now_us - US_PER_S;
    fixture_hold(&f, "work", 1);
    ck_assert_int_ne(f.held[0].timeout_at_ms, 0);
    if (_i % 2 == 1) {
        fixture_restart(&f);
    }
    ends_after(x, from, 40, 3, EXEC_FAILED, "States.Timeout");
    peer_complete(&f, &f.held[0].token, "{}", NULL); /* too late */
    world_run(f.world, f.world->now_us + US_PER_S);
    ck_assert_uint_eq(f.acked, 0);
    fixture_teardown(&f);
}
END_TEST

START_TEST(a_worker_that_falls_silent)
{
    const char *x =
        begin(_i, TASK("\"TimeoutSeconds\":600,\"HeartbeatSecondsPath\":\"$.h\","), "{\"h\":10}");
    fixture_hold(&f, "work", 1);
    ck_assert_int_eq(f.held[0].heartbeat_ms, 10000);
    for (uint32_t i = 0; i < 4; i++) {
        world_run(f.world, f.world->now_us + 8 * US_PER_S);
        peer_heartbeat(&f, &f.held[0].token);
        RUN_UNTIL(&f, f.beats == i + 1, US_PER_S);
        ck_assert_uint_eq(f.beat_code, ERR_OK);
    }
    ends_after(x, f.world->now_us - US_PER_S, 10, 3, EXEC_FAILED, "States.HeartbeatTimeout");
    peer_heartbeat(&f, &f.held[0].token);
    RUN_UNTIL(&f, f.beats == 5, US_PER_S);
    ck_assert_uint_eq(f.beat_code, ERR_STOPPED);
    fixture_teardown(&f);
}
END_TEST

/* A task that waits in its queue has no heart that could stop. */
START_TEST(no_heartbeat_before_somebody_has_it)
{
    const char *x = begin(_i, TASK("\"HeartbeatSeconds\":5,"), "{}");
    world_run(f.world, f.world->now_us + 60 * US_PER_S);
    fixture_hold(&f, "work", 1);
    peer_complete(&f, &f.held[0].token, "1", NULL);
    fixture_end(&f, x, 10 * US_PER_S);
    ck_assert_uint_eq(f.end_status, EXEC_SUCCEEDED);
    fixture_teardown(&f);
}
END_TEST

/* States.HeartbeatTimeout counts as States.Timeout where it is retried; the next attempt has time of its own. */
START_TEST(a_lost_attempt_is_retried)
{
    const char *x = begin(_i,
                          TASK("\"TimeoutSeconds\":15,\"HeartbeatSeconds\":5,\"Retry\":[{"
                               "\"ErrorEquals\":[\"States.Timeout\"],\"IntervalSeconds\":2,"
                               "\"BackoffRate\":1,\"MaxAttempts\":2}],"),
                          "{}");
    fixture_hold(&f, "work", 1);
    fixture_hold(&f, "work", 2);  /* silent */
    for (int i = 0; i < 6; i++) { /* alive, but too slow */
        world_run(f.world, f.world->now_us + 3 * US_PER_S);
        peer_heartbeat(&f, &f.held[1].token);
    }
    fixture_hold(&f, "work", 3);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(f.held[i].attempt, i + 1);
    }
    peer_complete(&f, &f.held[2].token, "3", NULL);
    fixture_end(&f, x, 10 * US_PER_S);
    ck_assert_str_eq(f.output, "3");
    fixture_teardown(&f);
}
END_TEST

/* The whole machine: a task is out, a wait runs; both end with it. */
START_TEST(an_execution_out_of_time)
{
    static const char machine[] =
        "{\"StartAt\":\"P\",\"TimeoutSeconds\":50,\"States\":{\"P\":{\"Type\":\"Parallel\",\"End\":"
        "true,"
        "\"Branches\":[{\"StartAt\":\"T\",\"States\":{\"T\":{\"Type\":\"Task\",\"Resource\":"
        "\"queue:work\",\"End\":true}}},{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\","
        "\"Seconds\":300,\"End\":true}}}]}}}";
    const char *x = begin(_i, machine, "{}");
    int64_t from = f.world->now_us - US_PER_S;
    fixture_hold(&f, "work", 1);
    if (_i % 2 == 1) {
        fixture_restart(&f);
    }
    ends_after(x, from, 50, 3, EXEC_TIMED_OUT, "States.Timeout");
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    world_run(f.world, f.world->now_us + 400 * US_PER_S);
    ck_assert_uint_eq(f.acked, 0);
    fixture_teardown(&f);
}
END_TEST

/* Nobody retries or catches the end of the machine's own time. */
START_TEST(nobody_catches_the_machines_end)
{
    const char *x = begin(_i,
                          "{\"StartAt\":\"A\",\"TimeoutSeconds\":20,\"States\":{\"A\":{\"Type\":"
                          "\"Task\",\"Resource\":\"queue:work\",\"Retry\":[{\"ErrorEquals\":["
                          "\"States.ALL\"]}],\"Catch\":[{\"ErrorEquals\":[\"States.ALL\"],\"Next\":"
                          "\"B\"}],\"End\":true},\"B\":{\"Type\":\"Pass\",\"End\":true}}}",
                          "{}");
    ends_after(x, f.world->now_us - US_PER_S, 20, 3, EXEC_TIMED_OUT, "States.Timeout");
    fixture_teardown(&f);
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("deadlines");
    TCase *c = tcase_create("deadlines");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_task_that_nobody_does, 0, 3);
    tcase_add_loop_test(c, a_task_whose_worker_hangs, 0, 6);
    tcase_add_loop_test(c, a_worker_that_falls_silent, 0, 3);
    tcase_add_loop_test(c, no_heartbeat_before_somebody_has_it, 0, 3);
    tcase_add_loop_test(c, a_lost_attempt_is_retried, 0, 3);
    tcase_add_loop_test(c, an_execution_out_of_time, 0, 6);
    tcase_add_loop_test(c, nobody_catches_the_machines_end, 0, 3);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
