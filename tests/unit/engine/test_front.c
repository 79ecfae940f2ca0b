/* What clients may do to the front: frames that ask for more than there is, connections that hold more
 * than their share, tenants beside each other. On virtual time. */
#include "base/prelude.h"

#include "tests/unit/engine/crowd_fixture.h"

#include "base/mem.h"

static const char one_task[] =
    "{\"StartAt\":\"A\",\"States\":{"
    "\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";

/* A JSON string of "size" bytes. */
static struct str text_of(size_t size)
{
    char *p = mem_alloc(size);
    memset(p, 'x', size);
    p[0] = p[size - 1] = '"';
    return (struct str){p, size};
}

static void text_free(struct str s)
{
    mem_free((void *)(uintptr_t)s.p);
}

/* "n" executions with such an input, each with a task for queue "work". */
static void backlog(struct crowd *c, uint32_t n, size_t size)
{
    enum { AT_ONCE = 20 };
    struct str input = text_of(size);
    struct msg m = {.type = MSG_START};
    m.u.start.workflow = STR("one");
    m.u.start.input = input;
    for (uint32_t i = 0; i < n; i += AT_ONCE) {
        uint32_t before = c->started, now = MIN(n - i, (uint32_t)AT_ONCE);
        crowd_send(c, &m, now);
        RUN_UNTIL(c->f, c->started == before + now, 30 * US_PER_S);
    }
    text_free(input);
}

/* A thousand polls in one frame: the first fill it, the others come back empty; nothing is granted that
 * does not fit, and the node lives. */
START_TEST(a_frame_of_many_polls)
{
    enum { POLLS = 1000, TASKS = 2200, SIZE = 9000 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    backlog(c, TASKS, SIZE);
    struct str q = STR("work");
    struct msg m = {.type = MSG_POLL};
    m.u.poll.queues = &q;
    m.u.poll.queues_len = 1;
    m.u.poll.capacity = POLL_TASKS_MAX;
    m.u.poll.wait_ms = 1000;
    crowd_send(c, &m, POLLS);
    RUN_UNTIL(&f, c->polls == POLLS, 10 * US_PER_S);
    ck_assert_uint_gt(c->tasks, 800);
    ck_assert_uint_lt(c->tasks, MESSAGE_SIZE_MAX / SIZE);
    uint32_t first = c->tasks;
    crowd_send(c, &m, 1);
    RUN_UNTIL(&f, c->tasks > first + 800, 10 * US_PER_S);
    ck_assert_uint_eq(c->errors, 0);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* Tokens of attempts that there are not, of an execution that there is. */
static struct task_token *false_tokens(const struct crowd *c, uint32_t n)
{
    struct task_token *v = MEM_ARRAY(struct task_token, n);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_int_eq(exec_id_parse(str_of(c->execution), &v[i].ref.exec), ERR_OK);
        v[i].ref.seq = 100 + i;
        v[i].ref.attempt = 1;
    }
    return v;
}

/* Whatever a frame asks for, each of its messages is answered, at the worst that it is too much; and then
 * the connection is as good as new. */
START_TEST(every_message_of_a_greedy_frame_is_answered)
{
    enum { TOKENS = 1000, POLLS = 10, BEATS = 60 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    crowd_start(c, "one", "x", STR("{}"));
    struct task_token *tokens = false_tokens(c, TOKENS);
    struct msg_completion *v = MEM_ARRAY(struct msg_completion, TOKENS);
    for (uint32_t i = 0; i < TOKENS; i++) {
        v[i].token = tokens[i];
    }
    struct msg m = {.type = MSG_POLL};
    m.u.poll.completions = v;
    m.u.poll.completions_len = TOKENS;
    crowd_send(c, &m, POLLS);
    RUN_UNTIL(&f, c->polls + c->errors == POLLS, 30 * US_PER_S);
    ck_assert_uint_eq(c->polls, CONN_CALLS_MAX / (TOKENS + 1));
    ck_assert_uint_eq(c->limits, c->errors);
    ck_assert_uint_eq(c->stale, c->polls * TOKENS);
    m = (struct msg){.type = MSG_HEARTBEAT};
    m.u.heartbeat.tokens = tokens;
    m.u.heartbeat.tokens_len = TOKENS;
    uint32_t errors = c->errors;
    crowd_send(c, &m, BEATS);
    RUN_UNTIL(&f, c->beats + c->errors == errors + BEATS, 30 * US_PER_S);
    ck_assert_uint_ge(c->beats, CONN_CALLS_MAX / (TOKENS + 1));
    ck_assert_uint_eq(c->limits, c->errors);
    uint32_t beats = c->beats;
    crowd_heartbeat(c, tokens, 1);
    RUN_UNTIL(&f, c->beats == beats + 1, 10 * US_PER_S);
    ck_assert_uint_eq(c->last_code, ERR_STALE);
    mem_free(v);
    mem_free(tokens);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* Answers that do not fit one frame: each request is answered, some with a refusal. */
START_TEST(answers_larger_than_a_frame)
{
    enum { ASKED = 60, SIZE = 250000 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    struct str input = text_of(SIZE);
    crowd_start(c, "one", "x", input);
    struct msg m = {.type = MSG_DESCRIBE};
    m.u.describe.execution = str_of(c->execution);
    uint32_t before = c->messages;
    crowd_send(c, &m, ASKED);
    RUN_UNTIL(&f, c->messages == before + ASKED, 10 * US_PER_S);
    ck_assert_uint_gt(c->limits, ASKED - MESSAGE_SIZE_MAX / SIZE - 1);
    ck_assert_uint_lt(c->limits, ASKED / 2);
    text_free(input);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("front");
    TCase *c = tcase_create("front");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, a_frame_of_many_polls, 0, 2);
    tcase_add_loop_test(c, every_message_of_a_greedy_frame_is_answered, 0, 2);
    tcase_add_loop_test(c, answers_larger_than_a_frame, 0, 2);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
