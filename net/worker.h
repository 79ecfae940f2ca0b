/* A worker: takes tasks from queues, hands in their outcomes, keeps what it holds alive. Pure over
 * session.h; everything on the loop. It does not run anything itself: its owner gets each task
 * and gives back its outcome, now or later.
 *
 * At most three POLLs are under way: one long poll for work, and two with outcomes. Outcomes leave at
 * once while one of those two is free; what finishes meanwhile goes together in the next. A POLL with
 * outcomes also asks for as many tasks as there are free places, so a worker of one place makes one
 * round trip per step. Outcomes are repeated until the node has acknowledged or refused them.
 *
 * What is held for longer than half of the node's heartbeat is named in HEARTBEATs, however busy the
 * owner and its places are: else the node gives it to another worker. */
#ifndef CARILLON_NET_WORKER_H
#define CARILLON_NET_WORKER_H

#include "base/map.h"
#include "net/session.h"

struct worker;

struct worker_task {
    struct msg_task task; /* texts live as long as this */
    bool cancelled;       /* a heartbeat was answered with "stale" or "stopped" */
    void *user;           /* for the owner */
    /* private */
    struct map_node node;
    struct list link;
    struct arena arena;
    struct msg_completion completion;
    struct mono named, not_before; /* named: to the node, as held */
    uint32_t tries;
    uint8_t state;
};

struct worker_handler {
    /* A task to do. Ends with worker_outcome and worker_complete, or with worker_give_back, maybe
     * within this call. */
    void (*task)(struct worker_handler *h, struct worker_task *t);
    /* Its outcome is not wanted any more; it must still be ended. May be NULL. */
    void (*cancelled)(struct worker_handler *h, struct worker_task *t);
    /* After worker_drain: nothing is held, all outcomes are acknowledged. May be NULL. */
    void (*drained)(struct worker_handler *h);
    /* What became of an outcome: ERR_OK, ERR_STALE, ... The task is freed afterwards. May be NULL. */
    void (*settled)(struct worker_handler *h, struct worker_task *t, enum err e);
};

struct worker_config {
    struct session_config session; /* "handler" is the worker's own */
    const struct str *queues;      /* copied */
    uint32_t queues_len;           /* 1 .. MSG_QUEUES_MAX */
    uint32_t concurrency;          /* tasks held at once, 1 .. POLL_TASKS_MAX */
    struct worker_handler *handler;
};

enum {
    WORKER_POLL_WAIT_MS = 20000,                /* of the long poll */
    WORKER_POLL_BYTES = 1 << 20,                /* outcomes of one POLL */
    WORKER_TASK_BYTES_MAX = 3 * STATE_SIZE_MAX, /* texts of one task: input, output, small ones */
};

struct worker_stats {
    uint64_t tasks, acked, stale, polls, heartbeats, duplicates;
};

enum err worker_new(const struct worker_config *c, struct worker **out,
                    struct err_detail *d) MUST_CHECK;
/* Closes the connection and forgets everything; tasks not ended yet are freed: the owner must not
 * touch them any more. Not from within a handler. */
void worker_free(struct worker *w);
/* The outcome of a task: "output" (JSON text) for a success, "error" and "cause" for a failure; each
 * is copied once, into the task. ERR_TOO_LARGE, ERR_MALFORMED (not UTF-8), ERR_LIMIT (no memory):
 * the task has no outcome, the owner may try another. Of any thread: until it is handed in, the
 * task is its owner's alone. */
enum err worker_outcome(struct worker_task *t, bool success, struct str output, struct str error,
                        struct str cause) MUST_CHECK;
/* Hands in the outcome that worker_outcome has set; takes the task. */
void worker_complete(struct worker *w, struct worker_task *t);
/* Back to the queue, without an outcome; takes the task. */
void worker_give_back(struct worker *w, struct worker_task *t);
/* Takes no more tasks. Tells handler.drained when everything is finished. */
void worker_drain(struct worker *w);
uint32_t worker_held(const struct worker *w); /* tasks given to the owner and not ended */
struct worker_stats worker_stats(const struct worker *w);
struct session *worker_session(struct worker *w);

#endif
