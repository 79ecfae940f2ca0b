/* A private PostgreSQL for `carillon dev`, `carillon bench` and tests: the installed binaries, an
 * unprivileged user when started by root, a folder of its own, a free port of the loopback. The
 * server dies with the process that started it, also when that is killed. */
#ifndef CARILLON_CMD_PRIVATE_PG_H
#define CARILLON_CMD_PRIVATE_PG_H

#include "base/err.h"

struct pg_private;

/* Makes a cluster and starts it; returns when it accepts connections, after about a second.
 * "options": further arguments of postgres, separated by blanks ("-c max_connections=50"), or
 * NULL. fsync and synchronous_commit are on unless the options say otherwise. NULL and "detail"
 * filled when there is no PostgreSQL or it does not start. Blocks. The caller owns the result:
 * pg_private_stop(). To be called on the thread that lives longest: the server dies with it. */
struct pg_private *pg_private_start(const char *options, struct err_detail *detail);
/* As above, in the folder "dir" (made when absent, kept after the stop, used again by the next
 * open): data, log and socket stand in dir/postgres. NULL: a temporary one. */
struct pg_private *pg_private_open(const char *dir, const char *options, struct err_detail *detail);
/* The same server over its unix socket. */
const char *pg_private_socket_conninfo(const struct pg_private *pg);
/* "host=127.0.0.1 port=N user=postgres dbname=postgres"; lives as long as "pg". */
const char *pg_private_conninfo(const struct pg_private *pg);
int pg_private_port(const struct pg_private *pg);
/* The user name and the data folder; live as long as "pg". */
const char *pg_private_user(const struct pg_private *pg);
const char *pg_private_data(const struct pg_private *pg);
/* Process id of the postmaster, for SIGSTOP and /proc; 0 while it is down. */
int pg_private_pid(const struct pg_private *pg);
/* Kills the postmaster with SIGKILL: the crash of a database server. The data folder stays; the
 * backends leave when they notice, and pg_private_restart() waits for that. */
void pg_private_kill9(struct pg_private *pg);
/* Stops as an operator would ("fast"), when it runs, and starts it again on the same port. */
enum err pg_private_restart(struct pg_private *pg, struct err_detail *detail) MUST_CHECK;
/* Runs one statement as the owner in a connection of its own; errors go to "detail". */
enum err pg_private_exec(struct pg_private *pg, const char *sql,
                         struct err_detail *detail) MUST_CHECK;
/* Stops the server and removes its folder, unless it was given. NULL is fine. */
void pg_private_stop(struct pg_private *pg);

#endif
