/* From configuration to node: presets are what a node has without one, each key reaches its field. */
#include "base/prelude.h"

#include "base/clock.h"
#include "cmd/node_conf.h"

#include <check.h>

static struct conf *load(const char *yaml, uint32_t cpus)
{
    struct conf_problems problems;
    struct conf_file file = {"f.yaml", str_of(yaml)};
    conf_problems_init(&problems);
    struct conf *c =
        conf_load(&(struct conf_source){.files = &file, .files_len = 1, .cpus = cpus}, &problems);
    ck_assert_msg(c != NULL, "%s", problems.len > 0 ? problems.v[0].text.p : "");
    conf_problems_fini(&problems);
    return c;
}

START_TEST(presets_are_the_defaults)
{
    struct node_config mine, defaults;
    struct conf *c = load("", 8);
    node_config_of(c, &mine);
    node_config_defaults(&defaults);
    ck_assert(str_eq(mine.node_id, defaults.node_id));
    ck_assert(str_eq(mine.listen, defaults.listen));
    ck_assert_int_eq(mine.shard, defaults.shard);
    ck_assert_int_eq(mine.heartbeat_us, defaults.heartbeat_us);
    ck_assert_int_eq(mine.window_us, defaults.window_us);
    ck_assert_uint_eq(mine.ring_windows, defaults.ring_windows);
    ck_assert_int_eq(mine.promote_us, defaults.promote_us);
    ck_assert_uint_eq(mine.timers_chunk, defaults.timers_chunk);
    ck_assert_uint_eq(mine.turn_loops, defaults.turn_loops);
    ck_assert_uint_eq(mine.cache_bytes, defaults.cache_bytes);
    ck_assert_uint_eq(mine.definitions, defaults.definitions);
    ck_assert_int_eq(mine.definition_us, defaults.definition_us);
    ck_assert_uint_eq(mine.batches, defaults.batches);
    ck_assert_uint_eq(mine.batch_min, defaults.batch_min);
    ck_assert_uint_eq(mine.requests_max, defaults.requests_max);
    ck_assert(str_eq(mine.admin, defaults.admin));
    ck_assert_int_eq(mine.admin_taken, defaults.admin_taken);
    ck_assert_uint_eq(mine.admin_queue, defaults.admin_queue);
    conf_free(c);
}
END_TEST

START_TEST(every_key_arrives)
{
    struct node_config n;
    struct conf *c = load(
        "node: {id: n2, listen: 'tcp://h:1'}\n"
        "scheduler: {distributed: {heartbeatInterval: 2s, windowLength: 7s, "
        "partitionCount: 9}}\n"
        "schedulerInstances:\n- {type: LONG_TERM, pollInterval: 3s}\n"
        "- {type: HIGH_PRECISION, maxScheduledItems: 11}\n"
        "threadPools: {workflow: {coreSize: 5, queueCapacity: 12}, http: {queueCapacity: 16}}\n"
        "admin: {http: {listen: '127.0.0.1:8080'}}\n"
        "cache: {executions: {maxBytes: 1MiB}, workflowDefinitions: {maxSize: 13, "
        "expireAfterWrite: 14}}\n"
        "commit: {maxInFlight: 3, minTurns: 15}\n",
        4);
    node_config_of(c, &n);
    ck_assert(str_eqc(n.node_id, "n2") && str_eqc(n.listen, "tcp://h:1"));
    ck_assert_int_eq(n.heartbeat_us, 2 * US_PER_S);
    ck_assert_int_eq(n.window_us, 7 * US_PER_S);
    ck_assert_uint_eq(n.ring_windows, 9);
    ck_assert_int_eq(n.promote_us, 3 * US_PER_S);
    ck_assert_uint_eq(n.timers_chunk, 11);
    ck_assert_uint_eq(n.turn_loops, 3);
    ck_assert_uint_eq(n.requests_max, 12);
    ck_assert_uint_eq(n.cache_bytes, 1 << 20);
    ck_assert_uint_eq(n.definitions, 13);
    ck_assert_int_eq(n.definition_us, 14 * US_PER_S);
    ck_assert_uint_eq(n.batches, 3);
    ck_assert_uint_eq(n.batch_min, 15);
    ck_assert_uint_eq(n.admin_queue, 16);
    ck_assert(str_eqc(n.admin, "127.0.0.1:8080"));
    ck_assert_int_eq(n.admin_taken, ADMIN_TAKEN_FAIL); /* named, so it is meant */
    conf_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("node_conf");
    TCase *t = tcase_create("node_conf");
    tcase_add_test(t, presets_are_the_defaults);
    tcase_add_test(t, every_key_arrives);
    suite_add_tcase(s, t);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
