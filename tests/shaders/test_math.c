/* math.glsl on the CPU, with fma as one rounding and as two: drivers of old AMD GPUs compile it to a product and a sum,
 * and flush what is below the smallest normal number.
 *
 * Bounds: exp and log are polynomials whose first terms carry the result; each rounding of a later term is smaller by
 * the term's size, so both ways stay within some units in the last place of a float (2^-24 relative). log's is relative
 * to its largest part. tanh and erf end in 1 - something, where the bound is absolute.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

typedef uint32_t uint;

static uint floatBitsToUint(float x)
{
    uint bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float uintBitsToFloat(uint bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? 0 : x;
}

static bool fused;

static float multiply_add(float a, float b, float c)
{
    if (fused)
        return fmaf(a, b, c);
    volatile float product = flushed(a * b);
    return flushed(product + c);
}

/* GLSL's words in C; constants are f32, as there. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wfloat-conversion"
#define fma(a, b, c) multiply_add((float)(a), (float)(b), (float)(c))
#define int(x) ((int)(x))
#define uint(x) ((uint)(x))
#define float(x) ((float)(x))
#define abs(x) fabsf(x)
#define roundEven(x) rintf(x)
#define clamp(x, low, high) fminf(fmaxf((x), (float)(low)), (float)(high))
#define min(a, b) fminf((a), (float)(b))
#include "shaders/core/math.glsl"
#pragma GCC diagnostic pop
#undef fma
#undef int
#undef uint
#undef float
#undef abs
#undef clamp
#undef min

#define UNIT 0x1p-24

/* The largest error over the range, absolute, or relative to the result. */
static double worst(float (*function)(float), double (*exact)(double), double from, double to, bool relative)
{
    double largest = 0;
    for (int i = 0; i <= 200000; i++) {
        float x = (float)(from + (to - from) * i / 200000);
        double want = exact((double)x), error = fabs((double)function(x) - want);
        if (relative && want != 0)
            error /= fabs(want);
        if (!(error <= largest))
            largest = error;
    }
    return largest;
}

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void check(const char *name, double error, double bound)
{
    print_message("%s, %s: %.2f units\n", name, fused ? "fused" : "unfused", error / UNIT);
    if (!(error <= bound))
        fail_msg("%s: error %.3g above %.3g with %s products", name, error, bound, fused ? "fused" : "unfused");
}

static void test_errors_of_functions(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        fused = i;
        check("exp", worst(exp_exact, exp, -86, 87, true), 4 * UNIT);
        check("log near 1", worst(log_exact, log, 0.5, 2, false), 4 * UNIT);
        check("log", worst(log_exact, log, 1e-3, 1e6, true), 4 * UNIT);
        check("sigmoid", worst(sigmoid, exact_sigmoid, -30, 30, true), 6 * UNIT);
        check("tanh", worst(tanh_exact, tanh, -12, 12, false), 4 * UNIT);
        check("tanh near 0", worst(tanh_exact, tanh, -0.6, 0.6, true), 4 * UNIT);
        check("erf", worst(erf_exact, erf, -5, 5, false), 6 * UNIT);
        assert_true(exp_exact(0) == 1 && log_exact(1) == 0 && tanh_exact(0) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_errors_of_functions)};
    return cmocka_run_group_tests_name("math", tests, NULL, NULL);
}
