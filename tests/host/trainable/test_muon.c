/* Muon's matrices against torch.optim.Muon in float64 after 20 steps, beside a matrix that is AdamW's
 * (tests/golden/make_optimizer_golden.py); what it keeps, and that a run goes on from it bit for bit.
 *
 * Tolerance: an iteration multiplies what rounding adds to a small singular value by at most 3.4445, five of them by
 * 485. Sums of 40 products of values below 1 are exact to about 2e-7 of the largest singular value, so an update is to
 * 1e-4 where all its singular values are small, and to 1e-6 where they are not, as here. Its size is at most 0.2 *
 * sqrt(40) / 64 a step, so that 20 steps stay below 5e-6 of the parameters, whose size is 2. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/engine/matmul/gemm.h"
#include "host/trainable/optimizer/optimizer.h"
#include "runtime/base/size.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"
#include "tests/support/program.h"

#define TOLERANCE 5e-6

enum { TENSORS = 6, STEPS = 20, FLOATS = 384 + 384 + 1152 + 64 + 64 + 128, EVERY = 7 };

/* The last one is no hidden layer's. */
static vkft_parameter_tensor list[TENSORS] = {
    {.rows = 16, .cols = 24, .hidden = true}, {.rows = 40, .cols = 9, .hidden = true},
    {.rows = 33, .cols = 33, .hidden = true}, {.rows = 1, .cols = 7, .hidden = true},
    {.rows = 12, .cols = 1, .hidden = true},  {.rows = 5, .cols = 20}};
static const vkft_parameter_tensors tensors = {.list = list, .count = TENSORS};

typedef struct run {
    vkft_optimizer opt;
    float p[FLOATS], exp_avg[FLOATS], exp_avg_sq[128];
} run;

static uint32_t elements(const vkft_parameter_tensor *t)
{
    return t->rows * t->cols;
}

static int set_up(void **state)
{
    vkft_err err;
    uint64_t end = 0;
    for (uint32_t k = 0; k < TENSORS; k++) {
        list[k].offset = end;
        list[k].floats = round_up(elements(&list[k]), 64);
        end += list[k].floats;
    }
    assert_int_equal(end, FLOATS);
    if (vkft_kernel_setup(state) != 0)
        return 1;
    expect_ok(vkft_gemm_setup(((vkft_kernel_fixture *)*state)->dev, VKFT_F32, &err));
    return 0;
}

static double rate(uint32_t t)
{
    return 1.0 / 64 / (1 + t % 4);
}

static vkft_optimizer_options options_of(const char *args)
{
    vkft_err err;
    vkft_optimizer_options o = {
        .type = VKFT_OPTIMIZER_muon, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    expect_ok(vkft_optimizer_parse_args(&o, args, &err));
    return o;
}

/* Two parts, or all tensors in one. */
static void begin(run *r, vkft_device *dev, const vkft_optimizer_options *options, bool divided)
{
    vkft_err err;
    vkft_parameter_space layout = {.first = {0, divided ? list[2].offset : FLOATS, FLOATS}, .parts = divided ? 2 : 1};
    memset(r->p, 0, sizeof r->p);
    for (uint32_t k = 0; k < TENSORS; k++)
        for (uint32_t i = 0; i < elements(&list[k]); i++)
            r->p[list[k].offset + i] = (float)((int)(i * 29 % 257) - 128) / 64;
    expect_ok(vkft_optimizer_init(&r->opt, dev, &layout, &tensors, FLOATS, options, &err));
    expect_ok(vkft_optimizer_set(&r->opt, r->p, NULL, &err));
}

static void step(run *r, uint32_t t)
{
    vkft_err err;
    double norm;
    float g[FLOATS] = {0};
    for (uint32_t k = 0; k < TENSORS; k++)
        for (uint32_t i = 0; i < elements(&list[k]); i++)
            g[list[k].offset + i] = (float)((int)((i * 37 + t * 101 + i * t * 13) % 401) - 200) / 128;
    for (uint32_t i = 0; i < r->opt.parameters.parts; i++)
        expect_ok(vkft_buffer_write(r->opt.dev, &r->opt.part[i].g, 0, g + r->opt.parameters.first[i],
                                    r->opt.part[i].n * sizeof *g, &err));
    expect_ok(vkft_optimizer_update(&r->opt, rate(t), t, &norm, &err));
}

static void get(run *r)
{
    vkft_err err;
    void *state[] = {r->exp_avg, r->exp_avg_sq};
    expect_ok(vkft_optimizer_get(&r->opt, r->p, state, &err));
}

/* Every 7th element of the first `count` tensors, without padding. */
static void expect_golden(const char *what, const float *flat, uint32_t count, const cJSON *want)
{
    double values[FLOATS / EVERY + 1];
    float got[FLOATS / EVERY + 1];
    uint32_t n = 0, at = 0;
    for (uint32_t k = 0; k < count; k++)
        for (uint32_t i = 0; i < elements(&list[k]); i++, at++)
            if (at % EVERY == 0)
                got[n++] = flat[list[k].offset + i];
    assert_int_equal(cJSON_GetArraySize(want), n);
    n = 0;
    const cJSON *value;
    cJSON_ArrayForEach(value, want) values[n++] = value->valuedouble;
    vkft_assert_close(what, got, values, n, TOLERANCE);
}

static void test_equals_pytorch(void **fixture)
{
    static const char *const args[] = {"adamw_lr_ratio=0.5",
                                       "momentum=0.9,nesterov=false,adjust_lr_fn=original,adamw_lr_ratio=0.5",
                                       "adjust_lr_fn=spectral_unclamped,adamw_lr_ratio=0.5"};
    const vkft_kernel_fixture *f = *fixture;
    cJSON *golden = vkft_test_read_json(VKFT_TEST_DATA "/optimizer/muon.json");
    run *r = malloc(sizeof *r);
    assert_non_null(r);
    for (int i = 0; i < 3; i++) {
        const vkft_optimizer_options options = options_of(args[i]);
        const cJSON *want = cJSON_GetArrayItem(golden, i);
        begin(r, f->dev, &options, true);
        for (uint32_t t = 1; t <= STEPS; t++)
            step(r, t);
        get(r);
        expect_golden("parameters", r->p, TENSORS, cJSON_GetObjectItem(want, "parameters"));
        expect_golden("momentum", r->exp_avg, TENSORS - 1, cJSON_GetObjectItem(want, "momentum"));
        vkft_optimizer_free(&r->opt);
    }
    free(r);
    cJSON_Delete(golden);
}

/* Matrices keep one state and AdamW's tensor two, and all that an optimizer holds is what a plan says. */
static void test_memory(void **fixture)
{
    const vkft_kernel_fixture *f = *fixture;
    const vkft_optimizer_options options = options_of(NULL);
    const vkft_optimizer_kind *kind = vkft_optimizer_kind_of(options.type);
    run *r = malloc(sizeof *r);
    assert_non_null(r);
    uint64_t work = vkft_optimizer_work_bytes(&options, &tensors, FLOATS), held;
    assert_int_equal(vkft_optimizer_state_bytes(kind, 0, &tensors), FLOATS * sizeof(float));
    assert_int_equal(vkft_optimizer_state_bytes(kind, 1, &tensors), 128 * sizeof(float));
    assert_true(work >= (33 * 33 * 3) * sizeof(float));
    held = vkft_memory_get_stats(f->dev).device_bytes;
    begin(r, f->dev, &options, true);
    assert_int_equal(vkft_memory_get_stats(f->dev).device_bytes - held,
                     (2 * FLOATS + FLOATS + 128) * sizeof(float) + vkft_optimizer_extra_bytes(kind) + work);
    vkft_optimizer_free(&r->opt);
    free(r);
}

/* However the space is cut, and from host copies on. */
static void test_goes_on_bit_for_bit(void **fixture)
{
    vkft_err err;
    const vkft_kernel_fixture *f = *fixture;
    const vkft_optimizer_options options = options_of(NULL);
    run *r = malloc(sizeof *r), *again = malloc(sizeof *again);
    assert_true(r && again);
    begin(r, f->dev, &options, true);
    for (uint32_t t = 1; t <= STEPS; t++)
        step(r, t);
    get(r);
    begin(again, f->dev, &options, false);
    for (uint32_t t = 1; t <= STEPS; t++) {
        step(again, t);
        if (t == 7) {
            get(again);
            vkft_optimizer_free(&again->opt);
            float p[FLOATS];
            memcpy(p, again->p, sizeof p);
            begin(again, f->dev, &options, true);
            const void *state[] = {again->exp_avg, again->exp_avg_sq};
            expect_ok(vkft_optimizer_set(&again->opt, p, state, &err));
        }
    }
    get(again);
    assert_memory_equal(again->p, r->p, sizeof r->p);
    assert_memory_equal(again->exp_avg, r->exp_avg, sizeof r->exp_avg);
    assert_memory_equal(again->exp_avg_sq, r->exp_avg_sq, sizeof r->exp_avg_sq);
    vkft_optimizer_free(&r->opt);
    vkft_optimizer_free(&again->opt);
    free(r);
    free(again);
}

/* A gradient of zeros has no direction: weights decay, and that is all. One that is not finite changes nothing. */
static void test_gradients_without_direction(void **fixture)
{
    static const float wrong[] = {0, 1e30f};
    vkft_err err;
    const vkft_kernel_fixture *f = *fixture;
    const vkft_optimizer_options options = options_of(NULL);
    run *r = malloc(sizeof *r);
    assert_non_null(r);
    for (int i = 0; i < 2; i++) {
        double norm;
        float was[FLOATS];
        begin(r, f->dev, &options, false);
        memcpy(was, r->p, sizeof was);
        expect_ok(vkft_buffer_write(f->dev, &r->opt.part[0].g, 0, &wrong[i], sizeof wrong[i], &err));
        expect_ok(vkft_optimizer_update(&r->opt, 0.5, 1, &norm, &err));
        get(r);
        for (uint32_t k = 0; k < FLOATS; k++)
            assert_true(i ? r->p[k] == was[k] : fabsf(r->p[k] - 0.95f * was[k]) < 1e-6f);
        vkft_optimizer_free(&r->opt);
    }
    free(r);
}

static void test_arguments(void **fixture)
{
    vkft_err err;
    (void)fixture;
    vkft_optimizer_options o = {.type = VKFT_OPTIMIZER_muon};
    expect_failure(vkft_optimizer_parse_args(&o, "adjust_lr_fn=rms", &err),
                   "found 'adjust_lr_fn=rms', expected adjust_lr_fn=X with X one of original, match_rms_adamw, "
                   "spectral_unclamped");
    expect_failure(vkft_optimizer_parse_args(&o, "ns_steps=6", &err),
                   "it has: momentum, nesterov, adjust_lr_fn, adamw_lr_ratio");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equals_pytorch), cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_goes_on_bit_for_bit),
                                       cmocka_unit_test(test_gradients_without_direction),
                                       cmocka_unit_test(test_arguments)};
    return cmocka_run_group_tests_name("muon", tests, set_up, vkft_kernel_teardown);
}
