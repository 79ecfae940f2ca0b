/* Typed ids and their text forms, and the fence token.
 *
 * An execution id is a UUID version 8 (RFC 9562) that says where the execution lives:
 *   bits   0..11  shard          bits  48..51  version (8)
 *   bits  12..23  slot           bits  52..63  start day, high 12 bits (days since 1970)
 *   bits  24..47  tenant number  bits  64..65  variant (2)
 *                                bits  66..69  start day, low 4 bits
 *                                bits  70..127 random
 * Bytes compare as (shard, slot, tenant, day, random), so a lane (a range of slots of a shard)
 * is one range of ids, and every key that starts with the id starts with shard, slot, tenant. */
#ifndef CARILLON_BASE_ID_H
#define CARILLON_BASE_ID_H

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"

enum {
    SLOT_COUNT = 4096,     /* fixed for ever (guarantees.md 0.11) */
    SHARD_MAX = 4095,      /* 12 bits */
    TENANT_MAX = 16777215, /* 24 bits */
    EXEC_ID_TEXT = 36,     /* characters of the text form, without NUL */
};

struct exec_id {
    uint8_t b[16];
};

struct exec_id exec_id_make(uint16_t shard, uint16_t slot, uint32_t tenant, struct wall start,
                            struct rng *rng);
uint16_t exec_id_shard(const struct exec_id *id);
uint16_t exec_id_slot(const struct exec_id *id);
uint32_t exec_id_tenant(const struct exec_id *id);
uint32_t exec_id_day(const struct exec_id *id);
/* Lowest id of (shard, slot): the lane of slots [a, b) is [low(a), low(b)). slot may be 4096,
 * which gives the lowest id of the next shard. */
struct exec_id exec_id_low(uint16_t shard, uint32_t slot);
int exec_id_cmp(const struct exec_id *a, const struct exec_id *b);
bool exec_id_eq(const struct exec_id *a, const struct exec_id *b);
bool exec_id_is_null(const struct exec_id *a);
uint64_t exec_id_hash(const struct exec_id *a);
void exec_id_format(const struct exec_id *id, char out[EXEC_ID_TEXT + 1]);
/* Refuses text that is no UUID version 8 of this layout. */
enum err exec_id_parse(struct str s, struct exec_id *out) MUST_CHECK;

/* slot = xxh64(tenant, workflow, name) mod 4096. The bytes hashed: tenant as 4 bytes little
 * endian, workflow, a NUL, name; seed 0. */
uint16_t slot_of(uint32_t tenant, struct str workflow, struct str name);

/* The number a tenant has by its name, 1..TENANT_MAX, unless another one has taken it: then the next that
 * is free. Numbers in turn would be given to somebody else after a failover that undid a tenant, while
 * connections, tokens and ids with the number are still about (I38). */
uint32_t tenant_number(struct str name);

/* 128 random bits for claims and incarnations; text form as a UUID version 4. */
struct uuid {
    uint8_t b[16];
};
struct uuid uuid_make(struct rng *rng);
bool uuid_eq(const struct uuid *a, const struct uuid *b);
bool uuid_is_null(const struct uuid *a);
void uuid_format(const struct uuid *u, char out[EXEC_ID_TEXT + 1]);
enum err uuid_parse(struct str s, struct uuid *out) MUST_CHECK;

/* What an owner shows with each write made as an owner: the pair, never the number alone
 * (an epoch repeats after a failover that lost its tail; guarantees.md 0.4). */
struct fence {
    uint64_t epoch;
    struct uuid claim;
};

/* An attempt of a task: the turn that made it, its index there, the attempt number. */
struct task_ref {
    struct exec_id exec;
    uint64_t seq;     /* sequence number of the turn that made the task */
    uint32_t idx;     /* index of the task within that turn */
    uint32_t attempt; /* 1, 2, ... within one entry into the state */
};
/* The token that a worker holds: the attempt and a random nonce; never a claim. */
struct task_token {
    struct task_ref ref;
    uint64_t nonce;
};
enum { TASK_TOKEN_SIZE = 40, TASK_TOKEN_TEXT = 54 }; /* binary; base64url without padding */
void task_token_encode(const struct task_token *t, uint8_t out[TASK_TOKEN_SIZE]); /* big endian */
enum err task_token_decode(struct str bytes, struct task_token *out) MUST_CHECK;
bool task_token_eq(const struct task_token *a, const struct task_token *b);

#endif
