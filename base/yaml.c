/* YAML → JSON tree over libyaml's events. The one home of libyaml.
 *
 * Only what JSON can say is accepted; the rest of YAML (anchors, tags, merge keys, ...) is
 * refused by name, with what to write instead. libyaml itself has no limits: depth and number of
 * nodes are counted here at each event, the size bounds what it can hold. */
#include "base/prelude.h"

#include "base/json_internal.h"
#include "base/yaml.h"

#include <yaml.h>

struct loader {
    yaml_parser_t yaml;
    yaml_event_t event; /* the current one; owned, replaced by next_event() */
    struct arena *a;
    struct str text;
    struct yaml_limits limits;
    uint32_t nodes, depth;
    struct err_detail *detail;
    enum err err;
};

/* ---- errors ---- */

static void *fail_at(struct loader *l, enum err e, size_t line, size_t col, const char *what)
{
    if (l->err == ERR_OK) {
        l->err = err_set(l->detail, e, "%zu:%zu: %s", line, col, what);
    }
    return NULL;
}

/* At the current event. */
static void *fail(struct loader *l, const char *what)
{
    yaml_mark_t at = l->event.start_mark;
    return fail_at(l, ERR_MALFORMED, at.line + 1, at.column + 1, what);
}

static void *fail_memory(struct loader *l)
{
    yaml_mark_t at = l->event.start_mark;
    return fail_at(l, ERR_LIMIT, at.line + 1, at.column + 1,
                   "the document needs more memory than it may use");
}

/* What to do about a complaint of the scanner, by the character it stopped at. */
static const char *remedy(char c)
{
    switch (c) {
    case '\t':
        return "; indent with spaces, not with tabs";
    case '@':
    case '`':
        return "; put the text in quotes";
    case '%':
        return "; put text that begins with % in quotes";
    default:
        return "";
    }
}

static const char *problem_remedy(const struct loader *l)
{
    const char *problem = l->yaml.problem;
    size_t at = l->yaml.problem_mark.index; /* counts characters: good enough for ASCII */
    if (strstr(problem, "cannot start any token") != NULL && at < l->text.size) {
        return remedy(l->text.p[at]);
    }
    if (strstr(problem, "mapping values are not allowed") != NULL) {
        return "; put text that holds \": \" in quotes, or check the indentation";
    }
    if (strstr(problem, "could not find expected ':'") != NULL) {
        return "; a name needs \": \" behind it, on the same line";
    }
    if (strstr(problem, "did not find expected key") != NULL ||
        strstr(problem, "did not find expected '-'") != NULL) {
        return "; check the indentation";
    }
    return "";
}

/* Reader errors carry an offset in bytes only. */
static void offset_position(struct str text, size_t offset, size_t *line, size_t *col)
{
    *line = *col = 1;
    for (size_t i = 0; i < offset && i < text.size; i++) {
        if (text.p[i] == '\n') {
            (*line)++;
            *col = 1;
        } else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
            (*col)++;
        }
    }
}

static bool fail_yaml(struct loader *l)
{
    const yaml_parser_t *y = &l->yaml;
    if (y->error == YAML_MEMORY_ERROR) {
        fail_memory(l);
    } else if (y->error == YAML_READER_ERROR) {
        size_t line, col;
        offset_position(l->text, y->problem_offset, &line, &col);
        fail_at(l, ERR_MALFORMED, line, col,
                "a control character; write it as an escape in double quotes");
    } else if (l->err == ERR_OK) {
        l->err = err_set(l->detail, ERR_MALFORMED, "%zu:%zu: %s%s", y->problem_mark.line + 1,
                         y->problem_mark.column + 1, y->problem, problem_remedy(l));
    }
    return false;
}

/* ---- events ---- */

static bool next_event(struct loader *l)
{
    yaml_event_delete(&l->event);
    return yaml_parser_parse(&l->yaml, &l->event) != 0 || fail_yaml(l);
}

static bool next_events(struct loader *l, int n)
{
    bool good = true;
    for (int i = 0; i < n && good; i++) {
        good = next_event(l);
    }
    return good;
}

static const char *chars(const yaml_char_t *s)
{
    return (const char *)s;
}

/* Refuses an anchor, and every tag but those that "text" allows. */
static bool check_extras(struct loader *l, const yaml_char_t *anchor, const yaml_char_t *tag,
                         bool text)
{
    if (anchor != NULL) {
        return fail(l, "anchors (&name) are not accepted; write the value out where it is used");
    }
    if (tag == NULL || strcmp(chars(tag), "!") == 0 ||
        (text && strcmp(chars(tag), YAML_STR_TAG) == 0)) {
        return true;
    }
    return fail(l, "tags (!type) are not accepted; write the plain value");
}

static bool count_node(struct loader *l)
{
    if (++l->nodes > l->limits.nodes) {
        yaml_mark_t at = l->event.start_mark;
        return fail_at(l, ERR_TOO_LARGE, at.line + 1, at.column + 1,
                       "the document holds too many values") != NULL;
    }
    return true;
}

static bool enter(struct loader *l)
{
    if (++l->depth > l->limits.depth) {
        yaml_mark_t at = l->event.start_mark;
        return fail_at(l, ERR_TOO_LARGE, at.line + 1, at.column + 1,
                       "lists and mappings are nested too deep") != NULL;
    }
    return true;
}

/* ---- scalars ---- */

static struct str scalar_text(const struct loader *l)
{
    return (struct str){chars(l->event.data.scalar.value), l->event.data.scalar.length};
}

/* Type of the current scalar by the JSON schema. */
static enum jtype scalar_type(const struct loader *l)
{
    const yaml_char_t *tag = l->event.data.scalar.tag;
    struct str s = scalar_text(l);
    if (tag != NULL || l->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return JV_STRING; /* the only tags let through say so */
    }
    if (s.size == 0 || str_eqc(s, "~") || str_eqc(s, "null")) {
        return JV_NULL;
    }
    if (str_eqc(s, "true")) {
        return JV_TRUE;
    }
    if (str_eqc(s, "false")) {
        return JV_FALSE;
    }
    return json_is_number(s) ? JV_NUMBER : JV_STRING;
}

/* A value of its own at this place: positions forbid sharing even null. */
static const struct jv *placed(struct loader *l, const struct jv *v, yaml_mark_t at)
{
    struct jv *copy = v != NULL ? arena_memdup(l->a, v, sizeof(*v)) : NULL;
    if (copy == NULL) {
        return fail_memory(l);
    }
    copy->line = (uint32_t)at.line + 1;
    copy->col = (uint32_t)at.column + 1;
    return copy;
}

static const struct jv *load_scalar(struct loader *l)
{
    if (!check_extras(l, l->event.data.scalar.anchor, l->event.data.scalar.tag, true)) {
        return NULL;
    }
    const struct jv *v;
    enum jtype type = scalar_type(l);
    if (type == JV_NUMBER) {
        v = jv_number_text(l->a, scalar_text(l));
    } else if (type == JV_STRING) {
        v = jv_string(l->a, scalar_text(l));
    } else {
        v = type == JV_NULL ? jv_null() : jv_bool(type == JV_TRUE);
    }
    return placed(l, v, l->event.start_mark);
}

/* ---- containers ---- */

static const struct jv *load_value(struct loader *l);

static const struct jv *load_sequence(struct loader *l)
{
    yaml_mark_t at = l->event.start_mark;
    struct jv_list list;
    jv_arr_begin(&list, l->a);
    if (!enter(l) || !next_event(l)) {
        return NULL;
    }
    while (l->event.type != YAML_SEQUENCE_END_EVENT) {
        const struct jv *item = load_value(l);
        if (item == NULL || !next_event(l)) {
            return NULL;
        }
        jv_arr_add(&list, item);
    }
    l->depth--;
    return placed(l, jv_arr_end(&list), at);
}

/* The current event as the name of a member. */
static bool load_name(struct loader *l, struct str *name)
{
    if (l->event.type == YAML_ALIAS_EVENT) {
        return fail(l, "aliases (*name) are not accepted; write the value out");
    }
    if (l->event.type != YAML_SCALAR_EVENT) {
        return fail(l, "a name must be text, not a list or a mapping");
    }
    if (!count_node(l) ||
        !check_extras(l, l->event.data.scalar.anchor, l->event.data.scalar.tag, true)) {
        return false;
    }
    struct str s = scalar_text(l);
    bool plain = l->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && str_eqc(s, "<<")) {
        return fail(l, "merge keys (<<) are not accepted; write the members out");
    }
    if (scalar_type(l) != JV_STRING) {
        return fail(l, "a name must be text; put it in quotes");
    }
    *name = s.size > 0 ? str_dup(l->a, s) : STR("");
    return name->p != NULL || fail_memory(l) != NULL;
}

/* The list of members becomes an object; duplicate names are found here, once for all. */
static const struct jv *finish_mapping(struct loader *l, struct jv_list *list, yaml_mark_t at)
{
    struct jv *v = ARENA_NEW(l->a, struct jv);
    if (v == NULL) {
        return fail_memory(l);
    }
    uint32_t again;
    bool full;
    v->type = JV_OBJECT;
    v->len = list->len;
    v->line = (uint32_t)at.line + 1;
    v->col = (uint32_t)at.column + 1;
    v->u.members = list->v;
    if (json_find_duplicate(l->a, list->v, list->len, &v->index, &again, &full)) {
        const struct jmember *m = &v->u.members[again];
        return fail_at(l, ERR_MALFORMED, m->line, m->col,
                       "this name stands twice in the mapping; remove or rename one");
    }
    return full ? fail_memory(l) : v;
}

static const struct jv *load_mapping(struct loader *l)
{
    yaml_mark_t at = l->event.start_mark;
    struct jv_list list;
    jv_obj_begin(&list, l->a);
    if (!enter(l) || !next_event(l)) {
        return NULL;
    }
    while (l->event.type != YAML_MAPPING_END_EVENT) {
        struct jmember m = {.line = (uint32_t)l->event.start_mark.line + 1,
                            .col = (uint32_t)l->event.start_mark.column + 1};
        if (!load_name(l, &m.name) || !next_event(l)) {
            return NULL;
        }
        m.value = load_value(l);
        if (m.value == NULL || !next_event(l)) {
            return NULL;
        }
        if (!json_list_add_member(&list, &m)) {
            return fail_memory(l);
        }
    }
    l->depth--;
    return finish_mapping(l, &list, at);
}

/* The value that the current event begins; afterwards the event is its last. */
static const struct jv *load_value(struct loader *l)
{
    if (!count_node(l)) {
        return NULL;
    }
    if (l->event.type == YAML_SCALAR_EVENT) {
        return load_scalar(l);
    }
    if (l->event.type == YAML_SEQUENCE_START_EVENT) {
        return check_extras(l, l->event.data.sequence_start.anchor,
                            l->event.data.sequence_start.tag, false)
                   ? load_sequence(l)
                   : NULL;
    }
    if (l->event.type == YAML_MAPPING_START_EVENT) {
        return check_extras(l, l->event.data.mapping_start.anchor, l->event.data.mapping_start.tag,
                            false)
                   ? load_mapping(l)
                   : NULL;
    }
    return fail(l, "aliases (*name) are not accepted; write the value out");
}

/* ---- documents ---- */

/* U+0085, U+2028, U+2029: YAML 1.1 breaks lines there, JSON does not. */
static bool is_foreign_line_break(const char *p, size_t size)
{
    return (size == 2 && memcmp(p, "\xc2\x85", 2) == 0) ||
           (size == 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0));
}

/* The text must be UTF-8 (libyaml would say so, too, but not where), without the line breaks
 * that would change a string of JSON in silence. */
static bool check_bytes(struct loader *l)
{
    const char *p = l->text.p, *end = l->text.p + l->text.size;
    while (p < end) {
        if ((unsigned char)*p < 0x80) {
            p++;
            continue;
        }
        size_t size = json_utf8_size(p, end);
        if (size == 0 || is_foreign_line_break(p, size)) {
            size_t line, col;
            offset_position(l->text, (size_t)(p - l->text.p), &line, &col);
            return fail_at(l, ERR_MALFORMED, line, col,
                           size == 0 ? "these bytes are not UTF-8"
                                     : "a Unicode line separator; write \\u0085, \\u2028 or "
                                       "\\u2029 in double quotes") != NULL;
        }
        p += size;
    }
    return true;
}

static const struct jv *load_document(struct loader *l)
{
    if (!next_events(l, 2)) { /* stream start, then */
        return NULL;
    }
    if (l->event.type == YAML_STREAM_END_EVENT) {
        return fail(l, "the document is empty");
    }
    if (l->event.data.document_start.tag_directives.start !=
        l->event.data.document_start.tag_directives.end) {
        return fail(l, "%TAG directives are not accepted");
    }
    const struct jv *v = next_event(l) ? load_value(l) : NULL;
    if (v == NULL || !next_events(l, 2)) { /* document end, then */
        return NULL;
    }
    if (l->event.type != YAML_STREAM_END_EVENT) {
        return fail(l, "only one document is accepted; remove what begins at this ---");
    }
    return v;
}

enum err yaml_parse(struct arena *a, struct str text, struct yaml_limits limits,
                    const struct jv **out, struct err_detail *detail)
{
    if (text.size > limits.size || text.size > UINT32_MAX) {
        return err_set(detail, ERR_TOO_LARGE, "the text has %zu bytes; %zu are allowed", text.size,
                       limits.size);
    }
    struct loader l = {.a = a, .text = text, .limits = limits, .detail = detail};
    if (text.p == NULL) {
        l.text = STR("");
    }
    if (!check_bytes(&l)) {
        return l.err;
    }
    if (yaml_parser_initialize(&l.yaml) == 0) {
        return err_set(detail, ERR_LIMIT, "no memory for the YAML parser");
    }
    /* Said, not guessed from a byte order mark: UTF-16 is not accepted. */
    yaml_parser_set_encoding(&l.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l.yaml, (const unsigned char *)l.text.p, l.text.size);
    const struct jv *v = load_document(&l);
    yaml_event_delete(&l.event);
    yaml_parser_delete(&l.yaml);
    if (v != NULL) {
        *out = v;
    }
    return l.err;
}
