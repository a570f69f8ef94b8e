/* Cross entropy, sums, clipping and AdamW against double references.
 *
 * Tolerances: a loss is a log of a sum of V terms in f32, each with an error below 2e-7; 3e-6 relative to 1 + |value|
 * covers V = 50000. Its gradient is exp(z) / sum times a scale, and the same holds for it in units of its mean.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shaders/core/args.h"
#include "shaders/loss/args.h"
#include "shaders/optimizer/args.h"
#include "tests/support/kernel_test.h"

#define TOLERANCE 3e-6

static vkft_guarded step_buffer(const vkft_kernel_fixture *f, const struct step_state *step)
{
    return vkft_guarded_words(f, (const uint32_t *)(const void *)step, sizeof *step / 4);
}

typedef struct row {
    uint32_t V, target;
    double softcap; /* 0: none */
} row;

static double score(const row *r, double x)
{
    return r->softcap > 0 ? r->softcap * tanh(x / r->softcap) : x;
}

static double row_loss(const double *x, const void *context)
{
    const row *r = context;
    double highest = score(r, x[0]), sum = 0;
    for (uint32_t v = 0; v < r->V; v++)
        highest = fmax(highest, score(r, x[v]));
    for (uint32_t v = 0; v < r->V; v++)
        sum += exp(score(r, x[v]) - highest);
    return highest + log(sum) - score(r, x[r->target]);
}

/* The loss's gradient: (softmax(z) - onehot(target)) * dz/dx * scale. */
static void row_gradient(const double *x, const row *r, double scale, double *dx)
{
    double highest = score(r, x[0]), sum = 0;
    for (uint32_t v = 0; v < r->V; v++)
        highest = fmax(highest, score(r, x[v]));
    for (uint32_t v = 0; v < r->V; v++)
        sum += exp(score(r, x[v]) - highest);
    for (uint32_t v = 0; v < r->V; v++) {
        double z = score(r, x[v]), slope = r->softcap > 0 ? 1 - pow(z / r->softcap, 2) : 1;
        dx[v] = (exp(z - highest) / sum - (v == r->target)) * slope * scale;
    }
}

/* The formula itself against central differences, which cost V^2. */
static void check_row_gradient(double *x, const row *r, const double *gradient, double scale)
{
    double *differences = malloc(r->V * sizeof *differences);
    vkft_central_differences(row_loss, r, x, r->V, differences);
    for (uint32_t v = 0; v < r->V; v++)
        if (fabs(differences[v] * scale - gradient[v]) > 1e-8)
            fail_msg("gradient %u of %u: %.12g, by differences %.12g", v, r->V, gradient[v], differences[v] * scale);
    free(differences);
}

/* Most elements of a long row are far below the tolerance, where any small number would pass: apart from the target's,
 * in which 1 is subtracted, they are compared in units of their mean. */
static void check_dlogits(float *got, double *want, const uint32_t *target, uint32_t rows, uint32_t V,
                          const float *weight)
{
    vkft_assert_close("dlogits", got, want, rows * V, TOLERANCE);
    for (uint32_t i = 0; i < rows * V; i++) {
        bool is_target = i % V == target[i / V];
        got[i] = is_target ? 0 : (float)((double)got[i] * V / (double)weight[i / V]);
        want[i] = is_target ? 0 : want[i] * V / (double)weight[i / V];
    }
    vkft_assert_close("dlogits in units of their mean", got, want, rows * V, TOLERANCE);
}

static void check_cross_entropy(const vkft_kernel_fixture *f, uint32_t rows, uint32_t V, float spread, float softcap)
{
    uint32_t n = rows * V;
    float *logits = malloc(n * sizeof *logits), *got = malloc(n * sizeof *got);
    double *wide = malloc(n * sizeof *wide), *want = malloc(n * sizeof *want), *loss = malloc(rows * sizeof *loss);
    uint32_t *target = malloc(rows * sizeof *target);
    vkft_random_floats(V, logits, n);
    for (uint32_t i = 0; i < n; i++)
        wide[i] = (double)(logits[i] *= spread);
    double scale;
    float *weight = malloc(rows * sizeof *weight);
    for (uint32_t i = 0; i < rows; i++) {
        row r = {V, target[i] = (i * 7919u + V / 2) % V, (double)softcap};
        loss[i] = row_loss(wide + i * V, &r);
        weight[i] = (float)(scale = 0.125 * (1 + i % 3));
        row_gradient(wide + i * V, &r, scale, want + i * V);
        if (i == 0 && V < 2000)
            check_row_gradient(wide, &r, want, scale);
    }
    vkft_guarded bx = vkft_guarded_floats(f, logits, n), bt = vkft_guarded_words(f, target, rows),
                 bl = vkft_guarded_floats(f, NULL, rows);
    vkft_guarded bs = vkft_guarded_floats(f, weight, rows);
    struct cross_entropy_args args = {.logits = bx.address,
                                      .target = bt.address,
                                      .loss = bl.address,
                                      .weight = bs.address,
                                      .rows = rows,
                                      .V = V,
                                      .softcap = softcap};
    uint64_t threads = rows;
    vkft_kernel_run(f, VKFT_KERNEL_cross_entropy, &args, sizeof args, threads, 1);
    vkft_guarded_read(f, &bl, got);
    vkft_assert_close("loss", got, loss, rows, TOLERANCE);
    vkft_guarded_read(f, &bx, got);
    assert_memory_equal(got, logits, n * sizeof *got); /* evaluation leaves the logits */
    args.backward = 1;
    vkft_kernel_run(f, VKFT_KERNEL_cross_entropy, &args, sizeof args, threads, 1);
    vkft_guarded_read(f, &bl, got);
    vkft_assert_close("loss with backward", got, loss, rows, TOLERANCE);
    vkft_guarded_read(f, &bx, got);
    check_dlogits(got, want, target, rows, V, weight);
    vkft_guarded *all[] = {&bx, &bt, &bl, &bs};
    for (size_t i = 0; i < 4; i++)
        vkft_guarded_free(f, all[i]);
    free(logits), free(got), free(wide), free(want), free(loss), free(target), free(weight);
}

static void test_cross_entropy(void **state)
{
    check_cross_entropy(*state, 1, 1, 1, 0);
    check_cross_entropy(*state, 31, 7, 1, 0);
    check_cross_entropy(*state, 3, 97, 30, 0); /* nearly one-hot */
    check_cross_entropy(*state, 2, 333, 1, 0);
    check_cross_entropy(*state, 3, 1001, 5, 0);
    check_cross_entropy(*state, 2, 50257, 3, 0);
    check_cross_entropy(*state, 31, 7, 1, 2);
    check_cross_entropy(*state, 2, 333, 30, 5);
}

static void test_sums(void **state)
{
    const vkft_kernel_fixture *f = *state;
    static const uint32_t sizes[] = {1, 31, 1000, 40001};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        enum { PARTS = 37 };
        uint32_t n = sizes[k], slice = (n + PARTS - 1) / PARTS;
        float *x = malloc(n * sizeof *x), before[PARTS], got[PARTS];
        double plain[PARTS] = {0}, squares[PARTS] = {0};
        vkft_random_floats(n, x, n);
        vkft_random_floats(3, before, PARTS);
        for (uint32_t i = 0; i < n; i++) {
            plain[i / slice] += (double)x[i];
            squares[i / slice] += (double)x[i] * (double)x[i];
        }
        for (uint32_t i = 0; i < PARTS; i++)
            plain[i] += (double)before[i];
        vkft_guarded bx = vkft_guarded_floats(f, x, n), bp = vkft_guarded_floats(f, before, PARTS),
                     bs = vkft_guarded_floats(f, NULL, PARTS);
        struct sum_args args = {.x = bx.address, .y = bp.address, .n = n, .parts = PARTS, .add = 1};
        uint64_t threads = PARTS;
        vkft_kernel_run(f, VKFT_KERNEL_sum, &args, sizeof args, threads, 1);
        vkft_guarded_read(f, &bp, got);
        vkft_assert_close("sum", got, plain, PARTS, 2e-5); /* sums of both signs cancel */
        args.y = bs.address;
        args.add = 0;
        vkft_kernel_run(f, VKFT_KERNEL_sum_squares, &args, sizeof args, threads, 1);
        vkft_guarded_read(f, &bs, got);
        vkft_assert_close("sum_squares", got, squares, PARTS, TOLERANCE);
        vkft_guarded *all[] = {&bx, &bp, &bs};
        for (size_t i = 0; i < 3; i++)
            vkft_guarded_free(f, all[i]);
        free(x);
    }
}

static void check_clip(const vkft_kernel_fixture *f, const float *partial, uint32_t n, float max_norm, double norm,
                       double factor)
{
    struct step_state step = {.lr = 7, .micro_step = 3}, got;
    vkft_guarded bp = vkft_guarded_floats(f, partial, n), bs = step_buffer(f, &step);
    struct clip_args args = {.partial = bp.address, .step = bs.address, .n = n, .max_norm = max_norm};
    vkft_kernel_run(f, VKFT_KERNEL_clip, &args, sizeof args, 1, 1);
    vkft_guarded_read(f, &bs, (float *)(void *)&got);
    vkft_assert_close("grad_norm", &got.grad_norm, &norm, 1, TOLERANCE);
    vkft_assert_close("clip", &got.clip, &factor, 1, TOLERANCE);
    assert_true(got.lr == 7 && got.micro_step == 3);
    vkft_guarded_free(f, &bp);
    vkft_guarded_free(f, &bs);
}

static void test_clip(void **state)
{
    const float partial[5] = {1, 2, 3, 4, 6}; /* norm 4 */
    check_clip(*state, partial, 5, 1, 4, 1 / (4 + 1e-6));
    check_clip(*state, partial, 5, 8, 4, 1);
    check_clip(*state, partial, 5, 0, 4, 1);
    check_clip(*state, partial, 1, 0.5f, 1, 0.5 / (1 + 1e-6));
}

static void test_adamw(void **state)
{
    const vkft_kernel_fixture *f = *state;
    enum { N = 1003 };
    float p[N], g[N], m[N] = {0}, v[N] = {0}, got[N];
    double wp[N], wm[N] = {0}, wv[N] = {0};
    const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0.1, clip = 0.5;
    vkft_random_floats(1, p, N);
    for (uint32_t i = 0; i < N; i++)
        wp[i] = (double)p[i];
    struct step_state step = {0};
    vkft_guarded bp = vkft_guarded_floats(f, p, N), bm = vkft_guarded_floats(f, m, N),
                 bv = vkft_guarded_floats(f, v, N);
    for (uint32_t t = 1; t <= 5; t++) {
        double lr = 1e-2 / t;
        vkft_random_floats(10 + t, g, N);
        g[0] = 0; /* an element without gradient divides by epsilon alone */
        for (uint32_t i = 0; i < N; i++) {
            double clipped = clip * (double)g[i];
            wp[i] -= lr * decay * wp[i];
            wm[i] = beta1 * wm[i] + (1 - beta1) * clipped;
            wv[i] = beta2 * wv[i] + (1 - beta2) * clipped * clipped;
            wp[i] -= lr / (1 - pow(beta1, t)) * wm[i] / (sqrt(wv[i]) / sqrt(1 - pow(beta2, t)) + epsilon);
        }
        step = (struct step_state){.lr = (float)lr,
                                   .correction1 = (float)(1 - pow(beta1, t)),
                                   .correction2_sqrt = (float)sqrt(1 - pow(beta2, t)),
                                   .clip = (float)clip};
        vkft_guarded bg = vkft_guarded_floats(f, g, N), bs = step_buffer(f, &step);
        struct adamw_args args = {.decayed = UINT32_MAX,
                                  .p = bp.address,
                                  .g = bg.address,
                                  .m = bm.address,
                                  .v = bv.address,
                                  .step = bs.address,
                                  .n = N,
                                  .beta1 = (float)beta1,
                                  .beta2 = (float)beta2,
                                  .epsilon = (float)epsilon,
                                  .weight_decay = (float)decay};
        vkft_kernel_run(f, VKFT_KERNEL_adamw, &args, sizeof args, N, 1);
        vkft_guarded_free(f, &bg);
        vkft_guarded_free(f, &bs);
    }
    vkft_guarded_read(f, &bp, got);
    vkft_assert_close("p", got, wp, N, TOLERANCE);
    vkft_guarded_read(f, &bm, got);
    vkft_assert_close("m", got, wm, N, TOLERANCE);
    vkft_guarded_read(f, &bv, got);
    vkft_assert_close("v", got, wv, N, TOLERANCE);
    vkft_guarded_free(f, &bp);
    vkft_guarded_free(f, &bm);
    vkft_guarded_free(f, &bv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cross_entropy), cmocka_unit_test(test_sums),
                                       cmocka_unit_test(test_clip), cmocka_unit_test(test_adamw)};
    return cmocka_run_group_tests_name("kernels: training", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
