/* Items and turns of a turn loop: see shard.h. */
#include "base/prelude.h"

#include "engine/shard_internal.h"

LOG_MODULE("shard");

/* ---- items ---- */

void item_init(struct item *it, enum item_type type, const struct exec_id *exec,
               void (*done)(struct item *), void *owner)
{
    *it = (struct item){.type = type, .exec = *exec, .done = done, .owner = owner};
    arena_init(&it->arena, 0);
    list_init(&it->link);
}

void item_fini(struct item *it)
{
    arena_fini(&it->arena);
}

static void item_done_run(struct loop_task *task)
{
    struct item *it = CONTAINER_OF(task, struct item, task);
    it->done(it);
}

/* A deadline that no execution waits for is an orphan, if the state that says so is not older than the
 * row: any node may commit a turn, and the row may be read before we hear of that. One that could not
 * be treated comes again. */
static void timer_finish(struct shard *s, const struct item *it, enum err e)
{
    bool orphan = e == ERR_STALE || e == ERR_STOPPED || e == ERR_NO_EXECUTION;
    if (orphan && it->sure) {
        timers_drop_add(s, &it->timer);
    } else if (e != ERR_OK && e != ERR_GOING_AWAY && !s->stopping) {
        timerq_again(s->timerq, &it->timer, MAX(damage_wait_us(s, &it->exec), (int64_t)BACKOFF_US));
    }
}

/* Ends the item outside of a report. */
void item_finish(struct shard *s, struct item *it, enum err e)
{
    it->err = e;
    if (it->letter.p != NULL) {
        letter_finish(s, it, e);
    }
    if (it->start != NULL) {
        def_unref(it->start->def);
        it->start->def = NULL;
    }
    if (it->done == NULL) {
        if (it->fact.type == FACT_TIMER) {
            timer_finish(s, it, e);
        }
        item_fini(it);
        mem_free(it);
        return;
    }
    it->task = (struct loop_task){.run = item_done_run, .name = "item done"};
    loop_post(s->c.front, &it->task);
}

/* The clock of turns: a wait that is counted from it is never short by the store's time. */
struct wall shard_now(const struct shard *s)
{
    return storeclock_latest(&s->clock, loop_now(s->c.loop));
}

/* ---- questions ---- */

/* What there is none of stays none: an empty text would be an answer. */
static struct str dup_or_none(struct arena *a, struct str s)
{
    return s.p == NULL ? STR_NONE : str_dup(a, s);
}

static void view_fill(struct entry *e, struct item *it)
{
    const struct exec_ident *ident = exec_ident(e->x);
    struct arena *a = &it->arena;
    it->view = (struct item_view){.status = exec_status(e->x),
                                  .output = dup_or_none(a, exec_output(e->x)),
                                  .error = dup_or_none(a, exec_error(e->x)),
                                  .cause = dup_or_none(a, exec_cause(e->x)),
                                  .started_at = ident->started_at,
                                  .closed_at = e->closed_at,
                                  .event_count = exec_event_count(e->x),
                                  .revision = ident->def_revision};
    bool waits;
    (void)exec_parent(e->x, &it->view.parent, &waits);
    if (it->type == ITEM_DESCRIBE) {
        it->view.workflow = str_dup(a, ident->workflow);
        it->view.name = str_dup(a, ident->name);
        it->view.input = dup_or_none(a, exec_input(e->x));
    }
}

bool task_waits(const struct core_task *t)
{
    return t->submitted || t->kind == TASK_START_EXECUTION;
}

static void task_input_answer(struct shard *s, struct entry *e, struct item *it)
{
    struct core_task t;
    struct arena *a = &it->arena;
    const struct task_ref *ref = &it->fact.token.ref;
    const struct exec_ident *ident = exec_ident(e->x);
    if (!exec_open_task(e->x, ref->seq, ref->idx, &t, NULL) ||
        !task_token_eq(&t.token, &it->fact.token)) {
        item_finish(s, it, exec_status(e->x) == EXEC_RUNNING ? ERR_STALE : ERR_STOPPED);
        return;
    }
    it->input = (struct dispatch_task){.token = t.token,
                                       .tenant = exec_id_tenant(&e->id),
                                       .queue = str_dup(a, t.queue),
                                       .timeout_at = t.timeout_at,
                                       .heartbeat_us = t.heartbeat_us,
                                       .waits = task_waits(&t)};
    it->child = (struct item_child){t.sync, t.wait_for_token, t.submitted};
    if (it->type == ITEM_TASK_INPUT) {
        it->input.workflow = str_dup(a, ident->workflow);
        it->input.execution_name = str_dup(a, ident->name);
        it->input.state = str_dup(a, def_state_path(exec_def(e->x), t.state));
        it->input.has_input = true;
        it->input.input = str_dup(a, t.input);
    }
    item_finish(s, it, ERR_OK);
}

static void watch_timer_set(struct shard *s)
{
    struct heap_node *n = heap_min(&s->watch_expiry);
    if (n == NULL) {
        loop_timer_stop(&s->watch_timer);
    } else {
        loop_timer_start(s->c.loop, &s->watch_timer, (struct mono){n->key});
    }
}

static void watch_add(struct shard *s, struct entry *e, struct item *it)
{
    if (s->stopping || it->until.us <= loop_now(s->c.loop).us) {
        view_fill(e, it);
        item_finish(s, it, ERR_OK);
        return;
    }
    list_push_back(&e->watchers, &it->link);
    heap_insert(&s->watch_expiry, &it->expiry, it->until.us);
    watch_timer_set(s);
}

/* One more for whom the same answer is: many may watch one execution, and its output may be large. */
static void watchers_add(struct item **first, struct item *it)
{
    it->err = ERR_OK;
    list_remove(&it->link);
    list_init(&it->also);
    if (*first == NULL) {
        *first = it;
    } else {
        list_push_back(&(*first)->also, &it->link);
    }
}

static void watchers_end(struct shard *s, struct entry *e, struct item *first)
{
    if (first == NULL) {
        return;
    }
    if (e->x != NULL && e->state == ENTRY_READY && e->flight == NULL) {
        view_fill(e, first);
    } else {
        first->view.status = EXEC_RUNNING;
    }
    item_finish(s, first, ERR_OK);
}

static void watch_end(struct shard *s, struct entry *e, struct item *it)
{
    struct item *first = NULL;
    heap_remove(&s->watch_expiry, &it->expiry);
    watchers_add(&first, it);
    watchers_end(s, e, first);
}

static void watch_fired(struct loop_timer *timer)
{
    struct shard *s = CONTAINER_OF(timer, struct shard, watch_timer);
    int64_t now = loop_now(s->c.loop).us;
    struct heap_node *n;
    while ((n = heap_min(&s->watch_expiry)) != NULL && n->key <= now) {
        struct item *it = CONTAINER_OF(n, struct item, expiry);
        struct entry *e = entry_find(s, &it->exec);
        ASSERT(e != NULL);
        watch_end(s, e, it);
        if (!entry_busy(e)) {
            entry_rest(s, e);
        }
    }
    watch_timer_set(s);
}

static void watch_end_told(struct loop_task *task)
{
    struct watch_end *w = CONTAINER_OF(task, struct watch_end, task);
    w->done(w);
}

static void watch_end_run(struct loop_task *task)
{
    struct watch_end *w = CONTAINER_OF(task, struct watch_end, task);
    struct item *it = w->item;
    struct shard *s = it->shard;
    it->until.us = 0; /* if it waits for its execution to be loaded */
    if (heap_contains(&it->expiry)) {
        struct entry *e = entry_find(s, &it->exec);
        ASSERT(e != NULL);
        watch_end(s, e, it);
        if (!entry_busy(e)) {
            entry_rest(s, e);
        }
        watch_timer_set(s);
    }
    w->task = (struct loop_task){.run = watch_end_told, .name = "watch ended"};
    loop_post(s->c.front, &w->task);
}

void shard_watch_end(struct watch_end *w)
{
    w->task = (struct loop_task){.run = watch_end_run, .name = "watch ends"};
    loop_post(w->item->shard->c.loop, &w->task);
}

void entry_notify_closed(struct shard *s, struct entry *e)
{
    struct item *first = NULL;
    LIST_FOREACH_SAFE(l, &e->watchers)
    {
        struct item *it = LIST_ENTRY(l, struct item, link);
        heap_remove(&s->watch_expiry, &it->expiry);
        watchers_add(&first, it);
    }
    watchers_end(s, e, first);
    watch_timer_set(s);
}

/* Answers a question from the durable state. */
void entry_answer(struct shard *s, struct entry *e, struct item *it)
{
    PRE(e->state == ENTRY_READY && e->flight == NULL);
    if (it->type == ITEM_TASK_INPUT || it->type == ITEM_TASK_OPEN) {
        task_input_answer(s, e, it);
    } else if (it->type == ITEM_WATCH) {
        watch_add(s, e, it);
    } else {
        view_fill(e, it);
        item_finish(s, it, ERR_OK);
    }
}

/* ---- turns ---- */

static enum err fact_error(enum fact_result r)
{
    switch (r) {
    case FACT_ACCEPTED:
        return ERR_OK;
    case FACT_STALE:
        return ERR_STALE;
    case FACT_STOPPED:
        return ERR_STOPPED;
    case FACT_INVALID:
        return ERR_INVALID;
    }
    return ERR_FATAL;
}

static enum fact_result offer(struct shard *s, struct entry *e, const struct item *it,
                              struct err_detail *detail)
{
    if (it->fact.type == FACT_TIMER && it->fact.timer_idx == TIMER_GO_ON) {
        /* No fact: the turn goes on by itself, and deletes the row. */
        bool ours = exec_can_run(e->x) && it->fact.timer_seq == exec_seq(e->x);
        e->yielded = e->yielded || ours;
        return ours ? FACT_ACCEPTED : FACT_STALE;
    }
    return turn_fact(s->turn, &it->fact, detail);
}

/* From here on, what waits is judged by a state that is no older than it. */
void entry_sure(struct entry *e)
{
    LIST_FOREACH(l, &e->waiting)
    {
        LIST_ENTRY(l, struct item, link)->sure = true;
    }
}

/* Offers what waits to the turn, in order. What it accepts goes to "taken". True: a deadline or
 * letter is not known, and whether the state is older than its row has to be read. */
static bool turn_take_facts(struct shard *s, struct entry *e, struct list *taken)
{
    uint32_t n = 0;
    size_t bytes = 0;
    bool unsure = false;
    LIST_FOREACH_SAFE(l, &e->waiting)
    {
        struct item *it = LIST_ENTRY(l, struct item, link);
        if (it->type != ITEM_START && it->type != ITEM_FACT) {
            continue;
        }
        if (it->type == ITEM_FACT && it->life != 0 && it->life < s->lives) {
            list_remove(l);
            item_finish(s, it, ERR_RETRY); /* what it rests on may be undone */
            continue;
        }
        bytes += it->fact.payload.size;
        if (n++ == TURN_FACTS_MAX || (n > 1 && bytes > TURN_FACTS_BYTES_MAX)) {
            break;
        }
        fault_hit(s->c.faults, FAULT_COMPLETE_BEFORE_FOLD);
        struct err_detail detail = {0};
        enum fact_result r = offer(s, e, it, &detail);
        if ((r == FACT_STALE || r == FACT_STOPPED) && !list_empty(taken)) {
            continue; /* perhaps by what this very turn took: judged when that is durable (INV 4) */
        }
        bool row = it->fact.type == FACT_TIMER || it->letter.p != NULL;
        if ((r == FACT_STALE || r == FACT_STOPPED) && row && !it->sure) {
            unsure = true;
            continue;
        }
        list_remove(l);
        if (r == FACT_ACCEPTED) {
            list_push_back(taken, l);
        } else {
            metric_add(&metric_stale, r == FACT_STALE ? 1 : 0);
            it->detail = str_dup(&it->arena, str_of(detail.text));
            bool useless = r == FACT_INVALID && it->letter.p != NULL;
            item_finish(s, it, useless ? ERR_MALFORMED : fact_error(r));
        }
    }
    return unsure;
}

/* Somebody else has, or may have, committed a turn: what that opened is armed, what it closed is over. */
static void entry_overtaken(struct shard *s, struct entry *e)
{
    uint32_t n = exec_open_tasks(e->x, NULL, 0);
    struct core_task *open = MEM_ARRAY(struct core_task, n + 1);
    struct task_token *tokens = MEM_ARRAY(struct task_token, n + 1);
    n = exec_open_tasks(e->x, open, n);
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = open[i].token;
    }
    entry_closing(e, tokens, n);
    mem_free(open);
    mem_free(tokens);
    e->arm = true;
    entry_load(s, e, false);
}

/* Questions first: they are about the state before the turn. False: the entry is loading again. */
static bool answer_waiting(struct shard *s, struct entry *e)
{
    bool touched = false;
    struct item *watchers = NULL;
    LIST_FOREACH_SAFE(l, &e->waiting)
    {
        struct item *it = LIST_ENTRY(l, struct item, link);
        if (it->type == ITEM_TOUCH) {
            list_remove(l);
            item_finish(s, it, ERR_OK);
            touched = true;
        } else if (it->type == ITEM_WATCH && exec_status(e->x) != EXEC_RUNNING) {
            watchers_add(&watchers, it);
        } else if (it->type != ITEM_START && it->type != ITEM_FACT) {
            list_remove(l);
            entry_answer(s, e, it);
        }
    }
    watchers_end(s, e, watchers);
    if (touched) {
        entry_overtaken(s, e);
    }
    return !touched;
}

/* No event came of the facts. More may wait than one turn takes; a start refused leaves nothing. */
static void turn_nothing(struct shard *s, struct entry *e)
{
    if (exec_seq(e->x) == 0) {
        entry_fail(s, e, ERR_NO_EXECUTION);
    } else if (letters_again(s, e)) {
        return;
    } else if (!list_empty(&e->waiting)) {
        entry_dirty(s, e);
    } else {
        entry_rest(s, e);
    }
}

/* One turn of one execution into the open batch. */
static void entry_turn(struct shard *s, struct entry *e, struct batch *b)
{
    PRE(e->state == ENTRY_READY && e->flight == NULL);
    if (!answer_waiting(s, e)) {
        return;
    }
    if (list_empty(&e->waiting) && !e->yielded) {
        entry_rest(s, e);
        return;
    }
    struct list taken;
    list_init(&taken);
    uint64_t seq_prev = exec_seq(e->x);
    turn_begin(s->turn, e->x, shard_now(s), &s->rng);
    bool unsure = turn_take_facts(s, e, &taken);
    const struct turn_out *out;
    if (!turn_end(s->turn, &out)) {
        struct list *l;
        while ((l = list_pop_front(&taken)) != NULL) {
            item_finish(s, LIST_ENTRY(l, struct item, link), ERR_OK);
        }
        e->yielded = false;
        if (unsure) {
            entry_overtaken(s, e);
        } else {
            turn_nothing(s, e);
        }
        return;
    }
    entry_sure(e); /* compared with the store when it is committed */
    batch_add(s, b, e, &taken, seq_prev, out);
}

static void pump_run(struct loop_task *task)
{
    struct shard *s = CONTAINER_OF(task, struct shard, pump);
    s->pumping = false;
    if (!s->clock.set) {
        return; /* the first answer of the store sets it and pumps */
    }
    while (!list_empty(&s->dirty)) {
        struct batch *b = batch_open(s);
        if (b == NULL) {
            break; /* an answer will pump again */
        }
        struct entry *e = LIST_ENTRY(list_pop_front(&s->dirty), struct entry, queue);
        entry_turn(s, e, b);
    }
    loads_start(s);
    batches_flush(s);
    cache_trim(s);
}

void shard_pump(struct shard *s)
{
    if (!s->pumping) {
        s->pumping = true;
        s->pump = (struct loop_task){.run = pump_run, .name = "turns"};
        loop_post(s->c.loop, &s->pump);
    }
}

/* ---- arrival ---- */

/* A new execution begins in memory; its first turn makes it durable. */
static bool entry_begin(struct shard *s, struct entry *e, struct item *it)
{
    e->x = exec_new(&it->start->ident, it->start->def);
    e->state = ENTRY_READY;
    entry_measure(s, e);
    return true;
}

static void item_arrived(struct shard *s, struct item *it)
{
    if (s->stopping) {
        item_finish(s, it, ERR_GOING_AWAY);
        return;
    }
    if (it->type == ITEM_START && it->life != s->lives) {
        /* Judged before the store failed over: its definition's number may mean another one now. */
        item_finish(s, it, ERR_RETRY);
        return;
    }
    if (damage_answers(s, it)) {
        return;
    }
    struct entry *e = entry_find(s, &it->exec);
    if (e == NULL) {
        e = entry_make(s, &it->exec);
        if (it->type == ITEM_START) {
            entry_begin(s, e, it);
        } else {
            metric_add(&metric_cache_misses, 1);
            entry_load(s, e, false);
        }
    } else {
        metric_add(&metric_cache_hits, 1);
    }
    list_push_back(&e->waiting, &it->link);
    if (e->state == ENTRY_READY && e->flight == NULL) {
        entry_dirty(s, e);
    }
    shard_pump(s);
}

static void item_run(struct loop_task *task)
{
    struct item *it = CONTAINER_OF(task, struct item, task);
    item_arrived(it->shard, it);
}

void shard_submit(struct shard *s, struct item *it)
{
    it->shard = s;
    it->task = (struct loop_task){.run = item_run, .name = "item"};
    loop_post(s->c.loop, &it->task);
}

/* ---- timers ---- */

static void timers_due(struct timerq_handler *h, const struct timer_row *rows, uint32_t len)
{
    struct shard *s = CONTAINER_OF(h, struct shard, timerq_handler);
    for (uint32_t i = 0; i < len; i++) {
        struct item *it = MEM_NEW(struct item);
        item_init(it, ITEM_FACT, &rows[i].exec, NULL, NULL);
        it->timer = rows[i];
        it->fact =
            (struct fact){.type = FACT_TIMER, .timer_seq = rows[i].seq, .timer_idx = rows[i].idx};
        item_arrived(s, it);
    }
}

/* The state of what is due soon is fetched now, so that firing need not wait for it. */
static void timers_soon(struct timerq_handler *h, const struct timer_row *rows, uint32_t len)
{
    struct shard *s = CONTAINER_OF(h, struct shard, timerq_handler);
    for (uint32_t i = 0; i < len; i++) {
        if (entry_find(s, &rows[i].exec) == NULL && damage_wait_us(s, &rows[i].exec) == 0) {
            entry_load(s, entry_make(s, &rows[i].exec), false);
        }
    }
    shard_pump(s);
}

/* ---- news from the owner ---- */

static void held_refresh(struct shard *s)
{
    s->held_len = lanes_held(&s->lanes, s->held, LANES_PER_SHARD_MAX);
}

void shard_incarnation(struct shard *s, const struct uuid *incarnation)
{
    LOOP_OWNED(s->c.loop);
    s->incarnation = *incarnation;
    s->lives++;
    batch_void(s);
    defs_clear(s->defs);
    damage_forget(s, true);
}

/* What is in memory of these lanes, or on its way there, may be overtaken by what others have committed. */
static void cache_reread(struct shard *s, const bool *of_lane)
{
    s->rereads++;
    LIST_FOREACH_SAFE(it, &s->entries.order)
    {
        struct entry *e = MAP_ORDER_ENTRY(it, struct entry, node);
        if (!of_lane[lanes_of(&s->lanes, &e->id)->ref.lane] || e->state != ENTRY_READY ||
            e->flight != NULL || entry_starting(e)) {
            continue; /* a turn in flight is compared with the store */
        }
        if (entry_busy(e)) {
            entry_load(s, e, false);
        } else {
            entry_drop(s, e);
        }
    }
    shard_pump(s);
}

static void claims_drop(struct shard *s, uint16_t lane)
{
    for (uint32_t i = 0; i < s->claims_len; i++) {
        if (s->claims[i].lane == lane) {
            s->claims[i] = s->claims[--s->claims_len];
            return;
        }
    }
}

static void claims_set(struct shard *s, const struct lane_row *l)
{
    claims_drop(s, l->lane);
    s->claims[s->claims_len++] =
        (struct lane_ref){l->shard, l->lane, l->slot_lo, l->slot_hi, l->fence};
}

void shard_lanes(struct shard *s, const struct lane_row *rows, uint32_t len, bool held)
{
    LOOP_OWNED(s->c.loop);
    bool gained = false, of_lane[LANES_PER_SHARD_MAX] = {false};
    for (uint32_t i = 0; i < len; i++) {
        of_lane[rows[i].lane] = true;
        bool own = rows[i].lane % s->c.numbers == s->c.number;
        if (held) {
            claims_set(s, &rows[i]);
        }
        if (own && (held || !s->lanes.lane[rows[i].lane].held)) {
            lanes_set(&s->lanes, &rows[i], held);
            gained = gained || held;
        }
    }
    held_refresh(s);
    if (gained) {
        cache_reread(s, of_lane); /* somebody else may have had them */
        timerq_rescan(s->timerq);
    }
}

void shard_lost(struct shard *s, const uint16_t *lanes, uint32_t len)
{
    LOOP_OWNED(s->c.loop);
    for (uint32_t i = 0; i < len; i++) {
        lanes_lose(&s->lanes, lanes[i]);
        claims_drop(s, lanes[i]);
    }
    held_refresh(s);
    timerq_rescan(s->timerq);
    timers_drop_forget(s);
    rubbish_forget(s);
    damage_forget(s, false);
    /* What is cached of them may be overtaken by the new owner at any moment, or be void after a
     * failover: what waits is judged by what the store has. */
    LIST_FOREACH_SAFE(it, &s->entries.order)
    {
        struct entry *e = MAP_ORDER_ENTRY(it, struct entry, node);
        if (lanes_of(&s->lanes, &e->id)->held) {
            continue;
        }
        if (!entry_busy(e)) {
            entry_drop(s, e);
        } else if (e->flight == NULL && entry_starting(e)) {
            entry_fail(s, e, ERR_UNKNOWN);
        } else if (e->state == ENTRY_READY && e->flight == NULL) {
            entry_load(s, e, true);
        }
    }
}

void shard_windows(struct shard *s, int64_t accept_from, int64_t open_to)
{
    LOOP_OWNED(s->c.loop);
    lanes_windows(&s->lanes, accept_from, open_to);
}

void shard_moved(struct shard *s, int64_t window)
{
    LOOP_OWNED(s->c.loop);
    for (uint32_t i = 0; i < s->lanes.len; i++) {
        if (s->lanes.lane[i].held) {
            timerq_moved(s->timerq, (uint16_t)i, window);
        }
    }
}

void shard_rescan(struct shard *s)
{
    LOOP_OWNED(s->c.loop);
    timerq_rescan(s->timerq);
}

void shard_missed(struct shard *s)
{
    LOOP_OWNED(s->c.loop);
    bool of_lane[LANES_PER_SHARD_MAX] = {false};
    for (uint32_t i = 0; i < s->lanes.len; i++) {
        of_lane[i] = s->lanes.lane[i].held;
    }
    cache_reread(s, of_lane);
    timerq_rescan(s->timerq);
}

void shard_clock(struct shard *s, struct mono sent, struct mono answered, struct wall store)
{
    LOOP_OWNED(s->c.loop);
    bool first = !s->clock.set;
    storeclock_sample(&s->clock, sent, answered, store);
    if (first && s->clock.set) {
        timerq_rescan(s->timerq);
        shard_pump(s);
    }
}

/* ---- life ---- */

static void delay_fired(struct loop_timer *timer)
{
    struct shard *s = CONTAINER_OF(timer, struct shard, delay);
    struct list *l;
    while ((l = list_pop_front(&s->delayed)) != NULL) {
        list_push_back(&s->loading, l);
    }
    shard_pump(s);
}

struct shard *shard_new(const struct shard_config *config)
{
    PRE(config->batches > 0 && config->chunk > 0 && config->number < config->numbers);
    struct shard *s = MEM_NEW(struct shard);
    s->c = *config;
    rng_seed(&s->rng, config->seed);
    lanes_init(&s->lanes, config->shard, config->window_us);
    storeclock_init(&s->clock);
    s->timerq_handler = (struct timerq_handler){.due = timers_due, .soon = timers_soon};
    s->timerq = timerq_new(&(struct timerq_config){.loop = config->loop,
                                                   .store = config->store,
                                                   .lanes = &s->lanes,
                                                   .clock = &s->clock,
                                                   .faults = config->faults,
                                                   .chunk = config->chunk,
                                                   .handler = &s->timerq_handler});
    s->defs = defs_new(config->loop, config->store, config->definitions, config->definition_us);
    s->turn = turn_new();
    map_init(&s->entries);
    map_init(&s->damaged);
    heap_init(&s->damaged_looks);
    list_init(&s->lru);
    list_init(&s->dirty);
    list_init(&s->loading);
    list_init(&s->delayed);
    list_init(&s->batches_free);
    heap_init(&s->watch_expiry);
    buf_init(&s->scratch, 0);
    s->delay.fired = delay_fired;
    s->delay.name = "entries delayed";
    s->watch_timer.fired = watch_fired;
    s->watch_timer.name = "watches over";
    return s;
}

void shard_stop(struct shard *s)
{
    LOOP_OWNED(s->c.loop);
    s->stopping = true;
    timerq_stop(s->timerq);
    loop_timer_stop(&s->damage_timer);
    LIST_FOREACH_SAFE(it, &s->entries.order)
    {
        struct entry *e = MAP_ORDER_ENTRY(it, struct entry, node);
        entry_notify_closed(s, e);
    }
}

bool shard_idle(const struct shard *s)
{
    return s->stopping && s->in_flight == 0 && s->loads == 0 && s->reports == 0 && !s->pumping &&
           list_empty(&s->dirty) && list_empty(&s->loading) && list_empty(&s->delayed) &&
           (s->open == NULL || s->open->len == 0) && !s->dropping && !s->clearing &&
           timerq_idle(s->timerq) && defs_idle(s->defs);
}

void shard_free(struct shard *s)
{
    if (s == NULL) {
        return;
    }
    PRE(shard_idle(s));
    loop_timer_stop(&s->delay);
    loop_timer_stop(&s->watch_timer);
    rubbish_fini(s);
    LIST_FOREACH_SAFE(it, &s->entries.order)
    {
        entry_drop(s, MAP_ORDER_ENTRY(it, struct entry, node));
    }
    cache_tell(s);
    damage_forget(s, true);
    batch_free(s->open);
    struct list *l;
    while ((l = list_pop_front(&s->batches_free)) != NULL) {
        batch_free(LIST_ENTRY(l, struct batch, free));
    }
    timerq_free(s->timerq);
    defs_free(s->defs);
    turn_free(s->turn);
    map_fini(&s->entries);
    map_fini(&s->damaged);
    heap_fini(&s->damaged_looks);
    heap_fini(&s->watch_expiry);
    buf_fini(&s->scratch);
    mem_free(s);
}

void shard_stats(const struct shard *s, struct shard_stats *out)
{
    *out = (struct shard_stats){.entries = map_len(&s->entries),
                                .bytes = s->bytes,
                                .timers = timerq_len(s->timerq),
                                .in_flight = s->in_flight};
}
