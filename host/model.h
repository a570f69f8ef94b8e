/* A decoder in device memory: what tensors it needs, how large they are, and loading them from a model file.
 *
 * Sizes follow from configuration and quantization alone, so a plan needs no weights. Weights are packed into a few buffers. The input
 * embedding of an untied model stays in host memory: a step reads only the rows of its tokens, so the bus costs nothing and
 * a large vocabulary costs no device memory.
 */
#ifndef VKFT_MODEL_H
#define VKFT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "arch.h"
#include "convert.h"
#include "memory.h"
#include "ops.h"

typedef struct vkft_layer {
    uint64_t attention_norm, mlp_norm; /* f32 gains */
    vkft_linear linear[VKFT_LINEAR_SLOTS];
} vkft_layer;

typedef struct vkft_model {
    vkft_config config;
    const vkft_arch *arch;
    vkft_layer *layers;
    vkft_weight embedding; /* [V,C] */
    vkft_weight head;      /* [V,C]; the embedding when tied */
    uint64_t final_norm;
    uint64_t rope_table; /* f32 (cos, sin) pairs [positions, D/2]; set by rope.c */
    vkft_attention_shape attention;

    uint64_t device_bytes, host_bytes; /* of the frozen weights */
    uint64_t scratch_bytes;            /* for products with any of them, see matmul.h */

    struct vkft_model_slot *slots; /* one per tensor: name, shape, place */
    uint32_t slot_count;
    vkft_device *dev; /* NULL until loaded */
    vkft_buffer *buffers;
    uint32_t buffer_count;
} vkft_model;

/* Lays out the model. file gives each tensor's type and is checked for missing tensors and shapes; with file NULL the types are those that
 * converting such a checkpoint with `quant` would give. Error: unsupported architecture; missing tensor; shape found and expected. */
bool vkft_model_init(vkft_model *model, const vkft_config *config, const vkft_model_file *file, vkft_quant quant,
                     bool double_quant, vkft_err *err);

/* Allocates the buffers and uploads all tensors, verifying their checksums. progress may be NULL; returning false stops. */
bool vkft_model_load(vkft_model *model, vkft_device *dev, const vkft_model_file *file,
                     bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes), void *context, vkft_err *err);

void vkft_model_free(vkft_model *model);

/* "model.layers.3.self_attn.q_proj" */
void vkft_model_module_name(const vkft_model *model, uint32_t layer, vkft_linear_slot slot, char *name, size_t size);

#endif
