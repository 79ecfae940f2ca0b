#include "base/prelude.h"

#include "base/heap.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/unit/base/suite.h"

START_TEST(empty_heap)
{
    struct heap h;
    struct heap_node n = {0};
    heap_init(&h);
    ck_assert_ptr_null(heap_min(&h));
    ck_assert_ptr_null(heap_pop(&h));
    heap_remove(&h, &n); /* no effect */
    ck_assert_uint_eq(heap_len(&h), 0);
    heap_fini(&h);
}
END_TEST

START_TEST(ties_leave_in_order_of_arrival)
{
    struct heap h;
    struct heap_node n[100];
    heap_init(&h);
    for (int i = 0; i < 100; i++) {
        n[i] = (struct heap_node){0};
        heap_insert(&h, &n[i], i % 3);
    }
    for (int key = 0; key < 3; key++) {
        for (int i = key; i < 100; i += 3) {
            ck_assert_ptr_eq(heap_pop(&h), &n[i]);
            ck_assert(!heap_contains(&n[i]));
        }
    }
    heap_fini(&h);
}
END_TEST

/* Random inserts, removals from the middle and pops: the minimum is always that of a scan. */
START_TEST(agrees_with_a_model)
{
    enum { N = 200, STEPS = 30000 };
    static struct heap_node n[N];
    struct heap h;
    struct rng r;
    size_t len = 0, before = mem_live_blocks();
    rng_seed(&r, 11);
    heap_init(&h);
    for (int i = 0; i < STEPS; i++) {
        struct heap_node *node = &n[rng_below(&r, N)];
        if (rng_chance(&r, 0.2)) {
            struct heap_node *min = heap_pop(&h);
            len -= min != NULL ? 1 : 0;
        } else if (heap_contains(node)) {
            heap_remove(&h, node);
            len--;
        } else {
            heap_insert(&h, node, rng_between(&r, -20, 20));
            len++;
        }
        ck_assert_uint_eq(heap_len(&h), len);
        const struct heap_node *want = NULL;
        for (int k = 0; k < N; k++) {
            if (heap_contains(&n[k]) && (want == NULL || n[k].key < want->key ||
                                         (n[k].key == want->key && n[k].order < want->order))) {
                want = &n[k];
            }
        }
        ck_assert_ptr_eq(heap_min(&h), want);
    }
    heap_fini(&h);
    ck_assert_uint_eq(mem_live_blocks(), before);
}
END_TEST

static void insert_twice(void)
{
    struct heap h;
    struct heap_node n = {0};
    heap_init(&h);
    heap_insert(&h, &n, 1);
    heap_insert(&h, &n, 2);
}

START_TEST(inserting_twice_is_an_assertion)
{
    char out[4096];
    ck_assert(suite_aborts(insert_twice, out, sizeof(out)));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {empty_heap, ties_leave_in_order_of_arrival, agrees_with_a_model,
                                  inserting_twice_is_an_assertion, NULL};
    return suite_run("heap", tests);
}
