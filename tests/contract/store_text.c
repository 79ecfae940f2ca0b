/* Answers of the store as text, for two stores to be compared. */
#include "base/prelude.h"

#include "tests/contract/store_text.h"

static void put_id(struct buf *b, const struct exec_id *id)
{
    char t[EXEC_ID_TEXT + 1];
    exec_id_format(id, t);
    buf_printf(b, " %s", t);
}

static void put_uuid(struct buf *b, const struct uuid *u)
{
    char t[EXEC_ID_TEXT + 1];
    uuid_format(u, t);
    buf_printf(b, " %s", t);
}

static void put_str(struct buf *b, struct str s)
{
    buf_printf(b, s.size == 0 ? " -" : " '%.*s'", STR_ARG(s));
}

static void put_lanes(struct buf *b, const struct lane_row *v, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        const struct lane_row *l = &v[i];
        buf_printf(b,
                   "\n  lane %u/%u %u-%u epoch %" PRIu64 " windows %" PRId64 " %" PRId64 " %" PRId64
                   " lease %d session %d",
                   l->shard, l->lane, l->slot_lo, l->slot_hi, l->fence.epoch, l->closed_to,
                   l->accept_from, l->open_to, l->lease_left_us > 0, l->has_session);
        put_uuid(b, &l->fence.claim);
        put_uuid(b, &l->incarnation);
        put_str(b, l->node);
        put_str(b, l->address);
    }
}

static void put_history(struct buf *b, const struct history_row *v, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        buf_printf(b, "\n  row %" PRIu64 " at %d events %" PRIu32 "+%" PRIu32, v[i].seq,
                   v[i].at.us > 0, v[i].first_event, v[i].event_count);
        put_str(b, v[i].body);
    }
}

static void put_exec(struct buf *b, const struct exec_row *x)
{
    buf_printf(b, "\n  exec");
    put_id(b, &x->exec);
    buf_printf(b, " found %d", x->found);
    if (!x->found) {
        return;
    }
    buf_printf(b,
               " tenant %" PRIu32 " revision %" PRIu64 " status %u seq %" PRIu64 " turn %" PRIu64
               " started %" PRId64 " closed %d snapshot %" PRIu64,
               x->tenant, x->revision, x->status, x->seq, x->turn, x->started_at.us,
               x->closed_at.us > 0, x->snapshot_seq);
    put_str(b, x->workflow);
    put_str(b, x->name);
    put_str(b, x->snapshot);
    put_history(b, x->rows, x->rows_len);
    for (uint32_t i = 0; i < x->inbox_len; i++) {
        buf_printf(b, "\n  message kind %u", x->inbox[i].kind);
        put_str(b, x->inbox[i].source);
        put_str(b, x->inbox[i].payload);
    }
    buf_printf(b, " more %d", x->inbox_more);
}

static void put_def(struct buf *b, const struct definition_row *d)
{
    buf_printf(b, "\n  def %" PRIu64 " tenant %" PRIu32 " version %" PRIu32 " deleted %d",
               d->revision, d->tenant, d->version, d->deleted);
    put_str(b, d->workflow);
    put_str(b, d->text);
    put_str(b, d->digest);
}

static void put_timers(struct buf *b, const struct timer_row *v, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        buf_printf(b, "\n  timer %" PRId64, v[i].due.us);
        put_id(b, &v[i].exec);
        buf_printf(b, " %" PRIu64 "/%" PRIu32 " window %" PRId64, v[i].seq, v[i].idx, v[i].window);
    }
}

static void put_tasks(struct buf *b, const struct task_row *v, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        const struct task_token *t = &v[i].token;
        buf_printf(b, "\n  task");
        put_id(b, &t->ref.exec);
        buf_printf(b,
                   " %" PRIu64 "/%" PRIu32 "/%" PRIu32 " nonce %" PRIu64 " timeout %" PRId64
                   " heartbeat %" PRId64 " submitted %d",
                   t->ref.seq, t->ref.idx, t->ref.attempt, t->nonce, v[i].timeout_at.us,
                   v[i].heartbeat_us, v[i].submitted);
        put_str(b, v[i].queue);
    }
}

static void put_turns(struct buf *b, const struct store_commit *c)
{
    for (uint32_t i = 0; i < c->turns_len; i++) {
        const struct turn_row *t = c->turns[i];
        buf_printf(b, "\n  turn");
        put_id(b, &t->exec);
        buf_printf(b, " %" PRIu64 " result %d via inbox %d", t->seq, (int)t->result, t->via_inbox);
        for (uint32_t k = 0; k < t->inbox_new_len; k++) {
            buf_printf(b, " announced %d", t->result == TURN_OK && t->inbox_new[k].announced);
        }
    }
}

static void put_found(struct buf *b, const struct store_start_lookup *q)
{
    for (uint32_t i = 0; i < q->keys_len; i++) {
        buf_printf(b, "\n  found %d", q->found[i].found);
        if (q->found[i].found) {
            put_id(b, &q->found[i].exec);
            buf_printf(b, " digest %" PRIu64, q->found[i].digest);
        }
    }
}

static int inbox_cmp(const void *x, const void *y)
{
    const struct lane_inbox_row *a = x, *b = y;
    return a->lane != b->lane ? (a->lane < b->lane ? -1 : 1) : exec_id_cmp(&a->exec, &b->exec);
}

/* Which of two turns of one batch is announced first is nobody's business. */
static void put_inbox(struct buf *b, struct lane_inbox_row *v, uint32_t len)
{
    if (len > 0) {
        qsort(v, len, sizeof(*v), inbox_cmp);
    }
    for (uint32_t i = 0; i < len; i++) {
        buf_printf(b, "\n  inbox %u", v[i].lane);
        put_id(b, &v[i].exec);
    }
}

#define OF(r, type) CONTAINER_OF(r, const struct type, req)

void store_answer_write(struct buf *b, const struct store_req *r)
{
    buf_printf(b, "op %d: %s", (int)r->op, err_name(r->err));
    if (r->err != ERR_OK) {
        if (r->op == STORE_COMMIT) {
            put_turns(b, OF(r, store_commit));
        }
        return;
    }
    switch (r->op) {
    case STORE_LANES:
        put_lanes(b, OF(r, store_lanes)->lanes, OF(r, store_lanes)->lanes_len);
        break;
    case STORE_CLAIM:
        put_lanes(b, OF(r, store_claim)->got, OF(r, store_claim)->got_len);
        break;
    case STORE_WINDOW_OPEN:
        buf_printf(b, " opened to %" PRId64 " promoted %" PRIu64 " more %d",
                   OF(r, store_window_open)->opened_to, OF(r, store_window_open)->promoted,
                   OF(r, store_window_open)->more);
        break;
    case STORE_WINDOW_CLOSE:
        buf_printf(b, " moved %" PRIu64 " more %d", OF(r, store_window_close)->moved,
                   OF(r, store_window_close)->more);
        break;
    case STORE_WINDOW_EMPTY:
        buf_printf(b, " emptied %d", OF(r, store_window_empty)->emptied);
        break;
    case STORE_PROMOTE:
        buf_printf(b, " promoted %" PRIu64 " reached %" PRId64 " more %d",
                   OF(r, store_promote)->promoted, OF(r, store_promote)->reached.us,
                   OF(r, store_promote)->more);
        break;
    case STORE_TIMERS:
        put_timers(b, OF(r, store_timers)->rows, OF(r, store_timers)->rows_len);
        break;
    case STORE_TASKS:
        put_tasks(b, OF(r, store_tasks)->rows, OF(r, store_tasks)->rows_len);
        break;
    case STORE_LANE_INBOX:
        put_inbox(b, OF(r, store_lane_inbox)->rows, OF(r, store_lane_inbox)->rows_len);
        break;
    case STORE_INBOX:
        for (uint32_t i = 0; i < OF(r, store_inbox)->ids_len; i++) {
            put_id(b, &OF(r, store_inbox)->ids[i]);
        }
        break;
    case STORE_COMMIT:
        put_turns(b, OF(r, store_commit));
        break;
    case STORE_LOAD:
        for (uint32_t i = 0; i < OF(r, store_load)->ids_len; i++) {
            put_exec(b, &OF(r, store_load)->rows[i]);
        }
        break;
    case STORE_START_LOOKUP:
        put_found(b, OF(r, store_start_lookup));
        break;
    case STORE_LIST:
        for (uint32_t i = 0; i < OF(r, store_list)->rows_len; i++) {
            put_exec(b, &OF(r, store_list)->rows[i]);
        }
        break;
    case STORE_HISTORY:
        put_history(b, OF(r, store_history)->rows, OF(r, store_history)->rows_len);
        break;
    case STORE_DEF_PUT:
        buf_printf(b, " revision %" PRIu64 " version %" PRIu32 " created %d",
                   OF(r, store_def_put)->revision, OF(r, store_def_put)->version,
                   OF(r, store_def_put)->created);
        break;
    case STORE_DEF_GET:
        put_def(b, &OF(r, store_def_get)->row);
        break;
    case STORE_DEF_LIST:
        for (uint32_t i = 0; i < OF(r, store_def_list)->rows_len; i++) {
            put_def(b, &OF(r, store_def_list)->rows[i]);
        }
        break;
    case STORE_TENANT:
        buf_printf(b, " number %" PRIu32, OF(r, store_tenant)->number);
        break;
    case STORE_LEASE:
    case STORE_RELEASE:
    case STORE_TIMERS_DROP:
    case STORE_INBOX_DROP:
    case STORE_OP_COUNT:
    default:
        break;
    }
}
