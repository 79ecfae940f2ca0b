/* What dispatch.c (tasks, queues, polls, time) and dispatch_workers.c (sessions) share; nobody else
 * includes it. */
#ifndef CARILLON_SCHEDULER_DISPATCH_INTERNAL_H
#define CARILLON_SCHEDULER_DISPATCH_INTERNAL_H

#include "scheduler/dispatch.h"

struct dispatch_queue {
    struct map_node node;
    uint32_t tenant;
    struct str name;   /* owned */
    struct list ready; /* dtask.link */
    struct list polls; /* dispatch_poll_at.link, oldest first */
    struct list hot;   /* in dispatch.hot: something to match may be here */
    size_t ready_len, tasks_len;
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
    struct heap deadlines;      /* dtask.deadline, store time */
    struct heap poll_deadlines; /* dispatch_poll.deadline, monotonic */
    struct heap lost;           /* dispatch_session.lost_until, monotonic */
    struct list leases;         /* dtask.lease, the one that runs out first in front */
    struct mono lease_grace;    /* none runs out before: this loop had not listened */
    struct list confirming;     /* dtask.link, in order of arrival */
    struct mono confirm_until;
    struct list answered; /* polls to answer in this flush */
    struct list hot;      /* queues to match in this flush */
    struct list borrowed; /* dtask.borrowed */
    struct loop_timer timer;
    struct mono timer_due;
    size_t bytes, ready, granted, confirming_len, waiting, polls;
    bool overflow;
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

/* dispatch_workers.c */
struct held_claim *held_claim_find(struct dispatch *d, const struct task_token *t);
void held_claim_drop(struct dispatch *d, struct held_claim *c);
void dispatch_lease_renew(struct dispatch *d, struct dtask *t);
void dispatch_leases_expire(struct dispatch *d, struct mono now);
void dispatch_heard(struct dispatch *d, struct dispatch_session *s);
/* What it held goes out again. */
void dispatch_session_free(struct dispatch *d, struct dispatch_session *s);

#endif
