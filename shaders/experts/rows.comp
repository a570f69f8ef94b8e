/* GATHER: dst[i] = src[index[i]].  SCATTER: dst[index[i]] = src[i], indices distinct. i < rows, C columns f32.
 * threads_x = rows * WIDTH: one workgroup a row. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/experts/args.h"

ARGS(rows_args)

void main()
{
    uint i = WORKGROUP;
#ifdef GATHER
    uint from = args.index.v[i] * args.C, to = i * args.C;
#else
    uint from = i * args.C, to = args.index.v[i] * args.C;
#endif
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH)
        args.dst.v[to + c] = args.src.v[from + c];
}
