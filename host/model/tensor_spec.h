/* The tensors of a model as a list, by which they are planned, loaded, trained and written. Internal to host. */
#ifndef VKFT_TENSOR_SPEC_H
#define VKFT_TENSOR_SPEC_H

#include "host/model/model.h"

/* One tensor of the model: a matrix, or a gain or bias, which is always f32 on the device. */
struct vkft_tensor_spec {
    char name[128];
    vkft_weight *weight;
    bool linear;          /* the weight is a linear layer's */
    uint64_t *gradient;   /* beside vector: where the address of its gradient goes */
    uint64_t *vector;     /* [cols], or [rows,cols] of relative positions */
    bool host;            /* lives in host memory */
    bool never_quantized; /* keeps the type of the checkpoint when others become 4-bit */
    uint32_t rows, cols;
    vkft_dtype dtype;
    bool double_quant;
    uint64_t data_bytes, absmax_bytes, nested_bytes; /* padded; 0 where absent */
};

static inline uint64_t vkft_tensor_spec_bytes(const struct vkft_tensor_spec *slot)
{
    return slot->data_bytes + slot->absmax_bytes + slot->nested_bytes;
}

#endif
