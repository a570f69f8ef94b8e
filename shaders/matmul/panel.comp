/* Decodes a part of a weight matrix to f32 in the layout that matmul_panel reads: [column tile][k/8][tile][8].
 *
 * An invocation decodes a run of 8 along a row of W. With TRANSPOSED (the panel is W^T, for X W^T) these are 8 successive k of a column, and
 * lie together in the panel too. Without, they belong to 8 columns; neighbouring invocations then take neighbouring k, so that
 * together they write whole runs. What lies past the panel's k rows and n columns is padding and never reaches a result.
 *
 * EXPERTS: one panel for each group from args.first on; workgroup id y numbers them.
 *
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/core/address.glsl"

#ifdef EXPERTS
ARGS(grouped_panel_args)
#include "shaders/matmul/expert_weight.glsl"
#else
ARGS(panel_args)
#define WEIGHT args.W
#endif
#include "shaders/matmul/operand.glsl"
#include "shaders/matmul/storage/weight.glsl"

struct run8 { float v[8]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer Panel_ref { run8 at[]; };

/* Run number of columns n at k = 8 * k8. */
uint place(uint n, uint k8)
{
    return (n / args.tile * ((args.k + 7) / 8) + k8) * args.tile + n % args.tile;
}

void main()
{
#ifdef EXPERTS
    uint expert = args.first + gl_WorkGroupID.y;
    if (args.group.v[2 * expert] == args.group.v[2 * expert + 2])
        return; /* no rows */
    expert_weight = weight_of(expert);
    Panel_ref P = Panel_ref(address_of(uvec2(args.P), gl_WorkGroupID.y * args.stride * 8));
#else
    Panel_ref P = Panel_ref(uvec2(args.P));
#endif
    bool aligned = WEIGHT.cols % 8 == 0;
    uint id = INVOCATION;
    float w[8];
#ifdef TRANSPOSED
    uint runs = (args.k + 7) / 8, n = id / runs, k8 = id % runs;
    if (n >= args.n)
        return;
    weight8(WEIGHT, args.row + n, args.column + 8 * k8, min(args.k - 8 * k8, 8), aligned, w);
    operands(w);
    P.at[place(n, k8)].v = w;
#else
    uint n = 8 * (id / args.k), k = id % args.k;
    if (n >= args.n)
        return;
    weight8(WEIGHT, args.row + k, args.column + n, min(args.n - n, 8), aligned, w);
    operands(w);
    uint first = place(n, k / 8);
    [[unroll]] for (uint c = 0; c < 8; c++) /* tiles are multiples of 8 wide: columns past n fall into padding */
        P.at[first + c].v[k % 8] = w[c];
#endif
}
