/* loss[i] = logsumexp(z[i]) - z[i,target[i]], z = logits or softcap * tanh(logits / softcap); with backward != 0 the row becomes its
 * gradient, (softmax(z[i]) - onehot(target[i])) * step.loss_scale, times 1 - (z/softcap)^2 where there is a cap. logits [rows,V] f32.
 * threads_x = rows * WIDTH: one workgroup a row. Test: test_kernels_training */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "math.glsl"

ARGS(cross_entropy_args)

void main()
{
    uint i = gl_WorkGroupID.x, first = i * args.V;
    uint target = args.target.v[i];
    bool capped = args.softcap > 0.0;

    float highest = -3.0e38, picked = 0.0;
    for (uint v = gl_LocalInvocationID.x; v < args.V; v += WIDTH) {
        float z = args.logits.v[first + v];
        if (capped) {
            z = args.softcap * tanh_exact(z / args.softcap);
            args.logits.v[first + v] = z;
        }
        highest = max(highest, z);
        picked += v == target ? z : 0.0;
    }
    highest = subgroupMax(highest);
    picked = subgroupAdd(picked);

    float sum = 0.0;
    for (uint v = gl_LocalInvocationID.x; v < args.V; v += WIDTH) {
        float e = exp_exact(args.logits.v[first + v] - highest);
        if (args.backward != 0 && !capped)
            args.logits.v[first + v] = e;
        sum += e;
    }
    sum = subgroupAdd(sum);
    if (gl_LocalInvocationID.x == 0)
        args.loss.v[i] = log_exact(sum) + (highest - picked);
    if (args.backward == 0)
        return;

    float loss_scale = args.step.v[STEP_LOSS_SCALE], scale = loss_scale / sum;
    for (uint v = gl_LocalInvocationID.x; v < args.V; v += WIDTH) {
        float e = args.logits.v[first + v], slope = 1.0;
        if (capped) { /* still the score itself, whose slope is needed */
            float ratio = e / args.softcap;
            slope = 1.0 - ratio * ratio;
            e = exp_exact(e - highest);
        }
        args.logits.v[first + v] = (e * scale - (v == target ? loss_scale : 0.0)) * slope;
    }
}
