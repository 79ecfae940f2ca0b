/* Answers of the store as text: equal answers give equal texts. Times only where they were given. */
#ifndef CARILLON_TESTS_STORE_TEXT_H
#define CARILLON_TESTS_STORE_TEXT_H

#include "storage/store.h"

/* Sorts the rows of a STORE_LANE_INBOX, whose order is nobody's business. */
void store_answer_write(struct buf *b, const struct store_req *r);

#endif
