/* Workflow definitions inside the core: the immutable tree that def_parse.c makes, def_check.c judges
 * and decide.c walks. All of it lives in the definition's arena. Outside the core only core.h counts. */
#ifndef CARILLON_ENGINE_CORE_DEF_H
#define CARILLON_ENGINE_CORE_DEF_H

#include "engine/core/core.h"
#include "engine/core/expr.h"

enum state_type { ST_PASS, ST_TASK, ST_CHOICE, ST_WAIT, ST_SUCCEED, ST_FAIL, ST_PARALLEL, ST_MAP };
enum { STATE_TYPES = 8 };
extern const char *const state_type_names[STATE_TYPES];

/* Which family of history events a task writes. */
enum resource_kind { RES_TASK, RES_LAMBDA, RES_ACTIVITY };

/* What a Resource text means (design.md section 5). */
struct resource {
    enum resource_kind kind;
    struct str text;      /* as written */
    struct str queue;     /* who does it; STR_NONE: the FunctionName of the parameters */
    struct str service;   /* resourceType of the events: "lambda", "states", "queue" */
    struct str action;    /* resource of the events: "invoke", "startExecution.sync" */
    bool start_execution; /* a child execution */
    bool sync;            /* the outcome is the job's, not the call's */
    bool sync_json;       /* .sync:2: its payloads come as JSON, not as text */
    bool wait_for_token;
};
/* False with "message" (in the arena) when the text is none of the forms. */
bool resource_parse(struct arena *a, struct str text, struct resource *out, const char **message);

/* A field that may be absent, null or a path. */
struct path_field {
    const struct path *path; /* NULL: absent or null */
    bool null;               /* written as null */
};
/* A number given as it is or by a path. */
struct num_field {
    bool present;
    int64_t value;
    const struct path *path;
};

struct retrier {
    struct str *errors;
    uint32_t errors_len;
    int64_t interval_s, max_attempts, max_delay_s; /* max_delay_s: 0 = none */
    double backoff;
    bool jitter;
};

struct state;
struct catcher {
    struct str *errors;
    uint32_t errors_len;
    struct path_field result_path;
    const struct tmpl *assign;
    const struct state *next;
};
struct choice {
    const struct rule *rule;
    const struct tmpl *assign;
    const struct state *next;
};

struct machine {
    uint32_t index; /* in def.machines */
    const struct state *start;
    const struct state *owner; /* the Parallel or Map state, NULL at the top */
    struct state **states;     /* document order */
    struct state **by_name;    /* sorted */
    uint32_t states_len;
    struct str prefix;   /* of the states' paths: "Fan[0]/" */
    const struct jv *at; /* its JSON, for positions */
};

struct state {
    uint32_t index; /* in def.states */
    enum state_type type;
    struct str name, path;
    const struct machine *machine;
    const struct state *next; /* NULL: the end of its machine */
    bool uses_context, uses_vars;
    bool uses_input; /* $$.Execution.Input, perhaps: the whole input must be parsed */
    struct path_field input_path, output_path, result_path;
    const struct tmpl *parameters, *result_selector, *assign;
    struct str result; /* Pass: compact JSON; STR_NONE = none */
    struct retrier *retriers;
    uint32_t retriers_len;
    struct catcher *catchers;
    uint32_t catchers_len;
    /* Task */
    struct resource resource;
    struct num_field timeout, heartbeat;
    const struct tmpl *credentials;
    /* Choice */
    struct choice *choices;
    uint32_t choices_len;
    const struct state *fallback; /* Default */
    /* Wait */
    struct num_field seconds;
    bool has_timestamp;
    struct wall timestamp;
    const struct path *timestamp_path;
    /* Fail */
    struct str error, cause;
    const struct expr *error_path, *cause_path;
    /* Parallel: its branches. Map: one machine, the item processor. */
    struct machine **branches;
    uint32_t branches_len;
    const struct path *items_path;
    const struct tmpl *item_selector;
    struct num_field max_concurrency, tolerated_count, tolerated_percent;
    bool distributed, has_reader, has_batcher;
    /* Only while parsing: */
    const struct jv *at;
    bool ends, reached, broken;
};

struct def {
    uint32_t refs; /* atomic */
    struct arena arena;
    const struct jv *root;
    struct str comment;
    struct machine **machines;
    uint32_t machines_len, machines_room;
    struct state **states;
    uint32_t states_len, states_room;
    int64_t timeout_s; /* of the whole execution; 0 = none */
};

const struct machine *def_top(const struct def *d);
const struct state *def_state(const struct def *d, uint32_t index); /* NULL when out of range */
const struct state *machine_find(const struct machine *m, struct str name);

/* Reports one problem; formats into the list's arena. */
void def_problem(struct def_problems *p, uint32_t line, uint32_t col, struct str pointer,
                 const char *fmt, ...) PRINTF_LIKE(5, 6);
bool def_problems_full(const struct def_problems *p);
/* The candidate closest to "name" if it is close enough to be a slip of the pen, else NULL. */
const char *nearest_name(struct str name, const char *const *candidates, size_t n);
/* As nearest_name among the states of a machine. */
const struct state *nearest_state(const struct machine *m, struct str name);

/* Builds the tree of "d" from "root"; reports everything wrong with single places (def_parse.c). */
void def_build(struct def *d, const struct jv *root, struct def_problems *problems);
/* Judges the whole: reachability, ends, names (def_check.c). */
void def_check(struct def *d, struct def_problems *problems);
/* Writes the JSON pointer of a machine into "out". */
void machine_pointer(const struct def *d, const struct machine *m, struct buf *out);

#endif
