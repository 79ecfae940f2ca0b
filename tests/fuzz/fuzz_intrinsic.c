/* Expressions, templates and choice rules. Input: first character 'T' or 'R': JSON of a template or
 * a rule follows; else an expression (path or intrinsic function). What parses is evaluated twice
 * with little fuel and memory; with the same random numbers both give the same. */
#include "base/prelude.h"

#include "base/assert.h"
#include "engine/core/expr.h"
#include "tests/fuzz/fuzz.h"

static const char own_data[] =
    "{\"s\":\"a,b;c\",\"t\":\"x {} y\",\"l\":[3,1,3,\"1\",1.0,{\"a\":1},{\"a\":1}],\"o\":{\"p\":1},"
    "\"j\":\"{\\\"k\\\":[1]}\",\"b\":\"YWJj\",\"n\":2.5,\"at\":\"2012-10-09T19:00:55Z\"}";

static void report(void *arg, const struct jv *at, const char *message)
{
    uint32_t *problems = arg;
    ASSERT(at != NULL && message[0] != '\0');
    (*problems)++;
}

struct subject {
    const struct expr *expr;
    const struct tmpl *tmpl;
    const struct rule *rule;
};

static bool parse(struct arena *a, struct str input, struct subject *out)
{
    const struct jv *v = NULL;
    uint32_t problems = 0;
    struct expr_problems p = {report, &problems};
    struct json_limits limits = {.depth = 64, .size = 1 << 16};
    struct err_detail detail = {.code = ERR_OK};
    char kind = input.size > 0 ? input.p[0] : '\0';
    if (kind != 'T' && kind != 'R') {
        enum err e = expr_parse(a, input, &out->expr, &detail);
        ASSERT((e == ERR_OK) == (out->expr != NULL) && (e == ERR_OK || detail.text[0] != '\0'));
        return e == ERR_OK;
    }
    if (json_parse(a, str_sub(input, 1, input.size), limits, false, &v, NULL) != ERR_OK) {
        return false;
    }
    if (kind == 'T') {
        out->tmpl = tmpl_parse(a, v, &p);
    } else {
        out->rule = rule_parse(a, v, true, &p);
    }
    ASSERT((out->tmpl == NULL && out->rule == NULL) == (problems > 0));
    return problems == 0;
}

static bool evaluate(const struct subject *s, struct arena *a, const struct jv *data,
                     const struct jv **out)
{
    struct rng rng;
    rng_seed(&rng, 1);
    uint64_t fuel = 5000;
    struct eval_env env = {
        .data = data, .context = data, .vars = data, .rng = &rng, .arena = a, .fuel = &fuel};
    struct asl_error err = {STR_NONE, STR_NONE};
    bool holds = false;
    bool done;
    if (s->expr != NULL) {
        done = expr_eval(s->expr, &env, out, &err);
    } else if (s->tmpl != NULL) {
        done = tmpl_eval(s->tmpl, &env, out, &err);
    } else {
        done = rule_eval(s->rule, &env, &holds, &err);
        *out = done ? jv_bool(holds) : NULL;
    }
    ASSERT(done ? *out != NULL : err.name.size > 0 && err.cause.size > 0);
    return done;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena definition;
    struct arena work;
    arena_init(&definition, 4 << 20);
    arena_init(&work, 4 << 20);
    struct subject s = {NULL, NULL, NULL};
    if (parse(&definition, (struct str){(const char *)bytes, size}, &s)) {
        const struct jv *data = NULL;
        enum err e =
            json_parse(&definition, STR(own_data), JSON_LIMITS_PAYLOAD, false, &data, NULL);
        ASSERT(e == ERR_OK);
        const struct jv *one = NULL;
        const struct jv *two = NULL;
        bool done = evaluate(&s, &work, data, &one);
        bool again = evaluate(&s, &work, data, &two);
        ASSERT(done == again || work.failed);
        ASSERT(!done || !again || jv_equal(one, two));
    }
    arena_fini(&definition);
    arena_fini(&work);
    return 0;
}
