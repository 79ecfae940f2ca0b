/* The only caller of clock, entropy, environment, files and signals. */
#ifndef CARILLON_BASE_OS_H
#define CARILLON_BASE_OS_H

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

struct clock *os_clock(void);
uint64_t os_random_u64(void); /* from the kernel; aborts when it has none */
void os_random_bytes(void *out, size_t size);
const char *os_getenv(const char *name); /* NULL when unset */
int os_cpu_count(void);                  /* that this process may run on */
int os_pid(void);
/* CPU microseconds this process has used (user + system). */
int64_t os_cpu_us(void);
int64_t os_rss_bytes(void); /* resident memory; 0 when the kernel does not tell */
/* Whole file into *out (heap, caller frees with buf_fini); more than "max" is ERR_TOO_LARGE. */
enum err os_read_file(const char *path, size_t max, struct buf *out,
                      struct err_detail *d) MUST_CHECK;
/* Creates or overwrites, not atomically. Both: ERR_NOT_FOUND, ERR_DENIED or ERR_IO with the path
 * and the system's words in "d". */
enum err os_write_file(const char *path, struct str bytes, struct err_detail *d) MUST_CHECK;

#endif
