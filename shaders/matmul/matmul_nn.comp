/* Y[M,N] = R + scale * X[M,K] W[K,N] for few rows M, W read in its storage type. EXPERTS: each group of rows with a separate W.
 *
 * One invocation computes ROWS rows of 8 neighbouring columns, so that a run of 8 along a row of W is decoded together.
 *
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/matmul/matmul.glsl"

#ifdef EXPERTS
ARGS(grouped_args)
#include "shaders/matmul/expert_weight.glsl"
#else
ARGS(matmul_args)
#define WEIGHT args.W
#endif
#include "shaders/matmul/matmul_rows.glsl"
#include "shaders/matmul/operand.glsl"
#include "shaders/matmul/store.glsl"
#include "shaders/matmul/storage/weight.glsl"

void main()
{
    const uint tile = 8 * WIDTH;
    uvec2 t = tile_of(WORKGROUP, row_tiles(), (args.N + tile - 1) / tile);
    uint row, end, column = t.y * tile + 8 * gl_LocalInvocationID.x;
    if (!rows_of(t.x, row, end) || column >= args.N)
        return;
#ifdef EXPERTS
    expert_weight = weight_of(expert);
#endif
    uint count = min(args.N - column, 8);
    bool aligned = args.N % 8 == 0;

    uint x[ROWS];
    float acc[ROWS][8];
    [[unroll]] for (uint i = 0; i < ROWS; i++) {
        x[i] = min(row + i, end - 1) * args.ldx;
        [[unroll]] for (uint c = 0; c < 8; c++)
            acc[i][c] = 0.0;
    }
    uint k = 0;
    do {
        float w[8];
        weight8(WEIGHT, k, column, count, aligned, w);
        operands(w);
        [[unroll]] for (uint i = 0; i < ROWS; i++) {
            float a = operand(Input_ref(uvec2(args.X)).v[x[i] + k]);
            [[unroll]] for (uint c = 0; c < 8; c++)
                acc[i][c] = fma(a, w[c], acc[i][c]);
        }
    } while (++k < args.K);

    [[unroll]] for (uint c = 0; c < 8; c++)
        if (c < count)
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                if (row + i < end)
                    store((row + i) * args.ldy + column + c, acc[i][c]);
}
