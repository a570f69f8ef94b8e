/* Each optimizer's update, clipping included, against PyTorch in float64 after 20 steps: see
 * tests/golden/make_optimizer_golden.py. Parameters lie in two buffers, the first of which ends before the floats
 * without weight decay begin.
 *
 * Tolerance: each step rounds a handful of times at 6e-8 relative, so that 20 steps stay below 1e-6.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/trainable/optimizer/optimizer.h"
#include "tests/support/expect.h"
#include "tests/support/kernel_test.h"
#include "tests/support/program.h"

enum { N = 37, CUT = 11, DECAYED = 20, STEPS = 20 };
#define TOLERANCE 1e-6

/* What the golden values were made with. */
static const vkft_optimizer_options golden_options[VKFT_OPTIMIZER_TYPES] = {
    [VKFT_OPTIMIZER_adamw] = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    [VKFT_OPTIMIZER_paged_adamw_32bit] = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    [VKFT_OPTIMIZER_lion] = {.beta1 = 0.9, .beta2 = 0.99},
    [VKFT_OPTIMIZER_sgd] = {.args = {0.9}},
};

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

static void expect_values(const char *what, const float *got, const cJSON *want)
{
    double values[STEPS > N ? STEPS : N];
    uint32_t n = 0;
    const cJSON *value;
    assert_non_null(want);
    cJSON_ArrayForEach(value, want) values[n++] = value->valuedouble;
    vkft_assert_close(what, got, values, n, TOLERANCE);
}

/* Runs steps first+1 ... end from the host copies p and state, and copies back. */
static void run_steps(const vkft_kernel_fixture *f, const vkft_optimizer_options *options, uint32_t first, uint32_t end,
                      float *p, float state[][N], float *norms)
{
    vkft_err err;
    vkft_optimizer opt;
    vkft_parameter_space layout = {.first = {0, CUT, N}, .parts = 2};
    const vkft_optimizer_kind *kind = vkft_optimizer_kind_of(options->type);
    void *copies[VKFT_OPTIMIZER_STATES];
    for (uint32_t i = 0; i < VKFT_OPTIMIZER_STATES; i++)
        copies[i] = state[i];
    uint64_t held = vkft_memory_get_stats(f->dev).device_bytes, state_bytes = vkft_optimizer_bytes(kind, N);
    expect_ok(vkft_optimizer_init(&opt, f->dev, &layout, DECAYED, options, &err));
    bool on_device = vkft_optimizer_place(options->type) == VKFT_MEMORY_DEVICE;
    assert_int_equal(vkft_memory_get_stats(f->dev).device_bytes - held,
                     2 * N * sizeof(float) + VKFT_OPTIMIZER_NORM_BYTES + (on_device ? state_bytes : 0));
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
    float p[N], state[VKFT_OPTIMIZER_STATES][N], norms[STEPS];
    float again[N], state_again[VKFT_OPTIMIZER_STATES][N];
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
        assert_memory_equal(state_again[i], state[i], sizeof state[i]);
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
            float p[N], was[N], state[VKFT_OPTIMIZER_STATES][N], state_was[VKFT_OPTIMIZER_STATES][N];
            void *copies[VKFT_OPTIMIZER_STATES], *copies_were[VKFT_OPTIMIZER_STATES];
            for (uint32_t j = 0; j < VKFT_OPTIMIZER_STATES; j++) {
                copies[j] = state[j];
                copies_were[j] = state_was[j];
            }
            for (uint32_t j = 0; j < N; j++)
                p[j] = initial(j);
            double norm;
            expect_ok(vkft_optimizer_init(&opt, f->dev, &layout, DECAYED, &options, &err));
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
                assert_memory_equal(state[j], state_was[j], sizeof state[j]);
            step(&opt, 2, &norm);
            assert_true(isfinite(norm));
            vkft_optimizer_free(&opt);
        }
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equals_pytorch),
                                       cmocka_unit_test(test_gradient_not_finite), cmocka_unit_test(test_arguments)};
    return cmocka_run_group_tests_name("optimizers", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
