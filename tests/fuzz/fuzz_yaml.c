/* YAML: what parses is a tree within the limits, each value with a place in the text, and its JSON
 * text reads back as the same value; what does not parse says where and why. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/yaml.h"
#include "tests/fuzz/fuzz.h"

/* Counts the values; checks that each lies in the text and no deeper than allowed. */
static uint32_t walk(const struct jv *v, uint32_t lines, uint32_t depth)
{
    ASSERT(v->line >= 1 && v->line <= lines && v->col >= 1);
    uint32_t n = 1;
    for (uint32_t i = 0; i < v->len; i++) {
        ASSERT(depth < YAML_LIMITS.depth);
        if (v->type == JV_OBJECT) {
            const struct jmember *m = &v->u.members[i];
            ASSERT(m->line >= 1 && m->line <= lines && str_is_utf8(m->name));
            ASSERT(jv_get(v, m->name) == m->value);
            n += 1 + walk(m->value, lines, depth + 1);
        } else {
            n += walk(v->u.items[i], lines, depth + 1);
        }
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena a;
    arena_init(&a, 0);
    const struct jv *v = NULL;
    struct err_detail detail = {.code = ERR_OK};
    struct str text = {(const char *)bytes, size};
    enum err e = yaml_parse(&a, text, YAML_LIMITS, &v, &detail);
    ASSERT((e == ERR_OK) == (v != NULL) && (e == ERR_OK) == (detail.text[0] == '\0'));
    if (v != NULL) {
        uint32_t lines = 2; /* an empty value may stand at the end, behind the last line break */
        for (size_t i = 0; i < size; i++) {
            lines += bytes[i] == '\n' || bytes[i] == '\r';
        }
        ASSERT(walk(v, lines, 0) <= YAML_LIMITS.nodes);
        struct buf b;
        buf_init(&b, 0);
        json_write(&b, v);
        const struct jv *again = NULL;
        e = json_parse(&a, buf_str(&b), JSON_LIMITS_PAYLOAD, true, &again, NULL);
        ASSERT(e == ERR_OK && jv_equal(v, again));
        buf_fini(&b);
    }
    arena_fini(&a);
    return 0;
}
