/* Decodes a part of a weight matrix to f32 in the layout that matmul_panel reads: [column tile][k/8][tile][8].
 *
 * With TRANSPOSED (the panel is W^T, for X W^T) an invocation writes 8 successive k of one column: a run of a row of W. Without, it
 * writes 8 columns times 8 k, so that a run of a row is decoded once in this case too. Rows k from the panel's end to the next
 * multiple of 8 are zero; columns from n to the end of the tile are not written and never reach a result.
 *
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

ARGS(panel_args)

#include "weight.glsl"

struct run8 { float v[8]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer Panel_ref { run8 at[]; };

/* Run number of columns n at k = 8 * k8. */
uint place(uint n, uint k8)
{
    return (n / args.tile * ((args.k + 7) / 8) + k8) * args.tile + n % args.tile;
}

void main()
{
    Panel_ref P = Panel_ref(uvec2(args.P));
    bool aligned = args.cols % 8 == 0;
    uint id = gl_GlobalInvocationID.x, runs = (args.k + 7) / 8;
    float w[8];
#ifdef TRANSPOSED
    uint n = id / runs, k8 = id % runs;
    if (n >= args.n)
        return;
    weight8(args.W, (args.row + n) * args.cols + args.column + 8 * k8, args.k - 8 * k8, aligned, w);
    P.at[place(n, k8)].v = w;
#else
    uint octets = (args.n + 7) / 8, k8 = id / octets, n = 8 * (id % octets);
    if (k8 >= runs)
        return;
    float block[8][8];
    [[unroll]] for (uint q = 0; q < 8; q++) {
        [[unroll]] for (uint c = 0; c < 8; c++)
            block[c][q] = 0.0;
        if (8 * k8 + q < args.k) {
            weight8(args.W, (args.row + 8 * k8 + q) * args.cols + args.column + n, args.n - n, aligned, w);
            [[unroll]] for (uint c = 0; c < 8; c++)
                block[c][q] = w[c];
        }
    }
    uint first = place(n, k8);
    [[unroll]] for (uint c = 0; c < 8; c++)
        P.at[first + c].v = block[c]; /* tiles are multiples of 8 wide: columns beyond n fall into the padding */
#endif
}
