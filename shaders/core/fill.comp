/* y[i] = value for i < n. One invocation an element. Test: test_runtime */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"

ARGS(fill_args)

void main()
{
    uint i = INVOCATION;
    if (i < args.n)
        args.y.v[i] = args.value;
}
