/* AdamW: the formula is in shaders/optimizer/adamw.comp. Source: Loshchilov & Hutter 2019; torch.optim.AdamW.
 * Test: test_kernels_training */
#include "host/trainable/optimizer/optimizer.h"

#include <math.h>

#include "shaders/optimizer/args.h"

void vkft_adamw_before_step(const vkft_optimizer_options *o, uint64_t t, struct step_state *step)
{
    step->correction1 = (float)(1.0 - pow(o->beta1, (double)t));
    step->correction2_sqrt = (float)sqrt(1.0 - pow(o->beta2, (double)t));
}

static void record(vkft_commands *cmds, const vkft_optimizer_options *o, const vkft_optimizer_slice *slice)
{
    struct adamw_args args = {
        .p = slice->p,
        .g = slice->g,
        .m = slice->state[0],
        .v = slice->state[1],
        .step = slice->step,
        .rate = slice->rate,
        .n = slice->n,
        .decayed = slice->decayed,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .epsilon = (float)o->epsilon,
        .weight_decay = (float)o->weight_decay,
    };
    vkft_launch(cmds, VKFT_KERNEL_adamw, &args, sizeof args, slice->n, 1, 16.0 * slice->n);
}

const vkft_optimizer_kind vkft_optimizer_adamw = {
    .name = "adamw",
    .state = {{"exp_avg", VKFT_F32}, {"exp_avg_sq", VKFT_F32}},
    .before_step = vkft_adamw_before_step,
    .record = record,
};
