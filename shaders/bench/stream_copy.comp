/* y[i] = x[i], 16 bytes an invocation: the bandwidth of the device's memory. Test: test_kernels_bench */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/bench/args.h"

ARGS(stream_args)

void main()
{
    uint i = INVOCATION;
    if (i < args.n)
        args.y.v[i] = args.x.v[i];
}
