/* The codec: every message there and back, and every way to be refused. */
#include "base/prelude.h"
#include "net/msg.h"

#include "tests/unit/net/sample_msg.h"

#include <check.h>

static void encode(struct buf *b, const struct msg *m)
{
    struct err_detail d = {0};
    ck_assert_msg(msg_encode(b, m, &d) == ERR_OK, "%s", d.text);
}

/* A frame of the given messages' bytes. */
static void frame_of(struct buf *b, uint32_t n, const struct buf *bytes)
{
    pack_array(b, n);
    buf_put_str(b, buf_str(bytes));
}

START_TEST(there_and_back)
{
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; msg_info_at(i) != NULL; i++) {
        for (int full = 0; full <= 1; full++) {
            struct buf one, frame, again;
            struct msg m = sample_msg(msg_info_at(i), full != 0, &a);
            struct msg_reader r;
            struct msg got;
            enum err e;
            struct err_detail d = {0};
            buf_init(&one, 0);
            buf_init(&frame, 0);
            buf_init(&again, 0);
            encode(&one, &m);
            frame_of(&frame, 1, &one);
            ck_assert_int_eq(msg_reader_begin(&r, buf_str(&frame), &a, &d), ERR_OK);
            ck_assert(msg_reader_next(&r, &got, &e, &d));
            ck_assert_msg(e == ERR_OK, "%s", d.text);
            ck_assert_int_eq(got.type, m.type);
            ck_assert_uint_eq(got.corr, m.corr);
            encode(&again, &got);
            ck_assert(str_eq(buf_str(&again), buf_str(&one)));
            ck_assert(!msg_reader_next(&r, &got, &e, &d));
            ck_assert_int_eq(msg_reader_end(&r, &d), ERR_OK);
            buf_fini(&one);
            buf_fini(&frame);
            buf_fini(&again);
        }
    }
    arena_fini(&a);
}
END_TEST

START_TEST(table)
{
    bool seen[MSG_TYPE_MAX + 1] = {false};
    for (size_t i = 0; msg_info_at(i) != NULL; i++) {
        const struct msg_info *info = msg_info_at(i);
        ck_assert_uint_le(info->type, MSG_TYPE_MAX);
        ck_assert(!seen[info->type]);
        seen[info->type] = true;
        ck_assert_ptr_eq(msg_info(info->type), info);
        ck_assert_str_eq(msg_name(info->type), info->name);
        ck_assert(info->from_client == ((unsigned)info->type < MSG_REPLY));
        for (uint32_t k = 0; k < info->shape.len; k++) {
            const struct msg_field *f = &info->shape.fields[k];
            ck_assert(f->help[0] != '\0');
            ck_assert(f->kind != MSG_STR || f->limit > 0);
        }
    }
    ck_assert_ptr_null(msg_info(0));
    ck_assert_ptr_null(msg_info(128));
    ck_assert_ptr_null(msg_info(UINT_MAX));
    ck_assert_str_eq(msg_name(99), "?");
    ck_assert_str_eq(msg_node_state_name(2), "going-away");
    ck_assert_str_eq(msg_node_state_name(3), "?");
}
END_TEST

/* One message given by hand, as hex of its msgpack bytes; what becomes of it. */
struct bad {
    const char *what, *hex;
    enum err err;
    unsigned type; /* what is known of it all the same */
    uint64_t corr;
    const char *place; /* in the detail */
};

static const struct bad BAD[] = {
    {"not an array", "01", ERR_MALFORMED, 0, 0, "message"},
    {"empty", "90", ERR_MALFORMED, 0, 0, "message"},
    {"no correlation", "9102", ERR_MALFORMED, 0, 0, "message"},
    {"type is a string", "92a13201", ERR_MALFORMED, 0, 0, "message"},
    {"correlation is negative", "9202ff", ERR_MALFORMED, 0, 0, "message"},
    {"unknown type", "926305", ERR_UNSUPPORTED, 99, 5, "99"},
    {"type beyond all", "92cdffff05", ERR_UNSUPPORTED, 0, 5, "65535"},
    {"needed field missing", "920205", ERR_MALFORMED, 2, 5, "START: workflow"},
    {"needed field nil", "930205c0", ERR_MALFORMED, 2, 5, "START: workflow"},
    {"wrong kind", "93020507", ERR_MALFORMED, 2, 5, "START: workflow"},
    {"not UTF-8", "930205a1ff", ERR_MALFORMED, 2, 5, "START: workflow"},
    {"number over its limit", "96 04 05 c0 06 c0 c0", ERR_TOO_LARGE, 4, 5, "LIST: status"},
    {"number over 32 bits", "95 04 05 c0 00 cf0000000100000000", ERR_TOO_LARGE, 4, 5,
     "LIST: limit"},
    {"negative number", "94 04 05 c0 ff", ERR_MALFORMED, 4, 5, "LIST: status"},
    {"token too short", "93 09 05 c40100", ERR_MALFORMED, 9, 5, "TASK_SUCCESS: token"},
    {"token too long",
     "93 09 05 c429 0000000000000000000000000000000000000000"
     "000000000000000000000000000000000000000000",
     ERR_TOO_LARGE, 9, 5, "TASK_SUCCESS: token"},
    {"list is no list", "93 08 05 07", ERR_MALFORMED, 8, 5, "HEARTBEAT: tokens"},
    {"bad element", "93 07 05 92 a161 07", ERR_MALFORMED, 7, 5, "POLL: queues[1]"},
    {"bad record", "96 07 05 90 00 00 91 91 07", ERR_MALFORMED, 7, 5, "POLL: completions[0]"},
    {"record without its token", "96 07 05 90 00 00 91 90", ERR_MALFORMED, 7, 5,
     "POLL: completions[0]"},
    {"over the list's length", "93 07 05 dc0065", ERR_MALFORMED, 7, 5, "POLL: queues"},
};

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (const char *p = hex; *p != '\0'; p++) {
        if (*p != ' ') {
            ck_assert_int_eq(hex_decode((struct str){p, 2}, &out[n], 1), ERR_OK);
            n++;
            p++;
        }
    }
    return n;
}

START_TEST(bad_messages)
{
    const struct bad *bad = &BAD[_i];
    uint8_t bytes[256];
    struct arena a;
    struct buf frame;
    struct msg_reader r;
    struct msg m;
    enum err e;
    struct err_detail d = {0};
    arena_init(&a, 1 << 20);
    buf_init(&frame, 0);
    size_t size = unhex(bad->hex, bytes);
    pack_array(&frame, 2);
    buf_put(&frame, bytes, size);
    struct msg good = {.type = MSG_STATUS, .corr = 77};
    encode(&frame, &good);
    ck_assert_int_eq(msg_reader_begin(&r, buf_str(&frame), &a, &d), ERR_OK);
    ck_assert(msg_reader_next(&r, &m, &e, &d));
    ck_assert_msg(e == bad->err, "%s: %s (%s)", bad->what, err_name(e), d.text);
    ck_assert_uint_eq(m.type, bad->type);
    ck_assert_uint_eq(m.corr, bad->corr);
    ck_assert_msg(strstr(d.text, bad->place) != NULL, "%s: \"%s\"", bad->what, d.text);
    d = (struct err_detail){0};
    /* Well-formed msgpack: the message behind it is read all the same. */
    if (msg_reader_next(&r, &m, &e, &d)) {
        ck_assert_int_eq(e, ERR_OK);
        ck_assert_uint_eq(m.corr, 77);
        ck_assert_int_eq(msg_reader_end(&r, &d), ERR_OK);
    } else {
        ck_assert_int_ne(msg_reader_end(&r, &d), ERR_OK);
        ck_assert_msg(strstr(bad->what, "UTF-8") != NULL || strstr(bad->what, "length") != NULL,
                      "%s: nothing behind it", bad->what);
    }
    buf_fini(&frame);
    arena_fini(&a);
}
END_TEST

/* Fields of later versions are skipped, missing ones are zero. */
START_TEST(versions)
{
    static const char *const hex[] = {
        "95 02 05 a161 a162 a27b7d",                        /* as it is */
        "97 02 05 a161 a162 a27b7d 93 01 02 81 a178 c0 c3", /* two more fields */
        "93 02 05 a161",                                    /* two fewer */
        "95 02 05 a161 c0 c0",                              /* nil */
    };
    for (size_t i = 0; i < ARRAY_LEN(hex); i++) {
        uint8_t bytes[128];
        struct arena a;
        struct msg_reader r;
        struct msg m;
        enum err e;
        struct err_detail d = {0};
        arena_init(&a, 0);
        bytes[0] = 0x91;
        size_t size = 1 + unhex(hex[i], bytes + 1);
        struct str frame = {(const char *)bytes, size};
        ck_assert_int_eq(msg_reader_begin(&r, frame, &a, &d), ERR_OK);
        ck_assert(msg_reader_next(&r, &m, &e, &d));
        ck_assert_msg(e == ERR_OK, "%zu: %s", i, d.text);
        ck_assert_int_eq(msg_reader_end(&r, &d), ERR_OK);
        ck_assert(str_eqc(m.u.start.workflow, "a"));
        ck_assert(i < 2 ? str_eqc(m.u.start.name, "b") : m.u.start.name.p == NULL);
        ck_assert(i < 2 ? str_eqc(m.u.start.input, "{}") : m.u.start.input.p == NULL);
        arena_fini(&a);
    }
}
END_TEST

START_TEST(bad_frames)
{
    static const struct {
        const char *hex;
        enum err begin, end;
    } frames[] = {
        {"", ERR_MALFORMED, ERR_OK},
        {"c0", ERR_MALFORMED, ERR_OK},
        {"80", ERR_MALFORMED, ERR_OK},
        {"91", ERR_MALFORMED, ERR_OK}, /* more announced than there is */
        {"dd7fffffff", ERR_MALFORMED, ERR_OK},
        {"dc03e9", ERR_MALFORMED, ERR_OK}, /* 1,001 and no bytes */
        {"90", ERR_OK, ERR_OK},
        {"9000", ERR_OK, ERR_MALFORMED}, /* bytes behind the end */
        {"91 92 10 01 00", ERR_OK, ERR_MALFORMED},
        {"91 c7 01 05 00", ERR_OK, ERR_MALFORMED}, /* ext */
    };
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        uint8_t bytes[64];
        struct arena a;
        struct msg_reader r;
        struct msg m;
        enum err e;
        struct err_detail d = {0};
        arena_init(&a, 0);
        struct str frame = {(const char *)bytes, unhex(frames[i].hex, bytes)};
        enum err begin = msg_reader_begin(&r, frame, &a, &d);
        ck_assert_msg(begin == frames[i].begin, "%zu: %s", i, d.text);
        d = (struct err_detail){0};
        while (begin == ERR_OK && msg_reader_next(&r, &m, &e, &d)) {
        }
        d = (struct err_detail){0};
        ck_assert_msg(begin != ERR_OK || msg_reader_end(&r, &d) == frames[i].end, "%zu: %s", i,
                      d.text);
        arena_fini(&a);
    }
}
END_TEST

/* A frame cut at any byte or with any byte changed never does harm; a cut one is never taken for
 * whole. */
START_TEST(cut_and_changed)
{
    struct arena a;
    struct buf frame;
    struct msg_writer w;
    arena_init(&a, 0);
    buf_init(&frame, 0);
    msg_writer_begin(&w, &frame);
    for (size_t i = 0; msg_info_at(i) != NULL; i++) {
        struct msg m = sample_msg(msg_info_at(i), true, &a);
        ck_assert_int_eq(msg_writer_add(&w, &m, NULL), ERR_OK);
    }
    msg_writer_end(&w);
    for (size_t cut = 0; cut < frame.size; cut++) {
        for (int flip = 0; flip <= 1; flip++) {
            struct arena mine;
            struct msg_reader r;
            struct msg m;
            enum err e;
            size_t size = flip ? frame.size : cut;
            char *copy = malloc(size + 1);
            arena_init(&mine, 1 << 20);
            memcpy(copy, frame.p, size);
            if (flip) {
                copy[cut] = (char)(copy[cut] ^ (1 << (cut % 8)));
            }
            bool whole = msg_reader_begin(&r, (struct str){copy, size}, &mine, NULL) == ERR_OK;
            while (whole && msg_reader_next(&r, &m, &e, NULL)) {
            }
            ck_assert(flip || !whole || msg_reader_end(&r, NULL) != ERR_OK);
            free(copy);
            arena_fini(&mine);
        }
    }
    buf_fini(&frame);
    arena_fini(&a);
}
END_TEST

START_TEST(writing_limits)
{
    struct buf b;
    struct err_detail d = {0};
    char *big = calloc(1, STATE_SIZE_MAX + 2);
    memset(big, 'x', STATE_SIZE_MAX + 1);
    buf_init(&b, 0);
    buf_puts(&b, "before");
    struct msg m = {.type = MSG_START};
    m.u.start.workflow = (struct str){big, NAME_SIZE_MAX + 1};
    ck_assert_int_eq(msg_encode(&b, &m, &d), ERR_TOO_LARGE);
    ck_assert_str_eq(d.text, "START: workflow: 256 bytes are over 255");
    ck_assert(str_eqc(buf_str(&b), "before"));
    m.u.start.workflow = STR("\xff");
    ck_assert_int_eq(msg_encode(&b, &m, NULL), ERR_MALFORMED);
    m.u.start.workflow = STR("w");
    m.u.start.input = (struct str){big, STATE_SIZE_MAX + 1};
    ck_assert_int_eq(msg_encode(&b, &m, NULL), ERR_TOO_LARGE);
    m.u.start.input.size = STATE_SIZE_MAX;
    ck_assert_int_eq(msg_encode(&b, &m, NULL), ERR_OK);
    struct msg list = {.type = MSG_LIST};
    list.u.list.status = 6;
    ck_assert_int_eq(msg_encode(&b, &list, NULL), ERR_TOO_LARGE);
    struct msg poll = {.type = MSG_POLL};
    struct str queues[MSG_QUEUES_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(queues); i++) {
        queues[i] = STR("q");
    }
    poll.u.poll.queues = queues;
    poll.u.poll.queues_len = MSG_QUEUES_MAX + 1;
    ck_assert_int_eq(msg_encode(&b, &poll, NULL), ERR_TOO_LARGE);
    poll.u.poll.queues_len = MSG_QUEUES_MAX;
    ck_assert_int_eq(msg_encode(&b, &poll, NULL), ERR_OK);

    /* A frame is full by bytes or by messages, and stays whole then. */
    struct msg_writer w;
    buf_clear(&b);
    msg_writer_begin(&w, &b);
    enum err e;
    while ((e = msg_writer_add(&w, &m, NULL)) == ERR_OK) {
    }
    ck_assert_int_eq(e, ERR_LIMIT);
    ck_assert_uint_le(msg_writer_size(&w), MESSAGE_SIZE_MAX);
    ck_assert_uint_gt(msg_writer_size(&w), MESSAGE_SIZE_MAX - STATE_SIZE_MAX - 64);
    msg_writer_end(&w);
    buf_clear(&b);
    msg_writer_begin(&w, &b);
    struct msg status = {.type = MSG_STATUS};
    uint32_t n = 0;
    while ((e = msg_writer_add(&w, &status, NULL)) == ERR_OK) {
        n++;
    }
    ck_assert_int_eq(e, ERR_LIMIT);
    ck_assert_uint_eq(n, MSG_FRAME_MAX);
    msg_writer_end(&w);
    struct arena a;
    struct msg_reader r;
    arena_init(&a, 0);
    ck_assert_int_eq(msg_reader_begin(&r, buf_str(&b), &a, NULL), ERR_OK);
    while (msg_reader_next(&r, &m, &e, NULL)) {
        n--;
    }
    ck_assert_uint_eq(n, 0);
    arena_fini(&a);
    buf_fini(&b);
    free(big);
}
END_TEST

START_TEST(small_arena)
{
    struct arena a;
    struct arena none;
    struct buf frame;
    struct msg_writer w;
    struct msg_reader r;
    struct msg got;
    enum err e;
    arena_init(&a, 0);
    arena_init(&none, 16);
    buf_init(&frame, 0);
    struct msg m = sample_msg(msg_info(MSG_POLL), true, &a);
    msg_writer_begin(&w, &frame);
    ck_assert_int_eq(msg_writer_add(&w, &m, NULL), ERR_OK);
    msg_writer_end(&w);
    ck_assert_int_eq(msg_reader_begin(&r, buf_str(&frame), &none, NULL), ERR_OK);
    ck_assert(msg_reader_next(&r, &got, &e, NULL));
    ck_assert_int_eq(e, ERR_LIMIT);
    ck_assert_uint_eq(got.corr, m.corr);
    ck_assert_int_eq(msg_reader_end(&r, NULL), ERR_OK);
    buf_fini(&frame);
    arena_fini(&none);
    arena_fini(&a);
}
END_TEST

START_TEST(for_people)
{
    struct buf b;
    char id[EXEC_ID_TEXT + 1];
    char wanted[256];
    struct msg m = {.type = MSG_START, .corr = 9};
    m.u.start =
        (struct msg_start){.workflow = STR("or\nders"), .name = STR("n"), .input = STR("secret")};
    buf_init(&b, 0);
    msg_format(&b, &m);
    ck_assert(str_eqc(buf_str(&b), "START corr=9 workflow=or\\x0aders name=n input=<6 bytes>"));
    buf_clear(&b);
    struct task_token t = sample_token(0);
    m = (struct msg){.type = MSG_TASK_FAILURE, .u.task_failure = {.token = t}};
    exec_id_format(&t.ref.exec, id);
    snprintf(wanted, sizeof(wanted), "TASK_FAILURE corr=0 token=%s/3.0.1 error= cause=", id);
    msg_format(&b, &m);
    ck_assert(str_eqc(buf_str(&b), wanted));
    buf_clear(&b);
    m = (struct msg){.type = (enum msg_type)99};
    msg_format(&b, &m);
    ck_assert(str_eqc(buf_str(&b), "?"));
    buf_fini(&b);
}
END_TEST

START_TEST(task_sizes)
{
    struct arena a;
    arena_init(&a, 0);
    for (int full = 0; full <= 1; full++) {
        struct buf b;
        struct msg m = sample_msg(msg_info(MSG_POLL_OK), true, &a);
        struct msg none = {.type = MSG_POLL_OK, .corr = m.corr};
        buf_init(&b, 0);
        m.u.poll_ok.tasks_len = 1;
        m.u.poll_ok.acks_len = 0;
        encode(&b, &m);
        size_t with = b.size;
        buf_clear(&b);
        encode(&b, &none);
        const struct msg_task *task = m.u.poll_ok.tasks;
        ck_assert_uint_le(with - b.size, MSG_TASK_OVERHEAD + task->queue.size +
                                             task->workflow.size + task->name.size +
                                             task->state.size + task->input.size);
        buf_fini(&b);
    }
    arena_fini(&a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("msg_codec");
    TCase *t = tcase_create("msg");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, there_and_back);
    tcase_add_test(t, table);
    tcase_add_loop_test(t, bad_messages, 0, (int)ARRAY_LEN(BAD));
    tcase_add_test(t, versions);
    tcase_add_test(t, bad_frames);
    tcase_add_test(t, cut_and_changed);
    tcase_add_test(t, writing_limits);
    tcase_add_test(t, small_arena);
    tcase_add_test(t, for_people);
    tcase_add_test(t, task_sizes);
    suite_add_tcase(suite, t);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
