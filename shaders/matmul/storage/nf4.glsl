/* NF4: 16 code values, and a scale for each block of 64 elements of the flat tensor. nf4_dq.glsl, fp4.glsl and fp4_dq.glsl are the variants.
 *
 * W.scales are f32 per block; with DOUBLE_QUANT u8 codes, and W.super f32 per 256 blocks. Code values are chosen by a tree of selects: no
 * table to bind, and as fast as a table in memory where both were measured. All values are those of formats/tensors/nf4.c, bit for bit.
 *
 * Source: Dettmers et al. 2023 (QLoRA); bitsandbytes' values. Test: test_matmul
 */
#ifdef FP4_VALUES
/* bitsandbytes' FP4: a sign and eight magnitudes. */
float nf4_value(uint code)
{
    bool b0 = (code & 1) != 0, b1 = (code & 2) != 0, b2 = (code & 4) != 0;
    float v01 = b0 ? 0.0052083334885537624 : 0.0;
    float v23 = b0 ? 1.0 : 0.6666666865348816;
    float v45 = b0 ? 0.5 : 0.3333333432674408;
    float v67 = b0 ? 0.25 : 0.1666666716337204;
    float v03 = b1 ? v23 : v01, v47 = b1 ? v67 : v45, magnitude = b2 ? v47 : v03;
    return (code & 8) != 0 ? -magnitude : magnitude;
}
#else
float nf4_value(uint code)
{
    bool b0 = (code & 1) != 0, b1 = (code & 2) != 0, b2 = (code & 4) != 0, b3 = (code & 8) != 0;
    float v01 = b0 ? -0.6961928009986877 : -1.0;
    float v23 = b0 ? -0.39491748809814453 : -0.5250730514526367;
    float v45 = b0 ? -0.18477343022823334 : -0.28444138169288635;
    float v67 = b0 ? 0.0 : -0.09105003625154495;
    float v89 = b0 ? 0.16093020141124725 : 0.07958029955625534;
    float vab = b0 ? 0.33791524171829224 : 0.24611230194568634;
    float vcd = b0 ? 0.5626170039176941 : 0.44070982933044434;
    float vef = b0 ? 1.0 : 0.7229568362236023;
    float v03 = b1 ? v23 : v01, v47 = b1 ? v67 : v45, v8b = b1 ? vab : v89, vcf = b1 ? vef : vcd;
    float v07 = b2 ? v47 : v03, v8f = b2 ? vcf : v8b;
    return b3 ? v8f : v07;
}
#endif

#ifdef DOUBLE_QUANT
/* Entry k of linspace(0.1, 1, 2^i + 1) as f32: the exact value in units of 2^-30, rounded once. 0x6666668 is f32(0.1),
 * 0xe66666 * 2^-24 the f32 step of i = 0, counted from the nearer end as PyTorch does. */
float dynamic_boundary(uint i, uint k)
{
    uint n = 1 << i, slope = 0xe66666 << (6 - i);
    return float(2 * k < n ? 0x6666668 + slope * k : 0x40000000 - slope * (n - k)) * (1.0 / 1073741824.0);
}

/* Entry of the signed dynamic map: 10^(i-6) times the midpoints of linspace(0.1, 1, 2^i + 1), i = 0 to 6, ascending from the middle
 * to both sides; 0 in the middle, 1 at the end. Computed, because a table of 256 in a shader is slow to compile and to read. */
float dynamic_value(uint code)
{
    uint p = code > 127 ? code - 127 : 127 - code; /* 1 is the smallest magnitude */
    uint i = uint(findMSB(p | 1)), k = p - (1 << i);
    float power = i < 3 ? (i == 0 ? 1e-6 : i == 1 ? 1e-5 : 1e-4) : i < 5 ? (i == 3 ? 1e-3 : 1e-2) : i == 5 ? 1e-1 : 1.0;
    precise float mean = (dynamic_boundary(i, k) + dynamic_boundary(i, k + 1)) * 0.5;
    precise float magnitude = code == 255 ? 1.0 : p == 0 ? 0.0 : power * mean;
    return code > 127 ? magnitude : -magnitude;
}

/* The scale of a block whose code has the value `value` in the dynamic map. */
float scale_of(weight_ref W, float value, float super)
{
    precise float scaled = value * super;
    precise float scale = scaled + W.offset;
    return scale;
}

uint scale_code(weight_ref W, uint block)
{
    return (Words_ref(W.scales).v[block / 4] >> (8 * (block % 4))) & 255;
}

float nf4_scale(weight_ref W, uint block)
{
    return scale_of(W, dynamic_value(scale_code(W, block)), Floats_ref(W.super).v[block / 256]);
}
#else
float nf4_scale(weight_ref W, uint block)
{
    return uintBitsToFloat(Words_ref(W.scales).v[block]);
}
#endif

#ifdef SHARED_TABLES
/* 16 values lie in different banks, so a look-up costs one load; the tree of selects costs some 20 instructions. */
#define HAS_TABLES
shared float nf4_table[16];
#ifdef DOUBLE_QUANT
shared float dynamic_table[256];
#endif

void load_tables(uint id)
{
    for (uint i = id; i < 16; i += WIDTH)
        nf4_table[i] = nf4_value(i);
#ifdef DOUBLE_QUANT
    for (uint i = id; i < 256; i += WIDTH)
        dynamic_table[i] = dynamic_value(i);
#endif
}

struct raw8 {
    uint codes;
#ifdef DOUBLE_QUANT
    uint scale;
    float super;
#else
    float scale;
#endif
};

raw8 fetch8(weight_ref W, uint row, uint column)
{
    uint i = row * W.cols + column, block = i / 64;
#ifdef DOUBLE_QUANT
    return raw8(Words_ref(W.data).v[i / 8], scale_code(W, block), Floats_ref(W.super).v[block / 256]);
#else
    return raw8(Words_ref(W.data).v[i / 8], nf4_scale(W, block));
#endif
}

void decode8(weight_ref W, raw8 raw, out float w[8])
{
#ifdef DOUBLE_QUANT
    float scale = scale_of(W, dynamic_table[raw.scale], raw.super);
#else
    float scale = raw.scale;
#endif
    [[unroll]] for (uint q = 0; q < 8; q++) /* the even element is the high nibble */
        w[q] = nf4_table[raw.codes >> (4 * (q ^ 1)) & 15] * scale;
}
#endif

#ifdef SUBGROUP_TABLE
/* In subgroups of 8, invocation i holds values i and 8 + i: a look-up is two shuffles, each of which is one instruction of AVX2. */
float low_values, high_values;

void load_subgroup_table()
{
    low_values = nf4_value(gl_SubgroupInvocationID & 7);
    high_values = nf4_value(8 + (gl_SubgroupInvocationID & 7));
}

float look_up(uint code)
{
    float low = subgroupShuffle(low_values, code & 7), high = subgroupShuffle(high_values, code & 7);
    return (code & 8) != 0 ? high : low;
}

/* The run from an element on, a multiple of 8, in a block whose scale is known. */
void block8(weight_ref W, uint element, float scale, out float w[8])
{
    uint codes = Words_ref(W.data).v[element / 8];
    [[unroll]] for (uint q = 0; q < 8; q++) /* the even element is the high nibble */
        w[q] = look_up(codes >> (4 * (q ^ 1)) & 15) * scale;
}
#else
#define look_up nf4_value
#endif

float weight(weight_ref W, uint row, uint column)
{
    uint i = row * W.cols + column;
    return nf4_value((Words_ref(W.data).v[i / 8] >> (4 * (i % 8 ^ 1))) & 15) * nf4_scale(W, i / 64); /* the even element is the high nibble */
}

/* The word with element e of its eight at bits 4e: storage has the even element of a byte in the high nibble. */
uint in_order(uint codes)
{
    return (codes & 0x0f0f0f0f) << 4 | (codes >> 4 & 0x0f0f0f0f);
}

/* An aligned run is one word and lies in one block. */
void weight8(weight_ref W, uint row, uint column, uint count, bool aligned, out float w[8])
{
    uint i = row * W.cols + column;
    uint codes = in_order(Words_ref(W.data).v[i / 8]), first = i / 64, border = 8;
    float scale = nf4_scale(W, first), next = scale;
    if (!aligned) {
        uint last = i + count - 1, shift = 4 * (i % 8);
        if (last / 8 != i / 8)
            codes = codes >> shift | in_order(Words_ref(W.data).v[last / 8]) << (32 - shift);
        else
            codes >>= shift;
        border = 64 - i % 64; /* elements from here on lie in the next block */
        next = nf4_scale(W, last / 64);
    }
    [[unroll]] for (uint q = 0; q < 8; q++)
        w[q] = look_up(codes >> (4 * q) & 15) * (q < border ? scale : next);
}
