/* Y[M,N] = R + scale * X[M,K] W[N,K]^T for few rows M, W read in its storage type: generation, and products too small for a panel.
 * EXPERTS: each group of rows with a separate W. SUBGROUP_TABLE: 4-bit values are looked up across a subgroup of 8, the width of AVX2, and the scale of
 * a block is computed once; for software devices.
 *
 * One invocation computes ROWS rows of one column, that is, it reads one row of W.
 *
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#ifdef SUBGROUP_TABLE
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
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

/* Products of a run of W with the same run of each row of X. */
void add_run(uvec2 x[ROWS], uint k, float w[8], inout float acc[ROWS])
{
    operands(w);
    [[unroll]] for (uint i = 0; i < ROWS; i++) {
        run8 a = Run8_ref(x[i]).at[k];
        operands(a.v);
        [[unroll]] for (uint q = 0; q < 8; q++)
            acc[i] = fma(a.v[q], w[q], acc[i]);
    }
}

void main()
{
    uvec2 t = tile_of(WORKGROUP, row_tiles(), (args.N + WIDTH - 1) / WIDTH);
    uint row, end, column = t.y * WIDTH + gl_LocalInvocationID.x;
    if (!rows_of(t.x, row, end))
        return;
#ifdef EXPERTS
    expert_weight = weight_of(expert);
#endif
    uint w_row = min(column, args.N - 1), steps = args.K / 8;
    bool aligned = args.K % 8 == 0;

    uvec2 x[ROWS]; /* addresses, see matmul.glsl */
    float acc[ROWS];
    [[unroll]] for (uint i = 0; i < ROWS; i++) {
        x[i] = address_of(uvec2(args.X), min(row + i, end - 1) * args.ldx);
        acc[i] = 0.0;
    }
#ifdef SUBGROUP_TABLE
    load_subgroup_table();
    if (args.K % 64 == 0) {
        uint k = 0, first = w_row * args.K; /* element of W */
        do {
            float scale = nf4_scale(WEIGHT, first / 64 + k / 8);
            uint run = 0;
            do {
                float w[8];
                block8(WEIGHT, first + 8 * k, scale, w);
                add_run(x, k, w, acc);
                k++;
            } while (++run < 8);
        } while (k < steps);
    } else
#endif
    if (steps > 0) {
        uint k = 0;
        do {
            float w[8];
            weight8(WEIGHT, w_row, 8 * k, 8, aligned, w);
            add_run(x, k, w, acc);
        } while (++k < steps);
    }
    if (args.K % 8 > 0) {
        uint q = 0;
        do {
            float w = operand(weight(WEIGHT, w_row, 8 * steps + q));
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                acc[i] = fma(operand(Run8_ref(x[i]).at[steps].v[q]), w, acc[i]);
        } while (++q < args.K % 8);
    }

    if (column < args.N)
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            if (row + i < end)
                store((row + i) * args.ldy + column, acc[i]);
}
