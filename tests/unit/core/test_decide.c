/* The interpreter: a table of definitions with what the tasks answer and what must come out; then what a
 * table cannot say: tokens, yields, limits, effects of a stop, history as people see it. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/unit/core/core_fixture.h"

#define TASK "\"Type\":\"Task\",\"Resource\":\"queue:q\""

/* Answers, one a line: "=JSON" output, "!error|cause", "T" timeout, "." a timer. */
static const struct {
    const char *name, *definition, *input, *answers, *status, *result;
} cases[] = {
    {"pass", "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Pass\",\"End\":true}}}",
     "{ \"a\": 1.0 }", "", "SUCCEEDED", "{\"a\":1.0}"},
    {"pass result",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Pass\",\"Result\":[1],"
     "\"ResultPath\":\"$.x.y\",\"End\":true}}}",
     "{\"a\":1}", "", "SUCCEEDED", "{\"a\":1,\"x\":{\"y\":[1]}}"},
    {"paths",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"InputPath\":\"$.in\",\"Parameters\":"
     "{\"v.$\":\"$.v\"},\"ResultSelector\":{\"got.$\":\"$.r\"},\"ResultPath\":\"$.out\","
     "\"OutputPath\":\"$.out.got\",\"End\":true}}}",
     "{\"in\":{\"v\":5}}", "={\"r\":[true]}", "SUCCEEDED", "[true]"},
    {"null paths",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"InputPath\":null,\"ResultPath\":null,"
     "\"Next\":\"B\"},\"B\":{\"Type\":\"Succeed\",\"OutputPath\":null}}}",
     "{\"in\":1}", "=17", "SUCCEEDED", "{}"},
    {"choice",
     "{\"StartAt\":\"C\",\"States\":{\"C\":{\"Type\":\"Choice\",\"Choices\":[{\"Variable\":"
     "\"$.n\",\"NumericGreaterThan\":1,\"Next\":\"A\",\"Assign\":{\"k\":\"rule\"}}],\"Default\":"
     "\"B\"},\"A\":{\"Type\":\"Pass\",\"Parameters\":{\"a.$\":\"$k\"},\"End\":true},\"B\":{"
     "\"Type\":\"Pass\",\"Result\":\"b\",\"End\":true}}}",
     "{\"n\":2}", "", "SUCCEEDED", "{\"a\":\"rule\"}"},
    {"no choice",
     "{\"StartAt\":\"C\",\"States\":{\"C\":{\"Type\":\"Choice\",\"Choices\":[{\"Variable\":"
     "\"$.n\",\"NumericGreaterThan\":1,\"Next\":\"A\"}]},\"A\":{\"Type\":\"Succeed\"}}}",
     "{\"n\":0}", "", "FAILED", "States.NoChoiceMatched"},
    {"wait",
     "{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"Seconds\":5,\"End\":true}}}", "1",
     ".", "SUCCEEDED", "1"},
    {"wait in the past",
     "{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"Timestamp\":"
     "\"2001-01-01T00:00:00Z\",\"End\":true}}}",
     "1", "", "SUCCEEDED", "1"},
    {"wait for nothing",
     "{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"SecondsPath\":\"$.s\","
     "\"End\":true}}}",
     "{\"s\":\"x\"}", "", "FAILED", "States.Runtime"},
    {"fail",
     "{\"StartAt\":\"F\",\"States\":{\"F\":{\"Type\":\"Fail\",\"Error\":\"E\",\"Cause\":\"c\"}}}",
     "{}", "", "FAILED", "E"},
    {"fail paths",
     "{\"StartAt\":\"F\",\"States\":{\"F\":{\"Type\":\"Fail\",\"ErrorPath\":\"$.e\","
     "\"CausePath\":\"States.Format('{}!', $.e)\"}}}",
     "{\"e\":\"Bad\"}", "", "FAILED", "Bad"},
    {"task fails", "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}}", "{}", "!E|why",
     "FAILED", "E"},
    {"retry",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"Retry\":[{\"ErrorEquals\":[\"E\"],"
     "\"MaxAttempts\":2}],\"End\":true}}}",
     "{}", "!E|1\n.\n!E|2\n.\n=3", "SUCCEEDED", "3"},
    {"retries end",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"Retry\":[{\"ErrorEquals\":[\"E\"],"
     "\"MaxAttempts\":1}],\"End\":true}}}",
     "{}", "!E|1\n.\n!E|2", "FAILED", "E"},
    {"retry no other",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"Retry\":[{\"ErrorEquals\":[\"E\"]}],"
     "\"End\":true}}}",
     "{}", "!X|1", "FAILED", "X"},
    {"catch",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"Catch\":[{\"ErrorEquals\":[\"X\"],\"Next\":"
     "\"B\"},{\"ErrorEquals\":[\"States.ALL\"],\"ResultPath\":\"$.e\",\"Assign\":{\"w.$\":"
     "\"$.Error\"},\"Next\":\"B\"}],\"End\":true},\"B\":{\"Type\":\"Pass\",\"Parameters\":{\"e.$\":"
     "\"$.e\",\"w.$\":\"$w\"},\"End\":true}}}",
     "{\"i\":1}", "!E|why", "SUCCEEDED", "{\"e\":{\"Error\":\"E\",\"Cause\":\"why\"},\"w\":\"E\"}"},
    {"timeout is caught",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"TimeoutSeconds\":3,\"Catch\":[{"
     "\"ErrorEquals\":[\"States.Timeout\"],\"Next\":\"B\"}],\"End\":true},\"B\":{"
     "\"Type\":\"Pass\",\"Result\":\"late\",\"End\":true}}}",
     "{}", "T", "SUCCEEDED", "\"late\""},
    {"TaskFailed is no timeout",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"TimeoutSeconds\":3,"
     "\"Catch\":[{\"ErrorEquals\":[\"States.TaskFailed\"],\"Next\":\"B\"}],"
     "\"End\":true},\"B\":{\"Type\":\"Succeed\"}}}",
     "{}", "T", "FAILED", "States.Timeout"},
    {"parallel",
     "{\"StartAt\":\"P\",\"States\":{\"P\":{\"Type\":\"Parallel\",\"Branches\":[{\"StartAt\":"
     "\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}},{\"StartAt\":\"B\",\"States\":{\"B\":{"
     "\"Type\":\"Pass\",\"End\":true}}}],\"End\":true}}}",
     "{\"i\":1}", "=\"a\"", "SUCCEEDED", "[\"a\",{\"i\":1}]"},
    {"a branch fails",
     "{\"StartAt\":\"P\",\"States\":{\"P\":{\"Type\":\"Parallel\",\"Branches\":[{"
     "\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}},{\"StartAt\":\"B\","
     "\"States\":{\"B\":{" TASK ",\"End\":true}}}],\"Catch\":[{\"ErrorEquals\":[\"E\"],"
     "\"ResultPath\":\"$.e\",\"Next\":\"Z\"}],\"End\":true},\"Z\":{\"Type\":\"Pass\","
     "\"InputPath\":\"$.e.Error\",\"End\":true}}}",
     "{}", "!E|x", "SUCCEEDED", "\"E\""},
    {"a parallel retried",
     "{\"StartAt\":\"P\",\"States\":{\"P\":{\"Type\":\"Parallel\",\"Branches\":[{"
     "\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}}],\"Retry\":[{"
     "\"ErrorEquals\":[\"E\"]}],\"End\":true}}}",
     "{}", "!E|x\n.\n=1", "SUCCEEDED", "[1]"},
    {"map",
     "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemsPath\":\"$.l\","
     "\"MaxConcurrency\":1,"
     "\"ItemProcessor\":{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK
     ",\"End\":true}}},\"ResultPath\":"
     "\"$.r\",\"End\":true}}}",
     "{\"l\":[1,[2],\"3\"]}", "=\"a\"\n=\"b\"\n=null", "SUCCEEDED",
     "{\"l\":[1,[2],\"3\"],\"r\":[\"a\",\"b\",null]}"},
    {"an empty map",
     "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemProcessor\":{\"StartAt\":"
     "\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}},\"End\":true}}}",
     "[]", "", "SUCCEEDED", "[]"},
    {"a map of no array",
     "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemProcessor\":{\"StartAt"
     "\":\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}},\"End\":true}}}",
     "{}", "", "FAILED", "States.Runtime"},
    {"an iteration fails",
     "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemProcessor\":{"
     "\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}},\"End\":true}}}",
     "[1,2,3]", "=1\n!E|x", "FAILED", "E"},
    {"a result path into a scalar",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"ResultPath\":\"$.r\","
     "\"End\":true}}}",
     "5", "=1", "FAILED", "States.ResultPathMatchFailure"},
    {"a result path, nested",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"ResultPath\":\"$.r\",\"Next\":\"B\"},"
     "\"B\":{\"Type\":\"Pass\",\"End\":true}}}",
     "{}", "={\"ok\":[]}", "SUCCEEDED", "{\"r\":{\"ok\":[]}}"},
    {"outer variables",
     "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Pass\",\"Assign\":{\"v\":7},"
     "\"Next\":\"P\"},\"P\":{\"Type\":\"Parallel\",\"Branches\":[{\"StartAt\":\"B\","
     "\"States\":{\"B\":{\"Type\":\"Pass\",\"Parameters\":{\"v.$\":\"$v\"},\"End\":true}}}"
     "],\"End\":true}}}",
     "{}", "", "SUCCEEDED", "[{\"v\":7}]"},
    {"the execution times out",
     "{\"StartAt\":\"A\",\"TimeoutSeconds\":10,\"States\":{\"A\":{" TASK ",\"End\":true}}}", "{}",
     ".", "TIMED_OUT", "States.Timeout"},
};

static void answer(struct cx *c, const char *line, size_t size)
{
    char text[512];
    struct fact f = {.type = FACT_TASK_TIMED_OUT};
    char *cause;

    ck_assert_uint_lt(size, sizeof(text));
    memcpy(text, line, size);
    text[size] = 0;
    if (text[0] == '.') {
        ck_assert(cx_tick(c));
    } else if (text[0] == '=') {
        ck_assert_int_eq(cx_succeed(c, cx_task(c, 0).token, text + 1), FACT_ACCEPTED);
    } else if (text[0] == '!') {
        cause = strchr(text, '|');
        *cause = 0;
        ck_assert_int_eq(cx_fail(c, cx_task(c, 0).token, text + 1, cause + 1), FACT_ACCEPTED);
    } else {
        f.token = cx_task(c, 0).token;
        f.token.nonce = 0; /* the node's own deadline knows no nonce */
        ck_assert(cx_turn(c, &f, NULL));
    }
}

START_TEST(test_cases)
{
    const char *p = cases[_i].answers;
    struct str result;
    struct cx c;

    cx_init(&c, cases[_i].definition, 3);
    cx_start(&c, cases[_i].input);
    while (*p != 0) {
        size_t n = strcspn(p, "\n");
        ck_assert_msg(exec_status(c.x) == EXEC_RUNNING, "%s: ended early: %.*s", cases[_i].name,
                      STR_ARG(exec_cause(c.x)));
        answer(&c, p, n);
        p += n + (p[n] != 0);
    }
    ck_assert_msg(strcmp(exec_status_name(exec_status(c.x)), cases[_i].status) == 0,
                  "%s: %s %.*s %.*s", cases[_i].name, exec_status_name(exec_status(c.x)),
                  STR_ARG(exec_error(c.x)), STR_ARG(exec_cause(c.x)));
    result = exec_output(c.x).p != NULL ? exec_output(c.x) : exec_error(c.x);
    ck_assert_msg(str_eqc(result, cases[_i].result), "%s: %.*s", cases[_i].name, STR_ARG(result));
    ck_assert_uint_eq(exec_open_tasks(c.x, NULL, 0) + exec_open_timers(c.x, NULL, 0), 0);
    cx_check_fold(&c);
    cx_fini(&c);
}
END_TEST

START_TEST(test_token)
{
    struct cx c;
    struct core_task t;
    const struct jv *v;
    struct str bytes;
    struct task_token token;

    cx_init(&c,
            "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":"
            "\"arn:aws:states:::sqs:sendMessage.waitForTaskToken\",\"HeartbeatSeconds\":7,"
            "\"Parameters\":{\"t.$\":\"$$.Task.Token\"},\"End\":true}}}",
            1);
    cx_start(&c, "{}");
    t = cx_task(&c, 0);
    ck_assert(t.wait_for_token);
    ck_assert(str_eqc(t.queue, "sqs:sendMessage"));
    ck_assert_int_eq(t.heartbeat_us, 7 * US_PER_S);
    ck_assert(json_parse(&c.rows_arena, t.input, JSON_LIMITS_PAYLOAD, false, &v, NULL) == ERR_OK);
    ck_assert(base64_decode(jv_str(jv_getc(v, "t")), true, &c.rows_arena, &bytes) == ERR_OK);
    ck_assert(task_token_decode(bytes, &token) == ERR_OK);
    ck_assert(task_token_eq(&token, &t.token));
    struct fact f = {.type = FACT_TASK_SUBMITTED,
                     .token = token,
                     .payload = STR("{\"MessageId\":1}")};
    ck_assert(cx_turn(&c, &f, NULL));
    ck_assert_uint_eq(c.out->tasks_done_len, 0);
    ck_assert_int_eq(cx_succeed(&c, token, "\"called back\""), FACT_ACCEPTED);
    ck_assert(str_eqc(exec_output(c.x), "\"called back\""));
    cx_check_fold(&c);
    cx_fini(&c);
}
END_TEST

START_TEST(test_queues)
{
    static const struct {
        const char *resource, *parameters, *queue;
    } q[] = {
        {"queue:pay", "{}", "pay"},
        {"arn:aws:states:us-east-1:111111111111:activity:pack", "{}", "pack"},
        {"arn:aws:lambda:us-east-1:111111111111:function:ship:PROD", "{}", "ship"},
        {"arn:aws:states:::lambda:invoke", "{\"FunctionName\":\"arn:aws:lambda:x:1:function:f:1\"}",
         "f"},
        {"arn:aws:states:::lambda:invoke", "{\"FunctionName\":\"plain\"}", "plain"},
        {"arn:aws:states:::aws-sdk:s3:putObject", "{}", "aws-sdk:s3:putObject"},
    };
    char def[600];
    struct cx c;

    (void)snprintf(def, sizeof(def),
                   "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"%s\","
                   "\"Parameters\":%s,\"End\":true}}}",
                   q[_i].resource, q[_i].parameters);
    cx_init(&c, def, 1);
    cx_start(&c, "{}");
    ck_assert_msg(str_eqc(cx_task(&c, 0).queue, q[_i].queue), "%.*s",
                  STR_ARG(cx_task(&c, 0).queue));
    cx_check_fold(&c);
    cx_fini(&c);
}
END_TEST

/* A loop that never waits gives the thread back. */
START_TEST(test_yield)
{
    struct fact start = {.type = FACT_START, .payload = STR("{}")};
    struct cx c;

    cx_init(
        &c,
        "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Pass\",\"Next\":\"C\"},\"C\":{\"Type\":"
        "\"Choice\",\"Choices\":[{\"Variable\":\"$.x\",\"IsPresent\":true,\"Next\":\"Z\"}],"
        "\"Default\":\"A\"},\"Z\":{\"Type\":\"Succeed\"}}}",
        1);
    ck_assert(cx_turn(&c, &start, NULL));
    for (int i = 0; i < 5; i++) {
        ck_assert(c.out->yielded);
        ck_assert_uint_le(c.out->event_count, 2 * TURN_STEPS_MAX + 2);
        ck_assert(cx_turn(&c, NULL, NULL));
    }
    cx_check_fold(&c);
    cx_fini(&c);
}
END_TEST

START_TEST(test_large)
{
    struct cx c;
    struct buf b;
    struct fact start = {.type = FACT_START};
    enum fact_result r;

    buf_init(&b, 0);
    buf_putc(&b, '"');
    for (int i = 0; i < PAYLOAD_SIZE_MAX; i++) {
        buf_putc(&b, 'x');
    }
    buf_putc(&b, '"');
    cx_init(&c, "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}}", 1);
    start.payload = buf_str(&b);
    ck_assert(!cx_turn(&c, &start, &r));
    ck_assert_int_eq(r, FACT_INVALID);
    cx_start(&c, "{}");
    struct fact done = {.type = FACT_TASK_SUCCEEDED,
                        .token = cx_task(&c, 0).token,
                        .payload = buf_str(&b)};
    ck_assert(cx_turn(&c, &done, &r));
    ck_assert_int_eq(r, FACT_ACCEPTED);
    ck_assert(str_eqc(exec_error(c.x), "States.DataLimitExceeded"));
    ck_assert(str_eqc(exec_cause(c.x),
                      "The state/task 'A' returned a result with a size exceeding the "
                      "maximum number of bytes service limit."));
    cx_check_fold(&c);
    buf_fini(&b);
    cx_fini(&c);
}
END_TEST

/* Six branches of 200 KiB each: every payload fits, the whole does not. */
START_TEST(test_large_state)
{
    struct cx c;
    struct buf def, out;

    buf_init(&def, 0);
    buf_init(&out, 0);
    buf_puts(
        &def,
        "{\"StartAt\":\"P\",\"States\":{\"P\":{\"Type\":\"Parallel\",\"End\":true,\"Branches\":[");
    for (int i = 0; i < 6; i++) {
        buf_printf(&def, "%s{\"StartAt\":\"A%d\",\"States\":{\"A%d\":{" TASK ",\"End\":true}}}",
                   i > 0 ? "," : "", i, i);
    }
    buf_puts(&def, "]}}}");
    buf_putc(&def, 0);
    buf_putc(&out, '"');
    for (int i = 0; i < 200 * 1024; i++) {
        buf_putc(&out, 'x');
    }
    buf_puts(&out, "\"");
    buf_putc(&out, 0);
    cx_init(&c, def.p, 1);
    cx_start(&c, "{}");
    for (int i = 0; i < 6 && exec_status(c.x) == EXEC_RUNNING; i++) {
        ck_assert_int_eq(cx_succeed(&c, cx_task(&c, 0).token, out.p), FACT_ACCEPTED);
        ck_assert_uint_le(exec_state_size(c.x), STATE_SIZE_MAX + PAYLOAD_SIZE_MAX);
    }
    ck_assert(str_eqc(exec_error(c.x), "States.DataLimitExceeded"));
    ck_assert_ptr_nonnull(memmem(exec_cause(c.x).p, exec_cause(c.x).size, "'A5'", 4));
    cx_check_fold(&c);
    buf_fini(&def);
    buf_fini(&out);
    cx_fini(&c);
}
END_TEST

/* What a state has left behind does not count, though the turn may still hold it: 200 KiB that each of
 * twenty states copies. */
START_TEST(test_large_passing)
{
    struct cx c;
    struct buf def, in;

    buf_init(&def, 0);
    buf_init(&in, 0);
    buf_puts(&def, "{\"StartAt\":\"S0\",\"States\":{");
    for (int i = 0; i < 20; i++) {
        buf_printf(&def,
                   "\"S%d\":{\"Type\":\"Pass\",\"Result\":%d,\"ResultPath\":\"$.n\","
                   "\"Next\":\"S%d\"},",
                   i, i, i + 1);
    }
    buf_puts(&def, "\"S20\":{\"Type\":\"Succeed\"}}}");
    buf_putc(&def, 0);
    buf_puts(&in, "{\"a\":\"");
    for (int i = 0; i < 200 * 1024; i++) {
        buf_putc(&in, 'x');
    }
    buf_puts(&in, "\"}");
    buf_putc(&in, 0);
    cx_init(&c, def.p, 1);
    cx_start(&c, in.p);
    ck_assert_msg(exec_status(c.x) == EXEC_SUCCEEDED, "%.*s", STR_ARG(exec_cause(c.x)));
    ck_assert_uint_le(exec_state_size(c.x), 2 * PAYLOAD_SIZE_MAX); /* input and output */
    cx_check_fold(&c);
    buf_fini(&def);
    buf_fini(&in);
    cx_fini(&c);
}
END_TEST

/* Data that a loop wraps again and again ends the execution, not the node. */
START_TEST(test_deep)
{
    static const struct {
        const char *fields, *error;
    } loops[] = {
        {"\"Parameters\":{\"a.$\":\"$\"}", "States.Runtime"},
        {"\"Parameters\":{\"a.$\":\"$\",\"b.$\":\"$\"}", "States.DataLimitExceeded"},
        {"\"Parameters\":{\"a.$\":\"States.Array(States.Array($,$,$,$),States.Array($,$,$,$))\"}",
         "States.DataLimitExceeded"},
    };
    char def[400];
    struct cx c;

    (void)snprintf(def, sizeof(def),
                   "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Pass\",%s,\"Next\":\"B\"},"
                   "\"B\":{\"Type\":\"Choice\",\"Choices\":[{\"Variable\":\"$.z\",\"IsPresent\":"
                   "true,\"Next\":\"Z\"}],"
                   "\"Default\":\"A\"},\"Z\":{\"Type\":\"Succeed\"}}}",
                   loops[_i].fields);
    cx_init(&c, def, 1);
    cx_start(&c, "{}");
    ck_assert_int_eq(exec_status(c.x), EXEC_FAILED);
    ck_assert_msg(str_eqc(exec_error(c.x), loops[_i].error), "%.*s", STR_ARG(exec_cause(c.x)));
    cx_check_fold(&c);
    cx_fini(&c);
}
END_TEST

/* A list around a result at the limit of depth. */
START_TEST(test_deep_list)
{
    struct cx c;
    struct buf out;

    buf_init(&out, 0);
    for (int i = 0; i < 1000; i++) {
        buf_putc(&out, '[');
    }
    for (int i = 0; i < 1000; i++) {
        buf_putc(&out, ']');
    }
    buf_putc(&out, 0);
    cx_init(&c,
            "{\"StartAt\":\"P\",\"States\":{\"P\":{\"Type\":\"Parallel\",\"Branches\":[{"
            "\"StartAt\":\"A\","
            "\"States\":{\"A\":{" TASK ",\"End\":true}}}],\"End\":true}}}",
            1);
    cx_start(&c, "{}");
    ck_assert_int_eq(cx_succeed(&c, cx_task(&c, 0).token, out.p), FACT_ACCEPTED);
    ck_assert(str_eqc(exec_error(c.x), "States.Runtime"));
    cx_check_fold(&c);
    buf_fini(&out);
    cx_fini(&c);
}
END_TEST

/* One expression that multiplies its data beyond what is even written out. */
START_TEST(test_huge_expression)
{
    struct cx c;
    struct buf def, in;

    buf_init(&def, 0);
    buf_init(&in, 0);
    buf_puts(&def,
             "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Pass\",\"Parameters\":{\"a\":[");
    for (int i = 0; i < 60; i++) {
        buf_puts(&def, "{\"x.$\":\"$.s\"},");
    }
    buf_puts(&def, "0]},\"End\":true}}}");
    buf_putc(&def, 0);
    buf_puts(&in, "{\"s\":\"");
    for (int i = 0; i < 250000; i++) {
        buf_putc(&in, 'x');
    }
    buf_puts(&in, "\"}");
    buf_putc(&in, 0);
    cx_init(&c, def.p, 1);
    cx_start(&c, in.p);
    ck_assert(str_eqc(exec_error(c.x), "States.DataLimitExceeded"));
    cx_check_fold(&c);
    buf_fini(&def);
    buf_fini(&in);
    cx_fini(&c);
}
END_TEST

START_TEST(test_bad_text)
{
    struct cx c;
    struct fact stop = {.type = FACT_STOP, .error = STR("\xff"), .cause = STR("c")};
    enum fact_result r;

    cx_init(&c, "{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}}", 1);
    cx_start(&c, "{}");
    ck_assert_int_eq(cx_fail(&c, cx_task(&c, 0).token, "E", "\xc3("), FACT_INVALID);
    ck_assert(!cx_turn(&c, &stop, &r));
    ck_assert_int_eq(r, FACT_INVALID);
    ck_assert_int_eq(cx_succeed(&c, cx_task(&c, 0).token, "{\"a\":1,\"a\":2}"), FACT_INVALID);
    ck_assert_int_eq(cx_succeed(&c, cx_task(&c, 0).token, "\"\xff\""), FACT_INVALID);
    ck_assert_int_eq(exec_status(c.x), EXEC_RUNNING);
    cx_fini(&c);
}
END_TEST

START_TEST(test_stop)
{
    struct fact stop = {.type = FACT_STOP, .error = STR("E"), .cause = STR("c")};
    struct cx c;
    enum fact_result r;
    struct task_token token;

    cx_init(&c,
            "{\"StartAt\":\"P\",\"TimeoutSeconds\":99,\"States\":{\"P\":{\"Type\":\"Parallel\","
            "\"Branches"
            "\":[{\"StartAt\":\"A\",\"States\":{\"A\":{" TASK ",\"End\":true}}},{\"StartAt\":\"B\","
            "\"States\":{\"B\":{\"Type\":\"Wait\",\"Seconds\":9,\"End\":true}}}],\"End\":true}}}",
            1);
    cx_start(&c, "{}");
    ck_assert_uint_eq(c.out->timers_new_len, 2);
    token = cx_task(&c, 0).token;
    ck_assert(cx_turn(&c, &stop, &r));
    ck_assert_int_eq(c.out->status, EXEC_ABORTED);
    ck_assert_uint_eq(c.out->tasks_done_len, 1);
    ck_assert_uint_eq(c.out->timers_done_len, 2);
    ck_assert(str_eqc(exec_error(c.x), "E"));
    ck_assert_int_eq(cx_succeed(&c, token, "1"), FACT_STOPPED);
    ck_assert(!cx_turn(&c, &stop, &r));
    ck_assert_int_eq(r, FACT_STOPPED);
    cx_check_fold(&c);
    cx_fini(&c);
}
END_TEST

struct names {
    struct history_sink sink;
    struct buf b, api;
    uint32_t n;
};

static void on_event(struct history_sink *s, const struct history_event *e)
{
    struct names *n = CONTAINER_OF(s, struct names, sink);

    ck_assert_uint_eq(e->id, ++n->n);
    ck_assert_uint_lt(e->previous_id, e->id);
    buf_printf(&n->b, "%u<-%u %s %.*s ", e->id, e->previous_id, e->type, STR_ARG(e->scope));
    json_write(&n->b, e->details);
    buf_putc(&n->b, '\n');
    history_write(&n->api, e);
    buf_putc(&n->api, '\n');
}

START_TEST(test_history)
{
    static const char want[] =
        "1<-0 ExecutionStarted  {\"input\":\"[7]\"}\n"
        "2<-1 MapStateEntered  {\"name\":\"M\",\"input\":\"[7]\"}\n"
        "3<-2 MapStateStarted  {\"length\":1}\n"
        "4<-3 MapIterationStarted M[0] {\"name\":\"M\",\"index\":0}\n"
        "5<-4 TaskStateEntered M[0] {\"name\":\"A\",\"input\":\"7\"}\n"
        "6<-5 TaskScheduled M[0] "
        "{\"resourceType\":\"queue\",\"resource\":\"q\",\"parameters\":\"7\","
        "\"timeoutInSeconds\":5}\n"
        "7<-6 TaskStarted M[0] {\"resourceType\":\"queue\",\"resource\":\"q\"}\n"
        "8<-7 TaskSucceeded M[0] {\"resourceType\":\"queue\",\"resource\":\"q\",\"output\":\"8\"}\n"
        "9<-8 TaskStateExited M[0] {\"name\":\"A\",\"output\":\"8\","
        "\"assignedVariables\":{\"v\":\"8\"}}\n"
        "10<-9 MapIterationSucceeded M[0] {\"name\":\"M\",\"index\":0}\n"
        "11<-10 MapStateSucceeded  {}\n"
        "12<-11 MapStateExited  {\"name\":\"M\",\"output\":\"[8]\"}\n"
        "13<-12 ExecutionSucceeded  {\"output\":\"[8]\"}\n";
    static const char *const api[] = {
        ",\"type\":\"ExecutionStarted\",\"id\":1,\"previousEventId\":0,"
        "\"executionStartedEventDetails\":{\"input\":\"[7]\"}}\n",
        ",\"type\":\"TaskStateEntered\",\"id\":5,\"previousEventId\":4,\"scope\":\"M[0]\","
        "\"stateEnteredEventDetails\":{\"name\":\"A\",\"input\":\"7\"}}\n",
        "\"stateExitedEventDetails\":{\"name\":\"M\",\"output\":\"[8]\"}}\n",
        ",\"type\":\"MapStateSucceeded\",\"id\":11,\"previousEventId\":10}\n",
        "\"taskScheduledEventDetails\":{\"resourceType\":\"queue\",",
    };
    struct names n = {.sink = {on_event}};
    struct cx c;
    struct exec *y;

    cx_init(&c,
            "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemProcessor\":{\"StartAt\":"
            "\"A\","
            "\"States\":{\"A\":{" TASK
            ",\"TimeoutSeconds\":5,\"Assign\":{\"v.$\":\"$\"},\"End\":true}}},"
            "\"End\":true}}}",
            1);
    cx_start(&c, "[7]");
    ck_assert_int_eq(cx_succeed(&c, cx_task(&c, 0).token, "8"), FACT_ACCEPTED);
    buf_init(&n.b, 0);
    buf_init(&n.api, 0);
    y = exec_new(&c.ident, c.def);
    for (uint32_t i = 0; i < c.rows_len; i++) {
        ck_assert(exec_apply_row(y, i + 1, c.at[i], c.rows[i], &n.sink, NULL) == ERR_OK);
    }
    buf_putc(&n.b, 0);
    ck_assert_str_eq(n.b.p, want);
    buf_putc(&n.api, 0);
    for (size_t i = 0; i < ARRAY_LEN(api); i++) {
        ck_assert_msg(strstr(n.api.p, api[i]) != NULL, "no %s in %s", api[i], n.api.p);
    }
    buf_fini(&n.api);
    ck_assert_uint_eq(exec_event_count(y), n.n);
    buf_fini(&n.b);
    exec_free(y);
    cx_fini(&c);
}
END_TEST

/* 10,000 items end, each once, in order, whatever the limit. */
START_TEST(test_many_items)
{
    enum { N = 10000 };
    struct fact start = {.type = FACT_START};
    struct cx *c = MEM_NEW(struct cx);
    struct buf b;
    struct core_task *tasks = MEM_ARRAY(struct core_task, N);
    uint32_t n = 0;

    buf_init(&b, 0);
    for (int i = 0; i < N; i++) {
        buf_printf(&b, "%c%d", i == 0 ? '[' : ',', i);
    }
    buf_putc(&b, ']');
    cx_init(c,
            "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemProcessor\":{\"StartAt\":"
            "\"A\","
            "\"States\":{\"A\":{" TASK ",\"End\":true}}},\"End\":true}}}",
            1);
    start.payload = buf_str(&b);
    ck_assert(cx_turn(c, &start, NULL));
    cx_drain(c);
    n = exec_open_tasks(c->x, tasks, N);
    ck_assert_uint_eq(n, N);
    c->rows_len = 0;                   /* the rows are not kept here: only the state */
    for (uint32_t i = n; i > 0; i--) { /* the last first */
        char *in = arena_strndup(&c->rows_arena, tasks[i - 1].input.p, tasks[i - 1].input.size);
        ck_assert_int_eq(cx_succeed(c, tasks[i - 1].token, in), FACT_ACCEPTED);
        c->rows_len = 0;
    }
    ck_assert_int_eq(exec_status(c->x), EXEC_SUCCEEDED);
    ck_assert(str_eq(exec_output(c->x), buf_str(&b)));
    buf_fini(&b);
    mem_free(tasks);
    cx_fini(c);
    mem_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("decide");
    TCase *t = tcase_create("decide");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_cases, 0, (int)ARRAY_LEN(cases));
    tcase_add_test(t, test_token);
    tcase_add_loop_test(t, test_queues, 0, 6);
    tcase_add_test(t, test_yield);
    tcase_add_test(t, test_large);
    tcase_add_test(t, test_large_state);
    tcase_add_test(t, test_large_passing);
    tcase_add_loop_test(t, test_deep, 0, 3);
    tcase_add_test(t, test_deep_list);
    tcase_add_test(t, test_huge_expression);
    tcase_add_test(t, test_bad_text);
    tcase_add_test(t, test_stop);
    tcase_add_test(t, test_history);
    tcase_add_test(t, test_many_items);
    suite_add_tcase(s, t);
    return cx_main(s);
}
