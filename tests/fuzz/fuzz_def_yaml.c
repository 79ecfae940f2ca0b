/* Definitions as YAML: whatever the text, a verdict; what is accepted is accepted as JSON, too, and is the
 * same definition. */
#include "base/prelude.h"

#include "base/assert.h"
#include "engine/core/core.h"
#include "tests/fuzz/fuzz.h"

static bool parse(struct str text, enum def_format format, struct def **out)
{
    struct def_problems p;
    bool ok;

    def_problems_init(&p);
    ok = def_parse(text, format, out, &p) == ERR_OK;
    ASSERT(ok == (p.len == 0));
    def_problems_fini(&p);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct def *d = NULL, *again = NULL;
    struct buf a, b;

    if (!parse((struct str){(const char *)bytes, size}, DEF_YAML, &d)) {
        return 0;
    }
    buf_init(&a, 0);
    buf_init(&b, 0);
    def_write_canonical(d, &a);
    ASSERT(parse(buf_str(&a), DEF_JSON, &again));
    def_write_canonical(again, &b);
    ASSERT(str_eq(buf_str(&a), buf_str(&b)));
    def_unref(d);
    def_unref(again);
    buf_fini(&a);
    buf_fini(&b);
    return 0;
}
