/* The loop port on virtual time. Tasks of one posting loop run in order; between posting loops, timers
 * and deliveries a seeded draw decides. Each callback is one step of the world. */
#include "base/prelude.h"

#include "tests/sim/world.h"

#include "base/assert.h"

enum { POST_DELAY_US = 20, TURN_GAP_US = 15 };

struct loop_source {
    struct loop_task *first, *last;
};

struct sim_timer {
    struct event event;
    struct loop_timer *user; /* in the host's memory */
    struct list link;
};

static struct sim_loop *loop_checked(struct loop *base)
{
    struct sim_loop *l = sim_loop_of(base);
    ASSERT(l->host->world->running == l->host || l->host->world->running == NULL);
    return l;
}

static void turn_schedule(struct sim_loop *l, int64_t spread_us)
{
    struct world *w = l->host->world;
    if (l->waiting > 0 && l->turn.pos == 0) {
        world_after(w, &l->turn, 1 + (int64_t)rng_below(&w->rng, (uint64_t)spread_us));
    }
}

static struct loop_source *source_of(struct sim_loop *l, uint32_t number)
{
    if (number >= l->sources_len) {
        uint32_t len = number + 4;
        l->sources = mem_realloc(l->sources, sizeof(*l->sources) * len);
        for (uint32_t i = l->sources_len; i < len; i++) {
            l->sources[i] = (struct loop_source){0};
        }
        l->sources_len = len;
    }
    return &l->sources[number];
}

static void loop_sim_post(struct loop *base, struct loop_task *t)
{
    struct sim_loop *l = loop_checked(base);
    struct world *w = l->host->world;
    if (!host_acts(l->host)) {
        return;
    }
    ASSERT(t->posted == 0);
    struct mem_region *r = world_outside();
    struct loop_source *s = source_of(l, w->loop != NULL ? w->loop->number : 0);
    t->posted = 1;
    t->next = NULL;
    if (s->last != NULL) {
        s->last->next = t;
    } else {
        s->first = t;
    }
    s->last = t;
    l->waiting++;
    turn_schedule(l, POST_DELAY_US);
    world_inside(r);
}

/* Takes the first task of a drawn source. */
static struct loop_task *task_take(struct sim_loop *l)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < l->sources_len; i++) {
        ready += l->sources[i].first != NULL;
    }
    uint64_t pick = ready > 1 ? rng_below(&l->host->world->rng, ready) : 0;
    for (uint32_t i = 0; i < l->sources_len; i++) {
        struct loop_source *s = &l->sources[i];
        if (s->first == NULL || pick-- > 0) {
            continue;
        }
        struct loop_task *t = s->first;
        s->first = t->next;
        if (s->first == NULL) {
            s->last = NULL;
        }
        l->waiting--;
        t->posted = 0;
        t->next = NULL;
        return t;
    }
    return NULL;
}

static void loop_turn(struct event *e)
{
    struct sim_loop *l = CONTAINER_OF(e, struct sim_loop, turn);
    struct loop_task *t = task_take(l);
    struct mem_region *r = world_outside();
    turn_schedule(l, TURN_GAP_US);
    world_inside(r);
    if (t != NULL) {
        l->runs++;
        t->run(t);
    }
}

static void timer_free(struct sim_loop *l, struct sim_timer *st)
{
    world_cancel(l->host->world, &st->event);
    list_remove(&st->link);
    mem_free(st);
}

static void timer_fired(struct event *e)
{
    struct sim_timer *st = CONTAINER_OF(e, struct sim_timer, event);
    struct loop_timer *t = st->user;
    t->armed = false;
    t->impl[0] = NULL;
    timer_free(e->loop, st);
    t->fired(t);
}

static void loop_sim_timer_start(struct loop *base, struct loop_timer *t, struct mono due)
{
    struct sim_loop *l = loop_checked(base);
    struct world *w = l->host->world;
    if (!host_acts(l->host)) {
        return;
    }
    ASSERT(w->loop == l);
    struct mem_region *r = world_outside();
    struct sim_timer *st = t->armed ? t->impl[0] : NULL;
    if (st == NULL) {
        st = MEM_NEW(struct sim_timer);
        st->event = (struct event){.run = timer_fired, .loop = l, .name = "timer"};
        st->user = t;
        list_push_back(&l->timers, &st->link);
        t->impl[0] = st;
        t->armed = true;
    }
    int64_t at = MAX(host_mono_due(&l->host->clock, due), w->now_us + 1);
    world_at(w, &st->event, at);
    world_inside(r);
}

static void loop_sim_timer_stop(struct loop *base, struct loop_timer *t)
{
    struct sim_loop *l = loop_checked(base);
    if (!host_acts(l->host)) {
        return;
    }
    ASSERT(l->host->world->loop == l);
    timer_free(l, t->impl[0]);
    t->impl[0] = NULL;
    t->armed = false;
}

NORETURN static void loop_sim_no_fd(struct loop *base, struct loop_fd *watch, int events)
{
    (void)base;
    (void)watch;
    (void)events;
    fprintf(stderr, "sim: code of a simulated node watches a descriptor\n");
    abort();
}

NORETURN static void loop_sim_no_fd_stop(struct loop *base, struct loop_fd *watch)
{
    loop_sim_no_fd(base, watch, 0);
}

static bool loop_sim_owned(struct loop *base)
{
    struct sim_loop *l = sim_loop_of(base);
    return l->host->world->loop == l;
}

/* The main thread waits here for the loop's thread: what was posted runs first. */
static void loop_sim_free(struct loop *base)
{
    struct sim_loop *l = loop_checked(base);
    struct world *w = l->host->world;
    struct sim_loop *before = w->loop;
    ASSERT(before != l);
    struct loop_task *t;
    while (host_acts(l->host) && (t = task_take(l)) != NULL) {
        w->loop = l;
        t->run(t);
        w->loop = before;
    }
    ASSERT(!host_acts(l->host) || list_empty(&l->timers));
    if (host_acts(l->host)) {
        sim_loop_drop(l);
    }
}

static const struct loop_ops loop_sim_ops = {
    .post = loop_sim_post,
    .timer_start = loop_sim_timer_start,
    .timer_stop = loop_sim_timer_stop,
    .fd_start = loop_sim_no_fd,
    .fd_stop = loop_sim_no_fd_stop,
    .owned = loop_sim_owned,
    .free = loop_sim_free,
};

struct loop *sim_loop_new(struct host *h, const char *name)
{
    struct mem_region *r = world_outside();
    struct sim_loop *l = MEM_NEW(struct sim_loop);
    l->base = (struct loop){.ops = &loop_sim_ops, .clock = &h->clock.base, .name = name};
    l->host = h;
    l->number = ++h->loops_made;
    l->turn = (struct event){.run = loop_turn, .loop = l, .name = "turn"};
    list_init(&l->timers);
    list_push_back(&h->loops, &l->link);
    world_inside(r);
    return &l->base;
}

void sim_loop_drop(struct sim_loop *l)
{
    LIST_FOREACH_SAFE(it, &l->timers)
    {
        timer_free(l, LIST_ENTRY(it, struct sim_timer, link));
    }
    world_cancel(l->host->world, &l->turn);
    list_remove(&l->link);
    mem_free(l->sources);
    mem_free(l);
}
