/* Carillon client library: start and watch durable workflows, and do their work.
 *
 * A carillon_client talks to a cluster: it connects to one of several addresses, moves on when a
 * node is dead, stands by or is going away, and repeats what was under way. All functions are
 * thread-safe unless they say otherwise, none aborts the process, none prints. One client per process
 * is enough: calls of many threads share its connection and travel together.
 *
 * Texts are UTF-8, NUL-terminated; payloads are JSON texts. What a function gives out by pointer
 * belongs to the caller and is freed by the function named there. Times are milliseconds; instants
 * count from 1970, UTC. Functions that can fail return CARILLON_OK or one of enum carillon_code, and
 * fill "error" when it is not NULL.
 *
 * A repeat is safe everywhere: a start without a name gets a random one from the library before it
 * is sent, outcomes carry the token of their attempt.
 *
 * Do not fork() a process that has a client (use posix_spawn or fork before). */
#ifndef CARILLON_CARILLON_H
#define CARILLON_CARILLON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers are those of the protocol and never change. */
enum carillon_code {
    CARILLON_OK = 0,
    CARILLON_INVALID = 1,     /* an argument is wrong */
    CARILLON_MALFORMED = 2,   /* a text is no UTF-8 or no JSON */
    CARILLON_UNSUPPORTED = 3, /* the node does not know this request */
    CARILLON_DEFINITION = 4,  /* the workflow's definition has mistakes */
    CARILLON_PROTOCOL = 5,    /* node and client do not understand each other */
    CARILLON_TOO_LARGE = 6,   /* over a stated limit */
    CARILLON_NOT_FOUND = 20,
    CARILLON_NO_WORKFLOW = 21,
    CARILLON_NO_EXECUTION = 22,
    CARILLON_DENIED = 30,
    CARILLON_UNAUTHENTICATED = 31,
    CARILLON_CONFLICT = 40,
    CARILLON_EXISTS = 41,       /* start: the name is taken, with another input */
    CARILLON_STALE = 42,        /* the attempt is closed; its outcome is not wanted any more */
    CARILLON_STOPPED = 43,      /* the execution has ended */
    CARILLON_LOST_WRITE = 44,   /* lost in a failover of a cluster with "local" durability */
    CARILLON_PRECONDITION = 45, /* a condition of the request does not hold */
    CARILLON_RETRY = 60,
    CARILLON_STANDBY = 62, /* no node is active */
    CARILLON_GOING_AWAY = 63,
    CARILLON_UNAVAILABLE = 64, /* no node could be reached; nothing happened */
    CARILLON_UNKNOWN = 70,
    CARILLON_TIMEOUT = 71, /* no answer in time: it may or may not have happened */
    CARILLON_LIMIT = 80,   /* too much at once */
    CARILLON_FATAL = 90,
    CARILLON_DAMAGED = 93, /* the execution cannot be read or continued as it is stored */
};

typedef struct carillon_error {
    int code;       /* enum carillon_code */
    char text[256]; /* for people, naming the place */
} carillon_error;

const char *carillon_version(void);
/* "NOT_FOUND" and a sentence; any number may be given. Static. */
const char *carillon_code_name(int code);
const char *carillon_code_text(int code);

/* ---- client ---- */

typedef struct carillon_client carillon_client;

typedef struct carillon_options {
    const char *addresses; /* "tcp://host:port[,tcp://host:port...]" or ipc:///path; needed */
    const char *name;      /* who this is, in histories; NULL = host:pid */
    const char *tenant;    /* NULL = the default tenant */
    int64_t timeout_ms;    /* of each call; 0 = 30,000 */
    bool any_state;        /* connects also to a node that stands by or is going away, and stays: to
                            * ask for its state (carillon_node_status); it refuses most else */
} carillon_options;

/* Makes a client; it connects in the background, so a dead cluster is no error here. */
int carillon_client_new(const carillon_options *options, carillon_client **out,
                        carillon_error *error);
/* Ends calls of other threads with CARILLON_UNAVAILABLE or CARILLON_TIMEOUT. Its workers must have
 * been freed. Not from within a callback. NULL is fine. */
void carillon_client_free(carillon_client *client);
/* Waits until the client is connected to an active node. CARILLON_UNAVAILABLE after "timeout_ms";
 * error.text says what is in the way. */
int carillon_client_wait_ready(carillon_client *client, int64_t timeout_ms, carillon_error *error);

/* ---- executions ---- */

enum carillon_status {
    CARILLON_RUNNING = 1,
    CARILLON_SUCCEEDED = 2,
    CARILLON_FAILED = 3,
    CARILLON_TIMED_OUT = 4,
    CARILLON_ABORTED = 5,
};
const char *carillon_status_name(int status); /* "RUNNING"; "?" when unknown */

typedef struct carillon_started {
    char execution[37]; /* id */
    char name[256];     /* given, or made up by the library */
    bool created;       /* false: it existed, under this name and with this input */
    int64_t started_at_ms;
} carillon_started;

/* Starts an execution; when it returns CARILLON_OK, the execution is durable. "name" NULL: a random
 * one. The same name with the same input gives the same execution (created = false), with another
 * input CARILLON_EXISTS. "input" NULL: {}. "out" may be NULL. */
int carillon_start(carillon_client *client, const char *workflow, const char *name,
                   const char *input, carillon_started *out, carillon_error *error);

/* "started" is NULL unless code is CARILLON_OK. Runs on the client's thread: must not block, must
 * not call blocking functions of this library; more *_async calls are fine. */
typedef void (*carillon_start_fn)(void *arg, int code, const carillon_started *started,
                                  const char *error_text);
/* As carillon_start, without waiting; texts are copied. "done" comes exactly once if this returns
 * CARILLON_OK, never otherwise. */
int carillon_start_async(carillon_client *client, const char *workflow, const char *name,
                         const char *input, carillon_start_fn done, void *arg,
                         carillon_error *error);

typedef struct carillon_start_item {
    const char *workflow, *name, *input; /* as for carillon_start */
    int code;                            /* out */
    carillon_started started;            /* out, when code is CARILLON_OK */
} carillon_start_item;
/* Starts many at once, each on its own (no transaction). CARILLON_OK when all were started; else the
 * code of the first that was not. */
int carillon_start_many(carillon_client *client, carillon_start_item *items, size_t len,
                        carillon_error *error);

typedef struct carillon_execution {
    char *execution, *workflow, *name;
    int status;                          /* enum carillon_status */
    char *input, *output;                /* NULL: none */
    char *error, *cause;                 /* NULL: none */
    int64_t started_at_ms, closed_at_ms; /* closed 0: it runs */
    uint32_t event_count, workflow_version;
} carillon_execution;
void carillon_execution_free(carillon_execution *execution);

/* By id, or (execution NULL) by workflow and name. */
int carillon_describe(carillon_client *client, const char *execution, const char *workflow,
                      const char *name, carillon_execution **out, carillon_error *error);
/* Waits until the execution has ended: then as carillon_describe; "out" NULL: that it has ended is
 * enough, which saves a question. CARILLON_TIMEOUT when it still runs after "timeout_ms" (0: just looks;
 * negative: no limit, however long the cluster is away). */
int carillon_wait(carillon_client *client, const char *execution, int64_t timeout_ms,
                  carillon_execution **out, carillon_error *error);
/* Ends it as ABORTED; when it returns CARILLON_OK no outcome of its attempts is accepted any more.
 * "error_name", "cause", "stopped_at_ms" may be NULL. */
int carillon_stop(carillon_client *client, const char *execution, const char *error_name,
                  const char *cause, int64_t *stopped_at_ms, carillon_error *error);

typedef struct carillon_list_row {
    char *execution, *workflow, *name;
    int status;
    int64_t started_at_ms, closed_at_ms;
} carillon_list_row;
typedef struct carillon_list {
    carillon_list_row *rows;
    size_t len;
    char *cursor; /* for the next page; NULL: this was the last */
} carillon_list;
void carillon_list_free(carillon_list *list);
/* Executions, newest first. "workflow" NULL: all; "status" 0: all; "limit" 0: 100, at most 1000;
 * "cursor" of the page before, or NULL. */
int carillon_list_executions(carillon_client *client, const char *workflow, int status,
                             uint32_t limit, const char *cursor, carillon_list **out,
                             carillon_error *error);

typedef struct carillon_history {
    char **events; /* JSON objects, named as in the Step Functions API */
    size_t len;
    uint32_t next; /* "after" of the next page; 0: this was the last */
} carillon_history;
void carillon_history_free(carillon_history *history);
int carillon_history_read(carillon_client *client, const char *execution, uint32_t after,
                          uint32_t limit, bool reverse, carillon_history **out,
                          carillon_error *error);

/* The state of the node that the client is connected to, as a JSON text, freed with
 * carillon_string_free. Of one that stands by only with options.any_state. */
int carillon_node_status(carillon_client *client, char **json, carillon_error *error);
void carillon_string_free(char *text);

/* ---- definitions ---- */

enum carillon_format {
    CARILLON_FORMAT_AUTO = 0,
    CARILLON_FORMAT_JSON = 1,
    CARILLON_FORMAT_YAML = 2
};

typedef struct carillon_problem {
    uint32_t line, col; /* 1-based; 0: unknown */
    char *pointer;      /* JSON pointer of the place */
    char *message;
} carillon_problem;
typedef struct carillon_problems {
    carillon_problem *items;
    size_t len;
} carillon_problems;
void carillon_problems_free(carillon_problems *problems);

typedef struct carillon_definition {
    char *workflow, *text;
    uint32_t version;
    int64_t created_at_ms;
} carillon_definition;
void carillon_definition_free(carillon_definition *definition);

/* Stores a definition (Amazon States Language). "version" and "created" (false: equal to the newest
 * version) may be NULL. CARILLON_DEFINITION: *problems (may be NULL) lists every mistake. */
int carillon_definition_put(carillon_client *client, const char *workflow, const char *text,
                            int format, uint32_t *version, bool *created,
                            carillon_problems **problems, carillon_error *error);
/* "version" 0: the newest. */
int carillon_definition_get(carillon_client *client, const char *workflow, uint32_t version,
                            carillon_definition **out, carillon_error *error);
/* No more starts; what runs goes on. */
int carillon_definition_delete(carillon_client *client, const char *workflow,
                               carillon_error *error);

typedef struct carillon_definitions {
    carillon_definition *items; /* text is NULL */
    size_t len;
    char *next; /* "after" of the next page; NULL: this was the last */
} carillon_definitions;
void carillon_definitions_free(carillon_definitions *definitions);
/* By name, after "after" (NULL: from the first). */
int carillon_definition_list(carillon_client *client, const char *after, uint32_t limit,
                             carillon_definitions **out, carillon_error *error);

/* ---- outcomes by token (callbacks; no worker needed) ---- */

/* "token" is the text form (base64url) as in carillon_task_token or a payload. A repeat that the
 * library made after a lost connection can be answered CARILLON_STALE although the first was
 * accepted. "output" NULL: {}. */
int carillon_token_succeed(carillon_client *client, const char *token, const char *output,
                           carillon_error *error);
int carillon_token_fail(carillon_client *client, const char *token, const char *error_name,
                        const char *cause, carillon_error *error);
/* CARILLON_STALE, CARILLON_STOPPED: give up. */
int carillon_token_heartbeat(carillon_client *client, const char *token, carillon_error *error);

/* ---- workers ---- */

typedef struct carillon_worker carillon_worker;
typedef struct carillon_task carillon_task;

/* Does a task, or sees to it that it is done: exactly one of carillon_task_succeed, _fail and
 * _give_back must be called for each task, here or later, from any thread. May block when the worker
 * has threads of its own. */
typedef void (*carillon_task_fn)(void *arg, carillon_task *task);

typedef struct carillon_worker_options {
    const char *name;          /* identity of its outcomes; NULL: the client's */
    const char *const *queues; /* names; copied */
    size_t queues_len;
    uint32_t concurrency; /* tasks held at once; 0 = 1, at most 1000 */
    uint32_t threads;     /* that run the handler; 0 = the client's thread: fastest, but the
                                * handler must not block */
    carillon_task_fn handler;
    void *arg;
} carillon_worker_options;

/* Makes a worker with a connection of its own. It takes no task before carillon_worker_start. */
int carillon_worker_new(carillon_client *client, const carillon_worker_options *options,
                        carillon_worker **out, carillon_error *error);
int carillon_worker_start(carillon_worker *worker, carillon_error *error);
/* Starts it and waits until another thread has called carillon_worker_stop and it is finished. */
int carillon_worker_run(carillon_worker *worker, carillon_error *error);
/* Takes no more tasks and waits until all held ones are ended and their outcomes acknowledged, at
 * most "timeout_ms" (negative: no limit; 0: do not wait): CARILLON_TIMEOUT when some are left. */
int carillon_worker_stop(carillon_worker *worker, int64_t timeout_ms, carillon_error *error);
/* Waits for handlers that are running, then forgets the worker; tasks not ended go to other workers
 * after their time-out. No task of this worker may be touched afterwards. Not from a handler. */
void carillon_worker_free(carillon_worker *worker);

/* What a task says. Valid until the task is ended. */
const char *carillon_task_input(const carillon_task *task); /* JSON text */
const char *carillon_task_queue(const carillon_task *task);
const char *carillon_task_workflow(const carillon_task *task);
const char *carillon_task_name(const carillon_task *task);      /* of the execution */
const char *carillon_task_execution(const carillon_task *task); /* id */
const char *carillon_task_state(const carillon_task *task);
uint32_t carillon_task_attempt(const carillon_task *task);
int64_t carillon_task_timeout_at_ms(const carillon_task *task); /* 0: none */
/* The token in text form, for somebody else to hand in the outcome. */
const char *carillon_task_token(const carillon_task *task);
/* The outcome is not wanted any more (stopped, timed out): stop working and end the task somehow.
 * Known only for tasks with a heartbeat; heartbeats are sent by the library. */
bool carillon_task_is_cancelled(const carillon_task *task);

/* End a task; it must not be touched afterwards when CARILLON_OK is returned. CARILLON_TOO_LARGE,
 * CARILLON_MALFORMED: the texts are not acceptable, the task is not ended. Outcomes are sent in the
 * background and repeated until the cluster has acknowledged them. "output" NULL: {}. */
int carillon_task_succeed(carillon_task *task, const char *output);
int carillon_task_fail(carillon_task *task, const char *error_name, const char *cause);
/* Back to the queue: somebody else shall do it. */
int carillon_task_give_back(carillon_task *task);

#ifdef __cplusplus
}
#endif
#endif
