/* What the attention kernels for matrix cores share. A workgroup has OWN_ROWS rows of one head (queries; of attention_dkv_coop keys), TM for each of its
 * subgroups, and walks over tiles of OTHER_ROWS rows of the other side, which lie in shared memory for all subgroups. Products are cooperative
 * matrices of TM x TN x TK with f16 operands and f32 sums; everything between them is f32: sums go through shared memory to the lanes, LANES_A_ROW
 * of which compute a row's softmax.
 *
 * The gradients of a long head do not fit a subgroup's registers. Then SPLIT subgroups have TM rows together: each computes the scores of its part of
 * the other side's rows, tells the others what follows from them through shared memory, and adds up its part of the head's elements.
 *
 * What follows from scores becomes f16, so the exponential that the device has is exact enough: by the standard it is off by (3 + 2 |x|) 2^-23 at most,
 * 2^-17 where a factor is within f16's precision of the largest.
 *
 * An operand is rounded to f16 once, and f16 keeps its range: a tile is scaled by the power of two that brings its largest element to 2^14, and
 * what is multiplied is scaled back in f32. Sums over several tiles need one scale: that of the largest so far; when it grows, the sums are
 * multiplied by the ratio, a power of two, which is exact.
 *
 * All subgroups pass all barriers, those of a subgroup too: software devices count them as the workgroup's.
 */
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_shuffle : require

layout(constant_id = 8) const uint TM = 16;
layout(constant_id = 9) const uint TN = 16;
layout(constant_id = 10) const uint TK = 16;
layout(constant_id = 11) const uint SUBGROUP = 32;
layout(constant_id = 12) const uint OTHER_ROWS = 32;
#ifndef SPLIT
layout(constant_id = 13) const uint SPLIT = 1;
#endif

const uint SUBGROUPS = WIDTH / SUBGROUP, OWN_ROWS = SUBGROUPS / SPLIT * TM;
const uint COLUMNS = OTHER_ROWS / SPLIT;                              /* of the scores, that a subgroup computes */
const uint LANES_A_ROW = SUBGROUP / TM, EACH = COLUMNS / LANES_A_ROW; /* of a row's elements, a lane has pairs: see column_of */
const uint OUTPUTS = (HEAD / TN + SPLIT - 1) / SPLIT; /* matrices of a head's elements that a subgroup adds up; see first_output */
const uint LD = HEAD / 2 + 4;             /* row stride of tiles, in pairs of halves; 8 halves of padding put rows into different banks */
const uint LD_PAIRS = OTHER_ROWS / 2 + 4; /* of the factors' tile */
const uint LD_SUMS = COLUMNS + 4;         /* of the sums' tile, in floats */
const uint OWN_TILE = OWN_ROWS * LD, OTHER_TILE = OTHER_ROWS * LD, FACTORS = OWN_ROWS * LD_PAIRS, SUMS = SUBGROUPS * TM * LD_SUMS;

/* Matrices must begin at 16 bytes, and no variable says so: each has a multiple of 16 bytes, so that the next begins there, too.
 * A kernel declares: shared f16vec2 halves[...]. */
const uint A_SUBGROUP = (SUBGROUPS + 3) / 4 * 4; /* elements of an array with one for each subgroup */
shared float sums[SUMS];
shared float largest[A_SUBGROUP];
shared uvec2 spans[A_SUBGROUP];

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB>
#define MATRIX_C coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>

/* The subgroup's first row in the workgroup; the lane's. */
uint first_row()
{
    return gl_SubgroupID / SPLIT * TM;
}

uint own_row()
{
    return first_row() + gl_SubgroupInvocationID / LANES_A_ROW;
}

/* The lane's element number e of its row: its place in the sums, and its column. */
uint place_in_row(uint e)
{
    return (e / 2 * LANES_A_ROW + gl_SubgroupInvocationID % LANES_A_ROW) * 2 + e % 2;
}

uint place_of(uint e)
{
    return (gl_SubgroupID * TM + gl_SubgroupInvocationID / LANES_A_ROW) * LD_SUMS + place_in_row(e);
}

uint column_of(uint e)
{
    return gl_SubgroupID % SPLIT * COLUMNS + place_in_row(e);
}

/* The first of the subgroup's OUTPUTS matrices; where they are no multiple of SPLIT, two subgroups compute the same one. */
uint first_output()
{
    return min(gl_SubgroupID % SPLIT * OUTPUTS, HEAD / TN - OUTPUTS);
}

/* Between what the subgroups that share rows tell each other. */
void rows_barrier()
{
    if (SPLIT > 1)
        barrier();
    else
        subgroupBarrier();
}

/* The exponential, and a capped score by it, which is off by softcap 2^-21 at most. */
float exp_near(float x)
{
    return exp(max(x, -87.0));
}

float capped_near(float z, float softcap)
{
    return SOFTCAP != 0 && softcap > 0.0 ? softcap - 2.0 * softcap / (exp(min(2.0 / softcap * z, 80.0)) + 1.0) : z;
}

float over_row_max(float x)
{
    if (LANES_A_ROW > 1)
        x = max(x, subgroupShuffleXor(x, 1));
    if (LANES_A_ROW > 2)
        x = max(x, subgroupShuffleXor(x, 2));
    return x;
}

float over_row_sum(float x)
{
    if (LANES_A_ROW > 1)
        x += subgroupShuffleXor(x, 1);
    if (LANES_A_ROW > 2)
        x += subgroupShuffleXor(x, 2);
    return x;
}

/* The power of two by which x / it is in [2^14, 2^15), for x of ordinary size. */
float unit_for(float x)
{
    return uintBitsToFloat((clamp(floatBitsToUint(x) >> 23, 40u, 254u) - 14u) << 23);
}

/* The union over the workgroup of what its subgroups see. */
uvec2 workgroup_span(uvec2 span)
{
    if (gl_SubgroupInvocationID == 0)
        spans[gl_SubgroupID] = span;
    barrier();
    uvec2 all = NOTHING;
    for (uint i = 0; i < SUBGROUPS; i++)
        all = with_range(all, spans[i]);
    return all.x < all.y ? all : uvec2(0);
}

/* Rows first ... first + count - 1 of one of `heads` heads of x, those past `last` as that one, to the tile at `tile`. Returns what its elements are to be
 * multiplied by. The caller's barrier follows; the one in here comes after all subgroups are done with what was in the tile. */
#define LOAD_TILE(result, address, first, last, heads, head, count, tile)                                                    \
    {                                                                                                                  \
        const uint runs = (count) * HEAD / 4, runs_each = (runs + WIDTH - 1) / WIDTH;                                  \
        vec4 next[runs_each];                                                                                          \
        float high = 0.0;                                                                                              \
        [[unroll]] for (uint i = 0; i < runs_each; i++) {                                                              \
            uint run = min(gl_LocalInvocationID.x + i * WIDTH, runs - 1);                                              \
            uint row = min((first) + run / (HEAD / 4), last) * (heads) + (head);                                       \
            next[i] = In4_ref(address).v[row * (HEAD / 4) + run % (HEAD / 4)];                                               \
            vec4 size = abs(next[i]);                                                                                  \
            high = max(high, max(max(size.x, size.y), max(size.z, size.w)));                                           \
        }                                                                                                              \
        high = subgroupMax(high);                                                                                      \
        if (gl_SubgroupInvocationID == 0)                                                                              \
            largest[gl_SubgroupID] = high;                                                                             \
        barrier();                                                                                                     \
        for (uint i = 0; i < SUBGROUPS; i++)                                                                           \
            high = max(high, largest[i]);                                                                              \
        result = unit_for(high);                                                                                       \
        [[unroll]] for (uint i = 0; i < runs_each; i++) {                                                              \
            uint run = gl_LocalInvocationID.x + i * WIDTH;                                                             \
            if (runs % WIDTH == 0 || run < runs) {                                                                     \
                vec4 scaled = next[i] * (1.0 / result);                                                                \
                uint at = (tile) + run / (HEAD / 4) * LD + run % (HEAD / 4) * 2;                                       \
                halves[at] = f16vec2(scaled.xy);                                                                       \
                halves[at + 1] = f16vec2(scaled.zw);                                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }

/* c[COLUMNS / TN] = the subgroup's rows of the tile `own` times its part of the rows of the tile `other`. */
#define PRODUCT_OF_ROWS(c, own, other)                                                                                 \
    [[unroll]] for (uint n = 0; n < COLUMNS / TN; n++) {                                                               \
        c[n] = MATRIX_C(0.0);                                                                                          \
        [[unroll]] for (uint k = 0; k < HEAD; k += TK) {                                                               \
            MATRIX_A a;                                                                                                \
            MATRIX_B b;                                                                                                \
            coopMatLoad(a, halves, (own) + first_row() * LD + k / 2, LD, gl_CooperativeMatrixLayoutRowMajor);          \
            coopMatLoad(b, halves, (other) + (gl_SubgroupID % SPLIT * COLUMNS + n * TN) * LD + k / 2, LD, gl_CooperativeMatrixLayoutColumnMajor); \
            c[n] = coopMatMulAdd(a, b, c[n]);                                                                          \
        }                                                                                                              \
    }

/* For the lanes, which read it at place_of. */
#define PUT_SUMS(c)                                                                                                    \
    [[unroll]] for (uint n = 0; n < COLUMNS / TN; n++)                                                                 \
        coopMatStore(c[n], sums, gl_SubgroupID * TM * LD_SUMS + n * TN, LD_SUMS, gl_CooperativeMatrixLayoutRowMajor);

/* The subgroup's largest factor by size. */
#define LARGEST_FACTOR(high, w)                                                                                        \
    {                                                                                                                  \
        high = 0.0;                                                                                                    \
        [[unroll]] for (uint e = 0; e < EACH; e++)                                                                     \
            high = max(high, abs(w[e]));                                                                               \
        high = subgroupMax(high);                                                                                      \
    }

/* Scales the lane's factors w of its row for f16 and puts them into the tile `to`. high: the largest of all subgroups that have these rows. unit becomes the
 * largest so far, and the sums are brought to it. */
#define PUT_FACTORS(w, high, unit, total, to)                                                                          \
    {                                                                                                                  \
        float before = unit;                                                                                           \
        unit = max(unit, unit_for(high));                                                                              \
        if (unit > before)                                                                                             \
            [[unroll]] for (uint i = 0; i < OUTPUTS; i++)                                                              \
                [[unroll]] for (uint part = 0; part < total[i].length(); part++)                                       \
                    total[i][part] *= before / unit;                                                                   \
        [[unroll]] for (uint e = 0; e < EACH; e += 2)                                                                  \
            halves[(to) + own_row() * LD_PAIRS + column_of(e) / 2] = f16vec2(vec2(w[e], w[e + 1]) * (1.0 / unit));     \
    }

/* total += the factors of the subgroup's rows times its part of the tile `other`. */
#define ADD_PRODUCT(total, factors, other)                                                                             \
    [[unroll]] for (uint k = 0; k < OTHER_ROWS; k += TK) {                                                             \
        MATRIX_A a;                                                                                                    \
        coopMatLoad(a, halves, (factors) + first_row() * LD_PAIRS + k / 2, LD_PAIRS, gl_CooperativeMatrixLayoutRowMajor); \
        [[unroll]] for (uint i = 0; i < OUTPUTS; i++) {                                                                \
            MATRIX_B b;                                                                                                \
            coopMatLoad(b, halves, (other) + k * LD + (first_output() + i) * TN / 2, LD, gl_CooperativeMatrixLayoutRowMajor); \
            total[i] = coopMatMulAdd(a, b, total[i]);                                                                  \
        }                                                                                                              \
    }

/* Stores total * factor (which may name `row`, the workgroup's) as rows of x, through the sums' tile: a matrix at a time, by code that stands here once; only
 * the matrix itself must be named by a constant. */
#define STORE_TOTAL(total, factor, address, first, count, heads, head)                                                 \
    [[dont_unroll]] for (uint number = 0; number < OUTPUTS; number++) {                                                \
        subgroupBarrier();                                                                                             \
        [[unroll]] for (uint i = 0; i < OUTPUTS; i++)                                                                  \
            if (i == number)                                                                                           \
                coopMatStore(total[i], sums, gl_SubgroupID * TM * LD_SUMS, LD_SUMS, gl_CooperativeMatrixLayoutRowMajor); \
        subgroupBarrier();                                                                                             \
        [[dont_unroll]] for (uint e = gl_SubgroupInvocationID; e < TM * TN; e += SUBGROUP) {                           \
            uint row = first_row() + e / TN, column = (first_output() + number) * TN + e % TN;                         \
            if ((first) + row < (count))                                                                               \
                F32_ref(address).v[(((first) + row) * (heads) + (head)) * HEAD + column] =                             \
                    sums[(gl_SubgroupID * TM + e / TN) * LD_SUMS + e % TN] * (factor);                                 \
        }                                                                                                              \
    }
