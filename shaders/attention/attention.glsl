/* What the attention kernels share. LANES neighbouring invocations hold one row (a query, or a key in attention_dkv) of one head in registers; the
 * invocations of a workgroup take neighbouring rows and walk over the same rows of the other side together, BLOCK at a time, so that
 * every load there is uniform but for the lane's part. The walk goes over the union of the rows' ranges; what lies outside a row's own range
 * is masked.
 *
 * HEAD is the head size, a specialization constant, so that the arrays stay in registers. BLOCK: one row at a time is least code, and on a software device
 * costs no time; on a GPU the products of some rows should overlap. SOFTCAP is 1 where scores are soft-capped, RELATIVE where biases by
 * distance are added to them.
 *
 * A row is cut into units of four elements, of which lane l of the row holds l, l + LANES, l + 2 LANES ...: a GPU's invocation has not the
 * registers for a whole row, and neighbours then read neighbouring units. Dot products are joined across lanes. That needs shuffles, so
 * kernels with lanes are rows of their own in kernels.def (-DSHARED_ROWS); the others are for software devices, where one invocation a row
 * is best.
 */
layout(constant_id = 1) const uint HEAD = 64;
layout(constant_id = 2) const uint SOFTCAP = 0;
layout(constant_id = 3) const uint RELATIVE = 0;
layout(constant_id = 4) const uint BLOCK = 4;
#ifdef SHARED_ROWS
#extension GL_KHR_shader_subgroup_shuffle : require
layout(constant_id = 5) const uint LANES = 8; /* a power of two that divides the subgroup */
#else
const uint LANES = 1;
#endif
const uint UNITS = (HEAD + 3) / 4;
const uint PART = (UNITS + LANES - 1) / LANES; /* units of a row that a lane holds */

layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer In_ref { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer In4_ref { vec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer Out4_ref { vec4 v[]; };

/* exp_exact needs no guard: masked scores are finite. */
#define MASKED -1.0e30

/* The union of the workgroup's ranges, the same for all its invocations; (0, 0) when all are empty. Walks test at the end of the loop body and
 * clamp row numbers to last_row: a software device may run a body once more with every invocation masked off, and uniform loads do not
 * heed the mask. */
uvec2 walk(uvec2 range)
{
    bool empty = range.x >= range.y;
    uvec2 span = uvec2(subgroupMin(empty ? 0xffffffffu : range.x), subgroupMax(empty ? 0u : range.y));
    return span.x < span.y ? span : uvec2(0);
}

uint last_row(uvec2 span)
{
    return max(span.y, 1u) - 1u;
}

/* The lane's place in its row. */
uint lane()
{
    return LANES == 1 ? 0 : gl_LocalInvocationID.x % LANES;
}

/* The lane's unit number d of a row of x. Past the row's end it is the row's last unit or element again, which a zero of held() cancels. */
vec4 unit_of(uvec2 x, uint row, uint d)
{
    uint unit = lane() + d * LANES;
    if (UNITS % LANES != 0 && d == PART - 1)
        unit = min(unit, UNITS - 1);
    if (HEAD % 4 == 0)
        return In4_ref(x).v[row * UNITS + unit];
    uint at = row * HEAD + 4 * unit, last = row * HEAD + HEAD - 1; /* such rows are not aligned */
    In_ref scalars = In_ref(x);
    return vec4(scalars.v[at], scalars.v[min(at + 1, last)], scalars.v[min(at + 2, last)], scalars.v[min(at + 3, last)]);
}

/* The same, with zeros past the row's end. */
vec4 held(uvec2 x, uint row, uint d)
{
    vec4 value = unit_of(x, row, d);
    if (HEAD % (4 * LANES) != 0)
        value = mix(vec4(0.0), value, lessThan(4 * (lane() + d * LANES) + uvec4(0, 1, 2, 3), uvec4(HEAD)));
    return value;
}

void store_unit(uvec2 x, uint row, uint d, vec4 value)
{
    uint unit = lane() + d * LANES;
    if (unit >= UNITS)
        return;
    if (HEAD % 4 == 0) {
        Out4_ref(x).v[row * UNITS + unit] = value;
        return;
    }
    F32_ref scalars = F32_ref(x);
    [[unroll]] for (uint i = 0; i < 4; i++)
        if (4 * unit + i < HEAD)
            scalars.v[row * HEAD + 4 * unit + i] = value[i];
}

/* sum + a . b, in the order of the elements. */
float dot_to(float sum, vec4 a, vec4 b)
{
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

/* The sum over a row's lanes, the same for all of them. */
float lanes_sum(float x)
{
#ifdef SHARED_ROWS
    [[unroll]] for (uint mask = 1; mask < LANES; mask *= 2)
        x += subgroupShuffleXor(x, mask);
#endif
    return x;
}

/* What the distance from query t to key s adds to head h's score. */
#define RELATIVE_BIAS(t, s, h)                                                                                         \
    (RELATIVE != 0 && args.span != 0                                                                                   \
         ? args.bias.v[args.bucket.v[uint(clamp(int(s) - int(t), 1 - int(args.span), int(args.span) - 1) + int(args.span) - 1)] * args.Hq + (h)] \
         : 0.0)

/* The score that enters the softmax, and its derivative by the scaled product z. */
float capped(float z, float softcap)
{
    return SOFTCAP != 0 && softcap > 0.0 ? softcapped(z, softcap) : z;
}

float cap_slope(float score, float softcap)
{
    return SOFTCAP != 0 && softcap > 0.0 ? softcap_slope(score, softcap) : 1.0;
}
