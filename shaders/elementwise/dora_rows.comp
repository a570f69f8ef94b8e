/* y[t,c] = (DORA_ADD ? r[t,c] : 0) + scale * (f[c] u[t,c] - (DORA_LESS ? base[t,c] : 0) + (DORA_BIAS ? b[c] : 0)); f32. y may be r or u.
 * threads_x = T * C: one invocation an element. Source: Liu et al. 2024 (DoRA). Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"

ARGS(dora_rows_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.T * args.C)
        return;
    uint c = i % args.C;
    float y = args.f.v[c] * args.u.v[i];
    if ((args.parts & DORA_LESS) != 0)
        y -= args.base.v[i];
    if ((args.parts & DORA_BIAS) != 0)
        y += args.b.v[c];
    y *= args.scale;
    args.y.v[i] = (args.parts & DORA_ADD) != 0 ? args.r.v[i] + y : y;
}
