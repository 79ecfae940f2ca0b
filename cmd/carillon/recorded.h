/* An execution as the real service recorded it, or a definition with a judge's verdict: one JSON file
 * with the members that the recordings' own README describes. Reads it, answers tasks from it, and
 * compares how an execution went with what was recorded. */
#ifndef CARILLON_CMD_CARILLON_RECORDED_H
#define CARILLON_CMD_CARILLON_RECORDED_H

#include "cmd/carillon/replay.h"

enum { RECORDED_REASON_SIZE = 600 };

struct recorded {
    struct arena arena;
    const struct jv *doc;
    struct str definition; /* JSON text */
    struct str input;      /* of an execution */
    struct wall clock;
    const struct jv *outcomes;         /* NULL: none */
    bool *used;                        /* which of them were asked for */
    char reason[RECORDED_REASON_SIZE]; /* the first thing that differs; "" = nothing */
};

/* False with a reason: it cannot be read. Call recorded_fini in any case. */
bool recorded_read(struct recorded *c, struct str text);
void recorded_fini(struct recorded *c);
bool recorded_is_execution(const struct recorded *c);
/* NULL: it can be run (or judged). */
const char *recorded_skip(const struct recorded *c);
/* Forgets which outcomes were used and what differed. */
void recorded_reset(struct recorded *c);
/* Notes why it failed, unless something was noted before; false always. */
bool recorded_fail(struct recorded *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The first unused outcome of this attempt, now used; NULL with a reason when there is none or when the
 * task's input is not what was recorded. "scope" p NULL: it is not known; the input tells iterations apart. */
const struct jv *recorded_outcome(struct recorded *c, struct str state, struct str scope,
                                  uint32_t attempt, struct str input);
/* What an outcome answers; texts are in the case's arena. */
void recorded_answer(struct recorded *c, const struct jv *outcome, struct replay_answer *out);
/* The task function of a replay; "arg" is the case. */
bool recorded_task(void *arg, const struct replay_task *t, struct replay_answer *out,
                   struct buf *why);

struct recorded_score {
    bool result, cause, events;
    bool has_events; /* some were recorded */
};
/* Compares an execution that has ended. */
struct recorded_score recorded_judge(struct recorded *c, const struct replay *r);
/* Compares a verdict on the definition. True: the same; "refused": why it was refused, or NULL. */
bool recorded_judge_definition(struct recorded *c, const char *refused);

#endif
