/* The transport port between hosts of a world. Connections keep order within a direction, as TCP
 * does; across connections the drawn delays decide. What is sent into a cut direction waits until the
 * cut heals (retransmission) unless the connection is reset first; a reset loses what was under
 * way, both ways, and each end learns of it at its own time. */
#ifndef CARILLON_TESTS_SIM_NET_H
#define CARILLON_TESTS_SIM_NET_H

#include "net/transport.h"
#include "tests/sim/world.h"

enum { SIM_NET_HOSTS = 32 };

struct sim_net {
    struct transport base;
    struct world_module module;
    struct world *world;
    struct rng rng;
    struct list listeners, dialers, conns;
    struct list orphans; /* requests whose connection is gone and whose receiver lives */
    uint64_t next_conn;
    uint32_t inflight_max; /* a connection's unanswered requests, at both ends */
    int64_t delay_us[SIM_NET_HOSTS][SIM_NET_HOSTS]; /* typical, a way */
    int64_t cut_until[SIM_NET_HOSTS][SIM_NET_HOSTS];
    /* Chance that one message needs a retransmission (200 ms) though nothing is cut. */
    double loss;
    /* Counts for the report and the checks of leaks. */
    uint64_t sent, delivered, resets, limit_closed;
};

struct sim_net *sim_net_new(struct world *w);
void sim_net_free(struct sim_net *n); /* after world_free */
/* Messages from a to b wait that long; the other direction is untouched. */
void sim_net_cut(struct sim_net *n, struct host *a, struct host *b, int64_t us);
/* Resets the connections between a and b (b NULL: of a). Returns how many. */
unsigned sim_net_reset(struct sim_net *n, struct host *a, struct host *b);
void sim_net_heal(struct sim_net *n); /* no cut, no loss */
/* Requests given to the host's listeners and neither answered nor dropped, on live connections. */
unsigned sim_net_unanswered(const struct sim_net *n, const struct host *h);
/* Bytes of their bodies. */
size_t sim_net_held(const struct sim_net *n, const struct host *h);

#endif
