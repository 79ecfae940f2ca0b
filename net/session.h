/* A client's session with the cluster: one connection at a time, moved from node to node; requests
 * that are repeated until they are answered. On the ports (loop, transport) alone, so it runs in
 * the simulator as in libcarillon. Everything on the loop.
 *
 *            address due             HELLO_OK active
 *   WAITING ------------> DIALING ------------------> READY ---- node leaves ----> LEAVING
 *      ^                     | no answer, standby       | down, an answer is overdue   |
 *      +---------------------+--------------------------+------------------------------+
 *
 * A request in flight when the connection goes is in doubt; it is sent again, as it was, to whatever
 * node comes next: safe, because starts carry names and outcomes carry tokens. Errors of
 * class RETRY, LIMIT and UNKNOWN are repeated with back-off, all others are the answer. A request
 * ends with its own deadline: with what kept it from being answered (ERR_TIMEOUT when it may have
 * been done).
 *
 * Requests queued while frames are under way travel together in the next frame; those that may
 * wait at the node ("alone") have frames of their own. */
#ifndef CARILLON_NET_SESSION_H
#define CARILLON_NET_SESSION_H

#include "base/list.h"
#include "base/loop.h"
#include "net/msg.h"
#include "net/route.h"
#include "net/transport.h"

struct session_request;

/* The answer: "reply" (ERR_OK only) and the texts of "error" are borrowed for the call. "error" is
 * the node's ERROR message when there was one. The request is the caller's again. */
typedef void (*session_done_fn)(struct session_request *r, enum err e, const struct msg *reply,
                                const struct msg_error *error);

/* Embedded by the caller and lent until "done". */
struct session_request {
    struct msg msg; /* texts and lists borrowed until "done"; corr is the session's */
    session_done_fn done;
    struct mono deadline; /* us 0: none */
    bool alone;           /* a frame of its own: it may wait at the node */
    uint32_t wait_ms;     /* how long it may wait there */
    /* private */
    struct list link;
    struct mono not_before;
    struct session_frame *frame;
    uint32_t repeats;
    enum err last; /* why it was not answered yet */
    bool in_doubt; /* it may have been done by a node that did not say so */
};

struct session_handler {
    /* HELLO was answered: the limits of this node. */
    void (*up)(struct session_handler *h, const struct msg_hello_ok *hello);
    void (*down)(struct session_handler *h);
    /* Tokens for HELLO's list; borrowed until the function is called again. May be NULL. */
    uint32_t (*held)(struct session_handler *h, const struct task_token **tokens);
};

enum session_state { SESSION_WAITING, SESSION_DIALING, SESSION_READY, SESSION_LEAVING };

enum {
    SESSION_FRAMES_MAX = 3,        /* frames of ordinary requests under way */
    SESSION_ALONE_MAX = 40,        /* frames of waiting requests; together < NET_INFLIGHT_MAX */
    SESSION_FRAME_BYTES = 1 << 20, /* a frame is closed above this */
    SESSION_CONNECT_MS = 3000,     /* for connection and HELLO */
    SESSION_ANSWER_MS = 10000, /* a frame not answered in this (plus its wait): the node is dead */
    SESSION_LEAVE_MS = 1000,   /* for what is in flight at a node that goes away */
};

struct session_config {
    struct transport *transport;
    struct loop *loop;
    struct str addresses; /* comma-separated */
    struct str name, tenant;
    uint64_t instance;               /* random, of the process */
    uint64_t seed;                   /* for jitter */
    struct session_handler *handler; /* may be NULL */
};

struct session_stats {
    uint64_t connects, frames, requests, repeats;
};

struct session;
/* Starts to connect at once. ERR_INVALID: addresses; ERR_TOO_LARGE: name or tenant too long. */
enum err session_new(const struct session_config *c, struct session **out,
                     struct err_detail *d) MUST_CHECK;
/* Ends every request with ERR_UNAVAILABLE, or ERR_TIMEOUT if it may have been done; frees. Not from
 * within "done" or a handler. */
void session_free(struct session *s);
/* Queues the request. "done" never comes before it returns. */
void session_send(struct session *s, struct session_request *r);
/* Ends the request without "done", wherever it is; no effect when it is not under way. */
void session_cancel(struct session *s, struct session_request *r);
enum session_state session_state(const struct session *s);
/* Why there is no connection, for people: "" when there is. */
const char *session_why(const struct session *s);
struct mono session_last_sent(const struct session *s); /* us 0: nothing yet */
struct session_stats session_stats(const struct session *s);
struct loop *session_loop(const struct session *s);

#endif
