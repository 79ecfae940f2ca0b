/* Mocked outcomes of tasks, in the configuration format of Step Functions Local:
 *
 *   {"StateMachines": {MACHINE: {"TestCases": {CASE: {STATE: RESPONSE}}}},
 *    "MockedResponses": {RESPONSE: {"0": {"Return": JSON}, "1-2": {"Throw": {"Error": …, "Cause": …}}}}}
 *
 * The numbers count the attempts of the state, retries and later visits alike, from 0. */
#ifndef CARILLON_CMD_CARILLON_MOCK_H
#define CARILLON_CMD_CARILLON_MOCK_H

#include "cmd/carillon/replay.h"

struct mock_case {
    struct str name;
    const struct jv *states; /* STATE: RESPONSE */
    const struct jv *responses;
    uint32_t *used; /* attempts so far, by state */
};

struct mocks {
    struct arena *arena;
    struct mock_case *cases;
    uint32_t len;
};

/* Reads and checks all of it; "machine" p NULL: the only one there is, or the one named "fallback".
 * All texts are in the arena. ERR_INVALID or ERR_MALFORMED with "detail". */
enum err mocks_read(struct arena *a, struct str text, struct str machine, struct str fallback,
                    struct mocks *out, struct err_detail *detail) MUST_CHECK;
/* Each state that a case names must be a Task of the definition. */
enum err mocks_check(const struct mocks *m, const struct def *def,
                     struct err_detail *detail) MUST_CHECK;
const struct mock_case *mocks_find(const struct mocks *m, struct str name); /* NULL: none */
/* The task function of a replay; "arg" is the case (struct mock_case *), or NULL: nothing is mocked. */
bool mock_task(void *arg, const struct replay_task *t, struct replay_answer *out, struct buf *why);

#endif
