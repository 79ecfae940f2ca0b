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
    mem_free(x->open.v);
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
    return x->heap_bytes + x->frames_room * sizeof(void *) + x->open.room * sizeof(*x->open.v);
}

size_t exec_state_size(const struct exec *x)
{
    return x->pay_bytes;
}

size_t exec_delta_size(const struct exec *x)
{
    return x->delta_bytes;
}

bool exec_snapshot_due(const struct exec *x)
{
    return x->status == EXEC_RUNNING && x->delta_bytes > SNAPSHOT_DELTA_MIN &&
           x->delta_bytes > x->pay_bytes && x->delta_bytes > x->snapshot_bytes;
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
