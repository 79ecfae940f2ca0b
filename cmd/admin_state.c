/* What the node says of itself: health, metrics, cluster, the meaning of errors. See admin.h. */
#include "base/prelude.h"

#include "cmd/admin_internal.h"

/* ---- health ---- */

struct checks {
    struct admin_call *call;
    bool good;
    uint32_t len;
};

static void checks_begin(struct checks *k, struct admin_call *c)
{
    *k = (struct checks){.call = c, .good = true};
    buf_puts(&c->answer.body, "{\"checks\":[");
}

static void check(struct checks *k, const char *name, bool good, const char *detail)
{
    struct buf *b = &k->call->answer.body;
    k->good = k->good && good;
    buf_printf(b, "%s{\"name\":\"%s\",\"ok\":%s,\"detail\":", k->len++ > 0 ? "," : "", name,
               good ? "true" : "false");
    json_write_string(b, str_of(detail));
    buf_putc(b, '}');
}

static enum err checks_end(struct checks *k)
{
    buf_printf(&k->call->answer.body, "],\"status\":\"%s\"}", k->good ? "ok" : "unavailable");
    answer_json(k->call, k->good ? 200 : 503);
    return ERR_OK;
}

static void check_loops(struct checks *k)
{
    struct admin *a = k->call->admin;
    int64_t now = loop_now(a->c.loop).us;
    for (uint32_t i = 0; i < a->c.watched_len; i++) {
        char name[64], detail[64];
        int64_t us = MAX(now - atomic_load(&a->pulses[i].seen_us), INT64_C(0));
        (void)snprintf(name, sizeof(name), "loop %s", a->c.watched[i]->name);
        (void)snprintf(detail, sizeof(detail), "turned over %" PRId64 " ms ago", us / US_PER_MS);
        check(k, name, us <= ADMIN_LIVE_US, detail);
    }
}

enum err route_health_live(struct admin_call *c)
{
    struct checks k;
    checks_begin(&k, c);
    check_loops(&k);
    return checks_end(&k);
}

static bool in_service(enum owner_state s)
{
    return s == OWNER_ACTIVE || s == OWNER_STANDBY;
}

enum err route_health_ready(struct admin_call *c)
{
    struct checks k;
    enum owner_state s = (enum owner_state)atomic_load(&c->admin->state);
    bool draining = atomic_load(&c->admin->draining);
    checks_begin(&k, c);
    check(&k, "drain", !draining, draining ? "the node is draining" : "not draining");
    check(&k, "ownership", in_service(s), owner_state_name(s));
    check_loops(&k);
    return checks_end(&k);
}

enum err route_health_startup(struct admin_call *c)
{
    struct checks k;
    bool started = atomic_load(&c->admin->started);
    checks_begin(&k, c);
    check(&k, "started", started,
          owner_state_name((enum owner_state)atomic_load(&c->admin->state)));
    return checks_end(&k);
}

/* ---- metrics ---- */

static void process_tell(const struct admin *a)
{
    struct admin_process p = {0};
    if (a->c.process == NULL) {
        return;
    }
    a->c.process(&p);
    metric_set(&metric_process_cpu, p.cpu_us);
    metric_set(&metric_process_resident, p.resident_bytes);
    metric_set(&metric_process_virtual, p.virtual_bytes);
    metric_set(&metric_process_open_fds, p.open_fds);
    metric_set(&metric_process_max_fds, p.max_fds);
    metric_set(&metric_process_start, p.start_s);
}

enum err route_metrics(struct admin_call *c)
{
    process_tell(c->admin);
    metric_write_prometheus(&c->answer.body);
    c->answer.status = 200;
    c->answer.type = "text/plain; version=0.0.4; charset=utf-8";
    return ERR_OK;
}

/* ---- cluster ---- */

static void cluster_tell(struct admin_call *c, const struct msg *m)
{
    const struct jv *status;
    struct arena *a = &c->arena;
    enum err e = json_parse(a, m->u.status_ok.json, JSON_LIMITS_PAYLOAD, true, &status, NULL);
    const struct jv *v = e == ERR_OK ? status : NULL;
    v = jv_obj_put(a, v, STR("durability"),
                   jv_string(a, c->admin->c.replicated ? STR("replicated") : STR("local")));
    v = jv_obj_put(a, v, STR("database"), jv_string(a, c->admin->c.database));
    json_write(&c->answer.body, v);
    answer_json(c, 200);
}

enum err route_cluster(struct admin_call *c)
{
    enum err e = query_read(c, NULL, 0);
    c->engine.ask = (struct msg){.type = MSG_STATUS};
    c->tell = cluster_tell;
    return e;
}

/* ---- errors ---- */

enum err route_error(struct admin_call *c)
{
    static const struct {
        enum err e;
        const char *class;
    } rows[] = {
#define ERR(name, number, class, http, text) {ERR_##name, #class},
#include "base/err.def"
#undef ERR
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum err e = rows[i].e;
        if (!str_eqc(c->args[0], err_name(e))) {
            continue;
        }
        buf_printf(&c->answer.body,
                   "{\"code\":\"%s\",\"number\":%d,\"class\":\"%s\",\"status\":%d,"
                   "\"title\":",
                   err_name(e), (int)e, rows[i].class, err_http(e));
        json_write_string(&c->answer.body, str_of(err_text(e)));
        buf_putc(&c->answer.body, '}');
        answer_json(c, 200);
        return ERR_OK;
    }
    return refuse(c, ERR_NOT_FOUND, "there is no such error code");
}
