/* Y[m,k] = f16(X[m,k] * 2^e), rows padded with zeros; inverse[m] = 2^-e. The operands of matmul_coop and matmul_dot, of what no other kernel made so; core/f16_rows.glsl
 * says more. GATHER: of rows index[m] of X, which are copied, too. IN_PLACE: Y's rows begin where X's do, and nothing is written before it was read: an
 * iteration writes half as many bytes as it reads, so that a barrier between its reading and its writing is enough.
 *
 * Test: test_matmul, test_kernels_experts
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/core/address.glsl"
#include "shaders/core/f16_rows.glsl"

ARGS(rows_f16_args)

void main()
{
    uint row = WORKGROUP, runs = args.ldy / 4;
#ifdef GATHER
    F32_ref x = F32_ref(address_of(uvec2(args.X), args.index.v[row] * args.ldx)), copy = F32_ref(address_of(uvec2(args.copy), row * args.K));
#else
    F32_ref x = F32_ref(address_of(uvec2(args.X), row * args.ldx));
#endif
    vec4 v;
    uint largest = 0;
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        v = load_run(x, 4 * r, args.K);
        largest = largest_of(largest, v);
#ifdef GATHER
        store_run(copy, 4 * r, args.K, v);
#endif
    }
    uint exponent = exponent_for(subgroupMax(largest));
#ifdef IN_PLACE
    Halves_ref y = Halves_ref(uvec2(x));
    for (uint first = 0; first < runs; first += WIDTH) {
        uint r = first + gl_LocalInvocationID.x;
        if (r < runs)
            v = load_run(x, 4 * r, args.K);
        groupMemoryBarrier();
        barrier();
        if (r < runs)
            y.at[r] = halves_of(v, factor_of(exponent));
    }
#else
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        v = load_run(x, 4 * r, args.K);
        Halves_ref(uvec2(args.Y)).at[row * runs + r] = halves_of(v, factor_of(exponent));
    }
#endif
    if (gl_LocalInvocationID.x == 0)
        args.inverse.v[row] = inverse_of(exponent);
}
