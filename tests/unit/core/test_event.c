/* The stored form: every event there and back, the reader on rubbish, the table. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/unit/core/core_fixture.h"

static bool op_same(const struct op *a, const struct op *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return a->kind == b->kind && a->field == b->field && str_eq(a->text, b->text) &&
           op_same(a->base, b->base) && op_same(a->value, b->value);
}

static struct event sample(unsigned type, struct rng *rng, const struct op *out,
                           const struct op *assign)
{
    bool known;
    unsigned f = event_fields(type, &known);
    struct event e = {.type = (enum event_type)type};

    e.frame = (f & F_FRAME) != 0 ? (uint32_t)rng_u64(rng) >> rng_below(rng, 32) : 0;
    e.next = (f & F_NEXT) != 0 ? (uint32_t)rng_u64(rng) >> rng_below(rng, 32) : 0;
    e.slot = (f & F_SLOT) != 0 ? (uint32_t)rng_u64(rng) >> rng_below(rng, 32) : 0;
    e.index = (f & F_INDEX) != 0 ? (uint32_t)rng_below(rng, 300) : 0;
    e.limit = (f & F_LIMIT) != 0 ? (uint32_t)rng_below(rng, 300) : 0;
    e.idx = (f & F_IDX) != 0 ? (uint32_t)rng_below(rng, 300) : 0;
    e.retrier = (f & F_RETRIER) != 0 ? (uint32_t)rng_below(rng, 300) : 0;
    e.nonce = (f & F_NONCE) != 0 ? rng_u64(rng) : 0;
    e.due_us = (f & F_DUE) != 0 ? (int64_t)rng_u64(rng) : 0;
    e.timeout_s = (f & F_TIMEOUT) != 0 ? (int64_t)rng_below(rng, 100000000) : 0;
    e.heartbeat_s = (f & F_HEARTBEAT) != 0 ? (int64_t)rng_below(rng, 100000000) : 0;
    e.out = (f & F_OUT) != 0 ? out : NULL;
    e.assign = (f & F_ASSIGN) != 0 ? assign : NULL;
    e.error = (f & F_ERROR) != 0 && rng_chance(rng, 0.5) ? STR("Err") : STR_NONE;
    e.cause = (f & F_CAUSE) != 0 && rng_chance(rng, 0.5) ? STR("") : STR_NONE;
    e.queue = (f & F_QUEUE) != 0 && rng_chance(rng, 0.5) ? STR("q") : STR_NONE;
    return e;
}

static bool event_same(const struct event *a, const struct event *b)
{
    return a->type == b->type && a->frame == b->frame && a->next == b->next && a->slot == b->slot &&
           a->index == b->index && a->limit == b->limit && a->idx == b->idx &&
           a->retrier == b->retrier && a->nonce == b->nonce && a->due_us == b->due_us &&
           a->timeout_s == b->timeout_s && a->heartbeat_s == b->heartbeat_s &&
           op_same(a->out, b->out) && op_same(a->assign, b->assign) && str_eq(a->error, b->error) &&
           str_eq(a->cause, b->cause) && str_eq(a->queue, b->queue) &&
           (a->error.p == NULL) == (b->error.p == NULL) &&
           (a->cause.p == NULL) == (b->cause.p == NULL);
}

START_TEST(test_round_trip)
{
    const struct op lit = {.kind = OP_LIT, .text = STR("{\"a\":1}")}, in = {.kind = OP_IN};
    const struct op put = {.kind = OP_PUT, .field = FIELD_CATCH + 3, .base = &in, .value = &lit};
    const struct op get = {.kind = OP_GET, .field = FIELD_OUTPUT_PATH, .base = &put};
    const struct op *ops[] = {&lit, &in, &put, &get, NULL};
    struct op_pool pool;
    struct rng rng;
    struct buf b;

    rng_seed(&rng, 7);
    buf_init(&b, 0);
    for (unsigned type = 1; type <= EV_LAST; type++) {
        bool known;
        (void)event_fields(type, &known);
        for (int k = 0; known && k < 50; k++) {
            struct event e = sample(type, &rng, ops[k % 5], ops[(k + 2) % 5]), got;
            struct cur c;
            buf_clear(&b);
            event_write(&b, &e);
            c = cur_of(buf_str(&b));
            ck_assert(event_read(&c, &pool, &got, NULL) == ERR_OK);
            ck_assert(c.p == c.end);
            ck_assert(event_same(&e, &got));
            for (size_t cut = 0; cut < b.size; cut++) { /* never complete before its end */
                c = cur_of((struct str){b.p, cut});
                ck_assert(event_read(&c, &pool, &got, NULL) == ERR_MALFORMED);
            }
        }
    }
    buf_fini(&b);
}
END_TEST

START_TEST(test_varint)
{
    static const uint64_t v[] = {0,         1, 127, 128, 300, UINT32_MAX, (uint64_t)UINT32_MAX + 1,
                                 UINT64_MAX};
    static const int64_t z[] = {0, -1, 1, INT64_MIN, INT64_MAX, -12345678901};
    struct buf b;
    struct cur c;

    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        buf_clear(&b);
        put_varint(&b, v[i]);
        c = cur_of(buf_str(&b));
        ck_assert_uint_eq(cur_varint(&c), v[i]);
        c = cur_of(buf_str(&b));
        (void)cur_u32(&c);
        ck_assert_int_eq(c.bad, v[i] > UINT32_MAX);
    }
    for (size_t i = 0; i < ARRAY_LEN(z); i++) {
        buf_clear(&b);
        put_zigzag(&b, z[i]);
        c = cur_of(buf_str(&b));
        ck_assert_int_eq(cur_zigzag(&c), z[i]);
    }
    c = cur_of(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"));
    (void)cur_varint(&c);
    ck_assert(c.bad); /* more than 64 bits */
    buf_fini(&b);
}
END_TEST

/* Stored rows of old versions must mean the same for ever. */
START_TEST(test_numbers)
{
    static const struct {
        unsigned number;
        enum event_type type;
    } fixed[] = {
        {1, EV_EXECUTION_STARTED},  {2, EV_STATE_ENTERED},      {3, EV_STATE_EXITED},
        {4, EV_TASK_SCHEDULED},     {7, EV_TASK_SUCCEEDED},     {10, EV_WAIT_SET},
        {13, EV_ERROR_RAISED},      {21, EV_ITERATION_STARTED}, {28, EV_EXECUTION_SUCCEEDED},
        {31, EV_EXECUTION_ABORTED},
    };
    /* TASK_SUCCEEDED in frame 0, literal "1"; STATE_EXITED to state 1, output OP_RES, no Assign */
    static const char row[] = "\x01\x00\x07\x00\x01\x01"
                              "1"
                              "\x03\x00\x02\x04\x00";
    struct op_pool pool;
    struct event e;
    struct wall now;
    struct cur c = cur_of((struct str){row, sizeof(row) - 1});

    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        ck_assert_uint_eq((unsigned)fixed[i].type, fixed[i].number);
    }
    ck_assert(row_open(&c, (struct wall){5}, &now, NULL) == ERR_OK);
    ck_assert_int_eq(now.us, 5);
    ck_assert(event_read(&c, &pool, &e, NULL) == ERR_OK);
    ck_assert_int_eq(e.type, EV_TASK_SUCCEEDED);
    ck_assert(str_eqc(e.out->text, "1"));
    ck_assert(event_read(&c, &pool, &e, NULL) == ERR_OK);
    ck_assert_uint_eq(e.next, 2);
    ck_assert_int_eq(e.out->kind, OP_RES);
    ck_assert_ptr_null(e.assign);
    ck_assert(c.p == c.end);
}
END_TEST

START_TEST(test_array_offsets)
{
    static const struct {
        const char *text;
        uint32_t n;
        const char *last;
    } t[] = {
        {"[]", 0, NULL},
        {"[1]", 1, "1"},
        {"[1,2]", 2, "2"},
        {"[[],{}]", 2, "{}"},
        {"[\"a,]\",{\"k\":[1,2]}]", 2, "{\"k\":[1,2]}"},
        {"[\"\\\\\",\"\\\"\"]", 2, "\"\\\"\""},
    };
    uint32_t n;

    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        uint32_t *o = array_offsets(str_of(t[i].text), &n);
        ck_assert_ptr_nonnull(o);
        ck_assert_uint_eq(n, t[i].n);
        if (n > 0) {
            ck_assert(
                str_eqc(str_sub(str_of(t[i].text), o[n - 1], o[n] - 1 - o[n - 1]), t[i].last));
        }
        mem_free(o);
    }
    ck_assert_ptr_null(array_offsets(STR("{}"), &n));
    ck_assert_ptr_null(array_offsets(STR("1"), &n));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("event");
    TCase *t = tcase_create("event");

    tcase_add_test(t, test_round_trip);
    tcase_add_test(t, test_varint);
    tcase_add_test(t, test_numbers);
    tcase_add_test(t, test_array_offsets);
    suite_add_tcase(s, t);
    return cx_main(s);
}
