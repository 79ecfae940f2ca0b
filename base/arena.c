/* Bump arena over chunks that double in size. */
#include "base/prelude.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"

struct arena_chunk {
    struct arena_chunk *older;
    size_t size, used; /* of the bytes after this header */
};

enum {
    ARENA_ALIGN = 8,
    ARENA_CHUNK_MIN = 1024,   /* bytes; a small message fits in one */
    ARENA_CHUNK_MAX = 262144, /* bytes; doubling further would waste, not save */
};

static_assert(sizeof(struct arena_chunk) % ARENA_ALIGN == 0, "chunk bytes must be aligned");

static char *chunk_bytes(struct arena_chunk *c)
{
    return (char *)(c + 1);
}

void arena_init(struct arena *a, size_t cap)
{
    *a = (struct arena){.cap = cap, .chunk_size = ARENA_CHUNK_MIN};
}

static void arena_free_chunks(struct arena_chunk *c)
{
    while (c != NULL) {
        struct arena_chunk *older = c->older;
        mem_free(c);
        c = older;
    }
}

void arena_fini(struct arena *a)
{
    arena_free_chunks(a->head);
    arena_init(a, a->cap);
}

void arena_reset(struct arena *a, size_t keep)
{
    struct arena_chunk *kept = NULL, *c = a->head;
    while (c != NULL) { /* the largest chunk that may stay */
        struct arena_chunk *older = c->older;
        if (c->size <= keep && (kept == NULL || c->size > kept->size)) {
            mem_free(kept);
            kept = c;
        } else {
            mem_free(c);
        }
        c = older;
    }
    size_t cap = a->cap;
    arena_init(a, cap);
    if (kept != NULL) {
        kept->older = NULL;
        kept->used = 0;
        a->head = kept;
        a->chunk_size = MIN(MAX(kept->size * 2, (size_t)ARENA_CHUNK_MIN), (size_t)ARENA_CHUNK_MAX);
    }
}

static void *arena_refuse(struct arena *a)
{
    ASSERT(a->cap != 0); /* an uncapped arena asks for more than an address space */
    a->failed = true;
    return NULL;
}

/* A new chunk with room for "size" bytes becomes the head; false when memory is refused. */
static bool arena_grow(struct arena *a, size_t size)
{
    size_t room = MAX(size, a->chunk_size);
    struct arena_chunk *c;
    if (a->cap == 0) {
        c = mem_realloc(NULL, sizeof(*c) + room);
    } else {
        c = mem_try_raw(sizeof(*c) + room, SIZE_MAX);
    }
    if (c == NULL) {
        return false;
    }
    *c = (struct arena_chunk){.older = a->head, .size = room};
    a->head = c;
    a->chunk_size = MIN(a->chunk_size * 2, (size_t)ARENA_CHUNK_MAX);
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2) {
        return arena_refuse(a);
    }
    size = (MAX(size, (size_t)1) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (a->cap != 0 && (a->used > a->cap || size > a->cap - a->used)) {
        return arena_refuse(a);
    }
    if (a->head == NULL || a->head->size - a->head->used < size) {
        if (!arena_grow(a, size)) {
            return arena_refuse(a);
        }
    }
    char *p = chunk_bytes(a->head) + a->head->used;
    a->head->used += size;
    a->used += size;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    return p != NULL ? memset(p, 0, size) : NULL;
}

void *arena_memdup(struct arena *a, const void *p, size_t size)
{
    void *q = arena_alloc(a, size);
    if (q != NULL && size > 0) {
        memcpy(q, p, size);
    }
    return q;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *q = len < SIZE_MAX ? arena_alloc(a, len + 1) : arena_refuse(a);
    if (q != NULL) {
        if (len > 0) {
            memcpy(q, s, len);
        }
        q[len] = '\0';
    }
    return q;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    char *q = arena_alloc(a, (size_t)n + 1);
    if (q != NULL) {
        va_start(ap, fmt);
        vsnprintf(q, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    return q;
}
