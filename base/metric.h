/* Metrics from tables. Each folder that measures something has three small files:
 *
 *   metrics.def   rows METRIC(kind, ident, "carillon_<folder>_<what>_<unit>", "Help sentence.")
 *                 with kind COUNTER, GAUGE, SECONDS, GAUGE_SECONDS or HISTOGRAM, without semicolons
 *   metrics.h     #define METRIC METRIC_DECLARE
 *                 #include "<folder>/metrics.def"
 *                 #undef METRIC
 *   metrics.c     the same with METRIC_DEFINE, after including metrics.h
 *
 * This makes one `struct metric metric_<ident>` for each row, which registers itself before
 * main(). base/metrics.* is the pattern. Names follow Prometheus: counters end in _total, times
 * are in seconds (the functions here take microseconds). A name may end in a fixed set of labels,
 * "carillon_x_total{result=\"ok\"}"; rows that differ in labels only share kind and help. Labels
 * that only the running program knows (the name of a loop) come from metric_series().
 *
 * Values are per process, relaxed atomics, callable from any thread. */
#ifndef CARILLON_BASE_METRIC_H
#define CARILLON_BASE_METRIC_H

#include "base/prelude.h"
#include "base/str.h"

enum metric_kind {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
    METRIC_SECONDS,       /* a counter of microseconds, written in seconds */
    METRIC_GAUGE_SECONDS, /* a gauge of microseconds, written in seconds */
};

enum { METRIC_BUCKETS = 28 }; /* powers of two of microseconds: 1 µs .. 134 s, then +Inf */

struct metric {
    const char *name, *help;
    enum metric_kind kind;
    int64_t value; /* counter, gauge; histogram: count. Use the functions. */
    int64_t sum;   /* histogram: µs */
    int64_t bucket[METRIC_BUCKETS + 1];
    struct metric *next;
    bool listed;
    bool parted; /* has series */
};

#define METRIC_DECLARE(row_kind, ident, row_name, row_help) extern struct metric metric_##ident;
#define METRIC_DEFINE(row_kind, ident, row_name, row_help) \
    struct metric metric_##ident = {.name = (row_name), \
                                    .help = (row_help), \
                                    .kind = METRIC_##row_kind}; \
    __attribute__((constructor)) static void metric_##ident##_register(void) \
    { \
        metric_register(&metric_##ident); \
    }

/* Lists a metric for metric_write_prometheus(); idempotent. It must live as long as the process:
 * tables do; a metric made at run time is never freed. */
void metric_register(struct metric *m);
/* The series of a family (a table's row without labels) for one value of one label; the same value
 * gives the same series. A family that has series is written only if it was counted itself. There are
 * at most METRIC_SERIES_MAX in a process; one more is the family itself. Any thread. */
enum { METRIC_SERIES_MAX = 64 };
struct metric *metric_series(struct metric *family, const char *label, const char *value);
void metric_add(struct metric *m, int64_t n); /* SECONDS: microseconds */
void metric_set(struct metric *m, int64_t v);
void metric_max(struct metric *m, int64_t v);         /* GAUGE: a peak; raises it to v */
void metric_observe_us(struct metric *m, int64_t us); /* HISTOGRAM only */
int64_t metric_value(const struct metric *m);
/* All listed metrics as Prometheus text (0.0.4), sorted by name. */
void metric_write_prometheus(struct buf *out);

#endif
