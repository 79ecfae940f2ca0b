/* What the files of conf/ share: the table with its kinds, leaves, names that are near. */
#ifndef CARILLON_CONF_CONF_INTERNAL_H
#define CARILLON_CONF_CONF_INTERNAL_H

#include "conf/conf.h"

/* ---- the table (conf.c) ---- */

struct conf_element {
    const struct conf_record *record;
    const char *identity, *name, *preset, *idle;
};
const struct conf_element *conf_element_at(size_t i); /* NULL past the last */
const char *conf_document_at(size_t i);               /* the same */

/* A value in the struct: a key, or the field of an element. */
struct conf_place {
    const struct conf_row *row;
    const struct conf_record *in; /* NULL: a key */
    void *base;                   /* the struct that the row's offsets count from */
    struct str path;              /* whole, for people */
};
static inline void *conf_value(const struct conf_place *p)
{
    return (char *)p->base + p->row->at;
}
static inline struct conf_origin *conf_origin(const struct conf_place *p)
{
    return (struct conf_origin *)(void *)((char *)p->base + p->row->from);
}
/* A key. The struct is changed through it by the loader only. */
static inline struct conf_place conf_place_of(const struct conf *c, const struct conf_row *row)
{
    return (struct conf_place){.row = row, .base = (void *)(uintptr_t)c, .path = str_of(row->path)};
}

/* A list as the struct holds it, whatever its record. */
struct conf_list {
    void *v;
    uint32_t len;
};
struct conf_list conf_list_get(const struct conf *c, const struct conf_row *row);
void conf_list_put(struct conf *c, const struct conf_row *row, struct conf_list list);
static inline void *conf_list_item(const struct conf_row *row, struct conf_list list, uint32_t i)
{
    return (char *)list.v + (size_t)i * row->record->size;
}
/* The field that names an element; NULL: its position does. */
const struct conf_row *conf_identity(const struct conf_record *record);
struct str conf_identity_of(const struct conf_record *record, const void *item);

/* Fills "item" with the presets of its fields, and of the element that it is by its identity:
 * only what was not set. */
void conf_item_presets(struct conf *c, const struct conf_record *record, void *item);
void conf_element_presets(struct conf *c, const struct conf_record *record, void *item);
struct conf *conf_new(void); /* the presets */

/* A field of an element, by its number; the path in "a". */
struct conf_place conf_place_in(const struct conf_row *list, void *item, uint32_t field,
                                uint32_t position, struct arena *a);
/* Every leaf: keys, and the fields of each element. Documents are not among them. */
typedef void (*conf_each_fn)(void *arg, const struct conf_place *p);
void conf_each(const struct conf *c, struct arena *a, conf_each_fn f, void *arg);
/* Has it a value? A preset may be none. */
bool conf_has_value(const struct conf_place *p);
/* Why this value is not in force; NULL: it is. */
const char *conf_idle(const struct conf_place *p);

/* ---- kinds (conf_kind.c) ---- */

/* What the struct holds: struct str, int64_t (with a range), or something of its own. */
enum conf_form { CONF_FORM_TEXT, CONF_FORM_NUMBER, CONF_FORM_OTHER };
enum conf_form conf_kind_form(enum conf_kind kind);
bool conf_kind_is_secret(enum conf_kind kind); /* may be given by a file */
/* Reads "text" into *out; texts go into "a". False: "why" says what was wanted. */
bool conf_parse(struct arena *a, const struct conf_row *row, struct str text, void *out,
                struct buf *why);
bool conf_equal(const struct conf_row *row, const void *a, const void *b);
/* As JSON, secrets masked. */
void conf_write(struct buf *out, const struct conf_row *row, const void *value);
/* "text" in quotes for a message: cut, control characters escaped. */
void conf_quote(struct buf *out, struct str text);

/* ---- names that are near (conf_near.c) ---- */

/* The nearest so far; offer each candidate, then look at "best" (STR_NONE: none is near). */
struct conf_near {
    struct str name, best;
    uint32_t distance;
};
void conf_near_init(struct conf_near *n, struct str name);
void conf_near_offer(struct conf_near *n, struct str candidate);

/* ---- checks over several keys (conf_check.c) ---- */

void conf_check(const struct conf *c, struct conf_problems *p);

#endif
