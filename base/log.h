/* Structured logging: one event a line, logfmt on stderr, fixed fields first:
 *   ts=... level=... msg="..." code=... component=... node=... then key=value pairs.
 * "code" names the message for ever (a hash of component and message), so that people can search
 * for it. One LOG_MODULE line per file names its module; its level can be changed at run time.
 * Each site is rate-limited (10 a second, then "suppressed=N" on its next line). Callable from
 * any thread. */
#ifndef CARILLON_BASE_LOG_H
#define CARILLON_BASE_LOG_H

#include "base/clock.h"
#include "base/prelude.h"
#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_module {
    const char *name;
    int level; /* enum log_level; changed by log_set_level */
    struct log_module *next;
    bool listed;
};

/* Per call site. */
struct log_site {
    int64_t second;
    uint32_t count, suppressed;
};

enum { LOG_PER_SECOND = 10, LOG_LINE_SIZE = 2048 }; /* a longer line is cut and ends in "..." */

/* Modules list themselves before main(), so that a level can be set before the first line. */
#define LOG_MODULE(module_name) \
    static struct log_module log_this_module; \
    __attribute__((constructor)) static void log_this_module_list(void) \
    { \
        log_module_list(&log_this_module); \
    } \
    static struct log_module log_this_module = {.name = (module_name), .level = LOG_INFO}

#define LOG_AT(lvl, message, ...) \
    do { \
        static struct log_site log_site_; \
        if ((int)(lvl) <= __atomic_load_n(&log_this_module.level, __ATOMIC_RELAXED)) { \
            log_write(&log_this_module, &log_site_, (lvl), (message), " " __VA_ARGS__); \
        } \
    } while (0)
/* log_error("claim refused", "partition=%s epoch=%" PRIu64, p, e): message, then the fields (a
 * literal format, may be left out). Values that may hold spaces go in quotes: "path=\"%s\"". */
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)

void log_module_list(struct log_module *m); /* idempotent */
/* "fields_fmt" begins with a space. Control bytes of the line are escaped as \n, \t, \xNN. */
void log_write(struct log_module *m, struct log_site *site, enum log_level lvl, const char *msg,
               const char *fields_fmt, ...) PRINTF_LIKE(5, 6);
/* Where lines go: the default writes to stderr. The simulator collects them. "line" has no
 * newline and is borrowed for the call; called on the thread that logs. */
struct log_sink {
    void (*write)(struct log_sink *s, enum log_level lvl, const char *line, size_t size);
};
void log_set_sink(struct log_sink *s); /* NULL: stderr */
/* Supplies the time stamps and the rate limit; kept by pointer. Until it is set (NULL) lines
 * carry no ts and none is suppressed: the daemon sets os_clock() first of all. */
void log_set_clock(struct clock *c);
void log_set_node(const char *node); /* printed with each line; copied, 63 bytes; NULL: none */
/* "*": all. False when there is no such module. */
bool log_set_level(struct str module, enum log_level lvl);
bool log_parse_level(struct str s, enum log_level *out); /* "error", "warn", "info", "debug" */
const char *log_level_name(enum log_level lvl);
/* All modules, linked by "next", in no particular order (to list them for operators). */
const struct log_module *log_modules(void);

#endif
