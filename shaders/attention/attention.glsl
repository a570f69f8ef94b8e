/* What the attention kernels share. LANES neighbouring invocations hold one row (a query, or a key in attention_dkv) of one head in registers; the
 * invocations of a workgroup take neighbouring rows and walk over the same rows of the other side together, BLOCK at a time, so that
 * every load there is uniform but for the lane's part. The walk goes over the union of the rows' ranges; what lies outside a row's own range
 * is masked.
 *
 * HEAD is the head size, a specialization constant, so that the arrays stay in registers. BLOCK: one row at a time is least code; sums of several
 * rows overlap. SOFTCAP is 1 where scores are soft-capped, RELATIVE where biases by distance are added to them.
 *
 * A row is cut into units of four elements, of which lane l of the row holds l, l + LANES, l + 2 LANES ...: a GPU's invocation has not the
 * registers for a whole row, and neighbours then read neighbouring units. The same lanes hold ROWS neighbouring rows, so that a unit that was
 * loaded is used as often; what fits no registers (KEPT 0) lies in shared memory, or (KEPT 2) is read again where it is used again.
 *
 * An iteration is a tile of ROWS x BLOCK pairs, PAIRS in all. Each lane has a part of each pair's dot product. gather_pairs adds the parts so that each
 * lane ends with the sums of other pairs, OWNED of them, and computes their softmax alone; pair_of tells all lanes the result. That needs
 * shuffles, so kernels with lanes are rows of their own in kernels.def (-DSHARED_ROWS); the others are for software devices, where one
 * invocation a row is best.
 */
layout(constant_id = 1) const uint HEAD = 64;
layout(constant_id = 2) const uint SOFTCAP = 0;
layout(constant_id = 3) const uint RELATIVE = 0;
layout(constant_id = 4) const uint BLOCK = 4;
#ifdef SHARED_ROWS
#extension GL_KHR_shader_subgroup_shuffle : require
layout(constant_id = 5) const uint LANES = 8; /* this and the next are powers of two; divides the subgroup */
layout(constant_id = 6) const uint ROWS = 1;
layout(constant_id = 7) const uint KEPT = 1;
#else
const uint LANES = 1;
const uint ROWS = 1;
const uint KEPT = 1;
#endif
const uint UNITS = (HEAD + 3) / 4;
const uint PART = (UNITS + LANES - 1) / LANES; /* units of a row that a lane holds */
const uint PAIRS = ROWS * BLOCK;
const uint OWNED = PAIRS > LANES ? PAIRS / LANES : 1;
const uint OWNED_KEYS = BLOCK > LANES ? BLOCK / LANES : 1; /* pair i is of row i / OWNED_KEYS of a lane's own rows */
const uint OWNED_ROWS = OWNED / OWNED_KEYS;

layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer In_ref { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer In4_ref { vec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) volatile readonly buffer Again4_ref { vec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer Out4_ref { vec4 v[]; };

/* exp_exact needs no guard: masked scores are finite. */
#define MASKED -1.0e30

/* The union of ranges; begins with NOTHING. */
#define NOTHING uvec2(0xffffffffu, 0u)
uvec2 with_range(uvec2 all, uvec2 range)
{
    return range.x < range.y ? uvec2(min(all.x, range.x), max(all.y, range.y)) : all;
}

/* The union over the subgroup, the same for all its invocations; (0, 0) when all are empty. Walks test at the end of the loop body and
 * clamp row numbers to last_row: a software device may run a body once more with every invocation masked off, and uniform loads do not
 * heed the mask. */
uvec2 walk(uvec2 all)
{
    uvec2 span = uvec2(subgroupMin(all.x), subgroupMax(all.y));
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

/* The same for a unit that was read before in this iteration. Without registers to spare the compiler must not keep it. */
vec4 unit_again(uvec2 x, uint row, uint d)
{
    if (KEPT == 1 || HEAD % (4 * LANES) != 0)
        return unit_of(x, row, d);
    return Again4_ref(x).v[row * UNITS + lane() + d * LANES];
}

/* unit_of with zeros past the row's end. */
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

#ifdef SHARED_ROWS
#define SHUFFLE_XOR(x, mask) subgroupShuffleXor(x, mask)
#define SHUFFLE(x, from) subgroupShuffle(x, (gl_SubgroupInvocationID & ~(LANES - 1)) | (from))
#else
#define SHUFFLE_XOR(x, mask) (x)
#define SHUFFLE(x, from) (x)
#endif
#define EACH_MASK(STEP) STEP(1) STEP(2) STEP(4) STEP(8) STEP(16) STEP(32)

/* The sum over a row's lanes, the same for all of them. */
float lanes_sum(float x)
{
#define STEP(mask)                                                                                                     \
    if (LANES > mask)                                                                                                  \
        x += SHUFFLE_XOR(x, mask);
    EACH_MASK(STEP)
#undef STEP
    return x;
}

/* s: a lane's parts of PAIRS sums; then, in the first OWNED of them, sums over all lanes. Pair row * BLOCK + key is number (row * BLOCK + key) / LANES of
 * lane (row * BLOCK + key) % LANES; where there are fewer pairs than lanes, several lanes have the same. Each step halves the pairs that a
 * lane is responsible for: it keeps one of two and sends the other. */
#define GATHER_STEP(s, mask)                                                                                           \
    if (LANES > mask) {                                                                                                \
        bool odd = (lane() & mask) != 0;                                                                               \
        if (PAIRS >= 2 * mask)                                                                                         \
            [[unroll]] for (uint i = 0; i < PAIRS / (2 * mask); i++) {                                                 \
                float keep = odd ? s[2 * i + 1] : s[2 * i], send = odd ? s[2 * i] : s[2 * i + 1];                      \
                s[i] = keep + SHUFFLE_XOR(send, mask);                                                                 \
            }                                                                                                          \
        else                                                                                                           \
            s[0] += SHUFFLE_XOR(s[0], mask);                                                                           \
    }
#define GATHER_PAIRS(s) GATHER_STEP(s, 1) GATHER_STEP(s, 2) GATHER_STEP(s, 4) GATHER_STEP(s, 8) GATHER_STEP(s, 16) GATHER_STEP(s, 32)

/* Which row of ROWS a lane's own row is, and which key of BLOCK its own key. */
uint row_of(uint own)
{
    return LANES > BLOCK ? (own * LANES + lane() % min(PAIRS, LANES)) / BLOCK : own;
}

uint key_of(uint own)
{
    return LANES > BLOCK ? lane() % BLOCK : own * LANES + lane();
}

/* The value of pair (row, key), or of a row, that its lane computed. */
#define PAIR_OF(s, row, key) SHUFFLE(s[((row) * BLOCK + (key)) / LANES], ((row) * BLOCK + (key)) % LANES)
#define VALUE_OF_ROW(s, row) SHUFFLE(s[(row) * BLOCK / LANES / OWNED_KEYS], (row) * BLOCK % LANES)

/* The maximum and the sum over the lanes that have pairs of one row. */
float row_max(float x)
{
#define STEP(mask)                                                                                                     \
    if (LANES > mask && BLOCK > mask)                                                                                  \
        x = max(x, SHUFFLE_XOR(x, mask));
    EACH_MASK(STEP)
#undef STEP
    return x;
}

float row_sum(float x)
{
#define STEP(mask)                                                                                                     \
    if (LANES > mask && BLOCK > mask)                                                                                  \
        x += SHUFFLE_XOR(x, mask);
    EACH_MASK(STEP)
#undef STEP
    return x;
}

/* A lane's parts of its rows, array a of those that COPIES says: in registers or in shared memory, where nobody else reads them. */
#define COPIES(count) vec4 kept[KEPT != 0 ? (count) * ROWS * PART : 1];
#define SHARED_COPIES(count) shared vec4 stash[KEPT != 0 ? 1 : (count) * ROWS * PART * WIDTH];
#define COPY(a, r, d)                                                                                                  \
    (KEPT != 0 ? kept[((a) * ROWS + (r)) * PART + (d)] : stash[(((a) * ROWS + (r)) * PART + (d)) * WIDTH + gl_LocalInvocationID.x])
#define SET_COPY(a, r, d, value)                                                                                       \
    if (KEPT != 0)                                                                                                     \
        kept[((a) * ROWS + (r)) * PART + (d)] = value;                                                                 \
    else                                                                                                               \
        stash[(((a) * ROWS + (r)) * PART + (d)) * WIDTH + gl_LocalInvocationID.x] = value;

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
