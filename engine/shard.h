/* A turn loop: the executions of a set of lanes. Caches their states, folds facts into turns with
 * the pure core, commits turns in batches, lets effects out afterwards. An execution has at most one
 * turn in flight; what arrives meanwhile folds into its next (INV 7).
 *
 *   item ─▶ entry (cached? else LOADING) ─▶ turn ─▶ open batch ─▶ store ─▶ report ─▶ front
 *
 * All calls on the shard's loop unless said. Parts: shard.c (items, turns, life), cache.c (entries,
 * loading, eviction), commit.c (batches, retries, doubt), damage.c (executions that cannot go on). */
#ifndef CARILLON_ENGINE_SHARD_H
#define CARILLON_ENGINE_SHARD_H

#include "engine/defs.h"
#include "engine/item.h"
#include "scheduler/timerq.h"

struct shard;

struct shard_config {
    struct loop *loop, *front;
    struct store *store;
    uint64_t seed;
    struct fault_set *faults;
    uint16_t shard;           /* of the database */
    uint32_t number, numbers; /* of this turn loop, and how many there are: lanes go round them */
    int64_t window_us;
    uint32_t chunk;        /* deadlines loaded at a time */
    size_t cache_bytes;    /* of executions */
    uint32_t definitions;  /* parsed revisions kept */
    int64_t definition_us; /* one this old is read again */
    uint32_t batches;      /* in flight at most */
    uint32_t batch_min;    /* turns wanted before a second batch is sent */
    /* On the front loop: a durable batch. The receiver posts report->release to report->home
     * when it needs the texts no more. */
    void (*report)(void *arg, struct report *r);
    /* On this loop: a turn met a lane under another claim. */
    void (*foreign)(void *arg);
    void *arg;
};

struct shard *shard_new(const struct shard_config *config);
/* When shard_idle() holds. */
void shard_free(struct shard *s);

/* From any loop: lends the item until it->done. */
void shard_submit(struct shard *s, struct item *it);

/* A watch is to end now, with what is known. The item's own "done" runs as ever; "done" here runs on the
 * front loop when the shard is through with both: the item must live until then. */
struct watch_end {
    struct loop_task task;
    struct item *item;
    void (*done)(struct watch_end *w);
};
void shard_watch_end(struct watch_end *w);

/* News from the owner role: of all lanes of the node; those of other turn loops matter for their claims. */
void shard_incarnation(struct shard *s, const struct uuid *incarnation);
void shard_lanes(struct shard *s, const struct lane_row *rows, uint32_t len, bool held);
void shard_lost(struct shard *s, const uint16_t *lanes, uint32_t len);
void shard_windows(struct shard *s, int64_t accept_from, int64_t open_to);
void shard_moved(struct shard *s, int64_t window);
void shard_rescan(struct shard *s);
void shard_missed(struct shard *s); /* announcements are lost: each execution may have been one */
void shard_clock(struct shard *s, struct mono sent, struct mono answered, struct wall store);

/* Takes no new deadline and no new item (they answer ERR_GOING_AWAY); turns under way finish. */
void shard_stop(struct shard *s);
bool shard_idle(const struct shard *s);

struct shard_stats {
    size_t entries, bytes, timers;
    uint32_t in_flight;
};
void shard_stats(const struct shard *s, struct shard_stats *out);

#endif
