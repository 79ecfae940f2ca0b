/* Clients: put the definitions, start executions (again, under doubt, under a taken name), look, watch,
 * stop. Each answer goes to the checkers. */
#include "base/prelude.h"

#include "tests/sim/run.h"

#include "base/assert.h"
#include "base/map.h"
#include "engine/core/core.h"

#define TASK(next) "{\"Type\":\"Task\",\"Resource\":\"queue:work\"," next "}"
#define END        "\"End\":true"
#define NEXT(s)    "\"Next\":\"" s "\""
#define RETRY \
    "\"Retry\":[{\"ErrorEquals\":[\"Broken\"],\"IntervalSeconds\":1,\"BackoffRate\":2," \
    "\"MaxAttempts\":3}],"

#define CHILD(name, fields) \
    "{\"Type\":\"Task\",\"Resource\":\"arn:aws:states:::states:startExecution.sync:2\"," \
    "\"Parameters\":{\"StateMachineArn\":\"kid\",\"Input.$\":\"$\"" name "}," fields "}"
#define BRANCH(state) "{\"StartAt\":\"" state "\",\"States\":{\"" state "\":" CHILD("", END) "}}"

enum { RETRY_ATTEMPTS = 4 };

static const struct {
    const char *name;
    uint32_t variants;
    const char *text;
} workflows[WORKFLOWS] = {
    {"chain", 1,
     "{\"StartAt\":\"T1\",\"States\":{\"T1\":" TASK(NEXT("T2")) ",\"T2\":" TASK(NEXT(
         "T3")) ","
                "\"T3\":" TASK(NEXT("T4")) ",\"T4\":" TASK(NEXT("T5")) ",\"T5\":" TASK(END) "}}"},
    {"wait", 1,
     "{\"StartAt\":\"T1\",\"States\":{\"T1\":" TASK(
         NEXT("W")) ",\"W\":{\"Type\":\"Wait\","
                    "\"Seconds\":25," NEXT("T2") "},\"T2\":" TASK(END) "}}"},
    {"choice", 2,
     "{\"StartAt\":\"T1\",\"States\":{\"T1\":" TASK(
         NEXT("C")) ",\"C\":{\"Type\":\"Choice\","
                    "\"Choices\":[{\"Variable\":\"$.c\",\"NumericEquals\":1," NEXT(
                        "F") "}],\"Default\":\"T2\"},"
                             "\"F\":{\"Type\":\"Fail\",\"Error\":\"Chosen\",\"Cause\":\"by "
                             "c\"},\"T2\":" TASK(END) "}}"},
    {"broken", 2, "{\"StartAt\":\"T1\",\"States\":{\"T1\":" TASK(END) "}}"},
    {"long", 1,
     "{\"StartAt\":\"W\",\"States\":{\"W\":{\"Type\":\"Wait\",\"Seconds\":110," NEXT(
         "T1") "},"
               "\"T1\":" TASK(END) "}}"},
    {"waits", 1,
     "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Wait\",\"Seconds\":1," NEXT(
         "B") "},"
              "\"B\":{\"Type\":\"Wait\",\"Seconds\":2," NEXT(
                  "P") "},\"P\":{\"Type\":\"Pass\"," NEXT("T1") "},\"T1\":" TASK(END) "}}"},
    {"timeout", 2,
     "{\"StartAt\":\"T1\",\"States\":{\"T1\":" TASK("\"TimeoutSeconds\":15," END) "}}"},
    {"retry", 3, "{\"StartAt\":\"T1\",\"States\":{\"T1\":" TASK(RETRY END) "}}"},
    /* A callback that got lost is asked for again. */
    {"call", 2,
     "{\"StartAt\":\"T1\",\"States\":{\"T1\":{\"Type\":\"Task\",\"Resource\":"
     "\"queue:work.waitForTaskToken\",\"TimeoutSeconds\":20,\"Retry\":[{\"ErrorEquals\":["
     "\"States.Timeout\"],\"IntervalSeconds\":1,\"BackoffRate\":1,\"MaxAttempts\":40}]," END "}}}"},
    {"family", 2,
     "{\"StartAt\":\"C\",\"States\":{\"C\":" CHILD("", "\"OutputPath\":\"$.Output\"," NEXT(
                                                           "T2")) ","
                                                                  "\"T2\":" TASK(END) "}}"},
    {"named", 2,
     "{\"StartAt\":\"C\",\"States\":{\"C\":" CHILD(
         ",\"Name.$\":\"States.Format('{}-kid',$$.Execution.Name)\"",
         "\"OutputPath\":\"$.Output\"," NEXT("T2")) ",\"T2\":" TASK(END) "}}"},
    {"brood", 2,
     "{\"StartAt\":\"P\",\"States\":{\"P\":{\"Type\":\"Parallel\",\"ResultPath\":null,"
     "\"Branches\":[" BRANCH("A") "," BRANCH("B") "," BRANCH("D") "]," NEXT("T1") "},"
                                                                                  "\"T1\":" TASK(
                                                                                      END) "}}"},
    {"unheard", 1, /* no worker asks at its queue */
     "{\"StartAt\":\"T1\",\"States\":{\"T1\":{\"Type\":\"Task\",\"Resource\":\"queue:nobody\","
     "\"TimeoutSeconds\":20," END "}}}"},
    {"kid", 1, "{\"StartAt\":\"T1\",\"States\":{\"T1\":" TASK(END) "}}"},
};
enum { CALL = 8, FAMILY, NAMED, BROOD, UNHEARD, KID };

struct str tenant_name(uint32_t tenant)
{
    static const struct str names[RUN_TENANTS] = {{"", 0}, {"acme", 4}, {"globex", 6}};
    return names[tenant];
}

const char *workflow_name(uint32_t index)
{
    return workflows[index].name;
}

void workflow_rules(struct checkers *c)
{
    checkers_rules(c, STR("retry"),
                   &(struct check_rules){.attempts_max = RETRY_ATTEMPTS, .backoff_us = US_PER_S});
    checkers_rules(c, STR("call"), &(struct check_rules){.attempts_max = 41});
    checkers_rules(c, STR("brood"), &(struct check_rules){.attempts_max = 1, .parallel = true});
}

void order_payload(const struct order *o, uint32_t steps, char *out, size_t size)
{
    (void)snprintf(out, size,
                   "{\"n\":%" PRIu32 ",\"k\":%" PRIu32 ",\"c\":%" PRIu32 ",\"pay\":\"%s\"}", o->n,
                   steps, o->variant, o->pay);
}

unsigned order_end(const struct order *o, uint32_t *steps, const char **error)
{
    static const uint32_t all[WORKFLOWS] = {5, 2, 2, 1, 1, 1, 1, 1, 1, 2, 2, 1, 0, 1};
    *steps = all[o->workflow];
    *error = NULL;
    if (o->workflow == 2 && o->variant == 1) {
        *error = "Chosen";
    } else if ((o->workflow == 3 && o->variant == 1) || (o->workflow == 7 && o->variant == 2)) {
        *error = "Broken";
    } else if (o->workflow == CALL && o->variant == 1) {
        *error = "NoAnswer";
    } else if (order_child_fails(o)) {
        *error = "States.TaskFailed";
    } else if ((o->workflow == 6 && o->variant == 1) || o->workflow == UNHEARD) {
        *error = "States.Timeout";
    }
    return *error != NULL ? EXEC_FAILED : EXEC_SUCCEEDED;
}

bool order_fails(const struct order *o, uint32_t attempt)
{
    return (o->workflow == 3 && o->variant == 1) ||
           (o->workflow == 7 && (o->variant == 2 || (o->variant == 1 && attempt < 3)));
}

bool order_excused(struct run *r, const struct order *o, struct str error)
{
    bool childless = r->swarm.lossy && order_children(o) > 0 &&
                     str_eqc(error, "StepFunctions.StateMachineDoesNotExistException");
    if (childless) {
        r->definitions[o->tenant] &= ~(1U << KID); /* it is put again */
    }
    return childless || (o->workflow == 6 && str_eqc(error, "States.Timeout"));
}

bool order_child_fails(const struct order *o)
{
    return (o->workflow == FAMILY || o->workflow == NAMED || o->workflow == BROOD) &&
           o->variant == 1;
}

uint32_t order_children(const struct order *o)
{
    return o->workflow == BROOD ? 3 : o->workflow == FAMILY || o->workflow == NAMED ? 1 : 0;
}

bool order_unheard(const struct order *o)
{
    return o->workflow == UNHEARD;
}

bool order_calls(const struct order *o)
{
    return o->workflow == CALL;
}

/* Of a child only the input tells: {"n":<number>,... */
static struct str order_number(struct str workflow, struct str name, struct str input)
{
    size_t digits = 0;
    if (!str_eqc(workflow, "kid")) {
        return str_starts(name, STR("o-")) ? str_sub(name, 2, name.size) : STR_NONE;
    }
    input = str_starts(input, STR("{\"n\":")) ? str_sub(input, 5, input.size) : STR_NONE;
    while (digits < input.size && input.p[digits] >= '0' && input.p[digits] <= '9') {
        digits++;
    }
    return str_sub(input, 0, digits);
}

struct order *order_find(struct run *r, struct str workflow, struct str name, struct str input)
{
    uint64_t n;
    struct str number = order_number(workflow, name, input);
    if (str_to_u64(number, &n) != ERR_OK || n >= r->orders_len) {
        return NULL;
    }
    return &r->orders[n];
}

static struct order *order_new(struct run *r, uint32_t tenant, struct rng *rng)
{
    struct order *o = &r->orders[r->orders_len];
    o->tenant = tenant;
    o->n = r->orders_len++;
    o->workflow = (uint32_t)rng_below(rng, STARTABLE);
    o->variant = (uint32_t)rng_below(rng, workflows[o->workflow].variants);
    (void)snprintf(o->name, sizeof(o->name), "o-%" PRIu32, o->n);
    size_t len = (size_t)rng_between(rng, 1, sizeof(o->pay) - 1);
    for (size_t i = 0; i < len; i++) {
        o->pay[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rng_below(rng, 36)];
    }
    return o;
}

/* ---- starts ---- */

static struct check_start start_key(const struct order *o, uint64_t digest)
{
    return (struct check_start){o->tenant, str_of(workflow_name(o->workflow)), str_of(o->name),
                                digest};
}

/* What the checkers compare is what the node stores: a digest of its own over the input. Here any
 * function of the input will do, so that "same" and "other" are told apart. */
enum { DIGEST_SAME = 1, DIGEST_OTHER = 2 };

static void start_answered(struct actor *a, struct actor_request *q, const struct msg *m)
{
    struct order *o = q->order;
    struct run *r = a->run;
    struct check_start key = start_key(o, q->digest);
    if (m == NULL) {
        check_start_answer(r->checkers, &key, CHECK_UNKNOWN, NULL, false);
        return;
    }
    if (m->type == MSG_START_OK) {
        struct exec_id id;
        if (exec_id_parse(m->u.start_ok.execution, &id) != ERR_OK) {
            run_violation(r, 15, "an execution id that is none");
            return;
        }
        check_start_answer(r->checkers, &key, CHECK_OK, &id, false);
        if (q->digest == DIGEST_SAME) {
            o->decided = o->known = true;
            o->id = id;
            exec_id_format(&id, o->id_text);
        }
        return;
    }
    unsigned code = m->type == MSG_ERROR ? m->u.error.code : (unsigned)ERR_FATAL;
    if (err_class((enum err)code) == ERRC_UNKNOWN) {
        check_start_answer(r->checkers, &key, CHECK_UNKNOWN, NULL, false);
        return;
    }
    r->definite_failures++;
    bool may_be_gone = r->swarm.lossy || r->swarm.weight[SWARM_DAMAGE] > 0;
    if (code == ERR_NO_WORKFLOW && may_be_gone) { /* a failover or damage took the definition */
        check_start_answer(r->checkers, &key, CHECK_REFUSED, NULL, false);
        r->definitions[o->tenant] &= ~(1U << o->workflow);
        return;
    }
    check_start_answer(r->checkers, &key, CHECK_REFUSED, NULL, code == ERR_EXISTS);
    if (code != ERR_EXISTS && err_class((enum err)code) != ERRC_RETRY &&
        err_class((enum err)code) != ERRC_LIMIT) {
        run_violation(r, 16, "a start was refused with %s: %.*s", err_name((enum err)code),
                      STR_ARG(m->u.error.text));
    }
}

static void start_send(struct actor *a, struct order *o, bool other_input)
{
    char input[160];
    order_payload(o, 0, input, sizeof(input));
    if (other_input) {
        (void)snprintf(input, sizeof(input), "{\"other\":%" PRIu32 "}", o->n);
    }
    struct msg m = {.type = MSG_START};
    m.u.start.workflow = str_of(workflow_name(o->workflow));
    m.u.start.name = str_of(o->name);
    m.u.start.input = str_of(input);
    struct actor_request *q = actor_send(a, &m, start_answered);
    if (q != NULL) {
        q->order = o;
        q->digest = other_input ? DIGEST_OTHER : DIGEST_SAME;
        struct check_start key = start_key(o, q->digest);
        check_start_sent(a->run->checkers, &key);
        o->sent = true;
        a->run->operations++;
    }
}

/* ---- the rest ---- */

static void end_judged(struct run *r, const struct actor_request *q, unsigned status,
                       struct str output, struct str error)
{
    const struct order *o = q->order;
    uint32_t steps;
    const char *want;
    char expected[160];
    unsigned end = order_end(o, &steps, &want);
    check_end_told(r->checkers, &q->id, status, output);
    if (status == EXEC_ABORTED && o->stop_sent) {
        return;
    }
    if (order_excused(r, o, error)) {
        return;
    }
    if (status != end) {
        run_violation(r, 26, "%s ended as %s: %.*s", o->name,
                      exec_status_name((enum exec_status)status), STR_ARG(error));
    } else if (want == NULL) {
        order_payload(o, steps, expected, sizeof(expected));
        check_payload(r->checkers, o->name, output, str_of(expected));
    } else if (!str_eqc(error, want)) {
        run_violation(r, 26, "%s failed with %.*s, not %s", o->name, STR_ARG(error), want);
    }
}

static void watch_answered(struct actor *a, struct actor_request *q, const struct msg *m)
{
    if (m != NULL && m->type == MSG_WATCH_OK && m->u.watch_ok.ended) {
        end_judged(a->run, q, m->u.watch_ok.status, m->u.watch_ok.output, m->u.watch_ok.error);
    }
}

static void describe_answered(struct actor *a, struct actor_request *q, const struct msg *m)
{
    char input[160];
    if (m == NULL || m->type != MSG_DESCRIBE_OK) {
        return;
    }
    const struct msg_describe_ok *d = &m->u.describe_ok;
    order_payload(q->order, 0, input, sizeof(input));
    check_payload(a->run->checkers, "describe", d->input, str_of(input));
    if (d->status != EXEC_RUNNING) {
        end_judged(a->run, q, d->status, d->output, d->error);
    }
}

static void stop_answered(struct actor *a, struct actor_request *q, const struct msg *m)
{
    if (m != NULL && m->type == MSG_STOP_OK) {
        check_stop_acked(a->run->checkers, &q->id, world_wall(a->run->world));
    }
}

static void page_answered(struct actor *a, struct actor_request *q, const struct msg *m)
{
    (void)q;
    if (m != NULL && m->type == MSG_LIST_OK) {
        const struct msg_list_row *rows = m->u.list_ok.rows;
        for (uint32_t i = 0; i < m->u.list_ok.rows_len; i++) {
            const struct order *o = order_find(a->run, rows[i].workflow, rows[i].name, STR_NONE);
            if (o != NULL) { /* of a child the name does not tell */
                check_tenant(a->run->checkers, "a list", o->tenant, a->tenant);
            }
            if (i > 0 && rows[i].started_at_ms > rows[i - 1].started_at_ms) {
                run_violation(a->run, 0, "a list that is not newest first");
            }
        }
    }
}

static struct actor_request *order_ask(struct actor *a, struct order *o, enum msg_type type)
{
    struct msg m = {.type = type};
    struct str id = str_of(o->id_text);
    struct actor_request *q = NULL;
    switch ((unsigned)type) {
    case MSG_DESCRIBE:
        m.u.describe.execution = id;
        q = actor_send(a, &m, describe_answered);
        break;
    case MSG_WATCH:
        m.u.watch.execution = id;
        m.u.watch.wait_ms = (uint32_t)rng_below(&a->rng, 3000);
        q = actor_send(a, &m, watch_answered);
        break;
    case MSG_STOP:
        m.u.stop.execution = id;
        m.u.stop.error = STR("Stopped");
        o->stop_sent = true;
        q = actor_send(a, &m, stop_answered);
        break;
    case MSG_HISTORY:
        m.u.history.execution = id;
        m.u.history.limit = 50;
        q = actor_send(a, &m, page_answered);
        break;
    default:
        m.u.list.limit = 20;
        q = actor_send(a, &m, page_answered);
        break;
    }
    if (q != NULL) {
        q->order = o;
        q->id = o->id;
        a->run->operations++;
    }
    return q;
}

/* ---- what a client does next ---- */

static void def_answered(struct actor *a, struct actor_request *q, const struct msg *m)
{
    if (m != NULL && m->type == MSG_DEF_PUT_OK) {
        a->run->definitions[a->tenant] |= 1U << q->digest;
    } else if (m != NULL && m->type == MSG_ERROR &&
               err_class((enum err)m->u.error.code) == ERRC_INVALID) {
        run_violation(a->run, 0, "a definition was refused: %.*s", STR_ARG(m->u.error.text));
    }
}

static void definitions_put(struct actor *a)
{
    for (uint32_t i = 0; i < WORKFLOWS; i++) {
        if ((a->run->definitions[a->tenant] & (1U << i)) == 0) {
            struct msg m = {.type = MSG_DEF_PUT};
            m.u.def_put.workflow = str_of(workflows[i].name);
            m.u.def_put.text = str_of(workflows[i].text);
            struct actor_request *q = actor_send(a, &m, def_answered);
            if (q != NULL) {
                q->digest = i;
            }
        }
    }
}

/* An order whose start is in doubt or was refused for a while. */
static struct order *order_undecided(struct run *r, uint32_t tenant)
{
    uint32_t from = (uint32_t)rng_below(&r->rng, MAX(r->orders_len, 1U));
    for (uint32_t i = 0; i < r->orders_len; i++) {
        struct order *o = &r->orders[(from + i) % r->orders_len];
        if (o->sent && !o->decided && o->tenant == tenant) {
            return o;
        }
    }
    return NULL;
}

struct order *order_known(struct run *r, uint32_t tenant)
{
    uint32_t from = (uint32_t)rng_below(&r->rng, MAX(r->orders_len, 1U));
    for (uint32_t i = 0; i < r->orders_len; i++) {
        struct order *o = &r->orders[(from + i) % r->orders_len];
        if (o->known && (o->tenant == tenant || tenant == RUN_TENANTS)) {
            return o;
        }
    }
    return NULL;
}

/* What is another tenant's does not exist for this one. */
static void other_answered(struct actor *a, struct actor_request *q, const struct msg *m)
{
    if (m != NULL && m->type != MSG_ERROR) {
        check_tenant(a->run->checkers, q->order->name, q->order->tenant, a->tenant);
    }
}

static void other_ask(struct actor *a)
{
    static const enum msg_type types[] = {MSG_DESCRIBE, MSG_WATCH, MSG_STOP, MSG_HISTORY};
    struct order *o = order_known(a->run, (uint32_t)rng_below(&a->rng, a->run->swarm.tenants));
    if (o != NULL && o->tenant != a->tenant) {
        bool stopped = o->stop_sent;
        struct actor_request *q = order_ask(a, o, types[rng_below(&a->rng, ARRAY_LEN(types))]);
        o->stop_sent = stopped;
        if (q != NULL) {
            q->answered = other_answered;
        }
    }
}

static void client_acts(struct actor *a)
{
    struct run *r = a->run;
    uint64_t dice = rng_below(&a->rng, 100);
    struct order *o = order_known(r, a->tenant);
    struct order *doubt = order_undecided(r, a->tenant);
    if (doubt != NULL && (r->healing || dice < 30)) {
        start_send(a, doubt, false);
    } else if (r->healing) {
        if (o != NULL) {
            (void)order_ask(a, o, dice < 50 ? MSG_WATCH : MSG_DESCRIBE);
        }
    } else if (o == NULL || dice < 62) {
        if (r->orders_len < ORDERS_MAX) {
            start_send(a, order_new(r, a->tenant, &a->rng), false);
        }
    } else if (dice < 68) {
        start_send(a, o, false);
    } else if (dice < 72) {
        /* Not where a failover may have taken the first one: then this input would be the one. */
        start_send(a, o, !r->swarm.lossy);
    } else if (dice < 76) {
        (void)order_ask(a, o, MSG_STOP);
    } else if (dice < 86) {
        (void)order_ask(a, o, MSG_WATCH);
    } else {
        (void)order_ask(a, o, dice < 94 ? MSG_DESCRIBE : dice < 97 ? MSG_HISTORY : MSG_LIST);
        if (a->run->swarm.tenants > 1 && dice % 4 == 0) {
            other_ask(a);
        }
    }
}

static void client_ticked(struct actor *a)
{
    struct run *r = a->run;
    int64_t now = r->world->now_us;
    if (a->next_op_us > now || actor_requests(a) > 60) {
        return;
    }
    a->next_op_us = now + rng_between(&a->rng, 0, 2 * r->swarm.op_gap_us);
    if (r->definitions[a->tenant] != (1U << WORKFLOWS) - 1) {
        if (actor_requests(a) == 0) {
            definitions_put(a);
        }
        return;
    }
    client_acts(a);
}

void clients_make(struct run *r)
{
    for (uint32_t i = 0; i < r->swarm.clients; i++) {
        actor_init(&r->clients[i], r, "client", i);
        r->clients[i].ticked = client_ticked;
    }
}

bool clients_idle(const struct run *r)
{
    for (uint32_t i = 0; i < r->orders_len; i++) {
        if (r->orders[i].sent && !r->orders[i].decided) {
            return false;
        }
    }
    return true;
}
