/* Lion on the n f32 elements of one tensor, with a moment in 8 bits; lr = rate step.lr; the clip factor comes from step:
 *   m = map[code] * absmax, of blocks of 256 elements;  g' = clip g;  p -= lr wd p;  p -= lr sign(b1 m + (1-b1) g')
 *   m = b2 m + (1-b2) g';  absmax = max |m|;  code = the nearest entry of the map to m / absmax
 * table: the signed map, then its 255 midpoints. Nothing where step.grad_norm is not finite. One workgroup a block; it goes through the block twice,
 * first for absmax. Each product and sum is rounded, as in adamw_8bit.comp, so that all devices keep the same bytes. Source: Chen et al. 2023;
 * bitsandbytes' Lion8bit. Test: test_optimizer */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(lion_8bit_args)

#define MAPS 1
#include "shaders/optimizer/codes.glsl"

struct moments {
    float m, direction;
};

/* After this step, of element i with this code. Not in a loop with [[unroll]]: copies that spirv-opt makes there are precise no more. */
moments advance(uint i, uint code, float absmax)
{
    precise float g = args.g.v[i] * args.step.v[STEP_CLIP];
    precise float old = args.table.v[code] * absmax;
    precise float m = old * args.beta2 + args.grow2 * g;
    precise float direction = old * args.beta1 + args.grow1 * g;
    return moments(m, direction);
}

void main()
{
    if (!NORM_IS_FINITE(args.step))
        return;
    uint lane = gl_LocalInvocationID.x, block = WORKGROUP, first = block * BLOCK, end = min(args.n, first + BLOCK);
    load_midpoints(args.table);

    float old_absmax = args.absmax.v[block], absmax = 0.0;
    for (uint i = first + 4 * lane; i < end; i += 4 * WIDTH) {
        uint codes = args.m.v[i / 4];
        for (uint q = 0; q < 4; q++)
            if (i + q < end)
                absmax = max(absmax, abs(advance(i + q, codes >> (8 * q) & 255, old_absmax).m));
    }
    absmax = subgroupMax(absmax);

    precise float scale = 1.0 / max(absmax, 1.1754944e-38);
    float lr = args.step.v[STEP_LR] * args.rate;
    for (uint i = first + 4 * lane; i < end; i += 4 * WIDTH) {
        uint codes = args.m.v[i / 4];
        for (uint q = 0; q < 4; q++)
            if (i + q < end) {
                uint shift = 8 * q;
                moments new = advance(i + q, codes >> shift & 255, old_absmax);
                float p = args.p.v[i + q] * (1.0 - lr * args.weight_decay);
                args.p.v[i + q] = p - lr * sign(new.direction);
                precise float scaled = new.m * scale;
                codes = bitfieldInsert(codes, nearest(0, scaled), int(shift), 8);
            }
        args.m.v[i / 4] = codes;
    }
    if (lane == 0)
        args.absmax.v[block] = absmax;
}
