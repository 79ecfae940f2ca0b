/* JSON tree → definition. Reports every problem with the position of the value, its JSON pointer
 * and what to do; goes on after each so that one run finds all. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/core/def_parse.h"

enum {
    M_PASS = 1,
    M_TASK = 2,
    M_CHOICE = 4,
    M_WAIT = 8,
    M_SUCCEED = 16,
    M_FAIL = 32,
    M_PAR = 64,
    M_MAP = 128
};
enum {
    M_ALL = 255,
    M_FLOW = M_ALL & ~M_FAIL,
    M_NEXT = M_PASS | M_TASK | M_WAIT | M_PAR | M_MAP,
    M_WORK = M_TASK | M_PAR | M_MAP,
};

/* Which field may stand in which type of state. */
static const struct {
    const char *name;
    unsigned types;
} state_fields[] = {
    {"Type", M_ALL},
    {"Comment", M_ALL},
    {"QueryLanguage", M_ALL},
    {"InputPath", M_FLOW},
    {"OutputPath", M_FLOW},
    {"Next", M_NEXT},
    {"End", M_NEXT},
    {"Assign", M_NEXT | M_CHOICE},
    {"Parameters", M_PASS | M_WORK},
    {"ResultPath", M_PASS | M_WORK},
    {"ResultSelector", M_WORK},
    {"Result", M_PASS},
    {"Retry", M_WORK},
    {"Catch", M_WORK},
    {"Resource", M_TASK},
    {"TimeoutSeconds", M_TASK},
    {"TimeoutSecondsPath", M_TASK},
    {"HeartbeatSeconds", M_TASK},
    {"HeartbeatSecondsPath", M_TASK},
    {"Credentials", M_TASK},
    {"Choices", M_CHOICE},
    {"Default", M_CHOICE},
    {"Seconds", M_WAIT},
    {"SecondsPath", M_WAIT},
    {"Timestamp", M_WAIT},
    {"TimestampPath", M_WAIT},
    {"Error", M_FAIL},
    {"ErrorPath", M_FAIL},
    {"Cause", M_FAIL},
    {"CausePath", M_FAIL},
    {"Branches", M_PAR},
    {"Iterator", M_MAP},
    {"ItemProcessor", M_MAP},
    {"ItemsPath", M_MAP},
    {"ItemSelector", M_MAP},
    {"ItemReader", M_MAP},
    {"ItemBatcher", M_MAP},
    {"ResultWriter", M_MAP},
    {"MaxConcurrency", M_MAP},
    {"MaxConcurrencyPath", M_MAP},
    {"ToleratedFailureCount", M_MAP},
    {"ToleratedFailureCountPath", M_MAP},
    {"ToleratedFailurePercentage", M_MAP},
    {"ToleratedFailurePercentagePath", M_MAP},
    {"Label", M_MAP},
};

static const char *const jsonata_fields[] = {"Arguments", "Output", "Items", "Condition"};

/* ---- Retry and Catch ---- */

static const char *const known_errors[] = {
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.IntrinsicFailure",
    "States.ItemReaderFailed",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.ResultWriterFailed",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
};

static void error_name(struct parser *p, const struct jv *v)
{
    const char *near;

    if (!jv_is(v, JV_STRING)) {
        dp_report(p, v, "an error name must be a string, not %s", jtype_name((enum jtype)v->type));
        return;
    }
    if (!str_starts(jv_str(v), STR("States."))) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(known_errors); i++) {
        if (str_eqc(jv_str(v), known_errors[i])) {
            return;
        }
    }
    near = nearest_name(jv_str(v), known_errors, ARRAY_LEN(known_errors));
    dp_report(p, v,
              "'%.*s' is no predefined error (names with the prefix States. are reserved)%s%s",
              STR_ARG(str_sub(jv_str(v), 0, 100)), near == NULL ? "" : "; did you mean ",
              near == NULL ? "" : near);
}

/* "last": is this the last retrier or catcher of its list? States.ALL must stand alone and there. */
static struct str *error_equals(struct parser *p, const struct jv *obj, bool last, uint32_t *len)
{
    const struct jv *v = dp_member(p, obj, "ErrorEquals", JV_ARRAY);
    struct str *names;
    size_t mark;

    *len = 0;
    if (v == NULL) {
        if (jv_getc(obj, "ErrorEquals") == NULL) {
            dp_report(p, obj,
                      "ErrorEquals is missing: list the error names, e.g. [\"States.ALL\"]");
        }
        return NULL;
    }
    mark = dp_enter(p, STR("ErrorEquals"));
    if (v->len == 0) {
        dp_report(p, v, "ErrorEquals must not be empty: name at least one error");
    }
    names = ARENA_ARRAY(p->a, struct str, v->len);
    for (uint32_t i = 0; i < v->len; i++) {
        size_t inner = dp_enter_index(p, i);
        error_name(p, v->u.items[i]);
        names[i] = jv_str(v->u.items[i]);
        if (str_eqc(names[i], "States.ALL")) {
            if (v->len > 1) {
                dp_report(p, v->u.items[i], "States.ALL must stand alone in its ErrorEquals");
            } else if (!last) {
                dp_report(p, v->u.items[i], "States.ALL must be in the last entry of the list");
            }
        }
        dp_leave(p, inner);
    }
    *len = v->len;
    dp_leave(p, mark);
    return names;
}

static void known_members(struct parser *p, const struct jv *obj, const char *const *names,
                          size_t n, const char *what)
{
    char text[400];

    for (uint32_t i = 0; i < obj->len; i++) {
        const struct jmember *m = &obj->u.members[i];
        const char *near;
        bool found = false;
        size_t mark;
        for (size_t j = 0; j < n && !found; j++) {
            found = str_eqc(m->name, names[j]);
        }
        if (found) {
            continue;
        }
        near = nearest_name(m->name, names, n);
        mark = dp_enter(p, m->name);
        (void)snprintf(text, sizeof(text), "unknown field '%.*s' in %s%s%s",
                       STR_ARG(str_sub(m->name, 0, 100)), what,
                       near == NULL ? "; remove it" : "; did you mean ", near == NULL ? "" : near);
        dp_report_member(p, m, text);
        dp_leave(p, mark);
    }
}

static void parse_retrier(struct parser *p, const struct jv *v, bool last, struct retrier *r)
{
    static const char *const names[] = {"ErrorEquals", "IntervalSeconds", "MaxAttempts",
                                        "BackoffRate", "MaxDelaySeconds", "JitterStrategy",
                                        "Comment"};
    const struct jv *rate = jv_getc(v, "BackoffRate");
    struct str jitter;
    size_t mark;

    known_members(p, v, names, ARRAY_LEN(names), "a retrier");
    r->errors = error_equals(p, v, last, &r->errors_len);
    r->interval_s = 1;
    r->max_attempts = 3;
    r->backoff = 2.0;
    dp_member_number(p, v, "IntervalSeconds", 1, 99999999, &r->interval_s);
    dp_member_number(p, v, "MaxAttempts", 0, 99999999, &r->max_attempts);
    dp_member_number(p, v, "MaxDelaySeconds", 1, 31622400, &r->max_delay_s);
    if (rate != NULL) {
        mark = dp_enter(p, STR("BackoffRate"));
        if (!jv_is(rate, JV_NUMBER) || !(jv_num(rate) >= 1.0) || jv_num(rate) > 1e9) {
            dp_report(p, rate, "BackoffRate must be a number, at least 1.0");
        } else {
            r->backoff = jv_num(rate);
        }
        dp_leave(p, mark);
    }
    jitter = dp_member_str(p, v, "JitterStrategy");
    r->jitter = str_eqc(jitter, "FULL");
    if (jitter.p != NULL && !r->jitter && !str_eqc(jitter, "NONE")) {
        mark = dp_enter(p, STR("JitterStrategy"));
        dp_report(p, jv_getc(v, "JitterStrategy"), "JitterStrategy must be \"FULL\" or \"NONE\"");
        dp_leave(p, mark);
    }
}

static void parse_retry(struct parser *p, const struct jv *obj, struct state *s)
{
    const struct jv *list = dp_member(p, obj, "Retry", JV_ARRAY);
    size_t mark;

    if (list == NULL) {
        return;
    }
    mark = dp_enter(p, STR("Retry"));
    s->retriers = ARENA_ARRAY(p->a, struct retrier, list->len);
    s->retriers_len = list->len;
    for (uint32_t i = 0; i < list->len; i++) {
        size_t inner = dp_enter_index(p, i);
        if (jv_is(list->u.items[i], JV_OBJECT)) {
            parse_retrier(p, list->u.items[i], i + 1 == list->len, &s->retriers[i]);
        } else {
            dp_report(p, list->u.items[i], "a retrier must be an object with ErrorEquals");
        }
        dp_leave(p, inner);
    }
    dp_leave(p, mark);
}

/* The state named by "name" of the machine of "s"; reports when there is none. */
static const struct state *target(struct parser *p, const struct state *s, const struct jv *obj,
                                  const char *name)
{
    struct str to = dp_member_str(p, obj, name);
    const struct state *found, *near;
    size_t mark;

    if (to.p == NULL) {
        return NULL;
    }
    found = machine_find(s->machine, to);
    if (found == NULL) {
        near = nearest_state(s->machine, to);
        mark = dp_enter(p, str_of(name));
        dp_report(p, jv_getc(obj, name), "there is no state '%.*s' in this machine%s%.*s",
                  STR_ARG(str_sub(to, 0, 100)), near == NULL ? "" : "; did you mean ",
                  near == NULL ? 0 : (int)near->name.size, near == NULL ? "" : near->name.p);
        dp_leave(p, mark);
    }
    return found;
}

static void parse_catcher(struct parser *p, const struct jv *v, bool last, const struct state *s,
                          struct catcher *c)
{
    static const char *const names[] = {"ErrorEquals", "ResultPath", "Next", "Assign", "Comment"};

    known_members(p, v, names, ARRAY_LEN(names), "a catcher");
    c->errors = error_equals(p, v, last, &c->errors_len);
    c->result_path = dp_result_path(p, v);
    c->assign = dp_member_assign(p, v);
    if (jv_getc(v, "Next") == NULL) {
        dp_report(p, v, "Next is missing: a catcher must name the state that goes on");
    }
    c->next = target(p, s, v, "Next");
}

static void parse_catch(struct parser *p, const struct jv *obj, struct state *s)
{
    const struct jv *list = dp_member(p, obj, "Catch", JV_ARRAY);
    size_t mark;

    if (list == NULL) {
        return;
    }
    mark = dp_enter(p, STR("Catch"));
    s->catchers = ARENA_ARRAY(p->a, struct catcher, list->len);
    s->catchers_len = list->len;
    for (uint32_t i = 0; i < list->len; i++) {
        size_t inner = dp_enter_index(p, i);
        if (jv_is(list->u.items[i], JV_OBJECT)) {
            parse_catcher(p, list->u.items[i], i + 1 == list->len, s, &s->catchers[i]);
        } else {
            dp_report(p, list->u.items[i], "a catcher must be an object with ErrorEquals and Next");
        }
        dp_leave(p, inner);
    }
    dp_leave(p, mark);
}

/* ---- the types ---- */

static void parse_credentials(struct parser *p, const struct jv *obj, struct state *s)
{
    const struct jv *v = dp_member(p, obj, "Credentials", JV_OBJECT);

    if (v != NULL) {
        s->credentials = dp_member_tmpl(p, obj, "Credentials");
    }
}

static void parse_task(struct parser *p, const struct jv *v, struct state *s)
{
    struct str text = dp_member_str(p, v, "Resource");
    const char *message = NULL;
    size_t mark;

    if (text.p == NULL) {
        if (jv_getc(v, "Resource") == NULL) {
            dp_report(p, v,
                      "Resource is missing: a Task must say who does it, e.g. "
                      "\"Resource\": \"queue:payments\"");
        }
    } else if (!resource_parse(p->a, text, &s->resource, &message)) {
        mark = dp_enter(p, STR("Resource"));
        dp_report(p, jv_getc(v, "Resource"), "%s", message);
        dp_leave(p, mark);
    }
    s->timeout = dp_number_or_path(p, v, "TimeoutSeconds", "TimeoutSecondsPath", 1, 99999999);
    s->heartbeat = dp_number_or_path(p, v, "HeartbeatSeconds", "HeartbeatSecondsPath", 1, 99999999);
    if (s->timeout.present && s->heartbeat.present && s->timeout.path == NULL &&
        s->heartbeat.path == NULL && s->heartbeat.value >= s->timeout.value) {
        mark = dp_enter(p, STR("HeartbeatSeconds"));
        dp_report(p, jv_getc(v, "HeartbeatSeconds"),
                  "HeartbeatSeconds must be smaller than TimeoutSeconds");
        dp_leave(p, mark);
    }
    parse_credentials(p, v, s);
}

/* A list that must not be empty is empty or absent. (Of a wrong type: that was reported.) */
static void empty_list(struct parser *p, const struct jv *obj, const struct jv *list,
                       const char *name, const char *message)
{
    size_t mark;

    if (list != NULL) {
        mark = dp_enter(p, str_of(name));
        dp_report(p, list, "%s", message);
        dp_leave(p, mark);
    } else if (jv_getc(obj, name) == NULL) {
        dp_report(p, obj, "%s", message);
    }
}

static void parse_choices(struct parser *p, const struct jv *v, struct state *s)
{
    const struct jv *list = dp_member(p, v, "Choices", JV_ARRAY);
    struct expr_problems problems = {dp_expr_report, p};
    size_t mark;

    s->fallback = target(p, s, v, "Default");
    if (list == NULL || list->len == 0) {
        empty_list(p, v, list, "Choices", "Choices must list at least one rule");
        return;
    }
    mark = dp_enter(p, STR("Choices"));
    s->choices = ARENA_ARRAY(p->a, struct choice, list->len);
    s->choices_len = list->len;
    for (uint32_t i = 0; i < list->len; i++) {
        const struct jv *rule = list->u.items[i];
        size_t inner = dp_enter_index(p, i);
        if (!jv_is(rule, JV_OBJECT)) {
            dp_report(p, rule, "a choice rule must be an object");
        } else if (jv_getc(rule, "End") != NULL) {
            dp_report(p, jv_getc(rule, "End"),
                      "a choice rule cannot end the machine: use Next, and a "
                      "Succeed state to go to");
        } else {
            if (jv_getc(rule, "Next") == NULL) {
                dp_report(p, rule,
                          "Next is missing: a choice rule must name the state that follows");
            }
            s->choices[i].next = target(p, s, rule, "Next");
            s->choices[i].assign = dp_member_assign(p, rule);
            s->choices[i].rule = rule_parse(p->a, rule, true, &problems);
        }
        dp_leave(p, inner);
    }
    dp_leave(p, mark);
}

static void parse_wait(struct parser *p, const struct jv *v, struct state *s)
{
    static const char *const ways[] = {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"};
    struct str text;
    int n = 0;
    size_t mark;

    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        n += jv_getc(v, ways[i]) != NULL;
    }
    if (n != 1) {
        dp_report(p, v,
                  "a Wait must have exactly one of Seconds, SecondsPath, Timestamp and "
                  "TimestampPath; this one has %d",
                  n);
        return;
    }
    s->seconds = dp_number_or_path(p, v, "Seconds", "SecondsPath", 0, 99999999);
    text = dp_member_str(p, v, "Timestamp");
    if (text.p != NULL) {
        s->has_timestamp = true;
        if (wall_parse(text, &s->timestamp) != ERR_OK) {
            mark = dp_enter(p, STR("Timestamp"));
            dp_report(p, jv_getc(v, "Timestamp"),
                      "Timestamp must be a date and time such as \"2027-03-01T12:00:00Z\"");
            dp_leave(p, mark);
        }
    }
    s->timestamp_path = dp_member_path(p, v, "TimestampPath");
}

static const struct expr *fail_expr(struct parser *p, const struct jv *obj, const char *name,
                                    const char *other)
{
    struct str text = dp_member_str(p, obj, name);
    const struct expr *e = NULL;
    struct err_detail detail = {ERR_OK, ""};
    size_t mark;

    if (text.p == NULL) {
        return NULL;
    }
    mark = dp_enter(p, str_of(name));
    if (jv_getc(obj, other) != NULL) {
        dp_report(p, jv_getc(obj, name), "may have only one of %s and %s: remove one", other, name);
    }
    if (expr_parse(p->a, text, &e, &detail) != ERR_OK) {
        dp_report(p, jv_getc(obj, name), "'%.*s' is neither a path nor an intrinsic function: %s",
                  STR_ARG(str_sub(text, 0, 200)), detail.text);
    }
    dp_leave(p, mark);
    return e;
}

static void parse_fail(struct parser *p, const struct jv *v, struct state *s)
{
    s->error = dp_member_str(p, v, "Error");
    s->cause = dp_member_str(p, v, "Cause");
    s->error_path = fail_expr(p, v, "ErrorPath", "Error");
    s->cause_path = fail_expr(p, v, "CausePath", "Cause");
}

static struct machine *parse_machine(struct parser *p, const struct jv *v, struct state *owner,
                                     struct str prefix);

static void parse_parallel(struct parser *p, const struct jv *v, struct state *s)
{
    const struct jv *list = dp_member(p, v, "Branches", JV_ARRAY);
    size_t mark;

    if (list == NULL || list->len == 0) {
        empty_list(p, v, list, "Branches",
                   "Branches must list at least one machine with StartAt and States");
        return;
    }
    mark = dp_enter(p, STR("Branches"));
    s->branches = ARENA_ARRAY(p->a, struct machine *, list->len);
    for (uint32_t i = 0; i < list->len; i++) {
        size_t inner = dp_enter_index(p, i);
        char *prefix = arena_printf(p->a, "%.*s[%" PRIu32 "]/", STR_ARG(s->path), i);
        s->branches[i] = parse_machine(p, list->u.items[i], s, str_of(prefix));
        dp_leave(p, inner);
    }
    s->branches_len = list->len;
    dp_leave(p, mark);
}

static void parse_item_reader(struct parser *p, const struct jv *v, struct state *s)
{
    const struct jv *reader = dp_member(p, v, "ItemReader", JV_OBJECT);
    const struct jv *config = dp_member(p, reader, "ReaderConfig", JV_OBJECT);
    const struct jv *batcher = dp_member(p, v, "ItemBatcher", JV_OBJECT);

    s->has_reader = reader != NULL;
    s->has_batcher = batcher != NULL;
    if (jv_getc(config, "MaxItems") != NULL && jv_getc(config, "MaxItemsPath") != NULL) {
        dp_report(p, jv_getc(config, "MaxItemsPath"),
                  "may have only one of MaxItems and MaxItemsPath: remove one");
    }
    if (batcher == NULL) {
        return;
    }
    if (jv_getc(batcher, "MaxItemsPerBatch") != NULL &&
        jv_getc(batcher, "MaxItemsPerBatchPath") != NULL) {
        dp_report(p, batcher, "may have only one of MaxItemsPerBatch and MaxItemsPerBatchPath");
    }
    if (jv_getc(batcher, "MaxInputBytesPerBatch") != NULL &&
        jv_getc(batcher, "MaxInputBytesPerBatchPath") != NULL) {
        dp_report(p, batcher,
                  "may have only one of MaxInputBytesPerBatch and "
                  "MaxInputBytesPerBatchPath");
    }
}

static void parse_map_fields(struct parser *p, const struct jv *v, struct state *s)
{
    const char *selector = jv_getc(v, "ItemSelector") != NULL ? "ItemSelector" : "Parameters";

    if (jv_getc(v, "ItemSelector") != NULL && jv_getc(v, "Parameters") != NULL) {
        dp_report(p, jv_getc(v, "Parameters"),
                  "may have only one of ItemSelector and Parameters: remove Parameters");
    }
    s->item_selector = dp_member_tmpl(p, v, selector);
    s->parameters = NULL;
    s->items_path = dp_member_path(p, v, "ItemsPath");
    s->max_concurrency =
        dp_number_or_path(p, v, "MaxConcurrency", "MaxConcurrencyPath", 0, 99999999);
    s->tolerated_count =
        dp_number_or_path(p, v, "ToleratedFailureCount", "ToleratedFailureCountPath", 0, 99999999);
    s->tolerated_percent = dp_number_or_path(p, v, "ToleratedFailurePercentage",
                                             "ToleratedFailurePercentagePath", 0, 100);
    parse_item_reader(p, v, s);
}

static void parse_map(struct parser *p, const struct jv *v, struct state *s)
{
    const char *name = jv_getc(v, "ItemProcessor") != NULL ? "ItemProcessor" : "Iterator";
    const struct jv *processor = dp_member(p, v, name, JV_OBJECT);
    const struct jv *config = dp_member(p, processor, "ProcessorConfig", JV_OBJECT);
    struct str mode = jv_str(jv_getc(config, "Mode"));
    size_t mark;

    if (jv_getc(v, "ItemProcessor") != NULL && jv_getc(v, "Iterator") != NULL) {
        dp_report(p, jv_getc(v, "Iterator"),
                  "may have only one of ItemProcessor and Iterator: remove Iterator");
    }
    parse_map_fields(p, v, s);
    if (processor == NULL) {
        if (jv_getc(v, name) == NULL) {
            dp_report(p, v,
                      "ItemProcessor is missing: a Map needs the machine that treats one item");
        }
        return;
    }
    s->distributed = str_eqc(mode, "DISTRIBUTED");
    mark = dp_enter(p, str_of(name));
    if (mode.p != NULL && !s->distributed && !str_eqc(mode, "INLINE")) {
        dp_report(p, jv_getc(config, "Mode"), "Mode must be \"INLINE\" or \"DISTRIBUTED\"");
    }
    if (!s->distributed && (s->has_reader || s->has_batcher)) {
        dp_report(p, v,
                  "ItemReader and ItemBatcher need \"ProcessorConfig\": {\"Mode\": "
                  "\"DISTRIBUTED\"}");
    }
    s->branches = ARENA_ARRAY(p->a, struct machine *, 1);
    s->branches[0] =
        parse_machine(p, processor, s, str_of(arena_printf(p->a, "%.*s[]/", STR_ARG(s->path))));
    s->branches_len = 1;
    dp_leave(p, mark);
}

/* ---- one state ---- */

static void check_fields(struct parser *p, const struct jv *v, const struct state *s)
{
    const char *names[ARRAY_LEN(state_fields)];
    unsigned bit = 1u << s->type;
    size_t n = 0;
    char text[400];

    for (size_t i = 0; i < ARRAY_LEN(state_fields); i++) {
        if ((state_fields[i].types & bit) != 0) {
            names[n++] = state_fields[i].name;
        }
    }
    for (uint32_t i = 0; i < v->len; i++) {
        const struct jmember *m = &v->u.members[i];
        bool ours = false, elsewhere = false, jsonata = false;
        const char *near;
        size_t mark;
        for (size_t j = 0; j < ARRAY_LEN(state_fields); j++) {
            if (str_eqc(m->name, state_fields[j].name)) {
                ours = (state_fields[j].types & bit) != 0;
                elsewhere = !ours;
            }
        }
        if (ours) {
            continue;
        }
        for (size_t j = 0; j < ARRAY_LEN(jsonata_fields); j++) {
            jsonata = jsonata || str_eqc(m->name, jsonata_fields[j]);
        }
        near = elsewhere || jsonata ? NULL : nearest_name(m->name, names, n);
        if (jsonata) {
            (void)snprintf(text, sizeof(text),
                           "field '%.*s' belongs to QueryLanguage JSONata, which is not supported "
                           "yet; use Parameters, ResultSelector, ResultPath and OutputPath",
                           STR_ARG(m->name));
        } else if (elsewhere) {
            (void)snprintf(text, sizeof(text),
                           "field '%.*s' is not allowed in a %s state; remove it", STR_ARG(m->name),
                           state_type_names[s->type]);
        } else {
            (void)snprintf(text, sizeof(text), "unknown field '%.*s' in a %s state%s%s",
                           STR_ARG(str_sub(m->name, 0, 100)), state_type_names[s->type],
                           near == NULL ? "; remove it" : "; did you mean ",
                           near == NULL ? "" : near);
        }
        mark = dp_enter(p, m->name);
        dp_report_member(p, m, text);
        dp_leave(p, mark);
    }
}

/* "rest" follows "$$": could it lead to the execution's input? */
static bool mentions_input(struct str rest)
{
    return !str_starts(rest, STR(".State")) && !str_starts(rest, STR(".Map")) &&
           !str_starts(rest, STR(".Task"));
}

/* Does any string under "v" (nested machines left out) mention "$$" or a variable? */
static void scan_uses(const struct jv *v, struct state *s)
{
    if (v->type == JV_STRING) {
        struct str t = jv_str(v);
        for (size_t i = 0; i + 1 < t.size; i++) {
            if (t.p[i] == '$') {
                char c = t.p[i + 1];
                s->uses_context = s->uses_context || c == '$';
                s->uses_input =
                    s->uses_input || (c == '$' && mentions_input(str_sub(t, i + 2, t.size)));
                s->uses_vars = s->uses_vars || (c != '.' && c != '$' && c != '[');
            }
        }
    }
    for (uint32_t i = 0; v->type == JV_ARRAY && i < v->len; i++) {
        scan_uses(v->u.items[i], s);
    }
    for (uint32_t i = 0; v->type == JV_OBJECT && i < v->len; i++) {
        struct str name = v->u.members[i].name;
        if (!str_eqc(name, "Branches") && !str_eqc(name, "Iterator") &&
            !str_eqc(name, "ItemProcessor")) {
            scan_uses(v->u.members[i].value, s);
        }
    }
}

static void parse_flow(struct parser *p, const struct jv *v, struct state *s)
{
    const struct jv *end = jv_getc(v, "End"), *next = jv_getc(v, "Next");
    size_t mark;

    if (s->type == ST_SUCCEED || s->type == ST_FAIL) {
        s->ends = true;
        return;
    }
    if (s->type == ST_CHOICE) {
        return;
    }
    if (end != NULL && !jv_is_bool(end)) {
        mark = dp_enter(p, STR("End"));
        dp_report(p, end, "End must be true or false");
        dp_leave(p, mark);
        return;
    }
    s->ends = jv_is(end, JV_TRUE);
    if (next != NULL && s->ends) {
        dp_report(p, v, "may have only one of Next and End: true: remove one");
    } else if (next == NULL && !s->ends) {
        dp_report(p, v, "neither Next nor End: true: say which state follows, or End: true");
    }
    s->next = target(p, s, v, "Next");
}

static void parse_result(struct parser *p, const struct jv *v, struct state *s)
{
    const struct jv *result = jv_getc(v, "Result");
    struct buf text;

    if (result == NULL) {
        return;
    }
    buf_init(&text, 0);
    json_write(&text, result);
    s->result = str_dup(p->a, buf_str(&text));
    buf_fini(&text);
}

static void parse_state(struct parser *p, struct state *s)
{
    const struct jv *v = s->at;

    check_fields(p, v, s);
    scan_uses(v, s);
    (void)dp_member(p, v, "Comment", JV_STRING);
    parse_flow(p, v, s);
    s->input_path = dp_member_path_or_null(p, v, "InputPath");
    s->output_path = dp_member_path_or_null(p, v, "OutputPath");
    s->result_path = dp_result_path(p, v);
    s->assign = dp_member_assign(p, v);
    if (s->type != ST_MAP) {
        s->parameters = dp_member_tmpl(p, v, "Parameters");
    }
    s->result_selector = dp_member_tmpl(p, v, "ResultSelector");
    parse_result(p, v, s);
    parse_retry(p, v, s);
    parse_catch(p, v, s);
    switch (s->type) {
    case ST_TASK:
        parse_task(p, v, s);
        break;
    case ST_CHOICE:
        parse_choices(p, v, s);
        break;
    case ST_WAIT:
        parse_wait(p, v, s);
        break;
    case ST_FAIL:
        parse_fail(p, v, s);
        break;
    case ST_PARALLEL:
        parse_parallel(p, v, s);
        break;
    case ST_MAP:
        parse_map(p, v, s);
        break;
    case ST_PASS:
    case ST_SUCCEED:
        break;
    }
}

/* ---- machines ---- */

static bool query_language_ok(struct parser *p, const struct jv *v)
{
    struct str q = dp_member_str(p, v, "QueryLanguage");
    bool ok = true;
    size_t mark;

    if (q.p != NULL && !str_eqc(q, "JSONPath")) {
        ok = false;
        mark = dp_enter(p, STR("QueryLanguage"));
        if (str_eqc(q, "JSONata")) {
            dp_report(p, jv_getc(v, "QueryLanguage"),
                      "not supported yet: QueryLanguage JSONata; write the state in JSONPath");
        } else {
            dp_report(p, jv_getc(v, "QueryLanguage"),
                      "QueryLanguage must be \"JSONPath\" (\"JSONata\" is not supported yet)");
        }
        dp_leave(p, mark);
    }
    return ok;
}

static size_t characters(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.size; i++) {
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    }
    return n;
}

/* Name and type of a state: what is needed before any state can refer to another. */
static struct state *declare_state(struct parser *p, struct machine *m, const struct jmember *mem)
{
    const struct jv *v = mem->value;
    struct state *s = ARENA_NEW(p->a, struct state);
    struct str type;
    const char *near;
    size_t mark;

    s->name = mem->name;
    s->machine = m;
    s->at = v;
    s->broken = true; /* until its type is known; others may refer to it all the same */
    s->path = str_of(arena_printf(p->a, "%.*s%.*s", STR_ARG(m->prefix), STR_ARG(mem->name)));
    if (mem->name.size == 0 || characters(mem->name) > STATE_NAME_SIZE_MAX) {
        dp_report_member(p, mem, "the name of a state must have 1 to 80 characters");
    }
    if (!jv_is(v, JV_OBJECT)) {
        dp_report(p, v, "a state must be an object with a Type");
        return s;
    }
    if (!query_language_ok(p, v)) {
        return s;
    }
    type = dp_member_str(p, v, "Type");
    if (type.p == NULL) {
        if (jv_getc(v, "Type") == NULL) {
            dp_report(p, v,
                      "Type is missing: one of Pass, Task, Choice, Wait, Succeed, Fail, "
                      "Parallel, Map");
        }
        return s;
    }
    for (size_t i = 0; i < STATE_TYPES; i++) {
        if (str_eqc(type, state_type_names[i])) {
            s->type = (enum state_type)i;
            s->broken = false;
            return s;
        }
    }
    near = nearest_name(type, state_type_names, STATE_TYPES);
    mark = dp_enter(p, STR("Type"));
    dp_report(
        p, jv_getc(v, "Type"),
        "unknown Type '%.*s': one of Pass, Task, Choice, Wait, Succeed, Fail, Parallel, Map%s%s",
        STR_ARG(str_sub(type, 0, 60)), near == NULL ? "" : "; did you mean ",
        near == NULL ? "" : near);
    dp_leave(p, mark);
    return s;
}

static int by_name(const void *a, const void *b)
{
    const struct state *const *x = a, *const *y = b;

    return str_cmp((*x)->name, (*y)->name);
}

static void add_state(struct def *d, struct state *s)
{
    if (d->states_len == d->states_room) {
        d->states_room = d->states_room == 0 ? 16 : d->states_room * 2;
        d->states = mem_realloc(d->states, d->states_room * sizeof(struct state *));
    }
    s->index = d->states_len;
    d->states[d->states_len++] = s;
}

static struct machine *add_machine(struct parser *p)
{
    struct def *d = p->d;
    struct machine *m = ARENA_NEW(p->a, struct machine);

    if (d->machines_len == d->machines_room) {
        d->machines_room = d->machines_room == 0 ? 4 : d->machines_room * 2;
        d->machines = mem_realloc(d->machines, d->machines_room * sizeof(struct machine *));
    }
    m->index = d->machines_len;
    d->machines[d->machines_len++] = m;
    return m;
}

static void parse_states(struct parser *p, struct machine *m, const struct jv *states)
{
    m->states = ARENA_ARRAY(p->a, struct state *, states->len);
    for (uint32_t i = 0; i < states->len; i++) {
        size_t mark = dp_enter(p, states->u.members[i].name);
        m->states[m->states_len++] = declare_state(p, m, &states->u.members[i]);
        dp_leave(p, mark);
    }
    m->by_name = ARENA_ARRAY(p->a, struct state *, m->states_len);
    if (m->states_len > 0) {
        memcpy(m->by_name, m->states, m->states_len * sizeof(struct state *));
        qsort(m->by_name, m->states_len, sizeof(struct state *), by_name);
    }
}

static void parse_start(struct parser *p, struct machine *m, const struct jv *v)
{
    struct str start = dp_member_str(p, v, "StartAt");
    const struct state *near;
    size_t mark;

    if (start.p == NULL) {
        if (jv_getc(v, "StartAt") == NULL) {
            dp_report(p, v, "StartAt is missing: name the state that comes first");
        }
        return;
    }
    m->start = machine_find(m, start);
    if (m->start == NULL) {
        near = nearest_state(m, start);
        mark = dp_enter(p, STR("StartAt"));
        dp_report(p, jv_getc(v, "StartAt"), "there is no state '%.*s'%s%.*s",
                  STR_ARG(str_sub(start, 0, 100)), near == NULL ? "" : "; did you mean ",
                  near == NULL ? 0 : (int)near->name.size, near == NULL ? "" : near->name.p);
        dp_leave(p, mark);
    }
}

static struct machine *parse_machine(struct parser *p, const struct jv *v, struct state *owner,
                                     struct str prefix)
{
    static const char *const top[] = {"Comment",        "StartAt", "States",
                                      "TimeoutSeconds", "Version", "QueryLanguage"};
    static const char *const nested[] = {"Comment", "StartAt", "States", "ProcessorConfig",
                                         "QueryLanguage"};
    struct machine *m = add_machine(p);
    const struct jv *states;
    size_t mark;

    m->owner = owner;
    m->prefix = prefix;
    m->at = v;
    if (!jv_is(v, JV_OBJECT)) {
        dp_report(p, v, "a machine must be an object with StartAt and States");
        return m;
    }
    if (!query_language_ok(p, v)) {
        return m;
    }
    if (owner == NULL) {
        known_members(p, v, top, ARRAY_LEN(top), "a definition");
    } else {
        known_members(p, v, nested, ARRAY_LEN(nested), "a nested machine");
    }
    states = dp_member(p, v, "States", JV_OBJECT);
    if (states == NULL || states->len == 0) {
        if (states != NULL || jv_getc(v, "States") == NULL) {
            dp_report(p, v, "States is missing or empty: a machine needs at least one state");
        }
        return m;
    }
    mark = dp_enter(p, STR("States"));
    parse_states(p, m, states);
    for (uint32_t i = 0; i < m->states_len; i++) {
        size_t inner = dp_enter(p, m->states[i]->name);
        add_state(p->d, m->states[i]);
        if (!m->states[i]->broken) {
            parse_state(p, m->states[i]);
        }
        dp_leave(p, inner);
    }
    dp_leave(p, mark);
    parse_start(p, m, v);
    return m;
}

void def_build(struct def *d, const struct jv *root, struct def_problems *problems)
{
    struct parser p = {.d = d, .a = &d->arena, .problems = problems};

    buf_init(&p.pointer, 0);
    if (!jv_is(root, JV_OBJECT)) {
        dp_report(&p, root, "a definition must be an object with StartAt and States");
    } else {
        (void)parse_machine(&p, root, NULL, STR(""));
        d->comment = dp_member_str(&p, root, "Comment");
        dp_member_number(&p, root, "TimeoutSeconds", 1, 99999999, &d->timeout_s);
        (void)dp_member(&p, root, "Version", JV_STRING);
    }
    buf_fini(&p.pointer);
}
