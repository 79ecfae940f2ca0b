/* What client.c and client_worker.c share: nobody else includes it. */
#ifndef CARILLON_NET_CLIENT_INTERNAL_H
#define CARILLON_NET_CLIENT_INTERNAL_H

#include "base/thread.h"
#include "carillon/carillon.h"
#include "net/session.h"

#include <stdatomic.h>

/* How calls that are waited for together tell that the last one is done. */
struct waiter {
    struct latch latch;
    _Atomic size_t left;
};

struct call {
    struct session_request request;
    struct call *next;
    int64_t timeout_us; /* 0: none */
    /* On the loop: keeps the answer (or the error) where the caller wants it. Returns the code. */
    int (*keep)(struct call *c, const struct msg *reply);
    void *out;
    void (*keep_error)(struct call *c, const struct msg_error *e);
    void *error_out;
    struct waiter *waiter;            /* NULL: asynchronous */
    void (*finished)(struct call *c); /* asynchronous */
    int code;
    carillon_error error;
};

struct carillon_client {
    struct loop *loop; /* a thread of its own: all sessions of this client run there */
    struct session *session;
    struct session_handler handler;
    char *addresses, *name, *tenant;
    int64_t timeout_us;
    struct mutex mutex;
    struct cond changed;                  /* ready */
    struct call *first GUARDED_BY(mutex); /* calls on their way to the loop */
    struct call **last GUARDED_BY(mutex); /* where the next one is linked */
    bool posted GUARDED_BY(mutex);
    bool ready GUARDED_BY(mutex);
    bool closing; /* the loop's */
    struct loop_task intake;
    _Atomic int waiting; /* carillon_wait calls under way */
};

/* Runs fn on the client's loop and waits for it. Not from the loop. */
void client_on_loop(struct carillon_client *c, void (*fn)(void *arg), void *arg);
/* Fills "error" (may be NULL); returns the code. */
int client_error(carillon_error *error, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
int client_error_of(carillon_error *error, enum err e, const struct err_detail *d);
/* "timeout_ms" from now on the monotonic clock, in microseconds; who asks for more than a thousand
 * years gets those. */
int64_t client_until_us(int64_t timeout_ms);
/* Copies on the heap, NUL-terminated; NULL when memory is gone or there is nothing to copy. */
char *client_strdup(const char *s);
char *client_dup(struct str s);
/* Zeroes the call and gives it the client's time-out. */
void client_call_init(struct call *c, struct carillon_client *client, enum msg_type type);
/* Sends it and waits for the end; returns the code. "error" may be NULL. */
int client_call_wait(struct carillon_client *client, struct call *c, carillon_error *error);

#endif
