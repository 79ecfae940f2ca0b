#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "storage/pg_param.h"

#include "base/assert.h"

#include <endian.h>

/* PostgreSQL counts from 2000-01-01. */
#define PG_EPOCH_US (INT64_C(946684800) * US_PER_S)
enum { ARRAY_HEAD = 20 };

void pg_params_init(struct pg_params *p)
{
    *p = (struct pg_params){.open = SIZE_MAX};
    buf_init(&p->bytes, 0);
}

void pg_params_fini(struct pg_params *p)
{
    buf_fini(&p->bytes);
}

void pg_params_reset(struct pg_params *p)
{
    PRE(p->open == SIZE_MAX);
    buf_clear(&p->bytes);
    p->len = 0;
}

static void put4(char *at, uint32_t v)
{
    v = htobe32(v);
    memcpy(at, &v, sizeof(v));
}

/* Room for a value of "size" bytes, as element or as parameter. */
static char *value(struct pg_params *p, size_t size)
{
    PRE(size <= INT32_MAX);
    char *at;
    if (p->open != SIZE_MAX) {
        at = buf_reserve(&p->bytes, size + 4);
        put4(at, (uint32_t)size);
        buf_added(&p->bytes, size + 4);
        p->items++;
        return at + 4;
    }
    PRE(p->len < PG_PARAMS_MAX);
    p->at[p->len] = p->bytes.size;
    p->size[p->len++] = (int)size;
    at = buf_reserve(&p->bytes, size + 1); /* never a null pointer for an empty value */
    buf_added(&p->bytes, size + 1);
    return at;
}

void pg_null(struct pg_params *p)
{
    if (p->open != SIZE_MAX) {
        put4(buf_reserve(&p->bytes, 4), UINT32_MAX);
        buf_added(&p->bytes, 4);
        p->items++;
        p->nulls = true;
        return;
    }
    PRE(p->len < PG_PARAMS_MAX);
    p->at[p->len] = 0;
    p->size[p->len++] = -1;
}

void pg_bool(struct pg_params *p, bool v)
{
    *value(p, 1) = v ? 1 : 0;
}

void pg_i2(struct pg_params *p, int16_t v)
{
    uint16_t x = htobe16((uint16_t)v);
    memcpy(value(p, sizeof(x)), &x, sizeof(x));
}

void pg_i4(struct pg_params *p, int32_t v)
{
    put4(value(p, 4), (uint32_t)v);
}

void pg_u8(struct pg_params *p, uint64_t v)
{
    v = htobe64(v);
    memcpy(value(p, sizeof(v)), &v, sizeof(v));
}

void pg_i8(struct pg_params *p, int64_t v)
{
    pg_u8(p, (uint64_t)v);
}

void pg_text(struct pg_params *p, struct str s)
{
    char *at = value(p, s.size);
    if (s.size > 0) {
        memcpy(at, s.p, s.size);
    }
}

void pg_text_or_null(struct pg_params *p, struct str s)
{
    if (s.p == NULL) {
        pg_null(p);
    } else {
        pg_text(p, s);
    }
}

void pg_uuid(struct pg_params *p, const uint8_t b[16])
{
    memcpy(value(p, 16), b, 16);
}

void pg_time(struct pg_params *p, struct wall t)
{
    pg_i8(p, t.us - PG_EPOCH_US);
}

void pg_time_never(struct pg_params *p)
{
    pg_i8(p, INT64_MAX);
}

void pg_time_always(struct pg_params *p)
{
    pg_i8(p, INT64_MIN);
}

void pg_array_begin(struct pg_params *p, enum pg_type type)
{
    PRE(p->open == SIZE_MAX);
    size_t start = p->bytes.size;
    char *at = value(p, ARRAY_HEAD);
    put4(at, 1);
    put4(at + 4, 0);
    put4(at + 8, (uint32_t)type);
    put4(at + 16, 1);
    p->open = start;
    p->items = 0;
    p->nulls = false;
    /* The byte behind the value belongs to the elements. */
    p->bytes.size = start + ARRAY_HEAD;
}

void pg_array_end(struct pg_params *p)
{
    PRE(p->open != SIZE_MAX);
    put4(p->bytes.p + p->open + 4, p->nulls ? 1 : 0);
    put4(p->bytes.p + p->open + 12, p->items);
    ASSERT(p->bytes.size - p->open <= INT32_MAX);
    p->size[p->len - 1] = (int)(p->bytes.size - p->open);
    p->open = SIZE_MAX;
}

int32_t pg_get_i4(const char *v)
{
    uint32_t x;
    memcpy(&x, v, sizeof(x));
    return (int32_t)be32toh(x);
}

int64_t pg_get_i8(const char *v)
{
    uint64_t x;
    memcpy(&x, v, sizeof(x));
    return (int64_t)be64toh(x);
}

int16_t pg_get_i2(const char *v)
{
    uint16_t x;
    memcpy(&x, v, sizeof(x));
    return (int16_t)be16toh(x);
}

struct wall pg_get_time(const char *v)
{
    return (struct wall){pg_get_i8(v) + PG_EPOCH_US};
}

bool pg_array_open(struct str bytes, uint32_t elem_size, struct pg_array *out)
{
    *out = (struct pg_array){.size = elem_size};
    if (bytes.size < 12) {
        return false;
    }
    int32_t dims = pg_get_i4(bytes.p);
    if (dims == 0) {
        return true;
    }
    if (dims != 1 || pg_get_i4(bytes.p + 4) != 0 || bytes.size < ARRAY_HEAD) {
        return false;
    }
    int32_t len = pg_get_i4(bytes.p + 12);
    if (len < 0 || bytes.size != ARRAY_HEAD + (size_t)len * (elem_size + 4)) {
        return false;
    }
    out->len = (uint32_t)len;
    out->p = bytes.p + ARRAY_HEAD;
    return true;
}

const char *pg_array_at(const struct pg_array *a, uint32_t i)
{
    PRE(i < a->len);
    return a->p + (size_t)i * (a->size + 4) + 4;
}
