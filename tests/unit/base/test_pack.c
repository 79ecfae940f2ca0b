/* msgpack: the writer against msgpack-c byte for byte, the reader on all it must refuse. */
#include "base/prelude.h"

#include "base/mem.h"
#include "base/pack.h"
#include "base/rng.h"

#include <check.h>
#include <math.h>
#include <msgpack.h>

static struct buf ours;
static msgpack_sbuffer theirs;
static msgpack_packer packer;

static void setup(void)
{
    buf_init(&ours, 0);
    msgpack_sbuffer_init(&theirs);
    msgpack_packer_init(&packer, &theirs, msgpack_sbuffer_write);
}

static void teardown(void)
{
    buf_fini(&ours);
    msgpack_sbuffer_destroy(&theirs);
}

/* ---- writer ---- */

static void check_same(const char *what)
{
    if (ours.size != theirs.size || memcmp(ours.p, theirs.data, ours.size) != 0) {
        ck_abort_msg("%s is packed otherwise", what);
    }
}

START_TEST(integers_are_smallest)
{
    /* Around every power of two, both signs. */
    for (int bit = 0; bit < 64; bit++) {
        for (int64_t d = -2; d <= 2; d++) {
            uint64_t u = (UINT64_C(1) << bit) + (uint64_t)d;
            int64_t i = (int64_t)u;
            pack_u64(&ours, u);
            msgpack_pack_uint64(&packer, u);
            pack_i64(&ours, i);
            msgpack_pack_int64(&packer, i);
            pack_i64(&ours, (int64_t)(UINT64_C(0) - u));
            msgpack_pack_int64(&packer, (int64_t)(UINT64_C(0) - u));
        }
    }
    check_same("an integer");
    struct pack_reader r;
    pack_reader_init(&r, buf_str(&ours));
    for (int bit = 0; bit < 64; bit++) {
        for (int64_t d = -2; d <= 2; d++) {
            uint64_t u = (UINT64_C(1) << bit) + (uint64_t)d;
            ck_assert_int_eq(pack_peek(&r), u > INT64_MAX ? PACK_UINT : PACK_INT);
            ck_assert_uint_eq(pack_read_u64(&r), u);
            ck_assert_int_eq(pack_read_i64(&r), (int64_t)u);
            ck_assert_int_eq(pack_read_i64(&r), (int64_t)(UINT64_C(0) - u));
        }
    }
    ck_assert_int_eq(pack_reader_done(&r, NULL), ERR_OK);
}
END_TEST

START_TEST(others_are_the_same)
{
    static char text[70000];
    memset(text, 'x', sizeof(text));
    static const uint32_t sizes[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 69999};
    pack_nil(&ours);
    msgpack_pack_nil(&packer);
    pack_bool(&ours, true);
    msgpack_pack_true(&packer);
    pack_bool(&ours, false);
    msgpack_pack_false(&packer);
    static const double doubles[] = {0, -0.0, 1, 0.1, -1e300, INFINITY};
    for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
        pack_double(&ours, doubles[i]);
        msgpack_pack_double(&packer, doubles[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint32_t n = sizes[i];
        pack_str(&ours, (struct str){text, n});
        msgpack_pack_str(&packer, n);
        msgpack_pack_str_body(&packer, text, n);
        pack_bin(&ours, (struct str){text, n});
        msgpack_pack_bin(&packer, n);
        msgpack_pack_bin_body(&packer, text, n);
        pack_array(&ours, n);
        msgpack_pack_array(&packer, n);
        pack_map(&ours, n);
        msgpack_pack_map(&packer, n);
    }
    pack_array(&ours, UINT32_MAX);
    msgpack_pack_array(&packer, UINT32_MAX);
    pack_map(&ours, UINT32_MAX);
    msgpack_pack_map(&packer, UINT32_MAX);
    check_same("a value");
}
END_TEST

START_TEST(a_full_buffer_stops_quietly)
{
    struct buf small;
    buf_init(&small, 3);
    pack_str(&small, STR("ab"));
    ck_assert(!small.failed);
    pack_i64(&small, 1);
    ck_assert(small.failed);
    buf_fini(&small);
}
END_TEST

/* ---- reader ---- */

/* A copy on the heap, exact in size, so that a sanitizer sees a read beyond the end. */
static struct str exact(struct str s)
{
    char *p = mem_alloc(s.size + (s.size == 0));
    if (s.size > 0) {
        memcpy(p, s.p, s.size);
    }
    return (struct str){p, s.size};
}

START_TEST(reads_all_types)
{
    struct pack_reader r;
    pack_reader_init(&r, STR("\xc0\xc3\xc2\x7f\xe0\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
                             "\xca\x3f\xc0\x00\x00\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00"
                             "\xa2hi\xc4\x02\xff\x00\xd9\x01z\x92\x01\x02\x81\xa1k\xc0"));
    ck_assert_int_eq(pack_peek(&r), PACK_NIL);
    pack_read_nil(&r);
    ck_assert_int_eq(pack_peek(&r), PACK_BOOL);
    ck_assert(pack_read_bool(&r));
    ck_assert(!pack_read_bool(&r));
    ck_assert_int_eq(pack_read_i64(&r), 127);
    ck_assert_int_eq(pack_read_i64(&r), -32);
    ck_assert_int_eq(pack_peek(&r), PACK_UINT);
    ck_assert_uint_eq(pack_read_u64(&r), UINT64_MAX);
    ck_assert_int_eq(pack_peek(&r), PACK_FLOAT);
    ck_assert(pack_read_double(&r) == 1.5);
    ck_assert(pack_read_double(&r) == -1.5);
    ck_assert_int_eq(pack_peek(&r), PACK_STR);
    ck_assert(str_eqc(pack_read_str(&r, 2), "hi"));
    ck_assert_int_eq(pack_peek(&r), PACK_BIN);
    ck_assert(str_eq(pack_read_bin(&r, 2), STR("\xff\0")));
    ck_assert(str_eqc(pack_read_bin(&r, 2), "z")); /* a str passes as bytes */
    ck_assert_int_eq(pack_peek(&r), PACK_ARRAY);
    ck_assert_uint_eq(pack_read_array(&r, 2), 2);
    ck_assert(pack_read_double(&r) == 1); /* an integer passes as double */
    ck_assert_uint_eq(pack_read_u64(&r), 2);
    ck_assert_int_eq(pack_peek(&r), PACK_MAP);
    ck_assert_uint_eq(pack_read_map(&r, 1), 1);
    ck_assert(str_eqc(pack_read_str(&r, 99), "k"));
    pack_read_nil(&r);
    ck_assert_int_eq(pack_peek(&r), PACK_END);
    ck_assert_uint_eq(r.items, 17);
    ck_assert_int_eq(pack_reader_done(&r, NULL), ERR_OK);
}
END_TEST

enum { ANY, NIL, BOOL, I64, U64, DOUBLE, TEXT, BYTES, ARRAY, MAP };

static void read_as(struct pack_reader *r, int type)
{
    switch (type) {
    case NIL:
        pack_read_nil(r);
        break;
    case BOOL:
        ck_assert(!pack_read_bool(r) || pack_ok(r));
        break;
    case I64:
        ck_assert(pack_read_i64(r) == 0 || pack_ok(r));
        break;
    case U64:
        ck_assert(pack_read_u64(r) == 0 || pack_ok(r));
        break;
    case DOUBLE:
        ck_assert(pack_read_double(r) == 0 || pack_ok(r));
        break;
    case TEXT:
        ck_assert(pack_read_str(r, 4).p == NULL || pack_ok(r));
        break;
    case BYTES:
        ck_assert(pack_read_bin(r, 4).p == NULL || pack_ok(r));
        break;
    case ARRAY:
        ck_assert(pack_read_array(r, 4) == 0 || pack_ok(r));
        break;
    case MAP:
        ck_assert(pack_read_map(r, 4) == 0 || pack_ok(r));
        break;
    default:
        pack_skip(r);
    }
}

static const struct {
    struct str bytes;
    int type;
    enum err err;
    const char *message;
} BAD_CASES[] = {
    {STR(""), ANY, ERR_MALFORMED, "byte 0: the message ends where a value should be"},
    {STR(""), NIL, ERR_MALFORMED, "byte 0: the message ends where a value should be"},
    {STR("\xc1"), ANY, ERR_MALFORMED, "byte 0: no value begins with byte 0xc1"},
    {STR("\xd4\x01\x02"), ANY, ERR_MALFORMED, "byte 0: ext types are not accepted"},
    {STR("\xd8\x01\x02"), ANY, ERR_MALFORMED, "byte 0: ext types are not accepted"},
    {STR("\xc7\x00\x02"), ANY, ERR_MALFORMED, "byte 0: ext types are not accepted"},
    {STR("\xc9\x00\x00\x00\x00\x02"), ANY, ERR_MALFORMED, "byte 0: ext types are not accepted"},
    {STR("\x91\xd6\xff\0\0\0\0"), ANY, ERR_MALFORMED, "byte 1: ext types are not accepted"},
    {STR("\xcd\x01"), I64, ERR_MALFORMED, "byte 0: the message ends within a value"},
    {STR("\xcb\0\0\0\0\0\0\0"), DOUBLE, ERR_MALFORMED, "byte 0: the message ends within a value"},
    {STR("\xa3hi"), TEXT, ERR_MALFORMED, "byte 0: the message ends within a value"},
    {STR("\xa3hi"), ANY, ERR_MALFORMED, "byte 0: the message ends within a value"},
    {STR("\xdb\xff\xff\xff\xffhi"), TEXT, ERR_MALFORMED, "byte 0: the message ends within a value"},
    {STR("\xc6\xff\xff\xff\xff"), BYTES, ERR_MALFORMED, "byte 0: the message ends within a value"},
    {STR("\xc5\x00"), BYTES, ERR_MALFORMED, "byte 0: the message ends within a value"},
    {STR("\xa5hello"), TEXT, ERR_TOO_LARGE, "byte 0: longer than allowed"},
    {STR("\xa5hello"), BYTES, ERR_TOO_LARGE, "byte 0: longer than allowed"},
    {STR("\xa2\xc3("), TEXT, ERR_MALFORMED, "byte 0: a string that is not UTF-8"},
    {STR("\x91\xa1\xff"), ANY, ERR_MALFORMED, "byte 1: a string that is not UTF-8"},
    {STR("\xdd\xff\xff\xff\xff"), ARRAY, ERR_MALFORMED, "byte 0: more elements announced"},
    {STR("\xdd\xff\xff\xff\xff"), ANY, ERR_MALFORMED, "byte 0: more elements announced"},
    {STR("\xdf\xff\xff\xff\xff\x01"), MAP, ERR_MALFORMED, "byte 0: more elements announced"},
    {STR("\xdf\x80\x00\x00\x00\x01"), MAP, ERR_MALFORMED, "byte 0: more elements announced"},
    {STR("\x82\x01\x02\x03"), MAP, ERR_MALFORMED, "byte 0: more elements announced"},
    {STR("\x93\x01\x02"), ARRAY, ERR_MALFORMED, "byte 0: more elements announced"},
    {STR("\x95\x01\x02\x03\x04\x05"), ARRAY, ERR_TOO_LARGE, "byte 0: more elements than allowed"},
    {STR("\x92\xa1x"), ANY, ERR_MALFORMED, "byte 3: the message ends where"},
    {STR("\xc0\xc0"), NIL, ERR_MALFORMED, "byte 1: bytes follow the end"},
    {STR("\xc0\xc1"), ANY, ERR_MALFORMED, "byte 1: bytes follow the end"},
    {STR("\xc2"), NIL, ERR_MALFORMED, "byte 0: wanted nil"},
    {STR("\x01"), BOOL, ERR_MALFORMED, "byte 0: wanted a boolean"},
    {STR("\xc0"), I64, ERR_MALFORMED, "byte 0: wanted an integer"},
    {STR("\xcb\0\0\0\0\0\0\0\0"), I64, ERR_MALFORMED, "byte 0: wanted an integer"},
    {STR("\xcf\x80\0\0\0\0\0\0\0"), I64, ERR_MALFORMED, "byte 0: wanted an integer"},
    {STR("\xff"), U64, ERR_MALFORMED, "byte 0: wanted an integer that is not negative"},
    {STR("\xd3\x80\0\0\0\0\0\0\0"), U64, ERR_MALFORMED, "byte 0: wanted an integer that is not"},
    {STR("\xc0"), U64, ERR_MALFORMED, "byte 0: wanted an integer that is not negative"},
    {STR("\xa1z"), DOUBLE, ERR_MALFORMED, "byte 0: wanted a number"},
    {STR("\xc4\x01z"), TEXT, ERR_MALFORMED, "byte 0: wanted a string"},
    {STR("\x01"), BYTES, ERR_MALFORMED, "byte 0: wanted bytes"},
    {STR("\x80"), ARRAY, ERR_MALFORMED, "byte 0: wanted an array"},
    {STR("\x90"), MAP, ERR_MALFORMED, "byte 0: wanted a map"},
};

START_TEST(bad_bytes)
{
    struct str bytes = exact(BAD_CASES[_i].bytes);
    struct pack_reader r;
    struct err_detail d = {0};
    pack_reader_init(&r, bytes);
    read_as(&r, BAD_CASES[_i].type);
    enum err e = pack_reader_done(&r, &d);
    mem_free((char *)(uintptr_t)bytes.p);
    ck_assert_int_eq(e, BAD_CASES[_i].err);
    const char *wanted = BAD_CASES[_i].message;
    ck_assert_msg(strncmp(d.text, wanted, strlen(wanted)) == 0, "%s, wanted %s", d.text, wanted);
}
END_TEST

START_TEST(errors_are_sticky)
{
    struct pack_reader r;
    pack_reader_init(&r, STR("\x05\xc0\x05\xa1x\x90\x80\xc3\xcb\0\0\0\0\0\0\0\0"));
    ck_assert_int_eq(pack_read_i64(&r), 5);
    ck_assert(!pack_read_bool(&r)); /* the first error, at byte 1 */
    pack_fail(&r, ERR_TOO_LARGE, "a later one");
    for (int type = ANY; type <= MAP; type++) {
        read_as(&r, type);
        ck_assert_int_eq(pack_peek(&r), PACK_END);
    }
    struct err_detail d = {0};
    ck_assert(!pack_ok(&r));
    ck_assert_int_eq(pack_reader_done(&r, &d), ERR_MALFORMED);
    ck_assert_str_eq(d.text, "byte 1: wanted a boolean");
}
END_TEST

START_TEST(the_caller_may_refuse)
{
    struct pack_reader r;
    pack_reader_init(&r, STR("\x05\x06"));
    ck_assert_int_eq(pack_read_i64(&r), 5);
    pack_fail(&r, ERR_UNSUPPORTED, "no such thing");
    struct err_detail d = {0};
    ck_assert_int_eq(pack_reader_done(&r, &d), ERR_UNSUPPORTED);
    ck_assert_str_eq(d.text, "byte 1: no such thing");
}
END_TEST

START_TEST(nothing_is_empty)
{
    struct pack_reader r;
    pack_reader_init(&r, STR_NONE);
    ck_assert_int_eq(pack_peek(&r), PACK_END);
    ck_assert_int_eq(pack_reader_done(&r, NULL), ERR_OK);
}
END_TEST

static enum err skip_all(struct str bytes, uint32_t items_max, const char **what)
{
    struct pack_reader r;
    pack_reader_init(&r, bytes);
    if (items_max > 0) {
        r.items_max = items_max;
    }
    pack_skip(&r);
    *what = r.what;
    return pack_reader_done(&r, NULL);
}

START_TEST(skip_is_bounded)
{
    const char *what;
    /* Depth: arrays in arrays, maps in maps. */
    for (int n = PACK_DEPTH_MAX; n <= PACK_DEPTH_MAX + 1; n++) {
        enum err wanted = n > PACK_DEPTH_MAX ? ERR_TOO_LARGE : ERR_OK;
        buf_clear(&ours);
        for (int i = 0; i < n; i++) {
            pack_array(&ours, 1);
        }
        pack_nil(&ours);
        ck_assert_int_eq(skip_all(buf_str(&ours), 0, &what), wanted);
        buf_clear(&ours);
        for (int i = 0; i < n; i++) {
            pack_map(&ours, 1);
            pack_nil(&ours);
        }
        pack_nil(&ours);
        ck_assert_int_eq(skip_all(buf_str(&ours), 0, &what), wanted);
    }
    /* Items: the array and its elements. */
    buf_clear(&ours);
    pack_array(&ours, PACK_ITEMS_MAX);
    for (int i = 0; i < PACK_ITEMS_MAX; i++) {
        pack_nil(&ours);
    }
    ck_assert_int_eq(skip_all(buf_str(&ours), 0, &what), ERR_TOO_LARGE);
    ck_assert_str_eq(what, "the message holds too many values");
    ck_assert_int_eq(skip_all(buf_str(&ours), PACK_ITEMS_MAX + 1, &what), ERR_OK);
}
END_TEST

/* ---- random trees against msgpack-c's unpacker ---- */

static void random_value(struct rng *r, int depth)
{
    static const char text[] = "some text \xc3\xa4\xe2\x82\xac of moderate length, cut at will....";
    switch (rng_below(r, depth > 0 ? 9 : 7)) {
    case 0:
        pack_nil(&ours);
        break;
    case 1:
        pack_bool(&ours, rng_chance(r, 0.5));
        break;
    case 2:
        pack_i64(&ours, (int64_t)rng_u64(r) >> rng_below(r, 64));
        break;
    case 3:
        pack_u64(&ours, rng_u64(r) >> rng_below(r, 64));
        break;
    case 4:
        pack_double(&ours, rng_double(r));
        break;
    case 5:
        pack_str(&ours, (struct str){text, rng_below(r, 10)});
        break;
    case 6:
        pack_bin(&ours, (struct str){text, rng_below(r, sizeof(text))});
        break;
    case 7: {
        uint32_t n = (uint32_t)rng_below(r, 20);
        pack_array(&ours, n);
        for (uint32_t i = 0; i < n; i++) {
            random_value(r, depth - 1);
        }
        break;
    }
    default: {
        uint32_t n = (uint32_t)rng_below(r, 20);
        pack_map(&ours, n);
        for (uint32_t i = 0; i < n; i++) {
            pack_str(&ours, (struct str){text, rng_below(r, 10)});
            random_value(r, depth - 1);
        }
    }
    }
}

/* Reads with our reader what msgpack-c has unpacked. */
static void check_object(struct pack_reader *r, const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        pack_read_nil(r);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        ck_assert(pack_read_bool(r) == o->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        ck_assert_uint_eq(pack_read_u64(r), o->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        ck_assert_int_eq(pack_read_i64(r), o->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        ck_assert(pack_read_double(r) == o->via.f64);
        break;
    case MSGPACK_OBJECT_STR:
        ck_assert(
            str_eq(pack_read_str(r, SIZE_MAX), (struct str){o->via.str.ptr, o->via.str.size}));
        break;
    case MSGPACK_OBJECT_BIN:
        ck_assert(
            str_eq(pack_read_bin(r, SIZE_MAX), (struct str){o->via.bin.ptr, o->via.bin.size}));
        break;
    case MSGPACK_OBJECT_ARRAY:
        ck_assert_uint_eq(pack_read_array(r, UINT32_MAX), o->via.array.size);
        for (uint32_t i = 0; i < o->via.array.size; i++) {
            check_object(r, &o->via.array.ptr[i]);
        }
        break;
    case MSGPACK_OBJECT_MAP:
        ck_assert_uint_eq(pack_read_map(r, UINT32_MAX), o->via.map.size);
        for (uint32_t i = 0; i < o->via.map.size; i++) {
            check_object(r, &o->via.map.ptr[i].key);
            check_object(r, &o->via.map.ptr[i].val);
        }
        break;
    case MSGPACK_OBJECT_EXT:
    default:
        ck_abort_msg("unexpected type %d", (int)o->type);
    }
}

START_TEST(random_trees)
{
    struct rng rng;
    rng_seed(&rng, (uint64_t)_i);
    for (int round = 0; round < 100; round++) {
        buf_clear(&ours);
        random_value(&rng, 4);
        msgpack_unpacked u;
        msgpack_unpacked_init(&u);
        size_t at = 0;
        ck_assert_int_eq(msgpack_unpack_next(&u, ours.p, ours.size, &at), MSGPACK_UNPACK_SUCCESS);
        struct pack_reader r;
        pack_reader_init(&r, buf_str(&ours));
        check_object(&r, &u.data);
        ck_assert_int_eq(pack_reader_done(&r, NULL), ERR_OK);
        msgpack_unpacked_destroy(&u);
        const char *what;
        ck_assert_int_eq(skip_all(buf_str(&ours), 0, &what), ERR_OK);
        /* Every truncation of a value is no value. */
        for (size_t size = 0; size < ours.size && ours.size < 1000; size++) {
            struct str cut = exact((struct str){ours.p, size});
            if (skip_all(cut, 0, &what) == ERR_OK) {
                ck_abort_msg("cut at %zu of %zu", size, ours.size);
            }
            mem_free((char *)(uintptr_t)cut.p);
        }
    }
}
END_TEST

/* All messages of two bytes and a sample of longer ones: any reader call ends, in bounds. */
START_TEST(short_messages)
{
    struct rng rng;
    rng_seed(&rng, 3);
    for (uint32_t i = 0; i < 200000; i++) {
        char bytes[8];
        size_t size = i < 65536 ? 2 : 1 + rng_below(&rng, sizeof(bytes));
        uint64_t v = i < 65536 ? i : rng_u64(&rng);
        memcpy(bytes, &v, sizeof(bytes));
        for (int type = ANY; type <= MAP; type++) {
            struct pack_reader r;
            pack_reader_init(&r, (struct str){bytes, size});
            read_as(&r, type);
            if (r.p < r.start || r.p > r.end || r.err_at > size) {
                ck_abort_msg("out of bounds");
            }
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pack");
    TCase *t = tcase_create("pack");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, integers_are_smallest);
    tcase_add_test(t, others_are_the_same);
    tcase_add_test(t, a_full_buffer_stops_quietly);
    tcase_add_test(t, reads_all_types);
    tcase_add_loop_test(t, bad_bytes, 0, ARRAY_LEN(BAD_CASES));
    tcase_add_test(t, errors_are_sticky);
    tcase_add_test(t, the_caller_may_refuse);
    tcase_add_test(t, nothing_is_empty);
    tcase_add_test(t, skip_is_bounded);
    tcase_add_loop_test(t, random_trees, 0, 10);
    tcase_add_test(t, short_messages);
    suite_add_tcase(s, t);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
