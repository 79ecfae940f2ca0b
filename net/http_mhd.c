/* The HTTP port over libmicrohttpd, which parses requests and frames answers and does nothing else.
 *
 * Why it has no threads here: it can be driven from outside by its epoll descriptor. Then parser,
 * limits and receiver share one loop, a slow peer can be cut without a lock, and nothing is copied
 * between threads. Accepting and deadlines are ours, too: see http_mhd_conn.c.
 *
 * Rules of libmicrohttpd 0.9.75 kept here: a response is queued only by the access handler (in its first
 * call: then the body is not read and the connection closes; or when the body is complete);
 * suspended connections notice nothing, and all must be resumed before the daemon is stopped. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "net/http_mhd_internal.h"

#include <microhttpd.h>

#include <arpa/inet.h>
#include <malloc.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

LOG_MODULE("http");

enum {
    POOL_SIZE = 48 << 10,   /* of a connection: header, its index, head of the answer */
    SWALLOW_MAX = 16 << 20, /* bytes of a refused body that are read, so that the answer arrives */
    IDLE_TURNS_MAX = 64,
    POOL_STEP = 8 << 10, /* by which the buffer of a header grows */
    PAUSE_US = 20000,
    TRIM_SIZE = 16 << 20,
};

/* ---- bodies: bounded in sum ---- */

/* Counts bytes in (or out, negative); false: they are more than may be held. */
static bool bodies_count(struct server *s, int64_t size)
{
    s->bodies += (size_t)size;
    s->bodies_peak = MAX(s->bodies_peak, s->bodies);
    metric_add(&metric_http_bodies, size);
    return s->bodies <= s->limits.bodies_size;
}

/* After a burst the allocator would keep what it got from the system. */
static void bodies_trim(struct server *s)
{
    if (s->bodies == 0 && s->bodies_peak > TRIM_SIZE) {
        s->bodies_peak = 0;
        (void)malloc_trim(0);
    }
}

static void body_drop(struct server *s, struct buf *body)
{
    int64_t room = (int64_t)body->room;
    buf_fini(body);
    buf_init(body, 0);
    (void)bodies_count(s, -room);
    bodies_trim(s);
}

/* The body of an answer, on its way. */
struct sending {
    struct server *server; /* NULL: small, not counted */
    int64_t room;
    char *bytes;
};

static void sending_free(void *arg)
{
    struct sending *out = arg;
    struct server *s = out->server;
    int64_t room = out->room;
    mem_free(out->bytes);
    mem_free(out);
    if (s != NULL) {
        (void)bodies_count(s, -room);
        bodies_trim(s);
    }
}

static void request_free(struct request *r)
{
    if (r == NULL) {
        return;
    }
    struct server *s = r->conn->server;
    r->conn->request = NULL;
    if (r->answer != NULL) { /* given, but the peer has gone before it was taken */
        MHD_destroy_response(r->answer);
    }
    body_drop(s, &r->body);
    arena_fini(&r->arena);
    mem_free(r->target);
    mem_free(r);
}

static void conn_notify(void *arg, struct MHD_Connection *mhd, void **context,
                        enum MHD_ConnectionNotificationCode what)
{
    struct server *s = arg;
    s->calls++;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = s->accepting;
        s->accepting->mhd = mhd;
        list_push_back(&s->conns, &s->accepting->link);
        s->conns_len++;
        s->accepting = NULL;
    } else {
        struct conn *c = *context;
        conn_closing(c);
        request_free(c->request);
        list_remove(&c->link);
        s->conns_len--;
        s->cuts -= c->cut ? 1 : 0;
        mem_free(c);
    }
    metric_set(&metric_http_connections, (int64_t)s->conns_len);
}

/* ---- the library's turn ---- */

static void again_run(struct loop_task *task)
{
    struct server *s = CONTAINER_OF(task, struct server, again);
    s->again_posted = false;
    if (s->closed) {
        mem_free(s);
    } else {
        http_run(s);
    }
}

static void run_later(struct server *s)
{
    if (!s->again_posted) {
        s->again_posted = true;
        loop_post(s->loop, &s->again);
    }
}

static void paused_fired(struct loop_timer *t)
{
    http_run(CONTAINER_OF(t, struct server, paused));
}

/* The library may ask for turn after turn without doing anything in them (0.9.75: when the size of a
 * chunk fills the buffer and does not end). Then it is given a few a second, until the sweep ends
 * what it cannot. */
void http_run(struct server *s)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    (void)MHD_run(s->mhd);
    s->idle_turns = s->calls == s->calls_seen ? s->idle_turns + 1 : 0;
    s->calls_seen = s->calls;
    if (MHD_get_timeout(s->mhd, &ms) != MHD_YES || ms > 0) {
        return;
    }
    if (s->idle_turns < IDLE_TURNS_MAX) {
        run_later(s);
    } else if (!s->paused.armed) {
        loop_timer_after(s->loop, &s->paused, PAUSE_US);
    }
}

static void events_ready(struct loop_fd *w, int events)
{
    (void)events;
    http_run(CONTAINER_OF(w, struct server, events));
}

/* ---- a request's header ---- */

static void refuse_as(struct request *r, int status, enum err why, const char *detail)
{
    if (r->base.refused == 0) {
        r->base.refused = status;
        r->base.why = why;
        r->base.detail = detail;
        metric_add(why == ERR_LIMIT ? &metric_http_refused_room : &metric_http_refused, 1);
    }
}

/* Also: the connection must not go on, as nobody knows where the next request begins. */
static void refuse_framing(struct request *r, int status, enum err why, const char *detail)
{
    refuse_as(r, status, why, detail);
    r->close = true;
}

struct header {
    struct request *request;
    uint32_t fields;
    struct str length, encoding, expect;
    uint32_t lengths, encodings;
};

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.size; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return s.size > 0;
}

static bool is_field_text(struct str s)
{
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_name(struct str s, const char *name)
{
    return s.size == strlen(name) && strncasecmp(s.p, name, s.size) == 0;
}

static void field_keep(struct request *r, struct str name, struct str value)
{
    for (unsigned i = 0; i < HTTP_FIELDS; i++) {
        struct str *field = &r->base.field[i];
        if (!is_name(name, http_field_name((enum http_field)i))) {
            continue;
        }
        if (field->p != NULL) {
            refuse_framing(r, 400, ERR_MALFORMED, "a header field that may come once came twice");
        } else {
            *field = str_dup(&r->arena, value);
        }
    }
}

static enum MHD_Result field_see(void *arg, enum MHD_ValueKind kind, const char *key,
                                 size_t key_size, const char *text, size_t text_size)
{
    struct header *h = arg;
    struct str name = {key, key_size};
    struct str value = text != NULL ? str_trim((struct str){text, text_size}) : STR("");
    (void)kind;
    h->fields++;
    if (!is_token(name) || !is_field_text(value)) {
        refuse_framing(h->request, 400, ERR_MALFORMED, "a header field is malformed");
        return MHD_YES;
    }
    if (is_name(name, "Content-Length")) {
        h->lengths++;
        h->length = value;
    } else if (is_name(name, "Transfer-Encoding")) {
        h->encodings++;
        h->encoding = value;
    } else if (is_name(name, "Expect")) {
        h->expect = value;
    } else {
        field_keep(h->request, name, value);
    }
    return MHD_YES;
}

static void method_check(struct request *r, const char *method, const char *version)
{
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        refuse_framing(r, 505, ERR_UNSUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    } else if (!http_method_parse(str_of(method), &r->base.method)) {
        refuse_as(r, 501, ERR_UNSUPPORTED,
                  "this method is not served; try GET, HEAD, POST, PUT, DELETE");
    } else if (r->base.field[HTTP_HOST].p == NULL && strcmp(version, "HTTP/1.1") == 0) {
        refuse_as(r, 400, ERR_MALFORMED, "there is no Host field");
    }
}

static void target_check(struct request *r)
{
    struct str target = str_of(r->target);
    if (r->line_size > r->conn->server->limits.line_size) {
        refuse_framing(r, 414, ERR_TOO_LARGE, "the request line is too long");
        return;
    }
    if (target.size == 0 || target.p[0] != '/' || !is_field_text(target)) {
        refuse_as(r, 400, ERR_MALFORMED, "the target must be a path that begins with \"/\"");
        return;
    }
    const char *mark = memchr(target.p, '?', target.size);
    size_t size = mark != NULL ? (size_t)(mark - target.p) : target.size;
    r->base.path = (struct str){target.p, size};
    r->base.query = str_sub(target, size + 1, target.size);
}

/* Bytes of the body: 0 none, UINT64_MAX when only its end will tell. */
static uint64_t framing_check(struct request *r, const struct header *h)
{
    uint64_t length = 0;
    if (h->lengths > 0 && h->encodings > 0) {
        refuse_framing(r, 400, ERR_MALFORMED,
                       "Content-Length and Transfer-Encoding exclude each other");
    } else if (h->encodings > 1 || (h->encodings == 1 && !is_name(h->encoding, "chunked"))) {
        refuse_framing(r, 501, ERR_UNSUPPORTED, "the only transfer coding is \"chunked\"");
    } else if (h->lengths > 1 || (h->lengths == 1 && str_to_u64(h->length, &length) != ERR_OK)) {
        refuse_framing(r, 400, ERR_MALFORMED, "Content-Length is no number");
    }
    return h->encodings > 0 ? UINT64_MAX : length;
}

static void size_check(struct request *r, const struct header *h, uint64_t length)
{
    const struct http_limits *l = &r->conn->server->limits;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t header = info != NULL ? info->header_size : 0;
    if (header > l->header_size + r->line_size || h->fields > l->fields) {
        refuse_framing(r, 431, ERR_TOO_LARGE, "too many header fields, or too long ones");
    }
    if (r->base.refused != 0 || length == 0) {
        return;
    }
    struct http_handler *handler = r->conn->server->handler;
    r->body_max = handler->body_max(handler, &r->base);
    if (length != UINT64_MAX && length > r->body_max) {
        refuse_as(r, 413, ERR_TOO_LARGE, "the body is larger than this request may have");
    }
}

static void deliver(struct request *r);
static enum MHD_Result answer_queue(struct request *r);

/* The header is complete. A refused body is read all the same, so that the peer, which sends it before it
 * listens, gets the answer; unless it waits for "100 Continue", or it is out of all proportion. */
static enum MHD_Result announce(struct request *r, const char *method, const char *version)
{
    struct header h = {.request = r};
    r->announced = true;
    r->line_size = strlen(method) + strlen(r->target) + strlen(version) + 4;
    (void)MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, field_see, &h);
    method_check(r, method, version);
    target_check(r);
    uint64_t length = framing_check(r, &h);
    size_check(r, &h, length);
    if (r->base.refused != 0 &&
        (r->close || h.expect.size > 0 || (length > SWALLOW_MAX && length != UINT64_MAX))) {
        r->close = true;
        deliver(r);
        return answer_queue(r);
    }
    conn_phase(r->conn, BODY);
    return MHD_YES;
}

/* ---- body, receiver, answer ---- */

static void body_take(struct request *r, const char *bytes, size_t size)
{
    struct server *s = r->conn->server;
    r->got += size;
    if (r->base.refused == 0 && size > r->body_max - r->body.size) {
        refuse_as(r, 413, ERR_TOO_LARGE, "the body is larger than this request may have");
    }
    if (r->base.refused == 0) {
        size_t room = r->body.room;
        char *p = buf_reserve(&r->body, size);
        if (bodies_count(s, (int64_t)(r->body.room - room))) {
            memcpy(p, bytes, size);
            buf_added(&r->body, size);
            return;
        }
        refuse_as(r, 503, ERR_LIMIT, "too many bodies are being received; try again later");
    }
    body_drop(s, &r->body);
    if (r->got > SWALLOW_MAX) {
        conn_cut(r->conn, r->base.refused, &metric_http_cut_body);
    }
}

static void deliver(struct request *r)
{
    struct server *s = r->conn->server;
    conn_phase(r->conn, INSIDE);
    r->base.body = buf_str(&r->body);
    r->calling = true;
    s->held++;
    s->handler->request(s->handler, &r->base);
    r->calling = false;
    PRE(r->base.refused == 0 || r->answer != NULL);
}

static enum MHD_Result answer_queue(struct request *r)
{
    struct MHD_Response *answer = r->answer;
    r->answer = NULL;
    conn_phase(r->conn, ANSWER);
    enum MHD_Result ok = MHD_queue_response(r->mhd, (unsigned)r->status, answer);
    MHD_destroy_response(answer);
    return ok;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *bytes,
                                 size_t *size, void **context)
{
    struct request *r = *context;
    (void)url;
    ((struct server *)arg)->calls++;
    if (r == NULL) {
        return MHD_NO;
    }
    r->mhd = mhd;
    if (!r->announced) {
        return announce(r, method, version);
    }
    if (*size > 0) {
        body_take(r, bytes, *size);
        *size = 0;
        return MHD_YES;
    }
    if (r->conn->phase == BODY) {
        deliver(r);
    }
    if (r->answer != NULL) {
        return answer_queue(r);
    }
    r->suspended = true;
    MHD_suspend_connection(mhd);
    return MHD_YES;
}

/* The request line is complete: the first that we see of a request. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct conn *c = info->socket_context;
    struct request *r = MEM_NEW(struct request);
    c->server->calls++;
    (void)arg;
    request_free(c->request); /* of one that broke off before its header was complete */
    r->conn = c;
    r->base.peer = c->peer;
    r->target = mem_strdup(target);
    arena_init(&r->arena, 0);
    buf_init(&r->body, 0);
    c->request = r;
    return r;
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode why)
{
    struct request *r = *context;
    (void)arg;
    (void)mhd;
    (void)why;
    *context = NULL;
    if (r != NULL) {
        struct conn *c = r->conn;
        conn_closing(c);
        request_free(r);
        c->fresh = false;
        if (c->phase != ANSWER) { /* the library itself has answered, or the peer is gone */
            conn_phase(c, ANSWER);
        }
        conn_phase(c, HEADER);
    }
}

static struct MHD_Response *response_make(struct server *s, struct request *r,
                                          struct http_answer *a)
{
    struct sending *out = MEM_NEW(struct sending);
    out->server = a->body.size > HTTP_SMALL_SIZE ? s : NULL;
    size_t size = a->body.size;
    out->room = (int64_t)a->body.room;
    out->bytes = a->body.p;
    r->conn->answer_size = size;
    a->body = (struct buf){0};
    struct MHD_Response *m =
        MHD_create_response_from_buffer_with_free_callback_cls(size,
                                                               out->bytes != NULL ? out->bytes : "",
                                                               sending_free, out);
    ASSERT(m != NULL);
    if (a->type != NULL) {
        (void)MHD_add_response_header(m, "Content-Type", a->type);
    }
    for (uint32_t i = 0; i < a->extra_len; i++) {
        struct str value = str_dup(&r->arena, a->extra[i].value);
        (void)MHD_add_response_header(m, a->extra[i].name, value.p);
    }
    if (r->close) {
        (void)MHD_add_response_header(m, "Connection", "close");
    }
    return m;
}

static enum err server_answer(struct http_server *base, struct http_request *request,
                              struct http_answer *a)
{
    struct server *s = CONTAINER_OF(base, struct server, base);
    struct request *r = CONTAINER_OF(request, struct request, base);
    LOOP_OWNED(s->loop);
    PRE(r->answer == NULL && r->conn->phase == INSIDE && s->held > 0);
    int64_t room = a->body.size > HTTP_SMALL_SIZE ? (int64_t)a->body.room : 0;
    if (!bodies_count(s, room) && room > 0) {
        (void)bodies_count(s, -room);
        buf_fini(&a->body);
        metric_add(&metric_http_refused_room, 1);
        return ERR_LIMIT;
    }
    r->answer = response_make(s, r, a);
    r->status = a->status;
    s->held--;
    if (!r->calling && r->suspended) {
        r->suspended = false;
        MHD_resume_connection(r->mhd);
        run_later(s);
    }
    return ERR_OK;
}

/* ---- life ---- */

static void server_close(struct http_server *base)
{
    struct server *s = CONTAINER_OF(base, struct server, base);
    LOOP_OWNED(s->loop);
    PRE(s->held == 0 && !s->closed);
    s->closed = true;
    conns_stop(s);
    loop_timer_stop(&s->paused);
    (void)close(s->listening.fd);
    (void)MHD_run(s->mhd); /* answers just given go out */
    loop_fd_stop(&s->events);
    MHD_stop_daemon(s->mhd);
    PRE(s->conns_len == 0 && s->bodies == 0);
    if (!s->again_posted) {
        mem_free(s);
    }
}

static const struct http_server_ops server_ops = {.answer = server_answer, .close = server_close};

static void PRINTF_LIKE(2, 0) log_line(void *arg, const char *fmt, va_list args)
{
    char text[200];
    (void)arg;
    (void)vsnprintf(text, sizeof(text), fmt, args);
    log_debug("libmicrohttpd", "says=\"%.*s\"", (int)strcspn(text, "\n"), text);
}

/* Paths and queries are read as they came. */
static size_t no_unescape(void *arg, struct MHD_Connection *mhd, char *s)
{
    (void)arg;
    (void)mhd;
    return strlen(s);
}

static struct MHD_Daemon *mhd_start(struct server *s)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
                                MHD_USE_TURBO | MHD_USE_ERROR_LOG,
                            0, NULL, NULL, on_access, s,
                            /* first: what follows may already be logged */
                            MHD_OPTION_EXTERNAL_LOGGER, log_line, s, MHD_OPTION_NOTIFY_CONNECTION,
                            conn_notify, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
                            MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_UNESCAPE_CALLBACK,
                            no_unescape, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_SIZE,
                            MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)POOL_STEP,
                            MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)(2 * s->limits.connections + HTTP_ACCEPT_MAX),
                            MHD_OPTION_END);
}

/* "host:port" or "[host]:port" into its parts. */
static enum err address_split(struct str address, char host[256], char port[8],
                              struct err_detail *d)
{
    size_t colon = address.size;
    while (colon > 0 && address.p[colon - 1] != ':') {
        colon--;
    }
    struct str h = colon > 0 ? str_sub(address, 0, colon - 1) : STR_NONE;
    struct str p = str_sub(address, colon, address.size);
    uint64_t number;
    if (h.size > 2 && h.p[0] == '[' && h.p[h.size - 1] == ']') {
        h = str_sub(h, 1, h.size - 2);
    }
    if (h.size == 0 || h.size > 255 || str_to_u64(p, &number) != ERR_OK || number > 65535) {
        return err_set(d, ERR_INVALID, "address \"%.*s\": wanted host:port or [host]:port",
                       (int)MIN(address.size, (size_t)100), address.p);
    }
    (void)snprintf(host, 256, "%.*s", STR_ARG(h));
    (void)snprintf(port, 8, "%" PRIu64, number);
    return ERR_OK;
}

static int socket_bind(const struct addrinfo *ai)
{
    int one = 1;
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (ai->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static enum err socket_open(struct str address, int *out, struct err_detail *d)
{
    char host[256], port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *list = NULL;
    enum err e = address_split(address, host, port, d);
    if (e != ERR_OK) {
        return e;
    }
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0) {
        return err_set(d, ERR_INVALID, "address \"%s\": %s", host, gai_strerror(rc));
    }
    int fd = socket_bind(list);
    int error = errno;
    freeaddrinfo(list);
    if (fd < 0) {
        return err_set(d, error == EADDRINUSE ? ERR_CONFLICT : ERR_UNAVAILABLE, "%s:%s: %s", host,
                       port, strerror(error));
    }
    *out = fd;
    return ERR_OK;
}

/* The address with the port that was really bound. */
static void address_write(struct server *s)
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);
    char host[HTTP_PEER_SIZE] = "", port[8] = "";
    (void)getsockname(s->listening.fd, (struct sockaddr *)&sa, &size);
    (void)getnameinfo((struct sockaddr *)&sa, size, host, sizeof(host), port, sizeof(port),
                      NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(s->address, sizeof(s->address), sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                   host, port);
    s->base.address = str_of(s->address);
}

static enum err mhd_listen(struct http *t, struct loop *loop, struct str address,
                           const struct http_limits *limits, struct http_handler *h,
                           struct http_server **out, struct err_detail *d)
{
    int fd = -1;
    (void)t;
    LOOP_OWNED(loop);
    enum err e = socket_open(address, &fd, d);
    if (e != ERR_OK) {
        return e;
    }
    struct server *s = MEM_NEW(struct server);
    s->base.ops = &server_ops;
    s->loop = loop;
    s->handler = h;
    s->limits = *limits;
    list_init(&s->conns);
    s->again = (struct loop_task){.run = again_run, .name = "http"};
    s->paused = (struct loop_timer){.fired = paused_fired, .name = "http pause"};
    s->listening.fd = fd;
    s->mhd = mhd_start(s);
    if (s->mhd == NULL) {
        (void)close(fd);
        mem_free(s);
        return err_set(d, ERR_UNAVAILABLE, "libmicrohttpd did not start");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    s->events = (struct loop_fd){.ready = events_ready, .name = "http", .fd = info->epoll_fd};
    address_write(s);
    loop_fd_start(loop, &s->events, LOOP_READ);
    conns_accept(s);
    *out = &s->base;
    return ERR_OK;
}

static const struct http_ops mhd_ops = {.listen = mhd_listen};

struct http *http_mhd(void)
{
    static struct http mhd = {&mhd_ops};
    return &mhd;
}
