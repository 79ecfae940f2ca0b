/* One seed: a node, its store, clients and workers in a world, what goes wrong, and the checkers.
 *
 *   load   clients start, stop, watch; workers work; faults as the seed draws them
 *   heal   no fault any more, no new start: everything must end within HEAL_US
 *   end    the tables are read and checked */
#ifndef CARILLON_TESTS_SIM_RUN_H
#define CARILLON_TESTS_SIM_RUN_H

#include "base/fault.h"
#include "cmd/node.h"
#include "net/msg.h"
#include "tests/sim/sim_coord.h"
#include "tests/sim/checkers.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_store.h"

enum {
    ORDERS_MAX = 600,
    CLIENTS_MAX = 4,
    WORKERS_MAX = 4,
    RUN_TENANTS = 3,
    WORKFLOWS = 14, /* defined */
    STARTABLE = 13, /* of them started by clients; the last one is a child */
    CALLBACKS_MAX = 256,
    HELD_MAX = 32,    /* more than any capacity drawn */
    LOAD_S = 75,      /* of virtual time: four boundaries of 17 s windows at least */
    LOAD_MAX_S = 300, /* with fewer of them crossed than WINDOWS_MIN */
    HEAL_S = 150,     /* stated bound: everything that was started has ended after it */
};

/* A seed in which less happened proves too little, and fails. */
enum { OPERATIONS_MIN = 500, FAULTS_MIN = 5, WINDOWS_MIN = 3 };

enum swarm_kind {
    SWARM_CRASH,
    SWARM_POINT, /* crash at a named fault point */
    SWARM_DRAIN, /* orderly stop and start */
    SWARM_PAUSE,
    SWARM_AWAY,
    SWARM_FAILOVER,
    SWARM_STORE_CUT,
    SWARM_RESET,
    SWARM_NET_CUT,
    SWARM_WORKER,
    SWARM_HANG, /* a worker does nothing any more, for ever, and stays connected */
    SWARM_CLOCK,
    SWARM_DAMAGE, /* rows of one execution, or mended again */
    SWARM_KINDS,
};

/* What a seed draws: every rate differs from seed to seed, some are zero. */
struct swarm {
    uint32_t weight[SWARM_KINDS];
    int64_t gap_us; /* typical time between two faults */
    struct sim_store_faults store;
    int64_t store_latency_us;
    uint32_t store_move_max; /* rows that one call moves at most */
    double net_loss;
    double coord_silent, coord_wrong; /* how often advice is withheld, or bad */
    bool lossy;                       /* failovers lose their tail */
    uint32_t clients, workers, capacity;
    uint32_t tenants;                  /* clients and workers are shared out among them */
    int64_t tenant_at_us[RUN_TENANTS]; /* when each comes */
    int64_t op_gap_us;
    struct node_config node;
    uint16_t lanes;
    int32_t drift_ppm;
    double dup, slow, late, give_back; /* of workers */
    double forsake;                    /* polls whose answer is not looked at */
    int64_t writer_gap_us;             /* a second writer acts so often; 0: there is none */
};
void swarm_draw(struct swarm *s, struct rng *rng);
const char *swarm_kind_name(enum swarm_kind k);

/* One execution that a client wants. */
struct order {
    uint32_t n, workflow, variant, tenant;
    bool sent, decided; /* decided: a definite answer came */
    bool known;         /* id holds */
    bool stop_sent;
    struct exec_id id;
    char name[24], pay[40], id_text[EXEC_ID_TEXT + 1];
    uint32_t children, children_ok; /* in the tables, at the end */
    bool succeeded;                 /* likewise */
};

/* A token that somebody will answer: the workers know of it, whoever lives. */
struct callback {
    struct task_token token;
    uint32_t tenant;
    int64_t due_us;
    bool fails, sent;
    char output[160];
};

struct run;

/* A simulated process that speaks the client protocol. In the world's memory: only the dialer and
 * the loop are the host's. */
struct actor {
    struct run *run;
    struct host *host;
    struct loop *loop;
    struct net_dialer *dialer;
    struct net_dial_handler handler;
    struct loop_timer tick;
    struct rng rng;
    struct list requests;
    bool up, greeted;
    bool hangs; /* until its host is started anew: says nothing, hears nothing, hangs up nothing */
    uint64_t instance, next_corr;
    uint32_t number, tenant;
    struct event first; /* its host boots */
    /* By role. */
    void (*ticked)(struct actor *a);
    void (*hello)(struct actor *a, struct msg *m);
    struct worker *worker;
    int64_t next_op_us, hello_at_us;
};

/* A request under way. */
struct actor_request {
    struct list link;
    uint64_t corr;
    int64_t sent_us;
    struct order *order; /* clients */
    struct exec_id id;   /* asked about; a failover may give the order another one meanwhile */
    uint64_t digest;     /* START: of what was sent */
    struct task_token *tokens;
    uint32_t tokens_len, back_len, capacity; /* tokens: outcomes, then gifts back */
    bool forsaken;                           /* its answer is not looked at */
    bool patient; /* its answer brings work: it is waited for as long as the connection lives */
    /* "m" NULL: no answer will come (unknown). */
    void (*answered)(struct actor *a, struct actor_request *r, const struct msg *m);
};

struct run {
    struct world *world;
    struct sim_net *net;
    struct sim_store *store;
    struct swarm swarm;
    struct checkers *checkers;
    struct sim_store_watch watch;
    struct rng rng;
    struct host *node_host;
    struct node *node; /* in the node host's memory */
    struct fault_set faults;
    struct sim_coord coord; /* likewise */
    struct node_events events;
    bool draining, healing, stopping, node_started;
    enum owner_state node_state; /* as last told; stays when it crashes */
    struct event fault, freed, writer, work, tail, boundary;
    uint64_t calls_seen; /* of the store */
    struct actor clients[CLIENTS_MAX], workers[WORKERS_MAX];
    uint32_t definitions[RUN_TENANTS];   /* put so far */
    uint32_t tenant_number[RUN_TENANTS]; /* as last seen in the store */
    struct order orders[ORDERS_MAX];
    uint32_t orders_len;
    struct callback callbacks[CALLBACKS_MAX];
    uint32_t callbacks_len;
    uint64_t hits[SWARM_KINDS], faults_done, operations, definite_failures;
    int64_t last_cut_us;      /* no message older than this is under way */
    uint64_t windows_crossed; /* boundaries, under load and with lanes owned */
    char first_violation[512];
    unsigned violations;
};

/* run.c */
struct run *run_new(uint64_t seed, bool tracing, bool print);
/* True when everything held. */
bool run_all(struct run *r);
void run_free(struct run *r);
void run_violation(struct run *r, int invariant, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* sim_node.c: the production node on a host, and what goes wrong around it. */
void node_host_make(struct run *r);
void node_drain(struct run *r);
void swarm_start(struct run *r);
void swarm_stop(struct run *r);

/* actor.c */
void actor_init(struct actor *a, struct run *r, const char *name, uint32_t number);
struct actor_request *actor_send(struct actor *a, struct msg *m,
                                 void (*answered)(struct actor *, struct actor_request *,
                                                  const struct msg *));
uint32_t actor_requests(const struct actor *a);

/* workload.c, workers.c */
void clients_make(struct run *r);
void workers_make(struct run *r);
bool clients_idle(const struct run *r);
const char *workflow_name(uint32_t index);
void workflow_rules(struct checkers *c);
struct str tenant_name(uint32_t tenant);
/* The input of an order's workflow after k steps; also its output. */
void order_payload(const struct order *o, uint32_t steps, char *out, size_t size);
/* How it must end when nobody stops it. */
unsigned order_end(const struct order *o, uint32_t *steps, const char **error);
/* Does an attempt of its own work fail? */
bool order_fails(const struct order *o, uint32_t attempt);
/* Ends that are legal, too: the work of a workflow with a time-out may have been late; a failover may have
 * taken the definition of the children. */
bool order_excused(struct run *r, const struct order *o, struct str error);
/* The order behind a task or execution: by its name, of a child by its input. */
struct order *order_find(struct run *r, struct str workflow, struct str name, struct str input);
/* Of a child: it fails. */
bool order_child_fails(const struct order *o);
/* How many children it has when all goes well. */
uint32_t order_children(const struct order *o);
bool order_calls(const struct order *o);
bool order_unheard(const struct order *o); /* nobody is to answer its task */
/* One of the tenant (RUN_TENANTS: of any) whose execution is known; NULL: none. */
struct order *order_known(struct run *r, uint32_t tenant);

/* tables.c: reads the tables at the end. */
void tables_check(struct run *r);
bool tables_messages(const struct run *r); /* is an execution told something and has not read it? */

#endif
