/* Cases through core, store and worker protocol: a node with its PostgreSQL, the client library, and a worker
 * of this process that answers from the recording. Each case is a workflow of its own. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "cmd/carillon/cli.h"
#include "cmd/carillon/conformance.h"
#include "cmd/carillon/local_node.h"
#include "engine/core/def.h"

enum {
    REAL_TIME_MAX_MS = 2000, /* what a case may wait */
    END_MS = 20000,          /* how long its end is waited for */
    HELD_MAX = 1000          /* tasks at once */
};

struct node_run {
    struct local_node local;
    carillon_client *client;
    uint32_t cases;
};

struct node_run *node_run_start(void)
{
    struct node_run *n = MEM_NEW(struct node_run);
    carillon_error e;
    daemon_block_signals();
    log_set_clock(os_clock());
    (void)log_set_level(STR("*"), LOG_WARN);
    if (!local_node_start(&n->local, NULL, "tcp://127.0.0.1:0", false)) {
        node_run_stop(n);
        return NULL;
    }
    carillon_options o = {.addresses = daemon_address(n->local.node),
                          .name = "conformance",
                          .tenant = "111111111111",
                          .timeout_ms = END_MS};
    if (carillon_client_new(&o, &n->client, &e) != CARILLON_OK) {
        (void)cli_failed("conformance", &e);
        node_run_stop(n);
        return NULL;
    }
    return n;
}

void node_run_stop(struct node_run *n)
{
    if (n != NULL) {
        carillon_client_free(n->client);
        local_node_stop(&n->local);
        mem_free(n);
    }
}

const char *node_run_skip(const struct rehearsal *h)
{
    if (h->child) {
        return "starts an execution of a workflow that was not recorded";
    }
    if (h->silent_beat) {
        return "a heartbeat is lost, which the client library does not let happen";
    }
    return h->took_us > (int64_t)REAL_TIME_MAX_MS * US_PER_MS ? "takes more than 2 s of real time"
                                                              : NULL;
}

/* ---- the worker ---- */

struct work {
    struct node_run *node;
    struct recorded *c;
    const struct rehearsal *h;
};

static const struct state *state_at(const struct def *def, struct str path)
{
    for (uint32_t i = 0; i < def_state_count(def); i++) {
        if (str_eq(def_state_path(def, i), path)) {
            return def_state(def, i);
        }
    }
    return NULL;
}

/* NUL-ended, NULL for what is absent. */
static const char *text_of(struct recorded *c, struct str s)
{
    return s.p == NULL ? NULL : str_dup(&c->arena, s).p;
}

/* The call is answered first; whoever has the token then hands in the outcome. */
static void by_token(struct work *w, carillon_task *t, const struct replay_answer *a)
{
    char token[256];
    (void)snprintf(token, sizeof(token), "%s", carillon_task_token(t));
    const char *submitted = a->submitted.p == NULL ? "{}" : text_of(w->c, a->submitted);
    if (carillon_task_succeed(t, submitted) != CARILLON_OK) {
        (void)carillon_task_give_back(t);
        return;
    }
    if (a->result == REPLAY_OUTPUT) {
        (void)carillon_token_succeed(w->node->client, token, text_of(w->c, a->output), NULL);
    } else if (a->result == REPLAY_ERROR) {
        (void)carillon_token_fail(w->node->client, token, text_of(w->c, a->error),
                                  text_of(w->c, a->cause), NULL);
    }
}

/* On the worker's one thread, while the main thread waits for the end. */
static void serve(void *arg, carillon_task *t)
{
    struct work *w = arg;
    const struct state *s = state_at(w->h->def, str_of(carillon_task_state(t)));
    const struct jv *o = s == NULL
                             ? NULL
                             : recorded_outcome(w->c, s->name, STR_NONE, carillon_task_attempt(t),
                                                str_of(carillon_task_input(t)));
    struct replay_answer a;
    if (o == NULL) {
        (void)recorded_fail(w->c, "no recorded outcome for %s", carillon_task_state(t));
        (void)carillon_task_fail(t, "Conformance.NoOutcome", w->c->reason);
        return;
    }
    recorded_answer(w->c, o, &a);
    int code = CARILLON_OK;
    if (s->resource.wait_for_token && (a.result != REPLAY_ERROR || a.submitted.p != NULL)) {
        by_token(w, t, &a);
    } else if (a.result == REPLAY_OUTPUT) {
        code = carillon_task_succeed(t, text_of(w->c, a.output));
    } else if (a.result == REPLAY_ERROR) {
        code = carillon_task_fail(t, text_of(w->c, a.error), text_of(w->c, a.cause));
    } /* else it is held: nobody answers */
    if (code != CARILLON_OK) {
        (void)recorded_fail(w->c, "the library refuses an outcome: %s", carillon_code_name(code));
        (void)carillon_task_give_back(t);
    }
}

static bool worker_start(struct work *w, carillon_worker **out, carillon_error *e)
{
    const char *queues[ARRAY_LEN(w->h->queues)];
    for (uint32_t i = 0; i < w->h->queues_len; i++) {
        queues[i] = w->h->queues[i].p;
    }
    carillon_worker_options o = {.queues = queues,
                                 .queues_len = w->h->queues_len,
                                 .concurrency = HELD_MAX,
                                 .threads = 1,
                                 .handler = serve,
                                 .arg = w};
    return w->h->queues_len == 0 ||
           (carillon_worker_new(w->node->client, &o, out, e) == CARILLON_OK &&
            carillon_worker_start(*out, e) == CARILLON_OK);
}

/* ---- what came of it ---- */

/* ARNs carry an account: the recordings have all the same one, a node has the number of the tenant. */
#define ARN "arn:aws:states:us-east-1:"
enum { ACCOUNT_SIZE = 12 };

static struct str with_recorded_account(struct replay *out, const char *text, uint32_t tenant)
{
    struct str s = text == NULL ? STR_NONE : str_dup(&out->arena, str_of(text));
    char arn[64];
    int size = snprintf(arn, sizeof(arn), ARN "%0*" PRIu32 ":", (int)ACCOUNT_SIZE, tenant);
    for (char *p = (char *)(uintptr_t)s.p; p != NULL && (p = strstr(p, arn)) != NULL; p += size) {
        memset(p + strlen(ARN), '1', ACCOUNT_SIZE);
    }
    return s;
}

static bool event_read(struct replay *out, struct str json, struct history_event *e)
{
    const struct jv *v;
    int64_t id = 0;
    if (json_parse(&out->arena, json, JSON_LIMITS_PAYLOAD, false, &v, NULL) != ERR_OK ||
        !jv_to_i64(jv_getc(v, "id"), &id)) {
        return false;
    }
    struct str scope = jv_str(jv_getc(v, "scope"));
    *e = (struct history_event){.id = (uint32_t)id,
                                .type = str_dup(&out->arena, jv_str(jv_getc(v, "type"))).p,
                                .scope = scope.p == NULL ? STR("") : scope};
    for (uint32_t i = 0; i < v->len; i++) {
        if (str_ends(v->u.members[i].name, STR("EventDetails"))) {
            e->details = v->u.members[i].value;
        }
    }
    return true;
}

static bool history_collect(struct node_run *n, const carillon_execution *x, uint32_t tenant,
                            struct replay *out, carillon_error *e)
{
    uint32_t after = 0, count = x->event_count;
    out->events = ARENA_ARRAY(&out->arena, struct history_event, count + 1);
    do {
        carillon_history *h = NULL;
        if (carillon_history_read(n->client, x->execution, after, 0, false, &h, e) != CARILLON_OK) {
            return false;
        }
        for (size_t i = 0; i < h->len && out->events_len < count; i++) {
            struct str json = with_recorded_account(out, h->events[i], tenant);
            if (!event_read(out, json, &out->events[out->events_len])) {
                out->reason = "an event of the history is no JSON object with an id";
            }
            out->events_len++;
        }
        after = h->next;
        carillon_history_free(h);
    } while (after != 0);
    if (out->events_len != count) {
        out->reason = arena_printf(&out->arena, "the history has %" PRIu32 " events, not %" PRIu32,
                                   out->events_len, count);
    }
    return true;
}

/* Stored, started, waited for, read back. */
static bool run(struct work *w, const char *workflow, struct replay *out, carillon_error *e)
{
    struct node_run *n = w->node;
    carillon_started s;
    carillon_execution *x = NULL;
    const char *input = w->c->input.p == NULL ? NULL : text_of(w->c, w->c->input);
    if (carillon_definition_put(n->client, workflow, text_of(w->c, w->c->definition),
                                CARILLON_FORMAT_JSON, NULL, NULL, NULL, e) != CARILLON_OK ||
        carillon_start(n->client, workflow, "execution", input, &s, e) != CARILLON_OK) {
        return false;
    }
    if (carillon_wait(n->client, s.execution, END_MS, &x, e) != CARILLON_OK) {
        (void)carillon_stop(n->client, s.execution, NULL, NULL, NULL, NULL);
        return false;
    }
    struct exec_id id;
    uint32_t tenant = exec_id_parse(str_of(x->execution), &id) == ERR_OK ? exec_id_tenant(&id) : 0;
    out->status = (enum exec_status)x->status;
    out->output = with_recorded_account(out, x->output, tenant);
    out->error = with_recorded_account(out, x->error, tenant);
    out->cause = with_recorded_account(out, x->cause, tenant);
    bool ok = history_collect(n, x, tenant, out, e);
    carillon_execution_free(x);
    return ok;
}

void node_run_case(struct node_run *n, struct recorded *c, const struct rehearsal *h,
                   struct replay *out)
{
    struct work w = {n, c, h};
    carillon_worker *worker = NULL;
    carillon_error e = {0};
    char workflow[32];
    *out = (struct replay){.reason = NULL};
    arena_init(&out->arena, 0);
    (void)snprintf(workflow, sizeof(workflow), "case-%" PRIu32, ++n->cases);
    if (!worker_start(&w, &worker, &e) || !run(&w, workflow, out, &e)) {
        out->reason = arena_printf(&out->arena, "%s: %s", carillon_code_name(e.code), e.text);
    }
    if (worker != NULL) {
        (void)carillon_worker_stop(worker, 0, NULL);
    }
    carillon_worker_free(worker);
}

const char *node_run_definition(struct node_run *n, struct recorded *c)
{
    char workflow[32];
    carillon_error e = {0};
    carillon_problems *p = NULL;
    (void)snprintf(workflow, sizeof(workflow), "case-%" PRIu32, ++n->cases);
    int code = carillon_definition_put(n->client, workflow, text_of(c, c->definition),
                                       CARILLON_FORMAT_JSON, NULL, NULL, &p, &e);
    const char *why = NULL;
    if (code != CARILLON_OK) {
        why = p != NULL && p->len > 0
                  ? arena_printf(&c->arena, "%s: %s", p->items[0].pointer, p->items[0].message)
                  : arena_printf(&c->arena, "%s: %s", carillon_code_name(code), e.text);
    }
    carillon_problems_free(p);
    return why;
}
