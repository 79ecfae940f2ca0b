/* What tools/demo.sh runs: workers that do orders and keep a ledger of what they really did, and a driver
 * that places the orders. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "cmd/carillon/bench_sys.h"
#include "cmd/carillon/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* ---- the worker ---- */

static int ledger = -1;

/* The effect: one line, on disk before the outcome is given. */
static void effect(const struct carillon_task *t)
{
    char line[512];
    int n = snprintf(line, sizeof(line), "%s %s %s %d %d\n", carillon_task_execution(t),
                     carillon_task_state(t), carillon_task_token(t), carillon_task_attempt(t),
                     getpid());
    if (write(ledger, line, (size_t)n) != n || fsync(ledger) != 0) {
        (void)fprintf(stderr, "demo-worker: ledger: %s\n", strerror(errno));
        _exit(EXIT_FAILED);
    }
}

/* A number from 0 to 99 that is the same whenever this attempt is looked at. */
static unsigned luck(const struct carillon_task *t)
{
    const char *token = carillon_task_token(t);
    return (unsigned)(hash_bytes(token, strlen(token)) % 100);
}

/* A service that takes a moment, as services do. */
static void take_a_moment(const struct carillon_task *t)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(1 + luck(t) % 20) * 1000000L}, NULL);
}

static void serve(void *arg, struct carillon_task *t)
{
    const char *queue = arg;
    char answer[160];
    take_a_moment(t);
    effect(t);
    if (strcmp(queue, "inventory") == 0) {
        (void)snprintf(answer, sizeof(answer), "{\"inStock\":%s,\"shelf\":\"A%u\"}",
                       luck(t) < 90 ? "true" : "false", luck(t));
    } else if (strcmp(queue, "payment") == 0) {
        (void)snprintf(answer, sizeof(answer), "{\"status\":\"%s\"}",
                       luck(t) < 75 ? "charged" : "declined");
    } else {
        (void)snprintf(answer, sizeof(answer), "{\"parcel\":\"P-%.8s\"}",
                       carillon_task_token(t) + 20);
    }
    carillon_task_succeed(t, answer);
}

int cmd_demo_worker(struct cli *c)
{
    const char *queues[] = {c->queue, NULL};
    struct carillon_worker *w = NULL;
    char name[64];
    sigset_t set;
    int sig;
    (void)snprintf(name, sizeof(name), "%s-%d", c->queue, getpid());
    struct carillon_options o = {.name = name};
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    ledger = open(c->data, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (ledger < 0 || carillon_open(c->address, &o, &c->client) != CARILLON_OK ||
        carillon_worker_start(c->client,
                              &(struct carillon_worker_options){.queues = queues,
                                                                .concurrency = 20,
                                                                .threads = 8,
                                                                .handler = serve,
                                                                .arg = (void *)(uintptr_t)c->queue},
                              &w) != CARILLON_OK) {
        return cli_failed(CARILLON_INVALID, "demo-worker");
    }
    (void)sigwait(&set, &sig);
    return carillon_worker_stop(w, 10000) == CARILLON_OK ? EXIT_OK : EXIT_FAILED;
}

/* ---- the driver ---- */

static int64_t placed, refused;

static void on_placed(void *arg, int err, const char *id)
{
    if (err == CARILLON_OK) {
        (void)snprintf(arg, CARILLON_ID_SIZE, "%s", id);
        __atomic_add_fetch(&placed, 1, __ATOMIC_SEQ_CST);
    } else {
        (void)fprintf(stderr, "demo-orders: %s: %s\n", carillon_error_name(err),
                      carillon_error_text());
        __atomic_add_fetch(&refused, 1, __ATOMIC_SEQ_CST);
    }
}

/* Places --count orders over --seconds, then waits for each; prints how they ended. */
int cmd_demo_orders(struct cli *c)
{
    int n = c->count > 0 ? c->count : 300, ended[6] = {0};
    double seconds = c->seconds > 0 ? c->seconds : 10, begin = sys_now();
    struct carillon_options o = {.name = "demo-orders", .timeout_ms = 120000};
    if (carillon_open(c->address, &o, &c->client) != CARILLON_OK) {
        return cli_failed(CARILLON_INVALID, "demo-orders");
    }
    char(*ids)[CARILLON_ID_SIZE] = mem_alloc((size_t)n * CARILLON_ID_SIZE);
    for (int i = 0; i < n; i++) {
        char name[32], input[160];
        (void)snprintf(name, sizeof(name), "%.20s-%04d", c->name != NULL ? c->name : "order", i);
        (void)snprintf(input, sizeof(input),
                       "{\"order\":\"%s\",\"item\":\"bell-%d\",\"quantity\":%d,\"tries\":0}", name,
                       i % 12, 1 + i % 3);
        (void)carillon_start_async(c->client, "order", name, input, on_placed, ids[i]);
        double due = begin + seconds * (i + 1) / n - sys_now();
        if (due > 0) {
            (void)nanosleep(&(struct timespec){.tv_nsec = (long)(due * 1e9)}, NULL);
        }
    }
    while (placed + refused < n) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000L}, NULL);
    }
    for (int i = 0; i < n; i++) {
        struct carillon_execution x;
        if (ids[i][0] != '\0' && carillon_wait(c->client, ids[i], 120000, &x) == CARILLON_OK) {
            ended[x.status]++;
            carillon_execution_free(&x);
        }
    }
    mem_free(ids);
    (void)printf("placed %lld refused %lld succeeded %d failed %d\n", (long long)placed,
                 (long long)refused, ended[CARILLON_SUCCEEDED], ended[CARILLON_FAILED]);
    return placed == n && ended[CARILLON_SUCCEEDED] + ended[CARILLON_FAILED] == n ? EXIT_OK
                                                                                  : EXIT_FAILED;
}
