/* Data expressions of the Amazon States Language in JSONPath mode: paths, reference paths,
 * payload templates, intrinsic functions, choice rules. Pure: values in, value out; bounded by
 * fuel and by the arena's cap. Compiled once with the definition, shared between executions.
 *
 * Source: states-language.net (sections Paths, Reference Paths, Payload Template, Intrinsic Functions,
 * Choice State, Variables); error names and causes as recorded on the real service. */
#ifndef CARILLON_ENGINE_CORE_EXPR_H
#define CARILLON_ENGINE_CORE_EXPR_H

#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"

/* What an expression may see. All borrowed for the call. */
struct eval_env {
    const struct jv *data;    /* "$": the state's (effective) input */
    const struct jv *context; /* "$$": the context object */
    const struct jv *vars;    /* "$name": an object of variables, NULL = none */
    struct rng *rng;          /* States.UUID, States.MathRandom without seed */
    struct arena *arena;      /* results; a cap here bounds memory */
    uint64_t *fuel;           /* steps left; NULL = no bound. 0 left raises States.Runtime */
};

/* An error a workflow can see: name ("States.ParameterPathFailure") and cause. */
struct asl_error {
    struct str name;  /* points to static text or into the arena */
    struct str cause; /* in the arena */
};

struct path; /* compiled JSONPath, "$.a[0]['b c']..x[?(...)]", "$$.Execution.Id", "$var.a" */

/* Compiles into "a" (the definition's arena). "detail" says what is wrong and at which character. */
enum err path_parse(struct arena *a, struct str text, const struct path **out,
                    struct err_detail *detail) MUST_CHECK;
struct str path_text(const struct path *p);
/* Selects exactly one thing at most: only .name, ['name'] and [index] steps. */
bool path_is_reference(const struct path *p);
bool path_is_context(const struct path *p);     /* starts with $$ */
struct str path_variable(const struct path *p); /* "name" of $name..., STR_NONE otherwise */

/* Evaluates. A reference path gives the value or, when absent, false with *err filled
 * ("States.Runtime"; the caller renames it where the field has a name of its own). A path with
 * wildcards, slices, filters or descent gives an array. */
bool path_eval(const struct path *p, const struct eval_env *env, const struct jv **out,
               struct asl_error *err) MUST_CHECK;
/* As path_eval; "field" is the name that the cause shows ("InputPath", "name.$"). The one to use
 * wherever the path stands in a field: the recorded causes name it. */
bool path_eval_field(const struct path *p, struct str field, const struct eval_env *env,
                     const struct jv **out, struct asl_error *err) MUST_CHECK;
/* Present at all? For IsPresent. */
bool path_exists(const struct path *p, const struct eval_env *env);
/* "root" with "value" put at reference path "p" (creating objects on the way; "$" replaces all);
 * shares everything untouched. False when a step meets a scalar or an array index out of range. */
bool path_put(const struct path *p, struct arena *a, const struct jv *root, const struct jv *value,
              const struct jv **out, struct asl_error *err) MUST_CHECK;

/* Payload template: any JSON, in which "name.$": "<path or intrinsic>" computes a member. Also used
 * for Assign, ResultSelector, ItemSelector, Parameters. */
struct tmpl;
/* Problems go to "report" (all of them, with the position of the value). */
struct expr_problems {
    void (*report)(void *arg, const struct jv *at, const char *message);
    void *arg;
};
const struct tmpl *tmpl_parse(struct arena *a, const struct jv *v, struct expr_problems *problems);
bool tmpl_eval(const struct tmpl *t, const struct eval_env *env, const struct jv **out,
               struct asl_error *err) MUST_CHECK;
bool tmpl_is_constant(const struct tmpl *t);

/* One expression in a string: a path or an intrinsic function ("States.Format('{}', $.a)"). */
struct expr;
enum err expr_parse(struct arena *a, struct str text, const struct expr **out,
                    struct err_detail *detail) MUST_CHECK;
bool expr_eval(const struct expr *e, const struct eval_env *env, const struct jv **out,
               struct asl_error *err) MUST_CHECK;

/* "field": as in path_eval_field. */
bool expr_eval_field(const struct expr *e, struct str field, const struct eval_env *env,
                     const struct jv **out, struct asl_error *err) MUST_CHECK;

/* One choice rule (data test, And/Or/Not); "Next" and "Assign" belong to the caller. */
struct rule;
const struct rule *rule_parse(struct arena *a, const struct jv *v, bool top,
                              struct expr_problems *problems);
/* False with *err on a run-time error (a path that finds nothing); else *out says whether it holds. */
bool rule_eval(const struct rule *r, const struct eval_env *env, bool *out,
               struct asl_error *err) MUST_CHECK;

#endif
