/* count[s,e] becomes the sum over the slices before s; count[slices,e] the sum over all. threads_x = E. Test: test_kernels_experts */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/experts/args.h"

ARGS(experts_args)

void main()
{
    uint e = INVOCATION;
    if (e >= args.E)
        return;
    uint sum = 0;
    for (uint s = 0; s < args.slices; s++) {
        uint at = s * args.E + e, count = args.count.v[at];
        args.count.v[at] = sum;
        sum += count;
    }
    args.count.v[args.slices * args.E + e] = sum;
}
