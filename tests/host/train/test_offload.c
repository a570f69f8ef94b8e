/* --offload: the same bits wherever activations and weights wait, the bytes of the plan, and what large models need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/expect.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden/"

/* Grouped queries, an encoder before the decoder, experts. */
static const char *const models[] = {"llama_gqa", "t5", "qwen3_moe"};
static const char *const ways[] = {"none", "activations", "weights"};

static double number(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItem(object, name);
    if (!cJSON_IsNumber(value))
        fail_msg("%s is missing", name);
    return value->valuedouble;
}

/* What the program printed as JSON; the caller frees it. */
static cJSON *run(const char *command)
{
    vkft_test_result r = vkft_test_program("%s --json", command);
    if (r.exit_code != 0)
        fail_msg("%s: %s", command, r.err);
    cJSON *json = cJSON_Parse(r.out);
    assert_non_null(json);
    vkft_test_result_free(&r);
    return json;
}

static void check_model(const char *model)
{
    char *dir = vkft_test_directory(), command[1500];
    double device[3];
    for (int i = 0; i < 3; i++) {
        snprintf(command, sizeof command,
                 "train --model " GOLDEN "%s/model --data " GOLDEN "%s --output-dir %s/%s --quant nf4 --lora-r 4 "
                 "--lora-dropout 0.1 --batch-size 2 --gradient-accumulation-steps 2 --max-steps 4 --save-steps 2 "
                 "--eval-steps 2 --offload %s",
                 model, model, dir, ways[i], ways[i]);
        cJSON *trained = run(command);
        strcat(command, " --dry-run");
        cJSON *plan = run(command);
        device[i] = number(plan, "device_bytes");
        assert_true(number(trained, "peak_memory_bytes") == device[i]);
        assert_int_equal(cJSON_GetObjectItem(plan, "block inputs (host)") != NULL, i >= 1);
        assert_int_equal(cJSON_GetObjectItem(plan, "weight ring") != NULL, i == 2);
        assert_int_equal(number(plan, "bus_bytes_per_micro_batch") > 0, i >= 1);
        cJSON_Delete(trained);
        cJSON_Delete(plan);
        if (i == 0)
            continue;
        vkft_test_same_file(dir, "none", ways[i], "adapter_model.safetensors");
        vkft_test_same_file(dir, "none", ways[i], "checkpoint-2/optimizer.safetensors");
    }
    assert_true(device[1] < device[0]);
    vkft_test_remove_directory(dir);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        check_model(models[i]);
}

/* Where products are in f16, with and without dropout: an MLP's rows in f16 take the place of its f32 ones or lie
 * beside them, where memory is to be saved, and are made with those otherwise. */
static void test_same_bits_in_f16(void **state)
{
    (void)state;
    char *before = vkft_test_swap_environment("VKFT_STRATEGY", "coop,half,panel,direct"), *dir = vkft_test_directory();
    for (int dropout = 0; dropout < 2; dropout++)
        for (int i = 0; i < 2; i++) {
            char command[1500];
            snprintf(command, sizeof command,
                     "train --model " VKFT_PROJECT_DIR "/tools/bundled/model --data " VKFT_PROJECT_DIR
                     "/tools/bundled/instructions.jsonl --compute-dtype fp16 --lora-r 4 --lora-dropout %d.%d "
                     "--max-seq-length 64 --gradient-accumulation-steps 1 --max-steps 2 --overwrite --offload %s "
                     "--output-dir %s/%s",
                     0, dropout, ways[i], dir, ways[i]);
            cJSON_Delete(run(command));
            if (i)
                vkft_test_same_file(dir, "none", ways[i], "adapter_model.safetensors");
        }
    free(vkft_test_swap_environment("VKFT_STRATEGY", before));
    vkft_test_remove_directory(dir);
    free(before);
}

/* Evaluation and generation with streamed weights say what resident ones say. */
static void test_use(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "eval --data " GOLDEN "llama_gqa --model " GOLDEN "llama_gqa/model --json",
        "eval --data " GOLDEN "t5 --model " GOLDEN "t5/model --json",
        "generate --prompt The --max-tokens 5 --temperature 0 --model " VKFT_PROJECT_DIR "/tools/bundled/model",
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        vkft_test_result resident = vkft_test_program("%s --offload none", commands[i]),
                         streamed = vkft_test_program("%s --offload weights", commands[i]);
        if (resident.exit_code != 0 || streamed.exit_code != 0)
            fail_msg("%s: %s%s", commands[i], resident.err, streamed.err);
        assert_string_equal(resident.out, streamed.out);
        vkft_test_result_free(&resident);
        vkft_test_result_free(&streamed);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *flags, *message;
    } cases[] = {
        {"--offload weights --fine-tune-type full --quant fp32", "--offload weights is for frozen weights"},
        {"--offload weights --no-gradient-checkpointing", "leave out --no-gradient-checkpointing"},
        {"--offload activations --no-gradient-checkpointing", "leave out --no-gradient-checkpointing"},
        {"--offload disk", "auto, none, activations, weights"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_test_result r = vkft_test_program("train --dry-run --model " GOLDEN "llama_gqa/model %s", cases[i].flags);
        assert_true(r.exit_code != 0);
        if (!strstr(r.err, cases[i].message))
            fail_msg("%s: %s", cases[i].flags, r.err);
        vkft_test_result_free(&r);
    }
}

#define LLAMA(hidden, ffn, layers, heads, kv_heads, vocabulary)                                                        \
    "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":" #hidden                      \
    ",\"intermediate_size\":" #ffn ",\"num_hidden_layers\":" #layers ",\"num_attention_heads\":" #heads                \
    ",\"num_key_value_heads\":" #kv_heads ",\"vocab_size\":" #vocabulary                                               \
    ",\"max_position_embeddings\":4096,\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0,\"torch_dtype\":\"bfloat16\","     \
    "\"tie_word_embeddings\":false}"

/* QLoRA, r 16 on all linear layers, 2048 tokens, batch 1, by the public configurations' sizes. */
static void test_large_models(void **state)
{
    (void)state;
    static const struct {
        const char *name, *config;
        double activations, weights; /* GB on the device, at most */
    } large[] = {
        {"Llama-2-7B", LLAMA(4096, 11008, 32, 32, 32, 32000), 5.0, 3.0},
        {"Llama-3-8B", LLAMA(4096, 14336, 32, 32, 8, 128256), 6.0, 3.5},
        {"27B", LLAMA(4608, 36864, 46, 32, 16, 256000), 20.0, 14.0},
    };
    char *dir = vkft_test_directory(), path[600], command[1000];
    snprintf(path, sizeof path, "%s/config.json", dir);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(large[i].config, file);
        fclose(file);
        double gb[2];
        for (int way = 0; way < 2; way++) {
            snprintf(command, sizeof command,
                     "train --model %s --dry-run --lora-r 16 --max-seq-length 2048 --batch-size 1 --offload %s", dir,
                     ways[way + 1]);
            cJSON *plan = run(command);
            gb[way] = number(plan, "device_bytes") / 1e9;
            cJSON_Delete(plan);
        }
        print_message("%s: %.2f GB with --offload activations, %.2f GB with --offload weights\n", large[i].name, gb[0],
                      gb[1]);
        assert_true(gb[0] <= large[i].activations && gb[1] <= large[i].weights);
    }
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_same_bits_in_f16),
                                       cmocka_unit_test(test_use), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_large_models)};
    return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}
