/* A node on virtual time with one host that is client and worker: what the engine's tests share. The
 * worker answers each task with its own input, at once. */
#ifndef CARILLON_TESTS_UNIT_ENGINE_FIXTURE_H
#define CARILLON_TESTS_UNIT_ENGINE_FIXTURE_H

#include "cmd/node.h"
#include "engine/core/core.h"
#include "net/msg.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/world.h"

#include <check.h>

/* The client and worker, over the transport port. */
struct fixture;
struct peer {
    struct fixture *f;
    struct loop *loop;
    struct net_dialer *dialer;
    struct net_dial_handler handler;
    bool up, greeted;
    uint64_t next_id;
    struct loop_task begin;
    struct loop_timer beat;
    char queue[64];
    uint32_t capacity;
};

struct fixture {
    struct world *world;
    struct sim_net *net;
    struct sim_store *store;
    struct host *node_host, *peer_host;
    struct node *node;
    struct node_config config;
    struct node_events events;
    struct fault_set faults;
    bool active, stopped;
    struct str address;
    struct peer *peer;
    /* what the peer saw */
    uint32_t defined, started, tasks, acked, stale, ended, succeeded, errors, exists;
    uint32_t last_error;
    char last_text[256];
    uint32_t end_status; /* of the watch that ended last */
    char end_error[64], end_cause[2048];
    uint32_t token_ok;         /* outcomes by token that were accepted */
    uint32_t beats, beat_code; /* answers to heartbeats; the first code of the last one */
    char execution[64][EXEC_ID_TEXT + 1];
    struct wall task_at[256]; /* true time at which each task came */
    char output[2048];
    uint32_t deleted, pages;                              /* answers to DEF_DELETE, HISTORY */
    uint32_t again;                                       /* outcomes to be sent again */
    uint32_t lists, listed;                               /* answers to LIST, rows of the last */
    uint32_t described;                                   /* answers to DESCRIBE */
    bool has_output, has_error, has_cause;                /* of the last */
    uint32_t page_len, page_last, page_ids[MSG_ROWS_MAX]; /* the page that came last */
    /* Do not complete tasks. What is held is named in heartbeats, but for what has a heartbeat of its
     * own, unless "silent". */
    bool hold, silent;
    struct msg_task held[64];
    uint32_t held_len;
    char held_input[64][256]; /* their inputs, cut */
};

void fixture_setup(struct fixture *f, uint64_t seed);
/* Requests that may be inside the node; 0: the usual number. */
void fixture_setup_with(struct fixture *f, uint64_t seed, uint32_t requests_max);
void fixture_teardown(struct fixture *f);
/* Sends one message; the answer is counted in the fixture when it arrives. */
void peer_send(struct fixture *f, struct msg *m);
void peer_start(struct fixture *f, const char *workflow, const char *name, const char *input);
void peer_define(struct fixture *f, const char *workflow, const char *text);
void peer_watch(struct fixture *f, const char *execution);
void peer_poll(struct fixture *f, const char *queue, uint32_t capacity, uint32_t wait_ms);
void peer_complete(struct fixture *f, const struct task_token *t, const char *output,
                   const char *error);
/* The outcome by token (error != NULL: a failure), and a sign of life; answers are counted. */
void peer_token(struct fixture *f, const struct task_token *t, const char *output,
                const char *error);
void peer_heartbeat(struct fixture *f, const struct task_token *t);
void peer_stop(struct fixture *f, const char *execution);
/* Starts the execution and waits for its answer; returns its id. */
const char *fixture_start(struct fixture *f, const char *workflow, const char *name,
                          const char *input);
/* Polls until the peer holds "n" tasks (f->hold is set). */
void fixture_hold(struct fixture *f, const char *queue, uint32_t n);
/* Watches until it ends, within "us"; end_status, output, end_error tell how. */
void fixture_end(struct fixture *f, const char *execution, int64_t us);
/* The node dies now and is back, with all lanes. */
void fixture_restart(struct fixture *f);
/* A second node on the same database, standing by; *active is set when it owns the lanes. */
struct second {
    struct node_events events;
    struct node_config config;
    struct fixture *f;
    bool active, standby;
    struct node *node;
};
struct host *fixture_second(struct fixture *f, struct second *n);
/* Orderly; "stopped" is set at the end. */
void fixture_stop_node(struct host *node_host);
/* Runs until the condition holds; fails the test after "us" of virtual time. */
#define RUN_UNTIL(f, cond, us) \
    do { \
        int64_t end_ = (f)->world->now_us + (us); \
        while (!(cond) && (f)->world->now_us < end_ && world_step((f)->world, end_)) { \
        } \
        ck_assert_msg((cond), "not within %lld us: %s (last error %u \"%s\")", (long long)(us), \
                      #cond, (f)->last_error, (f)->last_text); \
    } while (0)

#endif
