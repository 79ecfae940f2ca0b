#include "base/prelude.h"

#include "base/metrics.h"
#include "base/thread.h"
#include "tests/unit/base/suite.h"

/* A table of a folder, as metric.h describes it. */
#define TABLE(METRIC) \
    METRIC(GAUGE, test_depth, "carillon_test_depth", "Depth,\nof a \\ queue.") \
    METRIC(COUNTER, test_ok, "carillon_test_answers_total{result=\"ok\"}", "Answers.") \
    METRIC(COUNTER, test_more, "carillon_test_answers_total_more", "Sorts behind its prefix.") \
    METRIC(COUNTER, test_bad, "carillon_test_answers_total{result=\"bad\"}", "Answers.") \
    METRIC(HISTOGRAM, test_wait, "carillon_test_wait_seconds", "Wait.") \
    METRIC(HISTOGRAM, test_lane, "carillon_test_lane_seconds{lane=\"1\"}", "Lane.") \
    METRIC(SECONDS, test_busy, "carillon_test_busy_seconds_total", "Busy.") \
    METRIC(GAUGE, test_room, "carillon_test_room_bytes", "Room.") \
    METRIC(GAUGE, test_crowd, "carillon_test_crowd", "Crowd.") \
    METRIC(GAUGE_SECONDS, test_offset, "carillon_test_offset_seconds", "Offset.") \
    METRIC(COUNTER, test_threads, "carillon_test_threads_total", "By thread.")
TABLE(METRIC_DECLARE)
TABLE(METRIC_DEFINE)

static char text[65536];

static void print(void)
{
    struct buf b;
    buf_init(&b, sizeof(text) - 1);
    metric_write_prometheus(&b);
    ck_assert(!b.failed);
    memcpy(text, b.p, b.size);
    text[b.size] = '\0';
    buf_fini(&b);
}

static void check_has(const char *line)
{
    ck_assert_msg(strstr(text, line) != NULL, "no %s in:\n%s", line, text);
}

START_TEST(text_form)
{
    metric_set(&metric_test_depth, -5);
    metric_add(&metric_test_ok, 2);
    metric_add(&metric_test_ok, 1);
    metric_add(&metric_test_busy, 1500000);
    metric_add(&metric_loop_slow, 1);
    metric_set(&metric_test_offset, -1250000);
    print();
    check_has(
        "# TYPE carillon_test_offset_seconds gauge\ncarillon_test_offset_seconds -1.250000\n");
    check_has("# HELP carillon_test_depth Depth,\\nof a \\\\ queue.\n"
              "# TYPE carillon_test_depth gauge\ncarillon_test_depth -5\n");
    check_has("# HELP carillon_test_answers_total Answers.\n"
              "# TYPE carillon_test_answers_total counter\n"
              "carillon_test_answers_total{result=\"bad\"} 0\n"
              "carillon_test_answers_total{result=\"ok\"} 3\n"
              "# HELP carillon_test_answers_total_more ");
    check_has("# TYPE carillon_test_busy_seconds_total counter\n"
              "carillon_test_busy_seconds_total 1.500000\n");
    check_has("# TYPE carillon_base_loop_slow_callbacks_total counter\n" /* base's own table */
              "carillon_base_loop_slow_callbacks_total 1\n");
    ck_assert_int_eq(metric_value(&metric_test_ok), 3);
    metric_register(&metric_test_ok); /* idempotent */
    print();
    const char *first = strstr(text, "answers_total{result=\"ok\"}");
    ck_assert_ptr_null(strstr(first + 1, "answers_total{result=\"ok\"}"));
}
END_TEST

START_TEST(histogram_bounds)
{
    static const struct {
        int64_t us;
        unsigned bucket;
    } cases[] = {
        {-5, 0},
        {0, 0},
        {1, 0},
        {2, 1},
        {3, 2},
        {4, 2},
        {5, 3},
        {1024, 10},
        {1025, 11},
        {INT64_C(1) << 27, 27},
        {(INT64_C(1) << 27) + 1, 28},
        {INT64_MAX / 16, 28},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t before = metric_test_wait.bucket[cases[i].bucket];
        metric_observe_us(&metric_test_wait, cases[i].us);
        ck_assert_int_eq(metric_test_wait.bucket[cases[i].bucket], before + 1);
    }
    ck_assert_int_eq(metric_value(&metric_test_wait), (int64_t)ARRAY_LEN(cases));
}
END_TEST

START_TEST(histogram_text)
{
    metric_observe_us(&metric_test_lane, 3);
    metric_observe_us(&metric_test_lane, 2000000);
    metric_observe_us(&metric_test_lane, INT64_C(200000000));
    print();
    check_has("# TYPE carillon_test_lane_seconds histogram\n"
              "carillon_test_lane_seconds_bucket{lane=\"1\",le=\"0.000001\"} 0\n"
              "carillon_test_lane_seconds_bucket{lane=\"1\",le=\"0.000002\"} 0\n"
              "carillon_test_lane_seconds_bucket{lane=\"1\",le=\"0.000004\"} 1\n");
    check_has("carillon_test_lane_seconds_bucket{lane=\"1\",le=\"2.097152\"} 2\n");
    check_has("carillon_test_lane_seconds_bucket{lane=\"1\",le=\"134.217728\"} 2\n"
              "carillon_test_lane_seconds_bucket{lane=\"1\",le=\"+Inf\"} 3\n"
              "carillon_test_lane_seconds_sum{lane=\"1\"} 202.000003\n"
              "carillon_test_lane_seconds_count{lane=\"1\"} 3\n");
}
END_TEST

static void add_many(void *arg UNUSED)
{
    for (int i = 0; i < 50000; i++) {
        metric_add(&metric_test_bad, 1);
        metric_observe_us(&metric_test_wait, i);
    }
}

START_TEST(threads_lose_nothing)
{
    struct thread t[4];
    int64_t count = metric_value(&metric_test_bad), waits = metric_value(&metric_test_wait);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_start(&t[i], "adder", add_many, NULL);
    }
    print(); /* meanwhile */
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_join(&t[i]);
    }
    ck_assert_int_eq(metric_value(&metric_test_bad), count + 200000);
    ck_assert_int_eq(metric_value(&metric_test_wait), waits + 200000);
}
END_TEST

START_TEST(series_of_a_family)
{
    struct metric *a = metric_series(&metric_test_room, "cache", "a");
    struct metric *b = metric_series(&metric_test_room, "cache", "b");
    ck_assert_ptr_ne(a, b);
    ck_assert_ptr_eq(metric_series(&metric_test_room, "cache", "a"), a);
    metric_set(a, 7);
    metric_max(b, 5);
    metric_max(b, 3); /* a peak does not fall */
    print();
    check_has("# TYPE carillon_test_room_bytes gauge\n"
              "carillon_test_room_bytes{cache=\"a\"} 7\n"
              "carillon_test_room_bytes{cache=\"b\"} 5\n#");
    ck_assert_ptr_null(strstr(text, "\ncarillon_test_room_bytes 0"));
    /* One too many counts on the family, which then shows itself. */
    struct metric *m = NULL;
    for (int i = 0; i < METRIC_SERIES_MAX + 1; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "%d", i);
        m = metric_series(&metric_test_crowd, "n", value);
    }
    ck_assert_ptr_eq(m, &metric_test_crowd);
    metric_set(m, 1);
    print();
    check_has("\ncarillon_test_crowd 1\ncarillon_test_crowd{n=\"0\"} 0\n");
}
END_TEST

static void make_many(void *arg UNUSED)
{
    for (int i = 0; i < 1000; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "t%d", i % 20);
        metric_add(metric_series(&metric_test_threads, "thread", value), 1);
    }
}

START_TEST(series_of_many_threads)
{
    struct thread t[4];
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_start(&t[i], "maker", make_many, NULL);
    }
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        thread_join(&t[i]);
    }
    for (int i = 0; i < 20; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "t%d", i);
        ck_assert_int_eq(metric_value(metric_series(&metric_test_threads, "thread", value)), 200);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {text_form,
                                  histogram_bounds,
                                  histogram_text,
                                  threads_lose_nothing,
                                  series_of_many_threads,
                                  series_of_a_family, /* last: it uses up what a process may have */
                                  NULL};
    return suite_run("metric", tests);
}
