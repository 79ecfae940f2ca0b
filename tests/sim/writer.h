/* A second writer of executions, who owns no lane: see writer.c. */
#ifndef CARILLON_TESTS_SIM_WRITER_H
#define CARILLON_TESTS_SIM_WRITER_H

#include "base/arena.h"
#include "engine/core/core.h"
#include "tests/sim/sim_store.h"

/* Makes the outcome of an open task: fills the payload, or turns it into a failure. False: not this one. */
typedef bool writer_answer(void *arg, struct arena *a, const struct exec_row *row, struct str state,
                           struct fact *fact);
/* Folds one fact into an open execution and commits the turn, now: a deadline that is due, else the outcome
 * of its first open task. False: nothing was to be done, or the store refused. Not for executions that have
 * children or a parent: it writes no letters. */
bool writer_acts(struct sim_store *s, struct rng *rng, const struct exec_id *id,
                 writer_answer *answer, void *arg);

#endif
