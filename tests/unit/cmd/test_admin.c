/* The operators' HTTP interface on a whole node, on virtual time: production node and engine, fake
 * store, fake network, and an HTTP port that hands over requests without any HTTP. */
#include "base/prelude.h"

#include "base/json.h"
#include "base/log.h"
#include "cmd/metrics.h"
#include "cmd/node.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/world.h"

#include <check.h>

struct fixture {
    struct world *world;
    struct sim_net *net;
    struct sim_store *store;
    struct host *host;
    struct node *node;
    struct coord *coord;
    struct node_config config;
    struct node_events events;
    struct fault_set faults;
    bool started, failed, active, stopped;
    char why[256], admin[64];
    /* the HTTP port */
    struct http http;
    struct http_server server;
    struct http_handler *handler;
    struct loop *loop;
    const char *taken; /* this address is */
    bool closed;
    size_t room; /* a larger body is refused; 0: none is */
    uint32_t requests;
};

#define RUN_UNTIL(f, cond) \
    do { \
        int64_t end_ = (f)->world->now_us + 60 * US_PER_S; \
        while (!(cond) && (f)->world->now_us < end_ && world_step((f)->world, end_)) { \
        } \
        ck_assert_msg((cond), "never: %s", #cond); \
    } while (0)

/* ---- the HTTP port: requests come from the test, answers are kept ---- */

struct ask {
    struct http_request base;
    struct fixture *f;
    struct loop_task task;
    bool done;
    int status;
    char type[64], extra[512]; /* "Name: value\n" each */
    char body[40000];
};

static enum err fake_answer(struct http_server *s, struct http_request *r, struct http_answer *a)
{
    struct ask *k = CONTAINER_OF(r, struct ask, base);
    struct fixture *f = CONTAINER_OF(s, struct fixture, server);
    ck_assert(!k->done && !f->closed);
    if (f->room > 0 && a->body.size > f->room) {
        buf_fini(&a->body);
        return ERR_LIMIT;
    }
    k->done = true;
    k->status = a->status;
    (void)snprintf(k->type, sizeof(k->type), "%s", a->type != NULL ? a->type : "");
    (void)snprintf(k->body, sizeof(k->body), "%.*s", STR_ARG(buf_str(&a->body)));
    k->extra[0] = '\0';
    for (uint32_t i = 0; i < a->extra_len; i++) {
        size_t n = strlen(k->extra);
        (void)snprintf(k->extra + n, sizeof(k->extra) - n, "%s: %.*s\n", a->extra[i].name,
                       STR_ARG(a->extra[i].value));
    }
    buf_fini(&a->body);
    return ERR_OK;
}

static void fake_close(struct http_server *s)
{
    CONTAINER_OF(s, struct fixture, server)->closed = true;
}

static enum err fake_listen(struct http *t, struct loop *loop, struct str address,
                            const struct http_limits *limits, struct http_handler *h,
                            struct http_server **out, struct err_detail *d)
{
    static const struct http_server_ops ops = {.answer = fake_answer, .close = fake_close};
    struct fixture *f = CONTAINER_OF(t, struct fixture, http);
    ck_assert_uint_eq(limits->fields, 64);
    if (f->taken != NULL && str_eqc(address, f->taken)) {
        return err_set(d, ERR_CONFLICT, "%.*s is taken", STR_ARG(address));
    }
    f->handler = h;
    f->loop = loop;
    (void)snprintf(f->admin, sizeof(f->admin), "%.*s", STR_ARG(address));
    f->server = (struct http_server){.ops = &ops, .address = str_of(f->admin)};
    *out = &f->server;
    return ERR_OK;
}

static const struct http_ops fake_ops = {.listen = fake_listen};

static void ask_run(struct loop_task *task)
{
    struct ask *k = CONTAINER_OF(task, struct ask, task);
    struct fixture *f = k->f;
    size_t max = k->base.refused == 0 ? f->handler->body_max(f->handler, &k->base) : 0;
    ck_assert(k->base.refused != 0 || k->base.body.size <= max);
    f->requests++;
    f->handler->request(f->handler, &k->base);
}

static struct ask *asking;
static void ask_post(struct host *h)
{
    (void)h;
    loop_post(asking->f->loop, &asking->task);
}

/* "GET /path?query", optionally with "Field: value" lines behind it; then the body. */
static void send(struct fixture *f, struct ask *k, const char *request, const char *body)
{
    struct str line = {request, strcspn(request, "\n")};
    size_t method = strcspn(request, " ");
    memset(k, 0, sizeof(*k));
    k->f = f;
    k->base.peer = "test";
    ck_assert(http_method_parse((struct str){request, method}, &k->base.method));
    struct str target = str_sub(line, method + 1, line.size);
    const char *mark = memchr(target.p, '?', target.size);
    size_t path = mark != NULL ? (size_t)(mark - target.p) : target.size;
    k->base.path = (struct str){target.p, path};
    k->base.query = str_sub(target, path + 1, target.size);
    k->base.body = str_of(body);
    if (body != NULL) {
        k->base.field[HTTP_CONTENT_TYPE] = STR("application/json");
    }
    for (const char *p = request + line.size; *p == '\n';) {
        struct str field = {p + 1, strcspn(p + 1, "\n")};
        for (unsigned i = 0; i < HTTP_FIELDS; i++) {
            struct str name = str_of(http_field_name((enum http_field)i));
            if (str_starts(field, name)) {
                k->base.field[i] = str_sub(field, name.size + 2, field.size);
            }
        }
        p = field.p + field.size;
    }
    k->task = (struct loop_task){.run = ask_run, .name = "http request"};
    asking = k;
    host_run(f->host, ask_post);
}

static void get(struct fixture *f, struct ask *k, const char *request, const char *body)
{
    send(f, k, request, body);
    RUN_UNTIL(f, k->done);
}

/* The answer must have this status and hold this text in type, fields or body. */
static void expect(struct fixture *f, const char *request, const char *body, int status,
                   const char *text)
{
    static struct ask k;
    get(f, &k, request, body);
    ck_assert_msg(k.status == status, "%s: status %d, not %d: %s", request, k.status, status,
                  k.body);
    ck_assert_msg(strstr(k.body, text) != NULL || strstr(k.extra, text) != NULL ||
                      strstr(k.type, text) != NULL,
                  "%s: no \"%s\" in %s\n%s%s", request, text, k.type, k.extra, k.body);
    bool problem = strcmp(k.type, "application/problem+json") == 0;
    ck_assert_msg(problem == (k.status >= 400 && strstr(k.body, "{\"checks\":") != k.body),
                  "%s: %s", request, k.type);
    ck_assert_ptr_nonnull(strstr(k.extra, "X-Request-Id: "));
}

/* ---- the node ---- */

static void on_admin(struct node_events *ev, struct str address)
{
    struct fixture *f = CONTAINER_OF(ev, struct fixture, events);
    ck_assert(str_eqc(address, f->admin));
}

static void on_started(struct node_events *ev, enum err e, struct str address, struct str detail)
{
    struct fixture *f = CONTAINER_OF(ev, struct fixture, events);
    (void)address;
    f->started = e == ERR_OK;
    f->failed = e != ERR_OK;
    (void)snprintf(f->why, sizeof(f->why), "%.*s", STR_ARG(detail));
}

static void on_state(struct node_events *ev, enum owner_state s)
{
    CONTAINER_OF(ev, struct fixture, events)->active = s == OWNER_ACTIVE;
}

static void on_stopped(struct node_events *ev)
{
    CONTAINER_OF(ev, struct fixture, events)->stopped = true;
}

static void boot(struct host *h)
{
    struct fixture *f = h->user;
    f->coord = coord_db_new();
    struct node_ports ports = {.loops = &h->factory,
                               .coord = f->coord,
                               .clock = &h->clock.base,
                               .transport = &f->net->base,
                               .store = &f->store->base,
                               .faults = &f->faults,
                               .seed = f->world->seed,
                               .http = &f->http};
    f->node = node_start(&f->config, &ports, &f->events);
}

static void stop(struct host *h)
{
    node_stop(((struct fixture *)h->user)->node);
}

static void node_frees(struct host *h)
{
    struct fixture *f = h->user;
    node_free(f->node);
    coord_db_free(f->coord);
}

static void setup(struct fixture *f, int seed)
{
    memset(f, 0, sizeof(*f));
    f->world = world_new((uint64_t)seed, false, false);
    f->net = sim_net_new(f->world);
    f->store = sim_store_new(f->world, 0, 16);
    f->http.ops = &fake_ops;
    fault_init(&f->faults, NULL, NULL);
    node_config_defaults(&f->config);
    f->config.listen = STR("tcp://node:7070");
    f->config.window_us = 60 * US_PER_S;
    f->config.turn_loops = (uint32_t)(seed % 3);
    f->config.database = STR("a fake");
    f->events = (struct node_events){.admin = on_admin,
                                     .started = on_started,
                                     .state = on_state,
                                     .stopped = on_stopped};
    f->host = host_new(f->world, "node");
    f->host->boot = boot;
    f->host->user = f;
}

static void up(struct fixture *f, int seed)
{
    setup(f, seed);
    host_boot(f->host);
    RUN_UNTIL(f, f->active);
}

/* Stops the node and looks that nothing is left behind. */
static void down(struct fixture *f)
{
    if (!f->failed) {
        host_run(f->host, stop);
        RUN_UNTIL(f, f->stopped);
    }
    ck_assert(f->handler == NULL || f->closed);
    host_run(f->host, node_frees);
    ck_assert_uint_eq(f->host->region.blocks, 0);
    world_free(f->world);
    sim_store_free(f->store);
    sim_net_free(f->net);
}

/* ---- JSON of answers ---- */

static struct arena json_arena;

static const struct jv *body_of(const struct ask *k)
{
    const struct jv *v = NULL;
    struct err_detail d = {0};
    enum err e = json_parse(&json_arena, str_of(k->body), JSON_LIMITS_PAYLOAD, false, &v, &d);
    ck_assert_msg(e == ERR_OK, "%s: %s", d.text, k->body);
    return v;
}

static void text_at(const struct jv *v, const char *name, char *out, size_t size)
{
    (void)snprintf(out, size, "%.*s", STR_ARG(jv_str(jv_getc(v, name))));
}

/* ---- tests ---- */

#define PASS "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Pass\",\"End\":true}}}"
#define WAITING \
    "{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"Seconds\":9,\"End\":true}}}"

START_TEST(paths_and_methods)
{
    struct fixture f;
    up(&f, _i);
    expect(&f, "GET /", NULL, 200, "\"path\":\"/v1/executions/{id}/history\"");
    expect(&f, "HEAD /", NULL, 200, "application/json");
    expect(&f, "GET /nothing", NULL, 404, "\"code\":\"NOT_FOUND\"");
    expect(&f, "GET /v1/executions/", NULL, 404, "NOT_FOUND");
    expect(&f, "GET /v1/executions/a/b", NULL, 404, "NOT_FOUND");
    expect(&f, "GET //", NULL, 404, "NOT_FOUND");
    expect(&f, "POST /health/live", NULL, 405, "Allow: GET, HEAD\n");
    expect(&f, "DELETE /v1/executions", NULL, 405, "Allow: GET, HEAD, POST\n");
    expect(&f, "POST /v1/workflows/x", NULL, 405, "Allow: GET, HEAD, PUT, DELETE\n");
    expect(&f, "GET /v1/workflows/%zz", NULL, 400, "MALFORMED");
    expect(&f, "GET /v1/errors/LIMIT", NULL, 200, "\"class\":\"LIMIT\",\"status\":503");
    expect(&f, "GET /v1/errors/NONE", NULL, 404, "NOT_FOUND");
    expect(&f, "GET /openapi.json", NULL, 200, "\"openapi\": \"3.1.0\"");
    expect(&f, "GET /metrics", NULL, 200, "carillon_build_info{version=\"");
    expect(&f, "GET /v1/cluster", NULL, 200, "\"lanes_held\":16");
    expect(&f, "GET /v1/cluster", NULL, 200, "\"durability\":\"local\",\"database\":\"a fake\"}");
    down(&f);
}
END_TEST

/* Each route is in the OpenAPI document, and the document has no others. */
START_TEST(openapi_has_the_routes)
{
    const struct jv *doc = NULL;
    struct err_detail d = {0};
    arena_init(&json_arena, 0);
    enum err e = json_parse(&json_arena, admin_openapi(), JSON_LIMITS_DEFINITION, true, &doc, &d);
    ck_assert_msg(e == ERR_OK, "%s", d.text);
    const struct jv *paths = jv_getc(doc, "paths");
    uint32_t documented = 0, rows = 0;
    for (uint32_t i = 0; i < paths->len; i++) {
        documented += paths->u.members[i].value->len;
    }
    for (const struct admin_route *r; (r = admin_route_at(rows)) != NULL; rows++) {
        static const char *const lower[] = {"get", "head", "post", "put", "delete"};
        const struct jv *op = jv_getc(jv_getc(paths, r->path), lower[r->method]);
        ck_assert_msg(op != NULL, "%s %s", http_method_name(r->method), r->path);
        ck_assert_msg((jv_getc(op, "requestBody") != NULL) == (r->body_max > 0), "%s", r->path);
        ck_assert(r->method == HTTP_GET || r->right == ADMIN_OPERATE || r->right == ADMIN_ADMIN);
    }
    ck_assert_uint_eq(documented, rows);
    arena_fini(&json_arena);
}
END_TEST

START_TEST(health_from_start_to_end)
{
    struct fixture f;
    setup(&f, _i);
    host_boot(f.host);
    RUN_UNTIL(&f, f.handler != NULL);
    expect(&f, "GET /health/startup", NULL, 503, "\"status\":\"unavailable\"");
    expect(&f, "GET /health/ready", NULL, 503, "{\"name\":\"ownership\",\"ok\":false");
    expect(&f, "GET /health/live", NULL, 200, "\"status\":\"ok\"");
    RUN_UNTIL(&f, f.active);
    expect(&f, "GET /health/startup", NULL, 200, "\"ok\"");
    expect(&f, "GET /health/ready", NULL, 200, "\"detail\":\"ACTIVE\"");
    world_run(f.world, f.world->now_us + 30 * US_PER_S); /* nobody asks for a while */
    expect(&f, "GET /health/live", NULL, 200, "\"ok\"");
    host_run(f.host, stop);
    /* From the first moment, while nothing else has heard of it. */
    expect(&f, "GET /health/ready", NULL, 503, "the node is draining");
    expect(&f, "GET /health/live", NULL, 200, "\"ok\"");
    RUN_UNTIL(&f, f.stopped);
    f.failed = true; /* it has stopped already */
    down(&f);
}
END_TEST

static void start(struct fixture *f, struct ask *k, const char *workflow, const char *key)
{
    char request[128], body[128];
    (void)snprintf(request, sizeof(request), "POST /v1/executions\nIdempotency-Key: %s", key);
    (void)snprintf(body, sizeof(body), "{\"workflow\":\"%s\",\"input\":{\"n\": 1.0}}", workflow);
    get(f, k, request, body);
}

START_TEST(an_execution)
{
    struct fixture f;
    static struct ask k;
    char id[64], request[160];
    up(&f, _i);
    arena_init(&json_arena, 0);
    expect(&f, "GET /v1/executions", NULL, 200, "{\"executions\":[]}");
    expect(&f, "PUT /v1/workflows/wait", WAITING, 201, "ETag: \"1\"\n");
    start(&f, &k, "wait", "one");
    ck_assert_int_eq(k.status, 201);
    text_at(body_of(&k), "id", id, sizeof(id));
    (void)snprintf(request, sizeof(request), "Location: /v1/executions/%s\n", id);
    ck_assert_ptr_nonnull(strstr(k.extra, request));
    start(&f, &k, "wait", "\"one\""); /* the key as a quoted string */
    ck_assert_int_eq(k.status, 200);
    ck_assert_ptr_nonnull(strstr(k.body, id));
    ck_assert_ptr_nonnull(strstr(k.body, "\"created\":false"));
    expect(&f, "POST /v1/executions\nIdempotency-Key: one", "{\"workflow\":\"wait\",\"input\":2}",
           409, "\"code\":\"EXISTS\",\"retryable\":false");
    (void)snprintf(request, sizeof(request), "GET /v1/executions/%s", id);
    expect(&f, request, NULL, 200, "\"status\":\"RUNNING\"");
    expect(&f, request, NULL, 200, "\"input\":{\"n\":1.0}"); /* the number as it was sent */
    (void)snprintf(request, sizeof(request), "GET /v1/executions/%s?tenant=other", id);
    expect(&f, request, NULL, 404, "NOT_FOUND");
    (void)snprintf(request, sizeof(request), "POST /v1/executions/%s/stop", id);
    expect(&f, request, "{\"error\":\"Enough\",\"cause\":\"of it\"}", 200, "\"stopped_at\":\"20");
    expect(&f, request, NULL, 200, id); /* again, without a body */
    (void)snprintf(request, sizeof(request), "GET /v1/executions/%s", id);
    expect(&f, request, NULL, 200, "\"status\":\"ABORTED\"");
    expect(&f, request, NULL, 200, "\"error\":\"Enough\",\"cause\":\"of it\"}");
    (void)snprintf(request, sizeof(request), "GET /v1/executions/%s/history?reverse=true", id);
    expect(&f, request, NULL, 200, "{\"events\":[{\"timestamp\":\"20");
    expect(&f, "GET /v1/executions?status=ABORTED&workflow=wait", NULL, 200, id);
    expect(&f, "GET /v1/executions?status=RUNNING", NULL, 200, "{\"executions\":[]}");
    arena_fini(&json_arena);
    down(&f);
}
END_TEST

/* Pages one after another hold each row once, whatever their size; a token is good for its list. */
START_TEST(page_after_page)
{
    struct fixture f;
    static struct ask k;
    char token[512] = "", request[800], id[64] = "";
    up(&f, 1);
    arena_init(&json_arena, 0);
    expect(&f, "PUT /v1/workflows/pass", PASS, 201, "\"created\":true");
    expect(&f, "PUT /v1/workflows/more", WAITING, 201, "\"created\":true");
    for (int i = 0; i < 7; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "k%d", i);
        start(&f, &k, i < 5 ? "pass" : "more", key);
        ck_assert_int_eq(k.status, 201);
        text_at(body_of(&k), "id", id, sizeof(id));
    }
    uint32_t rows = 0, pages = 0;
    bool seen[7] = {false};
    do {
        (void)snprintf(request, sizeof(request), "GET /v1/executions?page_size=2%s%s",
                       pages > 0 ? "&page_token=" : "", token);
        get(&f, &k, request, NULL);
        ck_assert_int_eq(k.status, 200);
        const struct jv *list = jv_getc(body_of(&k), "executions");
        for (uint32_t i = 0; i < list->len; i++) {
            struct str name = jv_str(jv_getc(list->u.items[i], "name"));
            ck_assert(name.size == 2 && name.p[0] == 'k' && !seen[name.p[1] - '0']);
            seen[name.p[1] - '0'] = true;
            rows++;
        }
        text_at(body_of(&k), "next_page_token", token, sizeof(token));
        pages++;
    } while (token[0] != '\0' && pages < 10);
    ck_assert_uint_eq(rows, 7);
    ck_assert_uint_eq(pages, 4);
    get(&f, &k, "GET /v1/executions?page_size=1", NULL);
    text_at(body_of(&k), "next_page_token", token, sizeof(token));
    (void)snprintf(request, sizeof(request), "GET /v1/executions?workflow=pass&page_token=%s",
                   token);
    expect(&f, request, NULL, 400, "page_token was not given out for this list");
    (void)snprintf(request, sizeof(request), "GET /v1/workflows?page_token=%s", token);
    expect(&f, request, NULL, 400, "page_token");
    expect(&f, "GET /v1/executions?page_token=", NULL, 400, "page_token");
    expect(&f, "GET /v1/executions?page_token=AAAA", NULL, 400, "page_token");
    expect(&f, "GET /v1/executions?page_token=%2e%2e", NULL, 400, "page_token");
    /* Workflows by name, one a page. */
    get(&f, &k, "GET /v1/workflows?page_size=1", NULL);
    ck_assert_ptr_nonnull(strstr(k.body, "\"workflow\":\"more\""));
    text_at(body_of(&k), "next_page_token", token, sizeof(token));
    (void)snprintf(request, sizeof(request), "GET /v1/workflows?page_size=1&page_token=%s", token);
    expect(&f, request, NULL, 200, "\"workflow\":\"pass\"");
    /* Events of the last one, which waits: three, then no more. */
    (void)snprintf(request, sizeof(request), "GET /v1/executions/%s/history?page_size=1", id);
    get(&f, &k, request, NULL);
    ck_assert_ptr_nonnull(strstr(k.body, "ExecutionStarted"));
    text_at(body_of(&k), "next_page_token", token, sizeof(token));
    (void)snprintf(request, sizeof(request), "GET /v1/executions/%s/history?page_token=%s", id,
                   token);
    get(&f, &k, request, NULL);
    ck_assert_ptr_null(strstr(k.body, "ExecutionStarted"));
    ck_assert_ptr_nonnull(strstr(k.body, "WaitStateEntered"));
    ck_assert_ptr_null(strstr(k.body, "next_page_token"));
    (void)snprintf(request, sizeof(request),
                   "GET /v1/executions/%s/history?reverse=true&page_token=%s", id, token);
    expect(&f, request, NULL, 400, "page_token");
    arena_fini(&json_arena);
    down(&f);
}
END_TEST

START_TEST(definitions_and_their_tags)
{
    struct fixture f;
    up(&f, _i);
    expect(&f, "GET /v1/workflows/w", NULL, 404, "NO_WORKFLOW");
    expect(&f, "PUT /v1/workflows/w\nIf-Match: \"1\"", PASS, 412, "PRECONDITION");
    expect(&f, "PUT /v1/workflows/w\nIf-None-Match: *", PASS, 201, "\"version\":1");
    expect(&f, "PUT /v1/workflows/w\nIf-None-Match: *", WAITING, 412, "PRECONDITION");
    expect(&f, "PUT /v1/workflows/w\nIf-Match: \"2\"", WAITING, 412, "PRECONDITION");
    expect(&f, "PUT /v1/workflows/w\nIf-Match: \"1\"", WAITING, 201, "ETag: \"2\"\n");
    expect(&f, "PUT /v1/workflows/w\nIf-Match: \"1\"", WAITING, 200, "ETag: \"2\"\n"); /* again */
    expect(&f, "PUT /v1/workflows/w\nIf-Match: W/\"2\"", PASS, 400, "If-Match");
    expect(&f, "PUT /v1/workflows/w\nIf-Match: *", PASS, 400, "If-Match");
    expect(&f, "PUT /v1/workflows/w\nIf-None-Match: \"2\"", PASS, 400, "If-None-Match");
    expect(&f, "GET /v1/workflows/w", NULL, 200, WAITING);
    expect(&f, "GET /v1/workflows/w?version=1", NULL, 200, PASS);
    expect(&f, "GET /v1/workflows/w?version=3", NULL, 404, "NO_WORKFLOW");
    expect(&f, "GET /v1/workflows/w?version=0", NULL, 400, "version");
    expect(&f, "GET /v1/workflows/w\nIf-None-Match: \"1\", \"2\"", NULL, 304, "ETag: \"2\"\n");
    expect(&f, "GET /v1/workflows/w\nIf-None-Match: \"1\"", NULL, 200, "Last-Modified: ");
    expect(&f, "PUT /v1/workflows/y\nContent-Type: application/yaml",
           "StartAt: A\nStates:\n  A: {Type: Succeed}\n", 201, "\"version\":1");
    expect(&f, "GET /v1/workflows/y", NULL, 200, "application/yaml");
    expect(&f, "PUT /v1/workflows/y\nContent-Type: application/json",
           "StartAt: A\nStates:\n  A: {Type: Succeed}\n", 400, "\"code\":\"DEFINITION\"");
    expect(&f, "PUT /v1/workflows/y\nContent-Type: text/plain", PASS, 415, "UNSUPPORTED");
    expect(&f, "PUT /v1/workflows/y", NULL, 400, "must be the definition");
    expect(&f, "PUT /v1/workflows/a%2Fb", PASS, 400, "INVALID");
    expect(&f, "PUT /v1/workflows/bad", "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Wat\"}}}",
           400, "\"problems\":[{\"line\":1,\"column\":");
    expect(&f, "DELETE /v1/workflows/w\nIf-Match: \"1\"", NULL, 412, "PRECONDITION");
    expect(&f, "DELETE /v1/workflows/w\nIf-Match: \"2\"", NULL, 204, "X-Request-Id");
    expect(&f, "DELETE /v1/workflows/w", NULL, 404, "NO_WORKFLOW");
    expect(&f, "POST /v1/executions", "{\"workflow\":\"w\"}", 404, "NO_WORKFLOW");
    down(&f);
}
END_TEST

START_TEST(refused_requests)
{
    struct fixture f;
    static const struct {
        const char *request, *body;
        int status;
        const char *text;
    } cases[] = {
        {"GET /v1/executions?page_size=0", NULL, 400, "page_size"},
        {"GET /v1/executions?page_size=1001", NULL, 400, "page_size"},
        {"GET /v1/executions?page_size=x", NULL, 400, "page_size"},
        {"GET /v1/executions?status=running", NULL, 400, "status must be"},
        {"GET /v1/executions?limit=3", NULL, 400, "no parameter \\\"limit\\\""},
        {"GET /v1/executions?workflow=a&workflow=b", NULL, 400, "given twice"},
        {"GET /v1/executions?workflow=%ff", NULL, 400, "MALFORMED"},
        {"GET /v1/executions?tenant=", NULL, 400, "tenant must match"},
        {"GET /v1/executions?tenant=nobody", NULL, 404, "nobody"},
        {"GET /v1/executions/xyz", NULL, 400, "is not an execution id"},
        {"GET /v1/executions/00050f00-0001-8512-b76a-de576a034baa", NULL, 404, "NO_EXECUTION"},
        {"GET /v1/executions/xyz/history?reverse=yes", NULL, 400, "true or false"},
        {"POST /v1/executions", "{\"workflow\":\"w\"", 400, "MALFORMED"},
        {"POST /v1/executions", "[]", 400, "JSON object"},
        {"POST /v1/executions", NULL, 400, "must name what to start"},
        {"POST /v1/executions", "{\"workflow\":3}", 400, "must be a string"},
        {"POST /v1/executions", "{\"workflow\":\"w\",\"inputs\":3}", 400, "no member"},
        {"POST /v1/executions", "{\"workflow\":\"w w\"}", 400, "INVALID"},
        {"POST /v1/executions\nIdempotency-Key: a", "{\"workflow\":\"w\",\"name\":\"b\"}", 400,
         "not the same"},
        {"POST /v1/executions\nIdempotency-Key: a b", "{\"workflow\":\"w\"}", 400, "must match"},
        {"POST /v1/executions\nContent-Type: text/plain", "{\"workflow\":\"w\"}", 415,
         "application/json"},
        {"POST /v1/executions\nHost: localhost:8080\nOrigin: http://evil.example",
         "{\"workflow\":\"w\"}", 403, "DENIED"},
        {"GET /health/live?\nHost: evil.example:8080", NULL, 403, "DENIED"},
        {"POST /v1/executions/x/stop\nOrigin: null\nHost: 127.0.0.1:8080", NULL, 403, "DENIED"},
    };
    up(&f, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        static struct ask k;
        get(&f, &k, cases[i].request, cases[i].body);
        ck_assert_msg(k.status == cases[i].status && strstr(k.body, cases[i].text) != NULL,
                      "%s: wanted %d %s, got %d %s", cases[i].request, cases[i].status,
                      cases[i].text, k.status, k.body);
    }
    expect(&f, "GET /\nHost: [::1]:8080", NULL, 200, "routes");
    expect(&f, "GET /\nHost: LOCALHOST", NULL, 403, "DENIED");
    expect(&f, "POST /v1/executions\nHost: localhost:8080\nOrigin: http://localhost:8080",
           "{\"workflow\":\"w\"}", 404, "NO_WORKFLOW");
    /* What the port itself refuses is put into the same words. */
    struct ask k = {.base = {.refused = 431, .why = ERR_TOO_LARGE, .detail = "too much"}};
    k.f = &f;
    k.task = (struct loop_task){.run = ask_run, .name = "http request"};
    asking = &k;
    host_run(f.host, ask_post);
    RUN_UNTIL(&f, k.done);
    ck_assert_int_eq(k.status, 431);
    ck_assert_ptr_nonnull(strstr(k.body, "\"detail\":\"too much\",\"code\":\"TOO_LARGE\""));
    down(&f);
}
END_TEST

START_TEST(waiting_is_bounded)
{
    struct fixture f;
    static struct ask many[8];
    uint32_t refused = 0;
    int64_t full = metric_value(&metric_admin_full);
    setup(&f, _i);
    f.config.admin_queue = 3;
    host_boot(f.host);
    RUN_UNTIL(&f, f.active);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        send(&f, &many[i], "GET /v1/executions", NULL);
    }
    RUN_UNTIL(&f, f.requests == ARRAY_LEN(many));
    static struct ask health;
    get(&f, &health, "GET /health/ready", NULL); /* does not wait in the engine */
    ck_assert_int_eq(health.status, 200);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        RUN_UNTIL(&f, many[i].done);
        if (many[i].status == 503) {
            refused++;
            ck_assert_str_eq(many[i].type, "application/problem+json");
            ck_assert_ptr_nonnull(strstr(many[i].extra, "Retry-After: 1\n"));
            ck_assert_ptr_nonnull(strstr(many[i].body, "\"code\":\"LIMIT\",\"retryable\":true"));
        } else {
            ck_assert_int_eq(many[i].status, 200);
        }
    }
    ck_assert_uint_ge(refused, 1);
    ck_assert_uint_le(refused, ARRAY_LEN(many) - 3);
    ck_assert_int_eq(metric_value(&metric_admin_full), full + (int64_t)refused);
    ck_assert_int_eq(metric_value(&metric_admin_waiting), 0);
    down(&f);
}
END_TEST

START_TEST(answers_without_room)
{
    struct fixture f;
    up(&f, 0);
    f.room = 400;
    expect(&f, "GET /openapi.json", NULL, 503, "\"code\":\"LIMIT\"");
    f.room = 0;
    expect(&f, "GET /openapi.json", NULL, 200, "\"3.1.0\"");
    down(&f);
}
END_TEST

static char told[300];
static void on_line(struct log_sink *s, enum log_level level, const char *line, size_t size)
{
    (void)s;
    if (level == LOG_DEBUG && strstr(line, "path=\"/no") != NULL) {
        (void)snprintf(told, sizeof(told), "%.*s", (int)size, line);
    }
}

/* A field of the log line is in quotes: what stands in a path must not end it. */
START_TEST(a_path_forges_no_log_line)
{
    static struct log_sink sink = {.write = on_line};
    struct fixture f;
    up(&f, 0);
    told[0] = '\0';
    log_set_sink(&sink);
    ck_assert(log_set_level(STR("admin"), LOG_DEBUG));
    expect(&f, "GET /no\"status=200", NULL, 404, "NOT_FOUND");
    ck_assert(log_set_level(STR("admin"), LOG_INFO));
    log_set_sink(NULL);
    ck_assert_msg(strstr(told, "path=\"/no'status=200\" status=404") != NULL, "%s", told);
    down(&f);
}
END_TEST

/* Requests under way when the node stops are answered before the port closes. */
START_TEST(stops_with_requests_under_way)
{
    struct fixture f;
    static struct ask many[6];
    up(&f, _i);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        send(&f, &many[i], i % 2 ? "GET /v1/executions" : "GET /v1/cluster", NULL);
    }
    RUN_UNTIL(&f, f.requests > 0);
    host_run(f.host, stop);
    RUN_UNTIL(&f, f.stopped);
    f.failed = true; /* it has stopped already */
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        ck_assert(many[i].done && (many[i].status == 200 || many[i].status == 503));
    }
    down(&f);
}
END_TEST

START_TEST(address_taken)
{
    struct fixture f;
    setup(&f, 0); /* the default: without */
    f.taken = "127.0.0.1:8080";
    host_boot(f.host);
    RUN_UNTIL(&f, f.active);
    ck_assert(f.handler == NULL && f.started);
    down(&f);
    setup(&f, 0);
    f.taken = "127.0.0.1:8080";
    f.config.admin_taken = ADMIN_TAKEN_ANY_PORT;
    host_boot(f.host);
    RUN_UNTIL(&f, f.active);
    ck_assert_str_eq(f.admin, "127.0.0.1:0");
    down(&f);
    setup(&f, 0);
    f.taken = "127.0.0.1:8080";
    f.config.admin_taken = ADMIN_TAKEN_FAIL;
    host_boot(f.host);
    RUN_UNTIL(&f, f.failed);
    ck_assert_str_eq(f.why, "admin port 127.0.0.1:8080 is taken");
    down(&f);
    setup(&f, 0);
    f.config.admin = STR_NONE;
    host_boot(f.host);
    RUN_UNTIL(&f, f.active);
    ck_assert(f.handler == NULL);
    down(&f);
}
END_TEST

/* ---- a loop that is stuck: the admin alone, watching a loop that runs nothing ---- */

static void stuck_post(struct loop *l, struct loop_task *t)
{
    (void)l;
    (void)t;
}

static const struct loop_ops stuck_ops = {.post = stuck_post};
static struct loop stuck;
static struct admin *alone;

static void alone_started(void *arg, enum err e, struct str address, const struct err_detail *d)
{
    struct fixture *f = arg;
    (void)address;
    (void)d;
    f->started = e == ERR_OK;
}

static void alone_boot(struct host *h)
{
    struct fixture *f = h->user;
    stuck = (struct loop){.ops = &stuck_ops, .clock = &h->clock.base, .name = "stuck"};
    struct admin_config c = {.http = &f->http,
                             .listen = STR("0.0.0.0:80"),
                             .version = STR("0"),
                             .started = alone_started,
                             .arg = f};
    c.loop = h->factory.make(&h->factory, "admin");
    c.watched[0] = h->factory.make(&h->factory, "turning");
    c.watched[1] = &stuck;
    c.watched_len = 2;
    alone = admin_new(&c);
    admin_start(alone);
}

START_TEST(a_stuck_loop_is_not_live)
{
    struct fixture f;
    setup(&f, 0);
    f.host->boot = alone_boot;
    host_boot(f.host);
    RUN_UNTIL(&f, f.started);
    expect(&f, "GET /health/live\nHost: any.name", NULL, 200,
           "\"name\":\"loop stuck\",\"ok\":true");
    world_run(f.world, f.world->now_us + ADMIN_LIVE_US + US_PER_S);
    expect(&f, "GET /health/live", NULL, 503, "\"name\":\"loop stuck\",\"ok\":false");
    expect(&f, "GET /health/live", NULL, 503, "\"name\":\"loop turning\",\"ok\":true");
    world_free(f.world);
    sim_store_free(f.store);
    sim_net_free(f.net);
}
END_TEST

int main(void)
{
    mem_regions_enable();
    Suite *s = suite_create("admin");
    TCase *c = tcase_create("admin");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, paths_and_methods, 0, 3);
    tcase_add_test(c, openapi_has_the_routes);
    tcase_add_loop_test(c, health_from_start_to_end, 0, 6);
    tcase_add_loop_test(c, an_execution, 0, 6);
    tcase_add_test(c, page_after_page);
    tcase_add_loop_test(c, definitions_and_their_tags, 0, 3);
    tcase_add_test(c, refused_requests);
    tcase_add_loop_test(c, waiting_is_bounded, 0, 6);
    tcase_add_test(c, answers_without_room);
    tcase_add_test(c, a_path_forges_no_log_line);
    tcase_add_loop_test(c, stops_with_requests_under_way, 0, 12);
    tcase_add_test(c, address_taken);
    tcase_add_test(c, a_stuck_loop_is_not_live);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
