/* The private PostgreSQL of the tests keeps its promises, above all: it never outlives them. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/private_pg.h"

#include <check.h>
#include <signal.h>
#include <sys/wait.h>

enum { WAIT_MS = 20000, POLL_US = 10000 };

static struct pg_private *pg;

static void start_server(void)
{
    struct err_detail d = {0};
    pg = pg_private_start("-c max_connections=7", &d);
    ck_assert_msg(pg != NULL, "%s", d.text);
}

static void stop_server(void)
{
    pg_private_stop(pg);
}

/* Waits until "path" is there or gone. */
static bool wait_path(const char *path, bool there)
{
    for (int waited = 0; waited < WAIT_MS * 1000; waited += POLL_US) {
        if ((access(path, F_OK) == 0) == there) {
            return true;
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000L}, NULL);
    }
    return false;
}

START_TEST(options_are_in_force)
{
    struct err_detail d = {0};
    enum err e = pg_private_exec(pg,
                                 "DO $$ BEGIN ASSERT current_setting('max_connections') = '7';"
                                 "ASSERT current_setting('fsync') = 'on'; END $$",
                                 &d);
    ck_assert_msg(e == ERR_OK, "%s", d.text);
    ck_assert(pg_private_exec(pg, "select broken from nothing", &d) != ERR_OK);
    ck_assert_ptr_nonnull(strstr(d.text, "nothing"));
}
END_TEST

START_TEST(committed_rows_survive_kill9)
{
    struct err_detail d = {0};
    ck_assert_int_eq(pg_private_exec(pg, "create table kept as select 42 as n", &d), ERR_OK);
    int port = pg_private_port(pg);
    pg_private_kill9(pg);
    ck_assert_int_eq(pg_private_pid(pg), 0);
    ck_assert(pg_private_exec(pg, "select 1", NULL) != ERR_OK);
    ck_assert_msg(pg_private_restart(pg, &d) == ERR_OK, "%s", d.text);
    ck_assert_int_eq(pg_private_port(pg), port);
    ck_assert_msg(pg_private_exec(pg, "DO $$ BEGIN ASSERT (select n from kept) = 42; END $$", &d) ==
                      ERR_OK,
                  "%s", d.text);
}
END_TEST

/* A child starts a server of its own, tells its process id and is killed. */
START_TEST(server_dies_with_a_killed_test)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        struct pg_private *own = pg_private_start(NULL, NULL);
        int pid = own != NULL ? pg_private_pid(own) : 0;
        ssize_t n = write(fds[1], &pid, sizeof(pid));
        pause();
        _exit((int)n);
    }
    int pid = 0;
    ck_assert_int_eq(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
    ck_assert_int_gt(pid, 0);
    char lock[64];
    snprintf(lock, sizeof(lock), "/proc/%d/cmdline", pid);
    ck_assert(wait_path(lock, true));
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    /* Its new parent may leave a zombie, whose command line is empty. */
    bool gone = false;
    for (int waited = 0; waited < WAIT_MS * 1000 && !gone; waited += POLL_US) {
        FILE *f = fopen(lock, "r");
        gone = f == NULL || fgetc(f) == EOF;
        if (f != NULL) {
            fclose(f);
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000L}, NULL);
    }
    ck_assert_msg(gone, "postmaster %d lives on", pid);
}
END_TEST

/* No fork: PR_SET_PDEATHSIG ties the server to the thread that started it. */
int main(void)
{
    Suite *s = suite_create("pg_private");
    TCase *c = tcase_create("server");
    tcase_add_unchecked_fixture(c, start_server, stop_server);
    tcase_add_test(c, options_are_in_force);
    tcase_add_test(c, committed_rows_survive_kill9);
    tcase_add_test(c, server_dies_with_a_killed_test);
    tcase_set_timeout(c, 120);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
