/* The set of LoRA adapters on a model: which modules, where their parameters lie, and PEFT's form of them.
 *
 * All A and B matrices lie in one flat f32 buffer (and their gradients and optimizer state in others of the same
 * layout), module by module in the model's order, each matrix padded to 64 floats; the padding is and stays zero.
 */
#ifndef VKFT_LORA_H
#define VKFT_LORA_H

#include "formats/peft/adapter.h"
#include "host/trainable/parameter_space.h"
#include "host/model/model.h"

typedef struct vkft_lora_module {
    char name[128]; /* "model.layers.0.self_attn.q_proj" */
    vkft_linear *linear;
    uint32_t expert_group; /* see vkft_module */
    uint64_t a, b;         /* offsets of A [r,in] and B [out,r] in floats */
} vkft_lora_module;

typedef struct vkft_lora_set {
    const vkft_model *model;
    uint32_t r;
    float alpha, dropout, scale;
    bool use_rslora;
    vkft_lora_module *modules;
    uint32_t count;
    vkft_parameter_space layout; /* without addresses */
    uint64_t parameters;         /* without padding */
} vkft_lora_set;

/* targets: "all-linear" (of a mixture all but the routers and the experts), or names as PEFT takes them ("q_proj",
 * "self_attn.q_proj", a whole module name), comma separated. Error: a target that matches nothing, with the names that
 * exist. */
bool vkft_lora_choose(vkft_lora_set *set, const vkft_model *model, const char *targets, uint32_t r, float alpha,
                      float dropout, vkft_err *err);
/* The modules, rank and scale of an existing adapter. Error: a tensor that fits no module, a missing half, another
 * shape. */
bool vkft_lora_choose_from(vkft_lora_set *set, const vkft_model *model, const vkft_adapter *adapter, vkft_err *err);
void vkft_lora_free(vkft_lora_set *set);

/* Points the model's linear layers at their parameters and gradients (NULL for inference). */
void vkft_lora_bind(const vkft_lora_set *set, const vkft_parameter_space *parameters,
                    const vkft_parameter_space *gradients);

/* PEFT's initialization: A uniform in +-1/sqrt(in), B zero. flat: f32 [floats]. */
void vkft_lora_init(const vkft_lora_set *set, uint64_t seed, float *flat);
/* The adapter that the set was chosen from, or one with the same modules. */
bool vkft_lora_import(const vkft_lora_set *set, const vkft_adapter *adapter, float *flat, vkft_err *err);
/* Everything of *adapter is allocated; base_model goes into its configuration. */
bool vkft_lora_export(const vkft_lora_set *set, const float *flat, const char *base_model, vkft_adapter *adapter,
                      vkft_err *err);

#endif
