/* Which retrier or catcher an error falls to, and how long a retry waits. Pure. */
#ifndef CARILLON_ENGINE_CORE_RETRY_H
#define CARILLON_ENGINE_CORE_RETRY_H

#include "base/rng.h"
#include "engine/core/def.h"

/* Does a list of ErrorEquals match "error" (STR_NONE: the worker gave no name)? */
bool errors_match(const struct str *errors, uint32_t len, struct str error);
/* The first retrier that matches, if it has attempts left; -1 otherwise. counts: per retrier, may be
 * NULL (all zero). */
int retrier_find(const struct state *s, const uint32_t *counts, struct str error);
int catcher_find(const struct state *s, struct str error);
/* Microseconds before attempt number done + 2 ("done": retries by this retrier so far). */
int64_t retry_delay_us(const struct retrier *r, uint32_t done, struct rng *rng);

#endif
