/* Matches open tasks with workers that ask: ready queues, polls, worker sessions, deadlines of
 * attempts, confirmation after a start or takeover. Knows nothing of the wire: the engine turns
 * messages into the calls below and grants into replies. Owned by the front loop.
 *
 * Life of a task here:
 *
 *            CONFIRMING (found in the table after a start or takeover; waits for a worker to say
 *                │       "I hold it", at most until the confirmation time is over)
 *                ▼
 *   new ──▶  READY ──poll──▶ GRANTED to a session ──outcome accepted──▶ gone (dispatch_remove)
 *                ▲               │   │                                     ▲
 *                │               │   └─ it has answered the call ─▶ WAITING ┘
 *                └───────────────┘      (dispatch_submitted; also new or found, where
 *        its lease has run out; its     nobody is to get the task)
 *        connection is gone for longer
 *        than the grace, or was made
 *        anew without naming it
 *
 * A grant is a lease of "lease_us". The worker renews it by naming the token, in HEARTBEAT or in HELLO;
 * nothing else does. A lease that runs out says that the worker is silent, or hangs, or never saw the
 * answer in which the task was granted, however alive its connection is: the task goes out again, and
 * to somebody else, for its polls that wait get nothing until it is heard once more. If
 * the worker had it after all, it takes it back with its next heartbeat while nobody else has it, and
 * its outcome counts when it is the first. (A task with a heartbeat of its own has no lease: where that
 * does not come the attempt fails, as its definition says.)
 *
 * Memory is bounded (INV 10) and shared by queues, so that nobody's backlog stops anybody's work. Of each
 * queue the inputs of its first tasks are kept, of those behind them the token alone: the input is asked
 * for when a worker wants it (HYDRATING). When there are too many tokens the longest queues are cut to an
 * even share. What has no place is left in the store, and found again by scans of the table: when a worker
 * asks at a queue that has few tasks here and some there, and when a deadline of one that was left is due;
 * for all that was left, that one instant is kept. A queue of which tasks were left takes new ones only
 * behind those, so that none waits for ever.
 *
 * An attempt may thus be invoked more than once; its outcome counts once (INV 19). What waits for a callback or
 * for a child execution is held by no worker and goes out no more; only its deadlines are looked after
 * here, and what has none is not kept at all. */
#ifndef CARILLON_SCHEDULER_DISPATCH_H
#define CARILLON_SCHEDULER_DISPATCH_H

#include "base/fault.h"
#include "base/heap.h"
#include "base/loop.h"
#include "base/map.h"
#include "scheduler/lanes.h"
#include "scheduler/storeclock.h"

enum {
    DISPATCH_TASKS_MAX = 200000,        /* tokens that no worker has; some 300 bytes each */
    DISPATCH_BYTES_MAX = 64 << 20,      /* texts of them */
    DISPATCH_QUEUE_BYTES_MAX = 8 << 20, /* of one queue */
    DISPATCH_HYDRATING_MAX = 256, /* inputs asked for at a time: as many bytes again at most */
    DISPATCH_HELD_MAX = 10000,    /* tasks of one session: as many as its HELLO can name */
    DISPATCH_SESSION_GRACE_US = 10 * US_PER_S, /* a lost worker may come back within */
};

/* A task as the engine hands it in. Texts are borrowed for the call (see dispatch_flush). */
struct dispatch_task {
    struct task_token token;
    uint32_t tenant;
    struct str queue, workflow, execution_name, state;
    struct wall timeout_at; /* 0 = none */
    int64_t heartbeat_us;   /* 0 = none */
    bool waits;             /* nobody is to get it: the outcome comes by itself */
    bool has_input;         /* false: found in the table; asked for when a worker wants it */
    struct str input;
};

enum dtask_state { DTASK_CONFIRMING, DTASK_READY, DTASK_HYDRATING, DTASK_GRANTED, DTASK_WAITING };

struct dispatch_session;
struct dispatch_queue;

/* A task in memory. Read-only for the engine. */
struct dtask {
    struct map_node node;
    struct list link;  /* in a ready queue, or in its session's held list */
    struct list lease; /* granted: in dispatch.leases */
    struct mono lease_until;
    struct heap_node deadline; /* earliest of timeout and heartbeat */
    struct dispatch_task t;
    enum dtask_state state;
    struct dispatch_session *session;
    struct dispatch_queue *queue;
    struct wall heartbeat_due; /* 0 = none running */
    bool aside;                /* HYDRATING, and in no list: see dispatch_hydrate_late */
    bool hearsay; /* found in the table, which may have been read before a turn that closed it */
    char *blob;   /* owned copy of the texts; NULL while they are borrowed */
    size_t blob_size;
    struct list borrowed; /* tasks whose texts must be copied by dispatch_flush */
};

/* A poll's place in the line of one queue. */
struct dispatch_poll_at {
    struct list link;
    struct dispatch_poll *poll;
    struct dispatch_queue *queue;
};

/* A worker asking for tasks; embedded by the engine, which keeps it until "answer". */
struct dispatch_poll {
    /* in */
    struct dispatch_session *session;
    uint32_t capacity; /* tasks wanted, at least 1 */
    bool closing;      /* answer at the next flush whatever was found */
    /* Bytes that the answer has left. What is granted is taken off; a poll for whose next task it is too
     * small is answered with what it has. Answers of one frame share it. */
    size_t *room;
    struct dispatch_poll_at *at; /* room for as many as there are queues */
    /* the engine's answer function: granted tasks are in "granted" (link through
     * dispatch_poll_granted), valid during the call only */
    void (*answer)(struct dispatch_poll *p, struct dtask **granted, uint32_t len);
    /* private */
    uint32_t at_len, next;
    struct heap_node deadline;
    struct dtask **granted;
    uint32_t granted_len;
    struct list answered;
    bool active;
};

struct dispatch_handler {
    /* An attempt's time is over: the engine makes it a fact. The task stays until removed. It may have
     * been left in the store, and then be told of more than once. False: too many such facts are on
     * their way, it comes again. */
    bool (*timed_out)(struct dispatch_handler *h, const struct task_token *t, bool heartbeat);
    /* Wants the inputs of these tasks: dispatch_hydrated for each. */
    void (*hydrate)(struct dispatch_handler *h, const struct task_token *tokens, uint32_t len);
    /* Tasks left in the store are wanted: the engine scans the table, from where it stopped last and
     * round and round, for as long as dispatch_wants_more(), and then calls dispatch_refilled(). */
    void (*refill)(struct dispatch_handler *h);
};

struct dispatch;
struct dispatch_config {
    struct loop *loop;
    const struct storeclock *clock; /* of the same loop */
    struct fault_set *faults;
    struct dispatch_handler *handler;
    int64_t lease_us;   /* of a grant that is not renewed */
    size_t task_room;   /* bytes of a poll's room that a task takes beside its texts */
    uint32_t tasks_max; /* 0: DISPATCH_TASKS_MAX */
};

struct dispatch *dispatch_new(const struct dispatch_config *config);
void dispatch_free(struct dispatch *d);
/* Drops every task (ownership lost). Polls and sessions stay. */
void dispatch_clear(struct dispatch *d);
void dispatch_clear_lane(struct dispatch *d, const struct lane *lane);

/* ---- tasks ---- */

/* A task whose turn is durable. Known already: no effect, but that it waits from now on if it says so.
 * Texts may be borrowed until the next dispatch_flush, which copies those of tasks not gone by then. */
void dispatch_add(struct dispatch *d, const struct dispatch_task *t);
/* A task found in the table: waits for confirmation until "confirm_until", then becomes ready. */
void dispatch_found(struct dispatch *d, const struct dispatch_task *t, struct mono confirm_until);
/* The call was answered, durably: nobody holds the task and nobody is to get it (nonce ignored). The
 * answer is a sign of life. Unknown ones are fine. */
void dispatch_submitted(struct dispatch *d, const struct task_token *t);
/* The attempt is closed (outcome durable, or execution stopped). Unknown ones are fine. */
void dispatch_remove(struct dispatch *d, const struct task_token *t);
/* This very attempt (nonce included) is over. Another attempt in its place stays. */
void dispatch_forget(struct dispatch *d, const struct task_token *t);
/* Its worker has been told that there is nothing more to do for this very attempt: nobody holds it now. If
 * it waits for an outcome by token it stays. */
void dispatch_let_go(struct dispatch *d, const struct task_token *t);
/* The scan of "refill" is at the table's beginning; at its end; has stopped. Between beginning and end
 * every task that was left before has been found. */
void dispatch_round_begins(struct dispatch *d);
void dispatch_round_ends(struct dispatch *d);
bool dispatch_wants_more(const struct dispatch *d);
void dispatch_refilled(struct dispatch *d);
/* The input of a task as asked by "hydrate"; NULL: the task is no more. For each that was asked for, either
 * this or dispatch_hydrate_late, which says that the answer may take long: other tasks of the queue are
 * dispatched meanwhile. After that this again, with "late". */
void dispatch_hydrated(struct dispatch *d, const struct task_token *t,
                       const struct dispatch_task *filled, bool late);
void dispatch_hydrate_late(struct dispatch *d, const struct task_token *t);
/* The deadline announced by "timed_out" could not be acted upon: announce it again in a second. */
void dispatch_deadline_again(struct dispatch *d, const struct task_token *t);
struct dtask *dispatch_find(struct dispatch *d, const struct task_token *t);

/* ---- workers ---- */

/* A worker process says hello on a connection: "held" are the tokens it holds. The same instance of
 * the same tenant coming back takes over its session: what it was granted and does not list goes out
 * again. */
struct dispatch_session *dispatch_hello(struct dispatch *d, uint64_t instance, uint32_t tenant,
                                        struct str name, uint64_t conn,
                                        const struct task_token *held, uint32_t held_len);
/* The connection on which the instance said hello last; 0 when it has no session. */
uint64_t dispatch_session_conn(struct dispatch *d, uint64_t instance, uint32_t tenant);
/* The connection is gone: polls on it must have been cancelled; what it held waits for its return. */
void dispatch_lost(struct dispatch *d, struct dispatch_session *s, uint64_t conn);
struct str dispatch_session_name(const struct dispatch_session *s);
uint32_t dispatch_session_tenant(const struct dispatch_session *s);
/* The worker has given a task back without outcome. */
void dispatch_give_back(struct dispatch *d, struct dispatch_session *s, const struct task_token *t);
/* The worker says that it works on the attempt ("s" NULL: no worker does, somebody looks after it). ERR_OK:
 * its clock is restarted, the lease renewed, and an attempt that nobody has is the session's again.
 * ERR_STALE: not known here, or from the table only; the execution knows whether it is open, and if so:
 * dispatch_hold. */
enum err dispatch_heartbeat(struct dispatch *d, struct dispatch_session *s,
                            const struct task_token *t);
/* An attempt that is open, says the execution, and that the worker of the session works on. */
void dispatch_hold(struct dispatch *d, struct dispatch_session *s, const struct dispatch_task *t);

/* Registers the poll for "queues"; answered by a flush when tasks were found, when "closing", or at
 * "until" with what there is. */
void dispatch_poll(struct dispatch *d, struct dispatch_poll *p, const struct str *queues,
                   uint32_t queues_len, struct mono until);
/* Takes the poll back without an answer; what it was granted in this flush goes back. */
void dispatch_poll_cancel(struct dispatch *d, struct dispatch_poll *p);

/* Matches, answers polls that are due, copies texts of what waits. Called by the engine at the end
 * of each batch of events. */
void dispatch_flush(struct dispatch *d);

struct dispatch_stats {
    size_t tasks, ready, granted, confirming, waiting, polls, sessions, bytes;
    bool overflow; /* some are left in the store */
};
void dispatch_stats(const struct dispatch *d, struct dispatch_stats *out);

#endif
