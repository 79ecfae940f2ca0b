/* The workloads of `carillon bench`. Each verifies with the store's own counts. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cmd/carillon/bench.h"

#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 5, STATUS_SUCCEEDED = CARILLON_SUCCEEDED };

/* ---- the worker process ---- */

static FILE *late_file;

static int64_t wall_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Answers with its input. With a file: how late it is against "due_us" of the input, a line each. */
static void work(void *arg, carillon_task *t)
{
    (void)arg;
    const char *input = carillon_task_input(t);
    const char *due = late_file == NULL ? NULL : strstr(input, "\"due_us\":");
    if (due != NULL) {
        (void)fprintf(late_file, "%lld\n", (long long)(wall_us() - strtoll(due + 9, NULL, 10)));
        (void)fflush(late_file);
    }
    if (carillon_task_succeed(t, input) != CARILLON_OK) {
        (void)carillon_task_give_back(t);
    }
}

int cmd_bench_worker(struct cli *c)
{
    const char *queue = c->queue != NULL ? c->queue : "bench";
    carillon_worker *w = NULL;
    carillon_error e;
    carillon_options o = {.addresses = c->address, .name = "bench-worker"};
    int held = c->concurrency > 0 ? c->concurrency : 10;
    carillon_worker_options wo = {.queues = &queue,
                                  .queues_len = 1,
                                  .concurrency = (uint32_t)MIN(held, POLL_TASKS_MAX),
                                  .handler = work};
    sigset_t set;
    int sig;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (c->data != NULL) {
        late_file = fopen(c->data, "a");
    }
    if (carillon_client_new(&o, &c->client, &e) != CARILLON_OK ||
        carillon_worker_new(c->client, &wo, &w, &e) != CARILLON_OK ||
        carillon_worker_start(w, &e) != CARILLON_OK) {
        carillon_worker_free(w);
        return cli_failed("worker", &e);
    }
    (void)sigwait(&set, &sig);
    (void)carillon_worker_stop(w, 1000, NULL);
    carillon_worker_free(w);
    return EXIT_OK;
}

/* ---- starts in flight ---- */

static _Atomic int64_t started, failed;

static void on_started(void *arg, int code, const carillon_started *s, const char *error_text)
{
    (void)arg;
    (void)s;
    (void)error_text;
    atomic_fetch_add_explicit(code == CARILLON_OK ? &started : &failed, 1, memory_order_relaxed);
}

/* Starts one execution of the workload's workflow, without waiting. */
static void start_one(struct bench *b, const char *input)
{
    int code = carillon_start_async(b->client, b->workflow, NULL, input, on_started, NULL, NULL);
    if (code != CARILLON_OK) {
        on_started(NULL, code, NULL, "");
    }
}

static char *payload(int bytes)
{
    char *p = mem_alloc((size_t)bytes + 16);
    int n = snprintf(p, 16, "{\"data\":\"");
    memset(p + n, 'x', (size_t)MAX(bytes - n - 2, 0));
    (void)snprintf(p + MAX(bytes - 2, n), 3, "\"}");
    return p;
}

/* ---- W1: throughput ---- */

static const char five_tasks[] =
    "{\"StartAt\":\"S1\",\"States\":{"
    "\"S1\":{\"Type\":\"Task\",\"Resource\":\"queue:bench\",\"Next\":\"S2\"},"
    "\"S2\":{\"Type\":\"Task\",\"Resource\":\"queue:bench\",\"Next\":\"S3\"},"
    "\"S3\":{\"Type\":\"Task\",\"Resource\":\"queue:bench\",\"Next\":\"S4\"},"
    "\"S4\":{\"Type\":\"Task\",\"Resource\":\"queue:bench\",\"Next\":\"S5\"},"
    "\"S5\":{\"Type\":\"Task\",\"Resource\":\"queue:bench\",\"End\":true}}}";

/* What a workload has asked of the node. */
struct asked {
    double executions, steps, events;
};
enum {
    EVENTS_OF_EXECUTION = 2, /* started, succeeded */
    EVENTS_OF_TASK = 5,      /* entered, scheduled, started, succeeded, exited */
    EVENTS_OF_WAIT = 2,      /* entered, exited */
    EVENTS_OF_OPEN_TASK = 3, /* entered, scheduled, started: nobody has answered */
    EVENTS_OF_FIVE = EVENTS_OF_EXECUTION + STEPS * EVENTS_OF_TASK,
};

static struct asked five_of(double executions)
{
    return (struct asked){executions, executions * STEPS, executions * EVENTS_OF_FIVE};
}

/* The store's own counts against what was asked: executions (with status, unless 0), accepted
 * outcomes, events; no gap in the numbers of any execution's events. */
static bool verified(struct bench *b, int status, struct asked asked)
{
    char sql[120];
    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM carillon.executions WHERE %d IN (0, status)", status);
    double all = bench_sql(b, "SELECT count(*) FROM carillon.executions"),
           ended = bench_sql(b, sql);
    double outcomes = bench_sql(b, "SELECT count(*) FROM carillon.outcomes");
    double events = bench_sql(b, "SELECT coalesce(sum(event_count), 0) FROM carillon.history");
    double broken = bench_sql(b, "SELECT count(*) FROM (SELECT execution, max(first_event + "
                                 "event_count - 1) AS last, sum(event_count) AS n FROM "
                                 "carillon.history GROUP BY 1) x WHERE last <> n");
    bool ok = ended == asked.executions && all == asked.executions && outcomes == asked.steps &&
              events == asked.events && broken == 0;
    if (!ok) {
        (void)fprintf(
            stderr,
            "bench: asked for %.0f executions, %.0f steps, %.0f events; the store has %.0f "
            "(%.0f as wanted), %.0f, %.0f; %.0f with gaps in their events\n",
            asked.executions, asked.steps, asked.events, all, ended, outcomes, events, broken);
    }
    return ok;
}

static double ceiling_of(struct bench *b)
{
    struct ceiling_result r = {0};
    struct err_detail d = {0};
    if (ceiling_run(b->conninfo, b->pg_pid, 3, &r, &d) != ERR_OK) {
        (void)fprintf(stderr, "bench: ceiling: %s\n", d.text);
    }
    return r.steps_s;
}

/* W1 under way: what was asked, what the node has counted, steps by the minute. */
enum { MINUTES_MAX = 60 };
struct feed {
    const char *input;
    double in_flight, asked;
    struct counts now;
    double minute[MINUTES_MAX];
    int minutes;
};

/* Keeps "in_flight" executions going until "until", or until "count" more were started. */
static bool feed(struct bench *b, struct feed *f, double until, double count)
{
    double first = f->asked, mark = sys_now(), marked = f->now.outcomes;
    while (sys_now() < until && f->asked - first < count) {
        if (bench_counts(b, &f->now) != CARILLON_OK) {
            return false;
        }
        if (sys_now() - mark >= 60 && f->minutes < MINUTES_MAX) {
            f->minute[f->minutes++] = (f->now.outcomes - marked) / (sys_now() - mark);
            mark = sys_now();
            marked = f->now.outcomes;
        }
        double room = MIN(f->in_flight - (f->asked - f->now.closed), count - (f->asked - first));
        for (int i = 0; i < (int)room; i++, f->asked++) {
            start_one(b, f->input);
        }
        (void)usleep(2000);
    }
    return bench_counts(b, &f->now) == CARILLON_OK;
}

static double table_mib(struct bench *b, const char *table)
{
    char sql[120];
    (void)snprintf(sql, sizeof(sql), "SELECT pg_total_relation_size('carillon.%s') / 1048576.0",
                   table);
    return bench_sql(b, sql);
}

/* Sizes of the tables that must not grow with time, and the rate of each whole minute. */
static void feed_print(struct bench *b, const struct feed *f)
{
    (void)printf(",\"task_mb\":%.1f,\"execution_mb\":%.1f,\"history_mb\":%.1f",
                 table_mib(b, "task"), table_mib(b, "execution"), table_mib(b, "turn"));
    if (f->minutes < 2) {
        return;
    }
    (void)printf(",\"minutes\":[");
    for (int i = 0; i < f->minutes; i++) {
        (void)printf("%s%.0f", i > 0 ? "," : "", f->minute[i]);
    }
    (void)printf("],\"last_to_first\":%.3f", f->minute[f->minutes - 1] / f->minute[0]);
}

int bench_w1(struct bench *b)
{
    struct cli *c = b->cli;
    int processes = c->processes > 0 ? c->processes : 1;
    char *input = payload(c->payload > 0 ? c->payload : 100);
    struct feed f = {.input = input, .in_flight = c->concurrency > 0 ? c->concurrency : 1000};
    if (bench_define(b, "w1", five_tasks) != EXIT_OK) {
        return EXIT_FAILED;
    }
    bench_workers_start(b, processes, "bench", (int)f.in_flight / processes, NULL);
    if (!feed(b, &f, sys_now() + 1, 1e12)) {
        return EXIT_FAILED;
    }
    struct counts from = f.now;
    bench_costs_begin(b);
    double begin = sys_now();
    if (!feed(b, &f, begin + (c->seconds > 0 ? c->seconds : 10), c->count > 0 ? c->count : 1e12)) {
        return EXIT_FAILED;
    }
    double wall = sys_now() - begin, steps = f.now.outcomes - from.outcomes;
    double batches = MAX(f.now.batches - from.batches, 1);
    /* Starting is part of the measured time: end to end is the same figure. */
    (void)printf("{\"peer\":\"carillon\",\"w\":\"W1\",\"steps_s\":%.0f,\"wf_s\":%.0f,"
                 "\"e2e_steps_s\":%.0f,\"seconds\":%.2f,\"in_flight\":%.0f,\"payload\":%zu,"
                 "\"turns_per_batch\":%.1f",
                 steps / wall, (f.now.closed - from.closed) / wall, steps / wall, wall, f.in_flight,
                 strlen(input), (f.now.turns - from.turns) / batches);
    bench_costs_print(b, steps);
    bool ok = bench_wait_closed(b, f.asked, 60) && verified(b, STATUS_SUCCEEDED, five_of(f.asked));
    feed_print(b, &f);
    mem_free(input);
    double top = ceiling_of(b);
    (void)printf(",\"ceiling\":%.0f,\"ratio\":%.3f,\"verified\":%s}\n", top,
                 top > 0 ? steps / wall / top : 0, ok ? "true" : "false");
    return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- map: one execution of many items ---- */

static const char map_of_tasks[] = "{\"StartAt\":\"M\",\"States\":{\"M\":{\"Type\":\"Map\","
                                   "\"ItemsPath\":\"$.items\",\"ItemProcessor\":{"
                                   "\"StartAt\":\"T\",\"States\":{\"T\":{\"Type\":\"Task\","
                                   "\"Resource\":\"queue:bench\",\"End\":true}}},"
                                   "\"End\":true}}}";

enum {
    MAP_ITEM_SIZE = 8,
    EVENTS_OF_MAP = 4,                   /* entered, started, succeeded, exited */
    EVENTS_OF_ITEM = 2 + EVENTS_OF_TASK, /* iteration started, succeeded */
};

static char *numbers(int n)
{
    size_t size = (size_t)n * MAP_ITEM_SIZE + 16, len;
    char *p = mem_alloc(size);
    len = (size_t)snprintf(p, size, "{\"items\":[");
    for (int i = 0; i < n; i++) {
        len += (size_t)snprintf(p + len, size - len, "%s%d", i > 0 ? "," : "", i % 1000000);
    }
    (void)snprintf(p + len, size - len, "]}");
    return p;
}

static double node_and_db_cpu(struct bench *b)
{
    return sys_tree_cpu(b->node_pid) + sys_tree_cpu(b->pg_pid);
}

/* First some seconds of W1, for what a step costs when it stands for itself. */
int bench_map(struct bench *b)
{
    int n = b->cli->count > 0 ? b->cli->count : 10000;
    char *input = payload(100), *items = numbers(n);
    struct feed f = {.input = input, .in_flight = 1000};
    if (bench_define(b, "w1", five_tasks) != EXIT_OK) {
        return EXIT_FAILED;
    }
    bench_workers_start(b, 1, "bench", 1000, NULL);
    if (!feed(b, &f, sys_now() + 1, 1e12)) {
        return EXIT_FAILED;
    }
    double before = f.now.outcomes, cpu = node_and_db_cpu(b);
    if (!feed(b, &f, sys_now() + 4, 1e12)) {
        return EXIT_FAILED;
    }
    double w1 = (node_and_db_cpu(b) - cpu) / (f.now.outcomes - before) * 1000;
    bool ended = bench_wait_closed(b, f.asked, 60);
    if (bench_define(b, "map", map_of_tasks) != EXIT_OK) {
        return EXIT_FAILED;
    }
    bench_costs_begin(b);
    double begin = b->begin_at;
    cpu = b->begin_node + b->begin_db;
    start_one(b, items);
    ended = bench_wait_closed(b, f.asked + 1, 300) && ended;
    double wall = sys_now() - begin, own = (node_and_db_cpu(b) - cpu) / n * 1000;
    (void)printf("{\"peer\":\"carillon\",\"w\":\"map\",\"n\":%d,\"seconds\":%.2f,\"steps_s\":%.0f,"
                 "\"w1_cpu_total\":%.4f,\"cost_ratio\":%.2f",
                 n, wall, n / wall, w1, own / w1);
    bench_costs_print(b, n);
    struct asked asked = five_of(f.asked);
    asked = (struct asked){asked.executions + 1, asked.steps + n,
                           asked.events + EVENTS_OF_EXECUTION + EVENTS_OF_MAP +
                               (double)n * EVENTS_OF_ITEM};
    bool ok = ended && verified(b, STATUS_SUCCEEDED, asked);
    (void)printf(",\"verified\":%s}\n", ok ? "true" : "false");
    mem_free(items);
    mem_free(input);
    return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- W2: latency ---- */

int bench_w2(struct bench *b)
{
    int n = b->cli->count > 0 ? b->cli->count : 300;
    char *input = payload(100);
    double *ms = MEM_ARRAY(double, n);
    if (bench_define(b, "w2", five_tasks) != EXIT_OK) {
        return EXIT_FAILED;
    }
    bench_workers_start(b, 1, "bench", 1, NULL);
    for (int i = -20; i < n; i++) {
        carillon_started s;
        carillon_error e;
        double t = sys_now();
        if (i == 0) {
            bench_costs_begin(b);
        }
        if (carillon_start(b->client, b->workflow, NULL, input, &s, &e) != CARILLON_OK ||
            carillon_wait(b->client, s.execution, 30000, NULL, &e) != CARILLON_OK) {
            return cli_failed("W2", &e);
        }
        if (i >= 0) {
            ms[i] = (sys_now() - t) * 1e3;
        }
    }
    qsort(ms, (size_t)n, sizeof(double), sys_compare_doubles);
    (void)printf("{\"peer\":\"carillon\",\"w\":\"W2\",\"n\":%d,\"ms_p50\":%.2f,\"ms_p99\":%.2f", n,
                 sys_quantile(ms, (size_t)n, 0.5), sys_quantile(ms, (size_t)n, 0.99));
    bench_costs_print(b, (double)n * STEPS);
    bool ok = verified(b, STATUS_SUCCEEDED, five_of(n + 20));
    (void)printf(",\"verified\":%s}\n", ok ? "true" : "false");
    mem_free(ms);
    mem_free(input);
    return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- W3: deadlines at one instant ---- */

static const char wait_then_task[] =
    "{\"StartAt\":\"W\",\"States\":{"
    "\"W\":{\"Type\":\"Wait\",\"TimestampPath\":\"$.due\",\"Next\":\"T\"},"
    "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:bench\",\"End\":true}}}";

static size_t late_read(const char *path, double **out)
{
    FILE *f = fopen(path, "r");
    size_t n = 0, room = 0;
    long long us;
    *out = NULL;
    while (f != NULL && fscanf(f, "%lld", &us) == 1) {
        if (n == room) {
            room = MAX(room * 2, (size_t)1024);
            *out = mem_realloc(*out, room * sizeof(double));
        }
        (*out)[n++] = (double)us / 1e3;
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return n;
}

int bench_w3(struct bench *b)
{
    int n = b->cli->count > 0 ? b->cli->count : 10000;
    char input[160], due[64], path[64];
    double *ms;
    (void)snprintf(path, sizeof(path), "/tmp/carillon-bench-%d.late", getpid());
    if (bench_define(b, "w3", wait_then_task) != EXIT_OK) {
        return EXIT_FAILED;
    }
    bench_workers_start(b, 1, "bench", 1000, path);
    int64_t at = (wall_us() / 1000000 + 6 + n / 5000) * 1000000;
    time_t seconds = (time_t)(at / 1000000);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(due, sizeof(due), "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)snprintf(input, sizeof(input), "{\"due\":\"%s\",\"due_us\":%lld}", due, (long long)at);
    for (int i = 0; i < n; i++) {
        start_one(b, input);
    }
    while (started + failed < n && wall_us() < at) {
        (void)usleep(1000);
    }
    bool in_time = started == n && wall_us() < at;
    bench_costs_begin(b);
    bool ended = bench_wait_closed(b, n, 60);
    size_t got = late_read(path, &ms);
    (void)unlink(path);
    if (got > 0) {
        qsort(ms, got, sizeof(double), sys_compare_doubles);
    }
    size_t early = 0;
    while (early < got && ms[early] < 0) {
        early++;
    }
    (void)printf(
        "{\"peer\":\"carillon\",\"w\":\"W3\",\"n\":%zu,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f,"
        "\"early\":%zu",
        got, sys_quantile(ms, got, 0.5), sys_quantile(ms, got, 0.99), got > 0 ? ms[got - 1] : 0,
        early);
    bench_costs_print(b, n);
    double events = EVENTS_OF_EXECUTION + EVENTS_OF_WAIT + EVENTS_OF_TASK;
    bool ok = in_time && ended && early == 0 && got == (size_t)n &&
              verified(b, STATUS_SUCCEEDED, (struct asked){n, n, n * events});
    (void)printf(",\"verified\":%s}\n", ok ? "true" : "false");
    mem_free(ms);
    return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- W4: starts ---- */

struct caller {
    struct thread thread;
    struct bench *b;
    const char *input;
    double until;
    int64_t n;
};

static void call_starts(void *arg)
{
    struct caller *c = arg;
    while (sys_now() < c->until) {
        if (carillon_start(c->b->client, c->b->workflow, NULL, c->input, NULL, NULL) ==
            CARILLON_OK) {
            c->n++;
        }
    }
}

static const char one_task[] =
    "{\"StartAt\":\"T\",\"States\":{\"T\":{\"Type\":\"Task\",\"Resource\":"
    "\"queue:nobody\",\"End\":true}}}";

enum { CALLERS = 32, BATCHED_AHEAD = 8000 };

int bench_w4(struct bench *b)
{
    double seconds = b->cli->seconds > 0 ? b->cli->seconds : 4, single = 0;
    char *input = payload(100);
    struct caller *callers = MEM_ARRAY(struct caller, CALLERS);
    if (bench_define(b, "w4", one_task) != EXIT_OK) {
        return EXIT_FAILED;
    }
    (void)carillon_start(b->client, b->workflow, NULL, input, NULL, NULL);
    bench_costs_begin(b);
    double begin = sys_now();
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.b = b, .input = input, .until = begin + seconds};
        thread_start(&callers[i].thread, "caller", call_starts, &callers[i]);
    }
    for (int i = 0; i < CALLERS; i++) {
        thread_join(&callers[i].thread);
        single += (double)callers[i].n;
    }
    double single_s = single / (sys_now() - begin);
    (void)printf("{\"peer\":\"carillon\",\"w\":\"W4\",\"single_s\":%.0f", single_s);
    bench_costs_print(b, single);
    begin = sys_now();
    int64_t asked = 0;
    while (sys_now() - begin < seconds) {
        while (asked - started - failed < BATCHED_AHEAD) {
            start_one(b, input);
            asked++;
        }
        (void)usleep(200);
    }
    double bulk_s = (double)started / (sys_now() - begin);
    while (started + failed < asked) {
        (void)usleep(1000);
    }
    double all = single + 1 + (double)asked;
    bool ok = failed == 0 && verified(b, CARILLON_RUNNING,
                                      (struct asked){all, 0, all * (1 + EVENTS_OF_OPEN_TASK)});
    (void)printf(",\"bulk_s\":%.0f,\"verified\":%s}\n", bulk_s, ok ? "true" : "false");
    mem_free(callers);
    mem_free(input);
    return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- idle, rss ---- */

/* What the node's sessions asked for, by statement. */
#define NODE_CALLS \
    " FROM pg_stat_statements s WHERE s.query NOT LIKE '%pg_stat_%' AND s.query NOT LIKE 'SET %'"

int bench_idle(struct bench *b)
{
    double seconds = b->cli->seconds > 0 ? b->cli->seconds : 60;
    struct counts c;
    bench_workers_start(b, 1, "bench", 10, NULL);
    bench_sql_show(b, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
    if (bench_counts(b, &c) != CARILLON_OK) {
        return EXIT_FAILED;
    }
    double settle = sys_now() + 5;
    while (sys_now() < settle) {
        (void)usleep(100000);
    }
    bench_sql_show(b, "SELECT pg_stat_statements_reset()");
    double node = sys_tree_cpu(b->node_pid), end = sys_now() + seconds;
    bench_costs_begin(b);
    while (sys_now() < end) {
        (void)usleep(100000);
    }
    node = sys_tree_cpu(b->node_pid) - node;
    double calls = bench_sql(b, "SELECT coalesce(sum(s.calls), 0)" NODE_CALLS);
    bench_sql_show(b,
                   "SELECT s.calls, left(regexp_replace(s.query, '\\s+', ' ', 'g'), 90)" NODE_CALLS
                   " ORDER BY 1 DESC LIMIT 12");
    /* Each call of an idle node is a transaction of its own. */
    (void)printf("{\"peer\":\"carillon\",\"w\":\"idle\",\"seconds\":%.0f,\"calls\":%.0f,"
                 "\"commits_s\":%.2f,\"node_cpu_s\":%.3f",
                 seconds, calls, calls / seconds, node);
    bench_costs_print(b, 0);
    bool ok = verified(b, 0, (struct asked){0, 0, 0});
    (void)printf(",\"verified\":%s}\n", ok ? "true" : "false");
    return ok ? EXIT_OK : EXIT_FAILED;
}

static const char sleeping[] =
    "{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"Seconds\":"
    "7200,\"End\":true}}}";

int bench_rss(struct bench *b)
{
    int n = b->cli->count > 0 ? b->cli->count : 100000;
    char *input = payload(100);
    if (bench_define(b, "rss", sleeping) != EXIT_OK) {
        return EXIT_FAILED;
    }
    bench_costs_begin(b);
    for (int64_t asked = 0; asked < n;) {
        while (asked < n && asked - started - failed < BATCHED_AHEAD) {
            start_one(b, input);
            asked++;
        }
        (void)usleep(500);
    }
    while (started + failed < n) {
        (void)usleep(1000);
    }
    (void)printf("{\"peer\":\"carillon\",\"w\":\"rss\",\"sleeping\":%d", n);
    bench_costs_print(b, n);
    /* Started, and the wait entered. */
    bool ok = verified(b, CARILLON_RUNNING, (struct asked){n, 0, n * 2.0});
    (void)printf(",\"verified\":%s}\n", ok ? "true" : "false");
    mem_free(input);
    return ok ? EXIT_OK : EXIT_FAILED;
}
