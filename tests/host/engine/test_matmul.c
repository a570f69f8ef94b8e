/* Matrix products on the device against double precision: all storage types, all ways to multiply, odd shapes, strides
 * and sums.
 *
 * Tolerance: an f32 sum of K products in any order, with or without fused multiply-add, differs from the exact one by
 * at most (K + 1) u sum|x w| (1 + O(Ku)), u = 2^-24; scale and R add two roundings of results no larger than that sum
 * and |R|. Where matrix cores multiply, the exact sum is that of operands rounded to f16 once, which have products of
 * at most 22 bits, so the same holds; a row's power of two is exact.
 *
 * Every buffer lies between canaries and results start as NaN, because nothing checks bounds of device addresses.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/engine/matmul/gemm.h"
#include "runtime/memory.h"
#include "tests/support/expect.h"
#include "host/doctor/reference/matmul.h"
#include "tests/support/gguf/sampled_type.h"
#include "tests/support/system/system.h"

#define CANARY 0x7fc0beefu /* a NaN: reading it spoils a result, and a write over it shows */
#define CANARY_BYTES 256u
#define MAX_BUFFERS 16

typedef struct guarded {
    vkft_buffer buffer;
    uint64_t address; /* of the data, after the first canary */
    size_t bytes;
} guarded;

typedef struct fixture {
    vkft_device *dev;
    guarded buffers[MAX_BUFFERS];
    uint32_t count;
    vkft_dtype operands; /* of products with quantized weights */
} fixture;

static void check(bool ok, const vkft_err *err)
{
    if (!ok)
        fail_msg("%s", err->message);
}

static int open_device(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    vkft_err err = {0};
    f->dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    if (!f->dev) {
        print_error("%s\n", err.message);
        return 1;
    }
    *state = f;
    return !vkft_gemm_setup(f->dev, f->operands, &err);
}

static int close_device(void **state)
{
    fixture *f = *state;
    vkft_device_close(f->dev);
    free(f);
    return 0;
}

/* A buffer of canaries with data (or more canary) of this size in the middle. The data begins 4-aligned, not more. */
static guarded *place(fixture *f, const void *data, size_t bytes)
{
    vkft_err err = {0};
    assert_true(f->count < MAX_BUFFERS);
    guarded *g = &f->buffers[f->count++];
    size_t whole = (bytes + 3) / 4 * 4 + 2 * CANARY_BYTES;
    check(vkft_buffer_new(f->dev, whole, VKFT_MEMORY_DEVICE, "test", &g->buffer, &err), &err);
    check(vkft_buffer_fill(f->dev, &g->buffer, 0, whole, CANARY, &err), &err);
    if (data && bytes)
        check(vkft_buffer_write(f->dev, &g->buffer, CANARY_BYTES, data, bytes, &err), &err);
    g->address = g->buffer.address + CANARY_BYTES;
    g->bytes = bytes;
    return g;
}

static void take(fixture *f, const guarded *g, void *data)
{
    vkft_err err = {0};
    check(vkft_buffer_read(f->dev, &g->buffer, CANARY_BYTES, data, g->bytes, &err), &err);
}

static void release_all(fixture *f)
{
    vkft_err err = {0};
    for (uint32_t i = 0; i < f->count; i++) {
        guarded *g = &f->buffers[i];
        uint32_t before[CANARY_BYTES / 4], after[CANARY_BYTES / 4];
        check(vkft_buffer_read(f->dev, &g->buffer, 0, before, sizeof before, &err), &err);
        check(vkft_buffer_read(f->dev, &g->buffer, CANARY_BYTES + (g->bytes + 3) / 4 * 4, after, sizeof after, &err),
              &err);
        for (uint32_t c = 0; c < CANARY_BYTES / 4; c++) {
            assert_int_equal(before[c], CANARY);
            assert_int_equal(after[c], CANARY);
        }
        vkft_buffer_free(f->dev, &g->buffer);
    }
    f->count = 0;
}

typedef enum sum_with { NOTHING, ANOTHER, ITSELF } sum_with; /* what R is */

typedef struct trial {
    uint32_t M, out, in;   /* W is [out, in] */
    bool transposed;       /* NT: X [M,in], Y [M,out]; else NN: X [M,out], Y [M,in] */
    uint32_t pad_x, pad_y; /* row strides beyond the columns */
    sum_with R;
    float scale;
    uint64_t scratch_bytes;
    bool exact;
    uint32_t r; /* of a branch, which is added at BRANCH times its product */
} trial;

#define BRANCH -0.75f

static vkft_weight place_weight(fixture *f, const vkft_reference_weight *w)
{
    vkft_weight weight = {.storage = w->storage, .rows = w->rows, .cols = w->cols, .offset = w->offset};
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        if (w->part[part])
            weight.part[part] = place(f, w->part[part], w->bytes[part])->address;
    return weight;
}

static void record_product(const vkft_matmul_ctx *ctx, const trial *t, const vkft_weight *w, uint64_t X, uint64_t R,
                           uint64_t Y, vkft_branch branch)
{
    uint32_t K = t->transposed ? t->in : t->out, N = t->transposed ? t->out : t->in;
    vkft_multiply(ctx, &(vkft_product){.w = w,
                                       .transposed = t->transposed,
                                       .M = t->M,
                                       .X = X,
                                       .R = R,
                                       .Y = Y,
                                       .ldx = K + t->pad_x,
                                       .ldy = N + t->pad_y,
                                       .scale = t->scale,
                                       .branch = branch,
                                       .exact = t->exact});
}

/* Adds a branch to the exact product and its size, which t->scale multiplies. In f16 Z and V are rounded at powers of
 * two: of X's row and 2^-8, and of the branch and 2^8. */
static void add_branch(const trial *t, bool in_f16, uint32_t N, uint32_t K, uint32_t ldx, const float *x,
                       const float *z, const float *v, double *exact, double *size)
{
    const float factor = BRANCH / t->scale;
    for (uint32_t m = 0; m < t->M; m++) {
        double largest = 0;
        for (uint32_t k = 0; k < K; k++)
            largest = fmax(largest, fabs((double)x[(size_t)m * ldx + k]));
        const int exponent = 14 - ilogb(largest) - 8;
        for (uint32_t n = 0; n < N; n++)
            for (uint32_t k = 0; k < t->r; k++) {
                float a = z[(size_t)m * t->r + k], b = v[t->transposed ? (size_t)n * t->r + k : (size_t)k * N + n];
                double term = (double)a * (double)b * (double)BRANCH / (double)t->scale;
                if (in_f16) {
                    uint16_t half_a = vkft_f32_to_f16((float)ldexp((double)a, exponent)),
                             half_b = vkft_f32_to_f16(256 * factor * b);
                    term = ldexp((double)vkft_f16_to_f32(half_a) * (double)vkft_f16_to_f32(half_b), -exponent - 8);
                }
                exact[(size_t)m * N + n] += term;
                size[(size_t)m * N + n] += fabs(term);
            }
    }
}

/* Compares Y, rows of stride ldy, with R + scale * exact; the padding must be untouched canary. */
static void compare(const trial *t, uint32_t N, uint32_t K, const float *Y, const float *R, const double *exact,
                    const double *size)
{
    const double u = ldexp(1.0, -24);
    uint32_t ldy = N + t->pad_y;
    for (uint32_t m = 0; m < t->M; m++)
        for (uint32_t n = 0; n < ldy; n++) {
            size_t at = (size_t)m * ldy + n;
            if (n >= N) {
                uint32_t bits;
                memcpy(&bits, &Y[at], sizeof bits);
                if (t->R != ITSELF)
                    assert_int_equal(bits, CANARY);
                continue;
            }
            double r = R ? (double)R[at] : 0, expected = r + (double)t->scale * exact[(size_t)m * N + n];
            double bound =
                (K + t->r + 3.0 + (t->r > 0)) * u * (fabs((double)t->scale) * size[(size_t)m * N + n] + fabs(r));
            if (!(fabs((double)Y[at] - expected) <= bound))
                fail_msg("M %u out %u in %u %s row %u column %u: got %.9g, expected %.9g +- %.2g", t->M, t->out, t->in,
                         t->transposed ? "NT" : "NN", m, n, (double)Y[at], expected, bound);
        }
}

/* Whether this product is computed in f16. */
static bool is_in_f16(const fixture *f, const vkft_reference_weight *w, const trial *t)
{
    const vkft_gemm *gemm = vkft_gemm_of(f->dev);
    const vkft_weight weight = {.storage = w->storage, .rows = w->rows, .cols = w->cols};
    const vkft_matmul_ctx ctx = {.scratch_bytes = t->scratch_bytes};
    const vkft_product p = {.w = &weight, .transposed = t->transposed, .M = t->M, .exact = t->exact};
    const vkft_strategy *first = gemm->usable[w->storage][t->transposed][0][0];
    return first->rounds && first->suits(gemm, &ctx, &p);
}

static void run_trial(fixture *f, const vkft_reference_weight *w, const trial *t)
{
    vkft_err err = {0};
    uint32_t K = t->transposed ? t->in : t->out, N = t->transposed ? t->out : t->in;
    uint32_t ldx = K + t->pad_x, ldy = N + t->pad_y;
    size_t nx = (size_t)t->M * ldx, ny = (size_t)t->M * ldy;
    float *x = malloc(nx * sizeof *x), *r = malloc(ny * sizeof *r), *y = malloc(ny * sizeof *y),
          *again = malloc(ny * sizeof *y);
    vkft_reference_random(7, nx, x);
    vkft_reference_random(8, ny, r);
    vkft_dtype operands = is_in_f16(f, w, t)                                                  ? VKFT_F16
                          : vkft_storage_is_quantized(w->storage) && f->operands == VKFT_BF16 ? VKFT_BF16
                                                                                              : VKFT_F32;
    double *wide = operands == VKFT_F16 ? vkft_reference_rows_f16(t->M, K, ldx, x)
                                        : vkft_reference_operands(operands, x, nx),
           *values = vkft_reference_operands(operands, w->value, (size_t)w->rows * w->cols);
    double *packed = malloc((size_t)t->M * K * sizeof *packed);
    for (uint32_t m = 0; m < t->M; m++)
        for (uint32_t k = 0; k < ldx; k++) {
            if (k < K)
                packed[(size_t)m * K + k] = wide[(size_t)m * ldx + k];
            else
                x[(size_t)m * ldx + k] = NAN; /* between the rows there may be anything */
        }
    double *exact = malloc((size_t)t->M * N * sizeof *exact), *size = malloc((size_t)t->M * N * sizeof *size);
    (t->transposed ? vkft_reference_nt : vkft_reference_nn)(t->M, N, K, packed, values, exact, size);

    const vkft_gemm *gemm = vkft_gemm_of(f->dev);
    const vkft_strategy *first = gemm->usable[w->storage][t->transposed][0][0];
    float *z = malloc(((size_t)t->M * t->r + 1) * sizeof *z), *v = malloc(((size_t)N * t->r + 1) * sizeof *v);
    vkft_reference_random(9, (size_t)t->M * t->r, z);
    vkft_reference_random(10, (size_t)N * t->r, v);
    add_branch(t, operands == VKFT_F16 && first->adds_branch && first->adds_branch(gemm), N, K, ldx, x, z, v, exact,
               size);

    vkft_weight weight = place_weight(f, w);
    vkft_branch branch = {.r = t->r, .scale = BRANCH};
    if (t->r) {
        branch.Z = place(f, z, (size_t)t->M * t->r * sizeof *z)->address;
        branch.V = place(f, v, (size_t)N * t->r * sizeof *v)->address;
    }
    guarded *X = place(f, x, nx * sizeof *x), *Y = place(f, t->R == ITSELF ? r : NULL, ny * sizeof *y);
    guarded *R = t->R == ANOTHER ? place(f, r, ny * sizeof *r) : Y, *scratch = place(f, NULL, t->scratch_bytes);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    check(cmds != NULL, &err);
    vkft_matmul_ctx ctx = {.dev = f->dev, .cmds = cmds, .scratch = scratch->address, .scratch_bytes = t->scratch_bytes};
    record_product(&ctx, t, &weight, X->address, t->R == NOTHING ? 0 : R->address, Y->address, branch);
    check(vkft_commands_run(cmds, &err), &err);
    take(f, Y, y);
    compare(t, N, K, y, t->R == NOTHING ? NULL : r, exact, size);

    if (t->R == ITSELF)
        check(vkft_buffer_write(f->dev, &Y->buffer, CANARY_BYTES, r, ny * sizeof *r, &err), &err);
    check(vkft_commands_run(cmds, &err), &err);
    take(f, Y, again);
    assert_memory_equal(y, again, ny * sizeof *y);

    vkft_commands_free(cmds);
    release_all(f);
    free(x), free(r), free(y), free(again), free(wide), free(packed), free(values), free(exact), free(size), free(z),
        free(v);
}

/* A trial both ways, with a weight of its own and all the scratch that it wants. */
static void run_both_ways(fixture *f, vkft_storage storage, trial t, uint64_t seed)
{
    vkft_reference_weight w = vkft_reference_weight_new(storage, t.out, t.in, seed);
    t.scratch_bytes = vkft_product_scratch_bytes(t.out, t.in);
    for (int transposed = 0; transposed < 2; transposed++) {
        t.transposed = transposed;
        run_trial(f, &w, &t);
    }
    vkft_reference_weight_free(&w);
}

static void test_product_type(fixture *f, vkft_storage storage)
{
    static const trial trials[] = {
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
        {.M = 17, .out = 300, .in = 2100, .scale = 1.5f, .R = ANOTHER, .pad_x = 4, .r = 70}, /* several panels along K
                                                                                              */
        {.M = 17, .out = 2061, .in = 43, .scale = 1, .R = ITSELF},
    };
    for (uint32_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        trial t = trials[i];
        vkft_reference_weight w = vkft_reference_weight_new(storage, t.out, t.in, i + 1);
        uint64_t scratch = vkft_product_scratch_bytes(t.out, t.in);
        for (uint32_t transposed = 0; transposed < 2; transposed++) {
            t.transposed = transposed;
            t.scratch_bytes = scratch;
            run_trial(f, &w, &t);
            if (t.M <= 8)
                continue;
            uint32_t K = transposed ? t.in : t.out;
            t.scratch_bytes =
                (uint64_t)((K < 2048 ? K : 2048) + 7) / 8 * 8 * 256 * sizeof(float); /* panels of one tile or few */
            run_trial(f, &w, &t);
            t.scratch_bytes = 0; /* no panel at all */
            run_trial(f, &w, &t);
        }
        vkft_reference_weight_free(&w);
    }
}

static void test_types(void **state)
{
    for (vkft_storage type = 0; (type = vkft_test_next_type(type, 0, 5)) < VKFT_STORAGE_COUNT; type++)
        test_product_type(*state, type);
}

static void set_operands(fixture *f, vkft_dtype operands)
{
    f->operands = operands;
    vkft_err err = {0};
    check(vkft_gemm_setup(f->dev, operands, &err), &err);
}

/* Products with quantized weights round what they multiply, the others do not. */
static void test_bf16_operands(void **state)
{
    set_operands(*state, VKFT_BF16);
    test_product_type(*state, VKFT_STORAGE_nf4_dq);
    test_product_type(*state, VKFT_STORAGE_fp4);
    test_product_type(*state, VKFT_STORAGE_bf16);
    test_product_type(*state, VKFT_STORAGE_f32);
    set_operands(*state, VKFT_F32);
}

/* First in each list a strategy that rounds to f16. */
static const char *const in_f16[] = {"coop,panel,direct", "dot,panel,direct", "half,panel,direct"};

static void unset_f16(fixture *f)
{
    vkft_test_environment("VKFT_STRATEGY", NULL);
    set_operands(f, VKFT_F32);
}

/* Products in f16 by a strategy, with the tiles and variants of this device; false: it has no such strategy. */
static bool set_f16(fixture *f, const char *names)
{
    vkft_test_environment("VKFT_STRATEGY", names);
    set_operands(f, VKFT_F16);
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
static void f16_products(fixture *f)
{
    static const trial trials[] = {
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
            trial t = trials[i];
            vkft_reference_weight w = vkft_reference_weight_new(storage, t.out, t.in, i + 50);
            for (int transposed = 0; transposed < 2; transposed++) {
                t.transposed = transposed;
                t.scratch_bytes = vkft_product_scratch_bytes(t.out, t.in);
                assert_int_equal(is_in_f16(f, &w, &t), !t.exact);
                run_trial(f, &w, &t);
                /* rows in parts */
                uint32_t K = transposed ? t.in : t.out, rows = f16_tile(vkft_gemm_of(f->dev));
                t.scratch_bytes = 512 + (uint64_t)rows * (4 + (K + 31) / 32 * 64);
                assert_int_equal(is_in_f16(f, &w, &t), !t.exact);
                run_trial(f, &w, &t);
            }
            vkft_reference_weight_free(&w);
        }
    }
}

/* The blocks that GPUs have, by half, whose invocations lavapipe is slow to compile: each one way. */
static void test_half_blocks(void **state)
{
    static const trial trials[] = {
        {.M = 150, .out = 136, .in = 264, .scale = 0.5f, .R = ITSELF},
        {.M = 150, .out = 136, .in = 264, .scale = 1, .transposed = true},
        {.M = 133, .out = 79, .in = 45, .scale = -1, .R = ANOTHER, .pad_x = 1, .pad_y = 3}, /* not aligned */
    };
    fixture *f = *state;
    if (!set_f16(f, "half,panel,direct"))
        skip();
    vkft_gemm *gemm = vkft_device_attached(f->dev);
    vkft_caps caps = *gemm->caps;
    caps.software = false;
    memcpy(gemm->tiles.half, vkft_tiles_of(&caps).half, sizeof gemm->tiles.half);
    vkft_gemm_half.prepare(f->dev, gemm);
    for (uint32_t i = 0; i < 3; i++) {
        trial t = trials[i];
        t.scratch_bytes = vkft_product_scratch_bytes(t.out, t.in);
        vkft_reference_weight w = vkft_reference_weight_new(VKFT_STORAGE_nf4_dq, t.out, t.in, i + 1);
        gemm->variant = 1 + i % VKFT_HALF_BLOCKS;
        run_trial(f, &w, &t);
        vkft_reference_weight_free(&w);
    }
    unset_f16(f);
}

/* Rows of any magnitude keep f16's precision, and what is not finite reaches the result. */
static void f16_range(fixture *f)
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
    vkft_weight weight = {.storage = VKFT_STORAGE_f32, .rows = N, .cols = K, .part = {place(f, w, sizeof w)->address}};
    uint64_t scratch_bytes = vkft_product_scratch_bytes(N, K);
    guarded *X = place(f, x, sizeof x), *Y = place(f, NULL, sizeof y), *scratch = place(f, NULL, scratch_bytes);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    vkft_matmul_ctx ctx = {f->dev, cmds, scratch->address, scratch_bytes};
    vkft_multiply(&ctx, &(vkft_product){
                            .w = &weight, .transposed = true, .M = M, .X = X->address, .Y = Y->address, .scale = 1.0f});
    check(vkft_commands_run(cmds, &err), &err);
    take(f, Y, y);
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t n = 0; n < N; n++) {
            double want = exact[m * N + n], got = (double)y[m * N + n];
            double bound = (K + 3) * 0x1p-24 * size[m * N + n] + 0x1p-125; /* subnormal f32 may be flushed */
            if (isfinite(largest[m]) ? !(fabs(got - want) <= bound) : isnan(largest[m]) ? !isnan(got) : got != want)
                fail_msg("row %u (%g) column %u: got %.9g, expected %.9g", m, (double)largest[m], n, got, want);
        }
    vkft_commands_free(cmds);
    release_all(f);
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
static void rounds_exactly(fixture *f, const float *x, uint32_t M)
{
    vkft_err err = {0};
    const uint8_t codes = 0xf0;
    const float one = 1;
    float y[16];
    vkft_weight w = {.storage = VKFT_STORAGE_nf4,
                     .rows = 1,
                     .cols = 1,
                     .part = {place(f, &codes, sizeof codes)->address, place(f, &one, sizeof one)->address}};
    uint64_t scratch_bytes = vkft_product_scratch_bytes(1, 1);
    guarded *X = place(f, x, M * sizeof *x), *Y = place(f, NULL, M * sizeof *y),
            *scratch = place(f, NULL, scratch_bytes);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    vkft_matmul_ctx ctx = {f->dev, cmds, scratch->address, scratch_bytes};
    vkft_multiply(
        &ctx, &(vkft_product){.w = &w, .transposed = true, .M = M, .X = X->address, .Y = Y->address, .scale = 1.0f});
    check(vkft_commands_run(cmds, &err), &err);
    take(f, Y, y);
    for (uint32_t m = 0; m < M; m++) {
        float want = vkft_bf16_to_f32(vkft_f32_to_bf16(x[m]));
        if (!(y[m] == want || (isnan(y[m]) && isnan(want))))
            fail_msg("%a rounds to %a, expected %a", (double)x[m], (double)y[m], (double)want);
    }
    vkft_commands_free(cmds);
    release_all(f);
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
    set_operands(*state, VKFT_BF16);
    rounds_exactly(*state, x, 8);
    rounds_exactly(*state, x + 8, 8);
    rounds_exactly(*state, x, 16); /* by a panel */
    set_operands(*state, VKFT_F32);
}

/* Every strategy, forced for all products, computes the same sums; one that does not exist, or has no scratch memory,
 * is an error. */
static void test_strategies(void **state)
{
    static const trial trials[] = {
        {.M = 1, .out = 31, .in = 333, .scale = 1, .R = ANOTHER},
        {.M = 5, .out = 9, .in = 129, .scale = -2, .R = ITSELF, .pad_y = 2},
        {.M = 33, .out = 65, .in = 129, .scale = 0.25f, .R = ANOTHER, .pad_x = 5, .pad_y = 3, .r = 37},
        {.M = 17, .out = 300, .in = 2100, .scale = 1.5f},
        {.M = 33, .out = 72, .in = 136, .scale = 0.25f, .R = ANOTHER, .pad_x = 4, .pad_y = 1}, /* aligned */
        {.M = 70, .out = 16, .in = 2056, .scale = 1.5f, .R = ITSELF},
    };
    static const char *const names[] = {"panel", "direct", "tile,direct", "row,direct", "panel64,panel"};
    fixture *f = *state;
    vkft_err err = {0};
    for (size_t s = 0; s < sizeof names / sizeof *names; s++) {
        vkft_test_environment("VKFT_STRATEGY", names[s]);
        check(vkft_gemm_setup(f->dev, VKFT_F32, &err), &err);
        for (vkft_storage type = 0; (type = vkft_test_next_type(type, (uint32_t)s, 10)) < VKFT_STORAGE_COUNT; type++)
            for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
                const char *used = vkft_gemm_of(f->dev)->usable[type][1][0][0]->name;
                assert_memory_equal(used, names[s], strlen(used));
                run_both_ways(f, type, trials[i], i + 1);
            }
    }
    vkft_test_environment("VKFT_STRATEGY", "panel");
    check(vkft_gemm_setup(f->dev, VKFT_F32, &err), &err);
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
    check(vkft_gemm_setup(f->dev, VKFT_F32, &err), &err);
    const vkft_strategy *const *usable = vkft_gemm_of(f->dev)->usable[VKFT_STORAGE_nf4][1][0];
    assert_ptr_equal(usable[0], &vkft_gemm_direct);
    assert_ptr_equal(usable[1], &vkft_gemm_panel);
    assert_null(usable[2]);
    vkft_test_environment("VKFT_STRATEGY", NULL);
    check(vkft_gemm_setup(f->dev, VKFT_F32, &err), &err);
}

/* The first M rows of the identity times W are the first M rows of decoded weights, to the last bit. */
static void decodes_exactly(fixture *f, const vkft_reference_weight *w, uint32_t M)
{
    vkft_err err = {0};
    uint32_t rows = w->rows, cols = w->cols;
    float *identity = calloc((size_t)M * rows, sizeof *identity), *y = malloc((size_t)M * cols * sizeof *y);
    for (uint32_t m = 0; m < M; m++)
        identity[(size_t)m * rows + m] = 1;
    vkft_weight weight = place_weight(f, w);
    uint64_t scratch_bytes = vkft_product_scratch_bytes(rows, cols);
    guarded *X = place(f, identity, (size_t)M * rows * sizeof *identity),
            *Y = place(f, NULL, (size_t)M * cols * sizeof *y);
    guarded *scratch = place(f, NULL, scratch_bytes);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    vkft_matmul_ctx ctx = {f->dev, cmds, scratch->address, scratch_bytes};
    vkft_multiply(&ctx, &(vkft_product){.w = &weight, .M = M, .X = X->address, .Y = Y->address, .scale = 1.0f});
    check(vkft_commands_run(cmds, &err), &err);
    take(f, Y, y);
    for (size_t e = 0; e < (size_t)M * cols; e++)
        assert_true(y[e] == w->value[e]);
    vkft_commands_free(cmds);
    release_all(f);
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
static void linear_backward(fixture *f, uint32_t M, uint32_t N, uint32_t K, uint64_t scratch_bytes, sum_with add)
{
    vkft_err err = {0};
    size_t nx = (size_t)M * K, nw = (size_t)N * K, nc = (size_t)M * N;
    float *x = malloc(nx * sizeof *x), *w = malloc(nw * sizeof *w), *c = malloc(nc * sizeof *c),
          *dx = malloc(nx * sizeof *dx), *dw = malloc(nw * sizeof *dw), *before = malloc(nw * sizeof *before);
    vkft_reference_random(1, nx, x);
    vkft_reference_random(2, nw, w);
    vkft_reference_random(3, nc, c);
    vkft_reference_random(4, nw, before);
    guarded *X = place(f, x, nx * sizeof *x), *W = place(f, w, nw * sizeof *w), *C = place(f, c, nc * sizeof *c);
    guarded *dX = place(f, NULL, nx * sizeof *x), *dW = place(f, add == ITSELF ? before : NULL, nw * sizeof *w);
    guarded *scratch = place(f, NULL, scratch_bytes);
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
    check(vkft_commands_run(cmds, &err), &err);
    take(f, dX, dx);
    take(f, dW, dw);

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
        check(vkft_buffer_write(f->dev, &dW->buffer, CANARY_BYTES, before, nw * sizeof *before, &err), &err);
    check(vkft_commands_run(cmds, &err), &err);
    take(f, dW, again);
    assert_memory_equal(again, dw, nw * sizeof *dw);

    vkft_commands_free(cmds);
    release_all(f);
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
    fixture *f = *state;
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
    guarded *X = place(f, x, sizeof x), *Z = place(f, z, sizeof z), *Y = place(f, NULL, sizeof y);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    vkft_matmul_ctx ctx = {.dev = f->dev, .cmds = cmds};
    vkft_multiply_outer(
        &ctx,
        &(vkft_outer_product){
            .M = M, .N = N, .K = K, .X = X->address, .Z = Z->address, .Y = Y->address, .ldx = LDX, .scale = 1.0f});
    check(vkft_commands_run(cmds, &err), &err);
    take(f, Y, y);
    for (uint32_t i = 0; i < M * N; i++)
        assert_true(fabs((double)y[i] - exact[i]) <= (K + 3.0) * ldexp(1.0, -24) * size[i]);
    vkft_commands_free(cmds);
    release_all(f);
}

/* The blocks of strategy tile that GPUs have, each alone. This device's subgroups take the place of those that they ask
 * for. */
static void test_blocks(void **state)
{
    static const struct {
        uint32_t vendor_id, subgroup;
    } chips[] = {{0x1002, 64}, {0x8086, 8}, {0x5143, 64}};
    static const trial trials[] = {
        {.M = 150, .out = 136, .in = 264, .scale = 0.5f, .R = ITSELF},
        {.M = 133, .out = 79, .in = 45, .scale = -1, .R = ANOTHER, .pad_x = 1, .pad_y = 3},
        {.M = 40, .out = 16, .in = 1032, .scale = 1}, /* in slices */
    };
    fixture *f = *state;
    vkft_err err = {0};
    vkft_test_environment("VKFT_STRATEGY", "tile,direct");
    check(vkft_gemm_setup(f->dev, VKFT_F32, &err), &err);
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
                run_both_ways(f, i % 2 ? VKFT_STORAGE_f32 : VKFT_STORAGE_nf4_dq, trials[i], i + 1);
        }
    }
    vkft_test_environment("VKFT_STRATEGY", NULL);
    check(vkft_gemm_setup(f->dev, VKFT_F32, &err), &err);
}

/* Gradients of matrices in blocks. */
static void test_outer_blocks(void **state)
{
    fixture *f = *state;
    vkft_err err = {0};
    vkft_test_environment("VKFT_STRATEGY", "tile,direct");
    check(vkft_gemm_setup(f->dev, VKFT_F32, &err), &err);
    assert_true(vkft_gemm_of(f->dev)->outer_blocks);
    test_linear_backward(state);
    test_transposed_stride(state);
    vkft_test_environment("VKFT_STRATEGY", NULL);
    check(vkft_gemm_setup(f->dev, VKFT_F32, &err), &err);
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
    return cmocka_run_group_tests_name("matmul", tests, open_device, close_device);
}
