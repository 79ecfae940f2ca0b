/* See replay.h. Tasks are answered in the order in which they were scheduled, before any timer fires:
 * a task takes no time. */
#include "base/prelude.h"

#include "cmd/carillon/replay.h"

#include "base/mem.h"
#include "engine/core/exec.h"

/* History events of one run: an execution that goes on for ever is stopped here. */
enum { REPLAY_EVENTS_MAX = 50000 };

struct row {
    uint64_t seq;
    struct wall at;
    struct str body;
};

struct job {
    struct task_token token;
    struct wall timeout_at;
    int64_t heartbeat_us;
    struct replay_answer answer;
};

struct run {
    struct history_sink sink;
    const struct replay_request *q;
    struct replay *out;
    struct exec *x;
    struct turn *t;
    struct rng rng;
    struct wall now;
    struct row *rows;
    uint32_t rows_len, rows_room;
    struct job *jobs;
    uint32_t jobs_len, jobs_room, jobs_next;
    uint32_t events_room;
};

static bool fail(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool fail(struct run *r, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (r->out->reason == NULL) {
        r->out->reason = arena_strndup(&r->out->arena, text, strlen(text));
    }
    return false;
}

/* Room for one more element; the old array stays in the arena, which at most doubles it. */
static void *grow(struct arena *a, void *v, uint32_t len, uint32_t *room, size_t size)
{
    if (len < *room) {
        return v;
    }
    *room = *room == 0 ? 16 : *room * 2;
    void *wider = arena_alloc(a, size * *room);
    if (len > 0) {
        memcpy(wider, v, size * len);
    }
    return wider;
}

static struct str copy(struct arena *a, struct str s)
{
    return s.p == NULL ? STR_NONE : str_dup(a, s);
}

static void row_add(struct run *r, const struct turn_out *o)
{
    struct arena *a = &r->out->arena;
    r->rows = grow(a, r->rows, r->rows_len, &r->rows_room, sizeof(*r->rows));
    r->rows[r->rows_len++] = (struct row){o->seq, r->now, str_dup(a, o->body)};
}

static bool job_add(struct run *r, const struct core_task *task)
{
    struct arena *a = &r->out->arena;
    const struct frame *f = exec_open_find(r->x, task->token.ref.seq, task->token.ref.idx);
    struct replay_task t = {.name = f->state->name,
                            .path = def_state_path(r->q->def, task->state),
                            .scope = frame_scope(f, a),
                            .queue = task->queue,
                            .input = task->input,
                            .attempt = task->token.ref.attempt,
                            .timeout = task->timeout_at.us != 0,
                            .heartbeat = task->heartbeat_us > 0,
                            .wait_for_token = task->wait_for_token,
                            .child = task->kind == TASK_START_EXECUTION};
    struct replay_answer answer = {REPLAY_NONE, STR_NONE, STR_NONE, STR_NONE, STR_NONE};
    struct buf why;
    buf_init(&why, 0);
    bool known = r->q->task(r->q->arg, &t, &answer, &why);
    if (!known) {
        (void)fail(r, "%.*s", (int)why.size, why.p);
    }
    buf_fini(&why);
    if (!known) {
        return false;
    }
    answer.submitted = copy(a, answer.submitted);
    answer.output = copy(a, answer.output);
    answer.error = copy(a, answer.error);
    answer.cause = copy(a, answer.cause);
    if (answer.result == REPLAY_TIMEOUT && !t.timeout && !t.heartbeat) {
        return fail(r, "%.*s: nobody answers, and the task has no time-out", STR_ARG(t.path));
    }
    r->jobs = grow(a, r->jobs, r->jobs_len, &r->jobs_room, sizeof(*r->jobs));
    r->jobs[r->jobs_len++] =
        (struct job){task->token, task->timeout_at, task->heartbeat_us, answer};
    return true;
}

/* A turn with one fact, and those that follow without. False: the run is over, with a reason. */
static bool turn(struct run *r, const struct fact *f)
{
    const struct turn_out *o;
    struct err_detail d = {ERR_OK, ""};
    bool yielded = true;
    while (yielded) {
        turn_begin(r->t, r->x, r->now, &r->rng);
        if (f != NULL && turn_fact(r->t, f, &d) != FACT_ACCEPTED) {
            return fail(r, "the core refuses an outcome: %s", d.text);
        }
        f = NULL;
        if (!turn_end(r->t, &o)) {
            return true;
        }
        row_add(r, o);
        yielded = o->yielded;
        for (uint32_t i = 0; i < o->tasks_new_len; i++) {
            if (!job_add(r, &o->tasks_new[i])) {
                return false;
            }
        }
        if (exec_event_count(r->x) > REPLAY_EVENTS_MAX) {
            return fail(r, "it does not end: more than %d events", (int)REPLAY_EVENTS_MAX);
        }
    }
    return true;
}

static bool job_answer(struct run *r, const struct job *j)
{
    const struct replay_answer *a = &j->answer;
    struct fact f = {.token = j->token, .worker = STR("replay")};
    if (a->submitted.p != NULL) {
        f.type = FACT_TASK_SUBMITTED;
        f.payload = a->submitted;
        if (!turn(r, &f)) {
            return false;
        }
    }
    f.payload = STR_NONE;
    switch (a->result) {
    case REPLAY_OUTPUT:
        f.type = FACT_TASK_SUCCEEDED;
        f.payload = a->output;
        break;
    case REPLAY_ERROR:
        f.type = FACT_TASK_FAILED;
        f.error = a->error;
        f.cause = a->cause;
        break;
    case REPLAY_TIMEOUT:
        f.type = j->heartbeat_us > 0 ? FACT_TASK_HEARTBEAT_LOST : FACT_TASK_TIMED_OUT;
        r->now.us =
            j->heartbeat_us > 0 ? r->now.us + j->heartbeat_us : MAX(r->now.us, j->timeout_at.us);
        break;
    case REPLAY_NONE:
        return true;
    }
    return turn(r, &f);
}

/* The next task that is still open, in order of scheduling. */
static const struct job *job_next(struct run *r)
{
    while (r->jobs_next < r->jobs_len) {
        const struct job *j = &r->jobs[r->jobs_next++];
        if (exec_open_find(r->x, j->token.ref.seq, j->token.ref.idx) != NULL) {
            return j;
        }
    }
    return NULL;
}

/* Lets time pass until the first deadline. */
static bool fire_timer(struct run *r)
{
    uint32_t n = exec_open_timers(r->x, NULL, 0);
    struct core_timer *timers = MEM_ARRAY(struct core_timer, MAX(n, 1u));
    const struct core_timer *first = NULL;
    n = MIN(exec_open_timers(r->x, timers, n), n);
    for (uint32_t i = 0; i < n; i++) {
        first = first == NULL || timers[i].due.us < first->due.us ? &timers[i] : first;
    }
    struct fact f = {.type = FACT_TIMER};
    if (first != NULL) {
        r->now.us = MAX(r->now.us, first->due.us);
        f.timer_seq = first->seq;
        f.timer_idx = first->idx;
    }
    mem_free(timers);
    return n == 0 ? fail(r, "it waits for something that never comes") : turn(r, &f);
}

static bool drive(struct run *r)
{
    struct fact start = {.type = FACT_START, .payload = r->q->input};
    bool ok = turn(r, &start);
    while (ok && exec_status(r->x) == EXEC_RUNNING) {
        const struct job *j = job_next(r);
        ok = j != NULL ? job_answer(r, j) : fire_timer(r);
    }
    return ok;
}

static void on_event(struct history_sink *sink, const struct history_event *e)
{
    struct run *r = CONTAINER_OF(sink, struct run, sink);
    struct replay *out = r->out;
    struct arena *a = &out->arena;
    out->events = grow(a, out->events, out->events_len, &r->events_room, sizeof(*out->events));
    struct history_event *own = &out->events[out->events_len++];
    *own = *e;
    own->type = arena_strndup(a, e->type, strlen(e->type));
    own->scope = e->scope.p == NULL ? STR("") : str_dup(a, e->scope);
    own->details = jv_copy(a, e->details);
}

static bool fold_again(struct run *r)
{
    struct exec *y = exec_new(exec_ident(r->x), r->q->def);
    struct err_detail d = {ERR_OK, ""};
    bool ok = true;
    for (uint32_t i = 0; i < r->rows_len && ok; i++) {
        ok = exec_apply_row(y, r->rows[i].seq, r->rows[i].at, r->rows[i].body, &r->sink, &d) ==
             ERR_OK;
    }
    if (!ok) {
        (void)fail(r, "the rows do not fold: %s", d.text);
    } else if (r->out->reason == NULL && exec_digest(y) != exec_digest(r->x)) {
        (void)fail(r, "folding the rows gives another state");
    }
    exec_free(y);
    return ok;
}

void replay_run(struct replay *out, const struct replay_request *q)
{
    struct run r = {.sink = {on_event}, .q = q, .out = out, .now = q->start};
    struct exec_ident ident = {.tenant = q->tenant,
                               .workflow = q->workflow,
                               .name = q->name,
                               .started_at = q->start};
    *out = (struct replay){.reason = NULL};
    arena_init(&out->arena, 0);
    rng_seed(&r.rng, q->seed);
    ident.id = exec_id_make(1, 7, 1, q->start, &r.rng);
    r.x = exec_new(&ident, q->def);
    r.t = turn_new();
    (void)drive(&r);
    (void)fold_again(&r); /* also of what came to no end: its history tells why */
    out->status = exec_status(r.x);
    out->input = copy(&out->arena, exec_input(r.x));
    out->output = copy(&out->arena, exec_output(r.x));
    out->error = copy(&out->arena, exec_error(r.x));
    out->cause = copy(&out->arena, exec_cause(r.x));
    out->took_us = r.now.us - q->start.us;
    turn_free(r.t);
    exec_free(r.x);
}

void replay_fini(struct replay *r)
{
    arena_fini(&r->arena);
}
