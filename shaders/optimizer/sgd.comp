/* SGD with momentum on n flat f32 elements; lr = rate step.lr; the clip factor comes from step:
 *   g' = clip g + wd p (for the first `decayed`, else clip g);  b = momentum b + g';  p -= lr b
 * b is 0 before the first step, so PyTorch's special first step (b = g') is the same.
 * Nothing where step.grad_norm is not finite. One invocation per element. Source: torch.optim.SGD, dampening 0. Test: test_optimizer */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(sgd_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.n || !NORM_IS_FINITE(args.step))
        return;
    float p = args.p.v[i], g = args.g.v[i] * args.step.v[STEP_CLIP];
    g += i < args.decayed ? args.weight_decay * p : 0.0;
    float b = fma(args.momentum, args.b.v[i], g);
    args.p.v[i] = p - (args.step.v[STEP_LR] * args.rate) * b;
    args.b.v[i] = b;
}
