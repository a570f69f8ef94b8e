/* Rows in f16, each scaled by a power of two: what products in f16 read, see f16_rows in args.h. A kernel that makes such rows goes through
 * each twice, for the largest magnitude first.
 *
 * 2^e moves a row's largest finite magnitude to [2^14, 2^15): nothing overflows f16, and what is below 2^-29 of the largest is the first to lose bits
 * to f16's smallest exponents. Scaling by a power of two is exact, so f16's rounding is the only one. An infinity or a NaN stays what it is. Magnitudes
 * are compared as integers, whose order is the same and knows no NaN.
 */
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

layout(buffer_reference, scalar, buffer_reference_align = 16) buffer Vector_ref { vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 8) writeonly buffer Halves_ref { uvec2 at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer HalvesIn_ref { uvec2 at[]; };

/* The 4 elements from `first` on of x, whose last element is end - 1; zeros from there on. */
vec4 load_run(F32_ref x, uint first, uint end)
{
    uvec2 at = address_of(uvec2(x), first);
    if (first + 4 <= end && (at.x & 15) == 0)
        return Vector_ref(at).v;
    vec4 v;
    [[unroll]] for (uint q = 0; q < 4; q++)
        v[q] = first + q < end ? x.v[first + q] : 0.0;
    return v;
}

void store_run(F32_ref y, uint first, uint end, vec4 v)
{
    uvec2 at = address_of(uvec2(y), first);
    if (first + 4 <= end && (at.x & 15) == 0) {
        Vector_ref(at).v = v;
        return;
    }
    [[unroll]] for (uint q = 0; q < 4; q++)
        if (first + q < end)
            y.v[first + q] = v[q];
}

/* The larger of `largest` and the finite magnitudes of the run, as bits. */
uint largest_of(uint largest, vec4 v)
{
    uvec4 magnitude = floatBitsToUint(v) & 0x7fffffff;
    [[unroll]] for (uint q = 0; q < 4; q++)
        largest = max(largest, magnitude[q] < 0x7f800000 ? magnitude[q] : 0);
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

uvec2 halves_of(vec4 v, float factor)
{
    v *= factor;
    return uvec2(packFloat2x16(f16vec2(v.xy)), packFloat2x16(f16vec2(v.zw)));
}

vec4 floats_of(uvec2 halves, float inverse)
{
    return vec4(unpackFloat2x16(halves.x), unpackFloat2x16(halves.y)) * inverse;
}
