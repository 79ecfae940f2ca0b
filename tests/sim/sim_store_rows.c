/* Keys, rows and the few lookups that every part of the fake store needs. */
#include "base/prelude.h"

#include "tests/sim/sim_store_rows.h"

#include "base/assert.h"

void key_bytes(struct sim_key *k, const void *p, size_t size)
{
    ASSERT(k->size + size <= SIM_KEY_MAX);
    if (size > 0) {
        memcpy(k->b + k->size, p, size);
    }
    k->size += size;
}

void key_begin(struct sim_key *k, enum sim_table t)
{
    k->size = 1;
    k->b[0] = (char)t;
}

static void key_uint(struct sim_key *k, uint64_t v, int bytes)
{
    uint8_t b[8];
    for (int i = 0; i < bytes; i++) {
        b[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
    }
    key_bytes(k, b, (size_t)bytes);
}

void key_u16(struct sim_key *k, uint16_t v)
{
    key_uint(k, v, 2);
}

void key_u32(struct sim_key *k, uint32_t v)
{
    key_uint(k, v, 4);
}

void key_u64(struct sim_key *k, uint64_t v)
{
    key_uint(k, v, 8);
}

void key_i64(struct sim_key *k, int64_t v)
{
    key_uint(k, (uint64_t)v ^ (UINT64_C(1) << 63), 8);
}

void key_text(struct sim_key *k, struct str s)
{
    key_bytes(k, s.p, s.size);
    key_bytes(k, "", 1);
}

static uint64_t get_uint(struct str key, size_t at, int bytes)
{
    uint64_t v = 0;
    ASSERT(at + (size_t)bytes <= key.size);
    for (int i = 0; i < bytes; i++) {
        v = (v << 8) | (uint8_t)key.p[at + (size_t)i];
    }
    return v;
}

uint64_t key_get_u64(struct str key, size_t at)
{
    return get_uint(key, at, 8);
}

int64_t key_get_i64(struct str key, size_t at)
{
    return (int64_t)(get_uint(key, at, 8) ^ (UINT64_C(1) << 63));
}

uint32_t key_get_u32(struct str key, size_t at)
{
    return (uint32_t)get_uint(key, at, 4);
}

void sim_row_put(struct sim_store *s, const struct sim_key *k, const void *fixed, size_t size,
                 struct str t1, struct str t2, struct str t3)
{
    buf_clear(&s->scratch);
    buf_put(&s->scratch, fixed, size);
    buf_put_str(&s->scratch, t1);
    buf_put_str(&s->scratch, t2);
    buf_put_str(&s->scratch, t3);
    kv_put(s->kv, key_str(k), buf_str(&s->scratch));
}

void sim_meta_get(struct sim_store *s, struct meta_rec *m)
{
    struct sim_key k;
    key_begin(&k, TABLE_META);
    memcpy(m, kv_value(kv_get(s->kv, key_str(&k))).p, sizeof(*m));
}

void sim_meta_put(struct sim_store *s, const struct meta_rec *m)
{
    struct sim_key k;
    key_begin(&k, TABLE_META);
    sim_row_put(s, &k, m, sizeof(*m), STR_NONE, STR_NONE, STR_NONE);
}

static void lane_key(struct sim_key *k, uint16_t lane)
{
    key_begin(k, TABLE_LANE);
    key_u16(k, lane);
}

bool sim_lane_get(struct sim_store *s, uint16_t lane, struct lane_rec *out, struct str *node)
{
    struct sim_key k;
    lane_key(&k, lane);
    struct kv_node *n = kv_get(s->kv, key_str(&k));
    if (n == NULL) {
        return false;
    }
    memcpy(out, kv_value(n).p, sizeof(*out));
    if (node != NULL) {
        *node = row_text(kv_value(n), sizeof(*out), 0, out->node_size);
    }
    return true;
}

void sim_lane_put(struct sim_store *s, uint16_t lane, const struct lane_rec *rec, struct str node)
{
    struct sim_key k;
    struct lane_rec copy = *rec;
    lane_key(&k, lane);
    copy.node_size = (uint32_t)node.size;
    sim_row_put(s, &k, &copy, sizeof(copy), node, STR_NONE, STR_NONE);
}

bool sim_lane_of_slot(struct sim_store *s, uint16_t slot, uint16_t *lane)
{
    struct sim_key k;
    key_begin(&k, TABLE_LANE);
    struct kv_node *n = kv_seek(s->kv, key_str(&k));
    for (; n != NULL && kv_key(n).p[0] == TABLE_LANE; n = kv_next(n)) {
        struct lane_rec rec;
        memcpy(&rec, kv_value(n).p, sizeof(rec));
        if (slot >= rec.slot_lo && slot < rec.slot_hi) {
            *lane = (uint16_t)(((uint8_t)kv_key(n).p[1] << 8) | (uint8_t)kv_key(n).p[2]);
            return true;
        }
    }
    return false;
}

bool sim_fences_hold(struct sim_store *s, const struct lane_ref *lanes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        struct lane_rec rec;
        if (lanes[i].shard != s->shard || !sim_lane_get(s, lanes[i].lane, &rec, NULL) ||
            rec.fence.epoch != lanes[i].fence.epoch ||
            !uuid_eq(&rec.fence.claim, &lanes[i].fence.claim) || uuid_is_null(&rec.incarnation)) {
            return false;
        }
    }
    return true;
}

int64_t sim_ring_serves(struct sim_store *s, uint32_t table)
{
    struct sim_key k;
    int64_t serves = -1;
    key_begin(&k, TABLE_RING);
    key_u32(&k, table);
    struct kv_node *n = kv_get(s->kv, key_str(&k));
    if (n != NULL) {
        memcpy(&serves, kv_value(n).p, sizeof(serves));
    }
    return serves;
}

static void timer_key(struct sim_store *s, uint16_t lane, const struct timer_row *t,
                      struct sim_key *k)
{
    struct meta_rec m;
    int64_t table = -1;
    if (t->window >= 0) {
        sim_meta_get(s, &m);
        ASSERT(m.ring_windows > 0);
        table = t->window % m.ring_windows;
    }
    key_begin(k, TABLE_TIMER);
    key_u16(k, lane);
    key_i64(k, t->due.us);
    key_bytes(k, t->exec.b, sizeof(t->exec.b));
    key_u64(k, t->seq);
    key_u32(k, t->idx);
    key_i64(k, table);
}

static void timer_say(struct sim_store *s, const char *what, const struct timer_row *t, bool done)
{
    char id[EXEC_ID_TEXT + 1];
    exec_id_format(&t->exec, id);
    world_say(s->world, "timer %s %s/%" PRIu64 "/%" PRIu32 " due %" PRId64 " window %" PRId64 "%s",
              what, id, t->seq, t->idx, t->due.us, t->window, done ? "" : " (not there)");
}

void sim_timer_put(struct sim_store *s, uint16_t lane, const struct timer_row *t)
{
    struct sim_key k;
    timer_key(s, lane, t, &k);
    timer_say(s, "put", t, true);
    kv_put(s->kv, key_str(&k), STR_NONE);
}

bool sim_timer_del(struct sim_store *s, uint16_t lane, const struct timer_row *t)
{
    struct sim_key k;
    timer_key(s, lane, t, &k);
    bool there = kv_del(s->kv, key_str(&k));
    timer_say(s, "del", t, there);
    return there;
}
