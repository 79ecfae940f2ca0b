/* A turn: facts in, events and effects out. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/core/child.h"
#include "engine/core/decide.h"

enum {
    BODY_YIELD = 512 * 1024, /* a row of this size ends its turn */
    ARENA_MAX = 8 << 20,     /* trees kept between steps */
    KEEP_ARENA = 256 * 1024, /* working memory kept between turns */
    KEEP_BUF = 1 << 20,
};

struct turn *turn_new(void)
{
    struct turn *t = MEM_NEW(struct turn);

    buf_init(&t->body, 0);
    buf_init(&t->outcomes, 0);
    buf_init(&t->text, 0);
    scratch_init(&t->s);
    return t;
}

static void forget(struct turn *t)
{
    if (t->x != NULL) {
        scratch_reset(t->x, &t->s, KEEP_ARENA);
        t->x->effects = NULL;
        t->x->trusted = false;
        t->x = NULL;
    }
}

void turn_free(struct turn *t)
{
    if (t == NULL) {
        return;
    }
    forget(t);
    arena_fini(&t->s.arena);
    buf_fini(&t->s.buf);
    buf_fini(&t->body);
    buf_fini(&t->outcomes);
    buf_fini(&t->text);
    mem_free(t->fx.tasks);
    mem_free(t->fx.timers);
    mem_free(t->fx.submitted);
    mem_free(t->fx.children);
    mem_free(t->tasks_new);
    mem_free(t->timers_new);
    mem_free(t);
}

void emit(struct turn *t, struct event *e)
{
    enum err err;

    event_write(&t->body, e);
    err = exec_fold(t->x, e, &t->s, NULL);
    INV(5, err == ERR_OK);
}

static void buf_restart(struct buf *b)
{
    size_t cap = b->cap;

    if (b->room > KEEP_BUF) {
        buf_fini(b);
        buf_init(b, cap);
    } else {
        buf_clear(b);
    }
}

void turn_begin(struct turn *t, struct exec *x, struct wall now, struct rng *rng)
{
    forget(t);
    buf_restart(&t->body);
    buf_restart(&t->outcomes);
    buf_restart(&t->text);
    buf_restart(&t->s.buf);
    t->x = x;
    t->now = now;
    t->rng = rng;
    t->fx.tasks_len = 0;
    t->fx.timers_len = 0;
    t->fx.submitted_len = 0;
    t->fx.children_len = 0;
    t->fx.due_max = (struct wall){0};
    t->idx_next = 0;
    t->steps = 0;
    x->fold_seq = x->seq + 1;
    x->fold_now = now;
    x->trusted = true;
    x->effects = &t->fx;
    memset(&t->out, 0, sizeof(t->out));
    t->out.first_event = x->events + 1;
    row_begin(&t->body, x->ident.started_at, now);
    t->out.body.size = t->body.size; /* of an empty row */
}

/* ---- facts ---- */

static enum fact_result valid_json(struct turn *t, struct str *text, struct err_detail *detail)
{
    if (json_validate(*text, JSON_LIMITS_PAYLOAD, detail) != ERR_OK) {
        return FACT_INVALID;
    }
    if (!json_is_compact(*text)) {
        buf_clear(&t->text);
        json_compact(&t->text, *text);
        *text = buf_str(&t->text);
    }
    return FACT_ACCEPTED;
}

static enum fact_result fact_start(struct turn *t, const struct fact *f, struct err_detail *detail)
{
    struct op lit = {.kind = OP_LIT, .text = f->payload};
    struct event e = {.type = EV_EXECUTION_STARTED, .out = &lit};

    if (t->x->events > 0) {
        return FACT_STALE;
    }
    if (valid_json(t, &lit.text, detail) != FACT_ACCEPTED) {
        return FACT_INVALID;
    }
    if (lit.text.size > PAYLOAD_SIZE_MAX) {
        (void)err_set(detail, ERR_TOO_LARGE, "input of %zu bytes; at most %d are allowed",
                      lit.text.size, PAYLOAD_SIZE_MAX);
        return FACT_INVALID;
    }
    emit(t, &e);
    if (!exec_id_is_null(&f->parent.ref.exec)) {
        struct event p = {.type = EV_PARENT_SET, .token = f->parent};
        p.index = f->parent_waits ? 1 : 0;
        emit(t, &p);
    }
    if (t->x->def->timeout_s > 0) {
        struct event d = {.type = EV_DEADLINE_SET, .idx = t->idx_next++};
        d.due_us = t->x->def->timeout_s * US_PER_S;
        emit(t, &d);
    }
    return FACT_ACCEPTED;
}

static void outcome(struct turn *t, const struct frame *f, struct str worker)
{
    const char *line = worker.size == 0 ? NULL : memchr(worker.p, '\n', worker.size);

    worker.size = line == NULL ? worker.size : (size_t)(line - worker.p);
    buf_printf(&t->outcomes, "%" PRIu32 ":%" PRIu32 ":%.*s\n", f->state->index, f->retries + 1,
               STR_ARG(worker));
}

/* The frame whose open attempt the fact is about; NULL when that attempt is closed. */
static struct frame *attempt_of(struct turn *t, const struct fact *f, bool with_nonce)
{
    const struct task_ref *r = &f->token.ref;
    struct frame *frame = exec_open_find(t->x, r->seq, r->idx);

    if (frame == NULL || frame->wait != WAIT_TASK || r->attempt != frame->retries + 1 ||
        !exec_id_eq(&r->exec, &t->x->ident.id) || (with_nonce && f->token.nonce != frame->nonce)) {
        return NULL;
    }
    return frame;
}

/* What a result too large is called: functions by their ARN, other tasks by their state. */
static struct str task_label(const struct frame *f)
{
    return f->state->resource.kind == RES_LAMBDA ? f->state->resource.text : f->state->name;
}

static void task_too_large(struct turn *t, struct frame *f)
{
    struct event e = {.type = EV_TASK_FAILED, .frame = f->slot};

    e.error = STR("States.DataLimitExceeded");
    e.cause =
        str_of(arena_printf(&t->s.arena,
                            "The state/task '%.*s' returned a result with a size exceeding the "
                            "maximum number of bytes service limit.",
                            STR_ARG(task_label(f))));
    emit(t, &e);
}

static bool same_text(struct str text, const struct pay *p)
{
    return p != NULL && p->size == text.size && memcmp(p->text, text.p, text.size) == 0;
}

static enum fact_result fact_output(struct turn *t, const struct fact *f, enum event_type type,
                                    struct err_detail *detail)
{
    struct frame *frame = attempt_of(t, f, true);
    struct op op = {.kind = OP_LIT, .text = f->payload};
    struct event e = {.type = type, .out = &op};

    if (frame == NULL) {
        return FACT_STALE;
    }
    if (type == EV_TASK_SUBMITTED && frame->submitted) {
        return FACT_STALE; /* the call was answered before */
    }
    if (valid_json(t, &op.text, detail) != FACT_ACCEPTED) {
        return FACT_INVALID;
    }
    if (type == EV_TASK_SUCCEEDED) {
        outcome(t, frame, f->worker);
    }
    if (op.text.size > PAYLOAD_SIZE_MAX) {
        task_too_large(t, frame);
        return FACT_ACCEPTED;
    }
    if (same_text(op.text, frame->in)) {
        op.kind = OP_IN;
    } else if (same_text(op.text, frame->eff)) {
        op.kind = OP_EFF;
    }
    e.frame = frame->slot;
    emit(t, &e);
    if (type == EV_TASK_SUBMITTED && !exec_id_is_null(&f->child)) {
        struct event c = {.type = EV_CHILD_STARTED, .frame = frame->slot, .child = f->child};
        emit(t, &c);
    }
    return FACT_ACCEPTED;
}

/* What a worker hands in for an attempt it was given answers the call; with .waitForTaskToken that is
 * not the outcome. */
static enum fact_result fact_succeeded(struct turn *t, const struct fact *f,
                                       struct err_detail *detail)
{
    const struct frame *frame = attempt_of(t, f, true);
    bool submits = f->call && frame != NULL && frame->state->resource.wait_for_token;

    return fact_output(t, f, submits ? EV_TASK_SUBMITTED : EV_TASK_SUCCEEDED, detail);
}

static struct str cut(struct str s, size_t max)
{
    struct str c = str_sub(s, 0, max);

    while (c.size < s.size && c.size > 0 && ((unsigned char)s.p[c.size] & 0xC0) == 0x80) {
        c.size--; /* never inside a character */
    }
    return c;
}

/* Error and cause become part of JSON. */
static bool plain_text(const struct fact *f, struct err_detail *detail)
{
    if (str_is_utf8(f->error) && str_is_utf8(f->cause)) {
        return true;
    }
    (void)err_set(detail, ERR_INVALID, "error or cause is not UTF-8");
    return false;
}

static enum fact_result fact_failed(struct turn *t, const struct fact *f, struct err_detail *detail)
{
    struct frame *frame = attempt_of(t, f, true);
    struct event e = {.type = EV_TASK_FAILED};

    if (frame == NULL || (f->call && frame->submitted)) {
        return FACT_STALE;
    }
    if (!plain_text(f, detail)) {
        return FACT_INVALID;
    }
    e.frame = frame->slot;
    e.error = cut(f->error, ERROR_NAME_SIZE_MAX);
    e.cause = cut(f->cause, CAUSE_SIZE_MAX);
    outcome(t, frame, f->worker);
    emit(t, &e);
    return FACT_ACCEPTED;
}

static void child_failed(struct turn *t, struct frame *frame, struct str error, struct str cause)
{
    struct event e = {.type = EV_TASK_FAILED, .frame = frame->slot, .error = error, .cause = cause};

    emit(t, &e);
}

/* The outcome of a .sync task is its child's end. */
static enum fact_result fact_child_ended(struct turn *t, const struct fact *f,
                                         struct err_detail *detail)
{
    struct frame *frame = attempt_of(t, f, true);
    struct op op = {.kind = OP_LIT};
    struct event e = {.type = EV_TASK_SUCCEEDED, .out = &op};
    struct child_end end;

    if (frame == NULL || !frame->state->resource.start_execution) {
        return FACT_STALE;
    }
    if (!child_end_read(f->payload, &end)) {
        (void)err_set(detail, ERR_MALFORMED, "what a child execution said of its end is malformed");
        return FACT_INVALID;
    }
    outcome(t, frame, f->worker);
    buf_clear(&t->text);
    if (end.status != EXEC_SUCCEEDED) {
        child_cause_write(&t->text, &end);
        child_failed(t, frame, STR("States.TaskFailed"), buf_str(&t->text));
        return FACT_ACCEPTED;
    }
    child_output_write(&t->text, &end, frame->state->resource.sync_json);
    op.text = buf_str(&t->text);
    if (op.text.size > PAYLOAD_SIZE_MAX) {
        task_too_large(t, frame);
    } else if (json_too_deep(op.text)) {
        child_failed(t, frame, STR("States.Runtime"), STR("The output is nested too deep."));
    } else {
        e.frame = frame->slot;
        emit(t, &e);
    }
    return FACT_ACCEPTED;
}

/* A lost heartbeat of a callback is reported as the recorded service does: States.Timeout. */
static enum fact_result fact_overdue(struct turn *t, const struct fact *f, bool heartbeat)
{
    struct frame *frame = attempt_of(t, f, false);
    struct event e = {.type = EV_TASK_TIMED_OUT, .error = STR("States.Timeout")};

    if (frame == NULL) {
        return FACT_STALE;
    }
    if (heartbeat && !frame->state->resource.wait_for_token) {
        e.error = STR("States.HeartbeatTimeout");
    }
    e.frame = frame->slot;
    emit(t, &e);
    return FACT_ACCEPTED;
}

static enum fact_result fact_timer(struct turn *t, const struct fact *f)
{
    struct exec *x = t->x;
    struct frame *frame = exec_open_find(x, f->timer_seq, f->timer_idx);
    struct event e = {.type = EV_TIMER_FIRED};

    if (x->deadline_set && x->deadline_seq == f->timer_seq && x->deadline_idx == f->timer_idx) {
        e.type = EV_EXECUTION_TIMED_OUT;
        e.error = STR("States.Timeout");
    } else if (frame == NULL || frame->wait != WAIT_TIMER) {
        return FACT_STALE;
    } else {
        e.frame = frame->slot;
    }
    emit(t, &e);
    return FACT_ACCEPTED;
}

static enum fact_result fact_stop(struct turn *t, const struct fact *f, struct err_detail *detail)
{
    struct event e = {.type = EV_EXECUTION_ABORTED};

    if (!plain_text(f, detail)) {
        return FACT_INVALID;
    }
    if (exec_root(t->x) == NULL) {
        return FACT_STALE; /* nothing was started yet */
    }
    e.error = cut(f->error, ERROR_NAME_SIZE_MAX);
    e.cause = cut(f->cause, CAUSE_SIZE_MAX);
    emit(t, &e);
    return FACT_ACCEPTED;
}

enum fact_result turn_fact(struct turn *t, const struct fact *f, struct err_detail *detail)
{
    PRE(t->x != NULL);
    if (t->x->status != EXEC_RUNNING) {
        return FACT_STOPPED;
    }
    switch (f->type) {
    case FACT_START:
        return fact_start(t, f, detail);
    case FACT_TASK_SUCCEEDED:
        return fact_succeeded(t, f, detail);
    case FACT_TASK_SUBMITTED:
        return fact_output(t, f, EV_TASK_SUBMITTED, detail);
    case FACT_TASK_FAILED:
        return fact_failed(t, f, detail);
    case FACT_TASK_TIMED_OUT:
        return fact_overdue(t, f, false);
    case FACT_TASK_HEARTBEAT_LOST:
        return fact_overdue(t, f, true);
    case FACT_TIMER:
        return fact_timer(t, f);
    case FACT_STOP:
        return fact_stop(t, f, detail);
    case FACT_CHILD_ENDED:
        return fact_child_ended(t, f, detail);
    }
    return FACT_STALE;
}

/* ---- the end ---- */

static void step_done(struct turn *t)
{
    for (uint32_t i = 0; i < t->pays_len; i++) {
        pay_unref(t->x, t->pays[i]);
    }
    t->pays_len = 0;
    t->ops_len = 0;
    if (t->s.arena.used > ARENA_MAX) {
        scratch_reset(t->x, &t->s, ARENA_MAX);
    }
}

static void run(struct turn *t)
{
    struct exec *x = t->x;

    while (x->status == EXEC_RUNNING && !list_empty(&x->ready)) {
        struct frame *f = LIST_ENTRY(x->ready.next, struct frame, ready);
        if (t->steps >= TURN_STEPS_MAX || t->body.size >= BODY_YIELD) {
            t->out.yielded = true;
            return;
        }
        step(t, f);
        step_done(t);
    }
}

/* What the turn opened and did not close again: the tail of the open list. */
static void collect_new(struct turn *t)
{
    struct exec *x = t->x;
    struct turn_out *o = &t->out;
    const struct open_list *l = &x->open;
    uint32_t from = l->len;

    while (from > 0 && l->v[from - 1].seq == x->fold_seq) {
        from--;
    }
    if (l->len - from + 1 > t->timers_room) {
        t->timers_room = l->len - from + 16;
        mem_free(t->timers_new);
        mem_free(t->tasks_new);
        t->timers_new = MEM_ARRAY(struct core_timer, t->timers_room);
        t->tasks_new = MEM_ARRAY(struct core_task, t->timers_room);
    }
    if (x->deadline_set && x->deadline_seq == x->fold_seq) {
        t->timers_new[o->timers_new_len++] =
            (struct core_timer){x->deadline_seq, x->deadline_idx, x->deadline};
    }
    for (uint32_t i = from; i < l->len; i++) {
        const struct frame *f = l->v[i].frame;
        if (f == NULL) {
            continue;
        }
        if (f->wait == WAIT_TASK) {
            exec_task_fill(x, f, &t->tasks_new[o->tasks_new_len++]);
        } else {
            t->timers_new[o->timers_new_len++] = (struct core_timer){f->seq, f->idx, f->due};
        }
    }
    o->tasks_new = t->tasks_new;
    o->timers_new = t->timers_new;
}

bool turn_end(struct turn *t, const struct turn_out **out)
{
    struct exec *x = t->x;
    struct turn_out *o = &t->out;
    size_t empty = o->body.size;

    PRE(x != NULL);
    run(t);
    o->body = buf_str(&t->body);
    if (t->body.size > empty) {
        collect_new(t);
        x->seq = x->fold_seq;
        x->delta_bytes += t->body.size;
        o->seq = x->seq;
        o->status = x->status;
        o->event_count = x->events + 1 - o->first_event;
        o->outcomes = t->outcomes.size == 0 ? STR_NONE : buf_str(&t->outcomes);
        o->tasks_done = t->fx.tasks;
        o->tasks_done_len = t->fx.tasks_len;
        o->timers_done = t->fx.timers;
        o->timers_done_len = t->fx.timers_len;
        o->tasks_submitted = t->fx.submitted;
        o->tasks_submitted_len = t->fx.submitted_len;
        o->children_left = t->fx.children;
        o->children_left_len = t->fx.children_len;
        o->due_max = t->fx.due_max;
        *out = o;
    }
    forget(t);
    return o->body.size > empty;
}
