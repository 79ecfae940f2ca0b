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

enum { LOOPS_MAX = ENGINE_SHARDS_MAX + 2 };

struct node {
    struct node_config c;
    struct node_ports p;
    struct node_events *events;
    struct loop *loops[LOOPS_MAX];
    uint32_t loops_len;
    struct engine *engine;
    struct arena texts;
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
                              .requests_max = 20000};
}

static void on_incarnation(void *arg, const struct uuid *incarnation)
{
    struct node *n = arg;
    if (n->p.incarnation != NULL) {
        n->p.incarnation(n->p.incarnation_arg, incarnation);
    }
}

static void on_started(void *arg, enum err e, struct str address, const struct err_detail *d)
{
    struct node *n = arg;
    n->events->started(n->events, e, address, str_of(d->text));
}

static void on_state(void *arg, enum owner_state s)
{
    struct node *n = arg;
    n->events->state(n->events, s);
}

static void on_stopped(void *arg)
{
    struct node *n = arg;
    n->events->stopped(n->events);
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
    engine_start(n->engine);
    return n;
}

void node_stop(struct node *n)
{
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
    arena_fini(&n->texts);
    mem_free(n);
}
