/* Small seeded generator (xoshiro256**), passed by pointer; there is no global one. Not for
 * secrets: nonces of tokens come from a generator seeded by the OS in the daemon. */
#ifndef CARILLON_BASE_RNG_H
#define CARILLON_BASE_RNG_H

#include "base/prelude.h"

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);              /* 0..n-1, n > 0, unbiased */
int64_t rng_between(struct rng *r, int64_t lo, int64_t hi); /* both inclusive */
double rng_double(struct rng *r);                           /* [0,1) */
bool rng_chance(struct rng *r, double p);
void rng_bytes(struct rng *r, void *out, size_t size);
/* An independent generator derived from this one (for a sub-system). */
void rng_fork(struct rng *r, struct rng *child);

#endif
