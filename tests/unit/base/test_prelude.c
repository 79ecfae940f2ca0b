#include "base/prelude.h"

#include "tests/unit/base/suite.h"

/* A clock of sorts: each reading is later than the one before. */
static int64_t reading;

static int64_t now(void)
{
    return ++reading;
}

/* A deadline just ahead, a clock that passes it between two readings: how long to sleep is at
 * least 1, by one reading. */
START_TEST(an_argument_is_evaluated_once)
{
    for (int64_t due = 0; due < 10; due++) {
        reading = 0;
        ck_assert_int_ge(MAX(due - now(), INT64_C(1)), 1);
        ck_assert_int_eq(reading, 1);
        reading = 0;
        ck_assert_int_le(MIN(INT64_C(3), now()), 3);
        ck_assert_int_eq(reading, 1);
    }
}
END_TEST

START_TEST(each_type_keeps_its_range)
{
    ck_assert_uint_eq(MAX(UINT64_MAX, UINT64_C(1)), UINT64_MAX);
    ck_assert_uint_eq(MIN(SIZE_MAX, (size_t)7), 7);
    ck_assert_int_eq(MIN(INT64_MIN, INT64_C(0)), INT64_MIN);
    ck_assert_int_eq(MAX(INT64_MAX, INT64_C(0)), INT64_MAX);
    ck_assert_uint_eq(MAX(UINT32_MAX, 0U), UINT32_MAX);
    ck_assert_int_eq(MAX(-1, INT_MIN), -1);
    ck_assert_int_eq(MIN((uint8_t)200, (uint8_t)100), 100);
    ck_assert(MAX(0.25, 1e300) > 1e299 && MIN(-0.5, 0.25) < 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {an_argument_is_evaluated_once, each_type_keeps_its_range, NULL};
    return suite_run("prelude", tests);
}
