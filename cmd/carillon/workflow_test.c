/* `carillon workflow check` and `carillon workflow test`: a definition judged and run on the spot, by the
 * same core that the nodes run. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/mem.h"
#include "cmd/carillon/cli.h"
#include "cmd/carillon/mock.h"
#include "cmd/carillon/replay.h"

/* ---- check ---- */

struct check {
    const struct cli *c;
    size_t problems;
};

static void problem_print(struct check *k, const char *file, const struct def_problem *p)
{
    if (!k->c->json) {
        cli_problem(stdout, file, p->line, p->col, p->pointer, p->message);
    } else {
        (void)printf("%s{\"file\":", k->problems == 0 ? "" : ",\n");
        cli_json_string(stdout, file);
        (void)printf(",\"line\":%" PRIu32 ",\"column\":%" PRIu32 ",\"pointer\":", p->line, p->col);
        cli_json_string(stdout, p->pointer);
        (void)printf(",\"message\":");
        cli_json_string(stdout, p->message);
        (void)printf("}");
    }
    k->problems++;
}

static void check_file(struct check *k, const char *path)
{
    struct def_problems p;
    struct def *def = NULL;
    char *text = cli_read_file(path);
    if (text == NULL) {
        const struct def_problem unread = {.pointer = "", .message = "cannot be read"};
        problem_print(k, path, &unread);
        return;
    }
    def_problems_init(&p);
    if (def_parse(str_of(text), DEF_AUTO, &def, &p) != ERR_OK) {
        for (uint32_t i = 0; i < p.len; i++) {
            problem_print(k, cli_file_name(path), &p.v[i]);
        }
    }
    def_unref(def);
    def_problems_fini(&p);
    mem_free(text);
}

int cmd_workflow_check(struct cli *c)
{
    struct check k = {.c = c};
    if (c->json) {
        (void)printf("[");
    }
    for (int i = 0; i < c->args_len; i++) {
        check_file(&k, c->args[i]);
    }
    if (c->json) {
        (void)printf("]\n");
    }
    return k.problems == 0 ? EXIT_OK : EXIT_FAILED;
}

/* ---- test ---- */

struct test {
    const struct cli *c;
    struct arena arena;
    struct def *def;
    struct mocks mocks;
    struct str name; /* of the definition's file, without its ending */
    char *input;
    const struct jv *expected; /* output; NULL: any */
    int passed, failed;
};

static struct str base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str s = str_of(slash == NULL ? path : slash + 1);
    const char *dot = memchr(s.p, '.', s.size);
    return dot == NULL || dot == s.p ? s : (struct str){s.p, (size_t)(dot - s.p)};
}

static bool definition_read(struct test *t, const char *path)
{
    struct def_problems p;
    char *text = cli_read_file(path);
    if (text == NULL) {
        return false;
    }
    def_problems_init(&p);
    bool ok = def_parse(str_of(text), DEF_AUTO, &t->def, &p) == ERR_OK;
    for (uint32_t i = 0; i < p.len && !ok; i++) {
        cli_problem(stderr, cli_file_name(path), p.v[i].line, p.v[i].col, p.v[i].pointer,
                    p.v[i].message);
    }
    def_problems_fini(&p);
    mem_free(text);
    return ok;
}

static bool mocks_load(struct test *t)
{
    struct err_detail d = {ERR_OK, ""};
    char *text = t->c->mock == NULL ? NULL : cli_read_file(t->c->mock);
    if (text == NULL) {
        return t->c->mock == NULL;
    }
    enum err e =
        mocks_read(&t->arena, str_of(text), str_of(t->c->workflow), t->name, &t->mocks, &d);
    mem_free(text);
    if (e == ERR_OK) {
        e = mocks_check(&t->mocks, t->def, &d);
    }
    if (e != ERR_OK) {
        (void)fprintf(stderr, "%s:%s%s\n", t->c->mock,
                      d.text[0] >= '0' && d.text[0] <= '9' ? "" : " ", d.text);
    }
    return e == ERR_OK;
}

/* NULL after a message, or the text of an option that must be JSON. */
static char *json_option(struct test *t, const char *name, const char *value, const struct jv **out)
{
    struct err_detail d = {ERR_OK, ""};
    char *text = cli_read_value(value);
    if (text != NULL &&
        json_parse(&t->arena, str_of(text), JSON_LIMITS_PAYLOAD, false, out, &d) != ERR_OK) {
        (void)fprintf(stderr, "carillon: --%s is no JSON: %s\n", name, d.text);
        mem_free(text);
        text = NULL;
    }
    return text;
}

static bool options_read(struct test *t)
{
    const struct jv *input;
    const struct cli *c = t->c;
    t->input = json_option(t, "input", c->input == NULL ? "{}" : c->input, &input);
    if (t->input == NULL) {
        return false;
    }
    if (c->expect_output != NULL) {
        char *text = json_option(t, "expect-output", c->expect_output, &t->expected);
        mem_free(text);
        if (text == NULL) {
            return false;
        }
    }
    if (c->expect_status != NULL && cli_status_number(c->expect_status) == 0) {
        (void)fprintf(stderr, "carillon: --expect-status is one of RUNNING SUCCEEDED FAILED "
                              "TIMED_OUT ABORTED\n");
        return false;
    }
    return true;
}

/* What is not as expected; NULL: nothing. */
static const char *verdict(struct test *t, const struct replay *r)
{
    const struct cli *c = t->c;
    const char *status = exec_status_name(r->status);
    const char *wanted = c->expect_status;
    const struct jv *output = NULL;
    if (r->reason != NULL) {
        return r->reason;
    }
    if (wanted == NULL && c->expect_error == NULL) {
        wanted = "SUCCEEDED";
    }
    if (wanted != NULL && strcmp(wanted, status) != 0) {
        return arena_printf(&t->arena, "status is %s, expected %s", status, wanted);
    }
    if (c->expect_error != NULL && !str_eqc(r->error, c->expect_error)) {
        return arena_printf(&t->arena, "error is %.*s, expected %s",
                            STR_ARG(r->error.p == NULL ? STR("absent") : r->error),
                            c->expect_error);
    }
    if (t->expected != NULL &&
        (r->output.p == NULL ||
         json_parse(&t->arena, r->output, JSON_LIMITS_PAYLOAD, false, &output, NULL) != ERR_OK ||
         !jv_equal(output, t->expected))) {
        return "the output is not the expected one";
    }
    return NULL;
}

/* How deep a scope is: "" 0, "Fan[1]" 1, "Fan[1]/Each[0]" 2. */
static int depth_of(struct str scope)
{
    int depth = scope.size > 0;
    for (size_t i = 0; i < scope.size; i++) {
        depth += scope.p[i] == '/';
    }
    return depth;
}

/* The first of the event's members that tells something to a reader. */
static void details_print(const struct history_event *e)
{
    static const char *const shown[] = {"name",   "index", "parameters", "input",
                                        "output", "error", "cause"};
    for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
        const struct jv *v = jv_getc(e->details, shown[i]);
        if (v == NULL) {
            continue;
        }
        struct str s = jv_is(v, JV_STRING) ? jv_str(v) : v->raw;
        (void)fputs("  ", stdout);
        cli_text(stdout, str_sub(s, 0, MIN(s.size, (size_t)200)), 12);
    }
}

/* As a tree: what happens in a branch or an iteration stands further to the right. */
static void tree_print(const struct replay *r, struct wall start)
{
    struct str scope = STR("");
    for (uint32_t i = 0; i < r->events_len; i++) {
        const struct history_event *e = &r->events[i];
        int indent = 2 * depth_of(e->scope);
        if (e->scope.size > 0 && !str_eq(e->scope, scope)) {
            (void)printf("%19s%*s", "", indent, "");
            cli_text(stdout, e->scope, 0);
            (void)putchar('\n');
        }
        scope = e->scope;
        (void)printf("%5" PRIu32 " %11.3f %*s %s", e->id, (double)(e->at.us - start.us) / 1e6,
                     indent, "", e->type);
        details_print(e);
        (void)putchar('\n');
    }
}

static void member_add(struct buf *b, const char *name, struct str value)
{
    if (value.p != NULL) {
        buf_printf(b, ",\"%s\":", name);
        json_write_string(b, value);
    }
}

static void json_print(const struct test *t, struct str name, const struct replay *r,
                       const char *problem)
{
    struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, "%s{\"passed\":%s", t->passed + t->failed == 0 ? "" : ",\n",
               problem == NULL ? "true" : "false");
    member_add(&b, "case", name);
    member_add(&b, "problem", str_of(problem));
    member_add(&b, "status", str_of(exec_status_name(r->status)));
    member_add(&b, "output", r->output);
    member_add(&b, "error", r->error);
    member_add(&b, "cause", r->cause);
    buf_puts(&b, ",\"events\":[");
    for (uint32_t i = 0; i < r->events_len; i++) {
        buf_puts(&b, i > 0 ? ",\n" : "");
        history_write(&b, &r->events[i]);
    }
    buf_puts(&b, "]}");
    (void)fwrite(b.p, 1, b.size, stdout);
    buf_fini(&b);
}

static void text_print(struct str name, const struct replay *r, struct wall start,
                       const char *problem)
{
    (void)printf("case %.*s\n", STR_ARG(name));
    tree_print(r, start);
    (void)printf("%s %.*s: ", problem == NULL ? "PASS" : "FAIL", STR_ARG(name));
    if (problem != NULL) {
        cli_text(stdout, str_of(problem), 4);
        (void)fputs("; ", stdout);
    }
    (void)printf("%s after %.3f s", exec_status_name(r->status), (double)r->took_us / 1e6);
    struct str said[] = {r->output, r->error, r->cause};
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        if (said[i].p != NULL) {
            (void)fputs("  ", stdout);
            cli_text(stdout, said[i], 4);
        }
    }
    (void)putchar('\n');
}

/* The clock stands there at the start, whenever it is run. */
enum { START_S = 1735689600 }; /* 2025-01-01T00:00:00Z */

static void case_run(struct test *t, struct str name, struct mock_case *mocked)
{
    struct replay r;
    const struct replay_request q = {.def = t->def,
                                     .input = str_of(t->input),
                                     .tenant = STR("default"),
                                     .workflow = t->name,
                                     .name = name,
                                     .start = {(int64_t)START_S * US_PER_S},
                                     .seed = 1,
                                     .task = mock_task,
                                     .arg = mocked};
    replay_run(&r, &q);
    const char *problem = verdict(t, &r);
    if (t->c->json) {
        json_print(t, name, &r, problem);
    } else {
        text_print(name, &r, q.start, problem);
    }
    t->passed += problem == NULL;
    t->failed += problem != NULL;
    replay_fini(&r);
}

static int cases_run(struct test *t)
{
    const char *only = t->c->test_case;
    if (only != NULL && mocks_find(&t->mocks, str_of(only)) == NULL) {
        (void)fprintf(stderr, "carillon: --case: there is no test case \"%s\"\n", only);
        return EXIT_USAGE;
    }
    if (t->c->json) {
        (void)printf("[");
    }
    if (t->mocks.len == 0) {
        case_run(t, t->name, NULL);
    }
    for (uint32_t i = 0; i < t->mocks.len; i++) {
        if (only == NULL || str_eqc(t->mocks.cases[i].name, only)) {
            case_run(t, t->mocks.cases[i].name, &t->mocks.cases[i]);
        }
    }
    if (t->c->json) {
        (void)printf("]\n");
    } else {
        (void)printf("%d passed, %d failed\n", t->passed, t->failed);
    }
    return t->failed == 0 ? EXIT_OK : EXIT_FAILED;
}

int cmd_workflow_test(struct cli *c)
{
    struct test t = {.c = c, .name = base_name(c->args[0])};
    int rc = EXIT_USAGE;
    arena_init(&t.arena, 0);
    t.name = str_dup(&t.arena, t.name);
    if (!definition_read(&t, c->args[0])) {
        rc = EXIT_FAILED;
    } else if (options_read(&t) && mocks_load(&t)) {
        rc = cases_run(&t);
    }
    def_unref(t.def);
    mem_free(t.input);
    arena_fini(&t.arena);
    return rc;
}
