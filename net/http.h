/* Port: HTTP requests to this node. A server receives requests from many connections and each is
 * answered once, in any order, at any later time. What the protocol asks for (framing, keep-alive,
 * limits, deadlines) is the implementation's; what a request means is the receiver's.
 *
 * Implementation: http_mhd.c (libmicrohttpd). Every callback runs on the owner's loop and every
 * function is called there. Hostile peers cost bounded memory and time: see struct http_limits.
 *
 * http.c has the pure parts that receivers need: percent-decoding, queries, entity tags. */
#ifndef CARILLON_NET_HTTP_H
#define CARILLON_NET_HTTP_H

#include "base/loop.h"
#include "base/str.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_METHODS };
const char *http_method_name(enum http_method m);
bool http_method_parse(struct str s, enum http_method *out); /* case counts, as it must */

/* Header fields that receivers may look at; each may come once. */
enum http_field {
    HTTP_HOST,
    HTTP_ORIGIN,
    HTTP_CONTENT_TYPE,
    HTTP_IF_MATCH,
    HTTP_IF_NONE_MATCH,
    HTTP_IDEMPOTENCY_KEY,
    HTTP_FIELDS,
};
const char *http_field_name(enum http_field f); /* "If-Match" */

struct http_limits {
    size_t line_size;             /* bytes of a request line */
    size_t header_size;           /* bytes of all fields */
    uint32_t fields;              /* number of them */
    int64_t header_us;            /* for a whole header, from its first byte on; grace of a body */
    int64_t idle_us;              /* between two requests of a connection; grace of an answer */
    int64_t rate;                 /* bytes a second that a body, either way, must move on average */
    uint32_t connections;         /* open at once; one more takes the place of the one that has
                                   * waited longest for a request, or is refused */
    uint32_t connections_address; /* of them from one address (IPv6: one /64) */
    size_t bodies_size;           /* bytes of all bodies held at once, requests and answers */
};
extern const struct http_limits http_limits_default;

enum {
    HTTP_SMALL_SIZE = 64 << 10, /* an answer up to this always finds room */
    HTTP_EXTRA_MAX = 8,
    HTTP_DATE_SIZE = 30,
};

/* One request; owned by the receiver until it is answered; all texts are borrowed from it. */
struct http_request {
    enum http_method method;
    struct str path;               /* as sent, percent-encoded; begins with '/' */
    struct str query;              /* behind the '?', as sent; may be empty */
    struct str field[HTTP_FIELDS]; /* p == NULL: absent */
    struct str body;
    const char *peer; /* "127.0.0.1" */
    /* Not to be served: the status that says why. The receiver puts it into words, at once. Method,
     * path, query and fields may be missing then. 0: a good request. */
    int refused;
    enum err why;
    const char *detail;
    void *user; /* for the receiver */
};

/* What goes back; texts are copied by the call, the body's memory is taken. */
struct http_answer {
    int status;
    const char *type; /* media type of the body; NULL: there is none */
    struct buf body;
    struct {
        const char *name;
        struct str value; /* without control characters */
    } extra[HTTP_EXTRA_MAX];
    uint32_t extra_len;
};
void http_answer_add(struct http_answer *a, const char *name, struct str value);

struct http_handler {
    /* The largest body that a request may have (none of it has been read yet); 0: none. */
    size_t (*body_max)(struct http_handler *h, const struct http_request *r);
    void (*request)(struct http_handler *h, struct http_request *r); /* takes r */
};

struct http_server;
struct http_server_ops {
    /* Answers and frees the request. ERR_LIMIT: there is no room for the body now: it is freed, and
     * another answer, of at most HTTP_SMALL_SIZE, must be given. */
    enum err (*answer)(struct http_server *s, struct http_request *r, struct http_answer *a);
    /* Accepts no more; no callback after it returns. All requests must have been answered. */
    void (*close)(struct http_server *s);
};
struct http_server {
    const struct http_server_ops *ops;
    struct str address; /* "127.0.0.1:8080", the port resolved */
};

struct http;
struct http_ops {
    /* "address": "host:port", "[::1]:port"; port 0: any. ERR_CONFLICT: it is taken. */
    enum err (*listen)(struct http *t, struct loop *loop, struct str address,
                       const struct http_limits *limits, struct http_handler *h,
                       struct http_server **out, struct err_detail *d);
};
struct http {
    const struct http_ops *ops;
};
struct http *http_mhd(void); /* static */

/* ---- pure ---- */

/* Percent-decoding of a path segment or, with "form", of a query's name or value ('+' is a blank).
 * ERR_MALFORMED: a broken escape, a control character, or what it says is not UTF-8. */
enum err http_decode(struct str in, bool form, struct arena *a, struct str *out) MUST_CHECK;
/* Splits off the first "name=value" of *rest, still encoded; false when there is none left. */
bool http_query_next(struct str *rest, struct str *name, struct str *value);
/* Does a field If-Match or If-None-Match name this tag (with its quotes), or "*"? Weak ones never
 * match. ERR_MALFORMED when it is no list of entity tags. */
enum err http_tag_matches(struct str field, struct str tag, bool *out) MUST_CHECK;
/* The media type of a Content-Type, without parameters; compare with http_is_type(). */
bool http_is_type(struct str content_type, const char *type);
/* "Sun, 06 Nov 1994 08:49:37 GMT" */
void http_date(struct wall t, char out[HTTP_DATE_SIZE]);
const char *http_reason(int status); /* "Not Found" */

#endif
