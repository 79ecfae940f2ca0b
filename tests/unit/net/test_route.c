/* Which address next, and when: on made-up time. */
#include "base/prelude.h"
#include "net/route.h"

#include <check.h>

static struct mono at_ms(int64_t ms)
{
    return (struct mono){1000000 + ms * US_PER_MS};
}

static void init(struct route *r, const char *addresses, uint64_t seed)
{
    struct err_detail d = {0};
    ck_assert_msg(route_init(r, str_of(addresses), seed, &d) == ERR_OK, "%s", d.text);
}

START_TEST(reading)
{
    static const char *const bad[] = {"",          " ",   ",",
                                      "tcp://",    "a:1", "tcp://a:1,,tcp://b:1",
                                      "http://a:1"};
    struct route r;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(route_init(&r, str_of(bad[i]), 1, NULL) == ERR_INVALID, "%s", bad[i]);
    }
    init(&r, " tcp://a:1 ,ipc:///b, tcp://a:1", 1);
    ck_assert_uint_eq(r.len, 2);
    ck_assert_str_eq(r.address[0].text, "tcp://a:1");
    ck_assert_str_eq(r.address[1].text, "ipc:///b");
    char many[ROUTE_ADDRESSES_MAX * 16 + 32] = "";
    size_t size = 0;
    for (int i = 0; i <= ROUTE_ADDRESSES_MAX; i++) {
        ck_assert_int_eq(route_init(&r, str_of(many), 1, NULL), i == 0 ? ERR_INVALID : ERR_OK);
        size +=
            (size_t)snprintf(many + size, sizeof(many) - size, "%stcp://h%d:1", i ? "," : "", i);
    }
    ck_assert_int_eq(route_init(&r, str_of(many), 1, NULL), ERR_TOO_LARGE);
}
END_TEST

START_TEST(learning)
{
    struct route r;
    init(&r, "tcp://a:1", 1);
    route_learn(&r, STR("tcp://a:1"));
    route_learn(&r, STR("nonsense"));
    route_learn(&r, STR(""));
    ck_assert_uint_eq(r.len, 1);
    for (int i = 0; i < 2 * ROUTE_ADDRESSES_MAX; i++) {
        char a[32];
        snprintf(a, sizeof(a), "tcp://n%d:1", i);
        route_learn(&r, str_of(a));
    }
    ck_assert_uint_eq(r.len, ROUTE_ADDRESSES_MAX);
    ck_assert(r.address[0].given && !r.address[1].given);
}
END_TEST

/* Every address gets its turn, from a start that differs between clients. */
START_TEST(turns)
{
    int first[3] = {0};
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct route r;
        struct mono when;
        int seen[3] = {0};
        init(&r, "tcp://a:1,tcp://b:1,tcp://c:1", seed);
        for (int n = 0; n < 3; n++) {
            int i = route_next(&r, at_ms(0), &when);
            ck_assert_int_ge(i, 0);
            first[i] += n == 0 ? 1 : 0;
            seen[i]++;
            route_failed(&r, i, at_ms(0));
        }
        ck_assert(seen[0] == 1 && seen[1] == 1 && seen[2] == 1);
        ck_assert_int_eq(route_next(&r, at_ms(0), &when), -1);
        ck_assert(when.us > at_ms(0).us);
        ck_assert_int_ge(route_next(&r, when, &when), 0);
    }
    ck_assert(first[0] > 5 && first[1] > 5 && first[2] > 5);
}
END_TEST

START_TEST(back_off)
{
    struct route r;
    struct mono when = at_ms(0);
    init(&r, "tcp://a:1", 3);
    struct mono now = at_ms(0);
    for (int n = 0; n < 40; n++) {
        ck_assert_int_eq(route_next(&r, now, &when), 0);
        route_failed(&r, 0, now);
        ck_assert_int_eq(route_next(&r, now, &when), -1);
        int64_t ms = n < 10 ? (int64_t)ROUTE_BACKOFF_MIN_MS << n : ROUTE_BACKOFF_MAX_MS;
        ms = MIN(ms, (int64_t)ROUTE_BACKOFF_MAX_MS);
        ck_assert_int_ge(when.us - now.us, ms * US_PER_MS / 2);
        ck_assert_int_le(when.us - now.us, ms * US_PER_MS);
        now = when;
    }
    route_good(&r, 0);
    ck_assert_int_eq(route_next(&r, now, &when), 0);
    route_failed(&r, 0, now);
    ck_assert_int_eq(route_next(&r, now, &when), -1);
    ck_assert_int_le(when.us - now.us, (int64_t)ROUTE_BACKOFF_MIN_MS * US_PER_MS);
}
END_TEST

/* A node that stands by is alive: it is asked again soon, however often it has said so. */
START_TEST(passed_over)
{
    struct route r;
    struct mono when = at_ms(0);
    struct mono now = at_ms(0);
    init(&r, "tcp://a:1,tcp://b:1", 3);
    for (int n = 0; n < 20; n++) {
        int i = route_next(&r, now, &when);
        ck_assert_int_ge(i, 0);
        route_passed_over(&r, i, now);
        int other = route_next(&r, now, &when);
        if (other >= 0) {
            ck_assert_int_ne(other, i);
            route_passed_over(&r, other, now);
        }
        ck_assert_int_eq(route_next(&r, now, &when), -1);
        ck_assert_int_le(when.us - now.us, (int64_t)ROUTE_PASSED_OVER_MS * US_PER_MS);
        now = when;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("route");
    TCase *t = tcase_create("route");
    tcase_add_test(t, reading);
    tcase_add_test(t, learning);
    tcase_add_test(t, turns);
    tcase_add_test(t, back_off);
    tcase_add_test(t, passed_over);
    suite_add_tcase(suite, t);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
