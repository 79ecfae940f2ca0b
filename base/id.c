/* Ids: bits in, bits out, text in, text out. The layout is drawn in id.h. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/id.h"
#include "base/map.h"
#include "base/mem.h"

enum { ID_SIZE = 16, DAY_MAX = 65535 };

/* ---- UUID text ---- */

static void id_format(const uint8_t b[ID_SIZE], char out[EXEC_ID_TEXT + 1])
{
    static const uint8_t bytes[] = {4, 2, 2, 2, 6};
    for (size_t g = 0; g < ARRAY_LEN(bytes); g++) {
        if (g > 0) {
            *out++ = '-';
        }
        hex_encode(b, bytes[g], out);
        b += bytes[g];
        out += 2 * bytes[g];
    }
    *out = '\0';
}

static enum err id_parse(struct str s, uint8_t out[ID_SIZE])
{
    static const uint8_t bytes[] = {4, 2, 2, 2, 6};
    if (s.size != EXEC_ID_TEXT) {
        return ERR_INVALID;
    }
    size_t at = 0, o = 0;
    for (size_t g = 0; g < ARRAY_LEN(bytes); g++) {
        if (g > 0 && s.p[at++] != '-') {
            return ERR_INVALID;
        }
        if (hex_decode(str_sub(s, at, (size_t)2 * bytes[g]), out + o, bytes[g]) != ERR_OK) {
            return ERR_INVALID;
        }
        at += (size_t)2 * bytes[g];
        o += bytes[g];
    }
    return ERR_OK;
}

static bool id_is_null(const uint8_t b[ID_SIZE])
{
    static const uint8_t null[ID_SIZE];
    return memcmp(b, null, ID_SIZE) == 0;
}

/* ---- execution ids ---- */

static void put_place(uint8_t b[ID_SIZE], uint32_t shard, uint32_t slot, uint32_t tenant)
{
    b[0] = (uint8_t)(shard >> 4);
    b[1] = (uint8_t)((shard & 15) << 4 | slot >> 8);
    b[2] = (uint8_t)slot;
    b[3] = (uint8_t)(tenant >> 16);
    b[4] = (uint8_t)(tenant >> 8);
    b[5] = (uint8_t)tenant;
}

struct exec_id exec_id_make(uint16_t shard, uint16_t slot, uint32_t tenant, struct wall start,
                            struct rng *rng)
{
    PRE(shard <= SHARD_MAX);
    PRE(slot < SLOT_COUNT);
    PRE(tenant <= TENANT_MAX);
    struct exec_id id;
    int64_t day = MIN(MAX(start.us / US_PER_DAY, (int64_t)0), (int64_t)DAY_MAX);
    put_place(id.b, shard, slot, tenant);
    rng_bytes(rng, id.b + 8, 8);
    id.b[6] = (uint8_t)(0x80 | day >> 12);
    id.b[7] = (uint8_t)(day >> 4);
    id.b[8] = (uint8_t)(0x80 | (day & 15) << 2 | (id.b[8] & 3));
    return id;
}

uint16_t exec_id_shard(const struct exec_id *id)
{
    return (uint16_t)(id->b[0] << 4 | id->b[1] >> 4);
}

uint16_t exec_id_slot(const struct exec_id *id)
{
    return (uint16_t)((id->b[1] & 15) << 8 | id->b[2]);
}

uint32_t exec_id_tenant(const struct exec_id *id)
{
    return (uint32_t)(id->b[3] << 16 | id->b[4] << 8 | id->b[5]);
}

uint32_t exec_id_day(const struct exec_id *id)
{
    return (uint32_t)((id->b[6] & 15) << 12 | id->b[7] << 4 | (id->b[8] >> 2 & 15));
}

struct exec_id exec_id_low(uint16_t shard, uint32_t slot)
{
    PRE(shard <= SHARD_MAX);
    PRE(slot <= SLOT_COUNT);
    struct exec_id id = {{0}};
    uint32_t place = (uint32_t)shard * SLOT_COUNT + slot;
    if (place >= (uint32_t)(SHARD_MAX + 1) * SLOT_COUNT) {
        memset(id.b, 0xFF, ID_SIZE); /* there is no next shard: above every id */
        return id;
    }
    put_place(id.b, place / SLOT_COUNT, place % SLOT_COUNT, 0);
    return id;
}

int exec_id_cmp(const struct exec_id *a, const struct exec_id *b)
{
    int c = memcmp(a->b, b->b, ID_SIZE);
    return (c > 0) - (c < 0);
}

bool exec_id_eq(const struct exec_id *a, const struct exec_id *b)
{
    return memcmp(a->b, b->b, ID_SIZE) == 0;
}

bool exec_id_is_null(const struct exec_id *a)
{
    return id_is_null(a->b);
}

uint64_t exec_id_hash(const struct exec_id *a)
{
    return hash_bytes(a->b, ID_SIZE);
}

void exec_id_format(const struct exec_id *id, char out[EXEC_ID_TEXT + 1])
{
    id_format(id->b, out);
}

enum err exec_id_parse(struct str s, struct exec_id *out)
{
    struct exec_id id;
    if (id_parse(s, id.b) != ERR_OK || id.b[6] >> 4 != 8 || id.b[8] >> 6 != 2) {
        return ERR_INVALID;
    }
    *out = id;
    return ERR_OK;
}

uint16_t slot_of(uint32_t tenant, struct str workflow, struct str name)
{
    char text[544]; /* both names at their limits fit */
    size_t size = 4 + workflow.size + 1 + name.size;
    char *key = size <= sizeof(text) ? text : mem_realloc(NULL, size);
    for (unsigned i = 0; i < 4; i++) {
        key[i] = (char)(tenant >> (8 * i));
    }
    if (workflow.size > 0) {
        memcpy(key + 4, workflow.p, workflow.size);
    }
    key[4 + workflow.size] = '\0';
    if (name.size > 0) {
        memcpy(key + 5 + workflow.size, name.p, name.size);
    }
    uint16_t slot = (uint16_t)(hash_bytes(key, size) % SLOT_COUNT);
    if (key != text) {
        mem_free(key);
    }
    return slot;
}

uint32_t tenant_number(struct str name)
{
    return (uint32_t)(hash_bytes(name.p, name.size) % TENANT_MAX) + 1;
}

/* ---- uuids ---- */

struct uuid uuid_make(struct rng *rng)
{
    struct uuid u;
    rng_bytes(rng, u.b, ID_SIZE);
    u.b[6] = (uint8_t)(0x40 | (u.b[6] & 15));
    u.b[8] = (uint8_t)(0x80 | (u.b[8] & 63));
    return u;
}

bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->b, b->b, ID_SIZE) == 0;
}

bool uuid_is_null(const struct uuid *a)
{
    return id_is_null(a->b);
}

void uuid_format(const struct uuid *u, char out[EXEC_ID_TEXT + 1])
{
    id_format(u->b, out);
}

enum err uuid_parse(struct str s, struct uuid *out)
{
    struct uuid u;
    if (id_parse(s, u.b) != ERR_OK) {
        return ERR_INVALID;
    }
    *out = u;
    return ERR_OK;
}

/* ---- task tokens ---- */

static uint8_t *put_be(uint8_t *p, uint64_t v, unsigned size)
{
    for (unsigned i = size; i-- > 0; v >>= 8) {
        p[i] = (uint8_t)v;
    }
    return p + size;
}

static uint64_t get_be(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

void task_token_encode(const struct task_token *t, uint8_t out[TASK_TOKEN_SIZE])
{
    memcpy(out, t->ref.exec.b, ID_SIZE);
    uint8_t *p = out + ID_SIZE;
    p = put_be(p, t->ref.seq, 8);
    p = put_be(p, t->ref.idx, 4);
    p = put_be(p, t->ref.attempt, 4);
    p = put_be(p, t->nonce, 8);
    ASSERT(p == out + TASK_TOKEN_SIZE);
}

enum err task_token_decode(struct str bytes, struct task_token *out)
{
    if (bytes.size != TASK_TOKEN_SIZE) {
        return ERR_INVALID;
    }
    const uint8_t *p = (const uint8_t *)bytes.p;
    memcpy(out->ref.exec.b, p, ID_SIZE);
    out->ref.seq = get_be(p + 16, 8);
    out->ref.idx = (uint32_t)get_be(p + 24, 4);
    out->ref.attempt = (uint32_t)get_be(p + 28, 4);
    out->nonce = get_be(p + 32, 8);
    return ERR_OK;
}

bool task_token_eq(const struct task_token *a, const struct task_token *b)
{
    return exec_id_eq(&a->ref.exec, &b->ref.exec) && a->ref.seq == b->ref.seq &&
           a->ref.idx == b->ref.idx && a->ref.attempt == b->ref.attempt && a->nonce == b->nonce;
}
