/* Y[M,N] = R + scale * X[M,K] op(W) or one slice of the sum over K, op(W) = W^T with TRANSPOSED, else W: many rows, through shared memory.
 *
 * A workgroup computes ROWS * LANES_M rows times COLUMNS * LANES_N columns of Y, DEPTH of K a step: X and the decoded weights of a step go to shared memory,
 * and each invocation multiplies ROWS rows by COLUMNS columns of them. While it multiplies, the loads of the next step are in flight. For GPUs: a software device pays
 * more for the barriers than it saves in loads.
 *
 * Shared memory is read in vectors of 4. X, and W^T, lie with k fastest and rows padded by a vector, so that neighbouring rows begin in different banks; W lies with
 * columns fastest. An invocation's rows, and columns, are LANES apart for the same reason.
 *
 * EXPERTS: each group of rows with a separate W; a tile ends where its group does (expert_tiles.glsl).
 *
 * Aligned operands are read in vectors, others element by element. Each index is clamped to what exists, and X is 0 past the end of K.
 *
 * Order of the sum: k ascends within a slice; matmul_sum adds slices in order.
 *
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/matmul/matmul.glsl"

ARGS(matmul_tile_args)
#ifdef EXPERTS
uint row_of(uint group)
{
    return args.group.v[2 * group];
}
#endif
#include "shaders/matmul/expert_tiles.glsl"
#include "shaders/matmul/operand.glsl"
#include "shaders/matmul/store.glsl"
#define SHARED_TABLES
#include "shaders/matmul/storage/weight.glsl"

layout(constant_id = 5) const uint LANES_M = 4; /* times LANES_N is WIDTH */
layout(constant_id = 6) const uint LANES_N = 8;
layout(constant_id = 7) const uint DEPTH = 16; /* a multiple of 8 */
layout(constant_id = 8) const uint SUBGROUP = 0; /* the size of subgroups, if the host asked for one */
layout(constant_id = 9) const uint ALIGNED = 0; /* rows of X and W begin at 16 bytes, and runs of W are aligned (weight.glsl) */
layout(constant_id = 10) const uint PREFETCH = 1; /* 0: loads start when they are needed, which saves registers */

layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer Vectors_ref { vec4 at[]; };

const uint TILE_M = ROWS * LANES_M, TILE_N = COLUMNS * LANES_N;
const uint VECTORS = DEPTH / 4, STRIDE = VECTORS + 1;
const uint LANES = LANES_M * LANES_N;
const uint X_LOADS = (TILE_M * VECTORS + LANES - 1) / LANES; /* of 4 along k */
const uint W_LOADS = (TILE_N * DEPTH / 8 + LANES - 1) / LANES; /* of 8 along a row of W */

shared vec4 x_tile[TILE_M * STRIDE];
#ifdef TRANSPOSED
shared vec4 w_tile[TILE_N * STRIDE];
#else
shared vec4 w_tile[DEPTH * TILE_N / 4];
#endif

uint first_row, first_column;
#ifdef EXPERTS
uint end_row; /* of the group */
#else
#define end_row args.M
#endif

/* Row of X that load `i` of the workgroup reads, and its first k of the step. */
uvec2 x_place(uint i)
{
    return uvec2(min(first_row + i / VECTORS, end_row - 1), i % VECTORS * 4);
}

/* Row and column of W where run `i` of the step from k on begins; with a run length of 1, of element i. */
uvec2 w_place(uint i, uint length, uint k, uint end)
{
#ifdef TRANSPOSED
    uint runs = DEPTH / length;
    return uvec2(min(first_column + i / runs, args.N - 1), min(k + i % runs * length, (end - 1) / length * length));
#else
    uint runs = TILE_N / length;
    return uvec2(min(k + i / runs, end - 1), min(first_column + i % runs * length, (args.N - 1) / length * length));
#endif
}

bool has_x(uint i)
{
    return TILE_M * VECTORS % LANES == 0 || i < TILE_M * VECTORS;
}

bool has_w(uint i)
{
    return TILE_N * DEPTH / 8 % LANES == 0 || i < TILE_N * DEPTH / 8;
}

/* Operands of a step as they are stored. Past the end they repeat what is before it. */
struct step { vec4 x[X_LOADS]; raw8 w[W_LOADS]; };

void fetch(uint id, uint k, uint end, out step next)
{
    [[unroll]] for (uint s = 0; s < X_LOADS; s++) {
        uvec2 at = x_place(id + s * LANES);
        next.x[s] = Vectors_ref(uvec2(args.X)).at[(at.x * args.ldx + min(k + at.y, end - 4)) / 4];
    }
    [[unroll]] for (uint s = 0; s < W_LOADS; s++) {
        uvec2 at = w_place(id + s * LANES, 8, k, end);
        next.w[s] = fetch8(WEIGHT, at.x, at.y);
    }
}

/* To shared memory, decoded; X is 0 past the end. */
void put(uint id, uint k, uint end, step now)
{
    [[unroll]] for (uint s = 0; s < X_LOADS; s++) {
        uint i = id + s * LANES;
        vec4 x = k + x_place(i).y < end ? now.x[s] : vec4(0.0);
        if (has_x(i))
            x_tile[i / VECTORS * STRIDE + i % VECTORS] = vec4(operand(x.x), operand(x.y), operand(x.z), operand(x.w));
    }
    [[unroll]] for (uint s = 0; s < W_LOADS; s++) {
        uint i = id + s * LANES;
        if (has_w(i)) {
#ifdef TRANSPOSED
            const uint runs = DEPTH / 8;
            uint at = i / runs * STRIDE + i % runs * 2;
#else
            uint at = i * 2;
#endif
            float w[8];
            decode8(WEIGHT, now.w[s], w);
            operands(w);
            w_tile[at] = vec4(w[0], w[1], w[2], w[3]);
            w_tile[at + 1] = vec4(w[4], w[5], w[6], w[7]);
        }
    }
}

/* Any operands, element by element: small code rather than fast code. */
void put_any(uint id, uint k, uint end)
{
    [[dont_unroll]] for (uint i = id; i < TILE_M * DEPTH; i += LANES) {
        uvec2 at = x_place(i / 4);
        at.y += k + i % 4;
        float x = Input_ref(uvec2(args.X)).v[at.x * args.ldx + min(at.y, end - 1)];
        x_tile[i / DEPTH * STRIDE + i % DEPTH / 4][i % 4] = at.y < end ? operand(x) : 0.0;
    }
    [[dont_unroll]] for (uint i = id; i < TILE_N * DEPTH; i += LANES) {
        uvec2 at = w_place(i, 1, k, end);
        float w = operand(weight(WEIGHT, at.x, at.y));
#ifdef TRANSPOSED
        w_tile[i / DEPTH * STRIDE + i % DEPTH / 4][i % 4] = w;
#else
        w_tile[i / 4][i % 4] = w;
#endif
    }
}

void main()
{
    const uint id = gl_LocalInvocationID.x;
    /* Where a subgroup's invocations have the same rows, the compiler is to know: Intel's then reads x once for all of them. */
    const uint parts = SUBGROUP > 0 ? LANES_N / SUBGROUP : 0; /* subgroups along a row of lanes */
    const bool same_rows = parts > 0 && parts * SUBGROUP == LANES_N;
    const uint m = same_rows ? gl_SubgroupID / parts : id / LANES_N;
    const uint n = same_rows ? gl_SubgroupID % parts * SUBGROUP + gl_SubgroupInvocationID : id % LANES_N;
    uvec2 t = tile_of(WORKGROUP, row_tiles(TILE_M), (args.N + TILE_N - 1) / TILE_N);
#ifdef EXPERTS
    if (!find_rows(t.x, TILE_M, first_row, end_row))
        return;
    expert_weight = weight_of(expert);
#else
    first_row = t.x * TILE_M;
#endif
    first_column = t.y * TILE_N;
    uint k = gl_WorkGroupID.y * args.slice, end = min(k + args.slice, args.K);

    float acc[ROWS][COLUMNS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        [[unroll]] for (uint j = 0; j < COLUMNS; j++)
            acc[i][j] = 0.0;

    load_tables(id);
    step next;
    if (ALIGNED != 0 && PREFETCH != 0)
        fetch(id, k, end, next);
    do {
        if (ALIGNED != 0 && PREFETCH == 0)
            fetch(id, k, end, next);
        barrier();
        if (ALIGNED != 0)
            put(id, k, end, next);
        else
            put_any(id, k, end);
        barrier();
        k += DEPTH;
        if (ALIGNED != 0 && PREFETCH != 0)
            fetch(id, k, end, next);

        [[unroll]] for (uint v = 0; v < VECTORS; v++) {
            vec4 x[ROWS];
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                x[i] = x_tile[(m + i * LANES_M) * STRIDE + v];
#ifdef TRANSPOSED
            [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
                vec4 w = w_tile[(n + j * LANES_N) * STRIDE + v];
                [[unroll]] for (uint i = 0; i < ROWS; i++)
                    [[unroll]] for (uint q = 0; q < 4; q++)
                        acc[i][j] = fma(x[i][q], w[q], acc[i][j]);
            }
#else
            [[unroll]] for (uint q = 0; q < 4; q++)
                [[unroll]] for (uint j = 0; j < COLUMNS; j += 4) {
                    vec4 w = w_tile[(4 * v + q) * (TILE_N / 4) + j / 4 * LANES_N + n];
                    [[unroll]] for (uint i = 0; i < ROWS; i++)
                        [[unroll]] for (uint c = 0; c < 4; c++)
                            acc[i][j + c] = fma(x[i][q], w[c], acc[i][j + c]);
                }
#endif
        }
    } while (k < end);

    uint slice = gl_WorkGroupID.y * args.M * args.N;
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
#ifdef TRANSPOSED
        uint column = first_column + n + j * LANES_N;
#else
        uint column = first_column + (n + j / 4 * LANES_N) * 4 + j % 4;
#endif
        if (column < args.N)
            [[unroll]] for (uint i = 0; i < ROWS; i++) {
                uint row = first_row + m + i * LANES_M;
                if (row < end_row)
                    store(slice + row * args.ldy + column, acc[i][j]);
            }
    }
}
