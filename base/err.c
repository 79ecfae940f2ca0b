/* The table of errors made into names, texts and policy; details for people. */
#include "base/prelude.h"

#include "base/err.h"

struct err_row {
    int number;
    enum err_class class;
    int http;
    const char *name, *text;
};

static const struct err_row err_rows[] = {
#define ERR(name, number, class, http, text) {(number), ERRC_##class, (http), #name, (text)},
#include "base/err.def"
#undef ERR
};

/* NULL for a number that is not in the table. The table is short and errors are rare. */
static const struct err_row *err_find(int number)
{
    for (size_t i = 0; i < ARRAY_LEN(err_rows); i++) {
        if (err_rows[i].number == number) {
            return &err_rows[i];
        }
    }
    return NULL;
}

static const struct err_row *err_row(enum err e)
{
    const struct err_row *row = err_find((int)e);
    return row != NULL ? row : err_find(ERR_FATAL);
}

const char *err_name(enum err e)
{
    return err_row(e)->name;
}

const char *err_text(enum err e)
{
    return err_row(e)->text;
}

enum err_class err_class(enum err e)
{
    return err_row(e)->class;
}

int err_http(enum err e)
{
    return err_row(e)->http;
}

bool err_known(int number)
{
    return err_find(number) != NULL;
}

/* After a cut by vsnprintf: takes back a UTF-8 character that lost its tail, because details
 * travel in messages that must be UTF-8. */
static void err_mend_tail(char *text)
{
    size_t size = strlen(text), i = size;
    while (i > 0 && size - i < 3 && ((unsigned char)text[i - 1] & 0xC0) == 0x80) {
        i--;
    }
    if (i == 0) {
        return;
    }
    unsigned char lead = (unsigned char)text[i - 1];
    size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (size - (i - 1) < want) {
        text[i - 1] = '\0';
    }
}

enum err err_set(struct err_detail *detail, enum err e, const char *fmt, ...)
{
    if (detail == NULL || detail->code != ERR_OK) {
        return e;
    }
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(detail->text, sizeof(detail->text), fmt, ap);
    va_end(ap);
    detail->code = e;
    if (n < 0) {
        detail->text[0] = '\0';
    } else if ((size_t)n >= sizeof(detail->text)) {
        err_mend_tail(detail->text);
    }
    return e;
}

void err_wrap(struct err_detail *detail, const char *fmt, ...)
{
    if (detail == NULL || detail->code == ERR_OK) {
        return;
    }
    char text[ERR_DETAIL_SIZE];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(text)) {
        return; /* the cause is worth more than a context that leaves no room for it */
    }
    int m = snprintf(text + n, sizeof(text) - (size_t)n, ": %s", detail->text);
    if (m >= 0 && (size_t)(n + m) >= sizeof(text)) {
        err_mend_tail(text);
    }
    memcpy(detail->text, text, sizeof(text));
}
