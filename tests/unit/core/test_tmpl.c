/* Payload templates: what computes, what stays, which problems are told. */
#include "base/prelude.h"

#include "tests/unit/core/expr_fixture.h"

static const struct tmpl *parse(const char *text)
{
    struct fx_problems p;
    fx_problems_init(&p);
    const struct tmpl *t = tmpl_parse(&fx_arena, fx_json(text), &p.problems);
    ck_assert_msg(t != NULL && p.len == 0, "%s: %.*s", text, STR_ARG(buf_str(&p.text)));
    buf_fini(&p.text);
    return t;
}

static const struct {
    const char *tmpl, *data, *want;
    bool constant;
} eval_cases[] = {
    {"{}", "1", "{}", true},
    {"[]", "1", "[]", true},
    {"null", "1", "null", true},
    {"\"$.foo\"", "1", "\"$.foo\"", true},
    {"{\"a\":\"$.x\",\"b\":[\"States.UUID()\"]}", "1", "{\"a\":\"$.x\",\"b\":[\"States.UUID()\"]}",
     true},
    {"{\"foo\":null}", "1", "{\"foo\":null}", true},
    {"{\"a.$\":\"$\"}", "{\"x\":1}", "{\"a\":{\"x\":1}}", false},
    {"{\"a.$\":\"$.x\",\"b\":2,\"c.$\":\"$.y\"}", "{\"x\":1,\"y\":null}",
     "{\"a\":1,\"b\":2,\"c\":null}", false},
    {"{\"flagged\":true,\"parts\":{\"first.$\":\"$.vals[0]\",\"last3.$\":\"$.vals[3:]\"}}",
     "{\"flagged\":7,\"vals\":[0,10,20,30,40,50]}",
     "{\"flagged\":true,\"parts\":{\"first\":0,\"last3\":[30,40,50]}}", false},
    {"[{\"id.$\":\"$$.Execution.Id\"},1]", "{}", "[{\"id\":\"e1\"},1]", false},
    {"{\"m\":{\"c.$\":\"$.e\",\"b\":[{\"t\":{\"x\":\"m\",\"y.$\":\"$.t.m\"}}]}}",
     "{\"e\":1,\"t\":{\"m\":2}}", "{\"m\":{\"c\":1,\"b\":[{\"t\":{\"x\":\"m\",\"y\":2}}]}}", false},
    {"{\"a.$\":\"States.MathAdd($.n, 1)\"}", "{\"n\":1}", "{\"a\":2}", false},
    {"{\"v.$\":\"$name\",\"w.$\":\"$obj.k\"}", "{}", "{\"v\":\"n\",\"w\":[1,2,3]}", false},
    {"{\"item.$\":\"$.item.items[1:5]\"}", "{}", "{\"item\":[]}", false},
    {"{\".$\":\"$.x\"}", "{\"x\":1}", "{\"\":1}", false},
    {"{\"a.$.$\":\"$.x\",\"a.$\":\"$.x\"}", "{\"x\":1}", "{\"a.$\":1,\"a\":1}", false},
    {"{\"$\":\"$.x\",\"a$\":\"$.x\"}", "{\"x\":1}", "{\"$\":\"$.x\",\"a$\":\"$.x\"}", true},
};

START_TEST(evaluates)
{
    const struct tmpl *t = parse(eval_cases[_i].tmpl);
    struct eval_env env = fx_env(eval_cases[_i].data);
    const struct jv *v = NULL;
    struct asl_error err;
    ck_assert_msg(tmpl_is_constant(t) == eval_cases[_i].constant, "%s", eval_cases[_i].tmpl);
    ck_assert_msg(tmpl_eval(t, &env, &v, &err), "%s", eval_cases[_i].tmpl);
    fx_same(v, eval_cases[_i].want, eval_cases[_i].tmpl);
}
END_TEST

START_TEST(constants_are_shared)
{
    const struct jv *v = fx_json("{\"big\":{\"x\":[1,2,3]},\"a.$\":\"$\"}");
    struct fx_problems p;
    fx_problems_init(&p);
    const struct tmpl *t = tmpl_parse(&fx_arena, v, &p.problems);
    ck_assert_ptr_nonnull(t);
    struct eval_env env = fx_env("{}");
    const struct jv *out = NULL;
    struct asl_error err;
    ck_assert(tmpl_eval(t, &env, &out, &err));
    ck_assert_ptr_eq(jv_getc(out, "big"), jv_getc(v, "big"));
    ck_assert_ptr_eq(jv_getc(out, "a"), env.data);
}
END_TEST

static const struct {
    const char *tmpl;
    uint32_t problems;
    const char *part;
} problem_cases[] = {
    {"{\"a.$\":23}", 1,
     "The value for the field 'a.$' must be a valid JSONPath or a valid "
     "intrinsic function call; it is of type number"},
    {"{\"a.$\":\"23\"}", 1, "'a.$'"},
    {"{\"a.$\":\"$$23\"}", 1, "character 3"},
    {"{\"a.$\":[1,2]}", 1, "type array"},
    {"{\"a.$\":{\"f9\":1}}", 1, "type object"},
    {"{\"a.$\":null}", 1, "type null"},
    {"{\"a.$\":\"States.Nope()\"}", 1, "no intrinsic function 'States.Nope'"},
    {"{\"a.$\":\"States.MathAdd(1)\"}", 1, "takes 2 arguments, not 1"},
    {"{\"a\":1,\"a.$\":\"$.x\"}", 1, "'a.$' and 'a' both set the same member"},
    {"{\"a.$\":\"\"}", 1, "character 1"},
    /* statelint: should reject non-Path constructs in Parameter fields ending in ".$" */
    {"{\"f0\":1,\"good1.$\":\"$.g1\",\"bad1.$\":23,\"bad2.$\":\"23\",\"f3\":{\"bad3.$\":[1,2,3],"
     "\"good2.$\":\"$.b[23]\",\"f5\":[\"f6\",{\"f7\":{\"bad4.$\":{\"f9\":1},\"good3.$\":"
     "\"$.x.y.z[2]\"}}]},\"good4.$\":\"$$\",\"good5.$\":\"$$.g5\",\"bad5.$\":\"$$23\"}",
     5, "'bad4.$'"},
};

START_TEST(problems)
{
    struct fx_problems p;
    fx_problems_init(&p);
    ck_assert_ptr_null(tmpl_parse(&fx_arena, fx_json(problem_cases[_i].tmpl), &p.problems));
    ck_assert_msg(fx_problems_have(&p, problem_cases[_i].part), "%.*s", STR_ARG(buf_str(&p.text)));
    ck_assert_uint_eq(p.len, problem_cases[_i].problems);
    ck_assert_uint_eq(p.lines, p.len);
    buf_fini(&p.text);
}
END_TEST

static const struct {
    const char *tmpl, *data, *name, *cause;
} error_cases[] = {
    {"{\"missing.$\":\"$.nope.deep\"}", "{\"other\":1}", "States.Runtime",
     "The JSONPath '$.nope.deep' specified for the field 'missing.$' could not be found in the "
     "input '{\"other\":1}'"},
    {"{\"a\":[{\"S.$\":\"$.foo\"}]}", "{}", "States.Runtime",
     "The JSONPath '$.foo' specified for the field 'S.$' could not be found in the input '{}'"},
    {"{\"v.$\":\"States.Format('{}',$.nope)\"}", "{\"other\":1}", "States.Runtime",
     "The function 'States.Format('{}',$.nope)' had the following error: The JsonPath argument "
     "for the field '$.nope' could not be found in the input '{\"other\":1}'"},
    {"{\"v.$\":\"States.ArrayGetItem($.l, 7)\"}", "{\"l\":[]}", "States.IntrinsicFailure",
     "The function 'States.ArrayGetItem($.l, 7)' had the following error: Invalid arguments in "
     "States.ArrayGetItem: there is no item 7 in an array of 0."},
};

START_TEST(errors)
{
    const struct tmpl *t = parse(error_cases[_i].tmpl);
    struct eval_env env = fx_env(error_cases[_i].data);
    const struct jv *v = NULL;
    struct asl_error err;
    ck_assert(!tmpl_eval(t, &env, &v, &err));
    fx_error(&err, error_cases[_i].name, error_cases[_i].cause, error_cases[_i].tmpl);
}
END_TEST

START_TEST(bounds)
{
    const struct tmpl *t = parse("{\"a.$\":\"$.x\",\"b\":[{\"c.$\":\"States.Array($.x, $.x)\"}]}");
    struct eval_env env = fx_env("{\"x\":1}");
    const struct jv *v = NULL;
    struct asl_error err;
    bool done = false;
    for (uint64_t fuel = 1; !done; fuel++) {
        ck_assert_uint_lt(fuel, 100);
        fx_fuel = fuel;
        done = tmpl_eval(t, &env, &v, &err);
        ck_assert(done || str_eqc(err.name, "States.Runtime"));
    }
    fx_same(v, "{\"a\":1,\"b\":[{\"c\":[1,1]}]}", "bounds");
    done = false;
    for (size_t cap = 8; !done; cap += 8) {
        ck_assert_uint_lt(cap, 8192);
        struct arena small;
        arena_init(&small, cap);
        env.arena = &small;
        fx_fuel = 1000;
        done = tmpl_eval(t, &env, &v, &err);
        ck_assert(done || str_eqc(err.name, "States.DataLimitExceeded"));
        arena_fini(&small);
    }
    const struct jv *source = fx_json("{\"a.$\":\"$.x\",\"b\":[{\"c.$\":\"$['y']\"}]}");
    for (size_t cap = 8; cap < 2048; cap += 8) {
        struct arena small;
        struct fx_problems p;
        arena_init(&small, cap);
        fx_problems_init(&p);
        t = tmpl_parse(&small, source, &p.problems);
        ck_assert((t == NULL) == (p.len > 0));
        buf_fini(&p.text);
        arena_fini(&small);
    }
}
END_TEST

/* 10,000 members with and without ".$": linear, and each in its place. */
START_TEST(wide)
{
    struct buf b;
    buf_init(&b, 0);
    buf_puts(&b, "{\"m\":0");
    for (int i = 0; i < 10000; i++) {
        buf_printf(&b, ",\"k%d%s", i, i % 2 == 0 ? "\":1" : ".$\":\"$.x\"");
    }
    buf_puts(&b, "}");
    buf_putc(&b, '\0');
    const struct tmpl *t = parse(b.p);
    buf_fini(&b);
    struct eval_env env = fx_env("{\"x\":2}");
    const struct jv *v = NULL;
    struct asl_error err;
    ck_assert(tmpl_eval(t, &env, &v, &err));
    ck_assert_uint_eq(v->len, 10001);
    ck_assert_uint_lt(10000000 - fx_fuel, 40000);
    ck_assert_double_eq(jv_num(jv_getc(v, "k9999")), 2);
    ck_assert_double_eq(jv_num(jv_getc(v, "k9998")), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core.tmpl");
    TCase *tc = fx_case(s, "tmpl");
    tcase_add_loop_test(tc, evaluates, 0, ARRAY_LEN(eval_cases));
    tcase_add_test(tc, constants_are_shared);
    tcase_add_loop_test(tc, problems, 0, ARRAY_LEN(problem_cases));
    tcase_add_loop_test(tc, errors, 0, ARRAY_LEN(error_cases));
    tcase_add_test(tc, bounds);
    tcase_add_test(tc, wide);
    return fx_run(s);
}
