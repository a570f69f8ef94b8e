/* A model in device memory: what tensors it needs, how large they are, and loading them from a model file.
 *
 * Sizes follow from configuration and quantization alone, so a plan needs no weights. Weights are packed into a few
 * buffers. The input embedding of an untied model stays in host memory: a step reads only the rows of its tokens, so
 * the bus costs nothing and a large vocabulary costs no device memory.
 */
#ifndef VKFT_MODEL_H
#define VKFT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/config/arch.h"
#include "formats/convert/convert.h"
#include "runtime/memory.h"
#include "host/model/layer.h"
#include "host/model/residency.h"

/* A sequence of blocks: the decoder, or the encoder. */
typedef struct vkft_stack {
    vkft_layer *layers;
    uint32_t count;
    vkft_norm final_norm;
    vkft_linear embedding; /* LoRA on the embedding, as that of a linear layer [E,V]; it has no matrix */
} vkft_stack;

typedef struct vkft_model {
    const vkft_config *config;           /* the caller's, for whoever lays the model out; running asks what follows */
    vkft_stack decoder, encoder;         /* encoder.count is 0 where there is none */
    vkft_weight embedding;               /* [V,E], E = config.embedding_size */
    vkft_token_rows token_rows;          /* trained in the place of the embedding's */
    vkft_weight positions;               /* [offset + P, C]: learned ones, added to the embedding */
    float embedding_scale;               /* of the embedding, before positions are added */
    float noise_scale;                   /* of noise that is added to it */
    uint32_t position_offset;            /* row of position 0 */
    vkft_linear project_in, project_out; /* [C,E] and [E,C] where E is not C */
    vkft_head head;                      /* [V,E]; the embedding when tied */
    bool tied;
    vkft_rotary rotary[2]; /* of config.rope and config.local_rope */

    vkft_module *modules; /* all linear layers in the order in which they run; then embeddings and the head */
    uint32_t module_count;

    bool trained;                      /* all of it: all_weights.h has the weights */
    uint64_t device_bytes, host_bytes; /* of the frozen weights */
    uint64_t scratch_bytes;            /* for products with any of them, see product.h */

    uint32_t expert_groups; /* see vkft_module */
    vkft_buffer expert_tables;

    struct vkft_tensor_spec *tensors; /* one per tensor: name, shape, place */
    uint32_t tensor_count;
    vkft_device *dev; /* NULL until loaded */
    vkft_residency residency;
} vkft_model;

/* Lays out the model; config outlives it. file gives each tensor's type and is checked for missing tensors and shapes;
 * with file NULL the types are those that converting such a checkpoint with `quant` would give. trained: all weights
 * are to be trained, which are f32 in memory that all_weights.h manages; nothing is left to load here. Error:
 * unsupported architecture; missing tensor; shape found and expected. */
bool vkft_model_init(vkft_model *model, const vkft_config *config, const vkft_model_file *file, vkft_storage quant,
                     bool trained, vkft_err *err);

/* The embedding or the head is trained beside adapters: it lies with what is trained, in f32, and is not loaded. Before
 * planning. */
void vkft_model_release(vkft_model *model, struct vkft_tensor_spec *spec);

/* Whether a linear layer has quantized weights. */
bool vkft_model_is_quantized(const vkft_model *model);

/* Prepares the device's kernels for this model and samples of at most `positions` tokens, products with quantized
 * weights for operands of this type (F32 or BF16). They are tested at first use, see vkft_gemm_selftest.
 * Error: samples too long for the loops of a software device; kernels that compute wrong results. */
bool vkft_model_setup_kernels(const vkft_model *model, vkft_device *dev, vkft_dtype operands, uint32_t positions,
                              bool training, vkft_err *err);

/* Allocates the buffers and uploads all tensors, verifying their checksums, unless the model has a residency where they
 * lie as it needs them; one that does not serve is freed. file NULL: random weights
 * (random_weights.h). stream: the blocks' weights are read from the file block by block as they are computed; the file
 * then outlives the model. progress may be NULL; returning false stops. */
bool vkft_model_load(vkft_model *model, vkft_device *dev, const vkft_model_file *file, bool stream,
                     const vkft_in_place *in_place,
                     bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes), void *context,
                     vkft_err *err);

/* The tables by which kernels find the experts' matrices: bytes, 0 without any; and a buffer with them, when all
 * weights and adapters have their addresses. */
uint64_t vkft_model_expert_table_bytes(const vkft_model *model);
bool vkft_model_write_expert_tables(vkft_model *model, vkft_device *dev, vkft_err *err);

void vkft_model_free(vkft_model *model);

/* Makes the head the embedding where they are tied; again after either has moved. */
void vkft_model_set_head(vkft_model *model);

/* Tables by position: rotary (cos, sin) pairs, and the buckets of relative positions. Bytes for this many positions; 0
 * without any. */
uint64_t vkft_model_table_bytes(const vkft_model *model, uint32_t positions);
/* Points the model at its tables, of vkft_model_table_bytes. */
void vkft_model_set_tables(vkft_model *model, uint64_t address, uint32_t positions);
/* Writes them for sequences of up to `length` tokens (scalings that follow the length, see rope.h). */
void vkft_model_fill_tables(const vkft_model *model, uint32_t length, uint32_t positions, void *tables);

#endif
