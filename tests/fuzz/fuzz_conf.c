/* Configuration: a file, then variables, then settings, parted by lines of "===". Whatever they say, a
 * configuration or problems; what loads can be shown as YAML, equals itself, and no value of a secret
 * is in what is shown; a problem of the file has a place in it. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/yaml.h"
#include "conf/conf.h"
#include "tests/fuzz/fuzz.h"

enum { LINES_MAX = 32 };

/* Takes what stands before the next line "===". */
static struct str section(struct str *rest)
{
    const char *end = rest->size > 0 ? memmem(rest->p, rest->size, "\n===\n", 5) : NULL;
    struct str s = end != NULL ? str_sub(*rest, 0, (size_t)(end - rest->p)) : *rest;
    *rest = str_sub(*rest, s.size + 5, rest->size);
    return s;
}

static struct str line(struct str *rest)
{
    const char *end = rest->size > 0 ? memchr(rest->p, '\n', rest->size) : NULL;
    struct str s = str_sub(*rest, 0, end != NULL ? (size_t)(end - rest->p) : rest->size);
    *rest = str_sub(*rest, s.size + 1, rest->size);
    return s;
}

static void variables_of(struct arena *a, struct str text, const char **out)
{
    for (int i = 0; i < LINES_MAX && text.size > 0; i++) {
        struct str one = line(&text);
        *out++ = arena_strndup(a, one.p, one.size);
    }
    *out = NULL;
}

static size_t flags_of(struct str text, struct conf_flag *out)
{
    size_t n = 0;
    while (n < LINES_MAX && text.size > 0) {
        struct str one = line(&text);
        const char *equals = one.size > 0 ? memchr(one.p, '=', one.size) : NULL;
        size_t at = equals != NULL ? (size_t)(equals - one.p) : one.size;
        out[n++] = (struct conf_flag){"--set", str_sub(one, 0, at), str_sub(one, at + 1, one.size)};
    }
    return n;
}

/* Files whose names begin with '/' are there. */
static enum err read_secret(void *arg, const char *path, struct buf *out, struct err_detail *d)
{
    (void)arg;
    if (path[0] == '/') {
        buf_puts(out, path + 1);
        return ERR_OK;
    }
    return err_set(d, ERR_NOT_FOUND, "no such file");
}

static void check_good(const struct conf *c, struct arena *a)
{
    struct buf text;
    struct conf_change *changes;
    struct conf_problems notes;
    const struct jv *v = NULL;
    struct yaml_limits limits = {.depth = 32, .nodes = 100000, .size = 4u << 20};
    buf_init(&text, 0);
    conf_print(c, &text);
    ASSERT(yaml_parse(a, buf_str(&text), limits, &v, NULL) == ERR_OK && jv_is(v, JV_OBJECT));
    ASSERT(conf_diff(c, c, a, &changes) == 0);
    struct str password = c->database_password;
    ASSERT(password.size < 40 || memmem(text.p, text.size, password.p, password.size) == NULL);
    ASSERT(conf_turn_loops(c) <= 1000 && conf_scheduler(c, "BATCH")->items > 0);
    ASSERT((conf_conninfo(c, a).p == NULL) == (c->database_url.p == NULL));
    conf_problems_init(&notes);
    conf_notes(c, &notes);
    conf_problems_fini(&notes);
    buf_fini(&text);
}

static void check_bad(const struct conf_problems *p, struct str file)
{
    uint32_t lines = 2;
    for (size_t i = 0; i < file.size; i++) {
        lines += file.p[i] == '\n' || file.p[i] == '\r';
    }
    ASSERT(p->len > 0 && p->len <= CONF_PROBLEMS_MAX);
    for (uint32_t i = 0; i < p->len; i++) {
        ASSERT(p->v[i].text.size > 0 && p->v[i].from.line <= lines);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena a;
    struct conf_problems problems;
    const char *variables[LINES_MAX + 1];
    struct conf_flag flags[LINES_MAX];
    struct str rest = {(const char *)bytes, size};
    arena_init(&a, 0);
    struct conf_file file = {.name = "file", .text = section(&rest)};
    variables_of(&a, section(&rest), variables);
    struct conf_source source = {.files = &file,
                                 .files_len = 1,
                                 .environment = variables,
                                 .flags = flags,
                                 .flags_len = flags_of(section(&rest), flags),
                                 .cpus = 4,
                                 .read = read_secret};
    conf_problems_init(&problems);
    struct conf *c = conf_load(&source, &problems);
    if (c != NULL) {
        check_good(c, &a);
    } else {
        check_bad(&problems, file.text);
    }
    conf_free(c);
    conf_problems_fini(&problems);
    arena_fini(&a);
    return 0;
}
