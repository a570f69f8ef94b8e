/* Full fine-tuning: all tensors of a model as one flat f32 buffer, and the Hugging Face checkpoint that they make.
 *
 * Tensors lie one behind the other, each padded to 64 floats (the padding is and stays zero): first those with weight
 * decay, then the gains and biases, which have none, as in transformers' Trainer.
 */
#ifndef VKFT_FULL_H
#define VKFT_FULL_H

#include "host/trainable/parameter_space.h"
#include "host/model/model.h"

typedef struct vkft_full_set {
    vkft_model *model;   /* NULL: not in use */
    uint64_t *offset;    /* of each tensor, in floats */
    vkft_flat layout;    /* without addresses */
    uint64_t decayed;    /* floats with weight decay: the first ones */
    uint64_t parameters; /* without padding */
} vkft_full_set;

/* most: floats of a buffer, VKFT_FLAT_FLOATS but in tests. */
bool vkft_full_layout(vkft_full_set *set, vkft_model *model, uint64_t most, vkft_err *err);
void vkft_full_free(vkft_full_set *set);

/* Points the model at its tensors and their gradients. */
void vkft_full_bind(const vkft_full_set *set, const vkft_flat *parameters, const vkft_flat *gradients);

/* The model file's values, f32 [floats], checksums verified. */
bool vkft_full_init(const vkft_full_set *set, const vkft_model_file *file, float *flat, vkft_err *err);

/* Writes model.safetensors and the model file's small files into an existing directory, so that transformers loads it.
 * dtype F32, F16 or BF16. */
bool vkft_full_write(const vkft_full_set *set, const float *flat, const vkft_model_file *file, vkft_dtype dtype,
                     const char *dir, vkft_err *err);
/* Reads model.safetensors as written. Error: a tensor that is missing or has another shape. */
bool vkft_full_read(const vkft_full_set *set, const char *dir, float *flat, vkft_err *err);

#endif
