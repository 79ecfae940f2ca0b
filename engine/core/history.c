/* Events as people see them: names and members of the Step Functions API's GetExecutionHistory. Called
 * by the fold for each event that has a name, and only when somebody listens. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/clock.h"
#include "engine/core/exec.h"

/* One event being described. */
struct note {
    struct exec *x;
    struct frame *f;
    const struct event *e;
    struct arena *a;
    struct jv_list members;
    struct pay *out, *assign;
};

static void member(struct note *n, const char *name, const struct jv *v)
{
    jv_obj_add(&n->members, str_of(name), v);
}

static void member_str(struct note *n, const char *name, struct str s)
{
    if (s.p != NULL) {
        member(n, name, jv_string(n->a, s));
    }
}

static void member_num(struct note *n, const char *name, int64_t v)
{
    member(n, name, jv_int(n->a, v));
}

/* Payloads travel as JSON text in a string, as on the recorded service. */
static void member_pay(struct note *n, const char *name, const struct pay *p)
{
    if (p != NULL) {
        member_str(n, name, pay_text(p));
    }
}

static void scope_write(struct buf *out, const struct frame *f)
{
    if (f->parent == NULL) {
        return;
    }
    scope_write(out, f->parent);
    if (out->size > 0) {
        buf_putc(out, '/');
    }
    buf_put_str(out, f->parent->state->name);
    buf_printf(out, "[%u]", f->index);
}

struct str frame_scope(const struct frame *f, struct arena *a)
{
    struct buf b;
    buf_init(&b, 0);
    scope_write(&b, f);
    struct str s = str_dup(a, buf_str(&b));
    buf_fini(&b);
    return s;
}

/* ---- names: "*" stands for the type of state or the kind of task ---- */

static const char *task_family(const struct note *n)
{
    static const char *const names[] = {
        [RES_TASK] = "Task", [RES_LAMBDA] = "LambdaFunction", [RES_ACTIVITY] = "Activity"};
    return names[n->f->state->resource.kind];
}

static bool of_task(enum event_type t)
{
    return t >= EV_TASK_SCHEDULED && t <= EV_TASK_TIMED_OUT;
}

static const char *type_text(struct note *n)
{
    const char *name = event_name(n->e->type);
    ASSERT(name != NULL);
    if (name[0] != '*') {
        return name;
    }
    const char *family = of_task(n->e->type) ? task_family(n) : state_type_names[n->f->state->type];
    return arena_printf(n->a, "%s%s", family, name + 1);
}

/* ---- members ---- */

static void assigned(struct note *n)
{
    const struct jv *v = NULL;
    struct jv_list list;
    if (n->assign == NULL ||
        json_parse(n->a, pay_text(n->assign), JSON_LIMITS_PAYLOAD, false, &v, NULL) != ERR_OK) {
        return;
    }
    jv_obj_begin(&list, n->a);
    for (uint32_t i = 0; i < v->len; i++) {
        struct buf b;
        buf_init(&b, 0);
        json_write(&b, v->u.members[i].value);
        jv_obj_add(&list, v->u.members[i].name, jv_string(n->a, str_dup(n->a, buf_str(&b))));
        buf_fini(&b);
    }
    member(n, "assignedVariables", jv_obj_end(&list));
}

static void errors(struct note *n)
{
    member_str(n, "error", n->e->error);
    member_str(n, "cause", n->e->cause);
}

static void resource(struct note *n)
{
    const struct resource *r = &n->f->state->resource;
    if (r->kind == RES_TASK) {
        member_str(n, "resourceType", r->service);
        member_str(n, "resource", r->action);
    }
}

static void scheduled(struct note *n)
{
    const struct resource *r = &n->f->state->resource;
    if (r->kind == RES_TASK) {
        resource(n);
        member_pay(n, "parameters", n->out);
    } else {
        member_str(n, "resource", r->text);
        member_pay(n, "input", n->out);
    }
    if (n->e->timeout_s > 0) {
        member_num(n, "timeoutInSeconds", n->e->timeout_s);
    }
    if (n->e->heartbeat_s > 0) {
        member_num(n, "heartbeatInSeconds", n->e->heartbeat_s);
    }
}

static void iteration(struct note *n)
{
    const struct frame *f = n->f;
    const struct state *owner = f->parent != NULL ? f->parent->state : f->state;
    member_str(n, "name", owner->name);
    member_num(n, "index", n->e->type == EV_ITERATION_STARTED ? (int64_t)n->e->index : f->index);
}

static void list_length(struct note *n)
{
    if (n->f->kids != NULL) {
        member_num(n, "length", n->f->kids->n);
    }
}

static void details(struct note *n)
{
    switch (n->e->type) {
    case EV_EXECUTION_STARTED:
        member_pay(n, "input", n->out);
        break;
    case EV_STATE_ENTERED:
        member_str(n, "name", n->f->state->name);
        member_pay(n, "input", n->out);
        break;
    case EV_STATE_EXITED:
        member_str(n, "name", n->f->state->name);
        member_pay(n, "output", n->out);
        assigned(n);
        break;
    case EV_TASK_SCHEDULED:
        scheduled(n);
        break;
    case EV_TASK_STARTED:
        resource(n);
        break;
    case EV_TASK_SUBMITTED:
    case EV_TASK_SUCCEEDED:
        resource(n);
        member_pay(n, "output", n->out);
        break;
    case EV_TASK_FAILED:
    case EV_TASK_TIMED_OUT:
        resource(n);
        errors(n);
        break;
    case EV_MAP_STARTED:
        list_length(n);
        break;
    case EV_ITERATION_STARTED:
    case EV_ITERATION_SUCCEEDED:
    case EV_ITERATION_FAILED:
        iteration(n);
        break;
    case EV_EXECUTION_SUCCEEDED:
        member_pay(n, "output", n->x->output);
        break;
    case EV_EXECUTION_FAILED:
        if (n->x->error != NULL) {
            member_str(n, "error", pay_text(n->x->error));
        }
        if (n->x->cause != NULL) {
            member_str(n, "cause", pay_text(n->x->cause));
        }
        break;
    case EV_EXECUTION_TIMED_OUT:
    case EV_EXECUTION_ABORTED:
        errors(n);
        break;
    case EV_STATE_ABORTED:
    case EV_PARALLEL_STARTED:
    case EV_PARALLEL_SUCCEEDED:
    case EV_PARALLEL_FAILED:
    case EV_MAP_SUCCEEDED:
    case EV_MAP_FAILED:
    case EV_WAIT_SET:
    case EV_TIMER_FIRED:
    case EV_RETRY_SET:
    case EV_ERROR_RAISED:
    case EV_BRANCH_STARTED:
    case EV_BRANCH_SUCCEEDED:
    case EV_BRANCH_FAILED:
    case EV_DEADLINE_SET:
    case EV_PARENT_SET:
    case EV_CHILD_STARTED:
        break;
    }
}

void history_note(struct exec *x, struct frame *f, const struct event *e, struct scratch *s,
                  uint32_t id, uint32_t previous, struct pay *out, struct pay *assign)
{
    struct note n = {.x = x, .f = f, .e = e, .a = &s->arena, .out = out, .assign = assign};
    PRE(x->sink != NULL);
    jv_obj_begin(&n.members, n.a);
    details(&n);
    x->sink->event(x->sink,
                   &(struct history_event){.id = id,
                                           .previous_id = previous,
                                           .at = x->sink_at,
                                           .type = type_text(&n),
                                           .details = jv_obj_end(&n.members),
                                           .scope = f == NULL ? STR_NONE : frame_scope(f, n.a)});
}

/* ---- as text ---- */

/* The API names the details by the family of the type: all states are entered alike. */
static void details_name(struct buf *out, const char *type)
{
    struct str t = str_of(type);
    if (str_ends(t, STR("StateEntered"))) {
        t = STR("stateEntered");
    } else if (str_ends(t, STR("StateExited"))) {
        t = STR("stateExited");
    }
    buf_printf(out, ",\"%c%.*sEventDetails\":", t.p[0] | 0x20, (int)t.size - 1, t.p + 1);
}

void history_write(struct buf *out, const struct history_event *e)
{
    char at[WALL_TEXT_SIZE];
    wall_format(e->at, 3, at);
    buf_printf(out,
               "{\"timestamp\":\"%s\",\"type\":\"%s\",\"id\":%" PRIu32
               ",\"previousEventId\":%" PRIu32,
               at, e->type, e->id, e->previous_id);
    if (e->scope.size > 0) {
        buf_puts(out, ",\"scope\":");
        json_write_string(out, e->scope);
    }
    if (e->details != NULL && e->details->len > 0) {
        details_name(out, e->type);
        json_write(out, e->details);
    }
    buf_putc(out, '}');
}
