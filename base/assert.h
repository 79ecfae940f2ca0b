/* Assertions that stay on in production. A failure dumps the trace ring and aborts. */
#ifndef CARILLON_BASE_ASSERT_H
#define CARILLON_BASE_ASSERT_H

#include "base/prelude.h"

#define ASSERT(cond)  ((cond) ? (void)0 : assert_fail(#cond, 0, __FILE__, __LINE__, __func__))
#define PRE(cond)     ASSERT(cond)
#define POST(cond)    ASSERT(cond)
#define IMPLIES(a, b) ASSERT(!(a) || (b))
/* A numbered invariant of ARCHITECTURE.md / docs/guarantees.md, e.g. INV(19, n == 1). */
#define INV(number, cond) \
    ((cond) ? (void)0 : assert_fail(#cond, (number), __FILE__, __LINE__, __func__))

NORETURN void assert_fail(const char *cond, int invariant, const char *file, int line,
                          const char *func);
/* Called once before abort(), after the message; the trace ring and the simulator (which
 * prints its seed) hook in here. */
void assert_on_fail(void (*hook)(void *arg), void *arg);

/* Typed magic for objects that travel through a void pointer. */
#define MAGIC_CHECK(obj, magic_number) ASSERT((obj) != NULL && (obj)->magic == (magic_number))

#endif
