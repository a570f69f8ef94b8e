/* A PEFT adapter by the modules of a model, for whoever writes it in another form. */
#ifndef VKFT_MERGE_ADAPTER_H
#define VKFT_MERGE_ADAPTER_H

#include "formats/config/config.h"
#include "host/trainable/method.h"

/* What a linear layer has. */
typedef struct vkft_merge_module {
    char name[256];                                          /* as the model with a language head names it */
    const vkft_adapter_tensor *tensor[VKFT_ADAPTER_TENSORS]; /* in the order of the method's suffixes; borrowed */
    float scale;                                             /* of B A, from alpha and rank */
} vkft_merge_module;

/* A tensor that stands in the place of the model's. */
typedef struct vkft_merge_saved {
    char name[256]; /* with its ending: "lm_head.weight" */
    const vkft_adapter_tensor *tensor;
} vkft_merge_saved;

/* Rows of an embedding, or of the head, in the place of the model's: those of some tokens. */
typedef struct vkft_merge_tokens {
    char name[256];
    const vkft_adapter_tensor *tensor;
    const uint32_t *tokens; /* of its rows; borrowed from the configuration */
} vkft_merge_tokens;

typedef struct vkft_merge_adapter {
    char *path;
    vkft_adapter adapter;
    const vkft_adapter_method *method;
    vkft_merge_module *modules; /* sorted by name */
    vkft_merge_saved *saved;
    vkft_merge_tokens *tokens;
    uint32_t count, saved_count, tokens_count;
} vkft_merge_adapter;

/* Error: what vkft_adapter_read reports; a tensor that belongs to no module of the model, or has another shape than its
 * partner. */
bool vkft_merge_adapter_open(const char *dir, const vkft_config *config, vkft_merge_adapter *adapter, vkft_err *err);
void vkft_merge_adapter_close(vkft_merge_adapter *adapter); /* zeroes it */

/* The model that the adapter says it was trained on, a path or a name on the hub, malloc'ed; NULL: an error, with what
 * to do. */
char *vkft_merge_base_model(const char *adapter_dir, vkft_err *err);

/* Of a module "model.layers.0.self_attn.q_proj"; NULL: it has no adapter. */
const vkft_merge_module *vkft_merge_find_module(const vkft_merge_adapter *adapter, const char *module);
/* Of a tensor "lm_head.weight"; NULL: the model's own stays. */
const vkft_merge_saved *vkft_merge_find_saved(const vkft_merge_adapter *adapter, const char *name);

#endif
