/* Clients of any behaviour against a node: the production engine on the simulator's store and network. The
 * input is a script: frames of raw bytes, frames of many like messages made of what the clients have been
 * told (tokens, ids), connections that break, time that passes, a node that pauses or dies, a store that
 * goes away. Whatever comes, the node lives, every answer can be read, its memory stays bounded, and an
 * orderly stop at the end leaves nothing behind. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/node.h"
#include "coord/coord.h"
#include "net/msg.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_store.h"

enum {
    CONNS = 3,
    TOKENS = 64,
    IDS = 16,
    OPS_MAX = 150,
    MESSAGES_MAX = 8000,       /* of one script, so that it ends */
    BYTES_MAX = 16 << 20,      /* likewise, of its frames */
    NODE_BYTES_MAX = 48 << 20, /* what the node may take while it runs */
    SCRIPT_TIME_US = 600 * US_PER_S,
};

struct script {
    const uint8_t *p;
    size_t left;
    uint32_t messages;
    size_t bytes; /* of frames */
};

struct client {
    struct fuzz *f;
    struct net_dialer *dialer;
    struct net_dial_handler handler;
    bool up;
    uint64_t next_id;
};

struct fuzz {
    struct world *world;
    struct sim_net *net;
    struct sim_store *store;
    struct host *node_host, *host; /* the clients' */
    struct loop *loop;
    struct node *node;
    struct coord *coord; /* the node's, goes with its host */
    struct node_config config;
    struct node_events events;
    struct fault_set faults;
    bool active, started, stopped;
    struct client clients[CONNS];
    struct task_token tokens[TOKENS];
    char ids[IDS][EXEC_ID_TEXT + 1];
    uint32_t tokens_len, ids_len;
    struct buf frame;
};

/* ---- the script ---- */

static uint8_t byte(struct script *s)
{
    if (s->left == 0) {
        return 0;
    }
    s->left--;
    return *s->p++;
}

static uint32_t pick(struct script *s, const uint32_t *table, size_t len)
{
    return table[byte(s) % len];
}

static uint32_t pick_count(struct script *s)
{
    static const uint32_t counts[] = {1, 1, 2, 7, 64, 1000};
    return pick(s, counts, ARRAY_LEN(counts));
}

static uint32_t pick_number(struct script *s)
{
    static const uint32_t numbers[] = {0, 1, 2, 10, 100, 1000, 59999, UINT32_MAX};
    return pick(s, numbers, ARRAY_LEN(numbers));
}

static uint32_t pick_wait_ms(struct script *s)
{
    uint32_t ms = pick_number(s);
    return MIN(ms, (uint32_t)POLL_WAIT_MAX_MS);
}

/* ---- the node ---- */

static void on_started(struct node_events *ev, enum err e, struct str address, struct str detail)
{
    (void)address;
    (void)detail;
    ASSERT(e == ERR_OK);
    CONTAINER_OF(ev, struct fuzz, events)->started = true;
}

static void on_state(struct node_events *ev, enum owner_state s)
{
    CONTAINER_OF(ev, struct fuzz, events)->active = s == OWNER_ACTIVE;
}

static void on_stopped(struct node_events *ev)
{
    CONTAINER_OF(ev, struct fuzz, events)->stopped = true;
}

static void node_boot(struct host *h)
{
    struct fuzz *f = h->user;
    struct node_ports ports = {.loops = &h->factory,
                               .clock = &h->clock.base,
                               .transport = &f->net->base,
                               .store = &f->store->base,
                               .coord = f->coord = coord_db_new(),
                               .faults = &f->faults,
                               .seed = 7 + h->lives};
    f->started = false;
    f->node = node_start(&f->config, &ports, &f->events);
}

static void node_gone(struct host *h)
{
    struct fuzz *f = h->user;
    f->node = NULL;
    f->coord = NULL;
    f->active = f->started = false;
}

static void node_stops(struct host *h)
{
    node_stop(((struct fuzz *)h->user)->node);
}

static void node_frees(struct host *h)
{
    struct fuzz *f = h->user;
    node_free(f->node);
    coord_db_free(f->coord);
}

/* ---- clients ---- */

static void client_told(struct fuzz *f, const struct msg *m)
{
    if (m->type == MSG_START_OK) {
        (void)snprintf(f->ids[f->ids_len++ % IDS], EXEC_ID_TEXT + 1, "%.*s",
                       STR_ARG(m->u.start_ok.execution));
    }
    for (uint32_t i = 0; m->type == MSG_POLL_OK && i < m->u.poll_ok.tasks_len; i++) {
        f->tokens[f->tokens_len++ % TOKENS] = m->u.poll_ok.tasks[i].token;
    }
}

static void on_reply(struct net_dial_handler *h, uint64_t id, struct str body)
{
    (void)id;
    struct fuzz *f = CONTAINER_OF(h, struct client, handler)->f;
    struct arena a;
    struct msg_reader r;
    struct msg m;
    enum err e;
    struct mem_region *region = world_outside();
    arena_init(&a, 0);
    ASSERT(msg_reader_begin(&r, body, &a, NULL) == ERR_OK);
    while (msg_reader_next(&r, &m, &e, NULL)) {
        ASSERT(e == ERR_OK);
        client_told(f, &m);
    }
    ASSERT(msg_reader_end(&r, NULL) == ERR_OK);
    arena_fini(&a);
    world_inside(region);
}

static void on_up(struct net_dial_handler *h)
{
    CONTAINER_OF(h, struct client, handler)->up = true;
}

static void on_down(struct net_dial_handler *h)
{
    CONTAINER_OF(h, struct client, handler)->up = false;
}

static void clients_boot(struct host *h)
{
    struct fuzz *f = h->user;
    struct err_detail d = {0};
    f->loop = h->factory.make(&h->factory, "clients");
    for (int i = 0; i < CONNS; i++) {
        struct client *c = &f->clients[i];
        c->f = f;
        c->handler = (struct net_dial_handler){.up = on_up, .down = on_down, .reply = on_reply};
        enum err e = f->net->base.ops->dial(&f->net->base, f->loop, f->config.listen, &c->handler,
                                            &c->dialer, &d);
        ASSERT(e == ERR_OK);
    }
}

/* A dialer is used on its own loop. */
struct sending {
    struct loop_task task;
    struct client *c;
    struct str frame;
    bool done;
};
static struct sending sending;

static void send_run(struct loop_task *t)
{
    (void)t;
    struct client *c = sending.c;
    (void)!c->dialer->ops->send(c->dialer, ++c->next_id, sending.frame);
    sending.done = true;
}

static void send_post(struct host *h)
{
    sending.task = (struct loop_task){.run = send_run, .name = "sends"};
    loop_post(((struct fuzz *)h->user)->loop, &sending.task);
}

static void frame_send(struct fuzz *f, struct client *c, struct str frame)
{
    if (c->up) {
        sending = (struct sending){.c = c, .frame = frame};
        host_run(f->host, send_post);
        while (!sending.done && world_step(f->world, INT64_MAX)) {
        }
    }
}

/* ---- messages ---- */

/* So many bytes of a JSON string. */
static struct str payload(struct script *s)
{
    static char text[PAYLOAD_SIZE_MAX + 2];
    uint32_t size = 2u << (byte(s) % 18);
    if (text[0] == '\0') {
        memset(text, 'x', sizeof(text));
    }
    if (s->bytes + size > BYTES_MAX) {
        size = 2;
    }
    static char cut[PAYLOAD_SIZE_MAX + 2];
    memcpy(cut, text, size);
    cut[0] = cut[size - 1] = '"';
    return (struct str){cut, size};
}

static struct task_token some_token(struct fuzz *f, struct script *s)
{
    uint8_t which = byte(s);
    struct task_token t = f->tokens[which % TOKENS];
    if (which >= 192) {
        t.nonce++; /* nobody's */
    }
    return t;
}

static struct str some_id(struct fuzz *f, struct script *s)
{
    return str_of(f->ids[byte(s) % IDS]);
}

static struct str some_queue(struct script *s)
{
    static const char *const names[] = {"work", "other", "", "q"};
    return str_of(names[byte(s) % ARRAY_LEN(names)]);
}

static struct str some_workflow(struct script *s)
{
    static const char *const names[] = {"one", "wait", "none", "loop"};
    return str_of(names[byte(s) % ARRAY_LEN(names)]);
}

static struct str definition(struct script *s)
{
    static const char *const texts[] = {
        "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:work\","
        "\"End\":true}}}",
        "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Wait\",\"Seconds\":20,\"Next\":\"B\"},"
        "\"B\":{\"Type\":\"Task\",\"Resource\":\"queue:other\",\"TimeoutSeconds\":30,"
        "\"HeartbeatSeconds\":9,\"Retry\":[{\"ErrorEquals\":[\"States.ALL\"]}],\"End\":true}}}",
        "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:work\","
        "\"ResultPath\":null,\"Next\":\"C\"},\"C\":{\"Type\":\"Choice\",\"Choices\":[{"
        "\"Variable\":\"$\",\"IsNull\":true,\"Next\":\"D\"}],\"Default\":\"A\"},"
        "\"D\":{\"Type\":\"Succeed\"}}}",
        "{\"StartAt\":\"A\"}",
    };
    return str_of(texts[byte(s) % ARRAY_LEN(texts)]);
}

enum { LIST = 100 };
struct lists {
    struct str queues[LIST];
    struct task_token tokens[LIST];
    struct msg_completion done[LIST];
};

static void poll_fill(struct fuzz *f, struct script *s, struct lists *l, struct msg_poll *m)
{
    static const uint32_t capacities[] = {0, 1, 7, 1000};
    *m = (struct msg_poll){.queues = l->queues, .completions = l->done, .dropped = l->tokens};
    uint8_t queues = byte(s);
    m->queues_len = queues % 8 == 7 ? (uint32_t)LIST : queues % 4;
    m->capacity = pick(s, capacities, ARRAY_LEN(capacities));
    m->wait_ms = pick_wait_ms(s);
    m->completions_len = byte(s) % 6;
    m->dropped_len = byte(s) % 3;
    for (uint32_t i = 0; i < m->queues_len; i++) {
        l->queues[i] = some_queue(s);
    }
    struct str output = payload(s);
    for (uint32_t i = 0; i < m->completions_len; i++) {
        l->done[i] = (struct msg_completion){.token = some_token(f, s),
                                             .status = byte(s) % 2,
                                             .output = output,
                                             .error = STR("E")};
    }
    for (uint32_t i = 0; i < m->dropped_len; i++) {
        l->tokens[i] = some_token(f, s);
    }
}

static void hello_fill(struct fuzz *f, struct script *s, struct lists *l, struct msg_hello *m)
{
    static const char *const tenants[] = {"", "a", "b", "not a name"};
    *m = (struct msg_hello){.protocol = MSG_PROTOCOL, .name = STR("fuzz"), .held = l->tokens};
    m->tenant = str_of(tenants[byte(s) % ARRAY_LEN(tenants)]);
    m->instance = byte(s) % 4;
    m->held_len = byte(s) % 8;
    for (uint32_t i = 0; i < m->held_len; i++) {
        l->tokens[i] = some_token(f, s);
    }
}

/* One message of any kind. */
static void message_fill(struct fuzz *f, struct script *s, struct lists *l, struct msg *m)
{
    static const enum msg_type types[] = {MSG_HELLO,     MSG_START,        MSG_POLL,
                                          MSG_HEARTBEAT, MSG_WATCH,        MSG_HISTORY,
                                          MSG_DESCRIBE,  MSG_STOP,         MSG_TASK_SUCCESS,
                                          MSG_DEF_PUT,   MSG_LIST,         MSG_DEF_GET,
                                          MSG_DEF_LIST,  MSG_TASK_FAILURE, MSG_STATUS,
                                          MSG_POLL,      MSG_HEARTBEAT};
    *m = (struct msg){.type = types[byte(s) % ARRAY_LEN(types)]};
    switch ((unsigned)m->type) {
    case MSG_HELLO:
        hello_fill(f, s, l, &m->u.hello);
        break;
    case MSG_START:
        m->u.start.workflow = some_workflow(s);
        m->u.start.name = byte(s) % 2 ? STR_NONE : STR("x");
        m->u.start.input = payload(s);
        break;
    case MSG_POLL:
        poll_fill(f, s, l, &m->u.poll);
        break;
    case MSG_HEARTBEAT:
        m->u.heartbeat.tokens = l->tokens;
        m->u.heartbeat.tokens_len = byte(s) % LIST;
        for (uint32_t i = 0; i < m->u.heartbeat.tokens_len; i++) {
            l->tokens[i] = f->tokens[(i + f->tokens_len) % TOKENS];
        }
        break;
    case MSG_WATCH:
        m->u.watch.execution = some_id(f, s);
        m->u.watch.wait_ms = pick_wait_ms(s);
        break;
    case MSG_HISTORY:
        m->u.history.execution = some_id(f, s);
        m->u.history.after_event = pick_number(s);
        m->u.history.limit = pick_number(s);
        m->u.history.reverse = byte(s) % 2;
        break;
    case MSG_DESCRIBE:
        m->u.describe.execution = some_id(f, s);
        m->u.describe.workflow = some_workflow(s);
        m->u.describe.name = STR("x");
        break;
    case MSG_STOP:
        m->u.stop.execution = some_id(f, s);
        break;
    case MSG_TASK_SUCCESS:
        m->u.task_success.token = some_token(f, s);
        m->u.task_success.output = payload(s);
        break;
    case MSG_TASK_FAILURE:
        m->u.task_failure.token = some_token(f, s);
        m->u.task_failure.error = STR("E");
        break;
    case MSG_DEF_PUT:
        m->u.def_put.workflow = some_workflow(s);
        m->u.def_put.text = definition(s);
        break;
    case MSG_LIST:
        m->u.list.limit = pick_number(s);
        break;
    case MSG_DEF_GET:
        m->u.def_get.workflow = some_workflow(s);
        break;
    case MSG_DEF_LIST:
        m->u.def_list.limit = pick_number(s);
        break;
    default:
        break;
    }
}

/* A frame of several messages, each as often as it says, as far as they fit. */
static void op_frame(struct fuzz *f, struct script *s, struct client *c)
{
    static struct lists lists;
    struct msg_writer w;
    uint32_t kinds = 1 + byte(s) % 4;
    buf_clear(&f->frame);
    msg_writer_begin(&w, &f->frame);
    for (uint32_t k = 0; k < kinds; k++) {
        struct msg m;
        message_fill(f, s, &lists, &m);
        uint32_t n = pick_count(s);
        for (uint32_t i = 0; i < n && s->messages < MESSAGES_MAX; i++, s->messages++) {
            m.corr = i + 1;
            if (s->bytes + f->frame.size > BYTES_MAX || msg_writer_add(&w, &m, NULL) != ERR_OK) {
                break;
            }
        }
    }
    msg_writer_end(&w);
    s->bytes += f->frame.size;
    frame_send(f, c, buf_str(&f->frame));
}

static void op_raw(struct fuzz *f, struct script *s, struct client *c)
{
    size_t asked = byte(s);
    asked <<= byte(s) % 4;
    size_t size = MIN(asked, s->left);
    frame_send(f, c, (struct str){(const char *)s->p, size});
    s->p += size;
    s->left -= size;
}

/* The usual beginning, so that short scripts get far: hello, and definitions. */
static void op_begin(struct fuzz *f, struct script *s, struct client *c)
{
    static const char *const names[] = {"one", "wait", "loop"};
    static const uint8_t which[] = {0, 1, 2};
    struct msg_writer w;
    struct msg m = {.type = MSG_HELLO, .corr = 1};
    m.u.hello = (struct msg_hello){.protocol = MSG_PROTOCOL,
                                   .name = STR("fuzz"),
                                   .tenant = STR("a"),
                                   .instance = 1 + byte(s) % 3};
    buf_clear(&f->frame);
    msg_writer_begin(&w, &f->frame);
    ASSERT(msg_writer_add(&w, &m, NULL) == ERR_OK);
    msg_writer_end(&w);
    frame_send(f, c, buf_str(&f->frame));
    world_run(f->world, f->world->now_us + 20 * US_PER_MS);
    buf_clear(&f->frame);
    msg_writer_begin(&w, &f->frame);
    for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
        struct script def = {.p = &which[i], .left = 1};
        m = (struct msg){.type = MSG_DEF_PUT, .corr = i + 1};
        m.u.def_put.workflow = str_of(names[i]);
        m.u.def_put.text = definition(&def);
        ASSERT(msg_writer_add(&w, &m, NULL) == ERR_OK);
    }
    msg_writer_end(&w);
    frame_send(f, c, buf_str(&f->frame));
    world_run(f->world, f->world->now_us + 20 * US_PER_MS);
}

/* ---- what happens around ---- */

static void op_world(struct fuzz *f, struct script *s)
{
    int64_t us = US_PER_MS << (byte(s) % 17); /* to a minute and more */
    switch (byte(s) % 5) {
    case 0:
        (void)sim_net_reset(f->net, f->host, f->node_host);
        break;
    case 1:
        sim_store_away(f->store, MIN(us, 20 * (int64_t)US_PER_S));
        break;
    case 2:
        host_pause(f->node_host, MIN(us, 30 * (int64_t)US_PER_S));
        break;
    case 3:
        if (f->node_host->up) {
            host_crash_and_restart(f->node_host, MIN(us, US_PER_S));
        }
        break;
    default:
        sim_net_cut(f->net, f->node_host, f->host, MIN(us, 5 * (int64_t)US_PER_S));
        break;
    }
}

static void check_memory(const struct fuzz *f)
{
    if (f->node_host->region.bytes_max > NODE_BYTES_MAX) {
        fprintf(stderr, "the node has taken %zu bytes\n", f->node_host->region.bytes_max);
    }
    ASSERT(f->node_host->region.bytes_max <= NODE_BYTES_MAX);
}

static void script_run(struct fuzz *f, struct script *s)
{
    int64_t end = f->world->now_us + SCRIPT_TIME_US;
    for (int i = 0; i < OPS_MAX && s->left > 0 && f->world->now_us < end; i++) {
        uint8_t op = byte(s);
        struct client *c = &f->clients[op / 16 % CONNS];
        switch (op % 8) {
        case 0:
            op_raw(f, s, c);
            break;
        case 1:
            op_begin(f, s, c);
            break;
        case 2:
        case 3:
            world_run(f->world, f->world->now_us + (US_PER_MS << (byte(s) % 17)));
            break;
        case 4:
            op_world(f, s);
            break;
        default:
            op_frame(f, s, c);
            break;
        }
        check_memory(f);
    }
}

/* ---- life ---- */

static void fuzz_setup(struct fuzz *f, struct script *s)
{
    uint8_t how = byte(s);
    *f = (struct fuzz){.world = world_new(1, false, false)};
    f->net = sim_net_new(f->world);
    f->store = sim_store_new(f->world, 0, 4);
    buf_init(&f->frame, MESSAGE_SIZE_MAX);
    fault_init(&f->faults, NULL, NULL);
    node_config_defaults(&f->config);
    f->config.listen = STR("tcp://node:7070");
    f->config.window_us = 20 * US_PER_S;
    f->config.promote_us = 5 * US_PER_S;
    f->config.cache_bytes = 1 << 20;
    f->config.turn_loops = how % 3;
    f->config.tasks_max = how & 8 ? 0 : 6;
    f->events =
        (struct node_events){.started = on_started, .state = on_state, .stopped = on_stopped};
    f->node_host = host_new(f->world, "node");
    f->node_host->boot = node_boot;
    f->node_host->gone = node_gone;
    f->node_host->user = f;
    f->host = host_new(f->world, "clients");
    f->host->boot = clients_boot;
    f->host->user = f;
    host_boot(f->node_host);
    host_boot(f->host);
    while (!f->active && world_step(f->world, INT64_MAX)) {
    }
    world_run(f->world, f->world->now_us + US_PER_S);
}

/* The clients go, the store is back: the node stops in order and leaves nothing. */
static void fuzz_finish(struct fuzz *f)
{
    host_crash(f->host);
    f->store->away_until = 0;
    sim_net_heal(f->net);
    f->node_host->paused_until = 0;
    world_run(f->world, f->world->now_us + 10 * US_PER_S);
    ASSERT(f->node_host->up && f->started);
    host_run(f->node_host, node_stops);
    world_run(f->world, f->world->now_us + 120 * US_PER_S);
    ASSERT(f->stopped);
    host_run(f->node_host, node_frees);
    ASSERT(f->node_host->region.blocks == 0);
    check_memory(f);
}

static void say_nothing(struct log_sink *sink, enum log_level lvl, const char *line, size_t size)
{
    (void)sink;
    (void)lvl;
    (void)line;
    (void)size;
}

static struct log_sink silence = {.write = say_nothing};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static bool ready;
    struct fuzz f;
    struct script s = {.p = bytes, .left = size};
    if (!ready) {
        mem_regions_enable(); /* before the first block */
        log_set_sink(&silence);
        ready = true;
    }
    fuzz_setup(&f, &s);
    script_run(&f, &s);
    fuzz_finish(&f);
    world_free(f.world);
    sim_store_free(f.store);
    sim_net_free(f.net);
    buf_fini(&f.frame);
    return 0;
}
