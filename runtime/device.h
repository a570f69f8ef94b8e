/* Vulkan devices: listing, choosing, opening.
 *
 * The floor is Vulkan 1.2 with bufferDeviceAddress, scalarBlockLayout and basic/arithmetic subgroup operations.
 */
#ifndef VKFT_DEVICE_H
#define VKFT_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/caps.h"

typedef struct vkft_device vkft_device;

typedef enum vkft_device_type {
    VKFT_DEVICE_DISCRETE,
    VKFT_DEVICE_INTEGRATED,
    VKFT_DEVICE_VIRTUAL,
    VKFT_DEVICE_CPU, /* a software device such as lavapipe */
    VKFT_DEVICE_OTHER,
} vkft_device_type;

typedef struct vkft_device_info {
    uint32_t index; /* position in the listing; what --device takes */
    char name[256];
    char driver[256];     /* driverName and driverInfo */
    char api_version[16]; /* "1.3.274" */
    uint8_t uuid[16];
    vkft_device_type type;
    uint32_t vendor_id;
    uint64_t memory_bytes;         /* largest device-local heap */
    uint64_t memory_free_bytes;    /* of it by VK_EXT_memory_budget, where that is known; of unified memory all heaps */
    uint64_t max_allocation_bytes; /* and of a buffer */
    bool unified_memory;           /* device-local memory is host-visible in full: integrated and software devices */
    vkft_caps caps;
    bool usable;
    char why_not[256]; /* when not usable: one sentence */
} vkft_device_info;

/* Lists all Vulkan devices, real GPUs before software ones, then by memory. *infos is malloc'ed; free() it.
 * Error: no Vulkan loader or driver (says what to install). Zero devices is not an error here. */
bool vkft_device_list(vkft_device_info **infos, uint32_t *count, vkft_err *err);

/* Opens a device. selector: NULL or "auto" (best usable: discrete > integrated > virtual > CPU, more memory first),
 * an index of vkft_device_list, a UUID in hex, or part of a name (case-insensitive; ambiguous is an error that
 * lists the matches). Error: none usable (with each device's reason), unknown selector (with what is there). */
vkft_device *vkft_device_open(const char *selector, vkft_err *err);
void vkft_device_close(vkft_device *dev); /* NULL is fine; all buffers and commands must be freed before */

/* Keeps something of the layer above with the device; `release` frees it when the device closes, or when something else
 * takes its place. */
void vkft_device_attach(vkft_device *dev, void *data, void (*release)(void *));
void *vkft_device_attached(const vkft_device *dev); /* NULL: nothing */

/* These live as long as dev. */
const vkft_device_info *vkft_device_get_info(const vkft_device *dev);
const vkft_caps *vkft_device_get_caps(const vkft_device *dev);

#endif
