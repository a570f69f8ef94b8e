/* Which kernels compute attention on a device, and how its rows are shared out there. */
#ifndef VKFT_ATTENTION_KERNELS_H
#define VKFT_ATTENTION_KERNELS_H

#include "host/engine/ops/ops.h"

typedef enum vkft_attention_part {
    VKFT_ATTENTION_FORWARD,
    VKFT_ATTENTION_DELTA,
    VKFT_ATTENTION_DQ,
    VKFT_ATTENTION_DKV,
    VKFT_ATTENTION_DBIAS,
    VKFT_ATTENTION_PARTS,
} vkft_attention_part;

/* The kernel that computes one part. Rows are queries, or of DKV keys, of DELTA those of all heads; DBIAS takes
 * distances. */
typedef struct vkft_attention_kernel {
    vkft_kernel kernel;
    uint32_t lanes, rows; /* so many invocations hold so many rows */
    uint32_t block;       /* rows of the other side per iteration */
    bool kept;            /* rows that are not sums are in registers, else in shared memory */
    uint32_t subgroup;    /* size of subgroups; 0: the device's own */
} vkft_attention_kernel;

/* Depends on the device, the head size and the environment variable VKFT_ATTENTION alone: "plain" is one invocation a
 * row, "lanes:N:R" N of them for R rows ("lanes:N": for one); they are for tests and measurements. */
vkft_attention_kernel vkft_attention_choose(const vkft_device *dev, vkft_attention_part part, uint32_t head_dim);

/* Chooses the constants of all parts. Error: VKFT_ATTENTION asks for what does not exist, or not here. */
bool vkft_attention_setup(vkft_device *dev, const vkft_ops_constants *constants, vkft_err *err);

/* What a launch of the kernel for so many rows is counted in: invocations or workgroups. */
uint64_t vkft_attention_count(const vkft_device *dev, vkft_attention_kernel kernel, uint64_t rows);

#endif
