/* Y[M,N] = R + scale * X[M,K] P, P a panel of a weight matrix as panel.comp lays it out: [column tile][K/8][tile][8] f32.
 *
 * The kernel of every product with many rows, whatever the weight's type and whether it stood transposed: decoding is done once
 * per panel, here is nothing but multiplications. A column's 8 successive k lie together, so one invocation reads 32 contiguous
 * bytes and a workgroup one contiguous piece per step. EXPERTS: each group of rows with a separate panel. PAIRS: two k are loaded
 * as one 64-bit integer, because llvmpipe gathers what invocations load element by element.
 *
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#ifdef PAIRS
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/matmul/matmul.glsl"

#ifdef EXPERTS
ARGS(grouped_matmul_panel_args)
#else
ARGS(matmul_panel_args)
#endif
#include "shaders/matmul/matmul_rows.glsl"
#include "shaders/matmul/operand.glsl"
#include "shaders/matmul/store.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer Panel_ref { run8 at[]; };

#ifdef PAIRS
struct run4x2 { uint64_t v[4]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer Pairs_ref { run4x2 at[]; };

run8 load(Panel_ref p, uint at)
{
    run4x2 pairs = Pairs_ref(p).at[at];
    run8 w;
    [[unroll]] for (uint q = 0; q < 4; q++) {
        vec2 pair = uintBitsToFloat(unpack32(pairs.v[q]));
        w.v[2 * q] = pair.x;
        w.v[2 * q + 1] = pair.y;
    }
    return w;
}
#else
run8 load(Panel_ref p, uint at)
{
    return p.at[at];
}
#endif

void main()
{
    const uint tile = COLUMNS * WIDTH;
    uvec2 t = tile_of(WORKGROUP, row_tiles(), (args.N + tile - 1) / tile);
    uint row, end, column = t.y * tile + gl_LocalInvocationID.x;
    uint steps = args.K / 8;
    if (!rows_of(t.x, row, end))
        return;

    uvec2 x[ROWS]; /* addresses, see matmul.glsl */
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        x[i] = address_of(uvec2(args.X), min(row + i, end - 1) * args.ldx);
    uint first = t.y * ((args.K + 7) / 8) * tile + gl_LocalInvocationID.x;
#ifdef EXPERTS
    first += (expert - args.first) * args.stride;
#endif
    Panel_ref p = Panel_ref(address_of(uvec2(args.P), first * 8));

    float acc[ROWS][COLUMNS];
    [[unroll]] for (uint i = 0; i < ROWS; i++)
        [[unroll]] for (uint j = 0; j < COLUMNS; j++)
            acc[i][j] = 0.0;

    if (steps > 0) {
        uint k = 0;
        do {
            run8 w[COLUMNS];
            [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                w[j] = load(p, k * tile + j * WIDTH);
            [[unroll]] for (uint i = 0; i < ROWS; i++) {
                run8 a = Run8_ref(x[i]).at[k];
                operands(a.v);
                [[unroll]] for (uint q = 0; q < 8; q++) /* sums that do not depend on each other stand together */
                    [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                        acc[i][j] = fma(a.v[q], w[j].v[q], acc[i][j]);
            }
        } while (++k < steps);
    }
    if (args.K % 8 > 0) {
        uint q = 0;
        do {
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                [[unroll]] for (uint j = 0; j < COLUMNS; j++)
                    acc[i][j] = fma(operand(Run8_ref(x[i]).at[steps].v[q]), p.at[steps * tile + j * WIDTH].v[q], acc[i][j]);
        } while (++q < args.K % 8);
    }

    [[unroll]] for (uint j = 0; j < COLUMNS; j++)
        if (column + j * WIDTH < args.N)
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                if (row + i < end)
                    store((row + i) * args.ldy + column + j * WIDTH, acc[i][j]);
}
