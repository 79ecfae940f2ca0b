#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/contract/store_suite.h"

#include "base/limits.h"
#include "base/mem.h"

/* A long window: no test crosses an hour by chance; those about time choose deadlines around it. */
#define WINDOW_US US_PER_HOUR
#define LEASE_US  (60 * (int64_t)US_PER_S)
enum { TENANT = 7 };

static struct store_world *(*make_world)(void);
static struct store_world *w;
static struct arena arena;
static struct rng rng;
static struct uuid me, other;
static struct lane_ref held[SUITE_LANES]; /* claims of "me" */
static int64_t window;                    /* the present one at the claim */

/* ---- calling ---- */

struct waiting {
    struct store_req *req;
    bool done;
};
/* One call at a time but where a test says otherwise. */
static struct waiting waits[8];

static void on_done(struct store_req *r)
{
    for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
        if (waits[i].req == r) {
            ck_assert(!waits[i].done);
            waits[i].done = true;
        }
    }
    w->answered(w);
}

static bool is_done(void *arg)
{
    return ((struct waiting *)arg)->done;
}

static void submit_now(void *arg)
{
    store_submit(w->store, arg);
}

static void submit(int slot, struct store_req *r, enum store_op op)
{
    r->op = op;
    r->loop = w->loop;
    r->done = on_done;
    r->arena = &arena;
    waits[slot] = (struct waiting){.req = r};
    w->run(w, submit_now, r);
}

static enum err await(int slot)
{
    struct store_req *r = waits[slot].req;
    ck_assert_msg(w->until(w, is_done, &waits[slot]), "operation %d: no answer", r->op);
    ck_assert_msg(r->err != ERR_OK || r->store_now.us > 0, "operation %d tells no time", r->op);
    ck_assert(r->err == ERR_OK || r->store_now.us == 0);
    ck_assert(r->err == ERR_OK || r->detail.code == r->err);
    ck_assert_int_ge(r->answered.us, r->sent.us);
    return r->err;
}

static enum err call(struct store_req *r, enum store_op op)
{
    submit(0, r, op);
    return await(0);
}

#define CALL(q, op) call(&(q)->req, op)
#define MUST(q, op) \
    do { \
        enum err e_ = CALL(q, op); \
        ck_assert_msg(e_ == ERR_OK, #op ": %s: %s", err_name(e_), (q)->req.detail.text); \
    } while (0)

/* ---- the usual steps ---- */

static struct wall store_clock(void)
{
    struct store_lanes q = {.shard = SUITE_SHARD};
    MUST(&q, STORE_LANES);
    return q.req.store_now;
}

static enum err lease_of(const struct uuid *incarnation, bool renew_only, int64_t us)
{
    struct store_lease q = {.incarnation = *incarnation,
                            .node = STR("node-1"),
                            .address = STR("tcp://10.0.0.1:7700"),
                            .lease_us = us,
                            .renew_only = renew_only};
    enum err e = CALL(&q, STORE_LEASE);
    if (e == ERR_OK) {
        ck_assert_int_eq(q.lease_until.us, q.req.store_now.us + us);
        ck_assert_uint_gt(q.timeline, 0);
        ck_assert(q.system_id != 0);
    }
    return e;
}

static struct store_claim claim_of(const struct uuid *incarnation, const uint16_t *lanes,
                                   uint32_t len, bool takeover)
{
    return (struct store_claim){.shard = SUITE_SHARD,
                                .incarnation = *incarnation,
                                .node = STR("node-1"),
                                .lanes = lanes,
                                .lanes_len = len,
                                .takeover = takeover,
                                .window_us = WINDOW_US,
                                .ring_windows = SUITE_RING,
                                .claim_seed = rng_u64(&rng)};
}

static const uint16_t all_lanes[SUITE_LANES] = {0, 1, 2, 3};

static struct lane_ref ref_of(const struct lane_row *l)
{
    return (struct lane_ref){l->shard, l->lane, l->slot_lo, l->slot_hi, l->fence};
}

/* "me" registers and claims all lanes. */
static void own_all(void)
{
    ck_assert_int_eq(lease_of(&me, false, LEASE_US), ERR_OK);
    w->session(w, &me, true);
    struct store_claim q = claim_of(&me, all_lanes, SUITE_LANES, false);
    MUST(&q, STORE_CLAIM);
    ck_assert_uint_eq(q.got_len, SUITE_LANES);
    for (int i = 0; i < SUITE_LANES; i++) {
        held[i] = ref_of(&q.got[i]);
    }
    window = q.req.store_now.us / WINDOW_US;
}

static struct lane_row lane_now(uint16_t lane)
{
    struct store_lanes q = {.shard = SUITE_SHARD};
    MUST(&q, STORE_LANES);
    ck_assert_uint_eq(q.lanes_len, SUITE_LANES);
    ck_assert_uint_eq(q.lanes[lane].lane, lane);
    return q.lanes[lane];
}

static struct lane_ref *lane_of(const struct exec_id *id)
{
    for (int i = 0; i < SUITE_LANES; i++) {
        if (exec_id_slot(id) >= held[i].slot_lo && exec_id_slot(id) < held[i].slot_hi) {
            return &held[i];
        }
    }
    ck_abort_msg("a slot without a lane");
    return NULL;
}

/* ---- turns ---- */

struct exec {
    struct exec_id id;
    struct start_row start;
    uint64_t seq, turn;
    char name[24];
};

static void exec_init(struct exec *e, const char *name, uint16_t slot)
{
    *e = (struct exec){0};
    (void)snprintf(e->name, sizeof(e->name), "%s", name);
    struct wall now = store_clock();
    e->id = exec_id_make(SUITE_SHARD, slot, TENANT, now, &rng);
    e->start = (struct start_row){.tenant = TENANT,
                                  .workflow = STR("orders"),
                                  .name = str_of(e->name),
                                  .revision = 1,
                                  .digest = 0xdeadbeefcafe0001U,
                                  .started_at = now};
}

static struct turn_row turn_of(struct exec *e)
{
    struct turn_row t = {.exec = e->id,
                         .seq_prev = e->seq,
                         .turn_prev = e->turn,
                         .seq = e->seq + 1,
                         .turn = rng_u64(&rng) | 1,
                         .status = STATUS_OPEN,
                         .first_event = (uint32_t)e->seq * 2 + 1,
                         .event_count = 2,
                         .body = STR("body\0with a NUL")};
    if (e->seq == 0) {
        t.start = &e->start;
    }
    return t;
}

static void turn_done(struct exec *e, const struct turn_row *t)
{
    e->seq = t->seq;
    e->turn = t->turn;
}

static struct store_commit commit_of(struct turn_row **turns, uint32_t len)
{
    return (struct store_commit){.shard = SUITE_SHARD,
                                 .incarnation = me,
                                 .lanes = held,
                                 .lanes_len = SUITE_LANES,
                                 .turns = turns,
                                 .turns_len = len};
}

static void commit_as(struct turn_row *t, enum turn_result want)
{
    struct turn_row *turns[] = {t};
    struct store_commit q = commit_of(turns, 1);
    t->result = TURN_DROPPED;
    MUST(&q, STORE_COMMIT);
    ck_assert_int_eq(t->result, want);
}

/* Starts an execution with one turn. */
static void begin(struct exec *e, const char *name, uint16_t slot)
{
    exec_init(e, name, slot);
    struct turn_row t = turn_of(e);
    commit_as(&t, TURN_OK);
    turn_done(e, &t);
}

static struct task_row task_in(const struct exec_id *id, uint64_t seq, uint32_t idx)
{
    return (struct task_row){.token = {{*id, seq, idx, 1}, rng_u64(&rng)},
                             .queue = STR("payments"),
                             .timeout_at = {1893456000123456},
                             .heartbeat_us = 30 * US_PER_S};
}

static struct timer_row timer_in(const struct exec_id *id, uint64_t seq, uint32_t idx, int64_t due,
                                 int64_t in)
{
    return (struct timer_row){*id, seq, idx, {due}, in};
}

static struct exec_row *load(const struct exec_id *ids, uint32_t len)
{
    struct store_load q = {.ids = ids, .ids_len = len};
    MUST(&q, STORE_LOAD);
    return q.rows;
}

static uint32_t tasks_of(const struct lane_ref *lanes, uint32_t len, struct task_row **rows)
{
    struct store_tasks q = {.lanes = lanes, .lanes_len = len, .limit = 100};
    MUST(&q, STORE_TASKS);
    *rows = q.rows;
    return q.rows_len;
}

static uint32_t timers_of(const struct lane_ref *lanes, uint32_t len, struct timer_row **rows)
{
    struct store_timers q = {.lanes = lanes,
                             .lanes_len = len,
                             .due_to = {INT64_MAX / 4},
                             .limit = 100};
    MUST(&q, STORE_TIMERS);
    *rows = q.rows;
    return q.rows_len;
}

static uint32_t announced(const struct lane_ref *lanes, uint32_t len, struct lane_inbox_row **rows)
{
    struct store_lane_inbox q = {.lanes = lanes, .lanes_len = len, .limit = 100};
    MUST(&q, STORE_LANE_INBOX);
    *rows = q.rows;
    return q.rows_len;
}

static uint64_t store_count_lanes_of(const struct uuid *incarnation)
{
    struct store_lanes q = {.shard = SUITE_SHARD};
    MUST(&q, STORE_LANES);
    uint64_t n = 0;
    for (uint32_t i = 0; i < q.lanes_len; i++) {
        n += uuid_eq(&q.lanes[i].incarnation, incarnation);
    }
    return n;
}

/* ---- fixtures ---- */

static void setup(void)
{
    arena_init(&arena, 0);
    rng_seed(&rng, 20261123);
    me = uuid_make(&rng);
    other = uuid_make(&rng);
    memset(held, 0, sizeof(held));
    w = make_world();
    ck_assert_ptr_nonnull(w);
}

static void setup_owner(void)
{
    setup();
    own_all();
}

static void teardown(void)
{
    arena_fini(&arena); /* the world may count what is left */
    w->fini(w);
}

/* ---- leases and claims ---- */

START_TEST(lease_registers_and_renews)
{
    ck_assert_int_eq(lease_of(&me, true, LEASE_US), ERR_FENCED); /* not registered */
    ck_assert_int_eq(lease_of(&me, false, LEASE_US), ERR_OK);
    ck_assert_int_eq(lease_of(&me, true, LEASE_US), ERR_OK);
    ck_assert_int_eq(lease_of(&me, false, LEASE_US), ERR_OK);
    struct store_release q = {.incarnation = me, .leave = true};
    MUST(&q, STORE_RELEASE);
    ck_assert_int_eq(lease_of(&me, true, LEASE_US), ERR_FENCED);
}
END_TEST

START_TEST(claim_needs_a_lease)
{
    struct store_claim q = claim_of(&me, all_lanes, SUITE_LANES, false);
    ck_assert_int_eq(CALL(&q, STORE_CLAIM), ERR_FENCED);
    ck_assert_uint_eq(q.got_len, 0);
    ck_assert_int_eq(lease_of(&me, false, -1), ERR_OK); /* over at once */
    ck_assert_int_eq(CALL(&q, STORE_CLAIM), ERR_FENCED);
}
END_TEST

START_TEST(first_claim_sets_windows)
{
    struct lane_row before = lane_now(1);
    ck_assert_uint_eq(before.fence.epoch, 0);
    ck_assert(uuid_is_null(&before.incarnation));
    own_all();
    uint32_t next = 0;
    for (unsigned i = 0; i < SUITE_LANES; i++) {
        struct lane_row l = lane_now((uint16_t)i);
        ck_assert_uint_eq(l.slot_lo, next);
        next = l.slot_hi;
        ck_assert_uint_eq(l.fence.epoch, 1);
        ck_assert(!uuid_is_null(&l.fence.claim));
        ck_assert(uuid_eq(&l.fence.claim, &held[i].fence.claim));
        ck_assert(uuid_eq(&l.incarnation, &me));
        ck_assert(str_eqc(l.node, "node-1"));
        ck_assert(str_eqc(l.address, "tcp://10.0.0.1:7700"));
        ck_assert(l.has_session);
        ck_assert_int_eq(l.accept_from, window);
        ck_assert_int_eq(l.closed_to, window - 1);
        ck_assert_int_eq(l.open_to, window + SUITE_RING - 1);
        ck_assert_int_gt(l.lease_left_us, 0);
        ck_assert_int_le(l.lease_left_us, LEASE_US);
    }
    ck_assert_uint_eq(next, SLOT_COUNT);
}
END_TEST

START_TEST(window_length_is_agreed)
{
    struct store_claim q = claim_of(&me, all_lanes, 1, false);
    q.window_us = WINDOW_US / 2;
    ck_assert_int_eq(CALL(&q, STORE_CLAIM), ERR_CONFLICT);
    q.window_us = WINDOW_US;
    MUST(&q, STORE_CLAIM); /* one's own lane: the epoch rises all the same */
    ck_assert_uint_eq(q.got_len, 1);
    ck_assert_uint_eq(q.got[0].fence.epoch, 2);
}
END_TEST

START_TEST(live_owner_keeps_its_lanes)
{
    ck_assert_int_eq(lease_of(&other, false, LEASE_US), ERR_OK);
    struct store_claim q = claim_of(&other, all_lanes, SUITE_LANES, false);
    MUST(&q, STORE_CLAIM);
    ck_assert_uint_eq(q.got_len, 0);
    ck_assert_uint_eq(store_count_lanes_of(&me), SUITE_LANES);
    ck_assert_int_eq(lease_of(&me, true, LEASE_US), ERR_OK);
}
END_TEST

START_TEST(released_lanes_are_free)
{
    struct store_release r = {.incarnation = me, .lanes = &held[1], .lanes_len = 1};
    MUST(&r, STORE_RELEASE);
    struct lane_row l = lane_now(1);
    ck_assert(uuid_is_null(&l.incarnation));
    ck_assert_int_eq(lease_of(&other, false, LEASE_US), ERR_OK);
    w->session(w, &other, true);
    struct store_claim q = claim_of(&other, all_lanes, SUITE_LANES, false);
    MUST(&q, STORE_CLAIM);
    ck_assert_uint_eq(q.got_len, 1);
    ck_assert_uint_eq(q.got[0].lane, 1);
    ck_assert_uint_eq(q.got[0].fence.epoch, 2);
    /* A hand-over evicts nobody; the old claim is worth nothing. */
    ck_assert_int_eq(lease_of(&me, true, LEASE_US), ERR_OK);
    struct store_promote p = {.lanes = &held[1], .lanes_len = 1};
    ck_assert_int_eq(CALL(&p, STORE_PROMOTE), ERR_FENCED);
    /* Releasing under an old claim changes nothing. */
    MUST(&r, STORE_RELEASE);
    l = lane_now(1);
    ck_assert(uuid_eq(&l.incarnation, &other));
    /* All that is left. */
    struct store_release all = {.incarnation = me};
    MUST(&all, STORE_RELEASE);
    ck_assert_uint_eq(store_count_lanes_of(&me), 0);
    ck_assert_uint_eq(store_count_lanes_of(&other), 1);
}
END_TEST

static void taken_from_me(bool takeover)
{
    ck_assert(str_eqc(lane_now(3).address, "tcp://10.0.0.1:7700"));
    ck_assert_int_eq(lease_of(&other, false, LEASE_US), ERR_OK);
    w->session(w, &other, true);
    struct store_claim q = claim_of(&other, all_lanes, 2, takeover);
    MUST(&q, STORE_CLAIM);
    ck_assert_uint_eq(q.got_len, 2);
    ck_assert_uint_eq(q.got[0].fence.epoch, 2);
    ck_assert(!uuid_eq(&q.got[0].fence.claim, &held[0].fence.claim));
    ck_assert(!uuid_eq(&q.got[0].fence.claim, &q.got[1].fence.claim));
    /* The old incarnation is evicted, whatever it holds still. */
    ck_assert_int_eq(lease_of(&me, true, LEASE_US), ERR_FENCED);
    ck_assert_int_eq(lease_of(&me, false, LEASE_US), ERR_FENCED);
    struct store_claim back = claim_of(&me, all_lanes, 2, true);
    ck_assert_int_eq(CALL(&back, STORE_CLAIM), ERR_FENCED);
    struct store_release r = {.incarnation = me};
    ck_assert_int_eq(CALL(&r, STORE_RELEASE), ERR_FENCED);
    struct store_commit c = commit_of(NULL, 0);
    ck_assert_int_eq(CALL(&c, STORE_COMMIT), ERR_FENCED);
    ck_assert_int_le(lane_now(3).lease_left_us, 0);
}

START_TEST(takeover_evicts)
{
    taken_from_me(true);
}
END_TEST

START_TEST(owner_without_session_is_taken)
{
    ck_assert(lane_now(1).has_session);
    w->session(w, &me, false);
    ck_assert(!lane_now(1).has_session);
    ck_assert_int_gt(lane_now(1).lease_left_us, 0);
    taken_from_me(false);
}
END_TEST

START_TEST(lease_over_is_taken)
{
    ck_assert_int_eq(lease_of(&me, true, -1), ERR_OK);
    taken_from_me(false);
}
END_TEST

START_TEST(evicted_commit_writes_nothing)
{
    struct exec e;
    begin(&e, "a", 5);
    struct turn_row t = turn_of(&e);
    taken_from_me(true);
    struct turn_row *turns[] = {&t};
    struct store_commit c = commit_of(turns, 1);
    ck_assert_int_eq(CALL(&c, STORE_COMMIT), ERR_FENCED);
    ck_assert_int_eq(t.result, TURN_DROPPED);
    ck_assert_uint_eq(load(&e.id, 1)[0].seq, 1);
}
END_TEST

START_TEST(fences_are_compared)
{
    struct lane_ref wrong[] = {held[0], held[1]};
    wrong[1].fence.epoch++;
    struct lane_ref claim[] = {held[0], held[1]};
    claim[0].fence.claim.b[7] ^= 1;
    const struct lane_ref *bad[] = {wrong, claim};
    for (int i = 0; i < 2; i++) {
        struct store_window_open o = {.lanes = bad[i], .lanes_len = 2, .open_to = window + 9};
        ck_assert_int_eq(CALL(&o, STORE_WINDOW_OPEN), ERR_FENCED);
        struct store_window_close c = {.lanes = bad[i],
                                       .lanes_len = 2,
                                       .accept_from = window + 1,
                                       .finish = true};
        ck_assert_int_eq(CALL(&c, STORE_WINDOW_CLOSE), ERR_FENCED);
        struct store_promote p = {.lanes = bad[i], .lanes_len = 2};
        ck_assert_int_eq(CALL(&p, STORE_PROMOTE), ERR_FENCED);
        struct store_timers t = {.lanes = bad[i],
                                 .lanes_len = 2,
                                 .due_to = {INT64_MAX / 4},
                                 .limit = 1};
        ck_assert_int_eq(CALL(&t, STORE_TIMERS), ERR_FENCED);
        struct store_tasks k = {.lanes = bad[i], .lanes_len = 2, .limit = 1};
        ck_assert_int_eq(CALL(&k, STORE_TASKS), ERR_FENCED);
        struct store_timers_drop d = {.lanes = bad[i], .lanes_len = 2};
        ck_assert_int_eq(CALL(&d, STORE_TIMERS_DROP), ERR_FENCED);
        struct store_lane_inbox n = {.lanes = bad[i], .lanes_len = 2, .limit = 1};
        ck_assert_int_eq(CALL(&n, STORE_LANE_INBOX), ERR_FENCED);
        struct store_inbox m = {.lanes = bad[i], .lanes_len = 2, .limit = 1};
        ck_assert_int_eq(CALL(&m, STORE_INBOX), ERR_FENCED);
        struct store_inbox_drop r = {.lanes = bad[i], .lanes_len = 2};
        ck_assert_int_eq(CALL(&r, STORE_INBOX_DROP), ERR_FENCED);
    }
    ck_assert_int_eq(lane_now(0).accept_from, window);
    ck_assert_int_eq(lane_now(1).accept_from, window);
}
END_TEST

/* ---- turns ---- */

START_TEST(start_then_load)
{
    struct exec e;
    exec_init(&e, "order-1", 77);
    struct turn_row t = turn_of(&e);
    struct task_row task = task_in(&e.id, 1, 0);
    t.tasks_new = &task;
    t.tasks_new_len = 1;
    t.outcomes = STR("0:1:worker-a\n");
    commit_as(&t, TURN_OK);
    ck_assert(!t.via_inbox);
    struct exec_id ids[] = {e.id, exec_id_make(SUITE_SHARD, 9, TENANT, e.start.started_at, &rng)};
    struct exec_row *r = load(ids, 2);
    ck_assert(r[0].found && !r[1].found);
    ck_assert(exec_id_eq(&r[0].exec, &ids[0]) && exec_id_eq(&r[1].exec, &ids[1]));
    ck_assert_uint_eq(r[0].tenant, TENANT);
    ck_assert(str_eqc(r[0].workflow, "orders") && str_eqc(r[0].name, "order-1"));
    ck_assert_uint_eq(r[0].revision, 1);
    ck_assert_uint_eq(r[0].status, STATUS_OPEN);
    ck_assert_uint_eq(r[0].seq, 1);
    ck_assert(r[0].turn == t.turn);
    ck_assert_int_eq(r[0].started_at.us, e.start.started_at.us);
    ck_assert_int_eq(r[0].closed_at.us, 0);
    ck_assert_uint_eq(r[0].snapshot_seq, 0);
    ck_assert_uint_eq(r[0].rows_len, 1);
    ck_assert_uint_eq(r[0].rows[0].seq, 1);
    ck_assert_uint_eq(r[0].rows[0].first_event, 1);
    ck_assert_uint_eq(r[0].rows[0].event_count, 2);
    ck_assert(str_eq(r[0].rows[0].body, t.body));
    ck_assert_int_ge(r[0].rows[0].at.us, e.start.started_at.us);
    struct task_row *tasks;
    ck_assert_uint_eq(tasks_of(held, SUITE_LANES, &tasks), 1);
    ck_assert(task_token_eq(&tasks[0].token, &task.token));
    ck_assert(str_eqc(tasks[0].queue, "payments"));
    ck_assert_int_eq(tasks[0].timeout_at.us, 1893456000123456);
    ck_assert_int_eq(tasks[0].heartbeat_us, 30 * US_PER_S);
}
END_TEST

START_TEST(start_key_is_taken_once)
{
    struct exec a, b;
    begin(&a, "same", 10);
    exec_init(&b, "same", 10);
    b.start.digest = 42;
    struct turn_row t = turn_of(&b);
    commit_as(&t, TURN_EXISTS);
    ck_assert(!load(&b.id, 1)[0].found);
    struct start_key keys[] = {{TENANT, STR("orders"), STR("nobody")},
                               {TENANT, STR("orders"), STR("same")},
                               {TENANT + 1, STR("orders"), STR("same")},
                               {TENANT, STR("orders2"), STR("same")}};
    struct store_start_lookup q = {.keys = keys, .keys_len = 4};
    MUST(&q, STORE_START_LOOKUP);
    ck_assert(!q.found[0].found && q.found[1].found && !q.found[2].found && !q.found[3].found);
    ck_assert(exec_id_eq(&q.found[1].exec, &a.id));
    ck_assert(q.found[1].digest == a.start.digest);
    /* Closing does not free the name. */
    struct turn_row end = turn_of(&a);
    end.status = 2;
    commit_as(&end, TURN_OK);
    commit_as(&t, TURN_EXISTS);
    MUST(&q, STORE_START_LOOKUP);
    ck_assert(exec_id_eq(&q.found[1].exec, &a.id));
}
END_TEST

START_TEST(stale_turn_conflicts)
{
    struct exec e;
    begin(&e, "a", 10);
    struct turn_row t = turn_of(&e), again = turn_of(&e), old = turn_of(&e), never;
    commit_as(&t, TURN_OK);
    commit_as(&again, TURN_CONFLICT); /* the sequence has moved */
    turn_done(&e, &t);
    old = turn_of(&e);
    old.turn_prev ^= 2;
    commit_as(&old, TURN_CONFLICT); /* the number is right, the turn is another */
    struct exec ghost = e;
    ghost.id = exec_id_make(SUITE_SHARD, 10, TENANT, e.start.started_at, &rng);
    never = turn_of(&ghost);
    commit_as(&never, TURN_CONFLICT);
    struct exec_row *r = load(&e.id, 1);
    ck_assert_uint_eq(r->seq, 2);
    ck_assert_uint_eq(r->rows_len, 2);
    struct turn_row end = turn_of(&e);
    end.status = 3;
    commit_as(&end, TURN_OK);
    turn_done(&e, &end);
    struct turn_row late = turn_of(&e);
    commit_as(&late, TURN_CONFLICT); /* closed */
    r = load(&e.id, 1);
    ck_assert_uint_eq(r->status, 3);
    ck_assert_int_gt(r->closed_at.us, 0);
}
END_TEST

/* Every kind of loser in one batch with winners around it, in unsorted order. */
START_TEST(losers_leave_their_neighbours_alone)
{
    struct exec e[6], taken, fresh;
    for (int i = 0; i < 6; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "e%d", i);
        begin(&e[i], name, (uint16_t)(4000 - i * 700));
    }
    exec_init(&taken, "e1", 50);
    exec_init(&fresh, "fresh", 3000);
    struct turn_row t[8];
    struct task_row task[8];
    struct timer_row timer[8];
    struct wall now = store_clock();
    for (int i = 0; i < 8; i++) {
        struct exec *x = i < 6 ? &e[i] : i == 6 ? &taken : &fresh;
        t[i] = turn_of(x);
        task[i] = task_in(&x->id, t[i].seq, 0);
        timer[i] = timer_in(&x->id, t[i].seq, 1, now.us + 5, window);
        t[i].tasks_new = &task[i];
        t[i].timers_new = &timer[i];
        t[i].tasks_new_len = t[i].timers_new_len = 1;
    }
    t[1].turn_prev ^= 4;                    /* conflict */
    t[2].due_max.us = now.us + US_PER_HOUR; /* early */
    timer[3].window = window + SUITE_RING;  /* not open */
    timer[4].window = TIMER_LONG_TERM;      /* belongs into the ring */
    t[5].due_max.us = now.us - 1;           /* due */
    static const enum turn_result want[8] = {TURN_OK,     TURN_CONFLICT, TURN_EARLY,  TURN_WINDOW,
                                             TURN_WINDOW, TURN_OK,       TURN_EXISTS, TURN_OK};
    struct turn_row *turns[8];
    for (int i = 0; i < 8; i++) {
        turns[i] = &t[(i * 3) % 8];
    }
    struct store_commit q = commit_of(turns, 8);
    MUST(&q, STORE_COMMIT);
    ck_assert_uint_gt(q.lsn, 0);
    struct exec_id ids[8];
    for (int i = 0; i < 8; i++) {
        ck_assert_msg(t[i].result == want[i], "turn %d: %d", i, t[i].result);
        ids[i] = t[i].exec;
    }
    struct exec_row *r = load(ids, 8);
    for (int i = 0; i < 8; i++) {
        uint64_t before = i < 6 ? 1 : 0;
        ck_assert_uint_eq(r[i].seq, before + (want[i] == TURN_OK));
        ck_assert_uint_eq(r[i].rows_len, before + (want[i] == TURN_OK));
    }
    struct task_row *tasks;
    struct timer_row *timers;
    ck_assert_uint_eq(tasks_of(held, SUITE_LANES, &tasks), 3);
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &timers), 3);
    for (int i = 0; i < 3; i++) {
        ck_assert(i == 0 ||
                  exec_id_cmp(&tasks[i - 1].token.ref.exec, &tasks[i].token.ref.exec) < 0);
    }
}
END_TEST

/* What is stale is stale first, then early, then of a wrong window: callers rely on it. */
START_TEST(reasons_have_an_order)
{
    struct exec e, taken;
    begin(&e, "a", 10);
    struct wall now = store_clock();
    struct timer_row timer = timer_in(&e.id, 2, 0, now.us, window + SUITE_RING);
    struct turn_row t = turn_of(&e);
    t.due_max.us = now.us + US_PER_HOUR;
    t.timers_new = &timer;
    t.timers_new_len = 1;
    commit_as(&t, TURN_EARLY);
    t.turn_prev ^= 8;
    commit_as(&t, TURN_CONFLICT);
    exec_init(&taken, "a", 10);
    struct turn_row s = turn_of(&taken);
    struct timer_row bad = timer_in(&taken.id, 1, 0, now.us, window + SUITE_RING);
    s.timers_new = &bad;
    s.timers_new_len = 1;
    commit_as(&s, TURN_EXISTS);
}
END_TEST

START_TEST(start_with_refused_window_leaves_nothing)
{
    struct exec e;
    exec_init(&e, "a", 10);
    struct turn_row t = turn_of(&e);
    struct timer_row timer = timer_in(&e.id, 1, 0, e.start.started_at.us, window - 1);
    t.timers_new = &timer;
    t.timers_new_len = 1;
    commit_as(&t, TURN_WINDOW);
    ck_assert(!load(&e.id, 1)->found);
    timer.window = window;
    commit_as(&t, TURN_OK); /* the name is free still */
    ck_assert(load(&e.id, 1)->found);
}
END_TEST

START_TEST(tasks_come_and_go)
{
    struct exec e;
    begin(&e, "map", 1234);
    /* Five at once; then some end while others begin; then the rest. */
    struct task_row five[5];
    struct turn_row t = turn_of(&e);
    for (uint32_t i = 0; i < 5; i++) {
        five[i] = task_in(&e.id, 2, i);
        five[i].timeout_at.us = i == 2 ? 0 : 1893456000000000 + (int64_t)i;
    }
    t.tasks_new = five;
    t.tasks_new_len = 5;
    commit_as(&t, TURN_OK);
    turn_done(&e, &t);
    struct task_row *rows;
    ck_assert_uint_eq(tasks_of(held, SUITE_LANES, &rows), 5);
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert(task_token_eq(&rows[i].token, &five[i].token));
        ck_assert_int_eq(rows[i].timeout_at.us, five[i].timeout_at.us);
    }
    struct task_token done[2] = {five[3].token, five[0].token};
    struct task_row more[2] = {task_in(&e.id, 3, 0), task_in(&e.id, 3, 1)};
    t = turn_of(&e);
    t.tasks_done = done;
    t.tasks_new = more;
    t.tasks_done_len = t.tasks_new_len = 2;
    commit_as(&t, TURN_OK);
    turn_done(&e, &t);
    ck_assert_uint_eq(tasks_of(held, SUITE_LANES, &rows), 5);
    ck_assert_uint_eq(rows[0].token.ref.idx, 1);
    ck_assert(task_token_eq(&rows[4].token, &more[1].token));
    /* A retry: the next attempt is a task of the next turn. */
    struct task_token again[] = {more[0].token};
    struct task_row attempt = task_in(&e.id, 4, 0);
    attempt.token.ref.attempt = 2;
    t = turn_of(&e);
    t.tasks_done = again;
    t.tasks_new = &attempt;
    t.tasks_done_len = t.tasks_new_len = 1;
    commit_as(&t, TURN_OK);
    turn_done(&e, &t);
    ck_assert_uint_eq(tasks_of(held, SUITE_LANES, &rows), 5);
    ck_assert_uint_eq(rows[4].token.ref.attempt, 2);
    struct task_token rest[5];
    for (uint32_t i = 0; i < 5; i++) {
        rest[i] = rows[4 - i].token;
    }
    t = turn_of(&e);
    t.tasks_done = rest;
    t.tasks_done_len = 5;
    t.status = 2;
    commit_as(&t, TURN_OK);
    ck_assert_uint_eq(tasks_of(held, SUITE_LANES, &rows), 0);
}
END_TEST

/* A chain of single tasks, with another open beside it: whatever the row holds, none is lost. */
START_TEST(task_sets_survive_any_order)
{
    struct exec e;
    begin(&e, "random", 2222);
    struct task_token open[16];
    uint32_t open_len = 0;
    for (int step = 0; step < 60; step++) {
        struct turn_row t = turn_of(&e);
        struct task_row made[3];
        struct task_token done[3];
        uint32_t n_done = (uint32_t)rng_below(&rng, MIN(open_len, 3U) + 1);
        uint32_t n_made = (uint32_t)rng_below(&rng, 1 + MIN(3U, 16 - open_len));
        for (uint32_t i = 0; i < n_done; i++) {
            uint32_t at = (uint32_t)rng_below(&rng, open_len);
            done[i] = open[at];
            open[at] = open[--open_len];
        }
        for (uint32_t i = 0; i < n_made; i++) {
            made[i] = task_in(&e.id, t.seq, i);
            open[open_len++] = made[i].token;
        }
        t.tasks_new = made;
        t.tasks_new_len = n_made;
        t.tasks_done = done;
        t.tasks_done_len = n_done;
        commit_as(&t, TURN_OK);
        turn_done(&e, &t);
        struct task_row *rows;
        ck_assert_uint_eq(tasks_of(held, SUITE_LANES, &rows), open_len);
        for (uint32_t i = 0; i < open_len; i++) {
            bool found = false;
            for (uint32_t j = 0; j < open_len; j++) {
                found = found || task_token_eq(&rows[j].token, &open[i]);
            }
            ck_assert(found);
        }
    }
}
END_TEST

START_TEST(tasks_are_paged)
{
    struct exec e[6];
    uint16_t slots[6] = {0, 1023, 1024, 2047, 2048, 4095};
    struct task_row task[12];
    for (int i = 0; i < 6; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "p%d", i);
        exec_init(&e[i], name, slots[i]);
        struct turn_row t = turn_of(&e[i]);
        for (uint32_t k = 0; k < 2; k++) {
            task[i * 2 + (int)k] = task_in(&e[i].id, 1, k);
        }
        t.tasks_new = &task[i * 2];
        t.tasks_new_len = 2;
        commit_as(&t, TURN_OK);
    }
    struct store_tasks q = {.lanes = held, .lanes_len = SUITE_LANES, .limit = 5};
    struct task_token last;
    int seen = 0;
    for (int page = 0; page < 3; page++) {
        MUST(&q, STORE_TASKS);
        ck_assert_uint_eq(q.rows_len, page < 2 ? 5 : 2);
        for (uint32_t i = 0; i < q.rows_len; i++) {
            ck_assert(task_token_eq(&q.rows[i].token, &task[seen++].token));
        }
        last = q.rows[q.rows_len - 1].token;
        q.after = &last;
    }
    /* One lane alone. */
    struct task_row *rows;
    ck_assert_uint_eq(tasks_of(&held[1], 1, &rows), 4);
    ck_assert(exec_id_eq(&rows[0].token.ref.exec, &e[2].id));
}
END_TEST

/* Which of the execution's open tasks are submitted, as a number of bits in the order of the table. */
static unsigned submitted_bits(uint32_t open)
{
    struct task_row *rows;
    unsigned bits = 0;
    ck_assert_uint_eq(tasks_of(held, SUITE_LANES, &rows), open);
    for (uint32_t i = 0; i < open; i++) {
        ck_assert(str_eqc(rows[i].queue, "payments")); /* it says still whose it was */
        bits |= (unsigned)rows[i].submitted << i;
    }
    return bits;
}

static struct turn_row submits(struct exec *e, const struct task_token *tasks, uint32_t len)
{
    struct turn_row t = turn_of(e);
    t.tasks_submitted = tasks;
    t.tasks_submitted_len = len;
    return t;
}

/* Alone in the execution's row or among others: what is submitted stays open and says so. */
START_TEST(tasks_are_submitted)
{
    struct exec e;
    begin(&e, "calls", 1234);
    struct task_row task[4];
    struct turn_row t = turn_of(&e);
    task[0] = task_in(&e.id, 2, 0);
    t.tasks_new = task;
    t.tasks_new_len = 1;
    commit_as(&t, TURN_OK);
    turn_done(&e, &t);
    ck_assert_uint_eq(submitted_bits(1), 0);
    t = submits(&e, &task[0].token, 1);
    t.turn_prev ^= 2;
    commit_as(&t, TURN_CONFLICT);
    ck_assert_uint_eq(submitted_bits(1), 0);
    t.turn_prev ^= 2;
    commit_as(&t, TURN_OK);
    turn_done(&e, &t);
    ck_assert_uint_eq(submitted_bits(1), 1);
    /* The next one takes its place, not its state. */
    struct task_token first[] = {task[0].token};
    t = turn_of(&e);
    t.tasks_done = first;
    t.tasks_done_len = 1;
    for (uint32_t i = 0; i < 4; i++) {
        task[i] = task_in(&e.id, 4, i);
    }
    t.tasks_new = task;
    t.tasks_new_len = 4;
    commit_as(&t, TURN_OK);
    turn_done(&e, &t);
    ck_assert_uint_eq(submitted_bits(4), 0);
    struct task_token calls[] = {task[3].token, task[0].token};
    t = submits(&e, calls, 2);
    commit_as(&t, TURN_OK);
    turn_done(&e, &t);
    ck_assert_uint_eq(submitted_bits(4), 9);
    /* Once more, and one that is not there. */
    calls[1] = (struct task_token){.ref = {e.id, 2, 0, 1}};
    t = submits(&e, calls, 2);
    commit_as(&t, TURN_OK);
    turn_done(&e, &t);
    ck_assert_uint_eq(submitted_bits(4), 9);
    struct task_token ended[] = {task[0].token, task[3].token};
    t = turn_of(&e);
    t.tasks_done = ended;
    t.tasks_done_len = 2;
    commit_as(&t, TURN_OK);
    ck_assert_uint_eq(submitted_bits(2), 0);
}
END_TEST

/* ---- what executions tell each other ---- */

static struct inbox_row message(const struct exec *to, const char *source, const char *payload)
{
    return (struct inbox_row){.exec = to->id,
                              .source = str_of(source),
                              .kind = 40000,
                              .payload = str_of(payload),
                              .announced = true};
}

static struct turn_row sends(struct exec *e, struct inbox_row *rows, uint32_t len)
{
    struct turn_row t = turn_of(e);
    t.inbox_new = rows;
    t.inbox_new_len = len;
    return t;
}

static const struct exec_row *load_with_inbox(const struct exec *e)
{
    struct store_load q = {.ids = &e->id, .ids_len = 1, .inbox = true};
    MUST(&q, STORE_LOAD);
    return &q.rows[0];
}

/* "a+b": the sources, in order. */
static void inbox_holds(const struct exec *e, const char *want)
{
    const struct exec_row *r = load_with_inbox(e);
    char got[200] = "";
    for (uint32_t i = 0; i < r->inbox_len; i++) {
        ck_assert(exec_id_eq(&r->inbox[i].exec, &e->id));
        (void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%.*s", i > 0 ? "+" : "",
                       STR_ARG(r->inbox[i].source));
    }
    ck_assert_str_eq(got, want);
    ck_assert(!r->inbox_more);
}

static void turn_ok(struct exec *e, struct turn_row *t)
{
    commit_as(t, TURN_OK);
    turn_done(e, t);
}

START_TEST(messages_are_sent_and_read_once)
{
    struct exec p, c;
    begin(&p, "parent", 10);
    begin(&c, "child", 3000);
    struct inbox_row rows[] = {message(&p, "b", "pay\1load"), message(&p, "a", ""),
                               message(&c, "self", "x")};
    struct turn_row t = sends(&c, rows, 3);
    t.turn_prev ^= 2;
    commit_as(&t, TURN_CONFLICT); /* a loser tells nobody */
    inbox_holds(&p, "");
    t.turn_prev ^= 2;
    turn_ok(&c, &t);
    ck_assert(!rows[0].announced && !rows[1].announced &&
              !rows[2].announced); /* all lanes are ours */
    inbox_holds(&p, "a+b");
    inbox_holds(&c, "self");
    const struct exec_row *r = load_with_inbox(&p);
    ck_assert_uint_eq(r->inbox[1].kind, 40000);
    ck_assert(str_eqc(r->inbox[1].payload, "pay\1load"));
    ck_assert(r->inbox[0].payload.p != NULL && r->inbox[0].payload.size == 0);
    ck_assert_uint_eq(load(&p.id, 1)->inbox_len, 0); /* not asked for */
    struct inbox_row again = message(&p, "b", "another");
    t = sends(&c, &again, 1);
    turn_ok(&c, &t); /* the first stays */
    ck_assert(str_eqc(load_with_inbox(&p)->inbox[1].payload, "pay\1load"));
    struct str read[] = {STR("b"), STR("never there")};
    t = turn_of(&p);
    t.inbox_done = read;
    t.inbox_done_len = 2;
    t.turn_prev ^= 2;
    commit_as(&t, TURN_CONFLICT);
    inbox_holds(&p, "a+b");
    t.turn_prev ^= 2;
    turn_ok(&p, &t);
    inbox_holds(&p, "a");
    /* What is read and what is told by one batch: read first. */
    struct inbox_row last = message(&p, "z", "end");
    struct str rest[] = {STR("a"), STR("z")};
    struct turn_row tp = turn_of(&p), tc = sends(&c, &last, 1);
    tp.inbox_done = rest;
    tp.inbox_done_len = 2;
    tc.status = 2;
    struct turn_row *turns[] = {&tc, &tp};
    struct store_commit q = commit_of(turns, 2);
    MUST(&q, STORE_COMMIT);
    ck_assert(tp.result == TURN_OK && tc.result == TURN_OK);
    inbox_holds(&p, "z");
    inbox_holds(&c, "self");
}
END_TEST

/* Nobody hears what is told to an execution that is not open. */
START_TEST(messages_for_the_closed_are_left_out)
{
    struct exec p, c, ghost;
    begin(&p, "parent", 10);
    begin(&c, "child", 3000);
    exec_init(&ghost, "ghost", 20);
    struct turn_row end = turn_of(&p);
    struct inbox_row rows[] = {message(&p, "late", "x"), message(&ghost, "late", "x")};
    end.status = 2;
    turn_ok(&p, &end);
    struct turn_row t = sends(&c, rows, 2);
    struct turn_row *turns[] = {&t};
    struct store_commit q = commit_of(turns, 1);
    q.lanes_len = 0;
    MUST(&q, STORE_COMMIT);
    ck_assert(t.result == TURN_OK && !rows[0].announced && !rows[1].announced);
    inbox_holds(&p, "");
    inbox_holds(&ghost, "");
    struct lane_inbox_row *told;
    ck_assert_uint_eq(announced(held, SUITE_LANES, &told), 0);
    /* Closed by the same batch: the same. */
    struct exec p2;
    begin(&p2, "parent2", 11);
    turn_done(&c, &t);
    rows[0] = message(&p2, "late", "x");
    t = sends(&c, rows, 1);
    end = turn_of(&p2);
    end.status = 3;
    struct turn_row *both[] = {&end, &t};
    q = commit_of(both, 2);
    MUST(&q, STORE_COMMIT);
    ck_assert(t.result == TURN_OK && end.result == TURN_OK);
    inbox_holds(&p2, "");
}
END_TEST

START_TEST(messages_are_announced)
{
    struct exec a, b, c;
    begin(&a, "a", 10);
    begin(&b, "b", 1100);
    begin(&c, "c", 2100);
    struct lane_ref mine[] = {held[1], held[2]};
    mine[1].fence.epoch++;
    struct inbox_row rows[] = {message(&a, "1", "x"), message(&b, "1", "x"), message(&c, "1", "x")};
    struct turn_row t = sends(&b, rows, 3);
    struct turn_row *turns[] = {&t};
    struct store_commit q = commit_of(turns, 1);
    q.lanes = mine;
    q.lanes_len = 2;
    MUST(&q, STORE_COMMIT);
    ck_assert(t.result == TURN_OK && !t.via_inbox);
    ck_assert(rows[0].announced && !rows[1].announced && rows[2].announced);
    struct lane_inbox_row *told;
    ck_assert_uint_eq(announced(held, SUITE_LANES, &told), 2);
    ck_assert(exec_id_eq(&told[0].exec, &a.id) || exec_id_eq(&told[1].exec, &a.id));
    ck_assert(exec_id_eq(&told[0].exec, &c.id) || exec_id_eq(&told[1].exec, &c.id));
    ck_assert(told[0].lane == lane_of(&told[0].exec)->lane);
}
END_TEST

/* What a new owner looks through, and what it clears away. */
START_TEST(inboxes_are_listed_and_cleared)
{
    struct exec e[5];
    uint16_t slots[5] = {1, 900, 1500, 2500, 4095};
    struct inbox_row rows[10];
    for (int i = 0; i < 5; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "m%d", i);
        begin(&e[i], name, slots[i]);
        rows[2 * i] = message(&e[i], "x", "1");
        rows[2 * i + 1] = message(&e[i], "y", "2");
    }
    struct turn_row t = sends(&e[2], rows, 10);
    turn_ok(&e[2], &t);
    struct store_inbox q = {.lanes = held, .lanes_len = SUITE_LANES, .limit = 3};
    MUST(&q, STORE_INBOX);
    ck_assert_uint_eq(q.ids_len, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert(exec_id_eq(&q.ids[i], &e[i].id));
    }
    q.after = &e[2].id;
    MUST(&q, STORE_INBOX);
    ck_assert_uint_eq(q.ids_len, 2);
    ck_assert(exec_id_eq(&q.ids[1], &e[4].id));
    struct store_inbox one = {.lanes = &held[0], .lanes_len = 1, .limit = 9};
    MUST(&one, STORE_INBOX);
    ck_assert_uint_eq(one.ids_len, 2);
    struct store_inbox_drop d = {.lanes = held,
                                 .lanes_len = SUITE_LANES,
                                 .rows = rows,
                                 .rows_len = 3};
    MUST(&d, STORE_INBOX_DROP);
    MUST(&d, STORE_INBOX_DROP);
    inbox_holds(&e[0], "");
    inbox_holds(&e[1], "y");
    MUST(&one, STORE_INBOX);
    ck_assert_uint_eq(one.ids_len, 1);
    ck_assert(exec_id_eq(&one.ids[0], &e[1].id));
}
END_TEST

/* An inbox of any size: a load takes a part. */
START_TEST(full_inboxes_come_in_parts)
{
    enum { ROWS = INBOX_LOAD_MAX + 40, BIG = INBOX_LOAD_BYTES_MAX / 3 };
    struct exec p, c;
    begin(&p, "parent", 10);
    begin(&c, "child", 3000);
    struct inbox_row *rows = MEM_ARRAY(struct inbox_row, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        rows[i] = message(&p, arena_printf(&arena, "%05u", i), "x");
    }
    struct turn_row t = sends(&c, rows, ROWS);
    turn_ok(&c, &t);
    const struct exec_row *r = load_with_inbox(&p);
    ck_assert_uint_eq(r->inbox_len, INBOX_LOAD_MAX);
    ck_assert(r->inbox_more && str_eqc(r->inbox[INBOX_LOAD_MAX - 1].source, "00255"));
    struct store_inbox_drop d = {.lanes = held, .lanes_len = SUITE_LANES, .rows = rows};
    d.rows_len = 40;
    MUST(&d, STORE_INBOX_DROP);
    r = load_with_inbox(&p);
    ck_assert(r->inbox_len == INBOX_LOAD_MAX && !r->inbox_more);
    d.rows_len = ROWS;
    MUST(&d, STORE_INBOX_DROP);
    char *big = mem_alloc(2 * INBOX_LOAD_BYTES_MAX);
    memset(big, 'x', 2 * INBOX_LOAD_BYTES_MAX);
    for (uint32_t i = 0; i < 4; i++) {
        rows[i].payload = (struct str){big, BIG};
    }
    t = sends(&c, rows, 4);
    turn_ok(&c, &t);
    r = load_with_inbox(&p);
    ck_assert(r->inbox_len == 3 && r->inbox_more && r->inbox[2].payload.size == BIG);
    d.rows_len = 4;
    MUST(&d, STORE_INBOX_DROP);
    rows[0].payload.size = 2 * INBOX_LOAD_BYTES_MAX; /* the first comes whatever its size */
    t = sends(&c, rows, 2);
    turn_ok(&c, &t);
    r = load_with_inbox(&p);
    ck_assert(r->inbox_len == 1 && r->inbox_more);
    mem_free(big);
    mem_free(rows);
}
END_TEST

START_TEST(impossible_turns_are_refused)
{
    struct exec e;
    begin(&e, "e", 10);
    struct inbox_row row = message(&e, "x", "1");
    struct turn_row t = sends(&e, &row, 1);
    struct turn_row *turns[] = {&t};
    struct store_commit q = commit_of(turns, 1);
    row.exec = exec_id_make(SUITE_SHARD + 1, 10, TENANT, e.start.started_at, &rng);
    ck_assert_int_eq(CALL(&q, STORE_COMMIT), ERR_INVALID);
    row = message(&e, NULL, "1");
    ck_assert_int_eq(CALL(&q, STORE_COMMIT), ERR_INVALID);
    struct exec fresh;
    struct str source = STR("x");
    exec_init(&fresh, "fresh", 10);
    t = turn_of(&fresh);
    t.inbox_done = &source;
    t.inbox_done_len = 1;
    ck_assert_int_eq(CALL(&q, STORE_COMMIT), ERR_INVALID);
    struct task_row task = task_in(&e.id, 2, 0);
    task.queue = STR("!payments");
    t = turn_of(&e);
    t.tasks_new = &task;
    t.tasks_new_len = 1;
    ck_assert_int_eq(CALL(&q, STORE_COMMIT), ERR_INVALID);
    ck_assert_uint_eq(load(&e.id, 1)->seq, 1);
}
END_TEST

START_TEST(snapshots_cut_the_history)
{
    struct exec e;
    begin(&e, "snap", 12);
    for (int i = 0; i < 6; i++) {
        struct turn_row t = turn_of(&e);
        if (i == 1 || i == 3) {
            t.snapshot = i == 1 ? STR("state at 3") : STR("state\0at 5");
        }
        commit_as(&t, TURN_OK);
        turn_done(&e, &t);
    }
    struct exec_row *r = load(&e.id, 1);
    ck_assert_uint_eq(r->seq, 7);
    ck_assert_uint_eq(r->snapshot_seq, 5);
    ck_assert(str_eq(r->snapshot, STR("state\0at 5")));
    ck_assert_uint_eq(r->rows_len, 2);
    ck_assert_uint_eq(r->rows[0].seq, 6);
    ck_assert_uint_eq(r->rows[1].seq, 7);
    struct store_history q = {.exec = e.id, .from_seq = 2, .limit = 3};
    MUST(&q, STORE_HISTORY);
    ck_assert_uint_eq(q.rows_len, 3);
    ck_assert_uint_eq(q.rows[0].seq, 2);
    ck_assert_uint_eq(q.rows[2].seq, 4);
    q.from_seq = 7;
    MUST(&q, STORE_HISTORY);
    ck_assert_uint_eq(q.rows_len, 1);
    ck_assert_int_ge(q.rows[0].at.us, e.start.started_at.us);
    q.from_seq = 8;
    MUST(&q, STORE_HISTORY);
    ck_assert_uint_eq(q.rows_len, 0);
}
END_TEST

START_TEST(large_bodies)
{
    struct exec e;
    begin(&e, "large", 12);
    struct turn_row t = turn_of(&e);
    char *big = mem_alloc(STATE_SIZE_MAX);
    rng_bytes(&rng, big, STATE_SIZE_MAX);
    t.body = (struct str){big, 70000};
    t.snapshot = (struct str){big, STATE_SIZE_MAX};
    commit_as(&t, TURN_OK);
    struct exec_row *r = load(&e.id, 1);
    ck_assert(str_eq(r->snapshot, t.snapshot));
    struct store_history q = {.exec = e.id, .from_seq = 2, .limit = 1};
    MUST(&q, STORE_HISTORY);
    ck_assert(str_eq(q.rows[0].body, t.body));
    mem_free(big);
}
END_TEST

START_TEST(full_batches)
{
    struct exec *e = MEM_ARRAY(struct exec, TURN_BATCH_MAX);
    struct turn_row *t = MEM_ARRAY(struct turn_row, TURN_BATCH_MAX);
    struct turn_row **turns = MEM_ARRAY(struct turn_row *, TURN_BATCH_MAX);
    for (int i = 0; i < TURN_BATCH_MAX; i++) {
        if (i == 0) {
            exec_init(&e[0], "0", 0);
        } else {
            e[i] = e[0];
            (void)snprintf(e[i].name, sizeof(e[i].name), "%d", i);
            e[i].start.name = str_of(e[i].name);
        }
        e[i].id = exec_id_make(SUITE_SHARD, (uint16_t)rng_below(&rng, SLOT_COUNT), TENANT,
                               e[0].start.started_at, &rng);
    }
    for (int pass = 0; pass < 3; pass++) {
        for (int i = 0; i < TURN_BATCH_MAX; i++) {
            t[i] = turn_of(&e[i]);
            turns[i] = &t[i];
        }
        struct store_commit q = commit_of(turns, TURN_BATCH_MAX);
        MUST(&q, STORE_COMMIT);
        for (int i = 0; i < TURN_BATCH_MAX; i++) {
            ck_assert_int_eq(t[i].result, TURN_OK);
            turn_done(&e[i], &t[i]);
        }
    }
    mem_free(e);
    mem_free(t);
    mem_free(turns);
}
END_TEST

/* Two batches over the same executions at once, each in another order: one of the two wins each
 * turn, nothing hangs. */
START_TEST(overlapping_batches)
{
    enum { N = 40 };
    struct exec e[N];
    for (int i = 0; i < N; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "o%d", i);
        begin(&e[i], name, (uint16_t)(i * 100));
    }
    for (int round = 0; round < 10; round++) {
        struct turn_row t[2][N];
        struct turn_row *turns[2][N];
        struct store_commit q[2];
        for (int b = 0; b < 2; b++) {
            for (int i = 0; i < N; i++) {
                t[b][i] = turn_of(&e[i]);
                turns[b][b == 0 ? i : N - 1 - i] = &t[b][i];
            }
            q[b] = commit_of(turns[b], N);
            submit(b, &q[b].req, STORE_COMMIT);
        }
        for (int b = 0; b < 2; b++) {
            enum err err = await(b);
            ck_assert_msg(err == ERR_OK || err == ERR_SERIALIZATION, "%s", q[b].req.detail.text);
        }
        for (int i = 0; i < N; i++) {
            bool won[2] = {t[0][i].result == TURN_OK, t[1][i].result == TURN_OK};
            ck_assert(!(won[0] && won[1]));
            for (int b = 0; b < 2; b++) {
                ck_assert(q[b].req.err == ERR_OK || t[b][i].result == TURN_DROPPED);
                if (won[b]) {
                    turn_done(&e[i], &t[b][i]);
                }
            }
            ck_assert(won[0] || won[1] || q[0].req.err != ERR_OK || q[1].req.err != ERR_OK);
        }
    }
}
END_TEST

/* ---- lanes of others ---- */

START_TEST(foreign_lanes_are_announced)
{
    struct exec a, b, c;
    begin(&a, "a", 10);
    begin(&b, "b", 1100);
    begin(&c, "c", 2100);
    struct lane_inbox_row *rows;
    ck_assert_uint_eq(announced(held, SUITE_LANES, &rows), 0);
    /* The writer holds lane 1 only, and believes in an old claim of lane 2. */
    struct lane_ref mine[] = {held[1], held[2]};
    mine[1].fence.claim.b[0] ^= 1;
    struct turn_row ta = turn_of(&a), tb = turn_of(&b), tc = turn_of(&c);
    struct task_row ka = task_in(&a.id, 2, 0), kb = task_in(&b.id, 2, 0);
    struct timer_row mc = timer_in(&c.id, 2, 0, store_clock().us, window);
    ta.tasks_new = &ka;
    tb.tasks_new = &kb;
    tc.timers_new = &mc;
    ta.tasks_new_len = tb.tasks_new_len = tc.timers_new_len = 1;
    struct turn_row *turns[] = {&ta, &tb, &tc};
    struct store_commit q = commit_of(turns, 3);
    q.lanes = mine;
    q.lanes_len = 2;
    q.incarnation = other; /* not even registered */
    MUST(&q, STORE_COMMIT);
    ck_assert(ta.result == TURN_OK && tb.result == TURN_OK && tc.result == TURN_OK);
    ck_assert(ta.via_inbox && !tb.via_inbox && tc.via_inbox);
    struct store_lane_inbox one = {.lanes = held, .lanes_len = SUITE_LANES, .limit = 1};
    MUST(&one, STORE_LANE_INBOX);
    ck_assert_uint_eq(one.rows_len, 1);
    ck_assert_uint_eq(one.rows[0].shard, SUITE_SHARD);
    ck_assert_uint_eq(one.rows[0].lane, 0);
    ck_assert(exec_id_eq(&one.rows[0].exec, &a.id));
    ck_assert_uint_eq(announced(&held[1], 1, &rows), 0);
    ck_assert_uint_eq(announced(held, SUITE_LANES, &rows), 1);
    ck_assert_uint_eq(rows[0].lane, 2);
    ck_assert(exec_id_eq(&rows[0].exec, &c.id));
    ck_assert_uint_eq(announced(held, SUITE_LANES, &rows), 0); /* taken is taken */
    /* A turn without new tasks or timers tells nobody. */
    turn_done(&a, &ta);
    struct turn_row quiet = turn_of(&a);
    struct task_token done[] = {ka.token};
    quiet.tasks_done = done;
    quiet.tasks_done_len = 1;
    struct turn_row *last[] = {&quiet};
    q.turns = last;
    q.turns_len = 1;
    MUST(&q, STORE_COMMIT);
    ck_assert(quiet.result == TURN_OK && !quiet.via_inbox);
    ck_assert_uint_eq(announced(held, SUITE_LANES, &rows), 0);
}
END_TEST

START_TEST(lanes_never_claimed_take_tasks_only)
{
    struct exec e;
    exec_init(&e, "early", 10);
    struct turn_row t = turn_of(&e);
    struct task_row task = task_in(&e.id, 1, 0);
    struct timer_row timer =
        timer_in(&e.id, 1, 1, e.start.started_at.us + 400 * US_PER_DAY, TIMER_LONG_TERM);
    t.tasks_new = &task;
    t.timers_new = &timer;
    t.tasks_new_len = t.timers_new_len = 1;
    struct turn_row *turns[] = {&t};
    struct store_commit q = commit_of(turns, 1);
    q.lanes_len = 0;
    MUST(&q, STORE_COMMIT);
    ck_assert_int_eq(t.result, TURN_WINDOW);
    t.timers_new_len = 0;
    MUST(&q, STORE_COMMIT);
    ck_assert_int_eq(t.result, TURN_OK);
    ck_assert(t.via_inbox);
    own_all();
    struct lane_inbox_row *rows;
    ck_assert_uint_eq(announced(held, SUITE_LANES, &rows), 1);
    ck_assert(exec_id_eq(&rows[0].exec, &e.id));
}
END_TEST

/* ---- timers and windows ---- */

/* One turn of "e" with timers. */
static void arm(struct exec *e, struct timer_row *timers, uint32_t len)
{
    struct turn_row t = turn_of(e);
    for (uint32_t i = 0; i < len; i++) {
        timers[i].exec = e->id;
        timers[i].seq = t.seq;
        timers[i].idx = i;
    }
    t.timers_new = timers;
    t.timers_new_len = len;
    commit_as(&t, TURN_OK);
    turn_done(e, &t);
}

START_TEST(timers_in_due_order)
{
    struct exec e, f;
    begin(&e, "t", 10);
    begin(&f, "u", 3000);
    int64_t hour = window * WINDOW_US;
    struct timer_row te[4] = {{.due = {hour + 3}, .window = window},
                              {.due = {hour + 1}, .window = window},
                              {.due = {hour + WINDOW_US + 7}, .window = window + 1},
                              {.due = {hour - 9}, .window = window}};
    struct timer_row tf[3] = {{.due = {hour + 3}, .window = window},
                              {.due = {hour + 2}, .window = window},
                              {.due = {hour + SUITE_RING * WINDOW_US}, .window = TIMER_LONG_TERM}};
    arm(&e, te, 4);
    arm(&f, tf, 3);
    struct timer_row *rows;
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 6); /* the ring only */
    static const int64_t due[6] = {-9, 1, 2, 3, 3, WINDOW_US + 7};
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(rows[i].due.us, hour + due[i]);
        ck_assert_int_eq(rows[i].window, i == 5 ? window + 1 : window);
    }
    ck_assert(exec_id_eq(&rows[3].exec, &e.id) && exec_id_eq(&rows[4].exec, &f.id));
    /* Pages and bounds. */
    struct store_timers q = {.lanes = held,
                             .lanes_len = SUITE_LANES,
                             .due_to = {hour + 3},
                             .limit = 3};
    MUST(&q, STORE_TIMERS);
    ck_assert_uint_eq(q.rows_len, 3);
    struct timer_row last = q.rows[2];
    q.after = &last;
    MUST(&q, STORE_TIMERS);
    ck_assert_uint_eq(q.rows_len, 2);
    last = q.rows[0];
    MUST(&q, STORE_TIMERS);
    ck_assert_uint_eq(q.rows_len, 1);
    ck_assert(exec_id_eq(&q.rows[0].exec, &f.id));
    ck_assert_uint_eq(timers_of(lane_of(&f.id), 1, &rows), 2);
    /* Fired in one turn, those of the long term cancelled. */
    struct turn_row t = turn_of(&f);
    t.timers_done = tf;
    t.timers_done_len = 3;
    t.due_max.us = hour;
    commit_as(&t, TURN_OK);
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 4);
    struct store_timers_drop d = {.lanes = held,
                                  .lanes_len = SUITE_LANES,
                                  .rows = te,
                                  .rows_len = 4};
    MUST(&d, STORE_TIMERS_DROP);
    MUST(&d, STORE_TIMERS_DROP);
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 0);
}
END_TEST

START_TEST(early_turn_is_refused)
{
    struct exec e;
    begin(&e, "t", 10);
    struct turn_row t = turn_of(&e);
    t.due_max.us = store_clock().us + 50 * US_PER_MS;
    int tries = 0;
    enum turn_result last;
    do {
        struct turn_row *turns[] = {&t};
        struct store_commit q = commit_of(turns, 1);
        MUST(&q, STORE_COMMIT);
        last = t.result;
        ck_assert(last == TURN_EARLY ? q.req.store_now.us < t.due_max.us
                                     : last == TURN_OK && q.req.store_now.us >= t.due_max.us);
    } while (last == TURN_EARLY && ++tries < 100000);
    ck_assert_int_eq(last, TURN_OK);
    ck_assert_int_gt(tries, 0);
}
END_TEST

/* Until nothing is left to move. */
static void close_to(const struct lane_ref *lanes, uint32_t len, int64_t from, bool finish,
                     uint64_t moved)
{
    uint64_t all = 0;
    struct store_window_close q;
    do {
        q = (struct store_window_close){.lanes = lanes,
                                        .lanes_len = len,
                                        .accept_from = from,
                                        .finish = finish};
        MUST(&q, STORE_WINDOW_CLOSE);
        ck_assert(q.more == (finish && q.moved > 0));
        all += q.moved;
    } while (q.more);
    ck_assert_uint_eq(all, moved);
}

static bool empty(int64_t of)
{
    struct store_window_empty q = {.shard = SUITE_SHARD, .window = of};
    MUST(&q, STORE_WINDOW_EMPTY);
    return q.emptied;
}

START_TEST(closing_moves_what_is_left)
{
    struct exec e;
    begin(&e, "t", 10);
    int64_t hour = window * WINDOW_US;
    struct timer_row left[2] = {{.due = {hour + 5}, .window = window},
                                {.due = {hour + WINDOW_US + 5}, .window = window + 1}};
    arm(&e, left, 2);
    close_to(held, SUITE_LANES, window + 1, false, 0);
    ck_assert_int_eq(lane_now(0).accept_from, window + 1);
    ck_assert_int_eq(lane_now(0).closed_to, window - 1);
    /* CLOSING: nothing new, but what is there is still read. */
    struct timer_row late = timer_in(&e.id, e.seq + 1, 0, hour + 6, window);
    struct turn_row t = turn_of(&e);
    t.timers_new = &late;
    t.timers_new_len = 1;
    commit_as(&t, TURN_WINDOW);
    struct timer_row *rows;
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 2);
    ck_assert_int_eq(rows[0].window, window);
    ck_assert(!empty(window));
    close_to(held, SUITE_LANES, window + 1, true, 1);
    close_to(held, SUITE_LANES, window + 1, true, 0);
    close_to(held, SUITE_LANES, window, true, 0); /* never back */
    ck_assert_int_eq(lane_now(3).closed_to, window);
    ck_assert_int_eq(lane_now(3).accept_from, window + 1);
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 2);
    ck_assert_int_eq(rows[0].due.us, hour + 5); /* its own due time */
    ck_assert_int_eq(rows[0].window, window + 1);
    struct store_window_close q = {.lanes = held,
                                   .lanes_len = 1,
                                   .accept_from = window + SUITE_RING,
                                   .finish = true};
    ck_assert_int_eq(CALL(&q, STORE_WINDOW_CLOSE), ERR_INVALID);
    /* A turn that still believes in the old window takes nothing away, and leaves an orphan. */
    t = turn_of(&e);
    t.timers_done = left;
    t.timers_done_len = 1;
    commit_as(&t, TURN_OK);
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 2);
}
END_TEST

START_TEST(windows_turn)
{
    struct exec e;
    begin(&e, "t", 10);
    int64_t hour = window * WINDOW_US;
    struct timer_row far[2] = {{.due = {hour + SUITE_RING * WINDOW_US + 5},
                                .window = TIMER_LONG_TERM},
                               {.due = {hour + (SUITE_RING + 1) * WINDOW_US},
                                .window = TIMER_LONG_TERM}};
    arm(&e, far, 2);
    /* The table of the next window serves the oldest one still. */
    struct store_window_open o = {.lanes = held,
                                  .lanes_len = SUITE_LANES,
                                  .open_to = window + SUITE_RING};
    MUST(&o, STORE_WINDOW_OPEN);
    ck_assert_int_eq(o.opened_to, window + SUITE_RING - 1);
    ck_assert_uint_eq(o.promoted, 0);
    ck_assert(!empty(window));
    close_to(held, SUITE_LANES - 1, window + 1, true, 0);
    ck_assert(!empty(window)); /* one lane has not closed it */
    close_to(&held[3], 1, window + 1, true, 0);
    ck_assert(!empty(window + 1));
    ck_assert(empty(window));
    ck_assert(empty(window)); /* was before: fine */
    MUST(&o, STORE_WINDOW_OPEN);
    ck_assert_int_eq(o.opened_to, window + SUITE_RING);
    ck_assert_uint_eq(o.promoted, 1);
    MUST(&o, STORE_WINDOW_OPEN);
    ck_assert_uint_eq(o.promoted, 0);
    struct timer_row *rows;
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 1);
    ck_assert_int_eq(rows[0].due.us, far[0].due.us);
    ck_assert_int_eq(rows[0].window, window + SUITE_RING);
    ck_assert_int_eq(lane_now(2).open_to, window + SUITE_RING);
    /* What belongs into the ring now may not go into the long term. */
    struct turn_row t = turn_of(&e);
    struct timer_row slow = timer_in(&e.id, t.seq, 0, far[0].due.us, TIMER_LONG_TERM);
    t.timers_new = &slow;
    t.timers_new_len = 1;
    commit_as(&t, TURN_WINDOW);
    struct store_promote p = {.lanes = held, .lanes_len = SUITE_LANES};
    MUST(&p, STORE_PROMOTE);
    ck_assert_uint_eq(p.promoted, 0);
    /* One lane opens alone; the lowest is told. */
    close_to(held, SUITE_LANES, window + 2, true, 0);
    ck_assert(empty(window + 1));
    o.open_to = window + SUITE_RING + 1;
    o.lanes_len = 1;
    MUST(&o, STORE_WINDOW_OPEN);
    ck_assert_int_eq(o.opened_to, window + SUITE_RING + 1);
    ck_assert_int_eq(lane_now(1).open_to, window + SUITE_RING);
    o.lanes_len = 2;
    o.open_to = window; /* never back */
    MUST(&o, STORE_WINDOW_OPEN);
    ck_assert_int_eq(o.opened_to, window + SUITE_RING);
    ck_assert_int_eq(lane_now(0).open_to, window + SUITE_RING + 1);
}
END_TEST

enum { FAR_LEN = 7 };

/* Long-term rows due in the window after the ring, one each in seven slots of all lanes, and one a
 * window later. */
static void arm_far(struct exec *e, struct timer_row *far)
{
    int64_t end = (window + SUITE_RING) * WINDOW_US;
    for (int i = 0; i < FAR_LEN; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "f%d", i);
        begin(&e[i], name, (uint16_t)(i * 650));
        far[i] = (struct timer_row){.due = {end + 10 - i}, .window = TIMER_LONG_TERM};
        arm(&e[i], &far[i], 1);
    }
    struct timer_row later = {.due = {end + WINDOW_US}, .window = TIMER_LONG_TERM};
    arm(&e[0], &later, 1);
}

/* Promotes ahead of the window that is not open yet, a few rows a call. */
START_TEST(promotion_in_chunks)
{
    struct exec e[FAR_LEN];
    struct timer_row far[FAR_LEN], *rows;
    int64_t next = window + SUITE_RING;
    arm_far(e, far);
    struct store_promote p = {.lanes = held, .lanes_len = SUITE_LANES, .to = next, .limit = 3};
    MUST(&p, STORE_PROMOTE);
    ck_assert_uint_eq(p.promoted, 0); /* the table serves the oldest window still */
    ck_assert(!p.more && p.reached.us == 0);
    close_to(held, SUITE_LANES, window + 1, true, 0);
    ck_assert(empty(window));
    MUST(&p, STORE_PROMOTE);
    ck_assert_uint_eq(p.promoted, 3); /* the earliest */
    ck_assert(p.more);
    ck_assert_int_eq(p.reached.us, far[4].due.us);
    /* Nobody sees them before the window is open, which it is not while more is to come. */
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 0);
    struct store_window_open o = {.lanes = held,
                                  .lanes_len = SUITE_LANES,
                                  .open_to = next,
                                  .limit = 2};
    MUST(&o, STORE_WINDOW_OPEN);
    ck_assert(o.more);
    ck_assert_uint_eq(o.promoted, 2);
    ck_assert_int_eq(o.opened_to, next - 1);
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 0);
    /* From where the sweep got to: what is due before is passed over. */
    p.from.us = far[1].due.us;
    p.limit = 9;
    MUST(&p, STORE_PROMOTE);
    ck_assert_uint_eq(p.promoted, 2);
    ck_assert_int_eq(p.reached.us, far[0].due.us);
    ck_assert(!p.more);
    MUST(&o, STORE_WINDOW_OPEN);
    ck_assert(!o.more);
    ck_assert_uint_eq(o.promoted, 0);
    ck_assert_int_eq(o.opened_to, next);
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), FAR_LEN);
    for (int i = 0; i < FAR_LEN; i++) {
        ck_assert_int_eq(rows[i].due.us, far[FAR_LEN - 1 - i].due.us);
        ck_assert_int_eq(rows[i].window, next);
    }
}
END_TEST

/* One lane opens its window before the others: their rows there stay unseen. */
START_TEST(promoted_ahead_is_unseen)
{
    struct exec e[FAR_LEN];
    struct timer_row far[FAR_LEN], *rows;
    int64_t next = window + SUITE_RING;
    arm_far(e, far);
    close_to(held, SUITE_LANES, window + 1, true, 0);
    ck_assert(empty(window));
    struct store_promote p = {.lanes = held, .lanes_len = SUITE_LANES, .to = next};
    MUST(&p, STORE_PROMOTE);
    ck_assert_uint_eq(p.promoted, FAR_LEN);
    struct store_window_open o = {.lanes = &held[2], .lanes_len = 1, .open_to = next};
    MUST(&o, STORE_WINDOW_OPEN);
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), 1);
    ck_assert(exec_id_eq(&rows[0].exec, &e[4].id));
    o.lanes = held;
    o.lanes_len = SUITE_LANES;
    MUST(&o, STORE_WINDOW_OPEN);
    ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), FAR_LEN);
}
END_TEST

START_TEST(leftovers_in_chunks)
{
    enum { N = 5 };
    struct exec e[N];
    struct timer_row *rows;
    for (int i = 0; i < N; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "l%d", i);
        begin(&e[i], name, (uint16_t)(i * 900));
        struct timer_row left = {.due = {window * WINDOW_US + i}, .window = window + i % 2};
        arm(&e[i], &left, 1);
    }
    close_to(held, SUITE_LANES, window + 2, false, 0);
    struct store_window_close q = {.lanes = held,
                                   .lanes_len = SUITE_LANES,
                                   .accept_from = window + 2,
                                   .finish = true,
                                   .limit = 2};
    static const uint64_t moved[] = {2, 2, 1, 0};
    static const int in_place[] = {2, 4, 5, 5}; /* the older window comes first */
    for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
        MUST(&q, STORE_WINDOW_CLOSE);
        ck_assert_uint_eq(q.moved, moved[i]);
        ck_assert(q.more == (moved[i] > 0));
        ck_assert_int_eq(lane_now(1).closed_to, q.more ? window - 1 : window + 1);
        ck_assert_uint_eq(timers_of(held, SUITE_LANES, &rows), N);
        int n = 0;
        for (int k = 0; k < N; k++) {
            ck_assert_int_eq(rows[k].due.us, window * WINDOW_US + k);
            n += rows[k].window == window + 2;
        }
        ck_assert_int_eq(n, in_place[i]);
        ck_assert(i > 0 || (rows[0].window == window + 2 && rows[2].window == window + 2));
    }
    ck_assert(empty(window));
    ck_assert(empty(window + 1));
}
END_TEST

/* ---- reads, definitions, tenants ---- */

START_TEST(list_newest_first)
{
    struct exec e[7];
    for (int i = 0; i < 7; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "l%d", i);
        exec_init(&e[i], name, (uint16_t)(i * 500));
        e[i].start.started_at.us = 1800000000000000 + (i == 3 ? 2 : i); /* 2 and 3 are equal */
        e[i].start.workflow = i % 3 == 0 ? STR("third") : STR("orders");
        struct turn_row t = turn_of(&e[i]);
        t.status = i == 5 ? 2 : STATUS_OPEN;
        commit_as(&t, TURN_OK);
    }
    struct store_list q = {.tenant = TENANT, .limit = 3};
    static const int order[7] = {6, 5, 4, 3, 2, 1, 0};
    int seen = 0;
    while (seen < 7) {
        MUST(&q, STORE_LIST);
        ck_assert_uint_eq(q.rows_len, (uint32_t)MIN(3, 7 - seen));
        for (uint32_t i = 0; i < q.rows_len; i++) {
            ck_assert(exec_id_eq(&q.rows[i].exec, &e[order[seen]].id));
            ck_assert(str_eq(q.rows[i].name, e[order[seen]].start.name));
            ck_assert(q.rows[i].found && q.rows[i].seq == 1);
            seen++;
        }
        q.before = q.rows[q.rows_len - 1].started_at;
        q.before_exec = q.rows[q.rows_len - 1].exec;
    }
    MUST(&q, STORE_LIST);
    ck_assert_uint_eq(q.rows_len, 0);
    struct store_list third = {.tenant = TENANT, .workflow = STR("third"), .limit = 9};
    MUST(&third, STORE_LIST);
    ck_assert_uint_eq(third.rows_len, 3);
    struct store_list any = {.tenant = TENANT, .workflow = STR(""), .limit = 9};
    MUST(&any, STORE_LIST);
    ck_assert_uint_eq(any.rows_len, 7); /* an empty name is none */
    struct store_list closed = {.tenant = TENANT, .status = 2, .limit = 9};
    MUST(&closed, STORE_LIST);
    ck_assert_uint_eq(closed.rows_len, 1);
    ck_assert_int_gt(closed.rows[0].closed_at.us, 0);
    struct store_list nobody = {.tenant = TENANT + 1, .limit = 9};
    MUST(&nobody, STORE_LIST);
    ck_assert_uint_eq(nobody.rows_len, 0);
}
END_TEST

static struct store_def_put put_of(const char *workflow, const char *text, const char *digest)
{
    static const struct str paths[] = {{"A", 1}, {"B/C", 3}};
    return (struct store_def_put){.tenant = TENANT,
                                  .workflow = str_of(workflow),
                                  .text = str_of(text),
                                  .digest = str_of(digest),
                                  .state_paths = paths,
                                  .state_paths_len = 2};
}

START_TEST(definitions)
{
    struct store_def_get get = {.tenant = TENANT, .workflow = STR("b")};
    ck_assert_int_eq(CALL(&get, STORE_DEF_GET), ERR_NO_WORKFLOW);
    struct store_def_put b1 = put_of("b", "one", "d1"), same = put_of("b", "one", "d1");
    struct store_def_put b2 = put_of("b", "two", "d2"), a1 = put_of("a", "x", "d1");
    struct store_def_put a_again = put_of("a", "x", "d1");
    MUST(&b1, STORE_DEF_PUT);
    ck_assert(b1.created && b1.version == 1 && b1.revision > 0);
    MUST(&same, STORE_DEF_PUT);
    ck_assert(!same.created && same.version == 1 && same.revision == b1.revision);
    MUST(&b2, STORE_DEF_PUT);
    ck_assert(b2.created && b2.version == 2 && b2.revision > b1.revision);
    MUST(&a1, STORE_DEF_PUT);
    ck_assert(a1.created && a1.version == 1 && a1.revision > b2.revision);
    MUST(&get, STORE_DEF_GET);
    ck_assert_uint_eq(get.row.revision, b2.revision);
    ck_assert(str_eqc(get.row.text, "two") && str_eqc(get.row.digest, "d2"));
    ck_assert(str_eqc(get.row.workflow, "b") && get.row.version == 2 && !get.row.deleted);
    ck_assert_int_gt(get.row.created_at.us, 0);
    get.revision = b1.revision;
    MUST(&get, STORE_DEF_GET);
    ck_assert(str_eqc(get.row.text, "one"));
    struct store_def_list list = {.tenant = TENANT, .after = STR_NONE, .limit = 10};
    MUST(&list, STORE_DEF_LIST);
    ck_assert_uint_eq(list.rows_len, 2);
    ck_assert(str_eqc(list.rows[0].workflow, "a") && str_eqc(list.rows[1].workflow, "b"));
    ck_assert_uint_eq(list.rows[1].version, 2);
    list.after = STR("a");
    MUST(&list, STORE_DEF_LIST);
    ck_assert_uint_eq(list.rows_len, 1);
    list.after = STR_NONE;
    list.limit = 1;
    MUST(&list, STORE_DEF_LIST);
    ck_assert_uint_eq(list.rows_len, 1);
    /* Deleted: gone by name, there by revision; a new one counts on. */
    struct store_def_put del = put_of("a", "", "");
    del.delete_workflow = true;
    MUST(&del, STORE_DEF_PUT);
    ck_assert_int_eq(CALL(&del, STORE_DEF_PUT), ERR_NO_WORKFLOW);
    struct store_def_get gone = {.tenant = TENANT, .workflow = STR("a")};
    ck_assert_int_eq(CALL(&gone, STORE_DEF_GET), ERR_NO_WORKFLOW);
    gone.revision = a1.revision;
    MUST(&gone, STORE_DEF_GET);
    ck_assert(gone.row.deleted);
    list.limit = 9;
    MUST(&list, STORE_DEF_LIST);
    ck_assert_uint_eq(list.rows_len, 1);
    MUST(&a_again, STORE_DEF_PUT);
    ck_assert(a_again.created && a_again.version == 2);
    /* By version: those of before the deletion are gone. */
    struct store_def_get second = {.tenant = TENANT, .workflow = STR("b"), .version = 1};
    MUST(&second, STORE_DEF_GET);
    ck_assert(second.row.revision == b1.revision && str_eqc(second.row.text, "one"));
    second.version = 3;
    ck_assert_int_eq(CALL(&second, STORE_DEF_GET), ERR_NO_WORKFLOW);
    second = (struct store_def_get){.tenant = TENANT, .workflow = STR("a"), .version = 1};
    ck_assert_int_eq(CALL(&second, STORE_DEF_GET), ERR_NO_WORKFLOW);
}
END_TEST

START_TEST(definitions_under_conditions)
{
    struct store_def_put first = put_of("b", "one", "d1"), early = put_of("b", "one", "d1");
    early.if_version = 1;
    ck_assert_int_eq(CALL(&early, STORE_DEF_PUT), ERR_PRECONDITION);
    first.if_absent = true;
    MUST(&first, STORE_DEF_PUT);
    ck_assert(first.created && first.version == 1);
    struct store_def_put again = put_of("b", "one", "d1"), next = put_of("b", "two", "d2");
    again.if_absent = true;
    MUST(&again, STORE_DEF_PUT); /* it is so already */
    ck_assert(!again.created && again.version == 1);
    next.if_absent = true;
    ck_assert_int_eq(CALL(&next, STORE_DEF_PUT), ERR_PRECONDITION);
    next.if_absent = false;
    next.if_version = 2;
    ck_assert_int_eq(CALL(&next, STORE_DEF_PUT), ERR_PRECONDITION);
    next.if_version = 1;
    MUST(&next, STORE_DEF_PUT);
    ck_assert(next.created && next.version == 2);
    MUST(&next, STORE_DEF_PUT); /* repeated: its answer may have been lost */
    ck_assert(!next.created && next.version == 2);
    struct store_def_put third = put_of("b", "three", "d3"), del = put_of("b", "", "");
    third.if_version = 1;
    ck_assert_int_eq(CALL(&third, STORE_DEF_PUT), ERR_PRECONDITION);
    del.delete_workflow = true;
    del.if_version = 1;
    ck_assert_int_eq(CALL(&del, STORE_DEF_PUT), ERR_PRECONDITION);
    del.if_version = 2;
    MUST(&del, STORE_DEF_PUT);
    ck_assert_int_eq(CALL(&del, STORE_DEF_PUT), ERR_PRECONDITION); /* nothing has that version */
    third.if_version = 2;
    ck_assert_int_eq(CALL(&third, STORE_DEF_PUT), ERR_PRECONDITION);
    third.if_version = 0;
    third.if_absent = true;
    MUST(&third, STORE_DEF_PUT);
    ck_assert(third.created && third.version == 3);
}
END_TEST

START_TEST(tenants)
{
    struct store_tenant q = {.name = STR("acme")};
    ck_assert_int_eq(CALL(&q, STORE_TENANT), ERR_NOT_FOUND);
    q.create = true;
    MUST(&q, STORE_TENANT);
    uint32_t acme = q.number;
    ck_assert_uint_gt(acme, 0);
    MUST(&q, STORE_TENANT);
    ck_assert_uint_eq(q.number, acme);
    struct store_tenant r = {.name = STR("zeta"), .create = true};
    MUST(&r, STORE_TENANT);
    ck_assert_uint_ne(r.number, acme);
    q.create = false;
    MUST(&q, STORE_TENANT);
    ck_assert_uint_eq(q.number, acme);
}
END_TEST

/* The name gives the number: a tenant that was undone and made again has it, nobody else has. Where two
 * names give one number, the second takes the next. */
START_TEST(tenant_numbers_come_from_names)
{
    struct store_tenant a = {.name = STR("tenant-2214"), .create = true};
    struct store_tenant b = {.name = STR("tenant-6912"), .create = true};
    ck_assert_uint_eq(tenant_number(a.name), tenant_number(b.name));
    MUST(&a, STORE_TENANT);
    MUST(&b, STORE_TENANT);
    ck_assert_uint_eq(a.number, tenant_number(a.name));
    ck_assert_uint_eq(b.number, a.number + 1);
    struct store_tenant c = {.name = STR("acme"), .create = true};
    MUST(&c, STORE_TENANT);
    ck_assert_uint_eq(c.number, tenant_number(c.name));
    MUST(&b, STORE_TENANT);
    ck_assert_uint_eq(b.number, a.number + 1);
    struct store_tenant d = {.name = STR("one-more"), .create = true, .max = 3};
    ck_assert_int_eq(CALL(&d, STORE_TENANT), ERR_LIMIT);
    b.max = 3;
    MUST(&b, STORE_TENANT);
}
END_TEST

Suite *store_suite(const char *name, struct store_world *(*make)(void))
{
    make_world = make;
    Suite *s = suite_create(name);
    TCase *c = tcase_create("members");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, lease_registers_and_renews);
    tcase_add_test(c, claim_needs_a_lease);
    tcase_add_test(c, first_claim_sets_windows);
    tcase_add_test(c, lanes_never_claimed_take_tasks_only);
    tcase_add_test(c, definitions);
    tcase_add_test(c, definitions_under_conditions);
    tcase_add_test(c, tenants);
    tcase_add_test(c, tenant_numbers_come_from_names);
    suite_add_tcase(s, c);
    c = tcase_create("owner");
    tcase_add_checked_fixture(c, setup_owner, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, window_length_is_agreed);
    tcase_add_test(c, live_owner_keeps_its_lanes);
    tcase_add_test(c, released_lanes_are_free);
    tcase_add_test(c, takeover_evicts);
    tcase_add_test(c, owner_without_session_is_taken);
    tcase_add_test(c, lease_over_is_taken);
    tcase_add_test(c, evicted_commit_writes_nothing);
    tcase_add_test(c, fences_are_compared);
    tcase_add_test(c, start_then_load);
    tcase_add_test(c, start_key_is_taken_once);
    tcase_add_test(c, stale_turn_conflicts);
    tcase_add_test(c, losers_leave_their_neighbours_alone);
    tcase_add_test(c, reasons_have_an_order);
    tcase_add_test(c, start_with_refused_window_leaves_nothing);
    tcase_add_test(c, tasks_come_and_go);
    tcase_add_test(c, task_sets_survive_any_order);
    tcase_add_test(c, tasks_are_paged);
    tcase_add_test(c, tasks_are_submitted);
    tcase_add_test(c, messages_are_sent_and_read_once);
    tcase_add_test(c, messages_for_the_closed_are_left_out);
    tcase_add_test(c, messages_are_announced);
    tcase_add_test(c, inboxes_are_listed_and_cleared);
    tcase_add_test(c, full_inboxes_come_in_parts);
    tcase_add_test(c, impossible_turns_are_refused);
    tcase_add_test(c, snapshots_cut_the_history);
    tcase_add_test(c, large_bodies);
    tcase_add_test(c, full_batches);
    tcase_add_test(c, overlapping_batches);
    tcase_add_test(c, foreign_lanes_are_announced);
    tcase_add_test(c, timers_in_due_order);
    tcase_add_test(c, early_turn_is_refused);
    tcase_add_test(c, closing_moves_what_is_left);
    tcase_add_test(c, windows_turn);
    tcase_add_test(c, promotion_in_chunks);
    tcase_add_test(c, promoted_ahead_is_unseen);
    tcase_add_test(c, leftovers_in_chunks);
    tcase_add_test(c, list_newest_first);
    suite_add_tcase(s, c);
    return s;
}
