/* What workers ask: polls with outcomes, heartbeats, outcomes by token; and what dispatch asks of the
 * engine. See front.h.
 *
 * A POLL with outcomes: each outcome becomes an item; when the last is decided (durably), the poll is
 * registered as "closing", and the flush at the end of that very report answers it with the tasks the
 * same turns made: one round trip per step. A POLL without outcomes is a long poll. */
#include "base/prelude.h"

#include "engine/engine_internal.h"

LOG_MODULE("worker_api");

enum {
    HYDRATE_AGAIN_US = 100 * US_PER_MS,
    HYDRATE_AGAIN_MAX_US = 60 * US_PER_S,
    POLL_FRAME_SIZE = 64, /* bytes of a POLL_OK without acks and tasks, and more */
    ACK_SIZE_MAX = 5,
};

struct outcome {
    struct item item;
    struct poll *poll;
    uint32_t index;
};

struct poll {
    struct call *call;
    struct list link; /* in conn.polls while registered */
    struct dispatch_poll dispatch;
    uint32_t undecided;
    uint32_t *acks;
};

/* Where the tasks of an answer are put together; encoded at once, so one serves all. */
struct granted {
    struct msg_task tasks[POLL_TASKS_MAX];
    char ids[POLL_TASKS_MAX][EXEC_ID_TEXT + 1];
};

static void poll_answer(struct poll *p, struct dtask **granted, uint32_t len)
{
    struct call *c = p->call;
    struct granted *g = c->frame->front->granted;
    PRE(len <= POLL_TASKS_MAX);
    for (uint32_t i = 0; i < len; i++) {
        const struct dispatch_task *t = &granted[i]->t;
        exec_id_format(&t->token.ref.exec, g->ids[i]);
        g->tasks[i] = (struct msg_task){.token = t->token,
                                        .queue = t->queue,
                                        .workflow = t->workflow,
                                        .name = t->execution_name,
                                        .execution = {g->ids[i], EXEC_ID_TEXT},
                                        .state = t->state,
                                        .attempt = t->token.ref.attempt,
                                        .input = t->input,
                                        .timeout_at_ms = t->timeout_at.us / US_PER_MS,
                                        .heartbeat_ms = t->heartbeat_us / US_PER_MS};
    }
    struct msg m = {.type = MSG_POLL_OK};
    m.u.poll_ok.acks = p->acks;
    m.u.poll_ok.acks_len = c->msg.u.poll.completions_len;
    m.u.poll_ok.tasks = g->tasks;
    m.u.poll_ok.tasks_len = len;
    call_answer(c, &m);
}

static void poll_answered(struct dispatch_poll *d, struct dtask **granted, uint32_t len)
{
    struct poll *p = CONTAINER_OF(d, struct poll, dispatch);
    list_remove(&p->link);
    poll_answer(p, granted, len);
}

/* Asks dispatch for work, or answers at once when none is wanted. */
static void poll_register(struct poll *p, bool closing)
{
    struct call *c = p->call;
    struct front *f = c->frame->front;
    struct conn *conn = c->frame->conn;
    const struct msg_poll *in = &c->msg.u.poll;
    if (conn->closed) {
        call_drop(c);
        return;
    }
    if (conn->session == NULL || in->capacity == 0 || in->queues_len == 0 || f->going_away ||
        f->state != OWNER_ACTIVE) {
        poll_answer(p, NULL, 0);
        return;
    }
    p->dispatch.session = conn->session;
    p->dispatch.capacity = in->capacity;
    p->dispatch.closing = closing;
    p->dispatch.room = &c->frame->room;
    p->dispatch.answer = poll_answered;
    list_push_back(&conn->polls, &p->link);
    call_waits(c);
    struct mono until = {loop_now(f->loop).us + (int64_t)in->wait_ms * US_PER_MS};
    dispatch_poll(f->dispatch, &p->dispatch, in->queues, in->queues_len, until);
    if (!closing) {
        call_unpin(c);
    }
}

/* Closed for good, whoever closed it: no worker needs this task any more. */
static bool attempt_over(enum err e)
{
    return e == ERR_OK || e == ERR_STALE || e == ERR_STOPPED || e == ERR_NO_EXECUTION;
}

/* A damaged execution may be restored: the outcome is kept by who has it, and sent again. */
static uint32_t outcome_code(enum err e)
{
    if (e == ERR_DAMAGED) {
        return ERR_RETRY;
    }
    return (uint32_t)(e == ERR_NO_EXECUTION ? ERR_STALE : e);
}

static void outcome_done(struct item *it)
{
    struct outcome *o = CONTAINER_OF(it, struct outcome, item);
    struct poll *p = o->poll;
    struct front *f = p->call->frame->front;
    if (attempt_over(it->err)) {
        dispatch_let_go(f->dispatch, &it->fact.token);
    }
    p->acks[o->index] = outcome_code(it->err);
    item_fini(it);
    if (--p->undecided == 0) {
        poll_register(p, true);
        /* Items that end outside of a report have no flush behind them. */
        front_flush_later(f);
    }
}

static void fact_fill(struct fact *fact, const struct task_token *token, bool failed,
                      struct str output, struct str error, struct str cause, struct str worker)
{
    *fact = (struct fact){.type = failed ? FACT_TASK_FAILED : FACT_TASK_SUCCEEDED,
                          .token = *token,
                          .worker = worker};
    if (failed) {
        fact->error = error;
        fact->cause = cause;
    } else {
        fact->payload = output.size == 0 ? STR("{}") : output;
    }
}

static void outcomes_submit(struct poll *p)
{
    struct call *c = p->call;
    struct front *f = c->frame->front;
    const struct msg_poll *in = &c->msg.u.poll;
    if (!call_charge(c, in->completions_len)) {
        call_error(c, ERR_LIMIT, "%u outcomes are too many beside what is open already",
                   in->completions_len);
        return;
    }
    struct outcome *v = CALL_ARRAY(c, struct outcome, in->completions_len);
    if (v == NULL) {
        return;
    }
    p->undecided = in->completions_len;
    for (uint32_t i = 0; i < in->completions_len; i++) {
        const struct msg_completion *m = &in->completions[i];
        struct outcome *o = &v[i];
        o->poll = p;
        o->index = i;
        /* Of an attempt that it was given: with .waitForTaskToken this answers the call alone. */
        item_init(&o->item, ITEM_FACT, &m->token.ref.exec, outcome_done, NULL);
        fact_fill(&o->item.fact, &m->token, m->status == MSG_COMPLETION_FAILURE, m->output,
                  m->error, m->cause, c->frame->conn->name);
        o->item.fact.call = true;
        if (exec_id_tenant(&m->token.ref.exec) != c->frame->conn->tenant ||
            exec_id_shard(&m->token.ref.exec) != f->lanes.shard) {
            o->item.err = ERR_STALE;
            p->acks[i] = ERR_STALE;
            p->undecided--;
            continue;
        }
        shard_submit(front_shard(f, &o->item.exec), &o->item);
    }
    if (p->undecided == 0) {
        poll_register(p, true);
    }
}

/* NULL: the call is answered. */
static struct poll *poll_new(struct call *c)
{
    const struct msg_poll *in = &c->msg.u.poll;
    struct poll *p = CALL_NEW(c, struct poll);
    if (p == NULL) {
        return NULL;
    }
    p->call = c;
    list_init(&p->link);
    p->acks = CALL_ARRAY(c, uint32_t, in->completions_len);
    if (p->acks == NULL) {
        return NULL;
    }
    p->dispatch.at = CALL_ARRAY(c, struct dispatch_poll_at, in->queues_len);
    return p->dispatch.at != NULL ? p : NULL;
}

void api_poll(struct call *c)
{
    struct front *f = c->frame->front;
    const struct msg_poll *in = &c->msg.u.poll;
    for (uint32_t i = 0; i < in->dropped_len; i++) {
        dispatch_give_back(f->dispatch, c->frame->conn->session, &in->dropped[i]);
    }
    struct poll *p = poll_new(c);
    if (p == NULL) {
        return;
    }
    call_promise(c, POLL_FRAME_SIZE + in->completions_len * ACK_SIZE_MAX);
    if (in->completions_len > 0) {
        outcomes_submit(p);
    } else {
        poll_register(p, in->wait_ms == 0);
    }
}

void polls_cancel(struct conn *conn)
{
    LIST_FOREACH_SAFE(l, &conn->polls)
    {
        struct poll *p = LIST_ENTRY(l, struct poll, link);
        list_remove(l);
        dispatch_poll_cancel(p->call->frame->front->dispatch, &p->dispatch);
        call_drop(p->call);
    }
}

/* One that has been granted something is about to be answered anyway. */
void polls_answer(struct conn *conn, struct frame *fr)
{
    LIST_FOREACH_SAFE(l, &conn->polls)
    {
        struct poll *p = LIST_ENTRY(l, struct poll, link);
        if (fr != NULL && (p->call->frame != fr || p->dispatch.granted_len > 0)) {
            continue;
        }
        list_remove(l);
        dispatch_poll_cancel(p->call->frame->front->dispatch, &p->dispatch);
        poll_answer(p, NULL, 0);
    }
}

/* ---- heartbeats, outcomes by token ---- */

struct heartbeat {
    struct call *call;
    uint32_t *codes;
    uint32_t undecided; /* +1 while they are being looked through */
};
/* Of a token that dispatch does not know. */
struct pulse {
    struct item item;
    struct heartbeat *heartbeat;
    uint32_t index;
};

static void heartbeat_decided(struct heartbeat *h)
{
    if (--h->undecided > 0) {
        return;
    }
    struct msg m = {.type = MSG_HEARTBEAT_OK};
    m.u.heartbeat_ok.codes = h->codes;
    m.u.heartbeat_ok.codes_len = h->call->msg.u.heartbeat.tokens_len;
    call_answer(h->call, &m);
}

static void pulse_done(struct item *it)
{
    struct pulse *p = CONTAINER_OF(it, struct pulse, item);
    struct call *c = p->heartbeat->call;
    struct front *f = c->frame->front;
    struct dispatch_session *s = c->frame->conn->session;
    bool ours = lanes_of(&f->lanes, &it->exec)->held;
    if (it->err == ERR_OK && it->input.waits && ours) {
        /* It waits for its outcome; perhaps its deadlines are looked after from now on. */
        dispatch_add(f->dispatch, &it->input);
        (void)dispatch_heartbeat(f->dispatch, s, &it->fact.token);
    } else if (it->err == ERR_OK && ours && s != NULL) {
        dispatch_hold(f->dispatch, s, &it->input);
    } else if (attempt_over(it->err) && it->err != ERR_OK) {
        dispatch_let_go(f->dispatch, &it->fact.token);
    }
    p->heartbeat->codes[p->index] = outcome_code(it->err);
    item_fini(it);
    heartbeat_decided(p->heartbeat);
}

static bool pulse_ask(struct heartbeat *h, uint32_t index)
{
    struct call *c = h->call;
    const struct task_token *t = &c->msg.u.heartbeat.tokens[index];
    struct pulse *p = call_charge(c, 1) ? ARENA_NEW(&c->frame->arena, struct pulse) : NULL;
    if (p == NULL) {
        return false;
    }
    p->heartbeat = h;
    p->index = index;
    item_init(&p->item, ITEM_TASK_OPEN, &t->ref.exec, pulse_done, NULL);
    p->item.fact.token = *t;
    h->undecided++;
    shard_submit(front_shard(c->frame->front, &t->ref.exec), &p->item);
    return true;
}

/* What dispatch does not know may be open all the same: it keeps nothing that waits without a deadline, and
 * not everything when it is full. The execution knows. */
void api_heartbeat(struct call *c)
{
    const struct msg_heartbeat *in = &c->msg.u.heartbeat;
    struct front *f = c->frame->front;
    struct heartbeat *h = CALL_NEW(c, struct heartbeat);
    if (h == NULL) {
        return;
    }
    h->call = c;
    h->undecided = 1;
    h->codes = CALL_ARRAY(c, uint32_t, in->tokens_len);
    if (h->codes == NULL) {
        return;
    }
    for (uint32_t i = 0; i < in->tokens_len; i++) {
        const struct task_token *t = &in->tokens[i];
        bool ours = exec_id_tenant(&t->ref.exec) == c->frame->conn->tenant &&
                    exec_id_shard(&t->ref.exec) == f->lanes.shard;
        h->codes[i] = ours ? (uint32_t)dispatch_heartbeat(f->dispatch, c->frame->conn->session, t)
                           : (uint32_t)ERR_STALE;
        if (!ours || h->codes[i] == ERR_OK) {
            continue;
        }
        if (!pulse_ask(h, i)) {
            h->codes[i] = ERR_LIMIT;
        }
    }
    heartbeat_decided(h);
}

static void by_token_done(struct item *it)
{
    struct call *c = it->owner;
    enum err e = it->err;
    char detail[ERR_DETAIL_SIZE];
    (void)snprintf(detail, sizeof(detail), "%.*s", STR_ARG(it->detail));
    if (attempt_over(e)) {
        dispatch_forget(c->frame->front->dispatch, &it->fact.token);
    }
    item_fini(it);
    if (e == ERR_OK) {
        call_answer(c, &(struct msg){.type = MSG_TASK_OK});
    } else {
        call_error(c, (enum err)outcome_code(e), "%s", detail);
    }
}

static void by_token(struct call *c, const struct task_token *token, bool failed, struct str output,
                     struct str error, struct str cause)
{
    if (exec_id_tenant(&token->ref.exec) != c->frame->conn->tenant ||
        exec_id_shard(&token->ref.exec) != c->frame->front->lanes.shard) {
        call_error(c, ERR_STALE, "%s", "");
        return;
    }
    item_init(&c->item, ITEM_FACT, &token->ref.exec, by_token_done, c);
    fact_fill(&c->item.fact, token, failed, output, error, cause, c->frame->conn->name);
    shard_submit(front_shard(c->frame->front, &c->item.exec), &c->item);
}

void api_task_success(struct call *c)
{
    const struct msg_task_success *in = &c->msg.u.task_success;
    by_token(c, &in->token, false, in->output, STR_NONE, STR_NONE);
}

void api_task_failure(struct call *c)
{
    const struct msg_task_failure *in = &c->msg.u.task_failure;
    by_token(c, &in->token, true, STR_NONE, in->error, in->cause);
}

/* ---- what dispatch asks ---- */

/* An item that belongs to nobody's request. */
struct own_item {
    struct item item;
    struct front *front;
    struct list link;        /* front.asking_later */
    struct loop_timer again; /* hydration: the answer was not definite */
    uint32_t tries;
};

static struct own_item *own_item_new(struct front *f, enum item_type type,
                                     const struct task_token *t, void (*done)(struct item *))
{
    struct own_item *o = MEM_NEW(struct own_item);
    o->front = f;
    list_init(&o->link);
    item_init(&o->item, type, &t->ref.exec, done, NULL);
    o->item.fact.token = *t;
    f->requests++;
    return o;
}

static void own_item_free(struct own_item *o)
{
    o->front->requests--;
    item_fini(&o->item);
    mem_free(o);
}

static void timed_out_done(struct item *it)
{
    struct own_item *o = CONTAINER_OF(it, struct own_item, item);
    o->front->timeouts--;
    if (attempt_over(it->err)) {
        dispatch_forget(o->front->dispatch, &it->fact.token);
    } else {
        /* Not decided: the deadline stands, and is looked at again. */
        dispatch_deadline_again(o->front->dispatch, &it->fact.token);
    }
    front_flush_later(o->front);
    own_item_free(o);
}

enum { TIMEOUTS_MAX = 4096 }; /* facts about attempts out of time that are on their way */

static bool timed_out(struct dispatch_handler *h, const struct task_token *t, bool heartbeat)
{
    struct front *f = CONTAINER_OF(h, struct front, dispatch_handler);
    if (f->timeouts == TIMEOUTS_MAX) {
        return false;
    }
    f->timeouts++;
    struct own_item *o = own_item_new(f, ITEM_FACT, t, timed_out_done);
    o->item.fact.type = heartbeat ? FACT_TASK_HEARTBEAT_LOST : FACT_TASK_TIMED_OUT;
    shard_submit(front_shard(f, &o->item.exec), &o->item);
    return true;
}

static void hydrated(struct item *it);

static void hydrate_again(struct loop_timer *timer)
{
    struct own_item *o = CONTAINER_OF(timer, struct own_item, again);
    struct front *f = o->front;
    struct task_token token = o->item.fact.token;
    list_remove(&o->link);
    f->requests++;
    if (!lanes_of(&f->lanes, &token.ref.exec)->held) {
        own_item_free(o);
        return;
    }
    item_fini(&o->item);
    item_init(&o->item, ITEM_TASK_INPUT, &token.ref.exec, hydrated, NULL);
    o->item.fact.token = token;
    shard_submit(front_shard(f, &o->item.exec), &o->item);
}

/* Not while it waits: an item that sleeps keeps nobody from stopping. */
static void hydrate_later(struct own_item *o)
{
    struct front *f = o->front;
    int64_t us =
        MIN((int64_t)HYDRATE_AGAIN_US << MIN(o->tries, 10u), (int64_t)HYDRATE_AGAIN_MAX_US);
    o->tries++;
    f->requests--;
    list_push_back(&f->asking_later, &o->link);
    o->again = (struct loop_timer){.fired = hydrate_again, .name = "task input again"};
    loop_timer_after(f->loop, &o->again, us);
}

void hydrations_end(struct front *f)
{
    struct list *l;
    while ((l = list_pop_front(&f->asking_later)) != NULL) {
        struct own_item *o = LIST_ENTRY(l, struct own_item, link);
        loop_timer_stop(&o->again);
        f->requests++;
        own_item_free(o);
    }
}

static void hydrated(struct item *it)
{
    struct own_item *o = CONTAINER_OF(it, struct own_item, item);
    struct front *f = o->front;
    bool late = o->tries > 0;
    if (it->err != ERR_OK && !attempt_over(it->err) && !f->going_away) {
        if (!late) {
            dispatch_hydrate_late(f->dispatch, &it->fact.token);
            front_flush_later(f);
        }
        hydrate_later(o); /* the task is open: it would be missed until the next claim */
        return;
    }
    dispatch_hydrated(f->dispatch, &it->fact.token, it->err == ERR_OK ? &it->input : NULL, late);
    front_flush_later(f);
    own_item_free(o);
}

static void hydrate(struct dispatch_handler *h, const struct task_token *tokens, uint32_t len)
{
    struct front *f = CONTAINER_OF(h, struct front, dispatch_handler);
    for (uint32_t i = 0; i < len; i++) {
        struct own_item *o = own_item_new(f, ITEM_TASK_INPUT, &tokens[i], hydrated);
        shard_submit(front_shard(f, &o->item.exec), &o->item);
    }
}

/* ---- open tasks of the store, after a claim ---- */

enum {
    RECOVER_PAGE = 2000,
    CONFIRM_MAX_US = 10 * US_PER_S,
    RECOVER_RETRY_US = 200 * US_PER_MS,
};

struct recovery {
    struct store_tasks req;
    struct front *front;
    struct arena arena;
    struct task_token after;
    bool have_after;
    struct mono confirm_until;
    struct loop_timer retry;
    struct lane_ref lanes[LANES_PER_SHARD_MAX];
};

static void recover_page(struct recovery *r);

static void rows_found(struct front *f, const struct store_tasks *t, struct mono confirm_until)
{
    for (uint32_t i = 0; i < t->rows_len; i++) {
        const struct task_row *row = &t->rows[i];
        if (!lanes_of(&f->lanes, &row->token.ref.exec)->held) {
            continue;
        }
        struct dispatch_task d = {.token = row->token,
                                  .tenant = exec_id_tenant(&row->token.ref.exec),
                                  .queue = row->queue,
                                  .timeout_at = row->timeout_at,
                                  .heartbeat_us = row->heartbeat_us,
                                  .waits = row->submitted};
        bool own = task_is_own(&d);
        d.waits = d.waits || own;
        dispatch_found(f->dispatch, &d, confirm_until);
        if (own && !row->submitted) {
            children_add(f, &row->token);
        }
    }
    dispatch_flush(f->dispatch);
}

static void recover_end(struct recovery *r)
{
    r->front->recoveries--;
    arena_fini(&r->arena);
    mem_free(r);
}

static void recover_done(struct store_req *req)
{
    struct store_tasks *t = CONTAINER_OF(req, struct store_tasks, req);
    struct recovery *r = CONTAINER_OF(t, struct recovery, req);
    struct front *f = r->front;
    if (req->err != ERR_OK) {
        /* Fenced: a lane is lost; the others still want their tasks, once we know which are left. */
        log_warn("open tasks not read, trying again", "error=%s", err_name(req->err));
        loop_timer_after(f->loop, &r->retry, RECOVER_RETRY_US);
        return;
    }
    rows_found(f, t, r->confirm_until);
    if (t->rows_len < RECOVER_PAGE) {
        recover_end(r);
        return;
    }
    r->after = t->rows[t->rows_len - 1].token;
    r->have_after = true;
    recover_page(r);
}

static void recover_again(struct loop_timer *timer)
{
    recover_page(CONTAINER_OF(timer, struct recovery, retry));
}

static void recover_page(struct recovery *r)
{
    struct front *f = r->front;
    uint32_t len = lanes_held(&f->lanes, r->lanes, LANES_PER_SHARD_MAX);
    if (len == 0 || f->going_away) {
        recover_end(r);
        return;
    }
    arena_reset(&r->arena, 1u << 20);
    r->req = (struct store_tasks){
        .req = {.op = STORE_TASKS, .loop = f->loop, .done = recover_done, .arena = &r->arena},
        .lanes = r->lanes,
        .lanes_len = len,
        .after = r->have_after ? &r->after : NULL,
        .limit = RECOVER_PAGE};
    store_submit(f->store, &r->req.req);
}

void recover_start(struct front *f, bool confirm)
{
    struct recovery *r = MEM_NEW(struct recovery);
    r->front = f;
    r->retry = (struct loop_timer){.fired = recover_again, .name = "open tasks again"};
    arena_init(&r->arena, 0);
    r->confirm_until = loop_now(f->loop);
    if (confirm) {
        r->confirm_until.us += MIN((int64_t)CONFIRM_MAX_US, f->engine->c.heartbeat_us);
        f->confirm_until = r->confirm_until;
    }
    f->recoveries++;
    recover_page(r);
}

/* ---- open tasks that dispatch has left in the store ---- */

enum { REFILL_REST_US = 1 * US_PER_S };

/* One scan at a time, which goes on where it stopped; see dispatch_handler.refill. */
struct refill {
    struct store_tasks req;
    struct front *front;
    struct arena arena;
    struct task_token after;
    bool have_after;
    struct mono began;        /* the present round */
    struct loop_timer resume; /* after an error, or between two rounds */
    struct lane_ref lanes[LANES_PER_SHARD_MAX];
};

static void refill_page(struct refill *r);

static void refill_again(struct loop_timer *timer)
{
    refill_page(CONTAINER_OF(timer, struct refill, resume));
}

/* At the end of the table. If somebody still waits, the next round begins after a rest that is long when
 * rounds are: most of the time the store shall do something else. */
static void refill_round_end(struct refill *r)
{
    struct front *f = r->front;
    r->have_after = false;
    dispatch_round_ends(f->dispatch);
    if (!dispatch_wants_more(f->dispatch)) {
        dispatch_refilled(f->dispatch);
        return;
    }
    int64_t took = loop_now(f->loop).us - r->began.us;
    loop_timer_after(f->loop, &r->resume, MAX((int64_t)REFILL_REST_US, took));
}

static void refill_done(struct store_req *req)
{
    struct store_tasks *t = CONTAINER_OF(req, struct store_tasks, req);
    struct refill *r = CONTAINER_OF(t, struct refill, req);
    struct front *f = r->front;
    f->recoveries--;
    if (req->err != ERR_OK) {
        loop_timer_after(f->loop, &r->resume, RECOVER_RETRY_US);
        return;
    }
    rows_found(f, t, f->confirm_until);
    if (t->rows_len < RECOVER_PAGE) {
        refill_round_end(r);
        return;
    }
    r->after = t->rows[t->rows_len - 1].token;
    r->have_after = true;
    if (dispatch_wants_more(f->dispatch)) {
        refill_page(r);
    } else {
        dispatch_refilled(f->dispatch);
    }
}

static void refill_page(struct refill *r)
{
    struct front *f = r->front;
    uint32_t len = lanes_held(&f->lanes, r->lanes, LANES_PER_SHARD_MAX);
    if (len == 0 || f->going_away) {
        dispatch_refilled(f->dispatch);
        return;
    }
    if (!r->have_after) {
        r->began = loop_now(f->loop);
        dispatch_round_begins(f->dispatch);
    }
    arena_reset(&r->arena, 1u << 20);
    r->req = (struct store_tasks){
        .req = {.op = STORE_TASKS, .loop = f->loop, .done = refill_done, .arena = &r->arena},
        .lanes = r->lanes,
        .lanes_len = len,
        .after = r->have_after ? &r->after : NULL,
        .limit = RECOVER_PAGE};
    f->recoveries++;
    store_submit(f->store, &r->req.req);
}

static void refill(struct dispatch_handler *h)
{
    refill_page(CONTAINER_OF(h, struct front, dispatch_handler)->refill);
}

void front_dispatch_init(struct front *f)
{
    f->granted = MEM_NEW(struct granted);
    f->dispatch_handler =
        (struct dispatch_handler){.timed_out = timed_out, .hydrate = hydrate, .refill = refill};
    f->refill = MEM_NEW(struct refill);
    f->refill->front = f;
    f->refill->resume = (struct loop_timer){.fired = refill_again, .name = "refill"};
    arena_init(&f->refill->arena, 0);
}

void front_dispatch_fini(struct front *f)
{
    loop_timer_stop(&f->refill->resume);
    arena_fini(&f->refill->arena);
    mem_free(f->refill);
    mem_free(f->granted);
}
