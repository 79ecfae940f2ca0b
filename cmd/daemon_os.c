/* A node with the real ports under it: see daemon.h. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/daemon.h"
#include "cmd/process.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/pool.h"
#include "base/thread.h"
#include "coord/coord.h"
#include "storage/migrate.h"
#include "storage/store_pg.h"

#include <signal.h>
#include <unistd.h>

LOG_MODULE("daemon");

enum { START_US = 30 * US_PER_S, STOP_US = 10 * US_PER_S };
enum { STARTED_OK = 1, STARTED_FAILED = 2 };
enum { BLOCKING_THREADS = 100, BLOCKING_KEEP_US = 60 * US_PER_S };

struct daemon {
    const struct daemon_config *c;
    struct loop_factory *loops;
    struct loop *store_loop;
    struct pool *blocking;
    struct store *store;
    struct coord *coord;
    struct node *node;
    struct node_events events;
    struct fault_set faults;
    struct latch started, active, stopped, closed;
    struct err_detail detail;
    char address[256];
    char admin[128];
    char server[64]; /* "PostgreSQL 15.20" */
    char database[128];
    struct node_config node_config;
};

static void on_incarnation(void *arg, const struct uuid *incarnation)
{
    struct daemon *d = arg;
    store_pg_rename(d->store, *incarnation);
}

static void on_started(struct node_events *ev, enum err e, struct str address, struct str detail)
{
    struct daemon *d = CONTAINER_OF(ev, struct daemon, events);
    if (e == ERR_OK) {
        (void)snprintf(d->address, sizeof(d->address), "%.*s", STR_ARG(address));
    } else {
        (void)err_set(&d->detail, e, "cannot listen at %.*s", STR_ARG(detail));
    }
    latch_set(&d->started, e == ERR_OK ? STARTED_OK : STARTED_FAILED);
}

static void on_admin(struct node_events *ev, struct str address)
{
    struct daemon *d = CONTAINER_OF(ev, struct daemon, events);
    (void)snprintf(d->admin, sizeof(d->admin), "%.*s", STR_ARG(address));
}

static void on_state(struct node_events *ev, enum owner_state s)
{
    struct daemon *d = CONTAINER_OF(ev, struct daemon, events);
    if (s == OWNER_ACTIVE) {
        latch_set(&d->active, 1);
    }
}

static void on_stopped(struct node_events *ev)
{
    latch_set(&CONTAINER_OF(ev, struct daemon, events)->stopped, 1);
}

static void on_closed(void *arg)
{
    latch_set(&((struct daemon *)arg)->closed, 1);
}

/* A fault point fires: the process dies as if by SIGKILL, at this very place. */
static void fault_fire(struct fault_set *s, enum fault_point p)
{
    (void)s;
    (void)fprintf(stderr, "fault point %s: dying\n", fault_name(p));
    (void)kill(getpid(), SIGKILL);
}

static enum err arm_faults(struct daemon *d, struct err_detail *detail)
{
    fault_init(&d->faults, fault_fire, d);
    for (const char *const *f = d->c->faults; f != NULL && *f != NULL; f++) {
        if (fault_arm(&d->faults, str_of(*f)) != ERR_OK) {
            return err_set(detail, ERR_INVALID, "no such fault point: %s", *f);
        }
    }
    return ERR_OK;
}

static void latches(struct daemon *d, void (*each)(struct latch *))
{
    each(&d->started);
    each(&d->active);
    each(&d->stopped);
    each(&d->closed);
}

static void store_end(struct daemon *d)
{
    if (d->store != NULL) {
        store_pg_close(d->store, d->store_loop, on_closed, d);
        (void)latch_wait(&d->closed, STOP_US);
    }
    loop_free(d->store_loop);
    coord_db_free(d->coord);
    if (!pool_free(d->blocking, STOP_US)) {
        log_warn("a call still blocks; it ends with the process", "");
    }
}

static void daemon_free(struct daemon *d)
{
    latches(d, latch_fini);
    mem_free(d);
}

static struct daemon *give_up(struct daemon *d, struct err_detail *detail)
{
    if (detail != NULL && detail->code == ERR_OK) {
        *detail = d->detail;
    }
    node_free(d->node);
    store_end(d);
    daemon_free(d);
    return NULL;
}

struct daemon *daemon_start(const struct daemon_config *config, struct err_detail *detail)
{
    struct daemon *d = MEM_NEW(struct daemon);
    struct migrate_result migrated = {0};
    d->c = config;
    latches(d, latch_init);
    d->events = (struct node_events){.admin = on_admin,
                                     .started = on_started,
                                     .state = on_state,
                                     .stopped = on_stopped};
    if (arm_faults(d, detail) != ERR_OK ||
        migrate_run(config->database, config->node.shard,
                    config->lanes != 0 ? config->lanes : LANES_PER_SHARD_DEFAULT, &migrated,
                    detail) != ERR_OK) {
        return give_up(d, detail);
    }
    (void)snprintf(d->server, sizeof(d->server), "PostgreSQL %d.%d",
                   migrated.server_version / 10000, migrated.server_version % 10000);
    (void)snprintf(d->database, sizeof(d->database), "%s, durability %s", d->server,
                   migrated.replicated ? "replicated" : "local");
    d->node_config = config->node;
    d->node_config.database = str_of(d->server);
    d->node_config.replicated = migrated.replicated;
    d->loops = loop_uv_factory(os_clock());
    d->store_loop = d->loops->make(d->loops, "store");
    d->blocking =
        pool_new(config->blocking_threads != 0 ? config->blocking_threads : BLOCKING_THREADS,
                 config->blocking_keep_us != 0 ? config->blocking_keep_us : BLOCKING_KEEP_US);
    char node[NAME_SIZE_MAX + 1];
    (void)snprintf(node, sizeof(node), "%.*s", STR_ARG(config->node.node_id));
    d->store = store_pg_new(d->store_loop,
                            &(struct store_pg_config){.conninfo = config->database,
                                                      .node = node,
                                                      .shard = config->node.shard,
                                                      .allow_unsafe = config->allow_unsafe_db,
                                                      .seed = os_random_u64(),
                                                      .faults = &d->faults,
                                                      .pool = d->blocking});
    d->coord = coord_db_new();
    d->node = node_start(&d->node_config,
                         &(struct node_ports){.loops = d->loops,
                                              .clock = os_clock(),
                                              .transport = transport_nng(),
                                              .store = d->store,
                                              .coord = d->coord,
                                              .faults = &d->faults,
                                              .seed = os_random_u64(),
                                              .incarnation = on_incarnation,
                                              .incarnation_arg = d,
                                              .http = http_mhd(),
                                              .store_loop = d->store_loop,
                                              .process = process_sample},
                         &d->events);
    int started = latch_wait(&d->started, START_US);
    if (started == 0) { /* a loop hangs: what it may still touch stays; the process is to end */
        (void)err_set(detail, ERR_TIMEOUT, "the node did not start within %d s",
                      (int)(START_US / US_PER_S));
        return NULL;
    }
    return started == STARTED_OK ? d : give_up(d, detail);
}

const char *daemon_address(const struct daemon *d)
{
    return d->address;
}

const char *daemon_admin(const struct daemon *d)
{
    return d->admin;
}

const char *daemon_database_text(const struct daemon *d)
{
    return d->database;
}

bool daemon_wait_active(struct daemon *d, int64_t us)
{
    return latch_wait(&d->active, us) != 0;
}

bool daemon_stop(struct daemon *d)
{
    node_stop(d->node);
    if (latch_wait(&d->stopped, STOP_US) == 0) {
        log_warn("the node did not drain in time; what it had acknowledged is durable",
                 "limit_s=%d", (int)(STOP_US / US_PER_S));
        return false;
    }
    node_free(d->node);
    store_end(d);
    daemon_free(d);
    return true;
}

static void signals(sigset_t *s)
{
    (void)sigemptyset(s);
    (void)sigaddset(s, SIGTERM);
    (void)sigaddset(s, SIGINT);
    (void)sigaddset(s, SIGHUP);
}

void daemon_block_signals(void)
{
    sigset_t s;
    signals(&s);
    (void)pthread_sigmask(SIG_BLOCK, &s, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

int daemon_wait_signal(void)
{
    sigset_t s;
    int sig = 0;
    signals(&s);
    (void)sigwait(&s, &sig);
    return sig;
}
