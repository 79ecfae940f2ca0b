/* Serving the operators' HTTP interface: life, dispatch, calls to the engine, problems. See admin.h. */
#include "base/prelude.h"

#include "cmd/admin_internal.h"

#include "base/assert.h"

LOG_MODULE("admin");

enum { BEAT_US = US_PER_S };

/* ---- answers ---- */

void answer_json(struct admin_call *c, int status)
{
    c->answer.status = status;
    c->answer.type = "application/json";
}

void answer_header(struct admin_call *c, const char *name, struct str value)
{
    http_answer_add(&c->answer, name, value);
}

static enum err PRINTF_LIKE(3, 0)
    refuse_with(struct admin_call *c, enum err e, const char *fmt, va_list args)
{
    c->d.code = e;
    (void)vsnprintf(c->d.text, sizeof(c->d.text), fmt, args);
    return e;
}

enum err refuse(struct admin_call *c, enum err e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)refuse_with(c, e, fmt, args);
    va_end(args);
    return e;
}

enum err refuse_as(struct admin_call *c, int status, enum err e, const char *fmt, ...)
{
    va_list args;
    c->status = status;
    va_start(args, fmt);
    (void)refuse_with(c, e, fmt, args);
    va_end(args);
    return e;
}

/* May the caller try again and hope? */
static bool retryable(const struct admin_call *c, enum err e)
{
    enum err_class class = err_class(e);
    return class == ERRC_RETRY || class == ERRC_LIMIT || (class == ERRC_UNKNOWN && c->repeatable);
}

static void problems_write(struct buf *b, const struct admin_call *c)
{
    buf_puts(b, ",\"problems\":[");
    for (uint32_t i = 0; i < c->problems_len; i++) {
        const struct msg_problem *p = &c->problems[i];
        buf_printf(b, "%s{\"line\":%u,\"column\":%u,\"pointer\":", i > 0 ? "," : "", p->line,
                   p->col);
        json_write_string(b, p->pointer);
        buf_puts(b, ",\"message\":");
        json_write_string(b, p->message);
        buf_putc(b, '}');
    }
    buf_putc(b, ']');
}

/* RFC 9457, from c->d. */
static void problem(struct admin_call *c)
{
    enum err e = c->d.code;
    struct buf *b = &c->answer.body;
    c->answer.status = c->status != 0 ? c->status : err_http(e);
    c->answer.type = "application/problem+json";
    buf_clear(b);
    buf_printf(b, "{\"type\":\"/v1/errors/%s\",\"title\":", err_name(e));
    json_write_string(b, str_of(err_text(e)));
    buf_printf(b, ",\"status\":%d,\"detail\":", c->answer.status);
    json_write_string(b, str_of(c->d.text[0] != '\0' ? c->d.text : err_text(e)));
    buf_printf(b, ",\"code\":\"%s\",\"retryable\":%s,\"request_id\":\"%s\"", err_name(e),
               retryable(c, e) ? "true" : "false", c->id);
    if (e == ERR_DEFINITION) {
        problems_write(b, c);
    }
    buf_putc(b, '}');
    if (c->answer.status == 503) {
        uint32_t seconds = MAX((c->retry_after_ms + 999) / 1000, 1U);
        answer_header(c, "Retry-After", str_of(arena_printf(&c->arena, "%u", seconds)));
    }
}

/* ---- one call ---- */

/* For a log line, where a field stands in quotes: the path as sent, which may hold some itself. */
static const char *path_shown(struct admin_call *c)
{
    struct str path = c->http->path;
    char *shown = arena_printf(&c->arena, "%.*s", (int)MIN(path.size, (size_t)200), path.p);
    for (char *p = shown; *p != '\0'; p++) {
        *p = *p == '"' ? '\'' : *p;
    }
    return shown;
}

static void count(struct admin_call *c)
{
    static struct metric *const by_class[] = {&metric_admin_2xx, &metric_admin_3xx,
                                              &metric_admin_4xx, &metric_admin_5xx};
    int class = c->answer.status / 100 - 2;
    if (class >= 0 && class < (int)ARRAY_LEN(by_class)) {
        metric_add(by_class[class], 1);
    }
    int64_t us = loop_now(c->admin->c.loop).us - c->since.us;
    metric_observe_us(&metric_admin_time, us);
    log_debug("answered", "request=%s method=%s path=\"%s\" status=%d us=%" PRId64, c->id,
              http_method_name(c->http->method), path_shown(c), c->answer.status, us);
}

static void stop_if_over(struct admin *a);

/* Sends the answer and frees the call. */
static void call_end(struct admin_call *c)
{
    struct admin *a = c->admin;
    answer_header(c, "X-Request-Id", str_of(c->id));
    answer_header(c, "Cache-Control", STR("no-store"));
    answer_header(c, "X-Content-Type-Options", STR("nosniff"));
    if (a->server->ops->answer(a->server, c->http, &c->answer) != ERR_OK) {
        c->answer.extra_len = 0;
        (void)refuse(c, ERR_LIMIT, "too many answers are on their way; try again");
        problem(c);
        answer_header(c, "X-Request-Id", str_of(c->id));
        enum err e = a->server->ops->answer(a->server, c->http, &c->answer);
        ASSERT(e == ERR_OK);
    }
    list_remove(&c->link);
    arena_fini(&c->arena);
    mem_free(c);
    stop_if_over(a);
}

static void call_done(struct admin_call *c, enum err e)
{
    if (e != ERR_OK) {
        problem(c);
    }
    count(c);
    call_end(c);
}

static void engine_answered(struct engine_call *ec)
{
    struct admin_call *c = CONTAINER_OF(ec, struct admin_call, engine);
    struct admin *a = c->admin;
    const struct msg *m = &ec->answer;
    enum err e = ERR_OK;
    a->inside--;
    metric_set(&metric_admin_waiting, (int64_t)a->inside);
    if (m->type == MSG_ERROR) {
        e = (enum err)m->u.error.code;
        c->retry_after_ms = m->u.error.retry_after_ms;
        c->problems = m->u.error.problems;
        c->problems_len = m->u.error.problems_len;
        (void)refuse(c, e, "%.*s", STR_ARG(m->u.error.text));
    } else {
        c->tell(c, m);
    }
    if (e != ERR_OK) {
        problem(c); /* its texts are the answer's */
    }
    engine_call_fini(ec);
    count(c);
    call_end(c);
}

/* Requests waiting inside are bounded, whatever the engine itself would still take. */
static enum err engine_ask(struct admin_call *c)
{
    struct admin *a = c->admin;
    if (a->stopping) {
        return refuse(c, ERR_GOING_AWAY, "the node is stopping");
    }
    if (a->inside >= a->c.queue_max) {
        metric_add(&metric_admin_full, 1);
        c->retry_after_ms = 1000;
        return refuse(c, ERR_LIMIT, "%u requests wait already", a->inside);
    }
    a->inside++;
    metric_set(&metric_admin_waiting, (int64_t)a->inside);
    c->engine.tenant = c->tenant;
    /* A tenant comes to be with its first definition; the default one is always there. */
    c->engine.create = c->engine.ask.type == MSG_DEF_PUT || str_eqc(c->tenant, "default");
    c->engine.loop = a->c.loop;
    c->engine.done = engine_answered;
    engine_submit(a->c.engine, &c->engine);
    return ERR_OK;
}

/* ---- who may ask ---- */

static struct str host_of(struct str authority)
{
    size_t n = 0;
    if (authority.size > 0 && authority.p[0] == '[') {
        const char *end = memchr(authority.p, ']', authority.size);
        return end == NULL ? STR_NONE : (struct str){authority.p, (size_t)(end - authority.p) + 1};
    }
    while (n < authority.size && authority.p[n] != ':') {
        n++;
    }
    return (struct str){authority.p, n};
}

static bool is_address(struct str host)
{
    bool digits = host.size > 0;
    for (size_t i = 0; i < host.size; i++) {
        digits = digits && ((host.p[i] >= '0' && host.p[i] <= '9') || host.p[i] == '.');
    }
    return digits || str_starts(host, STR("["));
}

/* A web page must not act through the browser of somebody who can reach this port: neither from its own
 * origin, nor by giving its own name this host's address. Names are free where the port is not
 * bound to the loopback: there they are how a service is found. */
static enum err check_origin(struct admin_call *c)
{
    const struct http_request *r = c->http;
    struct str host = r->field[HTTP_HOST], origin = r->field[HTTP_ORIGIN];
    struct str name = host_of(host);
    if (c->admin->local_only && host.p != NULL && !is_address(name) &&
        !str_eqc(name, "localhost")) {
        return refuse(c, ERR_DENIED, "Host names a machine that this is not; use localhost");
    }
    bool safe = r->method == HTTP_GET || r->method == HTTP_HEAD;
    if (!safe && origin.p != NULL &&
        !(str_starts(origin, STR("http://")) && str_eq(str_sub(origin, 7, origin.size), host))) {
        return refuse(c, ERR_DENIED, "requests that change something come from this origin only");
    }
    return ERR_OK;
}

/* ---- dispatch ---- */

static enum err call_serve(struct admin_call *c)
{
    const struct http_request *r = c->http;
    if (r->refused != 0) {
        return refuse_as(c, r->refused, r->why, "%s", r->detail);
    }
    enum err e = check_origin(c);
    if (e != ERR_OK) {
        return e;
    }
    c->route = route_find(c);
    if (c->route == NULL) {
        return c->d.code;
    }
    e = c->route->handle(c);
    if (e == ERR_OK && c->tell != NULL) {
        e = engine_ask(c);
        if (e == ERR_OK) {
            return ERR_OK;
        }
        c->tell = NULL;
    }
    return e;
}

static void on_request(struct http_handler *h, struct http_request *r)
{
    struct admin *a = CONTAINER_OF(h, struct admin, handler);
    struct admin_call *c = MEM_NEW(struct admin_call);
    c->admin = a;
    c->http = r;
    c->since = loop_now(a->c.loop);
    c->repeatable = true;
    (void)snprintf(c->id, sizeof(c->id), "%016" PRIx64, rng_u64(&a->rng));
    arena_init(&c->arena, 0);
    buf_init(&c->answer.body, 0);
    list_push_back(&a->calls, &c->link);
    enum err e = call_serve(c);
    if (e != ERR_OK || c->tell == NULL) {
        call_done(c, e);
    }
}

static size_t on_body_max(struct http_handler *h, const struct http_request *r)
{
    (void)h;
    return route_body_max(r);
}

/* ---- life ---- */

static void pulse_run(struct loop_task *task)
{
    struct pulse *p = CONTAINER_OF(task, struct pulse, task);
    atomic_store(&p->seen_us, loop_now(p->loop).us);
    atomic_store(&p->posted, false);
}

static void beat_fired(struct loop_timer *t)
{
    struct admin *a = CONTAINER_OF(t, struct admin, beat);
    for (uint32_t i = 0; i < a->c.watched_len; i++) {
        struct pulse *p = &a->pulses[i];
        if (!atomic_exchange(&p->posted, true)) {
            p->task = (struct loop_task){.run = pulse_run, .name = "pulse"};
            loop_post(p->loop, &p->task);
        }
    }
    loop_timer_after(a->c.loop, &a->beat, BEAT_US);
}

static bool is_loopback(struct str address)
{
    return str_starts(address, STR("127.")) || str_starts(address, STR("[::1]:"));
}

static enum err listen_at(struct admin *a, struct str address, struct err_detail *d)
{
    return a->c.http->ops->listen(a->c.http, a->c.loop, address, &http_limits_default, &a->handler,
                                  &a->server, d);
}

/* The address as configured; or what the configuration says to do instead. */
static enum err listen_somewhere(struct admin *a, struct err_detail *d)
{
    enum err e = listen_at(a, a->c.listen, d);
    if (e == ERR_CONFLICT && a->c.taken == ADMIN_TAKEN_ANY_PORT) {
        size_t n = a->c.listen.size;
        while (n > 0 && a->c.listen.p[n - 1] != ':') {
            n--;
        }
        *d = (struct err_detail){0};
        e = listen_at(a, str_of(arena_printf(&a->texts, "%.*s0", (int)n, a->c.listen.p)), d);
    }
    if (e != ERR_OK && e != ERR_INVALID && a->c.taken == ADMIN_TAKEN_OFF) {
        log_warn("no admin port", "address=%.*s reason=\"%s\"", STR_ARG(a->c.listen), d->text);
        e = ERR_OK;
    }
    return e;
}

static void start_run(struct loop_task *task)
{
    struct admin *a = CONTAINER_OF(task, struct admin, start);
    struct err_detail d = {0};
    enum err e = listen_somewhere(a, &d);
    if (a->server != NULL) {
        a->local_only = is_loopback(a->server->address);
        if (!a->local_only) {
            log_warn("the admin port has no login yet: whoever reaches it may start and stop",
                     "address=%.*s", STR_ARG(a->server->address));
        }
        beat_fired(&a->beat);
    }
    a->c.started(a->c.arg, e, a->server != NULL ? a->server->address : STR_NONE, &d);
}

void admin_start(struct admin *a)
{
    a->start = (struct loop_task){.run = start_run, .name = "admin start"};
    loop_post(a->c.loop, &a->start);
}

void admin_state(struct admin *a, enum owner_state s)
{
    atomic_store(&a->state, (int)s);
    if (s == OWNER_ACTIVE || s == OWNER_STANDBY) {
        atomic_store(&a->started, true);
    }
}

void admin_drain(struct admin *a)
{
    atomic_store(&a->draining, true);
}

static void stop_if_over(struct admin *a)
{
    if (!a->stopping || !list_empty(&a->calls)) {
        return;
    }
    loop_timer_stop(&a->beat);
    if (a->server != NULL) {
        a->server->ops->close(a->server);
        a->server = NULL;
    }
    a->stopped(a->stopped_arg);
}

static void stop_run(struct loop_task *task)
{
    struct admin *a = CONTAINER_OF(task, struct admin, stop);
    a->stopping = true;
    stop_if_over(a);
}

void admin_stop(struct admin *a, void (*done)(void *arg), void *arg)
{
    admin_drain(a);
    a->stopped = done;
    a->stopped_arg = arg;
    a->stop = (struct loop_task){.run = stop_run, .name = "admin stop"};
    loop_post(a->c.loop, &a->stop);
}

struct admin *admin_new(const struct admin_config *config)
{
    struct admin *a = MEM_NEW(struct admin);
    PRE(config->watched_len <= ADMIN_LOOPS_MAX);
    a->c = *config;
    arena_init(&a->texts, 0);
    a->c.listen = str_dup(&a->texts, config->listen);
    a->c.version = str_dup(&a->texts, config->version);
    a->c.database = str_dup(&a->texts, config->database);
    a->handler = (struct http_handler){.request = on_request, .body_max = on_body_max};
    a->beat = (struct loop_timer){.fired = beat_fired, .name = "admin beat"};
    list_init(&a->calls);
    rng_seed(&a->rng, config->seed ^ UINT64_C(0x61646d696e));
    for (uint32_t i = 0; i < config->watched_len; i++) {
        a->pulses[i].loop = config->watched[i];
        atomic_init(&a->pulses[i].seen_us, loop_now(config->watched[i]).us);
    }
    metric_set(metric_series(&metric_build_info, "version", a->c.version.p), 1);
    return a;
}

void admin_free(struct admin *a)
{
    if (a == NULL) {
        return;
    }
    PRE(a->server == NULL && list_empty(&a->calls));
    arena_fini(&a->texts);
    mem_free(a);
}
