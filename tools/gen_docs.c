/* gen_docs DIRECTORY: writes the reference pages from the tables (*.def), so that they cannot say
 * anything else than the program does. tools/docs.sh runs it and compares. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/err.h"
#include "cmd/admin.h"
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
    fprintf(p->f, "# %s\n\n", title);
    return true;
}

static bool page_close(struct page *p, const char *tables)
{
    fprintf(p->f, "\n<!-- Made from %s by `make docs`; do not edit. -->\n", tables);
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
        const char *shown = strcmp(kind, "GAUGE") == 0       ? "gauge"
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
