/* ggml's block types, as formats/tensors/ggml/blocks.c lays them out. A type's file defines
 *   CODE_BITS       4, 5, 6 or 8
 *   NUMBER(code)    the number that a code stands for, exact in f32
 *   and one of SCALES_HALF (f16 d for 32 elements), SCALES_PAIR (f16 d and m for 32), SCALES_K (16 bytes for 256: f16 d and dmin, and
 *   6 bits each for scale and minimum of 8 groups), SCALES_Q6_K (int8 for 16, f16 d for 256), SCALES_E8M0 (an exponent for 32)
 * A weight is d * number, + m where there is one: each operation is rounded by itself, as ggml's are, so all values are ggml's, bit for bit.
 * Blocks are counted over the flat tensor, whose size is rounded up to them; those of GGUF files do not cross rows.
 *
 * Source: ggml-quants.c, dequantize_row_*. Test: test_matmul, test_ggml_weights
 */

/* Exact for all finite values; unpackHalf2x16 may take subnormals for 0. */
float half_at(uint bits)
{
    uint magnitude = bits & 0x7fff;
    float value = magnitude < 0x400 ? float(magnitude) * (1.0 / 16777216.0) : uintBitsToFloat((magnitude << 13) + 0x38000000u);
    return (bits & 0x8000) != 0 ? -value : value;
}

/* The codes of elements 8o to 8o + 7, as they are loaded. */
struct raw_codes {
#if CODE_BITS == 8
    uvec2 low;
#else
    uint low;
#endif
#if CODE_BITS == 5 || CODE_BITS == 6
    uint high, shift;
#endif
};

raw_codes fetch_codes(weight_ref W, uint o)
{
    Words_ref data = Words_ref(W.data);
#if CODE_BITS == 8
    return raw_codes(uvec2(data.v[2 * o], data.v[2 * o + 1]));
#elif CODE_BITS == 4
    return raw_codes(data.v[o]);
#elif CODE_BITS == 5
    uint run = o / 4 * 5;
    return raw_codes(data.v[run + o % 4], data.v[run + 4], 2 * (o % 4));
#else
    uint run = o / 4 * 6;
    return raw_codes(data.v[run + o % 4], data.v[run + 4 + o / 2 % 2], 4 * (o % 2));
#endif
}

/* A byte each. */
uvec2 bytes_of(raw_codes raw)
{
#if CODE_BITS == 8
    return raw.low;
#else
    uvec2 codes = uvec2(raw.low, raw.low >> 4) & 0x0f0f0f0f;
#if CODE_BITS == 5
    codes |= (uvec2(raw.high >> raw.shift, raw.high >> raw.shift + 1) & 0x01010101) << 4;
#elif CODE_BITS == 6
    codes |= (uvec2(raw.high >> raw.shift, raw.high >> raw.shift + 2) & 0x03030303) << 4;
#endif
    return codes;
#endif
}

/* What the scale of elements 8o to 8o + 7 is computed from. */
#if defined(SCALES_HALF)
struct raw_scale { uint d; };

raw_scale fetch_scale(weight_ref W, uint o)
{
    return raw_scale(Words_ref(W.scales).v[o / 8] >> 16 * (o / 4 % 2));
}

vec2 scale_of(raw_scale raw)
{
    return vec2(half_at(raw.d & 0xffff), 0);
}
#elif defined(SCALES_PAIR)
#define HAS_MINIMUM
struct raw_scale { uint dm; };

raw_scale fetch_scale(weight_ref W, uint o)
{
    return raw_scale(Words_ref(W.scales).v[o / 4]);
}

vec2 scale_of(raw_scale raw)
{
    return vec2(half_at(raw.dm & 0xffff), half_at(raw.dm >> 16));
}
#elif defined(SCALES_K)
#define HAS_MINIMUM
struct raw_scale { uint dm, scales, minima, upper, group; };

raw_scale fetch_scale(weight_ref W, uint o)
{
    Words_ref block = Words_ref(W.scales);
    uint at = o / 32 * 4;
    return raw_scale(block.v[at], block.v[at + 1], block.v[at + 2], block.v[at + 3], o / 4 % 8);
}

vec2 scale_of(raw_scale raw)
{
    uint shift = 8 * (raw.group % 4), scales = raw.scales >> shift, minima = raw.minima >> shift, upper = raw.upper >> shift;
    bool first = raw.group < 4; /* of the others the upper two bits lie above those of the first */
    uint scale = first ? scales & 63 : (upper & 15) | (scales >> 2 & 48);
    uint minimum = first ? minima & 63 : (upper >> 4 & 15) | (minima >> 2 & 48);
    precise float d = half_at(raw.dm & 0xffff) * float(scale);
    precise float m = half_at(raw.dm >> 16) * float(minimum);
    return vec2(d, -m);
}
#elif defined(SCALES_Q6_K)
struct raw_scale { uint scale, d; };

raw_scale fetch_scale(weight_ref W, uint o)
{
    return raw_scale(Words_ref(W.scales).v[o / 8] >> 8 * (o / 2 % 4), Words_ref(W.super).v[o / 64] >> 16 * (o / 32 % 2));
}

vec2 scale_of(raw_scale raw)
{
    precise float d = half_at(raw.d & 0xffff) * float(bitfieldExtract(int(raw.scale), 0, 8));
    return vec2(d, 0);
}
#elif defined(SCALES_E8M0)
struct raw_scale { uint exponent; };

raw_scale fetch_scale(weight_ref W, uint o)
{
    return raw_scale(Words_ref(W.scales).v[o / 16] >> 8 * (o / 4 % 4));
}

/* 2^(e-128): half of e8m0's, since the numbers are doubled. */
vec2 scale_of(raw_scale raw)
{
    uint e = raw.exponent & 255;
    return vec2(uintBitsToFloat(e < 2 ? 0x00200000u << e : (e - 1) << 23), 0);
}
#endif

float value_of(uint code, vec2 scale)
{
    precise float value = scale.x * float(NUMBER(code));
#ifdef HAS_MINIMUM
    value = value + scale.y;
#endif
    return value;
}

struct raw8 {
    raw_codes codes;
    raw_scale scale;
};

raw8 fetch8(weight_ref W, uint row, uint column)
{
    uint o = (row * W.cols + column) / 8;
    return raw8(fetch_codes(W, o), fetch_scale(W, o));
}

void decode8(weight_ref W, raw8 raw, out float w[8])
{
    uvec2 codes = bytes_of(raw.codes);
    vec2 scale = scale_of(raw.scale);
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = value_of(bitfieldExtract(q < 4 ? codes.x : codes.y, int(8 * (q % 4)), 8), scale);
}

float weight(weight_ref W, uint row, uint column)
{
    uint i = row * W.cols + column;
    uvec2 codes = bytes_of(fetch_codes(W, i / 8));
    return value_of((i % 8 < 4 ? codes.x : codes.y) >> 8 * (i % 4) & 255, scale_of(fetch_scale(W, i / 8)));
}

/* Bytes `at` to at + 7 of two runs of 8. */
uvec2 bytes_from(uvec2 first, uvec2 second, uint at)
{
    uvec3 from = at < 4 ? uvec3(first, second.x) : uvec3(first.y, second);
    uint shift = 8 * (at % 4);
    return shift == 0 ? from.xy : from.xy >> shift | from.yz << 32 - shift;
}

/* An aligned run lies in one group. */
void weight8(weight_ref W, uint row, uint column, uint count, bool aligned, out float w[8])
{
    uint i = row * W.cols + column, border = 8;
    uvec2 codes = bytes_of(fetch_codes(W, i / 8));
    vec2 scale = scale_of(fetch_scale(W, i / 8)), next = scale;
    if (!aligned) {
        uint last = (i + count - 1) / 8;
        codes = bytes_from(codes, bytes_of(fetch_codes(W, last)), i % 8);
        next = scale_of(fetch_scale(W, last));
        border = 8 - i % 8; /* elements from here on lie in the next run */
    }
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = value_of(bitfieldExtract(q < 4 ? codes.x : codes.y, int(8 * (q % 4)), 8), q < border ? scale : next);
}
