/* See sim_net.h. Objects here live outside of every host's memory; a host that is gone takes its
 * listeners, dialers and requests with it. */
#include "base/prelude.h"

#include "tests/sim/sim_net.h"

#include "base/assert.h"
#include "base/limits.h"

enum {
    RETRANSMIT_US = 200 * US_PER_MS,
    RECONNECT_MIN_US = 50 * US_PER_MS,
    RECONNECT_MAX_US = 500 * US_PER_MS,
    NOTICE_RESET_MAX_US = 300 * US_PER_MS,
    ADDRESS_MAX = 64,
};

struct sim_listener {
    struct net_listener base;
    struct sim_net *net;
    struct sim_loop *loop;
    struct net_handler *handler;
    struct list link;
    char address[ADDRESS_MAX];
};

struct sim_dialer {
    struct net_dialer base;
    struct sim_net *net;
    struct sim_loop *loop;
    struct net_dial_handler *handler;
    struct sim_conn *conn; /* NULL while down */
    struct event connect, down;
    struct list link;
    char address[ADDRESS_MAX];
};

struct sim_message {
    struct list link;
    int64_t due;
    uint64_t id; /* of the dialer */
    char *body;
    size_t size;
};

/* One direction: a queue whose head waits for its time. */
struct sim_way {
    struct list messages;
    int64_t last_due;
    struct event deliver;
};

struct sim_conn {
    struct sim_net *net;
    uint64_t id;
    struct sim_dialer *dialer;     /* NULL: that end is gone */
    struct sim_listener *listener; /* NULL likewise */
    struct host *from, *to;
    uint32_t inflight;   /* sent by the dialer, not answered there */
    struct list pending; /* requests held by the receiver */
    bool broken;         /* nothing is carried any more */
    struct sim_way up, down;
    struct event closed; /* tells the listener's handler */
    struct list link;
};

/* The receiver's request; "base" is what it sees. */
struct sim_request {
    struct net_request base;
    struct list link; /* conn.pending; net.orphans when the connection is gone */
    struct sim_conn *conn;
    struct host *holder;
    struct sim_message *message;
};

static void message_free(struct sim_message *m)
{
    list_remove(&m->link);
    mem_free(m->body);
    mem_free(m);
}

static void way_clear(struct sim_conn *c, struct sim_way *way)
{
    world_cancel(c->net->world, &way->deliver);
    while (!list_empty(&way->messages)) {
        message_free(LIST_ENTRY(way->messages.next, struct sim_message, link));
    }
}

static void request_free(struct sim_request *r)
{
    list_remove(&r->link);
    message_free(r->message);
    mem_free(r);
}

/* Requests still held by a live receiver outlive the connection: it frees them by reply or drop. */
static void conn_free(struct sim_conn *c)
{
    way_clear(c, &c->up);
    way_clear(c, &c->down);
    world_cancel(c->net->world, &c->closed);
    while (!list_empty(&c->pending)) {
        struct sim_request *r = LIST_ENTRY(c->pending.next, struct sim_request, link);
        r->conn = NULL;
        list_remove(&r->link);
        list_push_back(&c->net->orphans, &r->link);
    }
    list_remove(&c->link);
    mem_free(c);
}

static void conn_free_if_gone(struct sim_conn *c)
{
    if (c->dialer == NULL && c->listener == NULL) {
        conn_free(c);
    }
}

/* Nothing more is carried; each end that is still there learns of it in its own time. */
static void conn_break(struct sim_conn *c, int64_t notice_max_us)
{
    if (c->broken) {
        return;
    }
    struct sim_net *n = c->net;
    world_say(n->world, "connection %" PRIu64 " of %s breaks", c->id, c->from->name);
    c->broken = true;
    way_clear(c, &c->up);
    way_clear(c, &c->down);
    uint64_t spread = (uint64_t)MAX(notice_max_us, (int64_t)1);
    if (c->dialer != NULL) {
        world_after(n->world, &c->dialer->down, 1 + (int64_t)rng_below(&n->rng, spread));
    }
    if (c->listener != NULL) {
        world_after(n->world, &c->closed, 1 + (int64_t)rng_below(&n->rng, spread));
    }
}

/* ---- carrying messages ---- */

static void way_send(struct sim_conn *c, struct sim_way *way, const struct host *a,
                     const struct host *b, uint64_t id, struct str body)
{
    struct sim_net *n = c->net;
    struct sim_message *m = MEM_NEW(struct sim_message);
    int64_t typical = n->delay_us[a->index][b->index];
    int64_t due = n->world->now_us + typical / 2 + (int64_t)rng_below(&n->rng, (uint64_t)typical);
    due = MAX(due, n->cut_until[a->index][b->index]);
    if (rng_chance(&n->rng, n->loss)) {
        due += RETRANSMIT_US;
    }
    m->due = MAX(due, way->last_due);
    way->last_due = m->due;
    m->id = id;
    m->size = body.size;
    m->body = mem_alloc(body.size + 1);
    memcpy(m->body, body.size > 0 ? body.p : "", body.size);
    bool first = list_empty(&way->messages);
    list_push_back(&way->messages, &m->link);
    n->sent++;
    if (first) {
        world_at(n->world, &way->deliver, m->due);
    }
}

/* The head of the queue; schedules the delivery of the next one. */
static struct sim_message *way_take(struct sim_conn *c, struct sim_way *way)
{
    struct sim_message *m = LIST_ENTRY(way->messages.next, struct sim_message, link);
    list_remove(&m->link);
    if (!list_empty(&way->messages)) {
        struct sim_message *next = LIST_ENTRY(way->messages.next, struct sim_message, link);
        world_at(c->net->world, &way->deliver, next->due);
    }
    c->net->delivered++;
    return m;
}

static void deliver_request(struct event *e)
{
    struct sim_conn *c = CONTAINER_OF(e, struct sim_conn, up.deliver);
    struct sim_listener *l = c->listener;
    struct mem_region *region = world_outside();
    struct sim_request *r = MEM_NEW(struct sim_request);
    r->message = way_take(c, &c->up);
    r->conn = c;
    r->holder = l->loop->host;
    r->base.conn = c->id;
    r->base.body = (struct str){r->message->body, r->message->size};
    unsigned held = 0;
    LIST_FOREACH(it, &c->pending)
    {
        held++;
    }
    list_push_back(&c->pending, &r->link);
    if (held >= c->net->inflight_max) {
        c->net->limit_closed++;
        request_free(r);
        conn_break(c, 1);
        world_inside(region);
        return;
    }
    world_inside(region);
    l->handler->request(l->handler, &r->base);
}

static void deliver_reply(struct event *e)
{
    struct sim_conn *c = CONTAINER_OF(e, struct sim_conn, down.deliver);
    struct sim_dialer *d = c->dialer;
    struct mem_region *region = world_outside();
    struct sim_message *m = way_take(c, &c->down);
    c->inflight--;
    world_inside(region);
    d->handler->reply(d->handler, m->id, (struct str){m->body, m->size});
    message_free(m);
}

static void conn_closed(struct event *e)
{
    struct sim_conn *c = CONTAINER_OF(e, struct sim_conn, closed);
    struct sim_listener *l = c->listener;
    uint64_t id = c->id;
    c->listener = NULL;
    world_say(c->net->world, "closed %" PRIu64, id);
    conn_free_if_gone(c);
    l->handler->closed(l->handler, id);
}

/* ---- listening ---- */

static struct sim_listener *listener_at(struct sim_net *n, const char *address)
{
    LIST_FOREACH(it, &n->listeners)
    {
        struct sim_listener *l = LIST_ENTRY(it, struct sim_listener, link);
        if (strcmp(l->address, address) == 0) {
            return l;
        }
    }
    return NULL;
}

static void listener_drop_request(struct net_listener *base, struct net_request *r)
{
    (void)base;
    request_free(CONTAINER_OF(r, struct sim_request, base));
}

static void listener_reply(struct net_listener *base, struct net_request *req, struct str body)
{
    struct sim_listener *l = CONTAINER_OF(base, struct sim_listener, base);
    struct sim_request *r = CONTAINER_OF(req, struct sim_request, base);
    struct sim_conn *c = r->conn;
    if (!host_acts(l->loop->host)) {
        return;
    }
    ASSERT(loop_owned(&l->loop->base));
    ASSERT(body.size <= MESSAGE_SIZE_MAX);
    struct mem_region *region = world_outside();
    if (c != NULL && !c->broken && c->dialer != NULL) {
        way_send(c, &c->down, c->to, c->from, r->message->id, body);
    }
    request_free(r);
    world_inside(region);
}

static struct net_request *listener_slim(struct net_listener *base, struct net_request *req)
{
    (void)base;
    struct sim_message *m = CONTAINER_OF(req, struct sim_request, base)->message;
    struct mem_region *region = world_outside();
    mem_free(m->body);
    m->body = NULL;
    m->size = 0;
    req->body = STR_NONE;
    world_inside(region);
    return req;
}

static void listener_disconnect(struct net_listener *base, uint64_t conn)
{
    struct sim_listener *l = CONTAINER_OF(base, struct sim_listener, base);
    if (!host_acts(l->loop->host)) {
        return;
    }
    struct mem_region *region = world_outside();
    LIST_FOREACH(it, &l->net->conns)
    {
        struct sim_conn *c = LIST_ENTRY(it, struct sim_conn, link);
        if (c->id == conn && c->listener == l) {
            conn_break(c, 1);
            break;
        }
    }
    world_inside(region);
}

static void listener_free(struct sim_listener *l)
{
    struct sim_net *n = l->net;
    LIST_FOREACH_SAFE(it, &n->conns)
    {
        struct sim_conn *c = LIST_ENTRY(it, struct sim_conn, link);
        if (c->listener != l) {
            continue;
        }
        world_cancel(n->world, &c->closed);
        conn_break(c, NOTICE_RESET_MAX_US);
        world_cancel(n->world, &c->closed);
        c->listener = NULL;
        conn_free_if_gone(c);
    }
    list_remove(&l->link);
    mem_free(l);
}

static void listener_close(struct net_listener *base)
{
    struct sim_listener *l = CONTAINER_OF(base, struct sim_listener, base);
    if (!host_acts(l->loop->host)) {
        return;
    }
    listener_free(l);
}

static const struct net_listener_ops sim_listener_ops = {
    .reply = listener_reply,
    .drop = listener_drop_request,
    .slim = listener_slim,
    .disconnect = listener_disconnect,
    .close = listener_close,
};

static enum err sim_listen(struct transport *t, struct loop *loop, struct str address,
                           struct net_handler *h, struct net_listener **out,
                           struct err_detail *detail)
{
    struct sim_net *n = CONTAINER_OF(t, struct sim_net, base);
    if (address.size >= ADDRESS_MAX) {
        return err_set(detail, ERR_INVALID, "address too long");
    }
    struct mem_region *region = world_outside();
    struct sim_listener *l = MEM_NEW(struct sim_listener);
    memcpy(l->address, address.p, address.size);
    if (listener_at(n, l->address) != NULL) {
        mem_free(l);
        world_inside(region);
        return err_set(detail, ERR_UNAVAILABLE, "address in use");
    }
    l->base.ops = &sim_listener_ops;
    l->base.address = str_of(l->address);
    l->net = n;
    l->loop = sim_loop_of(loop);
    l->handler = h;
    list_push_back(&n->listeners, &l->link);
    world_inside(region);
    *out = &l->base;
    return ERR_OK;
}

/* ---- dialing ---- */

static void dial_again(struct sim_dialer *d, int64_t at_least_us)
{
    world_after(d->net->world, &d->connect,
                rng_between(&d->net->rng, at_least_us, at_least_us + RECONNECT_MAX_US));
}

static void dialer_connect(struct event *e)
{
    struct sim_dialer *d = CONTAINER_OF(e, struct sim_dialer, connect);
    struct sim_net *n = d->net;
    struct sim_listener *l = listener_at(n, d->address);
    struct host *from = d->loop->host;
    struct mem_region *region = world_outside();
    int64_t now = n->world->now_us;
    if (l == NULL || n->cut_until[from->index][l->loop->host->index] > now ||
        n->cut_until[l->loop->host->index][from->index] > now) {
        dial_again(d, RECONNECT_MIN_US);
        world_inside(region);
        return;
    }
    struct sim_conn *c = MEM_NEW(struct sim_conn);
    c->net = n;
    c->id = ++n->next_conn;
    c->dialer = d;
    c->listener = l;
    c->from = from;
    c->to = l->loop->host;
    list_init(&c->pending);
    list_init(&c->up.messages);
    list_init(&c->down.messages);
    c->up.deliver = (struct event){.run = deliver_request, .loop = l->loop, .name = "request"};
    c->down.deliver = (struct event){.run = deliver_reply, .loop = d->loop, .name = "reply"};
    c->closed = (struct event){.run = conn_closed, .loop = l->loop, .name = "closed"};
    list_push_back(&n->conns, &c->link);
    d->conn = c;
    world_say(n->world, "connected as %" PRIu64, c->id);
    world_inside(region);
    d->handler->up(d->handler);
}

static void dialer_down(struct event *e)
{
    struct sim_dialer *d = CONTAINER_OF(e, struct sim_dialer, down);
    struct mem_region *region = world_outside();
    struct sim_conn *c = d->conn;
    d->conn = NULL;
    c->dialer = NULL;
    conn_free_if_gone(c);
    dial_again(d, RECONNECT_MIN_US);
    world_inside(region);
    d->handler->down(d->handler);
}

static enum err dialer_send(struct net_dialer *base, uint64_t id, struct str body)
{
    struct sim_dialer *d = CONTAINER_OF(base, struct sim_dialer, base);
    struct sim_conn *c = d->conn;
    if (!host_acts(d->loop->host) || c == NULL) {
        return ERR_UNAVAILABLE;
    }
    ASSERT(loop_owned(&d->loop->base));
    ASSERT(body.size <= MESSAGE_SIZE_MAX);
    if (c->inflight >= d->net->inflight_max) {
        return ERR_LIMIT;
    }
    c->inflight++;
    struct mem_region *region = world_outside();
    if (!c->broken) { /* else it is lost, as bytes written into a dead socket are */
        way_send(c, &c->up, c->from, c->to, id, body);
    }
    world_inside(region);
    return ERR_OK;
}

static void dialer_free(struct sim_dialer *d)
{
    struct world *w = d->net->world;
    struct sim_conn *c = d->conn;
    if (c != NULL) {
        conn_break(c, NOTICE_RESET_MAX_US);
        c->dialer = NULL;
        conn_free_if_gone(c);
    }
    world_cancel(w, &d->connect);
    world_cancel(w, &d->down);
    list_remove(&d->link);
    mem_free(d);
}

static void dialer_close(struct net_dialer *base)
{
    struct sim_dialer *d = CONTAINER_OF(base, struct sim_dialer, base);
    if (host_acts(d->loop->host)) {
        dialer_free(d);
    }
}

static const struct net_dialer_ops sim_dialer_ops = {.send = dialer_send, .close = dialer_close};

static enum err sim_dial(struct transport *t, struct loop *loop, struct str address,
                         struct net_dial_handler *h, struct net_dialer **out,
                         struct err_detail *detail)
{
    struct sim_net *n = CONTAINER_OF(t, struct sim_net, base);
    if (address.size >= ADDRESS_MAX) {
        return err_set(detail, ERR_INVALID, "address too long");
    }
    struct mem_region *region = world_outside();
    struct sim_dialer *d = MEM_NEW(struct sim_dialer);
    d->base.ops = &sim_dialer_ops;
    d->net = n;
    d->loop = sim_loop_of(loop);
    d->handler = h;
    memcpy(d->address, address.p, address.size);
    d->connect = (struct event){.run = dialer_connect, .loop = d->loop, .name = "connect"};
    d->down = (struct event){.run = dialer_down, .loop = d->loop, .name = "down"};
    list_push_back(&n->dialers, &d->link);
    world_after(n->world, &d->connect, rng_between(&n->rng, 100, 2000));
    world_inside(region);
    *out = &d->base;
    return ERR_OK;
}

static const struct transport_ops sim_transport_ops = {.listen = sim_listen, .dial = sim_dial};

/* ---- faults, hosts that go ---- */

static void requests_forget(struct list *requests, const struct host *h)
{
    LIST_FOREACH_SAFE(it, requests)
    {
        struct sim_request *r = LIST_ENTRY(it, struct sim_request, link);
        if (r->holder == h) {
            request_free(r);
        }
    }
}

static void net_host_gone(struct world_module *m, struct host *h)
{
    struct sim_net *n = CONTAINER_OF(m, struct sim_net, module);
    LIST_FOREACH_SAFE(it, &n->listeners)
    {
        struct sim_listener *l = LIST_ENTRY(it, struct sim_listener, link);
        if (l->loop->host == h) {
            listener_free(l);
        }
    }
    LIST_FOREACH_SAFE(it, &n->dialers)
    {
        struct sim_dialer *d = LIST_ENTRY(it, struct sim_dialer, link);
        if (d->loop->host == h) {
            dialer_free(d);
        }
    }
    LIST_FOREACH(it, &n->conns)
    {
        struct sim_conn *c = LIST_ENTRY(it, struct sim_conn, link);
        requests_forget(&c->pending, h);
    }
    requests_forget(&n->orphans, h);
}

void sim_net_cut(struct sim_net *n, struct host *a, struct host *b, int64_t us)
{
    world_note(n->world, "cut", ((uint64_t)a->index << 32) | b->index, (uint64_t)us);
    n->cut_until[a->index][b->index] = n->world->now_us + us;
}

unsigned sim_net_reset(struct sim_net *n, struct host *a, struct host *b)
{
    unsigned count = 0;
    LIST_FOREACH_SAFE(it, &n->conns)
    {
        struct sim_conn *c = LIST_ENTRY(it, struct sim_conn, link);
        bool of_a = c->from == a || c->to == a;
        bool of_b = b == NULL || c->from == b || c->to == b;
        if (of_a && of_b && !c->broken) {
            conn_break(c, NOTICE_RESET_MAX_US);
            count++;
        }
    }
    n->resets += count;
    world_note(n->world, "reset", a->index, count);
    return count;
}

void sim_net_heal(struct sim_net *n)
{
    memset(n->cut_until, 0, sizeof(n->cut_until));
    n->loss = 0;
}

unsigned sim_net_unanswered(const struct sim_net *n, const struct host *h)
{
    unsigned count = 0;
    LIST_FOREACH(it, &n->conns)
    {
        const struct sim_conn *c = LIST_ENTRY(it, struct sim_conn, link);
        if (c->to != h || c->broken) {
            continue;
        }
        LIST_FOREACH(r, &c->pending)
        {
            count++;
        }
    }
    return count;
}

size_t sim_net_held(const struct sim_net *n, const struct host *h)
{
    size_t bytes = 0;
    LIST_FOREACH(it, &n->conns)
    {
        const struct sim_conn *c = LIST_ENTRY(it, struct sim_conn, link);
        LIST_FOREACH(r, &c->pending)
        {
            bytes += c->to == h ? LIST_ENTRY(r, struct sim_request, link)->message->size : 0;
        }
    }
    return bytes;
}

struct sim_net *sim_net_new(struct world *w)
{
    struct sim_net *n = MEM_NEW(struct sim_net);
    n->base.ops = &sim_transport_ops;
    n->world = w;
    rng_fork(&w->rng, &n->rng);
    list_init(&n->listeners);
    list_init(&n->dialers);
    list_init(&n->conns);
    list_init(&n->orphans);
    n->inflight_max = 1024;
    for (int a = 0; a < SIM_NET_HOSTS; a++) {
        for (int b = 0; b < SIM_NET_HOSTS; b++) {
            n->delay_us[a][b] = rng_between(&n->rng, 100, 1500);
        }
    }
    n->module.host_gone = net_host_gone;
    list_push_back(&w->modules, &n->module.link);
    return n;
}

void sim_net_free(struct sim_net *n)
{
    if (n == NULL) {
        return;
    }
    ASSERT(list_empty(&n->listeners) && list_empty(&n->dialers) && list_empty(&n->conns));
    mem_free(n);
}
