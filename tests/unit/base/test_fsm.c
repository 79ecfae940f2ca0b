#include "base/prelude.h"

#include "base/fsm.h"
#include "base/trace.h"
#include "tests/unit/base/suite.h"

enum { IDLE, BUSY, DONE };
static const struct fsm_state states[] = {
    [IDLE] = {"idle", FSM_INITIAL, 1u << BUSY},
    [BUSY] = {"busy", 0, 1u << IDLE | 1u << DONE},
    [DONE] = {"done", FSM_FINAL, 0},
};

static int checked_prev = -1;
static bool invariant_holds = true;
static bool invariant(const struct fsm *m, int prev)
{
    checked_prev = prev;
    return invariant_holds && m->current != prev;
}

static uint64_t traced_from, traced_to;
static void tap(void *arg UNUSED, const char *what, uint64_t a, uint64_t b)
{
    ck_assert_str_eq(what, "machine");
    traced_from = a;
    traced_to = b;
}

START_TEST(moves)
{
    struct fsm m;
    fsm_init(&m, "machine", states, IDLE, invariant);
    ck_assert_int_eq(fsm_state(&m), IDLE);
    ck_assert_str_eq(fsm_state_name(&m), "idle");
    trace_tap(tap, NULL);
    fsm_move(&m, BUSY);
    ck_assert_int_eq(checked_prev, IDLE);
    ck_assert(traced_from == IDLE && traced_to == BUSY);
    fsm_move(&m, IDLE);
    fsm_move(&m, BUSY);
    fsm_move(&m, DONE);
    trace_tap(NULL, NULL);
    ck_assert_str_eq(fsm_state_name(&m), "done");
    ck_assert_int_eq(checked_prev, BUSY);
}
END_TEST

static int bad_from, bad_to;
static void bad_move(void)
{
    struct fsm m;
    fsm_init(&m, "machine", states, IDLE, NULL);
    if (bad_from != IDLE) {
        fsm_move(&m, BUSY);
    }
    if (bad_from == DONE) {
        fsm_move(&m, DONE);
    }
    fsm_move(&m, bad_to);
}

static void bad_start(void)
{
    struct fsm m;
    fsm_init(&m, "machine", states, BUSY, NULL);
}

static void bad_invariant(void)
{
    struct fsm m;
    fsm_init(&m, "machine", states, IDLE, invariant);
    invariant_holds = false;
    fsm_move(&m, BUSY);
}

START_TEST(wrong_moves_are_assertions)
{
    static const int bad[][2] = {{IDLE, IDLE}, {IDLE, DONE}, {BUSY, BUSY}, {DONE, IDLE},
                                 {DONE, DONE}, {IDLE, -1},   {IDLE, 32}};
    char out[8192];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bad_from = bad[i][0];
        bad_to = bad[i][1];
        ck_assert_msg(suite_aborts(bad_move, out, sizeof(out)), "%d to %d", bad_from, bad_to);
    }
    ck_assert(suite_aborts(bad_start, out, sizeof(out)));
    ck_assert(suite_aborts(bad_invariant, out, sizeof(out)));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {moves, wrong_moves_are_assertions, NULL};
    return suite_run("fsm", tests);
}
