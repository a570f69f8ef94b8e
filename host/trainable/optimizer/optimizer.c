/* AdamW on the device, recorded once; what changes from step to step lies in the step_state buffer. */
#include "host/trainable/optimizer/optimizer.h"
#include "shaders/core/args.h"
#include "shaders/optimizer/args.h"

#include <math.h>
#include <string.h>

static void record(vkft_optimizer *opt)
{
    vkft_commands *cmds = opt->update;
    uint64_t width = vkft_kernel_width(opt->dev, VKFT_KERNEL_sum_squares);
    for (uint32_t i = 0; i < opt->parameters.parts; i++) {
        const vkft_optimizer_part *part = &opt->part[i];
        struct sum_args squares = {
            .x = part->g.address, .y = opt->partial.address, .n = part->n, .parts = VKFT_OPTIMIZER_PARTS, .add = i > 0};
        vkft_launch(cmds, VKFT_KERNEL_sum_squares, &squares, sizeof squares, VKFT_OPTIMIZER_PARTS * width, 1,
                    2.0 * part->n);
    }
    struct clip_args clip = {.partial = opt->partial.address,
                             .step = opt->step.address,
                             .n = VKFT_OPTIMIZER_PARTS,
                             .max_norm = (float)opt->adamw.max_grad_norm};
    vkft_launch(cmds, VKFT_KERNEL_clip, &clip, sizeof clip, vkft_kernel_width(opt->dev, VKFT_KERNEL_clip), 1,
                VKFT_OPTIMIZER_PARTS);
    for (uint32_t i = 0; i < opt->parameters.parts; i++) {
        const vkft_optimizer_part *part = &opt->part[i];
        struct adamw_args adamw = {
            .p = part->p.address,
            .g = part->g.address,
            .m = part->m.address,
            .v = part->v.address,
            .step = opt->step.address,
            .n = part->n,
            .decayed = part->decayed,
            .beta1 = (float)opt->adamw.beta1,
            .beta2 = (float)opt->adamw.beta2,
            .epsilon = (float)opt->adamw.epsilon,
            .weight_decay = (float)opt->adamw.weight_decay,
        };
        vkft_launch(cmds, VKFT_KERNEL_adamw, &adamw, sizeof adamw, part->n, 1, 16.0 * part->n);
        struct fill_args clear = {.y = part->g.address, .n = part->n, .value = 0.0f};
        vkft_launch(cmds, VKFT_KERNEL_fill, &clear, sizeof clear, part->n, 1, part->n);
    }
}

static bool init_part(vkft_optimizer *opt, uint32_t index, uint64_t decayed, vkft_err *err)
{
    vkft_device *dev = opt->dev;
    vkft_optimizer_part *part = &opt->part[index];
    uint64_t first = opt->parameters.first[index], end = opt->parameters.first[index + 1], n = end - first,
             bytes = n * sizeof(float);
    if (n > UINT32_MAX)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%llu trained parameters would have to lie in one buffer; at most %u can: train an adapter, "
                         "or one of lower --lora-r",
                         (unsigned long long)n, UINT32_MAX);
    part->n = (uint32_t)n;
    part->decayed = (uint32_t)(decayed <= first ? 0 : decayed >= end ? n : decayed - first);
    if (!vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "trained parameters", &part->p, err) ||
        !vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "gradients", &part->g, err) ||
        !vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "first moments", &part->m, err) ||
        !vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "second moments", &part->v, err))
        return false;
    opt->parameters.address[index] = part->p.address;
    opt->gradients.address[index] = part->g.address;
    return vkft_buffer_fill(dev, &part->g, 0, bytes, 0, err);
}

bool vkft_optimizer_init(vkft_optimizer *opt, vkft_device *dev, const vkft_parameter_space *layout, uint64_t decayed,
                         const vkft_adamw *adamw, vkft_err *err)
{
    memset(opt, 0, sizeof *opt);
    opt->dev = dev;
    opt->adamw = *adamw;
    opt->parameters = opt->gradients = *layout;
    bool ok = true;
    for (uint32_t i = 0; ok && i < layout->parts; i++)
        ok = init_part(opt, i, decayed, err);
    if (ok &&
        vkft_buffer_new(dev, VKFT_OPTIMIZER_PARTS * sizeof(float), VKFT_MEMORY_DEVICE, "gradient norm", &opt->partial,
                        err) &&
        vkft_buffer_new(dev, sizeof(struct step_state), VKFT_MEMORY_HOST, "step state", &opt->step, err) &&
        (opt->update = vkft_commands_new(dev, err))) {
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
    for (uint32_t i = 0; i < opt->parameters.parts; i++) {
        vkft_optimizer_part *part = &opt->part[i];
        vkft_buffer *buffers[] = {&part->p, &part->g, &part->m, &part->v};
        for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
            vkft_buffer_free(opt->dev, buffers[b]);
    }
    vkft_buffer_free(opt->dev, &opt->partial);
    vkft_buffer_free(opt->dev, &opt->step);
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
    bool ok = true;
    for (uint32_t i = 0; ok && i < opt->parameters.parts; i++) {
        vkft_optimizer_part *part = &opt->part[i];
        uint64_t first = opt->parameters.first[i], bytes = part->n * sizeof(float);
        ok = vkft_buffer_write(opt->dev, &part->p, 0, p + first, bytes, err) &&
             (m ? vkft_buffer_write(opt->dev, &part->m, 0, m + first, bytes, err)
                : vkft_buffer_fill(opt->dev, &part->m, 0, bytes, 0, err)) &&
             (v ? vkft_buffer_write(opt->dev, &part->v, 0, v + first, bytes, err)
                : vkft_buffer_fill(opt->dev, &part->v, 0, bytes, 0, err));
    }
    return ok;
}

bool vkft_optimizer_get(vkft_optimizer *opt, float *p, float *m, float *v, vkft_err *err)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < opt->parameters.parts; i++) {
        const vkft_optimizer_part *part = &opt->part[i];
        uint64_t first = opt->parameters.first[i], bytes = part->n * sizeof(float);
        ok = vkft_buffer_read(opt->dev, &part->p, 0, p + first, bytes, err) &&
             (!m || vkft_buffer_read(opt->dev, &part->m, 0, m + first, bytes, err)) &&
             (!v || vkft_buffer_read(opt->dev, &part->v, 0, v + first, bytes, err));
    }
    return ok;
}
