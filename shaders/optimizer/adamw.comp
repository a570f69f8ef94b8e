/* AdamW on n flat f32 elements, in PyTorch's order of operations; lr = rate step.lr; bias corrections and clip factor come from step:
 *   g' = clip g;  p -= lr wd p (of the first `decayed`);  m = b1 m + (1-b1) g';  v = b2 v + (1-b2) g'^2;  p -= lr/c1 * m / (sqrt(v)/sqrt(c2) + eps)
 * Nothing where step.grad_norm is not finite. One invocation an element. Source: Loshchilov & Hutter 2019; torch.optim.AdamW. Test: test_kernels_training */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(adamw_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.n || !NORM_IS_FINITE(args.step))
        return;
    float lr = args.step.v[STEP_LR] * args.rate;
    float g = args.g.v[i] * args.step.v[STEP_CLIP];
    float p = args.p.v[i] * (i < args.decayed ? 1.0 - lr * args.weight_decay : 1.0);
    float m = fma(1.0 - args.beta1, g - args.m.v[i], args.m.v[i]);
    float v = args.beta2 * args.v.v[i] + (1.0 - args.beta2) * g * g;
    float denominator = sqrt(v) / args.step.v[STEP_CORRECTION2_SQRT] + args.epsilon;
    args.p.v[i] = p - lr / args.step.v[STEP_CORRECTION1] * (m / denominator);
    args.m.v[i] = m;
    args.v.v[i] = v;
}
