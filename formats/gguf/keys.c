/* Keys from the configuration. What a file cannot say and llama.cpp takes for granted is compared with the model. */
#include "formats/gguf/keys.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/config/arch.h"

typedef struct maker {
    vkft_gguf_writer *writer;
    const vkft_gguf_arch *arch;
    const vkft_config *c;
    const vkft_observer *observer;
    vkft_err *err;
} maker;

static bool is(const maker *m, const char *name)
{
    return strcmp(m->arch->name, name) == 0;
}

static void put_u32(const maker *m, const char *name, uint32_t value)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", m->arch->name, name);
    vkft_gguf_put_u32(m->writer, key, value);
}

static void put_f32(const maker *m, const char *name, double value)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", m->arch->name, name);
    vkft_gguf_put_f32(m->writer, key, value);
}

static void put_text(const maker *m, const char *name, const char *value)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", m->arch->name, name);
    vkft_gguf_put_string(m->writer, key, value, strlen(value));
}

static bool fail(const maker *m, const char *what)
{
    return vkft_fail(m->err, VKFT_ERR_INPUT, "a GGUF file of a model of type '%s' cannot say what this model has: %s",
                     m->c->model_type, what);
}

/* ---- what is taken for granted ---- */

/* The layers that have this flag are those of which llama.cpp thinks so. */
static bool check_layers(const maker *m)
{
    const vkft_config *c = m->c;
    bool gemma2 = is(m, "gemma2"), gemma3 = is(m, "gemma3");
    for (uint32_t l = 0; l < c->num_layers; l++) {
        bool window = c->sliding_window && (c->layers[l] & VKFT_LAYER_WINDOW);
        if ((gemma2 && window != (l % 2 == 0)) || (gemma3 && window != ((l + 1) % 6 != 0)))
            return fail(m, "which layers have a window, other than in the published models");
        if (!!(c->layers[l] & VKFT_LAYER_NO_ROPE) != (is(m, "smollm3") && (l + 1) % 4 == 0))
            return fail(m, "which layers have no rotary positions, other than every fourth one of SmolLM3");
        if (!!(c->layers[l] & VKFT_LAYER_EXPERTS) != (c->experts != 0))
            return fail(m, "which layers are mixtures of experts");
        if (c->layer_intermediate_size[l] && c->layer_intermediate_size[l] != c->intermediate_size)
            return fail(m, "MLPs of different widths");
    }
    if (c->sliding_window && !gemma2 && !gemma3)
        vkft_observer_say(
            m->observer,
            "llama.cpp has no window of attention for this architecture: what follows more than %u tokens "
            "is computed otherwise",
            c->sliding_window);
    return true;
}

/* Gemma's number is the width of a head, but for the largest models. */
static bool check_attention(const maker *m)
{
    const vkft_config *c = m->c;
    bool large = c->num_layers == (is(m, "gemma2") ? 46u : 62u);
    double expected = 1 / sqrt((double)(m->arch->gain_plus_one && large ? c->hidden_size / c->num_heads : c->head_dim));
    if (!is(m, "granite") && c->attention_scale != 0 && fabs((double)c->attention_scale / expected - 1) > 1e-6)
        return fail(m, "another scale of attention");
    if (c->attention_softcap != 0 && !is(m, "gemma2"))
        return fail(m, "a soft cap of attention");
    if (c->logit_softcap != 0 && !m->arch->gain_plus_one)
        return fail(m, "a soft cap of logits");
    return true;
}

static bool check_rest(const maker *m)
{
    const vkft_config *c = m->c;
    bool gelu = m->arch->gain_plus_one || is(m, "gpt2");
    if (gelu ? c->activation != VKFT_ACT_GELU_TANH : c->activation != VKFT_ACT_SILU)
        return fail(m, "another activation");
    if (c->experts && !c->expert_weights_normalized)
        return fail(m, "experts whose weights are not normalized (norm_topk_prob false)");
    if (c->rope.type == VKFT_ROPE_DYNAMIC)
        vkft_observer_say(m->observer,
                          "llama.cpp has no rotary positions of type 'dynamic': texts of more than %u tokens are "
                          "computed otherwise",
                          c->rope.max_position);
    return true;
}

/* ---- rotary positions ---- */

static bool put_yarn(const maker *m, const vkft_rope *rope)
{
    if (fabs(rope->attention_factor - (rope->factor > 1 ? 0.1 * log(rope->factor) + 1 : 1)) > 1e-6)
        return fail(m, "a YaRN attention_factor other than the usual one");
    put_text(m, "rope.scaling.type", "yarn");
    put_f32(m, "rope.scaling.factor", rope->factor);
    put_u32(m, "rope.scaling.original_context_length", rope->original_max_position);
    if (rope->beta_fast != 32 || rope->beta_slow != 1) {
        put_f32(m, "rope.scaling.yarn_beta_fast", rope->beta_fast);
        put_f32(m, "rope.scaling.yarn_beta_slow", rope->beta_slow);
    }
    return rope->truncate || fail(m, "YaRN borders that are not whole (truncate false)");
}

static bool put_rope(const maker *m)
{
    const vkft_rope *rope = &m->c->rope;
    const uint64_t count = rope->dim / 2;
    if (!rope->dim)
        return true;
    put_u32(m, "rope.dimension_count", rope->dim);
    put_f32(m, "rope.freq_base", rope->theta);
    if (is(m, "gemma3"))
        put_f32(m, "rope.freq_base_swa", m->c->local_rope.theta);
    switch (rope->type) {
    case VKFT_ROPE_LINEAR:
        put_text(m, "rope.scaling.type", "linear");
        put_f32(m, "rope.scaling.factor", rope->factor);
        return true;
    case VKFT_ROPE_LLAMA3: vkft_gguf_add_tensor(m->writer, "rope_freqs.weight", VKFT_F32, 1, &count); return true;
    case VKFT_ROPE_LONGROPE:
        put_u32(m, "rope.scaling.original_context_length", rope->original_max_position);
        put_f32(m, "rope.scaling.attn_factor", rope->attention_factor);
        vkft_gguf_add_tensor(m->writer, "rope_factors_long.weight", VKFT_F32, 1, &count);
        vkft_gguf_add_tensor(m->writer, "rope_factors_short.weight", VKFT_F32, 1, &count);
        return true;
    case VKFT_ROPE_YARN: return put_yarn(m, rope);
    default: return true;
    }
}

/* Divisors of the frequencies. */
static void llama3_factors(const vkft_rope *rope, float *factors)
{
    for (uint32_t i = 0; i < rope->dim / 2; i++) {
        double rotations =
            rope->original_max_position * pow(rope->theta, -2.0 * i / rope->dim) / (2 * 3.14159265358979323846);
        double smooth = (rotations - rope->low_freq_factor) / (rope->high_freq_factor - rope->low_freq_factor);
        smooth = fmin(fmax(smooth, 0), 1);
        factors[i] = (float)(1 / ((1 - smooth) / rope->factor + smooth));
    }
}

bool vkft_gguf_append_tables(vkft_gguf_writer *writer, const vkft_config *config, vkft_err *err)
{
    const vkft_rope *rope = &config->rope;
    const size_t bytes = rope->dim / 2 * sizeof(float);
    float factors[VKFT_MAX_ROPE_DIM / 2];
    if (rope->type == VKFT_ROPE_LONGROPE)
        return vkft_gguf_append(writer, rope->long_factor, bytes, err) &&
               vkft_gguf_append(writer, rope->short_factor, bytes, err);
    if (rope->type != VKFT_ROPE_LLAMA3)
        return true;
    llama3_factors(rope, factors);
    return vkft_gguf_append(writer, factors, bytes, err);
}

/* ---- the rest ---- */

static void put_sizes(const maker *m)
{
    const vkft_config *c = m->c;
    put_u32(m, "context_length", c->max_position);
    put_u32(m, "embedding_length", c->hidden_size);
    put_u32(m, "block_count", c->num_layers);
    put_u32(m, "feed_forward_length", c->intermediate_size);
    put_u32(m, "attention.head_count", c->num_heads);
    put_u32(m, "attention.head_count_kv", c->num_kv_heads);
    put_f32(m, c->layernorm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", (double)c->norm_eps);
    put_u32(m, "vocab_size", c->vocab_size);
    if (!is(m, "gpt2")) {
        put_u32(m, "attention.key_length", c->head_dim);
        put_u32(m, "attention.value_length", c->head_dim);
    }
}

static void put_kind(const maker *m)
{
    const vkft_config *c = m->c;
    if (c->experts) {
        put_u32(m, "expert_count", c->experts);
        put_u32(m, "expert_used_count", c->experts_per_token);
        put_u32(m, "expert_feed_forward_length", c->expert_size);
    }
    if (m->arch->gain_plus_one)
        put_u32(m, "attention.sliding_window", c->sliding_window);
    if (is(m, "gemma2"))
        put_f32(m, "attn_logit_softcapping", (double)c->attention_softcap);
    if (c->logit_softcap != 0)
        put_f32(m, "final_logit_softcapping", (double)c->logit_softcap);
    if (is(m, "granite")) {
        put_f32(m, "attention.scale", (double)c->attention_scale);
        put_f32(m, "embedding_scale", (double)c->embedding_scale);
        put_f32(m, "residual_scale", (double)c->residual_scale);
        put_f32(m, "logit_scale", 1 / (double)c->logit_scale);
    }
}

bool vkft_gguf_put_config(vkft_gguf_writer *writer, const vkft_gguf_arch *arch, const vkft_config *config,
                          const vkft_observer *observer, vkft_err *err)
{
    maker m = {.writer = writer, .arch = arch, .c = config, .observer = observer, .err = err};
    if (!check_layers(&m) || !check_attention(&m) || !check_rest(&m))
        return false;
    put_sizes(&m);
    put_kind(&m);
    return put_rope(&m);
}
