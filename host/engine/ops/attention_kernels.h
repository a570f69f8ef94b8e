/* Which kernels compute attention on a device, and how its rows are shared out there. */
#ifndef VKFT_ATTENTION_KERNELS_H
#define VKFT_ATTENTION_KERNELS_H

#include "host/engine/ops/ops.h"
#include "runtime/commands.h"

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
    uint32_t lanes, rows; /* so many invocations hold so many rows; on matrix cores a workgroup its tile of rows */
    uint32_t block;       /* rows of the other side per iteration */
    bool kept;            /* rows that are not sums are in registers, else in shared memory */
    uint32_t subgroup;    /* size of subgroups; 0: the device's own */
} vkft_attention_kernel;

/* Depends on the device, the head size and the environment variable VKFT_ATTENTION alone: "plain" is one invocation a
 * row, "lanes:N:R" N of them for R rows ("lanes:N": for one), "coop" matrix cores; they are for tests and measurements.
 * Otherwise matrix cores are used where products may use them (see vkft_gemm_setup) and their self-test passed. */
vkft_attention_kernel vkft_attention_choose(const vkft_device *dev, vkft_attention_part part, uint32_t head_dim);

/* Chooses the constants of all parts. Error: VKFT_ATTENTION asks for what does not exist, or not here. */
bool vkft_attention_setup(vkft_device *dev, const vkft_ops_constants *constants, vkft_err *err);

/* Records a part for so many rows of each of `heads` heads. */
void vkft_attention_launch(const vkft_device *dev, vkft_commands *cmds, vkft_attention_part part, uint32_t head_dim,
                           const void *args, uint32_t args_bytes, uint64_t rows, uint32_t heads, double flops);

/* What a launch of the kernel for so many rows is counted in: invocations or workgroups. */
uint64_t vkft_attention_count(const vkft_device *dev, vkft_attention_kernel kernel, uint64_t rows);

/* *same: forward and backward of a small example have the same results with the kernels that choose(false) and
 * choose(true) set up, as far as f16 goes. */
bool vkft_attention_compare(vkft_device *dev, uint32_t head_dim,
                            void (*choose)(vkft_device *dev, bool matrix, const void *context), const void *context,
                            bool *same, vkft_err *err);

#endif
