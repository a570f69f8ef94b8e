/* Muon on one matrix of n f32 elements; shaders/optimizer/args.h has the formulas. MOMENTUM, NORMALIZE and POLYNOMIAL are kernels between the products
 * before the update. Nothing is kept where step.grad_norm is not finite. One invocation an element.
 * Source: Jordan et al. 2024; torch.optim.Muon. Test: test_kernels_training, test_muon */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(muon_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.n)
        return;
#if defined(MOMENTUM)
    if (!NORM_IS_FINITE(args.step))
        return;
    float g = args.g.v[i] * args.step.v[STEP_CLIP], m = args.m.v[i];
    m = fma(args.grow, g - m, m);
    args.m.v[i] = m;
    args.x.v[i] = args.nesterov != 0 ? fma(args.grow, g - m, m) : m;
#elif defined(NORMALIZE)
    args.x.v[i] /= max(sqrt(args.total.v[0]), 1.0e-7);
#elif defined(POLYNOMIAL)
    uint row = i / args.cols;
    args.x.v[i] = fma(MUON_B, args.g.v[i], i - row * args.cols == row ? MUON_A : 0.0);
#else
    if (!NORM_IS_FINITE(args.step))
        return;
    float lr = args.step.v[STEP_LR] * args.rate;
    float p = args.p.v[i] * (1.0 - lr * args.weight_decay);
    args.p.v[i] = p - lr * args.adjust * args.x.v[i];
#endif
}
