/* Reading single values of a definition, with a report where one is wrong: what def_parse.c is made of. */
#include "base/prelude.h"

#include "base/limits.h"
#include "engine/core/def_parse.h"

/* ---- reporting and walking ---- */

void dp_report(struct parser *p, const struct jv *at, const char *fmt, ...)
{
    char text[800];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    def_problem(p->problems, at == NULL ? 1 : at->line, at == NULL ? 1 : at->col,
                buf_str(&p->pointer), "%s", text);
}

void dp_report_member(struct parser *p, const struct jmember *m, const char *text)
{
    def_problem(p->problems, m->line, m->col, buf_str(&p->pointer), "%s", text);
}

size_t dp_enter(struct parser *p, struct str name)
{
    size_t mark = p->pointer.size;

    buf_putc(&p->pointer, '/');
    for (size_t i = 0; i < name.size; i++) {
        if (name.p[i] == '~') {
            buf_puts(&p->pointer, "~0");
        } else if (name.p[i] == '/') {
            buf_puts(&p->pointer, "~1");
        } else {
            buf_putc(&p->pointer, name.p[i]);
        }
    }
    return mark;
}

size_t dp_enter_index(struct parser *p, uint32_t i)
{
    size_t mark = p->pointer.size;

    buf_printf(&p->pointer, "/%" PRIu32, i);
    return mark;
}

void dp_leave(struct parser *p, size_t mark)
{
    p->pointer.size = mark;
}

/* Where the expression parsers send their problems. */
void dp_expr_report(void *arg, const struct jv *at, const char *message)
{
    struct parser *p = arg;

    dp_report(p, at, "%s", message);
}

/* The dp_member, of the wanted type; absent (NULL) also after a report of a wrong type. */
const struct jv *dp_member(struct parser *p, const struct jv *obj, const char *name,
                           enum jtype type)
{
    const struct jv *v = jv_getc(obj, name);
    size_t mark;

    if (v == NULL || v->type == type) {
        return v;
    }
    mark = dp_enter(p, str_of(name));
    dp_report(p, v, "%s must be %s %s, not %s", name,
              type == JV_ARRAY || type == JV_OBJECT ? "an" : "a", jtype_name(type),
              jtype_name((enum jtype)v->type));
    dp_leave(p, mark);
    return NULL;
}

struct str dp_member_str(struct parser *p, const struct jv *obj, const char *name)
{
    return jv_str(dp_member(p, obj, name, JV_STRING));
}

/* ---- paths and templates ---- */

const struct path *dp_parse_path(struct parser *p, const struct jv *v)
{
    const struct path *path = NULL;
    struct err_detail detail = {ERR_OK, ""};

    if (!jv_is(v, JV_STRING)) {
        dp_report(p, v, "must be a path such as \"$.order.id\", not %s",
                  jtype_name((enum jtype)v->type));
        return NULL;
    }
    if (path_parse(p->a, jv_str(v), &path, &detail) != ERR_OK) {
        dp_report(p, v, "'%.*s' is no valid path: %s", STR_ARG(str_sub(jv_str(v), 0, 200)),
                  detail.text);
        return NULL;
    }
    return path;
}

const struct path *dp_member_path(struct parser *p, const struct jv *obj, const char *name)
{
    const struct jv *v = jv_getc(obj, name);
    const struct path *path;
    size_t mark;

    if (v == NULL) {
        return NULL;
    }
    mark = dp_enter(p, str_of(name));
    path = dp_parse_path(p, v);
    dp_leave(p, mark);
    return path;
}

struct path_field dp_member_path_or_null(struct parser *p, const struct jv *obj, const char *name)
{
    if (jv_is(jv_getc(obj, name), JV_NULL)) {
        return (struct path_field){NULL, true};
    }
    return (struct path_field){dp_member_path(p, obj, name), false};
}

struct path_field dp_result_path(struct parser *p, const struct jv *obj)
{
    struct path_field f = dp_member_path_or_null(p, obj, "ResultPath");
    const struct jv *v = jv_getc(obj, "ResultPath");
    size_t mark;

    if (f.path != NULL && (!path_is_reference(f.path) || path_is_context(f.path) ||
                           path_variable(f.path).p != NULL)) {
        mark = dp_enter(p, STR("ResultPath"));
        dp_report(p, v,
                  "ResultPath '%.*s' must be a reference path into the state's data: only .name, "
                  "['name'] and [index] after $",
                  STR_ARG(str_sub(jv_str(v), 0, 200)));
        dp_leave(p, mark);
        f.path = NULL;
    }
    return f;
}

const struct tmpl *dp_member_tmpl(struct parser *p, const struct jv *obj, const char *name)
{
    struct expr_problems problems = {dp_expr_report, p};
    const struct jv *v = jv_getc(obj, name);
    const struct tmpl *t;
    size_t mark;

    if (v == NULL) {
        return NULL;
    }
    mark = dp_enter(p, str_of(name));
    t = tmpl_parse(p->a, v, &problems);
    dp_leave(p, mark);
    return t;
}

/* "foo" of "foo.$". */
static struct str plain_name(struct str name)
{
    if (str_ends(name, STR(".$"))) {
        name.size -= 2;
    }
    return name;
}

static bool is_variable_name(struct str s)
{
    if (s.size == 0 || s.size > STATE_NAME_SIZE_MAX || (s.p[0] >= '0' && s.p[0] <= '9')) {
        return false;
    }
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c >= 0x80;
        if (!ok) {
            return false;
        }
    }
    return true;
}

const struct tmpl *dp_member_assign(struct parser *p, const struct jv *obj)
{
    const struct jv *v = dp_member(p, obj, "Assign", JV_OBJECT);
    size_t mark;

    if (v == NULL) {
        return NULL;
    }
    mark = dp_enter(p, STR("Assign"));
    for (uint32_t i = 0; i < v->len; i++) {
        struct str name = plain_name(v->u.members[i].name);
        if (!is_variable_name(name) || str_eqc(name, "states")) {
            size_t inner = dp_enter(p, v->u.members[i].name);
            dp_report_member(
                p, &v->u.members[i],
                "is no variable name: use letters, digits and _, not a digit first, at "
                "most 80 characters, not 'states'");
            dp_leave(p, inner);
        }
    }
    dp_leave(p, mark);
    return dp_member_tmpl(p, obj, "Assign");
}

/* ---- numbers ---- */

bool dp_whole_number(struct parser *p, const struct jv *v, const char *name, int64_t lo, int64_t hi,
                     int64_t *out)
{
    int64_t n;

    if (!jv_to_i64(v, &n) || n < lo || n > hi) {
        dp_report(p, v, "%s must be a whole number from %" PRId64 " to %" PRId64, name, lo, hi);
        return false;
    }
    *out = n;
    return true;
}

void dp_member_number(struct parser *p, const struct jv *obj, const char *name, int64_t lo,
                      int64_t hi, int64_t *out)
{
    const struct jv *v = jv_getc(obj, name);
    size_t mark;

    if (v != NULL) {
        mark = dp_enter(p, str_of(name));
        (void)dp_whole_number(p, v, name, lo, hi, out);
        dp_leave(p, mark);
    }
}

/* "name" or "namePath", never both. */
struct num_field dp_number_or_path(struct parser *p, const struct jv *obj, const char *name,
                                   const char *path_name, int64_t lo, int64_t hi)
{
    struct num_field f = {false, 0, NULL};
    const struct jv *v = jv_getc(obj, name);
    size_t mark;

    if (v != NULL && jv_getc(obj, path_name) != NULL) {
        mark = dp_enter(p, str_of(path_name));
        dp_report(p, jv_getc(obj, path_name), "may have only one of %s and %s: remove one", name,
                  path_name);
        dp_leave(p, mark);
        return f;
    }
    if (v != NULL) {
        mark = dp_enter(p, str_of(name));
        f.present = dp_whole_number(p, v, name, lo, hi, &f.value);
        dp_leave(p, mark);
    }
    f.path = dp_member_path(p, obj, path_name);
    f.present = f.present || f.path != NULL;
    return f;
}
