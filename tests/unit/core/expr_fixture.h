/* What the tests of data expressions share: an arena, values from JSON text, an environment. */
#ifndef CARILLON_TESTS_CORE_EXPR_FIXTURE_H
#define CARILLON_TESTS_CORE_EXPR_FIXTURE_H

#include <check.h>

#include "base/json.h"
#include "engine/core/expr.h"

static struct arena fx_arena;
static struct rng fx_rng;
static uint64_t fx_fuel;

static UNUSED void fx_setup(void)
{
    arena_init(&fx_arena, 0);
    rng_seed(&fx_rng, 42);
}

static UNUSED void fx_teardown(void)
{
    arena_fini(&fx_arena);
}

static UNUSED const struct jv *fx_json(const char *text)
{
    const struct jv *v = NULL;
    struct err_detail d = {.code = ERR_OK};
    enum err e = json_parse(&fx_arena, str_of(text), JSON_LIMITS_PAYLOAD, false, &v, &d);
    ck_assert_msg(e == ERR_OK, "%s: %s", text, d.text);
    return v;
}

static UNUSED struct eval_env fx_env(const char *data)
{
    fx_fuel = 10000000;
    return (struct eval_env){
        .data = fx_json(data),
        .context = fx_json("{\"Execution\":{\"Id\":\"e1\",\"Input\":{\"a\":1}},\"State\":"
                           "{\"Name\":\"S\"},\"Map\":{\"Item\":{\"Index\":3,\"Value\":\"v\"}}}"),
        .vars = fx_json("{\"name\":\"n\",\"obj\":{\"k\":[1,2,3]},\"zero\":0}"),
        .rng = &fx_rng,
        .arena = &fx_arena,
        .fuel = &fx_fuel,
    };
}

static UNUSED const char *fx_text(const struct jv *v)
{
    struct buf b;
    buf_init(&b, 0);
    json_write(&b, v);
    struct str s = str_dup(&fx_arena, buf_str(&b));
    buf_fini(&b);
    return s.p;
}

/* Same text, so also the same order of members and the same digits. */
static UNUSED void fx_same(const struct jv *got, const char *wanted, const char *where)
{
    const char *text = fx_text(got);
    ck_assert_msg(strcmp(text, wanted) == 0, "%s: got %s, wanted %s", where, text, wanted);
}

static UNUSED void fx_error(const struct asl_error *err, const char *name, const char *cause,
                            const char *where)
{
    ck_assert_msg(str_eqc(err->name, name), "%s: got %.*s, wanted %s", where, STR_ARG(err->name),
                  name);
    ck_assert_msg(str_eqc(err->cause, cause), "%s: got <%.*s>, wanted <%s>", where,
                  STR_ARG(err->cause), cause);
}

/* Problems of templates and rules, all in one text. */
struct fx_problems {
    struct expr_problems problems;
    struct buf text;
    uint32_t len, lines; /* problems; those that had a position */
};

static UNUSED void fx_report(void *arg, const struct jv *at, const char *message)
{
    struct fx_problems *p = arg;
    p->len++;
    p->lines += at->line > 0;
    buf_printf(&p->text, "%s\n", message);
}

static UNUSED void fx_problems_init(struct fx_problems *p)
{
    *p = (struct fx_problems){.problems = {fx_report, p}};
    buf_init(&p->text, 0);
}

static UNUSED bool fx_problems_have(struct fx_problems *p, const char *part)
{
    buf_putc(&p->text, '\0');
    bool found = strstr(p->text.p, part) != NULL;
    p->text.size--;
    return found;
}

static UNUSED int fx_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static UNUSED TCase *fx_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);
    tcase_add_checked_fixture(tc, fx_setup, fx_teardown);
    tcase_set_timeout(tc, 30);
    suite_add_tcase(suite, tc);
    return tc;
}

#endif
