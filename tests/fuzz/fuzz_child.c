/* What passes between parent and child, from arbitrary bytes: what a child said of its end is refused or
 * makes valid JSON within the limits; parameters of a call are refused in words or make a start that
 * the engine may try. Input: one byte (end or call), then the bytes. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/limits.h"
#include "engine/core/child.h"
#include "tests/fuzz/fuzz.h"

static void end(struct str s)
{
    struct child_end e;
    struct buf b;

    if (!child_end_read(s, &e) || json_validate(e.input, JSON_LIMITS_PAYLOAD, NULL) != ERR_OK ||
        !str_is_utf8(e.error) || !str_is_utf8(e.cause) || !str_is_utf8(e.ident.workflow) ||
        !str_is_utf8(e.ident.name) || !str_is_utf8(e.ident.tenant)) {
        return; /* the store's own texts are; what else comes is judged by the fold */
    }
    buf_init(&b, 0);
    if (e.status != EXEC_SUCCEEDED) {
        child_cause_write(&b, &e);
        ASSERT(b.size <= CAUSE_SIZE_MAX ||
               e.ident.name.size + e.ident.workflow.size > NAME_SIZE_MAX ||
               e.error.size > ERROR_NAME_SIZE_MAX || e.ident.tenant.size > NAME_SIZE_MAX);
        ASSERT(json_validate(buf_str(&b), JSON_LIMITS_PAYLOAD, NULL) == ERR_OK);
    } else if (json_validate(e.output, JSON_LIMITS_PAYLOAD, NULL) == ERR_OK) {
        child_output_write(&b, &e, false);
        ASSERT(json_validate(buf_str(&b), JSON_LIMITS_PAYLOAD, NULL) == ERR_OK);
    }
    buf_fini(&b);
}

static void call(struct str s)
{
    static const struct task_token token = {.nonce = 1};
    struct arena a;
    struct child_ask ask;
    struct child_error e;

    arena_init(&a, 0);
    if (json_validate(s, JSON_LIMITS_PAYLOAD, NULL) == ERR_OK) {
        if (child_ask_parse(&a, s, &token, &ask, &e)) {
            ASSERT(str_is_name(ask.workflow) && str_is_name(ask.name));
            ASSERT(json_validate(ask.input, JSON_LIMITS_PAYLOAD, NULL) == ERR_OK);
        } else {
            ASSERT(str_starts(e.name, STR("StepFunctions.")) && e.cause.size > 0);
        }
    }
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct str s = {(const char *)bytes, size};

    if (size > 0) {
        s = str_sub(s, 1, size);
        if (bytes[0] % 2 == 0) {
            end(s);
        } else {
            call(s);
        }
    }
    return 0;
}
