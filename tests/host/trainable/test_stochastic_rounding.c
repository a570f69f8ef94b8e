/* Weights in bf16 alone, whose updates are rounded by chance: each optimizer's update is the one in f32, rounded as the
 * reference rounds it, bit for bit; the mean of many roundings is what was rounded; and a run learns with steps so
 * small that rounding to nearest would stand still. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/doctor/reference/ops.h"
#include "host/engine/matmul/gemm.h"
#include "host/trainable/optimizer/optimizer.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"

enum { SEED = 99, TENSORS = 4, FLOATS = 4096 + 256 + 128 + 64, DECAYED = FLOATS - 64 };

/* The last one has no weight decay and stays in f32. */
static vkft_parameter_tensor list[TENSORS] = {
    {.floats = 4096, .rows = 16, .cols = 256, .hidden = true},
    {.offset = 4096, .floats = 256, .rows = 9, .cols = 25, .embedding = true},
    {.offset = 4352, .floats = 128, .rows = 31, .cols = 4, .hidden = true},
    {.offset = 4480, .floats = 64, .rows = 1, .cols = 61},
};
static const vkft_parameter_tensors tensors = {.list = list, .count = TENSORS};

typedef struct run {
    vkft_optimizer opt;
    float p[FLOATS];
    uint8_t state[2][FLOATS * 4];
    void *copies[2];
} run;

static int set_up(void **state)
{
    vkft_err err;
    if (vkft_kernel_setup(state) != 0)
        return 1;
    expect_ok(vkft_gemm_setup(((vkft_kernel_fixture *)*state)->dev, VKFT_F32, &err));
    return 0;
}

static vkft_optimizer_options options_of(vkft_optimizer_type type, bool rounded)
{
    vkft_err err;
    vkft_optimizer_options o = {.type = type,
                                .weight_decay = 0.1,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .epsilon = 1e-8,
                                .bf16_copy = rounded,
                                .bf16_only = rounded,
                                .seed = SEED};
    expect_ok(vkft_optimizer_parse_args(&o, NULL, &err));
    return o;
}

static float nearest(float x)
{
    uint16_t half;
    vkft_from_f32(VKFT_BF16, &x, 1, &half);
    vkft_to_f32(VKFT_BF16, &half, 1, &x);
    return x;
}

/* Element number i of the space after update t. */
static float rounded(float x, uint32_t i, uint32_t t)
{
    uint32_t words[4] = {i / 8, 0, t, 1}, q = i % 8, u;
    vkft_reference_philox(words, SEED, 0);
    memcpy(&u, &x, sizeof u);
    u = (u + (words[q / 2] >> q % 2 * 16 & 0xffff)) & 0xffff0000;
    memcpy(&x, &u, sizeof x);
    return x;
}

static bool is_padding(uint32_t i)
{
    for (uint32_t k = 0; k < TENSORS; k++)
        if (i >= list[k].offset && i < list[k].offset + list[k].floats)
            return i - list[k].offset >= list[k].rows * list[k].cols;
    return true;
}

static void begin(run *r, vkft_device *dev, const vkft_optimizer_options *options, bool divided)
{
    vkft_err err;
    vkft_parameter_space layout = {.first = {0, divided ? 4352 : FLOATS, FLOATS}, .parts = divided ? 2 : 1};
    for (uint32_t i = 0; i < FLOATS; i++)
        r->p[i] = is_padding(i) ? 0 : nearest((float)((int)(i * 29 % 257) - 128) / 60);
    for (int j = 0; j < 2; j++)
        r->copies[j] = r->state[j];
    expect_ok(vkft_optimizer_init(&r->opt, dev, &layout, &tensors, DECAYED, options, &err));
    expect_ok(vkft_optimizer_set(&r->opt, r->p, NULL, &err));
}

static void step(run *r, uint32_t t)
{
    vkft_err err;
    double norm;
    float g[FLOATS];
    for (uint32_t i = 0; i < FLOATS; i++)
        g[i] = is_padding(i) ? 0 : (float)((int)((i * 37 + t * 101 + i * t * 13) % 401) - 200) / 128;
    for (uint32_t i = 0; i < r->opt.parameters.parts; i++)
        expect_ok(vkft_buffer_write(r->opt.dev, &r->opt.part[i].g, 0, g + r->opt.parameters.first[i],
                                    r->opt.part[i].n * sizeof *g, &err));
    expect_ok(vkft_optimizer_update(&r->opt, 1e-3, t, &norm, &err));
    expect_ok(vkft_optimizer_get(&r->opt, r->p, r->copies, &err));
}

/* Each update of the run in bf16 is that of the run in f32 from the same parameters and state; and what is held in
 * memory, 2 bytes for what has weight decay. */
static void test_rounds_updates_in_f32(void **fixture)
{
    vkft_err err;
    const vkft_kernel_fixture *f = *fixture;
    run *exact = malloc(sizeof *exact), *r = malloc(sizeof *r);
    assert_true(exact && r);
    for (vkft_optimizer_type type = 0; type < VKFT_OPTIMIZER_TYPES; type++) {
        const vkft_optimizer_options plain = options_of(type, false), options = options_of(type, true);
        const vkft_optimizer_kind *kind = vkft_optimizer_kind_of(type);
        begin(exact, f->dev, &plain, false);
        uint64_t held = vkft_memory_get_stats(f->dev).device_bytes,
                 state = vkft_optimizer_place(type) == VKFT_MEMORY_DEVICE ? vkft_optimizer_bytes(kind, &tensors) : 0;
        begin(r, f->dev, &options, type % 2);
        assert_int_equal(vkft_memory_get_stats(f->dev).device_bytes - held,
                         DECAYED * 2 + 64 * 4 + FLOATS * 4 + state + vkft_optimizer_extra_bytes(kind) +
                             vkft_optimizer_work_bytes(&options, &tensors, DECAYED));
        for (uint32_t t = 1; t <= 3; t++) {
            step(exact, t);
            step(r, t);
            for (uint32_t i = 0; i < FLOATS; i++) {
                float want = i < DECAYED ? rounded(exact->p[i], i, t) : exact->p[i];
                if (r->p[i] != want)
                    fail_msg("%s, step %u, element %u: found %.9g, expected %.9g of %.9g", kind->name, t, i,
                             (double)r->p[i], (double)want, (double)exact->p[i]);
            }
            for (uint32_t j = 0; j < vkft_optimizer_states(kind); j++)
                assert_memory_equal(r->state[j], exact->state[j], vkft_optimizer_state_bytes(kind, j, &tensors));
            expect_ok(vkft_optimizer_set(&exact->opt, r->p, (const void *const *)r->copies, &err));
        }
        vkft_optimizer_free(&exact->opt);
        vkft_optimizer_free(&r->opt);
    }
    free(exact);
    free(r);
}

/* A long row of equal parameters with plain SGD. */
typedef struct row {
    vkft_optimizer opt;
    vkft_parameter_tensor tensor;
    vkft_parameter_tensors tensors;
    uint32_t n;
    float *p, *g;
} row;

static void row_begin(row *r, vkft_device *dev, uint32_t n, uint64_t seed)
{
    vkft_err err;
    vkft_optimizer_options options = options_of(VKFT_OPTIMIZER_sgd, true);
    options.weight_decay = 0;
    options.seed = seed;
    *r = (row){.tensor = {.floats = n, .rows = 1, .cols = n}, .n = n};
    r->tensors = (vkft_parameter_tensors){.list = &r->tensor, .count = 1};
    r->p = malloc(n * sizeof *r->p);
    r->g = malloc(n * sizeof *r->g);
    assert_true(r->p && r->g);
    for (uint32_t i = 0; i < n; i++)
        r->p[i] = 1;
    vkft_parameter_space layout = vkft_parameter_space_whole(n, 0);
    expect_ok(vkft_optimizer_init(&r->opt, dev, &layout, &r->tensors, n, &options, &err));
    expect_ok(vkft_optimizer_set(&r->opt, r->p, NULL, &err));
}

static void row_step(row *r, double rate, uint32_t t)
{
    vkft_err err;
    double norm;
    expect_ok(vkft_buffer_write(r->opt.dev, &r->opt.part[0].g, 0, r->g, r->n * sizeof *r->g, &err));
    expect_ok(vkft_optimizer_update(&r->opt, rate, t, &norm, &err));
    expect_ok(vkft_optimizer_get(&r->opt, r->p, NULL, &err));
}

static double row_mean(const row *r)
{
    double sum = 0;
    for (uint32_t i = 0; i < r->n; i++)
        sum += (double)r->p[i];
    return sum / r->n;
}

static void row_end(row *r)
{
    vkft_optimizer_free(&r->opt);
    free(r->p);
    free(r->g);
}

/* Steps of 2^-10 from 1, whose lower neighbour is 1 - 2^-8. A rounding is off by at most 2^-8 with a variance of at
 * most 2^-18, so that the mean of n of them, after t steps, is within 5 standard deviations of sqrt(t / n) 2^-9. */
static void test_has_no_bias(void **fixture)
{
    enum { N = 65536 };
    const vkft_kernel_fixture *f = *fixture;
    row r, same, other;
    row_begin(&r, f->dev, N, 1);
    row_begin(&same, f->dev, N, 1);
    row_begin(&other, f->dev, N, 2);
    uint32_t differ = 0, moved[2] = {0};
    for (uint32_t i = 0; i < N; i++)
        r.g[i] = same.g[i] = other.g[i] = 1;
    assert_true(nearest(1 - 0x1p-10f) == 1);
    for (uint32_t t = 1; t <= 64; t++) {
        row_step(&r, 0x1p-10, t);
        row_step(&same, 0x1p-10, t);
        row_step(&other, 0x1p-10, t);
        for (uint32_t i = 0; i < N && t == 1; i++) {
            assert_true(r.p[i] == 1 || r.p[i] == 1 - 0x1p-8f);
            moved[i % 2] += r.p[i] < 1;
            differ += r.p[i] != other.p[i];
        }
        double want = 1 - t * 0x1p-10, bound = 5 * 0x1p-9 * sqrt((double)t / N);
        if (!(fabs(row_mean(&r) - want) < bound))
            fail_msg("step %u: mean %.9g, expected %.9g to %.2g", t, row_mean(&r), want, bound);
        assert_memory_equal(same.p, r.p, N * sizeof *r.p);
    }
    /* a quarter of each half of a word; and seeds are independent: 2 * 1/4 * 3/4 differ; 5 standard deviations */
    assert_true(abs((int)moved[0] - N / 8) < 5 * 79 && abs((int)moved[1] - N / 8) < 5 * 79);
    assert_true(abs((int)differ - N * 3 / 8) < 5 * 124);
    row_end(&r);
    row_end(&same);
    row_end(&other);
}

/* Towards a target 0.05 away, with steps of at most a fifth of what rounding to nearest needs to move at all. */
static void test_learns_where_nearest_stands_still(void **fixture)
{
    enum { N = 4096, STEPS = 200 };
    const float target = 0.95f, rate = 0x1p-7f;
    const vkft_kernel_fixture *f = *fixture;
    float p = 1, exact = 1;
    row r;
    row_begin(&r, f->dev, N, 3);
    for (uint32_t t = 1; t <= STEPS; t++) {
        for (uint32_t i = 0; i < N; i++)
            r.g[i] = r.p[i] - target;
        row_step(&r, (double)rate, t);
        p = nearest(p - rate * (p - target));
        exact -= rate * (exact - target);
    }
    assert_true(p == 1);
    assert_true((double)exact - (double)target < 0.0105); /* a fifth of the way is left: 0.05 exp(-200/128) */
    assert_true(fabs(row_mean(&r) - (double)exact) < 5 * 0x1p-9 * sqrt((double)STEPS / N));
    row_end(&r);
}

/* More than is updated at a time. */
static void test_in_pieces(void **fixture)
{
    enum { N = (1 << 22) + 64 };
    const vkft_kernel_fixture *f = *fixture;
    row r;
    row_begin(&r, f->dev, N, SEED);
    const vkft_optimizer_options *options = &r.opt.options;
    assert_int_equal(vkft_optimizer_work_bytes(options, &r.tensors, N), (1 << 22) * sizeof(float));
    for (uint32_t i = 0; i < N; i++)
        r.g[i] = 1;
    row_step(&r, 0x1p-10, 1);
    for (uint32_t i = 0; i < N; i += i < N - 200 ? 997 : 1)
        assert_true(r.p[i] == rounded(1 - 0x1p-10f, i, 1));
    row_end(&r);
}

/* Nothing changes, and the next step is as if it had not been. */
static void test_gradient_not_finite(void **fixture)
{
    const vkft_kernel_fixture *f = *fixture;
    row r;
    row_begin(&r, f->dev, 64, SEED);
    for (uint32_t i = 0; i < 64; i++)
        r.g[i] = i == 40 ? NAN : 1;
    row_step(&r, 0x1p-10, 1);
    for (uint32_t i = 0; i < 64; i++)
        assert_true(r.p[i] == 1);
    r.g[40] = 1;
    row_step(&r, 0x1p-10, 1);
    for (uint32_t i = 0; i < 64; i++)
        assert_true(r.p[i] == rounded(1 - 0x1p-10f, i, 1));
    row_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounds_updates_in_f32), cmocka_unit_test(test_has_no_bias),
                                       cmocka_unit_test(test_learns_where_nearest_stands_still),
                                       cmocka_unit_test(test_in_pieces), cmocka_unit_test(test_gradient_not_finite)};
    return cmocka_run_group_tests_name("stochastic rounding", tests, set_up, vkft_kernel_teardown);
}
