/* Child executions and callbacks in the core: what a call asks for, what passes between parent and child,
 * how an attempt is submitted and ends. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "engine/core/child.h"
#include "tests/unit/core/core_fixture.h"

#define CALLBACK \
    "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:q." \
    "waitForTaskToken\"," \
    "\"Parameters\":{\"t.$\":\"$$.Task.Token\"},\"TimeoutSeconds\":60,\"HeartbeatSeconds\":10," \
    "\"End\":true}}}"
#define CHILD(suffix) \
    "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"TimeoutSeconds\":60," \
    "\"HeartbeatSeconds\":10,\"Resource\":\"arn:aws:states:::states:startExecution" suffix "\"," \
    "\"Parameters\":{\"StateMachineArn\":\"kid\",\"Input.$\":\"$\"},\"End\":true}}}"

static struct fact submission(struct cx *c, const char *output)
{
    return (struct fact){.type = FACT_TASK_SUCCEEDED,
                         .call = true,
                         .token = cx_task(c, 0).token,
                         .payload = str_of(output),
                         .worker = STR("w")};
}

/* ---- callbacks ---- */

START_TEST(a_call_submits_and_a_token_ends)
{
    struct cx c;
    struct fact f;
    enum fact_result r;
    struct task_token token;

    cx_init(&c, CALLBACK, 1);
    cx_start(&c, "{}");
    token = cx_task(&c, 0).token;
    ck_assert(cx_task(&c, 0).wait_for_token && !cx_task(&c, 0).submitted);
    f = submission(&c, "{\"queued\":1}");
    ck_assert(cx_turn(&c, &f, &r));
    ck_assert_int_eq(r, FACT_ACCEPTED);
    ck_assert_int_eq(exec_status(c.x), EXEC_RUNNING);
    ck_assert_uint_eq(c.out->tasks_submitted_len, 1);
    ck_assert_uint_eq(c.out->tasks_submitted[0].seq, token.ref.seq);
    ck_assert_uint_eq(c.out->tasks_done_len, 0);
    ck_assert(c.out->outcomes.p == NULL); /* no outcome yet */
    ck_assert(cx_task(&c, 0).submitted);
    /* The worker's answer comes again, and another one's, good or bad: too late. */
    ck_assert(!cx_turn(&c, &f, &r));
    ck_assert_int_eq(r, FACT_STALE);
    f.type = FACT_TASK_FAILED;
    ck_assert(!cx_turn(&c, &f, &r));
    ck_assert_int_eq(r, FACT_STALE);
    cx_check_fold(&c);
    ck_assert_int_eq(cx_succeed(&c, token, "{\"answer\":42}"), FACT_ACCEPTED);
    ck_assert_int_eq(exec_status(c.x), EXEC_SUCCEEDED);
    ck_assert(str_eqc(exec_output(c.x), "{\"answer\":42}"));
    ck_assert_uint_eq(c.out->tasks_done_len, 1);
    cx_check_fold(&c);
    cx_fini(&c);
}
END_TEST

START_TEST(an_early_callback_counts)
{
    struct cx c;
    struct fact f;
    enum fact_result r;

    cx_init(&c, CALLBACK, 1);
    cx_start(&c, "{}");
    f = submission(&c, "{}");
    ck_assert_int_eq(cx_succeed(&c, f.token, "7"), FACT_ACCEPTED);
    ck_assert_int_eq(exec_status(c.x), EXEC_SUCCEEDED);
    ck_assert(!cx_turn(&c, &f, &r));
    ck_assert_int_eq(r, FACT_STOPPED);
    cx_fini(&c);
}
END_TEST

START_TEST(a_failed_call_fails_the_attempt)
{
    struct cx c;
    struct fact f;
    enum fact_result r;

    cx_init(&c, CALLBACK, 1);
    cx_start(&c, "{}");
    f = submission(&c, "{}");
    f.type = FACT_TASK_FAILED;
    f.error = STR("NoPost");
    ck_assert(cx_turn(&c, &f, &r));
    ck_assert_int_eq(exec_status(c.x), EXEC_FAILED);
    ck_assert(str_eqc(exec_error(c.x), "NoPost"));
    cx_fini(&c);
}
END_TEST

/* Submitted and ended by one turn: closed is all that is told. */
START_TEST(submitted_and_ended_in_one_turn)
{
    struct cx c;
    struct fact f, done;
    const struct turn_out *out;

    cx_init(&c, CALLBACK, 1);
    cx_start(&c, "{}");
    f = submission(&c, "{}");
    done = f;
    done.call = false;
    turn_begin(c.t, c.x, c.now, &c.rng);
    ck_assert_int_eq(turn_fact(c.t, &f, NULL), FACT_ACCEPTED);
    ck_assert_int_eq(turn_fact(c.t, &done, NULL), FACT_ACCEPTED);
    ck_assert(turn_end(c.t, &out));
    ck_assert_uint_eq(out->tasks_submitted_len, 0);
    ck_assert_uint_eq(out->tasks_done_len, 1);
    cx_fini(&c);
}
END_TEST

/* ---- the call ---- */

static const struct task_token some_token = {
    .ref = {.exec = {{0, 0, 1, 0, 0, 7, 0x80}}, .seq = 3, .idx = 1, .attempt = 2}, .nonce = 99};

static struct child_ask ask_ok(struct arena *a, const char *parameters)
{
    struct child_ask ask;
    struct child_error e = {STR_NONE, STR_NONE};

    ck_assert_msg(child_ask_parse(a, str_of(parameters), &some_token, &ask, &e), "%.*s",
                  STR_ARG(e.cause));
    return ask;
}

START_TEST(what_a_call_asks_for)
{
    struct arena a;
    struct child_ask ask, again;

    arena_init(&a, 0);
    ask = ask_ok(&a, "{\"StateMachineArn\":\"kid\"}");
    ck_assert(str_eqc(ask.workflow, "kid") && str_eqc(ask.input, "{}"));
    ck_assert_uint_eq(ask.name.size, EXEC_ID_TEXT);
    again = ask_ok(&a, "{\"StateMachineArn\":\"kid\",\"Name\":null,\"Input\":null}");
    ck_assert(str_eq(ask.name, again.name) && str_eqc(again.input, "{}"));
    ask = ask_ok(&a, "{\"StateMachineArn\":\"arn:aws:states:us-east-1:1:stateMachine:kid\","
                     "\"Name\":\"n-1\",\"Input\":{\"a\":[1.50,\"x\"]}}");
    ck_assert(str_eqc(ask.workflow, "kid") && str_eqc(ask.name, "n-1"));
    ck_assert(str_eqc(ask.input, "{\"a\":[1.50,\"x\"]}"));
    ask = ask_ok(&a, "{\"StateMachineArn\":\"arn:aws:states:us-east-1:1:stateMachine:kid:12\","
                     "\"Input\":\"{\\\"text\\\":true}\"}");
    ck_assert(str_eqc(ask.workflow, "kid") && str_eqc(ask.input, "{\"text\":true}"));
    ask = ask_ok(&a, "{\"StateMachineArn\":\"arn:x:kid\"}");
    ck_assert(str_eqc(ask.workflow, "kid"));
    arena_fini(&a);
}
END_TEST

START_TEST(what_a_call_may_not_ask_for)
{
    static const char *const bad[][2] = {
        {"{}", "StepFunctions.InvalidArnException"},
        {"[]", "StepFunctions.InvalidArnException"},
        {"{\"StateMachineArn\":\"a b\"}", "StepFunctions.InvalidArnException"},
        {"{\"StateMachineArn\":\"arn:aws:states:r:1:stateMachine:\"}",
         "StepFunctions.InvalidArnException"},
        {"{\"StateMachineArn\":\"k\",\"Name\":\"a/b\"}", "StepFunctions.InvalidNameException"},
        {"{\"StateMachineArn\":\"k\",\"Name\":5}", "StepFunctions.InvalidNameException"},
        {"{\"StateMachineArn\":\"k\",\"Input\":\"{\"}",
         "StepFunctions.InvalidExecutionInputException"},
    };
    struct arena a;
    struct child_ask ask;
    struct child_error e;

    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(!child_ask_parse(&a, str_of(bad[i][0]), &some_token, &ask, &e), "%s",
                      bad[i][0]);
        ck_assert_msg(str_eqc(e.name, bad[i][1]), "%s: %.*s", bad[i][0], STR_ARG(e.name));
    }
    ask = ask_ok(&a, "{\"StateMachineArn\":\"arn:aws:states:us-east-1:1:stateMachine:none\"}");
    e = child_no_workflow(&a, &ask);
    ck_assert(str_eqc(e.name, "StepFunctions.StateMachineDoesNotExistException"));
    ck_assert(str_starts(e.cause, STR("State Machine Does Not Exist: 'arn:aws:states:us-east-1:1:"
                                      "stateMachine:none' (Service: AWSStepFunctions; Status Code: "
                                      "400; Error Code: StateMachineDoesNotExist; Request ID: ")));
    arena_fini(&a);
}
END_TEST

START_TEST(parameters_without_a_machine_raise)
{
    struct cx c;

    cx_init(
        &c,
        "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":"
        "\"arn:aws:states:::states:startExecution\",\"Parameters\":{\"Input\":1},\"End\":true}}}",
        1);
    cx_start(&c, "{}");
    ck_assert_int_eq(exec_status(c.x), EXEC_FAILED);
    ck_assert(str_eqc(exec_error(c.x), "States.Runtime"));
    ck_assert(memmem(exec_cause(c.x).p, exec_cause(c.x).size, "'StateMachineArn' is required", 29));
    cx_fini(&c);
}
END_TEST

/* ---- parent and child ---- */

/* A child of the parent's open task, ended by one fact; what it says goes to "said". */
static void child_run(struct cx *k, struct cx *parent, const struct fact *end, struct buf *said)
{
    struct fact start = {.type = FACT_START,
                         .payload = cx_task(parent, 0).input,
                         .parent = cx_task(parent, 0).token,
                         .parent_waits = true};
    struct fact f = *end;
    struct task_token told;
    bool waits;

    cx_init(k,
            "{\"StartAt\":\"T\",\"States\":{\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:k\","
            "\"End\":true}}}",
            2);
    start.payload = STR("{\"in\":\"a\\\"b\"}");
    ck_assert(cx_turn(k, &start, NULL));
    ck_assert(exec_parent(k->x, &told, &waits));
    ck_assert(task_token_eq(&told, &start.parent) && waits);
    f.token = cx_task(k, 0).token;
    k->now.us += 5 * US_PER_S;
    ck_assert(cx_turn(k, &f, NULL));
    ck_assert_int_ne(exec_status(k->x), EXEC_RUNNING);
    cx_check_fold(k);
    exec_end_write(k->x, k->now, said);
}

static void submit_child(struct cx *c, struct exec_id child)
{
    struct fact f = {.type = FACT_TASK_SUBMITTED,
                     .token = cx_task(c, 0).token,
                     .payload = STR("{}"),
                     .child = child};

    ck_assert(cx_turn(c, &f, NULL));
    ck_assert_uint_eq(c->out->tasks_submitted_len, 1);
}

static enum fact_result child_tells(struct cx *c, struct task_token token, struct str said)
{
    struct fact f = {.type = FACT_CHILD_ENDED, .token = token, .payload = said};
    enum fact_result r;

    (void)cx_turn(c, &f, &r);
    return r;
}

static void sync_run(const char *definition, const struct fact *end, struct cx *parent)
{
    struct cx k;
    struct buf said;
    struct task_token token;

    buf_init(&said, 0);
    cx_init(parent, definition, 1);
    cx_start(parent, "{\"x\":1}");
    ck_assert_int_eq(cx_task(parent, 0).kind, TASK_START_EXECUTION);
    ck_assert(cx_task(parent, 0).sync && cx_task(parent, 0).heartbeat_us == 0);
    ck_assert(str_eqc(cx_task(parent, 0).queue, QUEUE_CHILD));
    token = cx_task(parent, 0).token;
    child_run(&k, parent, end, &said);
    submit_child(parent, k.ident.id);
    cx_check_fold(parent);
    ck_assert_int_eq(child_tells(parent, token, buf_str(&said)), FACT_ACCEPTED);
    ck_assert_uint_eq(parent->out->children_left_len, 0);
    ck_assert_int_eq(child_tells(parent, token, buf_str(&said)), FACT_STOPPED);
    cx_check_fold(parent);
    buf_fini(&said);
    cx_fini(&k);
}

#define NAMES "\"Name\":\"order-1\","
#define DATES \
    "\"StartDate\":1760000000000,\"StateMachineArn\":\"arn:aws:states:us-east-1:1:stateMachine:" \
    "flow\","
#define ARN "\"ExecutionArn\":\"arn:aws:states:us-east-1:1:execution:flow:order-1\","
#define REDRIVE \
    "\"OutputDetails\":{\"Included\":true},\"RedriveCount\":0,\"RedriveStatus\":\"NOT_" \
    "REDRIVABLE\"," \
    "\"RedriveStatusReason\":\"Execution is SUCCEEDED and cannot be redriven\","

START_TEST(a_child_that_succeeds)
{
    struct fact end = {.type = FACT_TASK_SUCCEEDED, .payload = STR("{\"out\":[1]}")};
    struct cx c;

    sync_run(CHILD(".sync"), &end, &c);
    ck_assert_int_eq(exec_status(c.x), EXEC_SUCCEEDED);
    ck_assert_msg(str_eqc(exec_output(c.x), "{" ARN "\"Input\":\"{\\\"in\\\":\\\"a\\\\\\\"b\\\"}\","
                                            "\"InputDetails\":{\"Included\":true}," NAMES
                                            "\"Output\":\"{\\\"out\\\":[1]}\"," REDRIVE DATES
                                            "\"Status\":\"SUCCEEDED\",\"StopDate\":1760000005000}"),
                  "%.*s", STR_ARG(exec_output(c.x)));
    cx_fini(&c);
    sync_run(CHILD(".sync:2"), &end, &c);
    ck_assert_msg(str_eqc(exec_output(c.x), "{" ARN "\"Input\":{\"in\":\"a\\\"b\"},"
                                            "\"InputDetails\":{\"Included\":true}," NAMES
                                            "\"Output\":{\"out\":[1]}," REDRIVE DATES
                                            "\"Status\":\"SUCCEEDED\",\"StopDate\":1760000005000}"),
                  "%.*s", STR_ARG(exec_output(c.x)));
    cx_fini(&c);
}
END_TEST

START_TEST(a_child_that_does_not)
{
    struct fact end = {.type = FACT_TASK_FAILED, .error = STR("Bad"), .cause = STR("no \"luck\"")};
    struct cx c;

    sync_run(CHILD(".sync:2"), &end, &c);
    ck_assert_int_eq(exec_status(c.x), EXEC_FAILED);
    ck_assert(str_eqc(exec_error(c.x), "States.TaskFailed"));
    ck_assert_msg(str_eqc(exec_cause(c.x), "{\"Cause\":\"no \\\"luck\\\"\",\"Error\":\"Bad\"," ARN
                                           "\"Input\":\"{\\\"in\\\":\\\"a\\\\\\\"b\\\"}\","
                                           "\"InputDetails\":{\"Included\":true}," NAMES DATES
                                           "\"Status\":\"FAILED\",\"StopDate\":1760000005000}"),
                  "%.*s", STR_ARG(exec_cause(c.x)));
    cx_fini(&c);
    end = (struct fact){.type = FACT_STOP};
    sync_run(CHILD(".sync"), &end, &c);
    ck_assert_int_eq(exec_status(c.x), EXEC_FAILED);
    ck_assert(memmem(exec_cause(c.x).p, exec_cause(c.x).size, "\"Status\":\"ABORTED\"", 18));
    cx_fini(&c);
}
END_TEST

/* However long the child's cause and input: valid JSON within the limit. */
START_TEST(a_long_cause_is_cut)
{
    struct child_end end = {.status = EXEC_FAILED, .input = STR("{}"), .error = STR("E")};
    struct buf long_text, out;

    buf_init(&long_text, 0);
    buf_init(&out, 0);
    for (int i = 0; i < CAUSE_SIZE_MAX / 2; i++) {
        buf_puts(&long_text, "\xc3\xa9");
    }
    end.cause = buf_str(&long_text);
    child_cause_write(&out, &end);
    ck_assert_uint_le(out.size, CAUSE_SIZE_MAX);
    ck_assert_uint_gt(out.size, CAUSE_SIZE_MAX / 4);
    ck_assert_int_eq(json_validate(buf_str(&out), JSON_LIMITS_PAYLOAD, NULL), ERR_OK);
    ck_assert(memmem(out.p, out.size, "\"Included\":false", 16) != NULL);
    end.input = buf_str(&long_text);
    end.cause = STR("short");
    child_cause_write(&out, &end);
    ck_assert_uint_lt(out.size, 1000);
    ck_assert_int_eq(json_validate(buf_str(&out), JSON_LIMITS_PAYLOAD, NULL), ERR_OK);
    buf_fini(&long_text);
    buf_fini(&out);
}
END_TEST

/* An attempt that ends otherwise than by its child leaves it behind, to be stopped. */
START_TEST(who_is_left_behind)
{
    static const enum fact_type ways[] = {FACT_TASK_TIMED_OUT, FACT_STOP};
    struct exec_id kid = {{0, 0, 9, 0, 0, 1, 0x80, 0, 0x80}};

    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct fact f = {.type = ways[i]};
        struct cx c;
        cx_init(&c, CHILD(".sync"), 1);
        cx_start(&c, "{}");
        submit_child(&c, kid);
        f.token = cx_task(&c, 0).token;
        ck_assert(cx_turn(&c, &f, NULL));
        ck_assert_uint_eq(c.out->children_left_len, 1);
        ck_assert(exec_id_eq(&c.out->children_left[0], &kid));
        cx_fini(&c);
    }
}
END_TEST

START_TEST(malformed_ends_are_refused)
{
    struct fact end = {.type = FACT_TASK_SUCCEEDED, .payload = STR("1")};
    struct cx parent, k;
    struct buf said;

    buf_init(&said, 0);
    cx_init(&parent, CHILD(".sync"), 1);
    cx_start(&parent, "{}");
    child_run(&k, &parent, &end, &said);
    for (size_t n = 0; n < said.size; n++) { /* cut anywhere */
        struct str cut = {said.p, n};
        ck_assert_int_eq(child_tells(&parent, cx_task(&parent, 0).token, cut), FACT_INVALID);
    }
    ck_assert_int_eq(exec_status(parent.x), EXEC_RUNNING);
    buf_fini(&said);
    cx_fini(&parent);
    cx_fini(&k);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("child");
    TCase *c = tcase_create("callback");
    tcase_add_test(c, a_call_submits_and_a_token_ends);
    tcase_add_test(c, an_early_callback_counts);
    tcase_add_test(c, a_failed_call_fails_the_attempt);
    tcase_add_test(c, submitted_and_ended_in_one_turn);
    suite_add_tcase(s, c);
    c = tcase_create("child");
    tcase_add_test(c, what_a_call_asks_for);
    tcase_add_test(c, what_a_call_may_not_ask_for);
    tcase_add_test(c, parameters_without_a_machine_raise);
    tcase_add_test(c, a_child_that_succeeds);
    tcase_add_test(c, a_child_that_does_not);
    tcase_add_test(c, a_long_cause_is_cut);
    tcase_add_test(c, who_is_left_behind);
    tcase_add_test(c, malformed_ends_are_refused);
    suite_add_tcase(s, c);
    return cx_main(s);
}
