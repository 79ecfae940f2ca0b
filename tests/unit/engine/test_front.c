/* What clients may do to the front: frames that ask for more than there is, connections that hold more
 * than their share, tenants beside each other. On virtual time. */
#include "base/prelude.h"

#include "tests/unit/engine/crowd_fixture.h"

#include "base/mem.h"
#include "net/worker.h"
#include "scheduler/dispatch.h"
#include "tests/sim/sim_store_rows.h"

static const char one_task[] =
    "{\"StartAt\":\"A\",\"States\":{"
    "\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";

/* A JSON string of "size" bytes. */
static struct str text_of(size_t size)
{
    char *p = mem_alloc(size);
    memset(p, 'x', size);
    p[0] = p[size - 1] = '"';
    return (struct str){p, size};
}

static void text_free(struct str s)
{
    mem_free((void *)(uintptr_t)s.p);
}

/* "n" executions with such an input, each with a task for queue "work". */
static void backlog(struct crowd *c, uint32_t n, size_t size)
{
    enum { AT_ONCE = 20 };
    struct str input = text_of(size);
    struct msg m = {.type = MSG_START};
    m.u.start.workflow = STR("one");
    m.u.start.input = input;
    for (uint32_t i = 0; i < n; i += AT_ONCE) {
        uint32_t before = c->started, now = MIN(n - i, (uint32_t)AT_ONCE);
        crowd_send(c, &m, now);
        RUN_UNTIL(c->f, c->started == before + now, 30 * US_PER_S);
    }
    text_free(input);
}

/* A thousand polls in one frame: the first fill it, the others come back empty; nothing is granted that
 * does not fit, and the node lives. */
START_TEST(a_frame_of_many_polls)
{
    enum { POLLS = 1000, TASKS = 2200, SIZE = 9000 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    backlog(c, TASKS, SIZE);
    struct str q = STR("work");
    struct msg m = {.type = MSG_POLL};
    m.u.poll.queues = &q;
    m.u.poll.queues_len = 1;
    m.u.poll.capacity = POLL_TASKS_MAX;
    m.u.poll.wait_ms = 1000;
    crowd_send(c, &m, POLLS);
    RUN_UNTIL(&f, c->polls == POLLS, 10 * US_PER_S);
    ck_assert_uint_gt(c->tasks, 800);
    ck_assert_uint_lt(c->tasks, MESSAGE_SIZE_MAX / SIZE);
    for (int polls = 0; c->tasks < TASKS; polls++) { /* all others are there for later polls */
        ck_assert_int_lt(polls, 60);
        crowd_send(c, &m, 1);
        world_run(f.world, f.world->now_us + US_PER_S);
    }
    ck_assert_uint_eq(c->errors, 0);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* Tokens of attempts that there are not, of an execution that there is. */
static struct task_token *false_tokens(const struct crowd *c, uint32_t n)
{
    struct task_token *v = MEM_ARRAY(struct task_token, n);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert_int_eq(exec_id_parse(str_of(c->execution), &v[i].ref.exec), ERR_OK);
        v[i].ref.seq = 100 + i;
        v[i].ref.attempt = 1;
    }
    return v;
}

/* Whatever a frame asks for, each of its messages is answered, at the worst that it is too much; and then
 * the connection is as good as new. */
START_TEST(every_message_of_a_greedy_frame_is_answered)
{
    enum { TOKENS = 1000, POLLS = 10, BEATS = 60 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    crowd_start(c, "one", "x", STR("{}"));
    struct task_token *tokens = false_tokens(c, TOKENS);
    struct msg_completion *v = MEM_ARRAY(struct msg_completion, TOKENS);
    for (uint32_t i = 0; i < TOKENS; i++) {
        v[i].token = tokens[i];
    }
    struct msg m = {.type = MSG_POLL};
    m.u.poll.completions = v;
    m.u.poll.completions_len = TOKENS;
    crowd_send(c, &m, POLLS);
    RUN_UNTIL(&f, c->polls + c->errors == POLLS, 30 * US_PER_S);
    ck_assert_uint_eq(c->polls, CONN_CALLS_MAX / (TOKENS + 1));
    ck_assert_uint_eq(c->limits, c->errors);
    ck_assert_uint_eq(c->stale, c->polls * TOKENS);
    m = (struct msg){.type = MSG_HEARTBEAT};
    m.u.heartbeat.tokens = tokens;
    m.u.heartbeat.tokens_len = TOKENS;
    uint32_t errors = c->errors;
    crowd_send(c, &m, BEATS);
    RUN_UNTIL(&f, c->beats + c->errors == errors + BEATS, 30 * US_PER_S);
    ck_assert_uint_ge(c->beats, CONN_CALLS_MAX / (TOKENS + 1));
    ck_assert_uint_eq(c->limits, c->errors);
    uint32_t beats = c->beats;
    crowd_heartbeat(c, tokens, 1);
    RUN_UNTIL(&f, c->beats == beats + 1, 10 * US_PER_S);
    ck_assert_uint_eq(c->last_code, ERR_STALE);
    mem_free(v);
    mem_free(tokens);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* Answers that do not fit one frame: each request is answered, some with a refusal. */
START_TEST(answers_larger_than_a_frame)
{
    enum { ASKED = 60, SIZE = 250000 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    struct str input = text_of(SIZE);
    crowd_start(c, "one", "x", input);
    struct msg m = {.type = MSG_DESCRIBE};
    m.u.describe.execution = str_of(c->execution);
    uint32_t before = c->messages;
    crowd_send(c, &m, ASKED);
    RUN_UNTIL(&f, c->messages == before + ASKED, 10 * US_PER_S);
    ck_assert_uint_gt(c->limits, ASKED - MESSAGE_SIZE_MAX / SIZE - 1);
    ck_assert_uint_lt(c->limits, ASKED / 2);
    text_free(input);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* One tenant's tasks wait, large and many, and nobody comes for them: another's are done at once, and the
 * node has not grown. Then somebody comes. */
START_TEST(a_backlog_of_another_tenant)
{
    enum { TASKS = 300, SIZE = 250000 };
    struct fixture f;
    struct crowd *a = MEM_NEW(struct crowd), *b = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, a, "a", 1);
    crowd_join(&f, b, "b", 1);
    crowd_define(a, "one", one_task);
    crowd_define(b, "one", one_task);
    crowd_poll(b, "work", 1, 60000);
    backlog(a, TASKS, SIZE);
    world_run(f.world, f.world->now_us + US_PER_S);
    size_t bytes = f.node_host->region.bytes;
    ck_assert_msg(bytes < DISPATCH_QUEUE_BYTES_MAX + f.config.cache_bytes + (16u << 20),
                  "%zu bytes", bytes);
    crowd_start(b, "one", "x", STR("{}"));
    RUN_UNTIL(&f, b->tasks == 1, US_PER_S);
    for (int polls = 0; a->tasks < TASKS; polls++) {
        ck_assert_int_lt(polls, 60);
        crowd_poll(a, "work", 100, 1000);
        world_run(f.world, f.world->now_us + US_PER_S);
        crowd_heartbeat(a, a->tokens, a->tasks);
    }
    ck_assert_uint_eq(a->tasks, TASKS);
    fixture_teardown(&f);
    mem_free(a);
    mem_free(b);
}
END_TEST

/* ---- workers that are connected and do nothing ---- */

enum { LEASE_S = 10 }; /* twice the heartbeat of the fixture's node */

/* One took a task and hangs: another gets it, though the task has no timeout of its own. */
START_TEST(a_worker_that_hangs_connected)
{
    struct fixture f;
    struct crowd *hung = MEM_NEW(struct crowd), *other = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, hung, "t", 1);
    crowd_join(&f, other, "t", 2);
    crowd_define(hung, "one", one_task);
    crowd_start(hung, "one", "x", STR("{}"));
    crowd_poll(hung, "work", 5, 1000);
    RUN_UNTIL(&f, hung->tasks == 1, 5 * US_PER_S);
    crowd_poll(hung, "work", 4, 60000); /* as good workers have */
    crowd_poll(other, "work", 1, 60000);
    world_run(f.world, f.world->now_us + (LEASE_S - 1) * US_PER_S);
    ck_assert_uint_eq(other->tasks + hung->tasks, 1);
    RUN_UNTIL(&f, other->tasks == 1, 2 * US_PER_S); /* not the hung one, though it asked before */
    ck_assert_uint_eq(hung->tasks, 1);
    ck_assert(task_token_eq(&other->tokens[0], &hung->tokens[0]));
    crowd_complete(other, &other->tokens[0]);
    RUN_UNTIL(&f, other->acked == 1, 5 * US_PER_S);
    crowd_complete(hung, &hung->tokens[0]);
    RUN_UNTIL(&f, hung->last_code == ERR_STOPPED, 5 * US_PER_S); /* it has ended */
    ck_assert_uint_eq(hung->acked, 0);
    fixture_teardown(&f);
    mem_free(hung);
    mem_free(other);
}
END_TEST

/* The answer with the task was never looked at; the worker is alive, works on another task and says so. */
START_TEST(a_poll_given_up_without_a_word)
{
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    crowd_start(c, "one", "x", STR("{}"));
    crowd_poll(c, "work", 1, 1000);
    RUN_UNTIL(&f, c->tasks == 1, 5 * US_PER_S);
    crowd_start(c, "one", "y", STR("{}"));
    crowd_poll(c, "work", 1, 1000);
    RUN_UNTIL(&f, c->tasks == 2, 5 * US_PER_S);
    crowd_poll(c, "work", 1, 60000);
    for (int i = 0; i < 5; i++) {
        ck_assert_uint_eq(c->tasks, 2);
        crowd_heartbeat(c, &c->tokens[0], 1); /* and nothing of the second */
        world_run(f.world, f.world->now_us + LEASE_S * US_PER_S / 4);
    }
    ck_assert_uint_eq(c->tasks, 3);
    ck_assert(task_token_eq(&c->tokens[2], &c->tokens[1]));
    for (int i = 0; i < 9; i++) { /* the first is held for as long as it is named */
        crowd_heartbeat(c, c->tokens, 2);
        world_run(f.world, f.world->now_us + LEASE_S * US_PER_S / 3);
    }
    ck_assert_uint_eq(c->tasks, 3);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* The library's worker: its places are taken for a minute, and it holds what it has, while another worker waits
 * for anything that goes out again. */
struct busy {
    struct worker_handler handler;
    struct worker_config config;
    struct worker *worker;
    struct worker_task *tasks[4];
    uint32_t got, cancelled;
    struct crowd *like; /* whose tenant it is of */
};

static void busy_task(struct worker_handler *h, struct worker_task *t)
{
    struct busy *b = CONTAINER_OF(h, struct busy, handler);
    ck_assert_uint_lt(b->got, ARRAY_LEN(b->tasks));
    b->tasks[b->got++] = t;
}

static void busy_cancelled(struct worker_handler *h, struct worker_task *t)
{
    (void)t;
    CONTAINER_OF(h, struct busy, handler)->cancelled++;
}

struct busy_begin {
    struct loop_task task;
    struct busy *b;
};

static void busy_begin(struct loop_task *t)
{
    struct busy *b = CONTAINER_OF(t, struct busy_begin, task)->b;
    struct err_detail d = {0};
    ck_assert_msg(worker_new(&b->config, &b->worker, &d) == ERR_OK, "%s", d.text);
}

static void busy_boot(struct host *h)
{
    static const struct str queue = {"work", 4};
    struct busy *b = h->user;
    struct busy_begin *begin = MEM_NEW(struct busy_begin);
    b->handler = (struct worker_handler){.task = busy_task, .cancelled = busy_cancelled};
    b->config = (struct worker_config){.session = {.transport = &b->like->f->net->base,
                                                   .loop = h->factory.make(&h->factory, "busy"),
                                                   .addresses = b->like->f->config.listen,
                                                   .name = STR("busy"),
                                                   .tenant = str_of(b->like->tenant),
                                                   .instance = 5},
                                       .queues = &queue,
                                       .queues_len = 1,
                                       .concurrency = 2,
                                       .handler = &b->handler};
    begin->b = b;
    begin->task = (struct loop_task){.run = busy_begin, .name = "begin"};
    loop_post(b->config.session.loop, &begin->task);
}

START_TEST(a_busy_worker_keeps_what_it_holds)
{
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    struct busy b = {.like = c};
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    struct host *h = host_new(f.world, "busy");
    h->boot = busy_boot;
    h->user = &b;
    host_boot(h);
    crowd_start(c, "one", "x", STR("{}"));
    crowd_start(c, "one", "y", STR("{}"));
    RUN_UNTIL(&f, b.got == 2, 10 * US_PER_S);
    for (int i = 0; i < 3; i++) {
        crowd_poll(c, "work", 1, 30000);
        world_run(f.world, f.world->now_us + 31 * US_PER_S);
    }
    ck_assert_uint_eq(c->polls, 3);
    ck_assert_uint_eq(c->tasks, 0);
    ck_assert_uint_eq(b.cancelled, 0);
    struct msg m = {.type = MSG_STOP};
    m.u.stop.execution = str_of(c->execution);
    crowd_send(c, &m, 1);
    RUN_UNTIL(&f, b.cancelled == 1, 5 * US_PER_S); /* with its next heartbeat */
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* After an acknowledged stop the next heartbeat says so; of an attempt that is over, that it is stale. */
START_TEST(a_heartbeat_hears_of_the_stop)
{
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    crowd_start(c, "one", "x", STR("{}"));
    crowd_poll(c, "work", 1, 1000);
    RUN_UNTIL(&f, c->tasks == 1, 5 * US_PER_S);
    crowd_heartbeat(c, c->tokens, 1);
    RUN_UNTIL(&f, c->beats == 1, 5 * US_PER_S);
    ck_assert_uint_eq(c->last_code, ERR_OK);
    struct msg m = {.type = MSG_STOP};
    m.u.stop.execution = str_of(c->execution);
    uint32_t before = c->messages;
    crowd_send(c, &m, 1);
    RUN_UNTIL(&f, c->messages == before + 1, 5 * US_PER_S);
    ck_assert_uint_eq(c->errors, 0);
    crowd_heartbeat(c, c->tokens, 1);
    RUN_UNTIL(&f, c->beats == 2, 5 * US_PER_S);
    ck_assert_uint_eq(c->last_code, ERR_STOPPED);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* The node comes back and has not read its table: a heartbeat is no reason to stop working. */
START_TEST(a_heartbeat_before_the_table_is_read)
{
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    crowd_start(c, "one", "x", STR("{}"));
    crowd_poll(c, "work", 1, 1000);
    RUN_UNTIL(&f, c->tasks == 1, 5 * US_PER_S);
    fixture_restart(&f);
    RUN_UNTIL(&f, c->greeted, 10 * US_PER_S); /* and its HELLO has named nothing */
    crowd_heartbeat(c, c->tokens, 1);
    RUN_UNTIL(&f, c->beats == 1, 5 * US_PER_S);
    ck_assert_uint_eq(c->last_code, ERR_OK);
    crowd_poll(c, "work", 1, 60000);
    for (int i = 0; i < 9; i++) {
        crowd_heartbeat(c, c->tokens, 1);
        world_run(f.world, f.world->now_us + LEASE_S * US_PER_S / 3);
    }
    ck_assert_uint_eq(c->tasks, 1);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* Two tenants' workers with one number: each has its session and its task. */
START_TEST(an_instance_of_another_tenant)
{
    struct fixture f;
    struct crowd *a = MEM_NEW(struct crowd), *b = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, a, "a", 1);
    crowd_define(a, "one", one_task);
    crowd_start(a, "one", "x", STR("{}"));
    crowd_poll(a, "work", 1, 1000);
    RUN_UNTIL(&f, a->tasks == 1, 5 * US_PER_S);
    crowd_join(&f, b, "b", 1);
    world_run(f.world, f.world->now_us + US_PER_S);
    ck_assert_uint_eq(a->downs, 0);
    crowd_complete(a, &a->tokens[0]);
    RUN_UNTIL(&f, a->acked == 1, 5 * US_PER_S);
    fixture_teardown(&f);
    mem_free(a);
    mem_free(b);
}
END_TEST

/* Names of tenants come from whoever connects: there is an end to new ones, those that are known come in. */
START_TEST(tenants_without_end)
{
    struct fixture f;
    struct meta_rec meta;
    struct crowd *c = MEM_NEW(struct crowd), *last = MEM_NEW(struct crowd),
                 *more = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "first", 1);
    sim_meta_get(f.store, &meta);
    meta.tenants = TENANTS_MAX - 1;
    sim_meta_put(f.store, &meta);
    crowd_join(&f, last, "last", 1);
    crowd_join(&f, more, NULL, 1);
    struct msg m = {.type = MSG_HELLO};
    m.u.hello.protocol = MSG_PROTOCOL;
    m.u.hello.name = STR("more");
    m.u.hello.instance = 1;
    m.u.hello.tenant = STR("one-more");
    crowd_send(more, &m, 1);
    RUN_UNTIL(&f, more->errors == 1, 5 * US_PER_S);
    ck_assert_uint_eq(more->last_error, ERR_LIMIT);
    m.u.hello.tenant = STR("first");
    crowd_send(more, &m, 1);
    RUN_UNTIL(&f, more->greeted, 5 * US_PER_S);
    fixture_teardown(&f);
    mem_free(c);
    mem_free(last);
    mem_free(more);
}
END_TEST

/* ---- those who wait ---- */

/* Bytes of all messages that the simulated network holds for the node. */
static size_t held_by_requests(struct fixture *f)
{
    return sim_net_held(f->net, f->node_host);
}

/* Long polls padded to the largest message: what the node keeps of them is their queues. */
START_TEST(padded_polls)
{
    enum { POLLS = 40 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    struct buf b;
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    size_t before = f.node_host->region.bytes;
    buf_init(&b, 0);
    for (uint32_t i = 0; i < POLLS; i++) {
        buf_clear(&b);
        pack_array(&b, 1);
        pack_array(&b, 8);
        pack_u64(&b, MSG_POLL);
        pack_u64(&b, i + 1);
        pack_array(&b, 1);
        pack_str(&b, STR("work"));
        pack_u64(&b, 1);
        pack_u64(&b, 60000);
        pack_array(&b, 0);
        pack_array(&b, 0);
        struct str pad = {mem_alloc(MESSAGE_SIZE_MAX - 100), MESSAGE_SIZE_MAX - 100};
        pack_bin(&b, pad); /* an element behind the last known field */
        text_free(pad);
        crowd_bytes(c, buf_str(&b));
        world_run(f.world, f.world->now_us + 100 * US_PER_MS);
    }
    buf_fini(&b);
    ck_assert_uint_eq(sim_net_unanswered(f.net, f.node_host), POLLS);
    ck_assert_uint_lt(held_by_requests(&f), 100000);
    ck_assert_uint_lt(f.node_host->region.bytes, before + 1000000);
    crowd_define(c, "one", one_task);
    crowd_start(c, "one", "x", STR("{}"));
    RUN_UNTIL(&f, c->tasks == 1, 5 * US_PER_S);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* Watches of one client: as many as a connection may have open, and no burden to another tenant. When the
 * client goes they end, though they were to wait for a minute. */
START_TEST(watches_of_one_client)
{
    enum { FRAMES = 21, EACH = 1000 };
    struct fixture f;
    struct crowd *a = MEM_NEW(struct crowd), *b = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, a, "a", 1);
    crowd_join(&f, b, "b", 1);
    crowd_define(a, "one", one_task);
    crowd_define(b, "one", one_task);
    crowd_start(a, "one", "x", STR("{}"));
    struct msg m = {.type = MSG_WATCH};
    m.u.watch.execution = str_of(a->execution);
    m.u.watch.wait_ms = 60000;
    for (int i = 0; i < FRAMES; i++) {
        crowd_send(a, &m, EACH);
        world_run(f.world, f.world->now_us + 10 * US_PER_MS);
    }
    crowd_start(b, "one", "x", STR("{}"));
    ck_assert_uint_eq(b->errors, 0);
    crowd_poll(b, "work", 1, 1000);
    RUN_UNTIL(&f, b->tasks == 1, 2 * US_PER_S);
    ck_assert_uint_gt(a->limits, FRAMES * EACH - CONN_CALLS_MAX - EACH);
    ck_assert_uint_eq(a->watched, 0); /* frames with refusals only are answered, the others wait */
    size_t full = f.node_host->region.bytes;
    crowd_reset(a);
    world_run(f.world, f.world->now_us + US_PER_S);
    ck_assert_uint_lt(f.node_host->region.bytes, full - CONN_CALLS_MAX * 1000);
    fixture_teardown(&f);
    mem_free(a);
    mem_free(b);
}
END_TEST

/* Bytes that the node has taken at most since "mem" was noted. */
static void memory_note(struct fixture *f, size_t *mem)
{
    *mem = f->node_host->region.bytes;
    f->node_host->region.bytes_max = *mem;
}

static size_t memory_taken(const struct fixture *f, size_t mem)
{
    return f->node_host->region.bytes_max - mem;
}

/* Two thousand wait for one end, of a quarter of a megabyte: it is made once, and who has no room for it
 * in his frame is told to ask again. */
START_TEST(many_watch_one)
{
    enum { FRAMES = 2, EACH = 1000, SIZE = 250000 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    size_t mem;
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    crowd_start(c, "one", "x", STR("{}"));
    crowd_poll(c, "work", 1, 1000);
    RUN_UNTIL(&f, c->tasks == 1, 5 * US_PER_S);
    struct msg m = {.type = MSG_WATCH};
    m.u.watch.execution = str_of(c->execution);
    m.u.watch.wait_ms = 60000;
    for (int i = 0; i < FRAMES; i++) {
        crowd_send(c, &m, EACH);
    }
    world_run(f.world, f.world->now_us + US_PER_S);
    ck_assert_uint_eq(c->watched, 0);
    memory_note(&f, &mem);
    struct msg_completion done = {.token = c->tokens[0], .output = text_of(SIZE)};
    m = (struct msg){.type = MSG_POLL};
    m.u.poll.completions = &done;
    m.u.poll.completions_len = 1;
    crowd_send(c, &m, 1);
    text_free(done.output);
    RUN_UNTIL(&f, c->watched + c->limits == FRAMES * EACH, 5 * US_PER_S);
    ck_assert_uint_eq(c->watched, c->ended);
    ck_assert_uint_gt(c->ended, FRAMES * 30);
    ck_assert_msg(memory_taken(&f, mem) < 4 * MESSAGE_SIZE_MAX, "%zu", memory_taken(&f, mem));
    memory_note(&f, &mem); /* and of one that has ended already */
    m = (struct msg){.type = MSG_WATCH};
    m.u.watch.execution = str_of(c->execution);
    uint32_t before = c->messages;
    crowd_send(c, &m, EACH);
    RUN_UNTIL(&f, c->messages == before + EACH, 5 * US_PER_S);
    ck_assert_msg(memory_taken(&f, mem) < 3 * MESSAGE_SIZE_MAX, "%zu", memory_taken(&f, mem));
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* A thousand ask about one execution: a few at a time have its texts in hand. */
START_TEST(many_describe_one)
{
    enum { EACH = 1000, SIZE = 250000 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    size_t mem;
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    struct str input = text_of(SIZE);
    crowd_start(c, "one", "x", input);
    text_free(input);
    struct msg m = {.type = MSG_DESCRIBE};
    m.u.describe.execution = str_of(c->execution);
    uint32_t before = c->messages;
    memory_note(&f, &mem);
    crowd_send(c, &m, EACH);
    RUN_UNTIL(&f, c->messages == before + EACH, 20 * US_PER_S);
    ck_assert_uint_eq(c->limits, c->errors);
    ck_assert_msg(memory_taken(&f, mem) < 5 * MESSAGE_SIZE_MAX, "%zu", memory_taken(&f, mem));
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* Answers that are ready do not wait for a watch in their frame, when they are large. */
START_TEST(a_wait_beside_answers)
{
    enum { SIZE = 5000 };
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    struct buf b;
    struct msg_writer w;
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    struct str input = text_of(SIZE);
    crowd_start(c, "one", "x", input);
    text_free(input);
    struct str q = STR("other");
    struct msg poll = {.type = MSG_POLL, .corr = 1}, watch = {.type = MSG_WATCH, .corr = 2},
               describe = {.type = MSG_DESCRIBE, .corr = 3};
    poll.u.poll.queues = &q;
    poll.u.poll.queues_len = 1;
    poll.u.poll.capacity = 1;
    poll.u.poll.wait_ms = 60000;
    watch.u.watch.execution = describe.u.describe.execution = str_of(c->execution);
    watch.u.watch.wait_ms = 60000;
    buf_init(&b, 0);
    msg_writer_begin(&w, &b);
    ck_assert_int_eq(msg_writer_add(&w, &poll, NULL), ERR_OK);
    ck_assert_int_eq(msg_writer_add(&w, &watch, NULL), ERR_OK);
    ck_assert_int_eq(msg_writer_add(&w, &describe, NULL), ERR_OK);
    msg_writer_end(&w);
    uint32_t before = c->messages;
    crowd_bytes(c, buf_str(&b));
    RUN_UNTIL(&f, c->messages == before + 3, US_PER_S);
    ck_assert_uint_eq(c->polls + c->watched, 2);
    ck_assert_uint_eq(c->ended, 0);
    buf_fini(&b);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* A node that drains answers who waits, and says that it is going away. */
START_TEST(news_of_a_drain)
{
    struct fixture f;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    crowd_start(c, "one", "x", STR("{}"));
    ck_assert_uint_eq(c->states, 0);
    struct msg m = {.type = MSG_WATCH};
    m.u.watch.execution = str_of(c->execution);
    m.u.watch.wait_ms = 60000;
    crowd_send(c, &m, 1);
    crowd_poll(c, "other", 1, 60000);
    world_run(f.world, f.world->now_us + US_PER_S);
    int64_t asked = f.world->now_us;
    sim_store_away(f.store,
                   2 * US_PER_S); /* so it cannot give back its lanes and be gone at once */
    host_run(f.node_host, fixture_stop_node);
    RUN_UNTIL(&f, c->watched == 1 && c->polls == 1, US_PER_S);
    ck_assert_int_lt(f.world->now_us - asked, 100 * US_PER_MS);
    ck_assert_uint_eq(c->ended, 0);
    ck_assert_uint_eq(c->states, 1); /* said once */
    ck_assert_uint_eq(c->state, MSG_NODE_GOING_AWAY);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

/* Evicted: its lanes are another node's, and who waits here waits in vain. */
START_TEST(news_of_an_eviction)
{
    struct fixture f;
    struct second n;
    struct crowd *c = MEM_NEW(struct crowd);
    fixture_setup(&f, (uint64_t)_i);
    (void)fixture_second(&f, &n);
    crowd_join(&f, c, "t", 1);
    crowd_define(c, "one", one_task);
    crowd_start(c, "one", "x", STR("{}"));
    struct msg m = {.type = MSG_WATCH};
    m.u.watch.execution = str_of(c->execution);
    m.u.watch.wait_ms = 60000;
    crowd_send(c, &m, 1);
    crowd_poll(c, "other", 1, 60000);
    world_run(f.world, f.world->now_us + US_PER_S);
    host_pause(f.node_host, 20 * US_PER_S);
    RUN_UNTIL(&f, c->watched == 1 && c->polls == 1, 40 * US_PER_S);
    ck_assert(n.active);
    ck_assert_uint_eq(c->ended, 0);
    ck_assert_uint_eq(c->state, MSG_NODE_STANDBY);
    ck_assert_uint_eq(c->states, 1);
    fixture_teardown(&f);
    mem_free(c);
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("front");
    TCase *c = tcase_create("front");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, a_frame_of_many_polls, 0, 2);
    tcase_add_loop_test(c, every_message_of_a_greedy_frame_is_answered, 0, 2);
    tcase_add_loop_test(c, answers_larger_than_a_frame, 0, 2);
    tcase_add_test(c, a_backlog_of_another_tenant);
    tcase_add_loop_test(c, a_worker_that_hangs_connected, 0, 3);
    tcase_add_loop_test(c, a_poll_given_up_without_a_word, 0, 3);
    tcase_add_loop_test(c, a_busy_worker_keeps_what_it_holds, 0, 3);
    tcase_add_loop_test(c, a_heartbeat_hears_of_the_stop, 0, 3);
    tcase_add_loop_test(c, a_heartbeat_before_the_table_is_read, 0, 3);
    tcase_add_loop_test(c, an_instance_of_another_tenant, 0, 2);
    tcase_add_loop_test(c, tenants_without_end, 0, 2);
    tcase_add_loop_test(c, padded_polls, 0, 2);
    tcase_add_loop_test(c, watches_of_one_client, 0, 3);
    tcase_add_loop_test(c, many_watch_one, 0, 3);
    tcase_add_loop_test(c, many_describe_one, 0, 3);
    tcase_add_loop_test(c, a_wait_beside_answers, 0, 3);
    tcase_add_loop_test(c, news_of_a_drain, 0, 3);
    tcase_add_loop_test(c, news_of_an_eviction, 0, 3);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
