/* The Vulkan loader as a person asks for it: which one, and what it may put between programs and drivers. */
#ifndef VKFT_LOADER_H
#define VKFT_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

#define VKFT_MAX_LAYERS 64u

typedef struct vkft_loader_info {
    char version[16]; /* "1.3.239" */
    uint32_t layer_count;
    char layers[VKFT_MAX_LAYERS][256]; /* that are installed; most act only where they are asked for */
} vkft_loader_info;

/* Error: there is no loader, with what to install. */
bool vkft_loader_read(vkft_loader_info *info, vkft_err *err);

#endif
