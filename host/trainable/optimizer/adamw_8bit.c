/* AdamW with moments in 8 bits, as bitsandbytes' AdamW8bit keeps them: codes of its dynamic maps in blocks of 256
 * values, which begin anew with each tensor, and a scale (absmax) a block. Tensors of fewer than 4096 values keep f32
 * moments, and so do embeddings, as in transformers' Trainer. The formula is in shaders/optimizer/adamw_8bit.comp.
 * Bytes are those of bitsandbytes on a CPU, with its default kernel for codes, where products and sums are rounded one
 * by one. Its kernels differ among themselves: a CPU that has fused multiplications uses them; those for CUDA also
 * divide approximately, never give a negative first moment the code of 0, and let weight decay follow the update.
 * Source: Dettmers et al. 2022. Test: test_optimizer */
#include "host/trainable/optimizer/optimizer.h"

#include <stddef.h>

#include "formats/tensors/nf4.h"
#include "runtime/base/size.h"
#include "shaders/optimizer/args.h"

#define SMALLEST 4096u /* values */
#define TABLE 1024u    /* floats: two maps, and their midpoints */

static uint64_t elements(const vkft_parameter_tensor *t)
{
    return (uint64_t)t->rows * t->cols;
}

uint64_t vkft_optimizer_blocks(const vkft_parameter_tensor *t)
{
    return elements(t) < SMALLEST || t->embedding ? 0 : ceil_div_u64(elements(t), VKFT_OPTIMIZER_BLOCK);
}

uint64_t vkft_optimizer_block_bytes(const vkft_parameter_tensor *t, uint32_t i)
{
    (void)i;
    uint64_t blocks = vkft_optimizer_blocks(t);
    return blocks ? t->floats + blocks * sizeof(float) : t->floats * sizeof(float);
}

static void fill_table(float *table)
{
    float *signed_map = table, *map = table + 256, *midpoints = table + 512;
    vkft_dynamic_map(signed_map);
    vkft_dynamic_map_unsigned(map);
    for (uint32_t k = 0; k < 512; k++)
        midpoints[k] = k % 256 == 255 ? 0 : (table[k] + table[k + 1]) / 2;
}

static void record(vkft_commands *cmds, const vkft_optimizer_options *o, const vkft_optimizer_slice *slice)
{
    uint64_t n = elements(slice->tensor), blocks = vkft_optimizer_blocks(slice->tensor);
    if (!blocks) {
        vkft_optimizer_adamw.record(cmds, o, slice);
        return;
    }
    struct adamw_8bit_args args = {
        .p = slice->p,
        .g = slice->g,
        .m = slice->state[0],
        .v = slice->state[1],
        .absmax_m = slice->state[0] + slice->n,
        .absmax_v = slice->state[1] + slice->n,
        .table = slice->table,
        .step = slice->step,
        .rate = slice->rate,
        .n = (uint32_t)n,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .grow1 = (float)(1 - o->beta1),
        .grow2 = (float)(1 - o->beta2),
        .epsilon = (float)o->epsilon,
        .weight_decay = slice->decayed ? (float)o->weight_decay : 0,
    };
    vkft_launch_workgroups(cmds, VKFT_KERNEL_adamw_8bit, &args, sizeof args, blocks, 1, 100.0 * (double)n);
}

const vkft_optimizer_kind vkft_optimizer_adamw_8bit = {
    .name = "adamw_8bit",
    .state = {{"exp_avg", VKFT_U8}, {"exp_avg_sq", VKFT_U8}},
    .values = vkft_optimizer_block_bytes,
    .table_floats = TABLE,
    .fill_table = fill_table,
    .before_step = vkft_adamw_before_step,
    .record = record,
};
