/* Text → tree, in one pass.
 *
 * Strings and numbers are slices of the text; only strings with escapes are decoded, into the
 * arena. Children wait on a stack of bytes until their container closes and are then copied to
 * the arena in one piece, so arrays and objects are exact and nothing is grown. White space is
 * counted as it passes: a container across which the count stood still is compact, and the writer
 * may copy its text. json_validate() is the same code without a tree, so the two never
 * disagree. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/json_internal.h"
#include "base/mem.h"

enum {
    STACK_SIZE = 1024, /* bytes of waiting children before the heap is asked */
    SLAB_LEN_MAX = 64, /* values taken from the arena at once */
    SHOWN_MAX = 60,    /* bytes of a user's text in a message */
};

struct parser {
    const char *p, *end, *text;
    const char *line_start;
    uint32_t line;
    uint32_t trail; /* UTF-8 continuation bytes in this line: columns count characters */
    size_t spaces;  /* bytes of white space so far */
    uint32_t depth, depth_max;
    bool build;      /* make a tree? */
    struct arena *a; /* the tree, or scratch for decoded names */
    struct jv *slab; /* values ready to use */
    uint32_t slab_len;
    char *stack; /* children of the containers that are open */
    size_t stack_size, stack_room;
    char *stack_heap;
    enum err err;
    struct err_detail *detail;
};

/* ---- errors ---- */

/* Line and column of "at" counted afresh: errors are rare, and this needs no state. */
static void position(const struct parser *ps, const char *at, uint32_t *line, uint32_t *col)
{
    *line = 1;
    *col = 1;
    for (const char *p = ps->text; p < at; p++) {
        if (*p == '\n' || (*p == '\r' && !(p + 1 < ps->end && p[1] == '\n'))) {
            (*line)++;
            *col = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            (*col)++;
        }
    }
}

static void *fail_as(struct parser *ps, enum err e, const char *at, const char *what)
{
    if (ps->err == ERR_OK) {
        uint32_t line, col;
        position(ps, at, &line, &col);
        ps->err = err_set(ps->detail, e, "%" PRIu32 ":%" PRIu32 ": %s", line, col, what);
    }
    return NULL;
}

static void *fail(struct parser *ps, const char *at, const char *what)
{
    return fail_as(ps, ERR_MALFORMED, at, what);
}

static void *fail_memory(struct parser *ps)
{
    return fail_as(ps, ERR_LIMIT, ps->p, "the document needs more memory than it may use");
}

/* A part of the user's text for a message: short, whole characters, nothing unprintable. */
static void shown(struct str s, char out[SHOWN_MAX + 4])
{
    size_t n = MIN(s.size, (size_t)SHOWN_MAX);
    while (n < s.size && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80) {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        out[i] = c < 0x20 || c == 0x7f ? '?' : s.p[i];
    }
    memcpy(out + n, n < s.size ? "..." : "", n < s.size ? 4 : 1);
}

static void *fail_duplicate(struct parser *ps, const struct jmember *m)
{
    if (ps->err == ERR_OK) {
        char name[SHOWN_MAX + 4];
        shown(m->name, name);
        ps->err = err_set(ps->detail, ERR_MALFORMED,
                          "%" PRIu32 ":%" PRIu32 ": the name \"%s\" stands twice in this object",
                          m->line, m->col, name);
    }
    return NULL;
}

/* ---- white space and positions ---- */

static void skip_space_slow(struct parser *ps)
{
    const char *from = ps->p;
    for (; ps->p < ps->end; ps->p++) {
        char c = *ps->p;
        if (c == '\n' || (c == '\r' && !(ps->p + 1 < ps->end && ps->p[1] == '\n'))) {
            ps->line++;
            ps->line_start = ps->p + 1;
            ps->trail = 0;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            break;
        }
    }
    ps->spaces += (size_t)(ps->p - from);
}

static inline void skip_space(struct parser *ps)
{
    if (ps->p < ps->end && (unsigned char)*ps->p <= ' ') {
        skip_space_slow(ps);
    }
}

static inline uint32_t column(const struct parser *ps)
{
    return (uint32_t)(ps->p - ps->line_start) - ps->trail + 1;
}

/* ---- memory ---- */

static struct jv *new_value(struct parser *ps)
{
    if (ps->slab_len == 0) {
        /* A value takes about eight bytes of text or more; small texts waste little. */
        size_t guess = (size_t)(ps->end - ps->p) / 16 + 1;
        uint32_t n = (uint32_t)MIN(guess, (size_t)SLAB_LEN_MAX);
        ps->slab = arena_alloc(ps->a, sizeof(struct jv) * n);
        if (ps->slab == NULL) {
            return fail_memory(ps);
        }
        ps->slab_len = n;
    }
    ps->slab_len--;
    return ps->slab++;
}

/* Any value stands for all of them when no tree is wanted. */
static struct jv *value_at(struct parser *ps, enum jtype type)
{
    struct jv *v = ps->build ? new_value(ps) : ps->slab;
    if (v != NULL) {
        v->type = (uint8_t)type;
        v->flags = JVF_COMPACT;
        v->len = 0;
        v->line = ps->line;
        v->col = column(ps);
        v->index = NULL;
    }
    return v;
}

static bool stack_grow(struct parser *ps, size_t size)
{
    size_t room = ps->stack_room * 2;
    ASSERT(room >= ps->stack_size + size);
    char *heap = mem_try(room, SIZE_MAX);
    if (heap == NULL) {
        fail_memory(ps);
        return false;
    }
    memcpy(heap, ps->stack, ps->stack_size);
    mem_free(ps->stack_heap);
    ps->stack = ps->stack_heap = heap;
    ps->stack_room = room;
    return true;
}

static inline bool stack_push(struct parser *ps, const void *item, size_t size)
{
    if (ps->stack_room - ps->stack_size < size && !stack_grow(ps, size)) {
        return false;
    }
    memcpy(ps->stack + ps->stack_size, item, size);
    ps->stack_size += size;
    return true;
}

/* ---- strings ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u, or -1. */
static int32_t read_u4(const char *p, const char *end)
{
    if (end - p < 4) {
        return -1;
    }
    int32_t u = 0;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(p[i]);
        if (d < 0) {
            return -1;
        }
        u = u * 16 + d;
    }
    return u;
}

static bool is_high_surrogate(int32_t u)
{
    return u >= 0xd800 && u <= 0xdbff;
}

static bool is_low_surrogate(int32_t u)
{
    return u >= 0xdc00 && u <= 0xdfff;
}

/* Bytes of the escape at p (which holds the backslash), or 0 after an error. */
static size_t check_escape(struct parser *ps, const char *p)
{
    char c = p + 1 < ps->end ? p[1] : '\0';
    if (c != 'u') {
        if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL) {
            fail(ps, p, "unknown escape in a string; a backslash itself is written \\\\");
            return 0;
        }
        return 2;
    }
    int32_t u = read_u4(p + 2, ps->end);
    if (u < 0) {
        fail(ps, p, "\\u wants four hexadecimal digits");
        return 0;
    }
    if (!is_high_surrogate(u) && !is_low_surrogate(u)) {
        return 6;
    }
    bool pair = is_high_surrogate(u) && ps->end - p >= 12 && p[6] == '\\' && p[7] == 'u' &&
                is_low_surrogate(read_u4(p + 8, ps->end));
    if (!pair) {
        fail(ps, p, "half of a surrogate pair in a string; both halves are needed");
        return 0;
    }
    return 12;
}

static char *put_utf8(char *o, uint32_t u)
{
    if (u < 0x80) {
        *o++ = (char)u;
    } else if (u < 0x800) {
        *o++ = (char)(0xc0 | (u >> 6));
        *o++ = (char)(0x80 | (u & 0x3f));
    } else if (u < 0x10000) {
        *o++ = (char)(0xe0 | (u >> 12));
        *o++ = (char)(0x80 | ((u >> 6) & 0x3f));
        *o++ = (char)(0x80 | (u & 0x3f));
    } else {
        *o++ = (char)(0xf0 | (u >> 18));
        *o++ = (char)(0x80 | ((u >> 12) & 0x3f));
        *o++ = (char)(0x80 | ((u >> 6) & 0x3f));
        *o++ = (char)(0x80 | (u & 0x3f));
    }
    return o;
}

/* Text between the quotes, known to be good, without its escapes. Never longer than it was. */
static struct str decode(struct parser *ps, struct str in)
{
    char *out = arena_alloc(ps->a, in.size);
    if (out == NULL) {
        fail_memory(ps);
        return STR_NONE;
    }
    char *o = out;
    const char *p = in.p, *end = in.p + in.size;
    while (p < end) {
        const char *esc = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((esc != NULL ? esc : end) - p);
        memcpy(o, p, plain);
        o += plain;
        p += plain;
        if (esc == NULL) {
            break;
        }
        if (p[1] != 'u') {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            *o++ = to[strchr(from, p[1]) - from];
            p += 2;
            continue;
        }
        int32_t u = read_u4(p + 2, end);
        p += 6;
        if (is_high_surrogate(u)) {
            u = 0x10000 + ((u - 0xd800) << 10) + (read_u4(p + 2, end) - 0xdc00);
            p += 6;
        }
        o = put_utf8(o, (uint32_t)u);
    }
    return (struct str){out, (size_t)(o - out)};
}

/* ps->p is at the opening quote; afterwards behind the closing one. *out is the decoded text;
 * when nobody wants it (decoded == false) only its slice. */
static bool parse_string(struct parser *ps, bool decoded, struct str *out)
{
    const char *start = ps->p + 1, *p = start, *end = ps->end;
    bool escapes = false;
    for (;;) {
        p = json_skip_plain(p, end, true);
        if (p == end) {
            fail(ps, ps->p, "the string that begins here has no closing quote");
            return false;
        }
        unsigned char c = (unsigned char)*p;
        if (c == '"') {
            break;
        }
        size_t n;
        if (c == '\\') {
            n = check_escape(ps, p);
            escapes = true;
        } else if (c >= 0x80) {
            n = json_utf8_size(p, end);
            if (n == 0) {
                fail(ps, p, "these bytes are not UTF-8");
            }
            ps->trail += (uint32_t)n - 1;
        } else {
            fail(ps, p, "a control character must be escaped in a string (\\n, \\t, \\u0000)");
            n = 0;
        }
        if (n == 0) {
            return false;
        }
        p += n;
    }
    *out = (struct str){start, (size_t)(p - start)};
    ps->p = p + 1;
    if (escapes && decoded) {
        *out = decode(ps, *out);
    }
    return ps->err == ERR_OK;
}

/* ---- values ---- */

static struct jv *parse_value(struct parser *ps);

static struct jv *parse_literal(struct parser *ps, enum jtype type, struct str word)
{
    if ((size_t)(ps->end - ps->p) < word.size || memcmp(ps->p, word.p, word.size) != 0) {
        return fail(ps, ps->p, "expected a value: null, true, false, a number, \"text\", [ or {");
    }
    struct jv *v = value_at(ps, type);
    if (v != NULL) {
        v->raw = (struct str){ps->p, word.size};
        v->u.s = STR_NONE;
        ps->p += word.size;
    }
    return v;
}

static struct jv *parse_number(struct parser *ps)
{
    const char *bad = NULL;
    const char *end = json_scan_number(ps->p, ps->end, &bad);
    if (end == NULL) {
        return fail(ps, bad, "not a JSON number: digits are needed here and zeros may not lead");
    }
    struct jv *v = value_at(ps, JV_NUMBER);
    if (v != NULL) {
        v->raw = v->u.s = (struct str){ps->p, (size_t)(end - ps->p)};
        ps->p = end;
    }
    return v;
}

static struct jv *parse_text(struct parser *ps)
{
    struct jv *v = value_at(ps, JV_STRING);
    const char *start = ps->p;
    if (v == NULL || !parse_string(ps, ps->build, &v->u.s)) {
        return NULL;
    }
    v->raw = (struct str){start, (size_t)(ps->p - start)};
    return v;
}

/* Enters a container: counts depth, steps over its bracket and the white space behind it. */
static struct jv *open_container(struct parser *ps, enum jtype type)
{
    if (++ps->depth > ps->depth_max) {
        return fail_as(ps, ERR_TOO_LARGE, ps->p, "arrays and objects are nested too deep");
    }
    struct jv *v = value_at(ps, type);
    if (v != NULL) {
        v->raw.p = ps->p++;
        skip_space(ps);
    }
    return v;
}

/* Steps over the closing bracket and takes the children's bytes from the stack. */
static bool close_container(struct parser *ps, struct jv *v, size_t spaces, size_t base,
                            void **children)
{
    ps->p++;
    ps->depth--;
    v->raw.size = (size_t)(ps->p - v->raw.p);
    v->flags = ps->spaces == spaces ? JVF_COMPACT : 0;
    size_t size = ps->stack_size - base;
    *children = NULL;
    if (ps->build && size > 0) {
        *children = arena_memdup(ps->a, ps->stack + base, size);
        if (*children == NULL) {
            fail_memory(ps);
            return false;
        }
    }
    return true;
}

/* After a child: true at a comma (stepped over), false at the closing bracket or an error. */
static bool more_children(struct parser *ps, char closing, const char *what)
{
    skip_space(ps);
    char c = ps->p < ps->end ? *ps->p : '\0';
    if (c == ',') {
        ps->p++;
        skip_space(ps);
        if (ps->p < ps->end && *ps->p == closing) {
            fail(ps, ps->p, "no comma may stand before the closing bracket");
            return false;
        }
        return true;
    }
    if (c != closing) {
        fail(ps, ps->p, what);
    }
    return false;
}

static struct jv *parse_array(struct parser *ps)
{
    size_t spaces = ps->spaces, base = ps->stack_size;
    struct jv *v = open_container(ps, JV_ARRAY);
    if (v == NULL) {
        return NULL;
    }
    uint32_t len = 0;
    bool more = !(ps->p < ps->end && *ps->p == ']');
    while (more) {
        struct jv *item = parse_value(ps);
        if (item == NULL || (ps->build && !stack_push(ps, &item, sizeof(item)))) {
            return NULL;
        }
        len++;
        more = more_children(ps, ']', "expected , or ] after an element of the array");
    }
    void *items = NULL;
    if (ps->err != ERR_OK || !close_container(ps, v, spaces, base, &items)) {
        return NULL;
    }
    ps->stack_size = base;
    v->len = len;
    v->u.items = items;
    return v;
}

static bool parse_member(struct parser *ps)
{
    if (ps->p == ps->end || *ps->p != '"') {
        fail(ps, ps->p, "expected a name in double quotes or }");
        return false;
    }
    struct jmember m = {.line = ps->line, .col = column(ps)};
    if (!parse_string(ps, true, &m.name)) {
        return false;
    }
    skip_space(ps);
    if (ps->p == ps->end || *ps->p != ':') {
        fail(ps, ps->p, "expected : after the name");
        return false;
    }
    ps->p++;
    skip_space(ps);
    m.value = parse_value(ps);
    return m.value != NULL && stack_push(ps, &m, sizeof(m));
}

static struct jv *parse_object(struct parser *ps)
{
    size_t spaces = ps->spaces, base = ps->stack_size;
    struct jv *v = open_container(ps, JV_OBJECT);
    if (v == NULL) {
        return NULL;
    }
    uint32_t len = 0;
    bool more = !(ps->p < ps->end && *ps->p == '}');
    while (more) {
        if (!parse_member(ps)) {
            return NULL;
        }
        len++;
        more = more_children(ps, '}', "expected , or } after a member of the object");
    }
    void *members = NULL;
    if (ps->err != ERR_OK || !close_container(ps, v, spaces, base, &members)) {
        return NULL;
    }
    /* Not copied when there is no tree: the names are still on the stack (which is aligned as
     * malloc aligns, and only members are pushed then). */
    const struct jmember *list = ps->build ? members : (void *)(ps->stack + base);
    uint32_t again = 0;
    bool full = false;
    if (json_find_duplicate(ps->a, list, len, &v->index, &again, &full)) {
        ASSERT(list != NULL && again < len);
        return fail_duplicate(ps, &list[again]);
    }
    if (full) {
        return fail_memory(ps);
    }
    ps->stack_size = base;
    v->len = len;
    v->u.members = members;
    return v;
}

static struct jv *parse_value(struct parser *ps)
{
    switch (ps->p < ps->end ? *ps->p : '\0') {
    case '{':
        return parse_object(ps);
    case '[':
        return parse_array(ps);
    case '"':
        return parse_text(ps);
    case 't':
        return parse_literal(ps, JV_TRUE, STR("true"));
    case 'f':
        return parse_literal(ps, JV_FALSE, STR("false"));
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return parse_number(ps);
    default: /* null, or what parse_literal() names as no value */
        return parse_literal(ps, JV_NULL, STR("null"));
    }
}

/* Whole text; ps->text and the limits are set. */
static const struct jv *parse_document(struct parser *ps)
{
    _Alignas(struct jmember) char stack[STACK_SIZE];
    ps->stack = stack;
    ps->stack_room = sizeof(stack);
    ps->p = ps->line_start = ps->text;
    ps->line = 1;
    skip_space(ps);
    if (ps->p == ps->end) {
        return fail(ps, ps->p, "the text is empty; a JSON value is needed");
    }
    if (ps->end - ps->p >= 3 && memcmp(ps->p, "\xef\xbb\xbf", 3) == 0) {
        return fail(ps, ps->p, "the text begins with a byte order mark; JSON has none");
    }
    const struct jv *v = parse_value(ps);
    if (v != NULL) {
        skip_space(ps);
        if (ps->p != ps->end) {
            v = fail(ps, ps->p, "nothing may follow the value");
        }
    }
    mem_free(ps->stack_heap);
    return v;
}

static enum err check_size(struct str text, struct json_limits limits, struct err_detail *detail)
{
    if (text.size > limits.size || text.size > UINT32_MAX) {
        return err_set(detail, ERR_TOO_LARGE, "the text has %zu bytes; %zu are allowed", text.size,
                       limits.size);
    }
    return ERR_OK;
}

enum err json_parse(struct arena *a, struct str text, struct json_limits limits, bool borrow,
                    const struct jv **out, struct err_detail *detail)
{
    enum err e = check_size(text, limits, detail);
    if (e != ERR_OK) {
        return e;
    }
    if (!borrow && text.size > 0) {
        text.p = arena_memdup(a, text.p, text.size);
        if (text.p == NULL) {
            return err_set(detail, ERR_LIMIT, "the text needs more memory than it may use");
        }
    }
    if (text.p == NULL) {
        text = STR("");
    }
    struct parser ps = {
        .text = text.p,
        .end = text.p + text.size,
        .depth_max = limits.depth,
        .build = true,
        .a = a,
        .detail = detail,
    };
    const struct jv *v = parse_document(&ps);
    if (v == NULL) {
        ASSERT(ps.err != ERR_OK);
        return ps.err;
    }
    *out = v;
    return ERR_OK;
}

enum err json_validate(struct str text, struct json_limits limits, struct err_detail *detail)
{
    enum err e = check_size(text, limits, detail);
    if (e != ERR_OK) {
        return e;
    }
    if (text.p == NULL) {
        text = STR("");
    }
    struct jv value;
    struct arena scratch; /* names with escapes, indexes of large objects: nothing, as a rule */
    arena_init(&scratch, 0);
    struct parser ps = {
        .text = text.p,
        .end = text.p + text.size,
        .depth_max = limits.depth,
        .a = &scratch,
        .slab = &value,
        .detail = detail,
    };
    const struct jv *v = parse_document(&ps);
    arena_fini(&scratch);
    ASSERT((v != NULL) == (ps.err == ERR_OK));
    return ps.err;
}
