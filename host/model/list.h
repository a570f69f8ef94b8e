/* Makes a model's lists of tensors and of modules, in the order in which they are named, planned and loaded. Internal
 * to host/model.
 */
#ifndef VKFT_MODEL_LIST_H
#define VKFT_MODEL_LIST_H

#include "formats/config/arch.h"
#include "host/model/layer.h"
#include "host/model/tensor_spec.h"

typedef struct vkft_model_list {
    const vkft_config *config;
    struct vkft_tensor_spec *tensors;
    uint32_t tensor_count, tensor_capacity;
    vkft_module *modules;
    uint32_t module_count, module_capacity;
    uint32_t expert_groups;        /* so far */
    const vkft_stack_names *names; /* of the stack whose blocks are listed, */
    uint32_t layer;                /* and the number of the block in it */
    uint32_t blocks;               /* listed so far, of all stacks, with the present one */
    bool in_block;                 /* what is listed belongs to the present block */
    bool failed;                   /* out of host memory; everything may be called all the same */
} vkft_model_list;

/* A weight that is no linear layer's. */
struct vkft_tensor_spec *vkft_list_matrix(vkft_model_list *list, vkft_weight *weight, uint32_t rows, uint32_t cols,
                                          bool never_quantized, const char *module);
/* An f32 table [rows, cols], or with one row a vector; gradient: where the address of its gradient goes. */
void vkft_list_table(vkft_model_list *list, uint64_t *table, uint64_t *gradient, uint32_t rows, uint32_t cols,
                     const char *module, const char *suffix);
/* Fills *norm but for addresses. */
void vkft_list_norm(vkft_model_list *list, vkft_norm *norm, uint32_t width, const char *module);
vkft_module *vkft_list_linear(vkft_model_list *list, vkft_linear *linear, uint32_t out, uint32_t in, bool bias,
                              bool never_quantized, const char *name);
/* An embedding or the head, whose tensor is listed apart; linear: its shape as that of a linear layer, for adapters. */
void vkft_list_outer(vkft_model_list *list, vkft_linear *linear, vkft_token_rows *rows, uint32_t out, uint32_t in,
                     bool head, const char *name);
/* The linear layer of the present block in this slot; inner: its name inside the block. */
vkft_module *vkft_list_slot(vkft_model_list *list, const vkft_layer *layer, vkft_linear *linear, vkft_linear_slot slot,
                            const char *inner);
/* The linear layers of one part of the present block, as many as the architecture names. */
void vkft_list_linears(vkft_model_list *list, vkft_layer *layer, vkft_block_part part);

#endif
