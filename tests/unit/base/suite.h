/* What the unit tests of this folder share: their main() and the check for an abort. */
#ifndef CARILLON_TESTS_UNIT_BASE_SUITE_H
#define CARILLON_TESTS_UNIT_BASE_SUITE_H

#include "base/prelude.h"

#include <check.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs the tests of a NULL-terminated list; the exit status of the program. */
static inline int suite_run(const char *name, const TTest *const tests[])
{
    Suite *s = suite_create(name);
    TCase *c = tcase_create(name);
    tcase_set_timeout(c, 100);
    for (size_t i = 0; tests[i] != NULL; i++) {
        tcase_add_test(c, tests[i]);
    }
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Runs "f" in a child that must die of SIGABRT; what it wrote to stderr is in "out" (cut to
 * "size", closed with a NUL). False when it lived or died otherwise. */
static inline bool suite_aborts(void (*f)(void), char *out, size_t size)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    fflush(stdout);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(ends[1], STDERR_FILENO);
        f();
        _exit(0);
    }
    (void)close(ends[1]);
    size_t got = 0;
    char sink[512];
    for (;;) {
        ssize_t n = read(ends[0], sink, sizeof(sink));
        if (n <= 0) {
            break;
        }
        size_t keep = MIN((size_t)n, size - 1 - got);
        memcpy(out + got, sink, keep);
        got += keep;
    }
    out[got] = '\0';
    (void)close(ends[0]);
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
