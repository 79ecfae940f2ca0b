/* A node with the real ports under it: PostgreSQL, nng, clock, threads. Used by carillond, by
 * `carillon dev` and by `carillon bench --private`. Main thread only; calls block. */
#ifndef CARILLON_CMD_DAEMON_H
#define CARILLON_CMD_DAEMON_H

#include "cmd/node.h"

struct daemon_config {
    struct node_config node;
    const char *database;      /* libpq connection string or postgresql:// URL */
    uint32_t lanes;            /* of a database that has none yet; 0: the usual number */
    bool allow_unsafe_db;      /* fsync=off and the like: tests only */
    uint32_t blocking_threads; /* threadPools.workflow.maxSize; 0: the usual number */
    int64_t blocking_keep_us;  /* threadPools.workflow.keepAliveSeconds; 0: the usual time */
    const char *const *faults; /* fault points to arm, NULL-ended; firing kills the process */
};

struct daemon;

/* Connects, migrates the schema, starts the node; returns when it listens. NULL with "detail" on
 * failure. "config" is borrowed for the daemon's life. */
struct daemon *daemon_start(const struct daemon_config *config, struct err_detail *detail);
/* Where clients connect: "tcp://127.0.0.1:7070", the port resolved. */
const char *daemon_address(const struct daemon *d);
/* Of the admin port: "127.0.0.1:8080", the port resolved; empty when there is none. */
const char *daemon_admin(const struct daemon *d);
/* True when the node owns its lanes, waiting at most "us". */
bool daemon_wait_active(struct daemon *d, int64_t us);
/* Facts about the database for banners: durability profile and version, as text. */
const char *daemon_database_text(const struct daemon *d);
/* Drains and frees. False: it did not drain in time; the process should end (nothing
 * acknowledged is lost by that). */
bool daemon_stop(struct daemon *d);
/* Blocks until SIGTERM, SIGINT or SIGHUP; daemon_block_signals() must have been called before any
 * thread was started. Returns the signal. */
void daemon_block_signals(void);
int daemon_wait_signal(void);

#endif
