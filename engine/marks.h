/* Marks in histories: the states of executions between rows of their history, kept so that the page that is
 * asked for next, forwards or backwards, need not fold the history from its first row. Bounded in bytes;
 * executions not asked about longest go first. On the front loop. */
#ifndef CARILLON_ENGINE_MARKS_H
#define CARILLON_ENGINE_MARKS_H

#include "base/id.h"

enum {
    MARKS_SPACING = 1024,       /* events between two marks, at first */
    MARKS_EACH_MAX = 128,       /* marks of an execution; more, or more bytes, double its spacing */
    MARKS_EACH_BYTES = 4 << 20, /* bytes of them */
    MARKS_BYTES = 16 << 20,     /* of all executions */
};

struct mark {
    uint64_t seq;    /* of the row behind which it stands */
    uint64_t row;    /* digest of that row: whoever uses the mark looks whether it is there still */
    uint32_t events; /* up to there */
    struct str snapshot; /* owned */
};

struct marks;
struct marks *marks_new(void);
void marks_free(struct marks *m);
/* The last one before that event; NULL: there is none. Valid until the next call. */
const struct mark *marks_before(struct marks *m, const struct exec_id *id, uint32_t event);
/* Is a mark behind so many events of use? */
bool marks_wanted(struct marks *m, const struct exec_id *id, uint32_t events);
/* "snapshot" is copied. */
void marks_add(struct marks *m, const struct exec_id *id, const struct mark *mark);
void marks_forget(struct marks *m, const struct exec_id *id);
size_t marks_bytes(const struct marks *m);

#endif
