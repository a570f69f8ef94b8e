/* Lion on n flat f32 elements; lr = rate step.lr; the clip factor comes from step:
 *   g' = clip g;  p -= lr wd p (of the first `decayed`);  p -= lr sign(b1 m + (1-b1) g');  m = b2 m + (1-b2) g'
 * Nothing where step.grad_norm is not finite. One invocation per element. Source: Chen et al. 2023, algorithm 2. Test: test_optimizer */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(lion_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.n || !NORM_IS_FINITE(args.step))
        return;
    float lr = args.step.v[STEP_LR] * args.rate;
    float g = args.g.v[i] * args.step.v[STEP_CLIP], m = args.m.v[i];
    float p = args.p.v[i] * (i < args.decayed ? 1.0 - lr * args.weight_decay : 1.0);
    args.p.v[i] = p - lr * sign(fma(1.0 - args.beta1, g - m, m));
    args.m.v[i] = fma(1.0 - args.beta2, g - m, m);
}
