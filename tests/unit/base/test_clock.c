#include "base/prelude.h"

#include "base/clock.h"
#include "base/rng.h"
#include "tests/unit/base/suite.h"

static const int64_t year_1 = INT64_C(-62135596800) * US_PER_S;
static const int64_t year_10000 = INT64_C(253402300800) * US_PER_S;

START_TEST(formats)
{
    static const struct {
        int64_t us;
        int digits;
        const char *text;
    } cases[] = {
        {0, 0, "1970-01-01T00:00:00Z"},
        {0, 3, "1970-01-01T00:00:00.000Z"},
        {1, 6, "1970-01-01T00:00:00.000001Z"},
        {-1, 6, "1969-12-31T23:59:59.999999Z"},
        {-1, 3, "1969-12-31T23:59:59.999Z"},
        {-1, 0, "1969-12-31T23:59:59Z"},
        {INT64_C(951782400) * US_PER_S, 0, "2000-02-29T00:00:00Z"},
        {INT64_C(4107542400) * US_PER_S - 1, 6, "2100-02-28T23:59:59.999999Z"},
        {INT64_C(4107542400) * US_PER_S, 0, "2100-03-01T00:00:00Z"},
        {INT64_C(1795425130) * US_PER_S + 123456, 3, "2026-11-23T09:12:10.123Z"},
        {INT64_MAX, 6, "9999-12-31T23:59:59.999999Z"},
        {INT64_MIN, 6, "0001-01-01T00:00:00.000000Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[WALL_TEXT_SIZE];
        wall_format((struct wall){cases[i].us}, cases[i].digits, text);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

START_TEST(parses)
{
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01T01:30:00+01:30", 0},
        {"1969-12-31T19:00:00-05:00", 0},
        {"1970-01-01T00:00:00-00:00", 0},
        {"1970-01-01T00:00:00.1Z", 100000},
        {"1970-01-01T00:00:00.000001Z", 1},
        {"1970-01-01T00:00:00.123456789Z", 123456},
        {"1969-12-31T23:59:59.999999999Z", -1},
        {"2000-02-29T00:00:00Z", INT64_C(951782400) * US_PER_S},
        {"2026-11-23T09:12:10.123Z", INT64_C(1795425130) * US_PER_S + 123000},
        {"9999-12-31T23:59:59.999999Z", INT64_C(253402300800) * US_PER_S - 1},
        {"0001-01-01T00:00:00Z", INT64_C(-62135596800) * US_PER_S},
        {"1970-01-02T23:59:00+23:59", US_PER_DAY},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct wall t = {-7};
        ck_assert_msg(wall_parse(str_of(cases[i].text), &t) == ERR_OK, "%s", cases[i].text);
        ck_assert_int_eq(t.us, cases[i].us);
    }
}
END_TEST

START_TEST(refuses)
{
    static const char *const cases[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T09:12:10",
        "2026-11-23 09:12:10Z",
        "2026-11-23T09:12Z",
        "2026-11-23T09:12:10.Z",
        "2026-11-23T09:12:10.1234567890Z",
        "2026-11-23T09:12:10,5Z",
        "2026-11-23T09:12:10Z ",
        " 2026-11-23T09:12:10Z",
        "2026-11-23T09:12:10ZZ",
        "2026-11-23T09:12:10+0100",
        "2026-11-23T09:12:10+01",
        "2026-11-23T09:12:10+24:00",
        "2026-11-23T09:12:10+01:60",
        "2026-11-23T09:12:10*01:00",
        "2026-00-23T09:12:10Z",
        "2026-13-23T09:12:10Z",
        "2026-11-00T09:12:10Z",
        "2026-11-31T09:12:10Z",
        "2026-04-31T09:12:10Z",
        "2026-02-29T09:12:10Z",
        "1900-02-29T09:12:10Z",
        "2100-02-29T09:12:10Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T09:60:00Z",
        "2026-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "-026-11-23T09:12:10Z",
        "2026-1-23T09:12:10Z",
        "10000-01-01T00:00:00Z",
        "2026-11-23T0 :12:10Z",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct wall t = {-7};
        ck_assert_msg(wall_parse(str_of(cases[i]), &t) == ERR_INVALID, "%s", cases[i]);
        ck_assert_int_eq(t.us, -7);
    }
    struct wall t;
    ck_assert_int_eq(wall_parse((struct str){"1970-01-01T00:00:00\0", 20}, &t), ERR_INVALID);
    ck_assert_int_eq(wall_parse(STR_NONE, &t), ERR_INVALID);
}
END_TEST

/* Any cut or changed byte of a good text is refused or reads as another good text, never as
 * trouble for the sanitizers. */
START_TEST(mutations)
{
    static const char good[] = "2024-02-29T23:59:59.123456+05:30";
    for (size_t cut = 0; cut < sizeof(good) - 1; cut++) {
        struct wall t;
        ck_assert_int_eq(wall_parse((struct str){good, cut}, &t), ERR_INVALID);
    }
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (int c = 0; c < 256; c++) {
            char text[sizeof(good)], back[WALL_TEXT_SIZE];
            struct wall t, again;
            memcpy(text, good, sizeof(good));
            text[at] = (char)c;
            if (wall_parse((struct str){text, sizeof(good) - 1}, &t) == ERR_OK) {
                wall_format(t, 6, back);
                ck_assert_int_eq(wall_parse(str_of(back), &again), ERR_OK);
                ck_assert_int_eq(again.us, t.us);
            }
        }
    }
}
END_TEST

START_TEST(round_trip)
{
    struct rng r;
    rng_seed(&r, 2026);
    for (int i = 0; i < 200000; i++) {
        struct wall t = {rng_between(&r, year_1, year_10000 - 1)}, back;
        char text[WALL_TEXT_SIZE];
        wall_format(t, 6, text);
        ck_assert_int_eq(wall_parse(str_of(text), &back), ERR_OK);
        ck_assert_int_eq(back.us, t.us);
    }
}
END_TEST

/* The calendar against the C library's, one instant of every day of 800 years. */
START_TEST(calendar_agrees_with_libc)
{
    for (int64_t day = -146097; day < 146097; day++) {
        char text[WALL_TEXT_SIZE], want[WALL_TEXT_SIZE];
        time_t seconds = (time_t)(day * 86400 + 3661);
        struct tm tm;
        ck_assert_ptr_nonnull(gmtime_r(&seconds, &tm));
        (void)strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm);
        wall_format((struct wall){(int64_t)seconds * US_PER_S}, 0, text);
        if (strcmp(text, want) != 0) {
            ck_abort_msg("%s, libc says %s", text, want);
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {formats,   parses,     refuses,
                                  mutations, round_trip, calendar_agrees_with_libc,
                                  NULL};
    return suite_run("clock", tests);
}
