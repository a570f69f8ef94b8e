/* Gives each assignment its row, in the order of experts and within one in the order of assignments, and each expert its first row and tile.
 * threads_x = slices * E. Test: test_kernels_experts */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/experts/args.h"
#include "shaders/matmul/args.h"

ARGS(experts_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.slices * args.E)
        return;
    uint e = i % args.E, s = i / args.E, totals = args.slices * args.E, first = 0, tile = 0;
    for (uint other = 0; other < e; other++) {
        uint count = args.count.v[totals + other];
        first += count;
        tile += (count + GROUP_TILE - 1) / GROUP_TILE;
    }
    if (s == 0) {
        uint count = args.count.v[totals + e];
        args.group.v[2 * e] = first;
        args.group.v[2 * e + 1] = tile;
        if (e == args.E - 1) {
            args.group.v[2 * args.E] = first + count;
            args.group.v[2 * args.E + 1] = tile + (count + GROUP_TILE - 1) / GROUP_TILE;
        }
    }
    uint row = first + args.count.v[i], begin = s * EXPERT_SLICE, end = min(begin + EXPERT_SLICE, args.A);
    for (uint a = begin; a < end; a++)
        if (args.chosen.v[a] == e) {
            args.token.v[row] = a / args.k;
            args.assignment.v[row] = a;
            args.row.v[a] = row;
            row++;
        }
}
