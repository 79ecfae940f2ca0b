/* See recorded.h. Values compare after canonical JSON; where a case lists a wildcard anything fits, where it
 * lists pieces of a text these must be there in order. Events compare for each scope, as branches of the real
 * service run at the same time. */
#include "base/prelude.h"

#include "cmd/carillon/recorded.h"

#include "base/assert.h"

bool recorded_fail(struct recorded *c, const char *fmt, ...)
{
    va_list ap;
    if (c->reason[0] == '\0') {
        va_start(ap, fmt);
        (void)vsnprintf(c->reason, sizeof(c->reason), fmt, ap);
        va_end(ap);
    }
    for (char *p = c->reason; *p != '\0'; p++) {
        *p = *p == '\n' ? ' ' : *p;
    }
    return false;
}

static const char *brief(struct recorded *c, const struct jv *v)
{
    struct buf b;
    char *s;

    if (v == NULL) {
        return "(absent)";
    }
    buf_init(&b, 0);
    json_write(&b, v);
    s = arena_strndup(&c->arena, b.p, MIN(b.size, 220));
    buf_fini(&b);
    return s;
}

/* ---- comparing with wildcards ---- */

static bool listed(const struct recorded *c, const char *pointer)
{
    const struct jv *w = jv_getc(c->doc, "wildcards");

    for (uint32_t i = 0; w != NULL && i < w->len; i++) {
        if (str_eqc(jv_str(w->u.items[i]), pointer)) {
            return true;
        }
    }
    return false;
}

static bool pieces_match(const struct jv *pieces, struct str s)
{
    size_t at = 0;

    for (uint32_t i = 0; i < pieces->len; i++) {
        struct str piece = jv_str(pieces->u.items[i]);
        const char *p;
        if (i == 0) {
            if (!str_starts(s, piece)) {
                return false;
            }
            at = piece.size;
            continue;
        }
        if (piece.size == 0) {
            continue;
        }
        p = memmem(s.p + at, s.size - at, piece.p, piece.size);
        if (p == NULL || (i + 1 == pieces->len && !str_ends(s, piece))) {
            return false;
        }
        at = (size_t)(p - s.p) + piece.size;
    }
    return true;
}

static bool same(struct recorded *c, const struct jv *want, const struct jv *got,
                 const char *pointer)
{
    const struct jv *pieces;

    if (listed(c, pointer)) {
        return true;
    }
    pieces = jv_getc(jv_getc(c->doc, "partial"), pointer);
    if (pieces != NULL && jv_is(got, JV_STRING)) {
        return pieces_match(pieces, jv_str(got));
    }
    if (want == NULL || got == NULL) {
        return want == got;
    }
    if (want->type != got->type || (want->type >= JV_ARRAY && want->len != got->len)) {
        return false;
    }
    if (want->type == JV_ARRAY) {
        for (uint32_t i = 0; i < want->len; i++) {
            const char *p = arena_printf(&c->arena, "%s/%" PRIu32, pointer, i);
            if (!same(c, want->u.items[i], got->u.items[i], p)) {
                return false;
            }
        }
        return true;
    }
    if (want->type == JV_OBJECT) {
        for (uint32_t i = 0; i < want->len; i++) {
            struct str name = want->u.members[i].name;
            const struct jv *g = jv_get(got, name);
            const char *p = arena_printf(&c->arena, "%s/%.*s", pointer, STR_ARG(name));
            if (g == NULL || !same(c, want->u.members[i].value, g, p)) {
                return false;
            }
        }
        return true;
    }
    return jv_equal(want, got);
}

/* ---- judging events ---- */

static bool ends(const char *s, const char *tail)
{
    return str_ends(str_of(s), str_of(tail));
}

static bool is_compared(const char *type)
{
    return ends(type, "StateEntered") || ends(type, "StateExited") ||
           str_starts(str_of(type), STR("MapIteration"));
}

static const struct jv *decoded(struct recorded *c, const struct jv *v)
{
    const struct jv *out;

    if (v == NULL) {
        return NULL;
    }
    ASSERT(jv_is(v, JV_STRING));
    return json_parse(&c->arena, jv_str(v), JSON_LIMITS_PAYLOAD, false, &out, NULL) == ERR_OK
               ? out
               : NULL;
}

static bool event_same(struct recorded *c, uint32_t i, const struct jv *want,
                       const struct history_event *got)
{
    static const char *const payloads[] = {"input", "output"};
    static const char *const plain[] = {"name", "index"};
    const struct jv *vars = jv_getc(got->details, "assignedVariables");
    const struct jv *assigned = jv_getc(want, "assigned");

    if (!str_eqc(jv_str(jv_getc(want, "type")), got->type)) {
        return false;
    }
    for (size_t k = 0; k < ARRAY_LEN(payloads); k++) {
        const char *p = arena_printf(&c->arena, "/expected/events/%" PRIu32 "/%s", i, payloads[k]);
        if (!same(c, jv_getc(want, payloads[k]), decoded(c, jv_getc(got->details, payloads[k])),
                  p)) {
            return false;
        }
    }
    for (size_t k = 0; k < ARRAY_LEN(plain); k++) {
        if (!jv_equal(jv_getc(want, plain[k]), jv_getc(got->details, plain[k]))) {
            return jv_getc(want, plain[k]) == NULL && jv_getc(got->details, plain[k]) == NULL;
        }
    }
    if ((vars == NULL ? 0 : vars->len) != (assigned == NULL ? 0 : assigned->len)) {
        return false;
    }
    for (uint32_t k = 0; assigned != NULL && k < assigned->len; k++) {
        struct str name = assigned->u.members[k].name;
        const char *p =
            arena_printf(&c->arena, "/expected/events/%" PRIu32 "/assigned/%.*s", i, STR_ARG(name));
        if (!same(c, assigned->u.members[k].value, decoded(c, jv_get(vars, name)), p)) {
            return false;
        }
    }
    return true;
}

/* Where a Map or Parallel fails, siblings may have stopped earlier or later. */
static bool something_failed(const struct jv *events)
{
    for (uint32_t i = 0; i < events->len; i++) {
        struct str type = jv_str(jv_getc(events->u.items[i], "type"));
        if (str_eqc(type, "MapStateFailed") || str_eqc(type, "ParallelStateFailed") ||
            str_eqc(type, "MapIterationFailed")) {
            return true;
        }
    }
    return false;
}

static bool scope_same(struct recorded *c, const struct replay *r, const struct jv *events,
                       struct str scope, bool lenient)
{
    uint32_t k = 0;

    for (uint32_t i = 0; i < events->len; i++) {
        const struct jv *want = events->u.items[i];
        const char *type = arena_strndup(&c->arena, jv_str(jv_getc(want, "type")).p,
                                         jv_str(jv_getc(want, "type")).size);
        if (!is_compared(type) || !str_eq(jv_str(jv_getc(want, "scope")), scope) ||
            jv_is(jv_getc(want, "unordered"), JV_TRUE)) {
            continue;
        }
        while (k < r->events_len &&
               (!is_compared(r->events[k].type) || !str_eq(r->events[k].scope, scope))) {
            k++;
        }
        if (k == r->events_len) {
            return lenient || recorded_fail(c, "event %" PRIu32 " %s in '%.*s' is missing", i + 1,
                                            type, STR_ARG(scope));
        }
        if (!event_same(c, i, want, &r->events[k])) {
            return recorded_fail(c, "event %" PRIu32 " in '%.*s': recorded %s, got %s %s", i + 1,
                                 STR_ARG(scope), brief(c, want), r->events[k].type,
                                 brief(c, r->events[k].details));
        }
        k++;
    }
    while (k < r->events_len &&
           (!is_compared(r->events[k].type) || !str_eq(r->events[k].scope, scope))) {
        k++;
    }
    return lenient || k == r->events_len ||
           recorded_fail(c, "an event too many: %s in '%.*s'", r->events[k].type, STR_ARG(scope));
}

static bool events_same(struct recorded *c, const struct replay *r)
{
    const struct jv *events = jv_getc(jv_getc(c->doc, "expected"), "events");
    bool lenient = something_failed(events), any_unordered = false, taken_all = true;
    bool *taken = arena_zalloc(&c->arena, MAX(r->events_len, 1));

    for (uint32_t i = 0; i < events->len; i++) {
        const struct jv *want = events->u.items[i];
        bool first = true;
        if (jv_is(jv_getc(want, "unordered"), JV_TRUE)) {
            bool found = false;
            const char *type = arena_strndup(&c->arena, jv_str(jv_getc(want, "type")).p,
                                             jv_str(jv_getc(want, "type")).size);
            any_unordered = true;
            for (uint32_t k = 0; is_compared(type) && k < r->events_len && !found; k++) {
                struct str scope = jv_str(jv_getc(want, "scope"));
                if (!taken[k] && (scope.p == NULL || str_eq(scope, r->events[k].scope)) &&
                    event_same(c, i, want, &r->events[k])) {
                    found = taken[k] = true;
                }
            }
            taken_all = taken_all && (found || !is_compared(type));
            continue;
        }
        for (uint32_t k = 0; k < i && first; k++) {
            first = !jv_equal(jv_getc(events->u.items[k], "scope"), jv_getc(want, "scope")) ||
                    jv_is(jv_getc(events->u.items[k], "unordered"), JV_TRUE);
        }
        if (first && !scope_same(c, r, events, jv_str(jv_getc(want, "scope")),
                                 lenient && jv_str(jv_getc(want, "scope")).size > 0)) {
            return false;
        }
    }
    return !any_unordered || taken_all || recorded_fail(c, "an unordered event is missing");
}

/* ---- the end ---- */

static const struct jv *expected(const struct recorded *c, const char *member)
{
    return jv_getc(jv_getc(c->doc, "expected"), member);
}

static const struct jv *string_or_null(struct recorded *c, struct str s)
{
    return s.p == NULL ? NULL : jv_string(&c->arena, s);
}

static bool outcomes_used(struct recorded *c)
{
    for (uint32_t i = 0; c->outcomes != NULL && i < c->outcomes->len; i++) {
        struct str result = jv_str(jv_getc(c->outcomes->u.items[i], "result"));
        if (!c->used[i] && !str_eqc(result, "none")) {
            return recorded_fail(c, "recorded outcome %" PRIu32 " was never asked for", i);
        }
    }
    return true;
}

static bool judge_result(struct recorded *c, const struct replay *r)
{
    const struct jv *output = NULL, *error = string_or_null(c, r->error);
    const char *status = exec_status_name(r->status);
    if (r->reason != NULL) {
        return recorded_fail(c, "%s", r->reason);
    }
    if (!str_eqc(jv_str(expected(c, "status")), status)) {
        return recorded_fail(c, "ends %s %.*s (%.*s), recorded %s %s", status, STR_ARG(r->error),
                             STR_ARG(str_sub(r->cause, 0, 250)), brief(c, expected(c, "status")),
                             brief(c, expected(c, "error")));
    }
    if (r->output.p != NULL &&
        json_parse(&c->arena, r->output, JSON_LIMITS_PAYLOAD, false, &output, NULL) != ERR_OK) {
        return recorded_fail(c, "the output is no JSON");
    }
    if (!same(c, expected(c, "output"), output, "/expected/output")) {
        return recorded_fail(c, "output %s, recorded %s", brief(c, output),
                             brief(c, expected(c, "output")));
    }
    if (!same(c, expected(c, "error"), error, "/expected/error")) {
        return recorded_fail(c, "error %s (%.*s), recorded %s", brief(c, error),
                             STR_ARG(str_sub(r->cause, 0, 300)), brief(c, expected(c, "error")));
    }
    return outcomes_used(c);
}

static bool judge_cause(struct recorded *c, const struct replay *r)
{
    const struct jv *got = string_or_null(c, r->cause);
    return same(c, expected(c, "cause"), got, "/expected/cause") ||
           recorded_fail(c, "cause %s, recorded %s", brief(c, got), brief(c, expected(c, "cause")));
}

struct recorded_score recorded_judge(struct recorded *c, const struct replay *r)
{
    struct recorded_score s = {.has_events = jv_is(expected(c, "events"), JV_ARRAY)};
    s.result = judge_result(c, r);
    s.cause = s.result && judge_cause(c, r);
    s.events = s.result && (!s.has_events || events_same(c, r));
    return s;
}

bool recorded_judge_definition(struct recorded *c, const char *refused)
{
    bool want = jv_is(jv_getc(c->doc, "valid"), JV_TRUE);
    if (want == (refused == NULL)) {
        return true;
    }
    return refused != NULL
               ? recorded_fail(c, "refused: %s", refused)
               : recorded_fail(c, "accepted; %s says: %s", brief(c, jv_getc(c->doc, "judge")),
                               brief(c, jv_getc(c->doc, "reason")));
}

/* ---- the tasks ---- */

static bool outcome_fits(struct recorded *c, uint32_t i, struct str state, struct str scope,
                         uint32_t attempt)
{
    const struct jv *o = c->outcomes->u.items[i];
    int64_t recorded_attempt = 0;
    return !c->used[i] && jv_to_i64(jv_getc(o, "attempt"), &recorded_attempt) &&
           recorded_attempt == attempt && str_eq(jv_str(jv_getc(o, "state")), state) &&
           (scope.p == NULL || str_eq(jv_str(jv_getc(o, "scope")), scope));
}

const struct jv *recorded_outcome(struct recorded *c, struct str state, struct str scope,
                                  uint32_t attempt, struct str input)
{
    const struct jv *sent = NULL, *want = NULL;
    if (json_parse(&c->arena, input, JSON_LIMITS_PAYLOAD, false, &sent, NULL) != ERR_OK) {
        (void)recorded_fail(c, "task %.*s: its input is no JSON", STR_ARG(state));
        return NULL;
    }
    for (uint32_t i = 0; c->outcomes != NULL && i < c->outcomes->len; i++) {
        if (!outcome_fits(c, i, state, scope, attempt)) {
            continue;
        }
        want = jv_getc(c->outcomes->u.items[i], "parameters");
        if (same(c, want, sent,
                 arena_printf(&c->arena, "/task_outcomes/%" PRIu32 "/parameters", i))) {
            c->used[i] = true;
            return c->outcomes->u.items[i];
        }
        if (scope.p != NULL) {
            break;
        }
    }
    if (want == NULL) {
        (void)recorded_fail(c, "task %.*s attempt %" PRIu32 ": no recorded outcome", STR_ARG(state),
                            attempt);
    } else {
        (void)recorded_fail(c, "task %.*s sends %.*s, recorded %s", STR_ARG(state),
                            STR_ARG(str_sub(input, 0, 200)), brief(c, want));
    }
    return NULL;
}

static struct str json_text(struct arena *a, const struct jv *v)
{
    struct buf b;
    if (v == NULL) {
        return STR_NONE;
    }
    buf_init(&b, 0);
    json_write(&b, v);
    struct str s = str_dup(a, buf_str(&b));
    buf_fini(&b);
    return s;
}

void recorded_answer(struct recorded *c, const struct jv *outcome, struct replay_answer *out)
{
    struct str result = jv_str(jv_getc(outcome, "result"));
    *out = (struct replay_answer){.result = str_eqc(result, "output")    ? REPLAY_OUTPUT
                                            : str_eqc(result, "error")   ? REPLAY_ERROR
                                            : str_eqc(result, "timeout") ? REPLAY_TIMEOUT
                                                                         : REPLAY_NONE,
                                  .submitted = json_text(&c->arena, jv_getc(outcome, "submitted")),
                                  .output = json_text(&c->arena, jv_getc(outcome, "output")),
                                  .error = jv_str(jv_getc(outcome, "error")),
                                  .cause = jv_str(jv_getc(outcome, "cause"))};
    if (out->result == REPLAY_OUTPUT && out->output.p == NULL) {
        out->output = STR("null");
    }
}

bool recorded_task(void *arg, const struct replay_task *t, struct replay_answer *out,
                   struct buf *why)
{
    struct recorded *c = arg;
    const struct jv *o = recorded_outcome(c, t->name, t->scope, t->attempt, t->input);
    if (o == NULL) {
        buf_puts(why, c->reason);
        return false;
    }
    recorded_answer(c, o, out);
    return true;
}

/* ---- reading ---- */

bool recorded_is_execution(const struct recorded *c)
{
    return jv_getc(c->doc, "expected") != NULL;
}

void recorded_reset(struct recorded *c)
{
    c->reason[0] = '\0';
    if (c->outcomes != NULL) {
        memset(c->used, 0, sizeof(bool) * c->outcomes->len);
    }
}

bool recorded_read(struct recorded *c, struct str text)
{
    struct err_detail d = {ERR_OK, ""};
    *c = (struct recorded){.reason = ""};
    arena_init(&c->arena, 0);
    if (json_parse(&c->arena, text, JSON_LIMITS_PAYLOAD, false, &c->doc, &d) != ERR_OK) {
        return recorded_fail(c, "cannot be read: %s", d.text);
    }
    c->definition = jv_str(jv_getc(c->doc, "definition_text"));
    if (c->definition.p == NULL) {
        c->definition = json_text(&c->arena, jv_getc(c->doc, "definition"));
    }
    c->input = json_text(&c->arena, jv_getc(c->doc, "input"));
    c->outcomes = jv_getc(c->doc, "task_outcomes");
    c->used = ARENA_ARRAY(&c->arena, bool, c->outcomes == NULL ? 1 : c->outcomes->len + 1);
    if (wall_parse(jv_str(jv_getc(c->doc, "clock")), &c->clock) != ERR_OK) {
        c->clock.us = INT64_C(1735689600000000);
    }
    return true;
}

void recorded_fini(struct recorded *c)
{
    arena_fini(&c->arena);
}

static bool has_feature(const struct recorded *c, const char *name)
{
    const struct jv *f = jv_getc(c->doc, "features");
    for (uint32_t i = 0; f != NULL && i < f->len; i++) {
        if (str_eqc(jv_str(f->u.items[i]), name)) {
            return true;
        }
    }
    return false;
}

const char *recorded_skip(const struct recorded *c)
{
    struct str language = jv_str(jv_getc(c->doc, "query_language"));
    if (c->definition.p == NULL ||
        (!recorded_is_execution(c) && jv_getc(c->doc, "valid") == NULL)) {
        return "is no case";
    }
    if ((language.p != NULL && !str_eqc(language, "JSONPath")) ||
        memmem(c->definition.p, c->definition.size, "JSONata", 7) != NULL) {
        return "JSONata is not supported yet";
    }
    if (jv_is(jv_getc(c->doc, "replayable"), JV_FALSE)) {
        return "not replayable";
    }
    return has_feature(c, "Map:DISTRIBUTED") ? "distributed Map is not supported yet" : NULL;
}
