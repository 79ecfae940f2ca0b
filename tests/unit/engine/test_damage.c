/* Executions that cannot be read or continued as they are stored: they cost next to nothing, whoever asks is
 * told, the others go on, and when they are restored they go on, too. */
#include "base/prelude.h"

#include "tests/unit/engine/engine_fixture.h"

#include "base/mem.h"
#include "engine/metrics.h"

static const char chain[] = "{\"StartAt\":\"A\",\"States\":{"
                            "\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"Next\":\"B\"},"
                            "\"B\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";
static const char waiting[] =
    "{\"StartAt\":\"W\",\"States\":{"
    "\"W\":{\"Type\":\"Wait\",\"SecondsPath\":\"$.s\",\"Next\":\"T\"},"
    "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";
static const char counting[] =
    "{\"StartAt\":\"I\",\"States\":{"
    "\"I\":{\"Type\":\"Pass\",\"Parameters\":{\"i.$\":\"States.MathAdd($.i,1)\"},\"Next\":\"C\"},"
    "\"C\":{\"Type\":\"Choice\",\"Choices\":[{\"Variable\":\"$.i\",\"NumericLessThan\":20000,"
    "\"Next\":\"I\"}],\"Default\":\"T\"},"
    "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";

static const enum sim_damage unreadable[] = {SIM_HISTORY_DAMAGED, SIM_LOAD_FAILS,
                                             SIM_DEFINITION_GONE};

static struct exec_id id_of(const struct fixture *f, uint32_t i)
{
    struct exec_id id;
    ck_assert_int_eq(exec_id_parse(str_of(f->execution[i]), &id), ERR_OK);
    return id;
}

static void ask(struct fixture *f, enum msg_type type, const char *execution)
{
    struct msg m = {.type = type};
    struct str id = str_of(execution);
    switch ((unsigned)type) {
    case MSG_DESCRIBE:
        m.u.describe.execution = id;
        break;
    case MSG_STOP:
        m.u.stop.execution = id;
        break;
    case MSG_WATCH:
        m.u.watch.execution = id;
        break;
    default:
        m.u.history.execution = id;
        break;
    }
    peer_send(f, &m);
}

/* Calls of the store. */
static uint64_t calls_in(struct fixture *f, int64_t us)
{
    uint64_t before = f->store->calls;
    world_run(f->world, f->world->now_us + us);
    return f->store->calls - before;
}

static void restart(struct fixture *f)
{
    host_crash_and_restart(f->node_host, 1 * US_PER_S); /* nothing is cached any more */
    RUN_UNTIL(f, !f->active, 10 * US_PER_S);
    RUN_UNTIL(f, f->active && f->peer->greeted, 60 * US_PER_S);
}

/* A deadline of an execution that cannot be read: it comes again 1, 2, 4 ... 60 s later. */
START_TEST(unreadable_deadline_backs_off)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "waiting", waiting);
    peer_start(&f, "waiting", "bad", "{\"s\":30}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    struct exec_id bad = id_of(&f, 0);
    restart(&f);
    sim_store_damage(f.store, &bad, unreadable[(size_t)_i % ARRAY_LEN(unreadable)]);
    int64_t before = metric_value(&metric_damaged);
    world_run(f.world, f.world->now_us + 30 * US_PER_S);
    uint64_t calls = calls_in(&f, 300 * US_PER_S);
    int64_t looks = metric_value(&metric_damaged) - before;
    ck_assert_int_ge(looks, 6); /* it is not forgotten */
    ck_assert_int_le(looks, 14);
    ck_assert_int_eq(metric_value(&metric_damaged_now), 1);
    ck_assert_msg(calls < 1000, "%" PRIu64 " calls", calls); /* most of them duties of the owner */
    sim_store_damage(f.store, &bad, SIM_SOUND);
    peer_poll(&f, "work", 5, 60000);
    RUN_UNTIL(&f, f.acked == 1, 61 * US_PER_S);
    ck_assert_int_eq(metric_value(&metric_damaged_now), 0);
    fixture_teardown(&f);
}
END_TEST

/* Whoever asks is told what is wrong; a DESCRIBE after the repair wakes the execution. */
START_TEST(unreadable_is_told)
{
    static const enum msg_type types[] = {MSG_DESCRIBE, MSG_STOP, MSG_WATCH, MSG_HISTORY};
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "waiting", waiting);
    peer_start(&f, "waiting", "bad", "{\"s\":20}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    struct exec_id bad = id_of(&f, 0);
    restart(&f);
    enum sim_damage damage = unreadable[(size_t)_i % ARRAY_LEN(unreadable)];
    sim_store_damage(f.store, &bad, damage);
    for (uint32_t i = 0; i < 2 * ARRAY_LEN(types); i++) {
        enum msg_type type = types[i % ARRAY_LEN(types)];
        ask(&f, type, f.execution[0]);
        RUN_UNTIL(&f, f.errors == i + 1, 10 * US_PER_S);
        if (type == MSG_HISTORY && damage == SIM_LOAD_FAILS) {
            continue; /* the error of the store itself */
        }
        ck_assert_uint_eq(f.last_error, ERR_DAMAGED);
        ck_assert_uint_gt(strlen(f.last_text), strlen(err_text(ERR_DAMAGED)));
    }
    world_run(f.world, f.world->now_us + 120 * US_PER_S);
    sim_store_damage(f.store, &bad, SIM_SOUND);
    ask(&f, MSG_DESCRIBE, f.execution[0]);
    RUN_UNTIL(&f, f.described == 1, 10 * US_PER_S);
    peer_poll(&f, "work", 5, 60000);
    RUN_UNTIL(&f, f.acked == 1, 61 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* The neighbours of one that cannot be read: loaded with it, in the same lanes, none is late. */
START_TEST(the_others_go_on)
{
    enum { OTHERS = 40 };
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "waiting", waiting);
    peer_define(&f, "other", waiting);
    peer_start(&f, "waiting", "bad", "{\"s\":20}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    struct exec_id bad = id_of(&f, 0);
    struct wall begin = world_wall(f.world);
    for (uint32_t i = 0; i < OTHERS; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "x%u", i);
        peer_start(&f, "other", name, "{\"s\":20}");
    }
    RUN_UNTIL(&f, f.started == 1 + OTHERS, 10 * US_PER_S);
    restart(&f);
    sim_store_damage(f.store, &bad, unreadable[(size_t)_i % ARRAY_LEN(unreadable)]);
    peer_poll(&f, "work", 50, 60000);
    while (f.held_len < OTHERS) {
        uint32_t before = f.held_len;
        RUN_UNTIL(&f, f.held_len > before, 60 * US_PER_S);
        peer_poll(&f, "work", 50, 60000);
    }
    for (uint32_t i = 0; i < OTHERS; i++) {
        int64_t late = f.task_at[i].us - begin.us - 20 * (int64_t)US_PER_S;
        ck_assert_msg(late < 2 * US_PER_S, "%lld us late", (long long)late);
    }
    fixture_teardown(&f);
}
END_TEST

/* A task found in the table whose execution cannot be read for a while goes out when it can. */
START_TEST(task_waits_for_its_input)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "chain", chain);
    peer_start(&f, "chain", "bad", "{\"n\":1}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    struct exec_id bad = id_of(&f, 0);
    restart(&f);
    sim_store_damage(f.store, &bad, unreadable[(size_t)_i % ARRAY_LEN(unreadable)]);
    peer_poll(&f, "work", 5, 60000);
    world_run(f.world, f.world->now_us + 50 * US_PER_S);
    ck_assert_uint_eq(f.tasks, 0);
    sim_store_damage(f.store, &bad, SIM_SOUND);
    peer_poll(&f, "work", 5, 60000);
    world_run(f.world, f.world->now_us + 60 * US_PER_S);
    peer_poll(&f, "work", 5, 60000);
    RUN_UNTIL(&f, f.acked == 2, 70 * US_PER_S);
    host_run(f.node_host, fixture_stop_node); /* and nothing that sleeps keeps it from stopping */
    RUN_UNTIL(&f, f.stopped, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

START_TEST(node_stops_beside_a_sleeping_task)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    peer_define(&f, "chain", chain);
    peer_start(&f, "chain", "bad", "{\"n\":1}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    struct exec_id bad = id_of(&f, 0);
    restart(&f);
    sim_store_damage(f.store, &bad, SIM_HISTORY_DAMAGED);
    peer_poll(&f, "work", 5, 60000);
    world_run(f.world, f.world->now_us + 40 * US_PER_S);
    int64_t asked = f.world->now_us;
    host_run(f.node_host, fixture_stop_node);
    RUN_UNTIL(&f, f.stopped, 10 * US_PER_S);
    ck_assert_int_le(f.world->now_us - asked, 2 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* An outcome that cannot be folded is not lost: its worker is told to come again. */
START_TEST(outcome_comes_again)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "chain", chain);
    peer_start(&f, "chain", "bad", "{\"n\":1}");
    peer_poll(&f, "work", 5, 5000);
    RUN_UNTIL(&f, f.held_len == 1, 10 * US_PER_S);
    struct exec_id bad = id_of(&f, 0);
    if (_i % 2 == 0) {
        restart(&f);
    }
    sim_store_damage(f.store, &bad, _i % 2 == 0 ? SIM_HISTORY_DAMAGED : SIM_TURNS_REFUSED);
    for (uint32_t i = 0; i < 20; i++) {
        peer_complete(&f, &f.held[0].token, "{}", NULL);
        RUN_UNTIL(&f, f.again == i + 1, 10 * US_PER_S);
    }
    ck_assert_uint_eq(f.stale + f.acked, 0);
    uint64_t calls = calls_in(&f, 60 * US_PER_S);
    ck_assert_msg(calls < 600, "%" PRIu64 " calls", calls);
    sim_store_damage(f.store, &bad, SIM_SOUND);
    world_run(f.world, f.world->now_us + 60 * US_PER_S);
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    RUN_UNTIL(&f, f.acked == 1, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* The store refuses a turn for its data: the deadline that asked for it, and a run that yields, are
 * tried now and then; a STOP is tried at once. */
START_TEST(refused_turn_backs_off)
{
    struct fixture f;
    fixture_setup(&f, (uint64_t)_i);
    bool yields = _i % 2 != 0;
    peer_define(&f, "waiting", waiting);
    peer_define(&f, "counting", counting);
    peer_start(&f, yields ? "counting" : "waiting", "bad", yields ? "{\"i\":0}" : "{\"s\":10}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    struct exec_id bad = id_of(&f, 0);
    int64_t before = metric_value(&metric_damaged), now = metric_value(&metric_damaged_now);
    sim_store_damage(f.store, &bad, SIM_TURNS_REFUSED);
    world_run(f.world, f.world->now_us + 20 * US_PER_S);
    uint64_t calls = calls_in(&f, 300 * US_PER_S);
    int64_t looks = metric_value(&metric_damaged) - before;
    ck_assert_int_ge(looks, 6);
    ck_assert_int_le(looks, 14);
    ck_assert_msg(calls < 1000, "%" PRIu64 " calls", calls);
    ask(&f, MSG_STOP, f.execution[0]);
    RUN_UNTIL(&f, f.errors == 1, 10 * US_PER_S);
    ck_assert_uint_eq(f.last_error, ERR_DAMAGED);
    sim_store_damage(f.store, &bad, SIM_SOUND);
    peer_poll(&f, "work", 5, 60000);
    world_run(f.world, f.world->now_us + 60 * US_PER_S);
    peer_poll(&f, "work", 5, 60000);
    RUN_UNTIL(&f, f.acked == 1, 10 * US_PER_S);
    ck_assert_int_eq(metric_value(&metric_damaged_now), now);
    fixture_teardown(&f);
}
END_TEST

int main(void)
{
    mem_regions_enable();
    Suite *s = suite_create("damage");
    TCase *c = tcase_create("damage");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, unreadable_deadline_backs_off, 0, 6);
    tcase_add_loop_test(c, unreadable_is_told, 0, 6);
    tcase_add_loop_test(c, the_others_go_on, 0, 6);
    tcase_add_loop_test(c, task_waits_for_its_input, 0, 6);
    tcase_add_loop_test(c, node_stops_beside_a_sleeping_task, 0, 3);
    tcase_add_loop_test(c, outcome_comes_again, 0, 6);
    tcase_add_loop_test(c, refused_turn_backs_off, 0, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
