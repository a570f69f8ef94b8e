/* loss[i] = logsumexp(z) - z[target[i]], z = softcap * tanh(logits[i] / softcap), or the logits themselves where softcap is 0; with
 * backward != 0 the row becomes its gradient, (softmax(z) - onehot(target[i])) * dz/dlogit * weight[i]. logits [rows,V] f32.
 * threads_x = rows * WIDTH: one workgroup a row. An invocation takes RUN logits per iteration: with one, a vocabulary of 262144
 * in three passes would exceed llvmpipe's limit (common.glsl).
 * Source: Gemma Team 2024 (softcap). Test: test_kernels_training */
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
    if (gl_LocalInvocationID.x == 0)
        args.loss.v[i] = log_exact(sum) + (highest - picked);
    if (args.backward == 0)
        return;

    float weight = args.weight.v[i], scale = weight / sum;
    for (uint v = 0; v < args.V; v += STRIDE)
        [[unroll]] for (uint q = 0; q < RUN; q++)
            if (nth(v, q) < args.V) {
                float z = capped(args.logits.v[first + nth(v, q)]);
                float d = exp_exact(z - highest) * scale - (nth(v, q) == target ? weight : 0.0);
                args.logits.v[first + nth(v, q)] = args.softcap != 0.0 ? d * softcap_slope(z, args.softcap) : d;
            }
}
