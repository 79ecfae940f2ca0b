/* Layers above the files: credentials, environment, flags. All three name a key by its path, in
 * spellings of their own:
 *
 *   flag          schedulerInstances[LONG_TERM].pollInterval   letter for letter
 *   environment   CARILLON_SCHEDULER_INSTANCES__LONG_TERM__POLL_INTERVAL: two underscores for a
 *                 step; single ones, dashes and the case of letters do not count
 *   credential    database.master.password, a file in $CREDENTIALS_DIRECTORY */
#include "base/prelude.h"

#include "conf/conf_load.h"

enum { STEPS_MAX = 12, NAME_ROOM = 80 };

struct steps {
    struct str v[STEPS_MAX];
    uint32_t len;
    bool loose; /* compare as the environment does */
};

/* ---- comparing names ---- */

/* Letters and digits in lower case; false when it is too long to be one of ours. */
static bool squeeze(struct str s, char *out, size_t *size)
{
    *size = 0;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.p[i];
        if (c == '_' || c == '-') {
            continue;
        }
        if (*size == NAME_ROOM) {
            return false;
        }
        out[(*size)++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return true;
}

static bool same(const struct steps *s, struct str given, struct str name)
{
    char a[NAME_ROOM], b[NAME_ROOM];
    size_t a_size, b_size;
    if (!s->loose) {
        return str_eq(given, name);
    }
    return squeeze(given, a, &a_size) && squeeze(name, b, &b_size) && a_size == b_size &&
           memcmp(a, b, a_size) == 0;
}

/* "<name>_file" */
static bool same_file(const struct steps *s, struct str given, struct str name)
{
    char room[NAME_ROOM + 8];
    int n = snprintf(room, sizeof(room), "%.*s_file", STR_ARG(name));
    return n > 0 && (size_t)n < sizeof(room) && same(s, given, (struct str){room, (size_t)n});
}

/* ---- from steps to a place ---- */

struct target {
    struct conf_place place;
    bool file; /* the value names a file that holds the value */
};

/* Do the first steps lead to this key? "used": how many. "file": by its name with _file. */
static bool leads_to(const struct steps *s, const struct conf_row *row, uint32_t *used, bool *file)
{
    struct str path = str_of(row->path);
    *used = 0;
    *file = false;
    while (path.size > 0) {
        const char *dot = memchr(path.p, '.', path.size);
        struct str name = str_sub(path, 0, dot != NULL ? (size_t)(dot - path.p) : path.size);
        path = str_sub(path, name.size + 1, path.size);
        if (*used == s->len) {
            return false;
        }
        struct str given = s->v[(*used)++];
        if (same(s, given, name)) {
            continue;
        }
        if (path.size > 0 || !conf_kind_is_secret(row->kind) || !same_file(s, given, name)) {
            return false;
        }
        *file = true;
    }
    return true;
}

/* The element that a step names, by identity or position; one past the end makes a new one where
 * positions count. NULL: none. */
static void *element(struct conf_load *l, const struct conf_row *row, const struct steps *s,
                     struct str given)
{
    struct conf_list list = conf_list_get(l->c, row);
    uint64_t at;
    if (row->record->identity != NULL) {
        for (uint32_t i = 0; i < list.len; i++) {
            void *item = conf_list_item(row, list, i);
            if (same(s, given, conf_identity_of(row->record, item))) {
                return item;
            }
        }
        return NULL;
    }
    if (str_to_u64(given, &at) != ERR_OK || at > list.len) {
        return NULL;
    }
    return at < list.len ? conf_list_item(row, list, (uint32_t)at) : conf_list_add(l, row);
}

static bool field_target(const struct conf_row *row, const struct steps *s, struct str given,
                         struct target *t)
{
    for (uint32_t i = 0; i < row->record->len; i++) {
        const struct conf_row *field = &row->record->fields[i];
        struct str name = str_of(field->path);
        t->file = conf_kind_is_secret(field->kind) && same_file(s, given, name);
        if (t->file || same(s, given, name)) {
            t->place.row = field;
            t->place.in = row->record;
            return true;
        }
    }
    return false;
}

/* False: no such key; a problem was noted when it is more than that. */
static bool find_target(struct conf_load *l, const struct steps *s, struct str whole,
                        struct target *t, bool *noted)
{
    const struct conf_row *row;
    uint32_t used;
    *noted = false;
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        if (row->kind == CONF_DOCUMENT || !leads_to(s, row, &used, &t->file)) {
            continue;
        }
        t->place = conf_place_of(l->c, row);
        if (used == s->len) {
            return true;
        }
        if (row->kind != CONF_LIST || used + 2 != s->len ||
            !field_target(row, s, s->v[used + 1], t)) {
            continue;
        }
        t->place.path = whole;
        t->place.base = element(l, row, s, s->v[used]);
        if (t->place.base == NULL) {
            conf_problem(l->p, &l->at, whole, "%s has no element %.*s", row->path,
                         STR_ARG(s->v[used]));
            *noted = true;
            return false;
        }
        return true;
    }
    return false;
}

static void set_target(struct conf_load *l, const struct target *t, struct str value)
{
    if (!t->file) {
        conf_set_any(l, &t->place, value);
        return;
    }
    conf_set_secret(l, &t->place, str_dup(&l->scratch, value).p, &l->at, false);
}

/* ---- the environment ---- */

static const struct str PREFIX = STR("CARILLON_");

static bool steps_of_variable(struct str name, struct steps *s)
{
    struct str rest = str_sub(name, PREFIX.size, name.size);
    *s = (struct steps){.loose = true};
    while (s->len < STEPS_MAX) {
        const char *end = rest.size > 0 ? memmem(rest.p, rest.size, "__", 2) : NULL;
        s->v[s->len++] = str_sub(rest, 0, end != NULL ? (size_t)(end - rest.p) : rest.size);
        if (end == NULL) {
            return true;
        }
        rest = str_sub(rest, (size_t)(end - rest.p) + 2, rest.size);
    }
    return false;
}

static void unknown_variable(struct conf_load *l, struct str name)
{
    struct conf_near near;
    struct buf room;
    const struct conf_row *row;
    buf_init(&room, 0);
    conf_near_init(&near, name);
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        buf_clear(&room);
        conf_row_variable(&room, row);
        conf_near_offer(&near, str_dup(&l->scratch, buf_str(&room)));
    }
    if (near.best.size > 0) {
        conf_problem(l->p, &l->at, STR_NONE, "no such key; did you mean %.*s?", STR_ARG(near.best));
    } else {
        conf_problem(l->p, &l->at, STR_NONE, "no such key");
    }
    buf_fini(&room);
}

/* A variable without two underscores may be another program's of this family. */
static void load_variable(struct conf_load *l, struct str name, struct str value)
{
    struct steps s;
    struct target t;
    bool noted = false;
    bool ours = memmem(name.p, name.size, "__", 2) != NULL;
    l->at = (struct conf_origin){.layer = CONF_ENVIRONMENT, .name = str_dup(&l->c->arena, name).p};
    if (steps_of_variable(name, &s) && find_target(l, &s, name, &t, &noted)) {
        set_target(l, &t, value);
    } else if (ours && !noted) {
        unknown_variable(l, name);
    }
}

/* The short names first: they are read by the other programs, too, and weaker than a long one. */
static void load_short_variables(struct conf_load *l, struct str name, struct str value)
{
    const struct conf_short *v;
    for (size_t i = 0; (v = conf_variable_at(i)) != NULL; i++) {
        if (str_eqc(name, v->name)) {
            struct conf_place p = conf_place_of(l->c, conf_row_of(str_of(v->path)));
            l->at = (struct conf_origin){.layer = CONF_ENVIRONMENT, .name = v->name};
            conf_set_any(l, &p, value);
        }
    }
}

bool conf_is_short_variable(struct str name)
{
    const struct conf_short *v;
    for (size_t i = 0; (v = conf_variable_at(i)) != NULL; i++) {
        if (str_eqc(name, v->name)) {
            return true;
        }
    }
    return false;
}

static void load_credentials(struct conf_load *l, struct str directory)
{
    const struct conf_row *row;
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        if (conf_kind_is_secret(row->kind)) {
            struct conf_place p = conf_place_of(l->c, row);
            struct conf_origin from = {.layer = CONF_CREDENTIAL, .name = row->path};
            const char *path = arena_printf(&l->scratch, "%.*s/%s", STR_ARG(directory), row->path);
            conf_set_secret(l, &p, path, &from, true);
        }
    }
}

/* False for one without a value: setting nothing is how shells and compose files unset. */
static bool split_variable(const char *line, struct str *name, struct str *value)
{
    const char *equals = strchr(line, '=');
    if (equals == NULL || equals[1] == '\0') {
        return false;
    }
    *name = (struct str){line, (size_t)(equals - line)};
    *value = str_of(equals + 1);
    return true;
}

static void each_variable(struct conf_load *l,
                          void (*f)(struct conf_load *l, struct str name, struct str value))
{
    struct str name, value;
    for (const char *const *e = l->s->environment; e != NULL && *e != NULL; e++) {
        if (split_variable(*e, &name, &value)) {
            f(l, name, value);
        }
    }
}

static void load_credentials_of(struct conf_load *l, struct str name, struct str value)
{
    if (str_eqc(name, "CREDENTIALS_DIRECTORY")) {
        load_credentials(l, value);
    }
}

static void load_long_variables(struct conf_load *l, struct str name, struct str value)
{
    if (str_starts(name, PREFIX) && !conf_is_short_variable(name)) {
        load_variable(l, name, value);
    }
}

void conf_load_environment(struct conf_load *l)
{
    each_variable(l, load_credentials_of);
    each_variable(l, load_short_variables);
    each_variable(l, load_long_variables);
}

/* ---- flags ---- */

/* a.b[c].d → a, b, c, d */
static bool steps_of_path(struct str path, struct steps *s)
{
    *s = (struct steps){.len = 0};
    while (path.size > 0 && s->len < STEPS_MAX) {
        bool bracket = path.p[0] == '[';
        const char *end = NULL;
        path = bracket ? str_sub(path, 1, path.size) : path;
        if (bracket) {
            end = memchr(path.p, ']', path.size);
            if (end == NULL) {
                return false;
            }
        }
        size_t size = 0;
        while (end != NULL ? path.p + size < end
                           : size < path.size && path.p[size] != '.' && path.p[size] != '[') {
            size++;
        }
        s->v[s->len++] = str_sub(path, 0, size);
        path = str_sub(path, size + (bracket ? 1 : 0), path.size);
        if (path.size > 0 && path.p[0] == '.') {
            path = str_sub(path, 1, path.size);
        }
    }
    return path.size == 0;
}

static void unknown_path(struct conf_load *l, struct str path)
{
    struct conf_near near;
    conf_near_init(&near, path);
    for (size_t i = 0; conf_row_at(i) != NULL; i++) {
        if (conf_row_at(i)->kind != CONF_DOCUMENT) {
            conf_near_offer(&near, str_of(conf_row_at(i)->path));
        }
    }
    if (near.best.size > 0) {
        conf_problem(l->p, &l->at, path, "no such key; did you mean %.*s?", STR_ARG(near.best));
    } else {
        conf_problem(l->p, &l->at, path, "no such key");
    }
}

/* A list of texts is given piece by piece: --fault A --fault B. */
static struct str with_earlier(struct conf_load *l, const struct conf_place *p, struct str value)
{
    if (p->row->kind != CONF_TEXTS || conf_origin(p)->layer != CONF_FLAG) {
        return value;
    }
    const struct conf_texts *t = conf_value(p);
    for (uint32_t i = t->len; i > 0; i--) {
        value =
            str_of(arena_printf(&l->scratch, "%.*s,%.*s", STR_ARG(t->v[i - 1]), STR_ARG(value)));
    }
    return value;
}

static void load_flag(struct conf_load *l, const struct conf_flag *f)
{
    struct steps s;
    struct target t;
    bool noted = false;
    l->at =
        (struct conf_origin){.layer = CONF_FLAG, .name = str_dup(&l->c->arena, str_of(f->name)).p};
    if (!steps_of_path(f->path, &s) || !find_target(l, &s, f->path, &t, &noted)) {
        if (!noted) {
            unknown_path(l, f->path);
        }
    } else if (t.place.row->kind == CONF_SECRET && !t.file) {
        conf_problem(l->p, &l->at, f->path,
                     "every user of the machine can read command lines; name a file with "
                     "%.*s_file, or use the environment",
                     STR_ARG(f->path));
    } else {
        set_target(l, &t, with_earlier(l, &t.place, f->value));
    }
}

void conf_load_flags(struct conf_load *l)
{
    for (size_t i = 0; i < l->s->flags_len; i++) {
        load_flag(l, &l->s->flags[i]);
    }
}
