/* msgpack: a bounded cursor reader of our own over untrusted bytes, and a writer.
 *
 * The reader never allocates, never recurses past its depth and never believes a length that
 * exceeds the bytes left (msgpack-c allocates by the declared length; guarantees.md 0.10). Errors are
 * sticky: after the first one every read returns a zero value and pack_reader_done() reports it
 * with the byte offset. msgpack-c (packing) is the test oracle; a differential fuzz target holds
 * the reader to it. Ext types are refused. */
#ifndef CARILLON_BASE_PACK_H
#define CARILLON_BASE_PACK_H

#include "base/err.h"
#include "base/str.h"

enum pack_type {
    PACK_NIL,
    PACK_BOOL,
    PACK_INT,  /* any integer that fits int64 */
    PACK_UINT, /* an integer above INT64_MAX */
    PACK_FLOAT,
    PACK_STR,
    PACK_BIN,
    PACK_ARRAY,
    PACK_MAP,
    PACK_END, /* no more bytes, or an earlier error */
};

enum { PACK_DEPTH_MAX = 32, PACK_ITEMS_MAX = 65536 };

struct pack_reader {
    const uint8_t *p, *end, *start;
    uint32_t items; /* values read so far, bounded by PACK_ITEMS_MAX unless raised */
    uint32_t items_max;
    enum err err;
    size_t err_at; /* offset of the offending byte */
    const char *what;
};

void pack_reader_init(struct pack_reader *r, struct str bytes);
/* Type of the next value; PACK_END, too, for a byte that begins none (reading it says so). */
enum pack_type pack_peek(const struct pack_reader *r);
/* Each consumes one value of the named type; another type is an error ("wanted X"). */
void pack_read_nil(struct pack_reader *r);
bool pack_read_bool(struct pack_reader *r);
int64_t pack_read_i64(struct pack_reader *r);
uint64_t pack_read_u64(struct pack_reader *r);
double pack_read_double(struct pack_reader *r); /* float or integer */
/* Borrowed from the input. str must be UTF-8. "max" bytes; more is ERR_TOO_LARGE. */
struct str pack_read_str(struct pack_reader *r, size_t max);
struct str pack_read_bin(struct pack_reader *r, size_t max); /* bin or str */
/* Element count; the elements follow. More than "max", or than bytes left, is an error. */
uint32_t pack_read_array(struct pack_reader *r, uint32_t max);
uint32_t pack_read_map(struct pack_reader *r, uint32_t max);
void pack_skip(struct pack_reader *r); /* one value with all it holds */
/* The caller found a value unfit; records the first such error. */
void pack_fail(struct pack_reader *r, enum err e, const char *what);
bool pack_ok(const struct pack_reader *r);
/* Closes: ERR_OK only when all bytes were consumed without error. */
enum err pack_reader_done(struct pack_reader *r, struct err_detail *detail) MUST_CHECK;

/* Writer: smallest encodings, as msgpack-c does. Appends to a buf. */
void pack_nil(struct buf *b);
void pack_bool(struct buf *b, bool v);
void pack_i64(struct buf *b, int64_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_double(struct buf *b, double v);
void pack_str(struct buf *b, struct str s);
void pack_bin(struct buf *b, struct str s);
void pack_array(struct buf *b, uint32_t n);
void pack_map(struct buf *b, uint32_t n);

#endif
