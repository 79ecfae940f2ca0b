/* What must hold, decided from what the store committed and what clients and workers were told
 * (guarantees.md 1.8, as design.md words it). Knows nothing of how a node works: it sees commits in
 * the order in which they became durable, answers at the instant they arrive, and at the end the
 * tables. Each finding names the number of the invariant. */
#ifndef CARILLON_TESTS_SIM_CHECKERS_H
#define CARILLON_TESTS_SIM_CHECKERS_H

#include "storage/store.h"

struct checkers;

/* What a workflow may do, as far as a checker must know. */
struct check_rules {
    uint32_t attempts_max; /* of one entry into a state (I22) */
    int64_t backoff_us;    /* before attempt 2; doubled for each later one; 0 = none */
    bool parallel;         /* more than one attempt may be open */
};

struct checkers *checkers_new(void (*violated)(void *arg, int invariant, const char *text),
                              void *arg);
void checkers_free(struct checkers *c);
/* Rules of a workflow by name; a workflow without rules has one attempt. */
void checkers_rules(struct checkers *c, struct str workflow, const struct check_rules *r);

/* ---- the store: each batch and claim at its commit, failovers ---- */

void check_commit(struct checkers *c, const struct store_commit *q, struct wall now);
/* Deadlines are deleted because no execution waits for them. */
void check_timers_drop(struct checkers *c, const struct store_timers_drop *q);
void check_claim(struct checkers *c, const struct store_claim *q, struct wall now);
/* The newest turn of an execution is of a writer that does not own its lane: the owner may hear of it late,
 * and hand out attempts that it has closed (their outcomes are refused). */
void check_foreign(struct checkers *c, const struct exec_id *id);
/* Commits after "since" never happened. */
void check_lost_tail(struct checkers *c, struct wall since);

/* ---- what clients and workers were told ---- */

enum check_answer {
    CHECK_OK,
    CHECK_REFUSED, /* a definite failure: nothing happened */
    CHECK_UNKNOWN,
};
struct check_start {
    uint32_t tenant;
    struct str workflow, name;
    uint64_t digest; /* of the input sent */
};
/* A start is about to be sent; it is not over until check_start_answer says so. */
void check_start_sent(struct checkers *c, const struct check_start *s);
/* "id" only with CHECK_OK. "exists": refused because of another input under the same name. */
void check_start_answer(struct checkers *c, const struct check_start *s, enum check_answer a,
                        const struct exec_id *id, bool exists);
/* STOP was acknowledged. */
void check_stop_acked(struct checkers *c, const struct exec_id *id, struct wall now);
/* A worker received an attempt; "in_flight_us" is how long it may have been under way. */
void check_dispatched(struct checkers *c, const struct task_token *t, struct wall now,
                      int64_t in_flight_us);
/* A worker was told, upon a heartbeat sent at "sent", to go on with the attempt. */
void check_beat_ok(struct checkers *c, const struct task_token *t, struct wall sent);
/* A worker was told that its outcome is accepted, durably. */
void check_outcome_acked(struct checkers *c, const struct task_token *t);
/* A client was told how the execution ended. */
void check_end_told(struct checkers *c, const struct exec_id *id, unsigned status,
                    struct str output);
/* A row, task or answer about what belongs to tenant "of" reached tenant "to". */
void check_tenant(struct checkers *c, const char *where, uint32_t of, uint32_t to);
/* The store keeps what is of a tenant under that number. */
void check_tenant_number(struct checkers *c, uint32_t number, uint32_t tenant);
/* A payload arrived where "expected" was due. */
void check_payload(struct checkers *c, const char *where, struct str got, struct str expected);

/* ---- the end ---- */

/* The row of an execution as the tables have it; every one is to be shown once. */
struct check_row {
    struct exec_id exec;
    uint32_t tenant;
    struct str workflow, name;
    uint64_t seq, turn;
    unsigned status;
    uint64_t history_rows; /* how many there are */
    uint32_t events;       /* numbered by them without a gap; 0 = there is one */
    /* Found by folding the history; snapshot: folding from the newest snapshot. */
    bool folded;
    unsigned folded_status;
    uint32_t folded_events;
    uint64_t folded_seq, digest, digest_snapshot;
    unsigned open_tasks, open_timers; /* rows in the tables */
    unsigned messages;                /* in its inbox */
};
void check_row(struct checkers *c, const struct check_row *row);
/* Its history says that the task "parent" has started it. */
void check_child(struct checkers *c, const struct exec_id *child, const struct task_token *parent);
/* All rows were shown. "progress": everything must have ended. */
void check_end(struct checkers *c, bool progress);
/* Executions known to exist; of these, ended. */
void check_counts(const struct checkers *c, uint64_t *started, uint64_t *ended);

#endif
