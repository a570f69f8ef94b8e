/* dtable[ids[t] + offset] += scale * dy[t], t ascending: a column of the table belongs to one invocation, which adds to it token by token.
 * dtable [V,C], dy [T,C] f32. threads_x = C. Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/embedding/args.h"

#define ROWS 4 /* per iteration; keeps the loop below llvmpipe's limit of iterations (common.glsl) */

ARGS(embedding_backward_args)

void main()
{
    uint c = INVOCATION;
    if (c >= args.C)
        return;
    /* Past the last row the last one is read again: compilers may load what a condition guards before they test it. */
    for (uint first = 0; first < args.T; first += ROWS)
        [[unroll]] for (uint q = 0; q < ROWS; q++) {
            uint t = min(first + q, args.T - 1), at = (args.ids.v[t] + args.offset) * args.C + c;
            if (first + q < args.T)
                args.dtable.v[at] = fma(args.scale, args.dy.v[t * args.C + c], args.dtable.v[at]);
        }
}
