/* Inside the interpreter: what decide.c (the steps), values.c (data flow of a state) and turn.c (facts in,
 * effects out) share. */
#ifndef CARILLON_ENGINE_CORE_DECIDE_H
#define CARILLON_ENGINE_CORE_DECIDE_H

#include "engine/core/exec.h"

enum { STEP_OPS = 24, STEP_PAYS = 24 };

struct turn {
    struct exec *x;
    struct wall now;
    struct rng *rng;
    struct buf body, outcomes, text;
    struct scratch s;
    struct effects fx;
    uint32_t idx_next; /* of the next task or timer */
    uint32_t steps;    /* transitions made */
    uint64_t fuel;     /* of expressions, for the current step */
    /* values of the current step */
    struct op ops[STEP_OPS];
    uint32_t ops_len;
    struct pay *pays[STEP_PAYS];
    uint32_t pays_len;
    struct core_task *tasks_new;
    uint32_t tasks_room;
    struct core_timer *timers_new;
    uint32_t timers_room;
    struct turn_out out;
};

/* A value on its way through a state: how to write it down, and what it is. Borrowed for the step. */
struct val {
    const struct op *op;
    struct pay *pay;
};

/* The one place where events come into being: appended to the row, applied to the state. */
void emit(struct turn *t, struct event *e);

/* values.c: all return false after having raised the error in the frame. */
struct val val_in(struct turn *t, struct frame *f);
struct val val_res(struct turn *t, struct frame *f);
struct val val_error(struct turn *t, struct frame *f);
struct val val_text(struct turn *t, struct str json);
struct val val_tree(struct turn *t, const struct jv *v);
/* InputPath, then the template (Parameters; NULL = none). */
bool effective_input(struct turn *t, struct frame *f, const struct tmpl *parameters,
                     const struct jv *token, struct val *out);
/* Everything after the result: ResultPath, OutputPath, Assign, and the event. */
bool leave_state(struct turn *t, struct frame *f, struct val result, struct path_field where,
                 uint32_t where_field, const struct tmpl *assign, const struct state *next);
bool select_result(struct turn *t, struct frame *f, struct val in, struct val *out);
bool apply_output_path(struct turn *t, struct frame *f, struct val in, struct val *out);
bool eval_env_make(struct turn *t, struct frame *f, struct pay *data, const struct jv *token,
                   struct eval_env *env);
bool eval_tmpl(struct turn *t, struct frame *f, const struct tmpl *tmpl, struct pay *data,
               const struct jv *token, struct val *out);
bool fits(struct turn *t, struct frame *f, struct val v);
/* A number of a field or its path. */
bool eval_number(struct turn *t, struct frame *f, const struct num_field *n, const char *field,
                 struct pay *data, int64_t *out);

/* Raises "name" in the frame. raise_at puts the state's name and event number in front. */
void raise(struct turn *t, struct frame *f, struct str name, struct str cause);
bool raise_at(struct turn *t, struct frame *f, struct str name, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
bool raise_asl(struct turn *t, struct frame *f, const struct asl_error *err);
bool raise_limit(struct turn *t, struct frame *f, struct str what);

/* decide.c: one step of one ready frame. */
void step(struct turn *t, struct frame *f);

#endif
