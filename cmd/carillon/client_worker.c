/* A worker: polls, runs the handler, hands in outcomes until they are acknowledged. See client.h.
 *
 *   POLL_OK ─▶ RUNNING (handler) ─▶ FINISHED (outcome waits) ─▶ SENT (in a poll) ─▶ acknowledged: gone
 *                                       ▲                          │ connection lost, node busy
 *                                       └──────────────────────────┘
 *
 * One long poll asks for what is free. Outcomes do not wait for it: they travel at once, with the
 * capacity they set free, and the answer brings acknowledgements and the next tasks together. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/carillon/client.h"

#include "base/assert.h"
#include "base/mem.h"

enum {
    POLLS_MAX = 3, /* under way at a time, the long one included */
    LONG_POLL_MS = 20000,
    BEAT_US = 500 * US_PER_MS, /* how often heartbeats are looked at */
    QUEUES_MAX = 64,
};

enum task_state { TASK_RUNNING, TASK_FINISHED, TASK_SENT };

struct carillon_task {
    struct list link; /* worker.tasks */
    struct list run;  /* pool.queue */
    struct carillon_worker *worker;
    struct arena arena;
    struct task_token token;
    char token_text[TASK_TOKEN_TEXT + 1];
    struct msg_task m; /* texts in the arena, closed by NUL */
    enum task_state state;
    struct mono beaten;
    struct loop_task finished; /* outcome on its way to the loop */
    bool failed;
    struct str output, error, cause;
};

/* Threads that run the handler. */
struct pool {
    struct mutex m;
    struct cond c;
    struct list queue;
    bool stop;
    struct thread *threads;
    int len;
};

struct carillon_worker {
    struct carillon *c;
    struct carillon_worker_options o;
    struct arena texts;
    struct str queues[QUEUES_MAX];
    uint32_t queues_len;
    struct list tasks;
    uint32_t held;     /* tasks not acknowledged */
    uint32_t asked;    /* capacity of the polls under way */
    uint32_t finished; /* outcomes waiting to be sent */
    uint32_t polls;
    struct creq *long_poll; /* under way, or NULL */
    bool ready, stopping, pumping;
    struct loop_task pump, attach, stop_task;
    struct loop_timer beat;
    struct latch attached, drained;
    struct pool pool;
};

static void worker_pump(struct carillon_worker *w);

/* ---- outcomes ---- */

static void finished_run(struct loop_task *task)
{
    struct carillon_task *t = CONTAINER_OF(task, struct carillon_task, finished);
    t->state = TASK_FINISHED;
    t->worker->finished++;
    worker_pump(t->worker);
}

static void finish(struct carillon_task *t)
{
    PRE(t->state == TASK_RUNNING);
    t->finished = (struct loop_task){.run = finished_run, .name = "task finished"};
    loop_post(t->worker->c->loop, &t->finished);
}

void carillon_task_succeed(struct carillon_task *t, const char *output)
{
    t->output = str_dup(&t->arena, output == NULL ? STR("{}") : str_of(output));
    finish(t);
}

void carillon_task_fail(struct carillon_task *t, const char *error, const char *cause)
{
    t->failed = true;
    t->error = str_dup(&t->arena, error == NULL ? STR("Error") : str_of(error));
    t->cause = str_dup(&t->arena, str_of(cause));
    finish(t);
}

static void task_free(struct carillon_task *t)
{
    struct carillon_worker *w = t->worker;
    list_remove(&t->link);
    w->held--;
    arena_fini(&t->arena);
    mem_free(t);
    if (w->stopping && w->held == 0 && w->polls == 0) {
        latch_set(&w->drained, 1);
    }
}

/* ---- running the handler ---- */

static void pool_run(void *arg)
{
    struct carillon_worker *w = arg;
    struct pool *p = &w->pool;
    mutex_lock(&p->m);
    for (;;) {
        struct list *it = list_pop_front(&p->queue);
        if (it != NULL) {
            mutex_unlock(&p->m);
            w->o.handler(w->o.arg, LIST_ENTRY(it, struct carillon_task, run));
            mutex_lock(&p->m);
        } else if (p->stop) {
            break;
        } else {
            cond_wait(&p->c, &p->m);
        }
    }
    mutex_unlock(&p->m);
}

static void task_run(struct carillon_task *t)
{
    struct carillon_worker *w = t->worker;
    if (w->pool.len == 0) {
        w->o.handler(w->o.arg, t);
        return;
    }
    mutex_lock(&w->pool.m);
    list_push_back(&w->pool.queue, &t->run);
    cond_signal(&w->pool.c);
    mutex_unlock(&w->pool.m);
}

static struct str keep(struct arena *a, struct str s)
{
    return str_dup(a, s.p == NULL ? STR("") : s);
}

static void task_arrived(struct carillon_worker *w, const struct msg_task *m)
{
    struct carillon_task *t = MEM_NEW(struct carillon_task);
    uint8_t token[TASK_TOKEN_SIZE];
    t->worker = w;
    arena_init(&t->arena, 0);
    list_init(&t->link);
    list_init(&t->run);
    t->token = m->token;
    t->m = *m;
    t->m.queue = keep(&t->arena, m->queue);
    t->m.workflow = keep(&t->arena, m->workflow);
    t->m.name = keep(&t->arena, m->name);
    t->m.execution = keep(&t->arena, m->execution);
    t->m.state = keep(&t->arena, m->state);
    t->m.input = keep(&t->arena, m->input);
    t->beaten = loop_now(w->c->loop);
    task_token_encode(&t->token, token);
    base64_encode(token, sizeof(token), t->token_text, true);
    list_push_back(&w->tasks, &t->link);
    w->held++;
    task_run(t);
}

/* ---- polls ---- */

/* A poll under way; lives in its request's arena. */
struct poll {
    struct carillon_worker *w;
    struct carillon_task **sent;
    uint32_t sent_len, capacity;
    bool is_long;
};

static bool outcome_over(uint32_t code)
{
    enum err_class k = err_class((enum err)code);
    return k != ERRC_RETRY && k != ERRC_UNKNOWN && k != ERRC_LIMIT;
}

static void outcomes_settle(struct poll *p, const struct msg_poll_ok *ok)
{
    for (uint32_t i = 0; i < p->sent_len; i++) {
        struct carillon_task *t = p->sent[i];
        if (ok != NULL && i < ok->acks_len && outcome_over(ok->acks[i])) {
            task_free(t);
        } else {
            t->state = TASK_FINISHED;
            p->w->finished++;
        }
    }
}

static void poll_done(struct creq *r, enum err e, const struct msg *m)
{
    struct poll *p = r->arg;
    struct carillon_worker *w = p->w;
    const struct msg_poll_ok *ok =
        e == ERR_OK && m != NULL && m->type == MSG_POLL_OK ? &m->u.poll_ok : NULL;
    w->polls--;
    w->asked -= p->capacity;
    if (p->is_long) {
        w->long_poll = NULL;
    }
    for (uint32_t i = 0; ok != NULL && i < ok->tasks_len; i++) {
        task_arrived(w, &ok->tasks[i]);
    }
    outcomes_settle(p, ok);
    if (w->stopping && w->held == 0 && w->polls == 0) {
        latch_set(&w->drained, 1);
    }
    worker_pump(w);
}

static void completions_take(struct carillon_worker *w, struct creq *r, struct poll *p)
{
    uint32_t n = MIN(w->finished, (uint32_t)POLL_COMPLETIONS_MAX), len = 0;
    size_t bytes = 0;
    struct msg_completion *v = ARENA_ARRAY(&r->arena, struct msg_completion, n);
    p->sent = ARENA_ARRAY(&r->arena, struct carillon_task *, n);
    LIST_FOREACH(it, &w->tasks)
    {
        struct carillon_task *t = LIST_ENTRY(it, struct carillon_task, link);
        if (len == n || bytes > MESSAGE_SIZE_MAX / 2) {
            break;
        }
        if (t->state != TASK_FINISHED) {
            continue;
        }
        t->state = TASK_SENT;
        w->finished--;
        v[len] = (struct msg_completion){.token = t->token,
                                         .status = t->failed ? MSG_COMPLETION_FAILURE
                                                             : MSG_COMPLETION_SUCCESS,
                                         .output = t->output,
                                         .error = t->error,
                                         .cause = t->cause};
        bytes += t->output.size + t->cause.size;
        p->sent[len++] = t;
    }
    p->sent_len = len;
    r->msg.u.poll.completions = v;
    r->msg.u.poll.completions_len = len;
}

/* "with": outcomes travel along, so the node answers at once. */
static void poll_send(struct carillon_worker *w, bool with)
{
    struct creq *r = creq_new(w->c, MSG_POLL, poll_done, NULL);
    struct poll *p = ARENA_NEW(&r->arena, struct poll);
    r->arg = p;
    r->alone = true;
    r->repeat = false;
    p->w = w;
    if (with) {
        completions_take(w, r, p);
    }
    uint32_t busy = w->held - p->sent_len + w->asked;
    uint32_t room = (uint32_t)w->o.concurrency;
    p->capacity = w->stopping || busy >= room ? 0 : MIN(room - busy, (uint32_t)POLL_TASKS_MAX);
    p->is_long = !with;
    r->msg.u.poll.queues = w->queues;
    r->msg.u.poll.queues_len = p->capacity > 0 ? w->queues_len : 0;
    r->msg.u.poll.capacity = p->capacity;
    r->msg.u.poll.wait_ms = with ? 0 : LONG_POLL_MS;
    r->deadline.us = loop_now(w->c->loop).us + (int64_t)(LONG_POLL_MS + 10000) * US_PER_MS;
    w->asked += p->capacity;
    w->polls++;
    if (p->is_long) {
        w->long_poll = r;
    }
    creq_queue(r);
}

static void pump_run(struct loop_task *task)
{
    struct carillon_worker *w = CONTAINER_OF(task, struct carillon_worker, pump);
    w->pumping = false;
    if (!w->ready) {
        return;
    }
    while (w->finished > 0 && w->polls < POLLS_MAX) {
        poll_send(w, true);
    }
    if (!w->stopping && w->long_poll == NULL && w->polls < POLLS_MAX &&
        w->held + w->asked < (uint32_t)w->o.concurrency) {
        poll_send(w, false);
    }
}

static void worker_pump(struct carillon_worker *w)
{
    if (!w->pumping) {
        w->pumping = true;
        w->pump = (struct loop_task){.run = pump_run, .name = "worker polls"};
        loop_post(w->c->loop, &w->pump);
    }
}

/* ---- heartbeats ---- */

static void beat_done(struct creq *r, enum err e, const struct msg *m)
{
    (void)r;
    (void)e;
    (void)m; /* a stale attempt learns it from its outcome's acknowledgement */
}

static void beat_fired(struct loop_timer *timer)
{
    struct carillon_worker *w = CONTAINER_OF(timer, struct carillon_worker, beat);
    struct mono now = loop_now(w->c->loop);
    struct creq *r = NULL;
    struct task_token *v = NULL;
    uint32_t len = 0;
    LIST_FOREACH(it, &w->tasks)
    {
        struct carillon_task *t = LIST_ENTRY(it, struct carillon_task, link);
        bool due =
            t->m.heartbeat_ms > 0 && now.us - t->beaten.us >= t->m.heartbeat_ms * US_PER_MS / 3;
        if (t->state != TASK_RUNNING || !due || len == POLL_COMPLETIONS_MAX) {
            continue;
        }
        if (r == NULL) {
            r = creq_new(w->c, MSG_HEARTBEAT, beat_done, NULL);
            r->repeat = false;
            v = ARENA_ARRAY(&r->arena, struct task_token, POLL_COMPLETIONS_MAX);
        }
        t->beaten = now;
        v[len++] = t->token;
    }
    if (r != NULL) {
        r->msg.u.heartbeat.tokens = v;
        r->msg.u.heartbeat.tokens_len = len;
        creq_queue(r);
    }
    loop_timer_after(w->c->loop, &w->beat, BEAT_US);
}

/* ---- the connection comes and goes ---- */

uint32_t worker_held(struct carillon_worker *w, struct arena *a, const struct task_token **out)
{
    struct task_token *v = ARENA_ARRAY(a, struct task_token, w->held + 1);
    uint32_t len = 0;
    LIST_FOREACH(it, &w->tasks)
    {
        if (len < MSG_HELD_MAX) {
            v[len++] = LIST_ENTRY(it, struct carillon_task, link)->token;
        }
    }
    *out = v;
    return len;
}

void worker_ready(struct carillon_worker *w)
{
    w->ready = true;
    worker_pump(w);
}

void worker_lost(struct carillon_worker *w)
{
    w->ready = false;
}

/* ---- life ---- */

static void attach_run(struct loop_task *task)
{
    struct carillon_worker *w = CONTAINER_OF(task, struct carillon_worker, attach);
    w->c->worker = w;
    w->ready = w->c->ready;
    w->beat.fired = beat_fired;
    w->beat.name = "worker heartbeats";
    loop_timer_after(w->c->loop, &w->beat, BEAT_US);
    worker_pump(w);
    latch_set(&w->attached, 1);
}

static void pool_start(struct carillon_worker *w)
{
    struct pool *p = &w->pool;
    mutex_init(&p->m);
    cond_init(&p->c);
    list_init(&p->queue);
    p->len = w->o.threads;
    p->threads = MEM_ARRAY(struct thread, p->len + 1);
    for (int i = 0; i < p->len; i++) {
        thread_start(&p->threads[i], "worker", pool_run, w);
    }
}

static void pool_stop(struct pool *p)
{
    mutex_lock(&p->m);
    p->stop = true;
    cond_broadcast(&p->c);
    mutex_unlock(&p->m);
    for (int i = 0; i < p->len; i++) {
        thread_join(&p->threads[i]);
    }
    mem_free(p->threads);
    cond_fini(&p->c);
    mutex_fini(&p->m);
}

int carillon_worker_start(struct carillon *c, const struct carillon_worker_options *options,
                          struct carillon_worker **out)
{
    if (options->handler == NULL || options->queues == NULL || options->queues[0] == NULL) {
        return client_fail(ERR_INVALID, "a worker needs a handler and at least one queue");
    }
    struct carillon_worker *w = MEM_NEW(struct carillon_worker);
    w->c = c;
    w->o = *options;
    w->o.concurrency = options->concurrency > 0 ? options->concurrency : 10;
    arena_init(&w->texts, 0);
    for (const char *const *q = options->queues; *q != NULL && w->queues_len < QUEUES_MAX; q++) {
        w->queues[w->queues_len++] = str_dup(&w->texts, str_of(*q));
    }
    list_init(&w->tasks);
    latch_init(&w->attached);
    latch_init(&w->drained);
    pool_start(w);
    w->attach = (struct loop_task){.run = attach_run, .name = "worker attaches"};
    loop_post(c->loop, &w->attach);
    while (latch_wait(&w->attached, US_PER_S) == 0) {
    }
    *out = w;
    return CARILLON_OK;
}

struct stop {
    struct loop_task task;
    struct carillon_worker *w;
    bool detach;
    struct latch done;
};

static void stop_run(struct loop_task *task)
{
    struct stop *s = CONTAINER_OF(task, struct stop, task);
    struct carillon_worker *w = s->w;
    w->stopping = true;
    if (w->long_poll != NULL) {
        creq_cancel(w->long_poll);
    }
    if (s->detach) {
        loop_timer_stop(&w->beat);
        w->c->worker = NULL;
        w->ready = false;
    } else if (w->held == 0 && w->polls == 0) {
        latch_set(&w->drained, 1);
    }
    latch_set(&s->done, 1);
}

static void stop_post(struct carillon_worker *w, bool detach)
{
    struct stop s = {.w = w, .detach = detach};
    latch_init(&s.done);
    s.task = (struct loop_task){.run = stop_run, .name = "worker stops"};
    loop_post(w->c->loop, &s.task);
    while (latch_wait(&s.done, US_PER_S) == 0) {
    }
    latch_fini(&s.done);
}

int carillon_worker_stop(struct carillon_worker *w, int timeout_ms)
{
    if (w == NULL) {
        return CARILLON_OK;
    }
    stop_post(w, false);
    bool drained = latch_wait(&w->drained, timeout_ms * (int64_t)US_PER_MS) != 0;
    stop_post(w, true);
    pool_stop(&w->pool);
    if (!drained) {
        /* Requests under way still point here: what they need stays until the client is closed. */
        return client_fail(ERR_TIMEOUT, "%u tasks were not acknowledged in time", w->held);
    }
    LIST_FOREACH_SAFE(it, &w->tasks)
    {
        task_free(LIST_ENTRY(it, struct carillon_task, link));
    }
    latch_fini(&w->attached);
    latch_fini(&w->drained);
    arena_fini(&w->texts);
    mem_free(w);
    return CARILLON_OK;
}

/* ---- getters ---- */

const char *carillon_task_input(const struct carillon_task *t)
{
    return t->m.input.p;
}
const char *carillon_task_queue(const struct carillon_task *t)
{
    return t->m.queue.p;
}
const char *carillon_task_workflow(const struct carillon_task *t)
{
    return t->m.workflow.p;
}
const char *carillon_task_name(const struct carillon_task *t)
{
    return t->m.name.p;
}
const char *carillon_task_execution(const struct carillon_task *t)
{
    return t->m.execution.p;
}
const char *carillon_task_state(const struct carillon_task *t)
{
    return t->m.state.p;
}
int carillon_task_attempt(const struct carillon_task *t)
{
    return (int)t->m.attempt;
}
const char *carillon_task_token(const struct carillon_task *t)
{
    return t->token_text;
}
int64_t carillon_task_timeout_at_ms(const struct carillon_task *t)
{
    return t->m.timeout_at_ms;
}
