/* carillon: the command line. Finds the command in the table, reads options, runs it. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/clock.h"
#include "base/os.h"
#include "cmd/carillon/cli.h"

#include <getopt.h>

/* One table of options: parser and help. */
enum option_kind { O_TEXT, O_MS, O_INT, O_SECONDS, O_FLAG };
static const struct {
    const char *name;
    char letter;
    enum option_kind kind;
    size_t offset;
    const char *arg, *help;
} options[] = {
    {"address", 'a', O_TEXT, offsetof(struct cli, address), "ADDRESSES",
     "nodes, comma-separated (CARILLON_ADDRESS; default tcp://127.0.0.1:7070)"},
    {"tenant", 0, O_TEXT, offsetof(struct cli, tenant), "NAME", "tenant (default \"default\")"},
    {"output", 'o', O_TEXT, offsetof(struct cli, output), "table|json", "form of the output"},
    {"name", 'n', O_TEXT, offsetof(struct cli, name), "NAME",
     "name of the execution: the same name starts it once"},
    {"input", 'i', O_TEXT, offsetof(struct cli, input), "JSON|@FILE", "input of the execution"},
    {"wait", 'w', O_FLAG, offsetof(struct cli, wait), NULL, "wait until the execution has ended"},
    {"timeout", 't', O_MS, offsetof(struct cli, timeout_ms), "MS", "how long to wait"},
    {"workflow", 0, O_TEXT, offsetof(struct cli, workflow), "NAME", "only of this workflow"},
    {"status", 0, O_TEXT, offsetof(struct cli, status), "STATUS",
     "only with this status, e.g. RUNNING"},
    {"limit", 0, O_INT, offsetof(struct cli, limit), "N", "at most so many rows"},
    {"error", 0, O_TEXT, offsetof(struct cli, error), "NAME", "recorded as the error"},
    {"cause", 0, O_TEXT, offsetof(struct cli, cause), "TEXT", "recorded as the cause"},
    {"data", 0, O_TEXT, offsetof(struct cli, data), "FOLDER",
     "dev: where data is kept (default ./carillon-dev)"},
    {"listen", 0, O_TEXT, offsetof(struct cli, listen), "ADDRESS", "dev: where the node listens"},
    {"once", 0, O_FLAG, offsetof(struct cli, once), NULL, "dev: run a first workflow, then end"},
    {"private", 0, O_FLAG, offsetof(struct cli, private_db), NULL,
     "bench: with a PostgreSQL and a node of its own"},
    {"database", 0, O_TEXT, offsetof(struct cli, database), "URL",
     "bench: an empty database of yours"},
    {"seconds", 's', O_SECONDS, offsetof(struct cli, seconds), "S", "bench: how long"},
    {"count", 'c', O_INT, offsetof(struct cli, count), "N", "bench: how many executions"},
    {"payload", 0, O_INT, offsetof(struct cli, payload), "BYTES",
     "bench: size of the input (default 100)"},
    {"processes", 0, O_INT, offsetof(struct cli, processes), "N", "bench: worker processes"},
    {"concurrency", 0, O_INT, offsetof(struct cli, concurrency), "N",
     "bench: executions in flight, or tasks a worker holds"},
    {"mock", 0, O_TEXT, offsetof(struct cli, mock), "FILE",
     "workflow test: outcomes of tasks, as for Step Functions Local"},
    {"case", 0, O_TEXT, offsetof(struct cli, test_case), "NAME",
     "workflow test: only this test case"},
    {"expect-status", 0, O_TEXT, offsetof(struct cli, expect_status), "STATUS",
     "workflow test: how it must end (default SUCCEEDED)"},
    {"expect-output", 0, O_TEXT, offsetof(struct cli, expect_output), "JSON|@FILE",
     "workflow test: its output must equal this"},
    {"expect-error", 0, O_TEXT, offsetof(struct cli, expect_error), "NAME",
     "workflow test: it must fail with this error"},
    {"queue", 0, O_TEXT, offsetof(struct cli, queue), "NAME", "bench worker: its queue"},
};

static void usage(FILE *out)
{
    (void)fprintf(out, "usage: carillon COMMAND [ARGUMENTS] [OPTIONS]\n\ncommands:\n");
    for (const struct command *c = commands; c->words != NULL; c++) {
        if (c->help == NULL) {
            continue;
        }
        char left[80];
        (void)snprintf(left, sizeof(left), "%s %s", c->words, c->args);
        (void)fprintf(out, "  %-32s %s\n", left, c->help);
    }
    (void)fprintf(out, "\noptions:\n");
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        char left[80];
        (void)snprintf(left, sizeof(left), "--%s %s", options[i].name,
                       options[i].arg == NULL ? "" : options[i].arg);
        (void)fprintf(out, "  %-32s %s\n", left, options[i].help);
    }
    (void)fprintf(out, "\nexit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict, "
                       "5 no node reached, 124 time-out\n");
}

static void help_of(const struct command *c)
{
    (void)printf("usage: carillon %s %s [OPTIONS]\n\n%s\n", c->words, c->args, c->help);
    if (c->more != NULL) {
        (void)printf("\n%s\n", c->more);
    }
}

static bool option_set(struct cli *c, size_t i, const char *value)
{
    char *field = (char *)c + options[i].offset, *end = NULL;
    switch (options[i].kind) {
    case O_TEXT:
        *(const char **)(void *)field = value;
        return true;
    case O_FLAG:
        *(bool *)field = true;
        return true;
    case O_MS: {
        int64_t us;
        if (str_to_duration_us(str_of(value), &us) != ERR_OK) {
            return false;
        }
        *(int64_t *)(void *)field = us / US_PER_MS;
        return true;
    }
    case O_INT: {
        long n = strtol(value, &end, 10);
        *(int *)(void *)field = (int)n;
        return *end == '\0' && end != value && n >= 0 && n < INT_MAX;
    }
    case O_SECONDS:
        *(double *)(void *)field = strtod(value, &end);
        return *end == '\0' && end != value;
    }
    return false;
}

/* Options into "c", the rest into words. 0, or an exit status + 1. */
static int parse(struct cli *c, int argc, char **argv, bool *help)
{
    struct option longs[ARRAY_LEN(options) + 3];
    char shorts[2 * ARRAY_LEN(options) + 2];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        int has = options[i].kind == O_FLAG ? no_argument : required_argument;
        longs[i] = (struct option){options[i].name, has, NULL, (int)i + 1000};
        if (options[i].letter != 0) {
            shorts[n++] = options[i].letter;
            if (has == required_argument) {
                shorts[n++] = ':';
            }
        }
    }
    shorts[n] = '\0';
    longs[ARRAY_LEN(options)] = (struct option){"help", no_argument, NULL, 'h'};
    longs[ARRAY_LEN(options) + 1] = (struct option){"version", no_argument, NULL, 'V'};
    longs[ARRAY_LEN(options) + 2] = (struct option){0};
    int k;
    while ((k = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (k == 'h') {
            *help = true;
            continue;
        }
        if (k == 'V') {
            (void)printf("carillon %s\n", carillon_version());
            return EXIT_OK + 1;
        }
        size_t i = k >= 1000 ? (size_t)k - 1000 : ARRAY_LEN(options);
        for (size_t l = 0; k < 1000 && l < ARRAY_LEN(options); l++) {
            i = options[l].letter == k ? l : i;
        }
        if (k == '?' || i == ARRAY_LEN(options)) {
            return EXIT_USAGE + 1;
        }
        if (!option_set(c, i, optarg)) {
            (void)fprintf(stderr, "carillon: --%s: \"%s\" is not a value for it: %s\n",
                          options[i].name, optarg, options[i].help);
            return EXIT_USAGE + 1;
        }
    }
    return 0;
}

/* How many of the arguments are this command's words; 0: it is another command. */
static int match(const struct command *c, char **args, int n)
{
    const char *p = c->words;
    int used = 0;
    while (*p != '\0') {
        size_t len = strcspn(p, " ");
        if (used == n || strlen(args[used]) != len || strncmp(args[used], p, len) != 0) {
            return 0;
        }
        used++;
        p += len;
        p += strspn(p, " ");
    }
    return used;
}

static int run(struct cli *c, const struct command *cmd, char **args, int n)
{
    if (n < cmd->args_min || n > cmd->args_max) {
        (void)fprintf(stderr, "usage: carillon %s %s\n", cmd->words, cmd->args);
        return EXIT_USAGE;
    }
    for (int i = 0; i < n; i++) {
        c->args[c->args_len++] = args[i];
    }
    c->json = c->output != NULL && strcmp(c->output, "json") == 0;
    int rc = cmd->run(c);
    carillon_client_free(c->client);
    return rc;
}

int main(int argc, char **argv)
{
    struct cli c = {0};
    bool help = false;
    c.address = os_getenv("CARILLON_ADDRESS");
    int rc = parse(&c, argc, argv, &help);
    if (rc != 0) {
        if (rc == EXIT_USAGE + 1) {
            (void)fprintf(stderr, "carillon: try --help\n");
        }
        return rc - 1;
    }
    if (c.address == NULL) {
        c.address = "tcp://127.0.0.1:7070";
    }
    for (const struct command *cmd = commands; cmd->words != NULL; cmd++) {
        int words = match(cmd, argv + optind, argc - optind);
        if (words > 0 && help) {
            help_of(cmd);
            return EXIT_OK;
        }
        if (words > 0) {
            return run(&c, cmd, argv + optind + words, argc - optind - words);
        }
    }
    usage(help || optind == argc ? stdout : stderr);
    return help ? EXIT_OK : EXIT_USAGE;
}
