/* Which retrier, which catcher, how long. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "engine/core/retry.h"
#include "tests/unit/core/core_fixture.h"

START_TEST(test_match)
{
    static const struct {
        const char *pattern, *error;
        bool match;
    } t[] = {
        {"E", "E", true},
        {"E", "F", false},
        {"States.ALL", "E", true},
        {"States.ALL", NULL, true},
        {"States.ALL", "States.Runtime", false},
        {"States.Runtime", "States.Runtime", true},
        {"States.ALL", "States.Timeout", true},
        {"States.ALL", "States.DataLimitExceeded", true},
        {"States.TaskFailed", "E", true},
        {"States.TaskFailed", "States.Timeout", false},
        {"States.TaskFailed", "States.HeartbeatTimeout", false},
        {"States.TaskFailed", NULL, true},
        {"States.Timeout", "States.HeartbeatTimeout", true},
        {"States.Timeout", "E", false},
        {"E", NULL, false},
        {"", "E", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct str list[] = {str_of(t[i].pattern)};
        ck_assert_msg(errors_match(list, 1, str_of(t[i].error)) == t[i].match, "%s %s",
                      t[i].pattern, t[i].error == NULL ? "-" : t[i].error);
    }
}
END_TEST

START_TEST(test_find)
{
    struct str e[] = {STR("E")}, f[] = {STR("E"), STR("F")}, all[] = {STR("States.ALL")};
    struct retrier r[] = {{.errors = e, .errors_len = 1, .max_attempts = 1},
                          {.errors = f, .errors_len = 2, .max_attempts = 2},
                          {.errors = all, .errors_len = 1, .max_attempts = 0}};
    struct state s = {.retriers = r, .retriers_len = 3};
    uint32_t counts[] = {1, 0, 0};

    ck_assert_int_eq(retrier_find(&s, NULL, STR("E")), 0);
    ck_assert_int_eq(retrier_find(&s, counts, STR("E")), -1); /* the first that matches decides */
    ck_assert_int_eq(retrier_find(&s, counts, STR("F")), 1);
    ck_assert_int_eq(retrier_find(&s, NULL, STR("X")), -1);
    ck_assert_int_eq(catcher_find(&s, STR("E")), -1);
}
END_TEST

START_TEST(test_delay)
{
    struct retrier r = {.interval_s = 2, .backoff = 3.0, .max_attempts = 99};
    static const int64_t want[] = {2, 6, 18, 54};
    struct rng rng;
    bool low = false, high = false;

    rng_seed(&rng, 1);
    for (uint32_t i = 0; i < ARRAY_LEN(want); i++) {
        ck_assert_int_eq(retry_delay_us(&r, i, &rng), want[i] * US_PER_S);
    }
    ck_assert_int_eq(retry_delay_us(&r, 4000000000u, &rng), INT64_C(31622400) * US_PER_S);
    r.max_delay_s = 20;
    ck_assert_int_eq(retry_delay_us(&r, 3, &rng), 20 * US_PER_S);
    r.backoff = 1.0;
    ck_assert_int_eq(retry_delay_us(&r, 4000000000u, &rng), 2 * US_PER_S);
    r.backoff = 1.5;
    ck_assert_int_eq(retry_delay_us(&r, 1, &rng), 3 * US_PER_S);
    r.jitter = true;
    for (int i = 0; i < 1000; i++) {
        int64_t d = retry_delay_us(&r, 1, &rng);
        ck_assert(d >= 0 && d <= 3 * US_PER_S);
        low = low || d < US_PER_S;
        high = high || d > 2 * US_PER_S;
    }
    ck_assert(low && high);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("retry");
    TCase *t = tcase_create("retry");

    tcase_add_test(t, test_match);
    tcase_add_test(t, test_find);
    tcase_add_test(t, test_delay);
    suite_add_tcase(s, t);
    return cx_main(s);
}
