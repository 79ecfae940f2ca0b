/* What dispatch.c (tasks, queues, polls, time), dispatch_workers.c (sessions) and dispatch_memory.c (what
 * is kept here and what is left in the store) share; nobody else includes it. */
#ifndef CARILLON_SCHEDULER_DISPATCH_INTERNAL_H
#define CARILLON_SCHEDULER_DISPATCH_INTERNAL_H

#include "scheduler/dispatch.h"

struct dispatch_queue {
    struct map_node node;
    uint32_t tenant;
    struct str name;     /* owned */
    struct list ready;   /* dtask.link */
    struct list polls;   /* dispatch_poll_at.link, oldest first */
    struct list hot;     /* in dispatch.hot: something to match may be here */
    struct list hungry;  /* in dispatch.hungry: workers ask, tasks are in the store */
    struct list thirsty; /* in dispatch.thirsty: inputs are wanted */
    size_t ready_len, tasks_len, hydrating;
    size_t kept;  /* tokens that no worker has: ready, or to be confirmed */
    size_t bytes; /* of texts */
    uint32_t
        left; /* round in which one of its tasks was left in the store last; 0: none is there */
};

struct dispatch_session {
    struct map_node node;
    uint64_t instance, conn;
    uint32_t tenant;
    struct str name;  /* owned */
    struct list held; /* dtask.link */
    uint32_t held_len;
    struct list claims; /* held_claim.link */
    struct heap_node lost_until;
    bool connected;
    bool silent; /* a lease has run out since it was heard last: its polls get nothing */
};

/* A session says it holds an attempt that is not known here (yet): after a start or takeover hellos
 * may come before the table has been read. */
struct held_claim {
    struct map_node node;
    struct list link; /* in dispatch_session.claims */
    struct task_token token;
    struct dispatch_session *session;
};

struct dispatch {
    struct dispatch_config c;
    struct map tasks, queues, sessions, claims;
    struct heap deadlines;       /* dtask.deadline, store time */
    struct mono deadlines_later; /* those that are due are not acted upon before */
    struct heap poll_deadlines;  /* dispatch_poll.deadline, monotonic */
    struct heap lost;            /* dispatch_session.lost_until, monotonic */
    struct list leases;          /* dtask.lease, the one that runs out first in front */
    struct mono lease_grace;     /* none runs out before: this loop had not listened */
    struct list confirming;      /* dtask.link, in order of arrival */
    struct mono confirm_until;
    struct list answered; /* polls to answer in this flush */
    struct list hot;      /* queues to match in this flush */
    struct list borrowed; /* dtask.borrowed */
    struct loop_timer timer;
    struct mono timer_due;
    size_t bytes, ready, granted, confirming_len, waiting, polls;
    struct list hungry, thirsty;
    uint32_t hydrating; /* inputs asked for */
    uint32_t round;     /* of scans of the table, from 1; the present or the next one */
    uint32_t forgotten; /* as "left", of queues that are not known any more */
    struct wall left_due, left_due_next; /* earliest deadline of what is left, INT64_MAX = none; of
                                          * what was since the round began */
    uint32_t due_round;                  /* one is due: found when this round is over; 0: none is */
    size_t added;                        /* tokens since queues were cut last */
    bool filling;                        /* "refill" was called and has not stopped */
};

/* dispatch.c */
uint64_t dispatch_token_hash(const struct task_token *t);
struct str dispatch_own_text(struct str s); /* a copy on the heap */
void dispatch_timer_set(struct dispatch *d);
void dtask_unlink(struct dispatch *d,
                  struct dtask *t); /* out of whatever list and count it is in */
void dtask_ready(struct dispatch *d, struct dtask *t, bool front);
void dtask_grant(struct dispatch *d, struct dtask *t, struct dispatch_session *s);
void dispatch_polls_look(struct dispatch *d, const struct dispatch_session *s); /* next flush */
void dtask_heartbeat_restart(struct dispatch *d, struct dtask *t);

void queue_hot(struct dispatch *d, struct dispatch_queue *q);
void dtask_free(struct dispatch *d, struct dtask *t);

/* dispatch_memory.c */
void dtask_drop_texts(struct dispatch *d, struct dtask *t);
/* Texts move into one block owned by the task, unless there are too many: then it keeps none. "wanted":
 * in any case, for a worker waits for them. */
void dtask_keep_texts(struct dispatch *d, struct dtask *t, bool wanted);
/* Is there room for one more token of this queue? Others may be cut for it. */
bool dispatch_room_for(struct dispatch *d, const struct dispatch_queue *q);
/* May it have one that is new, or must that stand behind those in the store? */
bool queue_lets_in(const struct dispatch *d, const struct dispatch_queue *q);
/* The task stays in the store; or, of one that waits for its outcome, nothing but the deadline is kept. */
void dispatch_leave(struct dispatch *d, struct dispatch_queue *q, const struct dispatch_task *t);
void dispatch_leave_deadline(struct dispatch *d, const struct dispatch_task *t);
void queue_fed(struct dispatch *d, struct dispatch_queue *q);   /* has got a token */
void queue_asked(struct dispatch *d, struct dispatch_queue *q); /* a worker wants more of it */
struct wall dispatch_now(const struct dispatch *d);
void dispatch_left_due(struct dispatch *d, struct wall due);
void dispatch_left_expire(struct dispatch *d);

/* dispatch_workers.c */
struct held_claim *held_claim_find(struct dispatch *d, const struct task_token *t);
void held_claim_drop(struct dispatch *d, struct held_claim *c);
void dispatch_lease_renew(struct dispatch *d, struct dtask *t);
void dispatch_leases_expire(struct dispatch *d, struct mono now);
void dispatch_heard(struct dispatch *d, struct dispatch_session *s);
/* What it held goes out again. */
void dispatch_session_free(struct dispatch *d, struct dispatch_session *s);

#endif
