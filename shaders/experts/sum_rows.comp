/* y[t] = (add ? r[t] : 0) + sum_j x[row[t,j]]: what a token's experts made, and the gradient that they send back.
 * threads_x = T * WIDTH: one workgroup a row. Test: test_kernels_experts */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/experts/args.h"

ARGS(sum_rows_args)

void main()
{
    uint t = WORKGROUP;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float sum = 0.0;
        for (uint j = 0; j < args.k; j++)
            sum += args.x.v[args.row.v[t * args.k + j] * args.C + c];
        uint at = t * args.C + c;
        args.y.v[at] = args.add != 0 ? args.r.v[at] + sum : sum;
    }
}
