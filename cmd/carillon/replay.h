/* Runs one execution through the core alone, on virtual time: waits, retries and time-outs pass at
 * once, and whoever asks answers the tasks. The rows are then folded again and must give the same state
 * (INV 5); the history comes from that second fold. Pure: no clock, no I/O, the same every time. */
#ifndef CARILLON_CMD_CARILLON_REPLAY_H
#define CARILLON_CMD_CARILLON_REPLAY_H

#include "engine/core/core.h"

/* A task that the execution has scheduled. Borrowed for the call. */
struct replay_task {
    struct str name, path, scope; /* of the state: "Charge", "Fan[0]/Charge"; "" or "Each[3]" */
    struct str queue, input;
    uint32_t attempt;
    bool timeout, heartbeat; /* it has one */
    bool wait_for_token;
    bool child; /* the engine itself would start an execution */
};

enum replay_result {
    REPLAY_OUTPUT,
    REPLAY_ERROR,
    REPLAY_TIMEOUT, /* nobody answers: its heartbeat is lost, or its time is over */
    REPLAY_NONE,    /* nobody answers, and the execution does not depend on it */
};
/* Texts are copied. */
struct replay_answer {
    enum replay_result result;
    struct str submitted;    /* what the call itself was answered; p NULL: nothing */
    struct str output;       /* JSON text */
    struct str error, cause; /* p NULL: absent */
};

struct replay_request {
    struct def *def;
    struct str input; /* JSON text */
    struct str tenant, workflow, name;
    struct wall start; /* the clock stands there when it starts */
    uint64_t seed;
    /* Called for each attempt in the order in which they are scheduled. False: nobody knows an answer;
     * "why" has the words, and the run ends. */
    bool (*task)(void *arg, const struct replay_task *t, struct replay_answer *out,
                 struct buf *why);
    void *arg;
};

struct replay {
    struct arena arena; /* owns all that follows */
    const char *reason; /* why it did not come to an end; NULL: it did */
    enum exec_status status;
    struct str input, output, error, cause; /* p NULL: none */
    struct history_event *events;
    uint32_t events_len;
    int64_t took_us; /* of virtual time */
};
void replay_run(struct replay *r, const struct replay_request *q);
void replay_fini(struct replay *r);

#endif
