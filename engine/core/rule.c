/* Choice rules: one test ("Variable" and a comparison), or And, Or, Not of rules.
 *
 * What the recordings show: a value of another type than the comparison's makes it false, never an
 * error (NumericEqualsPath of null, true, "" or [] is false; 1 equals 1.0). A "Variable" that finds
 * nothing fails the state with States.Runtime, except for IsPresent. */
#include "base/prelude.h"

#include "engine/core/expr_internal.h"

enum rule_type { RULE_TEST, RULE_AND, RULE_OR, RULE_NOT };

enum test_kind {
    TEST_STRING,
    TEST_NUMERIC,
    TEST_TIMESTAMP,
    TEST_BOOLEAN,
    TEST_MATCHES,
    TEST_IS_NULL,
    TEST_IS_PRESENT,
    TEST_IS_NUMERIC,
    TEST_IS_STRING,
    TEST_IS_BOOLEAN,
    TEST_IS_TIMESTAMP,
};

enum relation { REL_EQ, REL_LT, REL_GT, REL_LE, REL_GE };

struct operator
{
    const char *name; /* without "Path" */
    enum test_kind kind;
    enum relation relation;
};

/* A pattern of StringMatches, cut at its "*": the text must begin with the first piece, end with
 * the last and have the others between, in order. One piece: it must be equal. */
struct pattern {
    struct str *pieces;
    uint32_t len;
};

struct rule {
    enum rule_type type;
    /* AND, OR, NOT */
    const struct rule **rules;
    uint32_t len;
    /* TEST */
    const struct operator* op;
    const struct path *variable;
    const struct path *path; /* of a "...Path" comparison, or NULL: */
    const struct jv *literal;
    struct wall at;         /* TIMESTAMP with a literal */
    struct pattern pattern; /* MATCHES */
};

static const struct operator operators[] = {
    {"StringEquals", TEST_STRING, REL_EQ},
    {"StringLessThan", TEST_STRING, REL_LT},
    {"StringGreaterThan", TEST_STRING, REL_GT},
    {"StringLessThanEquals", TEST_STRING, REL_LE},
    {"StringGreaterThanEquals", TEST_STRING, REL_GE},
    {"NumericEquals", TEST_NUMERIC, REL_EQ},
    {"NumericLessThan", TEST_NUMERIC, REL_LT},
    {"NumericGreaterThan", TEST_NUMERIC, REL_GT},
    {"NumericLessThanEquals", TEST_NUMERIC, REL_LE},
    {"NumericGreaterThanEquals", TEST_NUMERIC, REL_GE},
    {"TimestampEquals", TEST_TIMESTAMP, REL_EQ},
    {"TimestampLessThan", TEST_TIMESTAMP, REL_LT},
    {"TimestampGreaterThan", TEST_TIMESTAMP, REL_GT},
    {"TimestampLessThanEquals", TEST_TIMESTAMP, REL_LE},
    {"TimestampGreaterThanEquals", TEST_TIMESTAMP, REL_GE},
    {"BooleanEquals", TEST_BOOLEAN, REL_EQ},
    {"StringMatches", TEST_MATCHES, REL_EQ},
    {"IsNull", TEST_IS_NULL, REL_EQ},
    {"IsPresent", TEST_IS_PRESENT, REL_EQ},
    {"IsNumeric", TEST_IS_NUMERIC, REL_EQ},
    {"IsString", TEST_IS_STRING, REL_EQ},
    {"IsBoolean", TEST_IS_BOOLEAN, REL_EQ},
    {"IsTimestamp", TEST_IS_TIMESTAMP, REL_EQ},
};

/* ---- timestamps ---- */

/* RFC 3339 with an upper-case T, and an upper-case Z where there is no offset (States Language).
 * Recorded for TimestampPath: no zone, or a blank for the T, is no timestamp. */
static bool to_timestamp(const struct jv *v, struct wall *out)
{
    struct str s = jv_str(v);
    if (!jv_is(v, JV_STRING) || s.size < 20 || s.p[10] != 'T' || s.p[s.size - 1] == 'z') {
        return false;
    }
    return wall_parse(s, out) == ERR_OK;
}

/* ---- parsing ---- */

struct parser {
    struct arena *arena;
    struct expr_problems *problems;
    bool failed;
};

static bool problem(struct parser *p, const struct jv *at, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Reports; returns false. */
static bool problem(struct parser *p, const struct jv *at, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    p->problems->report(p->problems->arg, at, message);
    p->failed = true;
    return false;
}

/* "with_path": the name ends in "Path" and the operator has that form. */
static const struct operator* find_operator(struct str name, bool *with_path)
{
    *with_path = false;
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        const struct operator* op = & operators[i];
        if (str_eqc(name, op->name)) {
            return op;
        }
        bool has_path_form = op->kind <= TEST_BOOLEAN;
        struct str base = str_of(op->name);
        if (has_path_form && name.size == base.size + 4 && str_starts(name, base) &&
            str_ends(name, STR("Path"))) {
            *with_path = true;
            return op;
        }
    }
    return NULL;
}

static bool parse_path(struct parser *p, const char *field, const struct jv *v,
                       const struct path **out)
{
    struct err_detail detail = {.code = ERR_OK};
    if (!jv_is(v, JV_STRING)) {
        return problem(p, v,
                       "'%s' must be a path in a string, such as \"$.status\"; it is of type "
                       "%s",
                       field, jtype_name((enum jtype)v->type));
    }
    if (path_parse(p->arena, jv_str(v), out, &detail) != ERR_OK) {
        return problem(p, v, "'%s' must be a path: %s", field, detail.text);
    }
    return true;
}

/* "\*" is a star and "\\" a backslash; any other backslash stands for itself. */
static bool parse_pattern(struct parser *p, const struct jv *v, struct pattern *out)
{
    struct str s = jv_str(v);
    uint32_t pieces = 1;
    for (size_t i = 0; i < s.size; i++) {
        pieces += s.p[i] == '*'; /* escaped ones, too: room enough */
    }
    char *text = arena_alloc(p->arena, s.size + 1);
    out->pieces = ARENA_ARRAY(p->arena, struct str, pieces);
    if (text == NULL || out->pieces == NULL) {
        return problem(p, v, "the rule needs too much memory");
    }
    size_t n = 0;
    size_t start = 0;
    for (size_t i = 0; i < s.size; i++) {
        bool escape = s.p[i] == '\\' && i + 1 < s.size && (s.p[i + 1] == '*' || s.p[i + 1] == '\\');
        if (s.p[i] == '*') {
            out->pieces[out->len++] = (struct str){text + start, n - start};
            start = n;
            continue;
        }
        i += escape;
        text[n++] = s.p[i];
    }
    out->pieces[out->len++] = (struct str){text + start, n - start};
    return true;
}

static bool parse_literal(struct parser *p, struct rule *r, const struct jv *v)
{
    const char *want = NULL;
    switch (r->op->kind) {
    case TEST_STRING:
        want = jv_is(v, JV_STRING) ? NULL : "a string";
        break;
    case TEST_NUMERIC:
        want = jv_is(v, JV_NUMBER) ? NULL : "a number";
        break;
    case TEST_TIMESTAMP:
        want = to_timestamp(v, &r->at) ? NULL
                                       : "a timestamp in a string, such as "
                                         "\"2016-03-14T01:59:00Z\"";
        break;
    case TEST_MATCHES:
        if (jv_is(v, JV_STRING)) {
            return parse_pattern(p, v, &r->pattern);
        }
        want = "a string";
        break;
    case TEST_BOOLEAN:
    case TEST_IS_NULL:
    case TEST_IS_PRESENT:
    case TEST_IS_NUMERIC:
    case TEST_IS_STRING:
    case TEST_IS_BOOLEAN:
    case TEST_IS_TIMESTAMP:
        want = jv_is_bool(v) ? NULL : "true or false";
        break;
    }
    return want == NULL || problem(p, v, "'%s' must be %s; it is of type %s", r->op->name, want,
                                   jtype_name((enum jtype)v->type));
}

static bool parse_operand(struct parser *p, struct rule *r, const struct jmember *m,
                          const struct operator* op, bool with_path)
{
    if (r->op != NULL) {
        return problem(p, m->value,
                       "a choice rule has one comparison; '%.*s' is a second one "
                       "(combine rules with And, Or)",
                       STR_ARG(m->name));
    }
    r->op = op;
    r->literal = m->value;
    if (with_path) {
        char field[64];
        (void)snprintf(field, sizeof(field), "%sPath", op->name);
        return parse_path(p, field, m->value, &r->path);
    }
    return parse_literal(p, r, m->value);
}

static const struct rule *parse_rule(struct parser *p, const struct jv *v, bool top);

static bool parse_list(struct parser *p, struct rule *r, const struct jmember *m)
{
    const struct jv *v = m->value;
    bool is_not = str_eqc(m->name, "Not");
    if (r->rules != NULL) {
        return problem(p, v, "a choice rule has one of And, Or, Not");
    }
    if (!is_not && (!jv_is(v, JV_ARRAY) || v->len == 0)) {
        return problem(p, v, "'%.*s' must be a non-empty list of choice rules", STR_ARG(m->name));
    }
    r->type = is_not ? RULE_NOT : str_eqc(m->name, "And") ? RULE_AND : RULE_OR;
    r->len = is_not ? 1 : v->len;
    r->rules = ARENA_ARRAY(p->arena, const struct rule *, r->len);
    if (r->rules == NULL) {
        return problem(p, v, "the rule needs too much memory");
    }
    for (uint32_t i = 0; i < r->len; i++) {
        r->rules[i] = parse_rule(p, is_not ? v : v->u.items[i], false);
    }
    return true;
}

static bool parse_member(struct parser *p, struct rule *r, const struct jmember *m, bool top)
{
    struct str name = m->name;
    bool with_path = false;
    const struct operator* op = find_operator(name, &with_path);
    if (op != NULL) {
        return parse_operand(p, r, m, op, with_path);
    }
    if (str_eqc(name, "Variable")) {
        return parse_path(p, "Variable", m->value, &r->variable);
    }
    if (str_eqc(name, "And") || str_eqc(name, "Or") || str_eqc(name, "Not")) {
        return parse_list(p, r, m);
    }
    if (str_eqc(name, "Comment")) {
        return jv_is(m->value, JV_STRING) || problem(p, m->value, "'Comment' must be a string");
    }
    if (str_eqc(name, "Next") || str_eqc(name, "Assign")) {
        return top || problem(p, m->value,
                              "'%.*s' belongs to the outermost rule, not to a rule "
                              "inside And, Or, Not",
                              STR_ARG(name));
    }
    if (str_eqc(name, "Condition") || str_eqc(name, "Output")) {
        return problem(p, m->value,
                       "'%.*s' needs the query language JSONata, which is not "
                       "supported; use Variable and a comparison",
                       STR_ARG(name));
    }
    return problem(p, m->value, "'%.*s' is not a field of a choice rule", (int)MIN(name.size, 100u),
                   name.p);
}

static const struct rule *parse_rule(struct parser *p, const struct jv *v, bool top)
{
    if (!jv_is(v, JV_OBJECT)) {
        (void)problem(p, v, "a choice rule must be an object");
        return NULL;
    }
    struct rule *r = ARENA_NEW(p->arena, struct rule);
    if (r == NULL) {
        (void)problem(p, v, "the rule needs too much memory");
        return NULL;
    }
    bool good = true;
    for (uint32_t i = 0; i < v->len; i++) {
        good = parse_member(p, r, &v->u.members[i], top) && good;
    }
    if (!good) {
        return NULL;
    }
    if (r->rules != NULL && (r->op != NULL || r->variable != NULL)) {
        (void)problem(p, v, "a choice rule is either a comparison or one of And, Or, Not");
    } else if (r->rules == NULL && r->variable == NULL) {
        (void)problem(p, v, "a choice rule needs 'Variable' and a comparison, or And, Or, Not");
    } else if (r->rules == NULL && r->op == NULL) {
        (void)problem(p, v, "a comparison is missing, such as \"StringEquals\": \"...\"");
    }
    return r;
}

const struct rule *rule_parse(struct arena *a, const struct jv *v, bool top,
                              struct expr_problems *problems)
{
    struct parser p = {.arena = a, .problems = problems};
    const struct rule *r = parse_rule(&p, v, top);
    return p.failed ? NULL : r;
}

/* ---- evaluation ---- */

static bool holds(enum relation relation, int c)
{
    switch (relation) {
    case REL_EQ:
        return c == 0;
    case REL_LT:
        return c < 0;
    case REL_GT:
        return c > 0;
    case REL_LE:
        return c <= 0;
    case REL_GE:
        return c >= 0;
    }
    return false;
}

/* Pieces between stars are taken at their first place, which leaves most room for the rest: one
 * pass over the text, no backtracking. */
static bool matches(const struct pattern *m, struct str s)
{
    struct str first = m->pieces[0];
    struct str last = m->pieces[m->len - 1];
    if (m->len == 1) {
        return str_eq(s, first);
    }
    if (s.size < first.size + last.size || !str_starts(s, first) || !str_ends(s, last)) {
        return false;
    }
    s = str_sub(s, first.size, s.size - first.size - last.size);
    for (uint32_t i = 1; i + 1 < m->len; i++) {
        struct str piece = m->pieces[i];
        if (piece.size == 0) {
            continue;
        }
        const char *found = s.size >= piece.size ? memmem(s.p, s.size, piece.p, piece.size) : NULL;
        if (found == NULL) {
            return false;
        }
        size_t skip = (size_t)(found - s.p) + piece.size;
        s = str_sub(s, skip, s.size - skip);
    }
    return true;
}

static bool compare_timestamps(const struct rule *r, const struct jv *v, const struct jv *other)
{
    struct wall a;
    struct wall b = r->at;
    if (!to_timestamp(v, &a) || (r->path != NULL && !to_timestamp(other, &b))) {
        return false;
    }
    return holds(r->op->relation, (a.us > b.us) - (a.us < b.us));
}

static bool test_holds(const struct rule *r, const struct jv *v, const struct jv *other)
{
    struct wall ignored;
    bool want = jv_is(other, JV_TRUE); /* the operand of Is... */
    switch (r->op->kind) {
    case TEST_STRING:
        return jv_is(v, JV_STRING) && jv_is(other, JV_STRING) &&
               holds(r->op->relation, str_cmp(v->u.s, other->u.s));
    case TEST_NUMERIC:
        return jv_is(v, JV_NUMBER) && jv_is(other, JV_NUMBER) &&
               holds(r->op->relation, expr_number_cmp(v, other));
    case TEST_TIMESTAMP:
        return compare_timestamps(r, v, other);
    case TEST_BOOLEAN:
        return jv_is_bool(v) && jv_is_bool(other) && v->type == other->type;
    case TEST_MATCHES:
        return jv_is(v, JV_STRING) && matches(&r->pattern, v->u.s);
    case TEST_IS_NULL:
        return jv_is(v, JV_NULL) == want;
    case TEST_IS_NUMERIC:
        return jv_is(v, JV_NUMBER) == want;
    case TEST_IS_STRING:
        return jv_is(v, JV_STRING) == want;
    case TEST_IS_BOOLEAN:
        return jv_is_bool(v) == want;
    case TEST_IS_TIMESTAMP:
        return to_timestamp(v, &ignored) == want;
    case TEST_IS_PRESENT:
        break;
    }
    return false;
}

/* The value at a path of a rule. What it says when there is none is the real service's text
 * (public reports; no recorded case has it). */
static bool rule_value(const struct path *p, const struct eval_env *env, const struct jv **out,
                       struct asl_error *err)
{
    if (!path_find(p, env, NULL, out, err)) {
        return false;
    }
    return *out != NULL ||
           asl_fail(err, env->arena, STR("States.Runtime"),
                    "Invalid path '%.*s': The choice state's condition path references an invalid "
                    "value.",
                    STR_ARG(p->text));
}

static uint64_t text_weight(const struct jv *v)
{
    return jv_is(v, JV_STRING) ? v->u.s.size / 64 : 0;
}

static bool eval_test(const struct rule *r, const struct eval_env *env, bool *out,
                      struct asl_error *err)
{
    const struct jv *v = NULL;
    const struct jv *other = r->literal;
    if (r->op->kind == TEST_IS_PRESENT) {
        if (!path_find(r->variable, env, NULL, &v, err)) {
            return false;
        }
        bool present = v != NULL && (r->variable->definite || v->len > 0);
        *out = present == jv_is(other, JV_TRUE);
        return true;
    }
    if (!rule_value(r->variable, env, &v, err) ||
        (r->path != NULL && !rule_value(r->path, env, &other, err)) ||
        !expr_spend(env, 1 + text_weight(v), err)) {
        return false;
    }
    *out = test_holds(r, v, other);
    return true;
}

bool rule_eval(const struct rule *r, const struct eval_env *env, bool *out, struct asl_error *err)
{
    if (r->type == RULE_TEST) {
        return eval_test(r, env, out, err);
    }
    if (!expr_spend(env, 1, err)) {
        return false;
    }
    /* And stops at the first false rule, Or at the first true one, Not has but one. */
    for (uint32_t i = 0; i < r->len; i++) {
        if (!rule_eval(r->rules[i], env, out, err)) {
            return false;
        }
        if (r->type != RULE_NOT && *out == (r->type == RULE_OR)) {
            return true;
        }
    }
    *out = r->type == RULE_NOT ? !*out : r->type == RULE_AND;
    return true;
}
