/* Plain row structs of the store. Payloads are bytes: storage knows nothing of the workflow
 * language. Strings and lists are borrowed from whoever filled the struct in. */
#ifndef CARILLON_STORAGE_RECORDS_H
#define CARILLON_STORAGE_RECORDS_H

#include "base/id.h"

/* A lane as its fence row has it. Windows are absolute numbers: window = due / window length.
 *   closed_to < accept_from <= open_to
 * windows <= closed_to hold no row of the lane; (closed_to, accept_from) are CLOSING: no new rows,
 * what is there still fires or is moved; [accept_from, open_to] are OPEN. A deadline in or before
 * a closed or closing window goes into accept_from with its due time kept; one after open_to goes
 * into the long-term table. Tables of windows after open_to hold only what was promoted ahead. */
struct lane_row {
    uint16_t shard, lane;
    uint16_t slot_lo, slot_hi; /* [lo, hi) ; hi up to SLOT_COUNT */
    struct fence fence;        /* epoch 0: never claimed */
    struct uuid incarnation;   /* of the owner; null = free */
    struct str node, address;  /* the owner's node id, and where it is reached */
    int64_t closed_to, accept_from, open_to;
    int64_t lease_left_us; /* of the owner at the time of the answer; <= 0: over */
    bool has_session;      /* the owner is connected to the store */
};

/* Which lane, under which claim, a call acts for. */
struct lane_ref {
    uint16_t shard, lane;
    uint16_t slot_lo, slot_hi;
    struct fence fence;
};

struct timer_row {
    struct exec_id exec;
    uint64_t seq;
    uint32_t idx;
    struct wall due;
    int64_t window; /* table it stands in: absolute window, or TIMER_LONG_TERM */
};
#define TIMER_LONG_TERM INT64_C(-1)

struct task_row {
    struct task_token token; /* exec, seq, idx, attempt, nonce */
    struct str queue;
    struct wall timeout_at; /* 0 = none */
    int64_t heartbeat_us;   /* 0 = none */
    bool submitted; /* nobody is to get it any more (turn_row.tasks_submitted); none is made so */
};

/* What one execution tells another: written by a turn of the one, deleted by the turn of the other that
 * folds it. */
struct inbox_row {
    struct exec_id exec; /* whom it is for; of the same shard */
    struct str source;   /* unique in an inbox: what it is about */
    uint16_t kind;       /* opaque, as the payload is */
    struct str payload;
    bool announced; /* out: the lane is not the writer's; its owner learns of it by lane_inbox */
};

enum turn_result {
    TURN_OK,
    TURN_CONFLICT, /* the execution is not at (seq_prev, turn_prev) any more */
    TURN_EARLY,    /* a timer it consumes is not due by the store's clock */
    TURN_WINDOW,   /* the lane's windows are not as the writer believed; read them again */
    TURN_EXISTS,   /* start: the key (tenant, workflow, name) is taken; see start_lookup */
    TURN_DROPPED,  /* the batch failed as a whole; see the request's error */
};

/* What a start adds to a turn. */
struct start_row {
    uint32_t tenant;
    struct str workflow, name;
    uint64_t revision; /* of the definition */
    uint64_t digest;   /* of (workflow, input): same name with another digest is a conflict */
    struct wall started_at;
};

/* One turn: everything of it commits, or nothing. */
struct turn_row {
    struct exec_id exec;
    uint64_t seq_prev, turn_prev; /* compare; 0, 0 with start != NULL */
    uint64_t seq, turn;           /* set; seq = seq_prev + 1, turn random and not 0 */
    uint8_t status; /* opaque but for STATUS_OPEN: anything else closes the execution */
    uint32_t first_event, event_count;
    struct str body;     /* the packed history row */
    struct str outcomes; /* "state:attempt:worker\n"..., or STR_NONE */
    struct str snapshot; /* whole state after this turn, or STR_NONE */
    struct wall due_max; /* consumed timers must be due: clock_timestamp() >= due_max; 0 = none */
    const struct start_row *start;
    const struct task_row *tasks_new;
    const struct task_token *tasks_done; /* attempt and nonce ignored */
    const struct timer_row *timers_new;  /* window chosen by the writer, checked under the fence */
    const struct timer_row *timers_done; /* window = where the writer believes the row to be */
    const struct task_token *tasks_submitted; /* open ones; attempt and nonce ignored */
    /* Rows for others. What is for an execution that is not open is left out, and so is what is there. */
    struct inbox_row *inbox_new;
    const struct str *inbox_done; /* sources of the execution's own rows that the turn has folded */
    uint32_t tasks_new_len, tasks_done_len, timers_new_len, timers_done_len;
    uint32_t tasks_submitted_len, inbox_new_len, inbox_done_len;
    enum turn_result result; /* out */
    bool via_inbox; /* out: not armed by the writer, the owner learns of it by lane_inbox */
};
enum { STATUS_OPEN = 1 };

/* A row announced to a lane's owner by a writer that does not own the lane. */
struct lane_inbox_row {
    uint16_t shard, lane;
    uint64_t id;
    struct exec_id exec; /* load it: tasks, timers or inbox rows may be new */
};

struct history_row {
    uint64_t seq;
    struct wall at;
    uint32_t first_event, event_count;
    struct str body;
};

/* An execution as stored. */
struct exec_row {
    struct exec_id exec;
    bool found;
    uint32_t tenant;
    struct str workflow, name;
    uint64_t revision;
    uint8_t status;
    uint64_t seq, turn;
    struct wall started_at, closed_at; /* closed_at 0 while open */
    uint64_t snapshot_seq;             /* 0 = none */
    struct str snapshot;
    const struct history_row *rows; /* seq > snapshot_seq, ascending */
    uint32_t rows_len;
    const struct inbox_row *inbox; /* by source, when asked for */
    uint32_t inbox_len;
    bool inbox_more; /* INBOX_LOAD_MAX or INBOX_LOAD_BYTES_MAX left some out */
};

struct definition_row {
    uint64_t revision; /* unique over all workflows, rising */
    uint32_t tenant;
    struct str workflow;
    uint32_t version;  /* 1, 2, ... within the workflow */
    struct str text;   /* source as given */
    struct str digest; /* 32 hex characters of the canonical form */
    struct wall created_at;
    bool deleted;
};

#endif
