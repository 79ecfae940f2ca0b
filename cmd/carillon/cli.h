/* Inside the command line: one table of commands and options (table.c). */
#ifndef CARILLON_CMD_CARILLON_CLI_H
#define CARILLON_CMD_CARILLON_CLI_H

#include "base/str.h"
#include "carillon/carillon.h"

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

enum { ARGS_MAX = 1000 }; /* words of one call, files to check above all */

/* Options of all commands; each takes those its row names. Texts are argv's. */
struct cli {
    const char *address; /* --address, CARILLON_ADDRESS, tcp://127.0.0.1:7070 */
    const char *tenant, *name, *input, *error, *cause, *workflow, *status, *data, *listen;
    const char *output; /* "table" or "json" */
    const char *database, *queue;
    const char *mock, *test_case, *expect_status, *expect_output, *expect_error;
    int64_t timeout_ms;
    int limit, count, concurrency, processes, payload;
    double seconds;
    bool wait, once, private_db, fast, json, quiet;
    const char *args[ARGS_MAX]; /* what is no option, the command's words excluded */
    int args_len;
    bool any_state;          /* set before the first use: a node that stands by will do */
    carillon_client *client; /* made on first use: cli_client() */
};

struct command {
    const char *words;    /* "workflow create" */
    const char *args;     /* "NAME FILE" */
    const char *help;     /* one line; NULL: for our own use, not shown */
    const char *more;     /* paragraph of --help, or NULL */
    const char *examples; /* a line each, or NULL */
    const char *options;  /* names, blank-separated: it takes these and no others */
    int args_min, args_max;
    int (*run)(struct cli *c);
};
enum option_kind { O_TEXT, O_MS, O_INT, O_SECONDS, O_FLAG };
struct cli_option {
    const char *name;
    char letter; /* 0: none */
    enum option_kind kind;
    size_t offset;          /* in struct cli */
    const char *arg, *help; /* arg NULL: a flag */
};

/* table.c */
extern const struct command commands[]; /* words NULL ends */
extern const struct cli_option cli_options[];
extern const size_t cli_options_len;
enum { CLI_OPTIONS_MAX = 64 };
bool command_takes(const struct command *c, const char *option);

enum { CLI_CALL_MS = 15000 }; /* how long a command tries before it gives up */

/* NULL after a message: the addresses are no addresses. */
carillon_client *cli_client(struct cli *c);
/* Prints "what" and the library's error; gives the exit code that goes with it. */
int cli_failed(const char *what, const carillon_error *error);
char *cli_read_file(const char *path); /* "-": standard input; NULL after a message */
/* The value of an option that is JSON or @FILE; NULL after a message, mem_free() it. */
char *cli_read_value(const char *value);
const char *cli_file_name(const char *path); /* for messages: "-" is <stdin> */
/* As compilers do, so that editors find the place: "file:line:column: /pointer: what is wrong". */
void cli_problem(FILE *out, const char *file, uint32_t line, uint32_t col, const char *pointer,
                 const char *message);
void cli_json_string(FILE *out, const char *s);
/* For people. Whatever came from elsewhere may hold control characters that move a terminal's
 * cursor: they are shown as \u001b; further lines begin after "indent" blanks. */
void cli_text(FILE *out, struct str s, int indent);
/* "2026-11-23T09:12:10.123Z"; "-" for 0. Static per call, two at a time. */
const char *cli_time(int64_t ms);
int cli_status_number(const char *name); /* "FAILED": 3; 0: no such status, or NULL */

/* dev.c, bench.c, demo.c, workflow_test.c, conformance.c, completion.c */
int cmd_dev(struct cli *c);
int cmd_bench(struct cli *c);
int cmd_bench_worker(struct cli *c);
int cmd_demo_worker(struct cli *c);
int cmd_demo_orders(struct cli *c);
int cmd_workflow_check(struct cli *c);
int cmd_workflow_test(struct cli *c);
int cmd_workflow_conformance(struct cli *c);
int cmd_completion(struct cli *c);
/* commands.c */
int cmd_start(struct cli *c);
int cmd_describe(struct cli *c);
int cmd_wait(struct cli *c);
int cmd_stop(struct cli *c);
int cmd_list(struct cli *c);
int cmd_history(struct cli *c);
int cmd_status(struct cli *c);
int cmd_workflow_create(struct cli *c);
int cmd_workflow_list(struct cli *c);
int cmd_workflow_show(struct cli *c);
int cmd_workflow_delete(struct cli *c);

#endif
