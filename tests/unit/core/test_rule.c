/* Choice rules: every comparison in both forms, composites, problems, errors. */
#include "base/prelude.h"

#include "tests/unit/core/expr_fixture.h"

static const struct rule *parse(const char *text, bool top)
{
    struct fx_problems p;
    fx_problems_init(&p);
    const struct rule *r = rule_parse(&fx_arena, fx_json(text), top, &p.problems);
    ck_assert_msg(r != NULL && p.len == 0, "%s: %.*s", text, STR_ARG(buf_str(&p.text)));
    buf_fini(&p.text);
    return r;
}

static bool holds(const char *rule, const char *data)
{
    const struct rule *r = parse(rule, true);
    struct eval_env env = fx_env(data);
    bool out = false;
    struct asl_error err;
    bool done = rule_eval(r, &env, &out, &err);
    ck_assert_msg(done, "%s on %s: %.*s", rule, data, STR_ARG(err.cause));
    return out;
}

/* Comparisons of two values: each is run as a literal and as its "...Path" form. "want": one
 * character for each of Equals, LessThan, GreaterThan, LessThanEquals, GreaterThanEquals. */
static const struct {
    const char *family, *variable, *value, *want;
} compare_cases[] = {
    /* Recorded: test_string_equals, ..._less_than, ..._greater_than, in both forms */
    {"String", "\"\"", "\"\"", "1--11"},
    {"String", "\"A\"", "\"A \"", "-1-1-"},
    {"String", "\"A\"", "\"A\\t\\n\\r\"", "-1-1-"},
    {"String", "\"AB\"", "\"ABC\"", "-1-1-"},
    {"String", "\"AB\"", "\"A\"", "--1-1"},
    {"String", "\" \"", "\"     \"", "-1-1-"},
    {"String", "\"\\t\\n\"", "\"\\t\\r\\n\"", "-1-1-"},
    {"String", "\"Hello\"", "\"Hello\"", "1--11"},
    {"String", "null", "\"HelloWorld\"", "-----"},
    {"String", "0", "\"HelloWorld\"", "-----"},
    {"String", "[\"\"]", "\"\"", "-----"},
    {"String", "{}", "\"\"", "-----"},
    {"String", "true", "\"true\"", "-----"},
    {"String", "1", "\"1\"", "-----"},
    {"String", "\"a\\u0000b\"", "\"a\\u0000c\"", "-1-1-"},
    {"String", "\"\xc3\xa4\"", "\"z\"", "--1-1"},
    /* Recorded: test_numeric_equals_path, test_numeric_greater_than, ..._less_than_... */
    {"Numeric", "0", "0.0", "1--11"},
    {"Numeric", "1", "1.0", "1--11"},
    {"Numeric", "1", "0", "--1-1"},
    {"Numeric", "0.0", "1", "-1-1-"},
    {"Numeric", "1.1", "1", "--1-1"},
    {"Numeric", "2.22", "2.22", "1--11"},
    {"Numeric", "null", "0", "-----"},
    {"Numeric", "\"\"", "0", "-----"},
    {"Numeric", "\" \"", "0", "-----"},
    {"Numeric", "[]", "0", "-----"},
    {"Numeric", "[0]", "0", "-----"},
    {"Numeric", "{}", "0", "-----"},
    {"Numeric", "false", "0", "-----"},
    {"Numeric", "true", "1", "-----"},
    {"Numeric", "\"1\"", "1", "-----"},
    {"Numeric", "9007199254740993", "9007199254740992", "--1-1"},
    {"Numeric", "-1e3", "-1000", "1--11"},
    {"Numeric", "1e400", "1", "--1-1"},
    {"Numeric", "-5", "-3", "-1-1-"},
    /* Recorded: test_timestamp_... */
    {"Timestamp", "\"2012-10-09T19:00:55Z\"", "\"2012-10-09T19:00:55Z\"", "1--11"},
    {"Timestamp", "\"2012-10-09T19:00:55Z\"", "\"2012-10-09T19:00:56Z\"", "-1-1-"},
    {"Timestamp", "\"2012-10-09T19:00:56Z\"", "\"2012-10-09T19:00:55Z\"", "--1-1"},
    {"Timestamp", "\"2012-10-09T21:00:55+02:00\"", "\"2012-10-09T19:00:55Z\"", "1--11"},
    {"Timestamp", "\"2012-10-09T19:00:55.001Z\"", "\"2012-10-09T19:00:55Z\"", "--1-1"},
    {"Timestamp", "\"2012-10-09T19:00:55\"", "\"2012-10-09T19:00:55Z\"", "-----"},
    {"Timestamp", "\"2012-10-09t19:00:55Z\"", "\"2012-10-09T19:00:55Z\"", "-----"},
    {"Timestamp", "\"2012-10-09T19:00:55z\"", "\"2012-10-09T19:00:55Z\"", "-----"},
    {"Timestamp", "\"2012-10-09 19:00:55Z\"", "\"2012-10-09T19:00:55Z\"", "-----"},
    {"Timestamp", "\"2016-13-05T21:29:29Z\"", "\"2012-10-09T19:00:55Z\"", "-----"},
    {"Timestamp", "1", "\"2012-10-09T19:00:55Z\"", "-----"},
};

START_TEST(compares)
{
    static const char *const relations[] = {"Equals", "LessThan", "GreaterThan", "LessThanEquals",
                                            "GreaterThanEquals"};
    for (size_t i = 0; i < ARRAY_LEN(relations); i++) {
        char rule[256];
        char data[256];
        bool want = compare_cases[_i].want[i] == '1';
        (void)snprintf(data, sizeof(data), "{\"a\":%s,\"b\":%s}", compare_cases[_i].variable,
                       compare_cases[_i].value);
        (void)snprintf(rule, sizeof(rule), "{\"Variable\":\"$.a\",\"%s%s\":%s,\"Next\":\"X\"}",
                       compare_cases[_i].family, relations[i], compare_cases[_i].value);
        ck_assert_msg(holds(rule, data) == want, "%s on %s", rule, data);
        (void)snprintf(rule, sizeof(rule), "{\"Variable\":\"$.a\",\"%s%sPath\":\"$.b\"}",
                       compare_cases[_i].family, relations[i]);
        ck_assert_msg(holds(rule, data) == want, "%s on %s", rule, data);
    }
}
END_TEST

/* The other way round: a "...Path" that finds another type is false, too. */
START_TEST(compares_wrong_type_at_path)
{
    ck_assert(
        !holds("{\"Variable\":\"$.a\",\"StringEqualsPath\":\"$.b\"}", "{\"a\":\"1\",\"b\":1}"));
    ck_assert(
        !holds("{\"Variable\":\"$.a\",\"NumericEqualsPath\":\"$.b\"}", "{\"a\":1,\"b\":\"1\"}"));
    ck_assert(
        !holds("{\"Variable\":\"$.a\",\"BooleanEqualsPath\":\"$.b\"}", "{\"a\":true,\"b\":1}"));
    ck_assert(!holds("{\"Variable\":\"$.a\",\"TimestampEqualsPath\":\"$.b\"}",
                     "{\"a\":\"2012-10-09T19:00:55Z\",\"b\":\"x\"}"));
}
END_TEST

static const struct {
    const char *rule, *data;
    bool want;
} test_cases[] = {
    {"'Variable':'$','BooleanEquals':true", "true", true},
    {"'Variable':'$','BooleanEquals':false", "true", false},
    {"'Variable':'$','BooleanEquals':false", "false", true},
    {"'Variable':'$','BooleanEquals':false", "null", false},
    {"'Variable':'$','BooleanEquals':true", "'true'", false},
    {"'Variable':'$.a','BooleanEqualsPath':'$.b'", "{'a':false,'b':false}", true},
    {"'Variable':'$.a','BooleanEqualsPath':'$.b'", "{'a':true,'b':false}", false},
    /* Recorded: test_is_null */
    {"'Variable':'$.V','IsNull':true", "{'V':null}", true},
    {"'Variable':'$.V','IsNull':false", "{'V':null}", false},
    {"'Variable':'$.V','IsNull':true", "{'V':''}", false},
    {"'Variable':'$.V','IsNull':false", "{'V':''}", true},
    {"'Variable':'$.V','IsNull':true", "{'V':0}", false},
    {"'Variable':'$.V','IsNull':false", "{'V':[]}", true},
    {"'Variable':'$.V','IsPresent':true", "{'V':null}", true},
    {"'Variable':'$.V','IsPresent':true", "{}", false},
    {"'Variable':'$.V','IsPresent':false", "{}", true},
    {"'Variable':'$.V','IsPresent':false", "{'V':1}", false},
    {"'Variable':'$.a.b[0]','IsPresent':true", "{'a':{'b':[]}}", false},
    {"'Variable':'$.a[*]','IsPresent':true", "{'a':[]}", false},
    {"'Variable':'$.a[*]','IsPresent':true", "{'a':[1]}", true},
    {"'Variable':'$nope','IsPresent':true", "1", false},
    {"'Variable':'$name','IsPresent':true", "1", true},
    {"'Variable':'$','IsNumeric':true", "-1.5", true},
    {"'Variable':'$','IsNumeric':true", "'1'", false},
    {"'Variable':'$','IsNumeric':false", "'1'", true},
    {"'Variable':'$','IsString':true", "''", true},
    {"'Variable':'$','IsString':true", "1", false},
    {"'Variable':'$','IsString':false", "null", true},
    {"'Variable':'$','IsBoolean':true", "false", true},
    {"'Variable':'$','IsBoolean':true", "0", false},
    {"'Variable':'$','IsBoolean':false", "0", true},
    {"'Variable':'$','IsTimestamp':true", "'2012-10-09T19:00:55Z'", true},
    {"'Variable':'$','IsTimestamp':true", "'2012-10-09T19:00:55.123456+01:30'", true},
    {"'Variable':'$','IsTimestamp':true", "'2012-10-09T19:00:55'", false},
    {"'Variable':'$','IsTimestamp':false", "'date'", true},
    {"'Variable':'$','IsTimestamp':true", "5", false},
    {"'Variable':'$$.State.Name','StringEquals':'S'", "1", true},
    {"'Variable':'$obj.k[1]','NumericEqualsPath':'$.x'", "{'x':2}", true},
    {"'Variable':'$.a[?(@.b==1)].c','IsPresent':true", "{'a':[{'b':1,'c':2}]}", true},
    /* StringMatches */
    {"'Variable':'$','StringMatches':'log-*.txt'", "'log-2026.txt'", true},
    {"'Variable':'$','StringMatches':'log-*.txt'", "'log-.txt'", true},
    {"'Variable':'$','StringMatches':'log-*.txt'", "'log.txt'", false},
    {"'Variable':'$','StringMatches':'log-*.txt'", "'xlog-a.txt'", false},
    {"'Variable':'$','StringMatches':'log-*.txt'", "'log-a.txt~'", false},
    {"'Variable':'$','StringMatches':'*'", "''", true},
    {"'Variable':'$','StringMatches':''", "''", true},
    {"'Variable':'$','StringMatches':''", "'x'", false},
    {"'Variable':'$','StringMatches':'*a*b*'", "'xxayybzz'", true},
    {"'Variable':'$','StringMatches':'*a*b*'", "'ba'", false},
    {"'Variable':'$','StringMatches':'a*a'", "'a'", false},
    {"'Variable':'$','StringMatches':'a*a'", "'aa'", true},
    {"'Variable':'$','StringMatches':'*ab*ab'", "'abab'", true},
    {"'Variable':'$','StringMatches':'*ab*ab'", "'ab'", false},
    {"'Variable':'$','StringMatches':'**x**'", "'x'", true},
    {"'Variable':'$','StringMatches':'a?c'", "'abc'", false},
    {"'Variable':'$','StringMatches':'a\\\\*c'", "'a*c'", true},
    {"'Variable':'$','StringMatches':'a\\\\*c'", "'abc'", false},
    {"'Variable':'$','StringMatches':'a\\\\\\\\*'", "'a\\\\bc'", true},
    {"'Variable':'$','StringMatches':'a\\\\\\\\*'", "'a*'", false},
    {"'Variable':'$','StringMatches':'c:\\\\dir\\\\\\\\*'", "'c:\\\\dir\\\\f'", true},
    {"'Variable':'$','StringMatches':'*'", "1", false},
    /* composites; the recorded ones are the Amazon documentation's */
    {"'Not':{'Variable':'$.type','StringEquals':'Private'}", "{'type':'Public'}", true},
    {"'Not':{'Variable':'$.type','StringEquals':'Private'}", "{'type':'Private'}", false},
    {"'And':[{'Variable':'$.v','NumericGreaterThanEquals':20},{'Variable':'$.v',"
     "'NumericLessThan':30}]",
     "{'v':22}", true},
    {"'And':[{'Variable':'$.v','NumericGreaterThanEquals':20},{'Variable':'$.v',"
     "'NumericLessThan':30}]",
     "{'v':30}", false},
    {"'And':[{'Variable':'$.t','StringEquals':'Public'}]", "{'t':'Public'}", true},
    {"'Or':[{'Variable':'$','NumericEquals':1},{'Variable':'$','NumericEquals':2}]", "2", true},
    {"'Or':[{'Variable':'$','NumericEquals':1},{'Variable':'$','NumericEquals':2}]", "3", false},
    {"'Not':{'Or':[{'Variable':'$','IsNull':true},{'And':[{'Variable':'$','IsNumeric':true},"
     "{'Not':{'Variable':'$','NumericLessThan':0}}]}]}",
     "-1", true},
    /* IsPresent guards what follows it. */
    {"'And':[{'Variable':'$.a','IsPresent':true},{'Variable':'$.a','NumericEquals':1}]", "{}",
     false},
    {"'Or':[{'Variable':'$.a','IsPresent':false},{'Variable':'$.a','NumericEquals':1}]", "{}",
     true},
    {"'Comment':'x','Variable':'$','IsNull':true,'Next':'N','Assign':{'a':1}", "null", true},
    {"'Not':{'Comment':'x','Variable':'$','IsNull':true},'Next':'N'", "null", false},
};

/* ' for ", in the tables of this file. */
static const char *quoted(const char *text, const char *before, const char *after)
{
    char *s = arena_printf(&fx_arena, "%s%s%s", before, text, after);
    for (char *p = s; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    return s;
}

START_TEST(tests)
{
    const char *rule = quoted(test_cases[_i].rule, "{", "}");
    const char *data = quoted(test_cases[_i].data, "", "");
    ck_assert_msg(holds(rule, data) == test_cases[_i].want, "%s on %s", rule, data);
}
END_TEST

static const struct {
    const char *rule, *part;
} problem_cases[] = {
    {"[]", "must be an object"},
    {"{}", "needs 'Variable'"},
    {"{'Variable':'$.a'}", "a comparison is missing"},
    {"{'IsNull':true}", "needs 'Variable'"},
    {"{'Variable':'$.a','IsNull':true,'IsString':true}", "'IsString' is a second one"},
    {"{'Variable':'a','IsNull':true}", "'Variable' must be a path: character 1"},
    {"{'Variable':5,'IsNull':true}", "'Variable' must be a path in a string"},
    /* asl-validator: choice state variable */
    {"{'Variable':'States.ArrayContains($.c.u, \\'null\\')','NumericEquals':1}",
     "'Variable' must be a path"},
    {"{'Variable':'$.a','StringEquals':1}",
     "'StringEquals' must be a string; it is of type number"},
    {"{'Variable':'$.a','NumericEquals':'1'}", "'NumericEquals' must be a number"},
    {"{'Variable':'$.a','BooleanEquals':'true'}", "must be true or false"},
    {"{'Variable':'$.a','TimestampEquals':'2016-13-05T21:29:29Z'}", "must be a timestamp"},
    {"{'Variable':'$.a','TimestampEquals':'2016-12-05T21:29:29'}", "must be a timestamp"},
    {"{'Variable':'$.a','IsNull':1}", "'IsNull' must be true or false"},
    {"{'Variable':'$.a','StringMatches':1}", "'StringMatches' must be a string"},
    {"{'Variable':'$.a','NumericEqualsPath':1}", "'NumericEqualsPath' must be a path in a string"},
    {"{'Variable':'$.a','NumericEqualsPath':'b'}", "'NumericEqualsPath' must be a path: character"},
    {"{'Variable':'$.a','StringMatchesPath':'$.b'}", "'StringMatchesPath' is not a field"},
    {"{'Variable':'$.a','IsNullPath':'$.b'}", "'IsNullPath' is not a field"},
    {"{'Variable':'$.a','stringEquals':'b'}", "'stringEquals' is not a field"},
    {"{'And':[]}", "non-empty list"},
    {"{'Or':{}}", "non-empty list"},
    {"{'Not':[]}", "must be an object"},
    {"{'And':[5]}", "must be an object"},
    {"{'And':[{'Variable':'$','IsNull':true}],'Or':[{'Variable':'$','IsNull':true}]}",
     "one of And, Or, Not"},
    {"{'And':[{'Variable':'$','IsNull':true}],'Variable':'$'}", "either a comparison or"},
    {"{'And':[{'Variable':'$','IsNull':true,'Next':'X'}]}", "'Next' belongs to the outermost"},
    {"{'Not':{'Variable':'$','IsNull':true,'Assign':{}}}", "'Assign' belongs to the outermost"},
    {"{'Condition':'{% true %}'}", "JSONata"},
    {"{'Comment':1,'Variable':'$','IsNull':true}", "'Comment' must be a string"},
};

START_TEST(problems)
{
    struct fx_problems p;
    fx_problems_init(&p);
    char *text = arena_strndup(&fx_arena, problem_cases[_i].rule, strlen(problem_cases[_i].rule));
    size_t n = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        bool literal = text[i] == '\\' && text[i + 1] == '\''; /* a ' that stays */
        i += literal;
        text[n++] = text[i] == '\'' && !literal ? '"' : text[i];
    }
    text[n] = '\0';
    ck_assert_ptr_null(rule_parse(&fx_arena, fx_json(text), true, &p.problems));
    ck_assert_msg(fx_problems_have(&p, problem_cases[_i].part), "%s: %.*s", text,
                  STR_ARG(buf_str(&p.text)));
    ck_assert_uint_eq(p.lines, p.len);
    buf_fini(&p.text);
}
END_TEST

START_TEST(all_problems_are_told)
{
    struct fx_problems p;
    fx_problems_init(&p);
    ck_assert_ptr_null(rule_parse(&fx_arena,
                                  fx_json("{\"And\":[{\"Variable\":\"a\",\"IsNull\":1},{},"
                                          "{\"Not\":{\"Variable\":\"$\"}}],\"x\":1}"),
                                  true, &p.problems));
    ck_assert_uint_eq(p.len, 5);
    buf_fini(&p.text);
}
END_TEST

START_TEST(every_operator_but_is_present_fails_without_a_value)
{
    static const char *const rules[] = {
        "'StringEquals':'a'",       "'NumericLessThan':1",
        "'BooleanEquals':true",     "'IsNull':true",
        "'IsNull':false",           "'IsString':false",
        "'StringMatches':'*'",      "'IsNumeric':false",
        "'IsBoolean':true",         "'IsTimestamp':false",
        "'StringEqualsPath':'$.b'", "'TimestampLessThan':'2012-10-09T19:00:55Z'"};
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        const struct rule *r = parse(quoted(rules[i], "{'Variable':'$.nope',", "}"), true);
        struct eval_env env = fx_env("{\"b\":\"x\"}");
        bool out = false;
        struct asl_error err;
        ck_assert_msg(!rule_eval(r, &env, &out, &err), "%s", rules[i]);
        fx_error(&err, "States.Runtime",
                 "Invalid path '$.nope': The choice state's condition path references an invalid "
                 "value.",
                 rules[i]);
    }
    const struct rule *r = parse("{\"Variable\":\"$.b\",\"StringEqualsPath\":\"$.nope\"}", true);
    struct eval_env env = fx_env("{\"b\":\"x\"}");
    bool out = false;
    struct asl_error err;
    ck_assert(!rule_eval(r, &env, &out, &err));
    ck_assert(str_starts(err.cause, STR("Invalid path '$.nope':")));
    /* An error inside a composite comes through. */
    r = parse("{\"Not\":{\"Or\":[{\"Variable\":\"$.nope\",\"IsNull\":true}]}}", true);
    ck_assert(!rule_eval(r, &env, &out, &err));
    ck_assert(str_eqc(err.name, "States.Runtime"));
}
END_TEST

/* StringMatches against the plain recursive definition. */
static bool glob(const char *p, const char *s)
{
    if (*p == '\0') {
        return *s == '\0';
    }
    if (*p == '*') {
        return glob(p + 1, s) || (*s != '\0' && glob(p, s + 1));
    }
    return *p == *s && glob(p + 1, s + 1);
}

START_TEST(matches_like_the_definition)
{
    uint32_t matched = 0;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        char pattern[16];
        char text[16];
        size_t n = rng_below(&r, 7);
        for (size_t i = 0; i < n; i++) {
            pattern[i] = "ab*"[rng_below(&r, 3)];
        }
        pattern[n] = '\0';
        n = rng_below(&r, 9);
        for (size_t i = 0; i < n; i++) {
            text[i] = "ab"[rng_below(&r, 2)];
        }
        text[n] = '\0';
        char rule[128];
        char data[32];
        (void)snprintf(rule, sizeof(rule), "{\"Variable\":\"$\",\"StringMatches\":\"%s\"}",
                       pattern);
        (void)snprintf(data, sizeof(data), "\"%s\"", text);
        bool got = holds(rule, data);
        ck_assert_msg(got == glob(pattern, text), "%s on %s", pattern, text);
        matched += got;
        if (seed % 100 == 0) {
            arena_reset(&fx_arena, 1 << 16);
        }
    }
    ck_assert_uint_gt(matched, 100);
}
END_TEST

START_TEST(bounds)
{
    const struct rule *r = parse("{\"And\":[{\"Variable\":\"$.a\",\"IsNull\":false},{\"Not\":"
                                 "{\"Variable\":\"$.a\",\"StringMatches\":\"*x*\"}}]}",
                                 true);
    struct eval_env env = fx_env("{\"a\":\"y\"}");
    bool done = false;
    bool out = false;
    struct asl_error err;
    for (uint64_t fuel = 1; !done; fuel++) {
        ck_assert_uint_lt(fuel, 100);
        fx_fuel = fuel;
        done = rule_eval(r, &env, &out, &err);
        ck_assert(done || str_eqc(err.name, "States.Runtime"));
    }
    ck_assert(out);
    const struct jv *source =
        fx_json("{\"Or\":[{\"Variable\":\"$.a\",\"StringMatches\":\"a*b\"}]}");
    for (size_t cap = 8; cap < 2048; cap += 8) {
        struct arena small;
        struct fx_problems p;
        arena_init(&small, cap);
        fx_problems_init(&p);
        r = rule_parse(&small, source, true, &p.problems);
        ck_assert((r == NULL) == (p.len > 0));
        buf_fini(&p.text);
        arena_fini(&small);
    }
    ck_assert_ptr_nonnull(r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core.rule");
    TCase *tc = fx_case(s, "rule");
    tcase_add_loop_test(tc, compares, 0, ARRAY_LEN(compare_cases));
    tcase_add_test(tc, compares_wrong_type_at_path);
    tcase_add_loop_test(tc, tests, 0, ARRAY_LEN(test_cases));
    tcase_add_loop_test(tc, problems, 0, ARRAY_LEN(problem_cases));
    tcase_add_test(tc, all_problems_are_told);
    tcase_add_test(tc, every_operator_but_is_present_fails_without_a_value);
    tcase_add_test(tc, matches_like_the_definition);
    tcase_add_test(tc, bounds);
    return fx_run(s);
}
