/* Filters of paths: [?(@.price < 10 && (@.kind == 'book' || !@.sold))].
 *
 *   or      = and { "||" and }
 *   and     = not { "&&" not }
 *   not     = "!" not | "(" or ")" | test
 *   test    = operand [ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "nin") operand ]
 *   operand = path (@, $, $$, $name) | string | number | true | false | null | list | word
 *
 * An operand that is a path and stands alone asks whether it finds anything, be it null or false.
 * A bare word is a string: definitions in the wild write [?(@.OutputKey == FooBar)].
 * Two values of different types are not equal, and neither is less than the other. */
#include "base/prelude.h"

#include "engine/core/expr_internal.h"

enum filter_op {
    FILTER_OR,
    FILTER_AND,
    FILTER_NOT,
    FILTER_EXISTS,
    FILTER_EQ,
    FILTER_NE,
    FILTER_LT,
    FILTER_LE,
    FILTER_GT,
    FILTER_GE,
    FILTER_IN,
    FILTER_NIN,
};

struct operand {
    const struct path *path; /* NULL: the literal */
    const struct jv *literal;
};

struct filter {
    enum filter_op op;
    const struct filter *left, *right; /* OR, AND; NOT has the left one only */
    struct operand a, b;               /* tests */
};

/* ---- parsing ---- */

struct parser {
    struct arena *arena;
    struct str text;
    size_t at;
    uint32_t nest;  /* filters around this one, this one included */
    uint32_t depth; /* parentheses and "!" */
    struct err_detail *detail;
};

static enum err parse_or(struct parser *p, const struct filter **out);

static enum err no_memory(struct parser *p)
{
    return err_set(p->detail, ERR_TOO_LARGE, "the filter needs too much memory");
}

/* Skips white space; is "token" next? Then it is skipped, too. */
static bool take(struct parser *p, const char *token)
{
    p->at = lex_skip_space(p->text, p->at);
    struct str t = str_of(token);
    if (!str_eq(str_sub(p->text, p->at, t.size), t)) {
        return false;
    }
    p->at += t.size;
    return true;
}

static char peek(struct parser *p)
{
    p->at = lex_skip_space(p->text, p->at);
    return p->at < p->text.size ? p->text.p[p->at] : '\0';
}

/* The word at the cursor (empty when there is none), not skipped. */
static struct str peek_word(struct parser *p)
{
    size_t end = p->at = lex_skip_space(p->text, p->at);
    if (end < p->text.size && lex_is_ident_start(p->text.p[end])) {
        while (end < p->text.size && (lex_is_ident(p->text.p[end]) || p->text.p[end] == '-')) {
            end++;
        }
    }
    return str_sub(p->text, p->at, end - p->at);
}

static enum err parse_word(struct parser *p, const struct jv **out)
{
    struct str word = peek_word(p);
    if (word.size == 0) {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: expected a path (@.name), a string, a number, true, false "
                       "or null",
                       p->at + 1);
    }
    p->at += word.size;
    if (str_eqc(word, "null")) {
        *out = jv_null();
    } else if (str_eqc(word, "true") || str_eqc(word, "false")) {
        *out = jv_bool(word.size == 4);
    } else {
        *out = jv_string(p->arena, word);
    }
    return *out != NULL ? ERR_OK : no_memory(p);
}

static enum err parse_literal(struct parser *p, const struct jv **out)
{
    char c = peek(p);
    if (c == '\'' || c == '"') {
        struct str s;
        enum err e = lex_quoted(p->arena, p->text, &p->at, ESCAPES_PATH, &s, p->detail);
        if (e != ERR_OK) {
            return e;
        }
        *out = jv_string(p->arena, s);
        return *out != NULL ? ERR_OK : no_memory(p);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return lex_number(p->arena, p->text, &p->at, out, p->detail);
    }
    return parse_word(p, out);
}

static enum err parse_list(struct parser *p, const struct jv **out)
{
    struct jv_list list;
    jv_arr_begin(&list, p->arena);
    p->at++;
    while (peek(p) != ']' || list.len > 0) {
        const struct jv *item = NULL;
        enum err e = parse_literal(p, &item);
        if (e != ERR_OK) {
            return e;
        }
        if (list.len == PATH_UNION_MAX) {
            return err_set(p->detail, ERR_INVALID, "character %zu: more than %d items", p->at + 1,
                           PATH_UNION_MAX);
        }
        jv_arr_add(&list, item);
        if (!take(p, ",")) {
            break;
        }
    }
    if (!take(p, "]")) {
        return err_set(p->detail, ERR_INVALID, "character %zu: expected ']' to close the list",
                       p->at + 1);
    }
    *out = jv_arr_end(&list);
    return *out != NULL ? ERR_OK : no_memory(p);
}

static enum err parse_operand(struct parser *p, struct operand *out)
{
    *out = (struct operand){NULL, NULL};
    char c = peek(p);
    if (c == '@' || c == '$') {
        return path_parse_at(p->arena, p->text, &p->at, true, p->nest, &out->path, p->detail);
    }
    return c == '[' ? parse_list(p, &out->literal) : parse_literal(p, &out->literal);
}

static bool take_comparison(struct parser *p, enum filter_op *out)
{
    static const struct {
        const char *token;
        enum filter_op op;
    } table[] = {/* longer tokens first */
                 {"==", FILTER_EQ}, {"!=", FILTER_NE}, {"<=", FILTER_LE},
                 {">=", FILTER_GE}, {"<", FILTER_LT},  {">", FILTER_GT}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (take(p, table[i].token)) {
            *out = table[i].op;
            return true;
        }
    }
    struct str word = peek_word(p);
    if (str_eqc(word, "in") || str_eqc(word, "nin")) {
        p->at += word.size;
        *out = word.size == 2 ? FILTER_IN : FILTER_NIN;
        return true;
    }
    return false;
}

static enum err parse_test(struct parser *p, struct filter *f)
{
    enum err e = parse_operand(p, &f->a);
    if (e != ERR_OK) {
        return e;
    }
    if (take_comparison(p, &f->op)) {
        return parse_operand(p, &f->b);
    }
    char c = peek(p);
    if (c != ')' && c != '&' && c != '|') {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: expected ==, !=, <, <=, >, >=, in, nin, && , || or ')'",
                       p->at + 1);
    }
    if (f->a.path == NULL) {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: a value alone is no condition; compare it with a path",
                       p->at + 1);
    }
    f->op = FILTER_EXISTS;
    return ERR_OK;
}

static enum err parse_not(struct parser *p, const struct filter **out)
{
    if (++p->depth > FILTER_DEPTH_MAX) {
        return err_set(p->detail, ERR_INVALID, "character %zu: more than %d levels of ( and !",
                       p->at + 1, FILTER_DEPTH_MAX);
    }
    enum err e;
    if (take(p, "(")) {
        e = parse_or(p, out);
        if (e == ERR_OK && !take(p, ")")) {
            e = err_set(p->detail, ERR_INVALID, "character %zu: expected ')'", p->at + 1);
        }
    } else {
        struct filter *f = ARENA_NEW(p->arena, struct filter);
        if (f == NULL) {
            return no_memory(p);
        }
        if (take(p, "!")) {
            f->op = FILTER_NOT;
            e = parse_not(p, &f->left);
        } else {
            e = parse_test(p, f);
        }
        *out = f;
    }
    p->depth--;
    return e;
}

/* "a || b || c" becomes a list along "right", which parsing and evaluation go through in a loop: a
 * long chain costs no stack. */
static enum err parse_chain(struct parser *p, enum filter_op op, const struct filter **out)
{
    for (;;) {
        enum err e = ERR_OK;
        const struct filter *one = NULL;
        if (op == FILTER_OR) {
            e = parse_chain(p, FILTER_AND, &one);
        } else {
            e = parse_not(p, &one);
        }
        if (e != ERR_OK) {
            return e;
        }
        if (!take(p, op == FILTER_OR ? "||" : "&&")) {
            *out = one;
            return ERR_OK;
        }
        struct filter *f = ARENA_NEW(p->arena, struct filter);
        if (f == NULL) {
            return no_memory(p);
        }
        f->op = op;
        f->left = one;
        *out = f;
        out = &f->right;
    }
}

static enum err parse_or(struct parser *p, const struct filter **out)
{
    return parse_chain(p, FILTER_OR, out);
}

enum err filter_parse(struct arena *a, struct str text, size_t *at, uint32_t nest,
                      const struct filter **out, struct err_detail *detail)
{
    struct parser p = {.arena = a, .text = text, .at = *at, .nest = nest, .detail = detail};
    enum err e = parse_or(&p, out);
    *at = p.at;
    return e;
}

/* ---- evaluation ---- */

/* -1, 0, 1; false when the two have no order. */
static bool compare(const struct jv *a, const struct jv *b, int *out)
{
    if (jv_is(a, JV_NUMBER) && jv_is(b, JV_NUMBER)) {
        *out = expr_number_cmp(a, b);
        return true;
    }
    if (jv_is(a, JV_STRING) && jv_is(b, JV_STRING)) {
        *out = str_cmp(a->u.s, b->u.s);
        return true;
    }
    return false;
}

static bool contains(const struct jv *list, const struct jv *v)
{
    for (uint32_t i = 0; jv_is(list, JV_ARRAY) && i < list->len; i++) {
        if (jv_equal(list->u.items[i], v)) {
            return true;
        }
    }
    return false;
}

/* What is absent (NULL) equals nothing, not even another absent thing. */
static bool test_holds(enum filter_op op, const struct jv *a, const struct jv *b)
{
    int c = 0;
    bool ordered = a != NULL && b != NULL && compare(a, b, &c);
    switch (op) {
    case FILTER_EQ:
        return a != NULL && b != NULL && jv_equal(a, b);
    case FILTER_NE:
        return !(a != NULL && b != NULL && jv_equal(a, b));
    case FILTER_LT:
        return ordered && c < 0;
    case FILTER_LE:
        return ordered && c <= 0;
    case FILTER_GT:
        return ordered && c > 0;
    case FILTER_GE:
        return ordered && c >= 0;
    case FILTER_IN:
        return a != NULL && contains(b, a);
    case FILTER_NIN:
        return a != NULL && !contains(b, a);
    case FILTER_OR:
    case FILTER_AND:
    case FILTER_NOT:
    case FILTER_EXISTS:
        break;
    }
    return false;
}

static bool operand_value(const struct operand *o, const struct eval_env *env,
                          const struct jv *current, const struct jv **out, struct asl_error *err)
{
    *out = o->literal;
    return o->path == NULL || path_find(o->path, env, current, out, err);
}

/* Comparing large values costs as much as visiting them. */
static uint64_t weight(const struct jv *v)
{
    return v == NULL || v->type < JV_STRING ? 1
           : v->type == JV_STRING           ? 1 + v->u.s.size / 64
                                            : 1 + (uint64_t)v->len;
}

bool filter_holds(const struct filter *f, const struct eval_env *env, const struct jv *current,
                  bool *out, struct asl_error *err)
{
    while (f->op == FILTER_OR || f->op == FILTER_AND) {
        if (!filter_holds(f->left, env, current, out, err)) {
            return false;
        }
        if (*out == (f->op == FILTER_OR)) {
            return true;
        }
        f = f->right;
    }
    if (f->op == FILTER_NOT) {
        if (!filter_holds(f->left, env, current, out, err)) {
            return false;
        }
        *out = !*out;
        return true;
    }
    const struct jv *a = NULL;
    const struct jv *b = NULL;
    if (!operand_value(&f->a, env, current, &a, err) ||
        !operand_value(&f->b, env, current, &b, err) ||
        !expr_spend(env, MIN(weight(a), weight(b)), err)) {
        return false;
    }
    if (f->op == FILTER_EXISTS) {
        *out = a != NULL && (f->a.path->definite || a->len > 0);
    } else {
        *out = test_holds(f->op, a, b);
    }
    return true;
}
