/* NF4 and FP4 decoding: the 16 code values and the scale of a block, with and without double quantization.
 *
 * Expects absmax, nested_absmax and absmax_offset in SCALES, which is args unless the kernel says otherwise, and DOUBLE_QUANT. Code values
 * are chosen by a tree of selects: no table to bind, and as fast as a table in memory where both were measured. All values are those of
 * formats/nf4.c, bit for bit.
 *
 * Source: Dettmers et al. 2023 (QLoRA); bitsandbytes' values. Test: test_matmul
 */
#ifndef SCALES
#define SCALES args
#define DOUBLE_QUANT args.double_quant
#endif

#ifdef FP4_VALUES
/* The same for bitsandbytes' FP4: a sign and eight magnitudes. */
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

/* Scale of a block of 64 elements of the flat tensor. */
float nf4_scale(uint block)
{
    if (DOUBLE_QUANT == 0)
        return uintBitsToFloat(SCALES.absmax.v[block]);
    uint code = (SCALES.absmax.v[block / 4] >> (8 * (block % 4))) & 255;
    precise float scaled = dynamic_value(code) * SCALES.nested_absmax.v[block / 256];
    precise float scale = scaled + SCALES.absmax_offset;
    return scale;
}
