/* `carillon dev`: the first minute. A private PostgreSQL, a node in this process, an echo worker. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/log.h"
#include "base/os.h"
#include "cmd/carillon/bench_sys.h"
#include "cmd/carillon/cli.h"
#include "cmd/carillon/local_node.h"

static const char hello[] = "{\"Comment\":\"The first workflow\",\"StartAt\":\"Greet\",\"States\":{"
                            "\"Greet\":{\"Type\":\"Task\",\"Resource\":\"queue:echo\","
                            "\"ResultPath\":\"$.echo\",\"End\":true}}}";

static void echo(void *arg, carillon_task *t)
{
    (void)arg;
    if (carillon_task_succeed(t, carillon_task_input(t)) != CARILLON_OK) {
        (void)carillon_task_give_back(t);
    }
}

struct dev {
    struct local_node local;
    carillon_client *client;
    carillon_worker *worker;
};

static bool worker_up(struct dev *d)
{
    static const char *const queues[] = {"echo"};
    carillon_options o = {.addresses = daemon_address(d->local.node), .name = "dev-echo"};
    carillon_worker_options w = {.queues = queues,
                                 .queues_len = ARRAY_LEN(queues),
                                 .concurrency = 100,
                                 .handler = echo};
    carillon_error e;
    if (carillon_client_new(&o, &d->client, &e) != CARILLON_OK ||
        carillon_worker_new(d->client, &w, &d->worker, &e) != CARILLON_OK ||
        carillon_worker_start(d->worker, &e) != CARILLON_OK) {
        (void)cli_failed("echo worker", &e);
        return false;
    }
    return true;
}

static bool up(struct dev *d, struct cli *c)
{
    const char *data = c->data != NULL ? c->data : c->once ? NULL : "carillon-dev";
    const char *listen = c->listen != NULL ? c->listen
                         : c->once         ? "tcp://127.0.0.1:0"
                                           : "tcp://127.0.0.1:7070";
    return local_node_start(&d->local, data, listen, !c->once) && worker_up(d);
}

static void down(struct dev *d)
{
    if (d->worker != NULL) {
        (void)carillon_worker_stop(d->worker, 5000, NULL);
    }
    carillon_worker_free(d->worker);
    carillon_client_free(d->client);
    local_node_stop(&d->local);
}

static int first_run(struct dev *d, double begin)
{
    carillon_execution *x = NULL;
    carillon_started s;
    carillon_error e;
    int rc = carillon_definition_put(d->client, "hello", hello, CARILLON_FORMAT_JSON, NULL, NULL,
                                     NULL, &e);
    if (rc == CARILLON_OK) {
        rc = carillon_start(d->client, "hello", NULL, "{\"who\":\"world\"}", &s, &e);
    }
    if (rc == CARILLON_OK) {
        rc = carillon_wait(d->client, s.execution, 30000, &x, &e);
    }
    if (rc != CARILLON_OK) {
        return cli_failed("first run", &e);
    }
    (void)printf("first run %s after %.1f s\n", carillon_status_name(x->status), sys_now() - begin);
    bool ok = x->status == CARILLON_SUCCEEDED;
    carillon_execution_free(x);
    return ok ? EXIT_OK : EXIT_FAILED;
}

static void banner(const struct dev *d, const struct cli *c)
{
    (void)printf("Carillon %s, development mode: loopback only, not for production.\n"
                 "  node      %s\n"
                 "  admin     http://%s (health, metrics, /v1)\n"
                 "  database  %s, kept in %s\n"
                 "  worker    queue \"echo\" answers with its input\n"
                 "Try:  carillon workflow create hello examples/hello.yaml\n"
                 "      carillon start hello --input '{\"name\":\"you\"}' --wait\n"
                 "Stop with Ctrl-C.\n",
                 carillon_version(), daemon_address(d->local.node), daemon_admin(d->local.node),
                 daemon_database_text(d->local.node), c->data != NULL ? c->data : "./carillon-dev");
    (void)fflush(stdout);
}

int cmd_dev(struct cli *c)
{
    double begin = sys_now();
    struct dev d = {0};
    daemon_block_signals();
    log_set_clock(os_clock());
    if (c->once) {
        (void)log_set_level(STR("*"), LOG_WARN);
    }
    int rc = up(&d, c) ? EXIT_OK : EXIT_FAILED;
    if (rc == EXIT_OK && c->once) {
        rc = first_run(&d, begin);
    } else if (rc == EXIT_OK) {
        banner(&d, c);
        (void)daemon_wait_signal();
    }
    down(&d);
    return rc;
}
