/* Expressions in a string: a path, or a call of an intrinsic function.
 *
 *   call     = "States." name "(" [ argument { "," argument } ] ")"
 *   argument = path | 'string' | number | true | false | null | call
 *
 * Which error: an argument path that finds nothing is States.Runtime with the text of the real
 * service ("The function 'States.Format('{}', $.nope)' had the following error: The JsonPath
 * argument for the field '$.nope' could not be found in the input '{...}'"; the text of the whole
 * expression, as it was written). A function that cannot take its arguments is
 * States.IntrinsicFailure, as the States Language says; the recordings show no such failure, so the
 * words after "had the following error: " are ours. The functions are in intrinsic_fn.c. */
#include "base/prelude.h"

#include "engine/core/intrinsic.h"

enum arg_type { ARG_LITERAL, ARG_PATH, ARG_CALL };

struct call;

struct arg {
    enum arg_type type;
    union {
        const struct jv *literal;
        const struct path *path;
        const struct call *call;
    } u;
};

struct call {
    const struct intrinsic *fn;
    uint32_t len;
    const struct arg *args;
};

struct expr {
    struct str text;
    struct arg root; /* ARG_PATH or ARG_CALL */
};

/* ---- parsing ---- */

struct parser {
    struct arena *arena;
    struct str text;
    size_t at;
    struct err_detail *detail;
};

static enum err parse_call(struct parser *p, uint32_t depth, const struct call **out);

static enum err no_memory(struct parser *p)
{
    return err_set(p->detail, ERR_TOO_LARGE, "the expression needs too much memory");
}

static char peek(struct parser *p)
{
    p->at = lex_skip_space(p->text, p->at);
    return p->at < p->text.size ? p->text.p[p->at] : '\0';
}

/* The run of letters, digits and dots at the cursor. */
static struct str peek_word(struct parser *p)
{
    size_t end = p->at;
    while (end < p->text.size && (lex_is_ident(p->text.p[end]) || p->text.p[end] == '.')) {
        end++;
    }
    return str_sub(p->text, p->at, end - p->at);
}

static enum err parse_word(struct parser *p, const struct jv **out)
{
    struct str word = peek_word(p);
    if (str_eqc(word, "null")) {
        *out = jv_null();
    } else if (str_eqc(word, "true")) {
        *out = jv_bool(true);
    } else if (str_eqc(word, "false")) {
        *out = jv_bool(false);
    } else {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: an argument is a path, a 'string', a number, true, false, "
                       "null or another States... call",
                       p->at + 1);
    }
    p->at += word.size;
    return ERR_OK;
}

static enum err parse_string(struct parser *p, bool template, const struct jv **out)
{
    struct str s;
    enum err e = lex_quoted(p->arena, p->text, &p->at,
                            template ? ESCAPES_TEMPLATE : ESCAPES_INTRINSIC, &s, p->detail);
    if (e != ERR_OK) {
        return e;
    }
    *out = jv_string(p->arena, s);
    return *out != NULL ? ERR_OK : no_memory(p);
}

static enum err parse_arg(struct parser *p, uint32_t depth, bool template, struct arg *out)
{
    char c = peek(p);
    out->type = ARG_LITERAL;
    if (c == '$') {
        out->type = ARG_PATH;
        return path_parse_at(p->arena, p->text, &p->at, false, 0, &out->u.path, p->detail);
    }
    if (c == '\'') {
        return parse_string(p, template, &out->u.literal);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return lex_number(p->arena, p->text, &p->at, &out->u.literal, p->detail);
    }
    if (str_starts(peek_word(p), STR("States."))) {
        out->type = ARG_CALL;
        return parse_call(p, depth + 1, &out->u.call);
    }
    return parse_word(p, &out->u.literal);
}

static enum err parse_function(struct parser *p, struct call *call)
{
    struct str name = peek_word(p);
    call->fn = intrinsic_find(name);
    if (call->fn == NULL) {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: there is no intrinsic function '%.*s'; names are written "
                       "as in States.ArrayLength",
                       p->at + 1, (int)MIN(name.size, 60u), name.p);
    }
    p->at += name.size;
    if (peek(p) != '(') {
        return err_set(p->detail, ERR_INVALID, "character %zu: expected '(' after %s", p->at + 1,
                       call->fn->name);
    }
    p->at++;
    return ERR_OK;
}

static enum err check_count(struct parser *p, const struct call *call)
{
    const struct intrinsic *fn = call->fn;
    if (call->len >= fn->args_min && call->len <= fn->args_max) {
        return ERR_OK;
    }
    if (fn->args_min == fn->args_max) {
        return err_set(p->detail, ERR_INVALID, "character %zu: %s takes %u argument%s, not %u",
                       p->at, fn->name, fn->args_min, fn->args_min == 1 ? "" : "s", call->len);
    }
    return err_set(p->detail, ERR_INVALID, "character %zu: %s takes %u to %u arguments, not %u",
                   p->at, fn->name, fn->args_min, fn->args_max, call->len);
}

static enum err parse_call(struct parser *p, uint32_t depth, const struct call **out)
{
    if (depth > CALL_DEPTH_MAX) {
        return err_set(p->detail, ERR_INVALID,
                       "character %zu: more than %d functions inside each other; use a variable",
                       p->at + 1, CALL_DEPTH_MAX);
    }
    struct call *call = ARENA_NEW(p->arena, struct call);
    struct arg args[CALL_ARGS_MAX];
    if (call == NULL) {
        return no_memory(p);
    }
    enum err e = parse_function(p, call);
    while (e == ERR_OK && peek(p) != ')') {
        if (call->len == CALL_ARGS_MAX) {
            return err_set(p->detail, ERR_INVALID, "character %zu: more than %d arguments",
                           p->at + 1, CALL_ARGS_MAX);
        }
        bool template = call->fn->takes_template && call->len == 0;
        e = parse_arg(p, depth, template, &args[call->len]);
        if (e != ERR_OK) {
            break;
        }
        call->len++;
        char c = peek(p);
        if (c == ',') {
            p->at++;
            if (peek(p) == ')') {
                e = err_set(p->detail, ERR_INVALID, "character %zu: an argument is missing",
                            p->at + 1);
            }
        } else if (c != ')') {
            e = err_set(p->detail, ERR_INVALID, "character %zu: expected ',' or ')'", p->at + 1);
        }
    }
    if (e != ERR_OK) {
        return e;
    }
    p->at++;
    if (call->len > 0) {
        call->args = arena_memdup(p->arena, args, call->len * sizeof(args[0]));
        if (call->args == NULL) {
            return no_memory(p);
        }
    }
    *out = call;
    return check_count(p, call);
}

static enum err parse_whole_call(struct arena *a, struct str text, struct arg *out,
                                 struct err_detail *detail)
{
    struct parser p = {.arena = a, .text = text, .detail = detail};
    out->type = ARG_CALL;
    enum err e = parse_call(&p, 1, &out->u.call);
    if (e != ERR_OK) {
        return e;
    }
    (void)peek(&p);
    if (p.at < text.size) {
        return err_set(detail, ERR_INVALID, "character %zu: nothing may follow the call's ')'",
                       p.at + 1);
    }
    return ERR_OK;
}

enum err expr_parse(struct arena *a, struct str text, const struct expr **out,
                    struct err_detail *detail)
{
    struct expr *expr = ARENA_NEW(a, struct expr);
    struct str copy = str_dup(a, text);
    if (expr == NULL || copy.p == NULL) {
        return err_set(detail, ERR_TOO_LARGE, "the expression needs too much memory");
    }
    expr->text = copy;
    enum err e;
    if (text.size > 0 && text.p[0] == '$') {
        expr->root.type = ARG_PATH;
        e = path_parse(a, text, &expr->root.u.path, detail);
    } else if (!str_is_utf8(text)) {
        e = err_set(detail, ERR_INVALID, "the expression is not valid UTF-8");
    } else if (str_starts(text, STR("States."))) {
        e = parse_whole_call(a, text, &expr->root, detail);
    } else {
        e = err_set(detail, ERR_INVALID,
                    "character 1: expected a path ($...) or an intrinsic function (States...)");
    }
    if (e == ERR_OK) {
        *out = expr;
    }
    return e;
}

/* ---- evaluation ---- */

bool intrinsic_fail(struct intrinsic_env *in, const char *fmt, ...)
{
    char what[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    in->failed = true;
    return asl_fail(in->err, in->env->arena, STR("States.IntrinsicFailure"),
                    "The function '%.*s' had the following error: %s", STR_ARG(in->text), what);
}

static bool eval_call(struct intrinsic_env *in, const struct call *call, const struct jv **out);

static bool eval_arg(struct intrinsic_env *in, const struct arg *arg, const struct jv **out)
{
    switch (arg->type) {
    case ARG_LITERAL:
        *out = arg->u.literal;
        return true;
    case ARG_CALL:
        return eval_call(in, arg->u.call, out);
    case ARG_PATH:
        break;
    }
    if (!path_find(arg->u.path, in->env, NULL, out, in->err)) {
        return false;
    }
    if (*out == NULL) {
        struct str input = asl_quote(in->env->arena, in->env->data);
        return asl_fail(in->err, in->env->arena, STR("States.Runtime"),
                        "The function '%.*s' had the following error: The JsonPath argument for "
                        "the field '%.*s' could not be found in the input '%.*s'",
                        STR_ARG(in->text), STR_ARG(arg->u.path->text), STR_ARG(input));
    }
    return true;
}

static bool eval_call(struct intrinsic_env *in, const struct call *call, const struct jv **out)
{
    const struct jv **args = NULL;
    if (call->len > 0) {
        args = ARENA_ARRAY(in->env->arena, const struct jv *, call->len);
        if (args == NULL) {
            return asl_fail_memory(in->err);
        }
    }
    for (uint32_t i = 0; i < call->len; i++) {
        if (!eval_arg(in, &call->args[i], &args[i])) {
            return false;
        }
    }
    if (!expr_spend(in->env, 1 + call->len, in->err)) {
        return false;
    }
    *out = call->fn->run(in, args, call->len);
    if (*out == NULL && !in->failed) {
        return asl_fail_memory(in->err);
    }
    return *out != NULL;
}

bool expr_eval_field(const struct expr *e, struct str field, const struct eval_env *env,
                     const struct jv **out, struct asl_error *err)
{
    if (e->root.type == ARG_PATH) {
        return path_eval_field(e->root.u.path, field, env, out, err);
    }
    struct intrinsic_env in = {.env = env, .err = err, .text = e->text};
    const struct jv *v = NULL;
    if (!eval_call(&in, e->root.u.call, &v)) {
        return false;
    }
    *out = v;
    return true;
}

bool expr_eval(const struct expr *e, const struct eval_env *env, const struct jv **out,
               struct asl_error *err)
{
    return expr_eval_field(e, STR_NONE, env, out, err);
}
