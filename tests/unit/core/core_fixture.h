/* What the tests of the core share: definitions from text, executions, turns, facts, rows kept. */
#ifndef CARILLON_TESTS_UNIT_CORE_FIXTURE_H
#define CARILLON_TESTS_UNIT_CORE_FIXTURE_H

#include <check.h>

#include "base/mem.h"
#include "base/limits.h"
#include "engine/core/exec.h"

enum { CX_ROWS_MAX = 4000 };

struct cx {
    struct def *def;
    struct exec *x;
    struct turn *t;
    struct rng rng;
    struct wall now;
    struct arena rows_arena;
    struct str rows[CX_ROWS_MAX];
    struct wall at[CX_ROWS_MAX];
    uint32_t rows_len;
    const struct turn_out *out; /* of the last turn */
    struct exec_ident ident;
};

static inline struct def *cx_def(const char *text)
{
    struct def_problems p;
    struct def *d = NULL;
    enum err e;

    def_problems_init(&p);
    e = def_parse(str_of(text), DEF_AUTO, &d, &p);
    ck_assert_msg(e == ERR_OK, "%s: %s", p.len == 0 ? "" : p.v[0].pointer,
                  p.len == 0 ? "" : p.v[0].message);
    def_problems_fini(&p);
    return d;
}

static inline void cx_init(struct cx *c, const char *definition, uint64_t seed)
{
    memset(c, 0, sizeof(*c));
    rng_seed(&c->rng, seed);
    arena_init(&c->rows_arena, 0);
    c->now.us = INT64_C(1760000000000000);
    c->def = cx_def(definition);
    c->ident = (struct exec_ident){.tenant = STR("1"),
                                   .workflow = STR("flow"),
                                   .name = STR("order-1"),
                                   .started_at = c->now,
                                   .def_revision = 1};
    c->ident.id = exec_id_make(1, 7, 1, c->now, &c->rng);
    c->x = exec_new(&c->ident, c->def);
    c->t = turn_new();
}

static inline void cx_fini(struct cx *c)
{
    turn_free(c->t);
    exec_free(c->x);
    def_unref(c->def);
    arena_fini(&c->rows_arena);
}

/* One turn with one fact (NULL: none); false when it did nothing. Keeps the row. */
static inline bool cx_turn(struct cx *c, const struct fact *f, enum fact_result *result)
{
    enum fact_result r = FACT_ACCEPTED;
    struct err_detail detail = {ERR_OK, ""};

    turn_begin(c->t, c->x, c->now, &c->rng);
    if (f != NULL) {
        r = turn_fact(c->t, f, &detail);
    }
    if (result != NULL) {
        *result = r;
    }
    if (!turn_end(c->t, &c->out)) {
        return false;
    }
    ck_assert_uint_lt(c->rows_len, CX_ROWS_MAX);
    c->at[c->rows_len] = c->now;
    c->rows[c->rows_len++] = str_dup(&c->rows_arena, c->out->body);
    return true;
}

static inline void cx_drain(struct cx *c)
{
    while (c->out->yielded) {
        ck_assert(cx_turn(c, NULL, NULL));
    }
}

static inline void cx_start(struct cx *c, const char *input)
{
    struct fact f = {.type = FACT_START, .payload = str_of(input)};
    enum fact_result r;

    ck_assert(cx_turn(c, &f, &r));
    ck_assert_int_eq(r, FACT_ACCEPTED);
    cx_drain(c);
}

static inline struct core_task cx_task(struct cx *c, uint32_t n)
{
    struct core_task tasks[64];

    ck_assert_uint_lt(n, MIN(exec_open_tasks(c->x, tasks, 64), 64));
    return tasks[n];
}

static inline enum fact_result cx_succeed(struct cx *c, struct task_token token, const char *output)
{
    struct fact f = {.type = FACT_TASK_SUCCEEDED,
                     .token = token,
                     .payload = str_of(output),
                     .worker = STR("w")};
    enum fact_result r;

    if (cx_turn(c, &f, &r)) {
        cx_drain(c);
    }
    return r;
}

static inline enum fact_result cx_fail(struct cx *c, struct task_token token, const char *error,
                                       const char *cause)
{
    struct fact f = {.type = FACT_TASK_FAILED,
                     .token = token,
                     .error = str_of(error),
                     .cause = str_of(cause),
                     .worker = STR("w")};
    enum fact_result r;

    if (cx_turn(c, &f, &r)) {
        cx_drain(c);
    }
    return r;
}

/* Fires the earliest timer, at its time; false when there is none. */
static inline bool cx_tick(struct cx *c)
{
    struct core_timer t[64], first = {0};
    uint32_t n = MIN(exec_open_timers(c->x, t, 64), 64);
    struct fact f = {.type = FACT_TIMER};

    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || t[i].due.us < first.due.us) {
            first = t[i];
        }
    }
    if (n == 0) {
        return false;
    }
    c->now.us = MAX(c->now.us, first.due.us);
    f.timer_seq = first.seq;
    f.timer_idx = first.idx;
    ck_assert(cx_turn(c, &f, NULL));
    cx_drain(c);
    return true;
}

/* INV 5: the rows fold to the same state, from the start and from any snapshot. */
static inline void cx_check_fold(struct cx *c)
{
    struct exec *y = exec_new(&c->ident, c->def), *z = NULL;
    struct err_detail detail = {ERR_OK, ""};
    uint32_t half = c->rows_len / 2;
    struct buf b;

    buf_init(&b, 0);
    for (uint32_t i = 0; i < c->rows_len; i++) {
        ck_assert_msg(exec_apply_row(y, i + 1, c->at[i], c->rows[i], NULL, &detail) == ERR_OK, "%s",
                      detail.text);
        if (z != NULL) {
            ck_assert(exec_apply_row(z, i + 1, c->at[i], c->rows[i], NULL, &detail) == ERR_OK);
        }
        if (i + 1 == half) {
            uint64_t before = exec_digest(y);
            exec_snapshot(y, &b);
            ck_assert_uint_eq(exec_delta_size(y), 0);
            ck_assert_msg(exec_restore(&c->ident, c->def, buf_str(&b), &z, &detail) == ERR_OK, "%s",
                          detail.text);
            ck_assert_uint_eq(exec_digest(z), before);
        }
    }
    ck_assert_uint_eq(exec_digest(y), exec_digest(c->x));
    ck_assert_uint_eq(exec_state_size(y), exec_state_size(c->x));
    if (z != NULL) {
        ck_assert_uint_eq(exec_digest(z), exec_digest(c->x));
    }
    buf_fini(&b);
    exec_free(y);
    exec_free(z);
}

static inline int cx_main(Suite *s)
{
    SRunner *r = srunner_create(s);
    int failed;

    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}

#endif
