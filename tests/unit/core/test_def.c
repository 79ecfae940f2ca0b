/* Definitions: every kind of mistake is named with its place and its remedy, all of them in one run. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/unit/core/core_fixture.h"

#define ONE(fields) "{\"StartAt\":\"A\",\"States\":{\"A\":{" fields "}}}"
#define TASK        "\"Type\":\"Task\",\"Resource\":\"queue:q\",\"End\":true"

/* A definition, and the pointer and a piece of the message of its first problem. */
static const struct {
    const char *text, *pointer, *message;
} bad[] = {
    {"", "", "empty"},
    {"{", "", "not valid JSON"},
    {"[1]", "", "object"},
    {"{}", "", "States is missing"},
    {"{\"StartAt\":\"A\",\"States\":{}}", "", "States is missing or empty"},
    {"{\"States\":{\"A\":{\"Type\":\"Succeed\"}}}", "", "StartAt is missing"},
    {"{\"StartAt\":1,\"States\":{\"A\":{\"Type\":\"Succeed\"}}}", "/StartAt", "must be a string"},
    {"{\"StartAt\":\"Aa\",\"States\":{\"A\":{\"Type\":\"Succeed\"}}}", "/StartAt",
     "did you mean A"},
    {"{\"StartAt\":\"A\",\"StartAt\":\"A\",\"States\":{}}", "", "not valid JSON"},
    {"{\"StartAt\":\"A\",\"Stats\":1,\"States\":{\"A\":{\"Type\":\"Succeed\"}}}", "/Stats",
     "did you mean States"},
    {"{\"StartAt\":\"A\",\"QueryLanguage\":\"JSONata\",\"States\":{\"A\":{\"Type\":\"Succeed\"}}}",
     "/QueryLanguage", "not supported yet: QueryLanguage JSONata"},
    {"{\"StartAt\":\"A\",\"TimeoutSeconds\":0,\"States\":{\"A\":{\"Type\":\"Succeed\"}}}",
     "/TimeoutSeconds", "whole number from 1"},
    {ONE("\"Type\":\"Pas\",\"End\":true"), "/States/A/Type", "did you mean Pass"},
    {ONE("\"End\":true"), "/States/A", "Type is missing"},
    {ONE("\"Type\":\"Pass\""), "/States/A", "neither Next nor End"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"Next\":\"A\""), "/States/A", "only one of Next and End"},
    {ONE("\"Type\":\"Pass\",\"End\":1"), "/States/A/End", "true or false"},
    {ONE("\"Type\":\"Pass\",\"Next\":\"B\""), "/States/A/Next", "no state 'B'"},
    {ONE("\"Type\":\"Pass\",\"Next\":\"A\""), "", "can never end"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"Retrys\":[]"), "/States/A/Retrys",
     "unknown field 'Retrys'"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"InputPth\":\"$\""), "/States/A/InputPth",
     "did you mean InputPath"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"Retry\":[]"), "/States/A/Retry",
     "not allowed in a Pass state"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"Output\":1"), "/States/A/Output", "JSONata"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"InputPath\":\"x\""), "/States/A/InputPath",
     "no valid path"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"InputPath\":1"), "/States/A/InputPath",
     "must be a path"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"ResultPath\":\"$.a[*]\""), "/States/A/ResultPath",
     "reference path"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"ResultPath\":\"$$.a\""), "/States/A/ResultPath",
     "reference path"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"Assign\":{\"1a\":1}"), "/States/A/Assign/1a",
     "no variable name"},
    {ONE("\"Type\":\"Pass\",\"End\":true,\"Comment\":1"), "/States/A/Comment", "must be a string"},
    {ONE("\"Type\":\"Task\",\"End\":true"), "/States/A", "Resource is missing"},
    {ONE("\"Type\":\"Task\",\"Resource\":\"work\",\"End\":true"), "/States/A/Resource",
     "use queue:<name>"},
    {ONE("\"Type\":\"Task\",\"Resource\":\"queu:q\",\"End\":true"), "/States/A/Resource",
     "none of the known forms"},
    {ONE("\"Type\":\"Task\",\"Resource\":\"queue:a b\",\"End\":true"), "/States/A/Resource",
     "queue name"},
    {ONE("\"Type\":\"Task\",\"Resource\":\"arn:aws:states:::sqs:sendMesage\",\"End\":true"),
     "/States/A/Resource", "does not have"},
    {ONE(TASK ",\"TimeoutSeconds\":0"), "/States/A/TimeoutSeconds", "whole number"},
    {ONE(TASK ",\"TimeoutSeconds\":1.5"), "/States/A/TimeoutSeconds", "whole number"},
    {ONE(TASK ",\"TimeoutSeconds\":1,\"TimeoutSecondsPath\":\"$.t\""),
     "/States/A/TimeoutSecondsPath", "only one of"},
    {ONE(TASK ",\"TimeoutSeconds\":5,\"HeartbeatSeconds\":5"), "/States/A/HeartbeatSeconds",
     "smaller"},
    {ONE(TASK ",\"Retry\":{}"), "/States/A/Retry", "must be an array"},
    {ONE(TASK ",\"Retry\":[{}]"), "/States/A/Retry/0", "ErrorEquals is missing"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[]}]"), "/States/A/Retry/0/ErrorEquals",
     "not be empty"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[1]}]"), "/States/A/Retry/0/ErrorEquals/0", "string"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[\"States.Al\"]}]"), "/States/A/Retry/0/ErrorEquals/0",
     "did you mean States.ALL"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[\"States.ALL\",\"E\"]}]"),
     "/States/A/Retry/0/ErrorEquals/0", "stand alone"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[\"States.ALL\"]},{\"ErrorEquals\":[\"E\"]}]"),
     "/States/A/Retry/0/ErrorEquals/0", "last entry"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[\"E\"],\"BackoffRate\":0.5}]"),
     "/States/A/Retry/0/BackoffRate", "at least 1.0"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[\"E\"],\"IntervalSeconds\":0}]"),
     "/States/A/Retry/0/IntervalSeconds", "whole number"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[\"E\"],\"MaxAttempts\":-1}]"),
     "/States/A/Retry/0/MaxAttempts", "whole number"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[\"E\"],\"JitterStrategy\":\"SOME\"}]"),
     "/States/A/Retry/0/JitterStrategy", "FULL"},
    {ONE(TASK ",\"Retry\":[{\"ErrorEquals\":[\"E\"],\"MaxAtempts\":1}]"),
     "/States/A/Retry/0/MaxAtempts", "did you mean MaxAttempts"},
    {ONE(TASK ",\"Catch\":[{\"ErrorEquals\":[\"E\"]}]"), "/States/A/Catch/0", "Next is missing"},
    {ONE(TASK ",\"Catch\":[{\"ErrorEquals\":[\"E\"],\"Next\":\"X\"}]"), "/States/A/Catch/0/Next",
     "no state 'X'"},
    {ONE(TASK ",\"Catch\":[7]"), "/States/A/Catch/0", "must be an object"},
    {ONE("\"Type\":\"Choice\""), "/States/A", "at least one rule"},
    {ONE("\"Type\":\"Choice\",\"Choices\":[]"), "/States/A/Choices", "at least one rule"},
    {ONE("\"Type\":\"Choice\",\"Choices\":[{\"Variable\":\"$.a\",\"IsNull\":true}]"),
     "/States/A/Choices/0", "Next is missing"},
    {ONE("\"Type\":\"Choice\",\"Choices\":[{\"Variable\":\"$.a\",\"IsNull\":true,\"End\":true}]"),
     "/States/A/Choices/0", "cannot end"},
    {ONE("\"Type\":\"Choice\",\"Default\":\"Q\",\"Choices\":[{\"Variable\":\"$.a\",\"IsNull\":true,"
         "\"Next\":\"A\"}]"),
     "/States/A/Default", "no state 'Q'"},
    {ONE("\"Type\":\"Wait\",\"End\":true"), "/States/A", "exactly one of"},
    {ONE("\"Type\":\"Wait\",\"Seconds\":1,\"Timestamp\":\"x\",\"End\":true"), "/States/A", "has 2"},
    {ONE("\"Type\":\"Wait\",\"Timestamp\":\"tomorrow\",\"End\":true"), "/States/A/Timestamp",
     "date and time"},
    {ONE("\"Type\":\"Wait\",\"Seconds\":-1,\"End\":true"), "/States/A/Seconds", "whole number"},
    {ONE("\"Type\":\"Fail\",\"Error\":\"E\",\"ErrorPath\":\"$.e\""), "/States/A/ErrorPath",
     "only one of"},
    {ONE("\"Type\":\"Fail\",\"CausePath\":\"States.Nope()\""), "/States/A/CausePath",
     "neither a path"},
    {ONE("\"Type\":\"Parallel\",\"End\":true"), "/States/A", "Branches"},
    {ONE("\"Type\":\"Parallel\",\"End\":true,\"Branches\":[{\"StartAt\":\"B\",\"States\":{\"B\":{"
         "\"Type\":"
         "\"Pass\",\"Next\":\"A\"}}}]"),
     "/States/A/Branches/0/States/B/Next", "no state 'A'"},
    {ONE("\"Type\":\"Parallel\",\"End\":true,\"Branches\":[{\"StartAt\":\"A\",\"States\":{\"A\":{"
         "\"Type\":"
         "\"Succeed\"}}}]"),
     "/States/A/Branches/0/States/A", "stands twice"},
    {ONE("\"Type\":\"Map\",\"End\":true"), "/States/A", "ItemProcessor is missing"},
    {ONE("\"Type\":\"Map\",\"End\":true,\"ItemsPath\":null,\"ItemProcessor\":{\"StartAt\":\"B\","
         "\"States\":{"
         "\"B\":{\"Type\":\"Succeed\"}}}"),
     "/States/A/ItemsPath", "must be a path"},
    {"{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Succeed\"},\"B/~\":{\"Type\":\"Succeed\"}}}",
     "/States/B~1~0", "no transition leads"},
};

static void problems_of(const char *text, enum def_format format, struct def_problems *p)
{
    struct def *d = NULL;

    def_problems_init(p);
    ck_assert_msg(def_parse(str_of(text), format, &d, p) == ERR_DEFINITION, "accepted: %s", text);
    ck_assert_ptr_null(d);
    ck_assert_uint_gt(p->len, 0);
}

START_TEST(test_bad)
{
    struct def_problems p;

    problems_of(bad[_i].text, DEF_JSON, &p);
    ck_assert_msg(strcmp(p.v[0].pointer, bad[_i].pointer) == 0, "%s: %s: %s", bad[_i].text,
                  p.v[0].pointer, p.v[0].message);
    ck_assert_msg(strstr(p.v[0].message, bad[_i].message) != NULL, "%s: %s", bad[_i].text,
                  p.v[0].message);
    ck_assert_uint_gt(p.v[0].line, 0);
    ck_assert_uint_gt(p.v[0].col, 0);
    def_problems_fini(&p);
}
END_TEST

START_TEST(test_all_in_order)
{
    struct def_problems p;

    problems_of("{\n"
                "  \"StartAt\": \"X\",\n"
                "  \"States\": {\n"
                "    \"A\": {\"Type\": \"Task\", \"Resource\": \"nope\", \"Next\": \"C\"},\n"
                "    \"B\": {\"Type\": \"Wait\",\n"
                "          \"Seconds\": \"5\", \"End\": true}\n"
                "  }\n"
                "}\n",
                DEF_AUTO, &p);
    ck_assert_uint_eq(p.len, 4);
    ck_assert_uint_eq(p.v[0].line, 2);
    ck_assert_uint_eq(p.v[0].col, 14);
    ck_assert_uint_eq(p.v[1].line, 4);
    ck_assert_str_eq(p.v[1].pointer, "/States/A/Resource");
    ck_assert_str_eq(p.v[2].pointer, "/States/A/Next");
    ck_assert_uint_eq(p.v[3].line, 6);
    ck_assert_str_eq(p.v[3].pointer, "/States/B/Seconds");
    def_problems_fini(&p);
}
END_TEST

START_TEST(test_name_length)
{
    char text[600], name[200];
    struct def_problems p;
    struct def *d;

    for (int i = 0; i < 81; i++) { /* two bytes a character */
        memcpy(name + i * 2, "\xc3\xa4", 3);
    }
    (void)snprintf(text, sizeof(text),
                   "{\"StartAt\":\"%s\",\"States\":{\"%s\":{\"Type\":\"Succeed\"}}}", name, name);
    problems_of(text, DEF_JSON, &p);
    ck_assert_ptr_nonnull(strstr(p.v[0].message, "80 characters"));
    def_problems_fini(&p);
    name[160] = 0;
    (void)snprintf(text, sizeof(text),
                   "{\"StartAt\":\"%s\",\"States\":{\"%s\":{\"Type\":\"Succeed\"}}}", name, name);
    d = cx_def(text);
    def_unref(d);
}
END_TEST

START_TEST(test_yaml)
{
    static const char yaml[] = "StartAt: Pay\n"
                               "Comment: an order\n"
                               "States:\n"
                               "  Pay:\n"
                               "    Type: Task\n"
                               "    Resource: queue:payments\n"
                               "    Retry:\n"
                               "      - ErrorEquals: [States.ALL]\n"
                               "        MaxAttempts: 2\n"
                               "    End: true\n";
    static const char json[] = "{\"States\":{\"Pay\":{\"End\":true,\"Resource\":\"queue:payments\","
                               "\"Type\":\"Task\",\"Retry\":[{"
                               "\"MaxAttempts\":2.0,\"ErrorEquals\":[\"States.ALL\"]}]}},"
                               "\"Comment\":\"an order\",\"StartAt\":\"Pay\"}";
    struct def *a = cx_def(yaml), *b = cx_def(json);
    struct def_problems p;
    struct buf x, y;

    buf_init(&x, 0);
    buf_init(&y, 0);
    def_write_canonical(a, &x);
    def_write_canonical(b, &y);
    ck_assert(str_eq(buf_str(&x), buf_str(&y)));
    ck_assert(str_eqc(def_comment(a), "an order"));
    ck_assert_uint_eq(def_state_count(a), 1);
    ck_assert_uint_gt(def_size(a), 100);
    def_unref(a);
    def_unref(def_ref(b));
    def_unref(b);
    buf_fini(&x);
    buf_fini(&y);
    problems_of("StartAt: A\nStates:\n  A:\n    Type: Pass\n    Next: B\n", DEF_AUTO, &p);
    ck_assert_uint_eq(p.v[0].line, 5);
    ck_assert_uint_eq(p.v[0].col, 11);
    def_problems_fini(&p);
    problems_of("a: &x 1\nb: *x\n", DEF_YAML, &p);
    ck_assert_ptr_nonnull(strstr(p.v[0].message, "not valid YAML"));
    def_problems_fini(&p);
}
END_TEST

START_TEST(test_paths)
{
    struct def *d = cx_def("{\"StartAt\":\"F\",\"States\":{\"F\":{\"Type\":\"Parallel\",\"Next\":"
                           "\"E\",\"Branches\":[{\"StartAt\":\"A\","
                           "\"States\":{\"A\":{\"Type\":\"Succeed\"}}},{\"StartAt\":\"B\","
                           "\"States\":{\"B\":{\"Type\":\"Succeed\"}}}]},"
                           "\"E\":{\"Type\":\"Map\",\"End\":true,\"ItemProcessor\":{\"StartAt\":"
                           "\"I\",\"States\":{\"I\":{\"Type\":"
                           "\"Succeed\"}}}}}}");
    static const char *const want[] = {"F", "F[0]/A", "F[1]/B", "E", "E[]/I"};

    ck_assert_uint_eq(def_state_count(d), ARRAY_LEN(want));
    for (uint32_t i = 0; i < ARRAY_LEN(want); i++) {
        ck_assert(str_eqc(def_state_path(d, i), want[i]));
    }
    ck_assert(def_state_path(d, 99).p == NULL);
    def_unref(d);
}
END_TEST

/* The list of problems is bounded; a large definition is parsed in reasonable time. */
START_TEST(test_many)
{
    struct def_problems p;
    struct buf b;
    struct def *d = NULL;

    buf_init(&b, 0);
    buf_puts(&b, "{\"StartAt\":\"S0\",\"States\":{");
    for (int i = 0; i < 5000; i++) {
        buf_printf(&b, "%s\"S%d\":{\"Type\":\"Pass\",\"Nxt\":1,\"Next\":\"S%d\"}", i > 0 ? "," : "",
                   i, (i + 1) % 5000);
    }
    buf_puts(&b, "}}");
    def_problems_init(&p);
    ck_assert(def_parse(buf_str(&b), DEF_JSON, &d, &p) == ERR_DEFINITION);
    ck_assert_uint_eq(p.len, p.errors_max);
    def_problems_fini(&p);
    buf_fini(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("def");
    TCase *t = tcase_create("def");

    tcase_add_loop_test(t, test_bad, 0, (int)ARRAY_LEN(bad));
    tcase_add_test(t, test_all_in_order);
    tcase_add_test(t, test_name_length);
    tcase_add_test(t, test_yaml);
    tcase_add_test(t, test_paths);
    tcase_add_test(t, test_many);
    suite_add_tcase(s, t);
    return cx_main(s);
}
