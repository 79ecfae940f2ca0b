/* What http_mhd.c (requests, answers, the library) and http_mhd_conn.c (connections: accepting,
 * deadlines, ends) share; nobody else includes it. Everything on the server's loop.
 *
 *   HEADER ──header──▶ BODY ──all of it──▶ INSIDE ──answer──▶ ANSWER ──sent──▶ HEADER
 *   header_us, idle_us  header_us + size/rate  (receiver's)   idle_us + size/rate */
#ifndef CARILLON_NET_HTTP_MHD_INTERNAL_H
#define CARILLON_NET_HTTP_MHD_INTERNAL_H

#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http.h"
#include "net/metrics.h"

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

enum {
    HTTP_ACCEPT_MAX = 64, /* connections accepted at a time */
    HTTP_PEER_SIZE = 46,  /* INET6_ADDRSTRLEN */
};

enum phase { HEADER, BODY, INSIDE, ANSWER };

struct server;
struct request;

struct conn {
    struct list link; /* server.conns */
    struct server *server;
    struct MHD_Connection *mhd;
    int fd;
    enum phase phase;
    bool fresh;        /* has had no request yet */
    bool begun;        /* HEADER: bytes of the next request have come */
    bool cut;          /* closed by us; the library has not noticed yet */
    struct mono since; /* of the phase; HEADER: of its first byte when it has begun */
    uint64_t received; /* bytes on the socket when the last answer was given */
    uint64_t sent;     /* bytes on the socket when the phase HEADER began */
    size_t answer_size;
    struct request *request;
    uint8_t budget[16]; /* the address that the connection counts for */
    char peer[HTTP_PEER_SIZE];
};

struct request {
    struct http_request base;
    struct conn *conn;
    struct MHD_Connection *mhd;
    char *target;       /* as it came */
    size_t line_size;   /* of the request line, as far as known */
    struct arena arena; /* texts of the fields */
    struct buf body;
    size_t body_max;
    size_t got;     /* bytes of the body that have come */
    bool announced; /* the header has been looked at */
    bool calling;   /* the receiver is being called */
    bool suspended;
    bool close; /* the connection cannot go on: its framing is in doubt */
    struct MHD_Response *answer;
    int status;
};

struct server {
    struct http_server base;
    struct loop *loop;
    struct http_handler *handler;
    struct http_limits limits;
    struct MHD_Daemon *mhd;
    struct loop_fd listening, events;
    struct loop_task again;   /* the library has more to do */
    struct loop_timer paused; /* it says so, and does nothing */
    bool again_posted, accept_paused;
    uint64_t calls, calls_seen; /* of its callbacks, so far and at the last turn */
    uint32_t idle_turns;
    bool closed; /* freed with the task that is posted, or at once */
    struct loop_timer sweep;
    struct list conns;
    uint32_t conns_len, cuts;   /* open; of them cut */
    uint32_t held;              /* requests not answered yet */
    size_t bodies, bodies_peak; /* bytes; the most since memory was given back */
    struct conn *accepting;
    char address[HTTP_PEER_SIZE + 16];
};

/* http_mhd.c */
void http_run(struct server *s); /* lets the library do what there is to do */

/* http_mhd_conn.c */
void conn_phase(struct conn *c, enum phase phase);
/* Ends a connection from our side; with a status when the peer may still be reading. The library
 * finds it closed and frees it. */
void conn_cut(struct conn *c, int status, struct metric *reason);
/* The library has done with a request, or closes the socket. When it could not make sense of what came
 * it does so without a word: then the status is said here. */
void conn_closing(struct conn *c);
void conns_accept(struct server *s); /* begins to; s->listening.fd listens */
void conns_stop(struct server *s);   /* no more accepting, no more sweeping */

#endif
