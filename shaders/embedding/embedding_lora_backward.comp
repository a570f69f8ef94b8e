/* a[k, ids[t]] += z[t,k], t ascending. An element of a belongs to one invocation, that of its k and its part of the vocabulary, the tokens whose
 * ids have the same remainder: so few as the rank's rows alone would take long. a [r,V], z [T,r] f32, gradients.
 * threads_x = r * EMBEDDING_LORA_PARTS. Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/embedding/args.h"

#define ROWS 4 /* per iteration; keeps the loop below llvmpipe's limit of iterations (common.glsl) */

ARGS(embedding_lora_args)

void main()
{
    uint k = INVOCATION / EMBEDDING_LORA_PARTS, part = INVOCATION % EMBEDDING_LORA_PARTS;
    if (k >= args.r)
        return;
    /* Past the last row the last one is read again: compilers may load what a condition guards before they test it. */
    for (uint first = 0; first < args.T; first += ROWS)
        [[unroll]] for (uint q = 0; q < ROWS; q++) {
            uint t = min(first + q, args.T - 1), id = args.ids.v[t];
            if (first + q < args.T && id % EMBEDDING_LORA_PARTS == part)
                args.a.v[k * args.V + id] += args.z.v[t * args.r + k];
        }
}
