/* Starts an execution and waits for its end.
 *
 *   cc client.c -o client $(pkg-config --cflags --libs carillon)
 *   ./client tcp://127.0.0.1:7070 hello '{"name":"world"}'
 */
#include <carillon/carillon.h>

#include <stdio.h>
#include <stdlib.h>

static int failed(const char *what, int code, const carillon_error *error)
{
    fprintf(stderr, "%s: %s: %s\n", what, carillon_code_name(code), error->text);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s ADDRESS[,ADDRESS...] WORKFLOW [INPUT [NAME]]\n", argv[0]);
        return 2;
    }
    carillon_error error;
    carillon_client *client;
    carillon_options options = {.addresses = argv[1], .name = "example-client"};
    int code = carillon_client_new(&options, &client, &error);
    if (code != CARILLON_OK) {
        return failed("client", code, &error);
    }

    /* With a name of your own (an order number, say) a second start of the same thing finds the
     * first one, also if this program is started again. */
    carillon_started started;
    code = carillon_start(client, argv[2], argc > 4 ? argv[4] : NULL, argc > 3 ? argv[3] : NULL,
                          &started, &error);
    if (code != CARILLON_OK) {
        failed("start", code, &error);
        carillon_client_free(client);
        return EXIT_FAILURE;
    }
    printf("%s %s (%s)\n", started.created ? "started" : "found", started.execution, started.name);

    carillon_execution *execution;
    code = carillon_wait(client, started.execution, 60000, &execution, &error);
    if (code == CARILLON_OK) {
        printf("%s %s\n", carillon_status_name(execution->status),
               execution->output != NULL  ? execution->output
               : execution->error != NULL ? execution->error
                                          : "");
        code = execution->status == CARILLON_SUCCEEDED ? CARILLON_OK : CARILLON_FATAL;
        carillon_execution_free(execution);
    } else {
        failed("wait", code, &error);
    }
    carillon_client_free(client);
    return code == CARILLON_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
