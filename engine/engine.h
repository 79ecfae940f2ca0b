/* The engine of a node: takes clients' and workers' messages, runs executions. Composed of the front
 * (one loop: connections, sessions, dispatch), the shards (turn loops) and the owner role (control
 * loop). Everything outside comes in as a port. */
#ifndef CARILLON_ENGINE_ENGINE_H
#define CARILLON_ENGINE_ENGINE_H

#include "base/fault.h"
#include "base/loop.h"
#include "net/msg.h"
#include "net/transport.h"
#include "scheduler/owner.h"
#include "storage/store.h"

enum { ENGINE_SHARDS_MAX = 64 };

struct engine_config {
    /* Loops may be one and the same: roles talk by messages only. */
    struct loop *control, *front;
    struct loop *turns[ENGINE_SHARDS_MAX];
    uint32_t turns_len;
    struct store *store;
    struct coord *coord;
    struct transport *transport;
    struct fault_set *faults;
    uint64_t seed;
    uint16_t shard;          /* of the database */
    struct str node, listen; /* node id; address to listen at; borrowed for life */
    struct str version;      /* told to clients */
    int64_t heartbeat_us, window_us, promote_us;
    uint32_t ring_windows;
    uint32_t timers_chunk;       /* maxScheduledItems of HIGH_PRECISION */
    size_t cache_bytes;          /* of executions, all turn loops together */
    uint32_t definitions;        /* parsed definitions kept per loop */
    int64_t definition_us;       /* one this old is read again */
    uint32_t batches, batch_min; /* commits in flight per turn loop; turns worth a second one */
    uint32_t tasks_max;          /* of dispatch, without a worker; 0: its default */
    uint32_t requests_max;       /* new requests waiting inside; one more is answered LIMIT */
    /* On the control loop: the store's sessions must carry this incarnation from now on. */
    void (*incarnation)(void *arg, const struct uuid *incarnation);
    /* On the front loop, after engine_start: listening at "address"; or the error, and then every role
     * is closed and engine_free may follow. */
    void (*started)(void *arg, enum err e, struct str address, const struct err_detail *d);
    /* On the front loop: ownership changed. */
    void (*state)(void *arg, enum owner_state s);
    void *arg;
};

struct engine;
/* Made and started by the main thread; engine_start posts to the loops. */
struct engine *engine_new(const struct engine_config *config);
void engine_start(struct engine *e);
/* Drains: no new work, turns under way finish, ownership is given back. "done" runs on the control loop,
 * once; engine_free may follow from the main thread. From any thread. */
void engine_stop(struct engine *e, void (*done)(void *arg), void *arg);
/* After "done", or after a failed start. */
void engine_free(struct engine *e);

/* A request from inside the process: one message of the client protocol, handled and bounded as if it
 * had come over a connection that said HELLO for the tenant. Embedded by the caller, who sets the first
 * five and lends it until "done"; then the answer may be read until engine_call_fini(). */
struct engine_call {
    struct msg ask;    /* texts are borrowed until engine_submit returns */
    struct str tenant; /* name; borrowed until done; STATUS needs none */
    bool create;       /* the tenant, when there is none of that name; else NOT_FOUND */
    struct loop *loop; /* where done runs */
    void (*done)(struct engine_call *c);
    struct msg answer;   /* out: the reply or MSG_ERROR */
    struct arena arena;  /* private from here: lists of the answer */
    struct buf in, out;  /* the frames */
    struct err_detail d; /* what went wrong before there was a frame */
    struct loop_task task;
    struct engine *engine;
};
/* From any loop, between engine_new and engine_free. */
void engine_submit(struct engine *e, struct engine_call *c);
void engine_call_fini(struct engine_call *c);

#endif
