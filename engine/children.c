/* The engine as the worker of tasks that start executions (ADR 0014). A job is such a task, from the turn that
 * made it, or the table after a claim, until the parent has been told that its child runs:
 *
 *   pending ─▶ what is asked (the task's parameters) ─▶ start ─▶ whose is it? ─▶ tell the parent ─▶ gone
 *      ▲                                                 (only where the name was taken)   │
 *      └─────────────── later: the store is away, or the answer was lost ◀─────────────────┘
 *
 * Every step may be repeated: the child's name is given or derived from the attempt's token, so there is one
 * child, and it remembers whose it is. What is already told is STALE. On the front loop. */
#include "base/prelude.h"

#include "engine/engine_internal.h"

#include "engine/core/child.h"
#include "engine/starts.h"

LOG_MODULE("children");

enum {
    JOBS_ACTIVE_MAX = 64,
    JOBS_MAX = 100000, /* known here; more stay in the store until there is room */
    LATER_US = 200 * US_PER_MS,
};

struct child_job {
    struct map_node node; /* in jobs */
    struct list link;     /* in pending or later; of an active one in nothing */
    struct front *front;
    struct task_token token;
    bool active;
    /* while active */
    uint32_t life; /* of the front when it became so: a failover may undo what was answered since */
    struct arena arena;
    struct item item;       /* one question or fact at a time */
    struct item_child kind; /* what sort of task it is */
    struct child_ask ask;
    struct start start;
    struct exec_ident child;
    bool ours; /* the child is this very task's */
};

static bool job_eq(const struct map_node *n, const void *key)
{
    const struct task_ref *a = &MAP_ENTRY(n, const struct child_job, node)->token.ref;
    const struct task_ref *b = &((const struct task_token *)key)->ref;
    return a->seq == b->seq && a->idx == b->idx && exec_id_eq(&a->exec, &b->exec);
}

static uint64_t job_hash(const struct task_token *t)
{
    return exec_id_hash(&t->ref.exec) ^ hash_u64(t->ref.seq * 65537 + t->ref.idx);
}

static struct child_job *job_find(struct front *f, const struct task_token *t)
{
    struct map_node *n = map_find(&f->children.jobs, job_hash(t), t, job_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct child_job, node);
}

static void job_free(struct child_job *j)
{
    list_remove(&j->link);
    map_remove(&j->front->children.jobs, &j->node);
    mem_free(j);
}

static void pump(struct front *f);

/* The step under way is over, whatever comes next. */
static void job_rest(struct child_job *j)
{
    j->active = false;
    arena_fini(&j->arena);
    j->front->children.active--;
    j->front->requests--;
}

static void job_end(struct child_job *j)
{
    struct front *f = j->front;
    job_rest(j);
    job_free(j);
    pump(f);
    front_flush_later(f);
}

/* Nothing is known to have happened, or perhaps it has: all of it once more, in a while. */
static void job_later(struct child_job *j)
{
    struct front *f = j->front;
    if (f->going_away || !lanes_of(&f->lanes, &j->token.ref.exec)->held) {
        job_end(j); /* whoever owns the lane next does it */
        return;
    }
    job_rest(j);
    list_push_back(&f->children.later, &j->link);
    if (!f->children.again.armed) {
        loop_timer_after(f->loop, &f->children.again, LATER_US);
    }
    pump(f);
}

/* Closed for good, whoever closed it. */
static bool over(enum err e)
{
    return e == ERR_STALE || e == ERR_STOPPED || e == ERR_NO_EXECUTION;
}

static void ask(struct child_job *j, enum item_type type, const struct exec_id *exec,
                void (*done)(struct item *))
{
    item_init(&j->item, type, exec, done, j);
    j->item.life = j->life;
    j->item.fact.token = j->token;
    shard_submit(front_shard(j->front, exec), &j->item);
}

/* ---- a child that nobody waits for ---- */

static void abandoned(struct item *it)
{
    struct child_job *j = it->owner;
    enum err e = it->err;
    item_fini(it);
    if (e == ERR_OK || over(e)) {
        job_end(j);
    } else {
        job_later(j);
    }
}

/* The attempt had ended before its child was there: nobody else knows of the child. */
static void abandon(struct child_job *j)
{
    item_init(&j->item, ITEM_FACT, &j->child.id, abandoned, j);
    j->item.life = j->life;
    j->item.fact = (struct fact){.type = FACT_STOP,
                                 .cause = STR("The task that started this execution has ended.")};
    shard_submit(front_shard(j->front, &j->child.id), &j->item);
}

static void looked_whether_open(struct item *it)
{
    struct child_job *j = it->owner;
    enum err e = it->err;
    item_fini(it);
    if (e == ERR_OK) {
        job_end(j); /* it was told before, and waits */
    } else if (over(e)) {
        abandon(j);
    } else {
        job_later(j);
    }
}

/* ---- the parent is told ---- */

static void told(struct item *it)
{
    struct child_job *j = it->owner;
    enum err e = it->err;
    bool submitted = it->fact.type == FACT_TASK_SUBMITTED;
    item_fini(it);
    if (e != ERR_OK && !over(e)) {
        job_later(j);
    } else if (e != ERR_OK && submitted && j->kind.sync && j->ours) {
        ask(j, ITEM_TASK_OPEN, &j->token.ref.exec, looked_whether_open);
    } else {
        job_end(j);
    }
}

static void tell(struct child_job *j, const struct fact *fact)
{
    item_init(&j->item, ITEM_FACT, &j->token.ref.exec, told, j);
    j->item.life = j->life;
    j->item.fact = *fact;
    j->item.fact.token = j->token;
    j->item.fact.worker = j->front->engine->c.node;
    shard_submit(front_shard(j->front, &j->item.exec), &j->item);
}

static void tell_failed(struct child_job *j, struct child_error e)
{
    tell(j, &(struct fact){.type = FACT_TASK_FAILED, .error = e.name, .cause = e.cause});
}

static void tell_runs(struct child_job *j)
{
    bool waits = j->kind.sync || j->kind.by_token;
    struct fact fact = {.type = waits ? FACT_TASK_SUBMITTED : FACT_TASK_SUCCEEDED};
    struct buf b;
    buf_init(&b, 0);
    child_started_write(&b, &j->child);
    fact.payload = str_dup(&j->arena, buf_str(&b));
    buf_fini(&b);
    if (j->kind.sync) {
        fact.child = j->child.id;
    }
    fault_hit(j->front->faults, FAULT_CHILD_AFTER_START);
    tell(j, &fact);
}

/* ---- the child ---- */

/* The name was taken. By this task, when it is tried again: the child remembers. By somebody else, with the
 * same input, and it runs: whoever does not wait for its end is content, as on the recorded service. */
static void looked_whose(struct item *it)
{
    struct child_job *j = it->owner;
    enum err e = it->err;
    j->ours = e == ERR_OK && task_token_eq(&it->view.parent, &j->token);
    bool runs = it->view.status == EXEC_RUNNING;
    j->child.started_at = it->view.started_at;
    item_fini(it);
    if (e != ERR_OK) {
        job_later(j); /* a failover may have taken it again */
    } else if (j->ours || (runs && !j->kind.sync && !j->kind.by_token)) {
        tell_runs(j);
    } else {
        tell_failed(j, child_name_taken(&j->arena, &j->ask, &j->child));
    }
}

static void started(struct start *s)
{
    struct child_job *j = CONTAINER_OF(s, struct child_job, start);
    j->child = (struct exec_ident){.id = s->exec,
                                   .workflow = j->ask.workflow,
                                   .name = j->ask.name,
                                   .started_at = s->started_at};
    if (s->err == ERR_OK && s->created) {
        j->ours = true;
        tell_runs(j);
    } else if (s->err == ERR_OK) {
        ask(j, ITEM_DESCRIBE, &s->exec, looked_whose);
    } else if (s->err == ERR_NO_WORKFLOW) {
        tell_failed(j, child_no_workflow(&j->arena, &j->ask));
    } else if (s->err == ERR_EXISTS) {
        /* The tenant is all that the name of the other one needs of its id. */
        j->child.id = j->token.ref.exec;
        tell_failed(j, child_name_taken(&j->arena, &j->ask, &j->child));
    } else if (err_class(s->err) == ERRC_INVALID) {
        tell_failed(j, child_bad_input(&j->arena, &j->ask));
    } else {
        job_later(j);
    }
}

static void asked(struct item *it)
{
    struct child_job *j = it->owner;
    struct child_error e;
    enum err err = it->err;
    j->kind = it->child;
    struct str parameters = str_dup(&j->arena, it->input.input);
    item_fini(it);
    if (over(err) || (err == ERR_OK && j->kind.submitted)) {
        job_end(j);
        return;
    }
    if (err != ERR_OK) {
        job_later(j);
        return;
    }
    if (!child_ask_parse(&j->arena, parameters, &j->token, &j->ask, &e)) {
        tell_failed(j, e);
        return;
    }
    fault_hit(j->front->faults, FAULT_CHILD_BEFORE_START);
    j->start = (struct start){.tenant = exec_id_tenant(&j->token.ref.exec),
                              .workflow = j->ask.workflow,
                              .name = j->ask.name,
                              .input = j->ask.input,
                              .parent = j->token,
                              .parent_waits = j->kind.sync,
                              .life = j->life,
                              .arena = &j->arena,
                              .done = started};
    start_run(j->front, &j->start);
}

/* ---- which are to be done ---- */

static void pump(struct front *f)
{
    struct children *c = &f->children;
    struct list *l;
    while (c->active < JOBS_ACTIVE_MAX && (l = list_pop_front(&c->pending)) != NULL) {
        struct child_job *j = LIST_ENTRY(l, struct child_job, link);
        j->active = true;
        j->ours = false;
        j->life = f->lives;
        arena_init(&j->arena, 0);
        c->active++;
        f->requests++;
        ask(j, ITEM_TASK_INPUT, &j->token.ref.exec, asked);
    }
    if (c->overflow && map_len(&c->jobs) < JOBS_MAX / 2 && !f->going_away) {
        c->overflow = false;
        recover_start(f, false);
    }
}

void children_add(struct front *f, const struct task_token *t)
{
    if (f->going_away || job_find(f, t) != NULL) {
        return;
    }
    if (map_len(&f->children.jobs) >= JOBS_MAX) {
        f->children.overflow = true;
        return;
    }
    struct child_job *j = MEM_NEW(struct child_job);
    j->front = f;
    j->token = *t;
    map_insert(&f->children.jobs, &j->node, job_hash(t));
    list_push_back(&f->children.pending, &j->link);
    pump(f);
}

/* One under way finds out by itself. */
void children_remove(struct front *f, const struct task_token *t)
{
    struct child_job *j = map_len(&f->children.jobs) == 0 ? NULL : job_find(f, t);
    if (j != NULL && !j->active) {
        job_free(j);
    }
}

static void drop_idle(struct front *f, const struct lane *lane)
{
    LIST_FOREACH_SAFE(it, &f->children.jobs.order)
    {
        struct child_job *j = MAP_ORDER_ENTRY(it, struct child_job, node);
        uint16_t slot = exec_id_slot(&j->token.ref.exec);
        if (!j->active &&
            (lane == NULL || (slot >= lane->ref.slot_lo && slot < lane->ref.slot_hi))) {
            job_free(j);
        }
    }
}

void children_clear_lane(struct front *f, const struct lane *lane)
{
    drop_idle(f, lane);
}

void children_stop(struct front *f)
{
    loop_timer_stop(&f->children.again);
    drop_idle(f, NULL);
}

static void again(struct loop_timer *t)
{
    struct front *f = CONTAINER_OF(t, struct front, children.again);
    struct list *l;
    while ((l = list_pop_front(&f->children.later)) != NULL) {
        list_push_back(&f->children.pending, l);
    }
    pump(f);
}

void children_init(struct front *f)
{
    map_init(&f->children.jobs);
    list_init(&f->children.pending);
    list_init(&f->children.later);
    f->children.again = (struct loop_timer){.fired = again, .name = "children again"};
}

void children_fini(struct front *f)
{
    children_stop(f);
    map_fini(&f->children.jobs);
}
