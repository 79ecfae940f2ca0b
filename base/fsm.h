/* Checked state machines: a table of states, each with a name, flags and the mask of allowed next
 * states. Every move asserts the mask, traces, and runs the machine's invariant. */
#ifndef CARILLON_BASE_FSM_H
#define CARILLON_BASE_FSM_H

#include "base/prelude.h"

enum { FSM_INITIAL = 1, FSM_FINAL = 2, FSM_FAILURE = 4 };

struct fsm_state {
    const char *name;
    unsigned flags;
    uint32_t allowed; /* bit n: state n may follow */
};

struct fsm {
    const struct fsm_state *states;
    const char *name; /* of the machine, for traces */
    int current;
    bool (*invariant)(const struct fsm *m, int prev);
};

/* "name" and "states" are kept by pointer; "invariant" (may be NULL) is called after each move
 * with the state before. All asserted: FSM_INITIAL of "initial", the mask, the invariant. */
void fsm_init(struct fsm *m, const char *name, const struct fsm_state *states, int initial,
              bool (*invariant)(const struct fsm *, int prev));
int fsm_state(const struct fsm *m);
const char *fsm_state_name(const struct fsm *m);
void fsm_move(struct fsm *m, int next);

#endif
