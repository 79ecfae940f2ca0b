/* Maps of 10,000 items through a whole node on virtual time: all their tasks, waits or children open at
 * once, through a crash, a stop, a failure. What such a crowd costs must be in proportion to it, and every
 * limit on the way (steps of a turn, facts of a turn, tasks of a reply) must only cut it into portions. */
#include "base/prelude.h"

#include "tests/unit/engine/engine_fixture.h"

#include "base/mem.h"

enum { CROWD = 10000, TOO_LONG = 600 };

#define MAP(states) \
    "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemProcessor\":{\"StartAt\":\"T\"," \
    "\"States\":{" states "}},\"End\":true}}}"
#define TASK "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}"

static struct fixture f;

/* An execution of the Map over the numbers below "n". */
static const char *begin(int seed, const char *definition, uint32_t n)
{
    struct buf input;
    const char *x;

    fixture_setup(&f, (uint64_t)seed);
    peer_define(&f, "crowd", definition);
    buf_init(&input, 0);
    buf_puts(&input, "[0");
    for (uint32_t i = 1; i < n; i++) {
        buf_printf(&input, ",%u", i);
    }
    buf_puts(&input, "]");
    buf_putc(&input, 0);
    x = fixture_start(&f, "crowd", "one", input.p);
    buf_fini(&input);
    return x;
}

static void ends(const char *x, unsigned status)
{
    fixture_end(&f, x, TOO_LONG * US_PER_S);
    ck_assert_uint_eq(f.end_status, status);
    fixture_teardown(&f);
}

START_TEST(every_item_once)
{
    const char *x = begin(_i, MAP(TASK), CROWD);

    peer_poll(&f, "work", 1000, 1000);
    fixture_end(&f, x, TOO_LONG * US_PER_S);
    ck_assert_uint_eq(f.end_status, EXEC_SUCCEEDED);
    /* The peer names no token in heartbeats: an attempt may be handed out twice, its outcome counts once. */
    ck_assert_uint_ge(f.tasks, CROWD);
    ck_assert_uint_eq(f.acked, CROWD);
    ck_assert_int_eq(strncmp(f.output, "[0,1,2,3,4,5,6,7,8,9,10,", 24), 0);
    fixture_teardown(&f);
}
END_TEST

START_TEST(a_crash_in_the_middle)
{
    const char *x = begin(_i, MAP(TASK), CROWD);

    peer_poll(&f, "work", 1000, 1000);
    RUN_UNTIL(&f, f.acked > CROWD / 3, TOO_LONG * US_PER_S);
    fixture_restart(&f);
    peer_poll(&f, "work", 1000, 1000);
    fixture_end(&f, x, TOO_LONG * US_PER_S);
    ck_assert_uint_eq(f.end_status, EXEC_SUCCEEDED);
    ck_assert_uint_ge(f.tasks, CROWD);
    ck_assert_int_eq(strncmp(f.output, "[0,1,2,3,4,5,6,7,8,9,10,", 24), 0);
    fixture_teardown(&f);
}
END_TEST

START_TEST(a_stop_of_all)
{
    const char *x = begin(_i, MAP(TASK), CROWD);

    f.hold = true;
    peer_poll(&f, "work", 10, 1000);
    RUN_UNTIL(&f, f.held_len == 10, TOO_LONG * US_PER_S);
    peer_stop(&f, x);
    fixture_end(&f, x, TOO_LONG * US_PER_S);
    ck_assert_uint_eq(f.end_status, EXEC_ABORTED);
    peer_poll(&f, "work", 50, 100); /* nothing is left of it */
    world_run(f.world, f.world->now_us + 10 * US_PER_S);
    ck_assert_uint_eq(f.held_len, 10);
    fixture_teardown(&f);
}
END_TEST

START_TEST(one_fails)
{
    const char *x = begin(_i, MAP(TASK), CROWD);

    fixture_hold(&f, "work", 1);
    peer_complete(&f, &f.held[0].token, NULL, "Bad");
    ends(x, EXEC_FAILED);
}
END_TEST

/* All are due at the same time. */
START_TEST(ten_thousand_waits)
{
    const char *x = begin(_i, MAP("\"T\":{\"Type\":\"Wait\",\"Seconds\":30,\"End\":true}"), CROWD);

    ends(x, EXEC_SUCCEEDED);
}
END_TEST

START_TEST(nothing_but_transitions)
{
    const char *x = begin(_i, MAP("\"T\":{\"Type\":\"Pass\",\"End\":true}"), CROWD);

    ends(x, EXEC_SUCCEEDED);
}
END_TEST

START_TEST(a_thousand_children)
{
    const char *x;

    x = begin(_i,
              MAP("\"T\":{\"Type\":\"Task\",\"Resource\":\"arn:aws:states:::states:startExecution."
                  "sync\",\"Parameters\":{\"StateMachineArn\":\"kid\",\"Input.$\":\"$\"},"
                  "\"ResultSelector\":{\"s.$\":\"$.Status\"},"
                  "\"Retry\":[{\"ErrorEquals\":[\"StepFunctions.StateMachineDoesNotExistException\""
                  "],\"IntervalSeconds\":1,\"MaxAttempts\":20}],\"End\":true}"),
              CROWD / 10);
    peer_define(&f, "kid",
                "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Wait\",\"Seconds\":3,\"Next\":"
                "\"B\"},\"B\":{\"Type\":\"Succeed\"}}}");
    fixture_end(&f, x, TOO_LONG * US_PER_S);
    ck_assert_uint_eq(f.end_status, EXEC_SUCCEEDED);
    ck_assert_int_eq(strncmp(f.output, "[{\"s\":\"SUCCEEDED\"},{\"s\":", 24), 0);
    fixture_teardown(&f);
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("crowd");
    TCase *c = tcase_create("crowd");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, every_item_once, 0, 2);
    tcase_add_loop_test(c, a_crash_in_the_middle, 0, 2);
    tcase_add_loop_test(c, a_stop_of_all, 0, 2);
    tcase_add_test(c, one_fails);
    tcase_add_test(c, ten_thousand_waits);
    tcase_add_test(c, nothing_but_transitions);
    tcase_add_loop_test(c, a_thousand_children, 0, 2);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_VERBOSE);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
