/* Y[M,N] = R + scale * X[M,K] W[N,K]^T for few rows M on a GPU: generation, which reads all of W for each token.
 *
 * The invocations of a subgroup share a column of Y: each takes every n-th run of 8 along K, so that together they read whole lines of W, and
 * subgroupAdd joins their sums. COLUMNS columns at a time use a run of X. A workgroup has TILE columns, whatever the size of subgroups is.
 *
 * A software device has no lines to share; there matmul_nt is faster.
 *
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/matmul/matmul.glsl"

ARGS(matmul_args)
#include "shaders/matmul/operand.glsl"
#include "shaders/matmul/store.glsl"
#define SHARED_TABLES
#include "shaders/matmul/storage/weight.glsl"

layout(constant_id = 5) const uint TILE = 8; /* a multiple of COLUMNS */
layout(constant_id = 6) const uint ALIGNED = 0; /* as in matmul_tile.comp */

layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer Vectors_ref { vec4 at[]; };

/* 8 elements of a row of X from k on; 0 past the end. */
void x_run(uint row, uint k, out float x[8])
{
    uint at = row * args.ldx + k;
    if (ALIGNED != 0) {
        vec4 low = Vectors_ref(uvec2(args.X)).at[at / 4], high = Vectors_ref(uvec2(args.X)).at[at / 4 + 1];
        [[unroll]] for (uint q = 0; q < 8; q++)
            x[q] = q < 4 ? low[q] : high[q - 4];
    } else {
        [[unroll]] for (uint q = 0; q < 8; q++) {
            float value = Input_ref(uvec2(args.X)).v[at + min(q, args.K - 1 - k)];
            x[q] = k + q < args.K ? value : 0.0;
        }
    }
    operands(x);
}

void w_run(uint row, uint k, out float w[8])
{
    if (ALIGNED != 0)
        decode8(args.W, fetch8(args.W, row, k), w);
    else
        weight8(args.W, row, k, min(args.K - k, 8), false, w);
    operands(w);
}

void main()
{
    uvec2 t = tile_of(WORKGROUP, (args.M + ROWS - 1) / ROWS, (args.N + TILE - 1) / TILE);
    uint row = t.x * ROWS;
    load_tables(gl_LocalInvocationID.x);
    barrier();
    for (uint column = t.y * TILE + gl_SubgroupID * COLUMNS; column < min(t.y * TILE + TILE, args.N); column += gl_NumSubgroups * COLUMNS) {
        float acc[ROWS][COLUMNS];
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                acc[i][j] = 0.0;
        for (uint k = 8 * gl_SubgroupInvocationID; k < args.K; k += 8 * gl_SubgroupSize) {
            float w[COLUMNS][8];
            [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                w_run(min(column + j, args.N - 1), k, w[j]);
            [[unroll]] for (uint i = 0; i < ROWS; i++) {
                float x[8];
                x_run(min(row + i, args.M - 1), k, x);
                [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                    [[unroll]] for (uint q = 0; q < 8; q++)
                        acc[i][j] = fma(x[q], w[j][q], acc[i][j]);
            }
        }
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
                float sum = subgroupAdd(acc[i][j]);
                if (subgroupElect() && row + i < args.M && column + j < args.N)
                    store((row + i) * args.ldy + column + j, sum);
            }
    }
}
