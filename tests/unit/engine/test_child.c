/* Child executions end to end on virtual time: what the parent gets, what the child is told, and that there
 * is one child whatever happens to the node. */
#include "base/prelude.h"

#include "tests/unit/engine/engine_fixture.h"

#include "base/mem.h"
#include "tests/sim/sim_store_rows.h"

#define START(suffix, fields, parameters) \
    "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\"," fields \
    "\"Resource\":\"arn:aws:states:::states:startExecution" suffix \
    "\",\"Parameters\":{" parameters "},\"End\":true}}}"
#define KID   "\"StateMachineArn\":\"arn:aws:states:us-east-1:1:stateMachine:kid\",\"Input.$\":\"$\""
#define NAMED KID ",\"Name\":\"kid-1\""
#define TASK_KID \
    "{\"StartAt\":\"T\",\"States\":{\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":" \
    "true}}}"
#define PASS_KID "{\"StartAt\":\"P\",\"States\":{\"P\":{\"Type\":\"Pass\",\"End\":true}}}"
#define FAIL_KID \
    "{\"StartAt\":\"F\",\"States\":{\"F\":{\"Type\":\"Fail\",\"Error\":\"Bad\",\"Cause\":" \
    "\"luck\"}}}"

static struct fixture f;

static void setup(int seed, const char *parent, const char *kid)
{
    fixture_setup(&f, (uint64_t)seed);
    peer_define(&f, "parent", parent);
    if (kid != NULL) {
        peer_define(&f, "kid", kid);
    }
}

static uint32_t rows(enum sim_table t)
{
    struct sim_key k;
    uint32_t n = 0;
    key_begin(&k, t);
    for (struct kv_node *it = kv_seek(f.store->kv, key_str(&k));
         it != NULL && kv_key(it).p[0] == (char)t; it = kv_next(it)) {
        n++;
    }
    return n;
}

/* Executions of a workflow, by status (0: any). */
static uint32_t count(const char *workflow, uint32_t status)
{
    struct sim_key k;
    uint32_t n = 0;
    key_begin(&k, TABLE_EXEC);
    for (struct kv_node *it = kv_seek(f.store->kv, key_str(&k));
         it != NULL && kv_key(it).p[0] == TABLE_EXEC; it = kv_next(it)) {
        struct exec_rec rec;
        memcpy(&rec, kv_value(it).p, sizeof(rec));
        struct str w = row_text(kv_value(it), sizeof(rec), 0, rec.workflow_size);
        n += str_eqc(w, workflow) && (status == 0 || rec.status == status);
    }
    return n;
}

static void ends_as(const char *execution, unsigned status)
{
    fixture_end(&f, execution, 200 * US_PER_S);
    ck_assert_msg(f.end_status == status, "ended as %u: %s %s %s", f.end_status, f.output,
                  f.end_error, f.end_cause);
}

/* Nothing is left over: no task, no message, no running execution. */
static void all_over(void)
{
    RUN_UNTIL(&f, rows(TABLE_MESSAGE) == 0, 30 * US_PER_S);
    ck_assert_uint_eq(rows(TABLE_TASK), 0);
    ck_assert_uint_eq(count("kid", EXEC_RUNNING) + count("parent", EXEC_RUNNING), 0);
}

static void has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "%s\nhas no\n%s", text, part);
}

/* ---- what the parent gets ---- */

START_TEST(a_start_is_enough)
{
    setup(_i, START("", "", NAMED), TASK_KID);
    const char *x = fixture_start(&f, "parent", "p", "{\"n\":1}");
    ends_as(x, EXEC_SUCCEEDED);
    has(f.output, "{\"ExecutionArn\":\"arn:aws:states:us-east-1:");
    has(f.output, ":execution:kid:kid-1\",\"StartDate\":17");
    ck_assert_uint_eq(count("kid", EXEC_RUNNING), 1);
    fixture_hold(&f, "work", 1);
    ck_assert_str_eq(f.held_input[0], "{\"n\":1}");
    fixture_teardown(&f);
}
END_TEST

START_TEST(the_childs_end_is_the_outcome)
{
    setup(_i, START(".sync:2", "", KID), TASK_KID);
    const char *x = fixture_start(&f, "parent", "p", "{\"n\":1}");
    fixture_hold(&f, "work", 1);
    peer_watch(&f, x);
    world_run(f.world, f.world->now_us + 20 * US_PER_S);
    ck_assert_uint_eq(f.ended, 0);
    peer_complete(&f, &f.held[0].token, "{\"done\":true}", NULL);
    RUN_UNTIL(&f, f.ended == 1, 10 * US_PER_S);
    ck_assert_uint_eq(f.end_status, EXEC_SUCCEEDED);
    has(f.output, "\"Input\":{\"n\":1},\"InputDetails\":{\"Included\":true},\"Name\":\"");
    has(f.output, "\"Output\":{\"done\":true},");
    has(f.output, ":stateMachine:kid\",\"Status\":\"SUCCEEDED\",\"StopDate\":17");
    all_over();
    fixture_teardown(&f);
}
END_TEST

/* It ends in its very first turn. */
START_TEST(a_child_of_one_turn)
{
    setup(_i, START(".sync", "", NAMED), PASS_KID);
    const char *x = fixture_start(&f, "parent", "p", "{\"n\":1}");
    ends_as(x, EXEC_SUCCEEDED);
    has(f.output, "\"Input\":\"{\\\"n\\\":1}\"");
    has(f.output, "\"Name\":\"kid-1\",\"Output\":\"{\\\"n\\\":1}\",");
    all_over();
    fixture_teardown(&f);
}
END_TEST

START_TEST(a_child_that_fails)
{
    setup(_i, START(".sync", "", NAMED), FAIL_KID);
    const char *x = fixture_start(&f, "parent", "p", "{}");
    ends_as(x, EXEC_FAILED);
    ck_assert_str_eq(f.end_error, "States.TaskFailed");
    has(f.end_cause, "{\"Cause\":\"luck\",\"Error\":\"Bad\",\"ExecutionArn\":\"arn:aws:states:");
    has(f.end_cause, "\"Status\":\"FAILED\"");
    all_over();
    fixture_teardown(&f);
}
END_TEST

START_TEST(a_child_out_of_time)
{
    setup(_i, START(".sync", "", NAMED),
          "{\"StartAt\":\"W\",\"TimeoutSeconds\":20,\"States\":{\"W\":{\"Type\":\"Wait\","
          "\"Seconds\":300,\"End\":true}}}");
    const char *x = fixture_start(&f, "parent", "p", "{}");
    ends_as(x, EXEC_FAILED);
    ck_assert_str_eq(f.end_error, "States.TaskFailed");
    has(f.end_cause, "\"Status\":\"TIMED_OUT\"");
    all_over();
    fixture_teardown(&f);
}
END_TEST

/* The child is given the token and does what it likes; the token's answer is the outcome. */
START_TEST(a_child_with_the_token)
{
    setup(_i,
          START(".waitForTaskToken", "\"HeartbeatSeconds\":10,",
                "\"StateMachineArn\":\"kid\",\"Input\":{\"token.$\":\"$$.Task.Token\"}"),
          TASK_KID);
    const char *x = fixture_start(&f, "parent", "p", "{}");
    fixture_hold(&f, "work", 1);
    struct arena a;
    struct str bytes;
    struct task_token parent;
    arena_init(&a, 0);
    struct str text = {f.held_input[0] + strlen("{\"token\":\""), TASK_TOKEN_TEXT};
    ck_assert_int_eq(base64_decode(text, true, &a, &bytes), ERR_OK);
    ck_assert_int_eq(task_token_decode(bytes, &parent), ERR_OK);
    arena_fini(&a);
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    RUN_UNTIL(&f, f.acked == 1, 10 * US_PER_S);
    ck_assert_uint_eq(count("kid", EXEC_SUCCEEDED), 1);
    peer_watch(&f, x);
    world_run(f.world, f.world->now_us + 5 * US_PER_S);
    ck_assert_uint_eq(f.ended, 0); /* its end is not what is waited for */
    for (int i = 0; i < 3; i++) {
        peer_heartbeat(&f, &parent);
        world_run(f.world, f.world->now_us + 8 * US_PER_S);
    }
    ck_assert_uint_eq(f.ended, 0);
    peer_token(&f, &parent, "\"thanks\"", NULL);
    RUN_UNTIL(&f, f.ended == 1, 10 * US_PER_S);
    ck_assert_str_eq(f.output, "\"thanks\"");
    all_over();
    fixture_teardown(&f);
}
END_TEST

START_TEST(starts_that_cannot_be)
{
    static const struct {
        const char *parameters, *error, *cause;
    } cases[] = {
        {"\"StateMachineArn\":\"arn:aws:states:us-east-1:1:stateMachine:none\"",
         "StepFunctions.StateMachineDoesNotExistException",
         "State Machine Does Not Exist: 'arn:aws:states:us-east-1:1:stateMachine:none' (Service: "},
        {"\"StateMachineArn\":\"kid\",\"Name\":\"no spaces please\"",
         "StepFunctions.InvalidNameException", "'no spaces please'"},
        {"\"StateMachineArn\":\"kid\",\"Name\":\"taken\",\"Input\":{\"other\":1}",
         "StepFunctions.ExecutionAlreadyExistsException", ":execution:kid:taken'"},
        {"\"StateMachineArn\":\"kid\",\"Input\":\"no json\"",
         "StepFunctions.InvalidExecutionInputException", "'no json'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[1000];
        setup(_i, START("", "", "\"StateMachineArn\":\"kid\""), TASK_KID);
        (void)fixture_start(&f, "kid", "taken", "{}");
        (void)snprintf(text, sizeof(text), START(".sync", "", "%s"), cases[i].parameters);
        peer_define(&f, "parent", text);
        const char *x = fixture_start(&f, "parent", "p", "{}");
        ends_as(x, EXEC_FAILED);
        ck_assert_str_eq(f.end_error, cases[i].error);
        has(f.end_cause, cases[i].cause);
        ck_assert_uint_eq(count("kid", 0), 1);
        fixture_teardown(&f);
    }
}
END_TEST

/* A name in use with the same input: enough for who only wants it to run, not for who waits for the end of
 * what somebody else has started. */
START_TEST(a_name_that_runs_already)
{
    setup(_i, START("", "", "\"StateMachineArn\":\"kid\",\"Name\":\"one\",\"Input\":{\"a\":1}"),
          TASK_KID);
    (void)fixture_start(&f, "kid", "one", "{\"a\":1}");
    ends_as(fixture_start(&f, "parent", "p", "{}"), EXEC_SUCCEEDED);
    has(f.output, ":execution:kid:one\",\"StartDate\":17");
    peer_define(&f, "parent",
                START(".sync", "",
                      "\"StateMachineArn\":\"kid\",\"Name\":\"one\",\"Input\":{\"a\":1}"));
    ends_as(fixture_start(&f, "parent", "p2", "{}"), EXEC_FAILED);
    ck_assert_str_eq(f.end_error, "StepFunctions.ExecutionAlreadyExistsException");
    /* Ended: taken for everybody. */
    fixture_hold(&f, "work", 1);
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    RUN_UNTIL(&f, f.acked == 1, 10 * US_PER_S);
    peer_define(&f, "parent",
                START("", "", "\"StateMachineArn\":\"kid\",\"Name\":\"one\",\"Input\":{\"a\":1}"));
    ends_as(fixture_start(&f, "parent", "p3", "{}"), EXEC_FAILED);
    ck_assert_str_eq(f.end_error, "StepFunctions.ExecutionAlreadyExistsException");
    ck_assert_uint_eq(count("kid", 0), 1);
    fixture_teardown(&f);
}
END_TEST

/* ---- what the child is told ---- */

static void kid_is_stopped(void)
{
    RUN_UNTIL(&f, count("kid", EXEC_ABORTED) == 1, 10 * US_PER_S);
    all_over();
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    world_run(f.world, f.world->now_us + US_PER_S);
    ck_assert_uint_eq(f.acked, 0);
    ck_assert_uint_eq(count("kid", 0), 1);
}

START_TEST(a_parent_out_of_time)
{
    setup(_i, START(".sync", "\"TimeoutSeconds\":30,", KID), TASK_KID);
    const char *x = fixture_start(&f, "parent", "p", "{}");
    fixture_hold(&f, "work", 1);
    if (_i >= 3) {
        fixture_restart(&f);
    }
    ends_as(x, EXEC_FAILED);
    ck_assert_str_eq(f.end_error, "States.Timeout");
    kid_is_stopped();
    fixture_teardown(&f);
}
END_TEST

START_TEST(a_parent_that_is_stopped)
{
    setup(_i, START(".sync", "", NAMED), TASK_KID);
    const char *x = fixture_start(&f, "parent", "p", "{}");
    fixture_hold(&f, "work", 1);
    peer_stop(&f, x);
    ends_as(x, EXEC_ABORTED);
    kid_is_stopped();
    fixture_teardown(&f);
}
END_TEST

/* While its child is being started: there is none, or it is stopped. */
START_TEST(a_parent_that_is_stopped_early)
{
    setup(_i, START(".sync", "", KID), TASK_KID);
    const char *x = fixture_start(&f, "parent", "p", "{}");
    world_run(f.world, f.world->now_us + _i * 150);
    peer_stop(&f, x);
    ends_as(x, EXEC_ABORTED);
    world_run(f.world, f.world->now_us + 5 * US_PER_S);
    ck_assert_uint_eq(count("kid", 0), count("kid", EXEC_ABORTED));
    all_over();
    fixture_teardown(&f);
}
END_TEST

/* Down the whole line: parent, child, grandchild. */
START_TEST(a_line_that_is_stopped)
{
    setup(_i, START(".sync", "", "\"StateMachineArn\":\"middle\",\"Input.$\":\"$\""), TASK_KID);
    peer_define(&f, "middle", START(".sync", "", KID));
    const char *x = fixture_start(&f, "parent", "p", "{}");
    fixture_hold(&f, "work", 1);
    peer_stop(&f, x);
    kid_is_stopped();
    ck_assert_uint_eq(count("middle", EXEC_ABORTED), 1);
    fixture_teardown(&f);
}
END_TEST

/* A branch that fails takes the other branch's child with it; one that only started its own does not. */
START_TEST(a_branch_that_fails)
{
    static const char parent[] =
        "{\"StartAt\":\"P\",\"States\":{\"P\":{\"Type\":\"Parallel\",\"End\":true,\"Branches\":[{"
        "\"StartAt\":"
        "\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"arn:aws:states:::states:"
        "startExecution.sync\",\"Parameters\":{\"StateMachineArn\":\"kid\"},\"End\":true}}},{"
        "\"StartAt\":"
        "\"B\",\"States\":{\"B\":{\"Type\":\"Task\",\"Resource\":\"arn:aws:states:::states:"
        "startExecution\",\"Parameters\":{\"StateMachineArn\":\"kid\",\"Name\":\"free\"},\"Next\":"
        "\"C\"},"
        "\"C\":{\"Type\":\"Task\",\"Resource\":\"queue:other\",\"End\":true}}}]}}}";
    setup(_i, parent, TASK_KID);
    const char *x = fixture_start(&f, "parent", "p", "{}");
    RUN_UNTIL(&f, count("kid", EXEC_RUNNING) == 2, 10 * US_PER_S);
    fixture_hold(&f, "other", 1);
    peer_complete(&f, &f.held[0].token, NULL, "Broken");
    ends_as(x, EXEC_FAILED);
    ck_assert_str_eq(f.end_error, "Broken");
    RUN_UNTIL(&f, count("kid", EXEC_ABORTED) == 1, 10 * US_PER_S);
    world_run(f.world, f.world->now_us + 10 * US_PER_S);
    ck_assert_uint_eq(count("kid", EXEC_RUNNING), 1);
    fixture_teardown(&f);
}
END_TEST

/* Stopped by a client of its own: the parent learns of it as of any end. */
START_TEST(a_child_that_is_stopped)
{
    setup(_i, START(".sync", "", KID), TASK_KID);
    const char *x = fixture_start(&f, "parent", "p", "{}");
    fixture_hold(&f, "work", 1);
    char id[EXEC_ID_TEXT + 1];
    exec_id_format(&f.held[0].token.ref.exec, id);
    peer_stop(&f, id);
    ends_as(x, EXEC_FAILED);
    has(f.end_cause, "\"Error\":\"Stopped\"");
    has(f.end_cause, "\"Status\":\"ABORTED\"");
    all_over();
    fixture_teardown(&f);
}
END_TEST

/* ---- one child, whatever happens ---- */

static void one_of_each(const char *execution)
{
    ends_as(execution, EXEC_SUCCEEDED);
    has(f.output, "\"Output\":{\"n\":1}");
    ck_assert_uint_eq(count("kid", 0), 1);
    ck_assert_uint_eq(count("parent", 0), 1);
    all_over();
}

/* The node dies at any moment from the start of the parent to its end. */
START_TEST(a_crash_at_any_moment)
{
    setup(_i, START(".sync:2", "", KID), _i % 2 == 0 ? PASS_KID : TASK_KID);
    peer_poll(&f, "work", 5, 5000); /* its worker answers at once */
    const char *x = fixture_start(&f, "parent", "p", "{\"n\":1}");
    world_run(f.world, f.world->now_us + _i * 300);
    fixture_restart(&f);
    peer_poll(&f, "work", 5, 5000);
    one_of_each(x);
    fixture_teardown(&f);
}
END_TEST

static void on_fault(struct fault_set *set, enum fault_point p)
{
    (void)p;
    host_crash_and_restart(((struct fixture *)set->arg)->node_host, US_PER_S);
}

/* And at each named point, with a name given. */
START_TEST(a_crash_at_each_point)
{
    static const char *const points[] = {"CHILD_BEFORE_START",     "CHILD_AFTER_START",
                                         "LETTER_BEFORE_DELIVERY", "COMMIT_BEFORE_SEND",
                                         "COMMIT_AFTER_DURABLE",   "START_AFTER_COMMIT"};
    char spec[64];
    setup(_i, START(".sync:2", "", NAMED), PASS_KID);
    fault_init(&f.faults, on_fault, &f);
    (void)snprintf(spec, sizeof(spec), "%s:after=%d:times=1", points[_i % 6], _i / 6);
    ck_assert_int_eq(fault_arm(&f.faults, str_of(spec)), ERR_OK);
    uint32_t lives = f.node_host->lives;
    peer_start(&f, "parent", "p", "{\"n\":1}");
    world_run(f.world, f.world->now_us + 40 * US_PER_S);
    if (_i < 6) {
        ck_assert_msg(f.node_host->lives > lives, "%s was never passed", points[_i]);
    }
    RUN_UNTIL(&f, f.active && f.peer->greeted, 60 * US_PER_S);
    const char *x = fixture_start(&f, "parent", "p", "{\"n\":1}");
    one_of_each(x);
    fixture_teardown(&f);
}
END_TEST

START_TEST(lost_answers_and_failed_transactions)
{
    setup(_i, START(".sync:2", "", KID), TASK_KID);
    f.store->faults.lose_answer = 0.2;
    f.store->faults.serialization = 0.2;
    for (int i = 0; i < 10; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "p%d", i);
        peer_start(&f, "parent", name, "{\"n\":1}");
    }
    peer_poll(&f, "work", 10, 1000);
    world_run(f.world, f.world->now_us + 100 * US_PER_S);
    f.store->faults = (struct sim_store_faults){0};
    for (int i = 0; i < 10; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "p%d", i);
        const char *x = fixture_start(&f, "parent", name, "{\"n\":1}");
        peer_poll(&f, "work", 10, 1000);
        ends_as(x, EXEC_SUCCEEDED);
    }
    ck_assert_uint_eq(count("kid", 0), 10);
    ck_assert_uint_eq(count("kid", EXEC_SUCCEEDED), 10);
    all_over();
    fixture_teardown(&f);
}
END_TEST

/* The child ends under the first owner, which dies before it has told anybody; the second one finds out. */
START_TEST(another_node_finds_out)
{
    struct second n;
    setup(_i, START(".sync:2", "", KID), TASK_KID);
    (void)fixture_second(&f, &n);
    const char *x = fixture_start(&f, "parent", "p", "{\"n\":1}");
    fixture_hold(&f, "work", 1);
    fault_init(&f.faults, NULL, NULL);
    peer_complete(&f, &f.held[0].token, "{\"n\":1}", NULL);
    while (count("kid", EXEC_SUCCEEDED) == 0 && world_step(f.world, INT64_MAX)) {
    }
    ck_assert_uint_eq(rows(TABLE_MESSAGE), 1);
    host_crash(f.node_host);
    RUN_UNTIL(&f, n.active, 30 * US_PER_S);
    RUN_UNTIL(&f, count("parent", EXEC_SUCCEEDED) == 1, 10 * US_PER_S);
    RUN_UNTIL(&f, rows(TABLE_MESSAGE) == 0, 10 * US_PER_S);
    (void)x;
    fixture_teardown(&f);
}
END_TEST

/* Many at once, as items of a Map; some turns read more than one end. */
START_TEST(a_map_of_children)
{
    static const char parent[] =
        "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemsPath\":\"$.items\","
        "\"ItemProcessor\":{"
        "\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"arn:aws:states:::"
        "states:"
        "startExecution.sync:2\",\"Parameters\":{\"StateMachineArn\":\"kid\",\"Input.$\":\"$\"},"
        "\"OutputPath\":\"$.Output\",\"End\":true}}},\"End\":true}}}";
    setup(_i, parent, _i % 2 == 0 ? PASS_KID : TASK_KID);
    struct buf b;
    buf_init(&b, 0);
    buf_puts(&b, "{\"items\":[");
    for (int i = 0; i < 150; i++) {
        buf_printf(&b, "%s%d", i > 0 ? "," : "", i);
    }
    buf_puts(&b, "]}");
    buf_putc(&b, '\0');
    peer_poll(&f, "work", 50, 1000);
    const char *x = fixture_start(&f, "parent", "p", b.p);
    if (_i >= 3) {
        world_run(f.world, f.world->now_us + _i * 2000);
        fixture_restart(&f);
        peer_poll(&f, "work", 50, 1000);
    }
    ends_as(x, EXEC_SUCCEEDED);
    has(f.output, "[0,1,2,3,4,5,6,7,8,9,10,");
    has(f.output, ",148,149]");
    ck_assert_uint_eq(count("kid", 0), 150);
    all_over();
    buf_fini(&b);
    fixture_teardown(&f);
}
END_TEST

/* Children that wait for their turn while the node is told to stop are started by the next one. */
START_TEST(a_stop_in_the_middle)
{
    setup(_i, START(".sync:2", "", KID), PASS_KID);
    peer_start(&f, "parent", "p", "{\"n\":1}");
    world_run(f.world, f.world->now_us + _i * 700);
    host_run(f.node_host, fixture_stop_node);
    RUN_UNTIL(&f, f.stopped, 20 * US_PER_S);
    host_crash_and_restart(f.node_host, US_PER_S);
    RUN_UNTIL(&f, f.active && f.peer->greeted, 60 * US_PER_S);
    one_of_each(fixture_start(&f, "parent", "p", "{\"n\":1}"));
    fixture_teardown(&f);
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("child");
    TCase *c = tcase_create("child");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_start_is_enough, 0, 3);
    tcase_add_loop_test(c, the_childs_end_is_the_outcome, 0, 3);
    tcase_add_loop_test(c, a_child_of_one_turn, 0, 6);
    tcase_add_loop_test(c, a_child_that_fails, 0, 3);
    tcase_add_loop_test(c, a_child_out_of_time, 0, 3);
    tcase_add_loop_test(c, a_child_with_the_token, 0, 3);
    tcase_add_loop_test(c, starts_that_cannot_be, 0, 3);
    tcase_add_loop_test(c, a_name_that_runs_already, 0, 3);
    tcase_add_loop_test(c, a_parent_out_of_time, 0, 6);
    tcase_add_loop_test(c, a_parent_that_is_stopped, 0, 3);
    tcase_add_loop_test(c, a_parent_that_is_stopped_early, 0, 40);
    tcase_add_loop_test(c, a_line_that_is_stopped, 0, 3);
    tcase_add_loop_test(c, a_branch_that_fails, 0, 3);
    tcase_add_loop_test(c, a_child_that_is_stopped, 0, 3);
    tcase_add_loop_test(c, a_crash_at_any_moment, 0, 60);
    tcase_add_loop_test(c, a_crash_at_each_point, 0, 18);
    tcase_add_loop_test(c, lost_answers_and_failed_transactions, 0, 12);
    tcase_add_loop_test(c, another_node_finds_out, 0, 6);
    tcase_add_loop_test(c, a_map_of_children, 0, 9);
    tcase_add_loop_test(c, a_stop_in_the_middle, 0, 20);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
