/* Frequencies of YaRN, beside what transformers 5.24 computes for the same configuration. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "host/model/rope.h"

#define QWEN                                                                                                           \
    "\"model_type\":\"qwen2\",\"vocab_size\":32,\"hidden_size\":3584,\"intermediate_size\":96,\"num_hidden_layers\":"  \
    "1,\"num_attention_heads\":28,\"num_key_value_heads\":4,\"rope_theta\":1000000.0,\"max_position_embeddings\":"     \
    "32768"
#define LLAMA                                                                                                          \
    "\"model_type\":\"llama\",\"vocab_size\":32,\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":1,"  \
    "\"num_attention_heads\":1"

typedef struct yarn_case {
    const char *json;
    double attention_factor, inv_freq[7]; /* i = 0, 1, n/4, n/3, n/2, 2n/3, n-1 of n */
} yarn_case;

static const yarn_case cases[] = {
    /* Qwen 2.5 as its card says for long texts. */
    {"{" QWEN ",\"rope_scaling\":{\"factor\":4.0,\"original_max_position_embeddings\":32768,\"type\":\"yarn\"}}",
     1.13862944,
     {1, 0.805842221, 0.0316227786, 0.0107460786, 0.000602941145, 2.88695483e-05, 3.10234441e-07}},
    /* DeepSeek V3 and V2 Lite: two factors of the logarithm. */
    {"{" LLAMA ",\"max_position_embeddings\":163840,\"rope_scaling\":{\"beta_fast\":32,\"beta_slow\":1,\"factor\":40,"
     "\"mscale\":1.0,\"mscale_all_dim\":1.0,\"original_max_position_embeddings\":4096,\"type\":\"yarn\"}}",
     1,
     {1, 0.749894202, 0.100000001, 0.0562341288, 0.00550000044, 0.000414990413, 3.33380353e-06}},
    {"{" LLAMA ",\"max_position_embeddings\":163840,\"rope_scaling\":{\"beta_fast\":32,\"beta_slow\":1,\"factor\":40,"
     "\"mscale\":0.707,\"mscale_all_dim\":0.5,\"original_max_position_embeddings\":4096,\"type\":\"yarn\"}}",
     1.0644689,
     {1, 0.749894202, 0.100000001, 0.0562341288, 0.00550000044, 0.000414990413, 3.33380353e-06}},
    /* gpt-oss: borders that are no whole numbers. */
    {"{" LLAMA ",\"max_position_embeddings\":131072,\"rope_theta\":150000,\"rope_scaling\":{\"beta_fast\":32.0,"
     "\"beta_slow\":1.0,\"factor\":32.0,\"original_max_position_embeddings\":4096,\"rope_type\":\"yarn\",\"truncate\":"
     "false}}",
     1.34657359,
     {1, 0.689044297, 0.0508132726, 0.0193349998, 0.000456483918, 1.25325696e-05, 3.0235114e-07}},
    /* The factor of the attention as stated, other borders, a factor that follows from the lengths. */
    {"{" LLAMA ",\"max_position_embeddings\":131072,\"rope_theta\":150000,\"rope_scaling\":{\"factor\":null,"
     "\"attention_factor\":1.25,\"attn_factor\":1,\"beta_fast\":16,\"beta_slow\":2,\"mscale\":0,\"original_max_"
     "position_embeddings\":"
     "4096,\"rope_type\":\"yarn\"}}",
     1.25,
     {1, 0.689044297, 0.0508132726, 0.0207864698, 8.0687154e-05, 1.25325696e-05, 3.0235114e-07}},
    /* No original length; one beside the parameters, which goes first. */
    {"{" LLAMA ",\"max_position_embeddings\":4096,\"rope_parameters\":{\"factor\":8.0,\"rope_type\":\"yarn\"}}",
     1.20794415,
     {1, 0.749894202, 0.100000001, 0.0562341288, 0.00596153876, 0.000615645084, 1.66690188e-05}},
    {"{" LLAMA ",\"max_position_embeddings\":163840,\"original_max_position_embeddings\":2048,\"rope_scaling\":"
     "{\"factor\":8.0,\"rope_type\":\"yarn\",\"original_max_position_embeddings\":4096}}",
     1.20794415,
     {1, 0.749894202, 0.100000001, 0.0486641489, 0.00461538415, 0.000296421727, 1.66690188e-05}},
};

static void yarn(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        vkft_config config;
        vkft_err err = {0};
        expect_ok(vkft_config_parse(cases[c].json, strlen(cases[c].json), "config.json", &config, &err));
        const vkft_rope *rope = &config.rope;
        double inv_freq[VKFT_MAX_ROPE_DIM / 2];
        float table[2 * VKFT_MAX_ROPE_DIM];
        uint32_t n = rope->dim / 2, at[7] = {0, 1, n / 4, n / 3, n / 2, 2 * n / 3, n - 1};
        assert_true(fabs(rope->attention_factor / cases[c].attention_factor - 1) < 1e-7);
        assert_int_equal(vkft_rope_length(rope, 100000), vkft_rope_length(rope, 1));
        vkft_rope_inv_freq(rope, 1, inv_freq);
        for (size_t i = 0; i < 7; i++)
            if (!(fabs(inv_freq[at[i]] / cases[c].inv_freq[i] - 1) < 5e-7))
                fail_msg("case %zu: frequency %u is %.9g, expected %.9g", c, at[i], inv_freq[at[i]],
                         cases[c].inv_freq[i]);
        vkft_rope_table(rope, 1, 2, table);
        for (uint32_t i = 0; i < n; i++) {
            double angle = (double)(float)inv_freq[i], a = rope->attention_factor;
            assert_true(table[2 * i] == (float)a && table[2 * i + 1] == 0);
            assert_true(table[2 * (n + i)] == (float)(a * cos(angle)) &&
                        table[2 * (n + i) + 1] == (float)(a * sin(angle)));
        }
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *part;
    } bad[] = {
        {"", "factor"},
        {",\"factor\":0.5", "at least 1"},
        {",\"factor\":4,\"beta_fast\":1,\"beta_slow\":2", "0 < slow <= fast"},
        {",\"factor\":4,\"beta_slow\":-1", "0 < slow <= fast"},
        {",\"factor\":4,\"attention_factor\":-1", "attention_factor is -1"},
        {",\"factor\":4,\"attention_factor\":1e300", "attention_factor is 1e+300"},
        {",\"factor\":4,\"attention_factor\":0", "attention_factor is 0"},
        {",\"factor\":4,\"attn_factor\":0.9", "attn_factor is 0.9; programs differ"},
        {",\"factor\":4,\"attn_factor\":\"1\"", "attn_factor"},
        {",\"factor\":4,\"extrapolation_factor\":2", "extrapolation_factor is 2"},
        {",\"factor\":4,\"truncate\":3", "truncate"},
        {",\"factor\":4,\"rope_theta\":1", "more than 1"},
        {",\"factor\":4,\"original_max_position_embeddings\":0", "original_max_position_embeddings is 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[600];
        vkft_config config;
        vkft_err err = {0};
        snprintf(text, sizeof text, "{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"yarn\"%s}}", bad[i].keys);
        expect_failure(vkft_config_parse(text, strlen(text), "config.json", &config, &err), bad[i].part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(yarn), cmocka_unit_test(refused)};
    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
