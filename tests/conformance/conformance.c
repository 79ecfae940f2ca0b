/* Replays recorded executions through the core alone, and judges definitions: conformance DIR...
 * A line each, PASS|FAIL|SKIP id reason; then result, cause and events apart; exit 1 on a failure.
 * The folder's README says how a runner replays a case; each run is also folded again from its rows and
 * must give the same state. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/mem.h"
#include "engine/core/exec.h"

enum { TURNS_MAX = 200000, REASON_SIZE = 600 };

struct row {
    uint64_t seq;
    struct wall at;
    struct str body;
};

struct seen {
    const char *type;
    struct str scope;
    const struct jv *details;
};

struct job { /* an open task with the answer found for it */
    struct task_token token;
    struct wall timeout_at;
    int64_t heartbeat_us;
    int outcome;
    bool wait;
};

struct run {
    struct history_sink sink;
    struct arena a;
    const struct jv *doc;
    struct exec *x;
    struct turn *t;
    struct def *def;
    struct rng rng;
    struct wall now;
    struct row *rows;
    uint32_t rows_len;
    struct seen *events;
    uint32_t events_len;
    struct job *jobs;
    uint32_t jobs_len;
    bool *used;
    char reason[REASON_SIZE];
};

struct totals {
    int passed, failed, skipped;
    int result, cause, events, runs, with_events;
};

static bool fail(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool fail(struct run *r, const char *fmt, ...)
{
    va_list ap;

    if (r->reason[0] == 0) {
        va_start(ap, fmt);
        (void)vsnprintf(r->reason, sizeof(r->reason), fmt, ap);
        va_end(ap);
    }
    for (char *p = r->reason; *p != 0; p++) {
        if (*p == '\n') {
            *p = ' ';
        }
    }
    return false;
}

static const char *brief(struct run *r, const struct jv *v)
{
    struct buf b;
    char *s;

    if (v == NULL) {
        return "(absent)";
    }
    buf_init(&b, 0);
    json_write(&b, v);
    s = arena_strndup(&r->a, b.p, MIN(b.size, 220));
    buf_fini(&b);
    return s;
}

/* ---- comparing with wildcards ---- */

static bool listed(const struct run *r, const char *pointer)
{
    const struct jv *w = jv_getc(r->doc, "wildcards");

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

static bool same(struct run *r, const struct jv *want, const struct jv *got, const char *pointer)
{
    const struct jv *pieces;

    if (listed(r, pointer)) {
        return true;
    }
    pieces = jv_getc(jv_getc(r->doc, "partial"), pointer);
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
            const char *p = arena_printf(&r->a, "%s/%" PRIu32, pointer, i);
            if (!same(r, want->u.items[i], got->u.items[i], p)) {
                return false;
            }
        }
        return true;
    }
    if (want->type == JV_OBJECT) {
        for (uint32_t i = 0; i < want->len; i++) {
            struct str name = want->u.members[i].name;
            const struct jv *g = jv_get(got, name);
            const char *p = arena_printf(&r->a, "%s/%.*s", pointer, STR_ARG(name));
            if (g == NULL || !same(r, want->u.members[i].value, g, p)) {
                return false;
            }
        }
        return true;
    }
    return jv_equal(want, got);
}

/* ---- running ---- */

static void keep_row(struct run *r, const struct turn_out *o)
{
    struct row *v;

    if ((r->rows_len & (r->rows_len - 1)) == 0) { /* room doubles at powers of two */
        v = arena_alloc(&r->a, sizeof(*v) * (r->rows_len == 0 ? 1 : r->rows_len * 2));
        if (r->rows_len > 0) {
            memcpy(v, r->rows, sizeof(*v) * r->rows_len);
        }
        r->rows = v;
    }
    r->rows[r->rows_len++] = (struct row){o->seq, r->now, str_dup(&r->a, o->body)};
}

static int find_outcome(struct run *r, const struct core_task *task)
{
    const struct jv *list = jv_getc(r->doc, "task_outcomes");
    const struct frame *f = exec_open_find(r->x, task->token.ref.seq, task->token.ref.idx);
    struct str scope = frame_scope(f, &r->a);

    for (uint32_t i = 0; list != NULL && i < list->len; i++) {
        const struct jv *o = list->u.items[i];
        int64_t attempt = 0;
        if (!r->used[i] && jv_to_i64(jv_getc(o, "attempt"), &attempt) &&
            attempt == task->token.ref.attempt &&
            str_eq(jv_str(jv_getc(o, "state")), f->state->name) &&
            str_eq(jv_str(jv_getc(o, "scope")), scope)) {
            return (int)i;
        }
    }
    return -1;
}

static bool new_task(struct run *r, const struct core_task *task)
{
    const struct jv *sent, *want;
    int i = find_outcome(r, task);
    struct str path = def_state_path(r->def, task->state);

    if (i < 0) {
        return fail(r, "task %.*s attempt %" PRIu32 ": no recorded outcome", STR_ARG(path),
                    task->token.ref.attempt);
    }
    r->used[i] = true;
    want = jv_getc(jv_getc(r->doc, "task_outcomes")->u.items[i], "parameters");
    if (json_parse(&r->a, task->input, JSON_LIMITS_PAYLOAD, false, &sent, NULL) != ERR_OK ||
        !same(r, want, sent, arena_printf(&r->a, "/task_outcomes/%d/parameters", i))) {
        return fail(r, "task %.*s sends %.*s, recorded %s", STR_ARG(path),
                    STR_ARG(str_sub(task->input, 0, 200)), brief(r, want));
    }
    r->jobs = r->jobs == NULL ? arena_alloc(&r->a, sizeof(struct job) * 20000) : r->jobs;
    ASSERT(r->jobs_len < 20000);
    r->jobs[r->jobs_len++] =
        (struct job){task->token, task->timeout_at, task->heartbeat_us, i, false};
    return true;
}

/* One turn with at most one fact; false when the case has failed. */
static bool turn(struct run *r, const struct fact *f)
{
    const struct turn_out *o;
    bool yielded = true;

    while (yielded) {
        turn_begin(r->t, r->x, r->now, &r->rng);
        if (f != NULL && turn_fact(r->t, f, NULL) != FACT_ACCEPTED) {
            return fail(r, "a fact of type %d was not accepted", (int)f->type);
        }
        f = NULL;
        if (!turn_end(r->t, &o)) {
            return true;
        }
        keep_row(r, o);
        yielded = o->yielded;
        for (uint32_t i = 0; i < o->tasks_new_len; i++) {
            if (!new_task(r, &o->tasks_new[i])) {
                return false;
            }
        }
        if (r->rows_len > TURNS_MAX) {
            return fail(r, "more than %d turns", TURNS_MAX);
        }
    }
    return true;
}

static bool answer(struct run *r, struct job *j)
{
    const struct jv *o = jv_getc(r->doc, "task_outcomes")->u.items[j->outcome];
    struct str result = jv_str(jv_getc(o, "result"));
    struct fact f = {.token = j->token, .worker = STR("conformance")};
    struct buf b;
    bool ok = true;

    buf_init(&b, 0);
    if (jv_getc(o, "submitted") != NULL) {
        json_write(&b, jv_getc(o, "submitted"));
        f.type = FACT_TASK_SUBMITTED;
        f.payload = buf_str(&b);
        ok = turn(r, &f);
        buf_clear(&b);
    }
    if (str_eqc(result, "output")) {
        json_write(&b, jv_getc(o, "output"));
        f.type = FACT_TASK_SUCCEEDED;
        f.payload = buf_str(&b);
    } else if (str_eqc(result, "error")) {
        f.type = FACT_TASK_FAILED;
        f.error = jv_str(jv_getc(o, "error"));
        f.cause = jv_str(jv_getc(o, "cause"));
    } else if (str_eqc(result, "timeout")) {
        bool beat = j->heartbeat_us > 0;
        if (!beat && j->timeout_at.us == 0) {
            buf_fini(&b);
            return fail(r, "the task waits for ever; recorded: %s", brief(r, o));
        }
        f.type = beat ? FACT_TASK_HEARTBEAT_LOST : FACT_TASK_TIMED_OUT;
        r->now.us = beat ? r->now.us + j->heartbeat_us : MAX(r->now.us, j->timeout_at.us);
    } else {
        j->wait = true;
        buf_fini(&b);
        return ok;
    }
    j->wait = true;
    ok = ok && turn(r, &f);
    buf_fini(&b);
    return ok;
}

static bool fire_timer(struct run *r, bool *fired)
{
    struct core_timer timers[64];
    uint32_t n = MIN(exec_open_timers(r->x, timers, ARRAY_LEN(timers)), ARRAY_LEN(timers));
    const struct core_timer *first = NULL;
    struct fact f = {.type = FACT_TIMER};

    for (uint32_t i = 0; i < n; i++) {
        if (first == NULL || timers[i].due.us < first->due.us) {
            first = &timers[i];
        }
    }
    *fired = first != NULL;
    if (first == NULL) {
        return true;
    }
    r->now.us = MAX(r->now.us, first->due.us);
    f.timer_seq = first->seq;
    f.timer_idx = first->idx;
    return turn(r, &f);
}

static bool drive(struct run *r)
{
    struct fact start = {.type = FACT_START};
    struct buf b;
    bool ok;

    buf_init(&b, 0);
    json_write(&b, jv_getc(r->doc, "input"));
    start.payload = buf_str(&b);
    ok = turn(r, &start);
    buf_fini(&b);
    while (ok && exec_status(r->x) == EXEC_RUNNING) {
        struct job *j = NULL;
        bool fired = false;
        for (uint32_t i = 0; i < r->jobs_len && j == NULL; i++) {
            struct core_task open;
            bool is_open = exec_open_task(r->x, r->jobs[i].token.ref.seq, r->jobs[i].token.ref.idx,
                                          &open, NULL);
            j = r->jobs[i].wait || !is_open ? NULL : &r->jobs[i];
        }
        if (j != NULL) {
            ok = answer(r, j);
            continue;
        }
        ok = fire_timer(r, &fired);
        if (ok && !fired) {
            return fail(r, "the execution waits for nothing that was recorded");
        }
    }
    return ok;
}

/* ---- folding again ---- */

static void on_event(struct history_sink *sink, const struct history_event *e)
{
    struct run *r = CONTAINER_OF(sink, struct run, sink);
    struct seen *s;

    if ((r->events_len & (r->events_len - 1)) == 0) {
        struct seen *v =
            arena_alloc(&r->a, sizeof(*v) * (r->events_len == 0 ? 1 : r->events_len * 2));
        if (r->events_len > 0) {
            memcpy(v, r->events, sizeof(*v) * r->events_len);
        }
        r->events = v;
    }
    s = &r->events[r->events_len++];
    ASSERT(e->id == r->events_len);
    s->type = arena_strndup(&r->a, e->type, strlen(e->type));
    s->scope = e->scope.p == NULL ? STR("") : str_dup(&r->a, e->scope);
    s->details = jv_copy(&r->a, e->details);
}

static bool fold_again(struct run *r)
{
    struct exec *y = exec_new(exec_ident(r->x), r->def);
    struct err_detail detail = {ERR_OK, ""};
    bool ok = true;

    for (uint32_t i = 0; i < r->rows_len && ok; i++) {
        ok = exec_apply_row(y, r->rows[i].seq, r->rows[i].at, r->rows[i].body, &r->sink, &detail) ==
             ERR_OK;
    }
    if (!ok) {
        (void)fail(r, "the rows do not fold: %s", detail.text);
    } else if (exec_digest(y) != exec_digest(r->x)) {
        ok = fail(r, "folding the rows gives another state");
    }
    exec_free(y);
    return ok;
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

static const struct jv *decoded(struct run *r, const struct jv *v)
{
    const struct jv *out;

    if (v == NULL) {
        return NULL;
    }
    ASSERT(jv_is(v, JV_STRING));
    return json_parse(&r->a, jv_str(v), JSON_LIMITS_PAYLOAD, false, &out, NULL) == ERR_OK ? out
                                                                                          : NULL;
}

static bool event_same(struct run *r, uint32_t i, const struct jv *want, const struct seen *got)
{
    static const char *const payloads[] = {"input", "output"};
    static const char *const plain[] = {"name", "index"};
    const struct jv *vars = jv_getc(got->details, "assignedVariables");
    const struct jv *assigned = jv_getc(want, "assigned");

    if (!str_eqc(jv_str(jv_getc(want, "type")), got->type)) {
        return false;
    }
    for (size_t k = 0; k < ARRAY_LEN(payloads); k++) {
        const char *p = arena_printf(&r->a, "/expected/events/%" PRIu32 "/%s", i, payloads[k]);
        if (!same(r, jv_getc(want, payloads[k]), decoded(r, jv_getc(got->details, payloads[k])),
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
            arena_printf(&r->a, "/expected/events/%" PRIu32 "/assigned/%.*s", i, STR_ARG(name));
        if (!same(r, assigned->u.members[k].value, decoded(r, jv_get(vars, name)), p)) {
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

static bool scope_same(struct run *r, const struct jv *events, struct str scope, bool lenient)
{
    uint32_t k = 0;

    for (uint32_t i = 0; i < events->len; i++) {
        const struct jv *want = events->u.items[i];
        const char *type = arena_strndup(&r->a, jv_str(jv_getc(want, "type")).p,
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
            return lenient || fail(r, "event %" PRIu32 " %s in '%.*s' is missing", i + 1, type,
                                   STR_ARG(scope));
        }
        if (!event_same(r, i, want, &r->events[k])) {
            return fail(r, "event %" PRIu32 " in '%.*s': recorded %s, got %s %s", i + 1,
                        STR_ARG(scope), brief(r, want), r->events[k].type,
                        brief(r, r->events[k].details));
        }
        k++;
    }
    while (k < r->events_len &&
           (!is_compared(r->events[k].type) || !str_eq(r->events[k].scope, scope))) {
        k++;
    }
    return lenient || k == r->events_len ||
           fail(r, "an event too many: %s in '%.*s'", r->events[k].type, STR_ARG(scope));
}

static bool events_same(struct run *r)
{
    const struct jv *events = jv_getc(jv_getc(r->doc, "expected"), "events");
    bool lenient = something_failed(events), any_unordered = false, taken_all = true;
    bool *taken = arena_zalloc(&r->a, MAX(r->events_len, 1));

    for (uint32_t i = 0; i < events->len; i++) {
        const struct jv *want = events->u.items[i];
        bool first = true;
        if (jv_is(jv_getc(want, "unordered"), JV_TRUE)) {
            bool found = false;
            const char *type = arena_strndup(&r->a, jv_str(jv_getc(want, "type")).p,
                                             jv_str(jv_getc(want, "type")).size);
            any_unordered = true;
            for (uint32_t k = 0; is_compared(type) && k < r->events_len && !found; k++) {
                struct str scope = jv_str(jv_getc(want, "scope"));
                if (!taken[k] && (scope.p == NULL || str_eq(scope, r->events[k].scope)) &&
                    event_same(r, i, want, &r->events[k])) {
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
        if (first && !scope_same(r, events, jv_str(jv_getc(want, "scope")),
                                 lenient && jv_str(jv_getc(want, "scope")).size > 0)) {
            return false;
        }
    }
    return !any_unordered || taken_all || fail(r, "an unordered event is missing");
}

/* ---- one case ---- */

static bool judge_result(struct run *r)
{
    const struct jv *e = jv_getc(r->doc, "expected");
    const struct jv *output = NULL, *error = NULL;
    const char *status = exec_status_name(exec_status(r->x));

    if (!str_eqc(jv_str(jv_getc(e, "status")), status)) {
        return fail(r, "ends %s %.*s (%.*s), recorded %s %s", status, STR_ARG(exec_error(r->x)),
                    (int)MIN(exec_cause(r->x).size, 250), exec_cause(r->x).p,
                    brief(r, jv_getc(e, "status")), brief(r, jv_getc(e, "error")));
    }
    if (exec_output(r->x).p != NULL &&
        json_parse(&r->a, exec_output(r->x), JSON_LIMITS_PAYLOAD, false, &output, NULL) != ERR_OK) {
        return fail(r, "the output is no JSON");
    }
    if (!same(r, jv_getc(e, "output"), output, "/expected/output")) {
        return fail(r, "output %s, recorded %s", brief(r, output), brief(r, jv_getc(e, "output")));
    }
    error = exec_error(r->x).p == NULL ? NULL : jv_string(&r->a, exec_error(r->x));
    if (!same(r, jv_getc(e, "error"), error, "/expected/error")) {
        return fail(r, "error %s (%.*s), recorded %s", brief(r, error),
                    STR_ARG(str_sub(exec_cause(r->x), 0, 300)), brief(r, jv_getc(e, "error")));
    }
    for (uint32_t i = 0;
         jv_getc(r->doc, "task_outcomes") != NULL && i < jv_getc(r->doc, "task_outcomes")->len;
         i++) {
        const struct jv *o = jv_getc(r->doc, "task_outcomes")->u.items[i];
        if (!r->used[i] && !str_eqc(jv_str(jv_getc(o, "result")), "none")) {
            return fail(r, "recorded outcome %" PRIu32 " was never asked for", i);
        }
    }
    return true;
}

static bool judge_cause(struct run *r)
{
    const struct jv *want = jv_getc(jv_getc(r->doc, "expected"), "cause");
    const struct jv *got = exec_cause(r->x).p == NULL ? NULL : jv_string(&r->a, exec_cause(r->x));

    return same(r, want, got, "/expected/cause") ||
           fail(r, "cause %s, recorded %s", brief(r, got), brief(r, want));
}

static bool has_feature(const struct jv *doc, const char *name)
{
    const struct jv *f = jv_getc(doc, "features");

    for (uint32_t i = 0; f != NULL && i < f->len; i++) {
        if (str_eqc(jv_str(f->u.items[i]), name)) {
            return true;
        }
    }
    return false;
}

static bool parse_def(struct run *r, struct str text)
{
    struct def_problems p;
    bool ok;

    def_problems_init(&p);
    ok = def_parse(text, DEF_JSON, &r->def, &p) == ERR_OK;
    if (!ok) {
        (void)fail(r, "refused: %s: %s", p.v[0].pointer, p.v[0].message);
    }
    def_problems_fini(&p);
    return ok;
}

static struct str definition_text(struct run *r)
{
    struct str text = jv_str(jv_getc(r->doc, "definition_text"));
    struct buf b;

    if (text.p != NULL) {
        return text;
    }
    buf_init(&b, 0);
    json_write(&b, jv_getc(r->doc, "definition"));
    text = str_dup(&r->a, buf_str(&b));
    buf_fini(&b);
    return text;
}

static void run_execution(struct run *r, struct totals *t)
{
    const struct jv *outcomes = jv_getc(r->doc, "task_outcomes");
    const struct jv *events = jv_getc(jv_getc(r->doc, "expected"), "events");
    struct exec_ident ident = {.tenant = STR("111111111111"),
                               .workflow = STR("statemachine"),
                               .name = STR("execution")};
    bool result, cause, ev = true;

    r->used = arena_zalloc(&r->a, outcomes == NULL ? 1 : outcomes->len + 1);
    rng_seed(&r->rng, 1);
    if (wall_parse(jv_str(jv_getc(r->doc, "clock")), &r->now) != ERR_OK) {
        r->now.us = INT64_C(1735689600000000);
    }
    t->runs++;
    t->with_events += jv_is(events, JV_ARRAY);
    if (!parse_def(r, definition_text(r))) {
        t->failed++;
        return;
    }
    ident.started_at = r->now;
    ident.id = exec_id_make(1, 7, 1, r->now, &r->rng);
    r->x = exec_new(&ident, r->def);
    r->t = turn_new();
    r->sink.event = on_event;
    result = drive(r) && fold_again(r) && judge_result(r);
    cause = result && judge_cause(r);
    ev = result && (!jv_is(events, JV_ARRAY) || events_same(r));
    t->result += result;
    t->cause += cause;
    t->events += ev && jv_is(events, JV_ARRAY);
    t->passed += result && cause && ev;
    t->failed += !(result && cause && ev);
    turn_free(r->t);
    exec_free(r->x);
}

static void run_definition(struct run *r, struct totals *t)
{
    bool want = jv_is(jv_getc(r->doc, "valid"), JV_TRUE);
    bool got = parse_def(r, definition_text(r));

    if (want == got) {
        r->reason[0] = 0;
        t->passed++;
        return;
    }
    t->failed++;
    (void)fail(r, "accepted; %s says: %s", brief(r, jv_getc(r->doc, "judge")),
               brief(r, jv_getc(r->doc, "reason")));
}

/* Why a case is not run; NULL: it is. */
static const char *skip_reason(struct run *r)
{
    struct str q = jv_str(jv_getc(r->doc, "query_language"));
    struct str text = definition_text(r);

    if (q.p != NULL && !str_eqc(q, "JSONPath")) {
        return "JSONata is not supported yet";
    }
    if (memmem(text.p, text.size, "JSONata", 7) != NULL) {
        return "JSONata is not supported yet";
    }
    if (jv_is(jv_getc(r->doc, "replayable"), JV_FALSE)) {
        return "not replayable";
    }
    if (has_feature(r->doc, "Map:DISTRIBUTED")) {
        return "distributed Map is not supported yet";
    }
    return NULL;
}

static bool read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    char chunk[65536];
    size_t n;

    if (f == NULL) {
        return false;
    }
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        buf_put(out, chunk, n);
    }
    (void)fclose(f);
    return true;
}

static void run_file(const char *path, const char *name, struct totals *t)
{
    struct run r = {.reason = ""};
    struct buf text;
    struct err_detail detail = {ERR_OK, ""};
    const char *skip;
    int failed = t->failed;

    buf_init(&text, 0);
    arena_init(&r.a, 0);
    if (!read_file(path, &text) ||
        json_parse(&r.a, buf_str(&text), JSON_LIMITS_PAYLOAD, true, &r.doc, &detail) != ERR_OK) {
        printf("FAIL %s cannot be read: %s\n", name, detail.text);
        t->failed++;
    } else if (jv_getc(r.doc, "expected") == NULL && jv_getc(r.doc, "valid") == NULL) {
        printf("SKIP %s is no case\n", name);
        t->skipped++;
    } else if ((skip = skip_reason(&r)) != NULL) {
        printf("SKIP %s %s\n", name, skip);
        t->skipped++;
    } else {
        if (jv_getc(r.doc, "expected") != NULL) {
            run_execution(&r, t);
        } else {
            run_definition(&r, t);
        }
        printf("%s %s %s\n", t->failed > failed ? "FAIL" : "PASS", name, r.reason);
    }
    def_unref(r.def);
    arena_fini(&r.a);
    buf_fini(&text);
}

static int wanted(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static void run_folder(const char *dir, struct totals *t)
{
    struct dirent **names;
    int n = scandir(dir, &names, wanted, alphasort);

    if (n < 0) {
        fprintf(stderr, "conformance: cannot read %s: %s\n", dir, strerror(errno));
        t->failed++;
        return;
    }
    for (int i = 0; i < n; i++) {
        char path[4096];
        struct stat st;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            run_folder(path, t);
        } else if (ends(path, ".json")) {
            names[i]->d_name[strlen(names[i]->d_name) - 5] = 0;
            run_file(path, names[i]->d_name, t);
        }
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    struct totals t = {0};

    if (argc < 2) {
        fprintf(stderr, "usage: conformance DIR...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        run_folder(argv[i], &t);
    }
    printf("result %d/%d cause %d/%d events %d/%d\n", t.result, t.runs, t.cause, t.runs, t.events,
           t.with_events);
    printf("%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped);
    return t.failed > 0 ? 1 : 0;
}
