/* x[t, tokens[j]] = own[t,j]; with take own[t,j] = x[t, tokens[j]], which becomes 0. x [T,V], own [T,n] f32, tokens u32 [n], each once.
 * threads_x = T * n. Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/embedding/args.h"

ARGS(token_columns_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.T * args.n)
        return;
    uint at = i / args.n * args.V + args.tokens.v[i % args.n];
    if (args.take == 0) {
        args.x.v[at] = args.own.v[i];
    } else {
        args.own.v[i] = args.x.v[at];
        args.x.v[at] = 0.0;
    }
}
