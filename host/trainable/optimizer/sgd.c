/* SGD with momentum: the formula is in shaders/optimizer/sgd.comp. Source: torch.optim.SGD. Test: test_optimizer */
#include "host/trainable/optimizer/optimizer.h"

#include "shaders/optimizer/args.h"

static void record(vkft_commands *cmds, const vkft_optimizer_options *o, const vkft_optimizer_slice *slice)
{
    struct sgd_args args = {
        .p = slice->p,
        .g = slice->g,
        .b = slice->state[0],
        .step = slice->step,
        .rate = slice->rate,
        .n = slice->n,
        .decayed = slice->decayed,
        .momentum = (float)o->args[0],
        .weight_decay = (float)o->weight_decay,
    };
    vkft_launch(cmds, VKFT_KERNEL_sgd, &args, sizeof args, slice->n, 1, 8.0 * slice->n);
}

const vkft_optimizer_kind vkft_optimizer_sgd = {
    .name = "sgd",
    .state = {{"momentum_buffer", VKFT_F32}},
    .args = {{.name = "momentum", .value = 0, .minimum = 0, .below = 1}},
    .record = record,
};
