/* The contract of storage/store.h as one suite for every implementation: the real one over a
 * private PostgreSQL, the fake of the simulator. Run by store_contract.c. */
#ifndef CARILLON_TESTS_STORE_SUITE_H
#define CARILLON_TESTS_STORE_SUITE_H

#include "storage/store.h"

#include <check.h>

enum { SUITE_SHARD = 3, SUITE_LANES = 4, SUITE_RING = 4 };

/* One store, fresh for each test: no execution, no lane ever claimed. */
struct store_world {
    struct store *store;
    struct loop *loop; /* where answers arrive */
    /* Lets things happen until "cond" holds; false after a time that is long enough for all. */
    bool (*until)(struct store_world *w, bool (*cond)(void *arg), void *arg);
    /* To be called by every answer, on the loop. */
    void (*answered)(struct store_world *w);
    /* Runs fn where the store may be called from, at once. */
    void (*run)(struct store_world *w, void (*fn)(void *arg), void *arg);
    /* Opens or ends the sessions of an incarnation (those of the store itself carry another). */
    void (*session)(struct store_world *w, const struct uuid *incarnation, bool alive);
    void (*fini)(struct store_world *w);
};

/* "make" returns a fresh world; the tests' fixtures call it. "name": of the suite. */
Suite *store_suite(const char *name, struct store_world *(*make)(void));

#endif
