/* Numbers of JSON: their grammar, their value, their shortest text.
 *
 * A literal is kept as text; this file decides which literals are the same number. A number whose
 * decimal value is whole is compared exactly, however long it is; any other is what the nearest
 * double is. So 1, 1.0 and 10e-1 are one number, 9007199254740993 and ...992 are two, and
 * equality is transitive: two literals are equal exactly when their canonical texts are. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/json_internal.h"
#include "base/mem.h"

#include <float.h>
#include <math.h>

/* A literal's decimal value, normalised: digits without zeros at either end, times 10^exp. */
struct decimal {
    bool neg;
    const char *first, *last; /* first and last digit that is not 0; between may be a '.' */
    size_t len;               /* digits from first to last; 0 = the number zero */
    int64_t exp;              /* power of ten of the last digit */
};

/* Numbers beyond 10^EXP_MAX count as if they were there: their digits are kept, their size is
 * not. Exponents are read far beyond, so that the digits of the longest text (UINT32_MAX) do not
 * matter to which numbers that happens, and far from overflow. */
static const int64_t EXP_MAX = INT64_C(1000000000000000);
static const int64_t EXP_READ_MAX = INT64_C(4000000000000000);

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p)) {
        p++;
    }
    return p;
}

const char *json_scan_number(const char *p, const char *end, const char **bad)
{
    if (p < end && *p == '-') {
        p++;
    }
    if (p == end || !is_digit(*p)) {
        *bad = p;
        return NULL;
    }
    if (*p == '0') {
        p++;
        if (p < end && is_digit(*p)) {
            *bad = p;
            return NULL;
        }
    } else {
        p = skip_digits(p, end);
    }
    if (p < end && *p == '.') {
        const char *digits = p + 1;
        p = skip_digits(digits, end);
        if (p == digits) {
            *bad = p;
            return NULL;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) {
            p++;
        }
        const char *digits = p;
        p = skip_digits(digits, end);
        if (p == digits) {
            *bad = p;
            return NULL;
        }
    }
    return p;
}

bool json_is_number(struct str s)
{
    const char *bad;
    return s.size > 0 && json_scan_number(s.p, s.p + s.size, &bad) == s.p + s.size;
}

static bool is_integer_literal(struct str s)
{
    size_t i = s.size > 0 && s.p[0] == '-' ? 1 : 0;
    while (i < s.size && is_digit(s.p[i])) {
        i++;
    }
    return i == s.size;
}

static int64_t read_exponent(const char *p, const char *end)
{
    bool neg = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) {
        p++;
    }
    int64_t e = 0;
    for (; p < end; p++) {
        e = MIN(e * 10 + (*p - '0'), EXP_READ_MAX);
    }
    return neg ? -e : e;
}

static struct decimal decimal_of(struct str s)
{
    struct decimal d = {0};
    const char *p = s.p, *end = s.p + s.size;
    if (p < end && *p == '-') {
        d.neg = true;
        p++;
    }
    const char *point = NULL; /* where the point is, if any */
    size_t run = 0;           /* digits since the first that is not 0 */
    const char *q = p;
    for (; q < end && *q != 'e' && *q != 'E'; q++) {
        if (*q == '.') {
            point = q;
            continue;
        }
        if (*q != '0') {
            if (d.first == NULL) {
                d.first = q;
            }
            d.last = q;
        }
        if (d.first != NULL) {
            run++;
            if (*q != '0') {
                d.len = run;
            }
        }
    }
    if (d.first == NULL) {
        return (struct decimal){0}; /* zero has no sign: -0 equals 0 */
    }
    const char *units = point != NULL ? point : q; /* the digit before it counts ones */
    d.exp = d.last < units ? (units - d.last) - 1 : -(d.last - units);
    if (q < end) {
        d.exp += read_exponent(q + 1, end);
    }
    d.exp = MIN(d.exp, EXP_MAX - (int64_t)d.len);
    return d;
}

static bool decimal_is_whole(const struct decimal *d)
{
    return d->len == 0 || d->exp >= 0;
}

static bool decimal_eq(const struct decimal *a, const struct decimal *b)
{
    if (a->len != b->len || a->exp != b->exp || a->neg != b->neg) {
        return false;
    }
    const char *p = a->first, *q = b->first;
    for (size_t i = 0; i < a->len; i++, p++, q++) {
        p += *p == '.';
        q += *q == '.';
        if (*p != *q) {
            return false;
        }
    }
    return true;
}

/* ---- text ---- */

/* Writes digits first..last of d, with a point after "point" of them (0: none). */
static char *put_digits(char *out, const struct decimal *d, size_t point)
{
    const char *p = d->first;
    for (size_t i = 0; i < d->len; i++, p++) {
        p += *p == '.';
        if (i == point && i > 0) {
            *out++ = '.';
        }
        *out++ = *p;
    }
    return out;
}

static char *put_zeros(char *out, int64_t n)
{
    memset(out, '0', (size_t)n);
    return out + n;
}

/* Plain notation while it stays short (as ECMAScript prints numbers), else d.ddde+x.
 * "out" has room for d->len + JSON_DOUBLE_SIZE bytes. */
static size_t decimal_text(const struct decimal *d, char *out)
{
    char *o = out;
    if (d->len == 0) {
        *o = '0';
        return 1;
    }
    if (d->neg) {
        *o++ = '-';
    }
    int64_t before = (int64_t)d->len + d->exp; /* digits before the point */
    if (d->exp >= 0 && before <= 21) {
        o = put_zeros(put_digits(o, d, 0), d->exp);
    } else if (d->exp < 0 && before > 0) {
        o = put_digits(o, d, (size_t)before);
    } else if (d->exp < 0 && before > -6) {
        *o++ = '0';
        *o++ = '.';
        o = put_digits(put_zeros(o, -before), d, 0);
    } else {
        o = put_digits(o, d, 1);
        char e[JSON_DOUBLE_SIZE];
        int n = snprintf(e, sizeof(e), "e%+" PRId64, before - 1);
        memcpy(o, e, (size_t)n);
        o += n;
    }
    return (size_t)(o - out);
}

size_t json_format_i64(int64_t n, char out[JSON_DOUBLE_SIZE])
{
    char tmp[24];
    size_t at = sizeof(tmp);
    uint64_t u = n < 0 ? UINT64_C(0) - (uint64_t)n : (uint64_t)n;
    do {
        tmp[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    if (n < 0) {
        tmp[--at] = '-';
    }
    memcpy(out, tmp + at, sizeof(tmp) - at);
    out[sizeof(tmp) - at] = '\0';
    return sizeof(tmp) - at;
}

size_t json_format_double(double d, char out[JSON_DOUBLE_SIZE])
{
    PRE(isfinite(d));
    if (d == 0 && signbit(d)) {
        memcpy(out, "-0", 3);
        return 2;
    }
    if (d > -9007199254740992.0 && d < 9007199254740992.0 && d == (double)(int64_t)d) {
        return json_format_i64((int64_t)d, out);
    }
    char tmp[JSON_DOUBLE_SIZE];
    int size = 0;
    /* Any 15 digits survive in a normal number; the tiny ones have fewer to begin with. */
    for (int digits = fabs(d) < DBL_MIN ? 1 : DBL_DIG; digits <= 17; digits++) {
        size = snprintf(tmp, sizeof(tmp), "%.*g", digits, d);
        if (strtod(tmp, NULL) == d) {
            break;
        }
    }
    struct decimal dec = decimal_of((struct str){tmp, (size_t)size});
    size_t n = decimal_text(&dec, out);
    ASSERT(n < JSON_DOUBLE_SIZE);
    out[n] = '\0';
    return n;
}

/* ---- values ---- */

/* Exact for at most 15 digits and small powers of ten: both are doubles without error, so one
 * rounding gives the nearest double. This is nearly every number there is. */
static bool double_fast(struct str s, double *out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (s.size > 17) {
        return false;
    }
    const char *p = s.p, *end = s.p + s.size;
    bool neg = p < end && *p == '-';
    p += neg;
    uint64_t n = 0;
    int digits = 0, frac = 0;
    bool point = false;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        n = n * 10 + (uint64_t)(*p - '0');
        digits++;
        frac += point;
    }
    int64_t e = (p < end ? read_exponent(p + 1, end) : 0) - frac;
    if (digits > 15 || e < -22 || e > 22) {
        return false;
    }
    double d = (double)n;
    d = e < 0 ? d / powers[-e] : d * powers[e];
    *out = neg ? -d : d;
    return true;
}

double json_number_double(struct str literal)
{
    double d;
    if (double_fast(literal, &d)) {
        return d;
    }
    /* strtod wants a closing NUL. The process never leaves the C locale. */
    char small[512];
    char *text = literal.size < sizeof(small) ? small : mem_alloc(literal.size + 1);
    memcpy(text, literal.p, literal.size);
    text[literal.size] = '\0';
    d = strtod(text, NULL);
    if (text != small) {
        mem_free(text);
    }
    return d;
}

bool json_number_i64(struct str literal, int64_t *out)
{
    struct decimal d = decimal_of(literal);
    if (!decimal_is_whole(&d) || d.exp > 19 || d.len > 19) {
        return false;
    }
    uint64_t n = 0;
    const char *p = d.first;
    for (size_t i = 0; i < d.len; i++, p++) {
        p += *p == '.';
        n = n * 10 + (uint64_t)(*p - '0'); /* 19 digits fit */
    }
    for (int64_t i = 0; i < d.exp; i++) {
        if (n > UINT64_MAX / 10) {
            return false;
        }
        n *= 10;
    }
    uint64_t max = (uint64_t)INT64_MAX + (d.neg ? 1 : 0);
    if (n > max) {
        return false;
    }
    *out = d.neg ? (n == max ? INT64_MIN : -(int64_t)n) : (int64_t)n;
    return true;
}

/* The value that stands for the literal in comparisons; "text" keeps the digits it points to. */
static struct decimal comparable(struct str literal, char text[JSON_DOUBLE_SIZE])
{
    struct decimal d = decimal_of(literal);
    if (decimal_is_whole(&d)) {
        return d;
    }
    if (d.len <= DBL_DIG && d.exp > -300) {
        return d; /* so few digits survive the way through a double unharmed: no need to go it */
    }
    size_t size = json_format_double(json_number_double(literal), text);
    return decimal_of((struct str){text, size});
}

bool json_number_eq(struct str a, struct str b)
{
    if (json_name_eq(a, b)) {
        return true;
    }
    char ta[JSON_DOUBLE_SIZE], tb[JSON_DOUBLE_SIZE];
    struct decimal da = comparable(a, ta), db = comparable(b, tb);
    return decimal_eq(&da, &db);
}

void json_number_canonical(struct buf *out, struct str literal)
{
    if (literal.size <= 21 && is_integer_literal(literal) && literal.p[literal.size - 1] != '0') {
        buf_put_str(out, literal); /* already the shortest, the usual case */
        return;
    }
    char text[JSON_DOUBLE_SIZE];
    struct decimal d = comparable(literal, text);
    char *p = buf_reserve(out, d.len + JSON_DOUBLE_SIZE);
    if (p != NULL) {
        buf_added(out, decimal_text(&d, p));
    }
}
