/* `carillon bench core`: what the core alone costs on one processor. Turns "task succeeded -> next Task",
 * pure transitions, a large Map, and how the cost grows with states, items and payload. No database,
 * no node, no clock but the processor's. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include <time.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cmd/carillon/bench.h"
#include "engine/core/core.h"

struct core_run {
    struct def *def;
    struct exec *x;
    struct turn *t;
    struct rng rng;
    struct wall now;
    const struct turn_out *out;
    uint64_t bytes; /* of rows */
};

static double seconds_now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct def *parse(const char *text)
{
    struct def_problems p;
    struct def *d = NULL;

    def_problems_init(&p);
    if (def_parse(str_of(text), DEF_JSON, &d, &p) != ERR_OK) {
        (void)fprintf(stderr, "bench: %s: %s\n", p.v[0].pointer, p.v[0].message);
        ASSERT(d != NULL); /* the definitions are ours */
    }
    def_problems_fini(&p);
    return d;
}

static void restart(struct core_run *b)
{
    struct exec_ident ident = {.tenant = STR("1"), .workflow = STR("flow"), .name = STR("bench")};

    ident.started_at = b->now;
    ident.id = exec_id_make(1, 7, 1, b->now, &b->rng);
    exec_free(b->x);
    b->x = exec_new(&ident, b->def);
}

static void turn(struct core_run *b, const struct fact *f)
{
    enum fact_result r = FACT_ACCEPTED;

    turn_begin(b->t, b->x, b->now, &b->rng);
    if (f != NULL) {
        r = turn_fact(b->t, f, NULL);
    }
    ASSERT(r == FACT_ACCEPTED);
    if (turn_end(b->t, &b->out)) {
        b->bytes += b->out->body.size;
    }
    b->now.us++;
}

static void run_init(struct core_run *b, const char *definition)
{
    memset(b, 0, sizeof(*b));
    rng_seed(&b->rng, 1);
    b->now.us = INT64_C(1760000000000000);
    b->def = parse(definition);
    b->t = turn_new();
}

static void run_fini(struct core_run *b)
{
    turn_free(b->t);
    exec_free(b->x);
    def_unref(b->def);
}

static struct str filler(struct buf *b, size_t size)
{
    buf_puts(b, "{\"fill\":\"");
    while (b->size + 2 < size) {
        buf_putc(b, 'x');
    }
    buf_puts(b, "\"}");
    return buf_str(b);
}

/* Five Task states; each outcome a turn. Turns a second. */
static double steps(const char *name, size_t payload, bool result_path, double limit)
{
    struct core_run b;
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
    run_init(&b, def.p);
    start.payload = filler(&in, payload);
    done.payload = filler(&out, result_path ? 100 : payload);
    from = seconds_now();
    while (took < limit) {
        for (int k = 0; k < 200; k++) {
            restart(&b);
            turn(&b, &start);
            while (exec_status(b.x) == EXEC_RUNNING) {
                done.token = b.out->tasks_new[0].token;
                turn(&b, &done);
                turns++;
            }
        }
        took = seconds_now() - from;
    }
    (void)printf("%-44s %9.0f turns/s %7.2f us/turn %7.0f bytes/turn\n", name, (double)turns / took,
                 took / (double)turns * 1e6, (double)b.bytes / (double)turns);
    run_fini(&b);
    buf_fini(&def);
    buf_fini(&in);
    buf_fini(&out);
    return (double)turns / took;
}

/* A chain of n Pass states in one execution. Transitions a second. */
static double passes(const char *name, int n, const char *fields, double limit)
{
    struct core_run b;
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
    run_init(&b, def.p);
    from = seconds_now();
    while (took < limit) {
        restart(&b);
        turn(&b, &start);
        while (exec_status(b.x) == EXEC_RUNNING) {
            turn(&b, NULL);
        }
        transitions += (uint64_t)n;
        took = seconds_now() - from;
    }
    (void)printf("%-44s %9.0f transitions/s %7.2f us each\n", name, (double)transitions / took,
                 took / (double)transitions * 1e6);
    run_fini(&b);
    buf_fini(&def);
    return (double)transitions / took;
}

struct tokens {
    struct task_token *v;
    uint32_t len, next;
};

static void collect(struct core_run *b, struct tokens *q)
{
    for (uint32_t i = 0; i < b->out->tasks_new_len; i++) {
        q->v[q->len++] = b->out->tasks_new[i].token;
    }
}

/* n items, a task each, "at_once" at a time; the outcomes one a turn. Microseconds an item. */
static double map(uint32_t n, uint32_t at_once, const char *selector)
{
    struct core_run b;
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
    run_init(&b, def.p);
    start.payload = buf_str(&in);
    restart(&b);
    from = seconds_now();
    turn(&b, &start);
    collect(&b, &q);
    while (b.out->yielded) {
        turn(&b, NULL);
        collect(&b, &q);
    }
    while (q.next < q.len) {
        done.token = q.v[q.next++];
        turn(&b, &done);
        collect(&b, &q);
        while (b.out->yielded) {
            turn(&b, NULL);
            collect(&b, &q);
        }
    }
    took = seconds_now() - from;
    ASSERT(exec_status(b.x) == EXEC_SUCCEEDED);
    (void)printf("Map of %5u items, %4u at a time%-18s %7.2f us/item\n", n, at_once,
                 selector[0] == 0 ? "" : ", ItemSelector", took / n * 1e6);
    run_fini(&b);
    mem_free(q.v);
    buf_fini(&def);
    buf_fini(&in);
    return took / n * 1e6;
}

int bench_core(struct bench *b)
{
    double limit = b->cli->seconds > 0 ? b->cli->seconds : 1;
    double begin = sys_now(), others = sys_machine_cpu() - sys_self_cpu();
    double small = steps("5 Tasks, 100 bytes", 100, false, limit), item = 0;
    (void)steps("5 Tasks, 4 KiB state, echo", 4096, false, limit);
    (void)steps("5 Tasks, 4 KiB state, ResultPath", 4096, true, limit);
    double pure = passes("Pass x 5", 5, "", limit);
    double chain = passes("Pass x 5000", 5000, "", limit);
    (void)passes("Pass x 500, Parameters", 500,
                 "\"Parameters\":{\"a.$\":\"$.a\",\"order.$\":\"$.order\"},", limit);
    (void)passes("Pass x 500, context", 500,
                 "\"Parameters\":{\"a.$\":\"$$.Execution.Input.a\",\"order.$\":\"$.order\"},",
                 limit);
    for (uint32_t n = 100; n <= 10000; n *= 10) {
        (void)map(n, 0, "");
        item = map(n, 10, "");
        (void)map(n, 10, "\"ItemSelector\":{\"v.$\":\"$$.Map.Item.Value\",\"k.$\":\"$.k\"},");
    }
    others = sys_machine_cpu() - sys_self_cpu() - others;
    (void)printf("{\"peer\":\"carillon\",\"w\":\"core\",\"steps_s\":%.0f,\"transitions_s\":%.0f,"
                 "\"transitions_5000_s\":%.0f,\"map_item_us\":%.2f,\"other_cores\":%.2f}\n",
                 small, pure, chain, item, MAX(others, 0) / (sys_now() - begin));
    return EXIT_OK;
}
