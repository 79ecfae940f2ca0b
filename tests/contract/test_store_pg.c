/* The store on PostgreSQL keeps the contract of storage/store.h (store_suite.c). */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "tests/contract/store_pg_world.h"

int main(void)
{
    struct err_detail d = {0};
    store_pg_server =
        pg_private_start("-c fsync=off -c shared_buffers=64MB -c max_connections=30", &d);
    if (store_pg_server == NULL) {
        (void)fprintf(stderr, "no PostgreSQL: %s\n", d.text);
        return 1;
    }
    SRunner *r = srunner_create(store_suite("store_pg", store_pg_world_make));
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    pg_private_stop(store_pg_server);
    return failed == 0 ? 0 : 1;
}
