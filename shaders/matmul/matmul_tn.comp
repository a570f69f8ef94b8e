/* Y[M,N] = R + scale * X[K,M]^T Z[K,N], or one slice of the sum over K: the gradients of LoRA's A and B, where K is the number of
 * tokens and M is the rank.
 *
 * Both operands are read along rows; N runs over invocations, so the host makes it the larger of the two dimensions and has Y
 * stored transposed when it swapped them. Few output tiles and long K: slices (workgroup id y) give a wide device enough to
 * do, and matmul_sum adds them in order.
 *
 * EXPERTS: one product for each group of rows. F16_ROWS: Z is rows in f16 with a factor each.
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

#ifdef F16_ROWS
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer Halves_ref { uint pair[]; };

/* Element k of the column at this address, which is that of a pair of columns. */
float z_at(uvec2 z, uint k, uint column)
{
    return unpackHalf2x16(Halves_ref(z).pair[k * args.ldz / 2])[column % 2] * Input_ref(uvec2(args.inverse)).v[k];
}

uvec2 address_of_z(uint column)
{
    return address_of(uvec2(args.Z), column / 2);
}
#else
float z_at(uvec2 z, uint k, uint column)
{
    return Input_ref(z).v[k * args.ldz];
}

uvec2 address_of_z(uint column)
{
    return address_of(uvec2(args.Z), column);
}
#endif

void main()
{
    const uint tile = COLUMNS * WIDTH;
    uvec2 t = tile_of(WORKGROUP, (args.M + ROWS - 1) / ROWS, (args.N + tile - 1) / tile);
    uint row = t.x * ROWS, column = t.y * tile + gl_LocalInvocationID.x;
#ifdef EXPERTS
    const uint g = gl_WorkGroupID.y;
    uint begin = args.group.v[2 * g], end = args.group.v[2 * g + 2];
    if (begin >= end)
        return;
#else
    uint begin = gl_WorkGroupID.y * args.slice, end = min(begin + args.slice, args.K);
#endif

    uint m[ROWS];
    uvec2 z[COLUMNS]; /* addresses, see matmul.glsl */
    float acc[ROWS][COLUMNS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        m[i] = min(row + i, args.M - 1);
    [[unroll]] for (uint j = 0; j < COLUMNS; j++)
        z[j] = address_of_z(min(column + j * WIDTH, args.N - 1));
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        [[unroll]] for (uint j = 0; j < COLUMNS; j++)
            acc[i][j] = 0.0;

    uint k = begin;
    if (k + 8 <= end)
        do {
            uvec2 x[8];
            float w[COLUMNS][8];
            [[unroll]] for (uint q = 0; q < 8; q++) {
                x[q] = address_of(uvec2(args.X), (k + q) * args.ldx);
                [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                    w[j][q] = z_at(z[j], k + q, column + j * WIDTH);
            }
            [[unroll]] for (uint i = 0; i < ROWS; i++) {
                float a[8];
                [[unroll]] for (uint q = 0; q < 8; q++)
                    a[q] = Input_ref(x[q]).v[m[i]];
                [[unroll]] for (uint q = 0; q < 8; q++) /* sums that do not depend on each other stand together */
                    [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                        acc[i][j] = fma(a[q], w[j][q], acc[i][j]);
            }
            k += 8;
        } while (k + 8 <= end);
    if (k < end)
        do {
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                    acc[i][j] = fma(Input_ref(uvec2(args.X)).v[k * args.ldx + m[i]], z_at(z[j], k, column + j * WIDTH), acc[i][j]);
        } while (++k < end);

#ifdef EXPERTS
    F32_ref Y = F32_ref(WeightRef_ref(uvec2(args.Y)).at[g].data);
#endif
    [[unroll]] for (uint j = 0; j < COLUMNS; j++)
        if (column + j * WIDTH < args.N)
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                if (row + i < args.M) {
                    uint at = (row + i) * args.row + (column + j * WIDTH) * args.column;
#ifdef EXPERTS
                    Y.v[at] += args.scale * acc[i][j];
#else
                    store(at + gl_WorkGroupID.y * args.M * args.N, acc[i][j]);
#endif
                }
}
