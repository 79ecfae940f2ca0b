/* What the tables of commands and options say to people and shells. */
#ifndef CARILLON_CMD_CARILLON_HELP_H
#define CARILLON_CMD_CARILLON_HELP_H

#include "cmd/carillon/cli.h"

void help_all(FILE *out);                              /* carillon --help */
void help_command(FILE *out, const struct command *c); /* carillon COMMAND --help */
void help_man(FILE *out);                              /* the man page carillon.1, as troff */
/* Text for troff: "\" and "-" as they stand, no line that reads as a request. */
void help_man_text(FILE *out, const char *s);

#endif
