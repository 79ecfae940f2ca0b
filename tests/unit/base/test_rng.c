#include "base/prelude.h"

#include "base/rng.h"
#include "tests/unit/base/suite.h"

/* The published reference: splitmix64 from 0 gives these four, which seed the state. */
START_TEST(seeding_is_splitmix64)
{
    struct rng r;
    rng_seed(&r, 0);
    ck_assert_uint_eq(r.s[0], UINT64_C(0xe220a8397b1dcdaf));
    ck_assert_uint_eq(r.s[1], UINT64_C(0x6e789e6aa1b965f4));
    ck_assert_uint_eq(r.s[2], UINT64_C(0x06c45d188009454f));
    ck_assert_uint_eq(r.s[3], UINT64_C(0xf88bb8a8724c81ec));
}
END_TEST

/* xoshiro256** from the state 1, 2, 3, 4: the vector that other implementations test with. */
START_TEST(sequence_is_xoshiro256starstar)
{
    static const uint64_t want[] = {
        UINT64_C(11520),
        UINT64_C(0),
        UINT64_C(1509978240),
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
        UINT64_C(10595114339597558777),
        UINT64_C(2904607092377533576),
    };
    struct rng r = {{1, 2, 3, 4}};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        ck_assert_uint_eq(rng_u64(&r), want[i]);
    }
}
END_TEST

START_TEST(ranges)
{
    struct rng r;
    rng_seed(&r, 99);
    int seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        seen[rng_below(&r, 7)]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        ck_assert_int_gt(seen[i], 800);
        ck_assert_int_lt(seen[i], 1200);
    }
    bool lo = false, hi = false;
    for (int i = 0; i < 1000; i++) {
        int64_t v = rng_between(&r, -3, 3);
        ck_assert_int_ge(v, -3);
        ck_assert_int_le(v, 3);
        lo = lo || v == -3;
        hi = hi || v == 3;
        double d = rng_double(&r);
        ck_assert(d >= 0 && d < 1);
        ck_assert(!rng_chance(&r, 0));
        ck_assert(rng_chance(&r, 1));
    }
    ck_assert(lo && hi);
    ck_assert_uint_eq(rng_below(&r, 1), 0);
    ck_assert_int_eq(rng_between(&r, INT64_MAX, INT64_MAX), INT64_MAX);
    bool negative = false;
    for (int i = 0; i < 64; i++) {
        negative = negative || rng_between(&r, INT64_MIN, INT64_MAX) < 0;
    }
    ck_assert(negative);
}
END_TEST

START_TEST(bytes_and_forks_repeat)
{
    for (size_t size = 0; size < 40; size++) {
        struct rng a, b;
        uint8_t x[48], y[48];
        memset(x, 0xEE, sizeof(x));
        rng_seed(&a, size);
        rng_seed(&b, size);
        rng_bytes(&a, x, size);
        rng_bytes(&b, y, size);
        ck_assert(size == 0 || memcmp(x, y, size) == 0);
        ck_assert_uint_eq(x[size], 0xEE);
        struct rng child_a, child_b;
        rng_fork(&a, &child_a);
        rng_fork(&b, &child_b);
        uint64_t v = rng_u64(&child_a);
        ck_assert_uint_eq(v, rng_u64(&child_b));
        ck_assert_uint_ne(v, rng_u64(&a));
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {seeding_is_splitmix64, sequence_is_xoshiro256starstar, ranges,
                                  bytes_and_forks_repeat, NULL};
    return suite_run("rng", tests);
}
