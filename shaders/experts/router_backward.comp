/* dlogits from dweight. With w the weights of the chosen experts and d = sum_j w_j dweight_j:
 *
 *   normalized      dlogits[chosen_j] = w_j (dweight_j - d), others 0: w is the softmax over the chosen ones
 *   else            dlogits[e] = p_e (dweight_j, if e is chosen_j, - d), p the softmax over all
 *
 * threads_x = T: one invocation a token. Test: test_kernels_experts */
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
    float d = 0.0;
    for (uint j = 0; j < args.k; j++)
        d = fma(args.weight.v[chosen + j], args.dweight.v[chosen + j], d);

    float highest = args.logits.v[row], all = 0.0;
    for (uint e = 1; e < args.E; e++)
        highest = max(highest, args.logits.v[row + e]);
    for (uint e = 0; e < args.E; e++)
        all += exp_exact(args.logits.v[row + e] - highest);
    for (uint e = 0; e < args.E; e++)
        args.dlogits.v[row + e] = args.normalize != 0 ? 0.0 : -d * exp_exact(args.logits.v[row + e] - highest) / all;
    for (uint j = 0; j < args.k; j++) {
        uint at = row + args.chosen.v[chosen + j];
        args.dlogits.v[at] = args.weight.v[chosen + j] * (args.dweight.v[chosen + j] - d);
    }
}
