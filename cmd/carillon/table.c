/* The one table of commands and the one table of options: parser, --help, completions and the man page all
 * come from here. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/carillon/cli.h"

/* What every command that talks to a node takes. */
#define NODE "address tenant output "

const struct command commands[] = {
    {.words = "dev",
     .args = "",
     .help = "a node with a private PostgreSQL and an echo worker, on this machine only",
     .more =
         "Everything it stores is kept in the folder --data (default ./carillon-dev) and is there "
         "again at the next start. Listens on the loopback; not for production. --once runs a "
         "first "
         "workflow, says how long it took, and ends.",
     .examples = "carillon dev\ncarillon dev --data ./my-data --listen tcp://127.0.0.1:7171\n",
     .options = "data listen once",
     .run = cmd_dev},
    {.words = "workflow create",
     .args = "NAME FILE",
     .help = "store a definition (JSON or YAML; - reads standard input)",
     .more =
         "Every mistake in it is printed as FILE:LINE:COLUMN: /pointer: what is wrong. An equal "
         "definition makes no new version; executions that run keep theirs.",
     .examples = "carillon workflow create hello examples/hello.yaml\n",
     .options = NODE,
     .args_min = 2,
     .args_max = 2,
     .run = cmd_workflow_create},
    {.words = "workflow list",
     .args = "",
     .help = "workflows by name",
     .options = NODE,
     .run = cmd_workflow_list},
    {.words = "workflow show",
     .args = "NAME",
     .help = "the newest definition, as it was put",
     .options = NODE,
     .args_min = 1,
     .args_max = 1,
     .run = cmd_workflow_show},
    {.words = "workflow delete",
     .args = "NAME",
     .help = "no more starts; what runs goes on",
     .options = NODE,
     .args_min = 1,
     .args_max = 1,
     .run = cmd_workflow_delete},
    {.words = "workflow check",
     .args = "FILE...",
     .help = "what is wrong with definitions; exit code 1 when anything is",
     .more =
         "Every mistake is printed as FILE:LINE:COLUMN: /pointer: what is wrong and the remedy. "
         "Needs no node.",
     .examples = "carillon workflow check workflows/*.yaml\n",
     .options = "output",
     .args_min = 1,
     .args_max = ARGS_MAX,
     .run = cmd_workflow_check},
    {.words = "workflow test",
     .args = "DEFINITION",
     .help = "run a definition with mocked tasks, in no time",
     .more =
         "Waits, retries and time-outs pass at once, and no node is needed. --mock FILE has the "
         "outcomes of tasks in the format of Step Functions Local; all its test cases are run, or "
         "one with --case. Exit code 0 when each ended as expected: SUCCEEDED, or as the --expect "
         "options say.",
     .examples =
         "carillon workflow test order.yaml --input @order.json --mock mocks.json\n"
         "carillon workflow test order.yaml --mock mocks.json --case Declined --expect-error "
         "PaymentDeclined\n",
     .options = "input mock case workflow expect-status expect-output expect-error output",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_workflow_test},
    {.words = "workflow conformance",
     .args = "FOLDER...",
     .help = "replay recorded executions and compare",
     .more =
         "A line PASS|FAIL|SKIP for each case, then how many agree in result, cause and events. "
         "Through a node with a private PostgreSQL, or with --fast through the workflow core "
         "alone.",
     .examples = "carillon workflow conformance --fast asl-cases\n",
     .options = "fast",
     .args_min = 1,
     .args_max = ARGS_MAX,
     .run = cmd_workflow_conformance},
    {.words = "start",
     .args = "WORKFLOW",
     .help = "start an execution",
     .more =
         "The same --name with the same input is the same execution, however often it is started; "
         "without a name each start is a new one. With --wait the exit code is 0 only when it "
         "SUCCEEDED.",
     .examples = "carillon start hello --input '{\"name\":\"you\"}' --wait\n"
                 "carillon start order --name order-17 --input @order.json\n",
     .options = NODE "name input wait timeout",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_start},
    {.words = "list",
     .args = "",
     .help = "executions, newest first",
     .examples = "carillon list --workflow order --status FAILED --limit 20\n",
     .options = NODE "workflow status limit",
     .run = cmd_list},
    {.words = "describe",
     .args = "EXECUTION | WORKFLOW NAME",
     .help = "one execution",
     .examples = "carillon describe order order-17 -o json\n",
     .options = NODE,
     .args_min = 1,
     .args_max = 2,
     .run = cmd_describe},
    {.words = "history",
     .args = "EXECUTION",
     .help = "its events",
     .options = NODE,
     .args_min = 1,
     .args_max = 1,
     .run = cmd_history},
    {.words = "wait",
     .args = "EXECUTION",
     .help = "until it has ended; exit code 0 only when it SUCCEEDED",
     .options = NODE "timeout",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_wait},
    {.words = "stop",
     .args = "EXECUTION",
     .help = "end it as ABORTED",
     .options = NODE "error cause timeout",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_stop},
    {.words = "status",
     .args = "",
     .help = "the node's state, as JSON",
     .options = NODE,
     .run = cmd_status},
    {.words = "bench",
     .args = "W1|W2|W3|W4|ceiling|core|idle|rss",
     .help = "measure; the last line is one JSON object",
     .more =
         "W1 steps per second, 1,000 executions of five tasks in flight; W2 latency of five steps, "
         "one execution at a time; W3 10,000 deadlines at one instant; W4 starts, single and "
         "batched; ceiling: what PostgreSQL alone can do; core: the workflow core without any of "
         "the rest; idle: what waiting costs; rss: memory with sleeping executions. --private "
         "brings a PostgreSQL and a node of its own, --database URL starts a node on an empty "
         "database of yours; workers are processes.",
     .examples = "carillon bench W1 --private -o json\n",
     .options = NODE "input private database seconds count payload processes concurrency",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_bench},
    {.words = "completion",
     .args = "bash|zsh|fish",
     .help = "completions for a shell, as text to be read by it",
     .examples = "source <(carillon completion bash)\n"
                 "carillon completion fish > ~/.config/fish/completions/carillon.fish\n",
     .options = "",
     .args_min = 1,
     .args_max = 1,
     .run = cmd_completion},
    {.words = "bench-worker",
     .args = "",
     .options = NODE "queue concurrency data",
     .run = cmd_bench_worker},
    {.words = "demo-worker", .args = "", .options = NODE "queue data", .run = cmd_demo_worker},
    {.words = "demo-orders",
     .args = "",
     .options = NODE "name count seconds",
     .run = cmd_demo_orders},
    {.words = NULL},
};

#define FIELD(name) offsetof(struct cli, name)

const struct cli_option cli_options[] = {
    {"address", 'a', O_TEXT, FIELD(address), "ADDRESSES",
     "nodes, comma-separated (CARILLON_ADDRESS; default tcp://127.0.0.1:7070)"},
    {"tenant", 0, O_TEXT, FIELD(tenant), "NAME", "tenant (default \"default\")"},
    {"output", 'o', O_TEXT, FIELD(output), "table|json", "form of the output"},
    {"name", 'n', O_TEXT, FIELD(name), "NAME",
     "name of the execution: the same name starts it once"},
    {"input", 'i', O_TEXT, FIELD(input), "JSON|@FILE", "input of the execution"},
    {"wait", 'w', O_FLAG, FIELD(wait), NULL, "wait until the execution has ended"},
    {"timeout", 't', O_MS, FIELD(timeout_ms), "MS",
     "how long to wait for the end; for an answer at least 15 s"},
    {"workflow", 0, O_TEXT, FIELD(workflow), "NAME",
     "of this workflow only; test: this state machine of the mocks"},
    {"status", 0, O_TEXT, FIELD(status), "STATUS", "only with this status, e.g. RUNNING"},
    {"limit", 0, O_INT, FIELD(limit), "N", "at most so many rows (default 100)"},
    {"error", 0, O_TEXT, FIELD(error), "NAME", "recorded as the error"},
    {"cause", 0, O_TEXT, FIELD(cause), "TEXT", "recorded as the cause"},
    {"data", 0, O_TEXT, FIELD(data), "FOLDER", "where data is kept (default ./carillon-dev)"},
    {"listen", 0, O_TEXT, FIELD(listen), "ADDRESS",
     "where the node listens (default tcp://127.0.0.1:7070)"},
    {"once", 0, O_FLAG, FIELD(once), NULL, "run a first workflow, then end"},
    {"private", 0, O_FLAG, FIELD(private_db), NULL, "with a PostgreSQL and a node of its own"},
    {"database", 0, O_TEXT, FIELD(database), "URL", "an empty database of yours"},
    {"seconds", 's', O_SECONDS, FIELD(seconds), "S", "how long"},
    {"count", 'c', O_INT, FIELD(count), "N", "how many executions"},
    {"payload", 0, O_INT, FIELD(payload), "BYTES", "size of the input (default 100)"},
    {"processes", 0, O_INT, FIELD(processes), "N", "worker processes"},
    {"concurrency", 0, O_INT, FIELD(concurrency), "N",
     "executions in flight, or tasks a worker holds"},
    {"mock", 0, O_TEXT, FIELD(mock), "FILE", "outcomes of tasks, as for Step Functions Local"},
    {"case", 0, O_TEXT, FIELD(test_case), "NAME", "only this test case"},
    {"expect-status", 0, O_TEXT, FIELD(expect_status), "STATUS",
     "how it must end (default SUCCEEDED)"},
    {"expect-output", 0, O_TEXT, FIELD(expect_output), "JSON|@FILE", "its output must equal this"},
    {"expect-error", 0, O_TEXT, FIELD(expect_error), "NAME", "it must fail with this error"},
    {"fast", 0, O_FLAG, FIELD(fast), NULL, "the core alone, on virtual time"},
    {"queue", 0, O_TEXT, FIELD(queue), "NAME", "the worker's queue"},
};
const size_t cli_options_len = ARRAY_LEN(cli_options);

bool command_takes(const struct command *c, const char *option)
{
    size_t size = strlen(option);
    for (const char *p = c->options; *p != '\0';) {
        size_t len = strcspn(p, " ");
        if (len == size && memcmp(p, option, len) == 0) {
            return true;
        }
        p += len;
        p += strspn(p, " ");
    }
    return false;
}
