/* The commands that talk to a node, and the table of all. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "cmd/carillon/cli.h"

/* ---- helpers ---- */

struct carillon *cli_client(struct cli *c)
{
    if (c->client == NULL) {
        struct carillon_options o = {.name = "carillon-cli",
                                     .tenant = c->tenant,
                                     .timeout_ms = 15000};
        if (carillon_open(c->address, &o, &c->client) != CARILLON_OK) {
            (void)fprintf(stderr, "carillon: %s\n", carillon_error_text());
            c->client = NULL;
        }
    }
    return c->client;
}

int cli_failed(int err, const char *what)
{
    (void)fprintf(stderr, "carillon: %s: %s\n", what, carillon_error_text());
    switch (err) {
    case CARILLON_NOT_FOUND:
    case CARILLON_NO_WORKFLOW:
    case CARILLON_NO_EXECUTION:
        return EXIT_NOT_FOUND;
    case CARILLON_EXISTS:
    case CARILLON_STALE:
    case CARILLON_STOPPED:
        return EXIT_CONFLICT;
    case CARILLON_UNAVAILABLE:
        return EXIT_UNREACHABLE;
    case CARILLON_UNKNOWN:
    case ERR_TIMEOUT:
        return EXIT_TIMEOUT;
    default:
        return EXIT_FAILED;
    }
}

char *cli_read_file(const char *path)
{
    struct buf b;
    struct err_detail d = {0};
    const char *real = strcmp(path, "-") == 0 ? "/dev/stdin" : path;
    buf_init(&b, 0);
    if (os_read_file(real, 8u << 20, &b, &d) != ERR_OK) {
        (void)fprintf(stderr, "carillon: %s: %s\n", path, d.text);
        buf_fini(&b);
        return NULL;
    }
    buf_putc(&b, '\0');
    char *text = mem_strdup(b.p);
    buf_fini(&b);
    return text;
}

void cli_json_string(FILE *out, const char *s)
{
    struct buf b;
    buf_init(&b, 0);
    json_write_string(&b, str_of(s == NULL ? "" : s));
    (void)fwrite(b.p, 1, b.size, out);
    buf_fini(&b);
}

const char *cli_time(int64_t ms)
{
    static char text[2][WALL_TEXT_SIZE];
    static int turn;
    if (ms == 0) {
        return "-";
    }
    turn = !turn;
    wall_format((struct wall){ms * US_PER_MS}, 3, text[turn]);
    return text[turn];
}

static int status_number(const char *name)
{
    for (int i = CARILLON_RUNNING; name != NULL && i <= CARILLON_ABORTED; i++) {
        if (strcmp(name, carillon_status_name(i)) == 0) {
            return i;
        }
    }
    return 0;
}

/* ---- executions ---- */

/* Payloads too are texts in the API's own form. */
static void member(const char *key, const char *value)
{
    if (value == NULL) {
        return;
    }
    (void)printf(",\"%s\":", key);
    cli_json_string(stdout, value);
}

static void execution_print(const struct cli *c, const struct carillon_execution *x)
{
    if (c->json) {
        (void)printf("{\"executionArn\":\"%s\"", x->id);
        member("name", x->name);
        member("stateMachineArn", x->workflow);
        member("status", carillon_status_name(x->status));
        member("startDate", cli_time(x->started_ms));
        if (x->closed_ms != 0) {
            member("stopDate", cli_time(x->closed_ms));
        }
        member("input", x->input);
        member("output", x->output);
        member("error", x->error);
        member("cause", x->cause);
        (void)printf(",\"events\":%d,\"workflowVersion\":%d}\n", x->events, x->workflow_version);
        return;
    }
    (void)printf("execution  %s\nworkflow   %s (version %d)\nname       %s\nstatus     %s\n", x->id,
                 x->workflow, x->workflow_version, x->name, carillon_status_name(x->status));
    (void)printf("started    %s\nclosed     %s\nevents     %d\n", cli_time(x->started_ms),
                 cli_time(x->closed_ms), x->events);
    if (x->input != NULL) {
        (void)printf("input      %s\n", x->input);
    }
    if (x->output != NULL) {
        (void)printf("output     %s\n", x->output);
    }
    if (x->error != NULL) {
        (void)printf("error      %s\n", x->error);
    }
    if (x->cause != NULL) {
        (void)printf("cause      %s\n", x->cause);
    }
}

static int wait_and_print(struct cli *c, const char *id)
{
    struct carillon_execution x;
    int rc = carillon_wait(cli_client(c), id, (int)c->timeout_ms, &x);
    if (rc != CARILLON_OK) {
        return cli_failed(rc, "wait");
    }
    execution_print(c, &x);
    bool ok = x.status == CARILLON_SUCCEEDED;
    carillon_execution_free(&x);
    return ok ? EXIT_OK : EXIT_FAILED;
}

static int cmd_start(struct cli *c)
{
    char id[CARILLON_ID_SIZE];
    char *input = NULL;
    int created = 0;
    if (c->input != NULL && c->input[0] == '@') {
        input = cli_read_file(c->input + 1);
        if (input == NULL) {
            return EXIT_USAGE;
        }
    }
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    int rc = carillon_start(c->client, c->args[0], c->name, input != NULL ? input : c->input, id,
                            &created);
    mem_free(input);
    if (rc != CARILLON_OK) {
        return cli_failed(rc, "start");
    }
    if (c->wait) {
        return wait_and_print(c, id);
    }
    if (c->json) {
        (void)printf("{\"executionArn\":\"%s\",\"created\":%s}\n", id, created ? "true" : "false");
    } else {
        (void)printf("%s%s\n", id, created ? "" : " (existed)");
    }
    return EXIT_OK;
}

static int cmd_describe(struct cli *c)
{
    struct carillon_execution x;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    int rc = c->args_len == 2 ? carillon_describe_name(c->client, c->args[0], c->args[1], &x)
                              : carillon_describe(c->client, c->args[0], &x);
    if (rc != CARILLON_OK) {
        return cli_failed(rc, "describe");
    }
    execution_print(c, &x);
    carillon_execution_free(&x);
    return EXIT_OK;
}

static int cmd_wait(struct cli *c)
{
    return cli_client(c) == NULL ? EXIT_USAGE : wait_and_print(c, c->args[0]);
}

static int cmd_stop(struct cli *c)
{
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    int rc = carillon_stop(c->client, c->args[0], c->error, c->cause);
    return rc == CARILLON_OK ? EXIT_OK : cli_failed(rc, "stop");
}

struct rows {
    struct cli *c;
    int n;
};

static int list_row(void *arg, const char *id, const char *workflow, const char *name, int status,
                    int64_t started_ms, int64_t closed_ms)
{
    struct rows *r = arg;
    if (r->c->json) {
        (void)printf("%s{\"executionArn\":\"%s\",\"stateMachineArn\":", r->n++ > 0 ? ",\n" : "",
                     id);
        cli_json_string(stdout, workflow);
        member("name", name);
        member("status", carillon_status_name(status));
        member("startDate", cli_time(started_ms));
        if (closed_ms != 0) {
            member("stopDate", cli_time(closed_ms));
        }
        (void)printf("}");
        return 0;
    }
    if (r->n++ == 0) {
        (void)printf("%-36s  %-9s  %-24s  %s\n", "EXECUTION", "STATUS", "STARTED", "WORKFLOW/NAME");
    }
    (void)printf("%-36s  %-9s  %-24s  %s/%s\n", id, carillon_status_name(status),
                 cli_time(started_ms), workflow, name);
    return 0;
}

static int cmd_list(struct cli *c)
{
    struct rows r = {.c = c};
    if (c->status != NULL && status_number(c->status) == 0) {
        (void)fprintf(stderr,
                      "carillon: --status is one of RUNNING SUCCEEDED FAILED TIMED_OUT ABORTED\n");
        return EXIT_USAGE;
    }
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    if (c->json) {
        (void)printf("[");
    }
    int rc = carillon_list(c->client, c->workflow, status_number(c->status),
                           c->limit > 0 ? c->limit : 100, list_row, &r);
    if (c->json) {
        (void)printf("]\n");
    }
    return rc == CARILLON_OK ? EXIT_OK : cli_failed(rc, "list");
}

/* One line an event: time, number, type, name. */
static int history_row(void *arg, const char *json)
{
    struct rows *r = arg;
    if (r->c->json) {
        (void)printf("%s%s", r->n++ > 0 ? ",\n" : "", json);
        return 0;
    }
    struct arena a;
    const struct jv *v = NULL;
    arena_init(&a, 0);
    if (json_parse(&a, str_of(json), JSON_LIMITS_PAYLOAD, true, &v, NULL) == ERR_OK) {
        const struct jv *d = jv_getc(v, "details");
        (void)printf("%5.0f  %.*s  %-26.*s %.*s%s%.*s\n", jv_num(jv_getc(v, "id")),
                     STR_ARG(jv_str(jv_getc(v, "timestamp"))), STR_ARG(jv_str(jv_getc(v, "type"))),
                     STR_ARG(jv_str(jv_getc(v, "scope"))), jv_getc(v, "scope") != NULL ? "/" : "",
                     STR_ARG(jv_str(jv_getc(d, "name"))));
    }
    arena_fini(&a);
    return 0;
}

static int cmd_history(struct cli *c)
{
    struct rows r = {.c = c};
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    if (c->json) {
        (void)printf("{\"events\":[");
    }
    int rc = carillon_history(c->client, c->args[0], history_row, &r);
    if (c->json) {
        (void)printf("]}\n");
    }
    return rc == CARILLON_OK ? EXIT_OK : cli_failed(rc, "history");
}

static int cmd_status(struct cli *c)
{
    char *json = NULL;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    int rc = carillon_node_status(c->client, &json);
    if (rc != CARILLON_OK) {
        return cli_failed(rc, "status");
    }
    (void)printf("%s\n", json);
    free(json);
    return EXIT_OK;
}

/* ---- workflows ---- */

static int cmd_workflow_create(struct cli *c)
{
    int version = 0;
    char *text = cli_read_file(c->args[1]);
    if (text == NULL || cli_client(c) == NULL) {
        mem_free(text);
        return EXIT_USAGE;
    }
    int rc = carillon_define(c->client, c->args[0], text, &version);
    mem_free(text);
    if (rc != CARILLON_OK) {
        return cli_failed(rc, c->args[1]);
    }
    (void)printf(c->json ? "{\"workflow\":\"%s\",\"version\":%d}\n" : "%s version %d\n", c->args[0],
                 version);
    return EXIT_OK;
}

static void workflow_row(void *arg, const char *workflow, int version, int64_t created_ms)
{
    struct rows *r = arg;
    if (r->c->json) {
        (void)printf("%s{\"workflow\":\"%s\",\"version\":%d,\"createdAt\":\"%s\"}",
                     r->n++ > 0 ? ",\n" : "", workflow, version, cli_time(created_ms));
    } else {
        (void)printf("%-32s  version %-4d %s\n", workflow, version, cli_time(created_ms));
    }
}

static int cmd_workflow_list(struct cli *c)
{
    struct rows r = {.c = c};
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    if (c->json) {
        (void)printf("[");
    }
    int rc = carillon_definitions(c->client, workflow_row, &r);
    if (c->json) {
        (void)printf("]\n");
    }
    return rc == CARILLON_OK ? EXIT_OK : cli_failed(rc, "workflow list");
}

static int cmd_workflow_show(struct cli *c)
{
    char *text = NULL;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    int rc = carillon_definition(c->client, c->args[0], 0, &text, NULL);
    if (rc != CARILLON_OK) {
        return cli_failed(rc, c->args[0]);
    }
    (void)printf("%s\n", text);
    free(text);
    return EXIT_OK;
}

static int cmd_workflow_delete(struct cli *c)
{
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    int rc = carillon_undefine(c->client, c->args[0]);
    return rc == CARILLON_OK ? EXIT_OK : cli_failed(rc, c->args[0]);
}

/* ---- the table ---- */

const struct command commands[] = {
    {"dev", "", "a node with a private PostgreSQL and an echo worker, on this machine only",
     "Everything it stores is kept in the folder --data (default ./carillon-dev) and is there\n"
     "again at the next start. Listens on the loopback; not for production.\n"
     "--once runs a first workflow, says how long it took, and ends.",
     0, 0, cmd_dev},
    {"workflow create", "NAME FILE", "store a definition (JSON or YAML; - reads standard input)",
     NULL, 2, 2, cmd_workflow_create},
    {"workflow list", "", "workflows by name", NULL, 0, 0, cmd_workflow_list},
    {"workflow show", "NAME", "the newest definition, as it was put", NULL, 1, 1,
     cmd_workflow_show},
    {"workflow delete", "NAME", "no more starts; what runs goes on", NULL, 1, 1,
     cmd_workflow_delete},
    {"start", "WORKFLOW", "start an execution",
     "With --wait the exit code is 0 only when it SUCCEEDED.", 1, 1, cmd_start},
    {"list", "", "executions, newest first", NULL, 0, 0, cmd_list},
    {"describe", "EXECUTION | WORKFLOW NAME", "one execution", NULL, 1, 2, cmd_describe},
    {"history", "EXECUTION", "its events", NULL, 1, 1, cmd_history},
    {"wait", "EXECUTION", "until it has ended; exit code 0 only when it SUCCEEDED", NULL, 1, 1,
     cmd_wait},
    {"stop", "EXECUTION", "end it as ABORTED", NULL, 1, 1, cmd_stop},
    {"status", "", "the node's state, as JSON", NULL, 0, 0, cmd_status},
    {"bench", "W1|W2|W3|W4|ceiling|idle|rss", "measure; the last line is one JSON object",
     "W1 steps per second, 1,000 executions of five tasks in flight; W2 latency of five steps, "
     "one\n"
     "execution at a time; W3 10,000 deadlines at one instant; W4 starts, single and batched;\n"
     "ceiling: what PostgreSQL alone can do; idle: what waiting costs; rss: memory with sleeping\n"
     "executions. --private brings a PostgreSQL and a node of its own; workers are processes.",
     1, 1, cmd_bench},
    {"bench-worker", "", NULL, NULL, 0, 0, cmd_bench_worker},
    {"demo-worker", "", NULL, NULL, 0, 0, cmd_demo_worker},
    {"demo-orders", "", NULL, NULL, 0, 0, cmd_demo_orders},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};
