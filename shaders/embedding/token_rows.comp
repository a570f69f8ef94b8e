/* y[t] = scale * rows[slots[ids[t]] - 1] where the token of t has a row of its own. rows [n,C], y [T,C] f32, slots u32 [V].
 * threads_x = T * WIDTH: one workgroup a row. Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/embedding/args.h"

ARGS(token_rows_args)

void main()
{
    uint t = WORKGROUP, slot = args.slots.v[args.ids.v[t]];
    if (slot != 0)
        for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH)
            args.y.v[t * args.C + c] = args.scale * args.rows.v[(slot - 1) * args.C + c];
}
