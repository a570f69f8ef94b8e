/* Argument structs of kernels: what they share. Each folder of kernels has its own args.h, included by C and by GLSL so
 * that the two sides cannot disagree.
 *
 * A struct reaches its kernel as push constants: at most 128 bytes, addresses (8 bytes, 8-aligned) first, then 32-bit
 * values. ADDR(T) is a buffer device address: uint64_t in C, the buffer reference T_ref in GLSL (common.glsl declares
 * F32_ref and U32_ref with scalar layout and 4-byte alignment). PLACE is an address that becomes a reference where it
 * is used: structs that kernels keep in variables hold their addresses so, because SwiftShader mixes up the references
 * of different invocations there. STRUCT(T) is a member of type T. Matrices are row-major; "ld" is a row stride in
 * elements. Letters: B batch, T tokens, C channels, H heads, D head size, F MLP hidden size, V vocabulary, R LoRA rank.
 */
#ifndef VKFT_CORE_ARGS_H
#define VKFT_CORE_ARGS_H

#define WORKGROUPS_PER_ROW 32768 /* workgroups along x before a launch goes on along z, see common.glsl */

#ifdef VKFT_GLSL
#define ADDR(T) T##_ref
#define PLACE uvec2
#define STRUCT(T) T
#else
#include <stdint.h>
#define ADDR(T) uint64_t
#define PLACE uint64_t
#define STRUCT(T) struct T
typedef uint32_t uint;
#endif

/* fill: y[i] = value. */
struct fill_args {
    ADDR(F32) y;
    uint n;
    float value;
};

/* subgroup: y = {number of subgroups, sum of 1 over the first} of a workgroup. */
struct subgroup_args {
    ADDR(U32) y;
};

/* What changes from step to step, in a small buffer that the kernels read, so that recorded commands can be reused.
 * All members are 32 bits; kernels index it as an F32 buffer by these positions. */
#ifndef VKFT_GLSL
struct step_state {
    float lr;
    float correction1;      /* 1 - beta1^t; adafactor: t^-0.8 */
    float correction2_sqrt; /* sqrt(1 - beta2^t) */
    float clip;             /* written by clip */
    float grad_norm;        /* written by clip */
    uint32_t micro_step;    /* counts micro batches since the start of training */
    uint32_t update;        /* number of the step, from 1 */
    float reserved;
};
#endif
#define STEP_LR 0
#define STEP_CORRECTION1 1
#define STEP_CORRECTION2_SQRT 2
#define STEP_CLIP 3
#define STEP_GRAD_NORM 4
#define STEP_MICRO_STEP 5
#define STEP_UPDATE 6

#endif
