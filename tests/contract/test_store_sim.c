/* The simulator's store keeps the contract of storage/store.h (store_suite.c). */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/contract/store_suite.h"
#include "tests/sim/sim_store.h"

struct sim_world {
    struct store_world base;
    struct world *world;
    struct host *host;
    struct sim_store *store;
    void (*fn)(void *arg);
    void *arg;
};

enum { PATIENCE_US = 20 * US_PER_S };

static struct sim_world *of(struct store_world *w)
{
    return CONTAINER_OF(w, struct sim_world, base);
}

static bool until(struct store_world *base, bool (*cond)(void *), void *arg)
{
    struct world *w = of(base)->world;
    int64_t end = w->now_us + PATIENCE_US;
    while (!cond(arg)) {
        if (!world_step(w, end)) {
            return cond(arg);
        }
    }
    return true;
}

static void answered(struct store_world *base)
{
    (void)base;
}

static void run_on_host(struct host *h)
{
    struct sim_world *w = h->user;
    w->fn(w->arg);
}

static void run(struct store_world *base, void (*fn)(void *), void *arg)
{
    of(base)->fn = fn;
    of(base)->arg = arg;
    host_run(of(base)->host, run_on_host);
}

static void session(struct store_world *base, const struct uuid *incarnation, bool alive)
{
    sim_store_session(of(base)->store, incarnation, alive);
}

static void fini(struct store_world *base)
{
    struct sim_world *w = of(base);
    struct sim_store *s = w->store;
    world_free(w->world);
    sim_store_free(s);
    mem_free(w);
}

static void boot(struct host *h)
{
    struct sim_world *w = h->user;
    w->base.loop = sim_loop_new(h, "store");
}

static struct store_world *make(void)
{
    struct sim_world *w = MEM_NEW(struct sim_world);
    w->base = (struct store_world){
        .until = until, .answered = answered, .run = run, .session = session, .fini = fini};
    w->world = world_new(1, false, false);
    w->store = sim_store_new(w->world, SUITE_SHARD, SUITE_LANES);
    w->store->sessions_by_hand = true;
    w->base.store = &w->store->base;
    w->host = host_new(w->world, "node");
    w->host->user = w;
    w->host->boot = boot;
    host_boot(w->host);
    world_run(w->world, 1);
    return &w->base;
}

int main(void)
{
    SRunner *r = srunner_create(store_suite("store_sim", make));
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
