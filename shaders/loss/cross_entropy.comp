/* loss[i] = l - (1-e) z[target[i]] - e mean(z) + b l^2, l = logsumexp(z), e label smoothing, b the z-loss' coefficient,
 * z = softcap * tanh(logits[i] / softcap), or the logits themselves where softcap is 0; with backward != 0 the row becomes its gradient,
 * (softmax(z) (1 + 2 b l) - (1-e) onehot(target[i]) - e/V) * dz/dlogit * weight[i]. logits [rows,V] f32.
 * threads_x = rows * WIDTH: one workgroup a row. An invocation takes RUN logits per iteration: with one, a vocabulary of 262144
 * in three passes would exceed llvmpipe's limit (common.glsl).
 * Source: Gemma Team 2024 (softcap); Szegedy et al. 2015 (smoothing, as transformers' LabelSmoother has it); Chowdhery et al. 2022 (z-loss).
 * Test: test_kernels_training */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/loss/args.h"
#include "shaders/core/math.glsl"

ARGS(cross_entropy_args)

#define RUN 8
#define STRIDE (RUN * WIDTH)

/* Number of the q-th logit of this invocation's iteration that starts at logit v. */
uint nth(uint v, uint q)
{
    return v + q * WIDTH + gl_LocalInvocationID.x;
}

float capped(float logit)
{
    return args.softcap != 0.0 ? softcapped(logit, args.softcap) : logit;
}

/* How far the mean of the row's z is below this one. */
float below(uint first, float z)
{
    float sum = 0.0;
    for (uint v = 0; v < args.V; v += STRIDE) {
        float part = 0.0;
        [[unroll]] for (uint q = 0; q < RUN; q++)
            if (nth(v, q) < args.V)
                part += z - capped(args.logits.v[first + nth(v, q)]);
        sum += part;
    }
    return subgroupAdd(sum) / float(args.V);
}

void main()
{
    uint i = WORKGROUP, first = i * args.V;
    uint target = args.target.v[i];
    float picked = capped(args.logits.v[first + target]);

    float highest = -3.0e38;
    for (uint v = 0; v < args.V; v += STRIDE)
        [[unroll]] for (uint q = 0; q < RUN; q++)
            highest = max(highest, args.logits.v[first + min(nth(v, q), args.V - 1)]);
    highest = capped(subgroupMax(highest));

    float sum = 0.0;
    for (uint v = 0; v < args.V; v += STRIDE) {
        float part = 0.0; /* so that small terms do not drown in the sum */
        [[unroll]] for (uint q = 0; q < RUN; q++)
            if (nth(v, q) < args.V)
                part += exp_exact(capped(args.logits.v[first + nth(v, q)]) - highest);
        sum += part;
    }
    sum = subgroupAdd(sum);
    float added = 0.0, slope = 1.0;
    if (args.smoothing != 0.0)
        added = args.smoothing * below(first, picked);
    if (args.z_loss != 0.0) {
        float l = log_exact(sum) + highest;
        added += args.z_loss * l * l;
        slope += 2.0 * args.z_loss * l;
    }
    if (gl_LocalInvocationID.x == 0)
        args.loss.v[i] = log_exact(sum) + (highest - picked) + added;
    if (args.backward == 0)
        return;

    float weight = args.weight.v[i], scale = weight / sum * slope;
    float hit = weight * (1.0 - args.smoothing), each = weight * args.smoothing / float(args.V);
    for (uint v = 0; v < args.V; v += STRIDE)
        [[unroll]] for (uint q = 0; q < RUN; q++)
            if (nth(v, q) < args.V) {
                float z = capped(args.logits.v[first + nth(v, q)]);
                float d = exp_exact(z - highest) * scale - (nth(v, q) == target ? hit : 0.0) - each;
                args.logits.v[first + nth(v, q)] = args.softcap != 0.0 ? d * softcap_slope(z, args.softcap) : d;
            }
}
