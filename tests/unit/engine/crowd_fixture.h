/* Clients beside the fixture's own peer: each on a host of its own, of any tenant, sending frames of
 * any content. They count what they are told and do nothing by themselves. */
#ifndef CARILLON_TESTS_UNIT_ENGINE_CROWD_H
#define CARILLON_TESTS_UNIT_ENGINE_CROWD_H

#include "tests/unit/engine/engine_fixture.h"

enum { CROWD_TOKENS_MAX = 4096 };

struct crowd {
    struct fixture *f;
    struct host *host;
    struct loop *loop;
    struct net_dialer *dialer;
    struct net_dial_handler handler;
    const char *tenant;
    uint64_t instance, next_id;
    bool up, greeted;
    uint32_t downs;
    /* what it was told */
    uint32_t frames, messages, polls, started, defined, watched, ended, beats, errors, limits;
    uint32_t tasks, acked, stale;
    uint32_t last_error, last_code; /* of the newest ERROR, HEARTBEAT_OK or ack */
    uint32_t state, states;         /* the newest NODE_STATE, and how many there were */
    char execution[EXEC_ID_TEXT + 1];
    struct task_token tokens[CROWD_TOKENS_MAX]; /* of the first tasks */
    void (*on_msg)(struct crowd *c, const struct msg *m);
};

/* Connects and, unless "tenant" is NULL, says hello. */
void crowd_join(struct fixture *f, struct crowd *c, const char *tenant, uint64_t instance);
/* Sends bytes as one frame. */
void crowd_bytes(struct crowd *c, struct str frame);
/* Sends one frame of "n" messages, each as "m". */
void crowd_send(struct crowd *c, struct msg *m, uint32_t n);
/* The connection ends, and comes back by itself. */
void crowd_reset(struct crowd *c);
void crowd_define(struct crowd *c, const char *workflow, const char *text);
/* One start, waited for; c->execution is its id. */
void crowd_start(struct crowd *c, const char *workflow, const char *name, struct str input);
void crowd_poll(struct crowd *c, const char *queue, uint32_t capacity, uint32_t wait_ms);
void crowd_heartbeat(struct crowd *c, const struct task_token *tokens, uint32_t len);
void crowd_complete(struct crowd *c, const struct task_token *t);

#endif
