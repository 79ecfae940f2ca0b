/* The kinds of values: what text is accepted, what is shown. One row each. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "conf/conf_internal.h"

enum { QUOTED_MAX = 40 }; /* bytes of a wrong value that a message repeats */

struct kind {
    const char *wants; /* in "wanted ..., not ..." */
    size_t size;
    bool (*read)(struct arena *a, const struct conf_row *row, struct str text, void *out);
    void (*write)(struct buf *out, const struct conf_row *row, const void *value);
    enum conf_form form;
};

/* ---- ranges ---- */

static bool range_split(const struct conf_row *row, struct str *from, struct str *to)
{
    const char *dots = strstr(row->range, "..");
    if (dots == NULL) {
        return false;
    }
    *from = (struct str){row->range, (size_t)(dots - row->range)};
    *to = str_of(dots + 2);
    return true;
}

/* The next choice of "a|b|c"; false past the last. */
static bool next_choice(const char **at, struct str *choice)
{
    if (**at == '\0') {
        return false;
    }
    const char *bar = strchr(*at, '|');
    size_t size = bar != NULL ? (size_t)(bar - *at) : strlen(*at);
    *choice = (struct str){*at, size};
    *at += size + (bar != NULL ? 1 : 0);
    return true;
}

/* ---- texts ---- */

static bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.size; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
            return false;
        }
    }
    return str_is_utf8(s);
}

static bool keep(struct arena *a, struct str text, void *out)
{
    *(struct str *)out = str_dup(a, text.size > 0 ? text : STR(""));
    return true;
}

static bool read_text(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    struct str from, to;
    uint64_t least = 0, most = CONF_SECRET_SIZE_MAX;
    if (range_split(row, &from, &to)) {
        enum err e = str_to_u64(from, &least);
        e = e == ERR_OK ? str_to_u64(to, &most) : e;
        ASSERT(e == ERR_OK);
    }
    return text.size >= least && text.size <= most && is_clean(text) && keep(a, text, out);
}

static bool read_name(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    (void)row;
    return str_is_name(text) && keep(a, text, out);
}

static bool is_port(struct str s)
{
    uint64_t port;
    return s.size <= 5 && str_to_u64(s, &port) == ERR_OK && port <= UINT16_MAX;
}

static bool read_address(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    (void)row;
    struct str tcp = STR("tcp://"), ipc = STR("ipc:///");
    if (!is_clean(text) || text.size > 250) { /* what the transport takes */
        return false;
    }
    if (str_starts(text, ipc)) {
        return text.size > ipc.size && keep(a, text, out);
    }
    const char *colon = text.size > 0 ? memrchr(text.p, ':', text.size) : NULL;
    if (!str_starts(text, tcp) || colon == NULL) {
        return false;
    }
    size_t at = (size_t)(colon - text.p);
    return at > tcp.size && is_port(str_sub(text, at + 1, text.size)) && keep(a, text, out);
}

static bool read_database(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    (void)row;
    bool url = str_starts(text, STR("postgresql://")) || str_starts(text, STR("postgres://")) ||
               str_starts(text, STR("jdbc:postgresql://"));
    bool words = text.size > 0 && memchr(text.p, '=', text.size) != NULL &&
                 memmem(text.p, text.size, "://", 3) == NULL;
    return text.size <= CONF_SECRET_SIZE_MAX && (url || words) && is_clean(text) &&
           keep(a, text, out);
}

static bool read_enum(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    struct str choice;
    for (const char *at = row->range; next_choice(&at, &choice);) {
        if (str_eq(choice, text)) {
            return keep(a, choice, out);
        }
    }
    return false;
}

/* Separated by commas; empty ones do not count. */
static bool read_texts(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    struct conf_texts t = {0};
    struct str from, to;
    uint64_t most = CONF_LIST_MAX;
    if (range_split(row, &from, &to) && str_to_u64(to, &most) != ERR_OK) {
        return false;
    }
    t.v = ARENA_ARRAY(a, struct str, most);
    while (text.size > 0) {
        const char *comma = memchr(text.p, ',', text.size);
        size_t size = comma != NULL ? (size_t)(comma - text.p) : text.size;
        struct str one = str_trim(str_sub(text, 0, size));
        text = str_sub(text, size + 1, text.size);
        if (one.size > 0) {
            if (t.len == most || !is_clean(one)) {
                return false;
            }
            t.v[t.len++] = str_dup(a, one);
        }
    }
    *(struct conf_texts *)out = t;
    return true;
}

/* ---- numbers ---- */

static bool read_bool(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    (void)a;
    (void)row;
    *(bool *)out = str_eqc(text, "true");
    return *(bool *)out || str_eqc(text, "false");
}

static bool read_int(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    (void)a;
    (void)row;
    return str_to_i64(text, out) == ERR_OK;
}

static bool read_duration(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    (void)a;
    uint64_t plain;
    if (strcmp(row->unit, "s") == 0 && str_to_u64(text, &plain) == ERR_OK) {
        *(int64_t *)out = (int64_t)(plain * US_PER_S);
        return plain <= INT64_MAX / US_PER_S;
    }
    return str_to_duration_us(text, out) == ERR_OK;
}

static bool read_size(struct arena *a, const struct conf_row *row, struct str text, void *out)
{
    (void)a;
    (void)row;
    uint64_t size;
    if (str_to_size(text, &size) != ERR_OK || size > INT64_MAX) {
        return false;
    }
    *(int64_t *)out = (int64_t)size;
    return true;
}

/* ---- shown ---- */

static void write_text(struct buf *out, const struct conf_row *row, const void *value)
{
    (void)row;
    json_write_string(out, *(const struct str *)value);
}

static void write_database(struct buf *out, const struct conf_row *row, const void *value)
{
    (void)row;
    struct buf masked;
    buf_init(&masked, 0);
    conf_mask(&masked, *(const struct str *)value);
    json_write_string(out, buf_str(&masked));
    buf_fini(&masked);
}

static void write_secret(struct buf *out, const struct conf_row *row, const void *value)
{
    (void)row;
    (void)value;
    buf_puts(out, "\"***\"");
}

static void write_texts(struct buf *out, const struct conf_row *row, const void *value)
{
    (void)row;
    const struct conf_texts *t = value;
    buf_putc(out, '[');
    for (uint32_t i = 0; i < t->len; i++) {
        buf_puts(out, i > 0 ? ", " : "");
        json_write_string(out, t->v[i]);
    }
    buf_putc(out, ']');
}

static void write_bool(struct buf *out, const struct conf_row *row, const void *value)
{
    (void)row;
    buf_puts(out, *(const bool *)value ? "true" : "false");
}

static void write_int(struct buf *out, const struct conf_row *row, const void *value)
{
    (void)row;
    buf_printf(out, "%" PRId64, *(const int64_t *)value);
}

struct unit {
    const char *name;
    int64_t size;
};

/* With the largest unit that leaves no rest; "units" from the largest to 1. */
static void write_units(struct buf *out, const struct unit *u, int64_t value)
{
    while (u->size > 1 && (value == 0 || value % u->size != 0)) {
        u++;
    }
    buf_printf(out, "\"%" PRId64 "%s\"", value / u->size, u->name);
}

static void write_duration(struct buf *out, const struct conf_row *row, const void *value)
{
    (void)row;
    static const struct unit units[] = {{"d", 24 * US_PER_HOUR}, {"h", US_PER_HOUR},
                                        {"m", 60 * US_PER_S},    {"s", US_PER_S},
                                        {"ms", US_PER_MS},       {"us", 1}};
    write_units(out, units, *(const int64_t *)value);
}

static void write_size(struct buf *out, const struct conf_row *row, const void *value)
{
    (void)row;
    static const struct unit units[] = {{"TiB", INT64_C(1) << 40},
                                        {"GiB", INT64_C(1) << 30},
                                        {"MiB", INT64_C(1) << 20},
                                        {"KiB", INT64_C(1) << 10},
                                        {"", 1}};
    write_units(out, units, *(const int64_t *)value);
}

/* ---- the kinds ---- */

#define TEXT_KIND(wants, read, write) \
    { \
        (wants), sizeof(struct str), (read), (write), CONF_FORM_TEXT \
    }
#define NUMBER_KIND(wants, read, write) \
    { \
        (wants), sizeof(int64_t), (read), (write), CONF_FORM_NUMBER \
    }

static const struct kind kinds[] = {
    [CONF_TEXT] = TEXT_KIND("text without control characters", read_text, write_text),
    [CONF_NAME] =
        TEXT_KIND("a name of 1 to 255 letters, digits and . _ : -", read_name, write_text),
    [CONF_ADDRESS] = TEXT_KIND("an address such as tcp://127.0.0.1:7070 or ipc:///path",
                               read_address, write_text),
    [CONF_DATABASE] = TEXT_KIND("a URL such as postgresql://user@host:5432/database", read_database,
                                write_database),
    [CONF_SECRET] = TEXT_KIND("text without control characters", read_text, write_secret),
    [CONF_ENUM] = TEXT_KIND("one of ", read_enum, write_text),
    [CONF_BOOL] = {"true or false", sizeof(bool), read_bool, write_bool, CONF_FORM_OTHER},
    [CONF_INT] = NUMBER_KIND("a whole number", read_int, write_int),
    [CONF_DURATION] = NUMBER_KIND("a duration such as 500ms or 30s", read_duration, write_duration),
    [CONF_SIZE] = NUMBER_KIND("a size such as 64KiB or 16MiB", read_size, write_size),
    [CONF_TEXTS] = {"a list of texts", sizeof(struct conf_texts), read_texts, write_texts,
                    CONF_FORM_OTHER},
    [CONF_LIST] = {"a list of mappings", sizeof(struct conf_list), NULL, NULL, CONF_FORM_OTHER},
    [CONF_DOCUMENT] = {"a mapping", sizeof(bool), NULL, write_bool, CONF_FORM_OTHER},
};

enum conf_form conf_kind_form(enum conf_kind kind)
{
    return kinds[kind].form;
}

bool conf_kind_is_secret(enum conf_kind kind)
{
    return kind == CONF_SECRET || kind == CONF_DATABASE;
}

void conf_row_wants(struct buf *out, const struct conf_row *row)
{
    struct str from, to, choice;
    buf_puts(out, kinds[row->kind].wants);
    if (row->kind == CONF_ENUM) {
        const char *separator = "";
        for (const char *at = row->range; next_choice(&at, &choice); separator = ", ") {
            buf_printf(out, "%s%.*s", separator, STR_ARG(choice));
        }
    } else if (kinds[row->kind].form == CONF_FORM_NUMBER && range_split(row, &from, &to)) {
        buf_printf(out, "%s from %.*s to %.*s", row->kind == CONF_INT ? "" : ",", STR_ARG(from),
                   STR_ARG(to));
    } else if (range_split(row, &from, &to)) {
        buf_printf(out, ", at most %.*s%s", STR_ARG(to), row->kind == CONF_TEXTS ? "" : " bytes");
    }
    if (row->kind == CONF_DURATION) {
        buf_printf(out, " (a plain number is %s)",
                   strcmp(row->unit, "s") == 0 ? "seconds" : "milliseconds");
    }
}

void conf_quote(struct buf *out, struct str text)
{
    size_t size = MIN(text.size, (size_t)QUOTED_MAX);
    while (size > 0 && size < text.size && ((unsigned char)text.p[size] & 0xc0) == 0x80) {
        size--; /* not in the middle of a character */
    }
    bool utf8 = str_is_utf8(str_sub(text, 0, size));
    buf_putc(out, '"');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8)) {
            buf_printf(out, "\\x%02x", c);
        } else {
            buf_putc(out, (char)c);
        }
    }
    buf_puts(out, size < text.size ? "...\"" : "\"");
}

static bool in_range(const struct conf_row *row, int64_t value)
{
    struct str from, to;
    int64_t least, most;
    if (!range_split(row, &from, &to)) {
        return true;
    }
    bool good = kinds[row->kind].read(NULL, row, from, &least) &&
                kinds[row->kind].read(NULL, row, to, &most);
    ASSERT(good);
    return value >= least && value <= most;
}

/* What was wanted and, where it is no secret, what was found. */
static void complain(struct buf *why, const struct conf_row *row, struct str text)
{
    buf_puts(why, "wanted ");
    conf_row_wants(why, row);
    if (conf_kind_is_secret(row->kind)) {
        return;
    }
    buf_puts(why, ", not ");
    conf_quote(why, text);
    if (row->kind == CONF_ENUM) {
        struct conf_near near;
        struct str choice;
        conf_near_init(&near, text);
        for (const char *at = row->range; next_choice(&at, &choice);) {
            conf_near_offer(&near, choice);
        }
        if (near.best.size > 0) {
            buf_printf(why, "; did you mean %.*s?", STR_ARG(near.best));
        }
    }
}

bool conf_parse(struct arena *a, const struct conf_row *row, struct str text, void *out,
                struct buf *why)
{
    const struct kind *k = &kinds[row->kind];
    char value[sizeof(struct conf_texts)] __attribute__((aligned(8)));
    PRE(k->read != NULL && k->size <= sizeof(value));
    int64_t number = 0;
    bool good = k->read(a, row, text, value);
    if (good && k->form == CONF_FORM_NUMBER) {
        memcpy(&number, value, sizeof(number));
        good = in_range(row, number);
    }
    if (good) {
        memcpy(out, value, k->size);
    } else {
        complain(why, row, text);
    }
    return good;
}

static bool texts_equal(const struct conf_texts *a, const struct conf_texts *b)
{
    bool equal = a->len == b->len;
    for (uint32_t i = 0; equal && i < a->len; i++) {
        equal = str_eq(a->v[i], b->v[i]);
    }
    return equal;
}

bool conf_equal(const struct conf_row *row, const void *a, const void *b)
{
    const struct kind *k = &kinds[row->kind];
    if (row->kind == CONF_TEXTS) {
        return texts_equal(a, b);
    }
    return k->form == CONF_FORM_TEXT ? str_eq(*(const struct str *)a, *(const struct str *)b)
                                     : memcmp(a, b, k->size) == 0;
}

void conf_write(struct buf *out, const struct conf_row *row, const void *value)
{
    kinds[row->kind].write(out, row, value);
}
