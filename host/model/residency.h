/* Where the frozen weights of a model are while it runs. They are divided into ranges, each contiguous: one for every
 * block and one for every other tensor. Internal to host/model.
 *
 * Resident: each range has a place of its own from loading on. Streamed: blocks share a ring of two slots in device
 * memory, odd blocks one and even blocks the other. While a block is computed, the next one is copied from the mapped
 * file to the other slot, by way of a buffer in host memory as large as a slot (vkft_commands_stage).
 *
 * Rejected: one buffer a block. Drivers limit the number of allocations, and small models have many small blocks.
 */
#ifndef VKFT_RESIDENCY_H
#define VKFT_RESIDENCY_H

#include "formats/native/model_file.h"
#include "host/model/in_place.h"
#include "host/model/tensor_spec.h"
#include "runtime/commands.h"

typedef enum vkft_weights_are {
    VKFT_WEIGHTS_RESIDENT,
    VKFT_WEIGHTS_STREAMED,
    VKFT_WEIGHTS_IN_PLACE, /* in the file; only gains and biases are resident */
} vkft_weights_are;

typedef struct vkft_weight_range {
    uint32_t first, end; /* the tensors in it */
    bool host;           /* host memory */
    uint64_t bytes;
    uint32_t buffer; /* and its place there; of a streamed block the offset in its slot */
    uint64_t offset;
    uint32_t block; /* streamed: its number, as in the tensors; 0: resident */
} vkft_weight_range;

/* The ring of streamed blocks. */
typedef struct vkft_weight_ring {
    uint64_t slot_bytes; /* 0: everything is resident */
    vkft_buffer slots[2], staging;
    uint32_t holds[2];
    vkft_upload *uploads; /* [blocks], of block number i + 1 */
    uint32_t blocks;
    const struct vkft_tensor_spec *tensors;
    const vkft_model_file *file;
} vkft_weight_ring;

typedef struct vkft_residency {
    vkft_weight_range *ranges;
    uint32_t range_count;
    vkft_buffer *buffers;
    uint32_t buffer_count;
    vkft_weight_ring ring;
    bool in_place;
    bool loaded; /* whole */
} vkft_residency;

/* What the weights take. */
typedef struct vkft_residency_bytes {
    uint64_t device, host; /* resident */
    uint64_t ring;         /* both slots, on the device */
    uint64_t staging;      /* in host memory */
    uint64_t moved;        /* to the device in one pass over all blocks */
    uint64_t largest;      /* resident tensor, which cannot be divided */
} vkft_residency_bytes;
vkft_residency_bytes vkft_residency_measure(const struct vkft_tensor_spec *tensors, uint32_t count,
                                            vkft_weights_are are);

/* Divides the tensors into ranges and gives each its place in buffers of at most `limit` bytes; a block with more has
 * several ranges. Needs no device. Error: out of memory; a block that is streamed is above the limit. */
bool vkft_residency_plan(vkft_residency *residency, const struct vkft_tensor_spec *tensors, uint32_t count,
                         uint64_t limit, vkft_weights_are are, vkft_err *err);
/* Allocates the planned buffers, fills them from the file, verifying checksums (also of what is streamed), or with
 * random weights where file is NULL, and points the weights there. What is streamed is read from the file as long as
 * the residency lives. in_place: where the device has the file, for what is planned so. progress may be NULL; returning
 * false stops. */
bool vkft_residency_load(vkft_residency *residency, struct vkft_tensor_spec *tensors, vkft_device *dev,
                         const vkft_model_file *file, const vkft_in_place *in_place,
                         bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes), void *context,
                         vkft_err *err);
/* Whether weights that are loaded already lie as planned, so that they need not be loaded again; of the same file. */
bool vkft_residency_serves(const vkft_residency *loaded, const vkft_residency *planned);
/* Points the weights of these tensors at what is loaded, which serves them. */
void vkft_residency_point(const vkft_residency *residency, struct vkft_tensor_spec *tensors,
                          const vkft_model_file *file, const vkft_in_place *in_place);
/* What has to be uploaded before a block is computed, by its number in the tensors; NULL: nothing. Valid until the
 * residency is freed. */
const vkft_upload *vkft_residency_upload(const vkft_residency *residency, uint32_t block);
void vkft_residency_free(vkft_residency *residency, vkft_device *dev);

/* Points a range's weights at device memory that begins at this address. Ops that are recorded afterwards read there.
 */
void vkft_residency_place(const vkft_weight_range *range, struct vkft_tensor_spec *tensors, uint64_t address);

#endif
