/* A skip list whose levels come from a hash of the key, so that its shape depends on contents only. */
#include "base/prelude.h"

#include "tests/sim/sim_kv.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"

enum { LEVELS = 16 };

struct kv_node {
    char *value;
    size_t value_size, key_size;
    uint8_t levels;
    struct kv_node *next[]; /* levels of them, then the key */
};

struct kv_undo_row {
    char *key;
    size_t key_size;
    char *value; /* what stood there; NULL = nothing */
    size_t value_size;
};

struct kv {
    struct kv_node *head; /* all levels, no key */
    size_t len;
    struct kv_undo_row *journal; /* [forgotten, mark) at [0, mark - forgotten) */
    size_t journal_len, journal_room, journal_head;
    uint64_t base; /* mark of journal[journal_head] */
};

static char *node_key(const struct kv_node *n)
{
    return (char *)(uintptr_t)&n->next[n->levels];
}

static struct kv_node *node_new(struct str key, uint8_t levels)
{
    struct kv_node *n =
        mem_alloc(sizeof(*n) + sizeof(n->next[0]) * levels + MAX(key.size, (size_t)1));
    n->levels = levels;
    n->key_size = key.size;
    if (key.size > 0) {
        memcpy(node_key(n), key.p, key.size);
    }
    return n;
}

static int key_cmp(const struct kv_node *n, struct str key)
{
    int c = memcmp(node_key(n), key.p, MIN(n->key_size, key.size));
    return c != 0 ? c : (n->key_size > key.size) - (n->key_size < key.size);
}

/* The last node before "key" on each level. */
static struct kv_node *find(struct kv *kv, struct str key, struct kv_node *before[LEVELS])
{
    struct kv_node *n = kv->head;
    for (int level = LEVELS - 1; level >= 0; level--) {
        while (n->next[level] != NULL && key_cmp(n->next[level], key) < 0) {
            n = n->next[level];
        }
        if (before != NULL) {
            before[level] = n;
        }
    }
    return n->next[0];
}

static bool holds(const struct kv_node *n, struct str key)
{
    return n != NULL && n->key_size == key.size && memcmp(node_key(n), key.p, key.size) == 0;
}

static char *bytes_dup(const char *p, size_t size)
{
    char *copy = mem_realloc(NULL, size + 1);
    if (size > 0) {
        memcpy(copy, p, size);
    }
    return copy;
}

static void journal_add(struct kv *kv, struct str key, char *value_taken, size_t value_size)
{
    if (kv->journal_len == kv->journal_room) {
        if (kv->journal_head > kv->journal_len / 2) {
            kv->journal_len -= kv->journal_head;
            memmove(kv->journal, kv->journal + kv->journal_head,
                    sizeof(*kv->journal) * kv->journal_len);
            kv->journal_head = 0;
        } else {
            kv->journal_room = MAX((size_t)256, 2 * kv->journal_room);
            kv->journal = mem_realloc(kv->journal, sizeof(*kv->journal) * kv->journal_room);
        }
    }
    kv->journal[kv->journal_len++] = (struct kv_undo_row){
        .key = bytes_dup(key.p, key.size),
        .key_size = key.size,
        .value = value_taken,
        .value_size = value_size,
    };
}

static uint8_t levels_of(struct str key)
{
    uint64_t h = hash_bytes(key.p, key.size);
    uint8_t levels = 1;
    while (levels < LEVELS && (h & 3) == 0) {
        levels++;
        h >>= 2;
    }
    return levels;
}

/* Sets a row to "value" (taken; NULL: removes it); gives back what stood there. */
static char *set(struct kv *kv, struct str key, char *value, size_t value_size, size_t *old_size)
{
    struct kv_node *before[LEVELS];
    struct kv_node *n = find(kv, key, before);
    if (!holds(n, key)) {
        *old_size = 0;
        if (value == NULL) {
            return NULL;
        }
        n = node_new(key, levels_of(key));
        for (uint8_t i = 0; i < n->levels; i++) {
            n->next[i] = before[i]->next[i];
            before[i]->next[i] = n;
        }
        n->value = value;
        n->value_size = value_size;
        kv->len++;
        return NULL;
    }
    char *old = n->value;
    *old_size = n->value_size;
    if (value != NULL) {
        n->value = value;
        n->value_size = value_size;
        return old;
    }
    for (uint8_t i = 0; i < n->levels; i++) {
        before[i]->next[i] = n->next[i];
    }
    mem_free(n);
    kv->len--;
    return old;
}

struct kv *kv_new(void)
{
    struct kv *kv = MEM_NEW(struct kv);
    kv->head = node_new(STR_NONE, LEVELS);
    return kv;
}

void kv_forget(struct kv *kv, uint64_t mark)
{
    while (kv->base < mark && kv->journal_head < kv->journal_len) {
        struct kv_undo_row *u = &kv->journal[kv->journal_head++];
        mem_free(u->key);
        mem_free(u->value);
        kv->base++;
    }
}

void kv_free(struct kv *kv)
{
    if (kv == NULL) {
        return;
    }
    kv_forget(kv, UINT64_MAX);
    struct kv_node *n = kv->head;
    while (n != NULL) {
        struct kv_node *next = n->next[0];
        mem_free(n->value);
        mem_free(n);
        n = next;
    }
    mem_free(kv->journal);
    mem_free(kv);
}

struct kv_node *kv_seek(struct kv *kv, struct str key)
{
    return find(kv, key, NULL);
}

struct kv_node *kv_next(struct kv_node *n)
{
    return n->next[0];
}

struct kv_node *kv_get(struct kv *kv, struct str key)
{
    struct kv_node *n = find(kv, key, NULL);
    return holds(n, key) ? n : NULL;
}

struct str kv_key(const struct kv_node *n)
{
    return (struct str){node_key(n), n->key_size};
}

struct str kv_value(const struct kv_node *n)
{
    return (struct str){n->value, n->value_size};
}

void kv_put(struct kv *kv, struct str key, struct str value)
{
    size_t old_size;
    char *old = set(kv, key, bytes_dup(value.p, value.size), value.size, &old_size);
    journal_add(kv, key, old, old_size);
}

bool kv_del(struct kv *kv, struct str key)
{
    size_t old_size;
    char *old = set(kv, key, NULL, 0, &old_size);
    if (old == NULL) {
        return false;
    }
    journal_add(kv, key, old, old_size);
    return true;
}

uint64_t kv_mark(const struct kv *kv)
{
    return kv->base + (kv->journal_len - kv->journal_head);
}

void kv_undo(struct kv *kv, uint64_t mark)
{
    PRE(mark >= kv->base && mark <= kv_mark(kv));
    while (kv_mark(kv) > mark) {
        struct kv_undo_row *u = &kv->journal[--kv->journal_len];
        size_t size;
        mem_free(set(kv, (struct str){u->key, u->key_size}, u->value, u->value_size, &size));
        mem_free(u->key);
    }
}

size_t kv_len(const struct kv *kv)
{
    return kv->len;
}

void kv_serialise(struct kv *kv, struct buf *out)
{
    for (struct kv_node *n = kv->head->next[0]; n != NULL; n = n->next[0]) {
        uint64_t sizes[2] = {n->key_size, n->value_size};
        buf_put(out, sizes, sizeof(sizes));
        buf_put(out, node_key(n), n->key_size);
        buf_put(out, n->value, n->value_size);
    }
}
