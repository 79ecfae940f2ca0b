/* The memory ring over the simulator's store, its lanes held by a real owner on the same loop. A load
 * commits turns that make deadlines while scans are under way; each deadline that is announced is
 * consumed by another turn, as the engine does. */
#include "base/prelude.h"

#include "tests/unit/base/suite.h"

#include "base/mem.h"
#include "scheduler/owner.h"
#include "scheduler/timerq.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/world.h"

#define HEARTBEAT_US (1 * (int64_t)US_PER_S)
enum { RING = 4, LANES = 8, JOBS_MAX = 600 };

/* An execution with one deadline: a turn makes it, a turn consumes it when it is announced (or cancels
 * it before). */
struct job {
    struct exec_id id;
    struct wall due;
    char name[24];
    struct timer_row timer, done;
    struct start_row start;
    struct turn_row turn;
    struct turn_row *turns[1];
    struct lane_ref held[LANES];
    struct store_commit commit;
    struct loop_timer retry;
    enum { MAKING, ARMED, FIRING, CANCELLING, OVER } phase;
    bool made, cancelled;
    struct wall made_at, fired_at, not_before;
    uint32_t announced, soon, put_off;
};

static struct world *world;
static struct sim_store *store;
static struct host *host;
static struct loop *loop;
static struct owner *owner;
static struct owner_handler owner_handler;
static struct timerq_handler handler;
static struct timerq *q;
static struct lanes lanes;
static struct storeclock store_time;
static struct uuid incarnation;
static struct rng rng, load_rng;
static struct job jobs[JOBS_MAX];
static uint32_t jobs_len, jobs_wanted, chunk, gained_times, rescan_at;
static double cancel_share;
static int64_t far_us, window_us, put_off_us;
static struct loop_timer load_timer;

/* ---- the owner's news, as a turn loop takes them ---- */

static void on_gained(struct owner_handler *h, const struct lane_row *rows, uint32_t len)
{
    (void)h;
    for (uint32_t i = 0; i < len; i++) {
        lanes_set(&lanes, &rows[i], true);
    }
    gained_times++;
    timerq_rescan(q);
}
static void on_foreign(struct owner_handler *h, const struct lane_row *rows, uint32_t len)
{
    (void)h;
    for (uint32_t i = 0; i < len; i++) {
        if (!lanes.lane[rows[i].lane].held) {
            lanes_set(&lanes, &rows[i], false);
        }
    }
}
static void on_lost(struct owner_handler *h, const uint16_t *lost, uint32_t len)
{
    (void)h;
    for (uint32_t i = 0; i < len; i++) {
        lanes_lose(&lanes, lost[i]);
    }
    timerq_rescan(q);
}
static void on_windows(struct owner_handler *h, int64_t accept_from, int64_t open_to)
{
    (void)h;
    for (uint32_t i = 0; i < lanes.len; i++) {
        struct lane *l = &lanes.lane[i];
        if (l->held) {
            l->accept_from = MAX(l->accept_from, accept_from);
            l->open_to = MAX(l->open_to, open_to);
        }
    }
}
static void on_moved(struct owner_handler *h, int64_t window)
{
    (void)h;
    for (uint32_t i = 0; i < lanes.len; i++) {
        if (lanes.lane[i].held) {
            timerq_moved(q, (uint16_t)i, window);
        }
    }
}
static void on_rescan(struct owner_handler *h)
{
    (void)h;
    timerq_rescan(q);
}
static struct job *job_of(const struct exec_id *id)
{
    for (uint32_t i = 0; i < jobs_len; i++) {
        if (exec_id_eq(&jobs[i].id, id)) {
            return &jobs[i];
        }
    }
    ck_abort_msg("no such job");
    return NULL;
}
static struct timer_row row_now(const struct job *j)
{
    struct timer_row row = j->timer;
    row.window = lane_window_for(lanes_of(&lanes, &j->id), window_us, j->due);
    return row;
}
static void on_announced(struct owner_handler *h, const struct exec_id *ids, uint32_t len)
{
    (void)h;
    for (uint32_t i = 0; i < len; i++) {
        const struct job *j = job_of(&ids[i]);
        if (j->phase <= ARMED) {
            struct timer_row row = row_now(j);
            timerq_armed(q, &row);
        }
    }
}
static void on_clock(struct owner_handler *h, struct mono sent, struct mono answered,
                     struct wall at)
{
    (void)h;
    bool first = !store_time.set;
    storeclock_sample(&store_time, sent, answered, at);
    if (first) {
        timerq_rescan(q);
    }
}
static void on_state(struct owner_handler *h, enum owner_state s, struct str other)
{
    (void)h;
    (void)s;
    (void)other;
}
static void on_incarnation(struct owner_handler *h, const struct uuid *u)
{
    (void)h;
    incarnation = *u;
}

/* ---- jobs ---- */

static void job_commit(struct job *j);

static void job_again(struct job *j)
{
    loop_timer_after(loop, &j->retry, 20 * US_PER_MS);
}
static void job_retry(struct loop_timer *timer)
{
    job_commit(CONTAINER_OF(timer, struct job, retry));
}

static void job_made(struct job *j, struct wall at)
{
    if (!j->made) {
        j->made = true;
        j->made_at = at;
    }
    j->phase = ARMED;
    if (!j->turn.via_inbox) {
        timerq_armed(q, &j->timer);
    }
}

static void job_done(struct store_req *r)
{
    struct store_commit *c = CONTAINER_OF(r, struct store_commit, req);
    struct job *j = CONTAINER_OF(c, struct job, commit);
    if (r->err != ERR_OK || j->turn.result == TURN_WINDOW) {
        job_again(j);
        return;
    }
    storeclock_sample(&store_time, r->sent, r->answered, r->store_now);
    if (j->phase == MAKING) {
        /* A conflict: it was the first sending, whose answer was lost, that made it. */
        j->turn.via_inbox = j->turn.via_inbox && j->turn.result == TURN_OK;
        job_made(j, r->store_now);
    } else if (j->turn.result == TURN_EARLY) {
        j->phase = ARMED;
        timerq_armed(q, &j->done);
    } else {
        j->cancelled = j->phase == CANCELLING;
        j->phase = OVER;
        j->fired_at = r->store_now;
        timerq_cancel(q, &j->id, 1, 0);
    }
}

static void job_commit(struct job *j)
{
    if (lanes.held_len == 0 || !store_time.set) {
        job_again(j);
        return;
    }
    bool making = j->phase == MAKING;
    if (making) {
        j->timer = row_now(j);
    }
    uint32_t held = lanes_held(&lanes, j->held, LANES);
    j->turn = (struct turn_row){.exec = j->id,
                                .seq_prev = making ? 0 : 1,
                                .turn_prev = making ? 0 : 1,
                                .seq = making ? 1 : 2,
                                .turn = making ? 1 : 2,
                                .status = making ? STATUS_OPEN : 2,
                                .first_event = making ? 1 : 2,
                                .event_count = 1,
                                .body = STR("x"),
                                .due_max = {j->phase == FIRING ? j->due.us : 0},
                                .start = making ? &j->start : NULL,
                                .timers_new = &j->timer,
                                .timers_new_len = making ? 1 : 0,
                                .timers_done = &j->done,
                                .timers_done_len = making ? 0 : 1};
    j->turns[0] = &j->turn;
    j->commit = (struct store_commit){
        .req = {.op = STORE_COMMIT, .loop = loop, .done = job_done},
        .incarnation = incarnation,
        .lanes = j->held,
        .lanes_len = held,
        .turns = j->turns,
        .turns_len = 1,
    };
    store_submit(&store->base, &j->commit.req);
}

/* Due times are round: many share one, so that chunks end in the midst of them. */
static void job_new(void)
{
    struct job *j = &jobs[jobs_len++];
    struct wall now = storeclock_now(&store_time, loop_now(loop));
    *j = (struct job){.phase = MAKING};
    (void)snprintf(j->name, sizeof(j->name), "job-%u", jobs_len);
    j->id = exec_id_make(0, (uint16_t)rng_below(&load_rng, SLOT_COUNT), 1, now, &load_rng);
    int64_t in = rng_chance(&load_rng, 0.5) ? rng_between(&load_rng, -500000, 500000)
                                            : rng_between(&load_rng, 0, far_us);
    j->due.us = (now.us + in) / 200000 * 200000;
    j->timer = (struct timer_row){.exec = j->id, .seq = 1, .due = j->due};
    j->start = (struct start_row){.tenant = 1,
                                  .workflow = STR("w"),
                                  .name = str_of(j->name),
                                  .revision = 1,
                                  .started_at = now};
    j->retry = (struct loop_timer){.fired = job_retry, .name = "job again"};
    job_commit(j);
}

static void job_cancel(void)
{
    struct job *j = &jobs[rng_below(&load_rng, jobs_len)];
    if (j->phase == ARMED) {
        j->phase = CANCELLING;
        j->done = row_now(j);
        job_commit(j);
    }
}

static void load_fired(struct loop_timer *timer)
{
    if (store_time.set && lanes.held_len > 0) {
        uint64_t n = rng_between(&load_rng, 1, 4) == 1 ? 12 : 1;
        for (uint64_t i = 0; i < n && jobs_len < jobs_wanted; i++) {
            job_new();
        }
        if (rescan_at > 0 && jobs_len >= rescan_at) {
            rescan_at = 0;
            timerq_rescan(q);
        }
        if (jobs_len > 0 && rng_chance(&load_rng, cancel_share)) {
            job_cancel();
        }
    }
    if (jobs_len < jobs_wanted) {
        loop_timer_after(loop, timer, rng_between(&load_rng, 1, 60000));
    }
}

/* ---- announcements ---- */

/* It cannot be treated now. Every other one is armed before its time: then it comes at once. */
static void put_off(struct job *j, const struct timer_row *row, struct wall now)
{
    timerq_again(q, row, put_off_us);
    if (j->put_off++ == 0 || j->name[strlen(j->name) - 1] % 2 == 0) {
        j->not_before.us = now.us + put_off_us;
    } else {
        timerq_armed(q, row);
    }
}

static void on_due(struct timerq_handler *h, const struct timer_row *rows, uint32_t len)
{
    (void)h;
    struct wall now = storeclock_now(&store_time, loop_now(loop));
    for (uint32_t i = 0; i < len; i++) {
        struct job *j = job_of(&rows[i].exec);
        ck_assert_int_eq(rows[i].due.us, j->due.us);
        ck_assert_int_le(rows[i].due.us, now.us);
        j->announced++;
        ck_assert_int_ge(now.us, j->not_before.us);
        if (put_off_us > 0 && j->put_off < 2 && j->phase == ARMED) {
            put_off(j, &rows[i], now);
            continue;
        }
        if (j->phase == ARMED) {
            j->phase = FIRING;
            j->done = rows[i];
            job_commit(j);
        } else if (j->phase == MAKING) {
            /* A scan saw it before the answer came: the engine's entry is in flight likewise. */
            j->announced--;
        }
    }
}
static void on_soon(struct timerq_handler *h, const struct timer_row *rows, uint32_t len)
{
    (void)h;
    struct wall now = storeclock_now(&store_time, loop_now(loop));
    for (uint32_t i = 0; i < len; i++) {
        job_of(&rows[i].exec)->soon++;
        ck_assert_int_le(rows[i].due.us - TIMERQ_LEAD_US, now.us);
    }
}

/* ---- the world ---- */

static struct loop_task start_task;
static void start_run(struct loop_task *task)
{
    (void)task;
    q = timerq_new(&(struct timerq_config){.loop = loop,
                                           .store = &store->base,
                                           .lanes = &lanes,
                                           .clock = &store_time,
                                           .chunk = chunk,
                                           .handler = &handler});
    owner_start(owner);
    load_timer = (struct loop_timer){.fired = load_fired, .name = "load"};
    loop_timer_after(loop, &load_timer, 0);
}
static void boot(struct host *h)
{
    loop = h->factory.make(&h->factory, "turns");
    lanes_init(&lanes, 0, window_us);
    storeclock_init(&store_time);
    owner_handler = (struct owner_handler){.gained = on_gained,
                                           .foreign = on_foreign,
                                           .lost = on_lost,
                                           .windows = on_windows,
                                           .moved = on_moved,
                                           .promoted = on_rescan,
                                           .announced = on_announced,
                                           .missed = on_rescan,
                                           .clock = on_clock,
                                           .state = on_state,
                                           .incarnation = on_incarnation};
    handler = (struct timerq_handler){.due = on_due, .soon = on_soon};
    owner = owner_new(&(struct owner_config){.loop = loop,
                                             .store = &store->base,
                                             .coord = coord_db_new(), /* goes with the host */
                                             .rng = &rng,
                                             .handler = &owner_handler,
                                             .node = STR("node"),
                                             .address = STR("tcp://nowhere:1"),
                                             .heartbeat_us = HEARTBEAT_US,
                                             .window_us = window_us,
                                             .ring_windows = RING,
                                             .promote_us = 500 * US_PER_MS});
    start_task = (struct loop_task){.run = start_run, .name = "start"};
    loop_post(loop, &start_task);
}

static void begin(uint64_t seed, uint32_t wanted, uint32_t chunk_rows)
{
    jobs_len = gained_times = rescan_at = 0;
    jobs_wanted = wanted;
    chunk = chunk_rows;
    cancel_share = 0;
    put_off_us = 0;
    far_us = 30 * (int64_t)US_PER_S;
    window_us = 3 * (int64_t)US_PER_S;
    rng_seed(&rng, seed);
    rng_seed(&load_rng, seed + 1000);
    world = world_new(seed, false, false);
    store = sim_store_new(world, 0, LANES);
    store->latency_us = rng_between(&load_rng, 500, 40000);
    host = host_new(world, "node");
    host->boot = boot;
    host_boot(host);
}
static void end(void)
{
    world_free(world);
    sim_store_free(store);
}

static bool all_over(void)
{
    for (uint32_t i = 0; i < jobs_len; i++) {
        if (jobs[i].phase != OVER) {
            return false;
        }
    }
    return jobs_len == jobs_wanted;
}

/* Runs until every deadline is consumed; then none is left, and none was later than allowed. */
static void finish(int64_t late_max)
{
    int64_t until = world->now_us + 300 * (int64_t)US_PER_S;
    while (!all_over() && world->now_us < until) {
        world_run(world, world->now_us + 100 * US_PER_MS);
    }
    for (uint32_t i = 0; i < jobs_len; i++) {
        const struct job *j = &jobs[i];
        int64_t from = MAX(j->due.us, j->made_at.us);
        ck_assert_msg(j->phase == OVER, "%s: missed: phase %d, announced %u, due %lld us ago",
                      j->name, (int)j->phase, j->announced,
                      (long long)(world_wall(world).us - j->due.us));
        if (!j->cancelled) {
            ck_assert_int_ge(j->fired_at.us, j->due.us);
            ck_assert_uint_ge(j->announced, 1);
            ck_assert_msg(j->fired_at.us - from <= late_max, "%s: %lld us late", j->name,
                          (long long)(j->fired_at.us - from));
        }
    }
    world_run(world, world->now_us + 5 * US_PER_S);
    ck_assert_uint_eq(timerq_len(q), 0);
}

/* Deadlines near and far are made all the time, scans of every size of chunk run beside, windows turn,
 * rows are promoted: none is missed, none is early, each is consumed once, and in time. */
START_TEST(never_missed)
{
    static const uint32_t chunks[] = {1, 2, 3, 5, 8, 40, 10000};
    begin((uint64_t)_i, 500, chunks[(size_t)_i % ARRAY_LEN(chunks)]);
    if (_i % 2 == 0) {
        /* No boundary: but for one scan in the midst of the load, which finds many rows and stops when it
         * has enough, nothing is scanned twice. */
        window_us = 3600 * (int64_t)US_PER_S;
        rescan_at = 250;
    }
    /* Chunks of a few rows and a slow store: what is due at once takes its time. */
    finish(chunk < 40 ? 10 * US_PER_S : 1 * US_PER_S);
    ck_assert_uint_eq(gained_times, 1);
    end();
}
END_TEST

/* What could not be treated comes again, not before it was asked to and not much later, through rescans. */
START_TEST(put_off_and_announced_again)
{
    begin((uint64_t)_i, 300, _i % 2 == 0 ? 3 : 40);
    put_off_us = 5 * US_PER_S;
    finish(chunk < 40 ? 20 * US_PER_S : 11 * US_PER_S);
    for (uint32_t i = 0; i < jobs_len; i++) {
        ck_assert_uint_eq(jobs[i].put_off, 2);
        bool armed = jobs[i].name[strlen(jobs[i].name) - 1] % 2 != 0;
        int64_t us = jobs[i].fired_at.us - jobs[i].due.us;
        us += 50 * US_PER_MS; /* the estimate of the store's clock moves */
        ck_assert_int_ge(us, armed ? put_off_us : 2 * put_off_us);
    }
    end();
}
END_TEST

START_TEST(some_are_cancelled)
{
    begin((uint64_t)_i, 400, 40);
    cancel_share = 0.5;
    finish(1 * US_PER_S);
    uint32_t cancelled = 0;
    for (uint32_t i = 0; i < jobs_len; i++) {
        cancelled += jobs[i].cancelled;
    }
    ck_assert_uint_gt(cancelled, 10);
    end();
}
END_TEST

START_TEST(store_with_faults)
{
    begin((uint64_t)_i, 400, 1 + (uint32_t)_i % 7);
    store->faults.serialization = 0.2;
    store->faults.lose_answer = 0.2;
    store->faults.slow = 0.1;
    store->faults.slow_us = 300 * US_PER_MS;
    world_run(world, 20 * US_PER_S);
    sim_store_away(store, 3 * US_PER_S);
    world_run(world, 30 * US_PER_S);
    store->faults = (struct sim_store_faults){0};
    finish(40 * US_PER_S);
    end();
}
END_TEST

/* Another takes the lanes by force and gives them back: what was committed meanwhile or before fires. */
static struct store_lease rival_lease;
static struct store_claim rival_claim;
static struct store_release rival_release;
static uint16_t rival_lanes[LANES];
static struct arena rival_arena;
static struct host *rival_host;
static struct loop *rival_loop;
static struct uuid rival;
static uint32_t rival_got;

static void rival_released(struct store_req *r)
{
    (void)r;
}
static struct loop_timer rival_timer;
static void rival_leave(struct loop_timer *t)
{
    (void)t;
    rival_release = (struct store_release){.req = {.op = STORE_RELEASE,
                                                   .loop = rival_loop,
                                                   .done = rival_released},
                                           .incarnation = rival,
                                           .leave = true};
    store_submit(&store->base, &rival_release.req);
}
static void rival_claimed(struct store_req *r)
{
    ck_assert_int_eq(r->err, ERR_OK);
    rival_got += rival_claim.got_len;
    rival_timer = (struct loop_timer){.fired = rival_leave, .name = "leave"};
    loop_timer_after(rival_loop, &rival_timer, 700 * US_PER_MS);
}
static void rival_leased(struct store_req *r)
{
    ck_assert_int_eq(r->err, ERR_OK);
    uint32_t n = 0;
    for (uint16_t i = 0; i < (uint16_t)LANES; i++) {
        if (rng_chance(&load_rng, 0.5) || (i == LANES - 1 && n == 0)) {
            rival_lanes[n++] = i;
        }
    }
    arena_init(&rival_arena, 0);
    rival_claim = (struct store_claim){.req = {.op = STORE_CLAIM,
                                               .loop = rival_loop,
                                               .done = rival_claimed,
                                               .arena = &rival_arena},
                                       .incarnation = rival,
                                       .node = STR("rival"),
                                       .lanes = rival_lanes,
                                       .lanes_len = n,
                                       .takeover = true,
                                       .window_us = window_us,
                                       .ring_windows = RING,
                                       .claim_seed = rng_u64(&load_rng)};
    store_submit(&store->base, &rival_claim.req);
}
static struct loop_task rival_task;
static void rival_run(struct loop_task *task)
{
    (void)task;
    rival = uuid_make(&load_rng);
    rival_lease =
        (struct store_lease){.req = {.op = STORE_LEASE, .loop = rival_loop, .done = rival_leased},
                             .incarnation = rival,
                             .node = STR("rival"),
                             .address = STR("tcp://nowhere:2"),
                             .lease_us = 2 * US_PER_S};
    store_submit(&store->base, &rival_lease.req);
}
static void rival_boot(struct host *h)
{
    rival_loop = h->factory.make(&h->factory, "rival");
    rival_task = (struct loop_task){.run = rival_run, .name = "rival"};
    loop_post(rival_loop, &rival_task);
}

START_TEST(lanes_lost_and_gained)
{
    begin((uint64_t)_i, 500, 1 + (uint32_t)_i % 9);
    rival_got = 0;
    rival_host = host_new(world, "rival");
    rival_host->boot = rival_boot;
    for (int i = 0; i < 3; i++) {
        world_run(world, world->now_us + rng_between(&load_rng, 1, 6) * (int64_t)US_PER_S);
        host_boot(rival_host);
        world_run(world, world->now_us + 4 * US_PER_S);
        host_crash(rival_host);
    }
    finish(20 * US_PER_S);
    ck_assert_uint_ge(rival_got, 3);
    ck_assert_uint_gt(gained_times, 1);
    end();
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("timerq");
    TCase *c = tcase_create("timerq");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, never_missed, 0, 42);
    tcase_add_loop_test(c, put_off_and_announced_again, 0, 10);
    tcase_add_loop_test(c, some_are_cancelled, 0, 10);
    tcase_add_loop_test(c, store_with_faults, 0, 20);
    tcase_add_loop_test(c, lanes_lost_and_gained, 0, 20);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
