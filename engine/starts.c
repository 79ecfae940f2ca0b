/* Starts by name: see starts.h. */
#include "base/prelude.h"

#include "engine/starts.h"

#include "engine/engine_internal.h"

static bool start_eq(const struct map_node *n, const void *key)
{
    const struct start *a = MAP_ENTRY(n, const struct start, node), *b = key;
    return a->tenant == b->tenant && str_eq(a->workflow, b->workflow) && str_eq(a->name, b->name);
}

static uint64_t start_hash(const struct start *s)
{
    return hash_bytes(s->workflow.p, s->workflow.size) * 31 + hash_bytes(s->name.p, s->name.size) +
           s->tenant;
}

static void look_up(struct start *s);

/* The first start under the key has its answer: those that came meanwhile look it up. */
static void release(struct start *s)
{
    if (!s->first) {
        return;
    }
    s->first = false;
    map_remove(&s->front->starting, &s->node);
    struct list *l;
    while ((l = list_pop_front(&s->followers)) != NULL) {
        look_up(LIST_ENTRY(l, struct start, link));
    }
}

static void finish(struct start *s, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void finish(struct start *s, enum err e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(s->detail, sizeof(s->detail), fmt, args);
    va_end(args);
    s->err = e;
    s->done(s);
}

static void looked_up(struct store_req *r)
{
    struct start *s =
        CONTAINER_OF(CONTAINER_OF(r, struct store_start_lookup, req), struct start, lookup);
    const struct start_found *found = s->lookup.found;
    if (r->err != ERR_OK) {
        finish(s, r->err, "looking up the execution: %s", r->detail.text);
    } else if (!found->found) {
        finish(s, ERR_RETRY, "an earlier start of this name did not succeed; try again");
    } else if (found->digest != s->digest) {
        finish(s, ERR_EXISTS,
               "an execution of workflow \"%.*s\" named \"%.*s\" exists with another input",
               STR_ARG(s->workflow), STR_ARG(s->name));
    } else {
        s->exec = found->exec;
        finish(s, ERR_OK, "%s", "");
    }
}

static void look_up(struct start *s)
{
    struct front *f = s->front;
    s->key = (struct start_key){.tenant = s->tenant, .workflow = s->workflow, .name = s->name};
    s->lookup = (struct store_start_lookup){
        .req = {.op = STORE_START_LOOKUP, .loop = f->loop, .done = looked_up, .arena = s->arena},
        .keys = &s->key,
        .keys_len = 1};
    store_submit(f->store, &s->lookup.req);
}

static void item_done(struct item *it)
{
    struct start *s = it->owner;
    enum err e = it->err;
    s->exec = it->exec;
    (void)snprintf(s->detail, sizeof(s->detail), "%.*s", STR_ARG(it->detail));
    item_fini(it);
    release(s);
    if (e == ERR_EXISTS) {
        look_up(s);
        return;
    }
    if (e == ERR_OK) {
        s->created = true;
        s->started_at = s->what.ident.started_at;
        fault_hit(s->front->faults, FAULT_START_AFTER_COMMIT);
    }
    s->err = e;
    s->done(s);
}

static void begin(struct start *s, struct def *def, uint64_t revision)
{
    struct front *f = s->front;
    struct wall now = storeclock_earliest(&f->clock, loop_now(f->loop));
    uint16_t slot = slot_of(s->tenant, s->workflow, s->name);
    s->what = (struct item_start){.ident = {.id = exec_id_make(f->lanes.shard, slot, s->tenant, now,
                                                               &f->rng),
                                            .workflow = s->workflow,
                                            .name = s->name,
                                            .started_at = now,
                                            .def_revision = revision},
                                  .def = def_ref(def),
                                  .tenant = s->tenant,
                                  .digest = s->digest};
    item_init(&s->item, ITEM_START, &s->what.ident.id, item_done, s);
    s->item.start = &s->what;
    s->item.life = s->life != 0 ? s->life : f->lives;
    s->item.fact = (struct fact){.type = FACT_START,
                                 .payload = s->input,
                                 .parent = s->parent,
                                 .parent_waits = s->parent_waits};
    fault_hit(f->faults, FAULT_START_BEFORE_COMMIT);
    shard_submit(front_shard(f, &s->item.exec), &s->item);
}

static void defined(struct defs_wait *w, struct def *def, const struct definition_row *row,
                    enum err e)
{
    struct start *s = CONTAINER_OF(w, struct start, wait);
    if (def == NULL && e != ERR_NO_WORKFLOW) {
        release(s);
        finish(s, e, "reading the definition of \"%.*s\": %s", STR_ARG(s->workflow), err_text(e));
    } else if (def == NULL || row->deleted) {
        release(s);
        finish(s, ERR_NO_WORKFLOW, "no workflow named \"%.*s\"; put its definition first",
               STR_ARG(s->workflow));
    } else if (!s->front->clock.set) {
        release(s);
        finish(s, ERR_RETRY, "the store's clock is not known yet");
    } else {
        begin(s, def, row->revision);
    }
}

void start_run(struct front *f, struct start *s)
{
    s->front = f;
    list_init(&s->link);
    list_init(&s->followers);
    s->digest = hash_bytes(s->input.p, s->input.size);
    struct map_node *n = map_find(&f->starting, start_hash(s), s, start_eq);
    if (n != NULL) {
        list_push_back(&MAP_ENTRY(n, struct start, node)->followers, &s->link);
        return;
    }
    s->first = true;
    map_insert(&f->starting, &s->node, start_hash(s));
    s->wait.done = defined;
    defs_newest(f->defs, s->tenant, s->workflow, &s->wait);
}
