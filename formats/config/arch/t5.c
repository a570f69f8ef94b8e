/* T5 and flan-t5: an encoder and a decoder that attends to it, biases by relative position instead of rotary or learned
 * ones, and scores that are not scaled. Version 1.0 has a plain feed-forward layer and a tied head after a scaled
 * output, 1.1 and flan a gated one and a separate head. */
#include "formats/config/config_read.h"

#include <math.h>
#include <string.h>

static const vkft_arch gated;

/* "relu", "gated-gelu": T5 means the approximation by tanh when it gates by GELU. */
static bool read_feed_forward(const vkft_config_source *in, vkft_config *c)
{
    const char *kind = "relu";
    if (!vkft_json_get_string(in->json, "feed_forward_proj", false, &kind, in->file, in->err))
        return false;
    if (strcmp(kind, "gated-gelu") == 0) {
        c->arch = &gated;
        c->activation = VKFT_ACT_GELU_TANH;
    } else if (strcmp(kind, "gated-silu") == 0) {
        c->arch = &gated;
        c->activation = VKFT_ACT_SILU;
    } else if (strcmp(kind, "relu") == 0) {
        c->activation = VKFT_ACT_RELU;
    } else {
        return vkft_fail(in->err, VKFT_ERR_INPUT,
                         "%s: feed_forward_proj '%.40s' is not supported; supported are relu, gated-gelu and "
                         "gated-silu",
                         in->file, kind);
    }
    return true;
}

static bool read(const vkft_config_source *in, vkft_config *c)
{
    bool scaled = true;
    c->vocab_size = 32128;
    c->relative_buckets = 32;
    c->relative_max_distance = 128;
    c->max_position = 1u << 20; /* there is no limit; this only bounds what is planned for */
    c->attention_scale = 1.0f;
    c->tie_word_embeddings = true;
    c->pad_token_id = c->decoder_start_token_id = 0;
    c->eos_token_ids[0] = 1;
    c->eos_count = 1;
    if (!vkft_config_u32(in, "vocab_size", &c->vocab_size) || !vkft_config_u32(in, "d_model", &c->hidden_size) ||
        !vkft_config_u32(in, "d_ff", &c->intermediate_size) || !vkft_config_u32(in, "d_kv", &c->head_dim) ||
        !vkft_config_u32(in, "num_layers", &c->encoder_layers) || !vkft_config_u32(in, "num_heads", &c->num_heads) ||
        !vkft_config_u32(in, "relative_attention_num_buckets", &c->relative_buckets) ||
        !vkft_config_u32(in, "relative_attention_max_distance", &c->relative_max_distance) ||
        !vkft_config_eps(in, "layer_norm_epsilon", c) || !read_feed_forward(in, c) ||
        !vkft_config_bool(in, "tie_word_embeddings", &c->tie_word_embeddings))
        return false;
    c->num_layers = c->encoder_layers;
    c->num_kv_heads = c->num_heads;
    scaled = c->tie_word_embeddings;
    if (!vkft_config_optional_u32(in, "num_decoder_layers", &c->num_layers) ||
        !vkft_config_bool(in, "scale_decoder_outputs", &scaled))
        return false;
    if (c->encoder_layers > VKFT_MAX_LAYERS || c->relative_buckets < 4 || c->relative_buckets % 4 ||
        c->relative_buckets > 4096 || c->relative_max_distance <= c->relative_buckets / 2)
        return vkft_fail(in->err, VKFT_ERR_INPUT,
                         "%s: num_layers %u, relative_attention_num_buckets %u, relative_attention_max_distance %u: "
                         "expected at most %d layers, a multiple of 4 buckets and a distance above half of them",
                         in->file, c->encoder_layers, c->relative_buckets, c->relative_max_distance, VKFT_MAX_LAYERS);
    c->tied_unless_stored =
        c->tie_word_embeddings && !scaled; /* transformers 5 says of all of them that they are tied */
    c->logit_scale = scaled ? (float)(1.0 / sqrt((double)c->hidden_size)) : 1.0f;
    return vkft_config_derive(in, c);
}

#define ATTENTION(layer, name)                                                                                         \
    [VKFT_##layer##Q] = name ".q", [VKFT_##layer##K] = name ".k", [VKFT_##layer##V] = name ".v",                       \
    [VKFT_##layer##O] = name ".o"
#define PLAIN(layer) [VKFT_UP] = layer ".DenseReluDense.wi", [VKFT_DOWN] = layer ".DenseReluDense.wo"
#define GATED(layer)                                                                                                   \
    [VKFT_GATE] = layer ".DenseReluDense.wi_0", [VKFT_UP] = layer ".DenseReluDense.wi_1",                              \
    [VKFT_DOWN] = layer ".DenseReluDense.wo"
#define NAMES(FEED_FORWARD)                                                                                            \
    .model_type = "t5", .base = "", .embedding = "shared", .head = "lm_head",                                          \
    .encoder =                                                                                                         \
        {                                                                                                              \
            .layers = "encoder.block",                                                                                 \
            .final_norm = "encoder.final_layer_norm",                                                                  \
            .norm = {[VKFT_NORM_ATTENTION] = "layer.0.layer_norm", [VKFT_NORM_MLP] = "layer.1.layer_norm"},            \
            .linear = {ATTENTION(, "layer.0.SelfAttention"), FEED_FORWARD("layer.1")},                                 \
            .relative_bias = "layer.0.SelfAttention.relative_attention_bias",                                          \
    },                                                                                                                 \
    .decoder =                                                                                                         \
        {                                                                                                              \
            .layers = "decoder.block",                                                                                 \
            .final_norm = "decoder.final_layer_norm",                                                                  \
            .norm = {[VKFT_NORM_ATTENTION] = "layer.0.layer_norm",                                                     \
                     [VKFT_NORM_CROSS] = "layer.1.layer_norm",                                                         \
                     [VKFT_NORM_MLP] = "layer.2.layer_norm"},                                                          \
            .linear = {ATTENTION(, "layer.0.SelfAttention"), ATTENTION(CROSS_, "layer.1.EncDecAttention"),             \
                       FEED_FORWARD("layer.2")},                                                                       \
            .relative_bias = "layer.0.SelfAttention.relative_attention_bias",                                          \
    },                                                                                                                 \
    .never_quantized = {[VKFT_DOWN] = true}, .read = read

static const vkft_arch gated = {NAMES(GATED)};
const vkft_arch vkft_arch_t5 = {NAMES(PLAIN)};
