/* Payloads: counted blocks of compact JSON text, and the scratch that holds their trees. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/core/exec.h"

struct pay *pay_make(struct exec *x, struct str text)
{
    struct pay *p = mem_alloc(sizeof(*p) + text.size);

    p->refs = 1;
    p->size = text.size;
    if (text.size > 0) {
        memcpy(p->text, text.p, text.size);
    }
    x->pay_bytes += text.size;
    x->heap_bytes += sizeof(*p) + text.size;
    return p;
}

struct pay *pay_ref(struct pay *p)
{
    if (p != NULL) {
        p->refs++;
    }
    return p;
}

/* How many hold it beside the scratch, which keeps what it has parsed until it is reset. */
uint32_t pay_holders(const struct pay *p)
{
    return p->refs - (p->tree != NULL ? 1 : 0);
}

/* What only the scratch holds is in memory, but no part of the state. */
void pay_unref(struct exec *x, struct pay *p)
{
    if (p == NULL) {
        return;
    }
    p->refs--;
    if (pay_holders(p) == 0) {
        x->pay_bytes -= p->size;
    }
    if (p->refs > 0) {
        return;
    }
    x->heap_bytes -= sizeof(*p) + p->size;
    mem_free(p);
}

struct str pay_text(const struct pay *p)
{
    return p == NULL ? STR_NONE : (struct str){p->text, p->size};
}

static void remember(struct scratch *s, struct pay *p, const struct jv *tree)
{
    p->tree = tree;
    p->parsed = s->parsed;
    s->parsed = pay_ref(p);
}

const struct jv *pay_tree(struct scratch *s, struct pay *p)
{
    const struct jv *v;

    if (p->tree == NULL) {
        if (json_parse(&s->arena, pay_text(p), JSON_LIMITS_PAYLOAD, true, &v, NULL) != ERR_OK) {
            return NULL;
        }
        remember(s, p, v);
    }
    return p->tree;
}

struct pay *pay_of_tree(struct exec *x, struct scratch *s, const struct jv *v)
{
    struct pay *p;

    buf_clear(&s->buf);
    json_write(&s->buf, v);
    if (s->buf.failed) { /* too long to be looked at: stands for "over every limit" */
        buf_clear(&s->buf);
        while (s->buf.size <= PAYLOAD_SIZE_MAX) {
            buf_put(&s->buf, "                ", 16);
        }
        return pay_make(x, buf_str(&s->buf));
    }
    p = pay_make(x, buf_str(&s->buf));
    remember(s, p, v);
    return p;
}

void scratch_init(struct scratch *s)
{
    arena_init(&s->arena, 0);
    s->parsed = NULL;
    buf_init(&s->buf, SCRATCH_TEXT_MAX);
}

void scratch_reset(struct exec *x, struct scratch *s, size_t keep)
{
    while (s->parsed != NULL) {
        struct pay *p = s->parsed;
        s->parsed = p->parsed;
        p->parsed = NULL;
        if (pay_holders(p) == 0) {
            x->pay_bytes += p->size; /* for pay_unref to take */
        }
        p->tree = NULL;
        pay_unref(x, p);
    }
    arena_reset(&s->arena, keep);
}

void scratch_fini(struct exec *x, struct scratch *s)
{
    scratch_reset(x, s, 0);
    arena_fini(&s->arena);
    buf_fini(&s->buf);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

bool json_is_compact(struct str text)
{
    bool in_string = false;

    for (size_t i = 0; i < text.size; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (is_space(c)) {
            return false;
        }
    }
    return true;
}

void json_compact(struct buf *out, struct str text)
{
    bool in_string = false;
    size_t from = 0;

    for (size_t i = 0; i < text.size; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (is_space(c)) {
            buf_put(out, text.p + from, i - from);
            from = i + 1;
        }
    }
    buf_put(out, text.p + from, text.size - from);
}

bool json_too_deep(struct str text)
{
    uint32_t depth = 0;
    bool in_string = false;

    if (text.size < 2 * JSON_LIMITS_PAYLOAD.depth) {
        return false; /* not enough brackets */
    }
    for (size_t i = 0; i < text.size; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_LIMITS_PAYLOAD.depth) {
                return true;
            }
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

uint32_t *array_offsets(struct str text, uint32_t *n)
{
    uint32_t count = 0, room = 0, depth = 0;
    uint32_t *v = NULL;
    bool in_string = false;

    if (text.size < 2 || text.size > UINT32_MAX || text.p[0] != '[') {
        return NULL;
    }
    for (uint32_t i = 0; i < text.size; i++) {
        char c = text.p[i];
        bool starts = false;
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
            continue;
        }
        if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            starts = depth++ == 0 && text.size > 2;
        } else if (c == ']' || c == '}') {
            depth--;
        } else if (c == ',') {
            starts = depth == 1;
        }
        if (starts) {
            if (count + 1 >= room) {
                room = room == 0 ? 16 : room * 2;
                v = mem_realloc(v, room * sizeof(*v));
            }
            v[count++] = i + 1;
        }
    }
    if (v == NULL) {
        v = mem_alloc(sizeof(*v));
    }
    v[count] = (uint32_t)text.size; /* as if a ',' stood at the place of ']' */
    *n = count;
    return v;
}

void kids_keep_tree(struct exec *x, struct kids *k, struct pay *data)
{
    PRE(k->data == NULL);
    k->data_arena = MEM_NEW(struct arena);
    arena_init(k->data_arena, 0);
    if (json_parse(k->data_arena, pay_text(data), JSON_LIMITS_PAYLOAD, true, &k->data_tree, NULL) !=
        ERR_OK) {
        arena_fini(k->data_arena);
        mem_free(k->data_arena);
        k->data_arena = NULL;
        return;
    }
    k->data = pay_ref(data);
    x->heap_bytes += k->data_arena->used;
}

void kids_drop_tree(struct exec *x, struct kids *k)
{
    if (k->data == NULL) {
        return;
    }
    if (k->data->tree == k->data_tree) {
        k->data->tree = NULL;
    }
    x->heap_bytes -= k->data_arena->used;
    pay_unref(x, k->data);
    arena_fini(k->data_arena);
    mem_free(k->data_arena);
    k->data = NULL;
}

struct str kids_item(const struct kids *k, uint32_t i)
{
    uint32_t from = k->offsets[i];

    return (struct str){k->items->text + from, k->offsets[i + 1] - 1 - from};
}
