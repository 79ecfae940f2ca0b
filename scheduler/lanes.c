/* The view of lanes and windows: see lanes.h. */
#include "base/prelude.h"

#include "scheduler/lanes.h"

#include "base/assert.h"

void lanes_init(struct lanes *l, uint16_t shard, int64_t window_us)
{
    PRE(window_us > 0);
    memset(l, 0, sizeof(*l));
    l->shard = shard;
    l->window_us = window_us;
}

void lanes_set(struct lanes *l, const struct lane_row *row, bool held)
{
    PRE(row->lane < LANES_PER_SHARD_MAX);
    PRE(row->slot_lo < row->slot_hi && row->slot_hi <= SLOT_COUNT);
    struct lane *lane = &l->lane[row->lane];
    if (lane->held) {
        l->held_len--;
    }
    lane->known = true;
    lane->held = held;
    lane->ref = (struct lane_ref){.shard = row->shard,
                                  .lane = row->lane,
                                  .slot_lo = row->slot_lo,
                                  .slot_hi = row->slot_hi,
                                  .fence = row->fence};
    lane->closed_to = row->closed_to;
    lane->accept_from = row->accept_from;
    lane->open_to = row->open_to;
    if (held) {
        l->held_len++;
    }
    l->len = MAX(l->len, (uint32_t)row->lane + 1);
    for (uint32_t s = row->slot_lo; s < row->slot_hi; s++) {
        l->of_slot[s] = row->lane;
    }
}

void lanes_lose(struct lanes *l, uint16_t lane)
{
    PRE(lane < LANES_PER_SHARD_MAX);
    if (l->lane[lane].held) {
        l->lane[lane].held = false;
        l->held_len--;
    }
}

void lanes_lose_all(struct lanes *l)
{
    for (uint32_t i = 0; i < l->len; i++) {
        lanes_lose(l, (uint16_t)i);
    }
    POST(l->held_len == 0);
}

void lanes_windows(struct lanes *l, int64_t accept_from, int64_t open_to)
{
    for (uint32_t i = 0; i < l->len; i++) {
        struct lane *lane = &l->lane[i];
        if (lane->held) {
            lane->accept_from = MAX(lane->accept_from, accept_from);
            lane->open_to = MAX(lane->open_to, open_to);
        }
    }
}

struct lane *lanes_of(struct lanes *l, const struct exec_id *id)
{
    return &l->lane[l->of_slot[exec_id_slot(id)]];
}

uint32_t lanes_held(const struct lanes *l, struct lane_ref *out, uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->len && n < max; i++) {
        if (l->lane[i].held) {
            out[n++] = l->lane[i].ref;
        }
    }
    return n;
}

int64_t lanes_open_to(const struct lanes *l)
{
    int64_t lowest = INT64_MIN;
    for (uint32_t i = 0; i < l->len; i++) {
        if (l->lane[i].held && (lowest == INT64_MIN || l->lane[i].open_to < lowest)) {
            lowest = l->lane[i].open_to;
        }
    }
    return lowest;
}

int64_t lane_window_for(const struct lane *l, int64_t window_us, struct wall due)
{
    int64_t window = due.us / window_us;
    if (window > l->open_to) {
        return TIMER_LONG_TERM;
    }
    return MAX(window, l->accept_from);
}
