/* The pure parts of the HTTP port: see http.h. */
#include "base/prelude.h"

#include "net/http.h"

#include "base/assert.h"

const struct http_limits http_limits_default = {.line_size = 8 << 10,
                                                .header_size = 16 << 10,
                                                .fields = 64,
                                                .header_us = 5 * US_PER_S,
                                                .idle_us = 30 * US_PER_S,
                                                .rate = 1 << 10,
                                                .connections = 256,
                                                .connections_address = 32,
                                                .bodies_size = 64 << 20};

static const char *const methods[HTTP_METHODS] = {"GET", "HEAD", "POST", "PUT", "DELETE"};

static const char *const fields[HTTP_FIELDS] = {
    [HTTP_HOST] = "Host",
    [HTTP_ORIGIN] = "Origin",
    [HTTP_CONTENT_TYPE] = "Content-Type",
    [HTTP_IF_MATCH] = "If-Match",
    [HTTP_IF_NONE_MATCH] = "If-None-Match",
    [HTTP_IDEMPOTENCY_KEY] = "Idempotency-Key",
};

const char *http_method_name(enum http_method m)
{
    return methods[m];
}

bool http_method_parse(struct str s, enum http_method *out)
{
    for (unsigned i = 0; i < HTTP_METHODS; i++) {
        if (str_eqc(s, methods[i])) {
            *out = (enum http_method)i;
            return true;
        }
    }
    return false;
}

const char *http_field_name(enum http_field f)
{
    return fields[f];
}

void http_answer_add(struct http_answer *a, const char *name, struct str value)
{
    PRE(a->extra_len < HTTP_EXTRA_MAX);
    a->extra[a->extra_len].name = name;
    a->extra[a->extra_len++].value = value;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {200, "OK"},
        {201, "Created"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].status == status) {
            return rows[i].reason;
        }
    }
    return "Unknown";
}

/* ---- paths and queries ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum err http_decode(struct str in, bool form, struct arena *a, struct str *out)
{
    char *p = arena_alloc(a, in.size + 1);
    if (p == NULL) {
        return ERR_LIMIT;
    }
    size_t n = 0;
    for (size_t i = 0; i < in.size; i++) {
        unsigned char c = (unsigned char)in.p[i];
        if (c == '%') {
            int high = i + 2 < in.size ? hex_digit(in.p[i + 1]) : -1;
            int low = i + 2 < in.size ? hex_digit(in.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return ERR_MALFORMED;
            }
            c = (unsigned char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        if (c < ' ' || c == 0x7f) {
            return ERR_MALFORMED;
        }
        p[n++] = (char)c;
    }
    p[n] = '\0';
    struct str s = {p, n};
    if (!str_is_utf8(s)) {
        return ERR_MALFORMED;
    }
    *out = s;
    return ERR_OK;
}

bool http_query_next(struct str *rest, struct str *name, struct str *value)
{
    while (rest->size > 0) {
        const char *and = memchr(rest->p, '&', rest->size);
        size_t size = and != NULL ? (size_t)(and-rest->p) : rest->size;
        struct str pair = {rest->p, size};
        *rest = str_sub(*rest, size + 1, rest->size);
        if (size == 0) {
            continue;
        }
        const char *is = memchr(pair.p, '=', pair.size);
        size_t named = is != NULL ? (size_t)(is - pair.p) : pair.size;
        *name = (struct str){pair.p, named};
        *value = is != NULL ? str_sub(pair, named + 1, pair.size) : STR("");
        return true;
    }
    return false;
}

/* ---- fields ---- */

/* Takes an entity tag, W/"x" or "x", from the front of *s. */
static bool tag_take(struct str *s, struct str *tag, bool *weak)
{
    *weak = str_starts(*s, STR("W/"));
    struct str t = *weak ? str_sub(*s, 2, s->size) : *s;
    if (t.size < 2 || t.p[0] != '"') {
        return false;
    }
    const char *end = memchr(t.p + 1, '"', t.size - 1);
    if (end == NULL) {
        return false;
    }
    size_t size = (size_t)(end - t.p) + 1;
    *tag = (struct str){t.p, size};
    *s = str_trim(str_sub(t, size, t.size));
    return true;
}

enum err http_tag_matches(struct str field, struct str tag, bool *out)
{
    struct str rest = str_trim(field);
    bool found = str_eqc(rest, "*");
    if (found) {
        *out = true;
        return ERR_OK;
    }
    for (;;) {
        struct str one;
        bool weak;
        if (!tag_take(&rest, &one, &weak)) {
            return ERR_MALFORMED;
        }
        found = found || (!weak && str_eq(one, tag));
        if (rest.size == 0) {
            *out = found;
            return ERR_OK;
        }
        if (rest.p[0] != ',') {
            return ERR_MALFORMED;
        }
        rest = str_trim(str_sub(rest, 1, rest.size));
    }
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool http_is_type(struct str content_type, const char *type)
{
    const char *semicolon =
        content_type.size == 0 ? NULL : memchr(content_type.p, ';', content_type.size);
    struct str s = content_type;
    if (semicolon != NULL) {
        s.size = (size_t)(semicolon - s.p);
    }
    s = str_trim(s);
    if (s.size != strlen(type)) {
        return false;
    }
    for (size_t i = 0; i < s.size; i++) {
        if (lower(s.p[i]) != type[i]) {
            return false;
        }
    }
    return true;
}

void http_date(struct wall t, char out[HTTP_DATE_SIZE])
{
    static const char days[][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char text[WALL_TEXT_SIZE]; /* "1994-11-06T08:49:37Z" */
    t.us = MAX(t.us, INT64_C(0));
    wall_format(t, 0, text);
    int month = (text[5] - '0') * 10 + text[6] - '0';
    (void)snprintf(out, HTTP_DATE_SIZE, "%s, %.2s %s %.4s %.8s GMT", days[t.us / US_PER_DAY % 7],
                   text + 8, months[month - 1], text, text + 11);
}
