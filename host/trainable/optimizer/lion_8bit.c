/* Lion with its moment in 8 bits, as bitsandbytes' Lion8bit keeps it: see adamw_8bit.c. The formula is in
 * shaders/optimizer/lion_8bit.comp. Test: test_optimizer */
#include "host/trainable/optimizer/optimizer.h"

#include "formats/tensors/nf4.h"
#include "shaders/optimizer/args.h"

static void fill_table(float *table)
{
    vkft_dynamic_map(table);
    for (uint32_t k = 0; k < 256; k++)
        table[256 + k] = k == 255 ? 0 : (table[k] + table[k + 1]) / 2;
}

static void record(vkft_commands *cmds, const vkft_optimizer_options *o, const vkft_optimizer_slice *slice)
{
    uint64_t blocks = vkft_optimizer_blocks(slice->tensor);
    if (!blocks) {
        vkft_optimizer_lion.record(cmds, o, slice);
        return;
    }
    struct lion_8bit_args args = {
        .p = slice->p,
        .g = slice->g,
        .m = slice->state[0],
        .absmax = slice->state[0] + slice->n,
        .table = slice->table,
        .step = slice->step,
        .rate = slice->rate,
        .n = slice->tensor->rows * slice->tensor->cols,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .grow1 = (float)(1 - o->beta1),
        .grow2 = (float)(1 - o->beta2),
        .weight_decay = slice->decayed ? (float)o->weight_decay : 0,
    };
    vkft_launch_workgroups(cmds, VKFT_KERNEL_lion_8bit, &args, sizeof args, blocks, 1, 60.0 * args.n);
}

const vkft_optimizer_kind vkft_optimizer_lion_8bit = {
    .name = "lion_8bit",
    .state = {{"exp_avg", VKFT_U8}},
    .values = vkft_optimizer_block_bytes,
    .table_floats = 512, /* the map and its midpoints */
    .fill_table = fill_table,
    .record = record,
};
