/* Architectures: each is a table of names and checks over the one decoder block of decoder.c. */
#ifndef VKFT_ARCH_H
#define VKFT_ARCH_H

#include "config.h"

/* The linear layers of a block, in the order in which they run. */
typedef enum vkft_linear_slot {
    VKFT_Q, VKFT_K, VKFT_V, VKFT_O, VKFT_GATE, VKFT_UP, VKFT_DOWN,
    VKFT_LINEAR_SLOTS
} vkft_linear_slot;

typedef struct vkft_arch {
    const char *model_type;
    /* Tensor names in the checkpoint; block names are appended to "<layers>.<number>." */
    const char *embedding, *layers, *attention_norm, *mlp_norm, *final_norm, *head;
    const char *linear[VKFT_LINEAR_SLOTS];
    /* Error: a configuration that the block cannot compute, named with what is supported. */
    bool (*check)(const vkft_config *config, vkft_err *err);
} vkft_arch;

extern const vkft_arch vkft_arch_llama;
extern const vkft_arch vkft_arch_mistral;

/* The architecture of a configuration. Error: unknown model_type, with the list of known ones; or its check. */
const vkft_arch *vkft_arch_find(const vkft_config *config, vkft_err *err);

#endif
