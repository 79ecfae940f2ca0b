/* The table of intrinsic functions, as the parser and evaluator of calls (intrinsic.c) sees it. */
#ifndef CARILLON_ENGINE_CORE_INTRINSIC_H
#define CARILLON_ENGINE_CORE_INTRINSIC_H

#include "engine/core/expr_internal.h"

/* One evaluation of an expression. */
struct intrinsic_env {
    const struct eval_env *env;
    struct asl_error *err;
    struct str text; /* of the whole expression, for causes */
    bool failed;     /* *err is set */
};

struct intrinsic {
    const char *name; /* "States.Format" */
    uint32_t args_min, args_max;
    bool takes_template; /* the first argument is a format string */
    /* NULL on failure: with intrinsic_fail() called, or for want of memory. */
    const struct jv *(*run)(struct intrinsic_env *in, const struct jv *const *args, uint32_t len);
};

/* NULL when there is no function of that name. */
const struct intrinsic *intrinsic_find(struct str name);
/* States.IntrinsicFailure: "The function '...' had the following error: ...". Returns false. */
bool intrinsic_fail(struct intrinsic_env *in, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
