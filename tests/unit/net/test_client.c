/* libcarillon against a small cluster in this process, over real sockets. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"
#include "carillon/carillon.h"

#include "tests/unit/net/fake_node.h"
#include "tests/unit/net/nng_races.h"

#include <check.h>
#include <poll.h>
#include <stdatomic.h>

static carillon_client *client_to(const char *addresses, int64_t timeout_ms)
{
    carillon_client *client = NULL;
    carillon_error error = {0};
    carillon_options o = {.addresses = addresses, .name = "test", .timeout_ms = timeout_ms};
    ck_assert_msg(carillon_client_new(&o, &client, &error) == CARILLON_OK, "%s", error.text);
    return client;
}

static void must(int code, const carillon_error *error)
{
    ck_assert_msg(code == CARILLON_OK, "%s: %s", carillon_code_name(code), error->text);
}

/* A condition that another thread makes true; polled against a deadline. */
static bool eventually(bool (*holds)(void *arg), void *arg)
{
    int64_t until = clock_mono(os_clock()).us + 20 * (int64_t)US_PER_S;
    while (!holds(arg)) {
        if (clock_mono(os_clock()).us > until) {
            return false;
        }
        (void)poll(NULL, 0, 1); /* looks again in a millisecond */
    }
    return true;
}

/* ---- handlers ---- */

struct job {
    _Atomic int done, cancelled;
    int fail_every;
};

static void echo(void *arg, carillon_task *t)
{
    struct job *j = arg;
    int n = ++j->done;
    int code;
    if (j->fail_every > 0 && n % j->fail_every == 0) {
        code = carillon_task_fail(t, "Echo.Broken", "as asked");
    } else {
        code = carillon_task_succeed(t, carillon_task_input(t));
    }
    ck_assert_int_eq(code, CARILLON_OK);
}

static void until_cancelled(void *arg, carillon_task *t)
{
    struct job *j = arg;
    while (!carillon_task_is_cancelled(t)) {
        (void)poll(NULL, 0, 1);
    }
    j->cancelled++;
    ck_assert_int_eq(carillon_task_fail(t, "Gave.Up", NULL), CARILLON_OK);
}

static carillon_worker *worker_on(carillon_client *c, carillon_task_fn fn, struct job *j,
                                  uint32_t concurrency, uint32_t threads)
{
    static const char *const queues[] = {"echo"};
    carillon_worker *w = NULL;
    carillon_error error = {0};
    carillon_worker_options o = {.queues = queues,
                                 .queues_len = 1,
                                 .concurrency = concurrency,
                                 .threads = threads,
                                 .handler = fn,
                                 .arg = j};
    must(carillon_worker_new(c, &o, &w, &error), &error);
    must(carillon_worker_start(w, &error), &error);
    return w;
}

/* ---- calls ---- */

START_TEST(arguments)
{
    carillon_client *c = NULL;
    carillon_error e = {0};
    static const char *const bad[] = {"", "127.0.0.1:1", "tcp://", ",", "tcp://a:1,http://b:2"};
    ck_assert_int_eq(carillon_client_new(NULL, &c, &e), CARILLON_INVALID);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        carillon_options o = {.addresses = bad[i]};
        e.text[0] = '\0';
        ck_assert_int_eq(carillon_client_new(&o, &c, &e), CARILLON_INVALID);
        ck_assert(e.text[0] != '\0' && e.code == CARILLON_INVALID);
    }
    c = client_to("tcp://127.0.0.1:9", 1000);
    carillon_execution *x = NULL;
    ck_assert_int_eq(carillon_describe(c, "no-id", NULL, NULL, &x, &e), CARILLON_INVALID);
    ck_assert_ptr_nonnull(strstr(e.text, "no-id"));
    ck_assert_int_eq(carillon_describe(c, NULL, "w", NULL, &x, &e), CARILLON_INVALID);
    ck_assert_int_eq(carillon_start(c, NULL, NULL, NULL, NULL, &e), CARILLON_INVALID);
    ck_assert_int_eq(carillon_token_succeed(c, "abc", "{}", &e), CARILLON_INVALID);
    ck_assert_int_eq(carillon_start_async(c, "w", "n", "{}", NULL, NULL, &e), CARILLON_INVALID);
    carillon_worker *w = NULL;
    ck_assert_int_eq(carillon_worker_new(c, NULL, &w, &e), CARILLON_INVALID);
    static const char *const queues[] = {"has space"};
    carillon_worker_options o = {.queues = queues, .queues_len = 1, .handler = echo};
    ck_assert_int_eq(carillon_worker_new(c, &o, &w, &e), CARILLON_INVALID);
    ck_assert_str_eq(carillon_status_name(CARILLON_ABORTED), "ABORTED");
    ck_assert_str_eq(carillon_status_name(77), "?");
    ck_assert_str_eq(carillon_code_name(CARILLON_STALE), "STALE");
    carillon_client_free(c);
}
END_TEST

START_TEST(nobody_there)
{
    carillon_error e = {0};
    carillon_client *c = client_to("tcp://127.0.0.1:9", 600);
    ck_assert_int_eq(carillon_client_wait_ready(c, 50, &e), CARILLON_UNAVAILABLE);
    ck_assert_int_eq(carillon_start(c, "w", "n", NULL, NULL, &e), CARILLON_UNAVAILABLE);
    ck_assert_int_eq(e.code, CARILLON_UNAVAILABLE);
    ck_assert_str_eq(e.text, "tcp://127.0.0.1:9: cannot be reached");
    carillon_client_free(c);
}
END_TEST

START_TEST(all_calls)
{
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 0);
    carillon_error e = {0};
    must(carillon_client_wait_ready(c, 10000, &e), &e);

    carillon_started s, again;
    must(carillon_start(c, "steps-2", "one", "{\"a\":1}", &s, &e), &e);
    ck_assert(s.created && strlen(s.execution) == 36);
    ck_assert_str_eq(s.name, "one");
    must(carillon_start(c, "steps-2", "one", "{\"a\":1}", &again, &e), &e);
    ck_assert(!again.created);
    ck_assert_str_eq(again.execution, s.execution);
    ck_assert_int_eq(carillon_start(c, "steps-2", "one", "{}", NULL, &e), CARILLON_EXISTS);
    ck_assert_str_eq(e.text, "name taken");
    ck_assert_int_eq(carillon_start(c, "nothing", NULL, NULL, NULL, &e), CARILLON_NO_WORKFLOW);
    ck_assert_int_eq(carillon_start(c, "steps-1", "x", "\xff", NULL, &e), CARILLON_MALFORMED);

    struct job job = {0};
    carillon_worker *w = worker_on(c, echo, &job, 4, 2);
    carillon_execution *x = NULL;
    must(carillon_wait(c, s.execution, INT64_MAX, &x, &e), &e);
    ck_assert_int_eq(x->status, CARILLON_SUCCEEDED);
    ck_assert_str_eq(x->output, "{\"a\":1}");
    ck_assert_str_eq(x->workflow, "steps-2");
    ck_assert_ptr_null(x->error);
    carillon_execution_free(x);
    must(carillon_describe(c, NULL, "steps-2", "one", &x, &e), &e);
    ck_assert_str_eq(x->execution, s.execution);
    carillon_execution_free(x);
    must(carillon_worker_stop(w, 10000, &e), &e);
    carillon_worker_free(w);
    ck_assert_int_eq(job.done, 2);

    must(carillon_start(c, "steps-1", NULL, NULL, &s, &e), &e);
    ck_assert_uint_eq(strlen(s.name), 36);
    ck_assert_int_eq(carillon_wait(c, s.execution, 50, &x, &e), CARILLON_TIMEOUT);
    ck_assert_int_eq(carillon_wait(c, s.execution, 0, &x, &e), CARILLON_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(e.text, "has not ended within 0 ms"));
    int64_t stopped = 0;
    must(carillon_stop(c, s.execution, "Test.Stop", "enough", &stopped, &e), &e);
    ck_assert_int_ne(stopped, 0);
    must(carillon_wait(c, s.execution, -1, &x, &e), &e);
    ck_assert_int_eq(x->status, CARILLON_ABORTED);
    carillon_execution_free(x);
    unsigned asked = f->describes;
    must(carillon_wait(c, s.execution, -1, NULL, &e), &e);
    must(carillon_wait(c, s.execution, 0, NULL, &e), &e);
    ck_assert_uint_eq(f->describes, asked);

    carillon_list *l = NULL;
    must(carillon_list_executions(c, NULL, 0, 1, NULL, &l, &e), &e);
    ck_assert_uint_eq(l->len, 1);
    ck_assert_ptr_nonnull(l->cursor);
    carillon_list *rest = NULL;
    must(carillon_list_executions(c, NULL, 0, 0, l->cursor, &rest, &e), &e);
    ck_assert_uint_eq(rest->len, 1);
    ck_assert_ptr_null(rest->cursor);
    carillon_list_free(rest);
    carillon_list_free(l);
    carillon_history *h = NULL;
    must(carillon_history_read(c, s.execution, 0, 10, false, &h, &e), &e);
    ck_assert_uint_eq(h->len, 2);
    ck_assert_str_eq(h->events[1], "{\"id\":2}");
    ck_assert_uint_eq(h->next, 2);
    carillon_history_free(h);

    uint32_t version = 0;
    carillon_problems *p = NULL;
    ck_assert_int_eq(carillon_definition_put(c, "w", "bad", 0, &version, NULL, &p, &e),
                     CARILLON_DEFINITION);
    ck_assert_uint_eq(p->len, 1);
    ck_assert_uint_eq(p->items[0].line, 3);
    ck_assert_str_eq(p->items[0].pointer, "/States/A");
    carillon_problems_free(p);
    must(carillon_definition_put(c, "w", "{}", CARILLON_FORMAT_JSON, &version, NULL, &p, &e), &e);
    ck_assert_uint_eq(version, 1);
    carillon_definition *d = NULL;
    must(carillon_definition_get(c, "w", 0, &d, &e), &e);
    ck_assert_str_eq(d->text, "{}");
    carillon_definition_free(d);
    carillon_definitions *ds = NULL;
    must(carillon_definition_list(c, NULL, 0, &ds, &e), &e);
    ck_assert_uint_eq(ds->len, 1);
    carillon_definitions_free(ds);
    must(carillon_definition_delete(c, "w", &e), &e);
    char *json = NULL;
    must(carillon_node_status(c, &json, &e), &e);
    ck_assert_str_eq(json, "{\"fake\":true}");
    carillon_string_free(json);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

/* ---- by token ---- */

struct handed {
    char token[64];
    _Atomic int have;
    carillon_task *task;
};

static void hand_over(void *arg, carillon_task *t)
{
    struct handed *h = arg;
    snprintf(h->token, sizeof(h->token), "%s", carillon_task_token(t));
    h->task = t;
    h->have = 1;
}

static bool is_handed(void *arg)
{
    return ((struct handed *)arg)->have != 0;
}

START_TEST(outcome_by_token)
{
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 0);
    carillon_error e = {0};
    struct handed h = {0};
    carillon_worker *w = worker_on(c, hand_over, (struct job *)(void *)&h, 1, 0);
    carillon_started s;
    must(carillon_start(c, "steps-1", NULL, NULL, &s, &e), &e);
    ck_assert(eventually(is_handed, &h));
    must(carillon_token_heartbeat(c, h.token, &e), &e);
    must(carillon_token_succeed(c, h.token, "{\"by\":\"token\"}", &e), &e);
    ck_assert_int_eq(carillon_token_fail(c, h.token, "E", "late", &e), CARILLON_STALE);
    ck_assert_int_eq(carillon_token_heartbeat(c, h.token, &e), CARILLON_STOPPED);
    carillon_execution *x = NULL;
    must(carillon_wait(c, s.execution, 10000, &x, &e), &e);
    ck_assert_str_eq(x->output, "{\"by\":\"token\"}");
    carillon_execution_free(x);
    /* The worker's own outcome comes too late, which is no reason to stop it. */
    ck_assert_int_eq(carillon_task_succeed(h.task, NULL), CARILLON_OK);
    must(carillon_worker_stop(w, 10000, &e), &e);
    ck_assert_int_eq(f->stale, 2);
    carillon_worker_free(w);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

/* ---- many ---- */

struct async {
    _Atomic int done, failed;
};

static void async_done(void *arg, int code, const carillon_started *s, const char *text)
{
    struct async *a = arg;
    (void)text;
    a->failed += code == CARILLON_OK && s != NULL && s->created ? 0 : 1;
    a->done++;
}

static bool all_async(void *arg)
{
    return ((struct async *)arg)->done == 500;
}

static bool none_running(void *arg)
{
    return ((struct fake_cluster *)arg)->running == 0;
}

START_TEST(starts_together)
{
    enum { MANY = 2500 };
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 0);
    carillon_error e = {0};
    carillon_start_item *items = calloc(MANY, sizeof(*items));
    for (int i = 0; i < MANY; i++) {
        items[i].workflow = i == 1234 ? "nothing" : "steps-1";
    }
    ck_assert_int_eq(carillon_start_many(c, items, MANY, &e), CARILLON_NO_WORKFLOW);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(items[i].code, i == 1234 ? CARILLON_NO_WORKFLOW : CARILLON_OK);
    }
    free(items);
    ck_assert_uint_eq(f->created, MANY - 1);
    ck_assert_uint_lt(f->frames, 20);
    struct async a = {0};
    for (int i = 0; i < 500; i++) {
        must(carillon_start_async(c, "steps-1", NULL, "{}", async_done, &a, &e), &e);
    }
    ck_assert(eventually(all_async, &a));
    ck_assert_int_eq(a.failed, 0);
    struct job job = {0};
    carillon_worker *w = worker_on(c, echo, &job, 200, 0);
    ck_assert(eventually(none_running, f));
    must(carillon_worker_stop(w, 10000, &e), &e);
    carillon_worker_free(w);
    ck_assert_int_eq(job.done, MANY - 1 + 500);
    ck_assert_uint_eq(f->accepted, MANY - 1 + 500);
    ck_assert_uint_eq(f->stale, 0);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

START_TEST(one_round_trip_a_step)
{
    enum { STEPS = 50 };
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 0);
    carillon_error e = {0};
    struct job job = {0};
    carillon_worker *w = worker_on(c, echo, &job, 1, 0);
    carillon_started s;
    must(carillon_start(c, "steps-50", NULL, NULL, &s, &e), &e);
    ck_assert(eventually(none_running, f));
    /* The long poll that brought the first task, one poll for each outcome. */
    ck_assert_uint_le(f->polls, STEPS + 2);
    must(carillon_worker_stop(w, 10000, &e), &e);
    ck_assert_uint_eq(f->accepted, STEPS);
    carillon_worker_free(w);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

/* ---- trouble ---- */

struct starter {
    struct thread thread;
    carillon_client *client;
    int starts, failed;
};

static void starter_run(void *arg)
{
    struct starter *s = arg;
    for (int i = 0; i < s->starts; i++) {
        carillon_error e;
        carillon_started out;
        s->failed += carillon_start(s->client, "steps-3", NULL, "{\"i\":1}", &out, &e) == 0 ? 0 : 1;
    }
}

/* Answers get lost with their connections all the time: nothing is done twice, nothing is lost. */
START_TEST(lost_answers)
{
    enum { THREADS = 8, EACH = 25, ALL = THREADS * EACH };
    struct fake_cluster *f = fake_new();
    f->lose_every = 7;
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 60000);
    carillon_error e = {0};
    struct job job = {0};
    carillon_worker *w = worker_on(c, echo, &job, 10, _i == 0 ? 0 : 3);
    struct starter starters[THREADS];
    for (int i = 0; i < THREADS; i++) {
        starters[i] = (struct starter){.client = c, .starts = EACH};
        thread_start(&starters[i].thread, "starter", starter_run, &starters[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(&starters[i].thread);
        ck_assert_int_eq(starters[i].failed, 0);
    }
    ck_assert_uint_eq(f->created, ALL);
    ck_assert_msg(eventually(none_running, f), "running %u accepted %u frames %u lost %u hellos %u",
                  f->running, f->accepted, f->frames, f->lost, f->hellos);
    must(carillon_worker_stop(w, 20000, &e), &e);
    carillon_worker_free(w);
    ck_assert_uint_eq(f->accepted, 3 * ALL);
    ck_assert_uint_gt(f->lost, 10);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

/* One address is dead, one node stands by, one is active; then it goes away and the other takes
 * over; at last a node just vanishes. */
START_TEST(moves_on)
{
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_STANDBY);
    fake_node_start(f, 1, MSG_NODE_ACTIVE);
    char addresses[256];
    snprintf(addresses, sizeof(addresses), "tcp://127.0.0.1:9, %s,%s", f->nodes[0].address,
             f->nodes[1].address);
    carillon_client *c = client_to(addresses, 20000);
    carillon_error e = {0};
    struct job job = {0};
    carillon_worker *w = worker_on(c, echo, &job, 2, 0);
    carillon_execution *x = NULL;
    for (int round = 0; round < 3; round++) {
        carillon_started s;
        must(carillon_start(c, "steps-5", NULL, NULL, &s, &e), &e);
        must(carillon_wait(c, s.execution, 20000, &x, &e), &e);
        ck_assert_int_eq(x->status, CARILLON_SUCCEEDED);
        carillon_execution_free(x);
        if (round == 0) {
            fake_node_state(f, 1, MSG_NODE_GOING_AWAY);
            fake_node_state(f, 0, MSG_NODE_ACTIVE);
        } else if (round == 1) {
            fake_node_stop(f, 0);
            fake_node_state(f, 1, MSG_NODE_ACTIVE);
        }
    }
    must(carillon_worker_stop(w, 20000, &e), &e);
    carillon_worker_free(w);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

START_TEST(standby_only)
{
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_STANDBY);
    carillon_client *c = client_to(f->nodes[0].address, 800);
    carillon_error e = {0};
    ck_assert_int_eq(carillon_client_wait_ready(c, 300, &e), CARILLON_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(e.text, "standby"));
    ck_assert_int_eq(carillon_start(c, "steps-1", "n", NULL, NULL, &e), CARILLON_UNAVAILABLE);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

START_TEST(busy_node)
{
    struct fake_cluster *f = fake_new();
    f->busy = 5;
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 20000);
    carillon_error e = {0};
    must(carillon_start(c, "steps-1", "n", NULL, NULL, &e), &e);
    ck_assert_uint_eq(f->starts, 6);
    ck_assert_uint_eq(f->created, 1);
    carillon_client_free(c);
    /* Refused to the end: nothing happened, and that is what the caller hears. */
    f->busy = UINT_MAX;
    c = client_to(f->nodes[0].address, 300);
    ck_assert_int_eq(carillon_start(c, "steps-1", "m", NULL, NULL, &e), CARILLON_LIMIT);
    ck_assert_uint_gt(f->starts, 7);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

static bool three_held(void *arg)
{
    return ((struct handed *)arg)->have != 0;
}

START_TEST(heartbeats_and_stop)
{
    struct fake_cluster *f = fake_new();
    f->heartbeat_ms = 60;
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 0);
    carillon_error e = {0};
    struct job job = {0};
    carillon_worker *w = worker_on(c, until_cancelled, &job, 2, 2);
    carillon_started s;
    must(carillon_start(c, "steps-1", NULL, NULL, &s, &e), &e);
    while (f->beats < 3) {
        (void)poll(NULL, 0, 1);
    }
    ck_assert_int_eq(job.cancelled, 0);
    must(carillon_stop(c, s.execution, NULL, NULL, NULL, &e), &e);
    must(carillon_worker_stop(w, 20000, &e), &e);
    ck_assert_int_eq(job.cancelled, 1);
    carillon_worker_free(w);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

/* A task without a heartbeat of its own, in the only place, with a long handler: the node hears of it, and
 * the handler of the stop. */
START_TEST(long_handlers_are_named)
{
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 0);
    carillon_error e = {0};
    struct job job = {0};
    carillon_worker *w = worker_on(c, until_cancelled, &job, 1, 1);
    carillon_started s;
    must(carillon_start(c, "steps-1", NULL, NULL, &s, &e), &e);
    while (f->named < 3) {
        (void)poll(NULL, 0, 1);
    }
    ck_assert_int_eq(job.cancelled, 0);
    must(carillon_stop(c, s.execution, NULL, NULL, NULL, &e), &e);
    must(carillon_worker_stop(w, 20000, &e), &e);
    ck_assert_int_eq(job.cancelled, 1);
    carillon_worker_free(w);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

static void give_back_first(void *arg, carillon_task *t)
{
    struct job *j = arg;
    int n = ++j->done;
    ck_assert_int_eq(n == 1 ? carillon_task_give_back(t) : carillon_task_succeed(t, NULL),
                     CARILLON_OK);
}

START_TEST(given_back)
{
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 0);
    carillon_error e = {0};
    struct job job = {0};
    carillon_worker *w = worker_on(c, give_back_first, &job, 1, 0);
    must(carillon_start(c, "steps-1", NULL, NULL, NULL, &e), &e);
    ck_assert(eventually(none_running, f));
    ck_assert_int_eq(job.done, 2);
    must(carillon_worker_stop(w, 20000, &e), &e);
    carillon_worker_free(w);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

/* Outcomes over a limit are refused where they are made, and the task can still be ended. */
static void too_much(void *arg, carillon_task *t)
{
    struct job *j = arg;
    size_t size = 2u << 20;
    char *big = malloc(size + 1);
    memset(big, 'x', size);
    big[size] = '\0';
    ck_assert_int_eq(carillon_task_succeed(t, big), CARILLON_TOO_LARGE);
    ck_assert_int_eq(carillon_task_fail(t, big, NULL), CARILLON_TOO_LARGE);
    ck_assert_int_eq(carillon_task_succeed(t, "\xc3"), CARILLON_MALFORMED);
    free(big);
    j->done++;
    ck_assert_int_eq(carillon_task_fail(t, "Too.Large", "2 MiB"), CARILLON_OK);
}

START_TEST(bad_outcomes)
{
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 0);
    carillon_error e = {0};
    struct job job = {0};
    carillon_worker *w = worker_on(c, too_much, &job, 1, 1);
    carillon_started s;
    carillon_execution *x = NULL;
    must(carillon_start(c, "steps-4", NULL, NULL, &s, &e), &e);
    must(carillon_wait(c, s.execution, 10000, &x, &e), &e);
    ck_assert_int_eq(x->status, CARILLON_FAILED);
    ck_assert_str_eq(x->error, "Too.Large");
    carillon_execution_free(x);
    must(carillon_worker_stop(w, 10000, &e), &e);
    carillon_worker_free(w);
    carillon_client_free(c);
    fake_free(f);
}
END_TEST

/* A worker can be freed with a task in hand, a client with calls under way. */
START_TEST(freed_in_the_middle)
{
    struct fake_cluster *f = fake_new();
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    carillon_client *c = client_to(f->nodes[0].address, 0);
    carillon_error e = {0};
    struct handed h = {0};
    carillon_worker *w = worker_on(c, hand_over, (struct job *)(void *)&h, 3, 1);
    must(carillon_start(c, "steps-1", NULL, NULL, NULL, &e), &e);
    ck_assert(eventually(three_held, &h));
    ck_assert_int_eq(carillon_worker_stop(w, 20, &e), CARILLON_TIMEOUT);
    ck_assert_int_eq(carillon_task_succeed(h.task, NULL), CARILLON_OK);
    carillon_worker_free(w);
    struct async a = {0};
    for (int i = 0; i < 500; i++) {
        must(carillon_start_async(c, "steps-1", NULL, "{}", async_done, &a, &e), &e);
    }
    carillon_client_free(c);
    ck_assert_int_eq(a.done, 500); /* each told, one way or the other */
    fake_free(f);
}
END_TEST

/* Runs the Python client; its first line of output, and its exit status. */
static int python(const char *address, const char *what, char *line, int size)
{
    char command[512];
    snprintf(command, sizeof(command), "python3 tests/integration/protocol_client.py %s %s",
             address, what);
    FILE *p = popen(command, "r");
    ck_assert_ptr_nonnull(p);
    line[0] = '\0';
    (void)!fgets(line, size, p);
    line[strcspn(line, "\n")] = '\0';
    return pclose(p);
}

/* A client that shares no code with this one and was written from docs/protocol.md. */
START_TEST(another_language)
{
    struct fake_cluster *f = fake_new();
    char line[256];
    char wait[64];
    fake_node_start(f, 0, MSG_NODE_ACTIVE);
    const char *address = f->nodes[0].address;
    ck_assert_int_eq(python(address, "status", line, sizeof(line)), 0);
    ck_assert_str_eq(line, "{\"fake\": true}");
    ck_assert_int_eq(python(address, "start steps-3 py '{\"a\": 1}'", line, sizeof(line)), 0);
    ck_assert_ptr_nonnull(strstr(line, " True"));
    snprintf(wait, sizeof(wait), "wait %.36s", line);
    ck_assert_int_eq(python(address, "start steps-3 py '{\"a\": 1}'", line, sizeof(line)), 0);
    ck_assert_ptr_nonnull(strstr(line, " False"));
    ck_assert_int_ne(python(address, "start nothing py", line, sizeof(line)), 0);
    ck_assert_int_eq(python(address, "echo echo 3", line, sizeof(line)), 0);
    ck_assert_str_eq(line, "3");
    ck_assert_int_eq(python(address, wait, line, sizeof(line)), 0);
    ck_assert_int_eq(line[0], '2');
    ck_assert_uint_eq(f->accepted, 3);
    fake_free(f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client");
    TCase *t = tcase_create("client");
    tcase_set_timeout(t, 100);
    tcase_add_test(t, arguments);
    tcase_add_test(t, nobody_there);
    tcase_add_test(t, all_calls);
    tcase_add_test(t, outcome_by_token);
    tcase_add_test(t, starts_together);
    tcase_add_test(t, one_round_trip_a_step);
    tcase_add_loop_test(t, lost_answers, 0, 2);
    tcase_add_test(t, moves_on);
    tcase_add_test(t, standby_only);
    tcase_add_test(t, busy_node);
    tcase_add_test(t, heartbeats_and_stop);
    tcase_add_test(t, long_handlers_are_named);
    tcase_add_test(t, given_back);
    tcase_add_test(t, bad_outcomes);
    tcase_add_test(t, freed_in_the_middle);
    tcase_add_test(t, another_language);
    suite_add_tcase(suite, t);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
