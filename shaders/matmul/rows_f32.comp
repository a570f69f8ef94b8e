/* Y[m,k] = inverse[m] * X[m,k], X in f16: what rows_f16 made, back in f32. threads_x = M * WIDTH: one workgroup a row. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/core/address.glsl"
#include "shaders/core/f16_rows.glsl"

ARGS(rows_f32_args)

void main()
{
    uint row = WORKGROUP, runs = args.ldx / 4;
    F32_ref y = F32_ref(address_of(uvec2(args.Y), row * args.K));
    float inverse = args.inverse.v[row];
    for (uint r = gl_LocalInvocationID.x; 4 * r < args.K; r += WIDTH)
        store_run(y, 4 * r, args.K, floats_of(HalvesIn_ref(uvec2(args.X)).at[row * runs + r], inverse));
}
