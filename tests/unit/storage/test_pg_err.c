#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/pg_err.h"

#include <check.h>

static const struct {
    const char *sqlstate;
    enum err err;
    bool drops;
} cases[] = {
    {NULL, ERR_UNAVAILABLE, true},
    {"40001", ERR_SERIALIZATION, false},
    {"40P01", ERR_SERIALIZATION, false},
    {"40003", ERR_UNKNOWN, true},
    {"55P03", ERR_LOCKED, false},
    {"57014", ERR_SERIALIZATION, false},
    {"57P01", ERR_UNAVAILABLE, true},
    {"57P03", ERR_UNAVAILABLE, true},
    {"25006", ERR_UNAVAILABLE, true},
    {"53100", ERR_UNAVAILABLE, false},
    {"08006", ERR_UNAVAILABLE, true},
    {"22021", ERR_INVALID, false},
    {"23505", ERR_INVALID, false},
    {"26000", ERR_SCHEMA, true},
    {"42P01", ERR_SCHEMA, true},
    {"42703", ERR_SCHEMA, false},
    {"CA001", ERR_FENCED, false},
    {"CA002", ERR_CONFLICT, false},
    {"CA003", ERR_INVALID, false},
    {"CA004", ERR_NO_WORKFLOW, false},
    {"CA005", ERR_NOT_FOUND, false},
    {"CA006", ERR_PRECONDITION, false},
    {"XX000", ERR_IO, false},
    {"", ERR_IO, false},
};

START_TEST(sqlstates)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *s = cases[i].sqlstate;
        ck_assert_msg(pg_err(s) == cases[i].err, "%s: %s", s, err_name(pg_err(s)));
        ck_assert_msg(pg_err_drops(s) == cases[i].drops, "%s", s);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pg_err");
    TCase *c = tcase_create("table");
    tcase_add_test(c, sqlstates);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
