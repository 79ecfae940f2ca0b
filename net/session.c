#include "base/prelude.h"
#include "net/session.h"

#include "base/assert.h"
#include "base/mem.h"

enum {
    TICK_US = 250000, /* how exactly deadlines are kept */
    REPLY_ARENA_MAX = 64 << 20,
    REPLY_ARENA_KEEP = 64 << 10,
    PROTOCOL_REPEATS_MAX = 4, /* "say HELLO first" may be a race; again and again it is not */
};

/* A frame under way. Message i of it has correlation "corr" + i. */
struct session_frame {
    struct list link;
    uint64_t id, corr;
    struct mono due; /* the node is taken for dead when the answer is not here */
    uint32_t len, left;
    bool alone, hello;
    struct session_request *requests[]; /* NULL: answered, or ended by its deadline */
};

struct session {
    struct session_config c;
    struct net_dial_handler dial;
    struct net_dialer *dialer;
    struct route route;
    struct rng rng;
    enum session_state state;
    int address;              /* index in route while not WAITING */
    struct mono state_until;  /* WAITING: next try; DIALING, LEAVING: the latest end */
    struct list queue, alone; /* ready to go, ordinary and waiting ones */
    struct list delayed;      /* not before their time */
    struct mono delayed_next;
    struct list frames;
    uint32_t frames_len, alone_len; /* under way */
    uint64_t next_corr, next_frame;
    struct mono last_sent;
    struct loop_task pump;
    struct loop_timer timer;
    struct mono timer_due;
    bool pump_posted, dead, leave;
    struct buf out;
    struct arena in;
    struct session_stats stats;
    char why[ERR_DETAIL_SIZE];
    char *texts; /* name and tenant */
    struct session_request *batch[MSG_FRAME_MAX];
};

static void session_run(struct loop_task *t);
static void session_tick(struct loop_timer *t);

static struct mono now_of(const struct session *s)
{
    return loop_now(s->c.loop);
}

static struct mono after_ms(struct mono t, int64_t ms)
{
    return (struct mono){t.us + ms * US_PER_MS};
}

static void pump_later(struct session *s)
{
    if (!s->pump_posted) {
        s->pump_posted = true;
        loop_post(s->c.loop, &s->pump);
    }
}

static void wake_at(struct session *s, struct mono due)
{
    if (!s->timer.armed || due.us < s->timer_due.us) {
        s->timer_due = due;
        loop_timer_start(s->c.loop, &s->timer, due);
    }
}

/* ---- requests ---- */

static void request_queue(struct session *s, struct session_request *r)
{
    r->frame = NULL;
    list_push_back(r->alone ? &s->alone : &s->queue, &r->link);
    pump_later(s);
}

static void request_delay(struct session *s, struct session_request *r, int64_t us)
{
    r->frame = NULL;
    r->not_before.us = now_of(s).us + us;
    list_push_back(&s->delayed, &r->link);
    if (r->not_before.us < s->delayed_next.us) {
        s->delayed_next = r->not_before;
    }
    wake_at(s, s->delayed_next);
}

static void request_done(struct session_request *r, enum err e, const struct msg *reply,
                         const struct msg_error *error)
{
    list_remove(&r->link);
    r->frame = NULL;
    r->done(r, e, reply, error);
}

/* Without an answer. What is under way, or was when a connection went, may have been done; what was
 * refused each time was not. */
static void request_give_up(struct session *s, struct session_request *r)
{
    struct msg_error error = {.code = (uint32_t)r->last, .text = str_of(s->why)};
    bool doubt = r->in_doubt || r->frame != NULL;
    enum err e = doubt ? ERR_TIMEOUT : r->last != ERR_OK ? r->last : ERR_UNAVAILABLE;
    error.code = (uint32_t)e;
    request_done(r, e, NULL, error.text.size > 0 ? &error : NULL);
}

/* The connection went while the request was under way. */
static void request_in_doubt(struct session *s, struct session_request *r)
{
    r->repeats += 1;
    r->in_doubt = true;
    s->stats.repeats += 1;
    request_queue(s, r);
}

static void request_error(struct session *s, struct session_request *r, const struct msg_error *m)
{
    enum err e = err_known((int)MIN(m->code, (uint32_t)INT_MAX)) ? (enum err)m->code : ERR_FATAL;
    enum err_class class = err_class(e);
    r->repeats += 1;
    if (e == ERR_STANDBY || e == ERR_GOING_AWAY) {
        s->leave = true;
        r->last = e;
        request_queue(s, r);
    } else if (e == ERR_PROTOCOL && r->repeats <= PROTOCOL_REPEATS_MAX) {
        s->leave = true; /* a connection that has lost its HELLO: make a new one */
        request_queue(s, r);
    } else if (class == ERRC_RETRY || class == ERRC_LIMIT || class == ERRC_UNKNOWN ||
               class == ERRC_FENCED) {
        int64_t us = route_backoff_us(&s->rng, r->repeats - 1);
        r->last = e;
        s->stats.repeats += 1;
        r->in_doubt = r->in_doubt || class == ERRC_UNKNOWN;
        request_delay(s, r, MAX(us, (int64_t)m->retry_after_ms * US_PER_MS));
    } else {
        request_done(r, e, NULL, m);
    }
}

/* ---- frames ---- */

static void frame_free(struct session *s, struct session_frame *f)
{
    list_remove(&f->link);
    s->frames_len -= f->alone || f->hello ? 0 : 1;
    s->alone_len -= f->alone ? 1 : 0;
    mem_free(f);
}

static struct session_frame *frame_new(struct session *s, uint32_t len, int64_t wait_ms)
{
    size_t size = sizeof(struct session_frame) + len * sizeof(struct session_request *);
    struct session_frame *f = mem_alloc(size);
    f->id = ++s->next_frame;
    f->corr = s->next_corr;
    f->len = f->left = len;
    f->due = after_ms(now_of(s), SESSION_ANSWER_MS + wait_ms);
    list_push_back(&s->frames, &f->link);
    return f;
}

static enum err frame_send(struct session *s, struct session_frame *f)
{
    enum err e = s->dialer->ops->send(s->dialer, f->id, buf_str(&s->out));
    buf_clear(&s->out);
    if (e == ERR_OK) {
        s->stats.frames += 1;
        s->last_sent = now_of(s);
        wake_at(s, (struct mono){s->last_sent.us + TICK_US});
    }
    return e;
}

/* Puts as many requests of "from" as fit into one frame and sends it. False when nothing went. */
static bool frame_fill(struct session *s, struct list *from, bool alone)
{
    struct msg_writer w;
    uint32_t len = 0;
    uint32_t wait_ms = 0;
    buf_clear(&s->out);
    msg_writer_begin(&w, &s->out);
    LIST_FOREACH_SAFE(l, from)
    {
        struct session_request *r = LIST_ENTRY(l, struct session_request, link);
        struct err_detail d = {0};
        if (len > 0 && (alone || msg_writer_size(&w) > SESSION_FRAME_BYTES)) {
            break;
        }
        r->msg.corr = s->next_corr + len;
        enum err e = msg_writer_add(&w, &r->msg, &d);
        if (e == ERR_LIMIT && len > 0) {
            break;
        }
        if (e != ERR_OK) {
            struct msg_error error = {.code = (uint32_t)e, .text = str_of(d.text)};
            request_done(r, e, NULL, &error);
            continue;
        }
        s->batch[len++] = r;
        wait_ms = r->wait_ms;
        if (len == MSG_FRAME_MAX) {
            break;
        }
    }
    if (len == 0) {
        return false;
    }
    msg_writer_end(&w);
    struct session_frame *f = frame_new(s, len, alone ? wait_ms : 0);
    f->alone = alone;
    s->frames_len += alone ? 0 : 1;
    s->alone_len += alone ? 1 : 0;
    if (frame_send(s, f) != ERR_OK) {
        frame_free(s, f); /* "down" is on its way; the requests stay in their queue */
        return false;
    }
    for (uint32_t i = 0; i < len; i++) {
        list_remove(&s->batch[i]->link);
        f->requests[i] = s->batch[i];
        s->batch[i]->frame = f;
    }
    s->next_corr += len;
    s->stats.requests += len;
    return true;
}

/* ---- the connection ---- */

static void hello_send(struct session *s)
{
    struct msg m = {.type = MSG_HELLO, .corr = s->next_corr};
    struct msg_writer w;
    m.u.hello = (struct msg_hello){.protocol = MSG_PROTOCOL,
                                   .name = s->c.name,
                                   .tenant = s->c.tenant,
                                   .instance = s->c.instance};
    if (s->c.handler != NULL && s->c.handler->held != NULL) {
        const struct task_token *tokens = NULL;
        uint32_t len = s->c.handler->held(s->c.handler, &tokens);
        m.u.hello.held = tokens;
        m.u.hello.held_len = MIN(len, (uint32_t)MSG_HELD_MAX);
    }
    buf_clear(&s->out);
    msg_writer_begin(&w, &s->out);
    enum err e = msg_writer_add(&w, &m, NULL);
    ASSERT(e == ERR_OK); /* lengths were checked when the session was made */
    msg_writer_end(&w);
    struct session_frame *f = frame_new(s, 1, 0);
    f->hello = true;
    s->next_corr += 1;
    if (frame_send(s, f) != ERR_OK) {
        frame_free(s, f);
    }
}

static void why_set(struct session *s, const char *what)
{
    const char *address = s->address >= 0 ? s->route.address[s->address].text : "";
    (void)snprintf(s->why, sizeof(s->why), "%.*s: %.*s", 120, address, 120, what);
}

/* Leaves the node; what was under way is in doubt and goes to the next. */
static void disconnect(struct session *s)
{
    bool was_up = s->state == SESSION_READY || s->state == SESSION_LEAVING;
    if (s->dialer != NULL) {
        s->dialer->ops->close(s->dialer);
        s->dialer = NULL;
    }
    s->state = SESSION_WAITING;
    s->state_until.us = 0;
    s->address = -1;
    s->leave = false;
    while (!list_empty(&s->frames)) {
        struct session_frame *f = LIST_ENTRY(s->frames.next, struct session_frame, link);
        for (uint32_t i = 0; i < f->len; i++) {
            if (!f->hello && f->requests[i] != NULL) {
                request_in_doubt(s, f->requests[i]);
            }
        }
        frame_free(s, f);
    }
    if (was_up && s->c.handler != NULL) {
        s->c.handler->down(s->c.handler);
    }
    pump_later(s);
}

static void node_failed(struct session *s, const char *what)
{
    why_set(s, what);
    route_failed(&s->route, s->address, now_of(s));
    disconnect(s);
}

static void node_passed_over(struct session *s, const char *what)
{
    why_set(s, what);
    route_passed_over(&s->route, s->address, now_of(s));
    disconnect(s);
}

static void dial_up(struct net_dial_handler *h)
{
    struct session *s = CONTAINER_OF(h, struct session, dial);
    if (s->state == SESSION_DIALING) {
        s->state_until = after_ms(now_of(s), SESSION_CONNECT_MS);
        hello_send(s);
    }
}

static void dial_down(struct net_dial_handler *h)
{
    struct session *s = CONTAINER_OF(h, struct session, dial);
    node_failed(s, "the connection was lost");
}

static void dial_refused(struct net_dial_handler *h, enum err e)
{
    struct session *s = CONTAINER_OF(h, struct session, dial);
    if (s->state == SESSION_DIALING) {
        node_failed(s, e == ERR_UNAVAILABLE ? "cannot be reached" : err_text(e));
    }
}

static void try_address(struct session *s)
{
    struct mono when;
    struct err_detail d = {0};
    int i = route_next(&s->route, now_of(s), &when);
    if (i < 0) {
        s->state_until = when;
        wake_at(s, when);
        return;
    }
    s->address = i;
    enum err e =
        s->c.transport->ops->dial(s->c.transport, s->c.loop, str_of(s->route.address[i].text),
                                  &s->dial, &s->dialer, &d);
    if (e != ERR_OK) {
        s->dialer = NULL;
        node_failed(s, d.text);
        return;
    }
    s->state = SESSION_DIALING;
    /* A host that is gone does not even refuse: with other addresses at hand, do not wait long. */
    int64_t patience = s->route.len > 1 ? SESSION_CONNECT_MS / 6 : SESSION_CONNECT_MS;
    s->state_until = after_ms(now_of(s), patience);
    wake_at(s, s->state_until);
}

static void hello_answered(struct session *s, const struct msg *m)
{
    char text[ERR_DETAIL_SIZE];
    if (m->type == MSG_ERROR) {
        (void)snprintf(text, sizeof(text), "%s: %.*s", err_name((enum err)m->u.error.code),
                       (int)MIN(m->u.error.text.size, (size_t)150), m->u.error.text.p);
        if (m->u.error.code == ERR_STANDBY || m->u.error.code == ERR_GOING_AWAY) {
            node_passed_over(s, text);
        } else {
            node_failed(s, text);
        }
        return;
    }
    if (m->type != MSG_HELLO_OK) {
        node_failed(s, "HELLO was answered with something else");
        return;
    }
    for (uint32_t i = 0; i < m->u.hello_ok.addresses_len; i++) {
        route_learn(&s->route, m->u.hello_ok.addresses[i]);
    }
    if (m->u.hello_ok.state != MSG_NODE_ACTIVE) {
        (void)snprintf(text, sizeof(text), "the node is %s",
                       msg_node_state_name(m->u.hello_ok.state));
        node_passed_over(s, text);
        return;
    }
    route_good(&s->route, s->address);
    s->state = SESSION_READY;
    s->why[0] = '\0';
    s->stats.connects += 1;
    if (s->c.handler != NULL) {
        s->c.handler->up(s->c.handler, &m->u.hello_ok);
    }
    pump_later(s);
}

static void node_state(struct session *s, const struct msg_node_state *m)
{
    for (uint32_t i = 0; i < m->addresses_len; i++) {
        route_learn(&s->route, m->addresses[i]);
    }
    s->leave = s->leave || m->state != MSG_NODE_ACTIVE;
}

/* One message of an answer to "f". */
static void answered(struct session *s, struct session_frame *f, const struct msg *m)
{
    if (m->type == MSG_NODE_STATE) {
        node_state(s, &m->u.node_state);
        return;
    }
    uint64_t i = m->corr - f->corr;
    if (m->corr < f->corr || i >= f->len || f->requests[i] == NULL) {
        return; /* ended by its deadline, or never asked */
    }
    struct session_request *r = f->requests[i];
    f->requests[i] = NULL;
    f->left -= 1;
    if (m->type == MSG_ERROR) {
        request_error(s, r, &m->u.error);
    } else if (m->type == r->msg.type + MSG_REPLY ||
               (m->type == MSG_TASK_OK && r->msg.type == MSG_TASK_FAILURE)) {
        request_done(r, ERR_OK, m, NULL);
    } else {
        struct msg_error error = {.code = ERR_PROTOCOL,
                                  .text = STR("the answer does not belong to the request")};
        request_done(r, ERR_PROTOCOL, NULL, &error);
    }
}

static struct session_frame *frame_find(struct session *s, uint64_t id)
{
    LIST_FOREACH(l, &s->frames)
    {
        struct session_frame *f = LIST_ENTRY(l, struct session_frame, link);
        if (f->id == id) {
            return f;
        }
    }
    return NULL;
}

/* What the node's answer left out, or what it could not read: not done as far as we know. */
static void frame_leftovers(struct session *s, struct session_frame *f,
                            const struct msg_error *error)
{
    for (uint32_t i = 0; i < f->len && f->left > 0; i++) {
        struct session_request *r = f->requests[i];
        if (r != NULL) {
            f->requests[i] = NULL;
            f->left -= 1;
            request_error(s, r, error);
        }
    }
}

static void dial_reply(struct net_dial_handler *h, uint64_t id, struct str body)
{
    struct session *s = CONTAINER_OF(h, struct session, dial);
    struct session_frame *f = frame_find(s, id);
    if (f == NULL) {
        return;
    }
    struct msg_reader reader;
    struct msg m;
    enum err e;
    struct err_detail d = {0};
    struct msg_error rest = {.code = ERR_UNKNOWN, .text = STR("the node did not answer")};
    if (msg_reader_begin(&reader, body, &s->in, &d) == ERR_OK) {
        while (msg_reader_next(&reader, &m, &e, &d)) {
            if (e != ERR_OK) {
                d = (struct err_detail){0};
                continue;
            }
            if (m.type == MSG_ERROR && m.corr == 0) {
                rest = m.u.error;
                rest.problems_len = 0; /* they go with their message */
            } else if (f->hello) {
                frame_free(s, f);
                hello_answered(s, &m);
                arena_reset(&s->in, REPLY_ARENA_KEEP);
                return;
            } else {
                answered(s, f, &m);
            }
            arena_reset(&s->in, REPLY_ARENA_KEEP); /* of one answer: of a frame it may be 60 MB */
        }
    }
    if (f->hello) {
        frame_free(s, f);
        node_failed(s, "HELLO was answered with something unreadable");
    } else {
        frame_leftovers(s, f, &rest);
        frame_free(s, f);
    }
    arena_reset(&s->in, REPLY_ARENA_KEEP);
    pump_later(s);
}

/* ---- the pump ---- */

static void send_what_can_go(struct session *s)
{
    while (s->frames_len < SESSION_FRAMES_MAX && !list_empty(&s->queue) &&
           frame_fill(s, &s->queue, false)) {
    }
    while (s->alone_len < SESSION_ALONE_MAX && !list_empty(&s->alone) &&
           frame_fill(s, &s->alone, true)) {
    }
}

static void session_run(struct loop_task *t)
{
    struct session *s = CONTAINER_OF(t, struct session, pump);
    s->pump_posted = false;
    if (s->dead) {
        mem_free(s);
        return;
    }
    if (s->leave && s->state == SESSION_READY) {
        s->state = SESSION_LEAVING;
        s->state_until = after_ms(now_of(s), SESSION_LEAVE_MS);
        wake_at(s, s->state_until);
    }
    if (s->state == SESSION_LEAVING && (s->frames_len == 0 || s->state_until.us <= now_of(s).us)) {
        node_passed_over(s, "the node stands by or is going away");
    }
    if (s->state == SESSION_WAITING && s->state_until.us <= now_of(s).us) {
        try_address(s);
    }
    if (s->state == SESSION_READY) {
        send_what_can_go(s);
    }
    if (!list_empty(&s->queue) || !list_empty(&s->alone) || !list_empty(&s->frames)) {
        wake_at(s, (struct mono){now_of(s).us + TICK_US}); /* deadlines */
    }
}

static bool past(struct mono due, struct mono now)
{
    return due.us != 0 && due.us <= now.us;
}

static void expire_list(struct session *s, struct list *l, struct mono now)
{
    LIST_FOREACH_SAFE(it, l)
    {
        struct session_request *r = LIST_ENTRY(it, struct session_request, link);
        if (past(r->deadline, now)) {
            request_give_up(s, r);
        }
    }
}

static void expire_frames(struct session *s, struct mono now)
{
    LIST_FOREACH(it, &s->frames)
    {
        struct session_frame *f = LIST_ENTRY(it, struct session_frame, link);
        for (uint32_t i = 0; i < f->len && !f->hello; i++) {
            struct session_request *r = f->requests[i];
            if (r != NULL && past(r->deadline, now)) {
                f->requests[i] = NULL;
                f->left -= 1;
                request_give_up(s, r);
            }
        }
    }
}

static bool answer_overdue(const struct session *s, struct mono now)
{
    LIST_FOREACH(it, &s->frames)
    {
        if (past(LIST_ENTRY(it, struct session_frame, link)->due, now)) {
            return true;
        }
    }
    return false;
}

static void session_tick(struct loop_timer *t)
{
    struct session *s = CONTAINER_OF(t, struct session, timer);
    struct mono now = now_of(s);
    expire_list(s, &s->queue, now);
    expire_list(s, &s->alone, now);
    expire_list(s, &s->delayed, now);
    expire_frames(s, now);
    s->delayed_next.us = INT64_MAX;
    LIST_FOREACH_SAFE(it, &s->delayed)
    {
        struct session_request *r = LIST_ENTRY(it, struct session_request, link);
        if (r->not_before.us <= now.us) {
            list_remove(it);
            request_queue(s, r);
        } else {
            s->delayed_next.us = MIN(s->delayed_next.us, r->not_before.us);
        }
    }
    if (s->state == SESSION_DIALING && past(s->state_until, now)) {
        node_failed(s, "no answer");
    } else if (s->state != SESSION_WAITING && answer_overdue(s, now)) {
        node_failed(s, "an answer is overdue");
    }
    if (!list_empty(&s->delayed)) {
        wake_at(s, (struct mono){MIN(s->delayed_next.us, now.us + TICK_US)});
    }
    if (s->state == SESSION_DIALING || s->state == SESSION_LEAVING ||
        (s->state == SESSION_WAITING && s->state_until.us > now.us)) {
        wake_at(s, s->state_until);
    }
    pump_later(s);
}

/* ---- life ---- */

enum err session_new(const struct session_config *c, struct session **out, struct err_detail *d)
{
    LOOP_OWNED(c->loop);
    if (c->name.size > NAME_SIZE_MAX || c->tenant.size > NAME_SIZE_MAX) {
        return err_set(d, ERR_TOO_LARGE, "name or tenant: over %d bytes", NAME_SIZE_MAX);
    }
    struct session *s = MEM_NEW(struct session);
    enum err e = route_init(&s->route, c->addresses, c->seed, d);
    if (e != ERR_OK) {
        mem_free(s);
        return e;
    }
    s->c = *c;
    s->texts = mem_alloc(c->name.size + c->tenant.size + 1);
    if (c->name.size > 0) {
        memcpy(s->texts, c->name.p, c->name.size);
    }
    if (c->tenant.size > 0) {
        memcpy(s->texts + c->name.size, c->tenant.p, c->tenant.size);
    }
    s->c.name.p = s->texts;
    s->c.tenant.p = s->texts + c->name.size;
    s->c.addresses = STR_NONE;
    s->dial = (struct net_dial_handler){.up = dial_up,
                                        .down = dial_down,
                                        .reply = dial_reply,
                                        .refused = dial_refused};
    rng_seed(&s->rng, c->seed ^ c->instance);
    s->address = -1;
    s->next_corr = 1;
    s->delayed_next.us = INT64_MAX;
    list_init(&s->queue);
    list_init(&s->alone);
    list_init(&s->delayed);
    list_init(&s->frames);
    s->pump = (struct loop_task){.run = session_run, .name = "session"};
    s->timer = (struct loop_timer){.fired = session_tick, .name = "session"};
    buf_init(&s->out, MESSAGE_SIZE_MAX + SESSION_FRAME_BYTES);
    arena_init(&s->in, REPLY_ARENA_MAX);
    *out = s;
    pump_later(s);
    return ERR_OK;
}

void session_free(struct session *s)
{
    if (s == NULL) {
        return;
    }
    LOOP_OWNED(s->c.loop);
    s->c.handler = NULL;
    disconnect(s);
    struct list *const lists[] = {&s->queue, &s->alone, &s->delayed};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        while (!list_empty(lists[i])) {
            request_give_up(s, LIST_ENTRY(lists[i]->next, struct session_request, link));
        }
    }
    loop_timer_stop(&s->timer);
    buf_fini(&s->out);
    arena_fini(&s->in);
    mem_free(s->texts);
    s->dead = true; /* disconnect() has posted the pump: it frees */
}

void session_send(struct session *s, struct session_request *r)
{
    LOOP_OWNED(s->c.loop);
    PRE(!s->dead && r->done != NULL);
    r->repeats = 0;
    r->last = ERR_OK;
    r->in_doubt = false;
    r->not_before.us = 0;
    request_queue(s, r);
}

void session_cancel(struct session *s, struct session_request *r)
{
    LOOP_OWNED(s->c.loop);
    if (r->frame != NULL) {
        struct session_frame *f = r->frame;
        for (uint32_t i = 0; i < f->len; i++) {
            if (f->requests[i] == r) {
                f->requests[i] = NULL;
                f->left -= 1;
            }
        }
        r->frame = NULL;
    }
    list_remove(&r->link);
}

enum session_state session_state(const struct session *s)
{
    return s->state;
}

const char *session_why(const struct session *s)
{
    return s->why;
}

struct mono session_last_sent(const struct session *s)
{
    return s->last_sent;
}

struct session_stats session_stats(const struct session *s)
{
    return s->stats;
}

struct loop *session_loop(const struct session *s)
{
    return s->c.loop;
}
