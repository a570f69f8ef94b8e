/* Packing: every sample in exactly one pack, packs within their length and well filled; and the losses of packed and
 * separate samples. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "tests/support/expect.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "runtime/base/random.h"
#include "host/train/packs.h"
#include "tests/support/tiny_model.h"

#define SAMPLES 1000

static void make_lengths(vkft_sample *samples, uint32_t count, uint32_t longest, uint64_t seed)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t length = 2 + (uint32_t)((longest - 1) * vkft_random_uniform(seed, 0, i));
        samples[i] = (vkft_sample){.length = length, .trained = length - 1};
    }
}

static void check_packs(const vkft_sample_packs *split, const vkft_sample *samples, uint32_t count, uint32_t capacity)
{
    bool seen[SAMPLES] = {false};
    assert_int_equal(split->pack[split->packs], count);
    for (uint32_t p = 0; p < split->packs; p++) {
        uint32_t tokens = 0;
        assert_true(split->pack[p] < split->pack[p + 1]);
        for (uint32_t s = split->pack[p]; s < split->pack[p + 1]; s++) {
            size_t index = (size_t)(split->samples[s] - samples);
            assert_true(index < count && !seen[index]);
            assert_true(s == split->pack[p] || split->samples[s] > split->samples[s - 1]); /* in the data's order */
            seen[index] = true;
            tokens += split->samples[s]->length;
        }
        assert_true(tokens <= capacity);
    }
}

static void test_best_fit(void **state)
{
    (void)state;
    vkft_err err;
    static vkft_sample samples[SAMPLES];
    static const uint32_t longest[] = {2, 7, 64, 300, 512};
    for (size_t k = 0; k < sizeof longest / sizeof *longest; k++) {
        vkft_sample_packs split;
        make_lengths(samples, SAMPLES, longest[k], k);
        vkft_dataset data = {.samples = samples, .count = SAMPLES};
        expect_ok(vkft_sample_packs_new(&split, &data, NULL, SAMPLES, 512, &err));
        check_packs(&split, samples, SAMPLES, 512);
        uint64_t tokens = 0;
        for (uint32_t i = 0; i < SAMPLES; i++)
            tokens += samples[i].length;
        /* best fit decreasing needs at most 11/9 of the best number of packs, and one */
        assert_true(split.packs <= 11 * (tokens / 512 + 1) / 9 + 1 || longest[k] > 300);
        vkft_sample_packs_free(&split);
        expect_ok(vkft_sample_packs_new(&split, &data, NULL, SAMPLES, 0, &err));
        assert_int_equal(split.packs, SAMPLES);
        check_packs(&split, samples, SAMPLES, 512);
        vkft_sample_packs_free(&split);
    }
    vkft_sample_packs few;
    vkft_dataset data = {.samples = samples, .count = SAMPLES};
    static const uint32_t lengths[] = {6, 3, 5, 4, 2};
    for (uint32_t i = 0; i < 5; i++)
        samples[i].length = lengths[i];
    expect_ok(vkft_sample_packs_new(&few, &data, NULL, 5, 10, &err)); /* 6+4 and 5+3+2 */
    assert_int_equal(few.packs, 2);
    assert_ptr_equal(few.samples[0], &samples[0]);
    assert_ptr_equal(few.samples[1], &samples[3]);
    const vkft_sample *batch[5];
    static const uint32_t order[] = {1, 0};
    assert_int_equal(vkft_sample_packs_batch(&few, order, 0, 1, batch), 3);
    assert_ptr_equal(batch[0], &samples[1]);
    assert_int_equal(vkft_sample_packs_batch(&few, order, 1, 7, batch), 2);
    vkft_sample_packs_free(&few);
}

static void read_losses(const char *dir, double *loss, double *norm, int steps)
{
    char path[700];
    snprintf(path, sizeof path, "%s/trainer_log.jsonl", dir);
    cJSON *log = vkft_test_read_jsonl(path), *row;
    int i = 0;
    cJSON_ArrayForEach(row, log) if (cJSON_GetObjectItem(row, "loss") && i < steps)
    {
        loss[i] = cJSON_GetNumberValue(cJSON_GetObjectItem(row, "loss"));
        norm[i++] = cJSON_GetNumberValue(cJSON_GetObjectItem(row, "grad_norm"));
    }
    cJSON_Delete(log);
    assert_int_equal(i, steps);
}

/* Eight samples of 8 tokens fill two packs of 32: packs as micro batches give the losses of four samples one after the
 * other. */
static void test_same_losses(void **state)
{
    (void)state;
    vkft_err err;
    char *dir = vkft_test_directory(), path[600], text[4000] = "", model[600];
    snprintf(model, sizeof model, "%s/model", dir);
    expect_ok(vkft_directory_create(model, &err));
    vkft_tiny_model tiny = vkft_tiny_model_default();
    tiny.deviation = 0.3;
    vkft_tiny_model_write(&tiny, model);
    for (uint64_t row = 0; row < 8; row++) {
        strcat(text, "{\"input_ids\": [1");
        for (uint64_t i = 0; i < 7; i++)
            sprintf(text + strlen(text), ", %d", (int)(96 * vkft_random_uniform(3, row, i)));
        strcat(text, "]}\n");
    }
    snprintf(path, sizeof path, "%s/data.jsonl", dir);
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    const char *common =
        "--no-shuffle --max-steps 6 --quant fp32 --lora-r 4 --learning-rate 1e-2 --seed 3 --max-seq-length 32 "
        "--compute-dtype fp32";
    vkft_test_program_ok("train --model %s --data %s --output-dir %s/apart %s --gradient-accumulation-steps 4", model,
                         path, dir, common);
    vkft_test_program_ok(
        "train --model %s --data %s --output-dir %s/packed %s --gradient-accumulation-steps 1 --packing", model, path,
        dir, common);
    double apart[6], packed[6], apart_norm[6], packed_norm[6];
    char run[700];
    snprintf(run, sizeof run, "%s/apart", dir);
    read_losses(run, apart, apart_norm, 6);
    snprintf(run, sizeof run, "%s/packed", dir);
    read_losses(run, packed, packed_norm, 6);
    for (int i = 0; i < 6; i++) { /* sums of f32 in another order */
        assert_true(fabs(packed[i] - apart[i]) <= 1e-5 * fabs(apart[i]));
        assert_true(fabs(packed_norm[i] - apart_norm[i]) <= 1e-4 * fabs(apart_norm[i]));
    }
    assert_true(apart[5] < apart[0]);
    double loss[2];
    for (int i = 0; i < 2; i++) {
        vkft_test_result r = vkft_test_program(
            "eval --json --model %s --adapter %s/packed --data %s --quant fp32 --max-seq-length 32 %s", model, dir,
            path, i ? "--packing" : "");
        cJSON *json = cJSON_Parse(r.out);
        loss[i] = cJSON_GetNumberValue(cJSON_GetObjectItem(json, "loss"));
        assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "tokens")), 56);
        cJSON_Delete(json);
        vkft_test_result_free(&r);
    }
    assert_true(fabs(loss[1] - loss[0]) <= 1e-6 * loss[0]);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_best_fit), cmocka_unit_test(test_same_losses)};
    return cmocka_run_group_tests_name("packing", tests, NULL, NULL);
}
