/* What travels between the front (net, dispatch) and the turn loops: items and reports.
 *
 *   front ──item──▶ shard ──(folded into a turn, committed)──▶ report ──▶ front ──item.done──▶ answer
 *
 * An item is one fact or one question about one execution; it is lent to the shard until "done" runs
 * on the front loop. A report is what a durable batch of turns lets out: outcomes of items, new
 * tasks, closed tasks. Nothing leaves before its turn is durable (INV 4). */
#ifndef CARILLON_ENGINE_ITEM_H
#define CARILLON_ENGINE_ITEM_H

#include "base/list.h"
#include "base/loop.h"
#include "engine/core/core.h"
#include "scheduler/dispatch.h"
#include "storage/records.h"

enum item_type {
    ITEM_START,      /* fact: the first of a new execution */
    ITEM_FACT,       /* fact: any other */
    ITEM_DESCRIBE,   /* question: answered from the last durable state */
    ITEM_WATCH,      /* question: answered when the execution has ended, or at "until" */
    ITEM_TASK_INPUT, /* question: the input of an open task (token in fact.token) */
    ITEM_TASK_OPEN,  /* question: is the attempt open? The same without the texts */
    ITEM_TOUCH,      /* somebody else committed a turn: load again, arm what is open */
};

/* What an item that starts an execution brings along; borrowed for the item's life. */
struct item_start {
    struct exec_ident ident;
    struct def *def; /* a reference, taken over by the shard */
    uint32_t tenant;
    uint64_t digest;
};

/* Answer to DESCRIBE; to WATCH without what it does not ask for. Texts live in the item's arena. */
struct item_view {
    enum exec_status status;
    struct str workflow, name, input, output, error, cause;
    struct wall started_at, closed_at;
    uint32_t event_count;
    uint64_t revision;
    struct task_token parent; /* the task that started it; null: none did */
};

/* Kinds of inbox rows (storage/records.h). Stored: never changed. */
enum letter_kind {
    LETTER_CHILD_ENDED = 1, /* to a task: its token (40 bytes), then what exec_end_write said */
    LETTER_STOP = 2,        /* to a child: text, the cause */
};

struct shard;

struct item {
    struct loop_task task; /* carries it between loops */
    struct shard *shard;   /* where it was submitted */
    struct list link;      /* on the shard: waiting or in a turn; in a report */
    enum item_type type;
    /* Incarnations there had been when it was decided on: a failover may have undone what it rests on
     * (START: the definition's number; a letter: the turn that sent it). 0: it stands by itself. */
    uint32_t life;
    struct exec_id exec;
    struct fact fact;
    struct item_start *start;
    struct mono until;       /* WATCH */
    struct list also;        /* WATCH, when done: item.link of others that the same answer is for */
    struct heap_node expiry; /* WATCH, on the shard */
    struct timer_row timer;  /* FACT_TIMER: the row that fired */
    struct str letter;       /* source of the inbox row that the fact is of; STR_NONE: of none */
    bool sure;               /* its execution was read, or stored by us, since it came */
    uint8_t tries;           /* turns that took it and did not commit */
    uint64_t doubt;          /* id of the last such turn: it may have committed after all */
    /* out */
    enum err err;
    struct str detail; /* in the arena; why, for people; may be empty */
    struct item_view view;
    struct dispatch_task input; /* TASK_INPUT, TASK_OPEN: found when err is ERR_OK */
    struct item_child {         /* TASK_INPUT, of a child execution */
        bool sync, by_token, submitted;
    } child;
    struct wall at;                /* the store's time of the turn that folded it */
    struct arena arena;            /* outputs; initialised by item_init, freed by item_fini */
    void (*done)(struct item *it); /* on the front loop; NULL: the shard frees the item itself */
    void *owner;
};

void item_init(struct item *it, enum item_type type, const struct exec_id *exec,
               void (*done)(struct item *), void *owner);
void item_fini(struct item *it);
/* Makes it the fact that an inbox row tells; copies the texts. False: nobody understands the row. */
bool item_letter(struct item *it, const struct inbox_row *row);

/* From a shard to the front; embedded in a batch or made for one execution. */
struct front;
struct report {
    struct loop_task task;
    struct front *to;
    struct loop *home; /* the shard's loop, where "release" runs */
    struct loop_task release;
    struct list items; /* item.link; err is set */
    uint32_t life;     /* under which it became durable */
    struct report_turn {
        struct dispatch_task *tasks_new;
        uint32_t tasks_new_len;
        struct task_token *tasks_done;
        uint32_t tasks_done_len;
        const struct task_token *tasks_submitted;
        uint32_t tasks_submitted_len;
        const struct inbox_row *letters; /* those announced go another way */
        uint32_t letters_len;
        const struct exec_id *touch; /* perhaps they were told something: they are to look */
        uint32_t touch_len;
    } * turns;
    uint32_t turns_len;
};

#endif
