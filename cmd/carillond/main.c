/* carillond: one node. Options in, configuration read, node run until it is told to stop. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/log.h"
#include "base/os.h"
#include "cmd/carillond/config.h"
#include "cmd/daemon.h"
#include "cmd/node_conf.h"

#include <getopt.h>
#include <signal.h>

LOG_MODULE("carillond");

enum { EXIT_BAD_CHECK = 1, EXIT_BAD_USE = 2 };
enum { ROWS_MAX = 32, FAULTS_MAX = 16 };

struct options {
    struct config_args config;
    bool check, print;
};

/* ---- options ---- */

enum {
    OPT_BASE = 1000,
#define OPTION(ident, name, arg, help) OPT_##ident,
#include "cmd/carillond/options.def"
#undef OPTION
};

/* Beside these there is a short flag for the keys that are typed often: FLAG rows of keys.def. */
static const struct {
    const char *name, *arg, *help;
    int value;
} rows[] = {
#define OPTION(ident, name, arg, help) {name, arg, help, OPT_##ident},
#include "cmd/carillond/options.def"
#undef OPTION
};

enum { HELP_COLUMN = 33, HELP_WIDTH = 66 };

/* The help in its column, broken between words. */
static void usage_line(FILE *out, const char *name, const char *arg, const char *help)
{
    char left[64];
    (void)snprintf(left, sizeof(left), "--%s %s", name, arg == NULL ? "" : arg);
    (void)fprintf(out, "  %-30s", left);
    for (bool first = true; *help != '\0'; first = false) {
        size_t size = strlen(help);
        if (size > HELP_WIDTH) {
            for (size = HELP_WIDTH; size > 0 && help[size] != ' '; size--) {
            }
            size = size > 0 ? size : strcspn(help, " "); /* a word that is longer than the line */
        }
        (void)fprintf(out, "%*s%.*s\n", first ? 1 : HELP_COLUMN, "", (int)size, help);
        help += size + (help[size] == ' ' ? 1 : 0);
    }
}

static void usage(FILE *out)
{
    (void)fprintf(out,
                  "usage: carillond [--config PATH]... [--database URL] [options]\n\n"
                  "Runs one Carillon node until SIGTERM or SIGINT; then it drains and exits 0.\n"
                  "SIGHUP reads the configuration again.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        usage_line(out, rows[i].name, rows[i].arg, rows[i].help);
    }
    (void)fprintf(out, "\nShort names of keys:\n\n");
    const struct conf_short *f;
    for (size_t i = 0; (f = conf_flag_at(i)) != NULL; i++) {
        const char *preset = conf_preset_of(str_of(f->path));
        char help[512];
        (void)snprintf(help, sizeof(help), "%s%s%s: %s", f->path,
                       preset[0] != '\0' ? ", default " : "", preset,
                       conf_row_of(str_of(f->path))->help);
        usage_line(out, f->name, f->arg, help);
    }
    (void)fprintf(out, "\nAll keys: docs/reference/configuration.md\n");
}

static void long_options(struct option *out)
{
    const struct conf_short *f;
    size_t n = 0;
    for (size_t i = 0; (f = conf_flag_at(i)) != NULL && n + ARRAY_LEN(rows) < ROWS_MAX; i++) {
        out[n++] = (struct option){f->name, f->arg == NULL ? no_argument : required_argument, NULL,
                                   (int)i};
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        out[n++] =
            (struct option){rows[i].name, rows[i].arg == NULL ? no_argument : required_argument,
                            NULL, rows[i].value};
    }
    out[n] = (struct option){0};
}

static bool add_flag(struct options *o, const char *name, struct str path, const char *value)
{
    if (o->config.flags_len == CONFIG_FLAGS_MAX) {
        (void)fprintf(stderr, "carillond: more than %d settings; use a file\n", CONFIG_FLAGS_MAX);
        return false;
    }
    o->config.flags[o->config.flags_len++] =
        (struct conf_flag){.name = name, .path = path, .value = str_of(value)};
    return true;
}

static bool add_set(struct options *o, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        (void)fprintf(stderr, "carillond: --set wants KEY=VALUE, not \"%s\"\n", text);
        return false;
    }
    return add_flag(o, "--set", (struct str){text, (size_t)(equals - text)}, equals + 1);
}

static bool add_path(struct options *o, const char *path)
{
    if (o->config.paths_len == CONFIG_PATHS_MAX) {
        (void)fprintf(stderr, "carillond: more than %d files; use a folder\n", CONFIG_PATHS_MAX);
        return false;
    }
    o->config.paths[o->config.paths_len++] = path;
    return true;
}

static bool add_short(struct options *o, const struct conf_short *f, const char *given)
{
    static char names[ROWS_MAX][32]; /* "--heartbeat", for messages */
    char *name = names[(f - conf_flag_at(0)) % ROWS_MAX];
    (void)snprintf(name, sizeof(names[0]), "--%s", f->name);
    return add_flag(o, name, str_of(f->path), f->value != NULL ? f->value : given);
}

/* False: the status to exit with is in "status". */
static bool take(struct options *o, int option, const char *given, int *status)
{
    bool good = true;
    switch (option) {
    case OPT_CONFIG:
        good = add_path(o, given);
        break;
    case OPT_SET:
        good = add_set(o, given);
        break;
    case OPT_CHECK:
        o->check = true;
        break;
    case OPT_PRINT:
        o->print = true;
        break;
    case OPT_HELP:
        usage(stdout);
        *status = EXIT_SUCCESS;
        return false;
    case OPT_VERSION:
        (void)printf("carillond %s\n", carillon_version_text());
        *status = EXIT_SUCCESS;
        return false;
    default: {
        const struct conf_short *f = option >= 0 ? conf_flag_at((size_t)option) : NULL;
        if (option == '?' || f == NULL) {
            (void)fprintf(stderr, "carillond: try --help\n");
            good = false;
        } else {
            good = add_short(o, f, given);
        }
    }
    }
    *status = EXIT_BAD_USE;
    return good;
}

static bool parse(struct options *o, int argc, char **argv, int *status)
{
    struct option longs[ROWS_MAX + 1];
    long_options(longs);
    int option;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (!take(o, option, optarg, status)) {
            return false;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "carillond: unexpected argument \"%s\"; try --help\n", argv[optind]);
        *status = EXIT_BAD_USE;
        return false;
    }
    return true;
}

/* ---- telling ---- */

static void say(FILE *out, const struct conf_problems *p)
{
    struct buf line;
    buf_init(&line, 0);
    for (uint32_t i = 0; i < p->len; i++) {
        buf_clear(&line);
        conf_problem_print(&line, &p->v[i]);
        (void)fprintf(out, "%.*s\n", STR_ARG(buf_str(&line)));
    }
    if (p->more) {
        (void)fprintf(out, "... and more\n");
    }
    buf_fini(&line);
}

static void say_notes(const struct conf *c)
{
    struct conf_problems notes;
    conf_problems_init(&notes);
    conf_notes(c, &notes);
    say(stderr, &notes);
    conf_problems_fini(&notes);
}

static void print(const struct conf *c)
{
    struct buf text;
    buf_init(&text, 0);
    conf_print(c, &text);
    (void)fwrite(text.p, 1, text.size, stdout);
    buf_fini(&text);
}

/* A line each, past the rate limit of a log site: somebody is waiting to read them all. */
static void log_problems(const struct conf_problems *p)
{
    static struct log_site sites[CONF_PROBLEMS_MAX];
    struct buf line;
    buf_init(&line, 0);
    for (uint32_t i = 0; i < p->len; i++) {
        buf_clear(&line);
        conf_problem_print(&line, &p->v[i]);
        for (size_t k = 0; k < line.size; k++) {
            line.p[k] = line.p[k] == '"' ? '\'' : line.p[k]; /* the field is in quotes itself */
        }
        log_write(&log_this_module, &sites[i], LOG_ERROR, "bad configuration", " problem=\"%.*s\"",
                  STR_ARG(buf_str(&line)));
    }
    buf_fini(&line);
}

static void log_idle(const struct conf *c)
{
    struct conf_problems notes;
    struct buf keys;
    conf_problems_init(&notes);
    buf_init(&keys, 0);
    conf_notes(c, &notes);
    for (uint32_t i = 0; i < notes.len; i++) {
        buf_puts(&keys, i > 0 ? " " : "");
        buf_put_str(&keys, notes.v[i].key);
    }
    if (notes.len > 0) {
        log_warn("keys are set that are not in force; --check-config says why", "keys=\"%.*s\"",
                 STR_ARG(buf_str(&keys)));
    }
    buf_fini(&keys);
    conf_problems_fini(&notes);
}

/* ---- in force ---- */

static void apply_live(const struct conf *c)
{
    enum log_level level;
    if (log_parse_level(c->log_level, &level)) {
        (void)log_set_level(STR("*"), level);
    }
}

static void put_path(struct buf *list, struct str path)
{
    buf_puts(list, list->size > 0 ? " " : "");
    buf_put_str(list, path);
}

static void apply_new(const struct conf *running, const struct conf *fresh)
{
    struct arena a;
    struct conf_change *changes;
    struct buf live, restart;
    arena_init(&a, 0);
    buf_init(&live, 0);
    buf_init(&restart, 0);
    uint32_t len = conf_diff(running, fresh, &a, &changes);
    for (uint32_t i = 0; i < len; i++) {
        put_path(changes[i].live ? &live : &restart, changes[i].path);
    }
    apply_live(fresh);
    log_info("configuration read again", "applied=\"%.*s\" restart_needed_for=\"%.*s\"",
             STR_ARG(buf_str(&live)), STR_ARG(buf_str(&restart)));
    buf_fini(&live);
    buf_fini(&restart);
    arena_fini(&a);
}

/* All or nothing: with one mistake in it nothing of a new configuration counts. Changes are found
 * against what the node was started with, so what a restart is needed for is told each time. */
static void reload(const struct options *o, const struct conf *running)
{
    struct conf_problems problems;
    conf_problems_init(&problems);
    struct conf *fresh = config_read(&o->config, &problems);
    if (fresh == NULL) {
        log_problems(&problems);
        log_error("the configuration that ran goes on", "problems=%u", problems.len);
    } else {
        apply_new(running, fresh);
        conf_free(fresh);
    }
    conf_problems_fini(&problems);
}

static int run(const struct options *o, const struct conf *c)
{
    struct arena a;
    struct daemon_config dc = {.allow_unsafe_db = c->database_unsafe,
                               .lanes = (uint32_t)c->lanes,
                               .blocking_threads = (uint32_t)c->workflow_max,
                               .blocking_keep_us = c->workflow_keep_us};
    const char *faults[FAULTS_MAX + 1] = {0};
    struct err_detail d = {0};
    arena_init(&a, 0);
    node_config_of(c, &dc.node);
    for (uint32_t i = 0; i < c->faults.len && i < FAULTS_MAX; i++) {
        faults[i] = c->faults.v[i].p;
    }
    dc.faults = faults;
    dc.database = conf_conninfo(c, &a).p;
    daemon_block_signals();
    log_set_clock(os_clock());
    log_set_node(c->node_id.p);
    apply_live(c);
    log_idle(c);
    struct daemon *daemon = daemon_start(&dc, &d);
    int status = EXIT_FAILURE;
    if (daemon == NULL) {
        (void)fprintf(stderr, "carillond: %s\n", d.text);
    } else {
        int sig;
        log_info("ready", "address=%s admin=%s database=\"%s\" turn_loops=%u",
                 daemon_address(daemon),
                 daemon_admin(daemon)[0] != '\0' ? daemon_admin(daemon) : "none",
                 daemon_database_text(daemon), dc.node.turn_loops);
        while ((sig = daemon_wait_signal()) == SIGHUP) {
            reload(o, c);
        }
        log_info("draining", "signal=%d", sig);
        status = daemon_stop(daemon) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    arena_fini(&a);
    return status;
}

/* With a good configuration in hand. */
static int act(const struct options *o, const struct conf *c)
{
    if (o->check) {
        say_notes(c);
    }
    if (o->print) {
        print(c);
    }
    if (o->check && !o->print) {
        (void)printf("the configuration is good\n");
    }
    if (o->check || o->print) {
        return EXIT_SUCCESS;
    }
    if (c->database_url.size == 0) {
        (void)fprintf(stderr,
                      "carillond: name the database with database.master.url, --database or "
                      "CARILLON_DATABASE; `carillon dev` brings its own\n");
        return EXIT_BAD_USE;
    }
    return run(o, c);
}

int main(int argc, char **argv)
{
    static struct options o;
    struct conf_problems problems;
    int status;
    if (!parse(&o, argc, argv, &status)) {
        return status;
    }
    conf_problems_init(&problems);
    struct conf *c = config_read(&o.config, &problems);
    if (c == NULL) {
        say(stderr, &problems);
        status = o.check || o.print ? EXIT_BAD_CHECK : EXIT_BAD_USE;
    } else {
        status = act(&o, c);
    }
    conf_free(c);
    conf_problems_fini(&problems);
    return status;
}
