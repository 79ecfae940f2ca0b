/* The table of routes and what it is read by: finding a route, the index, queries, page tokens. Pure
 * but for the request it is given. See admin.h. */
#include "base/prelude.h"

#include "cmd/admin_internal.h"

#include "base/assert.h"
#include "base/map.h"

static const struct admin_route routes[] = {
#define ROUTE(row_method, row_path, handler, row_right, row_body_max, row_help) \
    {.method = HTTP_##row_method, \
     .path = (row_path), \
     .handle = route_##handler, \
     .right = ADMIN_##row_right, \
     .body_max = (row_body_max), \
     .help = (row_help)},
#include "cmd/admin_routes.def"
#undef ROUTE
};

const struct admin_route *admin_route_at(size_t i)
{
    return i < ARRAY_LEN(routes) ? &routes[i] : NULL;
}

const char *admin_right_name(enum admin_right r)
{
    static const char *const names[] = {"none", "view", "operate", "admin"};
    return names[r];
}

/* ---- finding ---- */

/* Takes a segment ("/x") from the front. */
static bool segment_next(struct str *rest, struct str *segment)
{
    if (rest->size == 0 || rest->p[0] != '/') {
        return false;
    }
    size_t n = 1;
    while (n < rest->size && rest->p[n] != '/') {
        n++;
    }
    *segment = (struct str){rest->p + 1, n - 1};
    *rest = str_sub(*rest, n, rest->size);
    return true;
}

/* Does the path fit the pattern? "args" (may be NULL): what stands for {x}, still encoded. */
static bool path_fits(struct str pattern, struct str path, struct str args[ADMIN_ARGS_MAX])
{
    unsigned n = 0;
    struct str want, have;
    while (segment_next(&pattern, &want)) {
        if (!segment_next(&path, &have)) {
            return false;
        }
        if (!str_starts(want, STR("{"))) {
            if (!str_eq(want, have)) {
                return false;
            }
        } else if (have.size == 0) {
            return false;
        } else if (args != NULL) {
            ASSERT(n < ADMIN_ARGS_MAX);
            args[n++] = have;
        }
    }
    return path.size == 0;
}

static enum http_method method_served(enum http_method m)
{
    return m == HTTP_HEAD ? HTTP_GET : m;
}

static const struct admin_route *find(enum http_method method, struct str path, struct str *args)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (routes[i].method == method_served(method) &&
            path_fits(str_of(routes[i].path), path, args)) {
            return &routes[i];
        }
    }
    return NULL;
}

/* "GET, HEAD, PUT": what the path can do; empty when it does not exist. */
static void methods_of(struct str path, struct buf *out)
{
    for (unsigned m = 0; m < HTTP_METHODS; m++) {
        if (find((enum http_method)m, path, NULL) != NULL) {
            buf_printf(out, "%s%s", out->size > 0 ? ", " : "",
                       http_method_name((enum http_method)m));
        }
    }
}

size_t route_body_max(const struct http_request *r)
{
    const struct admin_route *route = find(r->method, r->path, NULL);
    return route != NULL ? route->body_max : HTTP_SMALL_SIZE; /* to be told that there is none */
}

static void refuse_path(struct admin_call *c)
{
    struct buf allow;
    buf_init(&allow, 0);
    methods_of(c->http->path, &allow);
    if (allow.size == 0) {
        (void)refuse(c, ERR_NOT_FOUND, "there is nothing at this path; \"/\" lists what there is");
    } else {
        answer_header(c, "Allow", str_dup(&c->arena, buf_str(&allow)));
        (void)refuse_as(c, 405, ERR_UNSUPPORTED, "this path answers to %.*s",
                        STR_ARG(buf_str(&allow)));
    }
    buf_fini(&allow);
}

const struct admin_route *route_find(struct admin_call *c)
{
    struct str args[ADMIN_ARGS_MAX] = {STR_NONE};
    const struct admin_route *route = find(c->http->method, c->http->path, args);
    if (route == NULL) {
        refuse_path(c);
        return NULL;
    }
    for (unsigned i = 0; i < ADMIN_ARGS_MAX && args[i].p != NULL; i++) {
        if (http_decode(args[i], false, &c->arena, &c->args[i]) != ERR_OK) {
            (void)refuse(c, ERR_MALFORMED, "the path is not percent-encoded UTF-8");
            return NULL;
        }
    }
    return route;
}

/* ---- the index ---- */

enum err route_index(struct admin_call *c)
{
    struct buf *b = &c->answer.body;
    buf_puts(b, "{\"node\":\"carillon\",\"version\":");
    json_write_string(b, c->admin->c.version);
    buf_puts(b, ",\"routes\":[");
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        buf_printf(b, "%s{\"method\":\"%s\",\"path\":", i > 0 ? "," : "",
                   http_method_name(routes[i].method));
        json_write_string(b, str_of(routes[i].path));
        buf_printf(b, ",\"right\":\"%s\",\"help\":", admin_right_name(routes[i].right));
        json_write_string(b, str_of(routes[i].help));
        buf_putc(b, '}');
    }
    buf_puts(b, "]}");
    answer_json(c, 200);
    return ERR_OK;
}

static const char openapi[] = {
#include "gen/openapi.inc"
};

struct str admin_openapi(void)
{
    return (struct str){openapi, sizeof(openapi)};
}

enum err route_openapi(struct admin_call *c)
{
    buf_put_str(&c->answer.body, admin_openapi());
    answer_json(c, 200);
    return ERR_OK;
}

/* ---- queries ---- */

static struct str *param_place(struct admin_call *c, const struct param *params, size_t len,
                               struct str name)
{
    if (str_eqc(name, "tenant")) {
        return &c->tenant;
    }
    for (size_t i = 0; i < len; i++) {
        if (str_eqc(name, params[i].name)) {
            return params[i].value;
        }
    }
    return NULL;
}

enum err query_read(struct admin_call *c, const struct param *params, size_t len)
{
    struct str rest = c->http->query, name, value;
    while (http_query_next(&rest, &name, &value)) {
        if (http_decode(name, true, &c->arena, &name) != ERR_OK ||
            http_decode(value, true, &c->arena, &value) != ERR_OK) {
            return refuse(c, ERR_MALFORMED, "the query is not percent-encoded UTF-8");
        }
        struct str *place = param_place(c, params, len, name);
        if (place == NULL) {
            return refuse(c, ERR_INVALID, "there is no parameter \"%.*s\" here",
                          (int)MIN(name.size, (size_t)100), name.p);
        }
        if (place->p != NULL) {
            return refuse(c, ERR_INVALID, "\"%.*s\" is given twice", STR_ARG(name));
        }
        *place = value;
    }
    if (c->tenant.p == NULL) {
        c->tenant = STR("default");
    }
    return ERR_OK;
}

enum err page_size_read(struct admin_call *c, struct str text, uint32_t *out)
{
    uint64_t n = ADMIN_PAGE_DEFAULT;
    if (text.p != NULL && (str_to_u64(text, &n) != ERR_OK || n < 1 || n > ADMIN_PAGE_MAX)) {
        return refuse(c, ERR_INVALID, "page_size must be a number from 1 to %d", ADMIN_PAGE_MAX);
    }
    *out = (uint32_t)n;
    return ERR_OK;
}

/* base64url of "<hash of the filters, 16 hex digits><cursor>" */
enum { TOKEN_HASH_SIZE = 16 };

static void filters_hash(struct str filters, char out[TOKEN_HASH_SIZE + 1])
{
    (void)snprintf(out, TOKEN_HASH_SIZE + 1, "%016" PRIx64, hash_bytes(filters.p, filters.size));
}

struct str page_token_make(struct admin_call *c, struct str cursor)
{
    char hash[TOKEN_HASH_SIZE + 1];
    filters_hash(c->filters, hash);
    struct str plain = str_of(arena_printf(&c->arena, "%s%.*s", hash, STR_ARG(cursor)));
    char *p = arena_alloc(&c->arena, base64_encode_size(plain.size));
    return (struct str){p, base64_encode(plain.p, plain.size, p, true)};
}

enum err page_token_read(struct admin_call *c, struct str token, struct str *cursor)
{
    char hash[TOKEN_HASH_SIZE + 1];
    struct str plain;
    filters_hash(c->filters, hash);
    if (token.p == NULL) {
        *cursor = STR_NONE;
        return ERR_OK;
    }
    if (base64_decode(token, true, &c->arena, &plain) != ERR_OK ||
        !str_starts(plain, str_of(hash))) {
        return refuse(c, ERR_INVALID,
                      "page_token was not given out for this list; a page and the next have the"
                      " same filters");
    }
    *cursor = str_sub(plain, TOKEN_HASH_SIZE, plain.size);
    return ERR_OK;
}
