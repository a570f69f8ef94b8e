/* What a run trains: LoRA adapters on some modules, or all weights. One flat f32 buffer either way, and files that hold
 * it. */
#ifndef VKFT_TRAINED_H
#define VKFT_TRAINED_H

#include "host/trainable/all_weights.h"
#include "host/trainable/lora.h"

typedef struct vkft_trained {
    vkft_lora_set lora; /* no modules: all weights are trained, or nothing */
    vkft_full_set full; /* model NULL: adapters, or nothing */
} vkft_trained;

uint64_t vkft_trained_floats(const vkft_trained *trained);
uint64_t vkft_trained_decayed(const vkft_trained *trained);    /* of them, those with weight decay: the first ones */
uint64_t vkft_trained_parameters(const vkft_trained *trained); /* of them, those that are not padding */
const vkft_flat *vkft_trained_layout(const vkft_trained *trained); /* without addresses */
/* Points the model at its parameters and gradients; gradients NULL: there are none. */
void vkft_trained_bind(const vkft_trained *trained, const vkft_flat *parameters, const vkft_flat *gradients);
void vkft_trained_free(vkft_trained *trained);

/* An adapter as PEFT has it, or a Hugging Face checkpoint; into an existing directory. dtype of a checkpoint's weights.
 * file: the model's, NULL when only a configuration was opened. base: what an adapter is for. */
bool vkft_trained_write(const vkft_trained *trained, const float *flat, const vkft_model_file *file, const char *base,
                        vkft_dtype dtype, const char *dir, vkft_err *err);
/* The reverse. Error: other modules than these. */
bool vkft_trained_read(const vkft_trained *trained, const char *dir, float *flat, vkft_err *err);

#endif
