/* z[t,k] = a[k, ids[t]]: what LoRA's A of an embedding says of each token. a [r,V], z [T,r] f32, ids u32 [T]. threads_x = T * r.
 * Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/embedding/args.h"

ARGS(embedding_lora_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.T * args.r)
        return;
    uint t = i / args.r, k = i % args.r;
    args.z.v[i] = args.a.v[k * args.V + args.ids.v[t]];
}
