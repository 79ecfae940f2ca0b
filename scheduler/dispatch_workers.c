/* Sessions of workers: who they are, what they hold, what they say they hold. See dispatch.h. */
#include "base/prelude.h"

#include "scheduler/dispatch_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "scheduler/metrics.h"

LOG_MODULE("dispatch");

/* ---- what sessions say they hold and is not known here (yet) ---- */

static bool claim_node_eq(const struct map_node *node, const void *key)
{
    return task_token_eq(&MAP_ENTRY(node, const struct held_claim, node)->token, key);
}

struct held_claim *held_claim_find(struct dispatch *d, const struct task_token *t)
{
    struct map_node *n = map_find(&d->claims, dispatch_token_hash(t), t, claim_node_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct held_claim, node);
}

void held_claim_drop(struct dispatch *d, struct held_claim *c)
{
    map_remove(&d->claims, &c->node);
    list_remove(&c->link);
    mem_free(c);
}

static void claim_add(struct dispatch *d, struct dispatch_session *s, const struct task_token *t)
{
    if (held_claim_find(d, t) != NULL || map_len(&d->claims) >= d->c.tasks_max) {
        return;
    }
    struct held_claim *c = MEM_NEW(struct held_claim);
    c->token = *t;
    c->session = s;
    list_push_back(&s->claims, &c->link);
    map_insert(&d->claims, &c->node, dispatch_token_hash(t));
}

static void claims_drop_all(struct dispatch *d, struct dispatch_session *s)
{
    LIST_FOREACH_SAFE(it, &s->claims)
    {
        held_claim_drop(d, LIST_ENTRY(it, struct held_claim, link));
    }
}

/* ---- sessions ---- */

/* An instance is a number of the worker's own choice: it means nothing beyond its tenant. */
struct session_key {
    uint64_t instance;
    uint32_t tenant;
};

static bool session_eq(const struct map_node *node, const void *key)
{
    const struct dispatch_session *s = MAP_ENTRY(node, const struct dispatch_session, node);
    const struct session_key *k = key;
    return s->instance == k->instance && s->tenant == k->tenant;
}

static struct dispatch_session *session_find(struct dispatch *d, uint64_t instance, uint32_t tenant)
{
    struct session_key k = {instance, tenant};
    struct map_node *n = map_find(&d->sessions, hash_u64(instance), &k, session_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct dispatch_session, node);
}

static void session_hold(struct dispatch *d, struct dispatch_session *s,
                         const struct task_token *held, uint32_t len)
{
    struct list kept;
    list_init(&kept);
    claims_drop_all(d, s);
    for (uint32_t i = 0; i < len; i++) {
        struct dtask *t = dispatch_find(d, &held[i]);
        if (t == NULL) {
            claim_add(d, s, &held[i]);
            continue;
        }
        if (t->t.tenant != s->tenant) {
            continue;
        }
        if ((t->state == DTASK_GRANTED && t->session != s) || t->state == DTASK_WAITING) {
            continue; /* went out again meanwhile, or was submitted; the first answer wins */
        }
        if (t->state == DTASK_CONFIRMING) {
            metric_add(&metric_tasks_confirmed, 1);
        }
        dtask_unlink(d, t);
        dtask_grant(d, t, s);
        list_remove(&t->link);
        list_push_back(&kept, &t->link);
    }
    LIST_FOREACH_SAFE(it, &s->held)
    {
        struct dtask *t = LIST_ENTRY(it, struct dtask, link);
        dtask_unlink(d, t);
        dtask_ready(d, t, true);
        metric_add(&metric_tasks_again, 1);
    }
    LIST_FOREACH_SAFE(it, &kept)
    {
        list_remove(it);
        list_push_back(&s->held, it);
    }
}

uint64_t dispatch_session_conn(struct dispatch *d, uint64_t instance, uint32_t tenant)
{
    const struct dispatch_session *s = session_find(d, instance, tenant);
    return s != NULL ? s->conn : 0;
}

struct dispatch_session *dispatch_hello(struct dispatch *d, uint64_t instance, uint32_t tenant,
                                        struct str name, uint64_t conn,
                                        const struct task_token *held, uint32_t held_len)
{
    LOOP_OWNED(d->c.loop);
    struct dispatch_session *s = session_find(d, instance, tenant);
    if (s != NULL) {
        mem_free((void *)(uintptr_t)s->name.p);
    } else {
        s = MEM_NEW(struct dispatch_session);
        s->instance = instance;
        s->tenant = tenant;
        list_init(&s->held);
        list_init(&s->claims);
        map_insert(&d->sessions, &s->node, hash_u64(instance));
    }
    s->name = dispatch_own_text(name);
    s->conn = conn;
    s->connected = true;
    s->silent = false;
    heap_remove(&d->lost, &s->lost_until);
    session_hold(d, s, held, held_len);
    return s;
}

void dispatch_session_free(struct dispatch *d, struct dispatch_session *s)
{
    heap_remove(&d->lost, &s->lost_until);
    claims_drop_all(d, s);
    LIST_FOREACH_SAFE(it, &s->held)
    {
        struct dtask *t = LIST_ENTRY(it, struct dtask, link);
        dtask_unlink(d, t);
        dtask_ready(d, t, true);
        metric_add(&metric_tasks_again, 1);
    }
    map_remove(&d->sessions, &s->node);
    mem_free((void *)(uintptr_t)s->name.p);
    mem_free(s);
}

void dispatch_lost(struct dispatch *d, struct dispatch_session *s, uint64_t conn)
{
    LOOP_OWNED(d->c.loop);
    if (s->conn != conn) {
        return; /* it has come back on another connection already */
    }
    s->connected = false;
    heap_remove(&d->lost, &s->lost_until);
    heap_insert(&d->lost, &s->lost_until, loop_now(d->c.loop).us + DISPATCH_SESSION_GRACE_US);
    dispatch_timer_set(d);
}

struct str dispatch_session_name(const struct dispatch_session *s)
{
    return s->name;
}

uint32_t dispatch_session_tenant(const struct dispatch_session *s)
{
    return s->tenant;
}

void dispatch_give_back(struct dispatch *d, struct dispatch_session *s,
                        const struct task_token *token)
{
    LOOP_OWNED(d->c.loop);
    struct dtask *t = dispatch_find(d, token);
    struct held_claim *c = held_claim_find(d, token);
    if (t != NULL && t->state == DTASK_GRANTED && t->session == s) {
        dtask_unlink(d, t);
        dtask_ready(d, t, true);
    }
    if (c != NULL && c->session == s) { /* said to be held at hello, not found in the store yet */
        held_claim_drop(d, c);
    }
}

/* ---- leases ---- */

/* What has a heartbeat of its own needs none: without signs of life its attempt fails. */
void dispatch_lease_renew(struct dispatch *d, struct dtask *t)
{
    if (t->t.heartbeat_us > 0) {
        return;
    }
    t->lease_until.us = loop_now(d->c.loop).us + d->c.lease_us;
    list_remove(&t->lease);
    list_push_back(&d->leases,
                   &t->lease); /* all leases are of one length: in order of their ends */
}

void dispatch_leases_expire(struct dispatch *d, struct mono now)
{
    const struct dispatch_session *told = NULL;
    while (!list_empty(&d->leases) && d->lease_grace.us <= now.us) {
        struct dtask *t = LIST_ENTRY(d->leases.next, struct dtask, lease);
        if (t->lease_until.us > now.us) {
            break;
        }
        if (t->session != told) {
            told = t->session;
            t->session->silent = true;
            log_info("worker says nothing of what it holds, it goes out again", "worker=%.*s",
                     STR_ARG(told->name));
        }
        dtask_unlink(d, t);
        dtask_ready(d, t, true);
        metric_add(&metric_tasks_again, 1);
    }
}

void dispatch_heard(struct dispatch *d, struct dispatch_session *s)
{
    if (s->silent) {
        s->silent = false;
        dispatch_polls_look(d, s);
    }
}

enum err dispatch_heartbeat(struct dispatch *d, struct dispatch_session *s,
                            const struct task_token *token)
{
    LOOP_OWNED(d->c.loop);
    if (s != NULL) {
        dispatch_heard(d, s);
    }
    struct dtask *t = dispatch_find(d, token);
    if (t == NULL || t->hearsay) {
        return ERR_STALE;
    }
    if (s != NULL && t->state != DTASK_WAITING && t->session == NULL) {
        if (t->state == DTASK_CONFIRMING) {
            metric_add(&metric_tasks_confirmed, 1);
        }
        dtask_unlink(d, t);
        dtask_grant(d, t, s);
    } else if (s != NULL && t->session == s) {
        dispatch_lease_renew(d, t);
    }
    dtask_heartbeat_restart(d, t);
    return ERR_OK;
}
