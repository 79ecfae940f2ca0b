/* JSON values: immutable trees in an arena, and their text.
 *
 * Why not a library (ADR 0009): definitions need line and column at each value, payloads need
 * numbers and strings to come out as they went in (I27), both need one-arena lifetime, depth
 * and size limits and refused duplicate names; jansson is the test oracle instead.
 *
 * Numbers keep their text ("1.0" stays "1.0"); equality is by value. Strings are UTF-8 and may
 * hold NUL (\u0000). Object members keep their order; looking up is linear below 16 members and
 * hashed above. Trees may share sub-trees (jv_obj_put copies only one level); they are never
 * changed after they were made. A value parsed from text remembers its raw text, which the
 * writer copies as it is when asked for compact output and the text was compact. */
#ifndef CARILLON_BASE_JSON_H
#define CARILLON_BASE_JSON_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum jtype { JV_NULL, JV_FALSE, JV_TRUE, JV_NUMBER, JV_STRING, JV_ARRAY, JV_OBJECT };

struct jmember;
struct jindex;

struct jv {
    uint8_t type;  /* enum jtype */
    uint8_t flags; /* private */
    uint32_t len;  /* elements or members */
    uint32_t line; /* 1-based position in its source; 0 = made by code */
    uint32_t col;
    struct str raw; /* its text in the source (compact or not: see flags), or STR_NONE */
    union {
        struct str s;            /* JV_STRING: the decoded text; JV_NUMBER: the literal */
        const struct jv **items; /* JV_ARRAY */
        struct jmember *members; /* JV_OBJECT */
    } u;
    struct jindex *index; /* JV_OBJECT with many members, else NULL */
};

struct jmember {
    struct str name;
    const struct jv *value;
    uint32_t line, col; /* of the name */
};

struct json_limits {
    uint32_t depth; /* nesting of arrays and objects */
    size_t size;    /* bytes of the text */
};
#define JSON_LIMITS_PAYLOAD    ((struct json_limits){.depth = 1000, .size = 8u << 20})
#define JSON_LIMITS_DEFINITION ((struct json_limits){.depth = 64, .size = 1u << 20})

/* Parses one JSON text (RFC 8259, UTF-8, nothing after it but white space). The text is copied
 * into the arena unless "borrow" (then it must outlive the tree). Duplicate names, lone
 * surrogates and bad UTF-8 are errors. On an error "detail" says "line:col: what" (columns count
 * characters). ERR_MALFORMED; ERR_TOO_LARGE for a limit; ERR_LIMIT when the arena's cap is hit. */
enum err json_parse(struct arena *a, struct str text, struct json_limits limits, bool borrow,
                    const struct jv **out, struct err_detail *detail) MUST_CHECK;
/* Is this valid JSON within the limits? The same verdict as json_parse, but no tree and, as a
 * rule, no allocation (large objects and names with escapes need some for a moment). */
enum err json_validate(struct str text, struct json_limits limits,
                       struct err_detail *detail) MUST_CHECK;

/* Compact text (no spaces), members in their order. */
void json_write(struct buf *out, const struct jv *v);
/* Canonical: members sorted by code point, numbers in shortest form; equal values give equal
 * text. For digests and comparisons. */
void json_write_canonical(struct buf *out, const struct jv *v);
/* Indented by two spaces, for people. */
void json_write_pretty(struct buf *out, const struct jv *v);
/* One JSON string literal with quotes and escapes. */
void json_write_string(struct buf *out, struct str s);
size_t json_text_size(const struct jv *v); /* bytes json_write would produce */

/* Constructors: all in the arena, strings and lists copied unless said. NULL when the arena's
 * cap is hit. */
const struct jv *jv_null(void);
const struct jv *jv_bool(bool b);
const struct jv *jv_int(struct arena *a, int64_t n);
/* Shortest text that reads back. NULL, too, when d is not finite: JSON has no word for it. */
const struct jv *jv_double(struct arena *a, double d);
const struct jv *jv_number_text(struct arena *a, struct str literal); /* must be valid JSON */
const struct jv *jv_string(struct arena *a, struct str s);
const struct jv *jv_array(struct arena *a, const struct jv *const *items, uint32_t n);
/* Names must differ (asserted). */
const struct jv *jv_object(struct arena *a, const struct jmember *members, uint32_t n);
/* A new object: "obj" (NULL or not an object: empty) with member "name" set (in place when it
 * exists, else at the end). Shares everything else. */
const struct jv *jv_obj_put(struct arena *a, const struct jv *obj, struct str name,
                            const struct jv *value);
const struct jv *jv_obj_del(struct arena *a, const struct jv *obj, struct str name);
/* A deep copy into another arena (the raw text is copied too). */
const struct jv *jv_copy(struct arena *a, const struct jv *v);

/* Builders for longer lists. */
struct jv_list {
    struct arena *a;
    void *v;
    uint32_t len, room;
};
void jv_arr_begin(struct jv_list *b, struct arena *a);
void jv_arr_add(struct jv_list *b, const struct jv *v);
const struct jv *jv_arr_end(struct jv_list *b);
void jv_obj_begin(struct jv_list *b, struct arena *a);
void jv_obj_add(struct jv_list *b, struct str name, const struct jv *v); /* no duplicate check */
const struct jv *jv_obj_end(struct jv_list *b);

/* Access. "v" may be NULL everywhere (then absent). */
const struct jv *jv_get(const struct jv *obj, struct str name); /* NULL when absent */
const struct jv *jv_getc(const struct jv *obj, const char *name);
bool jv_is(const struct jv *v, enum jtype t);
bool jv_is_bool(const struct jv *v);
struct str jv_str(const struct jv *v); /* STR_NONE unless a string */
double jv_num(const struct jv *v);     /* 0 unless a number; may be inf for huge literals */
/* True when the number is integral and fits: 5, 5.0, 5e0 all do. */
bool jv_to_i64(const struct jv *v, int64_t *out);
/* Deep; the order of members does not matter. Whole numbers compare exactly whatever their size
 * and form (1 equals 1.0, 2^53 is not 2^53+1), all others as doubles. Two values are equal
 * exactly when their canonical texts are. */
bool jv_equal(const struct jv *a, const struct jv *b);
const char *jtype_name(enum jtype t); /* "null", "boolean", "number", ... */

#endif
