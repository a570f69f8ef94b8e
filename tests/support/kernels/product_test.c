#include "tests/support/kernels/product_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/expect.h"

#define UNWRITTEN 0x7fc00000u /* as vkft_guarded_floats leaves what has no data */

int product_setup(void **state)
{
    product_fixture *f = calloc(1, sizeof *f);
    vkft_err err = {0};
    f->dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    if (!f->dev) {
        print_error("%s\n", err.message);
        return 1;
    }
    *state = f;
    return !vkft_gemm_setup(f->dev, f->operands, &err);
}

int product_teardown(void **state)
{
    product_fixture *f = *state;
    vkft_device_close(f->dev);
    free(f);
    return 0;
}

vkft_guarded *product_place(product_fixture *f, const void *data, size_t bytes)
{
    assert_true(f->count < PRODUCT_BUFFERS);
    const uint32_t words = (uint32_t)((bytes + 3) / 4);
    float *padded = data ? calloc(words + 1ull, sizeof *padded) : NULL;
    if (data)
        memcpy(padded, data, bytes);
    f->buffers[f->count] = vkft_guarded_floats(&(vkft_kernel_fixture){.dev = f->dev}, padded, words);
    free(padded);
    return &f->buffers[f->count++];
}

void product_take(const product_fixture *f, const vkft_guarded *g, float *data)
{
    vkft_guarded_read(&(vkft_kernel_fixture){.dev = f->dev}, g, data);
}

void product_release(product_fixture *f)
{
    while (f->count)
        vkft_guarded_free(&(vkft_kernel_fixture){.dev = f->dev}, &f->buffers[--f->count]);
}

#define BRANCH -0.75f

vkft_weight product_place_weight(product_fixture *f, const vkft_reference_weight *w)
{
    vkft_weight weight = {.storage = w->storage, .rows = w->rows, .cols = w->cols, .offset = w->offset};
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        if (w->part[part])
            weight.part[part] = product_place(f, w->part[part], w->bytes[part])->address;
    return weight;
}

static void record_product(const vkft_matmul_ctx *ctx, const product_trial *t, const vkft_weight *w, uint64_t X,
                           uint64_t R, uint64_t Y, vkft_branch branch)
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
static void add_branch(const product_trial *t, bool in_f16, uint32_t N, uint32_t K, uint32_t ldx, const float *x,
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

/* Compares Y, rows of stride ldy, with R + scale * exact; the padding must be as it was. */
static void compare(const product_trial *t, uint32_t N, uint32_t K, const float *Y, const float *R, const double *exact,
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
                    assert_int_equal(bits, UNWRITTEN);
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

bool product_is_in_f16(const product_fixture *f, const vkft_reference_weight *w, const product_trial *t)
{
    const vkft_gemm *gemm = vkft_gemm_of(f->dev);
    const vkft_weight weight = {.storage = w->storage, .rows = w->rows, .cols = w->cols};
    const vkft_matmul_ctx ctx = {.scratch_bytes = t->scratch_bytes};
    const vkft_product p = {.w = &weight, .transposed = t->transposed, .M = t->M, .exact = t->exact};
    const vkft_strategy *first = gemm->usable[w->storage][t->transposed][0][0];
    return first->rounds && first->suits(gemm, &ctx, &p);
}

void product_run(product_fixture *f, const vkft_reference_weight *w, const product_trial *t)
{
    vkft_err err = {0};
    uint32_t K = t->transposed ? t->in : t->out, N = t->transposed ? t->out : t->in;
    uint32_t ldx = K + t->pad_x, ldy = N + t->pad_y;
    size_t nx = (size_t)t->M * ldx, ny = (size_t)t->M * ldy;
    float *x = malloc(nx * sizeof *x), *r = malloc(ny * sizeof *r), *y = malloc(ny * sizeof *y),
          *again = malloc(ny * sizeof *y);
    vkft_reference_random(7, nx, x);
    vkft_reference_random(8, ny, r);
    vkft_dtype operands = product_is_in_f16(f, w, t)                                          ? VKFT_F16
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

    vkft_weight weight = product_place_weight(f, w);
    vkft_branch branch = {.r = t->r, .scale = BRANCH};
    if (t->r) {
        branch.Z = product_place(f, z, (size_t)t->M * t->r * sizeof *z)->address;
        branch.V = product_place(f, v, (size_t)N * t->r * sizeof *v)->address;
    }
    vkft_guarded *X = product_place(f, x, nx * sizeof *x),
                 *Y = product_place(f, t->R == ITSELF ? r : NULL, ny * sizeof *y);
    vkft_guarded *R = t->R == ANOTHER ? product_place(f, r, ny * sizeof *r) : Y,
                 *scratch = product_place(f, NULL, t->scratch_bytes);
    vkft_commands *cmds = vkft_commands_new(f->dev, &err);
    expect_ok(cmds != NULL);
    vkft_matmul_ctx ctx = {.dev = f->dev, .cmds = cmds, .scratch = scratch->address, .scratch_bytes = t->scratch_bytes};
    record_product(&ctx, t, &weight, X->address, t->R == NOTHING ? 0 : R->address, Y->address, branch);
    expect_ok(vkft_commands_run(cmds, &err));
    product_take(f, Y, y);
    compare(t, N, K, y, t->R == NOTHING ? NULL : r, exact, size);

    if (t->R == ITSELF)
        expect_ok(vkft_buffer_write(f->dev, &Y->buffer, Y->address - Y->buffer.address, r, ny * sizeof *r, &err));
    expect_ok(vkft_commands_run(cmds, &err));
    product_take(f, Y, again);
    assert_memory_equal(y, again, ny * sizeof *y);

    vkft_commands_free(cmds);
    product_release(f);
    free(x), free(r), free(y), free(again), free(wide), free(packed), free(values), free(exact), free(size), free(z),
        free(v);
}

/* A product_trial both ways, with a weight of its own and all the scratch that it wants. */
void product_run_both_ways(product_fixture *f, vkft_storage storage, product_trial t, uint64_t seed)
{
    vkft_reference_weight w = vkft_reference_weight_new(storage, t.out, t.in, seed);
    t.scratch_bytes = vkft_product_scratch_bytes(t.out, t.in);
    for (int transposed = 0; transposed < 2; transposed++) {
        t.transposed = transposed;
        product_run(f, &w, &t);
    }
    vkft_reference_weight_free(&w);
}

void product_set_operands(product_fixture *f, vkft_dtype operands)
{
    f->operands = operands;
    vkft_err err = {0};
    expect_ok(vkft_gemm_setup(f->dev, operands, &err));
}
