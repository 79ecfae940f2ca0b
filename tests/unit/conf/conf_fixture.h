/* What the tests of conf/ share: loading literals, and what came of it as text. */
#ifndef CARILLON_TESTS_UNIT_CONF_FIXTURE_H
#define CARILLON_TESTS_UNIT_CONF_FIXTURE_H

#include "base/prelude.h"

#include "base/json.h"
#include "base/os.h"
#include "base/yaml.h"
#include "conf/conf.h"

#include <check.h>

static struct conf *conf;
static struct conf_problems problems;
static struct buf out;
static struct arena arena;

static inline void setup(void)
{
    conf = NULL;
    conf_problems_init(&problems);
    buf_init(&out, 0);
    arena_init(&arena, 0);
}

static inline void teardown(void)
{
    conf_free(conf);
    conf_problems_fini(&problems);
    buf_fini(&out);
    arena_fini(&arena);
}

/* Files named f1.yaml, f2.yaml, ...; variables; flags "--name path value" as triples. */
struct given {
    const char *files[4];
    const char *environment[8];
    const char *flags[8][3];
    uint32_t cpus;
};

/* The contents of "files" that secrets name: the path says what is in them. */
static inline enum err fake_read(void *arg, const char *path, struct buf *bytes,
                                 struct err_detail *d)
{
    (void)arg;
    struct str p = str_of(path);
    if (str_starts(p, STR("say:"))) {
        buf_put_str(bytes, str_sub(p, 4, p.size));
        buf_puts(bytes, "\n");
        return ERR_OK;
    }
    if (str_eqc(p, "denied")) {
        return err_set(d, ERR_DENIED, "%s: Permission denied", path);
    }
    return err_set(d, ERR_NOT_FOUND, "%s: No such file or directory", path);
}

static inline bool load(const struct given *g)
{
    static const char *const names[] = {"f1.yaml", "f2.yaml", "f3.yaml", "f4.yaml"};
    struct conf_file files[4];
    struct conf_flag flags[8];
    struct conf_source s = {.files = files,
                            .environment = g->environment,
                            .flags = flags,
                            .cpus = g->cpus,
                            .read = fake_read};
    for (; s.files_len < 4 && g->files[s.files_len] != NULL; s.files_len++) {
        files[s.files_len] = (struct conf_file){names[s.files_len], str_of(g->files[s.files_len])};
    }
    for (; s.flags_len < 8 && g->flags[s.flags_len][0] != NULL; s.flags_len++) {
        const char *const *f = g->flags[s.flags_len];
        flags[s.flags_len] = (struct conf_flag){f[0], str_of(f[1]), str_of(f[2])};
    }
    conf_free(conf);
    conf_problems_fini(&problems);
    conf_problems_init(&problems);
    conf = conf_load(&s, &problems);
    ck_assert((conf == NULL) == (problems.len > 0));
    return conf != NULL;
}

static inline const char *text_of(struct buf *b)
{
    buf_putc(b, '\0');
    return b->p;
}

/* All problems, a line each. */
static inline const char *problems_text(const struct conf_problems *p)
{
    buf_clear(&out);
    for (uint32_t i = 0; i < p->len; i++) {
        conf_problem_print(&out, &p->v[i]);
        buf_putc(&out, '\n');
    }
    return text_of(&out);
}

static inline void load_good(const struct given *g)
{
    bool good = load(g);
    ck_assert_msg(good, "%s", problems_text(&problems));
}

static inline const char *load_bad(const struct given *g)
{
    ck_assert(!load(g));
    return problems_text(&problems);
}

/* What --print-config says of one leaf, as a JSON value. */
static inline const struct jv *leaf(const char *path)
{
    const struct jv *v = NULL;
    struct err_detail d = {0};
    buf_clear(&out);
    conf_print(conf, &out);
    enum err e = yaml_parse(&arena, buf_str(&out), YAML_LIMITS, &v, &d);
    ck_assert_msg(e == ERR_OK, "%s", d.text);
    ck_assert_msg(jv_getc(v, path) != NULL, "no leaf %s", path);
    return jv_getc(v, path);
}

static inline const char *leaf_value(const char *path)
{
    struct buf b;
    buf_init(&b, 0);
    json_write(&b, jv_getc(leaf(path), "value"));
    const char *text = str_dup(&arena, buf_str(&b)).p;
    buf_fini(&b);
    return text;
}

static inline const char *leaf_origin(const char *path)
{
    return str_dup(&arena, jv_str(jv_getc(leaf(path), "origin"))).p;
}

static inline bool leaf_in_force(const char *path)
{
    return jv_is(jv_getc(leaf(path), "in_force"), JV_TRUE);
}

static inline int run_suite(const char *name, void (*add)(TCase *t))
{
    Suite *s = suite_create(name);
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    add(t);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
