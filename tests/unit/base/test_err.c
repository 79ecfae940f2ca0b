#include "base/prelude.h"

#include "base/err.h"
#include "base/str.h"
#include "tests/unit/base/suite.h"

START_TEST(rows)
{
    static const struct {
        enum err e;
        const char *name;
        enum err_class class;
        int http;
    } cases[] = {
        {ERR_OK, "OK", ERRC_OK, 200},
        {ERR_TOO_LARGE, "TOO_LARGE", ERRC_INVALID, 413},
        {ERR_NO_EXECUTION, "NO_EXECUTION", ERRC_NOT_FOUND, 404},
        {ERR_UNAUTHENTICATED, "UNAUTHENTICATED", ERRC_DENIED, 401},
        {ERR_STALE, "STALE", ERRC_CONFLICT, 409},
        {ERR_FENCED, "FENCED", ERRC_FENCED, 409},
        {ERR_STANDBY, "STANDBY", ERRC_RETRY, 503},
        {ERR_TIMEOUT, "TIMEOUT", ERRC_UNKNOWN, 504},
        {ERR_LIMIT, "LIMIT", ERRC_LIMIT, 503},
        {ERR_SCHEMA, "SCHEMA", ERRC_FATAL, 500},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_str_eq(err_name(cases[i].e), cases[i].name);
        ck_assert_int_eq(err_class(cases[i].e), cases[i].class);
        ck_assert_int_eq(err_http(cases[i].e), cases[i].http);
        ck_assert(err_known((int)cases[i].e));
    }
}
END_TEST

START_TEST(foreign_numbers_are_fatal)
{
    static const int numbers[] = {-1, 7, 19, 99, INT_MAX, INT_MIN};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        ck_assert(!err_known(numbers[i]));
        ck_assert_int_eq(err_class((enum err)numbers[i]), ERRC_FATAL);
        ck_assert_str_eq(err_name((enum err)numbers[i]), "FATAL");
        ck_assert_int_eq(err_http((enum err)numbers[i]), 500);
    }
}
END_TEST

START_TEST(numbers_are_unique)
{
    static const int numbers[] = {
#define ERR(name, number, class, http, text) number,
#include "base/err.def"
#undef ERR
    };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        ck_assert(err_text((enum err)numbers[i])[0] != '\0');
        for (size_t j = 0; j < i; j++) {
            ck_assert_int_ne(numbers[i], numbers[j]);
        }
    }
}
END_TEST

START_TEST(first_cause_wins_and_context_goes_in_front)
{
    struct err_detail d = {0};
    err_wrap(&d, "nothing to wrap");
    ck_assert_str_eq(d.text, "");
    ck_assert_int_eq(err_set(&d, ERR_IO, "disk %d", 7), ERR_IO);
    ck_assert_int_eq(err_set(&d, ERR_RETRY, "later"), ERR_RETRY);
    ck_assert_int_eq(d.code, ERR_IO);
    err_wrap(&d, "reading %s", "a.yaml");
    err_wrap(&d, "start");
    ck_assert_str_eq(d.text, "start: reading a.yaml: disk 7");
    ck_assert_int_eq(err_set(NULL, ERR_IO, "x"), ERR_IO);
    err_wrap(NULL, "x");
}
END_TEST

/* Whatever the length, the text stays closed and valid UTF-8. */
START_TEST(cuts_keep_characters_whole)
{
    static const char *const chars[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x94\x94"};
    for (size_t c = 0; c < ARRAY_LEN(chars); c++) {
        for (int shift = 0; shift < 5; shift++) {
            char text[700] = "";
            size_t size = 0;
            for (int i = 0; i < shift; i++) {
                text[size++] = '.';
            }
            while (size < 400) {
                memcpy(text + size, chars[c], strlen(chars[c]));
                size += strlen(chars[c]);
            }
            struct err_detail d = {0};
            (void)err_set(&d, ERR_IO, "%s", text);
            ck_assert_uint_ge(strlen(d.text), ERR_DETAIL_SIZE - 1 - 3);
            ck_assert(str_is_utf8(str_of(d.text)));
            ck_assert_int_eq(strncmp(d.text, text, strlen(d.text)), 0);
            err_wrap(&d, "context");
            ck_assert_int_eq(strncmp(d.text, "context: ", 9), 0);
            ck_assert(str_is_utf8(str_of(d.text)));
            err_wrap(&d, "%s", text); /* no room: the cause stays */
            ck_assert_int_eq(strncmp(d.text, "context: ", 9), 0);
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {rows,
                                  foreign_numbers_are_fatal,
                                  numbers_are_unique,
                                  first_cause_wins_and_context_goes_in_front,
                                  cuts_keep_characters_whole,
                                  NULL};
    return suite_run("err", tests);
}
