/* Where the frozen weights of a model are while it runs. They are divided into ranges, each contiguous: one for every
 * block and one for every other tensor. The only policy is that everything is resident: each range has a place of its
 * own from loading on. Internal to host/model.
 *
 * Rejected: one buffer a block. Drivers limit the number of allocations, and small models have many small blocks.
 */
#ifndef VKFT_RESIDENCY_H
#define VKFT_RESIDENCY_H

#include "formats/native/model_file.h"
#include "host/model/tensor_spec.h"
#include "runtime/memory.h"

typedef struct vkft_weight_range {
    uint32_t first, end; /* the tensors in it */
    bool host;           /* host memory */
    uint64_t bytes;
    uint32_t buffer; /* and its place there */
    uint64_t offset;
} vkft_weight_range;

typedef struct vkft_residency {
    vkft_weight_range *ranges;
    uint32_t range_count;
    vkft_buffer *buffers;
    uint32_t buffer_count;
} vkft_residency;

/* Divides the tensors into ranges and gives each its place in buffers of at most `limit` bytes; a block with more has
 * several ranges. Needs no device. Error: out of memory. */
bool vkft_residency_plan(vkft_residency *residency, const struct vkft_tensor_spec *tensors, uint32_t count,
                         uint64_t limit, vkft_err *err);
/* Allocates the planned buffers, fills them from the file, verifying checksums, or with random weights where file is
 * NULL, and points the weights there. progress may be NULL; returning false stops. */
bool vkft_residency_load(vkft_residency *residency, struct vkft_tensor_spec *tensors, vkft_device *dev,
                         const vkft_model_file *file,
                         bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes), void *context,
                         vkft_err *err);
void vkft_residency_free(vkft_residency *residency, vkft_device *dev);

/* Points a range's weights at device memory that begins at this address. Ops that are recorded afterwards read there.
 */
void vkft_residency_place(const vkft_weight_range *range, struct vkft_tensor_spec *tensors, uint64_t address);

#endif
