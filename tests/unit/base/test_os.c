#include "base/prelude.h"

#include "base/os.h"
#include "tests/unit/base/suite.h"

START_TEST(clocks_run)
{
    struct clock *c = os_clock();
    struct mono before = clock_mono(c);
    struct wall wall = clock_wall(c);
    ck_assert_int_gt(wall.us, INT64_C(1577836800) * US_PER_S); /* after 2020 */
    int64_t cpu = os_cpu_us();
    while (clock_mono(c).us < before.us + 20000 || os_cpu_us() <= cpu) {
    }
    ck_assert_int_ge(os_cpu_us(), 0);
    ck_assert_int_gt(os_cpu_us(), cpu);
}
END_TEST

START_TEST(entropy_varies)
{
    ck_assert_uint_ne(os_random_u64(), os_random_u64());
    uint8_t bytes[1000] = {0}, all = 0;
    os_random_bytes(bytes, sizeof(bytes));
    for (size_t i = sizeof(bytes) - 64; i < sizeof(bytes); i++) {
        all |= bytes[i];
    }
    ck_assert_uint_ne(all, 0);
}
END_TEST

START_TEST(process)
{
    ck_assert_int_ge(os_cpu_count(), 1);
    ck_assert_int_eq(os_pid(), (int)getpid());
    ck_assert_int_gt(os_rss_bytes(), 100000);
    ck_assert_int_eq(setenv("CARILLON_TEST_OS", "7", 1), 0);
    ck_assert_str_eq(os_getenv("CARILLON_TEST_OS"), "7");
    ck_assert_ptr_null(os_getenv("CARILLON_TEST_OS_UNSET"));
}
END_TEST

START_TEST(files)
{
    char path[] = "/tmp/carillon_test_os_XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    static char bytes[70000]; /* several reads */
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 7);
    }
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 70000};
    for (size_t i = ARRAY_LEN(sizes); i-- > 0;) { /* downwards: old bytes must go */
        struct err_detail d = {0};
        struct buf b;
        ck_assert_int_eq(os_write_file(path, (struct str){bytes, sizes[i]}, &d), ERR_OK);
        ck_assert_int_eq(os_read_file(path, sizes[i], &b, &d), ERR_OK);
        ck_assert_uint_eq(b.size, sizes[i]);
        ck_assert(sizes[i] == 0 || memcmp(b.p, bytes, sizes[i]) == 0);
        buf_fini(&b);
        if (sizes[i] > 0) {
            ck_assert_int_eq(os_read_file(path, sizes[i] - 1, &b, &d), ERR_TOO_LARGE);
            ck_assert_int_eq(d.code, ERR_TOO_LARGE);
        }
    }
    ck_assert_int_eq(unlink(path), 0);
    struct err_detail d = {0};
    struct buf b;
    ck_assert_int_eq(os_read_file(path, 10, &b, &d), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(d.text, path));
    ck_assert_ptr_nonnull(strstr(d.text, "No such file"));
    ck_assert_int_eq(os_read_file("/tmp", 10, &b, NULL), ERR_IO); /* a folder */
    ck_assert_int_eq(os_write_file("/tmp/carillon_no_such_folder/x", STR("x"), NULL),
                     ERR_NOT_FOUND);
    ck_assert_int_eq(os_write_file("/dev/full", STR("x"), NULL), ERR_IO);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {clocks_run, entropy_varies, process, files, NULL};
    return suite_run("os", tests);
}
