/* config.json: real files, the spellings of different transformers versions, and what is wrong in a file. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/config/config.h"
#include "runtime/base/file.h"
#include "formats/config/generation_config.h"
#include "tests/support/program.h"

#define BASE                                                                                                           \
    "\"model_type\":\"llama\",\"vocab_size\":320,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2," \
    "\"num_attention_heads\":8"

static bool parse(const char *text, vkft_config *config, vkft_err *err)
{
    return vkft_config_parse(text, strlen(text), "config.json", config, err);
}

static void defaults(void **state)
{
    (void)state;
    vkft_config c;
    vkft_err err = {0};
    expect_ok(parse("{" BASE "}", &c, &err));
    assert_string_equal(c.model_type, "llama");
    assert_string_equal(c.architecture, "");
    assert_int_equal(c.activation, VKFT_ACT_SILU);
    assert_int_equal(c.num_kv_heads, 8);
    assert_int_equal(c.head_dim, 8);
    assert_int_equal(c.max_position, 2048);
    assert_int_equal(c.sliding_window, 0);
    assert_int_equal(c.rope.type, VKFT_ROPE_DEFAULT);
    assert_true(c.rope.theta == 10000 && c.rope.factor == 1);
    assert_true(c.norm_eps == 1e-6f);
    assert_false(c.tie_word_embeddings || c.qkv_bias || c.o_bias || c.mlp_bias);
    assert_int_equal(c.bos_token_id, -1);
    assert_int_equal(c.pad_token_id, -1);
    assert_int_equal(c.eos_count, 0);
    assert_int_equal(c.dtype, VKFT_F32);
}

/* Llama-3's scaling in the older and the newer spelling means the same. */
static void rope_spellings(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        "{" BASE ",\"max_position_embeddings\":131072,\"rope_theta\":500000.0,\"rope_scaling\":{\"factor\":32.0,\"low_"
        "freq_factor\":1.0,"
        "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"}}",
        "{" BASE ",\"max_position_embeddings\":131072,\"rope_parameters\":{\"rope_theta\":500000.0,\"factor\":32.0,"
        "\"low_freq_factor\":1.0,"
        "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"}}",
    };
    for (size_t i = 0; i < 2; i++) {
        vkft_config c;
        vkft_err err = {0};
        expect_ok(parse(spellings[i], &c, &err));
        assert_int_equal(c.rope.type, VKFT_ROPE_LLAMA3);
        assert_true(c.rope.theta == 500000 && c.rope.factor == 32 && c.rope.low_freq_factor == 1 &&
                    c.rope.high_freq_factor == 4);
        assert_int_equal(c.rope.original_max_position, 8192);
    }
    vkft_config c;
    vkft_err err = {0};
    expect_ok(parse("{" BASE ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}", &c, &err));
    assert_int_equal(c.rope.type, VKFT_ROPE_LINEAR);
    assert_true(c.rope.factor == 2 && c.rope.theta == 10000);
    expect_ok(parse("{" BASE
                    ",\"max_position_embeddings\":64,\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":4}}",
                    &c, &err));
    assert_int_equal(c.rope.type, VKFT_ROPE_DYNAMIC);
    assert_int_equal(c.rope.original_max_position, 64);
    expect_ok(parse("{" BASE ",\"rope_scaling\":{},\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":7}}",
                    &c, &err));
    assert_int_equal(c.rope.type, VKFT_ROPE_DEFAULT);
    assert_true(c.rope.theta == 7);
}

static void other_spellings(void **state)
{
    (void)state;
    vkft_config c;
    vkft_err err = {0};
    expect_ok(
        parse("{" BASE ",\"architectures\":[\"LlamaForCausalLM\"],\"num_key_value_heads\":2,\"head_dim\":16,"
              "\"eos_token_id\":[3,4,5],\"bos_token_id\":null,\"dtype\":\"bfloat16\",\"tie_word_embeddings\":true,"
              "\"attention_bias\":true,\"mlp_bias\":true}",
              &c, &err));
    assert_string_equal(c.architecture, "LlamaForCausalLM");
    assert_int_equal(c.num_kv_heads, 2);
    assert_int_equal(c.head_dim, 16);
    assert_int_equal(c.eos_count, 3);
    assert_int_equal(c.eos_token_ids[2], 5);
    assert_int_equal(c.bos_token_id, -1);
    assert_int_equal(c.dtype, VKFT_BF16);
    assert_true(c.tie_word_embeddings && c.qkv_bias && c.o_bias && c.mlp_bias);
    expect_ok(
        parse("{" BASE ",\"torch_dtype\":\"float16\",\"eos_token_id\":2,\"num_key_value_heads\":null}", &c, &err));
    assert_int_equal(c.dtype, VKFT_F16);
    assert_int_equal(c.eos_token_ids[0], 2);
    assert_int_equal(c.num_kv_heads, 8);
}

/* MistralConfig's defaults differ from LlamaConfig's. */
static void mistral_defaults(void **state)
{
    (void)state;
    vkft_config c;
    vkft_err err = {0};
    expect_ok(parse("{\"model_type\":\"mistral\",\"vocab_size\":320,\"hidden_size\":128,\"intermediate_size\":96,"
                    "\"num_hidden_layers\":2,\"num_attention_heads\":16}",
                    &c, &err));
    assert_int_equal(c.num_kv_heads, 8);
    assert_int_equal(c.sliding_window, 4096);
    assert_int_equal(c.max_position, 131072);
    expect_ok(parse(
        "{\"model_type\":\"mistral\",\"vocab_size\":320,\"hidden_size\":128,\"intermediate_size\":96,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":16,\"sliding_window\":null,\"num_key_value_heads\":null}",
        &c, &err));
    assert_int_equal(c.num_kv_heads, 16);
    assert_int_equal(c.sliding_window, 0);
}

/* What is written of a language model that was inside a multimodal one reads as that model did. */
static void language_model_alone(void **state)
{
    (void)state;
    vkft_config whole, alone;
    vkft_err err = {0};
    static const char text[] =
        "{\"model_type\":\"gemma3\",\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"eos_token_id\":[1,106],"
        "\"torch_dtype\":\"bfloat16\",\"vision_config\":{\"hidden_size\":16},\"text_config\":{\"model_type\":\"gemma3_"
        "text\","
        "\"hidden_size\":2560,\"eos_token_id\":7}}";
    expect_ok(parse(text, &whole, &err));
    char *inner = vkft_config_language_model(text, sizeof text - 1, "config.json", &err);
    assert_non_null(inner);
    assert_null(strstr(inner, "vision"));
    expect_ok(parse(inner, &alone, &err));
    assert_string_equal(alone.multimodal_type, "");
    assert_string_equal(alone.model_type, "gemma3_text");
    assert_true(alone.hidden_size == 2560 && alone.eos_count == 2 && alone.eos_token_ids[1] == 106 &&
                alone.dtype == VKFT_BF16);
    assert_true(alone.tie_word_embeddings == whole.tie_word_embeddings && alone.num_layers == whole.num_layers &&
                alone.rope.theta == whole.rope.theta);
    free(inner);
    assert_null(vkft_config_language_model("{}", 2, "config.json", &err));
    assert_non_null(strstr(err.message, "text_config"));
}

#define SIZES                                                                                                          \
    "\"vocab_size\":320,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":6,\"num_attention_heads\":8"

/* What sets the families apart, from keys and from defaults; the golden runs show that it is right. */
static void families(void **state)
{
    (void)state;
    vkft_config c;
    vkft_err err = {0};
    expect_ok(parse("{\"model_type\":\"qwen2\"," SIZES
                    ",\"num_key_value_heads\":8,\"use_sliding_window\":true,\"sliding_window\":16,"
                    "\"max_window_layers\":4}",
                    &c, &err));
    assert_true(c.qkv_bias && !c.o_bias && c.sliding_window == 16);
    assert_true(c.layers[3] == 0 && c.layers[4] == VKFT_LAYER_WINDOW);
    expect_ok(parse("{\"model_type\":\"qwen3\"," SIZES ",\"num_key_value_heads\":8}", &c, &err));
    assert_true(c.head_dim == 128 && c.sliding_window == 0);
    expect_ok(parse("{\"model_type\":\"gemma3\",\"eos_token_id\":[1,106],\"text_config\":{\"model_type\":\"gemma3_"
                    "text\",\"hidden_size\":2560,"
                    "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8.0}}}",
                    &c, &err));
    assert_string_equal(c.multimodal_type, "gemma3");
    assert_string_equal(c.model_type, "gemma3_text");
    assert_true(c.tie_word_embeddings && c.norm_gain_offset == 1 && c.attention_scale == 0.0625f && c.eos_count == 2);
    assert_true(c.rope.theta == 1e6 && c.rope.factor == 8 && c.local_rope.theta == 1e4 && c.local_rope.factor == 1);
    assert_true(c.layers[4] == (VKFT_LAYER_WINDOW | VKFT_LAYER_LOCAL_ROPE) && c.layers[5] == 0);
    expect_ok(parse("{\"model_type\":\"gemma2\",\"attn_logit_softcapping\":null}", &c, &err));
    assert_true(c.attention_softcap == 0 && c.logit_softcap == 30 && c.layers[0] == VKFT_LAYER_WINDOW &&
                c.layers[1] == 0);
    expect_ok(parse("{\"model_type\":\"gpt2\",\"n_embd\":64,\"n_layer\":2,\"n_head\":4}", &c, &err));
    assert_true(c.intermediate_size == 256 && c.max_position == 1024 && c.rope.dim == 0 &&
                c.activation == VKFT_ACT_GELU_TANH);
    expect_ok(parse("{\"model_type\":\"gpt_neox\"," SIZES ",\"rotary_pct\":0.25,\"rotary_emb_base\":500}", &c, &err));
    assert_true(c.rope.dim == 2 && c.rope.theta == 500 && c.parallel_residual && c.qkv_by_head);
    expect_ok(parse("{\"model_type\":\"smollm3\"," SIZES "}", &c, &err));
    assert_true(c.layers[3] & VKFT_LAYER_NO_ROPE && !(c.layers[2] & VKFT_LAYER_NO_ROPE) && c.num_kv_heads == 4);
    expect_ok(parse("{\"model_type\":\"granite\"," SIZES ",\"logits_scaling\":4}", &c, &err));
    assert_true(c.logit_scale == 0.25f && c.attention_scale == 1);
    expect_ok(parse("{\"model_type\":\"phi3\"," SIZES
                    ",\"max_position_embeddings\":32,\"original_max_position_embeddings\":8,\"rope_scaling\":"
                    "{\"type\":\"su\",\"short_factor\":[1,1,1,1],\"long_factor\":[1,2,3,4]}}",
                    &c, &err));
    assert_int_equal(c.rope.type, VKFT_ROPE_LONGROPE);
    assert_true(fabs(c.rope.attention_factor - sqrt(1 + log(4.0) / log(8.0))) < 1e-12 && c.rope.long_factor[3] == 4);
    expect_ok(parse("{\"model_type\":\"t5\",\"d_model\":64,\"d_ff\":96,\"d_kv\":16,\"num_layers\":2,\"num_decoder_"
                    "layers\":3,\"num_heads\":2,"
                    "\"feed_forward_proj\":\"gated-gelu\",\"tie_word_embeddings\":false}",
                    &c, &err));
    assert_true(c.encoder_layers == 2 && c.num_layers == 3 && !c.tie_word_embeddings && c.logit_scale == 1 &&
                c.decoder_start_token_id == 0);
}

#define MOE                                                                                                            \
    "\"model_type\":\"qwen3_moe\",\"vocab_size\":32,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_"         \
    "layers\":6,\"num_attention_heads\":8"

/* Which layers are mixtures, and the spellings of the number of experts. */
static void mixtures(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        uint32_t experts, per_token;
        const char *layers; /* x: a mixture */
    } cases[] = {
        {"", 128, 8, "xxxxxx"},
        {",\"num_experts\":9,\"num_experts_per_tok\":9", 9, 9, "xxxxxx"},
        {",\"num_local_experts\":9,\"num_experts_per_tok\":1", 9, 1, "xxxxxx"},
        {",\"decoder_sparse_step\":2,\"mlp_only_layers\":[]", 128, 8, ".x.x.x"},
        {",\"decoder_sparse_step\":2,\"mlp_only_layers\":[3,0,99]", 128, 8, ".x...x"},
        {",\"decoder_sparse_step\":7", 128, 8, "......"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600];
        vkft_config c;
        vkft_err err = {0};
        snprintf(text, sizeof text, "{" MOE "%s}", cases[i].keys);
        expect_ok(parse(text, &c, &err));
        assert_true(c.experts == cases[i].experts && c.experts_per_token == cases[i].per_token &&
                    c.expert_size == 768 && !c.expert_weights_normalized);
        for (uint32_t l = 0; l < c.num_layers; l++)
            assert_int_equal((c.layers[l] & VKFT_LAYER_EXPERTS) != 0, cases[i].layers[l] == 'x');
    }
}

static void generation(void **state)
{
    (void)state;
    static const char text[] = "{\"eos_token_id\":[5,6],\"do_sample\":true,\"temperature\":0.6,\"top_p\":0.9,\"decoder_"
                               "start_token_id\":0,\"x\":[]}";
    vkft_generation_config g;
    vkft_err err = {0};
    expect_ok(vkft_generation_config_parse(text, sizeof text - 1, "generation_config.json", &g, &err));
    assert_true(g.eos_count == 2 && g.eos_token_ids[1] == 6 && g.do_sample == VKFT_SAMPLE_YES && g.temperature == 0.6 &&
                g.top_p == 0.9);
    assert_true(isnan(g.top_k) && g.decoder_start_token_id == 0);
    expect_ok(vkft_generation_config_parse("{}", 2, "generation_config.json", &g, &err));
    assert_true(g.eos_count == 0 && g.do_sample == VKFT_SAMPLE_UNSAID && g.decoder_start_token_id == -1);
    expect_failure(vkft_generation_config_parse("{\"top_p\":7}", 11, "generation_config.json", &g, &err), "top_p 7");
    expect_failure(vkft_generation_config_parse("[]", 2, "generation_config.json", &g, &err), "expected an object");
}

static bool parse_generation(const char *text, vkft_generation_config *g, vkft_err *err)
{
    return vkft_generation_config_parse(text, strlen(text), "generation_config.json", g, err);
}

static void generation_rules(void **state)
{
    (void)state;
    vkft_generation_config g;
    vkft_err err = {0};
    expect_ok(
        parse_generation("{\"repetition_penalty\":1.1,\"no_repeat_ngram_size\":3,\"min_p\":0.1,"
                         "\"suppress_tokens\":[-1,4],\"begin_suppress_tokens\":null,\"bad_words_ids\":[[1,2],[],[3]],"
                         "\"max_new_tokens\":9,\"max_length\":1e30,\"stop_strings\":[\"a\",\"bc\"],\"num_beams\":2}",
                         &g, &err));
    assert_true(g.repetition_penalty == 1.1 && g.no_repeat_ngram_size == 3 && g.min_p == 0.1);
    assert_true(g.suppress.count == 2 && g.suppress.ids[1] == 4 && g.begin_suppress.count == 0);
    const int32_t words[] = {1, 2, -1, 3, -1};
    assert_int_equal(g.bad_words.count, 5);
    assert_memory_equal(g.bad_words.ids, words, sizeof words);
    assert_true(g.max_new_tokens == 9 && g.max_length == UINT32_MAX);
    assert_int_equal(g.stop_strings.length, 5);
    assert_memory_equal(g.stop_strings.data, "a\0bc\0", 5);
    assert_string_equal(g.ignored, "num_beams");
    vkft_generation_config_free(&g);
    static const char *const wrong[][2] = {
        {"{\"repetition_penalty\":0}", "repetition_penalty 0"},
        {"{\"min_p\":2}", "min_p 2"},
        {"{\"suppress_tokens\":[1.5]}", "'suppress_tokens': expected a list of token ids"},
        {"{\"bad_words_ids\":[[1],[2,-1]]}", "'bad_words_ids': expected token ids, found -1"},
        {"{\"bad_words_ids\":[3]}", "'bad_words_ids': expected a list"},
        {"{\"stop_strings\":[\"x\",3]}", "'stop_strings'"},
        {"{\"max_new_tokens\":-1}", "'max_new_tokens'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        expect_failure(parse_generation(wrong[i][0], &g, &err), wrong[i][1]);
        vkft_generation_config_free(&g);
    }
}

/* Of a key that stands twice the last value counts, as in Python, at any depth. */
static void keys_twice(void **state)
{
    (void)state;
    vkft_config c;
    vkft_generation_config g;
    vkft_err err = {0};
    expect_ok(parse("{\"rope_theta\":500," BASE ",\"num_attention_heads\":4,\"rope_theta\":1000,\"rope_theta\":700,"
                    "\"rope_scaling\":{\"type\":\"linear\",\"factor\":4,\"factor\":2}}",
                    &c, &err));
    assert_int_equal(c.num_heads, 4);
    assert_true(c.rope.theta == 700 && c.rope.factor == 2);
    expect_failure(parse("{" BASE ",\"vocab_size\":\"x\"}", &c, &err), "vocab_size");
    static const char text[] = "{\"top_p\":7,\"top_p\":0.5}";
    expect_ok(vkft_generation_config_parse(text, sizeof text - 1, "generation_config.json", &g, &err));
    assert_true(g.top_p == 0.5);
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n  \"vocab_size\": 12x\n}", "config.json: line 17, column "},
        {"[]", "found a list, expected an object"},
        {"{}", "key 'model_type' is missing"},
        {"{\"model_type\":\"opt\",\"vocab_size\":1,\"hidden_size\":1}", "key 'ffn_dim' is missing"},
        {"{\"model_type\":\"qwen3_next\"}",
         "model_type 'qwen3_next' is not supported; the nearest supported one is 'qwen3_moe'"},
        {"{\"model_type\":\"mamba\"}", "model_type 'mamba' is not supported; the nearest supported one is"},
        {"{" BASE ",\"hidden_act\":\"quick_gelu\"}", "hidden_act 'quick_gelu' is not supported; supported are silu"},
        {"{\"model_type\":\"opt\",\"ffn_dim\":8,\"vocab_size\":8,\"hidden_size\":8,\"num_hidden_layers\":1,\"num_"
         "attention_heads\":1,"
         "\"layer_norm_elementwise_affine\":false}",
         "layer_norm_elementwise_affine false is not supported; expected true"},
        {"{\"model_type\":3}", "key 'model_type': found the number 3, expected a string"},
        {"{\"model_type\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "at most 31"},
        {"{\"model_type\":\"t5\",\"is_encoder_decoder\":true}", "key 'd_model' is missing"},
        {"{\"model_type\":\"gemma3\",\"text_config\":{}}", "text_config"},
        {"{" BASE ",\"architectures\":[1]}", "architectures"},
        {"{\"model_type\":\"llama\",\"vocab_size\":0,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":"
         "2,"
         "\"num_attention_heads\":8}",
         "key 'vocab_size' is 0"},
        {"{\"model_type\":\"llama\",\"vocab_size\":-5,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_"
         "layers\":2,"
         "\"num_attention_heads\":8}",
         "key 'vocab_size': found the number -5, expected a whole number"},
        {"{\"model_type\":\"llama\",\"vocab_size\":5.5,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_"
         "layers\":2,"
         "\"num_attention_heads\":8}",
         "key 'vocab_size': found the number 5.5"},
        {"{\"model_type\":\"llama\",\"vocab_size\":4000000000,\"hidden_size\":4000000000,\"intermediate_size\":96,"
         "\"num_hidden_layers\":2,\"num_attention_heads\":8}",
         "more than 2^32 elements"},
        {"{\"model_type\":\"llama\",\"vocab_size\":1e30,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_"
         "layers\":2,"
         "\"num_attention_heads\":8}",
         "key 'vocab_size'"},
        {"{\"model_type\":\"llama\",\"vocab_size\":32,\"hidden_size\":66,\"intermediate_size\":96,\"num_hidden_"
         "layers\":2,"
         "\"num_attention_heads\":8}",
         "hidden_size 66 is not a multiple of num_attention_heads 8"},
        {"{\"model_type\":\"llama\",\"vocab_size\":32,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_"
         "layers\":4000000000,"
         "\"num_attention_heads\":8}",
         "num_hidden_layers"},
        {"{" BASE ",\"num_key_value_heads\":3}", "not a multiple of num_key_value_heads 3"},
        {"{" BASE ",\"num_key_value_heads\":0}", "key 'num_key_value_heads' is 0"},
        {"{" BASE ",\"head_dim\":7}", "head_dim 7 is odd"},
        {"{" BASE ",\"head_dim\":4294967294}", "more than 2^32 elements"},
        {"{" BASE ",\"rms_norm_eps\":\"x\"}", "key 'rms_norm_eps'"},
        {"{" BASE ",\"rms_norm_eps\":-1}", "key 'rms_norm_eps' is -1"},
        {"{" BASE ",\"tie_word_embeddings\":1}",
         "key 'tie_word_embeddings': found the number 1, expected true or false"},
        {"{" BASE ",\"rope_theta\":0}", "rope_theta is 0"},
        {"{" BASE ",\"rope_scaling\":{\"type\":\"ntk\",\"factor\":2}}",
         "rope type 'ntk' is not supported; supported are default"},
        {"{" BASE ",\"rope_scaling\":{\"type\":\"linear\"}}", "rope_scaling: key 'factor' is missing"},
        {"{" BASE ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0.5}}", "rope factor is 0.5"},
        {"{" BASE
         ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":1}}",
         "low_freq_factor"},
        {"{" BASE ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor 0.5"},
        {"{" BASE ",\"eos_token_id\":[1,2,3,4,5,6,7,8,9]}", "eos_token_id"},
        {"{" BASE ",\"eos_token_id\":[\"a\"]}", "eos_token_id"},
        {"{" MOE ",\"num_experts_per_tok\":0}", "0 of 128 experts for each token"},
        {"{" MOE ",\"num_experts\":7}", "8 of 7 experts for each token"},
        {"{" MOE ",\"num_experts\":4000000000}", "4000000000 experts (num_experts), expected at most 1024"},
        {"{" MOE ",\"decoder_sparse_step\":0}", "decoder_sparse_step"},
        {"{" MOE ",\"moe_intermediate_size\":0}", "'moe_intermediate_size' is 0, expected a positive number"},
        {"{\"model_type\":\"gemma2\",\"query_pre_attn_scalar\":1e-90}",
         "query_pre_attn_scalar is 1e-90, expected a positive number"},
        {"{" MOE ",\"mlp_only_layers\":[\"1\"]}", "mlp_only_layers: expected a list of numbers"},
        {"{" MOE ",\"output_router_logits\":true}", "output_router_logits true is not supported"},
        {"{" BASE ",\"torch_dtype\":\"int4\"}", "dtype 'int4' is not supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_config c;
        vkft_err err = {0};
        expect_failure(parse(cases[i].text, &c, &err), cases[i].message);
    }
}

/* Every prefix of a good file, and random damage: an error or a configuration, never a crash. */
static void hostile(void **state)
{
    (void)state;
    static const char good[] =
        "{" BASE ",\"eos_token_id\":[1,2],\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}}";
    vkft_config c;
    vkft_err err = {0};
    for (size_t n = 0; n < sizeof good - 1; n++) {
        char *copy = malloc(n + 1); /* exactly this long, so that a sanitizer sees any read past the end */
        memcpy(copy, good, n);
        assert_false(vkft_config_parse(copy, n, "config.json", &c, &err));
        free(copy);
    }
    srand(1);
    for (int round = 0; round < 20000; round++) {
        char copy[sizeof good];
        memcpy(copy, good, sizeof good);
        for (int k = 0; k < 1 + round % 3; k++)
            copy[(size_t)rand() % (sizeof good - 1)] = (char)rand();
        vkft_config_parse(copy, sizeof good - 1, "config.json", &c, &err);
    }
}

/* Published configurations: those of the supported classes parse, the others parse or say truly why not. */
static void real_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *failure; /* NULL: parses */
        uint32_t V, C, F, L, H, K, D;
    } files[] = {
        {"llama-2-7b-chat", NULL, 32000, 4096, 11008, 32, 32, 32, 128},
        {"llama-3.2-1b-instruct", NULL, 128256, 2048, 8192, 16, 32, 8, 64},
        {"mistral-7b-v0.2", NULL, 32000, 4096, 14336, 32, 32, 8, 128},
        {"tinyllama-1.1b-chat", NULL, 32000, 2048, 5632, 22, 32, 4, 64},
        {"smollm2-135m-gec", NULL, 49154, 576, 1536, 30, 9, 3, 64},
        {"qwen2-1.5b-instruct", NULL, 151936, 1536, 8960, 28, 12, 2, 128},
        {"qwen2.5-7b-instruct", NULL, 152064, 3584, 18944, 28, 28, 4, 128},
        {"qwen3-4b", NULL, 151936, 2560, 9728, 36, 32, 8, 128},
        {"opt-125m", NULL, 50272, 768, 3072, 12, 12, 12, 64},
        {"phi-4-mini", NULL, 200064, 3072, 8192, 32, 24, 8, 128},
        {"gemma-3-4b-it", NULL, 262208, 2560, 10240, 34, 8, 4, 256},
        {"flan-t5-small", NULL, 32128, 512, 1024, 8, 6, 6, 64},
    };
    const char *shared = vkft_test_shared_data();
    if (!shared)
        skip();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[1024];
        size_t size;
        vkft_config c;
        vkft_err err = {0};
        snprintf(path, sizeof path, "%s/configs/%s.json", shared, files[i].name);
        char *text = vkft_test_read(path, &size);
        if (files[i].failure) {
            expect_failure(vkft_config_parse(text, size, path, &c, &err), files[i].failure);
        } else {
            expect_ok(vkft_config_parse(text, size, path, &c, &err));
            const uint32_t found[] = {c.vocab_size, c.hidden_size,  c.intermediate_size, c.num_layers,
                                      c.num_heads,  c.num_kv_heads, c.head_dim};
            assert_memory_equal(found, &files[i].V, sizeof found);
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),         cmocka_unit_test(rope_spellings),
        cmocka_unit_test(other_spellings),  cmocka_unit_test(mistral_defaults),
        cmocka_unit_test(errors),           cmocka_unit_test(hostile),
        cmocka_unit_test(real_files),       cmocka_unit_test(language_model_alone),
        cmocka_unit_test(families),         cmocka_unit_test(generation),
        cmocka_unit_test(generation_rules), cmocka_unit_test(mixtures),
        cmocka_unit_test(keys_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
