/* Device buffers, addressed by buffer device address, and the transfers between them and the host. */
#ifndef VKFT_MEMORY_H
#define VKFT_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/device.h"

typedef enum vkft_memory_kind {
    VKFT_MEMORY_DEVICE, /* fastest for the device; written and read through bounded staging unless unified */
    VKFT_MEMORY_HOST,   /* host memory that kernels read and write over the bus; always mapped, coherent */
} vkft_memory_kind;

typedef struct vkft_buffer {
    uint64_t address; /* device address of byte 0; a multiple of VKFT_BUFFER_ALIGNMENT */
    uint64_t size_bytes;
    void *mapped; /* host pointer, or NULL when the memory is not host-visible */
    vkft_memory_kind kind;
    struct vkft_buffer_handles *handles; /* of the runtime alone */
} vkft_buffer;

/* A buffer begins at a multiple of this, and so do the parts that lie in one. */
#define VKFT_BUFFER_ALIGNMENT 256u

/* Stands for an address before there is a device: not 0, which means that something is absent. */
#define VKFT_PLACEHOLDER_ADDRESS 4096u

/* What a buffer may have on a device. Drivers round up what they allocate, so this is a little less than the device's
 * limit, which Vulkan lets be 1 GiB; many have 2 or 4. */
static inline uint64_t vkft_buffer_max_bytes(const vkft_device_info *info)
{
    uint64_t max = info->max_allocation_bytes, room = max / 256;
    max -= room < (2u << 20) ? room : (2u << 20);
    return max - max % VKFT_BUFFER_ALIGNMENT;
}

/* What is larger is better cut into buffers of this size. */
#define VKFT_BUFFER_BYTES (1ull << 30)

/* size_bytes > 0 and <= the device's max_allocation_bytes. label names it in errors and debug tools.
 * Error: VKFT_ERR_MEMORY with label, size asked, total held by vkft, what is free and what to try. */
bool vkft_buffer_new(vkft_device *dev, uint64_t size_bytes, vkft_memory_kind kind, const char *label, vkft_buffer *out,
                     vkft_err *err);
void vkft_buffer_free(vkft_device *dev, vkft_buffer *buffer); /* zeroed or NULL is fine; zeroes *buffer */

/* Memory of this process that the device reads where it is, in whole pages; it outlives the buffer, which is not
 * mapped. Error: the device does not take it. */
#define VKFT_IMPORT_ALIGNMENT 4096u
bool vkft_buffer_can_import(const vkft_device_info *info); /* the device knows the extension */
bool vkft_buffer_import(vkft_device *dev, const void *memory, uint64_t size_bytes, const char *label, vkft_buffer *out,
                        vkft_err *err);

/* Copies between host memory and a buffer and waits. Ranges are checked. Large copies stream through one
 * staging buffer of bounded size (allocated at first need and kept). Never call with work in flight on the range. */
bool vkft_buffer_write(vkft_device *dev, vkft_buffer *dst, uint64_t offset, const void *src, uint64_t size_bytes,
                       vkft_err *err);
bool vkft_buffer_read(vkft_device *dev, const vkft_buffer *src, uint64_t offset, void *dst, uint64_t size_bytes,
                      vkft_err *err);
/* Sets size_bytes (a multiple of 4) from offset to the 32-bit pattern. */
bool vkft_buffer_fill(vkft_device *dev, vkft_buffer *dst, uint64_t offset, uint64_t size_bytes, uint32_t pattern,
                      vkft_err *err);

/* Copies the first size_bytes of `from`, a buffer in host memory, to dst without waiting, beside kernels where the
 * device can. Neither may be touched until vkft_copy_wait, which a next copy needs, too. */
bool vkft_copy_begin(vkft_device *dev, const vkft_buffer *from, const vkft_buffer *dst, uint64_t offset,
                     uint64_t size_bytes, vkft_err *err);
bool vkft_copy_wait(vkft_device *dev, vkft_err *err); /* at once when none was begun */

typedef struct vkft_memory_stats {
    uint64_t device_bytes;      /* requested by vkft_buffer_new and not freed, kind DEVICE */
    uint64_t host_bytes;        /* the same, kind HOST */
    uint64_t device_peak_bytes; /* the highest device_bytes has been */
    uint64_t staging_bytes;     /* the staging buffer, not in the above */
    uint64_t allocations;       /* calls of vkAllocateMemory so far; does not fall */
} vkft_memory_stats;

/* A heap as the driver reports it. */
typedef struct vkft_heap_info {
    uint64_t size_bytes;
    bool device_local, host_visible; /* host_visible: some of its memory can be mapped */
} vkft_heap_info;
#define VKFT_MAX_HEAPS 16u
/* How many there are. */
uint32_t vkft_memory_get_heaps(const vkft_device *dev, vkft_heap_info heaps[VKFT_MAX_HEAPS]);

vkft_memory_stats vkft_memory_get_stats(const vkft_device *dev);
/* From now on device_peak_bytes is of what comes. */
void vkft_memory_begin_peak(vkft_device *dev);

#endif
