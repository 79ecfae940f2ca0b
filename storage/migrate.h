/* Numbered migrations of the schema: storage/sql/NNNN_*.sql, embedded in the program. All that are
 * missing run in one transaction, under one advisory lock, so that nodes may start together. */
#ifndef CARILLON_STORAGE_MIGRATE_H
#define CARILLON_STORAGE_MIGRATE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

enum { MIGRATE_VERSION = 1 }; /* what this program works with */

struct migration {
    uint32_t number;
    const char *name; /* of the file */
    const char *sql;
};
/* The embedded ones, by number; NULL past the last. */
const struct migration *migration_at(unsigned i);

/* What was found; the durability profile is "replicated" when synchronous_standby_names is set,
 * else "local". */
struct migrate_result {
    uint32_t from;      /* version before; 0: empty */
    int server_version; /* 150020 */
    uint64_t system_id;
    uint32_t timeline;
    bool fsync, full_page_writes, synchronous_commit;
    bool replicated;
};

/* Brings the database to MIGRATE_VERSION and makes the lanes of "shard" when it has none.
 * ERR_SCHEMA when the schema is newer, ERR_UNSUPPORTED when the server is too old, ERR_UNAVAILABLE
 * when it is away or does not answer, ERR_LOCKED when another process has been migrating the same
 * database for longer than MIGRATE_WAIT_US: nothing has changed then. Settings that lose data are
 * reported here and refused by the store's connections. Blocks, never for ever; on the main thread. */
enum { MIGRATE_WAIT_US = 30 * US_PER_S };
enum err migrate_run(const char *conninfo, uint16_t shard, uint32_t lanes,
                     struct migrate_result *result, struct err_detail *detail) MUST_CHECK;
/* The same with another patience. */
enum err migrate_run_within(const char *conninfo, uint16_t shard, uint32_t lanes, int64_t wait_us,
                            struct migrate_result *result, struct err_detail *detail) MUST_CHECK;

#endif
