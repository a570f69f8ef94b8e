/* dbias[b,h] += sum of by_distance[d,h], bucket[d] = b, d ascending; f32. threads_x = buckets * H: one invocation an element.
 * Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"

ARGS(bucket_sum_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.buckets * args.H)
        return;
    float sum = 0.0;
    for (uint d = 0; d < args.distances; d++)
        if (args.bucket.v[d] == i / args.H)
            sum += args.by_distance.v[d * args.H + i % args.H];
    args.dbias.v[i] += sum;
}
