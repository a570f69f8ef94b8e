/* Weights in their storage type as f32: the one place that knows a type's bits. One of WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16,
 * WEIGHT_NF4 is defined by the kernel's row. Storage is read in 32-bit words, so no 16-bit or 8-bit device feature is needed.
 *
 * weight(W, i) is element i of the flat tensor. weight8(W, i, count, aligned, w) gives elements i to i+7, zeros from count on;
 * aligned (the same for all invocations of a workgroup) promises that i is a multiple of 8 and count is 8: then an NF4 run is
 * one word and one block.
 */
#ifdef WEIGHT_NF4
#include "nf4.glsl"
#endif

#if defined(WEIGHT_F32)
float weight(U32_ref W, uint i)
{
    return uintBitsToFloat(W.v[i]);
}
#elif defined(WEIGHT_F16)
float weight(U32_ref W, uint i)
{
    return unpackHalf2x16(W.v[i / 2] >> (16 * (i % 2))).x;
}
#elif defined(WEIGHT_BF16)
float weight(U32_ref W, uint i)
{
    return uintBitsToFloat((W.v[i / 2] >> (16 * (i % 2))) << 16);
}
#elif defined(WEIGHT_NF4)
float weight(U32_ref W, uint i)
{
    return nf4_value((W.v[i / 8] >> (4 * (i % 8 ^ 1))) & 15) * nf4_scale(i); /* the even element is the high nibble */
}
#endif

void aligned8(U32_ref W, uint i, out float w[8])
{
#if defined(WEIGHT_F32)
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = uintBitsToFloat(W.v[i + q]);
#elif defined(WEIGHT_F16)
    [[unroll]] for (uint q = 0; q < 8; q += 2) {
        vec2 pair = unpackHalf2x16(W.v[i / 2 + q / 2]);
        w[q] = pair.x;
        w[q + 1] = pair.y;
    }
#elif defined(WEIGHT_BF16)
    [[unroll]] for (uint q = 0; q < 8; q += 2) {
        uint pair = W.v[i / 2 + q / 2];
        w[q] = uintBitsToFloat(pair << 16);
        w[q + 1] = uintBitsToFloat(pair & 0xffff0000u);
    }
#elif defined(WEIGHT_NF4)
    uint codes = W.v[i / 8];
    float scale = nf4_scale(i);
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = nf4_value((codes >> (4 * (q ^ 1))) & 15) * scale;
#endif
}

void weight8(U32_ref W, uint i, uint count, bool aligned, out float w[8])
{
    if (aligned) {
        aligned8(W, i, w);
    } else {
        [[unroll]] for (uint q = 0; q < 8; q++)
            w[q] = 0.0;
        [[unroll]] for (uint q = 0; q < 8; q++)
            if (q < count)
                w[q] = weight(W, i + q);
    }
}
