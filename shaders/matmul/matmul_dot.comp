/* Y[M,N] = R + scale * inverse[m] * X[M,K] op(W) or one slice of the sum over K, op(W) = W^T with TRANSPOSED, else W: many rows, operands in f16, for
 * devices without matrix cores. X are rows of f16 (rows_f16.comp), W is decoded to f16 here, in shared memory; sums are f32.
 *
 * A workgroup computes ROWS * LANES_M rows times COLUMNS * LANES_N columns of Y, COOP_STEP of K a step, as matmul_tile.comp does. Shared memory holds
 * pairs of consecutive k in a word, which MIXED_DOT multiplies by one instruction, at twice the rate of f32: s + a.x b.x + a.y b.y.
 *
 * Words are read in vectors of 4. X, and W^T, lie with k fastest and rows padded by a vector, so that neighbouring rows begin in different banks; W lies with
 * columns fastest. An invocation's rows, and columns, are LANES apart for the same reason.
 *
 * Edges: rows past M, columns past N and k past K read elements within the matrix. What comes of the first two is not stored; the third are multiplied
 * by the zeros at the end of X's rows.
 *
 * EXPERTS: each group of rows with a separate W; a tile ends where its group does (expert_tiles.glsl).
 *
 * Rounding: an operand is rounded to f16 once, from its f32 value. Reduction order: k ascends within a slice, in pairs that MIXED_DOT adds as the device
 * likes; matmul_sum adds slices in order.
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#ifdef MIXED_DOT
#extension GL_EXT_spirv_intrinsics : require
#endif
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/matmul/matmul.glsl"

#ifdef EXPERTS
ARGS(grouped_coop_args)
/* Of the rows that the launch is for. */
uint row_of(uint group)
{
    return min(max(args.group.v[2 * group], args.first) - args.first, args.M);
}
#else
ARGS(matmul_coop_args)
#endif
#include "shaders/matmul/expert_tiles.glsl"
#include "shaders/matmul/store.glsl"
#define SHARED_TABLES
#include "shaders/matmul/storage/weight.glsl"

layout(constant_id = 4) const uint LANES_M = 4; /* times LANES_N is WIDTH */
layout(constant_id = 5) const uint LANES_N = 8;
layout(constant_id = 6) const uint ALIGNED = 0; /* runs of W are aligned (storage/weight.glsl); others are not loaded ahead */

const uint TILE_M = ROWS * LANES_M, TILE_N = COLUMNS * LANES_N;
const uint VECTORS = COOP_STEP / 8, STRIDE = VECTORS + 1; /* vectors: of 8 halves */
const uint LANES = LANES_M * LANES_N;
/* What an invocation loads in a step: runs of 8 along a row. Without TRANSPOSED those of W come in pairs of consecutive k. */
#ifdef TRANSPOSED
const uint PAIR = 1;
#else
const uint PAIR = 2;
#endif
const uint X_RUNS = TILE_M * VECTORS, W_RUNS = TILE_N * VECTORS / PAIR;
const uint X_EACH = (X_RUNS + LANES - 1) / LANES, W_EACH = (W_RUNS + LANES - 1) / LANES;

shared uvec4 x_tile[TILE_M * STRIDE];
#ifdef TRANSPOSED
shared uvec4 w_tile[TILE_N * STRIDE];
#else
shared uvec4 w_tile[COOP_STEP / 2 * TILE_N / 4];
#endif

uint id, first_row, first_column;
#ifdef EXPERTS
uint end_row; /* of the group */
#else
#define end_row args.M
#endif

#ifdef MIXED_DOT
/* OpFDot2MixAcc32VALVE and its capability, DotProductFloat16AccFloat32VALVE, which compilers do not know by name. */
spirv_instruction(extensions = ["SPV_VALVE_mixed_float_dot_product"], capabilities = [6912], id = 6916)
float multiply_pair(f16vec2 a, f16vec2 b, float sum);
#else
float multiply_pair(f16vec2 a, f16vec2 b, float sum)
{
    return fma(float(a.y), float(b.y), fma(float(a.x), float(b.x), sum));
}
#endif

float multiply(uint a, uint b, float sum)
{
    return multiply_pair(unpackFloat2x16(a), unpackFloat2x16(b), sum);
}

uint pack(float low, float high)
{
    return packFloat2x16(f16vec2(low, high));
}

/* Row and column of W where run `i` of the step from k on begins, p-th of its pair, and how long it is. */
uvec2 w_place(uint i, uint p, uint k, out uint count)
{
    const uint last = ALIGNED != 0 ? 8 : 1; /* the length of a run that still lies within W */
#ifdef TRANSPOSED
    uvec2 at = uvec2(min(first_column + i / VECTORS, args.N - 1), min(k + i % VECTORS * 8, args.K - last));
    count = min(args.K - at.y, 8);
#else
    const uint runs = TILE_N / 8;
    uvec2 at = uvec2(min(k + i / runs * 2 + p, args.K - 1), min(first_column + i % runs * 8, args.N - last));
    count = min(args.N - at.y, 8);
#endif
    return at;
}

/* Operands of a step as they are stored. */
struct step { uvec4 x[X_EACH]; raw8 w[W_EACH * PAIR]; };

void fetch(uint k, out step next)
{
    [[unroll]] for (uint s = 0; s < X_EACH; s++) {
        uint i = id + s * LANES;
        next.x[s] = Words4_ref(uvec2(args.X)).at[(min(first_row + i / VECTORS, end_row - 1) * args.ldx + k) / 8 + i % VECTORS];
    }
    if (ALIGNED != 0)
        [[unroll]] for (uint s = 0; s < W_EACH * PAIR; s++) {
            uint count;
            uvec2 at = w_place(id + s / PAIR * LANES, s % PAIR, k, count);
            next.w[s] = fetch8(WEIGHT, at.x, at.y);
        }
}

void run_of(uint k, step now, uint s, out float w[8])
{
    if (ALIGNED != 0) {
        decode8(WEIGHT, now.w[s], w);
    } else {
        uint count;
        uvec2 at = w_place(id + s / PAIR * LANES, s % PAIR, k, count);
        weight8(WEIGHT, at.x, at.y, count, false, w);
    }
}

/* To shared memory, decoded. */
void put(uint k, step now)
{
    [[unroll]] for (uint s = 0; s < X_EACH; s++) {
        uint i = id + s * LANES;
        if (X_RUNS % LANES == 0 || i < X_RUNS)
            x_tile[i / VECTORS * STRIDE + i % VECTORS] = now.x[s];
    }
    [[unroll]] for (uint s = 0; s < W_EACH; s++) {
        uint i = id + s * LANES;
        if (W_RUNS % LANES == 0 || i < W_RUNS) {
            float w[8];
            run_of(k, now, s * PAIR, w);
#ifdef TRANSPOSED
            w_tile[i / VECTORS * STRIDE + i % VECTORS] = uvec4(pack(w[0], w[1]), pack(w[2], w[3]), pack(w[4], w[5]), pack(w[6], w[7]));
#else
            float v[8];
            run_of(k, now, s * PAIR + 1, v);
            w_tile[i * 2] = uvec4(pack(w[0], v[0]), pack(w[1], v[1]), pack(w[2], v[2]), pack(w[3], v[3]));
            w_tile[i * 2 + 1] = uvec4(pack(w[4], v[4]), pack(w[5], v[5]), pack(w[6], v[6]), pack(w[7], v[7]));
#endif
        }
    }
}

void main()
{
    id = gl_LocalInvocationID.x;
    const uint m = id / LANES_N, n = id % LANES_N;
    uvec2 t = tile_of(WORKGROUP, row_tiles(TILE_M), (args.N + TILE_N - 1) / TILE_N);
#ifdef EXPERTS
    if (!find_rows(t.x, TILE_M, first_row, end_row))
        return;
    expert_weight = weight_of(expert);
#else
    first_row = t.x * TILE_M;
#endif
    first_column = t.y * TILE_N;

    float acc[ROWS][COLUMNS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        [[unroll]] for (uint j = 0; j < COLUMNS; j++)
            acc[i][j] = 0.0;

    load_tables(id);
    uint k = gl_WorkGroupID.y * args.slice, end = k + args.slice;
    step next;
    fetch(k, next);
    do {
        barrier();
        put(k, next);
        barrier();
        k += COOP_STEP;
        fetch(min(k, end - COOP_STEP), next);

        [[unroll]] for (uint v = 0; v < VECTORS; v++) {
            uvec4 x[ROWS];
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                x[i] = x_tile[(m + i * LANES_M) * STRIDE + v];
#ifdef TRANSPOSED
            [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
                uvec4 w = w_tile[(n + j * LANES_N) * STRIDE + v];
                [[unroll]] for (uint i = 0; i < ROWS; i++)
                    [[unroll]] for (uint q = 0; q < 4; q++)
                        acc[i][j] = multiply(x[i][q], w[q], acc[i][j]);
            }
#else
            [[unroll]] for (uint q = 0; q < 4; q++)
                [[unroll]] for (uint j = 0; j < COLUMNS; j += 4) {
                    uvec4 w = w_tile[(4 * v + q) * (TILE_N / 4) + j / 4 * LANES_N + n];
                    [[unroll]] for (uint i = 0; i < ROWS; i++)
                        [[unroll]] for (uint c = 0; c < 4; c++)
                            acc[i][j + c] = multiply(x[i][q], w[c], acc[i][j + c]);
                }
#endif
        }
    } while (k < end);

    uint slice = gl_WorkGroupID.y * args.M * args.N;
    [[unroll]] for (uint i = 0; i < ROWS; i++) {
        uint row = first_row + m + i * LANES_M;
        float inverse = args.inverse.v[min(row, end_row - 1)];
        if (row < end_row)
            [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
#ifdef TRANSPOSED
                uint column = first_column + n + j * LANES_N;
#else
                uint column = first_column + (n + j / 4 * LANES_N) * 4 + j % 4;
#endif
                if (column < args.N)
                    store(slice + row * args.ldy + column, inverse * acc[i][j]);
            }
    }
}
