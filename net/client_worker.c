/* The public worker: net/worker.h on the client's loop, handlers on threads of their own (or on the
 * loop), outcomes from any thread.
 *
 * A carillon_task lives from its arrival until worker_complete takes over what it stands for: the
 * loop makes it, a handler thread takes it from "ready", whoever ends it links it into "ended", and
 * the loop, which takes the whole list at once, frees it. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"
#include "net/client_internal.h"
#include "net/worker.h"

#include "base/os.h"

struct carillon_task {
    struct carillon_worker *worker;
    struct worker_task *task;
    struct carillon_task *next; /* in ready or ended */
    char token[TASK_TOKEN_TEXT + 1];
    atomic_bool cancelled;
    bool given_back;
};

struct carillon_worker {
    struct carillon_client *client;
    struct worker *worker; /* NULL before start */
    struct worker_handler handler;
    struct worker_config config;
    carillon_task_fn fn;
    void *arg;
    char *name;
    struct str *queues;
    struct thread *threads;
    uint32_t threads_len, threads_started;
    struct mutex mutex;
    struct cond work;    /* ready, quit */
    struct cond changed; /* drained */
    struct carillon_task *ready GUARDED_BY(mutex), **ready_last GUARDED_BY(mutex);
    struct carillon_task *ended GUARDED_BY(mutex), **ended_last GUARDED_BY(mutex);
    bool posted GUARDED_BY(mutex);
    bool quit GUARDED_BY(mutex);
    bool stopping GUARDED_BY(mutex);
    bool drained GUARDED_BY(mutex);
    struct loop_task intake;
    bool forgotten; /* the loop's: tasks are gone, what is ended still is only freed */
};

/* ---- tasks ---- */

static void token_text(const struct task_token *t, char out[TASK_TOKEN_TEXT + 1])
{
    uint8_t bytes[TASK_TOKEN_SIZE];
    task_token_encode(t, bytes);
    out[base64_encode(bytes, sizeof(bytes), out, true)] = '\0';
}

/* On the loop: a task has come. */
static void on_task(struct worker_handler *h, struct worker_task *wt)
{
    struct carillon_worker *w = CONTAINER_OF(h, struct carillon_worker, handler);
    struct carillon_task *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        worker_give_back(w->worker, wt); /* no memory to do it with */
        return;
    }
    t->worker = w;
    t->task = wt;
    wt->user = t;
    token_text(&wt->task.token, t->token);
    if (wt->task.input.p == NULL) {
        wt->task.input = STR("{}");
    }
    if (w->threads_len == 0) {
        w->fn(w->arg, t);
        return;
    }
    mutex_lock(&w->mutex);
    *w->ready_last = t;
    w->ready_last = &t->next;
    cond_signal(&w->work);
    mutex_unlock(&w->mutex);
}

static void on_cancelled(struct worker_handler *h, struct worker_task *wt)
{
    (void)h;
    struct carillon_task *t = wt->user;
    if (t != NULL) {
        atomic_store(&t->cancelled, true);
    }
}

static void on_drained(struct worker_handler *h)
{
    struct carillon_worker *w = CONTAINER_OF(h, struct carillon_worker, handler);
    mutex_lock(&w->mutex);
    w->drained = true;
    cond_broadcast(&w->changed);
    mutex_unlock(&w->mutex);
}

static void handler_thread(void *arg)
{
    struct carillon_worker *w = arg;
    mutex_lock(&w->mutex);
    for (;;) {
        while (w->ready == NULL && !w->quit) {
            cond_wait(&w->work, &w->mutex);
        }
        if (w->quit) {
            break;
        }
        struct carillon_task *t = w->ready;
        w->ready = t->next;
        t->next = NULL;
        if (w->ready == NULL) {
            w->ready_last = &w->ready;
        }
        mutex_unlock(&w->mutex);
        w->fn(w->arg, t);
        mutex_lock(&w->mutex);
    }
    mutex_unlock(&w->mutex);
}

/* On the loop: everything that was ended since. Each outcome is in its task already. */
static void intake_run(struct loop_task *task)
{
    struct carillon_worker *w = CONTAINER_OF(task, struct carillon_worker, intake);
    mutex_lock(&w->mutex);
    struct carillon_task *t = w->ended;
    w->ended = NULL;
    w->ended_last = &w->ended;
    w->posted = false;
    mutex_unlock(&w->mutex);
    while (t != NULL) {
        struct carillon_task *next = t->next;
        if (!w->forgotten && t->given_back) {
            worker_give_back(w->worker, t->task);
        } else if (!w->forgotten) {
            worker_complete(w->worker, t->task);
        }
        free(t);
        t = next;
    }
}

static int task_end(struct carillon_task *t)
{
    struct carillon_worker *w = t->worker;
    t->next = NULL;
    mutex_lock(&w->mutex);
    *w->ended_last = t;
    w->ended_last = &t->next;
    bool post = !w->posted;
    w->posted = true;
    mutex_unlock(&w->mutex);
    if (post) {
        loop_post(w->client->loop, &w->intake);
    }
    return CARILLON_OK;
}

int carillon_task_succeed(carillon_task *t, const char *output)
{
    enum err e = worker_outcome(t->task, true, str_of(output), STR_NONE, STR_NONE);
    return e == ERR_OK ? task_end(t) : (int)e;
}

int carillon_task_fail(carillon_task *t, const char *error_name, const char *cause)
{
    enum err e = worker_outcome(t->task, false, STR_NONE, str_of(error_name), str_of(cause));
    return e == ERR_OK ? task_end(t) : (int)e;
}

int carillon_task_give_back(carillon_task *t)
{
    t->given_back = true;
    return task_end(t);
}

const char *carillon_task_input(const carillon_task *t)
{
    return t->task->task.input.p;
}

const char *carillon_task_queue(const carillon_task *t)
{
    return t->task->task.queue.p;
}

const char *carillon_task_workflow(const carillon_task *t)
{
    return t->task->task.workflow.p;
}

const char *carillon_task_name(const carillon_task *t)
{
    return t->task->task.name.p;
}

const char *carillon_task_execution(const carillon_task *t)
{
    return t->task->task.execution.p;
}

const char *carillon_task_state(const carillon_task *t)
{
    return t->task->task.state.p;
}

uint32_t carillon_task_attempt(const carillon_task *t)
{
    return t->task->task.attempt;
}

int64_t carillon_task_timeout_at_ms(const carillon_task *t)
{
    return t->task->task.timeout_at_ms;
}

const char *carillon_task_token(const carillon_task *t)
{
    return t->token;
}

bool carillon_task_is_cancelled(const carillon_task *t)
{
    return atomic_load(&t->cancelled);
}

/* ---- the worker ---- */

static void worker_release(struct carillon_worker *w)
{
    for (uint32_t i = 0; w->queues != NULL && i < w->config.queues_len; i++) {
        free((void *)(uintptr_t)w->queues[i].p);
    }
    free(w->queues);
    free(w->name);
    free(w->threads);
    cond_fini(&w->work);
    cond_fini(&w->changed);
    mutex_fini(&w->mutex);
    free(w);
}

static bool options_copy(struct carillon_worker *w, const carillon_worker_options *o)
{
    bool whole = true;
    w->name = client_strdup(o->name != NULL ? o->name : w->client->name);
    w->queues = calloc(o->queues_len, sizeof(*w->queues));
    w->threads = o->threads > 0 ? calloc(o->threads, sizeof(*w->threads)) : NULL;
    if (w->name == NULL || w->queues == NULL || (o->threads > 0 && w->threads == NULL)) {
        return false;
    }
    for (size_t i = 0; i < o->queues_len; i++) {
        w->queues[i] = str_of(client_strdup(o->queues[i]));
        whole = whole && w->queues[i].p != NULL;
    }
    w->config.queues_len = (uint32_t)o->queues_len;
    return whole;
}

static int options_check(const carillon_worker_options *o, carillon_error *error)
{
    enum { THREADS_MAX = 256 };
    if (o == NULL || o->handler == NULL || o->queues == NULL || o->queues_len == 0 ||
        o->queues_len > MSG_QUEUES_MAX) {
        return client_error(error, CARILLON_INVALID, "a handler and 1 to %d queues: needed",
                            MSG_QUEUES_MAX);
    }
    for (size_t i = 0; i < o->queues_len; i++) {
        if (o->queues[i] == NULL || !str_is_name(str_of(o->queues[i]))) {
            return client_error(error, CARILLON_INVALID,
                                "queue %zu: wanted 1 to %d of letters, digits and ._:-", i + 1,
                                NAME_SIZE_MAX);
        }
    }
    if (o->concurrency > POLL_TASKS_MAX || o->threads > THREADS_MAX) {
        return client_error(error, CARILLON_INVALID, "concurrency at most %d, threads at most %d",
                            POLL_TASKS_MAX, THREADS_MAX);
    }
    return CARILLON_OK;
}

int carillon_worker_new(carillon_client *client, const carillon_worker_options *o,
                        carillon_worker **out, carillon_error *error)
{
    int code = options_check(o, error);
    if (code != CARILLON_OK) {
        return code;
    }
    struct carillon_worker *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return client_error(error, CARILLON_LIMIT, "out of memory");
    }
    w->client = client;
    mutex_init(&w->mutex);
    cond_init(&w->work);
    cond_init(&w->changed);
    mutex_lock(&w->mutex);
    w->ready_last = &w->ready;
    w->ended_last = &w->ended;
    mutex_unlock(&w->mutex);
    if (!options_copy(w, o)) {
        worker_release(w);
        return client_error(error, CARILLON_LIMIT, "out of memory");
    }
    w->fn = o->handler;
    w->arg = o->arg;
    w->threads_len = o->threads;
    w->handler =
        (struct worker_handler){.task = on_task, .cancelled = on_cancelled, .drained = on_drained};
    w->intake = (struct loop_task){.run = intake_run, .name = "worker"};
    w->config.queues = w->queues;
    w->config.concurrency = o->concurrency > 0 ? o->concurrency : 1;
    w->config.handler = &w->handler;
    w->config.session = (struct session_config){
        .transport = transport_nng(),
        .loop = client->loop,
        .addresses = str_of(client->addresses),
        .name = str_of(w->name),
        .tenant = str_of(client->tenant),
        .instance = os_random_u64(),
        .seed = os_random_u64(),
    };
    *out = w;
    return CARILLON_OK;
}

struct starting {
    struct carillon_worker *w;
    enum err err;
    struct err_detail detail;
};

static void start_on_loop(void *arg)
{
    struct starting *s = arg;
    s->err = worker_new(&s->w->config, &s->w->worker, &s->detail);
}

int carillon_worker_start(carillon_worker *w, carillon_error *error)
{
    struct starting s = {.w = w};
    if (w->worker != NULL) {
        return client_error(error, CARILLON_INVALID, "the worker has been started");
    }
    client_on_loop(w->client, start_on_loop, &s);
    if (s.err != ERR_OK) {
        return client_error_of(error, s.err, &s.detail);
    }
    for (uint32_t i = 0; i < w->threads_len; i++) {
        thread_start(&w->threads[i], "carillon-work", handler_thread, w);
        w->threads_started = i + 1;
    }
    return CARILLON_OK;
}

int carillon_worker_run(carillon_worker *w, carillon_error *error)
{
    int code = carillon_worker_start(w, error);
    if (code != CARILLON_OK) {
        return code;
    }
    mutex_lock(&w->mutex);
    while (!w->drained) {
        cond_wait(&w->changed, &w->mutex);
    }
    mutex_unlock(&w->mutex);
    return CARILLON_OK;
}

static void drain_on_loop(void *arg)
{
    struct carillon_worker *w = arg;
    worker_drain(w->worker);
}

int carillon_worker_stop(carillon_worker *w, int64_t timeout_ms, carillon_error *error)
{
    if (w->worker == NULL) {
        return CARILLON_OK;
    }
    mutex_lock(&w->mutex);
    bool first = !w->stopping;
    w->stopping = true;
    mutex_unlock(&w->mutex);
    if (first) {
        client_on_loop(w->client, drain_on_loop, w);
    }
    struct clock *clock = os_clock();
    int64_t until = client_until_us(timeout_ms);
    mutex_lock(&w->mutex);
    while (!w->drained && timeout_ms != 0) {
        int64_t left = timeout_ms < 0 ? US_PER_S : until - clock_mono(clock).us;
        if (left <= 0) {
            break;
        }
        (void)cond_wait_us(&w->changed, &w->mutex, left);
    }
    bool drained = w->drained;
    mutex_unlock(&w->mutex);
    return drained ? CARILLON_OK
                   : client_error(error, CARILLON_TIMEOUT, "tasks are still being worked on");
}

static void forget_on_loop(void *arg)
{
    struct carillon_worker *w = arg;
    w->forgotten = true;
    worker_free(w->worker);
}

/* Two turns of the loop: behind this, a posted intake has run. */
static void nothing_on_loop(void *arg)
{
    (void)arg;
}

void carillon_worker_free(carillon_worker *w)
{
    if (w == NULL) {
        return;
    }
    mutex_lock(&w->mutex);
    w->quit = true;
    cond_broadcast(&w->work);
    mutex_unlock(&w->mutex);
    for (uint32_t i = 0; i < w->threads_started; i++) {
        thread_join(&w->threads[i]);
    }
    if (w->worker != NULL) {
        client_on_loop(w->client, nothing_on_loop, NULL); /* outcomes on their way are taken */
        client_on_loop(w->client, forget_on_loop, w);
        client_on_loop(w->client, nothing_on_loop, NULL);
    }
    mutex_lock(&w->mutex);
    struct carillon_task *t = w->ready; /* arrived and never begun */
    w->ready = NULL;
    mutex_unlock(&w->mutex);
    while (t != NULL) {
        struct carillon_task *next = t->next;
        free(t);
        t = next;
    }
    worker_release(w);
}
