/* .waitForTaskToken end to end on virtual time: the worker answers the call, anybody answers the token,
 * deadlines run meanwhile, whatever happens to worker and node. */
#include "base/prelude.h"

#include "tests/unit/engine/engine_fixture.h"

#include "base/mem.h"

#define CALL(fields) \
    "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:work." \
    "waitForTaskToken\"," fields \
    "\"Parameters\":{\"token.$\":\"$$.Task.Token\",\"n.$\":\"$.n\"},\"End\":true}}}"

static struct fixture f;

static void setup(int seed, const char *definition)
{
    fixture_setup(&f, (uint64_t)seed);
    peer_define(&f, "call", definition);
}

/* The worker has the task and has answered the call. */
static struct task_token submitted(const char **execution)
{
    uint32_t acked = f.acked;
    *execution = fixture_start(&f, "call", "one", "{\"n\":7}");
    fixture_hold(&f, "work", 1);
    struct task_token t = f.held[0].token;
    peer_complete(&f, &t, "{\"MessageId\":\"m-1\"}", NULL);
    RUN_UNTIL(&f, f.acked == acked + 1, 10 * US_PER_S);
    f.held_len = 0; /* the worker is done with it */
    return t;
}

static void ends_as(const char *execution, unsigned status, const char *output, const char *error)
{
    fixture_end(&f, execution, 200 * US_PER_S);
    ck_assert_uint_eq(f.end_status, status);
    ck_assert_str_eq(f.output, output);
    ck_assert_str_eq(f.end_error, error);
}

/* The token that the worker is told in words is the attempt's. */
static void check_text(const struct msg_task *t, const char *input)
{
    uint8_t bytes[TASK_TOKEN_SIZE];
    char text[TASK_TOKEN_TEXT + 4], want[128];
    task_token_encode(&t->token, bytes);
    (void)base64_encode(bytes, sizeof(bytes), text, true);
    (void)snprintf(want, sizeof(want), "{\"token\":\"%.*s\",\"n\":7}", TASK_TOKEN_TEXT, text);
    ck_assert_str_eq(input, want);
}

START_TEST(a_call_and_its_callback)
{
    const char *x;
    setup(_i, CALL(""));
    struct task_token t = submitted(&x);
    check_text(&f.held[0], f.held_input[0]);
    peer_complete(&f, &t, "{}", NULL); /* the worker has not heard the answer and repeats */
    RUN_UNTIL(&f, f.stale == 1, 10 * US_PER_S);
    peer_watch(&f, x);
    world_run(f.world, f.world->now_us + 30 * US_PER_S);
    ck_assert_uint_eq(f.ended, 0);
    peer_token(&f, &t, "{\"answer\":42}", NULL);
    RUN_UNTIL(&f, f.token_ok == 1, 10 * US_PER_S);
    RUN_UNTIL(&f, f.ended == 1, 10 * US_PER_S);
    ck_assert_str_eq(f.output, "{\"answer\":42}");
    peer_token(&f, &t, "{}", NULL);
    RUN_UNTIL(&f, f.last_error == ERR_STOPPED, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

START_TEST(a_callback_that_fails)
{
    const char *x;
    setup(_i, CALL(""));
    struct task_token t = submitted(&x);
    peer_token(&f, &t, NULL, "NoAnswer");
    ends_as(x, EXEC_FAILED, "", "NoAnswer");
    ck_assert_str_eq(f.end_cause, "by token");
    fixture_teardown(&f);
}
END_TEST

START_TEST(a_call_that_fails)
{
    setup(_i, CALL(""));
    const char *x = fixture_start(&f, "call", "one", "{\"n\":7}");
    fixture_hold(&f, "work", 1);
    peer_complete(&f, &f.held[0].token, NULL, "NoPost");
    ends_as(x, EXEC_FAILED, "", "NoPost");
    fixture_teardown(&f);
}
END_TEST

/* The answer to the token may overtake the answer to the call. */
START_TEST(an_early_callback)
{
    setup(_i, CALL(""));
    const char *x = fixture_start(&f, "call", "one", "{\"n\":7}");
    fixture_hold(&f, "work", 1);
    peer_token(&f, &f.held[0].token, "1", NULL);
    ends_as(x, EXEC_SUCCEEDED, "1", "");
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    world_run(f.world, f.world->now_us + US_PER_S);
    ck_assert_uint_eq(f.acked, 0); /* it is told that the execution has ended */
    fixture_teardown(&f);
}
END_TEST

/* What is submitted goes to nobody any more: not when its worker is lost, not after a crash of the node, not
 * under a new owner. */
START_TEST(it_goes_out_once)
{
    const char *x;
    struct second n;
    setup(_i, CALL(""));
    struct host *second = fixture_second(&f, &n);
    struct task_token t = submitted(&x);
    host_crash_and_restart(f.peer_host, 2 * US_PER_S);
    world_run(f.world, f.world->now_us + 40 * US_PER_S);
    ck_assert(f.peer->greeted);
    peer_poll(&f, "work", 5, 20000);
    world_run(f.world, f.world->now_us + 25 * US_PER_S);
    host_crash_and_restart(f.node_host, 60 * US_PER_S);
    RUN_UNTIL(&f, n.active, 30 * US_PER_S);
    world_run(f.world, f.world->now_us + 70 * US_PER_S);
    host_crash(second);
    RUN_UNTIL(&f, f.active && f.peer->greeted, 60 * US_PER_S);
    peer_poll(&f, "work", 5, 20000);
    world_run(f.world, f.world->now_us + 40 * US_PER_S);
    ck_assert_uint_eq(f.tasks, 1);
    peer_token(&f, &t, "\"at last\"", NULL);
    ends_as(x, EXEC_SUCCEEDED, "\"at last\"", "");
    fixture_teardown(&f);
}
END_TEST

/* TimeoutSeconds counts from the beginning, through submission, loss of the worker and a crash. */
START_TEST(its_time_runs_on)
{
    const char *x;
    setup(_i, CALL("\"TimeoutSeconds\":60,"));
    int64_t begin = f.world->now_us;
    struct task_token t = submitted(&x);
    world_run(f.world, begin + 20 * US_PER_S);
    fixture_restart(&f);
    peer_watch(&f, x);
    world_run(f.world, begin + 59 * US_PER_S);
    ck_assert_uint_eq(f.ended, 0);
    RUN_UNTIL(&f, f.ended == 1, 3 * US_PER_S);
    ck_assert_uint_eq(f.end_status, EXEC_FAILED);
    ck_assert_str_eq(f.end_error, "States.Timeout");
    peer_token(&f, &t, "{}", NULL);
    RUN_UNTIL(&f, f.last_error == ERR_STOPPED, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* Signs of life by anybody who has the token; without them it is over, as States.Timeout. */
START_TEST(its_heart_beats_by_token)
{
    const char *x;
    setup(_i, CALL("\"TimeoutSeconds\":600,\"HeartbeatSeconds\":10,"));
    struct task_token t = submitted(&x);
    peer_watch(&f, x);
    for (uint32_t i = 0; i < 5; i++) {
        world_run(f.world, f.world->now_us + 8 * US_PER_S);
        peer_heartbeat(&f, &t);
        RUN_UNTIL(&f, f.beats == i + 1, US_PER_S);
        ck_assert_uint_eq(f.beat_code, ERR_OK);
        if (i == 2) {
            fixture_restart(&f);
            peer_watch(&f, x);
        }
    }
    ck_assert_uint_eq(f.ended, 0);
    RUN_UNTIL(&f, f.ended == 1, 12 * US_PER_S);
    ck_assert_str_eq(f.end_error, "States.Timeout");
    peer_heartbeat(&f, &t);
    RUN_UNTIL(&f, f.beats == 6, US_PER_S);
    ck_assert_uint_eq(f.beat_code, ERR_STOPPED);
    fixture_teardown(&f);
}
END_TEST

/* Without a deadline nobody looks after it, and a sign of life is welcome all the same. */
START_TEST(a_heartbeat_nobody_waits_for)
{
    const char *x;
    setup(_i, CALL(""));
    struct task_token t = submitted(&x);
    peer_heartbeat(&f, &t);
    RUN_UNTIL(&f, f.beats == 1, 10 * US_PER_S);
    ck_assert_uint_eq(f.beat_code, ERR_OK);
    t.nonce ^= 1;
    peer_heartbeat(&f, &t);
    RUN_UNTIL(&f, f.beats == 2, 10 * US_PER_S);
    ck_assert_uint_eq(f.beat_code, ERR_STALE);
    t.ref.exec.b[15] ^= 1;
    peer_heartbeat(&f, &t);
    RUN_UNTIL(&f, f.beats == 3, 10 * US_PER_S);
    ck_assert_uint_eq(f.beat_code, ERR_STALE);
    fixture_teardown(&f);
}
END_TEST

/* A retry after a lost callback is a new call with a new token. */
START_TEST(a_retry_calls_again)
{
    const char *x;
    setup(_i, CALL("\"TimeoutSeconds\":20,\"Retry\":[{\"ErrorEquals\":[\"States.Timeout\"],"
                   "\"IntervalSeconds\":1,\"MaxAttempts\":1}],"));
    struct task_token t = submitted(&x);
    fixture_hold(&f, "work", 1);
    ck_assert_uint_eq(f.held[0].attempt, 2);
    ck_assert(f.held[0].token.nonce != t.nonce);
    peer_token(&f, &t, "{}", NULL);
    RUN_UNTIL(&f, f.last_error == ERR_STALE, 10 * US_PER_S);
    peer_token(&f, &f.held[0].token, "2", NULL);
    ends_as(x, EXEC_SUCCEEDED, "2", "");
    fixture_teardown(&f);
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("callback");
    TCase *c = tcase_create("callback");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_call_and_its_callback, 0, 6);
    tcase_add_loop_test(c, a_callback_that_fails, 0, 3);
    tcase_add_loop_test(c, a_call_that_fails, 0, 3);
    tcase_add_loop_test(c, an_early_callback, 0, 6);
    tcase_add_loop_test(c, it_goes_out_once, 0, 6);
    tcase_add_loop_test(c, its_time_runs_on, 0, 6);
    tcase_add_loop_test(c, its_heart_beats_by_token, 0, 6);
    tcase_add_loop_test(c, a_heartbeat_nobody_waits_for, 0, 3);
    tcase_add_loop_test(c, a_retry_calls_again, 0, 3);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
