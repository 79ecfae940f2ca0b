/* What the core costs: turns "task succeeded -> next Task", pure transitions, a Map. How the cost grows
 * with states, items and payload is bench_core_growth's. Run by hand: bench_core [seconds per line]. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/bench/core_bench.h"

/* Five Task states; each outcome a turn. */
static void steps(const char *name, size_t payload, bool result_path, double limit)
{
    struct bench b;
    struct buf def, in, out;
    struct fact start = {.type = FACT_START},
                done = {.type = FACT_TASK_SUCCEEDED, .worker = STR("w")};
    double from, took = 0;
    uint64_t turns = 0;

    buf_init(&def, 0);
    buf_init(&in, 0);
    buf_init(&out, 0);
    buf_puts(&def, "{\"StartAt\":\"S0\",\"States\":{");
    for (int i = 0; i < 5; i++) {
        buf_printf(&def, "%s\"S%d\":{\"Type\":\"Task\",\"Resource\":\"queue:q\",%s",
                   i > 0 ? "," : "", i, result_path ? "\"ResultPath\":\"$.r\"," : "");
        if (i == 4) {
            buf_puts(&def, "\"End\":true}");
        } else {
            buf_printf(&def, "\"Next\":\"S%d\"}", i + 1);
        }
    }
    buf_puts(&def, "}}");
    buf_putc(&def, 0);
    bench_init(&b, def.p);
    start.payload = bench_filler(&in, payload);
    done.payload = bench_filler(&out, result_path ? 100 : payload);
    from = seconds_now();
    while (took < limit) {
        for (int k = 0; k < 200; k++) {
            bench_restart(&b);
            bench_turn(&b, &start, 1);
            while (exec_status(b.x) == EXEC_RUNNING) {
                done.token = b.out->tasks_new[0].token;
                bench_turn(&b, &done, 1);
                turns++;
            }
        }
        took = seconds_now() - from;
    }
    printf("%-44s %9.0f turns/s %7.2f us/turn %7.0f bytes/turn\n", name, (double)turns / took,
           took / (double)turns * 1e6, (double)b.bytes / (double)turns);
    bench_fini(&b);
    buf_fini(&def);
    buf_fini(&in);
    buf_fini(&out);
}

/* A chain of n Pass states in one execution. */
static void passes(const char *name, int n, const char *fields, double limit)
{
    struct bench b;
    struct buf def;
    struct fact start = {.type = FACT_START,
                         .payload = STR("{\"a\":1,\"order\":{\"id\":\"0123456789\",\"n\":12}}")};
    double from, took = 0;
    uint64_t transitions = 0;

    buf_init(&def, 0);
    buf_puts(&def, "{\"StartAt\":\"S0\",\"States\":{");
    for (int i = 0; i < n; i++) {
        buf_printf(&def, "%s\"S%d\":{\"Type\":\"Pass\",%s", i > 0 ? "," : "", i, fields);
        if (i == n - 1) {
            buf_puts(&def, "\"End\":true}");
        } else {
            buf_printf(&def, "\"Next\":\"S%d\"}", i + 1);
        }
    }
    buf_puts(&def, "}}");
    buf_putc(&def, 0);
    bench_init(&b, def.p);
    from = seconds_now();
    while (took < limit) {
        bench_restart(&b);
        bench_turn(&b, &start, 1);
        while (exec_status(b.x) == EXEC_RUNNING) {
            bench_turn(&b, NULL, 0);
        }
        transitions += (uint64_t)n;
        took = seconds_now() - from;
    }
    printf("%-44s %9.0f transitions/s %7.2f us each\n", name, (double)transitions / took,
           took / (double)transitions * 1e6);
    bench_fini(&b);
    buf_fini(&def);
}

struct tokens {
    struct task_token *v;
    uint32_t len, next;
};

static void collect(struct bench *b, struct tokens *q)
{
    for (uint32_t i = 0; i < b->out->tasks_new_len; i++) {
        q->v[q->len++] = b->out->tasks_new[i].token;
    }
}

/* n items, a task each, "limit" at a time; the outcomes one a turn. */
static void map(uint32_t n, uint32_t at_once, const char *selector)
{
    struct bench b;
    struct buf def, in;
    struct fact start = {.type = FACT_START};
    struct fact done = {.type = FACT_TASK_SUCCEEDED,
                        .worker = STR("w"),
                        .payload = STR("{\"ok\":1}")};
    struct tokens q = {MEM_ARRAY(struct task_token, n), 0, 0};
    double from, took;

    buf_init(&def, 0);
    buf_init(&in, 0);
    buf_printf(&def,
               "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\",\"ItemsPath\":\"$.items\","
               "\"MaxConcurrency\":%u,%s\"ItemProcessor\":{\"StartAt\":\"T\",\"States\":{\"T\":{"
               "\"Type\":\"Task\",\"Resource\":\"queue:q\",\"End\":true}}},\"End\":true}}}",
               at_once, selector);
    buf_putc(&def, 0);
    buf_puts(&in, "{\"k\":1,\"items\":[");
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(&in, "%s{\"i\":%u}", i > 0 ? "," : "", i);
    }
    buf_puts(&in, "]}");
    bench_init(&b, def.p);
    start.payload = buf_str(&in);
    bench_restart(&b);
    from = seconds_now();
    bench_turn(&b, &start, 1);
    collect(&b, &q);
    while (b.out->yielded) {
        bench_turn(&b, NULL, 0);
        collect(&b, &q);
    }
    while (q.next < q.len) {
        done.token = q.v[q.next++];
        bench_turn(&b, &done, 1);
        collect(&b, &q);
        while (b.out->yielded) {
            bench_turn(&b, NULL, 0);
            collect(&b, &q);
        }
    }
    took = seconds_now() - from;
    ASSERT(exec_status(b.x) == EXEC_SUCCEEDED);
    printf("Map of %5u items, %4u at a time%-18s %7.2f us/item\n", n, at_once,
           selector[0] == 0 ? "" : ", ItemSelector", took / n * 1e6);
    bench_fini(&b);
    mem_free(q.v);
    buf_fini(&def);
    buf_fini(&in);
}

int main(int argc, char **argv)
{
    double limit = argc > 1 ? atof(argv[1]) : 1.0;

    steps("5 Tasks, 100 bytes", 100, false, limit);
    steps("5 Tasks, 4 KiB state, echo", 4096, false, limit);
    steps("5 Tasks, 4 KiB state, ResultPath", 4096, true, limit);
    passes("Pass x 5", 5, "", limit);
    passes("Pass x 5000", 5000, "", limit);
    passes("Pass x 500, Parameters", 500,
           "\"Parameters\":{\"a.$\":\"$.a\",\"order.$\":\"$.order\"},", limit);
    passes("Pass x 500, context", 500,
           "\"Parameters\":{\"a.$\":\"$$.Execution.Input.a\",\"order.$\":\"$.order\"},", limit);
    for (uint32_t n = 100; n <= 10000; n *= 10) {
        map(n, 0, "");
        map(n, 10, "");
        map(n, 10, "\"ItemSelector\":{\"v.$\":\"$$.Map.Item.Value\",\"k.$\":\"$.k\"},");
    }
    return 0;
}
