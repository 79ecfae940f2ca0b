/* Payload templates: JSON in which a member "name.$" holds a path or an intrinsic function and
 * becomes the member "name" with what that gives. Everything else stands for itself; a part without
 * such a member is one constant that results share with the definition. */
#include "base/prelude.h"

#include "engine/core/expr_internal.h"

enum tmpl_type { TMPL_CONSTANT, TMPL_EXPR, TMPL_ARRAY, TMPL_OBJECT };

struct tmpl_member;

struct tmpl {
    enum tmpl_type type;
    uint32_t len; /* ARRAY, OBJECT */
    union {
        const struct jv *constant;
        struct {
            const struct expr *e;
            struct str field; /* "name.$", as causes show it */
        } expr;
        const struct tmpl **items;
        struct tmpl_member *members;
    } u;
};

struct tmpl_member {
    struct str name; /* without ".$" */
    const struct tmpl *value;
};

struct parser {
    struct arena *arena;
    struct expr_problems *problems;
};

static const struct tmpl *parse(struct parser *p, const struct jv *v);

/* Reports and returns NULL, for "return problem(...)". */
static const struct tmpl *problem(struct parser *p, const struct jv *at, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

static const struct tmpl *problem(struct parser *p, const struct jv *at, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    p->problems->report(p->problems->arg, at, message);
    return NULL;
}

static const struct tmpl *no_memory(struct parser *p, const struct jv *at)
{
    return problem(p, at, "the template needs too much memory");
}

static bool is_dynamic(struct str name)
{
    return str_ends(name, STR(".$"));
}

static const struct tmpl *parse_constant(struct parser *p, const struct jv *v)
{
    struct tmpl *t = ARENA_NEW(p->arena, struct tmpl);
    if (t == NULL) {
        return no_memory(p, v);
    }
    t->type = TMPL_CONSTANT;
    t->u.constant = v;
    return t;
}

/* The value of a member "name.$". The words of the first half are the real service's. */
static const struct tmpl *parse_expr(struct parser *p, struct str field, const struct jv *v)
{
    int width = (int)MIN(field.size, 100u);
    if (!jv_is(v, JV_STRING)) {
        return problem(
            p, v,
            "The value for the field '%.*s' must be a valid JSONPath or a valid intrinsic "
            "function call; it is of type %s (write a string, or the name without .$)",
            width, field.p, jtype_name((enum jtype)v->type));
    }
    struct tmpl *t = ARENA_NEW(p->arena, struct tmpl);
    struct err_detail detail = {.code = ERR_OK};
    if (t == NULL) {
        return no_memory(p, v);
    }
    t->type = TMPL_EXPR;
    t->u.expr.field = str_dup(p->arena, field);
    if (expr_parse(p->arena, jv_str(v), &t->u.expr.e, &detail) != ERR_OK) {
        return problem(
            p, v,
            "The value for the field '%.*s' must be a valid JSONPath or a valid intrinsic "
            "function call: %s",
            width, field.p, detail.text);
    }
    return t->u.expr.field.p != NULL ? t : no_memory(p, v);
}

/* "name.$" next to "name" would give two members of one name. */
static bool collides(const struct jv *v, struct str stripped)
{
    return !is_dynamic(stripped) && jv_get(v, stripped) != NULL;
}

static const struct tmpl *parse_member(struct parser *p, const struct jv *v,
                                       const struct jmember *m, struct str *name)
{
    *name = m->name;
    if (!is_dynamic(m->name)) {
        return parse(p, m->value);
    }
    *name = str_sub(m->name, 0, m->name.size - 2);
    if (collides(v, *name)) {
        return problem(p, m->value, "'%.*s' and '%.*s' both set the same member; keep one of them",
                       (int)MIN(m->name.size, 100u), m->name.p, (int)MIN(name->size, 100u),
                       name->p);
    }
    return parse_expr(p, m->name, m->value);
}

static const struct tmpl *parse_object(struct parser *p, const struct jv *v)
{
    struct tmpl *t = ARENA_NEW(p->arena, struct tmpl);
    struct tmpl_member *members = ARENA_ARRAY(p->arena, struct tmpl_member, v->len);
    if (t == NULL || members == NULL) {
        return no_memory(p, v);
    }
    bool good = true;
    bool constant = true;
    for (uint32_t i = 0; i < v->len; i++) {
        const struct jmember *m = &v->u.members[i];
        members[i].value = parse_member(p, v, m, &members[i].name);
        good = good && members[i].value != NULL;
        constant = good && constant && tmpl_is_constant(members[i].value);
    }
    if (!good) {
        return NULL;
    }
    t->type = TMPL_OBJECT;
    t->len = v->len;
    t->u.members = members;
    return constant ? parse_constant(p, v) : t;
}

static const struct tmpl *parse_array(struct parser *p, const struct jv *v)
{
    struct tmpl *t = ARENA_NEW(p->arena, struct tmpl);
    const struct tmpl **items = ARENA_ARRAY(p->arena, const struct tmpl *, v->len);
    if (t == NULL || items == NULL) {
        return no_memory(p, v);
    }
    bool good = true;
    bool constant = true;
    for (uint32_t i = 0; i < v->len; i++) {
        items[i] = parse(p, v->u.items[i]);
        good = good && items[i] != NULL;
        constant = good && constant && tmpl_is_constant(items[i]);
    }
    if (!good) {
        return NULL;
    }
    t->type = TMPL_ARRAY;
    t->len = v->len;
    t->u.items = items;
    return constant ? parse_constant(p, v) : t;
}

/* Recursion is as deep as the definition's text, whose parser has a limit. */
static const struct tmpl *parse(struct parser *p, const struct jv *v)
{
    if (jv_is(v, JV_OBJECT) && v->len > 0) {
        return parse_object(p, v);
    }
    if (jv_is(v, JV_ARRAY) && v->len > 0) {
        return parse_array(p, v);
    }
    return parse_constant(p, v);
}

const struct tmpl *tmpl_parse(struct arena *a, const struct jv *v, struct expr_problems *problems)
{
    struct parser p = {a, problems};
    return parse(&p, v);
}

bool tmpl_is_constant(const struct tmpl *t)
{
    return t->type == TMPL_CONSTANT;
}

/* ---- evaluation ---- */

static bool eval_object(const struct tmpl *t, const struct eval_env *env, const struct jv **out,
                        struct asl_error *err)
{
    struct jv_list b;
    jv_obj_begin(&b, env->arena);
    for (uint32_t i = 0; i < t->len; i++) {
        const struct jv *v = NULL;
        if (!tmpl_eval(t->u.members[i].value, env, &v, err)) {
            return false;
        }
        jv_obj_add(&b, t->u.members[i].name, v);
    }
    *out = jv_obj_end(&b);
    return *out != NULL || asl_fail_memory(err);
}

static bool eval_array(const struct tmpl *t, const struct eval_env *env, const struct jv **out,
                       struct asl_error *err)
{
    struct jv_list b;
    jv_arr_begin(&b, env->arena);
    for (uint32_t i = 0; i < t->len; i++) {
        const struct jv *v = NULL;
        if (!tmpl_eval(t->u.items[i], env, &v, err)) {
            return false;
        }
        jv_arr_add(&b, v);
    }
    *out = jv_arr_end(&b);
    return *out != NULL || asl_fail_memory(err);
}

bool tmpl_eval(const struct tmpl *t, const struct eval_env *env, const struct jv **out,
               struct asl_error *err)
{
    if (!expr_spend(env, 1, err)) {
        return false;
    }
    switch (t->type) {
    case TMPL_CONSTANT:
        *out = t->u.constant;
        return true;
    case TMPL_EXPR:
        return expr_eval_field(t->u.expr.e, t->u.expr.field, env, out, err);
    case TMPL_ARRAY:
        return eval_array(t, env, out, err);
    case TMPL_OBJECT:
        return eval_object(t, env, out, err);
    }
    return false;
}
