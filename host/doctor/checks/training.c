/* Cross entropy, sums, clipping and the optimizers against double references.
 *
 * Tolerances: a loss is a log of a sum of V terms in f32, each with an error below 2e-7; 3e-6 relative to 1 + |value|
 * covers V = 50000. Its gradient is exp(z) / sum times a scale, and the same holds for it in units of its mean. Sums of
 * both signs cancel: 2e-5. Test: test_kernels_training */
#include <math.h>

#include "formats/tensors/nf4.h"
#include "host/doctor/checks/kernels.h"
#include "host/doctor/reference/ops.h"
#include "shaders/loss/args.h"
#include "shaders/optimizer/args.h"

#define TOLERANCE 3e-6
#define SUM_TOLERANCE 2e-5
#define RATE 0.75f /* of the optimizers, times the step's */

/* Most elements of a long row's gradient are far below the tolerance, where any small number would pass: apart from the
 * target's, in which 1 is subtracted, they are compared in units of their mean. */
static void expect_dlogits(vkft_lab *lab, vkft_lab_array logits, const double *want, double *size,
                           const uint32_t *target, const float *weight, uint32_t V)
{
    for (uint32_t i = 0; i < logits.count; i++)
        size[i] = i % V == target[i / V] ? 1 + fabs(want[i]) : (double)weight[i / V] / V + fabs(want[i]);
    vkft_lab_expect_sums(lab, "dlogits", logits, want, size, TOLERANCE);
}

void vkft_check_cross_entropy(vkft_lab *lab, uint32_t rows, uint32_t V, float spread, vkft_loss_form form)
{
    uint32_t n = rows * V;
    const vkft_reference_loss reference = {(double)form.softcap, (double)form.smoothing, (double)form.z_loss};
    vkft_lab_begin(lab, "cross_entropy [%u,%u]%s%s%s", rows, V, form.softcap > 0 ? ", softcap" : "",
                   form.smoothing > 0 ? ", smoothed" : "", form.z_loss > 0 ? ", z-loss" : "");
    vkft_lab_array logits = vkft_lab_random(lab, V, n), target = vkft_lab_output(lab, rows),
                   loss = vkft_lab_output(lab, rows), weight = vkft_lab_output(lab, rows);
    for (uint32_t i = 0; i < n; i++)
        logits.f[i] *= spread;
    double *wide = vkft_lab_wide(lab, logits), *want = vkft_lab_doubles(lab, n), *losses = vkft_lab_doubles(lab, rows),
           *z = vkft_lab_doubles(lab, V), *size = vkft_lab_doubles(lab, n);
    for (uint32_t i = 0; i < rows; i++) {
        target.u[i] = (i * 7919u + V / 2) % V;
        weight.f[i] = 0.125f * (float)(1 + i % 3);
        losses[i] = vkft_reference_loss_backward(&reference, wide + i * V, V, target.u[i], (double)weight.f[i], z,
                                                 want + i * V);
    }
    struct cross_entropy_args args = {.logits = logits.address,
                                      .target = target.address,
                                      .loss = loss.address,
                                      .weight = weight.address,
                                      .rows = rows,
                                      .V = V,
                                      .softcap = form.softcap,
                                      .smoothing = form.smoothing,
                                      .z_loss = form.z_loss};
    vkft_lab_run(lab, VKFT_KERNEL_cross_entropy, &args, sizeof args, rows, 1); /* evaluation leaves the logits */
    vkft_lab_expect(lab, "loss", loss, losses, TOLERANCE);
    args.backward = 1;
    vkft_lab_run(lab, VKFT_KERNEL_cross_entropy, &args, sizeof args, rows, 1);
    vkft_lab_expect(lab, "loss with backward", loss, losses, TOLERANCE);
    expect_dlogits(lab, logits, want, size, target.u, weight.f, V);
    vkft_lab_end(lab);
}

void vkft_check_sums(vkft_lab *lab, uint32_t n)
{
    enum { PARTS = 37 };
    uint32_t slice = (n + PARTS - 1) / PARTS;
    vkft_lab_begin(lab, "sum and sum_squares of %u elements", n);
    vkft_lab_array x = vkft_lab_random(lab, n, n), y = vkft_lab_random(lab, 3, PARTS),
                   squares = vkft_lab_output(lab, PARTS);
    double *plain = vkft_lab_wide(lab, y), *square = vkft_lab_doubles(lab, PARTS);
    for (uint32_t i = 0; i < n; i++) {
        plain[i / slice] += (double)x.f[i];
        square[i / slice] += (double)x.f[i] * (double)x.f[i];
    }
    struct sum_args args = {.x = x.address, .y = y.address, .n = n, .parts = PARTS, .add = 1};
    vkft_lab_run(lab, VKFT_KERNEL_sum, &args, sizeof args, PARTS, 1);
    vkft_lab_expect(lab, "sums", y, plain, SUM_TOLERANCE);
    args.y = squares.address;
    args.add = 0;
    vkft_lab_run(lab, VKFT_KERNEL_sum_squares, &args, sizeof args, PARTS, 1);
    vkft_lab_expect(lab, "sums of squares", squares, square, TOLERANCE);
    vkft_lab_end(lab);
}

/* The step's state as the device has it before and after. */
static void expect_step(vkft_lab *lab, vkft_lab_array state, double grad_norm, double clip)
{
    double *want = vkft_lab_wide(lab, state);
    want[STEP_CLIP] = clip;
    want[STEP_GRAD_NORM] = grad_norm;
    vkft_lab_expect(lab, "step", state, want, TOLERANCE);
}

void vkft_check_clip(vkft_lab *lab, uint32_t n, float max_norm)
{
    const struct step_state step = {.lr = 7};
    double sum = 0;
    vkft_lab_begin(lab, "clip of %u sums at %g", n, (double)max_norm);
    vkft_lab_array partial = vkft_lab_output(lab, n), state = vkft_lab_words(lab, &step, sizeof step);
    for (uint32_t i = 0; i < n; i++)
        sum += (double)(partial.f[i] = (float)(1 + i % 6));
    double norm = sqrt(sum), factor = (double)max_norm / (norm + 1e-6);
    struct clip_args args = {.partial = partial.address, .step = state.address, .n = n, .max_norm = max_norm};
    vkft_lab_run(lab, VKFT_KERNEL_clip, &args, sizeof args, 1, 1);
    expect_step(lab, state, norm, max_norm > 0 && factor < 1 ? factor : 1);
    vkft_lab_end(lab);
}

/* What the optimizers' checks share: parameters, a gradient, its scale, weight decay for most elements. */
typedef struct update {
    uint32_t n, decayed;
    vkft_lab_array p, g, m, v, step;
    double *wp, *wm, *wv;
    double lr, decay, clip, correction1, correction2;
} update;

static update begin_update(vkft_lab *lab, const char *name, uint32_t n)
{
    const struct step_state step = {
        .lr = 0.01f, .correction1 = 1 - 0.9f * 0.9f * 0.9f, .correction2_sqrt = 0.05f, .clip = 0.5f, .grad_norm = 2};
    vkft_lab_begin(lab, "%s, %u parameters", name, n);
    update u = {.n = n,
                .decayed = n - n / 3,
                .p = vkft_lab_random(lab, 1, n),
                .g = vkft_lab_random(lab, 2, n),
                .m = vkft_lab_random(lab, 3, n),
                .v = vkft_lab_random(lab, 4, n),
                .step = vkft_lab_words(lab, &step, sizeof step),
                .lr = (double)step.lr * (double)RATE,
                .decay = (double)0.1f,
                .clip = (double)step.clip,
                .correction1 = (double)step.correction1,
                .correction2 = (double)step.correction2_sqrt};
    for (uint32_t i = 0; i < n; i++)
        u.v.f[i] *= 0.01f * u.v.f[i];
    u.g.f[0] = u.m.f[0] = u.v.f[0] = 0; /* an element without gradient divides by epsilon alone */
    u.wp = vkft_lab_wide(lab, u.p);
    u.wm = vkft_lab_wide(lab, u.m);
    u.wv = vkft_lab_wide(lab, u.v);
    return u;
}

static void expect_update(vkft_lab *lab, update *u, bool second)
{
    vkft_lab_expect(lab, "p", u->p, u->wp, TOLERANCE);
    vkft_lab_expect(lab, "m", u->m, u->wm, TOLERANCE);
    if (second)
        vkft_lab_expect(lab, "v", u->v, u->wv, TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_adamw(vkft_lab *lab, uint32_t n)
{
    const double beta1 = (double)0.9f, beta2 = (double)0.999f, epsilon = (double)1e-8f;
    update u = begin_update(lab, "adamw", n);
    for (uint32_t i = 0; i < n; i++) {
        double g = u.clip * (double)u.g.f[i];
        if (i < u.decayed)
            u.wp[i] -= u.lr * u.decay * u.wp[i];
        u.wm[i] = beta1 * u.wm[i] + (1 - beta1) * g;
        u.wv[i] = beta2 * u.wv[i] + (1 - beta2) * g * g;
        u.wp[i] -= u.lr / u.correction1 * u.wm[i] / (sqrt(u.wv[i]) / u.correction2 + epsilon);
    }
    struct adamw_args args = {.p = u.p.address,
                              .g = u.g.address,
                              .m = u.m.address,
                              .v = u.v.address,
                              .step = u.step.address,
                              .n = n,
                              .decayed = u.decayed,
                              .beta1 = 0.9f,
                              .beta2 = 0.999f,
                              .epsilon = 1e-8f,
                              .weight_decay = 0.1f,
                              .rate = RATE};
    vkft_lab_run(lab, VKFT_KERNEL_adamw, &args, sizeof args, n, 1);
    expect_update(lab, &u, true);
}

/* Entry of an ascending map that is nearest to x, which lies at least `margin` times its gap away from a midpoint. */
static bool find_nearest(const float *map, double x, double margin, uint32_t *code)
{
    uint32_t low = 0;
    while (low < 254 && (double)map[low + 1] <= x)
        low++;
    double gap = (double)map[low + 1] - (double)map[low], at = (x - (double)map[low]) / gap;
    *code = at > 0.5 ? low + 1 : low;
    return fabs(at - 0.5) > margin;
}

static void set_code(uint32_t *words, uint32_t i, uint32_t code)
{
    uint32_t shift = 8 * (i % 4);
    words[i / 4] = (words[i / 4] & ~(255u << shift)) | code << shift;
}

/* Codes are compared exactly, so moments are made that lie near entries of the maps: m by the gradient, v by its code
 * before. The first element of a block has the largest moments. */
void vkft_check_adamw_8bit(vkft_lab *lab, uint32_t n)
{
    enum { BLOCK = 256, MAPS = 1024 };
    const double beta1 = 0.5, beta2 = 0.75, epsilon = (double)1e-8f;
    update u = begin_update(lab, "adamw_8bit", n);
    float table[MAPS], *map_m = table, *map_v = table + 256;
    vkft_dynamic_map(map_m);
    vkft_dynamic_map_unsigned(map_v);
    for (uint32_t k = 0; k < 512; k++)
        table[512 + k] = k % 256 == 255 ? 0 : (table[k] + table[k + 1]) / 2;
    uint32_t words = (n + 3) / 4, blocks = (n + BLOCK - 1) / BLOCK;
    vkft_lab_array maps = vkft_lab_words(lab, table, sizeof table), m = vkft_lab_output(lab, words),
                   v = vkft_lab_output(lab, words), scale_m = vkft_lab_output(lab, blocks),
                   scale_v = vkft_lab_output(lab, blocks), want_m = vkft_lab_output(lab, words),
                   want_v = vkft_lab_output(lab, words);
    double *new_m = vkft_lab_doubles(lab, blocks), *new_v = vkft_lab_doubles(lab, blocks);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t block = i / BLOCK, code_m = i * 37 % 256, code_v = i % BLOCK ? i * 101 % 256 : 255, code;
        double size = 0.25 * (block + 1), clip = u.clip;
        scale_m.f[block] = (float)(0.125 * size);
        scale_v.f[block] = (float)(size * size);
        double target = i % BLOCK ? (double)map_m[11 + i * 53 % 230] * size : size;
        double old_m = (double)map_m[code_m] * (double)scale_m.f[block];
        u.g.f[i] = (float)((target - beta1 * old_m) / (1 - beta1) / clip);
        double g = clip * (double)u.g.f[i], moment = beta1 * old_m + (1 - beta1) * g, second;
        if (i % BLOCK == 0) {
            new_m[block] = fabs(moment);
            new_v[block] = beta2 * (double)scale_v.f[block] + (1 - beta2) * g * g;
        }
        do {
            code_v = i % BLOCK ? (code_v + 1) % 256 : 255;
            second = beta2 * (double)map_v[code_v] * (double)scale_v.f[block] + (1 - beta2) * g * g;
        } while (!find_nearest(map_v, second / new_v[block], 0.05, &code));
        set_code(m.u, i, code_m);
        set_code(v.u, i, code_v);
        set_code(want_v.u, i, code);
        find_nearest(map_m, moment / new_m[block], 0, &code);
        set_code(want_m.u, i, code);
        u.wp[i] *= 1 - u.lr * u.decay;
        u.wp[i] -= u.lr / u.correction1 * moment / (sqrt(second) / u.correction2 + epsilon);
    }
    struct adamw_8bit_args args = {.p = u.p.address,
                                   .g = u.g.address,
                                   .m = m.address,
                                   .v = v.address,
                                   .absmax_m = scale_m.address,
                                   .absmax_v = scale_v.address,
                                   .table = maps.address,
                                   .step = u.step.address,
                                   .n = n,
                                   .beta1 = (float)beta1,
                                   .beta2 = (float)beta2,
                                   .grow1 = (float)(1 - beta1),
                                   .grow2 = (float)(1 - beta2),
                                   .epsilon = 1e-8f,
                                   .weight_decay = 0.1f,
                                   .rate = RATE};
    vkft_lab_run(lab, VKFT_KERNEL_adamw_8bit, &args, sizeof args, blocks, 1);
    vkft_lab_expect(lab, "p", u.p, u.wp, TOLERANCE);
    vkft_lab_expect_words(lab, "codes of m", m, want_m.u);
    vkft_lab_expect_words(lab, "codes of v", v, want_v.u);
    vkft_lab_expect(lab, "absmax of m", scale_m, new_m, TOLERANCE);
    vkft_lab_expect(lab, "absmax of v", scale_v, new_v, TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_lion(vkft_lab *lab, uint32_t n)
{
    const double beta1 = (double)0.9f, beta2 = (double)0.99f;
    update u = begin_update(lab, "lion", n);
    for (uint32_t i = 0; i < n; i++) {
        double g = u.clip * (double)u.g.f[i], direction = beta1 * u.wm[i] + (1 - beta1) * g;
        if (i < u.decayed)
            u.wp[i] -= u.lr * u.decay * u.wp[i];
        u.wp[i] -= u.lr * (direction > 0 ? 1 : direction < 0 ? -1 : 0);
        u.wm[i] = beta2 * u.wm[i] + (1 - beta2) * g;
    }
    struct lion_args args = {.p = u.p.address,
                             .g = u.g.address,
                             .m = u.m.address,
                             .step = u.step.address,
                             .n = n,
                             .decayed = u.decayed,
                             .beta1 = 0.9f,
                             .beta2 = 0.99f,
                             .weight_decay = 0.1f,
                             .rate = RATE};
    vkft_lab_run(lab, VKFT_KERNEL_lion, &args, sizeof args, n, 1);
    expect_update(lab, &u, false);
}

void vkft_check_sgd(vkft_lab *lab, uint32_t n)
{
    const double momentum = (double)0.8f;
    update u = begin_update(lab, "sgd", n);
    for (uint32_t i = 0; i < n; i++) {
        double g = u.clip * (double)u.g.f[i] + (i < u.decayed ? u.decay * u.wp[i] : 0);
        u.wm[i] = momentum * u.wm[i] + g;
        u.wp[i] -= u.lr * u.wm[i];
    }
    struct sgd_args args = {.p = u.p.address,
                            .g = u.g.address,
                            .b = u.m.address,
                            .step = u.step.address,
                            .n = n,
                            .decayed = u.decayed,
                            .momentum = 0.8f,
                            .weight_decay = 0.1f,
                            .rate = RATE};
    vkft_lab_run(lab, VKFT_KERNEL_sgd, &args, sizeof args, n, 1);
    expect_update(lab, &u, false);
}
