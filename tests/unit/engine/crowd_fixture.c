/* More clients: see crowd_fixture.h. */
#include "base/prelude.h"

#include "tests/unit/engine/crowd_fixture.h"

#include "base/mem.h"

static struct crowd *of(struct net_dial_handler *h)
{
    return CONTAINER_OF(h, struct crowd, handler);
}

/* ---- what it is told ---- */

static void on_poll_ok(struct crowd *c, const struct msg_poll_ok *m)
{
    c->polls++;
    for (uint32_t i = 0; i < m->acks_len; i++) {
        c->acked += m->acks[i] == ERR_OK;
        c->stale += m->acks[i] == ERR_STALE;
        c->last_code = m->acks[i];
    }
    for (uint32_t i = 0; i < m->tasks_len; i++) {
        if (c->tasks < CROWD_TOKENS_MAX) {
            c->tokens[c->tasks] = m->tasks[i].token;
        }
        c->tasks++;
    }
}

static void on_msg(struct crowd *c, const struct msg *m)
{
    c->messages++;
    switch ((unsigned)m->type) {
    case MSG_HELLO_OK:
        c->greeted = true;
        break;
    case MSG_DEF_PUT_OK:
        c->defined++;
        break;
    case MSG_START_OK:
        (void)snprintf(c->execution, sizeof(c->execution), "%.*s",
                       STR_ARG(m->u.start_ok.execution));
        c->started++;
        break;
    case MSG_POLL_OK:
        on_poll_ok(c, &m->u.poll_ok);
        break;
    case MSG_HEARTBEAT_OK:
        c->beats++;
        c->last_code = m->u.heartbeat_ok.codes_len > 0 ? m->u.heartbeat_ok.codes[0] : 0;
        break;
    case MSG_WATCH_OK:
        c->watched++;
        c->ended += m->u.watch_ok.ended;
        break;
    case MSG_NODE_STATE:
        c->state = m->u.node_state.state;
        c->states++;
        break;
    case MSG_ERROR:
        c->errors++;
        c->limits += m->u.error.code == ERR_LIMIT;
        c->last_error = m->u.error.code;
        break;
    default:
        break;
    }
    if (c->on_msg != NULL) {
        c->on_msg(c, m);
    }
}

static void on_reply(struct net_dial_handler *h, uint64_t id, struct str body)
{
    (void)id;
    struct crowd *c = of(h);
    struct arena a;
    struct msg_reader r;
    struct msg m;
    enum err e;
    struct err_detail d = {0};
    struct mem_region *region = world_outside();
    arena_init(&a, 0);
    c->frames++;
    ck_assert_msg(msg_reader_begin(&r, body, &a, &d) == ERR_OK, "%s", d.text);
    while (msg_reader_next(&r, &m, &e, &d)) {
        ck_assert_msg(e == ERR_OK, "%s", d.text);
        on_msg(c, &m);
    }
    ck_assert_int_eq(msg_reader_end(&r, &d), ERR_OK);
    arena_fini(&a);
    world_inside(region);
}

/* ---- sending ---- */

/* Tests send from outside of any callback; a dialer is used on its own loop. */
struct sending {
    struct loop_task task;
    struct crowd *c;
    struct str frame;
};
static struct sending sending;

static void send_run(struct loop_task *task)
{
    struct crowd *c = CONTAINER_OF(task, struct sending, task)->c;
    ck_assert_int_eq(c->dialer->ops->send(c->dialer, ++c->next_id, sending.frame), ERR_OK);
    sending.frame = STR_NONE;
}

static void send_post(struct host *h)
{
    struct crowd *c = h->user;
    sending.task = (struct loop_task){.run = send_run, .name = "sends"};
    loop_post(c->loop, &sending.task);
}

void crowd_bytes(struct crowd *c, struct str frame)
{
    sending.c = c;
    sending.frame = frame;
    host_run(c->host, send_post);
    RUN_UNTIL(c->f, sending.frame.p == NULL, US_PER_S);
}

static void frame_write(struct buf *b, struct msg *m, uint32_t n)
{
    struct msg_writer w;
    struct err_detail d = {0};
    msg_writer_begin(&w, b);
    for (uint32_t i = 0; i < n; i++) {
        m->corr = 1 + i;
        ck_assert_msg(msg_writer_add(&w, m, &d) == ERR_OK, "%s", d.text);
    }
    msg_writer_end(&w);
}

void crowd_send(struct crowd *c, struct msg *m, uint32_t n)
{
    struct buf b;
    buf_init(&b, 0);
    frame_write(&b, m, n);
    crowd_bytes(c, buf_str(&b));
    buf_fini(&b);
}

/* ---- the connection ---- */

static void on_up(struct net_dial_handler *h)
{
    struct crowd *c = of(h);
    struct buf b;
    c->up = true;
    if (c->tenant == NULL) {
        return;
    }
    struct msg m = {.type = MSG_HELLO};
    m.u.hello.protocol = MSG_PROTOCOL;
    m.u.hello.name = STR("crowd");
    m.u.hello.tenant = str_of(c->tenant);
    m.u.hello.instance = c->instance;
    buf_init(&b, 0);
    frame_write(&b, &m, 1);
    ck_assert_int_eq(c->dialer->ops->send(c->dialer, ++c->next_id, buf_str(&b)), ERR_OK);
    buf_fini(&b);
}

static void on_down(struct net_dial_handler *h)
{
    struct crowd *c = of(h);
    c->up = c->greeted = false;
    c->downs++;
}

static void boot(struct host *h)
{
    struct crowd *c = h->user;
    struct err_detail d = {0};
    c->loop = h->factory.make(&h->factory, "crowd");
    ck_assert_int_eq(c->f->net->base.ops->dial(&c->f->net->base, c->loop, c->f->config.listen,
                                               &c->handler, &c->dialer, &d),
                     ERR_OK);
}

void crowd_join(struct fixture *f, struct crowd *c, const char *tenant, uint64_t instance)
{
    *c = (struct crowd){.f = f, .tenant = tenant, .instance = instance};
    c->handler = (struct net_dial_handler){.up = on_up, .down = on_down, .reply = on_reply};
    c->host = host_new(f->world, "crowd");
    c->host->boot = boot;
    c->host->user = c;
    host_boot(c->host);
    RUN_UNTIL(f, tenant == NULL ? c->up : c->greeted, 10 * US_PER_S);
}

void crowd_reset(struct crowd *c)
{
    uint32_t downs = c->downs;
    ck_assert_uint_eq(sim_net_reset(c->f->net, c->host, c->f->node_host), 1);
    RUN_UNTIL(c->f, c->downs > downs, 10 * US_PER_S);
    RUN_UNTIL(c->f, c->tenant == NULL ? c->up : c->greeted, 10 * US_PER_S);
}

/* ---- the usual requests ---- */

void crowd_define(struct crowd *c, const char *workflow, const char *text)
{
    uint32_t before = c->defined;
    struct msg m = {.type = MSG_DEF_PUT};
    m.u.def_put.workflow = str_of(workflow);
    m.u.def_put.text = str_of(text);
    crowd_send(c, &m, 1);
    RUN_UNTIL(c->f, c->defined > before, 10 * US_PER_S);
}

void crowd_start(struct crowd *c, const char *workflow, const char *name, struct str input)
{
    uint32_t before = c->started;
    struct msg m = {.type = MSG_START};
    m.u.start.workflow = str_of(workflow);
    m.u.start.name = str_of(name);
    m.u.start.input = input;
    crowd_send(c, &m, 1);
    RUN_UNTIL(c->f, c->started > before, 10 * US_PER_S);
}

void crowd_poll(struct crowd *c, const char *queue, uint32_t capacity, uint32_t wait_ms)
{
    struct str q = str_of(queue);
    struct msg m = {.type = MSG_POLL};
    m.u.poll.queues = &q;
    m.u.poll.queues_len = 1;
    m.u.poll.capacity = capacity;
    m.u.poll.wait_ms = wait_ms;
    crowd_send(c, &m, 1);
}

void crowd_heartbeat(struct crowd *c, const struct task_token *tokens, uint32_t len)
{
    struct msg m = {.type = MSG_HEARTBEAT};
    m.u.heartbeat.tokens = tokens;
    m.u.heartbeat.tokens_len = len;
    crowd_send(c, &m, 1);
}

void crowd_complete(struct crowd *c, const struct task_token *t)
{
    struct msg_completion done = {.token = *t, .output = STR("{}")};
    struct msg m = {.type = MSG_POLL};
    m.u.poll.completions = &done;
    m.u.poll.completions_len = 1;
    crowd_send(c, &m, 1);
}
