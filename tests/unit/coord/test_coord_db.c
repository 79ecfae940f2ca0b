/* Advice of the mechanism `database`: who takes what, when to look again. */
#include "base/prelude.h"

#include "tests/unit/base/suite.h"

#include "coord/coord.h"

enum { HEARTBEAT_US = 4 * US_PER_S };

static struct uuid life(uint8_t n)
{
    return (struct uuid){{n}};
}

static struct coord_lane lane_of(uint16_t lane, uint8_t owner, const char *node, bool session,
                                 int64_t left_us)
{
    return (struct coord_lane){.lane = lane,
                               .owner = {.incarnation = life(owner),
                                         .node = str_of(node),
                                         .address = STR("tcp://them:1")},
                               .has_session = session,
                               .lease_left_us = left_us};
}

static struct coord_advice ask(struct coord *c, const struct coord_lane *lanes, uint32_t len,
                               int64_t now_us)
{
    struct coord_advice out;
    struct coord_view v = {.self = {.incarnation = life(9),
                                    .node = STR("me"),
                                    .address = STR("tcp://me:1")},
                           .lanes = lanes,
                           .lanes_len = len,
                           .now = {now_us},
                           .store_now = {now_us},
                           .heartbeat_us = HEARTBEAT_US};
    coord_advise(c, &v, &out);
    return out;
}

START_TEST(what_is_nobodys_is_taken)
{
    struct coord *c = coord_db_new();
    struct coord_lane lanes[] = {
        lane_of(0, 0, "", false, -1),            /* free */
        lane_of(1, 9, "me", true, HEARTBEAT_US), /* ours, under a claim we do not know of */
        lane_of(2, 3, "them", true, 0),          /* its lease is over */
        lane_of(3, 4, "them", true, US_PER_S),   /* alive */
    };
    struct coord_advice a = ask(c, lanes, ARRAY_LEN(lanes), US_PER_S);
    ck_assert_uint_eq(a.claim_len, 3);
    for (uint16_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(a.claim[i], i);
    }
    ck_assert(str_eqc(a.other, "them"));
    ck_assert_int_gt(a.look_us, US_PER_S); /* when that lease ends */
    ck_assert_int_lt(a.look_us, US_PER_S + 100 * US_PER_MS);
    coord_db_free(c);
}
END_TEST

START_TEST(no_lanes_no_advice)
{
    struct coord *c = coord_db_new();
    struct coord_advice a = ask(c, NULL, 0, 1);
    ck_assert_uint_eq(a.claim_len, 0);
    ck_assert(a.other.p == NULL);
    ck_assert_int_eq(a.look_us, HEARTBEAT_US / 2);
    coord_db_free(c);
}
END_TEST

/* Without a session an owner cannot write: it has a quarter of a heartbeat to come back. */
START_TEST(an_owner_without_session_is_relieved)
{
    struct coord *c = coord_db_new();
    struct coord_lane gone = lane_of(5, 3, "them", false, 8 * US_PER_S);
    struct coord_lane back = lane_of(5, 3, "them", true, 8 * US_PER_S);
    struct coord_advice a = ask(c, &gone, 1, US_PER_S);
    ck_assert_uint_eq(a.claim_len, 0);
    ck_assert_int_eq(a.look_us, HEARTBEAT_US / 4);
    a = ask(c, &back, 1, US_PER_S + HEARTBEAT_US / 8);
    ck_assert_uint_eq(a.claim_len, 0);
    a = ask(c, &gone, 1, US_PER_S + HEARTBEAT_US / 2);
    ck_assert_msg(a.claim_len == 0, "its time begins anew");
    a = ask(c, &gone, 1, US_PER_S + HEARTBEAT_US);
    ck_assert_uint_eq(a.claim_len, 1);
    coord_db_free(c);
}
END_TEST

START_TEST(our_own_past_is_not_waited_for)
{
    struct coord *c = coord_db_new();
    struct coord_lane past = lane_of(0, 3, "me", false, 8 * US_PER_S);
    past.owner.address = STR("tcp://me:1");
    ck_assert_uint_eq(ask(c, &past, 1, US_PER_S).claim_len, 1);
    past.has_session = true; /* connections outlive it, or it is somebody else */
    ck_assert_uint_eq(ask(c, &past, 1, US_PER_S).claim_len, 0);
    coord_db_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("coord_db");
    TCase *c = tcase_create("coord_db");
    tcase_add_test(c, what_is_nobodys_is_taken);
    tcase_add_test(c, no_lanes_no_advice);
    tcase_add_test(c, an_owner_without_session_is_relieved);
    tcase_add_test(c, our_own_past_is_not_waited_for);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
