/* Connections of the HTTP server: accepting them, holding them to their deadlines, ending them. See
 * http_mhd_internal.h.
 *
 * libmicrohttpd would accept by itself, but closes without a word what is over its limits, and cannot
 * make room by ending the connection that waits longest. Its time-out starts anew with each byte, which
 * a slow peer sends in time. So a sweep looks at the few connections there are several times a second
 * and cuts whoever is overdue. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "net/http_mhd_internal.h"

#include <microhttpd.h>

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

LOG_MODULE("http");

enum {
    SWEEPS = 10,              /* within the shortest deadline */
    SWEEP_MAX_US = 500000,    /* between two of them */
    ACCEPT_AGAIN_US = 100000, /* after an error (no descriptors left) */
    ENDED_GRACE_US = 50000,
    /* TCP_ESTABLISHED, TCP_CLOSE_WAIT of netinet/tcp.h, which excludes linux/tcp.h */
    STATE_ESTABLISHED = 1,
    STATE_CLOSE_WAIT = 8,
};

static struct tcp_info socket_state(const struct conn *c)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    (void)getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    return info;
}

void conn_phase(struct conn *c, enum phase phase)
{
    c->phase = phase;
    c->since = loop_now(c->server->loop);
    c->begun = false;
    if (phase == ANSWER) { /* what comes from now on is the next request's */
        c->received = socket_state(c).tcpi_bytes_received;
    } else if (phase == HEADER) {
        c->sent = socket_state(c).tcpi_bytes_sent;
    }
}

static void say_status(const struct conn *c, int status)
{
    char head[160];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status,
                     http_reason(status));
    (void)send(c->fd, head, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void conn_cut(struct conn *c, int status, struct metric *reason)
{
    if (c->cut) {
        return;
    }
    metric_add(reason, 1);
    c->cut = true;
    c->server->cuts++;
    if (status != 0) {
        say_status(c, status);
    }
    (void)shutdown(c->fd, SHUT_RDWR);
    /* Should it not see that, because it waits for room to read: its own time-out, of a second. */
    (void)MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 1U);
}

/* Have bytes of a request come that has not been answered? The end of the stream counts as one. */
static bool bytes_wait(const struct conn *c, const struct tcp_info *state)
{
    uint64_t end = state->tcpi_state == STATE_CLOSE_WAIT ? 1 : 0;
    return state->tcpi_bytes_received > c->received + end;
}

void conn_closing(struct conn *c)
{
    struct tcp_info state = socket_state(c);
    bool open = state.tcpi_state == STATE_ESTABLISHED || state.tcpi_state == STATE_CLOSE_WAIT;
    bool incomplete = c->phase == HEADER || c->phase == BODY;
    if (incomplete && !c->cut && open && bytes_wait(c, &state) &&
        state.tcpi_bytes_sent == c->sent) {
        bool refused = c->request != NULL && c->request->base.refused != 0;
        say_status(c, refused ? c->request->base.refused : 400);
    }
}

/* The peer sends no more, and a request is not complete: it never will be. libmicrohttpd misses an
 * end that arrives together with the last bytes. The grace is for what it may not have parsed yet. */
static bool peer_ended(const struct conn *c, const struct tcp_info *state, struct mono now)
{
    return state->tcpi_state == STATE_CLOSE_WAIT && now.us - c->since.us > ENDED_GRACE_US;
}

/* The waits of a connection that are ours to end. */
static void conn_look(struct conn *c, struct mono now)
{
    struct tcp_info state = socket_state(c);
    const struct http_limits *l = &c->server->limits;
    int64_t us = now.us - c->since.us;
    switch (c->phase) {
    case HEADER:
        if (peer_ended(c, &state, now)) {
            conn_cut(c, bytes_wait(c, &state) ? 400 : 0, &metric_http_cut_ended);
            return;
        }
        if (!c->begun && bytes_wait(c, &state)) {
            c->begun = true;
            if (!c->fresh) {
                c->since = now;
                us = 0;
            }
        }
        if ((c->begun || c->fresh) && us > l->header_us) {
            conn_cut(c, c->begun ? 408 : 0, &metric_http_cut_header);
        } else if (us > l->idle_us) {
            conn_cut(c, 0, &metric_http_cut_idle);
        }
        break;
    case BODY:
        if (peer_ended(c, &state, now)) {
            conn_cut(c, 400, &metric_http_cut_ended);
        } else if (us > l->header_us + (int64_t)c->request->got * US_PER_S / l->rate) {
            conn_cut(c, 408, &metric_http_cut_body);
        }
        break;
    case INSIDE:
        break;
    case ANSWER:
        if (us > l->idle_us + (int64_t)c->answer_size * US_PER_S / l->rate) {
            conn_cut(c, 0, &metric_http_cut_answer);
        }
        break;
    }
}

static int64_t sweep_every(const struct server *s)
{
    int64_t us = MIN(s->limits.header_us, s->limits.idle_us) / SWEEPS;
    return MAX(MIN(us, (int64_t)SWEEP_MAX_US), INT64_C(1));
}

static void conns_look(struct server *s)
{
    struct mono now = loop_now(s->loop);
    LIST_FOREACH(it, &s->conns)
    {
        conn_look(LIST_ENTRY(it, struct conn, link), now);
    }
}

static void sweep_fired(struct loop_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, sweep);
    if (s->accept_paused) {
        s->accept_paused = false;
        loop_fd_start(s->loop, &s->listening, LOOP_READ);
    }
    conns_look(s);
    if (s->cuts > 0) {
        http_run(s);
    }
    if (s->conns_len > 0) {
        loop_timer_after(s->loop, &s->sweep, sweep_every(s));
    }
}

/* ---- accepting ---- */

/* The bytes of an address that its connections are counted by: IPv4 whole, IPv6 its /64. */
static void peer_of(const struct sockaddr_storage *sa, struct conn *c)
{
    if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        memcpy(c->budget, &in6->sin6_addr, mapped ? 16 : 8);
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, c->peer, sizeof(c->peer));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        memcpy(c->budget + 12, &in->sin_addr, 4);
        (void)inet_ntop(AF_INET, &in->sin_addr, c->peer, sizeof(c->peer));
    }
}

/* Makes room by ending the connection that has waited longest for a request. */
static bool room_make(struct server *s)
{
    struct conn *oldest = NULL;
    LIST_FOREACH(it, &s->conns)
    {
        struct conn *c = LIST_ENTRY(it, struct conn, link);
        if (c->phase == HEADER && !c->cut && (oldest == NULL || c->since.us < oldest->since.us)) {
            oldest = c;
        }
    }
    if (oldest == NULL) {
        return false;
    }
    conn_cut(oldest, 0, &metric_http_cut_room);
    http_run(s); /* closes it */
    return s->conns_len < s->limits.connections;
}

static uint32_t of_address(const struct server *s, const struct conn *c)
{
    uint32_t n = 0;
    LIST_FOREACH(it, &s->conns)
    {
        const struct conn *other = LIST_ENTRY(it, struct conn, link);
        n += !other->cut && memcmp(other->budget, c->budget, sizeof(c->budget)) == 0;
    }
    return n;
}

static bool room_for(struct server *s, const struct conn *c)
{
    if (of_address(s, c) >= s->limits.connections_address) {
        conns_look(s); /* some may be over */
    }
    if (of_address(s, c) >= s->limits.connections_address) {
        metric_add(&metric_http_refused_address, 1);
        return false;
    }
    if (s->conns_len >= s->limits.connections && !room_make(s)) {
        metric_add(&metric_http_refused_all, 1);
        return false;
    }
    return true;
}

/* What it has sent is read first: closing with unread bytes would overtake the answer. */
static void refuse(int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                                 "Connection: close\r\nContent-Length: 0\r\n\r\n";
    char sink[4096];
    (void)!recv(fd, sink, sizeof(sink), MSG_DONTWAIT);
    (void)send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
}

static void accepted(struct server *s, int fd, const struct sockaddr_storage *sa, socklen_t size)
{
    struct conn *c = MEM_NEW(struct conn);
    c->server = s;
    c->fd = fd;
    c->fresh = true;
    peer_of(sa, c);
    if (!room_for(s, c)) {
        refuse(fd);
        mem_free(c);
        return;
    }
    conn_phase(c, HEADER);
    s->accepting = c;
    metric_add(&metric_http_accepted, 1);
    if (MHD_add_connection(s->mhd, fd, (const struct sockaddr *)sa, size) != MHD_YES &&
        s->accepting != NULL) {
        s->accepting = NULL;
        mem_free(c);
    }
}

static void listening_ready(struct loop_fd *w, int events)
{
    struct server *s = CONTAINER_OF(w, struct server, listening);
    (void)events;
    for (int i = 0; i < HTTP_ACCEPT_MAX; i++) {
        struct sockaddr_storage sa = {0};
        socklen_t size = sizeof(sa);
        int fd = accept4(w->fd, (struct sockaddr *)&sa, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            accepted(s, fd, &sa, size);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            if (errno != EAGAIN) {
                log_warn("cannot accept", "address=%s error=\"%s\"", s->address, strerror(errno));
                s->accept_paused = true;
                loop_fd_stop(&s->listening);
                loop_timer_after(s->loop, &s->sweep, ACCEPT_AGAIN_US);
            }
            break;
        }
    }
    http_run(s);
    if (s->conns_len > 0 && !s->sweep.armed) {
        loop_timer_after(s->loop, &s->sweep, sweep_every(s));
    }
}

void conns_accept(struct server *s)
{
    s->sweep.fired = sweep_fired;
    s->sweep.name = "http sweep";
    s->listening.ready = listening_ready;
    s->listening.name = "http accept";
    loop_fd_start(s->loop, &s->listening, LOOP_READ);
}

void conns_stop(struct server *s)
{
    loop_timer_stop(&s->sweep);
    loop_fd_stop(&s->listening);
}
