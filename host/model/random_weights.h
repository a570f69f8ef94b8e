/* Random weights made in memory, so that a model of any size can be measured without a file. The same tensor number,
 * shape and storage type give the same bytes on every machine. */
#ifndef VKFT_RANDOM_WEIGHTS_H
#define VKFT_RANDOM_WEIGHTS_H

#include "host/model/tensor_spec.h"
#include "runtime/memory.h"

/* Makes tensor number `index` of a model at `offset` of the buffer, and sets the offset of its weight: gains are 1,
 * biases 0, other elements have a mean of 0 and a deviation of about 0.02. Elements of types without scales are
 * multiples of 2^-13 below 2^-5, which every one of them holds exactly; those with scales have random codes, and scales
 * from 0.03 to 0.05 with random signs.
 * Error: out of memory; the device's. Test: test_random_weights */
bool vkft_random_weights_make(vkft_device *dev, vkft_buffer *buffer, uint64_t offset,
                              const struct vkft_tensor_spec *tensor, uint32_t index, vkft_err *err);

#endif
