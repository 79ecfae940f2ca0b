/* The configuration for people: every value and where it comes from, what differs between two, what
 * is wrong, without secrets. */
#include "base/prelude.h"

#include "base/json.h"
#include "base/mem.h"
#include "conf/conf_internal.h"

/* ---- masking ---- */

/* The next "name=value" of a libpq connection string, from *at: both as they stand there. */
static bool next_word(struct str s, size_t *at, struct str *name, struct str *value)
{
    size_t i = *at;
    while (i < s.size && s.p[i] == ' ') {
        i++;
    }
    size_t from = i;
    while (i < s.size && s.p[i] != '=') {
        i++;
    }
    if (i >= s.size) {
        return false;
    }
    *name = str_trim(str_sub(s, from, i - from));
    i++;
    while (i < s.size && s.p[i] == ' ') {
        i++;
    }
    from = i;
    bool quoted = i < s.size && s.p[i] == '\'';
    i += quoted ? 1 : 0;
    while (i < s.size && s.p[i] != (quoted ? '\'' : ' ')) {
        i += s.p[i] == '\\' && i + 1 < s.size ? 2 : 1;
    }
    i += quoted && i < s.size ? 1 : 0;
    *value = str_sub(s, from, i - from);
    *at = i;
    return true;
}

/* password, sslpassword; a name may hide behind %xx. */
static bool is_password(struct str name)
{
    return memmem(name.p, name.size, "password", 8) != NULL ||
           memchr(name.p, '%', name.size) != NULL;
}

static void mask_words(struct buf *out, struct str s)
{
    struct str name, value;
    size_t at = 0;
    const char *separator = "";
    while (next_word(s, &at, &name, &value)) {
        buf_printf(out, "%s%.*s=", separator, STR_ARG(name));
        buf_put_str(out, is_password(name) ? STR("***") : value);
        separator = " ";
    }
}

static void mask_parameters(struct buf *out, struct str s)
{
    while (s.size > 0) {
        const char *end = memchr(s.p, '&', s.size);
        struct str one = str_sub(s, 0, end != NULL ? (size_t)(end - s.p) : s.size);
        const char *equals = memchr(one.p, '=', one.size);
        struct str name = equals != NULL ? str_sub(one, 0, (size_t)(equals - one.p)) : one;
        buf_put_str(out, is_password(name) ? name : one);
        buf_puts(out, is_password(name) ? "=***" : "");
        buf_puts(out, end != NULL ? "&" : "");
        s = str_sub(s, one.size + 1, s.size);
    }
}

/* user:password@ of a URL, up to the very last @: a password may hold what should have been escaped,
 * and hiding too much does no harm. */
void conf_mask(struct buf *out, struct str s)
{
    const char *scheme = s.size > 0 ? memmem(s.p, s.size, "://", 3) : NULL;
    if (scheme == NULL) {
        mask_words(out, s);
        return;
    }
    size_t from = (size_t)(scheme - s.p) + 3;
    struct str rest = str_sub(s, from, s.size);
    const char *at = rest.size > 0 ? memrchr(rest.p, '@', rest.size) : NULL;
    const char *colon = at != NULL ? memchr(rest.p, ':', (size_t)(at - rest.p)) : NULL;
    buf_put_str(out, str_sub(s, 0, from));
    if (colon != NULL) {
        buf_put_str(out, str_sub(rest, 0, (size_t)(colon - rest.p) + 1));
        buf_puts(out, "***");
        rest = str_sub(rest, (size_t)(at - rest.p), rest.size);
    }
    const char *query = rest.size > 0 ? memchr(rest.p, '?', rest.size) : NULL;
    size_t head = query != NULL ? (size_t)(query - rest.p) + 1 : rest.size;
    buf_put_str(out, str_sub(rest, 0, head));
    mask_parameters(out, str_sub(rest, head, rest.size));
}

/* ---- values ---- */

static void write_origin(struct buf *out, const struct conf_origin *from)
{
    static const char *const before[] = {[CONF_PRESET] = "default",
                                         [CONF_FILE] = "",
                                         [CONF_CREDENTIAL] = "credential ",
                                         [CONF_ENVIRONMENT] = "environment ",
                                         [CONF_FLAG] = "flag "};
    buf_puts(out, before[from->layer]);
    buf_puts(out, from->name != NULL ? from->name : "");
    if (from->layer == CONF_FILE) {
        buf_printf(out, ":%" PRIu32 ":%" PRIu32, from->line, from->col);
    }
}

/* A name as a YAML key: in quotes when it holds anything unusual, which names of documents may. */
static void write_path(struct buf *out, struct str path)
{
    bool plain = path.size > 0;
    for (size_t i = 0; i < path.size && plain; i++) {
        char c = path.p[i];
        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                (i > 0 && memchr("._-[]", c, 5) != NULL);
    }
    if (plain) {
        buf_put_str(out, path);
    } else {
        json_write_string(out, path);
    }
}

static void print_line(struct buf *out, struct str path, struct str value,
                       const struct conf_origin *from, struct str extra)
{
    struct buf origin;
    buf_init(&origin, 0);
    write_origin(&origin, from);
    write_path(out, path);
    buf_printf(out, ": {value: %.*s, origin: ", STR_ARG(value));
    json_write_string(out, buf_str(&origin));
    buf_printf(out, ", %.*s}\n", STR_ARG(extra));
    buf_fini(&origin);
}

struct printer {
    struct buf *out;
    const struct conf *c;
};

/* coreSize is a bound: what comes of it on this machine is worth knowing. */
static void write_turn_loops(struct buf *out, const struct conf *c)
{
    uint32_t loops = conf_turn_loops(c);
    if (loops == 0) {
        buf_printf(out, ", note: \"%" PRIu32 " processors: one loop does it all\"", c->cpus);
    } else {
        buf_printf(out, ", note: \"%" PRIu32 " processors: %" PRIu32 " loops run turns\"", c->cpus,
                   loops);
    }
}

static void print_leaf(void *arg, const struct conf_place *p)
{
    struct printer *pr = arg;
    struct buf value, extra;
    buf_init(&value, 0);
    buf_init(&extra, 0);
    const char *idle = conf_idle(p);
    if (p->row->kind == CONF_LIST) {
        buf_puts(&value, "[]");
    } else if (conf_has_value(p)) {
        conf_write(&value, p->row, conf_value(p));
    } else {
        buf_puts(&value, "null");
    }
    buf_printf(&extra, "in_force: %s, reload: %s", idle == NULL ? "true" : "false",
               p->row->live ? "live" : "restart");
    if (idle != NULL) {
        buf_puts(&extra, ", note: ");
        json_write_string(&extra, str_of(idle));
    } else if (p->in == NULL && p->row->at == offsetof(struct conf, core_size)) {
        write_turn_loops(&extra, pr->c);
    }
    print_line(pr->out, p->path, buf_str(&value), conf_origin(p), buf_str(&extra));
    buf_fini(&value);
    buf_fini(&extra);
}

static const char *document_note(struct str path)
{
    const char *dot = memchr(path.p, '.', path.size);
    size_t size = dot != NULL ? (size_t)(dot - path.p) : path.size;
    return conf_row_of(str_sub(path, 0, size))->idle;
}

void conf_print(const struct conf *c, struct buf *out)
{
    struct printer p = {.out = out, .c = c};
    struct arena a;
    arena_init(&a, 0);
    conf_each(c, &a, print_leaf, &p);
    for (uint32_t i = 0; i < c->leaves_len; i++) {
        const struct conf_leaf *l = &c->leaves[i];
        struct buf value, extra;
        buf_init(&value, 0);
        buf_init(&extra, 0);
        json_write_string(&value, l->text);
        buf_puts(&extra, "in_force: false, note: ");
        json_write_string(&extra, str_of(document_note(l->path)));
        print_line(out, l->path, buf_str(&value), &l->from, buf_str(&extra));
        buf_fini(&value);
        buf_fini(&extra);
    }
    arena_fini(&a);
}

/* ---- differences ---- */

struct differ {
    struct arena *a;
    struct conf_change *v;
    uint32_t len, room;
};

static void changed(struct differ *d, struct str path, bool live)
{
    if (d->len == d->room) {
        uint32_t room = MAX(d->room * 2, 16u);
        struct conf_change *v = ARENA_ARRAY(d->a, struct conf_change, room);
        if (d->len > 0) {
            memcpy(v, d->v, d->len * sizeof(*v));
        }
        d->v = v;
        d->room = room;
    }
    d->v[d->len++] = (struct conf_change){.path = str_dup(d->a, path), .live = live};
}

/* The same place in both. */
static void compare(struct differ *d, const struct conf_place *from, const struct conf_place *to)
{
    bool same = conf_has_value(from) == conf_has_value(to) &&
                conf_equal(to->row, conf_value(from), conf_value(to));
    if (conf_idle(to) == NULL && !same) {
        changed(d, to->path, to->row->live);
    }
}

/* Lists that are in force always have the same elements, in any order. */
static void compare_lists(struct differ *d, const struct conf_row *row, const struct conf *from,
                          const struct conf *to)
{
    struct conf_list a = conf_list_get(from, row), b = conf_list_get(to, row);
    for (uint32_t i = 0; i < b.len; i++) {
        void *item = conf_list_item(row, b, i), *twin = NULL;
        struct str identity = conf_identity_of(row->record, item);
        for (uint32_t k = 0; k < a.len && twin == NULL; k++) {
            void *other = conf_list_item(row, a, k);
            twin = str_eq(identity, conf_identity_of(row->record, other)) ? other : NULL;
        }
        for (uint32_t k = 0; k < row->record->len && twin != NULL; k++) {
            struct conf_place p = conf_place_in(row, item, k, i, d->a);
            struct conf_place q = p;
            q.base = twin;
            compare(d, &q, &p);
        }
    }
}

uint32_t conf_diff(const struct conf *from, const struct conf *to, struct arena *a,
                   struct conf_change **out)
{
    struct differ d = {.a = a};
    const struct conf_row *row;
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        if (row->kind != CONF_LIST && row->kind != CONF_DOCUMENT) {
            struct conf_place p = conf_place_of(from, row), q = conf_place_of(to, row);
            compare(&d, &p, &q);
        } else if (row->kind == CONF_LIST && row->idle == NULL) {
            compare_lists(&d, row, from, to);
        }
    }
    *out = d.v;
    return d.len;
}

/* ---- problems and notes ---- */

void conf_problems_init(struct conf_problems *p)
{
    *p = (struct conf_problems){0};
    arena_init(&p->arena, 0);
}

void conf_problems_fini(struct conf_problems *p)
{
    arena_fini(&p->arena);
    *p = (struct conf_problems){0};
}

void conf_problem(struct conf_problems *p, const struct conf_origin *from, struct str key,
                  const char *fmt, ...)
{
    if (p->len == CONF_PROBLEMS_MAX) {
        p->more = true;
        return;
    }
    if (p->v == NULL) {
        p->v = ARENA_ARRAY(&p->arena, struct conf_problem, CONF_PROBLEMS_MAX);
    }
    va_list ap;
    char line[2 * ERR_DETAIL_SIZE]; /* a longer text is cut */
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    struct conf_problem *one = &p->v[p->len++];
    one->from = *from;
    one->from.name = from->name != NULL ? str_dup(&p->arena, str_of(from->name)).p : NULL;
    one->key = str_dup(&p->arena, key);
    one->text = str_dup(&p->arena, str_of(line));
}

void conf_problem_print(struct buf *out, const struct conf_problem *p)
{
    buf_puts(out, p->from.name != NULL ? p->from.name : "default");
    if (p->from.layer == CONF_FILE && p->from.line > 0) {
        buf_printf(out, ":%" PRIu32 ":%" PRIu32, p->from.line, p->from.col);
    }
    buf_puts(out, ": ");
    if (p->key.size > 0) {
        buf_put_str(out, p->key);
        buf_puts(out, ": ");
    }
    buf_put_str(out, p->text);
}

static void note_leaf(void *arg, const struct conf_place *p)
{
    const char *idle = conf_idle(p);
    if (idle != NULL && conf_origin(p)->layer != CONF_PRESET) {
        conf_problem(arg, conf_origin(p), p->path, "accepted, not in force: %s", idle);
    }
}

void conf_notes(const struct conf *c, struct conf_problems *notes)
{
    struct arena a;
    arena_init(&a, 0);
    conf_each(c, &a, note_leaf, notes);
    for (size_t i = 0; conf_row_at(i) != NULL; i++) {
        struct conf_place p = conf_place_of(c, conf_row_at(i));
        if (p.row->kind == CONF_DOCUMENT && *(bool *)conf_value(&p)) {
            conf_problem(notes, conf_origin(&p), p.path, "sets nothing: %s", p.row->idle);
        }
    }
    arena_fini(&a);
}
