/* Text generation with a KV cache, from the base model or base + adapter. */
#ifndef VKFT_GENERATE_H
#define VKFT_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "host/generate/options.h"
#include "runtime/base/error.h"
#include "runtime/base/observer.h"

typedef struct vkft_generate_observer {
    vkft_observer general;                                        /* its context is that of the others too */
    void (*text)(void *context, const char *text, size_t length); /* whole characters, as they appear */
    void (*token)(void *context, int32_t id);
} vkft_generate_observer;

typedef struct vkft_generate_result {
    uint32_t prompt_tokens, new_tokens;
    double prompt_seconds, new_seconds;
} vkft_generate_result;

bool vkft_generate(const vkft_generate_options *options, const vkft_generate_observer *observer,
                   vkft_generate_result *result, vkft_err *err);

#endif
