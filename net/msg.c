/* The codec of the client protocol: msg.def becomes descriptions of structs, and one small
 * interpreter each for writing, reading and printing walks them. */
#include "base/prelude.h"
#include "net/msg.h"

#include "base/assert.h"

/* ---- the table ---- */

#define NEED_REQ    true
#define NEED_OPT    false
#define FROM_CLIENT true
#define FROM_NODE   false

/* The structs that own the fields: messages are written in capitals in the table, records are
 * not, so the name of the struct is looked up by a typedef made in a first pass. */
#define RECORD(record, help) typedef struct msg_##record owner_##record;
#define RECORD_END(record)
#define FIELD(owner, kind, name, limit, need, help)
#define LIST(owner, kind, name, len_max, limit, help)
#define RECORDS(owner, record, name, len_max, help)
#define MSG(number, NAME, name, since, from, help) typedef struct msg_##name owner_##NAME;
#define MSG_END(NAME, name)
#include "net/msg.def"
#undef FIELD
#undef LIST
#undef RECORDS
#undef RECORD
#undef RECORD_END
#undef MSG
#undef MSG_END

#define NO_FIELD \
    { \
        NULL, NULL, MSG_BOOL, false, false, 0, 0, 0, 0, NULL \
    }
#define FIELD(owner, kind, name, limit, need, help) \
    {#name, help, MSG_##kind, false, NEED_##need, offsetof(owner_##owner, name), \
     0,     0,    (limit),    NULL},
#define LIST(owner, kind, name, len_max, limit, help) \
    {#name, \
     help, \
     MSG_##kind, \
     true, \
     false, \
     offsetof(owner_##owner, name), \
     offsetof(owner_##owner, name##_len), \
     (len_max), \
     (limit), \
     NULL},
#define RECORDS(owner, record, name, len_max, help) \
    {#name, \
     help, \
     MSG_RECORD, \
     true, \
     false, \
     offsetof(owner_##owner, name), \
     offsetof(owner_##owner, name##_len), \
     (len_max), \
     0, \
     &shape_##record},
#define RECORD(record, help) \
    static const char help_##record[] = help; \
    static const struct msg_field fields_##record[] = {
#define RECORD_END(record) \
    NO_FIELD \
    } \
    ; \
    static const struct msg_shape shape_##record = {#record, help_##record, fields_##record, \
                                                    ARRAY_LEN(fields_##record) - 1, \
                                                    sizeof(struct msg_##record)};
#define MSG(number, NAME, name, since, from, help) static const struct msg_field fields_##name[] = {
#define MSG_END(NAME, name) \
    NO_FIELD \
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

#define RECORD(record, help)
#define RECORD_END(record)
#define FIELD(owner, kind, name, limit, need, help)
#define LIST(owner, kind, name, len_max, limit, help)
#define RECORDS(owner, record, name, len_max, help)
#define MSG(number, NAME, name, since, from, help) \
    {MSG_##NAME, \
     #NAME, \
     (since), \
     FROM_##from, \
     {#name, help, fields_##name, ARRAY_LEN(fields_##name) - 1, sizeof(struct msg_##name)}},
#define MSG_END(NAME, name)
static const struct msg_info infos[] = {
#include "net/msg.def"
};

/* From number to place in "infos" plus one, so that looking up is one load. */
enum {
    PLACE_BEFORE_FIRST = -1,
#undef MSG
#define MSG(number, NAME, name, since, from, help) PLACE_##NAME,
#include "net/msg.def"
};
#undef MSG
#define MSG(number, NAME, name, since, from, help) [number] = PLACE_##NAME + 1,
static const uint8_t places[MSG_TYPE_MAX + 1] = {
#include "net/msg.def"
};
#undef FIELD
#undef LIST
#undef RECORDS
#undef RECORD
#undef RECORD_END
#undef MSG
#undef MSG_END

const struct msg_info *msg_info(unsigned type)
{
    return type <= MSG_TYPE_MAX && places[type] != 0 ? &infos[places[type] - 1] : NULL;
}

const char *msg_name(unsigned type)
{
    const struct msg_info *info = msg_info(type);
    return info != NULL ? info->name : "?";
}

const struct msg_info *msg_info_at(size_t index)
{
    return index < ARRAY_LEN(infos) ? &infos[index] : NULL;
}

static size_t kind_size(const struct msg_field *f)
{
    switch (f->kind) {
    case MSG_U32:
        return sizeof(uint32_t);
    case MSG_U64:
        return sizeof(uint64_t);
    case MSG_I64:
        return sizeof(int64_t);
    case MSG_BOOL:
        return sizeof(bool);
    case MSG_STR:
    case MSG_PAYLOAD:
        return sizeof(struct str);
    case MSG_TOKEN:
        return sizeof(struct task_token);
    case MSG_RECORD:
        return f->record->size;
    }
    ASSERT(false);
    return 0;
}

/* ---- writing ---- */

static enum err write_shape(struct buf *out, const struct msg_shape *s, const char *base,
                            struct err_detail *d);

static enum err write_value(struct buf *out, const struct msg_field *f, const char *at,
                            struct err_detail *d)
{
    switch (f->kind) {
    case MSG_U32: {
        uint32_t v = *(const uint32_t *)(const void *)at;
        if (f->limit != 0 && v > f->limit) {
            return err_set(d, ERR_TOO_LARGE, "%s: %" PRIu32 " is over %" PRIu64, f->name, v,
                           f->limit);
        }
        pack_u64(out, v);
        return ERR_OK;
    }
    case MSG_U64:
        pack_u64(out, *(const uint64_t *)(const void *)at);
        return ERR_OK;
    case MSG_I64:
        pack_i64(out, *(const int64_t *)(const void *)at);
        return ERR_OK;
    case MSG_BOOL:
        pack_bool(out, *(const bool *)(const void *)at);
        return ERR_OK;
    case MSG_STR:
    case MSG_PAYLOAD: {
        const struct str *s = (const void *)at;
        if (s->size > f->limit) {
            return err_set(d, ERR_TOO_LARGE, "%s: %zu bytes are over %" PRIu64, f->name, s->size,
                           f->limit);
        }
        if (!str_is_utf8(*s)) {
            return err_set(d, ERR_MALFORMED, "%s: not UTF-8", f->name); /* no reader takes it */
        }
        if (s->p == NULL && !f->needed && !f->list) {
            pack_nil(out);
        } else {
            pack_str(out, *s);
        }
        return ERR_OK;
    }
    case MSG_TOKEN: {
        uint8_t bytes[TASK_TOKEN_SIZE];
        task_token_encode((const void *)at, bytes);
        pack_bin(out, (struct str){(const char *)bytes, sizeof(bytes)});
        return ERR_OK;
    }
    case MSG_RECORD:
        pack_array(out, f->record->len);
        return write_shape(out, f->record, at, d);
    }
    ASSERT(false);
    return ERR_FATAL;
}

static enum err write_list(struct buf *out, const struct msg_field *f, const char *base,
                           struct err_detail *d)
{
    uint32_t len = *(const uint32_t *)(const void *)(base + f->len_offset);
    const char *items = *(const char *const *)(const void *)(base + f->offset);
    if (len > f->len_max) {
        return err_set(d, ERR_TOO_LARGE, "%s: %" PRIu32 " elements are over %" PRIu32, f->name, len,
                       f->len_max);
    }
    size_t step = kind_size(f);
    pack_array(out, len);
    for (uint32_t i = 0; i < len; i++) {
        enum err e = write_value(out, f, items + step * i, d);
        if (e != ERR_OK) {
            err_wrap(d, "%s[%" PRIu32 "]", f->name, i);
            return e;
        }
    }
    return ERR_OK;
}

/* The fields, without the array's header. */
static enum err write_shape(struct buf *out, const struct msg_shape *s, const char *base,
                            struct err_detail *d)
{
    for (uint32_t i = 0; i < s->len; i++) {
        const struct msg_field *f = &s->fields[i];
        enum err e =
            f->list ? write_list(out, f, base, d) : write_value(out, f, base + f->offset, d);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

enum err msg_encode(struct buf *out, const struct msg *m, struct err_detail *d)
{
    const struct msg_info *info = msg_info(m->type);
    PRE(info != NULL);
    size_t start = out->size;
    bool full = out->failed;
    pack_array(out, info->shape.len + 2);
    pack_u64(out, m->type);
    pack_u64(out, m->corr);
    enum err e = write_shape(out, &info->shape, (const char *)&m->u, d);
    if (e == ERR_OK && out->failed) {
        e = err_set(d, ERR_LIMIT, "no room for the message");
    }
    if (e != ERR_OK) {
        err_wrap(d, "%s", info->name);
        out->size = start;
        out->failed = full; /* there is room for smaller ones, and the frame is still whole */
    }
    return e;
}

/* The count is not known before the end: its header always takes the five-byte form, which is
 * valid msgpack for any count. */
enum { FRAME_HEADER_SIZE = 5 };

void msg_writer_begin(struct msg_writer *w, struct buf *out)
{
    static const char header[FRAME_HEADER_SIZE] = {(char)0xdd};
    *w = (struct msg_writer){.out = out, .start = out->size};
    buf_put(out, header, sizeof(header));
}

size_t msg_writer_size(const struct msg_writer *w)
{
    return w->out->size - w->start;
}

enum err msg_writer_add(struct msg_writer *w, const struct msg *m, struct err_detail *d)
{
    if (w->len == MSG_FRAME_MAX) {
        return err_set(d, ERR_LIMIT, "a frame holds at most %d messages", MSG_FRAME_MAX);
    }
    size_t before = w->out->size;
    enum err e = msg_encode(w->out, m, d);
    if (e == ERR_OK && msg_writer_size(w) > MESSAGE_SIZE_MAX) {
        w->out->size = before;
        return err_set(d, ERR_LIMIT, "a frame holds at most %d bytes", MESSAGE_SIZE_MAX);
    }
    w->len += e == ERR_OK ? 1 : 0;
    return e;
}

void msg_writer_end(struct msg_writer *w)
{
    if (w->out->failed) {
        return;
    }
    uint8_t *p = (uint8_t *)w->out->p + w->start;
    p[1] = (uint8_t)(w->len >> 24);
    p[2] = (uint8_t)(w->len >> 16);
    p[3] = (uint8_t)(w->len >> 8);
    p[4] = (uint8_t)w->len;
    w->out = NULL;
}

/* ---- reading ---- */

/* A value of the right msgpack type but unfit for the field. */
static void unfit(struct pack_reader *r, struct err_detail *d, const struct msg_field *f,
                  enum err e, const char *what)
{
    (void)err_set(d, e, "%s: %s", f->name, what);
    pack_fail(r, e, what);
}

static void read_token(struct pack_reader *r, const struct msg_field *f, char *at,
                       struct err_detail *d)
{
    struct str bytes = pack_read_bin(r, TASK_TOKEN_SIZE);
    if (pack_ok(r) && task_token_decode(bytes, (struct task_token *)(void *)at) != ERR_OK) {
        unfit(r, d, f, ERR_MALFORMED, "not a task token");
    }
}

static void read_record(struct pack_reader *r, const struct msg_shape *s, uint32_t have, char *base,
                        struct arena *a, struct err_detail *d);

static void read_value(struct pack_reader *r, const struct msg_field *f, char *at, struct arena *a,
                       struct err_detail *d)
{
    switch (f->kind) {
    case MSG_U32: {
        uint64_t v = pack_read_u64(r);
        uint64_t most = f->limit != 0 ? f->limit : UINT32_MAX;
        if (pack_ok(r) && v > most) {
            unfit(r, d, f, ERR_TOO_LARGE, "number over its limit");
            return;
        }
        *(uint32_t *)(void *)at = (uint32_t)v;
        return;
    }
    case MSG_U64:
        *(uint64_t *)(void *)at = pack_read_u64(r);
        return;
    case MSG_I64:
        *(int64_t *)(void *)at = pack_read_i64(r);
        return;
    case MSG_BOOL:
        *(bool *)(void *)at = pack_read_bool(r);
        return;
    case MSG_STR:
    case MSG_PAYLOAD:
        *(struct str *)(void *)at = pack_read_str(r, (size_t)f->limit);
        return;
    case MSG_TOKEN:
        read_token(r, f, at, d);
        return;
    case MSG_RECORD:
        read_record(r, f->record, pack_read_array(r, UINT32_MAX), at, a, d);
        return;
    }
    ASSERT(false);
}

static void read_list(struct pack_reader *r, const struct msg_field *f, char *base, struct arena *a,
                      struct err_detail *d)
{
    uint32_t len = pack_read_array(r, f->len_max);
    if (!pack_ok(r) || len == 0) {
        return;
    }
    size_t step = kind_size(f);
    char *items = arena_zalloc(a, step * len);
    if (items == NULL) {
        unfit(r, d, f, ERR_LIMIT, "no room for the list");
        return;
    }
    for (uint32_t i = 0; i < len && pack_ok(r); i++) {
        read_value(r, f, items + step * i, a, d);
        if (!pack_ok(r)) {
            (void)err_set(d, r->err, "%s: %s", f->name, r->what);
            err_wrap(d, "%s[%" PRIu32 "]", f->name, i);
            return;
        }
    }
    memcpy(base + f->offset, &items, sizeof(items));
    *(uint32_t *)(void *)(base + f->len_offset) = len;
}

/* "have" values follow; the shape wants s->len of them. */
static void read_record(struct pack_reader *r, const struct msg_shape *s, uint32_t have, char *base,
                        struct arena *a, struct err_detail *d)
{
    for (uint32_t i = 0; i < s->len && pack_ok(r); i++) {
        const struct msg_field *f = &s->fields[i];
        bool there = i < have;
        if (there && pack_peek(r) == PACK_NIL) {
            pack_read_nil(r);
            there = false;
        }
        if (!there && f->needed) {
            unfit(r, d, f, ERR_MALFORMED, "missing");
        } else if (there && f->list) {
            read_list(r, f, base, a, d);
        } else if (there) {
            read_value(r, f, base + f->offset, a, d);
        }
        if (!pack_ok(r)) {
            (void)err_set(d, r->err, "%s: %s", f->name, r->what);
        }
    }
    for (uint32_t i = s->len; i < have && pack_ok(r); i++) {
        pack_skip(r);
    }
}

enum err msg_reader_begin(struct msg_reader *f, struct str frame, struct arena *arena,
                          struct err_detail *d)
{
    *f = (struct msg_reader){.arena = arena};
    if (frame.size > MESSAGE_SIZE_MAX) {
        return err_set(d, ERR_TOO_LARGE, "a frame holds at most %d bytes", MESSAGE_SIZE_MAX);
    }
    pack_reader_init(&f->r, frame);
    f->left = pack_read_array(&f->r, MSG_FRAME_MAX);
    if (!pack_ok(&f->r)) {
        f->left = 0;
        return err_set(d, f->r.err, "frame: %s", f->r.what);
    }
    return ERR_OK;
}

static void read_message(struct msg_reader *f, struct msg *m, enum err *e, struct err_detail *d)
{
    struct pack_reader *r = &f->r;
    uint32_t have = pack_read_array(r, UINT32_MAX);
    uint64_t type = have >= 1 ? pack_read_u64(r) : 0;
    uint64_t corr = have >= 2 ? pack_read_u64(r) : 0;
    if (!pack_ok(r) || have < 2) {
        *e = err_set(d, ERR_MALFORMED, "message: wanted [type, correlation, ...]");
        return;
    }
    m->type = (enum msg_type)(type <= MSG_TYPE_MAX ? type : 0);
    m->corr = corr;
    const struct msg_info *info = type <= MSG_TYPE_MAX ? msg_info((unsigned)type) : NULL;
    if (info != NULL && f->requests_only && !info->from_client) {
        *e = err_set(d, ERR_UNSUPPORTED, "%s comes from nodes", info->name);
        return;
    }
    if (info == NULL) {
        *e = err_set(d, ERR_UNSUPPORTED, "unknown message %" PRIu64, type);
        return;
    }
    read_record(r, &info->shape, have - 2, (char *)&m->u, f->arena, d);
    if (!pack_ok(r)) {
        *e = r->err;
        (void)err_set(d, *e, "%s", r->what);
        err_wrap(d, "%s", info->name);
    }
}

bool msg_reader_next(struct msg_reader *f, struct msg *m, enum err *e, struct err_detail *d)
{
    *m = (struct msg){.type = (enum msg_type)0};
    *e = ERR_OK;
    if (f->left == 0 || !pack_ok(&f->r)) {
        return false;
    }
    f->index = f->index + 1;
    f->left -= 1;
    f->r.items = 0; /* the bound is a message's: a frame of whole ones is never too much */
    struct pack_reader start = f->r;
    read_message(f, m, e, d);
    if (*e != ERR_OK) {
        /* Whole as msgpack, only unfit as a message? Then the next one can be found. */
        start.items = f->r.items; /* what was read counts twice: bounded work */
        f->r = start;
        pack_skip(&f->r); /* if not, this was the last one, and msg_reader_end says so */
    }
    return true;
}

enum err msg_reader_end(struct msg_reader *f, struct err_detail *d)
{
    if (f->left > 0 && pack_ok(&f->r)) {
        return err_set(d, ERR_MALFORMED, "frame: %" PRIu32 " messages not read", f->left);
    }
    return pack_reader_done(&f->r, d);
}

/* ---- for people ---- */

static void format_str(struct buf *out, struct str s)
{
    enum { SHOWN_MAX = 64 };
    for (size_t i = 0; i < s.size && i < SHOWN_MAX; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == '"' || c == '\\' || c == 0x7f) {
            buf_printf(out, "\\x%02x", c);
        } else {
            buf_putc(out, (char)c);
        }
    }
    if (s.size > SHOWN_MAX) {
        buf_puts(out, "...");
    }
}

static void format_token(struct buf *out, const struct task_token *t)
{
    char id[EXEC_ID_TEXT + 1];
    exec_id_format(&t->ref.exec, id);
    buf_printf(out, "%s/%" PRIu64 ".%" PRIu32 ".%" PRIu32, id, t->ref.seq, t->ref.idx,
               t->ref.attempt);
}

static void format_field(struct buf *out, const struct msg_field *f, const char *base)
{
    const char *at = base + f->offset;
    if (f->list) {
        buf_printf(out, " %s=[%" PRIu32 "]", f->name,
                   *(const uint32_t *)(const void *)(base + f->len_offset));
        return;
    }
    buf_printf(out, " %s=", f->name);
    switch (f->kind) {
    case MSG_U32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)(const void *)at);
        break;
    case MSG_U64:
        buf_printf(out, "%" PRIu64, *(const uint64_t *)(const void *)at);
        break;
    case MSG_I64:
        buf_printf(out, "%" PRId64, *(const int64_t *)(const void *)at);
        break;
    case MSG_BOOL:
        buf_puts(out, *(const bool *)(const void *)at ? "true" : "false");
        break;
    case MSG_STR:
        format_str(out, *(const struct str *)(const void *)at);
        break;
    case MSG_PAYLOAD:
        buf_printf(out, "<%zu bytes>", ((const struct str *)(const void *)at)->size);
        break;
    case MSG_TOKEN:
        format_token(out, (const void *)at);
        break;
    case MSG_RECORD: /* only in lists */
        break;
    }
}

void msg_format(struct buf *out, const struct msg *m)
{
    const struct msg_info *info = msg_info(m->type);
    if (info == NULL) {
        buf_puts(out, "?");
        return;
    }
    buf_printf(out, "%s corr=%" PRIu64, info->name, m->corr);
    for (uint32_t i = 0; i < info->shape.len; i++) {
        format_field(out, &info->shape.fields[i], (const char *)&m->u);
    }
}

const char *msg_node_state_name(unsigned state)
{
    static const char *const names[] = {"active", "standby", "going-away"};
    return state < ARRAY_LEN(names) ? names[state] : "?";
}
