/* Inside the command line: one table of commands (commands.c), each with its own function. */
#ifndef CARILLON_CMD_CARILLON_CLI_H
#define CARILLON_CMD_CARILLON_CLI_H

#include "base/prelude.h"
#include "cmd/carillon/carillon_client.h"

/* Stable exit codes. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_CONFLICT = 4,
    EXIT_UNREACHABLE = 5,
    EXIT_TIMEOUT = 124
};

enum { ARGS_MAX = 16 };

/* Options of all commands; each uses those its row names. Texts are argv's. */
struct cli {
    const char *address; /* --address, CARILLON_ADDRESS, tcp://127.0.0.1:7070 */
    const char *tenant, *name, *input, *error, *cause, *workflow, *status, *data, *listen;
    const char *output; /* "table" or "json" */
    const char *database, *queue;
    int64_t timeout_ms;
    int limit, count, concurrency, processes, payload;
    double seconds;
    bool wait, once, private_db, json, quiet;
    const char *args[ARGS_MAX]; /* what is no option, the command's words excluded */
    int args_len;
    struct carillon *client; /* connected on first use: cli_client() */
};

struct command {
    const char *words; /* "workflow create" */
    const char *args;  /* "NAME FILE" */
    const char *help;  /* one line */
    const char *more;  /* paragraph of --help, or NULL */
    int args_min, args_max;
    int (*run)(struct cli *c);
};

extern const struct command commands[]; /* words NULL ends */

struct carillon *cli_client(struct cli *c);
/* Prints the library's error and gives the exit code that goes with it. */
int cli_failed(int err, const char *what);
char *cli_read_file(const char *path); /* "-": standard input; NULL after a message */
void cli_json_string(FILE *out, const char *s);
/* "2026-11-23T09:12:10.123Z"; "-" for 0. Static per call, two at a time. */
const char *cli_time(int64_t ms);

/* dev.c, bench.c, demo.c */
int cmd_dev(struct cli *c);
int cmd_bench(struct cli *c);
int cmd_bench_worker(struct cli *c);
int cmd_demo_worker(struct cli *c);
int cmd_demo_orders(struct cli *c);

#endif
