/* Rows in f16, each scaled by a power of two: what products on matrix cores read, see f16_rows in args.h. A kernel that makes such rows goes through
 * each twice, for the largest magnitude first.
 *
 * 2^e moves a row's largest finite magnitude to [2^14, 2^15): nothing overflows f16, and what is below 2^-29 of the largest is the first to lose bits
 * to f16's smallest exponents. Scaling by a power of two is exact, so f16's rounding is the only one. An infinity or a NaN stays what it is. Magnitudes
 * are compared as integers, whose order is the same and knows no NaN.
 */
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

struct run8 { float v[8]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Run8_ref { run8 at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer Halves8_ref { uvec4 at[]; };

/* The run of 8 that begins at element `first` of x, whose last element is end - 1; zeros from there on. */
void load_run(F32_ref x, uint first, uint end, out float v[8])
{
    if (first + 8 <= end) {
        v = Run8_ref(address_of(uvec2(x), first)).at[0].v;
    } else {
        [[unroll]] for (uint q = 0; q < 8; q++)
            v[q] = first + q < end ? x.v[first + q] : 0.0;
    }
}

void store_run(F32_ref y, uint first, uint end, float v[8])
{
    if (first + 8 <= end) {
        Run8_ref(address_of(uvec2(y), first)).at[0].v = v;
    } else {
        [[unroll]] for (uint q = 0; q < 8; q++)
            if (first + q < end)
                y.v[first + q] = v[q];
    }
}

/* The larger of `largest` and the finite magnitudes of the run, as bits. */
uint largest_of(uint largest, float v[8])
{
    [[unroll]] for (uint q = 0; q < 8; q++) {
        uint magnitude = floatBitsToUint(v[q]) & 0x7fffffff;
        largest = max(largest, magnitude < 0x7f800000 ? magnitude : 0);
    }
    return largest;
}

/* Biased exponents: of the factor, for the row's largest magnitude, and of its inverse, which must not be subnormal. */
uint exponent_for(uint largest)
{
    return min(127 + 14 + 127 - (largest >> 23), 253);
}

float factor_of(uint exponent)
{
    return uintBitsToFloat(exponent << 23);
}

float inverse_of(uint exponent)
{
    return uintBitsToFloat((254 - exponent) << 23);
}

uvec4 halves_of(float v[8], float factor)
{
    uvec4 halves;
    [[unroll]] for (uint q = 0; q < 8; q += 2)
        halves[q / 2] = packFloat2x16(f16vec2(vec2(v[q], v[q + 1]) * factor));
    return halves;
}
