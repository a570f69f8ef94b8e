/* y = {gl_NumSubgroups, subgroupAdd(1)} of one workgroup. Test: test_subgroups */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"

ARGS(subgroup_args)

void main()
{
    uint sum = subgroupAdd(1u);
    if (gl_LocalInvocationID.x == 0) {
        args.y.v[0] = gl_NumSubgroups;
        args.y.v[1] = sum;
    }
}
