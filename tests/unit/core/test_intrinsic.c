/* Intrinsic functions: each with what was recorded on the real service, with what it refuses; the
 * parser of calls; bounds. */
#include "base/prelude.h"

#include "tests/unit/core/expr_fixture.h"

static const struct expr *parse(const char *text)
{
    const struct expr *e = NULL;
    struct err_detail d = {.code = ERR_OK};
    ck_assert_msg(expr_parse(&fx_arena, str_of(text), &e, &d) == ERR_OK, "%s: %s", text, d.text);
    return e;
}

static const struct {
    const char *expr, *data, *want;
} good_cases[] = {
    {"$.a", "{\"a\":[1]}", "[1]"},
    {"$$.State.Name", "1", "\"S\""},
    {"$obj.k[1]", "1", "2"},
    /* States.Format (recorded: test_format_1, test_context_json_path) */
    {"States.Format('Formatting argument {}.', $)", "\"\"", "\"Formatting argument .\""},
    {"States.Format('Formatting argument {}.', $)", "\" \"", "\"Formatting argument  .\""},
    {"States.Format('Formatting argument {}.', $)", "\"HelloWorld\"",
     "\"Formatting argument HelloWorld.\""},
    {"States.Format('Formatting argument {}.', $)", "null", "\"Formatting argument null.\""},
    {"States.Format('Formatting argument {}.', $)", "1", "\"Formatting argument 1.\""},
    {"States.Format('Formatting argument {}.', $)", "1.1", "\"Formatting argument 1.1.\""},
    {"States.Format('Formatting argument {}.', $)", "\"{\\\"Arg1\\\": 1, \\\"Arg2\\\": []}\"",
     "\"Formatting argument {\\\"Arg1\\\": 1, \\\"Arg2\\\": []}.\""},
    {"States.Format('fst={} and snd={}.', $$.Execution.Id, $)",
     "{\"Id\":\"arn:x\",\"Name\":\"n\",\"l\":[1,\"a\",null,{\"b\":true}]}",
     "\"fst=e1 and snd={Id=arn:x, Name=n, l=[1, a, null, {b=true}]}.\""},
    {"States.Format('{} xyz {}', 1, 'def')", "1", "\"1 xyz def\""},
    {"States.Format('Welcome to {} {}\\'s playlist.', 'A', 'B')", "1",
     "\"Welcome to A B's playlist.\""},
    {"States.Format('\\{{}\\} \\\\ \\n', 1)", "1", "\"{1} \\\\ \\\\n\""},
    {"States.Format('plain')", "1", "\"plain\""},
    {"States.Format('')", "1", "\"\""},
    {"States.Format($.t, 'x')", "{\"t\":\"a {} \\\\{b\\\\}\"}", "\"a x {b}\""},
    {"States.Format('{}', '{}')", "1", "\"{}\""},
    {"States.Format('{}{}', true, false)", "1", "\"truefalse\""},
    /* States.StringToJson (recorded: test_string_to_json) */
    {"States.StringToJson($)", "\"\"", "null"},
    {"States.StringToJson($)", "\" \"", "null"},
    {"States.StringToJson($)", "\"null\"", "null"},
    {"States.StringToJson($)", "\"-0\"", "-0"},
    {"States.StringToJson($)", "\"1.1\"", "1.1"},
    {"States.StringToJson($)", "\"true\"", "true"},
    {"States.StringToJson($)", "\"\\\"HelloWorld\\\"\"", "\"HelloWorld\""},
    {"States.StringToJson($)", "\"[1, 2, \\\"HelloWorld\\\"]\"", "[1,2,\"HelloWorld\"]"},
    {"States.StringToJson($)", "\"{\\\"Arg1\\\": 1, \\\"Arg2\\\": []}\"",
     "{\"Arg1\":1,\"Arg2\":[]}"},
    {"States.StringToJson('{\"text\":\"An \\\"escaped\\\" one\"}')", "1",
     "{\"text\":\"An \\\"escaped\\\" one\"}"},
    /* States.JsonToString */
    {"States.JsonToString($)", "{\"a\": [1, null, \"x\"]}", "\"{\\\"a\\\":[1,null,\\\"x\\\"]}\""},
    {"States.JsonToString($)", "\"x\"", "\"\\\"x\\\"\""},
    {"States.StringToJson(States.JsonToString($))", "{\"a\":[1.50]}", "{\"a\":[1.50]}"},
    /* States.Array (recorded: test_array_0, test_array_2) */
    {"States.Array()", "1", "[]"},
    {"States.Array($, $)", "null", "[null,null]"},
    {"States.Array($, $)", "1.1", "[1.1,1.1]"},
    {"States.Array('Foo', 2020, $, null, -1.5e2, true)", "{}",
     "[\"Foo\",2020,{},null,-1.5e2,true]"},
    {"States.Array( 1 ,2 )", "1", "[1,2]"},
    {"States.Array('a\\\\b', 'c\\'d', 'e\\nf', '\\{\\}')", "1",
     "[\"a\\\\b\",\"c'd\",\"e\\\\nf\",\"{}\"]"},
    {"States.Array($.l[0,1], $['l'][-1], $.l[?(@ > 1)])", "{\"l\":[1,2]}", "[[1,2],2,[2]]"},
    /* States.ArrayPartition (recorded) */
    {"States.ArrayPartition($, 1)", "[]", "[]"},
    {"States.ArrayPartition($, 5)", "[0]", "[[0]]"},
    {"States.ArrayPartition($, 1)", "[0,1,2]", "[[0],[1],[2]]"},
    {"States.ArrayPartition($, 2)", "[0,1,2]", "[[0,1],[2]]"},
    {"States.ArrayPartition($, 3)", "[0,1,2,3]", "[[0,1,2],[3]]"},
    {"States.ArrayPartition($, 4)", "[0,1,2,3]", "[[0,1,2,3]]"},
    {"States.ArrayPartition($,1.6)", "[0,1,2]", "[[0,1],[2]]"},
    {"States.ArrayPartition($, 2147483647)", "[0]", "[[0]]"},
    /* States.ArrayContains */
    {"States.ArrayContains($.l, 2)", "{\"l\":[1,2.0]}", "true"},
    {"States.ArrayContains($.l, '2')", "{\"l\":[1,2]}", "false"},
    {"States.ArrayContains($.l, $.o)", "{\"l\":[{\"b\":1,\"a\":2}],\"o\":{\"a\":2,\"b\":1}}",
     "true"},
    {"States.ArrayContains($.l, null)", "{\"l\":[]}", "false"},
    /* States.ArrayRange (recorded) */
    {"States.ArrayRange(0, 9, 3)", "1", "[0,3,6,9]"},
    {"States.ArrayRange(0, 10, 3)", "1", "[0,3,6,9]"},
    {"States.ArrayRange(1, 9, 9)", "1", "[1]"},
    {"States.ArrayRange(1, 9, 2)", "1", "[1,3,5,7,9]"},
    {"States.ArrayRange(3, 0, -1)", "1", "[3,2,1,0]"},
    {"States.ArrayRange(3, 0, 1)", "1", "[]"},
    {"States.ArrayLength(States.ArrayRange(1, 1000, 1))", "1", "1000"},
    {"States.ArrayLength(States.ArrayRange(-2147483648, 2147483647, 2147483647))", "1", "3"},
    /* States.ArrayGetItem, ArrayLength (recorded) */
    {"States.ArrayGetItem($, 5)", "[1,2,3,4,5,6,7,8,9]", "6"},
    {"States.ArrayGetItem($, 0)", "[null]", "null"},
    {"States.ArrayLength($)", "[1,2,3,4,5,6,7,8,9]", "9"},
    {"States.MathAdd(States.ArrayLength($$.Execution.Input[*]),-1)", "1", "0"},
    /* States.ArrayUnique */
    {"States.ArrayUnique($)",
     "[null,null,true,true,false,false,1,1,1.1,0,0,\"H\",\"H\",[],[],[null],[null],"
     "{\"a\":1,\"b\":2},{\"b\":2,\"a\":1},{\"a\":1,\"b\":1}]",
     "[null,true,false,1,1.1,0,\"H\",[],[null],{\"a\":1,\"b\":2},{\"a\":1,\"b\":1}]"},
    {"States.ArrayUnique($)", "[1,1.0,1e0,10,1e1,0,-0,\"1\"]", "[1,10,0,\"1\"]"},
    {"States.ArrayUnique($)", "[]", "[]"},
    /* States.Base64... (recorded) */
    {"States.Base64Encode('Data to encode')", "1", "\"RGF0YSB0byBlbmNvZGU=\""},
    {"States.Base64Encode('')", "1", "\"\""},
    {"States.Base64Decode($)", "\"\"", "\"\""},
    {"States.Base64Decode($)", "\"RGF0YSB0byBlbmNvZGU=\"", "\"Data to encode\""},
    /* States.Hash (recorded: test_hash) */
    {"States.Hash('input data', 'MD5')", "1", "\"812f45842bc6d66ee14572ce20db8e86\""},
    {"States.Hash('input data', 'SHA-1')", "1", "\"aaff4a450a104cd177d28d18d74485e8cae074b7\""},
    {"States.Hash('input data', 'SHA-256')", "1",
     "\"b4a697a057313163aee33cd8d40c66e9f0f177e00cac2de32475ffff6169c3e3\""},
    {"States.Hash('input data', 'SHA-384')", "1",
     "\"d28a7d5cf25a74f11a50a18452b75e04bb3d70c9dd0510d6123aa008c756511b87525bdc835ebb27e1fb9e9374"
     "a15562\""},
    {"States.Hash('input data', 'SHA-512')", "1",
     "\"6ce4adb348546d4f449c4d25aad9a7c9cb711d9e91982d3f0b29ca2f3f47d4ce2deba23bf2954f0f1d593fc502"
     "83731a533d30d425402d4f91316d871303aac4\""},
    {"States.Hash($, 'MD5')", "{\"a\": 1}", "\"bb6cb5c68df4652941caf652a366f2d8\""},
    {"States.Hash('', 'MD5')", "1", "\"d41d8cd98f00b204e9800998ecf8427e\""},
    /* States.JsonMerge (recorded) */
    {"States.JsonMerge($.fst, $.snd, false)",
     "{\"fst\":{\"a\":{\"a1\":1,\"a2\":2},\"b\":2,\"d\":3},\"snd\":{\"a\":{\"a3\":1,\"a4\":2},"
     "\"c\":3,\"d\":4}}",
     "{\"a\":{\"a3\":1,\"a4\":2},\"b\":2,\"d\":4,\"c\":3}"},
    {"States.JsonMerge($, $, false)", "{}", "{}"},
    /* States.MathAdd (recorded: each argument is rounded, halves up) */
    {"States.MathAdd(-9, 3)", "1", "-6"},
    {"States.MathAdd(1.49, 1.5)", "1", "3"},
    {"States.MathAdd(1.5, 1.51)", "1", "4"},
    {"States.MathAdd(-1.49, -1.5)", "1", "-2"},
    {"States.MathAdd(-1.5, -1.51)", "1", "-3"},
    {"States.MathAdd(1.49, 0)", "1", "1"},
    {"States.MathAdd(1.49, -1.49)", "1", "0"},
    {"States.MathAdd(1.5, 0)", "1", "2"},
    {"States.MathAdd(1.51, 0)", "1", "2"},
    {"States.MathAdd(-1.49, 0)", "1", "-1"},
    {"States.MathAdd(-1.5, 0)", "1", "-1"},
    {"States.MathAdd(-1.51, 0)", "1", "-2"},
    {"States.MathAdd(0.5, 0)", "1", "1"},
    {"States.MathAdd(2.5, 0)", "1", "3"},
    {"States.MathAdd(3.5, 0)", "1", "4"},
    {"States.MathAdd(-0.5, 0.5)", "1", "1"},
    {"States.MathAdd(-0.5, 0)", "1", "0"},
    {"States.MathAdd(-2.5, 0)", "1", "-2"},
    {"States.MathAdd(-3.5, 0)", "1", "-3"},
    {"States.MathAdd(0.49999999999999994, 0)", "1", "0"},
    {"States.MathAdd(2147483647, -2147483648)", "1", "-1"},
    {"States.MathAdd(States.MathAdd(States.MathAdd($.a, $.b), $.c), $.d)",
     "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}", "10"},
    /* States.StringSplit (recorded) */
    {"States.StringSplit($, ',')", "\" \"", "[\" \"]"},
    {"States.StringSplit($, ',')", "\" , \"", "[\" \",\" \"]"},
    {"States.StringSplit($, ',')", "\", , ,\"", "[\" \",\" \"]"},
    {"States.StringSplit($, ',')", "\",,,,\"", "[]"},
    {"States.StringSplit($, ',')", "\"1,2,3,4,5\"", "[\"1\",\"2\",\"3\",\"4\",\"5\"]"},
    {"States.StringSplit($, '.+,=')", "\"This.is+a,test=string\"",
     "[\"This\",\"is\",\"a\",\"test\",\"string\"]"},
    {"States.StringSplit($, 'T\n')", "\"split on T and \\nnew line\"",
     "[\"split on \",\" and \",\"new line\"]"},
    {"States.StringSplit($, ',')",
     "\"Value1,Value2,Value3\\nValue4,Value5,Value6\\n,,,\\ntrue,1,'HelloWorld'\\nNull,None,\\n   "
     "\\n\"",
     "[\"Value1\",\"Value2\",\"Value3\\nValue4\",\"Value5\",\"Value6\\n\",\"\\ntrue\",\"1\","
     "\"'HelloWorld'\\nNull\",\"None\",\"\\n   \\n\"]"},
    {"States.StringSplit('abc', '')", "1", "[\"abc\"]"},
    {"States.StringSplit('', ',')", "1", "[]"},
    {"States.StringSplit('a\xe2\x82\xac"
     "b\xc3\xa4"
     "c', '\xe2\x82\xac\xc3\xa4')",
     "1", "[\"a\",\"b\",\"c\"]"},
    /* A byte of one character is no part of another: U+00E4 is not in U+00A4. */
    {"States.StringSplit('a\xc3\xa4"
     "b', '\xc2\xa4')",
     "1",
     "[\"a\xc3\xa4"
     "b\"]"},
};

START_TEST(good)
{
    const struct expr *e = parse(good_cases[_i].expr);
    struct eval_env env = fx_env(good_cases[_i].data);
    const struct jv *v = NULL;
    struct asl_error err;
    bool done = expr_eval(e, &env, &v, &err);
    ck_assert_msg(done, "%s: %.*s", good_cases[_i].expr, STR_ARG(err.cause));
    fx_same(v, good_cases[_i].want, good_cases[_i].expr);
}
END_TEST

/* What fails: the words after "had the following error: ". */
static const struct {
    const char *expr, *data, *what;
} bad_cases[] = {
    {"States.Format('{}')", "1", "number of arguments do not match the occurrences of {}."},
    {"States.Format('{}', 1, 2)", "1", "number of arguments do not match the occurrences of {}."},
    {"States.Format('{ }', 1)", "1", "matching '}' not found for '{'."},
    {"States.Format('{', 1)", "1", "matching '}' not found for '{'."},
    {"States.Format(5)", "1", "expected a string, got a value of type number."},
    {"States.StringToJson(1)", "1", "expected a string"},
    {"States.StringToJson('{')", "1", "the text is not JSON"},
    {"States.StringToJson('{\"a\":1,\"a\":2}')", "1", "the text is not JSON"},
    {"States.ArrayPartition($, 0)", "[1]", "positive integer"},
    {"States.ArrayPartition($, -1)", "[1]", "positive integer"},
    {"States.ArrayPartition($, 'x')", "[1]", "expected a number, got a value of type string."},
    {"States.ArrayPartition($, 1)", "{}", "expected an array, got a value of type object."},
    {"States.ArrayContains('abc', 'a')", "1", "expected an array"},
    {"States.ArrayRange(0, 9, 0)", "1", "the step must not be 0"},
    {"States.ArrayRange(0, 1000, 1)", "1", "more than 1000 items"},
    {"States.ArrayRange(0, 9, 0.4)", "1", "the step must not be 0"},
    {"States.ArrayRange(1000, 0, -1)", "1", "more than 1000 items"},
    {"States.ArrayGetItem($, 1)", "[1]", "no item 1 in an array of 1."},
    {"States.ArrayGetItem($, -1)", "[1]", "no item -1 in an array of 1."},
    {"States.ArrayLength($)", "\"abc\"", "expected an array"},
    {"States.ArrayUnique($)", "{}", "expected an array"},
    {"States.Base64Encode(1)", "1", "expected a string"},
    {"States.Base64Decode('*')", "1", "the text is not Base64"},
    {"States.Base64Decode('/w==')", "1", "no UTF-8"},
    {"States.Hash('x', 'sha-256')", "1", "the algorithm must be MD5"},
    {"States.Hash('x', 1)", "1", "expected a string"},
    {"States.JsonMerge($, $, true)", "{}", "only the shallow merge"},
    {"States.JsonMerge($, 1, false)", "{}", "expected two objects"},
    {"States.JsonMerge($, $, 'false')", "{}", "expected two objects and a boolean"},
    {"States.MathAdd('1', 1)", "1", "expected a number"},
    {"States.MathAdd(2147483648, 1)", "1", "2147483648 is not within"},
    {"States.MathAdd(-2147483648.51, 1)", "1", "is not within"},
    {"States.MathAdd(1e400, 1)", "1", "is not within"},
    {"States.MathRandom(1, 1)", "1", "the start must be less than the end"},
    {"States.MathRandom(1, 5, 'x')", "1", "expected a number"},
    {"States.StringSplit(1, ',')", "1", "expected a string"},
    {"States.StringSplit('a', null)", "1", "type null"},
    {"States.Array(States.Array(States.ArrayGetItem($, 0)))", "[]", "no item 0"},
};

START_TEST(bad)
{
    const struct expr *e = parse(bad_cases[_i].expr);
    struct eval_env env = fx_env(bad_cases[_i].data);
    const struct jv *v = NULL;
    struct asl_error err;
    ck_assert_msg(!expr_eval(e, &env, &v, &err), "%s", bad_cases[_i].expr);
    char want[256];
    (void)snprintf(want, sizeof(want),
                   "The function '%s' had the following error: ", bad_cases[_i].expr);
    ck_assert_msg(str_eqc(err.name, "States.IntrinsicFailure"), "%.*s", STR_ARG(err.name));
    ck_assert_msg(str_starts(err.cause, str_of(want)), "%.*s", STR_ARG(err.cause));
    ck_assert_msg(strstr(err.cause.p, bad_cases[_i].what) != NULL, "%.*s", STR_ARG(err.cause));
}
END_TEST

START_TEST(missing_argument)
{
    /* The whole expression is named, not the inner call. */
    const struct expr *e = parse("States.Array(States.Format('{}', $.nope))");
    struct eval_env env = fx_env("{\"other\":1}");
    const struct jv *v = NULL;
    struct asl_error err;
    ck_assert(!expr_eval(e, &env, &v, &err));
    fx_error(&err, "States.Runtime",
             "The function 'States.Array(States.Format('{}', $.nope))' had the following error: "
             "The JsonPath argument for the field '$.nope' could not be found in the input "
             "'{\"other\":1}'",
             "missing");
}
END_TEST

static const struct {
    const char *expr;
    size_t at;
} refuse_cases[] = {
    {"", 1},
    {"x", 1},
    {" States.UUID()", 1},
    {" $.a", 1},
    {"States.", 1},
    {"States.UUID", 12},
    {"States.UUID(", 13},
    {"States.UUID(1)", 14},
    {"States.UUID()x", 14},
    {"States.UUID()[0]", 14},
    {"States.uuid()", 1},
    {"States.Format()", 15},
    {"States.MathAdd(1)", 17},
    {"States.MathAdd(1, 2, 3)", 23},
    {"States.MathRandom(1)", 20},
    {"States.MathAdd(1,)", 18},
    {"States.MathAdd(,1)", 16},
    {"States.MathAdd(1 2)", 18},
    {"States.MathAdd(01, 2)", 16},
    {"States.MathAdd(1., 2)", 16},
    {"States.MathAdd(-, 2)", 16},
    {"States.MathAdd(nul, 2)", 16},
    {"States.Array(\"a\")", 14},
    {"States.Array('a)", 14},
    {"States.Array('a\\')", 14},
    {"States.Array($.)", 16},
    {"States.Array($.a[)", 18},
    {"States.Array($.a b)", 18},
    {"States.Array($$x)", 16},
    {"States.Array(@.a)", 14},
    {"States.Array(States.Nope())", 14},
    {"Format('x')", 1},
};

START_TEST(refuses)
{
    const struct expr *e = NULL;
    struct err_detail d = {.code = ERR_OK};
    const char *text = refuse_cases[_i].expr;
    ck_assert_msg(expr_parse(&fx_arena, str_of(text), &e, &d) == ERR_INVALID, "%s", text);
    ck_assert_ptr_null(e);
    char want[32];
    (void)snprintf(want, sizeof(want), "character %zu:", refuse_cases[_i].at);
    ck_assert_msg(strncmp(d.text, want, strlen(want)) == 0, "<%s>: %s, wanted %s", text, d.text,
                  want);
}
END_TEST

/* A prefix of a call is never an expression; a prefix of a path may be one. */
START_TEST(prefixes)
{
    struct str text = str_of(good_cases[_i].expr);
    for (size_t n = 0; n < text.size && str_starts(text, STR("States.")); n++) {
        const struct expr *e = NULL;
        struct str prefix = str_dup(&fx_arena, str_sub(text, 0, n));
        ck_assert_msg(expr_parse(&fx_arena, prefix, &e, NULL) == ERR_INVALID, "%s", prefix.p);
    }
}
END_TEST

START_TEST(nesting_and_counts)
{
    struct buf b;
    buf_init(&b, 0);
    for (int depth = 1; depth <= 12; depth++) {
        buf_clear(&b);
        for (int i = 0; i < depth; i++) {
            buf_puts(&b, "States.Array(");
        }
        for (int i = 0; i < depth; i++) {
            buf_puts(&b, ")");
        }
        const struct expr *e = NULL;
        ck_assert((expr_parse(&fx_arena, buf_str(&b), &e, NULL) == ERR_OK) == (depth <= 10));
    }
    for (int args = 255; args <= 257; args++) {
        buf_clear(&b);
        buf_puts(&b, "States.Array(0");
        for (int i = 1; i < args; i++) {
            buf_puts(&b, ",0");
        }
        buf_puts(&b, ")");
        const struct expr *e = NULL;
        ck_assert((expr_parse(&fx_arena, buf_str(&b), &e, NULL) == ERR_OK) == (args <= 256));
    }
    const struct expr *e = NULL;
    ck_assert_int_eq(expr_parse(&fx_arena, STR("States.Array('\xff')"), &e, NULL), ERR_INVALID);
    buf_fini(&b);
}
END_TEST

static const struct jv *eval(const char *text, struct eval_env *env)
{
    const struct jv *v = NULL;
    struct asl_error err;
    ck_assert_msg(expr_eval(parse(text), env, &v, &err), "%s: %.*s", text, STR_ARG(err.cause));
    return v;
}

START_TEST(random_and_uuid)
{
    struct eval_env env = fx_env("1");
    bool seen[3] = {false};
    for (int i = 0; i < 200; i++) {
        int64_t n = 0;
        ck_assert(jv_to_i64(eval("States.MathRandom(-1, 2)", &env), &n));
        ck_assert(n >= -1 && n < 2);
        seen[n + 1] = true;
    }
    ck_assert(seen[0] && seen[1] && seen[2]);
    const struct jv *a = eval("States.MathRandom(0, 2147483647, 7)", &env);
    ck_assert(jv_equal(a, eval("States.MathRandom(0, 2147483647, 7)", &env)));
    ck_assert(!jv_equal(a, eval("States.MathRandom(0, 2147483647, 8)", &env)));
    struct str u = jv_str(eval("States.UUID()", &env));
    ck_assert_uint_eq(u.size, 36);
    ck_assert(u.p[8] == '-' && u.p[13] == '-' && u.p[14] == '4' && u.p[18] == '-');
    ck_assert(strchr("89ab", u.p[19]) != NULL);
    ck_assert(!str_eq(u, jv_str(eval("States.UUID()", &env))));
    /* The same generator gives the same: replays agree. */
    rng_seed(&fx_rng, 42);
    const struct jv *one = eval("States.UUID()", &env);
    rng_seed(&fx_rng, 42);
    ck_assert(jv_equal(one, eval("States.UUID()", &env)));
}
END_TEST

static const struct jv *numbers(uint32_t n, uint32_t distinct)
{
    struct jv_list b;
    jv_arr_begin(&b, &fx_arena);
    for (uint32_t i = 0; i < n; i++) {
        jv_arr_add(&b, jv_int(&fx_arena, i % distinct));
    }
    return jv_arr_end(&b);
}

/* 10,000 items cost a few steps each: fuel counts what is done, so this is the proof. */
START_TEST(large_arrays_are_linear)
{
    static const char *const exprs[] = {"States.ArrayUnique($)",
                                        "States.ArrayContains($, 'no')",
                                        "States.ArrayPartition($, 1)",
                                        "States.Format('{}', $)",
                                        "States.ArrayLength($[*])",
                                        "States.JsonToString($)",
                                        "States.ArrayGetItem($, 9999)"};
    for (size_t i = 0; i < ARRAY_LEN(exprs); i++) {
        struct eval_env env = fx_env("1");
        env.data = numbers(10000, 10000);
        (void)eval(exprs[i], &env);
        ck_assert_msg(10000000 - fx_fuel <= 60000, "%s: %" PRIu64, exprs[i], 10000000 - fx_fuel);
    }
    struct eval_env env = fx_env("1");
    env.data = numbers(10000, 100);
    ck_assert_uint_eq(eval("States.ArrayUnique($)", &env)->len, 100);
    env.data = numbers(10000, 10000);
    ck_assert_uint_eq(eval("States.ArrayUnique($)", &env)->len, 10000);
}
END_TEST

/* ArrayUnique agrees with the plain quadratic definition. */
START_TEST(unique_is_unique)
{
    static const char *const values[] = {"1",
                                         "1.0",
                                         "10e-1",
                                         "2",
                                         "\"1\"",
                                         "null",
                                         "true",
                                         "[]",
                                         "[1]",
                                         "[1.0]",
                                         "{}",
                                         "{\"a\":1,\"b\":[2]}",
                                         "{\"b\":[2e0],\"a\":1}",
                                         "[[1]]",
                                         "0",
                                         "-0.0",
                                         "{\"a\":null}"};
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        struct jv_list b;
        struct jv_list want;
        jv_arr_begin(&b, &fx_arena);
        jv_arr_begin(&want, &fx_arena);
        const struct jv *kept[64];
        uint32_t len = 0;
        uint64_t n = rng_below(&r, 40);
        for (uint64_t i = 0; i < n; i++) {
            const struct jv *v = fx_json(values[rng_below(&r, ARRAY_LEN(values))]);
            jv_arr_add(&b, v);
            bool known = false;
            for (uint32_t k = 0; k < len; k++) {
                known = known || jv_equal(kept[k], v);
            }
            if (!known) {
                kept[len++] = v;
                jv_arr_add(&want, v);
            }
        }
        struct eval_env env = fx_env("1");
        env.data = jv_arr_end(&b);
        fx_same(eval("States.ArrayUnique($)", &env), fx_text(jv_arr_end(&want)), "unique");
        arena_reset(&fx_arena, 1 << 16);
    }
}
END_TEST

START_TEST(limits_of_text)
{
    struct buf b;
    buf_init(&b, 0);
    for (int i = 0; i < 10000; i++) {
        buf_puts(&b, "\xc3\xa4"); /* characters count, not bytes */
    }
    static const char *const exprs[] = {"States.Base64Encode($)", "States.Hash($, 'MD5')"};
    for (size_t i = 0; i < ARRAY_LEN(exprs); i++) {
        struct eval_env env = fx_env("1");
        env.data = jv_string(&fx_arena, buf_str(&b));
        (void)eval(exprs[i], &env);
        buf_putc(&b, 'x');
        struct str longer = buf_str(&b);
        env.data = jv_string(&fx_arena, longer);
        b.size--;
        const struct jv *v = NULL;
        struct asl_error err;
        ck_assert(!expr_eval(parse(exprs[i]), &env, &v, &err));
        ck_assert(strstr(err.cause.p, "longer than 10000 characters") != NULL);
    }
    buf_fini(&b);
}
END_TEST

START_TEST(fuel_and_memory)
{
    const struct expr *e = parse("States.Array(States.Format('{}-{}', $.a, $.a[0]), "
                                 "States.StringSplit('a,b', ','), States.ArrayUnique($.a), "
                                 "States.JsonMerge($, $, false), States.UUID(), "
                                 "States.Hash($, 'SHA-1'), States.Base64Decode('YQ=='))");
    struct eval_env env = fx_env("{\"a\":[1,2,{\"b\":[3]}]}");
    const struct jv *v = NULL;
    struct asl_error err;
    bool done = false;
    for (uint64_t fuel = 1; !done; fuel++) {
        ck_assert_uint_lt(fuel, 1000);
        fx_fuel = fuel;
        v = NULL;
        done = expr_eval(e, &env, &v, &err);
        ck_assert(done == (v != NULL));
        ck_assert(done || str_eqc(err.name, "States.Runtime"));
    }
    done = false;
    for (size_t cap = 8; !done; cap += 8) {
        ck_assert_uint_lt(cap, 65536);
        struct arena small;
        arena_init(&small, cap);
        env.arena = &small;
        fx_fuel = 1000;
        v = NULL;
        done = expr_eval(e, &env, &v, &err);
        ck_assert(done == (v != NULL));
        ck_assert(done || str_eqc(err.name, "States.DataLimitExceeded"));
        arena_fini(&small);
    }
    env.arena = &fx_arena;
    env.fuel = NULL; /* no bound */
    ck_assert(expr_eval(e, &env, &v, &err));
    for (size_t cap = 8; cap < 2048; cap += 8) {
        struct arena small;
        arena_init(&small, cap);
        const struct expr *out = NULL;
        enum err r =
            expr_parse(&small, STR("States.Array('x', $.a, 1, States.UUID())"), &out, NULL);
        ck_assert((r == ERR_OK) == (out != NULL));
        ck_assert(r == ERR_OK || r == ERR_TOO_LARGE);
        arena_fini(&small);
    }
}
END_TEST

START_TEST(deep_values_are_refused)
{
    static const char *const exprs[] = {"States.Format('{}', $)", "States.ArrayUnique($)"};
    struct eval_env env = fx_env("1");
    const struct jv *v = env.data;
    for (int i = 0; i < 100000; i++) {
        v = jv_array(&fx_arena, &v, 1);
    }
    env.data = v;
    for (size_t i = 0; i < ARRAY_LEN(exprs); i++) {
        struct asl_error err;
        ck_assert(!expr_eval(parse(exprs[i]), &env, &v, &err));
        fx_error(&err, "States.Runtime", "The value is nested too deeply for an expression.",
                 exprs[i]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core.intrinsic");
    TCase *tc = fx_case(s, "intrinsic");
    tcase_add_loop_test(tc, good, 0, ARRAY_LEN(good_cases));
    tcase_add_loop_test(tc, bad, 0, ARRAY_LEN(bad_cases));
    tcase_add_test(tc, missing_argument);
    tcase_add_loop_test(tc, refuses, 0, ARRAY_LEN(refuse_cases));
    tcase_add_loop_test(tc, prefixes, 0, ARRAY_LEN(good_cases));
    tcase_add_test(tc, nesting_and_counts);
    tcase_add_test(tc, random_and_uuid);
    tcase_add_test(tc, large_arrays_are_linear);
    tcase_add_test(tc, unique_is_unique);
    tcase_add_test(tc, limits_of_text);
    tcase_add_test(tc, fuel_and_memory);
    tcase_add_test(tc, deep_values_are_refused);
    return fx_run(s);
}
