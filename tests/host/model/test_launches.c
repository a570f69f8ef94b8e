/* How many kernels a block of an 8B model launches in a step: each costs a GPU microseconds in which little else runs.
 * Nothing is run here; the launches are recorded and counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/engine/matmul/gemm.h"
#include "host/model/decoder.h"
#include "host/trainable/trainables.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"
#include "tests/support/system/system.h"

#define TOKENS 2048u

typedef struct launches {
    uint32_t all, barriers;
    uint32_t conversions; /* of rows to f16 */
    uint32_t rounded;     /* gradients of matrices from rows in f16 */
} launches;

/* What a config.json says beside the sizes that both models share. */
static const char llama[] = "\"model_type\": \"llama\"",
                  mixtral[] = "\"model_type\": \"mixtral\", \"num_local_experts\": 8, \"num_experts_per_tok\": 2";

/* Launches of one pass over Llama 3 8B, or Mixtral 8x7B, with so many blocks, QLoRA on all linear layers but those of
 * experts. */
static launches count(const vkft_kernel_fixture *f, const char *kind, vkft_dtype operands, uint32_t layers,
                      bool training)
{
    vkft_err err;
    vkft_config config;
    vkft_model model;
    vkft_trainables trained = {0};
    vkft_graph g;
    char json[400];
    snprintf(json, sizeof json,
             "{%s, \"vocab_size\": 128256, \"hidden_size\": 4096, \"intermediate_size\": 14336, "
             "\"num_hidden_layers\": %u, \"num_attention_heads\": 32, \"num_key_value_heads\": 8, "
             "\"tie_word_embeddings\": false}",
             kind, layers);
    expect_ok(vkft_config_parse(json, strlen(json), "config.json", &config, &err));
    expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_nf4_dq, false, &err));
    vkft_model_set_tables(&model, VKFT_PLACEHOLDER_ADDRESS, TOKENS);
    const vkft_adapter_config lora = {.r = 16, .lora_alpha = 32};
    expect_ok(vkft_adapter_set_choose(&trained.adapters, &model, &vkft_method_lora,
                                      &(vkft_module_choice){.target = "all-linear"}, &lora, &err));
    /* As in a run, no two of these share memory, or products would wait for each other. */
    const uint64_t floats = vkft_trainables_floats(&trained);
    const vkft_parameter_space parameters = vkft_parameter_space_whole(floats, VKFT_PLACEHOLDER_ADDRESS),
                               gradients = vkft_parameter_space_whole(floats, VKFT_PLACEHOLDER_ADDRESS + (3ull << 40));
    vkft_trainables_bind(&trained, &parameters, &gradients);
    expect_ok(vkft_model_setup_kernels(&model, f->dev, operands, TOKENS, training, &err));
    const vkft_batch_limits limits = {.tokens = TOKENS, .rows = TOKENS - 1, .positions = TOKENS};
    const vkft_batch batch = vkft_batch_largest(&limits);
    assert_true(vkft_graph_init(&g));
    g.pass.f16 = g.pass.f16_inputs = operands == VKFT_F16;
    vkft_graph_set_device(&g, f->dev, VKFT_PLACEHOLDER_ADDRESS + (2ull << 40), model.scratch_bytes);
    vkft_commands_reset(f->cmds);
    for (int recording = 0; recording < 2; recording++) {
        if (recording)
            vkft_graph_begin_record(&g, f->cmds, VKFT_PLACEHOLDER_ADDRESS + (1ull << 40));
        else
            vkft_graph_begin_plan(&g);
        if (training)
            vkft_decoder_train(&g, &model, &batch, VKFT_CHECKPOINTING_DEVICE);
        else
            vkft_decoder_eval(&g, &model, &batch);
        assert_false(g.failed);
        assert_true(recording || vkft_plan_solve(g.plan));
    }
    launches counted = {.all = vkft_commands_launch_count(f->cmds), .barriers = vkft_commands_barrier_count(f->cmds)};
    for (uint32_t i = 0; i < counted.all; i++) {
        vkft_kernel kernel = vkft_kernel_row(vkft_commands_kernel(f->cmds, i));
        counted.conversions += kernel == VKFT_KERNEL_rows_f16;
        counted.rounded += kernel == VKFT_KERNEL_matmul_outer_f16;
    }
    vkft_commands_reset(f->cmds);
    vkft_graph_free(&g);
    vkft_trainables_free(&trained);
    vkft_model_free(&model);
    return counted;
}

static launches difference(launches a, launches b)
{
    return (launches){a.all - b.all, a.barriers - b.barriers, a.conversions - b.conversions, a.rounded - b.rounded};
}

/* The backward pass computes the block's inside again. */
static void count_block(const vkft_kernel_fixture *f, const char *kind, vkft_dtype operands, launches *forward,
                        launches *backward)
{
    *forward = difference(count(f, kind, operands, 3, false), count(f, kind, operands, 2, false));
    *backward = difference(difference(count(f, kind, operands, 3, true), count(f, kind, operands, 2, true)), *forward);
    print_message("a block of %s: %u launches forward, of which %u wait and %u are conversions; %u backward, "
                  "%u and %u\n",
                  kind, forward->all, forward->barriers, forward->conversions, backward->all, backward->barriers,
                  backward->conversions);
    assert_true(forward->all >= 20 && forward->all <= 60);
    assert_true(backward->all >= 40 && backward->all <= 120);
}

static void test_launches_of_a_block(void **state)
{
    const vkft_kernel_fixture *f = *state;
    launches forward, backward;
    vkft_test_environment("VKFT_STRATEGY", "tile,direct");
    count_block(f, llama, VKFT_F32, &forward, &backward);
    assert_int_equal(forward.conversions + backward.conversions, 0);
    if (vkft_device_get_caps(f->dev)->software) /* a card has more: it cuts sums in slices, which are added up */
        assert_true(forward.barriers <= 20 &&
                    backward.barriers <= 38); /* queries beside keys, gate beside up, A beside W */
    vkft_test_environment("VKFT_STRATEGY", NULL);
}

/* Norms, gated activations and what brings rows to experts make the rows that products on matrix cores read, and
 * gradients of adapters. Left are the output of attention, and the gradients of queries, keys and values; the block's
 * input is converted once to be kept. The second product of each of the seven LoRAs is no launch of its own. */
static void test_launches_with_matrix_cores(void **state)
{
    const vkft_kernel_fixture *f = *state;
    launches forward, backward, in_f32;
    vkft_test_environment("VKFT_STRATEGY", "coop,tile,direct");
    if (vkft_gemm_has_matrix_cores(vkft_device_get_caps(f->dev))) {
        count_block(f, llama, VKFT_F32, &in_f32, &backward);
        for (int i = 0; i < 2; i++) {
            count_block(f, i ? mixtral : llama, VKFT_F16, &forward, &backward);
            assert_int_equal(forward.conversions, 1);
            assert_int_equal(backward.conversions, 1 + 1 + 3);
            if (!i && vkft_device_get_caps(f->dev)->software) /* no sums in slices */
                assert_int_equal(forward.all, in_f32.all - 7 + forward.conversions);
            /* A of all but attention's output, B of that and the MLP; here experts have no adapters */
            assert_int_equal(backward.rounded, i ? 3 + 1 : 6 + 4);
        }
        vkft_test_environment("VKFT_STRATEGY", NULL);
    } else {
        vkft_test_environment("VKFT_STRATEGY", NULL);
        print_message("skipped: this device, or this build, has no matrix cores that vkft uses\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_launches_of_a_block),
                                       cmocka_unit_test(test_launches_with_matrix_cores)};
    return cmocka_run_group_tests_name("launches", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
