/* Requests to the hub, several at a time, over libcurl. Redirects are followed one by one, so that the token goes to
 * the hub's own host and port and to no other; a request that breaks off goes on where it was. */
#ifndef VKFT_HUB_HTTP_H
#define VKFT_HUB_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "host/hub/http/answer.h"
#include "runtime/base/error.h"
#include "runtime/base/observer.h"

typedef enum vkft_hub_start {
    VKFT_HUB_SEND,  /* send the request */
    VKFT_HUB_THERE, /* there is nothing to fetch */
    VKFT_HUB_BUSY,  /* another process fetches it; ask again */
    VKFT_HUB_FAILED,
} vkft_hub_start;

/* One address, and what becomes of its content. Calls come from one thread. */
typedef struct vkft_hub_get {
    const char *url;
    const char *what; /* "OWNER/NAME: model.safetensors", for messages */
    void *context;
    /* Before each attempt; *from: how many bytes are there already. NULL: all is fetched each time. */
    vkft_hub_start (*start)(void *context, uint64_t *from, vkft_err *err);
    /* The head of an answer with the content, or of one of the hub that leads there; the tag is the hub's alone. */
    bool (*head)(void *context, const vkft_hub_answer *answer, vkft_err *err); /* NULL: any is fine */
    bool (*take)(void *context, const char *data, size_t size, vkft_err *err);
    /* The answer has ended. *whole: the content is complete; else it is asked for again. */
    bool (*end)(void *context, bool *whole, vkft_err *err);
} vkft_hub_get;

/* Runs all of them; stops at the first that fails. max_failures: in sequence, without a byte between them, before a
 * request fails.
 * *unreachable (may be NULL): it failed because no server answered. Error: what the hub says, in words; interrupted;
 * this build has no libcurl. */
bool vkft_hub_run(const vkft_hub_settings *settings, const vkft_hub_get *gets, uint32_t count, unsigned max_failures,
                  const vkft_observer *observer, bool *unreachable, vkft_err *err);

/* "libcurl 7.88.1, OpenSSL/3.0.17": what it is done with; "no libcurl". */
void vkft_hub_http_name(char *text, size_t size);

#endif
