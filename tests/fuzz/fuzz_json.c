/* JSON: what parses is written in three ways that all read back as the same value; validation and
 * parsing agree; jansson, the oracle, accepts the same texts and reads the same values from them,
 * but for its own limits (numbers beyond a double, NUL in names, depth). */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/json.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>
#include <math.h>

static const struct jv *reparse(struct arena *a, const struct buf *text)
{
    const struct jv *v = NULL;
    struct json_limits limits = {.depth = 1000, .size = 1u << 24};
    enum err e = json_parse(a, buf_str(text), limits, false, &v, NULL);
    ASSERT(e == ERR_OK && !text->failed);
    return v;
}

static void round_trips(struct arena *a, const struct jv *v)
{
    struct buf b, canonical;
    buf_init(&b, 0);
    buf_init(&canonical, 0);
    json_write(&b, v);
    ASSERT(b.size == json_text_size(v));
    const struct jv *compact = reparse(a, &b);
    ASSERT(jv_equal(v, compact));
    const struct jv *copy = jv_copy(a, v);
    struct buf again;
    buf_init(&again, 0);
    json_write(&again, copy);
    ASSERT(str_eq(buf_str(&b), buf_str(&again)));
    buf_clear(&b);
    json_write_pretty(&b, v);
    ASSERT(jv_equal(reparse(a, &b), v));
    json_write_canonical(&canonical, v);
    const struct jv *other = reparse(a, &canonical);
    ASSERT(jv_equal(other, v) && jv_equal(v, other));
    buf_clear(&b);
    json_write_canonical(&b, other);
    ASSERT(str_eq(buf_str(&b), buf_str(&canonical)));
    buf_fini(&again);
    buf_fini(&b);
    buf_fini(&canonical);
}

static bool same_number(const struct jv *v, const json_t *j)
{
    double d = json_number_value(j);
    int64_t n;
    ASSERT(!jv_to_i64(v, &n) || (double)n == d);
    return jv_num(v) == d;
}

static bool same(const struct jv *v, const json_t *j);

static bool same_members(const struct jv *v, json_t *j)
{
    if (json_object_size(j) != v->len) {
        return false;
    }
    for (uint32_t i = 0; i < v->len; i++) {
        const struct jmember *m = &v->u.members[i];
        const struct jv *found = jv_get(v, m->name);
        if (found != m->value || !same(found, json_object_getn(j, m->name.p, m->name.size))) {
            return false;
        }
    }
    return true;
}

static bool same(const struct jv *v, const json_t *j)
{
    switch ((enum jtype)v->type) {
    case JV_NULL:
        return json_is_null(j);
    case JV_FALSE:
        return json_is_false(j);
    case JV_TRUE:
        return json_is_true(j);
    case JV_NUMBER:
        return json_is_number(j) && same_number(v, j);
    case JV_STRING:
        return json_is_string(j) &&
               str_eq(jv_str(v), (struct str){json_string_value(j), json_string_length(j)});
    case JV_ARRAY:
        if (!json_is_array(j) || json_array_size(j) != v->len) {
            return false;
        }
        for (uint32_t i = 0; i < v->len; i++) {
            if (!same(v->u.items[i], json_array_get(j, i))) {
                return false;
            }
        }
        return true;
    case JV_OBJECT:
        return json_is_object(j) && same_members(v, (json_t *)(uintptr_t)j);
    }
    return false;
}

/* "v" is NULL when we refused the text with error "e". */
static void compare(struct str text, const struct jv *v, enum err e)
{
    if (text.size > 0 && memchr(text.p, '\0', text.size) != NULL) {
        ASSERT(v == NULL); /* jansson loses a NUL that ends a number */
        return;
    }
    json_error_t je;
    json_t *j = json_loadb(text.p, text.size,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL |
                               JSON_DECODE_INT_AS_REAL,
                           &je);
    if (j != NULL && v != NULL) {
        ASSERT(same(v, j));
    } else if (j != NULL) {
        ASSERT(e == ERR_TOO_LARGE);
    } else if (v != NULL) {
        enum json_error_code code = json_error_code(&je);
        ASSERT(code == json_error_numeric_overflow || code == json_error_null_byte_in_key);
    }
    json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena a;
    arena_init(&a, 0);
    struct str text = {(const char *)bytes, size};
    const struct jv *v = NULL;
    struct err_detail detail = {.code = ERR_OK};
    enum err e = json_parse(&a, text, JSON_LIMITS_PAYLOAD, true, &v, &detail);
    ASSERT((e == ERR_OK) == (v != NULL) && (e == ERR_OK) == (detail.text[0] == '\0'));
    struct err_detail other = {.code = ERR_OK};
    ASSERT(json_validate(text, JSON_LIMITS_PAYLOAD, &other) == e);
    ASSERT(strcmp(detail.text, other.text) == 0);
    compare(text, v, e);
    if (v != NULL) {
        round_trips(&a, v);
    }
    arena_fini(&a);
    return 0;
}
