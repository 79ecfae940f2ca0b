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
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

/* ---- the worker ---- */

static int ledger = -1;

/* The effect: one line, on disk before the outcome is given. */
static void effect(const carillon_task *t)
{
    char line[512];
    int n = snprintf(line, sizeof(line), "%s %s %s %u %d\n", carillon_task_execution(t),
                     carillon_task_state(t), carillon_task_token(t), carillon_task_attempt(t),
                     getpid());
    if (write(ledger, line, (size_t)n) != n || fsync(ledger) != 0) {
        (void)fprintf(stderr, "demo-worker: ledger: %s\n", strerror(errno));
        _exit(EXIT_FAILED);
    }
}

/* A number from 0 to 99 that is the same whenever this attempt is looked at. */
static unsigned luck(const carillon_task *t)
{
    const char *token = carillon_task_token(t);
    return (unsigned)(hash_bytes(token, strlen(token)) % 100);
}

/* A service that takes a moment, as services do. */
static void take_a_moment(const carillon_task *t)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(1 + luck(t) % 20) * 1000000L}, NULL);
}

static void serve(void *arg, carillon_task *t)
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
    if (carillon_task_succeed(t, answer) != CARILLON_OK) {
        (void)carillon_task_give_back(t);
    }
}

int cmd_demo_worker(struct cli *c)
{
    carillon_worker *w = NULL;
    carillon_error e;
    char name[64];
    sigset_t set;
    int sig;
    (void)snprintf(name, sizeof(name), "%s-%d", c->queue, getpid());
    carillon_options o = {.addresses = c->address, .name = name};
    carillon_worker_options wo = {.queues = &c->queue,
                                  .queues_len = 1,
                                  .concurrency = 20,
                                  .threads = 8,
                                  .handler = serve,
                                  .arg = (void *)(uintptr_t)c->queue};
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    ledger = open(c->data, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (ledger < 0) {
        (void)fprintf(stderr, "demo-worker: %s: %s\n", c->data, strerror(errno));
        return EXIT_FAILED;
    }
    if (carillon_client_new(&o, &c->client, &e) != CARILLON_OK ||
        carillon_worker_new(c->client, &wo, &w, &e) != CARILLON_OK ||
        carillon_worker_start(w, &e) != CARILLON_OK) {
        carillon_worker_free(w);
        return cli_failed("demo-worker", &e);
    }
    (void)sigwait(&set, &sig);
    int rc = carillon_worker_stop(w, 10000, &e);
    carillon_worker_free(w);
    return rc == CARILLON_OK ? EXIT_OK : cli_failed("demo-worker", &e);
}

/* ---- the driver ---- */

static _Atomic int placed, refused;

static void on_placed(void *arg, int code, const carillon_started *s, const char *error_text)
{
    carillon_started *out = arg;
    if (code == CARILLON_OK) {
        *out = *s;
        placed++;
    } else {
        (void)fprintf(stderr, "demo-orders: %s: %s\n", carillon_code_name(code), error_text);
        refused++;
    }
}

/* Waits for each order's end; "ended" counts by status. */
static void orders_wait(carillon_client *client, const carillon_started *orders, int n,
                        int ended[CARILLON_ABORTED + 1])
{
    for (int i = 0; i < n; i++) {
        carillon_execution *x = NULL;
        carillon_error e;
        if (orders[i].execution[0] == '\0') {
            continue;
        }
        if (carillon_wait(client, orders[i].execution, 120000, &x, &e) != CARILLON_OK) {
            (void)cli_failed(orders[i].name, &e);
            continue;
        }
        ended[x->status]++;
        carillon_execution_free(x);
    }
}

/* Places --count orders over --seconds, then waits for each; prints how they ended. */
int cmd_demo_orders(struct cli *c)
{
    int n = c->count > 0 ? c->count : 300, ended[CARILLON_ABORTED + 1] = {0};
    double seconds = c->seconds > 0 ? c->seconds : 10, begin = sys_now();
    carillon_options o = {.addresses = c->address, .name = "demo-orders", .timeout_ms = 120000};
    carillon_error e;
    if (carillon_client_new(&o, &c->client, &e) != CARILLON_OK) {
        return cli_failed("demo-orders", &e);
    }
    carillon_started *orders = MEM_ARRAY(carillon_started, n);
    for (int i = 0; i < n; i++) {
        char name[32], input[160];
        (void)snprintf(name, sizeof(name), "%.20s-%04d", c->name != NULL ? c->name : "order", i);
        (void)snprintf(input, sizeof(input),
                       "{\"order\":\"%s\",\"item\":\"bell-%d\",\"quantity\":%d,\"tries\":0}", name,
                       i % 12, 1 + i % 3);
        int code = carillon_start_async(c->client, "order", name, input, on_placed, &orders[i], &e);
        if (code != CARILLON_OK) {
            on_placed(&orders[i], code, NULL, e.text);
        }
        double due = begin + seconds * (i + 1) / n - sys_now();
        if (due > 0) {
            (void)nanosleep(&(struct timespec){.tv_nsec = (long)(due * 1e9)}, NULL);
        }
    }
    while (placed + refused < n) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000L}, NULL);
    }
    orders_wait(c->client, orders, n, ended);
    mem_free(orders);
    (void)printf("placed %d refused %d succeeded %d failed %d\n", placed, refused,
                 ended[CARILLON_SUCCEEDED], ended[CARILLON_FAILED]);
    return placed == n && ended[CARILLON_SUCCEEDED] + ended[CARILLON_FAILED] == n ? EXIT_OK
                                                                                  : EXIT_FAILED;
}
