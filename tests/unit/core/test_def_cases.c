/* Verdicts of other judges on definitions (CARILLON_ASL_CASES, or ../shared/asl-cases next to the source
 * tree; without it one line says so and nothing is tested). */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include <dirent.h>

#include "tests/unit/core/core_fixture.h"

enum { SKIPPED = 77 };

/* Where we differ on purpose. */
static const struct {
    const char *id, *why;
} differ[] = {
    {"asl-validator.valid-cfn-definition-substitutions",
     "a placeholder is for a tool that replaces it"},
    {"asl-validator.valid-task-intrisic-function", "Resource is an object of CloudFormation"},
    {"aws.test_sfn_api_validation.TestSfnApiValidation.test_validate_state_machine_definition_type_"
     "express.ILLEGAL_WFTT-r0",
     "there are no EXPRESS machines"},
};

static char folder[4096];

static bool read_case(const char *name, struct buf *out)
{
    char path[8192];
    FILE *f;
    int c;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "rb");
    if (f == NULL) {
        return false;
    }
    while ((c = getc(f)) != EOF) {
        buf_putc(out, (char)c);
    }
    (void)fclose(f);
    return true;
}

static struct str definition_of(const struct jv *doc, struct buf *out)
{
    if (jv_getc(doc, "definition_text") != NULL) {
        return jv_str(jv_getc(doc, "definition_text"));
    }
    json_write(out, jv_getc(doc, "definition"));
    return buf_str(out);
}

static bool accepted(struct str text, char *message, size_t size)
{
    struct def_problems p;
    struct def *d = NULL;
    bool ok;

    def_problems_init(&p);
    ok = def_parse(text, DEF_JSON, &d, &p) == ERR_OK;
    (void)snprintf(message, size, "%s: %s", ok ? "" : p.v[0].pointer,
                   ok ? "accepted" : p.v[0].message);
    def_unref(d);
    def_problems_fini(&p);
    return ok;
}

static bool known_difference(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(differ); i++) {
        if (strncmp(name, differ[i].id, strlen(differ[i].id)) == 0) {
            return true;
        }
    }
    return false;
}

/* 1 judged and equal, 0 not for us; fails on another verdict. */
static int judge(const char *name)
{
    struct buf file, text;
    struct arena a;
    const struct jv *doc;
    char message[1200];
    struct str def;
    int judged = 0;

    buf_init(&file, 0);
    buf_init(&text, 0);
    arena_init(&a, 0);
    ck_assert(read_case(name, &file));
    ck_assert(json_parse(&a, buf_str(&file), JSON_LIMITS_PAYLOAD, true, &doc, NULL) == ERR_OK);
    def = definition_of(doc, &text);
    if (memmem(def.p, def.size, "JSONata", 7) == NULL && !known_difference(name)) {
        bool want = jv_is(jv_getc(doc, "valid"), JV_TRUE);
        bool got = accepted(def, message, sizeof(message));
        ck_assert_msg(got == want, "%s: %s (%.*s)", name, message,
                      STR_ARG(jv_str(jv_getc(doc, "reason"))));
        judged = 1;
    }
    arena_fini(&a);
    buf_fini(&text);
    buf_fini(&file);
    return judged;
}

START_TEST(test_cases)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    int n = 0;

    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)) != NULL) {
        if (str_ends(str_of(e->d_name), STR(".json"))) {
            n += judge(e->d_name);
        }
    }
    (void)closedir(d);
    ck_assert_int_gt(n, 80);
}
END_TEST

int main(void)
{
    Suite *s;
    TCase *t;
    const char *root = getenv("CARILLON_ASL_CASES"), *source = getenv("CARILLON_SOURCE");
    DIR *d;

    if (root != NULL) {
        (void)snprintf(folder, sizeof(folder), "%s/definitions", root);
    } else {
        (void)snprintf(folder, sizeof(folder), "%s/../shared/asl-cases/definitions",
                       source == NULL ? "." : source);
    }
    d = opendir(folder);
    if (d == NULL) {
        printf("SKIP def_cases: no folder %s\n", folder);
        return SKIPPED;
    }
    (void)closedir(d);
    s = suite_create("def_cases");
    t = tcase_create("def_cases");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_cases);
    suite_add_tcase(s, t);
    return cx_main(s);
}
