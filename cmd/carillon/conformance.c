/* `carillon workflow conformance`: recorded executions replayed, through the core alone (--fast) or through
 * a real node, and compared with what the real service did. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/mem.h"
#include "cmd/carillon/cli.h"
#include "cmd/carillon/conformance.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

struct totals {
    int passed, failed, skipped;
    int runs, result, cause, with_events, events;
};

struct files {
    char **v;
    size_t len, room;
};

/* ---- which files ---- */

static int wanted(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static void file_add(struct files *f, const char *path)
{
    if (f->len == f->room) {
        f->room = f->room == 0 ? 256 : f->room * 2;
        f->v = mem_realloc(f->v, sizeof(*f->v) * f->room);
    }
    f->v[f->len++] = mem_strdup(path);
}

/* In order of name, folders within folders. */
static bool folder_read(struct files *f, const char *dir)
{
    struct dirent **names;
    int n = scandir(dir, &names, wanted, alphasort);
    bool ok = n >= 0;
    if (!ok) {
        (void)fprintf(stderr, "carillon: %s: %s\n", dir, strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        char path[4096];
        struct stat st;
        int size = snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
        if (size > 0 && (size_t)size < sizeof(path) && stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode)) {
                ok = folder_read(f, path) && ok;
            } else if (str_ends(str_of(path), STR(".json"))) {
                file_add(f, path);
            }
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    return ok;
}

static struct str id_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str s = str_of(slash == NULL ? path : slash + 1);
    return str_sub(s, 0, s.size - strlen(".json"));
}

/* ---- one case ---- */

struct rehearse {
    struct recorded *c;
    struct rehearsal *h;
};

static void queue_note(struct rehearse *r, struct str queue)
{
    struct rehearsal *h = r->h;
    for (uint32_t i = 0; i < h->queues_len; i++) {
        if (str_eq(h->queues[i], queue)) {
            return;
        }
    }
    if (h->queues_len < ARRAY_LEN(h->queues)) {
        h->queues[h->queues_len++] = str_dup(&r->c->arena, queue);
    }
}

static bool rehearse_task(void *arg, const struct replay_task *t, struct replay_answer *out,
                          struct buf *why)
{
    struct rehearse *r = arg;
    if (!recorded_task(r->c, t, out, why)) {
        return false;
    }
    queue_note(r, t->queue);
    r->h->child = r->h->child || t->child;
    r->h->silent_beat =
        r->h->silent_beat || (out->result == REPLAY_TIMEOUT && t->heartbeat && !t->wait_for_token);
    return true;
}

static void rehearse(struct recorded *c, struct rehearsal *h, struct replay *out)
{
    struct rehearse r = {c, h};
    const struct replay_request q = {.def = h->def,
                                     .input = c->input.p == NULL ? STR("{}") : c->input,
                                     .tenant = STR("111111111111"),
                                     .workflow = STR("statemachine"),
                                     .name = STR("execution"),
                                     .start = c->clock,
                                     .seed = 1,
                                     .task = rehearse_task,
                                     .arg = &r};
    replay_run(out, &q);
    h->took_us = out->took_us;
}

/* NULL: accepted; else why not, in the case's arena. */
static const char *definition_judge(struct recorded *c, struct def **out)
{
    struct def_problems p;
    const char *why = NULL;
    def_problems_init(&p);
    if (def_parse(c->definition, DEF_JSON, out, &p) != ERR_OK) {
        why = arena_printf(&c->arena, "%s: %s", p.v[0].pointer, p.v[0].message);
    }
    def_problems_fini(&p);
    return why;
}

static void score_add(struct totals *t, const struct recorded_score *s)
{
    t->runs++;
    t->result += s->result;
    t->cause += s->cause;
    t->with_events += s->has_events;
    t->events += s->has_events && s->events;
    t->passed += s->result && s->cause && s->events;
    t->failed += !(s->result && s->cause && s->events);
}

/* What is skipped says why; NULL: it was run. */
static const char *execution_run(struct recorded *c, struct node_run *node, struct totals *t)
{
    struct rehearsal h = {0};
    struct replay r;
    struct recorded_score score = {0};
    const char *skip = NULL, *refused = definition_judge(c, &h.def);
    if (refused != NULL) {
        (void)recorded_fail(c, "refused: %s", refused);
        score_add(t, &score);
        return NULL;
    }
    rehearse(c, &h, &r);
    if (node != NULL) {
        skip = node_run_skip(&h);
    }
    if (node != NULL && skip == NULL) {
        replay_fini(&r);
        recorded_reset(c);
        node_run_case(node, c, &h, &r);
    }
    if (skip == NULL) {
        score = recorded_judge(c, &r);
        score_add(t, &score);
    }
    replay_fini(&r);
    def_unref(h.def);
    return skip;
}

static void definition_run(struct recorded *c, struct node_run *node, struct totals *t)
{
    struct def *def = NULL;
    const char *refused = node == NULL ? definition_judge(c, &def) : node_run_definition(node, c);
    bool ok = recorded_judge_definition(c, refused);
    t->passed += ok;
    t->failed += !ok;
    def_unref(def);
}

static void file_run(const char *path, struct node_run *node, struct totals *t)
{
    struct recorded c;
    struct str id = id_of(path);
    const char *skip = NULL;
    int failed = t->failed;
    char *text = cli_read_file(path);
    if (!recorded_read(&c, str_of(text))) {
        t->failed++;
    } else if ((skip = recorded_skip(&c)) == NULL) {
        if (recorded_is_execution(&c)) {
            skip = execution_run(&c, node, t);
        } else {
            definition_run(&c, node, t);
        }
    }
    t->skipped += skip != NULL;
    (void)printf("%s %.*s %s\n",
                 skip != NULL         ? "SKIP"
                 : t->failed > failed ? "FAIL"
                                      : "PASS",
                 STR_ARG(id),
                 skip != NULL         ? skip
                 : t->failed > failed ? c.reason
                                      : "");
    recorded_fini(&c);
    mem_free(text);
}

/* ---- the command ---- */

static void progress(size_t done, size_t all)
{
    if (isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO)) {
        (void)fprintf(stderr, "\r%zu of %zu cases%s", done, all, done == all ? "\n" : "");
    }
}

int cmd_workflow_conformance(struct cli *c)
{
    struct totals t = {0};
    struct files f = {0};
    struct node_run *node = NULL;
    bool ok = true;
    for (int i = 0; i < c->args_len; i++) {
        ok = folder_read(&f, c->args[i]) && ok;
    }
    if (ok && !c->fast) {
        node = node_run_start();
        ok = node != NULL;
    }
    for (size_t i = 0; i < f.len; i++) {
        if (ok) {
            file_run(f.v[i], node, &t);
            progress(i + 1, f.len);
        }
        mem_free(f.v[i]);
    }
    mem_free(f.v);
    node_run_stop(node);
    if (!ok) {
        return EXIT_FAILED;
    }
    (void)printf("result %d/%d cause %d/%d events %d/%d\n", t.result, t.runs, t.cause, t.runs,
                 t.events, t.with_events);
    (void)printf("%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped);
    return t.failed == 0 && t.passed > 0 ? EXIT_OK : EXIT_FAILED;
}
