/* What shard.c, cache.c, commit.c and damage.c share; nobody else includes it. */
#ifndef CARILLON_ENGINE_SHARD_INTERNAL_H
#define CARILLON_ENGINE_SHARD_INTERNAL_H

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/trace.h"
#include "engine/metrics.h"
#include "engine/shard.h"

enum {
    LOAD_IDS_MAX = 256,
    LOADS_MAX = 2,
    ITEM_TRIES_MAX = 8,
    DELAY_US = 5 * US_PER_MS,     /* before an execution is looked at again */
    BACKOFF_US = 100 * US_PER_MS, /* while the store is away */
    BACKOFF_MAX_US = 1 * US_PER_S,
    /* A turn that yields leaves a deadline of this number behind, over since the start of the
     * execution: after a crash it is what makes the execution go on. The next turn deletes it. */
    TIMER_GO_ON = INT32_MAX,
    RANGES_MAX = 32,
    DROPS_MAX = 256,
    RUBBISH_MAX = 100000, /* inbox rows to be deleted; more stay until the next scan */
};

enum entry_state {
    ENTRY_LOADING, /* in "loading", a load under way, or delayed */
    ENTRY_READY,   /* x is the durable state, or one turn ahead while in flight */
};

struct turn_ctx;

/* An execution in memory. */
struct entry {
    struct map_node node;
    struct exec_id id;
    struct list lru;   /* idle entries, least recently used first */
    struct list queue; /* shard.dirty, shard.loading or shard.delayed */
    enum entry_state state;
    struct exec *x;
    uint64_t turn; /* id of the last durable turn; 0 = not stored yet */
    struct turn_ctx *flight;
    struct list waiting;  /* item.link, in order of arrival */
    struct list watchers; /* item.link */
    size_t size;          /* counted in shard.bytes */
    struct wall closed_at;
    bool yielded;               /* its last turn ran out of fuel: go on without a fact */
    bool exists;                /* loading: its start's key is taken, perhaps by itself */
    bool arm;                   /* after loading: announce every open task and timer */
    bool alone;                 /* loading: not with others, one of whom cannot be read */
    struct task_token *closing; /* owned: tasks closed by turns whose fate is not known yet */
    uint32_t closing_len;
    struct exec_id *telling; /* owned: to whom such turns told something */
    uint32_t telling_len;
    bool inbox_more; /* not all of the inbox was loaded: again when what came is folded */
};

/* A turn on its way; lives in its batch's arena. */
struct turn_ctx {
    struct turn_row row;
    struct start_row start;
    struct entry *entry;
    struct list items; /* facts folded into it */
    struct dispatch_task *tasks_new;
    enum err err;    /* of the range it was sent in */
    const char *why; /* likewise, for people; in the batch's arena, or empty */
    bool yielded;
};

struct batch {
    struct store_commit commit;
    struct report report;
    struct shard *shard;
    struct arena arena; /* turns and their texts */
    struct arena out;   /* of the request */
    struct turn_ctx *ctx[TURN_BATCH_MAX];
    struct turn_row *rows[TURN_BATCH_MAX];
    uint32_t len;
    size_t bytes;
    struct {
        uint32_t from, to;
        bool again; /* has been tried whole twice: halve it */
    } range[RANGES_MAX];
    uint32_t ranges;
    struct loop_timer retry;
    int64_t backoff_us;
    struct list free; /* in shard.batches_free */
};

struct load {
    struct store_load req;
    struct shard *shard;
    struct arena arena;
    struct exec_id ids[LOAD_IDS_MAX];
    uint32_t len, at;
    uint32_t life;    /* when it was sent: what it brings may be void under a later one */
    uint32_t rereads; /* likewise: what it brings may be overtaken */
    struct defs_wait wait;
    bool waiting;
};

struct shard {
    struct shard_config c;
    struct rng rng;
    struct lanes lanes;
    struct lane_ref held[LANES_PER_SHARD_MAX];
    uint32_t held_len;
    struct lane_ref
        claims[LANES_PER_SHARD_MAX]; /* of the whole node: turns tell others something */
    uint32_t claims_len;
    struct uuid incarnation;
    uint32_t lives;   /* incarnations so far */
    uint32_t rereads; /* how often the whole cache was to be read again */
    struct storeclock clock;
    struct timerq *timerq;
    struct timerq_handler timerq_handler;
    struct defs *defs;
    struct turn *turn;
    struct map entries;
    struct list lru, dirty, loading, delayed;
    int64_t load_wait_us; /* loads fail: how long one waits for the next */
    struct map damaged;   /* damage.c */
    struct heap damaged_looks;
    struct loop_timer damage_timer;
    size_t bytes;
    size_t told_len, told_bytes; /* this shard's share in the metrics */
    struct loop_task pump;
    bool pumping; /* the task is posted */
    struct loop_timer delay;
    struct heap watch_expiry;
    struct loop_timer watch_timer;
    struct batch *open;
    struct list batches_free;
    uint32_t in_flight, loads, reports;
    bool stopping;
    struct timer_row drops[DROPS_MAX];
    uint32_t drops_len, drops_sent;
    bool dropping;
    struct store_timers_drop drop;
    struct inbox_row *rubbish; /* inbox rows of no use, with their sources owned */
    uint32_t rubbish_len, rubbish_room;
    bool clearing;
    struct store_inbox_drop clear;
    struct loop_timer clear_again;
    struct buf scratch;
};

/* shard.c */
void shard_pump(struct shard *s); /* asks for a round of turns */
void item_finish(struct shard *s, struct item *it, enum err e);
void entry_answer(struct shard *s, struct entry *e, struct item *it);
void entry_notify_closed(struct shard *s, struct entry *e);
void entry_sure(struct entry *e);
struct wall shard_now(const struct shard *s);
/* Nobody is to get it: it was submitted, or the engine does it. */
bool task_waits(const struct core_task *t);

/* cache.c */
struct entry *entry_find(struct shard *s, const struct exec_id *id);
struct entry *entry_make(struct shard *s, const struct exec_id *id);
void entry_drop(struct shard *s, struct entry *e); /* nothing may wait in it */
void entry_load(struct shard *s, struct entry *e, bool delayed);
void entry_measure(struct shard *s, struct entry *e);
void entry_rest(struct shard *s, struct entry *e); /* nothing to do for it: LRU, maybe evicted */
void entry_dirty(struct shard *s, struct entry *e);
bool entry_busy(const struct entry *e);
void cache_trim(struct shard *s);
void cache_tell(struct shard *s); /* brings the metrics up to date */
void loads_start(struct shard *s);
void timers_drop_add(struct shard *s, const struct timer_row *row);
void timers_drop_forget(struct shard *s);
/* Does a start wait here? Then everything it brought along is of before the failover, if there was one. */
bool entry_starting(const struct entry *e);
/* Answers everything that waits with "err" and drops the entry. */
void entry_fail(struct shard *s, struct entry *e, enum err err);
/* A turn that closed these tasks and told these executions something may or may not be durable: looked at
 * after the next load. */
void entry_doubt(struct entry *e, const struct turn_row *t);
/* Likewise these tasks, and executions. */
void entry_closing(struct entry *e, const struct task_token *tasks, uint32_t len);
void entry_owes(struct entry *e, const struct task_token *tasks, uint32_t tasks_len,
                const struct exec_id *execs, uint32_t execs_len);

/* inbox.c: what other executions have told */
void letters_take(struct shard *s, struct entry *e, const struct exec_row *row);
/* What came is folded and more is there: the entry is loading again. */
bool letters_again(struct shard *s, struct entry *e);
void letter_finish(struct shard *s, const struct item *it, enum err e);
void rubbish_forget(struct shard *s);
void rubbish_fini(struct shard *s);
/* What the turn tells others and has read, into its row. */
void ctx_letters(struct shard *s, struct arena *a, struct turn_ctx *c, const struct turn_out *out);

/* damage.c */
/* It cannot be read, or ("refused") its turn is not stored: left alone for a while. */
void damage_note(struct shard *s, const struct exec_id *id, bool refused, const char *reason);
/* A turn of it was stored, or it is gone. */
void damage_over(struct shard *s, const struct exec_id *id);
/* It is about to be read, and has been: what is owed to it is the entry's again. */
void damage_load(struct shard *s, struct entry *e);
void damage_read(struct shard *s, struct entry *e);
/* Finishes an item of an execution that is left alone. */
bool damage_answers(struct shard *s, struct item *it);
int64_t damage_wait_us(const struct shard *s, const struct exec_id *id); /* 0: it is not */
void damage_forget(struct shard *s, bool all); /* all, or those whose lane is not held */
/* It cannot be read: tells everybody who waits, and drops the entry. */
void entry_damaged(struct shard *s, struct entry *e, const char *reason);

/* commit.c */
struct batch *batch_open(struct shard *s); /* the batch being filled; NULL: all are on their way */
/* Copies the turn's output into the batch and puts the entry in flight. */
void batch_add(struct shard *s, struct batch *b, struct entry *e, struct list *items,
               uint64_t seq_prev, const struct turn_out *out);
void batches_flush(struct shard *s);
/* The incarnation is another one: what is decided and not sent is decided again. */
void batch_void(struct shard *s);
void batch_free(struct batch *b);
struct timer_row timer_go_on(const struct shard *s, const struct entry *e, uint64_t seq);

#endif
