/* What only the nng transport has: the wire format itself. Other people's REQ and REP sockets,
 * hostile peers, connections cut in the middle of a message. The contract is in tests/contract. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/unit/net/fake_node.h"
#include "tests/unit/net/nng_races.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <sys/socket.h>

/* ---- a server that echoes, or keeps what it gets ---- */

struct server {
    struct net_handler handler;
    struct loop *loop;
    struct net_listener *listener;
    struct transport *transport; /* NULL: the usual one */
    const char *address;
    bool keep, disconnect, slim;
    struct net_request *kept[NET_INFLIGHT_MAX + 1];
    _Atomic int requests, closed, kept_len;
    _Atomic int answered, held_max; /* of what is kept; most at a time */
};

static void on_request(struct net_handler *h, struct net_request *r)
{
    struct server *s = CONTAINER_OF(h, struct server, handler);
    s->requests++;
    if (s->keep) {
        s->kept[s->kept_len] = s->slim ? s->listener->ops->slim(s->listener, r) : r;
        s->kept_len++;
        int held = s->kept_len - s->answered;
        s->held_max = MAX(s->held_max, held);
    } else {
        if (s->disconnect) {
            s->listener->ops->disconnect(s->listener, r->conn);
        }
        s->listener->ops->reply(s->listener, r, r->body);
    }
}

static void on_closed(struct net_handler *h, uint64_t conn)
{
    (void)conn;
    CONTAINER_OF(h, struct server, handler)->closed++;
}

static void do_listen(void *arg)
{
    struct server *s = arg;
    struct transport *t = s->transport != NULL ? s->transport : transport_nng();
    struct err_detail d = {0};
    s->handler = (struct net_handler){.request = on_request, .closed = on_closed};
    ck_assert_msg(t->ops->listen(t, s->loop, str_of(s->address), &s->handler, &s->listener, &d) ==
                      ERR_OK,
                  "%s", d.text);
}

static void do_close(void *arg)
{
    struct server *s = arg;
    for (int i = s->answered; i < s->kept_len; i++) {
        s->listener->ops->drop(s->listener, s->kept[i]);
    }
    s->listener->ops->close(s->listener);
}

/* Answers the oldest that is kept. */
static void do_answer(void *arg)
{
    struct server *s = arg;
    if (s->answered < s->kept_len) {
        s->listener->ops->reply(s->listener, s->kept[s->answered++], STR("x"));
    }
}

static void server_start_on(struct server *s, const char *address, struct transport *t)
{
    *s = (struct server){.address = address,
                         .loop = loop_uv_new(os_clock(), "server"),
                         .transport = t};
    fake_on_loop(s->loop, do_listen, s);
}

static void server_start(struct server *s, const char *address)
{
    server_start_on(s, address, NULL);
}

static void server_stop(struct server *s)
{
    fake_on_loop(s->loop, do_close, s);
    loop_free(s->loop);
}

/* Looks again every millisecond, at most 20 s. */
static void until(_Atomic int *value, int wanted)
{
    int64_t end = clock_mono(os_clock()).us + 20 * (int64_t)US_PER_S;
    while (*value < wanted) {
        ck_assert_msg(clock_mono(os_clock()).us < end, "%d of %d", *value, wanted);
        (void)poll(NULL, 0, 1);
    }
}

/* Open descriptors of this process. */
static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n;
}

/* As until(), for descriptors to be closed. */
static void until_descriptors(int wanted)
{
    int64_t end = clock_mono(os_clock()).us + 20 * (int64_t)US_PER_S;
    while (descriptors() > wanted) {
        ck_assert_msg(clock_mono(os_clock()).us < end, "%d of %d", descriptors(), wanted);
        (void)poll(NULL, 0, 1);
    }
}

/* ---- a peer made of bytes ---- */

static int plain_socket(const struct server *s)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *colon = strrchr(s->listener->address.p, ':');
    uint64_t port = 0;
    ck_assert_int_eq(str_to_u64(str_of(colon + 1), &port), ERR_OK);
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static const uint8_t HELLO_REQ[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

static void put(int fd, const void *p, size_t size)
{
    ck_assert_int_eq(send(fd, p, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Bytes up to the end of the connection, at most "size". */
static size_t get_all(int fd, uint8_t *out, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = recv(fd, out + got, size - got, 0);
        if (n <= 0) {
            break;
        }
        got += (size_t)n;
    }
    return got;
}

static void get(int fd, uint8_t *out, size_t size)
{
    ck_assert_uint_eq(get_all(fd, out, size), size);
}

/* Length, request number and body. */
static size_t frame(uint8_t *out, uint32_t word, const char *body)
{
    size_t size = strlen(body) + 4;
    memset(out, 0, 8);
    out[6] = (uint8_t)(size >> 8);
    out[7] = (uint8_t)size;
    for (int i = 0; i < 4; i++) {
        out[8 + i] = (uint8_t)(word >> (24 - 8 * i));
    }
    memcpy(out + 12, body, strlen(body));
    return size + 8;
}

START_TEST(every_cut)
{
    struct server s;
    uint8_t bytes[64];
    uint8_t back[64];
    server_start(&s, "tcp://127.0.0.1:0");
    memcpy(bytes, HELLO_REQ, 8);
    size_t size = 8 + frame(bytes + 8, 0x80000005, "hello");
    /* In two pieces, cut at each byte. */
    for (size_t cut = 1; cut < size; cut++) {
        int fd = plain_socket(&s);
        put(fd, bytes, cut);
        put(fd, bytes + cut, size - cut);
        get(fd, back, size);
        ck_assert_int_eq(back[5], 0x31);
        ck_assert_int_eq(memcmp(back + 8, bytes + 8, size - 8), 0);
        close(fd);
    }
    until(&s.closed, (int)size - 1);
    /* Broken off at each byte: no request, and the next one is served. */
    int before = s.requests;
    for (size_t cut = 0; cut < size; cut++) {
        int fd = plain_socket(&s);
        put(fd, bytes, cut);
        close(fd);
    }
    int fd = plain_socket(&s);
    put(fd, bytes, size);
    get(fd, back, size);
    close(fd);
    ck_assert_int_eq(s.requests, before + 1);
    server_stop(&s);
}
END_TEST

START_TEST(hostile_bytes)
{
    static const struct {
        const char *what, *hex;
        bool hello; /* a proper handshake before it */
    } cases[] = {
        {"HTTP", "474554202f20485454502f312e310d0a0d0a", false},
        {"another version of SP", "0053500100300000", false},
        {"a PUB socket", "0053500000200000", false},
        {"another REP", "0053500000310000", false},
        {"16 GiB announced", "0000000400000000", true},
        {"2^64-1 announced", "ffffffffffffffff", true},
        {"a byte over the limit", "0000000000800021", true},
        {"no request number", "000000000000000400000001", true},
        {"shorter than a request number", "0000000000000003800000", true},
        {"empty", "0000000000000000", true},
        {"nine routing words",
         "0000000000000024"
         "000000010000000100000001000000010000000100000001"
         "000000010000000180000001",
         true},
    };
    struct server s;
    server_start(&s, "tcp://127.0.0.1:0");
    int64_t rss = os_rss_bytes();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t bytes[128];
        uint8_t back[16];
        size_t size = strlen(cases[i].hex) / 2;
        ck_assert_int_eq(hex_decode(str_of(cases[i].hex), bytes, size), ERR_OK);
        int fd = plain_socket(&s);
        if (cases[i].hello) {
            put(fd, HELLO_REQ, 8);
        }
        put(fd, bytes, size);
        /* Our own handshake comes, then the end of the connection. */
        ck_assert_msg(get_all(fd, back, sizeof(back)) <= 8, "%s", cases[i].what);
        close(fd);
    }
    ck_assert_int_eq(s.requests, 0);
    ck_assert_int_lt(os_rss_bytes() - rss, 64 << 20);
    /* Eight routing words are fine, and come back as they were. */
    uint8_t bytes[41];
    uint8_t back[8 + 41];
    ck_assert_int_eq(hex_decode(STR("0000000000000021"
                                    "0000000100000002000000030000000400000005"
                                    "000000060000000780000008aa"),
                                bytes, 41),
                     ERR_OK);
    int fd = plain_socket(&s);
    put(fd, HELLO_REQ, 8);
    put(fd, bytes, 41);
    get(fd, back, 49);
    ck_assert_int_eq(memcmp(back + 8, bytes, 41), 0);
    close(fd);
    server_stop(&s);
}
END_TEST

/* Announces a large message and sends little of it: memory is taken for what comes, not for what
 * is said. */
START_TEST(announced_and_not_sent)
{
    enum { CONNECTIONS = 100 };
    struct server s;
    uint8_t head[8] = {0, 0, 0, 0, 0, 0x80, 0, 0};
    int fds[CONNECTIONS];
    uint8_t back[64];
    server_start(&s, "tcp://127.0.0.1:0");
    int64_t rss = os_rss_bytes();
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = plain_socket(&s);
        put(fds[i], HELLO_REQ, 8);
        put(fds[i], head, sizeof(head));
        put(fds[i], "0123456789", 10);
        get(fds[i], back, 8);
    }
    int fd = plain_socket(&s);
    uint8_t bytes[64];
    put(fd, HELLO_REQ, 8);
    size_t size = frame(bytes, 0x80000001, "still there");
    put(fd, bytes, size);
    get(fd, back, 8 + size);
    close(fd);
    ck_assert_int_lt(os_rss_bytes() - rss, 64 << 20);
    for (int i = 0; i < CONNECTIONS; i++) {
        close(fds[i]);
    }
    server_stop(&s);
}
END_TEST

/* One unanswered request too many, or answers that are not fetched: the connection goes. */
START_TEST(too_many_unanswered)
{
    struct server s;
    uint8_t bytes[64];
    server_start(&s, "tcp://127.0.0.1:0");
    s.keep = true;
    int fd = plain_socket(&s);
    put(fd, HELLO_REQ, 8);
    for (uint32_t i = 1; i <= NET_INFLIGHT_MAX; i++) {
        put(fd, bytes, frame(bytes, 0x80000000 | i, "x"));
    }
    until(&s.requests, NET_INFLIGHT_MAX);
    ck_assert_int_eq(s.closed, 0);
    put(fd, bytes, frame(bytes, 0x80000099, "x"));
    until(&s.closed, 1);
    ck_assert_int_eq(s.requests, NET_INFLIGHT_MAX);
    close(fd);
    server_stop(&s);
}
END_TEST

/* A request of "size" bytes, its length before it; calloc. */
static char *large(size_t size)
{
    char *bytes = calloc(1, size + 12);
    size += 4;
    bytes[4] = (char)(size >> 24);
    bytes[5] = (char)(size >> 16);
    bytes[6] = (char)(size >> 8);
    bytes[7] = (char)size;
    bytes[8] = (char)0x80;
    return bytes;
}

START_TEST(answers_not_fetched)
{
    enum { SIZE = 1 << 18 }; /* so many of these are no more than a connection may hold */
    struct server s;
    server_start(&s, "tcp://127.0.0.1:0");
    int fd = plain_socket(&s);
    char *bytes = large(SIZE);
    put(fd, HELLO_REQ, 8);
    int sent = 0;
    while (s.closed == 0 && sent < 10 * NET_INFLIGHT_MAX) {
        if (send(fd, bytes, SIZE + 12, MSG_NOSIGNAL) <= 0) {
            break;
        }
        sent++;
    }
    until(&s.closed, 1);
    ck_assert_int_lt(sent, 4 * NET_INFLIGHT_MAX);
    free(bytes);
    close(fd);
    server_stop(&s);
}
END_TEST

/* ---- bytes that connections hold ---- */

/* Sends "n" requests; whenever the peer takes nothing, "stuck" is called. */
static void put_many(int fd, const char *bytes, size_t size, int n, void (*stuck)(void *),
                     void *arg)
{
    for (int i = 0; i < n; i++) {
        for (size_t at = 0; at < size;) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            if (poll(&p, 1, 20) == 0) {
                stuck(arg);
                continue;
            }
            ssize_t sent = send(fd, bytes + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
            ck_assert_int_gt(sent, 0);
            at += (size_t)sent;
        }
    }
}

static void answer_one(void *arg)
{
    struct server *s = arg;
    fake_on_loop(s->loop, do_answer, s);
}

static void never_stuck(void *arg)
{
    (void)arg;
}

/* What a client sends beyond its share waits in its own socket, and comes when there is room. */
START_TEST(more_than_a_share)
{
    enum { SHARE = 4 << 20, SIZE = 1 << 20, MANY = 40 };
    struct server s;
    struct transport *t = transport_nng_sized(SHARE, 64 << 20);
    server_start_on(&s, "tcp://127.0.0.1:0", t);
    s.keep = true;
    int fd = plain_socket(&s);
    char *bytes = large(SIZE);
    put(fd, HELLO_REQ, 8);
    put_many(fd, bytes, SIZE + 12, MANY, answer_one, &s);
    while (s.answered < MANY) {
        fake_on_loop(s.loop, do_answer, &s);
        (void)poll(NULL, 0, 1);
    }
    ck_assert_int_eq(s.requests, MANY);
    ck_assert_int_le(s.held_max, SHARE / SIZE + 1);
    uint8_t back[8 + MANY * 13];
    get(fd, back, sizeof(back));
    ck_assert_int_eq(s.closed, 0);
    free(bytes);
    close(fd);
    server_stop(&s);
    mem_free(t);
}
END_TEST

/* Requests whose bytes are not needed any more do not count: all of them may wait at once. */
START_TEST(slim_requests)
{
    enum { SHARE = 2 << 20, SIZE = 1 << 20, MANY = 40 };
    struct server s;
    struct transport *t = transport_nng_sized(SHARE, 16 << 20);
    server_start_on(&s, "tcp://127.0.0.1:0", t);
    s.keep = s.slim = true;
    int fd = plain_socket(&s);
    char *bytes = large(SIZE);
    put(fd, HELLO_REQ, 8);
    put_many(fd, bytes, SIZE + 12, MANY, never_stuck, NULL);
    until(&s.held_max, MANY);
    ck_assert_int_eq(s.requests, MANY);
    while (s.answered < MANY) {
        fake_on_loop(s.loop, do_answer, &s);
    }
    uint8_t back[8 + MANY * 13];
    get(fd, back, sizeof(back));
    for (int i = 0; i < MANY; i++) { /* each to its request */
        ck_assert_int_eq(memcmp(back + 8 + 13 * i, "\0\0\0\0\0\0\0\5\x80\0\0\0x", 13), 0);
    }
    free(bytes);
    close(fd);
    server_stop(&s);
    mem_free(t);
}
END_TEST

/* Over the listener's bound the connection that holds most is closed, and the others are served. */
START_TEST(more_than_all_together)
{
    enum { ALL = 6 << 20, SIZE = 1 << 20, OTHERS = 2 };
    struct server s;
    struct transport *t = transport_nng_sized(64 << 20, ALL);
    server_start_on(&s, "tcp://127.0.0.1:0", t);
    s.keep = true;
    int others[OTHERS];
    char *bytes = large(SIZE);
    for (int i = 0; i < OTHERS; i++) {
        others[i] = plain_socket(&s);
        put(others[i], HELLO_REQ, 8);
        put(others[i], bytes, SIZE + 12);
        until(&s.requests, i + 1);
    }
    int greedy = plain_socket(&s);
    char *most = large(MESSAGE_SIZE_MAX - 4);
    put(greedy, HELLO_REQ, 8);
    uint8_t back[16];
    size_t at = 0;
    while (at < MESSAGE_SIZE_MAX) { /* it never comes to a whole message */
        ssize_t sent = send(greedy, most + at, MESSAGE_SIZE_MAX - at, MSG_NOSIGNAL);
        if (sent <= 0) {
            break;
        }
        at += (size_t)sent;
    }
    (void)get_all(greedy, back, sizeof(back)); /* until it is closed */
    until(&s.closed, 1);
    ck_assert_int_eq(s.closed, 1);
    for (int i = 0; i < OTHERS; i++) {
        fake_on_loop(s.loop, do_answer, &s);
        get(others[i], back, 8);
        get(others[i], back, 13);
        close(others[i]);
    }
    free(bytes);
    free(most);
    close(greedy);
    server_stop(&s);
    mem_free(t);
}
END_TEST

/* ---- nng's own sockets ---- */

START_TEST(nng_req_socket)
{
    struct server s;
    nng_socket req;
    char address[128] = "tcp://127.0.0.1:0";
    if (_i == 1) {
        snprintf(address, sizeof(address), "ipc:///tmp/carillon-test-%d.sock", (int)getpid());
    }
    server_start(&s, address);
    snprintf(address, sizeof(address), "%.*s", STR_ARG(s.listener->address));
    ck_assert_int_eq(nng_req0_open(&req), 0);
    ck_assert_int_eq(nng_dial(req, address, NULL, 0), 0);
    for (int i = 0; i < 100; i++) {
        char body[70000];
        char *back = NULL;
        size_t size = 1 + (size_t)(i * 700);
        size_t got = 0;
        memset(body, 'a' + i % 26, sizeof(body));
        ck_assert_int_eq(nng_send(req, body, size, 0), 0);
        ck_assert_int_eq(nng_recv(req, &back, &got, NNG_FLAG_ALLOC), 0);
        ck_assert_uint_eq(got, size);
        ck_assert_int_eq(memcmp(body, back, size), 0);
        nng_free(back, got);
    }
    nng_close(req);
    until(&s.closed, 1);
    server_stop(&s);
}
END_TEST

struct peer {
    struct net_dial_handler handler;
    struct loop *loop;
    struct net_dialer *dialer;
    const char *address;
    _Atomic int ups, downs, replies, refused;
    bool same;
};

static void on_up(struct net_dial_handler *h)
{
    struct peer *p = CONTAINER_OF(h, struct peer, handler);
    p->ups++;
    ck_assert_int_eq(p->dialer->ops->send(p->dialer, 7, STR("from the dialer")), ERR_OK);
}

static void on_down(struct net_dial_handler *h)
{
    CONTAINER_OF(h, struct peer, handler)->downs++;
}

static void on_refused(struct net_dial_handler *h, enum err e)
{
    ck_assert_int_ne(e, ERR_OK);
    CONTAINER_OF(h, struct peer, handler)->refused++;
}

static void on_reply(struct net_dial_handler *h, uint64_t id, struct str body)
{
    struct peer *p = CONTAINER_OF(h, struct peer, handler);
    p->same = id == 7 && str_eqc(body, "from the dialer");
    p->replies++;
}

static void do_dial(void *arg)
{
    struct peer *p = arg;
    struct transport *t = transport_nng();
    p->handler = (struct net_dial_handler){.up = on_up,
                                           .down = on_down,
                                           .reply = on_reply,
                                           .refused = on_refused};
    ck_assert_int_eq(t->ops->dial(t, p->loop, str_of(p->address), &p->handler, &p->dialer, NULL),
                     ERR_OK);
}

static void do_undial(void *arg)
{
    struct peer *p = arg;
    p->dialer->ops->close(p->dialer);
}

START_TEST(nng_rep_socket)
{
    nng_socket rep;
    nng_listener listener;
    int port = 0;
    char address[64];
    char *got = NULL;
    size_t size = 0;
    ck_assert_int_eq(nng_rep0_open(&rep), 0);
    ck_assert_int_eq(nng_listen(rep, "tcp://127.0.0.1:0", &listener, 0), 0);
    ck_assert_int_eq(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port), 0);
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port);
    struct peer p = {.loop = loop_uv_new(os_clock(), "peer"), .address = address};
    fake_on_loop(p.loop, do_dial, &p);
    ck_assert_int_eq(nng_recv(rep, &got, &size, NNG_FLAG_ALLOC), 0);
    ck_assert_int_eq(nng_send(rep, got, size, NNG_FLAG_ALLOC), 0);
    until(&p.replies, 1);
    ck_assert(p.same);
    fake_on_loop(p.loop, do_undial, &p);
    loop_free(p.loop);
    nng_close(rep);
}
END_TEST

START_TEST(refused_is_told)
{
    struct peer p = {.loop = loop_uv_new(os_clock(), "peer"), .address = "tcp://127.0.0.1:9"};
    fake_on_loop(p.loop, do_dial, &p);
    until(&p.refused, 3);
    ck_assert_int_eq(p.ups, 0);
    fake_on_loop(p.loop, do_undial, &p);
    loop_free(p.loop);
}
END_TEST

/* The case that hangs nng's own sockets: connections cut, from both ends, while messages come in. */
START_TEST(cut_in_mid_message)
{
    enum { ROUNDS = 300 };
    struct server s;
    char address[128];
    server_start(&s, "tcp://127.0.0.1:0");
    s.disconnect = true;
    snprintf(address, sizeof(address), "%.*s", STR_ARG(s.listener->address));
    int before = descriptors();
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t bytes[64];
        int fd = plain_socket(&s);
        put(fd, HELLO_REQ, 8);
        size_t size = frame(bytes, 0x80000001, "one");
        for (int k = 0; k < 5; k++) {
            (void)!send(fd, bytes, size, MSG_NOSIGNAL);
        }
        (void)!send(fd, bytes, size / 2, MSG_NOSIGNAL);
        if (i % 3 == 0) {
            close(fd);
        } else {
            (void)get_all(fd, bytes, sizeof(bytes));
            close(fd);
        }
    }
    /* Who closed at once may be gone before its handshake was read, and then was no connection. Each
     * of the others had one request answered by its end. In the end no descriptor is left. */
    until(&s.closed, ROUNDS - ROUNDS / 3);
    until_descriptors(before);
    ck_assert_int_le(s.closed, ROUNDS);
    struct peer p = {.loop = loop_uv_new(os_clock(), "peer"), .address = address};
    fake_on_loop(p.loop, do_dial, &p);
    until(&p.downs, 5);
    fake_on_loop(p.loop, do_undial, &p);
    loop_free(p.loop);
    server_stop(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transport_nng");
    TCase *t = tcase_create("transport_nng");
    tcase_set_timeout(t, 100);
    tcase_add_test(t, every_cut);
    tcase_add_test(t, hostile_bytes);
    tcase_add_test(t, announced_and_not_sent);
    tcase_add_test(t, too_many_unanswered);
    tcase_add_test(t, answers_not_fetched);
    tcase_add_test(t, more_than_a_share);
    tcase_add_test(t, slim_requests);
    tcase_add_test(t, more_than_all_together);
    tcase_add_loop_test(t, nng_req_socket, 0, 2);
    tcase_add_test(t, nng_rep_socket);
    tcase_add_test(t, refused_is_told);
    tcase_add_test(t, cut_in_mid_message);
    suite_add_tcase(suite, t);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
