/* Tasks meet workers: see dispatch.h. */
#include "base/prelude.h"

#include "scheduler/dispatch_internal.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/trace.h"
#include "scheduler/metrics.h"

LOG_MODULE("dispatch");

/* ---- keys ---- */

uint64_t dispatch_token_hash(const struct task_token *t)
{
    return exec_id_hash(&t->ref.exec) ^ hash_u64(t->ref.seq * 65537 + t->ref.idx);
}

static bool token_node_eq(const struct map_node *node, const void *key)
{
    const struct dtask *t = MAP_ENTRY(node, const struct dtask, node);
    const struct task_token *k = key;
    return t->t.token.ref.seq == k->ref.seq && t->t.token.ref.idx == k->ref.idx &&
           exec_id_eq(&t->t.token.ref.exec, &k->ref.exec);
}

/* The task at the token's place, whatever the nonce. */
static struct dtask *task_at(struct dispatch *d, const struct task_token *t)
{
    struct map_node *n = map_find(&d->tasks, dispatch_token_hash(t), t, token_node_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct dtask, node);
}

struct dtask *dispatch_find(struct dispatch *d, const struct task_token *t)
{
    struct dtask *task = task_at(d, t);
    return task != NULL && task_token_eq(&task->t.token, t) ? task : NULL;
}

struct queue_key {
    uint32_t tenant;
    struct str name;
};

static bool queue_eq(const struct map_node *node, const void *key)
{
    const struct dispatch_queue *q = MAP_ENTRY(node, const struct dispatch_queue, node);
    const struct queue_key *k = key;
    return q->tenant == k->tenant && str_eq(q->name, k->name);
}

struct str dispatch_own_text(struct str s)
{
    char *p = mem_alloc(s.size + 1);
    if (s.size > 0) {
        memcpy(p, s.p, s.size);
    }
    return (struct str){p, s.size};
}

static struct dispatch_queue *queue_get(struct dispatch *d, uint32_t tenant, struct str name)
{
    struct queue_key k = {tenant, name};
    uint64_t h = hash_bytes(name.p, name.size) ^ hash_u64(tenant);
    struct map_node *n = map_find(&d->queues, h, &k, queue_eq);
    if (n != NULL) {
        return MAP_ENTRY(n, struct dispatch_queue, node);
    }
    struct dispatch_queue *q = MEM_NEW(struct dispatch_queue);
    q->tenant = tenant;
    q->name = dispatch_own_text(name);
    list_init(&q->ready);
    list_init(&q->polls);
    list_init(&q->hot);
    list_init(&q->hungry);
    list_init(&q->thirsty);
    q->left = d->forgotten;
    map_insert(&d->queues, &q->node, h);
    return q;
}

void queue_hot(struct dispatch *d, struct dispatch_queue *q)
{
    if (!list_linked(&q->hot)) {
        list_push_back(&d->hot, &q->hot);
    }
}

/* A queue that nobody waits at and that has no task is forgotten: names come from outside. */
static void queue_put(struct dispatch *d, struct dispatch_queue *q)
{
    if (q->tasks_len == 0 && list_empty(&q->polls)) {
        d->forgotten = MAX(d->forgotten, q->left);
        list_remove(&q->hot);
        list_remove(&q->hungry);
        list_remove(&q->thirsty);
        map_remove(&d->queues, &q->node);
        mem_free((void *)(uintptr_t)q->name.p);
        mem_free(q);
    }
}

/* ---- the one loop timer: earliest of all deadlines ---- */

void dispatch_timer_set(struct dispatch *d)
{
    int64_t due = INT64_MAX;
    struct heap_node *n = heap_min(&d->deadlines);
    if (n != NULL && d->c.clock->set) {
        struct mono at = storeclock_mono(d->c.clock, (struct wall){n->key});
        due = MIN(due, MAX(at.us, d->deadlines_later.us));
    }
    if (d->left_due.us != INT64_MAX && d->due_round == 0 && d->c.clock->set) {
        due = MIN(due, storeclock_mono(d->c.clock, d->left_due).us);
    }
    n = heap_min(&d->poll_deadlines);
    if (n != NULL) {
        due = MIN(due, n->key);
    }
    n = heap_min(&d->lost);
    if (n != NULL) {
        due = MIN(due, n->key);
    }
    if (!list_empty(&d->leases)) {
        const struct dtask *t = LIST_ENTRY(d->leases.next, const struct dtask, lease);
        due = MIN(due, MAX(t->lease_until.us, d->lease_grace.us));
    }
    if (!list_empty(&d->confirming)) {
        due = MIN(due, d->confirm_until.us);
    }
    /* Most deadlines go before their time: a timer that fires too early costs less than moving it. */
    if (due == INT64_MAX) {
        loop_timer_stop(&d->timer);
    } else if (!d->timer.armed || due < d->timer_due.us) {
        d->timer_due.us = due;
        loop_timer_start(d->c.loop, &d->timer, d->timer_due);
    }
}

/* ---- states of a task ---- */

static void deadline_set(struct dispatch *d, struct dtask *t)
{
    heap_remove(&d->deadlines, &t->deadline);
    int64_t due = INT64_MAX;
    if (t->t.timeout_at.us != 0) {
        due = t->t.timeout_at.us;
    }
    if (t->heartbeat_due.us != 0) {
        due = MIN(due, t->heartbeat_due.us);
    }
    if (due != INT64_MAX) {
        heap_insert(&d->deadlines, &t->deadline, due);
    }
}

void dtask_heartbeat_restart(struct dispatch *d, struct dtask *t)
{
    if (t->t.heartbeat_us > 0 && d->c.clock->set) {
        t->heartbeat_due = storeclock_now(d->c.clock, loop_now(d->c.loop));
        t->heartbeat_due.us += t->t.heartbeat_us;
        deadline_set(d, t);
    }
}

/* Out of whatever list and count it is in. */
void dtask_unlink(struct dispatch *d, struct dtask *t)
{
    list_remove(&t->link);
    switch (t->state) {
    case DTASK_CONFIRMING:
        d->confirming_len--;
        t->queue->kept--;
        break;
    case DTASK_READY:
    case DTASK_HYDRATING:
        t->queue->hydrating -= t->state == DTASK_HYDRATING && !t->aside ? 1 : 0;
        t->aside = false;
        d->ready--;
        t->queue->ready_len--;
        t->queue->kept--;
        break;
    case DTASK_GRANTED:
        d->granted--;
        t->session->held_len--;
        t->session = NULL;
        list_remove(&t->lease);
        break;
    case DTASK_WAITING:
        d->waiting--;
        break;
    }
}

void dtask_ready(struct dispatch *d, struct dtask *t, bool front)
{
    t->state = DTASK_READY;
    t->heartbeat_due.us = 0;
    d->ready++;
    t->queue->ready_len++;
    t->queue->kept++;
    queue_fed(d, t->queue);
    if (front) {
        list_push_front(&t->queue->ready, &t->link);
    } else {
        list_push_back(&t->queue->ready, &t->link);
    }
    queue_hot(d, t->queue);
    deadline_set(d, t);
}

void dtask_grant(struct dispatch *d, struct dtask *t, struct dispatch_session *s)
{
    t->state = DTASK_GRANTED;
    t->session = s;
    d->granted++;
    s->held_len++;
    list_push_back(&s->held, &t->link);
    dispatch_lease_renew(d, t);
    dtask_heartbeat_restart(d, t);
}

static void make_waiting(struct dispatch *d, struct dtask *t)
{
    t->state = DTASK_WAITING;
    t->t.waits = true;
    d->waiting++;
    dtask_drop_texts(d, t);
    dtask_heartbeat_restart(d, t);
    deadline_set(d, t);
}

void dtask_free(struct dispatch *d, struct dtask *t)
{
    dtask_unlink(d, t);
    heap_remove(&d->deadlines, &t->deadline);
    map_remove(&d->tasks, &t->node);
    dtask_drop_texts(d, t);
    struct dispatch_queue *q = t->queue;
    q->tasks_len--;
    mem_free(t);
    queue_put(d, q);
}

static struct dtask *task_new(struct dispatch *d, const struct dispatch_task *in)
{
    struct dtask *t = MEM_NEW(struct dtask);
    t->t = *in;
    list_init(&t->link);
    list_init(&t->lease);
    list_init(&t->borrowed);
    t->queue = queue_get(d, in->tenant, in->queue);
    t->t.queue = t->queue->name;
    t->queue->tasks_len++;
    map_insert(&d->tasks, &t->node, dispatch_token_hash(&in->token));
    return t;
}

static bool has_deadline(const struct dispatch_task *t)
{
    return t->timeout_at.us != 0 || t->heartbeat_us > 0;
}

/* What waits is kept for its deadlines' sake alone. "known": it was not told so before. */
static void wait_for(struct dispatch *d, const struct dispatch_task *in, struct dtask *known)
{
    struct held_claim *c = held_claim_find(d, &in->token);
    if (c != NULL) {
        held_claim_drop(d, c);
    }
    if (known != NULL && known->state == DTASK_WAITING) {
        return;
    }
    if (!has_deadline(in)) {
        if (known != NULL) {
            dtask_free(d, known);
        }
        return;
    }
    if (known != NULL) {
        dtask_unlink(d, known);
    } else if (d->waiting >= d->c.tasks_max) {
        dispatch_leave_deadline(d, in);
        dispatch_timer_set(d);
        return;
    } else {
        known = task_new(d, in);
    }
    make_waiting(d, known);
    dispatch_timer_set(d);
}

void dispatch_submitted(struct dispatch *d, const struct task_token *token)
{
    LOOP_OWNED(d->c.loop);
    struct dtask *t = task_at(d, token);
    if (t != NULL) {
        struct dispatch_task in = t->t;
        wait_for(d, &in, t);
    }
}

void dispatch_add(struct dispatch *d, const struct dispatch_task *in)
{
    LOOP_OWNED(d->c.loop);
    struct dtask *known = task_at(d, &in->token);
    if (in->waits) {
        wait_for(d, in, known);
        return;
    }
    if (known != NULL) {
        known->hearsay = known->hearsay && !task_token_eq(&known->t.token, &in->token);
        return;
    }
    struct dispatch_queue *q = queue_get(d, in->tenant, in->queue);
    if (!queue_lets_in(d, q) || !dispatch_room_for(d, q)) {
        metric_add(&metric_tasks_overflowed, 1);
        dispatch_leave(d, q, in);
        queue_put(d, q);
        return;
    }
    d->added++;
    struct dtask *t = task_new(d, in);
    list_push_back(&d->borrowed, &t->borrowed);
    dtask_ready(d, t, false);
}

/* A task that was not known here and that the session holds. */
static struct dtask *task_held(struct dispatch *d, struct dispatch_session *s,
                               const struct dispatch_task *in)
{
    struct dtask *t = task_new(d, in);
    dtask_drop_texts(d, t);
    dtask_grant(d, t, s);
    deadline_set(d, t);
    dispatch_timer_set(d);
    return t;
}

void dispatch_found(struct dispatch *d, const struct dispatch_task *in, struct mono confirm_until)
{
    LOOP_OWNED(d->c.loop);
    struct dtask *known = task_at(d, &in->token);
    if (in->waits) {
        wait_for(d, in, known);
        return;
    }
    if (known != NULL) {
        return;
    }
    struct held_claim *claim = held_claim_find(d, &in->token);
    if (claim != NULL && claim->session->tenant == in->tenant) {
        metric_add(&metric_tasks_confirmed, 1);
        task_held(d, claim->session, in)->hearsay = true;
        held_claim_drop(d, claim);
        return;
    }
    struct dispatch_queue *q = queue_get(d, in->tenant, in->queue);
    if (!dispatch_room_for(d, q)) {
        dispatch_leave(d, q, in);
        queue_put(d, q);
        return;
    }
    d->added++;
    struct dtask *t = task_new(d, in);
    t->hearsay = true;
    dtask_drop_texts(d, t);
    if (confirm_until.us <= loop_now(d->c.loop).us) {
        dtask_ready(d, t, false);
        return;
    }
    t->state = DTASK_CONFIRMING;
    d->confirming_len++;
    q->kept++;
    list_push_back(&d->confirming, &t->link);
    d->confirm_until.us = MAX(d->confirm_until.us, confirm_until.us);
    deadline_set(d, t);
}

void dispatch_hold(struct dispatch *d, struct dispatch_session *s, const struct dispatch_task *in)
{
    LOOP_OWNED(d->c.loop);
    struct held_claim *c = held_claim_find(d, &in->token);
    if (c != NULL) {
        held_claim_drop(d, c);
    }
    struct dtask *t = task_at(d, &in->token);
    if (t != NULL) {
        t->hearsay = false;
        (void)dispatch_heartbeat(d, s, &in->token);
    } else if (in->tenant == s->tenant && s->held_len < DISPATCH_HELD_MAX) {
        (void)task_held(d, s, in);
    }
}

void dispatch_remove(struct dispatch *d, const struct task_token *token)
{
    LOOP_OWNED(d->c.loop);
    struct dtask *t = task_at(d, token);
    if (t != NULL) {
        dtask_free(d, t);
    }
    struct held_claim *c = held_claim_find(d, token);
    if (c != NULL) {
        held_claim_drop(d, c);
    }
}

static void forget(struct dispatch *d, const struct task_token *token, bool waiting_too)
{
    struct dtask *t = dispatch_find(d, token);
    if (t != NULL && (waiting_too || t->state != DTASK_WAITING)) {
        dtask_free(d, t);
    }
    struct held_claim *c = held_claim_find(d, token);
    if (c != NULL) {
        held_claim_drop(d, c);
    }
}

void dispatch_forget(struct dispatch *d, const struct task_token *token)
{
    LOOP_OWNED(d->c.loop);
    forget(d, token, true);
}

void dispatch_let_go(struct dispatch *d, const struct task_token *token)
{
    LOOP_OWNED(d->c.loop);
    forget(d, token, false);
}

/* One more may be asked for. */
static void hydrating_less(struct dispatch *d)
{
    struct list *next = list_pop_front(&d->thirsty);
    PRE(d->hydrating > 0);
    d->hydrating--;
    if (next != NULL) {
        queue_hot(d, LIST_ENTRY(next, struct dispatch_queue, thirsty));
    }
}

void dispatch_hydrate_late(struct dispatch *d, const struct task_token *token)
{
    LOOP_OWNED(d->c.loop);
    hydrating_less(d);
    struct dtask *t = dispatch_find(d, token);
    if (t != NULL && t->state == DTASK_HYDRATING && !t->aside) {
        list_remove(&t->link);
        t->queue->hydrating--;
        t->aside = true;
        queue_hot(d, t->queue);
    }
}

void dispatch_hydrated(struct dispatch *d, const struct task_token *token,
                       const struct dispatch_task *filled, bool late)
{
    LOOP_OWNED(d->c.loop);
    if (!late) {
        hydrating_less(d);
    }
    struct dtask *t = dispatch_find(d, token);
    if (t == NULL || t->t.has_input || t->state == DTASK_WAITING) {
        return;
    }
    if (filled == NULL) {
        dtask_free(d, t);
        return;
    }
    t->hearsay = false;
    if (t->state == DTASK_GRANTED || t->state == DTASK_CONFIRMING) {
        return; /* its worker has it, after all */
    }
    t->t.workflow = filled->workflow;
    t->t.execution_name = filled->execution_name;
    t->t.state = filled->state;
    t->t.input = filled->input;
    t->t.has_input = true;
    dtask_keep_texts(d, t, !list_empty(&t->queue->polls));
    if (t->aside) {
        list_push_front(&t->queue->ready, &t->link);
    } else if (t->state == DTASK_HYDRATING) {
        t->queue->hydrating--;
    }
    t->aside = false;
    t->state = DTASK_READY;
    queue_hot(d, t->queue);
}

void dispatch_deadline_again(struct dispatch *d, const struct task_token *token)
{
    LOOP_OWNED(d->c.loop);
    struct dtask *t = dispatch_find(d, token);
    struct wall soon = {dispatch_now(d).us + US_PER_S};
    if (!d->c.clock->set) {
        return;
    }
    if (t == NULL) {
        dispatch_left_due(d, soon);
    } else if (!heap_contains(&t->deadline)) {
        heap_insert(&d->deadlines, &t->deadline, soon.us);
    }
    dispatch_timer_set(d);
}

/* ---- polls ---- */

/* Looked at in the next flush, and answered if there is something to say. */
static void answer_soon(struct dispatch *d, struct dispatch_poll *p)
{
    if (!list_linked(&p->answered)) {
        list_push_back(&d->answered, &p->answered);
    }
}

static void poll_unlink(struct dispatch *d, struct dispatch_poll *p)
{
    for (uint32_t i = 0; i < p->at_len; i++) {
        list_remove(&p->at[i].link);
        queue_put(d, p->at[i].queue);
    }
    p->at_len = 0;
    heap_remove(&d->poll_deadlines, &p->deadline);
}

void dispatch_poll(struct dispatch *d, struct dispatch_poll *p, const struct str *queues,
                   uint32_t queues_len, struct mono until)
{
    LOOP_OWNED(d->c.loop);
    PRE(p->session != NULL && p->room != NULL && queues_len <= POLL_QUEUES_MAX);
    PRE(!p->active);
    p->at_len = 0;
    p->next = 0;
    p->granted = NULL;
    p->granted_len = 0;
    p->active = true;
    p->capacity = MIN(p->capacity, (uint32_t)POLL_TASKS_MAX);
    list_init(&p->answered);
    d->polls++;
    dispatch_heard(d, p->session);
    for (uint32_t i = 0; i < queues_len; i++) {
        struct dispatch_queue *q = queue_get(d, p->session->tenant, queues[i]);
        p->at[p->at_len].poll = p;
        p->at[p->at_len].queue = q;
        list_push_back(&q->polls, &p->at[p->at_len].link);
        queue_hot(d, q);
        p->at_len++;
    }
    heap_insert(&d->poll_deadlines, &p->deadline, until.us);
    answer_soon(d, p);
}

void dispatch_polls_look(struct dispatch *d, const struct dispatch_session *s)
{
    for (size_t i = 0; i < d->poll_deadlines.len; i++) {
        struct dispatch_poll *p =
            CONTAINER_OF(d->poll_deadlines.v[i], struct dispatch_poll, deadline);
        if (p->session == s) {
            answer_soon(d, p);
        }
    }
}

void dispatch_poll_cancel(struct dispatch *d, struct dispatch_poll *p)
{
    LOOP_OWNED(d->c.loop);
    if (!p->active) {
        return;
    }
    for (uint32_t i = 0; i < p->granted_len; i++) {
        dtask_unlink(d, p->granted[i]);
        dtask_ready(d, p->granted[i], true);
    }
    mem_free(p->granted);
    p->granted = NULL;
    p->granted_len = 0;
    poll_unlink(d, p);
    list_remove(&p->answered);
    p->active = false;
    d->polls--;
}

/* ---- matching ---- */

/* False: there is no room for it in the answer or with the worker: that was all. */
static bool grant(struct dispatch *d, struct dispatch_poll *p, struct dtask *t)
{
    size_t size = d->c.task_room + t->t.queue.size + t->t.workflow.size + t->t.execution_name.size +
                  t->t.state.size + t->t.input.size;
    answer_soon(d, p);
    if (size > *p->room || p->session->held_len >= DISPATCH_HELD_MAX) {
        p->closing = true;
        return false;
    }
    *p->room -= size;
    if (p->granted == NULL) {
        p->granted = mem_alloc(p->capacity * sizeof(struct dtask *));
    }
    dtask_unlink(d, t);
    dtask_grant(d, t, p->session);
    p->granted[p->granted_len++] = t;
    return true;
}

enum { HYDRATE_BATCH = 128 };

/* Asks for the inputs of tasks at the head of the queue that have none here: as many as are wanted. */
static void hydrate(struct dispatch *d, struct dispatch_queue *q)
{
    struct task_token tokens[HYDRATE_BATCH];
    uint32_t wanted = 0, seen = 0, len = 0;
    LIST_FOREACH(it, &q->polls)
    {
        const struct dispatch_poll *p = LIST_ENTRY(it, struct dispatch_poll_at, link)->poll;
        wanted += p->capacity - p->granted_len;
        if (wanted >= HYDRATE_BATCH) {
            wanted = HYDRATE_BATCH;
            break;
        }
    }
    LIST_FOREACH(it, &q->ready)
    {
        struct dtask *t = LIST_ENTRY(it, struct dtask, link);
        if (seen++ == wanted || t->t.has_input) {
            break;
        }
        if (d->hydrating + len == DISPATCH_HYDRATING_MAX) {
            if (!list_linked(&q->thirsty)) { /* others are; it is next when one is done */
                list_push_back(&d->thirsty, &q->thirsty);
            }
            break;
        }
        if (t->state == DTASK_READY) {
            t->state = DTASK_HYDRATING;
            q->hydrating++;
            tokens[len++] = t->t.token;
        }
    }
    d->hydrating += len;
    if (len > 0) {
        d->c.handler->hydrate(d->c.handler, tokens, len);
    }
}

static struct dtask *queue_head(const struct dispatch_queue *q)
{
    return list_empty(&q->ready) ? NULL : LIST_ENTRY(q->ready.next, struct dtask, link);
}

/* Fills the poll from its queues, one task from each in turn. */
static void poll_fill(struct dispatch *d, struct dispatch_poll *p)
{
    uint32_t empty = p->session->silent ? p->at_len : 0;
    while (p->granted_len < p->capacity && empty < p->at_len) {
        struct dispatch_queue *q = p->at[p->next].queue;
        p->next = (p->next + 1) % p->at_len;
        queue_asked(d, q);
        struct dtask *t = queue_head(q);
        if (t == NULL || (q->hydrating > 0 && !p->closing)) {
            empty++; /* nothing, or not all yet: many inputs make one answer */
        } else if (!t->t.has_input) {
            hydrate(d, q);
            empty++;
        } else if (grant(d, p, t)) {
            empty = 0;
        } else {
            break;
        }
    }
}

static void poll_answer(struct dispatch *d, struct dispatch_poll *p)
{
    struct dtask **granted = p->granted;
    uint32_t len = p->granted_len;
    p->granted = NULL;
    p->granted_len = 0;
    poll_unlink(d, p);
    list_remove(&p->answered);
    p->active = false;
    d->polls--;
    metric_add(&metric_tasks_dispatched, len);
    if (len > 0) {
        fault_hit(d->c.faults, FAULT_EFFECT_BEFORE_DISPATCH);
    }
    p->answer(p, granted, len);
    if (len > 0) {
        fault_hit(d->c.faults, FAULT_EFFECT_AFTER_DISPATCH);
    }
    for (uint32_t i = 0; i < len; i++) { /* should one go out again, its input is asked for */
        dtask_drop_texts(d, granted[i]);
    }
    mem_free(granted);
}

static void match_hot(struct dispatch *d)
{
    struct list *it;
    while ((it = list_pop_front(&d->hot)) != NULL) {
        struct dispatch_queue *q = LIST_ENTRY(it, struct dispatch_queue, hot);
        LIST_FOREACH(jt, &q->polls)
        {
            const struct dtask *t = queue_head(q);
            if (t == NULL || !t->t.has_input || q->hydrating > 0) {
                break;
            }
            poll_fill(d, LIST_ENTRY(jt, struct dispatch_poll_at, link)->poll);
        }
        if (!list_empty(&q->polls) && !list_empty(&q->ready)) {
            hydrate(d, q); /* what is left of its polls' wants */
        }
    }
}

/* Texts of what stays. */
static void copy_borrowed(struct dispatch *d)
{
    struct list *it;
    while ((it = list_pop_front(&d->borrowed)) != NULL) {
        struct dtask *t = LIST_ENTRY(it, struct dtask, borrowed);
        if (t->state == DTASK_GRANTED) {
            dtask_drop_texts(d, t);
        } else {
            dtask_keep_texts(d, t, false);
        }
    }
}

void dispatch_flush(struct dispatch *d)
{
    LOOP_OWNED(d->c.loop);
    /* Closing polls first: their workers wait for this very answer. */
    LIST_FOREACH_SAFE(it, &d->answered)
    {
        poll_fill(d, LIST_ENTRY(it, struct dispatch_poll, answered));
    }
    match_hot(d);
    struct list *it;
    while ((it = list_pop_front(&d->answered)) != NULL) {
        struct dispatch_poll *p = LIST_ENTRY(it, struct dispatch_poll, answered);
        if (p->closing || p->granted_len > 0) {
            poll_answer(d, p);
        }
    }
    copy_borrowed(d);
    if (!d->filling && dispatch_wants_more(d)) {
        d->filling = true;
        d->c.handler->refill(d->c.handler);
    }
    dispatch_timer_set(d);
}

/* ---- time ---- */

static void expire_confirming(struct dispatch *d, struct mono now)
{
    if (list_empty(&d->confirming) || d->confirm_until.us > now.us) {
        return;
    }
    trace("confirmation over", d->confirming_len, 0);
    LIST_FOREACH_SAFE(it, &d->confirming)
    {
        struct dtask *t = LIST_ENTRY(it, struct dtask, link);
        dtask_unlink(d, t);
        dtask_ready(d, t, false);
        metric_add(&metric_tasks_again, 1);
    }
}

static void expire_sessions(struct dispatch *d, struct mono now)
{
    struct heap_node *n;
    while ((n = heap_min(&d->lost)) != NULL && n->key <= now.us) {
        struct dispatch_session *s = CONTAINER_OF(n, struct dispatch_session, lost_until);
        if (!list_empty(&s->held)) {
            log_info("worker did not come back, its tasks go out again", "worker=%.*s",
                     STR_ARG(s->name));
        }
        dispatch_session_free(d, s);
    }
}

static void expire_polls(struct dispatch *d, struct mono now)
{
    struct heap_node *n;
    while ((n = heap_min(&d->poll_deadlines)) != NULL && n->key <= now.us) {
        poll_answer(d, CONTAINER_OF(n, struct dispatch_poll, deadline));
    }
}

static void expire_tasks(struct dispatch *d, struct mono mono)
{
    enum { AGAIN_US = 100 * US_PER_MS };
    if (!d->c.clock->set || d->deadlines_later.us > mono.us) {
        return;
    }
    struct wall now = storeclock_now(d->c.clock, mono);
    struct heap_node *n;
    while ((n = heap_min(&d->deadlines)) != NULL && n->key <= now.us) {
        struct dtask *t = CONTAINER_OF(n, struct dtask, deadline);
        bool heartbeat = t->t.timeout_at.us == 0 || t->t.timeout_at.us > now.us;
        if (!d->c.handler->timed_out(d->c.handler, &t->t.token, heartbeat)) {
            d->deadlines_later.us = mono.us + AGAIN_US;
            break;
        }
        heap_remove(&d->deadlines, n);
    }
}

enum { LATE_US = 1 * US_PER_S };

static void timer_fired(struct loop_timer *timer)
{
    struct dispatch *d = CONTAINER_OF(timer, struct dispatch, timer);
    struct mono now = loop_now(d->c.loop);
    if (now.us - d->timer_due.us > LATE_US) {
        d->lease_grace.us = now.us + d->c.lease_us; /* who was silent? Perhaps we were deaf */
    }
    expire_confirming(d, now);
    expire_sessions(d, now);
    dispatch_leases_expire(d, now);
    expire_tasks(d, now);
    dispatch_left_expire(d);
    dispatch_flush(d);
    expire_polls(d, now);
    dispatch_timer_set(d);
}

/* ---- life ---- */

struct dispatch *dispatch_new(const struct dispatch_config *config)
{
    struct dispatch *d = MEM_NEW(struct dispatch);
    d->c = *config;
    if (d->c.tasks_max == 0) {
        d->c.tasks_max = DISPATCH_TASKS_MAX;
    }
    map_init(&d->tasks);
    map_init(&d->queues);
    map_init(&d->sessions);
    map_init(&d->claims);
    heap_init(&d->deadlines);
    heap_init(&d->poll_deadlines);
    heap_init(&d->lost);
    list_init(&d->leases);
    list_init(&d->confirming);
    list_init(&d->borrowed);
    list_init(&d->answered);
    list_init(&d->hot);
    list_init(&d->hungry);
    list_init(&d->thirsty);
    d->round = 1;
    d->left_due.us = d->left_due_next.us = INT64_MAX;
    d->timer.fired = timer_fired;
    d->timer.name = "dispatch";
    return d;
}

void dispatch_clear(struct dispatch *d)
{
    LIST_FOREACH_SAFE(it, &d->tasks.order)
    {
        dtask_free(d, MAP_ORDER_ENTRY(it, struct dtask, node));
    }
    dispatch_timer_set(d);
}

void dispatch_clear_lane(struct dispatch *d, const struct lane *lane)
{
    LIST_FOREACH_SAFE(it, &d->tasks.order)
    {
        struct dtask *t = MAP_ORDER_ENTRY(it, struct dtask, node);
        uint16_t slot = exec_id_slot(&t->t.token.ref.exec);
        if (slot >= lane->ref.slot_lo && slot < lane->ref.slot_hi) {
            dtask_free(d, t);
        }
    }
}

void dispatch_free(struct dispatch *d)
{
    if (d == NULL) {
        return;
    }
    loop_timer_stop(&d->timer);
    dispatch_clear(d);
    loop_timer_stop(&d->timer);
    LIST_FOREACH_SAFE(it, &d->sessions.order)
    {
        dispatch_session_free(d, MAP_ORDER_ENTRY(it, struct dispatch_session, node));
    }
    PRE(d->polls == 0);
    map_fini(&d->tasks);
    map_fini(&d->queues);
    map_fini(&d->sessions);
    map_fini(&d->claims);
    heap_fini(&d->deadlines);
    heap_fini(&d->poll_deadlines);
    heap_fini(&d->lost);
    mem_free(d);
}

void dispatch_stats(const struct dispatch *d, struct dispatch_stats *out)
{
    *out = (struct dispatch_stats){.tasks = map_len(&d->tasks),
                                   .ready = d->ready,
                                   .granted = d->granted,
                                   .confirming = d->confirming_len,
                                   .waiting = d->waiting,
                                   .polls = d->polls,
                                   .sessions = map_len(&d->sessions),
                                   .bytes = d->bytes,
                                   .overflow = d->forgotten != 0};
    LIST_FOREACH(it, &d->queues.order)
    {
        out->overflow =
            out->overflow || MAP_ORDER_ENTRY(it, const struct dispatch_queue, node)->left != 0;
    }
}
