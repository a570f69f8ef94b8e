/* Strided copy of columns between two row layouts, f32. threads_x = T * n: one invocation an element. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"

ARGS(copy_columns_args)

void main()
{
    uint at = INVOCATION;
    if (at >= args.T * args.n)
        return;
    uint t = at / args.n, i = at % args.n, run = i / args.run, within = i % args.run;
    args.to.v[t * args.to_ld + args.to_offset + run * args.to_step + within] =
        args.from.v[t * args.from_ld + args.from_offset + run * args.from_step + within];
}
