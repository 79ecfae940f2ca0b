/* "Did you mean": the nearest name by the number of letters to add, drop, change or swap. */
#include "base/prelude.h"

#include "conf/conf_internal.h"

enum {
    NAME_MAX_NEAR = 96, /* bytes; longer names are near to nothing */
    WRONG_MAX = 4,      /* letters; beyond that a hint would be a guess */
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Optimal string alignment, in three rows. Both at most NAME_MAX_NEAR bytes. */
static uint32_t distance(struct str a, struct str b)
{
    uint32_t rows[3][NAME_MAX_NEAR + 1];
    for (uint32_t j = 0; j <= b.size; j++) {
        rows[0][j] = j;
    }
    for (uint32_t i = 1; i <= a.size; i++) {
        uint32_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two = rows[(i + 1) % 3];
        row[0] = i;
        for (uint32_t j = 1; j <= b.size; j++) {
            char x = lower(a.p[i - 1]), y = lower(b.p[j - 1]);
            row[j] = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + (x == y ? 0 : 1));
            if (i > 1 && j > 1 && x == lower(b.p[j - 2]) && y == lower(a.p[i - 2])) {
                row[j] = MIN(row[j], two[j - 2] + 1);
            }
        }
    }
    return rows[a.size % 3][b.size];
}

void conf_near_init(struct conf_near *n, struct str name)
{
    uint32_t wrong = MIN(MAX((uint32_t)name.size / 3, 1u), (uint32_t)WRONG_MAX);
    *n = (struct conf_near){.name = name, .distance = wrong + 1};
}

void conf_near_offer(struct conf_near *n, struct str candidate)
{
    if (n->name.size == 0 || n->name.size > NAME_MAX_NEAR || candidate.size > NAME_MAX_NEAR) {
        return;
    }
    uint32_t d = distance(n->name, candidate);
    if (d < n->distance) {
        n->distance = d;
        n->best = candidate;
    }
}
