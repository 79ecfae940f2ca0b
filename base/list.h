/* Intrusive doubly linked list with a sentinel head. */
#ifndef CARILLON_BASE_LIST_H
#define CARILLON_BASE_LIST_H

#include "base/prelude.h"

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
/* An item that is in no list has next == itself or NULL. */
static inline bool list_linked(const struct list *l)
{
    return l->next != NULL && l->next != l;
}
static inline void list_insert_before(struct list *at, struct list *item)
{
    item->prev = at->prev;
    item->next = at;
    at->prev->next = item;
    at->prev = item;
}
static inline void list_push_back(struct list *head, struct list *item)
{
    list_insert_before(head, item);
}
static inline void list_push_front(struct list *head, struct list *item)
{
    list_insert_before(head->next, item);
}
static inline void list_remove(struct list *item)
{
    if (!list_linked(item)) {
        return;
    }
    item->prev->next = item->next;
    item->next->prev = item->prev;
    item->prev = item->next = item;
}
static inline struct list *list_pop_front(struct list *head)
{
    struct list *item = head->next;
    if (item == head) {
        return NULL;
    }
    list_remove(item);
    return item;
}
#define LIST_ENTRY(item, type, member) CONTAINER_OF(item, type, member)
#define LIST_FOREACH(it, head)         for (struct list *it = (head)->next; it != (head); it = it->next)
/* Safe against removal of the current item. */
#define LIST_FOREACH_SAFE(it, head) \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

#endif
