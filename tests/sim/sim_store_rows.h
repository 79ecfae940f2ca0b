/* Private to sim_store*.c, and to the checkers that read tables: keys and rows of the fake store. Keys are
 * big endian so that byte order is the order of the tables' primary keys. */
#ifndef CARILLON_TESTS_SIM_STORE_ROWS_H
#define CARILLON_TESTS_SIM_STORE_ROWS_H

#include "base/limits.h"
#include "tests/sim/sim_store.h"

enum sim_table {
    TABLE_META = 'M',        /* -> meta_rec */
    TABLE_LANE = 'L',        /* lane -> lane_rec, node */
    TABLE_LEASE = 'I',       /* incarnation -> lease_rec, node, address */
    TABLE_RING = 'R',        /* ring table -> window served (i64) */
    TABLE_TIMER = 'D',       /* lane, due, exec, seq, idx, ring table or -1 -> nothing */
    TABLE_TASK = 'K',        /* exec, seq, idx -> task_rec, queue */
    TABLE_EXEC = 'E',        /* exec -> exec_rec, workflow, name, snapshot */
    TABLE_EXEC_NEW = 'S',    /* tenant, ~started, ~exec: newest first */
    TABLE_START = 'N',       /* tenant, workflow, name -> start_rec */
    TABLE_HISTORY = 'H',     /* exec, seq -> history_rec, body, outcomes */
    TABLE_INBOX = 'B',       /* lane, id -> exec */
    TABLE_MESSAGE = 'G',     /* exec, source -> message_rec, payload */
    TABLE_CLAIM = 'C',       /* number -> claim_rec */
    TABLE_DEF = 'F',         /* revision -> def_rec, workflow, digest, text */
    TABLE_DEF_VERSION = 'V', /* tenant, workflow, ~version -> revision */
    TABLE_TENANT = 'A',      /* name -> number (u32) */
};

enum { SIM_KEY_MAX = 640 };
struct sim_key {
    size_t size;
    char b[SIM_KEY_MAX];
};
void key_begin(struct sim_key *k, enum sim_table t);
void key_u16(struct sim_key *k, uint16_t v);
void key_u32(struct sim_key *k, uint32_t v);
void key_u64(struct sim_key *k, uint64_t v);
void key_i64(struct sim_key *k, int64_t v); /* ordered */
void key_bytes(struct sim_key *k, const void *p, size_t size);
void key_text(struct sim_key *k, struct str s); /* closed by a NUL: a prefix sorts first */
static inline struct str key_str(const struct sim_key *k)
{
    return (struct str){k->b, k->size};
}
/* Reading parts of a key from "at" on. */
uint64_t key_get_u64(struct str key, size_t at);
int64_t key_get_i64(struct str key, size_t at);
uint32_t key_get_u32(struct str key, size_t at);

struct meta_rec {
    int64_t window_us;
    uint32_t ring_windows;
    uint32_t tenants; /* how many */
    uint64_t next_revision, next_inbox, next_claim;
};
struct lane_rec {
    uint16_t slot_lo, slot_hi;
    uint32_t node_size;
    struct fence fence;
    struct uuid incarnation;
    int64_t closed_to, accept_from, open_to;
};
struct lease_rec {
    int64_t until;
    uint32_t node_size, address_size, evicted, timeline;
};
struct task_rec {
    uint64_t nonce;
    int64_t timeout_at, heartbeat_us;
    uint32_t attempt, queue_size;
    uint32_t submitted, unused;
};
struct message_rec {
    uint32_t kind, payload_size;
};
struct exec_rec {
    uint64_t revision, seq, turn, snapshot_seq;
    int64_t started_at, closed_at;
    uint32_t tenant, status;
    uint32_t workflow_size, name_size, snapshot_size, unused;
};
struct start_rec {
    struct exec_id exec;
    uint64_t digest;
    int64_t closed_at;
};
struct history_rec {
    int64_t at;
    uint64_t turn;
    uint32_t first_event, event_count;
    uint32_t body_size, outcomes_size;
};
struct claim_rec {
    uint64_t epoch;
    struct uuid claim, incarnation;
    int64_t at;
    uint16_t lane;
    uint8_t unused[6];
};
struct def_rec {
    int64_t created_at;
    uint32_t tenant, version;
    uint32_t workflow_size, digest_size, text_size, deleted;
};

/* The text part "n" bytes after the fixed part of a row. */
static inline struct str row_text(struct str row, size_t fixed, size_t skip, size_t size)
{
    return (struct str){row.p + fixed + skip, size};
}

/* The lane that serves a slot, by number; false when none does. */
bool sim_lane_of_slot(struct sim_store *s, uint16_t slot, uint16_t *lane);
bool sim_lane_get(struct sim_store *s, uint16_t lane, struct lane_rec *out, struct str *node);
void sim_meta_get(struct sim_store *s, struct meta_rec *m);
void sim_meta_put(struct sim_store *s, const struct meta_rec *m);
void sim_lane_put(struct sim_store *s, uint16_t lane, const struct lane_rec *rec, struct str node);

/* Writes a row: fixed part, then up to three texts. */
void sim_row_put(struct sim_store *s, const struct sim_key *k, const void *fixed, size_t size,
                 struct str t1, struct str t2, struct str t3);

static inline bool sim_damaged(const struct sim_store *s, const struct exec_id *exec,
                               enum sim_damage damage)
{
    return s->damage == damage && exec_id_eq(&s->damaged, exec);
}

/* ---- operations (sim_store_own.c, sim_store_turn.c, sim_store_read.c) ---- */

/* One call being executed: outputs are made in the caller's arena, in the caller's memory. */
struct sim_exec {
    struct sim_store *s;
    struct host *host;
    struct arena *arena;
    struct wall now;
};
void *sim_out(struct sim_exec *x, size_t size); /* zeroed; NULL for 0 bytes */
struct str sim_out_str(struct sim_exec *x, struct str s);
#define SIM_OUT(x, type, n) ((type *)sim_out((x), sizeof(type) * (size_t)(n)))

enum err sim_op_lease(struct sim_exec *x, struct store_lease *q);
enum err sim_op_release(struct sim_exec *x, struct store_release *q);
enum err sim_op_lanes(struct sim_exec *x, struct store_lanes *q);
enum err sim_op_claim(struct sim_exec *x, struct store_claim *q);
enum err sim_op_window_open(struct sim_exec *x, struct store_window_open *q);
enum err sim_op_window_close(struct sim_exec *x, struct store_window_close *q);
enum err sim_op_window_empty(struct sim_exec *x, struct store_window_empty *q);
enum err sim_op_promote(struct sim_exec *x, struct store_promote *q);
enum err sim_op_timers(struct sim_exec *x, struct store_timers *q);
enum err sim_op_timers_drop(struct sim_exec *x, struct store_timers_drop *q);
enum err sim_op_tasks(struct sim_exec *x, struct store_tasks *q);
enum err sim_op_lane_inbox(struct sim_exec *x, struct store_lane_inbox *q);
enum err sim_op_inbox(struct sim_exec *x, struct store_inbox *q);
enum err sim_op_inbox_drop(struct sim_exec *x, struct store_inbox_drop *q);
enum err sim_op_commit(struct sim_exec *x, struct store_commit *q);
enum err sim_op_load(struct sim_exec *x, struct store_load *q);
enum err sim_op_start_lookup(struct sim_exec *x, struct store_start_lookup *q);
enum err sim_op_list(struct sim_exec *x, struct store_list *q);
enum err sim_op_history(struct sim_exec *x, struct store_history *q);
enum err sim_op_def_put(struct sim_exec *x, struct store_def_put *q);
enum err sim_op_def_get(struct sim_exec *x, struct store_def_get *q);
enum err sim_op_def_list(struct sim_exec *x, struct store_def_list *q);
enum err sim_op_tenant(struct sim_exec *x, struct store_tenant *q);

/* Timer rows. A row stands in the table that serves its window; as with PostgreSQL, the table is
 * found by the window's number modulo the ring, whatever it serves at the moment. */
void sim_timer_put(struct sim_store *s, uint16_t lane, const struct timer_row *t);
bool sim_timer_del(struct sim_store *s, uint16_t lane, const struct timer_row *t);
/* The window that a ring table serves; -1 when it serves none. */
int64_t sim_ring_serves(struct sim_store *s, uint32_t table);
/* Inbox rows (sim_store_inbox.c): reads and sends of the batch's winners, after all of them. */
bool sim_inbox_possible(const struct store_commit *q, const struct turn_row *t);
void sim_inbox_apply(struct sim_exec *x, struct store_commit *q);
/* The inbox of an execution into its row, within the bounds of a load. */
void sim_inbox_out(struct sim_exec *x, const struct exec_id *id, struct exec_row *out);
/* Announces the execution to the owner of the lane. */
void sim_announce(struct sim_store *s, uint16_t lane, const struct exec_id *exec);
/* Is the lane held under one of the claims given? */
bool sim_lane_held(const struct store_commit *q, const struct sim_store *s, uint16_t lane,
                   const struct lane_rec *rec);
/* Sessions and leases (sim_store.c, sim_store_own.c). */
bool sim_evicted(struct sim_store *s, const struct uuid *incarnation);
bool sim_session_alive(struct sim_store *s, const struct uuid *incarnation);
void sim_session_open(struct sim_store *s, struct host *h, const struct uuid *incarnation);
void sim_session_evict(struct sim_store *s, const struct uuid *incarnation);
bool sim_fences_hold(struct sim_store *s, const struct lane_ref *lanes, uint32_t len);

#endif
