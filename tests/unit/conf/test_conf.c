/* The struct and what follows from it: presets, the table itself, what is shown, what differs. */
#include "base/prelude.h"

#include "tests/unit/conf/conf_fixture.h"

#include "base/clock.h"
#include "base/limits.h"

/* ---- presets and the table ---- */

START_TEST(presets)
{
    load_good(&(struct given){0});
    ck_assert_str_eq(conf->node_id.p, "node-1");
    ck_assert_str_eq(conf->node_listen.p, "tcp://127.0.0.1:7070");
    ck_assert(conf->database_url.p == NULL);
    ck_assert_int_eq(conf->heartbeat_us, 5 * US_PER_S);
    ck_assert_int_eq(conf->window_us, US_PER_HOUR);
    ck_assert_int_eq(conf->partition_count, 12);
    ck_assert_int_eq(conf->executions_bytes, 16 << 20);
    ck_assert_int_eq(conf->workflow_defs_us, US_PER_HOUR);
    ck_assert_uint_eq(conf->replicas.len, 0);
    ck_assert_uint_eq(conf->schedulers.len, 3);
    ck_assert_int_eq(conf_scheduler(conf, "LONG_TERM")->poll_us, 60 * US_PER_S);
    ck_assert_int_eq(conf_scheduler(conf, "HIGH_PRECISION")->items, 1000);
    ck_assert_int_eq(conf_scheduler(conf, "BATCH")->batch_size, 100);
}
END_TEST

START_TEST(presets_by_path)
{
    ck_assert_str_eq(conf_preset_of(STR("node.id")), "node-1");
    ck_assert_str_eq(conf_preset_of(STR("database.master.url")), "");
    ck_assert_str_eq(conf_preset_of(STR("database.replicas[0].poolSize")), "30");
    ck_assert_str_eq(conf_preset_of(STR("database.replicas[0].url")), "");
    ck_assert_str_eq(conf_preset_of(STR("schedulerInstances[LONG_TERM].pollInterval")), "60s");
    ck_assert_str_eq(conf_preset_of(STR("schedulerInstances[BATCH].pollInterval")), "5s");
    ck_assert_str_eq(conf_preset_of(STR("schedulerInstances[")), "");
    ck_assert_str_eq(conf_preset_of(STR("nothing")), "");
}
END_TEST

/* Bounds that stand in base/limits.h, too. */
START_TEST(bounds)
{
    ck_assert_str_eq(conf_row_of(STR("scheduler.distributed.partitionCount"))->range, "1..168");
    ck_assert_int_eq(RING_WINDOWS_MAX, 168);
    ck_assert_str_eq(conf_row_of(STR("scheduler.distributed.lanes"))->range, "1..1024");
    ck_assert_int_eq(LANES_PER_SHARD_MAX, 1024);
    ck_assert_str_eq(conf_row_of(STR("commit.minTurns"))->range, "0..512");
    ck_assert_int_eq(TURN_BATCH_MAX, 512);
}
END_TEST

/* Each row can be explained, and leads back to itself; no path is another's beginning. */
START_TEST(rows)
{
    const struct conf_row *row;
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        ck_assert(conf_row_of(str_of(row->path)) == row);
        ck_assert_uint_gt(strlen(row->help), 5);
        ck_assert(row->help[strlen(row->help) - 1] == '.' || strstr(row->help, ".)") != NULL);
        buf_clear(&out);
        conf_row_wants(&out, row);
        ck_assert_uint_gt(out.size, 5);
        for (size_t k = 0; conf_row_at(k) != NULL; k++) {
            const char *other = conf_row_at(k)->path;
            size_t size = strlen(row->path);
            ck_assert(k == i || strncmp(other, row->path, size) != 0 || other[size] != '.');
        }
    }
}
END_TEST

/* A group for each mapping, and no group without a key. */
START_TEST(groups)
{
    const struct conf_row *row;
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        const char *dot = strrchr(row->path, '.');
        bool found = dot == NULL;
        for (size_t k = 0; conf_group_at(k) != NULL && !found; k++) {
            const char *path = conf_group_at(k)->path;
            found = strlen(path) == (size_t)(dot - row->path) &&
                    strncmp(path, row->path, strlen(path)) == 0;
        }
        ck_assert_msg(found, "%s has no GROUP", row->path);
    }
    for (size_t k = 0; conf_group_at(k) != NULL; k++) {
        bool used = false;
        for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
            size_t size = strlen(conf_group_at(k)->path);
            used = used || (strncmp(row->path, conf_group_at(k)->path, size) == 0 &&
                            row->path[size] == '.');
        }
        ck_assert_msg(used, "%s is a GROUP of nothing", conf_group_at(k)->path);
    }
}
END_TEST

/* The long form of a variable sets the key; the short flags name keys that exist. */
START_TEST(spellings)
{
    const struct conf_row *row;
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        if (row->kind != CONF_INT) {
            continue;
        }
        char line[256];
        buf_clear(&out);
        conf_row_variable(&out, row);
        (void)snprintf(line, sizeof(line), "%.*s=%.*s", STR_ARG(buf_str(&out)),
                       (int)strcspn(row->range, "."), row->range);
        struct given g = {.environment = {line}};
        load_good(&g);
        ck_assert_int_eq(strncmp(leaf_origin(row->path), "environment CARILLON_", 21), 0);
    }
    for (size_t i = 0; conf_flag_at(i) != NULL; i++) {
        ck_assert_msg(conf_row_of(str_of(conf_flag_at(i)->path)) != NULL, "--%s",
                      conf_flag_at(i)->name);
    }
    for (size_t i = 0; conf_variable_at(i) != NULL; i++) {
        ck_assert(conf_row_of(str_of(conf_variable_at(i)->path)) != NULL);
    }
}
END_TEST

/* ---- what follows ---- */

START_TEST(turn_loops)
{
    static const struct {
        uint32_t cpus;
        const char *core_size;
        uint32_t loops;
    } cases[] = {
        {1, "20", 0}, {2, "0", 0},  {2, "20", 0}, {3, "20", 2},   {4, "1", 0},
        {4, "2", 2},  {4, "20", 3}, {0, "20", 0}, {64, "20", 20},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct given g = {.flags = {{"--turn-loops", "threadPools.workflow.coreSize",
                                     cases[i].core_size}},
                          .cpus = cases[i].cpus};
        load_good(&g);
        ck_assert_uint_eq(conf_turn_loops(conf), cases[i].loops);
    }
}
END_TEST

START_TEST(conninfo)
{
    static const struct {
        const char *url, *user, *password, *conninfo;
    } cases[] = {
        {"jdbc:postgresql://h:5432/db", "", "", "postgresql://h:5432/db"},
        {"postgres://u@h/db", "", "", "postgres://u@h/db"},
        {"postgresql://h/db", "me", "a b&c", "postgresql://h/db?user=me&password=a%20b%26c"},
        {"postgresql://h/db?sslmode=require", "me", "",
         "postgresql://h/db?sslmode=require&user=me"},
        {"host=/run/pg dbname=x", "me", "it's\\",
         "host=/run/pg dbname=x user='me' "
         "password='it\\'s\\\\'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char user[64], password[64];
        (void)snprintf(user, sizeof(user), "CARILLON_DATABASE__MASTER__USERNAME=%s", cases[i].user);
        (void)snprintf(password, sizeof(password), "CARILLON_DATABASE__MASTER__PASSWORD=%s",
                       cases[i].password);
        struct given g = {.environment = {user, password},
                          .flags = {{"--database", "database.master.url", cases[i].url}}};
        load_good(&g);
        ck_assert_str_eq(conf_conninfo(conf, &arena).p, cases[i].conninfo);
    }
    load_good(&(struct given){0});
    ck_assert(conf_conninfo(conf, &arena).p == NULL);
}
END_TEST

START_TEST(masking)
{
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"postgresql://u:secret@h/db", "postgresql://u:***@h/db"},
        {"postgresql://u@h/db", "postgresql://u@h/db"},
        {"postgresql://h:5432/db?user=u&password=secret",
         "postgresql://h:5432/db?user=u&password=***"},
        {"jdbc:postgresql://h/db?password=secret&ssl=true",
         "jdbc:postgresql://h/db?password=***&ssl=true"},
        {"postgresql://u:se@cr/et@h/db", "postgresql://u:***@h/db"},
        {"postgresql://u:se?cr@et@h/db", "postgresql://u:***@h/db"},
        {"postgresql://h/db?pass%77ord=secret", "postgresql://h/db?pass%77ord=***"},
        {"postgresql://h/db?sslpassword=secret", "postgresql://h/db?sslpassword=***"},
        {"host=h password=secret dbname=x", "host=h password=*** dbname=x"},
        {"host=h password = 'se cret' dbname=x", "host=h password=*** dbname=x"},
        {"password='se\\'cret' host=h", "password=*** host=h"},
        {"host=h password=se\\ cret port=1", "host=h password=*** port=1"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&out);
        conf_mask(&out, str_of(cases[i].url));
        ck_assert_str_eq(text_of(&out), cases[i].shown);
    }
}
END_TEST

/* ---- shown ---- */

/* A line for each leaf, all of it YAML, no secret in it. */
START_TEST(printing)
{
    struct given g = {.files = {"database:\n  master:\n    url: jdbc:postgresql://u:canary@h/db\n"
                                "    password: canary\n"
                                "  replicas:\n  - url: postgresql://r/db?password=canary\n"
                                "deployment:\n  instances: 3-5\n  \"odd: name\": {a: [1, true]}\n",
                                "threadPools: {workflow: {coreSize: 20}}\nlog: {level: debug}\n"},
                      .environment = {"CARILLON_SCHEDULER__DISTRIBUTED__WINDOW_LENGTH=5s",
                                      "CREDENTIALS_DIRECTORY=nowhere"},
                      .flags = {{"--node", "node.id", "n7"}},
                      .cpus = 4};
    load_good(&g);
    ck_assert_str_eq(leaf_value("node.id"), "\"n7\"");
    ck_assert_str_eq(leaf_origin("node.id"), "flag --node");
    ck_assert(leaf_in_force("node.id"));
    ck_assert_str_eq(leaf_value("database.master.url"), "\"jdbc:postgresql://u:***@h/db\"");
    ck_assert_str_eq(leaf_origin("database.master.url"), "f1.yaml:3:10");
    ck_assert_str_eq(leaf_value("database.master.password"), "\"***\"");
    ck_assert_str_eq(leaf_value("database.master.username"), "null");
    ck_assert_str_eq(leaf_value("database.replicas[0].url"), "\"postgresql://r/db?password=***\"");
    ck_assert_str_eq(leaf_value("database.replicas[0].poolSize"), "30");
    ck_assert(!leaf_in_force("database.replicas[0].url"));
    ck_assert_str_eq(leaf_value("database.sharding.shards"), "[]");
    ck_assert_str_eq(leaf_value("scheduler.distributed.windowLength"), "\"5s\"");
    ck_assert_str_eq(leaf_origin("scheduler.distributed.windowLength"),
                     "environment CARILLON_SCHEDULER__DISTRIBUTED__WINDOW_LENGTH");
    ck_assert_str_eq(leaf_origin("log.level"), "f2.yaml:2:14");
    ck_assert_str_eq(leaf_origin("scheduler.distributed.lanes"), "default");
    ck_assert_str_eq(jv_str(jv_getc(leaf("threadPools.workflow.coreSize"), "note")).p,
                     "4 processors: 3 loops run turns");
    ck_assert_str_eq(leaf_value("deployment.instances"), "\"3-5\"");
    ck_assert(!leaf_in_force("deployment.instances"));
    ck_assert_str_eq(leaf_value("deployment.odd: name.a[1]"), "\"true\"");
    buf_clear(&out);
    conf_print(conf, &out);
    ck_assert(strstr(text_of(&out), "canary") == NULL);
}
END_TEST

/* Not the key alone decides on what is in force. */
START_TEST(in_force_by_value)
{
    load_good(&(struct given){.files = {"scheduler: {distributed: {lockingMechanism: database}}"}});
    ck_assert(leaf_in_force("scheduler.distributed.lockingMechanism"));
    ck_assert(leaf_in_force("scheduler.distributed.timeWindowPartitioning"));
    ck_assert(leaf_in_force("schedulerInstances[LONG_TERM].pollInterval"));
    ck_assert(!leaf_in_force("schedulerInstances[HIGH_PRECISION].pollInterval"));
    ck_assert(leaf_in_force("schedulerInstances[HIGH_PRECISION].maxScheduledItems"));
    ck_assert(!leaf_in_force("schedulerInstances[BATCH].batchSize"));
    load_good(&(struct given){.files = {"scheduler: {distributed: {lockingMechanism: zookeeper, "
                                        "timeWindowPartitioning: false, enabled: false}}"}});
    ck_assert(!leaf_in_force("scheduler.distributed.lockingMechanism"));
    ck_assert(!leaf_in_force("scheduler.distributed.timeWindowPartitioning"));
    ck_assert(!leaf_in_force("scheduler.distributed.enabled"));
}
END_TEST

/* What is printed can be set again, and then it is the same. */
START_TEST(printed_values_load)
{
    load_good(&(struct given){0});
    const struct conf_row *row;
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        if (row->kind == CONF_LIST || row->kind == CONF_DOCUMENT || row->preset[0] == '\0') {
            continue;
        }
        const char *shown = leaf_value(row->path);
        const struct jv *v = jv_getc(leaf(row->path), "value");
        struct str text = jv_is(v, JV_STRING) ? jv_str(v) : str_of(shown);
        char value[300];
        (void)snprintf(value, sizeof(value), "%.*s", STR_ARG(text));
        struct given g = {.flags = {{"--set", row->path, value}}};
        load_good(&g);
        ck_assert_str_eq(leaf_value(row->path), shown);
    }
}
END_TEST

/* ---- notes ---- */

START_TEST(notes)
{
    struct conf_problems n;
    load_good(&(struct given){
        .files = {"deployment:\n  instances: 2\nkubernetes:\n  autoscaling: {enabled: true}\n"
                  "node: {id: x}\neventProcessing:\n  batchSize: 7\n"
                  "schedulerInstances:\n- {type: BATCH, pollInterval: 1s}\n"}});
    conf_problems_init(&n);
    conf_notes(conf, &n);
    ck_assert_str_eq(
        problems_text(&n),
        "f1.yaml:9:31: schedulerInstances[BATCH].pollInterval: accepted, not in force: windows "
        "drained in batches (not built yet)\n"
        "f1.yaml:7:14: eventProcessing.batchSize: accepted, not in force: events (not built yet)\n"
        "f1.yaml:1:1: deployment: sets nothing: it describes machines to people; a node takes "
        "nothing from it\n"
        "f1.yaml:3:1: kubernetes: sets nothing: it describes machines to people; a node takes "
        "nothing from it\n");
    conf_problems_fini(&n);
    load_good(&(struct given){0});
    conf_problems_init(&n);
    conf_notes(conf, &n);
    ck_assert_uint_eq(n.len, 0);
    conf_problems_fini(&n);
}
END_TEST

/* ---- differences ---- */

static struct conf *second(const struct given *g)
{
    struct conf *first = conf;
    conf = NULL;
    load_good(g);
    struct conf *result = conf;
    conf = first;
    return result;
}

static const char *diff_text(const struct conf *from, const struct conf *to)
{
    struct conf_change *v;
    uint32_t len = conf_diff(from, to, &arena, &v);
    buf_clear(&out);
    for (uint32_t i = 0; i < len; i++) {
        buf_printf(&out, "%s%s ", v[i].path.p, v[i].live ? " (live)" : "");
    }
    return text_of(&out);
}

START_TEST(differences)
{
    load_good(&(struct given){.files = {"node: {id: a}\ndatabase: {master: {password: x}}"}});
    struct conf *other = second(&(struct given){
        .files = {"database: {master: {password: x, url: 'host=h'}, connectionPool: {minIdle: 1}}\n"
                  "log: {level: warn}\ntesting: {faults: [A]}\n"
                  "schedulerInstances:\n- {type: LONG_TERM, pollInterval: 5s}\n"}});
    ck_assert_str_eq(diff_text(conf, other),
                     "node.id log.level (live) database.master.url "
                     "schedulerInstances[LONG_TERM].pollInterval testing.faults ");
    ck_assert_str_eq(diff_text(conf, conf), "");
    conf_free(other);
}
END_TEST

static void add(TCase *t)
{
    tcase_add_test(t, presets);
    tcase_add_test(t, presets_by_path);
    tcase_add_test(t, bounds);
    tcase_add_test(t, rows);
    tcase_add_test(t, groups);
    tcase_add_test(t, spellings);
    tcase_add_test(t, turn_loops);
    tcase_add_test(t, conninfo);
    tcase_add_test(t, masking);
    tcase_add_test(t, printing);
    tcase_add_test(t, in_force_by_value);
    tcase_add_test(t, printed_values_load);
    tcase_add_test(t, notes);
    tcase_add_test(t, differences);
}

int main(void)
{
    return run_suite("conf", add);
}
