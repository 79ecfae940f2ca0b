/* Lists and histories, straight from the store. See front.h. */
#include "base/prelude.h"

#include "engine/engine_internal.h"

LOG_MODULE("read_api");

static uint32_t limit_of(uint32_t asked)
{
    return asked == 0 ? 100 : MIN(asked, (uint32_t)MSG_ROWS_MAX);
}

/* ---- executions ---- */

struct list_call {
    struct call *call;
    struct store_list req;
};

/* "microseconds.execution id" of the last row. */
static enum err cursor_parse(struct str s, struct wall *at, struct exec_id *id)
{
    const char *dot = s.size == 0 ? NULL : memchr(s.p, '.', s.size);
    if (dot == NULL) {
        return ERR_INVALID;
    }
    size_t n = (size_t)(dot - s.p);
    enum err e = str_to_i64((struct str){s.p, n}, &at->us);
    return e != ERR_OK ? e : exec_id_parse(str_sub(s, n + 1, s.size), id);
}

static struct str cursor_format(struct arena *a, const struct exec_row *row)
{
    char id[EXEC_ID_TEXT + 1];
    exec_id_format(&row->exec, id);
    return str_of(arena_printf(a, "%" PRId64 ".%s", row->started_at.us, id));
}

static void list_done(struct store_req *r)
{
    struct list_call *l =
        CONTAINER_OF(CONTAINER_OF(r, struct store_list, req), struct list_call, req);
    struct call *c = l->call;
    struct arena *a = call_arena(c);
    if (r->err != ERR_OK) {
        call_error(c, r->err, "%s", r->detail.text);
        return;
    }
    uint32_t n = l->req.rows_len;
    struct msg_list_row *rows = ARENA_ARRAY(a, struct msg_list_row, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct exec_row *row = &l->req.rows[i];
        char *id = arena_alloc(a, EXEC_ID_TEXT + 1);
        exec_id_format(&row->exec, id);
        rows[i] = (struct msg_list_row){.execution = {id, EXEC_ID_TEXT},
                                        .workflow = row->workflow,
                                        .name = row->name,
                                        .status = row->status,
                                        .started_at_ms = row->started_at.us / US_PER_MS,
                                        .closed_at_ms = row->closed_at.us / US_PER_MS};
    }
    struct msg m = {.type = MSG_LIST_OK};
    m.u.list_ok.rows = rows;
    m.u.list_ok.rows_len = n;
    if (n == l->req.limit) {
        m.u.list_ok.cursor = cursor_format(a, &l->req.rows[n - 1]);
    }
    call_answer(c, &m);
}

void api_list(struct call *c)
{
    const struct msg_list *in = &c->msg.u.list;
    struct list_call *l = CALL_NEW(c, struct list_call);
    if (l == NULL) {
        return;
    }
    l->call = c;
    l->req = (struct store_list){.req = {.op = STORE_LIST,
                                         .loop = c->frame->front->loop,
                                         .done = list_done,
                                         .arena = call_arena(c)},
                                 .tenant = c->frame->conn->tenant,
                                 .workflow = in->workflow.size > 0 ? in->workflow : STR_NONE,
                                 .status = (uint8_t)in->status,
                                 .limit = limit_of(in->limit)};
    if (in->cursor.size > 0 &&
        cursor_parse(in->cursor, &l->req.before, &l->req.before_exec) != ERR_OK) {
        call_error(c, ERR_INVALID, "cursor was not made by this service");
        return;
    }
    store_submit(c->frame->front->store, &l->req.req);
}

/* ---- history ----
 *
 * Events are made by folding rows. The fold begins at the last mark before the page (marks.h), else at the
 * first row, and goes on in slices until the page is there; on its way it leaves marks. */

enum {
    HISTORY_BYTES_MAX = 4 << 20, /* of one answer; more goes to the next page */
    HISTORIES_MAX = 4,           /* read at a time: each may hold its answer and a page of rows */
    ROWS_FIRST = 64,             /* asked for at first; then as many as make about ROWS_BYTES */
    ROWS_MAX = 1000,
    ROWS_BYTES = 1 << 20,
    SLICE_EVENTS = 4096, /* folded before the loop has its turn */
};

struct history {
    struct call *call;
    struct front *front;
    struct list link; /* front.histories: waits */
    struct history_sink sink;
    struct store_load load; /* who it is */
    struct store_history req;
    struct exec_id id;
    struct defs_wait wait;
    struct def *def;
    struct exec *x;
    uint64_t mark_seq, mark_row; /* where the fold began: its row is looked at again; 0: it was */
    struct arena page;           /* of the rows */
    uint32_t at;                 /* row of the page to be folded next */
    uint32_t rows_max;           /* of the next page */
    struct loop_task slice;
    uint64_t from, to;  /* events kept: from <= id < to */
    struct str *events; /* owned, and each text */
    uint32_t len;
    uint32_t first; /* those before it were let go: backwards, the newest are kept */
    size_t bytes;
    bool cut; /* forwards: the answer is full */
};

static void history_load(struct history *h);

static void history_end(struct history *h)
{
    struct front *f = h->front;
    for (uint32_t i = 0; i < h->len; i++) {
        mem_free((void *)(uintptr_t)h->events[i].p);
    }
    mem_free(h->events);
    exec_free(h->x);
    def_unref(h->def);
    metric_max(&metric_arena_history, (int64_t)h->page.used);
    arena_fini(&h->page);
    f->histories_open--;
    struct list *next = list_pop_front(&f->histories);
    if (next != NULL) {
        history_load(LIST_ENTRY(next, struct history, link));
    }
}

static void history_failed(struct history *h, enum err e, const char *detail)
{
    struct call *c = h->call;
    history_end(h);
    bool damaged = e == ERR_DAMAGED;
    call_error(c, e, "%s%s%s", damaged ? err_text(e) : "", damaged ? ": " : "", detail);
}

static void history_event(struct history_sink *sink, const struct history_event *e)
{
    struct history *h = CONTAINER_OF(sink, struct history, sink);
    bool reverse = h->call->msg.u.history.reverse;
    if (e->id < h->from || e->id >= h->to || h->cut) {
        return;
    }
    if (!reverse && h->bytes > HISTORY_BYTES_MAX) {
        h->cut = true; /* and this one is the first of the next page */
        return;
    }
    struct buf b;
    buf_init(&b, 0);
    history_write(&b, e);
    char *text = mem_alloc(b.size + 1);
    memcpy(text, b.p, b.size);
    h->events[h->len++] = (struct str){text, b.size};
    h->bytes += b.size;
    buf_fini(&b);
    while (reverse && h->bytes > HISTORY_BYTES_MAX && h->len - h->first > 1) {
        struct str *oldest = &h->events[h->first++];
        h->bytes -= oldest->size;
        mem_free((void *)(uintptr_t)oldest->p);
        *oldest = STR_NONE;
    }
}

static void history_answer(struct history *h)
{
    struct call *c = h->call;
    const struct msg_history *in = &c->msg.u.history;
    uint32_t total = exec_event_count(h->x);
    struct msg m = {.type = MSG_HISTORY_OK};
    if (in->reverse) {
        uint32_t lo = h->first, hi = h->len;
        while (lo + 1 < hi) {
            struct str t = h->events[lo];
            h->events[lo++] = h->events[--hi];
            h->events[hi] = t;
        }
        uint64_t oldest = h->from + h->first;
        m.u.history_ok.last = oldest > 1 && h->len > 0 ? (uint32_t)oldest : 0;
    } else {
        uint64_t last = h->from + h->len - 1;
        m.u.history_ok.last = h->len > 0 && last < total ? (uint32_t)last : 0;
    }
    m.u.history_ok.events = h->events + h->first;
    m.u.history_ok.events_len = h->len - h->first;
    struct history own = *h; /* it lies in the frame, which the answer frees */
    call_answer(c, &m);
    history_end(&own);
}

static void history_next(struct history *h);

static uint64_t row_digest(const struct history_row *row)
{
    return hash_bytes(row->body.p, row->body.size) ^ hash_u64((uint64_t)row->at.us);
}

/* The state behind this row is kept, if the next page may want to begin there. */
static void history_mark(struct history *h, const struct history_row *row)
{
    struct marks *marks = h->front->marks;
    uint32_t events = exec_event_count(h->x);
    if (exec_status(h->x) != EXEC_RUNNING || !marks_wanted(marks, &h->id, events)) {
        return;
    }
    struct buf b;
    buf_init(&b, 0);
    exec_snapshot(h->x, &b);
    marks_add(marks, &h->id,
              &(struct mark){.seq = row->seq,
                             .row = row_digest(row),
                             .events = events,
                             .snapshot = buf_str(&b)});
    buf_fini(&b);
}

/* The event after the page is known, or that the answer is full. */
static bool history_done(const struct history *h)
{
    return exec_event_count(h->x) >= h->to || h->cut;
}

/* Folds a slice of the rows that are here. */
static void history_fold(struct history *h)
{
    struct err_detail d = {0};
    uint32_t events = 0;
    while (h->at < h->req.rows_len && !history_done(h)) {
        if (events >= SLICE_EVENTS) {
            loop_post(h->front->loop, &h->slice);
            return;
        }
        const struct history_row *row = &h->req.rows[h->at++];
        bool wanted = row->first_event < h->to && row->first_event + row->event_count > h->from;
        enum err e =
            exec_apply_row(h->x, row->seq, row->at, row->body, wanted ? &h->sink : NULL, &d);
        if (e != ERR_OK) {
            history_failed(h, ERR_DAMAGED, d.text);
            return;
        }
        events += row->event_count;
        metric_add(&metric_history_events, row->event_count);
        history_mark(h, row);
    }
    if (h->req.rows_len < h->req.limit || history_done(h)) {
        history_answer(h);
    } else {
        history_next(h);
    }
}

static void history_slice(struct loop_task *t)
{
    history_fold(CONTAINER_OF(t, struct history, slice));
}

/* From the first row: there is no mark, or its row is not there any more (the store has failed over). */
static void history_restart(struct history *h)
{
    const struct exec_row *x = h->load.rows;
    exec_free(h->x);
    h->mark_seq = 0;
    h->x = exec_new(&(struct exec_ident){.id = x->exec,
                                         .workflow = x->workflow,
                                         .name = x->name,
                                         .started_at = x->started_at,
                                         .def_revision = x->revision},
                    h->def);
    history_next(h);
}

static void history_rows(struct store_req *r)
{
    struct history *h =
        CONTAINER_OF(CONTAINER_OF(r, struct store_history, req), struct history, req);
    if (r->err != ERR_OK) {
        history_failed(h, r->err, r->detail.text);
        return;
    }
    size_t bytes = 1;
    for (uint32_t i = 0; i < h->req.rows_len; i++) {
        bytes += h->req.rows[i].body.size;
    }
    size_t fit = (size_t)h->req.rows_len * ROWS_BYTES / bytes;
    h->rows_max = (uint32_t)MIN(MAX(fit, (size_t)1), (size_t)ROWS_MAX);
    h->at = 0;
    if (h->mark_seq != 0) {
        const struct history_row *row = h->req.rows;
        if (h->req.rows_len == 0 || row->seq != h->mark_seq || row_digest(row) != h->mark_row) {
            marks_forget(h->front->marks, &h->id);
            history_restart(h);
            return;
        }
        h->mark_seq = 0;
        h->at = 1; /* it is in the state already */
    }
    history_fold(h);
}

static void history_next(struct history *h)
{
    metric_max(&metric_arena_history, (int64_t)h->page.used);
    arena_reset(&h->page, 1u << 20);
    h->req = (struct store_history){.req = {.op = STORE_HISTORY,
                                            .loop = h->front->loop,
                                            .done = history_rows,
                                            .arena = &h->page},
                                    .exec = h->id,
                                    .from_seq = h->mark_seq != 0 ? h->mark_seq : exec_seq(h->x) + 1,
                                    .limit = h->rows_max};
    store_submit(h->front->store, &h->req.req);
}

static void history_defined(struct defs_wait *w, struct def *def, const struct definition_row *row,
                            enum err e)
{
    (void)row;
    struct history *h = CONTAINER_OF(w, struct history, wait);
    if (def == NULL && (e == ERR_NO_WORKFLOW || err_class(e) == ERRC_INVALID)) {
        char text[ERR_DETAIL_SIZE];
        (void)snprintf(text, sizeof(text), "revision %" PRIu64 " of its definition %s",
                       h->load.rows->revision,
                       e == ERR_NO_WORKFLOW ? "is not in the store" : "does not parse");
        history_failed(h, ERR_DAMAGED, text);
        return;
    }
    if (def == NULL) {
        history_failed(h, e, "");
        return;
    }
    const struct exec_row *x = h->load.rows;
    const struct mark *mark =
        marks_before(h->front->marks, &h->id, (uint32_t)MIN(h->from, (uint64_t)UINT32_MAX));
    struct exec_ident ident = {.id = x->exec,
                               .workflow = x->workflow,
                               .name = x->name,
                               .started_at = x->started_at,
                               .def_revision = x->revision};
    h->def = def_ref(def);
    if (mark != NULL && exec_restore(&ident, def, mark->snapshot, &h->x, NULL) == ERR_OK) {
        h->mark_seq = mark->seq;
        h->mark_row = mark->row;
        history_next(h);
    } else {
        history_restart(h);
    }
}

/* Which events a page holds; backwards it needs the count, which the newest row tells. */
static void history_window(struct history *h, uint32_t total)
{
    const struct msg_history *in = &h->call->msg.u.history;
    uint32_t limit = limit_of(in->limit);
    if (!in->reverse) {
        h->from = (uint64_t)in->after_event + 1;
        h->to = h->from + limit;
        return;
    }
    h->to = in->after_event == 0 ? (uint64_t)total + 1
                                 : MIN((uint64_t)in->after_event, (uint64_t)total + 1);
    h->from = h->to > limit ? h->to - limit : 1;
}

/* "rows": up to the newest one, when it is known. */
static void history_begin(struct history *h, const struct history_row *rows, uint32_t len)
{
    struct call *c = h->call;
    uint32_t total = len == 0 ? 0 : rows[len - 1].first_event + rows[len - 1].event_count - 1;
    history_window(h, total);
    h->events = MEM_ARRAY(struct str, limit_of(c->msg.u.history.limit) + 1);
    h->wait.done = history_defined;
    defs_get(h->front->defs, h->load.rows->revision, &h->wait);
}

/* The state is a snapshot without later rows: the newest row is asked for. */
static void history_newest(struct store_req *r)
{
    struct history *h =
        CONTAINER_OF(CONTAINER_OF(r, struct store_history, req), struct history, req);
    if (r->err != ERR_OK) {
        history_failed(h, r->err, r->detail.text);
        return;
    }
    history_begin(h, h->req.rows, h->req.rows_len);
}

static void history_loaded(struct store_req *r)
{
    struct history *h = CONTAINER_OF(CONTAINER_OF(r, struct store_load, req), struct history, load);
    struct call *c = h->call;
    if (r->err != ERR_OK || !h->load.rows->found) {
        history_failed(h, r->err != ERR_OK ? r->err : ERR_NO_EXECUTION, r->detail.text);
        return;
    }
    const struct exec_row *x = h->load.rows;
    if (x->rows_len > 0 || !c->msg.u.history.reverse) {
        history_begin(h, x->rows, x->rows_len);
        return;
    }
    h->req = (struct store_history){.req = {.op = STORE_HISTORY,
                                            .loop = h->front->loop,
                                            .done = history_newest,
                                            .arena = &h->page},
                                    .exec = h->id,
                                    .from_seq = x->seq,
                                    .limit = 1};
    store_submit(h->front->store, &h->req.req);
}

static void history_load(struct history *h)
{
    struct front *f = h->front;
    f->histories_open++;
    arena_init(&h->page, 0);
    h->load = (struct store_load){.req = {.op = STORE_LOAD,
                                          .loop = f->loop,
                                          .done = history_loaded,
                                          .arena = call_arena(h->call)},
                                  .ids = &h->id,
                                  .ids_len = 1};
    store_submit(f->store, &h->load.req);
}

void api_history(struct call *c)
{
    struct front *f = c->frame->front;
    const struct msg_history *in = &c->msg.u.history;
    struct history *h = CALL_NEW(c, struct history);
    if (h == NULL) {
        return;
    }
    h->call = c;
    h->front = f;
    h->sink.event = history_event;
    h->slice = (struct loop_task){.run = history_slice, .name = "history"};
    h->rows_max = ROWS_FIRST;
    if (exec_id_parse(in->execution, &h->id) != ERR_OK) {
        call_error(c, ERR_INVALID, "\"%.*s\" is not an execution id", STR_ARG(in->execution));
        return;
    }
    if (exec_id_tenant(&h->id) != c->frame->conn->tenant) {
        call_error(c, ERR_NO_EXECUTION, "%s", "");
        return;
    }
    if (f->histories_open == HISTORIES_MAX) {
        list_push_back(&f->histories, &h->link);
    } else {
        history_load(h);
    }
}
