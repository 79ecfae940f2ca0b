/* The interpreter: the only place that chooses. Looks at one ready frame at a time and emits the events that
 * carry it one step on; everything drawn or computed is in the events. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/limits.h"
#include "engine/core/decide.h"
#include "engine/core/retry.h"

static const struct path_field NO_RESULT_PATH = {NULL, false};

static void emit_in(struct turn *t, enum event_type type, const struct frame *f)
{
    struct event e = {.type = type, .frame = f->slot};

    emit(t, &e);
}

/* ---- Pass, Succeed, Fail, Choice, Wait ---- */

static void run_pass(struct turn *t, struct frame *f)
{
    const struct state *s = f->state;
    struct val v;

    if (!effective_input(t, f, s->parameters, NULL, &v)) {
        return;
    }
    if (s->result.p != NULL) {
        v = val_text(t, s->result);
    }
    (void)leave_state(t, f, v, s->result_path, FIELD_RESULT_PATH, s->assign, s->next);
}

static void run_succeed(struct turn *t, struct frame *f)
{
    struct val v;

    if (effective_input(t, f, NULL, NULL, &v)) {
        (void)leave_state(t, f, v, NO_RESULT_PATH, FIELD_RESULT_PATH, NULL, NULL);
    }
}

static bool fail_text(struct turn *t, struct frame *f, const struct expr *e, const char *field,
                      struct str *out)
{
    struct eval_env env;
    struct asl_error err;
    const struct jv *v;

    if (e == NULL) {
        return true;
    }
    if (!eval_env_make(t, f, f->in, NULL, &env)) {
        return false;
    }
    if (!expr_eval(e, &env, &v, &err)) {
        return raise_asl(t, f, &err);
    }
    if (!jv_is(v, JV_STRING)) {
        return raise_at(t, f, STR("States.Runtime"), "The %s must yield a string.", field);
    }
    *out = jv_str(v);
    return true;
}

static void run_fail(struct turn *t, struct frame *f)
{
    struct str error = f->state->error, cause = f->state->cause;

    if (fail_text(t, f, f->state->error_path, "ErrorPath", &error) &&
        fail_text(t, f, f->state->cause_path, "CausePath", &cause)) {
        raise(t, f, error, cause);
    }
}

static void run_choice(struct turn *t, struct frame *f)
{
    const struct state *s = f->state;
    const struct state *next = s->fallback;
    const struct tmpl *assign = s->assign;
    struct eval_env env;
    struct asl_error err;
    struct val v;

    if (!effective_input(t, f, NULL, NULL, &v) || !eval_env_make(t, f, v.pay, NULL, &env)) {
        return;
    }
    for (uint32_t i = 0; i < s->choices_len; i++) {
        bool holds = false;
        if (!rule_eval(s->choices[i].rule, &env, &holds, &err)) {
            (void)raise_asl(t, f, &err);
            return;
        }
        if (holds) {
            next = s->choices[i].next;
            assign = s->choices[i].assign;
            break;
        }
    }
    if (next == NULL) {
        (void)
            raise_at(t, f, STR("States.NoChoiceMatched"),
                     "Failed to transition out of the state. No choice rule matched and the state "
                     "does not specify a Default.");
        return;
    }
    (void)leave_state(t, f, v, NO_RESULT_PATH, FIELD_RESULT_PATH, assign, next);
}

static bool wait_until(struct turn *t, struct frame *f, struct pay *data, struct wall *due)
{
    const struct state *s = f->state;
    struct eval_env env;
    struct asl_error err;
    const struct jv *v;
    struct val got;
    int64_t seconds;

    if (s->seconds.present) {
        if (!eval_number(t, f, &s->seconds, "Seconds", data, &seconds)) {
            return false;
        }
        if (seconds > INT64_MAX / US_PER_S / 4) {
            return raise_at(t, f, STR("States.Runtime"), "The wait is too long.");
        }
        due->us = t->now.us + seconds * US_PER_S;
        return true;
    }
    if (s->timestamp_path == NULL) {
        *due = s->timestamp;
        return true;
    }
    if (!eval_env_make(t, f, data, NULL, &env)) {
        return false;
    }
    if (!path_eval(s->timestamp_path, &env, &v, &err)) {
        return raise_at(t, f, STR("States.Runtime"),
                        "The TimestampPath parameter does not reference an input value: %.*s",
                        STR_ARG(path_text(s->timestamp_path)));
    }
    if (!jv_is(v, JV_STRING) || wall_parse(jv_str(v), due) != ERR_OK) {
        got = val_tree(t, v);
        return raise_at(t, f, STR("States.Runtime"),
                        "The TimestampPath parameter does not reference a valid ISO-8601 extended "
                        "offset date-time format string: %.*s == %.*s",
                        STR_ARG(path_text(s->timestamp_path)),
                        STR_ARG(jv_is(v, JV_STRING) ? jv_str(v) : pay_text(got.pay)));
    }
    return true;
}

static void wait_over(struct turn *t, struct frame *f)
{
    struct val v;

    if (effective_input(t, f, NULL, NULL, &v)) {
        (void)leave_state(t, f, v, NO_RESULT_PATH, FIELD_RESULT_PATH, f->state->assign,
                          f->state->next);
    }
}

static void run_wait(struct turn *t, struct frame *f)
{
    struct event e = {.type = EV_WAIT_SET, .frame = f->slot};
    struct wall due = {0};
    struct val v;

    if (!effective_input(t, f, NULL, NULL, &v) || !wait_until(t, f, v.pay, &due)) {
        return;
    }
    if (due.us <= t->now.us) {
        wait_over(t, f);
        return;
    }
    e.idx = t->idx_next++;
    e.due_us = due.us - t->now.us;
    emit(t, &e);
}

/* ---- Task ---- */

static bool parameter_missing(struct turn *t, struct frame *f, const struct pay *eff,
                              const char *field)
{
    return raise_at(t, f, STR("States.Runtime"),
                    "The Parameters '%.*s' could not be used to start the Task: [The field '%s' is "
                    "required but was missing]",
                    STR_ARG(str_sub(pay_text(eff), 0, 1000)), field);
}

/* The queue of a lambda:invoke is the function that its parameters name. */
static bool invoked_function(struct turn *t, struct frame *f, struct pay *eff, struct str *queue)
{
    const struct jv *v = pay_tree(&t->s, eff);
    struct str name = jv_str(jv_getc(v, "FunctionName"));
    static const char marker[] = ":function:";
    const char *p;

    if (name.size > 0) {
        p = memmem(name.p, name.size, marker, sizeof(marker) - 1);
        if (p != NULL) {
            name = str_sub(name, (size_t)(p - name.p) + sizeof(marker) - 1, name.size);
        }
        p = memchr(name.p, ':', name.size);
        name.size = p == NULL ? name.size : (size_t)(p - name.p);
    }
    if (!str_is_name(name)) {
        return parameter_missing(t, f, eff, "FunctionName");
    }
    *queue = name;
    return true;
}

static const struct jv *token_text(struct turn *t, const struct frame *f, uint64_t nonce)
{
    struct task_token token = {.ref = {t->x->ident.id, t->x->fold_seq, t->idx_next, f->retries + 1},
                               .nonce = nonce};
    uint8_t bytes[TASK_TOKEN_SIZE];
    char text[TASK_TOKEN_TEXT + 4];

    task_token_encode(&token, bytes);
    base64_encode(bytes, sizeof(bytes), text, true);
    return jv_string(&t->s.arena, (struct str){text, TASK_TOKEN_TEXT});
}

static void run_task(struct turn *t, struct frame *f)
{
    const struct state *s = f->state;
    struct event e = {.type = EV_TASK_SCHEDULED, .frame = f->slot, .nonce = rng_u64(t->rng)};
    const struct jv *token = NULL;
    struct val v;

    if (s->resource.wait_for_token && s->uses_context) {
        token = token_text(t, f, e.nonce);
    }
    if (!effective_input(t, f, s->parameters, token, &v) || !fits(t, f, v) ||
        !eval_number(t, f, &s->timeout, "TimeoutSeconds", f->in, &e.timeout_s) ||
        !eval_number(t, f, &s->heartbeat, "HeartbeatSeconds", f->in, &e.heartbeat_s)) {
        return;
    }
    e.timeout_s = MIN(e.timeout_s, 99999999);
    e.heartbeat_s = MIN(e.heartbeat_s, 99999999);
    if (s->resource.queue.p == NULL && !invoked_function(t, f, v.pay, &e.queue)) {
        return;
    }
    if (s->resource.start_execution &&
        !jv_is(jv_getc(pay_tree(&t->s, v.pay), "StateMachineArn"), JV_STRING)) {
        (void)parameter_missing(t, f, v.pay, "StateMachineArn");
        return;
    }
    e.out = v.op;
    e.idx = t->idx_next++;
    emit(t, &e);
    emit_in(t, EV_TASK_STARTED, f);
}

/* ---- Parallel and Map ---- */

static void run_parallel(struct turn *t, struct frame *f)
{
    struct event e = {.type = EV_PARALLEL_STARTED, .frame = f->slot};
    struct val v;

    if (effective_input(t, f, f->state->parameters, NULL, &v) && fits(t, f, v)) {
        e.out = v.op;
        emit(t, &e);
    }
}

static bool map_items(struct turn *t, struct frame *f, struct val eff, struct val *out)
{
    const struct path *path = f->state->items_path;
    struct eval_env env;
    struct asl_error err;
    const struct jv *v;

    *out = eff;
    if (path != NULL && !str_eqc(path_text(path), "$")) {
        if (!eval_env_make(t, f, eff.pay, NULL, &env)) {
            return false;
        }
        if (!path_eval(path, &env, &v, &err)) {
            return raise_asl(t, f, &err);
        }
        *out = val_tree(t, v);
    }
    if (pay_text(out->pay).p[0] != '[') {
        return raise_at(t, f, STR("States.Runtime"), "Reference path \"%.*s\" must point to array.",
                        STR_ARG(path == NULL ? STR("$") : path_text(path)));
    }
    return fits(t, f, *out);
}

static void run_map(struct turn *t, struct frame *f)
{
    const struct state *s = f->state;
    struct event e = {.type = EV_MAP_STARTED, .frame = f->slot};
    struct val eff, items;
    int64_t limit = 0, ignored = 0;

    if (s->has_reader || s->has_batcher) {
        (void)raise_at(t, f, STR("States.Runtime"),
                       "ItemReader and ItemBatcher are not supported yet.");
        return;
    }
    if (!effective_input(t, f, NULL, NULL, &eff) ||
        !eval_number(t, f, &s->max_concurrency, "MaxConcurrency", eff.pay, &limit) ||
        !eval_number(t, f, &s->tolerated_count, "ToleratedFailureCount", eff.pay, &ignored) ||
        !eval_number(t, f, &s->tolerated_percent, "ToleratedFailurePercentage", eff.pay,
                     &ignored) ||
        !map_items(t, f, eff, &items)) {
        return;
    }
    e.limit = (uint32_t)MIN(limit, INT32_MAX);
    e.out = items.op;
    emit(t, &e);
}

static void start_branch(struct turn *t, struct frame *f)
{
    struct event e = {.type = EV_BRANCH_STARTED, .frame = f->slot};

    e.slot = exec_free_slot(t->x);
    e.index = f->kids->started;
    emit(t, &e);
}

/* The input of the next iteration. What the selector looks at is parsed once for all items. */
static bool select_item(struct turn *t, struct frame *f, const struct tmpl *selector,
                        struct val *out)
{
    struct kids *k = f->kids;

    if (k->data == NULL) {
        if (!effective_input(t, f, NULL, NULL, out)) {
            return false;
        }
        kids_keep_tree(t->x, k, out->pay);
        if (k->data == NULL) {
            return raise_at(t, f, STR("States.Runtime"), "The data holds a duplicate name.");
        }
    }
    k->data->tree = k->data_tree;
    return eval_tmpl(t, f, selector, k->data, NULL, out);
}

static void start_iteration(struct turn *t, struct frame *f)
{
    struct event e = {.type = EV_ITERATION_STARTED, .frame = f->slot};
    const struct tmpl *selector = f->state->item_selector;
    struct op item = {.kind = OP_ITEM};
    struct val eff;

    e.slot = exec_free_slot(t->x);
    e.index = f->kids->started;
    e.out = &item;
    if (selector != NULL) {
        if (!select_item(t, f, selector, &eff) || !fits(t, f, eff)) {
            return;
        }
        e.out = eff.op;
    }
    t->steps++;
    emit(t, &e);
}

/* Would one of the results, in a list, pass the depth of a payload? */
static bool list_too_deep(struct turn *t, const struct kids *k)
{
    bool deep = false;

    for (uint32_t i = 0; i < k->n && !deep; i++) {
        buf_clear(&t->s.buf);
        buf_putc(&t->s.buf, '[');
        buf_put_str(&t->s.buf, pay_text(k->results[i]));
        buf_putc(&t->s.buf, ']');
        deep = json_too_deep(buf_str(&t->s.buf));
    }
    return deep;
}

static void run_kids(struct turn *t, struct frame *f)
{
    struct kids *k = f->kids;
    size_t size = 2;
    bool deep = false;

    if (k->started < k->n) {
        if (f->state->type == ST_MAP) {
            start_iteration(t, f);
        } else {
            start_branch(t, f);
        }
        return;
    }
    ASSERT(k->ended == k->n);
    for (uint32_t i = 0; i < k->n; i++) {
        size += k->results[i]->size + 1;
        deep = deep || k->results[i]->size >= 2 * JSON_LIMITS_PAYLOAD.depth - 2;
    }
    if (size > PAYLOAD_SIZE_MAX) {
        (void)raise_limit(t, f, f->state->name);
        return;
    }
    if (deep && list_too_deep(t, k)) {
        (void)raise_at(t, f, STR("States.Runtime"),
                       "The data is nested deeper than %" PRIu32 " levels.",
                       JSON_LIMITS_PAYLOAD.depth);
        return;
    }
    emit_in(t, f->state->type == ST_MAP ? EV_MAP_SUCCEEDED : EV_PARALLEL_SUCCEEDED, f);
}

/* ---- results and errors ---- */

static void run_result(struct turn *t, struct frame *f)
{
    const struct state *s = f->state;
    struct val v;

    if (s->type == ST_WAIT) {
        wait_over(t, f);
        return;
    }
    if (select_result(t, f, val_res(t, f), &v)) {
        (void)leave_state(t, f, v, s->result_path, FIELD_RESULT_PATH, s->assign, s->next);
    }
}

/* The frame's machine ends here, badly. */
static void fail_frame(struct turn *t, struct frame *f)
{
    if (f->parent == NULL) {
        emit_in(t, EV_EXECUTION_FAILED, f);
    } else if (f->parent->state->type == ST_MAP) {
        emit_in(t, EV_ITERATION_FAILED, f);
    } else {
        if (f->state->type != ST_FAIL) {
            emit_in(t, EV_STATE_ABORTED, f);
        }
        emit_in(t, EV_BRANCH_FAILED, f);
    }
}

static void run_failed(struct turn *t, struct frame *f)
{
    const struct state *s = f->state;
    struct str error = pay_text(f->error);
    int r = retrier_find(s, f->retry_counts, error);
    int c;

    if (r >= 0) {
        uint32_t done = f->retry_counts == NULL ? 0 : f->retry_counts[r];
        struct event e = {.type = EV_RETRY_SET, .frame = f->slot, .retrier = (uint32_t)r};
        e.idx = t->idx_next++;
        e.due_us = retry_delay_us(&s->retriers[r], done, t->rng);
        emit(t, &e);
        return;
    }
    if (f->last_event > f->entered_event && (s->type == ST_MAP || s->type == ST_PARALLEL)) {
        emit_in(t, s->type == ST_MAP ? EV_MAP_FAILED : EV_PARALLEL_FAILED, f);
    }
    c = catcher_find(s, error);
    if (c >= 0) {
        const struct catcher *k = &s->catchers[c];
        (void)leave_state(t, f, val_error(t, f), k->result_path, FIELD_CATCH + (uint32_t)c,
                          k->assign, k->next);
        return;
    }
    fail_frame(t, f);
}

static void run_done(struct turn *t, struct frame *f)
{
    if (f->parent == NULL) {
        emit_in(t, EV_EXECUTION_SUCCEEDED, f);
    } else if (f->parent->state->type == ST_MAP) {
        emit_in(t, EV_ITERATION_SUCCEEDED, f);
    } else {
        emit_in(t, EV_BRANCH_SUCCEEDED, f);
    }
}

static void run_state(struct turn *t, struct frame *f)
{
    switch (f->state->type) {
    case ST_PASS:
        run_pass(t, f);
        break;
    case ST_TASK:
        run_task(t, f);
        break;
    case ST_CHOICE:
        run_choice(t, f);
        break;
    case ST_WAIT:
        run_wait(t, f);
        break;
    case ST_SUCCEED:
        run_succeed(t, f);
        break;
    case ST_FAIL:
        run_fail(t, f);
        break;
    case ST_PARALLEL:
        run_parallel(t, f);
        break;
    case ST_MAP:
        run_map(t, f);
        break;
    }
}

void step(struct turn *t, struct frame *f)
{
    switch (f->phase) {
    case PH_ENTER:
        t->steps++;
        emit_in(t, EV_STATE_ENTERED, f);
        break;
    case PH_RUN:
        run_state(t, f);
        break;
    case PH_KIDS:
        run_kids(t, f);
        break;
    case PH_RESULT:
        run_result(t, f);
        break;
    case PH_FAILED:
        run_failed(t, f);
        break;
    case PH_DEAD:
        fail_frame(t, f);
        break;
    case PH_DONE:
        run_done(t, f);
        break;
    case PH_WAIT:
        break;
    }
}
