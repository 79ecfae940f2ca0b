/* xoshiro256** 1.0 (Blackman and Vigna), seeded through splitmix64. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/rng.h"

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (size_t i = 0; i < ARRAY_LEN(r->s); i++) {
        r->s[i] = splitmix64(&seed);
    }
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    PRE(n > 0);
    uint64_t skip = (UINT64_C(0) - n) % n; /* 2^64 mod n: the draws that would bias */
    uint64_t v;
    do {
        v = rng_u64(r);
    } while (v < skip);
    return v % n;
}

int64_t rng_between(struct rng *r, int64_t lo, int64_t hi)
{
    PRE(lo <= hi);
    uint64_t span = (uint64_t)hi - (uint64_t)lo + 1; /* 0: the whole range */
    uint64_t v = span == 0 ? rng_u64(r) : rng_below(r, span);
    return (int64_t)((uint64_t)lo + v);
}

double rng_double(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1.0p-53;
}

bool rng_chance(struct rng *r, double p)
{
    return rng_double(r) < p;
}

void rng_bytes(struct rng *r, void *out, size_t size)
{
    uint8_t *o = out;
    for (size_t i = 0; i < size;) {
        uint64_t v = rng_u64(r);
        for (unsigned k = 0; k < 8 && i < size; k++) {
            o[i++] = (uint8_t)(v >> (8 * k)); /* the same bytes on every machine */
        }
    }
}

void rng_fork(struct rng *r, struct rng *child)
{
    rng_seed(child, rng_u64(r));
}
