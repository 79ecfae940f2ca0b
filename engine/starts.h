/* Starting an execution under a name, for clients (client_api.c) and for tasks (children.c): the newest
 * definition is found, the first turn made durable, and where the name is taken the execution that
 * has it is looked up. On the front loop. */
#ifndef CARILLON_ENGINE_STARTS_H
#define CARILLON_ENGINE_STARTS_H

#include "engine/defs.h"
#include "engine/item.h"

struct front;

/* Embedded by the caller, zeroed but for the inputs, and lent until "done". */
struct start {
    /* in; texts are borrowed */
    uint32_t tenant;
    struct str workflow, name, input;
    struct task_token parent; /* the task that starts it; null: none does */
    bool parent_waits;        /* and is to be told of its end */
    uint32_t life;            /* front.lives when it was decided on; 0: now */
    struct arena *arena;      /* of the store's answers */
    void (*done)(struct start *s);
    /* out */
    enum err err; /* ERR_EXISTS: under this name with another input; others as of an item */
    char detail[ERR_DETAIL_SIZE];
    struct exec_id exec;
    bool created;           /* false: it stood before, with this input */
    struct wall started_at; /* when created */
    /* private */
    struct front *front;
    struct map_node node; /* in front.starting, until the store has answered */
    struct list link;     /* in the followers of the first start under this key */
    struct list followers;
    bool first;
    uint64_t digest;
    struct item item;
    struct item_start what;
    struct defs_wait wait;
    struct store_start_lookup lookup;
    struct start_key key;
};

void start_run(struct front *f, struct start *s);

#endif
