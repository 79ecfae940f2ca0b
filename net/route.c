#include "base/prelude.h"
#include "net/route.h"

#include "base/assert.h"

static bool address_fits(struct str a)
{
    return a.size > 6 && a.size <= ROUTE_ADDRESS_SIZE_MAX && memchr(a.p, 0, a.size) == NULL &&
           (str_starts(a, STR("tcp://")) || str_starts(a, STR("ipc://")));
}

static int route_find(const struct route *r, struct str a)
{
    for (uint32_t i = 0; i < r->len; i++) {
        if (str_eqc(a, r->address[i].text)) {
            return (int)i;
        }
    }
    return -1;
}

static void route_add(struct route *r, struct str a, bool given)
{
    struct route_address *to = &r->address[r->len++];
    *to = (struct route_address){.given = given};
    memcpy(to->text, a.p, a.size);
}

enum err route_init(struct route *r, struct str addresses, uint64_t seed, struct err_detail *d)
{
    memset(r, 0, sizeof(*r));
    rng_seed(&r->rng, seed);
    while (addresses.size > 0) {
        const char *comma = memchr(addresses.p, ',', addresses.size);
        size_t size = comma != NULL ? (size_t)(comma - addresses.p) : addresses.size;
        struct str a = str_trim(str_sub(addresses, 0, size));
        if (!address_fits(a)) {
            return err_set(d, ERR_INVALID,
                           "address \"%.*s\": wanted tcp://host:port or ipc:///path",
                           (int)MIN(a.size, (size_t)100), a.p);
        }
        if (r->len == ROUTE_ADDRESSES_MAX) {
            return err_set(d, ERR_TOO_LARGE, "more than %d addresses", ROUTE_ADDRESSES_MAX);
        }
        if (route_find(r, a) < 0) {
            route_add(r, a, true);
        }
        addresses = str_sub(addresses, size + 1, addresses.size);
    }
    if (r->len == 0) {
        return err_set(d, ERR_INVALID, "no address given");
    }
    r->last = (uint32_t)rng_below(&r->rng, r->len);
    return ERR_OK;
}

void route_learn(struct route *r, struct str address)
{
    if (address_fits(address) && route_find(r, address) < 0 && r->len < ROUTE_ADDRESSES_MAX) {
        route_add(r, address, false);
    }
}

int route_next(struct route *r, struct mono now, struct mono *when)
{
    struct mono earliest = {INT64_MAX};
    for (uint32_t n = 1; n <= r->len; n++) {
        uint32_t i = (r->last + n) % r->len;
        if (r->address[i].not_before.us <= now.us) {
            r->last = i;
            return (int)i;
        }
        earliest.us = MIN(earliest.us, r->address[i].not_before.us);
    }
    *when = earliest;
    return -1;
}

int64_t route_backoff_us(struct rng *rng, uint32_t n)
{
    int64_t ms = n < 16 ? (int64_t)ROUTE_BACKOFF_MIN_MS << n : ROUTE_BACKOFF_MAX_MS;
    int64_t us = MIN(ms, (int64_t)ROUTE_BACKOFF_MAX_MS) * US_PER_MS;
    return rng_between(rng, us / 2, us);
}

void route_failed(struct route *r, int index, struct mono now)
{
    PRE(index >= 0 && (uint32_t)index < r->len);
    struct route_address *a = &r->address[index];
    a->not_before.us = now.us + route_backoff_us(&r->rng, a->fails);
    a->fails += 1;
}

void route_passed_over(struct route *r, int index, struct mono now)
{
    PRE(index >= 0 && (uint32_t)index < r->len);
    int64_t us = (int64_t)ROUTE_PASSED_OVER_MS * US_PER_MS;
    r->address[index].not_before.us = now.us + rng_between(&r->rng, us / 2, us);
}

void route_good(struct route *r, int index)
{
    PRE(index >= 0 && (uint32_t)index < r->len);
    r->address[index].fails = 0;
    r->address[index].not_before.us = 0;
}
