/* The composition root: see node.h. */
#include "base/prelude.h"

#include "cmd/node.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

LOG_MODULE("node");

#ifndef CARILLON_VERSION
#define CARILLON_VERSION "0.1.0"
#endif

enum { LOOPS_MAX = ENGINE_SHARDS_MAX + 3 };

struct node {
    struct node_config c;
    struct node_ports p;
    struct node_events *events;
    struct loop *loops[LOOPS_MAX];
    uint32_t loops_len;
    struct engine *engine;
    struct admin *admin; /* NULL: no admin port */
    struct arena texts;
    enum err failed; /* why the node does not start */
    struct err_detail detail;
};

const char *carillon_version_text(void)
{
    return CARILLON_VERSION;
}

void node_config_defaults(struct node_config *c)
{
    *c = (struct node_config){.node_id = STR("node-1"),
                              .listen = STR("tcp://127.0.0.1:7070"),
                              .heartbeat_us = 5 * US_PER_S,
                              .window_us = US_PER_HOUR,
                              .ring_windows = 12,
                              .promote_us = 60 * US_PER_S,
                              .timers_chunk = 1000,
                              .turn_loops = 0,
                              .cache_bytes = 16u << 20,
                              .definitions = 1000,
                              .definition_us = US_PER_HOUR,
                              .batches = 2,
                              .batch_min = 64,
                              .requests_max = 20000,
                              .admin = STR("127.0.0.1:8080"),
                              .admin_taken = ADMIN_TAKEN_OFF,
                              .admin_queue = 100};
}

static void on_incarnation(void *arg, const struct uuid *incarnation)
{
    struct node *n = arg;
    if (n->p.incarnation != NULL) {
        n->p.incarnation(n->p.incarnation_arg, incarnation);
    }
}

static void on_given_up(void *arg)
{
    struct node *n = arg;
    n->events->started(n->events, n->failed, STR_NONE, str_of(n->detail.text));
}

/* The engine has ended; the admin port follows, then the reason is told. */
static void on_engine_given_up(void *arg)
{
    struct node *n = arg;
    if (n->admin != NULL) {
        admin_stop(n->admin, on_given_up, n);
    } else {
        on_given_up(n);
    }
}

static void on_started(void *arg, enum err e, struct str address, const struct err_detail *d)
{
    struct node *n = arg;
    if (e != ERR_OK) {
        n->failed = e;
        n->detail = *d;
        err_wrap(&n->detail, "%.*s", STR_ARG(n->c.listen));
        on_engine_given_up(n);
        return;
    }
    n->events->started(n->events, e, address, str_of(d->text));
}

static void on_state(void *arg, enum owner_state s)
{
    struct node *n = arg;
    if (n->admin != NULL) {
        admin_state(n->admin, s);
    }
    n->events->state(n->events, s);
}

static void on_closed(void *arg)
{
    struct node *n = arg;
    n->events->stopped(n->events);
}

/* The admin port stays open while the engine drains: health tells of it. */
static void on_stopped(void *arg)
{
    struct node *n = arg;
    if (n->admin != NULL) {
        admin_stop(n->admin, on_closed, n);
    } else {
        on_closed(n);
    }
}

/* The admin port opens first, so that health can tell of the start. */
static void on_admin(void *arg, enum err e, struct str address, const struct err_detail *d)
{
    struct node *n = arg;
    if (e != ERR_OK) {
        n->failed = e;
        (void)err_set(&n->detail, e, "admin port %s", d->text);
        engine_stop(n->engine, on_engine_given_up, n);
        return;
    }
    if (address.size > 0 && n->events->admin != NULL) {
        n->events->admin(n->events, address);
    }
    engine_start(n->engine);
}

static struct loop *loop_make(struct node *n, const char *name)
{
    ASSERT(n->loops_len < LOOPS_MAX);
    struct loop *l = n->p.loops->make(n->p.loops, name);
    n->loops[n->loops_len++] = l;
    return l;
}

static void engine_make(struct node *n)
{
    struct engine_config ec = {.store = n->p.store,
                               .coord = n->p.coord,
                               .transport = n->p.transport,
                               .faults = n->p.faults,
                               .seed = n->p.seed,
                               .shard = n->c.shard,
                               .node = n->c.node_id,
                               .listen = n->c.listen,
                               .version = str_of(CARILLON_VERSION),
                               .heartbeat_us = n->c.heartbeat_us,
                               .window_us = n->c.window_us,
                               .promote_us = n->c.promote_us,
                               .ring_windows = n->c.ring_windows,
                               .timers_chunk = n->c.timers_chunk,
                               .cache_bytes = n->c.cache_bytes,
                               .definitions = n->c.definitions,
                               .definition_us = n->c.definition_us,
                               .batches = n->c.batches,
                               .batch_min = n->c.batch_min,
                               .requests_max = n->c.requests_max,
                               .tasks_max = n->c.tasks_max,
                               .incarnation = on_incarnation,
                               .started = on_started,
                               .state = on_state,
                               .arg = n};
    ec.front = loop_make(n, "front");
    if (n->c.turn_loops == 0) {
        ec.control = ec.front;
        ec.turns[0] = ec.front;
        ec.turns_len = 1;
    } else {
        static const char *const names[] = {"turns-0", "turns-1", "turns-2", "turns-3"};
        ec.control = loop_make(n, "control");
        ec.turns_len = MIN(n->c.turn_loops, (uint32_t)ENGINE_SHARDS_MAX);
        for (uint32_t i = 0; i < ec.turns_len; i++) {
            ec.turns[i] = loop_make(n, i < ARRAY_LEN(names) ? names[i] : "turns");
        }
    }
    n->engine = engine_new(&ec);
}

static void admin_make(struct node *n)
{
    struct admin_config ac = {.http = n->p.http,
                              .engine = n->engine,
                              .seed = n->p.seed,
                              .listen = n->c.admin,
                              .taken = n->c.admin_taken,
                              .queue_max = n->c.admin_queue,
                              .version = str_of(CARILLON_VERSION),
                              .database = n->c.database,
                              .replicated = n->c.replicated,
                              .process = n->p.process,
                              .started = on_admin,
                              .arg = n};
    for (uint32_t i = 0; i < n->loops_len; i++) {
        ac.watched[ac.watched_len++] = n->loops[i];
    }
    if (n->p.store_loop != NULL) {
        ac.watched[ac.watched_len++] = n->p.store_loop;
    }
    ac.loop = loop_make(n, "admin");
    n->admin = admin_new(&ac);
}

struct node *node_start(const struct node_config *config, const struct node_ports *ports,
                        struct node_events *events)
{
    struct node *n = MEM_NEW(struct node);
    n->c = *config;
    n->p = *ports;
    n->events = events;
    arena_init(&n->texts, 0);
    n->c.node_id = str_dup(&n->texts, config->node_id);
    n->c.listen = str_dup(&n->texts, config->listen);
    engine_make(n);
    if (n->p.http != NULL && n->c.admin.size > 0) {
        admin_make(n);
        admin_start(n->admin);
    } else {
        engine_start(n->engine);
    }
    return n;
}

void node_stop(struct node *n)
{
    if (n->admin != NULL) {
        admin_drain(n->admin);
    }
    engine_stop(n->engine, on_stopped, n);
}

void node_free(struct node *n)
{
    if (n == NULL) {
        return;
    }
    engine_free(n->engine);
    for (uint32_t i = 0; i < n->loops_len; i++) {
        loop_free(n->loops[i]);
    }
    admin_free(n->admin);
    arena_fini(&n->texts);
    mem_free(n);
}
