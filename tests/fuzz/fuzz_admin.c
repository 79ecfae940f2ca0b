/* Requests to the admin port, behind the HTTP parser: paths, queries, page tokens, header fields and
 * bodies become messages or refusals. The input is a request as people write it: a line "METHOD
 * target", lines "Field: value", an empty line, the body. What is accepted fits a frame or is refused
 * by it with words; a page token given out is read again. */
#include "base/prelude.h"

#include "base/assert.h"
#include "base/os.h"
#include "cmd/admin_internal.h"
#include "tests/fuzz/fuzz.h"

static struct str line_take(struct str *rest)
{
    const char *end = rest->size == 0 ? NULL : memchr(rest->p, '\n', rest->size);
    size_t size = end != NULL ? (size_t)(end - rest->p) : rest->size;
    struct str line = {rest->p, size};
    *rest = str_sub(*rest, size + 1, rest->size);
    return line;
}

static void field_take(struct http_request *r, struct str line)
{
    for (unsigned i = 0; i < HTTP_FIELDS; i++) {
        struct str name = str_of(http_field_name((enum http_field)i));
        if (str_starts(line, name) && line.size > name.size) {
            r->field[i] = str_trim(str_sub(line, name.size + 1, line.size));
        }
    }
}

/* False: not what the HTTP parser lets through. */
static bool request_read(struct str in, struct http_request *r)
{
    struct str line = line_take(&in);
    const char *space = line.size == 0 ? NULL : memchr(line.p, ' ', line.size);
    if (space == NULL ||
        !http_method_parse((struct str){line.p, (size_t)(space - line.p)}, &r->method)) {
        return false;
    }
    struct str target = str_sub(line, (size_t)(space - line.p) + 1, line.size);
    const char *mark = target.size == 0 ? NULL : memchr(target.p, '?', target.size);
    size_t path = mark != NULL ? (size_t)(mark - target.p) : target.size;
    r->path = (struct str){target.p, path};
    r->query = str_sub(target, path + 1, target.size);
    while (in.size > 0 && (line = line_take(&in)).size > 0) {
        field_take(r, line);
    }
    r->body = in;
    return target.size > 0 && target.p[0] == '/' && r->body.size <= route_body_max(r);
}

static void asked(struct admin_call *c)
{
    struct buf b;
    struct err_detail d = {0};
    buf_init(&b, 0);
    enum err e = msg_encode(&b, &c->engine.ask, &d);
    ASSERT(e == ERR_OK || d.text[0] != '\0');
    buf_fini(&b);
    if (c->filters.p != NULL) {
        struct str cursor;
        struct str token = page_token_make(c, STR("here"));
        ASSERT(page_token_read(c, token, &cursor) == ERR_OK && str_eqc(cursor, "here"));
    }
}

static void serve(struct admin_call *c)
{
    c->route = route_find(c);
    if (c->route == NULL) {
        ASSERT(c->d.code != ERR_OK && c->d.text[0] != '\0');
        return;
    }
    enum err e = c->route->handle(c);
    if (e != ERR_OK) {
        ASSERT(c->d.code == e && c->d.text[0] != '\0');
        ASSERT(c->status == 0 || c->status >= 400);
    } else if (c->tell != NULL) {
        asked(c);
    } else {
        ASSERT(c->answer.status >= 200 && c->answer.body.size > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct loop loop = {.clock = os_clock(), .name = "fuzz"};
    struct admin a = {.c = {.loop = &loop, .version = STR("0")}};
    struct http_request r = {.peer = "fuzz"};
    struct admin_call c = {.admin = &a, .http = &r};
    if (!request_read((struct str){(const char *)bytes, size}, &r)) {
        return 0;
    }
    arena_init(&c.arena, 0);
    buf_init(&c.answer.body, 0);
    serve(&c);
    buf_fini(&c.answer.body);
    arena_fini(&c.arena);
    return 0;
}
