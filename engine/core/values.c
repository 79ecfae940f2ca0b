/* The data flow of a state: paths, templates, the context object, variables; limits; raising errors. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/limits.h"
#include "engine/core/child.h"
#include "engine/core/decide.h"

enum { STEP_FUEL = 20000000, GET_WORTH = 48 };

/* ---- values ---- */

static struct op *op_new(struct turn *t, enum op_kind kind)
{
    ASSERT(t->ops_len < STEP_OPS);
    t->ops[t->ops_len] = (struct op){.kind = (uint8_t)kind};
    return &t->ops[t->ops_len++];
}

static struct pay *hold(struct turn *t, struct pay *p)
{
    ASSERT(t->pays_len < STEP_PAYS);
    t->pays[t->pays_len++] = p;
    return p;
}

static struct val val_of(struct turn *t, enum op_kind kind, struct pay *p)
{
    struct op *op = op_new(t, kind);

    op->ready = p;
    return (struct val){op, p};
}

struct val val_in(struct turn *t, struct frame *f)
{
    return val_of(t, OP_IN, f->in);
}

struct val val_res(struct turn *t, struct frame *f)
{
    return val_of(t, OP_RES, f->res);
}

static struct val val_lit(struct turn *t, struct pay *p)
{
    struct val v = val_of(t, OP_LIT, hold(t, p));

    ((struct op *)(uintptr_t)v.op)->text = pay_text(p);
    return v;
}

struct val val_text(struct turn *t, struct str json)
{
    return val_lit(t, pay_make(t->x, json));
}

struct val val_tree(struct turn *t, const struct jv *v)
{
    return val_lit(t, pay_of_tree(t->x, &t->s, v));
}

struct val val_error(struct turn *t, struct frame *f)
{
    struct op *op = op_new(t, OP_ERROR);
    struct asl_error err;

    op->ready = hold(t, op_eval(t->x, f, op, &t->s, &err));
    ASSERT(op->ready != NULL);
    return (struct val){op, op->ready};
}

/* ---- errors ---- */

void raise(struct turn *t, struct frame *f, struct str name, struct str cause)
{
    struct event e = {.type = EV_ERROR_RAISED, .frame = f->slot};

    e.error = str_sub(name, 0, ERROR_NAME_SIZE_MAX);
    e.cause = str_sub(cause, 0, CAUSE_SIZE_MAX);
    while (e.cause.size < cause.size && e.cause.size > 0 &&
           ((unsigned char)cause.p[e.cause.size] & 0xC0) == 0x80) {
        e.cause.size--; /* never cut a character */
    }
    emit(t, &e);
}

bool raise_at(struct turn *t, struct frame *f, struct str name, const char *fmt, ...)
{
    va_list ap;
    char *text, *all;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    text = arena_alloc(&t->s.arena, (size_t)n + 1);
    va_start(ap, fmt);
    (void)vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    all =
        arena_printf(&t->s.arena,
                     "An error occurred while executing the state '%.*s' (entered at the event id "
                     "#%" PRIu32 "). %s",
                     STR_ARG(f->state->name), f->entered_event, text);
    raise(t, f, name, str_of(all));
    return false;
}

bool raise_asl(struct turn *t, struct frame *f, const struct asl_error *err)
{
    return raise_at(t, f, err->name, "%.*s", STR_ARG(err->cause));
}

bool raise_limit(struct turn *t, struct frame *f, struct str what)
{
    char *text = arena_printf(&t->s.arena,
                              "The state/task '%.*s' returned a result with a size exceeding the "
                              "maximum number of bytes service limit.",
                              STR_ARG(what));

    raise(t, f, STR("States.DataLimitExceeded"), str_of(text));
    return false;
}

/* One payload, and the execution as a whole, have limits; the state that would pass them fails. */
bool fits(struct turn *t, struct frame *f, struct val v)
{
    size_t state = t->x->pay_bytes;

    PRE(v.pay != NULL);
    if (pay_holders(f->in) == 1 && v.pay != f->in) {
        state -= f->in->size; /* goes away when the state is left */
    }
    if (v.pay->size > PAYLOAD_SIZE_MAX || state > STATE_SIZE_MAX) {
        return raise_limit(t, f, f->state->name);
    }
    if (v.op->kind != OP_IN && v.op->kind != OP_RES && json_too_deep(pay_text(v.pay))) {
        return raise_at(t, f, STR("States.Runtime"),
                        "The data is nested deeper than %" PRIu32 " levels.",
                        JSON_LIMITS_PAYLOAD.depth);
    }
    return true;
}

/* ---- what expressions see ---- */

static const struct jv *text_jv(struct turn *t, struct str s)
{
    return jv_string(&t->s.arena, s);
}

static const struct jv *time_jv(struct turn *t, struct wall w)
{
    char text[WALL_TEXT_SIZE];

    wall_format(w, 3, text);
    return text_jv(t, str_of(text));
}

static const struct jv *arn_jv(struct turn *t,
                               void (*write)(struct buf *, const struct exec_ident *))
{
    buf_clear(&t->s.buf);
    write(&t->s.buf, &t->x->ident);
    return text_jv(t, buf_str(&t->s.buf));
}

static const struct jv *context_execution(struct turn *t, const struct state *s)
{
    const struct exec_ident *id = &t->x->ident;
    struct arena *a = &t->s.arena;
    struct jv_list b;
    const struct jv *input = s->uses_input ? pay_tree(&t->s, t->x->input) : NULL;

    jv_obj_begin(&b, a);
    jv_obj_add(&b, STR("Id"), arn_jv(t, execution_arn_write));
    jv_obj_add(&b, STR("Input"), input == NULL ? jv_null() : input);
    jv_obj_add(&b, STR("StartTime"), time_jv(t, id->started_at));
    jv_obj_add(&b, STR("Name"), text_jv(t, id->name));
    jv_obj_add(&b, STR("RoleArn"),
               text_jv(t, str_of(arena_printf(a, "arn:aws:iam::%.*s:role/carillon",
                                              STR_ARG(id->tenant)))));
    jv_obj_add(&b, STR("RedriveCount"), jv_int(a, 0));
    return jv_obj_end(&b);
}

static const struct jv *context_machine(struct turn *t)
{
    const struct exec_ident *id = &t->x->ident;
    struct jv_list b;

    jv_obj_begin(&b, &t->s.arena);
    jv_obj_add(&b, STR("Id"), arn_jv(t, machine_arn_write));
    jv_obj_add(&b, STR("Name"), text_jv(t, id->workflow));
    return jv_obj_end(&b);
}

static const struct jv *context_state(struct turn *t, const struct frame *f)
{
    struct jv_list b;
    enum state_type type = f->state->type;

    jv_obj_begin(&b, &t->s.arena);
    jv_obj_add(&b, STR("Name"), text_jv(t, f->state->name));
    jv_obj_add(&b, STR("EnteredTime"), time_jv(t, f->entered_at));
    if (type == ST_TASK || type == ST_PARALLEL || type == ST_MAP) {
        jv_obj_add(&b, STR("RetryCount"), jv_int(&t->s.arena, f->retries));
    }
    return jv_obj_end(&b);
}

/* The nearest Map around the frame; in the Map state itself the iteration about to start. */
static const struct jv *context_map(struct turn *t, const struct frame *f)
{
    struct arena *a = &t->s.arena;
    const struct kids *k = f->kids;
    uint32_t index = k == NULL ? 0 : k->started;
    struct jv_list b;
    const struct jv *value, *item;

    while (k == NULL || k->items == NULL) {
        if (f->parent == NULL) {
            return NULL;
        }
        index = f->index;
        f = f->parent;
        k = f->kids;
    }
    if (index >= k->n ||
        json_parse(a, kids_item(k, index), JSON_LIMITS_PAYLOAD, true, &value, NULL) != ERR_OK) {
        return NULL;
    }
    jv_obj_begin(&b, a);
    jv_obj_add(&b, STR("Index"), jv_int(a, index));
    jv_obj_add(&b, STR("Value"), value);
    item = jv_obj_end(&b);
    return jv_obj_put(a, NULL, STR("Item"), item);
}

static const struct jv *context_object(struct turn *t, const struct frame *f,
                                       const struct jv *token)
{
    struct arena *a = &t->s.arena;
    const struct jv *map = context_map(t, f);
    struct jv_list b;

    jv_obj_begin(&b, a);
    jv_obj_add(&b, STR("Execution"), context_execution(t, f->state));
    jv_obj_add(&b, STR("StateMachine"), context_machine(t));
    jv_obj_add(&b, STR("State"), context_state(t, f));
    if (map != NULL) {
        jv_obj_add(&b, STR("Map"), map);
    }
    if (token != NULL) {
        jv_obj_add(&b, STR("Task"), jv_obj_put(a, NULL, STR("Token"), token));
    }
    return jv_obj_end(&b);
}

/* Inner scopes see the variables of outer ones. */
static const struct jv *variables(struct turn *t, struct frame *f)
{
    const struct jv *outer = f->parent == NULL ? NULL : variables(t, f->parent);
    const struct jv *own = f->vars == NULL ? NULL : pay_tree(&t->s, f->vars);

    if (outer == NULL || own == NULL) {
        return outer == NULL ? own : outer;
    }
    for (uint32_t i = 0; i < own->len; i++) {
        outer = jv_obj_put(&t->s.arena, outer, own->u.members[i].name, own->u.members[i].value);
    }
    return outer;
}

bool eval_env_make(struct turn *t, struct frame *f, struct pay *data, const struct jv *token,
                   struct eval_env *env)
{
    t->fuel = STEP_FUEL;
    *env = (struct eval_env){.rng = t->rng, .arena = &t->s.arena, .fuel = &t->fuel};
    env->data = pay_tree(&t->s, data);
    if (env->data == NULL) {
        return raise_at(t, f, STR("States.Runtime"), "The data holds a duplicate name.");
    }
    if (f->state->uses_context) {
        env->context = context_object(t, f, token);
    }
    if (f->state->uses_vars) {
        env->vars = variables(t, f);
    }
    return true;
}

/* ---- paths and templates ---- */

static bool is_root(const struct path *p)
{
    return str_eqc(path_text(p), "$");
}

/* What "path" finds in "base". Written down as a reference where that is shorter. */
static bool eval_path(struct turn *t, struct frame *f, const struct path *path, uint32_t field,
                      struct val base, struct val *out)
{
    struct eval_env env;
    struct asl_error err;
    const struct jv *v;
    struct op *op;

    if (is_root(path)) {
        *out = base;
        return true;
    }
    if (!eval_env_make(t, f, base.pay, NULL, &env)) {
        return false;
    }
    if (!path_eval(path, &env, &v, &err)) {
        return raise_asl(t, f, &err);
    }
    *out = val_tree(t, v);
    if (out->pay->size > GET_WORTH && base.op->kind != OP_LIT && path_is_reference(path) &&
        !path_is_context(path) && path_variable(path).p == NULL) {
        op = op_new(t, OP_GET);
        op->field = field;
        op->base = base.op;
        op->ready = out->pay;
        out->op = op;
    }
    return true;
}

bool eval_tmpl(struct turn *t, struct frame *f, const struct tmpl *tmpl, struct pay *data,
               const struct jv *token, struct val *out)
{
    struct eval_env env;
    struct asl_error err;
    const struct jv *v;

    if (!eval_env_make(t, f, data, token, &env)) {
        return false;
    }
    if (!tmpl_eval(tmpl, &env, &v, &err)) {
        return raise_asl(t, f, &err);
    }
    *out = val_tree(t, v);
    return true;
}

bool effective_input(struct turn *t, struct frame *f, const struct tmpl *parameters,
                     const struct jv *token, struct val *out)
{
    const struct state *s = f->state;

    *out = val_in(t, f);
    if (s->input_path.null) {
        *out = val_text(t, STR("{}"));
    } else if (s->input_path.path != NULL &&
               !eval_path(t, f, s->input_path.path, FIELD_INPUT_PATH, *out, out)) {
        return false;
    }
    if (parameters != NULL && !eval_tmpl(t, f, parameters, out->pay, token, out)) {
        return false;
    }
    return true;
}

bool select_result(struct turn *t, struct frame *f, struct val in, struct val *out)
{
    *out = in;
    return f->state->result_selector == NULL ||
           eval_tmpl(t, f, f->state->result_selector, in.pay, NULL, out);
}

/* The result put into the raw input at "where". */
static bool apply_result_path(struct turn *t, struct frame *f, struct val result,
                              struct path_field where, uint32_t field, struct val *out)
{
    struct asl_error err = {STR_NONE, STR_NONE};
    struct op *op;

    *out = result;
    if (where.null) {
        *out = val_in(t, f);
        return true;
    }
    if (where.path == NULL || is_root(where.path)) {
        return true;
    }
    op = op_new(t, OP_PUT);
    op->field = field;
    op->base = val_in(t, f).op;
    op->value = result.op;
    out->op = op;
    out->pay = op_eval(t->x, f, op, &t->s, &err);
    if (out->pay == NULL) {
        return raise_at(t, f, STR("States.ResultPathMatchFailure"), "%.*s", STR_ARG(err.cause));
    }
    op->ready = hold(t, out->pay);
    return true;
}

bool apply_output_path(struct turn *t, struct frame *f, struct val in, struct val *out)
{
    *out = in;
    if (f->state->output_path.null) {
        *out = val_text(t, STR("{}"));
        return true;
    }
    return f->state->output_path.path == NULL ||
           eval_path(t, f, f->state->output_path.path, FIELD_OUTPUT_PATH, in, out);
}

bool leave_state(struct turn *t, struct frame *f, struct val result, struct path_field where,
                 uint32_t where_field, const struct tmpl *assign, const struct state *next)
{
    struct event e = {.type = EV_STATE_EXITED, .frame = f->slot};
    struct val out = {0}, vars = {0};

    if (assign != NULL) {
        if (!eval_tmpl(t, f, assign, result.pay, NULL, &vars) || !fits(t, f, vars)) {
            return false;
        }
        e.assign = vars.op;
    }
    if (!apply_result_path(t, f, result, where, where_field, &out)) {
        return false;
    }
    /* A caught error leaves past OutputPath. */
    if (where_field < FIELD_CATCH && !apply_output_path(t, f, out, &out)) {
        return false;
    }
    if (!fits(t, f, out)) {
        return false;
    }
    e.out = out.op;
    e.next = next == NULL ? 0 : next->index + 1;
    emit(t, &e);
    return true;
}

bool eval_number(struct turn *t, struct frame *f, const struct num_field *n, const char *field,
                 struct pay *data, int64_t *out)
{
    struct eval_env env;
    struct asl_error err;
    const struct jv *v;
    struct str text = n->path == NULL ? STR_NONE : path_text(n->path);

    *out = n->value;
    if (n->path == NULL) {
        return true;
    }
    if (!eval_env_make(t, f, data, NULL, &env)) {
        return false;
    }
    if (!path_eval(n->path, &env, &v, &err)) {
        return raise_at(t, f, STR("States.Runtime"),
                        "The %sPath parameter does not reference an input value: %.*s", field,
                        STR_ARG(text));
    }
    /* A string of digits will do, as on the real service; not so for Wait's Seconds. */
    if (!jv_to_i64(v, out) &&
        (strcmp(field, "Seconds") == 0 || str_to_i64(jv_str(v), out) != ERR_OK)) {
        struct str got = val_tree(t, v).pay == NULL ? STR_NONE : pay_text(t->pays[t->pays_len - 1]);
        if (strcmp(field, "Seconds") == 0) {
            return raise_at(t, f, STR("States.Runtime"),
                            "The SecondsPath parameter cannot be parsed as a long value: %.*s == "
                            "%.*s",
                            STR_ARG(text), STR_ARG(got));
        }
        return raise_at(t, f, STR("States.Runtime"),
                        "The %sPath field refers to value \"%.*s\" which is not a valid integer: "
                        "%.*s",
                        field, STR_ARG(got), STR_ARG(text));
    }
    if (*out < 0) {
        return raise_at(t, f, STR("States.Runtime"),
                        strcmp(field, "Seconds") == 0
                            ? "The %sPath parameter references a negative value: %.*s == %" PRId64
                            : "%s cannot be negative: %.*s == %" PRId64,
                        field, STR_ARG(text), *out);
    }
    return true;
}
