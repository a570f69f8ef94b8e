/* A model on a device: what is planned is what is allocated, once, before the first step. */
#include <math.h>
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
#include "runtime/base/random.h"
#include "host/session/session.h"
#include "tests/support/tiny_model.h"

#define LONGEST 17
#define SAMPLES 3

static void fill_sample(vkft_sample *sample, int32_t *ids, int32_t *labels, uint32_t length, uint64_t seed)
{
    for (uint32_t i = 0; i < length; i++)
        ids[i] = labels[i] = (int32_t)(80 * vkft_random_uniform(seed, length, i));
    *sample = (vkft_sample){.ids = ids, .labels = labels, .length = length, .trained = length - 1};
}

typedef struct variant {
    vkft_storage quant;
    bool checkpointing;
    const char *targets;
} variant;

/* Steps with batches of every shape, evaluations between them: not one vkAllocateMemory after the start, and the bytes
 * of the plan. */
static void check_variant(const char *dir, variant v)
{
    vkft_err err;
    vkft_session runner;
    vkft_observer quiet = {0};
    vkft_session_source source = {
        .model = {.path = dir, .quant = v.quant, .quant_explicit = true, .super_scales = true}};
    expect_ok(vkft_session_open(&runner, &source, &quiet, &err));
    expect_ok(vkft_lora_choose(&runner.trained.lora, &runner.model, v.targets, 4, 8, 0, &err));
    float *flat = calloc(vkft_trainables_floats(&runner.trained), sizeof *flat);
    vkft_lora_init(&runner.trained.lora, 1, flat);
    vkft_batch_limits limits = {.tokens = SAMPLES * LONGEST, .rows = SAMPLES * (LONGEST - 1), .positions = LONGEST};
    expect_ok(vkft_session_plan(&runner, &limits, vkft_optimizer_kind_of(VKFT_OPTIMIZER_adamw), v.checkpointing, &err));
    vkft_optimizer_options adamw = {
        .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .max_grad_norm = 1.0};
    expect_ok(vkft_session_start(&runner, getenv("VKFT_DEVICE"), &adamw, flat, 1, &quiet, &err));
    vkft_memory_stats started = vkft_memory_get_stats(runner.dev);
    assert_int_equal(started.device_bytes, runner.plan.device_bytes);

    for (uint32_t step = 0; step < 12; step++) {
        vkft_sample samples[SAMPLES];
        const vkft_sample *batch[SAMPLES];
        int32_t ids[SAMPLES][LONGEST], labels[SAMPLES][LONGEST];
        uint32_t count = 1 + step % SAMPLES;
        double loss, norm;
        for (uint32_t i = 0; i < count; i++) {
            fill_sample(&samples[i], ids[i], labels[i], step == 0 ? LONGEST : 2 + (5 * step + 3 * i) % (LONGEST - 1),
                        step);
            batch[i] = &samples[i];
        }
        expect_ok(vkft_session_train_batch(&runner, batch, count, 0.1, step, &loss, &err));
        expect_ok(vkft_optimizer_update(&runner.optimizer, 1e-3, step + 1, &norm, &err));
        expect_ok(vkft_session_eval_batch(&runner, batch, count, &loss, &err));
        assert_true(loss > 0 && norm > 0);
    }
    vkft_memory_stats ended = vkft_memory_get_stats(runner.dev);
    assert_int_equal(ended.allocations, started.allocations);
    assert_int_equal(ended.device_peak_bytes, runner.plan.device_bytes);
    assert_int_equal(ended.host_bytes, started.host_bytes);
    free(flat);
    vkft_session_close(&runner);
}

static void test_no_allocation_in_a_step(void **state)
{
    (void)state;
    char *dir = vkft_test_directory();
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, dir);
    check_variant(dir, (variant){VKFT_STORAGE_f32, true, "all-linear"});
    check_variant(dir, (variant){VKFT_STORAGE_nf4, true, "all-linear"});
    check_variant(dir, (variant){VKFT_STORAGE_nf4, false, "all-linear"});
    vkft_test_remove_directory(dir);
}

static void test_experts(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), command[1200];
    snprintf(command, sizeof command,
             "cp " VKFT_TEST_DATA "/golden/qwen3_moe/model/config.json " VKFT_TEST_DATA
             "/golden/qwen3_moe/model/model.safetensors %s",
             dir);
    assert_int_equal(system(command), 0);
    check_variant(dir, (variant){VKFT_STORAGE_nf4, true, "all-linear"});
    check_variant(dir, (variant){VKFT_STORAGE_nf4, true, "gate,gate_proj,down_proj"});
    check_variant(dir, (variant){VKFT_STORAGE_f32, false, "o_proj,up_proj,down_proj"});
    vkft_test_remove_directory(dir);
}

/* All weights after three steps, in buffers of at most part_floats parameters; *parts: how many these were. */
static float *train_whole(const char *dir, uint64_t part_floats, double norms[3], uint32_t *parts, uint64_t *floats)
{
    vkft_err err;
    vkft_session runner;
    vkft_observer quiet = {0};
    vkft_session_source source = {.model = {.path = dir, .quant = VKFT_STORAGE_f32, .quant_explicit = true},
                                  .full = true};
    expect_ok(vkft_session_open(&runner, &source, &quiet, &err));
    expect_ok(vkft_all_weights_layout(&runner.trained.full, &runner.model, part_floats, &err));
    *floats = vkft_trainables_floats(&runner.trained);
    float *flat = malloc(*floats * sizeof *flat);
    expect_ok(vkft_all_weights_init(&runner.trained.full, runner.file, flat, &err));
    vkft_batch_limits limits = {.tokens = LONGEST, .rows = LONGEST - 1, .positions = LONGEST};
    expect_ok(vkft_session_plan(&runner, &limits, vkft_optimizer_kind_of(VKFT_OPTIMIZER_adamw), true, &err));
    vkft_optimizer_options adamw = {.weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    expect_ok(vkft_session_start(&runner, getenv("VKFT_DEVICE"), &adamw, flat, 1, &quiet, &err));
    assert_int_equal(vkft_memory_get_stats(runner.dev).device_bytes, runner.plan.device_bytes);
    for (uint32_t step = 0; step < 3; step++) {
        vkft_sample sample;
        const vkft_sample *batch = &sample;
        int32_t ids[LONGEST], labels[LONGEST];
        double loss;
        fill_sample(&sample, ids, labels, LONGEST - step, step);
        expect_ok(vkft_session_train_batch(&runner, &batch, 1, 0.1, step, &loss, &err));
        expect_ok(vkft_optimizer_update(&runner.optimizer, 1e-2, step + 1, &norms[step], &err));
    }
    *parts = runner.optimizer.parameters.parts;
    expect_ok(vkft_optimizer_get(&runner.optimizer, flat, NULL, &err));
    vkft_session_close(&runner);
    return flat;
}

/* Where the parameters are cut into buffers changes nothing; their norm is summed in another order. */
static void test_parameters_in_parts(void **state)
{
    (void)state;
    char *dir = vkft_test_directory();
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, dir);
    double norms[3], norms_of_parts[3];
    uint32_t one, several, each;
    uint64_t floats;
    float *whole = train_whole(dir, VKFT_PARAMETER_SPACE_FLOATS, norms, &one, &floats),
          *cut = train_whole(dir, 5000, norms_of_parts, &several, &floats);
    assert_true(one == 1 && several > 3);
    assert_memory_equal(whole, cut, floats * sizeof *whole);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(fabs(norms[i] - norms_of_parts[i]) <= 1e-6 * norms[i]);
    free(cut);
    cut = train_whole(dir, 1, norms_of_parts, &each, &floats); /* every tensor for itself */
    assert_true(each > several);
    assert_memory_equal(whole, cut, floats * sizeof *whole);
    free(whole), free(cut);
    vkft_test_remove_directory(dir);
}

static void test_flat(void **state)
{
    (void)state;
    vkft_parameter_space flat = {0};
    static const uint64_t tensors[] = {30, 60, 20, 500, 10, 90, 1};
    uint64_t offset = 0;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; offset += tensors[i++])
        assert_int_equal(vkft_parameter_space_append(&flat, tensors[i], 100), offset);
    static const uint64_t first[] = {0, 90, 110, 610, 710, 711};
    assert_int_equal(flat.parts, 5);
    assert_memory_equal(flat.first, first, sizeof first);
    for (uint32_t i = 0; i < flat.parts; i++)
        flat.address[i] = 1000000 * (i + 1);
    assert_int_equal(vkft_parameter_space_at(&flat, 0), 1000000);
    assert_int_equal(vkft_parameter_space_at(&flat, 89), 1000000 + 89 * 4);
    assert_int_equal(vkft_parameter_space_at(&flat, 90), 2000000);
    assert_int_equal(vkft_parameter_space_at(&flat, 609), 3000000 + 499 * 4);
    assert_int_equal(vkft_parameter_space_at(&flat, 710), 5000000);
    flat = (vkft_parameter_space){0};
    for (uint32_t i = 0; i < 2 * VKFT_PARAMETER_SPACE_PARTS; i++)
        vkft_parameter_space_append(&flat, 64, 1);
    assert_int_equal(flat.parts, VKFT_PARAMETER_SPACE_PARTS);
    assert_int_equal(flat.first[VKFT_PARAMETER_SPACE_PARTS], 2 * VKFT_PARAMETER_SPACE_PARTS * 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_allocation_in_a_step), cmocka_unit_test(test_experts),
                                       cmocka_unit_test(test_parameters_in_parts), cmocka_unit_test(test_flat)};
    return cmocka_run_group_tests_name("runner", tests, NULL, NULL);
}
