/* The connection of a simulated client or worker: dials, says hello, sends one message a frame, finds the
 * request of each answer, and gives up on answers that do not come. */
#include "base/prelude.h"

#include "tests/sim/run.h"

#include "base/assert.h"

enum { TICK_US = 20 * US_PER_MS, GIVE_UP_US = 20 * US_PER_S };

static void request_end(struct actor *a, struct actor_request *r, const struct msg *m)
{
    list_remove(&r->link);
    r->answered(a, r, m);
    mem_free(r->tokens);
    mem_free(r);
}

static void requests_lose(struct actor *a)
{
    while (!list_empty(&a->requests)) {
        request_end(a, LIST_ENTRY(a->requests.next, struct actor_request, link), NULL);
    }
}

static void say(struct actor *a, const char *what, const struct msg *m)
{
    if (a->run->world->tracing) {
        struct buf b;
        buf_init(&b, 0);
        msg_format(&b, m);
        world_say(a->run->world, "%s %.*s", what, STR_ARG(buf_str(&b)));
        buf_fini(&b);
    }
}

static enum err frame_send(struct actor *a, const struct msg *m)
{
    struct buf b;
    struct msg_writer w;
    struct err_detail d = {0};
    buf_init(&b, 0);
    msg_writer_begin(&w, &b);
    enum err e = msg_writer_add(&w, m, &d);
    ASSERT(e == ERR_OK);
    msg_writer_end(&w);
    e = a->dialer->ops->send(a->dialer, m->corr, buf_str(&b));
    buf_fini(&b);
    return e;
}

struct actor_request *actor_send(struct actor *a, struct msg *m,
                                 void (*answered)(struct actor *, struct actor_request *,
                                                  const struct msg *))
{
    m->corr = ++a->next_corr;
    say(a, "asks", m);
    if (frame_send(a, m) != ERR_OK) {
        return NULL;
    }
    struct actor_request *r = MEM_NEW(struct actor_request);
    r->corr = m->corr;
    r->sent_us = a->run->world->now_us;
    r->answered = answered;
    list_push_back(&a->requests, &r->link);
    return r;
}

uint32_t actor_requests(const struct actor *a)
{
    uint32_t n = 0;
    LIST_FOREACH(it, &a->requests)
    {
        n++;
    }
    return n;
}

static struct actor *of(struct net_dial_handler *h)
{
    return CONTAINER_OF(h, struct actor, handler);
}

static void hello_answered(struct actor *a, struct actor_request *r, const struct msg *m)
{
    (void)r;
    a->greeted = m != NULL && m->type == MSG_HELLO_OK;
    if (!a->greeted) { /* the node could not; again, as any client does */
        a->hello_at_us = a->run->world->now_us + 500 * US_PER_MS;
    }
}

static void hello_send(struct actor *a)
{
    struct msg m = {.type = MSG_HELLO};
    struct task_token held[HELD_MAX];
    m.u.hello.protocol = MSG_PROTOCOL;
    m.u.hello.tenant = tenant_name(a->tenant);
    m.u.hello.name = str_of(a->host->name);
    m.u.hello.instance = a->instance;
    m.u.hello.held = held;
    if (a->hello != NULL) {
        a->hello(a, &m);
    }
    a->hello_at_us = INT64_MAX; /* until it is answered */
    (void)actor_send(a, &m, hello_answered);
}

static void actor_up(struct net_dial_handler *h)
{
    struct mem_region *region = world_outside();
    of(h)->up = true;
    if (!of(h)->hangs) {
        hello_send(of(h));
    }
    world_inside(region);
}

static void actor_down(struct net_dial_handler *h)
{
    struct mem_region *region = world_outside();
    of(h)->up = of(h)->greeted = false;
    requests_lose(of(h));
    world_inside(region);
}

static void actor_got(struct actor *a, const struct msg *m)
{
    if (a->hangs) {
        return;
    }
    say(a, "told", m);
    LIST_FOREACH(it, &a->requests)
    {
        struct actor_request *r = LIST_ENTRY(it, struct actor_request, link);
        if (r->corr == m->corr) {
            request_end(a, r, m);
            return;
        }
    }
}

static void actor_reply(struct net_dial_handler *h, uint64_t id, struct str body)
{
    struct mem_region *region = world_outside();
    struct actor *a = of(h);
    struct arena arena;
    struct msg_reader reader;
    struct msg m;
    enum err e;
    struct err_detail d = {0};
    arena_init(&arena, 0);
    if (msg_reader_begin(&reader, body, &arena, &d) != ERR_OK) {
        run_violation(a->run, 0, "an answer to request %" PRIu64 " cannot be read: %s", id, d.text);
    } else {
        while (msg_reader_next(&reader, &m, &e, &d)) {
            if (e != ERR_OK) {
                run_violation(a->run, 0, "a message cannot be read: %s", d.text);
                break;
            }
            actor_got(a, &m);
        }
    }
    arena_fini(&arena);
    world_inside(region);
}

static void actor_ticked(struct loop_timer *t)
{
    struct mem_region *region = world_outside();
    struct actor *a = CONTAINER_OF(t, struct actor, tick);
    LIST_FOREACH_SAFE(it, &a->requests)
    {
        struct actor_request *r = LIST_ENTRY(it, struct actor_request, link);
        if (!r->patient && r->sent_us + GIVE_UP_US < a->run->world->now_us) {
            request_end(a, r, NULL);
        }
    }
    if (a->hangs) {
        /* until its host is started anew */
    } else if (a->greeted) {
        a->ticked(a);
    } else if (a->up && a->hello_at_us <= a->run->world->now_us) {
        hello_send(a);
    }
    loop_timer_after(a->loop, &a->tick, rng_between(&a->rng, TICK_US / 2, 2 * TICK_US));
    world_inside(region);
}

/* The timer must be started on the loop. */
struct first_tick {
    struct loop_task task;
    struct actor *actor;
};

static void first_tick(struct loop_task *t)
{
    struct first_tick *f = CONTAINER_OF(t, struct first_tick, task);
    loop_timer_after(f->actor->loop, &f->actor->tick, TICK_US);
    mem_free(f);
}

static void actor_boot(struct host *h)
{
    struct actor *a = h->user;
    struct err_detail d = {0};
    a->instance = rng_u64(&a->rng);
    a->hangs = false;
    a->tick = (struct loop_timer){.fired = actor_ticked, .name = "tick"};
    a->loop = sim_loop_new(h, "main");
    enum err e = a->run->net->base.ops->dial(&a->run->net->base, a->loop, a->run->swarm.node.listen,
                                             &a->handler, &a->dialer, &d);
    ASSERT(e == ERR_OK);
    struct first_tick *f = MEM_NEW(struct first_tick);
    f->task.run = first_tick;
    f->actor = a;
    loop_post(a->loop, &f->task);
}

static void actor_gone(struct host *h)
{
    struct actor *a = h->user;
    a->up = a->greeted = false;
    a->dialer = NULL;
    requests_lose(a);
}

static void actor_first(struct event *e)
{
    host_boot(CONTAINER_OF(e, struct actor, first)->host);
}

void actor_init(struct actor *a, struct run *r, const char *name, uint32_t number)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%s-%" PRIu32, name, number);
    a->run = r;
    a->number = number;
    a->tenant = number % r->swarm.tenants;
    list_init(&a->requests);
    rng_fork(&r->rng, &a->rng);
    a->handler =
        (struct net_dial_handler){.up = actor_up, .down = actor_down, .reply = actor_reply};
    a->host = host_new(r->world, text);
    a->host->user = a;
    a->host->boot = actor_boot;
    a->host->gone = actor_gone;
    a->first = (struct event){.run = actor_first, .name = "first"};
    world_after(r->world, &a->first, r->swarm.tenant_at_us[a->tenant]);
}
