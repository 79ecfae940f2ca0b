/* Executions and workflows for operators: each route is a message of the client protocol asked, and
 * its reply told. See admin.h. */
#include "base/prelude.h"

#include "cmd/admin_internal.h"

/* ---- writing ---- */

static void put_string(struct buf *b, const char *name, struct str value)
{
    buf_printf(b, ",\"%s\":", name);
    json_write_string(b, value);
}

static void put_time(struct buf *b, const char *name, int64_t ms)
{
    char text[WALL_TEXT_SIZE];
    if (ms != 0) {
        wall_format((struct wall){ms * US_PER_MS}, 3, text);
        buf_printf(b, ",\"%s\":\"%s\"", name, text);
    }
}

/* JSON text as it is: numbers and strings of users' payloads come out as they went in. */
static void put_payload(struct buf *b, const char *name, struct str json)
{
    if (json.size > 0) {
        buf_printf(b, ",\"%s\":%.*s", name, STR_ARG(json));
    }
}

static void put_token(struct admin_call *c, struct str cursor)
{
    if (cursor.size > 0) {
        put_string(&c->answer.body, "next_page_token", page_token_make(c, cursor));
    }
}

/* Page tokens are bound to the route and the query's filters. */
static void filters_set(struct admin_call *c, struct str one, struct str two)
{
    c->filters = str_of(arena_printf(&c->arena, "%s %.*s %.*s %.*s", c->route->path,
                                     STR_ARG(c->tenant), STR_ARG(one), STR_ARG(two)));
}

/* ---- bodies ---- */

/* The body as a JSON object whose members are all in "names"; NULL when it is empty. */
static enum err body_object(struct admin_call *c, const char *const *names, const struct jv **out)
{
    struct err_detail d = {0};
    struct str type = c->http->field[HTTP_CONTENT_TYPE];
    *out = NULL;
    if (c->http->body.size == 0) {
        return ERR_OK;
    }
    if (!http_is_type(type, "application/json")) {
        return refuse_as(c, 415, ERR_UNSUPPORTED, "the body must be application/json");
    }
    enum err e = json_parse(&c->arena, c->http->body, JSON_LIMITS_PAYLOAD, true, out, &d);
    if (e != ERR_OK) {
        return refuse(c, e, "body: %s", d.text);
    }
    if (!jv_is(*out, JV_OBJECT)) {
        return refuse(c, ERR_INVALID, "the body must be a JSON object");
    }
    for (uint32_t i = 0; i < (*out)->len; i++) {
        struct str name = (*out)->u.members[i].name;
        size_t k = 0;
        while (names[k] != NULL && !str_eqc(name, names[k])) {
            k++;
        }
        if (names[k] == NULL) {
            return refuse(c, ERR_INVALID, "body: there is no member \"%.*s\"",
                          (int)MIN(name.size, (size_t)100), name.p);
        }
    }
    return ERR_OK;
}

static enum err member_text(struct admin_call *c, const struct jv *body, const char *name,
                            struct str *out)
{
    const struct jv *v = jv_getc(body, name);
    if (v != NULL && !jv_is(v, JV_STRING)) {
        return refuse(c, ERR_INVALID, "body: \"%s\" must be a string", name);
    }
    *out = jv_str(v);
    return ERR_OK;
}

/* ---- executions: list ---- */

static enum err status_read(struct admin_call *c, struct str text, uint32_t *out)
{
    *out = 0;
    if (text.p == NULL) {
        return ERR_OK;
    }
    for (unsigned s = EXEC_RUNNING; s <= EXEC_ABORTED; s++) {
        if (str_eqc(text, exec_status_name((enum exec_status)s))) {
            *out = s;
            return ERR_OK;
        }
    }
    return refuse(c, ERR_INVALID,
                  "status must be RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED");
}

static void executions_list_tell(struct admin_call *c, const struct msg *m)
{
    struct buf *b = &c->answer.body;
    buf_puts(b, "{\"executions\":[");
    for (uint32_t i = 0; i < m->u.list_ok.rows_len; i++) {
        const struct msg_list_row *row = &m->u.list_ok.rows[i];
        buf_printf(b, "%s{\"id\":\"%.*s\"", i > 0 ? "," : "", STR_ARG(row->execution));
        put_string(b, "workflow", row->workflow);
        put_string(b, "name", row->name);
        put_string(b, "status", str_of(exec_status_name((enum exec_status)row->status)));
        put_time(b, "started_at", row->started_at_ms);
        put_time(b, "closed_at", row->closed_at_ms);
        buf_putc(b, '}');
    }
    buf_putc(b, ']');
    put_token(c, m->u.list_ok.cursor);
    buf_putc(b, '}');
    answer_json(c, 200);
}

enum err route_executions_list(struct admin_call *c)
{
    struct msg m = {.type = MSG_LIST};
    struct str status = STR_NONE, page_size = STR_NONE, page_token = STR_NONE;
    const struct param params[] = {{"workflow", &m.u.list.workflow},
                                   {"status", &status},
                                   {"page_size", &page_size},
                                   {"page_token", &page_token}};
    enum err e = query_read(c, params, ARRAY_LEN(params));
    if (e == ERR_OK) {
        e = status_read(c, status, &m.u.list.status);
    }
    if (e == ERR_OK) {
        e = page_size_read(c, page_size, &m.u.list.limit);
    }
    if (e == ERR_OK) {
        filters_set(c, m.u.list.workflow, status);
        e = page_token_read(c, page_token, &m.u.list.cursor);
    }
    c->engine.ask = m;
    c->tell = executions_list_tell;
    return e;
}

/* ---- executions: start ---- */

static void execution_start_tell(struct admin_call *c, const struct msg *m)
{
    const struct msg_start_ok *s = &m->u.start_ok;
    struct buf *b = &c->answer.body;
    buf_printf(b, "{\"id\":\"%.*s\",\"created\":%s", STR_ARG(s->execution),
               s->created ? "true" : "false");
    put_string(b, "name", s->name);
    put_time(b, "started_at", s->started_at_ms);
    buf_putc(b, '}');
    answer_json(c, s->created ? 201 : 200);
    answer_header(c, "Location",
                  str_of(arena_printf(&c->arena, "/v1/executions/%.*s", STR_ARG(s->execution))));
}

/* The key may be quoted, as the draft of the field has it. */
static struct str idempotency_key(const struct http_request *r)
{
    struct str key = r->field[HTTP_IDEMPOTENCY_KEY];
    if (key.size >= 2 && key.p[0] == '"' && key.p[key.size - 1] == '"') {
        return str_sub(key, 1, key.size - 2);
    }
    return key;
}

static enum err start_name(struct admin_call *c, const struct jv *body, struct str *out)
{
    struct str key = idempotency_key(c->http), name = STR_NONE;
    enum err e = member_text(c, body, "name", &name);
    if (e == ERR_OK && key.p != NULL && name.p != NULL && !str_eq(key, name)) {
        e = refuse(c, ERR_INVALID, "the Idempotency-Key and \"name\" are not the same");
    }
    *out = name.p != NULL ? name : key;
    if (e == ERR_OK && out->p != NULL && !str_is_name(*out)) {
        e = refuse(c, ERR_INVALID, "name and Idempotency-Key must match [A-Za-z0-9._:-]{1,255}");
    }
    c->repeatable = out->p != NULL;
    return e;
}

enum err route_execution_start(struct admin_call *c)
{
    static const char *const names[] = {"workflow", "name", "input", NULL};
    struct msg m = {.type = MSG_START};
    const struct jv *body;
    enum err e = query_read(c, NULL, 0);
    if (e == ERR_OK) {
        e = body_object(c, names, &body);
    }
    if (e != ERR_OK) {
        return e;
    }
    e = member_text(c, body, "workflow", &m.u.start.workflow);
    if (e == ERR_OK && m.u.start.workflow.p == NULL) {
        e = refuse(c, ERR_INVALID, "body: \"workflow\" must name what to start");
    }
    if (e == ERR_OK) {
        e = start_name(c, body, &m.u.start.name);
    }
    const struct jv *input = jv_getc(body, "input");
    if (input != NULL) {
        m.u.start.input = input->raw; /* as it was sent: a repeat is compared by its bytes */
    }
    c->engine.ask = m;
    c->tell = execution_start_tell;
    return e;
}

/* ---- executions: one ---- */

static void execution_get_tell(struct admin_call *c, const struct msg *m)
{
    const struct msg_describe_ok *x = &m->u.describe_ok;
    struct buf *b = &c->answer.body;
    buf_printf(b, "{\"id\":\"%.*s\"", STR_ARG(x->execution));
    put_string(b, "workflow", x->workflow);
    buf_printf(b, ",\"workflow_version\":%u", x->workflow_version);
    put_string(b, "name", x->name);
    put_string(b, "status", str_of(exec_status_name((enum exec_status)x->status)));
    put_time(b, "started_at", x->started_at_ms);
    put_time(b, "closed_at", x->closed_at_ms);
    buf_printf(b, ",\"event_count\":%u", x->event_count);
    put_payload(b, "input", x->input);
    put_payload(b, "output", x->output);
    if (x->error.size > 0) {
        put_string(b, "error", x->error);
    }
    if (x->cause.size > 0) {
        put_string(b, "cause", x->cause);
    }
    buf_putc(b, '}');
    answer_json(c, 200);
}

enum err route_execution_get(struct admin_call *c)
{
    enum err e = query_read(c, NULL, 0);
    c->engine.ask = (struct msg){.type = MSG_DESCRIBE};
    c->engine.ask.u.describe.execution = c->args[0];
    c->tell = execution_get_tell;
    return e;
}

static void execution_stop_tell(struct admin_call *c, const struct msg *m)
{
    struct buf *b = &c->answer.body;
    buf_puts(b, "{\"id\":");
    json_write_string(b, c->args[0]);
    put_time(b, "stopped_at", m->u.stop_ok.stopped_at_ms);
    buf_putc(b, '}');
    answer_json(c, 200);
}

enum err route_execution_stop(struct admin_call *c)
{
    static const char *const names[] = {"error", "cause", NULL};
    struct msg m = {.type = MSG_STOP};
    const struct jv *body = NULL;
    enum err e = query_read(c, NULL, 0);
    if (e == ERR_OK) {
        e = body_object(c, names, &body);
    }
    if (e == ERR_OK) {
        e = member_text(c, body, "error", &m.u.stop.error);
    }
    if (e == ERR_OK) {
        e = member_text(c, body, "cause", &m.u.stop.cause);
    }
    m.u.stop.execution = c->args[0];
    c->engine.ask = m;
    c->tell = execution_stop_tell;
    return e;
}

/* ---- executions: history ---- */

static void execution_history_tell(struct admin_call *c, const struct msg *m)
{
    struct buf *b = &c->answer.body;
    buf_puts(b, "{\"events\":[");
    for (uint32_t i = 0; i < m->u.history_ok.events_len; i++) {
        buf_puts(b, i > 0 ? "," : "");
        buf_put_str(b, m->u.history_ok.events[i]);
    }
    buf_putc(b, ']');
    if (m->u.history_ok.last != 0) {
        char last[16];
        (void)snprintf(last, sizeof(last), "%u", m->u.history_ok.last);
        put_token(c, str_of(last));
    }
    buf_putc(b, '}');
    answer_json(c, 200);
}

static enum err flag_read(struct admin_call *c, const char *name, struct str text, bool *out)
{
    *out = str_eqc(text, "true");
    if (text.p != NULL && !*out && !str_eqc(text, "false")) {
        return refuse(c, ERR_INVALID, "%s must be true or false", name);
    }
    return ERR_OK;
}

/* The page token of a history holds the number of the last event. */
static enum err history_after(struct admin_call *c, struct str page_token, uint32_t *out)
{
    struct str cursor = STR_NONE;
    uint64_t after = 0;
    enum err e = page_token_read(c, page_token, &cursor);
    if (e == ERR_OK && cursor.p != NULL &&
        (str_to_u64(cursor, &after) != ERR_OK || after > UINT32_MAX)) {
        e = refuse(c, ERR_INVALID, "page_token was not made by this service");
    }
    *out = (uint32_t)after;
    return e;
}

enum err route_execution_history(struct admin_call *c)
{
    struct msg m = {.type = MSG_HISTORY};
    struct str reverse = STR_NONE, page_size = STR_NONE, page_token = STR_NONE;
    const struct param params[] = {{"reverse", &reverse},
                                   {"page_size", &page_size},
                                   {"page_token", &page_token}};
    enum err e = query_read(c, params, ARRAY_LEN(params));
    if (e == ERR_OK) {
        e = flag_read(c, "reverse", reverse, &m.u.history.reverse);
    }
    if (e == ERR_OK) {
        e = page_size_read(c, page_size, &m.u.history.limit);
    }
    if (e == ERR_OK) {
        filters_set(c, c->args[0], m.u.history.reverse ? STR("reverse") : STR(""));
        e = history_after(c, page_token, &m.u.history.after_event);
    }
    m.u.history.execution = c->args[0];
    c->engine.ask = m;
    c->tell = execution_history_tell;
    return e;
}

/* ---- workflows ---- */

static void workflows_list_tell(struct admin_call *c, const struct msg *m)
{
    struct buf *b = &c->answer.body;
    buf_puts(b, "{\"workflows\":[");
    for (uint32_t i = 0; i < m->u.def_list_ok.rows_len; i++) {
        const struct msg_def_row *row = &m->u.def_list_ok.rows[i];
        buf_printf(b, "%s{\"version\":%u", i > 0 ? "," : "", row->version);
        put_string(b, "workflow", row->workflow);
        put_time(b, "created_at", row->created_at_ms);
        buf_putc(b, '}');
    }
    buf_putc(b, ']');
    put_token(c, m->u.def_list_ok.next);
    buf_putc(b, '}');
    answer_json(c, 200);
}

enum err route_workflows_list(struct admin_call *c)
{
    struct str page_size = STR_NONE, page_token = STR_NONE;
    const struct param params[] = {{"page_size", &page_size}, {"page_token", &page_token}};
    struct msg m = {.type = MSG_DEF_LIST};
    enum err e = query_read(c, params, ARRAY_LEN(params));
    if (e == ERR_OK) {
        e = page_size_read(c, page_size, &m.u.def_list.limit);
    }
    if (e == ERR_OK) {
        filters_set(c, STR(""), STR(""));
        e = page_token_read(c, page_token, &m.u.def_list.after);
    }
    c->engine.ask = m;
    c->tell = workflows_list_tell;
    return e;
}

static void put_tag(struct admin_call *c, uint32_t version)
{
    answer_header(c, "ETag", str_of(arena_printf(&c->arena, "\"%u\"", version)));
}

static bool looks_like_json(struct str text)
{
    text = str_trim(text);
    return text.size > 0 && text.p[0] == '{';
}

static void workflow_get_tell(struct admin_call *c, const struct msg *m)
{
    const struct msg_def_get_ok *d = &m->u.def_get_ok;
    struct str unless = c->http->field[HTTP_IF_NONE_MATCH];
    char *date = arena_alloc(&c->arena, HTTP_DATE_SIZE);
    bool same = false;
    put_tag(c, d->version);
    http_date((struct wall){d->created_at_ms * US_PER_MS}, date);
    answer_header(c, "Last-Modified", str_of(date));
    if (unless.p != NULL && http_tag_matches(unless, c->answer.extra[0].value, &same) == ERR_OK &&
        same) {
        c->answer.status = 304;
        return;
    }
    buf_put_str(&c->answer.body, d->text);
    c->answer.status = 200;
    c->answer.type = looks_like_json(d->text) ? "application/json" : "application/yaml";
}

enum err route_workflow_get(struct admin_call *c)
{
    struct str version = STR_NONE;
    const struct param params[] = {{"version", &version}};
    struct msg m = {.type = MSG_DEF_GET};
    uint64_t n = 0;
    enum err e = query_read(c, params, ARRAY_LEN(params));
    if (e == ERR_OK && version.p != NULL &&
        (str_to_u64(version, &n) != ERR_OK || n < 1 || n > UINT32_MAX)) {
        e = refuse(c, ERR_INVALID, "version must be a number from 1");
    }
    m.u.def_get.workflow = c->args[0];
    m.u.def_get.version = (uint32_t)n;
    c->engine.ask = m;
    c->tell = workflow_get_tell;
    return e;
}

/* The version that If-Match names; 0 without the field. */
static enum err if_match(struct admin_call *c, uint32_t *out)
{
    struct str field = c->http->field[HTTP_IF_MATCH];
    uint64_t n = 0;
    *out = 0;
    if (field.p == NULL) {
        return ERR_OK;
    }
    if (field.size < 3 || field.p[0] != '"' || field.p[field.size - 1] != '"' ||
        str_to_u64(str_sub(field, 1, field.size - 2), &n) != ERR_OK || n < 1 || n > UINT32_MAX) {
        return refuse(c, ERR_INVALID, "If-Match must be one ETag of this workflow, as in \"3\"");
    }
    *out = (uint32_t)n;
    return ERR_OK;
}

static void workflow_put_tell(struct admin_call *c, const struct msg *m)
{
    const struct msg_def_put_ok *p = &m->u.def_put_ok;
    struct buf *b = &c->answer.body;
    buf_printf(b, "{\"version\":%u,\"created\":%s", p->version, p->created ? "true" : "false");
    put_string(b, "workflow", c->args[0]);
    buf_putc(b, '}');
    put_tag(c, p->version);
    answer_json(c, p->created ? 201 : 200);
}

static enum err definition_format(struct admin_call *c, uint32_t *out)
{
    static const struct {
        const char *type;
        enum msg_def_format format;
    } types[] = {{"application/json", MSG_DEF_JSON},
                 {"application/yaml", MSG_DEF_YAML},
                 {"application/x-yaml", MSG_DEF_YAML},
                 {"text/yaml", MSG_DEF_YAML}};
    struct str type = c->http->field[HTTP_CONTENT_TYPE];
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (http_is_type(type, types[i].type)) {
            *out = (uint32_t)types[i].format;
            return ERR_OK;
        }
    }
    if (type.p == NULL) {
        *out = MSG_DEF_AUTO;
        return ERR_OK;
    }
    return refuse_as(c, 415, ERR_UNSUPPORTED,
                     "a definition is application/json or application/yaml");
}

enum err route_workflow_put(struct admin_call *c)
{
    struct str unless = c->http->field[HTTP_IF_NONE_MATCH];
    struct msg m = {.type = MSG_DEF_PUT};
    enum err e = query_read(c, NULL, 0);
    if (e == ERR_OK) {
        e = if_match(c, &m.u.def_put.if_version);
    }
    if (e == ERR_OK) {
        e = definition_format(c, &m.u.def_put.format);
    }
    if (e == ERR_OK && unless.p != NULL && !str_eqc(unless, "*")) {
        e = refuse(c, ERR_INVALID, "If-None-Match can only be \"*\" here");
    }
    if (e == ERR_OK && c->http->body.size == 0) {
        e = refuse(c, ERR_INVALID, "the body must be the definition");
    }
    m.u.def_put.workflow = c->args[0];
    m.u.def_put.text = c->http->body;
    m.u.def_put.if_absent = unless.p != NULL;
    c->engine.ask = m;
    c->tell = workflow_put_tell;
    return e;
}

static void workflow_delete_tell(struct admin_call *c, const struct msg *m)
{
    (void)m;
    c->answer.status = 204;
}

enum err route_workflow_delete(struct admin_call *c)
{
    struct msg m = {.type = MSG_DEF_DELETE};
    enum err e = query_read(c, NULL, 0);
    if (e == ERR_OK) {
        e = if_match(c, &m.u.def_delete.if_version);
    }
    m.u.def_delete.workflow = c->args[0];
    c->engine.ask = m;
    c->tell = workflow_delete_tell;
    return e;
}
