/* What the files of the admin share (admin.c, admin_route.c, admin_api.c, admin_state.c); nobody else
 * includes it. Everything on the admin loop. */
#ifndef CARILLON_CMD_ADMIN_INTERNAL_H
#define CARILLON_CMD_ADMIN_INTERNAL_H

#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/admin.h"
#include "cmd/metrics.h"
#include "engine/core/core.h"

#include <stdatomic.h>

enum { ADMIN_ARGS_MAX = 2, ADMIN_ID_SIZE = 17 };

/* A loop that is watched: a task goes there once a second and notes the time. */
struct pulse {
    struct loop_task task;
    struct loop *loop;
    _Atomic int64_t seen_us;
    atomic_bool posted;
};

/* One request being served. */
struct admin_call {
    struct admin *admin;
    struct http_request *http;
    const struct admin_route *route;
    struct list link; /* admin.calls */
    struct arena arena;
    char id[ADMIN_ID_SIZE];          /* of the request, for logs and problems */
    struct str args[ADMIN_ARGS_MAX]; /* what stands for {x} in the path, decoded */
    struct str tenant;
    struct str filters; /* what the page tokens of a list are bound to */
    struct mono since;
    bool repeatable; /* the same request again has no second effect */
    struct http_answer answer;
    /* Why it is refused, when a handler returns an error; the status is the error's own unless set. */
    struct err_detail d;
    int status;
    uint32_t retry_after_ms;
    const struct msg_problem *problems;
    uint32_t problems_len;
    /* A handler that sets "tell" asks the engine: engine.ask goes there, "tell" makes the answer. */
    void (*tell)(struct admin_call *c, const struct msg *m);
    struct engine_call engine;
};

struct admin {
    struct admin_config c;
    struct http_handler handler;
    struct http_server *server; /* NULL: not listening */
    struct rng rng;
    struct list calls;
    uint32_t inside;   /* of them in the engine */
    bool local_only;   /* listens on the loopback: strangers' names are refused */
    _Atomic int state; /* enum owner_state */
    atomic_bool draining, started;
    bool stopping;
    struct loop_task start, stop;
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct loop_timer beat;
    struct pulse pulses[ADMIN_LOOPS_MAX];
    struct arena texts;
};

/* admin.c: answers. The body, if any, is written to c->answer.body. */
void answer_json(struct admin_call *c, int status); /* what stands in the body */
void answer_header(struct admin_call *c, const char *name, struct str value);
/* Refuses: "return refuse(c, ERR_INVALID, "...")" in a handler. */
enum err refuse(struct admin_call *c, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
enum err refuse_as(struct admin_call *c, int status, enum err e, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* admin_route.c */
const struct admin_route *route_find(struct admin_call *c); /* NULL: refused, c->d says why */
size_t route_body_max(const struct http_request *r);
/* Parameters of the query. Each names where its decoded value goes; others are refused, as is one that
 * comes twice. "tenant" is always allowed. */
struct param {
    const char *name;
    struct str *value; /* p == NULL: not given */
};
enum err query_read(struct admin_call *c, const struct param *params, size_t len) MUST_CHECK;
enum err page_size_read(struct admin_call *c, struct str text, uint32_t *out) MUST_CHECK;
/* Page tokens carry a cursor and are good only for a list with the same c->filters. */
struct str page_token_make(struct admin_call *c, struct str cursor);
enum err page_token_read(struct admin_call *c, struct str token, struct str *cursor) MUST_CHECK;

/* The handlers, one for each row. */
#define ROUTE(method, path, handler, right, body_max, help) \
    enum err route_##handler(struct admin_call *c);
#include "cmd/admin_routes.def"
#undef ROUTE

#endif
