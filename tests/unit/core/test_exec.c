/* The state: INV 5 over seeded random walks, snapshots, stale facts, sizes. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/unit/core/core_fixture.h"

static const char flow[] =
    "{\"StartAt\":\"A\",\"TimeoutSeconds\":100000,\"States\":{"
    "\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:a\",\"ResultPath\":\"$.a\",\"TimeoutSeconds\":"
    "60,"
    "\"Assign\":{\"last.$\":\"$\"},\"Next\":\"W\","
    "\"Retry\":[{\"ErrorEquals\":[\"Soft\"],\"IntervalSeconds\":2,\"MaxAttempts\":2,"
    "\"JitterStrategy\":\"FULL\"}],"
    "\"Catch\":[{\"ErrorEquals\":[\"States.ALL\"],\"ResultPath\":\"$.error\",\"Next\":\"W\"}]},"
    "\"W\":{\"Type\":\"Wait\",\"Seconds\":5,\"Next\":\"P\"},"
    "\"P\":{\"Type\":\"Parallel\",\"ResultPath\":\"$.p\",\"Next\":\"M\",\"Branches\":["
    "{\"StartAt\":\"P1\",\"States\":{\"P1\":{\"Type\":\"Task\",\"Resource\":\"queue:p\",\"End\":"
    "true,"
    "\"Retry\":[{\"ErrorEquals\":[\"Soft\"],\"MaxAttempts\":1}]}}},"
    "{\"StartAt\":\"P2\",\"States\":{\"P2\":{\"Type\":\"Pass\",\"Next\":\"P3\"},"
    "\"P3\":{\"Type\":\"Wait\",\"Seconds\":3,\"Next\":\"P4\"},"
    "\"P4\":{\"Type\":\"Task\",\"Resource\":\"queue:p\",\"End\":true}}}],"
    "\"Catch\":[{\"ErrorEquals\":[\"States.ALL\"],\"ResultPath\":\"$.perr\",\"Next\":\"M\"}]},"
    "\"M\":{\"Type\":\"Map\",\"ItemsPath\":\"$.items\",\"MaxConcurrency\":2,\"ResultPath\":\"$.m\","
    "\"ItemSelector\":{\"i.$\":\"$$.Map.Item.Index\",\"v.$\":\"$$.Map.Item.Value\"},"
    "\"ItemProcessor\":{\"StartAt\":\"M1\",\"States\":{\"M1\":{\"Type\":\"Task\","
    "\"Resource\":\"queue:m\",\"End\":true,\"Retry\":[{\"ErrorEquals\":[\"Soft\"]}]}}},"
    "\"Retry\":[{\"ErrorEquals\":[\"Hard\"],\"MaxAttempts\":1}],"
    "\"Catch\":[{\"ErrorEquals\":[\"States.ALL\"],\"ResultPath\":\"$.merr\",\"Next\":\"C\"}],"
    "\"Next\":\"C\"},"
    "\"C\":{\"Type\":\"Choice\",\"Choices\":[{\"Variable\":\"$.n\",\"NumericLessThan\":3,"
    "\"Next\":\"Inc\"}],\"Default\":\"Z\"},"
    "\"Inc\":{\"Type\":\"Pass\",\"Parameters\":{\"n.$\":\"States.MathAdd($.n, 1)\","
    "\"items.$\":\"$.items\"},\"Next\":\"A\"},"
    "\"Z\":{\"Type\":\"Succeed\",\"OutputPath\":\"$.m\"}}}";

static const char *const errors[] = {"Soft", "Hard", "States.Timeout", ""};
static const char *const outputs[] = {
    "{\"ok\":true}", "[1, 2,  {\"a\":\"b c\"}]", "null", "17", "\"text\\u0000 \\\" x\"", "{}"};

/* A fact about something open, or about nothing. */
static struct fact random_fact(struct cx *c)
{
    struct core_task tasks[16];
    struct core_timer timers[16];
    uint32_t nt = MIN(exec_open_tasks(c->x, tasks, 16), 16);
    uint32_t nw = MIN(exec_open_timers(c->x, timers, 16), 16);
    struct fact f = {.type = FACT_TASK_SUCCEEDED, .worker = STR("w")};
    uint64_t what = rng_below(&c->rng, 100);

    if (nt > 0) {
        f.token = tasks[rng_below(&c->rng, nt)].token;
    }
    f.payload = str_of(outputs[rng_below(&c->rng, ARRAY_LEN(outputs))]);
    f.error = str_of(errors[rng_below(&c->rng, ARRAY_LEN(errors))]);
    f.cause = STR("because");
    if (nw > 0 && what < 40) {
        struct core_timer t = timers[rng_below(&c->rng, nw)];
        bool deadline = t.due.us - c->ident.started_at.us == INT64_C(100000) * US_PER_S;
        bool spare = deadline && rng_below(&c->rng, 50) > 0; /* or no walk would get far */
        f.type = spare ? FACT_TASK_SUCCEEDED : FACT_TIMER;
        f.timer_seq = t.seq;
        f.timer_idx = t.idx;
    } else if (what < 55) {
        f.type = FACT_TASK_FAILED;
    } else if (what < 58) {
        f.type = FACT_TASK_TIMED_OUT;
    } else if (what < 60) {
        f.type = FACT_TASK_HEARTBEAT_LOST;
    } else if (what < 62) {
        f.type = FACT_TASK_SUBMITTED;
        f.child.b[0] = (uint8_t)rng_below(&c->rng, 2); /* with a child, or without */
    } else if (what < 65) {
        f.token.nonce++;
    } else if (what < 68) {
        f.token.ref.attempt++;
    }
    return f;
}

static uint32_t longest; /* rows of a walk, in this process */

static void walk(uint64_t seed)
{
    struct cx c;
    uint64_t digest;

    cx_init(&c, flow, seed);
    cx_start(&c, "{\"n\":0,\"items\":[1,\"two\",{\"three\":3}]}");
    for (int k = 0; k < 400 && exec_status(c.x) == EXEC_RUNNING; k++) {
        struct fact f = random_fact(&c);
        enum fact_result r;
        c.now.us += (int64_t)rng_below(&c.rng, 2000000);
        digest = exec_digest(c.x);
        if (!cx_turn(&c, &f, &r)) {
            ck_assert(r != FACT_ACCEPTED);
            ck_assert_uint_eq(exec_digest(c.x), digest); /* nothing changed */
            continue;
        }
        ck_assert_int_eq(r, FACT_ACCEPTED);
        ck_assert_uint_eq(c.out->seq, exec_seq(c.x));
        if (rng_chance(&c.rng, 0.1)) { /* a new owner goes on from a snapshot */
            struct exec *y;
            struct buf b;
            buf_init(&b, 0);
            exec_snapshot(c.x, &b);
            ck_assert(exec_restore(&c.ident, c.def, buf_str(&b), &y, NULL) == ERR_OK);
            ck_assert_uint_eq(exec_digest(y), exec_digest(c.x));
            ck_assert_uint_eq(exec_state_size(y), exec_state_size(c.x));
            exec_free(c.x);
            c.x = y;
            buf_fini(&b);
        }
    }
    if (exec_status(c.x) == EXEC_RUNNING) {
        struct fact stop = {.type = FACT_STOP, .error = STR("Stopped"), .cause = STR("enough")};
        ck_assert(cx_turn(&c, &stop, NULL));
        ck_assert_int_eq(exec_status(c.x), EXEC_ABORTED);
    }
    longest = MAX(longest, c.rows_len);
    ck_assert_uint_eq(exec_open_tasks(c.x, NULL, 0), 0);
    ck_assert_uint_eq(exec_open_timers(c.x, NULL, 0), 0);
    cx_check_fold(&c);
    cx_fini(&c);
}

enum { CROWD = 600 };

#define CROWD_FLOW \
    "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"End\":true,\"ItemProcessor\":{" \
    "\"StartAt\":\"T\",\"States\":{\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:q\",\"Next\":" \
    "\"W\"}," \
    "\"W\":{\"Type\":\"Wait\",\"Seconds\":5,\"Next\":\"U\"}," \
    "\"U\":{\"Type\":\"Task\",\"Resource\":\"queue:q\",\"End\":true}}}}}}"

static void crowd_start(struct cx *c)
{
    struct buf in;

    buf_init(&in, 0);
    buf_puts(&in, "[0");
    for (int i = 1; i < CROWD; i++) {
        buf_puts(&in, ",1");
    }
    buf_puts(&in, "]");
    buf_putc(&in, 0);
    cx_init(c, CROWD_FLOW, 1);
    cx_start(c, in.p);
    buf_fini(&in);
}

/* Answers what the dice choose of all that is open; checks how it is listed. */
static void crowd_answer(struct cx *c)
{
    static struct core_task tasks[CROWD];
    static struct core_timer timers[CROWD];
    uint32_t n = exec_open_tasks(c->x, tasks, CROWD), m = exec_open_timers(c->x, timers, CROWD);
    uint32_t i = (uint32_t)rng_below(&c->rng, n + m);
    struct fact f = {.type = FACT_TASK_SUCCEEDED, .payload = STR("1"), .worker = STR("w")};

    ck_assert_uint_le(n + m, CROWD);
    for (uint32_t k = 1; k < n; k++) {
        const struct task_ref *a = &tasks[k - 1].token.ref, *b = &tasks[k].token.ref;
        ck_assert(a->seq < b->seq || (a->seq == b->seq && a->idx < b->idx));
    }
    for (uint32_t k = 1; k < m; k++) {
        ck_assert(timers[k - 1].seq < timers[k].seq);
    }
    if (i < n) {
        f.token = tasks[i].token;
    } else {
        f = (struct fact){.type = FACT_TIMER,
                          .timer_seq = timers[i - n].seq,
                          .timer_idx = timers[i - n].idx};
        c->now.us = MAX(c->now.us, timers[i - n].due.us);
    }
    ck_assert(cx_turn(c, &f, NULL));
    cx_drain(c);
    if (i < n) { /* it is closed, and its neighbours are not */
        ck_assert(!exec_open_task(c->x, f.token.ref.seq, f.token.ref.idx, &tasks[i], NULL));
    }
}

/* Of many that are open any may be the next to close, and the list of them stays the list of them. */
START_TEST(test_crowd)
{
    struct cx c;
    uint32_t answers = 0;

    crowd_start(&c);
    ck_assert_uint_eq(exec_open_tasks(c.x, NULL, 0), CROWD);
    while (exec_status(c.x) == EXEC_RUNNING) {
        crowd_answer(&c);
        answers++;
    }
    ck_assert_uint_eq(answers, 3 * CROWD);
    ck_assert_int_eq(exec_status(c.x), EXEC_SUCCEEDED);
    cx_check_fold(&c);
    cx_fini(&c);
}
END_TEST

/* Frames weigh in a snapshot though they are no payload: what snapshots cost in all is still in proportion
 * to the rows, and a load reads hardly more of rows than of state. */
START_TEST(test_snapshot_due)
{
    struct cx c;
    struct buf b;
    size_t snapshots = 0, largest = 0, rows = 0, longest_tail = 0;

    buf_init(&b, 0);
    crowd_start(&c);
    while (exec_status(c.x) == EXEC_RUNNING) {
        crowd_answer(&c);
        rows += c.out->body.size;
        longest_tail = MAX(longest_tail, exec_delta_size(c.x));
        if (exec_snapshot_due(c.x)) {
            buf_clear(&b);
            exec_snapshot(c.x, &b);
            snapshots += b.size;
            largest = MAX(largest, b.size);
            ck_assert(!exec_snapshot_due(c.x));
        }
    }
    ck_assert_uint_gt(snapshots, 0);
    ck_assert_uint_lt(snapshots, 2 * rows);
    ck_assert_uint_lt(longest_tail, largest + SNAPSHOT_DELTA_MIN);
    buf_fini(&b);
    cx_fini(&c);
}
END_TEST

START_TEST(test_walk)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        walk((uint64_t)_i * 20 + seed);
    }
    ck_assert_uint_gt(longest, 30); /* the walks do go somewhere */
}
END_TEST

START_TEST(test_stale)
{
    struct cx c;
    struct core_task task;
    struct task_token wrong;

    cx_init(&c,
            "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:a\","
            "\"Next\":\"B\"},\"B\":{\"Type\":\"Wait\",\"Seconds\":9,\"End\":true}}}",
            1);
    cx_start(&c, "{}");
    task = cx_task(&c, 0);
    wrong = task.token;
    wrong.nonce ^= 1;
    ck_assert_int_eq(cx_succeed(&c, wrong, "1"), FACT_STALE);
    wrong = task.token;
    wrong.ref.attempt++;
    ck_assert_int_eq(cx_succeed(&c, wrong, "1"), FACT_STALE);
    wrong = task.token;
    wrong.ref.exec.b[15] ^= 1;
    ck_assert_int_eq(cx_succeed(&c, wrong, "1"), FACT_STALE);
    ck_assert_int_eq(cx_succeed(&c, task.token, "{oops"), FACT_INVALID);
    ck_assert_int_eq(cx_succeed(&c, task.token, "1"), FACT_ACCEPTED);
    ck_assert_str_eq(arena_strndup(&c.rows_arena, c.out->outcomes.p, c.out->outcomes.size),
                     "0:1:w\n");
    ck_assert_uint_eq(c.out->tasks_done_len, 1);
    ck_assert_uint_eq(c.out->timers_new_len, 1);
    ck_assert_int_eq(cx_succeed(&c, task.token, "1"), FACT_STALE);
    ck_assert_int_eq(cx_fail(&c, task.token, "E", "c"), FACT_STALE);
    struct fact timer = {.type = FACT_TIMER, .timer_seq = 2, .timer_idx = 0};
    enum fact_result r;
    ck_assert(cx_turn(&c, &timer, &r));
    ck_assert_int_eq(exec_status(c.x), EXEC_SUCCEEDED);
    ck_assert_uint_eq(c.out->timers_done_len, 1);
    ck_assert_int_eq(c.out->due_max.us, c.ident.started_at.us + 9 * US_PER_S);
    ck_assert(!cx_turn(&c, &timer, &r));
    ck_assert_int_eq(r, FACT_STOPPED);
    cx_check_fold(&c);
    cx_fini(&c);
}
END_TEST

/* A 4 KiB state: a step with a ResultPath costs its delta, in the row. */
START_TEST(test_delta)
{
    struct cx c;
    struct buf in;

    cx_init(&c,
            "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:a\","
            "\"ResultPath\":\"$.r\",\"Next\":\"B\"},\"B\":{\"Type\":\"Task\","
            "\"Resource\":\"queue:b\",\"Next\":\"C\"},\"C\":{\"Type\":\"Task\","
            "\"Resource\":\"queue:b\",\"End\":true}}}",
            1);
    buf_init(&in, 0);
    buf_puts(&in, "{\"fill\":\"");
    for (int i = 0; i < 4096; i++) {
        buf_putc(&in, 'x');
    }
    buf_puts(&in, "\"}");
    buf_putc(&in, 0);
    cx_start(&c, in.p);
    ck_assert_int_eq(cx_succeed(&c, cx_task(&c, 0).token, "{\"id\":\"0123456789\"}"),
                     FACT_ACCEPTED);
    ck_assert_uint_lt(c.out->body.size, 100);
    /* an echo of the input stores a reference */
    struct core_task t = cx_task(&c, 0);
    char *echo = arena_strndup(&c.rows_arena, t.input.p, t.input.size);
    ck_assert_int_eq(cx_succeed(&c, t.token, echo), FACT_ACCEPTED);
    ck_assert_uint_lt(c.out->body.size, 60);
    cx_check_fold(&c);
    buf_fini(&in);
    cx_fini(&c);
}
END_TEST

START_TEST(test_idle_memory)
{
    struct cx c;

    cx_init(
        &c,
        "{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"Seconds\":900,\"End\":true}}}",
        1);
    cx_start(&c, "{\"order\":\"0123456789\",\"amount\":12.50}");
    ck_assert_uint_le(exec_size(c.x), 1024);
    cx_fini(&c);
}
END_TEST

START_TEST(test_malformed)
{
    struct cx c;
    struct exec *y = NULL;
    struct buf b;
    struct err_detail detail = {ERR_OK, ""};

    cx_init(&c, flow, 5);
    cx_start(&c, "{\"n\":0,\"items\":[1,2]}");
    buf_init(&b, 0);
    exec_snapshot(c.x, &b);
    for (size_t cut = 0; cut < b.size; cut++) {
        ck_assert(exec_restore(&c.ident, c.def, (struct str){b.p, cut}, &y, NULL) == ERR_MALFORMED);
    }
    ck_assert(exec_apply_row(c.x, exec_seq(c.x) + 2, c.now, STR("\x01\x00"), NULL, &detail) ==
              ERR_MALFORMED);
    ck_assert_ptr_nonnull(strstr(detail.text, "after row"));
    for (size_t cut = 1; cut < c.rows[0].size; cut++) {
        y = exec_new(&c.ident, c.def);
        (void)!exec_apply_row(y, 1, c.now, str_sub(c.rows[0], 0, cut), NULL, NULL);
        exec_free(y);
    }
    ck_assert_int_eq(exec_apply_row(c.x, exec_seq(c.x) + 1, c.now, STR("\x02\x00"), NULL, NULL),
                     ERR_MALFORMED);
    buf_fini(&b);
    cx_fini(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("exec");
    TCase *t = tcase_create("exec");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_walk, 0, 30);
    tcase_add_test(t, test_crowd);
    tcase_add_test(t, test_snapshot_due);
    tcase_add_test(t, test_stale);
    tcase_add_test(t, test_delta);
    tcase_add_test(t, test_idle_memory);
    tcase_add_test(t, test_malformed);
    suite_add_tcase(s, t);
    return cx_main(s);
}
