/* loss[i] = logsumexp(logits[i]) - logits[i,target[i]]; with backward != 0 the row becomes its gradient,
 * (softmax(logits[i]) - onehot(target[i])) * step.loss_scale. logits [rows,V] f32.
 * threads_x = rows * WIDTH: one workgroup a row. Test: test_kernels_loss */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "math.glsl"

ARGS(cross_entropy_args)

void main()
{
    uint i = gl_WorkGroupID.x, first = i * args.V;
    uint target = args.target.v[i];
    float picked = args.logits.v[first + target];

    float highest = -3.0e38;
    for (uint v = gl_LocalInvocationID.x; v < args.V; v += WIDTH)
        highest = max(highest, args.logits.v[first + v]);
    highest = subgroupMax(highest);

    float sum = 0.0;
    for (uint v = gl_LocalInvocationID.x; v < args.V; v += WIDTH) {
        float e = exp_exact(args.logits.v[first + v] - highest);
        if (args.backward != 0)
            args.logits.v[first + v] = e;
        sum += e;
    }
    sum = subgroupAdd(sum);
    if (gl_LocalInvocationID.x == 0)
        args.loss.v[i] = log_exact(sum) + (highest - picked);
    if (args.backward == 0)
        return;

    float loss_scale = args.step.v[STEP_LOSS_SCALE], scale = loss_scale / sum;
    for (uint v = gl_LocalInvocationID.x; v < args.V; v += WIDTH)
        args.logits.v[first + v] = args.logits.v[first + v] * scale - (v == target ? loss_scale : 0.0);
}
