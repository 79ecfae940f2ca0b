/* SQLSTATE to enum err: the one place. */
#ifndef CARILLON_STORAGE_PG_ERR_H
#define CARILLON_STORAGE_PG_ERR_H

#include "base/err.h"

/* "sqlstate": five characters, or NULL when the server gave none. The answer speaks of a
 * transaction whose commit did not happen; whether a lost connection's did is for the caller. */
enum err pg_err(const char *sqlstate);
/* Must the connection be dropped after this error (shut down, read-only, unknown statement)? */
bool pg_err_drops(const char *sqlstate);

#endif
