/* The commands that talk to a node, and what all commands share. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/os.h"
#include "cmd/carillon/cli.h"

/* ---- helpers ---- */

carillon_client *cli_client(struct cli *c)
{
    carillon_options o = {.addresses = c->address,
                          .name = "carillon-cli",
                          .tenant = c->tenant,
                          .timeout_ms = MAX(c->timeout_ms, (int64_t)CLI_CALL_MS),
                          .any_state = c->any_state};
    carillon_error e;
    if (c->client == NULL && carillon_client_new(&o, &c->client, &e) != CARILLON_OK) {
        (void)cli_failed("--address", &e);
    }
    return c->client;
}

int cli_failed(const char *what, const carillon_error *error)
{
    (void)fprintf(stderr, "carillon: %s: ", what);
    cli_text(stderr, str_of(error->text), 4);
    (void)fputc('\n', stderr);
    switch (error->code) {
    case CARILLON_NOT_FOUND:
    case CARILLON_NO_WORKFLOW:
    case CARILLON_NO_EXECUTION:
        return EXIT_NOT_FOUND;
    case CARILLON_CONFLICT:
    case CARILLON_EXISTS:
    case CARILLON_STALE:
    case CARILLON_STOPPED:
        return EXIT_CONFLICT;
    case CARILLON_UNAVAILABLE:
    case CARILLON_STANDBY:
    case CARILLON_GOING_AWAY:
        return EXIT_UNREACHABLE;
    case CARILLON_UNKNOWN:
    case CARILLON_TIMEOUT:
        return EXIT_TIMEOUT;
    default:
        return EXIT_FAILED;
    }
}

char *cli_read_file(const char *path)
{
    struct buf b;
    struct err_detail d = {0};
    const char *real = strcmp(path, "-") == 0 ? "/dev/stdin" : path;
    buf_init(&b, 0);
    if (os_read_file(real, 8u << 20, &b, &d) != ERR_OK) {
        (void)fprintf(stderr, "carillon: %s: %s\n", path, d.text);
        buf_fini(&b);
        return NULL;
    }
    buf_putc(&b, '\0');
    char *text = mem_strdup(b.p);
    buf_fini(&b);
    return text;
}

char *cli_read_value(const char *value)
{
    return value[0] == '@' ? cli_read_file(value + 1) : mem_strdup(value);
}

const char *cli_file_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "<stdin>" : path;
}

void cli_problem(FILE *out, const char *file, uint32_t line, uint32_t col, const char *pointer,
                 const char *message)
{
    (void)fprintf(out, "%s:", file);
    if (line != 0) {
        (void)fprintf(out, "%" PRIu32 ":%" PRIu32 ":", line, col);
    }
    if (pointer[0] != '\0') {
        (void)fputc(' ', out);
        cli_text(out, str_of(pointer), 4);
        (void)fputc(':', out);
    }
    (void)fputc(' ', out);
    cli_text(out, str_of(message), 4);
    (void)fputc('\n', out);
}

void cli_json_string(FILE *out, const char *s)
{
    struct buf b;
    buf_init(&b, 0);
    json_write_string(&b, str_of(s == NULL ? "" : s));
    (void)fwrite(b.p, 1, b.size, out);
    buf_fini(&b);
}

/* Size of the control character (C0, DEL or C1) at "p", 0 when it is none. */
static size_t control_size(const unsigned char *p, size_t left)
{
    if (p[0] < 0x20 || p[0] == 0x7f) {
        return 1;
    }
    return left > 1 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0 ? 2 : 0;
}

void cli_text(FILE *out, struct str s, int indent)
{
    for (size_t i = 0; i < s.size;) {
        const unsigned char *p = (const unsigned char *)s.p + i;
        size_t control = control_size(p, s.size - i);
        if (*p == '\n') {
            (void)fprintf(out, "\n%*s", indent, "");
        } else if (control > 0 && *p != '\t') {
            (void)fprintf(out, "\\u%04x", control == 1 ? p[0] : p[1]);
        } else {
            (void)fputc(*p, out);
            control = 1;
        }
        i += control;
    }
}

const char *cli_time(int64_t ms)
{
    static char text[2][WALL_TEXT_SIZE];
    static int turn;
    if (ms == 0) {
        return "-";
    }
    turn = !turn;
    wall_format((struct wall){ms * US_PER_MS}, 3, text[turn]);
    return text[turn];
}

int cli_status_number(const char *name)
{
    for (int i = CARILLON_RUNNING; name != NULL && i <= CARILLON_ABORTED; i++) {
        if (strcmp(name, carillon_status_name(i)) == 0) {
            return i;
        }
    }
    return 0;
}

/* ---- executions ---- */

/* Payloads too are texts in the API's own form. */
static void member(const char *key, const char *value)
{
    if (value == NULL) {
        return;
    }
    (void)printf(",\"%s\":", key);
    cli_json_string(stdout, value);
}

/* The first member of an object. */
static void object(const char *key, const char *value)
{
    (void)printf("{\"%s\":", key);
    cli_json_string(stdout, value);
}

static void line(const char *label, const char *value)
{
    enum { LABEL = 11 };
    if (value != NULL) {
        (void)printf("%-*s", LABEL, label);
        cli_text(stdout, str_of(value), LABEL);
        (void)putchar('\n');
    }
}

static void execution_print_json(const carillon_execution *x)
{
    object("executionArn", x->execution);
    member("name", x->name);
    member("stateMachineArn", x->workflow);
    member("status", carillon_status_name(x->status));
    member("startDate", cli_time(x->started_at_ms));
    if (x->closed_at_ms != 0) {
        member("stopDate", cli_time(x->closed_at_ms));
    }
    member("input", x->input);
    member("output", x->output);
    member("error", x->error);
    member("cause", x->cause);
    (void)printf(",\"events\":%" PRIu32 ",\"workflowVersion\":%" PRIu32 "}\n", x->event_count,
                 x->workflow_version);
}

static void execution_print(const struct cli *c, const carillon_execution *x)
{
    char text[NAME_SIZE_MAX + 32];
    if (c->json) {
        execution_print_json(x);
        return;
    }
    line("execution", x->execution);
    (void)snprintf(text, sizeof(text), "%s (version %" PRIu32 ")", x->workflow,
                   x->workflow_version);
    line("workflow", text);
    line("name", x->name);
    line("status", carillon_status_name(x->status));
    line("started", cli_time(x->started_at_ms));
    line("closed", cli_time(x->closed_at_ms));
    (void)snprintf(text, sizeof(text), "%" PRIu32, x->event_count);
    line("events", text);
    line("input", x->input);
    line("output", x->output);
    line("error", x->error);
    line("cause", x->cause);
}

/* Without --timeout it waits as long as it takes, also for a cluster that is away for a while; that
 * nobody is there to begin with is an error. */
static int wait_and_print(struct cli *c, const char *id)
{
    carillon_execution *x = NULL;
    carillon_error e;
    int rc = carillon_client_wait_ready(c->client, CLI_CALL_MS, &e);
    if (rc == CARILLON_OK) {
        rc = carillon_wait(c->client, id, c->timeout_ms > 0 ? c->timeout_ms : -1, &x, &e);
    }
    if (rc != CARILLON_OK) {
        return cli_failed("wait", &e);
    }
    execution_print(c, x);
    bool ok = x->status == CARILLON_SUCCEEDED;
    carillon_execution_free(x);
    return ok ? EXIT_OK : EXIT_FAILED;
}

int cmd_start(struct cli *c)
{
    carillon_started s;
    carillon_error e;
    char *input = NULL;
    if (c->input != NULL) {
        input = cli_read_value(c->input);
        if (input == NULL) {
            return EXIT_USAGE;
        }
    }
    if (cli_client(c) == NULL) {
        mem_free(input);
        return EXIT_USAGE;
    }
    int rc = carillon_start(c->client, c->args[0], c->name, input, &s, &e);
    mem_free(input);
    if (rc != CARILLON_OK) {
        return cli_failed("start", &e);
    }
    if (c->wait) {
        return wait_and_print(c, s.execution);
    }
    if (c->json) {
        object("executionArn", s.execution);
        (void)printf(",\"created\":%s}\n", s.created ? "true" : "false");
    } else {
        (void)printf("%s%s\n", s.execution, s.created ? "" : " (existed)");
    }
    return EXIT_OK;
}

int cmd_describe(struct cli *c)
{
    carillon_execution *x = NULL;
    carillon_error e;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    bool named = c->args_len == 2;
    int rc = carillon_describe(c->client, named ? NULL : c->args[0], c->args[0],
                               named ? c->args[1] : NULL, &x, &e);
    if (rc != CARILLON_OK) {
        return cli_failed("describe", &e);
    }
    execution_print(c, x);
    carillon_execution_free(x);
    return EXIT_OK;
}

int cmd_wait(struct cli *c)
{
    return cli_client(c) == NULL ? EXIT_USAGE : wait_and_print(c, c->args[0]);
}

int cmd_stop(struct cli *c)
{
    carillon_error e;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    int rc = carillon_stop(c->client, c->args[0], c->error, c->cause, NULL, &e);
    return rc == CARILLON_OK ? EXIT_OK : cli_failed("stop", &e);
}

/* ---- rows, page by page ---- */

enum { PAGE = 1000 };

/* As JSON the rows stand between "open" and "close"; what fails before its first page prints
 * neither. */
struct rows {
    const struct cli *c;
    const char *open, *close;
    size_t n;
    bool begun;
};

static void rows_page(struct rows *r)
{
    if (r->c->json && !r->begun) {
        (void)fputs(r->open, stdout);
    }
    r->begun = true;
}

/* Counts a row; true for the first. */
static bool rows_next(struct rows *r)
{
    if (r->c->json && r->n > 0) {
        (void)printf(",\n");
    }
    return r->n++ == 0;
}

static int rows_end(const struct rows *r, int code, const char *what, const carillon_error *e)
{
    if (r->c->json && r->begun) {
        (void)printf("%s\n", r->close);
    }
    return code == CARILLON_OK ? EXIT_OK : cli_failed(what, e);
}

static void list_row(struct rows *r, const carillon_list_row *x)
{
    bool first = rows_next(r);
    if (r->c->json) {
        object("executionArn", x->execution);
        member("stateMachineArn", x->workflow);
        member("name", x->name);
        member("status", carillon_status_name(x->status));
        member("startDate", cli_time(x->started_at_ms));
        if (x->closed_at_ms != 0) {
            member("stopDate", cli_time(x->closed_at_ms));
        }
        (void)printf("}");
        return;
    }
    if (first) {
        (void)printf("%-36s  %-9s  %-24s  %s\n", "EXECUTION", "STATUS", "STARTED", "WORKFLOW/NAME");
    }
    (void)printf("%-36s  %-9s  %-24s  %s/%s\n", x->execution, carillon_status_name(x->status),
                 cli_time(x->started_at_ms), x->workflow, x->name);
}

int cmd_list(struct cli *c)
{
    struct rows r = {.c = c, .open = "[", .close = "]"};
    size_t wanted = c->limit > 0 ? (size_t)c->limit : 100;
    carillon_list *page = NULL;
    carillon_error e;
    int code;
    if (c->status != NULL && cli_status_number(c->status) == 0) {
        (void)fprintf(stderr,
                      "carillon: --status is one of RUNNING SUCCEEDED FAILED TIMED_OUT ABORTED\n");
        return EXIT_USAGE;
    }
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    do {
        carillon_list *next = NULL;
        code = carillon_list_executions(c->client, c->workflow, cli_status_number(c->status),
                                        (uint32_t)MIN(wanted - r.n, (size_t)PAGE),
                                        page != NULL ? page->cursor : NULL, &next, &e);
        carillon_list_free(page);
        page = next;
        if (code == CARILLON_OK) {
            rows_page(&r);
        }
        for (size_t i = 0; page != NULL && i < page->len && r.n < wanted; i++) {
            list_row(&r, &page->rows[i]);
        }
    } while (page != NULL && page->cursor != NULL && r.n < wanted);
    carillon_list_free(page);
    return rows_end(&r, code, "list", &e);
}

/* One line an event: number, time, type, name. */
static void history_row(struct rows *r, const char *json)
{
    (void)rows_next(r);
    if (r->c->json) {
        (void)fputs(json, stdout);
        return;
    }
    struct arena a;
    const struct jv *v = NULL;
    arena_init(&a, 0);
    if (json_parse(&a, str_of(json), JSON_LIMITS_PAYLOAD, true, &v, NULL) == ERR_OK) {
        struct str scope = jv_str(jv_getc(v, "scope"));
        (void)printf("%5.0f  %.*s  %-26.*s ", jv_num(jv_getc(v, "id")),
                     STR_ARG(jv_str(jv_getc(v, "timestamp"))), STR_ARG(jv_str(jv_getc(v, "type"))));
        cli_text(stdout, scope, 0);
        (void)fputs(scope.p != NULL ? "/" : "", stdout);
        const struct jv *details = v->u.members[v->len - 1].value; /* the last, when it has any */
        cli_text(stdout, jv_str(jv_getc(details, "name")), 0);
        (void)putchar('\n');
    }
    arena_fini(&a);
}

int cmd_history(struct cli *c)
{
    struct rows r = {.c = c, .open = "{\"events\":[", .close = "]}"};
    carillon_error e;
    uint32_t after = 0;
    int code;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    do {
        carillon_history *h = NULL;
        code = carillon_history_read(c->client, c->args[0], after, PAGE, false, &h, &e);
        if (code == CARILLON_OK) {
            rows_page(&r);
        }
        for (size_t i = 0; h != NULL && i < h->len; i++) {
            history_row(&r, h->events[i]);
        }
        after = h != NULL ? h->next : 0;
        carillon_history_free(h);
    } while (after != 0);
    return rows_end(&r, code, "history", &e);
}

int cmd_status(struct cli *c)
{
    char *json = NULL;
    carillon_error e;
    c->any_state = true;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    if (carillon_node_status(c->client, &json, &e) != CARILLON_OK) {
        return cli_failed("status", &e);
    }
    (void)printf("%s\n", json);
    carillon_string_free(json);
    return EXIT_OK;
}

/* ---- workflows ---- */

static void problems_print(const char *file, const carillon_problems *p)
{
    for (size_t i = 0; i < p->len; i++) {
        const carillon_problem *x = &p->items[i];
        cli_problem(stderr, file, x->line, x->col, x->pointer, x->message);
    }
}

int cmd_workflow_create(struct cli *c)
{
    uint32_t version = 0;
    carillon_problems *problems = NULL;
    carillon_error e;
    char *text = cli_read_file(c->args[1]);
    if (text == NULL || cli_client(c) == NULL) {
        mem_free(text);
        return EXIT_USAGE;
    }
    int code = carillon_definition_put(c->client, c->args[0], text, CARILLON_FORMAT_AUTO, &version,
                                       NULL, &problems, &e);
    mem_free(text);
    if (code != CARILLON_OK) {
        const char *file = cli_file_name(c->args[1]);
        int rc = cli_failed(file, &e);
        if (problems != NULL) {
            problems_print(file, problems);
        }
        carillon_problems_free(problems);
        return rc;
    }
    if (c->json) {
        object("workflow", c->args[0]);
        (void)printf(",\"version\":%" PRIu32 "}\n", version);
    } else {
        (void)printf("%s version %" PRIu32 "\n", c->args[0], version);
    }
    return EXIT_OK;
}

static void workflow_row(struct rows *r, const carillon_definition *d)
{
    (void)rows_next(r);
    if (r->c->json) {
        object("workflow", d->workflow);
        (void)printf(",\"version\":%" PRIu32, d->version);
        member("createdAt", cli_time(d->created_at_ms));
        (void)printf("}");
    } else {
        (void)printf("%-32s  version %-4" PRIu32 " %s\n", d->workflow, d->version,
                     cli_time(d->created_at_ms));
    }
}

int cmd_workflow_list(struct cli *c)
{
    struct rows r = {.c = c, .open = "[", .close = "]"};
    carillon_definitions *page = NULL;
    carillon_error e;
    int code;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    do {
        carillon_definitions *next = NULL;
        code =
            carillon_definition_list(c->client, page != NULL ? page->next : NULL, PAGE, &next, &e);
        carillon_definitions_free(page);
        page = next;
        if (code == CARILLON_OK) {
            rows_page(&r);
        }
        for (size_t i = 0; page != NULL && i < page->len; i++) {
            workflow_row(&r, &page->items[i]);
        }
    } while (page != NULL && page->next != NULL);
    carillon_definitions_free(page);
    return rows_end(&r, code, "workflow list", &e);
}

int cmd_workflow_show(struct cli *c)
{
    carillon_definition *d = NULL;
    carillon_error e;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    if (carillon_definition_get(c->client, c->args[0], 0, &d, &e) != CARILLON_OK) {
        return cli_failed(c->args[0], &e);
    }
    (void)printf("%s\n", d->text);
    carillon_definition_free(d);
    return EXIT_OK;
}

int cmd_workflow_delete(struct cli *c)
{
    carillon_error e;
    if (cli_client(c) == NULL) {
        return EXIT_USAGE;
    }
    int code = carillon_definition_delete(c->client, c->args[0], &e);
    return code == CARILLON_OK ? EXIT_OK : cli_failed(c->args[0], &e);
}
