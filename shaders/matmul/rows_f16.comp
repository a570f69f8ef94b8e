/* Y[m,k] = f16(X[m,k] * 2^e), rows padded with zeros; inverse[m] = 2^-e. The operands of matmul_coop.
 *
 * e moves the row's largest finite magnitude to [2^14, 2^15): nothing overflows f16, and what is below 2^-29 of the largest is the first to lose bits
 * to f16's smallest exponents. Scaling by a power of two is exact, so f16's rounding is the only one. An infinity or a NaN stays what it is. Magnitudes
 * are compared as integers, whose order is the same and knows no NaN.
 *
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/core/address.glsl"

ARGS(rows_f16_args)

struct run8 { float v[8]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer Run8_ref { run8 at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer Halves8_ref { uvec4 at[]; };

/* Elements 8*r to 8*r+7 of the row, zeros from K on. */
void load(Run8_ref x, uint r, out float v[8])
{
    if (8 * r + 8 <= args.K) {
        v = x.at[r].v;
    } else {
        [[unroll]] for (uint q = 0; q < 8; q++)
            v[q] = 8 * r + q < args.K ? x.at[r].v[q] : 0.0;
    }
}

void main()
{
    uint row = WORKGROUP, runs = args.ldy / 8;
    Run8_ref x = Run8_ref(address_of(uvec2(args.X), row * args.ldx));
    float v[8];
    uint largest = 0;
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        load(x, r, v);
        [[unroll]] for (uint q = 0; q < 8; q++) {
            uint magnitude = floatBitsToUint(v[q]) & 0x7fffffff;
            largest = max(largest, magnitude < 0x7f800000 ? magnitude : 0);
        }
    }
    largest = subgroupMax(largest);
    /* Exponents with their bias of 127; the inverse must not be subnormal. */
    uint exponent = min(127 + 14 + 127 - (largest >> 23), 253);
    float factor = uintBitsToFloat(exponent << 23);
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        load(x, r, v);
        uvec4 y;
        [[unroll]] for (uint q = 0; q < 8; q += 2)
            y[q / 2] = packFloat2x16(f16vec2(vec2(v[q], v[q + 1]) * factor));
        Halves8_ref(uvec2(args.Y)).at[row * runs + r] = y;
    }
    if (gl_LocalInvocationID.x == 0)
        args.inverse.v[row] = uintBitsToFloat((254 - exponent) << 23);
}
