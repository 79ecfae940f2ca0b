/* What conf_load.c (files) and conf_env.c (environment and flags) share. */
#ifndef CARILLON_CONF_CONF_LOAD_H
#define CARILLON_CONF_CONF_LOAD_H

#include "conf/conf_internal.h"

struct conf_load {
    const struct conf_source *s;
    struct conf *c;
    struct conf_problems *p;
    struct conf_origin at; /* layer and name of what is being read */
    struct arena scratch;
};

/* The value at a place, from text; problems are noted. */
void conf_set_text(struct conf_load *l, const struct conf_place *p, struct str text,
                   const struct conf_origin *from);
/* The same for lists, too, whose text is YAML. From l->at. */
void conf_set_any(struct conf_load *l, const struct conf_place *p, struct str text);
/* The value at a place is what stands in this file. "may_miss": no such file is no mistake. */
void conf_set_secret(struct conf_load *l, const struct conf_place *p, const char *path,
                     const struct conf_origin *from, bool may_miss);
/* A new element at the end of a list; NULL when it is full. */
void *conf_list_add(struct conf_load *l, const struct conf_row *row);

bool conf_is_short_variable(struct str name);
void conf_load_environment(struct conf_load *l); /* credentials, then variables */
void conf_load_flags(struct conf_load *l);

#endif
