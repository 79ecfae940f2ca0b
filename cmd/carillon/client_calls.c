/* The public calls of the client library: each is one request, waited for. See client.h. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/carillon/client.h"

#include "base/assert.h"
#include "base/mem.h"

#ifndef CARILLON_VERSION
#define CARILLON_VERSION "0.1.0"
#endif

const char *carillon_version(void)
{
    return CARILLON_VERSION;
}

const char *carillon_status_name(int status)
{
    static const char *const names[] = {"?",      "RUNNING",   "SUCCEEDED",
                                        "FAILED", "TIMED_OUT", "ABORTED"};
    return status > 0 && status < (int)ARRAY_LEN(names) ? names[status] : names[0];
}

/* ---- one request, waited for ---- */

struct call {
    struct creq *r;
    struct latch done;
    enum err err;
    struct err_detail detail;
    struct buf problems;
    /* Takes what it needs from the answer, on the loop. */
    void (*take)(struct call *c, const struct msg *m);
    void *out;
};

static void problems_take(struct call *c, const struct msg_error *e)
{
    for (uint32_t i = 0; i < e->problems_len; i++) {
        const struct msg_problem *p = &e->problems[i];
        buf_printf(&c->problems, "\n%u:%u: %.*s: %.*s", p->line, p->col, STR_ARG(p->pointer),
                   STR_ARG(p->message));
    }
}

static void call_done(struct creq *r, enum err e, const struct msg *m)
{
    struct call *c = r->arg;
    c->err = e;
    if (m != NULL && m->type == MSG_ERROR) {
        (void)snprintf(c->detail.text, sizeof(c->detail.text), "%.*s", STR_ARG(m->u.error.text));
        problems_take(c, &m->u.error);
    } else if (e == ERR_OK && m != NULL && c->take != NULL) {
        c->take(c, m);
    }
    latch_set(&c->done, 1);
}

static void call_init(struct call *c, struct carillon *client, enum msg_type type)
{
    *c = (struct call){0};
    latch_init(&c->done);
    buf_init(&c->problems, 3500);
    c->r = creq_new(client, type, call_done, c);
}

/* Sends and waits; the error text is set when it failed. */
static int call_run(struct call *c, void (*take)(struct call *, const struct msg *), void *out)
{
    c->take = take;
    c->out = out;
    creq_submit(c->r);
    while (latch_wait(&c->done, US_PER_S) == 0) {
    }
    latch_fini(&c->done);
    int rc = (int)c->err;
    if (rc == CARILLON_OK) {
        (void)client_fail(ERR_OK, "%s", "");
    } else {
        rc = client_fail(c->err, "%s%.*s",
                         c->detail.text[0] != '\0' ? c->detail.text : err_text(c->err),
                         (int)c->problems.size, c->problems.p == NULL ? "" : c->problems.p);
    }
    buf_fini(&c->problems);
    return rc;
}

static struct str text(struct call *c, const char *s)
{
    return str_dup(&c->r->arena, str_of(s));
}

/* A copy for the caller, on the C heap: free(). NULL for nothing. */
static char *give(struct str s)
{
    if (s.p == NULL) {
        return NULL;
    }
    char *p = malloc(s.size + 1);
    if (p != NULL) {
        memcpy(p, s.p, s.size);
        p[s.size] = '\0';
    }
    return p;
}

static void id_copy(char *out, struct str id)
{
    (void)snprintf(out, CARILLON_ID_SIZE, "%.*s", STR_ARG(id));
}

/* ---- status and definitions ---- */

static void take_status(struct call *c, const struct msg *m)
{
    *(char **)c->out = give(m->u.status_ok.json);
}

int carillon_node_status(struct carillon *client, char **json)
{
    struct call c;
    call_init(&c, client, MSG_STATUS);
    return call_run(&c, take_status, json);
}

static void take_version(struct call *c, const struct msg *m)
{
    if (c->out != NULL) {
        *(int *)c->out = (int)m->u.def_put_ok.version;
    }
}

int carillon_define(struct carillon *client, const char *workflow, const char *definition,
                    int *version)
{
    struct call c;
    call_init(&c, client, MSG_DEF_PUT);
    c.r->msg.u.def_put.workflow = text(&c, workflow);
    c.r->msg.u.def_put.text = text(&c, definition);
    return call_run(&c, take_version, version);
}

struct definition_out {
    char **text;
    int *version;
};

static void take_definition(struct call *c, const struct msg *m)
{
    struct definition_out *o = c->out;
    *o->text = give(m->u.def_get_ok.text);
    if (o->version != NULL) {
        *o->version = (int)m->u.def_get_ok.version;
    }
}

int carillon_definition(struct carillon *client, const char *workflow, int version,
                        char **definition, int *version_out)
{
    struct call c;
    struct definition_out o = {definition, version_out};
    call_init(&c, client, MSG_DEF_GET);
    c.r->msg.u.def_get.workflow = text(&c, workflow);
    c.r->msg.u.def_get.version = version < 0 ? 0 : (uint32_t)version;
    return call_run(&c, take_definition, &o);
}

int carillon_undefine(struct carillon *client, const char *workflow)
{
    struct call c;
    call_init(&c, client, MSG_DEF_DELETE);
    c.r->msg.u.def_delete.workflow = text(&c, workflow);
    return call_run(&c, NULL, NULL);
}

struct definitions_page {
    struct arena a;
    struct msg_def_row *rows;
    uint32_t len;
    struct str next;
};

static void take_definitions(struct call *c, const struct msg *m)
{
    struct definitions_page *p = c->out;
    p->len = m->u.def_list_ok.rows_len;
    p->rows = ARENA_ARRAY(&p->a, struct msg_def_row, p->len + 1);
    for (uint32_t i = 0; i < p->len; i++) {
        p->rows[i] = m->u.def_list_ok.rows[i];
        p->rows[i].workflow = str_dup(&p->a, p->rows[i].workflow);
    }
    p->next = str_dup(&p->a, m->u.def_list_ok.next);
}

int carillon_definitions(struct carillon *client,
                         void (*row)(void *arg, const char *workflow, int version,
                                     int64_t created_ms),
                         void *arg)
{
    struct definitions_page p = {0};
    arena_init(&p.a, 0);
    int rc;
    do {
        struct call c;
        call_init(&c, client, MSG_DEF_LIST);
        c.r->msg.u.def_list.after = str_dup(&c.r->arena, p.next);
        rc = call_run(&c, take_definitions, &p);
        for (uint32_t i = 0; rc == CARILLON_OK && i < p.len; i++) {
            row(arg, p.rows[i].workflow.p, (int)p.rows[i].version, p.rows[i].created_at_ms);
        }
    } while (rc == CARILLON_OK && p.next.size > 0);
    arena_fini(&p.a);
    return rc;
}

/* ---- starting ---- */

struct start_out {
    char *id;
    int *created;
};

static void take_start(struct call *c, const struct msg *m)
{
    struct start_out *o = c->out;
    if (o->id != NULL) {
        id_copy(o->id, m->u.start_ok.execution);
    }
    if (o->created != NULL) {
        *o->created = m->u.start_ok.created;
    }
}

/* Without a name a repeat would be another execution: one is made here. The maker's number and a count
 * make it unique without a lock. */
static struct str start_name(struct carillon *client, struct arena *a, const char *name)
{
    static uint64_t made;
    if (name != NULL && name[0] != '\0') {
        return str_dup(a, str_of(name));
    }
    uint64_t n = __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
    return str_of(arena_printf(a, "%016" PRIx64 "-%" PRIu64, client->instance, n));
}

static void start_fill(struct creq *r, const char *workflow, const char *name, const char *input)
{
    r->msg.u.start.workflow = str_dup(&r->arena, str_of(workflow));
    r->msg.u.start.name = start_name(r->client, &r->arena, name);
    r->msg.u.start.input = str_dup(&r->arena, str_of(input));
}

int carillon_start(struct carillon *client, const char *workflow, const char *name,
                   const char *input, char *id, int *created)
{
    struct call c;
    struct start_out o = {id, created};
    call_init(&c, client, MSG_START);
    start_fill(c.r, workflow, name, input);
    return call_run(&c, take_start, &o);
}

struct async_start {
    void (*done)(void *arg, int err, const char *id);
    void *arg;
};

static void async_done(struct creq *r, enum err e, const struct msg *m)
{
    struct async_start *s = r->arg;
    char id[CARILLON_ID_SIZE] = "";
    if (e == ERR_OK && m != NULL) {
        id_copy(id, m->u.start_ok.execution);
    } else if (m != NULL) {
        (void)client_fail(e, "%.*s", STR_ARG(m->u.error.text));
    }
    s->done(s->arg, (int)e, id);
}

int carillon_start_async(struct carillon *client, const char *workflow, const char *name,
                         const char *input, void (*done)(void *arg, int err, const char *id),
                         void *arg)
{
    struct creq *r = creq_new(client, MSG_START, async_done, NULL);
    struct async_start *s = ARENA_NEW(&r->arena, struct async_start);
    *s = (struct async_start){done, arg};
    r->arg = s;
    start_fill(r, workflow, name, input);
    creq_submit(r);
    return CARILLON_OK;
}

/* ---- executions ---- */

void carillon_execution_free(struct carillon_execution *x)
{
    if (x != NULL) {
        free(x->workflow);
        free(x->name);
        free(x->input);
        free(x->output);
        free(x->error);
        free(x->cause);
        memset(x, 0, sizeof(*x));
    }
}

static void take_execution(struct call *c, const struct msg *m)
{
    const struct msg_describe_ok *d = &m->u.describe_ok;
    struct carillon_execution *x = c->out;
    id_copy(x->id, d->execution);
    x->status = (int)d->status;
    x->workflow = give(d->workflow);
    x->name = give(d->name);
    x->input = give(d->input);
    x->output = give(d->output);
    x->error = give(d->error);
    x->cause = give(d->cause);
    x->started_ms = d->started_at_ms;
    x->closed_ms = d->closed_at_ms;
    x->events = (int)d->event_count;
    x->workflow_version = (int)d->workflow_version;
}

int carillon_describe(struct carillon *client, const char *id, struct carillon_execution *out)
{
    struct call c;
    memset(out, 0, sizeof(*out));
    call_init(&c, client, MSG_DESCRIBE);
    c.r->msg.u.describe.execution = text(&c, id);
    return call_run(&c, take_execution, out);
}

int carillon_describe_name(struct carillon *client, const char *workflow, const char *name,
                           struct carillon_execution *out)
{
    struct call c;
    memset(out, 0, sizeof(*out));
    call_init(&c, client, MSG_DESCRIBE);
    c.r->msg.u.describe.workflow = text(&c, workflow);
    c.r->msg.u.describe.name = text(&c, name);
    return call_run(&c, take_execution, out);
}

static void take_watch(struct call *c, const struct msg *m)
{
    *(bool *)c->out = m->u.watch_ok.ended;
}

enum { WATCH_MS = 20000 };

int carillon_wait(struct carillon *client, const char *id, int timeout_ms,
                  struct carillon_execution *out)
{
    struct mono end = loop_now(client->loop);
    end.us += timeout_ms * (int64_t)US_PER_MS;
    for (;;) {
        int64_t left_ms = (end.us - loop_now(client->loop).us) / US_PER_MS;
        bool ended = false;
        struct call c;
        if (timeout_ms > 0 && left_ms <= 0) {
            return client_fail(ERR_TIMEOUT, "the execution has not ended within %d ms", timeout_ms);
        }
        int64_t wait_ms = timeout_ms > 0 ? MIN(left_ms, (int64_t)WATCH_MS) : WATCH_MS;
        call_init(&c, client, MSG_WATCH);
        c.r->alone = true;
        c.r->msg.u.watch.execution = text(&c, id);
        c.r->msg.u.watch.wait_ms = (uint32_t)wait_ms;
        c.r->deadline.us = loop_now(client->loop).us + wait_ms * US_PER_MS + client->timeout_us;
        int rc = call_run(&c, take_watch, &ended);
        if (rc != CARILLON_OK) {
            return rc;
        }
        if (ended && out == NULL) {
            return CARILLON_OK;
        }
        if (ended) {
            return carillon_describe(client, id, out);
        }
    }
}

int carillon_stop(struct carillon *client, const char *id, const char *error, const char *cause)
{
    struct call c;
    call_init(&c, client, MSG_STOP);
    c.r->msg.u.stop.execution = text(&c, id);
    c.r->msg.u.stop.error = text(&c, error);
    c.r->msg.u.stop.cause = text(&c, cause);
    return call_run(&c, NULL, NULL);
}

/* ---- pages ---- */

struct list_page {
    struct arena a;
    struct msg_list_row *rows;
    uint32_t len;
    struct str cursor;
};

static void take_list(struct call *c, const struct msg *m)
{
    struct list_page *p = c->out;
    p->len = m->u.list_ok.rows_len;
    p->rows = ARENA_ARRAY(&p->a, struct msg_list_row, p->len + 1);
    for (uint32_t i = 0; i < p->len; i++) {
        p->rows[i] = m->u.list_ok.rows[i];
        p->rows[i].execution = str_dup(&p->a, p->rows[i].execution);
        p->rows[i].workflow = str_dup(&p->a, p->rows[i].workflow);
        p->rows[i].name = str_dup(&p->a, p->rows[i].name);
    }
    p->cursor = str_dup(&p->a, m->u.list_ok.cursor);
}

int carillon_list(struct carillon *client, const char *workflow, int status, int limit,
                  int (*row)(void *arg, const char *id, const char *workflow, const char *name,
                             int status, int64_t started_ms, int64_t closed_ms),
                  void *arg)
{
    struct list_page p = {0};
    int left = limit > 0 ? limit : INT_MAX, rc;
    bool more = true;
    arena_init(&p.a, 0);
    do {
        struct call c;
        call_init(&c, client, MSG_LIST);
        c.r->msg.u.list.workflow = text(&c, workflow);
        c.r->msg.u.list.status = status < 0 ? 0 : (uint32_t)status;
        c.r->msg.u.list.limit = (uint32_t)MIN(left, MSG_ROWS_MAX);
        c.r->msg.u.list.cursor = str_dup(&c.r->arena, p.cursor);
        rc = call_run(&c, take_list, &p);
        for (uint32_t i = 0; rc == CARILLON_OK && more && i < p.len && left > 0; i++, left--) {
            const struct msg_list_row *r = &p.rows[i];
            more = row(arg, r->execution.p, r->workflow.p, r->name.p, (int)r->status,
                       r->started_at_ms, r->closed_at_ms) == 0;
        }
    } while (rc == CARILLON_OK && more && left > 0 && p.cursor.size > 0);
    arena_fini(&p.a);
    return rc;
}

struct history_page {
    struct arena a;
    struct str *events;
    uint32_t len, last;
};

static void take_history(struct call *c, const struct msg *m)
{
    struct history_page *p = c->out;
    p->len = m->u.history_ok.events_len;
    p->last = m->u.history_ok.last;
    p->events = ARENA_ARRAY(&p->a, struct str, p->len + 1);
    for (uint32_t i = 0; i < p->len; i++) {
        p->events[i] = str_dup(&p->a, m->u.history_ok.events[i]);
    }
}

int carillon_history(struct carillon *client, const char *id,
                     int (*event)(void *arg, const char *json), void *arg)
{
    struct history_page p = {0};
    bool more = true;
    int rc;
    arena_init(&p.a, 0);
    do {
        struct call c;
        call_init(&c, client, MSG_HISTORY);
        c.r->msg.u.history.execution = text(&c, id);
        c.r->msg.u.history.after_event = p.last;
        c.r->msg.u.history.limit = MSG_ROWS_MAX;
        arena_reset(&p.a, 1u << 16);
        rc = call_run(&c, take_history, &p);
        for (uint32_t i = 0; rc == CARILLON_OK && more && i < p.len; i++) {
            more = event(arg, p.events[i].p) == 0;
        }
    } while (rc == CARILLON_OK && more && p.last > 0);
    arena_fini(&p.a);
    return rc;
}

/* ---- outcomes by token ---- */

static int token_read(const char *text_form, struct arena *a, struct task_token *out)
{
    struct str bytes;
    if (base64_decode(str_of(text_form), true, a, &bytes) != ERR_OK ||
        task_token_decode(bytes, out) != ERR_OK) {
        return client_fail(ERR_INVALID, "\"%s\" is not a task token",
                           text_form == NULL ? "" : text_form);
    }
    return CARILLON_OK;
}

static void call_drop(struct call *c)
{
    creq_free(c->r);
    latch_fini(&c->done);
    buf_fini(&c->problems);
}

int carillon_token_succeed(struct carillon *client, const char *token, const char *output)
{
    struct call c;
    call_init(&c, client, MSG_TASK_SUCCESS);
    int rc = token_read(token, &c.r->arena, &c.r->msg.u.task_success.token);
    if (rc != CARILLON_OK) {
        call_drop(&c);
        return rc;
    }
    c.r->msg.u.task_success.output = text(&c, output);
    return call_run(&c, NULL, NULL);
}

int carillon_token_fail(struct carillon *client, const char *token, const char *error,
                        const char *cause)
{
    struct call c;
    call_init(&c, client, MSG_TASK_FAILURE);
    int rc = token_read(token, &c.r->arena, &c.r->msg.u.task_failure.token);
    if (rc != CARILLON_OK) {
        call_drop(&c);
        return rc;
    }
    c.r->msg.u.task_failure.error = text(&c, error);
    c.r->msg.u.task_failure.cause = text(&c, cause);
    return call_run(&c, NULL, NULL);
}

static void take_beat(struct call *c, const struct msg *m)
{
    *(int *)c->out = m->u.heartbeat_ok.codes_len == 1 ? (int)m->u.heartbeat_ok.codes[0] : ERR_STALE;
}

int carillon_token_heartbeat(struct carillon *client, const char *token)
{
    struct call c;
    call_init(&c, client, MSG_HEARTBEAT);
    struct task_token *t = ARENA_NEW(&c.r->arena, struct task_token);
    int rc = token_read(token, &c.r->arena, t), code = CARILLON_OK;
    if (rc != CARILLON_OK) {
        call_drop(&c);
        return rc;
    }
    c.r->msg.u.heartbeat.tokens = t;
    c.r->msg.u.heartbeat.tokens_len = 1;
    rc = call_run(&c, take_beat, &code);
    if (rc == CARILLON_OK && code != CARILLON_OK) {
        return client_fail((enum err)code, "%s", err_text((enum err)code));
    }
    return rc;
}
