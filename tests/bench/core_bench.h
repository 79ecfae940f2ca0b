/* What the programs that measure the core share: an execution, its turns, and the time they take. */
#ifndef CARILLON_TESTS_BENCH_CORE_BENCH_H
#define CARILLON_TESTS_BENCH_CORE_BENCH_H

#include <time.h>

#include "base/assert.h"
#include "base/mem.h"
#include "engine/core/core.h"

struct bench {
    struct def *def;
    struct exec *x;
    struct turn *t;
    struct rng rng;
    struct wall now;
    const struct turn_out *out;
    uint64_t bytes; /* of rows */
};

static inline double seconds_now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline struct def *bench_parse(const char *text)
{
    struct def_problems p;
    struct def *d = NULL;

    def_problems_init(&p);
    if (def_parse(str_of(text), DEF_JSON, &d, &p) != ERR_OK) {
        fprintf(stderr, "%s: %s\n", p.v[0].pointer, p.v[0].message);
        exit(2);
    }
    def_problems_fini(&p);
    return d;
}

static inline void bench_init(struct bench *b, const char *definition)
{
    memset(b, 0, sizeof(*b));
    rng_seed(&b->rng, 1);
    b->now.us = INT64_C(1760000000000000);
    b->def = bench_parse(definition);
    b->t = turn_new();
}

static inline void bench_fini(struct bench *b)
{
    turn_free(b->t);
    exec_free(b->x);
    def_unref(b->def);
}

/* A new execution of the definition. */
static inline void bench_restart(struct bench *b)
{
    struct exec_ident ident = {.tenant = STR("1"), .workflow = STR("flow"), .name = STR("bench")};

    ident.started_at = b->now;
    ident.id = exec_id_make(1, 7, 1, b->now, &b->rng);
    exec_free(b->x);
    b->x = exec_new(&ident, b->def);
}

/* One turn of "len" facts; what it did is in b->out. False: nothing happened. */
static inline bool bench_turn(struct bench *b, const struct fact *facts, uint32_t len)
{
    bool did;

    turn_begin(b->t, b->x, b->now, &b->rng);
    for (uint32_t i = 0; i < len; i++) {
        enum fact_result r = turn_fact(b->t, &facts[i], NULL);
        ASSERT(r == FACT_ACCEPTED);
    }
    did = turn_end(b->t, &b->out);
    if (did) {
        b->bytes += b->out->body.size;
    }
    b->now.us++;
    return did;
}

static inline struct str bench_filler(struct buf *b, size_t size)
{
    buf_clear(b);
    buf_puts(b, "{\"fill\":\"");
    while (b->size + 2 < size) {
        buf_putc(b, 'x');
    }
    buf_puts(b, "\"}");
    return buf_str(b);
}

#endif
