/* What clients ask: hello, start, describe, watch, stop, definitions, status. See front.h. */
#include "base/prelude.h"

#include "base/digest.h"
#include "engine/engine_internal.h"
#include "engine/starts.h"

LOG_MODULE("client_api");

static int64_t wall_ms(struct wall t)
{
    return t.us / US_PER_MS;
}

/* The answer to an item that ended with an error, and the end of the item. */
static void item_error(struct call *c, struct item *it)
{
    char detail[ERR_DETAIL_SIZE];
    enum err e = it->err;
    (void)snprintf(detail, sizeof(detail), "%.*s", STR_ARG(it->detail));
    item_fini(it);
    if (e == ERR_DAMAGED) {
        call_error(c, e, "%s: %s", err_text(e), detail);
    } else {
        call_error(c, e, "%s", detail);
    }
}

/* ---- tenants by name ---- */

struct tenant {
    struct map_node node;
    struct front *front;
    struct str name; /* owned */
    uint32_t number;
    /* Asked again, after a failover may have undone it. */
    bool checking, stale;
    struct store_tenant check;
    struct arena arena; /* of the question */
    struct loop_timer again;
};

static bool tenant_eq(const struct map_node *n, const void *key)
{
    return str_eq(MAP_ENTRY(n, const struct tenant, node)->name, *(const struct str *)key);
}

static struct tenant *tenant_find(struct front *f, struct str name)
{
    struct map_node *n = map_find(&f->tenants, hash_bytes(name.p, name.size), &name, tenant_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct tenant, node);
}

static struct str own(struct str s)
{
    char *p = mem_alloc(s.size + 1);
    if (s.size > 0) {
        memcpy(p, s.p, s.size);
    }
    return (struct str){p, s.size};
}

static void tenant_add(struct front *f, struct str name, uint32_t number)
{
    if (tenant_find(f, name) == NULL && map_len(&f->tenants) < TENANTS_MAX) {
        struct tenant *t = MEM_NEW(struct tenant);
        t->front = f;
        t->name = own(name);
        t->number = number;
        arena_init(&t->arena, 0);
        map_insert(&f->tenants, &t->node, hash_bytes(name.p, name.size));
    }
}

void tenants_fini(struct front *f)
{
    LIST_FOREACH_SAFE(it, &f->tenants.order)
    {
        struct tenant *t = MAP_ORDER_ENTRY(it, struct tenant, node);
        loop_timer_stop(&t->again);
        map_remove(&f->tenants, &t->node);
        arena_fini(&t->arena);
        mem_free((void *)(uintptr_t)t->name.p);
        mem_free(t);
    }
    map_fini(&f->tenants);
    map_fini(&f->starting);
}

enum { CHECK_AGAIN_US = 500 * US_PER_MS };

static void tenant_check(struct tenant *t);

/* Another tenant has the number now, which only the name of both can be to blame for: whoever is connected
 * under it says HELLO again, for the new one. */
static void tenant_renumber(struct tenant *t, uint32_t number)
{
    struct front *f = t->front;
    log_warn("tenant has another number after a failover", "tenant=%.*s was=%u is=%u",
             STR_ARG(t->name), t->number, number);
    LIST_FOREACH_SAFE(it, &f->conns.order)
    {
        struct conn *c = MAP_ORDER_ENTRY(it, struct conn, node);
        if (c->session != NULL && c->tenant == t->number) {
            conn_supersede(f, c->id);
        }
    }
    t->number = number;
}

static void tenant_checked(struct store_req *r)
{
    struct tenant *t =
        CONTAINER_OF(CONTAINER_OF(r, struct store_tenant, req), struct tenant, check);
    t->checking = false;
    t->front->requests--;
    if (r->err == ERR_OK && !t->stale) {
        if (t->check.number != t->number) {
            tenant_renumber(t, t->check.number);
        }
    } else if (!t->front->going_away) {
        loop_timer_after(t->front->loop, &t->again, t->stale ? 0 : CHECK_AGAIN_US);
    }
}

static void tenant_check_fired(struct loop_timer *timer)
{
    tenant_check(CONTAINER_OF(timer, struct tenant, again));
}

static void tenant_check(struct tenant *t)
{
    if (t->checking) {
        t->stale = true; /* what is asked may be from before this failover */
        return;
    }
    t->checking = true;
    t->stale = false;
    t->front->requests++;
    t->again.fired = tenant_check_fired;
    t->again.name = "tenant again";
    loop_timer_stop(&t->again);
    arena_reset(&t->arena, 4096);
    t->check = (struct store_tenant){.req = {.op = STORE_TENANT,
                                             .loop = t->front->loop,
                                             .done = tenant_checked,
                                             .arena = &t->arena},
                                     .name = t->name,
                                     .create = true};
    store_submit(t->front->store, &t->check.req);
}

void tenants_check(struct front *f)
{
    LIST_FOREACH(it, &f->tenants.order)
    {
        tenant_check(MAP_ORDER_ENTRY(it, struct tenant, node));
    }
}

static void tenant_finish(struct tenant_ask *ask, enum err e, const char *detail)
{
    struct arena a = ask->arena; /* "done" may free the question */
    ask->front->requests--;
    ask->done(ask, e, detail);
    arena_fini(&a);
}

/* Whoever connects may bring a new name, and the store keeps it for ever: their number is bounded. */
static void tenant_asked(struct store_req *r)
{
    struct tenant_ask *ask =
        CONTAINER_OF(CONTAINER_OF(r, struct store_tenant, req), struct tenant_ask, req);
    struct err_detail d = {0};
    if (r->err != ERR_OK) {
        (void)err_set(&d, r->err, "tenant \"%.*s\": %s", STR_ARG(ask->name),
                      r->detail.text[0] != '\0' ? r->detail.text : err_text(r->err));
    } else {
        ask->number = ask->req.number;
        tenant_add(ask->front, ask->name, ask->number);
    }
    tenant_finish(ask, r->err, d.text);
}

void tenant_ask(struct front *f, struct tenant_ask *ask)
{
    struct tenant *t = tenant_find(f, ask->name);
    if (t != NULL) {
        ask->number = t->number;
        ask->done(ask, ERR_OK, "");
        return;
    }
    ask->front = f;
    f->requests++; /* the front is not idle meanwhile */
    arena_init(&ask->arena, 0);
    ask->req = (struct store_tenant){
        .req = {.op = STORE_TENANT, .loop = f->loop, .done = tenant_asked, .arena = &ask->arena},
        .name = ask->name,
        .create = ask->create,
        .max = TENANTS_MAX};
    store_submit(f->store, &ask->req.req);
}

/* ---- hello ---- */

struct hello {
    struct call *call;
    struct tenant_ask ask;
};

static void hello_finish(struct call *c, uint32_t tenant)
{
    struct front *f = c->frame->front;
    struct conn *conn = c->frame->conn;
    const struct msg_hello *in = &c->msg.u.hello;
    if (conn->closed) {
        call_drop(c);
        return;
    }
    if (conn->session != NULL && (conn->instance != in->instance || conn->tenant != tenant ||
                                  !str_eq(conn->name, in->name))) {
        call_error(c, ERR_PROTOCOL, "this connection has said HELLO as \"%.*s\" already",
                   STR_ARG(conn->name));
        return;
    }
    uint64_t before = dispatch_session_conn(f->dispatch, in->instance, tenant);
    if (before != 0 && before != conn->id) {
        conn_supersede(f, before);
    }
    conn->tenant = tenant;
    conn->instance = in->instance;
    if (conn->name.p == NULL) { /* borrowed by facts under way: set once */
        conn->name = own(in->name);
    }
    conn->session = dispatch_hello(f->dispatch, in->instance, tenant, in->name, conn->id, in->held,
                                   in->held_len);
    struct msg m = {.type = MSG_HELLO_OK};
    struct msg_hello_ok *out = &m.u.hello_ok;
    out->protocol = MIN(in->protocol, (uint32_t)MSG_PROTOCOL);
    out->node = f->engine->c.node;
    out->version = f->engine->c.version;
    out->state = conn->told = front_state(f);
    out->addresses = &f->listener->address;
    out->addresses_len = 1;
    out->message_size_max = MESSAGE_SIZE_MAX;
    out->payload_size_max = PAYLOAD_SIZE_MAX;
    out->heartbeat_ms = (uint32_t)(f->engine->c.heartbeat_us / US_PER_MS);
    call_answer(c, &m);
    dispatch_flush(f->dispatch);
}

static void hello_tenant_done(struct tenant_ask *ask, enum err e, const char *detail)
{
    struct call *c = CONTAINER_OF(ask, struct hello, ask)->call;
    if (e != ERR_OK) {
        call_error(c, e, "%s", detail);
        return;
    }
    hello_finish(c, ask->number);
}

void api_hello(struct call *c)
{
    const struct msg_hello *in = &c->msg.u.hello;
    struct str name = in->tenant.size == 0 ? STR("default") : in->tenant;
    if (in->protocol < MSG_PROTOCOL_MIN) {
        call_error(c, ERR_PROTOCOL, "protocol %u is too old; this node speaks %d to %d",
                   in->protocol, MSG_PROTOCOL_MIN, MSG_PROTOCOL);
        return;
    }
    if (!str_is_name(in->name) || !str_is_name(name)) {
        call_error(c, ERR_INVALID, "name and tenant must match [A-Za-z0-9._:-]{1,255}");
        return;
    }
    if (in->instance == 0) {
        call_error(c, ERR_INVALID, "instance must be a random number, not 0");
        return;
    }
    struct hello *h = CALL_NEW(c, struct hello);
    if (h == NULL) {
        return;
    }
    h->call = c;
    h->ask = (struct tenant_ask){.name = name, .create = true, .done = hello_tenant_done};
    tenant_ask(c->frame->front, &h->ask);
}

/* ---- start ---- */

struct start_call {
    struct call *call;
    struct start start;
    char name[EXEC_ID_TEXT + 1]; /* when the client gave none */
};

static void start_done(struct start *s)
{
    struct call *c = CONTAINER_OF(s, struct start_call, start)->call;
    char text[EXEC_ID_TEXT + 1];
    if (s->err != ERR_OK) {
        call_error(c, s->err, "%s", s->detail);
        return;
    }
    exec_id_format(&s->exec, text);
    struct msg m = {.type = MSG_START_OK};
    m.u.start_ok.execution = str_of(text);
    m.u.start_ok.created = s->created;
    m.u.start_ok.started_at_ms = wall_ms(s->started_at);
    m.u.start_ok.name = s->name;
    call_answer(c, &m);
}

static bool start_valid(struct call *c, const struct msg_start *in)
{
    if (!str_is_name(in->workflow)) {
        call_error(c, ERR_INVALID, "workflow must match [A-Za-z0-9._:-]{1,255}");
        return false;
    }
    if (in->name.size > 0 && !str_is_name(in->name)) {
        call_error(c, ERR_INVALID, "name must match [A-Za-z0-9._:-]{1,255}");
        return false;
    }
    if (in->input.size > PAYLOAD_SIZE_MAX) {
        call_error(c, ERR_TOO_LARGE, "input has %zu bytes, the limit is %d", in->input.size,
                   PAYLOAD_SIZE_MAX);
        return false;
    }
    return true;
}

void api_start(struct call *c)
{
    struct front *f = c->frame->front;
    const struct msg_start *in = &c->msg.u.start;
    if (!start_valid(c, in)) {
        return;
    }
    struct start_call *sc = CALL_NEW(c, struct start_call);
    if (sc == NULL) {
        return;
    }
    sc->call = c;
    struct start *s = &sc->start;
    s->tenant = c->frame->conn->tenant;
    s->workflow = in->workflow;
    s->name = in->name;
    s->input = in->input.size == 0 ? STR("{}") : in->input;
    s->arena = call_arena(c);
    s->done = start_done;
    if (s->name.size == 0) {
        struct uuid u = uuid_make(&f->rng);
        uuid_format(&u, sc->name);
        s->name = str_of(sc->name);
    }
    start_run(f, s);
}

/* ---- describe, watch ---- */

enum { DESCRIBES_MAX = 64 };

struct describe {
    struct call *call;
    struct list link; /* front.describes: waits */
    struct exec_id id;
    struct defs_wait wait;
    struct start_key key;
    struct store_start_lookup lookup;
};

static void describe_load(struct describe *d);

/* Each has the execution's input and output in hand: a few at a time. */
static void describe_end(struct front *f)
{
    f->describes_open--;
    struct list *next = list_pop_front(&f->describes);
    if (next != NULL) {
        describe_load(LIST_ENTRY(next, struct describe, link));
    }
}

static void describe_answer(struct call *c, uint32_t version)
{
    const struct item_view *v = &c->item.view;
    char text[EXEC_ID_TEXT + 1];
    exec_id_format(&c->item.exec, text);
    struct msg m = {.type = MSG_DESCRIBE_OK};
    struct msg_describe_ok *out = &m.u.describe_ok;
    out->execution = str_of(text);
    out->workflow = v->workflow;
    out->name = v->name;
    out->status = (uint32_t)v->status;
    out->input = v->input;
    out->output = v->output;
    out->error = v->error;
    out->cause = v->cause;
    out->started_at_ms = wall_ms(v->started_at);
    out->closed_at_ms = wall_ms(v->closed_at);
    out->event_count = v->event_count;
    out->workflow_version = version;
    struct arena a = c->item.arena; /* the texts live there until the answer is written */
    struct front *f = c->frame->front;
    call_answer(c, &m);
    arena_fini(&a);
    describe_end(f);
}

static void describe_versioned(struct defs_wait *w, struct def *def,
                               const struct definition_row *row, enum err e)
{
    (void)e;
    struct describe *d = CONTAINER_OF(w, struct describe, wait);
    describe_answer(d->call, def == NULL ? 0 : row->version);
}

static void describe_done(struct item *it)
{
    struct describe *d = it->owner;
    struct front *f = d->call->frame->front;
    if (it->err != ERR_OK) {
        item_error(d->call, it);
        describe_end(f);
        return;
    }
    d->wait.done = describe_versioned;
    defs_get(d->call->frame->front->defs, it->view.revision, &d->wait);
}

/* An execution of another tenant does not exist for this one. */
static bool execution_of(struct call *c, struct str text, struct exec_id *out)
{
    if (exec_id_parse(text, out) != ERR_OK) {
        call_error(c, ERR_INVALID, "\"%.*s\" is not an execution id", STR_ARG(text));
        return false;
    }
    if (exec_id_tenant(out) != c->frame->conn->tenant ||
        exec_id_shard(out) != c->frame->front->lanes.shard) {
        call_error(c, ERR_NO_EXECUTION, "%s", "");
        return false;
    }
    return true;
}

static void describe_load(struct describe *d)
{
    struct call *c = d->call;
    c->frame->front->describes_open++;
    item_init(&c->item, ITEM_DESCRIBE, &d->id, describe_done, d);
    shard_submit(front_shard(c->frame->front, &d->id), &c->item);
}

static void describe_ask(struct describe *d, const struct exec_id *id)
{
    struct front *f = d->call->frame->front;
    d->id = *id;
    if (f->describes_open == DESCRIBES_MAX) {
        list_push_back(&f->describes, &d->link);
    } else {
        describe_load(d);
    }
}

static void describe_looked_up(struct store_req *r)
{
    struct describe *d =
        CONTAINER_OF(CONTAINER_OF(r, struct store_start_lookup, req), struct describe, lookup);
    if (r->err != ERR_OK) {
        call_error(d->call, r->err, "%s", r->detail.text);
    } else if (!d->lookup.found->found) {
        call_error(d->call, ERR_NO_EXECUTION, "%s", "");
    } else {
        struct exec_id id = d->lookup.found->exec;
        describe_ask(d, &id);
    }
}

void api_describe(struct call *c)
{
    const struct msg_describe *in = &c->msg.u.describe;
    struct front *f = c->frame->front;
    struct describe *d = CALL_NEW(c, struct describe);
    if (d == NULL) {
        return;
    }
    d->call = c;
    if (in->execution.size > 0) {
        struct exec_id id;
        if (execution_of(c, in->execution, &id)) {
            describe_ask(d, &id);
        }
        return;
    }
    d->key = (struct start_key){.tenant = c->frame->conn->tenant,
                                .workflow = in->workflow,
                                .name = in->name};
    d->lookup = (struct store_start_lookup){.req = {.op = STORE_START_LOOKUP,
                                                    .loop = f->loop,
                                                    .done = describe_looked_up,
                                                    .arena = call_arena(c)},
                                            .keys = &d->key,
                                            .keys_len = 1};
    store_submit(f->store, &d->lookup.req);
}

static void watch_answer(struct call *c, const struct item_view *v)
{
    struct msg m = {.type = MSG_WATCH_OK};
    m.u.watch_ok.ended = v->status != EXEC_RUNNING;
    m.u.watch_ok.status = (uint32_t)v->status;
    m.u.watch_ok.output = v->output;
    m.u.watch_ok.error = v->error;
    m.u.watch_ok.cause = v->cause;
    call_answer(c, &m);
}

/* Answers its own call last: the item lies in that one's frame. */
static void watch_done(struct item *it)
{
    if (it->err != ERR_OK) {
        item_error(it->owner, it);
        return;
    }
    struct arena a = it->arena;
    struct item_view view = it->view;
    struct list *l;
    while (it->also.next != NULL && (l = list_pop_front(&it->also)) != NULL) {
        watch_answer(LIST_ENTRY(l, struct item, link)->owner, &view);
    }
    watch_answer(it->owner, &view);
    arena_fini(&a);
}

void api_watch(struct call *c)
{
    const struct msg_watch *in = &c->msg.u.watch;
    struct front *f = c->frame->front;
    struct exec_id id;
    if (!execution_of(c, in->execution, &id)) {
        return;
    }
    item_init(&c->item, ITEM_WATCH, &id, watch_done, c);
    c->item.until.us = loop_now(f->loop).us + (int64_t)in->wait_ms * US_PER_MS;
    list_push_back(&c->frame->conn->watches, &c->watch);
    call_waits(c);
    call_unpin(c);
    shard_submit(front_shard(f, &id), &c->item);
}

static void watch_ended(struct watch_end *w)
{
    struct call *c = CONTAINER_OF(w, struct call, watch_end);
    c->frame->front->requests--;
    frame_unref(c->frame);
}

void watches_end(struct conn *conn, struct frame *fr)
{
    LIST_FOREACH_SAFE(l, &conn->watches)
    {
        struct call *c = LIST_ENTRY(l, struct call, watch);
        if (fr != NULL && c->frame != fr) {
            continue;
        }
        list_remove(l);
        c->watch_end = (struct watch_end){.item = &c->item, .done = watch_ended};
        c->frame->open++; /* the shard may have answered it meanwhile */
        c->frame->front->requests++;
        shard_watch_end(&c->watch_end);
    }
}

/* ---- stop ---- */

static void stop_done(struct item *it)
{
    struct call *c = it->owner;
    struct front *f = c->frame->front;
    if (it->err != ERR_OK && it->err != ERR_STOPPED) {
        item_error(c, it);
        return;
    }
    struct wall at = it->at.us != 0 ? it->at : front_now(f);
    item_fini(it);
    /* Ended already: the answer to a repeated stop is the same. */
    fault_hit(f->faults, FAULT_STOP_AFTER_COMMIT);
    struct msg m = {.type = MSG_STOP_OK};
    m.u.stop_ok.stopped_at_ms = wall_ms(at);
    call_answer(c, &m);
}

void api_stop(struct call *c)
{
    const struct msg_stop *in = &c->msg.u.stop;
    struct exec_id id;
    if (!execution_of(c, in->execution, &id)) {
        return;
    }
    item_init(&c->item, ITEM_FACT, &id, stop_done, c);
    c->item.fact = (struct fact){.type = FACT_STOP, .error = in->error, .cause = in->cause};
    shard_submit(front_shard(c->frame->front, &id), &c->item);
}

/* ---- status ---- */

/* The lanes held: slots, epoch of the claim, and the time that their open windows span. */
static void status_lanes(struct buf *b, const struct lanes *lanes)
{
    const char *comma = "";
    buf_puts(b, ",\"owned\":[");
    for (uint32_t i = 0; i < lanes->len; i++) {
        const struct lane *l = &lanes->lane[i];
        if (!l->held) {
            continue;
        }
        char from[WALL_TEXT_SIZE], until[WALL_TEXT_SIZE];
        wall_format((struct wall){l->accept_from * lanes->window_us}, 0, from);
        wall_format((struct wall){(l->open_to + 1) * lanes->window_us}, 0, until);
        buf_printf(b,
                   "%s{\"lane\":%u,\"slot_first\":%u,\"slot_last\":%u,\"epoch\":%" PRIu64
                   ",\"open_from\":\"%s\",\"open_until\":\"%s\"}",
                   comma, l->ref.lane, l->ref.slot_lo, l->ref.slot_hi - 1u, l->ref.fence.epoch,
                   from, until);
        comma = ",";
    }
    buf_putc(b, ']');
}

static void status_write(struct buf *b, const struct front *f)
{
    struct dispatch_stats s;
    dispatch_stats(f->dispatch, &s);
    buf_puts(b, "{\"node\":");
    json_write_string(b, f->engine->c.node);
    buf_puts(b, ",\"version\":");
    json_write_string(b, f->engine->c.version);
    buf_puts(b, ",\"address\":");
    json_write_string(b, f->listener->address);
    if (f->other_node.size > 0) {
        buf_puts(b, ",\"other_node\":");
        json_write_string(b, f->other_node);
    }
    buf_printf(b,
               ",\"shard\":%u,\"state\":\"%s\",\"ownership\":\"%s\",\"lanes_held\":%u,\"lanes\":%u"
               ",\"connections\":%zu,\"sessions\":%zu,\"tasks\":%zu,\"ready\":%zu,"
               "\"granted\":%zu,\"confirming\":%zu,\"polls\":%zu",
               f->lanes.shard, msg_node_state_name(front_state(f)), owner_state_name(f->state),
               f->lanes.held_len, f->lanes.len, map_len(&f->conns), s.sessions, s.tasks, s.ready,
               s.granted, s.confirming, s.polls);
    status_lanes(b, &f->lanes);
    buf_printf(b,
               ",\"turns\":%" PRId64 ",\"outcomes\":%" PRId64 ",\"starts\":%" PRId64
               ",\"closed\":%" PRId64 ",\"batches\":%" PRId64 "}",
               metric_value(&metric_turns), metric_value(&metric_outcomes),
               metric_value(&metric_starts), metric_value(&metric_closed),
               metric_value(&metric_batches));
}

void api_status(struct call *c)
{
    struct buf b;
    buf_init(&b, 0);
    status_write(&b, c->frame->front);
    struct msg m = {.type = MSG_STATUS_OK};
    m.u.status_ok.json = buf_str(&b);
    call_answer(c, &m);
    buf_fini(&b);
}

/* ---- definitions ---- */

struct def_call {
    struct call *call;
    char digest[32];
    union {
        struct store_req req;
        struct store_def_put put;
        struct store_def_get get;
        struct store_def_list list;
    } u;
};

/* NULL: there is no memory for it, and the call is answered. */
static struct def_call *def_call_new(struct call *c, enum store_op op,
                                     void (*done)(struct store_req *))
{
    struct def_call *d = CALL_NEW(c, struct def_call);
    if (d == NULL) {
        return NULL;
    }
    d->call = c;
    d->u.req = (struct store_req){.op = op,
                                  .loop = c->frame->front->loop,
                                  .done = done,
                                  .arena = call_arena(c)};
    return d;
}

static void def_problems_answer(struct call *c, const struct def_problems *p)
{
    uint32_t n = MIN(p->len, (uint32_t)MSG_PROBLEMS_MAX);
    struct msg_problem *rows = ARENA_ARRAY(call_arena(c), struct msg_problem, n);
    for (uint32_t i = 0; i < n; i++) {
        rows[i] =
            (struct msg_problem){.line = p->v[i].line,
                                 .col = p->v[i].col,
                                 .pointer = str_sub(str_of(p->v[i].pointer), 0, MSG_PATH_MAX),
                                 .message = str_sub(str_of(p->v[i].message), 0, MSG_TEXT_MAX)};
    }
    metric_add(&metric_refused, 1);
    struct msg m = {.type = MSG_ERROR};
    m.u.error.code = ERR_DEFINITION;
    m.u.error.text = str_of(err_text(ERR_DEFINITION));
    m.u.error.problems = rows;
    m.u.error.problems_len = n;
    call_answer(c, &m);
}

static void def_put_done(struct store_req *r)
{
    struct def_call *d = CONTAINER_OF(r, struct def_call, u);
    struct call *c = d->call;
    if (r->err != ERR_OK) {
        call_error(c, r->err, "%s", r->detail.text);
        return;
    }
    const struct store_def_put *put = &d->u.put;
    defs_forget(c->frame->front->defs, put->tenant, put->workflow);
    if (put->delete_workflow) {
        call_answer(c, &(struct msg){.type = MSG_DEF_DELETE_OK});
        return;
    }
    struct msg m = {.type = MSG_DEF_PUT_OK};
    m.u.def_put_ok.version = put->version;
    m.u.def_put_ok.created = put->created;
    call_answer(c, &m);
}

static void def_digest(const struct def *def, char out[32])
{
    struct buf canonical;
    buf_init(&canonical, 0);
    def_write_canonical(def, &canonical);
    uint8_t sum[DIGEST_SIZE_MAX];
    enum err e = digest_of(DIGEST_SHA256, buf_str(&canonical), sum);
    ASSERT(e == ERR_OK);
    hex_encode(sum, 16, out);
    buf_fini(&canonical);
}

void api_def_put(struct call *c)
{
    const struct msg_def_put *in = &c->msg.u.def_put;
    if (!str_is_name(in->workflow)) {
        call_error(c, ERR_INVALID, "workflow must match [A-Za-z0-9._:-]{1,255}");
        return;
    }
    struct def_problems problems;
    struct def *def;
    def_problems_init(&problems);
    if (def_parse(in->text, (enum def_format)in->format, &def, &problems) != ERR_OK) {
        def_problems_answer(c, &problems);
        def_problems_fini(&problems);
        return;
    }
    struct def_call *d = def_call_new(c, STORE_DEF_PUT, def_put_done);
    if (d == NULL) {
        def_unref(def);
        def_problems_fini(&problems);
        return;
    }
    struct store_def_put *put = &d->u.put;
    uint32_t n = def_state_count(def);
    struct str *paths = ARENA_ARRAY(call_arena(c), struct str, n);
    for (uint32_t i = 0; i < n; i++) {
        paths[i] = str_dup(call_arena(c), def_state_path(def, i));
    }
    def_digest(def, d->digest);
    put->tenant = c->frame->conn->tenant;
    put->workflow = in->workflow;
    put->text = in->text;
    put->digest = (struct str){d->digest, sizeof(d->digest)};
    put->state_paths = paths;
    put->state_paths_len = n;
    put->if_version = in->if_version;
    put->if_absent = in->if_absent;
    def_unref(def);
    def_problems_fini(&problems);
    store_submit(c->frame->front->store, &d->u.req);
}

void api_def_delete(struct call *c)
{
    struct def_call *d = def_call_new(c, STORE_DEF_PUT, def_put_done);
    if (d == NULL) {
        return;
    }
    d->u.put.tenant = c->frame->conn->tenant;
    d->u.put.workflow = c->msg.u.def_delete.workflow;
    d->u.put.delete_workflow = true;
    d->u.put.if_version = c->msg.u.def_delete.if_version;
    store_submit(c->frame->front->store, &d->u.req);
}

static void def_get_done(struct store_req *r)
{
    struct def_call *d = CONTAINER_OF(r, struct def_call, u);
    struct call *c = d->call;
    const struct definition_row *row = &d->u.get.row;
    if (r->err != ERR_OK || row->deleted) {
        call_error(c, r->err != ERR_OK ? r->err : ERR_NO_WORKFLOW, "%s", r->detail.text);
        return;
    }
    struct msg m = {.type = MSG_DEF_GET_OK};
    m.u.def_get_ok.workflow = row->workflow;
    m.u.def_get_ok.version = row->version;
    m.u.def_get_ok.text = row->text;
    m.u.def_get_ok.created_at_ms = wall_ms(row->created_at);
    call_answer(c, &m);
}

void api_def_get(struct call *c)
{
    struct def_call *d = def_call_new(c, STORE_DEF_GET, def_get_done);
    if (d == NULL) {
        return;
    }
    d->u.get.tenant = c->frame->conn->tenant;
    d->u.get.workflow = c->msg.u.def_get.workflow;
    d->u.get.version = c->msg.u.def_get.version;
    store_submit(c->frame->front->store, &d->u.req);
}

static void def_list_done(struct store_req *r)
{
    struct def_call *d = CONTAINER_OF(r, struct def_call, u);
    struct call *c = d->call;
    if (r->err != ERR_OK) {
        call_error(c, r->err, "%s", r->detail.text);
        return;
    }
    const struct store_def_list *list = &d->u.list;
    struct msg_def_row *rows = ARENA_ARRAY(call_arena(c), struct msg_def_row, list->rows_len);
    for (uint32_t i = 0; i < list->rows_len; i++) {
        rows[i] = (struct msg_def_row){.workflow = list->rows[i].workflow,
                                       .version = list->rows[i].version,
                                       .created_at_ms = wall_ms(list->rows[i].created_at)};
    }
    struct msg m = {.type = MSG_DEF_LIST_OK};
    m.u.def_list_ok.rows = rows;
    m.u.def_list_ok.rows_len = list->rows_len;
    if (list->rows_len == list->limit) {
        m.u.def_list_ok.next = rows[list->rows_len - 1].workflow;
    }
    call_answer(c, &m);
}

void api_def_list(struct call *c)
{
    const struct msg_def_list *in = &c->msg.u.def_list;
    struct def_call *d = def_call_new(c, STORE_DEF_LIST, def_list_done);
    if (d == NULL) {
        return;
    }
    d->u.list.tenant = c->frame->conn->tenant;
    d->u.list.after = in->after;
    d->u.list.limit = in->limit == 0 ? 100 : MIN(in->limit, (uint32_t)MSG_ROWS_MAX);
    store_submit(c->frame->front->store, &d->u.req);
}
