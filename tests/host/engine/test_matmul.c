/* Matrix products on the device against double precision: all storage types, all ways to multiply, odd shapes, strides
 * and sums. Tolerance: tests/support/kernels/product_test.h. Every buffer is guarded and results start as NaN, because
 * nothing checks bounds of device addresses.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/memory.h"
#include "tests/support/expect.h"
#include "tests/support/gguf/sampled_type.h"
#include "tests/support/kernels/product_test.h"
#include "tests/support/system/system.h"

static void test_product_type(product_fixture *f, vkft_storage storage)
{
    static const product_trial trials[] = {
        /* few rows */
        {.M = 1, .out = 1, .in = 1, .scale = 1},
        {.M = 1, .out = 31, .in = 333, .scale = 1, .R = ANOTHER},
        {.M = 3, .out = 17, .in = 8, .scale = 0.5f, .pad_x = 3, .pad_y = 5, .r = 4},
        {.M = 8, .out = 72, .in = 64, .scale = 1, .R = ITSELF},
        {.M = 5, .out = 9, .in = 129, .scale = -2, .R = ITSELF, .pad_y = 2},
        /* many rows */
        {.M = 9, .out = 1, .in = 1, .scale = 1},
        {.M = 9, .out = 16, .in = 1, .scale = 1, .r = 1},
        {.M = 31, .out = 333, .in = 31, .scale = 1, .R = ITSELF, .pad_x = 1},
        {.M = 33, .out = 65, .in = 129, .scale = 0.25f, .R = ANOTHER, .pad_x = 5, .pad_y = 3, .r = 37},
        {.M = 64, .out = 48, .in = 333, .scale = 1, .pad_y = 1},
        {.M = 70, .out = 40, .in = 128, .scale = 2, .R = ITSELF, .r = 16},
        {.M = 17, .out = 300, .in = 2100, .scale = 1.5f, .R = ANOTHER, .pad_x = 4, .r = 70}, /* K: several panels */
        {.M = 17, .out = 2061, .in = 43, .scale = 1, .R = ITSELF},
    };
    for (uint32_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        product_trial t = trials[i];
        vkft_reference_weight w = vkft_reference_weight_new(storage, t.out, t.in, i + 1);
        uint64_t scratch = vkft_product_scratch_bytes(t.out, t.in);
        for (uint32_t transposed = 0; transposed < 2; transposed++) {
            t.transposed = transposed;
            t.scratch_bytes = scratch;
            product_run(f, &w, &t);
            if (t.M <= 8)
                continue;
            uint32_t K = transposed ? t.in : t.out;
            t.scratch_bytes =
                (uint64_t)((K < 2048 ? K : 2048) + 7) / 8 * 8 * 256 * sizeof(float); /* panels of one tile or few */
            product_run(f, &w, &t);
            t.scratch_bytes = 0; /* no panel at all */
            product_run(f, &w, &t);
        }
        vkft_reference_weight_free(&w);
    }
}

static void test_types(void **state)
{
    for (vkft_storage type = 0; (type = vkft_test_next_type(type, 0, 5)) < VKFT_STORAGE_COUNT; type++)
        test_product_type(*state, type);
}

/* Products with quantized weights round what they multiply, the others do not. */
static void test_bf16_operands(void **state)
{
    product_set_operands(*state, VKFT_BF16);
    test_product_type(*state, VKFT_STORAGE_nf4_dq);
    test_product_type(*state, VKFT_STORAGE_fp4);
    test_product_type(*state, VKFT_STORAGE_bf16);
    test_product_type(*state, VKFT_STORAGE_f32);
    product_set_operands(*state, VKFT_F32);
}

/* First in each list a strategy that rounds to f16. */
static const char *const in_f16[] = {"coop,panel,direct", "dot,panel,direct", "half,panel,direct"};

static void unset_f16(product_fixture *f)
{
    vkft_test_environment("VKFT_STRATEGY", NULL);
    product_set_operands(f, VKFT_F32);
}

/* Products in f16 by a strategy, with the tiles and variants of this device; false: it has no such strategy. */
static bool set_f16(product_fixture *f, const char *names)
{
    vkft_test_environment("VKFT_STRATEGY", names);
    product_set_operands(f, VKFT_F16);
    if (vkft_gemm_of(f->dev)->usable[VKFT_STORAGE_nf4][1][0][0]->rounds)
        return true;
    unset_f16(f);
    print_message("left out: %s: this device, or this build, cannot\n", names);
    return false;
}

/* Rows of the largest tile. */
static uint32_t f16_tile(const vkft_gemm *gemm)
{
    return gemm->coop ? gemm->coop->sizes[VKFT_COOP_LARGE].bm : gemm->tiles.half[0].rows * gemm->tiles.half[0].lanes_m;
}

/* On lavapipe a pipeline takes a second to compile, so only two types are multiplied in all ways. */
static void f16_products(product_fixture *f)
{
    static const product_trial trials[] = {
        {.M = 70, .out = 24, .in = 136, .scale = 1, .pad_x = 1, .pad_y = 3},
        {.M = 33, .out = 65, .in = 129, .scale = 0.25f, .R = ANOTHER},
        {.M = 33, .out = 40, .in = 64, .scale = 1, .exact = true},
        {.M = 150, .out = 136, .in = 136, .scale = 0.5f, .R = ITSELF}, /* large tiles */
        {.M = 9, .out = 16, .in = 2048, .scale = 1.5f, .R = ANOTHER},  /* K in slices */
        {.M = 9, .out = 1032, .in = 16, .scale = 1.5f, .R = ITSELF},   /* the same of NN */
    };
    for (vkft_storage storage = 0; (storage = vkft_test_next_type(storage, 1, 5)) < VKFT_STORAGE_COUNT; storage++) {
        bool all = storage == VKFT_STORAGE_f32 || storage == VKFT_STORAGE_nf4_dq;
        if (all)
            test_product_type(f, storage);
        for (size_t i = 0; i < (all ? sizeof trials / sizeof *trials : 3); i++) {
            product_trial t = trials[i];
            vkft_reference_weight w = vkft_reference_weight_new(storage, t.out, t.in, i + 50);
            for (int transposed = 0; transposed < 2; transposed++) {
                t.transposed = transposed;
                t.scratch_bytes = vkft_product_scratch_bytes(t.out, t.in);
                assert_int_equal(product_is_in_f16(f, &w, &t), !t.exact);
                product_run(f, &w, &t);
                /* rows in parts */
                uint32_t K = transposed ? t.in : t.out, rows = f16_tile(vkft_gemm_of(f->dev));
                t.scratch_bytes = 512 + (uint64_t)rows * (4 + (K + 31) / 32 * 64);
                assert_int_equal(product_is_in_f16(f, &w, &t), !t.exact);
                product_run(f, &w, &t);
            }
            vkft_reference_weight_free(&w);
        }
    }
}

/* The blocks that GPUs have, by half, whose invocations lavapipe is slow to compile: each one way. */
static void test_half_blocks(void **state)
{
    static const product_trial trials[] = {
        {.M = 150, .out = 136, .in = 264, .scale = 0.5f, .R = ITSELF},
        {.M = 150, .out = 136, .in = 264, .scale = 1, .transposed = true},
        {.M = 133, .out = 79, .in = 45, .scale = -1, .R = ANOTHER, .pad_x = 1, .pad_y = 3}, /* not aligned */
    };
    product_fixture *f = *state;
    if (!set_f16(f, "half,panel,direct"))
        skip();
    vkft_gemm *gemm = vkft_device_attached(f->dev);
    vkft_caps caps = *gemm->caps;
    caps.software = false;
    memcpy(gemm->tiles.half, vkft_tiles_of(&caps).half, sizeof gemm->tiles.half);
    vkft_gemm_half.prepare(f->dev, gemm);
    for (uint32_t i = 0; i < 3; i++) {
        product_trial t = trials[i];
        t.scratch_bytes = vkft_product_scratch_bytes(t.out, t.in);
        vkft_reference_weight w = vkft_reference_weight_new(VKFT_STORAGE_nf4_dq, t.out, t.in, i + 1);
        gemm->variant = 1 + i % VKFT_HALF_BLOCKS;
        product_run(f, &w, &t);
        vkft_reference_weight_free(&w);
    }
    unset_f16(f);
}

/* Rows of any magnitude keep f16's precision, and what is not finite reaches the result. */
static void f16_range(product_fixture *f)
{
    enum { M = 12, N = 8, K = 40 };
    static const float largest[M] = {1,        0x1.fffffep127f, 0x1p-126f, 1e30f,     1e-30f, 0,
                                     INFINITY, -INFINITY,       NAN,       0x1p-149f, 65504,  3e-5f};
    vkft_err err = {0};
    float x[M * K], w[N * K], y[M * N];
    double exact[M * N], size[M * N], values[N * K];
    vkft_reference_random(1, M * K, x);
    vkft_reference_random(2, N * K, w);
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t k = 0; k < K; k++)
            x[m * K + k] = k == 7                 ? largest[m]
                           : isfinite(largest[m]) ? x[m * K + k] * largest[m] * 0.001f
                                                  : x[m * K + k];
    for (uint32_t i = 0; i < N * K; i++) {
        w[i] = w[i] / 64 + (i % 2 ? 0.5f : -0.5f);
        values[i] = (double)vkft_f16_to_f32(vkft_f32_to_f16(w[i]));
    }
    double *rounded = vkft_reference_rows_f16(M, K, K, x);
    vkft_reference_nt(M, N, K, rounded, values, exact, size);
    vkft_weight weight = {
        .storage = VKFT_STORAGE_f32, .rows = N, .cols = K, .part = {product_place(f, w, sizeof w)->address}};
    uint64_t scratch_bytes = vkft_product_scratch_bytes(N, K);
    vkft_guarded *X = product_place(f, x, sizeof x), *Y = product_place(f, NULL, sizeof y),
                 *scratch = product_place(f, NULL, scratch_bytes);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    vkft_matmul_ctx ctx = {f->dev, cmds, scratch->address, scratch_bytes};
    vkft_multiply(&ctx, &(vkft_product){
                            .w = &weight, .transposed = true, .M = M, .X = X->address, .Y = Y->address, .scale = 1.0f});
    expect_ok(vkft_commands_run(cmds, &err));
    product_take(f, Y, y);
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t n = 0; n < N; n++) {
            double want = exact[m * N + n], got = (double)y[m * N + n];
            double bound = (K + 3) * 0x1p-24 * size[m * N + n] + 0x1p-125; /* subnormal f32 may be flushed */
            if (isfinite(largest[m]) ? !(fabs(got - want) <= bound) : isnan(largest[m]) ? !isnan(got) : got != want)
                fail_msg("row %u (%g) column %u: got %.9g, expected %.9g", m, (double)largest[m], n, got, want);
        }
    vkft_commands_free(cmds);
    product_release(f);
    free(rounded);
}

static void test_in_f16(void **state)
{
    for (size_t i = 0; i < sizeof in_f16 / sizeof *in_f16; i++)
        if (set_f16(*state, in_f16[i])) {
            f16_products(*state);
            f16_range(*state);
            unset_f16(*state);
        }
}

/* x times the NF4 code of 1 is x rounded as the host rounds it: ties, a carry into the exponent, overflow, what is not
 * a number. */
static void rounds_exactly(product_fixture *f, const float *x, uint32_t M)
{
    vkft_err err = {0};
    const uint8_t codes = 0xf0;
    const float one = 1;
    float y[16];
    vkft_weight w = {
        .storage = VKFT_STORAGE_nf4,
        .rows = 1,
        .cols = 1,
        .part = {product_place(f, &codes, sizeof codes)->address, product_place(f, &one, sizeof one)->address}};
    uint64_t scratch_bytes = vkft_product_scratch_bytes(1, 1);
    vkft_guarded *X = product_place(f, x, M * sizeof *x), *Y = product_place(f, NULL, M * sizeof *y),
                 *scratch = product_place(f, NULL, scratch_bytes);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    vkft_matmul_ctx ctx = {f->dev, cmds, scratch->address, scratch_bytes};
    vkft_multiply(
        &ctx, &(vkft_product){.w = &w, .transposed = true, .M = M, .X = X->address, .Y = Y->address, .scale = 1.0f});
    expect_ok(vkft_commands_run(cmds, &err));
    product_take(f, Y, y);
    for (uint32_t m = 0; m < M; m++) {
        float want = vkft_bf16_to_f32(vkft_f32_to_bf16(x[m]));
        if (!(y[m] == want || (isnan(y[m]) && isnan(want))))
            fail_msg("%a rounds to %a, expected %a", (double)x[m], (double)y[m], (double)want);
    }
    vkft_commands_free(cmds);
    product_release(f);
}

static void test_rounds_exactly(void **state)
{
    static const float x[] = {0,
                              0x1.01p0f,
                              -0x1.03p0f,
                              0x1.00fffep0f,
                              0x1.010002p0f,
                              0x1.ffp5f,
                              -0x1.fefffep-3f,
                              0x1.fffffep127f,
                              -0x1.fep127f,
                              0x1.ffp127f,
                              INFINITY,
                              -INFINITY,
                              NAN,
                              1.0f / 3,
                              0x1p-126f,
                              -1e-30f};
    product_set_operands(*state, VKFT_BF16);
    rounds_exactly(*state, x, 8);
    rounds_exactly(*state, x + 8, 8);
    rounds_exactly(*state, x, 16); /* by a panel */
    product_set_operands(*state, VKFT_F32);
}

/* Every strategy, forced for all products, computes the same sums; one that does not exist, or has no scratch memory,
 * is an error. */
static void test_strategies(void **state)
{
    static const product_trial trials[] = {
        {.M = 1, .out = 31, .in = 333, .scale = 1, .R = ANOTHER},
        {.M = 5, .out = 9, .in = 129, .scale = -2, .R = ITSELF, .pad_y = 2},
        {.M = 33, .out = 65, .in = 129, .scale = 0.25f, .R = ANOTHER, .pad_x = 5, .pad_y = 3, .r = 37},
        {.M = 17, .out = 300, .in = 2100, .scale = 1.5f},
        {.M = 33, .out = 72, .in = 136, .scale = 0.25f, .R = ANOTHER, .pad_x = 4, .pad_y = 1}, /* aligned */
        {.M = 70, .out = 16, .in = 2056, .scale = 1.5f, .R = ITSELF},
    };
    static const char *const names[] = {"panel", "direct", "tile,direct", "row,direct", "panel64,panel"};
    product_fixture *f = *state;
    vkft_err err = {0};
    for (size_t s = 0; s < sizeof names / sizeof *names; s++) {
        vkft_test_environment("VKFT_STRATEGY", names[s]);
        expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
        for (vkft_storage type = 0; (type = vkft_test_next_type(type, (uint32_t)s, 10)) < VKFT_STORAGE_COUNT; type++)
            for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
                const char *used = vkft_gemm_of(f->dev)->usable[type][1][0][0]->name;
                assert_memory_equal(used, names[s], strlen(used));
                product_run_both_ways(f, type, trials[i], i + 1);
            }
    }
    vkft_test_environment("VKFT_STRATEGY", "panel");
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    const vkft_matmul_ctx ctx = {.dev = f->dev, .cmds = cmds};
    const vkft_weight w = {.storage = VKFT_STORAGE_nf4, .rows = 100, .cols = 64};
    vkft_multiply(&ctx, &(vkft_product){.w = &w, .M = 700, .scale = 1});
    expect_failure(vkft_commands_run(cmds, &err), "a product with nf4 weights has no scratch memory");
    vkft_commands_free(cmds);
    vkft_test_environment("VKFT_STRATEGY", "pannel");
    expect_failure(vkft_gemm_setup(f->dev, VKFT_F32, &err), "VKFT_STRATEGY=pannel: there is no such strategy");
    vkft_test_environment("VKFT_STRATEGY", "panel,,direct");
    expect_failure(vkft_gemm_setup(f->dev, VKFT_F32, &err), "VKFT_STRATEGY=panel,,direct: there is no such strategy");
    /* In the order of the names, each once. */
    vkft_test_environment("VKFT_STRATEGY", "direct,panel,direct");
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
    const vkft_strategy *const *usable = vkft_gemm_of(f->dev)->usable[VKFT_STORAGE_nf4][1][0];
    assert_ptr_equal(usable[0], &vkft_gemm_direct);
    assert_ptr_equal(usable[1], &vkft_gemm_panel);
    assert_null(usable[2]);
    vkft_test_environment("VKFT_STRATEGY", NULL);
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
}

/* The first M rows of the identity times W are the first M rows of decoded weights, to the last bit. */
static void decodes_exactly(product_fixture *f, const vkft_reference_weight *w, uint32_t M)
{
    vkft_err err = {0};
    uint32_t rows = w->rows, cols = w->cols;
    float *identity = calloc((size_t)M * rows, sizeof *identity), *y = malloc((size_t)M * cols * sizeof *y);
    for (uint32_t m = 0; m < M; m++)
        identity[(size_t)m * rows + m] = 1;
    vkft_weight weight = product_place_weight(f, w);
    uint64_t scratch_bytes = vkft_product_scratch_bytes(rows, cols);
    vkft_guarded *X = product_place(f, identity, (size_t)M * rows * sizeof *identity),
                 *Y = product_place(f, NULL, (size_t)M * cols * sizeof *y);
    vkft_guarded *scratch = product_place(f, NULL, scratch_bytes);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    vkft_matmul_ctx ctx = {f->dev, cmds, scratch->address, scratch_bytes};
    vkft_multiply(&ctx, &(vkft_product){.w = &weight, .M = M, .X = X->address, .Y = Y->address, .scale = 1.0f});
    expect_ok(vkft_commands_run(cmds, &err));
    product_take(f, Y, y);
    for (size_t e = 0; e < (size_t)M * cols; e++)
        assert_true(y[e] == w->value[e]);
    vkft_commands_free(cmds);
    product_release(f);
    free(identity);
    free(y);
}

static void test_decodes_exactly(void **state)
{
    for (vkft_storage type = 0; (type = vkft_test_next_type(type, 0, 5)) < VKFT_STORAGE_COUNT; type++)
        for (uint32_t cols = 333; cols <= 336; cols += 3) {
            vkft_reference_weight w = vkft_reference_weight_new(type, 64, cols, 99);
            decodes_exactly(*state, &w, 8);  /* few rows */
            decodes_exactly(*state, &w, 64); /* by a panel */
            vkft_reference_weight_free(&w);
        }
}

/* Every entry of the 8-bit map as a block's scale. */
static void test_every_scale(void **state)
{
    vkft_reference_weight w = vkft_reference_weight_new(VKFT_STORAGE_nf4_dq, 256, 64, 5);
    for (uint32_t i = 0; i < 256; i++)
        ((uint8_t *)w.part[VKFT_PART_SCALES])[i] = (uint8_t)i;
    vkft_reference_weight_decode(&w);
    decodes_exactly(*state, &w, 256);
    vkft_reference_weight_free(&w);
}

/* dR of L = sum C * (X W^T) by differences of the double forward, which is linear: the step only has to be
 * representable. */
static double difference(uint32_t M, uint32_t N, uint32_t K, double *X, double *W, const double *C, double *at)
{
    const double h = 0.5;
    double *Y = malloc((size_t)M * N * sizeof *Y), loss[2], kept = *at;
    for (int side = 0; side < 2; side++) {
        *at = kept + (side ? h : -h);
        vkft_reference_nt(M, N, K, X, W, Y, NULL);
        loss[side] = 0;
        for (size_t i = 0; i < (size_t)M * N; i++)
            loss[side] += C[i] * Y[i];
    }
    *at = kept;
    free(Y);
    return (loss[1] - loss[0]) / (2 * h);
}

/* Backward of the linear layer: dX = C W by NN, dW = C^T X by TN. */
static void linear_backward(product_fixture *f, uint32_t M, uint32_t N, uint32_t K, uint64_t scratch_bytes,
                            product_sum add)
{
    vkft_err err = {0};
    size_t nx = (size_t)M * K, nw = (size_t)N * K, nc = (size_t)M * N;
    float *x = malloc(nx * sizeof *x), *w = malloc(nw * sizeof *w), *c = malloc(nc * sizeof *c),
          *dx = malloc(nx * sizeof *dx), *dw = malloc(nw * sizeof *dw), *before = malloc(nw * sizeof *before);
    vkft_reference_random(1, nx, x);
    vkft_reference_random(2, nw, w);
    vkft_reference_random(3, nc, c);
    vkft_reference_random(4, nw, before);
    vkft_guarded *X = product_place(f, x, nx * sizeof *x), *W = product_place(f, w, nw * sizeof *w),
                 *C = product_place(f, c, nc * sizeof *c);
    vkft_guarded *dX = product_place(f, NULL, nx * sizeof *x),
                 *dW = product_place(f, add == ITSELF ? before : NULL, nw * sizeof *w);
    vkft_guarded *scratch = product_place(f, NULL, scratch_bytes);
    vkft_weight weight = {.storage = VKFT_STORAGE_f32, .rows = N, .cols = K, .part = {W->address}};
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    vkft_matmul_ctx ctx = {f->dev, cmds, scratch->address, scratch_bytes};
    vkft_multiply(&ctx, &(vkft_product){.w = &weight, .M = M, .X = C->address, .Y = dX->address, .scale = 1.0f});
    vkft_multiply_outer(&ctx, &(vkft_outer_product){.M = N,
                                                    .N = K,
                                                    .K = M,
                                                    .X = C->address,
                                                    .Z = X->address,
                                                    .R = add == ITSELF ? dW->address : 0,
                                                    .Y = dW->address,
                                                    .scale = 0.5f});
    expect_ok(vkft_commands_run(cmds, &err));
    product_take(f, dX, dx);
    product_take(f, dW, dw);

    double *Xd = vkft_reference_operands(VKFT_F32, x, nx), *Wd = vkft_reference_operands(VKFT_F32, w, nw),
           *Cd = vkft_reference_operands(VKFT_F32, c, nc);
    const double u = ldexp(1.0, -24);
    for (uint32_t i = 0; i < 40; i++) {
        size_t ix = (size_t)i * 7919 % nx, iw = (size_t)i * 7919 % nw;
        /* |x|, |w|, |c| <= 1, so a sum of N or M terms has magnitude at most N or M */
        assert_true(fabs((double)dx[ix] - difference(M, N, K, Xd, Wd, Cd, &Xd[ix])) <= (N + 3.0) * u * N);
        double expected = 0.5 * difference(M, N, K, Xd, Wd, Cd, &Wd[iw]) + (add == ITSELF ? (double)before[iw] : 0);
        assert_true(fabs((double)dw[iw] - expected) <= (M + 3.0) * u * (M + 1.0));
    }
    /* the same bits again */
    float *again = malloc(nw * sizeof *again);
    if (add == ITSELF)
        expect_ok(vkft_buffer_write(f->dev, &dW->buffer, dW->address - dW->buffer.address, before, nw * sizeof *before,
                                    &err));
    expect_ok(vkft_commands_run(cmds, &err));
    product_take(f, dW, again);
    assert_memory_equal(again, dw, nw * sizeof *dw);

    vkft_commands_free(cmds);
    product_release(f);
    free(x), free(w), free(c), free(dx), free(dw), free(before), free(Xd), free(Wd), free(Cd), free(again);
}

static void test_linear_backward(void **state)
{
    static const uint32_t shapes[][3] = {/* M, N, K */ {1, 1, 1}, {31, 16, 33}, {333, 4, 31},
                                         {1030, 8, 17},           {259, 33, 8}, {40, 20, 64}};
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const uint32_t *s = shapes[i];
        linear_backward(*state, s[0], s[1], s[2], 0, NOTHING);
        linear_backward(*state, s[0], s[1], s[2], 1 << 20, NOTHING);
        linear_backward(*state, s[0], s[1], s[2], 1 << 20, ITSELF);
    }
}

/* X of the transposed product may be wider than M: a row stride. */
static void test_transposed_stride(void **state)
{
    product_fixture *f = *state;
    vkft_err err = {0};
    enum { M = 5, N = 40, K = 77, LDX = 9 };
    float x[K * LDX], z[K * N], y[M * N];
    double xd[K * M], zd[K * N], exact[M * N], size[M * N];
    vkft_reference_random(11, K * LDX, x);
    vkft_reference_random(12, K * N, z);
    for (uint32_t k = 0; k < K; k++)
        for (uint32_t m = 0; m < M; m++)
            xd[k * M + m] = (double)x[k * LDX + m];
    for (uint32_t i = 0; i < K * N; i++)
        zd[i] = (double)z[i];
    vkft_reference_tn(M, N, K, xd, zd, exact, size);
    vkft_guarded *X = product_place(f, x, sizeof x), *Z = product_place(f, z, sizeof z),
                 *Y = product_place(f, NULL, sizeof y);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    vkft_matmul_ctx ctx = {.dev = f->dev, .cmds = cmds};
    vkft_multiply_outer(
        &ctx,
        &(vkft_outer_product){
            .M = M, .N = N, .K = K, .X = X->address, .Z = Z->address, .Y = Y->address, .ldx = LDX, .scale = 1.0f});
    expect_ok(vkft_commands_run(cmds, &err));
    product_take(f, Y, y);
    for (uint32_t i = 0; i < M * N; i++)
        assert_true(fabs((double)y[i] - exact[i]) <= (K + 3.0) * ldexp(1.0, -24) * size[i]);
    vkft_commands_free(cmds);
    product_release(f);
}

/* The blocks of strategy tile that GPUs have, each alone. This device's subgroups product_take the product_place of
 * those that they ask for. */
static void test_blocks(void **state)
{
    static const struct {
        uint32_t vendor_id, subgroup;
    } chips[] = {{0x1002, 64}, {0x8086, 8}, {0x5143, 64}};
    static const product_trial trials[] = {
        {.M = 150, .out = 136, .in = 264, .scale = 0.5f, .R = ITSELF},
        {.M = 133, .out = 79, .in = 45, .scale = -1, .R = ANOTHER, .pad_x = 1, .pad_y = 3},
        {.M = 40, .out = 16, .in = 1032, .scale = 1}, /* in slices */
    };
    product_fixture *f = *state;
    vkft_err err = {0};
    vkft_test_environment("VKFT_STRATEGY", "tile,direct");
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
    vkft_gemm *gemm = vkft_device_attached(f->dev);
    for (size_t c = 0; c < sizeof chips / sizeof *chips; c++) {
        vkft_caps caps = *gemm->caps;
        caps.software = false;
        caps.vendor_id = chips[c].vendor_id;
        caps.subgroup_size = caps.subgroup_min = chips[c].subgroup;
        caps.subgroup_max = 64;
        caps.subgroup_size_choice = true;
        caps.set |= VKFT_CAP_SUBGROUP_CONTROL;
        caps.workgroup_subgroups = 64;
        const vkft_tiles tiles = vkft_tiles_of(&caps);
        for (uint32_t block = 0; block < tiles.block_count; block++) {
            vkft_block b = tiles.blocks[block];
            if (b.subgroup && vkft_caps_subgroup_size(gemm->caps, b.lanes_m * b.lanes_n, gemm->caps->subgroup_size))
                b.subgroup = gemm->caps->subgroup_size;
            else
                b.subgroup = 0;
            gemm->tiles.blocks[0] = b;
            gemm->tiles.block_count = 1;
            vkft_gemm_tile.prepare(f->dev, gemm);
            vkft_outer_prepare(f->dev, gemm);
            linear_backward(f, 70, 136, 20, 1 << 20, ITSELF);
            linear_backward(f, 70, 131, 19, 0, NOTHING);
            for (size_t i = 0; i < (block ? 1 : sizeof trials / sizeof *trials); i++)
                product_run_both_ways(f, i % 2 ? VKFT_STORAGE_f32 : VKFT_STORAGE_nf4_dq, trials[i], i + 1);
        }
    }
    vkft_test_environment("VKFT_STRATEGY", NULL);
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
}

/* Gradients of matrices in blocks. */
static void test_outer_blocks(void **state)
{
    product_fixture *f = *state;
    vkft_err err = {0};
    vkft_test_environment("VKFT_STRATEGY", "tile,direct");
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
    assert_true(vkft_gemm_of(f->dev)->outer_blocks);
    test_linear_backward(state);
    test_transposed_stride(state);
    vkft_test_environment("VKFT_STRATEGY", NULL);
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
}

/* Planning records nothing and needs no device; scratch is bounded and fits one column tile at least. */
static void test_planning(void **state)
{
    (void)state;
    vkft_matmul_ctx ctx = {0};
    vkft_weight w = {.storage = VKFT_STORAGE_nf4, .rows = 100, .cols = 64};
    vkft_multiply(&ctx, &(vkft_product){.w = &w, .transposed = true, .M = 7, .scale = 1});
    vkft_multiply(&ctx, &(vkft_product){.w = &w, .M = 700, .scale = 1});
    vkft_multiply_outer(&ctx, &(vkft_outer_product){.M = 16, .N = 64, .K = 700, .scale = 1});
    assert_true(vkft_product_scratch_bytes(128256, 8192) <= 64u << 20);
    assert_true(vkft_product_scratch_bytes(1, 1) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planning),        cmocka_unit_test(test_types),
        cmocka_unit_test(test_decodes_exactly), cmocka_unit_test(test_bf16_operands),
        cmocka_unit_test(test_rounds_exactly),  cmocka_unit_test(test_every_scale),
        cmocka_unit_test(test_linear_backward), cmocka_unit_test(test_transposed_stride),
        cmocka_unit_test(test_strategies),      cmocka_unit_test(test_in_f16),
        cmocka_unit_test(test_half_blocks),     cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_outer_blocks),
    };
    return cmocka_run_group_tests_name("matmul", tests, product_setup, product_teardown);
}
