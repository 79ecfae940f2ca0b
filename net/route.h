/* Which node a client talks to next, and when: pure, explicit now. Part of the client's core,
 * with session.h and worker.h; the simulator's workers use the same code.
 *
 * Addresses come from the user and from nodes' answers. One that fails is left alone for a time
 * that doubles from ROUTE_BACKOFF_MIN_MS to ROUTE_BACKOFF_MAX_MS, with jitter (half to whole), so
 * that a thousand clients of a dead node do not come back in step. One that stands by or is going
 * away is passed over for a short fixed time: it is alive, and may be the next owner. */
#ifndef CARILLON_NET_ROUTE_H
#define CARILLON_NET_ROUTE_H

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"

enum {
    ROUTE_ADDRESSES_MAX = 64,
    ROUTE_ADDRESS_SIZE_MAX = 255,
    ROUTE_BACKOFF_MIN_MS = 50,
    ROUTE_BACKOFF_MAX_MS = 5000,
    ROUTE_PASSED_OVER_MS = 500, /* standby, going away */
};

struct route_address {
    char text[ROUTE_ADDRESS_SIZE_MAX + 1];
    struct mono not_before; /* try it at this time or later */
    uint32_t fails;         /* in a row */
    bool given;             /* by the user: never forgotten */
};

struct route {
    struct route_address address[ROUTE_ADDRESSES_MAX];
    uint32_t len;
    uint32_t last; /* index tried last: the search begins behind it */
    struct rng rng;
};

/* "addresses": comma-separated. ERR_INVALID (empty, too long, neither tcp:// nor ipc://),
 * ERR_TOO_LARGE (too many). The first one tried is drawn, so that clients spread. */
enum err route_init(struct route *r, struct str addresses, uint64_t seed,
                    struct err_detail *d) MUST_CHECK;
/* A node told of an address; known ones, bad ones and those beyond the bound are ignored. */
void route_learn(struct route *r, struct str address);
/* The next address to try now, or -1: then *when is the time to ask again. */
int route_next(struct route *r, struct mono now, struct mono *when);
void route_failed(struct route *r, int index, struct mono now);
void route_passed_over(struct route *r, int index, struct mono now);
void route_good(struct route *r, int index);
/* Delay before a repeat number "n" (0, 1, ...): the same doubling and jitter, in microseconds. */
int64_t route_backoff_us(struct rng *rng, uint32_t n);

#endif
