/* Ownership and the ring of windows, on the simulator's loop and store. */
#include "base/prelude.h"

#include "tests/unit/base/suite.h"

#include "base/log.h"
#include "base/mem.h"
#include "scheduler/metrics.h"
#include "scheduler/owner.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/sim_store_rows.h"
#include "tests/sim/world.h"

#define WINDOW_US    (2 * (int64_t)US_PER_S)
#define HEARTBEAT_US heartbeat_us
enum { RING = 4, LANES = 16 };
static int64_t heartbeat_us = 1 * (int64_t)US_PER_S;

/* A node that is nothing but an owner, and what its handler heard. */
struct member {
    struct host *host;
    struct loop *loop;
    struct owner *owner;
    struct owner_handler handler;
    struct rng rng;
    char name[16], address[32];
    enum owner_state state;
    bool held[LANES];
    uint32_t held_len, incarnations, lost;
    int64_t accept_from, open_to, moved_to;
    bool stopped;
    struct loop_task start, stop;
};

static struct world *world;
static struct sim_store *store;
static struct member members[2];

static struct member *of(struct owner_handler *h)
{
    return CONTAINER_OF(h, struct member, handler);
}
static void on_gained(struct owner_handler *h, const struct lane_row *rows, uint32_t len)
{
    struct member *m = of(h);
    for (uint32_t i = 0; i < len; i++) {
        ck_assert_uint_lt(rows[i].lane, LANES);
        ck_assert(!m->held[rows[i].lane]);
        ck_assert_int_lt(rows[i].closed_to, rows[i].accept_from);
        ck_assert_int_le(rows[i].accept_from, rows[i].open_to);
        m->held[rows[i].lane] = true;
        m->held_len++;
    }
    m->accept_from = m->open_to = INT64_MIN; /* each lane has its own until told otherwise */
}
static void on_foreign(struct owner_handler *h, const struct lane_row *rows, uint32_t len)
{
    (void)h;
    (void)rows;
    ck_assert_uint_le(len, LANES);
}
static void on_lost(struct owner_handler *h, const uint16_t *lanes, uint32_t len)
{
    struct member *m = of(h);
    for (uint32_t i = 0; i < len; i++) {
        ck_assert(m->held[lanes[i]]);
        m->held[lanes[i]] = false;
        m->held_len--;
        m->lost++;
    }
}
static void on_windows(struct owner_handler *h, int64_t accept_from, int64_t open_to)
{
    struct member *m = of(h);
    ck_assert_int_ge(accept_from, m->accept_from);
    ck_assert_int_ge(open_to, m->open_to);
    ck_assert_int_le(accept_from, open_to);
    m->accept_from = accept_from;
    m->open_to = open_to;
}
static void on_moved(struct owner_handler *h, int64_t window)
{
    of(h)->moved_to = MAX(of(h)->moved_to, window);
}
static void on_nothing(struct owner_handler *h)
{
    (void)h;
}
static void on_announced(struct owner_handler *h, const struct exec_id *ids, uint32_t len)
{
    (void)h;
    (void)ids;
    (void)len;
}
static void on_clock(struct owner_handler *h, struct mono sent, struct mono answered,
                     struct wall at)
{
    (void)h;
    ck_assert_int_le(sent.us, answered.us);
    ck_assert_int_gt(at.us, 0);
}
static void on_state(struct owner_handler *h, enum owner_state s, struct str other)
{
    (void)other;
    of(h)->state = s;
}
static void on_incarnation(struct owner_handler *h, const struct uuid *incarnation)
{
    ck_assert(!uuid_is_null(incarnation));
    of(h)->incarnations++;
}

static void member_start(struct loop_task *task)
{
    owner_start(CONTAINER_OF(task, struct member, start)->owner);
}
static void member_boot(struct host *h)
{
    struct member *m = h->user;
    memset(m->held, 0, sizeof(m->held));
    m->held_len = 0;
    m->state = OWNER_STARTING;
    m->accept_from = m->open_to = m->moved_to = INT64_MIN;
    m->handler = (struct owner_handler){.gained = on_gained,
                                        .foreign = on_foreign,
                                        .lost = on_lost,
                                        .windows = on_windows,
                                        .moved = on_moved,
                                        .promoted = on_nothing,
                                        .announced = on_announced,
                                        .missed = on_nothing,
                                        .clock = on_clock,
                                        .state = on_state,
                                        .incarnation = on_incarnation};
    rng_seed(&m->rng, world->seed * 100 + h->index * 10 + h->lives);
    m->loop = h->factory.make(&h->factory, "control");
    m->owner = owner_new(&(struct owner_config){.loop = m->loop,
                                                .store = &store->base,
                                                .coord = coord_db_new(), /* goes with the host */
                                                .rng = &m->rng,
                                                .handler = &m->handler,
                                                .node = str_of(m->name),
                                                .address = str_of(m->address),
                                                .heartbeat_us = HEARTBEAT_US,
                                                .window_us = WINDOW_US,
                                                .ring_windows = RING,
                                                .promote_us = 500 * US_PER_MS});
    m->start = (struct loop_task){.run = member_start, .name = "start"};
    loop_post(m->loop, &m->start);
}

static void member_named(int i, const char *name, const char *address)
{
    struct member *m = &members[i];
    memset(m, 0, sizeof(*m));
    (void)snprintf(m->name, sizeof(m->name), "%s", name);
    (void)snprintf(m->address, sizeof(m->address), "%s", address);
    m->host = host_new(world, m->name);
    m->host->boot = member_boot;
    m->host->user = m;
    host_boot(m->host);
}

static void member_make(int i)
{
    member_named(i, i == 0 ? "node-0" : "node-1", i == 0 ? "tcp://a:1" : "tcp://b:1");
}

static void begin(uint64_t seed)
{
    world = world_new(seed, false, false);
    store = sim_store_new(world, 0, LANES);
    member_make(0);
}
static void end(void)
{
    world_free(world);
    sim_store_free(store);
}
static void pass(int64_t us)
{
    world_run(world, world->now_us + us);
}
#define UNTIL(cond, us) \
    do { \
        int64_t end_ = world->now_us + (us); \
        while (!(cond) && world_step(world, end_)) { \
        } \
        ck_assert_msg((cond), "not within %lld us: %s", (long long)(us), #cond); \
    } while (0)

static int64_t window_now(void)
{
    return world_wall(world).us / WINDOW_US;
}
static struct lane_rec lane(uint16_t i)
{
    struct lane_rec rec;
    ck_assert(sim_lane_get(store, i, &rec, NULL));
    return rec;
}
/* All lanes stand as they should in the store at this time: the current window and the rest of the ring
 * are open, nothing older is. */
static bool ring_right(void)
{
    int64_t w = window_now();
    for (uint16_t i = 0; i < (uint16_t)LANES; i++) {
        struct lane_rec rec = lane(i);
        if (rec.accept_from != w || rec.closed_to != w - 1 || rec.open_to != w + RING - 1) {
            return false;
        }
    }
    for (int64_t k = w; k < w + RING; k++) {
        ck_assert_int_eq(sim_ring_serves(store, (uint32_t)(k % RING)), k);
    }
    return true;
}

START_TEST(all_lanes_are_claimed)
{
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    ck_assert_uint_eq(members[0].held_len, LANES);
    ck_assert_uint_eq(members[0].incarnations, 1);
    for (uint16_t i = 0; i < (uint16_t)LANES; i++) {
        struct lane_rec rec = lane(i);
        ck_assert_uint_eq(rec.fence.epoch, 1);
        ck_assert(uuid_eq(&rec.incarnation, owner_incarnation(members[0].owner)));
    }
    end();
}
END_TEST

/* At each boundary the old window is closed, emptied, and a new one opened, well within the window. */
START_TEST(windows_turn_at_each_boundary)
{
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    for (int i = 0; i < 3 * RING; i++) {
        int64_t w = window_now() + 1;
        pass(w * WINDOW_US - world_wall(world).us);
        ck_assert_int_eq(window_now(), w);
        UNTIL(ring_right(), WINDOW_US * 3 / 4);
        UNTIL(members[0].open_to == w + RING - 1, 100 * US_PER_MS);
        ck_assert_int_eq(members[0].accept_from, w);
        ck_assert_int_eq(members[0].moved_to, w);
    }
    ck_assert_uint_eq(members[0].lost, 0);
    end();
}
END_TEST

/* Away for longer than the ring reaches: it is turned up to today in rounds. */
START_TEST(long_time_away)
{
    static const int64_t away[] = {1, RING - 1, RING, RING + 1, 3 * RING, 100, 1000};
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    pass(WINDOW_US);
    host_crash(members[0].host);
    pass(away[(size_t)_i % ARRAY_LEN(away)] * WINDOW_US);
    host_boot(members[0].host);
    UNTIL(members[0].state == OWNER_ACTIVE, 10 * US_PER_S);
    UNTIL(ring_right(), 10 * US_PER_S);
    ck_assert_uint_eq(lane(0).fence.epoch, 2);
    end();
}
END_TEST

/* Renewed for ever: nobody else ever gets a lane; when the owner dies, the other has all of them soon
 * after the lease. */
START_TEST(standby_waits_for_the_lease)
{
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    member_make(1);
    UNTIL(members[1].state == OWNER_STANDBY, 5 * US_PER_S);
    for (int i = 0; i < 60; i++) {
        pass(HEARTBEAT_US);
        ck_assert_uint_eq(members[1].held_len, 0);
        ck_assert_int_eq(members[1].state, OWNER_STANDBY);
        ck_assert_int_eq(members[0].state, OWNER_ACTIVE);
    }
    host_crash(members[0].host);
    UNTIL(members[1].held_len == LANES, 4 * HEARTBEAT_US);
    ck_assert_int_eq(members[1].state, OWNER_ACTIVE);
    UNTIL(ring_right(), 2 * WINDOW_US);
    end();
}
END_TEST

/* Frozen beyond its lease, another claims; on waking it drops everything and is somebody new. */
START_TEST(evicted_begins_anew)
{
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    member_make(1);
    UNTIL(members[1].state == OWNER_STANDBY, 5 * US_PER_S);
    host_pause(members[0].host, 10 * HEARTBEAT_US);
    UNTIL(members[1].held_len == LANES, 8 * HEARTBEAT_US);
    UNTIL(members[0].state == OWNER_STANDBY, 10 * HEARTBEAT_US);
    ck_assert_uint_eq(members[0].held_len, 0);
    ck_assert_uint_eq(members[0].lost, LANES);
    ck_assert_uint_ge(members[0].incarnations, 2);
    pass(20 * HEARTBEAT_US);
    ck_assert_uint_eq(members[1].held_len, LANES);
    ck_assert_uint_eq(members[1].lost, 0);
    UNTIL(ring_right(), 2 * WINDOW_US);
    end();
}
END_TEST

static void stop_done(void *arg)
{
    ((struct member *)arg)->stopped = true;
}
static void stop_run(struct loop_task *task)
{
    struct member *m = CONTAINER_OF(task, struct member, stop);
    owner_stop(m->owner, stop_done, m);
}
static void stop_post(struct host *h)
{
    struct member *m = h->user;
    m->stop = (struct loop_task){.run = stop_run, .name = "stop"};
    loop_post(m->loop, &m->stop);
}

/* Stopped at any moment, also before it has anything: what it had is free at once. */
START_TEST(stop_gives_back)
{
    begin((uint64_t)_i);
    UNTIL(members[0].loop != NULL, US_PER_S);
    pass(_i * 3 * (int64_t)US_PER_MS);
    host_run(members[0].host, stop_post);
    UNTIL(members[0].stopped, 5 * US_PER_S);
    ck_assert_int_eq(members[0].state, OWNER_STOPPED);
    for (uint16_t i = 0; i < (uint16_t)LANES; i++) {
        struct lane_rec rec = lane(i);
        ck_assert(uuid_is_null(&rec.incarnation));
    }
    int64_t at = world->now_us;
    member_make(1);
    UNTIL(members[1].held_len == LANES, 5 * US_PER_S);
    ck_assert_int_lt(world->now_us - at, HEARTBEAT_US);
    end();
}
END_TEST

/* Transactions fail, answers are lost, the store goes away: afterwards everything stands as it should. */
START_TEST(faults_of_the_store)
{
    begin((uint64_t)_i);
    store->faults.serialization = 0.3;
    store->faults.lose_answer = 0.2;
    for (int i = 0; i < 5; i++) {
        pass(8 * US_PER_S);
        sim_store_away(store, (int64_t)rng_below(&world->rng, 5 * US_PER_S));
    }
    store->faults = (struct sim_store_faults){0};
    UNTIL(members[0].held_len == LANES, 20 * US_PER_S);
    UNTIL(ring_right(), 20 * US_PER_S);
    end();
}
END_TEST

static uint64_t claims_made, opens_made, errors_told;
static void on_committed(struct sim_store_watch *watch, const struct store_req *r)
{
    (void)watch;
    claims_made += r->op == STORE_CLAIM;
    opens_made += r->op == STORE_WINDOW_OPEN;
}
static struct sim_store_watch watch = {.committed = on_committed};

/* ---- many deadlines ---- */

static int64_t key_part(struct kv_node *n, size_t at)
{
    return key_get_i64(kv_key(n), at);
}
/* Long-term rows due before "before"; with "ring", rows in the ring instead. */
static uint32_t timers_count(int64_t before, bool ring)
{
    enum { DUE_AT = 3, TABLE_AT = 39 };
    struct sim_key k;
    uint32_t count = 0;
    key_begin(&k, TABLE_TIMER);
    for (struct kv_node *n = kv_seek(store->kv, key_str(&k));
         n != NULL && kv_key(n).p[0] == TABLE_TIMER; n = kv_next(n)) {
        count += key_part(n, DUE_AT) < before && (key_part(n, TABLE_AT) >= 0) == ring;
    }
    return count;
}
/* Deadlines of all lanes, in the long term or where "window" says, due in that window. */
static void timers_put(uint32_t n, int64_t in, int64_t window)
{
    struct rng rng;
    rng_seed(&rng, 5);
    for (uint32_t i = 0; i < n; i++) {
        uint16_t slot = (uint16_t)(i * SLOT_COUNT / n);
        struct timer_row t = {.exec = exec_id_make(0, slot, 1, (struct wall){0}, &rng),
                              .seq = 1,
                              .due = {window * WINDOW_US + i},
                              .window = in};
        sim_timer_put(store, (uint16_t)(slot * LANES / SLOT_COUNT), &t);
    }
}

/* A window opens when all that is due in it stands there, and not before; a few rows a call, and the
 * owner dying in between. */
START_TEST(window_opens_after_all_chunks)
{
    enum { N = 300 };
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    member_make(1);
    UNTIL(members[1].state == OWNER_STANDBY, 5 * US_PER_S);
    store->move_max = 1 + (uint32_t)_i % 7;
    int64_t w = window_now() + RING, w_end = (w + 1) * WINDOW_US;
    timers_put(N, TIMER_LONG_TERM, w);
    pass((w - RING + 1) * WINDOW_US - world_wall(world).us);
    ck_assert_uint_eq(timers_count(w_end, false), N);
    store->watch = &watch;
    opens_made = 0;
    if (_i % 2 == 1) {
        UNTIL(timers_count(w_end, false) < N / 2, WINDOW_US);
        ck_assert_int_lt(lane(0).open_to, w);
        host_crash(members[0].host);
    }
    struct member *m = &members[_i % 2];
    UNTIL(lane(3).open_to == w, 10 * US_PER_S);
    ck_assert_uint_eq(timers_count(w_end, false), 0);
    ck_assert_uint_eq(timers_count(w_end, true), N);
    UNTIL(m->open_to == w, US_PER_S);
    ck_assert_uint_eq(m->lost, 0);
    ck_assert_uint_eq(opens_made, 1); /* with the fences held nothing was left to do */
    store->watch = NULL;
    end();
}
END_TEST

/* Leftovers move a few at a time; what else is to be done is done in between, and the window is closed
 * when there are none. */
START_TEST(leftovers_move_in_chunks)
{
    enum { N = 300 };
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    store->move_max = 1 + (uint32_t)_i % 7;
    int64_t w = window_now();
    timers_put(N, w, w);
    pass((w + 1) * WINDOW_US - world_wall(world).us);
    UNTIL(lane(7).closed_to == w, WINDOW_US * 3 / 4);
    for (int64_t k = w; k < w + RING; k++) {
        ck_assert(sim_ring_serves(store, (uint32_t)(k % RING)) != w || timers_count(w, true) == 0);
    }
    ck_assert_uint_eq(timers_count(INT64_MAX, true), N); /* none was lost */
    UNTIL(members[0].moved_to == w + 1, 100 * US_PER_MS);
    UNTIL(ring_right(), WINDOW_US / 2);
    end();
}
END_TEST

/* ---- who is who ---- */

static void on_line(struct log_sink *s, enum log_level level, const char *line, size_t size)
{
    (void)s;
    errors_told += level == LOG_ERROR && strstr(line, "give each a name") != NULL;
    (void)size;
}
static struct log_sink sink = {.write = on_line};

/* A second node of the same name stands by, says what is wrong, asks for nothing, and takes over when
 * the lease of the first ends. */
static void twin(uint64_t seed, const char *address)
{
    begin(seed);
    log_set_sink(&sink);
    store->watch = &watch;
    errors_told = 0;
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    member_named(1, "node-0", address);
    UNTIL(members[1].state == OWNER_STANDBY, 2 * HEARTBEAT_US);
    UNTIL(errors_told == 1, 3 * HEARTBEAT_US);
    claims_made = 0;
    for (int i = 0; i < 30; i++) {
        pass(HEARTBEAT_US);
        ck_assert_int_eq(members[1].state, OWNER_STANDBY);
        ck_assert_int_eq(members[0].state, OWNER_ACTIVE);
    }
    ck_assert_uint_eq(claims_made, 0);
    ck_assert_uint_eq(errors_told, 1);
    host_pause(members[0].host, 10 * HEARTBEAT_US); /* its session stays */
    UNTIL(members[1].held_len == LANES, 2 * HEARTBEAT_US + 100 * US_PER_MS);
    UNTIL(members[0].state == OWNER_STANDBY, 12 * HEARTBEAT_US);
    UNTIL(errors_told == 2, 3 * HEARTBEAT_US); /* now the other one says it */
    log_set_sink(NULL);
    store->watch = NULL;
    end();
}
START_TEST(twin_elsewhere)
{
    twin((uint64_t)_i, "tcp://b:1");
}
END_TEST
START_TEST(twin_of_the_same_address)
{
    twin((uint64_t)_i, "tcp://a:1");
}
END_TEST

/* The owner is dead and so are its sessions: nobody waits for its lease, which lasts one and a half
 * heartbeats at least. */
START_TEST(owner_without_session_is_relieved)
{
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    member_make(1);
    UNTIL(members[1].state == OWNER_STANDBY, 5 * US_PER_S);
    pass(3 * HEARTBEAT_US + _i * 77 * (int64_t)US_PER_MS);
    struct uuid dead = *owner_incarnation(members[0].owner);
    host_crash(members[0].host);
    sim_store_session(store, &dead, false);
    UNTIL(members[1].held_len == LANES, HEARTBEAT_US * 3 / 4 + 50 * US_PER_MS);
    end();
}
END_TEST

/* A node that was cut off from the store and comes back at once keeps its lanes. */
START_TEST(short_cut_costs_nothing)
{
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    pass(_i * 130 * (int64_t)US_PER_MS); /* renewals of the one, looks of the other */
    member_make(1);
    UNTIL(members[1].state == OWNER_STANDBY, 5 * US_PER_S);
    struct uuid alive = *owner_incarnation(members[0].owner);
    for (int i = 0; i < 30; i++) {
        pass(HEARTBEAT_US + 31 * US_PER_MS);
        sim_store_session(store, &alive, false);
        pass(HEARTBEAT_US / 5);
        sim_store_session(store, &alive, true);
    }
    ck_assert_uint_eq(members[0].held_len, LANES);
    ck_assert_uint_eq(members[1].held_len, 0);
    end();
}
END_TEST

/* A past life of one's own is over when its session is: a node that is started again waits for nothing. */
START_TEST(restart_waits_for_nothing)
{
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    struct uuid dead = *owner_incarnation(members[0].owner);
    host_crash(members[0].host);
    sim_store_session(store, &dead, false);
    host_boot(members[0].host);
    UNTIL(members[0].held_len == LANES, 100 * US_PER_MS);
    end();
}
END_TEST

/* ---- clocks ---- */

/* Steps of the host's clock are told, and change nothing. */
START_TEST(clock_steps_alarm)
{
    static const int64_t steps[] = {-3600, 3600, 3600, -3600, -1, 1};
    begin((uint64_t)_i);
    UNTIL(members[0].state == OWNER_ACTIVE, 5 * US_PER_S);
    int64_t alarms = metric_value(&metric_clock_alarms);
    pass(5 * HEARTBEAT_US);
    ck_assert_int_eq(metric_value(&metric_clock_alarms), alarms);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        host_step_clock(members[0].host, steps[i] * US_PER_S);
        pass(HEARTBEAT_US);
        alarms += i % 2 == 0; /* every other step brings it back */
        ck_assert_int_eq(metric_value(&metric_clock_alarms), alarms);
        int64_t off = i % 2 == 0 ? steps[i] * US_PER_S : 0;
        ck_assert_int_le(llabs(metric_value(&metric_clock_offset) - off), STORECLOCK_ALARM_US);
        ck_assert_int_eq(members[0].state, OWNER_ACTIVE);
    }
    host_step_clock(members[0].host, STORECLOCK_ALARM_US - 50 * US_PER_MS);
    pass(3 * HEARTBEAT_US);
    ck_assert_int_eq(metric_value(&metric_clock_alarms), alarms);
    ck_assert_uint_eq(members[0].held_len, LANES);
    end();
}
END_TEST

/* With a store that answers after 3 s nobody knows what time it is: not good enough to own lanes. */
START_TEST(vague_clock_owns_nothing)
{
    heartbeat_us = 12 * (int64_t)US_PER_S;
    begin((uint64_t)_i);
    store->latency_us = 4 * US_PER_S; /* 2 to 6 s */
    store->watch = &watch;
    claims_made = 0;
    pass(200 * (int64_t)US_PER_S);
    ck_assert_uint_eq(claims_made, 0);
    ck_assert_int_ne(members[0].state, OWNER_ACTIVE);
    store->latency_us = 1000;
    UNTIL(members[0].held_len == LANES, 3 * HEARTBEAT_US);
    store->watch = NULL;
    end();
    heartbeat_us = 1 * (int64_t)US_PER_S;
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("owner");
    TCase *c = tcase_create("owner");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, all_lanes_are_claimed, 0, 5);
    tcase_add_loop_test(c, windows_turn_at_each_boundary, 0, 5);
    tcase_add_loop_test(c, long_time_away, 0, 14);
    tcase_add_loop_test(c, standby_waits_for_the_lease, 0, 5);
    tcase_add_loop_test(c, evicted_begins_anew, 0, 5);
    tcase_add_loop_test(c, stop_gives_back, 0, 20);
    tcase_add_loop_test(c, faults_of_the_store, 0, 20);
    tcase_add_loop_test(c, window_opens_after_all_chunks, 0, 14);
    tcase_add_loop_test(c, leftovers_move_in_chunks, 0, 7);
    tcase_add_loop_test(c, twin_elsewhere, 0, 3);
    tcase_add_loop_test(c, twin_of_the_same_address, 0, 3);
    tcase_add_loop_test(c, owner_without_session_is_relieved, 0, 20);
    tcase_add_loop_test(c, short_cut_costs_nothing, 0, 4);
    tcase_add_loop_test(c, restart_waits_for_nothing, 0, 3);
    tcase_add_loop_test(c, clock_steps_alarm, 0, 3);
    tcase_add_loop_test(c, vague_clock_owns_nothing, 0, 3);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
