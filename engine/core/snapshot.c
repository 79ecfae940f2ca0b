/* The whole state as bytes and back. Layout: codec, scalars, the table of payloads, frames in slot order (slots
 * are reused, so a child may come before its parent: frames are linked in a second pass). Equal states give equal bytes: nothing depends on addresses or on the order of freeing. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/mem.h"
#include "engine/core/exec.h"

enum { SNAPSHOT_CODEC = 1 };
/* Beside what a frame waits for, and beside the deadline: what few have. */
enum { HAS_SUBMITTED = 4, HAS_CHILD = 8, HAS_DEADLINE = 1, HAS_PARENT = 2, PARENT_WAITS = 4 };

/* ---- writing ---- */

struct pays {
    struct pay **v;
    uint32_t len, room;
};

static void mark(struct pays *t, struct pay *p)
{
    if (p == NULL || p->mark != 0) {
        return;
    }
    if (t->len == t->room) {
        t->room = t->room == 0 ? 16 : t->room * 2;
        t->v = mem_realloc(t->v, t->room * sizeof(void *));
    }
    t->v[t->len++] = p;
    p->mark = t->len;
}

static void mark_all(struct pays *t, struct exec *x)
{
    mark(t, x->input);
    mark(t, x->output);
    mark(t, x->error);
    mark(t, x->cause);
    for (uint32_t i = 0; i < x->frames_len; i++) {
        const struct frame *f = x->frames[i];
        if (f == NULL) {
            continue;
        }
        mark(t, f->in);
        mark(t, f->eff);
        mark(t, f->res);
        mark(t, f->vars);
        mark(t, f->error);
        mark(t, f->cause);
        mark(t, f->queue);
        if (f->kids != NULL) {
            mark(t, f->kids->items);
            for (uint32_t j = 0; j < f->kids->started; j++) {
                mark(t, f->kids->results[j]);
            }
        }
    }
}

static void put_pay(struct buf *b, const struct pay *p)
{
    put_varint(b, p == NULL ? 0 : p->mark);
}

static void write_kids(struct buf *b, const struct kids *k)
{
    put_varint(b, (uint64_t)k->n + 1);
    put_varint(b, k->started);
    put_varint(b, k->limit);
    put_pay(b, k->items);
    for (uint32_t i = 0; i < k->started; i++) {
        put_pay(b, k->results[i]);
    }
}

static void write_frame(struct buf *b, const struct exec *x, const struct frame *f)
{
    put_varint(b, f->parent == NULL ? 0 : (uint64_t)f->parent->slot + 1);
    put_varint(b, f->index);
    put_varint(b, (uint64_t)f->phase);
    put_varint(b, f->state->index);
    put_pay(b, f->in);
    put_pay(b, f->eff);
    put_pay(b, f->res);
    put_pay(b, f->vars);
    put_pay(b, f->error);
    put_pay(b, f->cause);
    put_varint(b, f->retries);
    for (uint32_t i = 0; f->retries > 0 && i < f->state->retriers_len; i++) {
        put_varint(b, f->retry_counts[i]);
    }
    put_varint(b, f->entered_event);
    put_varint(b, f->last_event);
    put_zigzag(b, f->entered_at.us - x->ident.started_at.us);
    put_varint(b, (uint64_t)f->wait | (f->submitted ? HAS_SUBMITTED : 0) |
                      (exec_id_is_null(&f->child) ? 0 : HAS_CHILD));
    if (f->wait != WAIT_NONE) {
        put_varint(b, f->seq);
        put_varint(b, f->idx);
        put_fixed64(b, f->nonce);
        put_zigzag(b, f->due.us);
        put_zigzag(b, f->heartbeat_us);
        put_pay(b, f->queue);
        if (!exec_id_is_null(&f->child)) {
            buf_put(b, f->child.b, sizeof(f->child.b));
        }
    }
    if (f->kids == NULL) {
        put_varint(b, 0);
    } else {
        write_kids(b, f->kids);
    }
}

void snapshot_write(struct exec *x, struct buf *out)
{
    struct pays t = {NULL, 0, 0};
    const struct pay *own[] = {x->input, x->output, x->error, x->cause};

    mark_all(&t, x);
    buf_putc(out, SNAPSHOT_CODEC);
    put_varint(out, (uint64_t)x->status);
    put_varint(out, x->seq);
    put_varint(out, x->events);
    put_varint(out, t.len);
    for (uint32_t i = 0; i < t.len; i++) {
        put_str(out, pay_text(t.v[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        put_pay(out, own[i]);
    }
    put_varint(out, (x->deadline_set ? HAS_DEADLINE : 0) |
                        (exec_id_is_null(&x->parent.ref.exec) ? 0 : HAS_PARENT) |
                        (x->parent_waits ? PARENT_WAITS : 0));
    if (x->deadline_set) {
        put_varint(out, x->deadline_seq);
        put_varint(out, x->deadline_idx);
        put_zigzag(out, x->deadline.us);
    }
    if (!exec_id_is_null(&x->parent.ref.exec)) {
        put_token(out, &x->parent);
    }
    put_varint(out, x->frames_len);
    for (uint32_t i = 0; i < x->frames_len; i++) {
        put_varint(out, x->frames[i] != NULL ? 1 : 0);
        if (x->frames[i] != NULL) {
            write_frame(out, x, x->frames[i]);
        }
    }
    for (uint32_t i = 0; i < t.len; i++) {
        t.v[i]->mark = 0;
    }
    mem_free(t.v);
}

void exec_snapshot(struct exec *x, struct buf *out)
{
    size_t before = out->size;

    snapshot_write(x, out);
    x->snapshot_bytes = out->size - before;
    x->delta_bytes = 0;
}

/* ---- reading ---- */

struct restore {
    struct exec *x;
    struct cur c;
    struct pay **pays;
    uint32_t pays_len;
    uint32_t *parents; /* slot + 1 per slot */
};

/* A new reference to a payload of the table; NULL for 0. */
static struct pay *get_pay(struct restore *r)
{
    uint32_t n = cur_u32(&r->c);

    if (n > r->pays_len) {
        r->c.bad = true;
    }
    return n == 0 || r->c.bad ? NULL : pay_ref(r->pays[n - 1]);
}

static bool is_json(const struct pay *p)
{
    return p == NULL || (json_validate(pay_text(p), JSON_LIMITS_PAYLOAD, NULL) == ERR_OK &&
                         json_is_compact(pay_text(p)));
}

static void read_kids(struct restore *r, struct frame *f)
{
    struct kids *k;
    uint32_t n = cur_u32(&r->c), started, items = 0;

    if (n == 0 || r->c.bad) {
        return;
    }
    n--;
    started = cur_u32(&r->c);
    if (r->c.bad || started > n || f->phase != PH_KIDS ||
        (f->state->type != ST_MAP && f->state->type != ST_PARALLEL) ||
        (f->state->type == ST_PARALLEL && n != f->state->branches_len)) {
        r->c.bad = true;
        return;
    }
    k = MEM_NEW(struct kids);
    f->kids = k;
    k->limit = cur_u32(&r->c);
    k->items = get_pay(r);
    if ((k->items != NULL) != (f->state->type == ST_MAP)) {
        r->c.bad = true;
    } else if (k->items != NULL) {
        k->offsets = is_json(k->items) ? array_offsets(pay_text(k->items), &items) : NULL;
        r->c.bad = r->c.bad || k->offsets == NULL || items != n;
    }
    if (r->c.bad) { /* k->n stays 0: nothing else to free */
        mem_free(k->offsets);
        k->offsets = NULL;
        k->results = MEM_ARRAY(struct pay *, 1);
        r->x->heap_bytes += sizeof(*k);
        return;
    }
    k->results = MEM_ARRAY(struct pay *, MAX(n, 1));
    k->n = n;
    k->started = started;
    r->x->heap_bytes +=
        sizeof(*k) + n * sizeof(void *) + (k->offsets == NULL ? 0 : (n + 1) * sizeof(uint32_t));
    for (uint32_t i = 0; i < started; i++) {
        k->results[i] = get_pay(r);
        k->ended += k->results[i] != NULL;
    }
}

static void read_retries(struct restore *r, struct frame *f)
{
    f->retries = cur_u32(&r->c);
    if (f->retries == 0 || r->c.bad) {
        return;
    }
    if (f->state->retriers_len == 0) {
        r->c.bad = true;
        return;
    }
    f->retry_counts = MEM_ARRAY(uint32_t, f->state->retriers_len);
    for (uint32_t i = 0; i < f->state->retriers_len; i++) {
        f->retry_counts[i] = cur_u32(&r->c);
    }
}

static void read_wait(struct restore *r, struct frame *f)
{
    uint64_t has = cur_varint(&r->c), wait = has & 3;

    if (has > (WAIT_TASK | HAS_SUBMITTED | HAS_CHILD) ||
        (has > WAIT_TIMER && (wait != WAIT_TASK || (has & HAS_SUBMITTED) == 0))) {
        r->c.bad = true;
    }
    if (wait == WAIT_NONE || r->c.bad) {
        r->c.bad = r->c.bad || f->phase == PH_WAIT;
        return;
    }
    f->seq = cur_varint(&r->c);
    f->idx = cur_u32(&r->c);
    f->nonce = cur_fixed64(&r->c);
    f->due.us = cur_zigzag(&r->c);
    f->heartbeat_us = cur_zigzag(&r->c);
    f->queue = get_pay(r);
    f->submitted = (has & HAS_SUBMITTED) != 0;
    if ((has & HAS_CHILD) != 0) {
        f->child = cur_exec_id(&r->c);
        r->c.bad = r->c.bad || exec_id_is_null(&f->child);
    }
    if (r->c.bad || wait > WAIT_TIMER || f->phase != PH_WAIT ||
        (wait == WAIT_TASK && (f->state->type != ST_TASK || f->eff == NULL))) {
        r->c.bad = true;
        return;
    }
    f->wait = (enum wait_kind)wait;
    exec_open_append(r->x, f);
}

static void read_frame(struct restore *r, uint32_t slot)
{
    struct frame *f = frame_make(r->x, slot);
    const struct state *s;
    uint32_t phase;
    int64_t delta;

    r->parents[slot] = cur_u32(&r->c);
    f->index = cur_u32(&r->c);
    phase = cur_u32(&r->c);
    s = def_state(r->x->def, cur_u32(&r->c));
    if (r->c.bad || phase >= PHASES || s == NULL) {
        f->state = def_top(r->x->def)->start;
        f->machine = f->state->machine;
        r->c.bad = true;
        return;
    }
    f->phase = (enum phase)phase;
    f->state = s;
    f->machine = s->machine;
    f->in = get_pay(r);
    f->eff = get_pay(r);
    f->res = get_pay(r);
    f->vars = get_pay(r);
    f->error = get_pay(r);
    f->cause = get_pay(r);
    if (f->in == NULL || !is_json(f->in) || !is_json(f->eff) || !is_json(f->res) ||
        !is_json(f->vars) || !str_is_utf8(pay_text(f->error)) || !str_is_utf8(pay_text(f->cause)) ||
        (f->phase == PH_RESULT && s->type != ST_WAIT && f->res == NULL) ||
        (f->vars != NULL && pay_text(f->vars).p[0] != '{')) {
        r->c.bad = true;
    }
    read_retries(r, f);
    f->entered_event = cur_u32(&r->c);
    f->last_event = cur_u32(&r->c);
    delta = cur_zigzag(&r->c);
    if (__builtin_add_overflow(r->x->ident.started_at.us, delta, &f->entered_at.us)) {
        r->c.bad = true;
    }
    read_wait(r, f);
    read_kids(r, f);
    if (f->phase == PH_KIDS && f->kids == NULL) {
        r->c.bad = true;
    }
}

/* Hangs the frames into their parents, slot order, and checks that the tree makes sense. */
static void link_frames(struct restore *r)
{
    struct exec *x = r->x;
    uint32_t linked = 0;

    for (uint32_t i = 0; i < x->frames_len && !r->c.bad; i++) {
        struct frame *f = x->frames[i], *p;
        if (f == NULL || i == 0) {
            r->c.bad = f == NULL ? i == 0 : r->parents[i] != 0 || f->machine != def_top(x->def);
            continue;
        }
        p = r->parents[i] == 0 ? NULL : exec_frame(x, r->parents[i] - 1);
        if (p == NULL || p == f || p->kids == NULL || f->index >= p->kids->started ||
            p->kids->results[f->index] != NULL || f->machine->owner != p->state ||
            (p->state->type == ST_PARALLEL && p->state->branches[f->index] != f->machine)) {
            r->c.bad = true;
            return;
        }
        f->parent = p;
        list_push_back(&p->children, &f->sibling);
        linked++;
    }
    /* Machines nest strictly, so there is no circle; each running child must be there once. */
    for (uint32_t i = 0; i < x->frames_len && !r->c.bad; i++) {
        const struct kids *k = x->frames[i] == NULL ? NULL : x->frames[i]->kids;
        if (k != NULL) {
            linked -= MIN(linked, k->started - k->ended);
        }
    }
    r->c.bad = r->c.bad || linked != 0;
}

static void read_pays(struct restore *r)
{
    uint32_t n = cur_u32(&r->c);

    if (r->c.bad || n > (size_t)(r->c.end - r->c.p)) { /* each takes at least one byte */
        r->c.bad = true;
        return;
    }
    r->pays = MEM_ARRAY(struct pay *, MAX(n, 1));
    while (r->pays_len < n && !r->c.bad) {
        struct str s = cur_str(&r->c);
        if (!r->c.bad) {
            r->pays[r->pays_len++] = pay_make(r->x, s);
        }
    }
}

static void read_deadline(struct restore *r)
{
    struct exec *x = r->x;
    uint64_t has = cur_varint(&r->c);

    if ((has & HAS_DEADLINE) != 0) {
        x->deadline_set = true;
        x->deadline_seq = cur_varint(&r->c);
        x->deadline_idx = cur_u32(&r->c);
        x->deadline.us = cur_zigzag(&r->c);
    }
    if ((has & HAS_PARENT) != 0) {
        x->parent = cur_token(&r->c);
        x->parent_waits = (has & PARENT_WAITS) != 0;
        has -= exec_id_is_null(&x->parent.ref.exec) ? 0 : HAS_PARENT + (has & PARENT_WAITS);
    }
    if (has > HAS_DEADLINE) {
        r->c.bad = true;
    }
}

static void read_state(struct restore *r)
{
    struct exec *x = r->x;
    uint64_t codec = cur_varint(&r->c);
    uint64_t status = cur_varint(&r->c);
    uint32_t n;

    x->seq = cur_varint(&r->c);
    x->events = cur_u32(&r->c);
    if (r->c.bad || codec != SNAPSHOT_CODEC || status < EXEC_RUNNING || status > EXEC_ABORTED) {
        r->c.bad = true;
        return;
    }
    read_pays(r);
    if (r->c.bad) {
        return;
    }
    x->input = get_pay(r);
    x->output = get_pay(r);
    x->error = get_pay(r);
    x->cause = get_pay(r);
    read_deadline(r);
    n = cur_u32(&r->c);
    if (r->c.bad || n > (size_t)(r->c.end - r->c.p) || !is_json(x->input) || !is_json(x->output) ||
        (status != EXEC_RUNNING && n > 0) || (n > 0 && x->input == NULL)) {
        r->c.bad = true;
        return;
    }
    r->parents = MEM_ARRAY(uint32_t, MAX(n, 1));
    x->frames_room = n;
    x->frames = n == 0 ? NULL : MEM_ARRAY(struct frame *, n);
    for (uint32_t i = 0; i < n && !r->c.bad; i++) {
        if (cur_varint(&r->c) == 1) {
            read_frame(r, i);
        } else {
            x->frames_len++; /* a hole */
        }
    }
    x->hole_hint = 0;
    r->c.bad = r->c.bad || (n > 0 && x->frames[n - 1] == NULL) || r->c.p != r->c.end;
    x->status = (enum exec_status)status;
    if (!r->c.bad) {
        link_frames(r);
    }
}

/* Frees what a failed restore left: frames are not linked into a tree yet. */
static void abandon(struct exec *x)
{
    for (uint32_t i = 0; i < x->frames_len; i++) {
        struct frame *f = x->frames[i];
        if (f != NULL) {
            list_remove(&f->sibling);
            list_init(&f->children);
        }
    }
    exec_drop_frames(x);
    exec_free(x);
}

enum err exec_restore(const struct exec_ident *ident, struct def *def, struct str bytes,
                      struct exec **out, struct err_detail *detail)
{
    struct restore r = {.x = exec_new(ident, def), .c = cur_of(bytes)};
    bool bad;

    read_state(&r);
    for (uint32_t i = 0; i < r.pays_len; i++) {
        pay_unref(r.x, r.pays[i]);
    }
    mem_free(r.pays);
    mem_free(r.parents);
    bad = !exec_open_sort(r.x) || r.c.bad;
    if (bad) {
        abandon(r.x);
        return err_set(detail, ERR_MALFORMED, "snapshot does not decode");
    }
    exec_rebuild_ready(r.x);
    r.x->snapshot_bytes = bytes.size;
    *out = r.x;
    return ERR_OK;
}
