/* Allocation. Small objects of the daemon: mem_new() aborts when memory is gone. Whatever is
 * sized by outside input goes through an arena with a cap or mem_try(). */
#ifndef CARILLON_BASE_MEM_H
#define CARILLON_BASE_MEM_H

#include "base/prelude.h"

/* Zeroed memory of "size" bytes; aborts on failure. Owned by the caller; mem_free(). */
void *mem_alloc(size_t size);
/* Grows or shrinks; contents kept; new bytes undefined; aborts on failure. */
void *mem_realloc(void *p, size_t size);
/* As mem_alloc but NULL on failure or when "size" exceeds "size_max". */
void *mem_try(size_t size, size_t size_max);
/* As mem_try but the bytes are not zeroed. */
void *mem_try_raw(size_t size, size_t size_max);
/* As mem_realloc but NULL (and "p" untouched) on failure or when "size" exceeds "size_max". */
void *mem_try_realloc(void *p, size_t size, size_t size_max);
char *mem_strdup(const char *s);
void mem_free(void *p); /* NULL is fine */
/* Blocks now allocated through this file (tests: leak checks). */
size_t mem_live_blocks(void);

/* Regions: the simulator runs many nodes in one process and must be able to drop all memory of
 * one of them at any moment (a crash). After mem_regions_enable(), which must come before the first
 * allocation of the process, each block remembers the region that was current when it was made.
 * Never enabled in programs: then blocks carry nothing and this costs one predictable branch.
 * Single-threaded by nature. */
struct mem_region {
    void *first; /* private: blocks of the region */
    size_t blocks;
    size_t bytes, bytes_max; /* now, and most at any time (set it to begin anew) */
};
void mem_regions_enable(void);
/* Makes "r" (NULL: none) current; returns the one before. */
struct mem_region *mem_set_region(struct mem_region *r);
/* Frees every block of the region, in use or not; nothing may touch them after. */
void mem_region_drop(struct mem_region *r);

#define MEM_NEW(type)      ((type *)mem_alloc(sizeof(type)))
#define MEM_ARRAY(type, n) ((type *)mem_alloc(sizeof(type) * (size_t)(n)))

#endif
