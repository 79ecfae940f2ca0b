/* Letters, on the front: brings what executions tell each other from one turn loop to another, and looks for
 * what waits after a claim. See front.h; engine/inbox.c writes and reads them. */
#include "base/prelude.h"

#include "engine/engine_internal.h"

LOG_MODULE("letters");

enum {
    UNREAD_MAX = 4096,        /* executions; of more, the next owner finds the rows */
    UNREAD_US = 5 * US_PER_S, /* until they are looked at again */
};

struct unread {
    struct list link;
    struct exec_id exec;
};

/* Nothing else might ever look at an execution that waits for just this. */
static void unread_keep(struct front *f, const struct exec_id *id)
{
    if (f->going_away || f->letters.unread_len >= UNREAD_MAX) {
        return;
    }
    struct unread *u = MEM_NEW(struct unread);
    u->exec = *id;
    list_push_back(&f->letters.unread, &u->link);
    f->letters.unread_len++;
    if (!f->letters.again.armed) {
        loop_timer_after(f->loop, &f->letters.again, UNREAD_US);
    }
}

static void unread_again(struct loop_timer *t)
{
    struct front *f = CONTAINER_OF(t, struct front, letters.again);
    struct list *l;
    uint32_t len = f->letters.unread_len; /* those that fail at once are kept for the next time */
    for (; len > 0 && (l = list_pop_front(&f->letters.unread)) != NULL; len--) {
        struct unread *u = LIST_ENTRY(l, struct unread, link);
        f->letters.unread_len--;
        front_touch(f, &u->exec);
        mem_free(u);
    }
}

void letters_init(struct front *f)
{
    list_init(&f->letters.unread);
    f->letters.again = (struct loop_timer){.fired = unread_again, .name = "letters again"};
}

void letters_stop(struct front *f)
{
    struct list *l;
    loop_timer_stop(&f->letters.again);
    while ((l = list_pop_front(&f->letters.unread)) != NULL) {
        mem_free(LIST_ENTRY(l, struct unread, link));
    }
    f->letters.unread_len = 0;
}

static void own_done(struct item *it)
{
    struct front *f = it->owner;
    f->requests--;
    if (it->err == ERR_DAMAGED) {
        unread_keep(f, &it->exec);
    }
    item_fini(it);
    mem_free(it);
}

void front_touch(struct front *f, const struct exec_id *id)
{
    struct item *it = MEM_NEW(struct item);
    item_init(it, ITEM_TOUCH, id, own_done, f);
    f->requests++;
    shard_submit(front_shard(f, id), it);
}

void letters_deliver(struct front *f, const struct inbox_row *rows, uint32_t len, uint32_t life)
{
    for (uint32_t i = 0; i < len; i++) {
        const struct inbox_row *r = &rows[i];
        fault_hit(f->faults, FAULT_LETTER_BEFORE_DELIVERY);
        /* Of a lane of another node, or lost meanwhile: its owner finds the row. */
        if (r->announced || !lanes_of(&f->lanes, &r->exec)->held) {
            continue;
        }
        struct item *it = MEM_NEW(struct item);
        item_init(it, ITEM_FACT, &r->exec, own_done, f);
        it->life = life;
        bool known = item_letter(it, r);
        ASSERT(known);
        f->requests++;
        shard_submit(front_shard(f, &r->exec), it);
    }
}

/* ---- after a claim ---- */

enum { SCAN_PAGE = 1000, SCAN_RETRY_US = 200 * US_PER_MS };

struct scan {
    struct store_inbox req;
    struct front *front;
    struct arena arena;
    struct exec_id after;
    bool have_after;
    struct loop_timer retry;
    struct lane_ref lanes[LANES_PER_SHARD_MAX];
};

static void scan_page(struct scan *s);

static void scan_end(struct scan *s)
{
    s->front->recoveries--;
    arena_fini(&s->arena);
    mem_free(s);
}

static void scan_done(struct store_req *r)
{
    struct store_inbox *q = CONTAINER_OF(r, struct store_inbox, req);
    struct scan *s = CONTAINER_OF(q, struct scan, req);
    struct front *f = s->front;
    if (r->err != ERR_OK) {
        log_warn("inboxes not read, trying again", "error=%s", err_name(r->err));
        loop_timer_after(f->loop, &s->retry, SCAN_RETRY_US);
        return;
    }
    for (uint32_t i = 0; i < q->ids_len; i++) {
        front_touch(f, &q->ids[i]);
    }
    if (q->ids_len < SCAN_PAGE) {
        scan_end(s);
        return;
    }
    s->after = q->ids[q->ids_len - 1];
    s->have_after = true;
    scan_page(s);
}

static void scan_again(struct loop_timer *timer)
{
    scan_page(CONTAINER_OF(timer, struct scan, retry));
}

static void scan_page(struct scan *s)
{
    struct front *f = s->front;
    uint32_t len = lanes_held(&f->lanes, s->lanes, LANES_PER_SHARD_MAX);
    if (len == 0 || f->going_away) {
        scan_end(s);
        return;
    }
    arena_reset(&s->arena, 1u << 16);
    s->req = (struct store_inbox){
        .req = {.op = STORE_INBOX, .loop = f->loop, .done = scan_done, .arena = &s->arena},
        .lanes = s->lanes,
        .lanes_len = len,
        .after = s->have_after ? &s->after : NULL,
        .limit = SCAN_PAGE};
    store_submit(f->store, &s->req.req);
}

void inbox_scan(struct front *f)
{
    struct scan *s = MEM_NEW(struct scan);
    s->front = f;
    s->retry = (struct loop_timer){.fired = scan_again, .name = "inboxes again"};
    arena_init(&s->arena, 0);
    f->recoveries++;
    scan_page(s);
}
