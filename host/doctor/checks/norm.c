/* RMSNorm and LayerNorm against a double reference, their backward against central differences of that reference, and
 * the gradients of their gains.
 *
 * Tolerance: sums of C squares in f32, by lanes, are within a few units of 6e-8; 2e-6 relative to 1 + |value| holds for
 * rows of up to 1025 elements. Subtracting a mean of 3 from values of its size loses two bits. A row of one element
 * cancels: s^3 x^2 against s, with a large slope for small x. Test: test_kernels_norm, test_kernels_parameters */
#include <math.h>

#include "host/doctor/checks/kernels.h"
#include "host/doctor/reference/ops.h"
#include "host/engine/matmul/product.h"
#include "shaders/norm/args.h"

#define TOLERANCE 2e-6
#define SLOPE_TOLERANCE 2e-5 /* of rows whose s is large */
#define SUM_TOLERANCE 2e-5   /* of gains: 333 terms, in order */

typedef struct row_context {
    vkft_reference_norm norm;
    const double *g, *b; /* b NULL: RMSNorm */
    const float *dy;
    double *y; /* [C] */
} row_context;

static double row_loss(const double *x, const void *context)
{
    const row_context *k = context;
    double loss = 0;
    vkft_reference_norm_row(&k->norm, x, k->g, k->b, k->y);
    for (uint32_t c = 0; c < k->norm.C; c++)
        loss += k->y[c] * (double)k->dy[c];
    return loss;
}

static void run_forward(vkft_lab *lab, bool layer, struct layernorm_args a, float offset)
{
    struct rmsnorm_args rms = {.x = a.x, .g = a.g, .y = a.y, .T = a.T, .C = a.C, .eps = a.eps, .gain_offset = offset};
    if (layer)
        vkft_lab_run(lab, VKFT_KERNEL_layernorm, &a, sizeof a, a.T, 1);
    else
        vkft_lab_run(lab, VKFT_KERNEL_rmsnorm, &rms, sizeof rms, a.T, 1);
}

static void run_backward(vkft_lab *lab, bool layer, struct layernorm_backward_args a, float offset)
{
    struct rmsnorm_backward_args rms = {.dy = a.dy,
                                        .x = a.x,
                                        .g = a.g,
                                        .dx = a.dx,
                                        .T = a.T,
                                        .C = a.C,
                                        .eps = a.eps,
                                        .gain_offset = offset,
                                        .add = a.add};
    if (layer)
        vkft_lab_run(lab, VKFT_KERNEL_layernorm_backward, &a, sizeof a, a.T, 1);
    else
        vkft_lab_run(lab, VKFT_KERNEL_rmsnorm_backward, &rms, sizeof rms, a.T, 1);
}

void vkft_check_norm(vkft_lab *lab, uint32_t T, uint32_t C, bool layer, float offset, bool add)
{
    const float eps = 1e-5f;
    uint32_t n = T * C;
    vkft_lab_begin(lab, "%s [%u,%u]%s", layer ? "layernorm" : "rmsnorm", T, C, add ? ", gradient added" : "");
    vkft_lab_array x = vkft_lab_random(lab, 1, n), g = vkft_lab_random(lab, 2, C), dy = vkft_lab_random(lab, 3, n),
                   b = vkft_lab_random(lab, 5, C), y = vkft_lab_output(lab, n),
                   dx = add ? vkft_lab_random(lab, 4, n) : vkft_lab_output(lab, n);
    for (uint32_t i = 0; layer && i < n; i++)
        x.f[i] += 3; /* a mean that matters */
    double *wide = vkft_lab_wide(lab, x), *want = vkft_lab_doubles(lab, n), *slopes = vkft_lab_wide(lab, dx);
    row_context k = {.norm = {.layernorm = layer, .C = C, .eps = (double)eps, .gain_offset = (double)offset},
                     .g = vkft_lab_wide(lab, g),
                     .b = layer ? vkft_lab_wide(lab, b) : NULL,
                     .y = vkft_lab_doubles(lab, C)};
    double *slope = vkft_lab_doubles(lab, C);
    for (uint32_t t = 0; t < T; t++) {
        vkft_reference_norm_row(&k.norm, wide + t * C, k.g, k.b, want + t * C);
        k.dy = dy.f + t * C;
        vkft_central_differences(row_loss, &k, wide + t * C, C, slope);
        for (uint32_t c = 0; c < C; c++)
            slopes[t * C + c] = slope[c] + (add ? slopes[t * C + c] : 0);
    }
    run_forward(lab, layer,
                (struct layernorm_args){
                    .x = x.address, .g = g.address, .b = b.address, .y = y.address, .T = T, .C = C, .eps = eps},
                offset);
    vkft_lab_expect(lab, "y", y, want, layer ? 4 * TOLERANCE : TOLERANCE);
    run_backward(
        lab, layer,
        (struct layernorm_backward_args){
            .dy = dy.address, .x = x.address, .g = g.address, .dx = dx.address, .T = T, .C = C, .eps = eps, .add = add},
        offset);
    vkft_lab_expect(lab, "dx", dx, slopes, C == 1 ? 1e-4 : layer ? 8 * TOLERANCE : TOLERANCE);
    vkft_lab_end(lab);
}

/* The kernels that also write rows in f16; y in f32 as well, or not. */
void vkft_check_norm_f16(vkft_lab *lab, uint32_t T, uint32_t C, float offset, bool both, bool add)
{
    const float eps = 1e-5f;
    uint32_t n = T * C, ld = vkft_f16_row_length(C);
    if (!vkft_lab_can_run(lab, VKFT_KERNEL_rmsnorm_f16))
        return;
    vkft_lab_begin(lab, "rmsnorm in f16 [%u,%u]%s%s", T, C, both ? ", in f32, too" : "", add ? ", gradient added" : "");
    vkft_lab_array x = vkft_lab_random(lab, 1, n), g = vkft_lab_random(lab, 2, C), dy = vkft_lab_random(lab, 3, n),
                   y = vkft_lab_output(lab, n), dx = add ? vkft_lab_random(lab, 4, n) : vkft_lab_output(lab, n),
                   rows = vkft_lab_output(lab, T * ld / 2), inverse = vkft_lab_output(lab, T);
    for (uint32_t i = 0; i < n; i++)
        x.f[i] = ldexpf(x.f[i], (int)(i / C % 7) * 4 - 12); /* rows of unlike magnitudes */
    double *wide = vkft_lab_wide(lab, x), *want = vkft_lab_doubles(lab, n), *slopes = vkft_lab_wide(lab, dx);
    row_context k = {.norm = {.C = C, .eps = (double)eps, .gain_offset = (double)offset},
                     .g = vkft_lab_wide(lab, g),
                     .y = vkft_lab_doubles(lab, C)};
    double *gains = vkft_lab_wide(lab, g);
    for (uint32_t t = 0; t < T; t++) {
        const double *row = wide + t * C;
        double squares = 0, product = 0;
        vkft_reference_norm_row(&k.norm, row, k.g, NULL, want + t * C);
        for (uint32_t c = 0; c < C; c++) {
            squares += row[c] * row[c];
            product += (gains[c] + (double)offset) * (double)dy.f[t * C + c] * row[c];
        }
        double s = 1 / sqrt(squares / C + (double)eps);
        for (uint32_t c = 0; c < C; c++)
            slopes[t * C + c] = s * (gains[c] + (double)offset) * (double)dy.f[t * C + c] -
                                product * s * s * s / C * row[c] + (add ? slopes[t * C + c] : 0);
    }
    struct rmsnorm_f16_args forward = {.x = x.address,
                                       .g = g.address,
                                       .y = both ? y.address : 0,
                                       .rows = rows.address,
                                       .inverse = inverse.address,
                                       .T = T,
                                       .C = C,
                                       .ld = ld,
                                       .eps = eps,
                                       .gain_offset = offset};
    vkft_lab_run(lab, VKFT_KERNEL_rmsnorm_f16, &forward, sizeof forward, T, 1);
    if (both)
        vkft_lab_expect(lab, "y", y, want, TOLERANCE);
    vkft_lab_expect_f16_rows(lab, "y", rows, inverse, C, ld, want, TOLERANCE);
    struct rmsnorm_backward_f16_args backward = {.dy = dy.address,
                                                 .x = x.address,
                                                 .g = g.address,
                                                 .dx = dx.address,
                                                 .rows = rows.address,
                                                 .inverse = inverse.address,
                                                 .T = T,
                                                 .C = C,
                                                 .ld = ld,
                                                 .eps = eps,
                                                 .gain_offset = offset,
                                                 .add = add};
    vkft_lab_run(lab, VKFT_KERNEL_rmsnorm_backward_f16, &backward, sizeof backward, T, 1);
    vkft_lab_expect(lab, "dx", dx, slopes, C == 1 ? 1e-4 : SLOPE_TOLERANCE);
    vkft_lab_expect_f16_rows(lab, "dx", rows, inverse, C, ld, slopes, C == 1 ? 1e-4 : SLOPE_TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_norm_gain(vkft_lab *lab, uint32_t T, uint32_t C, bool layernorm)
{
    const float eps = 1e-3f;
    vkft_lab_begin(lab, "gradient of the gain of %s [%u,%u]", layernorm ? "layernorm" : "rmsnorm", T, C);
    vkft_lab_array x = vkft_lab_random(lab, 3, T * C), dy = vkft_lab_random(lab, 4, T * C),
                   dg = vkft_lab_random(lab, 5, C), stats = vkft_lab_output(lab, 2 * T);
    double *want = vkft_lab_wide(lab, dg), *stat = vkft_lab_doubles(lab, 2ull * T);
    for (uint32_t t = 0; t < T; t++) {
        double mean = 0, squares = 0;
        for (uint32_t c = 0; layernorm && c < C; c++)
            mean += (double)x.f[t * C + c] / C;
        for (uint32_t c = 0; c < C; c++)
            squares += ((double)x.f[t * C + c] - mean) * ((double)x.f[t * C + c] - mean);
        stat[2 * t] = mean;
        stat[2 * t + 1] = 1 / sqrt(squares / C + (double)eps);
        for (uint32_t c = 0; c < C; c++)
            want[c] += (double)dy.f[t * C + c] * ((double)x.f[t * C + c] - mean) * stat[2 * t + 1];
    }
    struct norm_stats_args first = {
        .x = x.address, .stats = stats.address, .T = T, .C = C, .eps = eps, .layernorm = layernorm};
    vkft_lab_run(lab, VKFT_KERNEL_norm_stats, &first, sizeof first, T, 1);
    vkft_lab_expect(lab, "stats", stats, stat, SUM_TOLERANCE);
    struct norm_gain_backward_args args = {
        .dy = dy.address, .x = x.address, .stats = stats.address, .dg = dg.address, .T = T, .C = C};
    vkft_lab_run(lab, VKFT_KERNEL_norm_gain_backward, &args, sizeof args, C, 1);
    vkft_lab_expect(lab, "dg", dg, want, SUM_TOLERANCE);
    vkft_lab_end(lab);
}
