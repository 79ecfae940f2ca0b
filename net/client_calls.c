/* The public client's blocking calls: executions, definitions, outcomes by token. Each turns the
 * answer into the caller's structure on the client's loop. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"
#include "net/client_internal.h"

#include "base/os.h"

enum {
    WATCH_WAIT_MS = 20000,       /* one WATCH of carillon_wait */
    WATCH_WAIT_CROWDED_MS = 500, /* when more threads wait than the session has room for */
    WATCH_CROWD = SESSION_ALONE_MAX - 8,
};

/* ---- executions ---- */

const char *carillon_status_name(int status)
{
    static const char *const names[] = {"?",      "RUNNING",   "SUCCEEDED",
                                        "FAILED", "TIMED_OUT", "ABORTED"};
    return status > 0 && status < (int)ARRAY_LEN(names) ? names[status] : "?";
}

void carillon_execution_free(carillon_execution *x)
{
    if (x != NULL) {
        free(x->execution);
        free(x->workflow);
        free(x->name);
        free(x->input);
        free(x->output);
        free(x->error);
        free(x->cause);
        free(x);
    }
}

static int keep_execution(struct call *c, const struct msg *reply)
{
    const struct msg_describe_ok *m = &reply->u.describe_ok;
    carillon_execution *x = calloc(1, sizeof(*x));
    if (x == NULL) {
        return CARILLON_LIMIT;
    }
    x->execution = client_dup(m->execution);
    x->workflow = client_dup(m->workflow);
    x->name = client_dup(m->name);
    x->status = (int)m->status;
    x->input = client_dup(m->input);
    x->output = client_dup(m->output);
    x->error = client_dup(m->error);
    x->cause = client_dup(m->cause);
    x->started_at_ms = m->started_at_ms;
    x->closed_at_ms = m->closed_at_ms;
    x->event_count = m->event_count;
    x->workflow_version = m->workflow_version;
    if (x->execution == NULL || x->workflow == NULL || x->name == NULL) {
        carillon_execution_free(x);
        return CARILLON_LIMIT;
    }
    *(carillon_execution **)c->out = x;
    return CARILLON_OK;
}

static int execution_check(const char *execution, carillon_error *error)
{
    struct exec_id id;
    if (execution == NULL || exec_id_parse(str_of(execution), &id) != ERR_OK) {
        return client_error(error, CARILLON_INVALID, "\"%.100s\" is not an execution id",
                            execution != NULL ? execution : "");
    }
    return CARILLON_OK;
}

int carillon_describe(carillon_client *client, const char *execution, const char *workflow,
                      const char *name, carillon_execution **out, carillon_error *error)
{
    struct call c;
    if (execution == NULL && (workflow == NULL || name == NULL)) {
        return client_error(error, CARILLON_INVALID, "execution, or workflow and name: needed");
    }
    if (execution != NULL && execution_check(execution, error) != CARILLON_OK) {
        return CARILLON_INVALID;
    }
    client_call_init(&c, client, MSG_DESCRIBE);
    c.request.msg.u.describe = (struct msg_describe){.execution = str_of(execution),
                                                     .workflow = str_of(workflow),
                                                     .name = str_of(name)};
    c.keep = keep_execution;
    c.out = out;
    return client_call_wait(client, &c, error);
}

static int keep_ended(struct call *c, const struct msg *reply)
{
    *(bool *)c->out = reply->u.watch_ok.ended;
    return CARILLON_OK;
}

int carillon_wait(carillon_client *client, const char *execution, int64_t timeout_ms,
                  carillon_execution **out, carillon_error *error)
{
    if (execution_check(execution, error) != CARILLON_OK) {
        return CARILLON_INVALID;
    }
    struct clock *clock = os_clock();
    int64_t until = client_until_us(timeout_ms);
    bool ended = false;
    int code = CARILLON_OK;
    int crowd = atomic_fetch_add(&client->waiting, 1);
    while (code == CARILLON_OK && !ended) {
        int64_t left_ms = MAX((until - clock_mono(clock).us) / US_PER_MS, INT64_C(0));
        int64_t wait_ms = crowd > WATCH_CROWD ? WATCH_WAIT_CROWDED_MS : WATCH_WAIT_MS;
        struct call c;
        client_call_init(&c, client, MSG_WATCH);
        wait_ms = timeout_ms >= 0 ? MIN(wait_ms, left_ms) : wait_ms;
        c.request.alone = true;
        c.request.wait_ms = (uint32_t)wait_ms;
        c.request.msg.u.watch =
            (struct msg_watch){.execution = str_of(execution), .wait_ms = (uint32_t)wait_ms};
        c.timeout_us = timeout_ms >= 0 ? left_ms * US_PER_MS + US_PER_S : 0;
        c.keep = keep_ended;
        c.out = &ended;
        code = client_call_wait(client, &c, error);
        if (code == CARILLON_OK && !ended && timeout_ms >= 0 && clock_mono(clock).us >= until) {
            code = client_error(error, CARILLON_TIMEOUT,
                                "the execution has not ended within %" PRId64 " ms", timeout_ms);
        }
    }
    (void)atomic_fetch_sub(&client->waiting, 1);
    return code == CARILLON_OK && out != NULL
               ? carillon_describe(client, execution, NULL, NULL, out, error)
               : code;
}

static int keep_stopped(struct call *c, const struct msg *reply)
{
    if (c->out != NULL) {
        *(int64_t *)c->out = reply->u.stop_ok.stopped_at_ms;
    }
    return CARILLON_OK;
}

int carillon_stop(carillon_client *client, const char *execution, const char *error_name,
                  const char *cause, int64_t *stopped_at_ms, carillon_error *error)
{
    struct call c;
    if (execution_check(execution, error) != CARILLON_OK) {
        return CARILLON_INVALID;
    }
    client_call_init(&c, client, MSG_STOP);
    c.request.msg.u.stop = (struct msg_stop){.execution = str_of(execution),
                                             .error = str_of(error_name),
                                             .cause = str_of(cause)};
    c.keep = keep_stopped;
    c.out = stopped_at_ms;
    return client_call_wait(client, &c, error);
}

void carillon_list_free(carillon_list *l)
{
    if (l != NULL) {
        for (size_t i = 0; i < l->len; i++) {
            free(l->rows[i].execution);
            free(l->rows[i].workflow);
            free(l->rows[i].name);
        }
        free(l->rows);
        free(l->cursor);
        free(l);
    }
}

static int keep_list(struct call *c, const struct msg *reply)
{
    const struct msg_list_ok *m = &reply->u.list_ok;
    carillon_list *l = calloc(1, sizeof(*l));
    if (l == NULL || (l->rows = calloc(m->rows_len + 1, sizeof(*l->rows))) == NULL) {
        free(l);
        return CARILLON_LIMIT;
    }
    l->len = m->rows_len;
    for (size_t i = 0; i < l->len; i++) {
        const struct msg_list_row *r = &m->rows[i];
        l->rows[i] = (carillon_list_row){.execution = client_dup(r->execution),
                                         .workflow = client_dup(r->workflow),
                                         .name = client_dup(r->name),
                                         .status = (int)r->status,
                                         .started_at_ms = r->started_at_ms,
                                         .closed_at_ms = r->closed_at_ms};
        if (l->rows[i].execution == NULL || l->rows[i].workflow == NULL ||
            l->rows[i].name == NULL) {
            carillon_list_free(l);
            return CARILLON_LIMIT;
        }
    }
    l->cursor = m->cursor.size > 0 ? client_dup(m->cursor) : NULL;
    *(carillon_list **)c->out = l;
    return CARILLON_OK;
}

int carillon_list_executions(carillon_client *client, const char *workflow, int status,
                             uint32_t limit, const char *cursor, carillon_list **out,
                             carillon_error *error)
{
    struct call c;
    if (status < 0 || status > CARILLON_ABORTED) {
        return client_error(error, CARILLON_INVALID, "status: wanted 0 to 5");
    }
    client_call_init(&c, client, MSG_LIST);
    c.request.msg.u.list = (struct msg_list){.workflow = str_of(workflow),
                                             .status = (uint32_t)status,
                                             .limit = limit,
                                             .cursor = str_of(cursor)};
    c.keep = keep_list;
    c.out = out;
    return client_call_wait(client, &c, error);
}

void carillon_history_free(carillon_history *h)
{
    if (h != NULL) {
        for (size_t i = 0; i < h->len; i++) {
            free(h->events[i]);
        }
        free(h->events);
        free(h);
    }
}

static int keep_history(struct call *c, const struct msg *reply)
{
    const struct msg_history_ok *m = &reply->u.history_ok;
    carillon_history *h = calloc(1, sizeof(*h));
    if (h == NULL || (h->events = calloc(m->events_len + 1, sizeof(*h->events))) == NULL) {
        free(h);
        return CARILLON_LIMIT;
    }
    h->len = m->events_len;
    for (size_t i = 0; i < h->len; i++) {
        h->events[i] = client_dup(m->events[i]);
        if (h->events[i] == NULL) {
            carillon_history_free(h);
            return CARILLON_LIMIT;
        }
    }
    h->next = m->last;
    *(carillon_history **)c->out = h;
    return CARILLON_OK;
}

int carillon_history_read(carillon_client *client, const char *execution, uint32_t after,
                          uint32_t limit, bool reverse, carillon_history **out,
                          carillon_error *error)
{
    struct call c;
    if (execution_check(execution, error) != CARILLON_OK) {
        return CARILLON_INVALID;
    }
    client_call_init(&c, client, MSG_HISTORY);
    c.request.msg.u.history = (struct msg_history){.execution = str_of(execution),
                                                   .after_event = after,
                                                   .limit = limit,
                                                   .reverse = reverse};
    c.keep = keep_history;
    c.out = out;
    return client_call_wait(client, &c, error);
}

static int keep_status(struct call *c, const struct msg *reply)
{
    char *json = client_dup(reply->u.status_ok.json);
    *(char **)c->out = json;
    return json != NULL ? CARILLON_OK : CARILLON_LIMIT;
}

int carillon_node_status(carillon_client *client, char **json, carillon_error *error)
{
    struct call c;
    client_call_init(&c, client, MSG_STATUS);
    c.keep = keep_status;
    c.out = json;
    return client_call_wait(client, &c, error);
}

/* ---- definitions ---- */

void carillon_problems_free(carillon_problems *p)
{
    if (p != NULL) {
        for (size_t i = 0; i < p->len; i++) {
            free(p->items[i].pointer);
            free(p->items[i].message);
        }
        free(p->items);
        free(p);
    }
}

static void keep_problems(struct call *c, const struct msg_error *e)
{
    carillon_problems **out = c->error_out;
    carillon_problems *p = e->code == ERR_DEFINITION ? calloc(1, sizeof(*p)) : NULL;
    if (p == NULL || (p->items = calloc(e->problems_len + 1, sizeof(*p->items))) == NULL) {
        free(p);
        return;
    }
    p->len = e->problems_len;
    for (size_t i = 0; i < p->len; i++) {
        const struct msg_problem *m = &e->problems[i];
        p->items[i] = (carillon_problem){
            .line = m->line,
            .col = m->col,
            .pointer = client_dup(m->pointer.p != NULL ? m->pointer : STR("")),
            .message = client_dup(m->message.p != NULL ? m->message : STR("")),
        };
    }
    *out = p;
}

struct put_result {
    uint32_t *version;
    bool *created;
};

static int keep_put(struct call *c, const struct msg *reply)
{
    struct put_result *r = c->out;
    if (r->version != NULL) {
        *r->version = reply->u.def_put_ok.version;
    }
    if (r->created != NULL) {
        *r->created = reply->u.def_put_ok.created;
    }
    return CARILLON_OK;
}

int carillon_definition_put(carillon_client *client, const char *workflow, const char *text,
                            int format, uint32_t *version, bool *created,
                            carillon_problems **problems, carillon_error *error)
{
    struct call c;
    struct put_result r = {version, created};
    if (workflow == NULL || text == NULL || format < 0 || format > CARILLON_FORMAT_YAML) {
        return client_error(error, CARILLON_INVALID, "workflow and text: needed");
    }
    client_call_init(&c, client, MSG_DEF_PUT);
    c.request.msg.u.def_put = (struct msg_def_put){.workflow = str_of(workflow),
                                                   .text = str_of(text),
                                                   .format = (uint32_t)format};
    c.keep = keep_put;
    c.out = &r;
    if (problems != NULL) {
        *problems = NULL;
        c.keep_error = keep_problems;
        c.error_out = problems;
    }
    return client_call_wait(client, &c, error);
}

static void definition_clear(carillon_definition *d)
{
    free(d->workflow);
    free(d->text);
}

void carillon_definition_free(carillon_definition *d)
{
    if (d != NULL) {
        definition_clear(d);
        free(d);
    }
}

static int keep_definition(struct call *c, const struct msg *reply)
{
    const struct msg_def_get_ok *m = &reply->u.def_get_ok;
    carillon_definition *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return CARILLON_LIMIT;
    }
    *d = (carillon_definition){.workflow = client_dup(m->workflow),
                               .text = client_dup(m->text),
                               .version = m->version,
                               .created_at_ms = m->created_at_ms};
    if (d->workflow == NULL || d->text == NULL) {
        carillon_definition_free(d);
        return CARILLON_LIMIT;
    }
    *(carillon_definition **)c->out = d;
    return CARILLON_OK;
}

int carillon_definition_get(carillon_client *client, const char *workflow, uint32_t version,
                            carillon_definition **out, carillon_error *error)
{
    struct call c;
    if (workflow == NULL) {
        return client_error(error, CARILLON_INVALID, "workflow: needed");
    }
    client_call_init(&c, client, MSG_DEF_GET);
    c.request.msg.u.def_get =
        (struct msg_def_get){.workflow = str_of(workflow), .version = version};
    c.keep = keep_definition;
    c.out = out;
    return client_call_wait(client, &c, error);
}

int carillon_definition_delete(carillon_client *client, const char *workflow, carillon_error *error)
{
    struct call c;
    if (workflow == NULL) {
        return client_error(error, CARILLON_INVALID, "workflow: needed");
    }
    client_call_init(&c, client, MSG_DEF_DELETE);
    c.request.msg.u.def_delete = (struct msg_def_delete){.workflow = str_of(workflow)};
    int code = client_call_wait(client, &c, error);
    /* A repeat of a delete that was done finds nothing: that is what was wanted. */
    return code == CARILLON_NO_WORKFLOW && c.request.repeats > 1 ? CARILLON_OK : code;
}

void carillon_definitions_free(carillon_definitions *l)
{
    if (l != NULL) {
        for (size_t i = 0; i < l->len; i++) {
            definition_clear(&l->items[i]);
        }
        free(l->items);
        free(l->next);
        free(l);
    }
}

static int keep_definitions(struct call *c, const struct msg *reply)
{
    const struct msg_def_list_ok *m = &reply->u.def_list_ok;
    carillon_definitions *l = calloc(1, sizeof(*l));
    if (l == NULL || (l->items = calloc(m->rows_len + 1, sizeof(*l->items))) == NULL) {
        free(l);
        return CARILLON_LIMIT;
    }
    l->len = m->rows_len;
    for (size_t i = 0; i < l->len; i++) {
        l->items[i] = (carillon_definition){.workflow = client_dup(m->rows[i].workflow),
                                            .version = m->rows[i].version,
                                            .created_at_ms = m->rows[i].created_at_ms};
        if (l->items[i].workflow == NULL) {
            carillon_definitions_free(l);
            return CARILLON_LIMIT;
        }
    }
    l->next = m->next.size > 0 ? client_dup(m->next) : NULL;
    *(carillon_definitions **)c->out = l;
    return CARILLON_OK;
}

int carillon_definition_list(carillon_client *client, const char *after, uint32_t limit,
                             carillon_definitions **out, carillon_error *error)
{
    struct call c;
    client_call_init(&c, client, MSG_DEF_LIST);
    c.request.msg.u.def_list = (struct msg_def_list){.after = str_of(after), .limit = limit};
    c.keep = keep_definitions;
    c.out = out;
    return client_call_wait(client, &c, error);
}

/* ---- outcomes by token ---- */

static int token_read(const char *text, struct task_token *out, carillon_error *error)
{
    struct arena a;
    struct str bytes = STR_NONE;
    arena_init(&a, 1024);
    enum err e = text != NULL && strlen(text) == TASK_TOKEN_TEXT
                     ? base64_decode(str_of(text), true, &a, &bytes)
                     : ERR_INVALID;
    if (e == ERR_OK) {
        e = task_token_decode(bytes, out);
    }
    arena_fini(&a);
    return e == ERR_OK ? CARILLON_OK
                       : client_error(error, CARILLON_INVALID, "token: not a task's token");
}

int carillon_token_succeed(carillon_client *client, const char *token, const char *output,
                           carillon_error *error)
{
    struct call c;
    client_call_init(&c, client, MSG_TASK_SUCCESS);
    if (token_read(token, &c.request.msg.u.task_success.token, error) != CARILLON_OK) {
        return CARILLON_INVALID;
    }
    c.request.msg.u.task_success.output = str_of(output);
    return client_call_wait(client, &c, error);
}

int carillon_token_fail(carillon_client *client, const char *token, const char *error_name,
                        const char *cause, carillon_error *error)
{
    struct call c;
    client_call_init(&c, client, MSG_TASK_FAILURE);
    if (token_read(token, &c.request.msg.u.task_failure.token, error) != CARILLON_OK) {
        return CARILLON_INVALID;
    }
    c.request.msg.u.task_failure.error = str_of(error_name);
    c.request.msg.u.task_failure.cause = str_of(cause);
    return client_call_wait(client, &c, error);
}

static int keep_beat(struct call *c, const struct msg *reply)
{
    (void)c;
    const struct msg_heartbeat_ok *m = &reply->u.heartbeat_ok;
    return m->codes_len == 1 ? (int)m->codes[0] : CARILLON_PROTOCOL;
}

int carillon_token_heartbeat(carillon_client *client, const char *token, carillon_error *error)
{
    struct call c;
    struct task_token t;
    client_call_init(&c, client, MSG_HEARTBEAT);
    if (token_read(token, &t, error) != CARILLON_OK) {
        return CARILLON_INVALID;
    }
    c.request.msg.u.heartbeat = (struct msg_heartbeat){.tokens = &t, .tokens_len = 1};
    c.keep = keep_beat;
    return client_call_wait(client, &c, error);
}
