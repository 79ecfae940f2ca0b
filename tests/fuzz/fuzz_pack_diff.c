/* Our msgpack reader against msgpack-c's unpacker: what we accept, it accepts and reads as the
 * same values; what it accepts and we refuse is one of the things that we refuse on purpose (ext,
 * strings that are no UTF-8, depth, too many values).
 *
 * msgpack-c allocates by the announced count of elements, so inputs in which such a count could
 * stand are not given to it unless our reader has found the message good. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/pack.h"
#include "tests/fuzz/fuzz.h"

#include <msgpack.h>

static bool check_object(struct pack_reader *r, const msgpack_object *o);

static bool check_elements(struct pack_reader *r, const msgpack_object *o)
{
    bool good = true;
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        good = pack_read_array(r, UINT32_MAX) == o->via.array.size;
        for (uint32_t i = 0; good && i < o->via.array.size; i++) {
            good = check_object(r, &o->via.array.ptr[i]);
        }
        return good;
    }
    good = pack_read_map(r, UINT32_MAX) == o->via.map.size;
    for (uint32_t i = 0; good && i < o->via.map.size; i++) {
        good = check_object(r, &o->via.map.ptr[i].key) && check_object(r, &o->via.map.ptr[i].val);
    }
    return good;
}

static bool same_bytes(struct str ours, const char *p, size_t size)
{
    return ours.size == size && (size == 0 || memcmp(ours.p, p, size) == 0);
}

static bool same_double(double a, double b)
{
    uint64_t x = 0, y = 0;
    memcpy(&x, &a, sizeof(x));
    memcpy(&y, &b, sizeof(y));
    return x == y || (a != a && b != b);
}

static bool check_object(struct pack_reader *r, const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        pack_read_nil(r);
        return pack_ok(r);
    case MSGPACK_OBJECT_BOOLEAN:
        return pack_read_bool(r) == o->via.boolean && pack_ok(r);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return pack_read_u64(r) == o->via.u64 && pack_ok(r);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return pack_read_i64(r) == o->via.i64 && pack_ok(r);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return same_double(pack_read_double(r), o->via.f64) && pack_ok(r);
    case MSGPACK_OBJECT_STR:
        return same_bytes(pack_read_str(r, SIZE_MAX), o->via.str.ptr, o->via.str.size) &&
               pack_ok(r);
    case MSGPACK_OBJECT_BIN:
        return pack_peek(r) == PACK_BIN &&
               same_bytes(pack_read_bin(r, SIZE_MAX), o->via.bin.ptr, o->via.bin.size);
    case MSGPACK_OBJECT_ARRAY:
    case MSGPACK_OBJECT_MAP:
        return check_elements(r, o) && pack_ok(r);
    case MSGPACK_OBJECT_EXT:
    default:
        return false;
    }
}

/* Could a head of array32 or map32 with more elements than bytes stand anywhere? */
static bool may_exhaust_memory(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i + 4 < size; i++) {
        if (bytes[i] == 0xdd || bytes[i] == 0xdf) {
            uint32_t n = (uint32_t)bytes[i + 1] << 24 | (uint32_t)bytes[i + 2] << 16 |
                         (uint32_t)bytes[i + 3] << 8 | bytes[i + 4];
            if (n > size) {
                return true;
            }
        }
    }
    return false;
}

static bool refused_on_purpose(const struct pack_reader *r)
{
    return r->err == ERR_TOO_LARGE || strstr(r->what, "ext types") != NULL ||
           strstr(r->what, "UTF-8") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct str message = {(const char *)bytes, size};
    struct pack_reader r;
    pack_reader_init(&r, message);
    pack_skip(&r); /* one value; what follows it is not looked at here */
    bool good = pack_ok(&r);
    size_t end = (size_t)(r.p - r.start);
    if (size == 0 || (!good && may_exhaust_memory(bytes, size))) {
        return 0;
    }
    msgpack_unpacked u;
    msgpack_unpacked_init(&u);
    size_t at = 0;
    msgpack_unpack_return got = msgpack_unpack_next(&u, message.p, size, &at);
    bool theirs = got == MSGPACK_UNPACK_SUCCESS || got == MSGPACK_UNPACK_EXTRA_BYTES;
    if (good) {
        /* Its stack holds PACK_DEPTH_MAX containers, too, but an empty one takes no place. */
        ASSERT(theirs && at == end);
        pack_reader_init(&r, message);
        ASSERT(check_object(&r, &u.data));
        ASSERT((size_t)(r.p - r.start) == end);
    } else {
        ASSERT(!theirs || refused_on_purpose(&r));
    }
    msgpack_unpacked_destroy(&u);
    return 0;
}
