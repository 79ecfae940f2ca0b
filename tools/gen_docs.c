/* gen_docs DIRECTORY: writes the reference and man pages from the tables (*.def), so that they cannot say
 * anything else than the program does. tools/docs.sh runs it and compares. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/admin.h"
#include "cmd/carillon/help.h"
#include "conf/conf.h"
#include "engine/core/core.h"
#include "net/msg.h"

#include <stdio.h>

struct page {
    FILE *f;
    char path[4096];
};

static bool page_open(struct page *p, const char *dir, const char *name, const char *title)
{
    int n = snprintf(p->path, sizeof(p->path), "%s/%s", dir, name);
    p->f = n > 0 && (size_t)n < sizeof(p->path) ? fopen(p->path, "w") : NULL;
    if (p->f == NULL) {
        fprintf(stderr, "gen_docs: cannot write %s/%s\n", dir, name);
        return false;
    }
    if (title != NULL) {
        fprintf(p->f, "# %s\n\n", title);
    }
    return true;
}

static bool page_close(struct page *p, const char *tables)
{
    const char *dot = strrchr(p->path, '.');
    if (strcmp(dot, ".yaml") == 0) {
        fprintf(p->f, "\n# Made from %s by `make docs`.\n", tables);
    } else if (strcmp(dot, ".md") == 0) {
        fprintf(p->f, "\n<!-- Made from %s by `make docs`; do not edit. -->\n", tables);
    } else {
        fprintf(p->f, ".\\\" Made from %s by `make docs`; do not edit.\n", tables);
    }
    bool good = ferror(p->f) == 0;
    good = fclose(p->f) == 0 && good;
    if (!good) {
        fprintf(stderr, "gen_docs: writing %s failed\n", p->path);
    }
    return good;
}

/* ---- errors ---- */

static void write_errors(FILE *f)
{
    static const struct {
        const char *name, *meaning;
    } classes[] = {
        {"OK", "it is done"},
        {"INVALID", "the caller's fault; the same request will fail again"},
        {"NOT_FOUND", "it does not exist"},
        {"DENIED", "not permitted"},
        {"CONFLICT", "an outcome of the business: the present state does not allow it"},
        {"FENCED", "the node no longer owns what it would have to change"},
        {"RETRY", "nothing happened; the same request may work later"},
        {"UNKNOWN", "may or may not have happened; repeat it under the same name or token"},
        {"LIMIT", "a stated bound was hit; nothing happened"},
        {"FATAL", "the node cannot go on"},
    };
    static const struct {
        const char *name;
        int number;
        const char *class;
        int http;
        const char *text;
    } rows[] = {
#define ERR(name, number, class, http, text) {#name, number, #class, http, text},
#include "base/err.def"
#undef ERR
    };
    fprintf(f, "Numbers are part of the protocol and are never reused. What to do about an error\n"
               "follows from its class alone; a number that a client does not know reads as the\n"
               "class FATAL.\n\n| class | meaning |\n|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        fprintf(f, "| %s | %s |\n", classes[i].name, classes[i].meaning);
    }
    fprintf(f, "\n| number | name | class | HTTP status | text |\n|---:|---|---|---:|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fprintf(f, "| %d | `%s` | %s | %d | %s |\n", rows[i].number, rows[i].name, rows[i].class,
                rows[i].http, rows[i].text);
    }
}

/* ---- metrics ---- */

static void write_metrics(FILE *f)
{
    static const struct {
        const char *kind, *name, *help;
    } rows[] = {
#define METRIC(kind, ident, name, help) {#kind, name, help},
#include "base/metrics.def"
#include "cmd/metrics.def"
#include "engine/metrics.def"
#include "net/metrics.def"
#include "scheduler/metrics.def"
#undef METRIC
    };
    fprintf(
        f,
        "In the Prometheus text format, per process. Times are in seconds. A histogram has\n"
        "the bounds 1 µs, 2 µs, 4 µs, ... 134 s.\n\n| metric | kind | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *kind = rows[i].kind;
        const char *shown = strncmp(kind, "GAUGE", 5) == 0   ? "gauge"
                            : strcmp(kind, "HISTOGRAM") == 0 ? "histogram"
                                                             : "counter";
        fprintf(f, "| `%s` | %s | %s |\n", rows[i].name, shown, rows[i].help);
    }
}

/* ---- the admin port ---- */

static void write_admin(FILE *f)
{
    fprintf(f, "Operators' HTTP, served by each node at `--admin-listen`. [docs/openapi.json]"
               "(../openapi.json), served at\n`/openapi.json`, has parameters and answers; "
               "[Operating a node](../operate.md) says what to do with it.\n"
               "HEAD is served wherever GET is. \"Right\" is what a caller will need once there is"
               " a login; today\nthe port has none.\n\n"
               "| method | path | right | body at most | what |\n|---|---|---|---:|---|\n");
    for (size_t i = 0; admin_route_at(i) != NULL; i++) {
        const struct admin_route *r = admin_route_at(i);
        fprintf(f, "| %s | `%s` | %s | ", http_method_name(r->method), r->path,
                admin_right_name(r->right));
        if (r->body_max > 0) {
            fprintf(f, "%zu MiB", r->body_max >> 20);
        }
        fprintf(f, " | %s |\n", r->help);
    }
    const struct http_limits *l = &http_limits_default;
    fprintf(
        f,
        "\n## Limits\n\n| what | at most |\n|---|---|\n"
        "| request line | %zu KiB |\n| header fields | %u, %zu KiB together |\n"
        "| time for a header | %d s |\n| wait for the next request | %d s |\n"
        "| time for a body, either way | %d s (answers: %d s) and a second for each %d bytes |\n"
        "| connections | %u, %u from one address (IPv6: one /64) |\n"
        "| bodies held at once | %zu MiB |\n"
        "| requests waiting in the engine | `threadPools.http.queueCapacity`, 100 |\n",
        l->line_size >> 10, l->fields, l->header_size >> 10, (int)(l->header_us / US_PER_S),
        (int)(l->idle_us / US_PER_S), (int)(l->header_us / US_PER_S), (int)(l->idle_us / US_PER_S),
        (int)l->rate, l->connections, l->connections_address, l->bodies_size >> 20);
}

/* ---- messages ---- */

static const char *kind_text(const struct msg_field *field)
{
    switch (field->kind) {
    case MSG_U32:
        return "u32";
    case MSG_U64:
        return "u64";
    case MSG_I64:
        return "i64";
    case MSG_BOOL:
        return "bool";
    case MSG_STR:
        return "str";
    case MSG_PAYLOAD:
        return "payload";
    case MSG_TOKEN:
        return "token";
    case MSG_RECORD:
        return field->record->name;
    }
    return "?";
}

static void write_limit(FILE *f, const struct msg_field *field)
{
    bool bytes = field->kind == MSG_STR || field->kind == MSG_PAYLOAD;
    if (field->list) {
        fprintf(f, "%" PRIu32 " elements", field->len_max);
        if (field->limit != 0) {
            fprintf(f, " of ");
        }
    }
    if (field->limit != 0) {
        fprintf(f, bytes ? "%" PRIu64 " bytes" : "%" PRIu64, field->limit);
    }
}

static void write_fields(FILE *f, const struct msg_shape *s, unsigned first)
{
    if (s->len == 0) {
        fprintf(f, "No fields.\n");
        return;
    }
    fprintf(
        f, "| element | field | kind | at most | needed | meaning |\n|---:|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < s->len; i++) {
        const struct msg_field *field = &s->fields[i];
        fprintf(f, "| %u | `%s` | %s%s | ", first + i, field->name, field->list ? "list of " : "",
                kind_text(field));
        write_limit(f, field);
        fprintf(f, " | %s | %s |\n", field->needed ? "yes" : "", field->help);
    }
}

static void write_record(FILE *f, const struct msg_shape *s, const struct msg_shape **done,
                         size_t *done_len, size_t room)
{
    for (size_t i = 0; i < *done_len; i++) {
        if (done[i] == s) {
            return;
        }
    }
    if (*done_len < room) {
        done[(*done_len)++] = s;
    }
    fprintf(f, "\n### %s\n\n%s.\n\n", s->name, s->help);
    write_fields(f, s, 0);
}

static void write_records(FILE *f)
{
    const struct msg_shape *done[32];
    size_t done_len = 0;
    for (size_t at = 0; msg_info_at(at) != NULL; at++) {
        const struct msg_shape *s = &msg_info_at(at)->shape;
        for (uint32_t i = 0; i < s->len; i++) {
            if (s->fields[i].kind == MSG_RECORD) {
                write_record(f, s->fields[i].record, done, &done_len, ARRAY_LEN(done));
            }
        }
    }
}

static void write_messages(FILE *f)
{
    fprintf(f,
            "Protocol version %d. [The protocol](../protocol.md) says how these messages travel\n"
            "and how the kinds are written. Elements 0 and 1 of a message are its number and the\n"
            "correlation number; \"element\" below is the place in the msgpack array.\n",
            MSG_PROTOCOL);
    bool answers = false;
    fprintf(f, "\n## From clients\n");
    for (size_t at = 0; msg_info_at(at) != NULL; at++) {
        const struct msg_info *info = msg_info_at(at);
        if (!info->from_client && !answers) {
            answers = true;
            fprintf(f, "\n## From nodes\n");
        }
        fprintf(f, "\n### %d %s\n\nMeaning: %s. Since version %" PRIu32 ".\n\n", (int)info->type,
                info->name, info->shape.help, info->since);
        write_fields(f, &info->shape, 2);
    }
    fprintf(f, "\n## Records\n\nElements of lists; each is an array of its own, from element 0.\n");
    write_records(f);
    fprintf(f, "\n## Status numbers\n\n| number | status |\n|---:|---|\n");
    for (unsigned i = EXEC_RUNNING; i <= EXEC_ABORTED; i++) {
        fprintf(f, "| %u | %s |\n", i, exec_status_name((enum exec_status)i));
    }
}

/* ---- fault points ---- */

static void write_faults(FILE *f)
{
    static const struct {
        const char *name, *where;
    } rows[] = {
#define FAULT(name, where) {#name, where},
#include "base/fault.def"
#undef FAULT
    };
    fprintf(f,
            "Places where a node can be made to die, in builds for tests. `NAME:after=3:times=1`\n"
            "lets three passes through, then fires once.\n\n| name | place |\n|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fprintf(f, "| `%s` | %s |\n", rows[i].name, rows[i].where);
    }
}

/* ---- configuration ---- */

static const char configuration_intro[] =
    "A node takes its configuration from YAML files, the environment and the command line. All of "
    "them\n"
    "set the same keys, which this page lists. `conf/carillond.yaml` is a sample with every key.\n"
    "\n"
    "    carillond --config /etc/carillon/carillond.yaml --config /etc/carillon/conf.d\n"
    "    carillond --config F --check-config    # what is wrong with it; exit 0 when nothing is, "
    "else 1\n"
    "    carillond --config F --print-config    # each value, where it comes from, whether it is "
    "in force\n"
    "\n"
    "**Layers**, the later one wins: presets; files in the order given (a folder stands for its "
    "`*.yaml`\n"
    "by name); credentials; environment; flags. Mappings merge key by key; a list replaces the "
    "list of\n"
    "a lower layer as a whole. An unknown key, a value out of its range or a key that one layer "
    "sets\n"
    "twice is a mistake, and with one mistake in it no configuration counts.\n"
    "\n"
    "**Environment**: `CARILLON_` and the path, two underscores for a step; single underscores and "
    "the\n"
    "case of letters do not count, so `CARILLON_SCHEDULER__DISTRIBUTED__HEARTBEAT_INTERVAL=2s` "
    "sets\n"
    "`scheduler.distributed.heartbeatInterval`. Variables without two underscores are left alone, "
    "but\n"
    "for those in the table below; one without a value is not set. A list is given as YAML.\n"
    "\n"
    "**Elements of lists** have a name in flags and variables: by identity where they have one, "
    "else by\n"
    "position. `--set schedulerInstances[LONG_TERM].pollInterval=10s` is\n"
    "`CARILLON_SCHEDULER_INSTANCES__LONG_TERM__POLL_INTERVAL=10s`, and\n"
    "`CARILLON_DATABASE__REPLICAS__0__URL` is the URL of the first replica.\n"
    "\n"
    "**Secrets** (kinds *secret* and *connection string*): the key with `_file` behind it names a "
    "file that\n"
    "holds the value, in every layer: `database.master.password_file`,\n"
    "`CARILLON_DATABASE__MASTER__PASSWORD_FILE`. With `$CREDENTIALS_DIRECTORY` (systemd's\n"
    "`LoadCredential=`) a file there of the key's path is read. Passwords are masked wherever a "
    "value\n"
    "is shown; a secret as a flag is refused, as everybody can read command lines.\n"
    "\n"
    "**Reload**: SIGHUP reads everything again. With a mistake in it all stays as it is, and the "
    "log has\n"
    "every mistake. Else the keys marked *live* are applied at once, and the log names the others "
    "that\n"
    "differ: they wait for a restart.\n"
    "\n"
    "**In force**: keys of features that are not built yet are checked and shown, and do nothing;\n"
    "`--check-config` says so for each that is set, `--print-config` shows `in_force: false`.\n"
    "\n"
    "Durations are written `500ms`, `30s`, `5m`, `1h`, `2d`, or as a plain number of the unit that "
    "the\n"
    "table names; sizes `64KiB`, `16MiB`, `1GB`, or as plain bytes.\n";

static const char *conf_kind_text(const struct conf_row *row)
{
    switch (row->kind) {
    case CONF_TEXT:
        return "text";
    case CONF_NAME:
        return "name";
    case CONF_ADDRESS:
        return "address";
    case CONF_DATABASE:
        return "connection string";
    case CONF_SECRET:
        return "secret";
    case CONF_ENUM:
        return "choice";
    case CONF_BOOL:
        return "true or false";
    case CONF_INT:
        return row->unit;
    case CONF_DURATION:
        return strcmp(row->unit, "s") == 0 ? "duration, plain: seconds"
                                           : "duration, plain: milliseconds";
    case CONF_SIZE:
        return "size";
    case CONF_TEXTS:
        return "list of texts";
    case CONF_LIST:
        return "list";
    case CONF_DOCUMENT:
        return "document";
    }
    return "?";
}

/* "1..168" or "`a` `b`" */
static void write_range(FILE *f, const struct conf_row *row)
{
    const char *p = row->range;
    while (row->kind == CONF_ENUM && *p != '\0') {
        size_t size = strcspn(p, "|");
        fprintf(f, "%s`%.*s`", p == row->range ? "" : " ", (int)size, p);
        p += size + (p[size] == '|' ? 1 : 0);
    }
    bool numbers = row->kind == CONF_INT || row->kind == CONF_DURATION || row->kind == CONF_SIZE;
    fprintf(f, "%s", numbers ? row->range : "");
}

static void write_row(FILE *f, const struct conf_row *row, const char *path)
{
    fprintf(f, "| `%s` | %s | ", path, conf_kind_text(row));
    write_range(f, row);
    bool list = row->kind == CONF_LIST;
    if (list) {
        fprintf(f, "at most %" PRIu32, row->len_max);
    }
    const char *preset = row->preset == NULL ? "*needed*" : row->preset;
    bool code = row->preset != NULL && preset[0] != '\0';
    fprintf(f, " | %s%s%s | %s | %s", code ? "`" : "", preset, code ? "`" : "",
            row->idle != NULL ? ""
            : row->live       ? "live"
                              : "restart",
            row->help);
    fprintf(f, row->idle != NULL ? " *Not in force: %s.*" : "%s",
            row->idle != NULL ? row->idle : "");
    fprintf(f, " |\n");
}

static void write_rows_head(FILE *f)
{
    fprintf(f, "\n| key | kind | range | preset | reload | meaning |\n|---|---|---|---|---|---|\n");
}

static struct str group_of(const struct conf_row *row)
{
    const char *dot = strrchr(row->path, '.');
    return (struct str){row->path, dot != NULL ? (size_t)(dot - row->path) : 0};
}

static const char *group_help(struct str path)
{
    for (size_t i = 0; conf_group_at(i) != NULL; i++) {
        if (str_eqc(path, conf_group_at(i)->path)) {
            return conf_group_at(i)->help;
        }
    }
    return "";
}

static void write_list(FILE *f, const struct conf_row *list)
{
    const struct conf_record *r = list->record;
    fprintf(f, "\n## %s[]\n\nElements of the list `%s`; named by ", list->path, list->path);
    if (r->identity != NULL) {
        fprintf(f, "`%s`.\n", r->identity);
    } else {
        fprintf(f, "position.\n");
    }
    write_rows_head(f);
    for (uint32_t i = 0; i < r->len; i++) {
        write_row(f, &r->fields[i], r->fields[i].path);
    }
}

static struct conf *conf_presets(void)
{
    struct conf_problems problems;
    conf_problems_init(&problems);
    struct conf *c = conf_load(&(struct conf_source){.cpus = 1}, &problems);
    conf_problems_fini(&problems);
    return c;
}

/* Elements that are always there: their presets, from what --print-config says. */
static void write_elements(FILE *f)
{
    struct conf *c = conf_presets();
    struct buf text;
    buf_init(&text, 0);
    conf_print(c, &text);
    buf_putc(&text, '\0');
    fprintf(f, "\nThere always is one of each type, with these presets:\n\n");
    for (char *line = text.p, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        char *value = strstr(line, ": {value: ");
        char *after = value != NULL ? strstr(value, ", origin") : NULL;
        if (strncmp(line, "schedulerInstances[", 19) == 0 && after != NULL) {
            *value = *after = '\0';
            char *note = strstr(after + 1, "note: \"");
            value += 10;
            if (strcmp(value, "null") != 0) {
                fprintf(f, "- `%s`: `%s`", line, value);
                fprintf(f, note != NULL ? " (not in force: %.*s)\n" : "\n",
                        note != NULL ? (int)strcspn(note + 7, "\"") : 0,
                        note != NULL ? note + 7 : "");
            }
        }
    }
    buf_fini(&text);
    conf_free(c);
}

static void write_short(FILE *f)
{
    const struct conf_short *s;
    fprintf(f, "\n## Short names\n\n| flag | key |\n|---|---|\n");
    for (size_t i = 0; (s = conf_flag_at(i)) != NULL; i++) {
        fprintf(f, "| `--%s%s%s` | `%s%s%s` |\n", s->name, s->arg != NULL ? " " : "",
                s->arg != NULL ? s->arg : "", s->path, s->value != NULL ? "=" : "",
                s->value != NULL ? s->value : "");
    }
    fprintf(f, "\n| variable | key |\n|---|---|\n");
    for (size_t i = 0; (s = conf_variable_at(i)) != NULL; i++) {
        fprintf(f, "| `%s` | `%s` |\n", s->name, s->path);
    }
}

static void write_configuration(FILE *f)
{
    const struct conf_row *row;
    struct str group = STR_NONE;
    fputs(configuration_intro, f);
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        struct str now = group_of(row);
        if (i == 0 || !str_eq(now, group) || now.size == 0) {
            if (now.size > 0) {
                fprintf(f, "\n## %.*s\n\n%s\n", STR_ARG(now), group_help(now));
            } else {
                fprintf(f, "\n## %s\n", row->path);
            }
            write_rows_head(f);
        }
        group = now;
        write_row(f, row, row->path);
    }
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        if (row->kind == CONF_LIST) {
            write_list(f, row);
            if (strcmp(row->path, "schedulerInstances") == 0) {
                write_elements(f);
            }
        }
    }
    write_short(f);
}

/* ---- the sample ---- */

enum { SAMPLE_WIDTH = 96 };

/* Text as comment lines, "# ..." at this depth. */
static void write_comment(FILE *f, int depth, const char *text)
{
    int width = SAMPLE_WIDTH - depth - 2;
    while (*text != '\0') {
        size_t size = strlen(text);
        if (size > (size_t)width) {
            for (size = (size_t)width; size > 0 && text[size] != ' '; size--) {
            }
        }
        fprintf(f, "%*s# %.*s\n", depth, "", (int)size, text);
        text += size + (text[size] == ' ' ? 1 : 0);
    }
}

/* Opens the mappings that lead to "group" and are not open yet. */
static int open_groups(FILE *f, struct str group, struct str *opened)
{
    int depth = 0;
    for (size_t at = 0; at < group.size;) {
        const char *dot = memchr(group.p + at, '.', group.size - at);
        size_t end = dot != NULL ? (size_t)(dot - group.p) : group.size;
        struct str path = str_sub(group, 0, end);
        bool open =
            str_starts(*opened, path) && (opened->size == path.size || opened->p[path.size] == '.');
        if (!open) {
            char help[256];
            (void)snprintf(help, sizeof(help), "%s", group_help(path));
            fprintf(f, depth == 0 ? "\n" : "");
            write_comment(f, depth, help);
            fprintf(f, "%*s%.*s:\n", depth, "", (int)(end - at), group.p + at);
        }
        depth += 2;
        at = end + 1;
    }
    *opened = group;
    return depth;
}

static const char *example_of(const struct conf_row *row)
{
    switch (row->kind) {
    case CONF_DATABASE:
        return "postgresql://user@host:5432/database";
    case CONF_NAME:
        return "some-name";
    case CONF_SECRET:
        return "/run/secrets/password";
    case CONF_TEXTS:
        return "[]";
    case CONF_TEXT:
    case CONF_ADDRESS:
    case CONF_ENUM:
    case CONF_BOOL:
    case CONF_INT:
    case CONF_DURATION:
    case CONF_SIZE:
    case CONF_LIST:
    case CONF_DOCUMENT:
        break;
    }
    return "\"\"";
}

/* One key: as it is by preset when that is in force, else after a "#" without a space. */
static void write_sample_key(FILE *f, int depth, const struct conf_row *row, const char *name)
{
    bool has_preset = row->preset != NULL && row->preset[0] != '\0';
    const char *secret = row->kind == CONF_SECRET ? "_file" : "";
    fprintf(f, "%*s%s%s%s: %s\n", depth, "", has_preset && row->idle == NULL ? "" : "#", name,
            secret, has_preset ? row->preset : example_of(row));
}

/* "1 to 168." or "One of a, b, c." */
static void write_sample_range(struct buf *out, const struct conf_row *row)
{
    const char *dots = strstr(row->range, "..");
    bool seconds = row->kind == CONF_DURATION && strcmp(row->unit, "s") == 0;
    if (row->kind == CONF_ENUM) {
        buf_puts(out, " O");
        struct buf wants;
        buf_init(&wants, 0);
        conf_row_wants(&wants, row);
        buf_put_str(out, str_sub(buf_str(&wants), 1, wants.size));
        buf_fini(&wants);
        buf_putc(out, '.');
    } else if (row->kind == CONF_INT || row->kind == CONF_DURATION || row->kind == CONF_SIZE) {
        buf_printf(out, " %.*s to %s%s.", (int)(dots - row->range), row->range, dots + 2,
                   seconds ? "; a plain number is seconds" : "");
    }
}

static void write_sample_comment(FILE *f, int depth, const struct conf_row *row)
{
    struct buf text;
    buf_init(&text, 0);
    buf_puts(&text, row->help);
    write_sample_range(&text, row);
    if (row->live) {
        buf_puts(&text, " Live.");
    }
    if (row->idle != NULL) {
        buf_printf(&text, " Not in force: %s.", row->idle);
    }
    buf_putc(&text, '\0');
    write_comment(f, depth, text.p);
    buf_fini(&text);
}

static void write_sample_list(FILE *f, int depth, const struct conf_row *row, const char *name)
{
    fprintf(f, "%*s#%s:\n", depth, "", name);
    for (uint32_t i = 0; i < row->record->len; i++) {
        const struct conf_row *field = &row->record->fields[i];
        bool has_preset = field->preset != NULL && field->preset[0] != '\0';
        fprintf(f, "%*s#  %s%s: %s\n", depth, "", i == 0 ? "- " : "  ", field->path,
                has_preset ? field->preset : example_of(field));
    }
}

static void write_sample_schedulers(FILE *f)
{
    struct conf *c = conf_presets();
    fprintf(f, "schedulerInstances:\n");
    for (uint32_t i = 0; i < c->schedulers.len; i++) {
        const struct conf_scheduler *s = &c->schedulers.v[i];
        bool far = str_eqc(s->type, "LONG_TERM"), near = str_eqc(s->type, "HIGH_PRECISION");
        fprintf(f, "  - id: %s\n    type: %s\n", s->id.p, s->type.p);
        bool whole = s->poll_us % US_PER_S == 0;
        fprintf(f, "    %spollInterval: %" PRId64 "%s\n", far ? "" : "#",
                s->poll_us / (whole ? US_PER_S : US_PER_MS), whole ? "s" : "ms");
        fprintf(f, "    %smaxScheduledItems: %" PRId64 "\n", near ? "" : "#", s->items);
        if (s->batch_size > 0) {
            fprintf(f, "    #batchSize: %" PRId64 "\n", s->batch_size);
        }
    }
    conf_free(c);
}

static void write_sample(FILE *f)
{
    const struct conf_row *row;
    struct str opened = STR("");
    write_comment(
        f, 0,
        "Every key with its preset. Keys after a # without a space have no preset or are "
        "not in force yet. Plain numbers for durations are milliseconds where nothing else "
        "is said. docs/reference/configuration.md says more.");
    for (size_t i = 0; (row = conf_row_at(i)) != NULL; i++) {
        struct str group = group_of(row);
        const char *name = row->path + group.size + (group.size > 0 ? 1 : 0);
        fprintf(f, group.size == 0 ? "\n" : "");
        int depth = open_groups(f, group, &opened);
        write_sample_comment(f, depth, row);
        if (row->kind == CONF_DOCUMENT) {
            fprintf(f, "#%s:\n", name);
        } else if (row->kind != CONF_LIST) {
            write_sample_key(f, depth, row, name);
        } else if (row->idle == NULL) {
            write_sample_schedulers(f);
        } else {
            write_sample_list(f, depth, row, name);
        }
    }
}

/* ---- man pages ---- */

static void man_row(FILE *f, const char *name, const char *arg, const char *help)
{
    fprintf(f, ".TP\n.B \\-\\-");
    help_man_text(f, name);
    fprintf(f, " ");
    help_man_text(f, arg == NULL ? "" : arg);
    fprintf(f, "\n");
    help_man_text(f, help);
    fprintf(f, "\n");
}

static void write_man_daemon(FILE *f)
{
    static const struct {
        const char *name, *arg, *help;
    } rows[] = {
#define OPTION(ident, name, arg, help) {name, arg, help},
#include "cmd/carillond/options.def"
#undef OPTION
    };
    const struct conf_short *s;
    fprintf(f,
            ".TH CARILLOND 8\n.SH NAME\ncarillond \\- one node of Carillon\n.SH SYNOPSIS\n"
            ".B carillond\n[\\-\\-config PATH]... [\\-\\-database URL] [OPTIONS]\n"
            ".SH DESCRIPTION\nRuns one node until SIGTERM or SIGINT; then it drains and exits 0. "
            "SIGHUP reads the\nconfiguration again and keeps the old one when the new one is bad.\n"
            ".SH OPTIONS\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        man_row(f, rows[i].name, rows[i].arg, rows[i].help);
    }
    fprintf(f, ".SH SHORT NAMES OF KEYS\n");
    for (size_t i = 0; (s = conf_flag_at(i)) != NULL; i++) {
        char help[512];
        (void)snprintf(help, sizeof(help), "%s: %s", s->path, conf_row_of(str_of(s->path))->help);
        man_row(f, s->name, s->arg, help);
    }
    fprintf(f, ".SH EXIT STATUS\n0 drained (or: the configuration is good), 1 failed, 2 usage\n"
               ".SH SEE ALSO\n.BR carillon (1)\n");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *file, *title, *tables;
        void (*write)(FILE *f);
    } pages[] = {
        {"errors.md", "Errors", "base/err.def", write_errors},
        {"metrics.md", "Metrics", "*/metrics.def", write_metrics},
        {"messages.md", "Messages of the client protocol", "net/msg.def", write_messages},
        {"admin.md", "The admin port", "cmd/admin_routes.def", write_admin},
        {"faults.md", "Fault points", "base/fault.def", write_faults},
        {"configuration.md", "Configuration", "conf/keys.def", write_configuration},
        {"carillond.yaml", "Sample configuration of a Carillon node", "conf/keys.def",
         write_sample},
        {"carillon.1", NULL, "cmd/carillon/table.c", help_man},
        {"carillond.8", NULL, "cmd/carillond/options.def and conf/keys.def", write_man_daemon},
    };
    if (argc != 2) {
        fprintf(stderr, "usage: gen_docs DIRECTORY\n");
        return 2;
    }
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        struct page p;
        if (!page_open(&p, argv[1], pages[i].file, pages[i].title)) {
            return 1;
        }
        pages[i].write(p.f);
        if (!page_close(&p, pages[i].tables)) {
            return 1;
        }
    }
    return 0;
}
