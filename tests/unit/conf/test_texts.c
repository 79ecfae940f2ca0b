/* Texts as users have them: their own blocks (tests/golden/seed), each and their union, with what must
 * come of them; and our sample file. */
#include "base/prelude.h"

#include "tests/unit/conf/conf_fixture.h"

#include "base/clock.h"

enum { BLOCKS = 14, FIRST_DEPLOYMENT = 7, LAST_DEPLOYMENT = 10 };

static struct buf block[BLOCKS + 1];

static void read_blocks(void)
{
    for (int i = 1; i <= BLOCKS; i++) {
        char path[64];
        struct err_detail d = {0};
        (void)snprintf(path, sizeof(path), "tests/golden/seed/%02d.yaml", i);
        buf_init(&block[i], 0);
        ck_assert_msg(os_read_file(path, CONF_FILE_SIZE_MAX, &block[i], &d) == ERR_OK, "%s",
                      d.text);
    }
}

static void free_blocks(void)
{
    for (int i = 1; i <= BLOCKS; i++) {
        buf_fini(&block[i]);
    }
}

/* Blocks "from" to "to", without those of deployments but "deployment". */
static void load_blocks(int from, int to, int deployment)
{
    struct conf_file files[BLOCKS];
    struct conf_source s = {.files = files, .cpus = 8};
    for (int i = from; i <= to; i++) {
        if (i < FIRST_DEPLOYMENT || i > LAST_DEPLOYMENT || i == deployment) {
            files[s.files_len++] = (struct conf_file){"block", buf_str(&block[i])};
        }
    }
    conf_free(conf);
    conf = conf_load(&s, &problems);
    ck_assert_msg(conf != NULL, "%s", problems_text(&problems));
}

START_TEST(each_block)
{
    read_blocks();
    for (int i = 1; i <= BLOCKS; i++) {
        load_blocks(i, i, i);
        struct conf_problems notes;
        conf_problems_init(&notes);
        conf_notes(conf, &notes);
        ck_assert(!notes.more);
        conf_problems_fini(&notes);
    }
    free_blocks();
}
END_TEST

START_TEST(whole_union)
{
    read_blocks();
    for (int d = FIRST_DEPLOYMENT; d <= LAST_DEPLOYMENT; d++) {
        load_blocks(1, BLOCKS, d);
        ck_assert_str_eq(conf_conninfo(conf, &arena).p, "postgresql://primary-db:5432/workflows");
        ck_assert_int_eq(conf->database_pool_size, 20);
        ck_assert_uint_eq(conf->replicas.len, 2);
        ck_assert_str_eq(conf->replicas.v[1].url.p, "jdbc:postgresql://replica-2:5432/workflows");
        ck_assert_str_eq(conf->read_preference.p, "PREFER_REPLICA");
        ck_assert_uint_eq(conf->shards.len, 3);
        ck_assert_str_eq(conf->shards.v[2].tenant_range.p, "N-Z");
        ck_assert_int_eq(conf->event_poll_us, 500 * US_PER_MS);
        ck_assert_uint_eq(conf->kafka_topics.len, 2);
        ck_assert_int_eq(conf->kafka_topics.v[0].partitions, 10);
        ck_assert_int_eq(conf->heartbeat_us, 5 * US_PER_S);
        ck_assert_int_eq(conf->election_us, 30 * US_PER_S);
        ck_assert_int_eq(conf->partition_count, 12);
        ck_assert_int_eq(conf_scheduler(conf, "HIGH_PRECISION")->items, 1000);
        ck_assert_int_eq(conf_scheduler(conf, "LONG_TERM")->poll_us, 60 * US_PER_S);
        ck_assert_int_eq(conf_scheduler(conf, "BATCH")->batch_size, 100);
        ck_assert_int_eq(conf->pool_connect_us, 30 * US_PER_S);
        ck_assert_int_eq(conf->pool_life_us, 1800 * US_PER_S);
        ck_assert_int_eq(conf->workflow_queue, 500);
        ck_assert_int_eq(conf->workflow_keep_us, 60 * US_PER_S);
        ck_assert_uint_eq(conf_turn_loops(conf), 7);
        ck_assert_int_eq(conf->workflow_defs, 1000);
        ck_assert_int_eq(conf->workflow_defs_us, US_PER_HOUR);
        ck_assert(conf->deployment && conf->kubernetes);
        ck_assert(conf->distributed); /* deployment.scheduler.distributed says something else */
    }
    free_blocks();
}
END_TEST

/* ---- conf/carillond.yaml ---- */

static enum err read_any(void *arg, const char *path, struct buf *bytes, struct err_detail *d)
{
    (void)arg;
    (void)path;
    (void)d;
    buf_puts(bytes, "x");
    return ERR_OK;
}

static struct conf *load_sample(const char *text)
{
    struct conf_file file = {"carillond.yaml", str_of(text)};
    struct conf *c =
        conf_load(&(struct conf_source){.files = &file, .files_len = 1, .read = read_any},
                  &problems);
    ck_assert_msg(c != NULL, "%s", problems_text(&problems));
    return c;
}

/* Takes the # from the keys that are commented out: those without a space behind it. */
static void uncomment(char *text)
{
    for (char *line = text; line != NULL && *line != '\0';) {
        char *p = line + strspn(line, " ");
        bool key = p[0] == '#' && p[1] != ' ' && p[1] != '\n';
        bool element = p[0] == '#' && p[1] == ' ' && p[2] == ' '; /* of a list commented out */
        if (key || element) {
            memmove(p, p + 1, strlen(p));
        }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
}

/* The sample as it is changes nothing; with every key in it, it is good, too, and no key is missing. */
START_TEST(sample)
{
    struct buf text;
    struct err_detail d = {0};
    struct conf_change *changes;
    buf_init(&text, 0);
    ck_assert_int_eq(os_read_file("conf/carillond.yaml", CONF_FILE_SIZE_MAX, &text, &d), ERR_OK);
    conf = load_sample(text_of(&text));
    struct conf *presets = load_sample("");
    ck_assert_uint_eq(conf_diff(presets, conf, &arena, &changes), 0);
    conf_free(presets);
    conf_free(conf);
    uncomment(text.p);
    conf = load_sample(text.p);
    const struct conf_row *row;
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        if (row->kind != CONF_LIST && row->kind != CONF_DOCUMENT) {
            ck_assert_str_ne(leaf_origin(row->path), "default");
        }
    }
    ck_assert(conf->replicas.len == 1 && conf->shards.len == 1 && conf->kafka_topics.len == 1);
    ck_assert(conf->deployment && conf->kubernetes);
    buf_fini(&text);
}
END_TEST

static void add(TCase *t)
{
    tcase_add_test(t, sample);
    tcase_add_test(t, each_block);
    tcase_add_test(t, whole_union);
}

int main(void)
{
    return run_suite("texts", add);
}
