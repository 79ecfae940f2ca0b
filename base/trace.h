/* A ring of typed records in memory, per thread; written always, printed only when an assertion
 * fails (or by the simulator, which also hashes the records: same seed, same hash). */
#ifndef CARILLON_BASE_TRACE_H
#define CARILLON_BASE_TRACE_H

#include "base/prelude.h"

/* "what" must be a string literal (kept by pointer). */
void trace(const char *what, uint64_t a, uint64_t b);
/* Prints the newest "n" records of this thread's ring to stderr. */
void trace_dump(unsigned n);
/* The simulator's hook: called with each record that this thread writes. NULL switches off. */
void trace_tap(void (*tap)(void *arg, const char *what, uint64_t a, uint64_t b), void *arg);

#endif
