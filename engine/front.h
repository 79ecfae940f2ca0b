/* The front: connections, frames, sessions of workers, dispatch. Shared by front.c, client_api.c,
 * worker_api.c, read_api.c, local.c and engine.c; nobody else includes it. Everything on the front
 * loop.
 *
 * A frame holds requests; each becomes a call; the frame is answered when its last call is. Texts
 * of a request are borrowed from the frame's bytes all the way into the turn that folds them. Where a
 * frame came from, a client's connection or this process (local.c), only its "end" knows. */
#ifndef CARILLON_ENGINE_FRONT_H
#define CARILLON_ENGINE_FRONT_H

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/defs.h"
#include "engine/engine.h"
#include "engine/marks.h"
#include "engine/metrics.h"
#include "engine/shard.h"
#include "net/msg.h"
#include "scheduler/dispatch.h"

struct front;

/* A connection that has said hello. */
struct conn {
    struct map_node node;
    uint64_t id;
    struct dispatch_session *session; /* NULL before hello */
    uint64_t instance;                /* these three never change after the first hello */
    uint32_t tenant;
    struct str name;     /* owned */
    struct list polls;   /* poll.link: waiting in dispatch */
    struct list watches; /* call.watch: waiting in shards */
    struct list frames;  /* frame.link: not answered yet */
    uint32_t told;       /* front_state that it knows of */
    size_t answers;      /* bytes of them in frames that are not complete */
    uint32_t calls;      /* open, and outcomes and tokens asked about: see call_charge */
    bool closed;         /* gone; freed with its last frame */
    bool local;          /* stands for this process: not in front.conns, says no hello */
};

struct frame {
    struct front *front;
    struct conn *conn;
    struct net_request *request; /* of a client: holds the body */
    struct str body;
    struct list link;   /* conn.frames */
    struct arena arena; /* decoded lists, calls, texts of answers */
    struct buf out;
    /* All calls are answered and "out" is complete, or empty: sends it, frees the frame. */
    void (*end)(struct frame *fr);
    struct msg_writer writer;
    uint32_t open;   /* calls not answered, +1 while it is being read */
    uint32_t pins;   /* calls that refer to the body, +1 likewise */
    size_t begun;    /* bytes of "out" before the first answer */
    size_t promised; /* bytes of "out" kept for answers that wait for their last part */
    size_t room;     /* bytes of "out" that are left for others, tasks above all */
};

/* One request of a frame. Lives in the frame's arena. */
struct call {
    struct frame *frame;
    struct msg msg;
    struct item item;   /* of calls that ask a shard one thing */
    struct arena arena; /* outputs of a store request */
    bool has_arena;
    uint32_t charge;   /* its part of conn.calls */
    uint32_t promised; /* its part of frame.promised */
    bool pinned;       /* it refers to the frame's body */
    bool waits;        /* for something outside: no burden (front.parked) */
    struct list watch; /* in conn.watches */
    struct watch_end watch_end;
};

struct front {
    struct engine *engine;
    struct loop *loop;
    struct store *store;
    struct fault_set *faults;
    struct net_listener *listener;
    struct net_handler handler;
    struct dispatch *dispatch;
    struct dispatch_handler dispatch_handler;
    struct defs *defs;
    struct lanes lanes;
    struct storeclock clock;
    struct rng rng;
    struct map conns;
    struct map tenants;       /* names known: client_api.c */
    struct map starting;      /* starts under way by key: starts.c */
    struct list asking_later; /* tasks whose input could not be had yet: worker_api.c */
    enum owner_state state;
    struct str other_node;
    bool going_away;
    bool ending; /* waits are being ended: not again from within */
    struct loop_task flush;
    bool flush_posted;
    uint32_t requests; /* calls and items open */
    uint32_t parked;   /* of them those that wait: no burden */
    uint32_t calls;    /* conn.calls of all */
    uint32_t timeouts; /* facts about attempts out of time under way */
    struct mono
        confirm_until; /* tasks found are not given out before: workers say what they hold */
    struct refill *refill;
    struct marks *marks;     /* in histories: read_api.c */
    struct list histories;   /* wait to be read: likewise */
    uint32_t histories_open; /* are being read */
    struct list describes;   /* wait to be asked: client_api.c */
    uint32_t describes_open; /* are being asked */
    uint64_t answers;        /* conn.answers of all */
    struct granted *granted; /* where answers to polls are put together: worker_api.c */
    uint32_t recoveries;
    uint32_t lives; /* incarnations so far; shards count the same news before */
    struct letters {
        struct list
            unread; /* executions that could not read what they were told: looked at again */
        uint32_t unread_len;
        struct loop_timer again;
    } letters; /* letters.c */
    struct children {
        struct map jobs;     /* child executions to be started, by token */
        struct list pending; /* child_job.link */
        struct list later;   /* likewise: when "again" fires */
        struct loop_timer again;
        uint32_t active;
        bool overflow; /* some were left in the store */
    } children;        /* children.c */
};

/* front.c */
void front_init(struct front *f, struct engine *e);
void front_fini(struct front *f);
enum err front_listen(struct front *f, struct err_detail *d);
void front_report(struct front *f, struct report *r);
/* One of the engine's own: it does it itself. */
static inline bool task_is_own(const struct dispatch_task *t)
{
    return t->queue.size > 0 && t->queue.p[0] == QUEUE_OWN_MARK;
}
void task_arrived(struct front *f, const struct dispatch_task *t);
void front_stop(struct front *f); /* answers what waits; going-away to what comes */
void front_waits_end(
    struct front *f); /* answers what waits: the node does not own the lanes any more */
bool front_idle(const struct front *f);
struct shard *front_shard(struct front *f, const struct exec_id *id);
/* Fills a frame and handles what "body" holds; it may have ended when this returns. */
void frame_run(struct front *f, struct frame *fr, struct conn *conn, struct str body,
               void (*end)(struct frame *fr));
void frame_unref(struct frame *fr);          /* of frame.open */
uint32_t front_state(const struct front *f); /* as clients are told: enum msg_state */
/* A dispatch_flush behind the current callbacks; many requests make one flush. */
void front_flush_later(struct front *f);

void call_answer(struct call *c, const struct msg *m); /* corr is filled in */
void call_error(struct call *c, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
void call_drop(struct call *c); /* no answer: the connection is gone */
/* Zeroed memory for as long as the frame lives. NULL: the frame has had its share, and the call is
 * answered. */
void *call_alloc(struct call *c, size_t size) MUST_CHECK;
#define CALL_NEW(c, type)      ((type *)call_alloc((c), sizeof(type)))
#define CALL_ARRAY(c, type, n) ((type *)call_alloc((c), sizeof(type) * (size_t)(n)))
/* "n" more things are open for the call's sake, until it is answered: counted like calls of the
 * connection. False: it has too many already. */
bool call_charge(struct call *c, uint32_t n) MUST_CHECK;
/* The call waits for something outside, as long as the client said: it is no burden to others. */
void call_waits(struct call *c);
/* It has no more use for the frame's bytes; when no call has, they go. */
void call_unpin(struct call *c);
/* Keeps bytes of the frame's answer for this call. */
void call_promise(struct call *c, uint32_t size);
void conn_supersede(struct front *f, uint64_t id);
struct arena *call_arena(struct call *c); /* for a store request's outputs */
struct wall front_now(const struct front *f);

/* The number of a tenant, from memory or the store. "done" may run before tenant_ask returns. */
struct tenant_ask {
    struct str name; /* borrowed until done */
    bool create;
    void (*done)(struct tenant_ask *ask, enum err e, const char *detail);
    uint32_t number; /* out */
    struct front *front;
    struct store_tenant req;
    struct arena arena;
};
void tenant_ask(struct front *f, struct tenant_ask *ask);

/* letters.c: what executions tell each other */
void letters_init(struct front *f);
void letters_stop(struct front *f); /* drain: what is unread stays in the store */
void letters_deliver(struct front *f, const struct inbox_row *rows, uint32_t len, uint32_t life);
/* The execution looks at its tables: tasks, timers or inbox rows may be new. */
void front_touch(struct front *f, const struct exec_id *id);
void inbox_scan(
    struct front *f); /* touches those of the held lanes that have been told something */

/* children.c: the engine is the worker of tasks that start executions */
void children_init(struct front *f);
void children_add(struct front *f, const struct task_token *t);
void children_remove(struct front *f, const struct task_token *t); /* closed; nonce ignored */
void children_clear_lane(struct front *f, const struct lane *lane);
void children_stop(struct front *f); /* starts no more */
void children_fini(struct front *f);

/* Handlers of one message each. */
void api_hello(struct call *c);
void api_start(struct call *c);
void api_describe(struct call *c);
void api_watch(struct call *c);
void api_stop(struct call *c);
void api_list(struct call *c);
void api_history(struct call *c);
void api_def_put(struct call *c);
void api_def_get(struct call *c);
void api_def_list(struct call *c);
void api_def_delete(struct call *c);
void api_status(struct call *c);
void api_poll(struct call *c);
void api_heartbeat(struct call *c);
void api_task_success(struct call *c);
void api_task_failure(struct call *c);

/* client_api.c */
/* Answers them with what is known; "fr" not NULL: those of that frame. */
void watches_end(struct conn *c, struct frame *fr);

/* worker_api.c */
void polls_cancel(struct conn *c);                   /* the connection is gone */
void polls_answer(struct conn *c, struct frame *fr); /* likewise */
void hydrations_end(struct front *f);      /* drain: those that would be asked for later */
void front_dispatch_init(struct front *f); /* fills dispatch_handler */
void front_dispatch_fini(struct front *f);
void recover_start(struct front *f, bool confirm); /* scans open tasks of held lanes */

#endif
