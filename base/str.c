/* String views, the growing buffer, and the parsers of numbers, durations and sizes. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/str.h"

/* ---- views ---- */

struct str str_of(const char *cstr)
{
    return cstr != NULL ? (struct str){cstr, strlen(cstr)} : STR_NONE;
}

/* memcmp must not see NULL, even for no bytes. */
static int bytes_cmp(const char *a, const char *b, size_t size)
{
    if (size == 0) {
        return 0;
    }
    ASSERT(a != NULL && b != NULL);
    return memcmp(a, b, size);
}

bool str_eq(struct str a, struct str b)
{
    return a.size == b.size && bytes_cmp(a.p, b.p, a.size) == 0;
}

bool str_eqc(struct str a, const char *cstr)
{
    return str_eq(a, str_of(cstr));
}

int str_cmp(struct str a, struct str b)
{
    int c = bytes_cmp(a.p, b.p, MIN(a.size, b.size));
    if (c != 0) {
        return c < 0 ? -1 : 1;
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.size >= prefix.size && bytes_cmp(s.p, prefix.p, prefix.size) == 0;
}

bool str_ends(struct str s, struct str suffix)
{
    return s.size >= suffix.size && str_eq(str_sub(s, s.size - suffix.size, suffix.size), suffix);
}

struct str str_sub(struct str s, size_t from, size_t size)
{
    from = MIN(from, s.size);
    return (struct str){s.p == NULL ? NULL : s.p + from, MIN(size, s.size - from)};
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

struct str str_trim(struct str s)
{
    while (s.size > 0 && is_space(s.p[0])) {
        s.p++;
        s.size--;
    }
    while (s.size > 0 && is_space(s.p[s.size - 1])) {
        s.size--;
    }
    return s;
}

struct str str_dup(struct arena *a, struct str s)
{
    char *p = arena_strndup(a, s.p, s.size);
    return p != NULL ? (struct str){p, s.size} : STR_NONE;
}

/* Size of the well-formed UTF-8 character at "p" (of "left" bytes; not ASCII), 0 when there is none
 * (Unicode 15, table 3-7: no surrogates, no overlong forms, nothing above U+10FFFF). */
static size_t utf8_char(const unsigned char *p, size_t left)
{
    unsigned char c = p[0];
    size_t size = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c < 0xC2 || c > 0xF4 || left < size) {
        return 0;
    }
    unsigned char lo = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    unsigned char hi = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < lo || p[1] > hi) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return size;
}

/* How many bytes from "p" on are ASCII, a multiple of eight: payloads mostly are, and each is looked
 * at wherever it crosses a border. */
static size_t ascii_run(const unsigned char *p, size_t left)
{
    static const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t w[8];
    size_t i = 0;
    for (; left - i >= sizeof(w); i += sizeof(w)) {
        memcpy(w, p + i, sizeof(w));
        if (((w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]) & high) != 0) {
            break;
        }
    }
    for (; left - i >= sizeof(w[0]); i += sizeof(w[0])) {
        memcpy(w, p + i, sizeof(w[0]));
        if ((w[0] & high) != 0) {
            break;
        }
    }
    return i;
}

bool str_is_utf8(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while (i < s.size) {
        size_t left = s.size - i;
        size_t size = p[i] < 0x80 ? MAX(ascii_run(p + i, left), (size_t)1) : utf8_char(p + i, left);
        if (size == 0) {
            return false;
        }
        i += size;
    }
    return true;
}

bool str_is_name(struct str s)
{
    if (s.size < 1 || s.size > 255) {
        return false;
    }
    for (size_t i = 0; i < s.size; i++) {
        char c = s.p[i];
        bool ok = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
                  c == '_' || c == ':' || c == '-';
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* ---- growing buffer ---- */

void buf_init(struct buf *b, size_t cap)
{
    *b = (struct buf){.cap = cap};
}

void buf_fini(struct buf *b)
{
    mem_free(b->p);
    buf_init(b, b->cap);
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->failed = false;
}

char *buf_reserve(struct buf *b, size_t size)
{
    size_t max = b->cap != 0 ? b->cap : SIZE_MAX / 2;
    if (b->failed || b->size > max || size > max - b->size) {
        b->failed = true;
        return NULL;
    }
    if (b->room - b->size < size || b->p == NULL) {
        size_t room = MIN(MAX(MAX(b->room * 2, b->size + size), (size_t)64), max);
        room = MAX(room, b->size + size);
        char *p = b->cap != 0 ? mem_try_realloc(b->p, room, SIZE_MAX) : mem_realloc(b->p, room);
        if (p == NULL) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->room = room;
    }
    return b->p + b->size;
}

void buf_added(struct buf *b, size_t size)
{
    PRE(size <= b->room - b->size);
    b->size += size;
}

void buf_put(struct buf *b, const void *p, size_t size)
{
    char *at = buf_reserve(b, size);
    if (at != NULL && size > 0) {
        memcpy(at, p, size);
        b->size += size;
    }
}

void buf_putc(struct buf *b, char c)
{
    if (b->size < b->room && !b->failed) { /* the common case of encoders */
        b->p[b->size++] = c;
    } else {
        buf_put(b, &c, 1);
    }
}

void buf_puts(struct buf *b, const char *cstr)
{
    buf_put(b, cstr, strlen(cstr));
}

void buf_put_str(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.size);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char text[256]; /* most formatted pieces fit: one pass and no NUL in the buffer's room */
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    size_t size = (size_t)n;
    if (size < sizeof(text)) {
        buf_put(b, text, size);
        return;
    }
    char *all = mem_realloc(NULL, size + 1);
    va_start(ap, fmt);
    vsnprintf(all, size + 1, fmt, ap);
    va_end(ap);
    buf_put(b, all, size);
    mem_free(all);
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->size};
}

/* ---- numbers ---- */

enum err str_to_u64(struct str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.size == 0) {
        return ERR_INVALID;
    }
    ASSERT(s.p != NULL);
    for (size_t i = 0; i < s.size; i++) {
        if (!is_digit(s.p[i]) || __builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) {
            return ERR_INVALID;
        }
    }
    *out = v;
    return ERR_OK;
}

enum err str_to_i64(struct str s, int64_t *out)
{
    bool negative = s.size > 0 && s.p[0] == '-';
    uint64_t v;
    if (str_to_u64(negative ? str_sub(s, 1, s.size) : s, &v) != ERR_OK) {
        return ERR_INVALID;
    }
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return ERR_INVALID;
    }
    *out = negative ? (int64_t)(UINT64_C(0) - v) : (int64_t)v;
    return ERR_OK;
}

static size_t skip_digits(struct str s, size_t i)
{
    while (i < s.size && is_digit(s.p[i])) {
        i++;
    }
    return i;
}

/* [-] digits [. digits] [e [+-] digits]: what strtod takes besides (hex, "inf", "nan", leading
 * space) has no place in our texts. */
static bool is_decimal(struct str s)
{
    size_t i = s.size > 0 && s.p[0] == '-' ? 1 : 0;
    size_t from = i;
    i = skip_digits(s, i);
    if (i == from) {
        return false;
    }
    if (i < s.size && s.p[i] == '.') {
        from = ++i;
        i = skip_digits(s, i);
        if (i == from) {
            return false;
        }
    }
    if (i < s.size && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.size && (s.p[i] == '+' || s.p[i] == '-')) {
            i++;
        }
        from = i;
        i = skip_digits(s, i);
        if (i == from) {
            return false;
        }
    }
    return i == s.size;
}

enum err str_to_double(struct str s, double *out)
{
    char text[128];
    char *p = text;
    if (!is_decimal(s)) {
        return ERR_INVALID;
    }
    if (s.size >= sizeof(text)) {
        p = mem_try_raw(s.size + 1, SIZE_MAX);
        if (p == NULL) {
            return ERR_LIMIT;
        }
    }
    memcpy(p, s.p, s.size);
    p[s.size] = '\0';
    double v = strtod(p, NULL); /* the process never leaves the C locale */
    if (p != text) {
        mem_free(p);
    }
    if (v > 1.7976931348623157e308 || v < -1.7976931348623157e308) {
        return ERR_INVALID;
    }
    *out = v;
    return ERR_OK;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* digits followed by one of the units; the product within "max". */
static enum err number_with_unit(struct str s, const struct unit *units, size_t units_len,
                                 uint64_t max, uint64_t *out)
{
    size_t digits = skip_digits(s, 0);
    uint64_t v;
    if (str_to_u64(str_sub(s, 0, digits), &v) != ERR_OK) {
        return ERR_INVALID;
    }
    struct str name = str_sub(s, digits, s.size);
    for (size_t i = 0; i < units_len; i++) {
        if (str_eqc(name, units[i].name)) {
            if (__builtin_mul_overflow(v, units[i].factor, &v) || v > max) {
                return ERR_INVALID;
            }
            *out = v;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

enum err str_to_duration_us(struct str s, int64_t *out)
{
    static const struct unit units[] = {
        {"", UINT64_C(1000)},         {"us", 1},
        {"ms", UINT64_C(1000)},       {"s", UINT64_C(1000000)},
        {"m", UINT64_C(60000000)},    {"h", UINT64_C(3600000000)},
        {"d", UINT64_C(86400000000)},
    };
    uint64_t us;
    if (number_with_unit(s, units, ARRAY_LEN(units), INT64_MAX, &us) != ERR_OK) {
        return ERR_INVALID;
    }
    *out = (int64_t)us;
    return ERR_OK;
}

enum err str_to_size(struct str s, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"KB", UINT64_C(1000)},
        {"MB", UINT64_C(1000000)},
        {"GB", UINT64_C(1000000000)},
        {"TB", UINT64_C(1000000000000)},
        {"KiB", UINT64_C(1) << 10},
        {"MiB", UINT64_C(1) << 20},
        {"GiB", UINT64_C(1) << 30},
        {"TiB", UINT64_C(1) << 40},
    };
    return number_with_unit(s, units, ARRAY_LEN(units), UINT64_MAX, out);
}

/* ---- base64 and hex ---- */

static const char base64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64_encode_size(size_t size)
{
    return size / 3 * 4 + (size % 3 != 0 ? 4 : 0);
}

size_t base64_encode(const void *in, size_t size, char *out, bool url)
{
    const char *alphabet = url ? base64_url : base64_std;
    const uint8_t *p = in;
    char *o = out;
    for (; size >= 3; p += 3, size -= 3) {
        *o++ = alphabet[p[0] >> 2];
        *o++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
        *o++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
        *o++ = alphabet[p[2] & 63];
    }
    if (size > 0) {
        uint8_t second = size == 2 ? p[1] : 0;
        *o++ = alphabet[p[0] >> 2];
        *o++ = alphabet[(p[0] & 3) << 4 | second >> 4];
        if (size == 2) {
            *o++ = alphabet[(second & 15) << 2];
        }
        for (size_t pad = url ? 0 : 3 - size; pad > 0; pad--) {
            *o++ = '=';
        }
    }
    return (size_t)(o - out);
}

/* The six bits of a character; 64 when it is none of the alphabet. */
static uint32_t base64_value(char c, bool url)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a') + 26;
    }
    if (is_digit(c)) {
        return (uint32_t)(c - '0') + 52;
    }
    return c == (url ? '-' : '+') ? 62 : c == (url ? '_' : '/') ? 63 : 64;
}

enum err base64_decode(struct str in, bool url, struct arena *a, struct str *out)
{
    if (!url) {
        if (in.size % 4 != 0) {
            return ERR_INVALID;
        }
        for (int pad = 0; pad < 2 && in.size > 0 && in.p[in.size - 1] == '='; pad++) {
            in.size--;
        }
    }
    if (in.size % 4 == 1) {
        return ERR_INVALID;
    }
    uint8_t *bytes = arena_alloc(a, in.size / 4 * 3 + 3);
    if (bytes == NULL) {
        return ERR_LIMIT;
    }
    uint32_t acc = 0;
    unsigned bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < in.size; i++) {
        uint32_t v = base64_value(in.p[i], url);
        if (v > 63) {
            return ERR_INVALID;
        }
        acc = acc << 6 | v;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[n++] = (uint8_t)(acc >> bits);
            acc &= (UINT32_C(1) << bits) - 1;
        }
    }
    if (acc != 0) {
        return ERR_INVALID;
    }
    *out = (struct str){(const char *)bytes, n};
    return ERR_OK;
}

void hex_encode(const void *in, size_t size, char *out)
{
    const uint8_t *p = in;
    for (size_t i = 0; i < size; i++) {
        *out++ = "0123456789abcdef"[p[i] >> 4];
        *out++ = "0123456789abcdef"[p[i] & 15];
    }
}

static int hex_value(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

enum err hex_decode(struct str in, void *out, size_t size)
{
    uint8_t *o = out;
    if (in.size % 2 != 0 || in.size / 2 != size) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < in.size; i++) { /* all checked first: no output on failure */
        if (hex_value(in.p[i]) < 0) {
            return ERR_INVALID;
        }
    }
    for (size_t i = 0; i < size; i++) {
        o[i] = (uint8_t)(hex_value(in.p[2 * i]) * 16 + hex_value(in.p[2 * i + 1]));
    }
    return ERR_OK;
}
