/* A cluster small enough for tests: one state in memory behind several listeners of the real
 * transport, each of which may be active, standing by or going away, or lose answers. It knows one
 * kind of workflow: "steps-N" makes N tasks one after the other on the queue "echo", each with the
 * output of the one before as its input. */
#ifndef CARILLON_TESTS_FAKE_NODE_H
#define CARILLON_TESTS_FAKE_NODE_H

#include "base/prelude.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/thread.h"
#include "net/msg.h"
#include "net/transport.h"

enum { FAKE_NODES_MAX = 4, FAKE_CONNS_MAX = 64 };

struct fake_exec {
    struct exec_id id;
    char id_text[EXEC_ID_TEXT + 1], *workflow, *name, *input, *output, error[64];
    uint32_t status, steps_left, steps_done;
    struct fake_exec *next;
};

struct fake_task {
    struct task_token token;
    struct fake_exec *exec;
    uint64_t instance; /* of the worker that has it; 0: nobody */
    struct fake_task *next;
};

struct fake_node {
    struct net_handler handler;
    struct net_listener *listener;
    struct fake_cluster *cluster;
    char address[64];
    unsigned state; /* enum msg_state */
    struct {
        uint64_t conn, instance;
        bool hello;
    } conns[FAKE_CONNS_MAX];
    unsigned conns_len;
};

struct fake_parked {
    struct net_request *request;
    struct fake_node *node;
    struct msg msg; /* POLL or WATCH */
    struct exec_id watched;
    struct fake_parked *next;
};

struct fake_cluster {
    struct loop *loop;
    struct fake_node nodes[FAKE_NODES_MAX];
    struct fake_exec *execs, **execs_last;
    struct fake_task *tasks, **tasks_last;
    struct fake_parked *parked;
    struct rng rng;
    char *definition, *definition_name;
    uint32_t definition_version;
    int64_t heartbeat_ms; /* of tasks */
    /* Every n-th frame is carried out and its answer lost with the connection; 0: none. */
    unsigned lose_every;
    unsigned busy; /* so many next starts are answered with LIMIT */
    _Atomic unsigned frames, lost, polls, describes, starts, accepted, stale, beats, hellos,
        created, requeued;
    _Atomic unsigned named; /* tokens in heartbeats */
    _Atomic unsigned running;
};

static inline void fake_on_loop_run(struct loop_task *t);
struct fake_call {
    struct loop_task task;
    void (*fn)(void *arg);
    void *arg;
    struct latch done;
};
static inline void fake_on_loop_run(struct loop_task *t)
{
    struct fake_call *c = CONTAINER_OF(t, struct fake_call, task);
    c->fn(c->arg);
    latch_set(&c->done, 1);
}
static inline void fake_on_loop(struct loop *l, void (*fn)(void *), void *arg)
{
    struct fake_call c = {.task = {.run = fake_on_loop_run}, .fn = fn, .arg = arg};
    latch_init(&c.done);
    loop_post(l, &c.task);
    ASSERT(latch_wait(&c.done, 60 * (int64_t)US_PER_S) == 1);
    latch_fini(&c.done);
}

static inline char *fake_dup(struct str s)
{
    char *p = mem_alloc(s.size + 1);
    if (s.size > 0) {
        memcpy(p, s.p, s.size);
    }
    return p;
}

static inline struct fake_exec *fake_find(struct fake_cluster *c, struct str id)
{
    for (struct fake_exec *x = c->execs; x != NULL; x = x->next) {
        if (str_eqc(id, x->id_text)) {
            return x;
        }
    }
    return NULL;
}

static inline struct fake_exec *fake_by_name(struct fake_cluster *c, struct str workflow,
                                             struct str name)
{
    for (struct fake_exec *x = c->execs; x != NULL; x = x->next) {
        if (str_eqc(name, x->name) && str_eqc(workflow, x->workflow)) {
            return x;
        }
    }
    return NULL;
}

static inline void fake_new_task(struct fake_cluster *c, struct fake_exec *x)
{
    struct fake_task *t = MEM_NEW(struct fake_task);
    t->exec = x;
    t->token = (struct task_token){.ref = {.exec = x->id, .seq = ++x->steps_done, .attempt = 1},
                                   .nonce = rng_u64(&c->rng)};
    *c->tasks_last = t;
    c->tasks_last = &t->next;
}

static inline void fake_unlink_task(struct fake_cluster *c, struct fake_task **at)
{
    struct fake_task *t = *at;
    *at = t->next;
    if (*at == NULL) {
        c->tasks_last = at;
    }
    mem_free(t);
}

static inline void fake_end(struct fake_cluster *c, struct fake_exec *x, uint32_t status)
{
    x->status = status;
    c->running--;
}

/* The first outcome that finds the task wins. */
static inline enum err fake_outcome(struct fake_cluster *c, const struct task_token *token,
                                    bool success, struct str output, struct str error)
{
    for (struct fake_task **at = &c->tasks; *at != NULL; at = &(*at)->next) {
        if (task_token_eq(&(*at)->token, token)) {
            struct fake_exec *x = (*at)->exec;
            fake_unlink_task(c, at);
            c->accepted++;
            mem_free(x->output);
            x->output = fake_dup(output.p != NULL ? output : STR("{}"));
            if (!success) {
                snprintf(x->error, sizeof(x->error), "%.*s", STR_ARG(error));
                fake_end(c, x, 3);
            } else if (--x->steps_left > 0) {
                fake_new_task(c, x);
            } else {
                fake_end(c, x, 2);
            }
            return ERR_OK;
        }
    }
    c->stale++;
    return ERR_STALE;
}

static inline struct str fake_input(const struct fake_task *t)
{
    return str_of(t->exec->output != NULL ? t->exec->output : t->exec->input);
}

static inline uint32_t fake_grant(struct fake_cluster *c, uint32_t capacity, uint64_t instance,
                                  struct msg_task *out)
{
    uint32_t len = 0;
    for (struct fake_task *t = c->tasks; t != NULL && len < capacity; t = t->next) {
        if (t->instance == 0) {
            t->instance = instance;
            out[len++] = (struct msg_task){.token = t->token,
                                           .queue = STR("echo"),
                                           .workflow = str_of(t->exec->workflow),
                                           .name = str_of(t->exec->name),
                                           .execution = str_of(t->exec->id_text),
                                           .state = STR("Echo"),
                                           .attempt = 1,
                                           .input = fake_input(t),
                                           .heartbeat_ms = c->heartbeat_ms};
        }
    }
    return len;
}

static inline struct msg fake_error(enum err e, const char *text)
{
    struct msg m = {.type = MSG_ERROR};
    m.u.error.code = (uint32_t)e;
    m.u.error.text = str_of(text);
    return m;
}

static inline int fake_conn(struct fake_node *n, uint64_t conn)
{
    for (unsigned i = 0; i < n->conns_len; i++) {
        if (n->conns[i].conn == conn) {
            return (int)i;
        }
    }
    ASSERT(n->conns_len < FAKE_CONNS_MAX);
    n->conns[n->conns_len].conn = conn;
    return (int)n->conns_len++;
}

static inline void fake_hello(struct fake_node *n, uint64_t conn, const struct msg_hello *in,
                              struct msg *out)
{
    struct fake_cluster *c = n->cluster;
    int i = fake_conn(n, conn);
    c->hellos++;
    n->conns[i].hello = true;
    n->conns[i].instance = in->instance;
    for (struct fake_task *t = c->tasks; t != NULL; t = t->next) {
        bool held = false;
        for (uint32_t k = 0; k < in->held_len; k++) {
            held = held || task_token_eq(&in->held[k], &t->token);
        }
        if (t->instance == in->instance && !held) {
            t->instance = 0; /* granted in an answer that never came */
            c->requeued++;
        }
    }
    out->type = MSG_HELLO_OK;
    out->u.hello_ok = (struct msg_hello_ok){.protocol = 1,
                                            .node = STR("fake"),
                                            .version = STR("0"),
                                            .state = n->state,
                                            .heartbeat_ms = 200};
}

static inline void fake_start(struct fake_cluster *c, const struct msg_start *in, struct msg *out)
{
    unsigned steps = 0;
    c->starts++;
    if (c->busy > 0) {
        c->busy--;
        *out = fake_error(ERR_LIMIT, "busy");
        out->u.error.retry_after_ms = 10;
        return;
    }
    if (sscanf(in->workflow.p, "steps-%u", &steps) != 1) {
        *out = fake_error(ERR_NO_WORKFLOW, "no such workflow");
        return;
    }
    struct fake_exec *x = fake_by_name(c, in->workflow, in->name);
    struct str input = in->input.p != NULL ? in->input : STR("{}");
    bool created = x == NULL;
    if (x != NULL && !str_eqc(input, x->input)) {
        *out = fake_error(ERR_EXISTS, "name taken");
        return;
    }
    if (created) {
        x = MEM_NEW(struct fake_exec);
        x->id = exec_id_make(1, slot_of(1, in->workflow, in->name), 1,
                             (struct wall){1795000000LL * US_PER_S}, &c->rng);
        exec_id_format(&x->id, x->id_text);
        x->workflow = fake_dup(in->workflow);
        x->name = fake_dup(in->name);
        x->input = fake_dup(input);
        x->status = 1;
        x->steps_left = steps;
        *c->execs_last = x;
        c->execs_last = &x->next;
        c->created++;
        c->running++;
        fake_new_task(c, x);
    }
    out->type = MSG_START_OK;
    out->u.start_ok = (struct msg_start_ok){.execution = str_of(x->id_text),
                                            .created = created,
                                            .started_at_ms = 1795000000000,
                                            .name = str_of(x->name)};
}

static inline void fake_describe(struct fake_exec *x, struct msg *out)
{
    out->type = MSG_DESCRIBE_OK;
    out->u.describe_ok =
        (struct msg_describe_ok){.execution = str_of(x->id_text),
                                 .workflow = str_of(x->workflow),
                                 .name = str_of(x->name),
                                 .status = x->status,
                                 .input = str_of(x->input),
                                 .output = x->status == 2 ? str_of(x->output) : STR_NONE,
                                 .error = x->status == 3 ? str_of(x->error) : STR_NONE,
                                 .started_at_ms = 1795000000000,
                                 .event_count = x->steps_done,
                                 .workflow_version = 1};
}

static inline void fake_list(struct fake_cluster *c, struct arena *a, const struct msg_list *in,
                             struct msg *out)
{
    struct msg_list_row *rows = ARENA_ARRAY(a, struct msg_list_row, MSG_ROWS_MAX);
    uint32_t limit = in->limit == 0 ? 100 : in->limit;
    uint64_t skip = 0;
    uint32_t len = 0;
    uint64_t at = 0;
    (void)!str_to_u64(in->cursor, &skip);
    out->type = MSG_LIST_OK;
    for (struct fake_exec *x = c->execs; x != NULL; x = x->next, at++) {
        if (at < skip) {
            continue;
        }
        if (len == limit) {
            out->u.list_ok.cursor = str_of(arena_printf(a, "%" PRIu64, at));
            break;
        }
        rows[len++] = (struct msg_list_row){.execution = str_of(x->id_text),
                                            .workflow = str_of(x->workflow),
                                            .name = str_of(x->name),
                                            .status = x->status};
    }
    out->u.list_ok.rows = rows;
    out->u.list_ok.rows_len = len;
}

static inline void fake_stop(struct fake_cluster *c, struct fake_exec *x, struct msg *out)
{
    for (struct fake_task **at = &c->tasks; *at != NULL;) {
        if ((*at)->exec == x) {
            fake_unlink_task(c, at);
        } else {
            at = &(*at)->next;
        }
    }
    if (x->status == 1) {
        fake_end(c, x, 5);
    }
    out->type = MSG_STOP_OK;
    out->u.stop_ok.stopped_at_ms = 1795000001000;
}

static inline void fake_beat(struct fake_cluster *c, struct arena *a,
                             const struct msg_heartbeat *in, struct msg *out)
{
    uint32_t *codes = ARENA_ARRAY(a, uint32_t, in->tokens_len + 1);
    c->beats++;
    c->named += in->tokens_len;
    for (uint32_t i = 0; i < in->tokens_len; i++) {
        codes[i] = ERR_STOPPED;
        for (struct fake_task *t = c->tasks; t != NULL; t = t->next) {
            if (task_token_eq(&t->token, &in->tokens[i])) {
                codes[i] = ERR_OK;
            }
        }
    }
    out->type = MSG_HEARTBEAT_OK;
    out->u.heartbeat_ok = (struct msg_heartbeat_ok){.codes = codes, .codes_len = in->tokens_len};
}

static inline void fake_def(struct fake_cluster *c, struct arena *a, const struct msg *in,
                            struct msg *out)
{
    static const struct msg_problem problem = {.line = 3,
                                               .col = 7,
                                               .pointer = STR("/States/A"),
                                               .message = STR("no such state")};
    struct msg_def_row *row = ARENA_NEW(a, struct msg_def_row);
    switch ((int)in->type) {
    case MSG_DEF_PUT:
        if (str_eqc(in->u.def_put.text, "bad")) {
            *out = fake_error(ERR_DEFINITION, "1 problem");
            out->u.error.problems = &problem;
            out->u.error.problems_len = 1;
            return;
        }
        mem_free(c->definition);
        mem_free(c->definition_name);
        c->definition = fake_dup(in->u.def_put.text);
        c->definition_name = fake_dup(in->u.def_put.workflow);
        out->type = MSG_DEF_PUT_OK;
        out->u.def_put_ok =
            (struct msg_def_put_ok){.version = ++c->definition_version, .created = true};
        return;
    case MSG_DEF_GET:
        if (c->definition == NULL) {
            *out = fake_error(ERR_NO_WORKFLOW, "no such workflow");
            return;
        }
        out->type = MSG_DEF_GET_OK;
        out->u.def_get_ok = (struct msg_def_get_ok){.workflow = str_of(c->definition_name),
                                                    .version = c->definition_version,
                                                    .text = str_of(c->definition)};
        return;
    case MSG_DEF_LIST:
        *row = (struct msg_def_row){.workflow = str_of(c->definition_name),
                                    .version = c->definition_version};
        out->type = MSG_DEF_LIST_OK;
        out->u.def_list_ok.rows = row;
        out->u.def_list_ok.rows_len = c->definition != NULL ? 1 : 0;
        return;
    default:
        mem_free(c->definition);
        c->definition = NULL;
        out->type = MSG_DEF_DELETE_OK;
    }
}

/* False: the request is parked (it was alone in its frame). */
// NOLINTNEXTLINE(readability-function-size): a row for each message
static inline bool fake_handle(struct fake_node *n, struct net_request *r, struct arena *a,
                               const struct msg *in, struct msg *out)
{
    struct fake_cluster *c = n->cluster;
    *out = (struct msg){.type = MSG_TASK_OK};
    if (in->type != MSG_HELLO && !n->conns[fake_conn(n, r->conn)].hello) {
        *out = fake_error(ERR_PROTOCOL, "hello first");
        return true;
    }
    if (in->type != MSG_HELLO && n->state == MSG_NODE_GOING_AWAY && in->type != MSG_POLL) {
        *out = fake_error(ERR_GOING_AWAY, "going away");
        return true;
    }
    if (in->type != MSG_HELLO && n->state == MSG_NODE_STANDBY) {
        *out = fake_error(ERR_STANDBY, "standing by");
        return true;
    }
    struct fake_exec *x = NULL;
    uint64_t instance = n->conns[fake_conn(n, r->conn)].instance;
    switch ((int)in->type) {
    case MSG_HELLO:
        fake_hello(n, r->conn, &in->u.hello, out);
        break;
    case MSG_START:
        fake_start(c, &in->u.start, out);
        break;
    case MSG_DESCRIBE:
        c->describes++;
        x = in->u.describe.execution.size > 0
                ? fake_find(c, in->u.describe.execution)
                : fake_by_name(c, in->u.describe.workflow, in->u.describe.name);
        if (x == NULL) {
            *out = fake_error(ERR_NO_EXECUTION, "no such execution");
        } else {
            fake_describe(x, out);
        }
        break;
    case MSG_LIST:
        fake_list(c, a, &in->u.list, out);
        break;
    case MSG_HISTORY: {
        struct str *events = ARENA_ARRAY(a, struct str, 2);
        events[0] = STR("{\"id\":1}");
        events[1] = STR("{\"id\":2}");
        out->type = MSG_HISTORY_OK;
        out->u.history_ok = (struct msg_history_ok){.events = events, .events_len = 2, .last = 2};
        break;
    }
    case MSG_STOP:
        x = fake_find(c, in->u.stop.execution);
        if (x == NULL) {
            *out = fake_error(ERR_NO_EXECUTION, "no such execution");
        } else {
            fake_stop(c, x, out);
        }
        break;
    case MSG_WATCH:
        x = fake_find(c, in->u.watch.execution);
        if (x == NULL) {
            *out = fake_error(ERR_NO_EXECUTION, "no such execution");
        } else if (x->status == 1 && in->u.watch.wait_ms > 0) {
            return false;
        } else {
            out->type = MSG_WATCH_OK;
            out->u.watch_ok = (struct msg_watch_ok){.ended = x->status != 1, .status = x->status};
        }
        break;
    case MSG_POLL: {
        const struct msg_poll *p = &in->u.poll;
        uint32_t *acks = ARENA_ARRAY(a, uint32_t, p->completions_len + 1);
        struct msg_task *tasks = ARENA_ARRAY(a, struct msg_task, p->capacity + 1);
        for (uint32_t i = 0; i < p->completions_len; i++) {
            const struct msg_completion *m = &p->completions[i];
            acks[i] = (uint32_t)fake_outcome(c, &m->token, m->status == 0, m->output, m->error);
        }
        for (uint32_t i = 0; i < p->dropped_len; i++) {
            for (struct fake_task *t = c->tasks; t != NULL; t = t->next) {
                if (task_token_eq(&t->token, &p->dropped[i])) {
                    t->instance = 0;
                }
            }
        }
        uint32_t capacity = n->state == MSG_NODE_ACTIVE ? p->capacity : 0;
        uint32_t len = fake_grant(c, capacity, instance, tasks);
        if (len == 0 && p->completions_len == 0 && p->wait_ms > 0 && capacity > 0) {
            return false;
        }
        out->type = MSG_POLL_OK;
        out->u.poll_ok = (struct msg_poll_ok){.acks = acks,
                                              .acks_len = p->completions_len,
                                              .tasks = tasks,
                                              .tasks_len = len};
        break;
    }
    case MSG_HEARTBEAT:
        fake_beat(c, a, &in->u.heartbeat, out);
        break;
    case MSG_TASK_SUCCESS: {
        const struct msg_task_success *m = &in->u.task_success;
        enum err e = fake_outcome(c, &m->token, true, m->output, STR_NONE);
        *out = e == ERR_OK ? *out : fake_error(e, "stale");
        break;
    }
    case MSG_TASK_FAILURE: {
        const struct msg_task_failure *m = &in->u.task_failure;
        enum err e = fake_outcome(c, &m->token, false, STR_NONE, m->error);
        *out = e == ERR_OK ? *out : fake_error(e, "stale");
        break;
    }
    case MSG_STATUS:
        out->type = MSG_STATUS_OK;
        out->u.status_ok.json = STR("{\"fake\":true}");
        break;
    default:
        fake_def(c, a, in, out);
    }
    return true;
}

static inline void fake_reply(struct fake_node *n, struct net_request *r, struct msg *m,
                              uint64_t corr)
{
    struct buf b;
    struct msg_writer w;
    m->corr = corr;
    buf_init(&b, 0);
    msg_writer_begin(&w, &b);
    ASSERT(msg_writer_add(&w, m, NULL) == ERR_OK);
    msg_writer_end(&w);
    n->listener->ops->reply(n->listener, r, buf_str(&b));
    buf_fini(&b);
}

/* Whoever waits may have what it waits for now. */
static inline void fake_wake(struct fake_cluster *c)
{
    for (struct fake_parked **at = &c->parked; *at != NULL;) {
        struct fake_parked *p = *at;
        struct arena a;
        struct msg out;
        arena_init(&a, 0);
        if (fake_handle(p->node, p->request, &a, &p->msg, &out)) {
            *at = p->next;
            fake_reply(p->node, p->request, &out, p->msg.corr);
            mem_free(p);
        } else {
            at = &p->next;
        }
        arena_fini(&a);
    }
}

static inline void fake_request(struct net_handler *h, struct net_request *r)
{
    struct fake_node *n = CONTAINER_OF(h, struct fake_node, handler);
    struct fake_cluster *c = n->cluster;
    struct arena *a = MEM_NEW(struct arena);
    struct msg_reader reader;
    struct msg_writer w;
    struct buf b;
    struct msg m;
    enum err e;
    bool parked = false;
    arena_init(a, 0);
    buf_init(&b, 0);
    msg_writer_begin(&w, &b);
    unsigned number = ++c->frames;
    ASSERT(msg_reader_begin(&reader, r->body, a, NULL) == ERR_OK);
    while (msg_reader_next(&reader, &m, &e, NULL)) {
        struct msg out = fake_error(e, "bad message");
        c->polls += m.type == MSG_POLL ? 1 : 0;
        if (e == ERR_OK && !fake_handle(n, r, a, &m, &out)) {
            if (m.type == MSG_POLL) {
                m.u.poll.dropped_len = 0; /* done, and the arena goes */
            }
            struct fake_parked *p = MEM_NEW(struct fake_parked);
            *p = (struct fake_parked){.request = r, .node = n, .msg = m, .next = c->parked};
            c->parked = p;
            parked = true;
            break;
        }
        out.corr = m.corr;
        ASSERT(msg_writer_add(&w, &out, NULL) == ERR_OK);
    }
    if (!parked) {
        ASSERT(msg_reader_end(&reader, NULL) == ERR_OK);
        msg_writer_end(&w);
        if (c->lose_every > 0 && number % c->lose_every == 0) {
            c->lost++;
            n->listener->ops->disconnect(n->listener, r->conn);
            n->listener->ops->drop(n->listener, r);
        } else {
            n->listener->ops->reply(n->listener, r, buf_str(&b));
        }
    }
    buf_fini(&b);
    arena_fini(a);
    mem_free(a);
    fake_wake(c);
}

static inline void fake_closed(struct net_handler *h, uint64_t conn)
{
    struct fake_node *n = CONTAINER_OF(h, struct fake_node, handler);
    for (struct fake_parked **at = &n->cluster->parked; *at != NULL;) {
        struct fake_parked *p = *at;
        if (p->node == n && p->request->conn == conn) {
            *at = p->next;
            n->listener->ops->drop(n->listener, p->request);
            mem_free(p);
        } else {
            at = &p->next;
        }
    }
    for (unsigned i = 0; i < n->conns_len; i++) {
        if (n->conns[i].conn == conn) {
            n->conns[i] = n->conns[--n->conns_len];
        }
    }
}

static inline void fake_listen(void *arg)
{
    struct fake_node *n = arg;
    struct transport *t = transport_nng();
    struct str address = n->address[0] != '\0' ? str_of(n->address) : STR("tcp://127.0.0.1:0");
    n->handler = (struct net_handler){.request = fake_request, .closed = fake_closed};
    ASSERT(t->ops->listen(t, n->cluster->loop, address, &n->handler, &n->listener, NULL) == ERR_OK);
    snprintf(n->address, sizeof(n->address), "%.*s", STR_ARG(n->listener->address));
}

static inline void fake_unlisten(void *arg)
{
    struct fake_node *n = arg;
    while (n->conns_len > 0) {
        fake_closed(&n->handler, n->conns[0].conn);
    }
    if (n->listener != NULL) {
        n->listener->ops->close(n->listener);
        n->listener = NULL;
    }
}

static inline struct fake_cluster *fake_new(void)
{
    struct fake_cluster *c = MEM_NEW(struct fake_cluster);
    c->loop = loop_uv_new(os_clock(), "fake");
    c->execs_last = &c->execs;
    c->tasks_last = &c->tasks;
    rng_seed(&c->rng, 7);
    return c;
}

static inline void fake_node_start(struct fake_cluster *c, unsigned i, unsigned state)
{
    c->nodes[i].cluster = c;
    c->nodes[i].state = state;
    fake_on_loop(c->loop, fake_listen, &c->nodes[i]);
}

static inline void fake_node_stop(struct fake_cluster *c, unsigned i)
{
    fake_on_loop(c->loop, fake_unlisten, &c->nodes[i]);
}

struct fake_state_change {
    struct fake_node *node;
    unsigned state;
};
static inline void fake_change_state(void *arg)
{
    struct fake_state_change *s = arg;
    s->node->state = s->state;
    fake_wake(s->node->cluster);
    for (struct fake_parked **at = &s->node->cluster->parked; *at != NULL;) {
        struct fake_parked *p = *at; /* a node that drains answers long polls at once */
        if (p->node == s->node && p->msg.type == MSG_POLL && s->state != MSG_NODE_ACTIVE) {
            struct msg out = {.type = MSG_POLL_OK};
            *at = p->next;
            fake_reply(p->node, p->request, &out, p->msg.corr);
            mem_free(p);
        } else {
            at = &p->next;
        }
    }
}
static inline void fake_node_state(struct fake_cluster *c, unsigned i, unsigned state)
{
    struct fake_state_change s = {&c->nodes[i], state};
    fake_on_loop(c->loop, fake_change_state, &s);
}

static inline void fake_free(struct fake_cluster *c)
{
    for (unsigned i = 0; i < FAKE_NODES_MAX; i++) {
        if (c->nodes[i].listener != NULL) {
            fake_node_stop(c, i);
        }
    }
    loop_free(c->loop);
    while (c->tasks != NULL) {
        fake_unlink_task(c, &c->tasks);
    }
    while (c->execs != NULL) {
        struct fake_exec *x = c->execs;
        c->execs = x->next;
        mem_free(x->workflow);
        mem_free(x->name);
        mem_free(x->input);
        mem_free(x->output);
        mem_free(x);
    }
    mem_free(c->definition);
    mem_free(c->definition_name);
    mem_free(c);
}

#endif
