/* Inside `carillon workflow conformance`: the other way to run a case, through a real node. */
#ifndef CARILLON_CMD_CARILLON_CONFORMANCE_H
#define CARILLON_CMD_CARILLON_CONFORMANCE_H

#include "cmd/carillon/recorded.h"

/* What the run through the core alone has shown of a case. */
struct rehearsal {
    struct def *def;
    struct str queues[64]; /* that its tasks go to; in the case's arena */
    uint32_t queues_len;
    bool child;       /* starts executions of workflows that were not recorded */
    bool silent_beat; /* a worker that lives, but whose heartbeat must be lost */
    int64_t took_us;
};

struct node_run;
/* A node with a private PostgreSQL in this process; NULL after a message. */
struct node_run *node_run_start(void);
void node_run_stop(struct node_run *n); /* NULL is fine */
/* Why this case cannot be run on a clock that cannot be turned; NULL: it can. */
const char *node_run_skip(const struct rehearsal *h);
/* Stores the definition, starts it, works from the recorded outcomes, reads the history back into "out"
 * (its reason tells what went wrong on the way). */
void node_run_case(struct node_run *n, struct recorded *c, const struct rehearsal *h,
                   struct replay *out);
/* Stores a definition; NULL: it was accepted, else why not (in the case's arena). */
const char *node_run_definition(struct node_run *n, struct recorded *c);

#endif
