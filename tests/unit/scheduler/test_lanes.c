/* Which lane, which window. */
#include "base/prelude.h"

#include "tests/unit/base/suite.h"

#include "base/mem.h"
#include "scheduler/lanes.h"

static struct lanes *make(uint32_t n)
{
    struct lanes *l = MEM_NEW(struct lanes);
    lanes_init(l, 3, 1000);
    for (uint32_t i = 0; i < n; i++) {
        struct lane_row row = {.shard = 3,
                               .lane = (uint16_t)i,
                               .slot_lo = (uint16_t)(i * SLOT_COUNT / n),
                               .slot_hi = (uint16_t)((i + 1) * SLOT_COUNT / n),
                               .fence = {.epoch = i + 1},
                               .closed_to = 9,
                               .accept_from = 10,
                               .open_to = 20 + (int64_t)i};
        lanes_set(l, &row, i % 2 == 0);
    }
    return l;
}

START_TEST(every_slot_has_its_lane)
{
    struct lanes *l = make(16);
    struct rng r;
    rng_seed(&r, 1);
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        struct exec_id id = exec_id_make(3, (uint16_t)slot, 1, (struct wall){1}, &r);
        ck_assert_uint_eq(lanes_of(l, &id)->ref.lane, slot / 256);
    }
    ck_assert_uint_eq(l->len, 16);
    ck_assert_uint_eq(l->held_len, 8);
    mem_free(l);
}
END_TEST

START_TEST(holding_and_losing)
{
    struct lanes *l = make(16);
    struct lane_ref refs[16];
    ck_assert_uint_eq(lanes_held(l, refs, 16), 8);
    ck_assert_uint_eq(refs[1].lane, 2);
    ck_assert_int_eq(lanes_open_to(l), 20);
    lanes_lose(l, 0);
    lanes_lose(l, 0);
    ck_assert_uint_eq(l->held_len, 7);
    ck_assert_int_eq(lanes_open_to(l), 22);
    lanes_lose_all(l);
    ck_assert_uint_eq(lanes_held(l, refs, 16), 0);
    ck_assert_int_eq(lanes_open_to(l), INT64_MIN);
    mem_free(l);
}
END_TEST

/* Past and closing deadlines go into the first accepting window, far ones to the long term. */
START_TEST(where_a_deadline_goes)
{
    static const struct {
        int64_t due, window;
    } cases[] = {{0, 10},
                 {9999, 10},
                 {10000, 10},
                 {10999, 10},
                 {11000, 11},
                 {20999, 20},
                 {21000, TIMER_LONG_TERM},
                 {INT64_MAX / 2, TIMER_LONG_TERM}};
    struct lanes *l = make(1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_int_eq(lane_window_for(&l->lane[0], 1000, (struct wall){cases[i].due}),
                         cases[i].window);
    }
    mem_free(l);
}
END_TEST

int main(void)
{
    return suite_run("lanes", (const TTest *const[]){every_slot_has_its_lane, holding_and_losing,
                                                     where_a_deadline_goes, NULL});
}
