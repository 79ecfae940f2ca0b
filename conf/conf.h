/* The configuration of a node: struct conf, made from the one table keys.def.
 *
 * Pure: texts in, a struct out. The caller reads files, looks at the environment and says what is in
 * files that a key names (struct conf_source). Layers, the later one wins: presets, files in their
 * order, credentials, environment, flags. Mappings merge key by key; a list replaces the list of a
 * lower layer as a whole. All mistakes are reported, not the first. */
#ifndef CARILLON_CONF_CONF_H
#define CARILLON_CONF_CONF_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    CONF_FILE_SIZE_MAX = 256u << 10, /* bytes of one file, as base/yaml.h */
    CONF_SECRET_SIZE_MAX = 4096,     /* bytes of a file that holds one value */
    CONF_PROBLEMS_MAX = 100,         /* mistakes reported at once */
    CONF_DOCUMENT_LEAVES_MAX = 1000, /* values in documents that set nothing */
    CONF_LIST_MAX = 256,             /* elements of the longest list in the table */
};

enum conf_layer { CONF_PRESET, CONF_FILE, CONF_CREDENTIAL, CONF_ENVIRONMENT, CONF_FLAG };

/* Where a value comes from. */
struct conf_origin {
    enum conf_layer layer;
    uint32_t line, col; /* of a file, from 1 */
    const char *name;   /* of the file, credential, variable or flag; NULL: a preset */
};

/* ---- the struct ---- */

enum conf_kind {
    CONF_TEXT,
    CONF_NAME,     /* [A-Za-z0-9._:-]{1,255} */
    CONF_ADDRESS,  /* tcp://host:port or ipc:///path */
    CONF_DATABASE, /* a connection string: its password is masked wherever it is shown */
    CONF_SECRET,   /* never shown */
    CONF_ENUM,
    CONF_BOOL,
    CONF_INT,
    CONF_DURATION, /* microseconds */
    CONF_SIZE,     /* bytes */
    CONF_TEXTS,
    CONF_LIST,
    CONF_DOCUMENT, /* true when it is there */
};

struct conf_texts {
    struct str *v;
    uint32_t len;
};

#define CONF_C_TEXT     struct str
#define CONF_C_NAME     struct str
#define CONF_C_ADDRESS  struct str
#define CONF_C_DATABASE struct str
#define CONF_C_SECRET   struct str
#define CONF_C_ENUM     struct str /* one of the choices */
#define CONF_C_BOOL     bool
#define CONF_C_INT      int64_t
#define CONF_C_DURATION int64_t
#define CONF_C_SIZE     int64_t
#define CONF_C_TEXTS    struct conf_texts
#define CONF_C_DOCUMENT bool

/* struct conf_<record>: an element of a list; struct conf_<record>_list: the list. Texts end in a
 * NUL; one that is not set is STR_NONE. */
#define RECORD(record, identity) \
    struct conf_##record##_from { \
        struct conf_origin self;
#define FIELD(record, field, kind, name, preset, range, unit, force, help) struct conf_origin field;
#define RECORD_END(record) \
    } \
    ;
#include "conf/keys.def"

#define RECORD(record, identity)                                           struct conf_##record {
#define FIELD(record, field, kind, name, preset, range, unit, force, help) CONF_C_##kind field;
#define RECORD_END(record) \
    struct conf_##record##_from from; \
    } \
    ; \
    struct conf_##record##_list { \
        struct conf_##record *v; \
        uint32_t len; \
    };
#include "conf/keys.def"

struct conf_from {
#define KEY(field, kind, path, preset, range, unit, reload, force, help) struct conf_origin field;
#define LIST(field, record, path, len_max, force, help)                  struct conf_origin field;
#include "conf/keys.def"
};

/* A value in a document that sets nothing. */
struct conf_leaf {
    struct str path, text;
    struct conf_origin from;
};

struct conf {
#define KEY(field, kind, path, preset, range, unit, reload, force, help) CONF_C_##kind field;
#define LIST(field, record, path, len_max, force, help)                  struct conf_##record##_list field;
#include "conf/keys.def"
    struct conf_from from;
    struct conf_leaf *leaves;
    uint32_t leaves_len;
    uint32_t cpus;      /* that the node may run on; from struct conf_source */
    struct arena arena; /* owns all of it */
};

/* ---- loading ---- */

struct conf_file {
    const char *name; /* for messages */
    struct str text;
};

struct conf_flag {
    const char *name; /* as the user wrote it, for messages: "--heartbeat" */
    struct str path, value;
};

struct conf_source {
    const struct conf_file *files;
    size_t files_len;
    const char *const *environment; /* "NAME=value", NULL-ended; NULL: none */
    const struct conf_flag *flags;
    size_t flags_len;
    uint32_t cpus;
    /* Reads what a key "..._file" names, and credentials. ERR_NOT_FOUND when it is not there.
     * NULL: no file can be read. */
    enum err (*read)(void *arg, const char *path, struct buf *out, struct err_detail *d);
    void *arg;
};

/* A mistake, or something to tell. */
struct conf_problem {
    struct conf_origin from;
    struct str key, text; /* key: empty when the text is no YAML at all */
};

struct conf_problems {
    struct arena arena; /* owns the texts */
    struct conf_problem *v;
    uint32_t len;
    bool more; /* there were more than CONF_PROBLEMS_MAX */
};
void conf_problems_init(struct conf_problems *p);
void conf_problems_fini(struct conf_problems *p);
void conf_problem(struct conf_problems *p, const struct conf_origin *from, struct str key,
                  const char *fmt, ...) PRINTF_LIKE(4, 5);
/* "file:line:col: key: text", "VARIABLE: key: text". */
void conf_problem_print(struct buf *out, const struct conf_problem *p);

/* NULL when there is a problem. The texts of "source" may go away afterwards. Any thread. */
struct conf *conf_load(const struct conf_source *source, struct conf_problems *problems);
void conf_free(struct conf *c);

/* ---- what follows from the values ---- */

/* Turn loops to run: at most coreSize, and one processor is left to the connections. 0: one loop does
 * it all (ADR 0013). */
uint32_t conf_turn_loops(const struct conf *c);
/* The element of "schedulers" of this type; there always is one. */
const struct conf_scheduler *conf_scheduler(const struct conf *c, const char *type);
/* A libpq connection string of the primary, with user and password in it. In "a". */
struct str conf_conninfo(const struct conf *c, struct arena *a);
/* Adds a line for each key that was set and is not in force: why not. */
void conf_notes(const struct conf *c, struct conf_problems *notes);

/* Every leaf, a line each, as YAML: path: {value: ..., origin: "...", in_force: true}. Secrets are
 * masked. */
void conf_print(const struct conf *c, struct buf *out);
/* The connection string without passwords. */
void conf_mask(struct buf *out, struct str conninfo);

struct conf_change {
    struct str path; /* in the arena given */
    bool live;       /* may be applied to a running node */
};
/* Keys in force whose values differ, in the order of the table. Returns their number. */
uint32_t conf_diff(const struct conf *from, const struct conf *to, struct arena *a,
                   struct conf_change **out);

/* ---- the table at run time (documents, --help) ---- */

struct conf_record;
struct conf_row {
    const char *path; /* "node.id"; of a field: its name */
    enum conf_kind kind;
    const char *preset; /* ""; none; NULL: needed (fields only) */
    const char *range, *unit;
    bool live;
    const char *idle; /* why it is not in force; NULL: it is */
    const char *help;
    size_t at, from;                  /* in the struct */
    const struct conf_record *record; /* CONF_LIST */
    uint32_t len_max;                 /* CONF_LIST */
};
struct conf_record {
    const char *name, *identity; /* identity: NULL when the position names an element */
    const struct conf_row *fields;
    uint32_t len;
    size_t size, self; /* of the struct; where its own origin is */
};
struct conf_group {
    const char *path, *help;
};
struct conf_short {
    const char *name, *arg, *path, *value;
};
/* All of them by index in the order of the table; NULL past the last. */
const struct conf_row *conf_row_at(size_t i);
const struct conf_group *conf_group_at(size_t i);
const struct conf_short *conf_flag_at(size_t i);
const struct conf_short *conf_variable_at(size_t i);
/* The row that "path" ends at: a key, or the field of an element "list[identity].field". NULL: none. */
const struct conf_row *conf_row_of(struct str path);
/* The text of its preset, with that of an element that is always there; "": none. */
const char *conf_preset_of(struct str path);
/* "a duration such as 500ms or 30s, from ...": what the row wants, for people. */
void conf_row_wants(struct buf *out, const struct conf_row *row);
/* CARILLON_LOG__LEVEL */
void conf_row_variable(struct buf *out, const struct conf_row *row);

#endif
