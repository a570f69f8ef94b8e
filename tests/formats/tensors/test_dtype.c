/* Conversions against plain arithmetic in double: all 65536 halves and brain floats, all boundaries between neighbours,
 * random bits. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdlib.h>

#include "formats/tensors/dtype.h"

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* The value by the definition of the format, in double (exact). */
static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double magnitude = exponent == 0    ? ldexp(mantissa, -24)
                       : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                        : ldexp(1024 + mantissa, exponent - 25);
    return h & 0x8000 ? -magnitude : magnitude;
}

/* Rounded to a multiple of the spacing at x, ties to even: what a correct conversion to a format with `mantissa` bits
 * after the point gives. */
static double round_to(double x, int mantissa, int smallest_exponent, double largest)
{
    if (x == 0 || !isfinite(x))
        return x;
    int exponent;
    frexp(x, &exponent);
    int spacing = (exponent - 1 > smallest_exponent ? exponent - 1 : smallest_exponent) - mantissa;
    double rounded = ldexp(nearbyint(ldexp(x, -spacing)), spacing); /* default rounding mode: nearest even */
    return fabs(rounded) > largest ? copysign(INFINITY, x) : rounded;
}

static void check_to_half(float x)
{
    double expected = round_to(x, 10, -14, 65504), found = half_value(vkft_f32_to_f16(x));
    if (isnan(x)) {
        assert_true(isnan(found));
    } else if (found != expected || !signbit(found) != !signbit(expected)) {
        fail_msg("f32 %a to f16: %a, expected %a", (double)x, found, expected);
    }
}

static void check_to_brain(float x)
{
    double largest = ldexp(255, 120), expected = round_to(x, 7, -126, largest);
    double found = (double)float_of((uint32_t)vkft_f32_to_bf16(x) << 16);
    if (isnan(x)) {
        assert_true(isnan(found));
    } else if (found != expected || !signbit(found) != !signbit(expected)) {
        fail_msg("f32 %a to bf16: %a, expected %a", (double)x, found, expected);
    }
}

static void every_half(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = vkft_f16_to_f32((uint16_t)h);
        double expected = half_value((uint16_t)h);
        if (isnan(expected)) {
            assert_true(isnan(x));
            assert_true(isnan(vkft_f16_to_f32(vkft_f32_to_f16(x))));
            continue;
        }
        assert_true((double)x == expected && !signbit(x) == !signbit(expected));
        assert_int_equal(vkft_f32_to_f16(x), h);
    }
}

static void every_brain(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < 65536; b++) {
        float x = vkft_bf16_to_f32((uint16_t)b);
        assert_int_equal(bits_of(x), b << 16);
        if (!isnan(x))
            assert_int_equal(vkft_f32_to_bf16(x), b);
        else
            assert_true(isnan(vkft_bf16_to_f32(vkft_f32_to_bf16(x))));
    }
}

/* Midway between neighbours, and one unit of f32 to either side. */
static void ties(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        float middle = (float)((half_value((uint16_t)h) + (h == 0x7bff ? 65536 : half_value((uint16_t)(h + 1)))) / 2);
        const float near[3] = {middle, nextafterf(middle, 0), nextafterf(middle, INFINITY)};
        for (int i = 0; i < 3; i++) {
            check_to_half(near[i]);
            check_to_half(-near[i]);
        }
    }
    for (uint32_t b = 0; b < 0x7f80; b++) {
        for (uint32_t low = 0x7fff; low <= 0x8001; low++) {
            check_to_brain(float_of(b << 16 | low));
            check_to_brain(-float_of(b << 16 | low));
        }
    }
}

static void random_bits(void **state)
{
    (void)state;
    uint32_t u = 1;
    for (int i = 0; i < 1000000; i++) {
        u = u * 1664525 + 1013904223;
        check_to_half(float_of(u));
        check_to_brain(float_of(u));
    }
}

static void special_values(void **state)
{
    (void)state;
    assert_int_equal(vkft_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(vkft_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(vkft_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(vkft_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(vkft_f32_to_bf16(INFINITY), 0x7f80);
    assert_int_equal(vkft_f32_to_bf16(3.4e38f), 0x7f80);
    /* a NaN whose upper half alone would be infinity */
    assert_true(isnan(vkft_bf16_to_f32(vkft_f32_to_bf16(float_of(0x7f800001)))));
    assert_true(isnan(vkft_f16_to_f32(vkft_f32_to_f16(float_of(0xff800001)))));
}

/* Arrays at odd addresses, as tensors in other programs' files may lie. */
static void arrays(void **state)
{
    (void)state;
    enum { N = 1000 };
    static const vkft_dtype types[] = {VKFT_F32, VKFT_F16, VKFT_BF16};
    float x[N], y[N];
    uint8_t storage[N * 8 + 1];
    for (int i = 0; i < N; i++)
        x[i] = (float)(i - 500) / 64.0f; /* exact in every type: at most 10 significant bits... */
    for (size_t t = 0; t < 3; t++) {
        vkft_from_f32(types[t], x, N, storage + 1);
        vkft_to_f32(types[t], storage + 1, N, y);
        for (int i = 0; i < N; i++) {
            float expected =
                types[t] == VKFT_BF16 ? (float)round_to(x[i], 7, -126, 1e38) : x[i]; /* ... but bf16 has 8 */
            assert_true(y[i] == expected);
        }
    }
    for (int i = 0; i < N; i++) {
        double d = i / 3.0;
        memcpy(storage + 1 + 8 * i, &d, sizeof d);
    }
    vkft_to_f32(VKFT_F64, storage + 1, N, y);
    for (int i = 0; i < N; i++)
        assert_true(y[i] == (float)(i / 3.0));
}

static void names_and_sizes(void **state)
{
    (void)state;
    static const struct {
        vkft_dtype dtype;
        const char *name;
        uint32_t bits;
    } expected[] = {{VKFT_F32, "F32", 32},  {VKFT_F16, "F16", 16},       {VKFT_BF16, "BF16", 16},
                    {VKFT_F64, "F64", 64},  {VKFT_U8, "U8", 8},          {VKFT_I64, "I64", 64},
                    {VKFT_BOOL, "BOOL", 8}, {VKFT_F8_E4M3, "F8_E4M3", 8}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_string_equal(vkft_dtype_name(expected[i].dtype), expected[i].name);
        assert_int_equal(vkft_dtype_bits(expected[i].dtype), expected[i].bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half),      cmocka_unit_test(every_brain),    cmocka_unit_test(ties),
        cmocka_unit_test(random_bits),     cmocka_unit_test(special_values), cmocka_unit_test(arrays),
        cmocka_unit_test(names_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
