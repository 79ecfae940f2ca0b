#include "base/prelude.h"
#include "net/worker.h"

#include "base/assert.h"
#include "base/mem.h"

enum { OUTCOME_POLLS = 2 };

enum task_state {
    TASK_RUNNING, /* with the owner */
    TASK_ENDED,   /* its outcome waits to be sent */
    TASK_SENT,    /* its outcome is under way */
    TASK_DROPPED, /* given back, to be told */
};

struct poll {
    struct session_request request;
    struct worker *w;
    bool busy;
    uint32_t capacity;
    struct mono sent;
    struct worker_task *tasks[POLL_COMPLETIONS_MAX];
    struct msg_completion completions[POLL_COMPLETIONS_MAX];
    struct task_token dropped[POLL_COMPLETIONS_MAX];
    uint32_t len, dropped_len;
};

struct worker {
    struct worker_config c;
    struct session_handler session_handler;
    struct session *session;
    struct str *queues;
    struct map tasks;     /* all, by token */
    struct list running;  /* by age */
    struct list outcomes; /* TASK_ENDED, ready to be sent */
    struct list dropped;  /* given back, to be told */
    struct poll *outcome_polls[OUTCOME_POLLS];
    struct poll *demand_poll;
    uint32_t running_len;
    uint32_t demanded; /* places asked for and not answered */
    uint32_t batch_max, single_left;
    struct mono demand_not_before;
    uint32_t empty_polls; /* long polls that came back too early, in a row */
    struct session_request beat;
    struct task_token *beat_tokens;
    bool beat_busy, beat_now;
    int64_t node_heartbeat_us;
    struct task_token *held_tokens;
    struct loop_task pump;
    struct loop_timer timer;
    struct mono timer_due;
    struct list delayed; /* outcomes to be sent again later */
    bool pump_posted, dead, draining, drained_told;
    struct worker_stats stats;
};

static struct mono now_of(const struct worker *w)
{
    return loop_now(session_loop(w->session));
}

static void pump_later(struct worker *w)
{
    if (!w->pump_posted) {
        w->pump_posted = true;
        loop_post(w->c.session.loop, &w->pump);
    }
}

static void wake_at(struct worker *w, struct mono due)
{
    if (!w->timer.armed || due.us < w->timer_due.us) {
        w->timer_due = due;
        loop_timer_start(w->c.session.loop, &w->timer, due);
    }
}

/* ---- tasks ---- */

static bool token_eq(const struct map_node *n, const void *key)
{
    return task_token_eq(&MAP_ENTRY(n, struct worker_task, node)->task.token, key);
}

static uint64_t token_hash(const struct task_token *t)
{
    return exec_id_hash(&t->ref.exec) ^ hash_u64(t->nonce + t->ref.seq);
}

static struct worker_task *task_find(struct worker *w, const struct task_token *t)
{
    struct map_node *n = map_find(&w->tasks, token_hash(t), t, token_eq);
    return n != NULL ? MAP_ENTRY(n, struct worker_task, node) : NULL;
}

static void task_free(struct worker *w, struct worker_task *t)
{
    map_remove(&w->tasks, &t->node);
    list_remove(&t->link);
    arena_fini(&t->arena);
    mem_free(t);
}

static void task_end(struct worker *w, struct worker_task *t)
{
    PRE(t->state == TASK_RUNNING);
    list_remove(&t->link);
    w->running_len -= 1;
    t->state = TASK_ENDED;
}

/* The node takes what is not named in twice its heartbeat for lost; a task's own heartbeat may be
 * shorter. What is named only after half of this again is named thrice in that time. */
static int64_t beat_interval(const struct worker *w, const struct worker_task *t)
{
    int64_t us = w->node_heartbeat_us / 2;
    return t->task.heartbeat_ms > 0 ? MIN(us, t->task.heartbeat_ms * US_PER_MS / 3) : us;
}

/* False when there is no memory for them. */
static bool texts_copy(struct worker_task *t, const struct msg_task *m)
{
    t->task = *m;
    struct str *const texts[] = {&t->task.queue,     &t->task.workflow, &t->task.name,
                                 &t->task.execution, &t->task.state,    &t->task.input};
    size_t size = 0;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        size += texts[i]->size + 8; /* its end, and what alignment adds */
    }
    arena_init(&t->arena, WORKER_TASK_BYTES_MAX);
    t->arena.chunk_size = MAX(t->arena.chunk_size, size); /* all in one */
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        *texts[i] = str_dup(&t->arena, *texts[i]);
    }
    return !t->arena.failed;
}

static void task_arrived(struct worker *w, const struct msg_task *m)
{
    if (task_find(w, &m->token) != NULL) {
        w->stats.duplicates += 1;
        return; /* it is being done, or its outcome is on its way */
    }
    struct worker_task *t = MEM_NEW(struct worker_task);
    bool whole = texts_copy(t, m);
    map_insert(&w->tasks, &t->node, token_hash(&m->token));
    if (w->draining || !whole) {
        t->state = TASK_DROPPED;
        list_push_back(&w->dropped, &t->link);
        return;
    }
    list_push_back(&w->running, &t->link);
    w->running_len += 1;
    w->stats.tasks += 1;
    t->named = now_of(w);
    wake_at(w, (struct mono){t->named.us + beat_interval(w, t)});
    w->c.handler->task(w->c.handler, t);
}

/* ---- polls ---- */

static uint32_t places_free(const struct worker *w)
{
    uint32_t used = w->running_len + w->demanded;
    return w->draining || used >= w->c.concurrency ? 0 : w->c.concurrency - used;
}

static void poll_fill(struct poll *p)
{
    struct worker *w = p->w;
    size_t bytes = 0;
    p->len = p->dropped_len = 0;
    while (!list_empty(&w->outcomes) && p->len < w->batch_max && bytes < WORKER_POLL_BYTES) {
        struct worker_task *t = LIST_ENTRY(w->outcomes.next, struct worker_task, link);
        list_remove(&t->link);
        t->state = TASK_SENT;
        p->tasks[p->len] = t;
        p->completions[p->len] = t->completion;
        bytes += t->completion.output.size + t->completion.cause.size;
        p->len += 1;
    }
    while (!list_empty(&w->dropped) && p->dropped_len < POLL_COMPLETIONS_MAX) {
        struct worker_task *t = LIST_ENTRY(w->dropped.next, struct worker_task, link);
        p->dropped[p->dropped_len++] = t->task.token;
        task_free(w, t);
    }
}

static void poll_send(struct poll *p, uint32_t wait_ms)
{
    struct worker *w = p->w;
    struct msg_poll *m = &p->request.msg.u.poll;
    p->request.msg.type = MSG_POLL;
    p->capacity = places_free(w);
    *m = (struct msg_poll){.capacity = p->capacity,
                           .wait_ms = wait_ms,
                           .completions = p->completions,
                           .completions_len = p->len,
                           .dropped = p->dropped,
                           .dropped_len = p->dropped_len};
    if (p->capacity > 0) {
        m->queues = w->queues;
        m->queues_len = w->c.queues_len;
    }
    w->demanded += p->capacity;
    w->stats.polls += 1;
    p->busy = true;
    p->sent = now_of(w);
    p->request.alone = true;
    p->request.wait_ms = wait_ms;
    session_send(w->session, &p->request);
}

/* Not accepted and not refused for good: again after a while. */
static void outcome_again(struct worker *w, struct worker_task *t)
{
    t->state = TASK_ENDED;
    int64_t ms =
        MIN((int64_t)ROUTE_BACKOFF_MIN_MS << MIN(t->tries, 6u), (int64_t)ROUTE_BACKOFF_MAX_MS);
    t->tries += 1;
    t->not_before.us = now_of(w).us + ms * US_PER_MS;
    list_push_back(&w->delayed, &t->link);
    wake_at(w, t->not_before);
}

static void outcome_settled(struct worker *w, struct worker_task *t, enum err e)
{
    w->stats.acked += e == ERR_OK ? 1 : 0;
    w->stats.stale += e == ERR_OK ? 0 : 1;
    if (w->c.handler->settled != NULL) {
        w->c.handler->settled(w->c.handler, t, e);
    }
    task_free(w, t);
}

static void outcome_answered(struct worker *w, struct worker_task *t, uint32_t code)
{
    enum err e = code <= INT_MAX && err_known((int)code) ? (enum err)code : ERR_FATAL;
    switch (err_class(e)) {
    case ERRC_RETRY:
    case ERRC_UNKNOWN:
    case ERRC_LIMIT:
    case ERRC_FENCED:
        outcome_again(w, t);
        return;
    case ERRC_OK:
    case ERRC_INVALID:
    case ERRC_NOT_FOUND:
    case ERRC_DENIED:
    case ERRC_CONFLICT:
    case ERRC_FATAL:
        outcome_settled(w, t, e);
        return;
    }
}

/* The whole POLL was refused. One bad outcome must not take the others with it: send them singly,
 * then the one that is still refused is the bad one. */
static void poll_refused(struct poll *p, enum err e)
{
    struct worker *w = p->w;
    if (p->len == 1) {
        outcome_settled(w, p->tasks[0], e);
    } else if (p->len > 1) {
        w->batch_max = 1;
        w->single_left = p->len;
        for (uint32_t i = 0; i < p->len; i++) {
            p->tasks[i]->state = TASK_ENDED;
            list_push_back(&w->outcomes, &p->tasks[i]->link);
        }
    } else {
        w->demand_not_before.us = now_of(w).us + ROUTE_BACKOFF_MAX_MS * US_PER_MS;
        wake_at(w, w->demand_not_before);
    }
}

/* A node that is draining answers long polls at once and empty. Ask it something that makes it say
 * so, and do not poll in a circle. */
static void demand_came_back(struct poll *p, uint32_t tasks)
{
    struct worker *w = p->w;
    struct mono now = now_of(w);
    if (tasks > 0 || now.us - p->sent.us > WORKER_POLL_WAIT_MS * US_PER_MS / 4) {
        w->empty_polls = 0;
        return;
    }
    int64_t ms = (int64_t)ROUTE_BACKOFF_MIN_MS << MIN(w->empty_polls, 4u);
    w->empty_polls += 1;
    w->demand_not_before.us = now.us + ms * US_PER_MS;
    w->beat_now = true;
    wake_at(w, w->demand_not_before);
}

static void poll_done(struct session_request *r, enum err e, const struct msg *reply,
                      const struct msg_error *error)
{
    struct poll *p = CONTAINER_OF(r, struct poll, request);
    struct worker *w = p->w;
    (void)error;
    p->busy = false;
    w->demanded -= p->capacity;
    if (w->dead) {
        return;
    }
    if (e != ERR_OK) {
        poll_refused(p, e);
        pump_later(w);
        return;
    }
    const struct msg_poll_ok *m = &reply->u.poll_ok;
    if (w->single_left > 0 && p->len > 0) {
        w->single_left -= 1;
        w->batch_max = w->single_left > 0 ? 1 : POLL_COMPLETIONS_MAX;
    }
    for (uint32_t i = 0; i < p->len; i++) {
        outcome_answered(w, p->tasks[i], i < m->acks_len ? m->acks[i] : (uint32_t)ERR_UNKNOWN);
    }
    if (p == w->demand_poll) {
        demand_came_back(p, m->tasks_len);
    }
    for (uint32_t i = 0; i < m->tasks_len; i++) {
        task_arrived(w, &m->tasks[i]);
    }
    pump_later(w);
}

/* ---- heartbeats ---- */

/* When the next heartbeat is due. */
static void beat_schedule(struct worker *w, struct mono now)
{
    int64_t next = INT64_MAX;
    LIST_FOREACH(l, &w->tasks.order)
    {
        const struct worker_task *t = MAP_ORDER_ENTRY(l, struct worker_task, node);
        if (t->state != TASK_DROPPED) {
            next = MIN(next, t->named.us + beat_interval(w, t));
        }
    }
    if (next != INT64_MAX) {
        wake_at(w, (struct mono){MAX(next, now.us + US_PER_MS)});
    }
}

static void beat_done(struct session_request *r, enum err e, const struct msg *reply,
                      const struct msg_error *error)
{
    struct worker *w = CONTAINER_OF(r, struct worker, beat);
    (void)error;
    w->beat_busy = false;
    if (w->dead) {
        return;
    }
    if (w->beat_now) {
        pump_later(w);
    }
    beat_schedule(w, now_of(w));
    if (e != ERR_OK) {
        return;
    }
    const struct msg_heartbeat_ok *m = &reply->u.heartbeat_ok;
    uint32_t asked = r->msg.u.heartbeat.tokens_len;
    for (uint32_t i = 0; i < MIN(asked, m->codes_len); i++) {
        struct worker_task *t = task_find(w, &w->beat_tokens[i]);
        bool over =
            m->codes[i] == ERR_STALE || m->codes[i] == ERR_STOPPED || m->codes[i] == ERR_LOST_WRITE;
        if (t != NULL && t->state == TASK_RUNNING && over && !t->cancelled) {
            t->cancelled = true;
            if (w->c.handler->cancelled != NULL) {
                w->c.handler->cancelled(w->c.handler, t);
            }
        }
    }
}

/* Names everything that is held: what is worked on, and what has an outcome that is not acknowledged. */
static void beat_send(struct worker *w, struct mono now)
{
    uint32_t len = 0;
    bool more = false;
    LIST_FOREACH(l, &w->tasks.order)
    {
        struct worker_task *t = MAP_ORDER_ENTRY(l, struct worker_task, node);
        if (t->state == TASK_DROPPED || now.us - t->named.us < beat_interval(w, t) / 2) {
            continue;
        }
        if (len == POLL_COMPLETIONS_MAX) {
            more = true;
            break;
        }
        w->beat_tokens[len++] = t->task.token;
        t->named = now;
    }
    if (len == 0 && !w->beat_now) {
        return;
    }
    w->beat_now = more;
    w->beat.msg.type = MSG_HEARTBEAT;
    w->beat.msg.u.heartbeat.tokens = w->beat_tokens;
    w->beat.msg.u.heartbeat.tokens_len = len;
    w->beat.deadline.us = now.us + w->node_heartbeat_us;
    w->beat_busy = true;
    w->stats.heartbeats += 1;
    session_send(w->session, &w->beat);
}

/* ---- the pump ---- */

static bool outcome_poll_busy(const struct worker *w)
{
    return w->outcome_polls[0]->busy || w->outcome_polls[1]->busy;
}

static void pump(struct worker *w)
{
    for (size_t i = 0; i < OUTCOME_POLLS; i++) {
        struct poll *p = w->outcome_polls[i];
        if (!p->busy && (!list_empty(&w->outcomes) || !list_empty(&w->dropped))) {
            poll_fill(p);
            poll_send(p, 0);
        }
    }
    struct poll *d = w->demand_poll;
    if (!d->busy && places_free(w) > 0 && w->demand_not_before.us <= now_of(w).us) {
        d->len = d->dropped_len = 0;
        poll_send(d, WORKER_POLL_WAIT_MS);
    }
    bool empty = map_len(&w->tasks) == 0 && !outcome_poll_busy(w);
    if (w->draining && empty && !w->drained_told) {
        w->drained_told = true;
        if (w->c.handler->drained != NULL) {
            w->c.handler->drained(w->c.handler);
        }
    }
}

static void worker_run(struct loop_task *task)
{
    struct worker *w = CONTAINER_OF(task, struct worker, pump);
    w->pump_posted = false;
    if (w->dead) {
        mem_free(w);
        return;
    }
    pump(w);
    if (w->beat_now && !w->beat_busy) {
        beat_send(w, now_of(w));
    }
}

static void worker_tick(struct loop_timer *timer)
{
    struct worker *w = CONTAINER_OF(timer, struct worker, timer);
    struct mono now = now_of(w);
    int64_t next = INT64_MAX;
    LIST_FOREACH_SAFE(l, &w->delayed)
    {
        struct worker_task *t = LIST_ENTRY(l, struct worker_task, link);
        if (t->not_before.us <= now.us) {
            list_remove(l);
            list_push_back(&w->outcomes, l);
        } else {
            next = MIN(next, t->not_before.us);
        }
    }
    if (next != INT64_MAX) {
        wake_at(w, (struct mono){next});
    }
    if (!w->beat_busy) {
        beat_send(w, now);
    }
    if (!w->beat_busy) { /* else its answer is waited for */
        beat_schedule(w, now);
    }
    pump(w);
}

/* ---- session ---- */

static void session_up(struct session_handler *h, const struct msg_hello_ok *hello)
{
    struct worker *w = CONTAINER_OF(h, struct worker, session_handler);
    if (hello->heartbeat_ms > 0) {
        w->node_heartbeat_us = (int64_t)hello->heartbeat_ms * US_PER_MS;
    }
    w->empty_polls = 0;
    w->demand_not_before.us = 0;
    LIST_FOREACH(l, &w->tasks.order) /* HELLO has named them */
    {
        MAP_ORDER_ENTRY(l, struct worker_task, node)->named = now_of(w);
    }
    beat_schedule(w, now_of(w));
    pump_later(w);
}

static void session_down(struct session_handler *h)
{
    (void)h; /* the session repeats what was under way */
}

static uint32_t session_held(struct session_handler *h, const struct task_token **tokens)
{
    struct worker *w = CONTAINER_OF(h, struct worker, session_handler);
    uint32_t len = 0;
    mem_free(w->held_tokens);
    w->held_tokens = MEM_ARRAY(struct task_token, map_len(&w->tasks) + 1);
    LIST_FOREACH(l, &w->tasks.order)
    {
        w->held_tokens[len++] = MAP_ORDER_ENTRY(l, struct worker_task, node)->task.token;
    }
    *tokens = w->held_tokens;
    return len;
}

/* ---- life ---- */

static struct poll *poll_new(struct worker *w)
{
    struct poll *p = MEM_NEW(struct poll);
    p->w = w;
    p->request.done = poll_done;
    return p;
}

static enum err config_check(const struct worker_config *c, struct err_detail *d)
{
    if (c->queues_len == 0 || c->queues_len > MSG_QUEUES_MAX) {
        return err_set(d, ERR_INVALID, "a worker needs 1 to %d queues", MSG_QUEUES_MAX);
    }
    for (uint32_t i = 0; i < c->queues_len; i++) {
        if (c->queues[i].size == 0 || c->queues[i].size > NAME_SIZE_MAX) {
            return err_set(d, ERR_INVALID, "queue %" PRIu32 ": a name has 1 to %d bytes", i + 1,
                           NAME_SIZE_MAX);
        }
    }
    if (c->concurrency == 0 || c->concurrency > POLL_TASKS_MAX) {
        return err_set(d, ERR_INVALID, "concurrency: wanted 1 to %d", POLL_TASKS_MAX);
    }
    return ERR_OK;
}

static void queues_copy(struct worker *w, const struct worker_config *c)
{
    w->queues = MEM_ARRAY(struct str, c->queues_len);
    for (uint32_t i = 0; i < c->queues_len; i++) {
        char *name = mem_alloc(c->queues[i].size + 1);
        memcpy(name, c->queues[i].p, c->queues[i].size);
        w->queues[i] = (struct str){name, c->queues[i].size};
    }
}

static void worker_release(struct worker *w)
{
    for (uint32_t i = 0; i < w->c.queues_len; i++) {
        mem_free((void *)(uintptr_t)w->queues[i].p);
    }
    mem_free(w->queues);
    map_fini(&w->tasks);
    for (size_t i = 0; i < OUTCOME_POLLS; i++) {
        mem_free(w->outcome_polls[i]);
    }
    mem_free(w->demand_poll);
    mem_free(w->beat_tokens);
    mem_free(w->held_tokens);
}

enum err worker_new(const struct worker_config *c, struct worker **out, struct err_detail *d)
{
    LOOP_OWNED(c->session.loop);
    enum err e = config_check(c, d);
    if (e != ERR_OK) {
        return e;
    }
    struct worker *w = MEM_NEW(struct worker);
    w->c = *c;
    queues_copy(w, c);
    w->batch_max = POLL_COMPLETIONS_MAX;
    w->node_heartbeat_us = 5 * US_PER_S;
    map_init(&w->tasks);
    list_init(&w->running);
    list_init(&w->outcomes);
    list_init(&w->dropped);
    list_init(&w->delayed);
    w->pump = (struct loop_task){.run = worker_run, .name = "worker"};
    w->timer = (struct loop_timer){.fired = worker_tick, .name = "worker"};
    for (size_t i = 0; i < OUTCOME_POLLS; i++) {
        w->outcome_polls[i] = poll_new(w);
    }
    w->demand_poll = poll_new(w);
    w->beat.done = beat_done;
    w->beat_tokens = MEM_ARRAY(struct task_token, POLL_COMPLETIONS_MAX);
    w->session_handler =
        (struct session_handler){.up = session_up, .down = session_down, .held = session_held};
    w->c.session.handler = &w->session_handler;
    e = session_new(&w->c.session, &w->session, d);
    if (e != ERR_OK) {
        worker_release(w);
        mem_free(w);
        return e;
    }
    *out = w;
    pump_later(w);
    return ERR_OK;
}

void worker_free(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    LOOP_OWNED(w->c.session.loop);
    w->dead = true;
    session_free(w->session);
    loop_timer_stop(&w->timer);
    while (map_len(&w->tasks) > 0) {
        task_free(w, MAP_ENTRY(map_first(&w->tasks), struct worker_task, node));
    }
    worker_release(w);
    if (!w->pump_posted) {
        mem_free(w);
    } /* else the posted pump frees it */
}

/* Copies a text of an outcome, when it is fit to be sent. */
static enum err text_take(struct worker_task *t, struct str s, size_t max, struct str *out)
{
    *out = STR_NONE;
    if (s.size > max) {
        return ERR_TOO_LARGE;
    }
    if (!str_is_utf8(s)) {
        return ERR_MALFORMED;
    }
    if (s.p != NULL) {
        *out = str_dup(&t->arena, s);
    }
    return s.p != NULL && out->p == NULL ? ERR_LIMIT : ERR_OK;
}

enum err worker_outcome(struct worker_task *t, bool success, struct str output, struct str error,
                        struct str cause)
{
    PRE(t->state == TASK_RUNNING);
    struct msg_completion *c = &t->completion;
    *c = (struct msg_completion){.token = t->task.token,
                                 .status =
                                     success ? MSG_COMPLETION_SUCCESS : MSG_COMPLETION_FAILURE};
    if (success) {
        return text_take(t, output, STATE_SIZE_MAX, &c->output);
    }
    enum err e = text_take(t, error, ERROR_NAME_SIZE_MAX, &c->error);
    return e != ERR_OK ? e : text_take(t, cause, CAUSE_SIZE_MAX, &c->cause);
}

void worker_complete(struct worker *w, struct worker_task *t)
{
    LOOP_OWNED(w->c.session.loop);
    task_end(w, t);
    list_push_back(&w->outcomes, &t->link);
    pump_later(w);
}

void worker_give_back(struct worker *w, struct worker_task *t)
{
    LOOP_OWNED(w->c.session.loop);
    task_end(w, t);
    t->state = TASK_DROPPED;
    list_push_back(&w->dropped, &t->link);
    pump_later(w);
}

void worker_drain(struct worker *w)
{
    LOOP_OWNED(w->c.session.loop);
    w->draining = true;
    pump_later(w);
}

uint32_t worker_held(const struct worker *w)
{
    return w->running_len;
}

struct worker_stats worker_stats(const struct worker *w)
{
    return w->stats;
}

struct session *worker_session(struct worker *w)
{
    return w->session;
}
