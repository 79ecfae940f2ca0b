/* `carillon completion SHELL`: printed from the table of commands. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/carillon/cli.h"

/* The first word of a command; the second, or "" for a command of one word. */
static struct str first_of(const struct command *c)
{
    return (struct str){c->words, strcspn(c->words, " ")};
}

static const char *second_of(const struct command *c)
{
    const char *s = c->words + strcspn(c->words, " ");
    return s + strspn(s, " ");
}

/* Is it the first of those that begin with the same word? */
static bool is_first(const struct command *c)
{
    for (const struct command *o = commands; o != c; o++) {
        if (o->help != NULL && str_eq(first_of(o), first_of(c))) {
            return false;
        }
    }
    return c->help != NULL;
}

static void firsts(void)
{
    for (const struct command *c = commands; c->words != NULL; c++) {
        if (is_first(c)) {
            (void)printf(" %.*s", STR_ARG(first_of(c)));
        }
    }
}

static void seconds(struct str first)
{
    for (const struct command *c = commands; c->words != NULL; c++) {
        if (c->help != NULL && str_eq(first_of(c), first)) {
            (void)printf(" %s", second_of(c));
        }
    }
}

static void options_of(const struct command *c)
{
    for (size_t i = 0; i < cli_options_len; i++) {
        if (command_takes(c, cli_options[i].name)) {
            (void)printf(" --%s", cli_options[i].name);
        }
    }
    (void)printf(" --help");
}

/* The branches of a case statement over the words so far: sets "opts" and "subs". */
static void cases(void)
{
    for (const struct command *c = commands; c->words != NULL; c++) {
        if (c->help != NULL) {
            (void)printf("    \" %s \"*) opts=\"", c->words);
            options_of(c);
            (void)printf("\" ;;\n");
        }
    }
    for (const struct command *c = commands; c->words != NULL; c++) {
        if (is_first(c) && second_of(c)[0] != '\0') {
            (void)printf("    \" %.*s \"*) subs=\"", STR_ARG(first_of(c)));
            seconds(first_of(c));
            (void)printf("\" ;;\n");
        }
    }
    (void)printf("    \" \") subs=\"");
    firsts();
    (void)printf("\" ;;\n    esac\n");
}

static void bash(void)
{
    (void)printf("_carillon() {\n"
                 "    local cur=${COMP_WORDS[COMP_CWORD]} words=' ' subs='' opts='' i\n"
                 "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                 "        [[ ${COMP_WORDS[i]} == -* ]] || words+=\"${COMP_WORDS[i]} \"\n"
                 "    done\n"
                 "    case \"$words\" in\n");
    cases();
    (void)printf("    [[ $cur == -* ]] || opts=''\n"
                 "    COMPREPLY=($(compgen -W \"$subs $opts\" -- \"$cur\"))\n"
                 "}\n"
                 "complete -o default -F _carillon carillon\n");
}

static void zsh(void)
{
    (void)printf(
        "#compdef carillon\n"
        "_carillon() {\n"
        "    local subs='' opts='' words_so_far=\" ${(j: :)${(@)words[2,CURRENT-1]:#-*}} \"\n"
        "    case \"${words_so_far/#  / }\" in\n");
    cases();
    (void)printf("    if [[ -n $subs ]]; then compadd -- ${=subs}\n"
                 "    elif [[ $PREFIX == -* ]]; then compadd -- ${=opts}\n"
                 "    else _files; fi\n"
                 "}\n"
                 "compdef _carillon carillon\n");
}

/* In single quotes; fish knows \\ and \' inside of them. */
static void fish_quoted(const char *s)
{
    (void)putchar('\'');
    for (; *s != '\0'; s++) {
        (void)printf(*s == '\'' || *s == '\\' ? "\\%c" : "%c", *s);
    }
    (void)putchar('\'');
}

static void fish_options(const struct command *c)
{
    for (size_t i = 0; i < cli_options_len; i++) {
        const struct cli_option *o = &cli_options[i];
        if (!command_takes(c, o->name)) {
            continue;
        }
        (void)printf("complete -c carillon -n '__carillon_at %s' -l %s%s -d ", c->words, o->name,
                     o->arg == NULL ? "" : " -r");
        fish_quoted(o->help);
        (void)putchar('\n');
    }
}

static void fish(void)
{
    (void)printf("function __carillon_at\n"
                 "    set -l words (string match -v -- '-*' (commandline -opc)[2..])\n"
                 "    test (count $argv) = 0; and test (count $words) = 0; and return 0\n"
                 "    test (count $argv) -gt 0; and test \"$argv\" = \"$words[1..(count $argv)]\"\n"
                 "end\n");
    for (const struct command *c = commands; c->words != NULL; c++) {
        if (c->help == NULL) {
            continue;
        }
        bool two = second_of(c)[0] != '\0';
        if (two) {
            (void)printf("complete -c carillon -n '__carillon_at %.*s' -a %s -d ",
                         STR_ARG(first_of(c)), second_of(c));
            fish_quoted(c->help);
            (void)putchar('\n');
        }
        if (is_first(c)) {
            (void)printf("complete -c carillon -f -n __carillon_at -a %.*s -d ",
                         STR_ARG(first_of(c)));
            fish_quoted(two ? "more commands" : c->help);
            (void)putchar('\n');
        }
        fish_options(c);
    }
}

int cmd_completion(struct cli *c)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        if (strcmp(c->args[0], shells[i].name) == 0) {
            shells[i].print();
            return EXIT_OK;
        }
    }
    (void)fprintf(stderr, "carillon: completion for bash, zsh or fish, not \"%s\"\n", c->args[0]);
    return EXIT_USAGE;
}
