/* What the files behind expr.h share: the shape of compiled paths, errors, fuel, bounds. */
#ifndef CARILLON_ENGINE_CORE_EXPR_INTERNAL_H
#define CARILLON_ENGINE_CORE_EXPR_INTERNAL_H

#include "base/assert.h"
#include "engine/core/expr.h"

enum {
    PATH_STEPS_MAX = 64,        /* steps of one path */
    PATH_UNION_MAX = 256,       /* entries of one [a,b,...] */
    FILTER_NEST_MAX = 4,        /* filters inside filters */
    FILTER_DEPTH_MAX = 32,      /* parentheses and "!" inside one filter */
    CALL_DEPTH_MAX = 10,        /* intrinsic functions inside each other: as on the real service */
    CALL_ARGS_MAX = 256,        /* arguments of one call */
    VALUE_DEPTH_MAX = 2000,     /* nesting of a value that is walked; recursion is bounded by it */
    VARIABLE_NAME_MAX = 80,     /* characters of a variable's name (ASL) */
    INTRINSIC_TEXT_MAX = 10000, /* bytes that Hash, Base64Encode, Base64Decode take (ASL) */
    ARRAY_RANGE_MAX = 1000,     /* items that ArrayRange makes (ASL) */
    CAUSE_INPUT_MAX = 24576,    /* bytes of the input quoted in a cause (CAUSE_SIZE_MAX) */
    JSON_TEXT_MAX = 8388608,    /* bytes of a text that an expression makes */
};

/* ---- compiled paths ---- */

enum path_root {
    ROOT_DATA,     /* $ */
    ROOT_CONTEXT,  /* $$ */
    ROOT_VARIABLE, /* $name */
    ROOT_CURRENT,  /* @, in filters only */
};

enum step_type {
    STEP_NAME,    /* .name ['name'] */
    STEP_NAMES,   /* ['a','b'] */
    STEP_INDEX,   /* [n] */
    STEP_INDEXES, /* [1,2] */
    STEP_SLICE,   /* [a:b:c] */
    STEP_WILD,    /* .* [*] */
    STEP_FILTER,  /* [?(...)] */
    STEP_DESCENT, /* ..: the next step, at every depth */
};

struct filter;

struct step {
    enum step_type type;
    uint32_t len;          /* NAMES, INDEXES */
    bool has_from, has_to; /* SLICE */
    union {
        struct str name;
        struct str *names;
        int64_t index;
        int64_t *indexes;
        struct {
            int64_t from, to, by;
        } slice;
        const struct filter *filter;
    } u;
};

struct path {
    struct str text;
    enum path_root root;
    struct str variable; /* ROOT_VARIABLE */
    bool reference;      /* names and indexes only, none of them computed: [(@.length-1)] */
    bool definite;       /* gives one value at most */
    uint32_t len;
    struct step *steps;
};

/* Reads a path at text[*at]; stops at the first character that cannot belong to it and sets *at
 * there. For paths inside other expressions: "in_filter" stops names at operators, too. */
enum err path_parse_at(struct arena *a, struct str text, size_t *at, bool in_filter,
                       uint32_t filter_nest, const struct path **out,
                       struct err_detail *detail) MUST_CHECK;

/* As path_eval. "current" is "@". NULL in *out (and true) when a definite path finds nothing;
 * false on exhausted fuel, memory or depth only. */
bool path_find(const struct path *p, const struct eval_env *env, const struct jv *current,
               const struct jv **out, struct asl_error *err) MUST_CHECK;

/* ---- compiled filters (filter.c) ---- */

/* Reads a filter's condition after "?(" up to, not including, the closing ")". */
enum err filter_parse(struct arena *a, struct str text, size_t *at, uint32_t nest,
                      const struct filter **out, struct err_detail *detail) MUST_CHECK;
bool filter_holds(const struct filter *f, const struct eval_env *env, const struct jv *current,
                  bool *out, struct asl_error *err) MUST_CHECK;

/* ---- parsing helpers ---- */

size_t lex_skip_space(struct str text, size_t at);
bool lex_is_ident_start(char c); /* a letter, "_" or any byte of a non-ASCII character */
bool lex_is_ident(char c);
/* Reads a quoted string at text[*at] (the quote) and decodes it. What a backslash means differs:
 *   ESCAPES_PATH       \' \" (the quote in use) and \\; any other one stands for itself
 *   ESCAPES_INTRINSIC  \' \\ \{ \}; any other one stands for itself
 *   ESCAPES_TEMPLATE   \' only: the format string of States.Format reads the rest itself */
enum escapes { ESCAPES_PATH, ESCAPES_INTRINSIC, ESCAPES_TEMPLATE };
enum err lex_quoted(struct arena *a, struct str text, size_t *at, enum escapes escapes,
                    struct str *out, struct err_detail *detail) MUST_CHECK;
/* Reads a JSON number at text[*at]. */
enum err lex_number(struct arena *a, struct str text, size_t *at, const struct jv **out,
                    struct err_detail *detail) MUST_CHECK;

/* ---- values ---- */

/* Order of two numbers: -1, 0, 1. Exact for integers of 64 bits, else as doubles. */
int expr_number_cmp(const struct jv *a, const struct jv *b);

/* ---- errors and bounds at run time ---- */

/* All of these return false, for "return asl_fail(...)". */
bool asl_fail(struct asl_error *err, struct arena *a, struct str name, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
bool asl_fail_memory(struct asl_error *err);
bool asl_fail_depth(struct asl_error *err);
/* Takes "n" steps off the fuel; false, with the error set, when it is used up. */
bool expr_spend(const struct eval_env *env, uint64_t n, struct asl_error *err) MUST_CHECK;
/* The input as compact text for a cause, cut when long; in the arena. */
struct str asl_quote(struct arena *a, const struct jv *v);

#endif
