/* Y[M,N] = R + scale * (inverse[m] * X[M,K] op(W) + branch * Z[M,r] op(V)), op(W) = W^T of W [N,K] or, without TRANSPOSED, W of W [K,N], and so V:
 * the product for devices with matrix cores, with a LoRA's branch. X are rows of f16 (rows_f16.comp), W is decoded to f16 here, in shared memory; sums
 * are f32.
 *
 * A workgroup computes BM x BN of Y, each of its subgroups SM x SN, in cooperative matrices of TM x TN x TK. In shared memory lie COOP_STEP columns of
 * X's rows and of op(W)'s columns, both with k contiguous, which is what matrix cores want to load; a row has 8 halves of padding, so that consecutive
 * rows begin in different banks. What step k+1 needs is loaded before step k is multiplied and decoded after it, and shared memory is written between
 * two barriers.
 *
 * Edges: rows past M, columns past N and k past K read elements within the matrix. What comes of the first two is not stored; the third are multiplied
 * by the zeros at the end of X's rows.
 *
 * The branch is some more steps, of the first slice. Z is scaled by X's factor, since the sums are the same: X's largest magnitude is near 2^15 then, and
 * Z's may be larger, so that 2^-8 is left to V. What is past f16's range all the same (Z 2^9 times as large as X, or branch * V past 2^8) becomes an
 * infinity, which shows in the loss at once.
 *
 * EXPERTS: each group of rows with a separate W; a tile ends where its group does (expert_tiles.glsl).
 *
 * Rounding: an operand is rounded to f16 once, from its f32 value. Reduction order: fixed by the device and its tiles.
 * Test: test_matmul
 */
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "shaders/core/common.glsl"
#include "shaders/matmul/args.h"

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
#define SHARED_TABLES
#include "shaders/matmul/storage/weight.glsl"

layout(constant_id = 1) const uint TM = 16;
layout(constant_id = 2) const uint TN = 16;
layout(constant_id = 3) const uint TK = 16;
layout(constant_id = 4) const uint BM = 64;
layout(constant_id = 5) const uint BN = 64;
layout(constant_id = 6) const uint SM = 32;
layout(constant_id = 7) const uint SN = 32;
layout(constant_id = 8) const uint SUBGROUP = 32;
layout(constant_id = 9) const uint ALIGNED = 0; /* runs of W are aligned (storage/weight.glsl); others are not loaded ahead */
layout(constant_id = 10) const uint AHEAD = 1; /* 0: a step is loaded when it is needed, which saves registers */
layout(constant_id = 11) const uint BRANCH = 1; /* 0: there is none, which saves more */

const uint BK = COOP_STEP, LD = (BK + 8) / 2; /* LD: row stride in shared memory, in pairs of halves */
const uint ROWS = SM / TM, COLUMNS = SN / TN; /* of a subgroup's matrices */
/* What an invocation loads in a step: runs of 8 along a row. Without TRANSPOSED they lie along n and come in pairs of consecutive k, so that 32 bits at
 * a time can be written with k contiguous. */
#ifdef TRANSPOSED
const uint PAIR = 1;
#else
const uint PAIR = 2;
#endif
const uint X_RUNS = BM * BK / 8, W_RUNS = BN * BK / 8 / PAIR;
const uint X_EACH = (X_RUNS + WIDTH - 1) / WIDTH, W_EACH = (W_RUNS + WIDTH - 1) / WIDTH;

/* Matrices must begin at 16 bytes, and no variable says so: each has a multiple of 16 bytes, so that the next begins there, too. */
shared f16vec2 x_tile[BM * LD];
shared f16vec2 w_tile[BN * LD];
shared float staged[WIDTH / SUBGROUP * TM * TN]; /* a matrix of sums of each subgroup on its way to Y */
#ifdef EXPERTS
shared uint of_group[4]; /* where its rows end, and its number: here they take no registers while sums take most of them */
#define end_row of_group[0]
#else
#define end_row args.M
#endif

uint id, m0, n0, sm, sn; /* sm, sn: of a subgroup in the tile */
uvec4 x_next[X_EACH];
raw8 w_next[W_EACH * PAIR];
f16vec2 w_half[W_EACH * PAIR * 4];

/* Place of an invocation's run number i: row of Y's tile and k of X; column of Y's tile and k of op(W). */
uvec2 x_place(uint i)
{
    uint run = id + i * WIDTH;
    return uvec2(run / (BK / 8), run % (BK / 8) * 8);
}

uvec2 w_place(uint i)
{
    uint run = id + i * WIDTH;
#ifdef TRANSPOSED
    return uvec2(run / (BK / 8), run % (BK / 8) * 8);
#else
    return uvec2(run / (BK / 2) * 8, run % (BK / 2) * 2); /* consecutive k first: their writes go to different banks */
#endif
}

/* Row and column of W where an invocation's run number i begins, its p-th of a pair, and how long it is. */
uvec2 run_place(uint k0, uint i, uint p, out uint count)
{
    uvec2 at = w_place(i) + uvec2(n0, k0 + p);
    const uint last = ALIGNED != 0 ? 8 : 1; /* the length of a run that still lies within W */
#ifdef TRANSPOSED
    at = uvec2(min(at.x, args.N - 1), min(at.y, args.K - last));
    count = min(args.K - at.y, 8);
    return at;
#else
    at = uvec2(min(at.x, args.N - last), min(at.y, args.K - 1));
    count = min(args.N - at.x, 8);
    return at.yx;
#endif
}

void load(uint k0)
{
    [[unroll]] for (uint i = 0; i < X_EACH; i++) {
        uvec2 at = x_place(i);
        x_next[i] = Words4_ref(uvec2(args.X)).at[(min(m0 + at.x, args.M - 1) * args.ldx + k0 + at.y) / 8];
    }
    if (ALIGNED != 0)
        [[unroll]] for (uint i = 0; i < W_EACH * PAIR; i++) {
            uint count;
            uvec2 at = run_place(k0, i / PAIR, i % PAIR, count);
            w_next[i] = fetch8(WEIGHT, at.x, at.y);
        }
}

void run_of(uint k0, uint i, uint p, out float w[8])
{
    if (ALIGNED != 0) {
        decode8(WEIGHT, w_next[i * PAIR + p], w);
    } else {
        uint count;
        uvec2 at = run_place(k0, i, p, count);
        weight8(WEIGHT, at.x, at.y, count, false, w);
    }
}

/* Of the step at k0, which was loaded. */
void decode(uint k0)
{
    [[unroll]] for (uint i = 0; i < W_EACH; i++) {
        float w[8];
        run_of(k0, i, 0, w);
#ifdef TRANSPOSED
        [[unroll]] for (uint q = 0; q < 4; q++)
            w_half[i * 4 + q] = f16vec2(vec2(w[2 * q], w[2 * q + 1]));
#else
        float next[8];
        run_of(k0, i, 1, next);
        [[unroll]] for (uint q = 0; q < 8; q++)
            w_half[i * 8 + q] = f16vec2(vec2(w[q], next[q]));
#endif
    }
}

void write()
{
    [[unroll]] for (uint i = 0; i < X_EACH; i++) {
        uvec2 at = x_place(i);
        uint first = at.x * LD + at.y / 2;
        if (X_RUNS % WIDTH == 0 || id + i * WIDTH < X_RUNS)
            [[unroll]] for (uint q = 0; q < 4; q++)
                x_tile[first + q] = unpackFloat2x16(x_next[i][q]);
    }
    [[unroll]] for (uint i = 0; i < W_EACH; i++) {
        uvec2 at = w_place(i);
        uint first = at.x * LD + at.y / 2;
        if (W_RUNS % WIDTH == 0 || id + i * WIDTH < W_RUNS)
#ifdef TRANSPOSED
            [[unroll]] for (uint q = 0; q < 4; q++)
                w_tile[first + q] = w_half[i * 4 + q];
#else
            [[unroll]] for (uint q = 0; q < 8; q++)
                w_tile[first + q * LD] = w_half[i * 8 + q];
#endif
    }
}

#ifndef EXPERTS
float of_z(uint m, uint k)
{
    float z = args.Z.v[m * args.r + min(k, args.r - 1)];
    return k < args.r ? z : 0.0;
}

float of_v(uint n, uint k)
{
    uint n_in = min(n, args.N - 1), k_in = min(k, args.r - 1);
#ifdef TRANSPOSED
    float v = args.V.v[n_in * args.r + k_in];
#else
    float v = args.V.v[k_in * args.N + n_in];
#endif
    return k < args.r ? v : 0.0;
}

/* Columns k0 to k0 + BK of Z and op(V), as a step. */
void write_branch(uint k0)
{
    [[dont_unroll]] for (uint i = id; i < BM * BK / 2; i += WIDTH) {
        uint row = i / (BK / 2), pair = i % (BK / 2), m = min(m0 + row, args.M - 1), k = k0 + 2 * pair;
        float factor = uintBitsToFloat((254 - 8 << 23) - floatBitsToUint(args.inverse.v[m])); /* 2^-8 / inverse, a power of two */
        x_tile[row * LD + pair] = f16vec2(vec2(of_z(m, k), of_z(m, k + 1)) * factor);
    }
    [[dont_unroll]] for (uint i = id; i < BN * BK / 2; i += WIDTH) {
#ifdef TRANSPOSED
        uint column = i / (BK / 2), pair = i % (BK / 2); /* as V lies in memory */
#else
        uint column = i % BN, pair = i / BN;
#endif
        uint n = n0 + column, k = k0 + 2 * pair;
        w_tile[column * LD + pair] = f16vec2(vec2(of_v(n, k), of_v(n, k + 1)) * (256.0 * args.branch));
    }
}
#endif

#define SUM coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>
SUM sums[ROWS * COLUMNS];

/* Adds the step in shared memory. */
void multiply()
{
    [[unroll]] for (uint k = 0; k < BK; k += TK) {
        coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> x[ROWS];
        [[unroll]] for (uint i = 0; i < ROWS; i++)
            coopMatLoad(x[i], x_tile, (sm + i * TM) * LD + k / 2, LD, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
            coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> w;
            coopMatLoad(w, w_tile, (sn + j * TN) * LD + k / 2, LD, gl_CooperativeMatrixLayoutColumnMajor);
            [[unroll]] for (uint i = 0; i < ROWS; i++)
                sums[i * COLUMNS + j] = coopMatMulAdd(x[i], w, sums[i * COLUMNS + j]);
        }
    }
}

void main()
{
    id = gl_LocalInvocationID.x;
    const uint tiles = row_tiles(BM);
#ifdef EXPERTS
    uint end_of_group;
    if (!find_rows(WORKGROUP % tiles, BM, m0, end_of_group))
        return;
    end_row = end_of_group;
    of_group[1] = expert;
    if (AHEAD != 0)
        expert_weight = weight_of(expert);
#else
    m0 = WORKGROUP % tiles * BM;
#endif
    n0 = WORKGROUP / tiles * BN;
    sm = gl_SubgroupID / (BN / SN) * SM;
    sn = gl_SubgroupID % (BN / SN) * SN;

    load_tables(id);
    [[unroll]] for (uint i = 0; i < ROWS * COLUMNS; i++)
        sums[i] = SUM(0.0);

    uint k0 = gl_WorkGroupID.y * args.slice, end = k0 + args.slice;
    if (AHEAD != 0)
        load(k0);
    barrier(); /* the tables */
    if (AHEAD != 0)
        decode(k0);
    do {
        if (AHEAD == 0) {
#ifdef EXPERTS
            expert_weight = weight_of(of_group[1]); /* for this step alone, to save registers, too */
#endif
            load(k0);
            decode(k0);
        }
        write();
        barrier();
        k0 += BK;
        uint next = min(k0, end - BK);
        if (AHEAD != 0)
            load(next);
        multiply();
        if (AHEAD != 0)
            decode(next);
        barrier();
    } while (k0 < end);
#ifndef EXPERTS
    [[dont_unroll]] for (uint k = 0; BRANCH != 0 && gl_WorkGroupID.y == 0 && k < args.r; k += BK) {
        write_branch(k);
        barrier();
        multiply();
        barrier();
    }
#endif

    /* A matrix at a time, by code that stands here once: only the matrix itself must be named by a constant. */
    uint slice = gl_WorkGroupID.y * args.M, stage = gl_SubgroupID * TM * TN;
    [[dont_unroll]] for (uint t = 0; t < ROWS * COLUMNS; t++) {
        [[unroll]] for (uint i = 0; i < ROWS * COLUMNS; i++)
            if (i == t)
                coopMatStore(sums[i], staged, stage, TN, gl_CooperativeMatrixLayoutRowMajor);
        subgroupBarrier();
        uint row = m0 + sm + t / COLUMNS * TM, column = n0 + sn + t % COLUMNS * TN;
        [[dont_unroll]] for (uint e = gl_SubgroupInvocationID; e < TM * TN; e += SUBGROUP) {
            uint m = row + e / TN, n = column + e % TN;
            if (m < end_row && n < args.N) {
                uint at = (slice + m) * args.ldy + n;
                float y = args.scale * (args.inverse.v[m] * staged[stage + e]);
                args.Y.v[at] = args.add != 0 ? args.R.v[at] + y : y;
            }
        }
        subgroupBarrier();
    }
}
