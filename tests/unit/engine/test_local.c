/* Requests from inside the process: the same messages as over a connection, with the same limits and
 * the same admission, on virtual time. */
#include "base/prelude.h"

#include "engine/engine.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/world.h"

#include <check.h>

struct fixture {
    struct world *world;
    struct sim_net *net;
    struct sim_store *store;
    struct host *host;
    struct engine *engine;
    struct loop *home; /* of the caller */
    struct fault_set faults;
    uint32_t requests_max;
    bool apart; /* front, turns and control on loops of their own */
    bool active, stopped;
};

#define RUN_UNTIL(f, cond) \
    do { \
        int64_t end_ = (f)->world->now_us + 60 * US_PER_S; \
        while (!(cond) && (f)->world->now_us < end_ && world_step((f)->world, end_)) { \
        } \
        ck_assert_msg((cond), "never: %s", #cond); \
    } while (0)

static void on_started(void *arg, enum err e, struct str address, const struct err_detail *d)
{
    (void)arg;
    ck_assert_msg(e == ERR_OK, "%.*s: %s", STR_ARG(address), d->text);
}

static void on_state(void *arg, enum owner_state s)
{
    ((struct fixture *)arg)->active = s == OWNER_ACTIVE;
}

static void on_stopped(void *arg)
{
    ((struct fixture *)arg)->stopped = true;
}

static void boot(struct host *h)
{
    struct fixture *f = h->user;
    struct engine_config c = {.store = &f->store->base,
                              .coord = coord_db_new(), /* goes with the host */
                              .transport = &f->net->base,
                              .faults = &f->faults,
                              .seed = f->world->seed,
                              .node = STR("n"),
                              .listen = STR("tcp://n:7070"),
                              .version = STR("0"),
                              .heartbeat_us = 5 * US_PER_S,
                              .window_us = 60 * US_PER_S,
                              .promote_us = 5 * US_PER_S,
                              .ring_windows = 12,
                              .timers_chunk = 100,
                              .cache_bytes = 1 << 20,
                              .definitions = 10,
                              .definition_us = 3600 * (int64_t)US_PER_S,
                              .batches = 2,
                              .batch_min = 64,
                              .requests_max = f->requests_max,
                              .started = on_started,
                              .state = on_state,
                              .arg = f};
    c.front = h->factory.make(&h->factory, "front");
    c.control = f->apart ? h->factory.make(&h->factory, "control") : c.front;
    c.turns[0] = f->apart ? h->factory.make(&h->factory, "turns") : c.front;
    c.turns_len = 1;
    f->home = h->factory.make(&h->factory, "home");
    f->engine = engine_new(&c);
    engine_start(f->engine);
}

static void setup(struct fixture *f, int seed, uint32_t requests_max)
{
    *f = (struct fixture){.requests_max = requests_max, .apart = seed % 2 == 1};
    f->world = world_new((uint64_t)seed, false, false);
    f->net = sim_net_new(f->world);
    f->store = sim_store_new(f->world, 0, 16);
    fault_init(&f->faults, NULL, NULL);
    f->host = host_new(f->world, "node");
    f->host->boot = boot;
    f->host->user = f;
    host_boot(f->host);
    RUN_UNTIL(f, f->active);
}

static void teardown(struct fixture *f)
{
    world_free(f->world);
    sim_store_free(f->store);
    sim_net_free(f->net);
}

/* One call and what became of it; lives outside of the host's memory. */
struct asked {
    struct engine_call call;
    struct fixture *f;
    uint32_t done; /* times */
    enum msg_type type;
    enum err e;
    char text[1200];
};

static void on_done(struct engine_call *c)
{
    struct asked *a = CONTAINER_OF(c, struct asked, call);
    struct str text = STR_NONE;
    ck_assert(loop_owned(a->f->home));
    a->done++;
    a->type = c->answer.type;
    switch ((unsigned)c->answer.type) {
    case MSG_ERROR:
        a->e = (enum err)c->answer.u.error.code;
        text = c->answer.u.error.text;
        break;
    case MSG_START_OK:
        text = c->answer.u.start_ok.execution;
        break;
    case MSG_STATUS_OK:
        text = str_sub(c->answer.u.status_ok.json, 0, sizeof(a->text) - 1);
        break;
    default:
        break;
    }
    (void)snprintf(a->text, sizeof(a->text), "%.*s", STR_ARG(text));
}

static struct asked *asking;
static void submit(struct host *h)
{
    struct fixture *f = h->user;
    asking->call.loop = f->home;
    asking->call.done = on_done;
    engine_submit(f->engine, &asking->call);
    ck_assert_uint_eq(asking->done, 0); /* never before it has returned */
}

static void send(struct fixture *f, struct asked *a, const struct msg *m, const char *tenant)
{
    a->f = f;
    a->call.ask = *m;
    a->call.tenant = str_of(tenant);
    asking = a;
    host_run(f->host, submit);
}

static struct asked *asked_last;
static void fini(struct host *h)
{
    (void)h;
    engine_call_fini(&asked_last->call);
}

static void ask(struct fixture *f, struct asked *a, const struct msg *m, const char *tenant)
{
    bool create = a->call.create;
    *a = (struct asked){.call.create = create};
    send(f, a, m, tenant);
    RUN_UNTIL(f, a->done > 0);
    ck_assert_uint_eq(a->done, 1);
    asked_last = a;
    host_run(f->host, fini);
}

static struct msg define(const char *workflow)
{
    struct msg m = {.type = MSG_DEF_PUT};
    m.u.def_put.workflow = str_of(workflow);
    m.u.def_put.text =
        STR("{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"Seconds\":600,"
            "\"End\":true}}}");
    return m;
}

static struct msg start(const char *workflow, const char *name)
{
    struct msg m = {.type = MSG_START};
    m.u.start.workflow = str_of(workflow);
    m.u.start.name = str_of(name);
    return m;
}

START_TEST(messages_without_a_connection)
{
    struct fixture f;
    struct asked a = {.call.create = true};
    setup(&f, _i, 100);
    struct msg m = define("wait");
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.type, MSG_DEF_PUT_OK);
    m = start("wait", "one");
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.type, MSG_START_OK);
    char id[EXEC_ID_TEXT + 1];
    memcpy(id, a.text, sizeof(id));
    m = (struct msg){.type = MSG_DESCRIBE};
    m.u.describe.execution = str_of(id);
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.type, MSG_DESCRIBE_OK);
    ask(&f, &a, &m, "other"); /* another tenant sees nothing */
    ck_assert_int_eq(a.e, ERR_NO_EXECUTION);
    m = (struct msg){.type = MSG_STOP};
    m.u.stop.execution = str_of(id);
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.type, MSG_STOP_OK);
    m = (struct msg){.type = MSG_STATUS};
    ask(&f, &a, &m, "acme");
    ck_assert_ptr_nonnull(strstr(a.text, "\"lanes_held\":16,"));
    ck_assert_ptr_nonnull(strstr(a.text, "\"lane\":0,\"slot_first\":0,\"slot_last\":255,"));
    teardown(&f);
}
END_TEST

START_TEST(the_same_limits)
{
    struct fixture f;
    struct asked a = {0};
    char longer[NAME_SIZE_MAX + 2];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    setup(&f, _i, 100);
    struct msg m = start("wait", "one");
    ask(&f, &a, &m, "nobody");
    ck_assert_int_eq(a.e, ERR_NOT_FOUND); /* no such tenant, and none is made */
    ask(&f, &a, &m, "no/name");
    ck_assert_int_eq(a.e, ERR_INVALID);
    ask(&f, &a, &m, "");
    ck_assert_int_eq(a.e, ERR_INVALID);
    a.call.create = true;
    m = start(longer, "one");
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.e, ERR_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(a.text, "workflow"));
    m = start("\xff", "one");
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.e, ERR_MALFORMED);
    m = start("nosuch", "one");
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.e, ERR_NO_WORKFLOW);
    m = (struct msg){.type = MSG_HELLO};
    m.u.hello.name = STR("me");
    m.u.hello.instance = 1;
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.e, ERR_UNSUPPORTED);
    m = (struct msg){.type = MSG_POLL};
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.e, ERR_UNSUPPORTED);
    teardown(&f);
}
END_TEST

START_TEST(the_same_admission)
{
    struct fixture f;
    struct asked a = {.call.create = true}, many[12] = {0};
    setup(&f, _i, 8);
    struct msg m = define("wait");
    ask(&f, &a, &m, "acme");
    uint32_t refused = 0;
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "n%zu", i);
        m = start("wait", name);
        send(&f, &many[i], &m, "acme");
    }
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        RUN_UNTIL(&f, many[i].done > 0);
        refused += many[i].type == MSG_ERROR && many[i].e == ERR_LIMIT;
        ck_assert(many[i].type == MSG_START_OK || many[i].e == ERR_LIMIT);
        asked_last = &many[i];
        host_run(f.host, fini);
    }
    ck_assert_uint_ge(refused, 1);
    ck_assert_uint_lt(refused, ARRAY_LEN(many));
    teardown(&f);
}
END_TEST

static void stop(struct host *h)
{
    struct fixture *f = h->user;
    engine_stop(f->engine, on_stopped, f);
}

START_TEST(answered_while_draining_and_after)
{
    struct fixture f;
    struct asked a = {.call.create = true};
    setup(&f, _i, 8);
    struct msg m = define("wait");
    ask(&f, &a, &m, "acme");
    host_run(f.host, stop);
    m = start("wait", "late");
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.e, ERR_GOING_AWAY);
    RUN_UNTIL(&f, f.stopped); /* the front is gone */
    ask(&f, &a, &m, "acme");
    ck_assert_int_eq(a.e, ERR_GOING_AWAY);
    teardown(&f);
}
END_TEST

int main(void)
{
    mem_regions_enable();
    Suite *s = suite_create("local");
    TCase *c = tcase_create("local");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, messages_without_a_connection, 0, 4);
    tcase_add_loop_test(c, the_same_limits, 0, 4);
    tcase_add_loop_test(c, the_same_admission, 0, 4);
    tcase_add_loop_test(c, answered_while_draining_and_after, 0, 4);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
