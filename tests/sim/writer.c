/* A second writer of executions: what another node may do at any moment that owns none of the lanes. It
 * reads an execution as it is stored, folds one fact, and commits the turn at one instant; the owner hears of it
 * by the lane's inbox only. */
#include "base/prelude.h"

#include "tests/sim/writer.h"

#include "base/assert.h"
#include "engine/core/core.h"
#include "tests/sim/sim_store_rows.h"

struct writer {
    struct sim_store *s;
    struct arena arena;
    struct rng *rng;
    struct exec_row row;
    struct def *def;
    struct exec *x;
};

static bool read_rows(struct writer *w, const struct exec_id *id)
{
    struct store_load load = {.req = {.op = STORE_LOAD, .arena = &w->arena},
                              .ids = id,
                              .ids_len = 1};
    sim_store_now(w->s, &load.req);
    if (load.req.err != ERR_OK || !load.rows->found || load.rows->status != STATUS_OPEN) {
        return false;
    }
    w->row = *load.rows;
    struct store_def_get get = {.req = {.op = STORE_DEF_GET, .arena = &w->arena},
                                .revision = w->row.revision};
    sim_store_now(w->s, &get.req);
    struct def_problems problems;
    def_problems_init(&problems);
    bool good =
        get.req.err == ERR_OK && def_parse(get.row.text, DEF_AUTO, &w->def, &problems) == ERR_OK;
    def_problems_fini(&problems);
    return good;
}

static bool state_read(struct writer *w, const struct exec_id *id)
{
    if (!read_rows(w, id)) {
        return false;
    }
    struct exec_ident ident = {.id = *id,
                               .workflow = w->row.workflow,
                               .name = w->row.name,
                               .started_at = w->row.started_at,
                               .def_revision = w->row.revision};
    enum err e = ERR_OK;
    if (w->row.snapshot_seq > 0) {
        e = exec_restore(&ident, w->def, w->row.snapshot, &w->x, NULL);
    } else {
        w->x = exec_new(&ident, w->def);
    }
    for (uint32_t i = 0; e == ERR_OK && i < w->row.rows_len; i++) {
        const struct history_row *h = &w->row.rows[i];
        e = exec_apply_row(w->x, h->seq, h->at, h->body, NULL, NULL);
    }
    return e == ERR_OK && !exec_can_run(w->x);
}

/* A deadline that is due, or the first open task. */
static bool fact_choose(struct writer *w, writer_answer *answer, void *arg, struct fact *fact)
{
    struct core_timer timer;
    struct core_task task;
    if (exec_open_timers(w->x, &timer, 1) > 0 && timer.due.us <= world_wall(w->s->world).us) {
        *fact = (struct fact){.type = FACT_TIMER, .timer_seq = timer.seq, .timer_idx = timer.idx};
        return true;
    }
    if (exec_open_tasks(w->x, &task, 1) == 0) {
        return false;
    }
    *fact = (struct fact){.type = FACT_TASK_SUCCEEDED, .token = task.token, .worker = STR("other")};
    return task.kind == TASK_QUEUE &&
           answer(arg, &w->arena, &w->row, def_state_path(w->def, task.state), fact);
}

static int64_t window_of(struct writer *w, struct wall due)
{
    struct meta_rec m;
    struct lane_rec lane;
    uint16_t number = 0;
    sim_meta_get(w->s, &m);
    if (m.window_us == 0 || !sim_lane_of_slot(w->s, exec_id_slot(&w->row.exec), &number) ||
        !sim_lane_get(w->s, number, &lane, NULL)) {
        return TIMER_LONG_TERM;
    }
    int64_t window = MAX(due.us / m.window_us, lane.accept_from);
    return window > lane.open_to ? TIMER_LONG_TERM : window;
}

static struct timer_row *timer_rows(struct writer *w, const struct core_timer *t, uint32_t len)
{
    struct timer_row *rows = ARENA_ARRAY(&w->arena, struct timer_row, len + 1);
    for (uint32_t i = 0; i < len; i++) {
        rows[i] = (struct timer_row){.exec = w->row.exec,
                                     .seq = t[i].seq,
                                     .idx = t[i].idx,
                                     .due = t[i].due,
                                     .window = window_of(w, t[i].due)};
    }
    return rows;
}

static bool turn_commit(struct writer *w, const struct turn_out *out)
{
    struct task_row *tasks = ARENA_ARRAY(&w->arena, struct task_row, out->tasks_new_len + 1);
    struct task_token *done = ARENA_ARRAY(&w->arena, struct task_token, out->tasks_done_len + 1);
    for (uint32_t i = 0; i < out->tasks_new_len; i++) {
        tasks[i] = (struct task_row){.token = out->tasks_new[i].token,
                                     .queue = out->tasks_new[i].queue,
                                     .timeout_at = out->tasks_new[i].timeout_at,
                                     .heartbeat_us = out->tasks_new[i].heartbeat_us};
    }
    for (uint32_t i = 0; i < out->tasks_done_len; i++) {
        done[i].ref = (struct task_ref){.exec = w->row.exec,
                                        .seq = out->tasks_done[i].seq,
                                        .idx = out->tasks_done[i].idx};
    }
    struct turn_row row = {.exec = w->row.exec,
                           .seq_prev = w->row.seq,
                           .turn_prev = w->row.turn,
                           .seq = out->seq,
                           .turn = rng_u64(w->rng) >> 1 | 1,
                           .status = (uint8_t)out->status,
                           .first_event = out->first_event,
                           .event_count = out->event_count,
                           .body = out->body,
                           .outcomes = out->outcomes,
                           .due_max = out->due_max,
                           .tasks_new = tasks,
                           .tasks_new_len = out->tasks_new_len,
                           .tasks_done = done,
                           .tasks_done_len = out->tasks_done_len,
                           .timers_new = timer_rows(w, out->timers_new, out->timers_new_len),
                           .timers_new_len = out->timers_new_len,
                           .timers_done = timer_rows(w, out->timers_done, out->timers_done_len),
                           .timers_done_len = out->timers_done_len};
    struct turn_row *rows[] = {&row};
    struct store_commit commit = {.req = {.op = STORE_COMMIT, .arena = &w->arena},
                                  .shard = w->s->shard,
                                  .turns = rows,
                                  .turns_len = 1};
    sim_store_now(w->s, &commit.req);
    return commit.req.err == ERR_OK && row.result == TURN_OK;
}

bool writer_acts(struct sim_store *s, struct rng *rng, const struct exec_id *id,
                 writer_answer *answer, void *arg)
{
    struct writer w = {.s = s, .rng = rng};
    struct fact fact;
    const struct turn_out *out;
    bool done = false;
    arena_init(&w.arena, 0);
    if (state_read(&w, id) && fact_choose(&w, answer, arg, &fact)) {
        struct turn *turn = turn_new();
        turn_begin(turn, w.x, world_wall(s->world), rng);
        /* One that yields leaves more behind than this writer knows of. */
        done = turn_fact(turn, &fact, NULL) == FACT_ACCEPTED && turn_end(turn, &out) &&
               !out->yielded && turn_commit(&w, out);
        turn_free(turn);
    }
    exec_free(w.x);
    def_unref(w.def);
    arena_fini(&w.arena);
    return done;
}
