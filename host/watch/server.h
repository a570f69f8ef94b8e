/* A web server for one page, for this machine's browsers alone: on the loopback interface, below an address with a
 * random token, which nobody can guess. Built on libmicrohttpd. */
#ifndef VKFT_WATCH_SERVER_H
#define VKFT_WATCH_SERVER_H

#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"

/* Called from a thread of the server, one call at a time. */
typedef struct vkft_watch_handler {
    /* The page. Its script runs only with this nonce. */
    bool (*page)(void *context, const char *nonce, vkft_text *out, vkft_err *err);
    /* POST to ADDRESS/name. *known: there is such a request. */
    bool (*ask)(void *context, const char *name, bool *known, vkft_err *err);
    void *context;
} vkft_watch_handler;

typedef struct vkft_watch_server vkft_watch_server;

/* port 0: one that is free. Error: the port is taken; the program was built without libmicrohttpd. */
vkft_watch_server *vkft_watch_server_start(uint16_t port, const vkft_watch_handler *handler, vkft_err *err);
/* "http://127.0.0.1:41234/<token>/" */
const char *vkft_watch_server_address(const vkft_watch_server *server);
void vkft_watch_server_stop(vkft_watch_server *server); /* NULL is fine */

#endif
