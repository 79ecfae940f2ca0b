/* The workflow core: definitions, the fold, the decision. Pure and deterministic: facts in, effects
 * out; no clock, no generator, no log, no I/O (INV 6). Everything else of Carillon sees executions
 * through this header; below the engine, what it produces is opaque bytes.
 *
 *   exec_new / exec_restore + exec_apply_row (once per later row)      load
 *   turn_begin → turn_fact (each event that arrived) → turn_end        decide
 *
 * Events are the only way state changes: the interpreter emits an event, the event is appended to
 * the turn's row and applied to the state by the same function that replays stored rows
 * (INV 5: fold(history) equals the state). A row stores each new payload once; later events of the
 * same or of later rows refer to it (lit / ref / put at a reference path / get by a path), so a
 * step costs its delta, never the whole state. */
#ifndef CARILLON_ENGINE_CORE_CORE_H
#define CARILLON_ENGINE_CORE_CORE_H

#include "base/id.h"
#include "base/json.h"
#include "base/rng.h"

/* ---- definitions: immutable, shared, counted ---- */

struct def;

struct def_problem {
    uint32_t line, col;  /* 1-based, in the text given */
    const char *pointer; /* JSON pointer of the place: "/States/Pay/Next" */
    const char *message; /* what is wrong and the remedy */
};
struct def_problems {
    struct arena arena; /* owns the texts */
    struct def_problem *v;
    uint32_t len, room;
    uint32_t errors_max; /* stop after this many (default 100) */
};
void def_problems_init(struct def_problems *p);
void def_problems_fini(struct def_problems *p);

enum def_format { DEF_AUTO, DEF_JSON, DEF_YAML };
/* Reads and checks a definition: all problems are reported, in order of position. Auto: JSON when the
 * first character is '{', else YAML. On success *out has one reference. ERR_DEFINITION otherwise. */
enum err def_parse(struct str text, enum def_format format, struct def **out,
                   struct def_problems *problems) MUST_CHECK;
struct def *def_ref(struct def *d);   /* any thread (atomic count) */
void def_unref(struct def *d);        /* NULL is fine */
size_t def_size(const struct def *d); /* bytes held, for the cache's bound */
/* States in document order, nested ones (branches, item processors) after their owner: the index is
 * stored in history and stable for ever. Path: "Fan[0]/Charge" style, the state's name at the top. */
uint32_t def_state_count(const struct def *d);
struct str def_state_path(const struct def *d, uint32_t index);
struct str def_comment(const struct def *d);
/* The definition as canonical JSON: its digest identifies a revision, whatever the source's format. */
void def_write_canonical(const struct def *d, struct buf *out);

/* ---- executions ---- */

enum exec_status {
    EXEC_RUNNING = 1,
    EXEC_SUCCEEDED = 2,
    EXEC_FAILED = 3,
    EXEC_TIMED_OUT = 4,
    EXEC_ABORTED = 5,
};
const char *exec_status_name(enum exec_status s); /* "RUNNING", ... */

/* What never changes of an execution; texts are copied by exec_new/exec_restore. */
struct exec_ident {
    struct exec_id id;
    struct str tenant, workflow, name;
    struct wall started_at;
    uint64_t def_revision; /* of the definition it runs */
};

struct exec;

/* An execution before its first turn. Takes a reference on "def". */
struct exec *exec_new(const struct exec_ident *ident, struct def *def);
void exec_free(struct exec *x);
enum exec_status exec_status(const struct exec *x);
/* Its last turn yielded: it can go on without a fact. */
bool exec_can_run(const struct exec *x);
uint64_t exec_seq(const struct exec *x);         /* of the last applied row; 0 = none */
uint32_t exec_event_count(const struct exec *x); /* events so far; numbers are 1..n (I18) */
size_t exec_size(const struct exec *x);          /* bytes held in memory, for the cache */
size_t exec_state_size(const struct exec *x);    /* bytes of the state proper (STATE_SIZE_MAX) */
size_t exec_delta_size(const struct exec *x);    /* bytes of rows since the last snapshot */
/* A load would read more of rows than of state: a snapshot is worth its bytes. What snapshots cost in
 * all stays in proportion to the rows, whatever the state consists of. */
bool exec_snapshot_due(const struct exec *x);
const struct exec_ident *exec_ident(const struct exec *x);
struct def *exec_def(const struct exec *x);
/* Compact JSON text; borrowed until the next change; STR_NONE when there is none. */
struct str exec_input(struct exec *x);
struct str exec_output(struct exec *x);
struct str exec_error(const struct exec *x);
struct str exec_cause(const struct exec *x);
/* The task that started the execution; false when none did. "waits": it is to be told of the end. */
bool exec_parent(const struct exec *x, struct task_token *token, bool *waits);
/* Digest of the fold's result: equal states give equal digests (checker of INV 5). */
uint64_t exec_digest(const struct exec *x);

/* The whole state as bytes, and back. Bytes come from our own store but are checked all the same:
 * ERR_MALFORMED. */
void exec_snapshot(struct exec *x, struct buf *out);
enum err exec_restore(const struct exec_ident *ident, struct def *def, struct str bytes,
                      struct exec **out, struct err_detail *detail) MUST_CHECK;

/* A history event as people see it (names and members of the Step Functions API). Borrowed. */
struct history_event {
    uint32_t id, previous_id;
    struct wall at;
    const char *type;         /* "TaskStateEntered" */
    const struct jv *details; /* object of the type's members (name, input, output, error, ...);
                               * payloads are strings that hold JSON, as in the API */
    struct str scope;         /* "" or "Fan[1]/Each[0]" */
};
struct history_sink {
    void (*event)(struct history_sink *s, const struct history_event *e);
};

/* One JSON object with the members of the API's GetExecutionHistory: timestamp, type, id,
 * previousEventId and the details under the name of their type ("stateEnteredEventDetails"; absent when
 * there are none); and "scope" in a branch or iteration. */
void history_write(struct buf *out, const struct history_event *e);

/* Folds one stored row: seq must be exec_seq + 1. "sink" may be NULL (then no details are built).
 * ERR_MALFORMED leaves the execution unusable: free it. */
enum err exec_apply_row(struct exec *x, uint64_t seq, struct wall at, struct str body,
                        struct history_sink *sink, struct err_detail *detail) MUST_CHECK;

/* ---- facts: what happened outside ---- */

enum fact_type {
    FACT_START,               /* first fact of the first turn: input */
    FACT_TASK_SUCCEEDED,      /* token, output */
    FACT_TASK_FAILED,         /* token, error, cause */
    FACT_TASK_TIMED_OUT,      /* ref only (the node's deadline): States.Timeout */
    FACT_TASK_HEARTBEAT_LOST, /* ref only: States.HeartbeatTimeout; as recorded on the
                               * real service, States.Timeout for .waitForTaskToken */
    FACT_TIMER,               /* seq, idx of a timer that is due */
    FACT_STOP,                /* error, cause */
    FACT_TASK_SUBMITTED, /* .sync and .waitForTaskToken: the call itself was answered (output; child) */
    FACT_CHILD_ENDED, /* token; payload: what exec_end_write said of the child (child.h) */
};

struct fact {
    enum fact_type type;
    struct task_token token; /* TASK_*; nonce unchecked for *_TIMED_OUT and HEARTBEAT_LOST */
    /* SUCCEEDED, FAILED: from the worker that was given the attempt. With .waitForTaskToken this is the
     * answer to the call, which submits the task; the outcome comes from whoever has the token. */
    bool call;
    uint64_t timer_seq; /* TIMER */
    uint32_t timer_idx;
    struct str payload;       /* START: input; SUCCEEDED: output: JSON text */
    struct str error, cause;  /* FAILED, STOP */
    struct str worker;        /* who answered, for the outcome */
    struct exec_id child;     /* SUBMITTED: the execution whose end is the outcome; null = none */
    struct task_token parent; /* START: the task that starts this execution; null = no task does */
    bool parent_waits;        /* START: and wants to be told of its end */
};

enum fact_result {
    FACT_ACCEPTED,
    FACT_STALE,   /* the attempt or timer is closed already, or the nonce differs */
    FACT_STOPPED, /* the execution has ended */
    FACT_INVALID, /* payload is no JSON or over its limit; nothing changed; detail says why */
};

/* ---- effects ---- */

enum core_task_kind {
    TASK_QUEUE,           /* a worker polling the queue does it */
    TASK_START_EXECUTION, /* the engine does it: a child execution (child.h) */
};
/* Queues whose names begin so are the engine's own: no name of a user does. */
#define QUEUE_OWN_MARK '@'
#define QUEUE_CHILD    "@states:startExecution"

struct core_task {
    struct task_token token; /* exec, seq, idx, attempt, nonce */
    enum core_task_kind kind;
    struct str queue;       /* borrowed from the definition */
    uint32_t state;         /* index in the definition */
    struct wall timeout_at; /* absolute; 0 = none */
    int64_t heartbeat_us;   /* 0 = none */
    bool wait_for_token;    /* .waitForTaskToken: the outcome comes by token */
    bool sync;              /* a child's end is the outcome */
    bool submitted;         /* the call has been answered: nobody is to get the task any more */
    struct str input;       /* compact JSON; borrowed until the next change of the execution */
};
struct core_timer {
    uint64_t seq;
    uint32_t idx;
    struct wall due;
};
struct core_task_ref {
    uint64_t seq;
    uint32_t idx;
};

/* What a turn did. Everything borrowed from the turn until turn_free / the next turn_begin. */
struct turn_out {
    uint64_t seq;
    enum exec_status status;
    struct str body;      /* the packed row (never empty: a turn with no event is not committed) */
    uint32_t first_event; /* number of its first event */
    uint32_t event_count;
    struct str outcomes; /* "state index:attempt:worker\n" per accepted outcome, or STR_NONE */
    struct core_task *tasks_new;
    uint32_t tasks_new_len;
    struct core_task_ref *tasks_done;
    uint32_t tasks_done_len;
    struct core_task_ref *tasks_submitted; /* and still open */
    uint32_t tasks_submitted_len;
    struct exec_id
        *children_left; /* their ends are not waited for any more: they are to be stopped */
    uint32_t children_left_len;
    struct core_timer *timers_new;
    uint32_t timers_new_len;
    struct core_timer *timers_done; /* consumed or cancelled */
    uint32_t timers_done_len;
    struct wall due_max; /* latest due among timers FIRED in this turn; 0 = none */
    bool yielded;        /* out of fuel: begin another turn at once, without a fact */
};

struct turn; /* reusable working memory */
struct turn *turn_new(void);
void turn_free(struct turn *t);
/* Starts deciding on "x". "now": the store's clock; "rng": for jitter, nonces, States.UUID (drawn values are
 * recorded in the events). Between begin and end the execution belongs to the turn. */
void turn_begin(struct turn *t, struct exec *x, struct wall now, struct rng *rng);
enum fact_result turn_fact(struct turn *t, const struct fact *f, struct err_detail *detail);
/* Runs the interpreter until nothing more can be done without a fact (or the fuel is out) and gives
 * the effects. False when nothing happened (no event): then there is nothing to commit. If the
 * commit fails, the execution in memory is ahead of the store: free it and load it again. */
bool turn_end(struct turn *t, const struct turn_out **out);

/* Open tasks and timers of the state: what a new owner arms. The input text is built on demand. */
uint32_t exec_open_tasks(const struct exec *x, struct core_task *out, uint32_t max);
bool exec_open_task(struct exec *x, uint64_t seq, uint32_t idx, struct core_task *out,
                    struct arena *a);
uint32_t exec_open_timers(const struct exec *x, struct core_timer *out, uint32_t max);

#endif
