/* Weights in their storage type as f32: the one place that knows a type's bits. One of WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16,
 * WEIGHT_NF4 is defined by the kernel's row. Storage is read in 32-bit words, so no 16-bit or 8-bit device feature is needed.
 *
 * weight(W, i) is element i of the flat tensor. weight8(W, i, count, aligned, w) gives elements i ... i+count-1, count from 1 to 8; what it
 * gives behind them is finite if they are, and nothing behind them is read. aligned (the same for a whole workgroup)
 * promises that i is a multiple of 8 and count is 8: then an NF4 run is one word and one block.
 */
#ifdef WEIGHT_NF4
#include "shaders/matmul/storage/nf4.glsl"
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
    return nf4_value((W.v[i / 8] >> (4 * (i % 8 ^ 1))) & 15) * nf4_scale(i / 64); /* the even element is the high nibble */
}
#endif

#if defined(WEIGHT_F32)
void weight8(U32_ref W, uint i, uint count, bool aligned, out float w[8])
{
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = uintBitsToFloat(W.v[i + (aligned ? q : min(q, count - 1))]);
}
#elif defined(WEIGHT_NF4)
/* The word with element e of its eight at bits 4e: storage has the even element of a byte in the high nibble. */
uint in_order(uint codes)
{
    return (codes & 0x0f0f0f0f) << 4 | (codes >> 4 & 0x0f0f0f0f);
}

void weight8(U32_ref W, uint i, uint count, bool aligned, out float w[8])
{
    uint codes = in_order(W.v[i / 8]), first = i / 64, border = 8;
    float scale = nf4_scale(first), next = scale;
    if (!aligned) {
        uint last = i + count - 1, shift = 4 * (i % 8);
        if (last / 8 != i / 8)
            codes = codes >> shift | in_order(W.v[last / 8]) << (32 - shift);
        else
            codes >>= shift;
        border = 64 - i % 64; /* elements from here on lie in the next block */
        next = nf4_scale(last / 64);
    }
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = nf4_value(codes >> (4 * q) & 15) * (q < border ? scale : next);
}
#else
void weight8(U32_ref W, uint i, uint count, bool aligned, out float w[8])
{
    if (aligned) {
        [[unroll]] for (uint q = 0; q < 8; q += 2) {
            uint pair = W.v[i / 2 + q / 2];
#ifdef WEIGHT_F16
            vec2 values = unpackHalf2x16(pair);
#else
            vec2 values = uintBitsToFloat(uvec2(pair << 16, pair & 0xffff0000u));
#endif
            w[q] = values.x;
            w[q + 1] = values.y;
        }
    } else {
        [[unroll]] for (uint q = 0; q < 8; q++)
            w[q] = weight(W, i + min(q, count - 1));
    }
}
#endif
