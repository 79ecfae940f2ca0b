/* msgpack: the bounded reader is ours, the writer is msgpack-c's packer over a buf. This file is
 * the one home of msgpack-c; its packer is inline code, so the library is not even linked for it.
 *
 * A head is the first byte of a value with the length or number behind it. Reading a head checks
 * that all its bytes are there; reading a body, that the length fits the bytes left. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/pack.h"

#include <msgpack/pack.h>

/* ---- reader ---- */

/* A decoded head. */
struct head {
    enum pack_type type;
    uint8_t size;   /* bytes of the head itself */
    bool is_float;  /* PACK_FLOAT of four bytes */
    uint64_t value; /* number's bits, true, length or count */
};

static uint64_t big_endian(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

/* Bytes of number or length behind the first byte, for 0xc0..0xdf. */
static const uint8_t HEAD_BYTES[32] = {
    0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4,
};

/* Type by first byte, for 0xc0..0xdf; PACK_END where there is none (never used, ext). */
static const uint8_t HEAD_TYPE[32] = {
    PACK_NIL, PACK_END, PACK_BOOL,  PACK_BOOL,  PACK_BIN,   PACK_BIN,   PACK_BIN, PACK_END,
    PACK_END, PACK_END, PACK_FLOAT, PACK_FLOAT, PACK_INT,   PACK_INT,   PACK_INT, PACK_INT,
    PACK_INT, PACK_INT, PACK_INT,   PACK_INT,   PACK_END,   PACK_END,   PACK_END, PACK_END,
    PACK_END, PACK_STR, PACK_STR,   PACK_STR,   PACK_ARRAY, PACK_ARRAY, PACK_MAP, PACK_MAP,
};

/* The lowest "bytes" (1 to 8) of v as a number with sign. */
static uint64_t sign_extend(uint64_t v, unsigned bytes)
{
    uint64_t sign = UINT64_C(1) << (8 * bytes - 1);
    return (v ^ sign) - sign;
}

/* Decodes the head at r->p. NULL when good, else what is wrong. */
static const char *read_head(const struct pack_reader *r, struct head *h)
{
    *h = (struct head){.type = PACK_END, .size = 1};
    if (r->p == r->end) {
        return "the message ends where a value should be";
    }
    uint8_t c = *r->p;
    if (c < 0x80 || c >= 0xe0) {
        h->type = PACK_INT;
        h->value = c < 0x80 ? c : sign_extend(c, 1);
        return NULL;
    }
    if (c < 0xc0) {
        h->type = c < 0x90 ? PACK_MAP : c < 0xa0 ? PACK_ARRAY : PACK_STR;
        h->value = c < 0xa0 ? c & 0x0f : c & 0x1f;
        return NULL;
    }
    unsigned bytes = HEAD_BYTES[c - 0xc0];
    h->type = (enum pack_type)HEAD_TYPE[c - 0xc0];
    if (h->type == PACK_END) {
        return c == 0xc1 ? "no value begins with byte 0xc1" : "ext types are not accepted";
    }
    if ((size_t)(r->end - r->p) < 1 + bytes) {
        return "the message ends within a value";
    }
    h->size = (uint8_t)(1 + bytes);
    h->value = big_endian(r->p + 1, bytes);
    if (h->type == PACK_BOOL) {
        h->value = c == 0xc3;
    } else if (h->type == PACK_FLOAT) {
        h->is_float = bytes == 4;
    } else if (c >= 0xd0 && c <= 0xd3) {
        h->value = sign_extend(h->value, 1u << (c - 0xd0));
    } else if (c == 0xcf && h->value > INT64_MAX) {
        h->type = PACK_UINT;
    }
    return NULL;
}

void pack_reader_init(struct pack_reader *r, struct str bytes)
{
    static const uint8_t nothing[1];
    const uint8_t *p = bytes.size > 0 ? (const uint8_t *)bytes.p : nothing;
    *r = (struct pack_reader){
        .p = p,
        .end = p + bytes.size,
        .start = p,
        .items_max = PACK_ITEMS_MAX,
    };
}

enum pack_type pack_peek(const struct pack_reader *r)
{
    struct head h;
    if (r->err != ERR_OK) {
        return PACK_END;
    }
    read_head(r, &h);
    return h.type;
}

void pack_fail(struct pack_reader *r, enum err e, const char *what)
{
    PRE(e != ERR_OK);
    if (r->err == ERR_OK) {
        r->err = e;
        r->err_at = (size_t)(r->p - r->start);
        r->what = what;
    }
}

bool pack_ok(const struct pack_reader *r)
{
    return r->err == ERR_OK;
}

/* The head at r->p, not consumed yet; counts it as an item. False after an error. */
static bool begin(struct pack_reader *r, struct head *h)
{
    if (r->err != ERR_OK) {
        return false;
    }
    const char *bad = read_head(r, h);
    if (bad != NULL) {
        pack_fail(r, ERR_MALFORMED, bad);
        return false;
    }
    if (r->items >= r->items_max) {
        pack_fail(r, ERR_TOO_LARGE, "the message holds too many values");
        return false;
    }
    r->items++;
    return true;
}

/* A value of this type and nothing else. */
static bool begin_as(struct pack_reader *r, enum pack_type type, const char *wanted, struct head *h)
{
    if (!begin(r, h)) {
        return false;
    }
    if (h->type != type) {
        pack_fail(r, ERR_MALFORMED, wanted);
        return false;
    }
    return true;
}

void pack_read_nil(struct pack_reader *r)
{
    struct head h;
    if (begin_as(r, PACK_NIL, "wanted nil", &h)) {
        r->p += h.size;
    }
}

bool pack_read_bool(struct pack_reader *r)
{
    struct head h;
    if (!begin_as(r, PACK_BOOL, "wanted a boolean", &h)) {
        return false;
    }
    r->p += h.size;
    return h.value != 0;
}

int64_t pack_read_i64(struct pack_reader *r)
{
    struct head h;
    if (!begin_as(r, PACK_INT, "wanted an integer of 64 bits with sign", &h)) {
        return 0;
    }
    r->p += h.size;
    return (int64_t)h.value;
}

uint64_t pack_read_u64(struct pack_reader *r)
{
    struct head h;
    if (!begin(r, &h)) {
        return 0;
    }
    if (h.type != PACK_UINT && (h.type != PACK_INT || h.value > INT64_MAX)) {
        pack_fail(r, ERR_MALFORMED, "wanted an integer that is not negative");
        return 0;
    }
    r->p += h.size;
    return h.value;
}

static double float_of(const struct head *h)
{
    if (h->is_float) {
        float f;
        uint32_t bits = (uint32_t)h->value;
        memcpy(&f, &bits, sizeof(f));
        return (double)f;
    }
    double d;
    memcpy(&d, &h->value, sizeof(d));
    return d;
}

double pack_read_double(struct pack_reader *r)
{
    struct head h;
    if (!begin(r, &h)) {
        return 0;
    }
    double d;
    if (h.type == PACK_FLOAT) {
        d = float_of(&h);
    } else if (h.type == PACK_INT) {
        d = (double)(int64_t)h.value;
    } else if (h.type == PACK_UINT) {
        d = (double)h.value;
    } else {
        pack_fail(r, ERR_MALFORMED, "wanted a number");
        return 0;
    }
    r->p += h.size;
    return d;
}

static bool has_body(struct pack_reader *r, const struct head *h)
{
    if (h->value > (size_t)(r->end - r->p) - h->size) {
        pack_fail(r, ERR_MALFORMED, "the message ends within a value");
        return false;
    }
    return true;
}

/* The bytes behind the head, when there are that many and not more than "max". */
static struct str read_body(struct pack_reader *r, const struct head *h, size_t max, bool utf8)
{
    if (!has_body(r, h)) {
        return STR_NONE;
    }
    if (h->value > max) {
        pack_fail(r, ERR_TOO_LARGE, "longer than allowed");
        return STR_NONE;
    }
    struct str s = {(const char *)r->p + h->size, (size_t)h->value};
    if (utf8 && !str_is_utf8(s)) {
        pack_fail(r, ERR_MALFORMED, "a string that is not UTF-8");
        return STR_NONE;
    }
    r->p += h->size + s.size;
    return s;
}

struct str pack_read_str(struct pack_reader *r, size_t max)
{
    struct head h;
    return begin_as(r, PACK_STR, "wanted a string", &h) ? read_body(r, &h, max, true) : STR_NONE;
}

struct str pack_read_bin(struct pack_reader *r, size_t max)
{
    struct head h;
    if (!begin(r, &h)) {
        return STR_NONE;
    }
    if (h.type != PACK_BIN && h.type != PACK_STR) {
        pack_fail(r, ERR_MALFORMED, "wanted bytes");
        return STR_NONE;
    }
    return read_body(r, &h, max, false);
}

/* Each element takes at least one byte, so a count above the bytes left is a lie. */
static bool has_elements(struct pack_reader *r, const struct head *h)
{
    uint64_t values = h->type == PACK_MAP ? 2 * h->value : h->value;
    if (values > (size_t)(r->end - r->p) - h->size) {
        pack_fail(r, ERR_MALFORMED, "more elements announced than the message has bytes");
        return false;
    }
    return true;
}

static uint32_t read_count(struct pack_reader *r, const struct head *h, uint32_t max)
{
    if (!has_elements(r, h)) {
        return 0;
    }
    if (h->value > max) {
        pack_fail(r, ERR_TOO_LARGE, "more elements than allowed");
        return 0;
    }
    r->p += h->size;
    return (uint32_t)h->value;
}

uint32_t pack_read_array(struct pack_reader *r, uint32_t max)
{
    struct head h;
    return begin_as(r, PACK_ARRAY, "wanted an array", &h) ? read_count(r, &h, max) : 0;
}

uint32_t pack_read_map(struct pack_reader *r, uint32_t max)
{
    struct head h;
    return begin_as(r, PACK_MAP, "wanted a map", &h) ? read_count(r, &h, max) : 0;
}

void pack_skip(struct pack_reader *r)
{
    uint64_t left[PACK_DEPTH_MAX + 1]; /* values still to skip, per open container */
    uint32_t depth = 0;
    left[0] = 1;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                return;
            }
            depth--;
        }
        left[depth]--;
        struct head h;
        if (!begin(r, &h)) {
            return;
        }
        if (h.type == PACK_ARRAY || h.type == PACK_MAP) {
            if (!has_elements(r, &h)) {
                return;
            }
            if (depth == PACK_DEPTH_MAX) {
                pack_fail(r, ERR_TOO_LARGE, "arrays and maps are nested too deep");
                return;
            }
            r->p += h.size;
            left[++depth] = h.type == PACK_MAP ? 2 * h.value : h.value;
        } else if (h.type == PACK_STR || h.type == PACK_BIN) {
            read_body(r, &h, SIZE_MAX, h.type == PACK_STR);
        } else {
            r->p += h.size;
        }
    }
}

enum err pack_reader_done(struct pack_reader *r, struct err_detail *detail)
{
    if (r->err == ERR_OK && r->p != r->end) {
        pack_fail(r, ERR_MALFORMED, "bytes follow the end of the message");
    }
    if (r->err != ERR_OK) {
        return err_set(detail, r->err, "byte %zu: %s", r->err_at, r->what);
    }
    return ERR_OK;
}

/* ---- writer ---- */

static int put(void *data, const char *bytes, size_t size)
{
    buf_put(data, bytes, size);
    return 0; /* a buf that is full remembers it */
}

static msgpack_packer packer(struct buf *b)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, b, put);
    return pk;
}

void pack_nil(struct buf *b)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_nil(&pk);
}

void pack_bool(struct buf *b, bool v)
{
    msgpack_packer pk = packer(b);
    if (v) {
        msgpack_pack_true(&pk);
    } else {
        msgpack_pack_false(&pk);
    }
}

void pack_i64(struct buf *b, int64_t v)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_int64(&pk, v);
}

void pack_u64(struct buf *b, uint64_t v)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_uint64(&pk, v);
}

void pack_double(struct buf *b, double v)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_double(&pk, v);
}

void pack_str(struct buf *b, struct str s)
{
    PRE(s.size <= UINT32_MAX);
    msgpack_packer pk = packer(b);
    msgpack_pack_str(&pk, s.size);
    buf_put_str(b, s);
}

void pack_bin(struct buf *b, struct str s)
{
    PRE(s.size <= UINT32_MAX);
    msgpack_packer pk = packer(b);
    msgpack_pack_bin(&pk, s.size);
    buf_put_str(b, s);
}

void pack_array(struct buf *b, uint32_t n)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_array(&pk, n);
}

void pack_map(struct buf *b, uint32_t n)
{
    msgpack_packer pk = packer(b);
    msgpack_pack_map(&pk, n);
}
