/* carillon: the command line. Finds the command in the table, reads options, runs it. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/os.h"
#include "cmd/carillon/help.h"

#include <getopt.h>

static bool option_set(struct cli *c, size_t i, const char *value)
{
    char *field = (char *)c + cli_options[i].offset, *end = NULL;
    switch (cli_options[i].kind) {
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
static int parse(struct cli *c, int argc, char **argv, bool *given, bool *help)
{
    struct option longs[CLI_OPTIONS_MAX + 3];
    char shorts[2 * CLI_OPTIONS_MAX + 2];
    size_t n = 0;
    ASSERT(cli_options_len <= CLI_OPTIONS_MAX);
    for (size_t i = 0; i < cli_options_len; i++) {
        int has = cli_options[i].kind == O_FLAG ? no_argument : required_argument;
        longs[i] = (struct option){cli_options[i].name, has, NULL, (int)i + 1000};
        if (cli_options[i].letter != 0) {
            shorts[n++] = cli_options[i].letter;
            if (has == required_argument) {
                shorts[n++] = ':';
            }
        }
    }
    shorts[n] = '\0';
    longs[cli_options_len] = (struct option){"help", no_argument, NULL, 'h'};
    longs[cli_options_len + 1] = (struct option){"version", no_argument, NULL, 'V'};
    longs[cli_options_len + 2] = (struct option){0};
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
        size_t i = k >= 1000 ? (size_t)k - 1000 : cli_options_len;
        for (size_t l = 0; k < 1000 && l < cli_options_len; l++) {
            i = cli_options[l].letter == k ? l : i;
        }
        if (k == '?' || i == cli_options_len) {
            return EXIT_USAGE + 1;
        }
        if (!option_set(c, i, optarg)) {
            (void)fprintf(stderr, "carillon: --%s: \"%s\" is not a value for it: %s\n",
                          cli_options[i].name, optarg, cli_options[i].help);
            return EXIT_USAGE + 1;
        }
        given[i] = true;
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

/* An option that would change nothing is a mistake of whoever typed it. */
static bool options_fit(const struct command *cmd, const bool *given)
{
    for (size_t i = 0; i < cli_options_len; i++) {
        if (given[i] && !command_takes(cmd, cli_options[i].name)) {
            (void)fprintf(stderr, "carillon: %s takes no --%s; try carillon %s --help\n",
                          cmd->words, cli_options[i].name, cmd->words);
            return false;
        }
    }
    return true;
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
    bool help = false, given[CLI_OPTIONS_MAX] = {false};
    c.address = os_getenv("CARILLON_ADDRESS");
    int rc = parse(&c, argc, argv, given, &help);
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
            help_command(stdout, cmd);
            return EXIT_OK;
        }
        if (words > 0 && !options_fit(cmd, given)) {
            return EXIT_USAGE;
        }
        if (words > 0) {
            return run(&c, cmd, argv + optind + words, argc - optind - words);
        }
    }
    help_all(help || optind == argc ? stdout : stderr);
    return help ? EXIT_OK : EXIT_USAGE;
}
