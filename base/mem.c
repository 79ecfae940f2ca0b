/* Allocation that cannot fail, and allocation that is bounded. */
#include "base/prelude.h"

#include "base/mem.h"

#include <stdatomic.h>

/* Only a count for leak checks of tests: no ordering hangs on it. */
static atomic_size_t mem_blocks;

/* In front of each block when regions are on. 32 bytes keep the block aligned as malloc's are. */
struct mem_tag {
    struct mem_tag *prev, *next; /* within the region */
    struct mem_region *region;
    size_t size;
};
_Static_assert(sizeof(struct mem_tag) % 16 == 0, "blocks must stay aligned");

static bool mem_tagged;
static struct mem_region *mem_current;

NORETURN static void mem_gone(size_t size)
{
    fprintf(stderr, "carillon: out of memory (%zu bytes)\n", size);
    abort();
}

static void *mem_counted(void *p)
{
    if (p != NULL) {
        atomic_fetch_add_explicit(&mem_blocks, 1, memory_order_relaxed);
    }
    return p;
}

static void mem_tag_link(struct mem_tag *t, struct mem_region *r, size_t size)
{
    t->region = r;
    t->size = size;
    t->prev = NULL;
    t->next = NULL;
    if (r != NULL) {
        t->next = r->first;
        if (t->next != NULL) {
            t->next->prev = t;
        }
        r->first = t;
        r->blocks++;
        r->bytes += size;
        r->bytes_max = MAX(r->bytes_max, r->bytes);
    }
}

static void mem_tag_unlink(struct mem_tag *t)
{
    struct mem_region *r = t->region;
    if (r == NULL) {
        return;
    }
    if (t->prev != NULL) {
        t->prev->next = t->next;
    } else {
        r->first = t->next;
    }
    if (t->next != NULL) {
        t->next->prev = t->prev;
    }
    r->blocks--;
    r->bytes -= t->size;
}

static void *mem_raw(size_t size, bool zeroed)
{
    size = MAX(size, (size_t)1);
    if (!mem_tagged) {
        return mem_counted(zeroed ? calloc(1, size) : malloc(size));
    }
    if (size > SIZE_MAX - sizeof(struct mem_tag)) {
        return NULL;
    }
    size += sizeof(struct mem_tag);
    struct mem_tag *t = mem_counted(zeroed ? calloc(1, size) : malloc(size));
    if (t == NULL) {
        return NULL;
    }
    mem_tag_link(t, mem_current, size);
    return t + 1;
}

static void *mem_raw_realloc(void *p, size_t size)
{
    size = MAX(size, (size_t)1);
    if (!mem_tagged) {
        return realloc(p, size);
    }
    if (size > SIZE_MAX - sizeof(struct mem_tag)) {
        return NULL;
    }
    struct mem_tag *t = (struct mem_tag *)p - 1;
    struct mem_region *r = t->region;
    mem_tag_unlink(t);
    size_t before = t->size;
    struct mem_tag *grown = realloc(t, size + sizeof(struct mem_tag));
    mem_tag_link(grown != NULL ? grown : t, r,
                 grown != NULL ? size + sizeof(struct mem_tag)
                               : before); /* a block stays in the region it was made in */
    return grown != NULL ? grown + 1 : NULL;
}

void mem_regions_enable(void)
{
    mem_tagged = true;
}

struct mem_region *mem_set_region(struct mem_region *r)
{
    struct mem_region *before = mem_current;
    mem_current = r;
    return before;
}

void mem_region_drop(struct mem_region *r)
{
    struct mem_tag *t = r->first;
    while (t != NULL) {
        struct mem_tag *next = t->next;
        atomic_fetch_sub_explicit(&mem_blocks, 1, memory_order_relaxed);
        free(t);
        t = next;
    }
    r->first = NULL;
    r->blocks = 0;
    r->bytes = 0;
}

void *mem_alloc(size_t size)
{
    void *p = mem_raw(size, true);
    if (p == NULL) {
        mem_gone(size);
    }
    return p;
}

void *mem_realloc(void *p, size_t size)
{
    void *q = mem_try_realloc(p, size, SIZE_MAX);
    if (q == NULL) {
        mem_gone(size);
    }
    return q;
}

void *mem_try(size_t size, size_t size_max)
{
    return size > size_max ? NULL : mem_raw(size, true);
}

void *mem_try_raw(size_t size, size_t size_max)
{
    return size > size_max ? NULL : mem_raw(size, false);
}

void *mem_try_realloc(void *p, size_t size, size_t size_max)
{
    if (size > size_max) {
        return NULL;
    }
    if (p == NULL) {
        return mem_try_raw(size, size_max);
    }
    return mem_raw_realloc(p, size);
}

char *mem_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    return memcpy(mem_realloc(NULL, size), s, size);
}

void mem_free(void *p)
{
    if (p != NULL) {
        atomic_fetch_sub_explicit(&mem_blocks, 1, memory_order_relaxed);
        if (mem_tagged) {
            struct mem_tag *t = (struct mem_tag *)p - 1;
            mem_tag_unlink(t);
            p = t;
        }
        free(p);
    }
}

size_t mem_live_blocks(void)
{
    return atomic_load_explicit(&mem_blocks, memory_order_relaxed);
}
