/* Named fault points. Fields are touched with relaxed atomics: the loops of one node share a
 * set, and an operator may arm it meanwhile. */
#include "base/prelude.h"

#include "base/fault.h"

static const char *const fault_names[FAULT_COUNT] = {
#define FAULT(name, where) #name,
#include "base/fault.def"
#undef FAULT
};

void fault_init(struct fault_set *s, void (*fire)(struct fault_set *, enum fault_point), void *arg)
{
    *s = (struct fault_set){.fire = fire, .arg = arg};
}

const char *fault_name(enum fault_point p)
{
    return (unsigned)p < FAULT_COUNT ? fault_names[p] : "?";
}

enum err fault_parse(struct str name, enum fault_point *out)
{
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (str_eqc(name, fault_names[i])) {
            *out = (enum fault_point)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

void fault_pass(struct fault_set *s, enum fault_point p)
{
    uint64_t times = __atomic_load_n(&s->point[p].times, __ATOMIC_ACQUIRE);
    uint64_t after = __atomic_load_n(&s->point[p].after, __ATOMIC_RELAXED);
    uint64_t pass = __atomic_add_fetch(&s->point[p].passes, 1, __ATOMIC_RELAXED);
    if (pass > after && pass - after <= times && s->fire != NULL) {
        s->fire(s, p);
    }
}

/* Cuts the part before the next ':' off "rest". */
static struct str fault_field(struct str *rest)
{
    size_t i = 0;
    while (i < rest->size && rest->p[i] != ':') {
        i++;
    }
    struct str field = str_sub(*rest, 0, i);
    *rest = str_sub(*rest, i + 1, rest->size);
    return field;
}

enum err fault_arm(struct fault_set *s, struct str spec)
{
    uint64_t after = 0, times = 1;
    enum fault_point p = FAULT_COUNT;
    if (str_ends(spec, STR(":")) || fault_parse(fault_field(&spec), &p) != ERR_OK) {
        return ERR_INVALID;
    }
    while (spec.size > 0) {
        struct str field = fault_field(&spec);
        uint64_t *value = str_starts(field, STR("after="))   ? &after
                          : str_starts(field, STR("times=")) ? &times
                                                             : NULL;
        if (value == NULL || str_to_u64(str_sub(field, 6, field.size), value) != ERR_OK) {
            return ERR_INVALID;
        }
    }
    uint64_t passes = __atomic_load_n(&s->point[p].passes, __ATOMIC_RELAXED);
    if (__builtin_add_overflow(after, passes, &after)) {
        return ERR_INVALID;
    }
    __atomic_store_n(&s->point[p].times, 0, __ATOMIC_RELAXED); /* never old times, new after */
    __atomic_store_n(&s->point[p].after, after, __ATOMIC_RELAXED);
    __atomic_store_n(&s->point[p].times, times, __ATOMIC_RELEASE);
    return ERR_OK;
}
