/* See checkers.h. A model of each execution is fed by its commits; a failover that loses its tail
 * rebuilds the models of those it touched from the commits that stay. */
#include "base/prelude.h"

#include "tests/sim/checkers.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

/* An open task or timer of the model. */
struct model_open {
    uint64_t seq;
    uint32_t idx, attempt;
    int64_t due; /* timers; tasks: when they were made */
};

/* Something told to another execution, or read in one's own inbox. */
struct model_letter {
    struct exec_id to;
    uint64_t source;
    bool read;
};

/* One committed turn, kept whole. */
struct model_turn {
    struct list link;
    int64_t at;
    uint64_t seq, turn;
    uint32_t first_event, event_count;
    uint8_t status;
    uint32_t outcomes;
    uint32_t tasks_new_len, tasks_done_len, timers_new_len, timers_done_len;
    struct model_letter *letters;
    uint32_t letters_len;
    struct model_open opens[]; /* in the order of the four counts */
};

struct model {
    struct map_node node;
    struct exec_id exec;
    uint64_t start_digest;
    uint32_t tenant;
    char *workflow, *name;
    const struct check_rules *rules;
    struct list turns;
    /* Made by the turns. */
    uint64_t seq, turn;
    uint32_t events;
    uint8_t status;
    struct model_open *tasks, *timers;
    uint32_t tasks_len, timers_len, open_room;
    struct model_open last_done; /* the attempt closed last */
    /* Told outside. */
    bool shown, stop_acked, end_told, lost_part, has_parent, foreign;
    struct task_token parent;
    unsigned messages; /* in its inbox, at the end */
    int64_t stop_acked_at;
    unsigned end_status;
    uint64_t end_output;
};

struct start_model {
    struct map_node node;
    uint32_t tenant;
    char *workflow, *name;
    uint64_t digest;      /* of the input whose execution stands */
    bool acked, doubtful; /* doubtful: some answer was or is unknown */
    bool standing;        /* the store has it */
    bool lost;            /* a failover took it: nothing is promised */
    int64_t standing_at;
    struct exec_id id, acked_id;
    uint32_t sent, answered;
};

struct rules_row {
    struct list link;
    char *workflow;
    struct check_rules rules;
};

struct claim_model {
    struct list link;
    uint16_t lane;
    uint64_t epoch;
    struct uuid claim;
    int64_t at;
};

/* Numbers of tenants, as first seen: never given to another one, whatever a failover undoes. */
struct number_model {
    struct list link;
    uint32_t number, tenant;
};

struct checkers {
    void (*violated)(void *arg, int invariant, const char *text);
    void *arg;
    struct map execs, starts;
    struct list rules, claims, numbers;
};

static void violation(struct checkers *c, int invariant, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void violation(struct checkers *c, int invariant, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    c->violated(c->arg, invariant, text);
}

static const char *id_text(const struct exec_id *id)
{
    static char text[EXEC_ID_TEXT + 1];
    exec_id_format(id, text);
    return text;
}

static char *text_dup(struct str s)
{
    char *p = mem_alloc(s.size + 1);
    memcpy(p, s.size > 0 ? s.p : "", s.size);
    return p;
}

/* ---- finding ---- */

static bool model_is(const struct map_node *n, const void *key)
{
    return exec_id_eq(&MAP_ENTRY(n, const struct model, node)->exec, key);
}

static struct model *model_find(const struct checkers *c, const struct exec_id *id)
{
    struct map_node *n = map_find(&c->execs, exec_id_hash(id), id, model_is);
    return n != NULL ? MAP_ENTRY(n, struct model, node) : NULL;
}

static bool start_is(const struct map_node *n, const void *key)
{
    const struct start_model *m = MAP_ENTRY(n, const struct start_model, node);
    const struct check_start *s = key;
    return m->tenant == s->tenant && str_eqc(s->workflow, m->workflow) && str_eqc(s->name, m->name);
}

static struct start_model *start_get(struct checkers *c, const struct check_start *s)
{
    uint64_t hash =
        hash_bytes(s->name.p, s->name.size) ^ hash_bytes(s->workflow.p, s->workflow.size);
    struct map_node *n = map_find(&c->starts, hash, s, start_is);
    if (n != NULL) {
        return MAP_ENTRY(n, struct start_model, node);
    }
    struct start_model *m = MEM_NEW(struct start_model);
    m->tenant = s->tenant;
    m->workflow = text_dup(s->workflow);
    m->name = text_dup(s->name);
    map_insert(&c->starts, &m->node, hash);
    return m;
}

static struct start_model *start_of(struct checkers *c, const struct model *m)
{
    struct check_start key = {m->tenant, str_of(m->workflow), str_of(m->name), 0};
    return start_get(c, &key);
}

static const struct check_rules *rules_of(const struct checkers *c, struct str workflow)
{
    static const struct check_rules plain = {.attempts_max = 1};
    LIST_FOREACH(it, &c->rules)
    {
        const struct rules_row *r = LIST_ENTRY(it, struct rules_row, link);
        if (str_eqc(workflow, r->workflow)) {
            return &r->rules;
        }
    }
    return &plain;
}

/* ---- commits ---- */

static void letters_copy(struct model_turn *m, const struct turn_row *t)
{
    uint32_t n = t->inbox_new_len + t->inbox_done_len;
    m->letters = MEM_ARRAY(struct model_letter, MAX(n, 1U));
    for (uint32_t i = 0; i < t->inbox_new_len; i++) {
        const struct inbox_row *r = &t->inbox_new[i];
        m->letters[m->letters_len++] =
            (struct model_letter){r->exec, hash_bytes(r->source.p, r->source.size), false};
    }
    for (uint32_t i = 0; i < t->inbox_done_len; i++) {
        m->letters[m->letters_len++] =
            (struct model_letter){t->exec, hash_bytes(t->inbox_done[i].p, t->inbox_done[i].size),
                                  true};
    }
}

static void turn_free(struct model_turn *t)
{
    mem_free(t->letters);
    mem_free(t);
}

static struct model_turn *turn_copy(const struct turn_row *t, struct wall now)
{
    uint32_t n = t->tasks_new_len + t->tasks_done_len + t->timers_new_len + t->timers_done_len;
    struct model_turn *m = mem_alloc(sizeof(*m) + sizeof(m->opens[0]) * n);
    struct model_open *o = m->opens;
    m->at = now.us;
    m->seq = t->seq;
    m->turn = t->turn;
    m->first_event = t->first_event;
    m->event_count = t->event_count;
    m->status = t->status;
    m->tasks_new_len = t->tasks_new_len;
    m->tasks_done_len = t->tasks_done_len;
    m->timers_new_len = t->timers_new_len;
    m->timers_done_len = t->timers_done_len;
    letters_copy(m, t);
    for (size_t i = 0; i < t->outcomes.size; i++) {
        m->outcomes += t->outcomes.p[i] == '\n';
    }
    for (uint32_t i = 0; i < t->tasks_new_len; i++) {
        const struct task_ref *r = &t->tasks_new[i].token.ref;
        *o++ = (struct model_open){r->seq, r->idx, r->attempt, 0};
    }
    for (uint32_t i = 0; i < t->tasks_done_len; i++) {
        const struct task_ref *r = &t->tasks_done[i].ref;
        *o++ = (struct model_open){r->seq, r->idx, r->attempt, 0};
    }
    for (uint32_t i = 0; i < t->timers_new_len; i++) {
        *o++ = (struct model_open){t->timers_new[i].seq, t->timers_new[i].idx, 0,
                                   t->timers_new[i].due.us};
    }
    for (uint32_t i = 0; i < t->timers_done_len; i++) {
        *o++ = (struct model_open){t->timers_done[i].seq, t->timers_done[i].idx, 0,
                                   t->timers_done[i].due.us};
    }
    return m;
}

static bool open_take(struct model_open *list, uint32_t *len, const struct model_open *which,
                      struct model_open *taken)
{
    for (uint32_t i = 0; i < *len; i++) {
        if (list[i].seq == which->seq && list[i].idx == which->idx) {
            *taken = list[i];
            list[i] = list[--*len];
            return true;
        }
    }
    return false;
}

/* Room for both lists after a turn that opens "more". */
static void open_reserve(struct model *m, uint32_t more)
{
    uint32_t need = MAX(m->tasks_len, m->timers_len) + more;
    if (need > m->open_room) {
        m->open_room = MAX(8U, 2 * need);
        m->tasks = mem_realloc(m->tasks, sizeof(*m->tasks) * m->open_room);
        m->timers = mem_realloc(m->timers, sizeof(*m->timers) * m->open_room);
    }
}

static void check_turn_order(struct checkers *c, const struct model *m, const struct model_turn *t)
{
    const char *id = id_text(&m->exec);
    if (m->seq > 0 && m->status != STATUS_OPEN) {
        violation(c, 26, "%s: turn %" PRIu64 " committed after the end (status %u)", id, t->seq,
                  m->status);
    }
    if (m->stop_acked) {
        violation(c, 25, "%s: turn %" PRIu64 " committed after an acknowledged stop", id, t->seq);
    }
    if (t->seq != m->seq + 1) {
        violation(c, 18, "%s: turn %" PRIu64 " follows turn %" PRIu64, id, t->seq, m->seq);
    }
    if (t->first_event != m->events + 1 || t->event_count == 0) {
        violation(c, 18, "%s: %" PRIu32 " events from %" PRIu32 " follow event %" PRIu32, id,
                  t->event_count, t->first_event, m->events);
    }
}

/* "fired": latest due among the timers this turn consumed. The wait begins when the failure is decided,
 * which is after the attempt was made and may be well before the turn is durable. */
static void check_attempt(struct checkers *c, const struct model *m, const struct model_open *task,
                          int64_t fired)
{
    const char *id = id_text(&m->exec);
    if (task->attempt == 0 || task->attempt > m->rules->attempts_max) {
        violation(c, 22, "%s: attempt %" PRIu32 " of at most %" PRIu32, id, task->attempt,
                  m->rules->attempts_max);
    }
    if (task->attempt > 1 && m->last_done.attempt + 1 != task->attempt && !m->rules->parallel) {
        violation(c, 20, "%s: attempt %" PRIu32 " made, attempt %" PRIu32 " closed last", id,
                  task->attempt, m->last_done.attempt);
    }
    if (task->attempt > 1 && m->rules->backoff_us > 0) {
        int64_t wait = m->rules->backoff_us << (task->attempt - 2);
        if (fired < m->last_done.due + wait) {
            violation(c, 22, "%s: attempt %" PRIu32 " waited for less than %" PRId64 " µs", id,
                      task->attempt, wait);
        }
    }
    if (m->tasks_len > 0 && !m->rules->parallel) {
        violation(c, 20, "%s: an attempt is made while another one is open", id);
    }
}

/* Applies a turn to the model; with "c", checks it on the way. */
static void model_apply(struct checkers *c, struct model *m, const struct model_turn *t)
{
    const struct model_open *o = t->opens;
    const struct model_open *tasks_new = o, *tasks_done = o + t->tasks_new_len;
    const struct model_open *timers_new = tasks_done + t->tasks_done_len;
    const struct model_open *timers_done = timers_new + t->timers_new_len;
    struct model_open was;
    if (c != NULL) {
        check_turn_order(c, m, t);
        if (t->outcomes > t->tasks_done_len) {
            violation(c, 19, "%s: %" PRIu32 " outcomes close %" PRIu32 " attempts",
                      id_text(&m->exec), t->outcomes, t->tasks_done_len);
        }
    }
    open_reserve(m, t->tasks_new_len + t->timers_new_len);
    int64_t fired = 0;
    for (uint32_t i = 0; i < t->tasks_done_len; i++) {
        if (open_take(m->tasks, &m->tasks_len, &tasks_done[i], &was)) {
            m->last_done = was;
        } else if (c != NULL) {
            violation(c, 19, "%s: attempt %" PRIu64 "/%" PRIu32 " closed but not open",
                      id_text(&m->exec), tasks_done[i].seq, tasks_done[i].idx);
        }
    }
    for (uint32_t i = 0; i < t->timers_done_len; i++) {
        bool open = open_take(m->timers, &m->timers_len, &timers_done[i], &was);
        if (c != NULL && !open) {
            violation(c, 24, "%s: timer %" PRIu64 "/%" PRIu32 " consumed but not open",
                      id_text(&m->exec), timers_done[i].seq, timers_done[i].idx);
        } else if (c != NULL && was.due > t->at && (t->status == 1 || t->status == 2)) {
            violation(c, 24, "%s: timer %" PRIu64 "/%" PRIu32 " consumed %" PRId64 " µs early",
                      id_text(&m->exec), was.seq, was.idx, was.due - t->at);
        }
        fired = open ? MAX(fired, was.due) : fired;
    }
    for (uint32_t i = 0; i < t->tasks_new_len; i++) {
        if (c != NULL) {
            check_attempt(c, m, &tasks_new[i], fired);
        }
        m->tasks[m->tasks_len] = tasks_new[i];
        m->tasks[m->tasks_len++].due = t->at;
    }
    for (uint32_t i = 0; i < t->timers_new_len; i++) {
        m->timers[m->timers_len++] = timers_new[i];
    }
    m->seq = t->seq;
    m->turn = t->turn;
    m->events = t->first_event + t->event_count - 1;
    m->status = t->status;
    if (c != NULL && m->status != STATUS_OPEN && m->tasks_len + m->timers_len > 0) {
        violation(c, 25, "%s: ended with %" PRIu32 " tasks and %" PRIu32 " timers open",
                  id_text(&m->exec), m->tasks_len, m->timers_len);
    }
}

static struct model *model_start(struct checkers *c, const struct turn_row *t, struct wall now)
{
    struct check_start key = {t->start->tenant, t->start->workflow, t->start->name, 0};
    struct start_model *s = start_get(c, &key);
    if (s->standing) {
        violation(c, 15, "a second execution %s under the name %s", id_text(&t->exec), s->name);
    }
    s->standing = true;
    s->standing_at = now.us;
    s->id = t->exec;
    s->digest = t->start->digest;
    struct model *m = MEM_NEW(struct model);
    m->exec = t->exec;
    m->tenant = t->start->tenant;
    m->workflow = text_dup(t->start->workflow);
    m->name = text_dup(t->start->name);
    m->rules = rules_of(c, t->start->workflow);
    list_init(&m->turns);
    map_insert(&c->execs, &m->node, exec_id_hash(&m->exec));
    return m;
}

void check_commit(struct checkers *c, const struct store_commit *q, struct wall now)
{
    for (uint32_t i = 0; i < q->turns_len; i++) {
        const struct turn_row *t = q->turns[i];
        if (t->result != TURN_OK) {
            continue;
        }
        struct model *m = model_find(c, &t->exec);
        if (m == NULL && t->start == NULL) {
            violation(c, 18, "%s: turn %" PRIu64 " of an unknown execution", id_text(&t->exec),
                      t->seq);
            continue;
        }
        if (m != NULL && t->start != NULL) {
            violation(c, 15, "%s: started twice", id_text(&t->exec));
            continue;
        }
        if (m == NULL) {
            m = model_start(c, t, now);
        }
        if (t->due_max.us > now.us) {
            violation(c, 24, "%s: turn %" PRIu64 " fired %" PRId64 " µs early", id_text(&t->exec),
                      t->seq, t->due_max.us - now.us);
        }
        struct model_turn *copy = turn_copy(t, now);
        model_apply(c, m, copy);
        list_push_back(&m->turns, &copy->link);
    }
}

void check_foreign(struct checkers *c, const struct exec_id *id)
{
    struct model *m = model_find(c, id);
    if (m != NULL) {
        m->foreign = true;
    }
}

void check_timers_drop(struct checkers *c, const struct store_timers_drop *q)
{
    for (uint32_t i = 0; i < q->rows_len; i++) {
        const struct timer_row *t = &q->rows[i];
        const struct model *m = model_find(c, &t->exec);
        for (uint32_t k = 0; m != NULL && k < m->timers_len; k++) {
            if (m->timers[k].seq == t->seq && m->timers[k].idx == t->idx &&
                m->timers[k].due == t->due.us) {
                violation(c, 24, "%s: timer %" PRIu64 "/%" PRIu32 " is open and was deleted",
                          id_text(&t->exec), t->seq, t->idx);
            }
        }
    }
}

void check_claim(struct checkers *c, const struct store_claim *q, struct wall now)
{
    for (uint32_t i = 0; i < q->got_len; i++) {
        const struct lane_row *l = &q->got[i];
        LIST_FOREACH(it, &c->claims)
        {
            const struct claim_model *m = LIST_ENTRY(it, struct claim_model, link);
            if (uuid_eq(&m->claim, &l->fence.claim)) {
                violation(c, 1, "lane %u: a claim id is used again", l->lane);
            }
            if (m->lane == l->lane && m->epoch >= l->fence.epoch) {
                violation(c, 1, "lane %u: epoch %" PRIu64 " after %" PRIu64, l->lane,
                          l->fence.epoch, m->epoch);
            }
        }
        struct claim_model *m = MEM_NEW(struct claim_model);
        m->lane = l->lane;
        m->epoch = l->fence.epoch;
        m->claim = l->fence.claim;
        m->at = now.us;
        list_push_back(&c->claims, &m->link);
    }
}

/* ---- a failover that loses its tail ---- */

static void model_free(struct model *m)
{
    while (!list_empty(&m->turns)) {
        turn_free(LIST_ENTRY(list_pop_front(&m->turns), struct model_turn, link));
    }
    mem_free(m->tasks);
    mem_free(m->timers);
    mem_free(m->workflow);
    mem_free(m->name);
    mem_free(m);
}

static void model_rewind(struct checkers *c, struct model *m, int64_t since)
{
    bool cut = false;
    LIST_FOREACH_SAFE(it, &m->turns)
    {
        struct model_turn *t = LIST_ENTRY(it, struct model_turn, link);
        if (t->at > since) {
            list_remove(&t->link);
            turn_free(t);
            cut = true;
        }
    }
    if (!cut) {
        return;
    }
    if (list_empty(&m->turns)) {
        struct start_model *s = start_of(c, m);
        s->standing = false;
        s->lost = true;
        map_remove(&c->execs, &m->node);
        model_free(m);
        return;
    }
    m->seq = m->turn = 0;
    m->events = m->tasks_len = m->timers_len = 0;
    m->last_done = (struct model_open){0};
    m->stop_acked = m->end_told = false; /* what was told may be undone */
    m->lost_part = true;
    LIST_FOREACH(it, &m->turns)
    {
        model_apply(NULL, m, LIST_ENTRY(it, struct model_turn, link));
    }
}

void check_lost_tail(struct checkers *c, struct wall since)
{
    LIST_FOREACH_SAFE(it, &c->execs.order)
    {
        model_rewind(c, MAP_ORDER_ENTRY(it, struct model, node), since.us);
    }
    LIST_FOREACH_SAFE(it, &c->claims)
    {
        struct claim_model *m = LIST_ENTRY(it, struct claim_model, link);
        if (m->at > since.us) { /* epochs may repeat on another timeline; claim ids may not */
            m->epoch = 0;
        }
    }
}

/* ---- what was told ---- */

void check_start_sent(struct checkers *c, const struct check_start *s)
{
    start_get(c, s)->sent++;
}

void check_start_answer(struct checkers *c, const struct check_start *s, enum check_answer a,
                        const struct exec_id *id, bool exists)
{
    struct start_model *m = start_get(c, s);
    m->answered++;
    if (a == CHECK_UNKNOWN) {
        m->doubtful = true;
        return;
    }
    if (m->lost) {
        return;
    }
    if (a == CHECK_REFUSED) {
        if (exists && (!m->standing || m->digest == s->digest)) {
            violation(c, 15, "%s: refused as existing with other content, but it does not",
                      m->name);
        }
        return;
    }
    if (!m->standing) {
        violation(c, 14, "%s: an acknowledged start is not in the store", m->name);
        return;
    }
    if (!exec_id_eq(&m->id, id)) {
        violation(c, m->doubtful ? 17 : 15, "%s: told %s, another execution stands", m->name,
                  id_text(id));
    }
    if (m->digest != s->digest) {
        violation(c, 15, "%s: another input under the same name was accepted", m->name);
    }
    m->acked = true;
    m->acked_id = *id;
}

void check_stop_acked(struct checkers *c, const struct exec_id *id, struct wall now)
{
    struct model *m = model_find(c, id);
    if (m == NULL || m->lost_part) {
        return;
    }
    if (m->status == STATUS_OPEN) {
        violation(c, 25, "%s: a stop was acknowledged and the execution is open", id_text(id));
    }
    if (!m->stop_acked) {
        m->stop_acked_at = now.us;
    }
    m->stop_acked = true;
}

static bool attempt_made(const struct model *m, const struct task_token *t)
{
    bool made = false;
    LIST_FOREACH(it, &m->turns)
    {
        const struct model_turn *turn = LIST_ENTRY(it, struct model_turn, link);
        for (uint32_t i = 0; turn->seq == t->ref.seq && i < turn->tasks_new_len; i++) {
            made = made ||
                   (turn->opens[i].idx == t->ref.idx && turn->opens[i].attempt == t->ref.attempt);
        }
    }
    return made;
}

void check_dispatched(struct checkers *c, const struct task_token *t, struct wall now,
                      int64_t in_flight_us)
{
    struct model *m = model_find(c, &t->ref.exec);
    if (m == NULL || m->lost_part) {
        return; /* undone meanwhile */
    }
    if (!attempt_made(m, t)) {
        violation(c, 20, "%s: attempt %" PRIu64 "/%" PRIu32 " left before it was durable",
                  id_text(&t->ref.exec), t->ref.seq, t->ref.idx);
    }
    if (m->stop_acked && !m->foreign && now.us > m->stop_acked_at + in_flight_us) {
        violation(c, 25, "%s: an attempt reached a worker %" PRId64 " ms after the stop",
                  id_text(&t->ref.exec), (now.us - m->stop_acked_at) / US_PER_MS);
    }
}

void check_beat_ok(struct checkers *c, const struct task_token *t, struct wall sent)
{
    struct model *m = model_find(c, &t->ref.exec);
    /* What another writer has done its home learns by the lane's inbox, a heartbeat later at most. */
    if (m != NULL && !m->lost_part && !m->foreign && m->stop_acked && m->stop_acked_at < sent.us) {
        violation(c, 25, "%s: a heartbeat was told to go on %" PRId64 " ms after the stop",
                  id_text(&t->ref.exec), (sent.us - m->stop_acked_at) / US_PER_MS);
    }
}

void check_outcome_acked(struct checkers *c, const struct task_token *t)
{
    struct model *m = model_find(c, &t->ref.exec);
    if (m == NULL || m->lost_part) {
        return;
    }
    for (uint32_t i = 0; i < m->tasks_len; i++) {
        if (m->tasks[i].seq == t->ref.seq && m->tasks[i].idx == t->ref.idx) {
            violation(c, 19, "%s: an outcome was acknowledged, the attempt is open",
                      id_text(&t->ref.exec));
        }
    }
}

void check_end_told(struct checkers *c, const struct exec_id *id, unsigned status,
                    struct str output)
{
    struct model *m = model_find(c, id);
    uint64_t hash = hash_bytes(output.p != NULL ? output.p : "", output.size);
    if (m == NULL || m->lost_part) {
        return;
    }
    if (m->status != status) {
        violation(c, 26, "%s: told status %u, the store has %u", id_text(id), status, m->status);
    }
    if (m->end_told && (m->end_status != status || m->end_output != hash)) {
        violation(c, 26, "%s: told two different ends", id_text(id));
    }
    m->end_told = true;
    m->end_status = status;
    m->end_output = hash;
}

void check_tenant(struct checkers *c, const char *where, uint32_t of, uint32_t to)
{
    if (of != to) {
        violation(c, 38, "%s: of tenant %" PRIu32 ", told to tenant %" PRIu32, where, of, to);
    }
}

void check_tenant_number(struct checkers *c, uint32_t number, uint32_t tenant)
{
    LIST_FOREACH(it, &c->numbers)
    {
        const struct number_model *m = LIST_ENTRY(it, struct number_model, link);
        if (m->number == number) {
            check_tenant(c, "a tenant's number", m->tenant, tenant);
            return;
        }
    }
    struct number_model *m = MEM_NEW(struct number_model);
    m->number = number;
    m->tenant = tenant;
    list_push_back(&c->numbers, &m->link);
}

void check_payload(struct checkers *c, const char *where, struct str got, struct str expected)
{
    if (!str_eq(got, expected)) {
        violation(c, 27, "%s: got %.*s, expected %.*s", where, (int)MIN(got.size, (size_t)120),
                  got.p != NULL ? got.p : "", (int)MIN(expected.size, (size_t)120), expected.p);
    }
}

/* ---- the end ---- */

static void check_fold(struct checkers *c, const struct check_row *row)
{
    const char *id = id_text(&row->exec);
    if (!row->folded) {
        violation(c, 5, "%s: its history cannot be folded", id);
        return;
    }
    if (row->folded_status != row->status || row->folded_seq != row->seq) {
        violation(c, 5,
                  "%s: history ends at turn %" PRIu64 " with status %u, the row has %" PRIu64
                  " and %u",
                  id, row->folded_seq, row->folded_status, row->seq, row->status);
    }
    if (row->digest != row->digest_snapshot) {
        violation(c, 5, "%s: the snapshot and the history differ", id);
    }
    if (row->folded_events != row->events) {
        violation(c, 18, "%s: %" PRIu32 " events folded, %" PRIu32 " numbered", id,
                  row->folded_events, row->events);
    }
}

void check_row(struct checkers *c, const struct check_row *row)
{
    const char *id = id_text(&row->exec);
    struct model *m = model_find(c, &row->exec);
    if (m == NULL) {
        violation(c, 16, "%s: an execution that nobody started", id);
        return;
    }
    m->shown = true;
    m->messages = row->messages;
    if (row->seq != m->seq || row->turn != m->turn || row->status != m->status) {
        violation(c, 26,
                  "%s: the row has turn %" PRIu64 " status %u, committed were %" PRIu64 " and %u",
                  id, row->seq, row->status, m->seq, m->status);
    }
    if (row->history_rows != m->seq || row->events != m->events) {
        violation(c, 18,
                  "%s: %" PRIu64 " rows and %" PRIu32 " events, committed were %" PRIu64
                  " and %" PRIu32,
                  id, row->history_rows, row->events, m->seq, m->events);
    }
    if (row->open_tasks != m->tasks_len) {
        violation(c, 19, "%s: %u open tasks in the table, %" PRIu32 " committed", id,
                  row->open_tasks, m->tasks_len);
    }
    if (row->open_timers < m->timers_len) {
        violation(c, 24, "%s: %u timers in the table, %" PRIu32 " committed", id, row->open_timers,
                  m->timers_len);
    }
    check_fold(c, row);
}

void check_child(struct checkers *c, const struct exec_id *child, const struct task_token *parent)
{
    struct model *m = model_find(c, child), *p = model_find(c, &parent->ref.exec);
    if (m == NULL || p == NULL || !attempt_made(p, parent)) {
        violation(c, 20, "%s: started by an attempt that was never made", id_text(child));
        return;
    }
    LIST_FOREACH(it, &c->execs.order)
    {
        const struct model *other = MAP_ORDER_ENTRY(it, struct model, node);
        if (other->has_parent && task_token_eq(&other->parent, parent)) {
            violation(c, 15, "%s: a second child of one attempt", id_text(child));
        }
    }
    m->has_parent = true;
    m->parent = *parent;
}

/* ---- letters: each is read at most once, and only when it was sent ---- */

struct letter_node {
    struct map_node node;
    struct model_letter letter;
    uint32_t sent, read;
};

static bool letter_is(const struct map_node *n, const void *key)
{
    const struct model_letter *a = &MAP_ENTRY(n, const struct letter_node, node)->letter;
    const struct model_letter *b = key;
    return a->source == b->source && exec_id_eq(&a->to, &b->to);
}

static void letters_count(struct map *letters, const struct model *m)
{
    LIST_FOREACH(it, &m->turns)
    {
        const struct model_turn *t = LIST_ENTRY(it, struct model_turn, link);
        for (uint32_t i = 0; i < t->letters_len; i++) {
            const struct model_letter *l = &t->letters[i];
            uint64_t hash = exec_id_hash(&l->to) ^ l->source;
            struct map_node *n = map_find(letters, hash, l, letter_is);
            struct letter_node *node =
                n == NULL ? MEM_NEW(struct letter_node) : MAP_ENTRY(n, struct letter_node, node);
            if (n == NULL) {
                node->letter = *l;
                map_insert(letters, &node->node, hash);
            }
            node->sent += !l->read;
            node->read += l->read;
        }
    }
}

static void check_letters(struct checkers *c)
{
    struct map letters;
    map_init(&letters);
    LIST_FOREACH(it, &c->execs.order)
    {
        letters_count(&letters, MAP_ORDER_ENTRY(it, struct model, node));
    }
    LIST_FOREACH_SAFE(it, &letters.order)
    {
        struct letter_node *l = MAP_ORDER_ENTRY(it, struct letter_node, node);
        if (l->sent > 1 || l->read > l->sent) {
            violation(c, 19, "%s: a letter was sent %" PRIu32 " times and read %" PRIu32 " times",
                      id_text(&l->letter.to), l->sent, l->read);
        }
        map_remove(&letters, &l->node);
        mem_free(l);
    }
    map_fini(&letters);
}

static void check_start_end(struct checkers *c, const struct start_model *s)
{
    bool in_doubt = s->doubtful || s->sent > s->answered;
    const struct model *m = s->standing && s->sent == 0 ? model_find(c, &s->id) : NULL;
    if (s->lost) {
        return;
    }
    if (s->acked && !s->standing) {
        violation(c, 14, "%s: an acknowledged start is lost", s->name);
    }
    if (m != NULL && m->has_parent) {
        return; /* a task has started it */
    }
    if (s->standing && !s->acked && !in_doubt) {
        violation(c, 16, "%s: every answer was a definite failure, and it runs", s->name);
    }
}

void check_end(struct checkers *c, bool progress)
{
    LIST_FOREACH(it, &c->execs.order)
    {
        const struct model *m = MAP_ORDER_ENTRY(it, struct model, node);
        if (!m->shown) {
            violation(c, 14, "%s: committed, and no longer in the store", id_text(&m->exec));
        }
        if (progress && m->status == STATUS_OPEN) {
            violation(c, 21,
                      "%s (%s/%s): not ended, turn %" PRIu64 ", %" PRIu32 " tasks, %" PRIu32
                      " timers",
                      id_text(&m->exec), m->workflow, m->name, m->seq, m->tasks_len, m->timers_len);
        }
        if (progress && m->messages > 0) {
            violation(c, 21, "%s (%s/%s): %u messages are never read", id_text(&m->exec),
                      m->workflow, m->name, m->messages);
        }
    }
    check_letters(c);
    LIST_FOREACH(it, &c->starts.order)
    {
        check_start_end(c, MAP_ORDER_ENTRY(it, struct start_model, node));
    }
}

void check_counts(const struct checkers *c, uint64_t *started, uint64_t *ended)
{
    *started = *ended = 0;
    LIST_FOREACH(it, &c->execs.order)
    {
        (*started)++;
        *ended += MAP_ORDER_ENTRY(it, struct model, node)->status != STATUS_OPEN;
    }
}

/* ---- making ---- */

void checkers_rules(struct checkers *c, struct str workflow, const struct check_rules *r)
{
    struct rules_row *row = MEM_NEW(struct rules_row);
    row->workflow = text_dup(workflow);
    row->rules = *r;
    list_push_back(&c->rules, &row->link);
}

struct checkers *checkers_new(void (*violated)(void *arg, int invariant, const char *text),
                              void *arg)
{
    struct checkers *c = MEM_NEW(struct checkers);
    c->violated = violated;
    c->arg = arg;
    map_init(&c->execs);
    map_init(&c->starts);
    list_init(&c->rules);
    list_init(&c->claims);
    list_init(&c->numbers);
    return c;
}

void checkers_free(struct checkers *c)
{
    if (c == NULL) {
        return;
    }
    LIST_FOREACH_SAFE(it, &c->execs.order)
    {
        model_free(MAP_ORDER_ENTRY(it, struct model, node));
    }
    LIST_FOREACH_SAFE(it, &c->starts.order)
    {
        struct start_model *s = MAP_ORDER_ENTRY(it, struct start_model, node);
        mem_free(s->workflow);
        mem_free(s->name);
        mem_free(s);
    }
    while (!list_empty(&c->claims)) {
        mem_free(LIST_ENTRY(list_pop_front(&c->claims), struct claim_model, link));
    }
    while (!list_empty(&c->numbers)) {
        mem_free(LIST_ENTRY(list_pop_front(&c->numbers), struct number_model, link));
    }
    while (!list_empty(&c->rules)) {
        struct rules_row *r = LIST_ENTRY(list_pop_front(&c->rules), struct rules_row, link);
        mem_free(r->workflow);
        mem_free(r);
    }
    map_fini(&c->execs);
    map_fini(&c->starts);
    mem_free(c);
}
