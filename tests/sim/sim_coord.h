/* Coordination of the simulator: that of the database, sometimes withheld, sometimes wrong. What follows must
 * be slower at the worst, never other: claims are decided by the store. */
#ifndef CARILLON_TESTS_SIM_SIM_COORD_H
#define CARILLON_TESTS_SIM_SIM_COORD_H

#include "base/rng.h"
#include "coord/coord.h"

struct sim_coord {
    struct coord base;
    struct coord *real;
    struct rng rng;
    double silent, wrong; /* how often */
    const bool *healing;  /* no more of it */
};

/* In the node's memory; sim_coord_fini before an orderly stop counts what is left. */
void sim_coord_init(struct sim_coord *c, uint64_t seed, double silent, double wrong,
                    const bool *healing);
void sim_coord_fini(struct sim_coord *c);

#endif
