/* The state of an execution and its only change, the fold.
 *
 * State = a tree of frames (threads of control). The root frame runs the top machine; a Parallel or Map state
 * in a frame has one child frame per branch or running iteration. A frame holds its state, its data
 * and at most one thing it waits for (a task's outcome, a timer, its children).
 *
 *            ┌──────────────────────── next state ───────────────────────┐
 *   ENTER → RUN → WAIT (task, timer) → RESULT → exited ──┴→ DONE → end of the machine
 *            │ └→ KIDS (children) ──────↑  │
 *            └──────────┬─────────────────┘
 *                     FAILED → retry (WAIT, then RUN) | catch (exited) | DEAD → the parent fails
 *
 * All payloads are counted blocks of compact JSON text; frames share them. Trees are made only where a
 * path asks for one, and live in a scratch that is dropped after the turn. */
#ifndef CARILLON_ENGINE_CORE_EXEC_H
#define CARILLON_ENGINE_CORE_EXEC_H

#include "base/list.h"
#include "engine/core/def.h"
#include "engine/core/event.h"

struct pay {
    uint32_t refs;
    uint32_t mark; /* number in the table of a snapshot being written, else 0 */
    size_t size;
    const struct jv *tree; /* valid in the current scratch */
    struct pay *parsed;    /* list of the scratch */
    char text[];
};

/* Texts longer than this are cut off, which is far beyond what any payload may have: an expression that
 * multiplies its data must not take the memory of the node before its size is judged. */
enum { SCRATCH_TEXT_MAX = 8 << 20 };

/* Trees and temporary values of one turn or one row. */
struct scratch {
    struct arena arena;
    struct pay *parsed;
    struct buf buf;
};

enum phase { PH_ENTER, PH_RUN, PH_WAIT, PH_KIDS, PH_RESULT, PH_FAILED, PH_DEAD, PH_DONE };
enum { PHASES = 8 };
enum wait_kind { WAIT_NONE, WAIT_TASK, WAIT_TIMER };

/* What a Map or Parallel state knows of its children. */
struct kids {
    struct pay *items; /* Map: the array; Parallel: NULL */
    uint32_t *offsets; /* Map: n + 1 offsets into the text of items */
    struct pay **results;
    uint32_t n, started, ended, limit;
    /* ItemSelector: the tree it looks at is kept from turn to turn, or a large Map would cost the
     * square of its items. Not part of the state. */
    struct pay *data;
    const struct jv *data_tree;
    struct arena *data_arena;
};

struct frame {
    uint32_t slot, index;
    enum phase phase;
    const struct machine *machine;
    const struct state *state;
    struct frame *parent;
    struct list children, sibling, ready;
    struct pay *in, *eff, *res, *vars; /* NULL = none */
    struct pay *error, *cause;         /* plain text, not JSON */
    struct kids *kids;
    uint32_t retries;       /* in this entry into the state; the attempt's number is one more */
    uint32_t *retry_counts; /* per retrier; NULL = all zero */
    uint32_t entered_event, last_event;
    struct wall entered_at;
    /* what it waits for */
    enum wait_kind wait;
    uint64_t seq;
    uint32_t idx;
    uint64_t nonce;
    struct wall due; /* timer: when; task: its timeout, 0 = none */
    int64_t heartbeat_us;
    struct pay *queue;    /* NULL: the definition's */
    bool submitted;       /* the call was answered */
    struct exec_id child; /* its end is the outcome; null = none */
};

/* Where the fold reports what a turn closed; NULL when rows are replayed. */
struct effects {
    struct core_task_ref *tasks;
    uint32_t tasks_len, tasks_room;
    struct core_task_ref *submitted;
    uint32_t submitted_len, submitted_room;
    struct exec_id *children;
    uint32_t children_len, children_room;
    struct core_timer *timers;
    uint32_t timers_len, timers_room;
    struct wall due_max;
};

/* Frames that wait for a task or a timer, by (seq, idx). A place that was given up keeps its key, so that
 * nothing has to move; when half of the places are given up, the others close ranks. */
struct open_place {
    uint64_t seq;
    uint32_t idx;
    struct frame *frame; /* NULL: given up */
};
struct open_list {
    struct open_place *v;
    uint32_t len, room, gone;
};

struct exec {
    struct exec_ident ident;
    struct def *def;
    enum exec_status status;
    uint64_t seq;
    uint32_t events;       /* that people see */
    struct frame **frames; /* by slot; holes are NULL */
    uint32_t frames_len, frames_room, frames_live;
    uint32_t hole_hint; /* no slot below it is free */
    struct list ready;  /* frames the interpreter can go on with */
    struct open_list open;
    struct pay *input, *output, *error, *cause;
    bool deadline_set;
    uint64_t deadline_seq;
    uint32_t deadline_idx;
    struct wall deadline;
    struct task_token parent; /* null: no task has started it */
    bool parent_waits;
    size_t pay_bytes, heap_bytes;
    size_t delta_bytes, snapshot_bytes; /* of rows since the last snapshot; of that snapshot */
    /* during a fold */
    uint64_t fold_seq;
    struct wall fold_now;
    bool trusted; /* texts come from the interpreter: no need to validate them */
    struct effects *effects;
    struct history_sink *sink;
    struct wall sink_at;
};

/* Payloads. "make" copies the text. */
struct pay *pay_make(struct exec *x, struct str text);
struct pay *pay_ref(struct pay *p);
void pay_unref(struct exec *x, struct pay *p);
uint32_t pay_holders(const struct pay *p);
struct str pay_text(const struct pay *p); /* NULL: STR_NONE */
/* The tree, parsed on first use. NULL when the text holds a duplicate name (all else was checked). */
const struct jv *pay_tree(struct scratch *s, struct pay *p);
/* A payload with the text of "v"; its tree is remembered. */
struct pay *pay_of_tree(struct exec *x, struct scratch *s, const struct jv *v);

void scratch_init(struct scratch *s);
void scratch_reset(struct exec *x, struct scratch *s, size_t keep);
void scratch_fini(struct exec *x, struct scratch *s);

/* Copies JSON without white space between tokens. The text must be valid. */
void json_compact(struct buf *out, struct str text);
bool json_is_compact(struct str text);
/* Nested deeper than any payload may be? What is put together from parts can get there. */
bool json_too_deep(struct str text);

struct frame *exec_frame(const struct exec *x, uint32_t slot); /* NULL: none */
struct frame *exec_root(const struct exec *x);
uint32_t exec_free_slot(const struct exec *x); /* for the next child */
/* Describes the open task of a frame; texts are borrowed. */
void exec_task_fill(const struct exec *x, const struct frame *f, struct core_task *out);
/* The open frame that waits for (seq, idx), or NULL. */
struct frame *exec_open_find(const struct exec *x, uint64_t seq, uint32_t idx);
/* Keeps the tree of "data" as long as the children live. */
void kids_keep_tree(struct exec *x, struct kids *k, struct pay *data);
void kids_drop_tree(struct exec *x, struct kids *k);
struct str kids_item(const struct kids *k, uint32_t i);
/* Offsets of the elements of a compact JSON array: n + 1 numbers, element i is [o[i], o[i+1] - 1).
 * NULL when the text is no array. mem_free() it. */
uint32_t *array_offsets(struct str text, uint32_t *n);
const struct path *state_field_path(const struct state *s, uint32_t field);

/* Carries out a payload operation: a new reference, or NULL with *err filled. */
struct pay *op_eval(struct exec *x, struct frame *f, const struct op *op, struct scratch *s,
                    struct asl_error *err);
/* Applies one event. ERR_MALFORMED when it does not fit the state. */
enum err exec_fold(struct exec *x, const struct event *e, struct scratch *s,
                   struct err_detail *detail) MUST_CHECK;
/* Rebuilds the ready list from the phases (after a restore). */
void exec_rebuild_ready(struct exec *x);
void frame_set_ready(struct exec *x, struct frame *f);
void exec_drop_frames(struct exec *x);

/* For the fold (fold.c). */
void frame_set_phase(struct exec *x, struct frame *f, enum phase phase);
void frame_free(struct exec *x, struct frame *f); /* with its children; closes what they wait for */
void frame_free_children(struct exec *x, struct frame *f);
void kids_free(struct exec *x, struct frame *f);
bool frame_wait_open(struct exec *x, struct frame *f, enum wait_kind kind, uint32_t idx,
                     struct wall due);
void frame_submit(struct exec *x, struct frame *f);
void frame_wait_close(struct exec *x, struct frame *f);
void exec_deadline_close(struct exec *x);
void pay_drop(struct exec *x, struct pay **p);
void pay_take(struct exec *x, struct pay **slot, struct pay *p); /* takes the reference */
struct pay *op_literal(struct exec *x, struct str text); /* NULL: not valid or not compact */

/* Builds frames for exec_restore. */
struct frame *frame_make(struct exec *x, uint32_t slot);
void exec_open_append(struct exec *x, struct frame *f);
/* After the last of them. False: two wait for the same; then one of them waits no more. */
bool exec_open_sort(struct exec *x);
void exec_open_clear(struct exec *x);
/* Snapshot without side effect (exec_snapshot also restarts exec_delta_size). */
void snapshot_write(struct exec *x, struct buf *out);

/* history.c: tells the sink about event "e" in frame "f" (NULL: the execution itself). */
void history_note(struct exec *x, struct frame *f, const struct event *e, struct scratch *s,
                  uint32_t id, uint32_t previous, struct pay *out, struct pay *assign);
/* "" or "Fan[1]/Each[0]". */
struct str frame_scope(const struct frame *f, struct arena *a);

#endif
