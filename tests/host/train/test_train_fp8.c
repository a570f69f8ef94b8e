/* LoRA over FP8 weights: the same losses, gradients and adapter as over the f32 values that the codes stand for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "formats/tensors/safetensors.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/fp8_checkpoint.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

#define TOLERANCE 1e-6 /* the same products of the same values: only what a driver contracts could differ */

static void train(const char *dir, const char *model, const char *quant)
{
    vkft_test_program_ok(
        "train --model %s/%s --quant %s --data %s/data.jsonl --output-dir %s/out-%s --max-steps 6 --batch-size 2 "
        "--gradient-accumulation-steps 2 --lora-r 4 --learning-rate 1e-2 --seed 3",
        dir, model, quant, dir, dir, model);
}

static double number(const cJSON *row, const char *key)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(row, key);
    assert_true(cJSON_IsNumber(member));
    return member->valuedouble;
}

static void compare_logs(const char *dir)
{
    char path[600];
    snprintf(path, sizeof path, "%s/out-fp8/trainer_log.jsonl", dir);
    cJSON *a = vkft_test_read_jsonl(path);
    snprintf(path, sizeof path, "%s/out-f32/trainer_log.jsonl", dir);
    cJSON *b = vkft_test_read_jsonl(path);
    assert_int_equal(cJSON_GetArraySize(a), cJSON_GetArraySize(b));
    int steps = 0;
    for (const cJSON *x = a->child, *y = b->child; x; x = x->next, y = y->next) {
        static const char *const keys[] = {"loss", "grad_norm"};
        if (!cJSON_HasObjectItem(x, "grad_norm"))
            continue;
        steps++;
        for (int k = 0; k < 2; k++)
            if (!(fabs(number(x, keys[k]) - number(y, keys[k])) <= TOLERANCE * number(y, keys[k])))
                fail_msg("step %d: %s is %.9g over fp8, %.9g over f32", steps, keys[k], number(x, keys[k]),
                         number(y, keys[k]));
    }
    assert_int_equal(steps, 6);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

static void compare_adapters(const char *dir)
{
    vkft_tensor_file a, b;
    vkft_err err = {0};
    char path[600];
    snprintf(path, sizeof path, "%s/out-fp8/adapter_model.safetensors", dir);
    expect_ok(vkft_safetensors_open(path, &a, &err));
    snprintf(path, sizeof path, "%s/out-f32/adapter_model.safetensors", dir);
    expect_ok(vkft_safetensors_open(path, &b, &err));
    assert_int_equal(a.count, b.count);
    for (uint32_t i = 0; i < a.count; i++) {
        const vkft_file_tensor *x = &a.tensors[i], *y = vkft_tensor_file_find(&b, x->name);
        assert_true(y && y->bytes == x->bytes);
        for (uint64_t j = 0; j < x->elements; j++) {
            float p, q;
            memcpy(&p, vkft_tensor_file_data(&a, x) + 4 * j, 4);
            memcpy(&q, vkft_tensor_file_data(&b, y) + 4 * j, 4);
            assert_true(fabsf(p - q) <= 1e-5f);
        }
    }
    vkft_tensor_file_close(&a);
    vkft_tensor_file_close(&b);
}

static void trains_alike(const vkft_test_fp8_spelling *spelling)
{
    char *dir = vkft_test_directory(), source[512], fp8[512], f32[512], data[512];
    vkft_err err = {0};
    snprintf(source, sizeof source, "%s/source", dir);
    snprintf(fp8, sizeof fp8, "%s/fp8", dir);
    snprintf(f32, sizeof f32, "%s/f32", dir);
    snprintf(data, sizeof data, "%s/data.jsonl", dir);
    expect_ok(vkft_directory_create(source, &err) && vkft_directory_create(fp8, &err) &&
              vkft_directory_create(f32, &err));
    vkft_tiny_model model = vkft_tiny_model_default();
    model.hidden_size = 136;
    model.intermediate_size = 203; /* runs of 8 that lie in two blocks */
    vkft_tiny_model_write(&model, source);
    vkft_test_fp8_checkpoint(source, fp8, f32, spelling);
    vkft_tiny_model_write_rows(91, data);
    train(dir, "fp8", "nf4"); /* keeps what is quantized already */
    train(dir, "f32", "fp32");
    compare_logs(dir);
    compare_adapters(dir);
    vkft_test_remove_directory(dir);
}

static void blocks(void **state)
{
    (void)state;
    trains_alike(&vkft_test_fp8_blocks);
}

static void one_scale(void **state)
{
    (void)state;
    trains_alike(&vkft_test_fp8_whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks), cmocka_unit_test(one_scale)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
