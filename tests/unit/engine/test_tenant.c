/* Tenants through failovers that undo them: their numbers are nobody else's, and what is connected under a
 * number that is another one now says HELLO again. */
#include "base/prelude.h"

#include "tests/unit/engine/engine_fixture.h"

#include "base/mem.h"

static const char one_task[] =
    "{\"StartAt\":\"A\",\"States\":{"
    "\"A\":{\"Type\":\"Task\",\"Resource\":\"queue:work\",\"End\":true}}}";

static enum err number_of(struct fixture *f, const char *name, bool create, uint32_t *out)
{
    struct arena a;
    arena_init(&a, 0);
    struct store_tenant q = {.req = {.op = STORE_TENANT, .arena = &a},
                             .name = str_of(name),
                             .create = create};
    sim_store_now(f->store, &q.req);
    *out = q.number;
    arena_fini(&a);
    return q.req.err;
}

static void start_one(struct fixture *f, const char *name)
{
    uint32_t before = f->started;
    peer_start(f, "flow", name, "{}");
    RUN_UNTIL(f, f->started == before + 1, 10 * US_PER_S);
}

/* The peer is of the tenant "default", which a failover takes back at once. */
static void undone(struct fixture *f, uint64_t seed)
{
    uint32_t n;
    fixture_setup(f, seed);
    ck_assert_int_eq(number_of(f, "default", false, &n), ERR_OK);
    sim_store_failover(f->store, 3 * US_PER_S);
    world_run(f->world, f->world->now_us + 600 * US_PER_MS);
}

START_TEST(undone_tenant_is_made_again)
{
    struct fixture f;
    uint32_t n = 0;
    undone(&f, (uint64_t)_i);
    world_run(f.world, f.world->now_us + 30 * US_PER_S);
    ck_assert_int_eq(number_of(&f, "default", false, &n), ERR_OK);
    ck_assert_uint_eq(n, tenant_number(STR("default")));
    ck_assert(f.peer->greeted);
    peer_define(&f, "flow", one_task);
    start_one(&f, "one");
    fixture_teardown(&f);
}
END_TEST

/* Another name that gives the same number has it meanwhile: nothing of the old connection gets there. */
START_TEST(number_given_away_is_given_up)
{
    struct fixture f;
    uint32_t other = 0, mine = 0;
    undone(&f, (uint64_t)_i);
    ck_assert_int_eq(number_of(&f, "tenant-18429851", true, &other), ERR_OK);
    ck_assert_uint_eq(other, tenant_number(STR("default")));
    world_run(f.world, f.world->now_us + 30 * US_PER_S);
    RUN_UNTIL(&f, f.active && f.peer->greeted, 60 * US_PER_S);
    ck_assert_int_eq(number_of(&f, "default", false, &mine), ERR_OK);
    ck_assert_uint_ne(mine, other);
    peer_define(&f, "flow", one_task);
    start_one(&f, "one");
    struct exec_id id;
    ck_assert_int_eq(exec_id_parse(str_of(f.execution[0]), &id), ERR_OK);
    ck_assert_uint_eq(exec_id_tenant(&id), mine);
    host_run(f.node_host, fixture_stop_node);
    RUN_UNTIL(&f, f.stopped, 10 * US_PER_S);
    fixture_teardown(&f);
}
END_TEST

int main(void)
{
    mem_regions_enable();
    Suite *s = suite_create("tenant");
    TCase *c = tcase_create("tenant");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, undone_tenant_is_made_again, 0, 6);
    tcase_add_loop_test(c, number_given_away_is_given_up, 0, 6);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
