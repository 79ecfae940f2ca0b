/* Marks in histories: where they stand, and that they stay within their bytes. */
#include "base/prelude.h"

#include "engine/marks.h"

#include "base/mem.h"

#include <check.h>

static struct marks *m;
static char text[MARKS_EACH_BYTES];

static struct exec_id id_of(uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    return exec_id_make(0, 1, 1, (struct wall){1}, &rng);
}

static void add(uint64_t exec, uint32_t events, size_t size)
{
    struct exec_id id = id_of(exec);
    marks_add(m, &id,
              &(struct mark){
                  .seq = events / 10, .row = events, .events = events, .snapshot = {text, size}});
}

/* Events up to the mark that a page beginning with "event" would use. */
static uint32_t before(uint64_t exec, uint32_t event)
{
    struct exec_id id = id_of(exec);
    const struct mark *mark = marks_before(m, &id, event);
    ck_assert(mark == NULL || (mark->row == mark->events && mark->snapshot.p != text));
    return mark == NULL ? 0 : mark->events;
}

static bool wanted(uint64_t exec, uint32_t events)
{
    struct exec_id id = id_of(exec);
    return marks_wanted(m, &id, events);
}

static void setup(void)
{
    m = marks_new();
}
static void teardown(void)
{
    marks_free(m);
}

START_TEST(the_last_one_before_an_event)
{
    ck_assert_uint_eq(before(1, 5000), 0);
    add(1, 3000, 10);
    add(1, 1000, 10);
    add(1, 2000, 10);
    add(2, 50, 10);
    ck_assert_uint_eq(before(1, 0), 0);
    ck_assert_uint_eq(before(1, 1000), 0); /* that event is in the mark itself */
    ck_assert_uint_eq(before(1, 1001), 1000);
    ck_assert_uint_eq(before(1, 3000), 2000);
    ck_assert_uint_eq(before(1, UINT32_MAX), 3000);
    ck_assert_uint_eq(before(2, UINT32_MAX), 50);
    struct exec_id id = id_of(1);
    marks_forget(m, &id);
    marks_forget(m, &id);
    ck_assert_uint_eq(before(1, UINT32_MAX), 0);
    ck_assert_uint_eq(before(2, UINT32_MAX), 50);
}
END_TEST

START_TEST(apart_from_each_other)
{
    ck_assert(!wanted(1, MARKS_SPACING - 1));
    ck_assert(wanted(1, MARKS_SPACING));
    add(1, 5000, 10);
    ck_assert(wanted(1, 5000 - MARKS_SPACING));
    ck_assert(!wanted(1, 5001 - MARKS_SPACING));
    ck_assert(!wanted(1, 5000));
    ck_assert(!wanted(1, 4999 + MARKS_SPACING));
    ck_assert(wanted(1, 5000 + MARKS_SPACING));
}
END_TEST

/* More marks than an execution may have: every second one goes, and they stand farther apart. */
START_TEST(many_marks)
{
    uint32_t made = 0;
    for (uint32_t events = 1; events <= 1000 * MARKS_SPACING; events += MARKS_SPACING / 4) {
        if (wanted(1, events)) {
            add(1, events, 100);
            made++;
        }
    }
    ck_assert_uint_gt(made, MARKS_EACH_MAX);
    for (uint32_t events = 8 * MARKS_SPACING; events < 900 * MARKS_SPACING; events += 999) {
        ck_assert_uint_le(events - before(1, events), 32 * MARKS_SPACING);
    }
    ck_assert_uint_lt(marks_bytes(m), MARKS_EACH_MAX * 100 + 10000);
}
END_TEST

START_TEST(large_states)
{
    add(1, 1000, MARKS_EACH_BYTES / 2 + 1); /* two of these would not fit */
    ck_assert_uint_eq(before(1, 9999), 0);
    for (uint32_t i = 1; i <= 20; i++) {
        add(1, i * 1000, MARKS_EACH_BYTES / 4);
    }
    ck_assert_uint_le(marks_bytes(m), MARKS_EACH_BYTES + 10000);
    ck_assert_uint_eq(before(1, UINT32_MAX), 20000);
    for (uint64_t exec = 2; exec <= 40; exec++) {
        add(exec, 1000, MARKS_EACH_BYTES / 2);
        ck_assert_uint_eq(before(2, UINT32_MAX), 1000); /* asked about each time: it stays */
    }
    ck_assert_uint_le(marks_bytes(m), MARKS_BYTES);
    ck_assert_uint_eq(before(1, UINT32_MAX), 0);
    ck_assert_uint_eq(before(40, UINT32_MAX), 1000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("marks");
    TCase *c = tcase_create("marks");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_last_one_before_an_event);
    tcase_add_test(c, apart_from_each_other);
    tcase_add_test(c, many_marks);
    tcase_add_test(c, large_states);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
