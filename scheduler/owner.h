/* Ownership of lanes and the turning of the hour ring: the node's lease, claims, window opening and
 * closing, promotion of long-term deadlines, the lane inbox. Owned by the control loop; tells the
 * engine through the handler, on that loop.
 *
 *   STARTING ──lease──▶ STANDBY ──claims──▶ ACTIVE ──owner_stop──▶ DRAINING ──released──▶ STOPPED
 *       ▲                  ▲ lanes of others      │
 *       └──────────────────┴── fenced: everything dropped, new incarnation ──┘
 *
 * Losing contact with the store stops nothing here: lanes stay held until another claim commits,
 * and then compare-and-set and fences refuse what the old owner tries (design.md 2).
 *
 * Standing by: lanes of others are looked at twice a heartbeat and when a lease ends; taken when they are
 * free, when the lease is over, or when the owner has had no session at the store for a quarter of a
 * heartbeat. A living owner with this node's name is another node that was given the same one: an
 * error is logged, and it is left alone like any other. */
#ifndef CARILLON_SCHEDULER_OWNER_H
#define CARILLON_SCHEDULER_OWNER_H

#include "base/fault.h"
#include "base/fsm.h"
#include "coord/coord.h"
#include "scheduler/lanes.h"
#include "scheduler/storeclock.h"
#include "storage/store.h"

enum owner_state { OWNER_STARTING, OWNER_STANDBY, OWNER_ACTIVE, OWNER_DRAINING, OWNER_STOPPED };
const char *owner_state_name(enum owner_state s);

struct owner_handler {
    /* Lanes are ours under row->fence. */
    void (*gained)(struct owner_handler *h, const struct lane_row *rows, uint32_t len);
    /* Lanes known but not ours (slots and windows are still of use). */
    void (*foreign)(struct owner_handler *h, const struct lane_row *rows, uint32_t len);
    void (*lost)(struct owner_handler *h, const uint16_t *lanes, uint32_t len);
    /* Windows of held lanes as they are to be used from now on. */
    void (*windows)(struct owner_handler *h, int64_t accept_from, int64_t open_to);
    /* Rows left below "window" stand in it now; long-term rows were promoted. */
    void (*moved)(struct owner_handler *h, int64_t window);
    void (*promoted)(struct owner_handler *h);
    /* Somebody else committed a turn of this execution: load it and arm what is open. */
    void (*announced)(struct owner_handler *h, const struct exec_id *ids, uint32_t len);
    /* Announcements may have been taken without our learning them: read open tasks and timers. */
    void (*missed)(struct owner_handler *h);
    void (*clock)(struct owner_handler *h, struct mono sent, struct mono answered,
                  struct wall store);
    void (*state)(struct owner_handler *h, enum owner_state s, struct str other_node);
    /* A new incarnation begins: sessions of the store must carry it. */
    void (*incarnation)(struct owner_handler *h, const struct uuid *incarnation);
};

struct owner_config {
    struct loop *loop;
    struct store *store;
    struct coord *coord; /* who should own what; borrowed for life */
    struct rng *rng;     /* of the loop; borrowed */
    struct fault_set *faults;
    struct owner_handler *handler;
    uint16_t shard;
    struct str node, address; /* borrowed for life */
    int64_t heartbeat_us;     /* heartbeatInterval; the lease lasts twice as long */
    int64_t window_us;        /* windowLength */
    uint32_t ring_windows;    /* partitionCount */
    int64_t promote_us;       /* pollInterval of the LONG_TERM scheduler */
};

struct owner;
struct owner *owner_new(const struct owner_config *config);
void owner_free(struct owner *o); /* in state STOPPED, or never started */
void owner_start(struct owner *o);
/* Gives everything back, then "done" (once). Turns must have been drained. */
void owner_stop(struct owner *o, void (*done)(void *arg), void *arg);
enum owner_state owner_state(const struct owner *o);
const struct uuid *owner_incarnation(const struct owner *o);
/* A turn found a lane under another claim: look at the lanes now. */
void owner_recheck(struct owner *o);

#endif
