/* The fake store's memory: one ordered map from byte keys to byte values, with a journal of old
 * values. The journal makes a transaction undoable and lets the newest commits vanish (a failover
 * that loses its tail). Keys are unique over all tables: the first byte names the table. */
#ifndef CARILLON_TESTS_SIM_KV_H
#define CARILLON_TESTS_SIM_KV_H

#include "base/str.h"

struct kv;
struct kv_node; /* a row; stays valid until the row is removed */

struct kv *kv_new(void);
void kv_free(struct kv *kv);
/* First row with key >= "key", or NULL. */
struct kv_node *kv_seek(struct kv *kv, struct str key);
struct kv_node *kv_next(struct kv_node *n);
struct kv_node *kv_get(struct kv *kv, struct str key);
struct str kv_key(const struct kv_node *n);
struct str kv_value(const struct kv_node *n);
/* Inserts or replaces; bytes are copied. Remembered in the journal. */
void kv_put(struct kv *kv, struct str key, struct str value);
bool kv_del(struct kv *kv, struct str key);
/* Position of the journal: grows with every change. */
uint64_t kv_mark(const struct kv *kv);
/* Undoes everything after the mark, newest first. */
void kv_undo(struct kv *kv, uint64_t mark);
/* Changes before the mark can no longer be undone. */
void kv_forget(struct kv *kv, uint64_t mark);
size_t kv_len(const struct kv *kv);
/* The whole contents as bytes, in key order: equal contents give equal bytes. */
void kv_serialise(struct kv *kv, struct buf *out);

#endif
