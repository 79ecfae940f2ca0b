/* What dispatch keeps in memory and what it leaves in the store. See dispatch.h. */
#include "base/prelude.h"

#include "scheduler/dispatch_internal.h"

#include "base/mem.h"
#include "scheduler/metrics.h"

enum {
    LOW =
        1000, /* tokens of a queue that workers ask at: below, those in the store are looked for */
    FED = 10000,
};

static size_t tokens_low(const struct dispatch *d)
{
    return MAX(MIN((size_t)LOW, (size_t)d->c.tasks_max / 8), (size_t)1);
}

static size_t tokens_fed(const struct dispatch *d)
{
    return MAX(MIN((size_t)FED, (size_t)d->c.tasks_max / 4), (size_t)1);
}

/* ---- texts ---- */

void dtask_drop_texts(struct dispatch *d, struct dtask *t)
{
    list_remove(&t->borrowed);
    d->bytes -= t->blob_size;
    t->queue->bytes -= t->blob_size;
    mem_free(t->blob);
    t->blob = NULL;
    t->blob_size = 0;
    t->t.has_input = false;
    t->t.workflow = t->t.execution_name = t->t.state = t->t.input = STR_NONE;
}

void dtask_keep_texts(struct dispatch *d, struct dtask *t, bool wanted)
{
    struct str *texts[] = {&t->t.workflow, &t->t.execution_name, &t->t.state, &t->t.input};
    size_t size = 1;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        size += texts[i]->size;
    }
    bool room = wanted || (t->queue->bytes + size <= DISPATCH_QUEUE_BYTES_MAX &&
                           d->bytes + size <= DISPATCH_BYTES_MAX);
    if (!room || !t->t.has_input) {
        dtask_drop_texts(d, t);
        return;
    }
    char *blob = mem_alloc(size);
    char *p = blob;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (texts[i]->size > 0) {
            memcpy(p, texts[i]->p, texts[i]->size);
        }
        texts[i]->p = p;
        p += texts[i]->size;
    }
    d->bytes += size - t->blob_size;
    t->queue->bytes += size - t->blob_size;
    mem_free(t->blob);
    t->blob = blob;
    t->blob_size = size;
}

/* ---- tokens ---- */

/* The tail of each queue that has more than an even share of half the memory. */
static void cut_queues(struct dispatch *d)
{
    size_t share = MAX(d->c.tasks_max / 2 / map_len(&d->queues), (size_t)1);
    d->added = 0;
    LIST_FOREACH_SAFE(it, &d->queues.order)
    {
        struct dispatch_queue *q = MAP_ORDER_ENTRY(it, struct dispatch_queue, node);
        while (q->kept > share && !list_empty(&q->ready)) {
            struct dtask *t = LIST_ENTRY(q->ready.prev, struct dtask, link);
            if (t->state != DTASK_READY) {
                break; /* its input is on its way: a worker waits for it */
            }
            metric_add(&metric_tasks_overflowed, 1);
            dispatch_leave(d, q, &t->t);
            dtask_free(d, t); /* not the last one of its queue */
        }
    }
}

bool dispatch_room_for(struct dispatch *d, const struct dispatch_queue *q)
{
    if (d->ready + d->confirming_len >= d->c.tasks_max && d->added >= d->c.tasks_max / 8) {
        cut_queues(d);
    }
    if (d->ready + d->confirming_len >= d->c.tasks_max) {
        return q->kept == 0 && !list_empty(&q->polls);
    }
    return q->kept < MAX(d->c.tasks_max / 2, 1U);
}

struct wall dispatch_now(const struct dispatch *d)
{
    return d->c.clock->set ? storeclock_now(d->c.clock, loop_now(d->c.loop)) : (struct wall){0};
}

void dispatch_left_due(struct dispatch *d, struct wall due)
{
    d->left_due.us = MIN(d->left_due.us, due.us);
    d->left_due_next.us = MIN(d->left_due_next.us, due.us);
}

void dispatch_leave_deadline(struct dispatch *d, const struct dispatch_task *t)
{
    struct wall now = dispatch_now(d);
    if (t->timeout_at.us != 0 && t->timeout_at.us <= now.us) {
        (void)d->c.handler->timed_out(d->c.handler, &t->token, false);
        dispatch_left_due(d, (struct wall){now.us + US_PER_S}); /* and looked at again */
    } else if (t->timeout_at.us != 0) {
        dispatch_left_due(d, t->timeout_at);
    }
    if (t->waits && t->heartbeat_us > 0) {
        /* Its clock does not run while it has no place here: perhaps it has one by then. */
        dispatch_left_due(d, (struct wall){now.us + t->heartbeat_us});
    }
}

void dispatch_leave(struct dispatch *d, struct dispatch_queue *q, const struct dispatch_task *t)
{
    q->left = d->round;
    dispatch_leave_deadline(d, t);
}

/* ---- scans of the table ---- */

void queue_asked(struct dispatch *d, struct dispatch_queue *q)
{
    if (q->left != 0 && q->ready_len < tokens_low(d) && !list_linked(&q->hungry)) {
        list_push_back(&d->hungry, &q->hungry);
    }
}

void queue_fed(struct dispatch *d, struct dispatch_queue *q)
{
    if (q->ready_len >= tokens_fed(d)) {
        list_remove(&q->hungry);
    }
}

/* Behind those that were left before it, unless they are looked for already. */
bool queue_lets_in(const struct dispatch *d, const struct dispatch_queue *q)
{
    return q->left == 0 || q->ready_len < tokens_low(d);
}

void dispatch_round_begins(struct dispatch *d)
{
    LOOP_OWNED(d->c.loop);
    d->round++;
    d->left_due_next.us = INT64_MAX;
}

void dispatch_round_ends(struct dispatch *d)
{
    LOOP_OWNED(d->c.loop);
    d->left_due = d->left_due_next;
    if (d->due_round != 0 && d->due_round <= d->round) {
        d->due_round = 0;
    }
    if (d->forgotten < d->round) {
        d->forgotten = 0;
    }
    LIST_FOREACH(it, &d->queues.order)
    {
        struct dispatch_queue *q = MAP_ORDER_ENTRY(it, struct dispatch_queue, node);
        if (q->left < d->round) { /* it was not since the round began: all of it is here */
            q->left = 0;
            list_remove(&q->hungry);
        }
    }
    dispatch_timer_set(d);
}

bool dispatch_wants_more(const struct dispatch *d)
{
    return d->due_round != 0 || !list_empty(&d->hungry);
}

void dispatch_refilled(struct dispatch *d)
{
    LOOP_OWNED(d->c.loop);
    d->filling = false;
}

/* One that was left is due: the next whole round finds it. */
void dispatch_left_expire(struct dispatch *d)
{
    if (d->due_round == 0 && d->c.clock->set && d->left_due.us <= dispatch_now(d).us) {
        d->due_round = d->round + 1;
    }
}
