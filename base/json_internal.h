/* What the files of JSON share (json.c, json_parse.c, json_write.c, json_num.c) and what yaml.c
 * needs to build the same trees. Nobody else includes it. */
#ifndef CARILLON_BASE_JSON_INTERNAL_H
#define CARILLON_BASE_JSON_INTERNAL_H

#include "base/json.h"

/* jv.flags */
enum {
    JVF_COMPACT = 1, /* raw has no white space outside strings: the writer may copy it */
};

/* Objects with at least this many members carry an index. */
enum { JSON_INDEX_MIN = 16 };

/* Flags eight bytes at once: the high bit of the first byte that is a control character, '"' or
 * '\\' is set, and no bit of a byte before it. Bytes >= 0x80 count too when "high". (A borrow
 * can only leave a byte that was itself a hit, so the lowest hit is exact.) */
static inline uint64_t json_special_mask(uint64_t x, bool high)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t m = (x - ones * 0x20) | ((x ^ (ones * '"')) - ones) | ((x ^ (ones * '\\')) - ones);
    return (high ? (m | x) : (m & ~x)) & (ones * 0x80);
}

/* First byte in [p, end) that cannot be copied as it is between quotes: control character,
 * quote, backslash, and bytes >= 0x80 when "high". Returns end when there is none. */
static inline const char *json_skip_plain(const char *p, const char *end, bool high)
{
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        uint64_t m = json_special_mask(x, high);
        if (m != 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return p + (__builtin_ctzll(m) >> 3);
#else
            break;
#endif
        }
        p += 8;
    }
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == '"' || c == '\\' || (high && c >= 0x80)) {
            break;
        }
        p++;
    }
    return p;
}

/* Bytes of the well-formed UTF-8 sequence that starts at p with a byte >= 0x80 (RFC 3629: no
 * overlong forms, no surrogates, at most U+10FFFF), or 0. */
static inline size_t json_utf8_size(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t left = (size_t)(end - p);
    unsigned char c = s[0];
    if (c < 0xc2 || c > 0xf4) {
        return 0;
    }
    if (c < 0xe0) {
        return left >= 2 && (s[1] & 0xc0) == 0x80 ? 2 : 0;
    }
    if (c < 0xf0) {
        unsigned char lo = c == 0xe0 ? 0xa0 : 0x80;
        unsigned char hi = c == 0xed ? 0x9f : 0xbf;
        return left >= 3 && s[1] >= lo && s[1] <= hi && (s[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    unsigned char lo = c == 0xf0 ? 0x90 : 0x80;
    unsigned char hi = c == 0xf4 ? 0x8f : 0xbf;
    return left >= 4 && s[1] >= lo && s[1] <= hi && (s[2] & 0xc0) == 0x80 && (s[3] & 0xc0) == 0x80
               ? 4
               : 0;
}

/* Names of members are compared all the time and are short: the size settles most. */
static inline bool json_name_eq(struct str a, struct str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.p, b.p, a.size) == 0);
}

/* End of the JSON number at p, or NULL with *bad at the byte that breaks the grammar. */
const char *json_scan_number(const char *p, const char *end, const char **bad);
/* Is the whole of s one JSON number? */
bool json_is_number(struct str s);

/* Sorts the numbers 0..n-1 in "order" by the members' names (bytewise, which in UTF-8 is by code
 * point), equal names by number. Heap sort: no memory, n log n at worst. */
void json_sort_members(const struct jmember *members, uint32_t *order, uint32_t n);

/* Looks for two members of one name: false when all differ, else *again is the later one.
 * With n >= JSON_INDEX_MIN it builds the index, too, into *index (NULL when the arena's cap was
 * hit: *full is set then). Of members of one name the index finds the first. */
bool json_find_duplicate(struct arena *a, const struct jmember *members, uint32_t n,
                         struct jindex **index, uint32_t *again, bool *full);

/* As jv_obj_add, but takes the member as it is, position and all. False when memory is out. */
bool json_list_add_member(struct jv_list *b, const struct jmember *m);

/* Same value? Both are JSON numbers. */
bool json_number_eq(struct str a, struct str b);
/* The one text for all literals of this value. */
void json_number_canonical(struct buf *out, struct str literal);
/* Value as the nearest double; +-infinity when beyond. */
double json_number_double(struct str literal);
bool json_number_i64(struct str literal, int64_t *out);
/* Shortest text that reads back as d (finite); NUL-terminated; returns its size. */
enum { JSON_DOUBLE_SIZE = 40 };
size_t json_format_double(double d, char out[JSON_DOUBLE_SIZE]);
size_t json_format_i64(int64_t n, char out[JSON_DOUBLE_SIZE]);

#endif
