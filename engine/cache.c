/* Executions in memory: finding, loading, eviction. See shard.h. */
#include "base/prelude.h"

#include "engine/shard_internal.h"

LOG_MODULE("cache");

static bool entry_eq(const struct map_node *n, const void *key)
{
    return exec_id_eq(&MAP_ENTRY(n, const struct entry, node)->id, key);
}

struct entry *entry_find(struct shard *s, const struct exec_id *id)
{
    struct map_node *n = map_find(&s->entries, exec_id_hash(id), id, entry_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct entry, node);
}

struct entry *entry_make(struct shard *s, const struct exec_id *id)
{
    struct entry *e = MEM_NEW(struct entry);
    e->id = *id;
    list_init(&e->lru);
    list_init(&e->queue);
    list_init(&e->waiting);
    list_init(&e->watchers);
    map_insert(&s->entries, &e->node, exec_id_hash(id));
    return e;
}

bool entry_busy(const struct entry *e)
{
    return e->state != ENTRY_READY || e->flight != NULL || !list_empty(&e->waiting) ||
           !list_empty(&e->watchers) || e->yielded || list_linked(&e->queue);
}

void entry_drop(struct shard *s, struct entry *e)
{
    PRE(e->flight == NULL && list_empty(&e->waiting) && list_empty(&e->watchers));
    list_remove(&e->lru);
    list_remove(&e->queue);
    s->bytes -= e->size;
    exec_free(e->x);
    map_remove(&s->entries, &e->node);
    mem_free(e->closing);
    mem_free(e->telling);
    mem_free(e);
}

void entry_measure(struct shard *s, struct entry *e)
{
    size_t size = sizeof(*e) + (e->x == NULL ? 0 : exec_size(e->x));
    s->bytes = s->bytes - e->size + size;
    e->size = size;
}

void entry_dirty(struct shard *s, struct entry *e)
{
    list_remove(&e->lru);
    if (!list_linked(&e->queue)) {
        list_push_back(&s->dirty, &e->queue);
    }
}

/* A closed execution is of little use in memory; it leaves first. */
void entry_rest(struct shard *s, struct entry *e)
{
    if (entry_busy(e)) {
        return;
    }
    list_remove(&e->lru);
    if (exec_status(e->x) == EXEC_RUNNING) {
        list_push_back(&s->lru, &e->lru);
    } else {
        list_push_front(&s->lru, &e->lru);
    }
}

/* Several shards add to one metric. */
void cache_tell(struct shard *s)
{
    size_t len = map_len(&s->entries);
    metric_add(&metric_cached, (int64_t)len - (int64_t)s->told_len);
    metric_add(&metric_cached_bytes, (int64_t)s->bytes - (int64_t)s->told_bytes);
    s->told_len = len;
    s->told_bytes = s->bytes;
}

void cache_trim(struct shard *s)
{
    while (s->bytes > s->c.cache_bytes && !list_empty(&s->lru)) {
        entry_drop(s, LIST_ENTRY(s->lru.next, struct entry, lru));
    }
    cache_tell(s);
}

/* ---- loading ---- */

void entry_load(struct shard *s, struct entry *e, bool delayed)
{
    PRE(e->flight == NULL);
    exec_free(e->x);
    e->x = NULL;
    e->state = ENTRY_LOADING;
    e->yielded = false;
    entry_measure(s, e);
    list_remove(&e->lru);
    list_remove(&e->queue);
    if (delayed) {
        list_push_back(&s->delayed, &e->queue);
        if (!s->delay.armed) {
            loop_timer_after(s->c.loop, &s->delay, MAX(s->load_wait_us, (int64_t)DELAY_US));
        }
    } else {
        list_push_back(&s->loading, &e->queue);
    }
}

void entry_fail(struct shard *s, struct entry *e, enum err err)
{
    ASSERT(e->waiting.next != NULL); /* entry_new has made it a list */
    LIST_FOREACH_SAFE(l, &e->waiting)
    {
        list_remove(l);
        item_finish(s, LIST_ENTRY(l, struct item, link), err);
    }
    LIST_FOREACH_SAFE(l, &e->watchers)
    {
        list_remove(l);
        struct item *it = LIST_ENTRY(l, struct item, link);
        heap_remove(&s->watch_expiry, &it->expiry);
        item_finish(s, it, err);
    }
    entry_drop(s, e);
}

bool entry_starting(const struct entry *e)
{
    return !list_empty(&e->waiting) &&
           LIST_ENTRY(e->waiting.next, const struct item, link)->type == ITEM_START;
}

/* The store does not have it. A start still waiting to be made durable begins anew. */
static void entry_absent(struct shard *s, struct entry *e)
{
    damage_over(s, &e->id);
    struct item *first =
        list_empty(&e->waiting) ? NULL : LIST_ENTRY(e->waiting.next, struct item, link);
    if (first != NULL && first->type == ITEM_START && e->exists) {
        list_remove(&first->link);
        item_finish(s, first, ERR_EXISTS);
    } else if (first != NULL && first->type == ITEM_START && first->life != s->lives) {
        entry_fail(s, e, ERR_UNKNOWN); /* what it rests on may be undone by a failover */
        return;
    } else if (first != NULL && first->type == ITEM_START) {
        e->x = exec_new(&first->start->ident, first->start->def);
        e->state = ENTRY_READY;
        e->turn = 0;
        entry_measure(s, e);
        entry_dirty(s, e);
        return;
    }
    entry_fail(s, e, ERR_NO_EXECUTION);
}

static enum err state_build(const struct exec_row *row, struct def *def, struct exec **out,
                            struct err_detail *d)
{
    struct exec_ident ident = {.id = row->exec,
                               .tenant = STR_NONE,
                               .workflow = row->workflow,
                               .name = row->name,
                               .started_at = row->started_at,
                               .def_revision = row->revision};
    struct exec *x = NULL;
    enum err e = ERR_OK;
    if (row->snapshot_seq != 0) {
        e = exec_restore(&ident, def, row->snapshot, &x, d);
    } else {
        x = exec_new(&ident, def);
    }
    for (uint32_t i = 0; e == ERR_OK && i < row->rows_len; i++) {
        const struct history_row *h = &row->rows[i];
        e = exec_apply_row(x, h->seq, h->at, h->body, NULL, d);
    }
    if (e == ERR_OK && exec_seq(x) != row->seq) {
        e = err_set(d, ERR_MALFORMED, "history ends at %" PRIu64 ", the execution is at %" PRIu64,
                    exec_seq(x), row->seq);
    }
    if (e != ERR_OK) {
        exec_free(x);
        return e;
    }
    *out = x;
    return ERR_OK;
}

/* Items whose turn was in doubt: their turn is the durable one, or they try again. A start whose
 * execution is there has happened, whoever asks. */
static void settle_doubts(struct shard *s, struct entry *e, const struct exec_row *row)
{
    LIST_FOREACH_SAFE(l, &e->waiting)
    {
        struct item *it = LIST_ENTRY(l, struct item, link);
        bool ours = it->doubt != 0 && it->doubt == row->turn;
        it->doubt = 0;
        if (ours || it->type == ITEM_START) {
            it->at = row->started_at;
            list_remove(l);
            item_finish(s, it, ERR_OK);
        }
    }
}

/* Announces every open task and timer: someone else may have committed the turn that made them, or
 * we never learnt that our own commit had happened. */
struct arming {
    struct report report;
    struct report_turn turn;
    struct arena arena;
    struct shard *shard;
};

static void arming_release(struct loop_task *task)
{
    struct report *r = CONTAINER_OF(task, struct report, release);
    struct arming *a = CONTAINER_OF(r, struct arming, report);
    a->shard->reports--;
    arena_fini(&a->arena);
    mem_free(a);
}

/* Tasks that turns of unknown fate closed: those that are not open any more are over, and nobody else
 * will say so. */
static void arm_closed(struct entry *e, struct arming *a)
{
    struct core_task t;
    a->turn.tasks_done = ARENA_ARRAY(&a->arena, struct task_token, e->closing_len);
    for (uint32_t i = 0; i < e->closing_len; i++) {
        const struct task_ref *r = &e->closing[i].ref;
        if (!exec_open_task(e->x, r->seq, r->idx, &t, NULL)) {
            a->turn.tasks_done[a->turn.tasks_done_len++] = e->closing[i];
        }
    }
    mem_free(e->closing);
    e->closing = NULL;
    e->closing_len = 0;
}

/* Those whom turns of unknown fate told something look for themselves. */
static void arm_told(struct entry *e, struct arming *a)
{
    a->turn.touch = arena_memdup(&a->arena, e->telling, e->telling_len * sizeof(e->telling[0]));
    a->turn.touch_len = e->telling_len;
    mem_free(e->telling);
    e->telling = NULL;
    e->telling_len = 0;
}

void entry_closing(struct entry *e, const struct task_token *tasks, uint32_t len)
{
    if (len > 0) {
        e->closing = mem_realloc(e->closing, sizeof(e->closing[0]) * (e->closing_len + len));
        memcpy(e->closing + e->closing_len, tasks, sizeof(e->closing[0]) * len);
        e->closing_len += len;
    }
}

void entry_owes(struct entry *e, const struct task_token *tasks, uint32_t tasks_len,
                const struct exec_id *execs, uint32_t execs_len)
{
    entry_closing(e, tasks, tasks_len);
    if (execs_len > 0) {
        e->telling = mem_realloc(e->telling, sizeof(e->telling[0]) * (e->telling_len + execs_len));
        memcpy(e->telling + e->telling_len, execs, sizeof(e->telling[0]) * execs_len);
        e->telling_len += execs_len;
    }
}

void entry_doubt(struct entry *e, const struct turn_row *t)
{
    entry_closing(e, t->tasks_done, t->tasks_done_len);
    if (t->inbox_new_len > 0) {
        e->telling =
            mem_realloc(e->telling, sizeof(e->telling[0]) * (e->telling_len + t->inbox_new_len));
        for (uint32_t i = 0; i < t->inbox_new_len; i++) {
            e->telling[e->telling_len++] = t->inbox_new[i].exec;
        }
    }
}

static void arm_tasks(struct shard *s, struct entry *e)
{
    uint32_t n = exec_open_tasks(e->x, NULL, 0);
    if (n == 0 && e->closing_len == 0 && e->telling_len == 0) {
        return;
    }
    struct arming *a = MEM_NEW(struct arming);
    arena_init(&a->arena, 0);
    a->shard = s;
    struct core_task *open = ARENA_ARRAY(&a->arena, struct core_task, n);
    n = MIN(n, exec_open_tasks(e->x, open, n));
    arm_closed(e, a);
    arm_told(e, a);
    a->turn.tasks_new = ARENA_ARRAY(&a->arena, struct dispatch_task, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct exec_ident *ident = exec_ident(e->x);
        a->turn.tasks_new[i] = (struct dispatch_task){
            .token = open[i].token,
            .tenant = exec_id_tenant(&e->id),
            .queue = str_dup(&a->arena, open[i].queue),
            .workflow = str_dup(&a->arena, ident->workflow),
            .execution_name = str_dup(&a->arena, ident->name),
            .state = str_dup(&a->arena, def_state_path(exec_def(e->x), open[i].state)),
            .timeout_at = open[i].timeout_at,
            .heartbeat_us = open[i].heartbeat_us,
            .waits = task_waits(&open[i]),
        };
    }
    a->turn.tasks_new_len = n;
    a->report.home = s->c.loop;
    a->report.life = s->lives;
    a->report.release = (struct loop_task){.run = arming_release, .name = "arming released"};
    list_init(&a->report.items);
    a->report.turns = &a->turn;
    a->report.turns_len = 1;
    s->reports++;
    s->c.report(s->c.arg, &a->report);
}

static bool timer_waits(const struct entry *e, const struct core_timer *t)
{
    LIST_FOREACH(l, &e->waiting)
    {
        const struct item *it = LIST_ENTRY(l, struct item, link);
        if (it->fact.type == FACT_TIMER && it->fact.timer_seq == t->seq &&
            it->fact.timer_idx == t->idx) {
            return true;
        }
    }
    return false;
}

/* Those that have fired and wait for their turn already must not fire twice. */
static void arm_timers(struct shard *s, struct entry *e)
{
    uint32_t n = exec_open_timers(e->x, NULL, 0);
    if (n == 0) {
        return;
    }
    struct core_timer *open = MEM_ARRAY(struct core_timer, n);
    n = MIN(n, exec_open_timers(e->x, open, n));
    const struct lane *lane = lanes_of(&s->lanes, &e->id);
    for (uint32_t i = 0; i < n; i++) {
        if (timer_waits(e, &open[i])) {
            continue;
        }
        timerq_armed(s->timerq,
                     &(struct timer_row){.exec = e->id,
                                         .seq = open[i].seq,
                                         .idx = open[i].idx,
                                         .due = open[i].due,
                                         .window = lane_window_for(lane, s->lanes.window_us,
                                                                   open[i].due)});
    }
    mem_free(open);
}

static void entry_loaded(struct shard *s, struct entry *e, const struct exec_row *row,
                         struct def *def)
{
    struct err_detail d = {0};
    struct exec *x;
    enum err err = state_build(row, def, &x, &d);
    if (err != ERR_OK) {
        entry_damaged(s, e, d.text);
        return;
    }
    damage_read(s, e);
    e->x = x;
    e->exists = e->alone = false;
    e->turn = row->turn;
    e->closed_at = row->closed_at;
    e->state = ENTRY_READY;
    entry_measure(s, e);
    settle_doubts(s, e, row);
    if (damage_wait_us(s, &e->id) == 0) { /* else they stay until it is looked at again */
        letters_take(s, e, row);
    }
    if (e->arm) {
        e->arm = false;
        arm_tasks(s, e);
        arm_timers(s, e);
    }
    if (exec_status(x) != EXEC_RUNNING) {
        entry_notify_closed(s, e);
    }
    e->yielded = exec_can_run(x);
    if (damage_wait_us(s, &e->id) > 0) {
        e->yielded = false; /* its turn was refused, and is not to be tried now */
    } else if (list_empty(&e->waiting) && !e->yielded) {
        damage_over(s, &e->id); /* what was refused is not asked for any more */
    }
    if (list_empty(&e->waiting) && !e->yielded) {
        entry_rest(s, e);
    } else {
        entry_dirty(s, e);
    }
}

static void load_continue(struct load *l);

static void entry_undefined(struct shard *s, struct entry *e, uint64_t revision, enum err err)
{
    char text[ERR_DETAIL_SIZE];
    enum err_class class = err_class(err);
    if (class != ERRC_NOT_FOUND && class != ERRC_INVALID) {
        entry_load(s, e, true);
        return;
    }
    (void)snprintf(text, sizeof(text), "revision %" PRIu64 " of its definition %s", revision,
                   err == ERR_NO_WORKFLOW ? "is not in the store" : "does not parse");
    entry_damaged(s, e, text);
}

static void load_def_done(struct defs_wait *w, struct def *def, const struct definition_row *row,
                          enum err err)
{
    (void)row;
    struct load *l = CONTAINER_OF(w, struct load, wait);
    struct entry *e = entry_find(l->shard, &l->ids[l->at]);
    if (def == NULL && e != NULL && e->state == ENTRY_LOADING) {
        entry_undefined(l->shard, e, l->req.rows[l->at].revision, err);
        l->at++;
    }
    if (l->waiting) {
        l->waiting = false;
        load_continue(l);
    }
}

/* One row after the other; stops where a definition has to be read first. */
static void load_continue(struct load *l)
{
    struct shard *s = l->shard;
    while (l->at < l->len) {
        struct entry *e = entry_find(s, &l->ids[l->at]);
        const struct exec_row *row = &l->req.rows[l->at];
        if (e == NULL || e->state != ENTRY_LOADING || list_linked(&e->queue)) {
            l->at++;
            continue;
        }
        if (l->life != s->lives || l->rereads != s->rereads) {
            entry_load(s, e, false);
            l->at++;
            continue;
        }
        if (!row->found) {
            entry_absent(s, e);
            l->at++;
            continue;
        }
        struct def *def = defs_find(s->defs, row->revision);
        if (def == NULL) {
            l->waiting = true;
            defs_get(s->defs, row->revision, &l->wait);
            return; /* load_def_done goes on, perhaps it has already */
        }
        entry_loaded(s, e, row, def);
        l->at++;
    }
    arena_fini(&l->arena);
    mem_free(l);
    s->loads--;
    shard_pump(s);
}

/* Another try would end likewise; one of the executions read together may be the cause. */
static bool load_unreadable(enum err e)
{
    enum err_class class = err_class(e);
    return class != ERRC_RETRY && class != ERRC_UNKNOWN && class != ERRC_LIMIT;
}

static void load_done(struct store_req *r)
{
    struct store_load *req = CONTAINER_OF(r, struct store_load, req);
    struct load *l = CONTAINER_OF(req, struct load, req);
    struct shard *s = l->shard;
    if (r->err == ERR_OK) {
        s->load_wait_us = 0;
        storeclock_sample(&s->clock, r->sent, r->answered, r->store_now);
        metric_add(&metric_loads, l->len);
        load_continue(l);
        return;
    }
    bool unreadable = load_unreadable(r->err);
    s->load_wait_us =
        MIN(MAX(s->load_wait_us * 2, (int64_t)DELAY_US), unreadable ? 0 : (int64_t)BACKOFF_US);
    if (!unreadable || l->len > 1) { /* else it is told of the execution */
        log_warn("executions not loaded, trying again", "count=%u error=%s", l->len,
                 err_name(r->err));
    }
    for (uint32_t i = 0; i < l->len; i++) {
        struct entry *e = entry_find(s, &l->ids[i]);
        if (e == NULL || e->state != ENTRY_LOADING || list_linked(&e->queue)) {
            continue;
        }
        if (unreadable && e->alone) {
            entry_damaged(s, e, r->detail.text);
        } else {
            e->alone = unreadable;
            entry_load(s, e, !unreadable);
        }
    }
    arena_fini(&l->arena);
    mem_free(l);
    s->loads--;
    shard_pump(s);
}

void loads_start(struct shard *s)
{
    while (s->loads < LOADS_MAX && !list_empty(&s->loading)) {
        struct load *l = MEM_NEW(struct load);
        l->shard = s;
        l->wait.done = load_def_done;
        arena_init(&l->arena, 0);
        bool alone = false, inbox = false;
        l->life = s->lives;
        l->rereads = s->rereads;
        while (l->len < LOAD_IDS_MAX && !alone && !list_empty(&s->loading)) {
            struct entry *e = LIST_ENTRY(s->loading.next, struct entry, queue);
            alone = e->alone;
            if (alone && l->len > 0) {
                break;
            }
            list_remove(&e->queue);
            damage_load(s, e);
            entry_sure(e);
            inbox = inbox || e->arm;
            l->ids[l->len++] = e->id;
        }
        l->req = (struct store_load){
            .req = {.op = STORE_LOAD, .loop = s->c.loop, .done = load_done, .arena = &l->arena},
            .ids = l->ids,
            .ids_len = l->len,
            .inbox = inbox};
        s->loads++;
        store_submit(s->c.store, &l->req.req);
    }
}

/* ---- orphans: rows of timers that no execution knows any more ---- */

static void drops_send(struct shard *s);

static void drops_done(struct store_req *r)
{
    struct store_timers_drop *req = CONTAINER_OF(r, struct store_timers_drop, req);
    struct shard *s = CONTAINER_OF(req, struct shard, drop);
    s->dropping = false;
    mem_free((void *)(uintptr_t)req->lanes);
    if (r->err != ERR_OK) {
        log_warn("orphaned deadlines not deleted", "count=%u error=%s", s->drops_sent,
                 err_name(r->err));
    }
    PRE(s->drops_len >= s->drops_sent);
    s->drops_len -= s->drops_sent;
    memmove(s->drops, s->drops + s->drops_sent, s->drops_len * sizeof(s->drops[0]));
    s->drops_sent = 0;
    drops_send(s);
}

static void drops_send(struct shard *s)
{
    if (s->dropping || s->drops_len == 0 || s->held_len == 0 || s->stopping) {
        return;
    }
    s->drops_sent = s->drops_len;
    struct lane_ref *held = MEM_ARRAY(struct lane_ref, s->held_len);
    memcpy(held, s->held, s->held_len * sizeof(held[0]));
    s->drop = (struct store_timers_drop){.req = {.op = STORE_TIMERS_DROP,
                                                 .loop = s->c.loop,
                                                 .done = drops_done},
                                         .lanes = held,
                                         .lanes_len = s->held_len,
                                         .rows = s->drops,
                                         .rows_len = s->drops_sent};
    s->dropping = true;
    store_submit(s->c.store, &s->drop.req);
}

/* Ownership was lost: what was judged before may have been judged by a state that is void. */
void timers_drop_forget(struct shard *s)
{
    s->drops_len = s->drops_sent;
}

/* Full: the row stays and comes again with the next scan. */
void timers_drop_add(struct shard *s, const struct timer_row *row)
{
    if (s->drops_len < DROPS_MAX) {
        s->drops[s->drops_len++] = *row;
        drops_send(s);
    }
}
