/* String views, byte views, a growing buffer, safe parsing. */
#ifndef CARILLON_BASE_STR_H
#define CARILLON_BASE_STR_H

#include "base/arena.h"
#include "base/err.h"

/* Borrowed bytes; not NUL-terminated; may hold NULs. "size" is bytes. */
struct str {
    const char *p;
    size_t size;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE     ((struct str){NULL, 0})
#define STR_ARG(s)   (int)(s).size, (s).p /* for "%.*s" */

struct str str_of(const char *cstr); /* NULL gives STR_NONE */
bool str_eq(struct str a, struct str b);
bool str_eqc(struct str a, const char *cstr);
int str_cmp(struct str a, struct str b); /* bytewise */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_sub(struct str s, size_t from, size_t size); /* clamped */
struct str str_trim(struct str s);                          /* ASCII white space */
struct str str_dup(struct arena *a, struct str s);          /* NUL-terminated copy */
bool str_is_utf8(struct str s);
/* Names and ids of users: [A-Za-z0-9._:-]{1,255}. */
bool str_is_name(struct str s);

/* Growing byte buffer on the heap with a cap; owned; buf_fini() frees. After the cap is hit
 * every put is ignored and "failed" stays set: check once at the end. */
struct buf {
    char *p;
    size_t size, room;
    size_t cap; /* 0: none */
    bool failed;
};
void buf_init(struct buf *b, size_t cap);
void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_put(struct buf *b, const void *p, size_t size);
void buf_putc(struct buf *b, char c);
void buf_puts(struct buf *b, const char *cstr);
void buf_put_str(struct buf *b, struct str s);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Room for "size" more bytes, to be filled by the caller and then counted with buf_added(). */
char *buf_reserve(struct buf *b, size_t size);
void buf_added(struct buf *b, size_t size);
struct str buf_str(const struct buf *b);

/* Whole-string parsers: trailing rubbish is an error. */
enum err str_to_u64(struct str s, uint64_t *out) MUST_CHECK;
enum err str_to_i64(struct str s, int64_t *out) MUST_CHECK;
enum err str_to_double(struct str s, double *out) MUST_CHECK;
/* "500ms" "30s" "5m" "1h" "2d", or a plain number of milliseconds → microseconds. */
enum err str_to_duration_us(struct str s, int64_t *out) MUST_CHECK;
/* "64KiB" "1MB" "1024" → bytes. */
enum err str_to_size(struct str s, uint64_t *out) MUST_CHECK;

/* Room that base64_encode needs at most (padded form). */
size_t base64_encode_size(size_t size);
/* Returns the characters written, no NUL. url: "-_" and no padding. */
size_t base64_encode(const void *in, size_t size, char *out, bool url);
/* Strict: alphabet and padding must be those of the form, unused bits zero, no white space.
 * ERR_LIMIT when the arena's cap is hit. */
enum err base64_decode(struct str in, bool url, struct arena *a, struct str *out) MUST_CHECK;
void hex_encode(const void *in, size_t size, char *out); /* 2*size characters, no NUL */
enum err hex_decode(struct str in, void *out, size_t size) MUST_CHECK;

#endif
