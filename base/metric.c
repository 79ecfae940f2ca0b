/* Counters, gauges, histograms and their Prometheus text. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/metric.h"

/* A stack that only grows, pushed without a lock: tables register before main(), but a metric
 * made at run time may come from any thread. */
static struct metric *metric_list;

void metric_register(struct metric *m)
{
    if (__atomic_exchange_n(&m->listed, true, __ATOMIC_ACQ_REL)) {
        return;
    }
    m->next = __atomic_load_n(&metric_list, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&metric_list, &m->next, m, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
}

/* ---- series ---- */

enum { SERIES_NAME_SIZE = 160 };

static struct series {
    struct metric metric;
    char name[SERIES_NAME_SIZE];
} series[METRIC_SERIES_MAX];
static size_t series_len;
static bool series_busy; /* held for a few instructions, when something is made */

static struct metric *series_find(const char *name)
{
    for (size_t i = 0; i < series_len; i++) {
        if (strcmp(series[i].name, name) == 0) {
            return &series[i].metric;
        }
    }
    return NULL;
}

struct metric *metric_series(struct metric *family, const char *label, const char *value)
{
    PRE(strchr(family->name, '{') == NULL && strpbrk(value, "\"\\\n") == NULL);
    char name[SERIES_NAME_SIZE];
    (void)snprintf(name, sizeof(name), "%s{%s=\"%s\"}", family->name, label, value);
    while (__atomic_test_and_set(&series_busy, __ATOMIC_ACQUIRE)) {
    }
    struct metric *m = series_find(name);
    if (m == NULL && series_len == METRIC_SERIES_MAX) {
        m = family;
    } else if (m == NULL) {
        struct series *s = &series[series_len++];
        memcpy(s->name, name, sizeof(name));
        s->metric = (struct metric){.name = s->name, .help = family->help, .kind = family->kind};
        m = &s->metric;
        metric_register(m);
        __atomic_store_n(&family->parted, true, __ATOMIC_RELAXED);
    }
    __atomic_clear(&series_busy, __ATOMIC_RELEASE);
    return m;
}

void metric_add(struct metric *m, int64_t n)
{
    __atomic_add_fetch(&m->value, n, __ATOMIC_RELAXED);
}

void metric_set(struct metric *m, int64_t v)
{
    __atomic_store_n(&m->value, v, __ATOMIC_RELAXED);
}

void metric_max(struct metric *m, int64_t v)
{
    int64_t now = __atomic_load_n(&m->value, __ATOMIC_RELAXED);
    while (now < v && !__atomic_compare_exchange_n(&m->value, &now, v, true, __ATOMIC_RELAXED,
                                                   __ATOMIC_RELAXED)) {
    }
}

/* The first bucket whose bound 2^i is not below "us". */
static unsigned metric_bucket(int64_t us)
{
    if (us <= 1) {
        return 0;
    }
    unsigned i = 64 - (unsigned)__builtin_clzll((unsigned long long)us - 1);
    return MIN(i, (unsigned)METRIC_BUCKETS);
}

void metric_observe_us(struct metric *m, int64_t us)
{
    PRE(m->kind == METRIC_HISTOGRAM);
    us = MAX(us, INT64_C(0));
    __atomic_add_fetch(&m->bucket[metric_bucket(us)], 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&m->sum, us, __ATOMIC_RELAXED);
    __atomic_add_fetch(&m->value, 1, __ATOMIC_RELAXED);
}

int64_t metric_value(const struct metric *m)
{
    return __atomic_load_n(&m->value, __ATOMIC_RELAXED);
}

/* The name without labels, and what stands between the braces. */
static struct str metric_family(const struct metric *m)
{
    return (struct str){m->name, strcspn(m->name, "{")};
}

static struct str metric_labels(const struct metric *m)
{
    struct str name = str_of(m->name);
    size_t open = metric_family(m).size;
    return open == name.size ? STR_NONE : str_sub(name, open + 1, name.size - open - 2);
}

static int metric_cmp(const void *a, const void *b)
{
    const struct metric *x = *(struct metric *const *)a, *y = *(struct metric *const *)b;
    int c = str_cmp(metric_family(x), metric_family(y));
    return c != 0 ? c : strcmp(x->name, y->name);
}

static void put_seconds(struct buf *out, int64_t us)
{
    uint64_t size = us < 0 ? (uint64_t)0 - (uint64_t)us : (uint64_t)us;
    buf_printf(out, "%s%" PRIu64 ".%06" PRIu64, us < 0 ? "-" : "", size / 1000000, size % 1000000);
}

/* "<family><suffix>{<labels>,<le>}" up to and including the space. */
static void put_series(struct buf *out, const struct metric *m, const char *suffix, const char *le)
{
    struct str labels = metric_labels(m);
    buf_put_str(out, metric_family(m));
    buf_puts(out, suffix);
    if (labels.size > 0 || le != NULL) {
        buf_putc(out, '{');
        buf_put_str(out, labels);
        if (le != NULL) {
            buf_printf(out, "%sle=\"%s\"", labels.size > 0 ? "," : "", le);
        }
        buf_putc(out, '}');
    }
    buf_putc(out, ' ');
}

static void put_histogram(struct buf *out, const struct metric *m)
{
    int64_t count = 0;
    for (unsigned i = 0; i <= METRIC_BUCKETS; i++) {
        char le[32] = "+Inf";
        if (i < METRIC_BUCKETS) {
            int64_t bound = INT64_C(1) << i;
            (void)snprintf(le, sizeof(le), "%" PRId64 ".%06" PRId64, bound / 1000000,
                           bound % 1000000);
        }
        count += __atomic_load_n(&m->bucket[i], __ATOMIC_RELAXED);
        put_series(out, m, "_bucket", le);
        buf_printf(out, "%" PRId64 "\n", count);
    }
    put_series(out, m, "_sum", NULL);
    put_seconds(out, __atomic_load_n(&m->sum, __ATOMIC_RELAXED));
    buf_putc(out, '\n');
    put_series(out, m, "_count", NULL); /* not m->value: it must equal the last bucket */
    buf_printf(out, "%" PRId64 "\n", count);
}

static const char *metric_type(enum metric_kind kind)
{
    switch (kind) {
    case METRIC_GAUGE:
    case METRIC_GAUGE_SECONDS:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    case METRIC_COUNTER:
    case METRIC_SECONDS:
        break;
    }
    return "counter";
}

static void put_head(struct buf *out, const struct metric *m)
{
    buf_puts(out, "# HELP ");
    buf_put_str(out, metric_family(m));
    buf_putc(out, ' ');
    for (const char *p = m->help; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\\') {
            buf_puts(out, *p == '\n' ? "\\n" : "\\\\");
        } else {
            buf_putc(out, *p);
        }
    }
    buf_puts(out, "\n# TYPE ");
    buf_put_str(out, metric_family(m));
    buf_printf(out, " %s\n", metric_type(m->kind));
}

static void put_metric(struct buf *out, const struct metric *m)
{
    if (m->kind == METRIC_HISTOGRAM) {
        put_histogram(out, m);
        return;
    }
    put_series(out, m, "", NULL);
    if (m->kind == METRIC_SECONDS || m->kind == METRIC_GAUGE_SECONDS) {
        put_seconds(out, metric_value(m));
    } else {
        buf_printf(out, "%" PRId64, metric_value(m));
    }
    buf_putc(out, '\n');
}

void metric_write_prometheus(struct buf *out)
{
    struct metric *head = __atomic_load_n(&metric_list, __ATOMIC_ACQUIRE);
    size_t listed = 0;
    for (struct metric *m = head; m != NULL; m = m->next) {
        listed++;
    }
    if (listed == 0) {
        return;
    }
    struct metric **sorted = MEM_ARRAY(struct metric *, listed);
    size_t n = 0;
    for (struct metric *m = head; m != NULL; m = m->next) {
        if (!__atomic_load_n(&m->parted, __ATOMIC_RELAXED) || metric_value(m) != 0) {
            sorted[n++] = m;
        }
    }
    qsort(sorted, n, sizeof(*sorted), metric_cmp);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !str_eq(metric_family(sorted[i - 1]), metric_family(sorted[i]))) {
            put_head(out, sorted[i]);
        }
        put_metric(out, sorted[i]);
    }
    mem_free(sorted);
}
