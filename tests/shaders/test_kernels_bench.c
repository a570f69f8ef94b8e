/* The kernels that measure a device at its best compute what they say, so that no compiler has left work out. The
 * references repeat the same steps in double; an f32 step is off by 2^-24 of its result, an f16 step by 2^-11. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/tensors/dtype.h"
#include "runtime/base/random.h"
#include "shaders/bench/args.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"

/* Sum of the chains' numbers s = a s + b, from 0, 1, ... on. */
static double chains(uint32_t lanes, uint32_t steps, double a, double b)
{
    double sum = 0;
    for (uint32_t i = 0; i < PEAK_CHAINS * lanes; i++) {
        double s = i;
        for (uint32_t k = 0; k < steps; k++)
            s = a * s + b;
        sum += s;
    }
    return sum;
}

static void check_fma(const vkft_kernel_fixture *f, vkft_kernel kernel, uint32_t lanes, double rounding)
{
    static const uint32_t iterations[] = {0, 1, 3, 31};
    const uint32_t count = 3 * vkft_kernel_width(f->dev, kernel);
    float *got = malloc(count * sizeof *got);
    for (uint32_t i = 0; i < 4; i++) {
        vkft_guarded y = vkft_guarded_floats(f, NULL, count);
        const struct peak_args args = {.y = y.address, .iterations = iterations[i], .a = 0.75f, .b = 0.5f};
        vkft_kernel_run(f, kernel, &args, sizeof args, count, 1);
        vkft_guarded_read(f, &y, got);
        const double want = chains(lanes, iterations[i] * PEAK_UNROLL, 0.75, 0.5);
        /* An error of a step shrinks by a quarter with each that follows, so that four are left; and that of the sum.
         */
        const double first = PEAK_CHAINS * lanes, bound = first * (4 * rounding + 0x1p-23) * first;
        for (uint32_t t = 0; t < count; t++)
            if (!(fabs(got[t] - want) <= bound))
                fail_msg("%u iterations, invocation %u: found %g, expected %g", iterations[i], t, (double)got[t], want);
        vkft_guarded_free(f, &y);
    }
    free(got);
}

static void test_fma(void **state)
{
    const vkft_kernel_fixture *f = *state;
    check_fma(f, VKFT_KERNEL_peak_fma_f32, 4, 0x1p-24);
    if (vkft_caps_have(vkft_device_get_caps(f->dev), vkft_kernel_needs(VKFT_KERNEL_peak_fma_f16)))
        check_fma(f, VKFT_KERNEL_peak_fma_f16, 2, 0x1p-11);
    else
        print_message("without f16: the device has none\n");
}

/* The first shape of these types, NULL: none. */
static const vkft_matrix_shape *find_shape(const vkft_caps *caps, vkft_component factor, vkft_component result)
{
    for (uint32_t i = 0; i < caps->matrix_shape_count; i++) {
        const vkft_matrix_shape *m = &caps->matrix_shapes[i];
        if (m->a == factor && m->b == factor && m->c == result && m->result == result && !m->saturating)
            return m;
    }
    return NULL;
}

/* Factors of -2 to 2, exact in both types, packed into words; and their values. */
static void make_factor(bool half, uint32_t stream, uint32_t n, uint32_t *words, double *values)
{
    const uint32_t bytes = half ? 2 : 1;
    memset(words, 0, (size_t)n * bytes);
    for (uint32_t i = 0; i < n; i++) {
        int v = (int)(vkft_random_bits(3, stream, i) % 5) - 2;
        uint16_t f16 = vkft_f32_to_f16((float)v);
        int8_t s8 = (int8_t)v;
        memcpy((char *)words + (size_t)i * bytes, half ? (const void *)&f16 : (const void *)&s8, bytes);
        values[i] = v;
    }
}

static bool check_matrices(const vkft_kernel_fixture *f, vkft_kernel kernel, vkft_component factor,
                           vkft_component result)
{
    const vkft_caps *caps = vkft_device_get_caps(f->dev);
    const vkft_matrix_shape *m = find_shape(caps, factor, result);
    if (!m || !vkft_kernel_is_built(kernel) || !vkft_caps_have(caps, vkft_kernel_needs(kernel)))
        return false;
    const bool half = factor == VKFT_COMPONENT_F16;
    const uint32_t width = caps->subgroup_size, constants[] = {m->M, m->N, m->K}, iterations = 1;
    uint32_t *words = malloc(4096 * sizeof *words);
    double *a = malloc(m->M * m->K * sizeof *a), *b = malloc(m->K * m->N * sizeof *b), want = 0, size = 0, got_sum = 0;
    make_factor(half, 1, m->M * m->K, words, a);
    vkft_guarded A = vkft_guarded_words(f, words, m->M * m->K / (half ? 2 : 4));
    make_factor(half, 2, m->K * m->N, words, b);
    vkft_guarded B = vkft_guarded_words(f, words, m->K * m->N / (half ? 2 : 4));
    for (uint32_t i = 0; i < m->M * m->N; i++) {
        double sum = 0;
        for (uint32_t k = 0; k < m->K; k++)
            sum += a[i / m->N * m->K + k] * b[k * m->N + i % m->N];
        for (uint32_t c = 0; c < PEAK_MATRICES; c++) {
            want += c + PEAK_UNROLL * iterations * sum;
            size += c + PEAK_UNROLL * iterations * fabs(sum);
        }
    }
    vkft_guarded y = vkft_guarded_floats(f, NULL, width);
    const struct peak_matrix_args args = {.y = y.address, .a = A.address, .b = B.address, .iterations = iterations};
    vkft_kernel_specialize(f->dev, kernel, width, vkft_caps_subgroup_size(caps, width, width) ? width : 0, constants,
                           3);
    vkft_kernel_run(f, kernel, &args, sizeof args, 1, 1);
    float *got = malloc(width * sizeof *got);
    vkft_guarded_read(f, &y, got);
    for (uint32_t i = 0; i < width; i++)
        got_sum += got[i];
    /* Small integers are exact in all types; the sum of an invocation is one of f32. */
    if (!(fabs(got_sum - want) <= 0x1p-20 * size))
        fail_msg("%s: found %g, expected %g", vkft_kernel_name(kernel), got_sum, want);
    vkft_guarded_free(f, &A), vkft_guarded_free(f, &B), vkft_guarded_free(f, &y);
    free(words), free(a), free(b), free(got);
    return true;
}

static void test_matrices(void **state)
{
    const vkft_kernel_fixture *f = *state;
    int ran = check_matrices(f, VKFT_KERNEL_peak_matrix_f16_f32, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32) +
              check_matrices(f, VKFT_KERNEL_peak_matrix_f16_f16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F16) +
              check_matrices(f, VKFT_KERNEL_peak_matrix_s8_s32, VKFT_COMPONENT_S8, VKFT_COMPONENT_S32);
    if (!ran) {
        print_message("skipped: the device has no cooperative matrices, or the compiler of this build knows none\n");
        skip();
    }
}

static void test_copy(void **state)
{
    const vkft_kernel_fixture *f = *state;
    static const uint32_t sizes[] = {1, 31, 333, 4097};
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t n = 4 * sizes[i];
        float *x = vkft_random_array(5, n), *got = malloc(n * sizeof *got);
        vkft_guarded from = vkft_guarded_floats(f, x, n), to = vkft_guarded_floats(f, NULL, n);
        const struct stream_args args = {.x = from.address, .y = to.address, .n = sizes[i]};
        vkft_kernel_run(f, VKFT_KERNEL_stream_copy, &args, sizeof args, sizes[i], 1);
        vkft_guarded_read(f, &to, got);
        assert_memory_equal(got, x, n * sizeof *x);
        vkft_guarded_free(f, &from), vkft_guarded_free(f, &to);
        free(x), free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fma),
        cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests_name("kernels_bench", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
