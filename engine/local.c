/* Requests from inside the process (the admin's): the same frames that clients send, without a
 * connection. So they meet the same limits, the same admission and the same handlers. See front.h.
 *
 *   caller's loop ──frame──▶ front loop: tenant's number, frame_run ──frame──▶ caller's loop: done */
#include "base/prelude.h"

#include "engine/engine_internal.h"

/* Stands for one call on the front loop. */
struct local {
    struct frame frame;
    struct conn conn;
    struct tenant_ask ask;
    struct engine_call *call;
};

/* ---- back on the caller's loop ---- */

static void answer_error(struct engine_call *c, enum err e, const char *text)
{
    c->answer = (struct msg){.type = MSG_ERROR};
    c->answer.u.error.code = (uint32_t)e;
    c->answer.u.error.text = str_of(text);
}

static void call_back(struct loop_task *task)
{
    struct engine_call *c = CONTAINER_OF(task, struct engine_call, task);
    struct msg_reader r;
    enum err e = c->d.code;
    if (e == ERR_OK) {
        e = msg_reader_begin(&r, buf_str(&c->out), &c->arena, &c->d);
    }
    if (e == ERR_OK && !msg_reader_next(&r, &c->answer, &e, &c->d)) {
        e = err_set(&c->d, ERR_UNKNOWN, "the node has not answered");
    }
    if (e != ERR_OK) {
        answer_error(c, e, c->d.text);
    }
    c->done(c);
}

static void send_back(struct engine_call *c)
{
    c->task = (struct loop_task){.run = call_back, .name = "local answer"};
    loop_post(c->loop, &c->task);
}

/* ---- on the front loop ---- */

static void local_frame_end(struct frame *fr)
{
    struct local *l = CONTAINER_OF(fr, struct local, frame);
    l->call->out = fr->out;
    send_back(l->call);
    mem_free(l);
}

static void tenant_known(struct tenant_ask *ask, enum err e, const char *detail)
{
    struct local *l = CONTAINER_OF(ask, struct local, ask);
    struct engine_call *c = l->call;
    if (e != ERR_OK) {
        (void)err_set(&c->d, e, "%s", detail);
        mem_free(l);
        send_back(c);
        return;
    }
    l->conn.tenant = ask->number;
    frame_run(&c->engine->front, &l->frame, &l->conn, buf_str(&c->in), local_frame_end);
}

static void local_arrived(struct loop_task *task)
{
    struct engine_call *c = CONTAINER_OF(task, struct engine_call, task);
    struct engine *e = c->engine;
    if (e->front_closed) {
        (void)err_set(&c->d, ERR_GOING_AWAY, "node is draining");
        send_back(c);
        return;
    }
    struct local *l = MEM_NEW(struct local);
    l->call = c;
    l->conn.local = true;
    l->conn.name = STR("admin");
    list_init(&l->conn.polls);
    list_init(&l->conn.watches);
    list_init(&l->conn.frames);
    if (c->ask.type == MSG_STATUS) { /* asks for nothing of a tenant's */
        tenant_known(&l->ask, ERR_OK, "");
        return;
    }
    l->ask = (struct tenant_ask){.name = c->tenant, .create = c->create, .done = tenant_known};
    tenant_ask(&e->front, &l->ask);
}

/* ---- life ---- */

void engine_submit(struct engine *e, struct engine_call *c)
{
    struct msg_writer w;
    c->engine = e;
    c->ask.corr = 1;
    c->d = (struct err_detail){0};
    arena_init(&c->arena, 0);
    buf_init(&c->in, 0);
    buf_init(&c->out, 0);
    msg_writer_begin(&w, &c->in);
    if (c->ask.type != MSG_STATUS && !str_is_name(c->tenant)) {
        (void)err_set(&c->d, ERR_INVALID, "tenant must match [A-Za-z0-9._:-]{1,255}");
    }
    if (c->d.code != ERR_OK || msg_writer_add(&w, &c->ask, &c->d) != ERR_OK) {
        send_back(c);
        return;
    }
    msg_writer_end(&w);
    c->task = (struct loop_task){.run = local_arrived, .name = "local request"};
    loop_post(e->c.front, &c->task);
}

void engine_call_fini(struct engine_call *c)
{
    arena_fini(&c->arena);
    buf_fini(&c->in);
    buf_fini(&c->out);
}
