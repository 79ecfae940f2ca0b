/* See mock.h. */
#include "base/prelude.h"

#include "cmd/carillon/mock.h"

#include "engine/core/def.h"

static enum err wrong(struct err_detail *detail, const struct jv *at, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
static enum err wrong(struct err_detail *detail, const struct jv *at, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (at == NULL) {
        return err_set(detail, ERR_INVALID, "%s", text);
    }
    return err_set(detail, ERR_INVALID, "%" PRIu32 ":%" PRIu32 ": %s", at->line, at->col, text);
}

/* "3" or "1-2". */
static bool range_parse(struct str s, uint64_t *from, uint64_t *to)
{
    const char *dash = s.size == 0 ? NULL : memchr(s.p, '-', s.size);
    size_t n = dash == NULL ? s.size : (size_t)(dash - s.p);
    if (str_to_u64(str_sub(s, 0, n), from) != ERR_OK) {
        return false;
    }
    *to = *from;
    return dash == NULL || (str_to_u64(str_sub(s, n + 1, s.size), to) == ERR_OK && *from <= *to);
}

static enum err outcome_check(struct str response, const struct jmember *m, struct err_detail *d)
{
    uint64_t from, to;
    const struct jv *v = m->value, *thrown = jv_getc(v, "Throw");
    if (!range_parse(m->name, &from, &to)) {
        return wrong(d, v, "MockedResponses/%.*s: \"%.*s\" is no attempt: write \"0\" or \"1-2\"",
                     STR_ARG(response), STR_ARG(m->name));
    }
    if (!jv_is(v, JV_OBJECT) || v->len != 1 || (thrown == NULL && jv_getc(v, "Return") == NULL)) {
        return wrong(d, v, "MockedResponses/%.*s/%.*s must be {\"Return\": …} or {\"Throw\": …}",
                     STR_ARG(response), STR_ARG(m->name));
    }
    if (thrown != NULL &&
        (!jv_is(jv_getc(thrown, "Error"), JV_STRING) ||
         (jv_getc(thrown, "Cause") != NULL && !jv_is(jv_getc(thrown, "Cause"), JV_STRING)))) {
        return wrong(d, thrown, "Throw needs the string Error, and Cause must be a string");
    }
    return ERR_OK;
}

static enum err responses_check(const struct jv *responses, struct err_detail *d)
{
    if (!jv_is(responses, JV_OBJECT)) {
        return wrong(d, responses, "MockedResponses must be an object");
    }
    for (uint32_t i = 0; i < responses->len; i++) {
        const struct jmember *r = &responses->u.members[i];
        if (!jv_is(r->value, JV_OBJECT)) {
            return wrong(d, r->value, "MockedResponses/%.*s must be an object", STR_ARG(r->name));
        }
        for (uint32_t k = 0; k < r->value->len; k++) {
            enum err e = outcome_check(r->name, &r->value->u.members[k], d);
            if (e != ERR_OK) {
                return e;
            }
        }
    }
    return ERR_OK;
}

static enum err case_read(struct arena *a, const struct jmember *m, const struct jv *responses,
                          struct mock_case *out, struct err_detail *d)
{
    if (!jv_is(m->value, JV_OBJECT)) {
        return wrong(d, m->value, "TestCases/%.*s must be an object", STR_ARG(m->name));
    }
    for (uint32_t i = 0; i < m->value->len; i++) {
        const struct jmember *s = &m->value->u.members[i];
        struct str response = jv_str(s->value);
        if (response.p == NULL || jv_get(responses, response) == NULL) {
            return wrong(d, s->value, "TestCases/%.*s/%.*s names no member of MockedResponses",
                         STR_ARG(m->name), STR_ARG(s->name));
        }
    }
    *out = (struct mock_case){.name = m->name,
                              .states = m->value,
                              .responses = responses,
                              .used = ARENA_ARRAY(a, uint32_t, m->value->len + 1)};
    return ERR_OK;
}

static const struct jv *machine_find_in(const struct jv *machines, struct str machine,
                                        struct str fallback)
{
    if (machine.p != NULL) {
        return jv_get(machines, machine);
    }
    return machines->len == 1 ? machines->u.members[0].value : jv_get(machines, fallback);
}

enum err mocks_read(struct arena *a, struct str text, struct str machine, struct str fallback,
                    struct mocks *out, struct err_detail *detail)
{
    const struct jv *root, *machines, *cases;
    enum err e = json_parse(a, text, JSON_LIMITS_PAYLOAD, false, &root, detail);
    if (e != ERR_OK) {
        return e;
    }
    machines = jv_getc(root, "StateMachines");
    if (!jv_is(machines, JV_OBJECT)) {
        return wrong(detail, root, "StateMachines must be an object");
    }
    const struct jv *responses = jv_getc(root, "MockedResponses");
    e = responses_check(responses, detail);
    if (e != ERR_OK) {
        return e;
    }
    const struct jv *chosen = machine_find_in(machines, machine, fallback);
    if (chosen == NULL) {
        struct str name = machine.p != NULL ? machine : fallback;
        return wrong(detail, machines, "StateMachines has no \"%.*s\": choose with --workflow",
                     STR_ARG(name));
    }
    cases = jv_getc(chosen, "TestCases");
    if (!jv_is(cases, JV_OBJECT) || cases->len == 0) {
        return wrong(detail, chosen, "TestCases must be an object with at least one case");
    }
    *out = (struct mocks){.arena = a, .cases = ARENA_ARRAY(a, struct mock_case, cases->len)};
    while (e == ERR_OK && out->len < cases->len) {
        e = case_read(a, &cases->u.members[out->len], responses, &out->cases[out->len], detail);
        out->len++;
    }
    return e;
}

/* The closest name of a task, for a slip of the pen. */
static enum err no_such_task(const struct mock_case *c, struct str name, const struct def *def,
                             struct err_detail *d, struct arena *a)
{
    const char **names = ARENA_ARRAY(a, const char *, def->states_len + 1);
    size_t n = 0;
    for (uint32_t i = 0; i < def->states_len; i++) {
        if (def->states[i]->type == ST_TASK) {
            names[n++] = str_dup(a, def->states[i]->name).p;
        }
    }
    const char *near = nearest_name(name, names, n);
    return wrong(d, NULL, "TestCases/%.*s/%.*s: the definition has no Task of this name%s%s%s",
                 STR_ARG(c->name), STR_ARG(name), near == NULL ? "" : "; did you mean \"",
                 near == NULL ? "" : near, near == NULL ? "" : "\"?");
}

enum err mocks_check(const struct mocks *m, const struct def *def, struct err_detail *detail)
{
    for (uint32_t i = 0; i < m->len; i++) {
        const struct mock_case *c = &m->cases[i];
        for (uint32_t k = 0; k < c->states->len; k++) {
            struct str name = c->states->u.members[k].name;
            bool found = false;
            for (uint32_t s = 0; s < def->states_len && !found; s++) {
                found = def->states[s]->type == ST_TASK && str_eq(def->states[s]->name, name);
            }
            if (!found) {
                return no_such_task(c, name, def, detail, m->arena);
            }
        }
    }
    return ERR_OK;
}

const struct mock_case *mocks_find(const struct mocks *m, struct str name)
{
    for (uint32_t i = 0; i < m->len; i++) {
        if (str_eq(m->cases[i].name, name)) {
            return &m->cases[i];
        }
    }
    return NULL;
}

static const struct jv *outcome_find(const struct jv *response, uint32_t n)
{
    for (uint32_t i = 0; i < response->len; i++) {
        uint64_t from, to;
        if (range_parse(response->u.members[i].name, &from, &to) && n >= from && n <= to) {
            return response->u.members[i].value;
        }
    }
    return NULL;
}

/* A thrown time-out of a task that has one is the real thing: the time passes. */
static enum replay_result thrown_as(struct str error, const struct replay_task *t)
{
    bool lost = t->heartbeat && str_eqc(error, "States.HeartbeatTimeout");
    bool late = t->timeout && !t->heartbeat && str_eqc(error, "States.Timeout");
    return lost || late ? REPLAY_TIMEOUT : REPLAY_ERROR;
}

bool mock_task(void *arg, const struct replay_task *t, struct replay_answer *out, struct buf *why)
{
    struct mock_case *c = arg;
    uint32_t i = 0;
    while (c != NULL && i < c->states->len && !str_eq(c->states->u.members[i].name, t->name)) {
        i++;
    }
    if (c == NULL || i == c->states->len) {
        buf_printf(why, "state %.*s has no mock", STR_ARG(t->name));
        return false;
    }
    struct str name = jv_str(c->states->u.members[i].value);
    const struct jv *o = outcome_find(jv_get(c->responses, name), c->used[i]);
    if (o == NULL) {
        buf_printf(why, "state %.*s: MockedResponses/%.*s has no outcome \"%" PRIu32 "\"",
                   STR_ARG(t->name), STR_ARG(name), c->used[i]);
        return false;
    }
    c->used[i]++;
    const struct jv *thrown = jv_getc(o, "Throw");
    if (thrown != NULL) {
        out->error = jv_str(jv_getc(thrown, "Error"));
        out->cause = jv_str(jv_getc(thrown, "Cause"));
        out->result = thrown_as(out->error, t);
        return true;
    }
    out->result = REPLAY_OUTPUT;
    out->output = jv_getc(o, "Return")->raw;
    return true;
}
