/* AdamW on the n f32 elements of one tensor, with moments in 8 bits; lr = rate step.lr; bias corrections and clip factor come from step:
 *   m, v = map[code] * absmax, of blocks of 256 elements;  g' = clip g;  m = b1 m + (1-b1) g';  v = b2 v + (1-b2) g'^2
 *   p -= lr wd p;  p -= lr/c1 * m / (sqrt(v)/sqrt(c2) + eps);  absmax = max |m| (of v: max v);  code = the nearest entry of the map to m / absmax
 * table: the signed map of m, the map of v, then the 255 midpoints of each, 256 floats apart. Nothing where step.grad_norm is not finite. One
 * workgroup a block; it goes through the block twice, first for absmax, and computes the moments again with the same roundings: each product and sum
 * is rounded, because fma() is fused on some devices only, so that all devices keep the same bytes. Source: Dettmers et al. 2022; bitsandbytes' AdamW8bit. Test: test_optimizer */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(adamw_8bit_args)

#define MAPS 2
#include "shaders/optimizer/codes.glsl"

#define MAP_V 256u

struct moments {
    float m, v;
};

/* After this step, of element i with these codes. Not in a loop with [[unroll]]: copies that spirv-opt makes there are precise no more. */
moments advance(uint i, uint code_m, uint code_v, float absmax_m, float absmax_v)
{
    precise float g = args.g.v[i] * args.step.v[STEP_CLIP];
    precise float m = args.table.v[code_m] * absmax_m * args.beta1 + args.grow1 * g;
    precise float v = args.table.v[MAP_V + code_v] * absmax_v * args.beta2 + args.grow2 * g * g;
    return moments(m, v);
}

void main()
{
    if (!NORM_IS_FINITE(args.step))
        return;
    uint lane = gl_LocalInvocationID.x, block = WORKGROUP, first = block * BLOCK, end = min(args.n, first + BLOCK);
    load_midpoints(args.table);

    float old_m = args.absmax_m.v[block], old_v = args.absmax_v.v[block], new_m = 0.0, new_v = 0.0;
    for (uint i = first + 4 * lane; i < end; i += 4 * WIDTH) {
        uint codes_m = args.m.v[i / 4], codes_v = args.v.v[i / 4];
        for (uint q = 0; q < 4; q++)
            if (i + q < end) {
                moments new = advance(i + q, codes_m >> (8 * q) & 255, codes_v >> (8 * q) & 255, old_m, old_v);
                new_m = max(new_m, abs(new.m));
                new_v = max(new_v, abs(new.v));
            }
    }
    new_m = subgroupMax(new_m);
    new_v = subgroupMax(new_v);

    const float smallest = 1.1754944e-38;
    precise float scale_m = 1.0 / max(new_m, smallest);
    precise float scale_v = 1.0 / max(new_v, smallest);
    float lr = args.step.v[STEP_LR] * args.rate, correction1 = args.step.v[STEP_CORRECTION1], correction2 = args.step.v[STEP_CORRECTION2_SQRT];
    for (uint i = first + 4 * lane; i < end; i += 4 * WIDTH) {
        uint codes_m = args.m.v[i / 4], codes_v = args.v.v[i / 4];
        for (uint q = 0; q < 4; q++)
            if (i + q < end) {
                uint shift = 8 * q;
                moments new = advance(i + q, codes_m >> shift & 255, codes_v >> shift & 255, old_m, old_v);
                float p = args.p.v[i + q] * (1.0 - lr * args.weight_decay);
                args.p.v[i + q] = p - lr / correction1 * (new.m / (sqrt(new.v) / correction2 + args.epsilon));
                precise float scaled_m = new.m * scale_m;
                precise float scaled_v = new.v * scale_v;
                codes_m = bitfieldInsert(codes_m, nearest(0, scaled_m), int(shift), 8);
                codes_v = bitfieldInsert(codes_v, nearest(MAP_V, scaled_v), int(shift), 8);
            }
        args.m.v[i / 4] = codes_m;
        args.v.v[i / 4] = codes_v;
    }
    if (lane == 0) {
        args.absmax_m.v[block] = new_m;
        args.absmax_v.v[block] = new_v;
    }
}
