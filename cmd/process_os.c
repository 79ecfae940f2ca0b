/* Facts about this process, as the kernel tells them. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/process.h"

#include "base/os.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

/* Fields of /proc/self/stat behind the name of the program, which may hold anything but ends in ')'. */
enum { FIELD_START = 22, FIELD_VIRTUAL = 23 };

static void stat_read(int64_t *start_ticks, int64_t *virtual_bytes)
{
    struct buf b;
    buf_init(&b, 0);
    if (os_read_file("/proc/self/stat", 4096, &b, NULL) == ERR_OK) {
        buf_putc(&b, '\0');
        const char *p = strrchr(b.p, ')');
        for (int field = 3; p != NULL && (p = strchr(p + 1, ' ')) != NULL; field++) {
            if (field == FIELD_START) {
                *start_ticks = strtoll(p, NULL, 10);
            } else if (field == FIELD_VIRTUAL) {
                *virtual_bytes = strtoll(p, NULL, 10);
            }
        }
    }
    buf_fini(&b);
}

static int64_t fds_open(void)
{
    int64_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        n += entry->d_name[0] != '.';
    }
    (void)closedir(dir);
    return n - 1; /* the folder itself */
}

/* The clock counts from the boot of the machine. */
static int64_t boot_s(void)
{
    struct timespec since_boot, now;
    (void)clock_gettime(CLOCK_BOOTTIME, &since_boot);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec - since_boot.tv_sec;
}

void process_sample(struct admin_process *out)
{
    struct rlimit files = {0};
    int64_t start_ticks = 0;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    stat_read(&start_ticks, &out->virtual_bytes);
    out->cpu_us = os_cpu_us();
    out->resident_bytes = os_rss_bytes();
    out->open_fds = fds_open();
    out->max_fds = (int64_t)MIN(files.rlim_cur, (rlim_t)INT64_MAX);
    out->start_s = boot_s() + start_ticks / sysconf(_SC_CLK_TCK);
}
