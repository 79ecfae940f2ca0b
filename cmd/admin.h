/* The operators' HTTP interface of a node: health, metrics, executions, workflows, cluster. Owned by a
 * loop of its own, so that neither a hostile peer nor a long answer touches a turn, and health can
 * be told while another loop is stuck.
 *
 *   http ──request──▶ route ──▶ answer                    health, metrics, index: at once
 *                        └──message──▶ engine ──▶ answer  all else: engine_submit(), one message
 *
 * Routes are rows of admin_routes.def. Requests waiting in the engine are bounded: one more is answered
 * 503 with Retry-After. Errors are problems (RFC 9457) with the name of the error as "code". */
#ifndef CARILLON_CMD_ADMIN_H
#define CARILLON_CMD_ADMIN_H

#include "engine/engine.h"
#include "net/http.h"

enum {
    ADMIN_BODY_MAX = 1 << 20,
    ADMIN_DEFINITION_MAX = 8 << 20, /* larger ones than DEFINITION_SIZE_MAX hear why */
    ADMIN_PAGE_MAX = MSG_ROWS_MAX,
    ADMIN_PAGE_DEFAULT = 100,
    ADMIN_LOOPS_MAX = ENGINE_SHARDS_MAX + 4,
    ADMIN_LIVE_US = 5 * US_PER_S,
};

/* What to do when the address is taken. */
enum admin_taken {
    ADMIN_TAKEN_FAIL,     /* the node does not start */
    ADMIN_TAKEN_OFF,      /* it starts without, and says so */
    ADMIN_TAKEN_ANY_PORT, /* any free port of that host */
};

/* Facts about the process, for /metrics. */
struct admin_process {
    int64_t cpu_us, resident_bytes, virtual_bytes, open_fds, max_fds, start_s;
};

struct admin_config {
    struct loop *loop;
    struct http *http;
    struct engine *engine;
    uint64_t seed; /* request ids */
    struct str listen;
    enum admin_taken taken;
    uint32_t queue_max; /* threadPools.http.queueCapacity: requests waiting in the engine */
    struct str version, database;
    bool replicated; /* a quorum standby confirms commits */
    /* Loops whose turning over makes the node live. */
    struct loop *watched[ADMIN_LOOPS_MAX];
    uint32_t watched_len;
    void (*process)(struct admin_process *out); /* NULL: no process_* metrics */
    /* On the admin loop, once: listening at "address"; or not, and why; ERR_OK with an empty address:
     * it goes without. */
    void (*started)(void *arg, enum err e, struct str address, const struct err_detail *d);
    void *arg;
};

struct admin;
struct admin *admin_new(const struct admin_config *config);
void admin_start(struct admin *a);
/* Any thread. */
void admin_state(struct admin *a, enum owner_state s);
void admin_drain(struct admin *a); /* not ready from this moment on */
/* When the engine has stopped: waits for answers under way, closes, then "done" on the admin loop. Any
 * thread, once. */
void admin_stop(struct admin *a, void (*done)(void *arg), void *arg);
/* After "done" (or before admin_start), when all loops have ended. */
void admin_free(struct admin *a);

/* ---- the table, for documents and tests ---- */

enum admin_right { ADMIN_NONE, ADMIN_VIEW, ADMIN_OPERATE, ADMIN_ADMIN };
struct admin_call;
struct admin_route {
    enum http_method method;
    const char *path;
    enum err (*handle)(struct admin_call *c);
    enum admin_right right;
    size_t body_max;
    const char *help;
};
const struct admin_route *admin_route_at(size_t i); /* NULL past the last */
const char *admin_right_name(enum admin_right r);
struct str admin_openapi(void); /* the text of docs/openapi.json */

#endif
