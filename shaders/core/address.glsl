/* Arithmetic on addresses without 64-bit integers, which not every device has. */
/* base + 4 * index, index < 2^32 elements. */
uvec2 address_of(uvec2 base, uint index)
{
    uint carry;
    uint low = uaddCarry(base.x, index << 2, carry);
    return uvec2(low, base.y + (index >> 30) + carry);
}
