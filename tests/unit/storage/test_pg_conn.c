/* What is refused of a server, from the facts alone. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/pg_conn.h"

#include <check.h>

static const struct pg_server good = {.version = 140000,
                                      .system_id = 7,
                                      .fsync = true,
                                      .full_page_writes = true,
                                      .synchronous_commit = true,
                                      .schema = 3};

static const struct {
    const char *what;
    struct pg_server server;
    struct pg_conn_config config;
    enum err err;
    const char *text;
} cases[] = {
    {"as it should be",
     {.version = 150020,
      .system_id = 7,
      .fsync = true,
      .full_page_writes = true,
      .synchronous_commit = true,
      .schema = 3},
     {.system_id = 7, .schema = 3},
     ERR_OK,
     ""},
    {"version 13",
     {.version = 130014},
     {.allow_unsafe = true},
     ERR_UNSUPPORTED,
     "PostgreSQL 13.14 is too old: version 14 or newer is needed"},
    {"version 9.6", {.version = 90624}, {0}, ERR_UNSUPPORTED, "version 14 or newer"},
    {"fsync",
     {.version = 150000, .full_page_writes = true, .synchronous_commit = true},
     {0},
     ERR_FATAL,
     "fsync is off"},
    {"full_page_writes",
     {.version = 150000, .fsync = true, .synchronous_commit = true},
     {0},
     ERR_FATAL,
     "full_page_writes is off"},
    {"synchronous_commit",
     {.version = 150000, .fsync = true, .full_page_writes = true},
     {0},
     ERR_FATAL,
     "synchronous_commit is off"},
    {"unsafe and allowed", {.version = 160001}, {.allow_unsafe = true}, ERR_OK, ""},
    {"another cluster",
     {.version = 150000, .system_id = 8},
     {.allow_unsafe = true, .system_id = 7},
     ERR_FATAL,
     "another database cluster"},
    {"newer schema",
     {.version = 150000, .schema = 4},
     {.allow_unsafe = true, .schema = 3},
     ERR_SCHEMA,
     "newer than this program"},
    {"older schema",
     {.version = 150000, .schema = 2},
     {.allow_unsafe = true, .schema = 3},
     ERR_SCHEMA,
     "migrate first"},
};

START_TEST(servers)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err_detail d = {0};
        enum err e = pg_server_check(&cases[i].server, &cases[i].config, &d);
        ck_assert_msg(e == cases[i].err && strstr(d.text, cases[i].text) != NULL, "%s: %s \"%s\"",
                      cases[i].what, err_name(e), d.text);
    }
}
END_TEST

START_TEST(oldest_version)
{
    struct err_detail d = {0};
    struct pg_conn_config config = {.schema = 3};
    ck_assert_int_eq(pg_server_check(&good, &config, &d), ERR_OK);
    ck_assert_int_eq(pg_version_check(139999, &d), ERR_UNSUPPORTED);
    ck_assert_int_eq(pg_version_check(140000, NULL), ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pg_conn");
    TCase *c = tcase_create("servers");
    tcase_add_test(c, servers);
    tcase_add_test(c, oldest_version);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
