/* Workers: poll, work for a while, answer. Some answers are doubled, late, lost with their worker, or for
 * an attempt that is over; some tasks are given back or never done. */
#include "base/prelude.h"

#include "tests/sim/run.h"

#include "base/assert.h"

enum held_state { HELD_WORKING, HELD_READY, HELD_SENT, HELD_HANGING, HELD_BACK, HELD_BACK_SENT };

struct held {
    struct task_token token;
    enum held_state state;
    int64_t due_us;
    bool fails, twice, accepted;
    bool call; /* the answer is to the call; a callback follows */
    char output[160];
};

struct worker {
    struct held held[HELD_MAX];
    uint32_t held_len;
    uint32_t life;         /* of the host: what is held dies with it */
    uint32_t polls, asked; /* under way; the capacity they offer */
    int64_t heartbeat_us;
};

static struct held *held_find(struct worker *w, const struct task_token *t)
{
    for (uint32_t i = 0; i < w->held_len; i++) {
        if (task_token_eq(&w->held[i].token, t)) {
            return &w->held[i];
        }
    }
    return NULL;
}

static void held_remove(struct worker *w, struct held *h)
{
    *h = w->held[--w->held_len];
}

/* What a worker makes of an input: one step more. */
static void work_decide(struct actor *a, struct held *h, const struct order *o, bool child,
                        uint32_t steps, uint32_t attempt)
{
    const struct swarm *s = &a->run->swarm;
    int64_t us = rng_between(&a->rng, US_PER_MS, 120 * US_PER_MS);
    order_payload(o, steps + 1, h->output, sizeof(h->output));
    h->call = order_calls(o);
    h->fails = child ? order_child_fails(o) : order_fails(o, attempt);
    h->state = HELD_WORKING;
    if (o->workflow == 6 && o->variant == 1) {
        h->state = HELD_HANGING;
        us = 60 * (int64_t)US_PER_S;
    } else if (!a->run->healing) {
        if (rng_chance(&a->rng, s->slow)) {
            us = rng_between(&a->rng, US_PER_S, 4 * (int64_t)US_PER_S);
        } else if (rng_chance(&a->rng, s->late) && o->workflow != 6) {
            us = rng_between(&a->rng, 8 * (int64_t)US_PER_S, 20 * (int64_t)US_PER_S);
        } else if (rng_chance(&a->rng, s->give_back)) {
            h->state = HELD_BACK;
        }
        h->twice = rng_chance(&a->rng, s->dup);
    }
    h->due_us = a->run->world->now_us + us;
}

/* Somebody will answer the token, some time from now and perhaps before the call is answered; or nobody
 * will, and the attempt runs out of time. */
static void callback_plan(struct actor *a, const struct held *h, const struct order *o)
{
    struct run *r = a->run;
    if (r->callbacks_len == CALLBACKS_MAX || (!r->healing && rng_chance(&a->rng, 0.1))) {
        return;
    }
    struct callback *c = &r->callbacks[r->callbacks_len++];
    *c = (struct callback){.token = h->token, .tenant = a->tenant, .fails = o->variant == 1};
    memcpy(c->output, h->output, sizeof(c->output));
    c->due_us = rng_chance(&a->rng, 0.2)
                    ? r->world->now_us
                    : h->due_us + rng_between(&a->rng, 0, 6 * (int64_t)US_PER_S);
}

static void task_got(struct actor *a, const struct msg_task *t)
{
    struct run *r = a->run;
    struct worker *w = a->worker;
    struct order *o = order_find(r, t->workflow, t->name, t->input);
    char expected[160];
    uint32_t steps = 0;
    world_say(r->world, "got %.*s/%" PRIu64 "/%" PRIu32 " attempt %" PRIu32, STR_ARG(t->execution),
              t->token.ref.seq, t->token.ref.idx, t->attempt);
    check_dispatched(r->checkers, &t->token, world_wall(r->world),
                     r->swarm.node.heartbeat_us + 16 * (int64_t)US_PER_S);
    if (o == NULL || t->state.size < 2) {
        run_violation(r, 27, "a task of an unknown order \"%.*s\"", STR_ARG(t->name));
        return;
    }
    check_tenant(r->checkers, "a task", o->tenant, a->tenant);
    steps = (uint32_t)(t->state.p[1] - '1'); /* states that work are T1, T2, ... */
    order_payload(o, steps, expected, sizeof(expected));
    check_payload(r->checkers, o->name, t->input, str_of(expected));
    struct held *h = held_find(w, &t->token);
    if (h != NULL && h->state != HELD_BACK_SENT) {
        return; /* dispatched again while we hold it: at least once */
    }
    if (h == NULL) {
        ASSERT(w->held_len < HELD_MAX);
        h = &w->held[w->held_len++];
    }
    *h = (struct held){.token = t->token};
    bool child = str_eqc(t->workflow, "kid");
    work_decide(a, h, o, child, steps, t->attempt);
    if (h->call) {
        callback_plan(a, h, o);
    }
}

/* One outcome was judged; false: send it again. */
static void outcome_judged(struct actor *a, const struct task_token *t, unsigned code)
{
    struct worker *w = a->worker;
    struct held *h = held_find(w, t);
    enum err_class class = err_class((enum err)code);
    if (h == NULL || h->state != HELD_SENT) {
        return;
    }
    if (code == ERR_OK) {
        if (!h->call) {
            check_outcome_acked(a->run->checkers, t);
        }
        if (h->accepted && a->run->store->failovers == 0) {
            run_violation(a->run, 19, "two outcomes of one attempt were accepted");
        }
        h->accepted = true;
        if (h->twice) { /* and now something else under the same token */
            h->twice = false;
            h->state = HELD_READY;
            h->fails = h->call || a->run->swarm.lossy
                           ? h->fails
                           : !h->fails; /* it may count after a rollback */
            h->due_us = a->run->world->now_us + rng_between(&a->rng, 1, 3 * (int64_t)US_PER_S);
            return;
        }
        held_remove(w, h);
    } else if (class == ERRC_RETRY || class == ERRC_UNKNOWN || class == ERRC_LIMIT) {
        h->state = HELD_READY;
        h->due_us = a->run->world->now_us + rng_between(&a->rng, 50 * US_PER_MS, US_PER_S);
    } else {
        if (code != ERR_STALE && code != ERR_STOPPED) {
            run_violation(a->run, 19, "an outcome was refused with %s", err_name((enum err)code));
        }
        held_remove(w, h);
    }
}

static void outcomes_judged(struct actor *a, struct actor_request *r, const struct msg *m)
{
    for (uint32_t i = 0; i < r->tokens_len; i++) {
        unsigned code = ERR_UNKNOWN;
        if (m != NULL && m->type == MSG_POLL_OK && i < m->u.poll_ok.acks_len) {
            code = m->u.poll_ok.acks[i];
        } else if (m != NULL && m->type == MSG_TASK_OK) {
            code = ERR_OK;
        } else if (m != NULL && m->type == MSG_ERROR) {
            code = m->u.error.code;
        }
        outcome_judged(a, &r->tokens[i], code);
    }
}

/* Gifts back: taken when the poll was answered; else they are offered again. */
static void backs_judged(struct actor *a, const struct actor_request *r, bool taken)
{
    for (uint32_t i = r->tokens_len; i < r->tokens_len + r->back_len; i++) {
        struct held *h = held_find(a->worker, &r->tokens[i]);
        if (h != NULL && h->state == HELD_BACK_SENT && taken) {
            held_remove(a->worker, h);
        } else if (h != NULL && h->state == HELD_BACK_SENT) {
            h->state = HELD_BACK;
            h->due_us = a->run->world->now_us + 200 * US_PER_MS;
        }
    }
}

static void poll_answered(struct actor *a, struct actor_request *r, const struct msg *m)
{
    if (r->forsaken) {
        m = NULL; /* the worker has given up on it, and hung up nothing */
    }
    a->worker->polls--;
    a->worker->asked -= r->capacity;
    outcomes_judged(a, r, m);
    backs_judged(a, r, m != NULL && m->type == MSG_POLL_OK);
    if (m == NULL || m->type != MSG_POLL_OK) {
        return;
    }
    if (m->u.poll_ok.acks_len != r->tokens_len) {
        run_violation(a->run, 19, "%" PRIu32 " answers for %" PRIu32 " outcomes",
                      m->u.poll_ok.acks_len, r->tokens_len);
    }
    for (uint32_t i = 0; i < m->u.poll_ok.tasks_len; i++) {
        task_got(a, &m->u.poll_ok.tasks[i]);
    }
}

static void request_tokens(struct actor_request *q, const struct task_token *t, uint32_t len)
{
    q->tokens = MEM_ARRAY(struct task_token, MAX(len, 1U));
    memcpy(q->tokens, t, sizeof(*t) * len);
    q->tokens_len = len;
}

/* How many tasks more it can take, what it has asked for already counted. */
static uint32_t room_left(const struct actor *a)
{
    const struct worker *w = a->worker;
    uint32_t used = w->held_len + w->asked;
    return a->run->swarm.capacity > used ? a->run->swarm.capacity - used : 0;
}

/* Outcomes that are ready and gifts back, with the demand for more. */
static void poll_send(struct actor *a)
{
    static const struct str queues[] = {{"work", 4}};
    struct worker *w = a->worker;
    struct msg m = {.type = MSG_POLL};
    struct msg_completion done[HELD_MAX];
    struct task_token tokens[2 * HELD_MAX], back[HELD_MAX];
    uint32_t n = 0, given = 0;
    int64_t now = a->run->world->now_us;
    for (uint32_t i = 0; i < w->held_len; i++) {
        struct held *h = &w->held[i];
        if (h->state == HELD_BACK && h->due_us <= now) {
            back[given++] = h->token;
            h->state = HELD_BACK_SENT;
        }
        if (h->state == HELD_READY && h->due_us <= now) {
            tokens[n] = h->token;
            done[n++] = (struct msg_completion){
                .token = h->token,
                .status = h->fails ? MSG_COMPLETION_FAILURE : MSG_COMPLETION_SUCCESS,
                .output = h->fails ? STR_NONE : str_of(h->output),
                .error = h->fails ? STR("Broken") : STR_NONE,
                .cause = h->fails ? STR("as asked") : STR_NONE,
            };
            h->state = HELD_SENT;
        }
    }
    uint32_t room = room_left(a);
    m.u.poll = (struct msg_poll){
        .queues = queues,
        .queues_len = 1,
        .capacity = room,
        .wait_ms = 3000,
        .completions = done,
        .completions_len = n,
        .dropped = back,
        .dropped_len = given,
    };
    struct actor_request *q = actor_send(a, &m, poll_answered);
    if (q == NULL) {
        for (uint32_t i = 0; i < n; i++) {
            outcome_judged(a, &tokens[i], ERR_UNAVAILABLE);
        }
        for (uint32_t i = 0; i < given; i++) {
            held_find(w, &back[i])->state = HELD_BACK;
        }
        return;
    }
    memcpy(tokens + n, back, sizeof(back[0]) * given);
    a->run->operations += n;
    w->polls++;
    w->asked += room;
    q->capacity = room;
    q->patient = true;
    q->forsaken = !a->run->healing && rng_chance(&a->rng, a->run->swarm.forsake);
    request_tokens(q, tokens, n + given);
    q->tokens_len = n;
    q->back_len = given;
}

static void single_send(struct actor *a, struct held *h)
{
    struct msg m = {.type = h->fails ? MSG_TASK_FAILURE : MSG_TASK_SUCCESS};
    if (h->fails) {
        m.u.task_failure.token = h->token;
        m.u.task_failure.error = STR("Broken");
        m.u.task_failure.cause = STR("as asked");
    } else {
        m.u.task_success.token = h->token;
        m.u.task_success.output = str_of(h->output);
    }
    struct actor_request *q = actor_send(a, &m, outcomes_judged);
    if (q != NULL) {
        a->run->operations++;
        h->state = HELD_SENT;
        request_tokens(q, &h->token, 1);
    }
}

static void heartbeat_answered(struct actor *a, struct actor_request *r, const struct msg *m)
{
    if (m == NULL || m->type != MSG_HEARTBEAT_OK) {
        return;
    }
    for (uint32_t i = 0; i < r->tokens_len && i < m->u.heartbeat_ok.codes_len; i++) {
        unsigned code = m->u.heartbeat_ok.codes[i];
        if (code == ERR_OK) {
            int64_t ago = a->run->world->now_us - r->sent_us;
            check_beat_ok(a->run->checkers, &r->tokens[i],
                          (struct wall){world_wall(a->run->world).us - ago});
        }
        struct held *h = held_find(a->worker, &r->tokens[i]);
        if (h != NULL && h->state == HELD_HANGING && (code == ERR_STALE || code == ERR_STOPPED)) {
            held_remove(a->worker, h);
        }
    }
}

/* Names all that it holds; what it gives back it has no more. */
static void heartbeat_send(struct actor *a)
{
    struct worker *w = a->worker;
    struct task_token tokens[HELD_MAX];
    struct msg m = {.type = MSG_HEARTBEAT};
    uint32_t len = 0;
    for (uint32_t i = 0; i < w->held_len; i++) {
        if (w->held[i].state != HELD_BACK_SENT) {
            tokens[len++] = w->held[i].token;
        }
    }
    m.u.heartbeat.tokens = tokens;
    m.u.heartbeat.tokens_len = len;
    struct actor_request *q = len > 0 ? actor_send(a, &m, heartbeat_answered) : NULL;
    if (q != NULL) {
        request_tokens(q, tokens, len);
    }
    w->heartbeat_us = a->run->world->now_us + a->run->swarm.node.heartbeat_us / 2;
}

/* ---- callbacks: by whichever worker comes along ---- */

static struct callback *callback_find(struct run *r, const struct task_token *t)
{
    for (uint32_t i = 0; i < r->callbacks_len; i++) {
        if (task_token_eq(&r->callbacks[i].token, t)) {
            return &r->callbacks[i];
        }
    }
    return NULL;
}

static void callback_answered(struct actor *a, struct actor_request *q, const struct msg *m)
{
    struct run *r = a->run;
    struct callback *c = callback_find(r, &q->tokens[0]);
    unsigned code = m == NULL                ? (unsigned)ERR_UNKNOWN
                    : m->type == MSG_TASK_OK ? (unsigned)ERR_OK
                    : m->type == MSG_ERROR   ? m->u.error.code
                                             : (unsigned)ERR_FATAL;
    enum err_class class = err_class((enum err)code);
    if (c == NULL) {
        return;
    }
    c->sent = false;
    c->due_us = r->world->now_us + rng_between(&a->rng, 50 * US_PER_MS, US_PER_S);
    if (code == ERR_OK) {
        check_outcome_acked(r->checkers, &c->token);
    } else if (class == ERRC_RETRY || class == ERRC_UNKNOWN || class == ERRC_LIMIT) {
        return; /* once more */
    } else if (code != ERR_STALE && code != ERR_STOPPED) {
        run_violation(r, 19, "a callback was refused with %s", err_name((enum err)code));
    }
    *c = r->callbacks[--r->callbacks_len];
}

static void callbacks_send(struct actor *a)
{
    struct run *r = a->run;
    for (uint32_t i = 0; i < r->callbacks_len; i++) {
        struct callback *c = &r->callbacks[i];
        if (c->sent || c->tenant != a->tenant || c->due_us > r->world->now_us ||
            actor_requests(a) > 30) {
            continue;
        }
        struct msg m = {.type = c->fails ? MSG_TASK_FAILURE : MSG_TASK_SUCCESS};
        if (c->fails) {
            m.u.task_failure.token = c->token;
            m.u.task_failure.error = STR("NoAnswer");
        } else {
            m.u.task_success.token = c->token;
            m.u.task_success.output = str_of(c->output);
        }
        struct actor_request *q = actor_send(a, &m, callback_answered);
        if (q != NULL) {
            c->sent = true;
            request_tokens(q, &c->token, 1);
            r->operations++;
        }
    }
}

static void worker_ticked(struct actor *a)
{
    struct worker *w = a->worker;
    int64_t now = a->run->world->now_us;
    bool ready = false;
    callbacks_send(a);
    for (uint32_t i = 0; i < w->held_len; i++) {
        struct held *h = &w->held[i];
        if (h->state == HELD_HANGING && h->due_us <= now) {
            held_remove(w, h);
            return;
        }
        if (h->state == HELD_WORKING && h->due_us <= now) {
            h->state = HELD_READY;
            if (!h->call && rng_chance(&a->rng, 0.15)) {
                single_send(a, h);
            }
        }
        ready = ready || (h->due_us <= now && (h->state == HELD_READY || h->state == HELD_BACK));
    }
    if (ready ? w->polls < 4 : w->polls == 0 && room_left(a) > 0) {
        poll_send(a);
    }
    if (w->heartbeat_us <= now) {
        heartbeat_send(a);
    }
}

/* Connected again: what it still works on; a new life holds nothing. */
static void worker_hello(struct actor *a, struct msg *m)
{
    struct worker *w = a->worker;
    struct task_token *held = (struct task_token *)(uintptr_t)m->u.hello.held;
    if (w->life != a->host->lives) {
        w->life = a->host->lives;
        w->held_len = 0;
    }
    w->polls = w->asked = 0;
    for (uint32_t i = 0; i < w->held_len; i++) {
        held[i] = w->held[i].token;
    }
    m->u.hello.held_len = w->held_len;
}

void workers_make(struct run *r)
{
    for (uint32_t i = 0; i < r->swarm.workers; i++) {
        struct actor *a = &r->workers[i];
        actor_init(a, r, "worker", i);
        a->worker = MEM_NEW(struct worker);
        a->ticked = worker_ticked;
        a->hello = worker_hello;
    }
}
