/* `carillon bench`: the stage. With --private: a PostgreSQL of its own with durable settings, a carillond
 * process, worker processes over nng TCP; everything ends with this process. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/json.h"
#include "cmd/carillon/bench.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- processes ---- */

static void own_folder(char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
}

/* Starts a program from our own folder; it dies with us. Its talk goes to our standard error. */
static int spawn(const char *program, const char *const args[])
{
    char path[512], folder[400];
    const char *argv[24] = {path};
    size_t n = 1;
    own_folder(folder, sizeof(folder));
    (void)snprintf(path, sizeof(path), "%s/%s", folder, program);
    for (; args[n - 1] != NULL && n < ARRAY_LEN(argv) - 1; n++) {
        argv[n] = args[n - 1];
    }
    (void)fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        if (getppid() == parent) {
            (void)execv(path, (char *const *)(uintptr_t)argv);
        }
        _exit(127);
    }
    return (int)pid;
}

static void end_process(int pid, int sig)
{
    if (pid > 0) {
        (void)kill(pid, sig);
        (void)waitpid(pid, NULL, 0);
    }
}

static int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int port = 0;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &size) == 0) {
        port = ntohs(a.sin_port);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return port;
}

/* ---- what loads use ---- */

double bench_sql(struct bench *b, const char *sql)
{
    PGconn *pg = PQconnectdb(b->conninfo);
    PGresult *r = PQexec(pg, sql);
    double v = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1
                   ? strtod(PQgetvalue(r, 0, 0), NULL)
                   : -1;
    if (v < 0) {
        (void)fprintf(stderr, "bench: %s: %s\n", sql, PQerrorMessage(pg));
    }
    PQclear(r);
    PQfinish(pg);
    return v;
}

void bench_sql_show(struct bench *b, const char *sql)
{
    PGconn *pg = PQconnectdb(b->conninfo);
    PGresult *r = PQexec(pg, sql);
    for (int i = 0; PQresultStatus(r) == PGRES_TUPLES_OK && i < PQntuples(r); i++) {
        for (int k = 0; k < PQnfields(r); k++) {
            (void)fprintf(stderr, "%s%s", k > 0 ? "  " : "", PQgetvalue(r, i, k));
        }
        (void)fprintf(stderr, "\n");
    }
    PQclear(r);
    PQfinish(pg);
}

int bench_counts(struct bench *b, struct counts *out)
{
    char *json = NULL;
    struct arena a;
    const struct jv *v = NULL;
    int rc = carillon_node_status(b->client, &json, NULL);
    if (rc != CARILLON_OK) {
        return rc;
    }
    arena_init(&a, 0);
    if (json_parse(&a, str_of(json), JSON_LIMITS_PAYLOAD, true, &v, NULL) == ERR_OK) {
        *out = (struct counts){.starts = jv_num(jv_getc(v, "starts")),
                               .outcomes = jv_num(jv_getc(v, "outcomes")),
                               .closed = jv_num(jv_getc(v, "closed")),
                               .batches = jv_num(jv_getc(v, "batches")),
                               .turns = jv_num(jv_getc(v, "turns"))};
    }
    arena_fini(&a);
    carillon_string_free(json);
    return CARILLON_OK;
}

bool bench_wait_closed(struct bench *b, double n, double seconds)
{
    double end = sys_now() + seconds;
    struct counts c = {0};
    while (sys_now() < end && bench_counts(b, &c) == CARILLON_OK) {
        if (c.closed >= n) {
            return true;
        }
        (void)usleep(5000);
    }
    (void)fprintf(stderr, "bench: %.0f of %.0f executions have ended in time\n", c.closed, n);
    return false;
}

int bench_workers_start(struct bench *b, int n, const char *queue, int concurrency,
                        const char *file)
{
    char held[16];
    (void)snprintf(held, sizeof(held), "%d", concurrency);
    for (int i = 0; i < n && b->workers_len < BENCH_WORKERS_MAX; i++) {
        const char *args[] = {"bench-worker", "--address",
                              b->address,     "--queue",
                              queue,          "--concurrency",
                              held,           file == NULL ? NULL : "--data",
                              file,           NULL};
        b->workers[b->workers_len++] = spawn("carillon", args);
    }
    return 0;
}

int bench_define(struct bench *b, const char *name, const char *definition)
{
    carillon_error e;
    int rc = carillon_definition_put(b->client, name, definition, CARILLON_FORMAT_JSON, NULL, NULL,
                                     NULL, &e);
    (void)snprintf(b->workflow, sizeof(b->workflow), "%s", name);
    return rc == CARILLON_OK ? EXIT_OK : cli_failed(name, &e);
}

static double workers_cpu(const struct bench *b)
{
    double sum = 0;
    for (int i = 0; i < b->workers_len; i++) {
        sum += sys_tree_cpu(b->workers[i]);
    }
    return sum;
}

void bench_costs_begin(struct bench *b)
{
    b->begin_node = sys_tree_cpu(b->node_pid);
    b->begin_db = sys_tree_cpu(b->pg_pid);
    b->begin_workers = workers_cpu(b);
    b->begin_self = sys_self_cpu();
    b->begin_machine = sys_machine_cpu();
    b->begin_at = sys_now();
}

void bench_costs_print(struct bench *b, double units)
{
    double wall = sys_now() - b->begin_at;
    double node = sys_tree_cpu(b->node_pid) - b->begin_node;
    double db = sys_tree_cpu(b->pg_pid) - b->begin_db;
    double workers = workers_cpu(b) - b->begin_workers, self = sys_self_cpu() - b->begin_self;
    double other = sys_machine_cpu() - b->begin_machine - node - db - workers - self;
    double per = units > 0 ? 1000 / units : 0;
    (void)printf(",\"cpu_engine\":%.4f,\"cpu_worker\":%.4f,\"cpu_client\":%.4f,\"cpu_db\":%.4f,"
                 "\"cpu_total\":%.4f,\"mb_engine\":%.1f,\"mb_peak\":%.1f,\"mb_worker\":%.1f,"
                 "\"mb_db\":%.1f,\"other_cores\":%.2f",
                 node * per, workers * per, self * per, db * per, (node + db) * per,
                 sys_rss_mib(b->node_pid), sys_peak_rss_mib(b->node_pid),
                 b->workers_len > 0 ? sys_rss_mib(b->workers[0]) : 0, sys_tree_mib(b->pg_pid),
                 wall > 0 ? MAX(other, 0) / wall : 0);
}

/* ---- the stage ---- */

static bool database_up(struct bench *b)
{
    struct err_detail d = {0};
    b->pg = pg_private_open(NULL,
                            "-c shared_buffers=1GB -c max_wal_size=4GB -c max_connections=200 "
                            "-c shared_preload_libraries=pg_stat_statements",
                            &d);
    if (b->pg == NULL) {
        (void)fprintf(stderr, "bench: private PostgreSQL: %s\n", d.text);
        return false;
    }
    b->pg_pid = pg_private_pid(b->pg);
    (void)snprintf(b->conninfo, sizeof(b->conninfo), "%s", pg_private_socket_conninfo(b->pg));
    return true;
}

static void settings_print(struct bench *b)
{
    PGconn *pg = PQconnectdb(b->conninfo);
    PGresult *r = PQexec(pg, "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM "
                             "pg_settings WHERE name IN ('fsync', 'synchronous_commit', "
                             "'full_page_writes', 'shared_buffers', 'max_wal_size', "
                             "'synchronous_standby_names', 'server_version')");
    if (PQresultStatus(r) == PGRES_TUPLES_OK) {
        (void)printf("store: PostgreSQL %s\n", PQgetvalue(r, 0, 0));
    }
    PQclear(r);
    PQfinish(pg);
}

static bool node_up(struct bench *b)
{
    char url[64];
    (void)snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", free_port());
    (void)snprintf(b->address, sizeof(b->address), "%s", url);
    const char *args[] = {"--database", b->conninfo, "--listen", b->address, "--log", "warn", NULL};
    b->node_pid = spawn("carillond", args);
    return b->node_pid > 0;
}

/* The postmaster behind a database on this machine; 0 elsewhere. */
static int postmaster_of(struct bench *b)
{
    PGconn *pg = PQconnectdb(b->conninfo);
    int pid = sys_parent(PQbackendPID(pg));
    PQfinish(pg);
    return pid;
}

/* A database of the user's own: its executions would be counted with ours. */
static bool database_given(struct bench *b)
{
    (void)snprintf(b->conninfo, sizeof(b->conninfo), "%s", b->cli->database);
    b->pg_pid = postmaster_of(b);
    double schema = bench_sql(b, "SELECT count(*) FROM pg_namespace WHERE nspname = 'carillon'");
    double n = schema > 0 ? bench_sql(b, "SELECT count(*) FROM carillon.executions") : schema;
    if (n > 0) {
        (void)fprintf(
            stderr,
            "bench: this database holds %.0f executions; the figures are verified by counting: "
            "name an empty one, or use --private\n",
            n);
    }
    return n == 0;
}

static bool up(struct bench *b)
{
    if (!b->cli->private_db && b->cli->database == NULL) {
        (void)fprintf(stderr, "bench: where? --private brings a PostgreSQL and a node of its own, "
                              "--database URL starts a node on an empty database of yours\n");
        return false;
    }
    if (!(b->cli->private_db ? database_up(b) : database_given(b)) || !node_up(b)) {
        return false;
    }
    carillon_options o = {.addresses = b->address, .name = "bench", .timeout_ms = 60000};
    carillon_error e;
    if (carillon_client_new(&o, &b->client, &e) != CARILLON_OK) {
        (void)cli_failed("bench", &e);
        return false;
    }
    settings_print(b);
    return true;
}

static void down(struct bench *b)
{
    for (int i = 0; i < b->workers_len; i++) {
        end_process(b->workers[i], SIGTERM);
    }
    carillon_client_free(b->client);
    end_process(b->node_pid, SIGTERM);
    pg_private_stop(b->pg);
}

static int bench_ceiling(struct bench *b)
{
    struct ceiling_result r;
    struct err_detail d = {0};
    if (b->cli->database != NULL) {
        (void)snprintf(b->conninfo, sizeof(b->conninfo), "%s", b->cli->database);
    } else if (!database_up(b)) {
        return EXIT_FAILED;
    }
    settings_print(b);
    double seconds = b->cli->seconds > 0 ? b->cli->seconds : 4;
    if (ceiling_run(b->conninfo, b->pg_pid, seconds, &r, &d) != ERR_OK) {
        (void)fprintf(stderr, "bench: %s\n", d.text);
        return EXIT_FAILED;
    }
    (void)printf("{\"peer\":\"carillon-ceiling\",\"steps_s\":%.0f,\"seconds\":%.2f,\"cpu_db\":%.4f,"
                 "\"cpu_client\":%.4f,\"txn_ms_p50\":%.2f,\"txn_ms_p99\":%.2f}\n",
                 r.steps_s, r.seconds, r.cpu_db, r.cpu_client, r.ms_p50, r.ms_p99);
    return EXIT_OK;
}

static const struct {
    const char *name;
    int (*run)(struct bench *b);
    bool stage; /* needs database and node */
} loads[] = {
    {"W1", bench_w1, true},      {"W2", bench_w2, true},
    {"W3", bench_w3, true},      {"W4", bench_w4, true},
    {"map", bench_map, true},    {"idle", bench_idle, true},
    {"rss", bench_rss, true},    {"ceiling", bench_ceiling, false},
    {"core", bench_core, false},
};

int cmd_bench(struct cli *c)
{
    struct bench b = {.cli = c};
    for (size_t i = 0; i < ARRAY_LEN(loads); i++) {
        if (strcmp(loads[i].name, c->args[0]) == 0) {
            int rc = !loads[i].stage || up(&b) ? loads[i].run(&b) : EXIT_FAILED;
            down(&b);
            return rc;
        }
    }
    (void)fprintf(stderr, "bench: no workload \"%s\"; see carillon bench --help\n", c->args[0]);
    return EXIT_USAGE;
}
