/* The memory ring of one turn loop: see timerq.h.
 *
 *   store rows ──scan in due order──▶ heap (stage SOON, key due - lead) ──▶ heap (stage DUE) ──▶ handler
 *   commits of this node ──armed────▶        ▲ only when due <= horizon
 *
 * The scan and the commits race: a row committed while a scan is under way may be missed by the
 * scan's snapshot and yet lie before the horizon it will set. Such rows wait in "late" until the scan
 * answers. */
#include "base/prelude.h"

#include "scheduler/timerq.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/trace.h"
#include "scheduler/metrics.h"

LOG_MODULE("timerq");

struct entry {
    struct map_node node;
    struct heap_node heap;
    struct timer_row row;
    bool soon;  /* announced already */
    bool again; /* waits for longer than until it is due */
};

struct late {
    struct timer_row *rows;
    uint32_t len, room;
};

struct timerq {
    struct timerq_config c;
    struct map entries;
    struct heap heap;
    struct loop_timer wake;
    struct loop_timer rescan; /* the horizon must move on */
    struct wall horizon;      /* every row with due <= horizon is in memory */
    struct timer_row after;   /* scan position */
    bool have_after, scanning, stopped, again;
    struct late late;
    struct arena arena;
    struct store_timers req;
    struct lane_ref refs[LANES_PER_SHARD_MAX];
};

static void scan_start(struct timerq *q);
static void wake_set(struct timerq *q);

static uint64_t key_hash(const struct exec_id *exec, uint64_t seq, uint32_t idx)
{
    return exec_id_hash(exec) ^ hash_u64(seq * 65537 + idx);
}

struct key {
    const struct exec_id *exec;
    uint64_t seq;
    uint32_t idx;
};

static bool key_eq(const struct map_node *node, const void *key)
{
    const struct entry *e = MAP_ENTRY(node, const struct entry, node);
    const struct key *k = key;
    return e->row.seq == k->seq && e->row.idx == k->idx && exec_id_eq(&e->row.exec, k->exec);
}

static struct entry *find(struct timerq *q, const struct exec_id *exec, uint64_t seq, uint32_t idx)
{
    struct key k = {exec, seq, idx};
    struct map_node *n = map_find(&q->entries, key_hash(exec, seq, idx), &k, key_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct entry, node);
}

/* Orders as the store's scan does. */
static int row_cmp(const struct timer_row *a, const struct timer_row *b)
{
    if (a->due.us != b->due.us) {
        return a->due.us < b->due.us ? -1 : 1;
    }
    int c = exec_id_cmp(&a->exec, &b->exec);
    if (c != 0) {
        return c;
    }
    if (a->seq != b->seq) {
        return a->seq < b->seq ? -1 : 1;
    }
    return (a->idx > b->idx) - (a->idx < b->idx);
}

/* No later scan will bring the row: it stands before the horizon or before the scan's position (which
 * may be in the midst of many rows with one due time). */
static bool behind_scan(const struct timerq *q, const struct timer_row *row)
{
    return row->due.us <= q->horizon.us || (q->have_after && row_cmp(row, &q->after) <= 0);
}

static struct wall now(const struct timerq *q)
{
    return storeclock_now(q->c.clock, loop_now(q->c.loop));
}

static void entry_drop(struct timerq *q, struct entry *e)
{
    heap_remove(&q->heap, &e->heap);
    map_remove(&q->entries, &e->node);
    mem_free(e);
}

static void entry_put(struct timerq *q, const struct timer_row *row)
{
    struct entry *e = find(q, &row->exec, row->seq, row->idx);
    if (e != NULL) {
        e->row.window = row->window;
        return;
    }
    e = MEM_NEW(struct entry);
    e->row = *row;
    map_insert(&q->entries, &e->node, key_hash(&row->exec, row->seq, row->idx));
    heap_insert(&q->heap, &e->heap, row->due.us - TIMERQ_LEAD_US);
}

static bool horizon_within(const struct timerq *q, int64_t us)
{
    return q->horizon.us < now(q).us + us;
}

/* What is due soon must be known, however much is in memory already: much of that may be due later, kept
 * from before a rescan. With room in memory the horizon moves on in halves, not at each deadline. */
static bool scan_due(const struct timerq *q)
{
    return horizon_within(q, TIMERQ_NEAR_US) ||
           (heap_len(&q->heap) <= q->c.chunk / 2 && horizon_within(q, TIMERQ_AHEAD_US / 2));
}

/* ---- firing ---- */

enum { FIRE_BATCH = 256 };

/* Takes up to FIRE_BATCH entries whose key has passed; splits them by stage. */
static bool fire_some(struct timerq *q, struct wall t)
{
    struct timer_row due[FIRE_BATCH], soon[FIRE_BATCH];
    uint32_t due_len = 0, soon_len = 0;
    for (uint32_t i = 0; i < FIRE_BATCH; i++) {
        struct heap_node *n = heap_min(&q->heap);
        if (n == NULL || n->key > t.us) {
            break;
        }
        struct entry *e = CONTAINER_OF(n, struct entry, heap);
        if (!e->soon && e->row.due.us > t.us) {
            e->soon = true;
            soon[soon_len++] = e->row;
            heap_remove(&q->heap, n);
            heap_insert(&q->heap, n, e->row.due.us);
            continue;
        }
        due[due_len++] = e->row;
        metric_observe_us(&metric_timer_lateness, t.us - e->row.due.us);
        entry_drop(q, e);
    }
    if (soon_len > 0) {
        q->c.handler->soon(q->c.handler, soon, soon_len);
    }
    if (due_len > 0) {
        fault_hit(q->c.faults, FAULT_TIMER_BEFORE_FIRE);
        trace("timers due", due_len, (uint64_t)t.us);
        metric_add(&metric_timers_fired, due_len);
        q->c.handler->due(q->c.handler, due, due_len);
    }
    return due_len + soon_len > 0;
}

static void wake_fired(struct loop_timer *timer)
{
    struct timerq *q = CONTAINER_OF(timer, struct timerq, wake);
    if (q->stopped || !q->c.clock->set) {
        return;
    }
    struct wall t = now(q);
    while (fire_some(q, t)) {
    }
    wake_set(q);
    if (!q->scanning && scan_due(q)) {
        scan_start(q);
    }
}

static void wake_set(struct timerq *q)
{
    struct heap_node *n = heap_min(&q->heap);
    if (n == NULL || q->stopped || !q->c.clock->set) {
        loop_timer_stop(&q->wake);
        return;
    }
    loop_timer_start(q->c.loop, &q->wake, storeclock_mono(q->c.clock, (struct wall){n->key}));
}

/* ---- scanning ---- */

/* How far a scan may look: the ahead bound, and never past the end of the open windows. */
static struct wall scan_limit(struct timerq *q)
{
    int64_t open_to = lanes_open_to(q->c.lanes);
    int64_t ring_end = (open_to + 1) * q->c.lanes->window_us - 1;
    return (struct wall){MIN(now(q).us + TIMERQ_AHEAD_US, ring_end)};
}

static void rescan_set(struct timerq *q, int64_t us)
{
    if (!q->stopped) {
        loop_timer_after(q->c.loop, &q->rescan, us);
    }
}

static void late_settle(struct timerq *q)
{
    for (uint32_t i = 0; i < q->late.len; i++) {
        const struct timer_row *row = &q->late.rows[i];
        if (behind_scan(q, row)) {
            entry_put(q, row);
        }
    }
    q->late.len = 0;
}

/* A full chunk: the horizon stops just before its last due time, as more rows may share it. */
static void scan_advance(struct timerq *q)
{
    if (q->req.rows_len == q->req.limit) {
        q->after = q->req.rows[q->req.rows_len - 1];
        q->horizon = (struct wall){MAX(q->after.due.us - 1, q->horizon.us)};
    } else {
        q->horizon = (struct wall){MAX(q->req.due_to.us, q->horizon.us)};
        memset(&q->after, 0xff, sizeof(q->after));
        q->after.due = q->horizon;
        q->after.seq = INT64_MAX;
        q->after.idx = INT32_MAX;
    }
    q->have_after = true;
}

static void scan_done(struct store_req *r)
{
    struct store_timers *req = CONTAINER_OF(r, struct store_timers, req);
    struct timerq *q = CONTAINER_OF(req, struct timerq, req);
    q->scanning = false;
    if (q->stopped) {
        return;
    }
    if (r->err != ERR_OK || q->again) {
        q->again = false;
        if (r->err != ERR_OK) {
            log_warn("timers not loaded, trying again", "error=%s", err_name(r->err));
        }
        late_settle(q);
        rescan_set(q, r->err != ERR_OK ? TIMERQ_RETRY_US : 0);
        return;
    }
    for (uint32_t i = 0; i < req->rows_len; i++) {
        if (lanes_of(q->c.lanes, &req->rows[i].exec)->held) {
            entry_put(q, &req->rows[i]);
        }
    }
    scan_advance(q);
    late_settle(q);
    wake_set(q);
    if (req->rows_len < req->limit) {
        rescan_set(q, TIMERQ_AHEAD_US / 2);
    } else if (heap_len(&q->heap) < q->c.chunk * TIMERQ_CHUNKS_MAX ||
               horizon_within(q, TIMERQ_NEAR_US)) {
        scan_start(q);
    } else {
        rescan_set(q, MIN(q->horizon.us - TIMERQ_NEAR_US - now(q).us, TIMERQ_AHEAD_US / 2));
    }
}

static void scan_start(struct timerq *q)
{
    if (q->scanning || q->stopped) {
        return; /* a scan under way has borrowed "refs" */
    }
    uint32_t len = lanes_held(q->c.lanes, q->refs, LANES_PER_SHARD_MAX);
    if (len == 0) {
        return;
    }
    if (!q->c.clock->set) {
        rescan_set(q, TIMERQ_RETRY_US);
        return;
    }
    struct wall limit = scan_limit(q);
    if (limit.us <= q->horizon.us) {
        int64_t ahead = q->horizon.us - now(q).us;
        rescan_set(q, MIN(MAX(ahead / 2, TIMERQ_RETRY_US), TIMERQ_AHEAD_US / 2));
        return;
    }
    arena_reset(&q->arena, 1u << 16);
    q->req = (struct store_timers){
        .req = {.op = STORE_TIMERS, .loop = q->c.loop, .done = scan_done, .arena = &q->arena},
        .lanes = q->refs,
        .lanes_len = len,
        .after = q->have_after ? &q->after : NULL,
        .due_to = limit,
        .limit = q->c.chunk,
    };
    q->scanning = true;
    store_submit(q->c.store, &q->req.req);
}

static void rescan_fired(struct loop_timer *timer)
{
    struct timerq *q = CONTAINER_OF(timer, struct timerq, rescan);
    scan_start(q);
}

/* ---- calls ---- */

struct timerq *timerq_new(const struct timerq_config *config)
{
    PRE(config->chunk > 0);
    struct timerq *q = MEM_NEW(struct timerq);
    q->c = *config;
    map_init(&q->entries);
    heap_init(&q->heap);
    arena_init(&q->arena, 0);
    q->wake.fired = wake_fired;
    q->wake.name = "timers due";
    q->rescan.fired = rescan_fired;
    q->rescan.name = "timers scan";
    q->horizon.us = INT64_MIN;
    return q;
}

void timerq_stop(struct timerq *q)
{
    q->stopped = true;
    loop_timer_stop(&q->wake);
    loop_timer_stop(&q->rescan);
}

bool timerq_idle(const struct timerq *q)
{
    return q->stopped && !q->scanning;
}

void timerq_free(struct timerq *q)
{
    if (q == NULL) {
        return;
    }
    PRE(timerq_idle(q));
    LIST_FOREACH_SAFE(it, &q->entries.order)
    {
        entry_drop(q, MAP_ORDER_ENTRY(it, struct entry, node));
    }
    map_fini(&q->entries);
    heap_fini(&q->heap);
    arena_fini(&q->arena);
    mem_free(q->late.rows);
    mem_free(q);
}

void timerq_rescan(struct timerq *q)
{
    LOOP_OWNED(q->c.loop);
    LIST_FOREACH_SAFE(it, &q->entries.order)
    {
        struct entry *e = MAP_ORDER_ENTRY(it, struct entry, node);
        if (!lanes_of(q->c.lanes, &e->row.exec)->held) {
            entry_drop(q, e);
        }
    }
    q->horizon.us = INT64_MIN;
    q->have_after = false;
    q->again = q->scanning;
    wake_set(q);
    scan_start(q);
}

void timerq_armed(struct timerq *q, const struct timer_row *row)
{
    LOOP_OWNED(q->c.loop);
    if (!lanes_of(q->c.lanes, &row->exec)->held) {
        return;
    }
    struct entry *e = find(q, &row->exec, row->seq, row->idx);
    if (e != NULL && e->again) {
        entry_drop(q, e);
    }
    if (behind_scan(q, row)) {
        entry_put(q, row);
        wake_set(q);
        return;
    }
    if (q->scanning) {
        if (q->late.len == q->late.room) {
            q->late.room = MAX(64u, q->late.room * 2);
            q->late.rows = mem_realloc(q->late.rows, q->late.room * sizeof(*q->late.rows));
        }
        q->late.rows[q->late.len++] = *row;
    }
}

void timerq_again(struct timerq *q, const struct timer_row *row, int64_t us)
{
    LOOP_OWNED(q->c.loop);
    if (!lanes_of(q->c.lanes, &row->exec)->held) {
        return;
    }
    entry_put(q, row);
    struct entry *e = find(q, &row->exec, row->seq, row->idx);
    e->soon = e->again = true;
    heap_remove(&q->heap, &e->heap);
    heap_insert(&q->heap, &e->heap, MAX(row->due.us, now(q).us + us));
    wake_set(q);
}

void timerq_cancel(struct timerq *q, const struct exec_id *exec, uint64_t seq, uint32_t idx)
{
    LOOP_OWNED(q->c.loop);
    struct entry *e = find(q, exec, seq, idx);
    if (e != NULL) {
        entry_drop(q, e);
    }
    for (uint32_t i = 0; i < q->late.len; i++) {
        struct timer_row *row = &q->late.rows[i];
        if (row->seq == seq && row->idx == idx && exec_id_eq(&row->exec, exec)) {
            *row = q->late.rows[--q->late.len];
            break;
        }
    }
}

void timerq_moved(struct timerq *q, uint16_t lane, int64_t window)
{
    LOOP_OWNED(q->c.loop);
    LIST_FOREACH(it, &q->entries.order)
    {
        struct entry *e = MAP_ORDER_ENTRY(it, struct entry, node);
        if (e->row.window < window && lanes_of(q->c.lanes, &e->row.exec)->ref.lane == lane) {
            e->row.window = window;
        }
    }
}

size_t timerq_len(const struct timerq *q)
{
    return map_len(&q->entries);
}

struct wall timerq_horizon(const struct timerq *q)
{
    return q->horizon;
}
