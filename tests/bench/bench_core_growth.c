/* How the core's cost grows with states, items and payload: each line is one shape of execution at sizes ten
 * times apart, in microseconds per unit. The last column is the greatest size's cost per unit over the
 * smallest's: far above 1 is not linear. Run by hand: bench_core_growth [seconds per figure]. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/limits.h"
#include "tests/bench/core_bench.h"

enum { SIZES = 3 };

enum order { OLDEST_FIRST, NEWEST_FIRST, ANY_ORDER };

/* How a Map is driven. */
struct shape {
    const char *name;
    const char *item;     /* the states of an item; the first is "T" */
    const char *selector; /* further members of the Map, each with its comma */
    uint32_t at_once;     /* MaxConcurrency */
    uint32_t per_turn;    /* facts of a turn */
    enum order order;     /* of the answers */
    bool fails;           /* half the items succeed, then one fails for good */
    bool snapshots;       /* are taken as the engine takes them */
};

#define TASK "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:q\",\"End\":true}"
#define TASK_CHAIN \
    "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:q\",\"Next\":\"P\"}," \
    "\"P\":{\"Type\":\"Pass\",\"Next\":\"U\"}," \
    "\"U\":{\"Type\":\"Task\",\"Resource\":\"queue:q\",\"End\":true}"
#define FAN \
    "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:q\",\"Next\":\"P\"}," \
    "\"P\":{\"Type\":\"Parallel\",\"Branches\":[{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":" \
    "\"Task\"," \
    "\"Resource\":\"queue:q\",\"End\":true}}}],\"ResultPath\":null,\"End\":true}"
#define WAIT     "\"T\":{\"Type\":\"Wait\",\"Seconds\":9,\"End\":true}"
#define PASS     "\"T\":{\"Type\":\"Pass\",\"End\":true}"
#define SELECTOR "\"ItemSelector\":{\"v.$\":\"$$.Map.Item.Value\",\"k.$\":\"$.k\"},"

static const struct shape shapes[] = {
    {"Pass", PASS, "", 0, 1, OLDEST_FIRST, false, false},
    {"Task, all at once", TASK, "", 0, 1, OLDEST_FIRST, false, false},
    {"Task, all at once, newest first", TASK, "", 0, 1, NEWEST_FIRST, false, false},
    {"Task, all at once, any order", TASK, "", 0, 1, ANY_ORDER, false, false},
    {"Task, all at once, 256 answers a turn", TASK, "", 0, 256, ANY_ORDER, false, false},
    {"Task, all at once, snapshots", TASK, "", 0, 1, ANY_ORDER, false, true},
    {"Task, all at once, one fails", TASK, "", 0, 1, ANY_ORDER, true, false},
    {"Task, 10 at a time", TASK, "", 10, 1, ANY_ORDER, false, false},
    {"Task, 10 at a time, snapshots", TASK, "", 10, 1, ANY_ORDER, false, true},
    {"Task, ItemSelector, 10 at a time", TASK, SELECTOR, 10, 1, ANY_ORDER, false, false},
    {"Task, Pass, Task, all at once", TASK_CHAIN, "", 0, 1, ANY_ORDER, false, false},
    {"Task, Parallel of a Task, all at once", FAN, "", 0, 1, ANY_ORDER, false, false},
    {"Wait, all at once", WAIT, "", 0, 1, OLDEST_FIRST, false, false},
};

/* What is open, and is to be answered. */
struct open {
    bool timer;
    struct task_token token;
    struct core_timer due;
};
struct crowd {
    struct open *v;
    uint32_t from, len, room;
};

static void crowd_add(struct crowd *c, struct open o)
{
    if (c->len == c->room) {
        c->room = c->room == 0 ? 64 : c->room * 2;
        c->v = mem_realloc(c->v, c->room * sizeof(*c->v));
    }
    c->v[c->len++] = o;
}

static struct open crowd_take(struct crowd *c, struct rng *rng, enum order order)
{
    uint32_t at = c->len - 1;
    struct open o;

    if (order == OLDEST_FIRST) {
        return c->v[c->from++];
    }
    if (order == ANY_ORDER) {
        at = c->from + (uint32_t)rng_below(rng, c->len - c->from);
    }
    o = c->v[at];
    c->v[at] = c->v[--c->len];
    return o;
}

/* A turn, those it leads to, and what they open. */
static void turns(struct bench *b, struct crowd *c, const struct fact *facts, uint32_t len)
{
    bool did = bench_turn(b, facts, len);

    while (did) {
        for (uint32_t i = 0; i < b->out->tasks_new_len; i++) {
            crowd_add(c, (struct open){.token = b->out->tasks_new[i].token});
        }
        for (uint32_t i = 0; i < b->out->timers_new_len; i++) {
            crowd_add(c, (struct open){.timer = true, .due = b->out->timers_new[i]});
        }
        did = b->out->yielded && bench_turn(b, NULL, 0);
    }
}

static struct fact answer(struct bench *b, const struct open *o)
{
    struct fact f = {.type = FACT_TASK_SUCCEEDED, .worker = STR("w"), .token = o->token};

    f.payload = STR("1");
    if (o->timer) {
        f = (struct fact){.type = FACT_TIMER, .timer_seq = o->due.seq, .timer_idx = o->due.idx};
        b->now.us = MAX(b->now.us, o->due.due.us);
    }
    return f;
}

/* Until the execution has ended; "left" answers before the one that fails, if one does. */
static void answer_all(struct bench *b, const struct shape *s, struct crowd *c, uint32_t left)
{
    struct fact *facts = MEM_ARRAY(struct fact, s->per_turn);
    struct buf scratch;

    buf_init(&scratch, 0);
    while (exec_status(b->x) == EXEC_RUNNING) {
        uint32_t n = 0;
        for (; n < s->per_turn && c->from < c->len; n++) {
            struct open o = crowd_take(c, &b->rng, s->order);
            facts[n] = answer(b, &o);
            if (s->fails && left-- == 0) {
                facts[n].type = FACT_TASK_FAILED;
                facts[n].error = STR("Bad");
            }
        }
        turns(b, c, facts, n);
        if (s->snapshots && exec_snapshot_due(b->x)) {
            buf_clear(&scratch);
            exec_snapshot(b->x, &scratch);
        }
    }
    buf_fini(&scratch);
    mem_free(facts);
}

static void map_definition(struct buf *b, const struct shape *s)
{
    buf_printf(b,
               "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemsPath\":\"$.items\","
               "\"MaxConcurrency\":%u,%s\"ItemProcessor\":{\"StartAt\":\"T\",\"States\":{%s}},"
               "\"ResultPath\":null,\"End\":true}}}",
               s->at_once, s->selector, s->item);
    buf_putc(b, 0);
}

static void map_input(struct buf *b, uint32_t n)
{
    buf_puts(b, "{\"k\":1,\"items\":[0");
    for (uint32_t i = 1; i < n; i++) {
        buf_printf(b, ",%u", i % 10); /* a payload has room for 100,000 of them */
    }
    buf_puts(b, "]}");
}

/* Microseconds per item. */
static double map(const struct shape *s, uint32_t n, double limit)
{
    struct fact start = {.type = FACT_START};
    struct bench b;
    struct buf def, in;
    double from, took = 0;
    uint64_t items = 0;

    buf_init(&def, 0);
    buf_init(&in, 0);
    map_definition(&def, s);
    map_input(&in, n);
    bench_init(&b, def.p);
    start.payload = buf_str(&in);
    from = seconds_now();
    while (took < limit) {
        struct crowd c = {0};
        bench_restart(&b);
        turns(&b, &c, &start, 1);
        answer_all(&b, s, &c, n / 2);
        ASSERT(exec_status(b.x) == (s->fails ? EXEC_FAILED : EXEC_SUCCEEDED));
        mem_free(c.v);
        items += n;
        took = seconds_now() - from;
    }
    bench_fini(&b);
    buf_fini(&def);
    buf_fini(&in);
    return took / (double)items * 1e6;
}

/* A load of a Map whose items are all open, from a snapshot: microseconds per item. */
static double load(uint32_t n, double limit)
{
    struct fact start = {.type = FACT_START};
    struct bench b;
    struct buf def, in, bytes;
    struct crowd c = {0};
    double from, took = 0;
    uint64_t items = 0;

    buf_init(&def, 0);
    buf_init(&in, 0);
    buf_init(&bytes, 0);
    map_definition(&def, &shapes[1]);
    map_input(&in, n);
    bench_init(&b, def.p);
    start.payload = buf_str(&in);
    bench_restart(&b);
    turns(&b, &c, &start, 1);
    exec_snapshot(b.x, &bytes);
    from = seconds_now();
    while (took < limit) {
        struct exec *x = NULL;
        enum err e = exec_restore(exec_ident(b.x), b.def, buf_str(&bytes), &x, NULL);
        ASSERT(e == ERR_OK && exec_open_tasks(x, NULL, 0) == n);
        exec_free(x);
        items += n;
        took = seconds_now() - from;
    }
    bench_fini(&b);
    mem_free(c.v);
    buf_fini(&def);
    buf_fini(&in);
    buf_fini(&bytes);
    return took / (double)items * 1e6;
}

/* Microseconds per state of a chain of n. */
static double chain(const char *fields, uint32_t n, struct str payload, double limit)
{
    const struct shape one = {.per_turn = 1};
    struct fact start = {.type = FACT_START, .payload = payload};
    struct bench b;
    struct buf def;
    double from, took = 0;
    uint64_t states = 0;

    buf_init(&def, 0);
    buf_puts(&def, "{\"StartAt\":\"S0\",\"States\":{");
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(&def, "\"S%u\":{%s,\"Next\":\"S%u\"},", i, fields, i + 1);
    }
    buf_printf(&def, "\"S%u\":{\"Type\":\"Succeed\"}}}", n);
    buf_putc(&def, 0);
    bench_init(&b, def.p);
    from = seconds_now();
    while (took < limit) {
        struct crowd c = {0};
        bench_restart(&b);
        turns(&b, &c, &start, 1);
        answer_all(&b, &one, &c, 0);
        ASSERT(exec_status(b.x) == EXEC_SUCCEEDED);
        mem_free(c.v);
        states += n;
        took = seconds_now() - from;
    }
    bench_fini(&b);
    buf_fini(&def);
    return took / (double)states * 1e6;
}

static void line(const char *name, const double *v)
{
    printf("%-48s", name);
    for (int i = 0; i < SIZES; i++) {
        printf(" %9.3f", v[i]);
    }
    printf(" %7.2f\n", v[SIZES - 1] / v[0]);
}

static void heading(const char *what, const char *unit, const char *const *sizes)
{
    printf("\n%-48s %9s %9s %9s %7s\n", what, sizes[0], sizes[1], sizes[2], "growth");
    printf("%-48s %s\n", "", unit);
}

static void states(double limit)
{
    static const struct {
        const char *name, *fields;
    } kinds[] = {
        {"Pass", "\"Type\":\"Pass\""},
        {"Pass, Parameters", "\"Type\":\"Pass\",\"Parameters\":{\"fill.$\":\"$.fill\"}"},
        {"Pass, Assign", "\"Type\":\"Pass\",\"Assign\":{\"a.$\":\"$.fill\"}"},
        {"Task, a turn each", "\"Type\":\"Task\",\"Resource\":\"queue:q\""},
        {"Wait, a turn each", "\"Type\":\"Wait\",\"Seconds\":1"},
    };
    static const char *const sizes[] = {"100", "1000", "10000"};
    double v[SIZES];

    heading("A chain of states", "microseconds per state", sizes);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        uint32_t n = 100;
        for (int i = 0; i < SIZES; i++, n *= 10) {
            v[i] = chain(kinds[k].fields, n, STR("{\"fill\":\"0123456789\"}"), limit);
        }
        line(kinds[k].name, v);
    }
}

static void items(double limit)
{
    static const char *const sizes[] = {"1000", "10000", "100000"};
    double v[SIZES];
    uint32_t n;

    heading("A Map of items", "microseconds per item", sizes);
    for (size_t k = 0; k < ARRAY_LEN(shapes); k++) {
        n = 1000;
        for (int i = 0; i < SIZES; i++, n *= 10) {
            v[i] = map(&shapes[k], n, limit);
        }
        line(shapes[k].name, v);
    }
    n = 1000;
    for (int i = 0; i < SIZES; i++, n *= 10) {
        v[i] = load(n, limit);
    }
    line("Load, all open", v);
}

static void payloads(double limit)
{
    static const struct {
        const char *name, *fields;
    } kinds[] = {
        {"Pass", "\"Type\":\"Pass\""},
        {"Pass, OutputPath", "\"Type\":\"Pass\",\"OutputPath\":\"$\""},
        {"Pass, ResultPath", "\"Type\":\"Pass\",\"Result\":1,\"ResultPath\":\"$.r\""},
        {"Pass, Parameters", "\"Type\":\"Pass\",\"Parameters\":{\"fill.$\":\"$.fill\"}"},
        {"Task, ResultPath", "\"Type\":\"Task\",\"Resource\":\"queue:q\",\"ResultPath\":\"$.r\""},
    };
    static const char *const sizes[] = {"2 KiB", "20 KiB", "200 KiB"};
    struct buf in;
    double v[SIZES];

    buf_init(&in, 0);
    heading("A payload through 10 states", "microseconds per state and KiB", sizes);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        uint32_t kib = 2;
        for (int i = 0; i < SIZES; i++, kib *= 10) {
            struct str payload = bench_filler(&in, (size_t)kib * 1024);
            v[i] = chain(kinds[k].fields, 10, payload, limit) / kib;
        }
        line(kinds[k].name, v);
    }
    buf_fini(&in);
}

int main(int argc, char **argv)
{
    double limit = argc > 1 ? atof(argv[1]) : 0.5;

    states(limit);
    items(limit);
    payloads(limit);
    return 0;
}
