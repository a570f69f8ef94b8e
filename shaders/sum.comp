/* y[w] = (add ? y[w] : 0) + sum of the w-th of `parts` equal slices of x (SQUARES: of x^2), n elements in all.
 * threads_x = parts * WIDTH: one workgroup a slice, in a fixed order. Test: test_kernels_optimizer */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

ARGS(sum_args)

void main()
{
    uint w = gl_WorkGroupID.x, slice = (args.n + args.parts - 1) / args.parts;
    uint first = min(w * slice, args.n), end = min(first + slice, args.n);
    float sum = 0.0;
    for (uint i = first + gl_LocalInvocationID.x; i < end; i += WIDTH) {
        float x = args.x.v[i];
#ifdef SQUARES
        sum = fma(x, x, sum);
#else
        sum += x;
#endif
    }
    sum = subgroupAdd(sum);
    if (gl_LocalInvocationID.x == 0)
        args.y.v[w] = args.add != 0 ? args.y.v[w] + sum : sum;
}
