/* Wall time as text: RFC 3339. Pure arithmetic; nothing here reads a clock. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/clock.h"

struct civil {
    int64_t year;
    int64_t month, day; /* from 1 */
};

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar and back. Years are counted
 * from March, so that the leap day is the last of its year; an era is 400 years, 146097 days. */
static int64_t days_from_civil(struct civil c)
{
    int64_t y = c.year - (c.month <= 2 ? 1 : 0);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static struct civil civil_from_days(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    struct civil c = {.day = doy - (153 * mp + 2) / 5 + 1, .month = mp < 10 ? mp + 3 : mp - 9};
    c.year = yoe + era * 400 + (c.month <= 2 ? 1 : 0);
    return c;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* First and last microsecond of the years that RFC 3339 can write. */
static const int64_t wall_min = INT64_C(-62135596800) * US_PER_S;
static const int64_t wall_max = INT64_C(253402300800) * US_PER_S - 1;

/* Writes "value" as "width" decimal digits. */
static char *put_digits(char *out, int64_t value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + width;
}

void wall_format(struct wall t, int digits, char *out)
{
    PRE(digits == 0 || digits == 3 || digits == 6);
    int64_t us = MIN(MAX(t.us, wall_min), wall_max);
    int64_t days = us / US_PER_DAY - (us % US_PER_DAY < 0 ? 1 : 0);
    int64_t rest = us - days * US_PER_DAY;
    struct civil c = civil_from_days(days);
    out = put_digits(out, c.year, 4);
    *out++ = '-';
    out = put_digits(out, c.month, 2);
    *out++ = '-';
    out = put_digits(out, c.day, 2);
    *out++ = 'T';
    out = put_digits(out, rest / US_PER_HOUR, 2);
    *out++ = ':';
    out = put_digits(out, rest / (60 * (int64_t)US_PER_S) % 60, 2);
    *out++ = ':';
    out = put_digits(out, rest / US_PER_S % 60, 2);
    if (digits > 0) {
        *out++ = '.';
        out = put_digits(out, rest % US_PER_S / (digits == 3 ? US_PER_MS : 1), digits);
    }
    *out++ = 'Z';
    *out = '\0';
}

/* A reader over the text: what fails stays failed. */
struct reader {
    struct str s;
    size_t at;
    bool bad;
};

static bool read_is(const struct reader *r, char c)
{
    return r->at < r->s.size && r->s.p[r->at] == c;
}

static bool read_digit(struct reader *r, int64_t *digit)
{
    if (r->at >= r->s.size || r->s.p[r->at] < '0' || r->s.p[r->at] > '9') {
        return false;
    }
    *digit = r->s.p[r->at++] - '0';
    return true;
}

static int64_t read_number(struct reader *r, int width, int64_t lo, int64_t hi)
{
    int64_t v = 0, digit = 0;
    for (int i = 0; i < width; i++) {
        if (!read_digit(r, &digit)) {
            r->bad = true;
            return lo;
        }
        v = v * 10 + digit;
    }
    r->bad = r->bad || v < lo || v > hi;
    return MIN(MAX(v, lo), hi); /* in range even when bad: callers index tables with it */
}

/* One of the characters of "any". */
static void read_char(struct reader *r, const char *any)
{
    if (r->at < r->s.size && r->s.p[r->at] != '\0' && strchr(any, r->s.p[r->at]) != NULL) {
        r->at++;
    } else {
        r->bad = true;
    }
}

/* ".123456789" or nothing → microseconds, rounded down. */
static int64_t read_fraction(struct reader *r)
{
    if (!read_is(r, '.')) {
        return 0;
    }
    r->at++;
    int64_t us = 0, digit = 0;
    int n = 0;
    while (read_digit(r, &digit)) {
        if (n < 6) {
            us = us * 10 + digit;
        }
        n++;
    }
    r->bad = r->bad || n < 1 || n > 9;
    for (int i = n; i < 6; i++) {
        us *= 10;
    }
    return us;
}

/* "Z" or "+hh:mm" → minutes east of Greenwich. */
static int64_t read_offset(struct reader *r)
{
    if (read_is(r, 'Z') || read_is(r, 'z')) {
        r->at++;
        return 0;
    }
    bool west = read_is(r, '-');
    read_char(r, "+-");
    int64_t hours = read_number(r, 2, 0, 23);
    read_char(r, ":");
    int64_t minutes = hours * 60 + read_number(r, 2, 0, 59);
    return west ? -minutes : minutes;
}

enum err wall_parse(struct str s, struct wall *out)
{
    struct reader r = {.s = s};
    struct civil c;
    c.year = read_number(&r, 4, 1, 9999);
    read_char(&r, "-");
    c.month = read_number(&r, 2, 1, 12);
    read_char(&r, "-");
    c.day = read_number(&r, 2, 1, days_in_month(c.year, c.month));
    read_char(&r, "Tt");
    int64_t seconds = read_number(&r, 2, 0, 23) * 3600;
    read_char(&r, ":");
    seconds += read_number(&r, 2, 0, 59) * 60;
    read_char(&r, ":");
    seconds += read_number(&r, 2, 0, 59); /* no leap seconds: our time line has none */
    int64_t fraction = read_fraction(&r);
    seconds -= read_offset(&r) * 60;
    if (r.bad || r.at != s.size) {
        return ERR_INVALID;
    }
    int64_t us = (days_from_civil(c) * 86400 + seconds) * US_PER_S + fraction;
    if (us < wall_min || us > wall_max) {
        return ERR_INVALID; /* the offset carried it out of the years 0001 to 9999 */
    }
    out->us = us;
    return ERR_OK;
}
