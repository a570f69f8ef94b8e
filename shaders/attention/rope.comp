/* Rotary positions in place on x [T,H,D]: pairs (i, i + R/2), i < R/2, are rotated by the table's angle, backwards with direction -1.
 * threads_x = T * H * R/2: one invocation a pair. Source: Su et al. 2021, in the half-split form. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"

ARGS(rope_args)

void main()
{
    uint half_size = args.R / 2, pair = INVOCATION;
    if (pair >= args.T * args.H * half_size)
        return;
    uint i = pair % half_size, head = pair / half_size; /* head: t * H + h */
    uint at = head * args.D + i, angle = 2 * (args.position.v[head / args.H] * half_size + i);
    float c = args.table.v[angle], s = args.direction * args.table.v[angle + 1];
    float a = args.x.v[at], b = args.x.v[at + half_size];
    args.x.v[at] = a * c - b * s;
    args.x.v[at + half_size] = b * c + a * s;
}
