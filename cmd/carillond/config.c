/* See config.h. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/carillond/config.h"

#include "base/os.h"

#include <dirent.h>
#include <sys/stat.h>

enum { FILES_MAX = 256 };

struct reader {
    struct conf_file v[FILES_MAX];
    struct buf bytes[FILES_MAX];
    size_t len;
    struct arena names;
    struct conf_problems *problems;
};

static void complain(struct reader *r, const char *name, const char *text)
{
    struct conf_origin from = {.layer = CONF_FILE, .name = name};
    conf_problem(r->problems, &from, STR_NONE, "%s", text);
}

static void read_file(struct reader *r, const char *path)
{
    struct err_detail d = {0};
    if (r->len == FILES_MAX) {
        complain(r, path, "too many files");
        return;
    }
    struct buf *bytes = &r->bytes[r->len];
    buf_init(bytes, 0);
    if (os_read_file(path, CONF_FILE_SIZE_MAX, bytes, &d) != ERR_OK) {
        complain(r, path, d.text);
        buf_fini(bytes);
        return;
    }
    r->v[r->len++] = (struct conf_file){.name = path, .text = buf_str(bytes)};
}

static int is_yaml(const struct dirent *e)
{
    struct str name = str_of(e->d_name);
    return name.p[0] != '.' && (str_ends(name, STR(".yaml")) || str_ends(name, STR(".yml")));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_folder(struct reader *r, const char *path)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_yaml, by_name);
    if (n < 0) {
        complain(r, path, strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        read_file(r, arena_printf(&r->names, "%s/%s", path, entries[i]->d_name));
        free(entries[i]);
    }
    free(entries);
}

static enum err read_named(void *arg, const char *path, struct buf *out, struct err_detail *d)
{
    (void)arg;
    return os_read_file(path, CONF_SECRET_SIZE_MAX, out, d);
}

struct conf *config_read(const struct config_args *args, struct conf_problems *problems)
{
    static struct reader r; /* large; the main thread's */
    struct stat st;
    r.len = 0;
    r.problems = problems;
    arena_init(&r.names, 0);
    for (size_t i = 0; i < args->paths_len; i++) {
        bool folder = stat(args->paths[i], &st) == 0 && S_ISDIR(st.st_mode);
        (folder ? read_folder : read_file)(&r, args->paths[i]);
    }
    struct conf_source source = {.files = r.v,
                                 .files_len = r.len,
                                 .environment = (const char *const *)environ,
                                 .flags = args->flags,
                                 .flags_len = args->flags_len,
                                 .cpus = (uint32_t)os_cpu_count(),
                                 .read = read_named};
    struct conf *c = conf_load(&source, problems);
    for (size_t i = 0; i < r.len; i++) {
        buf_fini(&r.bytes[i]);
    }
    arena_fini(&r.names);
    return c;
}
