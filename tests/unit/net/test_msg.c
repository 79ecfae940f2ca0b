/* The codec of the client protocol, walked by its own table: every message with random fields
 * goes there and back, every prefix is refused, every field is tried over its limit, and the bytes
 * of known frames stand in tests/vectors/protocol and in docs/protocol.md. */
#include "base/prelude.h"
#include "net/msg.h"

#include "base/mem.h"
#include "base/rng.h"

#include <check.h>
#include <stdio.h>

enum { ARENA = 64 << 20, ROUNDS = 60, LIST_SOME = 4 };

static struct arena arena;
static struct buf out;

static void setup(void)
{
    arena_init(&arena, ARENA);
    buf_init(&out, 0);
}

static void teardown(void)
{
    arena_fini(&arena);
    buf_fini(&out);
}

/* ---- random messages ---- */

static struct str text(struct rng *r, uint64_t limit)
{
    size_t most = (size_t)MIN(limit, 300);
    size_t size = rng_chance(r, 0.2) ? most : (size_t)rng_below(r, most + 1);
    char *p = arena_alloc(&arena, size + 1);
    for (size_t i = 0; i < size; i++) {
        p[i] = (char)('a' + rng_below(r, 26));
    }
    return (struct str){p, size};
}

static size_t size_of(const struct msg_field *f)
{
    static const size_t sizes[] = {[MSG_U32] = sizeof(uint32_t),
                                   [MSG_U64] = sizeof(uint64_t),
                                   [MSG_I64] = sizeof(int64_t),
                                   [MSG_BOOL] = sizeof(bool),
                                   [MSG_STR] = sizeof(struct str),
                                   [MSG_PAYLOAD] = sizeof(struct str),
                                   [MSG_TOKEN] = sizeof(struct task_token)};
    return f->kind == MSG_RECORD ? f->record->size : sizes[f->kind];
}

static void fill(struct rng *r, const struct msg_shape *s, char *base);

static void fill_value(struct rng *r, const struct msg_field *f, char *at)
{
    uint64_t wide = rng_u64(r) >> rng_below(r, 64);
    switch (f->kind) {
    case MSG_U32: {
        uint32_t v = (uint32_t)(f->limit != 0 ? rng_below(r, f->limit + 1) : wide);
        memcpy(at, &v, sizeof(v));
        return;
    }
    case MSG_U64:
    case MSG_I64:
        memcpy(at, &wide, sizeof(wide));
        return;
    case MSG_BOOL: {
        bool v = rng_chance(r, 0.5);
        memcpy(at, &v, sizeof(v));
        return;
    }
    case MSG_STR:
    case MSG_PAYLOAD: {
        bool none = !f->needed && !f->list && rng_chance(r, 0.3);
        struct str v = none ? STR_NONE : text(r, f->limit);
        memcpy(at, &v, sizeof(v));
        return;
    }
    case MSG_TOKEN: {
        struct task_token t = {.nonce = rng_u64(r)};
        rng_bytes(r, t.ref.exec.b, sizeof(t.ref.exec.b));
        t.ref.seq = rng_u64(r);
        t.ref.idx = (uint32_t)rng_u64(r);
        t.ref.attempt = (uint32_t)rng_u64(r);
        memcpy(at, &t, sizeof(t));
        return;
    }
    case MSG_RECORD:
        fill(r, f->record, at);
        return;
    }
}

static void fill(struct rng *r, const struct msg_shape *s, char *base)
{
    for (uint32_t i = 0; i < s->len; i++) {
        const struct msg_field *f = &s->fields[i];
        if (!f->list) {
            fill_value(r, f, base + f->offset);
            continue;
        }
        uint32_t len = (uint32_t)rng_below(r, LIST_SOME);
        char *items = len == 0 ? NULL : arena_zalloc(&arena, len * size_of(f));
        for (uint32_t k = 0; k < len; k++) {
            fill_value(r, f, items + k * size_of(f));
        }
        memcpy(base + f->offset, &items, sizeof(items));
        memcpy(base + f->len_offset, &len, sizeof(len));
    }
}

static void same(const struct msg_shape *s, const char *a, const char *b);

static void same_value(const struct msg_field *f, const char *a, const char *b)
{
    if (f->kind == MSG_RECORD) {
        same(f->record, a, b);
    } else if (f->kind == MSG_STR || f->kind == MSG_PAYLOAD) {
        struct str x, y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        ck_assert_msg(str_eq(x, y) && (x.p == NULL) == (y.p == NULL), "%s", f->name);
    } else if (f->kind == MSG_TOKEN) {
        struct task_token x, y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        ck_assert_msg(task_token_eq(&x, &y), "%s", f->name);
    } else {
        ck_assert_msg(memcmp(a, b, size_of(f)) == 0, "%s", f->name);
    }
}

static void same(const struct msg_shape *s, const char *a, const char *b)
{
    for (uint32_t i = 0; i < s->len; i++) {
        const struct msg_field *f = &s->fields[i];
        if (!f->list) {
            same_value(f, a + f->offset, b + f->offset);
            continue;
        }
        uint32_t x, y;
        const char *xs, *ys;
        memcpy(&x, a + f->len_offset, sizeof(x));
        memcpy(&y, b + f->len_offset, sizeof(y));
        ck_assert_msg(x == y, "%s: %" PRIu32 " and %" PRIu32 " elements", f->name, x, y);
        memcpy(&xs, a + f->offset, sizeof(xs));
        memcpy(&ys, b + f->offset, sizeof(ys));
        for (uint32_t k = 0; k < x; k++) {
            same_value(f, xs + k * size_of(f), ys + k * size_of(f));
        }
    }
}

static struct msg random_msg(struct rng *r, const struct msg_info *info)
{
    struct msg m = {.type = info->type, .corr = rng_u64(r) >> rng_below(r, 64)};
    fill(r, &info->shape, (char *)&m.u);
    return m;
}

static size_t type_count(void)
{
    size_t n = 0;
    while (msg_info_at(n) != NULL) {
        n++;
    }
    return n;
}

/* ---- tests ---- */

START_TEST(round_trip)
{
    const struct msg_info *info = msg_info_at((size_t)_i);
    struct rng r;
    rng_seed(&r, 77 + (uint64_t)_i);
    for (int round = 0; round < ROUNDS; round++) {
        struct msg sent[3];
        struct msg_writer w;
        buf_clear(&out);
        msg_writer_begin(&w, &out);
        for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
            struct err_detail d = {0};
            sent[i] = random_msg(&r, info);
            ck_assert_msg(msg_writer_add(&w, &sent[i], &d) == ERR_OK, "%s", d.text);
        }
        msg_writer_end(&w);
        struct msg_reader f;
        struct err_detail d = {0};
        ck_assert_int_eq(msg_reader_begin(&f, buf_str(&out), &arena, &d), ERR_OK);
        for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
            struct msg m;
            enum err e;
            ck_assert(msg_reader_next(&f, &m, &e, &d));
            ck_assert_msg(e == ERR_OK, "%s", d.text);
            ck_assert_int_eq(m.type, info->type);
            ck_assert_uint_eq(m.corr, sent[i].corr);
            same(&info->shape, (const char *)&sent[i].u, (const char *)&m.u);
        }
        struct msg none;
        enum err e;
        ck_assert(!msg_reader_next(&f, &none, &e, &d));
        ck_assert_int_eq(msg_reader_end(&f, &d), ERR_OK);
    }
}
END_TEST

/* Whether a frame is read to its end without an error. */
static bool readable(struct str frame)
{
    struct msg_reader f;
    struct msg m;
    enum err e;
    if (msg_reader_begin(&f, frame, &arena, NULL) != ERR_OK) {
        return false;
    }
    struct err_detail d = {0};
    while (msg_reader_next(&f, &m, &e, &d)) {
        if (e != ERR_OK) {
            return false;
        }
    }
    return msg_reader_end(&f, NULL) == ERR_OK;
}

START_TEST(prefixes_and_tails_are_refused)
{
    const struct msg_info *info = msg_info_at((size_t)_i);
    struct rng r;
    rng_seed(&r, 5000 + (uint64_t)_i);
    struct msg m = random_msg(&r, info);
    struct msg_writer w;
    msg_writer_begin(&w, &out);
    ck_assert_int_eq(msg_writer_add(&w, &m, NULL), ERR_OK);
    msg_writer_end(&w);
    ck_assert(readable(buf_str(&out)));
    for (size_t size = 0; size < out.size; size++) {
        char *cut = mem_alloc(size + 1);
        memcpy(cut + 1, out.p, size); /* exact, so that a sanitizer sees a byte read behind it */
        ck_assert_msg(!readable((struct str){cut + 1, size}), "%s: %zu bytes", info->name, size);
        mem_free(cut);
    }
    buf_putc(&out, 0);
    ck_assert(!readable(buf_str(&out)));
}
END_TEST

/* One field of a message over its limit, by 1: the writer refuses, and so does the reader. */
static void put_over(struct msg *m, const struct msg_field *f)
{
    char *at = (char *)&m->u + f->offset;
    if (f->list) {
        uint32_t len = f->len_max + 1;
        char *items = arena_zalloc(&arena, len * size_of(f));
        memcpy(at, &items, sizeof(items));
        memcpy((char *)&m->u + f->len_offset, &len, sizeof(len));
    } else if (f->kind == MSG_U32) {
        uint32_t v = (uint32_t)f->limit + 1;
        memcpy(at, &v, sizeof(v));
    } else {
        struct str v = {arena_zalloc(&arena, (size_t)f->limit + 1), (size_t)f->limit + 1};
        memcpy(at, &v, sizeof(v));
    }
}

/* Writes the value over the limit, in a message whose other fields are nil (the reader meets
 * them, if they are needed, only behind the field or says that they are missing before it). */
static enum err read_over(const struct msg_info *info, uint32_t which)
{
    buf_clear(&out);
    pack_array(&out, 1);
    pack_array(&out, info->shape.len + 2);
    pack_u64(&out, info->type);
    pack_u64(&out, 9);
    for (uint32_t i = 0; i < info->shape.len; i++) {
        const struct msg_field *f = &info->shape.fields[i];
        bool over = i == which;
        char zero[TASK_TOKEN_SIZE] = {0};
        if (f->list) {
            uint32_t n = over ? f->len_max + 1 : 0;
            pack_array(&out, n);
            for (uint32_t k = 0; k < n; k++) {
                pack_nil(&out);
            }
        } else if (f->kind == MSG_STR || f->kind == MSG_PAYLOAD) {
            size_t n = over ? (size_t)f->limit + 1 : 0;
            pack_str(&out, (struct str){arena_zalloc(&arena, n + 1), n});
        } else if (f->kind == MSG_BOOL) {
            pack_bool(&out, false);
        } else if (f->kind == MSG_TOKEN) {
            pack_bin(&out, (struct str){zero, sizeof(zero)});
        } else {
            pack_u64(&out, over ? f->limit + 1 : 0);
        }
    }
    struct msg_reader f;
    struct msg m;
    enum err e = ERR_OK;
    struct err_detail d = {0};
    ck_assert_int_eq(msg_reader_begin(&f, buf_str(&out), &arena, NULL), ERR_OK);
    ck_assert(msg_reader_next(&f, &m, &e, &d));
    ck_assert_uint_eq(m.corr, 9);
    ck_assert_int_eq(m.type, info->type);
    return e;
}

START_TEST(over_the_limit)
{
    const struct msg_info *info = msg_info_at((size_t)_i);
    for (uint32_t i = 0; i < info->shape.len; i++) {
        const struct msg_field *f = &info->shape.fields[i];
        bool text_kind = f->kind == MSG_STR || f->kind == MSG_PAYLOAD;
        if (!f->list && !text_kind && f->limit == 0) {
            continue;
        }
        struct msg m = {.type = info->type, .corr = 1};
        struct err_detail d = {0};
        buf_clear(&out);
        put_over(&m, f);
        ck_assert_msg(msg_encode(&out, &m, &d) == ERR_TOO_LARGE, "%s.%s", info->name, f->name);
        ck_assert_ptr_nonnull(strstr(d.text, f->name));
        ck_assert_uint_eq(out.size, 0);
        enum err e = read_over(info, i);
        ck_assert_msg(e == ERR_TOO_LARGE, "%s.%s: %s", info->name, f->name, err_name(e));
    }
}
END_TEST

START_TEST(fields_to_come)
{
    /* A newer client's START: a fourth field that we do not know; and an older one's: no input. */
    static const char newer[] = "\x91\x96\x02\x07\xa1w\xa1n\xc0\x81\xa1k\x93\x01\x02\x03";
    static const char older[] = "\x91\x94\x02\x07\xa1w\xa1n";
    static const char bare[] = "\x91\x92\x02\x07"; /* the workflow is needed */
    ck_assert(readable((struct str){newer, sizeof(newer) - 1}));
    ck_assert(readable((struct str){older, sizeof(older) - 1}));
    ck_assert(!readable((struct str){bare, sizeof(bare) - 1}));
}
END_TEST

START_TEST(a_bad_message_does_not_spoil_the_next)
{
    static const char frame[] = "\x93\x93\x63\x05\xa1x" /* 99: unknown */
                                "\x93\x02\x06\x01"      /* START with a number for a name */
                                "\x92\x10\x07";         /* STATUS */
    static const enum err want[] = {ERR_UNSUPPORTED, ERR_MALFORMED, ERR_OK};
    struct msg_reader f;
    struct msg m;
    ck_assert_int_eq(msg_reader_begin(&f, (struct str){frame, sizeof(frame) - 1}, &arena, NULL),
                     ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        enum err e;
        struct err_detail d = {0};
        ck_assert(msg_reader_next(&f, &m, &e, &d));
        ck_assert_int_eq(e, want[i]);
        ck_assert_uint_eq(m.corr, 5 + i);
    }
    ck_assert_int_eq(msg_reader_end(&f, NULL), ERR_OK);
}
END_TEST

/* What a writer makes a reader reads: the bound on values is a message's, not the frame's. */
START_TEST(a_frame_of_many_values)
{
    enum { ROWS = MSG_ROWS_MAX, PAGES = 2 * PACK_ITEMS_MAX / (6 * ROWS) };
    struct msg_list_row *rows = arena_zalloc(&arena, ROWS * sizeof(*rows));
    struct msg m = {.type = MSG_LIST_OK};
    struct msg_writer w;
    struct msg_reader r;
    struct buf frame;
    enum err e;
    for (uint32_t i = 0; i < ROWS; i++) {
        rows[i] = (struct msg_list_row){.execution = STR("x"),
                                        .workflow = STR("w"),
                                        .name = STR("n"),
                                        .started_at_ms = 7};
    }
    m.u.list_ok.rows = rows;
    m.u.list_ok.rows_len = ROWS;
    buf_init(&frame, 0);
    msg_writer_begin(&w, &frame);
    for (uint32_t i = 0; i < PAGES; i++) {
        ck_assert_int_eq(msg_writer_add(&w, &m, NULL), ERR_OK);
    }
    msg_writer_end(&w);
    ck_assert_int_eq(msg_reader_begin(&r, buf_str(&frame), &arena, NULL), ERR_OK);
    for (uint32_t i = 0; i < PAGES; i++) {
        struct err_detail d = {0};
        ck_assert(msg_reader_next(&r, &m, &e, &d));
        ck_assert_msg(e == ERR_OK, "%" PRIu32 ": %s", i, d.text);
        ck_assert_uint_eq(m.u.list_ok.rows_len, ROWS);
        arena_reset(&arena, 0);
    }
    ck_assert_int_eq(msg_reader_end(&r, NULL), ERR_OK);
    buf_fini(&frame);
}
END_TEST

/* An answer that does not fit the frame is left out; what was written stays, smaller ones follow. */
START_TEST(a_full_frame_takes_smaller_messages)
{
    enum { BIG = 3 << 20, FIT = MESSAGE_SIZE_MAX / BIG };
    struct buf frame;
    struct msg_writer w;
    struct msg_reader r;
    struct str text = {arena_alloc(&arena, BIG), BIG};
    memset((char *)(uintptr_t)text.p, 'x', BIG);
    struct msg big = {.type = MSG_HISTORY_OK, .corr = 1};
    big.u.history_ok.events = &text;
    big.u.history_ok.events_len = 1;
    struct msg small = {.type = MSG_ERROR, .corr = 2};
    small.u.error.code = ERR_LIMIT;
    buf_init(&frame, MESSAGE_SIZE_MAX);
    msg_writer_begin(&w, &frame);
    for (int i = 0; i < FIT + 1; i++) {
        ck_assert_int_eq(msg_writer_add(&w, &big, NULL), i < FIT ? ERR_OK : ERR_LIMIT);
    }
    ck_assert_int_eq(msg_writer_add(&w, &small, NULL), ERR_OK);
    msg_writer_end(&w);
    ck_assert_int_eq(msg_reader_begin(&r, buf_str(&frame), &arena, NULL), ERR_OK);
    struct msg m;
    enum err e;
    for (int i = 0; i < FIT + 1; i++) {
        ck_assert(msg_reader_next(&r, &m, &e, NULL));
        ck_assert_int_eq(e, ERR_OK);
        ck_assert_int_eq(m.type, i < FIT ? MSG_HISTORY_OK : MSG_ERROR);
    }
    ck_assert_int_eq(msg_reader_end(&r, NULL), ERR_OK);
    buf_fini(&frame);
}
END_TEST

/* A node decodes no answers: their lists of empty records would take much memory for few bytes. */
START_TEST(a_node_reads_requests_only)
{
    struct buf frame;
    struct msg_reader r;
    struct msg m;
    enum err e;
    struct err_detail d = {0};
    buf_init(&frame, 0);
    pack_array(&frame, 2);
    pack_array(&frame, 6);
    pack_u64(&frame, MSG_ERROR);
    pack_u64(&frame, 5);
    pack_u64(&frame, ERR_LIMIT);
    pack_nil(&frame);
    pack_nil(&frame);
    pack_array(&frame, MSG_PROBLEMS_MAX);
    for (int i = 0; i < MSG_PROBLEMS_MAX; i++) {
        pack_array(&frame, 0);
    }
    pack_array(&frame, 2);
    pack_u64(&frame, MSG_STATUS);
    pack_u64(&frame, 6);
    size_t used = arena.used;
    ck_assert_int_eq(msg_reader_begin(&r, buf_str(&frame), &arena, NULL), ERR_OK);
    r.requests_only = true;
    ck_assert(msg_reader_next(&r, &m, &e, &d));
    ck_assert_int_eq(e, ERR_UNSUPPORTED);
    ck_assert_uint_eq(m.corr, 5);
    ck_assert_uint_eq(arena.used, used);
    d = (struct err_detail){0};
    ck_assert(msg_reader_next(&r, &m, &e, &d));
    ck_assert_int_eq(e, ERR_OK);
    ck_assert_int_eq(m.type, MSG_STATUS);
    ck_assert_int_eq(msg_reader_end(&r, NULL), ERR_OK);
    buf_fini(&frame);
}
END_TEST

START_TEST(table)
{
    for (size_t i = 0; msg_info_at(i) != NULL; i++) {
        const struct msg_info *info = msg_info_at(i);
        ck_assert_ptr_eq(msg_info(info->type), info);
        ck_assert_str_eq(msg_name(info->type), info->name);
        ck_assert_int_eq(info->from_client, (int)info->type < (int)MSG_REPLY);
    }
    ck_assert_ptr_null(msg_info(0));
    ck_assert_ptr_null(msg_info(MSG_TYPE_MAX + 1));
    ck_assert_str_eq(msg_name(200), "?");
}
END_TEST

START_TEST(log_form_hides_payloads)
{
    struct msg m = {.type = MSG_START, .corr = 7};
    m.u.start.workflow = STR("orders");
    m.u.start.name = STR("o 1");
    m.u.start.input = STR("{\"secret\":1}");
    msg_format(&out, &m);
    ck_assert(str_eq(buf_str(&out), STR("START corr=7 workflow=orders name=o\\x201 "
                                        "input=<12 bytes>")));
}
END_TEST

/* ---- vectors ---- */

static void put_example(size_t which)
{
    static const struct task_token token = {.ref = {.exec = {{0x00, 0x10, 0x02, 0x00, 0x00, 0x01,
                                                              0x85, 0x11, 0xa0, 0, 0, 0, 0, 0, 0,
                                                              1}},
                                                    .seq = 3,
                                                    .idx = 0,
                                                    .attempt = 1},
                                            .nonce = UINT64_C(0x0102030405060708)};
    static const struct str queues[] = {{"bells", 5}};
    const struct msg_completion done[] = {
        {.token = token, .status = MSG_COMPLETION_SUCCESS, .output = {"{}", 2}}};
    static const uint32_t acks[] = {0, ERR_STALE};
    struct msg m = {.corr = 1};
    switch (which) {
    case 0:
        m.type = MSG_HELLO;
        m.u.hello.protocol = 1;
        m.u.hello.name = STR("w1");
        m.u.hello.instance = 7;
        break;
    case 1:
        m.type = MSG_START;
        m.corr = 2;
        m.u.start.workflow = STR("orders");
        m.u.start.name = STR("o-1");
        m.u.start.input = STR("{\"n\":1}");
        break;
    case 2:
        m.type = MSG_POLL;
        m.corr = 3;
        m.u.poll.queues = queues;
        m.u.poll.queues_len = 1;
        m.u.poll.capacity = 10;
        m.u.poll.completions = done;
        m.u.poll.completions_len = 1;
        break;
    case 3:
        m.type = MSG_POLL_OK;
        m.corr = 3;
        m.u.poll_ok.acks = acks;
        m.u.poll_ok.acks_len = ARRAY_LEN(acks);
        break;
    default:
        m.type = MSG_ERROR;
        m.corr = 2;
        m.u.error.code = ERR_NO_WORKFLOW;
        m.u.error.text = STR("no such workflow");
        break;
    }
    struct msg_writer w;
    buf_clear(&out);
    msg_writer_begin(&w, &out);
    ck_assert_int_eq(msg_writer_add(&w, &m, NULL), ERR_OK);
    msg_writer_end(&w);
}

static const char *const example_names[] = {"hello", "start", "poll", "poll_ok", "error"};

/* The whole file, in the arena. */
static const char *slurp(const char *path)
{
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s cannot be read", path);
    size_t room = 1 << 20;
    char *p = arena_alloc(&arena, room);
    size_t n = fread(p, 1, room - 1, f);
    (void)fclose(f);
    p[n] = '\0';
    return p;
}

START_TEST(vectors)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "tests/vectors/protocol/%s.hex", example_names[_i]);
    put_example((size_t)_i);
    char *hex = arena_zalloc(&arena, out.size * 2 + 2);
    hex_encode(out.p, out.size, hex);
    hex[out.size * 2] = '\n';
    ck_assert_str_eq(hex, slurp(path));
    ck_assert(readable(buf_str(&out)));
}
END_TEST

START_TEST(the_document_shows_these_bytes)
{
    put_example(1);
    char *hex = arena_zalloc(&arena, out.size * 3 + 1);
    for (size_t i = 0; i < out.size; i++) {
        (void)snprintf(hex + i * 3, 4, "%02x ", (unsigned char)out.p[i]);
    }
    hex[out.size * 3 - 1] = '\0';
    ck_assert_msg(strstr(slurp("docs/protocol.md"), hex) != NULL,
                  "docs/protocol.md does not show: %s", hex);
}
END_TEST

int main(void)
{
    int types = (int)type_count();
    Suite *s = suite_create("msg");
    TCase *c = tcase_create("msg");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, round_trip, 0, types);
    tcase_add_loop_test(c, prefixes_and_tails_are_refused, 0, types);
    tcase_add_loop_test(c, over_the_limit, 0, types);
    tcase_add_test(c, fields_to_come);
    tcase_add_test(c, a_bad_message_does_not_spoil_the_next);
    tcase_add_test(c, a_frame_of_many_values);
    tcase_add_test(c, a_full_frame_takes_smaller_messages);
    tcase_add_test(c, a_node_reads_requests_only);
    tcase_add_test(c, table);
    tcase_add_test(c, log_form_hides_payloads);
    tcase_add_loop_test(c, vectors, 0, (int)ARRAY_LEN(example_names));
    tcase_add_test(c, the_document_shows_these_bytes);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
