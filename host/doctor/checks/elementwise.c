/* Activations, dropout, columns and what is done to each element: forward against a double reference, backward against
 * central differences of it.
 *
 * Tolerance: exp, erf and tanh are within a few units of 6e-8 (shaders/core/math.glsl), products of two or three of
 * them within 2e-6 relative to 1 + |value|. Sums of up to 333 products of order 1 in f32, in order: 333 * 6e-8 relative
 * to the sum of magnitudes, 2e-5 at most. Test: test_kernels_activation, test_kernels_elementwise,
 * test_kernels_parameters */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/doctor/checks/kernels.h"
#include "host/doctor/reference/matmul.h"
#include "host/doctor/reference/ops.h"
#include "host/engine/matmul/product.h"
#include "shaders/elementwise/args.h"
#include "shaders/matmul/args.h"

#define TOLERANCE 2e-6
#define SUM_TOLERANCE 2e-5

static const char *name_of(vkft_activation activation)
{
    static const char *const names[] = {[VKFT_ACT_SILU] = "silu",
                                        [VKFT_ACT_GELU] = "gelu",
                                        [VKFT_ACT_GELU_TANH] = "gelu_tanh",
                                        [VKFT_ACT_RELU] = "relu"};
    return names[activation];
}

typedef struct gated_context {
    vkft_activation f;
    float dh;
} gated_context;

static double gated_loss(const double *x, const void *context)
{
    const gated_context *k = context;
    return (double)k->dh * vkft_reference_activation(k->f, x[0]) * x[1];
}

/* Values over the whole range in which an activation is not flat, and beyond it. */
static vkft_lab_array inputs(vkft_lab *lab, uint32_t n)
{
    vkft_lab_array x = vkft_lab_random(lab, 6, n);
    for (uint32_t i = 0; i < n; i++)
        x.f[i] *= i % 5 ? 1 : i % 2 ? 4 : 20;
    return x;
}

void vkft_check_gated(vkft_lab *lab, uint32_t n, vkft_activation activation)
{
    vkft_lab_begin(lab, "gated %s, %u elements", name_of(activation), n);
    vkft_lab_array gate = inputs(lab, n), up = vkft_lab_random(lab, 7, n), dh = vkft_lab_random(lab, 8, n),
                   h = vkft_lab_output(lab, n);
    double *want = vkft_lab_doubles(lab, n), *dgate = vkft_lab_doubles(lab, n), *dup = vkft_lab_doubles(lab, n);
    for (uint32_t i = 0; i < n; i++) {
        double x[2] = {(double)gate.f[i], (double)up.f[i]}, slope[2];
        gated_context k = {activation, dh.f[i]};
        want[i] = vkft_reference_activation(activation, x[0]) * x[1];
        vkft_central_differences(gated_loss, &k, x, 2, slope);
        dgate[i] = slope[0];
        dup[i] = slope[1];
    }
    struct gated_args forward = {
        .gate = gate.address, .up = up.address, .h = h.address, .n = n, .activation = activation};
    vkft_lab_run(lab, VKFT_KERNEL_gated, &forward, sizeof forward, n, 1);
    vkft_lab_expect(lab, "h", h, want, TOLERANCE);
    struct gated_backward_args backward = {.dh = dh.address,
                                           .gate = gate.address,
                                           .up = up.address,
                                           .dgate = gate.address,
                                           .dup = up.address,
                                           .n = n,
                                           .activation = activation}; /* in place, as training uses it */
    vkft_lab_run(lab, VKFT_KERNEL_gated_backward, &backward, sizeof backward, n, 1);
    vkft_lab_expect(lab, "dgate", gate, dgate, TOLERANCE);
    vkft_lab_expect(lab, "dup", up, dup, TOLERANCE);
    vkft_lab_end(lab);
}

/* T rows of n elements by the kernels that also write rows in f16; h in f32 as well, or not. */
void vkft_check_gated_f16(vkft_lab *lab, uint32_t T, uint32_t n, vkft_activation activation, bool both)
{
    uint32_t ld = vkft_f16_row_length(n), all = T * n;
    if (!vkft_lab_can_run(lab, VKFT_KERNEL_gated_f16))
        return;
    vkft_lab_begin(lab, "gated %s in f16 [%u,%u]%s", name_of(activation), T, n, both ? ", in f32, too" : "");
    vkft_lab_array gate = inputs(lab, all), up = vkft_lab_random(lab, 7, all), dh = vkft_lab_random(lab, 8, all),
                   h = vkft_lab_output(lab, all), rows = vkft_lab_output(lab, T * ld / 2),
                   inverse = vkft_lab_output(lab, T), up_rows = vkft_lab_output(lab, T * ld / 2),
                   up_inverse = vkft_lab_output(lab, T);
    double *want = vkft_lab_doubles(lab, all), *dgate = vkft_lab_doubles(lab, all), *dup = vkft_lab_doubles(lab, all);
    for (uint32_t i = 0; i < all; i++) {
        up.f[i] = ldexpf(up.f[i], -2 * (int)(i / n % 7)); /* rows of unlike magnitudes */
        double x[2] = {(double)gate.f[i], (double)up.f[i]}, slope[2];
        gated_context k = {activation, dh.f[i]};
        want[i] = vkft_reference_activation(activation, x[0]) * x[1];
        vkft_central_differences(gated_loss, &k, x, 2, slope);
        dgate[i] = slope[0];
        dup[i] = slope[1];
    }
    struct gated_f16_args forward = {.gate = gate.address,
                                     .up = up.address,
                                     .h = both ? h.address : 0,
                                     .rows = rows.address,
                                     .inverse = inverse.address,
                                     .T = T,
                                     .n = n,
                                     .ld = ld,
                                     .activation = activation};
    vkft_lab_run(lab, VKFT_KERNEL_gated_f16, &forward, sizeof forward, T, 1);
    if (both)
        vkft_lab_expect(lab, "h", h, want, TOLERANCE);
    vkft_lab_expect_f16_rows(lab, "h", rows, inverse, n, ld, want, TOLERANCE);
    struct gated_backward_f16_args backward = {.dh = dh.address,
                                               .gate = gate.address,
                                               .up = up.address,
                                               .dgate = gate.address,
                                               .dup = up.address,
                                               .dgate_rows = rows.address,
                                               .dgate_inverse = inverse.address,
                                               .dup_rows = both ? up_rows.address : 0,
                                               .dup_inverse = up_inverse.address,
                                               .T = T,
                                               .n = n,
                                               .ld = ld,
                                               .stride = ld,
                                               .activation = activation}; /* in place, as training uses it */
    vkft_lab_run(lab, VKFT_KERNEL_gated_backward_f16, &backward, sizeof backward, T, 1);
    vkft_lab_expect(lab, "dgate", gate, dgate, TOLERANCE);
    vkft_lab_expect(lab, "dup", up, dup, TOLERANCE);
    vkft_lab_expect_f16_rows(lab, "dgate", rows, inverse, n, ld, dgate, TOLERANCE);
    if (both)
        vkft_lab_expect_f16_rows(lab, "dup", up_rows, up_inverse, n, ld, dup, TOLERANCE);
    vkft_lab_end(lab);
}

/* Rows in f16 that take the place of dh are those that have a place of their own. */
void vkft_check_gated_f16_in_place(vkft_lab *lab, uint32_t T, uint32_t n)
{
    uint32_t all = T * n, *words = calloc(all, sizeof *words);
    if (!words || !vkft_lab_can_run(lab, VKFT_KERNEL_gated_backward_f16)) {
        lab->lost |= !words;
        free(words);
        return;
    }
    vkft_lab_begin(lab, "gated in f16 [%u,%u], in the place of the gradient", T, n);
    vkft_lab_array in[2][3], rows[2], inverse[2][2];
    for (uint32_t k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < 3; i++)
            in[k][i] = vkft_lab_random(lab, 6 + i, all);
        rows[k] = vkft_lab_output(lab, all / 2);
        for (uint32_t i = 0; i < 2; i++)
            inverse[k][i] = vkft_lab_output(lab, T);
    }
    for (uint32_t k = 0; k < 2; k++) {
        const struct gated_backward_f16_args args = {.gate = in[k][0].address,
                                                     .up = in[k][1].address,
                                                     .dh = in[k][2].address,
                                                     .dgate = in[k][0].address,
                                                     .dup = in[k][1].address,
                                                     .dgate_rows = k ? in[k][2].address : rows[0].address,
                                                     .dgate_inverse = inverse[k][0].address,
                                                     .dup_rows = k ? in[k][2].address + n * 2ull : rows[1].address,
                                                     .dup_inverse = inverse[k][1].address,
                                                     .T = T,
                                                     .n = n,
                                                     .ld = n,
                                                     .stride = k ? 2 * n : n};
        vkft_lab_run(lab, VKFT_KERNEL_gated_backward_f16, &args, sizeof args, T, 1);
        for (uint32_t i = 0; k == 0 && i < 2; i++) {
            vkft_lab_accept(lab, in[k][i]);
            vkft_lab_accept(lab, rows[i]);
            vkft_lab_accept(lab, inverse[k][i]);
        }
    }
    for (uint32_t i = 0; i < all; i++)
        words[i] = rows[i % n / (n / 2)].u[i / n * (n / 2) + i % (n / 2)];
    vkft_lab_expect_words(lab, "dgate and dup", in[1][2], words);
    for (uint32_t i = 0; i < 2; i++) {
        vkft_lab_expect_words(lab, "gradient", in[1][i], in[0][i].u);
        vkft_lab_expect_words(lab, "factors", inverse[1][i], inverse[0][i].u);
    }
    vkft_lab_end(lab);
    free(words);
}

/* Scaling and unscaling are exact, f16's rounding is the only one; the rows are large, small and zero. */
void vkft_check_rows_f16(vkft_lab *lab, uint32_t T, uint32_t C)
{
    uint32_t ld = vkft_f16_row_length(C), n = T * C;
    if (!vkft_lab_can_run(lab, VKFT_KERNEL_rows_f16) || !vkft_lab_can_run(lab, VKFT_KERNEL_rows_f32))
        return;
    vkft_lab_begin(lab, "rows in f16 [%u,%u]", T, C);
    vkft_lab_array x = vkft_lab_random(lab, 10, n), y = vkft_lab_output(lab, n),
                   rows = vkft_lab_output(lab, T * ld / 2), inverse = vkft_lab_output(lab, T);
    for (uint32_t i = 0; i < n; i++)
        x.f[i] = i / C % 7 == 6 ? 0 : ldexpf(x.f[i], 16 * (int)(i / C % 7) - 48);
    double *want = vkft_lab_wide(lab, x), *rounded = vkft_reference_rows_f16(T, C, C, x.f);
    const struct rows_f16_args args = {
        .X = x.address, .Y = rows.address, .inverse = inverse.address, .K = C, .ldx = C, .ldy = ld};
    vkft_lab_run(lab, VKFT_KERNEL_rows_f16, &args, sizeof args, T, 1);
    vkft_lab_expect_f16_rows(lab, "x", rows, inverse, C, ld, want, 0);
    const struct rows_f32_args back = {
        .X = rows.address, .inverse = inverse.address, .Y = y.address, .K = C, .ldx = ld};
    vkft_lab_run(lab, VKFT_KERNEL_rows_f32, &back, sizeof back, T, 1);
    if (rounded)
        vkft_lab_expect(lab, "y", y, rounded, 0);
    else
        lab->lost = true;
    free(rounded);
    vkft_lab_end(lab);
}

/* Rows in f16 that take the place of x are those that have a place of their own. */
void vkft_check_rows_f16_in_place(vkft_lab *lab, uint32_t T, uint32_t C)
{
    if (!vkft_lab_can_run(lab, VKFT_KERNEL_rows_f16) || !vkft_lab_can_run(lab, VKFT_KERNEL_rows_f16_in_place))
        return;
    vkft_lab_begin(lab, "rows in f16 [%u,%u], in place", T, C);
    vkft_lab_array x = vkft_lab_random(lab, 10, T * C), rows = vkft_lab_output(lab, T * C / 2),
                   inverse[2] = {vkft_lab_output(lab, T), vkft_lab_output(lab, T)};
    struct rows_f16_args args = {
        .X = x.address, .Y = rows.address, .inverse = inverse[0].address, .K = C, .ldx = C, .ldy = C};
    vkft_lab_run(lab, VKFT_KERNEL_rows_f16, &args, sizeof args, T, 1);
    vkft_lab_accept(lab, rows);
    vkft_lab_accept(lab, inverse[0]);
    args.Y = x.address;
    args.inverse = inverse[1].address;
    vkft_lab_run(lab, VKFT_KERNEL_rows_f16_in_place, &args, sizeof args, T, 1);
    for (uint32_t m = 0; m < T; m++)
        memcpy(x.u + (size_t)m * C, rows.u + (size_t)m * C / 2, 2ull * C); /* the second half of a row stays */
    vkft_lab_expect_words(lab, "x", x, x.u);
    vkft_lab_expect_words(lab, "factors", inverse[1], inverse[0].u);
    vkft_lab_end(lab);
}

void vkft_check_activation(vkft_lab *lab, uint32_t n, vkft_activation activation)
{
    vkft_lab_begin(lab, "activation %s, %u elements", name_of(activation), n);
    vkft_lab_array x = inputs(lab, n), dy = vkft_lab_random(lab, 9, n), y = vkft_lab_output(lab, n);
    double *want = vkft_lab_doubles(lab, n), *dx = vkft_lab_doubles(lab, n);
    for (uint32_t i = 0; i < n; i++) {
        double both[2] = {(double)x.f[i], 1}, slope[2];
        gated_context k = {activation, dy.f[i]};
        want[i] = vkft_reference_activation(activation, both[0]);
        vkft_central_differences(gated_loss, &k, both, 2, slope);
        dx[i] = slope[0];
    }
    struct activation_args args = {.x = x.address, .dy = dy.address, .y = y.address, .n = n, .activation = activation};
    vkft_lab_run(lab, VKFT_KERNEL_activation, &args, sizeof args, n, 1);
    vkft_lab_expect(lab, "y", y, want, TOLERANCE);
    args.y = x.address; /* in place, as training uses it */
    vkft_lab_run(lab, VKFT_KERNEL_activation_backward, &args, sizeof args, n, 1);
    vkft_lab_expect(lab, "dx", x, dx, TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_softcap(vkft_lab *lab, uint32_t n)
{
    vkft_lab_begin(lab, "softcap, %u elements", n);
    vkft_lab_array x = inputs(lab, n);
    double *want = vkft_lab_doubles(lab, n);
    for (uint32_t i = 0; i < n; i++)
        want[i] = vkft_reference_softcap((double)x.f[i], 3);
    struct softcap_args args = {.x = x.address, .n = n, .cap = 3};
    vkft_lab_run(lab, VKFT_KERNEL_softcap, &args, sizeof args, n, 1);
    vkft_lab_expect(lab, "x", x, want, TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_dropout(vkft_lab *lab, uint32_t n)
{
    vkft_lab_begin(lab, "dropout, %u elements", n);
    const uint64_t seed = 0x9abcdef012345678ull;
    const struct step_state step = {.micro_step = 5};
    vkft_lab_array x = vkft_lab_random(lab, 11, n), y = vkft_lab_output(lab, n), z = vkft_lab_random(lab, 12, n),
                   all = vkft_lab_random(lab, 13, n + 1), state = vkft_lab_words(lab, &step, sizeof step),
                   odd = {.address = all.address + 4, .f = all.f + 1, .count = n}; /* not aligned */
    double *want = vkft_lab_doubles(lab, n), *added = vkft_lab_wide(lab, z), *odd_added = vkft_lab_wide(lab, odd);
    for (uint32_t i = 0; i < n; i++) {
        bool keep = vkft_reference_dropout_word(seed, 3, step.micro_step, i) >= 0x40000000u; /* a quarter is dropped */
        want[i] = keep ? (double)x.f[i] / 0.75 : 0;
        added[i] += want[i];
        odd_added[i] += want[i];
    }
    struct dropout_args args = {.x = x.address,
                                .y = y.address,
                                .step = state.address,
                                .n = n,
                                .p = 0.25f,
                                .seed_low = (uint32_t)seed,
                                .seed_high = (uint32_t)(seed >> 32),
                                .layer = 3};
    vkft_lab_run(lab, VKFT_KERNEL_dropout, &args, sizeof args, (n + 3) / 4, 1);
    vkft_lab_expect(lab, "y", y, want, TOLERANCE);
    args.y = z.address;
    args.add = 1;
    vkft_lab_run(lab, VKFT_KERNEL_dropout, &args, sizeof args, (n + 3) / 4, 1);
    vkft_lab_expect(lab, "y added to", z, added, TOLERANCE);
    args.y = odd.address;
    vkft_lab_run(lab, VKFT_KERNEL_dropout, &args, sizeof args, (n + 3) / 4, 1);
    vkft_lab_expect(lab, "y added to, not aligned", odd, odd_added, TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_fill_and_add(vkft_lab *lab, uint32_t n)
{
    vkft_lab_begin(lab, "fill and add, %u elements", n);
    vkft_lab_array x = vkft_lab_random(lab, 13, n), y = vkft_lab_output(lab, n);
    double *filled = vkft_lab_doubles(lab, n), *sum = vkft_lab_doubles(lab, n);
    for (uint32_t i = 0; i < n; i++) {
        filled[i] = 2.5;
        sum[i] = (double)(x.f[i] + 2.5f);
    }
    struct fill_args fill = {.y = y.address, .n = n, .value = 2.5f};
    vkft_lab_run(lab, VKFT_KERNEL_fill, &fill, sizeof fill, n, 1);
    vkft_lab_expect(lab, "y", y, filled, 0);
    struct add_args add = {.a = x.address, .b = y.address, .y = x.address, .n = n};
    vkft_lab_run(lab, VKFT_KERNEL_add, &add, sizeof add, n, 1);
    vkft_lab_expect(lab, "y", x, sum, 0);
    vkft_lab_end(lab);
}

void vkft_check_subgroup(vkft_lab *lab)
{
    vkft_lab_begin(lab, "subgroup");
    vkft_lab_array y = vkft_lab_output(lab, 2);
    const uint32_t want[] = {1, vkft_kernel_width(lab->dev, VKFT_KERNEL_subgroup)};
    struct subgroup_args args = {.y = y.address};
    vkft_lab_run(lab, VKFT_KERNEL_subgroup, &args, sizeof args, 1, 1);
    vkft_lab_expect_words(lab, "y", y, want);
    vkft_lab_end(lab);
}

void vkft_check_bias_rows(vkft_lab *lab, uint32_t T, uint32_t C)
{
    vkft_lab_begin(lab, "bias_rows [%u,%u]", T, C);
    vkft_lab_array b = vkft_lab_random(lab, 15, C), r = vkft_lab_random(lab, 16, T * C),
                   y = vkft_lab_output(lab, T * C);
    double *want = vkft_lab_doubles(lab, (size_t)T * C);
    for (uint32_t add = 0; add < 2; add++) {
        struct bias_rows_args args = {
            .b = b.address, .r = r.address, .y = y.address, .T = T, .C = C, .add = add, .scale = 0.3f};
        for (uint32_t i = 0; i < T * C; i++)
            want[i] = (double)0.3f * (double)b.f[i % C] + (add ? (double)r.f[i] : 0);
        vkft_lab_run(lab, VKFT_KERNEL_bias_rows, &args, sizeof args, T * C, 1);
        vkft_lab_expect(lab, "y", y, want, TOLERANCE);
    }
    vkft_lab_end(lab);
}

void vkft_check_column_sum(vkft_lab *lab, uint32_t T, uint32_t C)
{
    vkft_lab_begin(lab, "column_sum [%u,%u]", T, C);
    vkft_lab_array x = vkft_lab_random(lab, 1, T * C), y = vkft_lab_random(lab, 2, C);
    double *want = vkft_lab_wide(lab, y);
    for (uint32_t i = 0; i < T * C; i++)
        want[i % C] += 0.5 * (double)x.f[i];
    struct column_sum_args args = {.x = x.address, .y = y.address, .T = T, .C = C, .scale = 0.5f};
    vkft_lab_run(lab, VKFT_KERNEL_column_sum, &args, sizeof args, C, 1);
    vkft_lab_expect(lab, "y", y, want, SUM_TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_dora_factors(vkft_lab *lab, uint32_t N, uint32_t r)
{
    vkft_lab_begin(lab, "dora_factors [%u], rank %u", N, r);
    vkft_lab_array squares = vkft_lab_random(lab, 1, N), b = vkft_lab_random(lab, 2, N * r),
                   u = vkft_lab_random(lab, 3, r * N), m = vkft_lab_random(lab, 4, N), f = vkft_lab_output(lab, 2 * N);
    double *want = vkft_lab_doubles(lab, 2 * (size_t)N);
    const float scale = 0.7f;
    for (uint32_t c = 0; c < N; c++) { /* a sum that cancels would say little; the last row is one of zeros */
        double sum = 0, size = 1;
        for (uint32_t k = 0; k < r; k++) {
            if (c == N - 1)
                b.f[c * r + k] = 0;
            sum += (double)b.f[c * r + k] * (double)u.f[k * N + c];
            size += fabs((double)b.f[c * r + k] * (double)u.f[k * N + c]);
        }
        squares.f[c] = c == N - 1 ? 0.0f : (float)size;
        double square = (double)squares.f[c] + (double)scale * sum;
        want[N + c] = c == N - 1 ? 0 : 1 / sqrt(square);
        want[c] = (double)m.f[c] * want[N + c];
    }
    struct dora_factors_args args = {.squares = squares.address,
                                     .b = b.address,
                                     .u = u.address,
                                     .m = m.address,
                                     .f = f.address,
                                     .N = N,
                                     .r = r,
                                     .scale = scale};
    vkft_lab_run(lab, VKFT_KERNEL_dora_factors, &args, sizeof args, N, 1);
    vkft_lab_expect(lab, "f", f, want, SUM_TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_dora_rows(vkft_lab *lab, uint32_t T, uint32_t C)
{
    vkft_lab_begin(lab, "dora_rows [%u,%u]", T, C);
    vkft_lab_array f = vkft_lab_random(lab, 1, C), u = vkft_lab_random(lab, 2, T * C),
                   base = vkft_lab_random(lab, 3, T * C), b = vkft_lab_random(lab, 4, C),
                   r = vkft_lab_random(lab, 5, T * C), y = vkft_lab_output(lab, T * C);
    double *want = vkft_lab_doubles(lab, (size_t)T * C);
    const float scale = 0.3f;
    for (uint32_t parts = 0; parts <= (DORA_ADD | DORA_LESS | DORA_BIAS); parts++) {
        struct dora_rows_args args = {.f = f.address,
                                      .u = u.address,
                                      .base = parts & DORA_LESS ? base.address : 0,
                                      .b = parts & DORA_BIAS ? b.address : 0,
                                      .r = parts & DORA_ADD ? r.address : 0,
                                      .y = y.address,
                                      .T = T,
                                      .C = C,
                                      .parts = parts,
                                      .scale = scale};
        for (uint32_t i = 0; i < T * C; i++)
            want[i] =
                (parts & DORA_ADD ? (double)r.f[i] : 0) +
                (double)scale * ((double)f.f[i % C] * (double)u.f[i] - (parts & DORA_LESS ? (double)base.f[i] : 0) +
                                 (parts & DORA_BIAS ? (double)b.f[i % C] : 0));
        vkft_lab_run(lab, VKFT_KERNEL_dora_rows, &args, sizeof args, (uint64_t)T * C, 1);
        vkft_lab_expect(lab, "y", y, want, TOLERANCE);
    }
    vkft_lab_end(lab);
}

void vkft_check_dora_magnitude(vkft_lab *lab, uint32_t T, uint32_t C)
{
    vkft_lab_begin(lab, "dora_magnitude [%u,%u]", T, C);
    vkft_lab_array dy = vkft_lab_random(lab, 1, T * C), u = vkft_lab_random(lab, 2, T * C),
                   inverse = vkft_lab_random(lab, 3, C), dm = vkft_lab_random(lab, 4, C);
    double *want = vkft_lab_wide(lab, dm);
    for (uint32_t i = 0; i < T * C; i++)
        want[i % C] += 0.5 * (double)inverse.f[i % C] * (double)dy.f[i] * (double)u.f[i];
    struct dora_magnitude_args args = {
        .dy = dy.address, .u = u.address, .inverse = inverse.address, .dm = dm.address, .T = T, .C = C, .scale = 0.5f};
    vkft_lab_run(lab, VKFT_KERNEL_dora_magnitude, &args, sizeof args, C, 1);
    vkft_lab_expect(lab, "dm", dm, want, SUM_TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_columns(vkft_lab *lab, uint32_t T, uint32_t run, uint32_t runs, uint32_t step, uint32_t offset)
{
    uint32_t n = run * runs, ld = offset + step * runs, cells = T * ld;
    vkft_lab_begin(lab, "copy_columns, %u runs of %u of %u columns, %u rows", runs, run, ld, T);
    vkft_lab_array wide = vkft_lab_random(lab, 14, cells), narrow = vkft_lab_output(lab, T * n),
                   to = vkft_lab_random(lab, 14, cells);
    double *taken = vkft_lab_doubles(lab, (size_t)T * n), *put = vkft_lab_doubles(lab, cells);
    struct copy_columns_args out = {.from = wide.address,
                                    .to = narrow.address,
                                    .T = T,
                                    .n = n,
                                    .run = run,
                                    .from_ld = ld,
                                    .from_offset = offset,
                                    .from_step = step,
                                    .to_ld = n,
                                    .to_step = run};
    for (uint32_t i = 0; i < T * n; i++)
        taken[i] = (double)wide.f[i / n * ld + offset + i % n / run * step + i % run];
    vkft_lab_run(lab, VKFT_KERNEL_copy_columns, &out, sizeof out, T * n, 1);
    vkft_lab_expect(lab, "columns taken out", narrow, taken, 0);
    /* Back over a copy of the source shifted by one row: only these columns change. */
    struct copy_columns_args back = {.from = narrow.address,
                                     .to = to.address,
                                     .T = T - 1,
                                     .n = n,
                                     .run = run,
                                     .from_ld = n,
                                     .from_offset = n,
                                     .from_step = run,
                                     .to_ld = ld,
                                     .to_offset = offset,
                                     .to_step = step};
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t column = i % ld, t = i / ld;
        bool inside = column >= offset && (column - offset) % step < run && t + 1 < T;
        put[i] = (double)wide.f[inside ? i + ld : i];
    }
    vkft_lab_run(lab, VKFT_KERNEL_copy_columns, &back, sizeof back, (T - 1) * n, 1);
    vkft_lab_expect(lab, "columns put back", to, put, 0);
    vkft_lab_end(lab);
}
