/* Does the tasks of one queue: gives back what it was given, in an envelope. Ends, after finishing
 * what it holds, on SIGINT or SIGTERM.
 *
 *   cc worker.c -o worker $(pkg-config --cflags --libs carillon) -pthread
 *   ./worker tcp://127.0.0.1:7070 greet
 */
#define _POSIX_C_SOURCE 200809L
#include <carillon/carillon.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void work(void *arg, carillon_task *task)
{
    (void)arg;
    const char *input = carillon_task_input(task);
    size_t size = strlen(input) + 64;
    char *output = malloc(size);
    if (output == NULL) {
        carillon_task_give_back(task); /* somebody else may have the memory */
        return;
    }
    snprintf(output, size, "{\"attempt\":%u,\"input\":%s}", carillon_task_attempt(task), input);
    printf("%s %s\n", carillon_task_state(task), carillon_task_execution(task));

    /* The task must be ended by exactly one call that returns CARILLON_OK. */
    if (carillon_task_succeed(task, output) != CARILLON_OK) {
        carillon_task_fail(task, "Example.TooLarge", "the output is over the limit");
    }
    free(output);
}

static int failed(const char *what, int code, const carillon_error *error)
{
    fprintf(stderr, "%s: %s: %s\n", what, carillon_code_name(code), error->text);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s ADDRESS[,ADDRESS...] QUEUE\n", argv[0]);
        return 2;
    }
    /* Before the library starts its threads, so that they inherit it: only sigwait() gets these. */
    sigset_t stop;
    int signal_number;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);

    carillon_error error;
    carillon_client *client;
    carillon_worker *worker;
    carillon_options options = {.addresses = argv[1], .name = "example-worker"};
    int code = carillon_client_new(&options, &client, &error);
    if (code != CARILLON_OK) {
        return failed("client", code, &error);
    }
    const char *queues[] = {argv[2]};
    carillon_worker_options worker_options = {
        .queues = queues, .queues_len = 1, .concurrency = 8, .threads = 4, .handler = work};
    code = carillon_worker_new(client, &worker_options, &worker, &error);
    if (code != CARILLON_OK) {
        return failed("worker", code, &error);
    }
    code = carillon_worker_start(worker, &error);
    if (code != CARILLON_OK) {
        return failed("worker", code, &error);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("waiting for tasks on queue %s\n", argv[2]);
    sigwait(&stop, &signal_number);

    code = carillon_worker_stop(worker, 30000, &error);
    if (code != CARILLON_OK) {
        failed("stop", code, &error);
    }
    carillon_worker_free(worker);
    carillon_client_free(client);
    return code == CARILLON_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
