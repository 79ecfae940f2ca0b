/* The memory ring: the nearest deadlines of the open windows of the lanes of one turn loop, in due
 * order up to a horizon, loaded from the store in chunks (design.md 1). Absolute clock, no polling:
 * one loop timer stands at the earliest deadline.
 *
 * What is due before the horizon is in memory, whoever committed it: rows of the store are scanned
 * in due order, rows this node commits are told by timerq_armed(). Each deadline is announced
 * twice: "soon" (TIMERQ_LEAD_US ahead, so that the execution's state can be fetched) and "due".
 * Owned by its loop; all calls there. */
#ifndef CARILLON_SCHEDULER_TIMERQ_H
#define CARILLON_SCHEDULER_TIMERQ_H

#include "base/fault.h"
#include "base/heap.h"
#include "base/loop.h"
#include "base/map.h"
#include "scheduler/lanes.h"
#include "scheduler/storeclock.h"
#include "storage/store.h"

enum {
    TIMERQ_LEAD_US = 1 * US_PER_S,
    TIMERQ_AHEAD_US = 120 * US_PER_S, /* how far the horizon reaches at most */
    TIMERQ_NEAR_US = 10 * US_PER_S,   /* how far it reaches at least, as fast as scans go */
    TIMERQ_CHUNKS_MAX = 16,           /* chunks held in memory before scanning pauses */
    TIMERQ_RETRY_US = 200 * US_PER_MS,
};

struct timerq_handler {
    /* The rows are removed from memory before the call; if the turn does not commit, the
     * engine arms them again. Called at most once per row and arming. */
    void (*due)(struct timerq_handler *h, const struct timer_row *rows, uint32_t len);
    void (*soon)(struct timerq_handler *h, const struct timer_row *rows, uint32_t len);
};

struct timerq;

struct timerq_config {
    struct loop *loop;
    struct store *store;
    struct lanes *lanes;            /* of the same loop; borrowed */
    const struct storeclock *clock; /* of the same loop; borrowed */
    struct fault_set *faults;
    uint32_t chunk; /* maxScheduledItems of the HIGH_PRECISION scheduler */
    struct timerq_handler *handler;
};

struct timerq *timerq_new(const struct timerq_config *config);
/* No request may be in flight: timerq_stop first and wait for timerq_idle. */
void timerq_free(struct timerq *q);
void timerq_stop(struct timerq *q);
bool timerq_idle(const struct timerq *q);
/* The set of held lanes or their windows changed: scans again from the start (rows already in
 * memory are kept once); rows of lanes no longer held are dropped. */
void timerq_rescan(struct timerq *q);
/* A row was committed (or must fire again): kept when before the horizon or within reach of a scan
 * under way, else left to a later scan. */
void timerq_armed(struct timerq *q, const struct timer_row *row);
/* A deadline that was announced could not be treated: it is announced again, "us" from now at the
 * earliest, or when it is armed. */
void timerq_again(struct timerq *q, const struct timer_row *row, int64_t us);
/* A turn consumed the deadline. Unknown ones are fine. */
void timerq_cancel(struct timerq *q, const struct exec_id *exec, uint64_t seq, uint32_t idx);
/* Leftovers of windows below "window" of the lane were moved into it. */
void timerq_moved(struct timerq *q, uint16_t lane, int64_t window);
/* Rows now in memory, for metrics and tests. */
size_t timerq_len(const struct timerq *q);
struct wall timerq_horizon(const struct timerq *q);

#endif
