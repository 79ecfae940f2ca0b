/* Definitions as JSON: whatever the text, a verdict; what is accepted is accepted again in its canonical form,
 * which is a fixed point. */
#include "base/prelude.h"

#include "base/assert.h"
#include "engine/core/core.h"
#include "tests/fuzz/fuzz.h"

static bool parse(struct str text, struct def **out)
{
    struct def_problems p;
    bool ok;

    def_problems_init(&p);
    ok = def_parse(text, DEF_JSON, out, &p) == ERR_OK;
    ASSERT(ok == (p.len == 0) && p.len <= p.errors_max);
    for (uint32_t i = 0; i < p.len; i++) {
        ASSERT(p.v[i].line > 0 && p.v[i].col > 0 && p.v[i].message[0] != 0);
        ASSERT(i == 0 || p.v[i - 1].line < p.v[i].line ||
               (p.v[i - 1].line == p.v[i].line && p.v[i - 1].col <= p.v[i].col));
    }
    def_problems_fini(&p);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct def *d = NULL, *again = NULL;
    struct buf a, b;

    if (!parse((struct str){(const char *)bytes, size}, &d)) {
        return 0;
    }
    buf_init(&a, 0);
    buf_init(&b, 0);
    def_write_canonical(d, &a);
    ASSERT(parse(buf_str(&a), &again));
    def_write_canonical(again, &b);
    ASSERT(str_eq(buf_str(&a), buf_str(&b)));
    ASSERT(def_state_count(d) == def_state_count(again));
    def_unref(d);
    def_unref(again);
    buf_fini(&a);
    buf_fini(&b);
    return 0;
}
