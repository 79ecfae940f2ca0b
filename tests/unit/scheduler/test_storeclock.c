/* The store's clock: bounds hold, better samples win, a set clock is believed. */
#include "base/prelude.h"

#include "tests/unit/base/suite.h"

#include "base/rng.h"
#include "scheduler/storeclock.h"

static const int64_t truth = INT64_C(1700000000) * US_PER_S; /* store time at monotonic 0 */

START_TEST(unset_until_the_first_sample)
{
    struct storeclock c;
    storeclock_init(&c);
    ck_assert(!c.set);
    ck_assert_int_eq(storeclock_error_us(&c, (struct mono){0}), INT64_MAX);
    storeclock_sample(&c, (struct mono){5}, (struct mono){1}, (struct wall){truth});
    ck_assert_msg(!c.set, "an answer before its question tells nothing");
    storeclock_sample(&c, (struct mono){0}, (struct mono){1000}, (struct wall){0});
    ck_assert_msg(!c.set, "an error carries no time");
}
END_TEST

/* Whatever the split of the round trip, the estimate is within the stated bound. */
START_TEST(error_bound_holds)
{
    struct rng r;
    rng_seed(&r, (uint64_t)_i);
    struct storeclock c;
    storeclock_init(&c);
    int64_t now = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t there = rng_between(&r, 10, 40000), back = rng_between(&r, 10, 40000);
        struct mono sent = {now};
        struct wall store = {truth + now + there};
        now += there + back;
        storeclock_sample(&c, sent, (struct mono){now}, store);
        int64_t off = storeclock_now(&c, (struct mono){now}).us - (truth + now);
        ck_assert_int_le(off < 0 ? -off : off, storeclock_error_us(&c, (struct mono){now}));
        ck_assert_int_le(storeclock_earliest(&c, (struct mono){now}).us, truth + now);
        ck_assert_int_ge(storeclock_latest(&c, (struct mono){now}).us, truth + now);
        struct wall due = {truth + now + 5000};
        ck_assert_int_eq(storeclock_now(&c, storeclock_mono(&c, due)).us, due.us);
        now += rng_between(&r, 0, 3 * US_PER_S);
    }
    ck_assert_int_lt(storeclock_error_us(&c, (struct mono){now}), 45000);
}
END_TEST

START_TEST(good_sample_survives_bad_ones_until_it_is_old)
{
    struct storeclock c;
    storeclock_init(&c);
    storeclock_sample(&c, (struct mono){0}, (struct mono){200}, (struct wall){truth + 100});
    int64_t good = c.offset_us;
    storeclock_sample(&c, (struct mono){1000}, (struct mono){101000}, (struct wall){truth + 2000});
    ck_assert_int_eq(c.offset_us, good);
    /* 600 s at 200 ppm: the old one is worth 120 ms by now. */
    int64_t t = 600 * (int64_t)US_PER_S;
    storeclock_sample(&c, (struct mono){t}, (struct mono){t + 100000}, (struct wall){truth + t});
    ck_assert_int_ne(c.offset_us, good);
}
END_TEST

START_TEST(a_clock_that_was_set_is_believed)
{
    struct storeclock c;
    storeclock_init(&c);
    storeclock_sample(&c, (struct mono){0}, (struct mono){200}, (struct wall){truth + 100});
    int64_t step = -30 * (int64_t)US_PER_S;
    storeclock_sample(&c, (struct mono){1000}, (struct mono){9000},
                      (struct wall){truth + 5000 + step});
    int64_t off = storeclock_now(&c, (struct mono){9000}).us - (truth + 9000 + step);
    ck_assert_int_lt(off < 0 ? -off : off, 5000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("storeclock");
    TCase *c = tcase_create("storeclock");
    tcase_add_test(c, unset_until_the_first_sample);
    tcase_add_loop_test(c, error_bound_holds, 0, 20);
    tcase_add_test(c, good_sample_survives_bad_ones_until_it_is_old);
    tcase_add_test(c, a_clock_that_was_set_is_believed);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
