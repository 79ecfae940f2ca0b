/* Definitions by revision, parsed once and shared: the cache of one loop. */
#ifndef CARILLON_ENGINE_DEFS_H
#define CARILLON_ENGINE_DEFS_H

#include "base/map.h"
#include "engine/core/core.h"
#include "storage/store.h"

struct defs;

/* Waits for a definition; embedded by the caller. "done" gets the definition (borrowed; take a
 * reference to keep it) or NULL with an error. It may run before defs_get returns. */
struct defs_wait {
    struct list link;
    void (*done)(struct defs_wait *w, struct def *def, const struct definition_row *row,
                 enum err e);
};

/* Keeps at most "max" revisions in use lately; one parsed "expire_us" ago is read again. */
struct defs *defs_new(struct loop *loop, struct store *store, uint32_t max, int64_t expire_us);
void defs_free(struct defs *d); /* no wait may be open */
/* By revision: content never changes on one timeline of the store. */
struct def *defs_find(struct defs *d, uint64_t revision); /* NULL: not in memory, or too old */
void defs_get(struct defs *d, uint64_t revision, struct defs_wait *w);
/* The newest of (tenant, workflow); remembered for "fresh_us". */
void defs_newest(struct defs *d, uint32_t tenant, struct str workflow, struct defs_wait *w);
/* The workflow was put or deleted through this node: forget what was newest. */
void defs_forget(struct defs *d, uint32_t tenant, struct str workflow);
/* A failover may have undone a revision and given its number to another: forget everything. */
void defs_clear(struct defs *d);
bool defs_idle(const struct defs *d);

#endif
