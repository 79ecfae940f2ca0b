/* The transport port over nng's byte streams, speaking nng's own wire format (SP, req/rep version
 * 0): every nng REQ socket of any language is a client, every REP socket a server.
 *
 * Why streams and not nng's sockets: in nng 1.5.2 a pipe that is closed between the two reads of a
 * message (length, body) never finishes its receive, and the one reaper thread of the process waits
 * for it for ever: no connection is closed any more, nng_close() hangs (ADR: nng streams). A raw
 * REP socket also drops replies silently and does not tell of a refused connection. The streams
 * below the sockets (TCP, IPC, TLS) have none of this; the format on top is small:
 *
 *   both ends first send 00 'S' 'P' 00, protocol (2 bytes: 0x30 REQ, 0x31 REP), 00 00;
 *   a message is its length (8 bytes, big endian; ipc: a byte 01 before it) and its bytes; they
 *   begin with routing words of 4 bytes, up to and including one with the high bit set: the
 *   request's number. A reply carries the same words.
 *
 * Threads: nng calls back on threads of its own. A callback touches nothing but its own event
 * node: it pushes the node on a lock-free stack (struct inbox) and posts one loop task if none is
 * posted; the loop takes the whole stack at once. A connection has one read and one write under way
 * at most; a write takes everything that was queued while the one before was under way. A slow
 * loop stops reading, and TCP slows the senders down; so does a connection that holds much.
 *
 * Rules of nng 1.5.2 kept here: no aio is ever cancelled or stopped; a stream is closed, its two
 * aios finish, then it is freed; nothing is submitted to a stream that we have closed. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"
#include "net/transport.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

#include <arpa/inet.h>
#include <stdatomic.h>

LOG_MODULE("nng");

enum {
    CONNECTIONS_MAX = 4096, /* of one listener; more are closed at once */
    ADDRESS_SIZE_MAX = 256,
    HANDSHAKE_SIZE = 8,
    HANDSHAKE_MS = 5000, /* for the peer's 8 bytes */
    ROUTE_WORDS_MAX = 8, /* routing words of a request: devices between client and node */
    FRAME_MAX = MESSAGE_SIZE_MAX + 4 * ROUTE_WORDS_MAX,
    READ_ROOM = 16 << 10,       /* of a connection's read buffer, until a message needs more */
    READ_ROOM_KEPT = 256 << 10, /* a larger buffer goes once it is empty */
    REDIAL_MIN_MS = 50,
    REDIAL_MAX_MS = 2000,
    ACCEPT_AGAIN_MS = 100, /* after an error (no descriptors left) */
    PROTO_REQ = 0x30,
    PROTO_REP = 0x31,
    IPC_MESSAGE = 1,
};

static enum err err_of_nng(int rv)
{
    switch (rv) {
    case 0:
        return ERR_OK;
    case NNG_EADDRINVAL:
    case NNG_EINVAL:
    case NNG_ENOTSUP:
        return ERR_INVALID;
    case NNG_EMSGSIZE:
        return ERR_TOO_LARGE;
    case NNG_EPERM:
    case NNG_EPEERAUTH:
    case NNG_ECRYPTO:
        return ERR_DENIED;
    case NNG_ENOMEM:
    case NNG_ENOFILES:
    case NNG_ENOSPC:
        return ERR_LIMIT;
    case NNG_ETIMEDOUT:
        return ERR_TIMEOUT;
    default:
        return ERR_UNAVAILABLE;
    }
}

/* ---- events from nng's threads to the loop ---- */

struct event {
    struct event *next;
    void (*run)(struct event *e); /* on the loop */
};

struct inbox {
    _Atomic(struct event *) top;
    atomic_bool posted;
    struct loop_task task;
    struct loop *loop;
};

/* Any thread. */
static void inbox_push(struct inbox *b, struct event *e)
{
    struct event *top = atomic_load_explicit(&b->top, memory_order_relaxed);
    do {
        e->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&b->top, &top, e, memory_order_release,
                                                    memory_order_relaxed));
    if (!atomic_exchange(&b->posted, true)) {
        loop_post(b->loop, &b->task);
    }
}

/* Everything pushed so far, oldest first. Loop only. */
static struct event *inbox_take(struct inbox *b)
{
    struct event *e = atomic_exchange_explicit(&b->top, NULL, memory_order_acquire);
    struct event *oldest_first = NULL;
    while (e != NULL) {
        struct event *next = e->next;
        e->next = oldest_first;
        oldest_first = e;
        e = next;
    }
    return oldest_first;
}

/* ---- the end of a listener or dialer that owns connections ---- */

struct stream;

struct end {
    struct inbox inbox;
    struct list streams; /* all, also those that are closing */
    bool ipc;
    bool closed;
    bool running; /* events are being handled */
    size_t conn_bytes_max, bytes_max;
    size_t bytes;            /* of all streams that are not closing */
    struct event shed_event; /* too many: see shed_run */
    bool shedding;
    void (*free_if_done)(struct end *e);
    /* A whole message; borrowed. */
    void (*message)(struct end *e, struct stream *s, struct str bytes);
    void (*opened)(struct end *e, struct stream *s); /* the handshake is done */
    /* The connection has gone by itself. "opened" tells whether the handshake had been done. */
    void (*lost)(struct end *e, struct stream *s, bool opened);
};

static void end_run(struct loop_task *task)
{
    struct end *e = CONTAINER_OF(task, struct end, inbox.task);
    atomic_store(&e->inbox.posted, false);
    if (!e->closed) {
        e->running = true;
        for (struct event *ev = inbox_take(&e->inbox), *next; ev != NULL && !e->closed; ev = next) {
            next = ev->next;
            ev->run(ev);
        }
        e->running = false;
    }
    e->free_if_done(e);
}

static void shed_run(struct event *ev);

static void end_init(struct end *e, struct loop *loop, struct str address)
{
    e->conn_bytes_max = e->bytes_max = SIZE_MAX;
    e->shed_event.run = shed_run;
    atomic_init(&e->inbox.top, NULL);
    atomic_init(&e->inbox.posted, false);
    e->inbox.loop = loop;
    e->inbox.task = (struct loop_task){.run = end_run, .name = "nng"};
    e->ipc = str_starts(address, STR("ipc://"));
    list_init(&e->streams);
}

/* May the memory go? Only the loop asks, and once all aios are idle no other thread posts. */
static bool end_is_done(struct end *e)
{
    return e->closed && !e->running && !atomic_load(&e->inbox.posted);
}

/* ---- one connection ---- */

struct stream {
    struct list link; /* in end.streams */
    struct end *end;
    nng_stream *nng;
    nng_aio *rx, *tx;
    struct event rx_event, tx_event, resume_event;
    bool rx_busy, tx_busy; /* submitted, and the event not handled yet */
    bool paused, resuming; /* not read from, for it holds too much; the event is on its way */
    bool opened, closing;
    bool cut;      /* closed by the receiver's wish, who has not been told yet */
    uint8_t proto; /* ours */
    struct mono since;
    char *in;
    size_t in_size, in_room;
    struct buf out, sending; /* waiting; under way */
    size_t sent;             /* bytes of "sending" that have gone */
    unsigned out_len;        /* messages waiting */
    size_t held;             /* bytes of requests that the receiver has */
    size_t counted;          /* in end.bytes */
    void *user;
};

static void rx_done(void *arg)
{
    struct stream *s = arg;
    inbox_push(&s->end->inbox, &s->rx_event);
}

static void tx_done(void *arg)
{
    struct stream *s = arg;
    inbox_push(&s->end->inbox, &s->tx_event);
}

/* ---- what connections hold ---- */

static void stream_count(struct stream *s)
{
    struct end *e = s->end;
    size_t now = s->closing ? 0 : s->in_room + s->out.room + s->sending.room + s->held;
    e->bytes = e->bytes - s->counted + now;
    s->counted = now;
    if (e->bytes > e->bytes_max && !e->shedding && !e->closed) {
        e->shedding = true;
        inbox_push(&e->inbox, &e->shed_event);
    }
}

/* What it has read is still to be answered, or the answers to be fetched: the sender can wait. */
static bool stream_full(const struct stream *s)
{
    size_t waiting = s->held + s->out.size + (s->sending.size - s->sent);
    return waiting >= s->end->conn_bytes_max;
}

/* Behind the present callback: goes on reading, or tells of the end. */
static void stream_resume(struct stream *s)
{
    if (s->paused && !s->resuming && !s->closing) {
        s->resuming = true;
        inbox_push(&s->end->inbox, &s->resume_event);
    }
}

static void stream_wake(struct stream *s)
{
    if (!stream_full(s)) {
        stream_resume(s);
    }
}

/* ---- reading and writing ---- */

/* Frees what nng and we hold for a connection whose aios are idle. */
static void stream_free(struct stream *s)
{
    list_remove(&s->link);
    nng_stream_free(s->nng);
    nng_aio_free(s->rx);
    nng_aio_free(s->tx);
    buf_fini(&s->out);
    buf_fini(&s->sending);
    mem_free(s->in);
    mem_free(s);
}

/* Closes from our side; the memory goes when both aios have told of their end. */
static void stream_close(struct stream *s)
{
    if (!s->closing) {
        s->closing = true;
        nng_stream_close(s->nng);
        stream_count(s);
    }
}

/* The peer has gone, or must go because it broke the format. */
static void stream_lost(struct stream *s)
{
    if (!s->closing) {
        stream_close(s);
        s->end->lost(s->end, s, s->opened);
    }
}

static void stream_free_if_idle(struct stream *s)
{
    if (s->closing && !s->rx_busy && !s->tx_busy && !s->resuming) {
        stream_free(s);
    }
}

static void stream_read(struct stream *s)
{
    nng_iov iov = {.iov_buf = s->in + s->in_size, .iov_len = s->in_room - s->in_size};
    (void)nng_aio_set_iov(s->rx, 1, &iov);
    s->rx_busy = true;
    nng_stream_recv(s->nng, s->rx);
}

static void stream_write(struct stream *s)
{
    nng_iov iov = {.iov_buf = s->sending.p + s->sent, .iov_len = s->sending.size - s->sent};
    (void)nng_aio_set_iov(s->tx, 1, &iov);
    s->tx_busy = true;
    nng_stream_send(s->nng, s->tx);
}

/* Starts the next write unless one is under way. */
static void stream_flush(struct stream *s)
{
    if (s->tx_busy || s->closing || s->cut || s->out.size == 0) {
        return;
    }
    struct buf empty = s->sending;
    s->sending = s->out;
    s->out = empty;
    buf_clear(&s->out);
    s->out_len = 0;
    s->sent = 0;
    stream_write(s);
}

static void put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Queues a message made of routing words and a body. */
static void stream_send(struct stream *s, struct str route, struct str body)
{
    uint64_t size = route.size + body.size;
    uint8_t head[9] = {IPC_MESSAGE};
    uint8_t *at = s->end->ipc ? head + 1 : head;
    put_u32(at, (uint32_t)(size >> 32));
    put_u32(at + 4, (uint32_t)size);
    buf_put(&s->out, head, (size_t)(at + 8 - head));
    buf_put_str(&s->out, route);
    buf_put_str(&s->out, body);
    s->out_len += 1;
    stream_flush(s);
    stream_count(s);
}

/* Room for what comes next: a buffer that is full doubles, up to the message under way, so a peer
 * must really send what it announces. */
static bool stream_make_room(struct stream *s, size_t wanted)
{
    size_t room = s->in_room;
    if (s->in_size == 0 && room > READ_ROOM_KEPT) {
        mem_free(s->in);
        s->in = NULL;
        room = 0;
    } else if (s->in_size < room) {
        return true;
    }
    room = room == 0 ? (size_t)READ_ROOM : MIN(2 * room, MAX(wanted, (size_t)READ_ROOM));
    char *grown = mem_try_realloc(s->in, room, FRAME_MAX + READ_ROOM);
    if (grown == NULL) {
        return false;
    }
    s->in = grown;
    s->in_room = room;
    return true;
}

static bool handshake_fits(const struct stream *s, const uint8_t *p)
{
    uint8_t peer = s->proto == PROTO_REP ? PROTO_REQ : PROTO_REP;
    const uint8_t wanted[HANDSHAKE_SIZE] = {0, 'S', 'P', 0, 0, peer, 0, 0};
    return memcmp(p, wanted, sizeof(wanted)) == 0;
}

/* Takes what is complete at "at". Returns the bytes taken, 0 when more are needed (then *wanted is
 * the size of the whole piece), SIZE_MAX when the peer does not keep to the format. */
static size_t stream_take(struct stream *s, size_t at, size_t *wanted)
{
    const uint8_t *p = (const uint8_t *)s->in + at;
    size_t have = s->in_size - at;
    size_t head = s->end->ipc ? 9 : 8;
    if (!s->opened) {
        *wanted = HANDSHAKE_SIZE;
        if (have < HANDSHAKE_SIZE) {
            return 0;
        }
        if (!handshake_fits(s, p)) {
            return SIZE_MAX;
        }
        s->opened = true;
        s->end->opened(s->end, s);
        return HANDSHAKE_SIZE;
    }
    *wanted = head;
    if (have < head) {
        return 0;
    }
    const uint8_t *length = p + head - 8;
    uint32_t size = get_u32(length + 4);
    if (get_u32(length) != 0 || size > FRAME_MAX || (s->end->ipc && p[0] != IPC_MESSAGE)) {
        return SIZE_MAX;
    }
    *wanted = head + size;
    if (have < *wanted) {
        return 0;
    }
    s->end->message(s->end, s, (struct str){(const char *)p + head, size});
    return *wanted;
}

/* Callbacks may close the connection or its end: then nothing more is taken. */
static void stream_parse(struct stream *s)
{
    size_t at = 0;
    size_t wanted = 0;
    s->paused = false;
    while (!s->closing && !s->cut) {
        if (stream_full(s)) {
            s->paused = true;
            break;
        }
        size_t taken = stream_take(s, at, &wanted);
        if (taken == SIZE_MAX) {
            stream_lost(s);
            return;
        }
        if (taken == 0) {
            break;
        }
        at += taken;
    }
    if (s->closing) {
        return;
    }
    if (s->cut) {
        stream_lost(s);
        return;
    }
    if (at > 0) {
        memmove(s->in, s->in + at, s->in_size - at);
        s->in_size -= at;
    }
    if (s->paused) {
        return; /* until an answer leaves */
    }
    if (stream_make_room(s, wanted)) {
        stream_count(s);
        stream_read(s);
    } else {
        stream_lost(s);
    }
}

static void resume_run(struct event *e)
{
    struct stream *s = CONTAINER_OF(e, struct stream, resume_event);
    s->resuming = false;
    if (!s->closing) {
        stream_parse(s);
    }
    stream_free_if_idle(s);
}

/* The connection that holds most makes room for the others. */
static void shed_run(struct event *ev)
{
    struct end *e = CONTAINER_OF(ev, struct end, shed_event);
    e->shedding = false;
    while (e->bytes > e->bytes_max && !e->closed) {
        struct stream *most = NULL;
        LIST_FOREACH(l, &e->streams)
        {
            struct stream *s = LIST_ENTRY(l, struct stream, link);
            if (!s->closing && (most == NULL || s->counted > most->counted)) {
                most = s;
            }
        }
        if (most == NULL) {
            return;
        }
        log_warn("connection closed: it held most of too many bytes", "bytes=%zu of=%zu",
                 most->counted, e->bytes);
        stream_lost(most);
        stream_free_if_idle(most);
    }
}

static void rx_run(struct event *e)
{
    struct stream *s = CONTAINER_OF(e, struct stream, rx_event);
    s->rx_busy = false;
    if (!s->closing && nng_aio_result(s->rx) != 0) {
        stream_lost(s);
    } else if (!s->closing) {
        s->in_size += nng_aio_count(s->rx);
        stream_parse(s);
    }
    stream_free_if_idle(s);
}

static void tx_run(struct event *e)
{
    struct stream *s = CONTAINER_OF(e, struct stream, tx_event);
    s->tx_busy = false;
    if (!s->closing && nng_aio_result(s->tx) != 0) {
        stream_lost(s);
    } else if (!s->closing) {
        s->sent += nng_aio_count(s->tx);
        if (s->sent < s->sending.size && !s->cut) {
            stream_write(s);
        } else {
            if (s->sending.room > READ_ROOM_KEPT) {
                buf_fini(&s->sending);
                buf_init(&s->sending, 0);
            }
            s->sending.size = s->sent = 0;
            stream_flush(s);
            stream_count(s);
            stream_wake(s);
        }
    }
    stream_free_if_idle(s);
}

/* Takes "nng"; NULL when there is no memory. */
static struct stream *stream_new(struct end *end, nng_stream *nng, uint8_t proto)
{
    struct stream *s = MEM_NEW(struct stream);
    s->end = end;
    s->nng = nng;
    s->proto = proto;
    s->rx_event.run = rx_run;
    s->tx_event.run = tx_run;
    s->resume_event.run = resume_run;
    s->since = loop_now(end->inbox.loop);
    buf_init(&s->out, 0);
    buf_init(&s->sending, 0);
    if (nng_aio_alloc(&s->rx, rx_done, s) != 0 || nng_aio_alloc(&s->tx, tx_done, s) != 0 ||
        !stream_make_room(s, 0)) {
        list_init(&s->link);
        stream_free(s);
        return NULL;
    }
    list_push_back(&end->streams, &s->link);
    stream_count(s);
    const uint8_t hello[HANDSHAKE_SIZE] = {0, 'S', 'P', 0, 0, proto, 0, 0};
    buf_put(&s->out, hello, sizeof(hello));
    stream_flush(s);
    stream_read(s);
    return s;
}

/* All connections of an end: closed, and all callbacks over. */
static void streams_close(struct end *e)
{
    LIST_FOREACH(l, &e->streams)
    {
        stream_close(LIST_ENTRY(l, struct stream, link));
    }
    LIST_FOREACH(l, &e->streams)
    {
        struct stream *s = LIST_ENTRY(l, struct stream, link);
        nng_aio_wait(s->rx);
        nng_aio_wait(s->tx);
    }
}

static void streams_free(struct end *e)
{
    LIST_FOREACH_SAFE(l, &e->streams)
    {
        stream_free(LIST_ENTRY(l, struct stream, link));
    }
}

static enum err address_copy(struct str address, char out[ADDRESS_SIZE_MAX], struct err_detail *d)
{
    if (address.size >= ADDRESS_SIZE_MAX || memchr(address.p, 0, address.size) != NULL ||
        !(str_starts(address, STR("tcp://")) || str_starts(address, STR("ipc://")))) {
        return err_set(d, ERR_INVALID, "address \"%.*s\": wanted tcp://host:port or ipc:///path",
                       (int)MIN(address.size, (size_t)100), address.p);
    }
    (void)snprintf(out, ADDRESS_SIZE_MAX, "%.*s", STR_ARG(address));
    return ERR_OK;
}

/* An option that only some kinds of streams have. */
static int option_result(int rv)
{
    return rv == NNG_ENOTSUP ? 0 : rv;
}

/* ---- listener ---- */

struct conn {
    struct map_node node; /* in listener.conns */
    uint64_t id;
    struct stream *stream;
    unsigned unanswered;
};

struct listener {
    struct net_listener base;
    struct end end;
    struct net_handler *handler;
    nng_stream_listener *nng;
    nng_aio *accept;
    struct event accept_event;
    struct loop_timer again; /* accept after an error; connections without a handshake */
    bool accept_later;
    struct map conns; /* with their handshake done, and not closing */
    uint64_t last_id;
    unsigned streams_len;
    unsigned held; /* requests that the receiver has not answered yet */
    char address[ADDRESS_SIZE_MAX];
};

/* net_request.impl; the bytes (routing words, body) stand behind the structure. */
enum { REQUEST_LISTENER, REQUEST_ROUTE_SIZE, REQUEST_SIZE };

static struct listener *listener_of(struct end *e)
{
    return CONTAINER_OF(e, struct listener, end);
}

static bool conn_has_id(const struct map_node *n, const void *key)
{
    return MAP_ENTRY(n, struct conn, node)->id == *(const uint64_t *)key;
}

static struct conn *conn_find(struct listener *l, uint64_t id)
{
    struct map_node *n = map_find(&l->conns, hash_u64(id), &id, conn_has_id);
    return n != NULL ? MAP_ENTRY(n, struct conn, node) : NULL;
}

static void conn_end(struct listener *l, struct conn *c, bool tell)
{
    uint64_t id = c->id;
    c->stream->user = NULL;
    map_remove(&l->conns, &c->node);
    mem_free(c);
    if (tell) {
        l->handler->closed(l->handler, id);
    }
}

/* Length of the routing words at the beginning of a request; 0: there is no end to them. */
static size_t route_size(struct str bytes)
{
    for (size_t words = 1; words <= ROUTE_WORDS_MAX && 4 * words <= bytes.size; words++) {
        if (((uint8_t)bytes.p[4 * (words - 1)] & 0x80) != 0) {
            return 4 * words;
        }
    }
    return 0;
}

static void conn_message(struct end *e, struct stream *s, struct str bytes)
{
    struct listener *l = listener_of(e);
    struct conn *c = s->user;
    size_t route = route_size(bytes);
    /* Replies that the peer does not fetch count, too: they take memory. Not those of the write that
     * is under way: the peer may have read them, and asked again, before we learn that they have
     * gone. So at most twice NET_INFLIGHT_MAX stand here. */
    unsigned waiting = c->unanswered + s->out_len;
    if (route == 0 || waiting >= NET_INFLIGHT_MAX || bytes.size - route > MESSAGE_SIZE_MAX) {
        stream_lost(s);
        return;
    }
    struct net_request *r = mem_try_raw(sizeof(*r) + bytes.size, SIZE_MAX);
    if (r == NULL) {
        stream_lost(s);
        return;
    }
    *r = (struct net_request){.conn = c->id};
    char *copy = (char *)(r + 1);
    memcpy(copy, bytes.p, bytes.size);
    r->body = (struct str){copy + route, bytes.size - route};
    r->impl[REQUEST_LISTENER] = l;
    r->impl[REQUEST_ROUTE_SIZE] = (void *)(uintptr_t)route;
    r->impl[REQUEST_SIZE] = (void *)(uintptr_t)(sizeof(*r) + bytes.size);
    c->unanswered += 1;
    l->held += 1;
    s->held += sizeof(*r) + bytes.size;
    stream_count(s);
    l->handler->request(l->handler, r);
}

static void conn_opened(struct end *e, struct stream *s)
{
    struct listener *l = listener_of(e);
    struct conn *c = MEM_NEW(struct conn);
    c->stream = s;
    c->id = ++l->last_id;
    s->user = c;
    map_insert(&l->conns, &c->node, hash_u64(c->id));
}

static void conn_lost(struct end *e, struct stream *s, bool opened)
{
    struct listener *l = listener_of(e);
    l->streams_len -= 1;
    if (opened && s->user != NULL) {
        conn_end(l, s->user, true);
    }
}

static void accept_done(void *arg)
{
    struct listener *l = arg;
    inbox_push(&l->end.inbox, &l->accept_event);
}

static void accept_run(struct event *ev)
{
    struct listener *l = CONTAINER_OF(ev, struct listener, accept_event);
    if (nng_aio_result(l->accept) == 0) {
        nng_stream *nng = nng_aio_get_output(l->accept, 0);
        nng_aio_set_output(l->accept, 0, NULL);
        if (l->streams_len >= CONNECTIONS_MAX) {
            nng_stream_free(nng);
        } else if (stream_new(&l->end, nng, PROTO_REP) != NULL) {
            l->streams_len += 1;
            if (!l->again.armed) {
                loop_timer_after(l->end.inbox.loop, &l->again, HANDSHAKE_MS * US_PER_MS);
            }
        }
        nng_stream_listener_accept(l->nng, l->accept);
        return;
    }
    l->accept_later = true;
    loop_timer_after(l->end.inbox.loop, &l->again, ACCEPT_AGAIN_MS * US_PER_MS);
}

static void listener_tick(struct loop_timer *t)
{
    struct listener *l = CONTAINER_OF(t, struct listener, again);
    int64_t now = loop_now(l->end.inbox.loop).us;
    bool waiting = false;
    if (l->accept_later) {
        l->accept_later = false;
        nng_stream_listener_accept(l->nng, l->accept);
    }
    LIST_FOREACH_SAFE(it, &l->end.streams)
    {
        struct stream *s = LIST_ENTRY(it, struct stream, link);
        if (!s->opened && !s->closing) {
            if (now - s->since.us >= HANDSHAKE_MS * US_PER_MS) {
                stream_lost(s);
            } else {
                waiting = true;
            }
        }
    }
    if (waiting) {
        loop_timer_after(l->end.inbox.loop, &l->again, HANDSHAKE_MS * US_PER_MS / 4);
    }
}

static void listener_release(struct listener *l)
{
    if (l->nng != NULL) {
        nng_stream_listener_free(l->nng);
    }
    if (l->accept != NULL) {
        nng_aio_free(l->accept);
    }
    map_fini(&l->conns);
    mem_free(l);
}

static void listener_free_if_done(struct end *e)
{
    struct listener *l = listener_of(e);
    if (l->held == 0 && end_is_done(e)) {
        streams_free(e);
        listener_release(l);
    }
}

/* Ends the receiver's hold on a request; its connection, or NULL when that has gone. */
static struct conn *request_end(struct listener *l, struct net_request *r)
{
    PRE(r->impl[REQUEST_LISTENER] == l && l->held > 0);
    struct conn *c = l->end.closed ? NULL : conn_find(l, r->conn);
    l->held -= 1;
    if (c != NULL) {
        c->unanswered -= 1;
        c->stream->held -= (size_t)(uintptr_t)r->impl[REQUEST_SIZE];
        stream_count(c->stream);
        stream_wake(c->stream);
    }
    return c;
}

static void listener_reply(struct net_listener *base, struct net_request *r, struct str body)
{
    struct listener *l = CONTAINER_OF(base, struct listener, base);
    LOOP_OWNED(l->end.inbox.loop);
    PRE(body.size <= MESSAGE_SIZE_MAX);
    struct conn *c = request_end(l, r);
    if (c != NULL) {
        size_t route = (size_t)(uintptr_t)r->impl[REQUEST_ROUTE_SIZE];
        stream_send(c->stream, (struct str){r->body.p - route, route}, body);
    }
    mem_free(r);
    listener_free_if_done(&l->end);
}

static void listener_drop(struct net_listener *base, struct net_request *r)
{
    struct listener *l = CONTAINER_OF(base, struct listener, base);
    LOOP_OWNED(l->end.inbox.loop);
    (void)request_end(l, r);
    mem_free(r);
    listener_free_if_done(&l->end);
}

static struct net_request *listener_slim(struct net_listener *base, struct net_request *r)
{
    struct listener *l = CONTAINER_OF(base, struct listener, base);
    LOOP_OWNED(l->end.inbox.loop);
    struct conn *c = l->end.closed ? NULL : conn_find(l, r->conn);
    size_t route = (size_t)(uintptr_t)r->impl[REQUEST_ROUTE_SIZE];
    size_t before = (size_t)(uintptr_t)r->impl[REQUEST_SIZE];
    size_t size = sizeof(*r) + route; /* the answer goes the way back */
    struct net_request *slim = mem_try_realloc(r, size, SIZE_MAX);
    if (slim == NULL) {
        slim = r;
        size = before;
    }
    slim->body = (struct str){(char *)(slim + 1) + route, 0};
    slim->impl[REQUEST_SIZE] = (void *)(uintptr_t)size;
    if (c != NULL) {
        c->stream->held -= before - size;
        stream_count(c->stream);
        stream_wake(c->stream);
    }
    return slim;
}

/* The receiver learns of it by "closed", behind the present callback: when the read that is under
 * way ends with an error, or when the message now being handled has been handled. */
static void listener_disconnect(struct net_listener *base, uint64_t conn)
{
    struct listener *l = CONTAINER_OF(base, struct listener, base);
    LOOP_OWNED(l->end.inbox.loop);
    struct conn *c = conn_find(l, conn);
    if (c != NULL && !c->stream->cut) {
        c->stream->cut = true;
        nng_stream_close(c->stream->nng);
        stream_resume(c->stream); /* if no read is under way */
    }
}

static void listener_close(struct net_listener *base)
{
    struct listener *l = CONTAINER_OF(base, struct listener, base);
    LOOP_OWNED(l->end.inbox.loop);
    PRE(!l->end.closed);
    l->end.closed = true;
    loop_timer_stop(&l->again);
    nng_stream_listener_close(l->nng);
    nng_aio_wait(l->accept);
    if (nng_aio_result(l->accept) == 0) { /* accepted, and its event not handled any more */
        nng_stream *late = nng_aio_get_output(l->accept, 0);
        if (late != NULL) {
            nng_stream_free(late);
        }
    }
    streams_close(&l->end);
    while (map_len(&l->conns) > 0) {
        conn_end(l, MAP_ENTRY(map_first(&l->conns), struct conn, node), false);
    }
    listener_free_if_done(&l->end);
}

static const struct net_listener_ops listener_ops = {
    .reply = listener_reply,
    .drop = listener_drop,
    .slim = listener_slim,
    .disconnect = listener_disconnect,
    .close = listener_close,
};

/* The address with the port that was really bound. */
static void listener_address(struct listener *l, const char *asked)
{
    nng_sockaddr sa;
    char host[INET6_ADDRSTRLEN];
    (void)snprintf(l->address, sizeof(l->address), "%s", asked);
    if (!l->end.ipc && nng_stream_listener_get_addr(l->nng, NNG_OPT_LOCADDR, &sa) == 0) {
        if (sa.s_family == NNG_AF_INET &&
            inet_ntop(AF_INET, &sa.s_in.sa_addr, host, sizeof(host)) != NULL) {
            (void)snprintf(l->address, sizeof(l->address), "tcp://%s:%u", host,
                           (unsigned)ntohs(sa.s_in.sa_port));
        } else if (sa.s_family == NNG_AF_INET6 &&
                   inet_ntop(AF_INET6, sa.s_in6.sa_addr, host, sizeof(host)) != NULL) {
            (void)snprintf(l->address, sizeof(l->address), "tcp://[%s]:%u", host,
                           (unsigned)ntohs(sa.s_in6.sa_port));
        }
    }
    l->base.address = str_of(l->address);
}

static int listener_open(struct listener *l, const char *url)
{
    int rv = nng_stream_listener_alloc(&l->nng, url);
    if (rv != 0) {
        l->nng = NULL;
        return rv;
    }
    if ((rv = option_result(nng_stream_listener_set_bool(l->nng, NNG_OPT_TCP_NODELAY, true))) !=
            0 ||
        (rv = option_result(nng_stream_listener_set_bool(l->nng, NNG_OPT_TCP_KEEPALIVE, true))) !=
            0 ||
        (rv = nng_aio_alloc(&l->accept, accept_done, l)) != 0) {
        return rv;
    }
    return nng_stream_listener_listen(l->nng);
}

struct transport_nng {
    struct transport base;
    size_t conn_bytes_max, listener_bytes_max;
};

static enum err nng_listen_on(struct transport *t, struct loop *loop, struct str address,
                              struct net_handler *h, struct net_listener **out,
                              struct err_detail *d)
{
    const struct transport_nng *own = CONTAINER_OF(t, struct transport_nng, base);
    LOOP_OWNED(loop);
    char url[ADDRESS_SIZE_MAX];
    enum err e = address_copy(address, url, d);
    if (e != ERR_OK) {
        return e;
    }
    struct listener *l = MEM_NEW(struct listener);
    end_init(&l->end, loop, address);
    l->end.conn_bytes_max = own->conn_bytes_max;
    l->end.bytes_max = own->listener_bytes_max;
    l->base.ops = &listener_ops;
    l->handler = h;
    l->end.free_if_done = listener_free_if_done;
    l->end.message = conn_message;
    l->end.opened = conn_opened;
    l->end.lost = conn_lost;
    l->accept_event.run = accept_run;
    l->again = (struct loop_timer){.fired = listener_tick, .name = "nng listener"};
    map_init(&l->conns);
    int rv = listener_open(l, url);
    if (rv != 0) {
        listener_release(l);
        return err_set(d, err_of_nng(rv), "%s",
                       rv == NNG_EADDRINUSE ? "address in use" : nng_strerror(rv));
    }
    listener_address(l, url);
    nng_stream_listener_accept(l->nng, l->accept);
    *out = &l->base;
    return ERR_OK;
}

/* ---- dialer ---- */

/* A request that is not answered yet. Its place in the table is serial modulo the table's size. */
struct asked {
    uint64_t id;
    uint32_t serial; /* number on the wire; 0 = this place is free */
};

struct dialer {
    struct net_dialer base;
    struct end end;
    struct net_dial_handler *handler;
    nng_stream_dialer *nng;
    nng_aio *connect;
    struct event connect_event;
    bool connecting;
    struct loop_timer timer; /* redial; or the handshake is overdue */
    uint32_t failures;       /* in a row */
    struct stream *stream;   /* connected, maybe without handshake yet */
    bool up;
    uint32_t last_serial;
    struct asked asked[NET_INFLIGHT_MAX];
};

#define WIRE_REQUEST UINT32_C(0x80000000) /* marks the last routing word */

static struct dialer *dialer_of(struct end *e)
{
    return CONTAINER_OF(e, struct dialer, end);
}

static void connect_done(void *arg)
{
    struct dialer *d = arg;
    inbox_push(&d->end.inbox, &d->connect_event);
}

static void dialer_dial(struct dialer *d)
{
    d->connecting = true;
    nng_stream_dialer_dial(d->nng, d->connect);
}

/* Between half of a delay that doubles and the whole of it. */
static void dialer_redial_later(struct dialer *d)
{
    int64_t ms = (int64_t)REDIAL_MIN_MS << MIN(d->failures, 6u);
    ms = MIN(ms, (int64_t)REDIAL_MAX_MS);
    d->failures += 1;
    int64_t us = ms * US_PER_MS / 2;
    us += (int64_t)(nng_random() % (uint32_t)us);
    loop_timer_after(d->end.inbox.loop, &d->timer, us);
}

static void dialer_refused(struct dialer *d, enum err e)
{
    dialer_redial_later(d);
    if (d->handler->refused != NULL) {
        d->handler->refused(d->handler, e);
    }
}

static void connect_run(struct event *ev)
{
    struct dialer *d = CONTAINER_OF(ev, struct dialer, connect_event);
    int rv = nng_aio_result(d->connect);
    d->connecting = false;
    if (rv == 0) {
        nng_stream *nng = nng_aio_get_output(d->connect, 0);
        nng_aio_set_output(d->connect, 0, NULL);
        d->stream = stream_new(&d->end, nng, PROTO_REQ);
        rv = d->stream == NULL ? NNG_ENOMEM : 0;
    }
    if (rv != 0) {
        dialer_refused(d, err_of_nng(rv));
    } else {
        loop_timer_after(d->end.inbox.loop, &d->timer, HANDSHAKE_MS * US_PER_MS);
    }
}

static void dialer_tick(struct loop_timer *t)
{
    struct dialer *d = CONTAINER_OF(t, struct dialer, timer);
    if (d->stream == NULL && !d->connecting) {
        dialer_dial(d);
    } else if (d->stream != NULL && !d->up) {
        stream_lost(d->stream); /* connected, and no handshake: a frozen process, a wrong port */
    }
}

static void dialer_opened(struct end *e, struct stream *s)
{
    struct dialer *d = dialer_of(e);
    PRE(d->stream == s);
    loop_timer_stop(&d->timer);
    d->up = true;
    d->failures = 0;
    d->handler->up(d->handler);
}

static void dialer_lost(struct end *e, struct stream *s, bool opened)
{
    struct dialer *d = dialer_of(e);
    PRE(d->stream == s);
    d->stream = NULL;
    d->up = false;
    loop_timer_stop(&d->timer);
    for (size_t i = 0; i < NET_INFLIGHT_MAX; i++) {
        d->asked[i].serial = 0;
    }
    if (opened) {
        dialer_redial_later(d);
        d->handler->down(d->handler);
    } else {
        dialer_refused(d, ERR_UNAVAILABLE);
    }
}

static void dialer_message(struct end *e, struct stream *s, struct str bytes)
{
    struct dialer *d = dialer_of(e);
    if (bytes.size < 4) {
        stream_lost(s);
        return;
    }
    uint32_t word = get_u32((const uint8_t *)bytes.p);
    uint32_t serial = word & ~WIRE_REQUEST;
    struct asked *a = &d->asked[serial % NET_INFLIGHT_MAX];
    if ((word & WIRE_REQUEST) == 0 || serial == 0 || a->serial != serial) {
        return; /* no request of this connection */
    }
    a->serial = 0;
    d->handler->reply(d->handler, a->id, str_sub(bytes, 4, bytes.size));
}

/* A free place, with a new serial in it; NULL when all are taken. */
static struct asked *dialer_place(struct dialer *d)
{
    for (size_t i = 0; i < NET_INFLIGHT_MAX; i++) {
        d->last_serial = (d->last_serial + 1) & ~WIRE_REQUEST;
        struct asked *a = &d->asked[d->last_serial % NET_INFLIGHT_MAX];
        if (d->last_serial != 0 && a->serial == 0) {
            a->serial = d->last_serial;
            return a;
        }
    }
    return NULL;
}

static enum err dialer_send(struct net_dialer *base, uint64_t id, struct str body)
{
    struct dialer *d = CONTAINER_OF(base, struct dialer, base);
    LOOP_OWNED(d->end.inbox.loop);
    if (!d->up) {
        return ERR_UNAVAILABLE;
    }
    if (body.size > MESSAGE_SIZE_MAX) {
        return ERR_TOO_LARGE;
    }
    struct asked *a = dialer_place(d);
    if (a == NULL) {
        return ERR_LIMIT;
    }
    uint8_t route[4];
    put_u32(route, a->serial | WIRE_REQUEST);
    a->id = id;
    stream_send(d->stream, (struct str){(const char *)route, sizeof(route)}, body);
    return ERR_OK;
}

static void dialer_release(struct dialer *d)
{
    if (d->nng != NULL) {
        nng_stream_dialer_free(d->nng);
    }
    if (d->connect != NULL) {
        nng_aio_free(d->connect);
    }
    mem_free(d);
}

static void dialer_free_if_done(struct end *e)
{
    if (end_is_done(e)) {
        streams_free(e);
        dialer_release(dialer_of(e));
    }
}

static void dialer_close(struct net_dialer *base)
{
    struct dialer *d = CONTAINER_OF(base, struct dialer, base);
    LOOP_OWNED(d->end.inbox.loop);
    PRE(!d->end.closed);
    d->end.closed = true;
    loop_timer_stop(&d->timer);
    nng_stream_dialer_close(d->nng);
    nng_aio_wait(d->connect);
    if (d->connecting && nng_aio_result(d->connect) == 0) {
        nng_stream *late =
            nng_aio_get_output(d->connect, 0); /* its event is not handled any more */
        if (late != NULL) {
            nng_stream_free(late);
        }
    }
    streams_close(&d->end);
    dialer_free_if_done(&d->end);
}

static const struct net_dialer_ops dialer_ops = {.send = dialer_send, .close = dialer_close};

static int dialer_open(struct dialer *d, const char *url)
{
    int rv = nng_stream_dialer_alloc(&d->nng, url);
    if (rv != 0) {
        d->nng = NULL;
        return rv;
    }
    if ((rv = option_result(nng_stream_dialer_set_bool(d->nng, NNG_OPT_TCP_NODELAY, true))) != 0 ||
        (rv = option_result(nng_stream_dialer_set_bool(d->nng, NNG_OPT_TCP_KEEPALIVE, true))) !=
            0) {
        return rv;
    }
    return nng_aio_alloc(&d->connect, connect_done, d);
}

static enum err nng_dial_to(struct transport *t, struct loop *loop, struct str address,
                            struct net_dial_handler *h, struct net_dialer **out,
                            struct err_detail *detail)
{
    (void)t;
    LOOP_OWNED(loop);
    char url[ADDRESS_SIZE_MAX];
    enum err e = address_copy(address, url, detail);
    if (e != ERR_OK) {
        return e;
    }
    struct dialer *d = MEM_NEW(struct dialer);
    end_init(&d->end, loop, address);
    d->base.ops = &dialer_ops;
    d->handler = h;
    d->end.free_if_done = dialer_free_if_done;
    d->end.message = dialer_message;
    d->end.opened = dialer_opened;
    d->end.lost = dialer_lost;
    d->connect_event.run = connect_run;
    d->timer = (struct loop_timer){.fired = dialer_tick, .name = "nng dialer"};
    int rv = dialer_open(d, url);
    if (rv != 0) {
        dialer_release(d);
        return err_set(detail, err_of_nng(rv), "%s: %s", url, nng_strerror(rv));
    }
    *out = &d->base;
    dialer_dial(d);
    return ERR_OK;
}

static const struct transport_ops transport_ops = {.listen = nng_listen_on, .dial = nng_dial_to};

struct transport *transport_nng(void)
{
    static struct transport_nng t = {.base = {.ops = &transport_ops},
                                     .conn_bytes_max = CONN_BYTES_MAX,
                                     .listener_bytes_max = LISTENER_BYTES_MAX};
    return &t.base;
}

struct transport *transport_nng_sized(size_t conn_bytes, size_t listener_bytes)
{
    struct transport_nng *t = MEM_NEW(struct transport_nng);
    *t = (struct transport_nng){.base = {.ops = &transport_ops},
                                .conn_bytes_max = conn_bytes,
                                .listener_bytes_max = listener_bytes};
    return &t->base;
}
