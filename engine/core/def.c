/* Definitions: life cycle, look-ups, the list of problems. The tree itself is made by def_parse.c and
 * judged by def_check.c. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "engine/core/def.h"

enum { PROBLEMS_MAX = 100, NEAREST_NAME_MAX = 64 };

const char *const state_type_names[STATE_TYPES] = {"Pass",    "Task", "Choice",   "Wait",
                                                   "Succeed", "Fail", "Parallel", "Map"};

void def_problems_init(struct def_problems *p)
{
    memset(p, 0, sizeof(*p));
    arena_init(&p->arena, 0);
    p->errors_max = PROBLEMS_MAX;
}

void def_problems_fini(struct def_problems *p)
{
    mem_free(p->v);
    arena_fini(&p->arena);
    memset(p, 0, sizeof(*p));
}

bool def_problems_full(const struct def_problems *p)
{
    return p->len >= p->errors_max;
}

void def_problem(struct def_problems *p, uint32_t line, uint32_t col, struct str pointer,
                 const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    if (def_problems_full(p)) {
        return;
    }
    if (p->len == p->room) {
        p->room = p->room == 0 ? 8 : p->room * 2;
        p->v = mem_realloc(p->v, p->room * sizeof(*p->v));
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    p->v[p->len++] = (struct def_problem){
        .line = line == 0 ? 1 : line,
        .col = col == 0 ? 1 : col,
        .pointer = arena_strndup(&p->arena, pointer.size == 0 ? "" : pointer.p, pointer.size),
        .message = arena_strndup(&p->arena, text, strlen(text)),
    };
}

/* Insertion sort: stable, and the list is short and nearly sorted. */
static void problems_sort(struct def_problems *p)
{
    for (uint32_t i = 1; i < p->len; i++) {
        struct def_problem x = p->v[i];
        uint32_t j = i;
        while (j > 0 && (p->v[j - 1].line > x.line ||
                         (p->v[j - 1].line == x.line && p->v[j - 1].col > x.col))) {
            p->v[j] = p->v[j - 1];
            j--;
        }
        p->v[j] = x;
    }
}

static enum err parse_text(struct def *d, struct str text, enum def_format format,
                           struct def_problems *problems)
{
    struct err_detail detail = {ERR_OK, ""};
    struct str t = str_trim(text);
    unsigned line = 1, col = 1;
    int skip = 0;
    enum err e;

    if (text.size > DEFINITION_SIZE_MAX) {
        def_problem(problems, 1, 1, STR_NONE, "the text has %zu bytes; at most %d are allowed",
                    text.size, DEFINITION_SIZE_MAX);
        return ERR_DEFINITION;
    }
    if (t.size == 0) {
        def_problem(problems, 1, 1, STR_NONE,
                    "the text is empty; a definition is an object with StartAt and States");
        return ERR_DEFINITION;
    }
    if (format == DEF_AUTO) {
        format = t.p[0] == '{' ? DEF_JSON : DEF_YAML;
    }
    if (format == DEF_JSON) {
        e = json_parse(&d->arena, text, JSON_LIMITS_DEFINITION, false, &d->root, &detail);
    } else {
        e = yaml_parse(&d->arena, text, YAML_LIMITS, &d->root, &detail);
    }
    if (e != ERR_OK) {
        if (sscanf(detail.text, "%u:%u: %n", &line, &col, &skip) != 2) {
            skip = 0;
        }
        def_problem(problems, line, col, STR_NONE, "%s: %s",
                    format == DEF_JSON ? "not valid JSON" : "not valid YAML", detail.text + skip);
        return ERR_DEFINITION;
    }
    return ERR_OK;
}

enum err def_parse(struct str text, enum def_format format, struct def **out,
                   struct def_problems *problems)
{
    struct def *d = MEM_NEW(struct def);
    enum err e;

    d->refs = 1;
    arena_init(&d->arena, 0);
    e = parse_text(d, text, format, problems);
    if (e == ERR_OK) {
        def_build(d, d->root, problems);
        if (problems->len == 0) {
            def_check(d, problems);
        }
    }
    if (problems->len > 0) {
        problems_sort(problems);
        def_unref(d);
        return ERR_DEFINITION;
    }
    POST(d->machines_len > 0 && d->states_len > 0);
    *out = d;
    return ERR_OK;
}

struct def *def_ref(struct def *d)
{
    __atomic_fetch_add(&d->refs, 1, __ATOMIC_RELAXED);
    return d;
}

void def_unref(struct def *d)
{
    if (d == NULL || __atomic_sub_fetch(&d->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    mem_free(d->machines);
    mem_free(d->states);
    arena_fini(&d->arena);
    mem_free(d);
}

size_t def_size(const struct def *d)
{
    return sizeof(*d) + d->arena.used + d->machines_room * sizeof(void *) +
           d->states_room * sizeof(void *);
}

uint32_t def_state_count(const struct def *d)
{
    return d->states_len;
}

struct str def_state_path(const struct def *d, uint32_t index)
{
    return index < d->states_len ? d->states[index]->path : STR_NONE;
}

struct str def_comment(const struct def *d)
{
    return d->comment;
}

void def_write_canonical(const struct def *d, struct buf *out)
{
    json_write_canonical(out, d->root);
}

const struct machine *def_top(const struct def *d)
{
    return d->machines[0];
}

const struct state *def_state(const struct def *d, uint32_t index)
{
    return index < d->states_len ? d->states[index] : NULL;
}

const struct state *machine_find(const struct machine *m, struct str name)
{
    uint32_t lo = 0, hi = m->states_len;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = str_cmp(m->by_name[mid]->name, name);
        if (c == 0) {
            return m->by_name[mid];
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Edit distance without regard to case; names longer than NEAREST_NAME_MAX are never near. */
static size_t distance(struct str a, struct str b)
{
    size_t row[NEAREST_NAME_MAX + 1];

    if (a.size > NEAREST_NAME_MAX || b.size > NEAREST_NAME_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b.size; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t above = row[j];
            size_t change = diagonal + (lower(a.p[i - 1]) == lower(b.p[j - 1]) ? 0 : 1);
            row[j] = MIN(change, MIN(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[b.size];
}

static bool near_enough(struct str name, size_t d)
{
    return d <= 1 + name.size / 5;
}

const char *nearest_name(struct str name, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    size_t best_d = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, str_of(candidates[i]));
        if (d < best_d) {
            best_d = d;
            best = candidates[i];
        }
    }
    return best != NULL && near_enough(name, best_d) ? best : NULL;
}

const struct state *nearest_state(const struct machine *m, struct str name)
{
    const struct state *best = NULL;
    size_t best_d = SIZE_MAX;

    for (uint32_t i = 0; i < m->states_len; i++) {
        size_t d = distance(name, m->states[i]->name);
        if (d < best_d) {
            best_d = d;
            best = m->states[i];
        }
    }
    return best != NULL && near_enough(name, best_d) ? best : NULL;
}
