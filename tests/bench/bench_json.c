/* How fast JSON is: parse, validate, write. Prints one line a case; not part of the test run.
 * Built by hand, with the libraries of base. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/json.h"

#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(const char *what, const char *name, double seconds, int rounds, size_t size)
{
    double each = seconds / rounds;
    printf("%-9s %-8s %8zu bytes %12.1f ns %9.1f MB/s\n", what, name, size, each * 1e9,
           (double)size / each / 1e6);
}

static void bench(const char *name, struct str text, int rounds)
{
    struct arena a;
    struct buf out;
    const struct jv *v = NULL;
    arena_init(&a, 0);
    buf_init(&out, 0);
    double start = now();
    for (int i = 0; i < rounds; i++) {
        arena_reset(&a, 1u << 26);
        if (json_parse(&a, text, JSON_LIMITS_PAYLOAD, true, &v, NULL) != ERR_OK) {
            abort();
        }
    }
    report("parse", name, now() - start, rounds, text.size);
    start = now();
    for (int i = 0; i < rounds; i++) {
        if (json_validate(text, JSON_LIMITS_PAYLOAD, NULL) != ERR_OK) {
            abort();
        }
    }
    report("validate", name, now() - start, rounds, text.size);
    start = now();
    for (int i = 0; i < rounds; i++) {
        buf_clear(&out);
        json_write(&out, v);
    }
    report("write", name, now() - start, rounds, out.size);
    start = now();
    for (int i = 0; i < rounds; i++) {
        buf_clear(&out);
        json_write_canonical(&out, v);
    }
    report("canonical", name, now() - start, rounds, out.size);
    buf_fini(&out);
    arena_fini(&a);
}

int main(void)
{
    bench("small",
          STR("{\"orderId\":\"A-123456\",\"customer\":\"Jane Doe\",\"amount\":129.95,"
              "\"currency\":\"EUR\",\"items\":[1,2,3,44]}"),
          1000000);
    struct buf b;
    buf_init(&b, 0);
    buf_puts(&b, "[");
    for (int i = 0; i < 2000; i++) {
        buf_printf(&b,
                   "%s{\"id\": %d, \"name\": \"user %d\", \"tags\": [\"a\", \"b\"], "
                   "\"text\": \"line\\nbreak and a longer run of plain text here\"}",
                   i > 0 ? ", " : "", i, i);
    }
    buf_puts(&b, "]");
    bench("records", buf_str(&b), 100);
    buf_clear(&b);
    buf_puts(&b, "{");
    for (int i = 0; i < 10000; i++) {
        buf_printf(&b, "%s\"member number %d\":%d", i > 0 ? "," : "", i, i);
    }
    buf_puts(&b, "}");
    bench("wide", buf_str(&b), 100);
    buf_clear(&b);
    for (int i = 0; i < 1000; i++) {
        buf_puts(&b, "[");
    }
    for (int i = 0; i < 1000; i++) {
        buf_puts(&b, "]");
    }
    bench("deep", buf_str(&b), 1000);
    buf_fini(&b);
    return 0;
}
