/* Any node may commit a turn of any execution: what the owner of the lane makes of turns that it did not
 * write, before and after it hears of them. */
#include "base/prelude.h"

#include "tests/unit/engine/engine_fixture.h"

#include "base/mem.h"
#include "tests/sim/sim_store_rows.h"
#include "tests/sim/writer.h"

static const char flow[] = "{\"StartAt\":\"T\",\"States\":{"
                           "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"Next\":\"W\"},"
                           "\"W\":{\"Type\":\"Wait\",\"Seconds\":8,\"Next\":\"U\"},"
                           "\"U\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";

static bool answers(void *arg, struct arena *a, const struct exec_row *row, struct str state,
                    struct fact *fact)
{
    (void)arg;
    (void)a;
    (void)row;
    (void)state;
    fact->payload = STR("{\"by\":\"another\"}");
    return true;
}

/* Takes the announcements away: the owner will not hear of what was written. */
static uint32_t announcements_lose(struct fixture *f)
{
    struct sim_key k;
    uint32_t n = 0;
    struct kv_node *row;
    key_begin(&k, TABLE_INBOX);
    while ((row = kv_seek(f->store->kv, key_str(&k))) != NULL && kv_key(row).p[0] == TABLE_INBOX) {
        char key[SIM_KEY_MAX];
        struct str s = kv_key(row);
        memcpy(key, s.p, s.size);
        ck_assert(kv_del(f->store->kv, (struct str){key, s.size}));
        n++;
    }
    return n;
}

static void task_answered_elsewhere(struct fixture *f, uint64_t seed, bool lose)
{
    struct exec_id id;
    struct rng rng;
    fixture_setup(f, seed);
    f->hold = true;
    peer_define(f, "flow", flow);
    peer_start(f, "flow", "one", "{}");
    peer_poll(f, "work", 5, 1000);
    RUN_UNTIL(f, f->held_len == 1, 10 * US_PER_S);
    ck_assert_int_eq(exec_id_parse(str_of(f->execution[0]), &id), ERR_OK);
    rng_seed(&rng, seed);
    ck_assert(writer_acts(f->store, &rng, &id, answers, NULL));
    if (lose) {
        ck_assert_uint_eq(announcements_lose(f), 1);
    }
}

/* The owner reads the row of a deadline of which it has not heard, and has an older state of its execution in
 * memory: the row is no orphan. */
START_TEST(deadline_of_another_fires)
{
    struct fixture f;
    task_answered_elsewhere(&f, (uint64_t)_i, true);
    struct wall begin = world_wall(f.world);
    peer_poll(&f, "work", 5, 60000);
    RUN_UNTIL(&f, f.held_len == 2, 30 * US_PER_S);
    ck_assert_int_ge(f.task_at[1].us, begin.us + 8 * (int64_t)US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* It hears of the turn: tasks that the turn closed are taken back, deadlines it made are kept. */
START_TEST(announced_turn_is_taken_over)
{
    struct fixture f;
    task_answered_elsewhere(&f, (uint64_t)_i, false);
    peer_poll(&f, "work", 5, 60000);
    RUN_UNTIL(&f, f.held_len == 2, 30 * US_PER_S);
    peer_complete(&f, &f.held[0].token, "{}", NULL);
    RUN_UNTIL(&f, f.stale == 1, 10 * US_PER_S);
    peer_complete(&f, &f.held[1].token, "{}", NULL);
    RUN_UNTIL(&f, f.acked == 1, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

/* A task that waits for a worker and is answered elsewhere is not handed out any more. */
START_TEST(task_closed_by_another_is_taken_back)
{
    struct fixture f;
    struct exec_id id;
    struct rng rng;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "flow", flow);
    peer_start(&f, "flow", "one", "{}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    ck_assert_int_eq(exec_id_parse(str_of(f.execution[0]), &id), ERR_OK);
    rng_seed(&rng, (uint64_t)_i);
    ck_assert(writer_acts(f.store, &rng, &id, answers, NULL));
    world_run(f.world, f.world->now_us + f.config.heartbeat_us + US_PER_S);
    peer_poll(&f, "work", 5, 60000);
    RUN_UNTIL(&f, f.held_len == 1, 30 * US_PER_S);
    ck_assert_uint_ne(f.held[0].token.ref.seq, 1);
    fixture_teardown(&f);
}
END_TEST

static bool announcements_wait(const struct fixture *f)
{
    struct sim_key k;
    key_begin(&k, TABLE_INBOX);
    struct kv_node *row = kv_seek(f->store->kv, key_str(&k));
    return row != NULL && kv_key(row).p[0] == TABLE_INBOX;
}

/* The store forgets its announcements as it tells them, and the answer is lost. What the owner has in memory
 * does not know of the task then found in the table. */
START_TEST(lost_announcement_is_made_up_for)
{
    static const char two[] =
        "{\"StartAt\":\"T\",\"States\":{"
        "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"Next\":\"U\"},"
        "\"U\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";
    struct fixture f;
    struct exec_id id;
    struct rng rng;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "flow", two);
    peer_start(&f, "flow", "one", "{}");
    peer_poll(&f, "work", 1, 1000);
    RUN_UNTIL(&f, f.held_len == 1, 10 * US_PER_S);
    ck_assert_int_eq(exec_id_parse(str_of(f.execution[0]), &id), ERR_OK);
    rng_seed(&rng, (uint64_t)_i);
    ck_assert(writer_acts(f.store, &rng, &id, answers, NULL));
    ck_assert(announcements_wait(&f));
    int64_t until = f.world->now_us + 30 * US_PER_S;
    while (announcements_wait(&f) && world_step(f.world, until)) {
    }
    ck_assert(!announcements_wait(&f));
    sim_store_away(f.store, 500 * US_PER_MS);
    peer_poll(&f, "work", 5, 60000);
    RUN_UNTIL(&f, f.held_len == 2, 30 * US_PER_S);
    ck_assert_uint_eq(f.held[1].token.ref.seq, 2);
    fixture_teardown(&f);
}
END_TEST

/* A true orphan, a row that no state knows of, is deleted after it has been looked up. */
START_TEST(orphan_is_deleted)
{
    struct fixture f;
    struct exec_id id;
    fixture_setup(&f, (uint64_t)_i);
    f.hold = true;
    peer_define(&f, "flow", flow);
    peer_start(&f, "flow", "one", "{}");
    RUN_UNTIL(&f, f.started == 1, 10 * US_PER_S);
    ck_assert_int_eq(exec_id_parse(str_of(f.execution[0]), &id), ERR_OK);
    struct lane_rec lane;
    uint16_t number = 0;
    ck_assert(sim_lane_of_slot(f.store, exec_id_slot(&id), &number));
    ck_assert(sim_lane_get(f.store, number, &lane, NULL));
    struct timer_row row = {.exec = id, .seq = 9, .idx = 3, .window = lane.accept_from};
    row.due.us = world_wall(f.world).us + 3 * US_PER_S;
    sim_timer_put(f.store, number, &row);
    world_run(f.world, f.world->now_us + 30 * US_PER_S);
    ck_assert(!sim_timer_del(f.store, number, &row));
    fixture_teardown(&f);
}
END_TEST

int main(void)
{
    mem_regions_enable();
    Suite *s = suite_create("writer");
    TCase *c = tcase_create("writer");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, deadline_of_another_fires, 0, 6);
    tcase_add_loop_test(c, announced_turn_is_taken_over, 0, 6);
    tcase_add_loop_test(c, task_closed_by_another_is_taken_back, 0, 6);
    tcase_add_loop_test(c, lost_announcement_is_made_up_for, 0, 6);
    tcase_add_loop_test(c, orphan_is_deleted, 0, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
