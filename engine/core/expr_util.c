/* Small things shared by paths, filters, intrinsic functions, templates and rules: lexing, errors
 * with the texts that workflows see, fuel. */
#include "base/prelude.h"

#include "engine/core/expr_internal.h"

/* ---- lexing ---- */

size_t lex_skip_space(struct str text, size_t at)
{
    while (at < text.size &&
           (text.p[at] == ' ' || text.p[at] == '\t' || text.p[at] == '\n' || text.p[at] == '\r')) {
        at++;
    }
    return at;
}

bool lex_is_ident_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

bool lex_is_ident(char c)
{
    return lex_is_ident_start(c) || (c >= '0' && c <= '9');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Is the backslash before "next" an escape, or does it stand for itself? */
static bool is_escape(enum escapes escapes, char quote, char next)
{
    switch (escapes) {
    case ESCAPES_PATH:
        return next == quote || next == '\\';
    case ESCAPES_INTRINSIC:
        return next == '\'' || next == '\\' || next == '{' || next == '}';
    case ESCAPES_TEMPLATE:
        return next == '\'';
    }
    return false;
}

enum err lex_quoted(struct arena *a, struct str text, size_t *at, enum escapes escapes,
                    struct str *out, struct err_detail *detail)
{
    size_t start = *at;
    char quote = text.p[start];
    size_t end = start + 1;
    while (end < text.size && text.p[end] != quote) {
        end += text.p[end] == '\\' ? 2 : 1;
    }
    if (end >= text.size) {
        return err_set(detail, ERR_INVALID,
                       "character %zu: the string that begins here has no closing %c", start + 1,
                       quote);
    }
    char *p = arena_alloc(a, end - start);
    if (p == NULL) {
        return err_set(detail, ERR_TOO_LARGE, "the expression needs too much memory");
    }
    size_t n = 0;
    for (size_t i = start + 1; i < end; i++) {
        if (text.p[i] == '\\' && is_escape(escapes, quote, text.p[i + 1])) {
            i++;
        } else if (text.p[i] == '\\' && i + 1 < end) {
            p[n++] = text.p[i++]; /* stands for itself, and so does what follows */
        }
        p[n++] = text.p[i];
    }
    *out = (struct str){p, n};
    *at = end + 1;
    return ERR_OK;
}

static size_t skip_digits(struct str text, size_t at)
{
    while (at < text.size && is_digit(text.p[at])) {
        at++;
    }
    return at;
}

enum err lex_number(struct arena *a, struct str text, size_t *at, const struct jv **out,
                    struct err_detail *detail)
{
    size_t start = *at;
    size_t i = start + (start < text.size && text.p[start] == '-');
    size_t digits = i;
    i = skip_digits(text, i);
    bool ok = i > digits && (text.p[digits] != '0' || i == digits + 1);
    if (ok && i < text.size && text.p[i] == '.') {
        size_t fraction = i + 1;
        i = skip_digits(text, fraction);
        ok = i > fraction;
    }
    if (ok && i < text.size && (text.p[i] == 'e' || text.p[i] == 'E')) {
        size_t exponent = i + 1;
        if (exponent < text.size && (text.p[exponent] == '+' || text.p[exponent] == '-')) {
            exponent++;
        }
        i = skip_digits(text, exponent);
        ok = i > exponent;
    }
    if (!ok) {
        return err_set(detail, ERR_INVALID,
                       "character %zu: not a number; write it as in JSON (12, -0.5, 1e3)",
                       start + 1);
    }
    *out = jv_number_text(a, str_sub(text, start, i - start));
    if (*out == NULL) {
        return err_set(detail, ERR_TOO_LARGE, "the expression needs too much memory");
    }
    *at = i;
    return ERR_OK;
}

int expr_number_cmp(const struct jv *a, const struct jv *b)
{
    int64_t ia = 0;
    int64_t ib = 0;
    if (jv_to_i64(a, &ia) && jv_to_i64(b, &ib)) {
        return (ia > ib) - (ia < ib);
    }
    if (jv_equal(a, b)) {
        return 0; /* by value, also where doubles are too coarse */
    }
    double da = jv_num(a);
    double db = jv_num(b);
    return (da > db) - (da < db);
}

/* ---- errors ---- */

bool asl_fail(struct asl_error *err, struct arena *a, struct str name, const char *fmt, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    err->name = name;
    err->cause = STR("The expression failed.");
    if (n < 0) {
        return false;
    }
    char *p = arena_alloc(a, (size_t)n + 1);
    if (p == NULL) {
        return asl_fail_memory(err);
    }
    if ((size_t)n < sizeof(small)) {
        memcpy(p, small, (size_t)n + 1);
    } else {
        va_start(ap, fmt);
        (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    err->cause = (struct str){p, (size_t)n};
    return false;
}

bool asl_fail_memory(struct asl_error *err)
{
    err->name = STR("States.DataLimitExceeded");
    err->cause = STR("The expression's result exceeds the memory that one turn may use.");
    return false;
}

bool asl_fail_depth(struct asl_error *err)
{
    err->name = STR("States.Runtime");
    err->cause = STR("The value is nested too deeply for an expression.");
    return false;
}

bool expr_spend(const struct eval_env *env, uint64_t n, struct asl_error *err)
{
    if (env->fuel == NULL) {
        return true;
    }
    if (*env->fuel > n) {
        *env->fuel -= n;
        return true;
    }
    *env->fuel = 0;
    err->name = STR("States.Runtime");
    err->cause = STR("The expression visits more values than one turn may.");
    return false;
}

struct str asl_quote(struct arena *a, const struct jv *v)
{
    struct buf b;
    buf_init(&b, JSON_TEXT_MAX);
    if (v != NULL) {
        json_write(&b, v);
    }
    struct str all = b.failed ? STR_NONE : buf_str(&b);
    size_t size = all.size;
    if (size > CAUSE_INPUT_MAX) {
        size = CAUSE_INPUT_MAX;
        while (size > 0 && ((unsigned char)all.p[size] & 0xC0) == 0x80) {
            size--; /* not in the middle of a character */
        }
    }
    struct str out = str_dup(a, str_sub(all, 0, size));
    buf_fini(&b);
    return out;
}
