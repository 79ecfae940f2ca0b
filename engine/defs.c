/* The definition cache of one loop: see defs.h. */
#include "base/prelude.h"

#include "engine/defs.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/metrics.h"

LOG_MODULE("defs");

enum {
    FRESH_US = 5 * US_PER_S, /* another node may put a newer version meanwhile */
    READ_TRIES = 4,          /* a read changes nothing, so one without an answer is made again */
};

/* One parsed revision, or one in the making. */
struct revision {
    struct map_node node;
    struct list lru;
    uint64_t revision;
    struct def *def; /* NULL while it is being read */
    struct mono at;  /* when it was parsed */
    struct definition_row row;
    struct arena arena; /* of row */
    struct list waits;
    struct store_def_get req;
    uint32_t tries;
    struct defs *defs;
    int64_t size; /* counted in the metric */
};

/* (tenant, workflow) → newest revision, or a look-up under way. */
struct newest {
    struct map_node node;
    uint32_t tenant;
    struct str workflow;
    uint64_t revision; /* 0: being looked up */
    struct mono at;
    struct arena arena;
    struct list waits;
    struct store_def_get req;
    uint32_t tries;
    struct defs *defs;
    bool forgotten; /* changed while the look-up was under way */
};

struct defs {
    struct loop *loop;
    struct store *store;
    uint32_t max;
    int64_t expire_us;
    struct map revisions, newest;
    struct list lru;
    uint32_t busy;
};

/* ---- by revision ---- */

static bool revision_eq(const struct map_node *n, const void *key)
{
    return MAP_ENTRY(n, const struct revision, node)->revision == *(const uint64_t *)key;
}

static struct revision *revision_find(struct defs *d, uint64_t revision)
{
    struct map_node *n = map_find(&d->revisions, hash_u64(revision), &revision, revision_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct revision, node);
}

static void revision_drop(struct defs *d, struct revision *r)
{
    map_remove(&d->revisions, &r->node);
    list_remove(&r->lru);
    metric_add(&metric_cached_definitions_bytes, -r->size);
    def_unref(r->def);
    arena_fini(&r->arena);
    mem_free(r);
}

static void trim(struct defs *d)
{
    while (map_len(&d->revisions) > d->max && !list_empty(&d->lru)) {
        revision_drop(d, LIST_ENTRY(d->lru.next, struct revision, lru));
    }
}

static void answer(struct list *waits, struct def *def, const struct definition_row *row,
                   enum err e)
{
    struct list mine;
    list_init(&mine);
    struct list *it;
    while ((it = list_pop_front(waits)) != NULL) {
        list_push_back(&mine, it);
    }
    while ((it = list_pop_front(&mine)) != NULL) {
        struct defs_wait *w = LIST_ENTRY(it, struct defs_wait, link);
        w->done(w, def, row, e);
    }
}

/* The store's text was checked when it was put; it must parse. */
static enum err revision_parse(struct revision *r)
{
    struct def_problems problems;
    def_problems_init(&problems);
    enum err e = def_parse(r->row.text, DEF_AUTO, &r->def, &problems);
    if (e != ERR_OK) {
        log_error("stored definition does not parse", "revision=%" PRIu64 " problem=\"%s\"",
                  r->revision, problems.len > 0 ? problems.v[0].message : "");
    } else {
        r->size = (int64_t)(sizeof(*r) + r->arena.used + def_size(r->def));
        metric_add(&metric_cached_definitions_bytes, r->size);
    }
    def_problems_fini(&problems);
    r->at = loop_now(r->defs->loop);
    return e;
}

/* True when the read was made again. */
static bool read_again(struct defs *d, struct store_def_get *get, uint32_t *tries)
{
    enum err_class class = err_class(get->req.err);
    bool passing =
        class == ERRC_UNKNOWN || get->req.err == ERR_SERIALIZATION || get->req.err == ERR_LOCKED;
    if (!passing || ++*tries == READ_TRIES) {
        return false;
    }
    get->req = (struct store_req){.op = STORE_DEF_GET,
                                  .loop = d->loop,
                                  .done = get->req.done,
                                  .arena = get->req.arena};
    store_submit(d->store, &get->req);
    return true;
}

static void revision_done(struct store_req *req)
{
    struct store_def_get *get = CONTAINER_OF(req, struct store_def_get, req);
    struct revision *r = CONTAINER_OF(get, struct revision, req);
    struct defs *d = r->defs;
    if (read_again(d, get, &r->tries)) {
        return;
    }
    d->busy--;
    enum err e = req->err;
    if (e == ERR_OK) {
        r->row = get->row;
        e = revision_parse(r);
    }
    if (e == ERR_OK) {
        list_push_back(&d->lru, &r->lru);
        struct def *def = def_ref(r->def);
        answer(&r->waits, def, &r->row, ERR_OK);
        def_unref(def);
        trim(d);
        return;
    }
    struct list waits;
    list_init(&waits);
    struct list *it;
    while ((it = list_pop_front(&r->waits)) != NULL) {
        list_push_back(&waits, it);
    }
    revision_drop(d, r);
    answer(&waits, NULL, NULL, e);
}

static struct revision *revision_new(struct defs *d, uint64_t revision)
{
    struct revision *r = MEM_NEW(struct revision);
    r->defs = d;
    r->revision = revision;
    list_init(&r->waits);
    list_init(&r->lru);
    arena_init(&r->arena, 0);
    map_insert(&d->revisions, &r->node, hash_u64(revision));
    return r;
}

/* Found and not too old. Whoever uses an old one has a reference and is not disturbed. */
static struct revision *revision_fresh(struct defs *d, uint64_t revision)
{
    struct revision *r = revision_find(d, revision);
    if (r != NULL && r->def != NULL && loop_now(d->loop).us - r->at.us >= d->expire_us) {
        revision_drop(d, r);
        return NULL;
    }
    return r;
}

struct def *defs_find(struct defs *d, uint64_t revision)
{
    struct revision *r = revision_fresh(d, revision);
    if (r == NULL || r->def == NULL) {
        return NULL;
    }
    list_remove(&r->lru);
    list_push_back(&d->lru, &r->lru);
    return r->def;
}

void defs_get(struct defs *d, uint64_t revision, struct defs_wait *w)
{
    LOOP_OWNED(d->loop);
    struct revision *r = revision_fresh(d, revision);
    if (r != NULL && r->def != NULL) {
        (void)defs_find(d, revision);
        w->done(w, r->def, &r->row, ERR_OK);
        return;
    }
    if (r == NULL) {
        r = revision_new(d, revision);
        r->req = (struct store_def_get){.req = {.op = STORE_DEF_GET,
                                                .loop = d->loop,
                                                .done = revision_done,
                                                .arena = &r->arena},
                                        .revision = revision};
        d->busy++;
        list_push_back(&r->waits, &w->link);
        store_submit(d->store, &r->req.req);
        return;
    }
    list_push_back(&r->waits, &w->link);
}

/* ---- newest ---- */

struct newest_key {
    uint32_t tenant;
    struct str workflow;
};

static bool newest_eq(const struct map_node *n, const void *key)
{
    const struct newest *w = MAP_ENTRY(n, const struct newest, node);
    const struct newest_key *k = key;
    return w->tenant == k->tenant && str_eq(w->workflow, k->workflow);
}

static uint64_t newest_hash(uint32_t tenant, struct str workflow)
{
    return hash_bytes(workflow.p, workflow.size) ^ hash_u64(tenant);
}

static struct newest *newest_find(struct defs *d, uint32_t tenant, struct str workflow)
{
    struct newest_key k = {tenant, workflow};
    struct map_node *n = map_find(&d->newest, newest_hash(tenant, workflow), &k, newest_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct newest, node);
}

static void newest_drop(struct defs *d, struct newest *n)
{
    map_remove(&d->newest, &n->node);
    arena_fini(&n->arena);
    mem_free(n);
}

/* The look-up brought the text along: it becomes a cached revision without another read. */
static enum err newest_adopt(struct defs *d, struct newest *n, uint64_t *revision)
{
    const struct definition_row *row = &n->req.row;
    struct revision *r = revision_fresh(d, row->revision);
    *revision = row->revision;
    if (r != NULL && r->def != NULL) {
        r->row.deleted = row->deleted; /* all that may change of a revision */
        return ERR_OK;
    }
    if (r == NULL) {
        r = revision_new(d, row->revision);
        list_push_back(&d->lru, &r->lru);
    } else if (r->def == NULL) {
        return ERR_OK; /* being read: defs_get waits for it */
    }
    r->row = *row;
    r->row.workflow = str_dup(&r->arena, row->workflow);
    r->row.text = str_dup(&r->arena, row->text);
    r->row.digest = str_dup(&r->arena, row->digest);
    enum err e = revision_parse(r);
    if (e != ERR_OK) {
        revision_drop(d, r);
    }
    return e;
}

static void newest_done(struct store_req *req)
{
    struct store_def_get *get = CONTAINER_OF(req, struct store_def_get, req);
    struct newest *n = CONTAINER_OF(get, struct newest, req);
    struct defs *d = n->defs;
    if (read_again(d, get, &n->tries)) {
        return;
    }
    d->busy--;
    struct list waits;
    list_init(&waits);
    struct list *it;
    while ((it = list_pop_front(&n->waits)) != NULL) {
        list_push_back(&waits, it);
    }
    uint64_t revision = 0;
    enum err e = req->err != ERR_OK ? req->err : newest_adopt(d, n, &revision);
    if (e != ERR_OK || n->forgotten) {
        newest_drop(d, n);
    } else {
        n->revision = revision;
        n->at = loop_now(d->loop);
    }
    if (e != ERR_OK) {
        answer(&waits, NULL, NULL, e);
        return;
    }
    while ((it = list_pop_front(&waits)) != NULL) {
        defs_get(d, revision, LIST_ENTRY(it, struct defs_wait, link));
    }
    trim(d);
}

void defs_newest(struct defs *d, uint32_t tenant, struct str workflow, struct defs_wait *w)
{
    LOOP_OWNED(d->loop);
    struct newest *n = newest_find(d, tenant, workflow);
    if (n != NULL && n->revision != 0) {
        if (loop_now(d->loop).us - n->at.us < FRESH_US) {
            defs_get(d, n->revision, w);
            return;
        }
        newest_drop(d, n);
        n = NULL;
    }
    if (n != NULL && !n->forgotten) {
        list_push_back(&n->waits, &w->link);
        return;
    }
    n = MEM_NEW(struct newest);
    n->defs = d;
    n->tenant = tenant;
    arena_init(&n->arena, 0);
    list_init(&n->waits);
    n->workflow = str_dup(&n->arena, workflow);
    map_insert(&d->newest, &n->node, newest_hash(tenant, workflow));
    n->req = (struct store_def_get){
        .req = {.op = STORE_DEF_GET, .loop = d->loop, .done = newest_done, .arena = &n->arena},
        .tenant = tenant,
        .workflow = n->workflow};
    d->busy++;
    list_push_back(&n->waits, &w->link);
    store_submit(d->store, &n->req.req);
}

void defs_clear(struct defs *d)
{
    LOOP_OWNED(d->loop);
    while (!list_empty(&d->lru)) {
        revision_drop(d, LIST_ENTRY(d->lru.next, struct revision, lru));
    }
    LIST_FOREACH_SAFE(it, &d->newest.order)
    {
        struct newest *n = MAP_ORDER_ENTRY(it, struct newest, node);
        if (n->revision != 0) {
            newest_drop(d, n);
        } else {
            n->forgotten = true;
        }
    }
}

void defs_forget(struct defs *d, uint32_t tenant, struct str workflow)
{
    LOOP_OWNED(d->loop);
    struct newest *n = newest_find(d, tenant, workflow);
    if (n == NULL) {
        return;
    }
    if (n->revision != 0) {
        newest_drop(d, n);
    } else {
        n->forgotten = true;
    }
}

/* ---- life ---- */

struct defs *defs_new(struct loop *loop, struct store *store, uint32_t max, int64_t expire_us)
{
    PRE(max > 0 && expire_us > 0);
    struct defs *d = MEM_NEW(struct defs);
    d->loop = loop;
    d->store = store;
    d->max = max;
    d->expire_us = expire_us;
    map_init(&d->revisions);
    map_init(&d->newest);
    list_init(&d->lru);
    return d;
}

bool defs_idle(const struct defs *d)
{
    return d->busy == 0;
}

void defs_free(struct defs *d)
{
    if (d == NULL) {
        return;
    }
    PRE(defs_idle(d));
    LIST_FOREACH_SAFE(it, &d->revisions.order)
    {
        revision_drop(d, MAP_ORDER_ENTRY(it, struct revision, node));
    }
    LIST_FOREACH_SAFE(it, &d->newest.order)
    {
        newest_drop(d, MAP_ORDER_ENTRY(it, struct newest, node));
    }
    map_fini(&d->revisions);
    map_fini(&d->newest);
    mem_free(d);
}
