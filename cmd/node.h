/* A node as a library: configuration and ports in, running node out. The daemon passes the real ports,
 * the simulator its own; nothing below reaches outside but through them. */
#ifndef CARILLON_CMD_NODE_H
#define CARILLON_CMD_NODE_H

#include "base/fault.h"
#include "base/loop.h"
#include "cmd/admin.h"
#include "engine/engine.h"

/* What a node needs from outside; all borrowed for the node's life. */
struct node_ports {
    struct loop_factory *loops;
    struct clock *clock;
    struct transport *transport;
    struct coord *coord; /* who should own what; freed by the caller after node_free */
    struct store *store; /* answers on any loop; closed by the caller after node_free */
    struct fault_set *faults;
    uint64_t seed; /* ids, nonces, jitter */
    /* The store's sessions must carry this incarnation; on the control loop. NULL: not wanted. */
    void (*incarnation)(void *arg, const struct uuid *incarnation);
    void *incarnation_arg;
    /* For the admin port; NULL: there is none. */
    struct http *http;
    struct loop *store_loop; /* watched like the node's own; may be NULL */
    void (*process)(struct admin_process *out);
};

/* Plain values; node_conf.h makes them from the user's configuration. Texts are copied. */
struct node_config {
    struct str node_id; /* stable over restarts */
    struct str listen;  /* "tcp://127.0.0.1:7070" */
    uint16_t shard;
    int64_t heartbeat_us;  /* scheduler.distributed.heartbeatInterval */
    int64_t window_us;     /* scheduler.distributed.windowLength */
    uint32_t ring_windows; /* scheduler.distributed.partitionCount */
    int64_t promote_us;    /* pollInterval of the LONG_TERM scheduler */
    uint32_t timers_chunk; /* maxScheduledItems of the HIGH_PRECISION scheduler */
    uint32_t turn_loops;   /* threads that run turns; 0: one thread does all roles */
    size_t cache_bytes;    /* cache.executions.maxBytes */
    uint32_t definitions;  /* cache.workflowDefinitions.maxSize */
    int64_t definition_us; /* cache.workflowDefinitions.expireAfterWrite */
    uint32_t batches;      /* commit.maxInFlight */
    uint32_t batch_min;    /* commit.minTurns */
    uint32_t requests_max; /* threadPools.workflow.queueCapacity */
    struct str admin;      /* "127.0.0.1:8080"; empty: no admin port */
    enum admin_taken admin_taken;
    uint32_t admin_queue; /* threadPools.http.queueCapacity */
    struct str database;  /* for people: "PostgreSQL 15.20" */
    bool replicated;      /* durability profile: replicated, else local */
    uint32_t tasks_max;   /* open tasks without a worker kept in memory; 0: DISPATCH_TASKS_MAX */
};
void node_config_defaults(struct node_config *c);

struct node;

struct node_events {
    /* On the admin loop, before "started": its port is open at "address". May be NULL. */
    void (*admin)(struct node_events *ev, struct str address);
    /* On a loop of the node. Listening (address with the port resolved), or why not. */
    void (*started)(struct node_events *ev, enum err e, struct str address, struct str detail);
    void (*state)(struct node_events *ev, enum owner_state s);
    /* On a loop of the node: drained, ownership given back. node_free may follow from outside. */
    void (*stopped)(struct node_events *ev);
};

/* From the thread that owns the loops' factory (main, or the simulator's world). */
struct node *node_start(const struct node_config *config, const struct node_ports *ports,
                        struct node_events *events);
/* Begins the drain; "stopped" tells when it is over. From any thread. */
void node_stop(struct node *n);
/* After "stopped" (or a failed start): ends the loops and frees everything. Main thread. */
void node_free(struct node *n);

const char *carillon_version_text(void);

#endif
