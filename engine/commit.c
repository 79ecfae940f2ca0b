/* Batches of turns: filling, sending, retrying, and what follows when the answer is lost. See shard.h.
 *
 * Group commit of whatever arrived while the last commit ran: the first batch goes out at once; a second one
 * only when it is worth a transaction of its own (batch_min) or the first has come back. A batch refused
 * as a whole is tried again, then halved until the turn that cannot be stored stands alone; but not
 * when the store is away or a lock was not to be had, which is no turn's fault. A batch without an answer is in doubt: its executions are read again, and the turn id tells. */
#include "base/prelude.h"

#include "engine/shard_internal.h"

LOG_MODULE("commit");

static void batch_next(struct batch *b);

/* ---- filling ---- */

static void batch_reset(struct batch *b)
{
    metric_max(&metric_arena_batch, (int64_t)b->arena.used);
    arena_reset(&b->arena, 1u << 18);
    arena_reset(&b->out, 1u << 14);
    b->len = 0;
    b->bytes = 0;
    b->ranges = 0;
    b->report.turns_len = 0;
    b->backoff_us = 0;
    list_init(&b->report.items);
}

static void retry_fired(struct loop_timer *timer)
{
    batch_next(CONTAINER_OF(timer, struct batch, retry));
}

static struct batch *batch_new(struct shard *s)
{
    struct batch *b = MEM_NEW(struct batch);
    b->shard = s;
    arena_init(&b->arena, 0);
    arena_init(&b->out, 0);
    list_init(&b->free);
    b->retry.fired = retry_fired;
    b->retry.name = "commit again";
    batch_reset(b);
    return b;
}

void batch_free(struct batch *b)
{
    if (b == NULL) {
        return;
    }
    loop_timer_stop(&b->retry);
    arena_fini(&b->arena);
    arena_fini(&b->out);
    mem_free(b);
}

struct batch *batch_open(struct shard *s)
{
    if (s->open != NULL &&
        (s->open->len == TURN_BATCH_MAX || s->open->bytes >= TURN_BATCH_BYTES_MAX)) {
        batches_flush(s);
        if (s->open != NULL) {
            return NULL; /* full, and the store has as many as it may */
        }
    }
    if (s->open == NULL) {
        struct list *l = list_pop_front(&s->batches_free);
        s->open = l != NULL ? LIST_ENTRY(l, struct batch, free) : batch_new(s);
    }
    return s->open;
}

/* With room for "more". */
static struct timer_row *timer_rows(struct arena *a, const struct shard *s, const struct entry *e,
                                    const struct core_timer *t, uint32_t len, uint32_t more)
{
    struct lane *lane = lanes_of((struct lanes *)(uintptr_t)&s->lanes, &e->id);
    struct timer_row *rows = ARENA_ARRAY(a, struct timer_row, len + more);
    for (uint32_t i = 0; i < len; i++) {
        rows[i] = (struct timer_row){.exec = e->id,
                                     .seq = t[i].seq,
                                     .idx = t[i].idx,
                                     .due = t[i].due,
                                     .window = lane_window_for(lane, s->lanes.window_us, t[i].due)};
    }
    return rows;
}

static void ctx_tasks(struct arena *a, struct turn_ctx *c, const struct turn_out *out)
{
    const struct exec_ident *ident = exec_ident(c->entry->x);
    struct task_row *rows = ARENA_ARRAY(a, struct task_row, out->tasks_new_len);
    c->tasks_new = ARENA_ARRAY(a, struct dispatch_task, out->tasks_new_len);
    struct str workflow = str_dup(a, ident->workflow), name = str_dup(a, ident->name);
    for (uint32_t i = 0; i < out->tasks_new_len; i++) {
        const struct core_task *t = &out->tasks_new[i];
        struct str queue = str_dup(a, t->queue);
        rows[i] = (struct task_row){.token = t->token,
                                    .queue = queue,
                                    .timeout_at = t->timeout_at,
                                    .heartbeat_us = t->heartbeat_us};
        c->tasks_new[i] =
            (struct dispatch_task){.token = t->token,
                                   .tenant = exec_id_tenant(&c->entry->id),
                                   .queue = queue,
                                   .workflow = workflow,
                                   .execution_name = name,
                                   .state =
                                       str_dup(a, def_state_path(exec_def(c->entry->x), t->state)),
                                   .timeout_at = t->timeout_at,
                                   .heartbeat_us = t->heartbeat_us,
                                   .waits = task_waits(t),
                                   .has_input = true,
                                   .input = str_dup(a, t->input)};
    }
    c->row.tasks_new = rows;
    c->row.tasks_new_len = out->tasks_new_len;
}

struct timer_row timer_go_on(const struct shard *s, const struct entry *e, uint64_t seq)
{
    struct lane *lane = lanes_of((struct lanes *)(uintptr_t)&s->lanes, &e->id);
    struct wall due = exec_ident(e->x)->started_at;
    return (struct timer_row){.exec = e->id,
                              .seq = seq,
                              .idx = TIMER_GO_ON,
                              .due = due,
                              .window = lane_window_for(lane, s->lanes.window_us, due)};
}

/* Deadlines that fired are deleted where they stood; the ones cancelled where they should stand. */
static void ctx_timers(struct shard *s, struct arena *a, struct turn_ctx *c,
                       const struct turn_out *out)
{
    uint32_t len = out->timers_new_len;
    struct timer_row *made = timer_rows(a, s, c->entry, out->timers_new, len, 1);
    if (out->yielded) {
        made[len++] = timer_go_on(s, c->entry, out->seq);
    }
    c->row.timers_new = made;
    c->row.timers_new_len = len;
    len = out->timers_done_len;
    struct timer_row *done = timer_rows(a, s, c->entry, out->timers_done, len, 1);
    if (c->entry->yielded) {
        done[len++] = timer_go_on(s, c->entry, out->seq - 1);
    }
    for (uint32_t i = 0; i < len; i++) {
        LIST_FOREACH(l, &c->items)
        {
            const struct item *it = LIST_ENTRY(l, struct item, link);
            if (it->fact.type == FACT_TIMER && it->timer.seq == done[i].seq &&
                it->timer.idx == done[i].idx) {
                done[i].window = it->timer.window;
            }
        }
    }
    c->row.timers_done = done;
    c->row.timers_done_len = len;
}

/* A snapshot bounds what a load must replay. */
static struct str ctx_snapshot(struct shard *s, struct arena *a, struct exec *x)
{
    if (!exec_snapshot_due(x)) {
        return STR_NONE;
    }
    buf_clear(&s->scratch);
    exec_snapshot(x, &s->scratch);
    return str_dup(a, buf_str(&s->scratch));
}

static void ctx_start(struct arena *a, struct turn_ctx *c)
{
    const struct item *it = LIST_ENTRY(c->items.next, struct item, link);
    const struct item_start *st = it->start;
    ASSERT(it->type == ITEM_START);
    c->start = (struct start_row){.tenant = st->tenant,
                                  .workflow = str_dup(a, st->ident.workflow),
                                  .name = str_dup(a, st->ident.name),
                                  .revision = st->ident.def_revision,
                                  .digest = st->digest,
                                  .started_at = st->ident.started_at};
    c->row.start = &c->start;
}

static struct task_token *task_refs(struct arena *a, const struct entry *e,
                                    const struct core_task_ref *refs, uint32_t len)
{
    struct task_token *v = ARENA_ARRAY(a, struct task_token, len);
    for (uint32_t i = 0; i < len; i++) {
        v[i].ref = (struct task_ref){.exec = e->id, .seq = refs[i].seq, .idx = refs[i].idx};
    }
    return v;
}

void batch_add(struct shard *s, struct batch *b, struct entry *e, struct list *items,
               uint64_t seq_prev, const struct turn_out *out)
{
    PRE(b->len < TURN_BATCH_MAX && e->flight == NULL && out->seq == seq_prev + 1);
    struct arena *a = &b->arena;
    struct turn_ctx *c = ARENA_NEW(a, struct turn_ctx);
    c->entry = e;
    c->yielded = out->yielded;
    list_init(&c->items);
    struct list *l;
    while ((l = list_pop_front(items)) != NULL) {
        list_push_back(&c->items, l);
    }
    uint64_t turn = rng_u64(&s->rng) >> 1;
    c->row = (struct turn_row){.exec = e->id,
                               .seq_prev = seq_prev,
                               .turn_prev = e->turn,
                               .seq = out->seq,
                               .turn = turn == 0 ? 1 : turn,
                               .status = (uint8_t)out->status,
                               .first_event = out->first_event,
                               .event_count = out->event_count,
                               .body = str_dup(a, out->body),
                               .outcomes =
                                   out->outcomes.size == 0 ? STR_NONE : str_dup(a, out->outcomes),
                               .snapshot = ctx_snapshot(s, a, e->x),
                               .due_max = out->due_max};
    ctx_tasks(a, c, out);
    ctx_timers(s, a, c, out);
    c->row.tasks_done = task_refs(a, e, out->tasks_done, out->tasks_done_len);
    c->row.tasks_done_len = out->tasks_done_len;
    c->row.tasks_submitted = task_refs(a, e, out->tasks_submitted, out->tasks_submitted_len);
    c->row.tasks_submitted_len = out->tasks_submitted_len;
    ctx_letters(s, a, c, out);
    if (seq_prev == 0) {
        ctx_start(a, c);
    }
    e->flight = c;
    list_remove(&e->lru);
    b->ctx[b->len] = c;
    b->rows[b->len] = &c->row;
    b->len++;
    b->bytes += c->row.body.size + c->row.snapshot.size;
    for (uint32_t i = 0; i < c->row.inbox_new_len; i++) {
        b->bytes += c->row.inbox_new[i].payload.size;
    }
}

/* ---- answers ---- */

static void arm_new_timers(struct shard *s, const struct turn_ctx *c)
{
    for (uint32_t i = 0; i < c->row.timers_new_len; i++) {
        if (c->row.timers_new[i].idx != TIMER_GO_ON) { /* it goes on at once */
            timerq_armed(s->timerq, &c->row.timers_new[i]);
        }
    }
    for (uint32_t i = 0; i < c->row.timers_done_len; i++) {
        const struct timer_row *t = &c->row.timers_done[i];
        timerq_cancel(s->timerq, &t->exec, t->seq, t->idx);
    }
}

static void turn_durable(struct shard *s, struct batch *b, struct turn_ctx *c)
{
    struct entry *e = c->entry;
    INV(7, e->flight == c);
    e->flight = NULL;
    e->turn = c->row.turn;
    e->yielded = c->yielded;
    damage_over(s, &e->id);
    metric_add(&metric_turns, 1);
    metric_add(&metric_starts, c->row.start != NULL ? 1 : 0);
    if (c->row.status != STATUS_OPEN) {
        e->closed_at = b->commit.req.store_now;
        metric_add(&metric_closed, 1);
    }
    if (c->row.via_inbox && s->c.foreign != NULL) {
        s->c.foreign(s->c.arg);
    } else {
        arm_new_timers(s, c);
    }
    struct report_turn *out = &b->report.turns[b->report.turns_len++];
    *out = (struct report_turn){0};
    if (!c->row.via_inbox) {
        out->tasks_new = c->tasks_new;
        out->tasks_new_len = c->row.tasks_new_len;
    }
    out->tasks_done = (struct task_token *)(uintptr_t)c->row.tasks_done;
    out->tasks_done_len = c->row.tasks_done_len;
    out->tasks_submitted = c->row.tasks_submitted;
    out->tasks_submitted_len = c->row.tasks_submitted_len;
    out->letters = c->row.inbox_new;
    out->letters_len = c->row.inbox_new_len;
    struct list *l;
    while ((l = list_pop_front(&c->items)) != NULL) {
        struct item *it = LIST_ENTRY(l, struct item, link);
        if (it->done == NULL) {
            item_finish(s, it, ERR_OK);
            continue;
        }
        if (it->start != NULL) {
            def_unref(it->start->def);
            it->start->def = NULL;
        }
        metric_add(&metric_outcomes,
                   it->fact.type == FACT_TASK_SUCCEEDED || it->fact.type == FACT_TASK_FAILED ? 1
                                                                                             : 0);
        it->err = ERR_OK;
        it->at = b->commit.req.store_now;
        list_push_back(&b->report.items, l);
    }
    entry_measure(s, e);
    if (c->row.status != STATUS_OPEN) {
        entry_notify_closed(s, e);
    }
}

/* The items go back to the execution, in front of what came later. */
static void items_return(struct turn_ctx *c, uint64_t doubt)
{
    struct list *l;
    while (!list_empty(&c->items)) {
        l = c->items.prev;
        list_remove(l);
        struct item *it = LIST_ENTRY(l, struct item, link);
        it->tries = (uint8_t)MIN(it->tries + 1, UINT8_MAX);
        it->doubt = doubt;
        list_push_front(&c->entry->waiting, l);
    }
}

/* The start's key is taken. By another execution: the front looks it up. By this very one, when a
 * turn in doubt committed late, after the load that did not find it: then what it made is armed. */
static void turn_exists(struct shard *s, struct turn_ctx *c)
{
    struct entry *e = c->entry;
    struct list *l;
    const struct item *first = LIST_ENTRY(c->items.next, struct item, link);
    if (first->doubt != 0) {
        items_return(c, first->doubt);
        e->exists = true;
        e->arm = true;
        entry_load(s, e, false);
        return;
    }
    while ((l = list_pop_front(&c->items)) != NULL) {
        item_finish(s, LIST_ENTRY(l, struct item, link), ERR_EXISTS);
    }
    while ((l = list_pop_front(&e->waiting)) != NULL) {
        item_finish(s, LIST_ENTRY(l, struct item, link), ERR_NO_EXECUTION);
    }
    while (!list_empty(&e->watchers)) {
        struct item *it = LIST_ENTRY(list_pop_front(&e->watchers), struct item, link);
        heap_remove(&s->watch_expiry, &it->expiry);
        item_finish(s, it, ERR_NO_EXECUTION);
    }
    entry_drop(s, e);
}

/* The store refuses the turn for its data: what was folded into it is told so, unless it began the
 * execution. What repeats itself, a deadline or a yielded run, is left alone for a while. */
static void turn_refused(struct shard *s, struct turn_ctx *c, enum err err, const char *reason)
{
    struct entry *e = c->entry;
    bool stored = c->row.start == NULL;
    if (stored) {
        damage_note(s, &e->id, true, reason);
    }
    LIST_FOREACH_SAFE(l, &e->waiting)
    {
        struct item *it = LIST_ENTRY(l, struct item, link);
        if (it->tries > 0) {
            list_remove(l);
            it->detail = str_dup(&it->arena, str_of(reason));
            item_finish(s, it, stored ? ERR_DAMAGED : err);
        }
    }
}

/* The state in memory is ahead of the store: throw it away, read again, fold again. */
static void turn_again(struct shard *s, struct turn_ctx *c, enum err err, const char *reason)
{
    struct entry *e = c->entry;
    bool unknown = err_class(err) == ERRC_UNKNOWN;
    e->flight = NULL;
    metric_add(&metric_in_doubt, unknown ? 1 : 0);
    metric_add(&metric_conflicts, c->row.result == TURN_CONFLICT ? 1 : 0);
    metric_add(&metric_early, c->row.result == TURN_EARLY ? 1 : 0);
    /* A batch that was sent twice may be refused by its own first sending. */
    items_return(c, c->row.turn);
    entry_doubt(e, &c->row);
    if (err_class(err) == ERRC_FENCED && c->row.start != NULL) {
        /* Perhaps a failover: the definition's number may mean another one now. */
        entry_fail(s, e, ERR_UNKNOWN);
        return;
    }
    if (s->stopping && err != ERR_OK) {
        /* Draining under a claim that is void or a store that is away: whoever asked asks another
         * node, and what was not acknowledged may be repeated. */
        entry_fail(s, e, unknown ? ERR_UNKNOWN : ERR_GOING_AWAY);
        return;
    }
    if (err_class(err) == ERRC_FENCED) {
        s->load_wait_us = BACKOFF_US; /* the owner finds out first */
    }
    if (err_class(err) == ERRC_FENCED && s->c.foreign != NULL) {
        s->c.foreign(s->c.arg);
    }
    if (err != ERR_OK && err_class(err) == ERRC_INVALID) {
        turn_refused(s, c, err, reason);
    }
    LIST_FOREACH_SAFE(l, &e->waiting)
    {
        struct item *it = LIST_ENTRY(l, struct item, link);
        /* Nobody would repeat a deadline or a letter: it stays until it is folded. */
        if (it->done != NULL && it->letter.p == NULL && it->tries > ITEM_TRIES_MAX) {
            list_remove(l);
            item_finish(s, it, ERR_RETRY);
        }
    }
    e->arm = true;
    entry_load(s, e, c->row.result != TURN_CONFLICT || unknown);
}

static void turn_settle(struct shard *s, struct batch *b, struct turn_ctx *c)
{
    c->entry->flight = c;
    switch (c->row.result) {
    case TURN_OK:
        turn_durable(s, b, c);
        break;
    case TURN_EXISTS:
        c->entry->flight = NULL;
        turn_exists(s, c);
        return;
    case TURN_CONFLICT:
    case TURN_EARLY:
    case TURN_WINDOW:
    case TURN_DROPPED:
        turn_again(s, c, c->err, c->why);
        return;
    }
    if (letters_again(s, c->entry)) {
        return;
    }
    if (!list_empty(&c->entry->waiting) || c->entry->yielded) {
        entry_dirty(s, c->entry);
    } else {
        entry_rest(s, c->entry);
    }
}

static void report_release(struct loop_task *task)
{
    struct report *r = CONTAINER_OF(task, struct report, release);
    struct batch *b = CONTAINER_OF(r, struct batch, report);
    struct shard *s = b->shard;
    s->reports--;
    batch_reset(b);
    list_push_back(&s->batches_free, &b->free);
    shard_pump(s);
}

/* All ranges are answered: effects leave in one report. Until then every turn is in flight: what is asked
 * about its execution meanwhile is answered behind the report, as if it were asked later. */
static void batch_finish(struct batch *b)
{
    struct shard *s = b->shard;
    for (uint32_t i = 0; i < b->len; i++) {
        turn_settle(s, b, b->ctx[i]);
    }
    s->in_flight--;
    s->reports++;
    fault_hit(s->c.faults, FAULT_COMPLETE_AFTER_COMMIT);
    b->report.home = s->c.loop;
    b->report.release = (struct loop_task){.run = report_release, .name = "batch released"};
    s->c.report(s->c.arg, &b->report);
    shard_pump(s);
}

/* The store refused the range as a whole. True when it is to be sent again. */
static bool range_retry(struct batch *b, enum err err)
{
    uint32_t i = b->ranges - 1;
    uint32_t from = b->range[i].from, to = b->range[i].to;
    enum err_class class = err_class(err);
    metric_add(&metric_batches_retried, 1);
    if (err == ERR_LOCKED) {
        return !b->shard
                    ->stopping; /* whole: the turns are good, and the store has waited already */
    }
    if (err == ERR_UNAVAILABLE || err == ERR_LIMIT) {
        b->backoff_us = MIN(MAX(b->backoff_us * 2, (int64_t)BACKOFF_US), (int64_t)BACKOFF_MAX_US);
        return !b->shard->stopping;
    }
    if (class != ERRC_RETRY && class != ERRC_INVALID) {
        return false;
    }
    if (!b->range[i].again) {
        b->range[i].again = true;
        return true;
    }
    if (to - from < 2 || b->ranges == RANGES_MAX) {
        return false;
    }
    uint32_t mid = from + (to - from) / 2;
    b->range[i].from = mid;
    b->range[i].again = true;
    b->range[b->ranges].from = from;
    b->range[b->ranges].to = mid;
    b->range[b->ranges].again = true;
    b->ranges++;
    return true;
}

/* The last range is answered. */
static void range_answered(struct batch *b, enum err err)
{
    uint32_t from = b->range[b->ranges - 1].from, to = b->range[b->ranges - 1].to;
    const char *why = err == ERR_OK ? "" : arena_printf(&b->arena, "%s", b->commit.req.detail.text);
    for (uint32_t i = from; i < to; i++) {
        if (err != ERR_OK) {
            b->ctx[i]->row.result = TURN_DROPPED;
        }
        b->ctx[i]->err = err;
        b->ctx[i]->why = why;
    }
    b->ranges--;
}

static void commit_done(struct store_req *r)
{
    struct store_commit *req = CONTAINER_OF(r, struct store_commit, req);
    struct batch *b = CONTAINER_OF(req, struct batch, commit);
    struct shard *s = b->shard;
    metric_observe_us(&metric_commit_time, r->answered.us - r->sent.us);
    if (r->err == ERR_OK) {
        fault_hit(s->c.faults, FAULT_COMMIT_AFTER_DURABLE);
        storeclock_sample(&s->clock, r->sent, r->answered, r->store_now);
    } else if (range_retry(b, r->err)) {
        loop_timer_after(s->c.loop, &b->retry, b->backoff_us);
        return;
    } else if (err_class(r->err) != ERRC_INVALID) { /* those are told of the execution */
        log_warn("batch not committed", "turns=%u error=%s detail=\"%s\"", req->turns_len,
                 err_name(r->err), r->detail.text);
    }
    range_answered(b, r->err);
    if (b->ranges > 0) {
        batch_next(b);
    } else {
        batch_finish(b);
    }
}

static void batch_send(struct batch *b)
{
    struct shard *s = b->shard;
    PRE(b->ranges > 0);
    uint32_t from = b->range[b->ranges - 1].from, to = b->range[b->ranges - 1].to;
    fault_hit(s->c.faults, FAULT_COMMIT_BEFORE_SEND);
    b->commit = (struct store_commit){
        .req = {.op = STORE_COMMIT, .loop = s->c.loop, .done = commit_done, .arena = &b->out},
        .shard = s->c.shard,
        .incarnation = s->incarnation,
        /* A copy: the lanes held may change while the store reads it. */
        .lanes = arena_memdup(&b->arena, s->claims, s->claims_len * sizeof(s->claims[0])),
        .lanes_len = s->claims_len,
        .turns = b->rows + from,
        .turns_len = to - from,
    };
    metric_add(&metric_batches, 1);
    trace("commit", to - from, s->in_flight);
    store_submit(s->c.store, &b->commit.req);
    fault_hit(s->c.faults, FAULT_COMMIT_AFTER_SUBMIT);
}

/* Sends the last range, unless the incarnation is another one by now: a failover may have undone what its
 * starts and letters rest on, which compare-and-set of their own executions does not see. */
static void batch_next(struct batch *b)
{
    if (b->report.life == b->shard->lives) {
        batch_send(b);
        return;
    }
    while (b->ranges > 0) {
        range_answered(b, ERR_FENCED);
    }
    batch_finish(b);
}

void batch_void(struct shard *s)
{
    struct batch *b = s->open;
    if (b == NULL || b->len == 0) {
        return;
    }
    s->open = NULL;
    s->in_flight++;
    b->range[0].from = 0;
    b->range[0].to = b->len;
    b->ranges = 1;
    range_answered(b, ERR_FENCED);
    batch_finish(b);
}

void batches_flush(struct shard *s)
{
    struct batch *b = s->open;
    if (b == NULL || b->len == 0 || s->in_flight >= s->c.batches ||
        (s->in_flight > 0 && b->len < s->c.batch_min)) {
        return;
    }
    s->open = NULL;
    s->in_flight++;
    b->range[0].from = 0;
    b->range[0].to = b->len;
    b->range[0].again = false;
    b->ranges = 1;
    b->report.turns = ARENA_ARRAY(&b->arena, struct report_turn, b->len);
    b->report.life = s->lives;
    batch_send(b);
}
