/* What can only be judged on the whole tree: states nobody reaches, machines that cannot end, names that
 * stand twice. Runs when every single place was fine. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/mem.h"
#include "engine/core/def.h"

static void pointer_name(struct buf *out, struct str name)
{
    buf_putc(out, '/');
    for (size_t i = 0; i < name.size; i++) {
        if (name.p[i] == '~') {
            buf_puts(out, "~0");
        } else if (name.p[i] == '/') {
            buf_puts(out, "~1");
        } else {
            buf_putc(out, name.p[i]);
        }
    }
}

void machine_pointer(const struct def *d, const struct machine *m, struct buf *out)
{
    const struct state *owner = m->owner;

    if (owner == NULL) {
        return;
    }
    machine_pointer(d, owner->machine, out);
    buf_puts(out, "/States");
    pointer_name(out, owner->name);
    if (owner->type == ST_MAP) {
        buf_puts(out, jv_getc(owner->at, "ItemProcessor") != NULL ? "/ItemProcessor" : "/Iterator");
        return;
    }
    for (uint32_t i = 0; i < owner->branches_len; i++) {
        if (owner->branches[i] == m) {
            buf_printf(out, "/Branches/%" PRIu32, i);
        }
    }
}

struct walk {
    struct state **todo;
    uint32_t len;
};

static void reach(struct walk *w, const struct def *d, const struct state *s)
{
    struct state *t;

    if (s == NULL) {
        return;
    }
    t = d->states[s->index];
    if (!t->reached) {
        t->reached = true;
        w->todo[w->len++] = t;
    }
}

/* Follows every transition of one machine; true when some reached state can end it. */
static bool reach_all(struct walk *w, const struct def *d, const struct machine *m)
{
    bool ends = false;

    reach(w, d, m->start);
    while (w->len > 0) {
        const struct state *s = w->todo[--w->len];
        ends = ends || s->ends;
        reach(w, d, s->next);
        reach(w, d, s->fallback);
        for (uint32_t i = 0; i < s->choices_len; i++) {
            reach(w, d, s->choices[i].next);
        }
        for (uint32_t i = 0; i < s->catchers_len; i++) {
            reach(w, d, s->catchers[i].next);
        }
    }
    return ends;
}

static void check_machine(struct def *d, const struct machine *m, struct walk *w,
                          struct def_problems *problems)
{
    struct buf pointer;
    bool ends;
    size_t mark;

    buf_init(&pointer, 0);
    machine_pointer(d, m, &pointer);
    mark = pointer.size;
    ends = reach_all(w, d, m);
    for (uint32_t i = 0; i < m->states_len; i++) {
        const struct state *s = m->states[i];
        if (!s->reached) {
            buf_puts(&pointer, "/States");
            pointer_name(&pointer, s->name);
            def_problem(problems, s->at->line, s->at->col, buf_str(&pointer),
                        "no transition leads to state '%.*s': add one or remove the state",
                        STR_ARG(s->name));
            pointer.size = mark;
        }
    }
    if (!ends) {
        def_problem(problems, m->at->line, m->at->col, buf_str(&pointer),
                    "the machine can never end: give a state that is reached End: true, or add a "
                    "Succeed or Fail state");
    }
    buf_fini(&pointer);
}

static int by_name_then_index(const void *a, const void *b)
{
    const struct state *const *x = a, *const *y = b;
    int c = str_cmp((*x)->name, (*y)->name);

    return c != 0 ? c : ((*x)->index > (*y)->index) - ((*x)->index < (*y)->index);
}

/* A name may stand once in the whole definition, nested machines included: histories and logs name
 * states without their scope. */
static void check_names(const struct def *d, struct def_problems *problems)
{
    struct state **sorted = MEM_ARRAY(struct state *, d->states_len);
    struct buf pointer;

    memcpy(sorted, d->states, d->states_len * sizeof(struct state *));
    qsort(sorted, d->states_len, sizeof(struct state *), by_name_then_index);
    buf_init(&pointer, 0);
    for (uint32_t i = 1; i < d->states_len; i++) {
        const struct state *s = sorted[i];
        if (!str_eq(s->name, sorted[i - 1]->name)) {
            continue;
        }
        buf_clear(&pointer);
        machine_pointer(d, s->machine, &pointer);
        buf_puts(&pointer, "/States");
        pointer_name(&pointer, s->name);
        def_problem(problems, s->at->line, s->at->col, buf_str(&pointer),
                    "the name '%.*s' stands twice in the definition (first at line %" PRIu32
                    "): rename one",
                    STR_ARG(s->name), sorted[i - 1]->at->line);
    }
    buf_fini(&pointer);
    mem_free(sorted);
}

void def_check(struct def *d, struct def_problems *problems)
{
    struct walk w = {MEM_ARRAY(struct state *, d->states_len), 0};

    for (uint32_t i = 0; i < d->machines_len; i++) {
        check_machine(d, d->machines[i], &w, problems);
    }
    check_names(d, problems);
    mem_free(w.todo);
}
