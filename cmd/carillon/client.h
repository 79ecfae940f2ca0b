/* Inside the client library: requests and the connection (client.c), the public calls
 * (client_calls.c), the worker (client_worker.c). Everything runs on the client's one loop; public
 * functions post and, where they block, wait on a latch. */
#ifndef CARILLON_CMD_CARILLON_CLIENT_LOOP_H
#define CARILLON_CMD_CARILLON_CLIENT_LOOP_H

#include "base/heap.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/thread.h"
#include "cmd/carillon/carillon_client.h"
#include "net/msg.h"
#include "net/transport.h"

enum {
    CLIENT_FRAMES_MAX = 4,        /* of short requests under way at a time */
    CLIENT_ALONE_MAX = 24,        /* long ones (polls, watches) */
    CLIENT_FRAME_BYTES = 1 << 20, /* a frame is sent when it has so many */
    CLIENT_ADDRESSES_MAX = 64,
    CLIENT_CONNECT_US = 1 * US_PER_S, /* then the next address is tried */
    CLIENT_BACKOFF_MIN_US = 20 * US_PER_MS,
    CLIENT_BACKOFF_MAX_US = 1 * US_PER_S,
};

struct carillon;

/* One request. The maker fills msg (texts from its arena), alone, retries, deadline and done. */
struct creq {
    struct list link;     /* client.queue, client.later or cframe.reqs */
    struct map_node node; /* by corr while in a frame */
    struct heap_node expiry;
    struct loop_task task; /* submission */
    struct carillon *client;
    struct arena arena;
    struct msg msg;
    bool alone;  /* may wait at the node: travels in a frame of its own */
    bool repeat; /* in doubt: send again; else "done" hears of it */
    bool sent;   /* at least once: it may have happened */
    struct mono deadline, not_before;
    /* On the loop, exactly once. "m": the answer (may be MSG_ERROR, then "e" is its code), valid during
     * the call; NULL when there is none. The request is free afterwards. */
    void (*done)(struct creq *r, enum err e, const struct msg *m);
    void *arg;
};

struct cframe {
    struct list link;
    uint64_t id;
    struct list reqs;
    bool alone;
};

struct carillon_worker;

struct carillon {
    struct loop *loop;
    struct rng rng;
    struct arena texts;
    struct str addresses[CLIENT_ADDRESSES_MAX];
    uint32_t addresses_len, address; /* the one in use */
    struct str name, tenant;
    int64_t timeout_us;
    uint64_t instance, next_corr, next_frame;
    struct net_dialer *dialer;
    struct net_dial_handler handler;
    bool up, ready, closing;
    struct loop_timer connect_timer, expiry_timer, later_timer;
    int64_t backoff_us;
    struct list queue, later, frames;
    uint32_t frames_len, alone_len;
    struct map by_corr;
    struct heap expiries;
    struct loop_task pump;
    bool pumping;
    struct carillon_worker *worker;
    struct loop_task start_task, close_task;
    struct latch closed;
};

/* client.c */
struct creq *creq_new(struct carillon *c, enum msg_type type,
                      void (*done)(struct creq *, enum err, const struct msg *), void *arg);
void creq_free(struct creq *r);
/* From any thread / from the loop. */
void creq_submit(struct creq *r);
void creq_queue(struct creq *r);
/* On the loop: "done" runs now; an answer that still comes is ignored. */
void creq_cancel(struct creq *r);
void client_pump(struct carillon *c);
/* Sets this thread's error text; returns "e". */
int client_fail(enum err e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* client_worker.c */
uint32_t worker_held(struct carillon_worker *w, struct arena *a, const struct task_token **out);
void worker_ready(struct carillon_worker *w); /* connected: polls may go */
void worker_lost(struct carillon_worker *w);  /* the connection is gone */

#endif
