/* The intrinsic functions themselves. Recorded behaviour is noted where it surprises. */
#include "base/prelude.h"

#include <math.h>

#include "base/digest.h"
#include "base/id.h"
#include "base/map.h"
#include "engine/core/intrinsic.h"

/* ---- arguments ---- */

static bool fuel(struct intrinsic_env *in, uint64_t n)
{
    if (expr_spend(in->env, n, in->err)) {
        return true;
    }
    in->failed = true;
    return false;
}

static bool want_array(struct intrinsic_env *in, const char *fn, const struct jv *v)
{
    return jv_is(v, JV_ARRAY) || intrinsic_fail(in,
                                                "Invalid arguments in %s: expected an array, "
                                                "got a value of type %s.",
                                                fn, jtype_name((enum jtype)v->type));
}

static bool want_string(struct intrinsic_env *in, const char *fn, const struct jv *v)
{
    return jv_is(v, JV_STRING) || intrinsic_fail(in,
                                                 "Invalid arguments in %s: expected a string, "
                                                 "got a value of type %s.",
                                                 fn, jtype_name((enum jtype)v->type));
}

/* Numbers are rounded to the nearest integer, halves up, each on its own before anything is done
 * with it: recorded States.MathAdd(1.49, 1.5) = 3, (-1.5, 0) = -1, (-0.5, 0.5) = 1. The range is
 * that of 32 bits. */
static bool want_int(struct intrinsic_env *in, const char *fn, const struct jv *v, int64_t *out)
{
    if (!jv_is(v, JV_NUMBER)) {
        return intrinsic_fail(in,
                              "Invalid arguments in %s: expected a number, got a value of "
                              "type %s.",
                              fn, jtype_name((enum jtype)v->type));
    }
    double d = jv_num(v);
    double low = floor(d);
    double rounded = d - low >= 0.5 ? low + 1 : low;
    if (!(rounded >= INT32_MIN && rounded <= INT32_MAX)) {
        return intrinsic_fail(in,
                              "Invalid arguments in %s: %.*s is not within -2147483648 and "
                              "2147483647.",
                              fn, (int)MIN(v->u.s.size, 40u), v->u.s.p);
    }
    *out = (int64_t)rounded;
    return true;
}

static size_t characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.size; i++) {
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    }
    return n;
}

static bool want_short(struct intrinsic_env *in, const char *fn, struct str s)
{
    return characters(s) <= INTRINSIC_TEXT_MAX ||
           intrinsic_fail(in, "Invalid arguments in %s: the text is longer than %d characters.", fn,
                          INTRINSIC_TEXT_MAX);
}

/* The text made in "b", as a string value; frees "b". */
static const struct jv *finish_text(struct intrinsic_env *in, struct buf *b)
{
    const struct jv *v = b->failed ? NULL : jv_string(in->env->arena, buf_str(b));
    buf_fini(b);
    return v;
}

/* ---- text ---- */

/* Values inside a format string. Recorded: a string is put in as it is, and an object looks like
 * Java's Map.toString ("{Id=arn:..., Name=x}"), not like JSON; so do arrays ("[1, a]"). */
static bool render(struct intrinsic_env *in, struct buf *b, const struct jv *v, uint32_t depth)
{
    if (depth > VALUE_DEPTH_MAX) {
        in->failed = true;
        return asl_fail_depth(in->err);
    }
    if (v->type == JV_STRING || v->type == JV_NUMBER) {
        buf_put_str(b, v->u.s);
    } else if (v->type == JV_ARRAY) {
        buf_putc(b, '[');
        for (uint32_t i = 0; i < v->len; i++) {
            buf_puts(b, i > 0 ? ", " : "");
            if (!fuel(in, 1) || !render(in, b, v->u.items[i], depth + 1)) {
                return false;
            }
        }
        buf_putc(b, ']');
    } else if (v->type == JV_OBJECT) {
        buf_putc(b, '{');
        for (uint32_t i = 0; i < v->len; i++) {
            buf_puts(b, i > 0 ? ", " : "");
            buf_put_str(b, v->u.members[i].name);
            buf_putc(b, '=');
            if (!fuel(in, 1) || !render(in, b, v->u.members[i].value, depth + 1)) {
                return false;
            }
        }
        buf_putc(b, '}');
    } else {
        json_write(b, v);
    }
    return true;
}

static bool format(struct intrinsic_env *in, struct buf *b, struct str t,
                   const struct jv *const *args, uint32_t len)
{
    uint32_t used = 0;
    for (size_t i = 0; i < t.size; i++) {
        char next = i + 1 < t.size ? t.p[i + 1] : '\0';
        if (t.p[i] == '\\' && (next == '\\' || next == '{' || next == '}' || next == '\'')) {
            buf_putc(b, next);
            i++;
        } else if (t.p[i] != '{') {
            buf_putc(b, t.p[i]);
        } else if (next != '}') {
            return intrinsic_fail(in, "Invalid template in States.Format: matching '}' not found "
                                      "for '{'.");
        } else {
            if (used < len && !render(in, b, args[used], 0)) {
                return false;
            }
            used++;
            i++;
        }
    }
    return used == len || intrinsic_fail(in, "Invalid arguments in States.Format: number of "
                                             "arguments do not match the occurrences of {}.");
}

static const struct jv *fn_format(struct intrinsic_env *in, const struct jv *const *args,
                                  uint32_t len)
{
    if (!want_string(in, "States.Format", args[0])) {
        return NULL;
    }
    struct buf b;
    buf_init(&b, JSON_TEXT_MAX);
    if (!format(in, &b, args[0]->u.s, args + 1, len - 1)) {
        buf_fini(&b);
        return NULL;
    }
    return finish_text(in, &b);
}

/* Recorded: a blank text gives null. */
static const struct jv *fn_string_to_json(struct intrinsic_env *in, const struct jv *const *args,
                                          uint32_t len)
{
    (void)len;
    if (!want_string(in, "States.StringToJson", args[0])) {
        return NULL;
    }
    struct str text = args[0]->u.s;
    if (str_trim(text).size == 0) {
        return jv_null();
    }
    const struct jv *v = NULL;
    struct err_detail detail = {.code = ERR_OK};
    if (!fuel(in, 1 + text.size / 64)) {
        return NULL;
    }
    if (json_parse(in->env->arena, text, JSON_LIMITS_PAYLOAD, true, &v, &detail) != ERR_OK) {
        if (!in->env->arena->failed) {
            intrinsic_fail(in, "Invalid arguments in States.StringToJson: the text is not JSON: %s",
                           detail.text);
        }
        return NULL;
    }
    return v;
}

static const struct jv *fn_json_to_string(struct intrinsic_env *in, const struct jv *const *args,
                                          uint32_t len)
{
    (void)len;
    struct buf b;
    buf_init(&b, JSON_TEXT_MAX);
    json_write(&b, args[0]);
    return finish_text(in, &b);
}

/* The character at s[i] in bytes. */
static size_t character_size(struct str s, size_t i)
{
    size_t n = 1;
    while (i + n < s.size && ((unsigned char)s.p[i + n] & 0xC0) == 0x80) {
        n++;
    }
    return n;
}

static bool has_character(struct str set, struct str c)
{
    return memmem(set.p, set.size, c.p, c.size) != NULL;
}

/* Recorded: each character of the splitter splits, and empty pieces are dropped: (",,,,", ",") is
 * [], ("This.is+a,test=string", ".+,=") five words. */
static const struct jv *fn_string_split(struct intrinsic_env *in, const struct jv *const *args,
                                        uint32_t len)
{
    (void)len;
    if (!want_string(in, "States.StringSplit", args[0]) ||
        !want_string(in, "States.StringSplit", args[1])) {
        return NULL;
    }
    struct str s = args[0]->u.s;
    struct str set = args[1]->u.s;
    struct arena *a = in->env->arena;
    struct jv_list list;
    jv_arr_begin(&list, a);
    size_t start = 0;
    for (size_t i = 0; i <= s.size;) {
        size_t size = i < s.size ? character_size(s, i) : 1;
        bool splits = i == s.size || (set.size > 0 && has_character(set, str_sub(s, i, size)));
        if (splits) {
            if (i > start) {
                jv_arr_add(&list, jv_string(a, str_sub(s, start, i - start)));
            }
            start = i + size;
            if (!fuel(in, 1 + set.size / 64)) {
                return NULL;
            }
        }
        i += size;
    }
    return jv_arr_end(&list);
}

static const struct jv *fn_base64_encode(struct intrinsic_env *in, const struct jv *const *args,
                                         uint32_t len)
{
    (void)len;
    if (!want_string(in, "States.Base64Encode", args[0]) ||
        !want_short(in, "States.Base64Encode", args[0]->u.s)) {
        return NULL;
    }
    struct str s = args[0]->u.s;
    size_t size = base64_encode_size(s.size);
    char *text = arena_alloc(in->env->arena, size + 1);
    if (text == NULL) {
        return NULL;
    }
    base64_encode(s.p, s.size, text, false);
    return jv_string(in->env->arena, (struct str){text, size});
}

static const struct jv *fn_base64_decode(struct intrinsic_env *in, const struct jv *const *args,
                                         uint32_t len)
{
    (void)len;
    if (!want_string(in, "States.Base64Decode", args[0]) ||
        !want_short(in, "States.Base64Decode", args[0]->u.s)) {
        return NULL;
    }
    struct str bytes = STR_NONE;
    if (base64_decode(args[0]->u.s, false, in->env->arena, &bytes) != ERR_OK) {
        if (!in->env->arena->failed) {
            intrinsic_fail(in, "Invalid arguments in States.Base64Decode: the text is not Base64.");
        }
        return NULL;
    }
    if (!str_is_utf8(bytes)) {
        intrinsic_fail(in, "Invalid arguments in States.Base64Decode: the decoded bytes are no "
                           "UTF-8 text.");
        return NULL;
    }
    return jv_string(in->env->arena, bytes);
}

/* What is no string is hashed as its JSON text (States Language). */
static const struct jv *fn_hash(struct intrinsic_env *in, const struct jv *const *args,
                                uint32_t len)
{
    enum digest_alg alg;
    if (!want_string(in, "States.Hash", args[1])) {
        return NULL;
    }
    if (!digest_by_name(args[1]->u.s, &alg)) {
        intrinsic_fail(in, "Invalid arguments in States.Hash: the algorithm must be MD5, SHA-1, "
                           "SHA-256, SHA-384 or SHA-512.");
        return NULL;
    }
    const struct jv *text = args[0]->type == JV_STRING ? args[0] : fn_json_to_string(in, args, len);
    if (text == NULL || !want_short(in, "States.Hash", text->u.s)) {
        return NULL;
    }
    uint8_t digest[DIGEST_SIZE_MAX];
    char hex[2 * DIGEST_SIZE_MAX];
    if (digest_of(alg, text->u.s, digest) != ERR_OK) {
        intrinsic_fail(in, "States.Hash: this installation refuses the algorithm.");
        return NULL;
    }
    hex_encode(digest, digest_size(alg), hex);
    return jv_string(in->env->arena, (struct str){hex, 2 * digest_size(alg)});
}

/* ---- arrays ---- */

static const struct jv *fn_array(struct intrinsic_env *in, const struct jv *const *args,
                                 uint32_t len)
{
    return jv_array(in->env->arena, args, len);
}

static const struct jv *fn_array_partition(struct intrinsic_env *in, const struct jv *const *args,
                                           uint32_t len)
{
    (void)len;
    int64_t size = 0;
    if (!want_array(in, "States.ArrayPartition", args[0]) ||
        !want_int(in, "States.ArrayPartition", args[1], &size)) {
        return NULL;
    }
    if (size < 1) {
        intrinsic_fail(in, "Invalid arguments in States.ArrayPartition: the size of a part must be "
                           "a positive integer.");
        return NULL;
    }
    struct arena *a = in->env->arena;
    struct jv_list list;
    jv_arr_begin(&list, a);
    uint32_t total = args[0]->len;
    uint32_t part = (uint32_t)size;
    for (uint32_t i = 0; i < total; i += MIN(part, total - i)) {
        jv_arr_add(&list, jv_array(a, args[0]->u.items + i, MIN(part, total - i)));
        if (!fuel(in, 1)) {
            return NULL;
        }
    }
    return jv_arr_end(&list);
}

/* Steps that comparing or hashing "v" is worth, seen from its top. */
static uint64_t weight(const struct jv *v)
{
    return v->type >= JV_ARRAY ? 1 + (uint64_t)v->len
                               : 1 + (v->type == JV_STRING ? v->u.s.size / 64 : 0);
}

static const struct jv *fn_array_contains(struct intrinsic_env *in, const struct jv *const *args,
                                          uint32_t len)
{
    (void)len;
    if (!want_array(in, "States.ArrayContains", args[0])) {
        return NULL;
    }
    for (uint32_t i = 0; i < args[0]->len; i++) {
        const struct jv *item = args[0]->u.items[i];
        if (!fuel(in, MIN(weight(item), weight(args[1])))) {
            return NULL;
        }
        if (jv_equal(item, args[1])) {
            return jv_bool(true);
        }
    }
    return jv_bool(false);
}

static const struct jv *fn_array_range(struct intrinsic_env *in, const struct jv *const *args,
                                       uint32_t len)
{
    (void)len;
    int64_t first = 0;
    int64_t last = 0;
    int64_t by = 0;
    if (!want_int(in, "States.ArrayRange", args[0], &first) ||
        !want_int(in, "States.ArrayRange", args[1], &last) ||
        !want_int(in, "States.ArrayRange", args[2], &by)) {
        return NULL;
    }
    if (by == 0) {
        intrinsic_fail(in, "Invalid arguments in States.ArrayRange: the step must not be 0.");
        return NULL;
    }
    if ((last - first) / by >= ARRAY_RANGE_MAX) {
        intrinsic_fail(in,
                       "Invalid arguments in States.ArrayRange: the array would have more than "
                       "%d items.",
                       ARRAY_RANGE_MAX);
        return NULL;
    }
    struct arena *a = in->env->arena;
    struct jv_list list;
    jv_arr_begin(&list, a);
    for (int64_t i = first; by > 0 ? i <= last : i >= last; i += by) {
        jv_arr_add(&list, jv_int(a, i));
    }
    return fuel(in, list.len) ? jv_arr_end(&list) : NULL;
}

static const struct jv *fn_array_get_item(struct intrinsic_env *in, const struct jv *const *args,
                                          uint32_t len)
{
    (void)len;
    int64_t index = 0;
    if (!want_array(in, "States.ArrayGetItem", args[0]) ||
        !want_int(in, "States.ArrayGetItem", args[1], &index)) {
        return NULL;
    }
    if (index < 0 || index >= args[0]->len) {
        intrinsic_fail(in,
                       "Invalid arguments in States.ArrayGetItem: there is no item %" PRId64
                       " in an array of %u.",
                       index, args[0]->len);
        return NULL;
    }
    return args[0]->u.items[index];
}

static const struct jv *fn_array_length(struct intrinsic_env *in, const struct jv *const *args,
                                        uint32_t len)
{
    (void)len;
    return want_array(in, "States.ArrayLength", args[0]) ? jv_int(in->env->arena, args[0]->len)
                                                         : NULL;
}

/* Equal values (jv_equal) give equal hashes: numbers by value, members in any order. */
static bool hash_value(struct intrinsic_env *in, const struct jv *v, uint32_t depth, uint64_t *out)
{
    if (depth > VALUE_DEPTH_MAX) {
        in->failed = true;
        return asl_fail_depth(in->err);
    }
    if (!fuel(in, 1)) {
        return false;
    }
    uint64_t h = hash_u64(v->type);
    uint64_t sub = 0;
    if (v->type == JV_STRING) {
        h ^= hash_bytes(v->u.s.p, v->u.s.size);
    } else if (v->type == JV_NUMBER) {
        double d = jv_num(v);
        uint64_t bits = 0;
        if (d != 0) { /* -0 and 0 are one number */
            memcpy(&bits, &d, sizeof(bits));
        }
        h ^= hash_u64(bits);
    } else if (v->type == JV_ARRAY) {
        for (uint32_t i = 0; i < v->len; i++) {
            if (!hash_value(in, v->u.items[i], depth + 1, &sub)) {
                return false;
            }
            h = hash_u64(h + sub);
        }
    } else if (v->type == JV_OBJECT) {
        for (uint32_t i = 0; i < v->len; i++) {
            const struct jmember *m = &v->u.members[i];
            if (!hash_value(in, m->value, depth + 1, &sub)) {
                return false;
            }
            h += hash_u64(hash_bytes(m->name.p, m->name.size) + hash_u64(sub));
        }
    }
    *out = h;
    return true;
}

struct unique_slot {
    uint64_t hash;
    const struct jv *value; /* NULL: free */
};

/* The slot of a value equal to "v", or the free one where it belongs. NULL: out of fuel. */
static struct unique_slot *unique_find(struct intrinsic_env *in, struct unique_slot *slots,
                                       size_t mask, uint64_t hash, const struct jv *v)
{
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        if (slots[i].value == NULL) {
            return &slots[i];
        }
        if (!fuel(in, 1)) {
            return NULL;
        }
        if (slots[i].hash == hash) {
            if (!fuel(in, MIN(weight(v), weight(slots[i].value)))) {
                return NULL;
            }
            if (jv_equal(slots[i].value, v)) {
                return &slots[i];
            }
        }
    }
}

/* The first of each value, in order; by hashing, so that 10,000 items take 10,000 steps. */
static const struct jv *fn_array_unique(struct intrinsic_env *in, const struct jv *const *args,
                                        uint32_t len)
{
    (void)len;
    if (!want_array(in, "States.ArrayUnique", args[0])) {
        return NULL;
    }
    struct arena *a = in->env->arena;
    size_t room = 16;
    while (room < 2 * (size_t)args[0]->len) {
        room *= 2;
    }
    struct unique_slot *slots = ARENA_ARRAY(a, struct unique_slot, room);
    if (slots == NULL) {
        return NULL;
    }
    struct jv_list list;
    jv_arr_begin(&list, a);
    for (uint32_t i = 0; i < args[0]->len; i++) {
        const struct jv *v = args[0]->u.items[i];
        uint64_t hash = 0;
        if (!hash_value(in, v, 0, &hash)) {
            return NULL;
        }
        struct unique_slot *slot = unique_find(in, slots, room - 1, hash, v);
        if (slot == NULL) {
            return NULL;
        }
        if (slot->value == NULL) {
            *slot = (struct unique_slot){hash, v};
            jv_arr_add(&list, v);
        }
    }
    return jv_arr_end(&list);
}

/* ---- the rest ---- */

/* Recorded: only the top level is merged, and the second object wins ("a":{...} is replaced). */
static const struct jv *fn_json_merge(struct intrinsic_env *in, const struct jv *const *args,
                                      uint32_t len)
{
    (void)len;
    if (!jv_is(args[0], JV_OBJECT) || !jv_is(args[1], JV_OBJECT) || !jv_is_bool(args[2])) {
        intrinsic_fail(in, "Invalid arguments in States.JsonMerge: expected two objects and a "
                           "boolean.");
        return NULL;
    }
    if (jv_is(args[2], JV_TRUE)) {
        intrinsic_fail(in, "Invalid arguments in States.JsonMerge: only the shallow merge (false) "
                           "is supported.");
        return NULL;
    }
    struct jv_list b;
    jv_obj_begin(&b, in->env->arena);
    if (!fuel(in, (uint64_t)args[0]->len + args[1]->len)) {
        return NULL;
    }
    for (uint32_t i = 0; i < args[0]->len; i++) {
        const struct jmember *m = &args[0]->u.members[i];
        const struct jv *other = jv_get(args[1], m->name);
        jv_obj_add(&b, m->name, other != NULL ? other : m->value);
    }
    for (uint32_t i = 0; i < args[1]->len; i++) {
        const struct jmember *m = &args[1]->u.members[i];
        if (jv_get(args[0], m->name) == NULL) {
            jv_obj_add(&b, m->name, m->value);
        }
    }
    return jv_obj_end(&b);
}

static const struct jv *fn_math_add(struct intrinsic_env *in, const struct jv *const *args,
                                    uint32_t len)
{
    (void)len;
    int64_t x = 0;
    int64_t y = 0;
    if (!want_int(in, "States.MathAdd", args[0], &x) ||
        !want_int(in, "States.MathAdd", args[1], &y)) {
        return NULL;
    }
    return jv_int(in->env->arena, x + y);
}

/* From the first number to below the second. With a seed the same number every time. */
static const struct jv *fn_math_random(struct intrinsic_env *in, const struct jv *const *args,
                                       uint32_t len)
{
    int64_t from = 0;
    int64_t to = 0;
    int64_t seed = 0;
    if (!want_int(in, "States.MathRandom", args[0], &from) ||
        !want_int(in, "States.MathRandom", args[1], &to) ||
        (len == 3 && !want_int(in, "States.MathRandom", args[2], &seed))) {
        return NULL;
    }
    if (from >= to) {
        intrinsic_fail(in, "Invalid arguments in States.MathRandom: the start must be less than "
                           "the end.");
        return NULL;
    }
    struct rng seeded;
    struct rng *rng = in->env->rng;
    if (len == 3) {
        rng_seed(&seeded, (uint64_t)seed);
        rng = &seeded;
    }
    PRE(rng != NULL);
    return jv_int(in->env->arena, rng_between(rng, from, to - 1));
}

static const struct jv *fn_uuid(struct intrinsic_env *in, const struct jv *const *args,
                                uint32_t len)
{
    (void)args;
    (void)len;
    PRE(in->env->rng != NULL);
    struct uuid uuid = uuid_make(in->env->rng);
    char text[EXEC_ID_TEXT + 1];
    uuid_format(&uuid, text);
    return jv_string(in->env->arena, str_of(text));
}

const struct intrinsic *intrinsic_find(struct str name)
{
    static const struct intrinsic table[] = {
        {"States.Format", 1, CALL_ARGS_MAX, true, fn_format},
        {"States.StringToJson", 1, 1, false, fn_string_to_json},
        {"States.JsonToString", 1, 1, false, fn_json_to_string},
        {"States.Array", 0, CALL_ARGS_MAX, false, fn_array},
        {"States.ArrayPartition", 2, 2, false, fn_array_partition},
        {"States.ArrayContains", 2, 2, false, fn_array_contains},
        {"States.ArrayRange", 3, 3, false, fn_array_range},
        {"States.ArrayGetItem", 2, 2, false, fn_array_get_item},
        {"States.ArrayLength", 1, 1, false, fn_array_length},
        {"States.ArrayUnique", 1, 1, false, fn_array_unique},
        {"States.Base64Encode", 1, 1, false, fn_base64_encode},
        {"States.Base64Decode", 1, 1, false, fn_base64_decode},
        {"States.Hash", 2, 2, false, fn_hash},
        {"States.JsonMerge", 3, 3, false, fn_json_merge},
        {"States.MathRandom", 2, 3, false, fn_math_random},
        {"States.MathAdd", 2, 2, false, fn_math_add},
        {"States.StringSplit", 2, 2, false, fn_string_split},
        {"States.UUID", 0, 0, false, fn_uuid},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (str_eqc(name, table[i].name)) {
            return &table[i];
        }
    }
    return NULL;
}
