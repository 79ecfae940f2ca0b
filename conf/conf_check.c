/* What no single key can tell: pairs that contradict each other, lists whose elements do. A pair is
 * looked at when both were set: presets do not argue with the user. */
#include "base/prelude.h"

#include "base/clock.h"
#include "conf/conf_internal.h"

struct check {
    const struct conf *c;
    struct conf_problems *p;
};

/* ---- every leaf ---- */

static void check_needed(void *arg, const struct conf_place *p)
{
    struct check *k = arg;
    bool was_wrong = conf_origin(p)->name != NULL;
    if (p->row->preset == NULL && !conf_has_value(p) && !was_wrong) {
        /* At the element: the field has no place. Its "self" stands first in its origins. */
        const struct conf_origin *self =
            (const struct conf_origin *)(const void *)((char *)p->base + p->in->self);
        conf_problem(k->p, self, p->path, "is missing");
    }
}

/* ---- pairs ---- */

/* The keys at most and at least, by their members in struct conf. */
static const struct {
    const char *small, *large;
    int64_t factor; /* small * factor <= large */
} pairs[] = {
    {"database.connectionPool.minIdle", "database.connectionPool.maxPoolSize", 1},
    {"database.connectionPool.idleTimeout", "database.connectionPool.maxLifetime", 1},
    {"scheduler.distributed.heartbeatInterval", "scheduler.distributed.leaderElectionInterval", 2},
    {"threadPools.workflow.coreSize", "threadPools.workflow.maxSize", 1},
    {"threadPools.http.coreSize", "threadPools.http.maxSize", 1},
    {"threadPools.scheduler.coreSize", "threadPools.scheduler.maxSize", 1},
    {"eventProcessing.workers.minThreads", "eventProcessing.workers.maxThreads", 1},
};

static void check_pair(struct check *k, const char *small_path, const char *large_path,
                       int64_t factor)
{
    struct conf_place small = conf_place_of(k->c, conf_row_of(str_of(small_path)));
    struct conf_place large = conf_place_of(k->c, conf_row_of(str_of(large_path)));
    int64_t least = *(int64_t *)conf_value(&small), most = *(int64_t *)conf_value(&large);
    if (conf_origin(&small)->layer == CONF_PRESET || conf_origin(&large)->layer == CONF_PRESET ||
        least <= most / factor || most == 0) { /* 0: no limit */
        return;
    }
    struct buf text;
    buf_init(&text, 0);
    conf_write(&text, small.row, conf_value(&small));
    buf_puts(&text, factor == 1 ? " is more than " : " is more than half of ");
    buf_puts(&text, large_path);
    buf_puts(&text, ", which is ");
    conf_write(&text, large.row, conf_value(&large));
    conf_problem(k->p, conf_origin(&small), small.path, "%.*s", STR_ARG(buf_str(&text)));
    buf_fini(&text);
}

/* ---- lists ---- */

static void check_unique(struct check *k, const struct conf_row *row)
{
    struct conf_list list = conf_list_get(k->c, row);
    for (uint32_t i = 0; i < list.len; i++) {
        void *item = conf_list_item(row, list, i);
        struct str identity = conf_identity_of(row->record, item);
        bool again = false;
        for (uint32_t j = 0; j < i && identity.size > 0 && !again; j++) {
            again = str_eq(identity, conf_identity_of(row->record, conf_list_item(row, list, j)));
        }
        if (again) {
            struct conf_place at = {.row = conf_identity(row->record),
                                    .in = row->record,
                                    .base = item};
            conf_problem(k->p, conf_origin(&at), str_of(row->path), "%s %.*s stands twice",
                         row->record->identity, STR_ARG(identity));
        }
    }
}

static void check_sharding(struct check *k)
{
    const struct conf *c = k->c;
    if (c->sharding_enabled && c->shards.len == 0) {
        conf_problem(k->p, &c->from.sharding_enabled, STR("database.sharding.enabled"),
                     "needs shards: database.sharding.shards names none");
    }
    bool tenants = c->sharding_enabled && str_eqc(c->sharding_strategy, "TENANT_ID");
    for (uint32_t i = 0; tenants && i < c->shards.len; i++) {
        if (c->shards.v[i].tenant_range.size == 0) {
            conf_problem(k->p, &c->shards.v[i].from.self, STR("database.sharding.shards"),
                         "the strategy TENANT_ID needs a tenantRange for each shard");
        }
    }
}

static void check_kafka(struct check *k)
{
    const struct conf *c = k->c;
    if (c->external_events && c->kafka_servers.size == 0) {
        conf_problem(k->p, &c->from.external_events, STR("externalEventProcessing.enabled"),
                     "needs brokers: externalEventProcessing.kafka.bootstrapServers names none");
    }
}

void conf_check(const struct conf *c, struct conf_problems *p)
{
    struct check k = {.c = c, .p = p};
    struct arena a;
    arena_init(&a, 0);
    conf_each(c, &a, check_needed, &k);
    arena_fini(&a);
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        check_pair(&k, pairs[i].small, pairs[i].large, pairs[i].factor);
    }
    for (size_t i = 0; conf_row_at(i) != NULL; i++) {
        if (conf_row_at(i)->kind == CONF_LIST) {
            check_unique(&k, conf_row_at(i));
        }
    }
    check_sharding(&k);
    check_kafka(&k);
}
