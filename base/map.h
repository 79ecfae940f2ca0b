/* Intrusive hash map. Iteration runs in insertion order (never by address: the simulator
 * depends on it). The owner embeds struct map_node and supplies hash and equality per call. */
#ifndef CARILLON_BASE_MAP_H
#define CARILLON_BASE_MAP_H

#include "base/list.h"

struct map_node {
    uint64_t hash;
    struct map_node *chain;
    struct list order;
};

struct map {
    struct map_node **buckets;
    size_t mask, len;
    struct list order; /* all nodes by insertion */
};

typedef bool (*map_eq_fn)(const struct map_node *node, const void *key);

void map_init(struct map *m);
void map_fini(struct map *m); /* frees the table, not the nodes */
size_t map_len(const struct map *m);
struct map_node *map_find(const struct map *m, uint64_t hash, const void *key, map_eq_fn eq);
/* The caller has checked that the key is absent. */
void map_insert(struct map *m, struct map_node *node, uint64_t hash);
void map_remove(struct map *m, struct map_node *node);
/* First node by insertion, or NULL. LIST_FOREACH_SAFE over m->order iterates. */
struct map_node *map_first(const struct map *m);
#define MAP_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
#define MAP_ORDER_ENTRY(it, type, member) \
    CONTAINER_OF(CONTAINER_OF(it, struct map_node, order), type, member)

uint64_t hash_bytes(const void *p, size_t size); /* xxh64, seed 0 */
uint64_t hash_u64(uint64_t v);

#endif
