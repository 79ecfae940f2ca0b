/* The first include of every .c file: standard headers, attributes, then the ban list.
 *
 * Decision code must not read clocks, draw random numbers or touch the environment: a node
 * runs on virtual time in the simulator. The functions below are banned by function-like
 * macros that expand to undeclared names, so a struct member called `time` stays legal.
 * Adapters (base/os.c, base/thread.c, base/loop_uv.c, *_nng.c, pg_*.c, ...) define
 * CARILLON_ADAPTER before including this file; tools/tidy.py holds the list of them. */
#ifndef CARILLON_BASE_PRELUDE_H
#define CARILLON_BASE_PRELUDE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* Here only so that their declarations precede the ban: a later include of them (third-party
 * headers do that) would otherwise meet the macros below. */
#include <pthread.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#ifdef CARILLON_ADAPTER
#include <sys/param.h> /* has a MIN and a MAX, which would take the place of ours unseen */
#undef MIN
#undef MAX
#endif

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN               __attribute__((noreturn))
#define UNUSED                 __attribute__((unused))

#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* The lesser and the greater of two, of the type that `a + b` has. Functions, so that each
 * argument is evaluated once: MAX(due - now(), 1) that read the clock for the comparison and again
 * for the result gave 0 now and then, and a timer set for 0 never fires. */
/* clang-format off */
#define PRELUDE_TYPES(X)                                                         \
    X(int, int) X(unsigned, unsigned) X(long, long) X(ulong, unsigned long)      \
    X(llong, long long) X(ullong, unsigned long long) X(double, double)
#define PRELUDE_PICK(name, type)                                                          \
    UNUSED static inline type prelude_min_##name(type a, type b) { return a < b ? a : b; } \
    UNUSED static inline type prelude_max_##name(type a, type b) { return a > b ? a : b; }
PRELUDE_TYPES(PRELUDE_PICK)
#undef PRELUDE_PICK
#undef PRELUDE_TYPES
#define PRELUDE_CHOOSE(f, a, b)                                                           \
    _Generic((a) + (b), int: f##_int, unsigned: f##_unsigned, long: f##_long,             \
        unsigned long: f##_ulong, long long: f##_llong, unsigned long long: f##_ullong,   \
        double: f##_double)((a), (b))
/* clang-format on */
#define MIN(a, b) PRELUDE_CHOOSE(prelude_min, a, b)
#define MAX(a, b) PRELUDE_CHOOSE(prelude_max, a, b)

/* Unbounded or unsafe everywhere, adapters included. */
#define strcpy(...)    BANNED_use_str_h(strcpy)
#define strcat(...)    BANNED_use_str_h(strcat)
#define sprintf(...)   BANNED_use_snprintf(sprintf)
#define vsprintf(...)  BANNED_use_vsnprintf(vsprintf)
#define gets(...)      BANNED_use_fgets(gets)
#define strtok(...)    BANNED_use_str_h(strtok)
#define localtime(...) BANNED_use_os_h(localtime)
#define gmtime(...)    BANNED_use_clock_h(gmtime)

#ifndef CARILLON_ADAPTER
#define time(...)                 BANNED_use_clock_h(time)
#define clock_gettime(...)        BANNED_use_clock_h(clock_gettime)
#define gettimeofday(...)         BANNED_use_clock_h(gettimeofday)
#define rand(...)                 BANNED_use_rng_h(rand)
#define random(...)               BANNED_use_rng_h(random)
#define srand(...)                BANNED_use_rng_h(srand)
#define sleep(...)                BANNED_use_loop_timers(sleep)
#define usleep(...)               BANNED_use_loop_timers(usleep)
#define nanosleep(...)            BANNED_use_loop_timers(nanosleep)
#define getenv(...)               BANNED_use_os_h(getenv)
#define pthread_create(...)       BANNED_use_thread_h(pthread_create)
#define pthread_mutex_lock(...)   BANNED_use_thread_h(pthread_mutex_lock)
#define pthread_mutex_unlock(...) BANNED_use_thread_h(pthread_mutex_unlock)
#endif

#endif
