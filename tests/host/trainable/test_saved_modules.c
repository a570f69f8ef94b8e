/* Modules and biases that are trained as they are beside adapters: their first values, files, resuming and streaming,
 * and what is refused. That training agrees with PEFT is shown by the golden cases saved_* and *bias_*.
 */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/safetensors.h"
#include "host/trainable/adapters.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden/saved_qwen2"

static void copy_model(const char *dir)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        char from[600], to[600];
        snprintf(from, sizeof from, GOLDEN "/model/%s", files[i]);
        snprintf(to, sizeof to, "%s/model/%s", dir, files[i]);
        vkft_test_copy(from, to);
    }
}

static void train(const char *dir, const char *flags)
{
    vkft_test_program_ok("train --model %s/model --data " GOLDEN
                         "/train.jsonl --quant fp32 --warmup-steps 0 --batch-size "
                         "2 --gradient-accumulation-steps 1 --eval-strategy no --output-dir %s/%s",
                         dir, dir, flags);
}

static void open_adapter(const char *dir, const char *name, vkft_tensor_file *file)
{
    char path[600];
    vkft_err err = {0};
    snprintf(path, sizeof path, "%s/%s/adapter_model.safetensors", dir, name);
    expect_ok(vkft_safetensors_open(path, file, &err));
}

/* At a rate that changes nothing the modules are the model's own; keys are PEFT's. */
static void first_values(void **state)
{
    (void)state;
    static const char *const names[] = {"lm_head.weight", "model.embed_tokens.weight"};
    char *dir = vkft_test_directory();
    vkft_tensor_file made, model;
    vkft_err err = {0};
    copy_model(dir);
    train(dir, "out --max-steps 1 --learning-rate 1e-30 --weight-decay 0 --save-steps 0 --modules-to-save "
               "lm_head,embed_tokens --lora-target-modules q_proj");
    open_adapter(dir, "out", &made);
    expect_ok(vkft_safetensors_open(GOLDEN "/model/model.safetensors", &model, &err));
    assert_int_equal(made.count, 2 * 2 + 2);
    for (size_t i = 0; i < 2; i++) {
        char key[200];
        snprintf(key, sizeof key, "base_model.model.%s", names[i]);
        const vkft_file_tensor *m = vkft_tensor_file_find(&made, key), *w = vkft_tensor_file_find(&model, names[i]);
        assert_true(m && w && m->bytes == w->bytes && m->dims == 2 && m->shape[0] == w->shape[0]);
        assert_memory_equal(vkft_tensor_file_data(&made, m), vkft_tensor_file_data(&model, w), w->bytes);
    }
    vkft_tensor_file_close(&made);
    vkft_tensor_file_close(&model);
    vkft_test_remove_directory(dir);
}

/* LoRA on an embedding begins as in PEFT, A zero and B standard normal, that on the head as on other layers; rows of
 * tokens are the model's own. */
static void first_values_of_embeddings(void **state)
{
    (void)state;
    static const uint32_t tokens[] = {9, 2, 80};
    char *dir = vkft_test_directory();
    vkft_tensor_file made, model;
    vkft_err err = {0};
    copy_model(dir);
    train(dir, "out --max-steps 1 --learning-rate 1e-30 --weight-decay 0 --save-steps 0 --lora-target-modules "
               "q_proj,embed_tokens,lm_head");
    open_adapter(dir, "out", &made);
    assert_int_equal(made.count, 2 * 2 + 2 + 2);
    const vkft_file_tensor *a = vkft_tensor_file_find(&made, "base_model.model.model.embed_tokens.lora_embedding_A"),
                           *b = vkft_tensor_file_find(&made, "base_model.model.model.embed_tokens.lora_embedding_B"),
                           *head = vkft_tensor_file_find(&made, "base_model.model.lm_head.lora_B.weight");
    assert_true(a && b && head && a->shape[1] == 83 && b->shape[0] == 36 && head->shape[0] == 83);
    double squares = 0;
    for (uint64_t i = 0; i < b->elements; i++)
        squares += pow((double)((const float *)(const void *)vkft_tensor_file_data(&made, b))[i], 2);
    for (uint64_t i = 0; i < a->elements; i++)
        assert_true(fabsf(((const float *)(const void *)vkft_tensor_file_data(&made, a))[i]) < 1e-20f);
    assert_true(fabs(squares / (double)b->elements - 1) < 4 * sqrt(2.0 / (double)b->elements));
    vkft_tensor_file_close(&made);
    train(dir, "rows --max-steps 1 --learning-rate 1e-30 --weight-decay 0 --save-steps 0 --lora-target-modules q_proj "
               "--trainable-token-indices 9,2,80");
    open_adapter(dir, "rows", &made);
    expect_ok(vkft_safetensors_open(GOLDEN "/model/model.safetensors", &model, &err));
    const vkft_file_tensor *rows = vkft_tensor_file_find(
                               &made, "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"),
                           *w = vkft_tensor_file_find(&model, "model.embed_tokens.weight");
    assert_true(rows && w && rows->shape[0] == 3 && rows->shape[1] == 36);
    for (uint32_t i = 0; i < 3; i++)
        assert_memory_equal((const char *)vkft_tensor_file_data(&made, rows) + i * 36 * sizeof(float),
                            (const char *)vkft_tensor_file_data(&model, w) + tokens[i] * 36 * sizeof(float),
                            36 * sizeof(float));
    vkft_tensor_file_close(&made);
    vkft_tensor_file_close(&model);
    vkft_test_remove_directory(dir);
}

static void expect_same(const char *dir, const char *a, const char *b)
{
    vkft_tensor_file x, y;
    open_adapter(dir, a, &x);
    open_adapter(dir, b, &y);
    assert_int_equal(x.count, y.count);
    for (uint32_t i = 0; i < x.count; i++) {
        const vkft_file_tensor *t = vkft_tensor_file_find(&y, x.tensors[i].name);
        assert_true(t && t->bytes == x.tensors[i].bytes);
        if (memcmp(vkft_tensor_file_data(&x, &x.tensors[i]), vkft_tensor_file_data(&y, t), t->bytes) != 0)
            fail_msg("%s and %s: %s differs", a, b, t->name);
    }
    vkft_tensor_file_close(&x);
    vkft_tensor_file_close(&y);
}

/* Also with DoRA, whose norms are not in the files, and LoRA-FA, whose constants follow from A. */
static void resumed_and_streamed(void **state)
{
    (void)state;
    static const char *const kinds[] = {"--modules-to-save lm_head,embed_tokens",
                                        "--use-dora --lora-dropout 0.2",
                                        "--bias all --lora-bias",
                                        "--optim lorafa",
                                        "--peft-type ia3",
                                        ("--lora-target-modules q_proj,embed_tokens --lora-dropout 0.2 "
                                         "--trainable-token-indices {\\\"lm_head\\\":[9,2]}")};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *dir = vkft_test_directory(), flags[400];
        copy_model(dir);
        snprintf(flags, sizeof flags, "whole --max-steps 4 --save-steps 2 %s", kinds[i]);
        train(dir, flags);
        snprintf(flags, sizeof flags,
                 "again --max-steps 4 --save-steps 0 %s --resume-from-checkpoint %s/whole/checkpoint-2", kinds[i], dir);
        train(dir, flags);
        expect_same(dir, "whole", "again");
        snprintf(flags, sizeof flags, "streamed --max-steps 4 --save-steps 0 %s --offload weights", kinds[i]);
        train(dir, flags);
        expect_same(dir, "whole", "streamed");
        vkft_test_remove_directory(dir);
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *config, *names, *message;
    } cases[] = {
        {"\"tie_word_embeddings\":false", "score",
         "\"score\" cannot be trained whole beside an adapter in this model; "
         "expected lm_head or embed_tokens"},
        {"\"tie_word_embeddings\":false", "lm_head,q_proj", "\"q_proj\" cannot be trained whole"},
        {"\"tie_word_embeddings\":false", "lm_head,lm_head", "names \"lm_head\" twice"},
        {"\"tie_word_embeddings\":true", "lm_head", "embedding and head are one matrix"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300];
        vkft_config config;
        vkft_model model;
        vkft_adapter_set set;
        vkft_err err = {0};
        const vkft_adapter_config small = {.r = 4, .lora_alpha = 8};
        const vkft_module_choice choice = {.target = "q_proj", .save = cases[i].names};
        snprintf(text, sizeof text,
                 "{\"model_type\":\"llama\",\"hidden_size\":16,\"intermediate_size\":8,\"num_hidden_layers\":1,"
                 "\"num_attention_heads\":2,\"vocab_size\":8,%s}",
                 cases[i].config);
        expect_ok(vkft_config_parse(text, strlen(text), "config.json", &config, &err));
        expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_f32, false, &err));
        expect_failure(vkft_adapter_set_choose(&set, &model, &vkft_method_lora, &choice, &small, &err),
                       cases[i].message);
        vkft_model_free(&model);
    }
}

/* An adapter of another vocabulary, and one without the tensor that its configuration names. */
static void wrong_files(void **state)
{
    (void)state;
    vkft_adapter adapter;
    vkft_adapter_set set;
    vkft_config config;
    vkft_model model;
    vkft_err err = {0};
    cJSON *json = vkft_test_read_json(GOLDEN "/model/config.json");
    cJSON_ReplaceItemInObject(json, "vocab_size", cJSON_CreateNumber(90));
    char *text = cJSON_PrintUnformatted(json);
    expect_ok(vkft_adapter_read(GOLDEN "/adapter_init", vkft_adapter_formats(), &adapter, &err));
    expect_ok(vkft_config_parse(text, strlen(text), "config.json", &config, &err));
    expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_f32, false, &err));
    expect_failure(vkft_adapter_set_choose_from(&set, &model, &adapter, &err),
                   "modules_to_save names lm_head, and no tensor of shape [90, 36] is there for it");
    vkft_model_free(&model);
    vkft_adapter_free(&adapter);
    cJSON_free(text);
    cJSON_Delete(json);
}

static void refused_biases(void **state)
{
    (void)state;
    static const struct {
        const char *bias, *targets, *message;
    } cases[] = {{"all", "q_proj", "bias all: this model has no biases; leave it out"},
                 {"lora_only", "q_proj", "bias lora_only: no adapted layer has a bias; leave it out"}};
    char *dir = vkft_test_directory();
    for (size_t i = 0; i < 2; i++) {
        vkft_test_result r =
            vkft_test_program("train --model " VKFT_TEST_DATA
                              "/golden/llama_gqa/model/config.json --dry-run --output-dir %s/out --bias %s "
                              "--lora-target-modules %s",
                              dir, cases[i].bias, cases[i].targets);
        assert_int_equal(r.exit_code, 1);
        assert_non_null(strstr(r.err, cases[i].message));
        vkft_test_result_free(&r);
    }
    vkft_test_remove_directory(dir);
}

/* IA3 on the modules that PEFT chooses for the model, as ones, with PEFT's configuration. */
static void ia3(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), path[600];
    vkft_tensor_file made;
    copy_model(dir);
    train(dir, "out --max-steps 1 --learning-rate 1e-30 --weight-decay 0 --save-steps 0 --peft-type ia3");
    open_adapter(dir, "out", &made);
    assert_int_equal(made.count, 3 * 2);
    for (uint32_t i = 0; i < made.count; i++) {
        const vkft_file_tensor *t = &made.tensors[i];
        const float *x = (const float *)(const void *)vkft_tensor_file_data(&made, t);
        bool input = strstr(t->name, ".mlp.down_proj.ia3_l") != NULL;
        assert_true(t->dims == 2 && t->shape[input ? 0 : 1] == 1 &&
                    (input || strstr(t->name, "q_proj") || strstr(t->name, "v_proj")));
        for (uint64_t j = 0; j < t->elements; j++)
            assert_true(x[j] == 1);
    }
    vkft_tensor_file_close(&made);
    snprintf(path, sizeof path, "%s/out/adapter_config.json", dir);
    cJSON *config = vkft_test_read_json(path);
    assert_string_equal(cJSON_GetObjectItem(config, "peft_type")->valuestring, "IA3");
    assert_string_equal(cJSON_GetObjectItem(config, "feedforward_modules")->child->valuestring, "down_proj");
    assert_null(cJSON_GetObjectItem(config, "r"));
    cJSON_Delete(config);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_values),
                                       cmocka_unit_test(first_values_of_embeddings),
                                       cmocka_unit_test(resumed_and_streamed),
                                       cmocka_unit_test(ia3),
                                       cmocka_unit_test(refused),
                                       cmocka_unit_test(refused_biases),
                                       cmocka_unit_test(wrong_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
