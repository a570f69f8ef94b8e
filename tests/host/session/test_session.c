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
#include "runtime/base/text.h"
#include "runtime/device_cache.h"
#include "runtime/kernels.h"
#include "host/engine/matmul/gemm.h"
#include "host/model/decoder.h"
#include "host/train/learner.h"
#include "tests/support/tiny_model.h"
#include "tests/support/system/system.h"

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
    vkft_checkpointing checkpointing;
    const char *targets;
    vkft_optimizer_type optim;
    vkft_dtype compute;
} variant;

/* Steps with batches of every shape, evaluations between them: not one vkAllocateMemory after the start, and the bytes
 * of the plan. Returns the sum of all losses and gradient norms. */
static double check_placed(const char *dir, variant v, bool stream)
{
    double sum = 0;
    vkft_err err;
    vkft_session session;
    vkft_observer quiet = {0};
    vkft_session_source source = {.model = {.path = dir,
                                            .device = getenv("VKFT_DEVICE"),
                                            .quant = v.quant,
                                            .quant_explicit = true,
                                            .super_scales = true,
                                            .compute_dtype = v.compute}};
    expect_ok(vkft_session_open(&session, &source, &quiet, &err));
    const vkft_adapter_config config = {.r = 4, .lora_alpha = 8};
    expect_ok(vkft_adapter_set_choose(&session.trained.adapters, &session.model, &vkft_method_lora,
                                      &(vkft_module_choice){.target = v.targets}, &config, &err));
    float *flat = calloc(vkft_trainables_floats(&session.trained), sizeof *flat);
    expect_ok(vkft_adapter_set_init(&session.trained.adapters, 1, flat, &err));
    vkft_optimizer_options optimizer = {
        .type = v.optim, .weight_decay = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .max_grad_norm = 1.0};
    vkft_learner learner;
    expect_ok(vkft_learner_open(&learner, &session, &optimizer, flat, &err));
    vkft_limits limits = {.batch = {.tokens = SAMPLES * LONGEST, .rows = SAMPLES * (LONGEST - 1), .positions = LONGEST},
                          .checkpointing = v.checkpointing,
                          .stream_weights = stream};
    vkft_memory_plan plan;
    expect_ok(vkft_session_plan(&session, &limits, &plan, &err));
    session.seed = 1;
    expect_ok(vkft_session_start(&session, &plan, &quiet, &err));
    vkft_memory_stats started = vkft_memory_get_stats(session.dev);
    assert_int_equal(started.device_bytes, session.plan.device_bytes);
    assert_int_equal(started.host_bytes, session.plan.host_bytes);

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
        expect_ok(vkft_learner_train(&learner, batch, count, 10, step, &loss, &err));
        expect_ok(vkft_optimizer_update(&learner.optimizer, 1e-3, step + 1, &norm, &err));
        vkft_session_fill(&session, batch, count);
        expect_ok(vkft_session_run(&session, learner.eval, &loss, &err));
        assert_true(loss > 0 && norm > 0);
        sum += loss + norm;
    }
    vkft_memory_stats ended = vkft_memory_get_stats(session.dev);
    assert_int_equal(ended.allocations, started.allocations);
    assert_int_equal(ended.device_peak_bytes, session.plan.device_bytes);
    assert_int_equal(ended.host_bytes, started.host_bytes);
    free(flat);
    vkft_learner_close(&learner);
    vkft_session_close(&session);
    return sum;
}

static double check_variant(const char *dir, variant v)
{
    return check_placed(dir, v, false);
}

static void test_no_allocation_in_a_step(void **state)
{
    (void)state;
    char *dir = vkft_test_directory();
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, dir);
    check_variant(dir,
                  (variant){VKFT_STORAGE_f32, VKFT_CHECKPOINTING_DEVICE, "all-linear", VKFT_OPTIMIZER_adamw, VKFT_F32});
    check_variant(dir, (variant){VKFT_STORAGE_f32, VKFT_CHECKPOINTING_DEVICE, "all-linear",
                                 VKFT_OPTIMIZER_paged_adamw_32bit, VKFT_F32});
    check_variant(dir,
                  (variant){VKFT_STORAGE_nf4, VKFT_CHECKPOINTING_DEVICE, "all-linear", VKFT_OPTIMIZER_adamw, VKFT_F32});
    check_variant(dir,
                  (variant){VKFT_STORAGE_nf4, VKFT_CHECKPOINTING_OFF, "all-linear", VKFT_OPTIMIZER_adamw, VKFT_F32});
    vkft_test_remove_directory(dir);
}

/* Where things lie makes no difference to the bits. */
static void check_offload(const char *dir, vkft_storage quant, const char *targets, vkft_dtype compute)
{
    variant v = {quant, VKFT_CHECKPOINTING_DEVICE, targets, VKFT_OPTIMIZER_adamw, compute};
    double resident = check_variant(dir, v);
    v.checkpointing = VKFT_CHECKPOINTING_HOST;
    double kept = check_variant(dir, v), streamed = check_placed(dir, v, true);
    assert_memory_equal(&kept, &resident, sizeof kept);
    assert_memory_equal(&streamed, &resident, sizeof streamed);
}

static void test_offload(void **state)
{
    (void)state;
    char *dir = vkft_test_directory();
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, dir);
    check_offload(dir, VKFT_STORAGE_nf4, "all-linear", VKFT_F32);
    vkft_test_remove_directory(dir);
}

static void record_training(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch,
                            const vkft_limits *limits, const void *context)
{
    (void)context;
    vkft_decoder_train(graph, model, batch, limits->checkpointing);
}

/* Bytes that the inputs of blocks take in host memory, for products of this type. */
static uint64_t kept_bytes(const char *dir, vkft_dtype compute, vkft_checkpointing checkpointing, bool *f16)
{
    vkft_err err;
    vkft_session session;
    vkft_observer quiet = {0};
    const vkft_session_source source = {.model = {.path = dir, .quant_explicit = true, .compute_dtype = compute}};
    expect_ok(vkft_session_open(&session, &source, &quiet, &err));
    const vkft_pass_spec spec = {.name = "training", .training = true, .record = record_training};
    assert_non_null(vkft_session_add_pass(&session, &spec, &err));
    const vkft_limits limits = {.batch = {.tokens = 64, .rows = 63, .positions = 64}, .checkpointing = checkpointing};
    vkft_memory_plan plan;
    expect_ok(vkft_session_plan(&session, &limits, &plan, &err));
    *f16 = plan.limits.f16_inputs;
    vkft_session_close(&session);
    return plan.kept_bytes;
}

/* Where products are in f16, checkpointing keeps what blocks read in f16, too, but for what the last block reads. */
static void test_inputs_in_f16(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *before = vkft_test_swap_environment("VKFT_STRATEGY", "half,panel,direct");
    vkft_tiny_model tiny = vkft_tiny_model_default();
    tiny.layers = 4;
    vkft_tiny_model_write(&tiny, dir);
    bool f16;
    uint64_t input = 64ull * tiny.hidden_size * sizeof(float),
             rounded = vkft_f16_inverse_bytes(64) + vkft_f16_row_length(tiny.hidden_size) * 2 * 64ull;
    assert_int_equal(kept_bytes(dir, VKFT_F32, VKFT_CHECKPOINTING_HOST, &f16), 4 * input);
    assert_false(f16);
    assert_int_equal(kept_bytes(dir, VKFT_F16, VKFT_CHECKPOINTING_HOST, &f16), 3 * rounded + input);
    assert_true(f16);
    assert_int_equal(kept_bytes(dir, VKFT_F16, VKFT_CHECKPOINTING_OFF, &f16), 0);
    assert_false(f16);
    vkft_err err;
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    bool possible = vkft_gemm_has_f16(vkft_device_get_caps(dev));
    vkft_device_close(dev);
    if (possible)
        check_offload(dir, VKFT_STORAGE_nf4, "all-linear", VKFT_F16);
    vkft_test_environment("VKFT_STRATEGY", before);
    free(before);
    vkft_test_remove_directory(dir);
}

static void test_experts(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), copy[600];
    snprintf(copy, sizeof copy, "%s/config.json", dir);
    vkft_test_copy(VKFT_TEST_DATA "/golden/qwen3_moe/model/config.json", copy);
    snprintf(copy, sizeof copy, "%s/model.safetensors", dir);
    vkft_test_copy(VKFT_TEST_DATA "/golden/qwen3_moe/model/model.safetensors", copy);
    check_variant(dir,
                  (variant){VKFT_STORAGE_nf4, VKFT_CHECKPOINTING_DEVICE, "all-linear", VKFT_OPTIMIZER_adamw, VKFT_F32});
    check_variant(dir, (variant){VKFT_STORAGE_nf4, VKFT_CHECKPOINTING_DEVICE, "gate,gate_proj,down_proj",
                                 VKFT_OPTIMIZER_adamw, VKFT_F32});
    check_variant(dir, (variant){VKFT_STORAGE_f32, VKFT_CHECKPOINTING_OFF, "o_proj,up_proj,down_proj",
                                 VKFT_OPTIMIZER_adamw, VKFT_F32});
    vkft_test_remove_directory(dir);
}

/* All weights after three steps, in buffers of at most part_floats parameters; *parts: how many these were. */
static float *train_whole(const char *dir, uint64_t part_floats, double norms[3], uint32_t *parts, uint64_t *floats)
{
    vkft_err err;
    vkft_session session;
    vkft_observer quiet = {0};
    vkft_session_source source = {
        .model = {.path = dir, .device = getenv("VKFT_DEVICE"), .quant = VKFT_STORAGE_f32, .quant_explicit = true},
        .trained = VKFT_TRAINABLE_ALL_WEIGHTS};
    expect_ok(vkft_session_open(&session, &source, &quiet, &err));
    expect_ok(vkft_all_weights_layout(&session.trained.all_weights, &session.model, part_floats, &err));
    *floats = vkft_trainables_floats(&session.trained);
    float *flat = malloc(*floats * sizeof *flat);
    expect_ok(vkft_all_weights_init(&session.trained.all_weights, session.file, flat, &err));
    vkft_optimizer_options adamw = {.weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    vkft_learner learner;
    expect_ok(vkft_learner_open(&learner, &session, &adamw, flat, &err));
    vkft_limits limits = {.batch = {.tokens = LONGEST, .rows = LONGEST - 1, .positions = LONGEST},
                          .checkpointing = VKFT_CHECKPOINTING_DEVICE};
    vkft_memory_plan plan;
    expect_ok(vkft_session_plan(&session, &limits, &plan, &err));
    session.seed = 1;
    expect_ok(vkft_session_start(&session, &plan, &quiet, &err));
    assert_int_equal(vkft_memory_get_stats(session.dev).device_bytes, session.plan.device_bytes);
    for (uint32_t step = 0; step < 3; step++) {
        vkft_sample sample;
        const vkft_sample *batch = &sample;
        int32_t ids[LONGEST], labels[LONGEST];
        double loss;
        fill_sample(&sample, ids, labels, LONGEST - step, step);
        expect_ok(vkft_learner_train(&learner, &batch, 1, 10, step, &loss, &err));
        expect_ok(vkft_optimizer_update(&learner.optimizer, 1e-2, step + 1, &norms[step], &err));
    }
    *parts = learner.optimizer.parameters.parts;
    expect_ok(vkft_optimizer_get(&learner.optimizer, flat, NULL, &err));
    vkft_learner_close(&learner);
    vkft_session_close(&session);
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

static void append(void *context, const char *line)
{
    vkft_text *text = context;
    vkft_text_append(text, line, strlen(line), NULL);
    vkft_text_append(text, "\n", 1, NULL);
}

/* A session says once that a kernel was found wrong, here by what an earlier run has stored, and goes on without it. */
static void test_wrong_kernel_is_told(void **state)
{
    (void)state;
    vkft_err err;
    char *dir = vkft_test_directory(), *cache = vkft_test_directory(), stored[200];
    char *before[] = {vkft_test_swap_environment("VKFT_CACHE_DIR", cache),
                      vkft_test_swap_environment("VKFT_STRATEGY", "panel,direct")};
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, dir);
    snprintf(stored, sizeof stored, "kernels %016llx\npanel f32 nn plain f32 failed\npanel f32 nt plain f32 failed\n",
             (unsigned long long)vkft_kernels_hash());
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    vkft_device_cache_write(dev, "selftest", stored, strlen(stored));
    vkft_device_close(dev);

    vkft_session session;
    vkft_text told = {0};
    vkft_observer observer = {.context = &told, .message = append};
    vkft_session_source source = {
        .model = {.path = dir, .device = getenv("VKFT_DEVICE"), .quant = VKFT_STORAGE_f32, .quant_explicit = true}};
    vkft_limits limits = {.batch = {.tokens = LONGEST, .rows = LONGEST - 1, .positions = LONGEST}};
    vkft_memory_plan plan;
    expect_ok(vkft_session_open(&session, &source, &observer, &err));
    expect_ok(vkft_session_plan(&session, &limits, &plan, &err));
    expect_ok(vkft_session_start(&session, &plan, &observer, &err));
    assert_non_null(told.data);
    char *found = strstr(told.data, "kernel matmul_panel computes wrong results on ");
    assert_non_null(found);
    assert_null(strstr(strchr(found, '\n'), "computes wrong results"));
    vkft_session_close(&session);
    vkft_text_free(&told);
    vkft_test_environment("VKFT_CACHE_DIR", before[0]);
    vkft_test_environment("VKFT_STRATEGY", before[1]);
    free(before[0]);
    free(before[1]);
    vkft_test_remove_directory(dir);
    vkft_test_remove_directory(cache);
}

/* As little offloading as makes a plan fit. */
static void test_fit(void **state)
{
    (void)state;
    vkft_err err;
    vkft_session session;
    vkft_observer quiet = {0};
    char *dir = vkft_test_directory();
    vkft_tiny_model tiny = vkft_tiny_model_default();
    tiny.layers = 6;
    vkft_tiny_model_write(&tiny, dir);
    vkft_session_source source = {
        .model = {.path = dir, .quant = VKFT_STORAGE_nf4, .quant_explicit = true, .super_scales = true}};
    expect_ok(vkft_session_open(&session, &source, &quiet, &err));
    const vkft_adapter_config config = {.r = 4, .lora_alpha = 8};
    expect_ok(vkft_adapter_set_choose(&session.trained.adapters, &session.model, &vkft_method_lora,
                                      &(vkft_module_choice){.target = "all-linear"}, &config, &err));
    float *flat = calloc(vkft_trainables_floats(&session.trained), sizeof *flat);
    vkft_optimizer_options adamw = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    vkft_learner learner;
    expect_ok(vkft_learner_open(&learner, &session, &adamw, flat, &err));
    vkft_limits limits = {.batch = {.tokens = 64, .rows = 63, .positions = 64},
                          .checkpointing = VKFT_CHECKPOINTING_DEVICE};
    uint64_t needed[4] = {0}; /* by vkft_offload, from NONE on */
    for (vkft_offload offload = VKFT_OFFLOAD_NONE; offload <= VKFT_OFFLOAD_WEIGHTS; offload++) {
        vkft_memory_plan plan;
        session.options.offload = offload;
        expect_ok(vkft_session_plan_offload(&session, &limits, &plan, &quiet, &err));
        needed[offload] = plan.device_bytes;
    }
    assert_true(needed[VKFT_OFFLOAD_NONE] > needed[VKFT_OFFLOAD_ACTIVATIONS] &&
                needed[VKFT_OFFLOAD_ACTIVATIONS] > needed[VKFT_OFFLOAD_WEIGHTS]);
    vkft_memory_plan resident, plan;
    expect_ok(vkft_session_plan(&session, &limits, &resident, &err));
    vkft_device_info card = {.max_allocation_bytes = 1ull << 32};
    for (vkft_offload offload = VKFT_OFFLOAD_NONE; offload <= VKFT_OFFLOAD_WEIGHTS; offload++) {
        card.memory_free_bytes = needed[offload];
        plan = resident;
        assert_int_equal(vkft_session_fit(&session, &limits, &card, &plan), offload);
        assert_int_equal(plan.device_bytes, needed[offload]);
    }
    card.memory_free_bytes--;
    plan = resident;
    assert_int_equal(vkft_session_fit(&session, &limits, &card, &plan), VKFT_OFFLOAD_NONE);
    card.memory_free_bytes = needed[VKFT_OFFLOAD_WEIGHTS];
    card.unified_memory = true;
    assert_int_equal(vkft_session_fit(&session, &limits, &card, &plan), VKFT_OFFLOAD_NONE);
    card.unified_memory = false;
    limits.checkpointing = VKFT_CHECKPOINTING_OFF;
    assert_int_equal(vkft_session_fit(&session, &limits, &card, &plan), VKFT_OFFLOAD_NONE);
    assert_int_equal(plan.device_bytes, resident.device_bytes);
    free(flat);
    vkft_learner_close(&learner);
    vkft_session_close(&session);
    vkft_test_remove_directory(dir);
}

static bool same_plan(const vkft_memory_plan *a, const vkft_memory_plan *b)
{
    bool same = a->count == b->count && a->device_bytes == b->device_bytes && a->host_bytes == b->host_bytes;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = a->items[i].bytes == b->items[i].bytes;
    return same;
}

/* A plan for other limits, also while the session runs, leaves the session as it is. Its model is T5, whose plan
 * depends on the number of positions too. */
static void record_eval_of_all(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch,
                               const vkft_limits *limits, const void *context)
{
    (void)limits, (void)context;
    vkft_decoder_eval(graph, model, batch);
}

/* Chunks of logits grow with a GPU's memory, and no plan grows by more than a 32nd of it. */
static void test_logits_by_memory(void **state)
{
    (void)state;
    enum { V = 100000, ROWS = 3000, MB = 1 << 20 };
    vkft_err err;
    vkft_session session;
    vkft_observer quiet = {0};
    const vkft_session_source source = {
        .model = {.path = "config.json",
                  .random = "{\"model_type\": \"llama\", \"vocab_size\": 100000, \"hidden_size\": 64, "
                            "\"intermediate_size\": 96, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, "
                            "\"num_key_value_heads\": 2}",
                  .quant = VKFT_STORAGE_nf4}};
    expect_ok(vkft_session_open(&session, &source, &quiet, &err));
    const vkft_pass_spec spec = {.name = "evaluation", .record = record_eval_of_all};
    assert_non_null(vkft_session_add_pass(&session, &spec, &err));
    const vkft_limits limits = {.batch = {.tokens = ROWS, .rows = ROWS, .positions = ROWS}};
    vkft_memory_plan usual, plan;
    expect_ok(vkft_session_plan(&session, &limits, &usual, &err));
    assert_int_equal(usual.limits.logits_bytes, VKFT_LOGITS_BYTES);
    static const struct {
        uint64_t memory_mb, rows; /* 0: the usual chunk */
    } cards[] = {{64 * 1024, 1024}, {8 * 1024, 512}, {4 * 1024, 256}, {64, 0}};
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        const uint64_t memory = cards[i].memory_mb * MB;
        vkft_device_info card = {
            .max_allocation_bytes = 1ull << 32, .memory_bytes = memory, .memory_free_bytes = memory};
        plan = usual;
        vkft_session_enlarge_logits(&session, &card, &plan);
        assert_int_equal(plan.limits.logits_bytes, cards[i].rows ? cards[i].rows * V * 4 : VKFT_LOGITS_BYTES);
        assert_true(plan.arena_bytes >= usual.arena_bytes && plan.arena_bytes <= usual.arena_bytes + memory / 32);
        assert_int_equal(plan.device_bytes - usual.device_bytes, plan.arena_bytes - usual.arena_bytes);
        card.memory_free_bytes = usual.device_bytes; /* others hold the rest */
        plan = usual;
        vkft_session_enlarge_logits(&session, &card, &plan);
        assert_int_equal(plan.limits.logits_bytes, VKFT_LOGITS_BYTES);
        card.memory_free_bytes = memory;
        card.caps.software = true;
        vkft_session_enlarge_logits(&session, &card, &plan);
        assert_int_equal(plan.limits.logits_bytes, VKFT_LOGITS_BYTES);
    }
    vkft_limits stated = limits;
    stated.logits_bytes = 3 * V * 4;
    expect_ok(vkft_session_plan(&session, &stated, &plan, &err));
    assert_int_equal(plan.limits.logits_bytes, 3 * V * 4);
    assert_true(plan.arena_bytes < usual.arena_bytes);
    vkft_session_close(&session);
}

static void test_plan_is_pure(void **state)
{
    (void)state;
    vkft_err err;
    vkft_session session;
    vkft_observer quiet = {0};
    vkft_session_source source = {.model = {.path = VKFT_TEST_DATA "/golden/full_t5/model",
                                            .device = getenv("VKFT_DEVICE"),
                                            .quant = VKFT_STORAGE_f32,
                                            .quant_explicit = true},
                                  .trained = VKFT_TRAINABLE_ALL_WEIGHTS};
    expect_ok(vkft_session_open(&session, &source, &quiet, &err));
    expect_ok(vkft_all_weights_layout(&session.trained.all_weights, &session.model, VKFT_PARAMETER_SPACE_FLOATS, &err));
    float *flat = malloc(vkft_trainables_floats(&session.trained) * sizeof *flat);
    expect_ok(vkft_all_weights_init(&session.trained.all_weights, session.file, flat, &err));
    vkft_optimizer_options adamw = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    vkft_learner learner;
    expect_ok(vkft_learner_open(&learner, &session, &adamw, flat, &err));
    const vkft_limits small = {.batch = {.tokens = 16, .source_tokens = 16, .rows = 16, .positions = 8}},
                      large = {.batch = {.tokens = 64, .source_tokens = 64, .rows = 64, .positions = 64}};
    vkft_memory_plan first, other, again;
    expect_ok(vkft_session_plan(&session, &small, &first, &err));
    expect_ok(vkft_session_plan(&session, &large, &other, &err));
    expect_ok(vkft_session_plan(&session, &small, &again, &err));
    assert_true(same_plan(&first, &again) && other.device_bytes > first.device_bytes);
    expect_ok(vkft_session_start(&session, &first, &quiet, &err));
    double losses[2];
    for (uint32_t i = 0; i < 2; i++) {
        int32_t ids[8] = {3, 4, 5, 1, 6, 7, 8, 9},
                labels[8] = {VKFT_IGNORE_LABEL, VKFT_IGNORE_LABEL, VKFT_IGNORE_LABEL, VKFT_IGNORE_LABEL, 6, 7, 8, 9};
        const vkft_sample sample = {.ids = ids, .labels = labels, .length = 8, .source_length = 4, .trained = 3},
                          *batch[2] = {&sample, &sample};
        expect_ok(vkft_learner_train(&learner, batch, i + 1, 1, 0, &losses[i], &err)); /* each is a new recording */
        expect_ok(vkft_session_plan(&session, &large, &again, &err));
        assert_true(same_plan(&other, &again));
    }
    assert_true(losses[0] > 0 && losses[1] == 2 * losses[0]);
    assert_int_equal(vkft_memory_get_stats(session.dev).device_bytes, first.device_bytes);
    free(flat);
    vkft_learner_close(&learner);
    vkft_session_close(&session);
}

static void count_recording(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch,
                            const vkft_limits *limits, const void *context)
{
    (void)limits;
    ++*(uint32_t *)(uintptr_t)context;
    vkft_decoder_eval(graph, model, batch);
}

/* A batch of a shape that came before costs no recording; of more shapes than are kept, the least recently used one is
 * recorded again. */
static void test_recordings_are_kept_by_shape(void **state)
{
    (void)state;
    vkft_err err;
    vkft_session session;
    vkft_observer quiet = {0};
    char *dir = vkft_test_directory();
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, dir);
    vkft_session_source source = {.model = {.path = dir, .device = getenv("VKFT_DEVICE"), .quant = VKFT_STORAGE_f32}};
    expect_ok(vkft_session_open(&session, &source, &quiet, &err));
    uint32_t recorded = 0;
    const vkft_pass_spec spec = {.name = "counted", .record = count_recording, .context = &recorded};
    vkft_pass *pass = vkft_session_add_pass(&session, &spec, &err);
    const vkft_limits limits = {.batch = {.tokens = LONGEST, .rows = LONGEST - 1, .positions = LONGEST}};
    vkft_memory_plan plan;
    expect_ok(vkft_session_plan(&session, &limits, &plan, &err));
    expect_ok(vkft_session_start(&session, &plan, &quiet, &err));
    static const struct {
        uint32_t length;
        bool records;
    } runs[] = {{9, true}, {9, false}, {5, true},  {9, false}, {6, true},  {7, true}, {5, false},
                {8, true}, {9, true},  {5, false}, {8, false}, {7, false}, {6, true}};
    _Static_assert(VKFT_RECORDINGS == 4, "the lengths above are chosen for it");
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        int32_t ids[LONGEST], labels[LONGEST];
        vkft_sample sample;
        const vkft_sample *batch = &sample;
        double loss;
        uint32_t before = recorded;
        fill_sample(&sample, ids, labels, runs[i].length, i); /* other ids each time */
        vkft_session_fill(&session, &batch, 1);
        expect_ok(vkft_session_run(&session, pass, &loss, &err));
        assert_int_equal(recorded - before, runs[i].records);
    }
    vkft_session_close(&session);
    vkft_test_remove_directory(dir);
}

static void test_plan_that_does_not_fit(void **state)
{
    (void)state;
    vkft_err err;
    const vkft_memory_plan plan = {.device_bytes = 3ull << 30,
                                   .host_bytes = 2ull << 30,
                                   .largest = {"activations", VKFT_MEMORY_DEVICE, 1ull << 30}};
    vkft_device_info info = {.memory_free_bytes = 4ull << 30, .max_allocation_bytes = 2ull << 30};
    expect_ok(vkft_memory_plan_check(&plan, &info, &err));
    info.unified_memory = true;
    assert_false(vkft_memory_plan_check(&plan, &info, &err));
    assert_non_null(strstr(err.message, "needs 5.00 GiB"));
    assert_non_null(strstr(err.message, "4.00 GiB free"));
    info = (vkft_device_info){.memory_free_bytes = 4ull << 30, .max_allocation_bytes = 1ull << 29};
    assert_false(vkft_memory_plan_check(&plan, &info, &err));
    assert_non_null(strstr(err.message, "activations need 1.00 GiB in one buffer"));
    assert_int_equal(err.advice, VKFT_ADVICE_LESS_MEMORY);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_allocation_in_a_step),
                                       cmocka_unit_test(test_offload),
                                       cmocka_unit_test(test_inputs_in_f16),
                                       cmocka_unit_test(test_fit),
                                       cmocka_unit_test(test_experts),
                                       cmocka_unit_test(test_parameters_in_parts),
                                       cmocka_unit_test(test_plan_is_pure),
                                       cmocka_unit_test(test_logits_by_memory),
                                       cmocka_unit_test(test_wrong_kernel_is_told),
                                       cmocka_unit_test(test_plan_that_does_not_fit),
                                       cmocka_unit_test(test_recordings_are_kept_by_shape),
                                       cmocka_unit_test(test_flat)};
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
