/* Paths at run time: select, and put at a reference path. Parsing is in path_parse.c.
 *
 * What the recordings show: a path with a wildcard, a slice, a filter or a descent gives an array,
 * and an empty one when any part of it is absent ("$.item.items[1:5]" on {} is []). A path of
 * names and single indexes gives the value itself or fails the state. */
#include "base/prelude.h"

#include "engine/core/expr_internal.h"

struct str path_text(const struct path *p)
{
    return p->text;
}

bool path_is_reference(const struct path *p)
{
    return p->reference;
}

bool path_is_context(const struct path *p)
{
    return p->root == ROOT_CONTEXT;
}

struct str path_variable(const struct path *p)
{
    return p->root == ROOT_VARIABLE ? p->variable : STR_NONE;
}

/* ---- select ---- */

static const struct jv *root_value(const struct path *p, const struct eval_env *env,
                                   const struct jv *current)
{
    switch (p->root) {
    case ROOT_DATA:
        return env->data;
    case ROOT_CONTEXT:
        return env->context;
    case ROOT_VARIABLE:
        return jv_get(env->vars, p->variable);
    case ROOT_CURRENT:
        return current;
    }
    return NULL;
}

/* The item at "index", counted from the end when negative; NULL when there is none. */
static const struct jv *item_at(const struct jv *v, int64_t index)
{
    if (!jv_is(v, JV_ARRAY)) {
        return NULL;
    }
    if (index < 0) {
        index += v->len;
    }
    return index >= 0 && index < v->len ? v->u.items[index] : NULL;
}

static const struct jv *named(const struct jv *v, struct str name)
{
    return jv_is(v, JV_OBJECT) ? jv_get(v, name) : NULL;
}

struct walk {
    const struct path *path;
    const struct eval_env *env;
    struct asl_error *err;
    struct jv_list found;
    uint32_t depth;
};

static bool walk_from(struct walk *w, const struct jv *v, uint32_t step);

/* An object of those members that "v" has: what a union of names at the end gives. */
static const struct jv *merge_names(const struct step *s, const struct jv *v, struct arena *a)
{
    struct jv_list b;
    jv_obj_begin(&b, a);
    for (uint32_t i = 0; i < s->len; i++) {
        const struct jv *member = jv_get(v, s->u.names[i]);
        bool again = false;
        for (uint32_t k = 0; k < i && member != NULL; k++) {
            again = again || str_eq(s->u.names[k], s->u.names[i]);
        }
        if (member != NULL && !again) {
            jv_obj_add(&b, s->u.names[i], member);
        }
    }
    return jv_obj_end(&b);
}

static bool walk_names(struct walk *w, const struct jv *v, uint32_t i)
{
    const struct step *s = &w->path->steps[i];
    if (!jv_is(v, JV_OBJECT)) {
        return true;
    }
    if (i + 1 == w->path->len) {
        const struct jv *merged = merge_names(s, v, w->env->arena);
        return merged != NULL ? walk_from(w, merged, i + 1) : asl_fail_memory(w->err);
    }
    for (uint32_t k = 0; k < s->len; k++) {
        const struct jv *member = jv_get(v, s->u.names[k]);
        if (member != NULL && !walk_from(w, member, i + 1)) {
            return false;
        }
    }
    return true;
}

/* As Python slices: bounds from the end when negative, clamped, "by" may run backwards. */
static bool walk_slice(struct walk *w, const struct jv *v, uint32_t i)
{
    const struct step *s = &w->path->steps[i];
    if (!jv_is(v, JV_ARRAY)) {
        return true;
    }
    int64_t len = v->len;
    int64_t by = s->u.slice.by;
    int64_t lowest = by > 0 ? 0 : -1;
    int64_t highest = by > 0 ? len : len - 1;
    int64_t from = s->u.slice.from < 0 ? s->u.slice.from + len : s->u.slice.from;
    int64_t to = s->u.slice.to < 0 ? s->u.slice.to + len : s->u.slice.to;
    from = s->has_from ? MAX(lowest, MIN(from, highest)) : (by > 0 ? 0 : len - 1);
    to = s->has_to ? MAX(lowest, MIN(to, highest)) : (by > 0 ? len : -1);
    for (int64_t k = from; by > 0 ? k < to : k > to; k += by) {
        if (!walk_from(w, v->u.items[k], i + 1)) {
            return false;
        }
    }
    return true;
}

static bool is_container(const struct jv *v)
{
    return jv_is(v, JV_ARRAY) || jv_is(v, JV_OBJECT);
}

static const struct jv *child(const struct jv *v, uint32_t k)
{
    return v->type == JV_ARRAY ? v->u.items[k] : v->u.members[k].value;
}

static bool walk_wild(struct walk *w, const struct jv *v, uint32_t i)
{
    for (uint32_t k = 0; is_container(v) && k < v->len; k++) {
        if (!walk_from(w, child(v, k), i + 1)) {
            return false;
        }
    }
    return true;
}

static bool filter_one(struct walk *w, const struct jv *v, uint32_t i)
{
    bool holds = false;
    if (!expr_spend(w->env, 1, w->err) ||
        !filter_holds(w->path->steps[i].u.filter, w->env, v, &holds, w->err)) {
        return false;
    }
    return !holds || walk_from(w, v, i + 1);
}

/* An array's items are tested each; an object is tested itself. After ".." the objects inside an
 * array are met on the way down, and would be found twice if they were tested here, too. */
static bool walk_filter(struct walk *w, const struct jv *v, uint32_t i)
{
    bool below_descent = i > 0 && w->path->steps[i - 1].type == STEP_DESCENT;
    if (jv_is(v, JV_OBJECT)) {
        return filter_one(w, v, i);
    }
    for (uint32_t k = 0; jv_is(v, JV_ARRAY) && k < v->len; k++) {
        if (below_descent && jv_is(v->u.items[k], JV_OBJECT)) {
            continue;
        }
        if (!filter_one(w, v->u.items[k], i)) {
            return false;
        }
    }
    return true;
}

/* The rest of the path at "v" and at everything below it, parents first. */
static bool walk_descent(struct walk *w, const struct jv *v, uint32_t i)
{
    if (!is_container(v)) {
        return true;
    }
    if (!walk_from(w, v, i + 1)) {
        return false;
    }
    if (++w->depth > VALUE_DEPTH_MAX) {
        return asl_fail_depth(w->err);
    }
    for (uint32_t k = 0; k < v->len; k++) {
        if (!expr_spend(w->env, 1, w->err) || !walk_descent(w, child(v, k), i)) {
            return false;
        }
    }
    w->depth--;
    return true;
}

static bool walk_indexes(struct walk *w, const struct jv *v, uint32_t i)
{
    const struct step *s = &w->path->steps[i];
    for (uint32_t k = 0; k < s->len; k++) {
        const struct jv *item = item_at(v, s->u.indexes[k]);
        if (item != NULL && !walk_from(w, item, i + 1)) {
            return false;
        }
    }
    return true;
}

static bool walk_one(struct walk *w, const struct jv *v, uint32_t i)
{
    return v == NULL || walk_from(w, v, i + 1);
}

/* Applies the steps from "i" on to "v"; what is left at the end is found. */
static bool walk_from(struct walk *w, const struct jv *v, uint32_t i)
{
    if (!expr_spend(w->env, 1, w->err)) {
        return false;
    }
    if (i == w->path->len) {
        jv_arr_add(&w->found, v);
        return !w->env->arena->failed || asl_fail_memory(w->err);
    }
    const struct step *s = &w->path->steps[i];
    switch (s->type) {
    case STEP_NAME:
        return walk_one(w, named(v, s->u.name), i);
    case STEP_INDEX:
        return walk_one(w, item_at(v, s->u.index), i);
    case STEP_NAMES:
        return walk_names(w, v, i);
    case STEP_INDEXES:
        return walk_indexes(w, v, i);
    case STEP_SLICE:
        return walk_slice(w, v, i);
    case STEP_WILD:
        return walk_wild(w, v, i);
    case STEP_FILTER:
        return walk_filter(w, v, i);
    case STEP_DESCENT:
        return walk_descent(w, v, i);
    }
    return true;
}

/* The hot path: nothing is allocated unless a union of names ends it. */
static bool find_definite(const struct path *p, const struct eval_env *env, const struct jv *v,
                          const struct jv **out, struct asl_error *err)
{
    *out = NULL;
    if (!expr_spend(env, p->len + 1, err)) {
        return false;
    }
    for (uint32_t i = 0; i < p->len && v != NULL; i++) {
        const struct step *s = &p->steps[i];
        if (s->type == STEP_NAME) {
            v = named(v, s->u.name);
        } else if (s->type == STEP_INDEX) {
            v = item_at(v, s->u.index);
        } else if (!jv_is(v, JV_OBJECT)) {
            v = NULL;
        } else {
            v = merge_names(s, v, env->arena);
            if (v == NULL) {
                return asl_fail_memory(err);
            }
        }
    }
    *out = v;
    return true;
}

bool path_find(const struct path *p, const struct eval_env *env, const struct jv *current,
               const struct jv **out, struct asl_error *err)
{
    const struct jv *root = root_value(p, env, current);
    if (p->definite) {
        return find_definite(p, env, root, out, err);
    }
    struct walk w = {.path = p, .env = env, .err = err};
    jv_arr_begin(&w.found, env->arena);
    if (root != NULL && !walk_from(&w, root, 0)) {
        return false;
    }
    *out = jv_arr_end(&w.found);
    return *out != NULL || asl_fail_memory(err);
}

bool path_eval_field(const struct path *p, struct str field, const struct eval_env *env,
                     const struct jv **out, struct asl_error *err)
{
    const struct jv *found = NULL;
    if (!path_find(p, env, NULL, &found, err)) {
        return false;
    }
    if (found != NULL) {
        *out = found;
        return true;
    }
    /* Seen on the real service (public reports; no recorded case has it): 'x.$' is a template's
     * member, 'InputPath' and the like a field of the state. */
    struct str input = asl_quote(env->arena, env->data);
    if (field.size == 0) {
        return asl_fail(err, env->arena, STR("States.Runtime"),
                        "The JSONPath '%.*s' could not be found in the input '%.*s'",
                        STR_ARG(p->text), STR_ARG(input));
    }
    return asl_fail(err, env->arena, STR("States.Runtime"),
                    "The JSONPath '%.*s' specified for the field '%.*s' could not be found in the "
                    "input '%.*s'",
                    STR_ARG(p->text), STR_ARG(field), STR_ARG(input));
}

bool path_eval(const struct path *p, const struct eval_env *env, const struct jv **out,
               struct asl_error *err)
{
    return path_eval_field(p, STR_NONE, env, out, err);
}

bool path_exists(const struct path *p, const struct eval_env *env)
{
    const struct jv *found = NULL;
    struct asl_error ignored;
    if (!path_find(p, env, NULL, &found, &ignored) || found == NULL) {
        return false;
    }
    return p->definite || found->len > 0;
}

/* ---- put ---- */

static bool put_failed(const struct path *p, struct arena *a, const struct jv *root,
                       struct asl_error *err)
{
    struct str input = asl_quote(a, root);
    return asl_fail(err, a, STR("States.ResultPathMatchFailure"),
                    "Unable to apply ReferencePath %.*s to input %.*s", STR_ARG(p->text),
                    STR_ARG(input));
}

/* A copy of the array with one item replaced. */
static const struct jv *with_item(struct arena *a, const struct jv *v, int64_t index,
                                  const struct jv *value)
{
    const struct jv *copy = jv_array(a, v->u.items, v->len);
    if (copy != NULL) {
        /* Nobody else has seen the copy yet. */
        copy->u.items[index < 0 ? index + v->len : index] = value;
    }
    return copy;
}

bool path_put(const struct path *p, struct arena *a, const struct jv *root, const struct jv *value,
              const struct jv **out, struct asl_error *err)
{
    PRE(p->reference && p->len <= PATH_STEPS_MAX);
    /* Down: the values on the way; NULL from the first one that is absent. */
    const struct jv *spine[PATH_STEPS_MAX];
    const struct jv *v = root;
    for (uint32_t i = 0; i < p->len; i++) {
        const struct step *s = &p->steps[i];
        spine[i] = v;
        if (s->type == STEP_INDEX) {
            v = item_at(v, s->u.index);
            if (v == NULL) {
                return put_failed(p, a, root, err);
            }
        } else if (v != NULL && !jv_is(v, JV_OBJECT)) {
            return put_failed(p, a, root, err);
        } else {
            v = jv_get(v, s->u.name);
        }
    }
    /* Up: a copy of each with the new child. */
    for (uint32_t i = p->len; i-- > 0;) {
        const struct step *s = &p->steps[i];
        value = s->type == STEP_INDEX ? with_item(a, spine[i], s->u.index, value)
                                      : jv_obj_put(a, spine[i], s->u.name, value);
        if (value == NULL) {
            return asl_fail_memory(err);
        }
    }
    *out = value;
    return true;
}
