/* What passes between parent and child: see child.h. */
#include "base/prelude.h"

#include "engine/core/child.h"

#include "base/assert.h"
#include "base/digest.h"
#include "base/limits.h"
#include "engine/core/event.h"

enum { END_CODEC = 1, TENANT_TEXT = 12 };

/* ---- ARNs ---- */

static void arn_begin(struct buf *out, const struct exec_ident *ident)
{
    buf_puts(out, "arn:aws:states:us-east-1:");
    if (ident->tenant.size > 0) {
        buf_put_str(out, ident->tenant);
    } else {
        buf_printf(out, "%0*" PRIu32, TENANT_TEXT, exec_id_tenant(&ident->id));
    }
}

void execution_arn_write(struct buf *out, const struct exec_ident *ident)
{
    arn_begin(out, ident);
    buf_printf(out, ":execution:%.*s:%.*s", STR_ARG(ident->workflow), STR_ARG(ident->name));
}

void machine_arn_write(struct buf *out, const struct exec_ident *ident)
{
    arn_begin(out, ident);
    buf_printf(out, ":stateMachine:%.*s", STR_ARG(ident->workflow));
}

/* The workflow's name of "arn:...:stateMachine:<name>[:<version>]", of another ARN its last part. */
static struct str machine_name(struct str arn)
{
    static const char marker[] = ":stateMachine:";
    const char *p;

    if (!str_starts(arn, STR("arn:"))) {
        return arn;
    }
    p = memmem(arn.p, arn.size, marker, sizeof(marker) - 1);
    if (p == NULL) {
        p = memrchr(arn.p, ':', arn.size);
        return str_sub(arn, (size_t)(p - arn.p) + 1, arn.size);
    }
    arn = str_sub(arn, (size_t)(p - arn.p) + sizeof(marker) - 1, arn.size);
    p = arn.size == 0 ? NULL : memchr(arn.p, ':', arn.size);
    return p == NULL ? arn : str_sub(arn, 0, (size_t)(p - arn.p));
}

/* ---- the call ---- */

/* In the words of the recorded service. */
static struct child_error refusal(struct arena *a, const struct child_ask *ask, const char *code,
                                  const char *text, struct str what)
{
    return (struct child_error){
        .name = str_of(arena_printf(a, "StepFunctions.%sException", code)),
        .cause = str_of(arena_printf(a,
                                     "%s: '%.*s' (Service: AWSStepFunctions; Status Code: 400; "
                                     "Error Code: %s; Request ID: %.*s; Proxy: null)",
                                     text, STR_ARG(str_sub(what, 0, 1000)), code,
                                     STR_ARG(ask->request))),
    };
}

/* An id that whoever has the token can make again, and that does not give the token away. */
static struct str derived_id(struct arena *a, const struct task_token *token)
{
    uint8_t bytes[TASK_TOKEN_SIZE], sum[DIGEST_SIZE_MAX];
    struct uuid u;
    char text[EXEC_ID_TEXT + 1];
    enum err e;

    task_token_encode(token, bytes);
    e = digest_of(DIGEST_SHA256, (struct str){(const char *)bytes, sizeof(bytes)}, sum);
    ASSERT(e == ERR_OK);
    memcpy(u.b, sum, sizeof(u.b));
    u.b[6] = (uint8_t)(0x40 | (u.b[6] & 0x0F));
    u.b[8] = (uint8_t)(0x80 | (u.b[8] & 0x3F));
    uuid_format(&u, text);
    return str_dup(a, (struct str){text, EXEC_ID_TEXT});
}

/* A text is the input itself, anything else is written down as JSON. */
static struct str input_text(struct arena *a, const struct jv *v)
{
    struct buf b;
    struct str s;

    if (v == NULL || jv_is(v, JV_NULL)) {
        return STR("{}");
    }
    if (jv_is(v, JV_STRING)) {
        return str_dup(a, jv_str(v));
    }
    buf_init(&b, 0);
    json_write(&b, v);
    s = str_dup(a, buf_str(&b));
    buf_fini(&b);
    return s;
}

bool child_ask_parse(struct arena *a, struct str parameters, const struct task_token *token,
                     struct child_ask *out, struct child_error *err)
{
    const struct jv *v, *name;

    if (json_parse(a, parameters, JSON_LIMITS_PAYLOAD, true, &v, NULL) != ERR_OK) {
        v = jv_null();
    }
    out->machine = str_dup(a, jv_str(jv_getc(v, "StateMachineArn")));
    out->workflow = machine_name(out->machine);
    out->request = derived_id(a, token);
    name = jv_getc(v, "Name");
    out->name = name == NULL || jv_is(name, JV_NULL) ? out->request : str_dup(a, jv_str(name));
    out->input = input_text(a, jv_getc(v, "Input"));
    if (!str_is_name(out->workflow)) {
        *err = refusal(a, out, "InvalidArn", "Invalid State Machine Arn", out->machine);
        return false;
    }
    if (!str_is_name(out->name)) {
        *err = refusal(a, out, "InvalidName", "Invalid Name", out->name);
        return false;
    }
    if (out->input.size > PAYLOAD_SIZE_MAX ||
        json_validate(out->input, JSON_LIMITS_PAYLOAD, NULL) != ERR_OK) {
        *err = child_bad_input(a, out);
        return false;
    }
    return true;
}

struct child_error child_no_workflow(struct arena *a, const struct child_ask *ask)
{
    return refusal(a, ask, "StateMachineDoesNotExist", "State Machine Does Not Exist",
                   ask->machine);
}

struct child_error child_name_taken(struct arena *a, const struct child_ask *ask,
                                    const struct exec_ident *child)
{
    struct child_error e;
    struct buf b;

    buf_init(&b, 0);
    execution_arn_write(&b, child);
    e = refusal(a, ask, "ExecutionAlreadyExists", "Execution Already Exists", buf_str(&b));
    buf_fini(&b);
    return e;
}

struct child_error child_bad_input(struct arena *a, const struct child_ask *ask)
{
    return refusal(a, ask, "InvalidExecutionInput", "Invalid State Machine Execution Input",
                   str_sub(ask->input, 0, 200));
}

static void arn_member(struct buf *out, const char *name, const struct exec_ident *ident,
                       void (*write)(struct buf *, const struct exec_ident *))
{
    struct buf b;

    buf_init(&b, 0);
    write(&b, ident);
    buf_printf(out, "\"%s\":", name);
    json_write_string(out, buf_str(&b));
    buf_fini(&b);
}

void child_started_write(struct buf *out, const struct exec_ident *child)
{
    buf_putc(out, '{');
    arn_member(out, "ExecutionArn", child, execution_arn_write);
    buf_printf(out, ",\"StartDate\":%" PRId64 "}", child->started_at.us / US_PER_MS);
}

/* ---- the end ---- */

void exec_end_write(struct exec *x, struct wall stopped_at, struct buf *out)
{
    const struct exec_ident *id = exec_ident(x);

    PRE(exec_status(x) != EXEC_RUNNING);
    buf_putc(out, END_CODEC);
    put_varint(out, (uint64_t)exec_status(x));
    buf_put(out, id->id.b, sizeof(id->id.b));
    put_zigzag(out, id->started_at.us);
    put_zigzag(out, stopped_at.us);
    put_str(out, id->tenant);
    put_str(out, id->workflow);
    put_str(out, id->name);
    put_opt_str(out, exec_input(x));
    put_opt_str(out, exec_output(x));
    put_opt_str(out, exec_error(x));
    put_opt_str(out, exec_cause(x));
}

bool child_end_read(struct str bytes, struct child_end *out)
{
    struct cur c = cur_of(bytes);
    uint64_t codec = cur_varint(&c);
    uint64_t status = cur_varint(&c);

    *out = (struct child_end){.status = EXEC_FAILED};
    out->ident.id = cur_exec_id(&c);
    out->ident.started_at.us = cur_zigzag(&c);
    out->stopped_at.us = cur_zigzag(&c);
    out->ident.tenant = cur_str(&c);
    out->ident.workflow = cur_str(&c);
    out->ident.name = cur_str(&c);
    out->input = cur_opt_str(&c);
    out->output = cur_opt_str(&c);
    out->error = cur_opt_str(&c);
    out->cause = cur_opt_str(&c);
    if (c.bad || c.p != c.end || codec != END_CODEC || status <= EXEC_RUNNING ||
        status > EXEC_ABORTED || (status == EXEC_SUCCEEDED) != (out->output.p != NULL) ||
        out->input.p == NULL) {
        return false;
    }
    out->status = (enum exec_status)status;
    return true;
}

static void text_member(struct buf *out, const char *name, struct str text)
{
    buf_printf(out, "\"%s\":", name);
    json_write_string(out, text);
    buf_putc(out, ',');
}

static void payload_member(struct buf *out, const char *name, struct str json, bool parsed)
{
    if (parsed) {
        buf_printf(out, "\"%s\":", name);
        buf_put_str(out, json);
        buf_putc(out, ',');
    } else {
        text_member(out, name, json);
    }
}

/* From StartDate on: the same for every end. */
static void tail_write(struct buf *out, const struct child_end *end)
{
    buf_printf(out, "\"StartDate\":%" PRId64 ",", end->ident.started_at.us / US_PER_MS);
    arn_member(out, "StateMachineArn", &end->ident, machine_arn_write);
    buf_printf(out, ",\"Status\":\"%s\",\"StopDate\":%" PRId64 "}", exec_status_name(end->status),
               end->stopped_at.us / US_PER_MS);
}

void child_output_write(struct buf *out, const struct child_end *end, bool parsed)
{
    buf_putc(out, '{');
    arn_member(out, "ExecutionArn", &end->ident, execution_arn_write);
    buf_putc(out, ',');
    payload_member(out, "Input", end->input, parsed);
    buf_puts(out, "\"InputDetails\":{\"Included\":true},");
    text_member(out, "Name", end->ident.name);
    payload_member(out, "Output", end->output, parsed);
    buf_puts(out, "\"OutputDetails\":{\"Included\":true},\"RedriveCount\":0,\"RedriveStatus\":"
                  "\"NOT_REDRIVABLE\",\"RedriveStatusReason\":\"Execution is SUCCEEDED and cannot "
                  "be redriven\",");
    tail_write(out, end);
}

static struct str cut(struct str s, size_t max)
{
    struct str c = str_sub(s, 0, max);

    while (c.size < s.size && c.size > 0 && ((unsigned char)s.p[c.size] & 0xC0) == 0x80) {
        c.size--; /* never inside a character */
    }
    return c;
}

static void cause_write(struct buf *out, const struct child_end *end, struct str cause, bool input)
{
    buf_clear(out);
    buf_putc(out, '{');
    if (cause.p != NULL) {
        text_member(out, "Cause", cause);
    }
    if (end->error.p != NULL) {
        text_member(out, "Error", end->error);
    }
    arn_member(out, "ExecutionArn", &end->ident, execution_arn_write);
    buf_putc(out, ',');
    if (input) {
        text_member(out, "Input", end->input);
    }
    buf_printf(out, "\"InputDetails\":{\"Included\":%s},", input ? "true" : "false");
    text_member(out, "Name", end->ident.name);
    tail_write(out, end);
}

void child_cause_write(struct buf *out, const struct child_end *end)
{
    struct str cause = end->cause;

    cause_write(out, end, cause, end->input.size <= CAUSE_SIZE_MAX);
    if (out->size > CAUSE_SIZE_MAX) {
        cause_write(out, end, cause, false);
    }
    while (out->size > CAUSE_SIZE_MAX && cause.size > 0) {
        cause = cut(cause, cause.size / 2);
        cause_write(out, end, cause, false);
    }
}
