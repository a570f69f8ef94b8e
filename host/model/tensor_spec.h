/* The tensors of a model as a list, by which they are planned, loaded, trained and written. Internal to host. */
#ifndef VKFT_TENSOR_SPEC_H
#define VKFT_TENSOR_SPEC_H

#include "host/engine/matmul/product.h"

/* One tensor of the model: a matrix, or a gain or bias, which is always f32 on the device. */
struct vkft_tensor_spec {
    char name[128];
    vkft_weight *weight;
    bool linear;          /* the weight is a linear layer's */
    uint64_t *gradient;   /* beside vector: where the address of its gradient goes */
    uint64_t *vector;     /* [cols], or [rows,cols] of relative positions */
    uint32_t block;       /* number of the block that it belongs to, from 1 on, the encoder's first; 0: to none */
    bool host;            /* lives in host memory */
    bool never_quantized; /* keeps the type of the checkpoint when others are quantized */
    uint32_t rows, cols;
    vkft_storage storage;
    uint64_t bytes[VKFT_PARTS]; /* padded; 0 where absent */
};

static inline uint64_t vkft_tensor_spec_bytes(const struct vkft_tensor_spec *spec)
{
    uint64_t bytes = 0;
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        bytes += spec->bytes[part];
    return bytes;
}

#endif
