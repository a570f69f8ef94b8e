/* Which experts a token goes to, and with what weights. threads_x = T: one invocation a token, since experts are few.
 *
 * Source: Shazeer et al. 2017; Fedus et al. 2021. Test: test_kernels_experts */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/experts/args.h"
#include "shaders/core/math.glsl"

ARGS(router_args)

void main()
{
    uint t = INVOCATION;
    if (t >= args.T)
        return;
    uint row = t * args.E, chosen = t * args.k;
    float highest = args.logits.v[row];
    for (uint e = 1; e < args.E; e++)
        highest = max(highest, args.logits.v[row + e]);
    float all = 0.0;
    for (uint e = 0; e < args.E; e++)
        all += exp_exact(args.logits.v[row + e] - highest);

    /* Each iteration finds the next expert in descending order of logit; equal logits are ordered by expert index. */
    float last = 0.0, sum = 0.0;
    uint last_expert = 0;
    for (uint j = 0; j < args.k; j++) {
        float best = 0.0;
        uint best_expert = args.E;
        for (uint e = 0; e < args.E; e++) {
            float z = args.logits.v[row + e];
            bool left = j == 0 || z < last || (z == last && e > last_expert);
            if (left && (best_expert == args.E || z > best)) {
                best = z;
                best_expert = e;
            }
        }
        best_expert = min(best_expert, args.E - 1); /* NaNs are in no order */
        last = best;
        last_expert = best_expert;
        float p = exp_exact(best - highest) / all;
        sum += p;
        args.chosen.v[chosen + j] = best_expert;
        args.weight.v[chosen + j] = p;
    }
    if (args.normalize != 0)
        for (uint j = 0; j < args.k; j++)
            args.weight.v[chosen + j] /= sum;
}
