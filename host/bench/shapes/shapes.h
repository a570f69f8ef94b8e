/* Models that speed is compared at: the numbers of their public config.json; the weights are random. */
#ifndef VKFT_BENCH_SHAPES_H
#define VKFT_BENCH_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/tensors/storage.h"
#include "runtime/base/error.h"

typedef struct vkft_bench_shape {
    const char *name, *model_type;
    uint32_t vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads, head_dim, max_position;
    bool tied;
    double rope_theta, norm_eps;
    const char *rope_scaling; /* JSON */
} vkft_bench_shape;

/* From small to large; a name of NULL ends the list. The first one is for tests, and not measured unless it is named.
 */
extern const vkft_bench_shape vkft_bench_shapes[];

/* NULL: there is none. */
const vkft_bench_shape *vkft_bench_shape_find(const char *name);
/* Of all weights. */
uint64_t vkft_bench_shape_parameters(const vkft_bench_shape *shape);
/* Of the weights that every token is multiplied by: all but the input embedding. */
uint64_t vkft_bench_shape_multiplied(const vkft_bench_shape *shape);
/* The text of its config.json, malloc'ed; NULL: out of memory. */
char *vkft_bench_shape_config(const vkft_bench_shape *shape);

/* What the first training steps on one random sample must give: see reference.def. */
typedef struct vkft_bench_reference {
    const char *shape;
    uint32_t tokens, lora_r;
    float lora_alpha;
    bool quantized;              /* nf4 with double quantization; otherwise bf16, fp16 or fp32 */
    double first_loss;           /* of the untrained adapter */
    double grad_norm, last_loss; /* of the first step; after two steps; 0: not known */
} vkft_bench_reference;

/* NULL: nobody computed it. */
const vkft_bench_reference *vkft_bench_reference_find(const char *shape, uint32_t tokens, uint32_t lora_r,
                                                      float lora_alpha, vkft_storage quant);

#endif
