/* Y[i] = R[i] + scale * sum over s of partial[s,i], s ascending: the end of a product whose K was cut in slices.
 *
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"

ARGS(matmul_sum_args)
#include "shaders/matmul/store.glsl"

void main()
{
    uint i = INVOCATION;
    if (i >= args.n)
        return;
    float sum = 0.0;
    for (uint s = 0; s < args.parts; s++)
        sum += args.partial.v[s * args.n + i];
    store(i, sum);
}
