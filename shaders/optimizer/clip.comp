/* step.grad_norm = sqrt(sum of partial), n values; step.clip = min(1, max_norm / (grad_norm + 1e-6)), 1 when max_norm <= 0.
 * threads_x = WIDTH: one workgroup. Source: torch.nn.utils.clip_grad_norm_. Test: test_kernels_training */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(clip_args)

void main()
{
    float sum = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < args.n; i += WIDTH)
        sum += args.partial.v[i];
    float norm = sqrt(subgroupAdd(sum));
    if (gl_LocalInvocationID.x == 0) {
        args.step.v[STEP_GRAD_NORM] = norm;
        args.step.v[STEP_CLIP] = args.max_norm > 0.0 ? min(1.0, args.max_norm / (norm + 1.0e-6)) : 1.0;
    }
}
