/* sim: runs seeds of the simulator.
 *
 *   sim --seed N [--trace] [--twice]                     one seed; its trace hash is printed
 *   sim [--twice] [--list FILE] [--first S] --seeds N    many; last line "sim: N seeds, N failed, N s"
 *
 * A seed that fails prints how to run it again and the newest lines of its trace. It fails, too, when too little
 * happened, when it took too long, and, "twice", when a second run is another one. */
#define CARILLON_ADAPTER 1 /* the CPU clock, to hold seeds to their budget */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/log.h"
#include "tests/sim/run.h"

/* Of one seed. Sanitizers slow it down. */
#ifndef __has_feature
#define __has_feature(what) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CPU_S_MAX 9.0
#else
#define CPU_S_MAX 0.9
#endif

struct totals {
    uint64_t seeds, failed;
    double slowest;
};

static uint64_t current_seed;
static struct totals totals;
static const struct run *current_run;

static double cpu_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double since_start(void)
{
    struct timespec t;
    static double first;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    double now = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    first = first > 0 ? first : now;
    return now - first;
}

static void closing_line(void)
{
    printf("sim: %" PRIu64 " seeds, %" PRIu64 " failed, %.0f s\n", totals.seeds, totals.failed,
           since_start());
    (void)fflush(stdout);
}

/* An assertion of the production code ends the process; the seed must not be lost with it. */
static void on_assert(void *arg)
{
    (void)arg;
    printf("sim: seed %" PRIu64 " failed: an assertion; again: make sim SEED=%" PRIu64 "\n",
           current_seed, current_seed);
    if (current_run != NULL) {
        world_print_lines(current_run->world, stdout);
    }
    totals.seeds++;
    totals.failed++;
    closing_line();
}

struct outcome {
    bool held;
    uint64_t hash, operations, faults, windows, started;
    double cpu;
    char text[512];
};

static struct outcome seed_run(uint64_t seed, bool tracing, bool print, bool lines_on_failure)
{
    double began = cpu_now();
    struct run *r = run_new(seed, tracing, print);
    current_run = r;
    struct outcome o = {.held = run_all(r)};
    uint64_t ended;
    check_counts(r->checkers, &o.started, &ended);
    o.hash = r->world->hash;
    o.operations = r->operations;
    o.faults = r->faults_done + r->store->answers_lost + r->store->serialization_failures;
    o.windows = r->windows_crossed;
    memcpy(o.text, r->first_violation, sizeof(o.text));
    if (!o.held && lines_on_failure) {
        world_print_lines(r->world, stdout);
    }
    current_run = NULL;
    run_free(r);
    o.cpu = cpu_now() - began;
    return o;
}

/* A run that held but proves little, or costs too much. */
static void thin_judge(struct outcome *o)
{
    if (!o->held) {
        return;
    }
    if (o->operations < OPERATIONS_MIN || o->faults < FAULTS_MIN || o->windows < WINDOWS_MIN) {
        o->held = false;
        (void)snprintf(o->text, sizeof(o->text),
                       "too little happened: %" PRIu64 " operations, %" PRIu64 " faults, %" PRIu64
                       " window boundaries",
                       o->operations, o->faults, o->windows);
    } else if (o->cpu > CPU_S_MAX) {
        o->held = false;
        (void)snprintf(o->text, sizeof(o->text), "it took %.2f CPU s, the budget is %.1f", o->cpu,
                       CPU_S_MAX);
    }
}

static void twice_judge(uint64_t seed, struct outcome *o)
{
    struct outcome again = seed_run(seed, false, false, false);
    if (o->held && again.hash != o->hash) {
        o->held = false;
        (void)snprintf(o->text, sizeof(o->text),
                       "not deterministic: %016" PRIx64 " and then %016" PRIx64, o->hash,
                       again.hash);
    }
}

/* Runs it; a failure runs again with the trace on. */
static void seed_judge(uint64_t seed, bool twice)
{
    current_seed = seed;
    struct outcome o = seed_run(seed, false, false, false);
    totals.slowest = MAX(totals.slowest, o.cpu);
    thin_judge(&o);
    if (twice) {
        twice_judge(seed, &o);
    }
    totals.seeds++;
    if (!o.held) {
        totals.failed++;
        printf("sim: seed %" PRIu64 " failed: %s\n", seed, o.text);
        (void)seed_run(seed, true, false, true);
        printf("sim: seed %" PRIu64 " failed: %s; again: make sim SEED=%" PRIu64 "\n", seed, o.text,
               seed);
        (void)fflush(stdout);
    }
}

static void list_judge(const char *path, bool twice)
{
    FILE *f = fopen(path, "r");
    char line[256];
    if (f == NULL) {
        fprintf(stderr, "sim: cannot read %s\n", path);
        totals.failed++;
        return;
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        char *end;
        unsigned long long seed = strtoull(line, &end, 10);
        if (end != line) {
            seed_judge(seed, twice);
        }
    }
    (void)fclose(f);
}

static int one_seed(uint64_t seed, bool print, bool twice)
{
    current_seed = seed;
    struct outcome o = seed_run(seed, true, print, !print);
    printf("seed %" PRIu64 " hash %016" PRIx64 " operations %" PRIu64 " faults %" PRIu64
           " boundaries %" PRIu64 " executions %" PRIu64 " cpu %.2f s\n",
           seed, o.hash, o.operations, o.faults, o.windows, o.started, o.cpu);
    if (!print) { /* else the text is what takes its time */
        thin_judge(&o);
    }
    if (twice) {
        twice_judge(seed, &o);
    }
    if (!o.held) {
        printf("sim: seed %" PRIu64 " failed: %s\n", seed, o.text);
    }
    totals.seeds = 1;
    totals.failed = !o.held;
    closing_line();
    return o.held ? 0 : 1;
}

static void sink_drop(struct log_sink *s, enum log_level lvl, const char *line, size_t size)
{
    (void)s;
    (void)lvl;
    if (current_run != NULL) {
        world_say(current_run->world, "log %.*s", (int)size, line);
    }
}

static uint64_t number(const char *text)
{
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

int main(int argc, char **argv)
{
    struct log_sink sink = {.write = sink_drop};
    uint64_t first = 1, seeds = 0, seed = 0;
    bool one = false, print = false, twice = false;
    const char *list = NULL;
    mem_regions_enable();
    log_set_sink(&sink);
    assert_on_fail(on_assert, NULL);
    (void)since_start();
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            print = true;
        } else if (strcmp(argv[i], "--twice") == 0) {
            twice = true;
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = number(value);
            one = true;
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            seeds = number(value);
            i++;
        } else if (strcmp(argv[i], "--first") == 0) {
            first = number(value);
            i++;
        } else if (strcmp(argv[i], "--list") == 0) {
            list = value;
            i++;
        } else {
            fprintf(stderr, "usage: sim --seed N [--trace] [--twice] | "
                            "[--twice] [--list FILE] [--first S] --seeds N\n");
            return 2;
        }
    }
    if (one) {
        return one_seed(seed, print, twice);
    }
    if (list != NULL) {
        list_judge(list, twice);
    }
    for (uint64_t i = 0; i < seeds; i++) {
        seed_judge(first + i, twice);
    }
    printf("sim: slowest seed %.2f CPU s (budget %.1f)\n", totals.slowest, CPU_S_MAX);
    closing_line();
    return totals.failed > 0 ? 1 : 0;
}
