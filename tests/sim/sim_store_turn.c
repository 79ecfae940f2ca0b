/* The fake store: the commit of a batch of turns. Each turn is judged against what stands before the
 * batch (turns of one batch are of distinct executions and start keys), then applied or refused
 * alone. */
#include "base/prelude.h"

#include "tests/sim/sim_store_rows.h"

#include "base/assert.h"

#define NAME_RETENTION_US (90 * US_PER_DAY)

static void exec_key(struct sim_key *k, const struct exec_id *id)
{
    key_begin(k, TABLE_EXEC);
    key_bytes(k, id->b, sizeof(id->b));
}

static void start_key_of(struct sim_key *k, uint32_t tenant, struct str workflow, struct str name)
{
    key_begin(k, TABLE_START);
    key_u32(k, tenant);
    key_text(k, workflow);
    key_text(k, name);
}

static void task_key(struct sim_key *k, const struct task_ref *r)
{
    key_begin(k, TABLE_TASK);
    key_bytes(k, r->exec.b, sizeof(r->exec.b));
    key_u64(k, r->seq);
    key_u32(k, r->idx);
}

/* A name is free again nameRetention after its execution closed. */
static bool start_taken(struct sim_exec *x, const struct start_row *start)
{
    struct sim_key k;
    struct start_rec rec;
    start_key_of(&k, start->tenant, start->workflow, start->name);
    struct kv_node *n = kv_get(x->s->kv, key_str(&k));
    if (n == NULL) {
        return false;
    }
    memcpy(&rec, kv_value(n).p, sizeof(rec));
    return rec.closed_at == 0 || rec.closed_at > x->now.us - NAME_RETENTION_US;
}

static bool windows_fit(struct sim_exec *x, const struct turn_row *t, const struct lane_rec *lane)
{
    struct meta_rec m;
    sim_meta_get(x->s, &m);
    for (uint32_t i = 0; i < t->timers_new_len; i++) {
        int64_t window = t->timers_new[i].window;
        if (lane->fence.epoch == 0) {
            return false;
        }
        int64_t end = (lane->open_to + 1) * m.window_us;
        if (window == TIMER_LONG_TERM) {
            if (t->timers_new[i].due.us < end) {
                return false;
            }
        } else if (window < lane->accept_from || window > lane->open_to) {
            return false;
        }
    }
    return true;
}

static enum turn_result turn_judge(struct sim_exec *x, const struct turn_row *t,
                                   const struct lane_rec *lane, struct exec_rec *rec,
                                   struct str *row)
{
    struct sim_key k;
    exec_key(&k, &t->exec);
    struct kv_node *n = kv_get(x->s->kv, key_str(&k));
    if (t->start != NULL) {
        if (start_taken(x, t->start)) {
            return TURN_EXISTS;
        }
        *row = n != NULL ? kv_value(n) : STR_NONE;
    } else {
        if (n == NULL) {
            return TURN_CONFLICT;
        }
        *row = kv_value(n);
        memcpy(rec, row->p, sizeof(*rec));
        if (rec->seq != t->seq_prev || rec->turn != t->turn_prev || rec->status != STATUS_OPEN) {
            return TURN_CONFLICT;
        }
    }
    if (t->due_max.us != 0 && t->due_max.us > x->now.us) {
        return TURN_EARLY;
    }
    return windows_fit(x, t, lane) ? TURN_OK : TURN_WINDOW;
}

static void start_apply(struct sim_exec *x, const struct turn_row *t, struct exec_rec *rec)
{
    struct sim_key k;
    const struct start_row *start = t->start;
    struct start_rec row = {
        .exec = t->exec,
        .digest = start->digest,
        .closed_at = t->status == STATUS_OPEN ? 0 : x->now.us,
    };
    start_key_of(&k, start->tenant, start->workflow, start->name);
    sim_row_put(x->s, &k, &row, sizeof(row), STR_NONE, STR_NONE, STR_NONE);
    *rec = (struct exec_rec){
        .revision = start->revision,
        .started_at = start->started_at.us,
        .tenant = start->tenant,
        .workflow_size = (uint32_t)start->workflow.size,
        .name_size = (uint32_t)start->name.size,
    };
    key_begin(&k, TABLE_EXEC_NEW);
    key_u32(&k, start->tenant);
    key_i64(&k, ~start->started_at.us);
    for (size_t i = 0; i < sizeof(t->exec.b); i++) {
        uint8_t inverted = (uint8_t)~t->exec.b[i];
        key_bytes(&k, &inverted, 1);
    }
    kv_put(x->s->kv, key_str(&k), (struct str){(const char *)t->exec.b, sizeof(t->exec.b)});
}

static void start_close(struct sim_exec *x, const struct exec_rec *rec, struct str workflow,
                        struct str name)
{
    struct sim_key k;
    struct start_rec row;
    start_key_of(&k, rec->tenant, workflow, name);
    struct kv_node *n = kv_get(x->s->kv, key_str(&k));
    if (n != NULL) {
        memcpy(&row, kv_value(n).p, sizeof(row));
        row.closed_at = x->now.us;
        sim_row_put(x->s, &k, &row, sizeof(row), STR_NONE, STR_NONE, STR_NONE);
    }
}

static void history_put(struct sim_exec *x, const struct turn_row *t)
{
    struct sim_key k;
    struct history_rec rec = {
        .at = x->now.us,
        .turn = t->turn,
        .first_event = t->first_event,
        .event_count = t->event_count,
        .body_size = (uint32_t)t->body.size,
        .outcomes_size = (uint32_t)t->outcomes.size,
    };
    key_begin(&k, TABLE_HISTORY);
    key_bytes(&k, t->exec.b, sizeof(t->exec.b));
    key_u64(&k, t->seq);
    sim_row_put(x->s, &k, &rec, sizeof(rec), t->body, t->outcomes, STR_NONE);
}

static void task_submit(struct sim_store *s, const struct sim_key *k)
{
    struct kv_node *n = kv_get(s->kv, key_str(k));
    struct task_rec rec;
    char queue[NAME_SIZE_MAX + 1];
    if (n == NULL) {
        return;
    }
    memcpy(&rec, kv_value(n).p, sizeof(rec));
    ASSERT(rec.queue_size <= sizeof(queue));
    memcpy(queue, kv_value(n).p + sizeof(rec), rec.queue_size);
    rec.submitted = 1;
    sim_row_put(s, k, &rec, sizeof(rec), (struct str){queue, rec.queue_size}, STR_NONE, STR_NONE);
}

static void tasks_apply(struct sim_store *s, const struct turn_row *t)
{
    struct sim_key k;
    for (uint32_t i = 0; i < t->tasks_done_len; i++) {
        task_key(&k, &t->tasks_done[i].ref);
        (void)kv_del(s->kv, key_str(&k));
    }
    for (uint32_t i = 0; i < t->tasks_new_len; i++) {
        const struct task_row *n = &t->tasks_new[i];
        struct task_rec rec = {
            .nonce = n->token.nonce,
            .timeout_at = n->timeout_at.us,
            .heartbeat_us = n->heartbeat_us,
            .attempt = n->token.ref.attempt,
            .queue_size = (uint32_t)n->queue.size,
        };
        task_key(&k, &n->token.ref);
        sim_row_put(s, &k, &rec, sizeof(rec), n->queue, STR_NONE, STR_NONE);
    }
    for (uint32_t i = 0; i < t->tasks_submitted_len; i++) {
        task_key(&k, &t->tasks_submitted[i].ref);
        task_submit(s, &k);
    }
}

static void timers_apply(struct sim_store *s, uint16_t lane, const struct turn_row *t)
{
    for (uint32_t i = 0; i < t->timers_done_len; i++) {
        (void)sim_timer_del(s, lane, &t->timers_done[i]);
    }
    for (uint32_t i = 0; i < t->timers_new_len; i++) {
        sim_timer_put(s, lane, &t->timers_new[i]);
    }
}

void sim_announce(struct sim_store *s, uint16_t lane, const struct exec_id *exec)
{
    struct meta_rec m;
    struct sim_key k;
    sim_meta_get(s, &m);
    key_begin(&k, TABLE_INBOX);
    key_u16(&k, lane);
    key_u64(&k, m.next_inbox++);
    kv_put(s->kv, key_str(&k), (struct str){(const char *)exec->b, sizeof(exec->b)});
    sim_meta_put(s, &m);
}

/* "row": the execution's row as it stood; empty for a start. */
static void turn_apply(struct sim_exec *x, const struct turn_row *t, uint16_t lane,
                       struct exec_rec *rec, struct str row)
{
    struct sim_store *s = x->s;
    struct sim_key k;
    char names[2 * SIM_KEY_MAX];
    struct str workflow, name, snapshot = t->snapshot;
    char *old_snapshot = NULL;
    if (t->start != NULL) {
        start_apply(x, t, rec);
        workflow = t->start->workflow;
        name = t->start->name;
    } else {
        /* The row is about to be replaced: its texts are copied first. */
        size_t size = (size_t)rec->workflow_size + rec->name_size;
        ASSERT(size <= sizeof(names));
        memcpy(names, row.p + sizeof(*rec), size);
        workflow = (struct str){names, rec->workflow_size};
        name = (struct str){names + rec->workflow_size, rec->name_size};
        if (snapshot.p == NULL && rec->snapshot_size > 0) {
            old_snapshot = mem_realloc(NULL, rec->snapshot_size);
            memcpy(old_snapshot, row.p + sizeof(*rec) + size, rec->snapshot_size);
            snapshot = (struct str){old_snapshot, rec->snapshot_size};
        }
    }
    rec->seq = t->seq;
    rec->turn = t->turn;
    rec->status = t->status;
    if (t->snapshot.p != NULL) {
        rec->snapshot_seq = t->seq;
        rec->snapshot_size = (uint32_t)t->snapshot.size;
    }
    if (t->status != STATUS_OPEN) {
        rec->closed_at = x->now.us;
        start_close(x, rec, workflow, name);
    }
    exec_key(&k, &t->exec);
    sim_row_put(s, &k, rec, sizeof(*rec), workflow, name, snapshot);
    mem_free(old_snapshot);
    history_put(x, t);
    tasks_apply(s, t);
    timers_apply(s, lane, t);
    char id[EXEC_ID_TEXT + 1];
    exec_id_format(&t->exec, id);
    world_say(s->world,
              "turn %s/%" PRIu64 " status %u tasks +%" PRIu32 " -%" PRIu32 " timers +%" PRIu32
              " -%" PRIu32,
              id, t->seq, t->status, t->tasks_new_len, t->tasks_done_len, t->timers_new_len,
              t->timers_done_len);
}

/* What no correct caller sends; refused as a whole, as the real store refuses it. */
static bool turn_possible(const struct store_commit *c, const struct turn_row *t)
{
    bool possible = exec_id_shard(&t->exec) == c->shard && t->turn != 0 &&
                    t->seq == t->seq_prev + 1 && (t->start != NULL) == (t->seq_prev == 0);
    if (t->start != NULL) {
        possible = possible && t->due_max.us == 0 && t->tasks_done_len + t->timers_done_len == 0 &&
                   t->tasks_submitted_len + t->inbox_done_len == 0;
    }
    for (uint32_t i = 0; i < t->tasks_new_len; i++) {
        possible = possible && exec_id_eq(&t->tasks_new[i].token.ref.exec, &t->exec) &&
                   t->tasks_new[i].queue.p != NULL && !t->tasks_new[i].submitted &&
                   !str_starts(t->tasks_new[i].queue, STR("!"));
    }
    for (uint32_t i = 0; i < t->timers_new_len; i++) {
        possible = possible && exec_id_eq(&t->timers_new[i].exec, &t->exec) &&
                   t->timers_new[i].window >= TIMER_LONG_TERM;
    }
    for (uint32_t i = 0; i < t->timers_done_len; i++) {
        possible = possible && t->timers_done[i].window >= TIMER_LONG_TERM;
    }
    return possible && sim_inbox_possible(c, t);
}

bool sim_lane_held(const struct store_commit *q, const struct sim_store *s, uint16_t lane,
                   const struct lane_rec *rec)
{
    for (uint32_t i = 0; i < q->lanes_len; i++) {
        if (q->lanes[i].shard == s->shard && q->lanes[i].lane == lane &&
            q->lanes[i].fence.epoch == rec->fence.epoch &&
            uuid_eq(&q->lanes[i].fence.claim, &rec->fence.claim) &&
            !uuid_is_null(&rec->incarnation)) {
            return true;
        }
    }
    return false;
}

enum err sim_op_commit(struct sim_exec *x, struct store_commit *q)
{
    struct sim_store *s = x->s;
    for (uint32_t i = 0; i < q->turns_len; i++) {
        if (q->shard != s->shard || !turn_possible(q, q->turns[i]) ||
            sim_damaged(s, &q->turns[i]->exec, SIM_TURNS_REFUSED)) {
            return ERR_INVALID;
        }
    }
    if (sim_evicted(s, &q->incarnation)) {
        return ERR_FENCED;
    }
    for (uint32_t i = 0; i < q->turns_len; i++) {
        struct turn_row *t = q->turns[i];
        struct lane_rec lane_rec = {0};
        struct exec_rec rec = {0};
        struct str row = STR_NONE;
        uint16_t lane = 0;
        if (exec_id_shard(&t->exec) != s->shard ||
            !sim_lane_of_slot(s, exec_id_slot(&t->exec), &lane) ||
            !sim_lane_get(s, lane, &lane_rec, NULL)) {
            return ERR_INVALID;
        }
        t->via_inbox = false;
        t->result = turn_judge(x, t, &lane_rec, &rec, &row);
        if (t->result != TURN_OK) {
            continue;
        }
        if (t->start != NULL && row.p != NULL) {
            return ERR_INVALID; /* an id that exists: a data error, as the primary key has it */
        }
        turn_apply(x, t, lane, &rec, row);
        if (t->tasks_new_len + t->timers_new_len > 0 && !sim_lane_held(q, s, lane, &lane_rec)) {
            t->via_inbox = true;
            sim_announce(s, lane, &t->exec);
        }
    }
    sim_inbox_apply(x, q);
    return ERR_OK;
}
