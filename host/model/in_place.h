/* Weights that a device reads where they are, in the mapped model file, instead of in a copy: for devices whose memory
 * is the host's (VK_EXT_external_memory_host). Gains and biases are copied, because the device has them as f32.
 */
#ifndef VKFT_IN_PLACE_H
#define VKFT_IN_PLACE_H

#include "formats/native/model_file.h"
#include "host/model/tensor_spec.h"
#include "runtime/memory.h"

/* Whole pages of the file. */
typedef struct vkft_in_place_part {
    const char *begin;
    vkft_buffer buffer;
} vkft_in_place_part;

typedef struct vkft_in_place {
    vkft_in_place_part *parts; /* by their begin */
    uint32_t count;            /* 0: weights are copied */
    uint64_t bytes, largest;   /* of all parts, and of one */
} vkft_in_place;

/* Whether the device is to do so: VKFT_IN_PLACE=1 asks for it, and it must be able to. Not by itself, because of what
 * happens when the file is cut off meanwhile: the device's driver, whose threads do not let the program catch the fault
 * (Mesa's), ends the program without a word. And kernel drivers of GPUs want to write to the pages that they are given,
 * which those of a file mapped for reading do not allow: it depends on the driver whether that is an error here. */
bool vkft_in_place_can(const vkft_device_info *info);
bool vkft_in_place_wanted(const vkft_device_info *info);

/* Gives the device all weights in the file, in parts of at most `limit` bytes. Error: the device does not take them, or
 * a tensor is larger. */
bool vkft_in_place_open(vkft_in_place *in_place, const struct vkft_tensor_spec *tensors, uint32_t count,
                        const vkft_model_file *file, vkft_device *dev, uint64_t limit, vkft_err *err);
void vkft_in_place_close(vkft_in_place *in_place, vkft_device *dev);

/* The device's address of a byte in one of the weights. */
uint64_t vkft_in_place_address(const vkft_in_place *in_place, const void *byte);

#endif
