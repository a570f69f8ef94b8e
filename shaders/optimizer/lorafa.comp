/* LoRA-FA on n elements of B [n/r,r], with bias corrections and clip factor from step; lr = rate step.lr:
 *   g' = clip g C;  m = b1 m + (1-b1) g';  v = b2 v + (1-b2) g'^2;  p -= lr c2/c1 * m / (sqrt(v) + eps);  p -= lr wd p (of the first `decayed`)
 * C [r,r] = (A A^T)^-1 / scale^2; with r = 0 it is 1. Nothing where step.grad_norm is not finite. One invocation an element. p is written where no
 * other invocation reads. Source: Zhang et al. 2023 (LoRA-FA); PEFT's LoraFAOptimizer, without bf16. Test: test_kernels_training */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(lorafa_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.n || !NORM_IS_FINITE(args.step))
        return;
    float g = 0.0;
    if (args.r == 0) {
        g = args.g.v[i];
    } else {
        uint row = i / args.r * args.r, column = i % args.r;
        for (uint k = 0; k < args.r; k++)
            g = fma(args.g.v[row + k], args.c.v[k * args.r + column], g);
    }
    g *= args.step.v[STEP_CLIP];
    float lr = args.step.v[STEP_LR] * args.rate;
    float m = args.beta1 * args.m.v[i] + (1.0 - args.beta1) * g;
    float v = args.beta2 * args.v.v[i] + (1.0 - args.beta2) * g * g;
    float p = args.p.v[i] - lr * args.step.v[STEP_CORRECTION2_SQRT] / args.step.v[STEP_CORRECTION1] * (m / (sqrt(v) + args.epsilon));
    args.p.v[i] = i < args.decayed ? p - lr * args.weight_decay * p : p;
    args.m.v[i] = m;
    args.v.v[i] = v;
}
