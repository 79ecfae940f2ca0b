/* YAML: the tree is the one that JSON gives; what JSON cannot say is refused with a remedy. */
#include "base/prelude.h"

#include "base/yaml.h"
#include "tests/unit/base/json_cases.h"

#include <check.h>

static struct arena arena;
static struct buf out;

static void setup(void)
{
    arena_init(&arena, 0);
    buf_init(&out, 0);
}

static void teardown(void)
{
    arena_fini(&arena);
    buf_fini(&out);
}

static const struct jv *parse(struct str text)
{
    const struct jv *v = NULL;
    struct err_detail d = {0};
    enum err e = yaml_parse(&arena, text, YAML_LIMITS, &v, &d);
    ck_assert_msg(e == ERR_OK, "<%.*s>: %s", STR_ARG(text), d.text);
    return v;
}

static void same_positions(const struct jv *a, const struct jv *b)
{
    ck_assert_uint_eq(a->line, b->line);
    ck_assert_uint_eq(a->col, b->col);
    ck_assert_uint_eq(a->len, b->len);
    for (uint32_t i = 0; i < a->len; i++) {
        if (a->type == JV_ARRAY) {
            same_positions(a->u.items[i], b->u.items[i]);
        } else {
            const struct jmember *m = &a->u.members[i], *n = &b->u.members[i];
            ck_assert_uint_eq(m->line, n->line);
            ck_assert_uint_eq(m->col, n->col);
            same_positions(m->value, n->value);
        }
    }
}

/* JSON text that is YAML gives the same tree, number literals and positions included. */
START_TEST(json_texts)
{
    const struct json_good *c = &JSON_GOOD[_i];
    if (!c->yaml) {
        const struct jv *v = NULL;
        ck_assert_int_eq(yaml_parse(&arena, c->text, YAML_LIMITS, &v, NULL), ERR_MALFORMED);
        return;
    }
    const struct jv *v = parse(c->text), *json = NULL;
    ck_assert_int_eq(json_parse(&arena, c->text, JSON_LIMITS_PAYLOAD, true, &json, NULL), ERR_OK);
    ck_assert(jv_equal(v, json));
    same_positions(v, json);
    json_write_canonical(&out, v);
    ck_assert_msg(str_eq(buf_str(&out), c->canonical), "<%.*s>", STR_ARG(buf_str(&out)));
}
END_TEST

static const struct {
    const char *yaml, *json;
} GOOD_CASES[] = {
    {"a", "\"a\""},
    {"", NULL},
    {"# only a comment\n", NULL},
    {"---\n", "null"},
    {"--- a\n...\n", "\"a\""},
    {"%YAML 1.1\n---\na: 1\n", "{\"a\":1}"},
    {"~", "null"},
    {"null", "null"},
    {"Null", "\"Null\""},
    {"NULL", "\"NULL\""},
    {"true", "true"},
    {"True", "\"True\""},
    {"yes", "\"yes\""},
    {"no", "\"no\""},
    {"on", "\"on\""},
    {"off", "\"off\""},
    {"y", "\"y\""},
    {"0777", "\"0777\""},
    {"0o17", "\"0o17\""},
    {"0x1F", "\"0x1F\""},
    {"1_000", "\"1_000\""},
    {"12:30:45", "\"12:30:45\""},
    {"2024-01-01", "\"2024-01-01\""},
    {"+1", "\"+1\""},
    {".5", "\".5\""},
    {"5.", "\"5.\""},
    {".inf", "\".inf\""},
    {".nan", "\".nan\""},
    {"1.50", "1.50"},
    {"-1e5", "-1e5"},
    {"'1'", "\"1\""},
    {"\"true\"", "\"true\""},
    {"! 5", "\"5\""},
    {"!!str 5", "\"5\""},
    {"!!str", "\"\""},
    {"!<tag:yaml.org,2002:str> null", "\"null\""},
    {"'it''s'", "\"it's\""},
    {"a: 1\nb: 2\n", "{\"a\":1,\"b\":2}"},
    {"a:\nb:\n", "{\"a\":null,\"b\":null}"},
    {"- 1\n- two\n-\n", "[1,\"two\",null]"},
    {"a:\n- 1\n- 2\n", "{\"a\":[1,2]}"},
    {"a: {b: [c, d: e]}\n", "{\"a\":{\"b\":[\"c\",{\"d\":\"e\"}]}}"},
    {"a: |\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\"}"},
    {"a: >-\n  one\n  two\n", "{\"a\":\"one two\"}"},
    {"\"a\": 1 # comment\n", "{\"a\":1}"},
    {"'<<': 1\n", "{\"<<\":1}"},
    {"\"1\": x\n", "{\"1\":\"x\"}"},
    {"yes: x\n", "{\"yes\":\"x\"}"},
    {"!!str 1: x\n", "{\"1\":\"x\"}"},
    {"? a\n: 1\n", "{\"a\":1}"},
    {"a: b: c", NULL},
    {"$.path: $$.Execution\n", "{\"$.path\":\"$$.Execution\"}"},
    {"url: http://example.com:80/x\n", "{\"url\":\"http://example.com:80/x\"}"},
    {"\xc3\xa4: \xe2\x82\xac\n", "{\"\xc3\xa4\":\"\xe2\x82\xac\"}"},
    {"\"\\x41\\u20ac\\U0001D11E\\e\\0\"", "\"A\xe2\x82\xac\xf0\x9d\x84\x9e\\u001b\\u0000\""},
};

START_TEST(good_texts)
{
    const char *json = GOOD_CASES[_i].json;
    const struct jv *v = NULL;
    if (json == NULL) {
        ck_assert_int_eq(yaml_parse(&arena, str_of(GOOD_CASES[_i].yaml), YAML_LIMITS, &v, NULL),
                         ERR_MALFORMED);
        return;
    }
    v = parse(str_of(GOOD_CASES[_i].yaml));
    json_write(&out, v);
    ck_assert_msg(str_eqc(buf_str(&out), json), "<%s> gave <%.*s>", GOOD_CASES[_i].yaml,
                  STR_ARG(buf_str(&out)));
}
END_TEST

static const struct {
    struct str yaml;
    const char *message; /* how it begins */
} BAD_CASES[] = {
    {STR(""), "1:1: the document is empty"},
    {STR("a: &x 1"), "1:4: anchors (&name) are not accepted"},
    {STR("a: &x [1]"), "1:4: anchors (&name) are not accepted"},
    {STR("a: &x {b: 1}"), "1:4: anchors (&name) are not accepted"},
    {STR("&x a: 1"), "1:1: anchors (&name) are not accepted"},
    {STR("a: *x"), "1:4: aliases (*name) are not accepted"},
    {STR("*x : 1"), "1:1: aliases (*name) are not accepted"},
    {STR("- *x"), "1:3: aliases (*name) are not accepted"},
    {STR("a: !!int 5"), "1:4: tags (!type) are not accepted"},
    {STR("a: !mine 5"), "1:4: tags (!type) are not accepted"},
    {STR("a: !!map {}"), "1:4: tags (!type) are not accepted"},
    {STR("!!seq [1]"), "1:1: tags (!type) are not accepted"},
    {STR("!!str [1]"), "1:1: tags (!type) are not accepted"},
    {STR("!!binary aGk="), "1:1: tags (!type) are not accepted"},
    {STR("%TAG ! tag:x,2000:\n---\na"), "1:1: %TAG directives are not accepted"},
    {STR("a: 1\n<<: {b: 2}"), "2:1: merge keys (<<) are not accepted"},
    {STR("1: x"), "1:1: a name must be text; put it in quotes"},
    {STR("a: {true: x}"), "1:5: a name must be text; put it in quotes"},
    {STR("~: x"), "1:1: a name must be text; put it in quotes"},
    {STR("? \n: x"), "1:2: a name must be text; put it in quotes"},
    {STR("{: x}"), "1:2: did not find expected node content"},
    {STR("? [a]\n: x"), "1:3: a name must be text, not a list or a mapping"},
    {STR("{a: 1}: x"), "1:1: a name must be text, not a list or a mapping"},
    {STR("a: 1\nb: 2\na: 3"), "3:1: this name stands twice in the mapping"},
    {STR("{\"a\": 1, a: 2}"), "1:10: this name stands twice in the mapping"},
    {STR("--- a\n--- b"), "2:1: only one document is accepted"},
    {STR("a\n---\n"), "2:1: only one document is accepted"},
    {STR("a:\n\tb: 1"), "2:1: found character that cannot start any token; indent with spaces"},
    {STR("a: @b"), "1:4: found character that cannot start any token; put the text in quotes"},
    {STR("a: `b`"), "1:4: found character that cannot start any token; put the text in quotes"},
    {STR("a: b: c"), "1:5: mapping values are not allowed in this context; put text that holds"},
    {STR("a: [1, 2"), "2:1: did not find expected ',' or ']'"},
    {STR("a: \"x"), "1:6: found unexpected end of stream"},
    {STR("a: \"\\q\""), "1:5: found unknown escape character"},
    {STR("a\xff"), "1:2: these bytes are not UTF-8"},
    {STR("a: 1\nb: \xc3("), "2:4: these bytes are not UTF-8"},
    {STR("a: \x01"), "1:4: a control character"},
    {STR("a: \"x\0y\""), "1:6: a control character"},
    {STR("a: 1\nb: x\xe2\x80\xa8y"), "2:5: a Unicode line separator"},
    {STR("a: x\xc2\x85y"), "1:5: a Unicode line separator"},
    {STR("\xff\xfe"
         "a\0"),
     "1:1: these bytes are not UTF-8"}, /* UTF-16 with its mark */
};

START_TEST(bad_texts)
{
    const struct jv *v = NULL;
    struct err_detail d = {0};
    struct str in = BAD_CASES[_i].yaml;
    char *text = malloc(in.size + (in.size == 0));
    memcpy(text, in.p, in.size);
    enum err e = yaml_parse(&arena, (struct str){text, in.size}, YAML_LIMITS, &v, &d);
    free(text);
    ck_assert_msg(e == ERR_MALFORMED, "<%.*s>", STR_ARG(in));
    ck_assert_ptr_null(v);
    const char *wanted = BAD_CASES[_i].message;
    ck_assert_msg(strncmp(d.text, wanted, strlen(wanted)) == 0, "<%.*s>: %s, wanted %s",
                  STR_ARG(in), d.text, wanted);
}
END_TEST

START_TEST(positions)
{
    const struct jv *v = parse(STR("# head\nname: x\nlist:\n  - 1\n  - \xe2\x82\xac: [~, y]\n"));
    ck_assert_uint_eq(v->line, 2);
    ck_assert_uint_eq(v->col, 1);
    const struct jmember *m = &v->u.members[1];
    ck_assert_uint_eq(m->line, 3);
    ck_assert_uint_eq(m->col, 1);
    ck_assert_uint_eq(m->value->line, 4);
    ck_assert_uint_eq(m->value->col, 3);
    const struct jv *inner = jv_getc(m->value->u.items[1], "\xe2\x82\xac");
    ck_assert_uint_eq(inner->line, 5);
    ck_assert_uint_eq(inner->col, 8);
    ck_assert_uint_eq(inner->u.items[0]->col, 9);
    ck_assert_uint_eq(inner->u.items[1]->col, 12);
}
END_TEST

static enum err repeated(const char *piece, size_t times, struct yaml_limits limits,
                         struct err_detail *d)
{
    buf_clear(&out);
    for (size_t i = 0; i < times; i++) {
        buf_puts(&out, piece);
    }
    const struct jv *v = NULL;
    *d = (struct err_detail){0};
    return yaml_parse(&arena, buf_str(&out), limits, &v, d);
}

START_TEST(limits)
{
    struct err_detail d;
    struct yaml_limits l = {.depth = 3, .nodes = 10, .size = 100};
    ck_assert_int_eq(repeated("- ", 3, l, &d), ERR_OK);
    ck_assert_int_eq(repeated("- ", 4, l, &d), ERR_TOO_LARGE);
    ck_assert_str_eq(d.text, "1:7: lists and mappings are nested too deep");
    ck_assert_int_eq(repeated("- a\n", 9, l, &d), ERR_OK);
    ck_assert_int_eq(repeated("- a\n", 10, l, &d), ERR_TOO_LARGE);
    ck_assert_str_eq(d.text, "10:3: the document holds too many values");
    ck_assert_int_eq(repeated("#########\n", 10, l, &d), ERR_MALFORMED);
    ck_assert_int_eq(repeated("#########\n", 11, l, &d), ERR_TOO_LARGE);
    ck_assert_str_eq(d.text, "the text has 110 bytes; 100 are allowed");
}
END_TEST

/* Texts that make parsers slow or hungry, at the full size: an error or a tree, soon. (The
 * time-out of the test case is the judge.) */
START_TEST(hostile_texts)
{
    static const char *const pieces[] = {
        "[",   "{",   "- ",    "? ",    "[[",        "{a: ",     "[a, ",   "a: ",    "&a ",   "*a ",
        "!a ", "! ",  "\"",    "'",     "|\n",       ">\n",      "#",      "%",      "a ",    " ",
        "\n",  "\t",  "---\n", "...\n", "- - - -\n", "[]",       "{}",     "a:\n",   "-\n",   "?\n",
        ":\n", ",",   "[,",    "]",     "a,",        "\\",       "\"\\\n", "a: b\n", "- a\n", "[?",
        "{? ", "{?[", "[:",    "- ? ",  "x: |\n ",   "\xc3\xa4", "&a [",   "!!str ", "? - ",
    };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct err_detail d;
        size_t times = YAML_LIMITS.size / strlen(pieces[i]);
        enum err e = repeated(pieces[i], times, YAML_LIMITS, &d);
        ck_assert(e == ERR_OK || e == ERR_MALFORMED || e == ERR_TOO_LARGE);
        arena_reset(&arena, 1u << 16);
    }
}
END_TEST

START_TEST(memory_is_limited)
{
    struct str text = STR("a: [1, 2, {b: \"c\"}]\nd: text\ne:\n- x\n- y: z\n"
                          "f: {a1: 1, a2: 2, a3: 3, a4: 4, a5: 5, a6: 6, a7: 7, a8: 8, a9: 9, "
                          "b1: 1, b2: 2, b3: 3, b4: 4, b5: 5, b6: 6, b7: 7, b8: 8, b9: 9}\n");
    bool worked = false;
    for (size_t cap = 1; !worked; cap += 16) {
        struct arena small;
        arena_init(&small, cap);
        const struct jv *v = NULL;
        enum err e = yaml_parse(&small, text, YAML_LIMITS, &v, NULL);
        ck_assert(e == ERR_OK || e == ERR_LIMIT);
        worked = e == ERR_OK;
        arena_fini(&small);
    }
}
END_TEST

/* Every truncation and a change of every byte: a tree or an error, and no leak. */
START_TEST(mutations)
{
    struct str text = STR("a: &x 'q'\nb:\n  - !t \"\\u00e4\xc3\xa4\"\n  - {c: [1, ~], <<: *x}\n"
                          "? |\n  k\n: > \n  v\n--- # z\n");
    for (size_t at = 0; at < text.size; at++) {
        char copy[256];
        ck_assert_uint_lt(text.size, sizeof(copy));
        const struct jv *v = NULL;
        memcpy(copy, text.p, text.size);
        if (yaml_parse(&arena, (struct str){copy, at}, YAML_LIMITS, &v, NULL) == ERR_OK) {
            json_write(&out, v);
        }
        for (int c = 0; c < 256; c++) {
            copy[at] = (char)c;
            struct str s = {copy, text.size};
            if (yaml_parse(&arena, s, YAML_LIMITS, &v, NULL) == ERR_OK) {
                json_write(&out, v);
            }
        }
        arena_reset(&arena, 1u << 16);
        buf_clear(&out);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("yaml");
    TCase *t = tcase_create("yaml");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, json_texts, 0, ARRAY_LEN(JSON_GOOD));
    tcase_add_loop_test(t, good_texts, 0, ARRAY_LEN(GOOD_CASES));
    tcase_add_loop_test(t, bad_texts, 0, ARRAY_LEN(BAD_CASES));
    tcase_add_test(t, positions);
    tcase_add_test(t, limits);
    tcase_add_test(t, hostile_texts);
    tcase_add_test(t, memory_is_limited);
    tcase_add_test(t, mutations);
    suite_add_tcase(s, t);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
