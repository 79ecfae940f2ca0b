/* libcarillon: the client of Carillon, for programs that start workflows and for workers.
 *
 * All functions are thread-safe unless said otherwise and never abort the program. A function that can
 * fail returns CARILLON_OK (0) or another number of enum carillon_err; carillon_error_text() then
 * tells what was wrong, per thread. Texts are UTF-8, closed by NUL; payloads are JSON texts.
 *
 * A client connects in the background, moves to another address when a node dies, stands by or
 * drains, and repeats what is in doubt under the same name or token, until the call's time is over. */
#ifndef CARILLON_CMD_CARILLON_CLIENT_H
#define CARILLON_CMD_CARILLON_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum carillon_err {
    CARILLON_OK = 0,
    CARILLON_INVALID = 1,    /* the request can never work */
    CARILLON_DEFINITION = 4, /* the workflow definition has mistakes */
    CARILLON_TOO_LARGE = 6,
    CARILLON_NOT_FOUND = 20,
    CARILLON_NO_WORKFLOW = 21,
    CARILLON_NO_EXECUTION = 22,
    CARILLON_EXISTS = 41,      /* the name is taken by an execution with another input */
    CARILLON_STALE = 42,       /* the attempt is closed; its outcome was not taken */
    CARILLON_STOPPED = 43,     /* the execution has ended */
    CARILLON_UNAVAILABLE = 64, /* no node could be reached in time: nothing happened */
    CARILLON_UNKNOWN = 70,     /* no answer in time: it may or may not have happened */
    CARILLON_LIMIT = 80,       /* a stated bound was hit: try again later */
};

enum carillon_status {
    CARILLON_RUNNING = 1,
    CARILLON_SUCCEEDED = 2,
    CARILLON_FAILED = 3,
    CARILLON_TIMED_OUT = 4,
    CARILLON_ABORTED = 5,
};

enum { CARILLON_ID_SIZE = 37 };    /* bytes of an execution id with its NUL */
enum { CARILLON_TOKEN_SIZE = 55 }; /* bytes of a task token's text with its NUL */

/* What went wrong last in this thread, for people; "" when nothing. Valid until the next call. */
const char *carillon_error_text(void);
/* Name of an error number: "NO_WORKFLOW". Static. */
const char *carillon_error_name(int err);
const char *carillon_status_name(int status); /* "SUCCEEDED"; static */
const char *carillon_version(void);

/* ---- connecting ---- */

struct carillon; /* a client; opaque */

struct carillon_options {
    const char *name;   /* identity of this program in outcomes and logs; NULL: "client-<pid>" */
    const char *tenant; /* NULL: "default" */
    int timeout_ms;     /* of each call; 0: 30000 */
};

/* "addresses": "tcp://host:port", several separated by commas. Does not wait for a connection: calls
 * do. "options" may be NULL; everything is copied. The caller owns the client: carillon_close(). */
int carillon_open(const char *addresses, const struct carillon_options *options,
                  struct carillon **out);
/* Ends the background thread; calls under way in other threads must have returned, workers must have been
 * freed. NULL is fine. */
void carillon_close(struct carillon *c);
/* Node id, state and figures as a JSON text; free() it. */
int carillon_node_status(struct carillon *c, char **json);

/* ---- workflows ---- */

/* Stores a definition (JSON or YAML). "version" may be NULL. On CARILLON_DEFINITION the error text lists
 * every mistake, a line each: "line:column: pointer: what is wrong". */
int carillon_define(struct carillon *c, const char *workflow, const char *text, int *version);
/* The newest (version 0) or another version, as it was put; free() it. */
int carillon_definition(struct carillon *c, const char *workflow, int version, char **text,
                        int *version_out);
/* Calls "row" for each workflow, by name. */
int carillon_definitions(struct carillon *c,
                         void (*row)(void *arg, const char *workflow, int version,
                                     int64_t created_ms),
                         void *arg);
/* No more starts; executions that run go on. */
int carillon_undefine(struct carillon *c, const char *workflow);

/* ---- executions ---- */

/* Starts an execution, durably. The same name with the same input is the same execution ("created" 0),
 * with another input CARILLON_EXISTS. "name" NULL: one is made, so that a repeat inside this call is
 * still one execution. "input" NULL: "{}". "id" gets CARILLON_ID_SIZE bytes; id and created may be
 * NULL. */
int carillon_start(struct carillon *c, const char *workflow, const char *name, const char *input,
                   char *id, int *created);
/* The same without waiting: "done" runs once, on the background thread, and must not block. Starts made
 * close together travel together. All texts are copied. */
int carillon_start_async(struct carillon *c, const char *workflow, const char *name,
                         const char *input, void (*done)(void *arg, int err, const char *id),
                         void *arg);

struct carillon_execution {
    char id[CARILLON_ID_SIZE];
    int status;                                             /* enum carillon_status */
    char *workflow, *name, *input, *output, *error, *cause; /* NULL where there is none */
    int64_t started_ms, closed_ms; /* since 1970; closed_ms 0 while it runs */
    int events, workflow_version;
};
/* Fills "out"; carillon_execution_free() afterwards. */
int carillon_describe(struct carillon *c, const char *id, struct carillon_execution *out);
int carillon_describe_name(struct carillon *c, const char *workflow, const char *name,
                           struct carillon_execution *out);
void carillon_execution_free(struct carillon_execution *x);
/* Waits until the execution has ended, at most "timeout_ms" (0: for ever): then CARILLON_UNKNOWN. "out"
 * may be NULL. */
int carillon_wait(struct carillon *c, const char *id, int timeout_ms,
                  struct carillon_execution *out);
/* Ends it as ABORTED. Repeating is fine. error and cause may be NULL. */
int carillon_stop(struct carillon *c, const char *id, const char *error, const char *cause);
/* Executions, newest first; "row" returns 0 to go on. workflow NULL: all; status 0: all; limit 0: no
 * bound. */
int carillon_list(struct carillon *c, const char *workflow, int status, int limit,
                  int (*row)(void *arg, const char *id, const char *workflow, const char *name,
                             int status, int64_t started_ms, int64_t closed_ms),
                  void *arg);
/* Events as JSON objects, in order; "event" returns 0 to go on. */
int carillon_history(struct carillon *c, const char *id, int (*event)(void *arg, const char *json),
                     void *arg);

/* ---- outcomes by token ---- */

int carillon_token_succeed(struct carillon *c, const char *token, const char *output);
int carillon_token_fail(struct carillon *c, const char *token, const char *error,
                        const char *cause);
int carillon_token_heartbeat(struct carillon *c, const char *token);

/* ---- workers ---- */

struct carillon_worker;
struct carillon_task; /* one attempt, until its outcome is given */

struct carillon_worker_options {
    const char *const *queues; /* NULL-ended list of queue names */
    int concurrency;           /* tasks held at a time; 0: 10 */
    int threads; /* that run the handler; 0: the background thread does, so the handler must not block */
    /* Does the work. It must give an outcome with carillon_task_succeed or _fail, now or later, from any
     * thread; the task is gone then. */
    void (*handler)(void *arg, struct carillon_task *t);
    void *arg;
};

/* Starts to work. One worker per client. Everything but "arg" is copied. */
int carillon_worker_start(struct carillon *c, const struct carillon_worker_options *options,
                          struct carillon_worker **out);
/* Takes no new task, waits until outcomes of held ones are acknowledged, at most "timeout_ms"; frees. */
int carillon_worker_stop(struct carillon_worker *w, int timeout_ms);

/* Valid until the outcome is given. */
const char *carillon_task_input(const struct carillon_task *t);
const char *carillon_task_queue(const struct carillon_task *t);
const char *carillon_task_workflow(const struct carillon_task *t);
const char *carillon_task_name(const struct carillon_task *t);      /* of the execution */
const char *carillon_task_execution(const struct carillon_task *t); /* its id */
const char *carillon_task_state(const struct carillon_task *t);
int carillon_task_attempt(const struct carillon_task *t);
const char *carillon_task_token(const struct carillon_task *t); /* text, for callbacks by others */
int64_t carillon_task_timeout_at_ms(const struct carillon_task *t); /* 0 = none */

/* The outcome; texts are copied. It is repeated until a node has acknowledged it. */
void carillon_task_succeed(struct carillon_task *t, const char *output);
void carillon_task_fail(struct carillon_task *t, const char *error, const char *cause);

#ifdef __cplusplus
}
#endif

#endif
