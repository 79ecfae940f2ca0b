/* The end of a seed: every execution in the tables is folded from its history and shown to the checkers. */
#include "base/prelude.h"

#include "tests/sim/run.h"
#include "tests/sim/sim_store_rows.h"

#include "base/assert.h"
#include "engine/core/core.h"

enum { DEFS_MAX = 64, HISTORY_SEQ_AT = 17 };

struct reader {
    struct run *r;
    struct kv *kv;
    struct def *defs[DEFS_MAX]; /* by revision */
    struct {
        struct exec_id child;
        struct task_token parent;
    } * kin;
    uint32_t kin_len;
};

static struct def *def_of(struct reader *rd, uint64_t revision)
{
    struct sim_key k;
    struct def_rec rec;
    struct def_problems problems;
    if (revision >= DEFS_MAX) {
        return NULL;
    }
    if (rd->defs[revision] != NULL) {
        return rd->defs[revision];
    }
    key_begin(&k, TABLE_DEF);
    key_u64(&k, revision);
    struct kv_node *n = kv_get(rd->kv, key_str(&k));
    if (n == NULL) {
        return NULL;
    }
    memcpy(&rec, kv_value(n).p, sizeof(rec));
    struct str text = row_text(kv_value(n), sizeof(rec),
                               (size_t)rec.workflow_size + rec.digest_size, rec.text_size);
    def_problems_init(&problems);
    if (def_parse(text, DEF_AUTO, &rd->defs[revision], &problems) != ERR_OK) {
        rd->defs[revision] = NULL;
    }
    def_problems_fini(&problems);
    return rd->defs[revision];
}

/* Applies the history rows with seq > from; counts all rows and numbers their events. */
static bool fold_rows(struct reader *rd, struct exec *x, const struct exec_id *id, uint64_t from,
                      struct check_row *row)
{
    struct sim_key k;
    struct err_detail d = {0};
    bool whole = true;
    key_begin(&k, TABLE_HISTORY);
    key_bytes(&k, id->b, sizeof(id->b));
    row->history_rows = 0;
    row->events = 0;
    for (struct kv_node *n = kv_seek(rd->kv, key_str(&k));
         n != NULL && kv_key(n).size > k.size && memcmp(kv_key(n).p, k.b, k.size) == 0;
         n = kv_next(n)) {
        struct history_rec rec;
        uint64_t seq = key_get_u64(kv_key(n), HISTORY_SEQ_AT);
        memcpy(&rec, kv_value(n).p, sizeof(rec));
        row->history_rows++;
        whole = whole && rec.first_event == row->events + 1;
        row->events += rec.event_count;
        struct str body = row_text(kv_value(n), sizeof(rec), 0, rec.body_size);
        if (seq > from && exec_apply_row(x, seq, (struct wall){rec.at}, body, NULL, &d) != ERR_OK) {
            world_say(rd->r->world, "fold: %s", d.text);
            return false;
        }
    }
    if (!whole) {
        row->events = 0;
    }
    return true;
}

/* A child: whose it is, and how it has ended. Stopped is one whose parent waits no more. */
static void child_check(struct reader *rd, const struct check_row *row, struct exec *x,
                        struct order *o)
{
    struct task_token parent;
    bool waits;
    char expected[160];
    if (!exec_parent(x, &parent, &waits) || !waits) {
        run_violation(rd->r, 16, "%s: a child that nobody has started", o->name);
        return;
    }
    rd->kin = mem_realloc(rd->kin, sizeof(rd->kin[0]) * (rd->kin_len + 1));
    rd->kin[rd->kin_len].child = row->exec;
    rd->kin[rd->kin_len++].parent = parent;
    o->children++;
    o->children_ok += row->status == EXEC_SUCCEEDED;
    if (row->status == EXEC_SUCCEEDED) {
        order_payload(o, 1, expected, sizeof(expected));
        check_payload(rd->r->checkers, "output of a child", exec_output(x), str_of(expected));
    } else if (row->status == EXEC_FAILED &&
               (!order_child_fails(o) || !str_eqc(exec_error(x), "Broken"))) {
        run_violation(rd->r, 26, "a child of %s failed with %.*s", o->name, STR_ARG(exec_error(x)));
    }
}

/* An order that has succeeded had all its children, and each of them has. */
static void families_check(struct run *r)
{
    for (uint32_t i = 0; i < r->orders_len; i++) {
        const struct order *o = &r->orders[i];
        uint32_t want = order_children(o);
        if (o->children > want ||
            (o->succeeded && (o->children != want || o->children_ok != want))) {
            run_violation(r, 15, "%s: %" PRIu32 " children, %" PRIu32 " succeeded, of %" PRIu32,
                          o->name, o->children, o->children_ok, want);
        }
    }
}

static void output_check(struct reader *rd, const struct check_row *row, struct exec *x)
{
    struct order *o = order_find(rd->r, row->workflow, row->name, exec_input(x));
    uint32_t steps;
    const char *error;
    char expected[160];
    if (o == NULL) {
        run_violation(rd->r, 16, "an execution of an unknown order");
        return;
    }
    order_payload(o, 0, expected, sizeof(expected));
    check_payload(rd->r->checkers, "input in the history", exec_input(x), str_of(expected));
    if (str_eqc(row->workflow, "kid")) {
        child_check(rd, row, x, o);
        return;
    }
    unsigned end = order_end(o, &steps, &error);
    o->succeeded = row->status == EXEC_SUCCEEDED;
    if (row->status == EXEC_RUNNING || (row->status == EXEC_ABORTED && o->stop_sent) ||
        order_excused(rd->r, o, exec_error(x))) {
        return;
    }
    if (row->status != end) {
        run_violation(rd->r, 26, "%s (%s) ended as %s: %.*s", o->name, workflow_name(o->workflow),
                      exec_status_name((enum exec_status)row->status), STR_ARG(exec_error(x)));
    } else if (error == NULL) {
        order_payload(o, steps, expected, sizeof(expected));
        check_payload(rd->r->checkers, "output in the history", exec_output(x), str_of(expected));
    } else if (!str_eqc(exec_error(x), error)) {
        run_violation(rd->r, 26, "%s failed with %.*s", o->name, STR_ARG(exec_error(x)));
    }
}

static void row_fold(struct reader *rd, const struct exec_rec *rec, struct str snapshot,
                     struct check_row *row)
{
    struct def *def = def_of(rd, rec->revision);
    struct exec_ident ident = {
        .id = row->exec,
        .tenant = STR("default"),
        .workflow = row->workflow,
        .name = row->name,
        .started_at = {rec->started_at},
        .def_revision = rec->revision,
    };
    if (def == NULL) {
        return;
    }
    struct exec *x = exec_new(&ident, def);
    row->folded = fold_rows(rd, x, &row->exec, 0, row);
    if (row->folded) {
        row->folded_status = exec_status(x);
        row->folded_events = exec_event_count(x);
        row->folded_seq = exec_seq(x);
        row->digest = row->digest_snapshot = exec_digest(x);
        output_check(rd, row, x);
    }
    exec_free(x);
    if (row->folded && rec->snapshot_seq > 0) {
        struct err_detail d = {0};
        row->folded = exec_restore(&ident, def, snapshot, &x, &d) == ERR_OK;
        if (row->folded) {
            row->folded = fold_rows(rd, x, &row->exec, rec->snapshot_seq, row);
            row->digest_snapshot = exec_digest(x);
            exec_free(x);
        }
    }
}

static unsigned rows_count(struct reader *rd, enum sim_table t, const struct exec_id *id)
{
    struct sim_key k;
    unsigned count = 0;
    key_begin(&k, t);
    key_bytes(&k, id->b, sizeof(id->b));
    for (struct kv_node *n = kv_seek(rd->kv, key_str(&k));
         n != NULL && kv_key(n).size > k.size && memcmp(kv_key(n).p, k.b, k.size) == 0;
         n = kv_next(n)) {
        count++;
    }
    return count;
}

/* Timers are keyed by lane and due time: few are left at the end, so they are looked through. */
static unsigned timers_count(struct reader *rd, const struct exec_id *id)
{
    enum { EXEC_AT = 11 };
    struct sim_key k;
    unsigned count = 0;
    key_begin(&k, TABLE_TIMER);
    for (struct kv_node *n = kv_seek(rd->kv, key_str(&k));
         n != NULL && kv_key(n).p[0] == TABLE_TIMER; n = kv_next(n)) {
        count += memcmp(kv_key(n).p + EXEC_AT, id->b, sizeof(id->b)) == 0;
    }
    return count;
}

void tables_check(struct run *r)
{
    struct reader rd = {.r = r, .kv = r->store->kv};
    struct sim_key k;
    key_begin(&k, TABLE_EXEC);
    for (struct kv_node *n = kv_seek(rd.kv, key_str(&k)); n != NULL && kv_key(n).p[0] == TABLE_EXEC;
         n = kv_next(n)) {
        struct exec_rec rec;
        struct str value = kv_value(n);
        struct check_row row = {0};
        memcpy(&rec, value.p, sizeof(rec));
        memcpy(row.exec.b, kv_key(n).p + 1, sizeof(row.exec.b));
        row.tenant = rec.tenant;
        row.workflow = row_text(value, sizeof(rec), 0, rec.workflow_size);
        row.name = row_text(value, sizeof(rec), rec.workflow_size, rec.name_size);
        row.seq = rec.seq;
        row.turn = rec.turn;
        row.status = rec.status;
        row.open_tasks = rows_count(&rd, TABLE_TASK, &row.exec);
        row.open_timers = timers_count(&rd, &row.exec);
        row.messages = rows_count(&rd, TABLE_MESSAGE, &row.exec);
        row_fold(&rd, &rec,
                 row_text(value, sizeof(rec), (size_t)rec.workflow_size + rec.name_size,
                          rec.snapshot_size),
                 &row);
        check_row(r->checkers, &row);
    }
    /* Now that all of them are known. */
    for (uint32_t i = 0; i < rd.kin_len; i++) {
        check_child(r->checkers, &rd.kin[i].child, &rd.kin[i].parent);
    }
    mem_free(rd.kin);
    families_check(r);
    for (uint32_t i = 0; i < DEFS_MAX; i++) {
        def_unref(rd.defs[i]);
    }
}

bool tables_messages(const struct run *r)
{
    struct sim_key k;
    key_begin(&k, TABLE_MESSAGE);
    struct kv_node *n = kv_seek(r->store->kv, key_str(&k));
    return n != NULL && kv_key(n).p[0] == TABLE_MESSAGE;
}
