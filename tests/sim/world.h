/* A world of hosts on virtual time: one queue of events ordered by (due, seeded draw), run in one
 * thread. A host is a machine with one process on it: a node of Carillon, a worker, a client. Its
 * clock may step and drift, it may pause and resume, it may crash at any step: then its loops,
 * timers, connections, requests at the store and its whole memory are gone, and nothing it did
 * not hand to a port before has happened.
 *
 * Crashing inside a callback (a fault point) does not unwind the stack: the host is marked
 * dying, every port ignores it from there on, the callback runs to its end without effect, and
 * then the host is dropped. From outside that is a crash at exactly that point. */
#ifndef CARILLON_TESTS_SIM_WORLD_H
#define CARILLON_TESTS_SIM_WORLD_H

#include "base/list.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/rng.h"

struct world;
struct host;
struct sim_loop;

/* Something that will happen; embedded by its owner; zero-initialise, set "run". With a loop it
 * runs as a callback of that loop (and waits while the loop's host is paused). */
struct event {
    void (*run)(struct event *e);
    struct sim_loop *loop; /* NULL: the world's own doing */
    const char *name;      /* literal; part of the trace */
    int64_t due;           /* private from here */
    uint64_t draw, order;
    size_t pos; /* 1-based place in the queue; 0 = not waiting */
};

/* A fake that keeps things on behalf of hosts: told when one is gone. */
struct world_module {
    void (*host_gone)(struct world_module *m, struct host *h);
    struct list link;
};

struct host_clock {
    struct clock base;
    struct host *host;
    int64_t mono_offset_us; /* what the monotonic clock showed at time 0 */
    int64_t wall_offset_us; /* from the truth; changed by steps */
    int32_t drift_ppm;      /* of both clocks */
};

struct host {
    struct world *world;
    struct list link; /* world.hosts */
    uint16_t index;
    char name[32];
    bool up, dying;
    int64_t paused_until;
    uint32_t lives;
    struct mem_region region;
    struct host_clock clock;
    struct loop_factory factory;
    struct list loops;
    uint16_t loops_made;
    /* Starts the process; runs on the main thread of the host. Set by whoever made the host. */
    void (*boot)(struct host *h);
    /* The host is gone (its memory is still there, but must not be used). May be NULL. */
    void (*gone)(struct host *h);
    struct event restart;
    void *user;
};

struct world {
    int64_t now_us; /* the truth; 0 at the beginning */
    int64_t wall_base_us;
    uint64_t seed;
    struct rng rng;
    struct event **queue; /* binary heap */
    size_t queue_len, queue_room;
    uint64_t next_order;
    struct list hosts, modules;
    uint16_t hosts_made;
    struct host *running;  /* whose code runs now */
    struct sim_loop *loop; /* whose callback runs now */
    uint64_t hash, steps;
    bool failed; /* a checker found something; world_run ends */
    void (*after_step)(struct world *w);
    void *user;
    /* Text trace: the newest lines, kept only when switched on (it costs more than the run). */
    bool tracing, trace_print;
    char **lines;
    size_t lines_next, lines_len;
};

struct world *world_new(uint64_t seed, bool tracing, bool print);
void world_free(struct world *w); /* drops all hosts */

/* Puts "e" into the queue (moves it when it waits already). Due in the past: now. */
void world_at(struct world *w, struct event *e, int64_t due_us);
static inline void world_after(struct world *w, struct event *e, int64_t us)
{
    world_at(w, e, w->now_us + us);
}
void world_cancel(struct world *w, struct event *e); /* no effect when not waiting */
/* Runs the next event; false when there is none or its time is after "until". */
bool world_step(struct world *w, int64_t until_us);
/* Runs until that time (or a failure), and sets the clock to it. */
void world_run(struct world *w, int64_t until_us);

/* True wall time: what the store's clock shows. */
static inline struct wall world_wall(const struct world *w)
{
    return (struct wall){w->wall_base_us + w->now_us};
}

/* Adds to the hash that two runs of a seed must agree on, and to the text trace when on. */
void world_note(struct world *w, const char *what, uint64_t a, uint64_t b);
/* A line of text; formatted only when tracing. */
#define world_say(w, ...) \
    do { \
        if ((w)->tracing) { \
            world_say_((w), __VA_ARGS__); \
        } \
    } while (0)
void world_say_(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void world_print_lines(const struct world *w, FILE *out);

struct host *host_new(struct world *w, const char *name);
/* Boots it now (by an event). */
void host_boot(struct host *h);
/* From the world or from the host's own callback (then it takes effect when that returns). */
void host_crash(struct host *h);
void host_crash_and_restart(struct host *h, int64_t after_us);
void host_pause(struct host *h, int64_t us);
void host_step_clock(struct host *h, int64_t us);
/* Runs fn as code of the host outside any loop (its main thread); e.g. node_start, node_stop. */
void host_run(struct host *h, void (*fn)(struct host *h));
/* May the running code still have an effect? Ports ask first thing. */
bool host_acts(const struct host *h);

/* sim_loop.c */
struct sim_loop {
    struct loop base;
    struct host *host;
    struct list link; /* host.loops */
    uint16_t number;  /* 1.. within the host's life; 0 stands for foreign threads */
    uint32_t sources_len;
    struct loop_source *sources; /* one queue per posting loop */
    uint32_t waiting;            /* tasks in all of them */
    struct event turn;
    struct list timers;
    uint64_t runs;
};
struct loop *sim_loop_new(struct host *h, const char *name);
void sim_loop_drop(struct sim_loop *l); /* with everything in it, running nothing */
static inline struct sim_loop *sim_loop_of(struct loop *l)
{
    return CONTAINER_OF(l, struct sim_loop, base);
}

/* sim_clock.c */
void host_clock_init(struct host_clock *c, struct host *h);
struct mono host_mono(const struct host_clock *c, int64_t true_us);
/* The earliest true time at which the host's monotonic clock shows "m". */
int64_t host_mono_due(const struct host_clock *c, struct mono m);

/* Code of the world called by a host allocates outside the host's memory: between these two. */
static inline struct mem_region *world_outside(void)
{
    return mem_set_region(NULL);
}
static inline void world_inside(struct mem_region *r)
{
    (void)mem_set_region(r);
}

#endif
