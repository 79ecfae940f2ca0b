/* The msgpack reader on any bytes: a message that is read value by value and written again by our
 * writer reads back as the same (the second writing equals the first); skipping and reading agree
 * on what is a message; each read stays in bounds and errors are sticky. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/pack.h"
#include "tests/fuzz/fuzz.h"

static void copy_value(struct pack_reader *r, struct buf *out, uint32_t depth)
{
    const uint8_t *before = r->p;
    uint32_t n;
    switch (pack_peek(r)) {
    case PACK_NIL:
        pack_read_nil(r);
        pack_nil(out);
        break;
    case PACK_BOOL:
        pack_bool(out, pack_read_bool(r));
        break;
    case PACK_INT:
        pack_i64(out, pack_read_i64(r));
        break;
    case PACK_UINT:
        pack_u64(out, pack_read_u64(r));
        break;
    case PACK_FLOAT:
        pack_double(out, pack_read_double(r));
        break;
    case PACK_STR:
        pack_str(out, pack_read_str(r, SIZE_MAX));
        break;
    case PACK_BIN:
        pack_bin(out, pack_read_bin(r, SIZE_MAX));
        break;
    case PACK_ARRAY:
    case PACK_MAP:
        if (depth == PACK_DEPTH_MAX) {
            pack_fail(r, ERR_TOO_LARGE, "too deep");
            return;
        }
        if (pack_peek(r) == PACK_ARRAY) {
            n = pack_read_array(r, UINT32_MAX);
            pack_array(out, n);
        } else {
            n = pack_read_map(r, UINT32_MAX);
            pack_map(out, n);
            n = pack_ok(r) ? 2 * n : 0;
        }
        for (uint32_t i = 0; i < n && pack_ok(r); i++) {
            copy_value(r, out, depth + 1);
        }
        break;
    case PACK_END:
        pack_skip(r); /* no value: an error */
        ASSERT(!pack_ok(r));
        break;
    }
    ASSERT(r->p >= before && r->p <= r->end);
    ASSERT(pack_ok(r) ? r->p > before : r->err_at <= (size_t)(r->end - r->start));
}

static enum err copy_message(struct str bytes, struct buf *out)
{
    struct pack_reader r;
    pack_reader_init(&r, bytes);
    copy_value(&r, out, 0);
    struct err_detail d = {.code = ERR_OK};
    enum err e = pack_reader_done(&r, &d);
    ASSERT((e == ERR_OK) == (d.text[0] == '\0'));
    if (e != ERR_OK) {
        ASSERT(pack_peek(&r) == PACK_END && pack_read_i64(&r) == 0);
        ASSERT(pack_read_bin(&r, SIZE_MAX).p == NULL && pack_read_map(&r, UINT32_MAX) == 0);
        ASSERT(pack_reader_done(&r, NULL) == e);
    }
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct str message = {(const char *)bytes, size};
    struct buf first, second;
    buf_init(&first, 0);
    buf_init(&second, 0);
    struct pack_reader r;
    pack_reader_init(&r, message);
    pack_skip(&r);
    enum err skipped = pack_reader_done(&r, NULL);
    enum err copied = copy_message(message, &first);
    ASSERT((skipped == ERR_OK) == (copied == ERR_OK)); /* the first fault may be named otherwise */
    if (copied == ERR_OK) {
        ASSERT(copy_message(buf_str(&first), &second) == ERR_OK);
        ASSERT(str_eq(buf_str(&first), buf_str(&second)));
    }
    buf_fini(&first);
    buf_fini(&second);
    return 0;
}
