/* The state of an execution: life cycle, frames, the fold. exec.h has the picture. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/core/exec.h"

static const char *const status_names[] = {
    [EXEC_RUNNING] = "RUNNING",     [EXEC_SUCCEEDED] = "SUCCEEDED", [EXEC_FAILED] = "FAILED",
    [EXEC_TIMED_OUT] = "TIMED_OUT", [EXEC_ABORTED] = "ABORTED",
};

const char *exec_status_name(enum exec_status s)
{
    return s >= EXEC_RUNNING && s <= EXEC_ABORTED ? status_names[s] : "UNKNOWN";
}

/* ---- life cycle ---- */

struct exec *exec_new(const struct exec_ident *ident, struct def *def)
{
    size_t texts = ident->tenant.size + ident->workflow.size + ident->name.size;
    struct exec *x = mem_alloc(sizeof(*x) + texts);
    char *p = (char *)(x + 1);
    struct str *to[] = {&x->ident.tenant, &x->ident.workflow, &x->ident.name};

    x->ident = *ident;
    for (size_t i = 0; i < ARRAY_LEN(to); i++) {
        if (to[i]->size > 0) {
            memcpy(p, to[i]->p, to[i]->size);
        }
        to[i]->p = p;
        p += to[i]->size;
    }
    x->def = def_ref(def);
    x->status = EXEC_RUNNING;
    x->heap_bytes = sizeof(*x) + texts;
    list_init(&x->ready);
    return x;
}

void exec_drop_frames(struct exec *x)
{
    while (x->frames_len > 0) { /* freeing a frame frees its children and shortens the table */
        uint32_t i = x->frames_len;
        while (i > 0 && x->frames[i - 1] == NULL) {
            i--;
        }
        if (i == 0) {
            x->frames_len = 0;
            break;
        }
        frame_free(x, x->frames[i - 1]);
    }
}

void exec_free(struct exec *x)
{
    if (x == NULL) {
        return;
    }
    x->effects = NULL;
    exec_drop_frames(x);
    pay_unref(x, x->input);
    pay_unref(x, x->output);
    pay_unref(x, x->error);
    pay_unref(x, x->cause);
    mem_free(x->frames);
    mem_free(x->open);
    def_unref(x->def);
    mem_free(x);
}

enum exec_status exec_status(const struct exec *x)
{
    return x->status;
}

uint64_t exec_seq(const struct exec *x)
{
    return x->seq;
}

uint32_t exec_event_count(const struct exec *x)
{
    return x->events;
}

size_t exec_size(const struct exec *x)
{
    return x->heap_bytes + x->frames_room * sizeof(void *) + x->open_room * sizeof(void *);
}

size_t exec_state_size(const struct exec *x)
{
    return x->pay_bytes;
}

size_t exec_delta_size(const struct exec *x)
{
    return x->delta_bytes;
}

const struct exec_ident *exec_ident(const struct exec *x)
{
    return &x->ident;
}

struct def *exec_def(const struct exec *x)
{
    return x->def;
}

struct str exec_input(struct exec *x)
{
    return pay_text(x->input);
}

struct str exec_output(struct exec *x)
{
    return pay_text(x->output);
}

struct str exec_error(const struct exec *x)
{
    return pay_text(x->error);
}

struct str exec_cause(const struct exec *x)
{
    return pay_text(x->cause);
}

bool exec_parent(const struct exec *x, struct task_token *token, bool *waits)
{
    *token = x->parent;
    *waits = x->parent_waits;
    return !exec_id_is_null(&x->parent.ref.exec);
}

/* ---- frames ---- */

struct frame *exec_frame(const struct exec *x, uint32_t slot)
{
    return slot < x->frames_len ? x->frames[slot] : NULL;
}

struct frame *exec_root(const struct exec *x)
{
    return exec_frame(x, 0);
}

/* The lowest free slot; nothing below hole_hint is free. */
uint32_t exec_free_slot(const struct exec *x)
{
    uint32_t slot = x->hole_hint;

    while (slot < x->frames_len && x->frames[slot] != NULL) {
        slot++;
    }
    return MIN(slot, x->frames_len);
}

struct frame *frame_make(struct exec *x, uint32_t slot)
{
    struct frame *f;

    /* Slots are dense: a new one is a hole or the next. */
    if (slot > x->frames_len || exec_frame(x, slot) != NULL) {
        return NULL;
    }
    if (slot == x->frames_len) {
        if (x->frames_len == x->frames_room) {
            x->frames_room = x->frames_room == 0 ? 1 : x->frames_room * 2;
            x->frames = mem_realloc(x->frames, x->frames_room * sizeof(void *));
        }
        x->frames_len++;
    }
    x->hole_hint = slot + 1;
    f = MEM_NEW(struct frame);
    x->heap_bytes += sizeof(*f);
    x->frames_live++;
    f->slot = slot;
    list_init(&f->children);
    list_init(&f->sibling);
    list_init(&f->ready);
    x->frames[slot] = f;
    return f;
}

void frame_set_ready(struct exec *x, struct frame *f)
{
    if (!list_linked(&f->ready)) {
        list_push_back(&x->ready, &f->ready);
    }
}

bool exec_can_run(const struct exec *x)
{
    return x->status == EXEC_RUNNING && !list_empty(&x->ready);
}

static bool phase_is_ready(const struct frame *f)
{
    if (f->phase == PH_WAIT) {
        return false;
    }
    if (f->phase == PH_KIDS) {
        const struct kids *k = f->kids;
        return k->ended == k->n ||
               (k->started < k->n && (k->limit == 0 || k->started - k->ended < k->limit));
    }
    return true;
}

void frame_set_phase(struct exec *x, struct frame *f, enum phase phase)
{
    f->phase = phase;
    if (phase_is_ready(f)) {
        frame_set_ready(x, f);
    } else {
        list_remove(&f->ready);
    }
}

void exec_rebuild_ready(struct exec *x)
{
    for (uint32_t i = 0; i < x->frames_len; i++) {
        if (x->frames[i] != NULL && phase_is_ready(x->frames[i])) {
            frame_set_ready(x, x->frames[i]);
        }
    }
}

void pay_drop(struct exec *x, struct pay **p)
{
    pay_unref(x, *p);
    *p = NULL;
}

void pay_take(struct exec *x, struct pay **slot, struct pay *p)
{
    pay_unref(x, *slot);
    *slot = p;
}

/* ---- what frames wait for ---- */

static int open_cmp(const struct frame *f, uint64_t seq, uint32_t idx)
{
    if (f->seq != seq) {
        return f->seq < seq ? -1 : 1;
    }
    return (f->idx > idx) - (f->idx < idx);
}

static uint32_t open_lower(const struct exec *x, uint64_t seq, uint32_t idx)
{
    uint32_t lo = 0, hi = x->open_len;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (open_cmp(x->open[mid], seq, idx) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct frame *exec_open_find(const struct exec *x, uint64_t seq, uint32_t idx)
{
    uint32_t i = open_lower(x, seq, idx);

    return i < x->open_len && open_cmp(x->open[i], seq, idx) == 0 ? x->open[i] : NULL;
}

void exec_open_add(struct exec *x, struct frame *f)
{
    uint32_t at = open_lower(x, f->seq, f->idx);

    if (x->open_len == x->open_room) {
        x->open_room = x->open_room == 0 ? 1 : x->open_room * 2;
        x->open = mem_realloc(x->open, x->open_room * sizeof(void *));
    }
    memmove(&x->open[at + 1], &x->open[at], (x->open_len - at) * sizeof(void *));
    x->open[at] = f;
    x->open_len++;
}

static void effect_timer(struct effects *fx, struct core_timer t)
{
    if (fx->timers_len == fx->timers_room) {
        fx->timers_room = fx->timers_room == 0 ? 8 : fx->timers_room * 2;
        fx->timers = mem_realloc(fx->timers, fx->timers_room * sizeof(*fx->timers));
    }
    fx->timers[fx->timers_len++] = t;
}

static void effect_task(struct effects *fx, struct core_task_ref t)
{
    if (fx->tasks_len == fx->tasks_room) {
        fx->tasks_room = fx->tasks_room == 0 ? 8 : fx->tasks_room * 2;
        fx->tasks = mem_realloc(fx->tasks, fx->tasks_room * sizeof(*fx->tasks));
    }
    fx->tasks[fx->tasks_len++] = t;
}

static void effect_submitted(struct effects *fx, struct core_task_ref t)
{
    if (fx->submitted_len == fx->submitted_room) {
        fx->submitted_room = fx->submitted_room == 0 ? 8 : fx->submitted_room * 2;
        fx->submitted = mem_realloc(fx->submitted, fx->submitted_room * sizeof(*fx->submitted));
    }
    fx->submitted[fx->submitted_len++] = t;
}

static void effect_child(struct effects *fx, struct exec_id id)
{
    if (fx->children_len == fx->children_room) {
        fx->children_room = fx->children_room == 0 ? 8 : fx->children_room * 2;
        fx->children = mem_realloc(fx->children, fx->children_room * sizeof(*fx->children));
    }
    fx->children[fx->children_len++] = id;
}

/* A task that is submitted and closed by the same turn counts as closed only. */
static void effect_unsubmit(struct effects *fx, const struct frame *f)
{
    for (uint32_t i = 0; i < fx->submitted_len; i++) {
        if (fx->submitted[i].seq == f->seq && fx->submitted[i].idx == f->idx) {
            fx->submitted[i] = fx->submitted[--fx->submitted_len];
            return;
        }
    }
}

void frame_submit(struct exec *x, struct frame *f)
{
    f->submitted = true;
    if (x->effects != NULL) {
        effect_submitted(x->effects, (struct core_task_ref){f->seq, f->idx});
    }
}

/* What was opened by the same turn leaves no trace outside. */
void frame_wait_close(struct exec *x, struct frame *f)
{
    uint32_t at;

    if (f->wait == WAIT_NONE) {
        return;
    }
    at = open_lower(x, f->seq, f->idx);
    ASSERT(at < x->open_len && x->open[at] == f);
    memmove(&x->open[at], &x->open[at + 1], (x->open_len - at - 1) * sizeof(void *));
    x->open_len--;
    if (x->effects != NULL && f->seq != x->fold_seq) {
        if (f->wait == WAIT_TASK) {
            effect_task(x->effects, (struct core_task_ref){f->seq, f->idx});
            if (f->submitted) {
                effect_unsubmit(x->effects, f);
            }
            if (!exec_id_is_null(&f->child)) {
                effect_child(x->effects, f->child);
            }
        } else {
            effect_timer(x->effects, (struct core_timer){f->seq, f->idx, f->due});
        }
    }
    f->wait = WAIT_NONE;
    f->due = (struct wall){0};
    f->heartbeat_us = 0;
    f->nonce = 0;
    f->submitted = false;
    memset(&f->child, 0, sizeof(f->child));
    pay_drop(x, &f->queue);
}

bool frame_wait_open(struct exec *x, struct frame *f, enum wait_kind kind, uint32_t idx,
                     struct wall due)
{
    if (f->wait != WAIT_NONE || exec_open_find(x, x->fold_seq, idx) != NULL) {
        return false;
    }
    f->wait = kind;
    f->seq = x->fold_seq;
    f->idx = idx;
    f->due = due;
    exec_open_add(x, f);
    frame_set_phase(x, f, PH_WAIT);
    return true;
}

void exec_deadline_close(struct exec *x)
{
    if (x->deadline_set && x->effects != NULL && x->deadline_seq != x->fold_seq) {
        effect_timer(x->effects,
                     (struct core_timer){x->deadline_seq, x->deadline_idx, x->deadline});
    }
    x->deadline_set = false;
    x->deadline = (struct wall){0};
    x->deadline_seq = 0;
    x->deadline_idx = 0;
}

/* ---- dropping ---- */

void kids_free(struct exec *x, struct frame *f)
{
    struct kids *k = f->kids;

    if (k == NULL) {
        return;
    }
    for (uint32_t i = 0; i < k->n; i++) {
        pay_unref(x, k->results[i]);
    }
    x->heap_bytes -= sizeof(*k) + k->n * sizeof(void *) +
                     (k->offsets == NULL ? 0 : (k->n + 1) * sizeof(uint32_t));
    kids_drop_tree(x, k);
    pay_unref(x, k->items);
    mem_free(k->offsets);
    mem_free(k->results);
    mem_free(k);
    f->kids = NULL;
}

void frame_free_children(struct exec *x, struct frame *f)
{
    while (!list_empty(&f->children)) {
        frame_free(x, LIST_ENTRY(f->children.next, struct frame, sibling));
    }
}

void frame_free(struct exec *x, struct frame *f)
{
    frame_free_children(x, f);
    frame_wait_close(x, f);
    kids_free(x, f);
    list_remove(&f->sibling);
    list_remove(&f->ready);
    pay_drop(x, &f->in);
    pay_drop(x, &f->eff);
    pay_drop(x, &f->res);
    pay_drop(x, &f->vars);
    pay_drop(x, &f->error);
    pay_drop(x, &f->cause);
    pay_drop(x, &f->queue);
    mem_free(f->retry_counts);
    x->frames[f->slot] = NULL;
    x->frames_live--;
    x->hole_hint = MIN(x->hole_hint, f->slot);
    while (x->frames_len > 0 && x->frames[x->frames_len - 1] == NULL) {
        x->frames_len--;
    }
    x->heap_bytes -= sizeof(*f);
    mem_free(f);
}

/* ---- payload operations ---- */

const struct path *state_field_path(const struct state *s, uint32_t field)
{
    if (field >= FIELD_CATCH) {
        return field - FIELD_CATCH < s->catchers_len
                   ? s->catchers[field - FIELD_CATCH].result_path.path
                   : NULL;
    }
    switch (field) {
    case FIELD_INPUT_PATH:
        return s->input_path.path;
    case FIELD_RESULT_PATH:
        return s->result_path.path;
    case FIELD_OUTPUT_PATH:
        return s->output_path.path;
    case FIELD_ITEMS_PATH:
        return s->items_path;
    default:
        return NULL;
    }
}

static struct pay *op_fail(struct asl_error *err, const char *why)
{
    err->name = STR("States.Runtime");
    err->cause = str_of(why);
    return NULL;
}

static struct pay *op_put(struct exec *x, struct frame *f, const struct op *op, struct scratch *s,
                          struct asl_error *err)
{
    const struct path *path = state_field_path(f->state, op->field);
    struct pay *base = op_eval(x, f, op->base, s, err);
    struct pay *value = base == NULL ? NULL : op_eval(x, f, op->value, s, err);
    struct pay *out = NULL;
    const struct jv *root, *v, *result;

    if (value != NULL) {
        root = pay_tree(s, base);
        v = pay_tree(s, value);
        if (path == NULL || root == NULL || v == NULL) {
            (void)op_fail(err, "The data holds a duplicate name.");
        } else if (path_put(path, &s->arena, root, v, &result, err)) {
            out = pay_of_tree(x, s, result);
        }
    }
    pay_unref(x, base);
    pay_unref(x, value);
    return out;
}

static struct pay *op_get(struct exec *x, struct frame *f, const struct op *op, struct scratch *s,
                          struct asl_error *err)
{
    const struct path *path = state_field_path(f->state, op->field);
    struct pay *base = op_eval(x, f, op->base, s, err);
    struct pay *out = NULL;
    struct eval_env env = {.arena = &s->arena};
    const struct jv *v;

    if (base == NULL) {
        return NULL;
    }
    env.data = pay_tree(s, base);
    if (path == NULL || env.data == NULL || !path_is_reference(path) || path_is_context(path) ||
        path_variable(path).p != NULL) {
        (void)op_fail(err, "The data holds a duplicate name.");
    } else if (path_eval(path, &env, &v, err)) {
        out = pay_of_tree(x, s, v);
    }
    pay_unref(x, base);
    return out;
}

static struct pay *op_error(struct exec *x, const struct frame *f, struct scratch *s)
{
    const struct pay *parts[] = {f->error, f->cause};
    static const char *const names[] = {"{\"Error\":", ",\"Cause\":"};

    buf_clear(&s->buf);
    for (size_t i = 0; i < 2; i++) {
        buf_puts(&s->buf, names[i]);
        if (parts[i] == NULL) {
            buf_puts(&s->buf, "null");
        } else {
            json_write_string(&s->buf, pay_text(parts[i]));
        }
    }
    buf_putc(&s->buf, '}');
    return pay_make(x, buf_str(&s->buf));
}

struct pay *op_literal(struct exec *x, struct str text)
{
    if (!x->trusted &&
        (json_validate(text, JSON_LIMITS_PAYLOAD, NULL) != ERR_OK || !json_is_compact(text))) {
        return NULL;
    }
    return pay_make(x, text);
}

struct pay *op_eval(struct exec *x, struct frame *f, const struct op *op, struct scratch *s,
                    struct asl_error *err)
{
    struct pay *p = NULL;

    if (op == NULL) {
        return op_fail(err, "no payload");
    }
    if (op->ready != NULL) {
        return pay_ref(op->ready);
    }
    switch ((enum op_kind)op->kind) {
    case OP_LIT:
        p = op_literal(x, op->text);
        break;
    case OP_IN:
        p = pay_ref(f->in);
        break;
    case OP_EFF:
        p = pay_ref(f->eff);
        break;
    case OP_RES:
        p = pay_ref(f->res);
        break;
    case OP_PUT:
        return op_put(x, f, op, s, err);
    case OP_GET:
        return op_get(x, f, op, s, err);
    case OP_ERROR:
        p = op_error(x, f, s);
        break;
    case OP_NONE:
    case OP_ITEM: /* only for a child that does not exist yet: iteration_started() */
        break;
    }
    return p != NULL ? p : op_fail(err, "no such payload");
}

/* ---- what is open ---- */

void exec_task_fill(const struct exec *x, const struct frame *f, struct core_task *out)
{
    const struct resource *r = &f->state->resource;

    *out = (struct core_task){
        .token =
            {.ref = {.exec = x->ident.id, .seq = f->seq, .idx = f->idx, .attempt = f->retries + 1},
             .nonce = f->nonce},
        .kind = r->start_execution ? TASK_START_EXECUTION : TASK_QUEUE,
        .queue = f->queue != NULL ? pay_text(f->queue) : r->queue,
        .state = f->state->index,
        .timeout_at = f->due,
        .heartbeat_us =
            r->sync && r->start_execution ? 0 : f->heartbeat_us, /* whose would it be? */
        .wait_for_token = r->wait_for_token,
        .sync = r->sync && r->start_execution,
        .submitted = f->submitted,
        .input = pay_text(f->eff),
    };
}

uint32_t exec_open_tasks(const struct exec *x, struct core_task *out, uint32_t max)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < x->open_len; i++) {
        if (x->open[i]->wait == WAIT_TASK) {
            if (n < max) {
                exec_task_fill(x, x->open[i], &out[n]);
            }
            n++;
        }
    }
    return n;
}

bool exec_open_task(struct exec *x, uint64_t seq, uint32_t idx, struct core_task *out,
                    struct arena *a)
{
    struct frame *f = exec_open_find(x, seq, idx);

    if (f == NULL || f->wait != WAIT_TASK) {
        return false;
    }
    exec_task_fill(x, f, out);
    if (a != NULL) {
        out->input = str_dup(a, out->input);
        out->queue = str_dup(a, out->queue);
    }
    return true;
}

uint32_t exec_open_timers(const struct exec *x, struct core_timer *out, uint32_t max)
{
    uint32_t n = 0;

    if (x->deadline_set) {
        if (n < max) {
            out[n] = (struct core_timer){x->deadline_seq, x->deadline_idx, x->deadline};
        }
        n++;
    }
    for (uint32_t i = 0; i < x->open_len; i++) {
        const struct frame *f = x->open[i];
        if (f->wait == WAIT_TIMER) {
            if (n < max) {
                out[n] = (struct core_timer){f->seq, f->idx, f->due};
            }
            n++;
        }
    }
    return n;
}
