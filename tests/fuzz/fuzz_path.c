/* Paths and choice rules' paths: what parses says the same again when its text is parsed again,
 * gives at most fuel's worth of work, and what is put at a reference path is got back.
 * Input: the path, a NUL, JSON data (without one: data of our own). */
#include "base/prelude.h"

#include "base/assert.h"
#include "engine/core/expr.h"
#include "tests/fuzz/fuzz.h"

static const char own_data[] =
    "{\"a\":{\"b\":[1,2,{\"c\":\"x\",\"d\":null}]},\"list\":[{\"k\":1,\"v\":\"one\"},{\"k\":2},"
    "[3,[4]]],\"c d\":true,\"n\":-1.5e3}";

static const struct jv *read_data(struct arena *a, struct str text)
{
    const struct jv *v = NULL;
    struct json_limits limits = {.depth = 100, .size = 1 << 16};
    if (text.size == 0 || json_parse(a, text, limits, false, &v, NULL) != ERR_OK) {
        enum err e = json_parse(a, STR(own_data), limits, false, &v, NULL);
        ASSERT(e == ERR_OK);
    }
    return v;
}

static bool evaluate(const struct path *p, struct arena *a, const struct jv *data,
                     const struct jv **out)
{
    uint64_t fuel = 20000;
    struct eval_env env = {.data = data, .context = data, .vars = data, .arena = a, .fuel = &fuel};
    struct asl_error err = {STR_NONE, STR_NONE};
    bool found = path_eval(p, &env, out, &err);
    ASSERT(found ? *out != NULL : err.name.size > 0 && err.cause.size > 0);
    ASSERT(found || str_is_utf8(err.cause));
    return found;
}

static void put_and_get(const struct path *p, struct arena *a, const struct jv *data)
{
    const struct jv *value = jv_string(a, STR("put"));
    const struct jv *root = NULL;
    const struct jv *got = NULL;
    struct asl_error err;
    if (path_put(p, a, data, value, &root, &err)) {
        ASSERT(!path_is_context(p) && path_variable(p).size == 0 ? evaluate(p, a, root, &got)
                                                                 : true);
        ASSERT(got == NULL || got == value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena a;
    arena_init(&a, 16 << 20);
    struct str input = {(const char *)bytes, size};
    const char *nul = size > 0 ? memchr(bytes, 0, size) : NULL;
    size_t path_size = nul != NULL ? (size_t)(nul - input.p) : size;
    struct str text = str_sub(input, 0, path_size);
    const struct jv *data = read_data(&a, str_sub(input, path_size + 1, size));
    const struct path *p = NULL;
    struct err_detail detail = {.code = ERR_OK};
    if (path_parse(&a, text, &p, &detail) != ERR_OK) {
        ASSERT(detail.text[0] != '\0' && p == NULL);
    } else {
        ASSERT(str_eq(path_text(p), text));
        const struct path *again = NULL;
        ASSERT(path_parse(&a, path_text(p), &again, NULL) == ERR_OK);
        ASSERT(path_is_reference(p) == path_is_reference(again));
        const struct jv *one = NULL;
        const struct jv *two = NULL;
        bool found = evaluate(p, &a, data, &one);
        ASSERT(found == evaluate(again, &a, data, &two));
        ASSERT(!found || jv_equal(one, two));
        if (path_is_reference(p)) {
            put_and_get(p, &a, data);
        }
    }
    arena_fini(&a);
    return 0;
}
