/* Layer by layer into the struct: files, credentials, environment, flags. See conf.h.
 *
 * A value is set at a place (conf_internal.h) with its origin; what is wrong becomes a problem and
 * the walk goes on, so that all mistakes of all layers are told at once. */
#include "base/prelude.h"

#include "base/mem.h"
#include "base/yaml.h"
#include "conf/conf_load.h"

/* ---- origins ---- */

static struct conf_origin origin_at(const struct conf_load *l, uint32_t line, uint32_t col)
{
    struct conf_origin o = l->at;
    if (o.layer == CONF_FILE) {
        o.line = line;
        o.col = col;
    }
    return o;
}

static struct str join(struct conf_load *l, struct str prefix, struct str name)
{
    if (prefix.size == 0) {
        return name;
    }
    return str_of(arena_printf(&l->scratch, "%.*s.%.*s", STR_ARG(prefix), STR_ARG(name)));
}

/* ---- one value ---- */

/* Two values for one key in one layer: which of them counts would be a riddle. */
static bool set_twice(struct conf_load *l, const struct conf_place *p,
                      const struct conf_origin *from)
{
    const struct conf_origin *before = conf_origin(p);
    bool file = before->layer == CONF_FILE && before->name == from->name;
    bool variable =
        before->layer == CONF_ENVIRONMENT && !conf_is_short_variable(str_of(before->name));
    bool twice = before->layer == from->layer && (file || variable);
    if (twice) {
        struct buf where;
        buf_init(&where, 0);
        if (before->layer == CONF_FILE) {
            buf_printf(&where, "line %" PRIu32, before->line);
        } else {
            buf_puts(&where, before->name);
        }
        conf_problem(l->p, from, p->path, "%.*s sets it, too; keep one of them",
                     STR_ARG(buf_str(&where)));
        buf_fini(&where);
    }
    return twice;
}

/* The preset stays, but is marked by a name: later checks do not complain about this key again. */
static void bad_value(const struct conf_place *p, const struct conf_origin *from)
{
    *conf_origin(p) = (struct conf_origin){.layer = CONF_PRESET, .name = from->name};
}

void conf_set_text(struct conf_load *l, const struct conf_place *p, struct str text,
                   const struct conf_origin *from)
{
    struct buf why;
    if (set_twice(l, p, from)) {
        return;
    }
    buf_init(&why, 0);
    if (conf_parse(&l->c->arena, p->row, text, conf_value(p), &why)) {
        *conf_origin(p) = *from;
    } else {
        bad_value(p, from);
        conf_problem(l->p, from, p->path, "%.*s", STR_ARG(buf_str(&why)));
    }
    buf_fini(&why);
}

static void wrong_kind(struct conf_load *l, const struct conf_place *p, const struct jv *v,
                       const struct conf_origin *from)
{
    struct buf wants;
    buf_init(&wants, 0);
    conf_row_wants(&wants, p->row);
    bad_value(p, from);
    if (jv_is(v, JV_NULL)) {
        conf_problem(l->p, from, p->path, "has no value; wanted %.*s", STR_ARG(buf_str(&wants)));
    } else {
        conf_problem(l->p, from, p->path, "wanted %.*s, not %s", STR_ARG(buf_str(&wants)),
                     jv_is(v, JV_ARRAY)    ? "a list"
                     : jv_is(v, JV_OBJECT) ? "a mapping"
                                           : "true or false without quotes");
    }
    buf_fini(&wants);
}

/* The text of a YAML scalar, for this row; STR_NONE: it cannot be one. */
static struct str scalar_text(struct conf_load *l, const struct conf_row *row, const struct jv *v)
{
    int64_t whole;
    if (jv_is(v, JV_STRING)) {
        return v->u.s;
    }
    if (jv_is(v, JV_NUMBER)) { /* 1e3 is a number to YAML; a text keeps its form */
        return conf_kind_form(row->kind) == CONF_FORM_NUMBER && jv_to_i64(v, &whole)
                   ? str_of(arena_printf(&l->scratch, "%" PRId64, whole))
                   : v->u.s;
    }
    if (jv_is_bool(v) && (row->kind == CONF_BOOL || row->kind == CONF_ENUM ||
                          conf_kind_form(row->kind) == CONF_FORM_NUMBER)) {
        return jv_is(v, JV_TRUE) ? STR("true") : STR("false");
    }
    return STR_NONE;
}

/* [a, b] as one text with commas, which is what the kind reads. */
static struct str texts_text(struct conf_load *l, const struct conf_row *row, const struct jv *v)
{
    struct str all = STR("");
    for (uint32_t i = 0; i < v->len; i++) {
        struct str one = scalar_text(l, row, v->u.items[i]);
        if (one.p == NULL || memchr(one.p, ',', one.size) != NULL) {
            return STR_NONE;
        }
        all = str_of(
            arena_printf(&l->scratch, "%.*s%s%.*s", STR_ARG(all), i > 0 ? "," : "", STR_ARG(one)));
    }
    return all;
}

static void set_value(struct conf_load *l, const struct conf_place *p, const struct jv *v)
{
    struct conf_origin from = origin_at(l, v->line, v->col);
    bool texts = p->row->kind == CONF_TEXTS && jv_is(v, JV_ARRAY);
    struct str text = texts ? texts_text(l, p->row, v) : scalar_text(l, p->row, v);
    if (text.p == NULL) {
        wrong_kind(l, p, v, &from);
    } else {
        conf_set_text(l, p, text, &from);
    }
}

/* ---- secrets in files ---- */

void conf_set_secret(struct conf_load *l, const struct conf_place *p, const char *path,
                     const struct conf_origin *from, bool may_miss)
{
    struct buf bytes;
    struct err_detail d = {0};
    buf_init(&bytes, CONF_SECRET_SIZE_MAX);
    enum err e = l->s->read != NULL ? l->s->read(l->s->arg, path, &bytes, &d)
                                    : err_set(&d, ERR_UNSUPPORTED, "no file can be read here");
    struct str text = buf_str(&bytes);
    if (str_ends(text, STR("\n"))) {
        text = str_sub(text, 0, text.size - (str_ends(text, STR("\r\n")) ? 2 : 1));
    }
    if (e == ERR_OK) {
        conf_set_text(l, p, text, from);
    } else if (!may_miss || e != ERR_NOT_FOUND) {
        bad_value(p, from);
        conf_problem(l->p, from, p->path, "cannot read its file: %s", d.text);
    }
    buf_fini(&bytes);
}

static void set_secret_named(struct conf_load *l, const struct conf_place *p, const struct jv *v)
{
    struct conf_origin from = origin_at(l, v->line, v->col);
    if (!jv_is(v, JV_STRING) || v->u.s.size == 0) {
        bad_value(p, &from);
        conf_problem(l->p, &from, p->path, "wanted the path of a file that holds the value");
    } else {
        conf_set_secret(l, p, str_dup(&l->scratch, v->u.s).p, &from, false);
    }
}

/* "password_file" → "password"; STR_NONE when it has no such end. */
static struct str without_file(struct str name)
{
    struct str end = STR("_file");
    return str_ends(name, end) ? str_sub(name, 0, name.size - end.size) : STR_NONE;
}

/* ---- names that are not in the table ---- */

/* The next step from "prefix" towards "path"; STR_NONE when it does not lead there. */
static struct str step(struct str prefix, struct str path)
{
    if (prefix.size > 0) {
        if (!str_starts(path, prefix) || path.size <= prefix.size || path.p[prefix.size] != '.') {
            return STR_NONE;
        }
        path = str_sub(path, prefix.size + 1, path.size);
    }
    const char *dot = memchr(path.p, '.', path.size);
    return dot != NULL ? str_sub(path, 0, (size_t)(dot - path.p)) : path;
}

static bool is_group(struct str path)
{
    for (size_t i = 0; conf_row_at(i) != NULL; i++) {
        if (step(path, str_of(conf_row_at(i)->path)).p != NULL) {
            return true;
        }
    }
    return false;
}

static struct str last_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    return str_of(dot != NULL ? dot + 1 : path);
}

/* A name beside it that is near, else a key of (nearly) this name elsewhere. */
static struct str suggestion(struct str prefix, struct str name)
{
    struct conf_near near, far;
    struct str path = STR_NONE;
    conf_near_init(&near, name);
    conf_near_init(&far, name);
    for (size_t i = 0; conf_row_at(i) != NULL; i++) {
        struct str whole = str_of(conf_row_at(i)->path);
        struct str sibling = step(prefix, whole);
        if (sibling.p != NULL) {
            conf_near_offer(&near, sibling);
        }
        uint32_t before = far.distance;
        conf_near_offer(&far, last_name(conf_row_at(i)->path));
        path = far.distance < before ? whole : path;
    }
    return near.best.size > 0 && near.distance <= far.distance + 1 ? near.best : path;
}

static void unknown(struct conf_load *l, struct str prefix, const struct jmember *m)
{
    struct conf_origin from = origin_at(l, m->line, m->col);
    struct str path = join(l, prefix, m->name);
    const struct conf_row *whole = conf_row_of(m->name);
    struct str hint = suggestion(prefix, m->name);
    if (whole != NULL && whole->kind != CONF_DOCUMENT) {
        conf_problem(l->p, &from, path, "no such key; write it nested, a mapping for each dot");
    } else if (hint.size > 0) {
        conf_problem(l->p, &from, path, "no such key; did you mean %.*s?", STR_ARG(hint));
    } else {
        conf_problem(l->p, &from, path, "no such key");
    }
}

/* ---- lists of records ---- */

static void item_member(struct conf_load *l, struct conf_place *p, const struct jmember *m)
{
    struct conf_origin from = origin_at(l, m->line, m->col);
    const struct conf_record *record = p->in;
    struct str bare = without_file(m->name), path = p->path;
    struct conf_near near;
    conf_near_init(&near, m->name);
    for (uint32_t i = 0; i < record->len; i++) {
        p->row = &record->fields[i];
        p->path = join(l, path, str_of(p->row->path));
        if (str_eqc(m->name, p->row->path)) {
            set_value(l, p, m->value);
            return;
        }
        if (conf_kind_is_secret(p->row->kind) && str_eqc(bare, p->row->path)) {
            set_secret_named(l, p, m->value);
            return;
        }
        conf_near_offer(&near, str_of(p->row->path));
    }
    if (near.best.size > 0) {
        conf_problem(l->p, &from, join(l, path, m->name), "no such key; did you mean %.*s?",
                     STR_ARG(near.best));
    } else {
        conf_problem(l->p, &from, join(l, path, m->name), "no such key");
    }
}

static void item_begin(struct conf_load *l, const struct conf_row *row, void *item,
                       struct conf_origin self)
{
    conf_item_presets(l->c, row->record, item);
    memcpy((char *)item + row->record->self, &self, sizeof(self));
}

/* False: it is no element at all. */
static bool set_item(struct conf_load *l, const struct conf_row *row, uint32_t i, void *item,
                     const struct jv *v)
{
    struct str path = str_of(arena_printf(&l->scratch, "%s[%" PRIu32 "]", row->path, i));
    struct conf_origin self = origin_at(l, v->line, v->col);
    item_begin(l, row, item, self);
    if (!jv_is(v, JV_OBJECT)) {
        conf_problem(l->p, &self, path, "wanted a mapping, not a %s", jtype_name(v->type));
        return false;
    }
    for (uint32_t k = 0; k < v->len; k++) {
        struct conf_place p = {.in = row->record, .base = item, .path = path};
        item_member(l, &p, &v->u.members[k]);
    }
    conf_element_presets(l->c, row->record, item);
    return true;
}

static bool has_element(const struct conf_row *row, struct conf_list list, const char *identity)
{
    for (uint32_t i = 0; i < list.len; i++) {
        if (str_eqc(conf_identity_of(row->record, conf_list_item(row, list, i)), identity)) {
            return true;
        }
    }
    return false;
}

/* Elements that are always there, where the user named none. The list has room. */
static void add_elements(struct conf *c, const struct conf_row *row, struct conf_list *list)
{
    const struct conf_element *e;
    for (size_t i = 0; (e = conf_element_at(i)) != NULL; i++) {
        if (e->record != row->record || has_element(row, *list, e->identity)) {
            continue;
        }
        void *item = conf_list_item(row, *list, list->len++);
        struct str identity = str_of(e->identity);
        memcpy((char *)item + conf_identity(row->record)->at, &identity, sizeof(identity));
        conf_item_presets(c, row->record, item);
        conf_element_presets(c, row->record, item);
    }
}

static uint32_t element_kinds(const struct conf_row *row)
{
    uint32_t n = 0;
    for (size_t i = 0; conf_element_at(i) != NULL; i++) {
        n += conf_element_at(i)->record == row->record; /* more than enough */
    }
    return n;
}

static struct conf_list list_new(struct conf_load *l, const struct conf_row *row, uint32_t len)
{
    size_t room = (size_t)len + element_kinds(row);
    void *v = arena_zalloc(&l->c->arena, MAX(room, (size_t)1) * row->record->size);
    return (struct conf_list){.v = v};
}

static void set_list(struct conf_load *l, const struct conf_place *p, const struct jv *v)
{
    struct conf_origin from = origin_at(l, v->line, v->col);
    const struct conf_row *row = p->row;
    if (set_twice(l, p, &from)) {
        return;
    }
    if (!jv_is(v, JV_ARRAY) && !jv_is(v, JV_NULL)) {
        conf_problem(l->p, &from, p->path, "wanted a list of mappings, each after a dash");
        return;
    }
    if (v->len > row->len_max) {
        conf_problem(l->p, &from, p->path, "%" PRIu32 " elements; at most %" PRIu32 " are allowed",
                     v->len, row->len_max);
        return;
    }
    struct conf_list list = list_new(l, row, v->len);
    for (uint32_t i = 0; i < v->len; i++) {
        void *item = conf_list_item(row, list, list.len);
        list.len += set_item(l, row, i, item, v->u.items[i]) ? 1 : 0;
    }
    add_elements(l->c, row, &list);
    conf_list_put(l->c, row, list);
    *conf_origin(p) = from;
}

/* Text of a variable or flag: the list as YAML, which JSON is. */
static void set_list_text(struct conf_load *l, const struct conf_place *p, struct str text)
{
    const struct jv *v;
    struct err_detail d = {0};
    if (yaml_parse(&l->scratch, text, YAML_LIMITS, &v, &d) == ERR_OK) {
        set_list(l, p, v);
    } else {
        conf_problem(l->p, &l->at, p->path, "wanted a list such as [{name: value}]: %s", d.text);
    }
}

void *conf_list_add(struct conf_load *l, const struct conf_row *row)
{
    struct conf_list old = conf_list_get(l->c, row);
    if (old.len >= row->len_max) {
        return NULL;
    }
    struct conf_list list = list_new(l, row, old.len + 1);
    if (old.len > 0) {
        memcpy(list.v, old.v, old.len * row->record->size);
    }
    void *item = conf_list_item(row, list, old.len);
    item_begin(l, row, item, l->at);
    list.len = old.len + 1;
    conf_list_put(l->c, row, list);
    return item;
}

void conf_set_any(struct conf_load *l, const struct conf_place *p, struct str text)
{
    if (p->row->kind == CONF_LIST) {
        set_list_text(l, p, text);
    } else {
        conf_set_text(l, p, text, &l->at);
    }
}

/* ---- documents that set nothing ---- */

static bool document_leaf(struct str path)
{
    for (size_t i = 0; conf_document_at(i) != NULL; i++) {
        if (str_eqc(path, conf_document_at(i))) {
            return true;
        }
    }
    return false;
}

/* A group of known names; "near" is offered what may stand below it. */
static bool document_group(struct str path, struct conf_near *near)
{
    bool group = false;
    for (size_t i = 0; conf_document_at(i) != NULL; i++) {
        struct str name = step(path, str_of(conf_document_at(i)));
        group = group || name.p != NULL;
        if (name.p != NULL && near != NULL) {
            conf_near_offer(near, name);
        }
    }
    return group;
}

static void document_value(struct conf_load *l, struct str path, const struct jv *v);

static void document_member(struct conf_load *l, struct str prefix, const struct jmember *m)
{
    struct conf_origin from = origin_at(l, m->line, m->col);
    struct str path = join(l, prefix, m->name);
    struct conf_near near;
    conf_near_init(&near, m->name);
    bool known = document_leaf(path) || document_group(path, NULL);
    /* What is like no name that we know may be another tool's; what is nearly one is a slip. */
    if (!known && document_group(prefix, &near) && near.best.size > 0) {
        conf_problem(l->p, &from, path, "no such key; did you mean %.*s?", STR_ARG(near.best));
    } else {
        document_value(l, path, m->value);
    }
}

static void leaf_put(struct conf_load *l, struct str path, const struct jv *v)
{
    struct conf *c = l->c;
    struct conf_origin from = origin_at(l, v->line, v->col);
    struct str text = jv_is(v, JV_NULL) ? STR("null")
                      : jv_is_bool(v)   ? (jv_is(v, JV_TRUE) ? STR("true") : STR("false"))
                                        : v->u.s;
    struct conf_leaf *leaf = NULL;
    for (uint32_t i = 0; i < c->leaves_len && leaf == NULL; i++) {
        leaf = str_eq(c->leaves[i].path, path) ? &c->leaves[i] : NULL;
    }
    if (leaf == NULL && c->leaves_len == CONF_DOCUMENT_LEAVES_MAX) {
        conf_problem(l->p, &from, path, "more than %d values in documents that set nothing",
                     CONF_DOCUMENT_LEAVES_MAX);
        return;
    }
    if (c->leaves == NULL) {
        c->leaves = ARENA_ARRAY(&c->arena, struct conf_leaf, CONF_DOCUMENT_LEAVES_MAX);
    }
    if (leaf == NULL) {
        leaf = &c->leaves[c->leaves_len++];
        leaf->path = str_dup(&c->arena, path);
    }
    leaf->text = str_dup(&c->arena, text);
    leaf->from = from;
}

static void document_value(struct conf_load *l, struct str path, const struct jv *v)
{
    struct conf_origin from = origin_at(l, v->line, v->col);
    bool scalar = !jv_is(v, JV_OBJECT) && !jv_is(v, JV_ARRAY);
    if (scalar && !jv_is(v, JV_NULL) && document_group(path, NULL)) {
        conf_problem(l->p, &from, path, "wanted a mapping");
    } else if (!scalar && document_leaf(path)) {
        conf_problem(l->p, &from, path, "wanted a single value");
    } else if (scalar) {
        leaf_put(l, path, v);
    } else if (jv_is(v, JV_OBJECT)) {
        for (uint32_t i = 0; i < v->len; i++) {
            document_member(l, path, &v->u.members[i]);
        }
    } else {
        for (uint32_t i = 0; i < v->len; i++) {
            document_value(l,
                           str_of(arena_printf(&l->scratch, "%.*s[%" PRIu32 "]", STR_ARG(path), i)),
                           v->u.items[i]);
        }
    }
}

/* ---- the tree of a file ---- */

static void walk(struct conf_load *l, struct str prefix, const struct jv *map);

/* Where a group of keys should stand. "distributed: true" is a good guess at what its "enabled"
 * is for. */
static void not_a_group(struct conf_load *l, struct str path, const struct jv *v)
{
    struct conf_origin from = origin_at(l, v->line, v->col);
    struct str enabled = join(l, path, STR("enabled"));
    if (jv_is_bool(v) && conf_row_of(enabled) != NULL) {
        conf_problem(l->p, &from, path, "wanted a mapping; did you mean %.*s?", STR_ARG(enabled));
    } else {
        conf_problem(l->p, &from, path, "wanted a mapping of keys");
    }
}

static void set_row(struct conf_load *l, const struct conf_row *row, const struct jmember *m)
{
    struct conf_place p = conf_place_of(l->c, row);
    if (row->kind == CONF_LIST) {
        set_list(l, &p, m->value);
    } else if (row->kind == CONF_DOCUMENT) {
        *(bool *)conf_value(&p) = true;
        *conf_origin(&p) = origin_at(l, m->line, m->col);
        document_value(l, p.path, m->value);
    } else {
        set_value(l, &p, m->value);
    }
}

static void member(struct conf_load *l, struct str prefix, const struct jmember *m)
{
    struct str path = join(l, prefix, m->name);
    struct str bare = without_file(path);
    const struct conf_row *row = conf_row_of(path);
    const struct conf_row *secret = bare.p != NULL ? conf_row_of(bare) : NULL;
    bool dotted = memchr(m->name.p, '.', m->name.size) != NULL; /* dots are ours, to write a path */
    if (row != NULL && !dotted) {
        set_row(l, row, m);
    } else if (secret != NULL && !dotted && conf_kind_is_secret(secret->kind)) {
        struct conf_place p = conf_place_of(l->c, secret);
        set_secret_named(l, &p, m->value);
    } else if (dotted || !is_group(path)) {
        unknown(l, prefix, m);
    } else if (jv_is(m->value, JV_OBJECT)) {
        walk(l, path, m->value);
    } else if (!jv_is(m->value, JV_NULL)) { /* a group with all its keys commented out is fine */
        not_a_group(l, path, m->value);
    }
}

static void walk(struct conf_load *l, struct str prefix, const struct jv *map)
{
    for (uint32_t i = 0; i < map->len; i++) {
        member(l, prefix, &map->u.members[i]);
    }
}

/* Nothing but blank lines and comments: a file like that is fine. */
static bool is_empty(struct str text)
{
    while (text.size > 0) {
        const char *end = memchr(text.p, '\n', text.size);
        size_t size = end != NULL ? (size_t)(end - text.p) : text.size;
        struct str line = str_trim(str_sub(text, 0, size));
        if (line.size > 0 && line.p[0] != '#') {
            return false;
        }
        text = str_sub(text, size + 1, text.size);
    }
    return true;
}

/* "line:col: what" of the parser becomes our origin and text. */
static void bad_yaml(struct conf_load *l, const char *text)
{
    unsigned line, col;
    int used = 0;
    struct conf_origin from = l->at;
    if (sscanf(text, "%9u:%9u: %n", &line, &col, &used) == 2 && used > 0) {
        from.line = line;
        from.col = col;
        text += used;
    }
    conf_problem(l->p, &from, STR_NONE, "%s", text);
}

static void load_file(struct conf_load *l, const struct conf_file *f)
{
    const struct jv *v = NULL;
    struct err_detail d = {0};
    l->at =
        (struct conf_origin){.layer = CONF_FILE, .name = str_dup(&l->c->arena, str_of(f->name)).p};
    if (is_empty(f->text)) {
        return;
    }
    if (yaml_parse(&l->scratch, f->text, YAML_LIMITS, &v, &d) != ERR_OK) {
        bad_yaml(l, d.text);
    } else if (jv_is(v, JV_OBJECT)) {
        walk(l, STR_NONE, v);
    } else if (!jv_is(v, JV_NULL)) {
        struct conf_origin from = origin_at(l, v->line, v->col);
        conf_problem(l->p, &from, STR_NONE, "wanted a mapping of keys");
    }
}

/* ---- all layers ---- */

/* Lists that are never empty. */
static void preset_lists(struct conf *c)
{
    const struct conf_row *row;
    struct conf_load l = {.c = c};
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        if (row->kind == CONF_LIST && element_kinds(row) > 0) {
            struct conf_list list = list_new(&l, row, 0);
            add_elements(c, row, &list);
            conf_list_put(c, row, list);
        }
    }
}

struct conf *conf_load(const struct conf_source *source, struct conf_problems *problems)
{
    struct conf_load l = {.s = source, .p = problems, .c = conf_new()};
    l.c->cpus = MAX(source->cpus, 1u);
    preset_lists(l.c);
    for (size_t i = 0; i < source->files_len; i++) {
        arena_init(&l.scratch, 0);
        load_file(&l, &source->files[i]);
        arena_fini(&l.scratch);
    }
    arena_init(&l.scratch, 0);
    conf_load_environment(&l);
    conf_load_flags(&l);
    arena_fini(&l.scratch);
    conf_check(l.c, problems);
    if (problems->len > 0) {
        conf_free(l.c);
        return NULL;
    }
    return l.c;
}
