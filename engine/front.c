/* Connections and frames: see front.h. */
#include "base/prelude.h"

#include "engine/engine_internal.h"

LOG_MODULE("front");

/* ---- connections ---- */

static bool conn_eq(const struct map_node *n, const void *key)
{
    return MAP_ENTRY(n, const struct conn, node)->id == *(const uint64_t *)key;
}

static struct conn *conn_get(struct front *f, uint64_t id)
{
    struct map_node *n = map_find(&f->conns, hash_u64(id), &id, conn_eq);
    if (n != NULL) {
        return MAP_ENTRY(n, struct conn, node);
    }
    struct conn *c = MEM_NEW(struct conn);
    c->id = id;
    list_init(&c->polls);
    list_init(&c->watches);
    list_init(&c->frames);
    map_insert(&f->conns, &c->node, hash_u64(id));
    metric_set(&metric_connections, (int64_t)map_len(&f->conns));
    return c;
}

static void conn_free(struct front *f, struct conn *c)
{
    map_remove(&f->conns, &c->node);
    metric_set(&metric_connections, (int64_t)map_len(&f->conns));
    mem_free((void *)(uintptr_t)c->name.p);
    mem_free(c);
}

static void conn_closed(struct net_handler *h, uint64_t id)
{
    struct front *f = CONTAINER_OF(h, struct front, handler);
    struct map_node *n = map_find(&f->conns, hash_u64(id), &id, conn_eq);
    if (n == NULL) {
        return;
    }
    struct conn *c = MAP_ENTRY(n, struct conn, node);
    struct list hold; /* the last frame of a closed connection frees it: not before we are done */
    list_push_back(&c->frames, &hold);
    c->closed = true;
    polls_cancel(c);
    watches_end(c, NULL);
    if (c->session != NULL) {
        dispatch_lost(f->dispatch, c->session, c->id);
        c->session = NULL;
    }
    list_remove(&hold);
    if (list_empty(&c->frames)) {
        conn_free(f, c);
    }
}

/* The process has come back on another connection: this one is dead, though nobody has told us. What
 * would be granted on it is lost, so nothing is any more. */
void conn_supersede(struct front *f, uint64_t id)
{
    struct map_node *n = map_find(&f->conns, hash_u64(id), &id, conn_eq);
    if (n == NULL) {
        return;
    }
    struct conn *c = MAP_ENTRY(n, struct conn, node);
    c->session = NULL;
    polls_cancel(c);
    f->listener->ops->disconnect(f->listener, id);
}

/* ---- frames ---- */

/* News of the node stand beside the answers of the first frame that leaves since. */
static void frame_tell_state(struct frame *fr)
{
    struct conn *c = fr->conn;
    uint32_t state = front_state(fr->front);
    if (c->session == NULL || c->told == state) {
        return;
    }
    struct msg m = {.type = MSG_NODE_STATE};
    m.u.node_state.state = state;
    m.u.node_state.addresses = &fr->front->listener->address;
    m.u.node_state.addresses_len = 1;
    if (msg_writer_add(&fr->writer, &m, NULL) == ERR_OK) { /* else with the next */
        c->told = state;
    }
}

static void frame_end(struct frame *fr)
{
    list_remove(&fr->link);
    size_t size = msg_writer_size(&fr->writer) - fr->begun;
    fr->conn->answers -= size;
    fr->front->answers -= size;
    if (fr->writer.len == 0) {
        buf_clear(&fr->out);
    } else {
        frame_tell_state(fr);
        msg_writer_end(&fr->writer);
    }
    metric_max(&metric_arena_frame, (int64_t)fr->arena.used);
    arena_fini(&fr->arena);
    fr->end(fr);
}

/* Of a frame that came over a connection. */
static void net_frame_end(struct frame *fr)
{
    struct front *f = fr->front;
    struct conn *c = fr->conn;
    if (c->closed || fr->out.size == 0) {
        f->listener->ops->drop(f->listener, fr->request);
    } else {
        f->listener->ops->reply(f->listener, fr->request, buf_str(&fr->out));
        fault_hit(f->faults, FAULT_REPLY_AFTER_SEND);
    }
    buf_fini(&fr->out);
    mem_free(fr);
    if (c->closed && list_empty(&c->frames)) {
        conn_free(f, c);
    }
}

void frame_unref(struct frame *fr)
{
    PRE(fr->open > 0);
    if (--fr->open == 0) {
        frame_end(fr);
    }
}

/* Nothing refers to the frame's bytes, and its answer may be a minute away. */
static void frame_slim(struct frame *fr)
{
    enum { WORTH_IT = 4096 };
    if (fr->request != NULL && fr->body.size >= WORTH_IT) {
        struct net_listener *l = fr->front->listener;
        fr->request = l->ops->slim(l, fr->request);
        fr->body = STR_NONE;
    }
}

static void frame_unpin(struct frame *fr)
{
    PRE(fr->pins > 0);
    if (--fr->pins == 0 && fr->open > 0) {
        frame_slim(fr);
    }
}

void call_unpin(struct call *c)
{
    if (c->pinned) {
        c->pinned = false;
        frame_unpin(c->frame);
    }
}

void call_waits(struct call *c)
{
    PRE(!c->waits);
    c->waits = true;
    c->frame->front->parked++;
}

struct arena *call_arena(struct call *c)
{
    if (!c->has_arena) {
        arena_init(&c->arena, 0);
        c->has_arena = true;
    }
    return &c->arena;
}

/* ---- what one connection may have open ---- */

static bool admit(struct front *f, struct conn *conn, uint32_t n)
{
    uint32_t mine = conn->calls + n;
    bool many = mine > CONN_CALLS_MAX || f->calls + n > NODE_CALLS_MAX;
    if (many && mine > CONN_CALLS_MIN && !conn->local) {
        return false;
    }
    conn->calls = mine;
    f->calls += n;
    return true;
}

static void discharge(struct front *f, struct conn *conn, uint32_t n)
{
    PRE(conn->calls >= n && f->calls >= n);
    conn->calls -= n;
    f->calls -= n;
}

bool call_charge(struct call *c, uint32_t n)
{
    if (!admit(c->frame->front, c->frame->conn, n)) {
        return false;
    }
    c->charge += n;
    return true;
}

static const char frame_full[] = "the requests of this frame take too much memory: send several";

void *call_alloc(struct call *c, size_t size)
{
    void *p = arena_zalloc(&c->frame->arena, size);
    if (p == NULL) {
        call_error(c, ERR_LIMIT, "%s", frame_full);
    }
    return p;
}

/* ---- answers ---- */

/* Of an answer's bytes, what is kept for refusals: each request of a frame gets an answer, if only that
 * there is no room for it. */
enum { REFUSALS_SIZE = MSG_FRAME_MAX * (ERR_DETAIL_SIZE + 32) };

static void frame_measure(struct frame *fr)
{
    size_t taken = msg_writer_size(&fr->writer) + fr->promised + REFUSALS_SIZE;
    fr->room = taken < MESSAGE_SIZE_MAX ? MESSAGE_SIZE_MAX - taken : 0;
}

void call_promise(struct call *c, uint32_t size)
{
    c->promised += size;
    c->frame->promised += size;
    frame_measure(c->frame);
}

/* The answer written last is too much: for its frame, or beside other answers that wait in theirs. What
 * was granted to a poll is not taken back for the others' sake. */
static enum err frame_over(const struct frame *fr, const struct msg *m, size_t size,
                           struct err_detail *d)
{
    if (m->type == MSG_ERROR && m->u.error.problems_len == 0) {
        return ERR_OK; /* a refusal */
    }
    if (msg_writer_size(&fr->writer) + REFUSALS_SIZE > MESSAGE_SIZE_MAX) {
        return err_set(d, ERR_LIMIT,
                       "the answers of this frame are too large for one: ask in several");
    }
    if (m->type != MSG_POLL_OK && (fr->conn->answers + size > CONN_BYTES_MAX ||
                                   fr->front->answers + size > NODE_ANSWERS_MAX)) {
        return err_set(d, ERR_LIMIT, "too many answers wait for others of their frames");
    }
    return ERR_OK;
}

static enum err frame_add(struct frame *fr, const struct msg *m, struct err_detail *d)
{
    size_t before = fr->out.size;
    enum err e = msg_writer_add(&fr->writer, m, d);
    if (e == ERR_OK && (e = frame_over(fr, m, fr->out.size - before, d)) != ERR_OK) {
        fr->out.size = before;
        fr->writer.len--;
    }
    fr->conn->answers += fr->out.size - before;
    fr->front->answers += fr->out.size - before;
    frame_measure(fr);
    return e;
}

static struct msg error_msg(uint64_t corr, enum err e, const char *text)
{
    struct msg m = {.type = MSG_ERROR, .corr = corr};
    enum err_class class = err_class(e);
    m.u.error.code = (uint32_t)e;
    m.u.error.text = str_of(text[0] != '\0' ? text : err_text(e));
    if (class == ERRC_RETRY || class == ERRC_LIMIT) {
        m.u.error.retry_after_ms = e == ERR_LIMIT ? 100 : 500;
    }
    return m;
}

static void call_end(struct call *c)
{
    struct frame *fr = c->frame;
    if (c->has_arena) {
        metric_max(&metric_arena_call, (int64_t)c->arena.used);
        arena_fini(&c->arena);
        c->has_arena = false;
    }
    fr->promised -= c->promised;
    frame_measure(fr);
    list_remove(&c->watch);
    fr->front->requests--;
    fr->front->parked -= c->waits ? 1 : 0;
    discharge(fr->front, fr->conn, c->charge);
    fr->open--;
    call_unpin(c);
    fr->open++;
    frame_unref(fr);
}

/* Answers wait in the frame for its waits: there have been enough. */
static void frame_waits_end(struct frame *fr)
{
    enum { ENOUGH = 4096 };
    struct front *f = fr->front;
    if (fr->out.size > ENOUGH && fr->open > 1 && !f->ending) {
        f->ending = true;
        polls_answer(fr->conn, fr);
        watches_end(fr->conn, fr);
        f->ending = false;
    }
}

void call_answer(struct call *c, const struct msg *m)
{
    struct msg out = *m;
    out.corr = c->msg.corr;
    struct err_detail d = {0};
    enum err e = frame_add(c->frame, &out, &d);
    if (e != ERR_OK) {
        struct msg err = error_msg(c->msg.corr, e, d.text);
        (void)!frame_add(c->frame, &err, NULL);
        log_warn("answer does not fit its frame", "type=%s detail=\"%s\"", msg_name(m->type),
                 d.text);
    }
    frame_waits_end(c->frame);
    call_end(c);
}

void call_error(struct call *c, enum err e, const char *fmt, ...)
{
    char text[ERR_DETAIL_SIZE];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    metric_add(&metric_refused, 1);
    struct msg m = error_msg(c->msg.corr, e, text);
    call_answer(c, &m);
}

void call_drop(struct call *c)
{
    call_end(c);
}

/* Answers a message that no call was made for. */
static void frame_refuse(struct frame *fr, uint64_t corr, enum err e, const char *text)
{
    struct msg m = error_msg(corr, e, text);
    metric_add(&metric_refused, 1);
    (void)!frame_add(fr, &m, NULL);
}

/* ---- the table of messages: who handles it, and when it may come ---- */

enum need {
    NEED_HELLO = 1,  /* the connection must have said hello */
    NEED_ACTIVE = 2, /* the node must own the lanes */
    NEED_ROOM = 4,   /* counts as a new request: refused when too many wait inside */
    NEED_CONN = 8,   /* makes sense over a connection only */
};

static const struct {
    void (*handle)(struct call *c);
    unsigned need;
} handlers[64] = {
    [MSG_HELLO] = {api_hello, NEED_CONN},
    [MSG_START] = {api_start, NEED_HELLO | NEED_ACTIVE | NEED_ROOM},
    [MSG_DESCRIBE] = {api_describe, NEED_HELLO | NEED_ACTIVE | NEED_ROOM},
    [MSG_LIST] = {api_list, NEED_HELLO | NEED_ROOM},
    [MSG_HISTORY] = {api_history, NEED_HELLO | NEED_ROOM},
    [MSG_STOP] = {api_stop, NEED_HELLO | NEED_ACTIVE | NEED_ROOM},
    [MSG_POLL] = {api_poll, NEED_HELLO | NEED_ACTIVE | NEED_CONN},
    [MSG_HEARTBEAT] = {api_heartbeat, NEED_HELLO | NEED_ACTIVE},
    [MSG_TASK_SUCCESS] = {api_task_success, NEED_HELLO | NEED_ACTIVE},
    [MSG_TASK_FAILURE] = {api_task_failure, NEED_HELLO | NEED_ACTIVE},
    [MSG_WATCH] = {api_watch, NEED_HELLO | NEED_ACTIVE | NEED_ROOM},
    [MSG_DEF_PUT] = {api_def_put, NEED_HELLO | NEED_ROOM},
    [MSG_DEF_GET] = {api_def_get, NEED_HELLO | NEED_ROOM},
    [MSG_DEF_LIST] = {api_def_list, NEED_HELLO | NEED_ROOM},
    [MSG_DEF_DELETE] = {api_def_delete, NEED_HELLO | NEED_ROOM},
    [MSG_STATUS] = {api_status, 0},
};

static bool refused(struct front *f, struct call *c, unsigned need)
{
    const struct conn *conn = c->frame->conn;
    if ((need & NEED_CONN) && conn->local) {
        call_error(c, ERR_UNSUPPORTED, "%s is for connections", msg_name(c->msg.type));
        return true;
    }
    if ((need & NEED_HELLO) && conn->session == NULL && !conn->local) {
        call_error(c, ERR_PROTOCOL, "say HELLO first: this connection has not");
        return true;
    }
    if (f->going_away && (need & ~(unsigned)NEED_CONN) != 0 && c->msg.type != MSG_POLL) {
        call_error(c, ERR_GOING_AWAY, "node is draining");
        return true;
    }
    if ((need & NEED_ACTIVE) && f->state != OWNER_ACTIVE) {
        if (f->other_node.size > 0) {
            call_error(c, ERR_STANDBY, "this node stands by; node %.*s owns the lanes",
                       STR_ARG(f->other_node));
        } else {
            call_error(c, ERR_STANDBY, "this node does not own the lanes (yet): %s",
                       owner_state_name(f->state));
        }
        return true;
    }
    if ((need & NEED_ROOM) && f->requests - f->parked > f->engine->c.requests_max) {
        call_error(c, ERR_LIMIT, "%u requests wait already", f->engine->c.requests_max);
        return true;
    }
    return false;
}

static void call_begin(struct frame *fr, const struct msg *m, enum err e,
                       const struct err_detail *d)
{
    unsigned type = (unsigned)m->type;
    metric_add(&metric_requests, 1);
    if (e != ERR_OK) {
        frame_refuse(fr, m->corr, e, d->text);
        return;
    }
    if (type >= ARRAY_LEN(handlers) || handlers[type].handle == NULL) {
        frame_refuse(fr, m->corr, ERR_UNSUPPORTED, "");
        return;
    }
    if (!admit(fr->front, fr->conn, 1)) {
        frame_refuse(fr, m->corr, ERR_LIMIT, "this connection has too many requests open");
        return;
    }
    struct call *c = ARENA_NEW(&fr->arena, struct call);
    if (c == NULL) {
        discharge(fr->front, fr->conn, 1);
        frame_refuse(fr, m->corr, ERR_LIMIT, frame_full);
        return;
    }
    c->frame = fr;
    c->msg = *m;
    c->charge = 1;
    c->pinned = true;
    fr->open++;
    fr->pins++;
    fr->front->requests++;
    if (!refused(fr->front, c, handlers[type].need)) {
        handlers[type].handle(c);
    }
}

static void frame_read(struct frame *fr)
{
    struct msg_reader reader;
    struct err_detail d = {0};
    enum err e = msg_reader_begin(&reader, fr->body, &fr->arena, &d);
    if (e != ERR_OK) {
        frame_refuse(fr, 0, ERR_MALFORMED, d.text);
        return;
    }
    reader.requests_only = true;
    struct msg m;
    struct err_detail md = {0};
    while (msg_reader_next(&reader, &m, &e, &md)) {
        call_begin(fr, &m, e, &md);
        md = (struct err_detail){0};
    }
    if (msg_reader_end(&reader, &d) != ERR_OK) {
        frame_refuse(fr, 0, ERR_MALFORMED, d.text);
    }
}

void frame_run(struct front *f, struct frame *fr, struct conn *conn, struct str body,
               void (*end)(struct frame *fr))
{
    fr->front = f;
    fr->conn = conn;
    fr->body = body;
    fr->end = end;
    fr->open = fr->pins = 1;
    arena_init(&fr->arena, FRAME_MEMORY_MAX);
    buf_init(&fr->out, MESSAGE_SIZE_MAX);
    msg_writer_begin(&fr->writer, &fr->out);
    fr->begun = fr->out.size;
    frame_measure(fr);
    list_push_back(&conn->frames, &fr->link);
    frame_read(fr);
    fr->open--;
    frame_unpin(fr);
    fr->open++;
    frame_unref(fr);
}

static void request_arrived(struct net_handler *h, struct net_request *r)
{
    struct front *f = CONTAINER_OF(h, struct front, handler);
    struct frame *fr = MEM_NEW(struct frame);
    fr->request = r;
    frame_run(f, fr, conn_get(f, r->conn), r->body, net_frame_end);
    dispatch_flush(f->dispatch);
}

/* ---- what turns let out ---- */

static void flush_run(struct loop_task *task)
{
    struct front *f = CONTAINER_OF(task, struct front, flush);
    f->flush_posted = false;
    dispatch_flush(f->dispatch);
}

void front_flush_later(struct front *f)
{
    if (!f->flush_posted) {
        f->flush_posted = true;
        f->flush = (struct loop_task){.run = flush_run, .name = "dispatch flush"};
        loop_post(f->loop, &f->flush);
    }
}

/* A task that is open: to the workers, or to the engine itself. */
void task_arrived(struct front *f, const struct dispatch_task *t)
{
    dispatch_add(f->dispatch, t);
    if (task_is_own(t)) {
        children_add(f, &t->token);
    }
}

void front_report(struct front *f, struct report *r)
{
    LOOP_OWNED(f->loop);
    for (uint32_t i = 0; i < r->turns_len; i++) {
        const struct report_turn *t = &r->turns[i];
        for (uint32_t k = 0; k < t->tasks_done_len; k++) {
            dispatch_remove(f->dispatch, &t->tasks_done[k]);
            children_remove(f, &t->tasks_done[k]);
        }
        for (uint32_t k = 0; k < t->tasks_submitted_len; k++) {
            dispatch_submitted(f->dispatch, &t->tasks_submitted[k]);
        }
        for (uint32_t k = 0; k < t->tasks_new_len; k++) {
            /* Of a lane lost meanwhile: its owner hands them out. Not gained yet: the scan that
             * follows finds them. */
            if (lanes_of(&f->lanes, &t->tasks_new[k].token.ref.exec)->held) {
                task_arrived(f, &t->tasks_new[k]);
            }
        }
    }
    struct list *l;
    while ((l = list_pop_front(&r->items)) != NULL) {
        struct item *it = LIST_ENTRY(l, struct item, link);
        it->done(it);
    }
    /* After what was asked is answered: a task is told that its child runs before it hears of its end. */
    for (uint32_t i = 0; i < r->turns_len; i++) {
        letters_deliver(f, r->turns[i].letters, r->turns[i].letters_len, r->life);
        for (uint32_t k = 0; k < r->turns[i].touch_len; k++) {
            front_touch(f, &r->turns[i].touch[k]);
        }
    }
    dispatch_flush(f->dispatch);
    loop_post(r->home, &r->release);
}

/* ---- life ---- */

uint32_t front_state(const struct front *f)
{
    if (f->going_away) {
        return MSG_NODE_GOING_AWAY;
    }
    return f->state == OWNER_ACTIVE ? MSG_NODE_ACTIVE : MSG_NODE_STANDBY;
}

struct shard *front_shard(struct front *f, const struct exec_id *id)
{
    return engine_shard(f->engine, f->lanes.of_slot[exec_id_slot(id)]);
}

struct wall front_now(const struct front *f)
{
    return storeclock_now(&f->clock, loop_now(f->loop));
}

void front_init(struct front *f, struct engine *e)
{
    const struct engine_config *c = &e->c;
    *f = (struct front){.engine = e, .loop = c->front, .store = c->store, .faults = c->faults};
    rng_seed(&f->rng, c->seed ^ UINT64_C(0x66726f6e74));
    map_init(&f->conns);
    map_init(&f->tenants);
    map_init(&f->starting);
    list_init(&f->asking_later);
    lanes_init(&f->lanes, c->shard, c->window_us);
    storeclock_init(&f->clock);
    f->defs = defs_new(c->front, c->store, c->definitions, c->definition_us);
    f->marks = marks_new();
    list_init(&f->histories);
    list_init(&f->describes);
    front_dispatch_init(f);
    letters_init(f);
    children_init(f);
    f->dispatch = dispatch_new(&(struct dispatch_config){.loop = c->front,
                                                         .clock = &f->clock,
                                                         .faults = c->faults,
                                                         .handler = &f->dispatch_handler,
                                                         .lease_us = 2 * c->heartbeat_us,
                                                         .task_room = MSG_TASK_OVERHEAD,
                                                         .tasks_max = c->tasks_max});
    f->handler = (struct net_handler){.request = request_arrived, .closed = conn_closed};
}

enum err front_listen(struct front *f, struct err_detail *d)
{
    struct transport *t = f->engine->c.transport;
    return t->ops->listen(t, f->loop, f->engine->c.listen, &f->handler, &f->listener, d);
}

void front_waits_end(struct front *f)
{
    f->ending = true;
    LIST_FOREACH(it, &f->conns.order)
    {
        struct conn *c = MAP_ORDER_ENTRY(it, struct conn, node);
        polls_answer(c, NULL);
        watches_end(c, NULL);
    }
    f->ending = false;
}

void front_stop(struct front *f)
{
    LOOP_OWNED(f->loop);
    f->going_away = true;
    letters_stop(f);
    children_stop(f);
    front_waits_end(f);
    hydrations_end(f);
}

bool front_idle(const struct front *f)
{
    return f->requests == 0 && f->recoveries == 0 && !f->flush_posted && defs_idle(f->defs);
}

void front_fini(struct front *f)
{
    if (f->listener != NULL) {
        f->listener->ops->close(f->listener);
    }
    LIST_FOREACH_SAFE(it, &f->conns.order)
    {
        struct conn *c = MAP_ORDER_ENTRY(it, struct conn, node);
        PRE(list_empty(&c->frames));
        conn_free(f, c);
    }
    map_fini(&f->conns);
    letters_stop(f);
    children_fini(f);
    tenants_fini(f);
    dispatch_free(f->dispatch);
    front_dispatch_fini(f);
    marks_free(f->marks);
    defs_free(f->defs);
    mem_free((void *)(uintptr_t)f->other_node.p);
}
