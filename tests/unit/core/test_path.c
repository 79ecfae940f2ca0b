/* Paths: what is accepted, what they select, what a put makes; sweeps and random trees. */
#include "base/prelude.h"

#include "tests/unit/core/expr_fixture.h"

static const char store[] =
    "{\"store\":{\"book\":[{\"t\":\"A\",\"p\":8.95,\"k\":\"ref\"},{\"t\":\"B\",\"p\":12,\"k\":"
    "\"fic\",\"isbn\":\"1\"},{\"t\":\"C\",\"p\":5,\"k\":\"fic\",\"isbn\":null}],\"bike\":{\"p\":20}"
    "},"
    "\"l\":[0,1,2,3,4],\"n\":null,\"e\":[],\"o\":{},\"max\":9}";

static const struct select_case {
    const char *path, *data, *want; /* NULL: absent */
} select_cases[] = {
    {"$", store, store},
    {"$", "null", "null"},
    {"$.n", store, "null"},
    {"$.max", store, "9"},
    {"$['max']", store, "9"},
    {"$[\"max\"]", store, "9"},
    {"$.['max']", store, "9"},
    {"$[ 'max' ]", store, "9"},
    {"$.store.book[1].t", store, "\"B\""},
    {"$.store.book[-1].t", store, "\"C\""},
    {"$.store.book[-3].t", store, "\"A\""},
    {"$.store.book[-4].t", store, NULL},
    {"$.store.book[3].t", store, NULL},
    {"$.store.book[(@.length-1)].t", store, "\"C\""},
    {"$.nope", store, NULL},
    {"$.max.nope", store, NULL},
    {"$.max[0]", store, NULL},
    {"$.store[0]", store, NULL},
    {"$.l.a", store, NULL},
    {"$[0]", "[7,8]", "7"},
    {"$[0][1].a", "[[1,{\"a\":2}]]", "2"},
    {"$.delivery-partner", "{\"delivery-partner\":1}", "1"},
    {"$.a_b", "{\"a_b\":1}", "1"},
    {"$.\xc3\xa4\xc3\xb6", "{\"\xc3\xa4\xc3\xb6\":1}", "1"},
    {"$.a$b", "{\"a$b\":1}", "1"},
    {"$.@type", "{\"@type\":1}", "1"},
    {"$.2x", "{\"2x\":1}", "1"},
    {"$['']", "{\"\":1}", "1"},
    {"$['a.b c']", "{\"a.b c\":1}", "1"},
    {"$['it\\'s']", "{\"it's\":1}", "1"},
    {"$['a\\\\b']", "{\"a\\\\b\":1}", "1"},
    {"$[\"say \\\"hi\\\"\"]", "{\"say \\\"hi\\\"\":1}", "1"},
    /* Recorded (test_escape_sequence_parsing): the backslash before another quote stays. */
    {"$['Test\\\"\"Name\"']", "{\"Test\\\\\\\"\\\"Name\\\"\":\"Value\\\"\\\\\"}",
     "\"Value\\\"\\\\\""},
    /* unions */
    {"$.l[0,2,4]", store, "[0,2,4]"},
    {"$.l[0, -1 ,9]", store, "[0,4]"},
    {"$['max','n']", store, "{\"max\":9,\"n\":null}"},
    {"$['max','nope','max']", store, "{\"max\":9}"},
    {"$.store.book[*]['t','p']", store,
     "[{\"t\":\"A\",\"p\":8.95},{\"t\":\"B\",\"p\":12},{\"t\":\"C\",\"p\":5}]"},
    {"$['store','max'].bike", store, "[{\"p\":20}]"},
    {"$.l['a','b']", store, NULL},
    /* slices */
    {"$.l[1:3]", store, "[1,2]"},
    {"$.l[:2]", store, "[0,1]"},
    {"$.l[3:]", store, "[3,4]"},
    {"$.l[-2:]", store, "[3,4]"},
    {"$.l[:-3]", store, "[0,1]"},
    {"$.l[:]", store, "[0,1,2,3,4]"},
    {"$.l[0:9:2]", store, "[0,2,4]"},
    {"$.l[::2]", store, "[0,2,4]"},
    {"$.l[::-1]", store, "[4,3,2,1,0]"},
    {"$.l[3:0:-1]", store, "[3,2,1]"},
    {"$.l[ 1 : 3 ]", store, "[1,2]"},
    {"$.l[-99:99]", store, "[0,1,2,3,4]"},
    {"$.l[99:-99:-2]", store, "[4,2,0]"},
    {"$.l[3:1]", store, "[]"},
    {"$.max[1:3]", store, "[]"},
    {"$.e[0:1]", store, "[]"},
    /* wildcards */
    {"$.l[*]", store, "[0,1,2,3,4]"},
    {"$.l.*", store, "[0,1,2,3,4]"},
    {"$.store.*.p", store, "[20]"},
    {"$.store.book[*].t", store, "[\"A\",\"B\",\"C\"]"},
    {"$.store.book[*].isbn", store, "[\"1\",null]"},
    {"$.e[*]", store, "[]"},
    {"$.o.*", store, "[]"},
    {"$.max.*", store, "[]"},
    {"$..p", store, "[8.95,12,5,20]"},
    {"$..*", "{\"a\":{\"b\":1},\"c\":2}", "[{\"b\":1},2,1]"},
    {"$..book[0].t", store, "[\"A\"]"},
    {"$..[0]", "[[1,2],[3]]", "[[1,2],1,3]"},
    {"$..['p']", store, "[8.95,12,5,20]"},
    {"$.d..a", "{\"d\":{\"x\":{\"a\":[1,2]}}}", "[[1,2]]"},
    {"$.d..a[*]", "{\"d\":{\"x\":{\"a\":[1,2]}}}", "[1,2]"},
    {"$..a..b", "{\"a\":{\"a\":{\"b\":1}}}", "[1,1]"},
    /* Recorded (test_json_path_array_wildcard_or_slice_with_no_input): all of these on {}. */
    {"$.item.items[*]", "{}", "[]"},
    {"$.item.items[:1]", "{}", "[]"},
    {"$.item.items[1:]", "{}", "[]"},
    {"$.item.items[1:5]", "{}", "[]"},
    {"$.item.items[1:5].itemValue", "{}", "[]"},
    {"$.items[*]", "{}", "[]"},
    {"$.items[*].itemValue", "{}", "[]"},
    {"$.items[:1].itemValue", "{}", "[]"},
    {"$[*]", "{}", "[]"},
    {"$..x", "{}", "[]"},
    {"$.a[?(@.b)]", "{}", "[]"},
    /* filters */
    {"$.list[?(@.keep)]", "{\"list\":[{\"keep\":true},{\"keep\":false},{\"other\":1}]}",
     "[{\"keep\":true},{\"keep\":false}]"},
    {"$.list[?(@.keep == true)]", "{\"list\":[{\"keep\":true},{\"keep\":false}]}",
     "[{\"keep\":true}]"},
    {"$.store.book[?(@.p < 9)].t", store, "[\"A\",\"C\"]"},
    {"$.store.book[?(@.p<9)].t", store, "[\"A\",\"C\"]"},
    {"$.store.book[?(@.p >= 8.95)].t", store, "[\"A\",\"B\"]"},
    {"$.store.book[?(9 > @.p)].t", store, "[\"A\",\"C\"]"},
    {"$.store.book[?(@.p <= $.max)].t", store, "[\"A\",\"C\"]"},
    {"$.store.book[?(@['p'] == 12.0)].t", store, "[\"B\"]"},
    {"$.store.book[?(@.k == 'fic' && @.p > 6)].t", store, "[\"B\"]"},
    {"$.store.book[?(@.k == \"ref\" || @.p < 6)].t", store, "[\"A\",\"C\"]"},
    {"$.store.book[?(@.k == 'ref' || @.k == 'fic' && @.p < 6)].t", store, "[\"A\",\"C\"]"},
    {"$.store.book[?((@.k == 'ref' || @.k == 'fic') && @.p < 6)].t", store, "[\"C\"]"},
    {"$.store.book[?(!@.isbn)].t", store, "[\"A\"]"},
    {"$.store.book[?(!(@.p > 6 && @.p < 10))].t", store, "[\"B\",\"C\"]"},
    {"$.store.book[?(@.isbn == null)].t", store, "[\"C\"]"},
    {"$.store.book[?(@.isbn != '1')].t", store, "[\"A\",\"C\"]"},
    {"$.store.book[?(@.k in ['ref', 'x'])].t", store, "[\"A\"]"},
    {"$.store.book[?(@.k nin ['ref'])].t", store, "[\"B\",\"C\"]"},
    {"$.store.book[?(@.k in [])].t", store, "[]"},
    {"$.store.book[?(@.t < 'B')].t", store, "[\"A\"]"},
    {"$.store.book[?(@.t < 5)].t", store, "[]"},
    {"$.store.book[?(@.k == fic)].t", store, "[\"B\",\"C\"]"},
    {"$.l[?(@ > 2)]", store, "[3,4]"},
    {"$.l[?(@ == -1 || @ == 1e0)]", store, "[1]"},
    {"$.store[?(@.p == 20)]", store, "[]"},
    {"$.store.bike[?(@.p == 20)]", store, "[{\"p\":20}]"},
    {"$..[?(@.p == 20)]", store, "[{\"p\":20}]"},
    {"$..[?(@.p)].t", store, "[\"A\",\"B\",\"C\"]"},
    {"$.x[?(@.y[?(@.z == 1)])].n", "{\"x\":[{\"n\":1,\"y\":[{\"z\":1}]},{\"n\":2,\"y\":[]}]}",
     "[1]"},
    {"$.l[?(@ == $zero)]", store, "[0]"},
    {"$.l[?(@ == $$.Map.Item.Index)]", store, "[3]"},
    {"$.store.book[?(@.k == 'fic')][0]", store, "[]"},
    {"$.q[?(@.s == 'it\\'s')].s", "{\"q\":[{\"s\":\"it's\"}]}", "[\"it's\"]"},
    /* context and variables */
    {"$$.Execution.Id", store, "\"e1\""},
    {"$$.Execution.Input.a", store, "1"},
    {"$$.Nope", store, NULL},
    {"$name", store, "\"n\""},
    {"$obj.k[1]", store, "2"},
    {"$obj.k[*]", store, "[1,2,3]"},
    {"$obj['k'][-1]", store, "3"},
    {"$nope", store, NULL},
    {"$nope.a", store, NULL},
    {"$nope[*]", store, "[]"},
};

static const struct path *parse(const char *text)
{
    const struct path *p = NULL;
    struct err_detail d = {.code = ERR_OK};
    enum err e = path_parse(&fx_arena, str_of(text), &p, &d);
    ck_assert_msg(e == ERR_OK, "%s: %s", text, d.text);
    return p;
}

START_TEST(selects)
{
    const struct select_case *c = &select_cases[_i];
    struct eval_env env = fx_env(c->data);
    const struct path *p = parse(c->path);
    ck_assert(str_eqc(path_text(p), c->path));
    const struct jv *v = NULL;
    struct asl_error err;
    bool found = path_eval(p, &env, &v, &err);
    ck_assert_msg(found == (c->want != NULL), "%s", c->path);
    if (found) {
        fx_same(v, c->want, c->path);
        bool empty = !path_is_reference(p) && jv_is(v, JV_ARRAY) && v->len == 0;
        ck_assert_msg(path_exists(p, &env) == !empty, "%s", c->path);
    } else {
        ck_assert(str_eqc(err.name, "States.Runtime"));
        ck_assert(!path_exists(p, &env));
    }
}
END_TEST

static const struct refuse_case {
    const char *path;
    size_t at; /* character of the message */
} refuse_cases[] = {
    {"", 1},
    {"a", 1},
    {".guid", 1},
    {"..guid", 1},
    {"()", 1},
    {"$...", 4},
    {"$.", 3},
    {"$..", 4},
    {"$$23", 3},
    {"$$$", 3},
    {"$ .a", 2},
    {"$.a b", 4},
    {"$.a.", 5},
    {"$.a..", 6},
    {"$[", 3},
    {"$[]", 3},
    {"$['a", 3},
    {"$['a'", 6},
    {"$['a' 'b']", 7},
    {"$['a',]", 7},
    {"$['a',0]", 7},
    {"$[0,'a']", 5},
    {"$[0", 4},
    {"$[0]a", 5},
    {"$[a]", 3},
    {"$[1.5]", 4},
    {"$[--1]", 3},
    {"$[0,]", 5},
    {"$[1:2:0]", 7},
    {"$[1:2:3:4]", 8},
    {"$.l.length()", 11},
    {"$.a*", 4},
    {"$.'a'", 3},
    {"$.a,b", 4},
    {"$.a]", 4},
    {"$[?(@.a]", 8},
    {"$[?(@.a)", 9},
    {"$[?@.a]", 3},
    {"$[?()]", 5},
    {"$[?(1)]", 6},
    {"$[?(@.a = 1)]", 9},
    {"$[?(@.a ==)]", 11},
    {"$[?(@.a == 1 &&)]", 16},
    {"$[?(@.a =~ /x/)]", 9},
    {"$[?(@.a == 01)]", 12},
    {"$[?(@.a == 'x)]", 12},
    {"$[?(@.a in ['x')]", 16},
    {"$[?(@.a in ['x',])]", 17},
    {"$[?(!)]", 6},
    {"$[(@.length)]", 3},
    {"$[(@.length-0)]", 3},
    {"$[(1)]", 3},
    {"@.a", 1},
    {"$.a[?(@.b[?(@.c[?(@.d[?(@.e[?(@.f)])])])])]", 29},
    {"$[99999999999999999]", 3},
    {"$.a\x01", 4},
    {"$['a']b", 7},
    {"$.a\n", 4},
};

START_TEST(refuses)
{
    const struct refuse_case *c = &refuse_cases[_i];
    const struct path *p = NULL;
    struct err_detail d = {.code = ERR_OK};
    ck_assert_msg(path_parse(&fx_arena, str_of(c->path), &p, &d) == ERR_INVALID, "<%s>", c->path);
    ck_assert_ptr_null(p);
    char want[32];
    (void)snprintf(want, sizeof(want), "character %zu:", c->at);
    ck_assert_msg(strncmp(d.text, want, strlen(want)) == 0, "<%s>: %s, wanted %s", c->path, d.text,
                  want);
    ck_assert_uint_gt(strlen(d.text), strlen(want) + 10);
}
END_TEST

START_TEST(refuses_no_utf8_and_too_much)
{
    const struct path *p = NULL;
    ck_assert_int_eq(path_parse(&fx_arena, STR("$.\xff"), &p, NULL), ERR_INVALID);
    struct buf b;
    buf_init(&b, 0);
    buf_puts(&b, "$");
    for (int i = 0; i < 64; i++) {
        buf_puts(&b, ".a");
    }
    ck_assert_int_eq(path_parse(&fx_arena, buf_str(&b), &p, NULL), ERR_OK);
    buf_puts(&b, ".a");
    ck_assert_int_eq(path_parse(&fx_arena, buf_str(&b), &p, NULL), ERR_INVALID);
    buf_clear(&b);
    buf_puts(&b, "$[?(");
    for (int i = 0; i < 100000; i++) {
        buf_puts(&b, "(");
    }
    ck_assert_int_eq(path_parse(&fx_arena, buf_str(&b), &p, NULL), ERR_INVALID);
    buf_clear(&b);
    buf_puts(&b, "$[?(@.a==0");
    for (int i = 1; i < 20000; i++) {
        buf_printf(&b, "||@.a==%d", i);
    }
    buf_puts(&b, ")]");
    ck_assert_int_eq(path_parse(&fx_arena, buf_str(&b), &p, NULL), ERR_OK);
    struct eval_env env = fx_env("[{\"a\":19999},{\"a\":20000}]");
    const struct jv *v = NULL;
    struct asl_error err;
    ck_assert(path_eval(p, &env, &v, &err));
    fx_same(v, "[{\"a\":19999}]", "long chain");
    buf_clear(&b);
    buf_puts(&b, "$[0");
    for (int i = 0; i < 300; i++) {
        buf_puts(&b, ",0");
    }
    buf_puts(&b, "]");
    ck_assert_int_eq(path_parse(&fx_arena, buf_str(&b), &p, NULL), ERR_INVALID);
    buf_fini(&b);
}
END_TEST

/* Every prefix is refused or is a whole path itself: brackets and quotes closed, no dot left. */
START_TEST(prefixes)
{
    struct str text = str_of(select_cases[_i].path);
    struct eval_env env = fx_env(select_cases[_i].data);
    for (size_t n = 0; n <= text.size; n++) {
        const struct path *p = NULL;
        struct str prefix = str_dup(&fx_arena, str_sub(text, 0, n));
        if (path_parse(&fx_arena, prefix, &p, NULL) != ERR_OK) {
            ck_assert(n < text.size);
            continue;
        }
        int depth = 0;
        char quote = '\0';
        for (size_t i = 0; i < n; i++) {
            char c = prefix.p[i];
            if (quote != '\0') {
                i += c == '\\';
                quote = c == quote ? '\0' : quote;
            } else if (c == '\'' || c == '"') {
                quote = c;
            } else {
                depth += (c == '[') - (c == ']');
            }
        }
        ck_assert_msg(n > 0 && depth == 0 && quote == '\0' && prefix.p[n - 1] != '.', "%s",
                      prefix.p);
        const struct jv *v = NULL;
        struct asl_error err;
        bool found = path_eval(p, &env, &v, &err);
        ck_assert(found == (v != NULL));
    }
}
END_TEST

static const struct {
    const char *path;
    bool reference, context;
    const char *variable;
} kind_cases[] = {
    {"$", true, false, ""},
    {"$.a['b'][0]", true, false, ""},
    {"$.a[-1]", true, false, ""},
    {"$$.a", true, true, ""},
    {"$$", true, true, ""},
    {"$x.a", true, false, "x"},
    {"$foo_1", true, false, "foo_1"},
    {"$.a[*]", false, false, ""},
    {"$.a.*", false, false, ""},
    {"$..a", false, false, ""},
    {"$.a[0,1]", false, false, ""},
    {"$['a','b']", false, false, ""},
    {"$.a[0:1]", false, false, ""},
    {"$.a[?(@.b)]", false, false, ""},
    {"$[(@.length-1)]", false, false, ""},
};

START_TEST(kinds)
{
    const struct path *p = parse(kind_cases[_i].path);
    ck_assert_msg(path_is_reference(p) == kind_cases[_i].reference, "%s", kind_cases[_i].path);
    ck_assert(path_is_context(p) == kind_cases[_i].context);
    ck_assert(str_eqc(path_variable(p), kind_cases[_i].variable));
}
END_TEST

START_TEST(causes)
{
    struct eval_env env = fx_env("{\"other\":1}");
    const struct jv *v = NULL;
    struct asl_error err;
    ck_assert(!path_eval_field(parse("$.nope.deep"), STR("missing.$"), &env, &v, &err));
    fx_error(&err, "States.Runtime",
             "The JSONPath '$.nope.deep' specified for the field 'missing.$' could not be found in "
             "the input '{\"other\":1}'",
             "field");
    ck_assert(!path_eval(parse("$.nope"), &env, &v, &err));
    fx_error(&err, "States.Runtime",
             "The JSONPath '$.nope' could not be found in the input '{\"other\":1}'", "no field");
    /* A long input is cut, between characters. */
    struct buf b;
    buf_init(&b, 0);
    buf_puts(&b, "\"");
    for (int i = 0; i < 100000; i++) {
        buf_puts(&b, "\xe2\x82\xac");
    }
    buf_puts(&b, "\"");
    buf_putc(&b, '\0');
    env.data = fx_json(b.p);
    buf_fini(&b);
    ck_assert(!path_eval(parse("$.nope"), &env, &v, &err));
    ck_assert_uint_lt(err.cause.size, 32768);
    ck_assert(str_is_utf8(err.cause));
}
END_TEST

/* ---- put ---- */

static const struct put_case {
    const char *path, *root, *value, *want; /* NULL: States.ResultPathMatchFailure */
} put_cases[] = {
    {"$", "{\"a\":1}", "7", "7"},
    {"$.b", "{\"a\":1}", "7", "{\"a\":1,\"b\":7}"},
    {"$.a", "{\"a\":1,\"b\":2}", "7", "{\"a\":7,\"b\":2}"},
    {"$['x y']", "{}", "[1]", "{\"x y\":[1]}"},
    {"$.a.b.c", "{}", "7", "{\"a\":{\"b\":{\"c\":7}}}"},
    {"$.a.b", "{\"a\":{\"c\":1}}", "7", "{\"a\":{\"c\":1,\"b\":7}}"},
    {"$.a[1]", "{\"a\":[1,2,3]}", "7", "{\"a\":[1,7,3]}"},
    {"$.a[-1]", "{\"a\":[1,2,3]}", "7", "{\"a\":[1,2,7]}"},
    {"$.a[0].b", "{\"a\":[{\"c\":1}]}", "7", "{\"a\":[{\"c\":1,\"b\":7}]}"},
    {"$[0]", "[1]", "{}", "[{}]"},
    {"$.a[3]", "{\"a\":[1,2,3]}", "7", NULL},
    {"$.a[0]", "{}", "7", NULL},
    {"$.a[0]", "{\"a\":{}}", "7", NULL},
    {"$.a.b", "{\"a\":1}", "7", NULL},
    {"$.a.b", "{\"a\":null}", "7", NULL},
    {"$.a", "[1]", "7", NULL},
    {"$.a", "\"hello\"", "7", NULL},
};

START_TEST(puts_value)
{
    const struct put_case *c = &put_cases[_i];
    const struct jv *root = fx_json(c->root);
    const struct jv *out = NULL;
    struct asl_error err;
    bool done = path_put(parse(c->path), &fx_arena, root, fx_json(c->value), &out, &err);
    ck_assert_msg(done == (c->want != NULL), "%s", c->path);
    if (done) {
        fx_same(out, c->want, c->path);
    } else {
        char cause[128];
        (void)snprintf(cause, sizeof(cause), "Unable to apply ReferencePath %s to input %s",
                       c->path, c->root);
        fx_error(&err, "States.ResultPathMatchFailure", cause, c->path);
    }
    fx_same(root, c->root, "the old root is untouched");
}
END_TEST

START_TEST(put_shares_and_is_small)
{
    const struct jv *root = fx_json("{\"big\":{\"x\":[1,2,3]},\"a\":{\"b\":{\"c\":1},\"d\":{}}}");
    const struct path *p = parse("$.a.b.c");
    const struct jv *value = fx_json("2");
    const struct jv *out = NULL;
    struct asl_error err;
    size_t before = fx_arena.used;
    ck_assert(path_put(p, &fx_arena, root, value, &out, &err));
    /* Three objects with at most two members each, and nothing else. */
    ck_assert_uint_le(fx_arena.used - before,
                      3 * (sizeof(struct jv) + 2 * sizeof(struct jmember) + 16));
    ck_assert_ptr_eq(jv_getc(out, "big"), jv_getc(root, "big"));
    ck_assert_ptr_eq(jv_getc(jv_getc(out, "a"), "d"), jv_getc(jv_getc(root, "a"), "d"));
    ck_assert_ptr_eq(jv_getc(jv_getc(jv_getc(out, "a"), "b"), "c"), value);
}
END_TEST

START_TEST(definite_get_allocates_nothing)
{
    struct eval_env env = fx_env(store);
    const struct path *p = parse("$.store.book[-1].t");
    const struct jv *v = NULL;
    struct asl_error err;
    size_t before = fx_arena.used;
    ck_assert(path_eval(p, &env, &v, &err));
    ck_assert_uint_eq(fx_arena.used, before);
    ck_assert_uint_eq(10000000 - fx_fuel, 5);
}
END_TEST

static const struct jv *random_value(struct rng *r, uint32_t depth)
{
    uint64_t kind = rng_below(r, depth > 0 ? 5 : 3);
    if (kind < 3) {
        return kind == 0 ? jv_null() : jv_int(&fx_arena, (int64_t)rng_below(r, 100));
    }
    struct jv_list b;
    uint64_t n = rng_below(r, 4);
    if (kind == 3) {
        jv_arr_begin(&b, &fx_arena);
        for (uint64_t i = 0; i < n; i++) {
            jv_arr_add(&b, random_value(r, depth - 1));
        }
        return jv_arr_end(&b);
    }
    static const char names[4][4] = {"a", "b", "c d", "e"};
    jv_obj_begin(&b, &fx_arena);
    for (uint64_t i = 0; i < n; i++) {
        jv_obj_add(&b, str_of(names[i]), random_value(r, depth - 1));
    }
    return jv_obj_end(&b);
}

static struct str random_reference(struct rng *r, struct buf *b)
{
    static const char *const steps[] = {".a", ".b", "['c d']", "[0]", "[1]", "[-1]", "[\"e\"]"};
    buf_clear(b);
    buf_puts(b, "$");
    uint64_t n = rng_below(r, 5);
    for (uint64_t i = 0; i < n; i++) {
        buf_puts(b, steps[rng_below(r, ARRAY_LEN(steps))]);
    }
    return buf_str(b);
}

/* What was put is got back; a second put of the same changes nothing; the old root never changes. */
START_TEST(put_then_get)
{
    struct buf b;
    buf_init(&b, 0);
    uint32_t done = 0;
    for (uint64_t seed = 0; seed < 5000; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        const struct jv *root = random_value(&r, 4);
        const struct jv *value = random_value(&r, 2);
        const char *before = fx_text(root);
        const struct path *p = NULL;
        ck_assert_int_eq(path_parse(&fx_arena, random_reference(&r, &b), &p, NULL), ERR_OK);
        const struct jv *out = NULL;
        const struct jv *again = NULL;
        const struct jv *got = NULL;
        struct asl_error err;
        struct eval_env env = {.data = root, .arena = &fx_arena};
        bool there = path_exists(p, &env);
        if (path_put(p, &fx_arena, root, value, &out, &err)) {
            done++;
            env.data = out;
            ck_assert(path_eval(p, &env, &got, &err));
            ck_assert_ptr_eq(got, value);
            ck_assert(path_put(p, &fx_arena, out, value, &again, &err));
            ck_assert_str_eq(fx_text(again), fx_text(out));
        } else {
            ck_assert_msg(!there, "seed %" PRIu64, seed); /* what exists can be replaced */
        }
        ck_assert_str_eq(fx_text(root), before);
        if (seed % 100 == 0) {
            arena_reset(&fx_arena, 1 << 16);
        }
    }
    ck_assert_uint_gt(done, 1000);
    buf_fini(&b);
}
END_TEST

/* ---- bounds ---- */

static const struct jv *wide_payload(void)
{
    struct buf b;
    buf_init(&b, 0);
    buf_puts(&b, "[0");
    while (b.size < 262000) {
        buf_puts(&b, ",{\"x\":1}");
    }
    buf_puts(&b, "]");
    buf_putc(&b, '\0');
    const struct jv *v = fx_json(b.p);
    buf_fini(&b);
    return v;
}

START_TEST(descent_is_bounded_by_fuel)
{
    struct eval_env env = fx_env("null");
    env.data = wide_payload();
    uint64_t items = env.data->len;
    const struct jv *v = NULL;
    struct asl_error err;
    ck_assert(path_eval(parse("$..x"), &env, &v, &err));
    ck_assert_uint_eq(v->len, items - 1);
    ck_assert_uint_lt(10000000 - fx_fuel, 8 * items); /* linear */
    static const char *const bombs[] = {"$..*..*", "$..*..*..*", "$..[?(@..x)]..x", "$[*][?($..x)]",
                                        "$..[*]..[0:9]"};
    for (size_t i = 0; i < ARRAY_LEN(bombs); i++) {
        fx_fuel = 20000;
        ck_assert_msg(!path_eval(parse(bombs[i]), &env, &v, &err), "%s", bombs[i]);
        fx_error(&err, "States.Runtime", "The expression visits more values than one turn may.",
                 bombs[i]);
        ck_assert_uint_eq(fx_fuel, 0);
    }
    ck_assert(!path_exists(parse("$"), &env)); /* nothing runs without fuel */
}
END_TEST

START_TEST(deep_values_are_walked_or_refused)
{
    struct eval_env env = fx_env("1");
    const struct jv *v = env.data;
    for (int i = 0; i < 1000; i++) {
        v = jv_array(&fx_arena, &v, 1);
    }
    env.data = v;
    const struct jv *out = NULL;
    struct asl_error err;
    ck_assert(path_eval(parse("$..*"), &env, &out, &err));
    ck_assert_uint_eq(out->len, 1000);
    for (int i = 0; i < 100000; i++) {
        v = jv_array(&fx_arena, &v, 1);
    }
    env.data = v;
    ck_assert(!path_eval(parse("$..*"), &env, &out, &err));
    fx_error(&err, "States.Runtime", "The value is nested too deeply for an expression.", "deep");
}
END_TEST

/* The arena's cap at every size up to enough: a clean error each time. */
START_TEST(memory_cap)
{
    struct eval_env env = fx_env(store);
    const struct path *paths[] = {parse("$..p"), parse("$['max','n']"), parse("$.l[::-1]")};
    const struct path *put = parse("$.a.b.c");
    for (size_t k = 0; k < ARRAY_LEN(paths) + 1; k++) {
        bool done = false;
        for (size_t cap = 8; !done && cap < 4096; cap += 8) {
            struct arena small;
            arena_init(&small, cap);
            env.arena = &small;
            const struct jv *v = NULL;
            struct asl_error err;
            done = k < ARRAY_LEN(paths) ? path_eval(paths[k], &env, &v, &err)
                                        : path_put(put, &small, env.data, env.vars, &v, &err);
            if (!done) {
                ck_assert(str_eqc(err.name, "States.DataLimitExceeded"));
                ck_assert_ptr_null(v);
            }
            arena_fini(&small);
        }
        ck_assert(done);
    }
    for (size_t cap = 8; cap < 1024; cap += 8) {
        struct arena small;
        arena_init(&small, cap);
        const struct path *p = NULL;
        enum err e = path_parse(&small, STR("$.a['b','c'][0,1][?(@.x=='y')]"), &p, NULL);
        ck_assert(e == ERR_OK || (e == ERR_TOO_LARGE && p == NULL));
        arena_fini(&small);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core.path");
    TCase *tc = fx_case(s, "path");
    tcase_add_loop_test(tc, selects, 0, ARRAY_LEN(select_cases));
    tcase_add_loop_test(tc, prefixes, 0, ARRAY_LEN(select_cases));
    tcase_add_loop_test(tc, refuses, 0, ARRAY_LEN(refuse_cases));
    tcase_add_test(tc, refuses_no_utf8_and_too_much);
    tcase_add_loop_test(tc, kinds, 0, ARRAY_LEN(kind_cases));
    tcase_add_test(tc, causes);
    tc = fx_case(s, "put");
    tcase_add_loop_test(tc, puts_value, 0, ARRAY_LEN(put_cases));
    tcase_add_test(tc, put_shares_and_is_small);
    tcase_add_test(tc, definite_get_allocates_nothing);
    tcase_add_test(tc, put_then_get);
    tc = fx_case(s, "bounds");
    tcase_add_test(tc, descent_is_bounded_by_fuel);
    tcase_add_test(tc, deep_values_are_walked_or_refused);
    tcase_add_test(tc, memory_cap);
    return fx_run(s);
}
