/* dtable[ids[t] + offset] += scale * sum of dy[u], ids[u] = ids[t], u ascending; the first t of an id does it, so that no two workgroups write
 * one row and the order is fixed. dtable [V,C], dy [T,C] f32. threads_x = T * WIDTH: one workgroup a row. Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

ARGS(embedding_backward_args)

void main()
{
    uint t = gl_WorkGroupID.x, id = args.ids.v[t];
    for (uint u = 0; u < t; u++)
        if (args.ids.v[u] == id)
            return;
    uint row = (id + args.offset) * args.C;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float sum = 0.0;
        for (uint u = t; u < args.T; u++)
            if (args.ids.v[u] == id)
                sum += args.dy.v[u * args.C + c];
        args.dtable.v[row + c] = fma(args.scale, sum, args.dtable.v[row + c]);
    }
}
