/* Child executions: what passes between a task that starts an execution and that execution. Pure, as
 * all of the core; engine/children.c carries it.
 *
 *   parent's task ──child_ask_parse──▶ start (FACT_START, parent = the task's token)
 *   child is durable ──child_started_write──▶ FACT_TASK_SUCCEEDED, or SUBMITTED where its end is waited for
 *   child ends ──exec_end_write──▶ FACT_CHILD_ENDED at the parent
 *
 * Members of what the parent's state gets, and error names, are those recorded on the real service. */
#ifndef CARILLON_ENGINE_CORE_CHILD_H
#define CARILLON_ENGINE_CORE_CHILD_H

#include "engine/core/core.h"

/* "arn:aws:states:us-east-1:<tenant>:execution:<workflow>:<name>", ":stateMachine:<workflow>". A tenant
 * without a text form of its own is its number, in twelve digits. */
void execution_arn_write(struct buf *out, const struct exec_ident *ident);
void machine_arn_write(struct buf *out, const struct exec_ident *ident);

/* An error to fail the attempt with. */
struct child_error {
    struct str name, cause;
};

/* What the parameters of the task ask for; texts live in the arena. */
struct child_ask {
    struct str workflow;
    struct str name;  /* derived from the token where none is given: a repeat starts nothing new */
    struct str input; /* JSON text; {} where none is given */
    struct str machine; /* StateMachineArn as given */
    struct str request; /* a UUID derived from the token: id of the request */
};
/* False with the error the attempt fails with. */
bool child_ask_parse(struct arena *a, struct str parameters, const struct task_token *token,
                     struct child_ask *out, struct child_error *err);
/* The errors of a start that cannot be: no such workflow; the name is taken. */
struct child_error child_no_workflow(struct arena *a, const struct child_ask *ask);
struct child_error child_name_taken(struct arena *a, const struct child_ask *ask,
                                    const struct exec_ident *child);
struct child_error child_bad_input(struct arena *a, const struct child_ask *ask);
/* {"ExecutionArn", "StartDate"}: the answer to the call. */
void child_started_write(struct buf *out, const struct exec_ident *child);

/* Says how the execution has ended: bytes for FACT_CHILD_ENDED. It must have. */
void exec_end_write(struct exec *x, struct wall stopped_at, struct buf *out);
/* What exec_end_write said. Borrowed from the bytes; false: they are malformed. */
struct child_end {
    enum exec_status status;
    struct exec_ident ident; /* tenant, workflow, name, started_at */
    struct wall stopped_at;
    struct str input, output, error, cause;
};
bool child_end_read(struct str bytes, struct child_end *out);
/* The result of a child that has succeeded; "parsed": payloads as JSON (.sync:2), else as text. */
void child_output_write(struct buf *out, const struct child_end *end, bool parsed);
/* The cause of a child that has not, at most CAUSE_SIZE_MAX bytes: what is too long is left out, the
 * input first. */
void child_cause_write(struct buf *out, const struct child_end *end);

#endif
