/* rows[slots[ids[t]] - 1] += scale * y[t] where the token of t has a row of its own, t ascending: a column belongs to one invocation.
 * rows [n,C], y [T,C] f32, gradients. threads_x = C. Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/embedding/args.h"

#define ROWS 4 /* per iteration; keeps the loop below llvmpipe's limit of iterations (common.glsl) */

ARGS(token_rows_args)

void main()
{
    uint c = INVOCATION;
    if (c >= args.C)
        return;
    /* Past the last row the last one is read again: compilers may load what a condition guards before they test it. */
    for (uint first = 0; first < args.T; first += ROWS)
        [[unroll]] for (uint q = 0; q < ROWS; q++) {
            uint t = min(first + q, args.T - 1), slot = args.slots.v[args.ids.v[t]];
            if (first + q < args.T && slot != 0) {
                uint at = (slot - 1) * args.C + c;
                args.rows.v[at] = fma(args.scale, args.y.v[t * args.C + c], args.rows.v[at]);
            }
        }
}
