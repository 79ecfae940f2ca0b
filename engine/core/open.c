/* What is open: the frames that wait for a task or a timer, and what turns close of them. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/mem.h"
#include "engine/core/exec.h"

enum { PLACES_FEW = 16 }; /* so few need no closing of ranks */

/* ---- the list ---- */

static int key_cmp(const struct open_place *p, uint64_t seq, uint32_t idx)
{
    if (p->seq != seq) {
        return p->seq < seq ? -1 : 1;
    }
    return (p->idx > idx) - (p->idx < idx);
}

/* The first place that is not before (seq, idx). */
static uint32_t lower(const struct open_list *l, uint64_t seq, uint32_t idx)
{
    uint32_t lo = 0, hi = l->len;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (key_cmp(&l->v[mid], seq, idx) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

struct frame *exec_open_find(const struct exec *x, uint64_t seq, uint32_t idx)
{
    const struct open_list *l = &x->open;
    uint32_t i = lower(l, seq, idx);

    return i < l->len && key_cmp(&l->v[i], seq, idx) == 0 ? l->v[i].frame : NULL;
}

static void resize(struct open_list *l, uint32_t room)
{
    l->room = room;
    l->v = mem_realloc(l->v, room * sizeof(*l->v));
}

void exec_open_append(struct exec *x, struct frame *f)
{
    struct open_list *l = &x->open;

    if (l->len == l->room) {
        resize(l, l->room == 0 ? 1 : l->room * 2);
    }
    l->v[l->len++] = (struct open_place){f->seq, f->idx, f};
}

/* Rows number what they open upwards; one that does not costs a move. */
static void add(struct exec *x, struct frame *f)
{
    struct open_list *l = &x->open;
    uint32_t at = lower(l, f->seq, f->idx);

    if (at < l->len && key_cmp(&l->v[at], f->seq, f->idx) == 0) {
        PRE(l->v[at].frame == NULL);
        l->v[at].frame = f;
        l->gone--;
        return;
    }
    exec_open_append(x, f);
    memmove(&l->v[at + 1], &l->v[at], (l->len - 1 - at) * sizeof(*l->v));
    l->v[at] = (struct open_place){f->seq, f->idx, f};
}

static void close_ranks(struct open_list *l)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->len; i++) {
        if (l->v[i].frame != NULL) {
            l->v[n++] = l->v[i];
        }
    }
    l->len = n;
    l->gone = 0;
    if (l->room > PLACES_FEW && n < l->room / 4) {
        resize(l, MAX(n * 2, 1));
    }
}

static void give_up(struct exec *x, struct frame *f)
{
    struct open_list *l = &x->open;
    uint32_t at = lower(l, f->seq, f->idx);

    ASSERT(at < l->len && l->v[at].frame == f);
    l->v[at].frame = NULL;
    l->gone++;
    while (l->len > 0 && l->v[l->len - 1].frame == NULL) {
        l->len--;
        l->gone--;
    }
    if (l->gone > PLACES_FEW && l->gone > l->len / 2) {
        close_ranks(l);
    }
}

static int place_cmp(const void *a, const void *b)
{
    const struct open_place *q = b;

    return key_cmp(a, q->seq, q->idx);
}

bool exec_open_sort(struct exec *x)
{
    struct open_list *l = &x->open;
    uint32_t n = 0;
    bool alone = true;

    if (l->len > 0) {
        qsort(l->v, l->len, sizeof(*l->v), place_cmp);
    }
    for (uint32_t i = 0; i < l->len; i++) {
        if (n > 0 && place_cmp(&l->v[n - 1], &l->v[i]) == 0) {
            l->v[i].frame->wait = WAIT_NONE;
            alone = false;
        } else {
            l->v[n++] = l->v[i];
        }
    }
    l->len = n;
    return alone;
}

void exec_open_clear(struct exec *x)
{
    mem_free(x->open.v);
    x->open = (struct open_list){0};
}

/* ---- what a turn closes ---- */

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
    if (f->wait == WAIT_NONE) {
        return;
    }
    give_up(x, f);
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
    add(x, f);
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

    for (uint32_t i = 0; i < x->open.len; i++) {
        const struct frame *f = x->open.v[i].frame;
        if (f != NULL && f->wait == WAIT_TASK) {
            if (n < max) {
                exec_task_fill(x, f, &out[n]);
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
    for (uint32_t i = 0; i < x->open.len; i++) {
        const struct frame *f = x->open.v[i].frame;
        if (f != NULL && f->wait == WAIT_TIMER) {
            if (n < max) {
                out[n] = (struct core_timer){f->seq, f->idx, f->due};
            }
            n++;
        }
    }
    return n;
}
