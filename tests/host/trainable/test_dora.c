/* DoRA's adapters: their first magnitudes beside PEFT's, their files, and what they cannot be on. That training agrees
 * with PEFT is shown by the golden cases dora_*, the ops by test_ops_linear.
 *
 * A magnitude is the root of a sum of at most 101 squares. PEFT adds them in f32: 101 roundings of half an ulp at most,
 * 3e-6 of the sum, half of that of its root; values from 4-bit codes are the same to the bit.
 */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/safetensors.h"
#include "host/trainable/adapters.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden"
#define BOUND 2e-6

/* A copy of the model that may be written beside; what is trained in one step at a rate that changes nothing. */
static void first_magnitudes(const char *name, const char *flags)
{
    char *dir = vkft_test_directory(), from[600], to[600];
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, GOLDEN "/%s/model/%s", name, files[i]);
        snprintf(to, sizeof to, "%s/model/%s", dir, files[i]);
        vkft_test_copy(from, to);
    }
    vkft_test_program_ok("train --model %s/model --data " GOLDEN "/%s/train.jsonl --output-dir %s/out --use-dora %s "
                         "--max-steps 1 --warmup-steps 0 --learning-rate 1e-30 --weight-decay 0 --batch-size 1 "
                         "--gradient-accumulation-steps 1 --save-steps 0",
                         dir, name, dir, flags);
    vkft_tensor_file want, made;
    vkft_err err = {0};
    snprintf(from, sizeof from, GOLDEN "/%s/adapter_init/adapter_model.safetensors", name);
    snprintf(to, sizeof to, "%s/out/adapter_model.safetensors", dir);
    expect_ok(vkft_safetensors_open(from, &want, &err));
    expect_ok(vkft_safetensors_open(to, &made, &err));
    uint32_t compared = 0;
    for (uint32_t i = 0; i < want.count; i++) {
        const vkft_file_tensor *w = &want.tensors[i], *m = vkft_tensor_file_find(&made, w->name);
        if (!strstr(w->name, ".lora_magnitude_vector"))
            continue;
        assert_true(m && m->dims == 1 && m->elements == w->elements);
        const float *x = (const float *)(const void *)vkft_tensor_file_data(&want, w),
                    *y = (const float *)(const void *)vkft_tensor_file_data(&made, m);
        for (uint64_t j = 0; j < w->elements; j++)
            if (!(fabs((double)x[j] - (double)y[j]) <= BOUND * fabs((double)x[j])))
                fail_msg("%s: element %llu is %.9g, expected %.9g", w->name, (unsigned long long)j, (double)y[j],
                         (double)x[j]);
        compared++;
    }
    assert_true(compared > 0 && made.count == want.count);
    vkft_tensor_file_close(&want);
    vkft_tensor_file_close(&made);
    snprintf(to, sizeof to, "%s/out/adapter_config.json", dir);
    cJSON *config = vkft_test_read_json(to);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(config, "use_dora")));
    cJSON_Delete(config);
    /* Going on keeps the kind. */
    vkft_test_result r = vkft_test_program("train --model %s/model --data " GOLDEN "/%s/train.jsonl --output-dir %s/on "
                                           "--init-adapter %s/out --no-use-dora --max-steps 1 %s",
                                           dir, name, dir, dir, strstr(flags, "--quant"));
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, ", DoRA; --use-dora asks for something else"));
    vkft_test_result_free(&r);
    vkft_test_remove_directory(dir);
}

static void as_peft_begins(void **state)
{
    (void)state;
    first_magnitudes("dora_qwen2", "--quant fp32");
    first_magnitudes("dora_qwen2_nf4", "--quant nf4 --no-double-quant");
    first_magnitudes("dora_t5", "--quant fp32");
    first_magnitudes("dora_gpt2", "--quant fp32");
}

static const char config_text[] =
    "{\"model_type\":\"qwen3_moe\",\"hidden_size\":64,\"intermediate_size\":32,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":4,\"vocab_size\":64,\"num_experts\":5,\"num_experts_per_tok\":2}";

/* Its files hold a vector for each module, and are no LoRA's. */
static void files(void **state)
{
    (void)state;
    const vkft_adapter_config small = {.r = 4, .lora_alpha = 8};
    vkft_config config;
    vkft_model model;
    vkft_adapter_set set, back_set;
    vkft_adapter adapter, back;
    vkft_err err = {0};
    char *dir = vkft_test_directory();
    expect_ok(vkft_config_parse(config_text, sizeof config_text - 1, "config.json", &config, &err));
    expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_f32, false, &err));
    const vkft_module_choice experts = {.target = "q_proj,up_proj"}, attention = {.target = "q_proj,v_proj"};
    expect_failure(vkft_adapter_set_choose(&set, &model, &vkft_method_dora, &experts, &small, &err),
                   "is an expert, and experts cannot have a DoRA adapter");
    expect_ok(vkft_adapter_set_choose(&set, &model, &vkft_method_dora, &attention, &small, &err));
    assert_int_equal(set.count, 4);
    uint64_t floats = vkft_parameter_space_length(&set.layout);
    float *flat = malloc(floats * sizeof *flat), *again = malloc(floats * sizeof *again);
    set.squares = malloc(set.rows * sizeof *set.squares);
    for (uint64_t i = 0; i < set.rows; i++)
        set.squares[i] = (float)(i * i);
    expect_ok(vkft_adapter_set_init(&set, 1, flat, &err));
    assert_true(flat[set.modules[2].offset[2] + 3] == (float)(set.modules[2].row + 3));
    expect_ok(vkft_adapter_set_export(&set, flat, "base", &adapter, &err));
    expect_ok(vkft_adapter_write(dir, &adapter, &err));
    expect_ok(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err));
    assert_true(back.config.format == &vkft_method_dora.format && back.count == 12);
    expect_ok(vkft_adapter_set_choose_from(&back_set, &model, &back, &err));
    assert_true(back_set.method == &vkft_method_dora && back_set.rows == set.rows);
    expect_ok(vkft_adapter_set_import(&back_set, &back, again, &err));
    assert_memory_equal(again, flat, floats * sizeof *flat);
    vkft_adapter_set_free(&back_set);
    free(back.tensors[2].key); /* of the first module */
    back.tensors[2].key = strdup("base_model.model.model.layers.7.self_attn.q_proj.lora_magnitude_vector");
    expect_failure(vkft_adapter_set_choose_from(&back_set, &model, &back, &err), "has no lora_magnitude_vector");
    vkft_adapter_free(&back);
    adapter.config.format = &vkft_method_lora.format; /* its tensors are then too many */
    expect_ok(vkft_adapter_write(dir, &adapter, &err));
    expect_failure(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err),
                   "lora_magnitude_vector' cannot be applied");
    vkft_adapter_free(&adapter);
    vkft_adapter_set_free(&set);
    vkft_model_free(&model);
    free(flat);
    free(again);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_peft_begins), cmocka_unit_test(files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
