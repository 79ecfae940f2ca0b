/* See private_pg.h. The server is started without pg_ctl: it stays our child, so that its end can
 * be waited for, and the kernel ends it (PR_SET_PDEATHSIG) when we go. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/private_pg.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PATH_SIZE = 512, ARGS_MAX = 64, START_TRIES = 5, READY_MS = 30000, POLL_MS = 10 };

struct pg_private {
    char bin[PATH_SIZE];  /* folder of initdb and postgres */
    char dir[PATH_SIZE];  /* ours: data, log, socket */
    char data[PATH_SIZE]; /* dir/data */
    char user[64];        /* database superuser = operating system user */
    char conninfo[PATH_SIZE + 160];
    char socket_info[PATH_SIZE + 160];
    char *options;
    struct passwd *who; /* whom to become; NULL: stay who we are */
    bool keep;          /* the folder is the user's and stays */
    int port;
    pid_t pid;
};

static void pause_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The newest installed server, as Debian lays it out; PG_BINDIR overrides. */
static bool find_bin(char *out)
{
    const char *given = getenv("PG_BINDIR");
    if (given != NULL) {
        snprintf(out, PATH_SIZE, "%s", given);
        return true;
    }
    glob_t g;
    bool found = glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &g) == 0 && g.gl_pathc > 0;
    if (found) {
        const char *path = g.gl_pathv[g.gl_pathc - 1];
        snprintf(out, PATH_SIZE, "%.*s", (int)(strrchr(path, '/') - path), path);
    }
    globfree(&g);
    return found;
}

/* Child side: becomes the unprivileged user, dies with the parent, keeps no descriptors. */
static void become(const struct pg_private *pg, pid_t parent, const char *log)
{
    if (pg->who != NULL) {
        gid_t gid = pg->who->pw_gid;
        if (setgroups(1, &gid) != 0 || setgid(gid) != 0 || setuid(pg->who->pw_uid) != 0) {
            _exit(126);
        }
    }
    /* After the change of user: the kernel clears the signal when credentials change. */
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (getppid() != parent || chdir(pg->dir) != 0) {
        _exit(126);
    }
    int in = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) {
        _exit(126);
    }
    for (int fd = 3; fd < 1024; fd++) {
        close(fd);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* a ^C for the test is not one for the server */
}

static pid_t spawn(const struct pg_private *pg, char *const argv[])
{
    char log[PATH_SIZE + 8];
    snprintf(log, sizeof(log), "%s/log", pg->dir);
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(pg, parent, log);
        execv(argv[0], argv);
        _exit(127);
    }
    return pid;
}

/* The last lines of the server's log as the reason. */
static enum err failed(const struct pg_private *pg, const char *what, struct err_detail *detail)
{
    char path[PATH_SIZE + 8];
    char tail[180] = "";
    snprintf(path, sizeof(path), "%s/log", pg->dir);
    FILE *f = fopen(path, "r");
    if (f != NULL) {
        if (fseek(f, -(long)(sizeof(tail) - 1), SEEK_END) != 0) {
            rewind(f);
        }
        size_t n = fread(tail, 1, sizeof(tail) - 1, f);
        tail[n] = '\0';
        fclose(f);
    }
    return err_set(detail, ERR_UNAVAILABLE, "%s: %s", what, tail);
}

static int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int port = 0;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &size) == 0) {
        port = ntohs(a.sin_port);
    }
    if (fd >= 0) {
        close(fd);
    }
    return port;
}

static bool exited(struct pg_private *pg)
{
    int status;
    if (pg->pid == 0 || waitpid(pg->pid, &status, WNOHANG) == pg->pid) {
        pg->pid = 0;
        return true;
    }
    return false;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The process that made a folder, from its name. */
static bool owner_of(const char *name, int *pid)
{
    static const char prefix[] = "carillon-pg-";
    char *end = NULL;
    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0) {
        return false;
    }
    long n = strtol(name + sizeof(prefix) - 1, &end, 10);
    *pid = (int)n;
    return *end == '-' && n > 0 && n <= INT_MAX;
}

/* Folders of tests that were killed. */
static void sweep(const char *tmp)
{
    DIR *d = opendir(tmp);
    if (d == NULL) {
        return;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        int pid = 0;
        if (owner_of(e->d_name, &pid) && kill(pid, 0) != 0 && errno == ESRCH) {
            char path[PATH_SIZE];
            snprintf(path, sizeof(path), "%s/%s", tmp, e->d_name);
            remove_tree(path);
        }
    }
    closedir(d);
}

static bool cluster_exists(const struct pg_private *pg)
{
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof(path), "%s/PG_VERSION", pg->data);
    return access(path, F_OK) == 0;
}

static enum err make_cluster(struct pg_private *pg, struct err_detail *detail)
{
    if (cluster_exists(pg)) {
        return ERR_OK;
    }
    char initdb[PATH_SIZE + 8];
    snprintf(initdb, sizeof(initdb), "%s/initdb", pg->bin);
    char *argv[] = {initdb,
                    "-D",
                    pg->data,
                    "-U",
                    pg->user,
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--data-checksums",
                    pg->keep ? NULL : "--no-sync",
                    NULL};
    pid_t pid = spawn(pg, argv);
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        return failed(pg, "initdb", detail);
    }
    return ERR_OK;
}

static enum err launch(struct pg_private *pg, struct err_detail *detail)
{
    char postgres[PATH_SIZE + 16];
    char port[16];
    char *words = mem_strdup(pg->options);
    snprintf(postgres, sizeof(postgres), "%s/postgres", pg->bin);
    snprintf(port, sizeof(port), "%d", pg->port);
    char *argv[ARGS_MAX] = {postgres,
                            "-D",
                            pg->data,
                            "-p",
                            port,
                            "-k",
                            pg->dir,
                            "-h",
                            "127.0.0.1",
                            "-c",
                            "logging_collector=off",
                            "-c",
                            "dynamic_shared_memory_type=posix"};
    size_t n = 13;
    char *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w != NULL && n < ARGS_MAX - 1;
         w = strtok_r(NULL, " ", &save)) {
        argv[n++] = w;
    }
    pg->pid = spawn(pg, argv);
    mem_free(words);
    if (pg->pid < 0) {
        pg->pid = 0;
        return failed(pg, "fork", detail);
    }
    for (int64_t end = now_ms() + READY_MS; now_ms() < end; pause_ms(POLL_MS)) {
        if (exited(pg)) {
            return failed(pg, "postgres ended", detail);
        }
        if (PQping(pg->conninfo) == PQPING_OK) {
            return ERR_OK;
        }
    }
    return failed(pg, "postgres does not get ready", detail);
}

static void end_server(struct pg_private *pg, int sig)
{
    if (pg->pid != 0) {
        int status;
        kill(pg->pid, sig);
        kill(pg->pid, SIGCONT); /* it may have been stopped by the test */
        waitpid(pg->pid, &status, 0);
        pg->pid = 0;
    }
}

/* Any port may be taken between asking for it and using it; then the next one is tried. */
static enum err start_somewhere(struct pg_private *pg, struct err_detail *detail)
{
    enum err e = ERR_UNAVAILABLE;
    struct err_detail why = {0};
    for (int i = 0; i < START_TRIES && e != ERR_OK; i++) {
        why = (struct err_detail){0};
        pg->port = free_port();
        snprintf(pg->conninfo, sizeof(pg->conninfo),
                 "host=127.0.0.1 port=%d user=%s dbname=postgres connect_timeout=5", pg->port,
                 pg->user);
        snprintf(pg->socket_info, sizeof(pg->socket_info),
                 "host=%s port=%d user=%s dbname=postgres connect_timeout=5", pg->dir, pg->port,
                 pg->user);
        e = launch(pg, &why);
        if (e != ERR_OK) {
            end_server(pg, SIGQUIT);
        }
    }
    return e == ERR_OK ? e : err_set(detail, e, "%s", why.text);
}

static enum err temp_dir(struct pg_private *pg, struct err_detail *detail)
{
    const char *tmp = getenv("TMPDIR");
    if (tmp == NULL || strlen(tmp) > 60) { /* the socket's path has a limit of 107 */
        tmp = "/tmp";
    }
    sweep(tmp);
    snprintf(pg->dir, sizeof(pg->dir), "%s/carillon-pg-%d-XXXXXX", tmp, (int)getpid());
    if (mkdtemp(pg->dir) == NULL) {
        return err_set(detail, ERR_UNAVAILABLE, "%s: %s", pg->dir, strerror(errno));
    }
    return ERR_OK;
}

/* The user's folder, made when absent; its path is made absolute. */
static enum err kept_dir(struct pg_private *pg, const char *dir, struct err_detail *detail)
{
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        return err_set(detail, ERR_UNAVAILABLE, "%s: %s", dir, strerror(errno));
    }
    char *real = realpath(dir, NULL);
    if (real == NULL || strlen(real) > 80) {
        free(real);
        return err_set(detail, ERR_INVALID,
                       "%s: cannot be used; choose an existing folder with a path of at most 80 "
                       "characters (limit of a socket's name)",
                       dir);
    }
    snprintf(pg->dir, sizeof(pg->dir), "%s/postgres", real);
    free(real);
    if (mkdir(pg->dir, 0700) != 0 && errno != EEXIST) {
        return err_set(detail, ERR_UNAVAILABLE, "%s: %s", pg->dir, strerror(errno));
    }
    pg->keep = true;
    return ERR_OK;
}

static enum err make_dir(struct pg_private *pg, const char *dir, struct err_detail *detail)
{
    enum err e = dir == NULL ? temp_dir(pg, detail) : kept_dir(pg, dir, detail);
    if (e != ERR_OK) {
        return e;
    }
    if (pg->who != NULL && chown(pg->dir, pg->who->pw_uid, pg->who->pw_gid) != 0) {
        return err_set(detail, ERR_UNAVAILABLE, "chown %s: %s", pg->dir, strerror(errno));
    }
    snprintf(pg->data, sizeof(pg->data), "%.480s/data", pg->dir);
    return ERR_OK;
}

struct pg_private *pg_private_start(const char *options, struct err_detail *detail)
{
    return pg_private_open(NULL, options, detail);
}

struct pg_private *pg_private_open(const char *dir, const char *options, struct err_detail *detail)
{
    struct pg_private *pg = MEM_NEW(struct pg_private);
    enum err e = ERR_OK;
    pg->options = mem_strdup(options == NULL ? "" : options);
    if (geteuid() == 0) {
        pg->who = getpwnam("postgres");
        if (pg->who == NULL) {
            pg->who = getpwnam("nobody");
        }
    }
    struct passwd *self = pg->who != NULL ? pg->who : getpwuid(geteuid());
    snprintf(pg->user, sizeof(pg->user), "%s", self != NULL ? self->pw_name : "postgres");
    if (!find_bin(pg->bin)) {
        e = err_set(detail, ERR_UNAVAILABLE,
                    "no PostgreSQL server is installed (Debian: apt-get install "
                    "postgresql); PG_BINDIR may name the folder of initdb and postgres");
    }
    if (e == ERR_OK) {
        e = make_dir(pg, dir, detail);
    }
    if (e == ERR_OK) {
        e = make_cluster(pg, detail);
    }
    if (e == ERR_OK) {
        e = start_somewhere(pg, detail);
    }
    if (e != ERR_OK) {
        pg_private_stop(pg);
        return NULL;
    }
    return pg;
}

const char *pg_private_conninfo(const struct pg_private *pg)
{
    return pg->conninfo;
}

const char *pg_private_socket_conninfo(const struct pg_private *pg)
{
    return pg->socket_info;
}

int pg_private_port(const struct pg_private *pg)
{
    return pg->port;
}

const char *pg_private_user(const struct pg_private *pg)
{
    return pg->user;
}

const char *pg_private_data(const struct pg_private *pg)
{
    return pg->data;
}

int pg_private_pid(const struct pg_private *pg)
{
    return (int)pg->pid;
}

void pg_private_kill9(struct pg_private *pg)
{
    end_server(pg, SIGKILL);
}

enum err pg_private_restart(struct pg_private *pg, struct err_detail *detail)
{
    end_server(pg, SIGINT);
    /* Children of a killed postmaster leave when they notice; until then a new one refuses. */
    struct err_detail why = {0};
    enum err e = ERR_UNAVAILABLE;
    for (int64_t end = now_ms() + READY_MS; e != ERR_OK && now_ms() < end; pause_ms(POLL_MS)) {
        why = (struct err_detail){0};
        e = launch(pg, &why);
    }
    return e == ERR_OK ? e : err_set(detail, e, "restart: %s", why.text);
}

enum err pg_private_exec(struct pg_private *pg, const char *sql, struct err_detail *detail)
{
    PGconn *conn = PQconnectdb(pg->conninfo);
    enum err e = ERR_OK;
    if (PQstatus(conn) != CONNECTION_OK) {
        e = err_set(detail, ERR_UNAVAILABLE, "%s", PQerrorMessage(conn));
    } else {
        PGresult *r = PQexec(conn, sql);
        ExecStatusType s = PQresultStatus(r);
        if (s != PGRES_COMMAND_OK && s != PGRES_TUPLES_OK) {
            e = err_set(detail, ERR_UNAVAILABLE, "%s", PQerrorMessage(conn));
        }
        PQclear(r);
    }
    PQfinish(conn);
    return e;
}

void pg_private_stop(struct pg_private *pg)
{
    if (pg == NULL) {
        return;
    }
    /* Fast, or, where nothing is kept, immediate. */
    end_server(pg, pg->keep ? SIGINT : SIGQUIT);
    if (pg->dir[0] != '\0' && !pg->keep) {
        remove_tree(pg->dir);
    }
    mem_free(pg->options);
    mem_free(pg);
}
