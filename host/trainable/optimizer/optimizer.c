/* The optimizer's step on the device, recorded once; what changes from step to step lies in the step_state buffer. */
#include "host/trainable/optimizer/optimizer.h"
#include "runtime/base/size.h"
#include "shaders/core/args.h"
#include "shaders/optimizer/args.h"

#include <stdlib.h>
#include <string.h>

#define UNROUNDED (1u << 22)

static const vkft_optimizer_kind *const kinds[VKFT_OPTIMIZER_TYPES] = {
#define OPTIMIZER(name, kind, place) &vkft_optimizer_##kind,
#include "host/trainable/optimizer/optimizers.def"
#undef OPTIMIZER
};

static const vkft_memory_kind places[VKFT_OPTIMIZER_TYPES] = {
#define OPTIMIZER(name, kind, place) VKFT_MEMORY_##place,
#include "host/trainable/optimizer/optimizers.def"
#undef OPTIMIZER
};

const vkft_optimizer_kind *vkft_optimizer_kind_of(vkft_optimizer_type type)
{
    return kinds[type];
}

vkft_memory_kind vkft_optimizer_place(vkft_optimizer_type type)
{
    return places[type];
}

vkft_memory_kind vkft_optimizer_parameters_place(const vkft_optimizer_options *options)
{
    return options->bf16_copy && !options->bf16_only ? vkft_optimizer_place(options->type) : VKFT_MEMORY_DEVICE;
}

bool vkft_optimizer_parse_args(vkft_optimizer_options *o, const char *text, vkft_err *err)
{
    const vkft_optimizer_kind *kind = kinds[o->type];
    return vkft_arguments_parse(kind->args, VKFT_OPTIMIZER_ARGS, "--optim-args", kind->name, text, o->args, err);
}

uint32_t vkft_optimizer_states(const vkft_optimizer_kind *kind)
{
    uint32_t count = 0;
    while (count < VKFT_OPTIMIZER_STATES && kind->state[count].name)
        count++;
    return count;
}

/* Values of a state for tensors `first` to `end`, and their bytes. */
static uint64_t count_values(const vkft_optimizer_kind *kind, uint32_t state, const vkft_parameter_tensors *tensors,
                             uint32_t first, uint32_t end)
{
    uint64_t values = 0;
    for (uint32_t i = first; i < end; i++)
        values += kind->values ? kind->values(&tensors->list[i], state) : tensors->list[i].floats;
    return values;
}

static uint64_t count_bytes(const vkft_optimizer_kind *kind, uint32_t state, const vkft_parameter_tensors *tensors,
                            uint32_t first, uint32_t end)
{
    return count_values(kind, state, tensors, first, end) * vkft_dtype_bits(kind->state[state].dtype) / 8;
}

uint64_t vkft_optimizer_state_values(const vkft_optimizer_kind *kind, uint32_t i, const vkft_parameter_tensors *tensors)
{
    return count_values(kind, i, tensors, 0, tensors->count);
}

uint64_t vkft_optimizer_state_bytes(const vkft_optimizer_kind *kind, uint32_t i, const vkft_parameter_tensors *tensors)
{
    return count_bytes(kind, i, tensors, 0, tensors->count);
}

uint64_t vkft_optimizer_bytes(const vkft_optimizer_kind *kind, const vkft_parameter_tensors *tensors)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < vkft_optimizer_states(kind); i++)
        bytes += vkft_optimizer_state_bytes(kind, i, tensors);
    return bytes;
}

uint64_t vkft_optimizer_extra_bytes(const vkft_optimizer_kind *kind)
{
    return (VKFT_OPTIMIZER_PARTS + kind->table_floats) * sizeof(float);
}

/* Constants of the tensors before number `end`, in floats. */
static uint64_t count_constants(const vkft_optimizer_kind *kind, const vkft_parameter_tensors *tensors, uint32_t end)
{
    uint64_t count = 0;
    for (uint32_t i = 0; kind->constants && i < end; i++)
        count += kind->constants(&tensors->list[i]);
    return count;
}

uint64_t vkft_optimizer_constant_bytes(const vkft_optimizer_kind *kind, const vkft_parameter_tensors *tensors)
{
    return count_constants(kind, tensors, tensors->count) * sizeof(float);
}

/* Of bf16 parameters that are updated in f32 at a time: a tensor, or so many floats of any. */
static uint64_t unrounded_bytes(const vkft_optimizer_options *options, const vkft_parameter_tensors *tensors,
                                uint64_t decayed)
{
    uint64_t floats = 0;
    if (!options->bf16_only)
        return 0;
    if (!kinds[options->type]->values)
        return min_u64(decayed, UNROUNDED) * sizeof(float);
    for (uint32_t i = 0; i < tensors->count && tensors->list[i].offset < decayed; i++)
        floats = max_u64(floats, tensors->list[i].floats);
    return floats * sizeof(float);
}

uint64_t vkft_optimizer_work_bytes(const vkft_optimizer_options *options, const vkft_parameter_tensors *tensors,
                                   uint64_t decayed)
{
    const vkft_optimizer_kind *kind = kinds[options->type];
    uint64_t bytes = 0;
    for (uint32_t i = 0; kind->work_bytes && i < tensors->count; i++)
        bytes = max_u64(bytes, kind->work_bytes(&tensors->list[i]));
    return unrounded_bytes(options, tensors, decayed) + bytes;
}

/* How many times the rate a tensor learns at. */
static float rate_of(const vkft_optimizer *opt, uint32_t tensor)
{
    const vkft_parameter_tensor *t = &opt->tensors->list[tensor];
    double ratio = opt->options.loraplus_lr_ratio;
    if (ratio <= 0)
        return 1;
    return t->lora_embedding ? (float)opt->options.loraplus_embedding_ratio : t->loraplus ? (float)ratio : 1.0f;
}

/* One past the last tensor of the slice that begins with this one. */
static uint32_t slice_end(const vkft_optimizer *opt, const vkft_optimizer_part *part, uint32_t first)
{
    uint32_t end = first + 1;
    while (!opt->kind->values && end < part->end_tensor && rate_of(opt, end) == rate_of(opt, first))
        end++;
    return end;
}

/* n floats from number `at` of a part on, which are in tensor `first`, or, where slices may be any floats, begin there.
 */
static vkft_optimizer_slice slice_of(const vkft_optimizer *opt, uint32_t part_index, uint32_t first, uint64_t at,
                                     uint64_t n)
{
    const vkft_optimizer_part *part = &opt->part[part_index];
    const vkft_optimizer_kind *kind = opt->kind;
    vkft_optimizer_slice slice = {.p = opt->parameters.address[part_index] + at * sizeof(float),
                                  .g = part->g.address + at * sizeof(float),
                                  .step = opt->step.address,
                                  .scratch = opt->extra.address,
                                  .work = opt->work.address + opt->unrounded_bytes,
                                  .dev = opt->dev,
                                  .table = opt->extra.address + VKFT_OPTIMIZER_PARTS * sizeof(float),
                                  .constants = opt->constants.address +
                                               count_constants(kind, opt->tensors, first) * sizeof(float),
                                  .n = (uint32_t)n,
                                  .decayed = (uint32_t)(part->decayed <= at ? 0 : min_u64(part->decayed - at, n)),
                                  .rate = rate_of(opt, first),
                                  .tensor = kind->values ? &opt->tensors->list[first] : NULL};
    for (uint32_t j = 0; j < vkft_optimizer_states(kind); j++)
        slice.state[j] =
            part->state[j].address + (kind->values ? count_bytes(kind, j, opt->tensors, part->first_tensor, first)
                                                   : at * vkft_dtype_bits(kind->state[j].dtype) / 8);
    return slice;
}

/* The update of a slice that lies in bf16 alone: in f32, in memory for the work, and rounded back. */
static void record_rounded(vkft_optimizer *opt, uint32_t part_index, uint64_t at, vkft_optimizer_slice *slice)
{
    uint64_t element = opt->parameters.first[part_index] + at,
             copy = opt->part[part_index].copy.address + at * sizeof(uint16_t);
    struct widen_bf16_args widen = {.x = copy, .y = opt->work.address, .n = slice->n};
    struct stochastic_bf16_args back = {.x = opt->work.address,
                                        .y = copy,
                                        .step = opt->step.address,
                                        .n = slice->n,
                                        .first = (uint32_t)(element / STOCHASTIC_RUN),
                                        .seed_low = (uint32_t)opt->options.seed,
                                        .seed_high = (uint32_t)(opt->options.seed >> 32)};
    slice->p = opt->work.address;
    vkft_launch(opt->update, VKFT_KERNEL_widen_bf16, &widen, sizeof widen, slice->n / 2, 1, slice->n);
    opt->kind->record(opt->update, &opt->options, slice);
    vkft_launch(opt->update, VKFT_KERNEL_stochastic_bf16, &back, sizeof back, slice->n / STOCHASTIC_RUN, 1,
                16.0 * slice->n);
}

/* The update of tensors `first` to `end` of a part, which lie one after the other. */
static void record_slices(vkft_optimizer *opt, uint32_t part_index, uint32_t first, uint32_t end)
{
    const vkft_optimizer_part *part = &opt->part[part_index];
    const vkft_parameter_tensor *list = opt->tensors->list;
    uint64_t at = list[first].offset - opt->parameters.first[part_index],
             stop = at + list[end - 1].offset + list[end - 1].floats - list[first].offset, n;
    for (; at < stop; at += n) {
        bool rounded = at < part->rounded;
        n = rounded ? min_u64(stop, part->rounded) - at : stop - at;
        if (rounded)
            n = min_u64(n, opt->unrounded_bytes / sizeof(float));
        vkft_optimizer_slice slice = slice_of(opt, part_index, first, at, n);
        if (rounded)
            record_rounded(opt, part_index, at, &slice);
        else
            opt->kind->record(opt->update, &opt->options, &slice);
    }
}

/* Whether bf16 weights are copies of parameters that are kept. */
static bool has_copies(const vkft_optimizer *opt)
{
    return opt->options.bf16_copy && !opt->options.bf16_only;
}

/* The copies of what is in the parameters. */
static void record_copies(vkft_optimizer *opt, vkft_commands *cmds)
{
    for (uint32_t i = 0; has_copies(opt) && i < opt->parameters.parts; i++) {
        const vkft_optimizer_part *part = &opt->part[i];
        struct round_bf16_args args = {.x = part->p.address, .y = part->copy.address, .n = part->decayed};
        if (args.n)
            vkft_launch(cmds, VKFT_KERNEL_round_bf16, &args, sizeof args, args.n / 2, 1, 4.0 * args.n);
    }
}

static void record(vkft_optimizer *opt)
{
    vkft_commands *cmds = opt->update;
    for (uint32_t i = 0; i < opt->parameters.parts; i++) {
        const vkft_optimizer_part *part = &opt->part[i];
        struct sum_args squares = {
            .x = part->g.address, .y = opt->extra.address, .n = part->n, .parts = VKFT_OPTIMIZER_PARTS, .add = i > 0};
        vkft_launch_workgroups(cmds, VKFT_KERNEL_sum_squares, &squares, sizeof squares, VKFT_OPTIMIZER_PARTS, 1,
                               2.0 * part->n);
    }
    struct clip_args clip = {.partial = opt->extra.address,
                             .step = opt->step.address,
                             .n = VKFT_OPTIMIZER_PARTS,
                             .max_norm = (float)opt->options.max_grad_norm};
    vkft_launch_workgroups(cmds, VKFT_KERNEL_clip, &clip, sizeof clip, 1, 1, VKFT_OPTIMIZER_PARTS);
    for (uint32_t i = 0; i < opt->parameters.parts; i++) {
        const vkft_optimizer_part *part = &opt->part[i];
        for (uint32_t j = part->first_tensor, end; j < part->end_tensor; j = end) {
            end = slice_end(opt, part, j);
            record_slices(opt, i, j, end);
        }
        struct fill_args clear = {.y = part->g.address, .n = part->n, .value = 0.0f};
        vkft_launch(cmds, VKFT_KERNEL_fill, &clear, sizeof clear, part->n, 1, part->n);
    }
    record_copies(opt, cmds);
    record_copies(opt, opt->round);
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
    part->first_tensor = index ? opt->part[index - 1].end_tensor : 0;
    part->end_tensor = part->first_tensor;
    while (part->end_tensor < opt->tensors->count && opt->tensors->list[part->end_tensor].offset < end)
        part->end_tensor++;
    part->decayed = (uint32_t)(decayed <= first ? 0 : decayed >= end ? n : decayed - first);
    part->rounded = opt->options.bf16_only ? part->decayed : 0;
    uint64_t copied = opt->options.bf16_copy ? part->decayed * sizeof(uint16_t) : 0,
             kept = (uint64_t)(part->n - part->rounded) * sizeof(float);
    if ((kept && !vkft_buffer_new(dev, kept, vkft_optimizer_parameters_place(&opt->options), "trained parameters",
                                  &part->p, err)) ||
        !vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "gradients", &part->g, err) ||
        (copied && !vkft_buffer_new(dev, copied, VKFT_MEMORY_DEVICE, "bf16 weights", &part->copy, err)))
        return false;
    for (uint32_t i = 0; i < vkft_optimizer_states(opt->kind); i++) {
        uint64_t state_bytes = count_bytes(opt->kind, i, opt->tensors, part->first_tensor, part->end_tensor);
        if (state_bytes && !vkft_buffer_new(dev, state_bytes, vkft_optimizer_place(opt->options.type),
                                            "optimizer state", &part->state[i], err))
            return false;
    }
    opt->parameters.address[index] = part->p.address - part->rounded * sizeof(float); /* as if all were there */
    opt->copies.address[index] = part->copy.address;
    opt->gradients.address[index] = part->g.address;
    return vkft_buffer_fill(dev, &part->g, 0, bytes, 0, err);
}

/* None where the kind has none. */
static bool init_constants(vkft_optimizer *opt, vkft_err *err)
{
    uint64_t bytes = vkft_optimizer_constant_bytes(opt->kind, opt->tensors);
    return !bytes ||
           vkft_buffer_new(opt->dev, bytes, VKFT_MEMORY_DEVICE, "constants of the optimizer", &opt->constants, err);
}

/* None where the kind needs none. */
static bool init_work(vkft_optimizer *opt, uint64_t decayed, vkft_err *err)
{
    uint64_t bytes = vkft_optimizer_work_bytes(&opt->options, opt->tensors, decayed);
    opt->unrounded_bytes = unrounded_bytes(&opt->options, opt->tensors, decayed);
    return !bytes || vkft_buffer_new(opt->dev, bytes, VKFT_MEMORY_DEVICE, "the optimizer's work", &opt->work, err);
}

static bool set_constants(vkft_optimizer *opt, const float *p, vkft_err *err)
{
    uint64_t bytes = vkft_optimizer_constant_bytes(opt->kind, opt->tensors);
    if (!bytes)
        return true;
    float *values = malloc(bytes);
    bool ok = values != NULL;
    for (uint32_t i = 0; ok && i < opt->tensors->count; i++) {
        const vkft_parameter_tensor *t = &opt->tensors->list[i];
        if (opt->kind->constants(t))
            ok = opt->kind->fill_constants(t - 1, t, p, values + count_constants(opt->kind, opt->tensors, i));
    }
    if (!ok)
        vkft_fail_memory(err, "for the constants of the optimizer");
    ok = ok && vkft_buffer_write(opt->dev, &opt->constants, 0, values, bytes, err);
    free(values);
    return ok;
}

/* Memory beside parameters, gradients and state. */
static bool init_extra(vkft_optimizer *opt, vkft_err *err)
{
    uint32_t floats = opt->kind->table_floats;
    if (!vkft_buffer_new(opt->dev, vkft_optimizer_extra_bytes(opt->kind), VKFT_MEMORY_DEVICE, "gradient norm",
                         &opt->extra, err))
        return false;
    float *table = floats ? malloc(floats * sizeof *table) : NULL;
    if (floats && !table)
        return vkft_fail_memory(err, "for the optimizer's table");
    if (floats)
        opt->kind->fill_table(table);
    bool ok = !floats || vkft_buffer_write(opt->dev, &opt->extra, VKFT_OPTIMIZER_PARTS * sizeof *table, table,
                                           floats * sizeof *table, err);
    free(table);
    return ok;
}

bool vkft_optimizer_init(vkft_optimizer *opt, vkft_device *dev, const vkft_parameter_space *layout,
                         const vkft_parameter_tensors *tensors, uint64_t decayed, const vkft_optimizer_options *options,
                         vkft_err *err)
{
    memset(opt, 0, sizeof *opt);
    opt->dev = dev;
    opt->kind = vkft_optimizer_kind_of(options->type);
    opt->options = *options;
    opt->parameters = opt->gradients = opt->copies = *layout;
    opt->tensors = tensors;
    bool ok = true;
    for (uint32_t i = 0; ok && i < layout->parts; i++)
        ok = init_part(opt, i, decayed, err);
    if (ok && init_extra(opt, err) && init_constants(opt, err) && init_work(opt, decayed, err) &&
        vkft_buffer_new(dev, sizeof(struct step_state), VKFT_MEMORY_HOST, "step state", &opt->step, err) &&
        (opt->update = vkft_commands_new(dev, err)) && (opt->round = vkft_commands_new(dev, err))) {
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
    vkft_commands_free(opt->round);
    for (uint32_t i = 0; i < opt->parameters.parts; i++) {
        vkft_optimizer_part *part = &opt->part[i];
        vkft_buffer_free(opt->dev, &part->p);
        vkft_buffer_free(opt->dev, &part->g);
        vkft_buffer_free(opt->dev, &part->copy);
        for (uint32_t j = 0; j < VKFT_OPTIMIZER_STATES; j++)
            vkft_buffer_free(opt->dev, &part->state[j]);
    }
    vkft_buffer_free(opt->dev, &opt->extra);
    vkft_buffer_free(opt->dev, &opt->constants);
    vkft_buffer_free(opt->dev, &opt->work);
    vkft_buffer_free(opt->dev, &opt->step);
    memset(opt, 0, sizeof *opt);
}

bool vkft_optimizer_update(vkft_optimizer *opt, double learning_rate, uint64_t t, double *grad_norm, vkft_err *err)
{
    struct step_state *state = vkft_optimizer_step_state(opt);
    state->lr = (float)learning_rate;
    state->update = (uint32_t)t;
    if (opt->kind->before_step)
        opt->kind->before_step(&opt->options, t, state);
    if (!vkft_commands_run(opt->update, err))
        return false;
    *grad_norm = (double)state->grad_norm;
    return true;
}

bool vkft_optimizer_has_begun(const vkft_optimizer *opt)
{
    return vkft_commands_stats(opt->update).submissions > 0;
}

bool vkft_optimizer_clear_gradients(vkft_optimizer *opt, vkft_err *err)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < opt->parameters.parts; i++)
        ok = vkft_buffer_fill(opt->dev, &opt->part[i].g, 0, opt->part[i].n * sizeof(float), 0, err);
    return ok;
}

/* Where the values of a part begin in a host copy of state number i, and their bytes. */
static uint64_t state_range(const vkft_optimizer *opt, uint32_t i, const vkft_optimizer_part *part, uint64_t *bytes)
{
    *bytes = count_bytes(opt->kind, i, opt->tensors, part->first_tensor, part->end_tensor);
    return count_bytes(opt->kind, i, opt->tensors, 0, part->first_tensor);
}

#define CHUNK 65536u /* bf16 values that are converted at a time */

/* p: what is in the part; those that are in bf16 alone are rounded to nearest. */
static bool set_parameters(vkft_optimizer *opt, vkft_optimizer_part *part, const float *p, vkft_err *err)
{
    uint16_t *values = malloc(CHUNK * sizeof *values);
    bool ok = values || vkft_fail_memory(err, "while writing weights in bf16");
    for (uint32_t at = 0, n; ok && at < part->rounded; at += n) {
        n = min_u32(CHUNK, part->rounded - at);
        vkft_from_f32(VKFT_BF16, p + at, n, values);
        ok = vkft_buffer_write(opt->dev, &part->copy, at * sizeof *values, values, n * sizeof *values, err);
    }
    free(values);
    uint64_t kept = (uint64_t)(part->n - part->rounded) * sizeof *p;
    return ok && (!kept || vkft_buffer_write(opt->dev, &part->p, 0, p + part->rounded, kept, err));
}

static bool get_parameters(vkft_optimizer *opt, const vkft_optimizer_part *part, float *p, vkft_err *err)
{
    uint16_t *values = malloc(CHUNK * sizeof *values);
    bool ok = values || vkft_fail_memory(err, "while reading weights in bf16");
    for (uint32_t at = 0, n; ok && at < part->rounded; at += n) {
        n = min_u32(CHUNK, part->rounded - at);
        ok = vkft_buffer_read(opt->dev, &part->copy, at * sizeof *values, values, n * sizeof *values, err);
        if (ok)
            vkft_to_f32(VKFT_BF16, values, n, p + at);
    }
    free(values);
    uint64_t kept = (uint64_t)(part->n - part->rounded) * sizeof *p;
    return ok && (!kept || vkft_buffer_read(opt->dev, &part->p, 0, p + part->rounded, kept, err));
}

bool vkft_optimizer_set(vkft_optimizer *opt, const float *p, const void *const *state, vkft_err *err)
{
    bool ok = set_constants(opt, p, err);
    for (uint32_t i = 0; ok && i < opt->parameters.parts; i++) {
        vkft_optimizer_part *part = &opt->part[i];
        ok = set_parameters(opt, part, p + opt->parameters.first[i], err);
        for (uint32_t j = 0; ok && j < vkft_optimizer_states(opt->kind); j++) {
            uint64_t bytes, at = state_range(opt, j, part, &bytes);
            if (bytes)
                ok = state ? vkft_buffer_write(opt->dev, &part->state[j], 0, (const char *)state[j] + at, bytes, err)
                           : vkft_buffer_fill(opt->dev, &part->state[j], 0, bytes, 0, err);
        }
    }
    return ok && (!has_copies(opt) || vkft_commands_run(opt->round, err));
}

bool vkft_optimizer_get(vkft_optimizer *opt, float *p, void *const *state, vkft_err *err)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < opt->parameters.parts; i++) {
        const vkft_optimizer_part *part = &opt->part[i];
        ok = get_parameters(opt, part, p + opt->parameters.first[i], err);
        for (uint32_t j = 0; ok && state && j < vkft_optimizer_states(opt->kind); j++) {
            uint64_t bytes, at = state_range(opt, j, part, &bytes);
            ok = !bytes || vkft_buffer_read(opt->dev, &part->state[j], 0, (char *)state[j] + at, bytes, err);
        }
    }
    return ok;
}
