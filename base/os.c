/* The operating system: clock, entropy, environment, files, use of resources. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/assert.h"
#include "base/os.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- clock ---- */

static int64_t os_now_us(clockid_t which)
{
    struct timespec ts;
    int rc = clock_gettime(which, &ts);
    ASSERT(rc == 0);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

static struct mono os_mono(struct clock *c UNUSED)
{
    return (struct mono){os_now_us(CLOCK_MONOTONIC)};
}

static struct wall os_wall(struct clock *c UNUSED)
{
    return (struct wall){os_now_us(CLOCK_REALTIME)};
}

struct clock *os_clock(void)
{
    static struct clock clock = {os_mono, os_wall};
    return &clock;
}

/* ---- entropy ---- */

void os_random_bytes(void *out, size_t size)
{
    uint8_t *p = out;
    while (size > 0) {
        ssize_t n = getrandom(p, size, 0);
        if (n < 0) {
            ASSERT(errno == EINTR);
            continue;
        }
        p += n;
        size -= (size_t)n;
    }
}

uint64_t os_random_u64(void)
{
    uint64_t v;
    os_random_bytes(&v, sizeof(v));
    return v;
}

/* ---- environment and resources ---- */

const char *os_getenv(const char *name)
{
    return getenv(name);
}

int os_cpu_count(void)
{
    cpu_set_t set; /* what this process may use: a container may be given less than the machine */
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return MAX(CPU_COUNT(&set), 1);
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

int os_pid(void)
{
    return (int)getpid();
}

static int64_t timeval_us(struct timeval tv)
{
    return (int64_t)tv.tv_sec * US_PER_S + tv.tv_usec;
}

int64_t os_cpu_us(void)
{
    struct rusage ru;
    int rc = getrusage(RUSAGE_SELF, &ru);
    ASSERT(rc == 0);
    return timeval_us(ru.ru_utime) + timeval_us(ru.ru_stime);
}

int64_t os_rss_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    text[MAX(n, (ssize_t)0)] = '\0';
    char *second = strchr(text, ' ');
    return second != NULL ? strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

/* ---- files ---- */

static enum err os_error(struct err_detail *d, const char *path)
{
    int e = errno;
    enum err err = e == ENOENT || e == ENOTDIR               ? ERR_NOT_FOUND
                   : e == EACCES || e == EPERM || e == EROFS ? ERR_DENIED
                                                             : ERR_IO;
    return err_set(d, err, "%s: %s", path, strerror(e));
}

static enum err os_read_all(int fd, const char *path, size_t max, struct buf *out,
                            struct err_detail *d)
{
    enum { STEP = 16384 };
    for (;;) {
        char *room = buf_reserve(out, STEP);
        ASSERT(room != NULL); /* no cap: the size is bounded below */
        ssize_t n = read(fd, room, STEP);
        if (n == 0) {
            return ERR_OK;
        }
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return os_error(d, path);
        }
        buf_added(out, (size_t)n);
        if (out->size > max) {
            return err_set(d, ERR_TOO_LARGE, "%s: more than %zu bytes", path, max);
        }
    }
}

enum err os_read_file(const char *path, size_t max, struct buf *out, struct err_detail *d)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return os_error(d, path);
    }
    struct buf bytes;
    buf_init(&bytes, 0);
    enum err e = os_read_all(fd, path, max, &bytes, d);
    (void)close(fd);
    if (e != ERR_OK) {
        buf_fini(&bytes);
        return e;
    }
    *out = bytes;
    return ERR_OK;
}

static enum err os_write_all(int fd, const char *path, struct str bytes, struct err_detail *d)
{
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.p, bytes.size);
        if (n >= 0) {
            bytes = str_sub(bytes, (size_t)n, bytes.size);
        } else if (errno != EINTR) {
            return os_error(d, path);
        }
    }
    return ERR_OK;
}

enum err os_write_file(const char *path, struct str bytes, struct err_detail *d)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return os_error(d, path);
    }
    enum err e = os_write_all(fd, path, bytes, d);
    if (close(fd) != 0 && e == ERR_OK) {
        e = os_error(d, path); /* a full disk behind NFS shows only here */
    }
    return e;
}
