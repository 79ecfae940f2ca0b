/* Intrusive binary heap ordered by (key, order); "order" breaks ties by insertion. */
#ifndef CARILLON_BASE_HEAP_H
#define CARILLON_BASE_HEAP_H

#include "base/prelude.h"

struct heap_node {
    int64_t key;
    uint64_t order;
    size_t pos; /* 1-based position; 0 = not in a heap */
};

struct heap {
    struct heap_node **v;
    size_t len, room;
    uint64_t next_order;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h);
size_t heap_len(const struct heap *h);
struct heap_node *heap_min(const struct heap *h); /* NULL when empty */
void heap_insert(struct heap *h, struct heap_node *n, int64_t key);
void heap_remove(struct heap *h, struct heap_node *n); /* no effect when not in */
struct heap_node *heap_pop(struct heap *h);
static inline bool heap_contains(const struct heap_node *n)
{
    return n->pos != 0;
}

#endif
