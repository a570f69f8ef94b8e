/* Operands of products with quantized weights, in the type that these are computed in: f32 as it is, or rounded to bf16 (to nearest, ties to even; NaN
 * stays NaN). Values and sums stay f32.
 */
layout(constant_id = 4) const uint BF16_OPERANDS = 0;

float operand(float x)
{
    if (BF16_OPERANDS == 0)
        return x;
    uint u = floatBitsToUint(x);
    uint rounded = u + 0x7fffu + (u >> 16 & 1u);
    return uintBitsToFloat(((u & 0x7fffffffu) > 0x7f800000u ? u | 0x400000u : rounded) & 0xffff0000u);
}

void operands(inout float x[8])
{
    [[unroll]] for (uint q = 0; q < 8; q++)
        x[q] = operand(x[q]);
}
