/* Architectures: each is a table of names over the parts of blocks in host/model/blocks, and a reader of its
 * configuration.
 *
 * An architecture is one file arch/<name>.c and its row in arch.def. Its reader sets the flags of vkft_config by which
 * the block differs from Llama's, and the defaults that transformers has for keys that the file leaves out.
 */
#ifndef VKFT_ARCH_H
#define VKFT_ARCH_H

#include "formats/config/block.h"

struct vkft_config_source;

/* Modules as the model with a language head names them; NULL: there is none. */
typedef struct vkft_stack_names {
    const char *layers, *final_norm;
    /* Inside a block, appended to "<layers>.<number>.": */
    const char *norm[VKFT_NORM_SLOTS];
    const char *linear[VKFT_LINEAR_SLOTS]; /* '*' stands for an expert's number */
    const char *relative_bias;             /* of block 0, which all blocks use */
} vkft_stack_names;

typedef struct vkft_arch {
    const char *model_type;
    const char *base; /* the prefix that a checkpoint without the head lacks: "model." */
    const char *embedding, *positions, *project_in, *project_out, *head;
    const char *head_module; /* what transformers calls the head since version 5; NULL: as the checkpoint does */
    vkft_stack_names decoder, encoder; /* most have a decoder alone */
    bool conv1d;                       /* linear weights are stored [in,out] */
    /* Never quantized to 4 bits, as in transformers: these layers overflow or lose too much accuracy. */
    bool never_quantized[VKFT_LINEAR_SLOTS];
    bool (*read)(const struct vkft_config_source *source, vkft_config *config);
} vkft_arch;

/* Names that Llama brought and most families kept. */
#define VKFT_LLAMA_NAMES                                                                                               \
    .base = "model.", .embedding = "model.embed_tokens", .decoder.layers = "model.layers",                             \
    .decoder.final_norm = "model.norm", .head = "lm_head"
#define VKFT_LLAMA_LINEAR                                                                                              \
    [VKFT_Q] = "self_attn.q_proj", [VKFT_K] = "self_attn.k_proj", [VKFT_V] = "self_attn.v_proj",                       \
    [VKFT_O] = "self_attn.o_proj", [VKFT_GATE] = "mlp.gate_proj", [VKFT_UP] = "mlp.up_proj",                           \
    [VKFT_DOWN] = "mlp.down_proj"

/* NULL when the model_type is not known. */
const vkft_arch *vkft_arch_find(const char *model_type);
/* Fails with the list of known ones and the one whose name is nearest. */
bool vkft_arch_fail_unknown(const char *model_type, const char *file, vkft_err *err);

typedef enum vkft_tensor_role {
    VKFT_ROLE_NONE,      /* not part of the model: masks, rotary tables, a vision tower, layers beyond the last */
    VKFT_ROLE_EMBEDDING, /* token and position embeddings, and the head */
    VKFT_ROLE_TIED_HEAD, /* a head, though the configuration says that the embedding is the head */
    VKFT_ROLE_LINEAR,
    VKFT_ROLE_NEVER_QUANTIZED, /* a linear layer of those */
    VKFT_ROLE_VECTOR,          /* gains and biases */
    VKFT_ROLE_TABLE,           /* relative positions */
} vkft_tensor_role;

/* What the checkpoint's tensor is, and its name in this program: the one that the model with a language head gives it.
 * Understands names without the base model's prefix and those of a language model inside a multimodal one. canonical
 * has `size` bytes. */
vkft_tensor_role vkft_arch_tensor(const vkft_config *config, const char *name, char *canonical, size_t size);

#endif
