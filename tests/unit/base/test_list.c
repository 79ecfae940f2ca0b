#include "base/prelude.h"

#include "base/list.h"
#include "tests/unit/base/suite.h"

struct item {
    int n;
    struct list link;
};

static void check_order(struct list *head, const char *want)
{
    char got[32] = "";
    size_t size = 0;
    LIST_FOREACH(it, head)
    {
        got[size++] = (char)('0' + LIST_ENTRY(it, struct item, link)->n);
    }
    ck_assert_str_eq(got, want);
    size = strlen(want);
    for (struct list *it = head->prev; it != head; it = it->prev) { /* and backwards */
        ck_assert_int_eq(LIST_ENTRY(it, struct item, link)->n, want[--size] - '0');
    }
    ck_assert_uint_eq(size, 0);
}

START_TEST(order)
{
    struct list head;
    struct item v[6];
    list_init(&head);
    ck_assert(list_empty(&head));
    ck_assert_ptr_null(list_pop_front(&head));
    for (int i = 0; i < 6; i++) {
        v[i] = (struct item){.n = i};
        ck_assert(!list_linked(&v[i].link));
    }
    list_push_back(&head, &v[1].link);
    list_push_back(&head, &v[2].link);
    list_push_front(&head, &v[0].link);
    list_insert_before(&v[2].link, &v[5].link);
    check_order(&head, "0152");
    ck_assert(list_linked(&v[5].link) && !list_empty(&head));
    list_remove(&v[5].link);
    ck_assert(!list_linked(&v[5].link));
    list_remove(&v[5].link); /* no effect, also on one never linked */
    list_remove(&v[4].link);
    check_order(&head, "012");
    ck_assert_ptr_eq(list_pop_front(&head), &v[0].link);
    list_push_back(&head, &v[0].link);
    check_order(&head, "120");
}
END_TEST

START_TEST(removal_while_iterating)
{
    for (unsigned mask = 0; mask < 64; mask++) {
        struct list head;
        struct item v[6];
        char want[8] = "";
        size_t size = 0;
        list_init(&head);
        for (int i = 0; i < 6; i++) {
            v[i] = (struct item){.n = i};
            list_push_back(&head, &v[i].link);
            if ((mask >> i & 1) == 0) {
                want[size++] = (char)('0' + i);
            }
        }
        LIST_FOREACH_SAFE(it, &head)
        {
            if ((mask >> LIST_ENTRY(it, struct item, link)->n & 1) != 0) {
                list_remove(it);
            }
        }
        check_order(&head, want);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {order, removal_while_iterating, NULL};
    return suite_run("list", tests);
}
