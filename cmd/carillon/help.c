/* See help.h. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/carillon/help.h"

enum { LEFT = 32, WIDTH = 78 };

/* Broken between words at WIDTH; the first line begins at column "at", the others after "indent" blanks. */
static void wrapped(FILE *out, const char *s, int at, int indent)
{
    while (*s != '\0') {
        size_t room = (size_t)(WIDTH - at), size = strlen(s);
        if (size > room) {
            for (size = room; size > 0 && s[size] != ' '; size--) {
            }
            size = size > 0 ? size : strcspn(s, " "); /* a word that is longer than the line */
        }
        (void)fprintf(out, "%.*s\n", (int)size, s);
        s += size + (s[size] == ' ');
        at = indent;
        if (*s != '\0') {
            (void)fprintf(out, "%*s", indent, "");
        }
    }
}

static void row(FILE *out, const char *left, const char *help)
{
    int n = fprintf(out, "  %-*s ", LEFT, left);
    if (n > LEFT + 3) {
        (void)fprintf(out, "\n%*s", LEFT + 3, "");
    }
    wrapped(out, help, LEFT + 3, LEFT + 3);
}

static void option_left(const struct cli_option *o, char *out, size_t room)
{
    char letter[8] = "";
    if (o->letter != 0) {
        (void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
    }
    (void)snprintf(out, room, "%s--%s%s%s", letter, o->name, o->arg == NULL ? "" : " ",
                   o->arg == NULL ? "" : o->arg);
}

static const char exit_codes[] = "0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 no node "
                                 "reached, 124 time-out";

void help_all(FILE *out)
{
    (void)fprintf(out, "usage: carillon COMMAND [ARGUMENTS] [OPTIONS]\n\n");
    for (const struct command *c = commands; c->words != NULL; c++) {
        char left[80];
        (void)snprintf(left, sizeof(left), "%s %s", c->words, c->args);
        if (c->help != NULL) {
            row(out, left, c->help);
        }
    }
    (void)fprintf(out,
                  "\ncarillon COMMAND --help tells more of each; --version the version.\n"
                  "Exit codes: %s.\n",
                  exit_codes);
}

/* The examples, a line each, after "indent". */
static void examples(FILE *out, const char *s, const char *indent)
{
    while (*s != '\0') {
        size_t size = strcspn(s, "\n");
        (void)fprintf(out, "%s%.*s\n", indent, (int)size, s);
        s += size + (s[size] == '\n');
    }
}

void help_command(FILE *out, const struct command *c)
{
    (void)fprintf(out, "usage: carillon %s %s%s%s\n\n", c->words, c->args,
                  c->args[0] == '\0' ? "" : " ", c->options[0] == '\0' ? "" : "[OPTIONS]");
    if (c->help != NULL) {
        wrapped(out, c->help, 0, 0);
    }
    if (c->more != NULL) {
        (void)fputc('\n', out);
        wrapped(out, c->more, 0, 0);
    }
    if (c->examples != NULL) {
        (void)fprintf(out, "\nexamples:\n");
        examples(out, c->examples, "  ");
    }
    for (size_t i = 0, n = 0; i < cli_options_len; i++) {
        char left[80];
        if (command_takes(c, cli_options[i].name)) {
            (void)fputs(n++ == 0 ? "\noptions:\n" : "", out);
            option_left(&cli_options[i], left, sizeof(left));
            row(out, left, cli_options[i].help);
        }
    }
    (void)fprintf(out, "\nexit codes: %s\n", exit_codes);
}

/* ---- the man page ---- */

void help_man_text(FILE *out, const char *s)
{
    for (bool begin = true; *s != '\0'; s++) {
        if (begin && (*s == '.' || *s == '\'')) {
            (void)fputs("\\&", out);
        }
        begin = *s == '\n';
        if (*s == '\\') {
            (void)fputs("\\e", out);
        } else if (*s == '-') {
            (void)fputs("\\-", out);
        } else {
            (void)fputc(*s, out);
        }
    }
}

static void man_option(FILE *out, const struct cli_option *o)
{
    char left[80];
    option_left(o, left, sizeof(left));
    (void)fputs(".TP\n.B ", out);
    help_man_text(out, left);
    (void)fputc('\n', out);
    help_man_text(out, o->help);
    (void)fputc('\n', out);
}

static void man_command(FILE *out, const struct command *c)
{
    (void)fputs(".SS carillon ", out);
    help_man_text(out, c->words);
    (void)fputc(' ', out);
    help_man_text(out, c->args);
    (void)fputc('\n', out);
    help_man_text(out, c->help);
    (void)fputs(".\n", out);
    if (c->more != NULL) {
        (void)fputs(".PP\n", out);
        help_man_text(out, c->more);
        (void)fputc('\n', out);
    }
    for (size_t i = 0, n = 0; i < cli_options_len; i++) {
        if (command_takes(c, cli_options[i].name)) {
            (void)fputs(n++ == 0 ? ".PP\nOptions:" : ",", out);
            (void)fputs(" \\fB\\-\\-", out);
            help_man_text(out, cli_options[i].name);
            (void)fputs("\\fR", out);
        }
    }
    (void)fputs("\n", out);
    if (c->examples != NULL) {
        (void)fputs(".PP\n.nf\n", out);
        help_man_text(out, c->examples);
        (void)fputs(".fi\n", out);
    }
}

void help_man(FILE *out)
{
    (void)fputs(".TH CARILLON 1\n.SH NAME\ncarillon \\- workflows from the command line\n"
                ".SH SYNOPSIS\n.B carillon\n.I COMMAND\n[ARGUMENTS] [OPTIONS]\n.SH COMMANDS\n",
                out);
    for (const struct command *c = commands; c->words != NULL; c++) {
        if (c->help != NULL) {
            man_command(out, c);
        }
    }
    (void)fputs(".SH OPTIONS\nEach command takes those that stand with it.\n", out);
    for (size_t i = 0; i < cli_options_len; i++) {
        man_option(out, &cli_options[i]);
    }
    (void)fputs(
        ".SH ENVIRONMENT\n.TP\n.B CARILLON_ADDRESS\nnodes, when there is no \\fB\\-\\-address\\fR\n"
        ".SH EXIT STATUS\n",
        out);
    help_man_text(out, exit_codes);
    (void)fputs("\n.SH SEE ALSO\n.BR carillond (8)\n", out);
}
