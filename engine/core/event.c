/* The stored form of events: varints, bounded reader, one table. */
#include "base/prelude.h"

#include "base/assert.h"
#include "engine/core/event.h"

static const struct {
    const char *text;
    unsigned fields;
    bool known;
} table[EV_LAST + 1] = {
#define EVENT(number, name, text, fields) [number] = {text, fields, true},
#include "engine/core/event.def"
#undef EVENT
};

unsigned event_fields(unsigned type, bool *known)
{
    *known = type <= EV_LAST && table[type].known;
    return *known ? table[type].fields : 0;
}

const char *event_name(enum event_type type)
{
    return table[type].text;
}

/* ---- writing ---- */

void put_varint(struct buf *b, uint64_t v)
{
    char t[10];
    size_t n = 0;

    while (v >= 0x80) {
        t[n++] = (char)(v | 0x80);
        v >>= 7;
    }
    t[n++] = (char)v;
    buf_put(b, t, n);
}

void put_zigzag(struct buf *b, int64_t v)
{
    put_varint(b, ((uint64_t)v << 1) ^ (uint64_t)(v < 0 ? -1 : 0));
}

void put_fixed64(struct buf *b, uint64_t v)
{
    char t[8];

    for (int i = 0; i < 8; i++) {
        t[i] = (char)(v >> (8 * i));
    }
    buf_put(b, t, sizeof(t));
}

void put_str(struct buf *b, struct str s)
{
    put_varint(b, s.size);
    if (s.size > 0) {
        buf_put(b, s.p, s.size);
    }
}

void put_opt_str(struct buf *b, struct str s)
{
    if (s.p == NULL) {
        put_varint(b, 0);
        return;
    }
    put_varint(b, (uint64_t)s.size + 1);
    if (s.size > 0) {
        buf_put(b, s.p, s.size);
    }
}

void put_token(struct buf *b, const struct task_token *t)
{
    uint8_t bytes[TASK_TOKEN_SIZE];

    task_token_encode(t, bytes);
    buf_put(b, bytes, sizeof(bytes));
}

static void write_op(struct buf *b, const struct op *op)
{
    if (op == NULL) {
        buf_putc(b, OP_NONE);
        return;
    }
    buf_putc(b, (char)op->kind);
    switch ((enum op_kind)op->kind) {
    case OP_LIT:
        put_str(b, op->text);
        break;
    case OP_PUT:
        put_varint(b, op->field);
        write_op(b, op->base);
        write_op(b, op->value);
        break;
    case OP_GET:
        put_varint(b, op->field);
        write_op(b, op->base);
        break;
    case OP_NONE:
    case OP_IN:
    case OP_EFF:
    case OP_RES:
    case OP_ITEM:
    case OP_ERROR:
        break;
    }
}

void row_begin(struct buf *out, struct wall started, struct wall now)
{
    buf_putc(out, ROW_CODEC);
    put_zigzag(out, now.us - started.us);
}

void event_write(struct buf *out, const struct event *e)
{
    unsigned f = table[e->type].fields;
    const struct {
        unsigned bit;
        uint64_t v;
    } small[] = {
        {F_FRAME, e->frame}, {F_NEXT, e->next}, {F_SLOT, e->slot},       {F_INDEX, e->index},
        {F_LIMIT, e->limit}, {F_IDX, e->idx},   {F_RETRIER, e->retrier},
    };

    buf_putc(out, (char)e->type);
    for (size_t i = 0; i < ARRAY_LEN(small); i++) {
        if ((f & small[i].bit) != 0) {
            put_varint(out, small[i].v);
        }
    }
    if ((f & F_NONCE) != 0) {
        put_fixed64(out, e->nonce);
    }
    if ((f & F_DUE) != 0) {
        put_zigzag(out, e->due_us);
    }
    if ((f & F_TIMEOUT) != 0) {
        put_varint(out, (uint64_t)e->timeout_s);
    }
    if ((f & F_HEARTBEAT) != 0) {
        put_varint(out, (uint64_t)e->heartbeat_s);
    }
    if ((f & F_OUT) != 0) {
        write_op(out, e->out);
    }
    if ((f & F_ASSIGN) != 0) {
        write_op(out, e->assign);
    }
    if ((f & F_ERROR) != 0) {
        put_opt_str(out, e->error);
    }
    if ((f & F_CAUSE) != 0) {
        put_opt_str(out, e->cause);
    }
    if ((f & F_QUEUE) != 0) {
        put_opt_str(out, e->queue);
    }
    if ((f & F_TOKEN) != 0) {
        put_token(out, &e->token);
    }
    if ((f & F_CHILD) != 0) {
        buf_put(out, e->child.b, sizeof(e->child.b));
    }
}

/* ---- reading ---- */

struct cur cur_of(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;

    return (struct cur){p, s.size == 0 ? p : p + s.size, false};
}

uint64_t cur_varint(struct cur *c)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;
        if (c->bad || c->p == c->end) {
            break;
        }
        byte = *c->p++;
        if (shift == 63 && byte > 1) {
            break;
        }
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            return v;
        }
    }
    c->bad = true;
    return 0;
}

uint32_t cur_u32(struct cur *c)
{
    uint64_t v = cur_varint(c);

    if (v > UINT32_MAX) {
        c->bad = true;
        return 0;
    }
    return (uint32_t)v;
}

int64_t cur_zigzag(struct cur *c)
{
    uint64_t v = cur_varint(c);

    return (int64_t)((v >> 1) ^ (0 - (v & 1)));
}

uint64_t cur_fixed64(struct cur *c)
{
    uint64_t v = 0;

    if (c->bad || c->end - c->p < 8) {
        c->bad = true;
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        v |= (uint64_t)c->p[i] << (8 * i);
    }
    c->p += 8;
    return v;
}

static struct str cur_bytes(struct cur *c, uint64_t size)
{
    struct str s;

    if (c->bad || size > (uint64_t)(c->end - c->p)) {
        c->bad = true;
        return STR_NONE;
    }
    s = (struct str){(const char *)c->p, (size_t)size};
    c->p += size;
    return s;
}

struct str cur_str(struct cur *c)
{
    return cur_bytes(c, cur_varint(c));
}

struct task_token cur_token(struct cur *c)
{
    struct task_token t;
    struct str bytes = cur_bytes(c, TASK_TOKEN_SIZE);

    if (c->bad || task_token_decode(bytes, &t) != ERR_OK) {
        c->bad = true;
        memset(&t, 0, sizeof(t));
    }
    return t;
}

struct exec_id cur_exec_id(struct cur *c)
{
    struct exec_id id = {{0}};
    struct str bytes = cur_bytes(c, sizeof(id.b));

    if (!c->bad) {
        memcpy(id.b, bytes.p, sizeof(id.b));
    }
    return id;
}

struct str cur_opt_str(struct cur *c)
{
    uint64_t size = cur_varint(c);

    return size == 0 ? STR_NONE : cur_bytes(c, size - 1);
}

/* NULL for OP_NONE and on a malformed operation (then the cursor is bad). */
static const struct op *read_op(struct cur *c, struct op_pool *ops, int depth)
{
    struct op *op;
    uint64_t kind = cur_varint(c);

    if (c->bad || kind == OP_NONE) {
        return NULL;
    }
    if (kind > OP_ERROR || depth == OP_DEPTH_MAX || ops->len == ARRAY_LEN(ops->v)) {
        c->bad = true;
        return NULL;
    }
    op = &ops->v[ops->len++];
    *op = (struct op){.kind = (uint8_t)kind};
    if (kind == OP_LIT) {
        op->text = cur_str(c);
    } else if (kind == OP_PUT || kind == OP_GET) {
        op->field = cur_u32(c);
        op->base = read_op(c, ops, depth + 1);
        op->value = kind == OP_PUT ? read_op(c, ops, depth + 1) : NULL;
        if (op->base == NULL || (kind == OP_PUT && op->value == NULL)) {
            c->bad = true;
        }
    }
    return c->bad ? NULL : op;
}

enum err row_open(struct cur *c, struct wall started, struct wall *now, struct err_detail *detail)
{
    uint64_t codec = cur_varint(c);
    int64_t delta = cur_zigzag(c);

    if (c->bad || codec != ROW_CODEC) {
        return err_set(detail, ERR_MALFORMED, "history row of an unknown codec (%" PRIu64 ")",
                       codec);
    }
    if (__builtin_add_overflow(started.us, delta, &now->us)) {
        return err_set(detail, ERR_MALFORMED, "history row with an impossible time");
    }
    return ERR_OK;
}

static int64_t seconds(struct cur *c)
{
    uint64_t v = cur_varint(c);

    if (v > INT64_MAX / US_PER_S / 4) {
        c->bad = true;
        return 0;
    }
    return (int64_t)v;
}

enum err event_read(struct cur *c, struct op_pool *ops, struct event *out,
                    struct err_detail *detail)
{
    uint64_t type = cur_varint(c);
    bool known;
    unsigned f = event_fields(type > EV_LAST ? EV_LAST + 1 : (unsigned)type, &known);

    if (c->bad || !known) {
        return err_set(detail, ERR_MALFORMED, "history row with an unknown event (%" PRIu64 ")",
                       type);
    }
    ops->len = 0;
    memset(out, 0, sizeof(*out));
    out->type = (enum event_type)type;
    out->frame = (f & F_FRAME) != 0 ? cur_u32(c) : 0;
    out->next = (f & F_NEXT) != 0 ? cur_u32(c) : 0;
    out->slot = (f & F_SLOT) != 0 ? cur_u32(c) : 0;
    out->index = (f & F_INDEX) != 0 ? cur_u32(c) : 0;
    out->limit = (f & F_LIMIT) != 0 ? cur_u32(c) : 0;
    out->idx = (f & F_IDX) != 0 ? cur_u32(c) : 0;
    out->retrier = (f & F_RETRIER) != 0 ? cur_u32(c) : 0;
    out->nonce = (f & F_NONCE) != 0 ? cur_fixed64(c) : 0;
    out->due_us = (f & F_DUE) != 0 ? cur_zigzag(c) : 0;
    out->timeout_s = (f & F_TIMEOUT) != 0 ? seconds(c) : 0;
    out->heartbeat_s = (f & F_HEARTBEAT) != 0 ? seconds(c) : 0;
    out->out = (f & F_OUT) != 0 ? read_op(c, ops, 0) : NULL;
    out->assign = (f & F_ASSIGN) != 0 ? read_op(c, ops, 0) : NULL;
    out->error = (f & F_ERROR) != 0 ? cur_opt_str(c) : STR_NONE;
    out->cause = (f & F_CAUSE) != 0 ? cur_opt_str(c) : STR_NONE;
    out->queue = (f & F_QUEUE) != 0 ? cur_opt_str(c) : STR_NONE;
    if ((f & F_TOKEN) != 0) {
        out->token = cur_token(c);
    }
    if ((f & F_CHILD) != 0) {
        out->child = cur_exec_id(c);
    }
    if (c->bad) {
        return err_set(detail, ERR_MALFORMED, "history row with a cut or malformed event");
    }
    return ERR_OK;
}
