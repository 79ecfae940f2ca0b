/* Events of the core and their stored form (event.def is the table).
 *
 * A row is: codec version (1 byte), the turn's time relative to the start (zigzag varint), then events: number,
 * fields in the order of the bits below. Integers are varints. A payload is an operation: literal text,
 * or a reference to what the frame already holds, so that nothing is stored twice. */
#ifndef CARILLON_ENGINE_CORE_EVENT_H
#define CARILLON_ENGINE_CORE_EVENT_H

#include "base/id.h"

enum { ROW_CODEC = 1 };

enum event_type {
#define EVENT(number, name, text, fields) EV_##name = number,
#include "engine/core/event.def"
#undef EVENT
    EV_LAST = EV_CHILD_STARTED,
};

enum event_fields {
    F_FRAME = 1 << 0, /* slot of the frame it happens in */
    F_NEXT = 1 << 1,  /* index of the next state + 1; 0 = end of the machine */
    F_SLOT = 1 << 2,  /* slot of the new child frame */
    F_INDEX = 1 << 3, /* branch or iteration */
    F_LIMIT = 1 << 4, /* iterations at a time; 0 = no bound */
    F_IDX = 1 << 5,   /* index of the new task or timer within the turn */
    F_RETRIER = 1 << 6,
    F_NONCE = 1 << 7,   /* 8 bytes */
    F_DUE = 1 << 8,     /* zigzag, microseconds after the turn's time */
    F_TIMEOUT = 1 << 9, /* seconds, 0 = none */
    F_HEARTBEAT = 1 << 10,
    F_OUT = 1 << 11,    /* payload operation */
    F_ASSIGN = 1 << 12, /* payload operation */
    F_ERROR = 1 << 13,  /* size + 1 and bytes; 0 = absent */
    F_CAUSE = 1 << 14,
    F_QUEUE = 1 << 15,
    F_TOKEN = 1 << 16, /* 40 bytes */
    F_CHILD = 1 << 17, /* 16 bytes */
};

/* How a payload is made from what the frame holds. Numbers are stored. */
enum op_kind {
    OP_NONE = 0,
    OP_LIT = 1,   /* the text itself */
    OP_IN = 2,    /* the state's raw input */
    OP_EFF = 3,   /* its effective input (after InputPath and Parameters) */
    OP_RES = 4,   /* its result */
    OP_ITEM = 5,  /* item number "index" of the parent's items */
    OP_PUT = 6,   /* value put into base at a reference path of the state */
    OP_GET = 7,   /* what a reference path of the state finds in base */
    OP_ERROR = 8, /* the error output {"Error", "Cause"} */
};
/* Which path of the state PUT and GET mean. Numbers are stored. */
enum op_field {
    FIELD_INPUT_PATH = 1,
    FIELD_RESULT_PATH = 2,
    FIELD_OUTPUT_PATH = 3,
    FIELD_ITEMS_PATH = 4,
    FIELD_CATCH = 16, /* + number of the catcher: its ResultPath */
};
enum { OP_DEPTH_MAX = 4 };

struct pay;
struct op {
    uint8_t kind; /* enum op_kind */
    uint32_t field;
    struct str text;
    const struct op *base, *value;
    struct pay *ready; /* borrowed: the result, where the interpreter has it already */
};

struct event {
    enum event_type type;
    uint32_t frame, next, slot, index, limit, idx, retrier;
    uint64_t nonce;
    int64_t due_us;
    int64_t timeout_s, heartbeat_s;
    const struct op *out, *assign;
    struct str error, cause, queue;
    struct task_token token;
    struct exec_id child;
};

/* Fields of a type; 0 and *known false for a number that is none. */
unsigned event_fields(unsigned type, bool *known);
const char *event_name(enum event_type type); /* what people see; NULL: bookkeeping */

void event_write(struct buf *out, const struct event *e);
void row_begin(struct buf *out, struct wall started, struct wall now);

/* Bounded reader; once "bad" everything reads as zero. */
struct cur {
    const uint8_t *p, *end;
    bool bad;
};
struct cur cur_of(struct str s);
uint64_t cur_varint(struct cur *c);
uint32_t cur_u32(struct cur *c); /* a varint that must fit */
int64_t cur_zigzag(struct cur *c);
uint64_t cur_fixed64(struct cur *c);
struct task_token cur_token(struct cur *c);
struct exec_id cur_exec_id(struct cur *c);
struct str cur_str(struct cur *c);     /* size and bytes; borrowed */
struct str cur_opt_str(struct cur *c); /* size + 1 and bytes; p == NULL: absent */
void put_varint(struct buf *b, uint64_t v);
void put_zigzag(struct buf *b, int64_t v);
void put_fixed64(struct buf *b, uint64_t v);
void put_token(struct buf *b, const struct task_token *t);
void put_str(struct buf *b, struct str s);
void put_opt_str(struct buf *b, struct str s);

enum err row_open(struct cur *c, struct wall started, struct wall *now,
                  struct err_detail *detail) MUST_CHECK;
/* Reads one event; texts are borrowed from the row, operations live in "ops" (reset per event). */
struct op_pool {
    struct op v[2 * (2 * OP_DEPTH_MAX + 1) * OP_DEPTH_MAX];
    uint32_t len;
};
enum err event_read(struct cur *c, struct op_pool *ops, struct event *out,
                    struct err_detail *detail) MUST_CHECK;

#endif
