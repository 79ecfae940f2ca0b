/* Tree → text: compact, canonical, pretty. A value that remembers compact text is copied. */
#include "base/prelude.h"

#include "base/json_internal.h"
#include "base/mem.h"

enum { SORT_LEN_ON_STACK = 64 };

static bool has_compact_text(const struct jv *v)
{
    return (v->flags & JVF_COMPACT) != 0 && v->raw.p != NULL;
}

/* Letter of the short escape of a byte, or 0. */
static char short_escape(char c)
{
    switch (c) {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return '\0';
    }
}

void json_write_string(struct buf *out, struct str s)
{
    buf_putc(out, '"');
    const char *p = s.p, *end = s.p + s.size;
    while (p < end) {
        const char *stop = json_skip_plain(p, end, false);
        buf_put(out, p, (size_t)(stop - p));
        if (stop == end) {
            break;
        }
        char c = *stop, letter = short_escape(c);
        if (letter != '\0') {
            buf_put(out, (char[2]){'\\', letter}, 2);
        } else {
            static const char hex[] = "0123456789abcdef";
            buf_put(out, (char[6]){'\\', 'u', '0', '0', hex[(c >> 4) & 1], hex[c & 15]}, 6);
        }
        p = stop + 1;
    }
    buf_putc(out, '"');
}

static size_t string_size(struct str s)
{
    size_t size = s.size + 2;
    const char *p = s.p, *end = s.p + s.size;
    while ((p = json_skip_plain(p, end, false)) < end) {
        size += short_escape(*p) != '\0' ? 1 : 5;
        p++;
    }
    return size;
}

static void write_array(struct buf *out, const struct jv *v)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < v->len; i++) {
        if (i > 0) {
            buf_putc(out, ',');
        }
        json_write(out, v->u.items[i]);
    }
    buf_putc(out, ']');
}

static void write_object(struct buf *out, const struct jv *v)
{
    buf_putc(out, '{');
    for (uint32_t i = 0; i < v->len; i++) {
        if (i > 0) {
            buf_putc(out, ',');
        }
        json_write_string(out, v->u.members[i].name);
        buf_putc(out, ':');
        json_write(out, v->u.members[i].value);
    }
    buf_putc(out, '}');
}

void json_write(struct buf *out, const struct jv *v)
{
    if (has_compact_text(v)) { /* all literals and numbers, too */
        buf_put_str(out, v->raw);
    } else if (v->type == JV_STRING) {
        json_write_string(out, v->u.s);
    } else if (v->type == JV_ARRAY) {
        write_array(out, v);
    } else {
        write_object(out, v);
    }
}

size_t json_text_size(const struct jv *v)
{
    if (has_compact_text(v)) {
        return v->raw.size;
    }
    if (v->type == JV_STRING) {
        return string_size(v->u.s);
    }
    size_t size = v->len > 0 ? 1 + (size_t)v->len : 2; /* brackets and commas */
    for (uint32_t i = 0; i < v->len; i++) {
        if (v->type == JV_ARRAY) {
            size += json_text_size(v->u.items[i]);
        } else {
            size += string_size(v->u.members[i].name) + 1;
            size += json_text_size(v->u.members[i].value);
        }
    }
    return size;
}

/* ---- canonical ---- */

static void canonical_object(struct buf *out, const struct jv *v)
{
    uint32_t small[SORT_LEN_ON_STACK];
    uint32_t *order = v->len <= SORT_LEN_ON_STACK ? small : MEM_ARRAY(uint32_t, v->len);
    json_sort_members(v->u.members, order, v->len);
    buf_putc(out, '{');
    for (uint32_t i = 0; i < v->len; i++) {
        const struct jmember *m = &v->u.members[order[i]];
        if (i > 0) {
            buf_putc(out, ',');
        }
        json_write_string(out, m->name);
        buf_putc(out, ':');
        json_write_canonical(out, m->value);
    }
    buf_putc(out, '}');
    if (order != small) {
        mem_free(order);
    }
}

void json_write_canonical(struct buf *out, const struct jv *v)
{
    switch ((enum jtype)v->type) {
    case JV_NULL:
        buf_puts(out, "null");
        break;
    case JV_FALSE:
        buf_puts(out, "false");
        break;
    case JV_TRUE:
        buf_puts(out, "true");
        break;
    case JV_NUMBER:
        json_number_canonical(out, v->u.s);
        break;
    case JV_STRING:
        json_write_string(out, v->u.s);
        break;
    case JV_ARRAY:
        buf_putc(out, '[');
        for (uint32_t i = 0; i < v->len; i++) {
            if (i > 0) {
                buf_putc(out, ',');
            }
            json_write_canonical(out, v->u.items[i]);
        }
        buf_putc(out, ']');
        break;
    case JV_OBJECT:
        canonical_object(out, v);
        break;
    }
}

/* ---- pretty ---- */

static void new_line(struct buf *out, uint32_t indent)
{
    buf_putc(out, '\n');
    for (uint32_t i = 0; i < indent; i++) {
        buf_put(out, "  ", 2);
    }
}

static void write_pretty(struct buf *out, const struct jv *v, uint32_t indent)
{
    bool array = v->type == JV_ARRAY;
    if (v->len == 0) { /* scalars, too: only containers have a length */
        if (array || v->type == JV_OBJECT) {
            buf_puts(out, array ? "[]" : "{}");
        } else {
            json_write(out, v);
        }
        return;
    }
    buf_putc(out, array ? '[' : '{');
    for (uint32_t i = 0; i < v->len; i++) {
        if (i > 0) {
            buf_putc(out, ',');
        }
        new_line(out, indent + 1);
        if (!array) {
            json_write_string(out, v->u.members[i].name);
            buf_put(out, ": ", 2);
        }
        write_pretty(out, array ? v->u.items[i] : v->u.members[i].value, indent + 1);
    }
    new_line(out, indent);
    buf_putc(out, array ? ']' : '}');
}

void json_write_pretty(struct buf *out, const struct jv *v)
{
    write_pretty(out, v, 0);
}
