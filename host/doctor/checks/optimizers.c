/* Optimizers that go by tensors against double references: Adafactor, Lion in 8 bits, LoRA-FA and Muon. The others are
 * in training.c.
 *
 * Tolerance: sums of squares of n values in f32 are exact to 1e-6 and their roots to half of that; a parameter is moved
 * by a product of four of them, of a size below 1. Test: test_kernels_training */
#include <math.h>

#include "formats/tensors/nf4.h"
#include "host/doctor/checks/kernels.h"
#include "shaders/optimizer/args.h"

#define TOLERANCE 3e-6
#define RATE 0.75f /* times the step's */

static const struct step_state step = {.lr = 0.05f, .correction1 = 0.3f, .clip = 0.5f, .grad_norm = 2};

static double *mean_squares(vkft_lab *lab, const double *g, uint32_t rows, uint32_t cols, const double *v)
{
    double *mean = vkft_lab_doubles(lab, (size_t)rows + cols), grow = (double)step.correction1;
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < cols; j++) {
            double square = g[(size_t)i * cols + j] * g[(size_t)i * cols + j] + 1e-30;
            mean[i] += square / cols;
            mean[rows + j] += square / rows;
        }
    for (uint32_t i = 0; i < rows + cols; i++)
        mean[i] = (1 - grow) * v[i] + grow * mean[i];
    return mean;
}

/* The second half of the elements has no weight decay. */
void vkft_check_adafactor(vkft_lab *lab, uint32_t rows, uint32_t cols)
{
    uint32_t n = rows * cols, parts = n > 900 ? 37 : 1;
    vkft_lab_begin(lab, "adafactor [%u,%u]", rows, cols);
    vkft_lab_array p = vkft_lab_random(lab, 1, n), g = vkft_lab_random(lab, 2, n),
                   v = vkft_lab_random(lab, 3, rows + cols), total = vkft_lab_output(lab, 2),
                   partial = vkft_lab_output(lab, parts), state = vkft_lab_words(lab, &step, sizeof step);
    for (uint32_t i = 0; i < rows + cols; i++)
        v.f[i] = 0.01f + v.f[i] * v.f[i];
    double *wide = vkft_lab_wide(lab, g), *want = vkft_lab_wide(lab, p), *x = vkft_lab_doubles(lab, n),
           *totals = vkft_lab_doubles(lab, 2), *squares = vkft_lab_doubles(lab, parts);
    for (uint32_t i = 0; i < n; i++)
        wide[i] *= (double)step.clip;
    double *means = mean_squares(lab, wide, rows, cols, vkft_lab_wide(lab, v));
    for (uint32_t i = 0; i < rows; i++)
        totals[0] += means[i];
    uint32_t slice = (n + parts - 1) / parts;
    for (uint32_t i = 0; i < n; i++) {
        x[i] = wide[i] / sqrt(means[i / cols] / (totals[0] / rows) * means[rows + i % cols]);
        squares[i / slice] += x[i] * x[i];
        totals[1] += x[i] * x[i];
    }
    double lr = (double)step.lr * (double)RATE, rms = sqrt(totals[1] / n);
    for (uint32_t i = 0; i < n; i++)
        want[i] -= lr * ((i < n / 2 ? (double)0.1f * want[i] : 0) + x[i] / (rms > 1 ? rms : 1));
    struct adafactor_args args = {.p = p.address,
                                  .g = g.address,
                                  .v = v.address,
                                  .total = total.address,
                                  .partial = partial.address,
                                  .step = state.address,
                                  .rows = rows,
                                  .cols = cols,
                                  .parts = parts,
                                  .decayed = n / 2,
                                  .weight_decay = 0.1f,
                                  .rate = RATE};
    struct sum_args rows_sum = {.x = v.address, .y = total.address, .n = rows, .parts = 1},
                    squares_sum = {.x = partial.address, .y = total.address + 4, .n = parts, .parts = 1};
    vkft_commands *cmds = lab->cmds;
    vkft_lab_record(lab);
    vkft_launch_workgroups(cmds, VKFT_KERNEL_adafactor_rows, &args, sizeof args, rows, 1, n);
    vkft_launch(cmds, VKFT_KERNEL_adafactor_columns, &args, sizeof args, (uint64_t)cols * ADAFACTOR_LANES, 1, n);
    vkft_launch_workgroups(cmds, VKFT_KERNEL_sum, &rows_sum, sizeof rows_sum, 1, 1, rows);
    vkft_launch_workgroups(cmds, VKFT_KERNEL_adafactor_squares, &args, sizeof args, parts, 1, n);
    vkft_launch_workgroups(cmds, VKFT_KERNEL_sum, &squares_sum, sizeof squares_sum, 1, 1, parts);
    vkft_launch(cmds, VKFT_KERNEL_adafactor, &args, sizeof args, n, 1, n);
    vkft_lab_execute(lab);
    vkft_lab_expect(lab, "mean squares", v, means, TOLERANCE);
    vkft_lab_expect_sums(lab, "totals", total, totals, totals, 2 * TOLERANCE);
    vkft_lab_expect_sums(lab, "squares", partial, squares, squares, 2 * TOLERANCE);
    vkft_lab_expect(lab, "p", p, want, TOLERANCE);
    vkft_lab_end(lab);
}

/* Codes are compared exactly, so the gradient makes moments that lie near entries of the map. The first element of a
 * block has the largest. */
void vkft_check_lion_8bit(vkft_lab *lab, uint32_t n)
{
    enum { BLOCK = 256 };
    const double beta1 = 0.25, beta2 = 0.5, lr = (double)step.lr * (double)RATE;
    uint32_t blocks = (n + BLOCK - 1) / BLOCK, words = (n + 3) / 4;
    float table[512];
    vkft_lab_begin(lab, "lion_8bit, %u parameters", n);
    vkft_dynamic_map(table);
    for (uint32_t k = 0; k < 256; k++)
        table[256 + k] = k == 255 ? 0 : (table[k] + table[k + 1]) / 2;
    vkft_lab_array p = vkft_lab_random(lab, 1, n), g = vkft_lab_output(lab, n), m = vkft_lab_output(lab, words),
                   scale = vkft_lab_output(lab, blocks), want_m = vkft_lab_output(lab, words),
                   maps = vkft_lab_words(lab, table, sizeof table), state = vkft_lab_words(lab, &step, sizeof step);
    double *want = vkft_lab_wide(lab, p), *want_scale = vkft_lab_doubles(lab, blocks);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t block = i / BLOCK, shift = 8 * (i % 4), code = i % BLOCK ? 11 + i * 53 % 230 : 255;
        double size = 0.25 * (block + 1), old = (double)table[i * 37 % 256] * 0.125 * size;
        if (i % BLOCK == 0)
            scale.f[block] = (float)(0.125 * size);
        double moment = (double)table[code] * size;
        g.f[i] = (float)((moment - beta2 * old) / (1 - beta2) / (double)step.clip);
        double direction = beta1 * old + (1 - beta1) * (double)step.clip * (double)g.f[i];
        if (i % BLOCK == 0)
            want_scale[block] = moment;
        if (shift == 0)
            m.u[i / 4] = want_m.u[i / 4] = 0xffffffff;
        m.u[i / 4] = (m.u[i / 4] & ~(255u << shift)) | (i * 37 % 256) << shift;
        want_m.u[i / 4] = (want_m.u[i / 4] & ~(255u << shift)) | code << shift;
        want[i] -= lr * ((double)0.1f * want[i] + (direction > 0 ? 1 : direction < 0 ? -1 : 0));
    }
    struct lion_8bit_args args = {.p = p.address,
                                  .g = g.address,
                                  .m = m.address,
                                  .absmax = scale.address,
                                  .table = maps.address,
                                  .step = state.address,
                                  .n = n,
                                  .beta1 = (float)beta1,
                                  .beta2 = (float)beta2,
                                  .grow1 = (float)(1 - beta1),
                                  .grow2 = (float)(1 - beta2),
                                  .weight_decay = 0.1f,
                                  .rate = RATE};
    vkft_lab_run(lab, VKFT_KERNEL_lion_8bit, &args, sizeof args, blocks, 1);
    vkft_lab_expect(lab, "p", p, want, TOLERANCE);
    vkft_lab_expect_words(lab, "codes", m, want_m.u);
    vkft_lab_expect(lab, "absmax", scale, want_scale, TOLERANCE);
    vkft_lab_end(lab);
}

/* r 0: without a matrix. The last third has no weight decay. */
void vkft_check_lorafa(vkft_lab *lab, uint32_t rows, uint32_t r)
{
    uint32_t n = rows * (r ? r : 1);
    const double beta1 = (double)0.9f, beta2 = (double)0.999f, epsilon = (double)1e-6f;
    vkft_lab_begin(lab, "lorafa [%u,%u]", rows, r);
    vkft_lab_array p = vkft_lab_random(lab, 1, n), g = vkft_lab_random(lab, 2, n), m = vkft_lab_random(lab, 3, n),
                   v = vkft_lab_random(lab, 4, n), c = vkft_lab_random(lab, 5, r ? r * r : 1),
                   state = vkft_lab_words(lab, &step, sizeof step);
    for (uint32_t i = 0; i < n; i++)
        v.f[i] = 1 + v.f[i] * v.f[i]; /* at least a hundredth of a gradient's square, which adds up r products */
    for (uint32_t i = 0; i < r * r; i++)
        c.f[i] /= sqrtf((float)r);
    double *wp = vkft_lab_wide(lab, p), *wm = vkft_lab_wide(lab, m), *wv = vkft_lab_wide(lab, v),
           lr = (double)step.lr * (double)RATE;
    for (uint32_t i = 0; i < n; i++) {
        double sum = r ? 0 : (double)g.f[i];
        for (uint32_t k = 0; k < r; k++)
            sum += (double)g.f[i / r * r + k] * (double)c.f[k * r + i % r];
        sum *= (double)step.clip;
        wm[i] = beta1 * wm[i] + (1 - beta1) * sum;
        wv[i] = beta2 * wv[i] + (1 - beta2) * sum * sum;
        wp[i] -= lr * (double)step.correction2_sqrt / (double)step.correction1 * wm[i] / (sqrt(wv[i]) + epsilon);
        wp[i] -= i < n - n / 3 ? lr * (double)0.1f * wp[i] : 0;
    }
    struct lorafa_args args = {.p = p.address,
                               .g = g.address,
                               .m = m.address,
                               .v = v.address,
                               .c = c.address,
                               .step = state.address,
                               .n = n,
                               .decayed = n - n / 3,
                               .r = r,
                               .beta1 = 0.9f,
                               .beta2 = 0.999f,
                               .epsilon = 1e-6f,
                               .weight_decay = 0.1f,
                               .rate = RATE};
    vkft_lab_run(lab, VKFT_KERNEL_lorafa, &args, sizeof args, n, 1);
    vkft_lab_expect(lab, "p", p, wp, TOLERANCE);
    vkft_lab_expect(lab, "m", m, wm, TOLERANCE);
    vkft_lab_expect(lab, "v", v, wv, TOLERANCE);
    vkft_lab_end(lab);
}

/* The kernels between Muon's products, the first three on one matrix, the polynomial on a square one. */
void vkft_check_muon(vkft_lab *lab, uint32_t rows, uint32_t cols)
{
    const float squares = 6.25f;
    uint32_t n = rows * cols;
    for (uint32_t nesterov = 0; nesterov < 2; nesterov++) {
        vkft_lab_begin(lab, "muon [%u,%u]%s", rows, cols, nesterov ? ", nesterov" : "");
        vkft_lab_array p = vkft_lab_random(lab, 1, n), g = vkft_lab_random(lab, 2, n), m = vkft_lab_random(lab, 3, n),
                       x = vkft_lab_output(lab, n), square = vkft_lab_random(lab, 4, cols * cols),
                       y = vkft_lab_output(lab, cols * cols), total = vkft_lab_words(lab, &squares, sizeof squares),
                       state = vkft_lab_words(lab, &step, sizeof step);
        double *wp = vkft_lab_wide(lab, p), *wm = vkft_lab_wide(lab, m), *wx = vkft_lab_wide(lab, g),
               *wy = vkft_lab_wide(lab, square), lr = (double)step.lr * (double)RATE, grow = (double)0.05f;
        for (uint32_t i = 0; i < n; i++) {
            double change = (double)step.clip * wx[i];
            wm[i] += grow * (change - wm[i]);
            wx[i] = (nesterov ? change + (1 - grow) * (wm[i] - change) : wm[i]) / sqrt((double)squares);
            wp[i] -= lr * ((double)0.1f * wp[i] + 3 * wx[i]);
        }
        for (uint32_t i = 0; i < cols * cols; i++)
            wy[i] = (double)MUON_B * wy[i] + (i / cols == i % cols ? (double)MUON_A : 0);
        struct muon_args args = {.p = p.address,
                                 .g = g.address,
                                 .m = m.address,
                                 .x = x.address,
                                 .total = total.address,
                                 .step = state.address,
                                 .n = n,
                                 .cols = cols,
                                 .nesterov = nesterov,
                                 .grow = 0.05f,
                                 .weight_decay = 0.1f,
                                 .rate = RATE,
                                 .adjust = 3};
        struct muon_args polynomial = {.g = square.address, .x = y.address, .n = cols * cols, .cols = cols};
        vkft_lab_record(lab);
        vkft_launch(lab->cmds, VKFT_KERNEL_muon_momentum, &args, sizeof args, n, 1, n);
        vkft_launch(lab->cmds, VKFT_KERNEL_muon_normalize, &args, sizeof args, n, 1, n);
        vkft_launch(lab->cmds, VKFT_KERNEL_muon, &args, sizeof args, n, 1, n);
        vkft_launch(lab->cmds, VKFT_KERNEL_muon_polynomial, &polynomial, sizeof polynomial, polynomial.n, 1, n);
        vkft_lab_execute(lab);
        vkft_lab_expect(lab, "m", m, wm, TOLERANCE);
        vkft_lab_expect(lab, "x", x, wx, TOLERANCE);
        vkft_lab_expect(lab, "p", p, wp, TOLERANCE);
        vkft_lab_expect(lab, "polynomial", y, wy, TOLERANCE);
        vkft_lab_end(lab);
    }
}
