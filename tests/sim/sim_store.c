/* Submission, faults, sessions and failover of the fake store; what a call does is in
 * sim_store_own.c, sim_store_turn.c and sim_store_read.c.
 *
 *   submit --(latency)--> execute at one instant --(latency)--> answer on the caller's loop
 *
 * A caller that crashes leaves its calls: each has happened, or never will, or (a commit) happens later,
 * as a backend goes on with what it received before the client died. */
#include "base/prelude.h"

#include "tests/sim/sim_store_rows.h"

#include "base/assert.h"

enum {
    DEADLINE_DEFAULT_US = 5 * US_PER_S,
    LOCK_TIMEOUT_US = 1 * US_PER_S,
    ROLLBACK_KEPT_US = 3 * US_PER_S, /* commits older than this are safe from any failover */
    RING_TABLES_UNSET = 0,
};

struct sim_op {
    struct event execute, answer;
    struct sim_store *s;
    struct store_req *req; /* NULL: the caller is gone or has its answer */
    struct host *host;
    struct list link;
    struct arena *own; /* a copy's memory: the caller is gone */
    enum err fate;     /* decided beforehand: ERR_UNKNOWN, ERR_SERIALIZATION, ERR_LOCKED */
    bool happens;
    bool executed;
    struct store_commit copy;
};

struct session {
    struct list link;
    struct host *host; /* NULL: the host is gone, the backend has not noticed */
    struct uuid incarnation;
    bool stale; /* of an older timeline: whatever names it is refused */
    struct event ends;
    struct sim_store *s;
};

/* ---- memory of the caller ---- */

void *sim_out(struct sim_exec *x, size_t size)
{
    if (size == 0) {
        return NULL;
    }
    ASSERT(x->arena != NULL);
    struct mem_region *r = mem_set_region(x->host != NULL ? &x->host->region : NULL);
    void *p = arena_zalloc(x->arena, size);
    (void)mem_set_region(r);
    ASSERT(p != NULL);
    return p;
}

struct str sim_out_str(struct sim_exec *x, struct str s)
{
    if (s.p == NULL) {
        return STR_NONE;
    }
    char *p = sim_out(x, s.size + 1);
    memcpy(p, s.p, s.size);
    return (struct str){p, s.size};
}

/* ---- sessions ---- */

static struct session *session_find(struct sim_store *s, const struct uuid *incarnation)
{
    LIST_FOREACH(it, &s->sessions)
    {
        struct session *e = LIST_ENTRY(it, struct session, link);
        if (uuid_eq(&e->incarnation, incarnation)) {
            return e;
        }
    }
    return NULL;
}

bool sim_session_alive(struct sim_store *s, const struct uuid *incarnation)
{
    struct session *e = session_find(s, incarnation);
    return e != NULL && !e->stale;
}

/* Does the call act for an incarnation that was registered before a failover? Calls that name lanes
 * act for the incarnation of the host's sessions. */
static bool of_old_timeline(struct sim_store *s, const struct store_req *r, const struct host *h)
{
    const struct uuid *named = NULL;
    bool stale = false;
    switch (r->op) {
    case STORE_LEASE:
        named = &CONTAINER_OF(r, const struct store_lease, req)->incarnation;
        break;
    case STORE_CLAIM:
        named = &CONTAINER_OF(r, const struct store_claim, req)->incarnation;
        break;
    case STORE_RELEASE:
        named = &CONTAINER_OF(r, const struct store_release, req)->incarnation;
        break;
    case STORE_COMMIT:
        named = &CONTAINER_OF(r, const struct store_commit, req)->incarnation;
        break;
    case STORE_WINDOW_OPEN:
    case STORE_WINDOW_CLOSE:
    case STORE_PROMOTE:
    case STORE_TIMERS:
    case STORE_TIMERS_DROP:
    case STORE_TASKS:
    case STORE_LANE_INBOX:
    case STORE_INBOX:
    case STORE_INBOX_DROP:
        break;
    case STORE_LANES:
    case STORE_WINDOW_EMPTY:
    case STORE_LOAD:
    case STORE_START_LOOKUP:
    case STORE_LIST:
    case STORE_HISTORY:
    case STORE_DEF_PUT:
    case STORE_DEF_GET:
    case STORE_DEF_LIST:
    case STORE_TENANT:
    case STORE_OP_COUNT:
    default:
        return false;
    }
    LIST_FOREACH(it, &s->sessions)
    {
        const struct session *e = LIST_ENTRY(it, struct session, link);
        if (named != NULL ? uuid_eq(&e->incarnation, named) : e->host == h) {
            stale = e->stale; /* the newest decides: they are in order */
        }
    }
    return stale;
}

static void session_free(struct session *e)
{
    world_cancel(e->s->world, &e->ends);
    list_remove(&e->link);
    mem_free(e);
}

static void session_ends(struct event *ev)
{
    session_free(CONTAINER_OF(ev, struct session, ends));
}

void sim_session_open(struct sim_store *s, struct host *h, const struct uuid *incarnation)
{
    if (session_find(s, incarnation) != NULL) {
        return;
    }
    struct session *e = MEM_NEW(struct session);
    e->s = s;
    e->host = h;
    e->incarnation = *incarnation;
    e->ends = (struct event){.run = session_ends, .name = "session"};
    list_push_back(&s->sessions, &e->link);
}

void sim_store_session(struct sim_store *s, const struct uuid *incarnation, bool alive)
{
    struct session *e = session_find(s, incarnation);
    if (alive) {
        sim_session_open(s, NULL, incarnation);
    } else if (e != NULL) {
        session_free(e);
    }
}

static void op_break(struct sim_op *op);

/* Ends the backends of an incarnation: calls under way get no answer. */
void sim_session_evict(struct sim_store *s, const struct uuid *incarnation)
{
    struct session *e = session_find(s, incarnation);
    if (e == NULL) {
        return;
    }
    struct host *h = e->host;
    session_free(e);
    LIST_FOREACH_SAFE(it, &s->ops)
    {
        struct sim_op *op = LIST_ENTRY(it, struct sim_op, link);
        if (h != NULL && op->host == h) {
            op_break(op);
        }
    }
}

/* ---- executing ---- */

static enum err op_dispatch(struct sim_exec *x, struct store_req *r)
{
#define SIM_OP(OP, name) \
    case STORE_##OP: \
        return sim_op_##name(x, CONTAINER_OF(r, struct store_##name, req));
    switch (r->op) {
        SIM_OP(LEASE, lease)
        SIM_OP(RELEASE, release)
        SIM_OP(LANES, lanes)
        SIM_OP(CLAIM, claim)
        SIM_OP(WINDOW_OPEN, window_open)
        SIM_OP(WINDOW_CLOSE, window_close)
        SIM_OP(WINDOW_EMPTY, window_empty)
        SIM_OP(PROMOTE, promote)
        SIM_OP(TIMERS, timers)
        SIM_OP(TIMERS_DROP, timers_drop)
        SIM_OP(TASKS, tasks)
        SIM_OP(LANE_INBOX, lane_inbox)
        SIM_OP(INBOX, inbox)
        SIM_OP(INBOX_DROP, inbox_drop)
        SIM_OP(COMMIT, commit)
        SIM_OP(LOAD, load)
        SIM_OP(START_LOOKUP, start_lookup)
        SIM_OP(LIST, list)
        SIM_OP(HISTORY, history)
        SIM_OP(DEF_PUT, def_put)
        SIM_OP(DEF_GET, def_get)
        SIM_OP(DEF_LIST, def_list)
        SIM_OP(TENANT, tenant)
    case STORE_OP_COUNT:
    default:
        ASSERT(false && "an operation of the store");
        return ERR_INVALID;
    }
#undef SIM_OP
}

static void commits_remember(struct sim_store *s, uint64_t mark)
{
    int64_t oldest = s->world->now_us - ROLLBACK_KEPT_US;
    while (s->commits_head < s->commits_len && s->commits[s->commits_head].at < oldest) {
        kv_forget(s->kv, s->commits[s->commits_head].mark);
        s->commits_head++;
    }
    if (s->commits_len == s->commits_room) {
        s->commits_len -= s->commits_head;
        if (s->commits_len > 0) {
            memmove(s->commits, s->commits + s->commits_head, sizeof(*s->commits) * s->commits_len);
        }
        s->commits_head = 0;
        if (s->commits_len > s->commits_room / 2 || s->commits_room == 0) {
            s->commits_room = MAX((size_t)256, 2 * s->commits_room);
            s->commits = mem_realloc(s->commits, sizeof(*s->commits) * s->commits_room);
        }
    }
    s->commits[s->commits_len].at = s->world->now_us;
    s->commits[s->commits_len++].mark = mark;
}

static void commit_drop_all(struct store_req *r)
{
    if (r->op == STORE_COMMIT) {
        struct store_commit *q = CONTAINER_OF(r, struct store_commit, req);
        for (uint32_t i = 0; i < q->turns_len; i++) {
            q->turns[i]->result = TURN_DROPPED;
            q->turns[i]->via_inbox = false;
        }
    }
}

/* The transaction itself: all of it or nothing. "out": whose memory the outputs are made in. */
static void transact(struct sim_store *s, struct store_req *r, struct host *caller,
                     struct host *out, struct arena *arena)
{
    struct sim_exec x = {.s = s, .host = out, .arena = arena, .now = world_wall(s->world)};
    uint64_t mark = kv_mark(s->kv);
    r->detail = (struct err_detail){0};
    r->err = of_old_timeline(s, r, caller) ? ERR_FENCED : op_dispatch(&x, r);
    r->store_now = r->err == ERR_OK ? x.now : (struct wall){0};
    if (r->err != ERR_OK) {
        kv_undo(s->kv, mark);
        commit_drop_all(r);
        return;
    }
    if (kv_mark(s->kv) != mark) {
        s->lsn += 8;
        commits_remember(s, mark);
        world_note(s->world, "store", r->op, s->lsn);
    }
    if (r->op == STORE_COMMIT) {
        CONTAINER_OF(r, struct store_commit, req)->lsn = s->lsn;
    }
    if (s->watch != NULL) {
        s->watch->committed(s->watch, r);
    }
}

static void op_execute(struct sim_op *op)
{
    struct host *out = op->own == NULL ? op->host : NULL;
    op->executed = true;
    transact(op->s, op->req, op->host, out, op->own == NULL ? op->req->arena : op->own);
}

void sim_store_now(struct sim_store *s, struct store_req *r)
{
    if (s->away_until > s->world->now_us) {
        r->err = ERR_UNAVAILABLE;
        return;
    }
    transact(s, r, NULL, NULL, r->arena);
}

void sim_store_rewind(struct sim_store *s, uint64_t mark)
{
    kv_undo(s->kv, mark);
    while (s->commits_len > s->commits_head && s->commits[s->commits_len - 1].mark >= mark) {
        s->commits_len--;
    }
}

static bool op_writes(enum store_op op)
{
    return op != STORE_LANES && op != STORE_TIMERS && op != STORE_TASKS && op != STORE_INBOX &&
           op != STORE_LOAD && op != STORE_START_LOOKUP && op != STORE_LIST &&
           op != STORE_HISTORY && op != STORE_DEF_GET && op != STORE_DEF_LIST;
}

static void op_free(struct sim_op *op)
{
    world_cancel(op->s->world, &op->execute);
    world_cancel(op->s->world, &op->answer);
    list_remove(&op->link);
    if (op->own != NULL) {
        arena_fini(op->own);
        mem_free(op->own);
    }
    mem_free(op);
}

static void op_executes(struct event *e)
{
    struct sim_op *op = CONTAINER_OF(e, struct sim_op, execute);
    struct sim_store *s = op->s;
    if (s->away_until > s->world->now_us) {
        op->fate = ERR_UNKNOWN;
        op->happens = false;
    }
    if (op->happens) {
        op_execute(op);
    }
    if (op->own != NULL) { /* nobody waits */
        s->commits_late++;
        op_free(op);
    }
}

/* ---- a caller that is gone ---- */

static const void *copy_array(struct arena *a, const void *p, size_t size)
{
    return size > 0 ? arena_memdup(a, p, size) : NULL;
}

static struct str copy_str(struct arena *a, struct str s)
{
    return s.p != NULL ? str_dup(a, s) : STR_NONE;
}

static struct turn_row *copy_turn(struct arena *a, const struct turn_row *t)
{
    struct turn_row *c = arena_memdup(a, t, sizeof(*t));
    c->body = copy_str(a, t->body);
    c->outcomes = copy_str(a, t->outcomes);
    c->snapshot = copy_str(a, t->snapshot);
    if (t->start != NULL) {
        struct start_row *start = arena_memdup(a, t->start, sizeof(*t->start));
        start->workflow = copy_str(a, t->start->workflow);
        start->name = copy_str(a, t->start->name);
        c->start = start;
    }
    struct task_row *tasks = ARENA_ARRAY(a, struct task_row, MAX(t->tasks_new_len, 1U));
    for (uint32_t i = 0; i < t->tasks_new_len; i++) {
        tasks[i] = t->tasks_new[i];
        tasks[i].queue = copy_str(a, t->tasks_new[i].queue);
    }
    c->tasks_new = tasks;
    c->tasks_done = copy_array(a, t->tasks_done, sizeof(*t->tasks_done) * t->tasks_done_len);
    c->timers_new = copy_array(a, t->timers_new, sizeof(*t->timers_new) * t->timers_new_len);
    c->timers_done = copy_array(a, t->timers_done, sizeof(*t->timers_done) * t->timers_done_len);
    c->tasks_submitted =
        copy_array(a, t->tasks_submitted, sizeof(*t->tasks_submitted) * t->tasks_submitted_len);
    struct str *sources = ARENA_ARRAY(a, struct str, MAX(t->inbox_done_len, 1U));
    for (uint32_t i = 0; i < t->inbox_done_len; i++) {
        sources[i] = copy_str(a, t->inbox_done[i]);
    }
    c->inbox_done = sources;
    c->inbox_new = ARENA_ARRAY(a, struct inbox_row, MAX(t->inbox_new_len, 1U));
    for (uint32_t i = 0; i < t->inbox_new_len; i++) {
        c->inbox_new[i] = t->inbox_new[i];
        c->inbox_new[i].source = copy_str(a, t->inbox_new[i].source);
        c->inbox_new[i].payload = copy_str(a, t->inbox_new[i].payload);
    }
    return c;
}

/* The commit goes on without its caller. */
static void op_orphan(struct sim_op *op)
{
    const struct store_commit *q = CONTAINER_OF(op->req, struct store_commit, req);
    op->own = MEM_NEW(struct arena);
    arena_init(op->own, 0);
    op->copy = *q;
    op->copy.req.arena = op->own;
    op->copy.lanes = copy_array(op->own, q->lanes, sizeof(*q->lanes) * q->lanes_len);
    op->copy.turns = ARENA_ARRAY(op->own, struct turn_row *, MAX(q->turns_len, 1U));
    for (uint32_t i = 0; i < q->turns_len; i++) {
        op->copy.turns[i] = copy_turn(op->own, q->turns[i]);
    }
    op->req = &op->copy.req;
    op->host = NULL;
    world_cancel(op->s->world, &op->answer);
    world_after(op->s->world, &op->execute, rng_between(&op->s->rng, 1, 2 * (int64_t)US_PER_S));
}

/* ---- answering ---- */

static void op_answers(struct event *e)
{
    struct sim_op *op = CONTAINER_OF(e, struct sim_op, answer);
    struct sim_store *s = op->s;
    struct store_req *r = op->req;
    struct mem_region *region = world_outside();
    enum err fate = op->fate;
    if (!op->executed && op->execute.pos != 0) { /* the deadline came first */
        fate = ERR_UNKNOWN;
    }
    ASSERT(op->executed || fate != ERR_OK);
    if (fate != ERR_OK) {
        r->err = fate;
        r->store_now = (struct wall){0};
        r->detail = (struct err_detail){0};
        (void)err_set(&r->detail, fate, "%s", err_text(fate));
        commit_drop_all(r);
        s->answers_lost += fate == ERR_UNKNOWN;
        s->serialization_failures += fate == ERR_SERIALIZATION;
    } else if (r->err != ERR_OK && r->detail.code == ERR_OK) {
        (void)err_set(&r->detail, r->err, "%s", err_text(r->err));
    }
    world_say(s->world, "store op %d: %s", (int)r->op, err_name(r->err));
    r->answered = host_mono(&op->host->clock, s->world->now_us);
    if (op->execute.pos != 0 && r->op == STORE_COMMIT && rng_chance(&s->rng, 0.5)) {
        op_orphan(op);
    } else {
        op_free(op);
    }
    world_inside(region);
    r->done(r);
}

/* The connection of a call under way broke now. */
static void op_break(struct sim_op *op)
{
    struct sim_store *s = op->s;
    if (op->own != NULL || op->fate == ERR_UNAVAILABLE) {
        return;
    }
    op->fate = ERR_UNKNOWN;
    if (!op->executed) {
        world_cancel(s->world, &op->execute);
        op->happens = false;
    }
    int64_t at = s->world->now_us + rng_between(&s->rng, 1, 20 * US_PER_MS);
    if (op->answer.due > at) {
        world_at(s->world, &op->answer, at);
    }
}

static int64_t op_latency(struct sim_store *s, enum store_op op)
{
    int64_t us = s->latency_us / 2 + (int64_t)rng_below(&s->rng, (uint64_t)s->latency_us);
    if (op == STORE_CLAIM || op == STORE_WINDOW_EMPTY) {
        us *= 2;
    }
    if (rng_chance(&s->rng, s->faults.slow)) {
        us += s->faults.slow_us;
    }
    return us;
}

static void op_plan(struct sim_op *op)
{
    struct sim_store *s = op->s;
    struct store_req *r = op->req;
    struct world *w = s->world;
    int64_t latency = op_latency(s, r->op);
    bool locked = false;
    if (r->op == STORE_COMMIT) {
        int64_t wait = MAX(s->locked_until - w->now_us, INT64_C(0));
        locked = wait > LOCK_TIMEOUT_US || rng_chance(&s->rng, s->faults.locked);
        latency += locked ? (int64_t)LOCK_TIMEOUT_US : wait;
    }
    int64_t deadline = r->deadline_us > 0 ? r->deadline_us : DEADLINE_DEFAULT_US;
    int64_t until = w->now_us + MIN(latency, deadline);
    op->happens = true;
    op->fate = ERR_OK;
    if (s->away_until > w->now_us) {
        op->happens = false;
        op->fate = ERR_UNAVAILABLE;
        until = w->now_us + rng_between(&s->rng, 10, 5 * US_PER_MS);
    } else if (rng_chance(&s->rng, s->faults.lose_answer)) {
        op->fate = ERR_UNKNOWN;
        op->happens = rng_chance(&s->rng, 0.5);
        until = w->now_us + (rng_chance(&s->rng, 0.5) ? latency + 1000 : deadline);
    } else if (op_writes(r->op) && rng_chance(&s->rng, s->faults.serialization)) {
        op->fate = ERR_SERIALIZATION;
        op->happens = false;
    } else if (locked) {
        op->fate = ERR_LOCKED;
        op->happens = false;
    }
    if (op->happens) {
        world_at(w, &op->execute, w->now_us + 1 + (int64_t)rng_below(&s->rng, (uint64_t)latency));
    }
    /* After the execution when both are due at once, unless the deadline is what ends it. */
    world_at(w, &op->answer, latency < deadline ? MAX(until, op->execute.due + 1) : until);
}

static void store_sim_submit(struct store *base, struct store_req *r)
{
    struct sim_store *s = CONTAINER_OF(base, struct sim_store, base);
    struct host *h = sim_loop_of(r->loop)->host;
    if (!host_acts(h)) {
        return;
    }
    struct mem_region *region = world_outside();
    struct sim_op *op = MEM_NEW(struct sim_op);
    op->s = s;
    op->req = r;
    op->host = h;
    op->execute = (struct event){.run = op_executes, .name = "execute"};
    op->answer = (struct event){.run = op_answers, .loop = sim_loop_of(r->loop), .name = "answer"};
    list_push_back(&s->ops, &op->link);
    r->err = ERR_OK;
    r->sent = host_mono(&h->clock, s->world->now_us);
    s->calls++;
    op_plan(op);
    world_inside(region);
}

static const struct store_ops sim_store_ops = {.submit = store_sim_submit};

/* ---- hosts that go ---- */

static void store_host_gone(struct world_module *m, struct host *h)
{
    struct sim_store *s = CONTAINER_OF(m, struct sim_store, module);
    LIST_FOREACH_SAFE(it, &s->ops)
    {
        struct sim_op *op = LIST_ENTRY(it, struct sim_op, link);
        if (op->host != h) {
            continue;
        }
        bool open = !op->executed && op->happens && op->execute.pos != 0;
        if (open && op->req->op == STORE_COMMIT && rng_chance(&s->rng, 0.3)) {
            op_orphan(op);
            continue;
        }
        if (open && op_writes(op->req->op) && rng_chance(&s->rng, 0.5)) {
            op_execute(op);
        }
        op_free(op);
    }
    LIST_FOREACH_SAFE(it, &s->sessions)
    {
        struct session *e = LIST_ENTRY(it, struct session, link);
        if (e->host == h) {
            e->host = NULL;
            world_after(s->world, &e->ends,
                        rng_chance(&s->rng, 0.8) ? rng_between(&s->rng, 1, 50 * US_PER_MS)
                                                 : 30 * (int64_t)US_PER_S);
        }
    }
}

/* ---- faults ---- */

void sim_store_away(struct sim_store *s, int64_t us)
{
    world_note(s->world, "store away", (uint64_t)us, 0);
    s->away_until = MAX(s->away_until, s->world->now_us + us);
    LIST_FOREACH_SAFE(it, &s->ops)
    {
        op_break(LIST_ENTRY(it, struct sim_op, link));
    }
}

void sim_store_lock(struct sim_store *s, int64_t us)
{
    s->locked_until = MAX(s->locked_until, s->world->now_us + us);
}

void sim_store_cut(struct sim_store *s, struct host *h)
{
    world_note(s->world, "store cut", h->index, 0);
    LIST_FOREACH_SAFE(it, &s->ops)
    {
        struct sim_op *op = LIST_ENTRY(it, struct sim_op, link);
        if (op->host == h) {
            op_break(op);
        }
    }
}

void sim_store_damage(struct sim_store *s, const struct exec_id *exec, enum sim_damage damage)
{
    struct sim_key k;
    key_begin(&k, TABLE_EXEC);
    key_bytes(&k, exec->b, sizeof(exec->b));
    struct kv_node *n = kv_get(s->kv, key_str(&k));
    struct exec_rec rec = {0};
    if (n != NULL) {
        memcpy(&rec, kv_value(n).p, sizeof(rec));
    }
    world_note(s->world, "damage", damage, rec.seq);
    s->damage = damage;
    s->damaged = *exec;
    s->damaged_revision = damage == SIM_DEFINITION_GONE ? rec.revision : 0;
}

void sim_store_failover(struct sim_store *s, int64_t tail_us)
{
    struct world *w = s->world;
    int64_t since = w->now_us - MIN(tail_us, (int64_t)ROLLBACK_KEPT_US);
    world_note(w, "failover", (uint64_t)tail_us, s->timeline + 1);
    LIST_FOREACH_SAFE(it, &s->ops)
    {
        struct sim_op *op = LIST_ENTRY(it, struct sim_op, link);
        op_break(op);
        if (op->own != NULL) {
            op_free(op);
        }
    }
    LIST_FOREACH(it, &s->sessions)
    {
        LIST_ENTRY(it, struct session, link)->stale = true;
    }
    uint64_t undone = 0;
    while (s->commits_len > s->commits_head && s->commits[s->commits_len - 1].at > since) {
        kv_undo(s->kv, s->commits[--s->commits_len].mark);
        undone++;
    }
    world_note(w, "lost commits", undone, 0);
    s->timeline++;
    s->failovers++;
    s->away_until = MAX(s->away_until, w->now_us + 500 * US_PER_MS);
    if (s->watch != NULL) {
        s->watch->lost_tail(s->watch, (struct wall){w->wall_base_us + since});
    }
}

unsigned sim_store_waiting(const struct sim_store *s)
{
    unsigned n = 0;
    LIST_FOREACH(it, &s->ops)
    {
        n++;
    }
    return n;
}

/* ---- making ---- */

static void store_migrate(struct sim_store *s, uint16_t lanes)
{
    struct meta_rec m = {
        .window_us = 0,
        .ring_windows = RING_TABLES_UNSET,
        .next_revision = 1,
        .next_inbox = 1,
        .next_claim = 1,
    };
    sim_meta_put(s, &m);
    for (uint16_t i = 0; i < lanes; i++) {
        struct lane_rec rec = {
            .slot_lo = (uint16_t)(SLOT_COUNT * i / lanes),
            .slot_hi = (uint16_t)(SLOT_COUNT * (i + 1) / lanes),
            .closed_to = -2,
            .accept_from = -1,
            .open_to = -1,
        };
        sim_lane_put(s, i, &rec, STR_NONE);
    }
    kv_forget(s->kv, kv_mark(s->kv));
}

struct sim_store *sim_store_new(struct world *w, uint16_t shard, uint16_t lanes)
{
    struct sim_store *s = MEM_NEW(struct sim_store);
    s->base.ops = &sim_store_ops;
    s->world = w;
    rng_fork(&w->rng, &s->rng);
    s->kv = kv_new();
    s->latency_us = 800;
    s->move_max = STORE_MOVE_MAX;
    s->system_id = rng_u64(&s->rng) >> 1;
    s->timeline = 1;
    s->lsn = 1 << 20;
    s->shard = shard;
    buf_init(&s->scratch, 0);
    list_init(&s->ops);
    list_init(&s->sessions);
    store_migrate(s, lanes);
    s->module.host_gone = store_host_gone;
    list_push_front(&w->modules, &s->module.link); /* ops borrow from messages: gone before them */
    return s;
}

void sim_store_free(struct sim_store *s)
{
    if (s == NULL) {
        return;
    }
    /* The world is gone, and with it the queue: only memory is left to free. */
    while (!list_empty(&s->sessions)) {
        struct session *e = LIST_ENTRY(s->sessions.next, struct session, link);
        list_remove(&e->link);
        mem_free(e);
    }
    while (!list_empty(&s->ops)) {
        struct sim_op *op = LIST_ENTRY(s->ops.next, struct sim_op, link);
        ASSERT(op->own != NULL);
        list_remove(&op->link);
        arena_fini(op->own);
        mem_free(op->own);
        mem_free(op);
    }
    kv_free(s->kv);
    buf_fini(&s->scratch);
    mem_free(s->commits);
    mem_free(s);
}
