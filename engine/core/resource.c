/* What the Resource of a Task means (design.md section 5). Every form ends at a task queue, except
 * child executions; which history events the task writes follows from the form, too. */
#include "base/prelude.h"

#include "base/limits.h"
#include "engine/core/def.h"

#define FORMS \
    "use queue:<name>, arn:...:activity:<name>, arn:...:function:<name>, " \
    "arn:aws:states:::<service>:<action> (lambda:invoke, states:startExecution[.sync[:2]], " \
    "http:invoke, events:putEvents, ...; each also with .waitForTaskToken) or event:wait"

/* Services whose actions are a closed list on the real service: a slip is found here. */
static const struct {
    const char *service;
    const char *actions[5];
} closed_services[] = {
    {"lambda", {"invoke", NULL}},
    {"states", {"startExecution", NULL}},
    {"dynamodb", {"getItem", "putItem", "deleteItem", "updateItem", NULL}},
    {"sqs", {"sendMessage", NULL}},
    {"sns", {"publish", NULL}},
    {"events", {"putEvents", NULL}},
    {"http", {"invoke", NULL}},
};

static struct str tail_after(struct str s, char c, int nth)
{
    size_t from = 0;

    for (int i = 0; i < nth; i++) {
        const char *p = memchr(s.p + from, c, s.size - from);
        if (p == NULL) {
            return STR_NONE;
        }
        from = (size_t)(p - s.p) + 1;
    }
    return str_sub(s, from, s.size - from);
}

static struct str head_before(struct str s, char c)
{
    const char *p = s.size == 0 ? NULL : memchr(s.p, c, s.size);

    return p == NULL ? s : str_sub(s, 0, (size_t)(p - s.p));
}

static bool cut_suffix(struct str *s, struct str suffix)
{
    if (!str_ends(*s, suffix)) {
        return false;
    }
    s->size -= suffix.size;
    return true;
}

static bool fail(struct arena *a, const char **message, struct str text, const char *why)
{
    *message = arena_printf(a, "Resource '%.*s' %s; " FORMS, STR_ARG(str_sub(text, 0, 200)), why);
    return false;
}

/* "name", "name:version"; alias and version are words. */
static bool function_name(struct str s, struct str *name)
{
    struct str version = tail_after(s, ':', 1);

    *name = head_before(s, ':');
    if (!str_is_name(*name)) {
        return false;
    }
    if (name->size < s.size) {
        for (size_t i = 0; i < version.size; i++) {
            char c = version.p[i];
            bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '$';
            if (!word || (c == '$' && !str_eqc(version, "$LATEST"))) {
                return false;
            }
        }
        return version.size > 0;
    }
    return true;
}

static bool service_action(struct arena *a, struct resource *r, struct str rest,
                           const char **message)
{
    struct str base;

    r->service = head_before(rest, ':');
    r->action = tail_after(rest, ':', 1);
    if (str_eqc(r->service, "aws-sdk")) { /* aws-sdk:s3:putObject: the service has two words */
        struct str second = head_before(r->action, ':');
        r->service = str_sub(rest, 0, r->service.size + 1 + second.size);
        r->action = tail_after(r->action, ':', 1);
    }
    if (r->service.size == 0 || r->action.size == 0) {
        return fail(a, message, r->text, "names no service and action");
    }
    base = r->action;
    r->wait_for_token = cut_suffix(&base, STR(".waitForTaskToken"));
    r->sync_json = cut_suffix(&base, STR(".sync:2"));
    r->sync = r->sync_json || cut_suffix(&base, STR(".sync"));
    for (size_t i = 0; i < ARRAY_LEN(closed_services); i++) {
        bool known = false;
        if (!str_eqc(r->service, closed_services[i].service)) {
            continue;
        }
        for (size_t j = 0; closed_services[i].actions[j] != NULL; j++) {
            known = known || str_eqc(base, closed_services[i].actions[j]);
        }
        if (!known) {
            return fail(a, message, r->text, "names an action that this service does not have");
        }
    }
    r->start_execution = str_eqc(r->service, "states");
    if (str_eqc(r->service, "lambda")) {
        r->queue = STR_NONE; /* the function is named by the parameters */
    } else if (r->start_execution) {
        r->queue = STR(QUEUE_CHILD);
    } else {
        r->queue = str_dup(a, str_sub(rest, 0, (size_t)(base.p - rest.p) + base.size));
        if (!str_is_name(r->queue)) {
            return fail(a, message, r->text, "is no name of a service and action");
        }
    }
    return true;
}

static bool arn(struct arena *a, struct resource *r, const char **message)
{
    struct str service = head_before(tail_after(r->text, ':', 2), ':');
    struct str rest = tail_after(r->text, ':', 5); /* arn:partition:service:region:account:rest */
    struct str name;

    if (rest.size == 0) {
        return fail(a, message, r->text, "is no complete ARN");
    }
    if (str_starts(rest, STR("function:"))) {
        r->kind = RES_LAMBDA;
        name = tail_after(rest, ':', 1);
        r->wait_for_token = cut_suffix(&name, STR(".waitForTaskToken"));
        if (!function_name(name, &r->queue)) {
            return fail(a, message, r->text, "has no valid function name, version or alias");
        }
        return true;
    }
    if (str_starts(rest, STR("activity:"))) {
        r->kind = RES_ACTIVITY;
        r->queue = tail_after(rest, ':', 1);
        r->wait_for_token = cut_suffix(&r->queue, STR(".waitForTaskToken"));
        return str_is_name(r->queue) || fail(a, message, r->text, "has no valid activity name");
    }
    if (str_eqc(service, "states")) {
        return service_action(a, r, rest, message);
    }
    r->service = service;
    r->action = rest;
    r->queue = rest;
    r->wait_for_token = cut_suffix(&r->queue, STR(".waitForTaskToken"));
    return str_is_name(r->queue) || fail(a, message, r->text, "is of no known kind");
}

bool resource_parse(struct arena *a, struct str text, struct resource *out, const char **message)
{
    static const char *const schemes[] = {"queue", "arn", "event"};
    struct str scheme = head_before(text, ':');
    struct str rest = tail_after(text, ':', 1);
    const char *near;

    *out = (struct resource){.kind = RES_TASK, .text = text};
    if (str_starts(text, STR("${"))) {
        return fail(a, message, text, "is a placeholder nobody replaced");
    }
    if (rest.size == 0) {
        return fail(a, message, text, "is none of the known forms");
    }
    if (str_eqc(scheme, "arn")) {
        return arn(a, out, message);
    }
    near = nearest_name(scheme, schemes, ARRAY_LEN(schemes));
    if (near != NULL && !str_eqc(scheme, near)) {
        return fail(a, message, text, "is none of the known forms");
    }
    out->service = scheme;
    out->action = rest;
    out->queue = str_eqc(scheme, "queue") ? rest : text;
    out->wait_for_token = cut_suffix(&out->queue, STR(".waitForTaskToken"));
    if (str_eqc(scheme, "event") && !str_eqc(out->queue, "event:wait")) {
        return fail(a, message, text, "is none of the known forms");
    }
    return str_is_name(out->queue) ||
           fail(a, message, text, "has characters that a queue name may not have");
}
