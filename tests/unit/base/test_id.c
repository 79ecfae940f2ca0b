#include "base/prelude.h"

#include "base/id.h"
#include "base/map.h"
#include "tests/unit/base/suite.h"

/* shard 0xABC, slot 0xDEF, tenant 0x123456, day 0x5123 (20771: 2026-11-14):
 * bytes  AB CD EF 12 34 56 | 8 512 | 10 0011 rr ... by hand from the layout in id.h. */
START_TEST(layout)
{
    struct rng r;
    rng_seed(&r, 5);
    struct wall start = {INT64_C(0x5123) * US_PER_DAY + 86399 * (int64_t)US_PER_S};
    for (int i = 0; i < 1000; i++) {
        struct exec_id id = exec_id_make(0xABC, 0xDEF, 0x123456, start, &r);
        static const uint8_t head[8] = {0xAB, 0xCD, 0xEF, 0x12, 0x34, 0x56, 0x85, 0x12};
        ck_assert_mem_eq(id.b, head, 8);
        ck_assert_uint_eq(id.b[8] & 0xFC, 0x80 | 3 << 2);
        ck_assert_uint_eq(exec_id_shard(&id), 0xABC);
        ck_assert_uint_eq(exec_id_slot(&id), 0xDEF);
        ck_assert_uint_eq(exec_id_tenant(&id), 0x123456);
        ck_assert_uint_eq(exec_id_day(&id), 0x5123);
        char text[EXEC_ID_TEXT + 1];
        struct exec_id back;
        exec_id_format(&id, text);
        ck_assert_int_eq(strncmp(text, "abcdef12-3456-8512-8", 20), 0);
        ck_assert_uint_eq(strlen(text), EXEC_ID_TEXT);
        ck_assert_int_eq(exec_id_parse(str_of(text), &back), ERR_OK);
        ck_assert(exec_id_eq(&id, &back));
    }
}
END_TEST

START_TEST(extremes)
{
    static const struct {
        uint16_t shard, slot;
        uint32_t tenant;
        int64_t day;
        uint32_t day_out;
        uint8_t head[8];
        uint8_t ninth;
    } cases[] = {
        {0, 0, 0, 0, 0, {0, 0, 0, 0, 0, 0, 0x80, 0}, 0x80},
        {4095, 4095, 16777215, 65535, 65535, {255, 255, 255, 255, 255, 255, 0x8F, 0xFF}, 0xBC},
        {1, 0, 0, 70000, 65535, {0, 0x10, 0, 0, 0, 0, 0x8F, 0xFF}, 0xBC}, /* day held back */
        {0, 1, 1, -3, 0, {0, 0, 1, 0, 0, 1, 0x80, 0}, 0x80},
        {0, 0, 0, 1, 1, {0, 0, 0, 0, 0, 0, 0x80, 0}, 0x84},
        {0, 0, 0, 16, 16, {0, 0, 0, 0, 0, 0, 0x80, 1}, 0x80},
    };
    struct rng r;
    rng_seed(&r, 6);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct exec_id id = exec_id_make(cases[i].shard, cases[i].slot, cases[i].tenant,
                                         (struct wall){cases[i].day * US_PER_DAY}, &r);
        ck_assert_mem_eq(id.b, cases[i].head, 8);
        ck_assert_uint_eq(id.b[8] & 0xFC, cases[i].ninth);
        ck_assert_uint_eq(exec_id_day(&id), cases[i].day_out);
    }
}
END_TEST

START_TEST(random_bits_vary)
{
    struct rng r;
    uint8_t ones[16] = {0}, zeros[16] = {0};
    rng_seed(&r, 7);
    for (int i = 0; i < 200; i++) {
        struct exec_id id = exec_id_make(1, 2, 3, (struct wall){0}, &r);
        for (size_t k = 0; k < 16; k++) {
            ones[k] |= id.b[k];
            zeros[k] |= (uint8_t)~id.b[k];
        }
    }
    ck_assert_uint_eq(ones[8] & zeros[8], 3);
    for (size_t k = 9; k < 16; k++) {
        ck_assert_uint_eq(ones[k] & zeros[k], 0xFF);
    }
}
END_TEST

START_TEST(ids_sort_by_place)
{
    struct rng r;
    rng_seed(&r, 8);
    for (int i = 0; i < 20000; i++) {
        uint16_t shard = (uint16_t)rng_below(&r, SHARD_MAX + 1);
        uint16_t slot = (uint16_t)rng_below(&r, SLOT_COUNT);
        struct wall start = {rng_between(&r, 0, 20000) * US_PER_DAY};
        struct exec_id id =
            exec_id_make(shard, slot, (uint32_t)rng_below(&r, TENANT_MAX + 1), start, &r);
        struct exec_id low = exec_id_low(shard, slot), high = exec_id_low(shard, slot + 1U);
        ck_assert_int_lt(exec_id_cmp(&low, &id), 0);
        ck_assert_int_lt(exec_id_cmp(&id, &high), 0);
        ck_assert_int_gt(exec_id_cmp(&high, &id), 0);
    }
    struct exec_id end = exec_id_low(4, SLOT_COUNT), next = exec_id_low(5, 0);
    ck_assert(exec_id_eq(&end, &next));
    struct exec_id first = exec_id_low(0, 0), top = exec_id_low(SHARD_MAX, SLOT_COUNT);
    ck_assert(exec_id_is_null(&first) && !exec_id_is_null(&top));
    for (size_t k = 0; k < 16; k++) {
        ck_assert_uint_eq(top.b[k], 0xFF);
    }
}
END_TEST

START_TEST(exec_text_refusals)
{
    static const char *const bad[] = {
        "",
        "abcdef12-3456-8512-8caf-0123456789a",
        "abcdef12-3456-8512-8caf-0123456789abc",
        "abcdef12-3456-4512-8caf-0123456789ab", /* version 4 */
        "abcdef12-3456-8512-4caf-0123456789ab", /* variant 1 */
        "abcdef12-3456-8512-ccaf-0123456789ab", /* variant 3 */
        "abcdef12_3456-8512-8caf-0123456789ab",
        "abcdef1-23456-8512-8caf-0123456789ab",
        "abcdefg2-3456-8512-8caf-0123456789ab",
        "00000000-0000-0000-0000-000000000000",
        "{bcdef12-3456-8512-8caf-0123456789a}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct exec_id id = {{7}};
        ck_assert_msg(exec_id_parse(str_of(bad[i]), &id) == ERR_INVALID, "%s", bad[i]);
        ck_assert_uint_eq(id.b[0], 7);
    }
    struct exec_id lower, upper;
    ck_assert_int_eq(exec_id_parse(STR("abcdef12-3456-8512-8caf-0123456789ab"), &lower), ERR_OK);
    ck_assert_int_eq(exec_id_parse(STR("ABCDEF12-3456-8512-8CAF-0123456789AB"), &upper), ERR_OK);
    ck_assert(exec_id_eq(&lower, &upper));
    ck_assert_uint_eq(exec_id_hash(&lower), exec_id_hash(&upper));
    ck_assert_uint_eq(exec_id_hash(&lower), hash_bytes(lower.b, 16));
}
END_TEST

/* The bytes hashed, spelled out; the numbers come from another implementation of XXH64, because
 * a slot is fixed for ever. */
START_TEST(slots)
{
    static const char key[] = "\x04\x03\x02\x01orders\0order-17";
    uint16_t want = (uint16_t)(hash_bytes(key, sizeof(key) - 1) % 4096);
    ck_assert_uint_eq(slot_of(0x01020304, STR("orders"), STR("order-17")), want);
    ck_assert_uint_eq(want, 2519);
    ck_assert_uint_eq(slot_of(0, STR_NONE, STR_NONE), 1608); /* five zero bytes */
    ck_assert_uint_ne(slot_of(1, STR("ab"), STR("c")), slot_of(1, STR("a"), STR("bc")));
    char long_name[3000]; /* longer than the buffer on the stack: the same function */
    memset(long_name, 'n', sizeof(long_name));
    for (size_t size = 500; size < 560; size++) {
        char all[600] = "\x09\0\0\0w";
        memcpy(all + 6, long_name, size);
        ck_assert_uint_eq(slot_of(9, STR("w"), (struct str){long_name, size}),
                          hash_bytes(all, size + 6) % 4096);
    }
    ck_assert_uint_lt(slot_of(9, STR("w"), (struct str){long_name, sizeof(long_name)}), 4096);
}
END_TEST

START_TEST(slots_spread)
{
    static int count[SLOT_COUNT];
    for (int i = 0; i < 400000; i++) {
        char name[32];
        int n = snprintf(name, sizeof(name), "run-%d", i);
        count[slot_of(1, STR("orders"), (struct str){name, (size_t)n})]++;
    }
    for (size_t i = 0; i < SLOT_COUNT; i++) { /* mean 97.7, sigma 9.9 */
        ck_assert_int_gt(count[i], 97 - 60);
        ck_assert_int_lt(count[i], 97 + 60);
    }
}
END_TEST

START_TEST(uuids)
{
    struct rng r;
    rng_seed(&r, 9);
    struct uuid null = {{0}}, last = null;
    ck_assert(uuid_is_null(&null));
    for (int i = 0; i < 1000; i++) {
        struct uuid u = uuid_make(&r), back;
        char text[EXEC_ID_TEXT + 1];
        ck_assert_uint_eq(u.b[6] >> 4, 4);
        ck_assert_uint_eq(u.b[8] >> 6, 2);
        ck_assert(!uuid_eq(&u, &last) && !uuid_is_null(&u));
        uuid_format(&u, text);
        ck_assert_int_eq(uuid_parse(str_of(text), &back), ERR_OK);
        ck_assert(uuid_eq(&u, &back));
        ck_assert_int_eq(uuid_parse((struct str){text, 35}, &back), ERR_INVALID);
        last = u;
    }
}
END_TEST

START_TEST(token_bytes)
{
    struct task_token t = {.ref = {.seq = UINT64_C(0x0102030405060708),
                                   .idx = 0x11121314,
                                   .attempt = 0x21222324},
                           .nonce = UINT64_C(0xA1A2A3A4A5A6A7A8)};
    for (size_t i = 0; i < 16; i++) {
        t.ref.exec.b[i] = (uint8_t)(0xE0 + i);
    }
    static const uint8_t want[TASK_TOKEN_SIZE] = {0xE0, 0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7,
                                                  0xE8, 0xE9, 0xEA, 0xEB, 0xEC, 0xED, 0xEE, 0xEF,
                                                  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                                  0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24,
                                                  0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8};
    uint8_t bytes[TASK_TOKEN_SIZE];
    task_token_encode(&t, bytes);
    ck_assert_mem_eq(bytes, want, TASK_TOKEN_SIZE);
    struct task_token back;
    struct str s = {(const char *)bytes, TASK_TOKEN_SIZE};
    ck_assert_int_eq(task_token_decode(s, &back), ERR_OK);
    ck_assert(task_token_eq(&t, &back));
    ck_assert_int_eq(task_token_decode(str_sub(s, 1, 99), &back), ERR_INVALID);
    ck_assert_int_eq(task_token_decode(STR_NONE, &back), ERR_INVALID);
    for (size_t i = 0; i < TASK_TOKEN_SIZE; i++) { /* every byte counts */
        bytes[i] ^= 1;
        ck_assert_int_eq(task_token_decode(s, &back), ERR_OK);
        ck_assert(!task_token_eq(&t, &back));
        bytes[i] ^= 1;
    }
    char text[64];
    ck_assert_uint_eq(base64_encode(bytes, TASK_TOKEN_SIZE, text, true), TASK_TOKEN_TEXT);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {layout,
                                  extremes,
                                  random_bits_vary,
                                  ids_sort_by_place,
                                  exec_text_refusals,
                                  slots,
                                  slots_spread,
                                  uuids,
                                  token_bytes,
                                  NULL};
    return suite_run("id", tests);
}
