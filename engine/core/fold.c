/* The fold: the only way the state of an execution changes. Interprets events and payload operations, never
 * templates, choices or a clock; refuses what does not fit, for rows come from outside the process. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/core/exec.h"

struct fold {
    struct exec *x;
    struct frame *f;
    const struct event *e;
    struct scratch *s;
    uint32_t id, previous; /* of the event as people see it */
};

static void note(struct fold *c, struct frame *f, struct pay *out, struct pay *assign)
{
    struct exec *x = c->x;

    c->id = ++x->events;
    c->previous = f == NULL ? c->id - 1 : f->last_event;
    if (f != NULL) {
        f->last_event = c->id;
    }
    if (x->sink != NULL) {
        history_note(x, f, c->e, c->s, c->id, c->previous, out, assign);
    }
}

/* Evaluates a payload operation of the event; false when it does not work (malformed row). */
static bool payload(struct fold *c, const struct op *op, struct pay **out)
{
    struct asl_error err = {STR_NONE, STR_NONE};

    *out = op_eval(c->x, c->f, op, c->s, &err);
    return *out != NULL;
}

static void set_error(struct fold *c, struct frame *f)
{
    pay_take(c->x, &f->error, c->e->error.p == NULL ? NULL : pay_make(c->x, c->e->error));
    pay_take(c->x, &f->cause, c->e->cause.p == NULL ? NULL : pay_make(c->x, c->e->cause));
}

static bool due_at(const struct fold *c, int64_t after_us, struct wall *out)
{
    return !__builtin_add_overflow(c->x->fold_now.us, after_us, &out->us) && out->us > 0;
}

static bool execution_started(struct fold *c)
{
    struct exec *x = c->x;
    struct frame *f;
    struct pay *in;

    if (x->events != 0 || x->frames_len != 0 || x->status != EXEC_RUNNING || c->e->out == NULL ||
        c->e->out->kind != OP_LIT) {
        return false;
    }
    in = c->e->out->ready != NULL ? pay_ref(c->e->out->ready) : op_literal(x, c->e->out->text);
    if (in == NULL) {
        return false;
    }
    f = frame_make(x, 0);
    f->machine = def_top(x->def);
    f->state = f->machine->start;
    f->in = in;
    x->input = pay_ref(in);
    note(c, f, in, NULL);
    frame_set_phase(x, f, PH_ENTER);
    return true;
}

static bool parent_set(struct fold *c)
{
    struct exec *x = c->x;

    if (x->fold_seq != 1 || !exec_id_is_null(&x->parent.ref.exec) ||
        exec_id_is_null(&c->e->token.ref.exec) || exec_root(x) == NULL || c->e->index > 1) {
        return false;
    }
    x->parent = c->e->token;
    x->parent_waits = c->e->index == 1;
    return true;
}

static bool state_entered(struct fold *c)
{
    struct frame *f = c->f;

    if (f->phase != PH_ENTER) {
        return false;
    }
    note(c, f, f->in, NULL);
    f->entered_event = c->id;
    f->entered_at = c->x->fold_now;
    frame_set_phase(c->x, f, PH_RUN);
    return true;
}

/* Everything that belongs to one stay in a state. */
static void state_clear(struct exec *x, struct frame *f)
{
    pay_drop(x, &f->eff);
    pay_drop(x, &f->res);
    pay_drop(x, &f->error);
    pay_drop(x, &f->cause);
    mem_free(f->retry_counts);
    f->retry_counts = NULL;
    f->retries = 0;
}

static bool assign_vars(struct fold *c, struct pay *assign)
{
    struct frame *f = c->f;
    const struct jv *v = pay_tree(c->s, assign);
    const struct jv *vars = f->vars == NULL ? NULL : pay_tree(c->s, f->vars);

    if (!jv_is(v, JV_OBJECT) || (f->vars != NULL && vars == NULL)) {
        return false;
    }
    if (f->vars == NULL) {
        f->vars = pay_ref(assign);
        return true;
    }
    for (uint32_t i = 0; i < v->len; i++) {
        vars = jv_obj_put(&c->s->arena, vars, v->u.members[i].name, v->u.members[i].value);
    }
    pay_take(c->x, &f->vars, pay_of_tree(c->x, c->s, vars));
    return true;
}

static bool state_exited(struct fold *c)
{
    struct frame *f = c->f;
    const struct state *next = c->e->next == 0 ? NULL : def_state(c->x->def, c->e->next - 1);
    struct pay *out = NULL, *assign = NULL;
    bool ok;

    if ((f->phase != PH_RUN && f->phase != PH_RESULT && f->phase != PH_FAILED) || f->kids != NULL ||
        (c->e->next != 0 && (next == NULL || next->machine != f->machine)) ||
        !payload(c, c->e->out, &out)) {
        return false;
    }
    ok = c->e->assign == NULL || (payload(c, c->e->assign, &assign) && assign_vars(c, assign));
    if (ok) {
        note(c, f, out, assign);
        state_clear(c->x, f);
        pay_take(c->x, &f->in, pay_ref(out));
        if (next != NULL) {
            f->state = next;
        }
        frame_set_phase(c->x, f, next == NULL ? PH_DONE : PH_ENTER);
    }
    pay_unref(c->x, out);
    pay_unref(c->x, assign);
    return ok;
}

static bool task_scheduled(struct fold *c)
{
    struct frame *f = c->f;
    const struct event *e = c->e;
    struct wall timeout = {0};
    struct pay *eff = NULL;

    if (f->phase != PH_RUN || f->state->type != ST_TASK ||
        (e->timeout_s > 0 && !due_at(c, e->timeout_s * US_PER_S, &timeout)) ||
        !payload(c, e->out, &eff)) {
        return false;
    }
    pay_take(c->x, &f->eff, eff);
    if (!frame_wait_open(c->x, f, WAIT_TASK, e->idx, timeout)) {
        return false;
    }
    f->nonce = e->nonce;
    f->heartbeat_us = e->heartbeat_s * US_PER_S;
    pay_take(c->x, &f->queue, e->queue.p == NULL ? NULL : pay_make(c->x, e->queue));
    note(c, f, eff, NULL);
    return true;
}

static bool task_started(struct fold *c)
{
    if (c->f->wait != WAIT_TASK) {
        return false;
    }
    note(c, c->f, NULL, NULL);
    return true;
}

static bool task_submitted(struct fold *c)
{
    struct pay *out = NULL;

    if (c->f->wait != WAIT_TASK || c->f->submitted || !payload(c, c->e->out, &out)) {
        return false;
    }
    frame_submit(c->x, c->f);
    note(c, c->f, out, NULL);
    pay_unref(c->x, out);
    return true;
}

static bool child_started(struct fold *c)
{
    struct frame *f = c->f;

    if (f->wait != WAIT_TASK || !f->submitted || exec_id_is_null(&c->e->child)) {
        return false;
    }
    f->child = c->e->child;
    return true;
}

/* The attempt ends as its child did: nothing is left to be stopped. */
static void child_over(struct frame *f)
{
    memset(&f->child, 0, sizeof(f->child));
}

static bool task_succeeded(struct fold *c)
{
    struct frame *f = c->f;
    struct pay *out = NULL;

    if (f->wait != WAIT_TASK || !payload(c, c->e->out, &out)) {
        return false;
    }
    pay_take(c->x, &f->res, out);
    child_over(f);
    frame_wait_close(c->x, f);
    note(c, f, out, NULL);
    frame_set_phase(c->x, f, PH_RESULT);
    return true;
}

static bool task_failed(struct fold *c)
{
    struct frame *f = c->f;

    if (f->wait != WAIT_TASK) {
        return false;
    }
    set_error(c, f);
    if (c->e->type == EV_TASK_FAILED) {
        child_over(f);
    }
    frame_wait_close(c->x, f);
    note(c, f, NULL, NULL);
    frame_set_phase(c->x, f, PH_FAILED);
    return true;
}

static bool wait_set(struct fold *c)
{
    struct wall due;

    return c->f->phase == PH_RUN && c->f->state->type == ST_WAIT && due_at(c, c->e->due_us, &due) &&
           frame_wait_open(c->x, c->f, WAIT_TIMER, c->e->idx, due);
}

static bool timer_fired(struct fold *c)
{
    struct frame *f = c->f;

    if (f->wait != WAIT_TIMER) {
        return false;
    }
    if (c->x->effects != NULL && f->due.us > c->x->effects->due_max.us) {
        c->x->effects->due_max = f->due;
    }
    frame_wait_close(c->x, f);
    frame_set_phase(c->x, f, f->state->type == ST_WAIT ? PH_RESULT : PH_RUN);
    return true;
}

static bool retry_set(struct fold *c)
{
    struct frame *f = c->f;
    struct wall due;

    if (f->phase != PH_FAILED || c->e->retrier >= f->state->retriers_len ||
        !due_at(c, c->e->due_us, &due)) {
        return false;
    }
    if (f->retry_counts == NULL) {
        f->retry_counts = MEM_ARRAY(uint32_t, f->state->retriers_len);
    }
    f->retry_counts[c->e->retrier]++;
    f->retries++;
    pay_drop(c->x, &f->error);
    pay_drop(c->x, &f->cause);
    pay_drop(c->x, &f->eff);
    return frame_wait_open(c->x, f, WAIT_TIMER, c->e->idx, due);
}

/* An error of the state itself. One raised while an error was being treated is final. */
static bool error_raised(struct fold *c)
{
    struct frame *f = c->f;
    enum phase to = f->phase == PH_FAILED ? PH_DEAD : PH_FAILED;

    if (f->phase != PH_RUN && f->phase != PH_RESULT && f->phase != PH_FAILED &&
        f->phase != PH_KIDS) {
        return false;
    }
    frame_free_children(c->x, f);
    kids_free(c->x, f);
    set_error(c, f);
    frame_set_phase(c->x, f, to);
    return true;
}

static void kids_make(struct exec *x, struct frame *f, uint32_t n, uint32_t limit)
{
    f->kids = MEM_NEW(struct kids);
    f->kids->n = n;
    f->kids->limit = limit;
    f->kids->results = MEM_ARRAY(struct pay *, MAX(n, 1));
    x->heap_bytes += sizeof(*f->kids) + n * sizeof(void *);
}

static bool parallel_started(struct fold *c)
{
    struct frame *f = c->f;
    struct pay *eff = NULL;

    if (f->phase != PH_RUN || f->state->type != ST_PARALLEL || !payload(c, c->e->out, &eff)) {
        return false;
    }
    pay_take(c->x, &f->eff, eff);
    kids_make(c->x, f, f->state->branches_len, 0);
    note(c, f, NULL, NULL);
    frame_set_phase(c->x, f, PH_KIDS);
    return true;
}

static bool map_started(struct fold *c)
{
    struct frame *f = c->f;
    struct pay *items = NULL;
    uint32_t *offsets;
    uint32_t n = 0;

    if (f->phase != PH_RUN || f->state->type != ST_MAP || !payload(c, c->e->out, &items)) {
        return false;
    }
    offsets = array_offsets(pay_text(items), &n);
    if (offsets == NULL) {
        pay_unref(c->x, items);
        return false;
    }
    kids_make(c->x, f, n, c->e->limit);
    f->kids->items = items;
    f->kids->offsets = offsets;
    c->x->heap_bytes += (n + 1) * sizeof(uint32_t);
    note(c, f, NULL, NULL);
    frame_set_phase(c->x, f, PH_KIDS);
    return true;
}

static struct frame *child_make(struct fold *c, const struct machine *m, struct pay *in)
{
    struct frame *f = c->f, *child;

    if (f->phase != PH_KIDS || c->e->index >= f->kids->n || c->e->index != f->kids->started) {
        return NULL;
    }
    child = frame_make(c->x, c->e->slot);
    if (child == NULL) {
        return NULL;
    }
    child->parent = f;
    child->index = c->e->index;
    child->machine = m;
    child->state = m->start;
    child->in = pay_ref(in);
    child->last_event = f->last_event;
    list_push_back(&f->children, &child->sibling);
    f->kids->started++;
    frame_set_phase(c->x, child, PH_ENTER);
    frame_set_phase(c->x, f, PH_KIDS);
    return child;
}

static bool branch_started(struct fold *c)
{
    struct frame *f = c->f;

    return f->state->type == ST_PARALLEL && c->e->index < f->state->branches_len &&
           child_make(c, f->state->branches[c->e->index], f->eff) != NULL;
}

static bool iteration_started(struct fold *c)
{
    struct frame *f = c->f, *child;
    struct pay *in = NULL;

    if (f->state->type != ST_MAP || f->kids == NULL || c->e->index >= f->kids->n ||
        c->e->out == NULL) {
        return false;
    }
    if (c->e->out->kind == OP_ITEM) {
        in = pay_make(c->x, kids_item(f->kids, c->e->index));
    } else if (!payload(c, c->e->out, &in)) {
        return false;
    }
    child = child_make(c, f->state->branches[0], in);
    if (child != NULL) {
        note(c, child, NULL, NULL);
    }
    pay_unref(c->x, in);
    return child != NULL;
}

/* A branch or iteration is through: its data is the result. */
static bool child_succeeded(struct fold *c, enum state_type type, bool visible)
{
    struct frame *child = c->f, *f = child->parent;

    if (child->phase != PH_DONE || f == NULL || f->state->type != type || f->kids == NULL) {
        return false;
    }
    if (visible) {
        note(c, child, NULL, NULL);
    }
    f->last_event = child->last_event;
    f->kids->results[child->index] = pay_ref(child->in);
    f->kids->ended++;
    frame_free(c->x, child);
    frame_set_phase(c->x, f, PH_KIDS);
    return true;
}

/* The child's error becomes the parent's; its siblings are dropped with all they wait for. */
static bool child_failed(struct fold *c, enum state_type type, bool visible)
{
    struct frame *child = c->f, *f = child->parent;

    if ((child->phase != PH_FAILED && child->phase != PH_DEAD) || f == NULL ||
        f->state->type != type || f->kids == NULL) {
        return false;
    }
    if (visible) {
        note(c, child, NULL, NULL);
    }
    f->last_event = child->last_event;
    pay_take(c->x, &f->error, pay_ref(child->error));
    pay_take(c->x, &f->cause, pay_ref(child->cause));
    frame_free_children(c->x, f);
    kids_free(c->x, f);
    frame_set_phase(c->x, f, PH_FAILED);
    return true;
}

static bool kids_succeeded(struct fold *c, enum state_type type)
{
    struct frame *f = c->f;
    struct kids *k = f->kids;

    if (f->phase != PH_KIDS || f->state->type != type || k->ended != k->n) {
        return false;
    }
    buf_clear(&c->s->buf);
    buf_putc(&c->s->buf, '[');
    for (uint32_t i = 0; i < k->n; i++) {
        if (i > 0) {
            buf_putc(&c->s->buf, ',');
        }
        buf_put_str(&c->s->buf, pay_text(k->results[i]));
    }
    buf_putc(&c->s->buf, ']');
    pay_take(c->x, &f->res, pay_make(c->x, buf_str(&c->s->buf)));
    note(c, f, NULL, NULL);
    kids_free(c->x, f);
    frame_set_phase(c->x, f, PH_RESULT);
    return true;
}

static bool kids_failed(struct fold *c, enum state_type type)
{
    if ((c->f->phase != PH_FAILED && c->f->phase != PH_DEAD) || c->f->state->type != type) {
        return false;
    }
    note(c, c->f, NULL, NULL);
    return true;
}

static bool state_aborted(struct fold *c)
{
    if (c->f->phase != PH_FAILED && c->f->phase != PH_DEAD) {
        return false;
    }
    note(c, c->f, NULL, NULL);
    return true;
}

static bool deadline_set(struct fold *c)
{
    struct exec *x = c->x;

    if (x->deadline_set || exec_root(x) == NULL || !due_at(c, c->e->due_us, &x->deadline)) {
        return false;
    }
    x->deadline_set = true;
    x->deadline_seq = x->fold_seq;
    x->deadline_idx = c->e->idx;
    return true;
}

static void end(struct exec *x, enum exec_status status)
{
    x->status = status;
    exec_deadline_close(x);
    if (exec_root(x) != NULL) {
        frame_free(x, exec_root(x));
    }
    ASSERT(x->frames_live == 0 && x->open.len == 0 && list_empty(&x->ready));
    mem_free(x->frames);
    exec_open_clear(x);
    x->frames = NULL;
    x->frames_len = x->frames_room = 0;
    x->hole_hint = 0;
}

static bool execution_succeeded(struct fold *c)
{
    struct frame *f = exec_root(c->x);

    if (f == NULL || f->phase != PH_DONE) {
        return false;
    }
    c->x->output = pay_ref(f->in);
    note(c, f, f->in, NULL);
    end(c->x, EXEC_SUCCEEDED);
    return true;
}

static bool execution_failed(struct fold *c)
{
    struct frame *f = exec_root(c->x);

    if (f == NULL || (f->phase != PH_FAILED && f->phase != PH_DEAD)) {
        return false;
    }
    pay_take(c->x, &c->x->error, pay_ref(f->error));
    pay_take(c->x, &c->x->cause, pay_ref(f->cause));
    note(c, f, NULL, NULL);
    end(c->x, EXEC_FAILED);
    return true;
}

static bool execution_cut(struct fold *c, enum exec_status status)
{
    struct exec *x = c->x;

    if (exec_root(x) == NULL) {
        return false;
    }
    if (status == EXEC_TIMED_OUT && x->effects != NULL && x->deadline_set &&
        x->deadline.us > x->effects->due_max.us) {
        x->effects->due_max = x->deadline;
    }
    pay_take(x, &x->error, c->e->error.p == NULL ? NULL : pay_make(x, c->e->error));
    pay_take(x, &x->cause, c->e->cause.p == NULL ? NULL : pay_make(x, c->e->cause));
    note(c, exec_root(x), NULL, NULL);
    end(x, status);
    return true;
}

static bool fold_event(struct fold *c)
{
    switch (c->e->type) {
    case EV_EXECUTION_STARTED:
        return execution_started(c);
    case EV_STATE_ENTERED:
        return state_entered(c);
    case EV_STATE_EXITED:
        return state_exited(c);
    case EV_TASK_SCHEDULED:
        return task_scheduled(c);
    case EV_TASK_STARTED:
        return task_started(c);
    case EV_TASK_SUBMITTED:
        return task_submitted(c);
    case EV_TASK_SUCCEEDED:
        return task_succeeded(c);
    case EV_TASK_FAILED:
    case EV_TASK_TIMED_OUT:
        return task_failed(c);
    case EV_WAIT_SET:
        return wait_set(c);
    case EV_TIMER_FIRED:
        return timer_fired(c);
    case EV_RETRY_SET:
        return retry_set(c);
    case EV_ERROR_RAISED:
        return error_raised(c);
    case EV_PARALLEL_STARTED:
        return parallel_started(c);
    case EV_BRANCH_STARTED:
        return branch_started(c);
    case EV_BRANCH_SUCCEEDED:
        return child_succeeded(c, ST_PARALLEL, false);
    case EV_BRANCH_FAILED:
        return child_failed(c, ST_PARALLEL, false);
    case EV_PARALLEL_SUCCEEDED:
        return kids_succeeded(c, ST_PARALLEL);
    case EV_PARALLEL_FAILED:
        return kids_failed(c, ST_PARALLEL);
    case EV_MAP_STARTED:
        return map_started(c);
    case EV_ITERATION_STARTED:
        return iteration_started(c);
    case EV_ITERATION_SUCCEEDED:
        return child_succeeded(c, ST_MAP, true);
    case EV_ITERATION_FAILED:
        return child_failed(c, ST_MAP, true);
    case EV_MAP_SUCCEEDED:
        return kids_succeeded(c, ST_MAP);
    case EV_MAP_FAILED:
        return kids_failed(c, ST_MAP);
    case EV_STATE_ABORTED:
        return state_aborted(c);
    case EV_DEADLINE_SET:
        return deadline_set(c);
    case EV_EXECUTION_SUCCEEDED:
        return execution_succeeded(c);
    case EV_EXECUTION_FAILED:
        return execution_failed(c);
    case EV_EXECUTION_TIMED_OUT:
        return execution_cut(c, EXEC_TIMED_OUT);
    case EV_EXECUTION_ABORTED:
        return execution_cut(c, EXEC_ABORTED);
    case EV_PARENT_SET:
        return parent_set(c);
    case EV_CHILD_STARTED:
        return child_started(c);
    }
    return false;
}

enum err exec_fold(struct exec *x, const struct event *e, struct scratch *s,
                   struct err_detail *detail)
{
    struct fold c = {.x = x, .e = e, .s = s, .f = exec_frame(x, e->frame)};
    bool known;
    bool in_frame = (event_fields(e->type, &known) & F_FRAME) != 0;

    bool readable = x->trusted || (str_is_utf8(e->error) && str_is_utf8(e->cause));

    if (x->status != EXEC_RUNNING || (in_frame && c.f == NULL) || !readable || !fold_event(&c)) {
        return err_set(detail, ERR_MALFORMED, "event %d of turn %" PRIu64 " does not fit the state",
                       (int)e->type, x->fold_seq);
    }
    return ERR_OK;
}

enum { SCRATCH_ROW_MAX = 4 << 20 };

enum err exec_apply_row(struct exec *x, uint64_t seq, struct wall at, struct str body,
                        struct history_sink *sink, struct err_detail *detail)
{
    struct cur c = cur_of(body);
    struct op_pool ops;
    struct scratch s;
    struct event e;
    enum err err;

    if (seq != x->seq + 1) {
        return err_set(detail, ERR_MALFORMED, "history row %" PRIu64 " after row %" PRIu64, seq,
                       x->seq);
    }
    scratch_init(&s);
    x->fold_seq = seq;
    x->sink = sink;
    x->sink_at = at;
    x->trusted = false;
    ops.len = 0;
    err = row_open(&c, x->ident.started_at, &x->fold_now, detail);
    while (err == ERR_OK && c.p < c.end) {
        err = event_read(&c, &ops, &e, detail);
        if (err == ERR_OK) {
            err = exec_fold(x, &e, &s, detail);
        }
        if (s.arena.used > SCRATCH_ROW_MAX) {
            scratch_reset(x, &s, SCRATCH_ROW_MAX);
        }
    }
    x->sink = NULL;
    scratch_fini(x, &s);
    if (err == ERR_OK) {
        x->seq = seq;
        x->delta_bytes += body.size;
    }
    return err;
}

uint64_t exec_digest(const struct exec *x)
{
    struct buf b;
    uint64_t h;

    buf_init(&b, 0);
    snapshot_write((struct exec *)(uintptr_t)x, &b);
    h = hash_bytes(b.p, b.size);
    buf_fini(&b);
    return h;
}
