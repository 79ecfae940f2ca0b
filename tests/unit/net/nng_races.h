/* For programs that run nng under the thread sanitizer: nng is not built for it, so its atomic
 * reference counts look like races of its reaper with whoever frees a stream or a dialer. */
#ifndef CARILLON_TESTS_NNG_RACES_H
#define CARILLON_TESTS_NNG_RACES_H

const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:libnng.so";
}

#endif
