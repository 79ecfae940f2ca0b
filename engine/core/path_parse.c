/* JSONPath text to compiled path. Grammar (Jayway's flavour, as the recorded service takes it):
 *
 *   path    = root step*
 *   root    = "$" | "$$" | "$name" | "@" (in filters)
 *   step    = "." name | "." bracket | ".*" | bracket | ".." (name | "*" | bracket)
 *   bracket = "[" ( quoted {"," quoted} | index {"," index} | slice | "*" | "?(" filter ")"
 *             | "(@.length-n)" ) "]"
 *   slice   = [index] ":" [index] [":" [index]]
 *
 * A name without quotes ends at a character that means something else; whoever needs such a
 * character in a name quotes it. */
#include "base/prelude.h"

#include "engine/core/expr_internal.h"

struct parser {
    struct arena *a;
    struct str text;
    size_t at;
    bool in_filter;
    uint32_t filter_nest;
    struct err_detail *detail;
    struct step steps[PATH_STEPS_MAX];
    uint32_t len;
    bool reference;
};

static char peek(const struct parser *p)
{
    return p->at < p->text.size ? p->text.p[p->at] : '\0';
}

static bool at_end(const struct parser *p)
{
    return p->at >= p->text.size;
}

static enum err no_memory(struct parser *p)
{
    return err_set(p->detail, ERR_TOO_LARGE, "the path needs too much memory");
}

static enum err add_step(struct parser *p, struct step s)
{
    if (p->len == PATH_STEPS_MAX) {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: more than %d steps; split the path with a variable",
                       p->at + 1, PATH_STEPS_MAX);
    }
    p->steps[p->len++] = s;
    return ERR_OK;
}

/* Ends a name without quotes? */
static bool ends_name(const struct parser *p, char c)
{
    if ((unsigned char)c <= ' ' || c == 0x7f || strchr(".[](),'\"*?", c) != NULL) {
        return true;
    }
    return p->in_filter && strchr("=!<>&|~", c) != NULL;
}

static enum err parse_name(struct parser *p)
{
    size_t start = p->at;
    while (!at_end(p) && !ends_name(p, peek(p))) {
        p->at++;
    }
    if (p->at == start) {
        if (at_end(p)) {
            return err_set(p->detail, ERR_INVALID, "character %zu: a name is missing at the end",
                           start + 1);
        }
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: a name cannot begin with '%c'; quote it as ['...']",
                       start + 1, peek(p) < ' ' || peek(p) == 0x7f ? '?' : peek(p));
    }
    if (peek(p) == '(' && !at_end(p)) {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: functions of JSONPath are not part of the States Language; "
                       "use an intrinsic function (States.ArrayLength, ...)",
                       p->at + 1);
    }
    struct str name = str_dup(p->a, str_sub(p->text, start, p->at - start));
    if (name.p == NULL) {
        return no_memory(p);
    }
    return add_step(p, (struct step){.type = STEP_NAME, .u.name = name});
}

/* ---- what stands in brackets; each parser stops before the closing "]" ---- */

static enum err parse_index(struct parser *p, int64_t *out)
{
    size_t start = p->at;
    if (peek(p) == '-') {
        p->at++;
    }
    while (!at_end(p) && peek(p) >= '0' && peek(p) <= '9') {
        p->at++;
    }
    struct str digits = str_sub(p->text, start, p->at - start);
    if (digits.size > 16 || str_to_i64(digits, out) != ERR_OK) {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: expected an index, a slice, '*', a quoted name or a filter "
                       "?(...)",
                       start + 1);
    }
    return ERR_OK;
}

static enum err parse_names(struct parser *p)
{
    struct str names[PATH_UNION_MAX];
    uint32_t len = 0;
    for (;;) {
        p->at = lex_skip_space(p->text, p->at);
        if (peek(p) != '\'' && peek(p) != '"') {
            return err_set(p->detail, ERR_INVALID, "character %zu: expected a quoted name",
                           p->at + 1);
        }
        if (len == PATH_UNION_MAX) {
            return err_set(p->detail, ERR_INVALID, "character %zu: more than %d names", p->at + 1,
                           PATH_UNION_MAX);
        }
        enum err e = lex_quoted(p->a, p->text, &p->at, ESCAPES_PATH, &names[len], p->detail);
        if (e != ERR_OK) {
            return e;
        }
        len++;
        p->at = lex_skip_space(p->text, p->at);
        if (peek(p) != ',') {
            break;
        }
        p->at++;
    }
    if (len == 1) {
        return add_step(p, (struct step){.type = STEP_NAME, .u.name = names[0]});
    }
    struct str *copy = arena_memdup(p->a, names, len * sizeof(*copy));
    if (copy == NULL) {
        return no_memory(p);
    }
    return add_step(p, (struct step){.type = STEP_NAMES, .len = len, .u.names = copy});
}

static bool begins_index(char c)
{
    return c == '-' || (c >= '0' && c <= '9');
}

/* After the first bound (if any), at ":". */
static enum err parse_slice(struct parser *p, bool has_from, int64_t from)
{
    struct step s = {.type = STEP_SLICE, .has_from = has_from};
    s.u.slice.from = from;
    s.u.slice.by = 1;
    p->at = lex_skip_space(p->text, p->at + 1);
    if (begins_index(peek(p))) {
        enum err e = parse_index(p, &s.u.slice.to);
        if (e != ERR_OK) {
            return e;
        }
        s.has_to = true;
        p->at = lex_skip_space(p->text, p->at);
    }
    if (peek(p) == ':') {
        p->at = lex_skip_space(p->text, p->at + 1);
        if (begins_index(peek(p))) {
            enum err e = parse_index(p, &s.u.slice.by);
            if (e != ERR_OK) {
                return e;
            }
        }
        if (s.u.slice.by == 0) {
            return err_set(p->detail, ERR_INVALID, "character %zu: the step of a slice cannot be 0",
                           p->at);
        }
    }
    return add_step(p, s);
}

static enum err parse_indexes(struct parser *p)
{
    int64_t indexes[PATH_UNION_MAX] = {0};
    uint32_t len = 0;
    if (peek(p) == ':') {
        return parse_slice(p, false, 0);
    }
    for (;;) {
        p->at = lex_skip_space(p->text, p->at);
        if (len == PATH_UNION_MAX) {
            return err_set(p->detail, ERR_INVALID, "character %zu: more than %d indexes", p->at + 1,
                           PATH_UNION_MAX);
        }
        enum err e = parse_index(p, &indexes[len]);
        if (e != ERR_OK) {
            return e;
        }
        len++;
        p->at = lex_skip_space(p->text, p->at);
        if (len == 1 && peek(p) == ':') {
            return parse_slice(p, true, indexes[0]);
        }
        if (peek(p) != ',') {
            break;
        }
        p->at++;
    }
    if (len == 1) {
        return add_step(p, (struct step){.type = STEP_INDEX, .u.index = indexes[0]});
    }
    int64_t *copy = arena_memdup(p->a, indexes, len * sizeof(*copy));
    if (copy == NULL) {
        return no_memory(p);
    }
    return add_step(p, (struct step){.type = STEP_INDEXES, .len = len, .u.indexes = copy});
}

static enum err expect(struct parser *p, char c, const char *what)
{
    p->at = lex_skip_space(p->text, p->at);
    if (peek(p) != c || at_end(p)) {
        return err_set(p->detail, ERR_INVALID, "character %zu: expected '%c' to close %s",
                       p->at + 1, c, what);
    }
    p->at++;
    return ERR_OK;
}

static enum err parse_filter(struct parser *p)
{
    if (p->at + 1 >= p->text.size || p->text.p[p->at + 1] != '(') {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: a filter is written [?(...)], with parentheses", p->at + 1);
    }
    if (p->filter_nest == FILTER_NEST_MAX) {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: filters are nested more than %d deep", p->at + 1,
                       FILTER_NEST_MAX);
    }
    p->at += 2;
    struct step s = {.type = STEP_FILTER};
    enum err e = filter_parse(p->a, p->text, &p->at, p->filter_nest + 1, &s.u.filter, p->detail);
    if (e == ERR_OK) {
        e = expect(p, ')', "the filter");
    }
    return e == ERR_OK ? add_step(p, s) : e;
}

/* "(@.length-n)", the one script that people write: the n-th item from the end. */
static enum err parse_script(struct parser *p)
{
    size_t start = p->at;
    struct str word = STR("@.length");
    struct err_detail *detail = p->detail;
    p->detail = NULL; /* one remedy for all ways to write it wrongly */
    p->at = lex_skip_space(p->text, p->at + 1);
    bool ok = str_eq(str_sub(p->text, p->at, word.size), word);
    p->at = lex_skip_space(p->text, MIN(p->at + word.size, p->text.size));
    int64_t back = 0;
    ok = ok && peek(p) == '-';
    if (ok) {
        p->at = lex_skip_space(p->text, p->at + 1);
        ok = peek(p) != '-' && parse_index(p, &back) == ERR_OK && back > 0;
    }
    p->at = lex_skip_space(p->text, p->at);
    p->detail = detail;
    if (!ok || peek(p) != ')') {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: the only script understood is (@.length-1); use a negative "
                       "index [-1]",
                       start + 1);
    }
    p->at++;
    p->reference = false;
    return add_step(p, (struct step){.type = STEP_INDEX, .u.index = -back});
}

static enum err parse_bracket(struct parser *p)
{
    p->at = lex_skip_space(p->text, p->at + 1);
    enum err e;
    switch (peek(p)) {
    case '\'':
    case '"':
        e = parse_names(p);
        break;
    case '*':
        p->at++;
        e = add_step(p, (struct step){.type = STEP_WILD});
        break;
    case '?':
        e = parse_filter(p);
        break;
    case '(':
        e = parse_script(p);
        break;
    default:
        e = parse_indexes(p);
        break;
    }
    return e == ERR_OK ? expect(p, ']', "the bracket") : e;
}

/* ---- the whole ---- */

static enum err parse_dot(struct parser *p)
{
    p->at++;
    if (peek(p) == '.') {
        p->at++;
        enum err e = add_step(p, (struct step){.type = STEP_DESCENT});
        if (e != ERR_OK) {
            return e;
        }
    }
    if (peek(p) == '[') {
        return parse_bracket(p);
    }
    if (peek(p) == '*') {
        p->at++;
        return add_step(p, (struct step){.type = STEP_WILD});
    }
    return parse_name(p);
}

static enum err parse_root(struct parser *p, struct path *path)
{
    if (p->in_filter && peek(p) == '@') {
        p->at++;
        path->root = ROOT_CURRENT;
        return ERR_OK;
    }
    if (peek(p) != '$') {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: a path begins with $ (the input), $$ (the context object) "
                       "or $name (a variable)",
                       p->at + 1);
    }
    p->at++;
    if (peek(p) == '$') {
        p->at++;
        path->root = ROOT_CONTEXT;
        return ERR_OK;
    }
    path->root = ROOT_DATA;
    size_t start = p->at;
    uint32_t characters = 0;
    if (!at_end(p) && lex_is_ident_start(peek(p))) {
        while (!at_end(p) && lex_is_ident(peek(p))) {
            characters += ((unsigned char)peek(p) & 0xC0) != 0x80;
            p->at++;
        }
        path->root = ROOT_VARIABLE;
        path->variable = str_dup(p->a, str_sub(p->text, start, p->at - start));
        if (path->variable.p == NULL) {
            return no_memory(p);
        }
    }
    if (characters > VARIABLE_NAME_MAX) {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: the variable's name is longer than %d characters", start + 1,
                       VARIABLE_NAME_MAX);
    }
    return ERR_OK;
}

/* One value at most? A union of names at the end makes one object. */
static bool is_definite(const struct parser *p)
{
    for (uint32_t i = 0; i < p->len; i++) {
        enum step_type t = p->steps[i].type;
        bool merge = t == STEP_NAMES && i + 1 == p->len;
        if (t != STEP_NAME && t != STEP_INDEX && !merge) {
            return false;
        }
    }
    return true;
}

static bool is_reference(const struct parser *p)
{
    for (uint32_t i = 0; i < p->len; i++) {
        if (p->steps[i].type != STEP_NAME && p->steps[i].type != STEP_INDEX) {
            return false;
        }
    }
    return p->reference;
}

static enum err finish(struct parser *p, struct path *path, size_t start)
{
    path->text = str_dup(p->a, str_sub(p->text, start, p->at - start));
    path->definite = is_definite(p);
    path->reference = is_reference(p);
    path->len = p->len;
    if (p->len > 0) {
        path->steps = arena_memdup(p->a, p->steps, p->len * sizeof(p->steps[0]));
    }
    if (path->text.p == NULL || (p->len > 0 && path->steps == NULL)) {
        return no_memory(p);
    }
    return ERR_OK;
}

enum err path_parse_at(struct arena *a, struct str text, size_t *at, bool in_filter,
                       uint32_t filter_nest, const struct path **out, struct err_detail *detail)
{
    struct parser p = {.a = a,
                       .text = text,
                       .at = *at,
                       .in_filter = in_filter,
                       .filter_nest = filter_nest,
                       .detail = detail,
                       .reference = true};
    struct path *path = ARENA_NEW(a, struct path);
    if (path == NULL) {
        return no_memory(&p);
    }
    enum err e = parse_root(&p, path);
    while (e == ERR_OK && !at_end(&p) && (peek(&p) == '.' || peek(&p) == '[')) {
        e = peek(&p) == '.' ? parse_dot(&p) : parse_bracket(&p);
    }
    if (e == ERR_OK) {
        e = finish(&p, path, *at);
    }
    if (e == ERR_OK) {
        *at = p.at;
        *out = path;
    }
    return e;
}

enum err path_parse(struct arena *a, struct str text, const struct path **out,
                    struct err_detail *detail)
{
    size_t at = 0;
    const struct path *path = NULL;
    if (!str_is_utf8(text)) {
        return err_set(detail, ERR_INVALID, "the path is not valid UTF-8");
    }
    enum err e = path_parse_at(a, text, &at, false, 0, &path, detail);
    if (e != ERR_OK) {
        return e;
    }
    if (at < text.size) {
        return err_set(detail, ERR_INVALID,
                       "character %zu: expected '.', '[' or the end of the path; quote names with "
                       "special characters as ['...']",
                       at + 1);
    }
    *out = path;
    return ERR_OK;
}
