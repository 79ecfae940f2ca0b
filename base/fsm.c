/* Checked state machines. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/fsm.h"
#include "base/trace.h"

enum { FSM_STATES_MAX = 32 }; /* bits of the mask */

void fsm_init(struct fsm *m, const char *name, const struct fsm_state *states, int initial,
              bool (*invariant)(const struct fsm *, int prev))
{
    PRE(initial >= 0 && initial < FSM_STATES_MAX);
    PRE((states[initial].flags & FSM_INITIAL) != 0);
    *m = (struct fsm){.states = states, .name = name, .current = initial, .invariant = invariant};
}

int fsm_state(const struct fsm *m)
{
    return m->current;
}

const char *fsm_state_name(const struct fsm *m)
{
    return m->states[m->current].name;
}

void fsm_move(struct fsm *m, int next)
{
    PRE(next >= 0 && next < FSM_STATES_MAX);
    int prev = m->current;
    trace(m->name, (uint64_t)prev, (uint64_t)next); /* before the check: a wrong move shows */
    ASSERT((m->states[prev].flags & FSM_FINAL) == 0);
    ASSERT((m->states[prev].allowed >> next & 1) != 0);
    m->current = next;
    ASSERT(m->invariant == NULL || m->invariant(m, prev));
}
