/* Text generation with a KV cache, from the base model or base + adapter. */
#ifndef VKFT_GENERATE_H
#define VKFT_GENERATE_H

#include "host/generate/options.h"
#include "runtime/base/error.h"

bool vkft_generate(const vkft_generate_options *options, const vkft_generate_observer *observer,
                   vkft_generate_result *result, vkft_err *err);

#endif
