/* y[t] = (add ? y[t] : 0) + scale * table[ids[t] + offset] as f32; table [V,C] in the row's storage type, ids u32 [T], y [T,C].
 * threads_x = T * WIDTH: one workgroup a row. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/embedding/args.h"

ARGS(embedding_args)

#include "shaders/matmul/storage/weight.glsl"

void main()
{
    uint t = WORKGROUP, row = args.ids.v[t] + args.offset;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float y = args.scale * weight(args.table, row, c);
        args.y.v[t * args.C + c] = args.add != 0 ? args.y.v[t * args.C + c] + y : y;
    }
}
