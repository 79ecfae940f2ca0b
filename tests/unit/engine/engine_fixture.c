/* The node on virtual time and its one peer: see engine_fixture.h. */
#include "base/prelude.h"

#include "tests/unit/engine/engine_fixture.h"

#include "base/limits.h"
#include "base/mem.h"

/* ---- the peer: a client and worker over the transport port ---- */

static void peer_on_task(struct fixture *f, const struct msg_task *t)
{
    if (f->tasks < ARRAY_LEN(f->task_at)) {
        f->task_at[f->tasks] = world_wall(f->world);
    }
    f->tasks++;
    if (f->hold) {
        ck_assert_uint_lt(f->held_len, ARRAY_LEN(f->held));
        (void)snprintf(f->held_input[f->held_len], sizeof(f->held_input[0]), "%.*s",
                       STR_ARG(t->input));
        f->held[f->held_len++] = *t;
    }
}

/* Answers tasks with their inputs, in one message. */
static void peer_echo(struct fixture *f, const struct msg_task *tasks, uint32_t len)
{
    static struct msg_completion done[POLL_COMPLETIONS_MAX];
    struct msg m = {.type = MSG_POLL};
    struct str q = str_of(f->peer->queue);

    for (uint32_t i = 0; i < len; i++) {
        done[i] = (struct msg_completion){.token = tasks[i].token,
                                          .status = MSG_COMPLETION_SUCCESS,
                                          .output = tasks[i].input};
    }
    m.u.poll.queues = &q;
    m.u.poll.queues_len = 1;
    m.u.poll.capacity = 1;
    m.u.poll.completions = done;
    m.u.poll.completions_len = len;
    peer_send(f, &m);
}

static void peer_on_poll_ok(struct fixture *f, const struct msg_poll_ok *m)
{
    for (uint32_t i = 0; i < m->acks_len; i++) {
        f->acked += m->acks[i] == ERR_OK;
        f->stale += m->acks[i] == ERR_STALE;
        f->again += err_class((enum err)m->acks[i]) == ERRC_RETRY;
    }
    for (uint32_t i = 0; i < m->tasks_len; i++) {
        peer_on_task(f, &m->tasks[i]);
    }
    if (m->tasks_len > 0 && !f->hold) {
        peer_echo(f, m->tasks, m->tasks_len);
    }
    if (m->acks_len == 0 && !f->hold) {
        peer_poll(f, f->peer->queue, f->peer->capacity, 1000);
    }
}

static void peer_on_history(struct fixture *f, const struct msg_history_ok *m)
{
    f->pages++;
    f->page_len = m->events_len;
    f->page_last = m->last;
    for (uint32_t i = 0; i < m->events_len; i++) {
        char text[256];
        (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(m->events[i]));
        const char *id = strstr(text, "\"id\":");
        ck_assert_ptr_nonnull(id);
        f->page_ids[i] = (uint32_t)strtoul(id + 5, NULL, 10);
    }
}

static void peer_on_msg(struct fixture *f, const struct msg *m)
{
    switch ((unsigned)m->type) {
    case MSG_HELLO_OK:
        f->peer->greeted = true;
        break;
    case MSG_START_OK:
        (void)snprintf(f->execution[f->started % ARRAY_LEN(f->execution)], EXEC_ID_TEXT + 1, "%.*s",
                       STR_ARG(m->u.start_ok.execution));
        f->started++;
        break;
    case MSG_DEF_PUT_OK:
        f->defined++;
        break;
    case MSG_DEF_DELETE_OK:
        f->deleted++;
        break;
    case MSG_LIST_OK:
        f->lists++;
        f->listed = m->u.list_ok.rows_len;
        break;
    case MSG_DESCRIBE_OK:
        f->described++;
        f->has_output = m->u.describe_ok.output.p != NULL;
        f->has_error = m->u.describe_ok.error.p != NULL;
        f->has_cause = m->u.describe_ok.cause.p != NULL;
        break;
    case MSG_HISTORY_OK:
        peer_on_history(f, &m->u.history_ok);
        break;
    case MSG_POLL_OK:
        peer_on_poll_ok(f, &m->u.poll_ok);
        break;
    case MSG_WATCH_OK:
        f->ended += m->u.watch_ok.ended;
        f->succeeded += m->u.watch_ok.status == EXEC_SUCCEEDED;
        f->end_status = m->u.watch_ok.status;
        (void)snprintf(f->end_error, sizeof(f->end_error), "%.*s", STR_ARG(m->u.watch_ok.error));
        (void)snprintf(f->end_cause, sizeof(f->end_cause), "%.*s", STR_ARG(m->u.watch_ok.cause));
        (void)snprintf(f->output, sizeof(f->output), "%.*s", STR_ARG(m->u.watch_ok.output));
        break;
    case MSG_TASK_OK:
        f->token_ok++;
        break;
    case MSG_HEARTBEAT_OK:
        if (m->corr == 0) {
            break; /* of peer_beats */
        }
        f->beats++;
        f->beat_code = m->u.heartbeat_ok.codes[0];
        break;
    case MSG_ERROR:
        f->errors++;
        f->exists += m->u.error.code == ERR_EXISTS;
        f->last_error = m->u.error.code;
        (void)snprintf(f->last_text, sizeof(f->last_text), "%.*s", STR_ARG(m->u.error.text));
        break;
    default:
        break;
    }
}

static void peer_on_reply(struct net_dial_handler *h, uint64_t id, struct str body)
{
    (void)id;
    struct peer *p = CONTAINER_OF(h, struct peer, handler);
    struct arena a;
    arena_init(&a, 0);
    struct msg_reader r;
    struct err_detail d = {0};
    ck_assert_int_eq(msg_reader_begin(&r, body, &a, &d), ERR_OK);
    struct msg m;
    enum err e;
    while (msg_reader_next(&r, &m, &e, &d)) {
        ck_assert_int_eq(e, ERR_OK);
        peer_on_msg(p->f, &m);
    }
    ck_assert_int_eq(msg_reader_end(&r, &d), ERR_OK);
    arena_fini(&a);
}

static void frame_of(struct buf *b, const struct msg *m)
{
    struct msg_writer w;
    struct err_detail d = {0};
    buf_init(b, 0);
    msg_writer_begin(&w, b);
    ck_assert_int_eq(msg_writer_add(&w, m, &d), ERR_OK);
    msg_writer_end(&w);
}

static void peer_on_up(struct net_dial_handler *h)
{
    struct peer *p = CONTAINER_OF(h, struct peer, handler);
    p->up = true;
    struct msg m = {.type = MSG_HELLO};
    m.u.hello.protocol = MSG_PROTOCOL;
    m.u.hello.name = STR("peer");
    m.u.hello.instance = 77;
    struct task_token held[64];
    for (uint32_t i = 0; i < p->f->held_len; i++) {
        held[i] = p->f->held[i].token;
    }
    m.u.hello.held = held;
    m.u.hello.held_len = p->f->held_len;
    peer_send(p->f, &m);
}

static void peer_on_down(struct net_dial_handler *h)
{
    struct peer *p = CONTAINER_OF(h, struct peer, handler);
    p->up = p->greeted = false;
}

/* A worker that lives says what it works on. */
static void peer_beats(struct loop_timer *timer)
{
    enum { BEAT_US = 2 * US_PER_S };
    struct peer *p = CONTAINER_OF(timer, struct peer, beat);
    struct fixture *f = p->f;
    struct task_token tokens[ARRAY_LEN(f->held)];
    struct msg m = {.type = MSG_HEARTBEAT};
    m.u.heartbeat.tokens = tokens;
    for (uint32_t i = 0; i < f->held_len; i++) {
        if (f->held[i].heartbeat_ms == 0) {
            tokens[m.u.heartbeat.tokens_len++] = f->held[i].token;
        }
    }
    if (p->greeted && !f->silent && m.u.heartbeat.tokens_len > 0) {
        struct buf b;
        frame_of(&b, &m);
        ck_assert_int_eq(p->dialer->ops->send(p->dialer, 0, buf_str(&b)), ERR_OK);
        buf_fini(&b);
    }
    loop_timer_after(p->loop, &p->beat, BEAT_US);
}

static void peer_beats_begin(struct loop_task *task)
{
    struct peer *p = CONTAINER_OF(task, struct peer, begin);
    p->beat = (struct loop_timer){.fired = peer_beats, .name = "beat"};
    loop_timer_after(p->loop, &p->beat, 0);
}

static void peer_boot(struct host *h)
{
    struct fixture *f = h->user;
    struct peer *p = MEM_NEW(struct peer);
    p->f = f;
    p->handler =
        (struct net_dial_handler){.up = peer_on_up, .down = peer_on_down, .reply = peer_on_reply};
    f->peer = p;
    struct loop *l = h->factory.make(&h->factory, "peer");
    p->loop = l;
    struct err_detail d = {0};
    ck_assert_int_eq(f->net->base.ops->dial(&f->net->base, l, f->config.listen, &p->handler,
                                            &p->dialer, &d),
                     ERR_OK);
    p->begin = (struct loop_task){.run = peer_beats_begin, .name = "beats"};
    loop_post(l, &p->begin);
}

/* A frame on its way to the peer's loop: tests send from outside of any callback. */
struct outgoing {
    struct loop_task task;
    struct peer *peer;
    uint64_t id;
    struct buf frame;
};

static void outgoing_run(struct loop_task *task)
{
    struct outgoing *o = CONTAINER_OF(task, struct outgoing, task);
    struct net_dialer *d = o->peer->dialer;
    enum err e = d->ops->send(d, o->id, buf_str(&o->frame));
    ck_assert_int_eq(e, ERR_OK);
    buf_fini(&o->frame);
    mem_free(o);
}

static struct outgoing *outgoing;
static void outgoing_post(struct host *h)
{
    struct fixture *f = h->user;
    loop_post(f->peer->loop, &outgoing->task);
}

void peer_send(struct fixture *f, struct msg *m)
{
    struct outgoing *o = MEM_NEW(struct outgoing);
    m->corr = ++f->peer->next_id;
    frame_of(&o->frame, m);
    o->peer = f->peer;
    o->id = m->corr;
    o->task = (struct loop_task){.run = outgoing_run, .name = "peer sends"};
    outgoing = o;
    if (f->world->running == NULL) {
        host_run(f->peer_host, outgoing_post);
    } else {
        loop_post(f->peer->loop, &o->task);
    }
}

void peer_start(struct fixture *f, const char *workflow, const char *name, const char *input)
{
    struct msg m = {.type = MSG_START};
    m.u.start.workflow = str_of(workflow);
    m.u.start.name = str_of(name);
    m.u.start.input = str_of(input);
    peer_send(f, &m);
}

void peer_define(struct fixture *f, const char *workflow, const char *text)
{
    struct msg m = {.type = MSG_DEF_PUT};
    m.u.def_put.workflow = str_of(workflow);
    m.u.def_put.text = str_of(text);
    uint32_t before = f->defined;
    peer_send(f, &m);
    RUN_UNTIL(f, f->defined > before, 10 * US_PER_S);
}

void peer_watch(struct fixture *f, const char *execution)
{
    struct msg m = {.type = MSG_WATCH};
    m.u.watch.execution = str_of(execution);
    m.u.watch.wait_ms = 60000;
    peer_send(f, &m);
}

void peer_poll(struct fixture *f, const char *queue, uint32_t capacity, uint32_t wait_ms)
{
    if (queue != f->peer->queue) {
        (void)snprintf(f->peer->queue, sizeof(f->peer->queue), "%s", queue);
    }
    f->peer->capacity = capacity;
    struct str q = str_of(f->peer->queue);
    struct msg m = {.type = MSG_POLL};
    m.u.poll.queues = &q;
    m.u.poll.queues_len = 1;
    m.u.poll.capacity = capacity;
    m.u.poll.wait_ms = wait_ms;
    peer_send(f, &m);
}

void peer_complete(struct fixture *f, const struct task_token *t, const char *output,
                   const char *error)
{
    struct str q = str_of(f->peer->queue);
    struct msg_completion c = {.token = *t};
    c.status = error != NULL ? MSG_COMPLETION_FAILURE : MSG_COMPLETION_SUCCESS;
    c.output = str_of(output);
    c.error = str_of(error);
    struct msg m = {.type = MSG_POLL};
    m.u.poll.queues = &q;
    m.u.poll.queues_len = 1;
    m.u.poll.capacity = f->hold ? 0 : 1;
    m.u.poll.completions = &c;
    m.u.poll.completions_len = 1;
    peer_send(f, &m);
}

void peer_token(struct fixture *f, const struct task_token *t, const char *output,
                const char *error)
{
    struct msg m = {.type = error != NULL ? MSG_TASK_FAILURE : MSG_TASK_SUCCESS};
    if (error != NULL) {
        m.u.task_failure.token = *t;
        m.u.task_failure.error = str_of(error);
        m.u.task_failure.cause = STR("by token");
    } else {
        m.u.task_success.token = *t;
        m.u.task_success.output = str_of(output);
    }
    peer_send(f, &m);
}

void peer_heartbeat(struct fixture *f, const struct task_token *t)
{
    struct msg m = {.type = MSG_HEARTBEAT};
    m.u.heartbeat.tokens = t;
    m.u.heartbeat.tokens_len = 1;
    peer_send(f, &m);
}

void peer_stop(struct fixture *f, const char *execution)
{
    struct msg m = {.type = MSG_STOP};
    m.u.stop.execution = str_of(execution);
    m.u.stop.error = STR("Stopped");
    peer_send(f, &m);
}

const char *fixture_start(struct fixture *f, const char *workflow, const char *name,
                          const char *input)
{
    uint32_t n = f->started;
    peer_start(f, workflow, name, input);
    RUN_UNTIL(f, f->started > n, 10 * US_PER_S);
    return f->execution[n % ARRAY_LEN(f->execution)];
}

void fixture_hold(struct fixture *f, const char *queue, uint32_t n)
{
    f->hold = true;
    peer_poll(f, queue, n - f->held_len, 30000);
    RUN_UNTIL(f, f->held_len >= n, 30 * US_PER_S);
}

void fixture_end(struct fixture *f, const char *execution, int64_t us)
{
    uint32_t before = f->ended;
    int64_t until = f->world->now_us + us;
    while (f->ended == before && f->world->now_us < until) {
        peer_watch(f, execution);
        world_run(f->world, MIN(until, f->world->now_us + 61 * US_PER_S));
    }
    ck_assert_msg(f->ended > before, "not ended (last error %u \"%s\")", f->last_error,
                  f->last_text);
}

void fixture_restart(struct fixture *f)
{
    host_crash_and_restart(f->node_host, US_PER_S);
    RUN_UNTIL(f, !f->active, 10 * US_PER_S);
    RUN_UNTIL(f, f->active && f->peer->greeted, 60 * US_PER_S);
}

/* ---- the node ---- */

static void on_started(struct node_events *ev, enum err e, struct str address, struct str detail)
{
    (void)ev;
    (void)address;
    ck_assert_msg(e == ERR_OK, "%.*s", STR_ARG(detail));
}

static void on_state(struct node_events *ev, enum owner_state s)
{
    CONTAINER_OF(ev, struct fixture, events)->active = s == OWNER_ACTIVE;
}

static void on_stopped(struct node_events *ev)
{
    CONTAINER_OF(ev, struct fixture, events)->stopped = true;
}

static void node_boot(struct host *h)
{
    struct fixture *f = h->user;
    struct node_ports ports = {.loops = &h->factory,
                               .clock = &h->clock.base,
                               .transport = &f->net->base,
                               .store = &f->store->base,
                               .coord = coord_db_new(), /* goes with the host */
                               .faults = &f->faults,
                               .seed = f->world->seed + h->lives};
    f->node = node_start(&f->config, &ports, &f->events);
}

static void node_gone(struct host *h)
{
    struct fixture *f = h->user;
    f->node = NULL;
    f->active = false;
}

void fixture_stop_node(struct host *h)
{
    node_stop(((struct fixture *)h->user)->node);
}

void fixture_setup(struct fixture *f, uint64_t seed)
{
    fixture_setup_with(f, seed, 0);
}

void fixture_setup_with(struct fixture *f, uint64_t seed, uint32_t requests_max)
{
    memset(f, 0, sizeof(*f));
    f->world = world_new(seed, false, false);
    f->net = sim_net_new(f->world);
    f->store = sim_store_new(f->world, 0, 16);
    fault_init(&f->faults, NULL, NULL);
    node_config_defaults(&f->config);
    f->config.listen = STR("tcp://node:7070");
    f->config.window_us = 20 * US_PER_S;
    f->config.promote_us = 5 * US_PER_S;
    f->config.requests_max = requests_max != 0 ? requests_max : f->config.requests_max;
    f->config.turn_loops = seed % 3 == 0 ? 0 : (uint32_t)(seed % 3);
    f->events =
        (struct node_events){.started = on_started, .state = on_state, .stopped = on_stopped};
    f->node_host = host_new(f->world, "node");
    f->node_host->boot = node_boot;
    f->node_host->gone = node_gone;
    f->node_host->user = f;
    f->peer_host = host_new(f->world, "peer");
    f->peer_host->boot = peer_boot;
    f->peer_host->user = f;
    host_boot(f->node_host);
    RUN_UNTIL(f, f->active, 60 * US_PER_S);
    host_boot(f->peer_host);
    RUN_UNTIL(f, f->peer != NULL && f->peer->greeted, 10 * US_PER_S);
}

void fixture_teardown(struct fixture *f)
{
    world_free(f->world);
    sim_store_free(f->store);
    sim_net_free(f->net);
}

/* ---- two nodes on one database ---- */

static void second_started(struct node_events *ev, enum err e, struct str address,
                           struct str detail)
{
    (void)ev;
    (void)address;
    ck_assert_msg(e == ERR_OK, "%.*s", STR_ARG(detail));
}

static void second_state(struct node_events *ev, enum owner_state s)
{
    struct second *n = CONTAINER_OF(ev, struct second, events);
    n->active = s == OWNER_ACTIVE;
    n->standby = s == OWNER_STANDBY;
}

static void second_stopped(struct node_events *ev)
{
    (void)ev;
}

static void second_boot(struct host *h)
{
    struct second *n = h->user;
    struct node_ports ports = {.loops = &h->factory,
                               .clock = &h->clock.base,
                               .transport = &n->f->net->base,
                               .store = &n->f->store->base,
                               .coord = coord_db_new(),
                               .seed = n->f->world->seed + 1000 + h->lives};
    n->node = node_start(&n->config, &ports, &n->events);
}

struct host *fixture_second(struct fixture *f, struct second *n)
{
    memset(n, 0, sizeof(*n));
    n->f = f;
    n->config = f->config;
    n->config.node_id = STR("node-2");
    n->config.listen = STR("tcp://node2:7070");
    n->events = (struct node_events){.started = second_started,
                                     .state = second_state,
                                     .stopped = second_stopped};
    struct host *h = host_new(f->world, "node2");
    h->boot = second_boot;
    h->user = n;
    host_boot(h);
    RUN_UNTIL(f, n->standby, 60 * US_PER_S);
    return h;
}
