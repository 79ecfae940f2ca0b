/* Layers into the struct: files, environment, flags, secrets in files; every mistake with its place
 * and the remedy. */
#include "base/prelude.h"

#include "tests/unit/conf/conf_fixture.h"

#include "base/clock.h"

/* ---- values ---- */

START_TEST(values)
{
    load_good(&(struct given){
        .files = {"database:\n  connectionPool:\n    connectionTimeout: 20000\n"
                  "    idleTimeout: 5m\n"
                  "cache:\n  executions: {maxBytes: 1GiB}\n  workflowDefinitions:\n"
                  "    maxSize: 1e3\n    expireAfterWrite: 120\n"
                  "threadPools: {workflow: {keepAliveSeconds: 90s, maxSize: \"7\"}}\n"
                  "node: {id: 12}\n"
                  "eventProcessing: {pollInterval: 500ms, workers: {threadPrefix: ''}}\n"
                  "testing: {faults: [A, 'B:after=1']}\n"}});
    ck_assert_int_eq(conf->pool_connect_us, 20 * US_PER_S);
    ck_assert_int_eq(conf->pool_idle_us, 300 * US_PER_S);
    ck_assert_int_eq(conf->executions_bytes, 1 << 30);
    ck_assert_int_eq(conf->workflow_defs, 1000);
    ck_assert_int_eq(conf->workflow_defs_us, 120 * US_PER_S);
    ck_assert_int_eq(conf->workflow_keep_us, 90 * US_PER_S);
    ck_assert_int_eq(conf->workflow_max, 7);
    ck_assert_str_eq(conf->node_id.p, "12");
    ck_assert_int_eq(conf->event_poll_us, 500 * US_PER_MS);
    ck_assert_str_eq(conf->event_prefix.p, "");
    ck_assert_uint_eq(conf->faults.len, 2);
    ck_assert_str_eq(conf->faults.v[1].p, "B:after=1");
}
END_TEST

/* Files that say nothing. */
START_TEST(empty_files)
{
    static const char *const texts[] = {"",
                                        "\n\n",
                                        "# a comment",
                                        "  # one\n\n#two\n",
                                        "~",
                                        "---\n",
                                        "{}",
                                        "database:\n  master:\n  # url: x\n",
                                        "schedulerInstances:\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        load_good(&(struct given){.files = {texts[i]}});
        ck_assert_uint_eq(conf->schedulers.len, 3);
    }
}
END_TEST

/* One mistake each: text of a file, what is said of it. */
static const struct {
    const char *file, *said;
} BAD[] = {
    {"node:\n  id: [", "f1.yaml:3:1: did not find expected node content"},
    {"node:\n\tid: x", "f1.yaml:2:1: found character that cannot start any token; indent with "
                       "spaces, not with tabs"},
    {"node: {id: a, id: b}", "f1.yaml:1:15: this name stands twice in the mapping; remove or "
                             "rename one"},
    {"a: &x 1\nb: *x", "f1.yaml:1:4: anchors (&name) are not accepted; write the value out where "
                       "it is used"},
    {"- a", "f1.yaml:1:1: wanted a mapping of keys"},
    {"text", "f1.yaml:1:1: wanted a mapping of keys"},
    {"nodes: {id: x}", "f1.yaml:1:1: nodes: no such key; did you mean node?"},
    {"\n zzzzzz: 1", "f1.yaml:2:2: zzzzzz: no such key"},
    {"node:\n  ID: x", "f1.yaml:2:3: node.ID: no such key; did you mean id?"},
    {"scheduler: {distributed: {heartbeatIntervall: 5s}}",
     "f1.yaml:1:27: scheduler.distributed.heartbeatIntervall: no such key; did you mean "
     "heartbeatInterval?"},
    {"scheduler: {heartbeatInterval: 5s}",
     "f1.yaml:1:13: scheduler.heartbeatInterval: no such key; did you mean "
     "scheduler.distributed.heartbeatInterval?"},
    {"log.level: debug",
     "f1.yaml:1:1: log.level: no such key; write it nested, a mapping for each dot"},
    {"node.id.x: 1", "f1.yaml:1:1: node.id.x: no such key"},
    {"node: 5", "f1.yaml:1:7: node: wanted a mapping of keys"},
    {"scheduler: {distributed: true}", "f1.yaml:1:26: scheduler.distributed: wanted a mapping; did "
                                       "you mean scheduler.distributed.enabled?"},
    {"node: {id: }", "f1.yaml:1:12: node.id: has no value; wanted a name of 1 to 255 letters, "
                     "digits and . _ : -"},
    {"node: {id: [a]}", "f1.yaml:1:12: node.id: wanted a name of 1 to 255 letters, digits and . _ "
                        ": -, not a list"},
    {"node: {id: true}", "f1.yaml:1:12: node.id: wanted a name of 1 to 255 letters, digits and . _ "
                         ": -, not true or false without quotes"},
    {"node: {id: \"a\\u001b[b\"}",
     "f1.yaml:1:12: node.id: wanted a name of 1 to 255 letters, digits "
     "and . _ : -, not \"a\\x1b[b\""},
    {"node: {listen: 'localhost:7070'}", "f1.yaml:1:16: node.listen: wanted an address such as "
                                         "tcp://127.0.0.1:7070 or ipc:///path, not "
                                         "\"localhost:7070\""},
    {"node: {listen: 'tcp://h:70700'}", "f1.yaml:1:16: node.listen: wanted an address such as "
                                        "tcp://127.0.0.1:7070 or ipc:///path, not "
                                        "\"tcp://h:70700\""},
    {"scheduler: {distributed: {partitionCount: 169}}",
     "f1.yaml:1:43: scheduler.distributed.partitionCount: wanted a whole number from 1 to 168, not "
     "\"169\""},
    {"scheduler: {distributed: {partitionCount: 1.5}}",
     "f1.yaml:1:43: scheduler.distributed.partitionCount: wanted a whole number from 1 to 168, not "
     "\"1.5\""},
    {"scheduler: {distributed: {partitionCount: 99999999999999999999999999999999999999999999999}}",
     "f1.yaml:1:43: scheduler.distributed.partitionCount: wanted a whole number from 1 to 168, not "
     "\"9999999999999999999999999999999999999999...\""},
    {"scheduler: {distributed: {windowLength: 4s}}",
     "f1.yaml:1:41: scheduler.distributed.windowLength: wanted a duration such as 500ms or 30s, "
     "from "
     "5s to 30d (a plain number is milliseconds), not \"4s\""},
    {"cache: {taskDefinitions: {expireAfterWrite: 18446744073709551615}}",
     "f1.yaml:1:45: cache.taskDefinitions.expireAfterWrite: wanted a duration such as 500ms or "
     "30s, "
     "from 1s to 30d (a plain number is seconds), not \"18446744073709551615\""},
    {"cache: {taskDefinitions: {expireAfterWrite: 18446744073710}}",
     "f1.yaml:1:45: cache.taskDefinitions.expireAfterWrite: wanted a duration such as 500ms or "
     "30s, "
     "from 1s to 30d (a plain number is seconds), not \"18446744073710\""},
    {"cache: {executions: {maxBytes: 1 GB}}",
     "f1.yaml:1:32: cache.executions.maxBytes: wanted a size such as 64KiB or 16MiB, from 64KiB to "
     "1TiB, not \"1 GB\""},
    {"database: {allowUnsafe: yes}",
     "f1.yaml:1:25: database.allowUnsafe: wanted true or false, not \"yes\""},
    {"database: {readPreference: prefer_replica}",
     "f1.yaml:1:28: database.readPreference: wanted one of PRIMARY_ONLY, PREFER_REPLICA, NEAREST, "
     "not "
     "\"prefer_replica\"; did you mean PREFER_REPLICA?"},
    {"database: {master: {url: 'mysql://u:canary@h/db'}}",
     "f1.yaml:1:26: database.master.url: wanted a URL such as "
     "postgresql://user@host:5432/database"},
    {"database: {replicas: {url: x}}",
     "f1.yaml:1:22: database.replicas: wanted a list of mappings, each after a dash"},
    {"database: {replicas: [x]}",
     "f1.yaml:1:23: database.replicas[0]: wanted a mapping, not a string"},
    {"database: {replicas: [{poolSize: 3}]}", "f1.yaml:1:23: database.replicas[0].url: is missing"},
    {"database: {replicas: [{url: 'host=h'}, {url: 'host=h', polSize: 3}]}",
     "f1.yaml:1:56: database.replicas[1].polSize: no such key; did you mean poolSize?"},
    {"schedulerInstances: [{type: BATCH}, {type: BATCH}]",
     "f1.yaml:1:44: schedulerInstances: type BATCH stands twice"},
    {"schedulerInstances: [{id: x}]", "f1.yaml:1:22: schedulerInstances[0].type: is missing"},
    {"schedulerInstances: [{type: BATCHES}]", "f1.yaml:1:29: schedulerInstances[0].type: wanted "
                                              "one of HIGH_PRECISION, LONG_TERM, BATCH, not "
                                              "\"BATCHES\"; did you mean BATCH?"},
    {"schedulerInstances: [{type: BATCH}, {type: BATCH}, {type: BATCH}, {type: BATCH}]",
     "f1.yaml:1:21: schedulerInstances: 4 elements; at most 3 are allowed"},
    {"database: {sharding: {enabled: true}}",
     "f1.yaml:1:32: database.sharding.enabled: needs shards: database.sharding.shards names none"},
    {"database: {sharding: {enabled: true, strategy: TENANT_ID, shards: [{id: a, url: 'host=h'}]}}",
     "f1.yaml:1:68: database.sharding.shards: the strategy TENANT_ID needs a tenantRange for each "
     "shard"},
    {"database: {sharding: {shards: [{id: a, url: 'host=h'}, {id: a, url: 'host=h'}]}}",
     "f1.yaml:1:61: database.sharding.shards: id a stands twice"},
    {"externalEventProcessing: {enabled: true}",
     "f1.yaml:1:36: externalEventProcessing.enabled: needs brokers: "
     "externalEventProcessing.kafka.bootstrapServers names none"},
    {"eventProcessing: {workers: {minThreads: 9, maxThreads: 8}}",
     "f1.yaml:1:41: eventProcessing.workers.minThreads: 9 is more than "
     "eventProcessing.workers.maxThreads, which is 8"},
    {"scheduler: {distributed: {heartbeatInterval: 20s, leaderElectionInterval: 30s}}",
     "f1.yaml:1:46: scheduler.distributed.heartbeatInterval: \"20s\" is more than half of "
     "scheduler.distributed.leaderElectionInterval, which is \"30s\""},
    {"testing: {faults: [a, [b]]}",
     "f1.yaml:1:19: testing.faults: wanted a list of texts, at most 16, not a list"},
    {"testing: {faults: {a: b}}",
     "f1.yaml:1:19: testing.faults: wanted a list of texts, at most 16, not a mapping"},
    {"deployment: {instanses: 3}",
     "f1.yaml:1:14: deployment.instanses: no such key; did you mean instances?"},
    {"deployment: {database: {typ: x}}",
     "f1.yaml:1:25: deployment.database.typ: no such key; did you mean type?"},
    {"deployment: {resources: 5}", "f1.yaml:1:25: deployment.resources: wanted a mapping"},
    {"deployment: {instances: {a: 1}}",
     "f1.yaml:1:25: deployment.instances: wanted a single value"},
    {"deployment: 3", "f1.yaml:1:13: deployment: wanted a mapping"},
    {"database: {master: {password_file: missing}}",
     "f1.yaml:1:36: database.master.password: cannot read its file: missing: No such file or "
     "directory"},
    {"database: {master: {password_file: [x]}}",
     "f1.yaml:1:36: database.master.password: wanted the path of a file that holds the value"},
    {"database: {master: {password: a,\n  password_file: 'say:b'}}",
     "f1.yaml:2:18: database.master.password: line 1 sets it, too; keep one of them"},
    {"node: {id_file: x}", "f1.yaml:1:8: node.id_file: no such key"},
};

START_TEST(bad_files)
{
    struct given g = {.files = {BAD[_i].file}};
    const char *said = load_bad(&g);
    size_t size = strlen(BAD[_i].said);
    ck_assert_msg(strncmp(said, BAD[_i].said, size) == 0 && said[size] == '\n' &&
                      said[size + 1] == '\0',
                  "%s\nsaid %swanted %s", BAD[_i].file, said, BAD[_i].said);
    ck_assert(strstr(said, "canary") == NULL);
}
END_TEST

/* Not the first mistake only, and of every layer. */
START_TEST(all_mistakes)
{
    const char *said = load_bad(&(struct given){
        .files = {"node: {id: 'a b', lisen: x}\nlog: {level: loud}\n", "x: [", "nod: 1\n"},
        .environment = {"CARILLON_NODE__LISTEN=nowhere"},
        .flags = {{"--heartbeat", "scheduler.distributed.heartbeatInterval", "1"}}});
    static const char *const begins[] = {
        "f1.yaml:1:12: node.id: wanted ",
        "f1.yaml:1:19: node.lisen: no such key",
        "f1.yaml:2:14: log.level: wanted ",
        "f2.yaml:2:1: ",
        "f3.yaml:1:1: nod: no such key; did you mean node?",
        "CARILLON_NODE__LISTEN: node.listen: wanted ",
        "--heartbeat: scheduler.distributed.heartbeatInterval: wanted "};
    for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
        ck_assert_msg(strncmp(said, begins[i], strlen(begins[i])) == 0, "%s", said);
        said = strchr(said, '\n') + 1;
    }
    ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(too_many_mistakes)
{
    struct buf text;
    buf_init(&text, 0);
    for (int i = 0; i < 300; i++) {
        buf_printf(&text, "unknown%d: 1\n", i);
    }
    struct given g = {.files = {text_of(&text)}};
    (void)load_bad(&g);
    ck_assert_uint_eq(problems.len, CONF_PROBLEMS_MAX);
    ck_assert(problems.more);
    buf_fini(&text);
}
END_TEST

/* ---- layers ---- */

START_TEST(later_layers_win)
{
    struct given g = {.files = {"node: {id: a, listen: 'tcp://a:1'}\nlog: {level: error}\n",
                                "node: {id: b}\nlog: {level: warn}\n"},
                      .environment = {"CARILLON_NODE__ID=c", "CARILLON_LOG__LEVEL=info"},
                      .flags = {{"--node", "node.id", "d"}, {"--node", "node.id", "e"}}};
    load_good(&g);
    ck_assert_str_eq(conf->node_id.p, "e");
    ck_assert_str_eq(conf->log_level.p, "info");
    ck_assert_str_eq(conf->node_listen.p, "tcp://a:1");
    ck_assert_str_eq(leaf_origin("node.listen"), "f1.yaml:1:23");
}
END_TEST

START_TEST(lists_replace_lists)
{
    load_good(&(struct given){
        .files = {"database: {replicas: [{url: 'host=a'}, {url: 'host=b', poolSize: 4}]}\n"
                  "schedulerInstances: [{type: LONG_TERM, id: far, pollInterval: 9s}]\n",
                  "database: {replicas: [{url: 'host=c'}]}\n"
                  "schedulerInstances: [{type: BATCH}]\n"}});
    ck_assert_uint_eq(conf->replicas.len, 1);
    ck_assert_str_eq(conf->replicas.v[0].url.p, "host=c");
    ck_assert_int_eq(conf->replicas.v[0].pool_size, 30);
    ck_assert_uint_eq(conf->schedulers.len, 3);
    ck_assert_int_eq(conf_scheduler(conf, "LONG_TERM")->poll_us, 60 * US_PER_S);
    ck_assert_str_eq(conf_scheduler(conf, "LONG_TERM")->id.p, "long-term");
}
END_TEST

/* One field of one element, by identity or position. */
START_TEST(elements_by_name)
{
    struct given g = {
        .files = {"database:\n  sharding:\n    shards:\n    - {id: shard-1, url: 'host=a'}\n"
                  "    - {id: shard-2, url: 'host=b'}\n"
                  "schedulerInstances: [{type: LONG_TERM, id: far}]\n"},
        .environment = {"CARILLON_SCHEDULERINSTANCES__LONGTERM__POLLINTERVAL=2s",
                        "CARILLON_SCHEDULER_INSTANCES__HIGH_PRECISION__MAX_SCHEDULED_ITEMS=7",
                        "CARILLON_DATABASE__REPLICAS__0__URL_FILE=say:host=r0",
                        "CARILLON_DATABASE__SHARDING__SHARDS__SHARD_1__URL=host=z"},
        .flags = {{"--set", "database.replicas[1].url", "host=r1"},
                  {"--set", "database.sharding.shards[shard-2].tenantRange", "A-Z"},
                  {"--set", "schedulerInstances[LONG_TERM].pollInterval", "3s"}}};
    load_good(&g);
    ck_assert_int_eq(conf_scheduler(conf, "LONG_TERM")->poll_us, 3 * US_PER_S);
    ck_assert_str_eq(conf_scheduler(conf, "LONG_TERM")->id.p, "far");
    ck_assert_int_eq(conf_scheduler(conf, "HIGH_PRECISION")->items, 7);
    ck_assert_uint_eq(conf->replicas.len, 2);
    ck_assert_str_eq(conf->replicas.v[0].url.p, "host=r0");
    ck_assert_str_eq(conf->replicas.v[1].url.p, "host=r1");
    ck_assert_str_eq(conf->shards.v[0].url.p, "host=z");
    ck_assert_str_eq(conf->shards.v[1].tenant_range.p, "A-Z");
    ck_assert_str_eq(leaf_origin("database.replicas[1].url"), "flag --set");
}
END_TEST

/* Whole lists as text. */
START_TEST(lists_as_text)
{
    struct given g = {
        .environment = {"CARILLON_SCHEDULER_INSTANCES=[{type: LONG_TERM, pollInterval: 4s}]",
                        "CARILLON_TESTING__FAULTS= A , B,"},
        .flags = {{"--set", "database.replicas", "[{\"url\":\"host=h\",\"poolSize\":2}]"}}};
    load_good(&g);
    ck_assert_int_eq(conf_scheduler(conf, "LONG_TERM")->poll_us, 4 * US_PER_S);
    ck_assert_int_eq(conf->replicas.v[0].pool_size, 2);
    ck_assert_uint_eq(conf->faults.len, 2);
    ck_assert_str_eq(conf->faults.v[0].p, "A");
    g = (struct given){.environment = {"CARILLON_TESTING__FAULTS=A"},
                       .flags = {{"--fault", "testing.faults", "B"},
                                 {"--fault", "testing.faults", "C"},
                                 {"--fault", "testing.faults", "D"}}};
    load_good(&g); /* flags add up among themselves */
    ck_assert_uint_eq(conf->faults.len, 3);
    ck_assert_str_eq(conf->faults.v[0].p, "B");
    ck_assert_str_eq(conf->faults.v[2].p, "D");
}
END_TEST

/* ---- the environment ---- */

START_TEST(variables)
{
    static const char *const same[] = {
        "CARILLON_SCHEDULER__DISTRIBUTED__HEARTBEAT_INTERVAL=7s",
        "CARILLON_SCHEDULER__DISTRIBUTED__HEARTBEATINTERVAL=7s",
        "CARILLON_scheduler__distributed__heartbeatInterval=7s",
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        load_good(&(struct given){.environment = {same[i]}});
        ck_assert_int_eq(conf->heartbeat_us, 7 * US_PER_S);
    }
    /* Empty is not set. */
    load_good(&(struct given){.environment = {"CARILLON_LOG__LEVEL=", "CARILLON_DATABASE="}});
    ck_assert(conf->database_url.p == NULL);
    /* Those of other programs, and what is no variable at all. */
    load_good(
        &(struct given){.environment = {"CARILLON_ADDRESS=tcp://x:1", "CARILLON_BIN=x", "PATH=x",
                                        "CARILLON", "", "CARILLON_SERVICE_PORT=1"}});
    load_good(&(struct given){.environment = {"CARILLON_DATABASE=host=h"}});
    ck_assert_str_eq(conf->database_url.p, "host=h");
    ck_assert_str_eq(leaf_origin("database.master.url"), "environment CARILLON_DATABASE");
    /* The short one is weaker, wherever it stands. */
    load_good(&(struct given){
        .environment = {"CARILLON_DATABASE__MASTER__URL=host=long", "CARILLON_DATABASE=host=h"}});
    ck_assert_str_eq(conf->database_url.p, "host=long");
}
END_TEST

static const struct {
    const char *variables[2];
    const char *said;
} BAD_VARIABLES[] = {
    {{"CARILLON_LOG__LEVL=debug"},
     "CARILLON_LOG__LEVL: no such key; did you mean CARILLON_LOG__LEVEL?\n"},
    {{"CARILLON_FOO__BAR=1"}, "CARILLON_FOO__BAR: no such key\n"},
    {{"CARILLON___=1"}, "CARILLON___: no such key\n"},
    {{"CARILLON_LOG__LEVEL__X=1"},
     "CARILLON_LOG__LEVEL__X: no such key; did you mean "
     "CARILLON_LOG__LEVEL?\n"},
    {{"CARILLON_A__B__C__D__E__F__G__H__I__J__K__L__M__N=1"},
     "CARILLON_A__B__C__D__E__F__G__H__I__J__K__L__M__N: no such key\n"},
    {{"CARILLON_NODE__ID=a", "CARILLON_NODE__I_D=b"},
     "CARILLON_NODE__I_D: node.id: CARILLON_NODE__ID sets it, too; keep one of them\n"},
    {{"CARILLON_DATABASE__REPLICAS__2__URL=host=h"},
     "CARILLON_DATABASE__REPLICAS__2__URL: CARILLON_DATABASE__REPLICAS__2__URL: "
     "database.replicas has no element 2\n"},
    {{"CARILLON_SCHEDULER_INSTANCES=[{"},
     "CARILLON_SCHEDULER_INSTANCES: schedulerInstances: wanted a list such as [{name: value}]: "
     "2:1: "
     "did not find expected node content\n"},
    {{"CARILLON_DATABASE=canary"},
     "CARILLON_DATABASE: database.master.url: wanted a URL such as "
     "postgresql://user@host:5432/database\n"},
    {{"CARILLON_DATABASE__MASTER__PASSWORD_FILE=denied"},
     "CARILLON_DATABASE__MASTER__PASSWORD_FILE: database.master.password: cannot read its file: "
     "denied: Permission denied\n"},
    {{"CARILLON_DATABASE__MASTER__PASSWORD=a\x01"},
     "CARILLON_DATABASE__MASTER__PASSWORD: database.master.password: wanted text without control "
     "characters, at most 1024 bytes\n"},
    {{"CARILLON_NODE__ID=\xff"},
     "CARILLON_NODE__ID: node.id: wanted a name of 1 to 255 letters, "
     "digits and . _ : -, not \"\\xff\"\n"},
};

START_TEST(bad_variables)
{
    struct given g = {
        .environment = {BAD_VARIABLES[_i].variables[0], BAD_VARIABLES[_i].variables[1]}};
    ck_assert_str_eq(load_bad(&g), BAD_VARIABLES[_i].said);
}
END_TEST

/* ---- flags ---- */

static const struct {
    const char *path, *value, *said;
} BAD_FLAGS[] = {
    {"node.idd", "x", "--set: node.idd: no such key; did you mean node.id?\n"},
    {"", "x", "--set: no such key\n"},
    {"node", "x", "--set: node: no such key\n"},
    {"NODE.ID", "x", "--set: NODE.ID: no such key; did you mean node.id?\n"},
    {"node.id.x", "x", "--set: node.id.x: no such key; did you mean node.id?\n"},
    {"database.replicas[0", "x",
     "--set: database.replicas[0: no such key; did you mean database.replicas?\n"},
    {"database.replicas[5].url", "x",
     "--set: database.replicas[5].url: database.replicas has no element 5\n"},
    {"database.replicas[x].url", "x",
     "--set: database.replicas[x].url: database.replicas has no element x\n"},
    {"schedulerInstances[FAR].id", "x",
     "--set: schedulerInstances[FAR].id: schedulerInstances has no element FAR\n"},
    {"deployment", "x", "--set: deployment: no such key\n"},
    {"deployment.instances", "3", "--set: deployment.instances: no such key\n"},
    {"database.master.password", "canary",
     "--set: database.master.password: every user of the machine can read command lines; name a "
     "file with database.master.password_file, or use the environment\n"},
};

START_TEST(bad_flags)
{
    struct given g = {.flags = {{"--set", BAD_FLAGS[_i].path, BAD_FLAGS[_i].value}}};
    ck_assert_str_eq(load_bad(&g), BAD_FLAGS[_i].said);
}
END_TEST

/* ---- secrets in files ---- */

static enum err read_credential(void *arg, const char *path, struct buf *bytes,
                                struct err_detail *d)
{
    if (strcmp(path, "/run/credentials/database.master.password") == 0) {
        buf_puts(bytes, arg);
        return ERR_OK;
    }
    return err_set(d, ERR_NOT_FOUND, "%s", path);
}

static struct str credential(const char *content, const char *variable)
{
    const char *environment[] = {"CREDENTIALS_DIRECTORY=/run/credentials", variable, NULL};
    struct conf_file file = {"f1.yaml", STR("database: {master: {password: of-file}}")};
    char room[CONF_SECRET_SIZE_MAX];
    (void)snprintf(room, sizeof(room), "%s", content);
    conf_free(conf);
    conf = conf_load(&(struct conf_source){.files = &file,
                                           .files_len = 1,
                                           .environment = environment,
                                           .read = read_credential,
                                           .arg = room},
                     &problems);
    ck_assert_msg(conf != NULL, "%s", problems_text(&problems));
    return conf->database_password;
}

START_TEST(secrets)
{
    load_good(&(struct given){
        .files = {"database:\n  master:\n    url_file: 'say:postgresql://u:pw@h/db'\n"
                  "    password_file: 'say:two words'\n"
                  "  replicas: [{url_file: 'say:host=r'}]\n"}});
    ck_assert_str_eq(conf->database_url.p, "postgresql://u:pw@h/db");
    ck_assert_str_eq(conf->database_password.p, "two words");
    ck_assert_str_eq(conf->replicas.v[0].url.p, "host=r");
    ck_assert_str_eq(leaf_origin("database.master.password"), "f1.yaml:4:20");
    struct given g = {.flags = {{"--set", "database.master.password_file", "say:x"}}};
    load_good(&g);
    ck_assert_str_eq(conf->database_password.p, "x");
    /* A credential is above files and below the environment; its last line break is not its. */
    ck_assert_str_eq(credential("s\n", NULL).p, "s");
    ck_assert_str_eq(leaf_origin("database.master.password"),
                     "credential database.master.password");
    ck_assert_str_eq(credential("s\r\n", NULL).p, "s");
    ck_assert_str_eq(credential("s", "CARILLON_DATABASE__MASTER__PASSWORD=e").p, "e");
}
END_TEST

START_TEST(no_reader)
{
    struct conf_file file = {"f1.yaml", STR("database: {master: {password_file: x}}")};
    conf = conf_load(&(struct conf_source){.files = &file, .files_len = 1}, &problems);
    ck_assert(conf == NULL);
    ck_assert_str_eq(problems_text(&problems),
                     "f1.yaml:1:36: database.master.password: cannot read "
                     "its file: no file can be read here\n");
}
END_TEST

/* ---- documents that set nothing ---- */

START_TEST(documents)
{
    load_good(&(struct given){
        .files = {"deployment:\n  instances: 3-5\n  team: [a, {b: ~}]\n  autoscaling:\n"
                  "    targetCpu: 70%\n",
                  "deployment: {instances: 15+}\nkubernetes:\n"}});
    ck_assert(conf->deployment && conf->kubernetes);
    ck_assert_uint_eq(conf->leaves_len, 5);
    ck_assert_str_eq(conf->leaves[0].path.p, "deployment.instances");
    ck_assert_str_eq(conf->leaves[0].text.p, "15+");
    ck_assert_str_eq(conf->leaves[0].from.name, "f2.yaml");
    ck_assert_str_eq(conf->leaves[2].path.p, "deployment.team[1].b");
    ck_assert_str_eq(conf->leaves[2].text.p, "null");
    struct buf text;
    buf_init(&text, 0);
    buf_puts(&text, "deployment:\n  many:\n");
    for (int i = 0; i <= CONF_DOCUMENT_LEAVES_MAX; i++) {
        buf_printf(&text, "  - %d\n", i);
    }
    struct given g = {.files = {text_of(&text)}};
    ck_assert_str_eq(load_bad(&g),
                     "f1.yaml:1003:5: deployment.many[1000]: more than 1000 values in "
                     "documents that set nothing\n");
    buf_fini(&text);
}
END_TEST

/* ---- bad inputs of any kind ---- */

/* Every byte of a rich text changed and every beginning of it: a struct or problems, no crash. */
START_TEST(mutations)
{
    static const char text[] =
        "node: {id: a}\nschedulerInstances:\n- {type: BATCH, id: b}\ndatabase:\n  master: "
        "{url_file: 'say:host=h'}\n  replicas: [{url: 'host=h'}]\ndeployment: {x: [1, {}]}\n"
        "testing: {faults: [a]}\n";
    char copy[sizeof(text)];
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        memcpy(copy, text, sizeof(text));
        copy[i] = '\0';
        (void)load(&(struct given){.files = {copy}});
        for (int c = 1; c < 256; c += 7) {
            copy[i] = (char)c;
            (void)load(&(struct given){.files = {copy}});
        }
    }
}
END_TEST

static void add(TCase *t)
{
    tcase_add_test(t, values);
    tcase_add_test(t, empty_files);
    tcase_add_loop_test(t, bad_files, 0, ARRAY_LEN(BAD));
    tcase_add_test(t, all_mistakes);
    tcase_add_test(t, too_many_mistakes);
    tcase_add_test(t, later_layers_win);
    tcase_add_test(t, lists_replace_lists);
    tcase_add_test(t, elements_by_name);
    tcase_add_test(t, lists_as_text);
    tcase_add_test(t, variables);
    tcase_add_loop_test(t, bad_variables, 0, ARRAY_LEN(BAD_VARIABLES));
    tcase_add_loop_test(t, bad_flags, 0, ARRAY_LEN(BAD_FLAGS));
    tcase_add_test(t, secrets);
    tcase_add_test(t, no_reader);
    tcase_add_test(t, documents);
    tcase_add_test(t, mutations);
}

int main(void)
{
    return run_suite("load", add);
}
