/* Messages of the client protocol: structs, bounded decoding, encoding, names and log form, all
 * made from the one table msg.def. Pure; docs/protocol.md is the description for implementers.
 *
 * A frame (the body of one nng request or reply) is a msgpack array of messages; a message is
 * the array [type, correlation, field, ...]. A reply names its request's correlation number. The
 * answer to a frame is one frame, sent when all its messages are answered: what may wait (POLL,
 * WATCH) travels alone. Decoded strings are borrowed from the frame; lists live in the arena. */
#ifndef CARILLON_NET_MSG_H
#define CARILLON_NET_MSG_H

#include "base/arena.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/pack.h"

enum {
    MSG_PROTOCOL = 1,                 /* newest version of the protocol */
    MSG_PROTOCOL_MIN = 1,             /* oldest one still spoken */
    MSG_FRAME_MAX = START_BATCH_MAX,  /* messages in one frame */
    MSG_HELD_MAX = 10000,             /* tokens in one HELLO */
    MSG_QUEUES_MAX = POLL_QUEUES_MAX, /* queues of one POLL */
    MSG_ADDRESSES_MAX = 64,           /* addresses of nodes in one answer */
    MSG_ROWS_MAX = 1000,              /* rows of one page */
    MSG_PROBLEMS_MAX = 100,           /* mistakes reported at once */
    MSG_PATH_MAX = 2048,              /* bytes of a state's path or a JSON pointer */
    MSG_CURSOR_MAX = 512,             /* bytes of a cursor */
    MSG_TEXT_MAX = 1024,              /* bytes of a text for people */
};

enum msg_type {
#define RECORD(record, help)
#define RECORD_END(record)
#define FIELD(owner, kind, name, limit, need, help)
#define LIST(owner, kind, name, len_max, limit, help)
#define RECORDS(owner, record, name, len_max, help)
#define MSG(number, NAME, name, since, from, help) MSG_##NAME = (number),
#define MSG_END(NAME, name)
#include "net/msg.def"
#undef FIELD
#undef LIST
#undef RECORDS
#undef RECORD
#undef RECORD_END
#undef MSG
#undef MSG_END
};
enum { MSG_REPLY = 64, MSG_TYPE_MAX = 127 }; /* a reply's number is its request's plus 64 */

enum msg_kind { MSG_U32, MSG_U64, MSG_I64, MSG_BOOL, MSG_STR, MSG_PAYLOAD, MSG_TOKEN, MSG_RECORD };
#define MSG_C_U32     uint32_t
#define MSG_C_U64     uint64_t
#define MSG_C_I64     int64_t
#define MSG_C_BOOL    bool
#define MSG_C_STR     struct str
#define MSG_C_PAYLOAD struct str
#define MSG_C_TOKEN   struct task_token

enum msg_state { MSG_NODE_ACTIVE = 0, MSG_NODE_STANDBY = 1, MSG_NODE_GOING_AWAY = 2 };
enum msg_completion_status { MSG_COMPLETION_SUCCESS = 0, MSG_COMPLETION_FAILURE = 1 };
enum msg_def_format { MSG_DEF_AUTO = 0, MSG_DEF_JSON = 1, MSG_DEF_YAML = 2 };

/* struct msg_<name> of each record and message: a STR or PAYLOAD that was nil or missing is
 * STR_NONE (p == NULL); a list is a pointer and "<name>_len". */
#define RECORD(record, help) struct msg_##record {
#define RECORD_END(record) \
    } \
    ;
#define FIELD(owner, kind, name, limit, need, help) MSG_C_##kind name;
#define LIST(owner, kind, name, len_max, limit, help) \
    const MSG_C_##kind *name; \
    uint32_t name##_len;
#define RECORDS(owner, record, name, len_max, help) \
    const struct msg_##record *name; \
    uint32_t name##_len;
#define MSG(number, NAME, name, since, from, help) \
    struct msg_##name { \
        char unused_; /* C has no empty struct */
#define MSG_END(NAME, name) \
    } \
    ;
#include "net/msg.def"
#undef FIELD
#undef LIST
#undef RECORDS
#undef RECORD
#undef RECORD_END
#undef MSG
#undef MSG_END

struct msg {
    enum msg_type type;
    uint64_t corr; /* chosen by the client, given back in the reply; 0 = none */
    union {
#define RECORD(record, help)
#define RECORD_END(record)
#define FIELD(owner, kind, name, limit, need, help)
#define LIST(owner, kind, name, len_max, limit, help)
#define RECORDS(owner, record, name, len_max, help)
#define MSG(number, NAME, name, since, from, help) struct msg_##name name;
#define MSG_END(NAME, name)
#include "net/msg.def"
#undef FIELD
#undef LIST
#undef RECORDS
#undef RECORD
#undef RECORD_END
#undef MSG
#undef MSG_END
    } u;
};

/* ---- the table at run time (documents, fuzzing, other tools) ---- */

struct msg_shape;
struct msg_field {
    const char *name, *help;
    enum msg_kind kind;
    bool list, needed;
    uint32_t offset, len_offset;    /* in the struct; len_offset: of a list's element count */
    uint32_t len_max;               /* elements of a list */
    uint64_t limit;                 /* bytes or largest value; 0 = any */
    const struct msg_shape *record; /* MSG_RECORD */
};
struct msg_shape {
    const char *name, *help;
    const struct msg_field *fields;
    uint32_t len;  /* fields */
    uint32_t size; /* of the struct */
};
struct msg_info {
    enum msg_type type;
    const char *name; /* "START_OK" */
    uint32_t since;
    bool from_client;
    struct msg_shape shape;
};
const struct msg_info *msg_info(unsigned type); /* NULL: no such message */
const char *msg_name(unsigned type);            /* "?" when unknown */
/* The whole table by number; NULL after the last. */
const struct msg_info *msg_info_at(size_t index);

/* ---- writing ---- */

/* A frame being written behind what the buffer holds already. */
struct msg_writer {
    struct buf *out;
    size_t start;
    uint32_t len; /* messages so far */
};
void msg_writer_begin(struct msg_writer *w, struct buf *out);
/* Appends one message. ERR_TOO_LARGE (a field over its limit; detail names it), ERR_MALFORMED (a
 * text that is not UTF-8), ERR_LIMIT (frame full: MSG_FRAME_MAX messages or MESSAGE_SIZE_MAX bytes):
 * then the buffer is as it was before. */
enum err msg_writer_add(struct msg_writer *w, const struct msg *m, struct err_detail *d) MUST_CHECK;
size_t msg_writer_size(const struct msg_writer *w); /* bytes of the frame so far */
/* Completes the frame. The writer must not be used afterwards. */
void msg_writer_end(struct msg_writer *w);
/* One message without a frame (tests, vectors). ERR_TOO_LARGE, ERR_MALFORMED as above. */
enum err msg_encode(struct buf *out, const struct msg *m, struct err_detail *d) MUST_CHECK;
/* Bytes that a task adds to a POLL_OK at most, beside those of its queue, workflow, name, state and
 * input: for filling an answer up to a size. */
enum { MSG_TASK_OVERHEAD = 96 + 2 + TASK_TOKEN_SIZE + EXEC_ID_TEXT };

/* ---- reading ---- */

struct msg_reader {
    struct pack_reader r;
    struct arena *arena;
    uint32_t left;
    uint32_t index; /* of the message last read, from 0 */
    bool
        requests_only; /* set by the owner: what comes from nodes is UNSUPPORTED, and not decoded */
};
/* ERR_MALFORMED when the bytes do not begin with an array of at most MSG_FRAME_MAX elements.
 * "frame" must outlive what is read from it. */
enum err msg_reader_begin(struct msg_reader *f, struct str frame, struct arena *arena,
                          struct err_detail *d) MUST_CHECK;
/* Reads the next message. False: there is none, or the rest cannot be read; see msg_reader_end.
 * True with *e == ERR_OK: *m is whole. True with *e != ERR_OK: this message alone is bad (unknown
 * type: ERR_UNSUPPORTED, wrong type of a field or missing: ERR_MALFORMED, over a limit:
 * or over PACK_ITEMS_MAX values: ERR_TOO_LARGE, arena full: ERR_LIMIT; "d" names the place); m->type (maybe no known one) and
 * m->corr are set when they could be read, else 0, so that an answer can be given; reading can go
 * on. Pass a fresh "d" (code 0) each time. */
bool msg_reader_next(struct msg_reader *f, struct msg *m, enum err *e, struct err_detail *d);
/* ERR_OK when all bytes were consumed; else ERR_MALFORMED with the byte offset. */
enum err msg_reader_end(struct msg_reader *f, struct err_detail *d) MUST_CHECK;

/* ---- for people ---- */

/* "START corr=7 workflow=orders name=o-1 input=<93 bytes>": payloads by size only (they may hold
 * secrets), strings cut at 64 bytes and escaped, lists as their length. */
void msg_format(struct buf *out, const struct msg *m);
const char *msg_node_state_name(unsigned state); /* "active", "standby", "going-away", "?" */

#endif
