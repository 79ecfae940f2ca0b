#include "base/prelude.h"

#include "base/fault.h"
#include "tests/unit/base/suite.h"

static int fired[FAULT_COUNT];

static void fire(struct fault_set *s, enum fault_point p)
{
    ck_assert_ptr_eq(s->arg, fired);
    fired[p]++;
}

START_TEST(names_round_trip)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        enum fault_point p;
        ck_assert_int_eq(fault_parse(str_of(fault_name((enum fault_point)i)), &p), ERR_OK);
        ck_assert_int_eq((int)p, i);
    }
    enum fault_point p = FAULT_CLAIM_AFTER;
    ck_assert_int_eq(fault_parse(STR("NO_SUCH"), &p), ERR_INVALID);
    ck_assert_int_eq(fault_parse(STR_NONE, &p), ERR_INVALID);
    ck_assert_int_eq((int)p, FAULT_CLAIM_AFTER);
    ck_assert_str_eq(fault_name(FAULT_COUNT), "?");
}
END_TEST

START_TEST(fires_after_n_for_m_times)
{
    for (int after = 0; after < 6; after++) {
        for (int times = 0; times < 4; times++) {
            struct fault_set s;
            char spec[64];
            int n = snprintf(spec, sizeof(spec), "CLAIM_BEFORE:after=%d:times=%d", after, times);
            fault_init(&s, fire, fired);
            fault_hit(&s, FAULT_CLAIM_BEFORE); /* passes before arming do not count */
            ck_assert_int_eq(fault_arm(&s, (struct str){spec, (size_t)n}), ERR_OK);
            memset(fired, 0, sizeof(fired));
            for (int i = 0; i < 12; i++) {
                fault_hit(&s, FAULT_CLAIM_BEFORE);
                fault_hit(&s, FAULT_CLAIM_AFTER);
                int want = MIN(MAX(i + 1 - after, 0), times);
                ck_assert_int_eq(fired[FAULT_CLAIM_BEFORE], want);
            }
            ck_assert_int_eq(fired[FAULT_CLAIM_AFTER], 0);
            ck_assert_uint_eq(s.point[FAULT_CLAIM_BEFORE].passes, 13);
        }
    }
    fault_hit(NULL, FAULT_CLAIM_BEFORE);
}
END_TEST

START_TEST(specs)
{
    static const char *const bad[] = {"",
                                      ":",
                                      "NO_SUCH",
                                      "CLAIM_BEFORE:",
                                      "CLAIM_BEFORE::times=1",
                                      "CLAIM_BEFORE:after",
                                      "CLAIM_BEFORE:after=",
                                      "CLAIM_BEFORE:after=-1",
                                      "CLAIM_BEFORE:after=x",
                                      "CLAIM_BEFORE:often=1",
                                      "claim_before",
                                      "CLAIM_BEFORE:times=1:",
                                      "CLAIM_BEFORE:after=18446744073709551616"};
    struct fault_set s;
    fault_init(&s, fire, fired);
    memset(fired, 0, sizeof(fired));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(fault_arm(&s, str_of(bad[i])) == ERR_INVALID, "%s", bad[i]);
    }
    fault_hit(&s, FAULT_CLAIM_BEFORE);
    ck_assert_int_eq(fired[FAULT_CLAIM_BEFORE], 0);
    ck_assert_int_eq(fault_arm(&s, STR("CLAIM_BEFORE")), ERR_OK); /* the next pass, once */
    fault_hit(&s, FAULT_CLAIM_BEFORE);
    fault_hit(&s, FAULT_CLAIM_BEFORE);
    ck_assert_int_eq(fired[FAULT_CLAIM_BEFORE], 1);
    ck_assert_int_eq(fault_arm(&s, STR("CLAIM_BEFORE:times=9")), ERR_OK);
    ck_assert_int_eq(fault_arm(&s, STR("CLAIM_BEFORE:times=0")), ERR_OK); /* disarms */
    fault_hit(&s, FAULT_CLAIM_BEFORE);
    ck_assert_int_eq(fired[FAULT_CLAIM_BEFORE], 1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {names_round_trip, fires_after_n_for_m_times, specs, NULL};
    return suite_run("fault", tests);
}
