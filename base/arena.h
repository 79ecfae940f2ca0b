/* Bump arena: the "unit of work" lifetime. Dropped as a whole; nothing is freed singly.
 * Not thread-safe; owned by whoever made it. */
#ifndef CARILLON_BASE_ARENA_H
#define CARILLON_BASE_ARENA_H

#include "base/prelude.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *head; /* newest chunk */
    size_t used;              /* bytes handed out, all chunks */
    size_t cap;               /* bytes that may be handed out; 0 = no cap */
    size_t chunk_size;        /* size of the next chunk */
    bool failed;              /* an allocation was refused because of the cap */
};

/* "cap": bytes after which allocations fail (0: none; then failure aborts). The first chunk is
 * allocated on first use, so an idle arena costs only the struct. */
void arena_init(struct arena *a, size_t cap);
void arena_fini(struct arena *a);
/* Forgets everything but keeps one chunk of at most "keep" bytes for reuse. */
void arena_reset(struct arena *a, size_t keep);
/* 8-byte aligned, NOT zeroed. NULL when the cap is hit (and a->failed is set). */
void *arena_alloc(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size); /* zeroed */
void *arena_memdup(struct arena *a, const void *p, size_t size);
/* Copy with a closing NUL that is not counted. */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define ARENA_NEW(a, type)      ((type *)arena_zalloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_zalloc((a), sizeof(type) * (size_t)(n)))

#endif
