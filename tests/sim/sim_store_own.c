/* The fake store: members, lanes, windows, and the loads of an owner. */
#include "base/prelude.h"

#include "tests/sim/sim_store_rows.h"

#include "base/assert.h"

/* ---- leases ---- */

static void lease_key(struct sim_key *k, const struct uuid *incarnation)
{
    key_begin(k, TABLE_LEASE);
    key_bytes(k, incarnation->b, sizeof(incarnation->b));
}

static struct kv_node *lease_find(struct sim_store *s, const struct uuid *incarnation)
{
    struct sim_key k;
    lease_key(&k, incarnation);
    return kv_get(s->kv, key_str(&k));
}

static bool lease_get(struct sim_store *s, const struct uuid *incarnation, struct lease_rec *out)
{
    struct kv_node *n = lease_find(s, incarnation);
    if (n != NULL) {
        memcpy(out, kv_value(n).p, sizeof(*out));
    }
    return n != NULL;
}

bool sim_evicted(struct sim_store *s, const struct uuid *incarnation)
{
    struct lease_rec rec;
    return lease_get(s, incarnation, &rec) && rec.evicted != 0;
}

/* Registered, not evicted, and its lease is not over. */
static bool lease_valid(struct sim_exec *x, const struct uuid *incarnation)
{
    struct lease_rec rec;
    return lease_get(x->s, incarnation, &rec) && rec.evicted == 0 && rec.until > x->now.us;
}

enum err sim_op_lease(struct sim_exec *x, struct store_lease *q)
{
    struct sim_store *s = x->s;
    struct lease_rec was;
    bool known = lease_get(s, &q->incarnation, &was);
    if (known ? was.evicted != 0 : q->renew_only) {
        return ERR_FENCED;
    }
    struct sim_key k;
    lease_key(&k, &q->incarnation);
    struct lease_rec rec = {
        .until = x->now.us + q->lease_us,
        .node_size = (uint32_t)q->node.size,
        .address_size = (uint32_t)q->address.size,
        .timeline = s->timeline,
    };
    sim_row_put(s, &k, &rec, sizeof(rec), q->node, q->address, STR_NONE);
    if (x->host != NULL && !s->sessions_by_hand) {
        sim_session_open(s, x->host, &q->incarnation);
    }
    q->lease_until = (struct wall){rec.until};
    q->system_id = s->system_id;
    q->timeline = s->timeline;
    return ERR_OK;
}

static bool lane_next(struct sim_store *s, uint32_t *lane, struct lane_rec *rec, struct str *node)
{
    if (*lane > UINT16_MAX || !sim_lane_get(s, (uint16_t)*lane, rec, node)) {
        return false;
    }
    (*lane)++;
    return true;
}

enum err sim_op_release(struct sim_exec *x, struct store_release *q)
{
    struct sim_store *s = x->s;
    struct lane_rec rec;
    uint32_t lane = 0;
    if (sim_evicted(s, &q->incarnation)) {
        return ERR_FENCED;
    }
    while (lane_next(s, &lane, &rec, NULL)) {
        bool named = q->lanes == NULL;
        for (uint32_t i = 0; i < q->lanes_len && !named; i++) {
            named = q->lanes[i].lane == lane - 1 && q->lanes[i].fence.epoch == rec.fence.epoch &&
                    uuid_eq(&q->lanes[i].fence.claim, &rec.fence.claim);
        }
        if (named && uuid_eq(&rec.incarnation, &q->incarnation)) {
            rec.incarnation = (struct uuid){{0}};
            sim_lane_put(s, (uint16_t)(lane - 1), &rec, STR_NONE);
        }
    }
    if (q->leave) {
        struct sim_key k;
        lease_key(&k, &q->incarnation);
        (void)kv_del(s->kv, key_str(&k));
    }
    return ERR_OK;
}

/* ---- lanes ---- */

static void lane_out(struct sim_exec *x, uint16_t lane, const struct lane_rec *rec, struct str node,
                     struct lane_row *out)
{
    struct lease_rec lease;
    struct kv_node *owner = lease_find(x->s, &rec->incarnation);
    *out = (struct lane_row){
        .shard = x->s->shard,
        .lane = lane,
        .slot_lo = rec->slot_lo,
        .slot_hi = rec->slot_hi,
        .fence = rec->fence,
        .incarnation = rec->incarnation,
        .node = sim_out_str(x, node),
        .address = STR(""),
        .closed_to = rec->closed_to,
        .accept_from = rec->accept_from,
        .open_to = rec->open_to,
        .has_session = sim_session_alive(x->s, &rec->incarnation),
    };
    if (owner != NULL) {
        memcpy(&lease, kv_value(owner).p, sizeof(lease));
        out->address = sim_out_str(x, row_text(kv_value(owner), sizeof(lease), lease.node_size,
                                               lease.address_size));
        if (lease.evicted == 0 && lease.timeline == x->s->timeline) {
            out->lease_left_us = lease.until - x->now.us;
        }
    }
}

enum err sim_op_lanes(struct sim_exec *x, struct store_lanes *q)
{
    struct lane_rec rec;
    struct str node;
    uint32_t lanes = 0;
    while (q->shard == x->s->shard && lane_next(x->s, &lanes, &rec, &node)) {
    }
    q->lanes = SIM_OUT(x, struct lane_row, lanes);
    q->lanes_len = lanes;
    for (uint32_t i = 0; i < lanes; i++) {
        (void)sim_lane_get(x->s, (uint16_t)i, &rec, &node);
        lane_out(x, (uint16_t)i, &rec, node, &q->lanes[i]);
    }
    return ERR_OK;
}

/* May "who" take the lane from its owner, who is gone, late or without a session, or itself? Or
 * somebody insists. */
static bool lane_claimable(struct sim_exec *x, const struct lane_rec *rec, const struct uuid *who,
                           bool takeover)
{
    return takeover || uuid_is_null(&rec->incarnation) || uuid_eq(&rec->incarnation, who) ||
           !lease_valid(x, &rec->incarnation) || !sim_session_alive(x->s, &rec->incarnation);
}

static void incarnation_evict(struct sim_exec *x, const struct uuid *incarnation, bool end_sessions)
{
    struct sim_store *s = x->s;
    struct lease_rec rec;
    struct sim_key k;
    if (lease_get(s, incarnation, &rec) && rec.evicted == 0) {
        lease_key(&k, incarnation);
        char texts[2 * SIM_KEY_MAX];
        struct str row = kv_value(kv_get(s->kv, key_str(&k)));
        size_t size = row.size - sizeof(rec);
        ASSERT(size <= sizeof(texts));
        memcpy(texts, row.p + sizeof(rec), size);
        rec.evicted = 1;
        rec.until = MIN(rec.until, x->now.us);
        sim_row_put(s, &k, &rec, sizeof(rec), (struct str){texts, size}, STR_NONE, STR_NONE);
    }
    if (end_sessions) {
        sim_session_evict(s, incarnation);
    }
}

static void claim_log(struct sim_exec *x, struct meta_rec *m, uint16_t lane,
                      const struct lane_rec *rec)
{
    struct sim_key k;
    struct claim_rec row = {
        .epoch = rec->fence.epoch,
        .claim = rec->fence.claim,
        .incarnation = rec->incarnation,
        .at = x->now.us,
        .lane = lane,
    };
    key_begin(&k, TABLE_CLAIM);
    key_u64(&k, m->next_claim++);
    sim_row_put(x->s, &k, &row, sizeof(row), STR_NONE, STR_NONE, STR_NONE);
}

static void ring_put(struct sim_store *s, uint32_t table, int64_t window)
{
    struct sim_key k;
    key_begin(&k, TABLE_RING);
    key_u32(&k, table);
    sim_row_put(s, &k, &window, sizeof(window), STR_NONE, STR_NONE, STR_NONE);
}

/* The last window that the ring serves without a gap, counted from "from"; from - 1 when none. */
static int64_t ring_reach(struct sim_store *s, const struct meta_rec *m, int64_t from, int64_t to)
{
    int64_t w = from;
    while (w <= to && sim_ring_serves(s, (uint32_t)(w % m->ring_windows)) == w) {
        w++;
    }
    return w - 1;
}

/* First claim of a lane ever. */
static void lane_first(struct sim_exec *x, const struct meta_rec *m, struct lane_rec *rec)
{
    int64_t w = x->now.us / m->window_us;
    int64_t top = -1;
    for (uint32_t i = 0; i < m->ring_windows; i++) {
        top = MAX(top, sim_ring_serves(x->s, i));
    }
    if (top < 0) {
        for (int64_t i = w; i < w + m->ring_windows; i++) {
            ring_put(x->s, (uint32_t)(i % m->ring_windows), i);
        }
        top = w + m->ring_windows - 1;
    }
    w = MIN(w, top);
    rec->closed_to = w - 1;
    rec->accept_from = w;
    rec->open_to = MAX(w, ring_reach(x->s, m, w, w + m->ring_windows - 1));
}

static bool lane_claim(struct sim_exec *x, const struct store_claim *q, struct meta_rec *m,
                       uint16_t lane, const struct uuid *claim)
{
    struct sim_store *s = x->s;
    struct lane_rec rec;
    if (q->shard != s->shard || !sim_lane_get(s, lane, &rec, NULL) ||
        !lane_claimable(x, &rec, &q->incarnation, q->takeover)) {
        return false;
    }
    if (!uuid_is_null(&rec.incarnation) && !uuid_eq(&rec.incarnation, &q->incarnation)) {
        incarnation_evict(x, &rec.incarnation, q->takeover);
    }
    if (rec.fence.epoch == 0) {
        lane_first(x, m, &rec);
    }
    rec.fence = (struct fence){rec.fence.epoch + 1, *claim};
    rec.incarnation = q->incarnation;
    sim_lane_put(s, lane, &rec, q->node);
    claim_log(x, m, lane, &rec);
    return true;
}

enum err sim_op_claim(struct sim_exec *x, struct store_claim *q)
{
    struct sim_store *s = x->s;
    struct meta_rec m;
    struct rng rng;
    sim_meta_get(s, &m);
    if (!lease_valid(x, &q->incarnation)) {
        return ERR_FENCED;
    }
    if (m.window_us == 0) {
        m.window_us = q->window_us;
        m.ring_windows = q->ring_windows;
    }
    if (m.window_us != q->window_us || m.ring_windows != q->ring_windows) {
        return ERR_CONFLICT;
    }
    sim_meta_put(s, &m);
    rng_seed(&rng, q->claim_seed);
    q->got = SIM_OUT(x, struct lane_row, q->lanes_len);
    q->got_len = 0;
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        struct lane_rec rec;
        struct str node;
        struct uuid claim = uuid_make(&rng);
        if (lane_claim(x, q, &m, q->lanes[i], &claim)) {
            (void)sim_lane_get(s, q->lanes[i], &rec, &node);
            lane_out(x, q->lanes[i], &rec, node, &q->got[q->got_len++]);
        }
    }
    sim_meta_put(s, &m);
    return ERR_OK;
}

/* ---- windows ---- */

/* Parts of a key of the index by due time. */
enum { DUE_AT = 3, EXEC_AT = 11, SEQ_AT = 27, IDX_AT = 35, TABLE_AT = 39, DUE_KEY_SIZE = 47 };

static void due_key_read(struct sim_store *s, struct str key, struct timer_row *t)
{
    ASSERT(key.size == DUE_KEY_SIZE);
    t->due.us = key_get_i64(key, DUE_AT);
    memcpy(t->exec.b, key.p + EXEC_AT, sizeof(t->exec.b));
    t->seq = key_get_u64(key, SEQ_AT);
    t->idx = key_get_u32(key, IDX_AT);
    int64_t table = key_get_i64(key, TABLE_AT);
    t->window = table < 0 ? TIMER_LONG_TERM : sim_ring_serves(s, (uint32_t)table);
}

/* Next row of the lane in due order with that exact key or after; false at the end. */
static bool timer_next(struct sim_store *s, uint16_t lane, struct sim_key *at, struct timer_row *t)
{
    struct kv_node *n = kv_seek(s->kv, key_str(at));
    if (n == NULL || kv_key(n).size != DUE_KEY_SIZE || kv_key(n).p[0] != TABLE_TIMER ||
        ((uint8_t)kv_key(n).p[1] << 8 | (uint8_t)kv_key(n).p[2]) != lane) {
        return false;
    }
    at->size = 0;
    key_bytes(at, kv_key(n).p, kv_key(n).size);
    key_bytes(at, "", 1); /* the next search starts after it */
    due_key_read(s, kv_key(n), t);
    return true;
}

static void timers_from(struct sim_key *k, uint16_t lane)
{
    key_begin(k, TABLE_TIMER);
    key_u16(k, lane);
}

static int timer_cmp(const struct timer_row *a, const struct timer_row *b)
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

/* The rows of one lane that stand in some windows, in due order; for a merge over lanes. */
struct timer_scan {
    uint16_t lane;
    struct lane_rec rec;
    int64_t lo, hi, due_to; /* windows, all inclusive */
    const struct timer_row *after;
    struct sim_key at;
    struct timer_row row;
    bool more;
};

static void scan_advance(struct sim_store *s, struct timer_scan *c)
{
    while ((c->more = timer_next(s, c->lane, &c->at, &c->row))) {
        if (c->row.due.us > c->due_to) {
            c->more = false;
            return;
        }
        if (c->row.window >= c->lo && c->row.window <= c->hi &&
            (c->after == NULL || timer_cmp(&c->row, c->after) > 0)) {
            return;
        }
    }
}

static void scan_begin(struct sim_store *s, struct timer_scan *c, int64_t due_from)
{
    timers_from(&c->at, c->lane);
    if (due_from != INT64_MIN) {
        key_i64(&c->at, due_from);
    }
    scan_advance(s, c);
}

static struct timer_scan *scan_first(struct timer_scan *scans, uint32_t len)
{
    struct timer_scan *first = NULL;
    for (uint32_t i = 0; i < len; i++) {
        if (scans[i].more && (first == NULL || timer_cmp(&scans[i].row, &first->row) < 0)) {
            first = &scans[i];
        }
    }
    return first;
}

static struct timer_scan *scans_new(struct sim_store *s, const struct lane_ref *lanes, uint32_t len)
{
    struct timer_scan *scans = MEM_ARRAY(struct timer_scan, MAX(len, 1U));
    for (uint32_t i = 0; i < len; i++) {
        scans[i].lane = lanes[i].lane;
        scans[i].due_to = INT64_MAX;
        (void)sim_lane_get(s, lanes[i].lane, &scans[i].rec, NULL);
    }
    return scans;
}

static uint64_t move_max(const struct sim_store *s, uint32_t limit)
{
    return limit == 0 ? s->move_max : MIN(limit, s->move_max);
}

/* Where a row moves to: the window it is due in, or the first that its lane accepts. */
static void scan_move(struct sim_store *s, struct timer_scan *c, int64_t window)
{
    struct timer_row t = c->row;
    (void)sim_timer_del(s, c->lane, &t);
    t.window = MAX(window, c->rec.accept_from);
    sim_timer_put(s, c->lane, &t);
    scan_advance(s, c);
}

/* Long-term rows of the lanes, up to the end of window "to" as far as the ring serves it. */
static uint64_t promote(struct sim_store *s, const struct lane_ref *lanes, uint32_t len, int64_t to,
                        struct wall from, uint64_t limit, struct wall *reached)
{
    struct meta_rec m;
    uint64_t moved = 0;
    struct timer_scan *first, *scans = scans_new(s, lanes, len);
    sim_meta_get(s, &m);
    for (uint32_t i = 0; i < len; i++) {
        int64_t open_to = scans[i].rec.open_to;
        int64_t upto = MAX(open_to, ring_reach(s, &m, open_to + 1, to));
        scans[i].lo = scans[i].hi = TIMER_LONG_TERM;
        scans[i].due_to = (upto + 1) * m.window_us - 1;
        scan_begin(s, &scans[i], from.us != 0 ? from.us : INT64_MIN);
    }
    *reached = (struct wall){0};
    while (moved < limit && (first = scan_first(scans, len)) != NULL) {
        *reached = first->row.due;
        scan_move(s, first, first->row.due.us / m.window_us);
        moved++;
    }
    mem_free(scans);
    return moved;
}

/* Changes a lane's windows, keeping whose it is. */
static void lane_update(struct sim_store *s, uint16_t lane, const struct lane_rec *rec)
{
    struct lane_rec old;
    struct str node;
    char copy[NAME_SIZE_MAX];
    (void)sim_lane_get(s, lane, &old, &node);
    ASSERT(node.size <= sizeof(copy));
    memcpy(copy, node.size > 0 ? node.p : "", node.size);
    sim_lane_put(s, lane, rec, (struct str){copy, node.size});
}

enum err sim_op_window_open(struct sim_exec *x, struct store_window_open *q)
{
    struct sim_store *s = x->s;
    struct meta_rec m;
    struct wall reached;
    uint64_t limit = move_max(s, q->limit);
    if (!sim_fences_hold(s, q->lanes, q->lanes_len)) {
        return ERR_FENCED;
    }
    sim_meta_get(s, &m);
    q->promoted = promote(s, q->lanes, q->lanes_len, q->open_to, (struct wall){0}, limit, &reached);
    q->more = q->promoted >= limit;
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        struct lane_rec rec;
        (void)sim_lane_get(s, q->lanes[i].lane, &rec, NULL);
        if (!q->more) {
            rec.open_to = MAX(rec.open_to, ring_reach(s, &m, rec.open_to + 1, q->open_to));
            lane_update(s, q->lanes[i].lane, &rec);
        }
        q->opened_to = i == 0 ? rec.open_to : MIN(q->opened_to, rec.open_to);
    }
    return ERR_OK;
}

/* What the lanes still have in windows before accept_from moves into it. */
static uint64_t leftovers_move(struct sim_store *s, const struct lane_ref *lanes, uint32_t len,
                               uint64_t limit)
{
    uint64_t moved = 0;
    int64_t lo = INT64_MAX, hi = INT64_MIN;
    struct timer_scan *first, *scans = scans_new(s, lanes, len);
    for (uint32_t i = 0; i < len; i++) {
        lo = MIN(lo, scans[i].rec.closed_to + 1);
        hi = MAX(hi, scans[i].rec.accept_from - 1);
    }
    for (int64_t w = lo; w <= hi; w++) {
        for (uint32_t i = 0; i < len; i++) {
            bool left = scans[i].rec.closed_to < w && scans[i].rec.accept_from > w;
            scans[i].lo = scans[i].hi = w;
            scans[i].more = false;
            if (left) {
                scan_begin(s, &scans[i], INT64_MIN);
            }
        }
        while (moved < limit && (first = scan_first(scans, len)) != NULL) {
            scan_move(s, first, first->rec.accept_from);
            moved++;
        }
    }
    mem_free(scans);
    return moved;
}

enum err sim_op_window_close(struct sim_exec *x, struct store_window_close *q)
{
    struct sim_store *s = x->s;
    if (!sim_fences_hold(s, q->lanes, q->lanes_len)) {
        return ERR_FENCED;
    }
    q->moved = 0;
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        struct lane_rec rec;
        (void)sim_lane_get(s, q->lanes[i].lane, &rec, NULL);
        if (q->accept_from > rec.open_to) {
            return ERR_INVALID;
        }
        rec.accept_from = MAX(rec.accept_from, q->accept_from);
        lane_update(s, q->lanes[i].lane, &rec);
    }
    if (q->finish) {
        q->moved = leftovers_move(s, q->lanes, q->lanes_len, move_max(s, q->limit));
    }
    q->more = q->moved > 0;
    for (uint32_t i = 0; q->finish && !q->more && i < q->lanes_len; i++) {
        struct lane_rec rec;
        (void)sim_lane_get(s, q->lanes[i].lane, &rec, NULL);
        rec.closed_to = rec.accept_from - 1;
        lane_update(s, q->lanes[i].lane, &rec);
    }
    return ERR_OK;
}

/* Does any row stand in the ring table? */
static bool table_holds(struct sim_store *s, int64_t table)
{
    struct sim_key k;
    key_begin(&k, TABLE_TIMER);
    for (struct kv_node *n = kv_seek(s->kv, key_str(&k));
         n != NULL && kv_key(n).p[0] == TABLE_TIMER; n = kv_next(n)) {
        if (key_get_i64(kv_key(n), TABLE_AT) == table) {
            return true;
        }
    }
    return false;
}

enum err sim_op_window_empty(struct sim_exec *x, struct store_window_empty *q)
{
    struct sim_store *s = x->s;
    struct meta_rec m;
    struct lane_rec rec;
    uint32_t lane = 0;
    q->emptied = false;
    sim_meta_get(s, &m);
    if (m.ring_windows == 0) {
        return ERR_OK;
    }
    uint32_t table = (uint32_t)(q->window % m.ring_windows);
    int64_t serves = sim_ring_serves(s, table);
    if (serves != q->window) {
        q->emptied = serves > q->window; /* before, by somebody */
        return ERR_OK;
    }
    while (lane_next(s, &lane, &rec, NULL)) {
        if (rec.fence.epoch > 0 && rec.closed_to < q->window) {
            return ERR_OK;
        }
    }
    if (table_holds(s, table)) {
        return ERR_OK; /* an unfired row is never thrown away */
    }
    ring_put(s, table, q->window + m.ring_windows);
    q->emptied = true;
    return ERR_OK;
}

enum err sim_op_promote(struct sim_exec *x, struct store_promote *q)
{
    struct sim_store *s = x->s;
    uint64_t limit = move_max(s, q->limit);
    if (!sim_fences_hold(s, q->lanes, q->lanes_len)) {
        return ERR_FENCED;
    }
    q->promoted = promote(s, q->lanes, q->lanes_len, q->to, q->from, limit, &q->reached);
    q->more = q->promoted >= limit;
    return ERR_OK;
}

/* ---- loads ---- */

enum err sim_op_timers(struct sim_exec *x, struct store_timers *q)
{
    struct sim_store *s = x->s;
    if (!sim_fences_hold(s, q->lanes, q->lanes_len)) {
        return ERR_FENCED;
    }
    struct timer_scan *first, *scans = scans_new(s, q->lanes, q->lanes_len);
    struct timer_row *rows = MEM_ARRAY(struct timer_row, MAX(q->limit, 1U));
    uint32_t len = 0;
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        scans[i].lo = MAX(scans[i].rec.closed_to + 1, INT64_C(0));
        scans[i].hi = scans[i].rec.open_to;
        scans[i].due_to = q->due_to.us;
        scans[i].after = q->after;
        scan_begin(s, &scans[i], q->after != NULL ? q->after->due.us : INT64_MIN);
    }
    while (len < q->limit && (first = scan_first(scans, q->lanes_len)) != NULL) {
        rows[len++] = first->row;
        scan_advance(s, first);
    }
    q->rows = SIM_OUT(x, struct timer_row, len);
    q->rows_len = len;
    memcpy(len > 0 ? q->rows : rows, rows, sizeof(*rows) * len);
    mem_free(scans);
    mem_free(rows);
    return ERR_OK;
}

enum err sim_op_timers_drop(struct sim_exec *x, struct store_timers_drop *q)
{
    struct sim_store *s = x->s;
    if (!sim_fences_hold(s, q->lanes, q->lanes_len)) {
        return ERR_FENCED;
    }
    for (uint32_t i = 0; i < q->rows_len; i++) {
        uint16_t lane;
        if (sim_lane_of_slot(s, exec_id_slot(&q->rows[i].exec), &lane)) {
            (void)sim_timer_del(s, lane, &q->rows[i]);
        }
    }
    return ERR_OK;
}

/* ---- tasks and announcements ---- */

enum { TASK_KEY_SIZE = 29 };

static bool slot_in(const struct lane_ref *lanes, uint32_t len, const struct sim_store *s,
                    uint16_t slot)
{
    (void)s;
    for (uint32_t i = 0; i < len; i++) {
        if (slot >= lanes[i].slot_lo && slot < lanes[i].slot_hi) {
            return true;
        }
    }
    return false;
}

enum err sim_op_tasks(struct sim_exec *x, struct store_tasks *q)
{
    struct sim_store *s = x->s;
    struct sim_key k;
    if (!sim_fences_hold(s, q->lanes, q->lanes_len)) {
        return ERR_FENCED;
    }
    key_begin(&k, TABLE_TASK);
    if (q->after != NULL) {
        key_bytes(&k, q->after->ref.exec.b, sizeof(q->after->ref.exec.b));
        key_u64(&k, q->after->ref.seq);
        key_u32(&k, q->after->ref.idx);
        key_bytes(&k, "", 1);
    }
    struct kv_node *from = kv_seek(s->kv, key_str(&k));
    q->rows = NULL;
    q->rows_len = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t len = 0;
        for (struct kv_node *n = from; n != NULL && kv_key(n).p[0] == TABLE_TASK && len < q->limit;
             n = kv_next(n)) {
            struct exec_id exec;
            ASSERT(kv_key(n).size == TASK_KEY_SIZE);
            memcpy(exec.b, kv_key(n).p + 1, sizeof(exec.b));
            if (!slot_in(q->lanes, q->lanes_len, s, exec_id_slot(&exec))) {
                continue;
            }
            if (pass == 1) {
                struct task_rec rec;
                memcpy(&rec, kv_value(n).p, sizeof(rec));
                q->rows[len] = (struct task_row){
                    .token = {{exec, key_get_u64(kv_key(n), 17), key_get_u32(kv_key(n), 25),
                               rec.attempt},
                              rec.nonce},
                    .queue = sim_out_str(x, row_text(kv_value(n), sizeof(rec), 0, rec.queue_size)),
                    .timeout_at = {rec.timeout_at},
                    .heartbeat_us = rec.heartbeat_us,
                    .submitted = rec.submitted != 0,
                };
            }
            len++;
        }
        if (pass == 0) {
            q->rows = SIM_OUT(x, struct task_row, len);
            q->rows_len = len;
        }
    }
    return ERR_OK;
}

enum { INBOX_ID_AT = 3, INBOX_KEY_SIZE = 11 };

/* The oldest announcement over the lanes; false when there is none. */
static bool inbox_take(struct sim_store *s, const struct store_lane_inbox *q,
                       struct lane_inbox_row *out)
{
    struct kv_node *first = NULL;
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        struct sim_key k;
        key_begin(&k, TABLE_INBOX);
        key_u16(&k, q->lanes[i].lane);
        struct kv_node *n = kv_seek(s->kv, key_str(&k));
        if (n == NULL || kv_key(n).size != INBOX_KEY_SIZE ||
            memcmp(kv_key(n).p, k.b, INBOX_ID_AT) != 0) {
            continue;
        }
        uint64_t id = key_get_u64(kv_key(n), INBOX_ID_AT);
        if (first == NULL || id < out->id) {
            first = n;
            *out = (struct lane_inbox_row){.shard = s->shard, .lane = q->lanes[i].lane, .id = id};
        }
    }
    if (first == NULL) {
        return false;
    }
    struct sim_key k = {.size = 0};
    memcpy(out->exec.b, kv_value(first).p, sizeof(out->exec.b));
    key_bytes(&k, kv_key(first).p, kv_key(first).size);
    return kv_del(s->kv, key_str(&k));
}

enum err sim_op_lane_inbox(struct sim_exec *x, struct store_lane_inbox *q)
{
    struct sim_store *s = x->s;
    if (!sim_fences_hold(s, q->lanes, q->lanes_len)) {
        return ERR_FENCED;
    }
    struct lane_inbox_row *rows = MEM_ARRAY(struct lane_inbox_row, MAX(q->limit, 1U));
    uint32_t len = 0;
    while (len < q->limit && inbox_take(s, q, &rows[len])) {
        len++;
    }
    q->rows = SIM_OUT(x, struct lane_inbox_row, len);
    q->rows_len = len;
    memcpy(len > 0 ? q->rows : rows, rows, sizeof(*rows) * len);
    mem_free(rows);
    return ERR_OK;
}
