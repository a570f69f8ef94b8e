/* A set of adapters while it is made, from flags or from files. */
#ifndef VKFT_ADAPTERS_PRIVATE_H
#define VKFT_ADAPTERS_PRIVATE_H

#include "host/trainable/adapters.h"

/* An empty set with room for all modules of the model; of config the numbers are used. */
bool vkft_adapter_set_reserve(vkft_adapter_set *set, const vkft_model *model, const vkft_adapter_method *method,
                              const vkft_adapter_config *config, vkft_err *err);
/* The place of the set's next module, filled; it is added by counting it. */
vkft_adapted_module *vkft_adapter_set_next(vkft_adapter_set *set, const vkft_module *module);
/* Rank and alpha as the patterns say. */
bool vkft_adapted_module_apply_patterns(vkft_adapted_module *m, const vkft_module_patterns *ranks,
                                        const vkft_module_patterns *alphas, vkft_err *err);
/* Error: a kind of adapter that embeddings and the head cannot have. */
bool vkft_adapted_module_check_kind(const vkft_adapter_set *set, const vkft_adapted_module *m, vkft_err *err);
/* One kernel serves all experts of a layer, so all of them have adapters of one kind, or none. */
bool vkft_adapter_set_check_experts(const vkft_adapter_set *set, vkft_err *err);
/* Gives each tensor its place: those with weight decay, then the others. Once all modules are there. */
void vkft_adapter_set_lay_out(vkft_adapter_set *set);

/* Points the model at rows of trained tokens; places as for vkft_adapter_set_bind. trained_tokens.c */
void vkft_adapter_set_bind_tokens(const vkft_adapter_set *set, const vkft_parameter_space *parameters,
                                  const vkft_parameter_space *gradients);
bool vkft_adapter_set_read_tokens(const vkft_adapter_set *set, const vkft_model_file *file, float *flat, vkft_err *err);

/* What a module's tensor is called in files: ".lora_A.weight". */
const char *vkft_adapter_set_suffix(const vkft_adapter_set *set, const vkft_adapted_module *m, uint32_t tensor);
/* Tensors that each module has, and the shape of one of them; returns its elements. */
uint32_t vkft_adapter_set_kinds(const vkft_adapter_set *set);
uint64_t vkft_adapter_set_shape(const vkft_adapter_set *set, const vkft_adapted_module *m, uint32_t tensor,
                                uint32_t *rows, uint32_t *cols);

#endif
