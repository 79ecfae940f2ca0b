/* The turn batch: one transaction of as few statements as possible (docs/adr/0010-turn-batch.md).
 *
 *   LOCK_LANES                fences of the lanes into which tasks or timers go, shared, in order
 *   START_KEYS, START_EXEC    only with starts, in key order
 *   TURN*                     compare-and-set, one task each way, history, lane_inbox; tells winners
 *   TASKS_DEL, TASKS_ADD      only for turns with more than one task
 *   TASKS_SUBMIT, INBOX_DEL, INBOX_ADD   only when present
 *   timers, by table          only with timers
 *   SNAPSHOTS, CLOSE_KEYS     only when present
 *
 * Whatever comes after TURN* joins on (execution, turn id): a turn that lost writes nothing. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/store_pg_internal.h"

#include "base/assert.h"
#include "base/mem.h"

enum { MORE_TASKS = 256, NO_STEP = 255, LONG_TABLE = PG_TABLES_MAX - 1 };

/* A turn as the statements see it. */
struct item {
    struct turn_row *t;
    uint32_t k;                    /* lane touched, from 1; 0: none */
    int64_t ring_lo, ring_hi;      /* windows of its ring timers; lo > hi: none */
    int64_t long_lo;               /* lowest window of its long-term timers */
    const struct task_token *done; /* taken by TURN*; the others go by TASKS_DEL */
    const struct task_row *made;   /* likewise */
};

struct touched {
    struct lane_range range;
    struct fence fence; /* epoch 0: not held by the writer */
    bool used;
    uint32_t k;
};

struct batch {
    uint32_t len, lanes_len, starts_len;
    bool timers, more_done, more_new, snapshots, closes, submits, reads;
    uint32_t sends; /* inbox rows */
    unsigned keys_step, turn_step, inbox_step;
    struct touched *lanes; /* as store_pg.ranges */
    uint32_t *starts;      /* indexes of items, in key order */
    uint8_t *won, *stale;  /* by item; stale: not at its (seq, turn), or its start key was taken */
    struct item items[];
};

static struct store_commit *commit_of(const struct op_call *op)
{
    return CONTAINER_OF(op->req, struct store_commit, req);
}

static bool touches(const struct turn_row *t)
{
    return t->tasks_new_len > 0 || t->timers_new_len > 0;
}

/* ---- arguments ---- */

static enum err check_turn(const struct store_commit *c, const struct turn_row *t,
                           struct err_detail *d)
{
    if (exec_id_shard(&t->exec) != c->shard) {
        return err_set(d, ERR_INVALID, "a turn of another shard");
    }
    if (t->turn == 0 || t->seq != t->seq_prev + 1 || (t->start != NULL) != (t->seq_prev == 0)) {
        return err_set(d, ERR_INVALID, "a turn with an impossible sequence");
    }
    if (t->start != NULL &&
        (t->due_max.us != 0 || t->tasks_done_len > 0 || t->timers_done_len > 0 ||
         t->tasks_submitted_len > 0 || t->inbox_done_len > 0)) {
        return err_set(d, ERR_INVALID, "a start that ends tasks or timers, or reads its inbox");
    }
    for (uint32_t i = 0; i < t->tasks_new_len; i++) {
        if (!exec_id_eq(&t->tasks_new[i].token.ref.exec, &t->exec) ||
            t->tasks_new[i].queue.p == NULL || t->tasks_new[i].submitted ||
            (t->tasks_new[i].queue.size > 0 && t->tasks_new[i].queue.p[0] == SUBMITTED_MARK)) {
            return err_set(d, ERR_INVALID, "a task of another execution, or without a queue");
        }
    }
    for (uint32_t i = 0; i < t->timers_new_len; i++) {
        if (!exec_id_eq(&t->timers_new[i].exec, &t->exec)) {
            return err_set(d, ERR_INVALID, "a timer of another execution");
        }
    }
    for (uint32_t i = 0; i < t->inbox_new_len; i++) {
        const struct inbox_row *r = &t->inbox_new[i];
        if (exec_id_shard(&r->exec) != c->shard || r->source.p == NULL || r->payload.p == NULL) {
            return err_set(d, ERR_INVALID, "an inbox row of another shard, or without a source");
        }
    }
    for (uint32_t i = 0; i < t->timers_new_len + t->timers_done_len; i++) {
        const struct timer_row *r =
            i < t->timers_new_len ? &t->timers_new[i] : &t->timers_done[i - t->timers_new_len];
        if (r->window < TIMER_LONG_TERM) {
            return err_set(d, ERR_INVALID, "a timer in window %" PRId64, r->window);
        }
    }
    return ERR_OK;
}

enum err commit_check(struct op_call *op, struct err_detail *d)
{
    const struct store_commit *c = commit_of(op);
    if (c->shard != op->store->config.shard) {
        return err_set(d, ERR_INVALID, "this store serves shard %u", op->store->config.shard);
    }
    for (uint32_t i = 0; i < c->turns_len; i++) {
        enum err e = check_turn(c, c->turns[i], d);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

/* ---- preparation ---- */

static int by_exec(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return exec_id_cmp(&x->t->exec, &y->t->exec);
}

static int by_key(const void *a, const void *b, void *arg)
{
    const struct item *items = arg;
    const struct start_row *x = items[*(const uint32_t *)a].t->start;
    const struct start_row *y = items[*(const uint32_t *)b].t->start;
    if (x->tenant != y->tenant) {
        return x->tenant < y->tenant ? -1 : 1;
    }
    int c = str_cmp(x->workflow, y->workflow);
    return c != 0 ? c : str_cmp(x->name, y->name);
}

static struct touched *lane_at(struct store_pg *s, struct batch *b, uint16_t slot)
{
    uint32_t lo = 0, hi = s->ranges_len;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (b->lanes[mid].range.slot_hi <= slot) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < s->ranges_len && b->lanes[lo].range.slot_lo <= slot ? &b->lanes[lo] : NULL;
}

static void fill_lanes(struct store_pg *s, const struct store_commit *c, struct batch *b)
{
    b->lanes = MEM_ARRAY(struct touched, MAX(s->ranges_len, 1U));
    for (uint32_t i = 0; i < s->ranges_len; i++) {
        b->lanes[i].range = s->ranges[i];
    }
    for (uint32_t i = 0; i < c->lanes_len; i++) {
        struct touched *l = lane_at(s, b, c->lanes[i].slot_lo);
        if (l != NULL && l->range.lane == c->lanes[i].lane) {
            l->fence = c->lanes[i].fence;
        }
    }
}

static int64_t window_of(const struct store_pg *s, struct wall due)
{
    return s->window_us > 0 ? due.us / s->window_us : 0;
}

static void fill_item(struct store_pg *s, struct batch *b, struct item *it)
{
    const struct turn_row *t = it->t;
    it->ring_lo = INT64_MAX;
    it->ring_hi = INT64_MIN;
    it->long_lo = INT64_MAX;
    if (touches(t)) {
        struct touched *l = lane_at(s, b, exec_id_slot(&t->exec));
        ASSERT(l != NULL); /* the ranges cover all slots: store_pg.c */
        l->used = true;
        it->k = 1 + (uint32_t)(l - b->lanes); /* renumbered below */
    }
    for (uint32_t i = 0; i < t->timers_new_len; i++) {
        const struct timer_row *r = &t->timers_new[i];
        if (r->window == TIMER_LONG_TERM) {
            it->long_lo = MIN(it->long_lo, window_of(s, r->due));
        } else {
            it->ring_lo = MIN(it->ring_lo, r->window);
            it->ring_hi = MAX(it->ring_hi, r->window);
        }
    }
    if (s->ring_windows == 0 && it->ring_lo <= it->ring_hi) {
        it->ring_hi = INT64_MAX; /* nobody has claimed a lane yet, so no window is open */
    }
    it->done = t->tasks_done_len > 0 ? &t->tasks_done[0] : NULL;
    it->made =
        t->tasks_new_len > 0 && t->tasks_new[0].token.ref.seq == t->seq ? &t->tasks_new[0] : NULL;
    b->timers = b->timers || t->timers_new_len + t->timers_done_len > 0;
    b->more_done = b->more_done || t->tasks_done_len > 1;
    b->more_new = b->more_new || t->tasks_new_len > (it->made != NULL ? 1U : 0U);
    b->snapshots = b->snapshots || t->snapshot.p != NULL;
    b->closes = b->closes || t->status != STATUS_OPEN;
    b->starts_len += t->start != NULL ? 1 : 0;
    b->submits = b->submits || t->tasks_submitted_len > 0;
    b->reads = b->reads || t->inbox_done_len > 0;
    b->sends += t->inbox_new_len;
    for (uint32_t i = 0; i < t->inbox_new_len; i++) {
        struct touched *l = lane_at(s, b, exec_id_slot(&t->inbox_new[i].exec));
        ASSERT(l != NULL);
        l->used = true;
        t->inbox_new[i].announced = false;
    }
}

static struct batch *batch_new(struct op_call *op)
{
    struct store_pg *s = op->store;
    const struct store_commit *c = commit_of(op);
    struct batch *b = mem_alloc(sizeof(*b) + c->turns_len * sizeof(b->items[0]));
    b->len = c->turns_len;
    b->turn_step = b->keys_step = b->inbox_step = NO_STEP;
    b->won = mem_alloc(MAX(b->len, 1U));
    b->stale = mem_alloc(MAX(b->len, 1U));
    fill_lanes(s, c, b);
    for (uint32_t i = 0; i < b->len; i++) {
        b->items[i].t = c->turns[i];
    }
    qsort(b->items, b->len, sizeof(b->items[0]), by_exec);
    for (uint32_t i = 0; i < b->len; i++) {
        fill_item(s, b, &b->items[i]);
    }
    for (uint32_t i = 0; i < s->ranges_len; i++) {
        b->lanes[i].k = b->lanes[i].used ? ++b->lanes_len : 0;
    }
    b->starts = MEM_ARRAY(uint32_t, MAX(b->starts_len, 1U));
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->len; i++) {
        struct item *it = &b->items[i];
        it->k = it->k > 0 ? b->lanes[it->k - 1].k : 0;
        if (it->t->start != NULL) {
            b->starts[n++] = i;
        }
    }
    if (n > 1) {
        qsort_r(b->starts, n, sizeof(b->starts[0]), by_key, b->items);
    }
    return b;
}

static void batch_free(struct batch *b)
{
    if (b != NULL) {
        mem_free(b->lanes);
        mem_free(b->starts);
        mem_free(b->won);
        mem_free(b->stale);
        mem_free(b);
    }
}

/* ---- arrays ---- */

#define EACH(b, it) for (struct item *it = (b)->items; it < (b)->items + (b)->len; it++)
/* One array parameter with a value from each turn. */
#define ARRAY_OF(p, type, b, it, put) \
    do { \
        pg_array_begin((p), (type)); \
        EACH(b, it) \
        { \
            put; \
        } \
        pg_array_end(p); \
    } while (0)

static void put_time_or(struct pg_params *p, struct wall t)
{
    if (t.us == 0) {
        pg_time_always(p);
    } else {
        pg_time(p, t);
    }
}

static const struct task_row no_task;

static const struct task_row *made_of(const struct item *it)
{
    return it->made != NULL ? it->made : &no_task;
}

/* The status, and whether TASKS_ADD follows with more tasks of the turn. */
static int16_t status_of(const struct item *it)
{
    bool more = it->t->tasks_new_len > (it->made != NULL ? 1U : 0U);
    return (int16_t)(it->t->status | (more ? MORE_TASKS : 0));
}

#define EACH_LANE(s, b, l) \
    for (struct touched *l = (b)->lanes; l < (b)->lanes + (s)->ranges_len; l++) \
        if (l->used)

static void put_lanes(struct pg_params *p, const struct store_pg *s, struct batch *b)
{
    pg_i4(p, s->config.shard);
    pg_array_begin(p, PG_INT4);
    EACH_LANE(s, b, l)
    {
        pg_i4(p, l->range.lane);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT8);
    EACH_LANE(s, b, l)
    {
        pg_u8(p, l->fence.epoch);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_UUID);
    EACH_LANE(s, b, l)
    {
        pg_uuid(p, l->fence.claim.b);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT4);
    EACH_LANE(s, b, l)
    {
        pg_i4(p, l->range.slot_lo);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT4);
    EACH_LANE(s, b, l)
    {
        pg_i4(p, l->range.slot_hi);
    }
    pg_array_end(p);
}

static void put_turns(struct pg_params *p, struct batch *b)
{
    ARRAY_OF(p, PG_UUID, b, it, pg_uuid(p, it->t->exec.b));
    ARRAY_OF(p, PG_INT8, b, it, pg_u8(p, it->t->seq_prev));
    ARRAY_OF(p, PG_INT8, b, it, pg_u8(p, it->t->turn_prev));
    ARRAY_OF(p, PG_INT8, b, it, pg_u8(p, it->t->seq));
    ARRAY_OF(p, PG_INT8, b, it, pg_u8(p, it->t->turn));
    ARRAY_OF(p, PG_INT2, b, it, pg_i2(p, status_of(it)));
    ARRAY_OF(p, PG_TIMESTAMPTZ, b, it, pg_time(p, it->t->due_max));
    ARRAY_OF(p, PG_INT4, b, it, pg_i4(p, (int32_t)it->t->first_event));
    ARRAY_OF(p, PG_INT4, b, it, pg_i4(p, (int32_t)it->t->event_count));
    ARRAY_OF(p, PG_BYTEA, b, it, pg_text(p, it->t->body));
    ARRAY_OF(p, PG_TEXT, b, it, pg_text_or_null(p, it->t->outcomes));
    ARRAY_OF(p, PG_INT4, b, it, pg_i4(p, (int32_t)it->k));
    ARRAY_OF(p, PG_INT8, b, it, pg_u8(p, it->done != NULL ? it->done->ref.seq : 0));
    ARRAY_OF(p, PG_INT4, b, it, pg_i4(p, it->done != NULL ? (int32_t)it->done->ref.idx : 0));
    ARRAY_OF(p, PG_TEXT, b, it, pg_text_or_null(p, made_of(it)->queue));
    ARRAY_OF(p, PG_INT4, b, it, pg_i4(p, (int32_t)made_of(it)->token.ref.idx));
    ARRAY_OF(p, PG_INT4, b, it, pg_i4(p, (int32_t)made_of(it)->token.ref.attempt));
    ARRAY_OF(p, PG_INT8, b, it, pg_u8(p, made_of(it)->token.nonce));
    ARRAY_OF(p, PG_TIMESTAMPTZ, b, it, put_time_or(p, made_of(it)->timeout_at));
    ARRAY_OF(p, PG_INT8, b, it, pg_i8(p, made_of(it)->heartbeat_us));
}

static void send_turns(struct op_call *op, struct pg_conn *conn)
{
    struct batch *b = op->batch;
    struct pg_params *p = pg_conn_params(conn);
    put_turns(p, b);
    put_lanes(p, op->store, b);
    const struct uuid *inc = &commit_of(op)->incarnation;
    pg_uuid(p, inc->b);
    if (b->timers || b->starts_len > 0) {
        ARRAY_OF(p, PG_INT8, b, it, pg_i8(p, it->ring_lo));
        ARRAY_OF(p, PG_INT8, b, it, pg_i8(p, it->ring_hi));
        ARRAY_OF(p, PG_INT8, b, it, pg_i8(p, it->long_lo));
    }
    b->turn_step = op->call.sent;
    pg_conn_exec(conn, b->starts_len > 0 ? STMT_TURN_STARTS
                       : b->timers       ? STMT_TURN_TIMERS
                                         : STMT_TURN);
}

static void send_lock(struct op_call *op, struct pg_conn *conn)
{
    struct pg_params *p = pg_conn_params(conn);
    pg_array_begin(p, PG_INT4);
    EACH_LANE(op->store, op->batch, l)
    {
        pg_i4(p, (int32_t)((uint32_t)op->store->config.shard << 16 | l->range.lane));
    }
    pg_array_end(p);
    pg_conn_exec(conn, STMT_LOCK_LANES);
}

/* ---- starts ---- */

#define STARTS_OF(p, type, b, it, put) \
    do { \
        pg_array_begin((p), (type)); \
        for (uint32_t i_ = 0; i_ < (b)->starts_len; i_++) { \
            struct item *it = &(b)->items[(b)->starts[i_]]; \
            put; \
        } \
        pg_array_end(p); \
    } while (0)

static const struct touched *touched_by(struct op_call *op, const struct item *it)
{
    return it->k > 0 ? lane_at(op->store, op->batch, exec_id_slot(&it->t->exec)) : NULL;
}

static void put_start_lanes(struct op_call *op, struct pg_params *p)
{
    struct batch *b = op->batch;
    STARTS_OF(p, PG_INT4, b, it, {
        const struct touched *l = touched_by(op, it);
        pg_i4(p, l != NULL ? l->range.lane : -1);
    });
    STARTS_OF(p, PG_INT8, b, it, pg_i8(p, it->ring_lo));
    STARTS_OF(p, PG_INT8, b, it, pg_i8(p, it->ring_hi));
    STARTS_OF(p, PG_INT8, b, it, pg_i8(p, it->long_lo));
    pg_i4(p, op->store->config.shard);
    STARTS_OF(p, PG_INT4, b, it, {
        const struct touched *l = touched_by(op, it);
        pg_i4(p, l != NULL ? l->range.slot_lo : 0);
    });
    STARTS_OF(p, PG_INT4, b, it, {
        const struct touched *l = touched_by(op, it);
        pg_i4(p, l != NULL ? l->range.slot_hi : 0);
    });
}

static void send_starts(struct op_call *op, struct pg_conn *conn)
{
    struct batch *b = op->batch;
    struct pg_params *p = pg_conn_params(conn);
    STARTS_OF(p, PG_UUID, b, it, pg_uuid(p, it->t->exec.b));
    STARTS_OF(p, PG_INT4, b, it, pg_i4(p, (int32_t)it->t->start->tenant));
    STARTS_OF(p, PG_TEXT, b, it, pg_text(p, it->t->start->workflow));
    STARTS_OF(p, PG_TEXT, b, it, pg_text(p, it->t->start->name));
    STARTS_OF(p, PG_INT8, b, it, pg_u8(p, it->t->start->digest));
    put_start_lanes(op, p);
    pg_bool(p, b->timers);
    STARTS_OF(p, PG_INT4, b, it, pg_i4(p, exec_id_shard(&it->t->exec)));
    b->keys_step = op->call.sent;
    pg_conn_exec(conn, STMT_START_KEYS);

    p = pg_conn_params(conn);
    STARTS_OF(p, PG_UUID, b, it, pg_uuid(p, it->t->exec.b));
    STARTS_OF(p, PG_INT4, b, it, pg_i4(p, (int32_t)it->t->start->tenant));
    STARTS_OF(p, PG_TEXT, b, it, pg_text(p, it->t->start->workflow));
    STARTS_OF(p, PG_TEXT, b, it, pg_text(p, it->t->start->name));
    STARTS_OF(p, PG_INT8, b, it, pg_u8(p, it->t->start->revision));
    STARTS_OF(p, PG_TIMESTAMPTZ, b, it, pg_time(p, it->t->start->started_at));
    STARTS_OF(p, PG_INT2, b, it, pg_i2(p, status_of(it)));
    STARTS_OF(p, PG_INT8, b, it, pg_u8(p, it->t->turn));
    STARTS_OF(p, PG_TEXT, b, it, pg_text_or_null(p, made_of(it)->queue));
    STARTS_OF(p, PG_INT4, b, it, pg_i4(p, (int32_t)made_of(it)->token.ref.idx));
    STARTS_OF(p, PG_INT4, b, it, pg_i4(p, (int32_t)made_of(it)->token.ref.attempt));
    STARTS_OF(p, PG_INT8, b, it, pg_u8(p, made_of(it)->token.nonce));
    STARTS_OF(p, PG_TIMESTAMPTZ, b, it, put_time_or(p, made_of(it)->timeout_at));
    STARTS_OF(p, PG_INT8, b, it, pg_i8(p, made_of(it)->heartbeat_us));
    STARTS_OF(p, PG_INT4, b, it, pg_i4(p, exec_id_shard(&it->t->exec)));
    pg_conn_exec(conn, STMT_START_EXEC);
}

/* ---- the rarer parts ---- */

/* "put" for each further task of each turn; x is the task. */
#define MORE_NEW(p, type, b, it, x, put) \
    ARRAY_OF( \
        p, type, b, it, \
        for (uint32_t j_ = it->made != NULL ? 1 : 0; j_ < it->t->tasks_new_len; j_++) { \
            const struct task_row *x = &it->t->tasks_new[j_]; \
            put; \
        })
#define MORE_DONE(p, type, b, it, x, put) \
    ARRAY_OF( \
        p, type, b, it, for (uint32_t j_ = 1; j_ < it->t->tasks_done_len; j_++) { \
            const struct task_token *x = &it->t->tasks_done[j_]; \
            put; \
        })

static void send_more_done(struct batch *b, struct pg_conn *conn)
{
    struct pg_params *p = pg_conn_params(conn);
    MORE_DONE(p, PG_UUID, b, it, x, (void)x; pg_uuid(p, it->t->exec.b));
    MORE_DONE(p, PG_INT8, b, it, x, (void)x; pg_u8(p, it->t->turn));
    MORE_DONE(p, PG_INT8, b, it, x, pg_u8(p, x->ref.seq));
    MORE_DONE(p, PG_INT4, b, it, x, pg_i4(p, (int32_t)x->ref.idx));
    pg_conn_exec(conn, STMT_TASKS_DEL);
}

static void send_more_new(struct batch *b, struct pg_conn *conn)
{
    struct pg_params *p = pg_conn_params(conn);
    MORE_NEW(p, PG_UUID, b, it, x, (void)x; pg_uuid(p, it->t->exec.b));
    MORE_NEW(p, PG_INT8, b, it, x, (void)x; pg_u8(p, it->t->turn));
    MORE_NEW(p, PG_INT8, b, it, x, pg_u8(p, x->token.ref.seq));
    MORE_NEW(p, PG_INT4, b, it, x, pg_i4(p, (int32_t)x->token.ref.idx));
    MORE_NEW(p, PG_INT4, b, it, x, pg_i4(p, (int32_t)x->token.ref.attempt));
    MORE_NEW(p, PG_INT8, b, it, x, pg_u8(p, x->token.nonce));
    MORE_NEW(p, PG_TEXT, b, it, x, pg_text(p, x->queue));
    MORE_NEW(p, PG_TIMESTAMPTZ, b, it, x, put_time_or(p, x->timeout_at));
    MORE_NEW(p, PG_INT8, b, it, x, pg_i8(p, x->heartbeat_us));
    pg_conn_exec(conn, STMT_TASKS_ADD);
}

#define EACH_OF(p, type, b, it, len, put) \
    ARRAY_OF( \
        p, type, b, it, for (uint32_t j = 0; j < it->t->len; j++) { put; })

static void send_submits(struct batch *b, struct pg_conn *conn)
{
    struct pg_params *p = pg_conn_params(conn);
    EACH_OF(p, PG_UUID, b, it, tasks_submitted_len, pg_uuid(p, it->t->exec.b));
    EACH_OF(p, PG_INT8, b, it, tasks_submitted_len, pg_u8(p, it->t->turn));
    EACH_OF(p, PG_INT8, b, it, tasks_submitted_len, pg_u8(p, it->t->tasks_submitted[j].ref.seq));
    EACH_OF(p, PG_INT4, b, it, tasks_submitted_len,
            pg_i4(p, (int32_t)it->t->tasks_submitted[j].ref.idx));
    pg_conn_exec(conn, STMT_TASKS_SUBMIT);
}

static void send_reads(struct batch *b, struct pg_conn *conn)
{
    struct pg_params *p = pg_conn_params(conn);
    EACH_OF(p, PG_UUID, b, it, inbox_done_len, pg_uuid(p, it->t->exec.b));
    EACH_OF(p, PG_INT8, b, it, inbox_done_len, pg_u8(p, it->t->turn));
    EACH_OF(p, PG_TEXT, b, it, inbox_done_len, pg_text(p, it->t->inbox_done[j]));
    pg_conn_exec(conn, STMT_INBOX_DEL);
}

static void send_sends(struct op_call *op, struct pg_conn *conn)
{
    struct batch *b = op->batch;
    struct pg_params *p = pg_conn_params(conn);
    EACH_OF(p, PG_UUID, b, it, inbox_new_len, pg_uuid(p, it->t->inbox_new[j].exec.b));
    EACH_OF(p, PG_UUID, b, it, inbox_new_len, pg_uuid(p, it->t->exec.b));
    EACH_OF(p, PG_INT8, b, it, inbox_new_len, pg_u8(p, it->t->turn));
    EACH_OF(p, PG_INT2, b, it, inbox_new_len, pg_i2(p, (int16_t)it->t->inbox_new[j].kind));
    EACH_OF(p, PG_TEXT, b, it, inbox_new_len, pg_text(p, it->t->inbox_new[j].source));
    EACH_OF(p, PG_BYTEA, b, it, inbox_new_len, pg_text(p, it->t->inbox_new[j].payload));
    put_lanes(p, op->store, b);
    b->inbox_step = op->call.sent;
    pg_conn_exec(conn, STMT_INBOX_ADD);
}

/* Timers of "which" (0 new, 1 done) that stand in "table". */
#define TIMERS_OF(p, type, b, s, which, table, it, x, put) \
    ARRAY_OF( \
        p, type, b, it, \
        for (uint32_t j_ = 0; j_ < ((which) ? it->t->timers_done_len : it->t->timers_new_len); \
             j_++) { \
            const struct timer_row *x = \
                (which) ? &it->t->timers_done[j_] : &it->t->timers_new[j_]; \
            if (table_of(s, x) == (table)) { \
                put; \
            } \
        })

static unsigned table_of(const struct store_pg *s, const struct timer_row *t)
{
    if (t->window == TIMER_LONG_TERM) {
        return LONG_TABLE;
    }
    /* Without a ring the turn is refused: the table does not matter. */
    return s->ring_windows > 0 ? (unsigned)(t->window % s->ring_windows) : 0;
}

static void mark_tables(const struct op_call *op, unsigned which, bool used[PG_TABLES_MAX])
{
    memset(used, 0, PG_TABLES_MAX * sizeof(used[0]));
    EACH(op->batch, it)
    {
        const struct turn_row *t = it->t;
        uint32_t len = which == 0 ? t->timers_new_len : t->timers_done_len;
        for (uint32_t j = 0; j < len; j++) {
            used[table_of(op->store, which == 0 ? &t->timers_new[j] : &t->timers_done[j])] = true;
        }
    }
}

static void need_timers(struct op_call *op, struct pg_conn *conn)
{
    bool used[PG_TABLES_MAX];
    for (unsigned which = 0; which < PG_TEMPLATES; which++) {
        mark_tables(op, which, used);
        for (unsigned table = 0; table < PG_TABLES_MAX; table++) {
            if (used[table]) {
                pg_conn_need_timer(conn, which, table);
            }
        }
    }
}

static void send_timers(struct op_call *op, struct pg_conn *conn, unsigned which)
{
    struct batch *b = op->batch;
    const struct store_pg *s = op->store;
    bool used[PG_TABLES_MAX];
    mark_tables(op, which, used);
    for (unsigned table = 0; table < PG_TABLES_MAX; table++) {
        if (!used[table]) {
            continue;
        }
        struct pg_params *p = pg_conn_params(conn);
        TIMERS_OF(p, PG_TIMESTAMPTZ, b, s, which, table, it, x, pg_time(p, x->due));
        TIMERS_OF(p, PG_UUID, b, s, which, table, it, x, pg_uuid(p, x->exec.b));
        TIMERS_OF(p, PG_INT8, b, s, which, table, it, x, pg_u8(p, x->seq));
        TIMERS_OF(p, PG_INT4, b, s, which, table, it, x, pg_i4(p, (int32_t)x->idx));
        TIMERS_OF(p, PG_INT8, b, s, which, table, it, x, pg_u8(p, it->t->turn));
        pg_conn_exec_timer(conn, which, table);
    }
}

#define SOME_OF(p, type, b, it, cond, put) \
    ARRAY_OF( \
        p, type, b, it, if (cond) { put; })

static void send_snapshots(struct batch *b, struct pg_conn *conn)
{
    struct pg_params *p = pg_conn_params(conn);
    SOME_OF(p, PG_UUID, b, it, it->t->snapshot.p != NULL, pg_uuid(p, it->t->exec.b));
    SOME_OF(p, PG_INT8, b, it, it->t->snapshot.p != NULL, pg_u8(p, it->t->turn));
    SOME_OF(p, PG_BYTEA, b, it, it->t->snapshot.p != NULL, pg_text(p, it->t->snapshot));
    pg_conn_exec(conn, STMT_SNAPSHOTS);
}

static void send_closes(struct batch *b, struct pg_conn *conn)
{
    struct pg_params *p = pg_conn_params(conn);
    SOME_OF(p, PG_UUID, b, it, it->t->status != STATUS_OPEN, pg_uuid(p, it->t->exec.b));
    SOME_OF(p, PG_INT8, b, it, it->t->status != STATUS_OPEN, pg_u8(p, it->t->turn));
    SOME_OF(p, PG_INT4, b, it, it->t->status != STATUS_OPEN, pg_i4(p, exec_id_shard(&it->t->exec)));
    pg_conn_exec(conn, STMT_CLOSE_KEYS);
}

void commit_send(struct op_call *op, struct pg_conn *conn)
{
    struct batch *b = op->batch = batch_new(op);
    if (b->timers) {
        need_timers(op, conn);
    }
    if (b->lanes_len > 0) {
        send_lock(op, conn);
    }
    if (b->starts_len > 0) {
        send_starts(op, conn);
    }
    send_turns(op, conn);
    if (b->more_done) {
        send_more_done(b, conn);
    }
    if (b->more_new) {
        send_more_new(b, conn);
    }
    if (b->submits) {
        send_submits(b, conn);
    }
    if (b->reads) {
        send_reads(b, conn);
    }
    if (b->sends > 0) {
        send_sends(op, conn);
    }
    if (b->timers) {
        send_timers(op, conn, 1);
        send_timers(op, conn, 0);
    }
    if (b->snapshots) {
        send_snapshots(b, conn);
    }
    if (b->closes) {
        send_closes(b, conn);
    }
}

/* ---- answers ---- */

struct lane_facts {
    struct pg_array found, held, accept, open;
};

static void judge(const struct batch *b, uint32_t i, struct wall now, const struct lane_facts *f)
{
    const struct item *it = &b->items[i];
    struct turn_row *t = it->t;
    t->via_inbox = false;
    if (b->won[i]) {
        t->result = TURN_OK;
        t->via_inbox = it->k > 0 && *pg_array_at(&f->held, it->k - 1) == 0;
        return;
    }
    t->result = t->start != NULL ? TURN_EXISTS : TURN_CONFLICT;
    if (b->stale[i]) {
        return;
    }
    if (t->due_max.us > now.us) {
        t->result = TURN_EARLY;
    } else if (it->k > 0 && *pg_array_at(&f->found, it->k - 1) == 0) {
        t->result = TURN_WINDOW;
    } else if (it->k > 0 && f->accept.len > 0) {
        int64_t accept = pg_get_i8(pg_array_at(&f->accept, it->k - 1));
        int64_t open = pg_get_i8(pg_array_at(&f->open, it->k - 1));
        bool ring = it->ring_lo > it->ring_hi || (it->ring_lo >= accept && it->ring_hi <= open);
        if (!ring || it->long_lo <= open) {
            t->result = TURN_WINDOW;
        }
    }
}

/* Marks the items whose numbers (from 1) stand in an array; "map" leads from there to items. */
static bool take_marks(const PGresult *r, int col, const uint32_t *map, uint32_t len,
                       uint8_t *marks)
{
    struct str bytes = pg_row_bytes(r, 0, col);
    struct pg_array a;
    if (bytes.p == NULL) {
        return true;
    }
    if (!pg_array_open(bytes, 4, &a)) {
        return false;
    }
    for (uint32_t i = 0; i < a.len; i++) {
        int32_t n = pg_get_i4(pg_array_at(&a, i));
        if (n < 1 || (uint32_t)n > len) {
            return false;
        }
        marks[map != NULL ? map[n - 1] : (uint32_t)n - 1] = 1;
    }
    return true;
}

/* Which inbox rows were announced, by their numbers over the whole batch, from 1. */
static bool take_announced(struct batch *b, const PGresult *r)
{
    uint8_t *far = mem_alloc(MAX(b->sends, 1U));
    bool ok = PQntuples(r) == 1 && take_marks(r, 0, NULL, b->sends, far);
    uint32_t n = 0;
    EACH(b, it)
    {
        for (uint32_t j = 0; ok && j < it->t->inbox_new_len; j++) {
            it->t->inbox_new[j].announced = far[n++] != 0;
        }
    }
    mem_free(far);
    return ok;
}

bool commit_result(struct op_call *op, unsigned step, const PGresult *r)
{
    struct batch *b = op->batch;
    if (step == b->inbox_step) {
        return take_announced(b, r);
    }
    if (step == b->keys_step) {
        return PQntuples(r) == 1 && take_marks(r, 1, b->starts, b->starts_len, b->stale);
    }
    if (step != b->turn_step) {
        return true;
    }
    struct lane_facts f;
    if (PQntuples(r) != 1 || !take_marks(r, 2, NULL, b->len, b->won) ||
        !take_marks(r, 3, NULL, b->len, b->stale) ||
        !pg_array_open(pg_row_bytes(r, 0, 4), 1, &f.found) ||
        !pg_array_open(pg_row_bytes(r, 0, 5), 1, &f.held) ||
        !pg_array_open(pg_row_bytes(r, 0, 6), 8, &f.accept) ||
        !pg_array_open(pg_row_bytes(r, 0, 7), 8, &f.open) || f.found.len != b->lanes_len ||
        f.held.len != b->lanes_len || (f.accept.len != 0 && f.accept.len != b->lanes_len) ||
        f.open.len != f.accept.len) {
        return false;
    }
    if (PQgetisnull(r, 0, 2)) {
        memset(b->won, 1, b->len); /* the usual case is told in few bytes */
    }
    op->now = pg_row_time(r, 0, 0);
    commit_of(op)->lsn = (uint64_t)pg_row_i8(r, 0, 1);
    for (uint32_t k = 0; k < b->lanes_len; k++) {
        if (*pg_array_at(&f.found, k) == 0) {
            op->store->meta_fresh = false; /* the lanes were split or merged */
        }
    }
    for (uint32_t i = 0; i < b->len; i++) {
        judge(b, i, op->now, &f);
    }
    return true;
}

void commit_end(struct op_call *op)
{
    struct store_commit *c = commit_of(op);
    if (op->call.err != ERR_OK) {
        c->lsn = 0;
        for (uint32_t i = 0; i < c->turns_len; i++) {
            c->turns[i]->result = TURN_DROPPED;
            c->turns[i]->via_inbox = false;
        }
    }
    batch_free(op->batch);
    op->batch = NULL;
}
