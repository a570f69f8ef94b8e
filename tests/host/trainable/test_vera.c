/* VeRA: the shared matrices are torch's random numbers for a key; adapters are the same with and without them in the
 * file, and after resuming; a run holds what --dry-run says; what does not fit is refused. That training agrees with
 * PEFT is shown by the golden variants qwen2/vera and t5/vera, the second of which has no matrices in its file. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/safetensors.h"
#include "host/trainable/adapters.h"
#include "host/trainable/start/torch_random.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden/qwen2"

static float uniform_bound(uint32_t fan)
{
    return (float)(sqrt(3.0) * (sqrt(2.0) / sqrt(fan)));
}

/* Of PEFT 0.21's _kaiming_init((7, 101)) and ((33, 7)) by torch 2: the sum of all bits times their places, and the
 * first and last number. */
static void random_numbers(void **state)
{
    static const struct {
        uint32_t key;
        float first, last;
        uint32_t sum;
    } cases[] = {{0, -0x1.de5b6ep-10f, -0x1.8f40dcp-1f, 2950485030u},
                 {3, -0x1.eee8d4p-3f, 0x1.23cf2ep-2f, 2461948660u},
                 {4294967295u, 0x1.ecf9c2p-3f, -0x1.45e112p-1f, 1894957380u}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        vkft_torch_random random;
        float values[7 * 101 + 33 * 7];
        uint32_t sum = 0, bits, count = sizeof values / sizeof *values;
        vkft_torch_random_seed(&random, cases[i].key);
        vkft_torch_random_uniform(&random, uniform_bound(101), values, 7 * 101);
        vkft_torch_random_uniform(&random, uniform_bound(7), values + 7 * 101, 33 * 7);
        for (uint32_t k = 0; k < count; k++) {
            memcpy(&bits, &values[k], sizeof bits);
            sum += bits * (k + 1);
        }
        assert_true(values[0] == cases[i].first && values[count - 1] == cases[i].last);
        assert_int_equal(sum, cases[i].sum);
    }
}

static vkft_test_result train(const char *dir, const char *flags)
{
    return vkft_test_program(
        "train --model " GOLDEN "/model --data " GOLDEN
        "/train.jsonl --quant fp32 --warmup-steps 0 --batch-size 2 --gradient-accumulation-steps 1 "
        "--eval-strategy no --peft-type vera --lora-r 6 --learning-rate 0.01 --output-dir %s/%s",
        dir, flags);
}

static void train_ok(const char *dir, const char *flags)
{
    vkft_test_result r = train(dir, flags);
    if (r.exit_code != 0)
        fail_msg("%s: %s", flags, r.err);
    vkft_test_result_free(&r);
}

static void open_adapter(const char *dir, const char *name, vkft_tensor_file *file)
{
    char path[600];
    vkft_err err = {0};
    snprintf(path, sizeof path, "%s/%s/adapter_model.safetensors", dir, name);
    expect_ok(vkft_safetensors_open(path, file, &err));
}

/* The tensors of a, which b has, too. */
static void expect_same(const char *dir, const char *a, const char *b, uint32_t more)
{
    vkft_tensor_file x, y;
    open_adapter(dir, a, &x);
    open_adapter(dir, b, &y);
    assert_int_equal(x.count + more, y.count);
    for (uint32_t i = 0; i < x.count; i++) {
        const vkft_file_tensor *t = vkft_tensor_file_find(&y, x.tensors[i].name);
        assert_true(t && t->bytes == x.tensors[i].bytes);
        if (memcmp(vkft_tensor_file_data(&x, &x.tensors[i]), vkft_tensor_file_data(&y, t), t->bytes) != 0)
            fail_msg("%s and %s: %s differs", a, b, t->name);
    }
    vkft_tensor_file_close(&x);
    vkft_tensor_file_close(&y);
}

static double loss_of(const char *dir, const char *adapter)
{
    vkft_test_result r = vkft_test_program("eval --model " GOLDEN "/model --adapter %s/%s --data " GOLDEN
                                           "/valid.jsonl --quant fp32 --json",
                                           dir, adapter);
    if (r.exit_code != 0)
        fail_msg("%s: %s", adapter, r.err);
    cJSON *printed = cJSON_Parse(r.out);
    double loss = cJSON_GetObjectItem(printed, "loss")->valuedouble;
    cJSON_Delete(printed);
    vkft_test_result_free(&r);
    return loss;
}

static void files(void **state)
{
    char *dir = vkft_test_directory(), path[600];
    vkft_tensor_file made;
    (void)state;
    train_ok(dir, "whole --max-steps 4 --save-steps 2 --lora-dropout 0.2 --projection-prng-key 3");
    train_ok(dir, "bare --max-steps 4 --save-steps 2 --lora-dropout 0.2 --projection-prng-key 3 --no-save-projection");
    expect_same(dir, "bare", "whole", 2);
    assert_true(loss_of(dir, "bare") == loss_of(dir, "whole"));
    for (int i = 0; i < 2; i++) {
        char flags[300];
        const char *of = i ? "bare" : "whole";
        snprintf(flags, sizeof flags,
                 "again%d --max-steps 4 --save-steps 0 --lora-dropout 0.2 --projection-prng-key 3 %s "
                 "--resume-from-checkpoint %s/%s/checkpoint-2",
                 i, i ? "--no-save-projection" : "", dir, of);
        train_ok(dir, flags);
        snprintf(flags, sizeof flags, "again%d", i);
        expect_same(dir, flags, of, 0);
    }
    train_ok(dir, "first --max-steps 1 --learning-rate 1e-30 --weight-decay 0 --save-steps 0 --d-initial 0.25");
    open_adapter(dir, "first", &made);
    for (uint32_t i = 0; i < made.count; i++) {
        const vkft_file_tensor *t = &made.tensors[i];
        const float *x = (const float *)(const void *)vkft_tensor_file_data(&made, t);
        bool d = strstr(t->name, ".vera_lambda_d") != NULL, b = strstr(t->name, ".vera_lambda_b") != NULL;
        assert_int_equal(t->dims, d || b ? 1 : 2);
        for (uint64_t j = 0; j < t->elements && (d || b); j++)
            assert_true(d ? x[j] == 0.25f : fabsf(x[j]) < 1e-29f);
    }
    vkft_tensor_file_close(&made);
    snprintf(path, sizeof path, "%s/bare/adapter_config.json", dir);
    cJSON *config = vkft_test_read_json(path);
    assert_string_equal(cJSON_GetObjectItem(config, "peft_type")->valuestring, "VERA");
    assert_int_equal(cJSON_GetObjectItem(config, "projection_prng_key")->valueint, 3);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(config, "save_projection")));
    cJSON_Delete(config);
    vkft_test_remove_directory(dir);
}

/* The matrices of the plan, to the byte, and a run that holds no more than its plan. */
static void memory(void **state)
{
    char *dir = vkft_test_directory(), path[600];
    (void)state;
    vkft_test_result r = train(dir, "out --max-steps 1 --json --dry-run");
    assert_int_equal(r.exit_code, 0);
    cJSON *plan = cJSON_Parse(r.out);
    train_ok(dir, "out --max-steps 1");
    snprintf(path, sizeof path, "%s/out/trainer_log.jsonl", dir);
    cJSON *log = vkft_test_read_jsonl(path);
    double planned = cJSON_GetNumberValue(cJSON_GetObjectItem(plan, "device_bytes")),
           held = cJSON_GetNumberValue(cJSON_GetObjectItem(log->child, "memory_bytes"));
    /* B [52,6], and A [6,in] for rows of 36, 40 and 52 */
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(plan, "shared matrices")) == 4608);
    assert_true(held <= planned && held > 0.5 * planned);
    cJSON_Delete(plan);
    cJSON_Delete(log);
    vkft_test_result_free(&r);
    vkft_test_remove_directory(dir);
}

/* Of adapted layers alone, under PEFT's name; they are read again. */
static void biases(void **state)
{
    char *dir = vkft_test_directory(), path[600], flags[700];
    (void)state;
    train_ok(dir, "with --max-steps 2 --save-steps 0 --bias lora_only");
    snprintf(path, sizeof path, "%s/with/adapter_config.json", dir);
    cJSON *config = vkft_test_read_json(path);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(config, "bias")), "vera_only");
    cJSON_Delete(config);
    vkft_tensor_file made;
    open_adapter(dir, "with", &made);
    assert_non_null(vkft_tensor_file_find(&made, "base_model.model.model.layers.0.self_attn.q_proj.base_layer.bias"));
    uint32_t count = made.count;
    vkft_tensor_file_close(&made);
    assert_true(isfinite(loss_of(dir, "with")));
    snprintf(flags, sizeof flags, "again --max-steps 1 --save-steps 0 --init-adapter %s/with", dir);
    train_ok(dir, flags);
    vkft_tensor_file again;
    open_adapter(dir, "again", &again);
    assert_int_equal(again.count, count);
    vkft_tensor_file_close(&again);
    snprintf(flags, sizeof flags, "other --bias none --init-adapter %s/with", dir);
    vkft_test_result r = train(dir, flags);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "which has another bias; --bias asks for something else"));
    vkft_test_result_free(&r);
    vkft_test_remove_directory(dir);
}

/* All of VeRA's vectors learn at LoRA+'s rate, as in PEFT: that of another run. */
static void loraplus(void **state)
{
    char *dir = vkft_test_directory();
    (void)state;
    train_ok(dir, "plain --max-steps 2 --save-steps 0");
    train_ok(dir, "plus --max-steps 2 --save-steps 0 --learning-rate 0.0025 --loraplus-lr-ratio 4");
    expect_same(dir, "plus", "plain", 0);
    vkft_test_remove_directory(dir);
}

static void refused(void **state)
{
    static const char *const experts =
        "--model " VKFT_TEST_DATA "/golden/mixtral_experts/model --dry-run --peft-type vera "
        "--lora-target-modules w1";
    (void)state;
    vkft_test_result r = vkft_test_program("train %s", experts);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "experts cannot have a VeRA adapter"));
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_numbers), cmocka_unit_test(files),
                                       cmocka_unit_test(memory),         cmocka_unit_test(biases),
                                       cmocka_unit_test(loraplus),       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
