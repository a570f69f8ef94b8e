/* config.json of a Hugging Face checkpoint: what the model is, whatever spelling the file uses. */
#ifndef VKFT_CONFIG_H
#define VKFT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/config/activation.h"
#include "formats/tensors/dtype.h"
#include "runtime/base/error.h"

struct vkft_arch;

typedef enum vkft_rope_type {
    VKFT_ROPE_DEFAULT,
    VKFT_ROPE_LINEAR,
    VKFT_ROPE_DYNAMIC,
    VKFT_ROPE_LLAMA3,
    VKFT_ROPE_LONGROPE,
    VKFT_ROPE_YARN
} vkft_rope_type;

#define VKFT_MAX_ROPE_DIM 512

typedef struct vkft_rope {
    vkft_rope_type type;
    uint32_t dim; /* elements per head that are rotated (a prefix); 0 disables rotary positions */
    double theta;
    double factor;
    double low_freq_factor, high_freq_factor; /* llama3 */
    double beta_fast, beta_slow;              /* yarn: rotations over the original length; faster ones are kept, */
    bool truncate;                            /* slower ones scaled; the borders between are whole numbers */
    uint32_t max_position;                    /* dynamic */
    uint32_t original_max_position;           /* llama3, dynamic, longrope and yarn */
    double attention_factor;                  /* longrope and yarn: of cosine and sine; else 1 */
    float short_factor[VKFT_MAX_ROPE_DIM / 2], long_factor[VKFT_MAX_ROPE_DIM / 2]; /* longrope */
} vkft_rope;

/* What sets one layer apart from the others. */
enum {
    VKFT_LAYER_WINDOW = 1,     /* attention sees sliding_window tokens back */
    VKFT_LAYER_LOCAL_ROPE = 2, /* uses local_rope */
    VKFT_LAYER_NO_ROPE = 4,    /* no rotary positions */
    VKFT_LAYER_EXPERTS = 8,    /* its feed-forward layer is a mixture of experts */
};

#define VKFT_MAX_EOS 8
#define VKFT_MAX_LAYERS 1024
#define VKFT_MAX_EXPERTS 1024

typedef struct vkft_config {
    const struct vkft_arch *arch;
    char model_type[32];      /* "llama", "mistral"; of the language model when there is more around it */
    char architecture[64];    /* architectures[0] */
    char multimodal_type[32]; /* model_type of the multimodal model around it, "" for none; only the language model is
                                 used */

    uint32_t vocab_size;
    uint32_t hidden_size;
    uint32_t embedding_size; /* width of the embedding; projected where it is not hidden_size */
    uint32_t intermediate_size;
    uint32_t num_layers;
    uint32_t encoder_layers; /* 0: a decoder alone */
    uint32_t num_heads;
    uint32_t num_kv_heads;
    uint32_t head_dim; /* head_dim, or hidden_size / num_heads when absent */
    uint32_t max_position;
    uint32_t sliding_window;                           /* 0: none */
    uint8_t layers[VKFT_MAX_LAYERS];                   /* flags of each */
    uint32_t layer_intermediate_size[VKFT_MAX_LAYERS]; /* of those that have another one; 0: intermediate_size */
    bool tie_word_embeddings;
    bool tied_unless_stored; /* tied, unless the checkpoint has a head: T5 as transformers 5 describes it */

    /* How the block differs from Llama's. */
    vkft_activation activation;
    bool layernorm;           /* LayerNorm with bias, else RMSNorm */
    bool norm_after_residual; /* x' = norm(x + f(x)) instead of x + f(norm(x)) */
    bool no_final_norm;
    bool parallel_residual; /* the MLP reads the block's input, not the attention's sum */
    bool qkv_bias, o_bias, mlp_bias;
    bool qkv_by_head; /* fused projection: query, key and value of one head after the other, else all queries, all keys,
                         all values */
    bool qk_norm_whole; /* norms of queries and keys over all heads, else each head by itself */
    float norm_eps;
    float norm_gain_offset; /* RMSNorm multiplies by its gain plus this */
    float embedding_scale, residual_scale,
        logit_scale;   /* factors of the embedding, of each part before it is added, of the logits */
    float noise_scale; /* of noise on the embedding: not 1 where the model multiplies what it has looked up */
    float attention_scale;
    float attention_softcap, logit_softcap; /* x -> cap tanh(x/cap); 0: none */
    uint32_t position_offset;               /* learned positions: row of position 0 */
    vkft_rope rope, local_rope;
    uint32_t experts, experts_per_token,
        expert_size;                /* mixtures: how many experts, how many a token goes to, their intermediate size */
    bool expert_weights_normalized; /* the weights of a token's experts sum to 1, else they are parts of the softmax
                                       over all */
    uint32_t relative_buckets, relative_max_distance; /* relative position biases; 0: none */

    int32_t bos_token_id; /* -1: none */
    int32_t eos_token_ids[VKFT_MAX_EOS];
    uint32_t eos_count;
    int32_t pad_token_id;           /* -1: none */
    int32_t decoder_start_token_id; /* what a decoder with an encoder begins with; -1: none */
    vkft_dtype dtype;               /* torch_dtype or dtype; F32 when absent */
} vkft_config;

/* Parses the text of config.json; `file` names it in errors. Accepts the spellings of transformers 4 and 5: rope_theta
 * + rope_scaling or rope_parameters, torch_dtype or dtype, eos_token_id as number or list, layer_types or the pattern
 * that stood for them, and the text_config of a multimodal model. Sizes are checked (non-zero, divisible, products
 * below 2^32 where needed). Error: JSON error with its line, unknown model_type with the nearest known one, missing or
 * wrongly typed key, value out of range, unsupported value (says which are supported). */
bool vkft_config_parse(const char *text, size_t length, const char *file, vkft_config *config, vkft_err *err);

/* The config.json of the language model inside a multimodal one, malloc'ed: its text_config, with what
 * vkft_config_parse takes of the whole model. Error: as there; there is no text_config. */
char *vkft_config_language_model(const char *text, size_t length, const char *file, vkft_err *err);
/* A config.json whose head is not the embedding, malloc'ed. */
char *vkft_config_untied(const char *text, size_t length, const char *file, vkft_err *err);

#endif
