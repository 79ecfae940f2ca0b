/* Costs from /proc: see bench_sys.h. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/carillon/bench_sys.h"

#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct proc_stat {
    int ppid;
    double cpu, reaped;
};

static bool proc_stat(int pid, struct proc_stat *out)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return false;
    }
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    /* The command's name may hold blanks: fields are counted from behind it. */
    const char *p = strrchr(text, ')');
    unsigned long user, sys, cuser, csys;
    if (p == NULL || sscanf(p + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu",
                            &out->ppid, &user, &sys, &cuser, &csys) != 5) {
        return false;
    }
    double hz = (double)sysconf(_SC_CLK_TCK);
    out->cpu = (double)(user + sys) / hz;
    out->reaped = (double)(cuser + csys) / hz;
    return true;
}

/* Calls "each" for the children of a process. */
static void children(int pid, void (*each)(int child, void *arg), void *arg)
{
    DIR *d = opendir("/proc");
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        int child = (int)strtol(e->d_name, NULL, 10);
        struct proc_stat s;
        if (child > 0 && proc_stat(child, &s) && s.ppid == pid) {
            each(child, arg);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
}

static void add_cpu(int child, void *arg)
{
    struct proc_stat s;
    if (proc_stat(child, &s)) {
        *(double *)arg += s.cpu;
    }
}

int sys_parent(int pid)
{
    struct proc_stat s;
    return pid > 0 && proc_stat(pid, &s) ? s.ppid : 0;
}

double sys_tree_cpu(int pid)
{
    struct proc_stat s;
    if (pid <= 0 || !proc_stat(pid, &s)) {
        return 0;
    }
    double sum = s.cpu + s.reaped;
    children(pid, add_cpu, &sum);
    return sum;
}

double sys_self_cpu(void)
{
    struct rusage r;
    (void)getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

double sys_machine_cpu(void)
{
    FILE *f = fopen("/proc/stat", "r");
    unsigned long v[8] = {0};
    if (f == NULL) {
        return 0;
    }
    int n = fscanf(f, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &v[0], &v[1], &v[2], &v[3], &v[4],
                   &v[5], &v[6], &v[7]);
    (void)fclose(f);
    /* All but idle (3) and waiting for disks (4). */
    return n != 8
               ? 0
               : (double)(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / (double)sysconf(_SC_CLK_TCK);
}

static double status_kib(int pid, const char *key)
{
    char path[64], line[256];
    double kib = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtod(line + strlen(key), NULL);
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return kib;
}

double sys_rss_mib(int pid)
{
    return status_kib(pid, "VmRSS:") / 1024;
}

double sys_peak_rss_mib(int pid)
{
    return status_kib(pid, "VmHWM:") / 1024;
}

struct tree_memory {
    double private_kib, shared_kib;
};

static void add_memory(int child, void *arg)
{
    struct tree_memory *m = arg;
    double shared = status_kib(child, "RssShmem:");
    m->private_kib += status_kib(child, "RssAnon:");
    m->shared_kib = MAX(m->shared_kib, shared);
}

double sys_tree_mib(int pid)
{
    struct tree_memory m = {0};
    add_memory(pid, &m);
    children(pid, add_memory, &m);
    return (m.private_kib + m.shared_kib) / 1024;
}

double sys_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int sys_compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sys_quantile(const double *sorted, size_t n, double p)
{
    if (n == 0) {
        return 0;
    }
    size_t i = (size_t)(p * (double)n);
    return sorted[MIN(i, n - 1)];
}
