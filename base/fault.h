/* Named, counted fault points, per node (two nodes in one process can fail differently).
 * What firing means is the owner's choice: the daemon kills itself, the simulator crashes the
 * node at this very step. The points are in every build and cost one comparison with NULL where
 * no set is given; whether a daemon makes a set at all is decided where it is composed. */
#ifndef CARILLON_BASE_FAULT_H
#define CARILLON_BASE_FAULT_H

#include "base/err.h"
#include "base/str.h"

enum fault_point {
#define FAULT(name, where) FAULT_##name,
#include "base/fault.def"
#undef FAULT
    FAULT_COUNT,
};

struct fault_set {
    struct {
        uint64_t passes; /* how often the point was reached */
        uint64_t after;  /* fires at the passes after this one ... */
        uint64_t times;  /* ... so many times in a row; 0: not armed */
    } point[FAULT_COUNT];
    void (*fire)(struct fault_set *set, enum fault_point p); /* may not return */
    void *arg;
};

void fault_init(struct fault_set *s, void (*fire)(struct fault_set *, enum fault_point), void *arg);
const char *fault_name(enum fault_point p);
enum err fault_parse(struct str name, enum fault_point *out) MUST_CHECK;
/* Reached the point: counts, and fires when armed. "s" may be NULL. From any thread. */
void fault_pass(struct fault_set *s, enum fault_point p); /* "s" not NULL */
static inline void fault_hit(struct fault_set *s, enum fault_point p)
{
    if (s != NULL) {
        fault_pass(s, p);
    }
}
/* "NAME:after=3:times=1": lets three more passes through, then fires once. Defaults: after=0,
 * times=1; times=0 disarms. From any thread. ERR_INVALID leaves the set as it was. */
enum err fault_arm(struct fault_set *s, struct str spec) MUST_CHECK;

#endif
