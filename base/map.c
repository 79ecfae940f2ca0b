/* Chained hash map over embedded nodes, and the hash of the code base (the home of xxhash). */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"

#include <xxhash.h>

enum { MAP_BUCKETS_MIN = 16 };

void map_init(struct map *m)
{
    *m = (struct map){.buckets = NULL};
    list_init(&m->order);
}

void map_fini(struct map *m)
{
    mem_free(m->buckets);
    map_init(m);
}

size_t map_len(const struct map *m)
{
    return m->len;
}

struct map_node *map_find(const struct map *m, uint64_t hash, const void *key, map_eq_fn eq)
{
    if (m->buckets == NULL) {
        return NULL;
    }
    for (struct map_node *n = m->buckets[hash & m->mask]; n != NULL; n = n->chain) {
        if (n->hash == hash && eq(n, key)) {
            return n;
        }
    }
    return NULL;
}

static void map_chain(struct map *m, struct map_node *node)
{
    struct map_node **bucket = &m->buckets[node->hash & m->mask];
    node->chain = *bucket;
    *bucket = node;
}

/* Doubles the table when the load passes one node a bucket. Rebuilt in insertion order, so that
 * the shape of the chains depends on the history of the map alone. */
static void map_grow(struct map *m)
{
    size_t buckets = m->buckets == NULL ? MAP_BUCKETS_MIN : (m->mask + 1) * 2;
    mem_free(m->buckets);
    m->buckets = MEM_ARRAY(struct map_node *, buckets);
    m->mask = buckets - 1;
    LIST_FOREACH(it, &m->order)
    {
        map_chain(m, CONTAINER_OF(it, struct map_node, order));
    }
}

void map_insert(struct map *m, struct map_node *node, uint64_t hash)
{
    if (m->buckets == NULL || m->len > m->mask) {
        map_grow(m);
    }
    node->hash = hash;
    map_chain(m, node);
    list_push_back(&m->order, &node->order);
    m->len++;
}

void map_remove(struct map *m, struct map_node *node)
{
    PRE(m->len > 0);
    struct map_node **at = &m->buckets[node->hash & m->mask];
    while (*at != node) {
        ASSERT(*at != NULL); /* a node of another map, or of none */
        at = &(*at)->chain;
    }
    *at = node->chain;
    node->chain = NULL;
    list_remove(&node->order);
    m->len--;
}

struct map_node *map_first(const struct map *m)
{
    return list_empty(&m->order) ? NULL : CONTAINER_OF(m->order.next, struct map_node, order);
}

uint64_t hash_bytes(const void *p, size_t size)
{
    return XXH64(p, size, 0);
}

/* The finaliser of splitmix64: a bijection, so distinct numbers have distinct hashes. */
uint64_t hash_u64(uint64_t v)
{
    v = (v ^ (v >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    v = (v ^ (v >> 27)) * UINT64_C(0x94D049BB133111EB);
    return v ^ (v >> 31);
}
