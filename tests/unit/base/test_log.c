#include "base/prelude.h"

#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "tests/unit/base/suite.h"

LOG_MODULE("bells");

enum { LINES = 64 };

struct collected {
    struct log_sink sink;
    int lines;
    enum log_level level;
    char line[LINES][LOG_LINE_SIZE + 1];
};
static struct collected got;

static void collect(struct log_sink *s, enum log_level lvl, const char *line, size_t size)
{
    struct collected *c = CONTAINER_OF(s, struct collected, sink);
    ck_assert_uint_le(size, LOG_LINE_SIZE);
    ck_assert_int_lt(c->lines, LINES);
    memcpy(c->line[c->lines], line, size);
    c->line[c->lines][size] = '\0';
    c->level = lvl;
    c->lines++;
}

static int64_t now_us;
static struct mono fake_mono(struct clock *c UNUSED)
{
    return (struct mono){now_us};
}
static struct wall fake_wall(struct clock *c UNUSED)
{
    return (struct wall){INT64_C(1795425130) * US_PER_S + now_us};
}
static struct clock fake = {fake_mono, fake_wall};

static void begin(void)
{
    memset(&got, 0, sizeof(got));
    got.sink.write = collect;
    now_us = 0;
    log_set_sink(&got.sink);
    log_set_clock(&fake);
    log_set_node(NULL);
    ck_assert(log_set_level(STR("*"), LOG_INFO));
}

static void check_tail(const char *tail)
{
    const char *line = got.line[got.lines - 1];
    ck_assert_msg(str_ends(str_of(line), str_of(tail)), "%s", line);
}

START_TEST(line_form)
{
    begin();
    log_set_node("n1");
    log_warn("claim \"refused\"", "partition=%s epoch=%d", "a/w01/l02", 7);
    ck_assert_int_eq(got.level, LOG_WARN);
    ck_assert(str_starts(str_of(got.line[0]), STR("ts=2026-11-23T09:12:10.000000Z level=warn "
                                                  "msg=\"claim \\\"refused\\\"\" code=")));
    check_tail(" component=bells node=n1 partition=a/w01/l02 epoch=7");
    log_set_node(NULL);
    log_error("no fields");
    check_tail(" component=bells");
    log_set_clock(NULL);
    log_error("no clock", "a=%d", 1);
    ck_assert(str_starts(str_of(got.line[2]), STR("level=error msg=\"no clock\" code=")));
}
END_TEST

START_TEST(codes_name_the_message)
{
    begin();
    for (int i = 0; i < 2; i++) {
        log_info("one", "i=%d", i);
        log_info("two", "i=%d", i);
    }
    char code[4][9];
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(sscanf(strstr(got.line[i], "code="), "code=%8s", code[i]), 1);
    }
    ck_assert_str_eq(code[0], code[2]);
    ck_assert_str_eq(code[1], code[3]);
    ck_assert_str_ne(code[0], code[1]);
}
END_TEST

START_TEST(control_bytes_are_escaped)
{
    begin();
    log_info("x", "v=%s", "a\nb\tc\rd\x1b[31m\x7f\\\xc3\xa4");
    check_tail(" v=a\\nb\\tc\\rd\\x1b[31m\\x7f\\\xc3\xa4");
    log_info("new\nline", "v=1");
    ck_assert_ptr_nonnull(strstr(got.line[1], "msg=\"new\\nline\""));
}
END_TEST

START_TEST(long_lines_are_cut)
{
    static char big[5000];
    begin();
    for (int size = 1800; size < 2200; size += 10) {
        memset(big, 'x', sizeof(big));
        big[size] = '\0';
        now_us += US_PER_S;
        got.lines = 0;
        log_info("long", "v=%s end=1", big);
        size_t line = strlen(got.line[0]);
        ck_assert_uint_le(line, LOG_LINE_SIZE);
        bool whole = str_ends(str_of(got.line[0]), STR(" end=1"));
        bool cut = str_ends(str_of(got.line[0]), STR("xxx..."));
        if (!whole && !cut) {
            cut = str_ends(str_of(got.line[0]), STR("...")); /* within " end=1" */
        }
        ck_assert(whole != cut);
        ck_assert(size > 1900 || whole);
        ck_assert(size < 2050 || cut);
    }
}
END_TEST

START_TEST(levels)
{
    begin();
    log_debug("unseen");
    ck_assert_int_eq(got.lines, 0);
    ck_assert(log_set_level(STR("bells"), LOG_DEBUG)); /* before any line of the module */
    log_debug("seen");
    ck_assert_int_eq(got.lines, 1);
    ck_assert(log_set_level(STR("bells"), LOG_ERROR));
    log_warn("unseen");
    log_error("seen");
    ck_assert_int_eq(got.lines, 2);
    ck_assert(!log_set_level(STR("no such module"), LOG_DEBUG));
    bool found = false;
    for (const struct log_module *m = log_modules(); m != NULL; m = m->next) {
        found = found || (strcmp(m->name, "bells") == 0 && m->level == LOG_ERROR);
    }
    ck_assert(found);
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        enum log_level lvl;
        ck_assert(log_parse_level(str_of(log_level_name((enum log_level)i)), &lvl));
        ck_assert_int_eq((int)lvl, i);
    }
    enum log_level lvl;
    ck_assert(!log_parse_level(STR("INFO"), &lvl) && !log_parse_level(STR_NONE, &lvl));
}
END_TEST

static void flood(void)
{
    log_info("flood", "x=1");
}

START_TEST(each_site_is_limited)
{
    begin();
    now_us = 5 * US_PER_S;
    int64_t kept_back = metric_value(&metric_log_suppressed);
    for (int i = 0; i < 35; i++) {
        flood();
    }
    ck_assert_int_eq(got.lines, 10);
    log_info("another site", "x=2"); /* is not concerned */
    ck_assert_int_eq(got.lines, 11);
    ck_assert_int_eq(metric_value(&metric_log_suppressed), kept_back + 25);
    now_us += US_PER_S;
    flood();
    check_tail(" component=bells suppressed=25 x=1");
    flood();
    check_tail(" component=bells x=1");
    log_set_clock(NULL); /* no clock, no limit */
    for (int i = 0; i < 20; i++) {
        flood();
    }
    ck_assert_int_eq(got.lines, 33);
}
END_TEST

static void to_stderr(void)
{
    log_set_sink(NULL);
    log_set_clock(NULL);
    log_info("to stderr", "v=%s", "a\nb");
    abort();
}

START_TEST(default_sink_is_stderr)
{
    char out[1024];
    ck_assert(suite_aborts(to_stderr, out, sizeof(out)));
    ck_assert(str_starts(str_of(out), STR("level=info msg=\"to stderr\" ")));
    ck_assert(str_ends(str_of(out), STR(" v=a\\nb\n")));
}
END_TEST

static int64_t sunk; /* atomic */
static void sink_count(struct log_sink *s UNUSED, enum log_level lvl UNUSED, const char *line,
                       size_t size)
{
    ck_assert(str_starts((struct str){line, size}, STR("ts=")));
    __atomic_add_fetch(&sunk, 1, __ATOMIC_RELAXED);
}

static void log_many(void *arg UNUSED)
{
    for (int i = 0; i < 2000; i++) {
        log_info("from threads", "i=%d", i);
        log_debug("also", "i=%d", i);
    }
}

START_TEST(threads)
{
    static struct log_sink sink = {sink_count};
    struct thread t[4];
    begin();
    log_set_sink(&sink);
    now_us = 99 * US_PER_S;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_start(&t[i], "logger", log_many, NULL);
    }
    for (int i = 0; i < 100; i++) { /* settings change meanwhile */
        log_set_node(i % 2 == 0 ? "even" : "odd");
        (void)log_set_level(STR("bells"), i % 2 == 0 ? LOG_DEBUG : LOG_INFO);
    }
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_join(&t[i]);
    }
    log_set_sink(NULL);
    int64_t n = __atomic_load_n(&sunk, __ATOMIC_RELAXED);
    ck_assert_int_ge(n, LOG_PER_SECOND); /* two sites, one second; racing resets allow a few more */
    ck_assert_int_le(n, 2 * LOG_PER_SECOND + 8);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        line_form, codes_name_the_message, control_bytes_are_escaped, long_lines_are_cut,
        levels,    each_site_is_limited,   default_sink_is_stderr,    threads,
        NULL};
    return suite_run("log", tests);
}
