/* See server.h. */
#include "host/watch/server.h"

#ifdef VKFT_HAVE_MICROHTTPD

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/os/os.h"

#define TOKEN_BYTES 16
#define TOKEN_TEXT (2 * TOKEN_BYTES + 1)
#define CONNECTIONS 16u
#define TIMEOUT_SECONDS 20u

struct vkft_watch_server {
    struct MHD_Daemon *daemon;
    vkft_watch_handler handler;
    uint16_t port;
    char token[TOKEN_TEXT], address[96];
};

static bool make_token(char text[TOKEN_TEXT])
{
    uint8_t bytes[TOKEN_BYTES];
    if (!vkft_os_random_bytes(bytes, sizeof bytes))
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

/* In a time that does not tell how much of it is right. */
static bool is_token(const vkft_watch_server *s, const char *text)
{
    unsigned char differs = 0;
    for (size_t i = 0; i < TOKEN_TEXT - 1; i++) {
        if (!text[i])
            return false;
        differs |= (unsigned char)(text[i] ^ s->token[i]);
    }
    return !differs;
}

/* A page of another site cannot reach the server under a name of its own (DNS rebinding), nor send it requests. */
static bool is_this_site(const vkft_watch_server *s, struct MHD_Connection *connection)
{
    static const char *const names[] = {"127.0.0.1", "localhost"};
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST),
               *origin = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ORIGIN);
    bool named = false, same = !origin;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "http://%s:%u", names[i], s->port);
        named |= host && strcmp(host, expected + strlen("http://")) == 0;
        same |= origin && strcmp(origin, expected) == 0;
    }
    return named && same;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type, const char *nonce,
                              const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    char policy[256];
    snprintf(policy, sizeof policy,
             "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-%s'; connect-src 'self'; "
             "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
             nonce);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "Content-Security-Policy", policy);
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
    return answer(connection, status, "text/plain; charset=utf-8", "none", text);
}

static enum MHD_Result answer_page(vkft_watch_server *s, struct MHD_Connection *connection)
{
    char nonce[TOKEN_TEXT];
    vkft_text page = {0};
    vkft_err err = {0};
    enum MHD_Result result;
    if (!make_token(nonce))
        result = answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "no random numbers");
    else if (s->handler.page(s->handler.context, nonce, &page, &err))
        result = answer(connection, MHD_HTTP_OK, "text/html; charset=utf-8", nonce, page.data ? page.data : "");
    else
        result = answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, err.message);
    vkft_text_free(&page);
    return result;
}

static enum MHD_Result answer_ask(vkft_watch_server *s, struct MHD_Connection *connection, const char *name)
{
    vkft_err err = {0};
    bool known = false;
    if (!s->handler.ask(s->handler.context, name, &known, &err))
        return answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, err.message);
    return answer_text(connection, known ? MHD_HTTP_OK : MHD_HTTP_NOT_FOUND, known ? "asked" : "no such request");
}

/* Called when the head of a request is there, for each part of its body, and at its end. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *body, size_t *body_size, void **state)
{
    static char seen;
    vkft_watch_server *s = context;
    (void)version, (void)body;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    if (*body_size) { /* nothing of it is used */
        *body_size = 0;
        return MHD_YES;
    }
    if (!is_this_site(s, connection) || url[0] != '/' || !is_token(s, url + 1) || url[TOKEN_TEXT] != '/')
        return answer_text(connection, MHD_HTTP_NOT_FOUND, "not found");
    const char *name = url + TOKEN_TEXT + 1;
    if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 && !*name)
        return answer_page(s, connection);
    if (strcmp(method, MHD_HTTP_METHOD_POST) == 0)
        return answer_ask(s, connection, name);
    return answer_text(connection, MHD_HTTP_NOT_FOUND, "not found");
}

vkft_watch_server *vkft_watch_server_start(uint16_t port, const vkft_watch_handler *handler, vkft_err *err)
{
    vkft_watch_server *s = calloc(1, sizeof *s);
    if (!s) {
        vkft_fail_memory(err, "for the web server");
        return NULL;
    }
    s->handler = *handler;
    const struct sockaddr_in place = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!make_token(s->token)) {
        free(s);
        vkft_fail(err, VKFT_ERR_IO, "the system gives no random numbers, which the page's address needs");
        return NULL;
    }
    errno = 0;
    s->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, port, NULL, NULL, on_request, s, MHD_OPTION_SOCK_ADDR,
                                 (const struct sockaddr *)&place, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
                                 MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_SECONDS, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info) {
        vkft_fail(err, VKFT_ERR_IO, "cannot serve on 127.0.0.1:%u: %s; use another --port", port,
                  errno ? strerror(errno) : "the web server does not start");
        vkft_watch_server_stop(s);
        return NULL;
    }
    s->port = info->port;
    snprintf(s->address, sizeof s->address, "http://127.0.0.1:%u/%s/", s->port, s->token);
    return s;
}

const char *vkft_watch_server_address(const vkft_watch_server *server)
{
    return server->address;
}

void vkft_watch_server_stop(vkft_watch_server *server)
{
    if (server && server->daemon)
        MHD_stop_daemon(server->daemon);
    free(server);
}

#else

#include <stddef.h>

struct vkft_watch_server {
    int unused;
};

vkft_watch_server *vkft_watch_server_start(uint16_t port, const vkft_watch_handler *handler, vkft_err *err)
{
    (void)port, (void)handler;
    vkft_fail(err, VKFT_ERR_USAGE,
              "this vkft was built without libmicrohttpd and has no web server for --watch and vkft watch; 'vkft plot' "
              "writes the page as a file");
    return NULL;
}

const char *vkft_watch_server_address(const vkft_watch_server *server)
{
    (void)server;
    return "";
}

void vkft_watch_server_stop(vkft_watch_server *server)
{
    (void)server;
}

#endif
