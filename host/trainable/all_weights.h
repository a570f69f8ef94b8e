/* Full fine-tuning: all tensors of a model as one flat f32 buffer, and the Hugging Face checkpoint that they make.
 *
 * Tensors lie one after the other, each padded to 64 floats (the padding is and stays zero): first those with weight
 * decay, then the gains and biases, which have none, as in transformers' Trainer.
 */
#ifndef VKFT_ALL_WEIGHTS_H
#define VKFT_ALL_WEIGHTS_H

#include "host/trainable/parameter_space.h"
#include "host/model/model.h"

typedef struct vkft_all_weights {
    vkft_model *model;           /* NULL: not in use */
    uint64_t *offset;            /* of each tensor, in floats */
    vkft_parameter_space layout; /* without addresses */
    uint64_t decayed;            /* floats with weight decay: the first ones */
    uint64_t parameters;         /* without padding */
    bool rounded;                /* the model's weights are in bf16, rounded from what is trained; vectors are not */
    const vkft_parameter_space *copies; /* where those are, see vkft_optimizer; NULL: not yet */
} vkft_all_weights;

/* max_floats: of a buffer; VKFT_PARAMETER_SPACE_FLOATS but in tests. */
bool vkft_all_weights_layout(vkft_all_weights *set, vkft_model *model, uint64_t max_floats, vkft_err *err);
/* The model reads weights that are rounded to bf16. Before planning. */
void vkft_all_weights_round(vkft_all_weights *set);
void vkft_all_weights_free(vkft_all_weights *set);

/* The place and shape of each tensor, list [model->tensor_count] in any order. */
void vkft_all_weights_tensors(const vkft_all_weights *set, vkft_parameter_tensor *list);

/* Points the model at its tensors and their gradients. */
void vkft_all_weights_bind(const vkft_all_weights *set, const vkft_parameter_space *parameters,
                           const vkft_parameter_space *gradients);

/* The model file's values, f32 [floats], checksums verified. */
bool vkft_all_weights_init(const vkft_all_weights *set, const vkft_model_file *file, float *flat, vkft_err *err);

/* Writes model.safetensors and the model file's small files into an existing directory, so that transformers loads it.
 * dtype F32, F16 or BF16. */
bool vkft_all_weights_write(const vkft_all_weights *set, const float *flat, const vkft_model_file *file,
                            vkft_dtype dtype, const char *dir, vkft_err *err);
/* Reads model.safetensors as written. Error: a tensor that is missing or has another shape. */
bool vkft_all_weights_read(const vkft_all_weights *set, const char *dir, float *flat, vkft_err *err);

#endif
