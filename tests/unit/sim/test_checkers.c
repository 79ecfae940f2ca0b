/* The checkers are themselves checked: each is fed a sound history, which it must accept, and then the same
 * history broken in one place, which it must name by the right number. */
#include "base/prelude.h"

#include "tests/sim/checkers.h"

#include "base/mem.h"
#include "base/rng.h"

#include <check.h>

static int found[64];
static int found_len;

static void violated(void *arg, int invariant, const char *text)
{
    (void)arg;
    (void)text;
    if (found_len < 64) {
        found[found_len++] = invariant;
    }
}

/* One execution with one task and one wait, as turns that can be bent before they are shown. */
enum { TURN_START, TURN_TASK_DONE, TURN_TIMER, TURN_LAST_DONE, TURNS };
enum { S = 1000000 };

struct story {
    struct checkers *c;
    struct exec_id id;
    struct turn_row turns[TURNS];
    struct start_row start;
    struct task_row task[2];
    struct task_token done[2];
    struct timer_row timer;
    struct wall at[TURNS];
    struct check_start key;
};

static void story_init(struct story *s)
{
    struct rng rng;
    memset(s, 0, sizeof(*s));
    rng_seed(&rng, 7);
    found_len = 0;
    s->c = checkers_new(violated, NULL);
    s->id = exec_id_make(0, 77, 1, (struct wall){S}, &rng);
    s->key = (struct check_start){1, STR("flow"), STR("one"), 5};
    s->start = (struct start_row){
        .tenant = 1, .workflow = STR("flow"), .name = STR("one"), .revision = 1, .digest = 5};
    for (uint32_t i = 0; i < 2; i++) {
        s->done[i].ref = (struct task_ref){s->id, i == 0 ? 1 : 3, 0, 1};
        s->task[i].token = s->done[i];
        s->task[i].queue = STR("work");
    }
    s->timer = (struct timer_row){.exec = s->id, .seq = 2, .idx = 0, .due = {20 * S}};
    for (uint32_t i = 0; i < TURNS; i++) {
        s->turns[i] = (struct turn_row){
            .exec = s->id,
            .seq_prev = i,
            .turn_prev = i == 0 ? 0 : 100 + i,
            .seq = i + 1,
            .turn = 101 + i,
            .status = STATUS_OPEN,
            .first_event = 1 + 3 * i,
            .event_count = 3,
            .body = STR("b"),
        };
        s->at[i].us = (10 + 5 * (int64_t)i) * S;
    }
    s->turns[TURN_START].start = &s->start;
    s->turns[TURN_START].tasks_new = &s->task[0];
    s->turns[TURN_START].tasks_new_len = 1;
    s->turns[TURN_TASK_DONE].tasks_done = &s->done[0];
    s->turns[TURN_TASK_DONE].tasks_done_len = 1;
    s->turns[TURN_TASK_DONE].outcomes = STR("0:1:w\n");
    s->turns[TURN_TASK_DONE].timers_new = &s->timer;
    s->turns[TURN_TASK_DONE].timers_new_len = 1;
    s->turns[TURN_TIMER].timers_done = &s->timer;
    s->turns[TURN_TIMER].timers_done_len = 1;
    s->turns[TURN_TIMER].due_max.us = 20 * S;
    s->turns[TURN_TIMER].tasks_new = &s->task[1];
    s->turns[TURN_TIMER].tasks_new_len = 1;
    s->turns[TURN_LAST_DONE].tasks_done = &s->done[1];
    s->turns[TURN_LAST_DONE].tasks_done_len = 1;
    s->turns[TURN_LAST_DONE].outcomes = STR("2:1:w\n");
    s->turns[TURN_LAST_DONE].status = 2;
}

static void commit(struct story *s, struct turn_row *t, struct wall at)
{
    struct store_commit q = {.turns = &t, .turns_len = 1};
    check_commit(s->c, &q, at);
}

static void tell(struct story *s, int from, int to)
{
    for (int i = from; i < to; i++) {
        commit(s, &s->turns[i], s->at[i]);
    }
}

static struct check_row row_of(const struct story *s)
{
    return (struct check_row){
        .exec = s->id,
        .tenant = 1,
        .workflow = STR("flow"),
        .name = STR("one"),
        .seq = 4,
        .turn = 104,
        .status = 2,
        .history_rows = 4,
        .events = 12,
        .folded = true,
        .folded_status = 2,
        .folded_events = 12,
        .folded_seq = 4,
        .digest = 9,
        .digest_snapshot = 9,
    };
}

static void start_told(struct story *s, enum check_answer a, bool exists)
{
    check_start_sent(s->c, &s->key);
    check_start_answer(s->c, &s->key, a, &s->id, exists);
}

/* All of it, unbroken. */
static void tell_all(struct story *s)
{
    struct check_row row = row_of(s);
    struct store_timers_drop q = {.rows = &s->timer, .rows_len = 1};
    tell(s, 0, TURN_TIMER + 1);
    check_timers_drop(s->c, &q); /* consumed: what is left of it is an orphan */
    tell(s, TURN_TIMER + 1, TURNS);
    start_told(s, CHECK_OK, false);
    check_row(s->c, &row);
    check_end(s->c, true);
}

/* ---- ways to break it ---- */

static void early_timer(struct story *s)
{
    s->at[TURN_TIMER].us = 19 * S;
    tell(s, 0, TURNS);
}
static void timer_twice(struct story *s)
{
    tell(s, 0, 3);
    s->turns[TURN_LAST_DONE].timers_done = &s->timer;
    s->turns[TURN_LAST_DONE].timers_done_len = 1;
    tell(s, 3, 4);
}
static void timer_row_lost(struct story *s)
{
    struct check_row row = row_of(s);
    tell(s, 0, 2);
    row.seq = 2;
    row.turn = 102;
    row.status = row.folded_status = 1;
    row.history_rows = row.folded_seq = 2;
    row.events = row.folded_events = 6;
    check_row(s->c, &row);
}
static void open_timer_dropped(struct story *s)
{
    struct store_timers_drop q = {.rows = &s->timer, .rows_len = 1};
    tell(s, 0, 2);
    check_timers_drop(s->c, &q);
}
static void event_gap(struct story *s)
{
    s->turns[TURN_TIMER].first_event++;
    tell(s, 0, TURNS);
}
static void turn_skipped(struct story *s)
{
    tell(s, 0, 1);
    tell(s, 2, 3);
}
static void turn_of_nobody(struct story *s)
{
    tell(s, 1, 2);
}
static void outcome_twice(struct story *s)
{
    tell(s, 0, 2);
    s->turns[TURN_TIMER].tasks_done = &s->done[0];
    s->turns[TURN_TIMER].tasks_done_len = 1;
    tell(s, 2, 3);
}
static void two_outcomes_for_one(struct story *s)
{
    s->turns[TURN_TASK_DONE].outcomes = STR("0:1:w\n0:1:v\n");
    tell(s, 0, 2);
}
static void outcome_not_durable(struct story *s)
{
    tell(s, 0, 1);
    check_outcome_acked(s->c, &s->done[0]);
}
static void second_attempt_too_soon(struct story *s)
{
    s->turns[TURN_TASK_DONE].tasks_done_len = 0;
    s->turns[TURN_TASK_DONE].outcomes = STR_NONE;
    s->task[1].token.ref.seq = 2;
    s->turns[TURN_TASK_DONE].tasks_new = &s->task[1];
    s->turns[TURN_TASK_DONE].tasks_new_len = 1;
    tell(s, 0, 2);
}
static void dispatched_before_durable(struct story *s)
{
    tell(s, 0, 1);
    check_dispatched(s->c, &s->done[1], s->at[1], S);
}
static void attempts_beyond_rule(struct story *s)
{
    s->task[1].token.ref.attempt = 2;
    tell(s, 0, 3);
}
static void backoff_too_short(struct story *s)
{
    struct check_rules r = {.attempts_max = 3, .backoff_us = 11 * S};
    checkers_rules(s->c, STR("flow"), &r);
    s->task[1].token.ref.attempt = 2;
    tell(s, 0, 3);
}
static void commit_after_stop(struct story *s)
{
    tell(s, 0, 1);
    s->turns[TURN_TASK_DONE].status = 5;
    s->turns[TURN_TASK_DONE].timers_new_len = 0;
    tell(s, 1, 2);
    check_stop_acked(s->c, &s->id, s->at[1]);
    tell(s, 2, 3);
}
static void stop_not_durable(struct story *s)
{
    tell(s, 0, 1);
    check_stop_acked(s->c, &s->id, s->at[1]);
}
static void dispatched_after_stop(struct story *s)
{
    tell(s, 0, 1);
    s->turns[TURN_TASK_DONE].status = 5;
    s->turns[TURN_TASK_DONE].timers_new_len = 0;
    tell(s, 1, 2);
    check_stop_acked(s->c, &s->id, s->at[1]);
    check_dispatched(s->c, &s->done[0], (struct wall){s->at[1].us + 20 * S}, 10 * S);
}
static void heartbeat_after_stop(struct story *s)
{
    tell(s, 0, 1);
    s->turns[TURN_TASK_DONE].status = 5;
    s->turns[TURN_TASK_DONE].timers_new_len = 0;
    tell(s, 1, 2);
    check_stop_acked(s->c, &s->id, s->at[1]);
    check_beat_ok(s->c, &s->done[0], s->at[1]); /* on its way when the stop was acknowledged */
    check_beat_ok(s->c, &s->done[0], (struct wall){s->at[1].us + 1});
}
static void ended_with_open_task(struct story *s)
{
    s->turns[TURN_TIMER].status = 2;
    tell(s, 0, 3);
}
static void changed_after_end(struct story *s)
{
    tell(s, 0, 4);
    struct turn_row more = s->turns[TURN_LAST_DONE];
    more.seq_prev = 4;
    more.seq = 5;
    more.first_event = 13;
    more.tasks_done_len = 0;
    more.outcomes = STR_NONE;
    commit(s, &more, s->at[3]);
}
static void told_two_ends(struct story *s)
{
    tell(s, 0, 4);
    check_end_told(s->c, &s->id, 2, STR("{}"));
    check_end_told(s->c, &s->id, 2, STR("[]"));
}
static void told_wrong_end(struct story *s)
{
    tell(s, 0, 4);
    check_end_told(s->c, &s->id, 3, STR_NONE);
}
static void row_differs(struct story *s)
{
    struct check_row row = row_of(s);
    tell(s, 0, 4);
    row.turn = 99;
    check_row(s->c, &row);
}
static void start_lost(struct story *s)
{
    start_told(s, CHECK_OK, false);
}
static void started_then_gone(struct story *s)
{
    tell(s, 0, 4);
    start_told(s, CHECK_OK, false);
    check_end(s->c, true); /* no row was shown */
}
static void key_twice(struct story *s)
{
    tell(s, 0, 1);
    struct rng rng;
    rng_seed(&rng, 8);
    s->turns[TURN_START].exec = exec_id_make(0, 77, 1, (struct wall){S}, &rng);
    tell(s, 0, 1);
}
static void key_other_id(struct story *s)
{
    tell(s, 0, 4);
    struct exec_id other = s->id;
    other.b[15] ^= 1;
    check_start_sent(s->c, &s->key);
    check_start_answer(s->c, &s->key, CHECK_OK, &other, false);
}
static void key_other_input(struct story *s)
{
    tell(s, 0, 4);
    s->key.digest++;
    start_told(s, CHECK_OK, false);
}
static void refused_for_nothing(struct story *s)
{
    start_told(s, CHECK_REFUSED, true);
}
static void failure_left_a_run(struct story *s)
{
    struct check_row row = row_of(s);
    start_told(s, CHECK_REFUSED, false);
    tell(s, 0, 4);
    check_row(s->c, &row);
    check_end(s->c, true);
}
static void nobody_started(struct story *s)
{
    struct check_row row = row_of(s);
    check_row(s->c, &row);
}
static void doubt_gave_another(struct story *s)
{
    tell(s, 0, 4);
    start_told(s, CHECK_UNKNOWN, false);
    key_other_id(s);
}
static void not_ended(struct story *s)
{
    struct check_row row = row_of(s);
    tell(s, 0, 1);
    row.seq = row.history_rows = row.folded_seq = 1;
    row.turn = 101;
    row.status = row.folded_status = 1;
    row.events = row.folded_events = 3;
    row.open_tasks = 1;
    start_told(s, CHECK_OK, false);
    check_row(s->c, &row);
    check_end(s->c, true);
}
static void payload_changed(struct story *s)
{
    check_payload(s->c, "here", STR("{\"a\":1}"), STR("{\"a\":2}"));
}
static void told_to_another(struct story *s)
{
    check_tenant(s->c, "a task", 1, 2);
}
static void number_given_again(struct story *s)
{
    check_tenant_number(s->c, 7, 1);
    check_tenant_number(s->c, 8, 2);
    check_tenant_number(s->c, 7, 2);
}
static void fold_differs(struct story *s)
{
    struct check_row row = row_of(s);
    tell(s, 0, 4);
    row.digest_snapshot++;
    check_row(s->c, &row);
}
static void fold_impossible(struct story *s)
{
    struct check_row row = row_of(s);
    tell(s, 0, 4);
    row.folded = false;
    check_row(s->c, &row);
}

/* ---- letters and children ---- */

static struct inbox_row letter;
static struct str source = {"kid", 3};

/* The execution tells itself something in one turn and reads it in the next. */
static void letter_story(struct story *s, int sent_by, int read_by)
{
    letter = (struct inbox_row){.exec = s->id, .source = source, .payload = STR("x")};
    s->turns[sent_by].inbox_new = &letter;
    s->turns[sent_by].inbox_new_len = 1;
    s->turns[read_by].inbox_done = &source;
    s->turns[read_by].inbox_done_len = 1;
}
static void letter_read_twice(struct story *s)
{
    letter_story(s, TURN_TASK_DONE, TURN_TIMER);
    s->turns[TURN_LAST_DONE].inbox_done = &source;
    s->turns[TURN_LAST_DONE].inbox_done_len = 1;
    tell_all(s);
}
static void letter_sent_twice(struct story *s)
{
    letter_story(s, TURN_TASK_DONE, TURN_LAST_DONE);
    s->turns[TURN_TIMER].inbox_new = &letter;
    s->turns[TURN_TIMER].inbox_new_len = 1;
    tell_all(s);
}
static void letter_of_nobody(struct story *s)
{
    letter_story(s, TURN_TASK_DONE, TURN_TIMER);
    s->turns[TURN_TASK_DONE].inbox_new_len = 0;
    tell_all(s);
}
static void letter_never_read(struct story *s)
{
    struct check_row row = row_of(s);
    tell(s, 0, 4);
    start_told(s, CHECK_OK, false);
    row.messages = 1;
    check_row(s->c, &row);
    check_end(s->c, true);
}
static void child_of_nobody(struct story *s)
{
    struct task_token parent = s->done[0];
    parent.ref.attempt = 2;
    tell(s, 0, 4);
    check_child(s->c, &s->id, &parent);
}
static void two_children_of_one(struct story *s)
{
    tell(s, 0, 4);
    check_child(s->c, &s->id, &s->done[0]);
    check_child(s->c, &s->id, &s->done[0]);
}
static void child_without_parent(struct story *s)
{
    struct check_row row = row_of(s);
    tell(s, 0, 4);
    check_row(s->c, &row);
    check_end(s->c, true); /* no client has sent a start, and no task is named */
}

static void claim(struct story *s, uint64_t epoch, uint8_t id)
{
    struct lane_row got = {.lane = 3, .fence = {epoch, {{id}}}};
    struct store_claim q = {.got = &got, .got_len = 1};
    check_claim(s->c, &q, (struct wall){S});
}
static void epoch_repeats(struct story *s)
{
    claim(s, 7, 1);
    claim(s, 7, 2);
}
static void claim_repeats(struct story *s)
{
    claim(s, 7, 1);
    claim(s, 8, 1);
}

static const struct {
    const char *name;
    void (*tell)(struct story *s);
    int invariant;
} broken[] = {
    {"early timer", early_timer, 24},
    {"timer twice", timer_twice, 24},
    {"timer row lost", timer_row_lost, 24},
    {"open timer dropped", open_timer_dropped, 24},
    {"event gap", event_gap, 18},
    {"turn skipped", turn_skipped, 18},
    {"turn of nobody", turn_of_nobody, 18},
    {"outcome twice", outcome_twice, 19},
    {"two outcomes for one", two_outcomes_for_one, 19},
    {"outcome not durable", outcome_not_durable, 19},
    {"second attempt too soon", second_attempt_too_soon, 20},
    {"dispatched before durable", dispatched_before_durable, 20},
    {"attempts beyond rule", attempts_beyond_rule, 22},
    {"back-off too short", backoff_too_short, 22},
    {"commit after stop", commit_after_stop, 25},
    {"stop not durable", stop_not_durable, 25},
    {"dispatched after stop", dispatched_after_stop, 25},
    {"heartbeat after stop", heartbeat_after_stop, 25},
    {"ended with open task", ended_with_open_task, 25},
    {"changed after end", changed_after_end, 26},
    {"told two ends", told_two_ends, 26},
    {"told wrong end", told_wrong_end, 26},
    {"row differs", row_differs, 26},
    {"start lost", start_lost, 14},
    {"started then gone", started_then_gone, 14},
    {"key twice", key_twice, 15},
    {"key other id", key_other_id, 15},
    {"key other input", key_other_input, 15},
    {"refused for nothing", refused_for_nothing, 15},
    {"failure left a run", failure_left_a_run, 16},
    {"nobody started", nobody_started, 16},
    {"doubt gave another", doubt_gave_another, 17},
    {"not ended", not_ended, 21},
    {"payload changed", payload_changed, 27},
    {"told to another tenant", told_to_another, 38},
    {"a tenant's number given again", number_given_again, 38},
    {"fold differs", fold_differs, 5},
    {"fold impossible", fold_impossible, 5},
    {"epoch repeats", epoch_repeats, 1},
    {"claim repeats", claim_repeats, 1},
    {"letter read twice", letter_read_twice, 19},
    {"letter sent twice", letter_sent_twice, 19},
    {"letter of nobody", letter_of_nobody, 19},
    {"letter never read", letter_never_read, 21},
    {"child of nobody", child_of_nobody, 20},
    {"two children of one", two_children_of_one, 15},
    {"child without parent", child_without_parent, 16},
};

START_TEST(test_sound_history_is_accepted)
{
    struct story s;
    story_init(&s);
    tell_all(&s);
    ck_assert_msg(found_len == 0, "invariant %d was reported", found[0]);
    checkers_free(s.c);
}
END_TEST

START_TEST(test_broken_history_is_found)
{
    struct story s;
    bool named = false;
    story_init(&s);
    broken[_i].tell(&s);
    for (int i = 0; i < found_len; i++) {
        named = named || found[i] == broken[_i].invariant;
    }
    ck_assert_msg(named, "%s: not reported as %d (%d reports, first %d)", broken[_i].name,
                  broken[_i].invariant, found_len, found_len > 0 ? found[0] : 0);
    checkers_free(s.c);
}
END_TEST

START_TEST(test_letters_and_children_are_accepted)
{
    struct story s;
    struct check_row row;
    story_init(&s);
    letter_story(&s, TURN_TASK_DONE, TURN_TIMER);
    tell(&s, 0, TURNS);
    check_child(s.c, &s.id, &s.done[0]);
    row = row_of(&s);
    check_row(s.c, &row);
    check_end(s.c, true);
    ck_assert_msg(found_len == 0, "invariant %d was reported", found[0]);
    /* The turn that sent it is undone, and so is the one that read it. */
    check_lost_tail(s.c, (struct wall){12 * S});
    check_end(s.c, false);
    ck_assert_int_eq(found_len, 0);
    checkers_free(s.c);
}
END_TEST

/* A tail that vanished: what stays is as if the rest had never been told. */
START_TEST(test_lost_tail_is_forgotten)
{
    struct story s;
    story_init(&s);
    tell(&s, 0, 4);
    start_told(&s, CHECK_OK, false);
    check_lost_tail(s.c, (struct wall){17 * S});
    s.at[2].us = 30 * S;
    s.at[3].us = 31 * S;
    tell(&s, 2, 4); /* the two turns that were lost, again */
    struct check_row row = row_of(&s);
    check_row(s.c, &row);
    check_end(s.c, true);
    ck_assert_msg(found_len == 0, "invariant %d was reported", found[0]);
    check_lost_tail(s.c, (struct wall){0}); /* and now all of it, acknowledged start included */
    check_end(s.c, true);
    ck_assert_int_eq(found_len, 0);
    checkers_free(s.c);
}
END_TEST

START_TEST(test_epochs_may_repeat_on_another_timeline)
{
    struct story s;
    story_init(&s);
    claim(&s, 7, 1);
    check_lost_tail(s.c, (struct wall){0});
    claim(&s, 7, 2);
    ck_assert_int_eq(found_len, 0);
    claim(&s, 8, 1); /* a claim id never */
    ck_assert_int_eq(found_len, 1);
    checkers_free(s.c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkers");
    TCase *tc = tcase_create("self-test");
    tcase_add_test(tc, test_sound_history_is_accepted);
    tcase_add_loop_test(tc, test_broken_history_is_found, 0, (int)ARRAY_LEN(broken));
    tcase_add_test(tc, test_letters_and_children_are_accepted);
    tcase_add_test(tc, test_lost_tail_is_forgotten);
    tcase_add_test(tc, test_epochs_may_repeat_on_another_timeline);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
