/* Composition of the engine: front, shards, owner; and how news travels between their loops. */
#include "base/prelude.h"

#include "engine/engine_internal.h"

LOG_MODULE("engine");

/* ---- news from the owner role to one other role ---- */

enum news_type {
    NEWS_INCARNATION,
    NEWS_GAINED,
    NEWS_FOREIGN,
    NEWS_LOST,
    NEWS_WINDOWS,
    NEWS_MOVED,
    NEWS_RESCAN,
    NEWS_MISSED,
    NEWS_CLOCK,
    NEWS_STATE,
    NEWS_STOP,
};

struct news {
    struct loop_task task;
    struct engine *engine;
    struct shard *shard; /* NULL: for the front */
    enum news_type type;
    struct arena arena;
    struct uuid incarnation;
    struct lane_row *rows;
    uint16_t *lanes;
    uint32_t len;
    int64_t a, b;
    struct mono sent, answered;
    struct wall store;
    enum owner_state state;
    struct str node;
};

static void to_shard(struct shard *s, const struct news *n)
{
    switch (n->type) {
    case NEWS_INCARNATION:
        shard_incarnation(s, &n->incarnation);
        break;
    case NEWS_GAINED:
        shard_lanes(s, n->rows, n->len, true);
        break;
    case NEWS_FOREIGN:
        shard_lanes(s, n->rows, n->len, false);
        break;
    case NEWS_LOST:
        shard_lost(s, n->lanes, n->len);
        break;
    case NEWS_WINDOWS:
        shard_windows(s, n->a, n->b);
        break;
    case NEWS_MOVED:
        shard_moved(s, n->a);
        break;
    case NEWS_RESCAN:
        shard_rescan(s);
        break;
    case NEWS_MISSED:
        shard_missed(s);
        break;
    case NEWS_CLOCK:
        shard_clock(s, n->sent, n->answered, n->store);
        break;
    case NEWS_STATE:
        break;
    case NEWS_STOP:
        shard_stop(s);
        break;
    }
}

static void front_lost(struct front *f, const struct news *n)
{
    for (uint32_t i = 0; i < n->len; i++) {
        dispatch_clear_lane(f->dispatch, &f->lanes.lane[n->lanes[i]]);
        children_clear_lane(f, &f->lanes.lane[n->lanes[i]]);
        lanes_lose(&f->lanes, n->lanes[i]);
    }
}

static void front_owner(struct front *f, const struct news *n)
{
    f->state = n->state;
    mem_free((void *)(uintptr_t)f->other_node.p);
    f->other_node = STR_NONE;
    if (n->node.size > 0) {
        f->other_node = str_of(mem_strdup(n->node.p));
    }
    if (n->state != OWNER_ACTIVE) {
        front_waits_end(f);
    }
    if (f->engine->c.state != NULL) {
        f->engine->c.state(f->engine->c.arg, n->state);
    }
}

static void to_front(struct front *f, const struct news *n)
{
    switch (n->type) {
    case NEWS_GAINED:
        for (uint32_t i = 0; i < n->len; i++) {
            lanes_set(&f->lanes, &n->rows[i], true);
        }
        recover_start(f, true);
        inbox_scan(f);
        break;
    case NEWS_FOREIGN:
        for (uint32_t i = 0; i < n->len; i++) {
            if (!f->lanes.lane[n->rows[i].lane].held) {
                lanes_set(&f->lanes, &n->rows[i], false);
            }
        }
        break;
    case NEWS_LOST:
        front_lost(f, n);
        break;
    case NEWS_CLOCK:
        storeclock_sample(&f->clock, n->sent, n->answered, n->store);
        break;
    case NEWS_STATE:
        front_owner(f, n);
        break;
    case NEWS_MISSED:
        recover_start(f, false);
        inbox_scan(f);
        break;
    case NEWS_INCARNATION:
        f->lives++;
        defs_clear(f->defs);
        tenants_check(f);
        break;
    case NEWS_WINDOWS:
        lanes_windows(&f->lanes, n->a, n->b);
        break;
    case NEWS_MOVED:
    case NEWS_RESCAN:
    case NEWS_STOP:
        break;
    }
}

static void news_run(struct loop_task *task)
{
    struct news *n = CONTAINER_OF(task, struct news, task);
    if (n->shard != NULL) {
        to_shard(n->shard, n);
    } else {
        to_front(&n->engine->front, n);
    }
    arena_fini(&n->arena);
    mem_free(n);
}

static void news_send(struct engine *e, struct shard *s, struct loop *loop, const struct news *in)
{
    struct news *n = MEM_NEW(struct news);
    *n = *in;
    n->engine = e;
    n->shard = s;
    arena_init(&n->arena, 0);
    n->node = str_dup(&n->arena, in->node);
    if (in->rows != NULL) {
        n->rows = arena_memdup(&n->arena, in->rows, in->len * sizeof(in->rows[0]));
    }
    if (in->lanes != NULL) {
        n->lanes = arena_memdup(&n->arena, in->lanes, in->len * sizeof(in->lanes[0]));
    }
    n->task = (struct loop_task){.run = news_run, .name = "owner news"};
    loop_post(loop, &n->task);
}

/* To the shards first: when the front hears of it, they are ready. */
static void news_all(struct engine *e, const struct news *n)
{
    for (uint32_t i = 0; i < e->c.turns_len; i++) {
        news_send(e, e->shards[i], e->c.turns[i], n);
    }
    news_send(e, NULL, e->c.front, n);
}

/* Each turn loop takes its own lanes; of the others it keeps the claims. */
static void news_lanes(struct engine *e, enum news_type type, const struct lane_row *rows,
                       uint32_t len)
{
    news_all(e,
             &(struct news){.type = type, .rows = (struct lane_row *)(uintptr_t)rows, .len = len});
}

/* ---- the owner's handler: on the control loop ---- */

static struct engine *of(struct owner_handler *h)
{
    return CONTAINER_OF(h, struct engine, owner_handler);
}

static void on_gained(struct owner_handler *h, const struct lane_row *rows, uint32_t len)
{
    news_lanes(of(h), NEWS_GAINED, rows, len);
}

static void on_foreign(struct owner_handler *h, const struct lane_row *rows, uint32_t len)
{
    news_lanes(of(h), NEWS_FOREIGN, rows, len);
}

static void on_lost(struct owner_handler *h, const uint16_t *lanes, uint32_t len)
{
    news_all(of(h),
             &(struct news){.type = NEWS_LOST, .lanes = (uint16_t *)(uintptr_t)lanes, .len = len});
}

static void on_windows(struct owner_handler *h, int64_t accept_from, int64_t open_to)
{
    news_all(of(h), &(struct news){.type = NEWS_WINDOWS, .a = accept_from, .b = open_to});
}

static void on_moved(struct owner_handler *h, int64_t window)
{
    news_all(of(h), &(struct news){.type = NEWS_MOVED, .a = window});
}

static void on_promoted(struct owner_handler *h)
{
    news_all(of(h), &(struct news){.type = NEWS_RESCAN});
}

static void on_missed(struct owner_handler *h)
{
    news_all(of(h), &(struct news){.type = NEWS_MISSED});
}

struct announce {
    struct loop_task task;
    struct engine *engine;
    uint32_t len;
    struct exec_id ids[];
};

static void announce_run(struct loop_task *task)
{
    struct announce *a = CONTAINER_OF(task, struct announce, task);
    for (uint32_t i = 0; i < a->len; i++) {
        front_touch(&a->engine->front, &a->ids[i]);
    }
    mem_free(a);
}

static void on_announced(struct owner_handler *h, const struct exec_id *ids, uint32_t len)
{
    struct engine *e = of(h);
    struct announce *a = mem_alloc(sizeof(*a) + len * sizeof(ids[0]));
    a->engine = e;
    a->len = len;
    memcpy(a->ids, ids, len * sizeof(ids[0]));
    a->task = (struct loop_task){.run = announce_run, .name = "announced"};
    loop_post(e->c.front, &a->task);
}

static void on_clock(struct owner_handler *h, struct mono sent, struct mono answered,
                     struct wall store)
{
    news_all(of(h), &(struct news){
                        .type = NEWS_CLOCK, .sent = sent, .answered = answered, .store = store});
}

static void on_state(struct owner_handler *h, enum owner_state s, struct str other)
{
    struct engine *e = of(h);
    log_info("ownership", "state=%s%s%.*s", owner_state_name(s),
             other.size > 0 ? " other_node=" : "", STR_ARG(other));
    news_send(e, NULL, e->c.front, &(struct news){.type = NEWS_STATE, .state = s, .node = other});
}

static void on_incarnation(struct owner_handler *h, const struct uuid *incarnation)
{
    struct engine *e = of(h);
    if (e->c.incarnation != NULL) {
        e->c.incarnation(e->c.arg, incarnation);
    }
    news_all(e, &(struct news){.type = NEWS_INCARNATION, .incarnation = *incarnation});
}

/* ---- what shards tell ---- */

static void report_run(struct loop_task *task)
{
    struct report *r = CONTAINER_OF(task, struct report, task);
    if (r->to->engine->front_closed) { /* nobody is left to tell; the shard wants it back */
        PRE(list_empty(&r->items));
        loop_post(r->home, &r->release);
        return;
    }
    front_report(r->to, r);
}

/* On a turn loop. */
static void on_report(void *arg, struct report *r)
{
    struct engine *e = arg;
    r->to = &e->front;
    r->task = (struct loop_task){.run = report_run, .name = "report"};
    loop_post(e->c.front, &r->task);
}

struct recheck {
    struct loop_task task;
    struct engine *engine;
};

static void recheck_run(struct loop_task *task)
{
    struct recheck *r = CONTAINER_OF(task, struct recheck, task);
    owner_recheck(r->engine->owner);
    mem_free(r);
}

/* On a turn loop. */
static void on_foreign_lane(void *arg)
{
    struct engine *e = arg;
    struct recheck *r = MEM_NEW(struct recheck);
    r->engine = e;
    r->task = (struct loop_task){.run = recheck_run, .name = "owner recheck"};
    loop_post(e->c.control, &r->task);
}

/* ---- life ---- */

static void owner_make(struct engine *e)
{
    const struct engine_config *c = &e->c;
    e->owner_handler = (struct owner_handler){.gained = on_gained,
                                              .foreign = on_foreign,
                                              .lost = on_lost,
                                              .windows = on_windows,
                                              .moved = on_moved,
                                              .promoted = on_promoted,
                                              .announced = on_announced,
                                              .missed = on_missed,
                                              .clock = on_clock,
                                              .state = on_state,
                                              .incarnation = on_incarnation};
    rng_seed(&e->owner_rng, c->seed ^ UINT64_C(0x6f776e6572));
    e->owner = owner_new(&(struct owner_config){.loop = c->control,
                                                .store = c->store,
                                                .coord = c->coord,
                                                .rng = &e->owner_rng,
                                                .faults = c->faults,
                                                .handler = &e->owner_handler,
                                                .shard = c->shard,
                                                .node = c->node,
                                                .address = c->listen,
                                                .heartbeat_us = c->heartbeat_us,
                                                .window_us = c->window_us,
                                                .ring_windows = c->ring_windows,
                                                .promote_us = c->promote_us});
}

struct engine *engine_new(const struct engine_config *config)
{
    PRE(config->turns_len > 0 && config->turns_len <= ENGINE_SHARDS_MAX);
    struct engine *e = MEM_NEW(struct engine);
    e->c = *config;
    front_init(&e->front, e);
    for (uint32_t i = 0; i < config->turns_len; i++) {
        e->shards[i] = shard_new(
            &(struct shard_config){.loop = config->turns[i],
                                   .front = config->front,
                                   .store = config->store,
                                   .seed = config->seed + i * UINT64_C(0x9e3779b97f4a7c15),
                                   .faults = config->faults,
                                   .shard = config->shard,
                                   .number = i,
                                   .numbers = config->turns_len,
                                   .window_us = config->window_us,
                                   .chunk = config->timers_chunk,
                                   .cache_bytes = config->cache_bytes / config->turns_len,
                                   .definitions = config->definitions,
                                   .definition_us = config->definition_us,
                                   .batches = config->batches,
                                   .batch_min = config->batch_min,
                                   .report = on_report,
                                   .foreign = on_foreign_lane,
                                   .arg = e});
    }
    owner_make(e);
    return e;
}

static void start_control_run(struct loop_task *task)
{
    owner_start(CONTAINER_OF(task, struct engine, start_control)->owner);
}

/* Stopping: intake ends (front), turns finish (shards), ownership goes (owner). Each role is asked, in turn
 * and again, whether it is idle; who is not after DRAIN_MAX_US is left to its fate: what it had is
 * durable or was never acknowledged. */
enum { DRAIN_MAX_US = 5 * US_PER_S, DRAIN_ASK_US = 5 * US_PER_MS };

/* When ownership is given back, each role is freed on its own loop (its timers and the listener are
 * that loop's), the front first: it is what submits to the shards. A role that is not idle still waits
 * for answers of the store; every call has a deadline, so that ends. */
static void closing_next(struct engine *e);

struct closing {
    struct loop_task task;
    struct engine *engine;
    uint32_t role; /* 0: the front; n: shard n - 1 */
    bool closed;
};

static void closing_answer(struct loop_task *task)
{
    struct closing *c = CONTAINER_OF(task, struct closing, task);
    struct engine *e = c->engine;
    bool closed = c->closed;
    mem_free(c);
    if (closed) {
        e->roles_closed++;
        closing_next(e);
    } else {
        loop_timer_after(e->c.control, &e->drain, DRAIN_ASK_US);
    }
}

static void closing_look(struct loop_task *task)
{
    struct closing *c = CONTAINER_OF(task, struct closing, task);
    struct engine *e = c->engine;
    if (c->role == 0) {
        c->closed = front_idle(&e->front);
        if (c->closed) {
            front_fini(&e->front);
            e->front_closed = true;
        }
    } else {
        c->closed = shard_idle(e->shards[c->role - 1]);
        if (c->closed) {
            shard_free(e->shards[c->role - 1]);
            e->shards[c->role - 1] = NULL;
        }
    }
    c->task = (struct loop_task){.run = closing_answer, .name = "closed"};
    loop_post(e->c.control, &c->task);
}

static void closing_next(struct engine *e)
{
    if (e->roles_closed > e->c.turns_len) {
        e->stopped(e->stopped_arg);
        return;
    }
    struct closing *c = MEM_NEW(struct closing);
    c->engine = e;
    c->role = e->roles_closed;
    c->task = (struct loop_task){.run = closing_look, .name = "close"};
    loop_post(c->role == 0 ? e->c.front : e->c.turns[c->role - 1], &c->task);
}

static void closing_fired(struct loop_timer *timer)
{
    closing_next(CONTAINER_OF(timer, struct engine, drain));
}

static void owner_stopped(void *arg)
{
    struct engine *e = arg;
    e->drain.fired = closing_fired;
    closing_next(e);
}

struct drain_ask {
    struct loop_task task;
    struct engine *engine;
    struct shard *shard; /* NULL: the front */
    bool idle;
};

static void drain_answer(struct loop_task *task)
{
    struct drain_ask *a = CONTAINER_OF(task, struct drain_ask, task);
    struct engine *e = a->engine;
    e->drain_asked--;
    e->drain_busy += a->idle ? 0 : 1;
    mem_free(a);
    if (e->drain_asked > 0) {
        return;
    }
    if (e->drain_busy > 0 && loop_now(e->c.control).us < e->drain_until.us) {
        loop_timer_after(e->c.control, &e->drain, DRAIN_ASK_US);
        return;
    }
    if (e->drain_busy > 0) {
        log_warn("stopping with work under way", "roles=%u", e->drain_busy);
    }
    owner_stop(e->owner, owner_stopped, e);
}

static void drain_look(struct loop_task *task)
{
    struct drain_ask *a = CONTAINER_OF(task, struct drain_ask, task);
    a->idle = a->shard != NULL ? shard_idle(a->shard) : front_idle(&a->engine->front);
    a->task = (struct loop_task){.run = drain_answer, .name = "drain answer"};
    loop_post(a->engine->c.control, &a->task);
}

static void drain_fired(struct loop_timer *timer)
{
    struct engine *e = CONTAINER_OF(timer, struct engine, drain);
    e->drain_busy = 0;
    e->drain_asked = e->c.turns_len + 1;
    for (uint32_t i = 0; i <= e->c.turns_len; i++) {
        struct drain_ask *a = MEM_NEW(struct drain_ask);
        a->engine = e;
        a->shard = i < e->c.turns_len ? e->shards[i] : NULL;
        a->task = (struct loop_task){.run = drain_look, .name = "drain look"};
        loop_post(i < e->c.turns_len ? e->c.turns[i] : e->c.front, &a->task);
    }
}

static void shards_stop(struct engine *e)
{
    for (uint32_t i = 0; i < e->c.turns_len; i++) {
        news_send(e, e->shards[i], e->c.turns[i], &(struct news){.type = NEWS_STOP});
    }
}

static void stop_control_run(struct loop_task *task)
{
    struct engine *e = CONTAINER_OF(task, struct engine, stop_control);
    shards_stop(e);
    e->drain_until.us = loop_now(e->c.control).us + DRAIN_MAX_US;
    e->drain.fired = drain_fired;
    e->drain.name = "drain";
    loop_timer_after(e->c.control, &e->drain, 0);
}

static void stop_front_run(struct loop_task *task)
{
    struct engine *e = CONTAINER_OF(task, struct engine, stop_front);
    front_stop(&e->front);
    e->stop_control = (struct loop_task){.run = stop_control_run, .name = "stop control"};
    loop_post(e->c.control, &e->stop_control);
}

void engine_stop(struct engine *e, void (*done)(void *arg), void *arg)
{
    e->stopped = done;
    e->stopped_arg = arg;
    e->stop_front = (struct loop_task){.run = stop_front_run, .name = "stop front"};
    loop_post(e->c.front, &e->stop_front);
}

/* Listening failed: nothing has begun, but each role is freed on its own loop all the same, and the
 * caller hears of the failure when that is done: then it may free the engine. */
static void start_refused(struct loop_task *task)
{
    struct engine *e = CONTAINER_OF(task, struct engine, start_front);
    e->c.started(e->c.arg, e->start_err, STR_NONE, &e->start_detail);
}

static void start_undone(void *arg)
{
    struct engine *e = arg;
    e->start_front = (struct loop_task){.run = start_refused, .name = "start refused"};
    loop_post(e->c.front, &e->start_front);
}

static void start_undo_run(struct loop_task *task)
{
    struct engine *e = CONTAINER_OF(task, struct engine, start_control);
    shards_stop(e);
    e->stopped = start_undone;
    e->stopped_arg = e;
    e->drain.fired = closing_fired;
    closing_next(e);
}

static void start_front_run(struct loop_task *task)
{
    struct engine *e = CONTAINER_OF(task, struct engine, start_front);
    struct err_detail d = {0};
    enum err err = front_listen(&e->front, &d);
    e->start_control = (struct loop_task){.run = err == ERR_OK ? start_control_run : start_undo_run,
                                          .name = err == ERR_OK ? "owner start" : "start undone"};
    e->start_err = err;
    e->start_detail = d;
    loop_post(e->c.control, &e->start_control);
    if (err == ERR_OK) {
        e->c.started(e->c.arg, err, e->front.listener->address, &d);
    }
}

void engine_start(struct engine *e)
{
    e->start_front = (struct loop_task){.run = start_front_run, .name = "front start"};
    loop_post(e->c.front, &e->start_front);
}

void engine_free(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    PRE(e->roles_closed > e->c.turns_len);
    owner_free(e->owner);
    mem_free(e);
}
