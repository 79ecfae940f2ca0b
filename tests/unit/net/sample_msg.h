/* A sample of each message, made from the table: "full" has a value in every field and two elements
 * in every list, otherwise only what is needed. Everything lives in the arena. */
#ifndef CARILLON_TESTS_SAMPLE_MSG_H
#define CARILLON_TESTS_SAMPLE_MSG_H

#include "base/prelude.h"

#include "net/msg.h"

static inline struct task_token sample_token(unsigned n)
{
    struct task_token t = {.ref = {.seq = 3 + n, .idx = n, .attempt = 1 + n},
                           .nonce = UINT64_C(0x0102030405060708) + n};
    struct rng rng;
    rng_seed(&rng, 1 + n);
    t.ref.exec = exec_id_make(1, 2048, 7, (struct wall){INT64_C(1795000000) * US_PER_S}, &rng);
    return t;
}

static inline void sample_shape(const struct msg_shape *s, char *base, bool full, unsigned n,
                                struct arena *a);

static inline void sample_value(const struct msg_field *f, char *at, bool full, unsigned n,
                                struct arena *a)
{
    char id[EXEC_ID_TEXT + 1];
    struct task_token t = sample_token(n);
    switch (f->kind) {
    case MSG_U32:
        *(uint32_t *)(void *)at = (uint32_t)(f->limit != 0 ? MIN(f->limit, (uint64_t)1 + n) : 300);
        break;
    case MSG_U64:
        *(uint64_t *)(void *)at = UINT64_C(0xfedcba9876543210) + n;
        break;
    case MSG_I64:
        *(int64_t *)(void *)at = INT64_C(1795000000123) + n;
        break;
    case MSG_BOOL:
        *(bool *)(void *)at = true;
        break;
    case MSG_STR:
        if (f->limit == EXEC_ID_TEXT) {
            exec_id_format(&t.ref.exec, id);
            *(struct str *)(void *)at = str_dup(a, str_of(id));
        } else {
            *(struct str *)(void *)at = str_of(arena_printf(a, "%s-%u", f->name, n + 1));
        }
        break;
    case MSG_PAYLOAD:
        *(struct str *)(void *)at = str_of(arena_printf(a, "{\"n\":%u}", n + 1));
        break;
    case MSG_TOKEN:
        *(struct task_token *)(void *)at = t;
        break;
    case MSG_RECORD:
        sample_shape(f->record, at, full, n, a);
        break;
    }
}

static inline size_t sample_kind_size(const struct msg_field *f)
{
    static const size_t sizes[] = {
        [MSG_U32] = sizeof(uint32_t),
        [MSG_U64] = sizeof(uint64_t),
        [MSG_I64] = sizeof(int64_t),
        [MSG_BOOL] = sizeof(bool),
        [MSG_STR] = sizeof(struct str),
        [MSG_PAYLOAD] = sizeof(struct str),
        [MSG_TOKEN] = sizeof(struct task_token),
    };
    return f->kind == MSG_RECORD ? f->record->size : sizes[f->kind];
}

static inline void sample_shape(const struct msg_shape *s, char *base, bool full, unsigned n,
                                struct arena *a)
{
    for (uint32_t i = 0; i < s->len; i++) {
        const struct msg_field *f = &s->fields[i];
        if (f->list && full) {
            size_t step = sample_kind_size(f);
            char *items = arena_zalloc(a, 2 * step);
            sample_value(f, items, full, 0, a);
            sample_value(f, items + step, full, 1, a);
            memcpy(base + f->offset, &items, sizeof(items));
            *(uint32_t *)(void *)(base + f->len_offset) = 2;
        } else if (!f->list && (full || f->needed)) {
            sample_value(f, base + f->offset, full, n, a);
        }
    }
}

static inline struct msg sample_msg(const struct msg_info *info, bool full, struct arena *a)
{
    struct msg m = {.type = info->type, .corr = full ? 1000 : 1};
    sample_shape(&info->shape, (char *)&m.u, full, 0, a);
    return m;
}

#endif
