#include "base/prelude.h"

#include "engine/marks.h"

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"

struct marked {
    struct map_node node;
    struct list lru;
    struct exec_id id;
    struct mark v[MARKS_EACH_MAX]; /* by events */
    uint32_t len, spacing;
    size_t bytes;
};

struct marks {
    struct map execs;
    struct list lru; /* asked about longest ago in front */
    size_t bytes;
};

static bool marked_eq(const struct map_node *n, const void *key)
{
    return exec_id_eq(&MAP_ENTRY(n, const struct marked, node)->id, key);
}

static struct marked *find(struct marks *m, const struct exec_id *id)
{
    struct map_node *n = map_find(&m->execs, exec_id_hash(id), id, marked_eq);
    return n == NULL ? NULL : MAP_ENTRY(n, struct marked, node);
}

static struct marked *get(struct marks *m, const struct exec_id *id)
{
    struct marked *e = find(m, id);
    if (e == NULL) {
        e = MEM_NEW(struct marked);
        e->id = *id;
        e->spacing = MARKS_SPACING;
        m->bytes += sizeof(*e);
        map_insert(&m->execs, &e->node, exec_id_hash(id));
    }
    list_remove(&e->lru);
    list_push_back(&m->lru, &e->lru);
    return e;
}

static void drop_mark(struct marks *m, struct marked *e, uint32_t i)
{
    e->bytes -= e->v[i].snapshot.size;
    m->bytes -= e->v[i].snapshot.size;
    mem_free((void *)(uintptr_t)e->v[i].snapshot.p);
    e->len--;
    memmove(&e->v[i], &e->v[i + 1], (e->len - i) * sizeof(e->v[0]));
}

static void drop(struct marks *m, struct marked *e)
{
    while (e->len > 0) {
        drop_mark(m, e, e->len - 1);
    }
    m->bytes -= sizeof(*e);
    list_remove(&e->lru);
    map_remove(&m->execs, &e->node);
    mem_free(e);
}

/* Index of the first mark behind more than "events". */
static uint32_t place(const struct marked *e, uint32_t events)
{
    uint32_t i = 0;
    while (i < e->len && e->v[i].events <= events) {
        i++;
    }
    return i;
}

/* Every second one goes. */
static void thin_out(struct marks *m, struct marked *e)
{
    for (uint32_t i = 0; i < e->len; i++) {
        drop_mark(m, e, i);
    }
    e->spacing = MIN(e->spacing, UINT32_MAX / 2) * 2;
}

struct marks *marks_new(void)
{
    struct marks *m = MEM_NEW(struct marks);
    map_init(&m->execs);
    list_init(&m->lru);
    return m;
}

void marks_free(struct marks *m)
{
    if (m == NULL) {
        return;
    }
    while (!list_empty(&m->lru)) {
        drop(m, LIST_ENTRY(m->lru.next, struct marked, lru));
    }
    map_fini(&m->execs);
    mem_free(m);
}

const struct mark *marks_before(struct marks *m, const struct exec_id *id, uint32_t event)
{
    struct marked *e = find(m, id);
    uint32_t i = e == NULL || event == 0 ? 0 : place(e, event - 1);
    if (i == 0) {
        return NULL;
    }
    list_remove(&e->lru);
    list_push_back(&m->lru, &e->lru);
    return &e->v[i - 1];
}

bool marks_wanted(struct marks *m, const struct exec_id *id, uint32_t events)
{
    const struct marked *e = find(m, id);
    uint32_t spacing = e == NULL ? (uint32_t)MARKS_SPACING : e->spacing;
    uint32_t i = e == NULL ? 0 : place(e, events);
    uint32_t before = i == 0 ? 0 : e->v[i - 1].events;
    bool crowded = e != NULL && i < e->len && e->v[i].events - events < spacing;
    return events - before >= spacing && !crowded;
}

void marks_add(struct marks *m, const struct exec_id *id, const struct mark *mark)
{
    if (mark->snapshot.size > MARKS_EACH_BYTES / 2) {
        return; /* two would not fit */
    }
    struct marked *e = get(m, id);
    while (e->len == MARKS_EACH_MAX ||
           (e->len > 0 && e->bytes + mark->snapshot.size > (size_t)MARKS_EACH_BYTES)) {
        thin_out(m, e);
    }
    uint32_t i = place(e, mark->events);
    memmove(&e->v[i + 1], &e->v[i], (e->len - i) * sizeof(e->v[0]));
    e->len++;
    e->v[i] = *mark;
    char *copy = mem_alloc(mark->snapshot.size + 1);
    memcpy(copy, mark->snapshot.p, mark->snapshot.size);
    e->v[i].snapshot.p = copy;
    e->bytes += mark->snapshot.size;
    m->bytes += mark->snapshot.size;
    while (m->bytes > MARKS_BYTES && m->lru.next != &e->lru) {
        drop(m, LIST_ENTRY(m->lru.next, struct marked, lru));
    }
}

void marks_forget(struct marks *m, const struct exec_id *id)
{
    struct marked *e = find(m, id);
    if (e != NULL) {
        drop(m, e);
    }
}

size_t marks_bytes(const struct marks *m)
{
    return m->bytes;
}
