/* The queue of events, hosts and the trace. */
#include "base/prelude.h"

#include "tests/sim/world.h"

#include "base/assert.h"
#include "base/trace.h"

enum { LINES_KEPT = 400, LINE_SIZE = 240 };
/* Everything starts at some minute of this day: windows begin at drawn places. */
#define WALL_BASE_US (INT64_C(1795420800) * US_PER_S)

static uint64_t mix(uint64_t hash, uint64_t v)
{
    hash ^= v;
    hash *= UINT64_C(0x9fb21c651e98df25);
    return hash ^ (hash >> 29);
}

static void hash_text(struct world *w, const char *s)
{
    for (; s != NULL && *s != '\0'; s++) {
        w->hash = (w->hash ^ (uint8_t)*s) * UINT64_C(0x100000001b3);
    }
}

/* ---- trace ---- */

void world_note(struct world *w, const char *what, uint64_t a, uint64_t b)
{
    hash_text(w, what);
    w->hash = mix(mix(w->hash, a), b);
    world_say(w, "%s %" PRIu64 " %" PRIu64, what, a, b);
}

static void world_tapped(void *arg, const char *what, uint64_t a, uint64_t b)
{
    world_note(arg, what, a, b);
}

void world_say_(struct world *w, const char *fmt, ...)
{
    struct mem_region *r = world_outside();
    if (w->lines == NULL) {
        w->lines = MEM_ARRAY(char *, LINES_KEPT);
    }
    char **line = &w->lines[w->lines_next++ % LINES_KEPT];
    if (*line == NULL) {
        *line = mem_alloc(LINE_SIZE);
    }
    int n =
        snprintf(*line, LINE_SIZE, "%4" PRId64 ".%06" PRId64 " %-10s %-8s ", w->now_us / US_PER_S,
                 w->now_us % US_PER_S, w->running != NULL ? w->running->name : "-",
                 w->loop != NULL ? w->loop->base.name : "-");
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(*line + n, (size_t)(LINE_SIZE - n), fmt, ap);
    va_end(ap);
    if (w->trace_print) {
        printf("%s\n", *line);
    }
    world_inside(r);
}

void world_print_lines(const struct world *w, FILE *out)
{
    size_t from = w->lines_next > LINES_KEPT ? w->lines_next - LINES_KEPT : 0;
    for (size_t i = from; w->lines != NULL && i < w->lines_next; i++) {
        fprintf(out, "%s\n", w->lines[i % LINES_KEPT]);
    }
}

/* ---- the queue ---- */

static bool event_before(const struct event *a, const struct event *b)
{
    if (a->due != b->due) {
        return a->due < b->due;
    }
    return a->draw != b->draw ? a->draw < b->draw : a->order < b->order;
}

static void queue_put(struct world *w, size_t pos, struct event *e)
{
    w->queue[pos] = e;
    e->pos = pos + 1;
}

static void sift_up(struct world *w, size_t pos, struct event *e)
{
    while (pos > 0 && event_before(e, w->queue[(pos - 1) / 2])) {
        queue_put(w, pos, w->queue[(pos - 1) / 2]);
        pos = (pos - 1) / 2;
    }
    queue_put(w, pos, e);
}

static void sift_down(struct world *w, size_t pos, struct event *e)
{
    for (;;) {
        size_t child = 2 * pos + 1;
        if (child + 1 < w->queue_len && event_before(w->queue[child + 1], w->queue[child])) {
            child++;
        }
        if (child >= w->queue_len || !event_before(w->queue[child], e)) {
            break;
        }
        queue_put(w, pos, w->queue[child]);
        pos = child;
    }
    queue_put(w, pos, e);
}

void world_cancel(struct world *w, struct event *e)
{
    if (e->pos == 0) {
        return;
    }
    size_t pos = e->pos - 1;
    e->pos = 0;
    struct event *last = w->queue[--w->queue_len];
    if (last == e) {
        return;
    }
    if (pos > 0 && event_before(last, w->queue[(pos - 1) / 2])) {
        sift_up(w, pos, last);
    } else {
        sift_down(w, pos, last);
    }
}

void world_at(struct world *w, struct event *e, int64_t due_us)
{
    world_cancel(w, e);
    struct mem_region *r = world_outside();
    if (w->queue_len == w->queue_room) {
        w->queue_room = MAX((size_t)256, 2 * w->queue_room);
        w->queue = mem_realloc(w->queue, sizeof(*w->queue) * w->queue_room);
    }
    world_inside(r);
    e->due = MAX(due_us, w->now_us);
    e->draw = rng_u64(&w->rng);
    e->order = w->next_order++;
    w->queue_len++;
    sift_up(w, w->queue_len - 1, e);
}

/* ---- hosts ---- */

static void host_drop(struct host *h)
{
    struct world *w = h->world;
    world_note(w, "gone", h->index, h->lives);
    h->up = false;
    LIST_FOREACH(it, &w->modules)
    {
        struct world_module *m = LIST_ENTRY(it, struct world_module, link);
        m->host_gone(m, h);
    }
    while (!list_empty(&h->loops)) {
        sim_loop_drop(LIST_ENTRY(h->loops.next, struct sim_loop, link));
    }
    if (h->gone != NULL) {
        h->gone(h);
    }
    mem_region_drop(&h->region);
    h->dying = false;
    h->paused_until = 0;
    h->loops_made = 0;
}

static void host_leave(struct world *w, struct host *h)
{
    w->running = NULL;
    w->loop = NULL;
    (void)mem_set_region(NULL);
    if (h != NULL && h->dying) {
        host_drop(h);
    }
}

static void host_enter(struct host *h, struct sim_loop *l)
{
    struct world *w = h->world;
    ASSERT(w->running == NULL && h->up && !h->dying);
    w->running = h;
    w->loop = l;
    (void)mem_set_region(&h->region);
}

bool host_acts(const struct host *h)
{
    return h->up && !h->dying;
}

void host_run(struct host *h, void (*fn)(struct host *h))
{
    host_enter(h, NULL);
    fn(h);
    host_leave(h->world, h);
}

static struct loop *host_make_loop(struct loop_factory *f, const char *name)
{
    return sim_loop_new(CONTAINER_OF(f, struct host, factory), name);
}

static void host_restarts(struct event *e)
{
    struct host *h = CONTAINER_OF(e, struct host, restart);
    if (h->up) {
        return;
    }
    h->up = true;
    h->lives++;
    world_note(h->world, "boot", h->index, h->lives);
    host_run(h, h->boot);
}

struct host *host_new(struct world *w, const char *name)
{
    struct mem_region *r = world_outside();
    struct host *h = MEM_NEW(struct host);
    h->world = w;
    h->index = w->hosts_made++;
    snprintf(h->name, sizeof(h->name), "%s", name);
    list_init(&h->loops);
    h->factory.make = host_make_loop;
    h->restart = (struct event){.run = host_restarts, .name = "restart"};
    host_clock_init(&h->clock, h);
    list_push_back(&w->hosts, &h->link);
    world_inside(r);
    return h;
}

void host_boot(struct host *h)
{
    world_after(h->world, &h->restart, 0);
}

void host_crash(struct host *h)
{
    if (!h->up) {
        return;
    }
    h->dying = true;
    if (h->world->running != h) {
        ASSERT(h->world->running == NULL);
        host_drop(h);
    }
}

void host_crash_and_restart(struct host *h, int64_t after_us)
{
    host_crash(h);
    world_after(h->world, &h->restart, after_us);
}

void host_pause(struct host *h, int64_t us)
{
    if (h->up) {
        world_note(h->world, "pause", h->index, (uint64_t)us);
        h->paused_until = h->world->now_us + us;
    }
}

void host_step_clock(struct host *h, int64_t us)
{
    world_note(h->world, "clock step", h->index, (uint64_t)us);
    h->clock.wall_offset_us += us;
}

/* ---- running ---- */

static void event_run(struct world *w, struct event *e)
{
    struct sim_loop *l = e->loop;
    w->steps++;
    if (l == NULL) {
        e->run(e);
        return;
    }
    struct host *h = l->host;
    w->hash = mix(mix(w->hash, (uint64_t)w->now_us), ((uint64_t)h->index << 32) | l->number);
    host_enter(h, l);
    e->run(e);
    host_leave(w, h);
}

bool world_step(struct world *w, int64_t until_us)
{
    if (w->queue_len == 0 || w->queue[0]->due > until_us || w->failed) {
        return false;
    }
    struct event *e = w->queue[0];
    world_cancel(w, e);
    w->now_us = e->due;
    if (e->loop != NULL && e->loop->host->paused_until > w->now_us) {
        world_at(w, e, e->loop->host->paused_until);
        return true;
    }
    event_run(w, e);
    if (w->after_step != NULL) {
        w->after_step(w);
    }
    return true;
}

void world_run(struct world *w, int64_t until_us)
{
    while (world_step(w, until_us)) {
    }
    if (!w->failed) {
        w->now_us = MAX(w->now_us, until_us);
    }
}

struct world *world_new(uint64_t seed, bool tracing, bool print)
{
    struct world *w = MEM_NEW(struct world);
    w->seed = seed;
    rng_seed(&w->rng, seed);
    w->wall_base_us = WALL_BASE_US + rng_between(&w->rng, 0, 3600 * (int64_t)US_PER_S);
    w->tracing = tracing;
    w->trace_print = print;
    list_init(&w->hosts);
    list_init(&w->modules);
    trace_tap(world_tapped, w);
    return w;
}

void world_free(struct world *w)
{
    if (w == NULL) {
        return;
    }
    trace_tap(NULL, NULL);
    LIST_FOREACH_SAFE(it, &w->hosts)
    {
        struct host *h = LIST_ENTRY(it, struct host, link);
        host_crash(h);
        world_cancel(w, &h->restart);
        list_remove(&h->link);
        mem_free(h);
    }
    for (size_t i = 0; w->lines != NULL && i < LINES_KEPT; i++) {
        mem_free(w->lines[i]);
    }
    mem_free(w->lines);
    mem_free(w->queue);
    mem_free(w);
}
