#include "base/prelude.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/unit/base/suite.h"

struct item {
    uint64_t key;
    struct map_node node;
    bool in;
};

static bool item_eq(const struct map_node *node, const void *key)
{
    return MAP_ENTRY(node, const struct item, node)->key == *(const uint64_t *)key;
}

static struct map_node *find(const struct map *m, uint64_t key, uint64_t hash_mask)
{
    return map_find(m, hash_u64(key) & hash_mask, &key, item_eq);
}

/* Random inserts and removals against an array; hash_mask 3 puts all into four chains. */
static void against_model(uint64_t hash_mask)
{
    enum { KEYS = 400, STEPS = 20000 };
    static struct item items[KEYS];
    static uint64_t order[KEYS]; /* keys by insertion */
    size_t len = 0, before = mem_live_blocks();
    struct map m;
    struct rng r;
    rng_seed(&r, hash_mask);
    map_init(&m);
    for (uint64_t k = 0; k < KEYS; k++) {
        items[k] = (struct item){.key = k};
    }
    for (int i = 0; i < STEPS; i++) {
        uint64_t k = rng_below(&r, KEYS);
        struct item *it = &items[k];
        ck_assert_ptr_eq(find(&m, k, hash_mask), it->in ? &it->node : NULL);
        if (it->in) {
            map_remove(&m, &it->node);
            size_t at = 0;
            while (order[at] != k) {
                at++;
            }
            memmove(&order[at], &order[at + 1], (len - at - 1) * sizeof(order[0]));
            len--;
        } else {
            map_insert(&m, &it->node, hash_u64(k) & hash_mask);
            order[len++] = k;
        }
        it->in = !it->in;
        ck_assert_uint_eq(map_len(&m), len);
        if (i % 100 == 0) {
            size_t at = 0;
            LIST_FOREACH(e, &m.order)
            {
                ck_assert_uint_eq(MAP_ORDER_ENTRY(e, struct item, node)->key, order[at++]);
            }
            ck_assert_uint_eq(at, len);
            ck_assert(len == 0 ? map_first(&m) == NULL : map_first(&m) == &items[order[0]].node);
        }
    }
    map_fini(&m);
    ck_assert_uint_eq(mem_live_blocks(), before);
}

START_TEST(agrees_with_a_model)
{
    against_model(UINT64_MAX);
    against_model(3); /* long chains */
    against_model(0); /* one chain */
}
END_TEST

START_TEST(empty_map)
{
    struct map m;
    map_init(&m);
    ck_assert_ptr_null(find(&m, 1, UINT64_MAX));
    ck_assert_ptr_null(map_first(&m));
    ck_assert_uint_eq(map_len(&m), 0);
    map_fini(&m);
}
END_TEST

static void remove_a_stranger(void)
{
    struct map m;
    struct item in = {.key = 1}, out = {.key = 2};
    map_init(&m);
    map_insert(&m, &in.node, 1);
    out.node.hash = 2;
    map_remove(&m, &out.node);
}

START_TEST(removing_a_stranger_is_an_assertion)
{
    char out[4096];
    ck_assert(suite_aborts(remove_a_stranger, out, sizeof(out)));
}
END_TEST

/* Published vectors of XXH64 with seed 0. */
START_TEST(hashes)
{
    ck_assert_uint_eq(hash_bytes("", 0), UINT64_C(0xef46db3751d8e999));
    ck_assert_uint_eq(hash_bytes("a", 1), UINT64_C(0xd24ec4f1a98c6e5b));
    ck_assert_uint_eq(hash_bytes("abc", 3), UINT64_C(0x44bc2cf5ad770999));
    ck_assert_uint_ne(hash_u64(1), hash_u64(2));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {agrees_with_a_model, empty_map,
                                  removing_a_stranger_is_an_assertion, hashes, NULL};
    return suite_run("map", tests);
}
