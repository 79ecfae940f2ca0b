/* How many turns a second the store commits: every turn ends one task, makes one and appends a
 * history row of 100 bytes, under compare-and-set; batches of "b", "c" connections with "d" batches
 * in flight on each. The answer to `pgceiling step` (docs/adr/0010-turn-batch.md).
 *
 *   bench_store [mode=step|start] [b=100] [c=2] [d=2] [t=5] [execs=20000] [lanes=16] [conninfo=...]
 *
 * Without conninfo it starts a PostgreSQL of its own (fsync on, shared_buffers 1 GB). The database is
 * given the schema when it has none. PGCEIL_POSTMASTER: process id whose children's CPU is counted. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/thread.h"
#include "cmd/private_pg.h"
#include "storage/migrate.h"
#include "storage/store_pg.h"

#include <dirent.h>

enum { BATCHES_MAX = 64, PAYLOAD = 100, LAT_MAX = 1 << 20 };

struct exec {
    struct exec_id id;
    uint64_t seq, turn;
    struct task_token task;
    char name[24];
};

struct slot {
    struct store_commit commit;
    struct turn_row *rows, **turns;
    struct task_row *made;
    struct start_row *starts;
    struct arena arena;
    struct exec *execs;
    uint32_t len, next;
    int64_t sent_us;
};

static struct {
    const char *mode, *conninfo;
    uint32_t b, c, d, execs, lanes;
    int64_t t_us;
} opt = {"step", NULL, 100, 2, 2, 20000, 16, 5 * (int64_t)US_PER_S};

static struct store *store;
static struct loop *loop;
static struct rng rng;
static struct slot slots[BATCHES_MAX];
static uint32_t slots_len, busy;
static bool starting;
static uint64_t turns_done, batches, losers;
static int64_t began_us, *latency;
static size_t latency_len;
static struct latch idle, answer;
static char payload[PAYLOAD];
static struct lane_ref lanes[LANES_PER_SHARD_MAX];
static uint32_t lanes_len;
static struct wall store_time;
static uint64_t serial;

static int64_t now_us(void)
{
    return clock_mono(os_clock()).us;
}

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_store: %s: %s\n", what, why);
    _exit(1);
}

/* ---- the loop of batches ---- */

static void fill(struct slot *s, uint32_t i, struct exec *e)
{
    struct turn_row *t = &s->rows[i];
    struct task_row *m = &s->made[i];
    if (starting) {
        *e = (struct exec){0};
        (void)snprintf(e->name, sizeof(e->name), "%" PRIu64, serial++);
        uint16_t slot = slot_of(1, STR("bench"), str_of(e->name));
        e->id = exec_id_make(0, slot, 1, store_time, &rng);
    }
    *t = (struct turn_row){.exec = e->id,
                           .seq_prev = e->seq,
                           .turn_prev = e->turn,
                           .seq = e->seq + 1,
                           .turn = rng_u64(&rng) | 1,
                           .status = STATUS_OPEN,
                           .first_event = (uint32_t)e->seq * 3 + 1,
                           .event_count = 3,
                           .body = {payload, sizeof(payload)},
                           .outcomes = STR("0:1:bench-worker\n"),
                           .tasks_new = m,
                           .tasks_new_len = 1,
                           .tasks_done = &e->task,
                           .tasks_done_len = e->seq > 0 ? 1 : 0};
    *m = (struct task_row){.token = {{e->id, t->seq, 0, 1}, rng_u64(&rng)},
                           .queue = STR("bench"),
                           .timeout_at = {store_time.us + US_PER_HOUR}};
    if (starting) {
        s->starts[i] = (struct start_row){.tenant = 1,
                                          .workflow = STR("bench"),
                                          .name = str_of(e->name),
                                          .revision = 1,
                                          .digest = 1,
                                          .started_at = store_time};
        t->start = &s->starts[i];
    }
}

static void on_done(struct store_req *r);

static void send(struct slot *s, uint32_t b)
{
    for (uint32_t i = 0; i < b; i++) {
        s->turns[i] = &s->rows[i];
        fill(s, i, &s->execs[(s->next + i) % s->len]);
    }
    s->commit.req =
        (struct store_req){.op = STORE_COMMIT, .loop = loop, .done = on_done, .arena = &s->arena};
    s->commit.turns = s->turns;
    s->commit.turns_len = b;
    s->commit.lanes = lanes;
    s->commit.lanes_len = lanes_len;
    s->sent_us = now_us();
    store_submit(store, &s->commit.req);
}

static void go_on(struct slot *s)
{
    bool filling = starting && strcmp(opt.mode, "start") != 0; /* one round, however long */
    if (filling ? s->next + opt.b > s->len : now_us() - began_us > opt.t_us) {
        if (--busy == 0) {
            latch_set(&idle, 1);
        }
        return;
    }
    send(s, opt.b);
}

static void on_done(struct store_req *r)
{
    struct slot *s = CONTAINER_OF(r, struct slot, commit.req);
    if (r->err != ERR_OK) {
        die("commit", r->detail.text);
    }
    for (uint32_t i = 0; i < s->commit.turns_len; i++) {
        struct exec *e = &s->execs[(s->next + i) % s->len];
        const struct turn_row *t = s->turns[i];
        if (t->result != TURN_OK) {
            losers++;
            continue;
        }
        e->seq = t->seq;
        e->turn = t->turn;
        e->task = s->made[i].token;
    }
    s->next += s->commit.turns_len;
    if (!starting) {
        s->next %= s->len;
    }
    turns_done += s->commit.turns_len;
    batches++;
    if (latency_len < LAT_MAX) {
        latency[latency_len++] = now_us() - s->sent_us;
    }
    arena_reset(&s->arena, 65536);
    go_on(s);
}

static void kick(struct loop_task *t)
{
    (void)t;
    began_us = now_us();
    busy = slots_len;
    for (uint32_t i = 0; i < slots_len; i++) {
        slots[i].next = 0;
        send(&slots[i], opt.b);
    }
}

static void run_all(void)
{
    static struct loop_task task;
    latch_init(&idle);
    task = (struct loop_task){.run = kick};
    turns_done = batches = 0;
    latency_len = 0;
    loop_post(loop, &task);
    if (latch_wait(&idle, 600 * (int64_t)US_PER_S) == 0) {
        die("run", "no end");
    }
    latch_fini(&idle);
}

/* ---- set-up ---- */

static void on_answer(struct store_req *r)
{
    if (r->err != ERR_OK) {
        die("set-up", r->detail.text);
    }
    store_time = r->store_now;
    latch_set(&answer, 1);
}

static void ask(struct store_req *r, enum store_op op, struct arena *a)
{
    r->op = op;
    r->loop = loop;
    r->done = on_answer;
    r->arena = a;
    latch_init(&answer);
    store_submit(store, r);
    if (latch_wait(&answer, 20 * (int64_t)US_PER_S) == 0) {
        die("set-up", "no answer");
    }
    latch_fini(&answer);
}

static void own(const struct uuid *me)
{
    static struct arena a;
    arena_init(&a, 0);
    struct store_lease l = {.incarnation = *me,
                            .node = STR("bench"),
                            .address = STR("none"),
                            .lease_us = US_PER_HOUR};
    ask(&l.req, STORE_LEASE, &a);
    uint16_t numbers[LANES_PER_SHARD_MAX];
    for (uint32_t i = 0; i < opt.lanes; i++) {
        numbers[i] = (uint16_t)i;
    }
    struct store_claim c = {.incarnation = *me,
                            .node = STR("bench"),
                            .lanes = numbers,
                            .lanes_len = opt.lanes,
                            .takeover = true,
                            .window_us = US_PER_HOUR,
                            .ring_windows = RING_WINDOWS_DEFAULT,
                            .claim_seed = os_random_u64()};
    ask(&c.req, STORE_CLAIM, &a);
    lanes_len = c.got_len;
    for (uint32_t i = 0; i < lanes_len; i++) {
        const struct lane_row *g = &c.got[i];
        lanes[i] = (struct lane_ref){g->shard, g->lane, g->slot_lo, g->slot_hi, g->fence};
    }
    arena_fini(&a);
}

static void make_slots(void)
{
    slots_len = opt.c * opt.d;
    if (slots_len > BATCHES_MAX || opt.b > TURN_BATCH_MAX || slots_len == 0 || opt.b == 0) {
        die("arguments", "too many batches");
    }
    uint32_t each = MAX(opt.execs / slots_len, opt.b) / opt.b * opt.b;
    for (uint32_t i = 0; i < slots_len; i++) {
        struct slot *s = &slots[i];
        s->len = each;
        s->execs = MEM_ARRAY(struct exec, each);
        s->rows = MEM_ARRAY(struct turn_row, opt.b);
        s->turns = MEM_ARRAY(struct turn_row *, opt.b);
        s->made = MEM_ARRAY(struct task_row, opt.b);
        s->starts = MEM_ARRAY(struct start_row, opt.b);
        arena_init(&s->arena, 0);
    }
    latency = MEM_ARRAY(int64_t, LAT_MAX);
}

/* ---- CPU of the server, as pgceiling counts it ---- */

static double stat_cpu(long pid, long *ppid, bool reaped)
{
    char path[64], line[1024];
    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return -1;
    }
    size_t n = fread(line, 1, sizeof(line) - 1, f);
    (void)fclose(f);
    line[n] = 0;
    const char *q = strrchr(line, ')');
    unsigned long ut, st;
    long cut, cst, pp;
    char state;
    if (q == NULL || sscanf(q + 2, "%c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld",
                            &state, &pp, &ut, &st, &cut, &cst) != 6) {
        return -1;
    }
    *ppid = pp;
    long all = (long)ut + (long)st + (reaped ? cut + cst : 0);
    return (double)all / (double)sysconf(_SC_CLK_TCK);
}

static double server_cpu(long postmaster)
{
    long pp = 0;
    double sum = postmaster > 0 ? stat_cpu(postmaster, &pp, true) : 0;
    DIR *d = postmaster > 0 ? opendir("/proc") : NULL;
    struct dirent *de;
    while (d != NULL && (de = readdir(d)) != NULL) {
        long pid = strtol(de->d_name, NULL, 10);
        double c = pid > 0 ? stat_cpu(pid, &pp, false) : -1;
        if (c >= 0 && pp == postmaster) {
            sum += c;
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return sum;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(double db, double own_cpu, int64_t wall_us)
{
    if (latency_len == 0) {
        die("run", "no turn was measured");
    }
    qsort(latency, latency_len, sizeof(latency[0]), by_value);
    size_t half = latency_len / 2, most = latency_len * 99 / 100;
    double s = (double)wall_us / US_PER_S, n = (double)turns_done;
    printf("{\"bench\":\"store\",\"mode\":\"%s\",\"c\":%u,\"d\":%u,\"b\":%u,\"lanes\":%u,"
           "\"wall\":%.3f,\"items\":%" PRIu64 ",\"items_s\":%.0f,\"losers\":%" PRIu64
           ",\"db_cpu_per_1000\":%.4f,\"client_cpu_per_1000\":%.4f,\"txn_ms_p50\":%.3f,"
           "\"txn_ms_p99\":%.3f}\n",
           opt.mode, opt.c, opt.d, opt.b, opt.lanes, s, turns_done, n / s, losers, db / n * 1000,
           own_cpu / n * 1000, (double)latency[half] / 1000, (double)latency[most] / 1000);
}

static void arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *v = strchr(argv[i], '=');
        if (v == NULL) {
            die("argument", argv[i]);
        }
        *v++ = 0;
        uint32_t n = (uint32_t)strtoul(v, NULL, 10);
        if (strcmp(argv[i], "mode") == 0) {
            opt.mode = v;
        } else if (strcmp(argv[i], "conninfo") == 0) {
            opt.conninfo = v;
        } else if (strcmp(argv[i], "b") == 0) {
            opt.b = n;
        } else if (strcmp(argv[i], "c") == 0) {
            opt.c = n;
        } else if (strcmp(argv[i], "d") == 0) {
            opt.d = n;
        } else if (strcmp(argv[i], "execs") == 0) {
            opt.execs = n;
        } else if (strcmp(argv[i], "lanes") == 0) {
            opt.lanes = n;
        } else if (strcmp(argv[i], "t") == 0) {
            opt.t_us = (int64_t)n * US_PER_S;
        } else {
            die("unknown key", argv[i]);
        }
    }
}

static void on_closed(void *arg)
{
    latch_set(arg, 1);
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    struct err_detail d = {0};
    struct pg_private *pg = NULL;
    const char *pid = getenv("PGCEIL_POSTMASTER");
    long postmaster = pid != NULL ? strtol(pid, NULL, 10) : 0;
    if (opt.conninfo == NULL) {
        pg = pg_private_start("-c shared_buffers=1GB -c max_wal_size=4GB", &d);
        if (pg == NULL) {
            die("PostgreSQL", d.text);
        }
        opt.conninfo = pg_private_socket_conninfo(pg);
        postmaster = pg_private_pid(pg);
    }
    struct migrate_result m;
    if (migrate_run(opt.conninfo, 0, opt.lanes, &m, &d) != ERR_OK) {
        die("migration", d.text);
    }
    rng_seed(&rng, os_random_u64());
    serial = rng_u64(&rng) >> 24;
    memset(payload, 'x', sizeof(payload));
    struct uuid me = uuid_make(&rng);
    loop = loop_uv_new(os_clock(), "bench");
    store = store_pg_new(loop, &(struct store_pg_config){.conninfo = opt.conninfo,
                                                         .node = "bench",
                                                         .incarnation = me,
                                                         .commit_conns = opt.c,
                                                         .commit_depth = opt.d,
                                                         .allow_unsafe = true});
    own(&me);
    make_slots();
    starting = true;
    double db = server_cpu(postmaster);
    int64_t cpu = os_cpu_us(), from = now_us();
    run_all();
    if (strcmp(opt.mode, "start") != 0) {
        starting = false;
        db = server_cpu(postmaster);
        cpu = os_cpu_us();
        from = now_us();
        run_all();
    }
    report(server_cpu(postmaster) - db, (double)(os_cpu_us() - cpu) / US_PER_S, now_us() - from);
    struct latch closed;
    latch_init(&closed);
    store_pg_close(store, loop, on_closed, &closed);
    (void)latch_wait(&closed, 10 * (int64_t)US_PER_S);
    loop_free(loop);
    pg_private_stop(pg);
    return 0;
}
