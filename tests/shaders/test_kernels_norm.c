/* RMSNorm and LayerNorm against a double reference, their backward against central differences of that reference, at
 * odd shapes.
 *
 * Tolerance: sums of C squares in f32, by lanes, are within a few units of 6e-8; 2e-6 relative to 1 + |value| holds for
 * all shapes here.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "shaders/norm/args.h"
#include "tests/support/kernel_test.h"
#include "host/doctor/reference/ops.h"

#define TOLERANCE 2e-6

typedef struct row_context {
    vkft_reference_norm norm;
    const double *g, *b; /* b NULL: RMSNorm */
    const float *dy;
} row_context;

static double row_loss(const double *x, const void *context)
{
    const row_context *k = context;
    uint32_t C = k->norm.C;
    double *y = malloc(C * sizeof *y), loss = 0;
    vkft_reference_norm_row(&k->norm, x, k->g, k->b, y);
    for (uint32_t c = 0; c < C; c++)
        loss += y[c] * (double)k->dy[c];
    free(y);
    return loss;
}

static void launch_forward(const vkft_kernel_fixture *f, bool layer, struct layernorm_args a, float offset)
{
    vkft_kernel kernel = layer ? VKFT_KERNEL_layernorm : VKFT_KERNEL_rmsnorm;
    struct rmsnorm_args rms = {.x = a.x, .g = a.g, .y = a.y, .T = a.T, .C = a.C, .eps = a.eps, .gain_offset = offset};
    uint64_t threads = a.T;
    vkft_kernel_run(f, kernel, layer ? (void *)&a : &rms, layer ? sizeof a : sizeof rms, threads, 1);
}

static void launch_backward(const vkft_kernel_fixture *f, bool layer, struct layernorm_backward_args a, float offset)
{
    vkft_kernel kernel = layer ? VKFT_KERNEL_layernorm_backward : VKFT_KERNEL_rmsnorm_backward;
    struct rmsnorm_backward_args rms = {.dy = a.dy,
                                        .x = a.x,
                                        .g = a.g,
                                        .dx = a.dx,
                                        .T = a.T,
                                        .C = a.C,
                                        .eps = a.eps,
                                        .gain_offset = offset,
                                        .add = a.add};
    uint64_t threads = a.T;
    vkft_kernel_run(f, kernel, layer ? (void *)&a : &rms, layer ? sizeof a : sizeof rms, threads, 1);
}

static void check_norm(const vkft_kernel_fixture *f, uint32_t T, uint32_t C, bool layer, float offset, bool add)
{
    const float eps = 1e-5f;
    uint32_t n = T * C;
    float *x = vkft_random_array(1, n), *g = vkft_random_array(2, C), *dy = vkft_random_array(3, n),
          *before = vkft_random_array(4, n);
    float *b = vkft_random_array(5, C), *got = malloc(n * sizeof *got);
    for (uint32_t i = 0; layer && i < n; i++)
        x[i] += 3; /* a mean that matters */
    double *wide = vkft_widen(x, n), *want = malloc(n * sizeof *want), *slope = malloc(C * sizeof *slope);
    vkft_guarded bx = vkft_guarded_floats(f, x, n), bg = vkft_guarded_floats(f, g, C),
                 bb = vkft_guarded_floats(f, b, C);
    vkft_guarded bdy = vkft_guarded_floats(f, dy, n), by = vkft_guarded_floats(f, NULL, n);
    vkft_guarded bdx = vkft_guarded_floats(f, add ? before : NULL, n);
    double *gain = vkft_widen(g, C), *bias = vkft_widen(b, C);
    row_context k = {.norm = {.layernorm = layer, .C = C, .eps = (double)eps, .gain_offset = (double)offset},
                     .g = gain,
                     .b = layer ? bias : NULL};

    launch_forward(f, layer,
                   (struct layernorm_args){
                       .x = bx.address, .g = bg.address, .b = bb.address, .y = by.address, .T = T, .C = C, .eps = eps},
                   offset);
    for (uint32_t t = 0; t < T; t++)
        vkft_reference_norm_row(&k.norm, wide + t * C, k.g, k.b, want + t * C);
    vkft_guarded_read(f, &by, got);
    /* Subtracting a mean of 3 from values of its size loses two bits. */
    vkft_assert_close("norm", got, want, n, layer ? 4 * TOLERANCE : TOLERANCE);

    launch_backward(f, layer,
                    (struct layernorm_backward_args){.dy = bdy.address,
                                                     .x = bx.address,
                                                     .g = bg.address,
                                                     .dx = bdx.address,
                                                     .T = T,
                                                     .C = C,
                                                     .eps = eps,
                                                     .add = add},
                    offset);
    uint32_t rows = T < 4 || C < 100 ? T : 4; /* rows are alike; central differences of a long one cost C^2 */
    for (uint32_t t = 0; t < rows; t++) {
        k.dy = dy + t * C;
        vkft_central_differences(row_loss, &k, wide + t * C, C, slope);
        for (uint32_t c = 0; c < C; c++)
            want[t * C + c] = slope[c] + (add ? (double)before[t * C + c] : 0);
    }
    vkft_guarded_read(f, &bdx, got);
    /* a row of one element cancels: s^3 x^2 against s, with a large slope for small x */
    vkft_assert_close("norm backward", got, want, rows * C, C == 1 ? 1e-4 : layer ? 8 * TOLERANCE : TOLERANCE);
    vkft_guarded *all[] = {&bx, &bg, &bb, &bdy, &by, &bdx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        vkft_guarded_free(f, all[i]);
    free(x), free(g), free(b), free(dy), free(before), free(got), free(wide), free(want), free(slope), free(gain),
        free(bias);
}

static void check_shapes(const vkft_kernel_fixture *f, bool layer, float offset)
{
    static const uint32_t shapes[][2] = {{1, 1}, {1, 7}, {31, 8}, {3, 64}, {333, 37}, {5, 333}, {2, 1025}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_norm(f, shapes[i][0], shapes[i][1], layer, offset, false);
        check_norm(f, shapes[i][0], shapes[i][1], layer, offset, true);
    }
}

static void test_rmsnorm(void **state)
{
    check_shapes(*state, false, 0);
    check_shapes(*state, false, 1); /* gains stored less 1 */
}

static void test_layernorm(void **state)
{
    check_shapes(*state, true, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rmsnorm), cmocka_unit_test(test_layernorm)};
    return cmocka_run_group_tests_name("kernels: norms", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
