#include "base/prelude.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/unit/base/suite.h"

START_TEST(idle_arena_costs_nothing)
{
    size_t before = mem_live_blocks();
    struct arena a;
    arena_init(&a, 0);
    ck_assert_uint_eq(mem_live_blocks(), before);
    arena_reset(&a, 100);
    arena_fini(&a);
    ck_assert_uint_eq(mem_live_blocks(), before);
}
END_TEST

/* Blocks are aligned, do not overlap, and keep what was written. */
START_TEST(blocks_hold)
{
    enum { N = 500 };
    struct arena a;
    struct rng r;
    uint8_t *p[N];
    size_t size[N];
    size_t before = mem_live_blocks();
    rng_seed(&r, 7);
    arena_init(&a, 0);
    for (int i = 0; i < N; i++) {
        size[i] = rng_below(&r, rng_chance(&r, 0.05) ? 20000 : 100);
        p[i] = arena_alloc(&a, size[i]);
        ck_assert_uint_eq((uintptr_t)p[i] % 8, 0);
        memset(p[i], i & 0xFF, size[i]);
    }
    for (int i = 0; i < N; i++) {
        for (size_t k = 0; k < size[i]; k++) {
            ck_assert_uint_eq(p[i][k], (uint8_t)i);
        }
    }
    ck_assert(!a.failed);
    arena_fini(&a);
    ck_assert_uint_eq(mem_live_blocks(), before);
}
END_TEST

START_TEST(cap_refuses_and_sticks)
{
    for (size_t cap = 8; cap <= 4096; cap += 8) {
        struct arena a;
        size_t got = 0;
        arena_init(&a, cap);
        while (arena_alloc(&a, 24) != NULL) {
            got += 24;
            ck_assert(!a.failed);
        }
        ck_assert(a.failed);
        ck_assert_uint_le(got, cap);
        ck_assert_uint_gt(got + 24, cap);
        ck_assert_ptr_null(arena_alloc(&a, cap + 1));
        ck_assert_ptr_null(arena_zalloc(&a, SIZE_MAX));
        ck_assert_ptr_null(arena_strndup(&a, "x", SIZE_MAX));
        arena_reset(&a, 0);
        ck_assert(!a.failed);
        ck_assert_ptr_nonnull(arena_alloc(&a, cap));
        arena_fini(&a);
    }
}
END_TEST

START_TEST(reset_keeps_one_chunk)
{
    struct arena a;
    size_t before = mem_live_blocks();
    arena_init(&a, 0);
    for (int i = 0; i < 100; i++) {
        (void)arena_alloc(&a, 1000);
    }
    ck_assert_uint_gt(mem_live_blocks(), before + 1);
    arena_reset(&a, 16384);
    ck_assert_uint_eq(mem_live_blocks(), before + 1);
    ck_assert_uint_eq(a.used, 0);
    void *first = arena_alloc(&a, 8000);
    ck_assert_uint_eq(mem_live_blocks(), before + 1);
    arena_reset(&a, 16384);
    ck_assert_ptr_eq(arena_alloc(&a, 8000), first);
    arena_reset(&a, 0);
    ck_assert_uint_eq(mem_live_blocks(), before);
    arena_fini(&a);
}
END_TEST

START_TEST(copies)
{
    struct arena a;
    arena_init(&a, 200);
    ck_assert_str_eq(arena_strndup(&a, "abcdef", 3), "abc");
    ck_assert_str_eq(arena_strndup(&a, NULL, 0), "");
    ck_assert_str_eq(arena_printf(&a, "%d-%s", 5, "x"), "5-x");
    ck_assert_mem_eq(arena_memdup(&a, "12345", 5), "12345", 5);
    ck_assert_ptr_nonnull(arena_memdup(&a, NULL, 0));
    int *zero = ARENA_ARRAY(&a, int, 4);
    ck_assert(zero[0] == 0 && zero[3] == 0);
    ck_assert_ptr_null(arena_printf(&a, "%300d", 1));
    ck_assert(a.failed);
    arena_fini(&a);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {idle_arena_costs_nothing, blocks_hold, cap_refuses_and_sticks,
                                  reset_keeps_one_chunk,    copies,      NULL};
    return suite_run("arena", tests);
}
