/* What a benchmark costs: CPU and memory of process trees, from /proc. */
#ifndef CARILLON_CMD_CARILLON_BENCH_SYS_H
#define CARILLON_CMD_CARILLON_BENCH_SYS_H

#include "base/prelude.h"

/* CPU seconds of the process, its living descendants one level down, and its reaped children. */
double sys_tree_cpu(int pid); /* 0 for pid 0 */
int sys_parent(int pid);      /* 0 when there is no such process here */
double sys_self_cpu(void);    /* of this process alone */
double sys_machine_cpu(void); /* of everything on the machine */
/* Resident MiB: of one process; private + shared memory of a server's processes. */
double sys_rss_mib(int pid);
double sys_peak_rss_mib(int pid);
double sys_tree_mib(int pid);
double sys_now(void); /* monotonic seconds */
int sys_compare_doubles(const void *a, const void *b);
/* The p-quantile (0..1) of sorted values; 0 when there is none. */
double sys_quantile(const double *sorted, size_t n, double p);

#endif
