/* The table as data, the presets, and what follows from the values. See conf.h. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/mem.h"
#include "conf/conf_internal.h"

/* ---- the table ---- */

#define POSITION    NULL
#define UNSET       ""
#define NEEDED      NULL
#define IN_FORCE    NULL
#define LATER(what) what " (not built yet)"
#define NEVER(why)  why
#define LIVE        true
#define RESTART     false

#define RECORD(record, identity) static const struct conf_row record##_fields[] = {
#define FIELD(record, field, what, name, preset_text, range_text, unit_text, force, help_text) \
    {.path = (name), \
     .kind = CONF_##what, \
     .preset = (preset_text), \
     .range = (range_text), \
     .unit = (unit_text), \
     .idle = (force), \
     .help = (help_text), \
     .at = offsetof(struct conf_##record, field), \
     .from = offsetof(struct conf_##record, from.field)},
#define RECORD_END(record) \
    } \
    ;
#include "conf/keys.def"

#define RECORD(record, identity_name) \
    static const struct conf_record record_##record = {.name = #record, \
                                                       .identity = (identity_name), \
                                                       .fields = record##_fields, \
                                                       .len = ARRAY_LEN(record##_fields), \
                                                       .size = sizeof(struct conf_##record), \
                                                       .self = offsetof(struct conf_##record, \
                                                                        from.self)};
#include "conf/keys.def"

static const struct conf_row rows[] = {
#define KEY(field, what, name, preset_text, range_text, unit_text, reload, force, help_text) \
    {.path = (name), \
     .kind = CONF_##what, \
     .preset = (preset_text), \
     .range = (range_text), \
     .unit = (unit_text), \
     .live = (reload), \
     .idle = (force), \
     .help = (help_text), \
     .at = offsetof(struct conf, field), \
     .from = offsetof(struct conf, from.field)},
#define LIST(field, of, name, most, force, help_text) \
    {.path = (name), \
     .kind = CONF_LIST, \
     .preset = UNSET, \
     .range = "", \
     .unit = "", \
     .idle = (force), \
     .help = (help_text), \
     .at = offsetof(struct conf, field), \
     .from = offsetof(struct conf, from.field), \
     .record = &record_##of, \
     .len_max = (most)},
#include "conf/keys.def"
};

static const struct conf_element elements[] = {
#define ELEMENT(record, identity, name, preset, force) \
    {&record_##record, (identity), (name), (preset), (force)},
#include "conf/keys.def"
};

static const struct conf_group groups[] = {
#define GROUP(path, help) {(path), (help)},
#include "conf/keys.def"
};

static const char *const documents[] = {
#define DOCUMENT(path) (path),
#include "conf/keys.def"
};

static const struct conf_short flags[] = {
#define FLAG(name, arg, path, value) {(name), (arg), (path), (value)},
#include "conf/keys.def"
};

static const struct conf_short variables[] = {
#define VARIABLE(name, path) {(name), NULL, (path), NULL},
#include "conf/keys.def"
};

const struct conf_row *conf_row_at(size_t i)
{
    return i < ARRAY_LEN(rows) ? &rows[i] : NULL;
}

const struct conf_element *conf_element_at(size_t i)
{
    return i < ARRAY_LEN(elements) ? &elements[i] : NULL;
}

const struct conf_group *conf_group_at(size_t i)
{
    return i < ARRAY_LEN(groups) ? &groups[i] : NULL;
}

const char *conf_document_at(size_t i)
{
    return i < ARRAY_LEN(documents) ? documents[i] : NULL;
}

const struct conf_short *conf_flag_at(size_t i)
{
    return i < ARRAY_LEN(flags) ? &flags[i] : NULL;
}

const struct conf_short *conf_variable_at(size_t i)
{
    return i < ARRAY_LEN(variables) ? &variables[i] : NULL;
}

static const struct conf_row *field_of(const struct conf_record *record, struct str name)
{
    for (uint32_t i = 0; i < record->len; i++) {
        if (str_eqc(name, record->fields[i].path)) {
            return &record->fields[i];
        }
    }
    return NULL;
}

const struct conf_row *conf_row_of(struct str path)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str name = str_of(rows[i].path);
        struct str rest = str_sub(path, name.size, path.size);
        if (!str_starts(path, name)) {
            continue;
        }
        if (rest.size == 0) {
            return &rows[i];
        }
        const char *end = memmem(rest.p, rest.size, "].", 2);
        if (rest.p[0] == '[' && end != NULL && rows[i].kind == CONF_LIST) {
            return field_of(rows[i].record, str_sub(rest, (size_t)(end + 2 - rest.p), rest.size));
        }
    }
    return NULL;
}

const char *conf_preset_of(struct str path)
{
    const struct conf_row *row = conf_row_of(path);
    const char *open = path.size > 0 ? memchr(path.p, '[', path.size) : NULL;
    const char *close =
        open != NULL ? memchr(open, ']', (size_t)(path.p + path.size - open)) : NULL;
    for (size_t i = 0; i < ARRAY_LEN(elements) && row != NULL && close != NULL; i++) {
        struct str identity = {open + 1, (size_t)(close - open - 1)};
        if (strcmp(elements[i].name, row->path) == 0 && str_eqc(identity, elements[i].identity)) {
            return elements[i].preset;
        }
    }
    return row != NULL && row->preset != NULL ? row->preset : "";
}

void conf_row_variable(struct buf *out, const struct conf_row *row)
{
    buf_puts(out, "CARILLON_");
    for (const char *p = row->path; *p != '\0'; p++) {
        bool upper = *p >= 'A' && *p <= 'Z';
        bool inside = upper && p > row->path && p[-1] >= 'a' && p[-1] <= 'z';
        if (*p == '.') {
            buf_puts(out, "__");
        } else {
            buf_puts(out, inside ? "_" : "");
            buf_putc(out, *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p);
        }
    }
}

/* ---- lists ---- */

struct conf_list conf_list_get(const struct conf *c, const struct conf_row *row)
{
    struct conf_list list;
    memcpy(&list, (const char *)c + row->at, sizeof(list));
    return list;
}

void conf_list_put(struct conf *c, const struct conf_row *row, struct conf_list list)
{
    memcpy((char *)c + row->at, &list, sizeof(list));
}

const struct conf_row *conf_identity(const struct conf_record *record)
{
    return record->identity != NULL ? field_of(record, str_of(record->identity)) : NULL;
}

struct str conf_identity_of(const struct conf_record *record, const void *item)
{
    const struct conf_row *row = conf_identity(record);
    struct str name = STR_NONE;
    if (row != NULL) {
        memcpy(&name, (const char *)item + row->at, sizeof(name));
    }
    return name;
}

/* ---- presets ---- */

/* A preset of the table must be right. */
static void preset(struct conf *c, const struct conf_row *row, void *base, const char *text)
{
    struct buf why;
    buf_init(&why, 0);
    bool good = conf_parse(&c->arena, row, str_of(text), (char *)base + row->at, &why);
    ASSERT(good);
    buf_fini(&why);
}

void conf_item_presets(struct conf *c, const struct conf_record *record, void *item)
{
    for (uint32_t i = 0; i < record->len; i++) {
        const struct conf_row *row = &record->fields[i];
        if (row->preset != NULL && row->preset[0] != '\0') {
            preset(c, row, item, row->preset);
        }
    }
}

/* What the table says of this field of this element; NULL: no more than of the field. */
static const struct conf_element *element_of(const struct conf_record *record, const void *item,
                                             const struct conf_row *field)
{
    struct str identity = conf_identity_of(record, item);
    for (size_t i = 0; i < ARRAY_LEN(elements); i++) {
        if (elements[i].record == record && str_eqc(identity, elements[i].identity) &&
            strcmp(elements[i].name, field->path) == 0) {
            return &elements[i];
        }
    }
    return NULL;
}

void conf_element_presets(struct conf *c, const struct conf_record *record, void *item)
{
    for (uint32_t i = 0; i < record->len; i++) {
        struct conf_place at = {.row = &record->fields[i], .in = record, .base = item};
        const struct conf_element *e = element_of(record, item, at.row);
        if (e != NULL && conf_origin(&at)->layer == CONF_PRESET) {
            preset(c, at.row, item, e->preset);
        }
    }
}

struct conf *conf_new(void)
{
    struct conf *c = MEM_NEW(struct conf);
    arena_init(&c->arena, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].preset[0] != '\0') {
            preset(c, &rows[i], c, rows[i].preset);
        }
    }
    return c;
}

void conf_free(struct conf *c)
{
    if (c != NULL) {
        arena_fini(&c->arena);
        mem_free(c);
    }
}

/* ---- every leaf ---- */

struct conf_place conf_place_in(const struct conf_row *list, void *item, uint32_t field,
                                uint32_t position, struct arena *a)
{
    const struct conf_row *row = &list->record->fields[field];
    struct str identity = conf_identity_of(list->record, item);
    const char *path =
        identity.size > 0 ? arena_printf(a, "%s[%.*s].%s", list->path, STR_ARG(identity), row->path)
                          : arena_printf(a, "%s[%" PRIu32 "].%s", list->path, position, row->path);
    return (struct conf_place){.row = row, .in = list->record, .base = item, .path = str_of(path)};
}

static void each_element(const struct conf *c, const struct conf_row *row, struct arena *a,
                         conf_each_fn f, void *arg)
{
    struct conf_list list = conf_list_get(c, row);
    for (uint32_t i = 0; i < list.len; i++) {
        for (uint32_t k = 0; k < row->record->len; k++) {
            struct conf_place p = conf_place_in(row, conf_list_item(row, list, i), k, i, a);
            f(arg, &p);
        }
    }
}

void conf_each(const struct conf *c, struct arena *a, conf_each_fn f, void *arg)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf_place p = conf_place_of(c, &rows[i]);
        if (rows[i].kind == CONF_LIST && conf_list_get(c, &rows[i]).len > 0) {
            each_element(c, &rows[i], a, f, arg);
        } else if (rows[i].kind != CONF_DOCUMENT) {
            f(arg, &p);
        }
    }
}

bool conf_has_value(const struct conf_place *p)
{
    struct str text;
    switch (conf_kind_form(p->row->kind)) {
    case CONF_FORM_TEXT:
        memcpy(&text, conf_value(p), sizeof(text));
        return text.p != NULL;
    case CONF_FORM_NUMBER:
        return conf_origin(p)->layer != CONF_PRESET || *(int64_t *)conf_value(p) != 0 ||
               (p->row->preset != NULL && p->row->preset[0] != '\0');
    case CONF_FORM_OTHER:
        break;
    }
    return p->row->kind != CONF_LIST; /* an empty one: others are visited by their elements */
}

/* Values of keys in force that ask for something else than what runs. */
static const char *idle_value(const struct conf *c, const struct conf_row *row)
{
    if (row->at == offsetof(struct conf, locking) && !str_eqc(c->locking, "database")) {
        return LATER("coordination through ZooKeeper or Redis");
    }
    if (row->at == offsetof(struct conf, distributed) && !c->distributed) {
        return NEVER("a node always holds its lanes by lease");
    }
    if (row->at == offsetof(struct conf, windows_on) && !c->windows_on) {
        return NEVER("deadlines always stand in windows of time");
    }
    return NULL;
}

const char *conf_idle(const struct conf_place *p)
{
    if (p->in == NULL) {
        return p->row->idle != NULL ? p->row->idle : idle_value(p->base, p->row);
    }
    const struct conf_element *e = element_of(p->in, p->base, p->row);
    return e != NULL ? e->idle : p->row->idle;
}

/* ---- what follows from the values ---- */

uint32_t conf_turn_loops(const struct conf *c)
{
    uint32_t cpus = MAX(c->cpus, 1u);
    uint32_t loops = MIN((uint32_t)c->core_size, cpus - 1);
    return loops > 1 ? loops : 0;
}

const struct conf_scheduler *conf_scheduler(const struct conf *c, const char *type)
{
    const struct conf_scheduler *found = NULL;
    for (uint32_t i = 0; i < c->schedulers.len && found == NULL; i++) {
        found = str_eqc(c->schedulers.v[i].type, type) ? &c->schedulers.v[i] : NULL;
    }
    ASSERT(found != NULL);
    return found;
}

static void percent(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.size; i++) {
        char c = s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (plain) {
            buf_putc(out, c);
        } else {
            buf_printf(out, "%%%02X", (unsigned char)c);
        }
    }
}

static void quoted(struct buf *out, struct str s)
{
    buf_putc(out, '\'');
    for (size_t i = 0; i < s.size; i++) {
        if (s.p[i] == '\'' || s.p[i] == '\\') {
            buf_putc(out, '\\');
        }
        buf_putc(out, s.p[i]);
    }
    buf_putc(out, '\'');
}

/* libpq takes the last value of a parameter, so what is added counts. */
static void add_parameter(struct buf *out, bool url, const char *name, struct str value)
{
    if (value.size == 0) {
        return;
    }
    if (url) {
        bool first = memchr(out->p, '?', out->size) == NULL;
        buf_printf(out, "%s%s=", first ? "?" : "&", name);
        percent(out, value);
    } else {
        buf_printf(out, " %s=", name);
        quoted(out, value);
    }
}

struct str conf_conninfo(const struct conf *c, struct arena *a)
{
    struct str jdbc = STR("jdbc:"), base = c->database_url;
    if (base.size == 0) {
        return STR_NONE;
    }
    if (str_starts(base, jdbc)) {
        base = str_sub(base, jdbc.size, base.size);
    }
    struct buf out;
    buf_init(&out, 0);
    buf_put_str(&out, base);
    bool url = memmem(base.p, base.size, "://", 3) != NULL;
    add_parameter(&out, url, "user", c->database_user);
    add_parameter(&out, url, "password", c->database_password);
    struct str result = str_dup(a, buf_str(&out));
    buf_fini(&out);
    return result;
}
