/* Each optimizer's update, clipping included, against PyTorch in float64 after 20 steps, and the states of 8 bits
 * against bitsandbytes, byte by byte: see tests/golden/make_optimizer_golden.py. Parameters lie in two buffers, the
 * first of which ends before the floats without weight decay begin.
 *
 * Tolerance: each step rounds a handful of times at 6e-8 relative, so that 20 steps stay below 1e-6.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/trainable/optimizer/optimizer.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"
#include "tests/support/program.h"

enum { N = 37, CUT = 11, DECAYED = 20, STEPS = 20, STATE = 40 };
#define TOLERANCE 1e-6

/* What the golden values were made with. */
static const vkft_optimizer_options golden_options[VKFT_OPTIMIZER_TYPES] = {
    [VKFT_OPTIMIZER_adamw] = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    [VKFT_OPTIMIZER_paged_adamw_32bit] = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    [VKFT_OPTIMIZER_adamw_8bit] = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    [VKFT_OPTIMIZER_paged_adamw_8bit] = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    [VKFT_OPTIMIZER_lion] = {.beta1 = 0.9, .beta2 = 0.99},
    [VKFT_OPTIMIZER_paged_lion_32bit] = {.beta1 = 0.9, .beta2 = 0.99},
    [VKFT_OPTIMIZER_lion_8bit] = {.beta1 = 0.9, .beta2 = 0.99},
    [VKFT_OPTIMIZER_paged_lion_8bit] = {.beta1 = 0.9, .beta2 = 0.99},
    [VKFT_OPTIMIZER_sgd] = {.args = {0.9}},
    [VKFT_OPTIMIZER_muon] = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .args = {0.95, 1, 1, 1}},
    [VKFT_OPTIMIZER_lorafa] = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-6},
};

static vkft_parameter_tensor three_tensors[] = {
    {.floats = CUT, .rows = 1, .cols = CUT},
    {.offset = CUT, .floats = DECAYED - CUT, .rows = 1, .cols = DECAYED - CUT, .loraplus = true},
    {.offset = DECAYED, .floats = N - DECAYED, .rows = 1, .cols = N - DECAYED, .loraplus = true}};
static const vkft_parameter_tensors tensors = {.list = three_tensors, .count = 3};

static float initial(uint32_t i)
{
    return (float)((int)(i * 29 % 257) - 128) / 64;
}

static float gradient(uint32_t i, uint32_t t)
{
    return (float)((int)((i * 37 + t * 101 + i * t * 13) % 401) - 200) / 128;
}

static double rate(uint32_t t)
{
    return 1.0 / 64 / (1 + t % 4);
}

static void step(vkft_optimizer *opt, uint32_t t, double *norm)
{
    vkft_err err;
    float g[N];
    for (uint32_t i = 0; i < N; i++)
        g[i] = gradient(i, t);
    for (uint32_t i = 0; i < opt->parameters.parts; i++)
        expect_ok(vkft_buffer_write(opt->dev, &opt->part[i].g, 0, g + opt->parameters.first[i],
                                    opt->part[i].n * sizeof *g, &err));
    expect_ok(vkft_optimizer_update(opt, rate(t), t, norm, &err));
}

static void expect_close(const char *what, const float *got, const cJSON *want, double tolerance)
{
    double values[200];
    uint32_t n = 0;
    const cJSON *value;
    assert_non_null(want);
    cJSON_ArrayForEach(value, want)
    {
        assert_true(n < sizeof values / sizeof *values);
        values[n++] = value->valuedouble;
    }
    vkft_assert_close(what, got, values, n, tolerance);
}

static void expect_values(const char *what, const float *got, const cJSON *want)
{
    expect_close(what, got, want, TOLERANCE);
}

/* Runs steps first+1 ... end from the host copies p and state, and copies back. */
static void run_steps(const vkft_kernel_fixture *f, const vkft_optimizer_options *options, uint32_t first, uint32_t end,
                      float *p, float state[][STATE], float *norms)
{
    vkft_err err;
    vkft_optimizer opt;
    vkft_parameter_space layout = {.first = {0, CUT, N}, .parts = 2};
    const vkft_optimizer_kind *kind = vkft_optimizer_kind_of(options->type);
    void *copies[VKFT_OPTIMIZER_STATES];
    for (uint32_t i = 0; i < VKFT_OPTIMIZER_STATES; i++)
        copies[i] = state[i];
    uint64_t held = vkft_memory_get_stats(f->dev).device_bytes, state_bytes = vkft_optimizer_bytes(kind, &tensors);
    expect_ok(vkft_optimizer_init(&opt, f->dev, &layout, &tensors, DECAYED, options, &err));
    bool on_device = vkft_optimizer_place(options->type) == VKFT_MEMORY_DEVICE;
    assert_int_equal(vkft_memory_get_stats(f->dev).device_bytes - held,
                     2 * N * sizeof(float) + vkft_optimizer_extra_bytes(kind) + (on_device ? state_bytes : 0));
    expect_ok(vkft_optimizer_set(&opt, p, first ? (const void *const *)copies : NULL, &err));
    for (uint32_t t = first + 1; t <= end; t++) {
        double norm;
        step(&opt, t, &norm);
        norms[t - 1] = (float)norm;
    }
    expect_ok(vkft_optimizer_get(&opt, p, copies, &err));
    vkft_optimizer_free(&opt);
}

static void check(const vkft_kernel_fixture *f, vkft_optimizer_type type, const cJSON *golden)
{
    const vkft_optimizer_kind *kind = vkft_optimizer_kind_of(type);
    const cJSON *want = cJSON_GetObjectItem(golden, kind->name);
    vkft_optimizer_options options = golden_options[type];
    options.type = type;
    options.weight_decay = 0.1;
    options.max_grad_norm = 4;
    float p[N], state[VKFT_OPTIMIZER_STATES][STATE], norms[STEPS];
    float again[N], state_again[VKFT_OPTIMIZER_STATES][STATE];
    assert_non_null(want);
    for (uint32_t i = 0; i < N; i++)
        p[i] = again[i] = initial(i);
    run_steps(f, &options, 0, STEPS, p, state, norms);
    expect_values("grad_norm", norms, cJSON_GetObjectItem(want, "grad_norm"));
    expect_values("parameters", p, cJSON_GetObjectItem(want, "parameters"));
    for (uint32_t i = 0; i < vkft_optimizer_states(kind); i++)
        expect_values(kind->state[i].name, state[i], cJSON_GetObjectItem(want, kind->state[i].name));
    run_steps(f, &options, 0, 7, again, state_again, norms); /* the host copies are all that a run goes on from */
    run_steps(f, &options, 7, STEPS, again, state_again, norms);
    assert_memory_equal(again, p, sizeof p);
    for (uint32_t i = 0; i < vkft_optimizer_states(kind); i++)
        assert_memory_equal(state_again[i], state[i], vkft_optimizer_state_bytes(kind, i, &tensors));
}

/* LoRA+: all tensors but the first learn four times as fast, and so their roundings are four times as large. One buffer
 * holds them. */
static void test_loraplus(void **fixture)
{
    const vkft_kernel_fixture *f = *fixture;
    cJSON *golden = vkft_test_read_json(VKFT_TEST_DATA "/optimizer/golden.json");
    const cJSON *all = cJSON_GetObjectItem(golden, "loraplus");
    for (vkft_optimizer_type type = 0; type < VKFT_OPTIMIZER_TYPES; type++) {
        vkft_err err;
        vkft_optimizer opt;
        vkft_optimizer_options options = golden_options[type];
        vkft_parameter_space layout = {.first = {0, N}, .parts = 1};
        float p[N];
        double norm;
        options.type = type;
        options.weight_decay = 0.1;
        options.max_grad_norm = 4;
        options.loraplus_lr_ratio = 4;
        for (uint32_t i = 0; i < N; i++)
            p[i] = initial(i);
        expect_ok(vkft_optimizer_init(&opt, f->dev, &layout, &tensors, DECAYED, &options, &err));
        expect_ok(vkft_optimizer_set(&opt, p, NULL, &err));
        for (uint32_t t = 1; t <= STEPS; t++)
            step(&opt, t, &norm);
        expect_ok(vkft_optimizer_get(&opt, p, NULL, &err));
        expect_close("parameters", p, cJSON_GetObjectItem(all, vkft_optimizer_kind_of(type)->name), 4 * TOLERANCE);
        vkft_optimizer_free(&opt);
    }
    cJSON_Delete(golden);
}

static void test_equals_pytorch(void **fixture)
{
    cJSON *golden = vkft_test_read_json(VKFT_TEST_DATA "/optimizer/golden.json");
    for (vkft_optimizer_type type = 0; type < VKFT_OPTIMIZER_TYPES; type++)
        check(*fixture, type, golden);
    cJSON_Delete(golden);
}

/* A gradient whose norm is not finite, because one value is not or because its square is too large, changes neither
 * parameters nor state, and the next step is as if it had not been. */
static void test_gradient_not_finite(void **fixture)
{
    const vkft_kernel_fixture *f = *fixture;
    static const float wrong[] = {INFINITY, -INFINITY, NAN, 1e30f};
    vkft_err err;
    for (vkft_optimizer_type type = 0; type < VKFT_OPTIMIZER_TYPES; type++)
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            vkft_optimizer opt;
            vkft_optimizer_options options = golden_options[type];
            vkft_parameter_space layout = {.first = {0, CUT, N}, .parts = 2};
            options.type = type;
            options.weight_decay = 0.1;
            options.max_grad_norm = i % 2 ? 0 : 4;
            float p[N], was[N], state[VKFT_OPTIMIZER_STATES][STATE], state_was[VKFT_OPTIMIZER_STATES][STATE];
            void *copies[VKFT_OPTIMIZER_STATES], *copies_were[VKFT_OPTIMIZER_STATES];
            for (uint32_t j = 0; j < VKFT_OPTIMIZER_STATES; j++) {
                copies[j] = state[j];
                copies_were[j] = state_was[j];
            }
            for (uint32_t j = 0; j < N; j++)
                p[j] = initial(j);
            double norm;
            expect_ok(vkft_optimizer_init(&opt, f->dev, &layout, &tensors, DECAYED, &options, &err));
            expect_ok(vkft_optimizer_set(&opt, p, NULL, &err));
            step(&opt, 1, &norm);
            assert_true(isfinite(norm));
            expect_ok(vkft_optimizer_get(&opt, was, copies_were, &err));
            expect_ok(vkft_buffer_write(f->dev, &opt.part[1].g, 8, &wrong[i], sizeof wrong[i], &err));
            expect_ok(vkft_optimizer_update(&opt, rate(2), 2, &norm, &err));
            assert_false(isfinite(norm));
            expect_ok(vkft_optimizer_get(&opt, p, copies, &err));
            assert_memory_equal(p, was, sizeof p);
            for (uint32_t j = 0; j < vkft_optimizer_states(opt.kind); j++)
                assert_memory_equal(state[j], state_was[j], vkft_optimizer_state_bytes(opt.kind, j, &tensors));
            step(&opt, 2, &norm);
            assert_true(isfinite(norm));
            vkft_optimizer_free(&opt);
        }
}

/* The tensors of make_optimizer_golden.py: of whole blocks, with a short last block, too small for 8 bits. */
enum { TENSORS_8BIT = 3, FLOATS_8BIT = 4096 + 5184 + 128 };
static vkft_parameter_tensor list_8bit[TENSORS_8BIT] = {{.floats = 4096, .rows = 16, .cols = 256},
                                                        {.offset = 4096, .floats = 5184, .rows = 3, .cols = 1711},
                                                        {.offset = 4096 + 5184, .floats = 128, .rows = 5, .cols = 20}};
static const vkft_parameter_tensors tensors_8bit = {.list = list_8bit, .count = TENSORS_8BIT};

static float spread_gradient(uint32_t i, uint32_t t)
{
    return gradient(i, t) / (float)(1 << i * 7 % 23);
}

static uint64_t fnv1a(const uint8_t *data, size_t n, uint64_t hash)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ data[i]) * 0x100000001b3;
    return hash;
}

static uint32_t elements(const vkft_parameter_tensor *t)
{
    return t->rows * t->cols;
}

typedef struct run_8bit {
    vkft_optimizer opt;
    float p[FLOATS_8BIT], g[FLOATS_8BIT];
    uint8_t state[2][4 * FLOATS_8BIT];
    void *copies[VKFT_OPTIMIZER_STATES];
} run_8bit;

static void open_8bit(run_8bit *r, vkft_device *dev, vkft_optimizer_type type)
{
    vkft_err err;
    vkft_parameter_space layout = {.first = {0, 4096, FLOATS_8BIT}, .parts = 2};
    vkft_optimizer_options options = golden_options[type];
    options.type = type;
    options.weight_decay = 0.1;
    expect_ok(vkft_optimizer_init(&r->opt, dev, &layout, &tensors_8bit, FLOATS_8BIT, &options, &err));
    memset(r->p, 0, sizeof r->p);
    for (uint32_t k = 0; k < TENSORS_8BIT; k++)
        for (uint32_t i = 0; i < elements(&list_8bit[k]); i++)
            r->p[list_8bit[k].offset + i] = initial(i);
    r->copies[0] = r->state[0];
    r->copies[1] = r->state[1];
    expect_ok(vkft_optimizer_set(&r->opt, r->p, NULL, &err));
}

static void step_8bit(run_8bit *r, uint32_t t)
{
    vkft_err err;
    double norm;
    memset(r->g, 0, sizeof r->g);
    for (uint32_t k = 0; k < TENSORS_8BIT; k++)
        for (uint32_t i = 0; i < elements(&list_8bit[k]); i++)
            r->g[list_8bit[k].offset + i] = spread_gradient(i, t);
    for (uint32_t i = 0; i < r->opt.parameters.parts; i++)
        expect_ok(vkft_buffer_write(r->opt.dev, &r->opt.part[i].g, 0, r->g + r->opt.parameters.first[i],
                                    r->opt.part[i].n * sizeof *r->g, &err));
    expect_ok(vkft_optimizer_update(&r->opt, rate(t), t, &norm, &err));
    expect_ok(vkft_optimizer_get(&r->opt, r->p, r->copies, &err));
}

/* Codes and absmax of the two large tensors. */
static void expect_hashes(const run_8bit *r, uint32_t t, const cJSON *hashes)
{
    size_t at = 0;
    int states = (int)vkft_optimizer_states(r->opt.kind);
    for (int k = 0; k < 2; k++) {
        size_t n = elements(&list_8bit[k]), padded = list_8bit[k].floats, scales = (n + 255) / 256 * sizeof(float);
        for (int j = 0; j < states; j++) {
            const uint8_t *codes = r->state[j] + at;
            uint64_t hash = fnv1a(codes + padded, scales, fnv1a(codes, n, 0xcbf29ce484222325));
            char text[17];
            snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
            const char *want = cJSON_GetStringValue(cJSON_GetArrayItem(hashes, ((int)(t - 1) * 2 + k) * states + j));
            if (!want || strcmp(text, want) != 0)
                fail_msg("%s, step %u, tensor %d, moment %d: found %s, expected %s", r->opt.kind->name, t, k, j + 1,
                         text, want);
        }
        at += padded + scales;
    }
}

/* Every 37th parameter of each tensor. */
static void expect_parameters(const run_8bit *r, const cJSON *golden)
{
    for (int k = 0; k < TENSORS_8BIT; k++) {
        float values[1 + 5133 / 37];
        uint32_t n = 0;
        for (uint32_t i = 0; i < elements(&list_8bit[k]); i += 37)
            values[n++] = r->p[list_8bit[k].offset + i];
        expect_values("parameters", values, cJSON_GetArrayItem(cJSON_GetObjectItem(golden, "parameters"), k));
    }
}

/* Every byte of the state after each of 20 steps as in bitsandbytes, with its gradients. Parameters are rounded in
 * another order. */
static void check_8bit(const vkft_kernel_fixture *f, vkft_optimizer_type type, vkft_optimizer_type paged_type,
                       const char *file)
{
    cJSON *golden = vkft_test_read_json(file);
    run_8bit *r = malloc(sizeof *r), *paged = malloc(sizeof *paged);
    assert_true(r && paged);
    uint64_t held = vkft_memory_get_stats(f->dev).device_bytes;
    open_8bit(paged, f->dev, paged_type);
    assert_int_equal(vkft_memory_get_stats(f->dev).device_bytes - held,
                     sizeof paged->p + sizeof paged->g + vkft_optimizer_extra_bytes(paged->opt.kind));
    open_8bit(r, f->dev, type);
    int states = (int)vkft_optimizer_states(r->opt.kind);
    size_t bytes = (size_t)vkft_optimizer_state_bytes(r->opt.kind, 0, &tensors_8bit);
    assert_int_equal(bytes, 4096 + 16 * 4 + 5184 + 21 * 4 + 128 * 4);
    for (uint32_t t = 1; t <= STEPS; t++) {
        step_8bit(r, t);
        step_8bit(paged, t);
        expect_hashes(r, t, cJSON_GetObjectItem(golden, "hashes"));
        assert_memory_equal(paged->p, r->p, sizeof r->p);
        for (int j = 0; j < states; j++)
            assert_memory_equal(paged->state[j], r->state[j], bytes);
    }
    expect_parameters(r, golden);
    for (int j = 0; j < states; j++) {
        float small[100];
        memcpy(small, r->state[j] + bytes - 128 * 4, sizeof small);
        expect_values("moments in f32", small, cJSON_GetArrayItem(cJSON_GetObjectItem(golden, "small"), j));
    }
    vkft_optimizer_free(&r->opt);
    vkft_optimizer_free(&paged->opt);
    free(r);
    free(paged);
    cJSON_Delete(golden);
}

static void test_equals_bitsandbytes(void **fixture)
{
    check_8bit(*fixture, VKFT_OPTIMIZER_adamw_8bit, VKFT_OPTIMIZER_paged_adamw_8bit,
               VKFT_TEST_DATA "/optimizer/adamw_8bit.json");
    check_8bit(*fixture, VKFT_OPTIMIZER_lion_8bit, VKFT_OPTIMIZER_paged_lion_8bit,
               VKFT_TEST_DATA "/optimizer/lion_8bit.json");
}

/* Of the same matrices: their means of rows and columns, too. */
static void test_adafactor(void **fixture)
{
    const vkft_kernel_fixture *f = *fixture;
    cJSON *golden = vkft_test_read_json(VKFT_TEST_DATA "/optimizer/adafactor.json");
    run_8bit *r = malloc(sizeof *r);
    assert_non_null(r);
    open_8bit(r, f->dev, VKFT_OPTIMIZER_adafactor);
    assert_int_equal(vkft_optimizer_state_bytes(r->opt.kind, 0, &tensors_8bit),
                     (16 + 256 + 3 + 1711 + 5 + 20) * sizeof(float));
    for (uint32_t t = 1; t <= STEPS; t++)
        step_8bit(r, t);
    expect_parameters(r, golden);
    float means[3 + 1711 + 5 + 20], some[1 + (16 + 256 + 3 + 1711 + 5 + 20) / 37];
    memcpy(means, r->state[0] + (16 + 256) * sizeof *means, sizeof means);
    uint32_t n = 0;
    for (uint32_t i = 0; i < sizeof means / sizeof *means; i += 37)
        some[n++] = means[i];
    expect_values("exp_avg_sq", some, cJSON_GetObjectItem(golden, "exp_avg_sq"));
    vkft_optimizer_free(&r->opt);
    free(r);
    cJSON_Delete(golden);
}

static void test_arguments(void **fixture)
{
    vkft_err err;
    vkft_optimizer_options adamw = {.type = VKFT_OPTIMIZER_adamw};
    (void)fixture;
    expect_ok(vkft_optimizer_parse_args(&adamw, NULL, &err));
    expect_failure(vkft_optimizer_parse_args(&adamw, "momentum=0.9", &err),
                   "--optim-args: adamw has no argument 'momentum'; it has: none");
    expect_failure(vkft_optimizer_parse_args(&adamw, "=1", &err), "adamw has no argument ''");
    vkft_optimizer_options sgd = {.type = VKFT_OPTIMIZER_sgd, .args = {7}};
    expect_ok(vkft_optimizer_parse_args(&sgd, NULL, &err));
    assert_true(sgd.args[0] == 0);
    expect_ok(vkft_optimizer_parse_args(&sgd, "momentum=0.9", &err));
    assert_true(sgd.args[0] == 0.9);
    static const char *const bad[] = {"momentum",   "momentum=",     "momentum=x",  "momentum=0.9x",
                                      "momentum=1", "momentum=-0.1", "momentum=nan"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_failure(vkft_optimizer_parse_args(&sgd, bad[i], &err),
                       "expected momentum=X with X at least 0 and below 1");
    expect_failure(vkft_optimizer_parse_args(&sgd, "momentum=0.9,nesterov=1", &err),
                   "sgd has no argument 'nesterov'; it has: momentum");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equals_pytorch),      cmocka_unit_test(test_loraplus),
                                       cmocka_unit_test(test_equals_bitsandbytes), cmocka_unit_test(test_adafactor),
                                       cmocka_unit_test(test_gradient_not_finite), cmocka_unit_test(test_arguments)};
    return cmocka_run_group_tests_name("optimizers", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
