/* Histories of many events, page after page: the same events whatever the pages, and a page costs itself
 * and a bounded fold. On virtual time. */
#include "base/prelude.h"

#include "tests/unit/engine/crowd_fixture.h"

#include "base/map.h"
#include "base/mem.h"
#include "engine/marks.h"
#include "engine/metrics.h"

/* Nine events and more a round, one turn each; what a round drew goes into the next. */
static const char rounds[] =
    "{\"StartAt\":\"I\",\"States\":{"
    "\"I\":{\"Type\":\"Pass\",\"Parameters\":{\"i.$\":\"States.MathAdd($.i,1)\",\"n.$\":\"$.n\","
    "\"u.$\":\"States.UUID()\"},"
    "\"Next\":\"T\"},"
    "\"T\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"ResultPath\":null,\"Next\":\"C\"},"
    "\"C\":{\"Type\":\"Choice\",\"Choices\":[{\"Variable\":\"$.i\",\"NumericLessThanPath\":\"$.n\","
    "\"Next\":\"I\"}],\"Default\":\"E\"},"
    "\"E\":{\"Type\":\"Succeed\"}}}";

/* What was read: of each event a digest, by number. */
enum { EVENTS_MAX = 120000 };
static uint64_t digest[EVENTS_MAX + 1], first_digest[EVENTS_MAX + 1];
static uint32_t seen, page_len, last, pages;

static void on_page(struct crowd *c, const struct msg *m)
{
    (void)c;
    if (m->type != MSG_HISTORY_OK) {
        return;
    }
    const struct msg_history_ok *p = &m->u.history_ok;
    for (uint32_t i = 0; i < p->events_len; i++) {
        char text[400];
        (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(p->events[i]));
        const char *id = strstr(text, "\"id\":");
        ck_assert_ptr_nonnull(id);
        unsigned long n = strtoul(id + 5, NULL, 10);
        ck_assert_uint_le(n, EVENTS_MAX);
        ck_assert_uint_eq(digest[n], 0);
        digest[n] = hash_bytes(p->events[i].p, p->events[i].size);
        seen++;
    }
    page_len = p->events_len;
    last = p->last;
    pages++;
}

static void page_read(struct crowd *c, uint32_t after, uint32_t limit, bool reverse)
{
    struct msg m = {.type = MSG_HISTORY};
    m.u.history.execution = str_of(c->execution);
    m.u.history.after_event = after;
    m.u.history.limit = limit;
    m.u.history.reverse = reverse;
    uint32_t before = pages;
    crowd_send(c, &m, 1);
    RUN_UNTIL(c->f, pages > before, 60 * US_PER_S);
}

/* Reads all of it; returns how many events were folded for that. */
static uint64_t read_all(struct crowd *c, uint32_t limit, bool reverse)
{
    int64_t before = metric_value(&metric_history_events);
    memset(digest, 0, sizeof(digest));
    seen = pages = last = 0;
    do {
        page_read(c, last, limit, reverse);
    } while (last != 0);
    ck_assert_uint_eq(c->errors, 0);
    return (uint64_t)(metric_value(&metric_history_events) - before);
}

static struct fixture f;
static struct crowd *reader;
static uint32_t total;

/* An execution of so many rounds, done by the fixture's peer; read by somebody else. */
static void begin(uint64_t seed, uint32_t n)
{
    char input[64];
    fixture_setup(&f, seed);
    reader = MEM_NEW(struct crowd);
    crowd_join(&f, reader, "default", 1);
    reader->on_msg = on_page;
    peer_define(&f, "rounds", rounds);
    peer_poll(&f, "work", 1, 1000);
    (void)snprintf(input, sizeof(input), "{\"i\":0,\"n\":%" PRIu32 "}", n);
    const char *id = fixture_start(&f, "rounds", "one", input);
    (void)snprintf(reader->execution, sizeof(reader->execution), "%s", id);
    while (f.acked < n) {
        world_run(f.world, f.world->now_us + 10 * US_PER_S);
    }
    world_run(f.world, f.world->now_us + US_PER_S);
}

static void end(void)
{
    fixture_teardown(&f);
    mem_free(reader);
}

/* Each page of "limit" may fold from a mark on, and ends at the end of a row. */
static uint64_t fair(uint32_t limit)
{
    enum { ROW = 12 };
    return (uint64_t)pages * (MARKS_SPACING + limit + 2 * ROW);
}

START_TEST(a_hundred_thousand_events)
{
    enum { ROUNDS = 10000 };
    begin((uint64_t)_i, ROUNDS);
    uint64_t folded = read_all(reader, 1000, false);
    total = seen;
    ck_assert_uint_ge(total, 90000);
    ck_assert_uint_le(folded, fair(1000));
    memcpy(first_digest, digest, sizeof(digest));
    folded = read_all(reader, 1000, true);
    ck_assert_uint_eq(seen, total);
    ck_assert_uint_le(folded, fair(1000));
    ck_assert_int_eq(memcmp(first_digest, digest, sizeof(digest)), 0);
    folded = read_all(reader, 0, false);
    ck_assert_uint_eq(seen, total);
    ck_assert_uint_le(folded, fair(100));
    ck_assert_int_eq(memcmp(first_digest, digest, sizeof(digest)), 0);
    /* One page out of the middle, and beyond the end. */
    memset(digest, 0, sizeof(digest));
    int64_t before = metric_value(&metric_history_events);
    pages = 0;
    page_read(reader, total / 2, 10, false);
    ck_assert_uint_eq(page_len, 10);
    ck_assert_uint_le((uint64_t)(metric_value(&metric_history_events) - before), fair(10));
    page_read(reader, UINT32_MAX, 10, false);
    ck_assert_uint_eq(page_len, 0);
    ck_assert_uint_eq(last, 0);
    page_read(reader, total, 10, false);
    ck_assert_uint_eq(page_len, 0);
    end();
}
END_TEST

/* Pages of many readers at once: each is answered, a few are worked on at a time. */
START_TEST(many_readers)
{
    enum { ROUNDS = 300, READERS = 40 };
    begin((uint64_t)_i, ROUNDS);
    (void)read_all(reader, 1000, false);
    total = seen;
    struct msg m = {.type = MSG_HISTORY};
    m.u.history.execution = str_of(reader->execution);
    m.u.history.after_event = total - 1;
    m.u.history.limit = 10;
    pages = seen = 0;
    for (uint32_t i = 0; i < READERS; i++) {
        memset(digest, 0, sizeof(digest));
        crowd_send(reader, &m, 1);
    }
    int64_t until = f.world->now_us + 10 * US_PER_S;
    while (pages < READERS && f.world->now_us < until) {
        memset(digest, 0, sizeof(digest));
        (void)world_step(f.world, until);
    }
    ck_assert_uint_eq(pages, READERS);
    ck_assert_uint_eq(seen, READERS);
    end();
}
END_TEST

/* The store loses its tail, and with it rows behind which marks stood: nothing of them is told. */
START_TEST(marks_of_a_lost_tail)
{
    enum { ROUNDS = 600, HALF = 300 };
    begin((uint64_t)_i, HALF); /* it has ended; another is under way */
    char input[64];
    (void)snprintf(input, sizeof(input), "{\"i\":0,\"n\":%d}", ROUNDS);
    const char *id = fixture_start(&f, "rounds", "two", input);
    (void)snprintf(reader->execution, sizeof(reader->execution), "%s", id);
    uint32_t acked = f.acked;
    RUN_UNTIL(&f, f.acked > acked + 250, 60 * US_PER_S);
    (void)read_all(reader, 1000, false);
    uint32_t before = seen;
    ck_assert_uint_gt(before, 2 * MARKS_SPACING);
    memcpy(first_digest, digest, sizeof(digest));
    sim_store_failover(f.store, 150 * US_PER_MS);
    RUN_UNTIL(&f, !f.active, 30 * US_PER_S);
    RUN_UNTIL(&f, f.active && f.peer->greeted && reader->greeted, 60 * US_PER_S);
    for (int i = 0; i < 100 && f.acked < acked + ROUNDS; i++) {
        peer_poll(&f, "work", 1, 1000);
        world_run(f.world, f.world->now_us + 20 * US_PER_S);
    }
    reader->errors = 0;
    (void)read_all(reader, 7, false);
    ck_assert_uint_gt(seen, before);
    uint32_t same = 1;
    while (same < before && digest[same] == first_digest[same]) {
        same++;
    }
    ck_assert_uint_lt(same, 2 * MARKS_SPACING); /* the second mark was, indeed */
    memcpy(first_digest, digest, sizeof(digest));
    fixture_restart(&f); /* a node that has no marks */
    RUN_UNTIL(&f, reader->greeted, 10 * US_PER_S);
    (void)read_all(reader, 1000, false);
    ck_assert_int_eq(memcmp(first_digest, digest, sizeof(digest)), 0);
    end();
}
END_TEST

int main(void)
{
    mem_regions_enable(); /* a host that crashes loses its memory */
    Suite *s = suite_create("history");
    TCase *c = tcase_create("history");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, a_hundred_thousand_events, 0, 2);
    tcase_add_loop_test(c, many_readers, 0, 2);
    tcase_add_loop_test(c, marks_of_a_lost_tail, 0, 3);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
