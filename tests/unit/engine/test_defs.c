/* The definition cache of one loop, with a store and a clock that the test turns by hand. */
#include "base/prelude.h"

#include "engine/defs.h"

#include <check.h>

enum { EXPIRE_US = 60 * US_PER_S };

static int64_t now_us;
static struct store_def_get *asked; /* the read under way */
static unsigned reads;

static struct mono fake_mono(struct clock *c)
{
    (void)c;
    return (struct mono){now_us};
}

static struct wall fake_wall(struct clock *c)
{
    (void)c;
    return (struct wall){now_us};
}

static bool fake_owned(struct loop *l)
{
    (void)l;
    return true;
}

static void fake_submit(struct store *s, struct store_req *r)
{
    (void)s;
    ck_assert_int_eq(r->op, STORE_DEF_GET);
    ck_assert(asked == NULL);
    asked = CONTAINER_OF(r, struct store_def_get, req);
    reads++;
}

static struct clock fake_clock = {fake_mono, fake_wall};
static const struct loop_ops loop_ops = {.owned = fake_owned};
static struct loop loop = {.ops = &loop_ops, .clock = &fake_clock, .name = "test"};
static const struct store_ops store_ops = {.submit = fake_submit};
static struct store store = {.ops = &store_ops};
static struct defs *defs;

struct user {
    struct defs_wait wait;
    struct def *def;
    enum err err;
    unsigned answers;
};

static void user_done(struct defs_wait *w, struct def *def, const struct definition_row *row,
                      enum err e)
{
    struct user *u = CONTAINER_OF(w, struct user, wait);
    (void)row;
    u->def = def;
    u->err = e;
    u->answers++;
}

static void setup(void)
{
    now_us = 1000 * (int64_t)US_PER_S;
    asked = NULL;
    reads = 0;
    defs = defs_new(&loop, &store, 2, EXPIRE_US);
}

static void teardown(void)
{
    ck_assert(defs_idle(defs));
    defs_free(defs);
}

/* The store answers the read under way. */
static void answer(uint64_t revision)
{
    struct store_def_get *q = asked;
    ck_assert(q != NULL);
    asked = NULL;
    q->row = (struct definition_row){
        .revision = revision,
        .workflow = STR("w"),
        .version = 1,
        .text = STR("{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Succeed\"}}}"),
        .digest = STR("d")};
    q->req.err = ERR_OK;
    q->req.done(&q->req);
}

static void get(struct user *u, uint64_t revision)
{
    *u = (struct user){.wait.done = user_done};
    defs_get(defs, revision, &u->wait);
}

START_TEST(read_once)
{
    struct user u, v;
    get(&u, 7);
    get(&v, 7);
    answer(7);
    ck_assert(u.answers == 1 && u.def != NULL && v.def == u.def);
    get(&v, 7);
    ck_assert(v.answers == 1 && v.def == u.def && defs_find(defs, 7) == u.def);
    ck_assert_uint_eq(reads, 1);
}
END_TEST

/* expireAfterWrite: an old revision is read again; who has it in use keeps it. */
START_TEST(read_again_when_old)
{
    struct user u, v;
    get(&u, 7);
    answer(7);
    struct def *held = def_ref(u.def);
    now_us += EXPIRE_US - 1;
    ck_assert(defs_find(defs, 7) == held); /* being used does not make it younger */
    now_us += 1;
    ck_assert(defs_find(defs, 7) == NULL);
    get(&v, 7);
    ck_assert_uint_eq(v.answers, 0);
    ck_assert_uint_eq(def_state_count(held), 1);
    answer(7);
    ck_assert(v.def != NULL && v.err == ERR_OK && defs_find(defs, 7) == v.def);
    ck_assert_uint_eq(reads, 2);
    def_unref(held);
}
END_TEST

/* The newest version of a workflow brings its text along: an old revision is not read twice. */
START_TEST(newest_renews)
{
    struct user u = {.wait.done = user_done};
    defs_newest(defs, 0, STR("w"), &u.wait);
    answer(7);
    ck_assert_uint_eq(u.answers, 1);
    now_us += EXPIRE_US;
    u = (struct user){.wait.done = user_done};
    defs_newest(defs, 0, STR("w"), &u.wait);
    ck_assert_uint_eq(u.answers, 0);
    answer(7);
    ck_assert_uint_eq(u.answers, 1);
    ck_assert(u.def != NULL && defs_find(defs, 7) == u.def);
    ck_assert_uint_eq(reads, 2);
}
END_TEST

/* maxSize: the one used least lately goes. */
START_TEST(bounded)
{
    struct user u;
    for (uint64_t revision = 1; revision <= 3; revision++) {
        get(&u, revision);
        answer(revision);
        (void)defs_find(defs, 1);
    }
    ck_assert(defs_find(defs, 1) != NULL && defs_find(defs, 3) != NULL);
    ck_assert(defs_find(defs, 2) == NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("defs");
    TCase *t = tcase_create("defs");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, read_once);
    tcase_add_test(t, read_again_when_old);
    tcase_add_test(t, newest_renews);
    tcase_add_test(t, bounded);
    suite_add_tcase(s, t);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
