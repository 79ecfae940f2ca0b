/* The message codec on any frame: what decodes without error is within the limits of the table,
 * encodes again, and that decodes to the same bytes; a bad message is answered with what is known of
 * it and does not stop the next; the arena bounds the memory. */
#include "base/prelude.h"

#include "base/assert.h"
#include "net/msg.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_MAX = 16 << 20 };

static void again(const struct msg *m)
{
    struct arena a;
    struct buf first;
    struct buf second;
    struct buf line;
    struct msg_writer w;
    struct msg_reader r;
    struct msg back;
    enum err e;
    arena_init(&a, ARENA_MAX);
    buf_init(&first, 0);
    buf_init(&second, 0);
    buf_init(&line, 0);
    msg_writer_begin(&w, &first);
    ASSERT(msg_writer_add(&w, m, NULL) == ERR_OK);
    msg_writer_end(&w);
    ASSERT(msg_reader_begin(&r, buf_str(&first), &a, NULL) == ERR_OK);
    ASSERT(msg_reader_next(&r, &back, &e, NULL) && e == ERR_OK);
    ASSERT(back.type == m->type && back.corr == m->corr);
    ASSERT(msg_reader_end(&r, NULL) == ERR_OK);
    msg_writer_begin(&w, &second);
    ASSERT(msg_writer_add(&w, &back, NULL) == ERR_OK);
    msg_writer_end(&w);
    ASSERT(str_eq(buf_str(&first), buf_str(&second)));
    msg_format(&line, m);
    ASSERT(str_is_utf8(buf_str(&line)) || line.size > 64); /* a long text is cut anywhere */
    buf_fini(&line);
    buf_fini(&second);
    buf_fini(&first);
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena a;
    struct msg_reader r;
    struct msg m;
    enum err e;
    struct err_detail d = {.code = ERR_OK};
    arena_init(&a, ARENA_MAX);
    enum err begun = msg_reader_begin(&r, (struct str){(const char *)bytes, size}, &a, &d);
    ASSERT((begun == ERR_OK) == (d.code == ERR_OK));
    uint32_t seen = 0;
    d = (struct err_detail){.code = ERR_OK};
    while (begun == ERR_OK && msg_reader_next(&r, &m, &e, &d)) {
        seen++;
        ASSERT((e == ERR_OK) == (d.text[0] == '\0'));
        if (e == ERR_OK) {
            again(&m);
        }
        d = (struct err_detail){.code = ERR_OK};
    }
    ASSERT(seen <= MSG_FRAME_MAX);
    if (begun == ERR_OK) {
        e = msg_reader_end(&r, &d);
        ASSERT((e == ERR_OK) == (d.code == ERR_OK));
    }
    arena_fini(&a);
    return 0;
}
