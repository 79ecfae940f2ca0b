/* The fake store: what executions tell each other. */
#include "base/prelude.h"

#include "tests/sim/sim_store_rows.h"

#include "base/assert.h"

enum { SOURCE_AT = 17 };

static void inbox_key(struct sim_key *k, const struct exec_id *id)
{
    key_begin(k, TABLE_MESSAGE);
    key_bytes(k, id->b, sizeof(id->b));
}

static void message_key(struct sim_key *k, const struct exec_id *id, struct str source)
{
    inbox_key(k, id);
    key_bytes(k, source.p, source.size);
}

static bool in_inbox(struct kv_node *n, const struct sim_key *prefix)
{
    return n != NULL && kv_key(n).size >= prefix->size &&
           memcmp(kv_key(n).p, prefix->b, prefix->size) == 0;
}

/* ---- the batch ---- */

bool sim_inbox_possible(const struct store_commit *q, const struct turn_row *t)
{
    bool possible = true;
    for (uint32_t i = 0; i < t->inbox_new_len; i++) {
        const struct inbox_row *r = &t->inbox_new[i];
        possible = possible && exec_id_shard(&r->exec) == q->shard && r->source.p != NULL &&
                   r->payload.p != NULL;
    }
    return possible;
}

static bool is_open(struct sim_store *s, const struct exec_id *id)
{
    struct sim_key k;
    struct exec_rec rec;
    key_begin(&k, TABLE_EXEC);
    key_bytes(&k, id->b, sizeof(id->b));
    struct kv_node *n = kv_get(s->kv, key_str(&k));
    if (n == NULL) {
        return false;
    }
    memcpy(&rec, kv_value(n).p, sizeof(rec));
    return rec.status == STATUS_OPEN;
}

static void message_say(struct sim_store *s, const char *what, const struct exec_id *id,
                        struct str source)
{
    char text[EXEC_ID_TEXT + 1];
    exec_id_format(id, text);
    world_say(s->world, "message %s %s source %.*s", what, text, STR_ARG(source));
}

static void send(struct sim_exec *x, struct store_commit *q, struct inbox_row *r)
{
    struct sim_store *s = x->s;
    struct sim_key k;
    struct lane_rec lane_rec;
    uint16_t lane;
    if (!is_open(s, &r->exec)) {
        return;
    }
    struct message_rec rec = {r->kind, (uint32_t)r->payload.size};
    message_key(&k, &r->exec, r->source);
    if (kv_get(s->kv, key_str(&k)) == NULL) {
        sim_row_put(s, &k, &rec, sizeof(rec), r->payload, STR_NONE, STR_NONE);
        message_say(s, "to", &r->exec, r->source);
    }
    bool found = sim_lane_of_slot(s, exec_id_slot(&r->exec), &lane) &&
                 sim_lane_get(s, lane, &lane_rec, NULL);
    ASSERT(found);
    if (!sim_lane_held(q, s, lane, &lane_rec)) {
        r->announced = true;
        sim_announce(s, lane, &r->exec);
    }
}

void sim_inbox_apply(struct sim_exec *x, struct store_commit *q)
{
    struct sim_key k;
    for (uint32_t i = 0; i < q->turns_len; i++) {
        const struct turn_row *t = q->turns[i];
        for (uint32_t j = 0; t->result == TURN_OK && j < t->inbox_done_len; j++) {
            message_key(&k, &t->exec, t->inbox_done[j]);
            (void)kv_del(x->s->kv, key_str(&k));
            message_say(x->s, "read", &t->exec, t->inbox_done[j]);
        }
    }
    for (uint32_t i = 0; i < q->turns_len; i++) {
        struct turn_row *t = q->turns[i];
        for (uint32_t j = 0; j < t->inbox_new_len; j++) {
            t->inbox_new[j].announced = false;
            if (t->result == TURN_OK) {
                send(x, q, &t->inbox_new[j]);
            }
        }
    }
}

/* ---- reading ---- */

void sim_inbox_out(struct sim_exec *x, const struct exec_id *id, struct exec_row *out)
{
    struct sim_key prefix;
    uint32_t len = 0;
    size_t bytes = 0;
    inbox_key(&prefix, id);
    struct kv_node *first = kv_seek(x->s->kv, key_str(&prefix)), *n = first;
    for (; in_inbox(n, &prefix); n = kv_next(n)) {
        struct message_rec rec;
        memcpy(&rec, kv_value(n).p, sizeof(rec));
        bytes += rec.payload_size;
        if (len == INBOX_LOAD_MAX || (len > 0 && bytes > INBOX_LOAD_BYTES_MAX)) {
            out->inbox_more = true;
            break;
        }
        len++;
    }
    struct inbox_row *rows = SIM_OUT(x, struct inbox_row, len);
    n = first;
    for (uint32_t i = 0; i < len; i++, n = kv_next(n)) {
        struct message_rec rec;
        memcpy(&rec, kv_value(n).p, sizeof(rec));
        rows[i] = (struct inbox_row){
            .exec = *id,
            .source = sim_out_str(x, str_sub(kv_key(n), SOURCE_AT, kv_key(n).size)),
            .kind = (uint16_t)rec.kind,
            .payload = sim_out_str(x, row_text(kv_value(n), sizeof(rec), 0, rec.payload_size)),
        };
    }
    out->inbox = rows;
    out->inbox_len = len;
}

static bool slot_in(const struct lane_ref *lanes, uint32_t len, uint16_t slot)
{
    for (uint32_t i = 0; i < len; i++) {
        if (slot >= lanes[i].slot_lo && slot < lanes[i].slot_hi) {
            return true;
        }
    }
    return false;
}

enum err sim_op_inbox(struct sim_exec *x, struct store_inbox *q)
{
    struct sim_store *s = x->s;
    struct sim_key k;
    if (!sim_fences_hold(s, q->lanes, q->lanes_len)) {
        return ERR_FENCED;
    }
    struct exec_id *ids = MEM_ARRAY(struct exec_id, MAX(q->limit, 1U));
    uint32_t len = 0;
    key_begin(&k, TABLE_MESSAGE);
    if (q->after != NULL) {
        key_bytes(&k, q->after->b, sizeof(q->after->b));
    }
    for (struct kv_node *n = kv_seek(s->kv, key_str(&k));
         n != NULL && kv_key(n).p[0] == TABLE_MESSAGE && len < q->limit; n = kv_next(n)) {
        struct exec_id id;
        memcpy(id.b, kv_key(n).p + 1, sizeof(id.b));
        bool again = (len > 0 && exec_id_eq(&ids[len - 1], &id)) ||
                     (q->after != NULL && exec_id_eq(q->after, &id));
        if (!again && slot_in(q->lanes, q->lanes_len, exec_id_slot(&id))) {
            ids[len++] = id;
        }
    }
    q->ids = SIM_OUT(x, struct exec_id, len);
    q->ids_len = len;
    for (uint32_t i = 0; i < len; i++) {
        q->ids[i] = ids[i];
    }
    mem_free(ids);
    return ERR_OK;
}

enum err sim_op_inbox_drop(struct sim_exec *x, struct store_inbox_drop *q)
{
    struct sim_key k;
    if (!sim_fences_hold(x->s, q->lanes, q->lanes_len)) {
        return ERR_FENCED;
    }
    for (uint32_t i = 0; i < q->rows_len; i++) {
        message_key(&k, &q->rows[i].exec, q->rows[i].source);
        (void)kv_del(x->s->kv, key_str(&k));
        message_say(x->s, "dropped", &q->rows[i].exec, q->rows[i].source);
    }
    return ERR_OK;
}
