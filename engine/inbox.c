/* Letters, on a turn loop: what executions tell each other, as inbox rows of the store. A turn writes those
 * it sends and deletes those it has folded, with everything else that it does (ADR 0014); what no turn
 * will fold is rubbish, and cleared away under the claim. See shard.h; the front's part is letters.c. */
#include "base/prelude.h"

#include "engine/shard_internal.h"

#include "engine/core/child.h"

LOG_MODULE("inbox");

/* ---- reading ---- */

bool item_letter(struct item *it, const struct inbox_row *row)
{
    struct arena *a = &it->arena;
    it->letter = str_dup(a, row->source);
    switch ((enum letter_kind)row->kind) {
    case LETTER_CHILD_ENDED: {
        struct str said = str_dup(a, row->payload);
        it->fact = (struct fact){.type = FACT_CHILD_ENDED,
                                 .payload = str_sub(said, TASK_TOKEN_SIZE, said.size),
                                 .worker = it->letter};
        return task_token_decode(str_sub(said, 0, TASK_TOKEN_SIZE), &it->fact.token) == ERR_OK;
    }
    case LETTER_STOP:
        it->fact = (struct fact){.type = FACT_STOP, .cause = str_dup(a, row->payload)};
        return true;
    }
    return false;
}

/* Any one, where no source is given. */
static struct item *letter_waiting(const struct entry *e, struct str source)
{
    LIST_FOREACH(l, &e->waiting)
    {
        struct item *it = LIST_ENTRY(l, struct item, link);
        if (it->letter.p != NULL && (source.p == NULL || str_eq(it->letter, source))) {
            return it;
        }
    }
    return NULL;
}

void letters_take(struct shard *s, struct entry *e, const struct exec_row *row)
{
    for (uint32_t i = 0; i < row->inbox_len; i++) {
        const struct inbox_row *r = &row->inbox[i];
        /* It came on the short way, too: perhaps before a failover, and says now what the row says. */
        struct item *it = letter_waiting(e, r->source);
        if (it == NULL) {
            it = MEM_NEW(struct item);
            item_init(it, ITEM_FACT, &e->id, NULL, NULL);
        }
        list_remove(&it->link);
        it->life = s->lives;
        it->sure = true;
        if (!item_letter(it, r)) {
            log_error("inbox row of an unknown kind", "kind=%u source=%.*s", r->kind,
                      STR_ARG(r->source));
            item_finish(s, it, ERR_STALE);
            continue;
        }
        list_push_back(&e->waiting, &it->link);
    }
    e->inbox_more = row->inbox_more;
}

bool letters_again(struct shard *s, struct entry *e)
{
    if (!e->inbox_more || letter_waiting(e, STR_NONE) != NULL) {
        return false;
    }
    e->inbox_more = false;
    e->arm = true;
    entry_load(s, e, true);
    return true;
}

/* ---- writing ---- */

static struct inbox_row end_letter(struct shard *s, struct arena *a, const struct entry *e,
                                   const struct task_token *parent)
{
    char id[EXEC_ID_TEXT + 1];
    uint8_t token[TASK_TOKEN_SIZE];
    exec_id_format(&e->id, id);
    task_token_encode(parent, token);
    buf_clear(&s->scratch);
    buf_put(&s->scratch, token, sizeof(token));
    exec_end_write(e->x, shard_now(s), &s->scratch);
    return (struct inbox_row){.exec = parent->ref.exec,
                              .source = str_dup(a, (struct str){id, EXEC_ID_TEXT}),
                              .kind = LETTER_CHILD_ENDED,
                              .payload = str_dup(a, buf_str(&s->scratch))};
}

void ctx_letters(struct shard *s, struct arena *a, struct turn_ctx *c, const struct turn_out *out)
{
    const struct entry *e = c->entry;
    struct turn_row *row = &c->row;
    struct task_token parent;
    bool waits = false;
    uint32_t read = 0;
    row->inbox_new = ARENA_ARRAY(a, struct inbox_row, out->children_left_len + 1);
    for (uint32_t i = 0; i < out->children_left_len; i++) {
        row->inbox_new[row->inbox_new_len++] =
            (struct inbox_row){.exec = out->children_left[i],
                               .source = STR("stop"),
                               .kind = LETTER_STOP,
                               .payload = STR("The task that started this execution has ended.")};
    }
    if (out->status != EXEC_RUNNING && exec_parent(e->x, &parent, &waits) && waits) {
        row->inbox_new[row->inbox_new_len++] = end_letter(s, a, e, &parent);
    }
    LIST_FOREACH(l, &c->items)
    {
        read += LIST_ENTRY(l, const struct item, link)->letter.p != NULL;
    }
    struct str *done = ARENA_ARRAY(a, struct str, read);
    LIST_FOREACH(l, &c->items)
    {
        const struct item *it = LIST_ENTRY(l, const struct item, link);
        if (it->letter.p != NULL) {
            done[row->inbox_done_len++] = str_dup(a, it->letter);
        }
    }
    row->inbox_done = done;
}

/* ---- rubbish ---- */

enum { CLEAR_RETRY_US = 200 * US_PER_MS };

static void clear_send(struct shard *s);

static void clear_again(struct loop_timer *t)
{
    clear_send(CONTAINER_OF(t, struct shard, clear_again));
}

static void rubbish_add(struct shard *s, const struct exec_id *exec, struct str source)
{
    if (s->rubbish_len == RUBBISH_MAX) {
        return;
    }
    if (s->rubbish_len == s->rubbish_room) {
        s->rubbish_room = s->rubbish_room == 0 ? 16 : 2 * s->rubbish_room;
        s->rubbish = mem_realloc(s->rubbish, s->rubbish_room * sizeof(s->rubbish[0]));
    }
    char *text = mem_alloc(source.size);
    memcpy(text, source.p, source.size);
    s->rubbish[s->rubbish_len++] = (struct inbox_row){.exec = *exec, .source = {text, source.size}};
}

static void rows_free(struct inbox_row *rows, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        mem_free((void *)(uintptr_t)rows[i].source.p);
    }
    mem_free(rows);
}

static void clear_done(struct store_req *r)
{
    struct store_inbox_drop *req = CONTAINER_OF(r, struct store_inbox_drop, req);
    struct shard *s = CONTAINER_OF(req, struct shard, clear);
    struct inbox_row *rows = (struct inbox_row *)(uintptr_t)req->rows;
    uint32_t len = req->rows_len;
    s->clearing = false;
    mem_free((void *)(uintptr_t)req->lanes);
    if (r->err != ERR_OK && err_class(r->err) != ERRC_FENCED) {
        log_warn("inbox rows of no use not deleted, trying again", "count=%u error=%s", len,
                 err_name(r->err));
        for (uint32_t i = 0; i < len; i++) {
            rubbish_add(s, &rows[i].exec, rows[i].source);
        }
        loop_timer_after(s->c.loop, &s->clear_again, CLEAR_RETRY_US);
    } else {
        clear_send(s);
    }
    rows_free(rows, len);
}

static void clear_send(struct shard *s)
{
    if (s->clearing || s->rubbish_len == 0 || s->held_len == 0 || s->stopping) {
        return;
    }
    struct lane_ref *held = MEM_ARRAY(struct lane_ref, s->held_len);
    memcpy(held, s->held, s->held_len * sizeof(held[0]));
    s->clear = (struct store_inbox_drop){.req = {.op = STORE_INBOX_DROP,
                                                 .loop = s->c.loop,
                                                 .done = clear_done},
                                         .lanes = held,
                                         .lanes_len = s->held_len,
                                         .rows = s->rubbish,
                                         .rows_len = s->rubbish_len};
    s->rubbish = NULL;
    s->rubbish_len = s->rubbish_room = 0;
    s->clearing = true;
    store_submit(s->c.store, &s->clear.req);
}

/* Ownership was lost: what was judged before may have been judged by a state that is void. */
void rubbish_forget(struct shard *s)
{
    rows_free(s->rubbish, s->rubbish_len);
    s->rubbish = NULL;
    s->rubbish_len = s->rubbish_room = 0;
}

void rubbish_fini(struct shard *s)
{
    loop_timer_stop(&s->clear_again);
    rubbish_forget(s);
}

/* Nobody waits for it any more, or ever did. */
void letter_finish(struct shard *s, const struct item *it, enum err e)
{
    bool useless =
        e == ERR_STALE || e == ERR_STOPPED || e == ERR_NO_EXECUTION || e == ERR_MALFORMED;
    if (useless && it->sure && !s->stopping) {
        s->clear_again.fired = clear_again;
        s->clear_again.name = "clear the inbox again";
        rubbish_add(s, &it->exec, it->letter);
        clear_send(s);
    }
}
