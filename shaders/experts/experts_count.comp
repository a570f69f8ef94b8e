/* count[s,e] = assignments to expert e in slice s. threads_x = slices * E. Test: test_kernels_experts */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/experts/args.h"

ARGS(experts_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.slices * args.E)
        return;
    uint e = i % args.E, first = i / args.E * EXPERT_SLICE, end = min(first + EXPERT_SLICE, args.A), count = 0;
    for (uint a = first; a < end; a++)
        count += args.chosen.v[a] == e ? 1 : 0;
    args.count.v[i] = count;
}
