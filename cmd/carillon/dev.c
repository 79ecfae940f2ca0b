/* `carillon dev`: the first minute. A private PostgreSQL, a node in this process, an echo worker. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/log.h"
#include "base/os.h"
#include "cmd/carillon/bench_sys.h"
#include "cmd/carillon/cli.h"
#include "cmd/daemon.h"
#include "cmd/private_pg.h"

static const char hello[] = "{\"Comment\":\"The first workflow\",\"StartAt\":\"Greet\",\"States\":{"
                            "\"Greet\":{\"Type\":\"Task\",\"Resource\":\"queue:echo\","
                            "\"ResultPath\":\"$.echo\",\"End\":true}}}";

static void echo(void *arg, struct carillon_task *t)
{
    (void)arg;
    carillon_task_succeed(t, carillon_task_input(t));
}

struct dev {
    struct pg_private *pg;
    struct daemon *node;
    struct daemon_config config;
    struct carillon *client;
    struct carillon_worker *worker;
};

static bool up(struct dev *d, struct cli *c)
{
    struct err_detail detail = {0};
    const char *data = c->data != NULL ? c->data : c->once ? NULL : "carillon-dev";
    d->pg = pg_private_open(data, NULL, &detail);
    if (d->pg == NULL) {
        (void)fprintf(stderr, "carillon: private PostgreSQL: %s\n", detail.text);
        return false;
    }
    node_config_defaults(&d->config.node);
    d->config.node.node_id = STR("dev");
    d->config.node.listen = str_of(c->listen != NULL ? c->listen
                                   : c->once         ? "tcp://127.0.0.1:0"
                                                     : "tcp://127.0.0.1:7070");
    d->config.node.admin_taken = ADMIN_TAKEN_ANY_PORT;
    if (c->once) {
        d->config.node.admin = STR_NONE;
    }
    d->config.database = pg_private_socket_conninfo(d->pg);
    d->node = daemon_start(&d->config, &detail);
    if (d->node == NULL) {
        (void)fprintf(stderr, "carillon: node: %s\n", detail.text);
        return false;
    }
    static const char *const queues[] = {"echo", NULL};
    struct carillon_options o = {.name = "dev-echo"};
    if (carillon_open(daemon_address(d->node), &o, &d->client) != CARILLON_OK ||
        carillon_worker_start(d->client,
                              &(struct carillon_worker_options){.queues = queues,
                                                                .concurrency = 100,
                                                                .handler = echo},
                              &d->worker) != CARILLON_OK) {
        (void)fprintf(stderr, "carillon: echo worker: %s\n", carillon_error_text());
        return false;
    }
    return daemon_wait_active(d->node, 30 * (int64_t)US_PER_S);
}

static void down(struct dev *d)
{
    (void)carillon_worker_stop(d->worker, 5000);
    carillon_close(d->client);
    if (d->node != NULL) {
        (void)daemon_stop(d->node);
    }
    pg_private_stop(d->pg);
}

static int first_run(struct dev *d, double begin)
{
    struct carillon_execution x;
    char id[CARILLON_ID_SIZE];
    int rc = carillon_define(d->client, "hello", hello, NULL);
    if (rc == CARILLON_OK) {
        rc = carillon_start(d->client, "hello", NULL, "{\"who\":\"world\"}", id, NULL);
    }
    if (rc == CARILLON_OK) {
        rc = carillon_wait(d->client, id, 30000, &x);
    }
    if (rc != CARILLON_OK) {
        return cli_failed(rc, "first run");
    }
    (void)printf("first run %s after %.1f s\n", carillon_status_name(x.status), sys_now() - begin);
    bool ok = x.status == CARILLON_SUCCEEDED;
    carillon_execution_free(&x);
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
                 carillon_version(), daemon_address(d->node), daemon_admin(d->node),
                 daemon_database_text(d->node), c->data != NULL ? c->data : "./carillon-dev");
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
