/* Intrusive binary heap. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/heap.h"
#include "base/mem.h"

enum { HEAP_ROOM_MIN = 16 };

void heap_init(struct heap *h)
{
    *h = (struct heap){.v = NULL};
}

void heap_fini(struct heap *h)
{
    mem_free(h->v);
    heap_init(h);
}

size_t heap_len(const struct heap *h)
{
    return h->len;
}

struct heap_node *heap_min(const struct heap *h)
{
    return h->len > 0 ? h->v[0] : NULL;
}

static bool heap_less(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void heap_place(struct heap *h, size_t i, struct heap_node *n)
{
    h->v[i] = n;
    n->pos = i + 1;
}

static void heap_up(struct heap *h, size_t i, struct heap_node *n)
{
    while (i > 0 && heap_less(n, h->v[(i - 1) / 2])) {
        heap_place(h, i, h->v[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_place(h, i, n);
}

static void heap_down(struct heap *h, size_t i, struct heap_node *n)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->len) {
            break;
        }
        if (child + 1 < h->len && heap_less(h->v[child + 1], h->v[child])) {
            child++;
        }
        if (!heap_less(h->v[child], n)) {
            break;
        }
        heap_place(h, i, h->v[child]);
        i = child;
    }
    heap_place(h, i, n);
}

void heap_insert(struct heap *h, struct heap_node *n, int64_t key)
{
    PRE(!heap_contains(n));
    if (h->len == h->room) {
        h->room = MAX(h->room * 2, (size_t)HEAP_ROOM_MIN);
        h->v = mem_realloc(h->v, h->room * sizeof(struct heap_node *));
    }
    n->key = key;
    n->order = h->next_order++;
    heap_up(h, h->len++, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    if (!heap_contains(n)) {
        return;
    }
    size_t i = n->pos - 1;
    ASSERT(i < h->len && h->v[i] == n); /* a node of another heap */
    n->pos = 0;
    struct heap_node *last = h->v[--h->len];
    if (last == n) {
        return;
    }
    if (i > 0 && heap_less(last, h->v[(i - 1) / 2])) {
        heap_up(h, i, last);
    } else {
        heap_down(h, i, last);
    }
}

struct heap_node *heap_pop(struct heap *h)
{
    struct heap_node *n = heap_min(h);
    if (n != NULL) {
        heap_remove(h, n);
    }
    return n;
}
