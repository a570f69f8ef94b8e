/* Lion: the formula is in shaders/optimizer/lion.comp. Source: Chen et al. 2023; google/automl, lion-pytorch, and
 * bitsandbytes' lion_32bit. Test: test_optimizer */
#include "host/trainable/optimizer/optimizer.h"

#include "shaders/optimizer/args.h"

static void record(vkft_commands *cmds, const vkft_optimizer_options *o, const vkft_optimizer_slice *slice)
{
    struct lion_args args = {
        .p = slice->p,
        .g = slice->g,
        .m = slice->state[0],
        .step = slice->step,
        .rate = slice->rate,
        .n = slice->n,
        .decayed = slice->decayed,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .weight_decay = (float)o->weight_decay,
    };
    vkft_launch(cmds, VKFT_KERNEL_lion, &args, sizeof args, slice->n, 1, 12.0 * slice->n);
}

const vkft_optimizer_kind vkft_optimizer_lion = {
    .name = "lion",
    .state = {{"exp_avg", VKFT_F32}},
    .record = record,
};
