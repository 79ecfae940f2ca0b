/* Port: who should own which lane. Coordination advises, PostgreSQL decides: whoever follows the advice
 * still has to claim, and a claim is refused while another's lease lives. So advice may be old, wrong or
 * missing without harm to what is stored; with none a node keeps what it holds and claims nothing.
 *
 * Implementations, by scheduler.distributed.lockingMechanism: coord_db.c (`database`: the leases and fence
 * rows are all there is to know) and the simulator's, which withholds advice and gives bad one. */
#ifndef CARILLON_COORD_COORD_H
#define CARILLON_COORD_COORD_H

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"

/* A node in one of its lives; texts are borrowed for the call. */
struct coord_member {
    struct uuid incarnation;
    struct str node;    /* stable over restarts */
    struct str address; /* where it listens */
};

/* A lane that the asker does not hold, as its fence row has it; texts are borrowed for the call. */
struct coord_lane {
    uint16_t lane;
    struct coord_member owner; /* incarnation null: nobody's */
    bool has_session;          /* of the store, in the owner's name */
    int64_t lease_left_us;     /* of the owner; <= 0: over */
};

/* What the asker knows. */
struct coord_view {
    struct coord_member self;
    const struct coord_lane *lanes;
    uint32_t lanes_len;
    struct mono now;
    struct wall store_now;
    int64_t heartbeat_us;
};

struct coord_advice {
    uint16_t claim[LANES_PER_SHARD_MAX]; /* lanes to be claimed, in the view's order */
    uint32_t claim_len;
    struct str
        other; /* a living owner of lanes not advised, from the view; STR_NONE: there is none */
    int64_t look_us; /* when to look, and ask, again */
};

struct coord;
struct coord_ops {
    /* Called on the loop of the owner role only, which is also where a coord keeps what it remembers
     * between calls. Fills all of "out". */
    void (*advise)(struct coord *c, const struct coord_view *v, struct coord_advice *out);
};
struct coord {
    const struct coord_ops *ops;
};
static inline void coord_advise(struct coord *c, const struct coord_view *v,
                                struct coord_advice *out)
{
    c->ops->advise(c, v, out);
}

/* The mechanism `database`: a node wants every lane whose owner is gone. The caller owns it. */
struct coord *coord_db_new(void);
void coord_db_free(struct coord *c); /* NULL is fine */

#endif
