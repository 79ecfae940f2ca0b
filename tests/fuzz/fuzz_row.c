/* Stored rows and snapshots over arbitrary bytes: refused or folded, never a crash; what is restored gives its
 * bytes back, and goes on. Input: one byte (row or snapshot), then the bytes. Several rows follow each
 * other, each with its size in two bytes, little endian. */
#include "base/prelude.h"

#include "base/assert.h"
#include "engine/core/exec.h"
#include "tests/fuzz/fuzz.h"

static const char definition[] =
    "{\"StartAt\":\"A\",\"TimeoutSeconds\":1000,\"States\":{\"A\":{\"Type\":\"Task\",\"Resource\":"
    "\"queue:a\","
    "\"ResultPath\":\"$.a\",\"Assign\":{\"v.$\":\"$\"},\"Retry\":[{\"ErrorEquals\":[\"E\"]}],"
    "\"Catch\":[{"
    "\"ErrorEquals\":[\"States.ALL\"],\"ResultPath\":\"$.e\",\"Next\":\"W\"}],\"Next\":\"W\"},"
    "\"W\":{\"Type\":"
    "\"Wait\",\"Seconds\":5,\"Next\":\"P\"},\"P\":{\"Type\":\"Parallel\",\"Branches\":[{"
    "\"StartAt\":\"P1\","
    "\"States\":{\"P1\":{\"Type\":\"Task\",\"Resource\":\"queue:p\",\"End\":true}}},{\"StartAt\":"
    "\"P2\",\"States\":"
    "{\"P2\":{\"Type\":\"Wait\",\"Seconds\":1,\"End\":true}}}],\"Next\":\"M\"},\"M\":{\"Type\":"
    "\"Map\",\"InputPath\":"
    "\"$[0]\",\"ItemsPath\":\"$.l\",\"ItemProcessor\":{\"StartAt\":\"M1\",\"States\":{\"M1\":{"
    "\"Type\":\"Task\","
    "\"Resource\":\"queue:m\",\"End\":true}}},\"OutputPath\":\"$\",\"End\":true}}}";

static struct def *def;

static const struct exec_ident ident = {.id = {{1}},
                                        .tenant = {"1", 1},
                                        .workflow = {"flow", 4},
                                        .name = {"x", 1},
                                        .started_at = {INT64_C(1760000000000000)},
                                        .def_revision = 1};

static void on_event(struct history_sink *sink, const struct history_event *e)
{
    (void)sink;
    ASSERT(e->id > e->previous_id && e->type[0] != 0 && jv_is(e->details, JV_OBJECT));
}

/* A turn on whatever state came out of the bytes: the interpreter trusts what the fold accepted. */
static void go_on(struct exec *x)
{
    struct turn *t = turn_new();
    const struct turn_out *out;
    struct rng rng;

    rng_seed(&rng, 1);
    turn_begin(t, x, (struct wall){INT64_C(1760000001000000)}, &rng);
    (void)turn_end(t, &out);
    turn_free(t);
}

static void restored(struct exec *x)
{
    struct exec *y = NULL;
    struct buf b;

    buf_init(&b, 0);
    exec_snapshot(x, &b);
    if (exec_restore(&ident, def, buf_str(&b), &y, NULL) == ERR_OK) {
        ASSERT(exec_digest(x) == exec_digest(y));
        go_on(y);
        exec_free(y);
    } else {
        ASSERT(false);
    }
    buf_fini(&b);
}

static void rows(struct str s)
{
    struct history_sink sink = {on_event};
    struct exec *x = exec_new(&ident, def);
    uint64_t seq = 0;

    while (s.size >= 2) {
        size_t size = (uint8_t)s.p[0] + 256u * (uint8_t)s.p[1];
        struct str row = str_sub(s, 2, size);
        if (exec_apply_row(x, ++seq, ident.started_at, row, &sink, NULL) != ERR_OK) {
            exec_free(x);
            return;
        }
        s = str_sub(s, 2 + row.size, s.size);
    }
    restored(x);
    exec_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct str s = {(const char *)bytes, size};
    struct def_problems p;
    struct exec *x = NULL;

    if (def == NULL) {
        def_problems_init(&p);
        enum err e = def_parse(STR(definition), DEF_JSON, &def, &p);
        ASSERT(e == ERR_OK);
        def_problems_fini(&p);
    }
    if (size == 0) {
        return 0;
    }
    if (bytes[0] % 2 == 0) {
        rows(str_sub(s, 1, size));
    } else if (exec_restore(&ident, def, str_sub(s, 1, size), &x, NULL) == ERR_OK) {
        restored(x);
        exec_free(x);
    }
    return 0;
}
