/* Products of cooperative matrices in chains that do not wait for each other: what the device's matrix units compute at best. args.h has the
 * formula. The define says the types of A and B, and of C. Test: test_kernels_bench */
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#include "shaders/core/common.glsl"
#include "shaders/bench/args.h"

#ifdef S8_S32
#define FACTOR int8_t
#define RESULT int
#define IN_WORD 4
#elif defined F16_F16
#define FACTOR float16_t
#define RESULT float16_t
#define IN_WORD 2
#else
#define FACTOR float16_t
#define RESULT float
#define IN_WORD 2
#endif

layout(constant_id = 1) const uint M = 16;
layout(constant_id = 2) const uint N = 16;
layout(constant_id = 3) const uint K = 16;

ARGS(peak_matrix_args)

#define MATRIX_C coopmat<RESULT, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>

void main()
{
    coopmat<FACTOR, gl_ScopeSubgroup, M, K, gl_MatrixUseA> a;
    coopmat<FACTOR, gl_ScopeSubgroup, K, N, gl_MatrixUseB> b;
    coopMatLoad(a, args.a.v, 0, K / IN_WORD, gl_CooperativeMatrixLayoutRowMajor);
    coopMatLoad(b, args.b.v, 0, N / IN_WORD, gl_CooperativeMatrixLayoutRowMajor);
    MATRIX_C c[PEAK_MATRICES];
    [[unroll]] for (int i = 0; i < PEAK_MATRICES; i++)
        c[i] = MATRIX_C(RESULT(i));
    for (uint k = 0; k < args.iterations; k++)
        [[unroll]] for (int u = 0; u < PEAK_UNROLL; u++)
            [[unroll]] for (int i = 0; i < PEAK_MATRICES; i++)
                c[i] = coopMatMulAdd(a, b, c[i]);
    float sum = 0;
    [[unroll]] for (int i = 0; i < PEAK_MATRICES; i++)
        for (int e = 0; e < c[i].length(); e++)
            sum += float(c[i][e]);
    args.y.v[INVOCATION] = sum;
}
