/* Executions that cannot be read or continued as they are stored: a damaged history row, a definition that
 * is gone, a turn that the store refuses for its data. See shard.h.
 *
 * Nothing else would slow down what keeps asking for them (deadlines, letters, workers that repeat their
 * outcomes), so each is left alone for a back-off, in which whoever asks is told what was found, from memory;
 * then it is looked at again, by itself. What a client asks for, DESCRIBE and STOP, looks at once: who has
 * mended the rows makes the execution go on with it. What this node still owes to it, tasks and letters of
 * turns whose fate was in doubt, is kept here meanwhile. */
#include "base/prelude.h"

#include "engine/shard_internal.h"

LOG_MODULE("damage");

enum {
    DAMAGE_FIRST_US = 1 * US_PER_S,
    DAMAGE_LAST_US = 60 * US_PER_S,
    LOOK_AFTER_US = 1 * US_PER_S, /* what comes by itself when the wait is over comes first */
    DAMAGED_MAX = 4096,           /* remembered; of more, the oldest begin anew */
    REASON_SIZE = 160,
};

struct damage {
    struct map_node node;
    struct exec_id id;
    struct heap_node look;      /* in shard.damaged_looks */
    bool refused;               /* it can be read, but its turns are refused */
    struct task_token *closing; /* owned, as in struct entry */
    struct exec_id *telling;    /* likewise */
    uint32_t closing_len, telling_len;
    int64_t wait_us;
    struct mono until;
    char reason[REASON_SIZE];
};

static bool damage_eq(const struct map_node *n, const void *key)
{
    return exec_id_eq(&MAP_ENTRY(n, const struct damage, node)->id, key);
}

static struct damage *damage_find(const struct shard *s, const struct exec_id *id)
{
    struct map_node *n = map_find(&s->damaged, exec_id_hash(id), id, damage_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct damage, node);
}

static void damage_drop(struct shard *s, struct damage *d)
{
    map_remove(&s->damaged, &d->node);
    heap_remove(&s->damaged_looks, &d->look);
    metric_add(&metric_damaged_now, -1);
    mem_free(d->closing);
    mem_free(d->telling);
    mem_free(d);
}

static struct damage *damage_new(struct shard *s, const struct exec_id *id)
{
    if (map_len(&s->damaged) == DAMAGED_MAX) {
        damage_drop(s, MAP_ENTRY(map_first(&s->damaged), struct damage, node));
    }
    struct damage *d = MEM_NEW(struct damage);
    d->id = *id;
    d->until = loop_now(s->c.loop);
    map_insert(&s->damaged, &d->node, exec_id_hash(id));
    metric_add(&metric_damaged_now, 1);
    return d;
}

void damage_over(struct shard *s, const struct exec_id *id)
{
    struct damage *d = damage_find(s, id);
    if (d != NULL) {
        damage_drop(s, d);
    }
}

int64_t damage_wait_us(const struct shard *s, const struct exec_id *id)
{
    const struct damage *d = damage_find(s, id);
    return d == NULL ? 0 : MAX(d->until.us - loop_now(s->c.loop).us, INT64_C(0));
}

/* What the engine itself asks for carries the life under which it does. One that can be read answers
 * questions as ever; only its turns are left alone. */
static bool looks_at_once(const struct item *it, bool refused)
{
    if (it->type == ITEM_FACT) {
        return it->fact.type == FACT_STOP && it->life == 0;
    }
    return refused || (it->type == ITEM_DESCRIBE && it->life == 0) || it->type == ITEM_START;
}

bool damage_answers(struct shard *s, struct item *it)
{
    const struct damage *d = damage_find(s, &it->exec);
    if (d == NULL || looks_at_once(it, d->refused) || loop_now(s->c.loop).us >= d->until.us) {
        return false;
    }
    it->detail = str_dup(&it->arena, str_of(d->reason));
    item_finish(s, it, ERR_DAMAGED);
    return true;
}

void damage_forget(struct shard *s, bool all)
{
    LIST_FOREACH_SAFE(it, &s->damaged.order)
    {
        struct damage *d = MAP_ORDER_ENTRY(it, struct damage, node);
        if (all || !lanes_of(&s->lanes, &d->id)->held) {
            damage_drop(s, d);
        }
    }
}

/* ---- looking again ---- */

static void look_again(struct loop_timer *timer);

static void look_timer_set(struct shard *s)
{
    struct heap_node *n = heap_min(&s->damaged_looks);
    if (n == NULL || s->stopping) {
        loop_timer_stop(&s->damage_timer);
        return;
    }
    s->damage_timer.fired = look_again;
    s->damage_timer.name = "damaged executions";
    loop_timer_start(s->c.loop, &s->damage_timer, (struct mono){n->key});
}

static void look_at(struct shard *s, struct damage *d, int64_t us)
{
    heap_remove(&s->damaged_looks, &d->look);
    heap_insert(&s->damaged_looks, &d->look, us);
    look_timer_set(s);
}

/* One in memory is read again, too: letters may wait for it. */
static void look_again(struct loop_timer *timer)
{
    struct shard *s = CONTAINER_OF(timer, struct shard, damage_timer);
    int64_t now = loop_now(s->c.loop).us;
    struct heap_node *n;
    while ((n = heap_min(&s->damaged_looks)) != NULL && n->key <= now) {
        struct damage *d = CONTAINER_OF(n, struct damage, look);
        struct entry *e = entry_find(s, &d->id);
        look_at(s, d, now + d->wait_us); /* before, when this look fails */
        if (e == NULL) {
            entry_load(s, entry_make(s, &d->id), false);
        } else if (!entry_busy(e)) {
            entry_load(s, e, false);
        }
    }
    look_timer_set(s);
    shard_pump(s);
}

void damage_note(struct shard *s, const struct exec_id *id, bool refused, const char *reason)
{
    struct damage *d = damage_find(s, id);
    if (d == NULL) {
        d = damage_new(s, id);
    }
    d->refused = refused;
    (void)snprintf(d->reason, sizeof(d->reason), "%s", reason);
    struct mono now = loop_now(s->c.loop);
    if (now.us < d->until.us) {
        return; /* somebody looked in between */
    }
    d->wait_us = MIN(MAX(d->wait_us * 2, (int64_t)DAMAGE_FIRST_US), (int64_t)DAMAGE_LAST_US);
    d->until.us = now.us + d->wait_us;
    look_at(s, d, d->until.us + LOOK_AFTER_US);
    metric_add(&metric_damaged, 1);
    char text[EXEC_ID_TEXT + 1];
    exec_id_format(id, text);
    log_error("execution cannot go on",
              "execution=%s reason=\"%s\" again_s=%" PRId64
              " remedy=\"restore its rows or its definition; a DESCRIBE of it looks at once\"",
              text, d->reason, d->wait_us / US_PER_S);
}

/* ---- entries ---- */

/* What the entry was to do when it is read. A failed load adds nothing to what is kept already. */
static void debts_keep(struct shard *s, struct entry *e)
{
    struct damage *d = damage_find(s, &e->id);
    if (e->closing_len > 0 || e->telling_len > 0) {
        entry_owes(e, d->closing, d->closing_len, d->telling, d->telling_len);
        mem_free(d->closing);
        mem_free(d->telling);
        d->closing = e->closing;
        d->closing_len = e->closing_len;
        d->telling = e->telling;
        d->telling_len = e->telling_len;
        e->closing = NULL;
        e->telling = NULL;
        e->closing_len = e->telling_len = 0;
    }
}

void damage_load(struct shard *s, struct entry *e)
{
    e->arm = e->arm || damage_find(s, &e->id) != NULL;
}

void damage_read(struct shard *s, struct entry *e)
{
    struct damage *d = damage_find(s, &e->id);
    if (d != NULL && !d->refused) {
        entry_owes(e, d->closing, d->closing_len, d->telling, d->telling_len);
        damage_drop(s, d);
    }
}

static void reason_tell(struct list *items, const char *reason)
{
    LIST_FOREACH(l, items)
    {
        struct item *it = LIST_ENTRY(l, struct item, link);
        it->detail = str_dup(&it->arena, str_of(reason));
    }
}

void entry_damaged(struct shard *s, struct entry *e, const char *reason)
{
    damage_note(s, &e->id, false, reason);
    debts_keep(s, e);
    if (entry_starting(e)) { /* it may be the one that is there */
        struct list *first = list_pop_front(&e->waiting);
        item_finish(s, LIST_ENTRY(first, struct item, link), ERR_UNKNOWN);
    }
    reason_tell(&e->waiting, reason);
    reason_tell(&e->watchers, reason);
    entry_fail(s, e, ERR_DAMAGED);
}
