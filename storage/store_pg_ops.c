/* What each operation but the turn batch says to PostgreSQL, and how its answer is read. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/store_pg_internal.h"

#include "base/assert.h"
#include "base/mem.h"

enum { ANSWER_ROWS_MAX = 1000000 };

#define REQ(op, type) CONTAINER_OF((op)->req, struct type, req)

/* ---- shared ---- */

static void send_now(struct op_call *op, struct pg_conn *conn)
{
    pg_conn_params(conn);
    op->now_step = op->call.sent;
    pg_conn_exec(conn, STMT_NOW);
}

/* Shards, lanes, epochs, claims: in lane order, which is the lock order. */
static int by_lane(const void *a, const void *b)
{
    const struct lane_ref *x = *(const struct lane_ref *const *)a;
    const struct lane_ref *y = *(const struct lane_ref *const *)b;
    if (x->shard != y->shard) {
        return x->shard < y->shard ? -1 : 1;
    }
    return x->lane < y->lane ? -1 : x->lane > y->lane;
}

static void put_refs(struct pg_params *p, const struct lane_ref *lanes, uint32_t len)
{
    const struct lane_ref **order = MEM_ARRAY(const struct lane_ref *, MAX(len, 1U));
    for (uint32_t i = 0; i < len; i++) {
        order[i] = &lanes[i];
    }
    qsort(order, len, sizeof(order[0]), by_lane);
    pg_array_begin(p, PG_INT4);
    for (uint32_t i = 0; i < len; i++) {
        pg_i4(p, order[i]->shard);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT4);
    for (uint32_t i = 0; i < len; i++) {
        pg_i4(p, order[i]->lane);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT8);
    for (uint32_t i = 0; i < len; i++) {
        pg_u8(p, order[i]->fence.epoch);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_UUID);
    for (uint32_t i = 0; i < len; i++) {
        pg_uuid(p, order[i]->fence.claim.b);
    }
    pg_array_end(p);
    mem_free(order);
}

static struct exec_id row_exec(const PGresult *r, int row, int col)
{
    struct exec_id id;
    pg_row_uuid(r, row, col, id.b);
    return id;
}

/* Room for the rows of an answer in the request's arena; NULL with rows == 0. */
static void *rows_of(struct op_call *op, const PGresult *r, size_t size, uint32_t *len)
{
    int n = PQntuples(r);
    *len = 0;
    if (n == 0) {
        return NULL;
    }
    PRE(op->req->arena != NULL);
    void *rows = n <= ANSWER_ROWS_MAX ? arena_zalloc(op->req->arena, (size_t)n * size) : NULL;
    if (rows != NULL) {
        *len = (uint32_t)n;
    }
    return rows;
}

/* ---- leases ---- */

static void lease_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_lease *q = REQ(op, store_lease);
    struct pg_params *p = pg_conn_params(conn);
    pg_uuid(p, q->incarnation.b);
    pg_text(p, q->node);
    pg_text(p, q->address);
    pg_i8(p, q->lease_us);
    pg_bool(p, q->renew_only);
    pg_conn_exec(conn, STMT_LEASE);
}

static bool lease_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_lease *q = REQ(op, store_lease);
    if (PQntuples(r) != 1) {
        return false;
    }
    q->lease_until = pg_row_time(r, 0, 0);
    op->now = pg_row_time(r, 0, 1);
    q->system_id = (uint64_t)pg_row_i8(r, 0, 2);
    q->timeline = (uint32_t)pg_row_i8(r, 0, 3);
    return true;
}

static void release_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_release *q = REQ(op, store_release);
    struct pg_params *p = pg_conn_params(conn);
    pg_uuid(p, q->incarnation.b);
    if (q->lanes == NULL) {
        for (int i = 0; i < 4; i++) {
            pg_null(p);
        }
    } else {
        put_refs(p, q->lanes, q->lanes_len);
    }
    pg_bool(p, q->leave);
    pg_conn_exec(conn, STMT_RELEASE);
}

/* The answer's second column is the clock. */
static bool now_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    op->now = pg_row_time(r, 0, 1);
    return PQntuples(r) == 1;
}

/* ---- lanes ---- */

static void lanes_send(struct op_call *op, struct pg_conn *conn)
{
    pg_i4(pg_conn_params(conn), REQ(op, store_lanes)->shard);
    pg_conn_exec(conn, STMT_LANES);
}

static struct lane_row *lane_rows(struct op_call *op, const PGresult *r, uint32_t *len)
{
    struct lane_row *rows = rows_of(op, r, sizeof(*rows), len);
    for (int i = 0; i < (int)*len; i++) {
        struct lane_row *l = &rows[i];
        l->shard = (uint16_t)pg_row_i4(r, i, 0);
        l->lane = (uint16_t)pg_row_i4(r, i, 1);
        l->slot_lo = (uint16_t)pg_row_i4(r, i, 2);
        l->slot_hi = (uint16_t)pg_row_i4(r, i, 3);
        l->fence.epoch = (uint64_t)pg_row_i8(r, i, 4);
        pg_row_uuid(r, i, 5, l->fence.claim.b);
        pg_row_uuid(r, i, 6, l->incarnation.b);
        l->node = pg_row_text(r, i, 7, op->req->arena);
        l->address = pg_row_text(r, i, 8, op->req->arena);
        l->closed_to = pg_row_i8(r, i, 9);
        l->accept_from = pg_row_i8(r, i, 10);
        l->open_to = pg_row_i8(r, i, 11);
        l->lease_left_us = pg_row_i8(r, i, 12);
        l->has_session = pg_row_bool(r, i, 13);
        op->now = pg_row_time(r, i, 14);
    }
    return rows;
}

static bool lanes_result(struct op_call *op, unsigned step, const PGresult *r)
{
    struct store_lanes *q = REQ(op, store_lanes);
    if (step == 0) {
        q->lanes = lane_rows(op, r, &q->lanes_len);
    }
    return true;
}

static int by_number(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static enum err claim_check(struct op_call *op, struct err_detail *d)
{
    const struct store_claim *q = REQ(op, store_claim);
    if (q->window_us <= 0 || q->ring_windows == 0 || q->ring_windows > RING_WINDOWS_MAX) {
        return err_set(d, ERR_INVALID, "%u windows of %" PRId64 " us", q->ring_windows,
                       q->window_us);
    }
    op->claims = MEM_ARRAY(struct uuid, MAX(q->lanes_len, 1U));
    struct rng rng;
    rng_seed(&rng, q->claim_seed);
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        op->claims[i] = uuid_make(&rng);
    }
    return ERR_OK;
}

static void claim_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_claim *q = REQ(op, store_claim);
    uint16_t *order = MEM_ARRAY(uint16_t, MAX(q->lanes_len, 1U));
    if (q->lanes_len > 0) {
        memcpy(order, q->lanes, q->lanes_len * sizeof(order[0]));
        qsort(order, q->lanes_len, sizeof(order[0]), by_number);
    }
    struct pg_params *p = pg_conn_params(conn);
    pg_i4(p, q->shard);
    pg_uuid(p, q->incarnation.b);
    pg_text(p, q->node);
    pg_array_begin(p, PG_INT4);
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        pg_i4(p, order[i]);
    }
    pg_array_end(p);
    mem_free(order);
    pg_array_begin(p, PG_UUID);
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        pg_uuid(p, op->claims[i].b);
    }
    pg_array_end(p);
    pg_bool(p, q->takeover);
    pg_i8(p, q->window_us);
    pg_i4(p, (int32_t)q->ring_windows);
    pg_conn_exec(conn, STMT_CLAIM);

    p = pg_conn_params(conn);
    pg_i4(p, q->shard);
    pg_array_begin(p, PG_UUID);
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        pg_uuid(p, op->claims[i].b);
    }
    pg_array_end(p);
    pg_conn_exec(conn, STMT_CLAIMED);
    send_now(op, conn);
}

static bool claim_result(struct op_call *op, unsigned step, const PGresult *r)
{
    struct store_claim *q = REQ(op, store_claim);
    if (step == 1) {
        q->got = lane_rows(op, r, &q->got_len);
    }
    return true;
}

static void claim_end(struct op_call *op)
{
    struct store_claim *q = REQ(op, store_claim);
    if (op->call.err == ERR_OK) {
        op->store->window_us = q->window_us;
        op->store->ring_windows = q->ring_windows;
    } else {
        q->got = NULL;
        q->got_len = 0;
    }
}

/* ---- windows ---- */

static uint32_t move_max(uint32_t limit)
{
    return limit == 0 ? STORE_MOVE_MAX : MIN(limit, (uint32_t)STORE_MOVE_MAX);
}

static void send_shortly(struct pg_conn *conn)
{
    pg_conn_params(conn);
    pg_conn_exec(conn, STMT_SHORTLY);
}

static void open_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_window_open *q = REQ(op, store_window_open);
    send_shortly(conn);
    struct pg_params *p = pg_conn_params(conn);
    put_refs(p, q->lanes, q->lanes_len);
    pg_i8(p, q->open_to);
    pg_i8(p, move_max(q->limit));
    pg_conn_exec(conn, STMT_WINDOW_OPEN);
}

static bool open_result(struct op_call *op, unsigned step, const PGresult *r)
{
    struct store_window_open *q = REQ(op, store_window_open);
    if (step == 0) {
        return true;
    }
    q->opened_to = pg_row_i8(r, 0, 0);
    q->promoted = (uint64_t)pg_row_i8(r, 0, 1);
    q->more = q->promoted >= move_max(q->limit);
    op->now = pg_row_time(r, 0, 2);
    return PQntuples(r) == 1;
}

static void close_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_window_close *q = REQ(op, store_window_close);
    if (!q->finish) {
        send_shortly(conn);
    }
    struct pg_params *p = pg_conn_params(conn);
    put_refs(p, q->lanes, q->lanes_len);
    pg_i8(p, q->accept_from);
    pg_bool(p, q->finish);
    pg_i8(p, move_max(q->limit));
    pg_conn_exec(conn, STMT_WINDOW_CLOSE);
}

static bool close_result(struct op_call *op, unsigned step, const PGresult *r)
{
    struct store_window_close *q = REQ(op, store_window_close);
    if (!q->finish && step == 0) {
        return true;
    }
    q->moved = (uint64_t)pg_row_i8(r, 0, 0);
    q->more = q->finish && q->moved > 0;
    return now_result(op, step, r);
}

static enum err empty_check(struct op_call *op, struct err_detail *d)
{
    return REQ(op, store_window_empty)->window >= 0
               ? ERR_OK
               : err_set(d, ERR_INVALID, "a window before 1970");
}

static void empty_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_window_empty *q = REQ(op, store_window_empty);
    struct pg_params *p = pg_conn_params(conn);
    pg_i4(p, q->shard);
    pg_i8(p, q->window);
    pg_conn_exec(conn, STMT_WINDOW_EMPTY);
}

static bool empty_result(struct op_call *op, unsigned step, const PGresult *r)
{
    REQ(op, store_window_empty)->emptied = pg_row_bool(r, 0, 0);
    return now_result(op, step, r);
}

static void promote_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_promote *q = REQ(op, store_promote);
    struct pg_params *p = pg_conn_params(conn);
    put_refs(p, q->lanes, q->lanes_len);
    pg_i8(p, q->to);
    if (q->from.us != 0) {
        pg_time(p, q->from);
    } else {
        pg_time_always(p);
    }
    pg_i8(p, move_max(q->limit));
    pg_conn_exec(conn, STMT_PROMOTE);
}

static bool promote_result(struct op_call *op, unsigned step, const PGresult *r)
{
    struct store_promote *q = REQ(op, store_promote);
    q->promoted = (uint64_t)pg_row_i8(r, 0, 0);
    q->reached = pg_row_time(r, 0, 2);
    q->more = q->promoted >= move_max(q->limit);
    return now_result(op, step, r);
}

/* ---- what an owner loads ---- */

static void timers_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_timers *q = REQ(op, store_timers);
    static const struct timer_row first;
    const struct timer_row *after = q->after != NULL ? q->after : &first;
    struct pg_params *p = pg_conn_params(conn);
    put_refs(p, q->lanes, q->lanes_len);
    if (q->after != NULL) {
        pg_time(p, after->due);
    } else {
        pg_time_always(p);
    }
    pg_uuid(p, after->exec.b);
    pg_u8(p, after->seq);
    pg_i4(p, (int32_t)after->idx);
    pg_time(p, q->due_to);
    pg_i8(p, q->limit);
    pg_conn_exec(conn, STMT_TIMERS);
    send_now(op, conn);
}

static bool timers_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_timers *q = REQ(op, store_timers);
    q->rows = rows_of(op, r, sizeof(q->rows[0]), &q->rows_len);
    for (int i = 0; i < (int)q->rows_len; i++) {
        q->rows[i].due = pg_row_time(r, i, 0);
        q->rows[i].exec = row_exec(r, i, 1);
        q->rows[i].seq = (uint64_t)pg_row_i8(r, i, 2);
        q->rows[i].idx = (uint32_t)pg_row_i4(r, i, 3);
        q->rows[i].window = pg_row_i8(r, i, 4);
    }
    return true;
}

static void drop_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_timers_drop *q = REQ(op, store_timers_drop);
    struct pg_params *p = pg_conn_params(conn);
    put_refs(p, q->lanes, q->lanes_len);
    pg_array_begin(p, PG_TIMESTAMPTZ);
    for (uint32_t i = 0; i < q->rows_len; i++) {
        pg_time(p, q->rows[i].due);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_UUID);
    for (uint32_t i = 0; i < q->rows_len; i++) {
        pg_uuid(p, q->rows[i].exec.b);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT8);
    for (uint32_t i = 0; i < q->rows_len; i++) {
        pg_u8(p, q->rows[i].seq);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT4);
    for (uint32_t i = 0; i < q->rows_len; i++) {
        pg_i4(p, (int32_t)q->rows[i].idx);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT8);
    for (uint32_t i = 0; i < q->rows_len; i++) {
        pg_i8(p, q->rows[i].window);
    }
    pg_array_end(p);
    pg_conn_exec(conn, STMT_TIMERS_DROP);
}

/* The ids of the lanes' executions: lowest, and lowest behind. */
static void put_id_ranges(struct pg_params *p, const struct lane_ref *lanes, uint32_t len)
{
    pg_array_begin(p, PG_UUID);
    for (uint32_t i = 0; i < len; i++) {
        struct exec_id lo = exec_id_low(lanes[i].shard, lanes[i].slot_lo);
        pg_uuid(p, lo.b);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_UUID);
    for (uint32_t i = 0; i < len; i++) {
        struct exec_id hi = exec_id_low(lanes[i].shard, lanes[i].slot_hi);
        pg_uuid(p, hi.b);
    }
    pg_array_end(p);
}

static void tasks_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_tasks *q = REQ(op, store_tasks);
    static const struct task_token first;
    const struct task_token *after = q->after != NULL ? q->after : &first;
    put_refs(pg_conn_params(conn), q->lanes, q->lanes_len);
    pg_conn_exec(conn, STMT_FENCE);
    struct pg_params *p = pg_conn_params(conn);
    put_id_ranges(p, q->lanes, q->lanes_len);
    pg_uuid(p, after->ref.exec.b);
    pg_u8(p, after->ref.seq);
    pg_i4(p, (int32_t)after->ref.idx);
    pg_i8(p, q->limit);
    pg_conn_exec(conn, STMT_TASKS);
}

static bool tasks_result(struct op_call *op, unsigned step, const PGresult *r)
{
    struct store_tasks *q = REQ(op, store_tasks);
    if (step == 0) {
        return now_result(op, step, r);
    }
    q->rows = rows_of(op, r, sizeof(q->rows[0]), &q->rows_len);
    for (int i = 0; i < (int)q->rows_len; i++) {
        struct task_row *t = &q->rows[i];
        t->token.ref.exec = row_exec(r, i, 0);
        t->token.ref.seq = (uint64_t)pg_row_i8(r, i, 1);
        t->token.ref.idx = (uint32_t)pg_row_i4(r, i, 2);
        t->token.ref.attempt = (uint32_t)pg_row_i4(r, i, 3);
        t->token.nonce = (uint64_t)pg_row_i8(r, i, 4);
        t->queue = pg_row_text(r, i, 5, op->req->arena);
        t->submitted = t->queue.size > 0 && t->queue.p[0] == SUBMITTED_MARK;
        t->queue = str_sub(t->queue, t->submitted ? 1 : 0, t->queue.size);
        t->timeout_at = pg_row_time(r, i, 6);
        t->heartbeat_us = pg_row_i8(r, i, 7);
    }
    return true;
}

static void inbox_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_inbox *q = REQ(op, store_inbox);
    static const struct exec_id first;
    put_refs(pg_conn_params(conn), q->lanes, q->lanes_len);
    pg_conn_exec(conn, STMT_FENCE);
    struct pg_params *p = pg_conn_params(conn);
    put_id_ranges(p, q->lanes, q->lanes_len);
    pg_uuid(p, q->after != NULL ? q->after->b : first.b);
    pg_i8(p, q->limit);
    pg_conn_exec(conn, STMT_INBOX);
}

static bool inbox_result(struct op_call *op, unsigned step, const PGresult *r)
{
    struct store_inbox *q = REQ(op, store_inbox);
    if (step == 0) {
        return now_result(op, step, r);
    }
    q->ids = rows_of(op, r, sizeof(q->ids[0]), &q->ids_len);
    for (int i = 0; i < (int)q->ids_len; i++) {
        q->ids[i] = row_exec(r, i, 0);
    }
    return true;
}

static void inbox_drop_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_inbox_drop *q = REQ(op, store_inbox_drop);
    put_refs(pg_conn_params(conn), q->lanes, q->lanes_len);
    pg_conn_exec(conn, STMT_FENCE);
    struct pg_params *p = pg_conn_params(conn);
    pg_array_begin(p, PG_UUID);
    for (uint32_t i = 0; i < q->rows_len; i++) {
        pg_uuid(p, q->rows[i].exec.b);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_TEXT);
    for (uint32_t i = 0; i < q->rows_len; i++) {
        pg_text(p, q->rows[i].source);
    }
    pg_array_end(p);
    pg_conn_exec(conn, STMT_INBOX_DROP);
}

static bool inbox_drop_result(struct op_call *op, unsigned step, const PGresult *r)
{
    return step > 0 || now_result(op, step, r);
}

static void lane_inbox_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_lane_inbox *q = REQ(op, store_lane_inbox);
    put_refs(pg_conn_params(conn), q->lanes, q->lanes_len);
    pg_conn_exec(conn, STMT_FENCE);
    struct pg_params *p = pg_conn_params(conn);
    pg_array_begin(p, PG_INT4);
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        pg_i4(p, q->lanes[i].shard);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT4);
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        pg_i4(p, q->lanes[i].lane);
    }
    pg_array_end(p);
    pg_i8(p, q->limit);
    pg_conn_exec(conn, STMT_LANE_INBOX);
}

static bool lane_inbox_result(struct op_call *op, unsigned step, const PGresult *r)
{
    struct store_lane_inbox *q = REQ(op, store_lane_inbox);
    if (step == 0) {
        return now_result(op, step, r);
    }
    q->rows = rows_of(op, r, sizeof(q->rows[0]), &q->rows_len);
    for (int i = 0; i < (int)q->rows_len; i++) {
        q->rows[i].shard = (uint16_t)pg_row_i4(r, i, 0);
        q->rows[i].lane = (uint16_t)pg_row_i4(r, i, 1);
        q->rows[i].id = (uint64_t)pg_row_i8(r, i, 2);
        q->rows[i].exec = row_exec(r, i, 3);
    }
    return true;
}

/* ---- reads ---- */

static void load_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_load *q = REQ(op, store_load);
    struct pg_params *p = pg_conn_params(conn);
    pg_array_begin(p, PG_UUID);
    for (uint32_t i = 0; i < q->ids_len; i++) {
        pg_uuid(p, q->ids[i].b);
    }
    pg_array_end(p);
    pg_bool(p, q->inbox);
    pg_i8(p, INBOX_LOAD_MAX);
    pg_i8(p, INBOX_LOAD_BYTES_MAX);
    pg_conn_exec(conn, STMT_LOAD);
    send_now(op, conn);
}

static void load_head(struct exec_row *e, const PGresult *r, int i, struct arena *a)
{
    e->found = true;
    e->seq = (uint64_t)pg_row_i8(r, i, 2);
    e->turn = (uint64_t)pg_row_i8(r, i, 3);
    e->revision = (uint64_t)pg_row_i8(r, i, 4);
    e->snapshot_seq = (uint64_t)pg_row_i8(r, i, 5);
    e->started_at = pg_row_time(r, i, 6);
    e->closed_at = pg_row_time(r, i, 7);
    e->tenant = (uint32_t)pg_row_i4(r, i, 8);
    e->status = (uint8_t)pg_row_i4(r, i, 9);
    e->workflow = pg_row_text(r, i, 12, a);
    e->name = pg_row_text(r, i, 13, a);
    e->snapshot = pg_row_text(r, i, 14, a);
}

static void load_turn(struct exec_row *e, struct history_row *h, const PGresult *r, int i,
                      struct arena *a)
{
    h->seq = (uint64_t)pg_row_i8(r, i, 2);
    h->at = pg_row_time(r, i, 6);
    h->first_event = (uint32_t)pg_row_i4(r, i, 10);
    h->event_count = (uint32_t)pg_row_i4(r, i, 11);
    h->body = pg_row_text(r, i, 14, a);
    e->rows = e->rows_len == 0 ? h : e->rows;
    e->rows_len++;
}

static void load_message(struct exec_row *e, struct inbox_row *m, const PGresult *r, int i,
                         struct arena *a)
{
    m->exec = e->exec;
    m->kind = (uint16_t)pg_row_i4(r, i, 10);
    m->source = pg_row_text(r, i, 12, a);
    m->payload = pg_row_text(r, i, 14, a);
    if (m->payload.p == NULL) {
        e->inbox_more = true;
    } else if (!e->inbox_more) {
        e->inbox = e->inbox_len == 0 ? m : e->inbox;
        e->inbox_len++;
    }
}

enum { LOAD_HEAD, LOAD_TURN, LOAD_MESSAGE };

/* Room for the messages among the rows; NULL: the arena is full. */
static struct inbox_row *load_room(struct arena *a, const PGresult *r, uint32_t len)
{
    size_t messages = 0;
    for (int i = 0; i < (int)len; i++) {
        messages += pg_row_i4(r, i, 1) == LOAD_MESSAGE;
    }
    return arena_zalloc(a, MAX(messages, (size_t)1) * sizeof(struct inbox_row));
}

static bool load_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_load *q = REQ(op, store_load);
    struct arena *a = op->req->arena;
    q->rows = arena_zalloc(a, MAX(q->ids_len, 1U) * sizeof(q->rows[0]));
    uint32_t len;
    struct history_row *h = rows_of(op, r, sizeof(*h), &len);
    struct inbox_row *m = load_room(a, r, len);
    if (q->rows == NULL || m == NULL) {
        return true; /* the arena says so */
    }
    for (uint32_t i = 0; i < q->ids_len; i++) {
        q->rows[i].exec = q->ids[i];
    }
    for (int i = 0; i < (int)len; i++) {
        int32_t n = pg_row_i4(r, i, 0);
        if (n < 1 || (uint32_t)n > q->ids_len) {
            return false;
        }
        struct exec_row *e = &q->rows[n - 1];
        switch (pg_row_i4(r, i, 1)) {
        case LOAD_HEAD:
            load_head(e, r, i, a);
            break;
        case LOAD_TURN:
            load_turn(e, &h[i], r, i, a);
            break;
        case LOAD_MESSAGE:
            load_message(e, m++, r, i, a);
            break;
        default:
            return false;
        }
    }
    return true;
}

static void lookup_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_start_lookup *q = REQ(op, store_start_lookup);
    struct pg_params *p = pg_conn_params(conn);
    pg_array_begin(p, PG_INT4);
    for (uint32_t i = 0; i < q->keys_len; i++) {
        pg_i4(p, (int32_t)q->keys[i].tenant);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_TEXT);
    for (uint32_t i = 0; i < q->keys_len; i++) {
        pg_text(p, q->keys[i].workflow);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_TEXT);
    for (uint32_t i = 0; i < q->keys_len; i++) {
        pg_text(p, q->keys[i].name);
    }
    pg_array_end(p);
    pg_array_begin(p, PG_INT4);
    for (uint32_t i = 0; i < q->keys_len; i++) {
        pg_i4(p, op->store->config.shard);
    }
    pg_array_end(p);
    pg_conn_exec(conn, STMT_START_LOOKUP);
    send_now(op, conn);
}

static bool lookup_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_start_lookup *q = REQ(op, store_start_lookup);
    q->found = arena_zalloc(op->req->arena, MAX(q->keys_len, 1U) * sizeof(q->found[0]));
    if (q->found == NULL) {
        return true;
    }
    for (int i = 0; i < PQntuples(r); i++) {
        int32_t n = pg_row_i4(r, i, 0);
        if (n < 1 || (uint32_t)n > q->keys_len) {
            return false;
        }
        q->found[n - 1].found = true;
        q->found[n - 1].exec = row_exec(r, i, 1);
        q->found[n - 1].digest = (uint64_t)pg_row_i8(r, i, 2);
    }
    return true;
}

static void list_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_list *q = REQ(op, store_list);
    struct pg_params *p = pg_conn_params(conn);
    pg_i4(p, (int32_t)q->tenant);
    pg_text_or_null(p, q->workflow.size > 0 ? q->workflow : STR_NONE);
    pg_i2(p, q->status);
    if (q->before.us != 0) {
        pg_time(p, q->before);
    } else {
        pg_time_never(p);
    }
    pg_uuid(p, q->before_exec.b);
    pg_i8(p, q->limit);
    pg_conn_exec(conn, STMT_LIST);
    send_now(op, conn);
}

static bool list_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_list *q = REQ(op, store_list);
    q->rows = rows_of(op, r, sizeof(q->rows[0]), &q->rows_len);
    for (int i = 0; i < (int)q->rows_len; i++) {
        struct exec_row *e = &q->rows[i];
        e->found = true;
        e->exec = row_exec(r, i, 0);
        e->tenant = q->tenant;
        e->seq = (uint64_t)pg_row_i8(r, i, 1);
        e->turn = (uint64_t)pg_row_i8(r, i, 2);
        e->revision = (uint64_t)pg_row_i8(r, i, 3);
        e->snapshot_seq = (uint64_t)pg_row_i8(r, i, 4);
        e->started_at = pg_row_time(r, i, 5);
        e->closed_at = pg_row_time(r, i, 6);
        e->status = (uint8_t)pg_row_i4(r, i, 7);
        e->workflow = pg_row_text(r, i, 8, op->req->arena);
        e->name = pg_row_text(r, i, 9, op->req->arena);
    }
    return true;
}

static void history_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_history *q = REQ(op, store_history);
    struct pg_params *p = pg_conn_params(conn);
    pg_uuid(p, q->exec.b);
    pg_u8(p, q->from_seq);
    pg_i8(p, q->limit);
    pg_conn_exec(conn, STMT_HISTORY);
    send_now(op, conn);
}

static bool history_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_history *q = REQ(op, store_history);
    q->rows = rows_of(op, r, sizeof(q->rows[0]), &q->rows_len);
    for (int i = 0; i < (int)q->rows_len; i++) {
        q->rows[i].seq = (uint64_t)pg_row_i8(r, i, 0);
        q->rows[i].at = pg_row_time(r, i, 1);
        q->rows[i].first_event = (uint32_t)pg_row_i4(r, i, 2);
        q->rows[i].event_count = (uint32_t)pg_row_i4(r, i, 3);
        q->rows[i].body = pg_row_text(r, i, 4, op->req->arena);
    }
    return true;
}

/* ---- definitions and tenants ---- */

static void def_put_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_def_put *q = REQ(op, store_def_put);
    struct pg_params *p = pg_conn_params(conn);
    pg_i4(p, (int32_t)q->tenant);
    pg_text(p, q->workflow);
    pg_text(p, q->text);
    pg_text(p, q->digest);
    pg_array_begin(p, PG_TEXT);
    for (uint32_t i = 0; i < q->state_paths_len; i++) {
        pg_text(p, q->state_paths[i]);
    }
    pg_array_end(p);
    pg_bool(p, q->delete_workflow);
    pg_i4(p, (int32_t)q->if_version);
    pg_bool(p, q->if_absent);
    pg_conn_exec(conn, STMT_DEF_PUT);
}

static bool def_put_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_def_put *q = REQ(op, store_def_put);
    q->revision = (uint64_t)pg_row_i8(r, 0, 0);
    q->version = (uint32_t)pg_row_i4(r, 0, 1);
    q->created = pg_row_bool(r, 0, 2);
    op->now = pg_row_time(r, 0, 3);
    return PQntuples(r) == 1;
}

static void def_row(struct definition_row *d, const PGresult *r, int i, struct arena *a)
{
    d->revision = (uint64_t)pg_row_i8(r, i, 0);
    d->tenant = (uint32_t)pg_row_i4(r, i, 1);
    d->workflow = pg_row_text(r, i, 2, a);
    d->version = (uint32_t)pg_row_i4(r, i, 3);
    d->text = pg_row_text(r, i, 4, a);
    d->digest = pg_row_text(r, i, 5, a);
    d->created_at = pg_row_time(r, i, 6);
    d->deleted = pg_row_bool(r, i, 7);
}

static void def_get_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_def_get *q = REQ(op, store_def_get);
    struct pg_params *p = pg_conn_params(conn);
    pg_u8(p, q->revision);
    pg_i4(p, (int32_t)q->tenant);
    pg_text(p, q->workflow);
    pg_i4(p, (int32_t)q->version);
    pg_conn_exec(conn, STMT_DEF_GET);
    send_now(op, conn);
}

static bool def_get_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_def_get *q = REQ(op, store_def_get);
    if (PQntuples(r) == 0) {
        op->call.err = err_set(&op->call.detail, ERR_NO_WORKFLOW, "no such workflow");
        return true;
    }
    def_row(&q->row, r, 0, op->req->arena);
    return true;
}

static void def_list_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_def_list *q = REQ(op, store_def_list);
    struct pg_params *p = pg_conn_params(conn);
    pg_i4(p, (int32_t)q->tenant);
    pg_text(p, q->after);
    pg_i8(p, q->limit);
    pg_conn_exec(conn, STMT_DEF_LIST);
    send_now(op, conn);
}

static bool def_list_result(struct op_call *op, unsigned step, const PGresult *r)
{
    (void)step;
    struct store_def_list *q = REQ(op, store_def_list);
    q->rows = rows_of(op, r, sizeof(q->rows[0]), &q->rows_len);
    for (int i = 0; i < (int)q->rows_len; i++) {
        def_row(&q->rows[i], r, i, op->req->arena);
    }
    return true;
}

static void tenant_send(struct op_call *op, struct pg_conn *conn)
{
    const struct store_tenant *q = REQ(op, store_tenant);
    struct pg_params *p = pg_conn_params(conn);
    pg_text(p, q->name);
    pg_i4(p, (int32_t)tenant_number(q->name));
    pg_i4(p, (int32_t)q->max);
    pg_bool(p, q->create);
    pg_conn_exec(conn, STMT_TENANT);
}

static bool tenant_result(struct op_call *op, unsigned step, const PGresult *r)
{
    REQ(op, store_tenant)->number = (uint32_t)pg_row_i4(r, 0, 0);
    return now_result(op, step, r);
}

/* ---- the table ---- */

static const struct op_row rows[STORE_OP_COUNT] = {
    [STORE_LEASE] = {"lease", POOL_LEASE, true, NULL, lease_send, lease_result, NULL},
    [STORE_RELEASE] = {"release", POOL_CONTROL, true, NULL, release_send, now_result, NULL},
    [STORE_LANES] = {"lanes", POOL_CONTROL, false, NULL, lanes_send, lanes_result, NULL},
    [STORE_CLAIM] = {"claim", POOL_CONTROL, true, claim_check, claim_send, claim_result, claim_end},
    [STORE_WINDOW_OPEN] = {"window open", POOL_CONTROL, true, NULL, open_send, open_result, NULL},
    [STORE_WINDOW_CLOSE] = {"window close", POOL_CONTROL, true, NULL, close_send, close_result,
                            NULL},
    [STORE_WINDOW_EMPTY] = {"window empty", POOL_CONTROL, true, empty_check, empty_send,
                            empty_result, NULL},
    [STORE_PROMOTE] = {"promote", POOL_CONTROL, true, NULL, promote_send, promote_result, NULL},
    [STORE_TIMERS] = {"timers", POOL_READ, false, NULL, timers_send, timers_result, NULL},
    [STORE_TIMERS_DROP] = {"timers drop", POOL_CONTROL, true, NULL, drop_send, now_result, NULL},
    [STORE_TASKS] = {"tasks", POOL_READ, false, NULL, tasks_send, tasks_result, NULL},
    [STORE_LANE_INBOX] = {"lane inbox", POOL_CONTROL, true, NULL, lane_inbox_send,
                          lane_inbox_result, NULL},
    [STORE_INBOX] = {"inbox", POOL_READ, false, NULL, inbox_send, inbox_result, NULL},
    [STORE_INBOX_DROP] = {"inbox drop", POOL_CONTROL, true, NULL, inbox_drop_send,
                          inbox_drop_result, NULL},
    [STORE_COMMIT] = {"commit", POOL_COMMIT, true, commit_check, commit_send, commit_result,
                      commit_end},
    [STORE_LOAD] = {"load", POOL_READ, false, NULL, load_send, load_result, NULL},
    [STORE_START_LOOKUP] = {"start lookup", POOL_READ, false, NULL, lookup_send, lookup_result,
                            NULL},
    [STORE_LIST] = {"list", POOL_READ, false, NULL, list_send, list_result, NULL},
    [STORE_HISTORY] = {"history", POOL_READ, false, NULL, history_send, history_result, NULL},
    [STORE_DEF_PUT] = {"definition put", POOL_CONTROL, true, NULL, def_put_send, def_put_result,
                       NULL},
    [STORE_DEF_GET] = {"definition get", POOL_READ, false, NULL, def_get_send, def_get_result,
                       NULL},
    [STORE_DEF_LIST] = {"definition list", POOL_READ, false, NULL, def_list_send, def_list_result,
                        NULL},
    [STORE_TENANT] = {"tenant", POOL_CONTROL, true, NULL, tenant_send, tenant_result, NULL},
};

const struct op_row *store_pg_op(enum store_op op)
{
    PRE(op < STORE_OP_COUNT);
    return &rows[op];
}
