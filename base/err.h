/* Errors as an enum with classes (err.def is the table; ADR 0003).
 * A function that can fail returns `enum err`; zero is good; outputs are set only on success. */
#ifndef CARILLON_BASE_ERR_H
#define CARILLON_BASE_ERR_H

#include "base/prelude.h"

enum err {
#define ERR(name, number, class, http, text) ERR_##name = number,
#include "base/err.def"
#undef ERR
};

enum err_class {
    ERRC_OK,
    ERRC_INVALID,
    ERRC_NOT_FOUND,
    ERRC_DENIED,
    ERRC_CONFLICT,
    ERRC_FENCED,
    ERRC_RETRY,
    ERRC_UNKNOWN,
    ERRC_LIMIT,
    ERRC_FATAL,
};

enum { ERR_DETAIL_SIZE = 256 };

/* What went wrong, for people: fixed text, no allocation. The first cause wins; callers on
 * the way up add context in front with err_wrap(). */
struct err_detail {
    enum err code;
    char text[ERR_DETAIL_SIZE];
};

/* Stable upper-case name ("NOT_FOUND"), sentence, class and HTTP status of an error. Any
 * number may be given (it may come from the wire); unknown ones read as FATAL. */
const char *err_name(enum err e);
const char *err_text(enum err e);
enum err_class err_class(enum err e);
int err_http(enum err e);
bool err_known(int number);

/* Fills "detail" (may be NULL) unless it already holds a cause; returns "e" for chaining. */
enum err err_set(struct err_detail *detail, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts context in front of the text: "context: text". No effect on NULL or an empty detail. */
void err_wrap(struct err_detail *detail, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
