/* JSON: what is accepted, what it means, what is written; sweeps and random trees. */
#include "base/prelude.h"

#include "base/json.h"
#include "base/json_internal.h"
#include "base/map.h"
#include "base/rng.h"
#include "tests/unit/base/json_cases.h"

#include <check.h>
#include <math.h>
#include <signal.h>

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
    enum err e = json_parse(&arena, text, JSON_LIMITS_PAYLOAD, false, &v, &d);
    ck_assert_msg(e == ERR_OK, "%.*s: %s", STR_ARG(text), d.text);
    return v;
}

static const struct jv *parsec(const char *text)
{
    return parse(str_of(text));
}

static void check_text(struct str got, struct str wanted)
{
    ck_assert_msg(str_eq(got, wanted), "got <%.*s>, wanted <%.*s>", STR_ARG(got), STR_ARG(wanted));
}

static struct str written(const struct jv *v)
{
    buf_clear(&out);
    json_write(&out, v);
    ck_assert_uint_eq(json_text_size(v), out.size);
    return buf_str(&out);
}

static struct str canonical(const struct jv *v)
{
    buf_clear(&out);
    json_write_canonical(&out, v);
    return buf_str(&out);
}

/* ---- grammar ---- */

START_TEST(good_texts)
{
    const struct json_good *c = &JSON_GOOD[_i];
    const struct jv *v = parse(c->text);
    check_text(canonical(v), c->canonical);
    ck_assert_int_eq(json_validate(c->text, JSON_LIMITS_PAYLOAD, NULL), ERR_OK);
    /* All three ways to write it give a text of the same value. */
    struct str again = str_dup(&arena, written(v));
    ck_assert(jv_equal(parse(again), v));
    buf_clear(&out);
    json_write_pretty(&out, v);
    ck_assert(jv_equal(parse(buf_str(&out)), v));
    ck_assert(jv_equal(parse(c->canonical), v));
    check_text(canonical(parse(c->canonical)), c->canonical);
}
END_TEST

START_TEST(bad_texts)
{
    const struct json_bad *c = &JSON_BAD[_i];
    for (int borrow = 0; borrow < 3; borrow++) {
        const struct jv *v = NULL;
        struct err_detail d = {0};
        /* From the heap, exact in size: a sanitizer sees a read beyond the end. */
        char *text = malloc(c->text.size + (c->text.size == 0));
        memcpy(text, c->text.p, c->text.size);
        struct str s = {text, c->text.size};
        enum err e = borrow == 2 ? json_validate(s, JSON_LIMITS_PAYLOAD, &d)
                                 : json_parse(&arena, s, JSON_LIMITS_PAYLOAD, borrow == 1, &v, &d);
        free(text);
        ck_assert_int_eq(e, ERR_MALFORMED);
        ck_assert_ptr_null(v);
        ck_assert_msg(strncmp(d.text, c->message, strlen(c->message)) == 0, "<%.*s>: %s, wanted %s",
                      STR_ARG(c->text), d.text, c->message);
    }
}
END_TEST

START_TEST(no_text_at_all)
{
    const struct jv *v = NULL;
    ck_assert_int_eq(json_parse(&arena, STR_NONE, JSON_LIMITS_PAYLOAD, true, &v, NULL),
                     ERR_MALFORMED);
    ck_assert_int_eq(json_validate(STR_NONE, JSON_LIMITS_PAYLOAD, NULL), ERR_MALFORMED);
}
END_TEST

static enum err nested(uint32_t depth, uint32_t limit, const char *open, const char *close)
{
    buf_clear(&out);
    for (uint32_t i = 0; i < depth; i++) {
        buf_puts(&out, open);
    }
    buf_puts(&out, "1");
    for (uint32_t i = 0; i < depth; i++) {
        buf_puts(&out, close);
    }
    const struct jv *v = NULL;
    struct json_limits limits = {.depth = limit, .size = 1u << 20};
    struct err_detail d = {0};
    enum err e = json_parse(&arena, buf_str(&out), limits, false, &v, &d);
    ck_assert_int_eq(json_validate(buf_str(&out), limits, NULL), e);
    if (e != ERR_OK) {
        ck_assert_ptr_nonnull(strstr(d.text, "nested too deep"));
    }
    return e;
}

START_TEST(depth_is_limited)
{
    ck_assert_int_eq(nested(1000, 1000, "[", "]"), ERR_OK);
    ck_assert_int_eq(nested(1001, 1000, "[", "]"), ERR_TOO_LARGE);
    ck_assert_int_eq(nested(1000, 1000, "{\"a\":", "}"), ERR_OK);
    ck_assert_int_eq(nested(1001, 1000, "{\"a\":", "}"), ERR_TOO_LARGE);
    ck_assert_int_eq(nested(0, 0, "[", "]"), ERR_OK);
    ck_assert_int_eq(nested(1, 0, "[", "]"), ERR_TOO_LARGE);
    ck_assert_int_eq(nested(50000, 64, "[", "]"), ERR_TOO_LARGE);
    /* Depth falls again: many siblings are not deep. */
    const struct jv *v = NULL;
    ck_assert_int_eq(json_parse(&arena, STR("[[],[],{},[[]]]"),
                                (struct json_limits){.depth = 3, .size = 100}, true, &v, NULL),
                     ERR_OK);
}
END_TEST

START_TEST(size_is_limited)
{
    const struct jv *v = NULL;
    struct json_limits limits = {.depth = 10, .size = 4};
    struct err_detail d = {0};
    ck_assert_int_eq(json_parse(&arena, STR("1234"), limits, true, &v, &d), ERR_OK);
    ck_assert_int_eq(json_parse(&arena, STR("12345"), limits, true, &v, &d), ERR_TOO_LARGE);
    ck_assert_str_eq(d.text, "the text has 5 bytes; 4 are allowed");
    ck_assert_int_eq(json_validate(STR("12345"), limits, NULL), ERR_TOO_LARGE);
}
END_TEST

START_TEST(memory_is_limited)
{
    /* Whatever the cap, the result is a tree or LIMIT, never a crash. */
    struct str text =
        STR("{\"a\":[1,2,3,{\"b\\n\":\"c\\u0041\"}],\"d\":[[[[]]]],\"e\":null,\"f\":0,"
            "\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,\"n\":1,\"o\":1,"
            "\"p\":1,\"q\":1,\"r\":1,\"s\":1,\"t\":1}");
    bool worked = false;
    for (size_t cap = 1; !worked; cap += 8) {
        struct arena small;
        arena_init(&small, cap);
        const struct jv *v = NULL;
        enum err e = json_parse(&small, text, JSON_LIMITS_PAYLOAD, cap % 16 == 1, &v, NULL);
        ck_assert(e == ERR_OK || e == ERR_LIMIT);
        worked = e == ERR_OK;
        if (worked) {
            check_text(written(v), text);
            ck_assert_uint_gt(cap, 1000);
        }
        arena_fini(&small);
    }
}
END_TEST

/* Every truncation of a document is no document. */
START_TEST(truncations)
{
    struct str text = STR("{\"name\":\"\\u00e4\xc3\xa4 text\",\"list\":[1.5e3,-2,true,false,null],"
                          "\"deep\":{\"a\":[{}]}}");
    parse(text);
    for (size_t size = 0; size < text.size; size++) {
        char *cut = malloc(size + (size == 0));
        memcpy(cut, text.p, size);
        const struct jv *v = NULL;
        struct str s = {cut, size};
        ck_assert_int_eq(json_parse(&arena, s, JSON_LIMITS_PAYLOAD, true, &v, NULL), ERR_MALFORMED);
        ck_assert_int_eq(json_validate(s, JSON_LIMITS_PAYLOAD, NULL), ERR_MALFORMED);
        free(cut);
    }
}
END_TEST

/* Every byte replaced by every other: parse and validate agree, and what parses, round-trips. */
START_TEST(mutations)
{
    struct str text =
        STR("{\"a\\n\":\"\\u00e4\xc3\xa4\xf0\x9d\x84\x9e t\", \"l\":[1.5e3,-2,true,null],"
            "\"d\":{\"a\":[{}]}}");
    for (size_t at = 0; at < text.size; at++) {
        for (int c = 0; c < 256; c++) {
            char *copy = malloc(text.size);
            memcpy(copy, text.p, text.size);
            copy[at] = (char)c;
            struct str s = {copy, text.size};
            const struct jv *v = NULL;
            enum err e = json_parse(&arena, s, JSON_LIMITS_PAYLOAD, true, &v, NULL);
            if (e != json_validate(s, JSON_LIMITS_PAYLOAD, NULL)) {
                ck_abort_msg("parse and validate differ at byte %zu, value %d", at, c);
            }
            if (e == ERR_OK && !jv_equal(parse(canonical(v)), v)) {
                ck_abort_msg("no round trip at byte %zu, value %d", at, c);
            }
            free(copy);
            arena_reset(&arena, 1u << 16);
        }
    }
}
END_TEST

/* ---- strings ---- */

START_TEST(strings_are_decoded)
{
    const struct jv *v = parsec("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u20ac\\uD834\\uDD1Ez\"");
    check_text(jv_str(v), STR("a\"\\/\b\f\n\r\t\0\xe2\x82\xac\xf0\x9d\x84\x9ez"));
    /* Hex digits in both cases; a surrogate pair at both ends of the range. */
    check_text(jv_str(parsec("\"\\uABcd\\uD800\\uDC00\\udbff\\udfff\"")),
               STR("\xea\xaf\x8d\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
}
END_TEST

START_TEST(strings_without_escapes_are_borrowed)
{
    struct str text = STR("[\"plain\", \"esc\\n\", 12]");
    const struct jv *v = NULL;
    ck_assert_int_eq(json_parse(&arena, text, JSON_LIMITS_PAYLOAD, true, &v, NULL), ERR_OK);
    ck_assert_ptr_eq(v->u.items[0]->u.s.p, text.p + 2);
    ck_assert_ptr_eq(v->u.items[2]->u.s.p, text.p + 19);
    check_text(v->u.items[1]->u.s, STR("esc\n"));
    check_text(v->u.items[1]->raw, STR("\"esc\\n\""));
    check_text(v->raw, text);
    /* Without borrowing the text may go. */
    char *own = malloc(text.size);
    memcpy(own, text.p, text.size);
    struct str copy = {own, text.size};
    ck_assert_int_eq(json_parse(&arena, copy, JSON_LIMITS_PAYLOAD, false, &v, NULL), ERR_OK);
    memset(own, 'x', text.size);
    free(own);
    check_text(jv_str(v->u.items[0]), STR("plain"));
}
END_TEST

/* The special bytes at each place of a word, so that the eight-bytes-at-once path is walked. */
START_TEST(strings_of_all_lengths)
{
    static const char *const specials[] = {"\\\"", "\\\\", "\\n", "\xc3\xa4", "\\u0001", "\x7f"};
    for (size_t before = 0; before < 20; before++) {
        for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
            struct buf b;
            buf_init(&b, 0);
            buf_putc(&b, '"');
            for (size_t k = 0; k < before; k++) {
                buf_putc(&b, (char)('a' + k));
            }
            buf_puts(&b, specials[i]);
            buf_puts(&b, "0123456789\"");
            const struct jv *v = parse(buf_str(&b));
            check_text(written(jv_string(&arena, jv_str(v))), buf_str(&b));
            ck_assert_uint_eq(jv_str(v).size, before + 10 + (i == 3 ? 2 : 1));
            buf_fini(&b);
        }
    }
}
END_TEST

START_TEST(every_code_point_passes)
{
    /* Written raw and as an escape: both read as the same string. */
    for (uint32_t u = 0; u <= 0x10ffff; u += u < 0x3000 ? 1 : 97) {
        if (u >= 0xd800 && u <= 0xdfff) {
            continue;
        }
        char esc[32];
        if (u < 0x10000) {
            snprintf(esc, sizeof(esc), "\"\\u%04x\"", u);
        } else {
            uint32_t w = u - 0x10000;
            snprintf(esc, sizeof(esc), "\"\\u%04x\\u%04x\"", 0xd800 + (w >> 10),
                     0xdc00 + (w & 0x3ff));
        }
        const struct jv *v = parsec(esc);
        buf_clear(&out);
        json_write_string(&out, jv_str(v));
        const struct jv *raw = parse(buf_str(&out));
        if (!jv_equal(v, raw) || !str_is_utf8(jv_str(v))) {
            ck_abort_msg("U+%04X", u);
        }
        arena_reset(&arena, 1u << 16);
    }
}
END_TEST

// NOLINTNEXTLINE(readability-function-size): one table
START_TEST(all_two_byte_and_lead_sequences)
{
    /* Our UTF-8 and the one of base/str.c agree on all sequences of up to three bytes and on
     * the interesting ones of four. */
    static const unsigned char edge[] = {0x00, 0x22, 0x7f, 0x80, 0x8f, 0x90,
                                         0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xff};
    for (unsigned lead = 0x80; lead < 256; lead++) {
        for (size_t i = 0; i < ARRAY_LEN(edge); i++) {
            for (size_t j = 0; j < ARRAY_LEN(edge); j++) {
                for (size_t k = 0; k < ARRAY_LEN(edge); k++) {
                    char s[4] = {(char)lead, (char)edge[i], (char)edge[j], (char)edge[k]};
                    for (size_t size = 1; size <= 4; size++) {
                        size_t got = json_utf8_size(s, s + size);
                        bool whole = str_is_utf8((struct str){s, size});
                        /* A first character is there iff some prefix of it is UTF-8. */
                        size_t wanted = 0;
                        for (size_t n = 2; n <= size && wanted == 0; n++) {
                            wanted = str_is_utf8((struct str){s, n}) ? n : 0;
                        }
                        if (got != wanted || (whole && got == 0)) {
                            ck_abort_msg("%02x %02x %02x %02x", lead, edge[i], edge[j], edge[k]);
                        }
                    }
                }
            }
        }
    }
}
END_TEST

/* ---- numbers ---- */

START_TEST(numbers_keep_their_text)
{
    static const char *const texts[] = {"1.0",   "-0",   "1e5",
                                        "1E+05", "0.10", "12345678901234567890",
                                        "1e999"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        check_text(written(parsec(texts[i])), str_of(texts[i]));
    }
    /* In a text with white space, too, where the writer cannot copy the whole. */
    check_text(written(parsec("[ 1.0, \"\\u0041\", {\"a\" : 1E2} ]")),
               STR("[1.0,\"\\u0041\",{\"a\":1E2}]"));
}
END_TEST

/* ---- equality ---- */

static const struct {
    const char *a, *b;
    bool equal;
} EQUAL[] = {
    {"1", "1.0", true},
    {"1", "1e0", true},
    {"1", "2", false},
    {"0", "-0", true},
    {"0.1", "0.10", true},
    {"0.1", "0.10000000000000001", true},
    {"0.1", "0.1000000000000001", false},
    {"9007199254740992", "9007199254740993", false},
    {"9007199254740993", "9007199254740993.0", true},
    {"1e400", "1e401", false},
    {"1e400", "10e399", true},
    {"-1", "1", false},
    {"1", "\"1\"", false},
    {"null", "false", false},
    {"null", "null", true},
    {"true", "true", true},
    {"true", "false", false},
    {"\"\\u0041\"", "\"A\"", true},
    {"\"a\"", "\"b\"", false},
    {"\"a\"", "\"aa\"", false},
    {"[]", "{}", false},
    {"[1,2]", "[1.0,2.0]", true},
    {"[1,2]", "[2,1]", false},
    {"[1,2]", "[1,2,3]", false},
    {"{\"a\":1,\"b\":[true]}", "{ \"b\": [true], \"a\": 1.0 }", true},
    {"{\"a\":1}", "{\"b\":1}", false},
    {"{\"a\":1}", "{\"a\":2}", false},
    {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
};

START_TEST(equality)
{
    const struct jv *a = parsec(EQUAL[_i].a), *b = parsec(EQUAL[_i].b);
    ck_assert_msg(jv_equal(a, b) == EQUAL[_i].equal, "%s / %s", EQUAL[_i].a, EQUAL[_i].b);
    ck_assert(jv_equal(b, a) == EQUAL[_i].equal);
    ck_assert(jv_equal(a, a) && jv_equal(b, b));
    struct str text = str_dup(&arena, canonical(a));
    ck_assert(str_eq(text, canonical(b)) == EQUAL[_i].equal);
}
END_TEST

START_TEST(equality_of_nothing)
{
    ck_assert(jv_equal(NULL, NULL));
    ck_assert(!jv_equal(NULL, jv_null()));
    ck_assert(!jv_equal(jv_null(), NULL));
}
END_TEST

/* ---- objects ---- */

static struct str member_name(uint32_t i)
{
    return str_of(arena_printf(&arena, "member%u", i));
}

/* An object of n members written as text, m<i> = i. */
static const struct jv *wide(uint32_t n)
{
    struct buf b;
    buf_init(&b, 0);
    buf_putc(&b, '{');
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(&b, "%s\"member%u\":%u", i > 0 ? "," : "", i, i);
    }
    buf_putc(&b, '}');
    const struct jv *v = parse(buf_str(&b));
    buf_fini(&b);
    return v;
}

static void check_wide(const struct jv *v, uint32_t n)
{
    ck_assert_uint_eq(v->len, n);
    ck_assert((v->index != NULL) == (n >= JSON_INDEX_MIN));
    for (uint32_t i = 0; i < n; i++) {
        int64_t got = -1;
        if (!jv_to_i64(jv_get(v, member_name(i)), &got) || got != (int64_t)i) {
            ck_abort_msg("member %u of %u", i, n);
        }
    }
    ck_assert_ptr_null(jv_get(v, member_name(n)));
    ck_assert_ptr_null(jv_get(v, STR("")));
    ck_assert_ptr_null(jv_get(v, STR("member")));
}

START_TEST(look_up)
{
    static const uint32_t sizes[] = {0, 1, 2, 15, 16, 17, 31, 32, 33, 64, 1000, 10000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        check_wide(wide(sizes[i]), sizes[i]);
    }
    ck_assert_ptr_null(jv_get(NULL, STR("a")));
    ck_assert_ptr_null(jv_get(parsec("[1]"), STR("a")));
    ck_assert_ptr_null(jv_getc(parsec("null"), "a"));
    ck_assert_ptr_nonnull(jv_getc(parsec("{\"a\":null}"), "a"));
}
END_TEST

START_TEST(duplicates_in_wide_objects)
{
    static const uint32_t sizes[] = {2, 15, 16, 17, 100, 10000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint32_t n = sizes[i], twice = n / 3;
        struct buf b;
        buf_init(&b, 0);
        buf_putc(&b, '{');
        for (uint32_t k = 0; k < n; k++) {
            buf_printf(&b, "%s\"member%u\":%u", k > 0 ? "," : "", k, k);
        }
        buf_printf(&b, ",\n \"member%u\":0}", twice);
        const struct jv *v = NULL;
        struct err_detail d = {0};
        char wanted[80];
        snprintf(wanted, sizeof(wanted), "2:2: the name \"member%u\" stands twice in this object",
                 twice);
        ck_assert_int_eq(json_parse(&arena, buf_str(&b), JSON_LIMITS_PAYLOAD, true, &v, &d),
                         ERR_MALFORMED);
        ck_assert_str_eq(d.text, wanted);
        ck_assert_int_eq(json_validate(buf_str(&b), JSON_LIMITS_PAYLOAD, NULL), ERR_MALFORMED);
        buf_fini(&b);
    }
}
END_TEST

/* Names made to collide: hashing gives up on them, and a sorted index takes its place. */
START_TEST(colliding_names)
{
    enum { LEN = 100 };
    struct jmember m[LEN];
    uint32_t n = 0;
    for (uint32_t i = 0; n < LEN; i++) {
        struct str name = str_of(arena_printf(&arena, "name%u", i));
        if ((hash_bytes(name.p, name.size) & 255) == 0) { /* 100 members have 256 slots */
            m[n].name = name;
            m[n].value = jv_int(&arena, n);
            n++;
        }
    }
    const struct jv *made = jv_object(&arena, m, LEN);
    const struct jv *forms[] = {made, parse(written(made)), jv_copy(&arena, made)};
    for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
        for (uint32_t i = 0; i < LEN; i++) {
            ck_assert(jv_num(jv_get(forms[f], m[i].name)) == i);
            struct str other = str_of(arena_printf(&arena, "%.*sx", STR_ARG(m[i].name)));
            ck_assert_ptr_null(jv_get(forms[f], other));
        }
        ck_assert_ptr_null(jv_getc(forms[f], "zzz"));
        ck_assert(jv_equal(forms[f], made));
    }
    /* The text of the same object with one name twice. */
    struct str text = written(made);
    struct str twice = str_of(arena_printf(&arena, "%.*s,\"%.*s\":0}", (int)text.size - 1, text.p,
                                           STR_ARG(m[LEN / 2].name)));
    struct err_detail d = {0};
    ck_assert_int_eq(json_validate(twice, JSON_LIMITS_PAYLOAD, &d), ERR_MALFORMED);
    ck_assert_ptr_nonnull(strstr(d.text, arena_printf(&arena, "the name \"%.*s\" stands twice",
                                                      STR_ARG(m[LEN / 2].name))));
}
END_TEST

START_TEST(sorting_members)
{
    struct rng r;
    rng_seed(&r, 7);
    for (int round = 0; round < 200; round++) {
        struct jmember m[100];
        uint32_t order[100];
        uint32_t n = (uint32_t)rng_below(&r, ARRAY_LEN(m) + 1);
        for (uint32_t i = 0; i < n; i++) {
            m[i].name = str_of(arena_printf(&arena, "%.*s%u", (int)rng_below(&r, 4), "aaa",
                                            (unsigned)rng_below(&r, 30)));
        }
        json_sort_members(m, order, n);
        for (uint32_t i = 1; i < n; i++) {
            int c = str_cmp(m[order[i - 1]].name, m[order[i]].name);
            ck_assert(c < 0 || (c == 0 && order[i - 1] < order[i]));
        }
    }
}
END_TEST

START_TEST(positions)
{
    const struct jv *v =
        parsec("{\n  \"a\": 1,\r\n\t\"\xe2\x82\xac\xe2\x82\xac\": [ true, \"x\"]\n}");
    ck_assert_uint_eq(v->line, 1);
    ck_assert_uint_eq(v->col, 1);
    ck_assert_uint_eq(v->u.members[0].line, 2);
    ck_assert_uint_eq(v->u.members[0].col, 3);
    ck_assert_uint_eq(v->u.members[0].value->col, 8);
    const struct jmember *m = &v->u.members[1];
    ck_assert_uint_eq(m->line, 3);
    ck_assert_uint_eq(m->col, 2);
    ck_assert_uint_eq(m->value->line, 3);
    ck_assert_uint_eq(m->value->col, 8);
    ck_assert_uint_eq(m->value->u.items[1]->col, 16);
    ck_assert_uint_eq(jv_int(&arena, 1)->line, 0);
}
END_TEST

/* ---- writing ---- */

START_TEST(compact_text_is_copied)
{
    struct str compact = STR("{\"z\":[1.0,\"\\u0041\\/\"],\"a b\":{\"c\":\" \"}}");
    check_text(written(parse(compact)), compact);
    /* The compact part of a text that is not. */
    const struct jv *v = parsec("{ \"z\" : [1.0,\"\\u0041 \\/\"], \"\\u0041\":[ ]}");
    check_text(written(v), STR("{\"z\":[1.0,\"\\u0041 \\/\"],\"A\":[]}"));
    ck_assert(jv_get(v, STR("z"))->flags & JVF_COMPACT);
    ck_assert(!(v->flags & JVF_COMPACT));
}
END_TEST

START_TEST(pretty)
{
    buf_clear(&out);
    json_write_pretty(&out, parsec("{\"a\":[1,{}, [ ] ],\"b\":{\"c\":\"d\"}}"));
    check_text(buf_str(&out), STR("{\n  \"a\": [\n    1,\n    {},\n    []\n  ],\n  \"b\": {\n"
                                  "    \"c\": \"d\"\n  }\n}"));
}
END_TEST

START_TEST(a_full_buffer_stops_quietly)
{
    const struct jv *v = parsec("{ \"a\": [1, 2.50, \"\\n\\u0001\"], \"b\": 1e5 }");
    size_t full = json_text_size(v);
    for (size_t cap = 1; cap <= full; cap++) {
        struct buf b;
        buf_init(&b, cap);
        json_write(&b, v);
        ck_assert(b.failed == (cap < full));
        ck_assert_uint_le(b.size, cap);
        buf_clear(&b);
        json_write_canonical(&b, v);
        json_write_pretty(&b, v);
        ck_assert(b.failed);
        buf_fini(&b);
    }
}
END_TEST

/* ---- constructors and builders ---- */

START_TEST(constructors)
{
    check_text(written(jv_null()), STR("null"));
    check_text(written(jv_bool(true)), STR("true"));
    check_text(written(jv_bool(false)), STR("false"));
    ck_assert_ptr_eq(jv_bool(true), jv_bool(true));
    check_text(written(jv_int(&arena, INT64_MIN)), STR("-9223372036854775808"));
    check_text(written(jv_int(&arena, INT64_MAX)), STR("9223372036854775807"));
    check_text(written(jv_int(&arena, 0)), STR("0"));
    check_text(written(jv_number_text(&arena, STR("1.50"))), STR("1.50"));
    check_text(written(jv_string(&arena, STR("a\"\0\x7f"))), STR("\"a\\\"\\u0000\x7f\""));
    check_text(written(jv_string(&arena, STR_NONE)), STR("\"\""));
    ck_assert_ptr_nonnull(jv_str(jv_string(&arena, STR_NONE)).p);
    ck_assert_ptr_null(jv_str(jv_null()).p);
    const struct jv *items[] = {jv_null(), jv_int(&arena, 1)};
    check_text(written(jv_array(&arena, items, 2)), STR("[null,1]"));
    check_text(written(jv_array(&arena, NULL, 0)), STR("[]"));
    struct jmember members[] = {{.name = STR("b"), .value = items[0]},
                                {.name = STR("a"), .value = items[1]}};
    check_text(written(jv_object(&arena, members, 2)), STR("{\"b\":null,\"a\":1}"));
    check_text(written(jv_object(&arena, NULL, 0)), STR("{}"));
}
END_TEST

START_TEST(names_must_differ)
{
    struct jmember members[] = {{.name = STR("a"), .value = jv_null()},
                                {.name = STR("a"), .value = jv_null()}};
    jv_object(&arena, members, 2); /* aborts */
}
END_TEST

START_TEST(a_literal_must_be_a_number)
{
    jv_number_text(&arena, STR("1.")); /* aborts */
}
END_TEST

START_TEST(builders)
{
    struct jv_list b;
    jv_arr_begin(&b, &arena);
    check_text(written(jv_arr_end(&b)), STR("[]"));
    jv_obj_begin(&b, &arena);
    check_text(written(jv_obj_end(&b)), STR("{}"));
    jv_arr_begin(&b, &arena);
    for (int i = 0; i < 100; i++) {
        jv_arr_add(&b, jv_int(&arena, i));
    }
    const struct jv *v = jv_arr_end(&b);
    ck_assert_uint_eq(v->len, 100);
    ck_assert(jv_num(v->u.items[99]) == 99);
    jv_obj_begin(&b, &arena);
    for (uint32_t i = 0; i < 100; i++) {
        char name[20];
        snprintf(name, sizeof(name), "member%u", i);
        jv_obj_add(&b, str_of(name), jv_int(&arena, i)); /* the name is copied */
    }
    check_wide(jv_obj_end(&b), 100);
    /* Of two of one name the first is found, with and without an index. */
    for (int n = 2; n <= 40; n += 38) {
        jv_obj_begin(&b, &arena);
        for (int i = 0; i < n; i++) {
            jv_obj_add(&b, STR("same"), jv_int(&arena, i));
        }
        ck_assert(jv_num(jv_getc(jv_obj_end(&b), "same")) == 0);
    }
    /* A value that could not be made spoils the list, not the program. */
    jv_arr_begin(&b, &arena);
    jv_arr_add(&b, NULL);
    jv_arr_add(&b, jv_null());
    ck_assert_ptr_null(jv_arr_end(&b));
}
END_TEST

START_TEST(put_and_delete)
{
    const struct jv *one = jv_int(&arena, 1), *two = jv_int(&arena, 2);
    const struct jv *v = jv_obj_put(&arena, NULL, STR("a"), one);
    const struct jv *w = jv_obj_put(&arena, v, STR("b"), two);
    const struct jv *x = jv_obj_put(&arena, w, STR("a"), two);
    check_text(written(v), STR("{\"a\":1}"));
    check_text(written(w), STR("{\"a\":1,\"b\":2}"));
    check_text(written(x), STR("{\"a\":2,\"b\":2}"));
    check_text(written(jv_obj_del(&arena, x, STR("a"))), STR("{\"b\":2}"));
    check_text(written(jv_obj_del(&arena, x, STR("b"))), STR("{\"a\":2}"));
    ck_assert_ptr_eq(jv_obj_del(&arena, x, STR("c")), x);
    check_text(written(jv_obj_del(&arena, NULL, STR("c"))), STR("{}"));
    check_text(written(jv_obj_put(&arena, one, STR("a"), two)), STR("{\"a\":2}"));
    check_text(written(x), STR("{\"a\":2,\"b\":2}")); /* never changed */
    /* A parsed object that is put to must not be written from its old text. */
    const struct jv *parsed = parsec("{\"a\":1,\"b\":{\"c\":1}}");
    check_text(written(jv_obj_put(&arena, parsed, STR("a"), jv_null())),
               STR("{\"a\":null,\"b\":{\"c\":1}}"));
    /* Through the border where the index begins. */
    const struct jv *grown = NULL;
    for (uint32_t i = 0; i < 40; i++) {
        grown = jv_obj_put(&arena, grown, member_name(i), jv_int(&arena, 1000));
        grown = jv_obj_put(&arena, grown, member_name(i), jv_int(&arena, i));
        check_wide(grown, i + 1);
    }
    for (uint32_t i = 40; i-- > 0;) {
        grown = jv_obj_del(&arena, grown, member_name(i));
        check_wide(grown, i);
    }
}
END_TEST

START_TEST(constructors_without_memory)
{
    const struct jv *shared = parsec("{\"a\":[1,{\"b\":\"c\\n\"}],\"d\":2}");
    for (size_t cap = 1; cap < 3000; cap += 8) {
        struct arena small;
        arena_init(&small, cap);
        struct jv_list b;
        jv_obj_begin(&b, &small);
        for (uint32_t i = 0; i < 20; i++) {
            char name[20];
            snprintf(name, sizeof(name), "m%u", i);
            jv_obj_add(&b, str_of(name), jv_int(&small, i));
        }
        const struct jv *v = jv_obj_end(&b);
        ck_assert(v != NULL || small.failed);
        v = jv_obj_put(&small, shared, STR("e"), jv_string(&small, STR("text")));
        ck_assert(v != NULL || small.failed);
        v = jv_copy(&small, shared);
        ck_assert(v != NULL || small.failed);
        ck_assert(v == NULL || jv_equal(v, shared));
        arena_fini(&small);
    }
}
END_TEST

START_TEST(copies)
{
    struct str text = STR("{ \"a\":[1.0,\"x\\ny\",{}],\"b\" : \"plain\",\"c\":[null,true]}");
    const struct jv *items[2];
    struct arena first, second;
    arena_init(&first, 0);
    arena_init(&second, 0);
    ck_assert_int_eq(json_parse(&first, text, JSON_LIMITS_PAYLOAD, false, &items[0], NULL), ERR_OK);
    items[1] = jv_string(&first, STR("made \"by code\""));
    const struct jv *v = jv_array(&first, items, 2);
    v = jv_obj_put(&first, wide(20), STR("tree"), v);
    const struct jv *copy = jv_copy(&second, v);
    struct str wanted = str_dup(&arena, written(v));
    ck_assert(jv_equal(copy, v));
    ck_assert_uint_eq(jv_getc(copy, "tree")->u.items[0]->u.members[1].line, 1);
    arena_fini(&first);
    check_text(written(copy), wanted);
    ck_assert_ptr_nonnull(copy->index);
    ck_assert(jv_num(jv_getc(copy, "member7")) == 7);
    ck_assert_ptr_null(jv_copy(&second, NULL));
    arena_fini(&second);
}
END_TEST

START_TEST(access_to_values)
{
    ck_assert(jv_is(jv_null(), JV_NULL));
    ck_assert(!jv_is(NULL, JV_NULL));
    ck_assert(jv_is_bool(jv_bool(true)) && jv_is_bool(jv_bool(false)));
    ck_assert(!jv_is_bool(jv_null()) && !jv_is_bool(NULL));
    int64_t n;
    ck_assert(!jv_to_i64(NULL, &n));
    ck_assert(!jv_to_i64(parsec("\"1\""), &n));
    static const char *const names[] = {"null",   "boolean", "boolean", "number",
                                        "string", "array",   "object"};
    for (int t = JV_NULL; t <= JV_OBJECT; t++) {
        ck_assert_str_eq(jtype_name((enum jtype)t), names[t]);
    }
}
END_TEST

/* ---- random trees ---- */

static struct str random_text(struct rng *r)
{
    static const char *const pieces[] = {
        "a",    "b", "\"", "\\", "\n", "\x01", "\xc3\xa4", "\xf0\x9d\x84\x9e", "longer piece",
        "\x7f", "/"};
    struct buf b;
    buf_init(&b, 0);
    for (uint64_t n = rng_below(r, 6); n > 0; n--) {
        buf_puts(&b, pieces[rng_below(r, ARRAY_LEN(pieces))]);
    }
    if (rng_chance(r, 0.05)) {
        buf_putc(&b, '\0');
    }
    struct str s = str_dup(&arena, buf_str(&b));
    buf_fini(&b);
    return s;
}

static const struct jv *random_tree(struct rng *r, int depth)
{
    struct jv_list b;
    switch (rng_below(r, depth > 0 ? 9 : 6)) {
    case 0:
        return jv_null();
    case 1:
        return jv_bool(rng_chance(r, 0.5));
    case 2:
        return jv_int(&arena, (int64_t)rng_u64(r) >> rng_below(r, 63));
    case 3:
        return jv_double(&arena, (rng_double(r) - 0.5) * pow(10, (double)rng_between(r, -20, 20)));
    case 4:
    case 5:
        return jv_string(&arena, random_text(r));
    case 6:
        jv_arr_begin(&b, &arena);
        for (uint64_t n = rng_below(r, 6); n > 0; n--) {
            jv_arr_add(&b, random_tree(r, depth - 1));
        }
        return jv_arr_end(&b);
    default: {
        const struct jv *v = jv_obj_del(&arena, NULL, STR("a"));
        for (uint64_t n = rng_below(r, rng_chance(r, 0.1) ? 40 : 6); n > 0; n--) {
            v = jv_obj_put(&arena, v, random_text(r), random_tree(r, depth - 1));
        }
        return v;
    }
    }
}

START_TEST(random_round_trips)
{
    struct rng r;
    rng_seed(&r, (uint64_t)_i);
    for (int round = 0; round < 200; round++) {
        const struct jv *v = random_tree(&r, 5);
        struct str compact = str_dup(&arena, written(v));
        struct str canon = str_dup(&arena, canonical(v));
        buf_clear(&out);
        json_write_pretty(&out, v);
        const struct jv *a = parse(compact), *b = parse(canon), *c = parse(buf_str(&out));
        ck_assert(jv_equal(v, a) && jv_equal(a, b) && jv_equal(b, c) && jv_equal(c, v));
        check_text(written(a), compact);
        check_text(canonical(a), canon);
        check_text(written(c), compact); /* order and literals survive the white space */
        check_text(written(jv_copy(&arena, c)), compact);
        arena_reset(&arena, 1u << 20);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json");
    SRunner *sr = srunner_create(s);
    TCase *t = tcase_create("json");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, good_texts, 0, ARRAY_LEN(JSON_GOOD));
    tcase_add_loop_test(t, bad_texts, 0, ARRAY_LEN(JSON_BAD));
    tcase_add_test(t, no_text_at_all);
    tcase_add_test(t, depth_is_limited);
    tcase_add_test(t, size_is_limited);
    tcase_add_test(t, memory_is_limited);
    tcase_add_test(t, truncations);
    tcase_add_test(t, mutations);
    tcase_add_test(t, strings_are_decoded);
    tcase_add_test(t, strings_without_escapes_are_borrowed);
    tcase_add_test(t, strings_of_all_lengths);
    tcase_add_test(t, every_code_point_passes);
    tcase_add_test(t, all_two_byte_and_lead_sequences);
    tcase_add_test(t, numbers_keep_their_text);
    tcase_add_loop_test(t, equality, 0, ARRAY_LEN(EQUAL));
    tcase_add_test(t, equality_of_nothing);
    tcase_add_test(t, look_up);
    tcase_add_test(t, duplicates_in_wide_objects);
    tcase_add_test(t, colliding_names);
    tcase_add_test(t, sorting_members);
    tcase_add_test(t, positions);
    tcase_add_test(t, compact_text_is_copied);
    tcase_add_test(t, pretty);
    tcase_add_test(t, a_full_buffer_stops_quietly);
    tcase_add_test(t, constructors);
    if (srunner_fork_status(sr) == CK_FORK) {
        tcase_add_test_raise_signal(t, names_must_differ, SIGABRT);
        tcase_add_test_raise_signal(t, a_literal_must_be_a_number, SIGABRT);
    }
    tcase_add_test(t, builders);
    tcase_add_test(t, put_and_delete);
    tcase_add_test(t, constructors_without_memory);
    tcase_add_test(t, copies);
    tcase_add_test(t, access_to_values);
    tcase_add_loop_test(t, random_round_trips, 0, 10);
    suite_add_tcase(s, t);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
