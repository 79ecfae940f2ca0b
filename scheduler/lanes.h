/* The lanes of a shard as one role of a node sees them: which slot belongs to which lane, which lanes
 * are held under which claim, and where their windows stand. A plain value, one copy per role,
 * changed by messages from the owner role (owner.c). Pure. */
#ifndef CARILLON_SCHEDULER_LANES_H
#define CARILLON_SCHEDULER_LANES_H

#include "base/limits.h"
#include "storage/records.h"

struct lane {
    bool known, held;
    struct lane_ref ref; /* shard, number, slots, fence */
    int64_t closed_to, accept_from, open_to;
};

struct lanes {
    uint16_t shard;
    uint32_t len;      /* lanes of the shard */
    uint32_t held_len; /* of them held */
    int64_t window_us;
    struct lane lane[LANES_PER_SHARD_MAX];
    uint16_t of_slot[SLOT_COUNT];
};

void lanes_init(struct lanes *l, uint16_t shard, int64_t window_us);
/* Takes over what the store says of a lane (slots, windows); "held": by us, under row->fence. */
void lanes_set(struct lanes *l, const struct lane_row *row, bool held);
void lanes_lose(struct lanes *l, uint16_t lane);
void lanes_lose_all(struct lanes *l);
/* Windows of the lanes held, as they are used from now on: never back. */
void lanes_windows(struct lanes *l, int64_t accept_from, int64_t open_to);
struct lane *lanes_of(struct lanes *l, const struct exec_id *id);
/* Refs of all lanes held, up to "max". Returns the count. */
uint32_t lanes_held(const struct lanes *l, struct lane_ref *out, uint32_t max);
/* The lowest open_to over the lanes held; INT64_MIN when none is. */
int64_t lanes_open_to(const struct lanes *l);

/* Where a deadline of this lane goes now: a window, or TIMER_LONG_TERM. */
int64_t lane_window_for(const struct lane *l, int64_t window_us, struct wall due);

#endif
