/* What a run trains: LoRA adapters on some modules, or all weights. One flat f32 buffer either way, and files that hold
 * it. */
#ifndef VKFT_TRAINABLES_H
#define VKFT_TRAINABLES_H

#include "host/trainable/all_weights.h"
#include "host/trainable/adapters.h"

typedef enum vkft_trainable_kind {
    VKFT_TRAINABLE_ADAPTERS, /* none, when nothing is trained */
    VKFT_TRAINABLE_ALL_WEIGHTS,
} vkft_trainable_kind;

typedef struct vkft_trainables {
    vkft_trainable_kind kind;
    union {
        vkft_adapter_set adapters;
        vkft_all_weights all_weights;
    };
} vkft_trainables;

static inline bool vkft_trains_all_weights(const vkft_trainables *trained)
{
    return trained->kind == VKFT_TRAINABLE_ALL_WEIGHTS;
}

uint64_t vkft_trainables_floats(const vkft_trainables *trained);
uint64_t vkft_trainables_decayed(const vkft_trainables *trained); /* of them, those with weight decay: the first ones */
uint64_t vkft_trainables_parameters(const vkft_trainables *trained); /* of them, those that are not padding */
const vkft_parameter_space *vkft_trainables_layout(const vkft_trainables *trained); /* without addresses */
/* Allocates the list of them, which the caller frees. */
bool vkft_trainables_tensors(const vkft_trainables *trained, vkft_parameter_tensors *tensors, vkft_err *err);
/* Points the model at its parameters and gradients; gradients NULL: there are none. */
void vkft_trainables_bind(const vkft_trainables *trained, const vkft_parameter_space *parameters,
                          const vkft_parameter_space *gradients);
/* The same before there is memory, so that a plan sees what is trained. */
void vkft_trainables_bind_placeholders(const vkft_trainables *trained);
void vkft_trainables_free(vkft_trainables *trained);

/* An adapter as PEFT has it, or a Hugging Face checkpoint; into an existing directory. dtype of a checkpoint's weights.
 * file: the model's, NULL when only a configuration was opened. base: what an adapter is for. */
bool vkft_trainables_write(const vkft_trainables *trained, const float *flat, const vkft_model_file *file,
                           const char *base, vkft_dtype dtype, const char *dir, vkft_err *err);
/* The reverse. Error: other modules than these. */
bool vkft_trainables_read(const vkft_trainables *trained, const char *dir, float *flat, vkft_err *err);

#endif
