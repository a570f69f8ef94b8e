/* Activations, gated and plain, and the soft cap: forward against a double reference, backward against central
 * differences of it.
 *
 * Tolerance: exp, erf and tanh are within a few units of 6e-8 (shaders/math.glsl), products of two or three of them
 * within 2e-6 relative to 1 + |value|.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "formats/config/activation.h"
#include "shaders/elementwise/args.h"
#include "tests/support/kernel_test.h"
#include "host/doctor/reference/ops.h"

#define TOLERANCE 2e-6

_Static_assert(VKFT_ACT_SILU == ACTIVATION_SILU && VKFT_ACT_GELU == ACTIVATION_GELU &&
                   VKFT_ACT_GELU_TANH == ACTIVATION_GELU_TANH && VKFT_ACT_RELU == ACTIVATION_RELU,
               "C and GLSL number activations alike");

typedef struct gated_context {
    vkft_activation f;
    float dh;
} gated_context;

static double gated_loss(const double *x, const void *context)
{
    const gated_context *k = context;
    return (double)k->dh * vkft_reference_activation(k->f, x[0]) * x[1];
}

static const uint32_t sizes[] = {1, 31, 333, 4099};

/* Values over the whole range in which an activation is not flat, and beyond it. */
static float *inputs(uint32_t n)
{
    float *x = vkft_random_array(6, n);
    for (uint32_t i = 0; i < n; i++)
        x[i] *= i % 5 ? 1 : i % 2 ? 4 : 20;
    return x;
}

static void check_gated(const vkft_kernel_fixture *f, uint32_t n, vkft_activation activation)
{
    float *gate = inputs(n), *up = vkft_random_array(7, n), *dh = vkft_random_array(8, n),
          *got = malloc(n * sizeof *got);
    double *h = malloc(n * sizeof *h), *dgate = malloc(n * sizeof *dgate), *dup = malloc(n * sizeof *dup);
    for (uint32_t i = 0; i < n; i++) {
        double x[2] = {(double)gate[i], (double)up[i]}, slope[2];
        gated_context k = {activation, dh[i]};
        h[i] = vkft_reference_activation(activation, x[0]) * x[1];
        vkft_central_differences(gated_loss, &k, x, 2, slope);
        dgate[i] = slope[0];
        dup[i] = slope[1];
    }
    vkft_guarded bg = vkft_guarded_floats(f, gate, n), bu = vkft_guarded_floats(f, up, n),
                 bd = vkft_guarded_floats(f, dh, n);
    vkft_guarded bh = vkft_guarded_floats(f, NULL, n);
    struct gated_args forward = {
        .gate = bg.address, .up = bu.address, .h = bh.address, .n = n, .activation = activation};
    vkft_kernel_run(f, VKFT_KERNEL_gated, &forward, sizeof forward, n, 1);
    vkft_guarded_read(f, &bh, got);
    vkft_assert_close("gated", got, h, n, TOLERANCE);
    struct gated_backward_args backward = {.dh = bd.address,
                                           .gate = bg.address,
                                           .up = bu.address,
                                           .dgate = bg.address,
                                           .dup = bu.address,
                                           .n = n,
                                           .activation = activation}; /* in place, as training uses it */
    vkft_kernel_run(f, VKFT_KERNEL_gated_backward, &backward, sizeof backward, n, 1);
    vkft_guarded_read(f, &bg, got);
    vkft_assert_close("gated dgate", got, dgate, n, TOLERANCE);
    vkft_guarded_read(f, &bu, got);
    vkft_assert_close("gated dup", got, dup, n, TOLERANCE);
    vkft_guarded *all[] = {&bg, &bu, &bd, &bh};
    for (size_t i = 0; i < 4; i++)
        vkft_guarded_free(f, all[i]);
    free(gate), free(up), free(dh), free(got), free(h), free(dgate), free(dup);
}

static void check_plain(const vkft_kernel_fixture *f, uint32_t n, vkft_activation activation)
{
    float *x = inputs(n), *dy = vkft_random_array(9, n), *got = malloc(n * sizeof *got);
    double *y = malloc(n * sizeof *y), *dx = malloc(n * sizeof *dx);
    for (uint32_t i = 0; i < n; i++) {
        double both[2] = {(double)x[i], 1}, slope[2];
        gated_context k = {activation, dy[i]};
        y[i] = vkft_reference_activation(activation, both[0]);
        vkft_central_differences(gated_loss, &k, both, 2, slope);
        dx[i] = slope[0];
    }
    vkft_guarded bx = vkft_guarded_floats(f, x, n), bd = vkft_guarded_floats(f, dy, n),
                 by = vkft_guarded_floats(f, NULL, n);
    struct activation_args args = {
        .x = bx.address, .dy = bd.address, .y = by.address, .n = n, .activation = activation};
    vkft_kernel_run(f, VKFT_KERNEL_activation, &args, sizeof args, n, 1);
    vkft_guarded_read(f, &by, got);
    vkft_assert_close("activation", got, y, n, TOLERANCE);
    args.y = bx.address; /* in place, as training uses it */
    vkft_kernel_run(f, VKFT_KERNEL_activation_backward, &args, sizeof args, n, 1);
    vkft_guarded_read(f, &bx, got);
    vkft_assert_close("activation backward", got, dx, n, TOLERANCE);
    vkft_guarded_free(f, &bx), vkft_guarded_free(f, &bd), vkft_guarded_free(f, &by);
    free(x), free(dy), free(got), free(y), free(dx);
}

static void test_activations(void **state)
{
    static const vkft_activation all[] = {VKFT_ACT_SILU, VKFT_ACT_GELU, VKFT_ACT_GELU_TANH, VKFT_ACT_RELU};
    for (size_t a = 0; a < 4; a++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            check_gated(*state, sizes[k], all[a]);
            check_plain(*state, sizes[k], all[a]);
        }
}

static void test_softcap(void **state)
{
    const vkft_kernel_fixture *f = *state;
    uint32_t n = 4099;
    float *x = inputs(n), *got = malloc(n * sizeof *got);
    double *want = malloc(n * sizeof *want);
    for (uint32_t i = 0; i < n; i++)
        want[i] = 3 * tanh((double)x[i] / 3);
    vkft_guarded bx = vkft_guarded_floats(f, x, n);
    struct softcap_args args = {.x = bx.address, .n = n, .cap = 3};
    vkft_kernel_run(f, VKFT_KERNEL_softcap, &args, sizeof args, n, 1);
    vkft_guarded_read(f, &bx, got);
    vkft_assert_close("softcap", got, want, n, TOLERANCE);
    vkft_guarded_free(f, &bx);
    free(x), free(got), free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_activations), cmocka_unit_test(test_softcap)};
    return cmocka_run_group_tests_name("kernels: activations", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
