/* Structured logging without a lock: every line is built on the stack and leaves in one write.
 * What threads share (levels, sites, sink, node name) is touched with atomics only. */
#include "base/prelude.h"

#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"

enum { LOG_NODE_SIZE = 64 };

static struct log_module *log_list;
static struct log_sink *log_sink;
static struct clock *log_clock;
static char log_node[LOG_NODE_SIZE];

static const char *const log_levels[] = {"error", "warn", "info", "debug"};

/* ---- settings ---- */

void log_module_list(struct log_module *m)
{
    if (__atomic_exchange_n(&m->listed, true, __ATOMIC_ACQ_REL)) {
        return;
    }
    m->next = __atomic_load_n(&log_list, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&log_list, &m->next, m, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
}

const struct log_module *log_modules(void)
{
    return __atomic_load_n(&log_list, __ATOMIC_ACQUIRE);
}

void log_set_sink(struct log_sink *s)
{
    __atomic_store_n(&log_sink, s, __ATOMIC_RELEASE);
}

void log_set_clock(struct clock *c)
{
    __atomic_store_n(&log_clock, c, __ATOMIC_RELEASE);
}

/* Byte by byte: a reader may see a mixture for one line, but never a race. */
void log_set_node(const char *node)
{
    struct str s = str_of(node);
    for (size_t i = 0; i < LOG_NODE_SIZE - 1; i++) {
        __atomic_store_n(&log_node[i], i < s.size ? s.p[i] : '\0', __ATOMIC_RELAXED);
    }
}

bool log_set_level(struct str module, enum log_level lvl)
{
    bool all = str_eqc(module, "*"), found = all;
    for (struct log_module *m = __atomic_load_n(&log_list, __ATOMIC_ACQUIRE); m != NULL;
         m = m->next) {
        if (all || str_eqc(module, m->name)) {
            __atomic_store_n(&m->level, (int)lvl, __ATOMIC_RELAXED);
            found = true;
        }
    }
    return found;
}

bool log_parse_level(struct str s, enum log_level *out)
{
    for (unsigned i = 0; i < ARRAY_LEN(log_levels); i++) {
        if (str_eqc(s, log_levels[i])) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(enum log_level lvl)
{
    return (unsigned)lvl < ARRAY_LEN(log_levels) ? log_levels[lvl] : "?";
}

/* ---- rate limit ---- */

/* May this site write now? "*suppressed" is what it kept back before. Two threads that meet at
 * the turn of a second may let a line more or less through: no matter. */
static bool log_admit(struct log_site *site, struct clock *clock, uint32_t *suppressed)
{
    *suppressed = 0;
    if (clock == NULL) {
        return true;
    }
    int64_t second = clock_mono(clock).us / US_PER_S;
    int64_t seen = __atomic_load_n(&site->second, __ATOMIC_RELAXED);
    if (seen != second && __atomic_compare_exchange_n(&site->second, &seen, second, false,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_store_n(&site->count, 0, __ATOMIC_RELAXED);
    }
    if (__atomic_load_n(&site->count, __ATOMIC_RELAXED) >= LOG_PER_SECOND ||
        __atomic_add_fetch(&site->count, 1, __ATOMIC_RELAXED) > LOG_PER_SECOND) {
        __atomic_add_fetch(&site->suppressed, 1, __ATOMIC_RELAXED);
        metric_add(&metric_log_suppressed, 1);
        return false;
    }
    *suppressed = __atomic_exchange_n(&site->suppressed, 0, __ATOMIC_RELAXED);
    return true;
}

/* ---- the line ---- */

struct line {
    size_t size;
    bool cut;
    char text[LOG_LINE_SIZE + 1]; /* and the newline of the default sink */
};

enum { LINE_ROOM = LOG_LINE_SIZE - 3 }; /* "..." always fits behind */

static void line_put(struct line *l, const char *p, size_t size)
{
    if (l->cut || size > LINE_ROOM - l->size) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->size, p, size);
    l->size += size;
}

/* Escapes what would break the line or the terminal; with "quoted", what would end the quotes. */
static void line_escape(struct line *l, const char *p, size_t size, bool quoted)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)p[i];
        char text[8];
        int n;
        if (c == '\n' || c == '\t' || c == '\r') {
            n = snprintf(text, sizeof(text), "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        } else if (c < 0x20 || c == 0x7F) {
            n = snprintf(text, sizeof(text), "\\x%02x", (unsigned)c);
        } else if (quoted && (c == '"' || c == '\\')) {
            n = snprintf(text, sizeof(text), "\\%c", c);
        } else {
            line_put(l, p + i, 1);
            continue;
        }
        line_put(l, text, (size_t)n);
    }
}

static void line_printf(struct line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line_printf(struct line *l, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    line_escape(l, text, MIN((size_t)MAX(n, 0), sizeof(text) - 1), false);
}

static uint32_t log_code(const struct log_module *m, const char *msg)
{
    char key[256];
    int n = snprintf(key, sizeof(key), "%s: %s", m->name, msg);
    return (uint32_t)hash_bytes(key, MIN((size_t)MAX(n, 0), sizeof(key) - 1));
}

static void line_head(struct line *l, const struct log_module *m, enum log_level lvl,
                      const char *msg, struct clock *clock)
{
    if (clock != NULL) {
        char ts[WALL_TEXT_SIZE];
        wall_format(clock_wall(clock), 6, ts);
        line_printf(l, "ts=%s ", ts);
    }
    line_printf(l, "level=%s msg=\"", log_level_name(lvl));
    line_escape(l, msg, strlen(msg), true);
    line_printf(l, "\" code=%08" PRIx32 " component=%s", log_code(m, msg), m->name);
    char node[LOG_NODE_SIZE];
    for (size_t i = 0; i < LOG_NODE_SIZE; i++) {
        node[i] = __atomic_load_n(&log_node[i], __ATOMIC_RELAXED);
    }
    if (node[0] != '\0') {
        line_printf(l, " node=%s", node);
    }
}

static void line_send(struct line *l, enum log_level lvl)
{
    if (l->cut) {
        memcpy(l->text + l->size, "...", 3);
        l->size += 3;
    }
    metric_add(&metric_log_lines, 1);
    struct log_sink *sink = __atomic_load_n(&log_sink, __ATOMIC_ACQUIRE);
    if (sink != NULL) {
        sink->write(sink, lvl, l->text, l->size);
        return;
    }
    l->text[l->size] = '\n';
    (void)fwrite(l->text, 1, l->size + 1, stderr); /* unbuffered: one write, lines stay whole */
}

void log_write(struct log_module *m, struct log_site *site, enum log_level lvl, const char *msg,
               const char *fields_fmt, ...)
{
    struct clock *clock = __atomic_load_n(&log_clock, __ATOMIC_ACQUIRE);
    uint32_t suppressed;
    if (!log_admit(site, clock, &suppressed)) {
        return;
    }
    struct line line;
    line.size = 0;
    line.cut = false;
    line_head(&line, m, lvl, msg, clock);
    if (suppressed > 0) {
        line_printf(&line, " suppressed=%" PRIu32, suppressed);
    }
    char fields[LOG_LINE_SIZE];
    va_list ap;
    va_start(ap, fields_fmt);
    int n = vsnprintf(fields, sizeof(fields), fields_fmt, ap);
    va_end(ap);
    if (n > 1) { /* more than the space that LOG_AT puts in front */
        line_escape(&line, fields, MIN((size_t)n, sizeof(fields) - 1), false);
        line.cut = line.cut || (size_t)n >= sizeof(fields);
    }
    line_send(&line, lvl);
}
