/* Y[M,N] = R + scale * X[K,M]^T Z[K,N], or one slice of the sum over K: gradients of matrices on a GPU, through shared memory. matmul_tn does the same on a
 * software device.
 *
 * As in matmul_tile.comp a workgroup computes ROWS * LANES_M by COLUMNS * LANES_N of Y, DEPTH of K a step. Both operands lie with k slowest, in memory and in
 * shared memory, so an invocation's rows and columns are runs of 4, LANES apart. X is 0 past the end of K; other indices are clamped to what exists.
 *
 * EXPERTS: one product for each group of rows, added to Y. F16_ROWS: X is rows in f16, with zeros past their end and a factor each, by which Z is multiplied.
 *
 * Test: test_matmul, test_kernels_experts
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/matmul/matmul.glsl"

#ifdef EXPERTS
ARGS(grouped_tn_args)
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer WeightRef_ref { weight_ref at[]; };
#else
ARGS(matmul_tn_args)
#include "shaders/matmul/store.glsl"
#endif

layout(constant_id = 5) const uint LANES_M = 4; /* the constants of matmul_tile.comp */
layout(constant_id = 6) const uint LANES_N = 8;
layout(constant_id = 7) const uint DEPTH = 8;
layout(constant_id = 8) const uint SUBGROUP = 0;
layout(constant_id = 9) const uint ALIGNED = 0; /* rows of X (in f32) and Z begin at 16 bytes, and their length is a multiple of 4 */
layout(constant_id = 10) const uint PREFETCH = 1;

layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer Vectors_ref { vec4 at[]; };

const uint TILE_M = ROWS * LANES_M, TILE_N = COLUMNS * LANES_N, LANES = LANES_M * LANES_N;
const uint X_LOADS = (DEPTH * TILE_M / 4 + LANES - 1) / LANES, Z_LOADS = (DEPTH * TILE_N / 4 + LANES - 1) / LANES;

shared vec4 x_tile[DEPTH * TILE_M / 4];
shared vec4 z_tile[DEPTH * TILE_N / 4];

#ifdef F16_ROWS
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Halves_ref { uvec2 at[]; };

struct step { uvec2 x[X_LOADS]; vec4 z[Z_LOADS]; float factor[Z_LOADS]; };

uvec2 load_x(uint k, uint column)
{
    return Halves_ref(uvec2(args.X)).at[(k * args.ldx + min(column, args.ldx - 4)) / 4];
}

vec4 floats_of(uvec2 halves)
{
    return vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y));
}
#else
struct step { vec4 x[X_LOADS]; vec4 z[Z_LOADS]; };
#endif

/* 4 elements of row k of a matrix with `columns` columns. */
vec4 run4(uvec2 matrix, uint k, uint stride, uint column, uint columns)
{
    if (ALIGNED != 0)
        return Vectors_ref(matrix).at[(k * stride + min(column, columns - 4)) / 4];
    vec4 run;
    [[unroll]] for (uint q = 0; q < 4; q++)
        run[q] = Input_ref(matrix).v[k * stride + min(column + q, columns - 1)];
    return run;
}

#ifndef F16_ROWS
vec4 load_x(uint k, uint column)
{
    return run4(uvec2(args.X), k, args.ldx, column, args.M);
}

vec4 floats_of(vec4 x)
{
    return x;
}
#endif

void fetch(uint id, uvec2 first, uint k, uint end, out step next)
{
    [[unroll]] for (uint s = 0; s < X_LOADS; s++) {
        uint i = id + s * LANES;
        next.x[s] = load_x(min(k + i / (TILE_M / 4), end - 1), first.x + i % (TILE_M / 4) * 4);
    }
    [[unroll]] for (uint s = 0; s < Z_LOADS; s++) {
        uint i = id + s * LANES;
        uint row = min(k + i / (TILE_N / 4), end - 1);
        next.z[s] = run4(uvec2(args.Z), row, args.ldz, first.y + i % (TILE_N / 4) * 4, args.N);
#ifdef F16_ROWS
        next.factor[s] = Input_ref(uvec2(args.inverse)).v[row];
#endif
    }
}

void put(uint id, uint k, uint end, step now)
{
    [[unroll]] for (uint s = 0; s < X_LOADS; s++) {
        uint i = id + s * LANES;
        if (DEPTH * TILE_M / 4 % LANES == 0 || i < DEPTH * TILE_M / 4)
            x_tile[i] = k + i / (TILE_M / 4) < end ? floats_of(now.x[s]) : vec4(0.0);
    }
    [[unroll]] for (uint s = 0; s < Z_LOADS; s++) {
        uint i = id + s * LANES;
        if (DEPTH * TILE_N / 4 % LANES == 0 || i < DEPTH * TILE_N / 4)
#ifdef F16_ROWS
            z_tile[i] = now.z[s] * now.factor[s];
#else
            z_tile[i] = now.z[s];
#endif
    }
}

void main()
{
    const uint id = gl_LocalInvocationID.x;
    const uint parts = SUBGROUP > 0 ? LANES_N / SUBGROUP : 0;
    const bool same_rows = parts > 0 && parts * SUBGROUP == LANES_N;
    const uint m = same_rows ? gl_SubgroupID / parts : id / LANES_N;
    const uint n = same_rows ? gl_SubgroupID % parts * SUBGROUP + gl_SubgroupInvocationID : id % LANES_N;
    uvec2 first = tile_of(WORKGROUP, (args.M + TILE_M - 1) / TILE_M, (args.N + TILE_N - 1) / TILE_N) * uvec2(TILE_M, TILE_N);
#ifdef EXPERTS
    const uint group = gl_WorkGroupID.y;
    uint k = args.group.v[2 * group], end = args.group.v[2 * group + 2];
    if (k >= end)
        return;
#else
    uint k = gl_WorkGroupID.y * args.slice, end = min(k + args.slice, args.K);
#endif

    float acc[ROWS][COLUMNS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        [[unroll]] for (uint j = 0; j < COLUMNS; j++)
            acc[i][j] = 0.0;

    step next;
    if (PREFETCH != 0)
        fetch(id, first, k, end, next);
    do {
        if (PREFETCH == 0)
            fetch(id, first, k, end, next);
        barrier();
        put(id, k, end, next);
        barrier();
        k += DEPTH;
        if (PREFETCH != 0)
            fetch(id, first, k, end, next);

        [[unroll]] for (uint d = 0; d < DEPTH; d++) {
            vec4 x[ROWS / 4];
            [[unroll]] for (uint i = 0; i < ROWS / 4; i++)
                x[i] = x_tile[d * (TILE_M / 4) + i * LANES_M + m];
            [[unroll]] for (uint j = 0; j < COLUMNS; j += 4) {
                vec4 z = z_tile[d * (TILE_N / 4) + j / 4 * LANES_N + n];
                [[unroll]] for (uint i = 0; i < ROWS; i++)
                    [[unroll]] for (uint c = 0; c < 4; c++)
                        acc[i][j + c] = fma(x[i / 4][i % 4], z[c], acc[i][j + c]);
            }
        }
    } while (k < end);

#ifdef EXPERTS
    F32_ref Y = F32_ref(WeightRef_ref(uvec2(args.Y)).at[group].data);
#else
    uint slice = gl_WorkGroupID.y * args.M * args.N;
#endif
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
        uint column = first.y + (n + j / 4 * LANES_N) * 4 + j % 4;
        if (column < args.N)
            [[unroll]] for (uint i = 0; i < ROWS; i++) {
                uint row = first.x + (m + i / 4 * LANES_M) * 4 + i % 4;
                if (row < args.M) {
                    uint at = row * args.row + column * args.column;
#ifdef EXPERTS
                    Y.v[at] += args.scale * acc[i][j];
#else
                    store(slice + at, acc[i][j]);
#endif
                }
            }
    }
}
