/* The protocol as others see it: test vectors (tests/vectors/protocol) and the worked
 * conversation in docs/protocol.md are made from msg.def by this program, and it fails when the files in the tree
 * are not what it would make. CARILLON_REGEN=1 writes them. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/os.h"
#include "tests/unit/net/sample_msg.h"

#include <check.h>

static const char VECTORS[] = "tests/vectors/protocol/messages.json";
static const char EXAMPLES[] = "tests/vectors/protocol/examples.json";
static const char DOCUMENT[] = "docs/protocol.md";

static void put_hex(struct buf *out, struct str bytes, const char *gap)
{
    for (size_t i = 0; i < bytes.size; i++) {
        buf_printf(out, "%s%02x", i > 0 ? gap : "", (unsigned char)bytes.p[i]);
    }
}

static void put_json_str(struct buf *out, struct str s)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < s.size; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') {
            buf_putc(out, '\\');
        }
        buf_putc(out, s.p[i]);
    }
    buf_putc(out, '"');
}

/* ---- a message as JSON: what its msgpack array holds, bin as {"bin": hex} ---- */

static void put_shape(struct buf *out, const struct msg_shape *s, const char *base);

static void put_value(struct buf *out, const struct msg_field *f, const char *at)
{
    uint8_t token[TASK_TOKEN_SIZE];
    const struct str *s = (const void *)at;
    switch (f->kind) {
    case MSG_U32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)(const void *)at);
        break;
    case MSG_U64: /* JSON's numbers end at 2^53 in many languages */
        buf_printf(out, "{\"u64\": \"%" PRIu64 "\"}", *(const uint64_t *)(const void *)at);
        break;
    case MSG_I64:
        buf_printf(out, "%" PRId64, *(const int64_t *)(const void *)at);
        break;
    case MSG_BOOL:
        buf_puts(out, *(const bool *)(const void *)at ? "true" : "false");
        break;
    case MSG_STR:
    case MSG_PAYLOAD:
        if (s->p == NULL) {
            buf_puts(out, "null");
        } else {
            put_json_str(out, *s);
        }
        break;
    case MSG_TOKEN:
        task_token_encode((const void *)at, token);
        buf_puts(out, "{\"bin\": \"");
        put_hex(out, (struct str){(const char *)token, sizeof(token)}, "");
        buf_puts(out, "\"}");
        break;
    case MSG_RECORD:
        buf_putc(out, '[');
        put_shape(out, f->record, at);
        buf_putc(out, ']');
        break;
    }
}

static void put_shape(struct buf *out, const struct msg_shape *s, const char *base)
{
    for (uint32_t i = 0; i < s->len; i++) {
        const struct msg_field *f = &s->fields[i];
        buf_puts(out, i > 0 ? ", " : "");
        if (!f->list) {
            put_value(out, f, base + f->offset);
            continue;
        }
        const char *items;
        memcpy(&items, base + f->offset, sizeof(items));
        buf_putc(out, '[');
        for (uint32_t k = 0; k < *(const uint32_t *)(const void *)(base + f->len_offset); k++) {
            buf_puts(out, k > 0 ? ", " : "");
            put_value(out, f, items + k * sample_kind_size(f));
        }
        buf_putc(out, ']');
    }
}

static void put_array(struct buf *out, const struct msg *m)
{
    buf_printf(out, "[%d, %" PRIu64 "%s", (int)m->type, m->corr,
               msg_info(m->type)->shape.len > 0 ? ", " : "");
    put_shape(out, &msg_info(m->type)->shape, (const char *)&m->u);
    buf_putc(out, ']');
}

static void make_vectors(struct buf *out)
{
    struct arena a;
    const char *gap = "";
    arena_init(&a, 0);
    buf_puts(out, "[\n");
    for (size_t i = 0; msg_info_at(i) != NULL; i++) {
        for (int full = 0; full <= 1; full++) {
            const struct msg_info *info = msg_info_at(i);
            struct msg m = sample_msg(info, full != 0, &a);
            struct buf bytes;
            buf_init(&bytes, 0);
            ck_assert_int_eq(msg_encode(&bytes, &m, NULL), ERR_OK);
            buf_printf(out, "%s{\"message\": \"%s\", \"from\": \"%s\", \"what\": \"%s\",\n", gap,
                       info->name, info->from_client ? "client" : "node",
                       full ? "a value in every field" : "only what is needed");
            buf_puts(out, " \"array\": ");
            put_array(out, &m);
            buf_puts(out, ",\n \"msgpack\": \"");
            put_hex(out, buf_str(&bytes), "");
            buf_puts(out, "\"}");
            gap = ",\n";
            buf_fini(&bytes);
        }
    }
    buf_puts(out, "\n]\n");
    arena_fini(&a);
}

/* ---- worked examples: whole conversations as they stand on the wire ---- */

struct example {
    const char *what;
    bool from_client;
    uint32_t request; /* SP request number; 0: the handshake */
    const char *handshake;
    struct msg m[2];
    unsigned len;
};

static void put_wire(struct buf *out, const struct example *x)
{
    if (x->request == 0) {
        uint8_t bytes[8];
        ck_assert_int_eq(hex_decode(str_of(x->handshake), bytes, sizeof(bytes)), ERR_OK);
        buf_put(out, bytes, sizeof(bytes));
        return;
    }
    struct buf frame;
    struct msg_writer w;
    buf_init(&frame, 0);
    msg_writer_begin(&w, &frame);
    for (unsigned i = 0; i < x->len; i++) {
        ck_assert_int_eq(msg_writer_add(&w, &x->m[i], NULL), ERR_OK);
    }
    msg_writer_end(&w);
    uint64_t size = frame.size + 4;
    uint32_t word = x->request | UINT32_C(0x80000000);
    for (int i = 7; i >= 0; i--) {
        buf_putc(out, (char)(size >> (8 * i)));
    }
    for (int i = 3; i >= 0; i--) {
        buf_putc(out, (char)(word >> (8 * i)));
    }
    buf_put_str(out, buf_str(&frame));
    buf_fini(&frame);
}

static struct str QUEUE[] = {STR("pay")};

struct conversation {
    struct example v[16];
    size_t len;
};

static void conversation_add(struct conversation *to, const struct example *rows, size_t len)
{
    ck_assert_uint_le(to->len + len, ARRAY_LEN(to->v));
    memcpy(to->v + to->len, rows, len * sizeof(*rows));
    to->len += len;
}

/* The connection, hello and a start. */
static void examples_opening(struct conversation *to, struct str id)
{
    const struct example rows[] = {
        {"The client opens the connection (REQ is protocol 0x30).",
         true,
         0,
         "0053500000300000",
         {{.type = MSG_STATUS}},
         0},
        {"The node does so at the same time (REP is 0x31).",
         false,
         0,
         "0053500000310000",
         {{.type = MSG_STATUS}},
         0},
        {"HELLO and, in the same frame, START of workflow \"orders\" under the name \"o-17\".",
         true,
         1,
         NULL,
         {{.type = MSG_HELLO,
           .corr = 1,
           .u.hello = {.protocol = 1, .name = STR("shop-1"), .instance = 42}},
          {.type = MSG_START,
           .corr = 2,
           .u.start = {.workflow = STR("orders"),
                       .name = STR("o-17"),
                       .input = STR("{\"order\":17}")}}},
         2},
        {"Both answers.",
         false,
         1,
         NULL,
         {{.type = MSG_HELLO_OK,
           .corr = 1,
           .u.hello_ok = {.protocol = 1,
                          .node = STR("node-1"),
                          .version = STR("0.1.0"),
                          .state = MSG_NODE_ACTIVE,
                          .message_size_max = MESSAGE_SIZE_MAX,
                          .payload_size_max = PAYLOAD_SIZE_MAX,
                          .heartbeat_ms = 5000}},
          {.type = MSG_START_OK,
           .corr = 2,
           .u.start_ok = {.execution = id,
                          .created = true,
                          .started_at_ms = INT64_C(1795000000000),
                          .name = STR("o-17")}}},
         2},
    };
    conversation_add(to, rows, ARRAY_LEN(rows));
}

/* A worker takes a task and gives its outcome; a request that is refused. */
static void examples_work(struct conversation *to, struct str id, struct msg_task *task,
                          struct msg_completion *done, uint32_t *acks)
{
    const struct example rows[] = {
        {"A worker with one free place polls queue \"pay\" and is willing to wait 20 s.",
         true,
         2,
         NULL,
         {{.type = MSG_POLL,
           .corr = 3,
           .u.poll = {.queues = QUEUE, .queues_len = 1, .capacity = 1, .wait_ms = 20000}}},
         1},
        {"The node has a task for it.",
         false,
         2,
         NULL,
         {{.type = MSG_POLL_OK, .corr = 3, .u.poll_ok = {.tasks = task, .tasks_len = 1}}},
         1},
        {"The outcome goes back, with the demand for the next task.",
         true,
         3,
         NULL,
         {{.type = MSG_POLL,
           .corr = 4,
           .u.poll = {.queues = QUEUE,
                      .queues_len = 1,
                      .capacity = 1,
                      .completions = done,
                      .completions_len = 1}}},
         1},
        {"Accepted, and nothing more to do at present.",
         false,
         3,
         NULL,
         {{.type = MSG_POLL_OK, .corr = 4, .u.poll_ok = {.acks = acks, .acks_len = 1}}},
         1},
        {"A STOP of an execution that does not exist.",
         true,
         4,
         NULL,
         {{.type = MSG_STOP, .corr = 5, .u.stop = {.execution = id}}},
         1},
        {"Refused: error 22, NO_EXECUTION.",
         false,
         4,
         NULL,
         {{.type = MSG_ERROR,
           .corr = 5,
           .u.error = {.code = ERR_NO_EXECUTION, .text = STR("no such execution")}}},
         1},
    };
    conversation_add(to, rows, ARRAY_LEN(rows));
}

static void examples(struct conversation *out, struct arena *a)
{
    struct task_token token = sample_token(0);
    char *id = arena_zalloc(a, EXEC_ID_TEXT + 1);
    exec_id_format(&token.ref.exec, id);
    struct msg_completion *done = ARENA_NEW(a, struct msg_completion);
    struct msg_task *task = ARENA_NEW(a, struct msg_task);
    uint32_t *acks = ARENA_NEW(a, uint32_t);
    *done = (struct msg_completion){.token = token, .output = STR("{\"paid\":true}")};
    *task = (struct msg_task){.token = token,
                              .queue = QUEUE[0],
                              .workflow = STR("orders"),
                              .name = STR("o-17"),
                              .execution = str_of(id),
                              .state = STR("Pay"),
                              .attempt = 1,
                              .input = STR("{\"order\":17}")};
    out->len = 0;
    examples_opening(out, str_of(id));
    examples_work(out, str_of(id), task, done, acks);
}

static void make_examples(struct buf *out)
{
    struct arena a;
    struct conversation c;
    arena_init(&a, 0);
    examples(&c, &a);
    buf_puts(out, "[\n");
    for (size_t i = 0; i < c.len; i++) {
        struct buf wire;
        buf_init(&wire, 0);
        put_wire(&wire, &c.v[i]);
        buf_printf(out, "%s{\"what\": ", i > 0 ? ",\n" : "");
        put_json_str(out, str_of(c.v[i].what));
        buf_printf(out, ", \"from\": \"%s\",\n \"messages\": [",
                   c.v[i].from_client ? "client" : "node");
        for (unsigned k = 0; k < c.v[i].len; k++) {
            buf_puts(out, k > 0 ? ", " : "");
            put_array(out, &c.v[i].m[k]);
        }
        buf_puts(out, "],\n \"wire\": \"");
        put_hex(out, buf_str(&wire), "");
        buf_puts(out, "\"}");
        buf_fini(&wire);
    }
    buf_puts(out, "\n]\n");
    arena_fini(&a);
}

/* ---- the document ---- */

static void make_dialogue(struct buf *out)
{
    struct arena a;
    struct conversation c;
    arena_init(&a, 0);
    examples(&c, &a);
    for (size_t i = 0; i < c.len; i++) {
        struct buf wire;
        buf_init(&wire, 0);
        put_wire(&wire, &c.v[i]);
        buf_printf(out, "**%s** %s\n\n```\n",
                   c.v[i].from_client ? "Client:" : "Node:", c.v[i].what);
        for (unsigned k = 0; k < c.v[i].len; k++) {
            put_array(out, &c.v[i].m[k]);
            buf_putc(out, '\n');
        }
        for (size_t at = 0; at < wire.size; at += 24) {
            put_hex(out, str_sub(buf_str(&wire), at, 24), " ");
            buf_putc(out, '\n');
        }
        buf_puts(out, "```\n\n");
        buf_fini(&wire);
    }
    arena_fini(&a);
}

/* ---- the files ---- */

static bool regenerate(void)
{
    return os_getenv("CARILLON_REGEN") != NULL;
}

static void compare(const char *path, struct str made)
{
    struct buf file;
    struct err_detail d = {0};
    buf_init(&file, 0);
    if (regenerate()) {
        ck_assert_msg(os_write_file(path, made, &d) == ERR_OK, "%s", d.text);
        return;
    }
    ck_assert_msg(os_read_file(path, 16 << 20, &file, &d) == ERR_OK, "%s: %s", path, d.text);
    ck_assert_msg(str_eq(buf_str(&file), made),
                  "%s is not what the codec makes; if the protocol was meant to change, "
                  "CARILLON_REGEN=1 writes it",
                  path);
    buf_fini(&file);
}

START_TEST(vectors)
{
    struct buf made;
    buf_init(&made, 0);
    make_vectors(&made);
    compare(VECTORS, buf_str(&made));
    buf_fini(&made);
}
END_TEST

START_TEST(conversation)
{
    struct buf made;
    buf_init(&made, 0);
    make_examples(&made);
    compare(EXAMPLES, buf_str(&made));
    buf_fini(&made);
}
END_TEST

/* Replaces what stands between "<!-- begin NAME -->" and "<!-- end NAME -->". */
static void replace_part(struct buf *doc, const char *name, void (*make)(struct buf *out))
{
    char begin[64];
    char end[64];
    snprintf(begin, sizeof(begin), "<!-- begin %s -->\n", name);
    snprintf(end, sizeof(end), "<!-- end %s -->", name);
    buf_putc(doc, '\0');
    const char *from = strstr(doc->p, begin);
    const char *to = strstr(doc->p, end);
    ck_assert_msg(from != NULL && to != NULL && from < to, "no part %s", name);
    struct buf out;
    buf_init(&out, 0);
    buf_put(&out, doc->p, (size_t)(from - doc->p) + strlen(begin));
    buf_putc(&out, '\n');
    make(&out);
    buf_put(&out, to, doc->size - 1 - (size_t)(to - doc->p));
    buf_fini(doc);
    *doc = out;
}

START_TEST(document)
{
    struct buf doc;
    struct err_detail d = {0};
    buf_init(&doc, 0);
    ck_assert_msg(os_read_file(DOCUMENT, 16 << 20, &doc, &d) == ERR_OK, "%s", d.text);
    replace_part(&doc, "dialogue", make_dialogue);
    compare(DOCUMENT, buf_str(&doc));
    buf_fini(&doc);
}
END_TEST

/* The committed bytes themselves, read by the codec: what was released stays readable. */
START_TEST(old_bytes)
{
    struct buf file;
    struct arena a;
    const struct jv *root = NULL;
    struct err_detail d = {0};
    buf_init(&file, 0);
    arena_init(&a, 0);
    ck_assert_int_eq(os_read_file(VECTORS, 16 << 20, &file, &d), ERR_OK);
    struct json_limits limits = {.depth = 16, .size = 16 << 20};
    ck_assert_msg(json_parse(&a, buf_str(&file), limits, true, &root, &d) == ERR_OK, "%s", d.text);
    ck_assert_uint_ge(root->len, 60);
    for (uint32_t i = 0; i < root->len; i++) {
        const struct jv *hex = jv_get(root->u.items[i], STR("msgpack"));
        const struct jv *name = jv_get(root->u.items[i], STR("message"));
        size_t size = hex->u.s.size / 2;
        uint8_t *bytes = arena_alloc(&a, size + 1);
        struct msg_reader r;
        struct msg m;
        enum err e;
        bytes[0] = 0x91;
        ck_assert_int_eq(hex_decode(hex->u.s, bytes + 1, size), ERR_OK);
        struct str frame = {(const char *)bytes, size + 1};
        ck_assert_int_eq(msg_reader_begin(&r, frame, &a, &d), ERR_OK);
        ck_assert(msg_reader_next(&r, &m, &e, &d));
        ck_assert_msg(e == ERR_OK, "%s", d.text);
        ck_assert(str_eqc(name->u.s, msg_name(m.type)));
        ck_assert_int_eq(msg_reader_end(&r, &d), ERR_OK);
    }
    arena_fini(&a);
    buf_fini(&file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vectors");
    TCase *t = tcase_create("vectors");
    tcase_add_test(t, vectors);
    tcase_add_test(t, conversation);
    tcase_add_test(t, document);
    tcase_add_test(t, old_bytes);
    suite_add_tcase(suite, t);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
