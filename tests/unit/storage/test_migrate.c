#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/os.h"
#include "storage/migrate.h"

#include <check.h>
#include <dirent.h>

static const char *source_root(void)
{
    const char *root = getenv("CARILLON_SOURCE");
    return root != NULL ? root : ".";
}

/* The program carries what stands in storage/sql; else run storage/sql/embed.py. */
START_TEST(embedded_text_is_that_of_the_files)
{
    unsigned n = 0;
    for (const struct migration *m; (m = migration_at(n)) != NULL; n++) {
        char path[512];
        struct buf text;
        buf_init(&text, 0);
        ck_assert_uint_eq(m->number, n + 1);
        (void)snprintf(path, sizeof(path), "%s/storage/sql/%s", source_root(), m->name);
        ck_assert_int_eq(os_read_file(path, 1 << 20, &text, NULL), ERR_OK);
        ck_assert_msg(str_eq(buf_str(&text), str_of(m->sql)), "%s differs", m->name);
        buf_fini(&text);
    }
    ck_assert_uint_eq(n, MIGRATE_VERSION);
}
END_TEST

START_TEST(every_file_is_embedded)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/storage/sql", source_root());
    DIR *d = opendir(path);
    ck_assert_ptr_nonnull(d);
    unsigned files = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        files += str_ends(str_of(e->d_name), STR(".sql"));
    }
    (void)closedir(d);
    ck_assert_uint_eq(files, MIGRATE_VERSION);
}
END_TEST

START_TEST(no_server)
{
    struct migrate_result m;
    struct err_detail d = {0};
    ck_assert_int_eq(migrate_run("host=127.0.0.1 port=1", 0, 16, &m, &d), ERR_UNAVAILABLE);
    ck_assert_int_eq(d.code, ERR_UNAVAILABLE);
    struct err_detail bad = {0};
    ck_assert_int_eq(migrate_run("host=127.0.0.1 port=1", 5000, 16, &m, &bad), ERR_INVALID);
    struct err_detail none = {0};
    ck_assert_int_eq(migrate_run("host=127.0.0.1 port=1", 0, 0, &m, &none), ERR_INVALID);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("migrate");
    TCase *c = tcase_create("migrations");
    tcase_add_test(c, embedded_text_is_that_of_the_files);
    tcase_add_test(c, every_file_is_embedded);
    tcase_add_test(c, no_server);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
