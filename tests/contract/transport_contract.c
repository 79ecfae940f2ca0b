/* The contract of net/transport.h, run against each implementation ("worlds").
 *
 * A world brings a transport, the loops of a server and of a client, a way to run a function on a
 * loop and a way to let things happen until a condition holds. The real one waits on a condition
 * variable that every callback signals; a simulated one would step its virtual time instead. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"
#include "net/transport.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/thread.h"

#include <check.h>

struct world {
    struct transport *transport;
    struct loop *server_loop, *client_loop;
    struct str address; /* to listen on: any free one */
    void (*call)(struct world *w, struct loop *loop, void (*fn)(void *arg), void *arg);
    /* False when the condition does not come true in a time that is long enough for everyone. */
    bool (*until)(struct world *w, bool (*cond)(void *arg), void *arg);
    void (*changed)(struct world *w); /* called by every callback */
    void (*fini)(struct world *w);
};

/* ---- the real world ---- */

struct real_world {
    struct world base;
    struct mutex mutex;
    struct cond cond;
};

struct real_call {
    struct loop_task task;
    struct real_world *w;
    void (*fn)(void *arg);
    void *arg;
    bool done;
};

static void real_call_run(struct loop_task *t)
{
    struct real_call *c = CONTAINER_OF(t, struct real_call, task);
    c->fn(c->arg);
    struct real_world *w = c->w;
    mutex_lock(&w->mutex);
    c->done = true;
    cond_broadcast(&w->cond);
    mutex_unlock(&w->mutex);
}

static void real_call(struct world *base, struct loop *loop, void (*fn)(void *), void *arg)
{
    struct real_world *w = CONTAINER_OF(base, struct real_world, base);
    struct real_call c = {.task = {.run = real_call_run}, .w = w, .fn = fn, .arg = arg};
    loop_post(loop, &c.task);
    mutex_lock(&w->mutex);
    while (!c.done) {
        cond_wait(&w->cond, &w->mutex);
    }
    mutex_unlock(&w->mutex);
}

static bool real_until(struct world *base, bool (*cond)(void *), void *arg)
{
    struct real_world *w = CONTAINER_OF(base, struct real_world, base);
    bool in_time = true;
    mutex_lock(&w->mutex);
    while (!cond(arg) && in_time) {
        in_time = cond_wait_us(&w->cond, &w->mutex, 20 * US_PER_S);
    }
    bool holds = cond(arg);
    mutex_unlock(&w->mutex);
    return holds;
}

static void real_changed(struct world *base)
{
    struct real_world *w = CONTAINER_OF(base, struct real_world, base);
    mutex_lock(&w->mutex);
    cond_broadcast(&w->cond);
    mutex_unlock(&w->mutex);
}

static void real_fini(struct world *base)
{
    struct real_world *w = CONTAINER_OF(base, struct real_world, base);
    loop_free(base->server_loop);
    loop_free(base->client_loop);
    cond_fini(&w->cond);
    mutex_fini(&w->mutex);
    mem_free(w);
}

static struct world *real_world(void)
{
    struct real_world *w = MEM_NEW(struct real_world);
    mutex_init(&w->mutex);
    cond_init(&w->cond);
    w->base = (struct world){
        .transport = transport_nng(),
        .server_loop = loop_uv_new(os_clock(), "server"),
        .client_loop = loop_uv_new(os_clock(), "client"),
        .address = STR("tcp://127.0.0.1:0"),
        .call = real_call,
        .until = real_until,
        .changed = real_changed,
        .fini = real_fini,
    };
    return &w->base;
}

static struct world *(*const worlds[])(void) = {real_world};

/* ---- a server and a client that count ---- */

enum serve { SERVE_ECHO, SERVE_HOLD, SERVE_DROP, SERVE_CLOSE, SERVE_DISCONNECT };

enum { HELD_MAX = 256 };

struct server {
    struct net_handler handler;
    struct world *w;
    struct net_listener *listener;
    struct str address; /* in: where to listen */
    enum serve serve;
    enum err err;
    struct net_request *held[HELD_MAX];
    _Atomic int held_len, requests, closed;
    _Atomic uint64_t last_conn, closed_conn;
};

struct client {
    struct net_dial_handler handler;
    struct world *w;
    struct net_dialer *dialer;
    struct str address;
    enum err err;
    struct str body; /* for send */
    uint64_t next_id;
    int to_send;
    bool close_on_reply;
    _Atomic int ups, downs, replies, wrong;
    uint64_t order[2048];
};

static void on_request(struct net_handler *h, struct net_request *r)
{
    struct server *s = CONTAINER_OF(h, struct server, handler);
    ck_assert(loop_owned(s->w->server_loop));
    s->last_conn = r->conn;
    s->requests++;
    switch (s->serve) {
    case SERVE_ECHO:
        s->listener->ops->reply(s->listener, r, r->body);
        break;
    case SERVE_HOLD:
        ck_assert_int_lt(s->held_len, HELD_MAX);
        s->held[s->held_len] = r;
        s->held_len++;
        break;
    case SERVE_DROP:
        s->listener->ops->drop(s->listener, r);
        break;
    case SERVE_CLOSE: {
        struct net_listener *l = s->listener;
        s->listener = NULL;
        l->ops->close(l);
        l->ops->drop(l, r);
        break;
    }
    case SERVE_DISCONNECT:
        s->listener->ops->disconnect(s->listener, r->conn);
        s->listener->ops->reply(s->listener, r, STR("too late"));
        break;
    }
    s->w->changed(s->w);
}

static void on_closed(struct net_handler *h, uint64_t conn)
{
    struct server *s = CONTAINER_OF(h, struct server, handler);
    ck_assert(loop_owned(s->w->server_loop));
    s->closed_conn = conn;
    s->closed++;
    s->w->changed(s->w);
}

static void on_up(struct net_dial_handler *h)
{
    struct client *c = CONTAINER_OF(h, struct client, handler);
    ck_assert(loop_owned(c->w->client_loop));
    c->ups++;
    c->w->changed(c->w);
}

static void on_down(struct net_dial_handler *h)
{
    struct client *c = CONTAINER_OF(h, struct client, handler);
    c->downs++;
    c->w->changed(c->w);
}

static void send_more(void *arg)
{
    struct client *c = arg;
    while (c->to_send > 0) {
        char number[32];
        int size = snprintf(number, sizeof(number), "%" PRIu64, c->next_id);
        struct str body = c->body.p != NULL ? c->body : (struct str){number, (size_t)size};
        c->err = c->dialer->ops->send(c->dialer, c->next_id, body);
        if (c->err != ERR_OK) {
            return;
        }
        c->next_id++;
        c->to_send--;
    }
}

static void on_reply(struct net_dial_handler *h, uint64_t id, struct str body)
{
    struct client *c = CONTAINER_OF(h, struct client, handler);
    ck_assert(loop_owned(c->w->client_loop));
    uint64_t number = 0;
    if (c->body.p != NULL) {
        c->wrong += str_eq(c->body, body) ? 0 : 1;
    } else {
        c->wrong += str_to_u64(body, &number) == ERR_OK && number == id ? 0 : 1;
    }
    c->order[c->replies % (int)ARRAY_LEN(c->order)] = id;
    c->replies++;
    if (c->close_on_reply) {
        c->dialer->ops->close(c->dialer);
        c->dialer = NULL;
    } else {
        send_more(c);
    }
    c->w->changed(c->w);
}

static void do_listen(void *arg)
{
    struct server *s = arg;
    struct err_detail d = {0};
    s->handler = (struct net_handler){.request = on_request, .closed = on_closed};
    s->err = s->w->transport->ops->listen(s->w->transport, s->w->server_loop, s->address,
                                          &s->handler, &s->listener, &d);
    ck_assert(s->err == ERR_OK || d.text[0] != 0);
}

static void do_unlisten(void *arg)
{
    struct server *s = arg;
    if (s->listener != NULL) {
        s->listener->ops->close(s->listener);
        s->listener = NULL;
    }
}

static void do_dial(void *arg)
{
    struct client *c = arg;
    struct err_detail d = {0};
    c->handler = (struct net_dial_handler){.up = on_up, .down = on_down, .reply = on_reply};
    c->err = c->w->transport->ops->dial(c->w->transport, c->w->client_loop, c->address, &c->handler,
                                        &c->dialer, &d);
}

static void do_undial(void *arg)
{
    struct client *c = arg;
    if (c->dialer != NULL) {
        c->dialer->ops->close(c->dialer);
        c->dialer = NULL;
    }
}

static bool is_up(void *arg)
{
    struct client *c = arg;
    return c->ups > c->downs;
}

static void server_start(struct server *s, struct world *w, enum serve serve)
{
    *s = (struct server){.w = w, .address = w->address, .serve = serve};
    w->call(w, w->server_loop, do_listen, s);
    ck_assert_int_eq(s->err, ERR_OK);
}

static void client_start(struct client *c, struct world *w, struct str address)
{
    *c = (struct client){.w = w, .address = address, .next_id = 1};
    w->call(w, w->client_loop, do_dial, c);
    ck_assert_int_eq(c->err, ERR_OK);
}

static void client_up(struct client *c, struct world *w, struct str address)
{
    client_start(c, w, address);
    ck_assert(w->until(w, is_up, c));
}

static void client_send(struct client *c, int n)
{
    c->to_send = n;
    c->w->call(c->w, c->w->client_loop, send_more, c);
}

struct count {
    _Atomic int *value;
    int wanted;
};
static bool reached(void *arg)
{
    struct count *c = arg;
    return *c->value >= c->wanted;
}
static void wait_count(struct world *w, _Atomic int *value, int wanted)
{
    struct count c = {value, wanted};
    ck_assert_msg(w->until(w, reached, &c), "%d of %d", *value, wanted);
}

static void end(struct world *w, struct server *s, struct client *c)
{
    if (c != NULL) {
        w->call(w, w->client_loop, do_undial, c);
        ck_assert_int_eq(c->wrong, 0);
    }
    if (s != NULL) {
        w->call(w, w->server_loop, do_unlisten, s);
    }
    w->fini(w);
}

/* ---- the contract ---- */

START_TEST(addresses)
{
    struct world *w = worlds[_i]();
    struct server s, second = {.w = w};
    server_start(&s, w, SERVE_ECHO);
    ck_assert(!str_ends(s.listener->address, STR(":0")));
    second.address = s.listener->address;
    w->call(w, w->server_loop, do_listen, &second);
    ck_assert_int_eq(err_class(second.err), ERRC_RETRY);
    static const struct str bad[] = {{"", 0},
                                     {"tcp:/", 5},
                                     {"http://127.0.0.1:1", 18},
                                     {"tcp://\0:1", 9}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct server refused = {.w = w, .address = bad[i]};
        w->call(w, w->server_loop, do_listen, &refused);
        ck_assert_int_eq(refused.err, ERR_INVALID);
        struct client c = {.w = w, .address = bad[i]};
        w->call(w, w->client_loop, do_dial, &c);
        ck_assert_int_eq(c.err, ERR_INVALID);
    }
    end(w, &s, NULL);
}
END_TEST

START_TEST(many_requests)
{
    struct world *w = worlds[_i]();
    struct server s;
    struct client c;
    server_start(&s, w, SERVE_ECHO);
    client_up(&c, w, s.listener->address);
    client_send(&c, 2000);
    wait_count(w, &c.replies, 2000);
    ck_assert_int_eq(s.requests, 2000);
    end(w, &s, &c);
}
END_TEST

static void answer_backwards(void *arg)
{
    struct server *s = arg;
    while (s->held_len > 0) {
        s->held_len--;
        struct net_request *r = s->held[s->held_len];
        s->listener->ops->reply(s->listener, r, r->body);
    }
}

START_TEST(answers_in_any_order_and_the_bound)
{
    struct world *w = worlds[_i]();
    struct server s;
    struct client c;
    server_start(&s, w, SERVE_HOLD);
    client_up(&c, w, s.listener->address);
    client_send(&c, NET_INFLIGHT_MAX + 1);
    ck_assert_int_eq(c.err, ERR_LIMIT);
    ck_assert_int_eq(c.to_send, 1);
    wait_count(w, &s.requests, NET_INFLIGHT_MAX);
    c.to_send = 0;
    w->call(w, w->server_loop, answer_backwards, &s);
    wait_count(w, &c.replies, NET_INFLIGHT_MAX);
    ck_assert_uint_eq(c.order[0], NET_INFLIGHT_MAX);
    ck_assert_uint_eq(c.order[NET_INFLIGHT_MAX - 1], 1);
    ck_assert_int_eq(s.closed, 0);
    end(w, &s, &c);
}
END_TEST

/* Each answers with its number: the client took one as the body of request n. */
static void slim_and_answer(void *arg)
{
    struct server *s = arg;
    for (int i = 0; i < s->held_len; i++) {
        char number[32];
        int size = snprintf(number, sizeof(number), "%.*s", STR_ARG(s->held[i]->body));
        struct net_request *r = s->listener->ops->slim(s->listener, s->held[i]);
        ck_assert_uint_eq(r->body.size, 0);
        ck_assert_uint_eq(r->conn, s->last_conn);
        if (i == 1) {
            s->listener->ops->drop(s->listener, r);
        } else {
            s->listener->ops->reply(s->listener, r, (struct str){number, (size_t)size});
        }
    }
    s->held_len = 0;
}

START_TEST(answers_without_the_request)
{
    struct world *w = worlds[_i]();
    struct server s;
    struct client c;
    server_start(&s, w, SERVE_HOLD);
    client_up(&c, w, s.listener->address);
    client_send(&c, 5);
    wait_count(w, &s.requests, 5);
    w->call(w, w->server_loop, slim_and_answer, &s);
    wait_count(w, &c.replies, 4);
    ck_assert_int_eq(c.wrong, 0);
    end(w, &s, &c);
}
END_TEST

START_TEST(bodies_of_any_size)
{
    static const size_t sizes[] = {0, 1, 63, 65536, MESSAGE_SIZE_MAX - 1, MESSAGE_SIZE_MAX};
    struct world *w = worlds[_i]();
    struct server s;
    struct client c;
    server_start(&s, w, SERVE_ECHO);
    client_up(&c, w, s.listener->address);
    char *bytes = mem_alloc(MESSAGE_SIZE_MAX + 1);
    for (size_t i = 0; i <= MESSAGE_SIZE_MAX; i++) {
        bytes[i] = (char)(i * 7 + i / 4099);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        c.body = (struct str){bytes, sizes[i]};
        client_send(&c, 1);
        wait_count(w, &c.replies, (int)i + 1);
    }
    c.body = (struct str){bytes, MESSAGE_SIZE_MAX + 1};
    client_send(&c, 1);
    ck_assert_int_eq(c.err, ERR_TOO_LARGE);
    end(w, &s, &c);
    mem_free(bytes);
}
END_TEST

START_TEST(dropped_requests_free_their_place)
{
    struct world *w = worlds[_i]();
    struct server s;
    struct client c;
    server_start(&s, w, SERVE_DROP);
    client_up(&c, w, s.listener->address);
    client_send(&c, NET_INFLIGHT_MAX);
    wait_count(w, &s.requests, NET_INFLIGHT_MAX);
    ck_assert_int_eq(c.replies, 0);
    ck_assert_int_eq(s.closed, 0);
    end(w, &s, &c);
}
END_TEST

START_TEST(client_leaves)
{
    struct world *w = worlds[_i]();
    struct server s;
    struct client c;
    server_start(&s, w, SERVE_HOLD);
    client_up(&c, w, s.listener->address);
    client_send(&c, 3);
    wait_count(w, &s.requests, 3);
    w->call(w, w->client_loop, do_undial, &c);
    wait_count(w, &s.closed, 1);
    ck_assert_uint_eq(s.closed_conn, s.last_conn);
    w->call(w, w->server_loop, answer_backwards, &s); /* into the void */
    struct client other;
    client_up(&other, w, s.listener->address);
    client_send(&other, 1);
    wait_count(w, &s.requests, 4);
    ck_assert_uint_ne(s.last_conn, s.closed_conn);
    w->call(w, w->server_loop, answer_backwards, &s);
    wait_count(w, &other.replies, 1);
    ck_assert_int_eq(c.downs, 0);
    end(w, &s, &other);
}
END_TEST

START_TEST(server_disconnects_and_client_returns)
{
    struct world *w = worlds[_i]();
    struct server s;
    struct client c;
    server_start(&s, w, SERVE_DISCONNECT);
    client_up(&c, w, s.listener->address);
    for (int round = 1; round <= 3; round++) {
        client_send(&c, 1);
        wait_count(w, &c.downs, round);
        wait_count(w, &s.closed, round);
        wait_count(w, &c.ups, round + 1);
    }
    ck_assert_int_eq(c.replies, 0);
    end(w, &s, &c);
}
END_TEST

START_TEST(listener_goes_and_comes)
{
    struct world *w = worlds[_i]();
    struct server s, again;
    struct client c;
    server_start(&s, w, SERVE_HOLD);
    char kept[256];
    snprintf(kept, sizeof(kept), "%.*s", STR_ARG(s.listener->address));
    client_up(&c, w, str_of(kept));
    client_send(&c, 2);
    wait_count(w, &s.requests, 2);
    struct net_listener *closed = s.listener;
    w->call(w, w->server_loop, do_unlisten, &s);
    wait_count(w, &c.downs, 1);
    client_send(&c, 1);
    ck_assert_int_eq(c.err, ERR_UNAVAILABLE);
    c.to_send = 0;
    /* What is held outlives the listener. */
    s.listener = closed;
    w->call(w, w->server_loop, answer_backwards, &s);
    s.listener = NULL;
    again = (struct server){.w = w, .address = str_of(kept), .serve = SERVE_ECHO};
    w->call(w, w->server_loop, do_listen, &again);
    ck_assert_int_eq(again.err, ERR_OK);
    wait_count(w, &c.ups, 2);
    client_send(&c, 1);
    wait_count(w, &c.replies, 1);
    ck_assert_uint_eq(c.order[0], 3);
    end(w, &again, &c);
}
END_TEST

START_TEST(dial_before_listen)
{
    struct world *w = worlds[_i]();
    struct server s, probe;
    struct client c;
    char kept[256];
    server_start(&probe, w, SERVE_ECHO); /* finds a free address */
    snprintf(kept, sizeof(kept), "%.*s", STR_ARG(probe.listener->address));
    w->call(w, w->server_loop, do_unlisten, &probe);
    client_start(&c, w, str_of(kept));
    client_send(&c, 1);
    ck_assert_int_eq(c.err, ERR_UNAVAILABLE);
    s = (struct server){.w = w, .address = str_of(kept), .serve = SERVE_ECHO};
    w->call(w, w->server_loop, do_listen, &s);
    ck_assert(w->until(w, is_up, &c));
    client_send(&c, 1);
    wait_count(w, &c.replies, 1);
    end(w, &s, &c);
}
END_TEST

START_TEST(closing_within_callbacks)
{
    struct world *w = worlds[_i]();
    struct server s;
    struct client c;
    server_start(&s, w, SERVE_ECHO);
    client_up(&c, w, s.listener->address);
    c.close_on_reply = true;
    client_send(&c, 20);
    wait_count(w, &c.replies, 1);
    wait_count(w, &s.closed, 1);
    ck_assert_int_eq(c.replies, 1);
    s.serve = SERVE_CLOSE;
    struct client other;
    client_up(&other, w, s.listener->address);
    client_send(&other, 20);
    wait_count(w, &other.downs, 1);
    ck_assert_int_eq(other.replies, 0);
    end(w, &s, &other);
}
END_TEST

START_TEST(many_clients)
{
    enum { CLIENTS = 20, EACH = 100 };
    struct world *w = worlds[_i]();
    struct server s;
    struct client *c = MEM_ARRAY(struct client, CLIENTS);
    server_start(&s, w, SERVE_ECHO);
    for (int i = 0; i < CLIENTS; i++) {
        client_up(&c[i], w, s.listener->address);
    }
    for (int i = 0; i < CLIENTS; i++) {
        client_send(&c[i], EACH);
    }
    for (int i = 0; i < CLIENTS; i++) {
        wait_count(w, &c[i].replies, EACH);
        ck_assert_int_eq(c[i].wrong, 0);
        w->call(w, w->client_loop, do_undial, &c[i]);
    }
    wait_count(w, &s.closed, CLIENTS);
    ck_assert_int_eq(s.requests, CLIENTS * EACH);
    end(w, &s, NULL);
    mem_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transport");
    TCase *t = tcase_create("contract");
    int n = (int)ARRAY_LEN(worlds);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, addresses, 0, n);
    tcase_add_loop_test(t, many_requests, 0, n);
    tcase_add_loop_test(t, answers_in_any_order_and_the_bound, 0, n);
    tcase_add_loop_test(t, answers_without_the_request, 0, n);
    tcase_add_loop_test(t, bodies_of_any_size, 0, n);
    tcase_add_loop_test(t, dropped_requests_free_their_place, 0, n);
    tcase_add_loop_test(t, client_leaves, 0, n);
    tcase_add_loop_test(t, server_disconnects_and_client_returns, 0, n);
    tcase_add_loop_test(t, listener_goes_and_comes, 0, n);
    tcase_add_loop_test(t, dial_before_listen, 0, n);
    tcase_add_loop_test(t, closing_within_callbacks, 0, n);
    tcase_add_loop_test(t, many_clients, 0, n);
    suite_add_tcase(suite, t);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
