/* What single architectures refuse in config.json, each with the key and what was expected; and T5's feed-forward
 * layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "formats/config/arch.h"
#include "formats/config/config.h"

#define SIZES                                                                                                          \
    "\"vocab_size\":320,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,\"num_attention_heads\":8"
#define T5                                                                                                             \
    "\"model_type\":\"t5\",\"vocab_size\":96,\"d_model\":32,\"d_ff\":64,\"d_kv\":8,\"num_layers\":2,\"num_heads\":4"

static bool parse(const char *type, const char *keys, vkft_config *config, vkft_err *err)
{
    char text[1200];
    snprintf(text, sizeof text, "{\"model_type\":\"%s\"," SIZES "%s%s}", type, *keys ? "," : "", keys);
    if (strcmp(type, "t5") == 0)
        snprintf(text, sizeof text, "{" T5 "%s%s}", *keys ? "," : "", keys);
    return vkft_config_parse(text, strlen(text), "config.json", config, err);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"t5", "\"feed_forward_proj\":\"gated-relu\"",
         "feed_forward_proj 'gated-relu' is not supported; supported are relu, gated-gelu and gated-silu"},
        {"t5", "\"feed_forward_proj\":5", "feed_forward_proj"},
        {"t5", "\"relative_attention_num_buckets\":6", "relative_attention_num_buckets 6"},
        {"t5", "\"relative_attention_max_distance\":16", "a distance above half of them"},
        {"t5", "\"num_decoder_layers\":-1", "num_decoder_layers"},
        {"t5", "\"layer_norm_epsilon\":\"x\"", "layer_norm_epsilon"},
        {"granite", "\"residual_multiplier\":0", "residual_multiplier 0, attention_multiplier 1, logits_scaling 1"},
        {"granite", "\"logits_scaling\":-2", "logits_scaling -2: expected positive numbers"},
        {"granite", "\"embedding_multiplier\":\"x\"", "embedding_multiplier"},
        {"granite", "\"embedding_multiplier\":1e39", "key 'embedding_multiplier' is 1e+39, expected a finite number"},
        {"mixtral", "\"router_jitter_noise\":0.1", "router_jitter_noise 0.1 is not supported; expected 0"},
        {"mixtral", "\"sliding_window\":-1", "sliding_window"},
        {"mistral", "\"sliding_window\":\"x\"", "sliding_window"},
        {"smollm3", "\"no_rope_layers\":[1]", "no_rope_layers has 1 entries, expected 2"},
        {"smollm3", "\"no_rope_layers\":[1,1,1]", "no_rope_layers has 3 entries, expected 2"},
        {"smollm3", "\"no_rope_layers\":5", "no_rope_layers"},
        {"smollm3", "\"use_sliding_window\":5", "use_sliding_window"},
        {"gemma3_text", "\"rope_parameters\":5", "rope_parameters"},
        {"gemma3_text", "\"rope_parameters\":{\"full_attention\":5}", "full_attention"},
        {"gemma3_text", "\"sliding_window_pattern\":\"x\"", "sliding_window_pattern"},
        {"gemma3_text", "\"layer_types\":[\"full_attention\"]", "layer_types has 1 entries, expected 2"},
        {"gemma3_text", "\"layer_types\":[\"full_attention\",\"linear_attention\"]", "'linear_attention'"},
        {"gemma2", "\"attn_logit_softcapping\":-1", "attn_logit_softcapping"},
        {"gemma2", "\"final_logit_softcapping\":\"x\"", "final_logit_softcapping"},
        {"qwen3_moe", "\"mlp_only_layers\":5", "mlp_only_layers"},
        {"phi3", "\"sliding_window\":\"x\"", "sliding_window"},
        {"phi3",
         "\"max_position_embeddings\":64,\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1,0],"
         "\"long_factor\":[1,1,1,1]}",
         "short_factor: expected a list of positive numbers"},
        {"phi3",
         "\"max_position_embeddings\":64,\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1],"
         "\"long_factor\":[1,1,1,1]}",
         "short_factor has 3 entries, expected 4"},
        {"phi3", "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":5}", "short_factor"},
        {"llama", "\"rope_scaling\":{\"type\":5}", "type"},
        {"llama", "\"rope_scaling\":{\"rope_type\":\"ntk\"}",
         "rope type 'ntk' is not supported; supported are default"},
        {"llama", "\"rope_scaling\":5", "rope_scaling"},
        {"llama", "\"partial_rotary_factor\":1.5", "partial_rotary_factor 1.5 is not supported; expected 0 <"},
        {"llama", "\"partial_rotary_factor\":0", "partial_rotary_factor 0 is not supported"},
        {"llama", "\"head_dim\":7", "head_dim 7 is odd; rotary embeddings need an even one"},
        {"llama", "\"head_dim\":1026", "head_dim 1026 is above"},
        {"llama", "\"rope_theta\":0", "rope_theta is 0, expected a positive number"},
        {"llama", "\"hidden_act\":5", "hidden_act"},
        {"llama", "\"attention_bias\":5", "attention_bias"},
        {"llama", "\"eos_token_id\":\"x\"", "eos_token_id"},
    };
    uint32_t wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_config config;
        vkft_err err = {0};
        bool ok = parse(cases[i][0], cases[i][1], &config, &err);
        if (ok || !strstr(err.message, cases[i][2]) || strncmp(err.message, "config.json", 11) != 0) {
            print_error("%s %s: expected \"%s\", found \"%s\"\n", cases[i][0], cases[i][1], cases[i][2],
                        ok ? "a model" : err.message);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* Gated layers have two matrices, and GELU is the one by tanh. */
static void test_t5(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        vkft_activation activation;
        bool gated;
    } cases[] = {
        {"", VKFT_ACT_RELU, false},
        {"\"feed_forward_proj\":\"relu\"", VKFT_ACT_RELU, false},
        {"\"feed_forward_proj\":\"gated-gelu\"", VKFT_ACT_GELU_TANH, true},
        {"\"feed_forward_proj\":\"gated-silu\"", VKFT_ACT_SILU, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_config c;
        vkft_err err = {0};
        char canonical[256];
        assert_true(parse("t5", cases[i].keys, &c, &err));
        assert_int_equal(c.activation, cases[i].activation);
        assert_int_equal(vkft_arch_tensor(&c, "encoder.block.0.layer.1.DenseReluDense.wi_0.weight", canonical,
                                          sizeof canonical) != VKFT_ROLE_NONE,
                         cases[i].gated);
        assert_int_equal(vkft_arch_tensor(&c, "encoder.block.0.layer.1.DenseReluDense.wi.weight", canonical,
                                          sizeof canonical) != VKFT_ROLE_NONE,
                         !cases[i].gated);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused), cmocka_unit_test(test_t5)};
    return cmocka_run_group_tests_name("config_arch", tests, NULL, NULL);
}
