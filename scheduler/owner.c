/* Ownership and the ring of windows: see owner.h.
 *
 * The role is a list of duties, each with the time at which it is due next; one request is under way at
 * a time, but for the lease, which has a request of its own (and at the store a connection of its own),
 * so that no duty can delay it. A duty that has much to move does it in chunks and is due again at
 * once, behind what became due meanwhile. A duty that fails is due again a little later; so nothing
 * here is a sequence that could get stuck half-way. */
#include "base/prelude.h"

#include "scheduler/owner.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/trace.h"
#include "scheduler/metrics.h"
#include "scheduler/timerq.h"

LOG_MODULE("owner");

enum duty {
    DUTY_LANES, /* read all lanes; claim what is free */
    DUTY_CLAIM,
    DUTY_CLOSE, /* accept no new row in windows that are over */
    DUTY_INBOX,
    DUTY_FINISH, /* move what was left in them */
    DUTY_EMPTY,  /* empty their tables */
    DUTY_SWEEP,  /* promote into windows that are not open yet */
    DUTY_OPEN,   /* open them, with the last promotion */
    DUTY_PROMOTE,
    DUTY_COUNT,
};

static const char *const duty_names[DUTY_COUNT] = {
    "lanes", "claim", "close", "inbox", "finish", "empty", "sweep", "open", "promote",
};

#define NEVER INT64_MAX

enum {
    RETRY_US = 500 * US_PER_MS,
    RETRY_SHIFT_MAX = 5,
    EMPTY_RETRY_US = 5 * US_PER_S,
    INBOX_LIMIT = 1000,
    CHUNK_MIN = 250,  /* rows moved in one call, when larger ones fail */
    OPEN_ROWS = 2000, /* with all fences held */
};

/* One way through the long-term rows, in chunks. A chunk begins where the one before began to move: it
 * looks at what that deleted once more, after which PostgreSQL passes over it quickly, and the last
 * sweep, under the fences, is short. */
struct pass {
    struct wall from, reached;
};

struct owner {
    struct owner_config c;
    struct fsm fsm;
    struct uuid incarnation;
    struct lanes lanes;
    struct storeclock clock;
    int64_t due[DUTY_COUNT];
    uint32_t fails[DUTY_COUNT]; /* in a row */
    struct loop_timer timer;
    struct loop_timer lease_timer;
    bool started, lease_busy, busy, leased, clock_alarm;
    uint64_t system_id; /* of the store that gave the lease */
    uint32_t timeline;
    uint32_t round; /* incarnations: answers to an older one are ignored */
    int64_t window; /* the current window, as last seen */
    int64_t
        turn_to; /* windows before it are to be closed: the current one, or after a long time away
                         the last one that the ring reaches; then the ring turns in several rounds */
    int64_t empty_at; /* the next window whose table is to be emptied */
    uint32_t chunk;   /* rows to be moved in one call */
    struct pass sweep, promote;
    uint64_t left_over; /* rows moved by the present finish */
    struct lane_ref refs[LANES_PER_SHARD_MAX];
    struct coord_advice advice;
    struct arena arena, lease_arena;
    struct store_lease lease;
    union {
        struct store_req req;
        struct store_lanes lanes;
        struct store_claim claim;
        struct store_window_open open;
        struct store_window_close close;
        struct store_window_empty empty;
        struct store_promote promote;
        struct store_lane_inbox inbox;
        struct store_release release;
    } u;
    enum duty doing;
    uint32_t doing_round;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

static const struct fsm_state states[] = {
    [OWNER_STARTING] = {"STARTING", FSM_INITIAL,
                        1u << OWNER_STANDBY | 1u << OWNER_ACTIVE | 1u << OWNER_DRAINING},
    [OWNER_STANDBY] = {"STANDBY", 0,
                       1u << OWNER_ACTIVE | 1u << OWNER_STARTING | 1u << OWNER_DRAINING},
    [OWNER_ACTIVE] = {"ACTIVE", 0,
                      1u << OWNER_STANDBY | 1u << OWNER_STARTING | 1u << OWNER_DRAINING},
    [OWNER_DRAINING] = {"DRAINING", 0, 1u << OWNER_STOPPED},
    [OWNER_STOPPED] = {"STOPPED", FSM_FINAL, 0},
};

const char *owner_state_name(enum owner_state s)
{
    return states[s].name;
}

static void schedule(struct owner *o);
static void duty_start(struct owner *o, enum duty d);

static void due_at(struct owner *o, enum duty d, int64_t in_us)
{
    o->due[d] = loop_now(o->c.loop).us + in_us;
}

static void move(struct owner *o, enum owner_state s, struct str other)
{
    if (fsm_state(&o->fsm) != (int)s) {
        fsm_move(&o->fsm, (int)s);
        o->c.handler->state(o->c.handler, s, other);
    }
}

/* ---- windows: what is to be done, from the clock and the lanes ---- */

static int64_t grace_us(const struct owner *o)
{
    return MIN(o->c.window_us / 4, 2 * US_PER_S);
}

static bool under_way(const struct owner *o, enum duty d)
{
    return o->due[d] != NEVER || (o->busy && o->doing == d);
}

/* The steps that open windows follow each other: the first begins when none is under way. */
static bool opening(const struct owner *o)
{
    return under_way(o, DUTY_EMPTY) || under_way(o, DUTY_SWEEP) || under_way(o, DUTY_OPEN);
}

/* Sets the window duties due by comparing where the lanes stand with the current window. */
static void windows_plan(struct owner *o)
{
    if (!o->clock.set || o->lanes.held_len == 0) {
        return;
    }
    struct mono now = loop_now(o->c.loop);
    struct wall t = storeclock_now(&o->clock, now);
    int64_t window = t.us / o->c.window_us;
    int64_t into = t.us - window * o->c.window_us;
    bool close = false, finish = false, open = false, late = false;
    int64_t reach = INT64_MAX;
    for (uint32_t i = 0; i < o->lanes.len; i++) {
        reach = o->lanes.lane[i].held ? MIN(reach, o->lanes.lane[i].open_to) : reach;
    }
    int64_t turn_to = MIN(window, reach);
    for (uint32_t i = 0; i < o->lanes.len; i++) {
        const struct lane *l = &o->lanes.lane[i];
        if (l->held) {
            close |= l->accept_from < turn_to;
            finish |= l->closed_to < turn_to - 1;
            late |= l->closed_to < window - 2;
            open |= l->open_to < window + o->c.ring_windows - 1;
        }
    }
    if (window != o->window || turn_to != o->turn_to) {
        o->window = window;
        o->turn_to = turn_to;
        o->empty_at = MIN(o->empty_at, turn_to - (int64_t)o->c.ring_windows);
    }
    o->due[DUTY_CLOSE] = close ? now.us : NEVER;
    if (close) {
        o->due[DUTY_FINISH] = NEVER; /* after the close */
    } else if (finish && (o->due[DUTY_FINISH] == NEVER || o->fails[DUTY_FINISH] == 0)) {
        int64_t wait = late ? 0 : MAX(grace_us(o) - into, 0);
        o->due[DUTY_FINISH] = MIN(o->due[DUTY_FINISH], now.us + wait);
    }
    if (open && !close && !finish && !opening(o)) {
        o->due[DUTY_EMPTY] = now.us;
    }
}

static void windows_apply(struct owner *o)
{
    int64_t accept = INT64_MIN, open = INT64_MAX;
    for (uint32_t i = 0; i < o->lanes.len; i++) {
        if (o->lanes.lane[i].held) {
            accept = MAX(accept, o->lanes.lane[i].accept_from);
            open = MIN(open, o->lanes.lane[i].open_to);
        }
    }
    o->c.handler->windows(o->c.handler, accept, open);
}

/* ---- losing ---- */

/* Another has evicted this incarnation: everything it believed is void (design.md 2.4). */
static void fenced(struct owner *o)
{
    log_warn("fenced: evicted, or the store has failed over; beginning anew", "lanes=%u",
             o->lanes.held_len);
    metric_add(&metric_fenced, 1);
    trace("owner fenced", o->round, o->lanes.held_len);
    uint16_t lost[LANES_PER_SHARD_MAX];
    uint32_t len = 0;
    for (uint32_t i = 0; i < o->lanes.len; i++) {
        if (o->lanes.lane[i].held) {
            lost[len++] = (uint16_t)i;
        }
    }
    lanes_lose_all(&o->lanes);
    metric_set(&metric_lanes_held, 0);
    if (len > 0) {
        o->c.handler->lost(o->c.handler, lost, len);
    }
    for (int d = 0; d < DUTY_COUNT; d++) {
        o->due[d] = NEVER;
    }
    o->round++;
    o->leased = false;
    o->incarnation = uuid_make(o->c.rng);
    o->c.handler->incarnation(o->c.handler, &o->incarnation);
    move(o, OWNER_STARTING, STR_NONE);
    loop_timer_after(o->c.loop, &o->lease_timer, 0);
}

static bool draining(const struct owner *o)
{
    return fsm_state(&o->fsm) >= OWNER_DRAINING;
}

/* ---- lease ---- */

/* Nothing here goes by the host's clock; but people do who compare its logs with the store's times. */
static void clock_watch(struct owner *o)
{
    struct mono now = loop_now(o->c.loop);
    int64_t off = clock_wall(o->c.loop->clock).us - storeclock_now(&o->clock, now).us;
    bool alarm = (off < 0 ? -off : off) - storeclock_error_us(&o->clock, now) > STORECLOCK_ALARM_US;
    metric_set(&metric_clock_offset, off);
    if (alarm && !o->clock_alarm) {
        metric_add(&metric_clock_alarms, 1);
        log_warn("this host's clock differs from the store's: check its time synchronisation",
                 "offset_ms=%" PRId64, off / US_PER_MS);
    } else if (!alarm && o->clock_alarm) {
        log_info("this host's clock agrees with the store's again", "offset_ms=%" PRId64,
                 off / US_PER_MS);
    }
    o->clock_alarm = alarm;
}

static void lease_done(struct store_req *r)
{
    struct owner *o = CONTAINER_OF(CONTAINER_OF(r, struct store_lease, req), struct owner, lease);
    o->lease_busy = false;
    if (draining(o)) {
        schedule(o);
        return;
    }
    bool same = uuid_eq(&o->lease.incarnation, &o->incarnation);
    if (r->err == ERR_FENCED && same) {
        fenced(o);
        return;
    }
    if (r->err != ERR_OK || !same) {
        if (r->err != ERR_OK) {
            log_warn("lease not renewed, trying again", "error=%s detail=\"%s\"", err_name(r->err),
                     r->detail.text);
        }
        loop_timer_after(o->c.loop, &o->lease_timer, RETRY_US);
        return;
    }
    if (o->leased && (o->lease.timeline != o->timeline || o->lease.system_id != o->system_id)) {
        /* A failover, perhaps without its tail: what we hold and have cached may be undone. */
        log_warn("the store has failed over; beginning anew", "timeline=%u", o->lease.timeline);
        fenced(o);
        return;
    }
    fault_hit(o->c.faults, FAULT_LEASE_AFTER_RENEW);
    o->timeline = o->lease.timeline;
    o->system_id = o->lease.system_id;
    storeclock_sample(&o->clock, r->sent, r->answered, r->store_now);
    o->c.handler->clock(o->c.handler, r->sent, r->answered, r->store_now);
    clock_watch(o);
    if (!o->leased) {
        o->leased = true;
        due_at(o, DUTY_LANES, 0);
    }
    loop_timer_after(o->c.loop, &o->lease_timer, o->c.heartbeat_us / 2);
    windows_plan(o);
    schedule(o);
}

static void lease_fired(struct loop_timer *timer)
{
    struct owner *o = CONTAINER_OF(timer, struct owner, lease_timer);
    if (o->lease_busy || draining(o)) {
        return;
    }
    fault_hit(o->c.faults, FAULT_LEASE_BEFORE_RENEW);
    arena_reset(&o->lease_arena, 4096);
    o->lease = (struct store_lease){
        /* Several tries fit into what the lease lasts. */
        .req = {.op = STORE_LEASE,
                .loop = o->c.loop,
                .done = lease_done,
                .arena = &o->lease_arena,
                .deadline_us = MAX(o->c.heartbeat_us / 2, (int64_t)RETRY_US)},
        .incarnation = o->incarnation,
        .node = o->c.node,
        .address = o->c.address,
        .lease_us = 2 * o->c.heartbeat_us,
        .renew_only = o->leased,
    };
    o->lease_busy = true;
    store_submit(o->c.store, &o->lease.req);
}

/* ---- answers, one function per duty ---- */

static bool clock_fit(const struct owner *o)
{
    return storeclock_error_us(&o->clock, loop_now(o->c.loop)) <= STORECLOCK_ERROR_MAX_US;
}

/* Asks coordination about the lanes that are not ours under a claim we know of. Returns a living
 * owner's name. */
static struct str lanes_judge(struct owner *o, const struct store_lanes *r)
{
    struct coord_lane lanes[LANES_PER_SHARD_MAX];
    struct coord_view v = {.self = {.incarnation = o->incarnation,
                                    .node = o->c.node,
                                    .address = o->c.address},
                           .lanes = lanes,
                           .now = loop_now(o->c.loop),
                           .store_now = r->req.store_now,
                           .heartbeat_us = o->c.heartbeat_us};
    for (uint32_t i = 0; i < r->lanes_len; i++) {
        const struct lane_row *row = &r->lanes[i];
        if (!o->lanes.lane[row->lane].held) {
            lanes[v.lanes_len++] = (struct coord_lane){.lane = row->lane,
                                                       .owner = {.incarnation = row->incarnation,
                                                                 .node = row->node,
                                                                 .address = row->address},
                                                       .has_session = row->has_session,
                                                       .lease_left_us = row->lease_left_us};
        }
    }
    coord_advise(o->c.coord, &v, &o->advice);
    return o->advice.other;
}

static void lanes_done(struct owner *o)
{
    struct store_lanes *r = &o->u.lanes;
    uint16_t lost[LANES_PER_SHARD_MAX];
    uint32_t lost_len = 0;
    for (uint32_t i = 0; i < r->lanes_len; i++) {
        const struct lane_row *row = &r->lanes[i];
        struct lane *have = &o->lanes.lane[row->lane];
        if (have->held && uuid_eq(&row->incarnation, &o->incarnation) &&
            uuid_eq(&row->fence.claim, &have->ref.fence.claim)) {
            continue;
        }
        if (have->held) {
            lost[lost_len++] = row->lane;
        }
        lanes_set(&o->lanes, row, false);
    }
    metric_set(&metric_lanes_held, o->lanes.held_len);
    if (lost_len > 0) {
        log_warn("lanes lost to another claim", "lanes=%u", lost_len);
        o->c.handler->lost(o->c.handler, lost, lost_len);
    }
    o->c.handler->foreign(o->c.handler, r->lanes, r->lanes_len);
    struct str other = lanes_judge(o, r);
    if (o->advice.claim_len > 0 && clock_fit(o)) {
        due_at(o, DUTY_CLAIM, 0);
    } else if (o->advice.claim_len > 0) {
        log_warn("clock error too large to own lanes", "error_us=%" PRId64,
                 storeclock_error_us(&o->clock, loop_now(o->c.loop)));
        due_at(o, DUTY_LANES, o->c.heartbeat_us / 2);
    } else if (o->lanes.held_len < o->lanes.len || o->lanes.len == 0) {
        /* Others own them, some or all: they may be free another time. */
        if (o->lanes.held_len == 0) {
            move(o, OWNER_STANDBY, other);
        }
        due_at(o, DUTY_LANES, o->advice.look_us);
    }
}

static void claim_done(struct owner *o)
{
    struct store_claim *r = &o->u.claim;
    for (uint32_t i = 0; i < r->got_len; i++) {
        lanes_set(&o->lanes, &r->got[i], true);
        trace("claimed", r->got[i].lane, r->got[i].fence.epoch);
    }
    metric_add(&metric_claims, r->got_len);
    metric_set(&metric_lanes_held, o->lanes.held_len);
    fault_hit(o->c.faults, FAULT_CLAIM_AFTER);
    if (r->got_len > 0) {
        log_info("lanes claimed", "lanes=%u held=%u of=%u", r->got_len, o->lanes.held_len,
                 o->lanes.len);
        o->c.handler->gained(o->c.handler, r->got, r->got_len);
        move(o, OWNER_ACTIVE, STR_NONE);
        due_at(o, DUTY_INBOX, 0);
        due_at(o, DUTY_PROMOTE, o->c.promote_us);
        o->window = INT64_MIN;
        o->empty_at = INT64_MAX;
        o->promote = o->sweep = (struct pass){0}; /* there are more lanes to be swept */
        windows_plan(o);
    }
    if (o->lanes.held_len < o->lanes.len) {
        due_at(o, DUTY_LANES, o->advice.look_us);
    }
}

static void chunk_moved(struct owner *o)
{
    o->chunk = MIN(o->chunk * 2, (uint32_t)STORE_MOVE_MAX);
}

/* What is due later than memory looks ahead, or stands in windows that are not open, a later scan
 * finds. A chunk has nothing that is due before its beginning. */
static void chunk_promoted(struct owner *o, const struct store_promote *r)
{
    fault_hit(o->c.faults, FAULT_PROMOTE_AFTER);
    int64_t ahead = storeclock_now(&o->clock, loop_now(o->c.loop)).us + TIMERQ_AHEAD_US;
    int64_t open_end = (lanes_open_to(&o->lanes) + 1) * o->c.window_us;
    metric_add(&metric_promoted, (int64_t)r->promoted);
    if (r->promoted > 0 && r->from.us <= MIN(ahead, open_end)) {
        o->c.handler->promoted(o->c.handler);
    }
}

static void pass_on(struct owner *o, struct pass *p, const struct store_promote *r)
{
    *p = r->more ? (struct pass){p->reached, r->reached} : (struct pass){0};
    if (r->more) {
        chunk_moved(o);
    }
}

static void close_done(struct owner *o, bool finish)
{
    struct store_window_close *r = &o->u.close;
    fault_hit(o->c.faults, FAULT_WINDOW_AFTER_CLOSE);
    for (uint32_t i = 0; i < o->lanes.len; i++) {
        struct lane *l = &o->lanes.lane[i];
        if (l->held) {
            l->accept_from = MAX(l->accept_from, r->accept_from);
            if (finish && !r->more) {
                l->closed_to = MAX(l->closed_to, r->accept_from - 1);
            }
        }
    }
    if (finish) {
        /* The earliest move first: what is in memory has moved with the first chunk. */
        o->c.handler->moved(o->c.handler, r->accept_from);
        o->left_over += r->moved;
        if (r->more) {
            chunk_moved(o);
            due_at(o, DUTY_FINISH, 0);
        } else if (o->left_over > 0) {
            log_info("deadlines left in closed windows moved", "rows=%" PRIu64, o->left_over);
            o->left_over = 0;
        }
    }
    windows_plan(o);
}

static void empty_done(struct owner *o)
{
    struct store_window_empty *r = &o->u.empty;
    if (!r->emptied) {
        due_at(o, DUTY_EMPTY, MIN(EMPTY_RETRY_US, o->c.window_us / 4));
        return;
    }
    fault_hit(o->c.faults, FAULT_WINDOW_AFTER_EMPTY);
    metric_add(&metric_windows_emptied, 1);
    o->empty_at = r->window + 1;
    if (o->empty_at < o->turn_to) {
        due_at(o, DUTY_EMPTY, 0);
    } else {
        o->sweep = (struct pass){0};
        due_at(o, DUTY_SWEEP, 0);
    }
}

/* Goes through until nothing is left, and for what came in behind once more from the start. */
static void sweep_done(struct owner *o)
{
    struct store_promote *r = &o->u.promote;
    chunk_promoted(o, r);
    pass_on(o, &o->sweep, r);
    due_at(o, r->more || r->from.us != 0 ? DUTY_SWEEP : DUTY_OPEN, 0);
}

static void open_done(struct owner *o)
{
    struct store_window_open *r = &o->u.open;
    metric_add(&metric_promoted, (int64_t)r->promoted);
    if (r->more) { /* came in since the sweep */
        o->sweep = (struct pass){0};
        due_at(o, DUTY_SWEEP, 0);
        return;
    }
    fault_hit(o->c.faults, FAULT_WINDOW_AFTER_OPEN);
    for (uint32_t i = 0; i < o->lanes.len; i++) {
        struct lane *l = &o->lanes.lane[i];
        if (l->held) {
            l->open_to = MAX(l->open_to, r->opened_to);
        }
    }
    trace("windows open", (uint64_t)r->opened_to, r->promoted);
    windows_apply(o);
    o->c.handler->promoted(o->c.handler);
    due_at(o, DUTY_INBOX, 0);
    windows_plan(o);
    /* Not as far as wanted: a table is not empty yet; or the ring turns another round at once. */
    if (r->opened_to < r->open_to && o->due[DUTY_CLOSE] == NEVER && o->due[DUTY_FINISH] == NEVER) {
        due_at(o, DUTY_EMPTY, MIN(EMPTY_RETRY_US, o->c.window_us / 4));
    }
}

static void inbox_done(struct owner *o)
{
    struct store_lane_inbox *r = &o->u.inbox;
    struct exec_id ids[64];
    for (uint32_t i = 0; i < r->rows_len;) {
        uint32_t n = 0;
        while (n < ARRAY_LEN(ids) && i < r->rows_len) {
            ids[n++] = r->rows[i++].exec;
        }
        o->c.handler->announced(o->c.handler, ids, n);
    }
    due_at(o, DUTY_INBOX, r->rows_len == INBOX_LIMIT ? 0 : o->c.heartbeat_us);
}

static void promote_done(struct owner *o)
{
    struct store_promote *r = &o->u.promote;
    chunk_promoted(o, r);
    pass_on(o, &o->promote, r);
    due_at(o, DUTY_PROMOTE, r->more ? 0 : o->c.promote_us);
}

/* What holds fences or moves rows tries less and less often: others want the lanes, too. */
static int64_t retry_us(struct owner *o, enum duty d)
{
    uint32_t shift = d < DUTY_FINISH ? 0 : MIN(o->fails[d], (uint32_t)RETRY_SHIFT_MAX);
    o->fails[d]++;
    return MIN((int64_t)RETRY_US << shift, MAX((int64_t)RETRY_US, o->c.window_us / 4));
}

static void duty_failed(struct owner *o, const struct store_req *r)
{
    enum duty again = o->doing;
    int64_t us = retry_us(o, again);
    log_warn("duty failed, trying again", "duty=%s error=%s detail=\"%s\" in_ms=%" PRId64,
             duty_names[o->doing], err_name(r->err), r->detail.text, us / US_PER_MS);
    if (o->doing == DUTY_CLAIM) {
        again = DUTY_LANES;
    } else if (o->doing == DUTY_OPEN) {
        o->sweep = (struct pass){0};
        again = DUTY_SWEEP;
    } else if (o->doing == DUTY_FINISH || o->doing == DUTY_SWEEP || o->doing == DUTY_PROMOTE) {
        o->chunk = MAX(o->chunk / 4, (uint32_t)CHUNK_MIN); /* perhaps it took too long */
    }
    due_at(o, again, us);
}

static void duty_done(struct store_req *r)
{
    /* Every request of the union begins with its store_req. */
    struct owner *o = CONTAINER_OF(r, struct owner, u);
    o->busy = false;
    if (o->doing_round != o->round || draining(o)) {
        schedule(o);
        return;
    }
    if (r->err == ERR_FENCED) {
        /* One of the lanes is no longer ours; which one, the lanes themselves tell. */
        due_at(o, DUTY_LANES, 0);
        due_at(o, o->doing, RETRY_US);
        schedule(o);
        return;
    }
    if (o->doing == DUTY_INBOX && err_class(r->err) == ERRC_UNKNOWN) {
        o->c.handler->missed(o->c.handler);
    }
    if (r->err != ERR_OK) {
        duty_failed(o, r);
        schedule(o);
        return;
    }
    o->fails[o->doing] = 0;
    switch (o->doing) {
    case DUTY_LANES:
        lanes_done(o);
        break;
    case DUTY_CLAIM:
        claim_done(o);
        break;
    case DUTY_CLOSE:
        close_done(o, false);
        break;
    case DUTY_FINISH:
        close_done(o, true);
        break;
    case DUTY_EMPTY:
        empty_done(o);
        break;
    case DUTY_SWEEP:
        sweep_done(o);
        break;
    case DUTY_OPEN:
        open_done(o);
        break;
    case DUTY_INBOX:
        inbox_done(o);
        break;
    case DUTY_PROMOTE:
        promote_done(o);
        break;
    case DUTY_COUNT:
        break;
    }
    schedule(o);
}

/* ---- requests ---- */

static struct store_req duty_req(struct owner *o, enum store_op op)
{
    return (struct store_req){.op = op, .loop = o->c.loop, .done = duty_done, .arena = &o->arena};
}

static void close_start(struct owner *o, bool finish, uint32_t len)
{
    fault_hit(o->c.faults, FAULT_WINDOW_BEFORE_CLOSE);
    /* The roles stop using the old windows before the store refuses them. */
    for (uint32_t i = 0; i < o->lanes.len; i++) {
        struct lane *l = &o->lanes.lane[i];
        if (l->held && l->open_to >= o->turn_to) {
            l->accept_from = MAX(l->accept_from, o->turn_to);
        }
    }
    windows_apply(o);
    o->u.close = (struct store_window_close){.req = duty_req(o, STORE_WINDOW_CLOSE),
                                             .lanes = o->refs,
                                             .lanes_len = len,
                                             .accept_from = o->turn_to,
                                             .finish = finish,
                                             .limit = o->chunk};
}

static void promote_start(struct owner *o, uint32_t len, int64_t to, struct wall from)
{
    fault_hit(o->c.faults, FAULT_PROMOTE_BEFORE);
    o->u.promote = (struct store_promote){.req = duty_req(o, STORE_PROMOTE),
                                          .lanes = o->refs,
                                          .lanes_len = len,
                                          .to = to,
                                          .from = from,
                                          .limit = o->chunk};
}

/* How far the ring should be open. */
static int64_t ring_end(const struct owner *o)
{
    return o->window + o->c.ring_windows - 1;
}

static void claim_start(struct owner *o)
{
    fault_hit(o->c.faults, FAULT_CLAIM_BEFORE);
    o->u.claim = (struct store_claim){.req = duty_req(o, STORE_CLAIM),
                                      .shard = o->c.shard,
                                      .incarnation = o->incarnation,
                                      .node = o->c.node,
                                      .lanes = o->advice.claim,
                                      .lanes_len = o->advice.claim_len,
                                      .window_us = o->c.window_us,
                                      .ring_windows = o->c.ring_windows,
                                      .claim_seed = rng_u64(o->c.rng)};
}

static void duty_start(struct owner *o, enum duty d)
{
    uint32_t len = lanes_held(&o->lanes, o->refs, LANES_PER_SHARD_MAX);
    o->due[d] = NEVER;
    if (len == 0 && d != DUTY_LANES && d != DUTY_CLAIM) {
        return;
    }
    arena_reset(&o->arena, 1u << 16);
    switch (d) {
    case DUTY_LANES:
        o->u.lanes = (struct store_lanes){.req = duty_req(o, STORE_LANES), .shard = o->c.shard};
        break;
    case DUTY_CLAIM:
        claim_start(o);
        break;
    case DUTY_CLOSE:
        close_start(o, false, len);
        break;
    case DUTY_FINISH:
        close_start(o, true, len);
        break;
    case DUTY_EMPTY:
        fault_hit(o->c.faults, FAULT_WINDOW_BEFORE_EMPTY);
        o->u.empty = (struct store_window_empty){.req = duty_req(o, STORE_WINDOW_EMPTY),
                                                 .shard = o->c.shard,
                                                 .window = MIN(o->empty_at, o->turn_to - 1)};
        break;
    case DUTY_SWEEP:
        promote_start(o, len, ring_end(o), o->sweep.from);
        break;
    case DUTY_OPEN:
        fault_hit(o->c.faults, FAULT_WINDOW_BEFORE_OPEN);
        o->u.open = (struct store_window_open){.req = duty_req(o, STORE_WINDOW_OPEN),
                                               .lanes = o->refs,
                                               .lanes_len = len,
                                               .open_to = ring_end(o),
                                               .limit = OPEN_ROWS};
        break;
    case DUTY_INBOX:
        o->u.inbox = (struct store_lane_inbox){.req = duty_req(o, STORE_LANE_INBOX),
                                               .lanes = o->refs,
                                               .lanes_len = len,
                                               .limit = INBOX_LIMIT};
        break;
    case DUTY_PROMOTE:
        promote_start(o, len, 0, o->promote.from);
        break;
    case DUTY_COUNT:
        return;
    }
    o->doing = d;
    o->doing_round = o->round;
    o->busy = true;
    store_submit(o->c.store, &o->u.req);
}

static void finish(struct owner *o)
{
    fsm_move(&o->fsm, OWNER_STOPPED);
    o->c.handler->state(o->c.handler, OWNER_STOPPED, STR_NONE);
    o->stopped(o->stopped_arg);
}

static void release_done(struct store_req *r)
{
    struct owner *o = CONTAINER_OF(r, struct owner, u);
    if (r->err != ERR_OK) {
        log_warn("lanes not released; the lease will run out", "error=%s", err_name(r->err));
    }
    fault_hit(o->c.faults, FAULT_RELEASE_AFTER);
    o->busy = false;
    finish(o);
}

static void release_start(struct owner *o)
{
    fault_hit(o->c.faults, FAULT_RELEASE_BEFORE);
    arena_reset(&o->arena, 4096);
    o->u.release = (struct store_release){.req = duty_req(o, STORE_RELEASE),
                                          .incarnation = o->incarnation,
                                          .leave = true};
    o->u.release.req.done = release_done;
    o->u.release.req.deadline_us = 2 * US_PER_S;
    o->busy = true;
    store_submit(o->c.store, &o->u.req);
}

/* Starts the duty that is due longest, or sets the timer for the next one. */
static void schedule(struct owner *o)
{
    int state = fsm_state(&o->fsm);
    if (state == OWNER_STOPPED || o->busy) {
        return;
    }
    if (state == OWNER_DRAINING) {
        if (!o->lease_busy) {
            release_start(o);
        }
        return;
    }
    int64_t now = loop_now(o->c.loop).us;
    for (;;) {
        int first = 0;
        for (int d = 1; d < DUTY_COUNT; d++) {
            if (o->due[d] < o->due[first]) {
                first = d;
            }
        }
        int64_t due = o->due[first];
        if (o->clock.set && o->lanes.held_len > 0) {
            /* The next window boundary is a date of its own. */
            struct mono edge =
                storeclock_mono(&o->clock, (struct wall){(o->window + 1) * o->c.window_us});
            if (o->window != INT64_MIN && edge.us < due && edge.us > now) {
                loop_timer_start(o->c.loop, &o->timer, edge);
                return;
            }
        }
        if (due == NEVER) {
            loop_timer_stop(&o->timer);
            return;
        }
        if (due > now) {
            loop_timer_start(o->c.loop, &o->timer, (struct mono){due});
            return;
        }
        duty_start(o, (enum duty)first);
        if (o->busy) {
            return;
        }
    }
}

static void timer_fired(struct loop_timer *timer)
{
    struct owner *o = CONTAINER_OF(timer, struct owner, timer);
    windows_plan(o);
    schedule(o);
}

/* ---- calls ---- */

struct owner *owner_new(const struct owner_config *config)
{
    PRE(config->heartbeat_us > 0 && config->window_us > 0 && config->ring_windows > 0);
    PRE(config->coord != NULL);
    struct owner *o = MEM_NEW(struct owner);
    o->c = *config;
    fsm_init(&o->fsm, "owner", states, OWNER_STARTING, NULL);
    lanes_init(&o->lanes, config->shard, config->window_us);
    storeclock_init(&o->clock);
    arena_init(&o->arena, 0);
    arena_init(&o->lease_arena, 0);
    for (int d = 0; d < DUTY_COUNT; d++) {
        o->due[d] = NEVER;
    }
    o->window = INT64_MIN;
    o->turn_to = INT64_MIN;
    o->empty_at = INT64_MAX;
    o->chunk = STORE_MOVE_MAX;
    o->timer.fired = timer_fired;
    o->timer.name = "owner duties";
    o->lease_timer.fired = lease_fired;
    o->lease_timer.name = "owner lease";
    o->incarnation = uuid_make(config->rng);
    return o;
}

void owner_free(struct owner *o)
{
    if (o == NULL) {
        return;
    }
    bool never_started =
        fsm_state(&o->fsm) == OWNER_STARTING && !o->lease_timer.armed && !o->lease_busy && !o->busy;
    PRE(fsm_state(&o->fsm) == OWNER_STOPPED || never_started);
    arena_fini(&o->arena);
    arena_fini(&o->lease_arena);
    mem_free(o);
}

void owner_start(struct owner *o)
{
    LOOP_OWNED(o->c.loop);
    o->started = true;
    o->c.handler->incarnation(o->c.handler, &o->incarnation);
    loop_timer_after(o->c.loop, &o->lease_timer, 0);
}

void owner_stop(struct owner *o, void (*done)(void *arg), void *arg)
{
    LOOP_OWNED(o->c.loop);
    PRE(o->stopped == NULL);
    o->stopped = done;
    o->stopped_arg = arg;
    loop_timer_stop(&o->timer);
    loop_timer_stop(&o->lease_timer);
    move(o, OWNER_DRAINING, STR_NONE);
    if (o->started) {
        schedule(o);
    } else { /* a node that did not come up has nothing to give back */
        finish(o);
    }
}

enum owner_state owner_state(const struct owner *o)
{
    return (enum owner_state)fsm_state(&o->fsm);
}

const struct uuid *owner_incarnation(const struct owner *o)
{
    return &o->incarnation;
}

void owner_recheck(struct owner *o)
{
    LOOP_OWNED(o->c.loop);
    if (!draining(o) && o->leased) {
        due_at(o, DUTY_LANES, 0);
        schedule(o);
    }
}
