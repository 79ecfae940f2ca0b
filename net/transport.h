/* Port: messages between clients or peers and this node. Request and reply: a listener receives
 * requests from many connections and may answer each once, in any order, at any later time; a dialer
 * sends requests to one address and receives replies. Payloads are opaque bytes.
 *
 * Implementations: transport_nng.c (nng's wire format of REQ and REP: an ordinary nng REQ socket
 * of any language is a client) and tests/sim/sim_net.c. Library threads only hand over: every
 * callback below runs on the owner's loop, and every function below is called there. Bounds:
 * MESSAGE_SIZE_MAX a message, NET_INFLIGHT_MAX unanswered requests a connection (one more closes
 * the connection: a client that broke the protocol), CONN_BYTES_MAX bytes of a connection (with more it
 * is not read from, so its sender waits) and LISTENER_BYTES_MAX of all (then the connection that holds most
 * is closed). Callbacks may call any function here, close included. */
#ifndef CARILLON_NET_TRANSPORT_H
#define CARILLON_NET_TRANSPORT_H

#include "base/loop.h"
#include "base/str.h"

enum {
    /* Unanswered requests of one connection, and replies that the other end has not fetched. Below
     * 64, because nng's own REP socket drops replies without a word when 64 of them wait. */
    NET_INFLIGHT_MAX = 48,
};

/* One request received; opaque; owned by the receiver until net_reply or net_drop. */
struct net_request {
    uint64_t conn;   /* id of the connection; never reused */
    struct str body; /* borrowed from the request until it is answered or slimmed */
    void *impl[6];   /* private: nng message, routing header */
    void *user;      /* for the receiver */
};

struct net_listener;
struct net_listener_ops {
    /* Answers and frees the request. "body" is copied. On the loop only. If the connection is gone
     * the answer is dropped silently (net_handler.closed has told). */
    void (*reply)(struct net_listener *l, struct net_request *r, struct str body);
    void (*drop)(struct net_listener *l, struct net_request *r); /* frees without an answer */
    /* The receiver has no more use for the body, though the answer is to come much later: its bytes are
     * freed, and count no more. The request, which may have moved; its body is empty. */
    struct net_request *(*slim)(struct net_listener *l, struct net_request *r);
    void (*disconnect)(struct net_listener *l, uint64_t conn);
    /* No callback after it returns. Requests still held stay readable and must still be answered
     * or dropped (nothing is sent any more). */
    void (*close)(struct net_listener *l);
};
struct net_listener {
    const struct net_listener_ops *ops;
    struct str address; /* the bound address (port 0 resolved) */
};

struct net_handler {
    void (*request)(struct net_handler *h, struct net_request *r); /* takes r */
    void (*closed)(struct net_handler *h, uint64_t conn);
};

struct net_dialer;
struct net_dialer_ops {
    /* Sends; "body" is copied. Replies carry "id" back. ERR_LIMIT: NET_INFLIGHT_MAX are in
     * flight; ERR_UNAVAILABLE: not connected; ERR_TOO_LARGE. */
    enum err (*send)(struct net_dialer *d, uint64_t id, struct str body);
    void (*close)(struct net_dialer *d); /* no callback after it returns */
};
struct net_dialer {
    const struct net_dialer_ops *ops;
};
struct net_dial_handler {
    /* Connected; again after each "down", as long as the dialer is open (it redials by itself). */
    void (*up)(struct net_dial_handler *h);
    void (*down)(struct net_dial_handler *h); /* what was in flight is in doubt */
    void (*reply)(struct net_dial_handler *h, uint64_t id, struct str body);
    /* One attempt to connect has failed (the dialer tries again by itself). May be NULL; an
     * implementation that cannot tell does not call it. */
    void (*refused)(struct net_dial_handler *h, enum err e);
};

struct transport;
struct transport_ops {
    /* "address": "tcp://127.0.0.1:7070" (port 0: any), "ipc:///path". The detail of an error says
     * why; the address is the caller's to say. */
    enum err (*listen)(struct transport *t, struct loop *loop, struct str address,
                       struct net_handler *h, struct net_listener **out, struct err_detail *d);
    enum err (*dial)(struct transport *t, struct loop *loop, struct str address,
                     struct net_dial_handler *h, struct net_dialer **out, struct err_detail *d);
};
struct transport {
    const struct transport_ops *ops;
};

struct transport *transport_nng(void); /* static */
/* One with bounds of its own in place of CONN_BYTES_MAX and LISTENER_BYTES_MAX; mem_free(). */
struct transport *transport_nng_sized(size_t conn_bytes, size_t listener_bytes);

#endif
