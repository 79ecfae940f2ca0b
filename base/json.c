/* JSON values: constructors, builders, access, comparison, copies, and the index of objects. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/json_internal.h"
#include "base/map.h"

#include <math.h>

/* Finds a member by name. Hashed with open addressing; the hash is no secret, so names can be
 * made to collide: when one insertion walks past PROBES_MAX slots the index becomes a sorted one,
 * which no names can slow down. */
struct jindex {
    uint32_t mask;    /* of the slots; 0: sorted */
    uint32_t len;     /* members */
    uint32_t words[]; /* hashed: mask + 1 slots; sorted: the members' numbers by name */
};

struct jslot {
    uint32_t tag;    /* high half of the hash */
    uint32_t number; /* of the member, plus 1; 0 = free */
};

enum { PROBES_MAX = 64, LIST_ROOM_FIRST = 8 };

static const struct jv NULL_VALUE = {.type = JV_NULL, .flags = JVF_COMPACT, .raw = {"null", 4}};
static const struct jv FALSE_VALUE = {.type = JV_FALSE, .flags = JVF_COMPACT, .raw = {"false", 5}};
static const struct jv TRUE_VALUE = {.type = JV_TRUE, .flags = JVF_COMPACT, .raw = {"true", 4}};

/* ---- the index ---- */

/* By name; of the same name the earlier member comes first. */
static int member_cmp(const struct jmember *members, uint32_t i, uint32_t j)
{
    struct str a = members[i].name, b = members[j].name;
    size_t common = MIN(a.size, b.size);
    int c = common > 0 ? memcmp(a.p, b.p, common) : 0;
    if (c != 0) {
        return c;
    }
    if (a.size != b.size) {
        return a.size < b.size ? -1 : 1;
    }
    return i < j ? -1 : i > j;
}

static void sift_down(const struct jmember *members, uint32_t *order, uint32_t at, uint32_t n)
{
    uint32_t moving = order[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && member_cmp(members, order[child], order[child + 1]) < 0) {
            child++;
        }
        if (member_cmp(members, moving, order[child]) >= 0) {
            break;
        }
        order[at] = order[child];
        at = child;
    }
    order[at] = moving;
}

void json_sort_members(const struct jmember *members, uint32_t *order, uint32_t n)
{
    bool sorted = true;
    for (uint32_t i = 0; i < n; i++) {
        order[i] = i;
        sorted = sorted && (i == 0 || member_cmp(members, i - 1, i) < 0);
    }
    if (sorted) {
        return;
    }
    for (uint32_t i = n / 2; i-- > 0;) {
        sift_down(members, order, i, n);
    }
    for (uint32_t left = n; left > 1; left--) {
        uint32_t greatest = order[0];
        order[0] = order[left - 1];
        order[left - 1] = greatest;
        sift_down(members, order, 0, left - 1);
    }
}

static struct jslot *index_slot(const struct jindex *x, uint32_t at)
{
    return (struct jslot *)(uintptr_t)&x->words[2 * (size_t)at];
}

static struct jindex *index_alloc(struct arena *a, uint32_t len, size_t payload)
{
    struct jindex *x = arena_zalloc(a, offsetof(struct jindex, words) + payload);
    if (x != NULL) {
        x->len = len;
    }
    return x;
}

/* Where the name is or would go: number of its slot, or -1 when that is too far. */
static int64_t find_slot(const struct jindex *x, const struct jmember *members, struct str name,
                         uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    uint32_t at = (uint32_t)hash & x->mask;
    for (int probe = 0; probe < PROBES_MAX; probe++) {
        const struct jslot *s = index_slot(x, at);
        if (s->number == 0 || (s->tag == tag && json_name_eq(members[s->number - 1].name, name))) {
            return at;
        }
        at = (at + 1) & x->mask;
    }
    return -1;
}

/* False when the names collide too much for hashing. "again" is set to the first member whose
 * name was there before, if any. */
static bool index_fill(struct jindex *x, const struct jmember *members, uint32_t n, uint32_t *again)
{
    for (uint32_t i = 0; i < n; i++) {
        struct str name = members[i].name;
        uint64_t hash = hash_bytes(name.p, name.size);
        int64_t at = find_slot(x, members, name, hash);
        if (at < 0) {
            return false;
        }
        struct jslot *s = index_slot(x, (uint32_t)at);
        if (s->number == 0) {
            *s = (struct jslot){(uint32_t)(hash >> 32), i + 1};
        } else if (*again == UINT32_MAX) {
            *again = i;
        }
    }
    return true;
}

/* Of all members whose name stood before them, the first one; else UINT32_MAX. */
static uint32_t first_again(const struct jmember *members, const uint32_t *order, uint32_t n)
{
    uint32_t again = UINT32_MAX;
    for (uint32_t i = 1; i < n; i++) {
        if (json_name_eq(members[order[i - 1]].name, members[order[i]].name)) {
            again = MIN(again, order[i]);
        }
    }
    return again;
}

static struct jindex *index_build(struct arena *a, const struct jmember *members, uint32_t n,
                                  uint32_t *again)
{
    uint32_t slots = 2 * JSON_INDEX_MIN;
    while (slots < 2 * (uint64_t)n && slots < UINT32_C(1) << 31) {
        slots *= 2;
    }
    struct jindex *x = index_alloc(a, n, sizeof(struct jslot) * slots);
    if (x == NULL) {
        return NULL;
    }
    x->mask = slots - 1;
    *again = UINT32_MAX;
    if (index_fill(x, members, n, again)) {
        return x;
    }
    x = index_alloc(a, n, sizeof(uint32_t) * n);
    if (x == NULL) {
        return NULL;
    }
    json_sort_members(members, x->words, n);
    *again = first_again(members, x->words, n);
    return x;
}

static const struct jmember *index_find(const struct jindex *x, const struct jmember *members,
                                        struct str name)
{
    if (x->mask != 0) {
        int64_t at = find_slot(x, members, name, hash_bytes(name.p, name.size));
        uint32_t number = at < 0 ? 0 : index_slot(x, (uint32_t)at)->number;
        return number == 0 ? NULL : &members[number - 1];
    }
    uint32_t lo = 0, hi = x->len; /* the first that is not below the name */
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (str_cmp(members[x->words[mid]].name, name) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == x->len || !json_name_eq(members[x->words[lo]].name, name)) {
        return NULL;
    }
    return &members[x->words[lo]];
}

bool json_find_duplicate(struct arena *a, const struct jmember *members, uint32_t n,
                         struct jindex **index, uint32_t *again, bool *full)
{
    *index = NULL;
    *full = false;
    if (n < JSON_INDEX_MIN) {
        for (uint32_t i = 1; i < n; i++) {
            for (uint32_t j = 0; j < i; j++) {
                if (json_name_eq(members[i].name, members[j].name)) {
                    *again = i;
                    return true;
                }
            }
        }
        return false;
    }
    *again = UINT32_MAX;
    *index = index_build(a, members, n, again);
    *full = *index == NULL;
    return *again != UINT32_MAX;
}

/* ---- constructors ---- */

static struct jv *value_new(struct arena *a, enum jtype type)
{
    struct jv *v = ARENA_NEW(a, struct jv);
    if (v != NULL) {
        v->type = (uint8_t)type;
    }
    return v;
}

const struct jv *jv_null(void)
{
    return &NULL_VALUE;
}

const struct jv *jv_bool(bool b)
{
    return b ? &TRUE_VALUE : &FALSE_VALUE;
}

static const struct jv *number_of(struct arena *a, const char *text, size_t size)
{
    struct jv *v = value_new(a, JV_NUMBER);
    const char *copy = arena_memdup(a, text, size);
    if (v == NULL || copy == NULL) {
        return NULL;
    }
    v->flags = JVF_COMPACT;
    v->raw = v->u.s = (struct str){copy, size};
    return v;
}

const struct jv *jv_int(struct arena *a, int64_t n)
{
    char text[JSON_DOUBLE_SIZE];
    return number_of(a, text, json_format_i64(n, text));
}

const struct jv *jv_double(struct arena *a, double d)
{
    if (!isfinite(d)) {
        return NULL;
    }
    char text[JSON_DOUBLE_SIZE];
    return number_of(a, text, json_format_double(d, text));
}

const struct jv *jv_number_text(struct arena *a, struct str literal)
{
    PRE(json_is_number(literal));
    return number_of(a, literal.p, literal.size);
}

/* An empty string has a pointer, too: STR_NONE means "no string". */
static bool dup_text(struct arena *a, struct str s, struct str *out)
{
    if (s.size == 0) {
        *out = STR("");
        return true;
    }
    const char *p = arena_memdup(a, s.p, s.size);
    *out = (struct str){p, s.size};
    return p != NULL;
}

const struct jv *jv_string(struct arena *a, struct str s)
{
    struct jv *v = value_new(a, JV_STRING);
    return v != NULL && dup_text(a, s, &v->u.s) ? v : NULL;
}

const struct jv *jv_array(struct arena *a, const struct jv *const *items, uint32_t n)
{
    struct jv *v = value_new(a, JV_ARRAY);
    if (v == NULL || n == 0) {
        return v;
    }
    v->len = n;
    v->u.items = arena_memdup(a, items, sizeof(items[0]) * n);
    return v->u.items != NULL ? v : NULL;
}

/* An object over this list of members, which it takes; duplicate names are the caller's bug
 * unless "lenient". */
static const struct jv *object_over(struct arena *a, struct jmember *members, uint32_t n,
                                    bool lenient)
{
    struct jv *v = value_new(a, JV_OBJECT);
    if (v == NULL) {
        return NULL;
    }
    v->len = n;
    v->u.members = members;
    if (n >= JSON_INDEX_MIN || !lenient) {
        uint32_t again;
        bool full;
        bool duplicate = json_find_duplicate(a, members, n, &v->index, &again, &full);
        PRE(lenient || !duplicate);
        if (full) {
            return NULL;
        }
    }
    return v;
}

/* A new list with the first n members, and room for more. */
static struct jmember *members_copy(struct arena *a, const struct jmember *members, uint32_t n,
                                    uint32_t more)
{
    struct jmember *copy = arena_alloc(a, sizeof(*copy) * ((size_t)n + more));
    if (copy != NULL && n > 0) {
        memcpy(copy, members, sizeof(*copy) * n);
    }
    return copy;
}

const struct jv *jv_object(struct arena *a, const struct jmember *members, uint32_t n)
{
    struct jmember *copy = n > 0 ? members_copy(a, members, n, 0) : NULL;
    if (n > 0 && copy == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!dup_text(a, members[i].name, &copy[i].name)) {
            return NULL;
        }
    }
    return object_over(a, copy, n, false);
}

static const struct jmember *find_member(const struct jv *obj, struct str name)
{
    if (obj == NULL || obj->type != JV_OBJECT) {
        return NULL;
    }
    if (obj->index != NULL) {
        return index_find(obj->index, obj->u.members, name);
    }
    for (uint32_t i = 0; i < obj->len; i++) {
        if (json_name_eq(obj->u.members[i].name, name)) {
            return &obj->u.members[i];
        }
    }
    return NULL;
}

const struct jv *jv_obj_put(struct arena *a, const struct jv *obj, struct str name,
                            const struct jv *value)
{
    uint32_t n = jv_is(obj, JV_OBJECT) ? obj->len : 0;
    const struct jmember *old = find_member(obj, name);
    struct jmember *copy = members_copy(a, n > 0 ? obj->u.members : NULL, n, old == NULL);
    if (copy == NULL || value == NULL) {
        return NULL;
    }
    if (old != NULL) {
        copy[old - obj->u.members].value = value;
    } else {
        copy[n] = (struct jmember){.value = value};
        if (!dup_text(a, name, &copy[n++].name)) {
            return NULL;
        }
    }
    return object_over(a, copy, n, true);
}

const struct jv *jv_obj_del(struct arena *a, const struct jv *obj, struct str name)
{
    const struct jmember *old = find_member(obj, name);
    if (old == NULL) {
        return jv_is(obj, JV_OBJECT) ? obj : object_over(a, NULL, 0, true);
    }
    uint32_t n = obj->len - 1;
    size_t before = (size_t)(old - obj->u.members);
    struct jmember *copy = members_copy(a, obj->u.members, n, 0);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy + before, old + 1, sizeof(*copy) * (n - before));
    return object_over(a, copy, n, true);
}

/* ---- builders ---- */

static void list_begin(struct jv_list *b, struct arena *a)
{
    *b = (struct jv_list){.a = a};
}

/* Room for one more item; NULL when memory is out, which ends the list for good (a == NULL). */
static void *list_next(struct jv_list *b, size_t size, const struct jv *v)
{
    if (b->a == NULL || v == NULL) {
        b->a = NULL;
        return NULL;
    }
    if (b->len == b->room) {
        uint32_t room = b->room == 0 ? LIST_ROOM_FIRST : b->room * 2;
        PRE(room > b->room);
        void *bigger = arena_alloc(b->a, size * room);
        if (bigger == NULL) {
            b->a = NULL;
            return NULL;
        }
        if (b->len > 0) {
            memcpy(bigger, b->v, size * b->len);
        }
        b->v = bigger;
        b->room = room;
    }
    return (char *)b->v + size * b->len++;
}

void jv_arr_begin(struct jv_list *b, struct arena *a)
{
    list_begin(b, a);
}

void jv_arr_add(struct jv_list *b, const struct jv *v)
{
    const struct jv **item = list_next(b, sizeof(*item), v);
    if (item != NULL) {
        *item = v;
    }
}

const struct jv *jv_arr_end(struct jv_list *b)
{
    struct jv *v = b->a != NULL ? value_new(b->a, JV_ARRAY) : NULL;
    if (v != NULL) {
        v->len = b->len;
        v->u.items = b->v;
    }
    b->a = NULL;
    return v;
}

void jv_obj_begin(struct jv_list *b, struct arena *a)
{
    list_begin(b, a);
}

bool json_list_add_member(struct jv_list *b, const struct jmember *m)
{
    struct jmember *room = list_next(b, sizeof(*room), m->value);
    if (room != NULL) {
        *room = *m;
    }
    return room != NULL;
}

void jv_obj_add(struct jv_list *b, struct str name, const struct jv *v)
{
    struct jmember m = {.value = v};
    if (b->a == NULL || !dup_text(b->a, name, &m.name)) {
        b->a = NULL;
        return;
    }
    json_list_add_member(b, &m);
}

const struct jv *jv_obj_end(struct jv_list *b)
{
    const struct jv *v = b->a != NULL ? object_over(b->a, b->v, b->len, true) : NULL;
    b->a = NULL;
    return v;
}

/* ---- access ---- */

const struct jv *jv_get(const struct jv *obj, struct str name)
{
    const struct jmember *m = find_member(obj, name);
    return m != NULL ? m->value : NULL;
}

const struct jv *jv_getc(const struct jv *obj, const char *name)
{
    return jv_get(obj, (struct str){name, strlen(name)});
}

bool jv_is(const struct jv *v, enum jtype t)
{
    return v != NULL && v->type == t;
}

bool jv_is_bool(const struct jv *v)
{
    return jv_is(v, JV_FALSE) || jv_is(v, JV_TRUE);
}

struct str jv_str(const struct jv *v)
{
    return jv_is(v, JV_STRING) ? v->u.s : STR_NONE;
}

double jv_num(const struct jv *v)
{
    return jv_is(v, JV_NUMBER) ? json_number_double(v->u.s) : 0;
}

bool jv_to_i64(const struct jv *v, int64_t *out)
{
    return jv_is(v, JV_NUMBER) && json_number_i64(v->u.s, out);
}

static bool object_equal(const struct jv *a, const struct jv *b)
{
    for (uint32_t i = 0; i < a->len; i++) {
        const struct jmember *m = &a->u.members[i];
        /* Mostly both have one order: try the same place first. */
        const struct jmember *n = &b->u.members[i];
        const struct jv *other = json_name_eq(m->name, n->name) ? n->value : jv_get(b, m->name);
        if (!jv_equal(m->value, other)) {
            return false;
        }
    }
    return true;
}

bool jv_equal(const struct jv *a, const struct jv *b)
{
    if (a == b) {
        return true;
    }
    if (a == NULL || b == NULL || a->type != b->type || a->len != b->len) {
        return false;
    }
    switch ((enum jtype)a->type) {
    case JV_NULL:
    case JV_FALSE:
    case JV_TRUE:
        return true;
    case JV_NUMBER:
        return json_number_eq(a->u.s, b->u.s);
    case JV_STRING:
        return json_name_eq(a->u.s, b->u.s);
    case JV_ARRAY:
        for (uint32_t i = 0; i < a->len; i++) {
            if (!jv_equal(a->u.items[i], b->u.items[i])) {
                return false;
            }
        }
        return true;
    case JV_OBJECT:
        return object_equal(a, b);
    }
    return false;
}

const char *jtype_name(enum jtype t)
{
    switch (t) {
    case JV_NULL:
        return "null";
    case JV_FALSE:
    case JV_TRUE:
        return "boolean";
    case JV_NUMBER:
        return "number";
    case JV_STRING:
        return "string";
    case JV_ARRAY:
        return "array";
    case JV_OBJECT:
        return "object";
    }
    return "unknown";
}

/* ---- copies ---- */

/* The raw text that is being copied: slices of "from" become slices of "to". */
struct rebase {
    struct arena *a;
    struct str from;
    const char *to;
};

static bool rebase_slice(const struct rebase *r, struct str s, struct str *out)
{
    uintptr_t at = (uintptr_t)s.p, start = (uintptr_t)r->from.p;
    if (s.p != NULL && r->from.p != NULL && at >= start && s.size <= r->from.size &&
        at - start <= r->from.size - s.size) {
        *out = (struct str){r->to + (at - start), s.size};
        return true;
    }
    return false;
}

static bool copy_text(const struct rebase *r, struct str s, struct str *out)
{
    if (s.p == NULL) {
        *out = STR_NONE;
        return true;
    }
    return rebase_slice(r, s, out) || dup_text(r->a, s, out);
}

static const struct jv *copy_value(struct rebase r, const struct jv *v);

static bool copy_items(const struct rebase *r, const struct jv *v, struct jv *copy)
{
    copy->u.items = arena_alloc(r->a, sizeof(copy->u.items[0]) * v->len);
    if (copy->u.items == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < v->len; i++) {
        copy->u.items[i] = copy_value(*r, v->u.items[i]);
        if (copy->u.items[i] == NULL) {
            return false;
        }
    }
    return true;
}

static bool copy_members(const struct rebase *r, const struct jv *v, struct jv *copy)
{
    copy->u.members = members_copy(r->a, v->u.members, v->len, 0);
    if (copy->u.members == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < v->len; i++) {
        struct jmember *m = &copy->u.members[i];
        m->value = copy_value(*r, m->value);
        if (m->value == NULL || !copy_text(r, m->name, &m->name)) {
            return false;
        }
    }
    if (v->index == NULL) {
        return true;
    }
    /* It holds numbers of members, no addresses. */
    size_t payload = v->index->mask != 0 ? sizeof(struct jslot) * ((size_t)v->index->mask + 1)
                                         : sizeof(uint32_t) * v->index->len;
    copy->index = arena_memdup(r->a, v->index, offsetof(struct jindex, words) + payload);
    return copy->index != NULL;
}

static const struct jv *copy_value(struct rebase r, const struct jv *v)
{
    struct jv *copy = arena_memdup(r.a, v, sizeof(*v));
    if (copy == NULL) {
        return NULL;
    }
    if (v->raw.p != NULL && !rebase_slice(&r, v->raw, &copy->raw)) {
        if (!dup_text(r.a, v->raw, &copy->raw)) {
            return NULL;
        }
        r.from = v->raw; /* what is below lies in this text */
        r.to = copy->raw.p;
    }
    bool ok = true;
    if (v->type == JV_STRING || v->type == JV_NUMBER) {
        ok = copy_text(&r, v->u.s, &copy->u.s);
    } else if (v->type == JV_ARRAY && v->len > 0) {
        ok = copy_items(&r, v, copy);
    } else if (v->type == JV_OBJECT && v->len > 0) {
        ok = copy_members(&r, v, copy);
    }
    return ok ? copy : NULL;
}

const struct jv *jv_copy(struct arena *a, const struct jv *v)
{
    return v != NULL ? copy_value((struct rebase){.a = a}, v) : NULL;
}
