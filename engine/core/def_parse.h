/* Inside the definition parser: the walk over the JSON tree that def_walk.c and def_parse.c share. */
#ifndef CARILLON_ENGINE_CORE_DEF_PARSE_H
#define CARILLON_ENGINE_CORE_DEF_PARSE_H

#include "engine/core/def.h"

struct parser {
    struct def *d;
    struct arena *a;
    struct def_problems *problems;
    struct buf pointer; /* of the value being read */
};

/* Reports a problem at a value, or at a member's name, under the current pointer. */
void dp_report(struct parser *p, const struct jv *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
void dp_report_member(struct parser *p, const struct jmember *m, const char *text);
/* Goes one step down the JSON pointer; the mark leads back. */
size_t dp_enter(struct parser *p, struct str name);
size_t dp_enter_index(struct parser *p, uint32_t i);
void dp_leave(struct parser *p, size_t mark);
/* Where the expression parsers send their problems: arg is the parser. */
void dp_expr_report(void *arg, const struct jv *at, const char *message);
/* The member, of the wanted type; NULL when absent, also after a report of a wrong type. */
const struct jv *dp_member(struct parser *p, const struct jv *obj, const char *name,
                           enum jtype type);
struct str dp_member_str(struct parser *p, const struct jv *obj, const char *name);
/* Paths and templates; NULL when absent or wrong (then reported). */
const struct path *dp_parse_path(struct parser *p, const struct jv *v);
const struct path *dp_member_path(struct parser *p, const struct jv *obj, const char *name);
struct path_field dp_member_path_or_null(struct parser *p, const struct jv *obj, const char *name);
struct path_field dp_result_path(struct parser *p, const struct jv *obj);
const struct tmpl *dp_member_tmpl(struct parser *p, const struct jv *obj, const char *name);
/* Assign: a template whose names are variables. */
const struct tmpl *dp_member_assign(struct parser *p, const struct jv *obj);
/* Whole numbers from lo to hi. */
bool dp_whole_number(struct parser *p, const struct jv *v, const char *name, int64_t lo, int64_t hi,
                     int64_t *out);
void dp_member_number(struct parser *p, const struct jv *obj, const char *name, int64_t lo,
                      int64_t hi, int64_t *out);
/* "name" or "namePath", never both. */
struct num_field dp_number_or_path(struct parser *p, const struct jv *obj, const char *name,
                                   const char *path_name, int64_t lo, int64_t hi);

#endif
