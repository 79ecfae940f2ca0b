/* The public client: blocking and asynchronous calls of any thread, carried by one session on a
 * loop of its own. A call is a request and the place for its answer; callers link it into the
 * client's list and the loop takes the whole list at once, so that calls of many threads share
 * frames. The answer is turned into the caller's structure on the loop. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"
#include "net/client_internal.h"

#include "base/os.h"

#include <stdatomic.h>

#define CARILLON_VERSION "0.1.0"

/* The public codes are the protocol's. */
#define SAME(name) static_assert((int)CARILLON_##name == (int)ERR_##name, "codes differ")
SAME(OK);
SAME(INVALID);
SAME(MALFORMED);
SAME(UNSUPPORTED);
SAME(DEFINITION);
SAME(PROTOCOL);
SAME(TOO_LARGE);
SAME(NOT_FOUND);
SAME(NO_WORKFLOW);
SAME(NO_EXECUTION);
SAME(DENIED);
SAME(UNAUTHENTICATED);
SAME(CONFLICT);
SAME(EXISTS);
SAME(STALE);
SAME(STOPPED);
SAME(LOST_WRITE);
SAME(RETRY);
SAME(STANDBY);
SAME(GOING_AWAY);
SAME(UNAVAILABLE);
SAME(UNKNOWN);
SAME(TIMEOUT);
SAME(LIMIT);
SAME(FATAL);

enum {
    UUID_TEXT_SIZE = EXEC_ID_TEXT + 1,
};
static const int64_t TIMEOUT_DEFAULT_US = 30 * (int64_t)US_PER_S;

/* ---- texts and errors ---- */

const char *carillon_version(void)
{
    return CARILLON_VERSION;
}

const char *carillon_code_name(int code)
{
    return err_name((enum err)code);
}

const char *carillon_code_text(int code)
{
    return err_text((enum err)code);
}

int client_error(carillon_error *error, int code, const char *fmt, ...)
{
    if (error != NULL) {
        va_list args;
        va_start(args, fmt);
        error->code = code;
        (void)vsnprintf(error->text, sizeof(error->text), fmt, args);
        va_end(args);
    }
    return code;
}

int client_error_of(carillon_error *error, enum err e, const struct err_detail *d)
{
    return client_error(error, (int)e, "%s", d->text[0] != '\0' ? d->text : err_text(e));
}

int64_t client_until_us(int64_t timeout_ms)
{
    static const int64_t longest_ms = INT64_C(1000) * 365 * 24 * 3600 * 1000;
    return clock_mono(os_clock()).us + MIN(timeout_ms, longest_ms) * US_PER_MS;
}

char *client_dup(struct str s)
{
    char *copy = s.p != NULL ? malloc(s.size + 1) : NULL;
    if (copy != NULL) {
        memcpy(copy, s.p, s.size);
        copy[s.size] = '\0';
    }
    return copy;
}

char *client_strdup(const char *s)
{
    return client_dup(str_of(s));
}

static void copy_text(char *to, size_t room, struct str s)
{
    size_t size = MIN(s.size, room - 1);
    if (size > 0) {
        memcpy(to, s.p, size);
    }
    to[size] = '\0';
}

void carillon_string_free(char *text)
{
    free(text);
}

/* ---- calls ---- */

static void call_finish(struct call *c)
{
    if (c->waiter == NULL) {
        c->finished(c);
    } else if (atomic_fetch_sub(&c->waiter->left, 1) == 1) {
        latch_set(&c->waiter->latch, 1);
    }
}

static void call_fail(struct call *c, enum err e, const struct msg_error *error)
{
    c->code = (int)e;
    c->error.code = (int)e;
    if (error != NULL && error->text.size > 0) {
        copy_text(c->error.text, sizeof(c->error.text), error->text);
    } else {
        copy_text(c->error.text, sizeof(c->error.text), str_of(err_text(e)));
    }
    if (error != NULL && c->keep_error != NULL) {
        c->keep_error(c, error);
    }
}

static void call_done(struct session_request *r, enum err e, const struct msg *reply,
                      const struct msg_error *error)
{
    struct call *c = CONTAINER_OF(r, struct call, request);
    if (e != ERR_OK) {
        call_fail(c, e, error);
    } else {
        c->code = c->keep != NULL ? c->keep(c, reply) : CARILLON_OK;
        if (c->code != CARILLON_OK) {
            (void)client_error(&c->error, c->code, "%s", err_text((enum err)c->code));
        }
    }
    call_finish(c);
}

/* On the loop: everything that callers have linked since. */
static void intake_run(struct loop_task *t)
{
    struct carillon_client *client = CONTAINER_OF(t, struct carillon_client, intake);
    mutex_lock(&client->mutex);
    struct call *c = client->first;
    client->first = NULL;
    client->last = &client->first;
    client->posted = false;
    mutex_unlock(&client->mutex);
    while (c != NULL) {
        struct call *next = c->next;
        if (client->closing) {
            call_fail(c, ERR_UNAVAILABLE, NULL);
            call_finish(c);
        } else {
            if (c->timeout_us > 0) {
                c->request.deadline.us = loop_now(client->loop).us + c->timeout_us;
            }
            session_send(client->session, &c->request);
        }
        c = next;
    }
}

/* Gives a chain of calls (last->next == NULL) to the loop. */
static void calls_submit(struct carillon_client *client, struct call *first, struct call *last)
{
    mutex_lock(&client->mutex);
    *client->last = first;
    client->last = &last->next;
    bool post = !client->posted;
    client->posted = true;
    mutex_unlock(&client->mutex);
    if (post) {
        loop_post(client->loop, &client->intake);
    }
}

static void waiter_init(struct waiter *w, size_t calls)
{
    latch_init(&w->latch);
    atomic_init(&w->left, calls);
}

static void waiter_wait(struct waiter *w)
{
    while (latch_wait(&w->latch, 3600 * (int64_t)US_PER_S) == 0) {
    }
    latch_fini(&w->latch);
}

void client_call_init(struct call *c, struct carillon_client *client, enum msg_type type)
{
    memset(c, 0, sizeof(*c));
    c->request.msg.type = type;
    c->request.done = call_done;
    c->timeout_us = client->timeout_us;
}

int client_call_wait(struct carillon_client *client, struct call *c, carillon_error *error)
{
    struct waiter w;
    waiter_init(&w, 1);
    c->waiter = &w;
    calls_submit(client, c, c);
    waiter_wait(&w);
    if (error != NULL) {
        *error = c->error;
    }
    return c->code;
}

/* ---- the client ---- */

struct on_loop {
    struct loop_task task;
    struct latch latch;
    void (*fn)(void *arg);
    void *arg;
};

static void on_loop_run(struct loop_task *t)
{
    struct on_loop *o = CONTAINER_OF(t, struct on_loop, task);
    o->fn(o->arg);
    latch_set(&o->latch, 1);
}

void client_on_loop(struct carillon_client *c, void (*fn)(void *), void *arg)
{
    struct on_loop o = {.task = {.run = on_loop_run, .name = "client"}, .fn = fn, .arg = arg};
    latch_init(&o.latch);
    loop_post(c->loop, &o.task);
    while (latch_wait(&o.latch, 3600 * (int64_t)US_PER_S) == 0) {
    }
    latch_fini(&o.latch);
}

static void set_ready(struct carillon_client *c, bool ready)
{
    mutex_lock(&c->mutex);
    c->ready = ready;
    cond_broadcast(&c->changed);
    mutex_unlock(&c->mutex);
}

static void client_up(struct session_handler *h, const struct msg_hello_ok *hello)
{
    (void)hello;
    set_ready(CONTAINER_OF(h, struct carillon_client, handler), true);
}

static void client_down(struct session_handler *h)
{
    set_ready(CONTAINER_OF(h, struct carillon_client, handler), false);
}

struct opening {
    struct carillon_client *client;
    enum err err;
    struct err_detail detail;
};

static void client_open(void *arg)
{
    struct opening *o = arg;
    struct carillon_client *c = o->client;
    struct session_config config = {
        .transport = transport_nng(),
        .loop = c->loop,
        .addresses = str_of(c->addresses),
        .name = str_of(c->name),
        .tenant = str_of(c->tenant),
        .instance = os_random_u64(),
        .seed = os_random_u64(),
        .handler = &c->handler,
    };
    o->err = session_new(&config, &c->session, &o->detail);
}

static void client_shut(void *arg)
{
    struct carillon_client *c = arg;
    c->closing = true;
    session_free(c->session);
    c->session = NULL;
}

static void client_release(struct carillon_client *c)
{
    loop_free(c->loop);
    cond_fini(&c->changed);
    mutex_fini(&c->mutex);
    free(c->addresses);
    free(c->name);
    free(c->tenant);
    free(c);
}

static char *default_name(void)
{
    char host[128] = "unknown";
    char name[160];
    (void)gethostname(host, sizeof(host) - 1);
    (void)snprintf(name, sizeof(name), "%s:%d", host, os_pid());
    return client_strdup(name);
}

int carillon_client_new(const carillon_options *options, carillon_client **out,
                        carillon_error *error)
{
    if (options == NULL || options->addresses == NULL || out == NULL || options->timeout_ms < 0) {
        return client_error(error, CARILLON_INVALID, "options: addresses are needed");
    }
    struct carillon_client *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return client_error(error, CARILLON_LIMIT, "out of memory");
    }
    mutex_init(&c->mutex);
    cond_init(&c->changed);
    mutex_lock(&c->mutex);
    c->last = &c->first;
    mutex_unlock(&c->mutex);
    c->handler = (struct session_handler){.up = client_up, .down = client_down};
    c->intake = (struct loop_task){.run = intake_run, .name = "client"};
    c->timeout_us = options->timeout_ms > 0 ? options->timeout_ms * US_PER_MS : TIMEOUT_DEFAULT_US;
    c->addresses = client_strdup(options->addresses);
    c->name = options->name != NULL ? client_strdup(options->name) : default_name();
    c->tenant = client_strdup(options->tenant);
    c->loop = loop_uv_new(os_clock(), "carillon");
    struct opening o = {.client = c, .err = ERR_LIMIT};
    if (c->addresses != NULL && c->name != NULL && c->loop != NULL) {
        client_on_loop(c, client_open, &o);
    }
    if (o.err != ERR_OK) {
        client_release(c);
        return client_error_of(error, o.err, &o.detail);
    }
    *out = c;
    return CARILLON_OK;
}

void carillon_client_free(carillon_client *c)
{
    if (c != NULL) {
        client_on_loop(c, client_shut, c);
        client_release(c);
    }
}

struct reason {
    struct carillon_client *client;
    char text[256];
};

static void read_reason(void *arg)
{
    struct reason *r = arg;
    copy_text(r->text, sizeof(r->text), str_of(session_why(r->client->session)));
}

int carillon_client_wait_ready(carillon_client *c, int64_t timeout_ms, carillon_error *error)
{
    struct clock *clock = os_clock();
    int64_t until = client_until_us(timeout_ms);
    mutex_lock(&c->mutex);
    int64_t left = 1;
    while (!c->ready && left > 0) {
        left = until - clock_mono(clock).us;
        if (left > 0) {
            (void)cond_wait_us(&c->changed, &c->mutex, left);
        }
    }
    bool ready = c->ready;
    mutex_unlock(&c->mutex);
    if (ready) {
        return CARILLON_OK;
    }
    struct reason r = {.client = c};
    client_on_loop(c, read_reason, &r);
    return client_error(error, CARILLON_UNAVAILABLE, "%s",
                        r.text[0] != '\0' ? r.text : "not connected yet");
}

/* ---- starts ---- */

static int keep_started(struct call *c, const struct msg *reply)
{
    carillon_started *out = c->out;
    const struct msg_start_ok *m = &reply->u.start_ok;
    if (out != NULL) {
        const struct msg_start *asked = &c->request.msg.u.start;
        copy_text(out->execution, sizeof(out->execution), m->execution);
        copy_text(out->name, sizeof(out->name), m->name.size > 0 ? m->name : asked->name);
        out->created = m->created;
        out->started_at_ms = m->started_at_ms;
    }
    return CARILLON_OK;
}

/* A random name, so that a repeat finds what the first one started. */
static void make_name(char out[UUID_TEXT_SIZE])
{
    struct uuid u;
    os_random_bytes(u.b, sizeof(u.b));
    u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x40);
    u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
    uuid_format(&u, out);
}

static int start_prepare(struct carillon_client *client, struct call *c, const char *workflow,
                         const char *name, const char *input, char made[UUID_TEXT_SIZE],
                         carillon_error *error)
{
    client_call_init(c, client, MSG_START);
    if (workflow == NULL) {
        c->code = CARILLON_INVALID;
        return client_error(error, CARILLON_INVALID, "workflow: needed");
    }
    if (name == NULL || name[0] == '\0') {
        make_name(made);
        name = made;
    }
    c->request.msg.u.start = (struct msg_start){.workflow = str_of(workflow),
                                                .name = str_of(name),
                                                .input = str_of(input)};
    c->keep = keep_started;
    return CARILLON_OK;
}

int carillon_start(carillon_client *client, const char *workflow, const char *name,
                   const char *input, carillon_started *out, carillon_error *error)
{
    struct call c;
    char made[UUID_TEXT_SIZE];
    int code = start_prepare(client, &c, workflow, name, input, made, error);
    c.out = out;
    return code == CARILLON_OK ? client_call_wait(client, &c, error) : code;
}

struct async_start {
    struct call call;
    carillon_start_fn done;
    void *arg;
    carillon_started started;
    char made[UUID_TEXT_SIZE];
    char texts[];
};

static void async_start_finished(struct call *c)
{
    struct async_start *a = CONTAINER_OF(c, struct async_start, call);
    a->done(a->arg, c->code, c->code == CARILLON_OK ? &a->started : NULL, c->error.text);
    free(a);
}

/* Copies "s" (may be NULL) behind *at. */
static const char *put_text(char **at, const char *s)
{
    if (s == NULL) {
        return NULL;
    }
    size_t size = strlen(s) + 1;
    char *to = memcpy(*at, s, size);
    *at += size;
    return to;
}

int carillon_start_async(carillon_client *client, const char *workflow, const char *name,
                         const char *input, carillon_start_fn done, void *arg,
                         carillon_error *error)
{
    if (done == NULL || workflow == NULL) {
        return client_error(error, CARILLON_INVALID, "workflow and done: needed");
    }
    size_t room = strlen(workflow) + (name != NULL ? strlen(name) : 0) +
                  (input != NULL ? strlen(input) : 0) + 3;
    struct async_start *a = malloc(sizeof(*a) + room);
    if (a == NULL) {
        return client_error(error, CARILLON_LIMIT, "out of memory");
    }
    char *at = a->texts;
    const char *workflow_copy = put_text(&at, workflow);
    const char *name_copy = put_text(&at, name);
    const char *input_copy = put_text(&at, input);
    (void)start_prepare(client, &a->call, workflow_copy, name_copy, input_copy, a->made, NULL);
    a->done = done;
    a->arg = arg;
    a->call.out = &a->started;
    a->call.finished = async_start_finished;
    calls_submit(client, &a->call, &a->call);
    return CARILLON_OK;
}

struct many_start {
    struct call call;
    char made[UUID_TEXT_SIZE];
};

int carillon_start_many(carillon_client *client, carillon_start_item *items, size_t len,
                        carillon_error *error)
{
    struct waiter w;
    if (len == 0) {
        return CARILLON_OK;
    }
    struct many_start *v = calloc(len, sizeof(*v));
    if (v == NULL) {
        return client_error(error, CARILLON_LIMIT, "out of memory");
    }
    for (size_t i = 0; i < len; i++) {
        const carillon_start_item *it = &items[i];
        int code =
            start_prepare(client, &v[i].call, it->workflow, it->name, it->input, v[i].made, error);
        if (code != CARILLON_OK) {
            free(v);
            return code;
        }
        v[i].call.out = &items[i].started;
        v[i].call.waiter = &w;
        v[i].call.next = i + 1 < len ? &v[i + 1].call : NULL;
    }
    waiter_init(&w, len);
    calls_submit(client, &v[0].call, &v[len - 1].call);
    waiter_wait(&w);
    int first = CARILLON_OK;
    for (size_t i = 0; i < len; i++) {
        items[i].code = v[i].call.code;
        if (first == CARILLON_OK && items[i].code != CARILLON_OK) {
            first = items[i].code;
            if (error != NULL) {
                *error = v[i].call.error;
            }
        }
    }
    free(v);
    return first;
}
