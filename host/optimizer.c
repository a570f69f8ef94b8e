/* AdamW on the device, recorded once; what changes from step to step lies in the step_state buffer. */
#include "optimizer.h"

#include <math.h>
#include <string.h>

static void record(vkft_optimizer *opt)
{
    vkft_commands *cmds = opt->update;
    uint32_t n = opt->n, width = vkft_kernel_width(opt->dev, VKFT_KERNEL_sum_squares);
    struct sum_args squares = {.x = opt->g.address, .y = opt->partial.address, .n = n, .parts = VKFT_OPTIMIZER_PARTS};
    vkft_launch(cmds, VKFT_KERNEL_sum_squares, &squares, sizeof squares, (uint64_t)VKFT_OPTIMIZER_PARTS * width, 1, 1,
                2.0 * n);
    struct clip_args clip = {.partial = opt->partial.address, .step = opt->step.address, .n = VKFT_OPTIMIZER_PARTS,
                             .max_norm = (float)opt->adamw.max_grad_norm};
    vkft_launch(cmds, VKFT_KERNEL_clip, &clip, sizeof clip, vkft_kernel_width(opt->dev, VKFT_KERNEL_clip), 1, 1,
                VKFT_OPTIMIZER_PARTS);
    struct adamw_args adamw = {
        .p = opt->p.address, .g = opt->g.address, .m = opt->m.address, .v = opt->v.address, .step = opt->step.address,
        .n = n, .decayed = opt->decayed, .beta1 = (float)opt->adamw.beta1, .beta2 = (float)opt->adamw.beta2,
        .epsilon = (float)opt->adamw.epsilon, .weight_decay = (float)opt->adamw.weight_decay,
    };
    vkft_launch(cmds, VKFT_KERNEL_adamw, &adamw, sizeof adamw, n, 1, 1, 16.0 * n);
    struct fill_args clear = {.y = opt->g.address, .n = n, .value = 0.0f};
    vkft_launch(cmds, VKFT_KERNEL_fill, &clear, sizeof clear, n, 1, 1, n);
}

bool vkft_optimizer_init(vkft_optimizer *opt, vkft_device *dev, uint64_t floats, uint64_t decayed, const vkft_adamw *adamw, vkft_err *err)
{
    memset(opt, 0, sizeof *opt);
    if (floats > UINT32_MAX)
        return vkft_fail(err, VKFT_ERR_INPUT, "there are %llu parameters to train; at most %u are supported: train an adapter, or one of lower --lora-r",
                         (unsigned long long)floats, UINT32_MAX);
    opt->dev = dev;
    opt->adamw = *adamw;
    opt->n = (uint32_t)floats;
    opt->decayed = (uint32_t)decayed;
    uint64_t bytes = floats * sizeof(float);
    if (vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "trained parameters", &opt->p, err) &&
        vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "gradients", &opt->g, err) &&
        vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "first moments", &opt->m, err) &&
        vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "second moments", &opt->v, err) &&
        vkft_buffer_new(dev, VKFT_OPTIMIZER_PARTS * sizeof(float), VKFT_MEMORY_DEVICE, "gradient norm", &opt->partial, err) &&
        vkft_buffer_new(dev, sizeof(struct step_state), VKFT_MEMORY_HOST, "step state", &opt->step, err) &&
        vkft_buffer_fill(dev, &opt->g, 0, bytes, 0, err) && (opt->update = vkft_commands_new(dev, err))) {
        memset(opt->step.mapped, 0, sizeof(struct step_state));
        record(opt);
        return true;
    }
    vkft_optimizer_free(opt);
    return false;
}

void vkft_optimizer_free(vkft_optimizer *opt)
{
    if (!opt->dev)
        return;
    vkft_commands_free(opt->update);
    vkft_buffer *buffers[] = {&opt->p, &opt->g, &opt->m, &opt->v, &opt->partial, &opt->step};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        vkft_buffer_free(opt->dev, buffers[i]);
    memset(opt, 0, sizeof *opt);
}

bool vkft_optimizer_update(vkft_optimizer *opt, double learning_rate, uint64_t t, double *grad_norm, vkft_err *err)
{
    struct step_state *state = vkft_optimizer_step_state(opt);
    state->lr = (float)learning_rate;
    state->correction1 = (float)(1.0 - pow(opt->adamw.beta1, (double)t));
    state->correction2_sqrt = (float)sqrt(1.0 - pow(opt->adamw.beta2, (double)t));
    if (!vkft_commands_run(opt->update, err))
        return false;
    *grad_norm = (double)state->grad_norm;
    return true;
}

bool vkft_optimizer_set(vkft_optimizer *opt, const float *p, const float *m, const float *v, vkft_err *err)
{
    uint64_t bytes = (uint64_t)opt->n * sizeof(float);
    return vkft_buffer_write(opt->dev, &opt->p, 0, p, bytes, err) &&
           (m ? vkft_buffer_write(opt->dev, &opt->m, 0, m, bytes, err)
              : vkft_buffer_fill(opt->dev, &opt->m, 0, bytes, 0, err)) &&
           (v ? vkft_buffer_write(opt->dev, &opt->v, 0, v, bytes, err)
              : vkft_buffer_fill(opt->dev, &opt->v, 0, bytes, 0, err));
}

bool vkft_optimizer_get(vkft_optimizer *opt, float *p, float *m, float *v, vkft_err *err)
{
    uint64_t bytes = (uint64_t)opt->n * sizeof(float);
    return vkft_buffer_read(opt->dev, &opt->p, 0, p, bytes, err) &&
           (!m || vkft_buffer_read(opt->dev, &opt->m, 0, m, bytes, err)) &&
           (!v || vkft_buffer_read(opt->dev, &opt->v, 0, v, bytes, err));
}
