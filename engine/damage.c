/* Executions that cannot be read or continued as they are stored: a damaged history row, a definition that
 * is gone, a turn that the store refuses for its data. See shard.h.
 *
 * Nothing else would slow down what keeps asking for them (deadlines, workers that repeat their outcomes),
 * so each is left alone for a back-off, in which whoever asks is told what was found, from memory. What people
 * ask for, DESCRIBE and STOP, looks at once: who has mended the rows makes the execution go on with it. */
#include "base/prelude.h"

#include "engine/shard_internal.h"

LOG_MODULE("damage");

enum {
    DAMAGE_FIRST_US = 1 * US_PER_S,
    DAMAGE_LAST_US = 60 * US_PER_S,
    DAMAGED_MAX = 4096, /* remembered; of more, the oldest begin anew */
    REASON_SIZE = 160,
};

struct damage {
    struct map_node node;
    struct exec_id id;
    bool refused; /* it can be read, but its turns are refused */
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
    metric_add(&metric_damaged_now, -1);
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
    metric_add(&metric_damaged, 1);
    char text[EXEC_ID_TEXT + 1];
    exec_id_format(id, text);
    log_error("execution cannot go on",
              "execution=%s reason=\"%s\" again_s=%" PRId64
              " remedy=\"restore its rows or its definition; a DESCRIBE of it looks at once\"",
              text, d->reason, d->wait_us / US_PER_S);
}

void damage_over(struct shard *s, const struct exec_id *id, bool durable)
{
    struct damage *d = damage_find(s, id);
    if (d != NULL && (durable || !d->refused)) {
        damage_drop(s, d);
    }
}

int64_t damage_wait_us(const struct shard *s, const struct exec_id *id)
{
    const struct damage *d = damage_find(s, id);
    return d == NULL ? 0 : MAX(d->until.us - loop_now(s->c.loop).us, INT64_C(0));
}

/* One that can be read answers questions as ever; only its turns are left alone. */
static bool looks_at_once(const struct item *it, bool refused)
{
    if (it->type == ITEM_FACT) {
        return it->fact.type == FACT_STOP;
    }
    return refused || it->type == ITEM_DESCRIBE || it->type == ITEM_START;
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

void damage_forget(struct shard *s)
{
    LIST_FOREACH_SAFE(it, &s->damaged.order)
    {
        damage_drop(s, MAP_ORDER_ENTRY(it, struct damage, node));
    }
}

/* ---- entries ---- */

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
    reason_tell(&e->waiting, reason);
    reason_tell(&e->watchers, reason);
    entry_fail(s, e, ERR_DAMAGED);
}
