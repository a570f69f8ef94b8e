/* What the attention kernels share. One invocation holds one row (a query, or a key in attention_dkv) of one head in registers; the
 * invocations of a workgroup take neighbouring rows and walk over the same rows of the other side together, BLOCK at a time, so that
 * every load there is uniform. The walk goes over the union of the rows' ranges; what lies outside a row's own range is masked.
 *
 * HEAD is the head size, a specialization constant, so that the arrays stay in registers. BLOCK: one row at a time is least code, and on a software device
 * costs no time; on a GPU the products of some rows should overlap. SOFTCAP is 1 where scores are soft-capped, RELATIVE where biases by
 * distance are added to them.
 */
layout(constant_id = 1) const uint HEAD = 64;
layout(constant_id = 2) const uint SOFTCAP = 0;
layout(constant_id = 3) const uint RELATIVE = 0;
layout(constant_id = 4) const uint BLOCK = 4;

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
