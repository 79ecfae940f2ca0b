/* carillond: one node. Arguments in, signals handled, node drained at the end. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/log.h"
#include "base/os.h"
#include "cmd/daemon.h"

#include <getopt.h>

LOG_MODULE("carillond");

enum { FAULTS_MAX = 16 };

struct options {
    struct daemon_config daemon;
    const char *faults[FAULTS_MAX + 1];
    int faults_len;
};

/* One table: parser, help and order of the options. */
struct option_row {
    const char *name, *arg, *help;
    enum err (*set)(struct options *o, struct str value);
};

static enum err set_us(int64_t *out, struct str v)
{
    enum err e = str_to_duration_us(v, out);
    return e == ERR_OK && *out <= 0 ? ERR_INVALID : e;
}

static enum err set_u32(uint32_t *out, struct str v, uint64_t max)
{
    uint64_t n;
    enum err e = str_to_u64(v, &n);
    if (e == ERR_OK && n > max) {
        e = ERR_INVALID;
    }
    if (e == ERR_OK) {
        *out = (uint32_t)n;
    }
    return e;
}

static enum err opt_database(struct options *o, struct str v)
{
    o->daemon.database = v.p;
    return ERR_OK;
}
static enum err opt_listen(struct options *o, struct str v)
{
    o->daemon.node.listen = v;
    return v.size > 0 ? ERR_OK : ERR_INVALID;
}
static enum err opt_admin(struct options *o, struct str v)
{
    o->daemon.node.admin = v;
    o->daemon.node.admin_taken = ADMIN_TAKEN_FAIL; /* who names an address means it */
    return ERR_OK;
}
static enum err opt_node(struct options *o, struct str v)
{
    o->daemon.node.node_id = v;
    return str_is_name(v) ? ERR_OK : ERR_INVALID;
}
static enum err opt_heartbeat(struct options *o, struct str v)
{
    return set_us(&o->daemon.node.heartbeat_us, v);
}
static enum err opt_window(struct options *o, struct str v)
{
    enum err e = set_us(&o->daemon.node.window_us, v);
    return e == ERR_OK && o->daemon.node.window_us < 5 * US_PER_S ? ERR_INVALID : e;
}
static enum err opt_windows(struct options *o, struct str v)
{
    enum err e = set_u32(&o->daemon.node.ring_windows, v, RING_WINDOWS_MAX);
    return e == ERR_OK && o->daemon.node.ring_windows == 0 ? ERR_INVALID : e;
}
static enum err opt_poll(struct options *o, struct str v)
{
    return set_us(&o->daemon.node.promote_us, v);
}
static enum err opt_chunk(struct options *o, struct str v)
{
    enum err e = set_u32(&o->daemon.node.timers_chunk, v, 1000000);
    return e == ERR_OK && o->daemon.node.timers_chunk == 0 ? ERR_INVALID : e;
}
static enum err opt_turns(struct options *o, struct str v)
{
    return set_u32(&o->daemon.node.turn_loops, v, ENGINE_SHARDS_MAX);
}
static enum err opt_cache(struct options *o, struct str v)
{
    uint64_t n;
    enum err e = str_to_size(v, &n);
    if (e == ERR_OK) {
        o->daemon.node.cache_bytes = (size_t)n;
    }
    return e;
}
static enum err opt_batches(struct options *o, struct str v)
{
    enum err e = set_u32(&o->daemon.node.batches, v, 8);
    return e == ERR_OK && o->daemon.node.batches == 0 ? ERR_INVALID : e;
}
static enum err opt_batch_min(struct options *o, struct str v)
{
    return set_u32(&o->daemon.node.batch_min, v, TURN_BATCH_MAX);
}
static enum err opt_unsafe(struct options *o, struct str v)
{
    (void)v;
    o->daemon.allow_unsafe_db = true;
    return ERR_OK;
}
static enum err opt_fault(struct options *o, struct str v)
{
    if (o->faults_len == FAULTS_MAX) {
        return ERR_LIMIT;
    }
    o->faults[o->faults_len++] = v.p;
    return ERR_OK;
}
static enum err opt_log(struct options *o, struct str v)
{
    (void)o;
    enum log_level l;
    if (!log_parse_level(v, &l)) {
        return ERR_INVALID;
    }
    (void)log_set_level(STR("*"), l);
    return ERR_OK;
}

static const struct option_row rows[] = {
    {"database", "URL", "PostgreSQL, as postgresql://user@host/db or a libpq connection string",
     opt_database},
    {"listen", "ADDRESS", "where clients and workers connect (default tcp://127.0.0.1:7070)",
     opt_listen},
    {"admin-listen", "ADDRESS",
     "operators' HTTP: health, metrics, /v1 (default 127.0.0.1:8080, or none when that is taken;"
     " port 0: any free one; \"\": none)",
     opt_admin},
    {"node", "ID", "name of this node, stable over restarts (default node-1)", opt_node},
    {"heartbeat", "TIME",
     "scheduler.distributed.heartbeatInterval (default 5s); the lease lasts twice as long",
     opt_heartbeat},
    {"window-length", "TIME",
     "length of a scheduling window (default 1h, at least 5s); all nodes must agree", opt_window},
    {"partition-count", "N", "windows in the ring (default 12)", opt_windows},
    {"long-term-poll", "TIME", "how often long-term deadlines are promoted (default 60s)",
     opt_poll},
    {"timers-chunk", "N", "deadlines loaded into memory at a time (default 1000)", opt_chunk},
    {"turn-loops", "N", "threads that run turns; 0: one thread does all (default 0)", opt_turns},
    {"cache", "SIZE", "memory for executions (default 16MiB)", opt_cache},
    {"batches", "N", "commits in flight per turn loop (default 2)", opt_batches},
    {"batch-min", "N", "turns that make a second commit in flight worth it (default 64)",
     opt_batch_min},
    {"log", "LEVEL", "error, warn, info or debug (default info)", opt_log},
    {"allow-unsafe-db", NULL, "accept fsync=off and the like; for tests only", opt_unsafe},
    {"fault", "NAME:after=N:times=M", "tests: die by SIGKILL at a named fault point", opt_fault},
};

static void usage(FILE *out)
{
    (void)fprintf(
        out, "usage: carillond --database URL [options]\n\n"
             "Runs one Carillon node until SIGTERM or SIGINT; then it drains and exits 0.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char left[64];
        (void)snprintf(left, sizeof(left), "--%s %s", rows[i].name,
                       rows[i].arg == NULL ? "" : rows[i].arg);
        (void)fprintf(out, "  %-30s %s\n", left, rows[i].help);
    }
    (void)fprintf(out, "  %-30s %s\n  %-30s %s\n", "--help", "this text", "--version",
                  "version and exit");
}

enum { OPT_HELP = 1000, OPT_VERSION };

static void long_options(struct option *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        out[i] =
            (struct option){rows[i].name, rows[i].arg == NULL ? no_argument : required_argument,
                            NULL, (int)i};
    }
    out[ARRAY_LEN(rows)] = (struct option){"help", no_argument, NULL, OPT_HELP};
    out[ARRAY_LEN(rows) + 1] = (struct option){"version", no_argument, NULL, OPT_VERSION};
    out[ARRAY_LEN(rows) + 2] = (struct option){0};
}

/* 0: go on; else the exit status plus one. */
static int parse(struct options *o, int argc, char **argv)
{
    struct option longs[ARRAY_LEN(rows) + 3];
    long_options(longs);
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == OPT_HELP) {
            usage(stdout);
            return 1;
        }
        if (c == OPT_VERSION) {
            (void)printf("carillond %s\n", carillon_version_text());
            return 1;
        }
        if (c < 0 || (size_t)c >= ARRAY_LEN(rows)) {
            (void)fprintf(stderr, "carillond: try --help\n");
            return 3;
        }
        struct str v = optarg == NULL ? STR_NONE : str_of(optarg);
        if (rows[c].set(o, v) != ERR_OK) {
            (void)fprintf(stderr, "carillond: --%s: \"%s\" is not a value for it: %s\n",
                          rows[c].name, optarg == NULL ? "" : optarg, rows[c].help);
            return 3;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "carillond: unexpected argument \"%s\"; try --help\n", argv[optind]);
        return 3;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    node_config_defaults(&o.daemon.node);
    o.daemon.database = os_getenv("CARILLON_DATABASE");
    int rc = parse(&o, argc, argv);
    if (rc != 0) {
        return rc - 1;
    }
    if (o.daemon.database == NULL) {
        (void)fprintf(stderr, "carillond: name the database with --database or CARILLON_DATABASE; "
                              "`carillon dev` brings its own\n");
        return 2;
    }
    o.daemon.faults = o.faults;
    daemon_block_signals();
    log_set_clock(os_clock());
    log_set_node(o.daemon.node.node_id.p);
    struct err_detail d = {0};
    struct daemon *daemon = daemon_start(&o.daemon, &d);
    if (daemon == NULL) {
        (void)fprintf(stderr, "carillond: %s\n", d.text);
        return 1;
    }
    log_info("ready", "address=%s admin=%s database=\"%s\"", daemon_address(daemon),
             daemon_admin(daemon)[0] != '\0' ? daemon_admin(daemon) : "none",
             daemon_database_text(daemon));
    int sig = daemon_wait_signal();
    log_info("draining", "signal=%d", sig);
    return daemon_stop(daemon) ? 0 : 1;
}
