/* Parameters of one prepared statement in PostgreSQL's binary format: scalars and one-dimensional
 * arrays, built without a round of formatting, and readers for binary results. Knows the wire
 * format, not libpq. */
#ifndef CARILLON_STORAGE_PG_PARAM_H
#define CARILLON_STORAGE_PG_PARAM_H

#include "base/id.h"

enum { PG_PARAMS_MAX = 40 };

/* Object ids of the built-in types used here; fixed for ever by PostgreSQL. */
enum pg_type {
    PG_BOOL = 16,
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_TIMESTAMPTZ = 1184,
    PG_UUID = 2950,
};

/* Reused from statement to statement; owned by a connection. */
struct pg_params {
    struct buf bytes;
    uint32_t len; /* parameters so far */
    size_t at[PG_PARAMS_MAX];
    int size[PG_PARAMS_MAX]; /* -1: null */
    size_t open;             /* offset of the open array; SIZE_MAX: none */
    uint32_t items;          /* in the open array */
    bool nulls;
};

void pg_params_init(struct pg_params *p);
void pg_params_fini(struct pg_params *p);
void pg_params_reset(struct pg_params *p);

/* Between pg_array_begin() and pg_array_end() these append elements, else parameters. */
void pg_null(struct pg_params *p);
void pg_bool(struct pg_params *p, bool v);
void pg_i2(struct pg_params *p, int16_t v);
void pg_i4(struct pg_params *p, int32_t v);
void pg_i8(struct pg_params *p, int64_t v);
void pg_u8(struct pg_params *p, uint64_t v);             /* stored as int8, same bits */
void pg_text(struct pg_params *p, struct str s);         /* also bytea */
void pg_text_or_null(struct pg_params *p, struct str s); /* NULL pointer: null */
void pg_uuid(struct pg_params *p, const uint8_t b[16]);
void pg_time(struct pg_params *p, struct wall t); /* timestamptz, exact microseconds */
/* timestamptz 'infinity' and '-infinity' */
void pg_time_never(struct pg_params *p);
void pg_time_always(struct pg_params *p);

void pg_array_begin(struct pg_params *p, enum pg_type type);
void pg_array_end(struct pg_params *p);

/* Readers of binary values; the caller has checked the size (see pg_conn.h). */
int32_t pg_get_i4(const char *v);
int64_t pg_get_i8(const char *v);
int16_t pg_get_i2(const char *v);
struct wall pg_get_time(const char *v);
/* A cursor over the elements of a binary array without nulls. False when the bytes are no
 * one-dimensional array of elements of "size" bytes. An empty array has len 0. */
struct pg_array {
    const char *p;
    uint32_t len;
    uint32_t size; /* of an element */
};
bool pg_array_open(struct str bytes, uint32_t elem_size, struct pg_array *out) MUST_CHECK;
const char *pg_array_at(const struct pg_array *a, uint32_t i);

#endif
