/* The client's connection: one node at a time, requests packed into frames, repeats. See client.h.
 *
 *   DOWN ──dialled──▶ UP ──HELLO_OK──▶ READY ──lost, standby, draining──▶ DOWN (next address)
 *
 * Requests wait in "queue" until READY; what was under way when the connection was lost goes back
 * there if it may be repeated. Each has a deadline of its own. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/carillon/client.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/os.h"

static void connect_start(struct carillon *c);
static void connect_next(struct carillon *c);

/* ---- error text of the thread ---- */

static _Thread_local char error_text[4096];

int client_fail(enum err e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(error_text, sizeof(error_text), fmt, args);
    va_end(args);
    return (int)e;
}

const char *carillon_error_text(void)
{
    return error_text;
}

const char *carillon_error_name(int err)
{
    return err_name((enum err)err);
}

/* ---- requests ---- */

struct creq *creq_new(struct carillon *c, enum msg_type type,
                      void (*done)(struct creq *, enum err, const struct msg *), void *arg)
{
    struct creq *r = MEM_NEW(struct creq);
    r->client = c;
    r->done = done;
    r->arg = arg;
    r->repeat = true;
    r->msg.type = type;
    list_init(&r->link);
    arena_init(&r->arena, 0);
    return r;
}

void creq_free(struct creq *r)
{
    arena_fini(&r->arena);
    mem_free(r);
}

static void expiry_set(struct carillon *c)
{
    struct heap_node *n = heap_min(&c->expiries);
    if (n == NULL) {
        loop_timer_stop(&c->expiry_timer);
    } else {
        loop_timer_start(c->loop, &c->expiry_timer, (struct mono){n->key});
    }
}

static bool corr_eq(const struct map_node *n, const void *key)
{
    return MAP_ENTRY(n, const struct creq, node)->msg.corr == *(const uint64_t *)key;
}

/* Out of whatever holds it. */
static void detach(struct creq *r)
{
    struct carillon *c = r->client;
    list_remove(&r->link);
    if (r->msg.corr != 0) {
        map_remove(&c->by_corr, &r->node);
        r->msg.corr = 0;
    }
}

static void finish(struct creq *r, enum err e, const struct msg *m)
{
    struct carillon *c = r->client;
    detach(r);
    heap_remove(&c->expiries, &r->expiry);
    expiry_set(c);
    r->done(r, e, m);
    creq_free(r);
}

void creq_queue(struct creq *r)
{
    struct carillon *c = r->client;
    LOOP_OWNED(c->loop);
    if (r->deadline.us == 0) {
        r->deadline.us = loop_now(c->loop).us + c->timeout_us;
    }
    heap_insert(&c->expiries, &r->expiry, r->deadline.us);
    expiry_set(c);
    if (c->closing) {
        finish(r, ERR_UNAVAILABLE, NULL);
        return;
    }
    list_push_back(&c->queue, &r->link);
    client_pump(c);
}

void creq_cancel(struct creq *r)
{
    LOOP_OWNED(r->client->loop);
    finish(r, ERR_UNKNOWN, NULL);
}

static void submit_run(struct loop_task *task)
{
    creq_queue(CONTAINER_OF(task, struct creq, task));
}

void creq_submit(struct creq *r)
{
    r->task = (struct loop_task){.run = submit_run, .name = "client request"};
    loop_post(r->client->loop, &r->task);
}

static void expiry_fired(struct loop_timer *timer)
{
    struct carillon *c = CONTAINER_OF(timer, struct carillon, expiry_timer);
    int64_t now = loop_now(c->loop).us;
    struct heap_node *n;
    while ((n = heap_min(&c->expiries)) != NULL && n->key <= now) {
        struct creq *r = CONTAINER_OF(n, struct creq, expiry);
        finish(r, r->sent ? ERR_UNKNOWN : ERR_UNAVAILABLE, NULL);
    }
    expiry_set(c);
}

/* Again, but not before "us" from now. */
static void postpone(struct creq *r, int64_t us)
{
    struct carillon *c = r->client;
    detach(r);
    if (c->closing) {
        finish(r, r->sent ? ERR_UNKNOWN : ERR_UNAVAILABLE, NULL);
        return;
    }
    r->not_before.us = loop_now(c->loop).us + us;
    list_push_back(&c->later, &r->link);
    if (!c->later_timer.armed) {
        loop_timer_after(c->loop, &c->later_timer, us);
    }
}

static void later_fired(struct loop_timer *timer)
{
    struct carillon *c = CONTAINER_OF(timer, struct carillon, later_timer);
    int64_t now = loop_now(c->loop).us, next = INT64_MAX;
    LIST_FOREACH_SAFE(it, &c->later)
    {
        struct creq *r = LIST_ENTRY(it, struct creq, link);
        if (r->not_before.us <= now) {
            list_remove(it);
            list_push_back(&c->queue, it);
        } else {
            next = MIN(next, r->not_before.us);
        }
    }
    if (next != INT64_MAX) {
        loop_timer_start(c->loop, &c->later_timer, (struct mono){next});
    }
    client_pump(c);
}

/* ---- frames ---- */

static void frame_free(struct carillon *c, struct cframe *f)
{
    list_remove(&f->link);
    if (f->alone) {
        c->alone_len--;
    } else {
        c->frames_len--;
    }
    mem_free(f);
}

static bool may_send(const struct carillon *c, const struct creq *r)
{
    return r->alone ? c->alone_len < CLIENT_ALONE_MAX : c->frames_len < CLIENT_FRAMES_MAX;
}

/* Moves requests from the queue into the frame. A request no frame can hold fails. */
static void frame_fill(struct carillon *c, struct cframe *f, struct msg_writer *w,
                       struct creq *first)
{
    struct list *it = &first->link;
    while (it != &c->queue) {
        struct list *next = it->next;
        struct creq *r = LIST_ENTRY(it, struct creq, link);
        it = next;
        if (r->alone != f->alone) {
            continue;
        }
        struct err_detail d = {0};
        r->msg.corr = ++c->next_corr;
        enum err e = msg_writer_add(w, &r->msg, &d);
        if (e == ERR_LIMIT && w->len > 0) {
            r->msg.corr = 0;
            break;
        }
        map_insert(&c->by_corr, &r->node, hash_u64(r->msg.corr));
        if (e != ERR_OK) {
            finish(r, e, NULL);
            continue;
        }
        list_remove(&r->link);
        list_push_back(&f->reqs, &r->link);
        r->sent = true;
        if (f->alone || msg_writer_size(w) > CLIENT_FRAME_BYTES) {
            break;
        }
    }
}

/* False: the connection is not fit; the requests are back in the queue. */
static bool frame_send(struct carillon *c, struct creq *first)
{
    struct cframe *f = MEM_NEW(struct cframe);
    struct buf b;
    struct msg_writer w;
    buf_init(&b, 0);
    list_init(&f->reqs);
    f->alone = first->alone;
    f->id = ++c->next_frame;
    list_push_back(&c->frames, &f->link);
    if (f->alone) {
        c->alone_len++;
    } else {
        c->frames_len++;
    }
    msg_writer_begin(&w, &b);
    frame_fill(c, f, &w, first);
    bool ok = true;
    if (w.len > 0) {
        msg_writer_end(&w);
        ok = c->dialer->ops->send(c->dialer, f->id, buf_str(&b)) == ERR_OK;
    }
    if (!ok || list_empty(&f->reqs)) {
        struct list *it;
        while ((it = list_pop_front(&f->reqs)) != NULL) {
            struct creq *r = LIST_ENTRY(it, struct creq, link);
            detach(r);
            list_push_front(&c->queue, &r->link);
        }
        frame_free(c, f);
    }
    buf_fini(&b);
    return ok;
}

static void pump_run(struct loop_task *task)
{
    struct carillon *c = CONTAINER_OF(task, struct carillon, pump);
    c->pumping = false;
    bool again = c->ready;
    while (again) {
        again = false;
        LIST_FOREACH(it, &c->queue)
        {
            struct creq *r = LIST_ENTRY(it, struct creq, link);
            if (may_send(c, r)) {
                again = frame_send(c, r);
                break; /* the list has changed */
            }
        }
    }
}

/* Sends what the queue holds once the current callbacks are over, so that they travel together. */
void client_pump(struct carillon *c)
{
    if (!c->pumping && !list_empty(&c->queue)) {
        c->pumping = true;
        c->pump = (struct loop_task){.run = pump_run, .name = "client sends"};
        loop_post(c->loop, &c->pump);
    }
}

/* ---- answers ---- */

static bool elsewhere(enum err e)
{
    return e == ERR_STANDBY || e == ERR_GOING_AWAY;
}

/* The node could not do it now: nothing happened, or it may have and a repeat is harmless. */
static bool passing(enum err e)
{
    enum err_class k = err_class(e);
    return k == ERRC_RETRY || k == ERRC_LIMIT || k == ERRC_UNKNOWN;
}

static void answered(struct creq *r, const struct msg *m, bool *move)
{
    enum err e = m->type == MSG_ERROR ? (enum err)m->u.error.code : ERR_OK;
    *move = *move || elsewhere(e);
    if (passing(e) && r->repeat) {
        int64_t ms = MIN(m->u.error.retry_after_ms, 5000u);
        postpone(r, elsewhere(e) ? CLIENT_BACKOFF_MIN_US : MAX(ms, 20) * US_PER_MS);
        return;
    }
    finish(r, e, m);
}

static struct cframe *frame_find(struct carillon *c, uint64_t id)
{
    LIST_FOREACH(it, &c->frames)
    {
        struct cframe *f = LIST_ENTRY(it, struct cframe, link);
        if (f->id == id) {
            return f;
        }
    }
    return NULL;
}

static void hello_answered(struct carillon *c, const struct msg *m);

/* Requests of the frame that got no answer in it. */
static void frame_unanswered(struct carillon *c, struct cframe *f)
{
    struct list *it;
    while ((it = list_pop_front(&f->reqs)) != NULL) {
        struct creq *r = LIST_ENTRY(it, struct creq, link);
        if (r->repeat && !c->closing) {
            detach(r);
            list_push_front(&c->queue, &r->link);
        } else {
            finish(r, ERR_UNKNOWN, NULL);
        }
    }
}

static void on_reply(struct net_dial_handler *h, uint64_t id, struct str body)
{
    struct carillon *c = CONTAINER_OF(h, struct carillon, handler);
    struct arena a;
    struct msg_reader reader;
    struct msg m;
    struct err_detail d = {0};
    enum err e = ERR_OK;
    bool move = false;
    arena_init(&a, 0);
    if (msg_reader_begin(&reader, body, &a, &d) == ERR_OK) {
        while (msg_reader_next(&reader, &m, &e, &d)) {
            struct map_node *n = map_find(&c->by_corr, hash_u64(m.corr), &m.corr, corr_eq);
            if (e == ERR_OK && id == 0) {
                hello_answered(c, &m);
            } else if (e == ERR_OK && n != NULL) {
                answered(MAP_ENTRY(n, struct creq, node), &m, &move);
            }
            d = (struct err_detail){0};
        }
    }
    arena_fini(&a);
    struct cframe *f = frame_find(c, id);
    if (f != NULL) {
        frame_unanswered(c, f);
        frame_free(c, f);
    }
    if (move && c->addresses_len > 1) {
        connect_next(c);
    }
    client_pump(c);
}

/* ---- connection ---- */

static void hello_send(struct carillon *c)
{
    struct buf b;
    struct arena a;
    struct msg_writer w;
    struct msg m = {.type = MSG_HELLO, .corr = UINT64_MAX};
    buf_init(&b, 0);
    arena_init(&a, 0);
    m.u.hello.protocol = MSG_PROTOCOL;
    m.u.hello.name = c->name;
    m.u.hello.tenant = c->tenant;
    m.u.hello.instance = c->instance;
    if (c->worker != NULL) {
        m.u.hello.held_len = worker_held(c->worker, &a, &m.u.hello.held);
    }
    msg_writer_begin(&w, &b);
    if (msg_writer_add(&w, &m, NULL) == ERR_OK) {
        msg_writer_end(&w);
        (void)!c->dialer->ops->send(c->dialer, 0, buf_str(&b));
    }
    arena_fini(&a);
    buf_fini(&b);
}

static void hello_answered(struct carillon *c, const struct msg *m)
{
    bool active = m->type == MSG_HELLO_OK && m->u.hello_ok.state == MSG_NODE_ACTIVE;
    if (!active && c->addresses_len > 1) {
        connect_next(c);
        return;
    }
    if (m->type != MSG_HELLO_OK) {
        /* The only node refuses for now: ask again. */
        loop_timer_after(c->loop, &c->connect_timer, CLIENT_BACKOFF_MAX_US / 2);
        return;
    }
    loop_timer_stop(&c->connect_timer);
    c->backoff_us = 0;
    c->ready = true;
    if (c->worker != NULL) {
        worker_ready(c->worker);
    }
    client_pump(c);
}

static void on_up(struct net_dial_handler *h)
{
    struct carillon *c = CONTAINER_OF(h, struct carillon, handler);
    c->up = true;
    loop_timer_after(c->loop, &c->connect_timer, CLIENT_CONNECT_US);
    hello_send(c);
}

/* What was under way is in doubt: repeated, or told. */
static void connection_lost(struct carillon *c)
{
    c->up = c->ready = false;
    struct list frames;
    list_init(&frames);
    struct list *it;
    while ((it = list_pop_front(&c->frames)) != NULL) {
        list_push_back(&frames, it);
    }
    while ((it = list_pop_front(&frames)) != NULL) {
        struct cframe *f = LIST_ENTRY(it, struct cframe, link);
        frame_unanswered(c, f);
        frame_free(c, f);
    }
    if (c->worker != NULL) {
        worker_lost(c->worker);
    }
}

static void on_down(struct net_dial_handler *h)
{
    struct carillon *c = CONTAINER_OF(h, struct carillon, handler);
    connection_lost(c);
    if (!c->closing) {
        loop_timer_after(c->loop, &c->connect_timer,
                         c->addresses_len > 1 ? CLIENT_BACKOFF_MIN_US : CLIENT_CONNECT_US);
    }
}

static void dialer_drop(struct carillon *c)
{
    if (c->dialer != NULL) {
        c->dialer->ops->close(c->dialer);
        c->dialer = NULL;
    }
    connection_lost(c);
}

static void connect_start(struct carillon *c)
{
    struct transport *t = transport_nng();
    struct err_detail d = {0};
    if (t->ops->dial(t, c->loop, c->addresses[c->address], &c->handler, &c->dialer, &d) != ERR_OK) {
        c->dialer = NULL;
    }
    loop_timer_after(c->loop, &c->connect_timer, CLIENT_CONNECT_US);
}

static void connect_next(struct carillon *c)
{
    dialer_drop(c);
    c->address = (c->address + 1) % c->addresses_len;
    c->backoff_us =
        MIN(MAX(c->backoff_us * 2, (int64_t)CLIENT_BACKOFF_MIN_US), (int64_t)CLIENT_BACKOFF_MAX_US);
    loop_timer_after(c->loop, &c->connect_timer,
                     rng_between(&c->rng, c->backoff_us / 2, c->backoff_us));
}

/* Not connected, or no HELLO_OK in time. */
static void connect_fired(struct loop_timer *timer)
{
    struct carillon *c = CONTAINER_OF(timer, struct carillon, connect_timer);
    if (c->closing || c->ready) {
        return;
    }
    if (c->dialer == NULL) {
        connect_start(c);
    } else if (c->addresses_len > 1) {
        connect_next(c);
    } else if (c->up) {
        hello_send(c);
        loop_timer_after(c->loop, &c->connect_timer, CLIENT_CONNECT_US);
    } else {
        loop_timer_after(c->loop, &c->connect_timer, CLIENT_CONNECT_US); /* nng dials on */
    }
}

/* ---- life ---- */

static enum err addresses_read(struct carillon *c, struct str s)
{
    while (s.size > 0 && c->addresses_len < CLIENT_ADDRESSES_MAX) {
        const char *comma = memchr(s.p, ',', s.size);
        size_t n = comma == NULL ? s.size : (size_t)(comma - s.p);
        struct str one = str_trim((struct str){s.p, n});
        if (one.size > 0) {
            c->addresses[c->addresses_len++] = str_dup(&c->texts, one);
        }
        s = str_sub(s, n + 1, s.size);
    }
    return c->addresses_len > 0 && s.size == 0 ? ERR_OK : ERR_INVALID;
}

static void start_run(struct loop_task *task)
{
    connect_start(CONTAINER_OF(task, struct carillon, start_task));
}

static void timers_init(struct carillon *c)
{
    c->connect_timer.fired = connect_fired;
    c->connect_timer.name = "client connects";
    c->expiry_timer.fired = expiry_fired;
    c->expiry_timer.name = "client deadlines";
    c->later_timer.fired = later_fired;
    c->later_timer.name = "client repeats";
}

int carillon_open(const char *addresses, const struct carillon_options *options,
                  struct carillon **out)
{
    static const struct carillon_options none;
    const struct carillon_options *o = options == NULL ? &none : options;
    struct carillon *c = MEM_NEW(struct carillon);
    arena_init(&c->texts, 0);
    if (addresses_read(c, str_of(addresses)) != ERR_OK) {
        arena_fini(&c->texts);
        mem_free(c);
        return client_fail(ERR_INVALID,
                           "\"%s\": give 1 to %d addresses such as tcp://127.0.0.1:7070",
                           addresses == NULL ? "" : addresses, CLIENT_ADDRESSES_MAX);
    }
    c->name = o->name != NULL ? str_dup(&c->texts, str_of(o->name))
                              : str_of(arena_printf(&c->texts, "client-%d", os_pid()));
    c->tenant = str_dup(&c->texts, str_of(o->tenant));
    c->timeout_us = (o->timeout_ms > 0 ? o->timeout_ms : 30000) * (int64_t)US_PER_MS;
    rng_seed(&c->rng, os_random_u64());
    c->instance = os_random_u64() | 1;
    c->handler = (struct net_dial_handler){.up = on_up, .down = on_down, .reply = on_reply};
    list_init(&c->queue);
    list_init(&c->later);
    list_init(&c->frames);
    map_init(&c->by_corr);
    heap_init(&c->expiries);
    latch_init(&c->closed);
    timers_init(c);
    c->loop = loop_uv_new(os_clock(), "client");
    c->start_task = (struct loop_task){.run = start_run, .name = "client start"};
    loop_post(c->loop, &c->start_task);
    *out = c;
    return CARILLON_OK;
}

static void queue_fail(struct list *q)
{
    LIST_FOREACH_SAFE(it, q)
    {
        struct creq *r = LIST_ENTRY(it, struct creq, link);
        finish(r, r->sent ? ERR_UNKNOWN : ERR_UNAVAILABLE, NULL);
    }
}

static void close_run(struct loop_task *task)
{
    struct carillon *c = CONTAINER_OF(task, struct carillon, close_task);
    c->closing = true;
    dialer_drop(c);
    queue_fail(&c->queue);
    queue_fail(&c->later);
    loop_timer_stop(&c->connect_timer);
    loop_timer_stop(&c->expiry_timer);
    loop_timer_stop(&c->later_timer);
    latch_set(&c->closed, 1);
}

void carillon_close(struct carillon *c)
{
    if (c == NULL) {
        return;
    }
    c->close_task = (struct loop_task){.run = close_run, .name = "client close"};
    loop_post(c->loop, &c->close_task);
    while (latch_wait(&c->closed, US_PER_S) == 0) {
    }
    loop_free(c->loop);
    latch_fini(&c->closed);
    map_fini(&c->by_corr);
    heap_fini(&c->expiries);
    arena_fini(&c->texts);
    mem_free(c);
}
